/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Large files that a booting program maps: read while it already runs.
 *
 * A mapping is a copy of its file.  A thread makes that of a large file, in
 * chunks, while the program goes on; a page gets its frame when the program
 * comes to it and its chunk is there, or is read at once.  What is left at the
 * freeze is done then: an image has all of its files.
 *
 * Only the thread that runs the machine looks at regions, page tables and
 * `mapped`; what the two share is the list of files and the chunks' states.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "mem/as.h"

#define CHUNK		64UL		/* pages */
#define LATER_MIN	(1UL << 20)	/* smaller ones are read at once */
#define AROUND		64UL		/* chunks to each side of a fault */

enum chunk { C_NEW, C_BUSY, C_DONE, C_FAILED };

struct later_file {
	struct later_file *next;
	uint64_t	gva, npages, len, gpa, off;
	int		fd;
	struct bitmap	mapped;		/* had its frame once */
	int		failed;
	unsigned	nchunk;
	_Atomic uint8_t	*chunk;
};

struct later {
	unsigned	magic;
#define LATER_MAGIC	0x4c415445
	uint8_t		*base;
	struct later_file *files;	/* newest first */
	int		memfd;		/* the thread's own, with its offset */
	int		running;
	_Atomic int	stop;
	unsigned	turn;		/* counts files, for those who wait */
	pthread_t	thread;
	pthread_mutex_t	mtx;
	pthread_cond_t	cond;
};

/* ---- chunks ------------------------------------------------------------------------ */

static int
chunk_read(const struct later_file *f, uint8_t *base, int memfd, unsigned c)
{
	uint64_t done = c * CHUNK * PAGE_SZ, end = done + CHUNK * PAGE_SZ;
	ssize_t r;

	if (end > f->len)
		end = f->len;
	for (; done < end; done += (uint64_t)r) {
		r = fill_run(base, memfd, f->gpa + done, end - done, f->fd,
		    (off_t)(f->off + done));
		if (r < 0 && errno == EINTR)
			r = 0;
		else if (r < 0)
			return (-1);
		else if (r == 0)
			break;		/* it has become shorter: zero */
	}
	return (0);
}

/* Have chunk c; 0, or -1: the file could not be read. */
static int
chunk_have(struct later_file *f, uint8_t *base, int memfd, unsigned c)
{
	uint8_t is = C_NEW;

	if (atomic_compare_exchange_strong(&f->chunk[c], &is, C_BUSY)) {
		is = chunk_read(f, base, memfd, c) == 0 ? C_DONE : C_FAILED;
		atomic_store(&f->chunk[c], is);
	}
	while (is == C_BUSY) {
		(void)sched_yield();
		is = atomic_load(&f->chunk[c]);
	}
	return (is == C_DONE ? 0 : -1);
}

/* ---- the thread -------------------------------------------------------------------- */

static void *
later_main(void *priv)
{
	struct later *l = priv;
	struct later_file *f;
	unsigned c, turn;

	CHECK_OBJ_NOTNULL(l, LATER_MAGIC);
	(void)pthread_setname_np(pthread_self(), "tkvm-read");
	(void)pthread_mutex_lock(&l->mtx);
	while (!l->stop) {
		f = l->files;
		turn = l->turn;
		(void)pthread_mutex_unlock(&l->mtx);
		for (; f != NULL; f = f->next)
			for (c = 0; c < f->nchunk && !l->stop; c++)
				(void)chunk_have(f, l->base, l->memfd, c);
		(void)pthread_mutex_lock(&l->mtx);
		while (!l->stop && l->turn == turn)
			(void)pthread_cond_wait(&l->cond, &l->mtx);
	}
	(void)pthread_mutex_unlock(&l->mtx);
	return (NULL);
}

