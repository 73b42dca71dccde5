/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A vCPU: set-up, running, and what an exit means.
 *
 * The guest leaves by `out` to PORT_SYSCALL or PORT_LEAVE with the program's
 * registers in place (RCX and R11 as `syscall` left them), or by `out` to PORT_VECTOR + n
 * with an exception frame on the IST stack.  Where system calls arrive in
 * ring 0 the entry code returns by sysret, so going on after a call changes
 * RAX only; everything else sets a complete user state.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "kvm/kvm.h"
#include "layout.h"
#include "obj.h"

#define CR0_BITS	0x80050033UL	/* PG AM WP NE ET MP PE */
#define EFER_BITS	0xd01UL		/* NXE LMA LME SCE */
#define CR4_PGE		(1UL << 7)
#define RFLAGS_USER	0x240dd5UL	/* ID AC OF DF TF SF ZF AF PF CF */
#define RFLAGS_FIXED	0x202UL
#define FMASK_BITS	0x47700UL	/* AC NT IOPL DF IF TF */

#define MSR_STAR	0xc0000081u
#define MSR_LSTAR	0xc0000082u
#define MSR_CSTAR	0xc0000083u
#define MSR_FMASK	0xc0000084u

static void
set_code(struct kvm_segment *s, unsigned ring)
{

	memset(s, 0, sizeof *s);
	s->limit = ~0u;
	s->selector = ring ? SEL_UCS : SEL_KCS;
	s->type = 0xb;
	s->present = s->s = s->l = s->g = 1;
	s->dpl = ring;
}

static void
set_data(struct kvm_segment *s, unsigned ring)
{

	memset(s, 0, sizeof *s);
	s->limit = ~0u;
	s->selector = ring ? SEL_USS : SEL_KSS;
	s->type = 3;
	s->present = s->s = s->db = s->g = 1;
	s->dpl = ring;
}

static int
init_sregs(struct vcpu *v)
{
	struct kvm_sregs *s = &v->sregs0;

	if (ioctl(v->fd, KVM_GET_SREGS, s) != 0)
		return (-errno);
	s->cr0 = CR0_BITS;
	s->cr3 = GPA_PML4;
	s->cr4 = v->vm->host->cr4;
	s->efer = EFER_BITS;
	set_code(&s->cs, 3);
	set_data(&s->ss, 3);
	set_data(&s->ds, 3);
	s->ds.selector = 0;
	s->es = s->fs = s->gs = s->ds;
	memset(&s->tr, 0, sizeof s->tr);
	s->tr.base = GVA_TSS;
	s->tr.limit = 0x68 + 0x2000;
	s->tr.selector = SEL_TSS;
	s->tr.type = 0xb;
	s->tr.present = 1;
	s->gdt.base = GVA_GDT;
	s->gdt.limit = SEL_TSS + 15;
	s->idt.base = GVA_IDT;
	s->idt.limit = 32 * 16 - 1;
	if (ioctl(v->fd, KVM_SET_SREGS, s) != 0)
		return (-errno);
	return (0);
}

static int
init_msrs(const struct vcpu *v, uint64_t lstar)
{
	struct {
		struct kvm_msrs	h;
		struct kvm_msr_entry e[3];
	} m;

	memset(&m, 0, sizeof m);
	m.h.nmsrs = 3;
	m.e[0].index = MSR_STAR;
	m.e[0].data = ((uint64_t)SEL_KCS << 32) | (0x23UL << 48);
	m.e[1].index = MSR_LSTAR;
	m.e[1].data = lstar;
	m.e[2].index = MSR_FMASK;
	m.e[2].data = FMASK_BITS;
	if (ioctl(v->fd, KVM_SET_MSRS, &m) != 3)
		return (-EINVAL);
	return (0);
}

/* Guest TSC = host TSC, so that one clock page suits every vCPU. */
static void
init_tsc(const struct vcpu *v)
{
	uint64_t zero = 0;
	struct kvm_device_attr a;

	memset(&a, 0, sizeof a);
	a.group = KVM_VCPU_TSC_CTRL;
	a.attr = KVM_VCPU_TSC_OFFSET;
	a.addr = (uintptr_t)&zero;
	(void)ioctl(v->fd, KVM_SET_DEVICE_ATTR, &a);
}

static const char *
vcpu_setup(struct vcpu *v, uint64_t lstar)
{
	struct kvm_xcrs x;

	if (ioctl(v->fd, KVM_SET_CPUID2, v->vm->host->cpuid) != 0)
		return ("KVM_SET_CPUID2");
	if (init_sregs(v) != 0)
		return ("KVM_SET_SREGS");
	memset(&x, 0, sizeof x);
	x.nr_xcrs = 1;
	x.xcrs[0].value = v->vm->host->xcr0;
	if (v->vm->host->xcr0 != 0)
		(void)ioctl(v->fd, KVM_SET_XCRS, &x);
	if (init_msrs(v, lstar) != 0)
		return ("KVM_SET_MSRS");
	init_tsc(v);
	return (NULL);
}

