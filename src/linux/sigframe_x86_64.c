/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The frame of a signal handler on the user stack, as Linux x86-64 lays it
 * out, and rt_sigreturn(2), which takes one back.
 *
 *	fpstate, 64 bytes aligned	XSAVE area, then FP_XSTATE_MAGIC2
 *	struct rt_frame			return address, ucontext, siginfo
 *
 * What rt_sigreturn reads was in the program's hands: every value is brought
 * into range before it can reach KVM.
 */

#include <errno.h>
#include <signal.h>

#include "layout.h"
#include "linux/sys_proc.h"
#include "obj.h"

#define RED_ZONE	128

/* RFLAGS: what a user may choose (AC OF DF TF SF ZF AF PF CF) */
#define FL_USER		0x40dd5UL
#define FL_TF		0x00100UL
#define FL_DF		0x00400UL
#define FL_RF		0x10000UL

#define UC_FP_XSTATE	1UL
#define UC_SIGCONTEXT_SS 2UL
#define UC_STRICT_RESTORE_SS 4UL

/* struct sigcontext_64 */
struct mcontext {
	uint64_t	r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t	rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	uint16_t	cs, gs, fs, ss;
	uint64_t	error_code, trapno, oldmask, cr2;
	uint64_t	fpstate;
	uint64_t	reserved[8];
};
_Static_assert(sizeof(struct mcontext) == 256, "struct sigcontext_64");

struct rt_frame {
	uint64_t	pretcode;
	struct {
		uint64_t	flags, link;
		struct guest_stack stack;
		struct mcontext	mc;
		uint64_t	sigmask;
	} uc;
	struct guest_siginfo info;
};
_Static_assert(sizeof(struct rt_frame) == 8 + 304 + 128, "struct rt_sigframe");

/* ---- the XSAVE area -------------------------------------------------- */

#define FX_SIZE		512
#define XHDR_END	576
#define XF_FP		1UL
#define XF_SSE		2UL
#define X_MAGIC1	0x46505853U
#define X_MAGIC2	0x46505845U

/* Its start: FXSAVE's 512 bytes and the header behind them */
struct xarea {
	uint16_t	fcw, fsw;
	uint8_t		ftw[4];
	uint64_t	fip, fdp;
	uint32_t	mxcsr, mxcsr_mask;
	uint8_t		st[128];
	uint8_t		xmm[256];
	uint8_t		pad[48];
	struct {			/* struct _fpx_sw_bytes */
		uint32_t	magic1, extended_size;
		uint64_t	xfeatures;
		uint32_t	xstate_size, pad[7];
	} sw;
	uint64_t	xstate_bv, xcomp_bv, reserved[6];
};
_Static_assert(sizeof(struct xarea) == XHDR_END, "XSAVE header");

union xbuf {
	struct kvm_xsave k;
	struct xarea	x;
	uint8_t		b[sizeof(struct kvm_xsave)];
};

static uint32_t
xsize(const struct machine *m)
{
	unsigned size = machine_xsave_size(m);

	if (size < XHDR_END)
		size = XHDR_END;
	if (size > sizeof(union xbuf))
		size = sizeof(union xbuf);
	return (size);
}

static void
x87_init(struct xarea *x)
{

	memset(x, 0, offsetof(struct xarea, mxcsr));
	memset(x->st, 0, sizeof(x->st));
	x->fcw = 0x37f;
}

/*
 * Components 0 and 1 are always said to be present, so that their bytes and
 * MXCSR mean what they say.
 */
static void
legacy_present(struct xarea *x)
{

	if (!(x->xstate_bv & XF_FP))
		x87_init(x);
	if (!(x->xstate_bv & XF_SSE))
		memset(x->xmm, 0, sizeof(x->xmm));
	x->xstate_bv |= XF_FP | XF_SSE;
}

static void
xarea_init(union xbuf *xb)
{
	uint32_t mask = xb->x.mxcsr_mask;

	memset(xb, 0, sizeof(*xb));
	xb->x.mxcsr = 0x1f80;
	xb->x.mxcsr_mask = mask;
	legacy_present(&xb->x);
}

