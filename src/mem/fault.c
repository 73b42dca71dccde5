/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Frames on demand.
 *
 * A fault maps several pages around the address, more when faults run on in
 * one direction.  In a fork, frames added inside a region of the image are
 * kept over resets (and zeroed there), so that the next request does not
 * fault; others are taken back.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/as.h"

#define WINDOW_MIN	16UL
#define WINDOW_BOOT_MIN	64UL	/* frames that are not touched cost nothing */
#define WINDOW_BOOT	512UL
#define BACK		32UL		/* more would be memory nobody uses */
#define WINDOW_FORK	64UL
#define GUARD_GAP	(256 * PAGE_SZ)	/* below what grows, stack_guard_gap */
#define GROW_MAX	(8UL << 20)	/* RLIMIT_STACK */
#define EXPECT_MIN	(32UL << 10)	/* smaller ones may not be used */
#define EXPECT_MAX	(1UL << 20)	/* larger ones are reservations */

static int
allows(unsigned prot, unsigned access)
{

	if (access & AS_W)
		return ((prot & AS_W) != 0);
	if (access & AS_X)
		return ((prot & AS_X) != 0);
	return ((prot & (AS_R | AS_W | AS_X)) != 0);
}

static int
pte_allows(uint64_t pte, unsigned access)
{

	if (!(pte & PTE_P))
		return (0);
	if (access & AS_W)
		return ((pte & PTE_W) != 0);
	if (access & AS_X)
		return (!(pte & PTE_NX));
	return (1);
}

/*
 * Host memory for the first of n frames that a booting program will use: a
 * call for all of them costs less than KVM's faults one by one, and KVM maps
 * neighbours along that are there.  A kernel before 5.14 does not know it.
 */
static void
back(const struct as *as, uint64_t gpa, uint64_t n)
{

#ifdef MADV_POPULATE_WRITE
	if (as->image == NULL)
		(void)madvise(as->base + gpa, (n < BACK ? n : BACK) * PAGE_SZ,
		    MADV_POPULATE_WRITE);
#else
	(void)as, (void)gpa, (void)n;
#endif
}

/* Map the absent pages among n at gva (one leaf table) to fresh frames. */
static int
map_window(struct as *as, const struct vma *v, uint64_t gva, uint64_t n)
{
	uint64_t *pte, gpa, i, k, absent;
	int keep;

	pte = pt_leaf(as, gva, 1);
	if (pte == NULL)
		return (-ENOMEM);
	for (i = absent = 0; i < n; i++)
		absent += (pte[i] == 0);
	if (absent == 0)
		return (0);
	if (frame_alloc(as, absent, &gpa) != 0)
		return (-ENOMEM);
	/* Half of the frames stay free for what the next request maps. */
	keep = as->image != NULL && (v->flags & VMA_IMAGE) &&
	    as->nkept + absent <= as->max_kept &&
	    as->nkept + absent <= (as->size - as->lo) / PAGE_SZ / 2;
	for (i = k = 0; i < n; i++) {
		if (pte[i] != 0)
			continue;
		if (keep)
			bit_set(&as->kept, (gpa - as->lo) / PAGE_SZ + k);
		pte_store(as, &pte[i], pte_make(gpa + k * PAGE_SZ, v->prot),
		    !keep);
		k++;
	}
	if (keep)
		as->nkept += absent;
	back(as, gpa, absent);
	return (0);
}

/* How many pages around gva to map at once: [*start, return) */
static uint64_t
window(struct as *as, const struct vma *v, uint64_t gva, uint64_t *start)
{
	const uint64_t max = as->image != NULL ? WINDOW_FORK : WINDOW_BOOT;
	uint64_t s, e, len;

	if (as->last_fault != 0 && gva >= as->last_fault &&
	    gva < as->last_fault + as->window * PAGE_SZ)
		as->window = as->window * 2 > max ? max : as->window * 2;
	else
		as->window = as->image != NULL ? WINDOW_MIN : WINDOW_BOOT_MIN;
	len = as->window * PAGE_SZ;
	s = gva & ~(len - 1);
	e = s + len;
	if (s < v->start)
		s = v->start;
	if (e > v->end)
		e = v->end;
	/* one leaf table */
	if (e > (gva & ~(LEAF_SPAN - 1)) + LEAF_SPAN)
		e = (gva & ~(LEAF_SPAN - 1)) + LEAF_SPAN;
	as->last_fault = e;
	*start = s;
	return (e);
}

/*
 * MAP_GROWSDOWN: the region above gva, made longer; NULL if it may not.  What
 * the image has of it stays a region of its own, with frames that are kept.
 */
