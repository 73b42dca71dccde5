/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * chttp: options, the listening socket, and four ways of waiting for it.
 *
 *	chttp [-m epoll|poll|select|accept] [-bt] PORT|unix:PATH
 *
 * -t: wait with a time-out of a second, as servers with a periodic job do.
 * `accept` blocks in accept(2) and serves one connection at a time.
 */

#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chttp.h"

#define NEVENT	64

static struct conn *conns[MAX_CONN];
static unsigned nconn;		/* highest descriptor in use + 1 */
static int lsock = -1, tick, busy;

double
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec);
}

void
die(const char *what)
{
	(void)fprintf(stderr, "chttp: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- connections ---------------------------------------------------------- */

static struct conn *
conn_accept(int flags)
{
	struct conn *c;
	int fd;

	fd = accept4(lsock, NULL, NULL, flags | SOCK_CLOEXEC);
	if (fd < 0)
		return (NULL);
	if (fd >= MAX_CONN) {
		(void)close(fd);
		return (NULL);
	}
	c = conn_new(fd);
	if (c == NULL)
		die("malloc");
	conns[fd] = c;
	if ((unsigned)fd + 1 > nconn)
		nconn = (unsigned)fd + 1;
	return (c);
}

static void
conn_close(struct conn *c)
{
	int fd = c->fd;

	conn_free(c);
	conns[fd] = NULL;
	while (nconn > 0 && conns[nconn - 1] == NULL)
		nconn--;
	(void)close(fd);
}

/* What to hand to epoll_wait and friends; fires timers that are due. */
static int
next_timeout(void)
{
	struct conn *c;
	double t, first = INFINITY;
	unsigned u;

	for (u = 0; u < nconn; u++) {
		c = conns[u];
		if (c != NULL && c->deadline > 0 && c->deadline < first)
			first = c->deadline;
	}
	if (isinf(first) && busy) {	/* 20 ms of work each millisecond */
		for (t = now(); now() < t + 0.02;)
			continue;
		return (1);
	}
	if (isinf(first))
		return (tick ? 1000 : -1);
	t = ceil((first - now()) * 1e3);
	if (t < 0)
		t = 0;
	if (tick && t > 1000)
		t = 1000;
	return (t > 1e6 ? 1000000 : (int)t);
}

static void
run_timers(void (*update)(struct conn *))
{
	struct conn *c;
	unsigned u;
	double t = 0;

	for (u = 0; u < nconn; u++) {
		c = conns[u];
		if (c == NULL || c->deadline <= 0)
			continue;
		if (t == 0)
			t = now();
		if (c->deadline > t)
			continue;
		conn_timer(c);
		if (c->state == ST_DEAD)
			conn_close(c);
		else
			update(c);
	}
}

static void
serve(struct conn *c, int in, int out, void (*update)(struct conn *))
{
	if (in && conn_wants_in(c))
		conn_read(c);
	if (in || out)
		conn_pump(c);
	if (c->state == ST_DEAD)
		conn_close(c);
	else
		update(c);
}

/* ---- epoll ---------------------------------------------------------------- */

static int epfd = -1;

static void
epoll_update(struct conn *c)
{
	struct epoll_event ev = { 0 };
	int op;

	/* Bit 31 says that epoll knows the descriptor. */
	ev.events = conn_wants_in(c) ? EPOLLIN : 0;
	if (conn_wants_out(c))
		ev.events |= EPOLLOUT;
	if (c->interest == (ev.events | 1u << 31))
		return;
	op = c->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	c->interest = ev.events | 1u << 31;
	ev.data.fd = c->fd;
	if (epoll_ctl(epfd, op, c->fd, &ev) != 0)
		die("epoll_ctl");
}

static void
loop_epoll(void)
{
	struct epoll_event ev = { .events = EPOLLIN }, evs[NEVENT];
	struct conn *c;
	int i, n;

	epfd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = lsock;
	if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, lsock, &ev) != 0)
		die("epoll");
	for (;;) {
		n = epoll_wait(epfd, evs, NEVENT, next_timeout());
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (i = 0; i < n; i++) {
			if (evs[i].data.fd == lsock) {
				c = conn_accept(SOCK_NONBLOCK);
				if (c != NULL)
					epoll_update(c);
				continue;
			}
			c = conns[evs[i].data.fd];
			if (c == NULL)
				continue;
			if (!conn_wants_in(c) &&
			    evs[i].events & (EPOLLHUP | EPOLLERR))
				c->state = ST_DEAD;
			serve(c, (evs[i].events & ~(unsigned)EPOLLOUT) != 0,
			    (evs[i].events & EPOLLOUT) != 0, epoll_update);
		}
		run_timers(epoll_update);
	}
}

/* ---- poll and select ------------------------------------------------------ */

static void
no_update(struct conn *c)
{
	(void)c;
}

