/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The CPU a guest sees: of what KVM can give, only what a program in ring 3
 * can use and a reset puts back.  What is not named here is not there.
 *
 * On a software back end the program sees the host's CPUID whatever we say;
 * its ring 3 can use what is off here only as far as the host has it on.
 */

#include <string.h>

#include "kvm/kvm.h"
#include "obj.h"

#define BIT(n)		(1u << (n))
#define BITS(a, b)	((~0u >> (31 - (b))) & (~0u << (a)))
#define ALL		(~0u)
#define ANY		(~0u)		/* index */

struct keep {
	uint32_t	fn, fn_end, index;
	uint32_t	eax, ebx, ecx, edx;
};

/* Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E */
static const struct keep keep[] = {
	/* highest leaf, vendor */
	{ 0, 0, ANY, ALL, ALL, ALL, ALL },
	/*
	 * Not MONITOR, DS-CPL, VMX, SMX, EST, TM2, CNXT-ID, SDBG, xTPR, PDCM,
	 * PCID, DCA, x2APIC, TSC deadline; not DS, ACPI, TM, PBE, PSN, MTRR,
	 * MCE, MCA
	 */
	{ 1, 1, ANY, ALL, ALL, ~(BITS(3, 8) | BIT(10) | BIT(11) | BIT(14) |
	    BIT(15) | BIT(17) | BIT(18) | BIT(21) | BIT(24)),
	    ~(BIT(7) | BIT(12) | BIT(14) | BIT(18) | BIT(21) | BIT(22) |
	    BIT(29) | BIT(31)) },
	/* caches */
	{ 2, 2, ANY, ALL, ALL, ALL, ALL },
	{ 4, 4, ANY, ALL, ALL, ALL, ALL },
	/*
	 * FSGSBASE, BMI1, AVX2, SMEP, BMI2, ERMS, RDSEED, ADX, SMAP, CLFLUSHOPT,
	 * CLWB, SHA; UMIP, GFNI, VAES, VPCLMULQDQ; FSRM, MD_CLEAR, SERIALIZE.
	 * AVX-512 and AMX wait for XSAVE2; not PKU, CET, TSX, WAITPKG, PT
	 */
	{ 7, 7, 0, 1, BIT(0) | BIT(3) | BIT(5) | BITS(6, 9) | BITS(18, 20) |
	    BIT(23) | BIT(24) | BIT(29),
	    BIT(2) | BIT(8) | BIT(9) | BIT(10), BIT(4) | BIT(10) | BIT(14) },
	/* SHA512, SM3, SM4, AVX_VNNI, CMPCCXADD, fast strings, AVX_IFMA;
	 * AVX_VNNI_INT8, AVX_NE_CONVERT, AVX_VNNI_INT16, PREFETCHI */
	{ 7, 7, 1, BITS(0, 2) | BIT(4) | BIT(7) | BITS(10, 12) | BIT(23),
	    0, 0, BIT(4) | BIT(5) | BIT(10) | BIT(14) },
	/* topology */
	{ 0xb, 0xb, ANY, ALL, ALL, ALL, ALL },
	/* x87, SSE, AVX; XSAVEOPT, XSAVEC, XGETBV(1), no supervisor state */
	{ 0xd, 0xd, 0, BITS(0, 2), ALL, ALL, 0 },
	{ 0xd, 0xd, 1, BITS(0, 2), 0, 0, 0 },
	{ 0xd, 0xd, 2, ALL, ALL, 0, 0 },
	/* frequencies */
	{ 0x15, 0x16, ANY, ALL, ALL, ALL, ALL },
	/* "KVMKVMKVM", but none of its services: they need MSRs */
	{ 0x40000000, 0x40000000, ANY, 0, ALL, ALL, ALL },
	{ 0x80000000, 0x80000000, ANY, ALL, ALL, ALL, ALL },
	/* Not SVM, IBS, XOP, SKINIT, WDT, LWP, FMA4, TCE, performance counters,
	 * MWAITX */
	{ 0x80000001, 0x80000001, ANY, ALL, ALL,
	    BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(22),
	    ALL },
	/* name, caches, invariant TSC */
	{ 0x80000002, 0x80000006, ANY, ALL, ALL, ALL, ALL },
	{ 0x80000007, 0x80000007, ANY, 0, 0, 0, BIT(8) },
	/* sizes of addresses; CLZERO, XSAVEERPTR */
	{ 0x80000008, 0x80000008, ANY, ALL, BIT(0) | BIT(2), 0, 0 },
	/* caches, topology */
	{ 0x8000001d, 0x8000001e, ANY, ALL, ALL, ALL, ALL },
};

static const struct keep *
find(const struct kvm_cpuid_entry2 *e)
{
	const struct keep *k;

	for (k = keep; k < keep + NELEM(keep); k++)
		if (e->function >= k->fn && e->function <= k->fn_end &&
		    (k->index == ANY || k->index == e->index))
			return (k);
	return (NULL);
}

/* Reduce a table of KVM's in place; the guest's XCR0. */
uint64_t
cpuid_reduce(struct kvm_cpuid2 *c)
{
	struct kvm_cpuid_entry2 *e;
	const struct keep *k;
	uint64_t xcr0 = 0;
	uint32_t u, n = 0;

	for (u = 0; u < c->nent; u++) {
		e = &c->entries[u];
		k = find(e);
		if (k == NULL)
			continue;
		e->eax &= k->eax;
		e->ebx &= k->ebx;
		e->ecx &= k->ecx;
		e->edx &= k->edx;
		if (e->function == 0x40000000)
			e->eax = e->function;
		if (e->function == 0xd && e->index == 0)
			xcr0 = e->eax;
		c->entries[n++] = *e;
	}
	memset(&c->entries[n], 0, (c->nent - n) * sizeof c->entries[0]);
	c->nent = n;
	return (xcr0);
}