struct vcpu *
vcpu_new(struct vm *vm, uint8_t *ram, uint64_t lstar, struct tkvm_error *err)
{
	const char *what;
	struct vcpu *v;

	CHECK_OBJ_NOTNULL(vm, VM_MAGIC);
	ALLOC_OBJ(v, VCPU_MAGIC);
	if (v == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "out of memory");
		return (NULL);
	}
	v->vm = vm;
	v->ram = ram;
	v->run = MAP_FAILED;
	what = "KVM_CREATE_VCPU";
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, 0UL);
	if (v->fd >= 0) {
		what = "mmap of struct kvm_run";
		v->run = mmap(NULL, vm->host->run_size, PROT_READ | PROT_WRITE,
		    MAP_SHARED, v->fd, 0);
		if (v->run != MAP_FAILED)
			what = vcpu_setup(v, lstar);
	}
	if (what != NULL) {
		(void)err_set(err,
		    errno == ENOMEM ? TKVM_E_MEMORY : TKVM_E_KVM,
		    "cannot set up a virtual CPU (%s): %s", what,
		    strerror(errno));
		vcpu_free(&v);
		return (NULL);
	}
	/* Special registers with every exit cost nothing where the software
	 * back end runs ring 3, and 650 instructions on hardware. */
	v->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	if (vm->host->pub.entry == TKVM_RING3)
		v->run->kvm_valid_regs |= KVM_SYNC_X86_SREGS;
	return (v);
}

void
vcpu_free(struct vcpu **pv)
{
	struct vcpu *v;

	TAKE_OBJ_NOTNULL(v, pv, VCPU_MAGIC);
	if (v->run != MAP_FAILED)
		(void)munmap(v->run, v->vm->host->run_size);
	if (v->fd >= 0)
		(void)close(v->fd);
	free(v->base);
	FREE_OBJ(v);
}

/* ---- exits ------------------------------------------------------------------ */

static const struct kvm_sregs *
exit_sregs(struct vcpu *v)
{

	if (v->run->kvm_valid_regs & KVM_SYNC_X86_SREGS)
		return (&v->run->s.regs.sregs);
	if (!v->sregs_fresh) {
		if (ioctl(v->fd, KVM_GET_SREGS, &v->sregs_buf) != 0)
			v->sregs_buf = v->sregs0;
		v->sregs_fresh = 1;
	}
	return (&v->sregs_buf);
}

/*
 * The kernel may be in the middle of something: it finishes an `in` at the
 * next entry, with the registers that it has kept itself.  So such a vCPU must
 * never run another request.
 */
static enum vcpu_exit
broken(struct vcpu *v, const char *what, unsigned detail)
{

	v->dead = 1;
	(void)snprintf(v->why, sizeof v->why, "%s (%u) at rip 0x%llx", what,
	    detail, (unsigned long long)v->run->s.regs.regs.rip);
	return (VX_BROKEN);
}

/* The CPU pushed [error code,] rip, cs, rflags, rsp, ss on the IST stack. */
static enum vcpu_exit
exit_fault(struct vcpu *v, unsigned vector)
{
	const uint64_t rsp = v->run->s.regs.regs.rsp;
	unsigned has_code, n;
	uint64_t f[6];

	has_code = (0x60227d00u >> vector) & 1;	/* 8 10-14 17 21 29 30 */
	n = 5 + has_code;
	if (rsp < GVA_IST_TOP - PAGE_SZ || rsp > GVA_IST_TOP - n * 8 ||
	    (rsp & 7) != 0)
		return (broken(v, "exception without a frame", vector));
	if (vector == 1)
		v->debug_used = 1;
	memcpy(f, v->ram + GPA_IST + (rsp - (GVA_IST_TOP - PAGE_SZ)), n * 8);
	v->vector = vector;
	v->error_code = has_code ? f[0] : 0;
	v->frame_rip = f[has_code];
	v->frame_cs = f[has_code + 1];
	v->frame_rflags = f[has_code + 2];
	v->frame_rsp = f[has_code + 3];
	v->cr2 = vector == 14 ? exit_sregs(v)->cr2 : 0;
	return (VX_FAULT);
}

