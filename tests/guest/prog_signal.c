/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Signals: handlers, masks, pending, SA flags, siginfo, tgkill, timers.
 */

#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>

#include <signal.h>

#include "prog.h"

static volatile sig_atomic_t got, depth, maxdepth, value, code, again;

static void
on_signal(int sig)
{
	got = sig;
	if (++depth > maxdepth)
		maxdepth = depth;
	if (sig == SIGUSR1 && again++ == 0)
		(void)raise(SIGUSR1);	/* masked during the handler */
	depth--;
}

static void
on_info(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	got = sig;
	code = si->si_code;
	value = si->si_value.sival_int;
}

static void
masks(void)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;
	sigset_t set, was;

	OK(sigaction(SIGUSR1, &sa, &old) == 0 && old.sa_handler == SIG_DFL);
	OK(raise(SIGUSR1) == 0 && got == SIGUSR1 && maxdepth == 1 &&
	    again == 2);
	got = maxdepth = 0;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &set, &was) == 0 &&
	    !sigismember(&was, SIGUSR1));
	OK(kill(getpid(), SIGUSR1) == 0 && got == 0);
	OK(sigpending(&was) == 0 && sigismember(&was, SIGUSR1));
	OK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && got == SIGUSR1);
	/* SA_NODEFER nests, SA_RESETHAND works once. */
	sa.sa_flags = SA_NODEFER | SA_RESETHAND;
	OK(sigaction(SIGUSR2, &sa, NULL) == 0 && raise(SIGUSR2) == 0);
	OK(sigaction(SIGUSR2, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	OK(signal(SIGUSR2, SIG_IGN) == SIG_DFL && raise(SIGUSR2) == 0);
	ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
	ERR(sigaction(99, &sa, NULL), EINVAL);
}

static void
info(void)
{
	struct sigaction sa = { .sa_sigaction = on_info,
	    .sa_flags = SA_SIGINFO };
	union sigval sv = { .sival_int = 4711 };
	siginfo_t si;
	sigset_t set;
	struct timespec ts = { .tv_nsec = 20000000 };

	OK(sigaction(SIGRTMIN, &sa, NULL) == 0);
	OK(sigqueue(getpid(), SIGRTMIN, sv) == 0);
	OK(got == SIGRTMIN && code == SI_QUEUE && value == 4711);
	OK(sigaction(SIGUSR1, &sa, NULL) == 0);
	OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1) == 0);
	OK(got == SIGUSR1 && code == SI_TKILL);
	OK(kill(getpid(), 0) == 0);
	ERR(kill(getpid(), 77), EINVAL);
	ERR(syscall(SYS_tgkill, getpid(), 0x3ffffff, SIGUSR1), ESRCH);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	ERR(sigtimedwait(&set, &si, &ts), EAGAIN);
	(void)signal(SIGUSR2, SIG_DFL);
	OK(raise(SIGUSR2) == 0 && sigwaitinfo(&set, &si) == SIGUSR2);
}

static void
alarms(void)
{
	struct itimerval it = { .it_value.tv_usec = 30000 };
	sigset_t none, alrm;
	double t0 = prog_now();

	got = 0;
	(void)signal(SIGALRM, on_signal);
	/* Not before somebody waits for it */
	(void)sigemptyset(&alrm);
	(void)sigaddset(&alrm, SIGALRM);
	(void)sigprocmask(SIG_BLOCK, &alrm, NULL);
	OK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	(void)sigemptyset(&none);
	ERR(sigsuspend(&none), EINTR);
	OK(got == SIGALRM && prog_now() - t0 >= 0.029);
	(void)sigprocmask(SIG_UNBLOCK, &alrm, NULL);
	/* It comes through a computing loop as well. */
	got = 0;
	OK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	while (got == 0)
		continue;
	OK(got == SIGALRM);
}

int
main(void)
{
	masks();
	info();
	alarms();
	return (0);
}
