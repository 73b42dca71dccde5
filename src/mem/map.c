/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), brk(2) on the
 * guest's regions.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/as.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define MAP_32BIT_	0x40
#define MREMAP_DONTUNMAP_ 4u
#define ZERO_IN_PLACE	1024	/* pages; above: unmap and fault again */

static int
range_ok(uint64_t addr, uint64_t len)
{

	return ((addr & PAGE_MASK) == 0 && len > 0 && len <= GVA_USER_END &&
	    addr >= GVA_USER_MIN && addr <= GVA_USER_END - len);
}

const struct vma *
as_find(struct as *as, uint64_t addr)
{
	unsigned i;

	i = vmas_at(&as->vmas, addr);
	if (i == as->vmas.n || as->vmas.v[i].start > addr)
		return (NULL);
	return (&as->vmas.v[i]);
}

const struct vma *
as_next(struct as *as, uint64_t addr)
{
	unsigned i;

	i = vmas_at(&as->vmas, addr);
	return (i == as->vmas.n ? NULL : &as->vmas.v[i]);
}

int
as_covered(struct as *as, uint64_t addr, uint64_t len)
{
	const struct vma *v;
	uint64_t end;

	if (__builtin_add_overflow(addr, len, &end))
		return (0);
	while (addr < end) {
		v = as_find(as, addr);
		if (v == NULL)
			return (0);
		addr = v->end;
	}
	return (1);
}

int
as_present(struct as *as, uint64_t addr)
{
	uint64_t *pte = pt_leaf(as, addr, 0);

	return (pte != NULL && *pte != 0);
}

uint64_t
as_rss(struct as *as)
{

	return ((as->nused + (as->image != NULL ? as->image->nused : 0)) *
	    PAGE_SZ);
}

void
as_frames(const struct as *as, uint64_t *total, uint64_t *avail)
{

	*total = (as->size - as->lo) / PAGE_SZ;
	*avail = *total > as->nused ? *total - as->nused : 0;
}

uint64_t
as_vsz(struct as *as)
{
	uint64_t sum = 0;
	unsigned u;

	for (u = 0; u < as->vmas.n; u++)
		sum += as->vmas.v[u].end - as->vmas.v[u].start;
	return (sum);
}

int
as_has(struct as *as, uint64_t addr, uint64_t len, uint8_t with,
    uint8_t without)
{
	const struct vma *v;

	for (v = as_next(as, addr); v != NULL && v->start < addr + len;
	    v = as_next(as, v->end))
		if ((v->flags & with) != 0 || (without & ~v->flags) != 0)
			return (1);
	return (0);
}

int
as_allows(struct as *as, uint64_t addr, uint64_t len, unsigned access)
{
	const struct vma *v;

	for (v = as_next(as, addr); v != NULL && v->start < addr + len;
	    v = as_next(as, v->end))
		if (!(v->prot & access))
			return (0);
	return (1);
}

/* ---- unmap ----------------------------------------------------------------------- */

/* Frames leave in runs: giving each back alone costs a host call apiece. */
struct freeing {
	uint64_t	gpa, n;
};

static void
freeing_end(struct as *as, struct freeing *f)
{

	if (f->n > 0)
		frame_free(as, f->gpa, f->n);
	f->n = 0;
}

/* Is this frame the request's own, to be freed when it is unmapped? */
static int
frame_temp(const struct as *as, uint64_t gpa)
{

	if (gpa < as->lo)
		return (0);
	return (as->image == NULL ||
	    !bit_get(&as->kept, (gpa - as->lo) / PAGE_SZ));
}

static int
unmap_one(struct as *as, uint64_t gva, uint64_t *pte, void *priv)
{
	struct freeing *f = priv;
	uint64_t gpa = *pte & PTE_ADDR;

	(void)gva;
	if ((*pte & PTE_FILE) || !frame_temp(as, gpa)) {
		pte_store(as, pte, 0, 1);
		return (0);
	}
	/* Freeing it drops KVM's translations; the journal must not bring
	 * the frame back. */
	if (f->n == 0 || f->gpa + f->n * PAGE_SZ != gpa) {
		freeing_end(as, f);
		f->gpa = gpa;
	}
	f->n++;
	*pte = 0;
	if (as->vm->host->pub.entry == TKVM_RING0)
		flush_add(as, gpa, PAGE_SZ);
	return (0);
}

