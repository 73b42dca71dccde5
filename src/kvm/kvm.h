/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * /dev/kvm: the host's abilities, virtual machines, memory slots, vCPUs.
 * Knows nothing of Linux programs.
 */

#ifndef TKVM_KVM_H
#define TKVM_KVM_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#include "tkvm.h"

/* What the process knows about its /dev/kvm; constant once probed. */
struct kvmhost {
	int		fd;
	size_t		run_size;	/* of struct kvm_run's mapping */
	struct tkvm_host pub;
	struct kvm_cpuid2 *cpuid;	/* given to every vCPU */
	uint64_t	xcr0;		/* vector state a guest can have */
	unsigned	xsave_size;	/* bytes of struct kvm_xsave in use */
	unsigned	xsave2_size;	/* of KVM_GET_XSAVE2, or of that struct */
	struct {
		unsigned	off, size;
	} xcomp[8];			/* its components from 2 (AVX) on */
	unsigned	nr_slots;
	uint64_t	cr4;		/* accepted by KVM_SET_SREGS */
	int		has_msr_filter;
};

/* 0, or -1 with *err.  Probes at the first call. */
int kvmhost_get(const struct kvmhost **, struct tkvm_error *err);

/* cpuid_x86_64.c: what a guest may see of a table of KVM's; its XCR0 */
uint64_t cpuid_reduce(struct kvm_cpuid2 *);

/* ---- virtual machines ------------------------------------------------------ */

struct vm {
	unsigned	magic;
#define VM_MAGIC	0x564d564d
	const struct kvmhost *host;
	int		fd;
	unsigned	nslot;
};

struct vm *vm_new(const struct kvmhost *, struct tkvm_error *);
void vm_free(struct vm **);
/*
 * Append a memory slot; writes are logged if `log` is set.  Its number, or
 * -errno.
 */
int vm_slot_add(struct vm *, uint64_t gpa, uint64_t size, void *hva, int log);
/*
 * Which pages of a slot were ever written (the log is never cleared except by
 * vm_dirty_clear): one bit a page, size/4096 bits rounded up to 64.
 */
int vm_dirty_log(const struct vm *, unsigned slot, uint64_t *bitmap);
/* Forget 64 pages' worth of bits: pages from `first` (a multiple of 64). */
int vm_dirty_clear(const struct vm *, unsigned slot, uint64_t first,
    uint64_t bits);

/* ---- vCPUs ------------------------------------------------------------------ */

enum vcpu_exit {
	VX_SYSCALL,		/* user registers as at the `syscall` */
	VX_LEAVE,		/* ... as behind it: the blob has answered */
	VX_FAULT,		/* v->vector, v->error_code, v->cr2 */
	VX_INTR,		/* kicked */
	VX_BROKEN,		/* anything else: v->why */
};

struct vcpu {
	unsigned	magic;
#define VCPU_MAGIC	0x56435055
	struct vm	*vm;
	int		fd;
	struct kvm_run	*run;
	uint8_t		*ram;		/* guest physical 0 */
	struct kvm_sregs sregs0;	/* user mode, bases 0 */
	struct kvm_sregs sregs_buf;
	int		sregs_fresh;	/* sregs_buf is of this exit */
	int		flush;		/* drop the TLB at the next entry */
	int		dead;		/* VX_BROKEN: not to be used again */
	int		interrupted;	/* the last exit was VX_INTR */
	int		debug_used;	/* #DB was raised: DR6 is not as it was */
	uint64_t	back_rip;	/* in the blob, behind the out */
	int		at_entry;	/* there, in the entry code's ring */
	const struct kvm_xsave *owed;	/* vector state of the next entry */
	unsigned	vector;
	uint64_t	error_code, cr2;
	uint64_t	frame_rip, frame_cs, frame_rflags, frame_rsp;
	uint64_t	exits;
	struct vcpu_base *base;		/* verify-reset only */
	char		why[100];
};

struct vcpu *vcpu_new(struct vm *, uint8_t *ram, uint64_t lstar,
    struct tkvm_error *);
