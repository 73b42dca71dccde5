/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Timers that send signals: alarm(2), setitimer(2), timer_create(2).
 * timers_run() is what raises them; times are on the guest's CLOCK_MONOTONIC,
 * or those of CPU time (cputime.c).
 */

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "linux/sys_proc.h"
#include "obj.h"

#define NS_PER_US	1000UL
#define GUEST_SIGEV_THREAD_ID 4

/* struct sigevent */
struct guest_sigevent {
	uint64_t	value;
	int32_t		signo, notify;
	int32_t		tid;
	uint8_t		pad[44];
};
_Static_assert(sizeof(struct guest_sigevent) == 64, "struct sigevent");
_Static_assert(sizeof(struct itimerval) == 32, "struct itimerval");
_Static_assert(sizeof(struct itimerspec) == 32, "struct itimerspec");

/* ---- expiry ---------------------------------------------------------- */

uint64_t
timer_advance(uint64_t now, uint64_t interval, uint64_t *next)
{
	uint64_t n;

	if (interval == 0) {
		*next = 0;
		return (1);
	}
	n = (now - *next) / interval + 1;
	*next = time_after(*next, n * interval);
	return (n);
}

/* 1: its signal was sent */
static int
gtimer_fire(struct machine *m, struct gtimer *g, uint64_t now)
{
	struct thread *t = NULL;
	uint64_t n, *pending;

	n = timer_advance(now, g->interval, &g->next);
	if (g->notify == SIGEV_NONE)
		return (0);
	if (g->notify == GUEST_SIGEV_THREAD_ID) {
		t = thread_find(m, g->tid);
		if (t == NULL)
			return (0);
	}
	pending = t != NULL ? &t->sigpending : &m->proc.sigpending;
	if (g->fired && (*pending & SIGBIT(g->signo))) {
		n += (uint64_t)g->overrun;
	} else {
		g->fired = 1;
		n--;
		(void)signal_send(m, t, g->signo, SI_TIMER, g->value);
	}
	g->overrun = n > INT32_MAX ? INT32_MAX : (int32_t)n;
	return (1);
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{

	return (b != 0 && b < a ? b : a);
}

/*
 * A signal sent here may be all that wakes a thread: the answer is then "now",
 * so that nobody goes to sleep on it.
 */
uint64_t
timers_run(struct machine *m)
{
	struct proc *p = &m->proc;
	struct gtimer *g;
	uint64_t now, cpu, first = UINT64_MAX;
	int sent = 0;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	now = machine_mono(m);
	if (p->itimer_next != 0 && p->itimer_next <= now) {
		(void)timer_advance(now, p->itimer_interval, &p->itimer_next);
		(void)signal_send(m, NULL, SIGALRM, GUEST_SI_KERNEL, 0);
		sent = 1;
	}
	first = sooner(first, p->itimer_next);
	for (g = p->gtimer; g < p->gtimer + p->hi_gtimer; g++) {
		if (!g->used || g->next == 0)
			continue;
		if (cputime_is_clock(g->clockid)) {
			if (cputime_read(m, NULL, g->clockid, &cpu) == 0 &&
			    g->next <= cpu)
				sent |= gtimer_fire(m, g, cpu);
			continue;
		}
		if (g->next <= now)
			sent |= gtimer_fire(m, g, now);
		first = sooner(first, g->next);
	}
	if (p->cpu_timed)
		sent |= cputime_run(m);
	return (sent ? now : first);
}

int
timer_signal_info(struct machine *m, int sig, struct guest_siginfo *si)
{
	struct gtimer *g;

	for (g = m->proc.gtimer; g < m->proc.gtimer + m->proc.hi_gtimer; g++) {
		if (!g->used || !g->fired || g->signo != sig ||
		    g->value != si->u.timer.value)
			continue;
		g->fired = 0;
		si->u.timer.tid = (int32_t)(g - m->proc.gtimer);
		si->u.timer.overrun = g->overrun;
		return (1);
	}
	return (0);
}

/* ---- ITIMER_REAL ----------------------------------------------------- */

/* Time left, at least 1 ns of an armed timer; 0: disarmed */
static uint64_t
left(uint64_t next, uint64_t now)
{

	if (next == 0)
		return (0);
	return (next > now ? next - now : 1);
}

static void
arm(struct machine *m, uint64_t value, uint64_t interval)
{

	m->proc.itimer_next = value == 0 ? 0 :
	    time_after(machine_mono(m), value);
	m->proc.itimer_interval = value == 0 ? 0 : interval;
	m->next_wake = 0;	/* to be found anew */
}

int64_t
sys_alarm(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t ns;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	ns = left(m->proc.itimer_next, machine_mono(m));
	arm(m, (uint64_t)(uint32_t)a[0] * NSEC, 0);
	if (ns == 0)
		return (0);
	/* An armed alarm never reads as none */
	return ((int64_t)(ns < NSEC ? 1 : (ns + NSEC / 2) / NSEC));
}

static int
tv_to_ns(const struct timeval *tv, uint64_t *ns)
{

	if (tv->tv_sec < 0 || tv->tv_usec < 0 || tv->tv_usec >= 1000000)
		return (-EINVAL);
	if ((uint64_t)tv->tv_sec >= INT64_MAX / NSEC)
		*ns = INT64_MAX;
	else
		*ns = (uint64_t)tv->tv_sec * NSEC +
		    (uint64_t)tv->tv_usec * NS_PER_US;
	return (0);
}

static struct timeval
ns_to_tv(uint64_t ns)
{

	ns += NS_PER_US - 1;
	return ((struct timeval){
		.tv_sec = (time_t)(ns / NSEC),
		.tv_usec = (suseconds_t)(ns % NSEC / NS_PER_US),
	});
}

/* The system's share is not told apart: both others count all CPU time. */
static void
arm_cpu(struct machine *m, int which, uint64_t value, uint64_t interval)
{
	struct itimer_cpu *it = &m->proc.itimer_cpu[which - ITIMER_VIRTUAL];

	it->next = value == 0 ? 0 : time_after(cputime_process(m), value);
	it->interval = value == 0 ? 0 : interval;
	m->proc.cpu_timed = 1;
}

static struct itimerval
itimer_read(struct machine *m, int which)
{
	struct itimerval it;
	uint64_t ns, interval;

	memset(&it, 0, sizeof(it));
	if (which != ITIMER_REAL) {
		ns = left(m->proc.itimer_cpu[which - ITIMER_VIRTUAL].next,
		    cputime_process(m));
		interval = m->proc.itimer_cpu[which - ITIMER_VIRTUAL].interval;
	} else {
		ns = left(m->proc.itimer_next, machine_mono(m));
		interval = m->proc.itimer_interval;
	}
	if (ns != 0) {
		it.it_value = ns_to_tv(ns);
		it.it_interval = ns_to_tv(interval);
	}
	return (it);
}

int64_t
sys_getitimer(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct itimerval it;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if ((uint32_t)a[0] > ITIMER_PROF)
		return (-EINVAL);
	it = itimer_read(m, (int)a[0]);
	return (as_write(m->as, a[1], &it, sizeof(it)) ? -EFAULT : 0);
}

int64_t
sys_setitimer(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct itimerval new, old;
	uint64_t value, interval;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	memset(&new, 0, sizeof(new));
	if (a[1] != 0 && as_read(m->as, a[1], &new, sizeof(new)))
		return (-EFAULT);
	if ((uint32_t)a[0] > ITIMER_PROF || tv_to_ns(&new.it_value, &value) ||
	    tv_to_ns(&new.it_interval, &interval))
		return (-EINVAL);
	old = itimer_read(m, (int)a[0]);
	if ((int)a[0] == ITIMER_REAL)
		arm(m, value, interval);
	else
		arm_cpu(m, (int)a[0], value, interval);
	if (a[2] != 0 && as_write(m->as, a[2], &old, sizeof(old)))
		return (-EFAULT);
	return (0);
}

/* ---- timer_create ---------------------------------------------------- */

static struct gtimer *
gtimer_get(struct machine *m, uint64_t id)
{
	uint32_t i = (uint32_t)id;

	if (i >= MAX_GTIMER || !m->proc.gtimer[i].used)
		return (NULL);
	return (&m->proc.gtimer[i]);
}

static int
good_event(struct machine *m, const struct guest_sigevent *ev)
{

	switch (ev->notify) {
	case SIGEV_NONE:
		return (1);
	case GUEST_SIGEV_THREAD_ID:
		if (thread_find(m, ev->tid) == NULL)
			return (0);
		break;
	case SIGEV_SIGNAL:
	case SIGEV_THREAD:
		break;
	default:
		return (0);
	}
	return (ev->signo > 0 && ev->signo <= NSIG_GUEST);
}

static int64_t
timer_clock(int32_t clk)
{

	switch (clk) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		return (0);
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return (-EPERM);
	default:
		return (clk >= 0 && clk <= CLOCK_MONOTONIC_COARSE ?
		    -EOPNOTSUPP : -EINVAL);
	}
}

