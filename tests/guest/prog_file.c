/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Files: open flags, read, write, pread, lseek, truncate, stat, rename.
 */

#define _GNU_SOURCE
#include <sys/stat.h>

#include <fcntl.h>

#include "prog.h"

static void
basics(void)
{
	char b[32] = "";
	int fd;

	fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
	OK(fd >= 0);
	OK(write(fd, "hello world", 11) == 11);
	OK(lseek(fd, 0, SEEK_CUR) == 11);
	OK(lseek(fd, -5, SEEK_END) == 6);
	OK(read(fd, b, sizeof b) == 5 && strcmp(b, "world") == 0);
	OK(read(fd, b, sizeof b) == 0);
	OK(pread(fd, b, 5, 0) == 5 && memcmp(b, "hello", 5) == 0);
	OK(pwrite(fd, "HELLO", 5, 0) == 5);
	OK(lseek(fd, 0, SEEK_CUR) == 11);
	OK(ftruncate(fd, 5) == 0);
	OK(lseek(fd, 100, SEEK_SET) == 100);
	OK(write(fd, "x", 1) == 1);
	(void)memset(b, 1, sizeof b);
	OK(pread(fd, b, 8, 3) == 8 && memcmp(b, "LO\0\0\0\0\0\0", 8) == 0);
	ERR(lseek(fd, -1, SEEK_SET), EINVAL);
	ERR(pread(fd, b, 1, -1), EINVAL);
	OK(fsync(fd) == 0 && fdatasync(fd) == 0);
	OK(close(fd) == 0);
	ERR(close(fd), EBADF);
	ERR(read(fd, b, 1), EBADF);
	ERR(open("a", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
	ERR(open("none", O_RDONLY), ENOENT);
	ERR(open("a/b", O_RDONLY), ENOTDIR);
	ERR(open("", O_RDONLY), ENOENT);
	ERR(open(".", O_WRONLY), EISDIR);
	ERR(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
}

static void
modes(void)
{
	char b[8];
	int fd, ap;

	fd = open("a", O_RDONLY);
	OK(fd >= 0);
	ERR(write(fd, "x", 1), EBADF);
	ERR(ftruncate(fd, 0), EINVAL);
	OK(close(fd) == 0);
	fd = open("a", O_WRONLY | O_TRUNC);
	ERR(read(fd, b, 1), EBADF);
	ap = open("a", O_RDWR | O_APPEND);
	OK(write(fd, "1234", 4) == 4);
	OK(write(ap, "56", 2) == 2);
	OK(write(fd, "x", 1) == 1);
	OK(write(ap, "7", 1) == 1);
	OK(pread(ap, b, 8, 0) == 7 && memcmp(b, "1234x67", 7) == 0);
	OK((fcntl(ap, F_GETFL) & (O_APPEND | O_ACCMODE)) ==
	    (O_APPEND | O_RDWR));
	OK(close(fd) == 0 && close(ap) == 0);
}

static void
names(void)
{
	struct stat st, st2;
	char b[64];

	OK(stat("a", &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 7);
	(void)printf("mode %o nlink %lu\n", st.st_mode & 07777,
	    (unsigned long)st.st_nlink);
	OK(link("a", "b") == 0 && stat("b", &st2) == 0);
	OK(st2.st_ino == st.st_ino && st2.st_nlink == 2);
	OK(symlink("a", "s") == 0);
	OK(readlink("s", b, sizeof b) == 1 && b[0] == 'a');
	OK(lstat("s", &st2) == 0 && S_ISLNK(st2.st_mode) && st2.st_size == 1);
	OK(stat("s", &st2) == 0 && st2.st_ino == st.st_ino);
	ERR(open("s", O_RDONLY | O_NOFOLLOW), ELOOP);
	OK(symlink("loop", "loop") == 0);
	ERR(open("loop", O_RDONLY), ELOOP);
	OK(rename("b", "c") == 0);
	ERR(stat("b", &st), ENOENT);
	OK(chmod("c", 0600) == 0 && stat("a", &st) == 0 &&
	    (st.st_mode & 07777) == 0600);
	OK(access("c", R_OK | W_OK) == 0);
	ERR(access("none", F_OK), ENOENT);
	OK(truncate("c", 3) == 0 && stat("c", &st) == 0 && st.st_size == 3);
	OK(unlink("a") == 0 && unlink("c") == 0 && unlink("s") == 0 &&
	    unlink("loop") == 0);
	ERR(unlink("a"), ENOENT);
}

int
main(void)
{
	(void)umask(022);
	prog_tmpdir();
	basics();
	modes();
	names();
	prog_rmdir();
	return (0);
}
