/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Where things are, for the VMM, the blob and the vDSO alike.
 */

#ifndef TKVM_LAYOUT_H
#define TKVM_LAYOUT_H

/* ---- guest physical: the start of slot 0 ---------------------------------- */

#define GPA_TSS		0x001000	/* three pages: the I/O bitmap */
#define GPA_GDT		0x004000
#define GPA_IDT		0x005000
#define GPA_GATES	0x006000	/* exception entry code */
#define GPA_IST		0x007000	/* exception stack, one page */
#define GPA_VVAR	0x008000	/* struct gk_vvar */
#define GPA_PML4	0x009000	/* page table root */
#define GPA_KPDPT	0x00a000	/* the kernel's own tables */
#define GPA_KPD		0x00b000
#define GPA_KPT		0x00c000
#define GPA_START	0x00d000	/* struct gk_thr_area: a request's start */
#define GPA_BLOB	0x010000	/* the blob's image, as linked */
#define GPA_BLOB_END	0x040000
#define GPA_THR		0x040000	/* struct gk_thrs, and behind it ... */
#define GPA_THR_AREA	0x041000	/* ... struct gk_thr_area, a page each */
#define GPA_GK		0x200000	/* struct gk; 2 MiB aligned */
#define GPA_MFS		0x2400000	/* struct mfs, files in memory */
#define GPA_FRAMES	0x2800000	/* frames for everything else */

/* ---- guest virtual --------------------------------------------------------- */

#define GVA_USER_MIN	0x10000UL		/* vm.mmap_min_addr */
#define GVA_USER_END	0x7ffffda00000UL	/* programs live below */
/* struct gk, up to the kernel's 4 MiB, for the blob */
#define GVA_GK		GVA_USER_END
/* The kernel's 4 MiB at the top of the low half; its last page stays
 * unmapped, so that RCX is canonical after any `syscall`. */
#define GVA_KERN	0x7fffffc00000UL
#define GVA_TSS		(GVA_KERN + GPA_TSS)
#define GVA_GDT		(GVA_KERN + GPA_GDT)
#define GVA_IDT		(GVA_KERN + GPA_IDT)
#define GVA_GATES	(GVA_KERN + GPA_GATES)
#define GVA_IST_TOP	(GVA_KERN + GPA_IST + 0x1000)
#define GVA_VVAR	(GVA_KERN + GPA_VVAR)
#define GVA_START	(GVA_KERN + GPA_START)
#define GVA_BLOB	(GVA_KERN + GPA_BLOB)
#define GVA_THR		(GVA_KERN + GPA_THR)
#define GVA_THR_AREA	(GVA_KERN + GPA_THR_AREA)

/* struct gk_thr_area, for the entry code */
#define THR_RAX		3584
#define THR_RBX		(THR_RAX + 8)
#define THR_RDX		(THR_RAX + 16)
#define THR_RSI		(THR_RAX + 24)
#define THR_RDI		(THR_RAX + 32)
#define THR_RBP		(THR_RAX + 40)
#define THR_RSP		(THR_RAX + 48)
#define THR_R8		(THR_RAX + 56)
#define THR_R9		(THR_RAX + 64)
#define THR_R10		(THR_RAX + 72)
#define THR_R12		(THR_RAX + 80)
#define THR_R13		(THR_RAX + 88)
#define THR_R14		(THR_RAX + 96)
#define THR_R15		(THR_RAX + 104)
#define THR_RIP		(THR_RAX + 112)
#define THR_RFLAGS	(THR_RAX + 120)
#define THR_FS		(THR_RAX + 128)
#define THR_GS		(THR_RAX + 136)
#define THR_XMASK	0xe7		/* x87, SSE, AVX, AVX-512 */

#define GVA_MMAP_TOP	0x7fff80000000UL	/* mmap grows down from here */

/* ---- selectors, as Linux has them ------------------------------------------ */

#define SEL_KCS		0x10
#define SEL_KSS		0x18
#define SEL_UCS		0x33
#define SEL_USS		0x2b
#define SEL_TSS		0x40

/* ---- leaving the guest ------------------------------------------------------ */

#define PORT_SYSCALL	0x7e	/* KVM leaves RIP behind an out to this one */
#define PORT_LEAVE	0x7f	/* a call is answered, RAX is its result */
#define PORT_VECTOR	0x80	/* + exception vector */

#ifndef __ASSEMBLER__
#include <stdint.h>

#define GK_NFWAIT	128
#define GK_NFROZEN	4		/* ranges of code */
struct gk_fwait {
	uint64_t	addr, seq;
	uint32_t	bits, pad;
};

/*
 * Threads that the blob can change between without the VMM.  What is parked
 * here is the blob's to go on with; all others are THR_VMM.
 */
#define GK_NTHR		96

enum gk_thr_state {
	THR_VMM = 0,			/* not to be touched */
	THR_CUR,			/* in the vCPU */
	THR_WAIT,			/* in futex(2), with no time-out */
	THR_RUN,			/* woken */
	THR_RETRY,			/* makes its call once more */
};

struct gk_thr {
	uint32_t	state;
	uint32_t	tid;
	uint64_t	addr, seq;	/* what it waits for, since when */
	uint32_t	bits;
	uint32_t	gen;		/* THR_RETRY: gk->gen when it tried */
};

struct gk_thrs {			/* one page */
	uint32_t	on;		/* 0: leave threads alone */
	uint32_t	cur, n;
	uint32_t	pad;
	uint64_t	seq;		/* of the last that began to wait */
	uint64_t	changed[2];	/* bit i: thread[i], since the last exit */
	struct gk_thr	thr[GK_NTHR];
};

struct gk_thr_area {
	uint8_t		xsave[THR_RAX];
	uint64_t	rax, rbx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10;
	uint64_t	r12, r13, r14, r15, rip, rflags, fs, gs;
} __attribute__((aligned(4096)));

/*
 * What the clock, id and futex calls need; one page, read-only for the program,
 * rewritten by the VMM at every request.
 */
struct gk_vvar {
	uint32_t	seq;		/* odd while the VMM writes */
	uint32_t	usable;		/* 0: ask the VMM for the time */
	uint64_t	tsc0;		/* reading at which the bases hold */
	uint64_t	mult;		/* ns per cycle, 32.32 fixed point */
	uint64_t	real_ns;	/* CLOCK_REALTIME at tsc0 */
	uint64_t	mono_ns;	/* CLOCK_MONOTONIC at tsc0 */
	uint32_t	pid, ppid, uid, gid, ruid, rgid;
	uint64_t	generation;	/* differs in every fork and request */
	uint32_t	tid;		/* of the running thread */
	uint32_t	nthreads;
	uint32_t	inside;		/* 0: the blob passes all gk calls on */
	uint32_t	leave;		/* come out behind the next call */
	/* Code in these ranges is told the image's process id; 0: there is none. */
	struct { uint64_t lo, hi; } frozen[GK_NFROZEN];
	uint32_t	frozen_pid;
	/* The newest private anonymous mapping, as long as nothing else was
	 * mapped or unmapped since: allocators go on with madvise(2). */
	uint64_t	map_lo, map_hi;
	/* Who waits for a futex, the longest first; > GK_NFWAIT: too many */
	uint32_t	nfwait;
	struct gk_fwait	fwait[GK_NFWAIT];
};
#endif

#endif
