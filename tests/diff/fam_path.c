/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Names, attributes and directories, each case twice: on an ordinary file
 * system, and in memory (/dev/shm).
 */

#include "diff.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#define AT	AT_FDCWD

static char here[64];

static void
enter(int mem)
{

	(void)snprintf(here, sizeof here, "%s/tkvm-diff-XXXXXX",
	    mem ? "/dev/shm" : "/tmp");
	if (mkdtemp(here) == NULL || chdir(here) != 0) {
		say("%s: %s", here, errno_name(errno));
		_exit(99);
	}
}

static void
leave(void)
{

	RET(chdir("/"));
	RET(rmdir(here));
}

#define BOTH(nm)							\
	static void do_##nm(void);					\
	CASE(nm##_disk) { enter(0); do_##nm(); leave(); }		\
	CASE(nm##_mem) { enter(1); do_##nm(); leave(); }		\
	static void							\
	do_##nm(void)

static void
put(const char *name, const char *text)
{
	int fd;

	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say("put %s: %s", name, errno_name(errno));
	if (fd >= 0)
		close(fd);
}

static void
get(const char *name)
{
	char b[100];
	ssize_t n;
	int fd;

	fd = open(name, O_RDONLY);
	if (fd < 0) {
		say("%s: %s", name, errno_name(errno));
		return;
	}
	n = read(fd, b, sizeof b);
	say("%s: \"%.*s\"", name, (int)(n < 0 ? 0 : n), b);
	close(fd);
}

static void
show(const char *name)
{
	struct stat st;

	if (lstat(name, &st) != 0)
		say("lstat %s: %s", name, errno_name(errno));
	else
		say("%s: mode %o nlink %lu size %ld", name, st.st_mode,
		    S_ISDIR(st.st_mode) ? 0 : (unsigned long)st.st_nlink,
		    S_ISDIR(st.st_mode) ? 0 : (long)st.st_size);
}

static int
by_text(const void *a, const void *b)
{

	return (strcmp(*(char *const *)a, *(char *const *)b));
}

static void
list(const char *dir)
{
	char *v[100], line[1000] = "";
	struct dirent *e;
	unsigned n = 0, u;
	DIR *d;

	d = opendir(dir);
	if (d == NULL) {
		say("opendir %s: %s", dir, errno_name(errno));
		return;
	}
	while ((e = readdir(d)) != NULL && n < 100) {
		if (asprintf(&v[n], "%s(%d)", e->d_name, e->d_type) < 0)
			break;
		n++;
	}
	closedir(d);
	qsort(v, n, sizeof v[0], by_text);
	for (u = 0; u < n; u++) {
		(void)strcat(line, " ");
		(void)strcat(line, v[u]);
		free(v[u]);
	}
	say("list %s:%s", dir, line);
}

BOTH(create)
{
	int fd;

	RET(open("a", O_RDONLY));
	RET(fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0666));
	RET(open("a", O_RDWR | O_CREAT | O_EXCL, 0666));
	RET(write(fd, "hello", 5));
	RET(close(fd));
	show("a");
	get("a");
	RET(open("a", O_WRONLY | O_DIRECTORY));
	RET(open("a/", O_RDONLY));
	RET(open("a/b", O_RDONLY));
	RET(open("a/b", O_CREAT | O_WRONLY, 0600));
	RET(open("new/", O_CREAT | O_WRONLY, 0600));
	RET(open("", O_RDONLY));
	RET(open(".", O_RDWR));
	RET(open(".", O_CREAT, 0600));
	RET(open("a", O_RDONLY | O_CREAT | O_DIRECTORY));
	RET(fd = open("a", O_WRONLY | O_TRUNC));
	RET(close(fd));
	show("a");
	RET(unlink("a"));
	show("a");
	RET(unlink("a"));
}

BOTH(create_mode)
{
	mode_t old = umask(027);

	put("a", "");
	RET(chmod("a", 0777));
	show("a");
	RET(mkdir("d", 0777));
	show("d");
	SHOW(umask(0) == 027);
	RET(close(open("b", O_CREAT | O_WRONLY, 0666)));
	show("b");
	RET(umask(01777) == 0);
	SHOW(umask(old));
	RET(unlink("a"));
	RET(unlink("b"));
	RET(rmdir("d"));
}

BOTH(openat_dirfd)
{
	int d, f;

	RET(mkdir("d", 0755));
	MUST((d = open("d", O_RDONLY | O_DIRECTORY)) >= 0);
	RET(f = openat(d, "x", O_CREAT | O_RDWR, 0644));
	RET(openat(f, "x", O_RDONLY));
	RET(openat(99, "x", O_RDONLY));
	RET(faccessat(d, "x", R_OK, 0));
	RET(faccessat(d, "../d/x", F_OK, 0));
	RET(faccessat(d, "y", F_OK, 0));
	RET(mkdirat(d, "sub", 0700));
	RET(unlinkat(d, "sub", 0));
	RET(unlinkat(d, "x", AT_REMOVEDIR));
	RET(unlinkat(d, "sub", AT_REMOVEDIR));
	RET(unlinkat(d, "x", 0));
	RET(unlinkat(d, "x", 77));
	RET(fchdir(d));
	RET(access("../d", F_OK));
	RET(chdir(".."));
	RET(fchdir(f));
	RET(rmdir("d"));
	RET(openat(d, "z", O_CREAT | O_RDWR, 0644));
	close(d);
	close(f);
}

BOTH(openat2_how)
{
	struct open_how how = { .flags = O_CREAT | O_RDWR, .mode = 0640 };
	char big[64] = { 0 };
	int fd;

	RET(fd = (int)syscall(SYS_openat2, AT, "a", &how, sizeof how));
	close(fd);
	show("a");
	RET(syscall(SYS_openat2, AT, "a", &how, sizeof how - 1));
	how.flags = O_RDONLY;
	RET(syscall(SYS_openat2, AT, "a", &how, sizeof how));
	how.mode = 0;
	how.flags = 1UL << 40;
	RET(syscall(SYS_openat2, AT, "a", &how, sizeof how));
	how.flags = O_RDONLY;
	memcpy(big, &how, sizeof how);
	RET(fd = (int)syscall(SYS_openat2, AT, "a", big, sizeof big));
	close(fd);
	big[60] = 1;
	RET(syscall(SYS_openat2, AT, "a", big, sizeof big));
	RET(syscall(SYS_openat2, AT, "a", (void *)8, sizeof how));
	RET(unlink("a"));
}

static void
resolve(int d, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = O_RDONLY, .resolve = flags };
	int fd;

	fd = (int)syscall(SYS_openat2, d, path, &how, sizeof how);
	say("%s %x: %s", path, (unsigned)flags,
	    fd < 0 ? errno_name(errno) : "ok");
	if (fd >= 0)
		close(fd);
}

