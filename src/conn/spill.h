/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Bytes kept in host memory, first in, first out: what a guest answers while
 * it is still being sent its request.
 */

#ifndef TKVM_SPILL_H
#define TKVM_SPILL_H

#include <stddef.h>

struct spill_chunk;

struct spill {
	unsigned	magic;
#define SPILL_MAGIC	0x5350494c
	struct spill_chunk *first, *last;
	size_t		len;		/* bytes in it */
};

void spill_init(struct spill *);
void spill_fini(struct spill *);
/* Room at the end, *room > 0 bytes of it.  NULL: no memory. */
char *spill_space(struct spill *, size_t *room);
/* `len` bytes of that room have been filled. */
void spill_commit(struct spill *, size_t len);
/* Take up to `len` bytes from the front: how many. */
size_t spill_get(struct spill *, void *, size_t len);

#endif