static void
loop_poll(void)
{
	static struct pollfd pfd[MAX_CONN + 1];
	struct conn *c;
	unsigned n, u;

	for (;;) {
		pfd[0] = (struct pollfd){ .fd = lsock, .events = POLLIN };
		for (n = 1, u = 0; u < nconn; u++) {
			c = conns[u];
			if (c == NULL)
				continue;
			pfd[n].fd = c->fd;
			pfd[n].events = conn_wants_in(c) ? POLLIN : 0;
			if (conn_wants_out(c))
				pfd[n].events |= POLLOUT;
			pfd[n++].revents = 0;
		}
		if (poll(pfd, n, next_timeout()) < 0 && errno != EINTR)
			die("poll");
		for (u = 1; u < n; u++) {
			c = conns[pfd[u].fd];
			if (pfd[u].revents == 0 || c == NULL)
				continue;
			if (!conn_wants_in(c) &&
			    pfd[u].revents & (POLLHUP | POLLERR))
				c->state = ST_DEAD;
			serve(c, (pfd[u].revents & ~POLLOUT) != 0,
			    (pfd[u].revents & POLLOUT) != 0, no_update);
		}
		if (pfd[0].revents != 0)
			(void)conn_accept(SOCK_NONBLOCK);
		run_timers(no_update);
	}
}

static void
loop_select(void)
{
	struct timeval tv;
	struct conn *c;
	fd_set rd, wr;
	unsigned u;
	int ms, n;

	for (;;) {
		FD_ZERO(&rd);
		FD_ZERO(&wr);
		FD_SET(lsock, &rd);
		n = lsock + 1;
		for (u = 0; u < nconn; u++) {
			c = conns[u];
			if (c == NULL)
				continue;
			if (conn_wants_in(c))
				FD_SET(c->fd, &rd);
			if (conn_wants_out(c))
				FD_SET(c->fd, &wr);
			if (c->fd >= n)
				n = c->fd + 1;
		}
		ms = next_timeout();
		tv.tv_sec = ms / 1000;
		tv.tv_usec = ms % 1000 * 1000;
		n = select(n, &rd, &wr, NULL, ms < 0 ? NULL : &tv);
		if (n < 0 && errno != EINTR)
			die("select");
		for (u = 0; n > 0 && u < nconn; u++) {
			c = conns[u];
			if (c != NULL && (FD_ISSET(u, &rd) || FD_ISSET(u, &wr)))
				serve(c, FD_ISSET(u, &rd), FD_ISSET(u, &wr),
				    no_update);
		}
		if (n > 0 && FD_ISSET(lsock, &rd))
			(void)conn_accept(SOCK_NONBLOCK);
		run_timers(no_update);
	}
}

/* ---- accept: one connection at a time, blocking --------------------------- */

static void
sleep_until(double t)
{
	struct timespec ts;

	ts.tv_sec = (time_t)t;
	ts.tv_nsec = (long)((t - (double)ts.tv_sec) * 1e9);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ==
	    EINTR)
		continue;
}

static void
loop_accept(void)
{
	struct timeval tv = { .tv_sec = 1 };
	struct conn *c;

	if (tick)
		(void)setsockopt(lsock, SOL_SOCKET, SO_RCVTIMEO, &tv,
		    sizeof tv);
	for (;;) {
		c = conn_accept(0);
		if (c == NULL) {
			if (errno != EAGAIN && errno != EINTR &&
			    errno != ECONNABORTED)
				die("accept");
			continue;
		}
		while (c->state != ST_DEAD) {
			if (c->deadline > 0) {
				sleep_until(c->deadline);
				conn_timer(c);
			} else if (conn_wants_in(c)) {
				conn_read(c);
				conn_pump(c);
			} else if (c->state == ST_STUCK) {
				(void)pause();
			} else {
				conn_pump(c);
			}
		}
		conn_close(c);
	}
}

/* ---- start ---------------------------------------------------------------- */

static void
listen_on(const char *arg, int flags)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct sockaddr *sa = (const struct sockaddr *)&sin;
	socklen_t len = sizeof sin;
	int one = 1;

	if (strncmp(arg, "unix:", 5) == 0) {
		if (strlen(arg + 5) >= sizeof sun.sun_path) {
			errno = ENAMETOOLONG;
			die(arg);
		}
		(void)strcpy(sun.sun_path, arg + 5);
		(void)unlink(sun.sun_path);
		sa = (const struct sockaddr *)&sun;
		len = sizeof sun;
	} else {
		sin.sin_port = htons((uint16_t)strtoul(arg, NULL, 10));
		sin.sin_addr.s_addr = htonl(INADDR_ANY);
	}
	lsock = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (lsock < 0)
		die("socket");
	if (sa->sa_family == AF_INET)
		(void)setsockopt(lsock, SOL_SOCKET, SO_REUSEADDR, &one,
		    sizeof one);
	if (bind(lsock, sa, len) != 0)
		die("bind");
	if (listen(lsock, 128) != 0)
		die("listen");
}

static void
usage(void)
{
	(void)fprintf(stderr,
	    "Usage: chttp [-m epoll|poll|select|accept] [-t] PORT|unix:PATH\n");
	exit(2);
}

int
main(int argc, char **argv)
{
	const char *mode = "epoll";
	int ch;

	while ((ch = getopt(argc, argv, "bm:t")) != -1) {
		if (ch == 'm')
			mode = optarg;
		else if (ch == 'b')
			busy = 1;
		else if (ch == 't')
			tick = 1;
		else
			usage();
	}
	if (optind + 1 != argc)
		usage();
	(void)signal(SIGPIPE, SIG_IGN);
	listen_on(argv[optind], strcmp(mode, "accept") ? SOCK_NONBLOCK : 0);
	if (strcmp(mode, "epoll") == 0)
		loop_epoll();
	else if (strcmp(mode, "poll") == 0)
		loop_poll();
	else if (strcmp(mode, "select") == 0)
		loop_select();
	else if (strcmp(mode, "accept") == 0)
		loop_accept();
	else
		usage();
	return (0);
}
