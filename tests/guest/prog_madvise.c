/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * madvise(2) after mappings were cut up: what MADV_DONTNEED forgets, and what
 * it must not.
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include "prog.h"

#define PG	4096UL

static unsigned char *
area(size_t pages, int flags)
{
	unsigned char *p;

	p = mmap(NULL, pages * PG, PROT_READ | PROT_WRITE,
	    flags | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		exit(99);
	memset(p, 0x55, pages * PG);
	return (p);
}

static int
all(const unsigned char *p, size_t pages, unsigned char c)
{
	size_t i;

	for (i = 0; i < pages * PG; i++)
		if (p[i] != c)
			return (0);
	return (1);
}

/* The second half of a mapping that mprotect(2) has split */
static void
split(void)
{
	unsigned char *p = area(64, MAP_PRIVATE);

	OK(mprotect(p, 16 * PG, PROT_READ) == 0);
	OK(madvise(p + 16 * PG, 16 * PG, MADV_DONTNEED) == 0);
	OK(all(p + 16 * PG, 16, 0));
	OK(all(p, 16, 0x55));
	OK(all(p + 32 * PG, 32, 0x55));
	/* over the boundary, and only a part of the last one */
	OK(madvise(p + 8 * PG, 30 * PG, MADV_DONTNEED) == 0);
	OK(all(p + 8 * PG, 30, 0));
	OK(all(p + 38 * PG, 26, 0x55));
	OK(munmap(p + 4 * PG, 4 * PG) == 0);
	ERR(madvise(p, 64 * PG, MADV_DONTNEED), ENOMEM);
	OK(all(p, 4, 0) && all(p + 8 * PG, 56, 0));
}

static void
shared(void)
{
	unsigned char *p = area(4, MAP_SHARED);

	OK(madvise(p, 4 * PG, MADV_DONTNEED) == 0);
	OK(all(p, 4, 0x55));
}

static void
heap(void)
{
	unsigned char *p = sbrk(0);

	p = (unsigned char *)(((uintptr_t)p + PG - 1) & ~(PG - 1));
	OK(brk(p + 8 * PG) == 0);
	memset(p, 0x55, 8 * PG);
	OK(madvise(p, 8 * PG, MADV_DONTNEED) == 0);
	OK(all(p, 8, 0));
}

/* Grown in place, and what is behind it stays unmapped */
static void
grown(void)
{
	unsigned char *p = area(64, MAP_PRIVATE), vec;

	OK(munmap(p + 16 * PG, 48 * PG) == 0);
	OK(mremap(p, 16 * PG, 32 * PG, 0) == p);
	OK(all(p, 16, 0x55) && all(p + 16 * PG, 16, 0));
	OK(madvise(p + 8 * PG, 24 * PG, MADV_DONTNEED) == 0);
	OK(all(p, 8, 0x55) && all(p + 8 * PG, 24, 0));
	ERR(mincore(p + 32 * PG, PG, &vec), ENOMEM);
}

/* Ranges that wrap around */
static void
wrap(void)
{
	unsigned char vec;

	ERR(syscall(SYS_mincore, -PG, 2 * PG, &vec), ENOMEM);
	ERR(syscall(SYS_madvise, -PG, 2 * PG, MADV_DONTNEED), EINVAL);
	ERR(syscall(SYS_mprotect, -PG, 2 * PG, PROT_READ), ENOMEM);
	ERR(syscall(SYS_munmap, -PG, 2 * PG), EINVAL);
}

int
main(void)
{

	split();
	shared();
	heap();
	grown();
	wrap();
	return (0);
}