BOTH(openat2_resolve)
{
	static const uint64_t how[] = { 0, RESOLVE_NO_SYMLINKS,
	    RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT,
	    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH | RESOLVE_IN_ROOT,
	    0x40 };
	static const char *const path[] = { "f", "e/f", "e/../f", "l", "e/up",
	    "../d/f", "e/../../d/f", "out", "out/d/f", "/f", "/e/f", "/dev/null",
	    "none", "abs", "e/abs", "../../../f", "proc", "/", ".", ".." };
	struct open_how create = { .flags = O_CREAT | O_WRONLY, .mode = 0600,
	    .resolve = RESOLVE_BENEATH };
	unsigned u, v;
	int d;

	RET(mkdir("d", 0755));
	RET(mkdir("d/e", 0755));
	put("d/f", "one");
	put("d/e/f", "two");
	RET(symlink("f", "d/l"));
	RET(symlink("../f", "d/e/up"));
	RET(symlink("..", "d/out"));
	RET(symlink("/f", "d/abs"));
	RET(symlink("/e/f", "d/e/abs"));
	RET(symlink("/proc/self/root", "d/proc"));
	MUST((d = open("d", O_RDONLY | O_DIRECTORY)) >= 0);
	for (u = 0; u < sizeof how / sizeof *how; u++)
		for (v = 0; v < sizeof path / sizeof *path; v++)
			resolve(d, path[v], how[u]);
	for (v = 0; v < 6; v++)
		resolve(d, path[v], RESOLVE_NO_XDEV);
	resolve(d, "f", RESOLVE_CACHED);
	resolve(d, "/proc/self/exe", RESOLVE_NO_MAGICLINKS);
	resolve(d, "/proc/self/fd/0", RESOLVE_NO_MAGICLINKS);
	resolve(d, "/proc/self/status", RESOLVE_NO_MAGICLINKS);
	resolve(AT_FDCWD, "/proc/version", RESOLVE_NO_XDEV);
	WORKS(syscall(SYS_openat2, d, "new", &create, sizeof create));
	RET(syscall(SYS_openat2, d, "../new", &create, sizeof create));
	show("d/new");
	create.flags |= O_PATH;
	RET(syscall(SYS_openat2, d, "new", &create, sizeof create));
	close(d);
	RET(unlink("d/proc") | unlink("d/e/abs") | unlink("d/abs") |
	    unlink("d/out") | unlink("d/e/up") | unlink("d/l") |
	    unlink("d/e/f") | unlink("d/f") | unlink("d/new") |
	    rmdir("d/e") | rmdir("d"));
}

