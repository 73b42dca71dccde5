/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Directories: mkdir, getdents through readdir, openat family, getcwd.
 */

#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <fcntl.h>

#include "prog.h"

static int
by_name(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

static void
list(const char *dir)
{
	char *v[300];
	struct dirent *de;
	size_t i, n = 0;
	DIR *d = opendir(dir);

	OK(d != NULL);
	while (d != NULL && (de = readdir(d)) != NULL && n < 300) {
		v[n] = malloc(300);
		(void)snprintf(v[n++], 300, "%s%s", de->d_name,
		    de->d_type == DT_DIR ? "/" :
		    de->d_type == DT_LNK ? "@" : "");
	}
	qsort(v, n, sizeof v[0], by_name);
	(void)printf("%s: %zu entries:", dir, n);
	for (i = 0; i < n; i++) {
		if (i < 8)
			(void)printf(" %s", v[i]);
		free(v[i]);
	}
	(void)printf("\n");
	if (d != NULL) {
		rewinddir(d);
		OK(readdir(d) != NULL);
		OK(closedir(d) == 0);
	}
}

int
main(void)
{
	char b[512], name[32];
	struct stat st;
	int dfd, fd, i;

	(void)umask(022);
	prog_tmpdir();
	OK(mkdir("d", 0755) == 0);
	ERR(mkdir("d", 0755), EEXIST);
	ERR(mkdir("x/y", 0755), ENOENT);
	for (i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof name, "d/file%03d", i);
		fd = open(name, O_WRONLY | O_CREAT, 0644);
		if (fd < 0 || close(fd) != 0)
			OK(!"create");
	}
	OK(symlink("none", "d/link") == 0);
	OK(mkdir("d/sub", 0700) == 0);
	list("d");
	ERR(rmdir("d"), ENOTEMPTY);
	ERR(rmdir("d/file000"), ENOTDIR);
	ERR(unlink("d/sub"), EISDIR);
	dfd = open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OK(dfd >= 0);
	OK(fstatat(dfd, "link", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode));
	ERR(fstatat(dfd, "link", &st, 0), ENOENT);
	OK(fstat(dfd, &st) == 0 && S_ISDIR(st.st_mode));
	fd = openat(dfd, "sub/f", O_WRONLY | O_CREAT, 0600);
	OK(fd >= 0 && close(fd) == 0);
	OK(faccessat(dfd, "sub/f", R_OK, 0) == 0);
	OK(renameat(dfd, "sub/f", dfd, "f2") == 0);
	OK(unlinkat(dfd, "f2", 0) == 0);
	OK(unlinkat(dfd, "sub", AT_REMOVEDIR) == 0);
	OK(fchdir(dfd) == 0);
	OK(getcwd(b, sizeof b) != NULL && strcmp(strrchr(b, '/'), "/d") == 0);
	ERR(syscall(SYS_getcwd, b, 2), ERANGE);
	OK(access("file199", F_OK) == 0);
	for (i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof name, "file%03d", i);
		if (unlink(name) != 0)
			OK(!"unlink");
	}
	OK(unlink("link") == 0);
	OK(chdir("..") == 0);
	OK(rmdir("d") == 0);
	(void)close(dfd);
	ERR(chdir("/dev/null"), ENOTDIR);
	prog_rmdir();
	return (0);
}
