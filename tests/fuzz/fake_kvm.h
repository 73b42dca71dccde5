/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A /dev/kvm without a CPU, for the fuzzers: everything of libtkvm above
 * src/kvm is the real thing, and what a guest does is decided by the target.
 * Replaces vm.c, vcpu_x86_64.c, probe.c and watchdog.c at link time; time only
 * passes when somebody looks or waits.
 */

#ifndef FAKE_KVM_H
#define FAKE_KVM_H

#include "machine/priv.h"

/* The target: what the guest does next.  Called by vcpu_run(). */
enum vcpu_exit fake_guest(struct vcpu *);

/* ---- for fake_guest(): the exit to be answered ------------------------------ */

/* A system call with these arguments */
enum vcpu_exit fake_syscall(struct vcpu *, uint64_t nr, uint64_t a0,
    uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
/* An exception of the program at RIP */
enum vcpu_exit fake_fault(struct vcpu *, unsigned vector, uint64_t error_code,
    uint64_t cr2);
enum vcpu_exit fake_intr(struct vcpu *);
enum vcpu_exit fake_leave(struct vcpu *);
enum vcpu_exit fake_broken(struct vcpu *);
/* The registers of the program */
struct kvm_regs *fake_regs(struct vcpu *);

/*
 * Store as the program would: 0, or the error code of the page fault (with
 * *cr2) that is due before anything was stored on that page.
 */
unsigned fake_store(struct vcpu *, uint64_t gva, const void *, size_t,
    uint64_t *cr2);
/* Store anywhere below the memory slots' end, as the blob may. */
void fake_store_phys(struct vcpu *, uint64_t gpa, const void *, size_t);

/* ---- time --------------------------------------------------------------------- */

extern uint64_t fake_now;		/* CLOCK_MONOTONIC, ns */

#endif