static void
unmap_frames(struct as *as, uint64_t start, uint64_t end)
{
	struct freeing f = { 0, 0 };

	(void)pt_each(as, start, end, unmap_one, &f);
	freeing_end(as, &f);
}

/* Make start and end boundaries of VMAs. */
static int
split2(struct as *as, uint64_t start, uint64_t end)
{

	as->vmas_changed = 1;
	if (vmas_split(&as->vmas, start) != 0 ||
	    vmas_split(&as->vmas, end) != 0)
		return (-ENOMEM);
	return (0);
}

/*
 * Entries of [start, end) have been cleared and are in the journal: frames
 * that come there now must not be kept, the reset puts the old ones back.
 */
static int
not_image(struct as *as, uint64_t start, uint64_t end)
{
	struct vmas *s = &as->vmas;
	unsigned i;

	if (as->image == NULL)
		return (0);
	if (split2(as, start, end) != 0) {
		as->overflow = 1;
		return (-ENOMEM);
	}
	for (i = vmas_at(s, start); i < s->n && s->v[i].start < end; i++)
		s->v[i].flags &= (uint8_t)~VMA_IMAGE;
	return (0);
}

int
as_unmap(struct as *as, uint64_t addr, uint64_t len)
{
	uint64_t end;

	len = PAGE_UP(len);
	/* low addresses can be unmapped though they cannot be mapped */
	if ((addr & PAGE_MASK) || len == 0 || len > GVA_USER_END ||
	    addr > GVA_USER_END - len)
		return (-EINVAL);
	end = addr + len;
	if (as_next(as, addr) == NULL || as_next(as, addr)->start >= end)
		return (0);
	if (as_has(as, addr, len, VMA_FIXEDPART, 0))
		return (-EPERM);
	(void)later_settle(as, addr, end);
	if (split2(as, addr, end) != 0)
		return (-ENOMEM);
	unmap_frames(as, addr, end);
	vmas_remove(&as->vmas, addr, end);
	flush_commit(as);
	return (0);
}

/*
 * max-address-space: what can be accessed counts; reservations without access
 * rights are as large as a runtime likes.
 */
static int
over_limit(const struct as *as, uint64_t more)
{
	const struct vma *v = as->vmas.v;
	uint64_t sum = more;
	unsigned u;

	for (u = 0; u < as->vmas.n; u++)
		if (v[u].prot != 0)
			sum += v[u].end - v[u].start;
	return (as->vsz_limit != 0 && sum > as->vsz_limit);
}

/* ---- map ------------------------------------------------------------------------- */

static int64_t
place(struct as *as, uint64_t addr, uint64_t len, unsigned flags)
{
	const struct vma *v;
	uint64_t a;

	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
		if (addr & PAGE_MASK)
			return (-EINVAL);
		if (!range_ok(addr, len))
			return (addr < GVA_USER_MIN ? -EPERM : -ENOMEM);
		v = as_next(as, addr);
		if ((flags & MAP_FIXED_NOREPLACE) && v != NULL &&
		    v->start < addr + len)
			return (-EEXIST);
		return ((int64_t)addr);
	}
	addr = PAGE_DOWN(addr);
	if (range_ok(addr, len)) {
		v = as_next(as, addr);
		if (v == NULL || v->start >= addr + len)
			return ((int64_t)addr);
	}
	a = vmas_gap(&as->vmas, len,
	    (flags & MAP_32BIT_) ? 0x80000000UL : GVA_MMAP_TOP);
	if (a == 0 && !(flags & MAP_32BIT_))
		a = vmas_gap(&as->vmas, len, GVA_USER_END);
	return (a == 0 ? -ENOMEM : (int64_t)a);
}

