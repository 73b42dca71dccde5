/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Signals: the rt_sig* calls, queueing, masks, alternate stacks, what
 * interrupts which call.
 */

#include "diff.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

static volatile int got, last_code, last_value;
static char order[64];

static void
count(int sig)
{

	(void)sig;
	got++;
}

static void
info(int sig, siginfo_t *si, void *uc)
{

	(void)uc;
	got++;
	last_code = si->si_code;
	last_value = si->si_value.sival_int;
	say("signal %d code %d value %d self %d", sig, si->si_code,
	    si->si_code == SI_QUEUE ? si->si_value.sival_int : 0,
	    si->si_pid == getpid());
}

static void
on(int sig, void (*f)(int), int flags)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof sa);
	sa.sa_handler = f;
	sa.sa_flags = flags;
	if (sigaction(sig, &sa, NULL) != 0)
		say("sigaction: %s", errno_name(errno));
	got = 0;
}

static void
on_info(int sig, void (*f)(int, siginfo_t *, void *), int flags)
{

	on(sig, (void (*)(int))(uintptr_t)f, flags | SA_SIGINFO);
}

static void
off(int sig)
{

	on(sig, SIG_DFL, 0);
}

static void
mask(int how, int sig)
{
	sigset_t s;

	(void)sigemptyset(&s);
	(void)sigaddset(&s, sig);
	(void)sigprocmask(how, &s, NULL);
}

CASE(raise_and_handle)
{

	on(SIGUSR1, count, 0);
	RET(raise(SIGUSR1));
	RET(kill(getpid(), SIGUSR1));
	RET(syscall(SYS_tkill, getpid(), SIGUSR1));
	RET(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1));
	SHOW(got);
	off(SIGUSR1);
}

CASE(sigaction_old_and_errors)
{
	struct sigaction sa, old;

	on(SIGUSR1, count, SA_RESTART | SA_NODEFER);
	RET(sigaction(SIGUSR1, NULL, &old));
	SHOW(old.sa_handler == count);
	SHOW(old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO));
	memset(&sa, 0, sizeof sa);
	RET(syscall(SYS_rt_sigaction, SIGKILL, &sa, NULL, 8));
	RET(syscall(SYS_rt_sigaction, SIGSTOP, &sa, NULL, 8));
	RET(syscall(SYS_rt_sigaction, SIGKILL, NULL, &sa, 8));
	RET(syscall(SYS_rt_sigaction, 0, &sa, NULL, 8));
	RET(syscall(SYS_rt_sigaction, 65, &sa, NULL, 8));
	RET(syscall(SYS_rt_sigaction, -1, &sa, NULL, 8));
	RET(syscall(SYS_rt_sigaction, SIGUSR1, &sa, NULL, 4));
	RET(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8));
	RET(syscall(SYS_rt_sigaction, SIGUSR1, NULL, (void *)8, 8));
	off(SIGUSR1);
}

CASE(kill_errors)
{

	RET(kill(getpid(), 65));
	RET(kill(getpid(), -1));
	RET(kill(getpid(), 0));
	RET(kill(0x3ffff0, 0));
	RET(kill(0x3ffff0, 65));
	RET(syscall(SYS_tkill, -1, 0));
	RET(syscall(SYS_tkill, 0x3ffff0, 0));
	RET(syscall(SYS_tkill, getpid(), 65));
	RET(syscall(SYS_tgkill, 0, getpid(), 0));
	RET(syscall(SYS_tgkill, 0x3ffff0, getpid(), 0));
	RET(syscall(SYS_tgkill, getpid(), 0x3ffff0, 0));
}

CASE(mask_and_pending)
{
	sigset_t s;

	on(SIGUSR1, count, 0);
	mask(SIG_BLOCK, SIGUSR1);
	RET(raise(SIGUSR1));
	RET(kill(getpid(), SIGUSR1));
	RET(raise(SIGUSR1));
	SHOW(got);
	RET(sigpending(&s));
	SHOW(sigismember(&s, SIGUSR1));
	SHOW(sigismember(&s, SIGUSR2));
	mask(SIG_UNBLOCK, SIGUSR1);
	/* once for the thread, once for the process */
	SHOW(got);
	off(SIGUSR1);
}

