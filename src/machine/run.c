/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Running a guest: entering the vCPU, answering what it leaves for, and
 * sharing it among the guest's threads (N:1, preempted by the watchdog).
 *
 * The vCPU holds the state of thread proc.cur; the other threads' registers
 * and vector state are in their records.  A waiting thread stays inside its
 * system call: when something changed the handler is simply called again.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "linux/dispatch.h"
#include "machine/priv.h"

#define SPURIOUS_FLUSH	8	/* faults on a page that is mapped */
#define SPURIOUS_DIE	64

struct thread *
machine_cur(struct machine *m)
{

	return (&m->thread[m->proc.cur]);
}

struct thread *
machine_caller(struct machine *m)
{

	return (&m->thread[m->caller]);
}

static unsigned
idx_of(const struct machine *m, const struct thread *t)
{

	return ((unsigned)(t - m->thread));
}

/* ---- thread state in and out of the vCPU ------------------------------------------- */

static struct kvm_xsave *
xsave_buf(struct machine *m, unsigned i)
{

	if (m->xsave[i] == NULL)
		m->xsave[i] = calloc(1, sizeof *m->xsave[i]);
	return (m->xsave[i]);
}

const struct kvm_xsave *
machine_parked(struct machine *m, unsigned i)
{

	if (m->xs_blob[i])
		return (handoff_xsave(m, i, xsave_buf(m, i)));
	if (m->xs_own[i] || m->image == NULL)
		return (m->xsave[i]);
	return (m->image->xsave[i]);
}

/* Segment bases can be changed by the program itself (wrfsbase). */
static void
bases(struct machine *m)
{
	struct thread *t = machine_cur(m);

	if (!m->bases_ok)
		vcpu_bases(m->vcpu, &t->fs_base, &t->gs_base);
	m->bases_ok = 1;
}

int
machine_park(struct machine *m)
{
	const unsigned i = m->proc.cur;
	struct kvm_xsave *x;

	x = xsave_buf(m, i);
	if (x == NULL)
		return (-ENOMEM);
	bases(m);
	if (vcpu_get_xsave(m->vcpu, x) != 0)
		return (-EIO);
	m->xs_own[i] = 1;
	m->xs_blob[i] = 0;
	return (0);
}

int
machine_get_xsave(struct machine *m, struct thread *t, struct kvm_xsave *to)
{
	const unsigned i = idx_of(m, t);
	const struct kvm_xsave *x;

	if (i == m->proc.cur)
		return (vcpu_get_xsave(m->vcpu, to));
	x = machine_parked(m, i);
	if (x == NULL)
		memset(to, 0, sizeof *to);
	else
		*to = *x;
	return (0);
}

int
machine_set_xsave(struct machine *m, struct thread *t,
    const struct kvm_xsave *from)
{
	const unsigned i = idx_of(m, t);
	struct kvm_xsave *x;

	if (i == m->proc.cur)
		return (vcpu_set_xsave(m->vcpu, from));
	x = xsave_buf(m, i);
	if (x == NULL)
		return (-ENOMEM);
	*x = *from;
	m->xs_own[i] = 1;
	m->xs_blob[i] = 0;
	return (0);
}

unsigned
machine_xsave_size(const struct machine *m)
{

	return (m->vm->host->xsave_size);
}

uint64_t
machine_xcr0(const struct machine *m)
{

	return (m->vm->host->xcr0);
}

/* CPU time of the thread at hand, up to now */
static void
account(struct machine *m)
{
	uint64_t now = host_mono();

	m->thread[m->proc.cur].cpu_ns += now - m->cpu_since;
	m->cpu_since = now;
}

