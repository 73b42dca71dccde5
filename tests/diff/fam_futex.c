/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * futex(2), without libc in between.
 */

#include "diff.h"

#include <linux/futex.h>
#include <sched.h>

static uint32_t word, word2;

static long
futex(void *w, int op, uint32_t val, const void *ts, void *w2, uint32_t val3)
{

	return (syscall(SYS_futex, w, op, val, ts, w2, val3));
}

struct waiter {
	pthread_t t;
	int	op;
	uint32_t bits;
	void	*to;
	long	r;
	int	error;
	volatile int done;
};

static void *
waiter(void *p)
{
	struct waiter *w = p;
	struct timespec ts = { 10, 0 };

	/* A test that went wrong must not hang. */
	if (w->op == FUTEX_WAIT_BITSET) {
		(void)clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_sec += 10;
	}
	errno = 0;
	w->r = futex(&word, w->op, word, &ts, w->to, w->bits);
	w->error = errno;
	w->done = 1;
	return (NULL);
}

/* How many wait there: a requeue to the same place changes nothing. */
static long
waiting(uint32_t *at)
{

	return (futex(at, FUTEX_REQUEUE, 0, (void *)1000, at, 0));
}

static void
wait_for_waiters(uint32_t *at, long n)
{
	int i;

	for (i = 0; i < 10000 && waiting(at) < n; i++)
		ms_sleep(1);
}

/* It waits when this is back. */
static void
wait_start(struct waiter *w, int op, uint32_t bits)
{
	const long n = waiting(&word);

	memset(w, 0, sizeof *w);
	w->op = op;
	w->bits = bits;
	w->to = &word2;
	w->t = thread_start(waiter, w);
	wait_for_waiters(&word, n + 1);
}

static void
wait_end(struct waiter *w)
{

	(void)pthread_join(w->t, NULL);
	say("waiter: %ld %s", w->r, errno_name(w->error));
}

CASE(wait_bad)
{
	struct timespec ts = { 0, 1000000000 }, neg = { -1, 0 };
	uint8_t *edge = mem_edge();

	word = 5;
	RET(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0));
	RET(futex((char *)&word + 1, FUTEX_WAIT, 5, NULL, NULL, 0));
	RET(futex((void *)8, FUTEX_WAIT, 5, NULL, NULL, 0));
	RET(futex(edge, FUTEX_WAIT, 5, NULL, NULL, 0));
	RET(futex((void *)(1UL << 63), FUTEX_WAIT, 5, NULL, NULL, 0));
	RET(futex(&word, FUTEX_WAIT, 5, &ts, NULL, 0));
	RET(futex(&word, FUTEX_WAIT, 5, &neg, NULL, 0));
	RET(futex(&word, FUTEX_WAIT, 5, edge - 8, NULL, 0));
	RET(futex(&word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0));
	RET(futex(&word, 99, 5, NULL, NULL, 0));
	RET(futex(&word, FUTEX_FD, 5, NULL, NULL, 0));
	RET(munmap(edge - PG, 2 * PG));
}

CASE(wait_times_out)
{
	struct timespec ts = { 0, 10 * MS };
	uint64_t t0 = now_ns(CLOCK_MONOTONIC), t;

	RET(futex(&word, FUTEX_WAIT, word, &ts, NULL, 0));
	t = now_ns(CLOCK_MONOTONIC) - t0;
	SHOW(t >= 10 * MS && t < 20000 * MS);
	ts.tv_nsec = 0;
	RET(futex(&word, FUTEX_WAIT, word, &ts, NULL, 0));
	RET(futex(&word, FUTEX_WAIT_PRIVATE, word, &ts, NULL, 0));
}

CASE(wait_until)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	RET(futex(&word, FUTEX_WAIT_BITSET, word, &ts, NULL, ~0U));
	ts.tv_sec = 0;
	RET(futex(&word, FUTEX_WAIT_BITSET, word, &ts, NULL, 1));
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	RET(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, word, &ts,
	    NULL, ~0U));
	RET(futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, word, &ts,
	    NULL, 0) == -1 && (errno == ENOSYS || errno == ETIMEDOUT));
	RET(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0));
}