CASE(mask_errors)
{
	uint64_t s = ~0UL, old = 0;

	RET(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &s, NULL, 4));
	RET(syscall(SYS_rt_sigprocmask, 77, &s, NULL, 8));
	RET(syscall(SYS_rt_sigprocmask, 77, NULL, &old, 8));
	RET(syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void *)8, NULL, 8));
	RET(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, (void *)8, 8));
	RET(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &s, NULL, 8));
	RET(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &old, 8));
	say("%016lx", (unsigned long)old);
	s = 0;
	RET(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &s, NULL, 8));
	RET(syscall(SYS_rt_sigpending, &s, 4));
	RET(syscall(SYS_rt_sigpending, &s, 16));
	RET(syscall(SYS_rt_sigpending, (void *)8, 8));
}

CASE(realtime_signals_queue)
{
	union sigval v;
	int i;

	on_info(SIGRTMIN + 2, info, 0);
	mask(SIG_BLOCK, SIGRTMIN + 2);
	for (i = 0; i < 5; i++) {
		v.sival_int = i;
		RET(sigqueue(getpid(), SIGRTMIN + 2, v));
	}
	SHOW(got);
	mask(SIG_UNBLOCK, SIGRTMIN + 2);
	SHOW(got);
	off(SIGRTMIN + 2);
}

CASE(realtime_signals_by_kill_queue)
{

	on(SIGRTMIN + 3, count, 0);
	mask(SIG_BLOCK, SIGRTMIN + 3);
	RET(kill(getpid(), SIGRTMIN + 3));
	RET(raise(SIGRTMIN + 3));
	RET(kill(getpid(), SIGRTMIN + 3));
	RET(raise(SIGRTMIN + 3));
	mask(SIG_UNBLOCK, SIGRTMIN + 3);
	SHOW(got);
	off(SIGRTMIN + 3);
}

CASE(standard_signals_do_not_queue)
{
	union sigval v = { .sival_int = 1 };

	on_info(SIGUSR2, info, 0);
	mask(SIG_BLOCK, SIGUSR2);
	RET(sigqueue(getpid(), SIGUSR2, v));
	v.sival_int = 2;
	RET(sigqueue(getpid(), SIGUSR2, v));
	mask(SIG_UNBLOCK, SIGUSR2);
	SHOW(got);
	off(SIGUSR2);
}

CASE(queue_many)
{
	union sigval v = { .sival_int = 0 };
	int i, sent = 0;

	on(SIGRTMIN + 1, count, 0);
	mask(SIG_BLOCK, SIGRTMIN + 1);
	for (i = 0; i < 200; i++)
		sent += sigqueue(getpid(), SIGRTMIN + 1, v) == 0;
	SHOW(sent);
	mask(SIG_UNBLOCK, SIGRTMIN + 1);
	SHOW(got);
	off(SIGRTMIN + 1);
}

CASE(queue_limit)
{
	struct rlimit old, rl = { 0, 0 };
	union sigval v = { .sival_int = 0 };

	RET(getrlimit(RLIMIT_SIGPENDING, &old));
	rl.rlim_max = old.rlim_max;
	RET(setrlimit(RLIMIT_SIGPENDING, &rl));
	mask(SIG_BLOCK, SIGRTMIN + 1);
	RET(sigqueue(getpid(), SIGRTMIN + 1, v));
	RET(setrlimit(RLIMIT_SIGPENDING, &old));
	on(SIGRTMIN + 1, count, 0);
	mask(SIG_UNBLOCK, SIGRTMIN + 1);
	off(SIGRTMIN + 1);
}

static void
note(int sig)
{
	size_t n = strlen(order);

	(void)snprintf(order + n, sizeof order - n, "%d ",
	    sig >= 34 ? 100 + sig - SIGRTMIN : sig);
}

