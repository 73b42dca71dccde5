/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Descriptors: dup, dup2, dup3, fcntl, close-on-exec, shared offsets.
 */

#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fcntl.h>

#include "prog.h"

int
main(void)
{
	struct rlimit rl;
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char b[8];
	int fd, d, e, p[2], one = 1, i;

	prog_tmpdir();
	fd = open("f", O_RDWR | O_CREAT, 0600);
	d = dup(fd);
	OK(d > fd);
	OK(write(fd, "abc", 3) == 3 && write(d, "def", 3) == 3);
	OK(lseek(fd, 0, SEEK_CUR) == 6);
	OK(dup2(fd, 50) == 50 && dup2(fd, fd) == fd);
	OK(lseek(50, 1, SEEK_SET) == 1 && read(d, b, 2) == 2 && b[0] == 'b');
	e = open("f", O_RDONLY);
	OK(read(e, b, 1) == 1 && b[0] == 'a');
	OK(dup3(fd, 51, O_CLOEXEC) == 51 && fcntl(51, F_GETFD) == FD_CLOEXEC);
	ERR(dup3(fd, fd, 0), EINVAL);
	ERR(dup2(0x7ffffff, 5), EBADF);
	ERR(dup2(fd, -1), EBADF);
	OK(fcntl(fd, F_GETFD) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
	    fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(d, F_GETFD) == 0);
	OK(fcntl(fd, F_DUPFD, 100) == 100);
	OK(fcntl(fd, F_DUPFD_CLOEXEC, 100) == 101 &&
	    fcntl(101, F_GETFD) == FD_CLOEXEC);
	ERR(fcntl(fd, 9999), EINVAL);
	/* The lowest free number, always. */
	(void)close(d);
	OK(dup(fd) == d);
	OK(fcntl(fd, F_SETLK, &fl) == 0);
	fl.l_type = F_UNLCK;
	OK(fcntl(fd, F_SETLK, &fl) == 0);
	OK(pipe(p) == 0);
	OK((fcntl(p[0], F_GETFL) & O_ACCMODE) == O_RDONLY &&
	    (fcntl(p[1], F_GETFL) & O_ACCMODE) == O_WRONLY);
	OK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
	ERR(read(p[0], b, 1), EAGAIN);
	one = 0;
	OK(ioctl(p[0], FIONBIO, &one) == 0 &&
	    (fcntl(p[0], F_GETFL) & O_NONBLOCK) == 0);
	ERR(ioctl(p[0], TIOCGWINSZ, b), ENOTTY);
	OK(isatty(fd) == 0);
	OK(getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur >= 64);
	for (i = 0; i < 60 && (e = dup(fd)) >= 0; i++)
		continue;
	OK(i == 60);
	OK(close_range(3, ~0U, 0) == 0);
	ERR(fcntl(fd, F_GETFD), EBADF);
	OK(unlink("f") == 0);
	prog_rmdir();
	return (0);
}
