/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Files whose bytes are guest frames, so that fork and reset restore them like
 * all of the guest's memory, and so that the program can map them shared.
 *
 * A file is a tree of frames: its root is the only page (height 0) or a frame
 * of 512 addresses.  No frame of it is in the guest's address space, but for
 * the pages that a shared mapping shows; those entries carry PTE_FILE, and
 * whoever unmaps them leaves the frame alone.
 */

#include <errno.h>
#include <string.h>

#include "mem/as.h"

#define FANOUT		512UL
#define BIG_RUN		16	/* frames worth a host call to give back */

uint8_t *
as_frame(struct as *as, uint64_t gpa)
{

	if (gpa == 0 || gpa > as->slot_end - PAGE_SZ)
		return (NULL);
	return (as->base + gpa);
}

void
as_touch(struct as *as, const void *p, size_t len)
{

	as_mark(as, (uint64_t)((const uint8_t *)p - as->base), len);
}

/* ---- giving frames back ------------------------------------------------------- */

struct run {
	struct as	*as;
	uint64_t	gpa, n;
};

/*
 * No translation leads to these frames any more: so a short run is only
 * zeroed, which costs far less than a memory-map operation.
 */
static void
run_end(struct run *r)
{
	uint64_t i;

	if (r->n >= BIG_RUN)
		frame_free(r->as, r->gpa, r->n);
	else if (r->n > 0) {
		memset(r->as->base + r->gpa, 0, r->n * PAGE_SZ);
		i = (r->gpa - r->as->lo) / PAGE_SZ;
		r->as->nused -= r->n;
		if (i < r->as->hint)
			r->as->hint = i;
		for (; r->n > 0; r->n--, i++)
			bit_clear(&r->as->used, i);
	}
	r->n = 0;
}

static void
run_add(struct run *r, uint64_t gpa)
{

	/* Frames of the image stay: the reset brings their owner back. */
	if (gpa < r->as->lo)
		return;
	if (r->n == 0 || r->gpa + r->n * PAGE_SZ != gpa) {
		run_end(r);
		r->gpa = gpa;
	}
	r->n++;
}

/* ---- the tree ------------------------------------------------------------------- */

static uint64_t
span(unsigned height)
{
	uint64_t n = 1;

	while (height-- > 0)
		n *= FANOUT;
	return (n);
}

static int
new_frame(struct as *as, uint64_t *gpa)
{

	return (frame_alloc(as, 1, gpa) != 0 ? -ENOSPC : 0);
}

/* Make the tree high enough for page pg. */
static int
tree_grow(struct as *as, struct memfile *f, uint64_t pg)
{
	uint64_t gpa, *t;

	while (pg >= span(f->height)) {
		if (f->height == MEMFILE_HEIGHT)
			return (-EFBIG);
		if (f->root != 0) {
			if (new_frame(as, &gpa) != 0)
				return (-ENOSPC);
			t = (void *)as_frame(as, gpa);
			as_mark(as, gpa, 8);
			t[0] = f->root;
			f->root = gpa;
		}
		f->height++;
	}
	return (0);
}

int
memfile_page(struct as *as, struct memfile *f, uint64_t pg, int alloc,
    uint64_t *gpa)
{
	uint64_t *slot = &f->root, *t;
	unsigned h;

	*gpa = 0;
	if (pg >= span(f->height)) {
		if (!alloc)
			return (0);
		if (tree_grow(as, f, pg) != 0)
			return (pg >= span(MEMFILE_HEIGHT) ? -EFBIG : -ENOSPC);
	}
	for (h = f->height; ; h--) {
		if (*slot == 0) {
			if (!alloc)
				return (0);
			if (new_frame(as, gpa) != 0)
				return (-ENOSPC);
			as_touch(as, slot, 8);
			*slot = *gpa;
			f->npages += h == 0;
		}
		if (h == 0)
			break;
		t = (void *)as_frame(as, *slot);
		if (t == NULL)
			return (-EIO);
		slot = &t[(pg / span(h - 1)) % FANOUT];
	}
	*gpa = *slot;
	return (0);
}