CASE(order_of_delivery)
{
	int sigs[] = { SIGRTMIN + 4, SIGUSR2, SIGRTMIN + 1, SIGUSR1, SIGTERM };
	unsigned u;
	sigset_t all, old;
	struct sigaction sa;

	memset(&sa, 0, sizeof sa);
	sa.sa_handler = note;
	(void)sigfillset(&sa.sa_mask);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &old);
	order[0] = '\0';
	for (u = 0; u < 5; u++) {
		(void)sigaction(sigs[u], &sa, NULL);
		(void)kill(getpid(), sigs[u]);
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	say("%s", order);
	for (u = 0; u < 5; u++)
		off(sigs[u]);
}

CASE(sigqueueinfo_raw)
{
	siginfo_t si;

	on_info(SIGUSR1, info, 0);
	memset(&si, 0, sizeof si);
	si.si_code = SI_QUEUE;
	si.si_pid = getpid();
	si.si_value.sival_int = 44;
	RET(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &si));
	RET(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR1, &si));
	RET(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &si));
	RET(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &si));
	RET(syscall(SYS_rt_sigqueueinfo, 0x3ffff0, SIGUSR1, &si));
	RET(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, (void *)8));
	RET(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0, SIGUSR1, &si));
	si.si_code = SI_USER;
	RET(syscall(SYS_rt_sigqueueinfo, 0x3ffff0, SIGUSR1, &si));
	off(SIGUSR1);
}

CASE(timedwait)
{
	struct timespec ts = { 0, 10 * MS }, bad = { 0, -1 };
	union sigval v = { .sival_int = 9 };
	siginfo_t si;
	sigset_t s;

	(void)sigemptyset(&s);
	(void)sigaddset(&s, SIGUSR1);
	(void)sigaddset(&s, SIGRTMIN);
	(void)sigprocmask(SIG_BLOCK, &s, NULL);
	RET(sigtimedwait(&s, NULL, &ts));
	ts.tv_nsec = 0;
	RET(sigtimedwait(&s, NULL, &ts));
	RET(sigtimedwait(&s, NULL, &bad));
	(void)sigqueue(getpid(), SIGRTMIN, v);
	(void)raise(SIGUSR1);
	SHOW(sigwaitinfo(&s, &si) == SIGUSR1);
	SHOW(si.si_code == SI_TKILL);
	SHOW(sigwaitinfo(&s, &si) == SIGRTMIN);
	SHOW(si.si_value.sival_int);
	SHOW(si.si_pid == getpid());
	SHOW(sigtimedwait(&s, &si, &ts) == -1 && errno == EAGAIN);
	RET(syscall(SYS_rt_sigtimedwait, &s, NULL, &ts, 4));
	RET(syscall(SYS_rt_sigtimedwait, (void *)8, NULL, &ts, 8));
	(void)sigprocmask(SIG_UNBLOCK, &s, NULL);
}

static pthread_t main_thread;

static void *
kick_later(void *p)
{

	ms_sleep(150);
	(void)pthread_kill(main_thread, (int)(intptr_t)p);
	return (NULL);
}

/* A signal for the calling thread in 150 ms, when it waits; others are not to get it. */
static pthread_t
soon(int sig)
{

	main_thread = pthread_self();
	return (thread_start(kick_later, (void *)(intptr_t)sig));
}

CASE(timedwait_interrupted)
{
	sigset_t s;
	pthread_t t;

	on(SIGUSR2, count, SA_RESTART);
	(void)sigemptyset(&s);
	(void)sigaddset(&s, SIGUSR1);
	t = soon(SIGUSR2);
	RET(sigwaitinfo(&s, NULL));
	SHOW(got);
	(void)pthread_join(t, NULL);
	off(SIGUSR2);
}

static void *
wait_usr1(void *p)
{
	sigset_t s;

	(void)sigemptyset(&s);
	(void)sigaddset(&s, SIGUSR1);
	return ((void *)(intptr_t)sigwaitinfo(&s, p));
}

