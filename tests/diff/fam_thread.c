/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Threads: clone(2), clone3(2), TLS, thread ids, sched_*(2), membarrier(2),
 * rseq(2), robust lists, preemption.
 */

#include "diff.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define THREAD_FLAGS	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | \
			    CLONE_THREAD | CLONE_SYSVSEM)

static pid_t
tid(void)
{

	return ((pid_t)syscall(SYS_gettid));
}

static volatile int flag, counter;
static pthread_mutex_t mtx = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void *
add_one(void *p)
{

	__atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
	return (p);
}

CASE(create_and_join)
{
	void *r;

	counter = 0;
	ERRNUM(pthread_join(thread_start(add_one, &mtx), &r));
	SHOW(r == (void *)&mtx);
	SHOW(counter);
}

static void *
wait_for_flag(void *p)
{

	(void)pthread_mutex_lock(&mtx);
	counter++;
	while (!flag)
		(void)pthread_cond_wait(&cond, &mtx);
	counter--;
	(void)pthread_mutex_unlock(&mtx);
	return (p);
}

CASE(three_hundred_at_once)
{
	pthread_attr_t a;
	pthread_t t[300];
	int i, bad = 0;

	flag = counter = 0;
	ERRNUM(pthread_attr_init(&a));
	ERRNUM(pthread_attr_setstacksize(&a, 65536));
	for (i = 0; i < 300; i++)
		bad += pthread_create(&t[i], &a, wait_for_flag, NULL) != 0;
	SHOW(bad);
	if (bad)
		return;
	while (__atomic_load_n(&counter, __ATOMIC_SEQ_CST) < 300)
		(void)sched_yield();
	(void)pthread_mutex_lock(&mtx);
	flag = 1;
	(void)pthread_cond_broadcast(&cond);
	(void)pthread_mutex_unlock(&mtx);
	for (i = 0; i < 300; i++)
		bad += pthread_join(t[i], NULL) != 0;
	SHOW(bad);
	SHOW(counter);
	ERRNUM(pthread_attr_destroy(&a));
}

/* A byte in a pipe as a lock, as libuv has one: two do not starve the others. */
static int lock_pipe[2];

static void *
lock_and_unlock(void *p)
{
	volatile int *had = p;
	char b;

	while (!__atomic_load_n(&flag, __ATOMIC_SEQ_CST)) {
		if (read(lock_pipe[0], &b, 1) != 1)
			break;
		if (++*had == 20)
			__atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
		/* calls that leave the machine: threads may change there */
		(void)access("/", F_OK);
		if (write(lock_pipe[1], &b, 1) != 1)
			break;
		(void)access("/", F_OK);
	}
	return (NULL);
}

CASE(lock_that_many_want)
{
	int had[6] = { 0 }, i, bad = 0;
	pthread_t t[6];

	flag = counter = 0;
	MUST(pipe(lock_pipe) == 0 && write(lock_pipe[1], "x", 1) == 1);
	for (i = 0; i < 6; i++)
		t[i] = thread_start(lock_and_unlock, &had[i]);
	while (__atomic_load_n(&counter, __ATOMIC_SEQ_CST) < 6)
		(void)usleep(1000);
	__atomic_store_n(&flag, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < 6; i++)
		bad += pthread_join(t[i], NULL) != 0;
	SHOW(counter);
	SHOW(bad);
	close(lock_pipe[0]);
	close(lock_pipe[1]);
}

CASE(one_after_the_other)
{
	int i, bad = 0;

	counter = 0;
	for (i = 0; i < 500; i++)
		bad += pthread_join(thread_start(add_one, NULL), NULL) != 0;
	SHOW(bad);
	SHOW(counter);
}

static __thread int tls_var = 5;
static __thread char tls_big[5000];

static void *
tls_thread(void *p)
{

	tls_big[4999]++;
	tls_var += (int)(intptr_t)p;
	return ((void *)(intptr_t)(tls_var + tls_big[4999]));
}

CASE(tls)
{
	void *r[3];
	pthread_t t[3];
	int i;

	for (i = 0; i < 3; i++)
		t[i] = thread_start(tls_thread, (void *)(intptr_t)i);
	for (i = 0; i < 3; i++)
		(void)pthread_join(t[i], &r[i]);
	SHOW((intptr_t)r[0] + (intptr_t)r[1] * 10 + (intptr_t)r[2] * 100);
	SHOW(tls_var + tls_big[4999]);
}

