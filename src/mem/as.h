/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The inside of an address space, for src/mem and the machine's life cycle.
 */

#ifndef TKVM_AS_H
#define TKVM_AS_H

#include "kvm/kvm.h"
#include "layout.h"
#include "mem/mem.h"
#include "obj.h"

#define LEAF_SPAN	(512 * PAGE_SZ)	/* of one table of the last level */
#define MAX_VMAS	65530		/* vm.max_map_count */
#define MAX_JOURNAL	(1u << 20)	/* page table stores of one request */
#define MAX_SLOTS	16
#define MAX_FLUSH	256	/* ranges; more become one that holds all */

#define BITMAP_BLOCK	8

struct bitmap {
	uint64_t	*w;		/* zeros up to a whole block */
	uint64_t	n;		/* bits */
};

static inline int
bit_get(const struct bitmap *b, uint64_t i)
{
	return (i < b->n && ((b->w[i >> 6] >> (i & 63)) & 1));
}

static inline void
bit_set(struct bitmap *b, uint64_t i)
{
	assert(i < b->n);
	b->w[i >> 6] |= 1UL << (i & 63);
}

static inline void
bit_clear(struct bitmap *b, uint64_t i)
{
	assert(i < b->n);
	b->w[i >> 6] &= ~(1UL << (i & 63));
}

int bitmap_alloc(struct bitmap *, uint64_t bits);
void bitmap_free(struct bitmap *);

struct vmas {
	struct vma	*v;		/* sorted, not overlapping */
	unsigned	n, cap;
};

struct jent {
	uint64_t	*pte, old;
};

struct slot {
	uint64_t	gpa, size;
	struct bitmap	log;		/* what KVM reported */
};

struct range {
	uint64_t	gpa, len;
};

struct as {
	unsigned	magic;
#define AS_MAGIC	0x41535041
	struct vm	*vm;		/* NULL once frozen */
	struct vcpu	*vcpu;		/* for the TLB flush on hardware */
	uint8_t		*base;
	uint64_t	size;		/* of the mapping at base */
	int		memfd;		/* the image's backing */
	const struct as	*image;		/* a fork's parent */
	uint64_t	image_end;	/* gpa; a booting one: 0 */
	uint64_t	slot_end;	/* gpa covered by memory slots */
	struct slot	slot[MAX_SLOTS];
	unsigned	nslot;

	/* frames of [lo, size): one bit each, frame i is lo + i * 4096 */
	uint64_t	lo;
	struct bitmap	used, kept, pt;
	uint64_t	hint;		/* where the search goes on */
	uint64_t	nused, nkept;
	int		frames_changed;	/* `used` is not `kept` any more */
	uint64_t	max_kept;	/* pages a fork may keep between requests: of
					 * frames, and of its private set */
	uint64_t	npt;		/* of them page tables, in a fork */
	struct bitmap	img_pt;		/* image: page table frames */
	uint64_t	top;		/* highest used frame, exclusive (gpa) */

	struct vmas	vmas;
	int		vmas_changed;	/* since fork or reset */
	char		**name;
	unsigned	nname, own_name; /* own_name: first that is ours */
	uint64_t	brk_start, brk, brk_max;
	uint64_t	vsz_limit;

	struct jent	*journal;
	unsigned	njournal, cap_journal;
	int		overflow;	/* good for this request only */

	struct range	*flush;		/* frames whose mapping narrowed */
	unsigned	nflush;

	/* the private set: pages of the image that differ, or did */
	struct bitmap	priv;
	uint32_t	*plist;
	uint32_t	npriv, cap_priv, nsorted;
	struct bitmap	differed;	/* ... in a sample of resets */
	unsigned	nresets;
	int		relearnt;	/* the last reset was such a one */
	struct bitmap	rdirty;		/* request frames the VMM wrote */
	uint64_t	window;		/* pages mapped by the next fault */
	uint64_t	last_fault;

	struct later	*later;		/* booting: files still being read */

