/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * CPU time used: its clocks, and what is due when it reached something.
 *
 * A timer of CPU time is due at no time of the clock, so none of them counts
 * for the machine's next wake; the loop asks how long the thread at hand may
 * run (cputime_left).  cpu_timed says that there may be any.
 */

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "linux/sys_proc.h"
#include "obj.h"

/* (~id) << 3 with these bits */
#define OF_THREAD	4
#define SCHED		2
#define MAKE_THREAD(tid) (~(tid) * 8 + (OF_THREAD | SCHED))

uint64_t
cputime_process(const struct machine *m)
{
	uint64_t sum = m->proc.dead_cpu_ns;
	unsigned u;

	for (u = 0; u < m->proc.hi_thread; u++)
		if (m->thread[u].state != T_FREE)
			sum += m->thread[u].cpu_ns;
	return (sum);
}

int
cputime_is_clock(int32_t clk)
{

	return (clk < 0 || clk == CLOCK_PROCESS_CPUTIME_ID ||
	    clk == CLOCK_THREAD_CPUTIME_ID);
}

/* Whose clock it is, by a number below 0; 0: the caller's */
static int32_t
owner(int32_t clk)
{

	return ((int32_t)(~(uint32_t)clk >> 3));
}

int32_t
cputime_name(const struct thread *t, int32_t clk)
{

	if (clk == CLOCK_THREAD_CPUTIME_ID)
		return (MAKE_THREAD(t->tid));
	if (clk < 0 && (clk & OF_THREAD) && owner(clk) == 0)
		return (MAKE_THREAD(t->tid));
	return (clk);
}

static struct thread *
thread_of(struct machine *m, struct thread *t, int32_t clk)
{
	int32_t id = owner(clk);

	return (clk == CLOCK_THREAD_CPUTIME_ID || id == 0 ? t :
	    thread_find(m, id));
}

static int
of_thread(int32_t clk)
{

	return (clk == CLOCK_THREAD_CPUTIME_ID ||
	    (clk < 0 && (clk & OF_THREAD)));
}

int64_t
cputime_read(struct machine *m, struct thread *t, int32_t clk, uint64_t *ns)
{
	int32_t id = owner(clk);

	if (clk < 0 && (clk & 3) == 3)
		return (-EINVAL);
	if (of_thread(clk)) {
		t = thread_of(m, t, clk);
		if (t == NULL)
			return (-EINVAL);
		*ns = t->cpu_ns;
		return (0);
	}
	if (clk < 0 && id != 0 && !proc_is_self(m, id))
		return (-EINVAL);
	*ns = cputime_process(m);
	return (0);
}

/* ---- what is due ----------------------------------------------------- */

static uint64_t
less(uint64_t a, uint64_t b)
{

	return (a < b ? a : b);
}

/* How much longer the thread at hand may run before this one is due */
static uint64_t
until(struct machine *m, int32_t clk, uint64_t next)
{
	struct thread *cur = &m->thread[m->proc.cur];
	uint64_t now;

	if (next == 0 || (of_thread(clk) && thread_of(m, cur, clk) != cur) ||
	    cputime_read(m, cur, clk, &now) != 0)
		return (UINT64_MAX);
	return (next > now ? next - now : 0);
}

/* A thread that sleeps until others have worked enough? */
static int
sleeps(const struct thread *t)
{

	return (t->state == T_WAIT && t->nr == SYS_clock_nanosleep &&
	    cputime_is_clock((int32_t)t->a[0]));
}

uint64_t
cputime_left(struct machine *m)
{
	const struct proc *p = &m->proc;
	uint64_t left = UINT64_MAX;
	unsigned u;

	for (u = 0; u < NELEM(p->itimer_cpu); u++)
		left = less(left, until(m, CLOCK_PROCESS_CPUTIME_ID,
		    p->itimer_cpu[u].next));
	for (u = 0; u < p->hi_gtimer; u++)
		if (p->gtimer[u].used &&
		    cputime_is_clock(p->gtimer[u].clockid))
			left = less(left, until(m, p->gtimer[u].clockid,
			    p->gtimer[u].next));
	for (u = 0; u < p->hi_thread; u++)
		if (sleeps(&m->thread[u]))
			left = less(left, until(m, (int32_t)m->thread[u].a[0],
			    m->thread[u].cpu_until));
	if (p->rlim[RLIMIT_CPU][0] < UINT64_MAX / NSEC)
		left = less(left, until(m, CLOCK_PROCESS_CPUTIME_ID,
		    p->rlim[RLIMIT_CPU][0] * NSEC + 1));
	return (left);
}

/* RLIMIT_CPU: a signal each second above the soft limit, then the end */
static int
limit_run(struct machine *m, uint64_t used)
{
	uint64_t *lim = m->proc.rlim[RLIMIT_CPU];

	if (lim[0] >= UINT64_MAX / NSEC || used < lim[0] * NSEC)
		return (0);
	if (lim[1] < UINT64_MAX / NSEC && used >= lim[1] * NSEC) {
		(void)signal_send(m, NULL, SIGKILL, GUEST_SI_KERNEL, 0);
		return (1);
	}
	(void)signal_send(m, NULL, SIGXCPU, GUEST_SI_KERNEL, 0);
	lim[0] = used / NSEC + 1;
	return (1);
}

int
cputime_run(struct machine *m)
{
	static const int signo[] = { SIGVTALRM, SIGPROF };
	struct itimer_cpu *it;
	uint64_t used = cputime_process(m);
	unsigned u;
	int sent = 0;

	for (u = 0; u < NELEM(m->proc.itimer_cpu); u++) {
		it = &m->proc.itimer_cpu[u];
		if (it->next == 0 || it->next > used)
			continue;
		(void)timer_advance(used, it->interval, &it->next);
		(void)signal_send(m, NULL, signo[u], GUEST_SI_KERNEL, 0);
		sent = 1;
	}
	return (sent | limit_run(m, used));
}

/* ---- sleeping -------------------------------------------------------- */

int64_t
cputime_sleep(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const int32_t clk = (int32_t)a[0];
	uint64_t now, ns;
	int64_t error;

	error = cputime_read(m, t, clk, &now);
	if (error)
		return (error);
	if (!t->restart) {
		error = get_timespec(m, a[2], &ns);
		if (error)
			return (error);
		/* It would wait for itself. */
		if (thread_of(m, t, clk) == t && of_thread(clk))
			return (-EINVAL);
		t->cpu_until = (int)a[1] & TIMER_ABSTIME ? ns :
		    time_after(now, ns);
		m->proc.cpu_timed = 1;
	}
	if (now < t->cpu_until)
		return (SYS_BLOCK);
	m->resched = 1;
	return (0);
}

uint64_t
cputime_sleep_left(struct machine *m, struct thread *t)
{
	uint64_t now;

	if (cputime_read(m, t, (int32_t)t->a[0], &now) != 0 ||
	    now >= t->cpu_until)
		return (0);
	return (t->cpu_until - now);
}