static void
key_gone(void *p)
{

	say("destructor %d", *(int *)p);
}

static pthread_key_t key;

static void *
key_thread(void *p)
{

	(void)pthread_setspecific(key, p);
	return (NULL);
}

CASE(thread_keys)
{
	int v = 3;

	ERRNUM(pthread_key_create(&key, key_gone));
	ERRNUM(pthread_join(thread_start(key_thread, &v), NULL));
	ERRNUM(pthread_key_delete(key));
}

static void *
give_tid(void *p)
{

	*(pid_t *)p = tid();
	return (NULL);
}

CASE(ids)
{
	pid_t a, b;

	SHOW(tid() == getpid());
	(void)pthread_join(thread_start(give_tid, &a), NULL);
	(void)pthread_join(thread_start(give_tid, &b), NULL);
	SHOW(a != getpid() && b != getpid() && a > 0 && b > 0);
	RET(syscall(SYS_tgkill, getpid(), a, 0));
	RET(syscall(SYS_tgkill, getpid(), getpid(), 0));
	RET(syscall(SYS_tkill, 0, 0));
	SHOW(syscall(SYS_set_tid_address, NULL) == getpid());
}

static void *
spin(void *p)
{

	while (!*(volatile int *)p)
		continue;
	return (NULL);
}

CASE(runaway_is_preempted)
{
	pthread_t a, b;
	volatile int stop = 0;

	a = thread_start(spin, (void *)(uintptr_t)&stop);
	b = thread_start(spin, (void *)(uintptr_t)&stop);
	ms_sleep(20);
	say("main goes on");
	stop = 1;
	ERRNUM(pthread_join(a, NULL));
	ERRNUM(pthread_join(b, NULL));
}

static void *
run_registers(void *p)
{
	double want = (double)(intptr_t)p, x[4] = { want, want, want, want };
	uint64_t i, bad = 0;

	/* vector registers hold while others run */
	for (i = 0; i < 300000; i++) {
		__asm__ volatile("movupd (%0), %%xmm5\n\tmovupd (%0), %%xmm15\n"
		    "\tpause\n\tmovupd %%xmm15, 16(%0)\n\tmovupd %%xmm5, (%0)"
		    : : "r" (x) : "xmm5", "xmm15", "memory");
		bad += x[0] != want || x[3] != want;
	}
	return ((void *)bad);
}

CASE(vector_registers_per_thread)
{
	pthread_t t[4];
	void *r;
	int i;

	for (i = 0; i < 4; i++)
		t[i] = thread_start(run_registers, (void *)(intptr_t)(i + 1));
	for (i = 0; i < 4; i++) {
		(void)pthread_join(t[i], &r);
		SHOW((intptr_t)r);
	}
}

static void *
incr(void *p)
{
	int i;

	for (i = 0; i < 20000; i++) {
		(void)pthread_mutex_lock(&mtx);
		(*(int *)p)++;
		(void)pthread_mutex_unlock(&mtx);
	}
	return (NULL);
}

CASE(mutex_contention)
{
	pthread_t t[4];
	int i, n = 0;

	for (i = 0; i < 4; i++)
		t[i] = thread_start(incr, &n);
	for (i = 0; i < 4; i++)
		(void)pthread_join(t[i], NULL);
	SHOW(n);
}

CASE(cond_timedwait)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)pthread_mutex_lock(&mtx);
	ERRNUM(pthread_cond_timedwait(&cond, &mtx, &ts));
	ts.tv_sec -= 100;
	ERRNUM(pthread_cond_timedwait(&cond, &mtx, &ts));
	ts.tv_nsec = 1000000000;
	ERRNUM(pthread_cond_timedwait(&cond, &mtx, &ts));
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ERRNUM(pthread_cond_clockwait(&cond, &mtx, CLOCK_MONOTONIC, &ts));
	ERRNUM(pthread_mutex_timedlock(&mtx, &ts));
	(void)pthread_mutex_unlock(&mtx);
}

static pthread_barrier_t barrier;

static void *
at_barrier(void *p)
{
	int i, r, n = 0;

	for (i = 0; i < 50; i++) {
		r = pthread_barrier_wait(&barrier);
		n += r == PTHREAD_BARRIER_SERIAL_THREAD;
	}
	__atomic_add_fetch((int *)p, n, __ATOMIC_SEQ_CST);
	return (NULL);
}