/* Put thread i into the vCPU instead of the one that is there. */
static int
switch_to(struct machine *m, unsigned i)
{
	const struct kvm_xsave *x;

	if (m->thread[m->proc.cur].state != T_FREE && machine_park(m) != 0) {
		machine_fail(m, TKVM_E_MEMORY, "cannot save a thread's state");
		return (-1);
	}
	account(m);
	x = machine_parked(m, i);
	if (x == NULL && m->xs_blob[i]) {
		machine_fail(m, TKVM_E_MEMORY, "no memory for a thread's "
		    "state");
		return (-1);
	}
	m->xs_blob[i] = 0;
	m->proc.cur = i;
	m->exit_of = -1;
	m->pend = PEND_USER;
	m->bases_ok = 1;
	if (x != NULL && vcpu_set_xsave(m->vcpu, x) != 0) {
		machine_fail(m, TKVM_E_INTERNAL, "KVM_SET_XSAVE failed");
		return (-1);
	}
	vvar_update(m);
	return (0);
}

void
machine_now(struct machine *m, unsigned i)
{
	struct thread *t = &m->thread[i];

	account(m);
	m->proc.cur = i;
	m->xs_blob[i] = 0;
	m->bases_ok = 0;
	m->exit_of = -1;
	t->state = T_RUN;
	t->futex = 0;
	t->restart = t->woken = t->first = 0;
	vvar_update(m);
}

/* ---- waiting threads ------------------------------------------------------------------ */

void
machine_wait_fd(struct machine *m, int fd, short events)
{

	if (m->nwaitfd == MAX_WAITFD)
		return;
	m->waitfd[m->nwaitfd].fd = fd;
	m->waitfd[m->nwaitfd].revents = 0;
	m->waitfd[m->nwaitfd++].events = events;
}

void
machine_gk_ctx(struct machine *m, struct thread *t, struct gk_ctx *c)
{

	memset(c, 0, sizeof *c);
	c->gk = m->gk;
	c->priv = m;
	machine_times(m, &c->now_mono, &c->now_real);
	c->host_poll = files_host_poll;
	c->host_release = files_host_release;
	c->mark = machine_gk_mark;
	c->pid = m->proc.pid;
	c->uid = m->proc.uid;
	c->gid = m->proc.gid;
	if (t != NULL) {
		c->deadline = t->deadline;
		c->restart = t->restart;
		c->progress = t->progress;
	}
}

/*
 * t waits in a call on a descriptor, which is about what that names now:
 * another thread may close it meanwhile, and give its number to another file.
 */
static void
call_hold(struct machine *m, struct thread *t)
{

	if (m->proc.nthreads > 1 && t->held1 == 0 && t->nr < SYS_MAX &&
	    sys_table[t->nr].arg[0] == A_FD)
		t->held1 = gk_fd_hold(m->gk, (uint32_t)t->a[0]);
}

void
machine_unhold(struct machine *m, struct thread *t)
{
	struct gk_ctx c;

	if (t->held1 == 0)
		return;
	machine_gk_ctx(m, t, &c);
	gk_ofd_put(&c, t->held1 - 1);
	t->held1 = 0;
}

/* t's call has an answer. */
static void
call_done(struct machine *m, struct thread *t, int64_t r)
{

	machine_unhold(m, t);
	t->state = T_RUN;
	t->restart = 0;
	t->woken = 0;
	if (r == SYS_NORETURN) {
		if (idx_of(m, t) == m->proc.cur)
			m->pend = PEND_USER;
		return;
	}
	t->regs.rax = (uint64_t)r;
	if (idx_of(m, t) == m->proc.cur)
		m->pend = m->exit_of == (int)m->proc.cur ? PEND_RESULT :
		    PEND_USER;
}

/* Try the call of a waiting thread again. */
static void
retry(struct machine *m, struct thread *t)
{
	const uint32_t fd = (uint32_t)t->a[0];
	uint32_t was = 0;
	int64_t r;

	t->seen_gen = m->gk->gen;
	t->restart = !t->first;
	t->first = 0;
	if (t->held1 != 0)
		was = gk_fd_swap(m->gk, fd, t->held1);
	r = linux_call(m, t);
	if (t->held1 != 0)
		(void)gk_fd_swap(m->gk, fd, was);
	if (r == SYS_BLOCK) {
		call_hold(m, t);
		return;
	}
	linux_trace(m, t, r);
	if (t->state == T_FREE)
		return;
	call_done(m, t, r);
}