int64_t
as_map(struct as *as, uint64_t addr, uint64_t len, unsigned prot,
    unsigned flags, const char *name, uint64_t off)
{
	struct vma v;
	int64_t a;
	int i;

	CHECK_OBJ_NOTNULL(as, AS_MAGIC);
	if (len == 0)
		return (-EINVAL);
	if (len > GVA_USER_END)
		return (-ENOMEM);
	len = PAGE_UP(len);
	if ((prot & 7) != 0 && over_limit(as, len))
		return (-ENOMEM);
	a = place(as, addr, len, flags);
	if (a < 0)
		return (a);
	if (flags & MAP_FIXED) {
		i = as_unmap(as, (uint64_t)a, len);
		if (i != 0)
			return (i);
	}
	memset(&v, 0, sizeof v);
	v.start = (uint64_t)a;
	v.end = v.start + len;
	v.off = off;
	v.prot = prot & 7;
	v.flags = (uint8_t)(((flags & MAP_SHARED) ? VMA_SHARED : 0) |
	    ((flags & MAP_GROWSDOWN) ? VMA_GROWSDOWN : 0));
	v.name = (uint16_t)as_name_add(as, name);
	as->vmas_changed = 1;
	if (vmas_insert(&as->vmas, &v) != 0)
		return (-ENOMEM);
	if (name == NULL || !(flags & MAP_SHARED)) /* as_map_file() comes */
		vmas_merge(&as->vmas, v.start, v.end);
	if ((flags & MAP_ANONYMOUS) || (name != NULL && !strcmp(name, "[heap]")))
		as_expect(as, (uint64_t)a, len);
	return (a);
}

void
as_file_pager(struct as *as, as_pager_f *fn, void *priv)
{

	as->pager = fn;
	as->pager_priv = priv;
}

/* ---- mprotect --------------------------------------------------------------------- */

static int
protect_one(struct as *as, uint64_t gva, uint64_t *pte, void *priv)
{

	(void)gva;
	pte_store(as, pte, pte_make(*pte & PTE_ADDR, *(unsigned *)priv) |
	    (*pte & PTE_FILE), 1);
	return (0);
}

/* How much of a range there is before the first hole; *r: -ENOMEM if one */
static uint64_t
covered(struct as *as, uint64_t addr, uint64_t len, int *r)
{
	const struct vma *v;
	uint64_t a = addr;

	while (a < addr + len && (v = as_find(as, a)) != NULL)
		a = v->end;
	*r = a < addr + len ? -ENOMEM : 0;
	return (a < addr + len ? a - addr : len);
}

int
as_protect(struct as *as, uint64_t addr, uint64_t len, unsigned prot)
{
	struct vmas *s = &as->vmas;
	uint64_t end;
	unsigned i;
	int r, fresh;

	if (addr & PAGE_MASK)
		return (-EINVAL);
	if (len == 0)
		return (0);
	if (len > GVA_USER_END || addr > GVA_USER_END - PAGE_UP(len))
		return (-ENOMEM);
	len = covered(as, addr, PAGE_UP(len), &r);
	if (len == 0)
		return (r);
	end = addr + len;
	prot &= 7;
	if ((prot & AS_W) && as_has(as, addr, len, VMA_NEVER_W, 0))
		return (-EACCES);
	for (i = vmas_at(s, addr); i < s->n && s->v[i].start < end; i++)
		if (s->v[i].prot != prot)
			break;
	if (i == s->n || s->v[i].start >= end)
		return (r);
	if (prot != 0 && s->v[i].prot == 0 && over_limit(as, len))
		return (-ENOMEM);
	fresh = s->v[i].prot == 0 && s->v[i].name == 0;
	if (split2(as, addr, end) != 0)
		return (-ENOMEM);
	for (i = vmas_at(s, addr); i < s->n && s->v[i].start < end; i++) {
		if (s->v[i].prot == prot)
			continue;
		s->v[i].prot = (uint8_t)prot;
		s->v[i].flags &= (uint8_t)~VMA_IMAGE;
		(void)pt_each(as, s->v[i].start, s->v[i].end, protect_one,
		    &prot);
	}
	vmas_merge(s, addr, end);
	flush_commit(as);
	if (fresh)
		as_expect(as, addr, len);
	return (r);
}

/* ---- mremap ------------------------------------------------------------------------ */

struct moving {
	uint64_t	delta;
	int		failed;
};

static int
move_one(struct as *as, uint64_t gva, uint64_t *pte, void *priv)
{
	struct moving *m = priv;
	uint64_t *to, val = *pte;

	to = pt_leaf(as, gva + m->delta, 1);
	if (to == NULL) {
		m->failed = 1;
		return (1);
	}
	/* pt_leaf may have added tables, but never moves one */
	pte_store(as, pte, 0, 1);
	pte_store(as, to, val, 1);
	return (0);
}

