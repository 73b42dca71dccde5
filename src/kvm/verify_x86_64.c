/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For --verify-reset: everything that KVM holds of a vCPU, as it is when the
 * next request is about to run, against what it was when the vCPU was new.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/kvm.h"
#include "obj.h"

#define CR4_PGE		(1UL << 7)
#define MAX_MSR		1024

struct msr_list {
	struct kvm_msrs	h;
	struct kvm_msr_entry e[MAX_MSR];
};

struct vcpu_base {
	struct kvm_xcrs	xcrs;
	struct kvm_debugregs dr;
	struct msr_list	msr;
};

/* Counters and clocks; bases are in the special registers. */
static int
msr_varies(uint32_t n)
{

	switch (n) {
	case 0x10:			/* TSC */
	case 0x3b:			/* TSC_ADJUST: written by us, perhaps */
	case 0xe7: case 0xe8:		/* MPERF, APERF */
	case 0x6e0:			/* TSC_DEADLINE */
	case 0xc0000100:		/* FS_BASE */
	case 0xc0000101:		/* GS_BASE */
		return (1);
	default:
		/* Hyper-V's clocks and counters */
		return (n >= 0x40000000 && n <= 0x400001ff);
	}
}

static int
read_msr(const struct vcpu *v, uint32_t n, uint64_t *value)
{
	struct {
		struct kvm_msrs	h;
		struct kvm_msr_entry e[1];
	} m;

	memset(&m, 0, sizeof m);
	m.h.nmsrs = 1;
	m.e[0].index = n;
	if (ioctl(v->fd, KVM_GET_MSRS, &m) != 1)
		return (-1);
	*value = m.e[0].data;
	return (0);
}

/* All that KVM lists and can read */
static int
base_msrs(const struct vcpu *v, struct msr_list *to)
{
	struct kvm_msr_list *l;
	uint64_t value;
	unsigned u;

	l = calloc(1, sizeof *l + MAX_MSR * sizeof l->indices[0]);
	if (l == NULL)
		return (-1);
	l->nmsrs = MAX_MSR;
	if (ioctl(v->vm->host->fd, KVM_GET_MSR_INDEX_LIST, l) != 0)
		l->nmsrs = 0;
	for (u = 0; u < l->nmsrs; u++) {
		if (msr_varies(l->indices[u]) ||
		    read_msr(v, l->indices[u], &value) != 0)
			continue;
		to->e[to->h.nmsrs].index = l->indices[u];
		to->e[to->h.nmsrs++].data = value;
	}
	free(l);
	return (0);
}

/* Before it has ever run; 0 or -1 */
int
vcpu_baseline(struct vcpu *v)
{
	struct vcpu_base *b;

	CHECK_OBJ_NOTNULL(v, VCPU_MAGIC);
	AZ(v->base);
	b = calloc(1, sizeof *b);
	if (b == NULL || base_msrs(v, &b->msr) != 0 ||
	    ioctl(v->fd, KVM_GET_XCRS, &b->xcrs) != 0 ||
	    ioctl(v->fd, KVM_GET_DEBUGREGS, &b->dr) != 0) {
		free(b);
		return (-1);
	}
	v->base = b;
	return (0);
}

/* Let KVM take what the next entry brings along, without running a thing. */
static const char *
load(struct vcpu *v, const struct kvm_regs *regs, uint64_t fs, uint64_t gs)
{
	int i;

	vcpu_set_user(v, regs, fs, gs);
	v->run->immediate_exit = 1;
	i = ioctl(v->fd, KVM_RUN, 0UL);
	v->run->immediate_exit = 0;
	v->run->kvm_dirty_regs = 0;
	v->sregs_fresh = 0;
	return (i != 0 && errno == EINTR ? NULL : "KVM_RUN");
}

static const char *
same_regs(struct vcpu *v, const struct kvm_regs *regs, uint64_t fs,
    uint64_t gs)
{
	struct kvm_sregs s, want = v->sregs0;
	struct kvm_regs r;

	if (ioctl(v->fd, KVM_GET_REGS, &r) != 0 ||
	    ioctl(v->fd, KVM_GET_SREGS, &s) != 0)
		return ("KVM_GET_REGS");
	r.rflags = regs->rflags;	/* vcpu_set_user() forces some */
	if (memcmp(&r, regs, sizeof r) != 0)
		return ("general registers");
	want.fs.base = fs;
	want.gs.base = gs;
	want.cr4 = (want.cr4 & ~CR4_PGE) | (s.cr4 & CR4_PGE);
	/* What ring 3 cannot see, and each exception sets */
	want.cr2 = s.cr2;
	if (s.fs.base != fs || s.gs.base != gs)
		return ("segment bases");
	if (s.cr0 != want.cr0 || s.cr3 != want.cr3 || s.cr4 != want.cr4 ||
	    s.efer != want.efer || s.cr8 != want.cr8)
		return ("control registers");
	if (s.gdt.base != want.gdt.base || s.idt.base != want.idt.base ||
	    s.tr.base != want.tr.base || s.tr.limit != want.tr.limit ||
	    s.cs.selector != want.cs.selector || s.cs.dpl != want.cs.dpl ||
	    s.ss.selector != want.ss.selector ||
	    s.apic_base != want.apic_base)
		return ("special registers");
	if (memcmp(s.interrupt_bitmap, want.interrupt_bitmap,
	    sizeof s.interrupt_bitmap) != 0)
		return ("pending interrupts");
	return (NULL);
}