/*
 * Has the thread at hand blocked, and nothing happened since?  Its call, of the
 * in-memory kernel, would say the same again.
 */
static int
in_vain(const struct machine *m, const struct thread *t)
{

	return (t == &m->thread[m->proc.cur] && !t->first && !t->woken &&
	    t->futex == 0 && t->seen_gen == m->gk->gen && t->nr < SYS_MAX &&
	    (sys_table[t->nr].flags & SYS_GK) != 0);
}

/*
 * Ends the waits that a signal interrupts; the others that may be over are
 * noted, who came first in front.
 */
static unsigned
waiters(struct machine *m, uint64_t now, struct thread *w[MAX_THREADS])
{
	struct thread *t;
	unsigned i, k, n = 0;

	for (i = 0; i < m->proc.hi_thread; i++) {
		t = &m->thread[i];
		if (t->state != T_WAIT)
			continue;
		if (signal_pending(m, t) && signal_interrupt(m, t)) {
			if (i == m->proc.cur)
				m->pend = PEND_USER;
			continue;
		}
		if (t->futex != 0 && !t->woken && t->deadline > now)
			continue;
		for (k = n++; k > 0 && w[k - 1]->wait_seq > t->wait_seq; k--)
			w[k] = w[k - 1];
		w[k] = t;
	}
	return (n);
}

#define LONG_OVER	1000000	/* ns: whatever clock a call looks at */

/*
 * Look at every waiting thread that may go on: woken, interrupted, timed out,
 * or (all that wait for descriptors) when something changed.  Of several that
 * wait for the same thing the one that has waited longest gets it, as on Linux:
 * two that come again and again would starve all others.
 */
static void
wake_waiters(struct machine *m)
{
	struct thread *w[MAX_THREADS], *t;
	struct gk_ctx c;
	uint64_t now, due;
	unsigned i, n;
	int quiet;

	if (m->proc.cpu_timed)
		account(m);
	machine_gk_ctx(m, NULL, &c);
	m->next_wake = gk_next_timer(&c);	/* notes what has expired */
	due = timers_run(m);
	if (due < m->next_wake)
		m->next_wake = due;
	now = c.now_mono;
	/* nobody waits for the host */
	quiet = m->nwaitfd == 0 && !m->host_ready;
	m->nwaitfd = 0;
	m->woke_gen = m->gk->gen;
	m->futex_woke = 0;
	n = waiters(m, now, w);
	for (i = 0; i < n; i++) {
		t = w[i];
		if (t->state == T_WAIT &&
		    (t->deadline <= now || !(quiet && in_vain(m, t))))
			retry(m, t);
		/* Another file came in place of the one that it waited for,
		 * without a limit: not again and again */
		if (t->state == T_WAIT && t->deadline < now &&
		    now - t->deadline > LONG_OVER)
			t->deadline = UINT64_MAX;
		if (m->err.code != TKVM_OK)
			return;
	}
	for (i = 0; i < m->proc.hi_thread; i++) {
		t = &m->thread[i];
		if (t->state == T_WAIT && t->deadline < m->next_wake)
			m->next_wake = t->deadline;
	}
	m->host_ready = 0;
}

uint64_t
machine_next_wake(struct machine *m)
{
	struct gk_ctx c;
	struct thread *t;
	uint64_t w, n;
	unsigned i;

	machine_gk_ctx(m, NULL, &c);
	w = gk_next_timer(&c);
	n = timers_run(m);
	if (n < w)
		w = n;
	for (i = 0; i < m->proc.hi_thread; i++) {
		t = &m->thread[i];
		if (t->state == T_WAIT && t->deadline < w)
			w = t->deadline;
	}
	return (w);
}

/*
 * The thread to run next: the one at hand unless it is to give way; NULL when
 * all wait.
 */
