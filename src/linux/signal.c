/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Signals: sending, choosing the next one, default actions, the end of a wait.
 *
 * A pending signal is a bit with one record of where it came from: a second
 * one of the same number before the first is taken is lost if it is an
 * ordinary signal; real-time ones queue in m->sigq.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "gk.h"
#include "linux/sys_proc.h"
#include "obj.h"

/* Linux takes these first */
#define SYNCHRONOUS	(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGILL) | \
			    SIGBIT(SIGTRAP) | SIGBIT(SIGFPE) | SIGBIT(SIGSYS))
/* Default action: nothing.  Stopping is nothing here too: nobody continues. */
#define DEFAULT_IGNORED	(SIGBIT(SIGCHLD) | SIGBIT(SIGURG) | \
			    SIGBIT(SIGWINCH) | SIGBIT(SIGCONT) | \
			    SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | \
			    SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))
#define GUEST_SIGRTMIN	32
/* Frames that one return to user mode may build */
#define MAX_FRAMES	(2 * NSIG_GUEST + 2)

const char *
signal_name(int sig, char *buf, size_t size)
{
	static const char * const name[] = {
		[SIGHUP] = "HUP",	[SIGINT] = "INT",
		[SIGQUIT] = "QUIT",	[SIGILL] = "ILL",
		[SIGTRAP] = "TRAP",	[SIGABRT] = "ABRT",
		[SIGBUS] = "BUS",	[SIGFPE] = "FPE",
		[SIGKILL] = "KILL",	[SIGUSR1] = "USR1",
		[SIGSEGV] = "SEGV",	[SIGUSR2] = "USR2",
		[SIGPIPE] = "PIPE",	[SIGALRM] = "ALRM",
		[SIGTERM] = "TERM",	[16] = "STKFLT",
		[SIGCHLD] = "CHLD",	[SIGCONT] = "CONT",
		[SIGSTOP] = "STOP",	[SIGTSTP] = "TSTP",
		[SIGTTIN] = "TTIN",	[SIGTTOU] = "TTOU",
		[SIGURG] = "URG",	[SIGXCPU] = "XCPU",
		[SIGXFSZ] = "XFSZ",	[SIGVTALRM] = "VTALRM",
		[SIGPROF] = "PROF",	[SIGWINCH] = "WINCH",
		[SIGIO] = "IO",		[SIGPWR] = "PWR",
		[SIGSYS] = "SYS",
	};

	if (sig > 0 && (size_t)sig < NELEM(name) && name[sig] != NULL)
		(void)snprintf(buf, size, "SIG%s", name[sig]);
	else
		(void)snprintf(buf, size, "signal %d", sig);
	return (buf);
}

/* ---- sending --------------------------------------------------------- */

static int
is_ignored(const struct machine *m, int sig)
{
	uint64_t handler = m->proc.sigact[sig].handler;

	if (handler == GUEST_SIG_IGN)
		return (1);
	return (handler == GUEST_SIG_DFL && (DEFAULT_IGNORED & SIGBIT(sig)));
}

/* Does a thread that may get it want an ignored signal kept? */
static int
is_kept(const struct machine *m, const struct thread *only, int sig)
{
	const struct thread *t;
	unsigned u;
	int all_block = 1;

	for (u = 0; u < m->proc.hi_thread; u++) {
		t = &m->thread[u];
		if (t->state == T_FREE || (only != NULL && t != only))
			continue;
		if (t->sigwait & SIGBIT(sig))
			return (1);
		if (!(t->sigmask & SIGBIT(sig)))
			all_block = 0;
	}
	return (all_block);
}

/* Threads in rt_sigtimedwait look again. */
static void
tell_waiters(struct machine *m, struct thread *only, int sig)
{
	struct thread *t;
	unsigned u;

	for (u = 0; u < m->proc.hi_thread; u++) {
		t = &m->thread[u];
		if (t->state == T_WAIT && (only == NULL || t == only) &&
		    (t->sigwait & SIGBIT(sig)))
			t->woken = 1;
	}
}

/* ---- the queue of real-time signals ----------------------------------- */

static uint16_t
queue_id(const struct machine *m, const struct thread *t)
{

	return ((uint16_t)(t == NULL ? 0 : t - m->thread + 1));
}

static unsigned
queue_find(const struct machine *m, const struct thread *t, int sig)
{
	uint16_t id = queue_id(m, t);
	unsigned u;

	for (u = 0; u < m->proc.nsigq; u++)
		if (m->sigq[u].thread == id && m->sigq[u].sig == sig)
			break;
	return (u);
}

