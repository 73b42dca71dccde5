/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Clocks, sleeping, timers that send signals, timerfd.
 */

#include "diff.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>

/* Did at least `ms` pass since t0, and not far more? */
static int
took(uint64_t t0, unsigned ms)
{
	uint64_t t = now_ns(CLOCK_MONOTONIC) - t0;

	return (t >= ms * MS && t < (ms + 20000) * MS);
}

/* Until the signal, which may be there before; it comes once. */
static void
wait_for(int sig, volatile int *there)
{
	sigset_t s, old;

	(void)sigemptyset(&s);
	(void)sigaddset(&s, sig);
	(void)sigprocmask(SIG_BLOCK, &s, &old);
	if (!*there)
		RET(sigsuspend(&old));
	else
		say("sigsuspend(&old): EINTR");
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
}

static volatile int ticks, tick_code, tick_overrun, tick_value;

static void
tick(int sig, siginfo_t *si, void *uc)
{

	(void)sig;
	(void)uc;
	ticks++;
	tick_code = si->si_code;
	tick_value = si->si_value.sival_int;
	/* the one that was late, not those that follow it */
	if (si->si_overrun > tick_overrun)
		tick_overrun = si->si_overrun;
}

static void
catch(int sig)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = tick;
	sa.sa_flags = SA_SIGINFO;
	(void)sigaction(sig, &sa, NULL);
	ticks = tick_overrun = 0;
}

CASE(clocks_exist)
{
	static const clockid_t ids[] = { 0, 1, 2, 3, 4, 5, 6, 7, 11, 10, 12,
	    99, -1, -2, -6, INT32_MIN };
	struct timespec ts;
	unsigned u;
	long r;

	for (u = 0; u < sizeof ids / sizeof ids[0]; u++) {
		r = syscall(SYS_clock_gettime, ids[u], &ts);
		say("clock %d: %s", ids[u], r == 0 ? "ok" : errno_name(errno));
	}
}

CASE(clock_getres_all)
{
	struct timespec ts;
	int i;
	long r;

	for (i = 0; i < 12; i++) {
		if (i == 8 || i == 9)	/* only with a hardware clock */
			continue;
		r = syscall(SYS_clock_getres, i, &ts);
		say("%d: %s %d", i, r == 0 ? "ok" : errno_name(errno),
		    r == 0 && ts.tv_sec == 0 && ts.tv_nsec > 0 &&
		    ts.tv_nsec <= 10000000);
	}
	RET(syscall(SYS_clock_getres, 0, NULL));
	RET(syscall(SYS_clock_getres, 99, NULL));
	RET(syscall(SYS_clock_getres, 0, (void *)8));
}

CASE(clocks_go_on)
{
	uint64_t a, b, i, back = 0;

	a = now_ns(CLOCK_MONOTONIC);
	for (i = 0; i < 100000; i++) {
		b = now_ns(CLOCK_MONOTONIC);
		back += b < a;
		a = b;
	}
	SHOW(back);
	a = now_ns(CLOCK_MONOTONIC);
	SHOW(now_ns(CLOCK_BOOTTIME) >= a);
	a = now_ns(CLOCK_REALTIME);
	SHOW(a > 1600000000UL * 1000 * MS);
	SHOW(now_ns(CLOCK_TAI) >= a);
}

CASE(vdso_and_call_agree)
{
	struct timespec a, b, c;
	int64_t x;
	int i, bad = 0;

	for (i = 0; i < 200; i++) {
		(void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &a);
		(void)clock_gettime(CLOCK_REALTIME, &b);
		(void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &c);
		x = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
		bad += x < 0;
		x = (c.tv_sec - b.tv_sec) * 1000000000 + c.tv_nsec - b.tv_nsec;
		bad += x < 0;
	}
	SHOW(bad);
	SHOW(time(NULL) - a.tv_sec <= 20);
}

