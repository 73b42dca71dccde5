/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One thread per process that ends what takes too long: it kicks a vCPU at
 * its deadline, when several guest threads share it, and when response bytes
 * have been lying in the ring for a while.
 *
 * It looks at all armed slots every four milliseconds while any was armed during
 * the last second, and sleeps otherwise; so arming is a few atomic operations
 * and no system call while there is load.
 *
 * A kick is a real-time signal with an empty handler plus immediate_exit.
 * wd_disarm() waits for one in flight: none may arrive later, where it would
 * interrupt somebody else's system call on this thread.
 */

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "machine/priv.h"

#define WD_MAX		16384
#define WD_PERIOD	4000000UL	/* ns; twice as often costs 1 % of a CPU */
#define WD_LINGER	1000000000UL
#define OUTPUT_AFTER	2000000UL
#define TICK_EVERY	4000000UL

enum wd_state { WD_FREE, WD_IDLE, WD_ARMED, WD_KICKING };

static _Atomic uint8_t wd_state[WD_MAX];
static struct wd_slot *wd_slot[WD_MAX];
static unsigned wd_hi;
static pthread_mutex_t wd_life = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t wd_mtx = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wd_cond = PTHREAD_COND_INITIALIZER;
static _Atomic int wd_asleep;
static int wd_running, wd_sig;
static pthread_t wd_thread;
static unsigned wd_users;
static int wd_stop;
static __thread int wd_unblocked;	/* the signal that is */
static __thread pid_t wd_tid;

uint64_t
host_mono(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)t.tv_sec * 1000000000UL + (uint64_t)t.tv_nsec);
}

uint64_t
host_real(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return ((uint64_t)t.tv_sec * 1000000000UL + (uint64_t)t.tv_nsec);
}

/* As pthread_getcpuclockid() has it, which wants a pthread_t. */
uint64_t
host_cpu(pid_t tid)
{
	struct timespec t = { 0, 0 };

	(void)clock_gettime(tid == 0 ? CLOCK_THREAD_CPUTIME_ID :
	    (clockid_t)(~(unsigned)tid << 3 | 6), &t);
	return ((uint64_t)t.tv_sec * 1000000000UL + (uint64_t)t.tv_nsec);
}

static void
wd_handler(int sig, siginfo_t *si, void *ctx)
{
	struct wd_slot *s;

	(void)sig;
	(void)ctx;
	if (si->si_code != SI_QUEUE || si->si_pid != getpid())
		return;
	s = si->si_value.sival_ptr;
	if (s != NULL && s->magic == WD_MAGIC)
		atomic_fetch_add(&s->handled, 1);
}

static void
wd_kick(struct wd_slot *s)
{
	siginfo_t si;

	memset(&si, 0, sizeof si);
	si.si_signo = wd_sig;
	si.si_code = SI_QUEUE;
	si.si_pid = getpid();
	si.si_uid = getuid();
	si.si_value.sival_ptr = s;
	vcpu_kick(s->vcpu);
	atomic_fetch_add(&s->sent, 1);
	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), s->tid, wd_sig, &si) != 0)
		atomic_fetch_sub(&s->sent, 1);	/* queue full: next time */
}

/* Should it come out so that other threads of the guest have their turn? */
static int
wd_tick(const struct wd_slot *s, uint64_t now)
{
	uint64_t seen = atomic_load(&s->seen);

	if (now - s->last_tick < TICK_EVERY)
		return (0);
	return (now >= atomic_load(&s->tick) ||
	    (seen != ~0UL && s->gen != NULL && *s->gen != seen));
}