static const struct vma *
grow_down(struct as *as, uint64_t gva)
{
	unsigned i = vmas_at(&as->vmas, gva);
	struct vma *v = &as->vmas.v[i], add;

	if (i == as->vmas.n || !(v->flags & VMA_GROWSDOWN) ||
	    v->end - gva > GROW_MAX)
		return (NULL);
	gva = PAGE_DOWN(gva);
	if (gva < GVA_USER_MIN || (i > 0 && v[-1].prot != 0 &&
	    !(v[-1].flags & VMA_GROWSDOWN) && gva - v[-1].end < GUARD_GAP))
		return (NULL);
	as->vmas_changed = 1;
	if (!(v->flags & VMA_IMAGE)) {
		v->start = gva;
		return (v);
	}
	add = *v;
	add.start = gva;
	add.end = v->start;
	add.flags &= (uint8_t)~VMA_IMAGE;
	if (vmas_insert(&as->vmas, &add) != 0)
		return (NULL);
	return (as_find(as, gva));
}

/* A page of a file in memory, which owns the frame */
static int
map_file_page(struct as *as, const struct vma *v, uint64_t gva, uint64_t *pte)
{
	const unsigned prot = v->prot;
	uint64_t gpa;
	int i;

	if (as->pager == NULL)
		return (-ENXIO);
	i = as->pager(as->pager_priv, v->file, (v->off + (gva - v->start)) /
	    PAGE_SZ, &gpa);
	if (i == 0)
		pte_store(as, pte, pte_make(gpa, prot) | PTE_FILE, 1);
	return (i);
}

int
as_fault(struct as *as, uint64_t gva, unsigned access)
{
	const struct vma *v;
	uint64_t *pte, s, e;
	int i;

	CHECK_OBJ_NOTNULL(as, AS_MAGIC);
	v = as_find(as, gva);
	if (v == NULL)
		v = grow_down(as, gva);
	if (v == NULL)
		return (-EFAULT);
	if (!allows(v->prot, access))
		return (-EACCES);
	if (v->flags & VMA_BEYOND)
		return (-ENXIO);
	gva = PAGE_DOWN(gva);
	pte = pt_leaf(as, gva, 1);
	if (pte == NULL)
		return (-ENOMEM);
	if (pte_allows(*pte, access))
		return (0);	/* a stale translation: try again */
	as->faults++;
	if (*pte != 0) {
		pte_store(as, pte, pte_make(*pte & PTE_ADDR, v->prot) |
		    (*pte & PTE_FILE), 1);
		return (0);
	}
	if (v->file != 0)
		return (map_file_page(as, v, gva, pte));
	i = later_fault(as, v, gva);
	if (i <= 0)
		return (i);
	e = window(as, v, gva, &s);
	if (map_window(as, v, s, (e - s) / PAGE_SZ) == 0)
		return (0);
	return (map_window(as, v, gva, 1));
}

/*
 * A booting program that has just asked for a little memory will use it: the
 * entries are made now and not at an exit each.  Frames nobody touches cost
 * nothing but their place.
 */
void
as_expect(struct as *as, uint64_t gva, uint64_t len)
{
	const uint64_t frames = (as->size - as->lo) / PAGE_SZ;
	const struct vma *v;
	uint64_t e, end = gva + len;

	if (as->image != NULL || len < EXPECT_MIN || len > EXPECT_MAX ||
	    as->nused > frames / 4)
		return;
	for (; gva < end; gva = e) {
		v = as_find(as, gva);
		if (v == NULL || v->file != 0 || !(v->prot & AS_W) ||
		    v->end < end)
			return;
		e = (gva & ~(LEAF_SPAN - 1)) + LEAF_SPAN;
		if (e > end)
			e = end;
		if (map_window(as, v, gva, (e - gva) / PAGE_SZ) != 0)
			return;
	}
}

int
as_populate(struct as *as, uint64_t gva, uint64_t len)
{
	const struct vma *v;
	uint64_t end, e, *pte;

	end = PAGE_UP(gva + len);
	if (later_settle(as, PAGE_DOWN(gva), end) != 0)
		return (-EFAULT);
	for (gva = PAGE_DOWN(gva); gva < end; gva = e) {
		v = as_find(as, gva);
		if (v == NULL || (v->flags & VMA_BEYOND))
			return (-EFAULT);
		e = (gva & ~(LEAF_SPAN - 1)) + LEAF_SPAN;
		if (e > end)
			e = end;
		if (e > v->end)
			e = v->end;
		if (v->file != 0) {
			e = gva + PAGE_SZ;
			pte = pt_leaf(as, gva, 1);
			if (pte == NULL)
				return (-ENOMEM);
			if (*pte == 0 && map_file_page(as, v, gva, pte) != 0)
				return (-EFAULT);
			continue;
		}
		if (map_window(as, v, gva, (e - gva) / PAGE_SZ) == 0)
			continue;
		/* no run that long: page by page */
		e = gva + PAGE_SZ;
		if (map_window(as, v, gva, 1) != 0)
			return (-ENOMEM);
	}
	return (0);
}