CASE(wake_one)
{
	struct waiter w;

	RET(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
	wait_start(&w, FUTEX_WAIT, 0);
	RET(futex(&word2, FUTEX_WAKE, 1, NULL, NULL, 0));
	SHOW(w.done);
	RET(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
	wait_end(&w);
}

CASE(wake_zero_and_negative)
{
	struct waiter w[3];
	int i;

	for (i = 0; i < 3; i++)
		wait_start(&w[i], FUTEX_WAIT, 0);
	RET(futex(&word, FUTEX_WAKE, 0, NULL, NULL, 0));
	RET(futex(&word, FUTEX_WAKE, (uint32_t)-1, NULL, NULL, 0));
	RET(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0));
	for (i = 0; i < 3; i++)
		wait_end(&w[i]);
}

CASE(wake_bad)
{

	RET(futex((char *)&word + 2, FUTEX_WAKE, 1, NULL, NULL, 0));
	RET(futex((void *)(1UL << 63), FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	RET(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
	RET(futex((void *)8, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
}

CASE(bitsets)
{
	struct waiter a, b;

	wait_start(&a, FUTEX_WAIT_BITSET, 1);
	wait_start(&b, FUTEX_WAIT_BITSET, 6);
	RET(futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 8));
	RET(futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 2));
	wait_end(&b);
	SHOW(a.done);
	RET(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0));
	wait_end(&a);
}

CASE(first_come_first_woken)
{
	struct waiter w[4];
	int i, n;

	for (i = 0; i < 4; i++)
		wait_start(&w[i], FUTEX_WAIT, 0);
	for (i = 0; i < 4; i++) {
		RET(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
		for (n = 0; n < 10000 && w[0].done + w[1].done + w[2].done +
		    w[3].done <= i; n++)
			ms_sleep(1);
		ms_sleep(20);
		say("%d %d %d %d", w[0].done, w[1].done, w[2].done, w[3].done);
	}
	for (i = 0; i < 4; i++)
		wait_end(&w[i]);
}

CASE(requeue)
{
	struct waiter w[3];
	int i;

	for (i = 0; i < 3; i++)
		wait_start(&w[i], FUTEX_WAIT, 0);
	RET(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &word2, word + 1));
	RET(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &word2, word));
	RET(futex(&word2, FUTEX_WAKE, 10, NULL, NULL, 0));
	RET(futex(&word, FUTEX_REQUEUE, 0, (void *)10, &word2, 0));
	RET(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0));
	RET(futex(&word2, FUTEX_WAKE, 10, NULL, NULL, 0));
	for (i = 0; i < 3; i++)
		wait_end(&w[i]);
}

CASE(requeue_onto_itself)
{
	struct waiter w[3];
	int i;

	for (i = 0; i < 3; i++)
		wait_start(&w[i], FUTEX_WAIT, 0);
	RET(futex(&word, FUTEX_REQUEUE, 0, (void *)2, &word, 0));
	RET(futex(&word, FUTEX_REQUEUE, 1, (void *)9, &word, 0));
	RET(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
	RET(futex(&word, FUTEX_REQUEUE, 0, (void *)9, &word, 0));
	RET(futex(&word, FUTEX_WAKE, 9, NULL, NULL, 0));
	for (i = 0; i < 3; i++)
		wait_end(&w[i]);
}

CASE(requeue_bad)
{

	RET(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, (char *)&word2 + 1,
	    word));
	RET(futex((char *)&word + 1, FUTEX_REQUEUE, 1, (void *)1, &word2, 0));
	RET(futex(&word, FUTEX_REQUEUE, (uint32_t)-1, (void *)1, &word2, 0));
	RET(futex(&word, FUTEX_REQUEUE, 1, (void *)-1L, &word2, 0));
	RET(futex((void *)8, FUTEX_CMP_REQUEUE, 1, (void *)1, &word2, 0));
}

#define OP(op, arg, cmp, cmparg)					\
	((uint32_t)(op) << 28 | (uint32_t)(cmp) << 24 |			\
	    ((uint32_t)(arg) & 0xfff) << 12 | ((uint32_t)(cmparg) & 0xfff))

CASE(wake_op_arithmetic)
{

	word2 = 10;
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(0, 3, 0, 0)));
	SHOW(word2);
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(1, 7, 0, 0)));
	SHOW(word2);
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(1, -1, 0, 0)));
	SHOW(word2);
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(2, 6, 0, 0)));
	SHOW(word2);
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(3, 9, 0, 0)));
	SHOW(word2);
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(4, 255, 0, 0)));
	SHOW(word2);
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(8, 5, 0, 0)));
	SHOW(word2);
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(7, 5, 0, 0)));
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, OP(0, 5, 9, 0)));
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, (void *)8, OP(0, 1, 0, 0)));
	SHOW(word2);
}

