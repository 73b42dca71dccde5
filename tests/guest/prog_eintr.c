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
static volatile sig_atomic_t alarms;

static void
on_alarm(int sig)
{
	(void)sig;
	/* The second one gives a restarted read something to read. */
	if (++alarms == 2 && write(fds[1], "x", 1) != 1)
		alarms = -1;
}

static void
arm(int flags)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags };
	struct itimerval it = { .it_value.tv_usec = 20000,
	    .it_interval.tv_usec = 20000 };

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

int
main(void)
{
	struct timespec ts = { .tv_sec = 5 }, rem = { 0 };
	struct epoll_event ev;
	struct pollfd p;
	char b[8];
	int ep = epoll_create1(0);

	OK(pipe(fds) == 0);
	p = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	arm(0);
	ERR(read(fds[0], b, 1), EINTR);
	OK(alarms == 1);
	disarm();
	arm(SA_RESTART);
	OK(read(fds[0], b, 1) == 1 && alarms == 2);
	disarm();
	/* These are never restarted. */
	arm(SA_RESTART);
	ERR(poll(&p, 1, 5000), EINTR);
	disarm();
	arm(SA_RESTART);
	ERR(epoll_wait(ep, &ev, 1, 5000), EINTR);
	disarm();
	arm(SA_RESTART);
	ERR(nanosleep(&ts, &rem), EINTR);
	OK(rem.tv_sec == 4);
	disarm();
	arm(0);
	ERR(pause(), EINTR);
	disarm();
	return (0);
}