CASE(timedwait_in_a_thread)
{
	pthread_t t;
	void *r;

	mask(SIG_BLOCK, SIGUSR1);
	t = thread_start(wait_usr1, NULL);
	ms_sleep(10);
	RET(kill(getpid(), SIGUSR1));
	(void)pthread_join(t, &r);
	SHOW((intptr_t)r);
	mask(SIG_UNBLOCK, SIGUSR1);
}

CASE(suspend)
{
	sigset_t s;
	pthread_t t;

	on(SIGUSR1, count, 0);
	mask(SIG_BLOCK, SIGUSR1);
	t = soon(SIGUSR1);
	(void)sigemptyset(&s);
	RET(sigsuspend(&s));
	SHOW(got);
	(void)pthread_join(t, NULL);
	(void)sigprocmask(SIG_BLOCK, NULL, &s);
	SHOW(sigismember(&s, SIGUSR1));
	(void)raise(SIGUSR1);
	(void)sigemptyset(&s);
	RET(sigsuspend(&s));
	SHOW(got);
	mask(SIG_UNBLOCK, SIGUSR1);
	RET(syscall(SYS_rt_sigsuspend, &s, 4));
	RET(syscall(SYS_rt_sigsuspend, (void *)8, 8));
	off(SIGUSR1);
}

CASE(pause_returns)
{
	pthread_t t;

	on(SIGUSR1, count, SA_RESTART);
	t = soon(SIGUSR1);
	RET(pause());
	SHOW(got);
	(void)pthread_join(t, NULL);
	off(SIGUSR1);
}

/* ---- which calls go on, which end -------------------------------------------------- */

static int fds[2];
static struct timespec long_time = { 1, 0 };

static long do_read(void) { char c; return (read(fds[0], &c, 1)); }
static long do_readv(void)
{
	char c;
	struct iovec v = { &c, 1 };

	return (readv(fds[0], &v, 1));
}
static long do_recv(void) { char c; return (recv(fds[0], &c, 1, 0)); }
static long do_poll(void)
{
	struct pollfd p = { fds[0], POLLIN, 0 };

	return (poll(&p, 1, 1000));
}
static long do_ppoll(void)
{
	struct pollfd p = { fds[0], POLLIN, 0 };

	return (ppoll(&p, 1, &long_time, NULL));
}
static long do_select(void)
{
	struct timeval tv = { 1, 0 };
	fd_set s;

	FD_ZERO(&s);
	FD_SET(fds[0], &s);
	return (select(fds[0] + 1, &s, NULL, NULL, &tv));
}
static long do_nanosleep(void)
{
	struct timespec rem = { 9, 9 };
	long r = nanosleep(&long_time, &rem);

	if (r != 0)
		say("rest: %d", rem.tv_sec == 0 && rem.tv_nsec > 0 &&
		    rem.tv_nsec < 1000 * (long)MS);
	return (r);
}
static long do_futex(void)
{
	static int w;

	return (syscall(SYS_futex, &w, 0, 0, &long_time, NULL, 0));
}
static long do_futex_bitset(void)
{
	static int w;
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec++;
	return (syscall(SYS_futex, &w, 9, 0, &ts, NULL, ~0));
}
static long do_epoll(void)
{
	struct epoll_event ev;
	int ep = epoll_create1(0), e;
	long r = epoll_wait(ep, &ev, 1, 1000);

	e = errno;
	(void)close(ep);
	errno = e;
	return (r);
}
static long do_lock(void)
{
	static pthread_mutex_t m;
	struct timespec ts;

	(void)pthread_mutex_init(&m, NULL);
	(void)pthread_mutex_lock(&m);
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec++;
	return (pthread_mutex_timedlock(&m, &ts));
}

static void *
kick_then_write(void *p)
{

	ms_sleep(60);
	(void)pthread_kill(main_thread, SIGUSR1);
	ms_sleep(100);
	(void)write(*(int *)p, "x", 1);
	return (NULL);
}

