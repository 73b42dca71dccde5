/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Threads that the blob may change between without an exit: what the VMM gives
 * it to go on with before an entry, and what has become of them after an exit.
 *
 * A thread that waits for a futex without a time-out is given; its registers
 * and vector state then lie in its page at GPA_THR_AREA.  On software back
 * ends the program can write there: what is read is checked, or is no more
 * than the program could do to its registers anyway.
 */

#include <string.h>

#include "linux/dispatch.h"
#include "machine/priv.h"

#define NR_FUTEX	202
#define XSAVE_HEADER	512
#define CR4_OSXSAVE	(1UL << 18)
#define RFLAGS_TF	0x100UL

_Static_assert(sizeof(struct gk_thrs) <= PAGE_SZ, "the page at GPA_THR");
_Static_assert(sizeof(struct gk_thr_area) == PAGE_SZ, "a page each");
_Static_assert(offsetof(struct gk_thr_area, gs) == THR_GS, "known to blob.S");

static struct gk_thrs *
thrs(struct machine *m)
{

	return ((void *)(m->as->base + GPA_THR));
}

static struct gk_thr_area *
area(struct machine *m, unsigned i)
{

	return ((void *)(m->as->base + GPA_THR_AREA +
	    i * sizeof(struct gk_thr_area)));
}

/* The host needs XSAVE in the guest, which old kernels may not give. */
int
handoff_possible(const struct kvmhost *h)
{

	return (h->pub.entry == TKVM_RING3 || (h->cr4 & CR4_OSXSAVE) != 0);
}

/* ---- before an entry ------------------------------------------------------------------ */

static void
regs_give(struct gk_thr_area *to, const struct thread *t)
{
	const struct kvm_regs *r = &t->regs;

	to->rax = NR_FUTEX;
	to->rbx = r->rbx;
	to->rdx = r->rdx;
	to->rsi = r->rsi;
	to->rdi = r->rdi;
	to->rbp = r->rbp;
	to->rsp = r->rsp;
	to->r8 = r->r8;
	to->r9 = r->r9;
	to->r10 = r->r10;
	to->r12 = r->r12;
	to->r13 = r->r13;
	to->r14 = r->r14;
	to->r15 = r->r15;
	to->rip = r->rip;
	to->rflags = r->rflags;
	to->fs = t->fs_base;
	to->gs = t->gs_base;
}

/*
 * The standard form, whatever KVM or the program say there, with x87 and SSE
 * (see vcpu_get_xsave()) and no component that XRSTOR would fault on.
 */
static void
xsave_header(uint8_t *x)
{
	uint64_t bv;

	memcpy(&bv, x + XSAVE_HEADER, 8);
	bv = (bv & THR_XMASK) | 3;
	memcpy(x + XSAVE_HEADER, &bv, 8);
	memset(x + XSAVE_HEADER + 8, 0, 56);
}

/* ---- how a request starts ------------------------------------------------------------ */

void
handoff_start(struct machine *m)
{
	struct gk_thr_area *a = (void *)(m->as->base + GPA_START);
	const struct thread *t = &m->thread[m->proc.cur];

	memcpy(a->xsave, m->xsave[m->proc.cur], sizeof a->xsave);
	xsave_header(a->xsave);
	regs_give(a, t);
	/* The blob goes there by sysret, or a jump. */
	m->can_start = handoff_possible(m->vm->host) &&
	    t->regs.rip >= GVA_USER_MIN && t->regs.rip < GVA_USER_END &&
	    t->regs.rcx == t->regs.rip &&
	    t->regs.r11 == t->regs.rflags && (t->regs.rflags & RFLAGS_TF) == 0;
}

int
handoff_starts(const struct machine *m)
{
	const struct machine *im = m->image;
	const struct thread *t, *was;
	struct kvm_regs r;

	if (m->vcpu->owed == NULL || !im->can_start ||
	    m->proc.cur != im->proc.cur)
		return (0);
	t = &m->thread[m->proc.cur];
	was = &im->thread[m->proc.cur];
	r = t->regs;
	r.rax = was->regs.rax;
	return (memcmp(&r, &was->regs, sizeof r) == 0 &&
	    t->fs_base == was->fs_base && t->gs_base == was->gs_base);
}

/* ---- threads, before an entry ---------------------------------------------------------- */

static int
give(struct machine *m, unsigned i)
{
	struct thread *t = &m->thread[i];
	struct gk_thr_area *to = area(m, i);
	const struct kvm_xsave *x;

	as_mark(m->as, GPA_THR_AREA + i * sizeof *to, sizeof *to);
	if (!m->xs_blob[i]) {
		x = machine_parked(m, i);
		if (x == NULL)
			return (-1);
		memcpy(to->xsave, x, sizeof to->xsave);
		xsave_header(to->xsave);
		m->xs_blob[i] = 1;
	}
	regs_give(to, t);
	return (0);
}

/* The blob returns by sysret, so RIP has to be the program's. */
static int
can_give(const struct machine *m, unsigned i)
{
	const struct thread *t = &m->thread[i];

	return (t->state == T_WAIT && t->nr == NR_FUTEX && t->futex != 0 &&
	    t->futex_bits != 0 && !t->woken && t->deadline == ~0UL &&
	    t->regs.rip >= GVA_USER_MIN && t->regs.rip < GVA_USER_END);
}

