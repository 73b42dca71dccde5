/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * EINTR and SA_RESTART: signals in the middle of blocking calls.
 */

#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/time.h>

#include <poll.h>
#include <signal.h>

#include "prog.h"

static int fds[2];
static volatile sig_atomic_t alarms, writes;

static void
on_alarm(int sig)
{
	(void)sig;
	/* The second one gives a restarted read something to read. */
	if (++alarms == 2 && writes && write(fds[1], "x", 1) != 1)
		alarms = -1;
}

/* Again and again: the first may come before the call that it is for. */
static void
arm(int flags, int usec)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags };
	struct itimerval it = { .it_value.tv_usec = usec,
	    .it_interval.tv_usec = usec };

	alarms = 0;
	(void)sigaction(SIGALRM, &sa, NULL);
	(void)setitimer(ITIMER_REAL, &it, NULL);
}

static void
disarm(void)
{
	struct itimerval it = { 0 };

	(void)setitimer(ITIMER_REAL, &it, NULL);
}

/* A read that the first alarm ends; later ones only if the first was before. */
static void
interrupted_read(void)
{
	char b[8];
	int r, e, usec;

	writes = 1;
	for (usec = 20000; usec < 1000000; usec *= 3) {
		arm(0, usec);
		r = (int)read(fds[0], b, 1);
		e = errno;
		disarm();
		if (r == -1 && alarms == 1)
			break;
		if (r == -1 && alarms > 1)
			(void)!read(fds[0], b, 1);
	}
	OK(r == -1 && e == EINTR && alarms == 1);
}

int
main(void)
{
	struct timespec ts = { .tv_sec = 500 }, rem = { 0 };
	struct epoll_event ev;
	struct pollfd p;
	char b[8];
	int ep = epoll_create1(0);

	OK(pipe(fds) == 0);
	p = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	interrupted_read();
	arm(SA_RESTART, 20000);
	OK(read(fds[0], b, 1) == 1 && alarms >= 2);
	disarm();
	/* These are never restarted. */
	writes = 0;
	arm(SA_RESTART, 20000);
	ERR(poll(&p, 1, 100000), EINTR);
	disarm();
	arm(SA_RESTART, 20000);
	ERR(epoll_wait(ep, &ev, 1, 100000), EINTR);
	disarm();
	arm(SA_RESTART, 20000);
	ERR(nanosleep(&ts, &rem), EINTR);
	OK(rem.tv_sec > 400 && rem.tv_sec < 500);
	disarm();
	arm(0, 20000);
	ERR(pause(), EINTR);
	disarm();
	return (0);
}