	as_pager_f	*pager;		/* of files in memory */
	void		*pager_priv;

	uint64_t	faults, remaps, pages_reset;
};

/* as.c */
struct as *as_alloc(struct vm *);
struct as *as_new_boot(struct vm *, uint64_t max_bytes, struct tkvm_error *);
void as_free(struct as **);
int frame_alloc(struct as *, uint64_t n, uint64_t *gpa);
void frame_free(struct as *, uint64_t gpa, uint64_t n);
int frame_is_pt(const struct as *, uint64_t gpa);
int as_name_add(struct as *, const char *);

/* fork.c */
int as_freeze(struct as *, struct tkvm_error *);
struct as *as_fork(const struct as *image, struct vm *, uint64_t req_bytes,
    uint64_t keep_bytes, struct tkvm_error *);
/* Back to the image; 0 or -1 with *err */
int as_reset(struct as *, struct tkvm_error *);
/* Compare everything with the image: number of pages that differ */
uint64_t as_verify(struct as *, uint64_t *first_gpa);
void as_precopy(struct as *, const uint32_t *pages, uint32_t n);

/* copy.c: a page, both aligned */
void page_copy(uint8_t *to, const uint8_t *from);

/* pt.c */
uint64_t *pt_leaf(struct as *, uint64_t gva, int alloc);
void pte_store(struct as *, uint64_t *pte, uint64_t val, int journal);
uint64_t pte_make(uint64_t gpa, unsigned prot);
/* Call fn for every non-zero entry of [start, end); non-zero return stops. */
typedef int pte_f(struct as *, uint64_t gva, uint64_t *pte, void *priv);
int pt_each(struct as *, uint64_t start, uint64_t end, pte_f *, void *priv);
/* Put the journal's old entries back */
void journal_undo(struct as *);
void flush_add(struct as *, uint64_t gpa, uint64_t len);
void flush_commit(struct as *);

/* vma.c */
int vmas_copy(struct vmas *, const struct vmas *);
/* index of the first VMA with end > addr (== n: none) */
unsigned vmas_at(const struct vmas *, uint64_t addr);
/* make addr a boundary; 0 or -ENOMEM */
int vmas_split(struct vmas *, uint64_t addr);
int vmas_insert(struct vmas *, const struct vma *);
/* remove whole VMAs inside [start, end): split first */
void vmas_remove(struct vmas *, uint64_t start, uint64_t end);
void vmas_merge(struct vmas *, uint64_t start, uint64_t end);
/* a gap of len: at or below top (top-down); 0: none */
uint64_t vmas_gap(const struct vmas *, uint64_t len, uint64_t top);

/* fault.c: 0 retry; -EFAULT no VMA; -EACCES forbidden; -ENOMEM; -ENXIO: behind
 * the end of a file */
int as_fault(struct as *, uint64_t gva, unsigned access);
/* [gva, gva+len) will be written soon, in private memory */
void as_expect(struct as *, uint64_t gva, uint64_t len);
/* frames for [gva, gva+len), regardless of protection; 0 or -errno */
int as_populate(struct as *, uint64_t gva, uint64_t len);

/* later.c */
/* Read it in the background; -1: not this one, as_fill() does it. */
int later_add(struct as *, uint64_t gva, size_t len, int fd, uint64_t off);
/* 0: the page has its frame; 1: no such page; -ENXIO, -ENOMEM */
int later_fault(struct as *, const struct vma *, uint64_t gva);
/* Have all of every file mapped in [start, end); 0 or -1: cannot be read */
int later_settle(struct as *, uint64_t start, uint64_t end);
void later_free(struct later **);

/* access.c */
/* Some of [off, off+n) of fd into memory: how much, 0 at the end, or -1 */
ssize_t fill_run(uint8_t *base, int memfd, uint64_t gpa, size_t n, int fd,
    off_t off);
void as_mark(struct as *, uint64_t gpa, uint64_t len);
/* gva -> gpa, or 0 */
uint64_t as_gpa(struct as *, uint64_t gva);

#endif