static int64_t
remap_move(struct as *as, const struct vma *old, uint64_t addr,
    uint64_t oldlen, uint64_t newlen, unsigned flags, uint64_t newaddr)
{
	struct moving m;
	struct vma v = *old;
	uint64_t n;
	int64_t a;

	a = as_map(as, newaddr, newlen, v.prot,
	    (flags & MREMAP_FIXED) ? MAP_FIXED : 0, NULL, 0);
	if (a < 0)
		return (a);
	/* the new region is what the old one was */
	if (as_unmap(as, (uint64_t)a, newlen) != 0)
		return (-ENOMEM);
	v.off += addr - v.start;
	v.start = (uint64_t)a;
	v.end = v.start + newlen;
	v.flags &= (uint8_t)~VMA_IMAGE;
	if (vmas_insert(&as->vmas, &v) != 0)
		return (-ENOMEM);
	(void)later_settle(as, addr, addr + oldlen);
	m.delta = (uint64_t)a - addr;
	m.failed = 0;
	n = oldlen < newlen ? oldlen : newlen;
	(void)pt_each(as, addr, addr + n, move_one, &m);
	if (m.failed) {
		flush_commit(as);
		return (-ENOMEM);
	}
	if (!(flags & MREMAP_DONTUNMAP_)) {
		if (as_unmap(as, addr, oldlen) != 0)
			return (-ENOMEM);
	} else if (not_image(as, addr, addr + oldlen) != 0)
		return (-ENOMEM);
	flush_commit(as);
	return (a);
}

int64_t
as_remap(struct as *as, uint64_t addr, uint64_t oldlen, uint64_t newlen,
    unsigned flags, uint64_t newaddr)
{
	const struct vma *v, *next;
	struct vma grow;

	if ((addr & PAGE_MASK) || newlen == 0 || newlen > GVA_USER_END ||
	    oldlen > GVA_USER_END || (flags & ~7u) != 0 ||
	    ((flags & 6) && !(flags & MREMAP_MAYMOVE)))
		return (-EINVAL);
	oldlen = PAGE_UP(oldlen);
	newlen = PAGE_UP(newlen);
	v = as_find(as, addr);
	if (v == NULL || (v->flags & VMA_FIXEDPART))
		return (-EFAULT);
	if (oldlen == 0 || ((flags & MREMAP_DONTUNMAP_) && oldlen != newlen))
		return (-EINVAL);
	/* Less may be of several regions, or of what is not there. */
	if (addr + oldlen > v->end && (newlen > oldlen ||
	    (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP_))))
		return (-EFAULT);
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP_)) {
		if ((newaddr & PAGE_MASK) ||
		    ((flags & MREMAP_FIXED) && !range_ok(newaddr, newlen)) ||
		    (newaddr < addr + oldlen && addr < newaddr + newlen))
			return (-EINVAL);
		return (remap_move(as, v, addr, oldlen, newlen, flags,
		    newaddr));
	}
	if (newlen <= oldlen) {
		if (newlen < oldlen &&
		    as_unmap(as, addr + newlen, oldlen - newlen) != 0)
			return (-ENOMEM);
		return ((int64_t)addr);
	}
	next = as_next(as, v->end);
	if (addr + oldlen == v->end && addr + newlen <= GVA_USER_END &&
	    (next == NULL || next->start >= addr + newlen)) {
		grow = *v;
		grow.off += grow.end - grow.start;
		grow.start = v->end;
		grow.end = addr + newlen;
		grow.flags &= (uint8_t)~VMA_IMAGE;
		as->vmas_changed = 1;
		if (vmas_insert(&as->vmas, &grow) != 0)
			return (-ENOMEM);
		vmas_merge(&as->vmas, grow.start, grow.end);
		return ((int64_t)addr);
	}
	if (!(flags & MREMAP_MAYMOVE))
		return (-ENOMEM);
	return (remap_move(as, v, addr, oldlen, newlen, flags, 0));
}

/* ---- madvise ----------------------------------------------------------------------- */