int64_t
sys_timer_create(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct guest_sigevent ev;
	struct gtimer *g;
	int64_t error;
	uint64_t now;
	int32_t id;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	error = cputime_is_clock((int32_t)a[0]) ?
	    cputime_read(m, t, (int32_t)a[0], &now) :
	    timer_clock((int32_t)a[0]);
	if (error)
		return (error);
	for (id = 0; id < MAX_GTIMER; id++)
		if (!m->proc.gtimer[id].used)
			break;
	if (id == MAX_GTIMER)
		return (-EAGAIN);
	memset(&ev, 0, sizeof(ev));
	ev.signo = SIGALRM;
	ev.value = (uint64_t)id;
	if (a[1] != 0 && as_read(m->as, a[1], &ev, sizeof(ev)))
		return (-EFAULT);
	if (!good_event(m, &ev))
		return (-EINVAL);
	if (as_write(m->as, a[2], &id, sizeof(id)))
		return (-EFAULT);
	g = &m->proc.gtimer[id];
	if ((uint32_t)id >= m->proc.hi_gtimer)
		m->proc.hi_gtimer = (uint32_t)id + 1;
	memset(g, 0, sizeof(*g));
	g->used = 1;
	g->clockid = cputime_name(t, (int32_t)a[0]);
	g->notify = ev.notify;
	g->signo = ev.signo;
	g->tid = ev.tid;
	g->value = ev.value;
	return (0);
}