CASE(cpu_clocks)
{
	uint64_t a = now_ns(CLOCK_PROCESS_CPUTIME_ID), b, t;
	uint64_t c = now_ns(CLOCK_THREAD_CPUTIME_ID);
	clockid_t clk;

	t = now_ns(CLOCK_MONOTONIC);
	do
		b = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	while (b - a < 20 * MS && took(t, 0));
	SHOW(b - a >= 20 * MS);
	SHOW(now_ns(CLOCK_THREAD_CPUTIME_ID) - c > 5 * MS);
	SHOW(now_ns(CLOCK_MONOTONIC) - t > 10 * MS);
	a = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	/* in a machine, a processor that is somebody else's counts */
	ms_sleep(500);
	SHOW(now_ns(CLOCK_PROCESS_CPUTIME_ID) - a < 400 * MS);
	ERRNUM(clock_getcpuclockid(0, &clk));
	SHOW(now_ns(clk) > 0);
	ERRNUM(clock_getcpuclockid(0x3ffff0, &clk));
	ERRNUM(pthread_getcpuclockid(pthread_self(), &clk));
	SHOW(now_ns(clk) > 0);
}

CASE(bad_pointers)
{
	uint8_t *e = mem_edge();

	RET(syscall(SYS_clock_gettime, 0, (void *)8));
	RET(syscall(SYS_clock_gettime, 0, e - 8));
	RET(syscall(SYS_clock_gettime, 0, e - 16));
	RET(syscall(SYS_gettimeofday, (void *)8, NULL));
	RET(syscall(SYS_gettimeofday, NULL, (void *)8));
	RET(syscall(SYS_gettimeofday, NULL, NULL));
	RET(syscall(SYS_time, (void *)8));
	RET(syscall(SYS_nanosleep, (void *)8, NULL));
	RET(syscall(SYS_nanosleep, e - 8, NULL));
	RET(syscall(SYS_clock_nanosleep, 1, 0, NULL, NULL));
	RET(syscall(SYS_times, (void *)8));
	RET(syscall(SYS_getrusage, 0, (void *)8));
	RET(munmap(e - PG, 2 * PG));
}

