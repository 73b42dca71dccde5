/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Address spaces: the host mapping behind a guest's physical memory, its
 * memory slots and its frames.
 *
 * Rule: a frame that is not in use reads as zero.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "error.h"
#include "mem/as.h"

#define SLOT_FIRST	(64UL << 20)	/* of a booting machine */
#define SLOT_FIRST_REQ	(4UL << 20)	/* of a request's memory */

int
bitmap_alloc(struct bitmap *b, uint64_t bits)
{

	b->n = (bits + 63) & ~63UL;
	/* whole blocks: scans take BITMAP_BLOCK words at a time */
	b->w = calloc(b->n / 64 + BITMAP_BLOCK, 8);
	return (b->w == NULL ? -ENOMEM : 0);
}

void
bitmap_free(struct bitmap *b)
{

	free(b->w);
	b->w = NULL;
	b->n = 0;
}

/* ---- frames ------------------------------------------------------------------ */

/* Cover guest physical memory up to `gpa` with slots that double in size. */
static int
slot_grow(struct as *as, uint64_t gpa)
{
	struct slot *s;
	uint64_t size;
	int i;

	while (as->slot_end < gpa) {
		if (as->nslot == MAX_SLOTS)
			return (-ENOMEM);
		size = as->image != NULL ? SLOT_FIRST_REQ : SLOT_FIRST;
		if (as->nslot > 0 && as->slot_end - as->image_end > size)
			size = as->slot_end - as->image_end;
		if (size > as->size - as->slot_end)
			size = as->size - as->slot_end;
		if (size == 0)
			return (-ENOMEM);
		s = &as->slot[as->nslot];
		if (as->image != NULL &&
		    bitmap_alloc(&s->log, size / PAGE_SZ) != 0)
			return (-ENOMEM);
		i = vm_slot_add(as->vm, as->slot_end, size,
		    as->base + as->slot_end, as->image != NULL);
		if (i < 0) {
			bitmap_free(&s->log);
			return (-ENOMEM);
		}
		s->gpa = as->slot_end;
		s->size = size;
		as->nslot++;
		as->slot_end += size;
	}
	return (0);
}

/* n clear bits in a row at or after `from`; ~0: none */
static uint64_t
find_run(const struct bitmap *b, uint64_t from, uint64_t n)
{
	uint64_t i, run;

	for (i = from, run = 0; i < b->n; i++) {
		if ((i & 63) == 0) {
			while (i < b->n && b->w[i >> 6] == ~0UL) {
				i += 64;
				run = 0;
			}
			if (i >= b->n)
				break;
		}
		if (bit_get(b, i)) {
			run = 0;
			continue;
		}
		if (++run == n)
			return (i + 1 - n);
	}
	return (~0UL);
}

int
frame_alloc(struct as *as, uint64_t n, uint64_t *gpa)
{
	uint64_t i, j;

	CHECK_OBJ_NOTNULL(as, AS_MAGIC);
	i = find_run(&as->used, as->hint, n);
	if (i == ~0UL && as->hint != 0)
		i = find_run(&as->used, 0, n);
	if (i == ~0UL || as->lo + (i + n) * PAGE_SZ > as->size)
		return (-ENOMEM);
	*gpa = as->lo + i * PAGE_SZ;
	if (slot_grow(as, *gpa + n * PAGE_SZ) != 0)
		return (-ENOMEM);
	for (j = 0; j < n; j++)
		bit_set(&as->used, i + j);
	as->frames_changed = 1;
	as->nused += n;
	as->hint = i + n;
	if (*gpa + n * PAGE_SZ > as->top)
		as->top = *gpa + n * PAGE_SZ;
	return (0);
}

/*
 * Give frames back, zeroed.  Only frames of this address space, never of the
 * image a fork was made from, never kept ones.
 */
void
frame_free(struct as *as, uint64_t gpa, uint64_t n)
{
	uint64_t i, j;

	assert(gpa >= as->lo);
	i = (gpa - as->lo) / PAGE_SZ;
	for (j = 0; j < n; j++)
		bit_clear(&as->used, i + j);
	as->frames_changed = 1;
	as->nused -= n;
	if (i < as->hint)
		as->hint = i;
	as->remaps++;
	/* Both also make KVM drop its own translations of these pages. */
	if (as->image != NULL) {
		if (madvise(as->base + gpa, n * PAGE_SZ, MADV_DONTNEED) == 0)
			return;
		/* Locked memory (mlockall): for this request only, then. */
		memset(as->base + gpa, 0, n * PAGE_SZ);
		flush_add(as, gpa, n * PAGE_SZ);
		as->overflow = 1;
	} else if (fallocate(as->memfd,
	    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)gpa,
	    (off_t)(n * PAGE_SZ)) != 0)
		memset(as->base + gpa, 0, n * PAGE_SZ);
}