BOTH(links)
{

	put("a", "one");
	RET(link("a", "b"));
	show("a");
	RET(link("a", "b"));
	RET(link("nothing", "c"));
	RET(link("a", "no/c"));
	RET(mkdir("d", 0755));
	RET(link("d", "e"));
	RET(unlink("a"));
	show("b");
	get("b");
	RET(symlink("b", "s"));
	RET(symlink("b", "s"));
	RET(symlink("", "e"));
	show("s");
	get("s");
	RET(linkat(AT, "s", AT, "t", 0));
	show("t");
	RET(linkat(AT, "s", AT, "u", AT_SYMLINK_FOLLOW));
	show("u");
	RET(unlink("d"));
	RET(rmdir("d"));
	RET(rmdir("b"));
	RET(unlink("b"));
	RET(unlink("s"));
	RET(unlink("t"));
	RET(unlink("u"));
}

BOTH(symlinks)
{
	char b[100];
	ssize_t n;

	RET(mkdir("d", 0755));
	RET(symlink("d", "l"));
	RET(symlink("loop", "loop"));
	RET(symlink("nowhere", "dang"));
	put("l/x", "inside");
	get("d/x");
	n = readlink("l", b, sizeof b);
	say("readlink: %.*s", (int)n, b);
	n = readlink("l", b, 0);
	say("readlink: %ld %s", (long)n, errno_name(errno));
	memset(b, '.', sizeof b);
	RET(readlink("dang", b, 3));
	say("%.4s", b);
	RET(readlink("d", b, sizeof b));
	RET(readlink("none", b, sizeof b));
	RET(readlink("l", (char *)8, 10));
	RET(open("loop", O_RDONLY));
	RET(open("loop", O_RDONLY | O_NOFOLLOW));
	RET(open("dang", O_RDONLY));
	RET(close(open("dang", O_WRONLY | O_CREAT, 0600)));
	show("nowhere");
	RET(open("dang", O_WRONLY | O_CREAT | O_EXCL, 0600));
	RET(open("l", O_RDONLY | O_NOFOLLOW));
	RET(close(open("l", O_RDONLY | O_DIRECTORY)));
	RET(rmdir("l"));
	RET(unlink("l/x"));
	RET(unlink("l"));
	RET(unlink("loop"));
	RET(unlink("dang"));
	RET(unlink("nowhere"));
	RET(rmdir("d"));
}

BOTH(rename_files)
{

	put("a", "a");
	put("b", "b");
	RET(rename("a", "c"));
	get("c");
	show("a");
	RET(rename("c", "b"));
	get("b");
	RET(rename("none", "b"));
	RET(rename("b", "b"));
	RET(rename("b", "no/b"));
	RET(rename("b", "."));
	RET(mkdir("d", 0755));
	RET(rename("b", "d"));
	RET(rename("d", "b"));
	RET(rename("b", "d/b"));
	get("d/b");
	RET(mkdir("e", 0755));
	RET(rename("e", "d"));
	RET(rename("d", "e"));
	get("e/b");
	RET(rename("e", "e/f"));
	RET(mkdir("e/g", 0755));
	RET(rename("e", "e/g/h"));
	RET(rename("e/g", "g"));
	RET(rename("g", "g2/"));
	put("f", "f");
	RET(rename("f", "h/"));
	list(".");
	list("e");
	RET(unlink("f"));
	RET(rmdir("g2"));
	RET(unlink("e/b"));
	RET(rmdir("e"));
}