/* t's vector state to the stack; a fresh one for the handler */
static int
put_fpstate(struct machine *m, struct thread *t, uint64_t ufp, uint32_t size)
{
	static const uint32_t magic2 = X_MAGIC2;
	union xbuf xb;

	memset(&xb, 0, sizeof(xb));
	if (machine_get_xsave(m, t, &xb.k))
		return (-EFAULT);
	legacy_present(&xb.x);
	memset(&xb.x.sw, 0, sizeof(xb.x.sw));
	xb.x.sw.magic1 = X_MAGIC1;
	xb.x.sw.extended_size = size + (uint32_t)sizeof(magic2);
	xb.x.sw.xfeatures = machine_xcr0(m);
	xb.x.sw.xstate_size = size;
	if (as_write(m->as, ufp, xb.b, size) ||
	    as_write(m->as, ufp + size, &magic2, sizeof(magic2)))
		return (-EFAULT);
	xarea_init(&xb);
	return (machine_set_xsave(m, t, &xb.k) ? -EFAULT : 0);
}

/* Is there more than FXSAVE's part in the frame?  Then its size, else 0. */
static uint32_t
extended_size(struct machine *m, uint64_t ufp, const struct xarea *x)
{
	uint32_t magic2, size = x->sw.xstate_size;

	if (x->sw.magic1 != X_MAGIC1 || size < XHDR_END || size > xsize(m) ||
	    x->sw.extended_size < size)
		return (0);
	if (as_read(m->as, ufp + size, &magic2, sizeof(magic2)) ||
	    magic2 != X_MAGIC2)
		return (0);
	return (size);
}

/* KVM refuses these; Linux's XRSTOR faults on them. */
static int
bad_header(struct machine *m, const struct xarea *x)
{
	uint64_t bits = x->xcomp_bv;
	unsigned u;

	for (u = 0; u < NELEM(x->reserved); u++)
		bits |= x->reserved[u];
	return (bits != 0 || (x->xstate_bv & ~machine_xcr0(m)) != 0);
}

/* What a frame says the vector state is, checked; 0 or -EFAULT */
static int
get_fpstate(struct machine *m, struct thread *t, uint64_t ufp, union xbuf *xb)
{
	uint32_t mask, size;

	memset(xb, 0, sizeof(*xb));
	if (machine_get_xsave(m, t, &xb->k))
		return (-EFAULT);
	mask = xb->x.mxcsr_mask;
	if (ufp == 0) {
		xarea_init(xb);
		return (0);
	}
	memset(xb, 0, sizeof(*xb));
	if (as_read(m->as, ufp, xb->b, FX_SIZE))
		return (-EFAULT);
	size = extended_size(m, ufp, &xb->x);
	if (size == 0) {
		xb->x.xstate_bv = XF_FP | XF_SSE;
	} else {
		if (as_read(m->as, ufp + FX_SIZE, xb->b + FX_SIZE,
		    size - FX_SIZE))
			return (-EFAULT);
		if (bad_header(m, &xb->x))
			return (-EFAULT);
		xb->x.xstate_bv &= xb->x.sw.xfeatures;
	}
	memset(&xb->x.sw, 0, sizeof(xb->x.sw));
	xb->x.mxcsr_mask = mask;
	xb->x.mxcsr &= mask != 0 ? mask : 0xffbf;
	legacy_present(&xb->x);
	return (0);
}

/* ---- general registers ----------------------------------------------- */

static void
put_regs(const struct thread *t, struct mcontext *mc)
{
	const struct kvm_regs *r = &t->regs;

	*mc = (struct mcontext){
		.r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11,
		.r12 = r->r12, .r13 = r->r13, .r14 = r->r14, .r15 = r->r15,
		.rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx,
		.rdx = r->rdx, .rax = r->rax, .rcx = r->rcx, .rsp = r->rsp,
		.rip = r->rip, .rflags = r->rflags,
		.cs = SEL_UCS, .ss = SEL_USS,
		.error_code = t->error_code, .trapno = t->trapno,
		.cr2 = t->cr2,
	};
}

static void
get_regs(struct kvm_regs *r, const struct mcontext *mc)
{

	*r = (struct kvm_regs){
		.r8 = mc->r8, .r9 = mc->r9, .r10 = mc->r10, .r11 = mc->r11,
		.r12 = mc->r12, .r13 = mc->r13, .r14 = mc->r14, .r15 = mc->r15,
		.rdi = mc->rdi, .rsi = mc->rsi, .rbp = mc->rbp, .rbx = mc->rbx,
		.rdx = mc->rdx, .rax = mc->rax, .rcx = mc->rcx, .rsp = mc->rsp,
		.rip = mc->rip,
		.rflags = (r->rflags & ~(FL_USER | FL_RF)) |
		    (mc->rflags & FL_USER),
	};
}