enum vcpu_exit
vcpu_run(struct vcpu *v)
{
	struct kvm_run *r = v->run;
	int i;

	if (v->owed != NULL && vcpu_set_xsave(v, v->owed) != 0)
		return (broken(v, "KVM_SET_XSAVE failed", (unsigned)errno));
	v->sregs_fresh = 0;
	v->interrupted = 0;
	v->at_entry = 0;
	v->exits++;
	i = ioctl(v->fd, KVM_RUN, 0UL);
	r->kvm_dirty_regs = 0;
	if (i != 0) {
		if (errno == EINTR || errno == EAGAIN) {
			/* With immediate_exit older kernels leave here what
			 * the exit before it was. */
			r->exit_reason = KVM_EXIT_INTR;
			v->interrupted = 1;
			return (VX_INTR);
		}
		return (broken(v, "KVM_RUN failed", (unsigned)errno));
	}
	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		if (r->io.direction != KVM_EXIT_IO_OUT)
			break;
		if (r->io.port == PORT_SYSCALL) {
			v->back_rip = r->s.regs.regs.rip;
			v->at_entry = 1;
			return (VX_SYSCALL);
		}
		if (r->io.port == PORT_LEAVE) {
			v->at_entry = 1;
			return (VX_LEAVE);
		}
		if (r->io.port >= PORT_VECTOR && r->io.port < PORT_VECTOR + 32)
			return (exit_fault(v, r->io.port - PORT_VECTOR));
		return (broken(v, "output to port", r->io.port));
	case KVM_EXIT_INTR:
		v->interrupted = 1;
		return (VX_INTR);
	case KVM_EXIT_SHUTDOWN:
		return (broken(v, "triple fault", 0));
	case KVM_EXIT_INTERNAL_ERROR:
		return (broken(v, "KVM internal error", r->internal.suberror));
	case KVM_EXIT_FAIL_ENTRY:
		return (broken(v, "KVM entry failed",
		    (unsigned)r->fail_entry.hardware_entry_failure_reason));
	default:
		break;
	}
	return (broken(v, "unexpected KVM exit", r->exit_reason));
}

static int
in_kern(uint64_t rip)
{

	return (rip >= GVA_KERN && rip < GVA_KERN + 0x400000);
}

void
vcpu_user_regs(struct vcpu *v, struct kvm_regs *to, int *in_kernel)
{
	const struct kvm_run *r = v->run;

	*to = r->s.regs.regs;
	*in_kernel = 0;
	if (r->exit_reason == KVM_EXIT_IO && r->io.port < PORT_VECTOR) {
		to->rip = to->rcx;
		to->rflags = (to->r11 & RFLAGS_USER) | RFLAGS_FIXED;
		return;
	}
	if (r->exit_reason == KVM_EXIT_IO) {
		to->rip = v->frame_rip;
		to->rsp = v->frame_rsp;
		to->rflags = v->frame_rflags;
		*in_kernel = (v->frame_cs & 3) == 0 ||
		    (v->vm->host->pub.entry == TKVM_RING3 &&
		    in_kern(to->rip));
	} else if (v->back_rip != 0 && to->rip == v->back_rip) {
		/* Behind the out, all is set for the way back. */
		to->rip = to->rcx;
		to->rflags = to->r11;
	} else
		*in_kernel = in_kern(to->rip);
	if (!*in_kernel)
		to->rflags = (to->rflags & RFLAGS_USER) | RFLAGS_FIXED;
}

void
vcpu_bases(struct vcpu *v, uint64_t *fs, uint64_t *gs)
{
	const struct kvm_sregs *s;

	s = exit_sregs(v);
	*fs = s->fs.base;
	*gs = s->gs.base;
}

/* ---- entries ----------------------------------------------------------------- */

static struct kvm_sregs *
entry_sregs(struct vcpu *v)
{
	struct kvm_sregs *s = &v->run->s.regs.sregs;

	*s = v->sregs0;
	v->at_entry = 0;
	v->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS | KVM_SYNC_X86_REGS;
	if (v->flush) {
		/*
		 * A change of CR4.PGE makes KVM reload its MMU and flush what
		 * the CPU has cached of the guest's tables; with no global
		 * pages the bit means nothing else.
		 */
		v->sregs0.cr4 ^= CR4_PGE;
		s->cr4 = v->sregs0.cr4;
		v->flush = 0;
	}
	return (s);
}

/*
 * A kick may find an exception that is still to be delivered.  It belongs to
 * the instruction that raised it, which raises it again; whoever runs next
 * may be another thread or another request.
 */
static void
drop_events(struct vcpu *v)
{
	struct kvm_vcpu_events e;

	memset(&e, 0, sizeof e);
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e) != 0)
		v->dead = 1;
	v->interrupted = 0;
}

void
vcpu_set_user(struct vcpu *v, const struct kvm_regs *regs, uint64_t fs,
    uint64_t gs)
{
	struct kvm_sregs *s;

	if (v->interrupted)
		drop_events(v);
	s = entry_sregs(v);
	s->fs.base = fs;
	s->gs.base = gs;
	v->run->s.regs.regs = *regs;
	v->run->s.regs.regs.rflags =
	    (regs->rflags & RFLAGS_USER) | RFLAGS_FIXED;
}