BOTH(rename_flags)
{

	put("a", "a");
	put("b", "b");
	RET(renameat2(AT, "a", AT, "b", RENAME_NOREPLACE));
	RET(renameat2(AT, "a", AT, "c", RENAME_NOREPLACE));
	RET(renameat2(AT, "c", AT, "b", RENAME_EXCHANGE));
	get("b");
	get("c");
	RET(renameat2(AT, "c", AT, "x", RENAME_EXCHANGE));
	RET(renameat2(AT, "c", AT, "b",
	    RENAME_EXCHANGE | RENAME_NOREPLACE));
	RET(renameat2(AT, "c", AT, "b", 1U << 20));
	RET(mkdir("d", 0755));
	RET(mkdir("d/e", 0755));
	RET(renameat2(AT, "d/e", AT, "c", RENAME_EXCHANGE));
	get("d/e");
	show("c");
	RET(rmdir("c"));
	RET(unlink("d/e"));
	RET(rmdir("d"));
	RET(unlink("b"));
}

BOTH(directories)
{
	char name[300];

	RET(mkdir("d", 0755));
	RET(mkdir("d", 0755));
	RET(mkdir("d/", 0755));
	RET(mkdir("x/y", 0755));
	RET(mkdir("d/e/", 0755));
	RET(mkdir(".", 0755));
	RET(mkdir("", 0755));
	RET(rmdir("d"));
	RET(rmdir("d/."));
	RET(rmdir("d/.."));
	RET(rmdir("d/e"));
	list("d");
	RET(rmdir("d"));
	RET(rmdir("d"));
	memset(name, 'n', sizeof name);
	name[255] = '\0';
	RET(mkdir(name, 0755));
	RET(rmdir(name));
	name[255] = 'n';
	name[256] = '\0';
	RET(mkdir(name, 0755));
	put("f", "");
	RET(mkdir("f/d", 0755));
	RET(rmdir("f"));
	RET(unlink("f"));
}

BOTH(nlink_of_dirs)
{
	struct stat st;

	RET(mkdir("d", 0755));
	RET(mkdir("d/e", 0755));
	RET(stat("d", &st));
	SHOW(st.st_nlink == 3 || st.st_nlink == 1);
	RET(rmdir("d/e"));
	RET(rmdir("d"));
}

BOTH(getdents)
{
	char name[20], b[200];
	int i, fd, n, entries = 0;
	DIR *d;
	struct dirent *e;
	long pos = 0;

	for (i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof name, "file%02d", i);
		put(name, "");
	}
	MUST((fd = open(".", O_RDONLY | O_DIRECTORY)) >= 0);
	RET(syscall(SYS_getdents64, fd, b, 10));
	RET(syscall(SYS_getdents64, fd, (void *)8, 200));
	while ((n = (int)syscall(SYS_getdents64, fd, b, sizeof b)) > 0)
		for (i = 0; i < n; i += *(uint16_t *)(b + i + 16))
			entries++;
	SHOW(n);
	SHOW(entries);
	RET(syscall(SYS_getdents64, fd, b, sizeof b));
	SHOW(lseek(fd, 0, SEEK_SET));
	SHOW(syscall(SYS_getdents64, fd, b, sizeof b) > 0);
	close(fd);
	RET(syscall(SYS_getdents64, fd, b, sizeof b));
	MUST((fd = open("file00", O_RDONLY)) >= 0);
	RET(syscall(SYS_getdents64, fd, b, sizeof b));
	close(fd);
	/* removing while reading */
	MUST((d = opendir(".")) != NULL);
	for (entries = 0; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		if (entries == 5)
			pos = telldir(d);
		if (unlink(e->d_name) == 0)
			entries++;
	}
	SHOW(entries);
	(void)pos;
	closedir(d);
	list(".");
}

