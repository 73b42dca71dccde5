/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * brk and sbrk, and an allocator that uses them hard.
 */

#define _DEFAULT_SOURCE
#include <malloc.h>

#include "prog.h"

int
main(void)
{
	static char buf[BUFSIZ];
	char *p, *q, *v[512];
	unsigned i, round, bad = 0;

	/* Else the first printf() would take a buffer from the heap. */
	(void)setvbuf(stdout, buf, _IOFBF, sizeof buf);
	p = sbrk(0);
	OK(p != (void *)-1);
	OK(sbrk(100000) == p);
	OK(sbrk(0) == p + 100000);
	for (i = 0; i < 100000; i++)
		bad += p[i] != 0;
	OK(bad == 0);
	(void)memset(p, 1, 100000);
	OK(brk(p + 50) == 0 && sbrk(0) == p + 50);
	OK(p[49] == 1);
	OK(brk(p + 100000) == 0);
	/* What was given back comes again as zeros. */
	q = (char *)(((uintptr_t)p + 50 + 4095) & ~4095UL);
	OK(*q == 0 && p[99999] == 0);
	OK(brk(p) == 0);
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 20);
	(void)memset(v, 0, sizeof v);
	for (round = 0; round < 20; round++) {
		for (i = round % 3; i < 512; i += 1 + round % 5) {
			free(v[i]);
			v[i] = malloc(1 + i * 97 % 30000);
			if (v[i] == NULL)
				return (1);
			(void)memset(v[i], (int)i, 1 + i * 97 % 30000);
		}
	}
	for (i = 0; i < 512; i++) {
		bad += v[i] != NULL && (unsigned char)v[i][i * 97 % 30000] !=
		    (unsigned char)i;
		free(v[i]);
	}
	OK(bad == 0);
	OK(malloc_trim(0) >= 0);
	return (0);
}