static void
queue_remove(struct machine *m, unsigned u)
{

	m->proc.nsigq--;
	memmove(&m->sigq[u], &m->sigq[u + 1],
	    (m->proc.nsigq - u) * sizeof(m->sigq[0]));
}

static uint64_t *
pending_of(struct machine *m, struct thread *t)
{

	return (t != NULL ? &t->sigpending : &m->proc.sigpending);
}

static void
record(struct machine *m, struct thread *t, int sig, int code, uint64_t value)
{

	*pending_of(m, t) |= SIGBIT(sig);
	m->sig_changed = 1;
	if (t != NULL) {
		t->sig_code[sig] = code;
		t->sig_val[sig] = value;
	} else {
		m->proc.sig_code[sig] = code;
		m->proc.sig_val[sig] = value;
	}
}

/* sig was taken: the next of its number is pending now. */
static void
queue_next(struct machine *m, struct thread *t, int sig)
{
	unsigned u;

	if (m->proc.nsigq == 0)
		return;
	u = queue_find(m, t, sig);
	if (u == m->proc.nsigq)
		return;
	record(m, t, sig, m->sigq[u].code, m->sigq[u].value);
	queue_remove(m, u);
}

/* As RLIMIT_SIGPENDING has it: kill(2) needs no record, others do. */
static int64_t
queue_full(const struct machine *m, int sig, int code)
{
	uint64_t limit = m->proc.rlim[RLIMIT_SIGPENDING][0];

	if (sig < GUEST_SIGRTMIN || code == SI_USER || code == SI_TIMER ||
	    code > 0)
		return (0);
	return (m->proc.nsigq >= limit || m->proc.nsigq >= MAX_SIGQ);
}

/* Whoever waits for a signalfd looks again. */
static void
tell_signalfds(struct machine *m)
{
	const struct hfile *hf;
	uint32_t o, idx;

	for (o = 0; m->gk != NULL && o < m->gk->hi_ofd && o < GK_NOFD; o++) {
		if (m->gk->ofd[o].kind != GK_HOST)
			continue;
		idx = m->gk->ofd[o].u.host.idx;
		hf = idx < MAX_HFILE ? m->hfile[idx] : NULL;
		if (hf == NULL || hf->kind != HF_SIGNAL)
			continue;
		m->gk->ofd[o].edge++;
		m->gk->gen++;
	}
}

int64_t
signal_send(struct machine *m, struct thread *t, int sig, int si_code,
    uint64_t value)
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (sig < 1 || sig > NSIG_GUEST)
		return (-EINVAL);
	if (is_ignored(m, sig) && !is_kept(m, t, sig))
		return (0);
	if (queue_full(m, sig, si_code))
		return (-EAGAIN);
	if (!(*pending_of(m, t) & SIGBIT(sig)))
		record(m, t, sig, si_code, value);
	else if (sig >= GUEST_SIGRTMIN && m->proc.nsigq < MAX_SIGQ)
		m->sigq[m->proc.nsigq++] = (struct sigq){
			.thread = queue_id(m, t), .sig = (uint8_t)sig,
			.code = si_code, .value = value,
		};
	tell_waiters(m, t, sig);
	tell_signalfds(m);
	return (0);
}

void
signal_drop(struct machine *m, struct thread *t, int sig)
{
	unsigned u;

	while (m->proc.nsigq != 0 &&
	    (u = queue_find(m, t, sig)) != m->proc.nsigq)
		queue_remove(m, u);
	*pending_of(m, t) &= ~SIGBIT(sig);
}

void
signal_drop_all(struct machine *m, struct thread *t)
{
	uint64_t set;

	for (set = *pending_of(m, t); set != 0; set &= set - 1)
		signal_drop(m, t, __builtin_ctzl(set) + 1);
}

void
signal_sigpipe(struct machine *m, struct thread *t)
{

	(void)signal_send(m, t, SIGPIPE, SI_USER, 0);
}

void
signal_flush_ignored(struct machine *m, int sig)
{
	unsigned u;

	if (!is_ignored(m, sig))
		return;
	signal_drop(m, NULL, sig);
	for (u = 0; u < m->proc.hi_thread; u++)
		if (m->thread[u].state != T_FREE)
			signal_drop(m, &m->thread[u], sig);
}

/* ---- taking ---------------------------------------------------------- */

