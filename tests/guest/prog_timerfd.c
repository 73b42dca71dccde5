/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * timerfd: one shot, intervals, absolute times, reading, cancelling.
 */

#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <poll.h>

#include "prog.h"

static int
epoll_edges(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int i, n = 0, ep = epoll_create1(0);

	OK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
	for (i = 0; i < 4; i++)
		n += epoll_wait(ep, &ev, 1, 15);
	OK(close(ep) == 0);
	return (n);
}

int
main(void)
{
	struct itimerspec its = { 0 }, old;
	struct timespec ts;
	struct pollfd p;
	uint64_t n;
	double t;
	int fd;

	fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	OK(fd >= 0);
	ERR(read(fd, &n, 8), EAGAIN);
	p = (struct pollfd){ .fd = fd, .events = POLLIN };
	OK(poll(&p, 1, 0) == 0);
	its.it_value.tv_sec = 1000;
	OK(timerfd_settime(fd, 0, &its, NULL) == 0);
	OK(timerfd_gettime(fd, &old) == 0 && old.it_value.tv_sec < 1001 &&
	    old.it_value.tv_sec > 900 && old.it_interval.tv_sec == 0);
	its.it_value = (struct timespec){ .tv_nsec = 30000000 };
	t = prog_now();
	OK(timerfd_settime(fd, 0, &its, NULL) == 0);
	/* Never early; how late depends on what else the host does. */
	OK(poll(&p, 1, 20000) == 1 && p.revents == POLLIN);
	OK(prog_now() - t > 0.0299);
	OK(read(fd, &n, 8) == 8 && n == 1);
	ERR(read(fd, &n, 8), EAGAIN);
	/* An interval that expires several times before it is read. */
	its.it_interval.tv_nsec = 10000000;
	its.it_value.tv_nsec = 10000000;
	OK(timerfd_settime(fd, 0, &its, NULL) == 0);
	(void)usleep(65000);
	OK(read(fd, &n, 8) == 8 && n >= 5);
	/* One edge until it is read or asked for, however often it expires. */
	(void)usleep(15000);
	OK(epoll_edges(fd) == 1);
	OK(timerfd_gettime(fd, &old) == 0);
	(void)usleep(15000);
	OK(read(fd, &n, 8) == 8 && n >= 5);
	/* Absolute and in the past: at once. */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	its = (struct itimerspec){ .it_value = ts };
	OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, &old) == 0 &&
	    old.it_interval.tv_nsec == 10000000);
	OK(poll(&p, 1, 1000) == 1 && read(fd, &n, 8) == 8 && n == 1);
	/* Zero disarms. */
	its.it_value = (struct timespec){ .tv_nsec = 20000000 };
	OK(timerfd_settime(fd, 0, &its, NULL) == 0);
	its.it_value.tv_nsec = 0;
	OK(timerfd_settime(fd, 0, &its, NULL) == 0);
	OK(poll(&p, 1, 50) == 0);
	its.it_value.tv_nsec = 1000000000;
	ERR(timerfd_settime(fd, 0, &its, NULL), EINVAL);
	its.it_value.tv_nsec = 0;
	ERR(timerfd_settime(0x7ffffff, 0, &its, NULL), EBADF);
	OK(close(fd) == 0);
	ERR(timerfd_create(77, 0), EINVAL);
	return (0);
}