static const struct {
	const char	*name;
	long		(*f)(void);
} waits[] = {
	{ "read", do_read }, { "readv", do_readv }, { "recv", do_recv },
	{ "poll", do_poll }, { "ppoll", do_ppoll }, { "select", do_select },
	{ "nanosleep", do_nanosleep }, { "futex", do_futex },
	{ "futex bitset", do_futex_bitset },
	{ "epoll", do_epoll }, { "timedlock", do_lock },
};

static void
interrupt_all(int flags)
{
	unsigned u;
	pthread_t t;
	char c;
	long r;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return;
	main_thread = pthread_self();
	for (u = 0; u < sizeof waits / sizeof waits[0]; u++) {
		on(SIGUSR1, count, flags);
		t = thread_start(kick_then_write, &fds[1]);
		errno = 0;
		r = waits[u].f();
		say("%s: %ld %s, %d", waits[u].name, r, r < 0 ?
		    errno_name(errno) : "", got);
		(void)pthread_join(t, NULL);
		(void)recv(fds[0], &c, 1, MSG_DONTWAIT);
	}
	(void)close(fds[0]);
	(void)close(fds[1]);
	off(SIGUSR1);
}

CASE(calls_interrupted)
{

	interrupt_all(0);
}

CASE(calls_restarted)
{

	interrupt_all(SA_RESTART);
}

CASE(ignored_signals_do_not_interrupt)
{
	pthread_t t;

	on(SIGUSR1, SIG_IGN, 0);
	t = soon(SIGUSR1);
	RET(do_nanosleep());
	(void)pthread_join(t, NULL);
	off(SIGUSR1);
	t = soon(SIGCHLD);
	RET(do_nanosleep());
	(void)pthread_join(t, NULL);
}

CASE(write_interrupted_partly)
{
	static char b[300000];
	struct sigaction sa;
	pthread_t t;
	long r;
	int p[2];

	MUST(pipe(p) == 0);
	memset(&sa, 0, sizeof sa);
	on(SIGUSR1, count, SA_RESTART);
	t = soon(SIGUSR1);
	r = write(p[1], b, sizeof b);
	say("%d", r == 65536);
	(void)pthread_join(t, NULL);
	t = soon(SIGUSR1);
	on(SIGUSR1, count, 0);
	RET(write(p[1], b, 1));
	(void)pthread_join(t, NULL);
	RET(close(p[0]));
	RET(close(p[1]));
	off(SIGUSR1);
}

