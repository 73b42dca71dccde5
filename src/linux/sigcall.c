/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The system calls about signals.  Only the process itself can be sent one.
 */

#include <errno.h>
#include <signal.h>

#include "linux/sys_proc.h"
#include "obj.h"

#define SIGSET_SIZE	sizeof(uint64_t)
#define KERNEL_MINSIGSTKSZ 2048
/* The flags that Linux 6.1 knows; it forgets others. */
#define KERNEL_SA_FLAGS	0xdc000807UL

static int
bad_signal(uint64_t sig)
{

	return ((int32_t)sig < 1 || (int32_t)sig > NSIG_GUEST);
}

/* ---- actions and masks ----------------------------------------------- */

int64_t
sys_rt_sigaction(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct ksigaction new, old;
	int sig = (int)a[0];

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (a[3] != SIGSET_SIZE)
		return (-EINVAL);
	if (a[1] != 0 && as_read(m->as, a[1], &new, sizeof(new)))
		return (-EFAULT);
	if (bad_signal(a[0]) ||
	    (a[1] != 0 && (SIGBIT(sig) & SIG_UNBLOCKABLE)))
		return (-EINVAL);
	old = m->proc.sigact[sig];
	if (a[1] != 0) {
		new.flags &= KERNEL_SA_FLAGS;
		new.mask &= ~SIG_UNBLOCKABLE;
		m->proc.sigact[sig] = new;
		m->sig_changed = 1;
		signal_flush_ignored(m, sig);
	}
	if (a[2] != 0 && as_write(m->as, a[2], &old, sizeof(old)))
		return (-EFAULT);
	return (0);
}

int64_t
sys_rt_sigprocmask(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t set, old = t->sigmask;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (a[3] != SIGSET_SIZE)
		return (-EINVAL);
	if (a[1] != 0) {
		if (as_read(m->as, a[1], &set, sizeof(set)))
			return (-EFAULT);
		switch ((int)a[0]) {
		case SIG_BLOCK:
			set = old | set;
			break;
		case SIG_UNBLOCK:
			set = old & ~set;
			break;
		case SIG_SETMASK:
			break;
		default:
			return (-EINVAL);
		}
		t->sigmask = set & ~SIG_UNBLOCKABLE;
	}
	if (a[2] != 0 && as_write(m->as, a[2], &old, sizeof(old)))
		return (-EFAULT);
	return (0);
}

int64_t
sys_rt_sigpending(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t set;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	/* Linux takes smaller sets too */
	if (a[1] > SIGSET_SIZE)
		return (-EINVAL);
	set = (t->sigpending | m->proc.sigpending) & t->sigmask;
	return (as_write(m->as, a[0], &set, a[1]));
}

/* ---- waiting --------------------------------------------------------- */

/* What ends it is signal_interrupt(). */
int64_t
sys_pause(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)t;
	(void)a;
	return (SYS_BLOCK);
}

int64_t
sys_rt_sigsuspend(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (t->restart)
		return (SYS_BLOCK);
	if (a[1] != SIGSET_SIZE)
		return (-EINVAL);
	if (a[0] == 0)
		return (-EFAULT);
	error = signal_wait_mask(m, t, a[0], a[1]);
	return (error != 0 ? error : SYS_BLOCK);
}

static int64_t
sigtimedwait_block(struct machine *m, struct thread *t, uint64_t set,
    uint64_t uts)
{
	uint64_t ns;
	int64_t error;

	if (!t->restart) {
		t->deadline = UINT64_MAX;
		if (uts != 0) {
			error = get_timespec(m, uts, &ns);
			if (error)
				return (error);
			t->deadline = time_after(machine_mono(m), ns);
		}
	}
	t->woken = 0;
	if (machine_mono(m) >= t->deadline) {
		t->sigwait = 0;
		return (-EAGAIN);
	}
	t->sigwait = set;
	return (SYS_BLOCK);
}

int64_t
sys_rt_sigtimedwait(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct guest_siginfo si;
	uint64_t set;
	int sig;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (t->restart) {
		set = t->sigwait;
	} else {
		if (a[3] != SIGSET_SIZE)
			return (-EINVAL);
		if (as_read(m->as, a[0], &set, sizeof(set)))
			return (-EFAULT);
		set &= ~SIG_UNBLOCKABLE;
	}
	sig = signal_take(m, t, set, &si);
	if (sig == 0)
		return (sigtimedwait_block(m, t, set, a[2]));
	t->sigwait = 0;
	t->woken = 0;
	if (a[1] != 0 && as_write(m->as, a[1], &si, sizeof(si)))
		return (-EFAULT);
	return (sig);
}

/* ---- sending --------------------------------------------------------- */

/* kill(2)'s first argument: ourselves in one of its spellings? */
static int
kill_is_self(struct machine *m, int64_t pid)
{

	if (pid == -1)
		return (0);	/* all others, but there are none */
	if (pid == 0 || proc_is_self(m, pid) || proc_is_self(m, -pid))
		return (1);
	/* Linux finds a process by the number of any of its threads */
	return (pid > 0 && thread_find(m, pid) != NULL);
}

