/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * epoll: level and edge, one shot, MOD, DEL, closing, nesting, time-out.
 */

#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <fcntl.h>

#include "prog.h"

static int ep;

static int
ctl(int op, int fd, unsigned events)
{
	struct epoll_event ev = { .events = events, .data.u64 = (uint64_t)fd };

	return (epoll_ctl(ep, op, fd, &ev));
}

/* Number of events, and those of the first. */
static int
wait_ms(int ms, unsigned *events)
{
	struct epoll_event ev[8];
	int n;

	n = epoll_wait(ep, ev, 8, ms);
	*events = n > 0 ? ev[0].events : 0;
	return (n);
}

int
main(void)
{
	unsigned e;
	char b[64];
	double t;
	int p[2], q[2], fd, outer;
	struct epoll_event ev;

	ep = epoll_create1(EPOLL_CLOEXEC);
	OK(ep >= 0 && pipe2(p, O_NONBLOCK) == 0 && pipe2(q, O_NONBLOCK) == 0);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN) == 0);
	ERR(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN), EEXIST);
	ERR(ctl(EPOLL_CTL_MOD, q[0], EPOLLIN), ENOENT);
	ERR(ctl(EPOLL_CTL_DEL, q[0], 0), ENOENT);
	ERR(ctl(EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
	ERR(ctl(EPOLL_CTL_ADD, 0x7ffffff, EPOLLIN), EBADF);
	ERR(epoll_wait(ep, &ev, 0, 0), EINVAL);
	ERR(epoll_wait(p[0], &ev, 1, 0), EINVAL);
	OK(wait_ms(0, &e) == 0);
	t = prog_now();
	OK(wait_ms(40, &e) == 0 && prog_now() - t >= 0.039);
	/* Level: as long as there is something. */
	OK(write(p[1], "abc", 3) == 3);
	OK(wait_ms(-1, &e) == 1 && e == EPOLLIN);
	OK(read(p[0], b, 1) == 1 && wait_ms(-1, &e) == 1);
	OK(read(p[0], b, 8) == 2 && wait_ms(0, &e) == 0);
	/* Edge: once for each write. */
	OK(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET) == 0);
	OK(write(p[1], "a", 1) == 1 && wait_ms(-1, &e) == 1);
	OK(wait_ms(0, &e) == 0);
	OK(write(p[1], "b", 1) == 1 && wait_ms(-1, &e) == 1);
	/* One shot: silent until armed again. */
	OK(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT) == 0);
	OK(wait_ms(-1, &e) == 1 && wait_ms(0, &e) == 0);
	OK(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT) == 0);
	OK(wait_ms(-1, &e) == 1);
	/* Two at once; the writing end is ready, too. */
	OK(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN) == 0);
	OK(ctl(EPOLL_CTL_ADD, q[1], EPOLLOUT) == 0);
	OK(wait_ms(-1, &e) == 2);
	OK(epoll_wait(ep, &ev, 1, -1) == 1);
	OK(ctl(EPOLL_CTL_DEL, q[1], 0) == 0 && wait_ms(-1, &e) == 1);
	/* An epoll in an epoll. */
	outer = epoll_create1(0);
	ev.events = EPOLLIN;
	OK(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &ev) == 0);
	OK(epoll_wait(outer, &ev, 1, 0) == 1);
	OK(read(p[0], b, sizeof b) == 2);
	OK(epoll_wait(outer, &ev, 1, 0) == 0);
	OK(close(outer) == 0);
	/* Hang-up comes unasked; closing takes the entry away. */
	OK(ctl(EPOLL_CTL_MOD, p[0], 0) == 0);
	OK(close(p[1]) == 0 && wait_ms(-1, &e) == 1 && e == EPOLLHUP);
	OK(close(p[0]) == 0 && wait_ms(0, &e) == 0);
	/* A file is refused, an eventfd is not. */
	fd = open("/proc/self/exe", O_RDONLY);
	ERR(ctl(EPOLL_CTL_ADD, fd, EPOLLIN), EPERM);
	fd = eventfd(1, 0);
	OK(ctl(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT) == 0);
	OK(wait_ms(-1, &e) == 1 && e == (EPOLLIN | EPOLLOUT));
	return (0);
}