/* Is a kick due?  Called in state KICKING, so the slot cannot go away. */
static int
wd_due(struct wd_slot *s, uint64_t now)
{
	uint64_t out;

	if (now >= s->deadline || (s->cancel != NULL && *s->cancel)) {
		atomic_store(&s->expired, WD_EXPIRED);
		return (1);
	}
	if (s->cpu_end != ~0UL && host_cpu(s->tid) >= s->cpu_end) {
		atomic_store(&s->expired, WD_EXPIRED_CPU);
		return (1);
	}
	if (now >= s->limit)
		return (1);
	out = atomic_load(&s->out_since);
	if (out == 0 && s->ring != NULL && s->ring->head != s->ring->tail)
		atomic_store(&s->out_since, now);
	if (out != 0 && now - out >= OUTPUT_AFTER)
		return (1);
	if (wd_tick(s, now)) {
		s->last_tick = now;
		return (1);
	}
	return (0);
}

static int
wd_scan(uint64_t now)
{
	unsigned u, hi;
	uint8_t armed;
	int any = 0;

	hi = __atomic_load_n(&wd_hi, __ATOMIC_ACQUIRE);
	for (u = 0; u < hi; u++) {
		if (atomic_load_explicit(&wd_state[u],
		    memory_order_relaxed) != WD_ARMED)
			continue;
		any = 1;
		armed = WD_ARMED;
		if (!atomic_compare_exchange_strong(&wd_state[u], &armed,
		    WD_KICKING))
			continue;
		if (wd_due(wd_slot[u], now))
			wd_kick(wd_slot[u]);
		atomic_store(&wd_state[u], WD_ARMED);
	}
	return (any);
}

/* For a period, or until the thread is to end */
static void
wd_sleep(void)
{
	const uint64_t until = host_mono() + WD_PERIOD;
	const struct timespec t = { (time_t)(until / 1000000000),
	    (long)(until % 1000000000) };

	(void)pthread_mutex_lock(&wd_mtx);
	if (!wd_stop)
		(void)pthread_cond_clockwait(&wd_cond, &wd_mtx,
		    CLOCK_MONOTONIC, &t);
	(void)pthread_mutex_unlock(&wd_mtx);
}

static void *
wd_main(void *priv)
{
	uint64_t now, last = host_mono();

	(void)priv;
	(void)pthread_setname_np(pthread_self(), "tkvm-watchdog");
	while (!__atomic_load_n(&wd_stop, __ATOMIC_ACQUIRE)) {
		wd_sleep();
		now = host_mono();
		if (wd_scan(now))
			last = now;
		if (now - last < WD_LINGER)
			continue;
		(void)pthread_mutex_lock(&wd_mtx);
		atomic_store(&wd_asleep, 1);
		/* one more look: somebody may have armed meanwhile */
		if (!wd_scan(now) && !wd_stop)
			(void)pthread_cond_wait(&wd_cond, &wd_mtx);
		atomic_store(&wd_asleep, 0);
		(void)pthread_mutex_unlock(&wd_mtx);
		last = host_mono();
	}
	return (NULL);
}

