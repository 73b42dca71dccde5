/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Guest page tables, written by the host only.  They lie in guest frames that
 * the guest cannot address.  A and D are preset, so that the walker need not
 * write to them.
 *
 * A store that takes something away (not present, other frame, fewer rights)
 * has to reach translations that KVM or the CPU hold: flush_add() notes the
 * frames, flush_commit() does what this back end needs.  That is the one place
 * for it.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/as.h"

#define LINK	(PTE_P | PTE_W | PTE_U | PTE_A)

static uint64_t *
table_at(struct as *as, uint64_t entry)
{
	uint64_t gpa = entry & PTE_ADDR;

	/* Ours alone to write, but a wild pointer would be the host's. */
	if (!(entry & PTE_P) || gpa > as->slot_end - PAGE_SZ)
		return (NULL);
	return ((void *)(as->base + gpa));
}

static int
table_new(struct as *as, uint64_t *entry)
{
	uint64_t gpa, i;

	if (frame_alloc(as, 1, &gpa) != 0)
		return (-ENOMEM);
	i = (gpa - as->lo) / PAGE_SZ;
	bit_set(&as->pt, i);
	if (as->image != NULL) {
		/* Tables stay over a reset, their entries do not. */
		bit_set(&as->kept, i);
		as->nkept++;
		as->npt++;
	}
	*entry = gpa | LINK;
	return (0);
}

/* The last level entry for gva; NULL: no table (or no memory for one). */
uint64_t *
pt_leaf(struct as *as, uint64_t gva, int alloc)
{
	uint64_t *t = (void *)(as->base + GPA_PML4);
	unsigned shift, i;

	for (shift = 39; shift > 12; shift -= 9) {
		i = (gva >> shift) & 511;
		if (!(t[i] & PTE_P)) {
			if (!alloc || table_new(as, &t[i]) != 0)
				return (NULL);
		}
		t = table_at(as, t[i]);
		if (t == NULL)
			return (NULL);
	}
	return (t + ((gva >> 12) & 511));
}

uint64_t
pte_make(uint64_t gpa, unsigned prot)
{

	if (!(prot & (AS_R | AS_W | AS_X)))
		return (gpa | PTE_NONE | PTE_U | PTE_A | PTE_D);
	return (gpa | PTE_P | PTE_U | PTE_A | PTE_D |
	    ((prot & AS_W) ? PTE_W : 0) | ((prot & AS_X) ? 0 : PTE_NX));
}

static int
journal_add(struct as *as, uint64_t *pte)
{
	struct jent *j;
	unsigned cap;

	if (as->njournal == as->cap_journal) {
		cap = as->cap_journal == 0 ? 256 : as->cap_journal * 2;
		if (cap > MAX_JOURNAL)
			return (-ENOMEM);
		j = realloc(as->journal, cap * sizeof *j);
		if (j == NULL)
			return (-ENOMEM);
		as->journal = j;
		as->cap_journal = cap;
	}
	as->journal[as->njournal].pte = pte;
	as->journal[as->njournal++].old = *pte;
	return (0);
}

/* Does going from `old` to `new` take anything away? */
static int
narrows(uint64_t old, uint64_t new)
{

	if (!(old & PTE_P))
		return (0);
	return (!(new & PTE_P) || (old & PTE_ADDR) != (new & PTE_ADDR) ||
	    ((old & PTE_W) && !(new & PTE_W)) ||
	    (!(old & PTE_NX) && (new & PTE_NX)));
}

/*
 * Store an entry; with `journal` a fork's reset takes it back.  When the
 * journal is full the fork serves this request and is then replaced.
 */
void
pte_store(struct as *as, uint64_t *pte, uint64_t val, int journal)
{

	if (*pte == val)
		return;
	if (as->image != NULL && journal && journal_add(as, pte) != 0)
		as->overflow = 1;
	if (narrows(*pte, val))
		flush_add(as, *pte & PTE_ADDR, PAGE_SZ);
	*pte = val;
}

/* ---- flushing ------------------------------------------------------------------ */

/*
 * Many small pieces cost a pair of host calls each, which a guest could make
 * last for seconds inside one system call: rather one that is too large.
 */
static void
flush_join(struct as *as)
{
	uint64_t lo = ~0UL, hi = 0;
	unsigned u;

	for (u = 0; u < as->nflush; u++) {
		if (as->flush[u].gpa < lo)
			lo = as->flush[u].gpa;
		if (as->flush[u].gpa + as->flush[u].len > hi)
			hi = as->flush[u].gpa + as->flush[u].len;
	}
	as->flush[0].gpa = lo;
	as->flush[0].len = hi - lo;
	as->nflush = 1;
}