BOTH(chmods)
{
	int fd;

	put("a", "x");
	RET(chmod("a", 0400));
	show("a");
	RET(access("a", R_OK));
	RET(access("a", X_OK));
	RET(access("a", 8));
	RET(access("b", F_OK));
	MUST((fd = open("a", O_RDONLY)) >= 0);
	RET(fchmod(fd, 0750));
	show("a");
	RET(access("a", X_OK));
	RET(fchmodat(AT, "a", 0604, 0));
	show("a");
	RET(fchmod(99, 0));
	RET(chmod("none", 0));
	RET(fchown(fd, (uid_t)-1, (gid_t)-1));
	RET(lchown("a", getuid(), getgid()));
	RET(chown("none", 0, 0));
	close(fd);
	RET(unlink("a"));
}

BOTH(times)
{
	struct timespec ts[2] = { { 1000, 5 }, { 2000, 7 } };
	struct stat st;
	int fd;

	put("a", "x");
	RET(utimensat(AT, "a", ts, 0));
	RET(stat("a", &st));
	say("%ld.%ld %ld.%ld", st.st_atim.tv_sec, st.st_atim.tv_nsec,
	    st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_sec = 3000;
	RET(utimensat(AT, "a", ts, 0));
	RET(stat("a", &st));
	say("%ld %ld", st.st_atim.tv_sec, st.st_mtim.tv_sec);
	ts[1].tv_nsec = UTIME_NOW;
	MUST((fd = open("a", O_RDWR)) >= 0);
	RET(futimens(fd, ts));
	RET(fstat(fd, &st));
	SHOW(st.st_atim.tv_sec == 1000);
	SHOW(time(NULL) - st.st_mtim.tv_sec < 3);
	ts[1].tv_nsec = 1000000000;
	RET(utimensat(AT, "a", ts, 0));
	RET(utimensat(AT, "none", NULL, 0));
	RET(utimensat(99, NULL, NULL, 0));
	RET(utimensat(AT, "a", (void *)8, 0));
	/* a write moves mtime */
	ts[0].tv_nsec = ts[1].tv_nsec = 0;
	RET(futimens(fd, ts));
	RET(write(fd, "y", 1));
	RET(fstat(fd, &st));
	SHOW(st.st_mtim.tv_sec > 100000);
	close(fd);
	RET(unlink("a"));
}

BOTH(stats)
{
	struct stat st, st2;
	struct statx sx;
	int fd;

	put("a", "12345");
	RET(stat("a", &st));
	MUST((fd = open("a", O_RDONLY)) >= 0);
	RET(fstat(fd, &st2));
	SHOW(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev);
	RET(fstatat(fd, "", &st2, AT_EMPTY_PATH));
	SHOW(st.st_ino == st2.st_ino);
	RET(fstatat(fd, "", &st2, 0));
	SHOW(st.st_uid == getuid() && st.st_size == 5);
	SHOW(st.st_blocks > 0);
	RET(stat("a", (void *)8));
	RET(stat((void *)8, &st));
	RET(stat("", &st));
	RET(stat("a/", &st));
	RET(fstat(99, &st));
	RET(statx(AT, "a", 0, STATX_BASIC_STATS, &sx));
	SHOW(sx.stx_size);
	SHOW(sx.stx_mode);
	SHOW(sx.stx_ino == st.st_ino);
	SHOW(makedev(sx.stx_dev_major, sx.stx_dev_minor) == st.st_dev);
	RET(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &sx));
	SHOW(sx.stx_size);
	RET(statx(AT, "none", 0, STATX_SIZE, &sx));
	RET(statx(AT, "a", 1 << 20, STATX_SIZE, &sx));
	RET(statx(AT, "a", 0, 1U << 31, &sx));
	close(fd);
	RET(unlink("a"));
}

BOTH(statfs)
{
	struct statfs sf;

	RET(statfs(".", &sf));
	SHOW(sf.f_bsize == 4096);
	SHOW(sf.f_namelen);
	SHOW(sf.f_blocks > 0 && sf.f_bavail > 0);
	RET(statfs("none", &sf));
	RET(statfs(".", (void *)8));
	RET(fstatfs(99, &sf));
}