static const char *
same_events(const struct vcpu *v)
{
	struct kvm_vcpu_events e;
	struct kvm_mp_state mp;

	memset(&e, 0, sizeof e);
	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e) != 0)
		return ("KVM_GET_VCPU_EVENTS");
	if (e.exception.injected || e.exception.pending ||
	    e.interrupt.injected || e.interrupt.shadow || e.nmi.injected ||
	    e.nmi.pending || e.smi.pending || e.smi.smm ||
	    e.triple_fault.pending)
		return ("pending events");
	if (ioctl(v->fd, KVM_GET_MP_STATE, &mp) == 0 &&
	    mp.mp_state != KVM_MP_STATE_RUNNABLE)
		return ("the vCPU's state");
	return (NULL);
}

static const char *
same_rest(const struct vcpu *v)
{
	const struct vcpu_base *b = v->base;
	struct kvm_debugregs d;
	struct kvm_xcrs x;
	uint64_t value;
	unsigned u;

	memset(&x, 0, sizeof x);
	if (ioctl(v->fd, KVM_GET_XCRS, &x) != 0 ||
	    x.nr_xcrs != b->xcrs.nr_xcrs ||
	    memcmp(x.xcrs, b->xcrs.xcrs, x.nr_xcrs * sizeof x.xcrs[0]) != 0)
		return ("XCR0");
	memset(&d, 0, sizeof d);
	if (ioctl(v->fd, KVM_GET_DEBUGREGS, &d) != 0 ||
	    memcmp(d.db, b->dr.db, sizeof d.db) != 0 || d.dr6 != b->dr.dr6 ||
	    d.dr7 != b->dr.dr7)
		return ("debug registers");
	for (u = 0; u < b->msr.h.nmsrs; u++)
		if (read_msr(v, b->msr.e[u].index, &value) != 0 ||
		    value != b->msr.e[u].data)
			return ("model specific registers");
	return (NULL);
}

const char *
vcpu_try_start(struct vcpu *v, uint64_t start_out,
    const struct kvm_regs *regs, uint64_t fs, uint64_t gs)
{
	enum vcpu_exit e;
	struct kvm_sregs s;
	struct kvm_regs r;
	const char *what;

	what = same_events(v);
	if (what == NULL && v->base != NULL)
		what = same_rest(v);
	if (what != NULL)
		return (what);
	vcpu_start(v, start_out, regs, fs, gs);
	do
		e = vcpu_run(v);
	while (e == VX_INTR);
	if (e != VX_LEAVE)
		return ("the start of a request");
	r = v->run->s.regs.regs;
	r.rip = regs->rip;		/* in the blob still */
	r.rflags = regs->rflags;
	if (memcmp(&r, regs, sizeof r) != 0)
		return ("general registers at the start");
	if (ioctl(v->fd, KVM_GET_SREGS, &s) != 0)
		return ("KVM_GET_SREGS");
	if (s.fs.base != fs || s.gs.base != gs)
		return ("segment bases at the start");
	if (s.ds.selector != 0 || s.es.selector != 0 || s.fs.selector != 0 ||
	    s.gs.selector != 0)
		return ("segments at the start");
	return (NULL);
}

/* NULL, or what differs from the vCPU's baseline and these registers. */
const char *
vcpu_verify(struct vcpu *v, const struct kvm_regs *regs, uint64_t fs,
    uint64_t gs)
{
	const char *what;

	CHECK_OBJ_NOTNULL(v, VCPU_MAGIC);
	what = same_events(v);
	if (what == NULL)
		what = load(v, regs, fs, gs);
	if (what == NULL)
		what = same_regs(v, regs, fs, gs);
	if (what == NULL)
		what = same_events(v);
	if (what == NULL && v->base != NULL)
		what = same_rest(v);
	return (what);
}