void
flush_add(struct as *as, uint64_t gpa, uint64_t len)
{
	struct range *r;

	if (as->vm == NULL)
		return;
	if (as->vm->host->pub.entry == TKVM_RING0) {
		as->nflush = 1;		/* one flush serves all */
		return;
	}
	if (as->nflush > 0) {
		r = &as->flush[as->nflush - 1];
		if (r->gpa + r->len == gpa) {
			r->len += len;
			return;
		}
		if (gpa + len == r->gpa) {
			r->gpa = gpa;
			r->len += len;
			return;
		}
	}
	if (as->nflush == MAX_FLUSH)
		flush_join(as);
	as->flush[as->nflush].gpa = gpa;
	as->flush[as->nflush++].len = len;
}

static int
range_cmp(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->gpa < y->gpa ? -1 : x->gpa > y->gpa);
}

static void
shadow_drop(struct as *as, const struct range *r)
{
	unsigned i;

	as->remaps++;
	/* Out of kernel memory: this fork is not to be used again; but a part
	 * may be read-only now, and the VMM writes there. */
	if (mprotect(as->base + r->gpa, r->len, PROT_READ) != 0)
		as->overflow = 1;
	/* Undoing the split needs no memory: it cannot fail for long. */
	for (i = 0; i < 1000; i++)
		if (mprotect(as->base + r->gpa, r->len,
		    PROT_READ | PROT_WRITE) == 0)
			return;
	as->overflow = 1;
}

/*
 * With nested paging the CPU walks the guest's tables: a TLB flush at the next
 * entry does it.  With shadow paging KVM has to drop its copy: it does when
 * the pages behind it change protection (an MMU notifier event).
 */
void
flush_commit(struct as *as)
{
	struct range *r = as->flush;
	unsigned u, n;

	if (as->nflush == 0)
		return;
	if (as->vm->host->pub.entry == TKVM_RING0) {
		as->vcpu->flush = 1;
		as->nflush = 0;
		return;
	}
	qsort(r, as->nflush, sizeof *r, range_cmp);
	for (u = 1, n = 0; u < as->nflush; u++) {
		if (r[u].gpa <= r[n].gpa + r[n].len) {
			if (r[u].gpa + r[u].len > r[n].gpa + r[n].len)
				r[n].len = r[u].gpa + r[u].len - r[n].gpa;
		} else
			r[++n] = r[u];
	}
	for (u = 0; u <= n; u++)
		shadow_drop(as, &r[u]);
	as->nflush = 0;
}

/* ---- walking ------------------------------------------------------------------- */

int
pt_each(struct as *as, uint64_t start, uint64_t end, pte_f *fn, void *priv)
{
	uint64_t *t, step, gva;
	unsigned shift;
	int i;

	/* Above are tables of another shape, and what the program writes. */
	assert(end <= GVA_USER_END);
	for (gva = start; gva < end; gva = (gva & ~(step - 1)) + step) {
		t = (void *)(as->base + GPA_PML4);
		for (shift = 39; shift > 12; shift -= 9) {
			step = 1UL << shift;
			t = table_at(as, t[(gva >> shift) & 511]);
			if (t == NULL)
				break;
		}
		if (t == NULL)
			continue;
		step = PAGE_SZ;
		t += (gva >> 12) & 511;
		/* what follows in this table needs no walk, while it is empty */
		for (; *t == 0 && ((gva >> 12) & 511) < 511; t++)
			gva = PAGE_DOWN(gva) + PAGE_SZ;
		if (*t == 0 || gva >= end)
			continue;
		i = fn(as, gva, t, priv);
		if (i != 0)
			return (i);
	}
	return (0);
}

/* ---- taking a request's stores back ---------------------------------------------- */

/*
 * Walking backwards leaves each entry's first value.  On the way j[].old
 * collects what was there instead: what the request left, and what it had in
 * between (flushed before, or harmless to flush again).
 */
void
journal_undo(struct as *as)
{
	struct jent *j = as->journal;
	unsigned u, n = as->njournal;
	uint64_t now;

	for (u = n; u-- > 0;) {
		now = *j[u].pte;
		*j[u].pte = j[u].old;
		j[u].old = now;
	}
	for (u = 0; u < n; u++)
		if (narrows(j[u].old, *j[u].pte))
			flush_add(as, j[u].old & PTE_ADDR, PAGE_SZ);
	as->njournal = 0;
}