/* Without the thread everything is read on demand. */
static void
later_start(struct later *l, int memfd)
{
	char path[32];
	sigset_t all, old;

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", memfd);
	l->memfd = open(path, O_RDWR | O_CLOEXEC);
	if (l->memfd < 0)
		return;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	l->running = pthread_create(&l->thread, NULL, later_main, l) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static struct later *
later_new(struct as *as)
{
	struct later *l;

	ALLOC_OBJ(l, LATER_MAGIC);
	if (l == NULL)
		return (NULL);
	l->base = as->base;
	(void)pthread_mutex_init(&l->mtx, NULL);
	(void)pthread_cond_init(&l->cond, NULL);
	later_start(l, as->memfd);
	return (l);
}

static void
file_free(struct later_file *f)
{

	if (f->fd >= 0)
		(void)close(f->fd);
	bitmap_free(&f->mapped);
	free(f->chunk);
	free(f);
}

void
later_free(struct later **pl)
{
	struct later *l;
	struct later_file *f;

	TAKE_OBJ_NOTNULL(l, pl, LATER_MAGIC);
	(void)pthread_mutex_lock(&l->mtx);
	l->stop = 1;
	(void)pthread_cond_signal(&l->cond);
	(void)pthread_mutex_unlock(&l->mtx);
	if (l->running)
		(void)pthread_join(l->thread, NULL);
	if (l->memfd >= 0)
		(void)close(l->memfd);
	while ((f = l->files) != NULL) {
		l->files = f->next;
		file_free(f);
	}
	(void)pthread_cond_destroy(&l->cond);
	(void)pthread_mutex_destroy(&l->mtx);
	FREE_OBJ(l);
}

/* ---- files ------------------------------------------------------------------------- */

static struct later_file *
file_new(struct as *as, uint64_t gva, size_t len, int fd, uint64_t off)
{
	struct later_file *f;

	f = calloc(1, sizeof *f);
	if (f == NULL)
		return (NULL);
	f->gva = gva;
	f->len = len;
	f->off = off;
	f->npages = PAGE_UP(len) / PAGE_SZ;
	f->nchunk = (unsigned)((f->npages + CHUNK - 1) / CHUNK);
	f->chunk = calloc(f->nchunk, 1);
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (f->fd < 0 || f->chunk == NULL ||
	    bitmap_alloc(&f->mapped, f->npages) != 0 ||
	    frame_alloc(as, f->npages, &f->gpa) != 0) {
		file_free(f);
		return (NULL);
	}
	return (f);
}

int
later_add(struct as *as, uint64_t gva, size_t len, int fd, uint64_t off)
{
	struct later_file *f;
	struct later *l;

	if (as->image != NULL || len < LATER_MIN)
		return (-1);
	if (as->later == NULL)
		as->later = later_new(as);
	l = as->later;
	f = l == NULL ? NULL : file_new(as, gva, len, fd, off);
	if (f == NULL)
		return (-1);
	(void)pthread_mutex_lock(&l->mtx);
	f->next = l->files;
	l->files = f;
	l->turn++;
	(void)pthread_cond_signal(&l->cond);
	(void)pthread_mutex_unlock(&l->mtx);
	return (0);
}

/* Frames for those of n pages at gva (one leaf table) that f still owes */
static int
file_map(struct as *as, struct later_file *f, const struct vma *v,
    uint64_t gva, uint64_t n)
{
	uint64_t *pte, i, pg;
	int r = 0;

	pte = pt_leaf(as, gva, 1);
	if (pte == NULL)
		return (-ENOMEM);
	pg = (gva - f->gva) / PAGE_SZ;
	for (i = 0; i < n; i++) {
		if (bit_get(&f->mapped, pg + i))
			continue;
		if (chunk_have(f, as->base, as->memfd,
		    (unsigned)((pg + i) / CHUNK)) != 0) {
			r = -ENXIO;
			continue;
		}
		bit_set(&f->mapped, pg + i);
		pte_store(as, &pte[i],
		    pte_make(f->gpa + (pg + i) * PAGE_SZ, v->prot), 0);
	}
	return (r);
}

/* The file that owes the page at gva; NULL: none */
static struct later_file *
file_at(const struct as *as, uint64_t gva)
{
	struct later_file *f;

	for (f = as->later->files; f != NULL; f = f->next)
		if (gva >= f->gva && gva < f->gva + f->npages * PAGE_SZ &&
		    !bit_get(&f->mapped, (gva - f->gva) / PAGE_SZ))
			return (f);
	return (NULL);
}

/*
 * What of the file around gva is there already, and belongs to this region:
 * [*s, *e), never less than the chunk of gva.
 */
static void
done_around(const struct later_file *f, const struct vma *v, uint64_t gva,
    uint64_t *s, uint64_t *e)
{
	const uint64_t size = CHUNK * PAGE_SZ, at = (gva - f->gva) / size;
	uint64_t lo = at, hi = at + 1;

	while (lo > 0 && at - lo < AROUND && f->chunk[lo - 1] == C_DONE &&
	    f->gva + lo * size > v->start)
		lo--;
	while (hi < f->nchunk && hi - at < AROUND &&
	    f->chunk[hi] == C_DONE && f->gva + hi * size < v->end)
		hi++;
	*s = f->gva + lo * size;
	*e = f->gva + hi * size;
	if (*s < v->start)
		*s = v->start;
	if (*e > v->end)
		*e = v->end;
	if (*e > f->gva + f->npages * PAGE_SZ)
		*e = f->gva + f->npages * PAGE_SZ;
}

int
later_fault(struct as *as, const struct vma *v, uint64_t gva)
{
	struct later_file *f;
	uint64_t s, e, end;
	int r = 0, i;

	f = as->later == NULL ? NULL : file_at(as, gva);
	if (f == NULL)
		return (1);
	done_around(f, v, gva, &s, &end);
	for (; s < end; s = e) {
		e = (s & ~(LEAF_SPAN - 1)) + LEAF_SPAN;
		if (e > end)
			e = end;
		i = file_map(as, f, v, s, (e - s) / PAGE_SZ);
		if (gva >= s && gva < e)
			r = i;
	}
	return (r);
}

/* All of a file; its regions are there still: unmapping settles first. */
static int
file_settle(struct as *as, struct later_file *f)
{
	const struct vma *v;
	uint64_t gva, pg;

	for (pg = 0; pg < f->npages; pg++) {
		if (bit_get(&f->mapped, pg))
			continue;
		gva = f->gva + pg * PAGE_SZ;
		v = as_find(as, gva);
		if (v == NULL || file_map(as, f, v, gva, 1) != 0)
			f->failed = 1;
		/* it is not asked for again: something else may come there */
		bit_set(&f->mapped, pg);
	}
	return (f->failed ? -1 : 0);
}

int
later_settle(struct as *as, uint64_t start, uint64_t end)
{
	struct later_file *f;
	int r = 0;

	for (f = as->later == NULL ? NULL : as->later->files; f != NULL;
	    f = f->next)
		if (f->gva < end && f->gva + f->npages * PAGE_SZ > start &&
		    file_settle(as, f) != 0)
			r = -1;
	return (r);
}