CASE(barriers)
{
	pthread_t t[5];
	int i, n = 0;

	ERRNUM(pthread_barrier_init(&barrier, NULL, 5));
	for (i = 0; i < 5; i++)
		t[i] = thread_start(at_barrier, &n);
	for (i = 0; i < 5; i++)
		(void)pthread_join(t[i], NULL);
	SHOW(n);
	ERRNUM(pthread_barrier_destroy(&barrier));
}

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;

static void *
reader_writer(void *p)
{
	int i;

	for (i = 0; i < 2000; i++) {
		if (i % 10 == 0) {
			(void)pthread_rwlock_wrlock(&rw);
			(*(int *)p)++;
		} else
			(void)pthread_rwlock_rdlock(&rw);
		(void)pthread_rwlock_unlock(&rw);
	}
	return (NULL);
}

CASE(rwlocks)
{
	pthread_t t[4];
	int i, n = 0;

	for (i = 0; i < 4; i++)
		t[i] = thread_start(reader_writer, &n);
	for (i = 0; i < 4; i++)
		(void)pthread_join(t[i], NULL);
	SHOW(n);
}

static void *
block_in_read(void *p)
{
	char c;

	(void)read(*(int *)p, &c, 1);
	return (NULL);
}

CASE(cancel_in_a_call)
{
	pthread_t t;
	void *r;
	int fd[2];

	RET(pipe(fd));
	t = thread_start(block_in_read, &fd[0]);
	ms_sleep(10);
	ERRNUM(pthread_cancel(t));
	ERRNUM(pthread_join(t, &r));
	SHOW(r == PTHREAD_CANCELED);
	RET(close(fd[0]));
	RET(close(fd[1]));
}

static void *
spin_cancel(void *p)
{

	(void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	*(volatile int *)p = 1;
	for (;;)
		continue;
	return (NULL);
}

CASE(cancel_asynchronously)
{
	pthread_t t;
	volatile int started = 0;
	void *r;

	t = thread_start(spin_cancel, (void *)(uintptr_t)&started);
	while (!started)
		ms_sleep(1);
	ERRNUM(pthread_cancel(t));
	ERRNUM(pthread_join(t, &r));
	SHOW(r == PTHREAD_CANCELED);
}

static void *
take_and_die(void *p)
{

	(void)pthread_mutex_lock(p);
	return (NULL);
}

CASE(robust_mutex)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;

	ERRNUM(pthread_mutexattr_init(&a));
	ERRNUM(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST));
	ERRNUM(pthread_mutex_init(&m, &a));
	ERRNUM(pthread_join(thread_start(take_and_die, &m), NULL));
	ERRNUM(pthread_mutex_lock(&m));
	ERRNUM(pthread_mutex_consistent(&m));
	ERRNUM(pthread_mutex_unlock(&m));
	ERRNUM(pthread_join(thread_start(take_and_die, &m), NULL));
	ERRNUM(pthread_mutex_lock(&m));
	ERRNUM(pthread_mutex_unlock(&m));
	ERRNUM(pthread_mutex_lock(&m));
}

static void *
robust_waiter(void *p)
{

	return ((void *)(intptr_t)pthread_mutex_lock(p));
}

static void *
robust_sleeper(void *p)
{

	(void)pthread_mutex_lock(p);
	flag = 1;
	ms_sleep(30);
	return (NULL);
}

CASE(robust_mutex_wakes)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;
	pthread_t t, u;
	void *r;

	(void)pthread_mutexattr_init(&a);
	(void)pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	(void)pthread_mutex_init(&m, &a);
	flag = 0;
	t = thread_start(robust_sleeper, &m);
	while (!flag)
		ms_sleep(1);
	u = thread_start(robust_waiter, &m);
	(void)pthread_join(t, NULL);
	(void)pthread_join(u, &r);
	say("%s", errno_name((int)(intptr_t)r));
}

CASE(robust_list_calls)
{
	struct robust_list_head h = { { &h.list }, 0, NULL };
	void *head;
	size_t len = 0;

	RET(syscall(SYS_set_robust_list, &h, 23));
	RET(syscall(SYS_get_robust_list, 0, &head, &len));
	SHOW(len);
	RET(syscall(SYS_get_robust_list, 0x3ffff0, &head, &len));
	RET(syscall(SYS_get_robust_list, 0, (void *)8, &len));
}