static struct thread *
pick(struct machine *m)
{
	unsigned i, k, n = m->proc.hi_thread;
	struct thread *t;

	t = machine_cur(m);
	if (t->state == T_RUN && !m->resched)
		return (t);
	m->resched = 0;
	for (k = 1; k <= n; k++) {
		i = (m->proc.cur + k) % n;
		if (m->thread[i].state != T_RUN)
			continue;
		if (i != m->proc.cur && switch_to(m, i) != 0)
			return (NULL);
		return (&m->thread[i]);
	}
	return (NULL);
}

/* ---- exits --------------------------------------------------------------------------- */

void
machine_call_of(struct thread *t, uint64_t nr)
{

	t->nr = nr;
	t->a[0] = t->regs.rdi;
	t->a[1] = t->regs.rsi;
	t->a[2] = t->regs.rdx;
	t->a[3] = t->regs.r10;
	t->a[4] = t->regs.r8;
	t->a[5] = t->regs.r9;
}

static void
on_syscall(struct machine *m)
{
	const uint32_t before = m->proc.nthreads;
	struct thread *t;
	unsigned flags;
	int64_t r;
	int k;

	handoff_take(m);
	t = machine_cur(m);
	vcpu_user_regs(m->vcpu, &t->regs, &k);
	m->exit_of = (int)m->proc.cur;
	machine_call_of(t, t->regs.rax);
	t->restart = t->first = 0;
	t->woken = 0;
	futex_deferred(m);
	flags = t->nr < SYS_MAX ? sys_table[t->nr].flags : 0;
	if (flags & SYS_BASES)
		bases(m);
	if (flags & SYS_CPUTIME)
		account(m);
	r = linux_call(m, t);
	linux_trace(m, t, r);
	if (m->proc.nthreads != before)
		vvar_update(m);
	if (t->state == T_FREE)
		return;			/* it was exit(2) */
	if (r == SYS_BLOCK) {
		t->state = T_WAIT;
		t->seen_gen = m->gk->gen;
		t->wait_seq = ++m->proc.wait_seq;
		call_hold(m, t);
		return;
	}
	call_done(m, t, r);
	if (flags & SYS_SETBASES)
		m->pend = PEND_USER;
}

/* A fault on a page that is mapped: a translation KVM still holds. */
static int
spurious(struct machine *m, uint64_t addr)
{
	uint64_t gpa;

	if (m->spurious_addr != PAGE_DOWN(addr)) {
		m->spurious_addr = PAGE_DOWN(addr);
		m->spurious = 0;
	}
	if (++m->spurious < SPURIOUS_FLUSH)
		return (0);
	gpa = as_gpa(m->as, addr);
	if (gpa != 0) {
		flush_add(m->as, PAGE_DOWN(gpa), PAGE_SZ);
		flush_commit(m->as);
	}
	return (m->spurious > SPURIOUS_DIE ? -1 : 0);
}

static void
out_of_memory(struct machine *m)
{

	if (m->stage == M_SERVE)
		machine_fail(m, TKVM_E_LIMIT, "out of memory: the request "
		    "used more than max-request-memory (%u MiB)",
		    m->opt->max_request_memory);
	else
		machine_fail(m, TKVM_E_LIMIT, "out of memory: the program "
		    "needs more than max-main-memory (%u MiB)",
		    m->opt->max_main_memory);
}

