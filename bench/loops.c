/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Two loops, timed by themselves: `loops cpu` stays in registers, `loops mem`
 * reads 128 MiB in an order that defeats caches.  Prints milliseconds of the
 * best of some rounds.
 * Native runs have the page size of the guest: 4 KiB.
 */

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define SIZE	(128UL << 20)
#define LINE	64UL
#define LINES	(SIZE / LINE)
#define ROUNDS	20

static uint64_t
cpu(void)
{
	uint64_t x = 88172645463325252UL, i;

	for (i = 0; i < 20000000UL; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return (x);
}

static uint64_t
mem(const uint8_t *p)
{
	uint64_t i, at = 1, sum = 0;

	for (i = 0; i < LINES / 2; i++) {
		sum += p[at * LINE];
		/* full period: LINES is a power of two */
		at = (at * 1664525 + 1013904223) & (LINES - 1);
	}
	return (sum);
}

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6);
}

int
main(int argc, char **argv)
{
	int i, memory = argc > 1 && !strcmp(argv[1], "mem");
	volatile uint64_t sink;
	double t, best = 1e9;
	uint8_t *p = NULL;

	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	if (memory) {
		p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return (1);
		memset(p, 1, SIZE);
	}
	for (i = 0; i < ROUNDS; i++) {
		t = now();
		sink = memory ? mem(p) : cpu();
		t = now() - t;
		if (t < best)
			best = t;
	}
	(void)sink;
	printf("%.2f\n", best);
	return (0);
}