int
frame_is_pt(const struct as *as, uint64_t gpa)
{
	const struct as *im = as->image;

	if (gpa < GPA_FRAMES)
		return (gpa >= GPA_PML4 && gpa <= GPA_KPT);
	if (im != NULL && gpa < as->image_end)
		return (frame_is_pt(im, gpa));
	return (gpa >= as->lo && bit_get(&as->pt, (gpa - as->lo) / PAGE_SZ));
}

/* ---- names of mappings --------------------------------------------------------- */

/* Index + 1 of a name; 0 when there is none, or no room for one. */
int
as_name_add(struct as *as, const char *name)
{
	char **nn;
	unsigned u;

	if (name == NULL)
		return (0);
	for (u = as->nname; u > 0; u--)
		if (!strcmp(as->name[u - 1], name))
			return ((int)u);
	if (as->nname >= 60000)
		return (0);
	nn = realloc(as->name, (as->nname + 1) * sizeof *nn);
	if (nn == NULL)
		return (0);
	as->name = nn;
	as->name[as->nname] = strdup(name);
	if (as->name[as->nname] == NULL)
		return (0);
	return ((int)++as->nname);
}

const char *
as_vma_name(struct as *as, const struct vma *v)
{

	if (v->name == 0 || v->name > as->nname)
		return (NULL);
	return (as->name[v->name - 1]);
}

/* ---- life ------------------------------------------------------------------------ */

struct as *
as_alloc(struct vm *vm)
{
	struct as *as;

	ALLOC_OBJ(as, AS_MAGIC);
	if (as == NULL)
		return (NULL);
	as->vm = vm;
	as->memfd = -1;
	as->base = MAP_FAILED;
	as->window = 16;
	as->flush = calloc(MAX_FLUSH, sizeof *as->flush);
	if (as->flush == NULL)
		as_free(&as);
	return (as);
}

/* Beyond RLIMIT_FSIZE there is no error but SIGXFSZ, which would end the
 * process we live in. */
static int
memfd_size(int fd, uint64_t size)
{
	struct rlimit rl;

	if (fd < 0)
		return (-1);
	if (getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur < size) {
		errno = EFBIG;
		return (-1);
	}
	return (ftruncate(fd, (off_t)size));
}

struct as *
as_new_boot(struct vm *vm, uint64_t max_bytes, struct tkvm_error *err)
{
	struct as *as;
	uint64_t frames;

	as = as_alloc(vm);
	if (as == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "out of memory");
		return (NULL);
	}
	as->lo = GPA_FRAMES;
	as->size = GPA_FRAMES + PAGE_UP(max_bytes);
	frames = (as->size - as->lo) / PAGE_SZ;
	as->memfd = memfd_create("tkvm-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd_size(as->memfd, as->size) == 0)
		as->base = mmap(NULL, as->size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE, as->memfd, 0);
	if (as->base == MAP_FAILED || bitmap_alloc(&as->used, frames) != 0 ||
	    bitmap_alloc(&as->pt, frames) != 0 ||
	    slot_grow(as, GPA_FRAMES) != 0) {
		(void)err_set(err, TKVM_E_MEMORY, "cannot reserve %lu MiB of "
		    "guest memory: %s (max-main-memory%s)",
		    (unsigned long)(as->size >> 20), strerror(errno),
		    errno == EFBIG ? ", and ulimit -f" : "");
		as_free(&as);
		return (NULL);
	}
	as->top = GPA_FRAMES;
	return (as);
}

void
as_free(struct as **pas)
{
	struct as *as;
	unsigned u;

	TAKE_OBJ_NOTNULL(as, pas, AS_MAGIC);
	if (as->later != NULL)
		later_free(&as->later);
	if (as->base != MAP_FAILED)
		(void)munmap(as->base, as->size);
	if (as->memfd >= 0 && as->image == NULL)
		(void)close(as->memfd);
	for (u = as->own_name; u < as->nname; u++)
		free(as->name[u]);
	free(as->name);
	for (u = 0; u < as->nslot; u++)
		bitmap_free(&as->slot[u].log);
	bitmap_free(&as->used);
	bitmap_free(&as->kept);
	bitmap_free(&as->pt);
	bitmap_free(&as->priv);
	bitmap_free(&as->differed);
	bitmap_free(&as->rdirty);
	free(as->vmas.v);
	free(as->journal);
	free(as->flush);
	free(as->plist);
	FREE_OBJ(as);
}