static void *
pi_incr(void *p)
{
	struct { pthread_mutex_t m; int n; } *s = p;
	int i;

	for (i = 0; i < 3000; i++) {
		(void)pthread_mutex_lock(&s->m);
		s->n++;
		if (i % 100 == 0)
			(void)sched_yield();
		(void)pthread_mutex_unlock(&s->m);
	}
	return (NULL);
}

CASE(pi_mutex)
{
	struct { pthread_mutex_t m; int n; } s = { .n = 0 };
	pthread_mutexattr_t a;
	pthread_t t[3];
	struct timespec ts = { 0, 0 };
	int i;

	ERRNUM(pthread_mutexattr_init(&a));
	ERRNUM(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT));
	ERRNUM(pthread_mutex_init(&s.m, &a));
	for (i = 0; i < 3; i++)
		t[i] = thread_start(pi_incr, &s);
	for (i = 0; i < 3; i++)
		(void)pthread_join(t[i], NULL);
	SHOW(s.n);
	ERRNUM(pthread_mutex_lock(&s.m));
	ERRNUM(pthread_mutex_trylock(&s.m));
	ERRNUM(pthread_mutex_unlock(&s.m));
	ERRNUM(pthread_join(thread_start(take_and_die, &s.m), NULL));
	ERRNUM(pthread_mutex_timedlock(&s.m, &ts));
}

CASE(pi_robust_mutex)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;

	(void)pthread_mutexattr_init(&a);
	(void)pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	(void)pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	ERRNUM(pthread_mutex_init(&m, &a));
	ERRNUM(pthread_join(thread_start(take_and_die, &m), NULL));
	ERRNUM(pthread_mutex_lock(&m));
	ERRNUM(pthread_mutex_consistent(&m));
	ERRNUM(pthread_mutex_unlock(&m));
}

/* ---- clone without libc ---------------------------------------------------------------- */

static int child_word;

/* Runs on its own stack: sets child_word and ends. */
static long
raw_clone(uint64_t flags, void *stack, int *ptid, int *ctid)
{
	long r;
	register int *r10 __asm__("r10") = ctid;
	register uint64_t r8 __asm__("r8") = 0;

	__asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n"
	    "\tmovl $77, %[word]\n\tmov $60, %%eax\n\txor %%edi, %%edi\n"
	    "\tsyscall\n1:"
	    : "=a" (r), [word] "+m" (child_word)
	    : "0" (SYS_clone), "D" (flags), "S" (stack), "d" (ptid),
	      "r" (r10), "r" (r8)
	    : "rcx", "r11", "memory");
	return (r);
}

static void
futex_until_zero(int *w)
{
	int v;

	while ((v = __atomic_load_n(w, __ATOMIC_SEQ_CST)) != 0)
		(void)syscall(SYS_futex, w, FUTEX_WAIT, v, NULL, NULL, 0);
}

CASE(clone_tids)
{
	uint8_t *stack = mem_new(16 * PG);
	int ptid = 0, ctid = 1;
	long r;

	child_word = 0;
	r = raw_clone(THREAD_FLAGS | CLONE_PARENT_SETTID |
	    CLONE_CHILD_CLEARTID, stack + 16 * PG, &ptid, &ctid);
	SHOW(r > 0 && r == ptid);
	futex_until_zero(&ctid);
	SHOW(child_word);
	ctid = child_word = 0;
	r = raw_clone(THREAD_FLAGS | CLONE_CHILD_SETTID |
	    CLONE_CHILD_CLEARTID, stack + 16 * PG, NULL, &ctid);
	SHOW(r > 0);
	/* its number is there before it runs */
	while (*(volatile int *)&child_word == 0)
		ms_sleep(1);
	futex_until_zero(&ctid);
	SHOW(ctid);
	RET(munmap(stack, 16 * PG));
}

CASE(clone_errors)
{

	RET(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
	RET(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
	RET(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0));
	RET(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0));
}

