/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Mini-objects and assertions.
 *
 * Every structure with a life of its own starts with `unsigned magic`.
 * Assertions are for our own bugs only: nothing that a guest, a client, a
 * configuration or the machine can cause may reach one.
 */

#ifndef TKVM_OBJ_H
#define TKVM_OBJ_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#ifndef AN
#define AN(x)		do { assert((x) != 0); } while (0)
#define AZ(x)		do { assert((x) == 0); } while (0)
#endif

#define INIT_OBJ(to, type_magic)					\
	do {								\
		(void)memset((to), 0, sizeof *(to));			\
		(to)->magic = (type_magic);				\
	} while (0)

/* Leaves NULL behind when memory is short: the caller reports it. */
#define ALLOC_OBJ(to, type_magic)					\
	do {								\
		(to) = calloc(1, sizeof *(to));				\
		if ((to) != NULL)					\
			(to)->magic = (type_magic);			\
	} while (0)

#define FREE_OBJ(to)							\
	do {								\
		(to)->magic = 0;					\
		free(to);						\
		(to) = NULL;						\
	} while (0)

#define CHECK_OBJ(ptr, type_magic)					\
	do {								\
		assert((ptr)->magic == (type_magic));			\
	} while (0)

#define CHECK_OBJ_NOTNULL(ptr, type_magic)				\
	do {								\
		assert((ptr) != NULL);					\
		assert((ptr)->magic == (type_magic));			\
	} while (0)

#define TAKE_OBJ_NOTNULL(to, pfrom, type_magic)				\
	do {								\
		AN(pfrom);						\
		(to) = *(pfrom);					\
		*(pfrom) = NULL;					\
		CHECK_OBJ_NOTNULL(to, type_magic);			\
	} while (0)

#define NELEM(a)	(sizeof (a) / sizeof *(a))
#define PAGE_SZ		4096UL
#define PAGE_MASK	(PAGE_SZ - 1)
#define PAGE_DOWN(x)	((x) & ~PAGE_MASK)
#define PAGE_UP(x)	(((x) + PAGE_MASK) & ~PAGE_MASK)

#endif
