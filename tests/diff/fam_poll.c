/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * epoll, poll, select and their relatives.
 */

#include "diff.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>

static void
waits(int e, int ms)
{
	struct epoll_event v[8];
	char line[200] = "", one[40];
	int i, n;

	memset(v, 0, sizeof v);
	n = epoll_wait(e, v, 8, ms);
	for (i = 0; i < n; i++) {
		(void)snprintf(one, sizeof one, " %ld:%x",
		    (long)v[i].data.u64, v[i].events);
		(void)strcat(line, one);
	}
	say("epoll: %s%s", n < 0 ? errno_name(errno) : "", n == 0 ? " none" :
	    line);
}

static int
ctl(int e, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event v = { .events = events, .data.u64 = data };

	return (epoll_ctl(e, op, fd, &v));
}

CASE(level)
{
	int e, p[2];
	char b[10];

	MUST((e = epoll_create1(0)) >= 0 && pipe(p) == 0);
	RET(ctl(e, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	RET(ctl(e, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	RET(ctl(e, EPOLL_CTL_ADD, p[1], EPOLLOUT, 2));
	waits(e, 0);
	RET(write(p[1], "xy", 2));
	RET(ctl(e, EPOLL_CTL_MOD, p[1], 0, 2));
	waits(e, 0);
	RET(read(p[0], b, 1));
	waits(e, 0);
	RET(read(p[0], b, 1));
	waits(e, 0);
	RET(close(p[1]));
	waits(e, 0);
	RET(ctl(e, EPOLL_CTL_DEL, p[0], 0, 0));
	RET(ctl(e, EPOLL_CTL_DEL, p[0], 0, 0));
	RET(ctl(e, EPOLL_CTL_MOD, p[0], 0, 0));
	waits(e, 0);
	close(p[0]);
	close(e);
}

CASE(edge)
{
	int e, p[2];
	char b[10];

	MUST((e = epoll_create1(0)) >= 0 && pipe2(p, O_NONBLOCK) == 0);
	RET(ctl(e, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 1));
	waits(e, 0);
	RET(write(p[1], "x", 1));
	waits(e, 0);
	waits(e, 0);
	RET(write(p[1], "x", 1));
	waits(e, 0);
	RET(read(p[0], b, 1));
	waits(e, 0);
	RET(ctl(e, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 7));
	waits(e, 0);
	waits(e, 0);
	close(p[0]);
	close(p[1]);
	close(e);
}

CASE(oneshot)
{
	int e, s[2];

	MUST((e = epoll_create1(0)) >= 0);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	RET(ctl(e, EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLONESHOT, 1));
	RET(write(s[1], "x", 1));
	waits(e, 0);
	waits(e, 0);
	RET(write(s[1], "x", 1));
	waits(e, 0);
	RET(ctl(e, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLONESHOT, 2));
	waits(e, 0);
	RET(shutdown(s[1], SHUT_WR));
	RET(ctl(e, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLRDHUP, 3));
	waits(e, 0);
	close(s[1]);
	waits(e, 0);
	close(s[0]);
	waits(e, 0);
	close(e);
}

CASE(nested)
{
	int a, b, c, p[2];

	MUST((a = epoll_create1(0)) >= 0 && (b = epoll_create1(0)) >= 0);
	MUST((c = epoll_create1(0)) >= 0 && pipe(p) == 0);
	RET(ctl(a, EPOLL_CTL_ADD, b, EPOLLIN, 1));
	RET(ctl(b, EPOLL_CTL_ADD, c, EPOLLIN, 2));
	RET(ctl(c, EPOLL_CTL_ADD, p[0], EPOLLIN, 3));
	RET(ctl(c, EPOLL_CTL_ADD, a, EPOLLIN, 4));
	RET(ctl(c, EPOLL_CTL_ADD, c, EPOLLIN, 4));
	waits(a, 0);
	RET(write(p[1], "x", 1));
	waits(a, 0);
	waits(b, 0);
	waits(c, 0);
	close(p[0]);
	close(p[1]);
	close(a);
	close(b);
	close(c);
}

CASE(epoll_errors)
{
	struct epoll_event v;
	struct timespec ts = { 0, 1000000 };
	int e, f, ev = eventfd(0, 0);

	RET(epoll_create(0));
	RET(epoll_create1(77));
	MUST((e = epoll_create1(EPOLL_CLOEXEC)) >= 0);
	RET(fcntl(e, F_GETFD));
	RET(ctl(e, 77, ev, 0, 0));
	RET(ctl(e, EPOLL_CTL_ADD, 99, 0, 0));
	RET(ctl(99, EPOLL_CTL_ADD, 1, 0, 0));
	RET(ctl(ev, EPOLL_CTL_ADD, ev, 0, 0));
	RET(epoll_ctl(e, EPOLL_CTL_ADD, ev, (void *)8));
	MUST((f = open("/proc/self/exe", O_RDONLY)) >= 0);
	RET(ctl(e, EPOLL_CTL_ADD, f, EPOLLIN, 0));
	close(f);
	RET(epoll_wait(e, &v, 0, 0));
	RET(epoll_wait(e, &v, -1, 0));
	RET(epoll_wait(ev, &v, 1, 0));
	RET(epoll_wait(99, &v, 1, 0));
	RET(epoll_wait(e, &v, 1, 5));
	RET(epoll_pwait2(e, &v, 1, &ts, NULL));
	ts.tv_nsec = -1;
	RET(epoll_pwait2(e, &v, 1, &ts, NULL));
	RET(epoll_pwait2(e, &v, 1, (void *)8, NULL));
	RET(read(e, &v, 8));
	RET(lseek(e, 0, SEEK_SET));
	close(e);
}

CASE(epoll_fault)
{
	uint8_t *edge = mem_edge();
	int e, v;

	MUST((e = epoll_create1(0)) >= 0 && (v = eventfd(1, 0)) >= 0);
	RET(ctl(e, EPOLL_CTL_ADD, v, EPOLLIN, 5));
	RET(epoll_wait(e, (void *)edge, 1, 0));
	RET(epoll_wait(e, (void *)(edge - 12), 1, 0));
	close(v);
	close(e);
}

CASE(maxevents)
{
	int e, v[4], i;
	struct epoll_event ev[4];

	MUST((e = epoll_create1(0)) >= 0);
	for (i = 0; i < 4; i++) {
		MUST((v[i] = eventfd(1, 0)) >= 0);
		MUST(ctl(e, EPOLL_CTL_ADD, v[i], EPOLLIN, (uint64_t)i) == 0);
	}
	RET(epoll_wait(e, ev, 2, 0));
	RET(epoll_wait(e, ev, 2, 0));
	RET(epoll_wait(e, ev, 4, 0));
	for (i = 0; i < 4; i++)
		close(v[i]);
	RET(epoll_wait(e, ev, 4, 0));
	close(e);
}

CASE(dup_in_set)
{
	int e, v, d;

	MUST((e = epoll_create1(0)) >= 0 && (v = eventfd(1, 0)) >= 0);
	MUST((d = dup(v)) >= 0);
	RET(ctl(e, EPOLL_CTL_ADD, v, EPOLLIN, 1));
	RET(ctl(e, EPOLL_CTL_ADD, d, EPOLLIN, 2));
	RET(close(v));
	waits(e, 0);
	RET(close(d));
	waits(e, 0);
	close(e);
}

static void *
late(void *arg)
{

	ms_sleep(20);
	(void)!write(*(int *)arg, "12345678", 8);
	return (NULL);
}

CASE(waking)
{
	int e, v;
	pthread_t t;

	MUST((e = epoll_create1(0)) >= 0 && (v = eventfd(0, 0)) >= 0);
	RET(ctl(e, EPOLL_CTL_ADD, v, EPOLLIN, 1));
	t = thread_start(late, &v);
	waits(e, 20000);
	pthread_join(t, NULL);
	close(v);
	close(e);
}

CASE(polls)
{
	struct pollfd p[4];
	struct timespec ts = { 0, 2000000 };
	int q[2];

	MUST(pipe(q) == 0);
	memset(p, 0, sizeof p);
	p[0].fd = q[0];
	p[0].events = POLLIN;
	p[1].fd = q[1];
	p[1].events = POLLOUT | POLLIN;
	p[2].fd = -1;
	p[2].events = POLLIN;
	p[2].revents = 99;
	p[3].fd = 99;
	RET(poll(p, 4, 0));
	say("%x %x %x %x", p[0].revents, p[1].revents, p[2].revents,
	    p[3].revents);
	RET(poll(p, 1, 5));
	RET(ppoll(p, 1, &ts, NULL));
	RET(poll(NULL, 0, 0));
	RET(poll((void *)8, 1, 0));
	RET(poll(p, 100000000, 0));
	ts.tv_nsec = -1;
	RET(ppoll(p, 1, &ts, NULL));
	RET(close(q[1]));
	RET(poll(p, 1, 0));
	SHOW(p[0].revents);
	MUST(pipe(q) == 0);
	close(q[0]);
	p[0].fd = q[1];
	p[0].events = POLLOUT;
	RET(poll(p, 1, 0));
	SHOW(p[0].revents);
	close(q[1]);
}

CASE(selects)
{
	struct timeval tv = { 0, 1000 };
	struct timespec ts = { 0, 1000000 };
	fd_set r, w, x;
	int q[2];

	MUST(pipe(q) == 0);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(q[0], &r);
	FD_SET(q[1], &w);
	FD_SET(q[0], &x);
	RET(select(q[1] + 1, &r, &w, &x, &tv));
	SHOW(FD_ISSET(q[0], &r) != 0);
	SHOW(FD_ISSET(q[1], &w) != 0);
	SHOW(FD_ISSET(q[0], &x) != 0);
	FD_SET(q[0], &r);
	tv.tv_usec = 1000;
	RET(select(q[0] + 1, &r, NULL, NULL, &tv));
	SHOW(tv.tv_sec == 0 && tv.tv_usec == 0);
	RET(write(q[1], "x", 1));
	FD_SET(q[0], &r);
	RET(pselect(q[0] + 1, &r, NULL, NULL, &ts, NULL));
	RET(select(0, NULL, NULL, NULL, &tv));
	RET(select(-1, NULL, NULL, NULL, &tv));
	tv.tv_usec = -1;
	tv.tv_sec = -1;
	RET(select(0, NULL, NULL, NULL, &tv));
	/* Linux ignores those behind the end of its table, 64 at first. */
	FD_SET(50, &r);
	RET(select(51, &r, NULL, NULL, NULL));
	RET(syscall(SYS_select, 10, 8L, 0L, 0L, 0L));
	close(q[0]);
	close(q[1]);
}