static uint32_t other;

static void *
wait_other(void *p)
{

	(void)futex(&other, FUTEX_WAIT, other, NULL, NULL, 0);
	return (p);
}

CASE(wake_op_wakes)
{
	struct waiter w;
	pthread_t t;

	wait_start(&w, FUTEX_WAIT, 0);
	t = thread_start(wait_other, NULL);
	wait_for_waiters(&other, 1);
	other = 5;
	/* other = 6 if it was below 3: it was not, so only word's is woken */
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &other, OP(0, 6, 2, 3)));
	wait_end(&w);
	RET(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &other, OP(0, 7, 5, 3)));
	(void)pthread_join(t, NULL);
	SHOW(other);
}

CASE(shared_between_mappings)
{
	uint32_t *p = mmap(NULL, PG, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	RET(futex(p, FUTEX_WAKE, 1, NULL, NULL, 0));
	RET(futex(p, FUTEX_WAIT, 1, NULL, NULL, 0));
	RET(munmap(p, PG));
	RET(futex(p, FUTEX_WAKE, 1, NULL, NULL, 0));
	RET(futex(p, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
}

/* ---- priority inheritance ------------------------------------------------------------ */

CASE(pi_uncontended)
{
	uint32_t me = (uint32_t)syscall(SYS_gettid);

	word = 0;
	RET(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	SHOW(word == me);
	RET(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	RET(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	RET(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	SHOW(word);
	RET(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	RET(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	SHOW(word == me);
	RET(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	RET(futex((char *)&word + 1, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	RET(futex((void *)8, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
}

CASE(pi_dead_owner)
{

	word = 0x3ffff0;
	RET(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	RET(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	word = 0;
}

static volatile int pi_release;

static void *
pi_owner(void *p)
{

	(void)p;
	(void)futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
	while (!pi_release)
		ms_sleep(1);
	ms_sleep(40);
	say("owner unlocks, waiters %d", (word & FUTEX_WAITERS) != 0);
	if (word & FUTEX_WAITERS)
		(void)futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
	else
		word = 0;
	return (NULL);
}

CASE(pi_contended)
{
	uint32_t me = (uint32_t)syscall(SYS_gettid);
	struct timespec ts;
	pthread_t t;

	word = 0;
	pi_release = 0;
	t = thread_start(pi_owner, NULL);
	while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
		ms_sleep(1);
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	RET(futex(&word, FUTEX_LOCK_PI, 0, &ts, NULL, 0));
	RET(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	RET(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	pi_release = 1;
	RET(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	SHOW((word & FUTEX_TID_MASK) == me);
	(void)pthread_join(t, NULL);
	RET(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	SHOW(word & FUTEX_TID_MASK);
}

CASE(waitv)
{
	struct { uint64_t val, addr; uint32_t flags, reserved; } v[2] = {
		{ 0, (uint64_t)&word, 2, 0 }, { 0, (uint64_t)&word2, 2, 0 } };
	struct timespec ts = { 0, 0 };
	long r;

	word = 1;
	word2 = 0;
	r = syscall(SYS_futex_waitv, v, 2, 0, &ts, CLOCK_MONOTONIC);
	say("%ld %d", r, errno == EAGAIN || errno == ENOSYS);
}
