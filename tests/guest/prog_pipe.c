/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Pipes: order, capacity, non-blocking, end of file, EPIPE.
 */

#define _GNU_SOURCE
#include <sys/ioctl.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include "prog.h"

int
main(void)
{
	static char big[200000], back[200000];
	struct pollfd pfd;
	ssize_t r, n;
	int fd[2], avail;

	(void)signal(SIGPIPE, SIG_IGN);
	OK(pipe2(fd, O_NONBLOCK | O_CLOEXEC) == 0);
	ERR(read(fd[0], back, 1), EAGAIN);
	OK(write(fd[1], "abc", 3) == 3 && write(fd[1], "def", 3) == 3);
	OK(ioctl(fd[0], FIONREAD, &avail) == 0 && avail == 6);
	OK(read(fd[0], back, 4) == 4 && memcmp(back, "abcd", 4) == 0);
	OK(read(fd[0], back, 4) == 2 && memcmp(back, "ef", 2) == 0);
	for (n = 0; n < (ssize_t)sizeof big; n++)
		big[n] = (char)(n * 7);
	OK(fcntl(fd[1], F_GETPIPE_SZ) == 65536);
	n = write(fd[1], big, sizeof big);
	OK(n == 65536);
	ERR(write(fd[1], big, 1), EAGAIN);
	pfd = (struct pollfd){ .fd = fd[1], .events = POLLOUT };
	OK(poll(&pfd, 1, 0) == 0);
	n = 0;
	while ((r = read(fd[0], back + n, 10000)) > 0)
		n += r;
	OK(n == 65536 && memcmp(big, back, 65536) == 0);
	OK(poll(&pfd, 1, 0) == 1 && pfd.revents == POLLOUT);
	OK(write(fd[1], "x", 1) == 1 && close(fd[1]) == 0);
	pfd = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	OK(poll(&pfd, 1, 0) == 1 && pfd.revents == (POLLIN | POLLHUP));
	OK(read(fd[0], back, 10) == 1);
	OK(read(fd[0], back, 10) == 0);
	OK(close(fd[0]) == 0);
	OK(pipe(fd) == 0 && close(fd[0]) == 0);
	ERR(write(fd[1], "x", 1), EPIPE);
	ERR(read(fd[1], back, 1), EBADF);
	ERR(lseek(fd[1], 0, SEEK_SET), ESPIPE);
	return (0);
}