void vcpu_free(struct vcpu **);

/* Run it: registers must have been set by one of the functions below. */
enum vcpu_exit vcpu_run(struct vcpu *);
/*
 * The user's registers at this exit: RIP behind the system call, RFLAGS its
 * own; at a fault those of the faulting instruction.  *in_kernel: the exit
 * came from the blob itself (fault or kick), the registers are the blob's.
 */
void vcpu_user_regs(struct vcpu *, struct kvm_regs *, int *in_kernel);
void vcpu_bases(struct vcpu *, uint64_t *fs, uint64_t *gs);
/* After VX_SYSCALL: go on behind the call with this result. */
void vcpu_set_result(struct vcpu *, uint64_t rax);
/* Any user state */
void vcpu_set_user(struct vcpu *, const struct kvm_regs *, uint64_t fs,
    uint64_t gs);
/* After a fault in the blob: go on in the blob (rip 0: where it was). */
void vcpu_set_kernel(struct vcpu *, uint64_t rip);
/* Kicked in the blob, or nothing to change: just go on. */
int vcpu_get_xsave(struct vcpu *, struct kvm_xsave *);
int vcpu_set_xsave(struct vcpu *, const struct kvm_xsave *);
/*
 * Vector state that has to be there when the vCPU runs next: vcpu_start() has
 * it restored in the guest, else vcpu_run() sets it.  x stays where it is.
 */
void vcpu_owe_xsave(struct vcpu *, const struct kvm_xsave *x);
/*
 * Enter the blob where it puts back what is owed, and the segments; then it is
 * the program's turn, with these registers (RCX and R11 as behind a call).
 */
void vcpu_start(struct vcpu *, uint64_t start, const struct kvm_regs *,
    uint64_t fs, uint64_t gs);
/* Debug registers and events as in a new vCPU, if need be; 0 or -errno */
int vcpu_reset_pending(struct vcpu *);
/* kvmhost.xsave2_size bytes, with what is beyond struct kvm_xsave */
int vcpu_get_xsave_all(struct vcpu *, void *);
/* verify_x86_64.c: what starting would make of it; NULL or what differs */
const char *vcpu_try_start(struct vcpu *, uint64_t start_out,
    const struct kvm_regs *, uint64_t fs, uint64_t gs);
/* note what a new one is like; NULL or what differs */
int vcpu_baseline(struct vcpu *);
const char *vcpu_verify(struct vcpu *, const struct kvm_regs *, uint64_t fs,
    uint64_t gs);
/* The next vcpu_run() returns VX_INTR at once; async-signal and thread safe */
void vcpu_kick(struct vcpu *);
void vcpu_unkick(struct vcpu *);

/* ---- the tables of the guest's kernel half (tables_x86_64.c) --------------- */

/*
 * GDT, IDT, TSS, exception gates and the page tables of the kernel's 4 MiB
 * (root at GPA_PML4) into guest RAM at `ram`.  user_out: ring 3 may do `out`
 * to PORT_SYSCALL.
 */
void kern_tables(uint8_t *ram, int user_out);
/* Map a page of the kernel's first 2 MiB (GVA_KERN + gpa -> gpa). */
#define KMAP_W		1u
#define KMAP_X		2u
#define KMAP_U		4u
void kern_map(uint8_t *ram, uint64_t gpa, unsigned flags);
/* Map struct gk, in large pages, at GVA_GK; KMAP_U or 0. */
void kern_map_gk(uint8_t *ram, unsigned flags);

/* Page table entries, Intel SDM vol. 3 section 4.5 */
#define PTE_P		0x001UL
#define PTE_W		0x002UL
#define PTE_U		0x004UL
#define PTE_A		0x020UL
#define PTE_D		0x040UL
#define PTE_PS		0x080UL		/* a large page */
#define PTE_NX		(1UL << 63)
#define PTE_ADDR	0x000ffffffffff000UL
#define PTE_FILE	0x400UL		/* ours: the frame is a file's */
#define PTE_NONE	0x200UL		/* ours: has a frame, PROT_NONE */

#endif