CASE(sleeps)
{
	struct timespec ts = { 0, 20 * MS };
	uint64_t t0 = now_ns(CLOCK_MONOTONIC);

	RET(nanosleep(&ts, NULL));
	SHOW(took(t0, 20));
	t0 = now_ns(CLOCK_MONOTONIC);
	ERRNUM(clock_nanosleep(CLOCK_REALTIME, 0, &ts, NULL));
	SHOW(took(t0, 20));
	t0 = now_ns(CLOCK_MONOTONIC);
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 20 * (long)MS;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	ERRNUM(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
	SHOW(took(t0, 19));
	ts.tv_sec = 0;
	ERRNUM(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
	ERRNUM(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL));
}

CASE(sleep_errors)
{
	struct timespec bad = { 0, 1000000000 }, neg = { -1, 0 }, z = { 0, 0 };
	clockid_t i;

	RET(nanosleep(&bad, NULL));
	RET(nanosleep(&neg, NULL));
	RET(nanosleep(&z, NULL));
	for (i = 0; i < 12; i++)
		if (i != 8 && i != 9)	/* need a privilege */
			say("clock %d: %s", i,
			    errno_name(clock_nanosleep(i, 0, &z, NULL)));
	ERRNUM(clock_nanosleep(1, 0, &bad, NULL));
	ERRNUM(clock_nanosleep(99, 0, &z, NULL));
}

CASE(alarm_and_itimer)
{
	struct itimerval it = { { 0, 0 }, { 0, 20000 } }, old;

	catch(SIGALRM);
	RET(alarm(0));
	RET(alarm(100));
	RET(alarm(0));
	RET(setitimer(ITIMER_REAL, &it, NULL));
	wait_for(SIGALRM, &ticks);
	SHOW(ticks);
	SHOW(tick_code == SI_KERNEL);
	RET(getitimer(ITIMER_REAL, &old));
	SHOW(old.it_value.tv_sec + old.it_value.tv_usec);
	it.it_value.tv_sec = 50;
	it.it_interval.tv_sec = 7;
	RET(setitimer(ITIMER_REAL, &it, NULL));
	RET(alarm(0));
	RET(setitimer(ITIMER_REAL, &it, &old));
	SHOW(old.it_value.tv_sec);
	RET(getitimer(ITIMER_REAL, &old));
	SHOW(old.it_value.tv_sec > 20 && old.it_value.tv_sec <= 50);
	SHOW(old.it_interval.tv_sec);
	memset(&it, 0, sizeof it);
	RET(setitimer(ITIMER_REAL, &it, &old));
	RET(setitimer(ITIMER_REAL, NULL, &old));
	(void)signal(SIGALRM, SIG_DFL);
}

CASE(itimer_errors)
{
	struct itimerval it = { { 0, 0 }, { 0, 1000000 } };

	RET(setitimer(ITIMER_REAL, &it, NULL));
	it.it_value.tv_usec = 0;
	it.it_value.tv_sec = -1;
	RET(setitimer(ITIMER_REAL, &it, NULL));
	RET(syscall(SYS_setitimer, 9, &it, NULL));
	RET(syscall(SYS_getitimer, 9, &it));
	RET(syscall(SYS_getitimer, 0, (void *)8));
	RET(syscall(SYS_setitimer, 0, (void *)8, NULL));
	RET(syscall(SYS_getitimer, 0, NULL));
}

CASE(itimer_repeats)
{
	struct itimerval it = { { 0, 5000 }, { 0, 5000 } };
	uint64_t t0 = now_ns(CLOCK_MONOTONIC);

	catch(SIGALRM);
	RET(setitimer(ITIMER_REAL, &it, NULL));
	while (ticks < 5 && took(t0, 0))
		(void)pause();
	SHOW(took(t0, 25));
	memset(&it, 0, sizeof it);
	RET(setitimer(ITIMER_REAL, &it, NULL));
	(void)signal(SIGALRM, SIG_DFL);
}

CASE(itimer_of_a_busy_loop)
{
	struct itimerval it = { { 0, 0 }, { 0, 20000 } };
	volatile uint64_t i;

	catch(SIGALRM);
	RET(setitimer(ITIMER_REAL, &it, NULL));
	for (i = 0; !ticks && i < 20000000000UL; i++)
		continue;
	SHOW(ticks);
	(void)signal(SIGALRM, SIG_DFL);
}

CASE(itimer_prof)
{
	struct itimerval it = { { 0, 0 }, { 0, 20000 } };
	uint64_t t0 = now_ns(CLOCK_MONOTONIC);

	catch(SIGPROF);
	RET(setitimer(ITIMER_PROF, &it, NULL));
	while (!ticks && took(t0, 0))
		continue;
	SHOW(ticks);
	catch(SIGVTALRM);
	RET(setitimer(ITIMER_VIRTUAL, &it, NULL));
	t0 = now_ns(CLOCK_MONOTONIC);
	while (!ticks && took(t0, 0))
		continue;
	SHOW(ticks);
	(void)signal(SIGPROF, SIG_DFL);
	(void)signal(SIGVTALRM, SIG_DFL);
}

CASE(timer_signal)
{
	struct itimerspec its = { { 0, 0 }, { 50, 0 } }, cur;
	struct sigevent ev;
	timer_t t;

	catch(SIGRTMIN);
	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = SIGRTMIN;
	ev.sigev_value.sival_int = 321;
	RET(timer_create(CLOCK_MONOTONIC, &ev, &t));
	RET(timer_gettime(t, &cur));
	SHOW(cur.it_value.tv_sec + cur.it_value.tv_nsec);
	RET(timer_settime(t, 0, &its, NULL));
	RET(timer_gettime(t, &cur));
	SHOW(cur.it_value.tv_sec > 20 && cur.it_value.tv_sec <= 50);
	its.it_value = (struct timespec){ 0, 20 * MS };
	RET(timer_settime(t, 0, &its, NULL));
	wait_for(SIGRTMIN, &ticks);
	SHOW(ticks);
	SHOW(tick_code == SI_TIMER);
	SHOW(tick_value);
	RET(timer_getoverrun(t));
	RET(timer_delete(t));
	SHOW(timer_delete(t) == -1 && errno == EINVAL);
	(void)signal(SIGRTMIN, SIG_DFL);
}

CASE(timer_overruns)
{
	struct itimerspec its = { { 0, 2 * MS }, { 0, 2 * MS } };
	struct sigevent ev;
	sigset_t s;
	timer_t t;

	catch(SIGUSR1);
	(void)sigemptyset(&s);
	(void)sigaddset(&s, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &s, NULL);
	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = SIGUSR1;
	RET(timer_create(CLOCK_MONOTONIC, &ev, &t));
	RET(timer_settime(t, 0, &its, NULL));
	ms_sleep(50);
	its.it_value.tv_nsec = 0;
	(void)sigprocmask(SIG_UNBLOCK, &s, NULL);
	SHOW(ticks >= 1);
	SHOW(tick_overrun > 5);
	RET(timer_settime(t, 0, &its, NULL));
	RET(timer_delete(t));
	(void)signal(SIGUSR1, SIG_DFL);
}

CASE(timer_errors)
{
	struct itimerspec its = { { 0, 0 }, { 0, 1000000000 } };
	struct sigevent ev;
	timer_t t;
	int id = 77;

	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = 99;
	RET(timer_create(CLOCK_MONOTONIC, &ev, &t));
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = 99;
	RET(timer_create(CLOCK_MONOTONIC, &ev, &t));
	ev.sigev_signo = SIGUSR1;
	RET(timer_create(99, &ev, &t));
	RET(timer_create(CLOCK_MONOTONIC_RAW, &ev, &t));
	ev.sigev_notify = SIGEV_THREAD_ID;
	RET(syscall(SYS_timer_create, 1, &ev, &id));
	RET(syscall(SYS_timer_create, 1, (void *)8, &id));
	RET(syscall(SYS_timer_create, 1, NULL, (void *)8));
	RET(syscall(SYS_timer_settime, 12345, 0, &its, NULL));
	RET(syscall(SYS_timer_gettime, 12345, &its));
	RET(syscall(SYS_timer_getoverrun, 12345));
	RET(timer_create(CLOCK_MONOTONIC, NULL, &t));
	RET(timer_settime(t, 0, &its, NULL));
	RET(timer_settime(t, 0, NULL, NULL));
	RET(timer_delete(t));
}

static void
in_thread(union sigval v)
{

	*(volatile int *)v.sival_ptr = 1;
}

CASE(timer_thread)
{
	struct itimerspec its = { { 0, 0 }, { 0, 10 * MS } };
	volatile int fired = 0;
	struct sigevent ev;
	timer_t t;
	int i;

	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_THREAD;
	ev.sigev_notify_function = in_thread;
	ev.sigev_value.sival_ptr = (void *)(uintptr_t)&fired;
	RET(timer_create(CLOCK_REALTIME, &ev, &t));
	RET(timer_settime(t, 0, &its, NULL));
	for (i = 0; i < 10000 && !fired; i++)
		ms_sleep(2);
	SHOW(fired);
	RET(timer_delete(t));
}

CASE(timer_to_a_thread)
{
	struct itimerspec its = { { 0, 0 }, { 0, 10 * MS } };
	struct sigevent ev;
	timer_t t;

	catch(SIGUSR2);
	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_THREAD_ID;
	ev.sigev_signo = SIGUSR2;
	ev._sigev_un._tid = (int)syscall(SYS_gettid);
	RET(timer_create(CLOCK_MONOTONIC, &ev, &t));
	RET(timer_settime(t, 0, &its, NULL));
	wait_for(SIGUSR2, &ticks);
	SHOW(ticks);
	RET(timer_delete(t));
	(void)signal(SIGUSR2, SIG_DFL);
}

CASE(timer_of_cpu_time)
{
	struct itimerspec its = { { 0, 0 }, { 0, 10 * MS } };
	struct sigevent ev;
	uint64_t t0 = now_ns(CLOCK_MONOTONIC);
	timer_t t;

	catch(SIGUSR2);
	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = SIGUSR2;
	RET(timer_create(CLOCK_PROCESS_CPUTIME_ID, &ev, &t));
	RET(timer_settime(t, 0, &its, NULL));
	while (!ticks && took(t0, 0))
		continue;
	SHOW(ticks);
	RET(timer_delete(t));
	RET(timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &t));
	RET(timer_delete(t));
	(void)signal(SIGUSR2, SIG_DFL);
}