/* 1: handled, go on where it was; 0: this signal is due */
static int
page_fault(struct machine *m, int *sig, int *code)
{
	const uint64_t ec = m->vcpu->error_code, addr = m->vcpu->cr2;
	uint64_t before = m->as->faults;
	int i;

	*sig = SIGSEGV;
	*code = SEGV_MAPERR;
	if (addr < GVA_USER_MIN || addr >= GVA_USER_END)
		return (0);
	i = as_fault(m->as, addr, (ec & 0x10) ? AS_X : (ec & 2) ? AS_W : AS_R);
	if (i == -ENOMEM) {
		out_of_memory(m);
		return (1);
	}
	if (i == -EACCES)
		*code = SEGV_ACCERR;
	if (i == -ENXIO) {		/* behind the end of a file */
		*sig = SIGBUS;
		*code = BUS_ADRERR;
	}
	if (i != 0)
		return (0);
	m->st.faults++;
	if (before != m->as->faults)
		m->spurious = 0;
	else if (spurious(m, addr) != 0) {
		machine_fail(m, TKVM_E_INTERNAL, "endless page faults at "
		    "0x%lx", (unsigned long)addr);
	}
	return (1);
}

static void
on_fault(struct machine *m)
{
	struct vcpu *v = m->vcpu;
	struct thread *t;
	struct kvm_regs regs;
	int code = 0, in_kernel, sig = SIGSEGV;

	vcpu_user_regs(v, &regs, &in_kernel);
	if (!in_kernel)
		handoff_take(m);
	t = machine_cur(m);
	if (v->vector == 14 && page_fault(m, &sig, &code)) {
		m->in_blob = in_kernel;
		if (in_kernel)
			vcpu_set_kernel(v, 0);
		else {
			t->regs = regs;
			m->pend = PEND_USER;
		}
		return;
	}
	if (in_kernel && v->vector == 14 && regs.rip == kern_copy()) {
		m->in_blob = 1;
		vcpu_set_kernel(v, kern_efault());
		return;
	}
	if (v->vector == 2 || v->vector == 8 || v->vector == 18 ||
	    (in_kernel && (v->frame_cs & 3) == 0)) {
		machine_fail(m, TKVM_E_CRASH, "exception %u in the guest's "
		    "kernel half at 0x%lx", v->vector,
		    (unsigned long)regs.rip);
		return;
	}
	t->regs = regs;
	m->pend = PEND_USER;
	m->exit_of = -1;
	trap_signal(m, t, sig, code);
}

/* Kicked: why? */
static void
on_kick(struct machine *m)
{
	struct kvm_regs regs;
	int in_kernel;

	vcpu_unkick(m->vcpu);
	m->kicked = 1;
	vcpu_user_regs(m->vcpu, &regs, &in_kernel);
	if (in_kernel) {
		(void)vvar_leave(m, 1);
		m->in_blob = 1;
		return;
	}
	handoff_take(m);
	machine_cur(m)->regs = regs;
	m->exit_of = -1;
	m->resched = 1;
	m->pend = PEND_USER;
}

/* The blob came out as it was told to, or with news of a connection. */
static void
on_leave(struct machine *m)
{
	int k;

	handoff_take(m);
	vcpu_user_regs(m->vcpu, &machine_cur(m)->regs, &k);
	if (vvar_leave(m, 0))
		m->resched = 1;
	m->exit_of = -1;
	m->pend = PEND_USER;
}

/* ---- the loop ------------------------------------------------------------------------- */

static void
enter(struct machine *m, struct thread *t)
{

	switch (m->pend) {
	case PEND_RESULT:
		vcpu_set_result(m->vcpu, t->regs.rax);
		break;
	case PEND_USER:
		bases(m);
		if (handoff_starts(m))
			vcpu_start(m->vcpu, kern_start(m->vm->host, 0),
			    &t->regs, t->fs_base, t->gs_base);
		else
			vcpu_set_user(m->vcpu, &t->regs, t->fs_base,
			    t->gs_base);
		break;
	default:
		break;
	}
	m->pend = PEND_NONE;
}

/* The connection whose request is served, unless the guest has closed it. */
static const struct gk_ofd *
served(const struct machine *m)
{
	const struct gk_ofd *o;

	if (m->conn < 0)
		return (NULL);
	o = &m->gk->ofd[m->conn];
	return (o->kind == GK_CONN && o->u.conn.id == m->conn_id ? o : NULL);
}