BOTH(cwd)
{
	char b[300], old[300];

	MUST(getcwd(old, sizeof old) != NULL);
	SHOW(strcmp(old, here) == 0);
	RET(mkdir("d", 0755));
	RET(mkdir("d/e", 0755));
	RET(chdir("d/e"));
	MUST(getcwd(b, sizeof b) != NULL);
	say("%s", b + strlen(old));
	RET(chdir("../.."));
	RET(chdir("d/none"));
	put("f", "");
	RET(chdir("f"));
	RET(chdir(""));
	RET(syscall(SYS_getcwd, b, 2));
	RET(syscall(SYS_getcwd, (void *)8, 200));
	SHOW(syscall(SYS_getcwd, b, sizeof b) == (long)strlen(old) + 1);
	RET(unlink("f"));
	RET(rmdir("d/e"));
	RET(rmdir("d"));
}

BOTH(o_path)
{
	struct stat st;
	char b[10];
	int fd;

	put("a", "text");
	MUST((fd = open("a", O_PATH)) >= 0);
	RET(read(fd, b, 1));
	RET(write(fd, b, 1));
	RET(fstat(fd, &st));
	SHOW(st.st_size);
	RET(fchmod(fd, 0600));
	RET(ftruncate(fd, 0));
	RET(lseek(fd, 0, SEEK_SET));
	WORKS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0));
	RET(fcntl(fd, F_GETFL) & (O_PATH | O_ACCMODE));
	RET(faccessat(fd, "", R_OK, AT_EMPTY_PATH));
	close(fd);
	RET(symlink("a", "l"));
	MUST((fd = open("l", O_PATH | O_NOFOLLOW)) >= 0);
	RET(fstat(fd, &st));
	SHOW(S_ISLNK(st.st_mode));
	RET(readlinkat(fd, "", b, sizeof b));
	close(fd);
	RET(unlink("l"));
	RET(unlink("a"));
}

BOTH(unlinked)
{
	struct stat st;
	char b[20];
	int fd;

	MUST((fd = open("a", O_RDWR | O_CREAT, 0600)) >= 0);
	RET(write(fd, "data", 4));
	RET(unlink("a"));
	RET(fstat(fd, &st));
	SHOW(st.st_nlink);
	RET(pread(fd, b, 4, 0));
	RET(write(fd, "more", 4));
	RET(fstat(fd, &st));
	SHOW(st.st_size);
	put("a", "other");
	RET(pread(fd, b, 4, 4));
	say("%.4s", b);
	close(fd);
	get("a");
	RET(unlink("a"));
}

BOTH(o_tmpfile)
{
	char name[64];
	struct stat st;
	int fd;

	RET(open(".", O_TMPFILE | O_RDONLY, 0600));
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0) {
		/* not everywhere: programs then make a named one */
		SHOW(errno == EOPNOTSUPP && here[1] == 't');
		return;
	}
	(void)fstat(fd, &st);
	if (here[1] == 't') {
		close(fd);
		say("%s: 1", "errno == EOPNOTSUPP && here[1] == 't'");
		return;
	}
	SHOW(st.st_nlink);
	RET(write(fd, "tmp", 3));
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	RET(linkat(AT, name, AT, "named", AT_SYMLINK_FOLLOW));
	close(fd);
	show("named");
	get("named");
	RET(unlink("named"));
}

BOTH(bad_strings)
{
	uint8_t *e = mem_edge();
	char *p;

	memcpy(e - 2, "a", 2);
	RET(close(open((char *)e - 2, O_CREAT | O_WRONLY, 0600)));
	memcpy(e - 1, "a", 1);
	RET(open((char *)e - 1, O_RDONLY));
	RET(open((char *)e, O_RDONLY));
	RET(open(NULL, O_RDONLY));
	p = (char *)mem_new(3 * PG);
	memset(p, 'x', 2 * PG);
	RET(open(p, O_RDONLY));
	memset(p, '/', 2 * PG);
	RET(open(p, O_RDONLY));
	for (unsigned u = 0; u < PG - 2; u += 2)
		memcpy(p + u, "./", 2);
	memcpy(p + PG - 2, "a", 2);
	RET(close(open(p, O_RDONLY)));
	RET(unlink("a"));
}

BOTH(dots)
{

	RET(mkdir("d", 0755));
	put("d/../a", "x");
	get("./d/./../a");
	get("d/..//a");
	get("d//../d/../a");
	get("a/.");
	get("a/..");
	get("none/../a");
	RET(unlink("d/../a"));
	RET(unlink("."));
	RET(unlink(".."));
	RET(rmdir("d"));
}