void
sigframe_rewind(struct thread *t, uint64_t nr)
{

	t->regs.rip -= 2;
	t->regs.rax = nr;
}

/* ---- building -------------------------------------------------------- */

static int
on_stack(const struct thread *t, uint64_t sp)
{

	return (sp > t->alt_sp && sp - t->alt_sp <= t->alt_size);
}

/* Where the frame goes, and the vector state above it; 0 or -EFAULT */
static int
place(const struct thread *t, uint64_t sa_flags, uint32_t fpsize,
    uint64_t *frame, uint64_t *fp)
{
	uint64_t sp = t->regs.rsp - RED_ZONE;
	int alt = altstack_on(t, t->regs.rsp);

	if ((sa_flags & SA_ONSTACK) && t->alt_size != 0 &&
	    !altstack_on(t, sp)) {
		sp = t->alt_sp + t->alt_size;
		alt = 1;
	}
	sp = (sp - fpsize - sizeof(uint32_t)) & ~63UL;
	*fp = sp;
	/* As at a function's entry: 8 below a multiple of 16 */
	sp = ((sp - sizeof(struct rt_frame)) & ~15UL) - 8;
	*frame = sp;
	if (alt && !on_stack(t, sp))
		return (-EFAULT);
	return (0);
}

int
sigframe_push(struct machine *m, struct thread *t, int sig,
    const struct ksigaction *act, const struct guest_siginfo *si,
    uint64_t oldmask)
{
	struct rt_frame f;
	uint64_t frame, fp;
	uint32_t size = xsize(m);

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (!(act->flags & GUEST_SA_RESTORER) || act->handler >= GVA_USER_END)
		return (-EFAULT);
	if (place(t, act->flags, size, &frame, &fp))
		return (-EFAULT);
	memset(&f, 0, sizeof(f));
	f.pretcode = act->restorer;
	f.uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	f.uc.stack.sp = t->alt_sp;
	f.uc.stack.size = t->alt_size;
	f.uc.stack.flags = t->alt_size != 0 ? t->alt_flags : SS_DISABLE;
	put_regs(t, &f.uc.mc);
	f.uc.mc.oldmask = oldmask;
	f.uc.mc.fpstate = fp;
	f.uc.sigmask = oldmask;
	f.info = *si;
	if (as_write(m->as, frame, &f, sizeof(f)) ||
	    put_fpstate(m, t, fp, size))
		return (-EFAULT);

	if (t->alt_flags & GUEST_SS_AUTODISARM) {
		t->alt_sp = t->alt_size = 0;
		t->alt_flags = SS_DISABLE;
	}
	t->regs.rip = act->handler;
	t->regs.rsp = frame;
	t->regs.rax = 0;
	t->regs.rdi = (uint64_t)sig;
	t->regs.rsi = frame + offsetof(struct rt_frame, info);
	t->regs.rdx = frame + offsetof(struct rt_frame, uc);
	t->regs.rflags &= ~(FL_TF | FL_DF | FL_RF);
	return (0);
}

/* ---- going back ------------------------------------------------------ */

static int64_t
bad_frame(struct machine *m, struct thread *t)
{

	(void)signal_force(m, t, SIGSEGV, "bad frame in rt_sigreturn");
	return (SYS_NORETURN);
}

int64_t
sys_rt_sigreturn(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct rt_frame f;
	struct kvm_regs regs = t->regs;
	union xbuf xb;
	uint64_t frame = t->regs.rsp - sizeof(f.pretcode);

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)a;
	/* The siginfo is of no interest. */
	memset(&f, 0, sizeof(f));
	if (as_read(m->as, frame, &f, offsetof(struct rt_frame, info)))
		return (bad_frame(m, t));
	get_regs(&regs, &f.uc.mc);
	if (regs.rip >= GVA_USER_END || regs.rsp > GVA_USER_END)
		return (bad_frame(m, t));
	if (get_fpstate(m, t, f.uc.mc.fpstate, &xb) ||
	    machine_set_xsave(m, t, &xb.k))
		return (bad_frame(m, t));
	t->regs = regs;
	t->sigmask = f.uc.sigmask & ~SIG_UNBLOCKABLE;
	(void)altstack_set(t, regs.rsp, &f.uc.stack);
	return (SYS_NORETURN);
}
