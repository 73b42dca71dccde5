/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel half of a guest's address space: segments, gates, task state and
 * the page tables that map them.  Intel SDM vol. 3, chapters 3 to 7.
 *
 * Where the entry code runs in ring 3 the I/O bitmap lets it leave by
 * PORT_SYSCALL or PORT_LEAVE, and the program as well.  Where it runs in ring 0 all ports are
 * closed to the program: an `insb` of its own would be finished by KVM at the
 * next entry, be that another request's.
 */

#include <stdint.h>
#include <string.h>

#include "kvm/kvm.h"
#include "layout.h"
#include "obj.h"

#define TSS_LIMIT	(0x68 + 0x2000)	/* bitmap of 64 Ki ports and 0xff */
#define NVECTORS	32

static void
gdt_build(uint64_t *g)
{

	/* Accessed and busy bits are preset: the CPU need not write here. */
	g[SEL_KCS >> 3] = 0x00af9b000000ffffUL;
	g[SEL_KSS >> 3] = 0x00cf93000000ffffUL;
	g[4] = 0x00cffb000000ffffUL;		/* ring 3, 32 bit code */
	g[SEL_USS >> 3] = 0x00cff3000000ffffUL;
	g[SEL_UCS >> 3] = 0x00affb000000ffffUL;
	g[SEL_TSS >> 3] = (TSS_LIMIT & 0xffff) |
	    ((GVA_TSS & 0xffffff) << 16) | (0x8bUL << 40) |
	    (((GVA_TSS >> 24) & 0xff) << 56);
	g[(SEL_TSS >> 3) + 1] = GVA_TSS >> 32;
}

static void
tss_build(uint8_t *t, int user_out)
{
	const uint64_t ist = GVA_IST_TOP;

	memcpy(t + 4, &ist, 8);			/* RSP0 */
	memcpy(t + 36, &ist, 8);		/* IST1 */
	t[102] = 0x68;				/* I/O bitmap base */
	memset(t + 0x68, 0xff, 0x2001);
	if (user_out) {
		t[0x68 + PORT_SYSCALL / 8] &= (uint8_t)~(
		    (1u << (PORT_SYSCALL % 8)) | (1u << (PORT_LEAVE % 8)));
	}
}

static void
idt_build(uint64_t *d, uint8_t *code)
{
	uint64_t h, type;
	unsigned v;

	for (v = 0; v < NVECTORS; v++) {
		/* out %al, $PORT_VECTOR + v; hlt */
		code[v * 4] = 0xe6;
		code[v * 4 + 1] = PORT_VECTOR + v;
		code[v * 4 + 2] = 0xf4;
		h = GVA_GATES + v * 4;
		/* int3 and into may be raised by the program */
		type = (v == 3 || v == 4) ? 0xee : 0x8e;
		d[v * 2] = (h & 0xffff) | ((uint64_t)SEL_KCS << 16) |
		    (1UL << 32) | (type << 40) |
		    (((h >> 16) & 0xffff) << 48);
		d[v * 2 + 1] = h >> 32;
	}
}

void
kern_map(uint8_t *ram, uint64_t gpa, unsigned flags)
{
	uint64_t *pt = (void *)(ram + GPA_KPT);

	assert(gpa < 0x200000);
	pt[gpa >> 12] = gpa | PTE_P | PTE_A | PTE_D |
	    ((flags & KMAP_W) ? PTE_W : 0) |
	    ((flags & KMAP_U) ? PTE_U : 0) |
	    ((flags & KMAP_X) ? 0 : PTE_NX);
}

void
kern_map_gk(uint8_t *ram, unsigned flags)
{
	uint64_t *pd = (void *)(ram + GPA_KPD), off;

	for (off = 0; off < GPA_MFS - GPA_GK; off += 0x200000)
		pd[((GVA_GK + off) >> 21) & 511] = (GPA_GK + off) | PTE_P |
		    PTE_W | PTE_A | PTE_D | PTE_PS | PTE_NX |
		    ((flags & KMAP_U) ? PTE_U : 0);
}

void
kern_tables(uint8_t *ram, int user_out)
{
	const uint64_t link = PTE_P | PTE_W | PTE_U | PTE_A;
	uint64_t *t, gpa;

	gdt_build((void *)(ram + GPA_GDT));
	tss_build(ram + GPA_TSS, user_out);
	idt_build((void *)(ram + GPA_IDT), ram + GPA_GATES);

	t = (void *)(ram + GPA_PML4);
	t[(GVA_KERN >> 39) & 511] = GPA_KPDPT | link;
	t = (void *)(ram + GPA_KPDPT);
	t[(GVA_KERN >> 30) & 511] = GPA_KPD | link;
	t = (void *)(ram + GPA_KPD);
	t[(GVA_KERN >> 21) & 511] = GPA_KPT | link;

	for (gpa = GPA_TSS; gpa < GPA_TSS + 0x3000; gpa += PAGE_SZ)
		kern_map(ram, gpa, 0);
	kern_map(ram, GPA_GDT, 0);
	kern_map(ram, GPA_IDT, 0);
	kern_map(ram, GPA_GATES, KMAP_X);
	kern_map(ram, GPA_IST, KMAP_W);
}