/* Did the guest say something that the caller should see now? */
static int
output_due(struct machine *m)
{
	const struct gk_ofd *o;
	uint64_t now;

	if (m->kicked && m->limit != ~0UL && host_mono() >= m->limit)
		return (1);
	m->kicked = 0;
	o = served(m);
	if (o == NULL)
		return (0);
	if (o->u.conn.orphan || o->u.conn.tx.shut)
		return (1);
	if (o->u.conn.tx.head == o->u.conn.tx.tail) {
		m->out_since = 0;
		return (0);
	}
	now = host_mono();
	if (m->out_since == 0) {
		/* the watchdog may have seen it before */
		m->out_since = atomic_load(&m->wd->out_since);
		if (m->out_since == 0)
			m->out_since = now;
		atomic_store(&m->wd->out_since, m->out_since);
	}
	return (now - m->out_since >= 2000000);
}

/* All wait, and one of them perhaps for room in the ring. */
static int
ring_full(const struct machine *m)
{
	const struct gk_ofd *o = m->want_output ? served(m) : NULL;

	return (o != NULL && o->u.conn.tx.head - o->u.conn.tx.tail >=
	    o->u.conn.tx.cap);
}

void
machine_too_long(struct machine *m)
{

	if (m->time_limit >= m->opt->max_request_time - 1e-3)
		machine_fail(m, TKVM_E_TIMEOUT, "the request took longer than "
		    "max-request-time (%g s)", m->opt->max_request_time);
	else
		machine_fail(m, TKVM_E_TIMEOUT, "the request took longer than "
		    "the %.3f s that its caller had left for it",
		    m->time_limit);
}

static int
expired(struct machine *m)
{

	if (m->err.code != TKVM_OK)
		return (1);
	if (m->proc.exited) {
		machine_fail(m, TKVM_E_EXIT,
		    "the program exited with status %d",
		    (m->proc.exit_status >> 8) & 0xff);
		return (1);
	}
	if (!atomic_load(&m->wd->expired))
		return (0);
	if (m->cancel != NULL && *m->cancel)
		machine_fail(m, TKVM_E_BOOT, "cancelled");
	else if (atomic_load(&m->wd->expired) == WD_EXPIRED_CPU)
		machine_fail(m, TKVM_E_TIMEOUT, "the request used more CPU "
		    "time than max-request-cpu-time (%g s)",
		    m->opt->max_request_cpu_time);
	else if (m->stage == M_SERVE)
		machine_too_long(m);
	else
		machine_fail(m, TKVM_E_TIMEOUT,
		    "no end after max-boot-time (%g s)",
		    m->opt->max_boot_time);
	return (1);
}

/*
 * When the thread that runs now has to be interrupted at the latest (host ns):
 * others are to have their turn, or a timer is due.  Not for nothing: a tick
 * costs 2 % of the time.  What its own calls do for those who wait, without an
 * exit, the watchdog sees by gk->gen.
 */
static uint64_t
tick_due(struct machine *m)
{
	uint64_t now, left, cpu = ~0UL;
	unsigned i;

	if (m->nwaitfd > 0)
		return (0);
	if (m->proc.nthreads > 1)
		for (i = 0; i < m->proc.hi_thread; i++)
			if (i != m->proc.cur && m->thread[i].state == T_RUN)
				return (0);
	if (m->proc.cpu_timed) {
		account(m);
		left = cputime_left(m);
		if (left == 0)
			return (0);
		cpu = left == ~0UL ? left : m->cpu_since + left;
	}
	if (m->next_wake == ~0UL)
		return (cpu);
	now = machine_mono(m);
	if (m->next_wake <= now)
		return (0);
	left = host_mono() + m->next_wake - now;
	return (left < cpu ? left : cpu);
}

/*
 * Between two calls of the program threads may change, and the caller may look
 * at a connection.  1: *r is for the caller; 0: run on; -1: look again.
 */