BOTH(flocks)
{
	int a, b, c;

	MUST((a = open("f", O_RDWR | O_CREAT, 0600)) >= 0);
	MUST((b = open("f", O_RDWR)) >= 0);
	MUST((c = dup(a)) >= 0);
	RET(flock(a, LOCK_EX | LOCK_NB));
	RET(flock(b, LOCK_SH | LOCK_NB));
	RET(flock(c, LOCK_SH | LOCK_NB));
	RET(flock(b, LOCK_SH | LOCK_NB));
	RET(flock(b, LOCK_EX | LOCK_NB));
	RET(flock(a, LOCK_UN));
	RET(flock(b, LOCK_EX | LOCK_NB));
	RET(flock(b, 77));
	RET(flock(99, LOCK_EX));
	close(b);
	RET(flock(a, LOCK_EX | LOCK_NB));
	close(a);
	MUST((b = open("f", O_RDWR)) >= 0);
	RET(flock(b, LOCK_EX | LOCK_NB));
	close(c);
	RET(flock(b, LOCK_EX | LOCK_NB));
	close(b);
	RET(unlink("f"));
}

static int
lock(int fd, int cmd, int type, long start, long len)
{
	struct flock fl = { .l_type = (short)type, .l_whence = SEEK_SET,
	    .l_start = start, .l_len = len };
	int r = fcntl(fd, cmd, &fl);

	if (r == 0 && (cmd == F_GETLK || cmd == F_OFD_GETLK))
		say("  type %d start %ld len %ld", fl.l_type,
		    fl.l_type == F_UNLCK ? 0 : (long)fl.l_start,
		    fl.l_type == F_UNLCK ? 0 : (long)fl.l_len);
	return (r);
}