static uint64_t
deliverable(const struct machine *m, const struct thread *t)
{

	return ((t->sigpending | m->proc.sigpending) &
	    ~(t->sigmask & ~SIG_UNBLOCKABLE) & ~t->sigwait);
}

int
signal_pending(const struct machine *m, const struct thread *t)
{

	return (deliverable(m, t) != 0);
}

static int
lowest(uint64_t set)
{

	if (set & SYNCHRONOUS)
		set &= SYNCHRONOUS;
	return (set != 0 ? __builtin_ctzl(set) + 1 : 0);
}

static void
fill_info(struct machine *m, int sig, int code, uint64_t value,
    struct guest_siginfo *si)
{

	memset(si, 0, sizeof(*si));
	si->signo = sig;
	si->code = code;
	if (code == SI_TIMER) {
		si->u.timer.value = value;
		(void)timer_signal_info(m, sig, si);
	} else if (code <= 0) {
		si->u.rt.pid = (int32_t)m->proc.pid;
		si->u.rt.uid = m->proc.uid;
		si->u.rt.value = value;
	} else if (code != GUEST_SI_KERNEL || (SIGBIT(sig) & SYNCHRONOUS)) {
		si->u.fault.addr = value;
	}
}

int
signal_take(struct machine *m, struct thread *t, uint64_t set,
    struct guest_siginfo *si)
{
	int sig;

	sig = lowest(t->sigpending & set);
	if (sig != 0) {
		t->sigpending &= ~SIGBIT(sig);
		fill_info(m, sig, t->sig_code[sig], t->sig_val[sig], si);
		queue_next(m, t, sig);
		return (sig);
	}
	sig = lowest(m->proc.sigpending & set);
	if (sig != 0) {
		m->proc.sigpending &= ~SIGBIT(sig);
		fill_info(m, sig, m->proc.sig_code[sig], m->proc.sig_val[sig],
		    si);
		queue_next(m, NULL, sig);
	}
	return (sig);
}

/* The next one that does something; ignored ones are consumed. */
static int
take_active(struct machine *m, struct thread *t, struct guest_siginfo *si)
{
	int sig;

	while ((sig = signal_take(m, t, deliverable(m, t), si)) != 0)
		if (!is_ignored(m, sig))
			break;
	return (sig);
}

/* ---- death ----------------------------------------------------------- */

static void
die(struct machine *m, const struct thread *t, int sig, const char *detail)
{
	char name[24], sym[200];

	proc_gone(m, sig);
	machine_fail(m, TKVM_E_CRASH, "killed by %s at 0x%llx%s in %s, "
	    "thread %d", signal_name(sig, name, sizeof(name)),
	    (unsigned long long)t->regs.rip, detail,
	    machine_symbol(m, t->regs.rip, sym, sizeof(sym)), t->tid);
}

/* force_sig() of the kernel: a blocked or ignored one kills. */
static int
force(struct machine *m, struct thread *t, int sig, int code, uint64_t addr,
    const char *detail)
{
	uint64_t handler = m->proc.sigact[sig].handler;

	if (handler == GUEST_SIG_DFL || handler == GUEST_SIG_IGN ||
	    (t->sigmask & SIGBIT(sig))) {
		die(m, t, sig, detail);
		return (-1);
	}
	record(m, t, sig, code, addr);
	return (0);
}

int
signal_force(struct machine *m, struct thread *t, int sig, const char *why)
{
	char detail[100];

	(void)snprintf(detail, sizeof(detail), " (%s)", why);
	return (force(m, t, sig, GUEST_SI_KERNEL, 0, detail));
}

int
signal_fault(struct machine *m, struct thread *t, int sig, int si_code,
    uint64_t addr, unsigned trapno, uint64_t error_code)
{
	char detail[40];

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	assert(sig > 0 && sig <= NSIG_GUEST);
	t->trapno = trapno;
	t->error_code = error_code;
	if (trapno == 14)		/* #PF */
		t->cr2 = addr;
	(void)snprintf(detail, sizeof(detail), " (address 0x%llx)",
	    (unsigned long long)addr);
	return (force(m, t, sig, si_code, addr, detail));
}

/* ---- delivery -------------------------------------------------------- */