CASE(clone3_errors)
{
	struct clone_args a;
	uint64_t big[20];

	memset(&a, 0, sizeof a);
	RET(syscall(SYS_clone3, &a, 8));
	RET(syscall(SYS_clone3, &a, 63));
	RET(syscall(SYS_clone3, &a, PG * 2));
	RET(syscall(SYS_clone3, (void *)8, sizeof a));
	a.flags = CLONE_THREAD;
	RET(syscall(SYS_clone3, &a, sizeof a));
	a.flags = THREAD_FLAGS;
	a.exit_signal = SIGCHLD;
	RET(syscall(SYS_clone3, &a, sizeof a));
	a.exit_signal = 0;
	a.stack = 0x1000;
	RET(syscall(SYS_clone3, &a, sizeof a));
	a.stack = 0;
	a.stack_size = 4096;
	RET(syscall(SYS_clone3, &a, sizeof a));
	a.stack_size = 0;
	a.flags = 0xff;
	RET(syscall(SYS_clone3, &a, sizeof a));
	memset(big, 0, sizeof big);
	big[19] = 1;
	RET(syscall(SYS_clone3, big, sizeof big));
}

/* ---- scheduling ------------------------------------------------------------------------- */

CASE(sched_policy)
{
	struct sched_param sp = { 0 };

	RET(sched_getscheduler(0));
	RET(sched_getparam(0, &sp));
	SHOW(sp.sched_priority);
	RET(sched_setscheduler(0, SCHED_OTHER, &sp));
	RET(sched_setscheduler(0, SCHED_BATCH, &sp));
	RET(sched_getscheduler(0));
	RET(sched_setscheduler(0, SCHED_OTHER, &sp));
	sp.sched_priority = 5;
	RET(sched_setscheduler(0, SCHED_OTHER, &sp));
	RET(sched_setscheduler(0, 99, &sp));
	RET(sched_setscheduler(0, -1, &sp));
	RET(sched_setparam(0, &sp));
	RET(sched_setparam(0, NULL));
	RET(sched_getscheduler(-1));
	RET(sched_getscheduler(0x3ffff0));
	RET(sched_getparam(0, NULL));
}

CASE(sched_priorities)
{

	RET(sched_get_priority_max(SCHED_OTHER));
	RET(sched_get_priority_min(SCHED_OTHER));
	RET(sched_get_priority_max(SCHED_FIFO));
	RET(sched_get_priority_min(SCHED_FIFO));
	RET(sched_get_priority_max(SCHED_RR));
	RET(sched_get_priority_max(SCHED_IDLE));
	RET(sched_get_priority_max(42));
	RET(sched_get_priority_min(-1));
}

CASE(sched_affinity)
{
	cpu_set_t set;
	long r;

	CPU_ZERO(&set);
	r = syscall(SYS_sched_getaffinity, 0, sizeof set, &set);
	SHOW(r > 0 && r % 8 == 0);
	SHOW(CPU_COUNT(&set) >= 1);
	SHOW(CPU_COUNT(&set) == sysconf(_SC_NPROCESSORS_ONLN));
	RET(sched_setaffinity(0, sizeof set, &set));
	RET(syscall(SYS_sched_getaffinity, 0, 7, &set));
	RET(syscall(SYS_sched_getaffinity, 0, 0, &set));
	RET(syscall(SYS_sched_getaffinity, 0, 128, (void *)8));
	RET(syscall(SYS_sched_getaffinity, 0x3ffff0, 128, &set));
	CPU_ZERO(&set);
	RET(sched_setaffinity(0, sizeof set, &set));
	RET(syscall(SYS_sched_setaffinity, 0, 128, (void *)8));
}

CASE(getcpu_and_yield)
{
	unsigned cpu = 99999, node = 99999;

	RET(syscall(SYS_getcpu, &cpu, &node, NULL));
	SHOW(cpu < 10000 && node < 1000);
	RET(syscall(SYS_getcpu, NULL, NULL, NULL));
	RET(syscall(SYS_getcpu, (void *)8, NULL, NULL));
	SHOW(sched_getcpu() >= 0);
	RET(sched_yield());
}

CASE(sched_attr)
{
	struct { uint32_t size, policy; uint64_t flags; int32_t nice;
		uint32_t prio; uint64_t r, d, p; uint32_t umin, umax; } a;

	memset(&a, 0xff, sizeof a);
	RET(syscall(SYS_sched_getattr, 0, &a, sizeof a, 0));
	say("%u %u %d %u", a.size, a.policy, a.nice, a.prio);
	RET(syscall(SYS_sched_getattr, 0, &a, 48, 0));
	SHOW(a.size);
	RET(syscall(SYS_sched_getattr, 0, &a, 47, 0));
	RET(syscall(SYS_sched_getattr, 0, &a, 48, 1));
	RET(syscall(SYS_sched_getattr, 0, NULL, 48, 0));
	memset(&a, 0, sizeof a);
	a.size = 48;
	RET(syscall(SYS_sched_setattr, 0, &a, 0));
	RET(syscall(SYS_sched_setattr, 0, &a, 1));
	a.policy = 77;
	RET(syscall(SYS_sched_setattr, 0, &a, 0));
	RET(syscall(SYS_sched_setattr, 0, NULL, 0));
}

