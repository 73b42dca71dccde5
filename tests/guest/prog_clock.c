/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Clocks: order and agreement of all of them, resolution, the vDSO.
 */

#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>

#include "prog.h"

static double
clk(clockid_t id, int direct)
{
	struct timespec ts = { 0 };
	int r;

	r = direct ? (int)syscall(SYS_clock_gettime, id, &ts) :
	    clock_gettime(id, &ts);
	if (r != 0 || ts.tv_nsec < 0 || ts.tv_nsec > 999999999)
		return (-1);
	return ((double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec);
}

/* From `a` to `b`; coarse clocks are as old as the last tick */
static int
within(double a, double t, double b)
{
	return (t >= a - 0.5 && t <= b + 0.5);
}

static int
same_clock(clockid_t id)
{
	double a = clk(id, 0), b = clk(id, 1), c = clk(id, 0);

	return (a > 0 && within(a, b, c));
}

int
main(void)
{
	static const clockid_t ids[] = { CLOCK_REALTIME, CLOCK_MONOTONIC,
	    CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
	    CLOCK_MONOTONIC_COARSE };
	struct timespec res, a, b;
	struct timeval tv;
	double t, last, cpu;
	volatile unsigned long spin = 0;
	size_t i;
	int n, bad = 0;

	for (i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		(void)printf("clock %d\n", (int)ids[i]);
		OK(clock_getres(ids[i], &res) == 0 && res.tv_sec == 0);
		OK(same_clock(ids[i]));
	}
	/* vDSO and system call, mixed: never backwards. */
	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	for (n = 0; n < 20000; n++) {
		if (n % 50 == 0)
			(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &b);
		else
			(void)clock_gettime(CLOCK_MONOTONIC, &b);
		bad += b.tv_sec < a.tv_sec ||
		    (b.tv_sec == a.tv_sec && b.tv_nsec < a.tv_nsec);
		a = b;
	}
	OK(bad == 0);
	t = clk(CLOCK_REALTIME, 0);
	OK(within(t - 1, (double)time(NULL), clk(CLOCK_REALTIME, 0)));
	t = clk(CLOCK_REALTIME, 0);
	OK(gettimeofday(&tv, NULL) == 0);
	OK(within(t, (double)tv.tv_sec + 1e-6 * (double)tv.tv_usec,
	    clk(CLOCK_REALTIME, 0)));
	OK(clk(CLOCK_REALTIME, 0) > 1.7e9);
	t = clk(CLOCK_MONOTONIC, 0);
	OK(clk(CLOCK_BOOTTIME, 0) >= t - 0.1);
	ERR(clock_gettime(77, &a), EINVAL);
	ERR(clock_settime(CLOCK_MONOTONIC, &a), EINVAL);
	/* CPU time passes when computing, hardly when sleeping. */
	cpu = clk(CLOCK_PROCESS_CPUTIME_ID, 0);
	t = last = prog_now();
	while (last - t < 0.05) {
		spin++;
		last = prog_now();
	}
	OK(clk(CLOCK_PROCESS_CPUTIME_ID, 0) > cpu);
	OK(clk(CLOCK_THREAD_CPUTIME_ID, 0) > 0);
	OK(clock() > 0);
	return (0);
}