int64_t
sys_kill(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int sig = (int)a[1];

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (!kill_is_self(m, (int32_t)a[0]))
		return (-ESRCH);
	if (sig == 0)
		return (0);
	if (bad_signal(a[1]))
		return (-EINVAL);
	return (signal_send(m, NULL, sig, SI_USER, 0));
}

static int64_t
send_thread(struct machine *m, int32_t tid, uint64_t usig, int code,
    uint64_t value)
{
	struct thread *t;

	if (tid <= 0)
		return (-EINVAL);
	t = thread_find(m, tid);
	if (t == NULL)
		return (-ESRCH);
	if ((int32_t)usig == 0)
		return (0);
	if (bad_signal(usig))
		return (-EINVAL);
	return (signal_send(m, t, (int32_t)usig, code, value));
}

int64_t
sys_tkill(struct machine *m, struct thread *t, const uint64_t a[6])
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	return (send_thread(m, (int32_t)a[0], a[1], SI_TKILL, 0));
}

int64_t
sys_tgkill(struct machine *m, struct thread *t, const uint64_t a[6])
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if ((int32_t)a[0] <= 0 || (int32_t)a[1] <= 0)
		return (-EINVAL);
	if (!proc_is_self(m, (int32_t)a[0]))
		return (-ESRCH);
	return (send_thread(m, (int32_t)a[1], a[2], SI_TKILL, 0));
}

/* A siginfo from the guest: only its code and value are kept. */
static int64_t
get_info(struct machine *m, const struct thread *t, int32_t pid,
    uint64_t uinfo, struct guest_siginfo *si)
{

	if (as_read(m->as, uinfo, si, sizeof(*si)))
		return (-EFAULT);
	/* Only the kernel says where a signal came from, but to oneself */
	if ((si->code >= 0 || si->code == SI_TKILL) && pid != t->tid &&
	    !(proc_is_self(m, pid) && proc_is_self(m, t->tid)))
		return (-EPERM);
	if (si->code > 0)
		si->u.rt.value = si->u.fault.addr;
	return (0);
}

int64_t
sys_rt_sigqueueinfo(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct guest_siginfo si;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	error = get_info(m, t, (int32_t)a[0], a[2], &si);
	if (error)
		return (error);
	if ((int32_t)a[0] <= 0 || !kill_is_self(m, (int32_t)a[0]))
		return (-ESRCH);
	if ((int32_t)a[1] == 0)
		return (0);
	if (bad_signal(a[1]))
		return (-EINVAL);
	return (signal_send(m, NULL, (int)a[1], si.code, si.u.rt.value));
}

int64_t
sys_rt_tgsigqueueinfo(struct machine *m, struct thread *t,
    const uint64_t a[6])
{
	struct guest_siginfo si;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if ((int32_t)a[0] <= 0 || (int32_t)a[1] <= 0)
		return (-EINVAL);
	error = get_info(m, t, (int32_t)a[1], a[3], &si);
	if (error)
		return (error);
	if (!proc_is_self(m, (int32_t)a[0]))
		return (-ESRCH);
	return (send_thread(m, (int32_t)a[1], a[2], si.code, si.u.rt.value));
}

/* ---- the alternate stack --------------------------------------------- */

int
altstack_on(const struct thread *t, uint64_t sp)
{

	if (t->alt_flags & GUEST_SS_AUTODISARM)
		return (0);
	return (sp > t->alt_sp && sp - t->alt_sp <= t->alt_size);
}

void
altstack_get(const struct thread *t, uint64_t sp, struct guest_stack *ss)
{

	memset(ss, 0, sizeof(*ss));
	ss->sp = t->alt_sp;
	ss->size = t->alt_size;
	ss->flags = t->alt_flags & GUEST_SS_AUTODISARM;
	if (t->alt_size == 0)
		ss->flags |= SS_DISABLE;
	else if (altstack_on(t, sp))
		ss->flags |= SS_ONSTACK;
}

int64_t
altstack_set(struct thread *t, uint64_t sp, const struct guest_stack *ss)
{
	uint32_t mode = ss->flags & ~GUEST_SS_AUTODISARM;

	if (altstack_on(t, sp))
		return (-EPERM);
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return (-EINVAL);
	if (mode != SS_DISABLE && ss->size < KERNEL_MINSIGSTKSZ)
		return (-ENOMEM);
	t->alt_sp = mode == SS_DISABLE ? 0 : ss->sp;
	t->alt_size = mode == SS_DISABLE ? 0 : ss->size;
	t->alt_flags = ss->flags;
	return (0);
}

int64_t
sys_sigaltstack(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct guest_stack new, old;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	altstack_get(t, t->regs.rsp, &old);
	if (a[0] != 0) {
		if (as_read(m->as, a[0], &new, sizeof(new)))
			return (-EFAULT);
		error = altstack_set(t, t->regs.rsp, &new);
		if (error)
			return (error);
	}
	if (a[1] != 0 && as_write(m->as, a[1], &old, sizeof(old)))
		return (-EFAULT);
	return (0);
}