/* Free the pages [from, to) of the part that begins at page `at`; whether it
 * is empty now (looked at only when it was freed as a whole). */
static void
cut(struct run *r, struct memfile *f, uint64_t *slot, unsigned h, uint64_t at,
    uint64_t from, uint64_t to)
{
	uint64_t *t, i, n;

	if (*slot == 0 || at >= to || at + span(h) <= from)
		return;
	if (h > 0) {
		t = (void *)as_frame(r->as, *slot);
		n = span(h - 1);
		for (i = 0; t != NULL && i < FANOUT; i++)
			if (t[i] != 0)
				cut(r, f, &t[i], h - 1, at + i * n, from, to);
		if (from > at || to < at + span(h))
			return;
	} else
		f->npages--;
	run_add(r, *slot);
	as_touch(r->as, slot, 8);
	*slot = 0;
}

void
memfile_cut(struct as *as, struct memfile *f, uint64_t from, uint64_t to)
{
	struct run r = { as, 0, 0 };

	cut(&r, f, &f->root, f->height, 0, from, to);
	run_end(&r);
	if (f->root == 0)
		f->height = 0;
}

uint64_t
memfile_next(struct as *as, struct memfile *f, uint64_t pg, uint64_t end,
    int data)
{
	uint64_t slot, *t;
	unsigned h;

	while (pg < end) {
		if (pg >= span(f->height))
			return (data ? end : pg);
		slot = f->root;
		for (h = f->height; h > 0 && slot != 0; h--) {
			t = (void *)as_frame(as, slot);
			slot = t == NULL ? 0 : t[(pg / span(h - 1)) % FANOUT];
		}
		if ((slot != 0) == data)
			return (pg);
		/* a missing part is left out as a whole */
		pg = (pg / span(h) + 1) * span(h);
	}
	return (end);
}

/* ---- shared mappings -------------------------------------------------------------- */

int
as_map_file(struct as *as, uint64_t addr, uint64_t len, uint32_t file,
    int nowrite)
{
	struct vmas *s = &as->vmas;
	uint64_t end = addr + PAGE_UP(len);
	unsigned i;

	if (vmas_split(s, addr) != 0 || vmas_split(s, end) != 0)
		return (-ENOMEM);
	for (i = vmas_at(s, addr); i < s->n && s->v[i].start < end; i++) {
		s->v[i].file = file;
		if (nowrite)
			s->v[i].flags |= VMA_NEVER_W;
	}
	vmas_merge(s, addr, end);
	return (0);
}

int
as_maps_file(struct as *as, uint32_t file, unsigned prot)
{
	unsigned u;

	for (u = 0; u < as->vmas.n; u++)
		if (as->vmas.v[u].file == file &&
		    (as->vmas.v[u].prot & prot) == prot)
			return (1);
	return (0);
}

static int
zap_one(struct as *as, uint64_t gva, uint64_t *pte, void *priv)
{

	(void)gva;
	(void)priv;
	pte_store(as, pte, 0, 1);
	return (0);
}

void
as_file_zap(struct as *as, uint32_t file, uint64_t from, uint64_t to)
{
	const struct vma *v;
	uint64_t first, s, e;
	unsigned u;

	for (u = 0; u < as->vmas.n; u++) {
		v = &as->vmas.v[u];
		if (v->file != file)
			continue;
		first = v->off / PAGE_SZ;
		s = from > first ? v->start + (from - first) * PAGE_SZ :
		    v->start;
		if (from > first && from - first >=
		    (v->end - v->start) / PAGE_SZ)
			continue;
		if (to <= first)
			continue;
		e = to - first < (v->end - v->start) / PAGE_SZ ?
		    v->start + (to - first) * PAGE_SZ : v->end;
		(void)pt_each(as, s, e, zap_one, NULL);
	}
	flush_commit(as);
}