CASE(itimer_prof_again)
{
	struct itimerval it = { { 0, 5000 }, { 0, 5000 } }, old;
	uint64_t t0 = now_ns(CLOCK_MONOTONIC), cpu;

	catch(SIGPROF);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	RET(setitimer(ITIMER_PROF, &it, NULL));
	/* sleeping does not count */
	ms_sleep(60);
	SHOW(ticks <= 3);
	while (ticks < 4 && took(t0, 0))
		continue;
	SHOW(ticks >= 4);
	SHOW(tick_code == SI_KERNEL);
	/* Linux may be as early as its tick is long */
	SHOW(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu >= 4 * MS);
	RET(getitimer(ITIMER_PROF, &old));
	SHOW(old.it_interval.tv_usec == 5000 || old.it_interval.tv_usec % 1000);
	memset(&it, 0, sizeof it);
	RET(setitimer(ITIMER_PROF, &it, &old));
	SHOW(old.it_value.tv_usec > 0);
	RET(getitimer(ITIMER_PROF, &old));
	SHOW(old.it_value.tv_usec + old.it_interval.tv_usec);
	(void)signal(SIGPROF, SIG_DFL);
}

CASE(timer_of_thread_time)
{
	struct itimerspec its = { { 0, 0 }, { 0, 300 * MS } }, cur;
	struct sigevent ev;
	uint64_t t0 = now_ns(CLOCK_MONOTONIC), cpu;
	clockid_t clk;
	timer_t t;

	catch(SIGUSR2);
	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = SIGUSR2;
	ev.sigev_value.sival_int = 77;
	ERRNUM(pthread_getcpuclockid(pthread_self(), &clk));
	RET(timer_create(clk, &ev, &t));
	cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	RET(timer_settime(t, 0, &its, NULL));
	RET(timer_gettime(t, &cur));
	SHOW(cur.it_value.tv_nsec > 0 && cur.it_value.tv_nsec <=
	    300 * (long)MS);
	ms_sleep(30);
	SHOW(ticks);
	while (!ticks && took(t0, 0))
		continue;
	SHOW(ticks);
	SHOW(tick_value);
	SHOW(now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu > 200 * MS);
	/* an absolute one that is over */
	its.it_value.tv_nsec = 1;
	RET(timer_settime(t, TIMER_ABSTIME, &its, NULL));
	while (ticks < 2 && took(t0, 0))
		continue;
	SHOW(ticks);
	RET(timer_delete(t));
	clk = (clockid_t)((~0x7ffffffU << 3) | 6);
	RET(timer_create(clk, &ev, &t));
	(void)signal(SIGUSR2, SIG_DFL);
}

