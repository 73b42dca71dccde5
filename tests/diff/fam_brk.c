/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * brk(2).
 */

#include "diff.h"

static uint64_t
brk_raw(uint64_t to)
{

	return ((uint64_t)syscall(SYS_brk, to));
}

CASE(grow_and_shrink)
{
	uint64_t b = brk_raw(0);
	uint8_t *p = (uint8_t *)((b + PG - 1) & ~(PG - 1));

	SHOW(brk_raw(b + 16 * PG) == b + 16 * PG);
	SHOW(p[0]);
	p[0] = 7;
	p[15 * PG - 1] = 8;
	SHOW(brk_raw((uint64_t)p) == (uint64_t)p);
	READS(p);
	/* what comes back is zeroed */
	SHOW(brk_raw(b + 16 * PG) == b + 16 * PG);
	SHOW(p[0]);
	SHOW(brk_raw(b) == b);
}

CASE(unaligned)
{
	uint64_t b = brk_raw(0);

	SHOW(brk_raw(b + 1) == b + 1);
	SHOW(brk_raw(b + 4097) == b + 4097);
	SHOW(brk_raw(0) == b + 4097);
	SHOW(brk_raw(b) == b);
}

CASE(impossible)
{
	uint64_t b = brk_raw(0);

	/* answers where the break is */
	SHOW(brk_raw(1) == b);
	SHOW(brk_raw(b - (1UL << 40)) == b);
	SHOW(brk_raw(UINT64_MAX) == b);
	SHOW(brk_raw(1UL << 62) == b);
}

CASE(sbrk_libc)
{
	void *p = sbrk(0);

	SHOW(sbrk(100) == p);
	SHOW((char *)sbrk(0) - (char *)p);
	SHOW(sbrk(-100) == (char *)p + 100);
	WORKS(sbrk((intptr_t)1 << 50));
}

CASE(into_a_mapping)
{
	uint64_t b = brk_raw(0), e = (b + PG - 1) & ~(PG - 1);
	void *p;

	p = mmap((void *)(e + 64 * PG), PG, PROT_READ,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	MUST(p != MAP_FAILED);
	SHOW(brk_raw(e + 65 * PG) == b);
	SHOW(brk_raw(e + 32 * PG) == e + 32 * PG);
	SHOW(brk_raw(b) == b);
	RET(munmap(p, PG));
}