static void
thr_set(struct machine *m, struct gk_thr *q, unsigned i)
{
	const struct thread *t = &m->thread[i];

	if (i == m->proc.cur)
		q->state = THR_CUR;
	else if (!can_give(m, i))
		q->state = THR_VMM;
	else if (q->state != THR_WAIT || q->seq != t->futex_seq ||
	    q->addr != t->futex) {
		q->addr = t->futex;
		q->bits = t->futex_bits;
		q->seq = t->futex_seq;
		q->state = give(m, i) == 0 ? THR_WAIT : THR_VMM;
		m->fwait_stale = 1;
	}
	q->tid = (uint32_t)t->tid;
}

void
handoff_give(struct machine *m)
{
	struct gk_thrs *s = thrs(m);
	const int was = m->handed;
	unsigned i, n = m->proc.hi_thread;

	m->handed = m->proc.nthreads > 1 && m->proc.cur < GK_NTHR &&
	    !m->opt->verbose_syscalls && handoff_possible(m->vm->host);
	if (m->handed != was)
		m->fwait_stale = 1;
	if (!m->handed) {
		if (s->on) {
			as_mark(m->as, GPA_THR, sizeof *s);
			s->on = 0;
		}
		return;
	}
	as_mark(m->as, GPA_THR, sizeof *s);
	if (n > GK_NTHR)
		n = GK_NTHR;
	for (i = 0; i < n; i++)
		thr_set(m, &s->thr[i], i);
	s->cur = m->proc.cur;
	s->n = n;
	s->seq = m->proc.futex_seq;
	s->changed[0] = s->changed[1] = 0;
	s->on = 1;
}

int
machine_handed(struct machine *m, unsigned i)
{

	return (m->handed && i < GK_NTHR && thrs(m)->thr[i].state == THR_WAIT);
}

/* ---- after an exit -------------------------------------------------------------------- */

static void
regs_take(struct thread *t, const struct gk_thr_area *from)
{
	struct kvm_regs *r = &t->regs;

	memset(r, 0, sizeof *r);
	r->rax = from->rax;
	r->rbx = from->rbx;
	r->rdx = from->rdx;
	r->rsi = from->rsi;
	r->rdi = from->rdi;
	r->rbp = from->rbp;
	r->rsp = from->rsp;
	r->r8 = from->r8;
	r->r9 = from->r9;
	r->r10 = from->r10;
	r->r12 = from->r12;
	r->r13 = from->r13;
	r->r14 = from->r14;
	r->r15 = from->r15;
	r->rip = r->rcx = from->rip;
	r->rflags = r->r11 = from->rflags;
	t->fs_base = from->fs;
	t->gs_base = from->gs;
}

/* It is inside this call. */
static void
call_take(struct thread *t, uint64_t nr)
{

	t->state = T_WAIT;
	machine_call_of(t, nr);
	t->deadline = ~0UL;
	t->progress = 0;
}

/* A call that the blob can make, so one of the in-memory kernel's */
static int
is_call(uint64_t nr)
{

	return (nr < SYS_MAX && (sys_table[nr].flags & SYS_GK) != 0);
}

static void
take(struct machine *m, unsigned i)
{
	struct thread *t = &m->thread[i];
	struct gk_thr_area a;
	struct gk_thr q;

	q = thrs(m)->thr[i];
	if (t->state == T_FREE || q.state == THR_VMM || q.state == THR_CUR)
		return;
	memcpy(&a, area(m, i), sizeof a);
	regs_take(t, &a);
	m->xs_blob[i] = 1;
	t->state = T_RUN;
	t->futex = 0;
	t->restart = t->woken = t->first = 0;
	if (q.state == THR_WAIT && q.addr % 4 == 0 && q.addr < GVA_USER_END) {
		call_take(t, NR_FUTEX);
		t->futex = q.addr;
		t->futex_bits = q.bits;
		t->futex_seq = q.seq;
	} else if (q.state == THR_RETRY && is_call(a.rax)) {
		/* made by the VMM soon: signals and time-outs count from now */
		call_take(t, a.rax);
		t->first = 1;
		t->wait_seq = ++m->proc.wait_seq;
		m->futex_woke = 1;
	}
}

void
handoff_take(struct machine *m)
{
	struct gk_thrs *s = thrs(m);
	const uint64_t changed[2] = { s->changed[0], s->changed[1] };
	const uint32_t cur = s->cur;
	unsigned i, n = m->proc.hi_thread;

	inside_take(m);
	if (!m->handed || (changed[0] | changed[1]) == 0)
		return;
	for (i = 0; i < n && i < GK_NTHR; i++)
		if (changed[i / 64] & (1UL << (i % 64)))
			take(m, i);
	s->changed[0] = s->changed[1] = 0;
	if (s->seq > m->proc.futex_seq)
		m->proc.futex_seq = s->seq;
	m->fwait_stale = 1;
	if (cur == m->proc.cur)
		return;
	if (cur >= n || m->thread[cur].state == T_FREE) {
		machine_fail(m, TKVM_E_CRASH, "the table of threads is broken");
		return;
	}
	machine_now(m, cur);
}

const struct kvm_xsave *
handoff_xsave(struct machine *m, unsigned i, struct kvm_xsave *x)
{

	if (x == NULL)
		return (NULL);
	memset(x, 0, sizeof *x);
	memcpy(x, area(m, i)->xsave, sizeof area(m, i)->xsave);
	xsave_header((uint8_t *)x);
	return (x);
}
