/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Sleeping: nanosleep, clock_nanosleep, absolute times, wrong arguments.
 */

#define _GNU_SOURCE
#include <sched.h>

#include "prog.h"

int
main(void)
{
	struct timespec ts = { .tv_nsec = 30000000 };
	double t = prog_now();
	int i;

	OK(nanosleep(&ts, NULL) == 0);
	OK(prog_now() - t >= 0.03 && prog_now() - t < 20);
	t = prog_now();
	OK(clock_nanosleep(CLOCK_REALTIME, 0, &ts, NULL) == 0);
	OK(prog_now() - t >= 0.029);
	/* In the past: at once, or not at all. */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	t = prog_now();
	OK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
	OK(prog_now() - t < 20);
	ts.tv_nsec += 30000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	OK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
	OK(prog_now() >= (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec);
	ts.tv_nsec = -1;
	ERR(nanosleep(&ts, NULL), EINVAL);
	ts.tv_nsec = 1000000000;
	ERR(nanosleep(&ts, NULL), EINVAL);
	ERR(nanosleep((void *)8, NULL), EFAULT);
	OK(clock_nanosleep(77, 0, &ts, NULL) == EINVAL);
	t = prog_now();
	for (i = 0; i < 20; i++)
		(void)usleep(1000);
	OK(prog_now() - t >= 0.02);
	OK(sched_yield() == 0);
	return (0);
}