static int
between(struct machine *m, enum tkvm_run *r)
{
	struct thread *t = machine_cur(m);

	futex_deferred(m);
	*r = TKVM_RUN_OUTPUT;
	if (m->want_output && output_due(m))
		return (1);
	if (t->state != T_RUN || m->resched || (m->proc.nthreads > 1 &&
	    (m->futex_woke || m->woke_gen != m->gk->gen)))
		wake_waiters(m);
	t = pick(m);
	if (m->err.code != TKVM_OK)
		return (-1);
	if (t == NULL) {
		/* a look at the rest may have changed something */
		if (m->woke_gen != m->gk->gen || m->futex_woke)
			return (-1);
		if (!ring_full(m))
			*r = TKVM_RUN_IDLE;
		return (1);
	}
	if (signal_pending(m, t) && signal_deliver(m, t))
		m->pend = PEND_USER;
	atomic_store_explicit(&m->wd->tick, tick_due(m),
	    memory_order_relaxed);
	atomic_store_explicit(&m->wd->seen, m->proc.nthreads > 1 ?
	    m->woke_gen : ~0UL, memory_order_relaxed);
	return (m->err.code != TKVM_OK ? -1 : 0);
}

static enum tkvm_run
loop(struct machine *m)
{
	enum tkvm_run r;
	int i;

	for (;;) {
		if (expired(m))
			return (TKVM_RUN_GONE);
		/* In the blob a call is half done: that comes first. */
		i = m->in_blob ? 0 : between(m, &r);
		if (i > 0)
			return (r);
		if (i < 0)
			continue;
		if (!m->in_blob) {
			inside_give(m);
			handoff_give(m);
		}
		if (m->fwait_stale && !m->in_blob)
			futex_publish(m);
		enter(m, machine_cur(m));
		gk_marks(m);
		m->st.exits++;
		m->bases_ok = 0;
		m->in_blob = 0;
		switch (vcpu_run(m->vcpu)) {
		case VX_SYSCALL:
			on_syscall(m);
			break;
		case VX_LEAVE:
			on_leave(m);
			break;
		case VX_FAULT:
			on_fault(m);
			break;
		case VX_INTR:
			on_kick(m);
			break;
		case VX_BROKEN:
			machine_fail(m, TKVM_E_CRASH, "the virtual machine "
			    "stopped: %s", m->vcpu->why);
			break;
		}
	}
}

/*
 * max-request-cpu-time: when this run is to end, by this thread's CPU time,
 * which is returned.  ~0: no such limit, and nobody looks.
 */
static uint64_t
cpu_limit(struct machine *m)
{
	uint64_t now, max;

	m->wd->cpu_end = ~0UL;
	if (m->stage != M_SERVE || m->opt->max_request_cpu_time <= 0)
		return (~0UL);
	now = host_cpu(0);
	max = (uint64_t)(m->opt->max_request_cpu_time * 1e9);
	m->wd->cpu_end = now + (m->cpu_ns < max ? max - m->cpu_ns : 0);
	return (now);
}

enum tkvm_run
machine_run(struct machine *m, int want_output)
{
	const struct gk_ofd *o;
	enum tkvm_run r;
	uint64_t t0, cpu0;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	t0 = host_mono();
	m->want_output = want_output;
	m->out_since = 0;
	m->cpu_since = t0;
	m->wd->limit = want_output ? m->limit : ~0UL;
	o = want_output ? served(m) : NULL;
	m->wd->ring = o != NULL ? &o->u.conn.tx : NULL;
	m->wd->gen = &m->gk->gen;
	cpu0 = cpu_limit(m);
	wd_arm(m->wd, m->deadline, m->cancel);
	if (t0 >= m->deadline)
		atomic_store(&m->wd->expired, WD_EXPIRED);
	r = loop(m);
	wd_disarm(m->wd);
	if (cpu0 != ~0UL)
		m->cpu_ns += host_cpu(0) - cpu0;
	file_log_flush(m);
	account(m);
	m->st.run_ns += m->cpu_since - t0;
	return (r);
}
