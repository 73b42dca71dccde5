/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * poll, ppoll, select and pselect over pipes and time-outs.
 */

#define _GNU_SOURCE
#include <sys/select.h>

#include <fcntl.h>
#include <poll.h>

#include "prog.h"

static void
with_poll(int rd, int wr)
{
	struct pollfd p[4];
	struct timespec ts = { .tv_nsec = 30000000 };
	char b[4];
	double t;

	p[0] = (struct pollfd){ .fd = rd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = wr, .events = POLLOUT };
	p[2] = (struct pollfd){ .fd = -1, .events = POLLIN, .revents = 9 };
	p[3] = (struct pollfd){ .fd = 0x7ffffff, .events = POLLIN };
	OK(poll(p, 3, 0) == 1 && p[0].revents == 0 &&
	    p[1].revents == POLLOUT && p[2].revents == 0);
	OK(poll(p, 4, -1) == 2 && p[3].revents == POLLNVAL);
	t = prog_now();
	OK(poll(p, 1, 30) == 0 && prog_now() - t >= 0.029);
	t = prog_now();
	OK(ppoll(p, 1, &ts, NULL) == 0 && prog_now() - t >= 0.029);
	OK(poll(NULL, 0, 10) == 0);
	OK(write(wr, "x", 1) == 1);
	OK(poll(p, 1, -1) == 1 && p[0].revents == POLLIN);
	OK(ppoll(p, 1, NULL, NULL) == 1);
	OK(read(rd, b, 4) == 1);
}

static void
with_select(int rd, int wr)
{
	struct timeval tv = { .tv_usec = 30000 };
	struct timespec ts = { 0 };
	fd_set r, w;
	char b[4];
	double t;
	int bad, n = (rd > wr ? rd : wr) + 1;

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(rd, &r);
	FD_SET(wr, &w);
	OK(select(n, &r, &w, NULL, NULL) == 1 && !FD_ISSET(rd, &r) &&
	    FD_ISSET(wr, &w));
	FD_SET(rd, &r);
	t = prog_now();
	OK(select(n, &r, NULL, NULL, &tv) == 0 && prog_now() - t >= 0.029);
	OK(tv.tv_sec == 0 && tv.tv_usec == 0);
	OK(!FD_ISSET(rd, &r));
	OK(write(wr, "x", 1) == 1);
	FD_SET(rd, &r);
	FD_SET(wr, &w);
	OK(pselect(n, &r, &w, NULL, &ts, NULL) == 2);
	OK(FD_ISSET(rd, &r) && FD_ISSET(wr, &w));
	OK(read(rd, b, 4) == 1);
	FD_ZERO(&r);
	bad = dup(rd);
	(void)close(bad);
	FD_SET(bad, &r);
	ERR(select(bad + 1, &r, NULL, NULL, &tv), EBADF);
	ERR(select(-1, NULL, NULL, NULL, &tv), EINVAL);
	tv = (struct timeval){ .tv_usec = 10000 };
	OK(select(0, NULL, NULL, NULL, &tv) == 0);
}

int
main(void)
{
	int p[2];

	OK(pipe2(p, O_NONBLOCK) == 0);
	with_poll(p[0], p[1]);
	with_select(p[0], p[1]);
	return (0);
}