static int
count_one(struct as *as, uint64_t gva, uint64_t *pte, void *priv)
{

	(void)as;
	(void)gva;
	(void)pte;
	return (++*(unsigned *)priv > ZERO_IN_PLACE);
}

static int
zero_one(struct as *as, uint64_t gva, uint64_t *pte, void *priv)
{
	uint64_t gpa = *pte & PTE_ADDR;

	(void)gva;
	(void)priv;
	as_mark(as, gpa, PAGE_SZ);
	memset(as->base + gpa, 0, PAGE_SZ);
	return (0);
}

/*
 * A private file mapping would read the file again: ours are copies, which
 * keep what was written.  A shared one keeps its pages on Linux, too.
 */
static int
forgets(struct as *as, const struct vma *v)
{
	const char *name = as_vma_name(as, v);

	if (v->flags & (VMA_FIXEDPART | VMA_SHARED))
		return (0);
	return (name == NULL || !strcmp(name, "[heap]") ||
	    !strcmp(name, "[stack]"));
}

int
as_dontneed(struct as *as, uint64_t addr, uint64_t len)
{
	const struct vma *v;
	uint64_t end, s, e;
	unsigned n;
	int r = 0;

	if (addr & PAGE_MASK)
		return (-EINVAL);
	if (len > GVA_USER_END || addr > GVA_USER_END - PAGE_UP(len))
		return (-ENOMEM);
	end = addr + PAGE_UP(len);
	if (!as_covered(as, addr, end - addr))
		r = -ENOMEM;
	(void)later_settle(as, addr, end);
	for (e = addr; e < end; ) {
		v = as_next(as, e);	/* anew: not_image() may split */
		if (v == NULL || v->start >= end)
			break;
		s = v->start > addr ? v->start : addr;
		e = v->end < end ? v->end : end;
		if (!forgets(as, v))
			continue;
		n = 0;
		(void)pt_each(as, s, e, count_one, &n);
		if (as->image != NULL && n <= ZERO_IN_PLACE)
			(void)pt_each(as, s, e, zero_one, NULL);
		else {
			unmap_frames(as, s, e);
			if (not_image(as, s, e) != 0)
				r = -ENOMEM;
		}
	}
	flush_commit(as);
	return (r);
}

int
as_clear(struct as *as, uint64_t addr, uint64_t len)
{
	const uint64_t end = addr + PAGE_UP(len);
	const struct vma *v;
	uint64_t s, e;

	(void)later_settle(as, addr, end);
	for (v = as_next(as, addr); v != NULL && v->start < end;
	    v = as_next(as, v->end)) {
		s = v->start > addr ? v->start : addr;
		e = v->end < end ? v->end : end;
		(void)pt_each(as, s, e, zero_one, NULL);
	}
	return (as_covered(as, addr, len) ? 0 : -ENOMEM);
}

int
as_set_flags(struct as *as, uint64_t addr, uint64_t len, uint8_t set,
    uint8_t clear)
{
	struct vmas *s = &as->vmas;
	uint64_t end;
	unsigned i;

	if (addr & PAGE_MASK)
		return (-EINVAL);
	if (len > GVA_USER_END || addr > GVA_USER_END - PAGE_UP(len) ||
	    !as_covered(as, addr, PAGE_UP(len)))
		return (-ENOMEM);
	end = addr + PAGE_UP(len);
	if (split2(as, addr, end) != 0)
		return (-ENOMEM);
	for (i = vmas_at(s, addr); i < s->n && s->v[i].start < end; i++) {
		s->v[i].flags &= (uint8_t)~clear;
		s->v[i].flags |= set;
	}
	vmas_merge(s, addr, end);
	return (0);
}

/* ---- brk --------------------------------------------------------------------------- */

uint64_t
as_brk(struct as *as, uint64_t want)
{
	uint64_t old, new;

	old = PAGE_UP(as->brk);
	if (want < as->brk_start || want > as->brk_max)
		return (as->brk);
	new = PAGE_UP(want);
	if (new > old && as_map(as, old, new - old, AS_R | AS_W,
	    MAP_FIXED_NOREPLACE, "[heap]", old - as->brk_start) < 0)
		return (as->brk);
	if (new < old && as_unmap(as, new, old - new) != 0)
		return (as->brk);
	as->brk = want;
	return (want);
}