static volatile int worker_ends;

static void *
worker(void *priv)
{

	(void)priv;
	while (!worker_ends)
		continue;
	return (NULL);
}

CASE(sleep_cpu_time)
{
	struct timespec ts = { 0, 20 * MS }, rem = { 9, 9 };
	/* once more in case that the first is before the wait */
	struct itimerval it = { { 0, 30000 }, { 0, 30000 } };
	uint64_t cpu;
	pthread_t th;

	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	worker_ends = 0;
	th = thread_start(worker, NULL);
	ERRNUM(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &ts, NULL));
	SHOW(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu >= 10 * MS);
	ts.tv_nsec = 1;
	ERRNUM(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &ts,
	    NULL));
	worker_ends = 1;
	(void)pthread_join(th, NULL);
	/* nobody works: until the signal */
	catch(SIGALRM);
	ts.tv_sec = 5;
	RET(setitimer(ITIMER_REAL, &it, NULL));
	ERRNUM(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &ts, &rem));
	SHOW(rem.tv_sec);
	SHOW(ticks > 0);
	memset(&it, 0, sizeof it);
	RET(setitimer(ITIMER_REAL, &it, NULL));
	(void)signal(SIGALRM, SIG_DFL);
	RET(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &ts,
	    NULL));
}

ALONE(cpu_limit)
{
	struct rlimit r = { 1, 2 };

	catch(SIGXCPU);
	RET(setrlimit(RLIMIT_CPU, &r));
	while (!ticks)
		continue;
	SHOW(ticks);
	RET(getrlimit(RLIMIT_CPU, &r));
	SHOW(r.rlim_cur);
	SHOW(r.rlim_max);
	for (;;)
		continue;
}

CASE(timer_absolute)
{
	struct itimerspec its = { { 0, 0 }, { 1, 0 } };
	struct sigevent ev;
	timer_t t;
	int i;

	catch(SIGUSR1);
	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = SIGUSR1;
	RET(timer_create(CLOCK_REALTIME, &ev, &t));
	/* long over: fires at once */
	RET(timer_settime(t, TIMER_ABSTIME, &its, NULL));
	for (i = 0; i < 1000 && !ticks; i++)
		ms_sleep(20);
	SHOW(ticks);
	RET(timer_delete(t));
	(void)signal(SIGUSR1, SIG_DFL);
}

CASE(timer_none)
{
	struct itimerspec its = { { 0, 0 }, { 100, 0 } }, old;
	struct sigevent ev;
	timer_t t;

	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_NONE;
	RET(timer_create(CLOCK_BOOTTIME, &ev, &t));
	RET(timer_settime(t, 0, &its, NULL));
	RET(timer_settime(t, 0, &its, &old));
	SHOW(old.it_value.tv_sec > 60 && old.it_value.tv_sec <= 100);
	RET(timer_delete(t));
}

