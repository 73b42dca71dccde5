/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Freezing an address space, forking it, and putting a fork back.
 *
 * What a reset has to put back is found by host-side truth only: KVM's log of
 * written pages, which is never cleared, and the VMM's own writes.  Guest
 * dirty bits lie in guest memory.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "mem/as.h"

#define SAMPLE		32	/* every so many resets: what had changed? */
#define PT_SHARE	4	/* this part of a request's memory: tables */
#define KEEP_JOURNAL	16384	/* entries */
#define SAMPLES		32	/* after so many samples: forget the rest */

/* ---- freeze ------------------------------------------------------------------------ */

/* MADV_WIPEONFORK(2): every fork reads zeros there. */
static void
wipe(struct as *as)
{
	unsigned u;

	for (u = 0; u < as->vmas.n; u++)
		if (as->vmas.v[u].flags & VMA_WIPEONFORK)
			(void)as_dontneed(as, as->vmas.v[u].start,
			    as->vmas.v[u].end - as->vmas.v[u].start);
}

/*
 * The writable mapping and the VM behind it go first (a seal against writing
 * is refused while one exists).  as->vm must have been freed by the caller
 * after this returns; no vCPU may run.
 */
int
as_freeze(struct as *as, struct tkvm_error *err)
{
	unsigned u;

	CHECK_OBJ_NOTNULL(as, AS_MAGIC);
	if (later_settle(as, GVA_USER_MIN, GVA_USER_END) != 0)
		return (err_set(err, TKVM_E_PROGRAM,
		    "cannot read a file that the program maps"));
	if (as->later != NULL)
		later_free(&as->later);
	wipe(as);
	for (u = 0; u < as->vmas.n; u++)
		as->vmas.v[u].flags |= VMA_IMAGE;
	as->image_end = (as->top + 0x1fffff) & ~0x1fffffUL;
	if (as->image_end > as->size)
		as->image_end = PAGE_UP(as->top);
	as->vm = NULL;
	as->vcpu = NULL;
	(void)munmap(as->base, as->size);
	as->base = MAP_FAILED;
	if (ftruncate(as->memfd, (off_t)as->image_end) != 0 ||
	    fcntl(as->memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW |
	    F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
		return (err_set(err, TKVM_E_INTERNAL,
		    "cannot seal the image's memory: %s", strerror(errno)));
	/* Kernels before 6.7 allow only private mappings of a sealed file. */
	as->size = as->image_end;
	as->base = mmap(NULL, as->size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE,
	    as->memfd, 0);
	if (as->base == MAP_FAILED)
		return (err_set(err, TKVM_E_MEMORY,
		    "cannot map the image's memory: %s", strerror(errno)));
	as->slot_end = as->image_end;
	return (0);
}

/* ---- fork -------------------------------------------------------------------------- */

static int
fork_tables(struct as *as, const struct as *im, uint64_t frames)
{
	unsigned u;

	as->cap_priv = (uint32_t)(im->image_end / PAGE_SZ);
	as->plist = malloc(as->cap_priv * sizeof *as->plist);
	if (as->plist == NULL ||
	    bitmap_alloc(&as->used, frames) != 0 ||
	    bitmap_alloc(&as->kept, frames) != 0 ||
	    bitmap_alloc(&as->pt, frames) != 0 ||
	    bitmap_alloc(&as->rdirty, frames) != 0 ||
	    bitmap_alloc(&as->priv, as->cap_priv) != 0 ||
	    bitmap_alloc(&as->differed, as->cap_priv) != 0 ||
	    vmas_copy(&as->vmas, &im->vmas) != 0)
		return (-1);
	as->name = calloc(im->nname + 1, sizeof *as->name);
	if (as->name == NULL)
		return (-1);
	for (u = 0; u < im->nname; u++)
		as->name[u] = im->name[u];
	as->nname = as->own_name = im->nname;
	return (0);
}

static int
fork_slot(struct as *as)
{
	struct slot *s = &as->slot[0];
	int i;

	if (bitmap_alloc(&s->log, as->image_end / PAGE_SZ) != 0)
		return (-ENOMEM);
	i = vm_slot_add(as->vm, 0, as->image_end, as->base, 1);
	if (i < 0) {
		bitmap_free(&s->log);	/* it is no slot yet */
		return (i);
	}
	s->gpa = 0;
	s->size = as->image_end;
	as->nslot = 1;
	as->slot_end = as->image_end;
	return (0);
}

struct as *
as_fork(const struct as *im, struct vm *vm, uint64_t req, uint64_t keep,
    struct tkvm_error *err)
{
	struct as *as;
	int i = -ENOMEM;

	CHECK_OBJ_NOTNULL(im, AS_MAGIC);
	as = as_alloc(vm);
	if (as == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "out of memory");
		return (NULL);
	}
	as->image = im;
	as->image_end = as->lo = as->top = im->image_end;
	req = PAGE_UP(req);
	as->size = im->image_end + req;
	as->brk_start = im->brk_start;
	as->brk = im->brk;
	as->brk_max = im->brk_max;
	as->vsz_limit = im->vsz_limit;
	as->max_kept = keep / PAGE_SZ;
	as->base = mmap(NULL, as->size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (as->base != MAP_FAILED &&
	    mmap(as->base, im->image_end, PROT_READ | PROT_WRITE, MAP_PRIVATE |
	    MAP_FIXED | MAP_NORESERVE, im->memfd, 0) == as->base &&
	    fork_tables(as, im, req / PAGE_SZ) == 0)
		i = fork_slot(as);
	if (i != 0) {
		(void)err_set(err, TKVM_E_MEMORY, "no memory for a fork of "
		    "%lu MiB (see vm.max_map_count, vm.overcommit_memory and "
		    "the memory cgroup): %s",
		    (unsigned long)(as->size >> 20), strerror(errno));
		as_free(&as);
		return (NULL);
	}
	return (as);
}

/*
 * Write the pages a request is known to change before anything reads them: a
 * copy on write of a page that was mapped for reading costs far more.
 */
void
as_precopy(struct as *as, const uint32_t *pages, uint32_t n)
{
	const struct as *im = as->image;
	uint64_t gpa;
	uint32_t u;

	for (u = 0; u < n; u++) {
		gpa = (uint64_t)pages[u] * PAGE_SZ;
		if (gpa >= as->image_end || bit_get(&as->priv, pages[u]))
			continue;
		as_mark(as, gpa, PAGE_SZ);
		page_copy(as->base + gpa, im->base + gpa);
	}
}

/* ---- reset ------------------------------------------------------------------------- */

static int
u32_cmp(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x < *y ? -1 : *x > *y);
}

/* Has `a` any bit in this block that `b` has not?  Mostly not: no branches. */
static int
block_adds(const uint64_t *a, const uint64_t *b)
{
	typedef uint64_t pair __attribute__((vector_size(16)));
	const pair *x = (const void *)a, *y = (const void *)b;
	pair d;

	_Static_assert(BITMAP_BLOCK == 8, "four pairs");
	d = (x[0] & ~y[0]) | (x[1] & ~y[1]) | (x[2] & ~y[2]) | (x[3] & ~y[3]);
	return ((d[0] | d[1]) != 0);
}

static void
learn_block(struct as *as, const uint64_t *log, uint64_t first)
{
	uint64_t i, new;

	for (i = first; i < first + BITMAP_BLOCK; i++) {
		new = log[i] & ~as->priv.w[i];
		while (new != 0) {
			as_mark(as, (i * 64 + (uint64_t)__builtin_ctzl(new)) *
			    PAGE_SZ, 1);
			new &= new - 1;
		}
	}
}

/* New bits of KVM's log join the private set. */
static int
learn_image(struct as *as)
{
	const struct bitmap *log = &as->slot[0].log;
	uint64_t i;

	if (vm_dirty_log(as->vm, 0, log->w) != 0)
		return (-1);
	for (i = 0; i < log->n / 64; i += BITMAP_BLOCK)
		if (block_adds(log->w + i, as->priv.w + i))
			learn_block(as, log->w, i);
	if (as->nsorted != as->npriv) {
		/* the copies run in address order */
		qsort(as->plist, as->npriv, sizeof *as->plist, u32_cmp);
		as->nsorted = as->npriv;
	}
	return (0);
}

/*
 * Page table frames are restored by the journal.  Every SAMPLE-th time note
 * which pages had really changed.
 */
static void
copy_back(struct as *as)
{
	const int sample = ++as->nresets % SAMPLE == 0;
	const struct as *im = as->image;
	uint64_t gpa;
	uint32_t u;

	for (u = 0; u < as->npriv; u++) {
		gpa = (uint64_t)as->plist[u] * PAGE_SZ;
		if (frame_is_pt(im, gpa))	/* all are the image's */
			continue;
		if (sample && memcmp(as->base + gpa, im->base + gpa,
		    PAGE_SZ) != 0)
			bit_set(&as->differed, as->plist[u]);
		page_copy(as->base + gpa, im->base + gpa);
		as->pages_reset++;
	}
}

/* Give a page of the private set back to the image: equal to it already. */
static void
forget(struct as *as, uint32_t page)
{
	uint64_t bit = 1UL << (page & 63);

	(void)madvise(as->base + (uint64_t)page * PAGE_SZ, PAGE_SZ,
	    MADV_DONTNEED);
	(void)vm_dirty_clear(as->vm, 0, page & ~63U, bit);
	bit_clear(&as->priv, page);
	as->remaps++;
}

/*
 * The private set follows what requests write: pages that no sampled request
 * had changed leave it, and so does what is beyond the limit of memory kept
 * (limit-request-memory).  After copy_back(), when all are equal.
 */
static void
shrink(struct as *as)
{
	const int relearn = as->nresets % (SAMPLE * SAMPLES) == 0;
	uint32_t u, n, page;

	as->relearnt = relearn;
	if (!relearn && as->npriv <= as->max_kept)
		return;
	for (u = n = 0; u < as->npriv; u++) {
		page = as->plist[u];
		if (frame_is_pt(as, (uint64_t)page * PAGE_SZ) ||
		    (n < as->max_kept && (!relearn ||
		    bit_get(&as->differed, page))))
			as->plist[n++] = page;
		else
			forget(as, page);
	}
	as->npriv = as->nsorted = n;
	if (relearn)
		memset(as->differed.w, 0, as->differed.n / 8);
}

/* The next frame in use, page tables aside: few of many are. */
static uint64_t
used_next(const struct as *as, uint64_t w, uint64_t end)
{
	uint64_t bits;

	while (w < end) {
		bits = as->used.w[w >> 6] & ~as->pt.w[w >> 6];
		bits >>= w & 63;
		if (bits != 0)
			return (w + (uint64_t)__builtin_ctzl(bits));
		w = (w | 63) + 1;
	}
	return (end);
}

/*
 * Frames the request used are zeroed where anybody wrote them; beyond
 * max_kept pages they go back to the host.
 */
static int
zero_request(struct as *as)
{
	uint64_t first, end, gpa, n = 0, w;
	const struct slot *s;
	unsigned u;

	for (u = 1; u < as->nslot; u++)
		if (vm_dirty_log(as->vm, u, as->slot[u].log.w) != 0)
			return (-1);
	for (u = 1; u < as->nslot; u++) {
		s = &as->slot[u];
		first = (s->gpa - as->lo) / PAGE_SZ;
		end = first + s->size / PAGE_SZ;
		for (w = used_next(as, first, end); w < end;
		    w = used_next(as, w + 1, end)) {
			if (!bit_get(&s->log, w - first) &&
			    !bit_get(&as->rdirty, w))
				continue;
			gpa = as->lo + w * PAGE_SZ;
			if (++n <= as->max_kept || madvise(as->base + gpa,
			    PAGE_SZ, MADV_DONTNEED) != 0)
				memset(as->base + gpa, 0, PAGE_SZ);
			as->pages_reset++;
		}
	}
	return (0);
}

static void
names_reset(struct as *as)
{

	while (as->nname > as->own_name)
		free(as->name[--as->nname]);
}

int
as_reset(struct as *as, struct tkvm_error *err)
{
	const struct as *im = as->image;

	CHECK_OBJ_NOTNULL(as, AS_MAGIC);
	if (as->overflow)
		return (err_set(err, TKVM_E_LIMIT, "the request changed more "
		    "mappings than a reset takes back: fork replaced"));
	journal_undo(as);
	flush_commit(as);
	if (as->overflow)
		return (err_set(err, TKVM_E_MEMORY,
		    "cannot flush a fork's mappings: fork replaced"));
	if (as->vmas_changed) {
		if (vmas_copy(&as->vmas, &im->vmas) != 0)
			return (err_set(err, TKVM_E_MEMORY, "out of memory"));
		as->vmas_changed = 0;
		names_reset(as);
	}
	as->brk = im->brk;
	as->last_fault = 0;
	if (as->npt > (as->size - as->lo) / PAGE_SZ / PT_SHARE)
		return (err_set(err, TKVM_E_LIMIT, "requests mapped pages too "
		    "far apart, page tables fill the memory: fork replaced"));
	if (as->cap_journal > KEEP_JOURNAL) {
		free(as->journal);
		as->journal = NULL;
		as->cap_journal = 0;
	}
	if (learn_image(as) != 0 || zero_request(as) != 0)
		return (err_set(err, TKVM_E_KVM,
		    "KVM_GET_DIRTY_LOG: %s", strerror(errno)));
	copy_back(as);
	shrink(as);
	if (as->frames_changed)
		memcpy(as->used.w, as->kept.w, as->used.n / 8);
	as->frames_changed = 0;
	as->nused = as->nkept;
	as->hint = 0;
	return (0);
}

/* ---- verification ------------------------------------------------------------------- */

static int
page_is_zero(const uint8_t *p)
{

	return (p[0] == 0 && memcmp(p, p + 1, PAGE_SZ - 1) == 0);
}

struct tables {
	struct as	*as;
	uint64_t	kept;		/* entries that name a kept frame */
	uint64_t	bad, first;
};

static uint64_t
image_pte(const struct as *as, uint64_t gva)
{
	/* it only looks */
	const uint64_t *pte = pt_leaf((struct as *)(uintptr_t)as->image, gva,
	    0);

	return (pte != NULL ? *pte : 0);
}

/* An entry of the image is in the fork's tables, too. */
static int
verify_image(struct as *im, uint64_t gva, uint64_t *pte, void *priv)
{
	struct tables *t = priv;
	const uint64_t *own = pt_leaf(t->as, gva, 0);

	(void)im;
	if ((own == NULL || *own != *pte) && t->bad++ == 0)
		t->first = gva;
	return (0);
}

/* An entry lies in a region, with its rights, and is the image's, or names a
 * kept frame where the image has none. */
static int
verify_one(struct as *as, uint64_t gva, uint64_t *pte, void *priv)
{
	const uint64_t gpa = *pte & PTE_ADDR;
	const uint64_t was = image_pte(as, gva);
	struct tables *t = priv;
	const struct vma *v;

	v = as_find(as, gva);
	if ((was != 0 ? *pte == was : gpa >= as->lo) && v != NULL && (*pte & ~PTE_FILE) == pte_make(gpa, v->prot) &&
	    !(*pte & PTE_FILE) == (v->file == 0) &&
	    (gpa < as->lo || bit_get(&as->kept, (gpa - as->lo) / PAGE_SZ))) {
		t->kept += gpa >= as->lo;
		return (0);
	}
	if (t->bad++ == 0)
		t->first = gva;
	return (0);
}

static uint64_t
verify_tables(struct as *as, uint64_t *first)
{
	struct tables t = { as, 0, 0, 0 };

	(void)pt_each(as, GVA_USER_MIN, GVA_USER_END, verify_one, &t);
	(void)pt_each((struct as *)(uintptr_t)as->image, GVA_USER_MIN,
	    GVA_USER_END, verify_image, &t);
	if (t.bad == 0 && t.kept + as->npt != as->nkept) {
		t.bad = 1;		/* kept, and named nowhere */
		t.first = ~0UL - 1;
	}
	if (t.bad > 0)
		*first = t.first;
	return (t.bad);
}

/*
 * Every page of the image, and every frame of the request's memory (page
 * tables in it hold what is kept), in a fork that has just been reset.  The
 * clock page and the random bytes are the caller's business: it puts the
 * image's there first.
 */
uint64_t
as_verify(struct as *as, uint64_t *first)
{
	const struct as *im = as->image;
	uint64_t gpa, bad;

	bad = verify_tables(as, first);
	for (gpa = 0; gpa < as->slot_end; gpa += PAGE_SZ) {
		if (gpa < as->image_end ?
		    (frame_is_pt(as, gpa) ||
		    !memcmp(as->base + gpa, im->base + gpa, PAGE_SZ)) :
		    (frame_is_pt(as, gpa) || page_is_zero(as->base + gpa)))
			continue;
		if (bad++ == 0)
			*first = gpa;
	}
	if (as->vmas.n != im->vmas.n || memcmp(as->vmas.v, im->vmas.v,
	    im->vmas.n * sizeof *im->vmas.v) != 0 || as->brk != im->brk) {
		if (bad++ == 0)
			*first = ~0UL;
	}
	return (bad);
}
