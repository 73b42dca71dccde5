/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * eventfd: counter, semaphore, overflow, readiness.
 */

#define _GNU_SOURCE
#include <sys/eventfd.h>

#include <poll.h>

#include "prog.h"

static int
ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	return (poll(&p, 1, 0) < 0 ? -1 : p.revents);
}

int
main(void)
{
	eventfd_t v;
	uint64_t u = UINT64_MAX;
	char small[4];
	int fd;

	fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
	OK(fd >= 0 && ready(fd) == (POLLIN | POLLOUT));
	OK(eventfd_read(fd, &v) == 0 && v == 3);
	ERR(eventfd_read(fd, &v), EAGAIN);
	OK(ready(fd) == POLLOUT);
	OK(eventfd_write(fd, 5) == 0 && eventfd_write(fd, 6) == 0);
	OK(eventfd_read(fd, &v) == 0 && v == 11);
	OK(eventfd_write(fd, UINT64_MAX - 1) == 0);
	OK(ready(fd) == POLLIN);
	ERR(eventfd_write(fd, 1), EAGAIN);
	ERR(write(fd, &u, 8), EINVAL);
	ERR(write(fd, &u, 4), EINVAL);
	ERR(read(fd, small, 4), EINVAL);
	OK(close(fd) == 0);
	fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	OK(eventfd_read(fd, &v) == 0 && v == 1);
	OK(eventfd_read(fd, &v) == 0 && v == 1);
	ERR(eventfd_read(fd, &v), EAGAIN);
	OK(close(fd) == 0);
	ERR(eventfd(0, 0x10000), EINVAL);
	return (0);
}