BOTH(record_locks)
{
	int a, b, r;

	MUST((a = open("f", O_RDWR | O_CREAT, 0600)) >= 0);
	RET(lock(a, F_SETLK, F_WRLCK, 0, 10));
	RET(lock(a, F_GETLK, F_WRLCK, 0, 10));
	RET(lock(a, F_SETLK, F_RDLCK, 2, 3));
	RET(lock(a, F_SETLK, F_UNLCK, 0, 0));
	RET(lock(a, F_SETLK, 77, 0, 0));
	RET(lock(a, F_SETLK, F_WRLCK, -5, 0));
	MUST((r = open("f", O_RDONLY)) >= 0);
	RET(lock(r, F_SETLK, F_WRLCK, 0, 1));
	RET(lock(r, F_SETLK, F_RDLCK, 0, 1));
	RET(fcntl(a, F_SETLK, (void *)8));
	close(r);
	MUST((b = open("f", O_RDWR)) >= 0);
	RET(lock(a, F_OFD_SETLK, F_WRLCK, 10, 10));
	RET(lock(b, F_OFD_SETLK, F_WRLCK, 0, 5));
	RET(lock(b, F_OFD_SETLK, F_RDLCK, 15, 1));
	RET(lock(b, F_OFD_GETLK, F_RDLCK, 15, 1));
	RET(lock(a, F_OFD_SETLK, F_UNLCK, 14, 3));
	RET(lock(b, F_OFD_SETLK, F_RDLCK, 15, 1));
	RET(lock(b, F_OFD_GETLK, F_WRLCK, 17, 100));
	RET(lock(b, F_OFD_GETLK, F_WRLCK, 10, 1));
	close(a);
	RET(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
	close(b);
	RET(unlink("f"));
}

/* They are the process's: its descriptors never exclude each other. */
BOTH(record_locks_of_the_process)
{
	int a, b, c, r;

	MUST((a = open("f", O_RDWR | O_CREAT, 0600)) >= 0);
	MUST((b = open("f", O_RDWR)) >= 0);
	MUST((r = open("f", O_RDONLY)) >= 0);
	RET(lock(a, F_SETLK, F_RDLCK, 0, 10));
	RET(lock(b, F_SETLK, F_WRLCK, 0, 10));
	RET(lock(b, F_GETLK, F_WRLCK, 0, 10));
	RET(lock(r, F_SETLK, F_RDLCK, 0, 100));
	RET(lock(r, F_GETLK, F_WRLCK, 0, 100));
	RET(lock(a, F_SETLKW, F_WRLCK, 0, 0));
	RET(lock(b, F_SETLK, F_UNLCK, 0, 0));
	/* what another process would see */
	MUST((c = open("f", O_RDWR)) >= 0);
	RET(lock(c, F_OFD_GETLK, F_WRLCK, 0, 0));
	RET(lock(a, F_SETLK, F_WRLCK, 3, 4));
	/* closing any of them drops the locks of all */
	close(b);
	RET(lock(c, F_OFD_SETLK, F_WRLCK, 0, 0));
	close(a);
	close(r);
	close(c);
	RET(unlink("f"));
}

/* ---- named pipes --------------------------------------------------------------- */

/* Not the one of another run, nor of one that came to no end */
static char fifo_path[40];
#define FIFO	fifo_path

static void *
fifo_writer(void *priv)
{
	int fd;

	if (priv != NULL)
		ms_sleep(30);
	fd = open(FIFO, O_WRONLY);
	if (fd < 0 || write(fd, "hello", 5) != 5)
		say("writer: %s", errno_name(errno));
	ms_sleep(20);
	(void)close(fd);
	return (NULL);
}

static void *
fifo_reader(void *arg)
{
	char b[8];
	int r;

	(void)arg;
	r = open(FIFO, O_RDONLY);
	if (r < 0 || read(r, b, sizeof b) != 3)
		say("reader: %s", errno_name(errno));
	close(r);
	return (NULL);
}

CASE(fifo)
{
	struct stat st;
	struct pollfd pfd = { .events = POLLIN };
	char b[20];
	pthread_t th;
	int r, w, late;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(fifo_path, sizeof fifo_path, "/dev/shm/tkvm-fifo-%d",
	    (int)getpid());
	RET(mkfifo(FIFO, 0644));
	RET(mkfifo(FIFO, 0644));
	RET(stat(FIFO, &st));
	SHOW(S_ISFIFO(st.st_mode));
	SHOW(st.st_mode & 0777);
	RET(open(FIFO, O_WRONLY | O_NONBLOCK));
	MUST((r = open(FIFO, O_RDONLY | O_NONBLOCK)) >= 0);
	RET(read(r, b, sizeof b));		/* nobody writes: the end */
	pfd.fd = r;
	RET(poll(&pfd, 1, 0));			/* ... which poll waits for */
	SHOW(pfd.revents);
	MUST((w = open(FIFO, O_WRONLY | O_NONBLOCK)) >= 0);
	RET(read(r, b, sizeof b));
	RET(poll(&pfd, 1, 0));
	RET(write(w, "abc", 3));
	RET(read(r, b, 2));
	RET(read(r, b, sizeof b));
	RET(lseek(r, 0, SEEK_SET));
	RET(fstat(r, &st));
	SHOW(S_ISFIFO(st.st_mode));
	RET(close(w));
	RET(poll(&pfd, 1, 0));
	SHOW(pfd.revents);
	RET(read(r, b, sizeof b));
	/* and another writer */
	MUST((w = open(FIFO, O_WRONLY)) >= 0);
	RET(write(w, "again", 5));
	RET(read(r, b, sizeof b));
	RET(close(r));
	RET(write(w, "x", 1));
	RET(close(w));
	/* each waits for the other, whoever comes first */
	for (late = 0; late < 2; late++) {
		th = thread_start(fifo_writer, late ? b : NULL);
		if (!late)
			ms_sleep(30);
		MUST((r = open(FIFO, O_RDONLY)) >= 0);
		RET(read(r, b, sizeof b));
		RET(read(r, b, sizeof b));
		RET(close(r));
		(void)pthread_join(th, NULL);
	}
	/* A reader that still waits counts. */
	th = thread_start(fifo_reader, NULL);
	ms_sleep(30);
	MUST((w = open(FIFO, O_WRONLY | O_NONBLOCK)) >= 0);
	RET(write(w, "xyz", 3));
	(void)pthread_join(th, NULL);
	RET(close(w));
	RET(unlink(FIFO));
	RET(open(FIFO, O_RDONLY));
	RET(open("/dev/shm/.", O_RDONLY | O_CREAT));
}