CASE(rr_interval)
{
	struct timespec ts;

	RET(sched_rr_get_interval(0, &ts));
	SHOW(ts.tv_sec == 0);
	RET(sched_rr_get_interval(-1, &ts));
	RET(syscall(SYS_sched_rr_get_interval, 0, (void *)8));
}

ALONE(priority)
{

	RET(getpriority(PRIO_PROCESS, 0));
	RET(getpriority(9, 0));
	RET(getpriority(PRIO_PROCESS, 0x3ffff0));
	RET(setpriority(PRIO_PROCESS, 0, 3));
	RET(getpriority(PRIO_PROCESS, 0));
	RET(syscall(SYS_getpriority, PRIO_PROCESS, 0));
	RET(setpriority(PRIO_PROCESS, 0, 100));
	RET(getpriority(PRIO_PROCESS, 0));
	RET(setpriority(PRIO_PROCESS, 0x3ffff0, 3));
}

CASE(membarrier)
{
	long q = syscall(SYS_membarrier, 0, 0, 0);

	SHOW(q > 0 && (q & 0x18) == 0x18);
	RET(syscall(SYS_membarrier, 1, 0, 0));		/* global */
	RET(syscall(SYS_membarrier, 16, 0, 0));		/* register private */
	RET(syscall(SYS_membarrier, 8, 0, 0));		/* private expedited */
	RET(syscall(SYS_membarrier, 1 << 30, 0, 0));
	RET(syscall(SYS_membarrier, 3, 0, 0));
	RET(syscall(SYS_membarrier, 0, 1, 0));
	RET(syscall(SYS_membarrier, 8, 1, 0));
}

ALONE(membarrier_unregistered)
{

	RET(syscall(SYS_membarrier, 8, 0, 0));
	RET(syscall(SYS_membarrier, 16, 0, 0));
	RET(syscall(SYS_membarrier, 8, 0, 0));
}

CASE(rseq_is_there_for_libc)
{
	uint64_t area[4] __attribute__((aligned(32)));

	memset(area, 0, sizeof area);
	/* libc's own is registered, or there is none at all */
	SHOW(syscall(SYS_rseq, area, 32, 4, 0x53053053) == -1);
	SHOW(syscall(SYS_rseq, area, 32, 1, 0x53053053) == -1);
}

CASE(thread_names)
{
	char b[20] = "";

	RET(prctl(PR_SET_NAME, "a-very-long-thread-name"));
	RET(prctl(PR_GET_NAME, b));
	say("%s", b);
	ERRNUM(pthread_setname_np(pthread_self(), "short"));
	ERRNUM(pthread_getname_np(pthread_self(), b, sizeof b));
	say("%s", b);
	RET(prctl(PR_SET_NAME, 8));
	RET(prctl(PR_GET_NAME, 8));
}