/* A real-time signal nobody uses. */
static int
wd_signal(struct tkvm_error *err)
{
	struct sigaction sa, old;
	int s;

	for (s = SIGRTMAX - 1; s > SIGRTMIN; s--) {
		if (sigaction(s, NULL, &old) != 0 ||
		    (old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL)
			continue;
		memset(&sa, 0, sizeof sa);
		sa.sa_sigaction = wd_handler;
		sa.sa_flags = SA_SIGINFO | SA_RESTART;
		(void)sigfillset(&sa.sa_mask);
		if (sigaction(s, &sa, NULL) == 0) {
			wd_sig = s;
			return (0);
		}
	}
	return (err_set(err, TKVM_E_KVM, "no real-time signal is free for "
	    "the watchdog: every one has a handler"));
}

static int
wd_start(struct tkvm_error *err)
{
	sigset_t all, old;
	int i;

	if (wd_running)
		return (0);
	if (wd_sig == 0 && wd_signal(err) != 0)
		return (-1);
	wd_stop = 0;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	i = pthread_create(&wd_thread, NULL, wd_main, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (i != 0)
		return (err_set(err, TKVM_E_MEMORY,
		    "cannot start the watchdog thread: %s", strerror(i)));
	wd_running = 1;
	return (0);
}

struct wd_slot *
wd_new(struct vcpu *v, struct tkvm_error *err)
{
	struct wd_slot *s;
	unsigned u;

	ALLOC_OBJ(s, WD_MAGIC);
	if (s == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "out of memory");
		return (NULL);
	}
	s->vcpu = v;
	(void)pthread_mutex_lock(&wd_life);
	(void)pthread_mutex_lock(&wd_mtx);
	for (u = 0; u < WD_MAX; u++)
		if (atomic_load(&wd_state[u]) == WD_FREE)
			break;
	if (u == WD_MAX || wd_start(err) != 0) {
		if (u == WD_MAX)
			(void)err_set(err, TKVM_E_LIMIT,
			    "more than %u machines in one process", WD_MAX);
		(void)pthread_mutex_unlock(&wd_mtx);
		(void)pthread_mutex_unlock(&wd_life);
		FREE_OBJ(s);
		return (NULL);
	}
	wd_users++;
	s->idx = u;
	wd_slot[u] = s;
	atomic_store(&wd_state[u], WD_IDLE);
	if (u >= wd_hi)
		__atomic_store_n(&wd_hi, u + 1, __ATOMIC_RELEASE);
	(void)pthread_mutex_unlock(&wd_mtx);
	(void)pthread_mutex_unlock(&wd_life);
	return (s);
}

void
wd_free(struct wd_slot **ps)
{
	struct wd_slot *s;
	int last;

	TAKE_OBJ_NOTNULL(s, ps, WD_MAGIC);
	(void)pthread_mutex_lock(&wd_life);
	(void)pthread_mutex_lock(&wd_mtx);
	assert(atomic_load(&wd_state[s->idx]) == WD_IDLE);
	atomic_store(&wd_state[s->idx], WD_FREE);
	wd_slot[s->idx] = NULL;
	/* The code may be unloaded after the last machine is gone (dlclose) */
	last = --wd_users == 0 && wd_running;
	if (last) {
		__atomic_store_n(&wd_stop, 1, __ATOMIC_RELEASE);
		wd_running = 0;
		(void)pthread_cond_signal(&wd_cond);
		(void)pthread_mutex_unlock(&wd_mtx);
		(void)pthread_join(wd_thread, NULL);
		/* No kick is under way: give the signal back. */
		(void)signal(wd_sig, SIG_DFL);
		wd_sig = 0;
	} else
		(void)pthread_mutex_unlock(&wd_mtx);
	(void)pthread_mutex_unlock(&wd_life);
	FREE_OBJ(s);
}

static void
wd_unblock(void)
{
	sigset_t one;

	(void)sigemptyset(&one);
	(void)sigaddset(&one, wd_sig);
	(void)pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	wd_tid = (pid_t)syscall(SYS_gettid);
	wd_unblocked = wd_sig;
}

void
wd_arm(struct wd_slot *s, uint64_t deadline, const volatile int *cancel)
{

	CHECK_OBJ_NOTNULL(s, WD_MAGIC);
	if (wd_unblocked != wd_sig)
		wd_unblock();
	s->tid = wd_tid;
	s->deadline = deadline;
	s->cancel = cancel;
	atomic_store(&s->expired, 0);
	atomic_store(&s->out_since, 0);
	atomic_store(&wd_state[s->idx], WD_ARMED);
	if (atomic_load(&wd_asleep)) {
		(void)pthread_mutex_lock(&wd_mtx);
		(void)pthread_cond_signal(&wd_cond);
		(void)pthread_mutex_unlock(&wd_mtx);
	}
}

void
wd_disarm(struct wd_slot *s)
{
	unsigned n = 0;
	uint8_t armed;

	for (;;) {
		armed = WD_ARMED;
		if (atomic_compare_exchange_strong(&wd_state[s->idx], &armed,
		    WD_IDLE))
			break;
		(void)sched_yield();
	}
	while (atomic_load(&s->handled) != atomic_load(&s->sent)) {
		/* has somebody blocked it again on this thread? */
		if (++n % 1024 == 0)
			wd_unblock();
		(void)sched_yield();
	}
	vcpu_unkick(s->vcpu);
}