/* Run the handler, or die.  -1: the process is dead. */
static int
deliver(struct machine *m, struct thread *t, int sig,
    const struct guest_siginfo *si)
{
	struct ksigaction act = m->proc.sigact[sig];
	uint64_t old;

	if (act.handler == GUEST_SIG_DFL) {
		die(m, t, sig, "");
		return (-1);
	}
	if (act.flags & SA_RESETHAND) {
		m->proc.sigact[sig].handler = GUEST_SIG_DFL;
		m->sig_changed = 1;
	}
	old = t->in_sigsuspend ? t->oldmask : t->sigmask;
	if (sigframe_push(m, t, sig, &act, si, old)) {
		/* As force_sigsegv(): its own handler cannot run either */
		if (sig == SIGSEGV) {
			m->proc.sigact[sig].handler = GUEST_SIG_DFL;
			m->sig_changed = 1;
		}
		return (signal_force(m, t, SIGSEGV,
		    "no frame for a handler fits on the stack"));
	}
	t->in_sigsuspend = 0;
	t->sigmask |= act.mask;
	if (!(act.flags & SA_NODEFER))
		t->sigmask |= SIGBIT(sig);
	t->sigmask &= ~SIG_UNBLOCKABLE;
	return (0);
}

int
signal_deliver(struct machine *m, struct thread *t)
{
	struct guest_siginfo si;
	int n, sig, changed = 0;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (t->state != T_RUN)
		return (0);
	for (n = 0; n < MAX_FRAMES; n++) {
		sig = take_active(m, t, &si);
		if (sig == 0)
			break;
		changed = 1;
		if (deliver(m, t, sig, &si))
			return (1);
	}
	if (t->in_sigsuspend)
		signal_wait_done(t);
	return (changed);
}

/* ---- the end of a wait ----------------------------------------------- */

/* signal(7), "Interruption of system calls": those that never go on */
static int
never_restarted(uint64_t nr)
{

	switch (nr) {
	case SYS_poll:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_pause:
	case SYS_rt_sigsuspend:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_msgrcv:
	case SYS_msgsnd:
		return (1);
	default:
		return (0);
	}
}

/* With priority inheritance: goes on whatever SA_RESTART says */
static int
waits_for_lock(const struct thread *t)
{

	return (t->nr == SYS_futex && t->futex != 0 && t->futex_bits == 0);
}

/* Its deadline is when it looks again, not its end: file_block_ms() */
static int
looks_again(const struct thread *t)
{

	switch (t->nr) {
	case SYS_flock:
	case SYS_fcntl:
	case SYS_open:
	case SYS_creat:
	case SYS_openat:
	case SYS_openat2:
		return (1);
	default:
		return (0);
	}
}

static void
end_wait(struct machine *m, struct thread *t, int restart)
{

	machine_unhold(m, t);
	if (t->nr == SYS_futex && t->woken)
		t->regs.rax = 0;	/* the wake must not get lost */
	else if (t->progress != 0)
		t->regs.rax = t->progress;
	else if (waits_for_lock(t) || (restart && !never_restarted(t->nr) &&
	    (t->deadline == UINT64_MAX || looks_again(t))))
		sigframe_rewind(t, t->nr);
	else
		t->regs.rax = (uint64_t)-EINTR;
	time_sleep_interrupted(m, t);
	t->futex = 0;
	t->woken = 0;
	t->sigwait = 0;
	t->restart = 0;
	t->progress = 0;
	t->deadline = UINT64_MAX;
	t->state = T_RUN;
}

int
signal_interrupt(struct machine *m, struct thread *t)
{
	struct guest_siginfo si;
	int sig;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (t->state != T_WAIT)
		return (0);
	sig = take_active(m, t, &si);
	if (sig == 0)
		return (0);
	if (m->proc.sigact[sig].handler != GUEST_SIG_DFL)
		end_wait(m, t,
		    (m->proc.sigact[sig].flags & SA_RESTART) != 0);
	if (deliver(m, t, sig, &si) == 0)
		(void)signal_deliver(m, t);
	return (1);
}

/* ---- a mask for the time of one call --------------------------------- */

int64_t
signal_wait_mask(struct machine *m, struct thread *t, uint64_t uset,
    uint64_t size)
{
	uint64_t set;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (uset == 0 || t->restart)
		return (0);
	if (size != sizeof(set))
		return (-EINVAL);
	if (as_read(m->as, uset, &set, sizeof(set)))
		return (-EFAULT);
	t->oldmask = t->sigmask;
	t->sigmask = set & ~SIG_UNBLOCKABLE;
	t->in_sigsuspend = 1;
	return (0);
}

void
signal_wait_done(struct thread *t)
{

	if (!t->in_sigsuspend)
		return;
	t->sigmask = t->oldmask;
	t->in_sigsuspend = 0;
}
