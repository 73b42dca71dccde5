/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The sorted vector of a process's regions.
 */

#include <errno.h>
#include <string.h>

#include "mem/as.h"

static int
vmas_room(struct vmas *s, unsigned more)
{
	struct vma *v;
	unsigned cap;

	if (s->n + more > MAX_VMAS)
		return (-ENOMEM);
	if (s->n + more <= s->cap)
		return (0);
	cap = s->cap == 0 ? 64 : s->cap * 2;
	v = realloc(s->v, cap * sizeof *v);
	if (v == NULL)
		return (-ENOMEM);
	s->v = v;
	s->cap = cap;
	return (0);
}

int
vmas_copy(struct vmas *to, const struct vmas *from)
{

	while (to->cap < from->n) {
		to->n = to->cap;
		if (vmas_room(to, 1) != 0)
			return (-ENOMEM);
	}
	memcpy(to->v, from->v, from->n * sizeof *to->v);
	to->n = from->n;
	return (0);
}

unsigned
vmas_at(const struct vmas *s, uint64_t addr)
{
	unsigned lo = 0, hi = s->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (s->v[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (lo);
}

int
vmas_split(struct vmas *s, uint64_t addr)
{
	struct vma *v;
	unsigned i;

	i = vmas_at(s, addr);
	if (i == s->n || s->v[i].start >= addr)
		return (0);
	if (vmas_room(s, 1) != 0)
		return (-ENOMEM);
	v = &s->v[i];
	memmove(v + 1, v, (s->n - i) * sizeof *v);
	s->n++;
	v[0].end = addr;
	v[1].off += addr - v[1].start;
	v[1].start = addr;
	return (0);
}

int
vmas_insert(struct vmas *s, const struct vma *new)
{
	unsigned i;

	if (vmas_room(s, 1) != 0)
		return (-ENOMEM);
	i = vmas_at(s, new->start);
	memmove(s->v + i + 1, s->v + i, (s->n - i) * sizeof *s->v);
	s->v[i] = *new;
	s->n++;
	return (0);
}

void
vmas_remove(struct vmas *s, uint64_t start, uint64_t end)
{
	unsigned i, j;

	i = vmas_at(s, start);
	for (j = i; j < s->n && s->v[j].start < end; j++)
		continue;
	memmove(s->v + i, s->v + j, (s->n - j) * sizeof *s->v);
	s->n -= j - i;
}

static int
mergeable(const struct vma *a, const struct vma *b)
{

	return (a->end == b->start && a->prot == b->prot &&
	    a->flags == b->flags && a->name == b->name &&
	    a->file == b->file &&
	    !(a->flags & VMA_GROWSDOWN) &&
	    ((a->name == 0 && a->file == 0) || a->off + (a->end - a->start) == b->off));
}

void
vmas_merge(struct vmas *s, uint64_t start, uint64_t end)
{
	unsigned i;

	i = vmas_at(s, start);
	if (i > 0)
		i--;
	while (i + 1 < s->n && s->v[i].start <= end) {
		if (!mergeable(&s->v[i], &s->v[i + 1])) {
			i++;
			continue;
		}
		s->v[i].end = s->v[i + 1].end;
		memmove(s->v + i + 1, s->v + i + 2,
		    (s->n - i - 2) * sizeof *s->v);
		s->n--;
	}
}

uint64_t
vmas_gap(const struct vmas *s, uint64_t len, uint64_t top)
{
	uint64_t lo;
	unsigned i;

	i = vmas_at(s, top - 1);
	if (i < s->n && s->v[i].start < top)
		top = s->v[i].start;
	for (;;) {
		lo = i > 0 ? s->v[i - 1].end : GVA_USER_MIN;
		if (top >= lo && top - lo >= len)
			return (top - len);
		if (i == 0)
			return (0);
		top = s->v[--i].start;
	}
}
