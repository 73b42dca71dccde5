/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * mremap: grow in place or move, shrink, MREMAP_FIXED.
 */

#define _GNU_SOURCE
#include <sys/mman.h>

#include "prog.h"

#define PG	4096UL
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

static int
filled(const char *p, size_t n, char c)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != c)
			return (0);
	return (1);
}

int
main(void)
{
	char *p, *q, *r;

	p = mmap(NULL, 16 * PG, RW, ANON, -1, 0);
	(void)memset(p, 'a', 16 * PG);
	/* Shrink, then grow into the room it left. */
	OK(mremap(p, 16 * PG, 8 * PG, 0) == p);
	OK(mremap(p, 8 * PG, 12 * PG, 0) == p);
	OK(filled(p, 8 * PG, 'a') && filled(p + 8 * PG, 4 * PG, 0));
	/* Something in the way: it has to move. */
	q = mmap(p + 12 * PG, PG, RW, ANON | MAP_FIXED, -1, 0);
	OK(q == p + 12 * PG);
	*q = 'q';
	ERR(mremap(p, 12 * PG, 20 * PG, 0), ENOMEM);
	r = mremap(p, 12 * PG, 20 * PG, MREMAP_MAYMOVE);
	OK(r != MAP_FAILED && r != p);
	OK(filled(r, 8 * PG, 'a') && filled(r + 8 * PG, 12 * PG, 0));
	OK(*q == 'q');
	/* To a place of our choice, over what is there. */
	p = mmap(NULL, 20 * PG, RW, ANON, -1, 0);
	(void)memset(p, 'p', 20 * PG);
	OK(mremap(r, 20 * PG, 20 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
	OK(filled(p, 8 * PG, 'a') && filled(p + 8 * PG, 12 * PG, 0));
	ERR(mremap(r, PG, 2 * PG, MREMAP_MAYMOVE), EFAULT);
	ERR(mremap(p + 1, PG, 2 * PG, MREMAP_MAYMOVE), EINVAL);
	OK(munmap(p, 20 * PG) == 0);
	/* A big block through realloc, which uses mremap. */
	p = malloc(1 << 20);
	(void)memset(p, 'm', 1 << 20);
	q = realloc(p, 8 << 20);
	OK(q != NULL && filled(q, 1 << 20, 'm'));
	r = realloc(q, 300 << 10);
	OK(r != NULL && filled(r, 300 << 10, 'm'));
	free(r);
	return (0);
}
