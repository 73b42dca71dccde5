/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * futex by hand: wait, wake, requeue, bitset, time-outs, wrong values.
 */

#define _GNU_SOURCE
#include <sys/syscall.h>

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>

#include "prog.h"

static _Atomic uint32_t word, other, awake;

static long
futex(_Atomic uint32_t *u, int op, uint32_t val, const struct timespec *ts,
    _Atomic uint32_t *u2, uint32_t val3)
{
	return (syscall(SYS_futex, u, op, val, ts, u2, val3));
}

static void *
waiter(void *arg)
{
	while (atomic_load(&word) == 0)
		(void)futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	atomic_fetch_add(&awake, 1);
	return (arg);
}

static void *
sleeper(void *arg)
{
	(void)futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL,
	    (uint32_t)(uintptr_t)arg);
	atomic_fetch_add(&awake, 1);
	return (NULL);
}

/* Until `n` have woken up, 20 seconds at most. */
static int
woken(uint32_t n)
{
	int i;

	for (i = 0; i < 4000 && atomic_load(&awake) != n; i++)
		(void)usleep(5000);
	return (atomic_load(&awake) == n);
}

/* As many as there are of `n`, again until those who are late have come. */
static long
each(long n, int op, uint32_t val, const struct timespec *ts,
    _Atomic uint32_t *u2, uint32_t val3)
{
	long got = 0;
	int i;

	for (i = 0; i < 4000 && got < n; i++) {
		if (i > 0)
			(void)usleep(5000);
		got += futex(&word, op, val, ts, u2, val3);
	}
	return (got);
}

int
main(void)
{
	struct timespec ts = { .tv_nsec = 30000000 };
	pthread_t t[4];
	double t0;
	long i;

	ERR(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
	t0 = prog_now();
	ERR(futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0), ETIMEDOUT);
	OK(prog_now() - t0 >= 0.029);
	OK(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
	ERR(futex((void *)((char *)&word + 1), FUTEX_WAIT, 0, &ts, NULL, 0),
	    EINVAL);
	ERR(futex((void *)8, FUTEX_WAIT, 0, &ts, NULL, 0), EFAULT);
	ERR(futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
	for (i = 0; i < 4; i++)
		(void)pthread_create(&t[i], NULL, waiter, NULL);
	(void)usleep(50000);
	OK(atomic_load(&awake) == 0);
	atomic_store(&word, 1);
	OK(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) <= 4);
	for (i = 0; i < 4; i++)
		OK(pthread_join(t[i], NULL) == 0);
	OK(atomic_load(&awake) == 4);
	/* Bit sets: only those with a common bit. */
	atomic_store(&word, 0);
	atomic_store(&awake, 0);
	for (i = 0; i < 4; i++)
		(void)pthread_create(&t[i], NULL, sleeper,
		    (void *)(1L << (i & 1)));
	(void)usleep(100000);
	OK(each(2, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 2) == 2);
	OK(woken(2));
	/* Requeue the rest to another word. */
	OK(each(2, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)9L, &other, 0) == 2);
	OK(futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 0);
	OK(futex(&other, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 2);
	OK(woken(4));
	for (i = 0; i < 4; i++)
		OK(pthread_join(t[i], NULL) == 0);
	return (0);
}