CASE(prctl_others)
{
	int sig = -1;

	RET(prctl(PR_GET_DUMPABLE));
	RET(prctl(PR_SET_DUMPABLE, 2));
	RET(prctl(PR_SET_DUMPABLE, 0));
	RET(prctl(PR_GET_DUMPABLE));
	RET(prctl(PR_SET_DUMPABLE, 1));
	RET(prctl(PR_GET_KEEPCAPS));
	RET(prctl(PR_SET_PDEATHSIG, 99));
	RET(prctl(PR_SET_PDEATHSIG, SIGTERM));
	RET(prctl(PR_GET_PDEATHSIG, &sig));
	SHOW(sig);
	RET(prctl(PR_SET_PDEATHSIG, 0));
	RET(prctl(PR_GET_TIMERSLACK) > 0);
	RET(prctl(PR_SET_TIMERSLACK, 1000));
	RET(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	RET(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
	RET(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
	RET(prctl(PR_GET_CHILD_SUBREAPER, &sig));
	SHOW(sig);
	RET(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	RET(prctl(99999));
}

CASE(arch_prctl)
{
	uint64_t fs = 0, gs = 1, old;

	RET(syscall(SYS_arch_prctl, 0x1003, &fs));
	SHOW(fs != 0);
	RET(syscall(SYS_arch_prctl, 0x1004, &old));
	RET(syscall(SYS_arch_prctl, 0x1001, 0x1234000UL));
	RET(syscall(SYS_arch_prctl, 0x1004, &gs));
	SHOW(gs);
	RET(syscall(SYS_arch_prctl, 0x1001, old));
	RET(syscall(SYS_arch_prctl, 0x1001, 1UL << 63));
	RET(syscall(SYS_arch_prctl, 0x1002, 1UL << 62));
	RET(syscall(SYS_arch_prctl, 0x1003, 8));
	RET(syscall(SYS_arch_prctl, 0x9999, 0));
}

/* ---- registers over waits -------------------------------------------------------------- */

#define TURNS	300

/*
 * A futex call with a value of its own in registers that the kernel keeps;
 * *kept: they still are what they were.
 */
static long
futex_keeping(uint32_t *word, int op, uint32_t val, uint64_t mine, int *kept)
{
	register uint64_t rbx __asm__("rbx") = mine + 1;
	register uint64_t r12 __asm__("r12") = mine + 2;
	register uint64_t r15 __asm__("r15") = mine + 3;
	register long r10 __asm__("r10") = 0;
	long r = SYS_futex;
	uint64_t x0, x7, x15;

	__asm__ volatile(
	    "movq %[mine], %%xmm0\n\t"
	    "movq %[mine], %%xmm7\n\t"
	    "movq %[mine], %%xmm15\n\t"
	    "punpcklqdq %%xmm7, %%xmm7\n\t"
	    "syscall\n\t"
	    "movq %%xmm0, %[x0]\n\t"
	    "psrldq $8, %%xmm7\n\t"
	    "movq %%xmm7, %[x7]\n\t"
	    "movq %%xmm15, %[x15]\n\t"
	    : "+a"(r), [x0] "=&r"(x0), [x7] "=&r"(x7), [x15] "=&r"(x15),
	    "+r"(rbx), "+r"(r12), "+r"(r15), "+r"(r10)
	    : "D"(word), "S"((long)op), "d"((long)val), [mine] "m"(mine)
	    : "rcx", "r11", "memory", "xmm0", "xmm7", "xmm15");
	*kept = *kept && x0 == mine && x7 == mine && x15 == mine &&
	    rbx == mine + 1 && r12 == mine + 2 && r15 == mine + 3;
	return (r);
}

struct ring {
	uint32_t	*turn;
	uint32_t	me, n;
	int		kept, own_tid;
};

/* Everybody in turn: wait for it, pass it on. */
static void *
go_round(void *p)
{
	struct ring *g = p;
	const pid_t me = tid();
	uint32_t i, now;

	for (i = 0; i < TURNS; i++) {
		while ((now = __atomic_load_n(g->turn, __ATOMIC_SEQ_CST)) %
		    g->n != g->me)
			(void)futex_keeping(g->turn, FUTEX_WAIT_PRIVATE, now,
			    0x1234567800000000UL + g->me * 16, &g->kept);
		g->own_tid = g->own_tid && tid() == me;
		(void)__atomic_add_fetch(g->turn, 1, __ATOMIC_SEQ_CST);
		(void)futex_keeping(g->turn, FUTEX_WAKE_PRIVATE, 1000,
		    0x2345678900000000UL + g->me * 16, &g->kept);
	}
	return (p);
}

static void
ring_of(uint32_t n)
{
	static struct ring g[120];
	uint32_t turn = 0, i;
	pthread_t t[120];
	int ok = 0, tids = 0;

	for (i = 0; i < n; i++) {
		g[i] = (struct ring){ &turn, i, n, 1, 1 };
		t[i] = thread_start(go_round, &g[i]);
	}
	for (i = 0; i < n; i++) {
		(void)pthread_join(t[i], NULL);
		ok += g[i].kept;
		tids += g[i].own_tid;
	}
	say("%u threads: %d kept their registers, %d their id; turn %u", n, ok,
	    tids, turn);
}

CASE(registers_over_waits)
{

	ring_of(2);
	ring_of(5);
}

CASE(registers_over_waits_of_many)
{

	ring_of(16);
}

/* A thread in read(2), one in poll(2), and others that wake each other */
static void *
reads_pipe(void *p)
{
	int *fds = p;
	char c = 0;
	long sum = 0;

	while (read(fds[0], &c, 1) == 1)
		sum += c;
	return ((void *)sum);
}

CASE(waits_of_all_kinds)
{
	int fds[2];
	pthread_t rd, ad[4];
	void *sum;
	char c;
	int i, k;

	counter = 0;
	WORKS(pipe(fds));
	rd = thread_start(reads_pipe, fds);
	for (k = 0; k < 50; k++) {
		for (i = 0; i < 4; i++)
			ad[i] = thread_start(add_one, NULL);
		c = (char)k;
		(void)!write(fds[1], &c, 1);
		for (i = 0; i < 4; i++)
			(void)pthread_join(ad[i], NULL);
	}
	(void)close(fds[1]);
	(void)pthread_join(rd, &sum);
	SHOW((long)sum);
	SHOW(counter);
	RET(close(fds[0]));
}

/* ---- a signal for one that waits while another runs ------------------------------------ */

static uint32_t go;
static pthread_t waits_there;
static volatile sig_atomic_t handled;

static void
count_signal(int sig)
{

	(void)sig;
	handled++;
}

static void
spin_ms(unsigned ms)
{
	struct timespec a, b;

	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	do
		(void)clock_gettime(CLOCK_MONOTONIC, &b);
	while ((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) /
	    1000000 < (long)ms);
}

static void *
signals_main(void *p)
{

	while (__atomic_load_n(&go, __ATOMIC_SEQ_CST) == 0)
		(void)syscall(SYS_futex, &go, FUTEX_WAIT_PRIVATE, 0, NULL);
	/* without a wait of its own: with several CPUs, too, it waits then */
	spin_ms(2);
	(void)pthread_kill(waits_there, SIGUSR1);
	ms_sleep(20);
	/* for a read that goes on */
	(void)!write(*(int *)p, "x", 1);
	return (NULL);
}

/* Wake the other thread, and wait at once: it runs when this one waits. */
static int
signalled_once(char how, int flags)
{
	struct sigaction sa = { .sa_handler = count_signal, .sa_flags = flags };
	struct epoll_event ev;
	struct pollfd pf;
	pthread_t t;
	int fds[2], ep = epoll_create1(0), r;
	char c;

	(void)!pipe(fds);
	(void)sigaction(SIGUSR1, &sa, NULL);
	handled = 0;
	go = 0;
	waits_there = pthread_self();
	t = thread_start(signals_main, &fds[1]);
	ms_sleep(20);
	pf.fd = fds[0];
	pf.events = 0;
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	(void)syscall(SYS_futex, &go, FUTEX_WAKE_PRIVATE, 1);
	if (how == 'e')
		r = epoll_wait(ep, &ev, 1, 200);
	else if (how == 'p')
		r = poll(&pf, 1, 200);
	else
		r = (int)read(fds[0], &c, 1);
	r = r < 0 ? errno : 0;
	(void)pthread_join(t, NULL);
	(void)close(ep);
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)signal(SIGUSR1, SIG_DFL);
	return (r);
}

/* Where there are more CPUs the signal may come before the wait. */
static void
signalled_in(const char *how, int flags)
{
	int i, r = 0;

	for (i = 0; i < 10 && r == 0; i++)
		r = signalled_once(*how, flags);
	say("%s: %s, handled %d", how, errno_name(r), (int)handled);
}

CASE(signal_while_another_runs)
{

	signalled_in("epoll_wait", 0);
	signalled_in("epoll_wait again", SA_RESTART);
	signalled_in("poll", 0);
	signalled_in("poll again", SA_RESTART);
	signalled_in("read", 0);
	say("read again: %s", errno_name(signalled_once('r', SA_RESTART)));
}

static void *
exits_last(void *p)
{

	(void)p;
	ms_sleep(20);
	say("the last one");
	return (NULL);
}

ALONE(main_thread_ends_first)
{

	(void)thread_start(exits_last, NULL);
	pthread_exit(NULL);
}

static void *
exits_all(void *p)
{

	(void)p;
	_exit(13);
}

ALONE(exit_from_a_thread)
{

	(void)pthread_join(thread_start(exits_all, NULL), NULL);
	say("not reached");
}

static void *
crashes(void *p)
{

	*(volatile int *)p = 1;
	return (NULL);
}

ALONE(crash_of_a_thread)
{

	(void)pthread_join(thread_start(crashes, (void *)16), NULL);
	say("not reached");
}

ALONE(raw_exit_status)
{

	(void)syscall(SYS_exit, 0x1234);
}
