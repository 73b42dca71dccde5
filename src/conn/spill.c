/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Bytes kept in host memory, first in, first out.
 *
 * A list of equal chunks rather than one growing buffer: nothing is copied
 * when it grows, and chunks are small enough for the allocator to keep them
 * (a map or unmap costs every VM in the process, so it must not make one per
 * request).
 */

#include "conn/spill.h"
#include "obj.h"

/* With header and the allocator's own: 64 KiB */
#define CHUNK_SIZE	(64 * 1024 - 64)

struct spill_chunk {
	unsigned	magic;
#define SPILL_CHUNK_MAGIC	0x53504348
	struct spill_chunk *next;
	size_t		b, e;		/* data[b] ... data[e - 1] */
	char		data[CHUNK_SIZE];
};

void
spill_init(struct spill *s)
{

	INIT_OBJ(s, SPILL_MAGIC);
}

static void
drop_first(struct spill *s)
{
	struct spill_chunk *c = s->first;

	CHECK_OBJ_NOTNULL(c, SPILL_CHUNK_MAGIC);
	s->first = c->next;
	if (s->first == NULL)
		s->last = NULL;
	FREE_OBJ(c);
}

void
spill_fini(struct spill *s)
{

	CHECK_OBJ_NOTNULL(s, SPILL_MAGIC);
	while (s->first != NULL)
		drop_first(s);
	s->magic = 0;
}

char *
spill_space(struct spill *s, size_t *room)
{
	struct spill_chunk *c;

	CHECK_OBJ_NOTNULL(s, SPILL_MAGIC);
	AN(room);
	c = s->last;
	if (c == NULL || c->e == CHUNK_SIZE) {
		/* Not ALLOC_OBJ: no need to clear the data. */
		c = malloc(sizeof *c);
		if (c == NULL)
			return (NULL);
		c->magic = SPILL_CHUNK_MAGIC;
		c->next = NULL;
		c->b = c->e = 0;
		if (s->last == NULL)
			s->first = c;
		else
			s->last->next = c;
		s->last = c;
	}
	CHECK_OBJ_NOTNULL(c, SPILL_CHUNK_MAGIC);
	*room = CHUNK_SIZE - c->e;
	return (c->data + c->e);
}

void
spill_commit(struct spill *s, size_t len)
{
	struct spill_chunk *c = s->last;

	CHECK_OBJ_NOTNULL(s, SPILL_MAGIC);
	CHECK_OBJ_NOTNULL(c, SPILL_CHUNK_MAGIC);
	assert(len <= CHUNK_SIZE - c->e);
	c->e += len;
	s->len += len;
}

size_t
spill_get(struct spill *s, void *to, size_t len)
{
	struct spill_chunk *c;
	size_t done = 0, n;

	CHECK_OBJ_NOTNULL(s, SPILL_MAGIC);
	AN(to);
	while (done < len && s->len > 0) {
		c = s->first;
		CHECK_OBJ_NOTNULL(c, SPILL_CHUNK_MAGIC);
		n = c->e - c->b;
		if (n > len - done)
			n = len - done;
		(void)memcpy((char *)to + done, c->data + c->b, n);
		c->b += n;
		done += n;
		s->len -= n;
		if (c->b == c->e)
			drop_first(s);
	}
	return (done);
}
