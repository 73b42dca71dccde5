/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An exception of the program becomes the signal that Linux would send.
 */

#include <signal.h>
#include <string.h>

#include "linux/linux.h"
#include "machine/priv.h"

#define INSN_INT	0xcd		/* int $n */
#define TRAP_UD		6
#define TRAP_GP		13
#define TRAP_PF		14

/* Signal, si_code, and whether si_addr is the instruction. Intel SDM 6.15 */
static const struct {
	uint8_t	sig, code, rip;
} trap_table[32] = {
	[0]  = { SIGFPE, FPE_INTDIV, 1 },
	[1]  = { SIGTRAP, TRAP_TRACE, 1 },
	[3]  = { SIGTRAP, 0x80, 0 },
	[4]  = { SIGSEGV, 0x80, 0 },
	[5]  = { SIGSEGV, 0x80, 0 },
	[TRAP_UD] = { SIGILL, ILL_ILLOPN, 1 },
	[7]  = { SIGFPE, FPE_FLTINV, 0 },
	[10] = { SIGSEGV, 0x80, 0 },
	[11] = { SIGBUS, BUS_ADRERR, 0 },
	[12] = { SIGBUS, 0x80, 0 },
	[TRAP_GP] = { SIGSEGV, 0x80, 0 },
	[16] = { SIGFPE, FPE_FLTINV, 1 },
	[17] = { SIGBUS, BUS_ADRALN, 0 },
	[19] = { SIGFPE, FPE_FLTINV, 1 },
};

/*
 * Where there is no gate the CPU raises #GP with the vector in its error code;
 * software back ends know no `int` and raise #UD.
 */
static int
is_int_n(struct machine *m, const struct thread *t, uint64_t *error_code)
{
	uint8_t insn[2];

	if (as_read(m->as, t->regs.rip, insn, sizeof insn) != 0 ||
	    insn[0] != INSN_INT)
		return (0);
	*error_code = insn[1] * 8U + 2;
	return (1);
}

/* fpu__exception_code() of the kernel: which unmasked exception it was */
static int
fpe_code(struct machine *m, struct thread *t, unsigned vector)
{
	struct kvm_xsave x;
	const uint8_t *b;
	uint16_t cw, sw;
	uint32_t mxcsr, err;

	if (machine_get_xsave(m, t, &x) != 0)
		return (FPE_FLTINV);
	b = (const uint8_t *)&x;
	memcpy(&cw, b, sizeof cw);
	memcpy(&sw, b + 2, sizeof sw);
	memcpy(&mxcsr, b + 24, sizeof mxcsr);
	err = vector == 16 ? (uint32_t)(sw & ~cw) : ~(mxcsr >> 7) & mxcsr;
	if (err & 0x01)
		return (FPE_FLTINV);
	if (err & 0x04)
		return (FPE_FLTDIV);
	if (err & 0x08)
		return (FPE_FLTOVF);
	if (err & 0x12)
		return (FPE_FLTUND);
	return (err & 0x20 ? FPE_FLTRES : FPE_FLTINV);
}

void
trap_signal(struct machine *m, struct thread *t, int pf_sig, int pf_code)
{
	uint64_t error_code = m->vcpu->error_code, addr = 0;
	unsigned vector = m->vcpu->vector % 32;
	int sig, code;

	if (vector == TRAP_UD && is_int_n(m, t, &error_code))
		vector = TRAP_GP;
	sig = trap_table[vector].sig;
	code = trap_table[vector].code;
	if (trap_table[vector].rip)
		addr = t->regs.rip;
	if (vector == 16 || vector == 19)
		code = fpe_code(m, t, vector);
	if (vector == TRAP_PF) {
		sig = pf_sig;
		code = pf_code;
		addr = m->vcpu->cr2;
	}
	(void)signal_fault(m, t, sig != 0 ? sig : SIGSEGV, code, addr, vector,
	    error_code);
}