void
vcpu_set_result(struct vcpu *v, uint64_t rax)
{
	struct kvm_regs *g = &v->run->s.regs.regs;
	uint64_t fs, gs;

	if (v->flush) {
		struct kvm_regs u;
		int k;

		vcpu_user_regs(v, &u, &k);
		vcpu_bases(v, &fs, &gs);
		u.rax = rax;
		vcpu_set_user(v, &u, fs, gs);
		return;
	}
	g->rax = rax;
	if (v->vm->host->pub.entry == TKVM_RING3) {
		/* Ring 3 all along: skip the entry code's way back. */
		g->rip = g->rcx;
		g->rflags = (g->r11 & RFLAGS_USER) | RFLAGS_FIXED;
	}
	v->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

void
vcpu_set_kernel(struct vcpu *v, uint64_t rip)
{
	struct kvm_regs *g = &v->run->s.regs.regs;
	const struct kvm_sregs now = *exit_sregs(v);
	struct kvm_sregs *s;

	s = entry_sregs(v);
	s->fs.base = now.fs.base;
	s->gs.base = now.gs.base;
	if ((v->frame_cs & 3) == 0) {
		set_code(&s->cs, 0);
		set_data(&s->ss, 0);
	}
	g->rip = rip != 0 ? rip : v->frame_rip;
	g->rsp = v->frame_rsp;
	g->rflags = (v->frame_rflags & RFLAGS_USER & ~0x100UL) | 2;
}

void
vcpu_start(struct vcpu *v, uint64_t start, const struct kvm_regs *regs,
    uint64_t fs, uint64_t gs)
{
	struct kvm_regs g = *regs;
	struct kvm_sregs *s;

	AN(v->owed);
	v->owed = NULL;
	g.rcx = g.rax;
	g.rax = 0;
	g.rip = start;
	if (v->vm->host->pub.entry == TKVM_RING3) {
		vcpu_set_user(v, &g, fs, gs);
		return;
	}
	if (v->interrupted)
		drop_events(v);
	/* Mostly it sits in the entry code still: special registers are the
	 * entry code's, but what the blob puts back. */
	if (!v->at_entry || v->flush) {
		s = entry_sregs(v);
		set_code(&s->cs, 0);
		set_data(&s->ss, 0);
	}
	v->run->s.regs.regs = g;
	v->run->s.regs.regs.rflags = 2;
	v->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

void
vcpu_owe_xsave(struct vcpu *v, const struct kvm_xsave *x)
{

	v->owed = x;
}

int
vcpu_get_xsave(struct vcpu *v, struct kvm_xsave *x)
{

	if (v->owed != NULL)
		*x = *v->owed;
	else if (ioctl(v->fd, KVM_GET_XSAVE, x) != 0)
		return (-errno);
	/*
	 * With x87 and SSE marked as in use, restoring this area also restores
	 * MXCSR: some kernels keep the old one otherwise.
	 */
	x->region[512 / 4] |= 3;
	return (0);
}

int
vcpu_set_xsave(struct vcpu *v, const struct kvm_xsave *x)
{

	if (ioctl(v->fd, KVM_SET_XSAVE, x) != 0)
		return (-errno);
	v->owed = NULL;
	return (0);
}

int
vcpu_get_xsave_all(struct vcpu *v, void *x)
{
	uint32_t bv;

	if (v->vm->host->xsave2_size <= sizeof(struct kvm_xsave))
		return (vcpu_get_xsave(v, x));
	if (ioctl(v->fd, KVM_GET_XSAVE2, x) != 0)
		return (-errno);
	memcpy(&bv, (uint8_t *)x + 512, sizeof bv);
	bv |= 3;
	memcpy((uint8_t *)x + 512, &bv, sizeof bv);
	return (0);
}

int
vcpu_reset_pending(struct vcpu *v)
{
	struct kvm_debugregs d;

	/* what an interrupt has cut short may have been #DB */
	if (!v->debug_used && !v->interrupted)
		return (0);
	memset(&d, 0, sizeof d);
	d.dr6 = 0xffff0ff0;
	d.dr7 = 0x400;
	if (ioctl(v->fd, KVM_SET_DEBUGREGS, &d) != 0)
		return (-errno);
	v->debug_used = 0;
	/* The next entry would do so, but verify.c looks before that. */
	if (v->interrupted)
		drop_events(v);
	return (v->dead ? -EIO : 0);
}

void
vcpu_kick(struct vcpu *v)
{

	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

void
vcpu_unkick(struct vcpu *v)
{

	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}