CASE(timerfd_basics)
{
	struct itimerspec its = { { 0, 5 * MS }, { 0, 5 * MS } }, cur;
	struct pollfd p;
	uint64_t n = 0;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	SHOW(fd >= 0);
	RET(read(fd, &n, 8));
	RET(timerfd_settime(fd, 0, &its, NULL));
	p.fd = fd;
	p.events = POLLIN;
	RET(poll(&p, 1, 20000));
	ms_sleep(20);
	RET(read(fd, &n, 8));
	SHOW(n >= 4 && n < 20000);
	RET(read(fd, &n, 7));
	RET(write(fd, &n, 8));
	RET(timerfd_gettime(fd, &cur));
	SHOW(cur.it_interval.tv_nsec);
	memset(&its, 0, sizeof its);
	RET(timerfd_settime(fd, 0, &its, NULL));
	RET(timerfd_gettime(fd, &cur));
	SHOW(cur.it_value.tv_sec + cur.it_value.tv_nsec);
	RET(close(fd));
}

CASE(timerfd_errors)
{
	struct itimerspec its = { { 0, 0 }, { 0, 1000000000 } };
	int fd;

	RET(timerfd_create(99, 0));
	RET(timerfd_create(CLOCK_MONOTONIC, 1));
	RET(timerfd_create(CLOCK_MONOTONIC_RAW, 0));
	fd = timerfd_create(CLOCK_REALTIME, 0);
	RET(timerfd_settime(fd, 0, &its, NULL));
	RET(timerfd_settime(fd, 99, &its, NULL));
	RET(timerfd_settime(fd, 0, (void *)8, NULL));
	RET(timerfd_settime(0, 0, &its, NULL));
	RET(timerfd_gettime(fd, (void *)8));
	RET(timerfd_gettime(99, &its));
	RET(close(fd));
}

CASE(timerfd_blocks)
{
	struct itimerspec its = { { 0, 0 }, { 0, 20 * MS } };
	uint64_t n = 0, t0 = now_ns(CLOCK_MONOTONIC);
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);

	RET(timerfd_settime(fd, 0, &its, NULL));
	RET(read(fd, &n, 8));
	SHOW(n);
	SHOW(took(t0, 20));
	(void)clock_gettime(CLOCK_MONOTONIC, &its.it_value);
	its.it_value.tv_sec -= its.it_value.tv_sec > 0;
	RET(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL));
	RET(read(fd, &n, 8));
	SHOW(n);
	RET(close(fd));
}

CASE(times_and_rusage)
{
	struct tms b;
	struct rusage ru;
	uint64_t t0 = now_ns(CLOCK_MONOTONIC);

	/* a tick of CPU time, however little of the CPU there is */
	do
		(void)times(&b);
	while (b.tms_utime + b.tms_stime < 1 &&
	    now_ns(CLOCK_MONOTONIC) < t0 + 5000 * MS);
	SHOW(times(&b) > 0);
	SHOW(times(NULL) > 0);
	SHOW(b.tms_utime + b.tms_stime >= 1);
	SHOW(b.tms_cutime + b.tms_cstime);
	RET(getrusage(RUSAGE_SELF, &ru));
	SHOW(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec + ru.ru_utime.tv_sec > 0);
	SHOW(ru.ru_maxrss > 100);
	RET(getrusage(RUSAGE_THREAD, &ru));
	RET(getrusage(RUSAGE_CHILDREN, &ru));
	SHOW(ru.ru_utime.tv_sec);
	RET(getrusage(5, &ru));
}

CASE(adjtimex_reads)
{
	struct timex tx;

	memset(&tx, 0, sizeof tx);
	SHOW(adjtimex(&tx) >= 0);
	SHOW(tx.tick == 10000);
	memset(&tx, 0, sizeof tx);
	SHOW(clock_adjtime(CLOCK_REALTIME, &tx) >= 0);
	RET(clock_adjtime(99, &tx));
	RET(syscall(SYS_adjtimex, (void *)8));
}

CASE(clock_settime_invalid)
{
	struct timespec bad = { 0, 1000000000 };

	RET(clock_settime(CLOCK_REALTIME, &bad));
	RET(clock_settime(CLOCK_MONOTONIC, &bad));
	RET(clock_settime(99, &bad));
	RET(syscall(SYS_clock_settime, CLOCK_REALTIME, (void *)8));
}