CASE(sigpipe)
{
	int p[2];

	on(SIGPIPE, count, 0);
	RET(pipe(p));
	RET(close(p[0]));
	RET(write(p[1], "x", 1));
	SHOW(got);
	RET(close(p[1]));
	RET(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
	RET(close(p[0]));
	RET(write(p[1], "x", 1));
	SHOW(got);
	RET(send(p[1], "x", 1, MSG_NOSIGNAL));
	SHOW(got);
	RET(close(p[1]));
	off(SIGPIPE);
}

/* ---- handlers ------------------------------------------------------------------------ */

static void
nested(int sig)
{
	static int depth;

	depth++;
	say("depth %d", depth);
	if (got++ < 3)
		(void)raise(sig);
	say("back %d", depth);
	depth--;
}

CASE(nodefer)
{

	on(SIGUSR1, nested, SA_NODEFER);
	RET(raise(SIGUSR1));
	off(SIGUSR1);
}

CASE(deferred)
{

	on(SIGUSR1, nested, 0);
	RET(raise(SIGUSR1));
	off(SIGUSR1);
}

CASE(resethand)
{
	struct sigaction sa;

	on(SIGUSR1, count, (int)SA_RESETHAND);
	RET(raise(SIGUSR1));
	SHOW(got);
	RET(sigaction(SIGUSR1, NULL, &sa));
	SHOW(sa.sa_handler == SIG_DFL);
}

static void
mask_in_handler(int sig)
{
	sigset_t s;

	(void)sig;
	(void)sigprocmask(SIG_BLOCK, NULL, &s);
	say("in handler: USR1 %d USR2 %d", sigismember(&s, SIGUSR1),
	    sigismember(&s, SIGUSR2));
	(void)raise(SIGUSR2);
	say("USR2 is raised");
}

CASE(sa_mask)
{
	struct sigaction sa;

	on(SIGUSR2, count, 0);
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = mask_in_handler;
	(void)sigaddset(&sa.sa_mask, SIGUSR2);
	RET(sigaction(SIGUSR1, &sa, NULL));
	RET(raise(SIGUSR1));
	SHOW(got);
	off(SIGUSR1);
	off(SIGUSR2);
}

static uint8_t *alt;
static size_t alt_size;

static void
where_am_i(int sig)
{
	stack_t ss;
	uint8_t *here = __builtin_frame_address(0);

	(void)sig;
	say("on the stack: %d", here >= alt && here < alt + alt_size);
	RET(sigaltstack(NULL, &ss));
	SHOW(ss.ss_flags);
	ss.ss_flags = SS_DISABLE;
	RET(sigaltstack(&ss, NULL));
}

CASE(altstack)
{
	stack_t ss, old;

	alt_size = 16 * PG;
	alt = mem_new(alt_size);
	memset(&ss, 0, sizeof ss);
	ss.ss_sp = alt;
	ss.ss_size = 100;
	RET(sigaltstack(&ss, NULL));
	ss.ss_size = alt_size;
	ss.ss_flags = 77;
	RET(sigaltstack(&ss, NULL));
	ss.ss_flags = 0;
	RET(sigaltstack(&ss, &old));
	SHOW(old.ss_flags);
	on(SIGUSR1, where_am_i, SA_ONSTACK);
	RET(raise(SIGUSR1));
	on(SIGUSR1, where_am_i, 0);
	RET(raise(SIGUSR1));
	RET(sigaltstack(NULL, &old));
	SHOW(old.ss_flags);
	ss.ss_flags = SS_DISABLE;
	RET(sigaltstack(&ss, NULL));
	RET(sigaltstack((void *)8, NULL));
	RET(sigaltstack(NULL, (void *)8));
	off(SIGUSR1);
	RET(munmap(alt, alt_size));
}

static void
overflow_handler(int sig, siginfo_t *si, void *uc)
{

	(void)si;
	(void)uc;
	say("stack overflow: signal %d code %d", sig, si->si_code);
	_exit(3);
}

static int
recurse(volatile char *p)
{
	volatile char b[4000];

	b[0] = *p;
	return (b[0] == 1 ? 0 : recurse(b) + b[0]);
}

ALONE(altstack_for_an_overflow)
{
	stack_t ss;
	char c = 0;

	memset(&ss, 0, sizeof ss);
	ss.ss_size = 16 * PG;
	ss.ss_sp = mem_new(ss.ss_size);
	RET(sigaltstack(&ss, NULL));
	on_info(SIGSEGV, overflow_handler, SA_ONSTACK);
	SHOW(recurse(&c));
}

ALONE(default_terminates)
{

	say("before");
	(void)raise(SIGTERM);
	say("not reached");
}

ALONE(default_terminates_realtime)
{

	(void)raise(SIGRTMIN + 5);
	say("not reached");
}

ALONE(abort_core)
{

	on(SIGABRT, count, 0);
	abort();
}

ALONE(kill_cannot_be_blocked)
{

	mask(SIG_BLOCK, SIGKILL);
	(void)kill(getpid(), SIGKILL);
	say("not reached");
}

CASE(default_ignored)
{

	RET(raise(SIGCHLD));
	RET(raise(SIGURG));
	RET(raise(SIGWINCH));
	RET(raise(SIGCONT));
	say("still here");
}

static void *
blocked_thread(void *p)
{
	sigset_t s;

	(void)sigfillset(&s);
	(void)pthread_sigmask(SIG_BLOCK, &s, NULL);
	*(volatile int *)p = 1;
	ms_sleep(40);
	return (NULL);
}

static volatile int handler_tid;

static void
who(int sig)
{

	(void)sig;
	handler_tid = (int)syscall(SYS_gettid);
}

CASE(process_signal_goes_to_who_can)
{
	volatile int ready = 0;
	pthread_t t;

	t = thread_start(blocked_thread, (void *)(uintptr_t)&ready);
	while (!ready)
		ms_sleep(1);
	on(SIGUSR1, who, 0);
	RET(kill(getpid(), SIGUSR1));
	SHOW(handler_tid == getpid());
	(void)pthread_join(t, NULL);
	off(SIGUSR1);
}

CASE(signal_of_a_running_thread)
{
	pthread_t t;
	uint64_t end;

	/* no system call here, only a loop */
	on(SIGUSR1, count, 0);
	t = soon(SIGUSR1);
	end = now_ns(CLOCK_MONOTONIC) + 20000 * MS;
	while (!got && now_ns(CLOCK_MONOTONIC) < end)
		continue;
	SHOW(got);
	(void)pthread_join(t, NULL);
	off(SIGUSR1);
}

/* ---- masks of ppoll and pselect, and signals of another thread -------------- */

static volatile int let_in;

static void
on_let_in(int sig)
{

	(void)sig;
	let_in++;
}

/* Without waiting, too */
CASE(mask_lets_in)
{
	struct sigaction sa = { .sa_handler = on_let_in }, old;
	struct timespec zero = { 0, 0 };
	sigset_t block, none, pend, was;

	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	MUST(sigaction(SIGUSR1, &sa, &old) == 0);
	MUST(pthread_sigmask(SIG_BLOCK, &block, &was) == 0);
	raise(SIGUSR1);
	RET(ppoll(NULL, 0, &zero, &none));
	SHOW(let_in);
	raise(SIGUSR1);
	RET(pselect(0, NULL, NULL, NULL, &zero, &none));
	SHOW(let_in);
	RET(ppoll(NULL, 0, &zero, &none));
	raise(SIGUSR1);
	RET(ppoll(NULL, 0, &zero, NULL));
	RET(poll(NULL, 0, 0));
	SHOW(let_in);
	MUST(sigpending(&pend) == 0);
	SHOW(sigismember(&pend, SIGUSR1));
	MUST(pthread_sigmask(SIG_BLOCK, NULL, &pend) == 0);
	SHOW(sigismember(&pend, SIGUSR1));
	MUST(pthread_sigmask(SIG_SETMASK, &was, NULL) == 0);
	SHOW(let_in);
	MUST(sigaction(SIGUSR1, &old, NULL) == 0);
}

static void *
kills(void *arg)
{

	ms_sleep(40);
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	ms_sleep(40);
	return (NULL);
}

/* signalfd(2) tells of what is for the thread that asks. */
CASE(fd_of_one_thread)
{
	pthread_t self = pthread_self(), t;
	struct signalfd_siginfo si;
	struct epoll_event ev = { .events = EPOLLIN };
	struct pollfd p = { .events = POLLIN };
	sigset_t block, was;
	int e, s;

	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	MUST(pthread_sigmask(SIG_BLOCK, &block, &was) == 0);
	MUST((s = p.fd = signalfd(-1, &block, 0)) >= 0);
	MUST((e = epoll_create1(0)) >= 0);
	MUST(epoll_ctl(e, EPOLL_CTL_ADD, s, &ev) == 0);
	t = thread_start(kills, &self);
	RET(poll(&p, 1, 2000));
	SHOW(read(s, &si, sizeof si) == sizeof si && si.ssi_signo == SIGUSR1);
	pthread_join(t, NULL);
	t = thread_start(kills, &self);
	RET(epoll_wait(e, &ev, 1, 2000));
	SHOW(read(s, &si, sizeof si) == sizeof si && si.ssi_signo == SIGUSR1);
	pthread_join(t, NULL);
	/* not what is for another */
	t = thread_start(kills, &t);
	RET(poll(&p, 1, 60));
	pthread_join(t, NULL);
	close(e);
	close(s);
	MUST(pthread_sigmask(SIG_SETMASK, &was, NULL) == 0);
}