static uint64_t
gtimer_now(struct machine *m, const struct gtimer *g)
{
	uint64_t ns = 0;

	if (!cputime_is_clock(g->clockid))
		return (machine_mono(m));
	(void)cputime_read(m, NULL, g->clockid, &ns);
	return (ns);
}

static int64_t
gtimer_put(struct machine *m, const struct gtimer *g, uint64_t uaddr)
{
	uint64_t ns = left(g->next, gtimer_now(m, g));
	int64_t error;

	error = put_timespec(m, uaddr, ns != 0 ? g->interval : 0);
	if (error == 0)
		error = put_timespec(m, uaddr + sizeof(struct timespec), ns);
	return (error);
}

int64_t
sys_timer_settime(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gtimer *g, old;
	uint64_t interval, value;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (a[2] == 0)
		return (-EINVAL);
	error = get_timespec(m, a[2], &interval);
	if (error == 0)
		error = get_timespec(m, a[2] + sizeof(struct timespec),
		    &value);
	if (error)
		return (error);
	g = gtimer_get(m, a[0]);
	if (g == NULL)
		return (-EINVAL);
	old = *g;
	g->overrun = 0;
	g->fired = 0;
	g->interval = interval;
	if (value == 0)
		g->next = 0;
	else if (!((int)a[1] & TIMER_ABSTIME))
		g->next = time_after(gtimer_now(m, g), value);
	else if (g->clockid == CLOCK_REALTIME || g->clockid == CLOCK_TAI)
		g->next = time_real_to_mono(m, value);
	else
		g->next = value;
	/* 0 is "disarmed": what was due long ago is due at 1 */
	if (value != 0 && g->next == 0)
		g->next = 1;
	m->next_wake = 0;	/* to be found anew */
	if (cputime_is_clock(g->clockid))
		m->proc.cpu_timed = 1;
	return (a[3] != 0 ? gtimer_put(m, &old, a[3]) : 0);
}

int64_t
sys_timer_gettime(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gtimer *g;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	g = gtimer_get(m, a[0]);
	if (g == NULL)
		return (-EINVAL);
	return (gtimer_put(m, g, a[1]));
}

int64_t
sys_timer_delete(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gtimer *g;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	g = gtimer_get(m, a[0]);
	if (g == NULL)
		return (-EINVAL);
	memset(g, 0, sizeof(*g));
	return (0);
}

int64_t
sys_timer_getoverrun(struct machine *m, struct thread *t,
    const uint64_t a[6])
{
	struct gtimer *g;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	g = gtimer_get(m, a[0]);
	return (g == NULL ? -EINVAL : g->overrun);
}
