/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Preemption: threads that compute without ever calling the kernel.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "prog.h"

static atomic_int stop, steps[3];

/* Never makes a system call: another thread has to be let in anyway. */
static void *
spinner(void *arg)
{
	atomic_int *p = arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		atomic_fetch_add_explicit(p, 1, memory_order_relaxed);
	return (NULL);
}

/* Each waits for the other by looking. */
static atomic_int ball;

static void *
player(void *arg)
{
	int me = (int)(intptr_t)arg, i;

	for (i = 0; i < 10; i++) {
		while (atomic_load(&ball) % 2 != me)
			continue;
		atomic_fetch_add(&ball, 1);
	}
	return (NULL);
}

int
main(void)
{
	pthread_t t[3];
	double t0;
	int i;

	for (i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, spinner, &steps[i]) == 0);
	t0 = prog_now();
	for (i = 0; i < 5; i++)
		(void)usleep(20000);
	OK(prog_now() - t0 < 25);
	for (i = 0; i < 3; i++)
		while (atomic_load(&steps[i]) == 0)
			(void)usleep(1000);
	atomic_store(&stop, 1);
	for (i = 0; i < 3; i++)
		OK(pthread_join(t[i], NULL) == 0);
	OK(steps[0] > 0 && steps[1] > 0 && steps[2] > 0);
	OK(pthread_create(&t[0], NULL, player, (void *)0L) == 0);
	OK(pthread_create(&t[1], NULL, player, (void *)1L) == 0);
	OK(pthread_join(t[0], NULL) == 0 && pthread_join(t[1], NULL) == 0);
	OK(atomic_load(&ball) == 20);
	return (0);
}
