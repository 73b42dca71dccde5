/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The contents of files in memory: reading, writing, size, holes, seals,
 * mappings; memfd_create(2).
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "mem/as.h"
#include "obj.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	8U
#define MFD_EXEC	16U
#endif
#define SEALS_KNOWN	0x1fU
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

/* ---- pages ------------------------------------------------------------------------ */

/* Host view of a file's page; NULL and *err == 0: a hole */
static uint8_t *
page_at(struct machine *m, struct mfs_inode *i, uint64_t pos, int alloc,
    int *err)
{
	uint64_t gpa;

	if (alloc)
		as_touch(m->as, &i->f, sizeof i->f);
	*err = memfile_page(m->as, &i->f, pos / PAGE_SZ, alloc, &gpa);
	if (*err != 0)
		return (NULL);
	return (as_frame(m->as, gpa));
}

ssize_t
mfs_pread(struct machine *m, uint32_t ino, void *to, size_t len, uint64_t pos)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	size_t n, done;
	uint8_t *p;
	int err;

	if (i == NULL || pos >= i->size)
		return (0);
	if (len > i->size - pos)
		len = i->size - pos;
	for (done = 0; done < len; done += n, pos += n) {
		n = PAGE_SZ - (pos & PAGE_MASK);
		if (n > len - done)
			n = len - done;
		p = page_at(m, i, pos, 0, &err);
		if (p == NULL)
			(void)memset((char *)to + done, 0, n);
		else
			(void)memcpy((char *)to + done, p + (pos & PAGE_MASK),
			    n);
	}
	return ((ssize_t)done);
}

/* Room for n bytes at pos of a page, which the caller is about to write */
static uint8_t *
page_write(struct machine *m, struct mfs_inode *i, uint64_t pos, size_t n,
    int *err)
{
	uint8_t *p;

	p = page_at(m, i, pos, 1, err);
	if (p == NULL)
		return (NULL);
	p += pos & PAGE_MASK;
	as_touch(m->as, p, n);
	return (p);
}

static void
grown(struct machine *m, struct mfs_inode *i, uint64_t end)
{

	mfs_stamp(m, i, 2);
	if (end > i->size)
		i->size = end;
}

ssize_t
mfs_pwrite(struct machine *m, uint32_t ino, const void *from, size_t len,
    uint64_t pos)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	size_t n, done;
	uint8_t *p;
	int err = 0;

	if (i == NULL)
		return (-EIO);
	if (i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return (-EPERM);
	if (pos >= MFS_MAXSIZE)
		return (-EFBIG);
	if (len > MFS_MAXSIZE - pos)
		len = MFS_MAXSIZE - pos;
	for (done = 0; done < len; done += n, pos += n) {
		n = PAGE_SZ - (pos & PAGE_MASK);
		if (n > len - done)
			n = len - done;
		if ((i->seals & F_SEAL_GROW) && pos + n > i->size) {
			err = -EPERM;
			break;
		}
		p = page_write(m, i, pos, n, &err);
		if (p == NULL)
			break;
		(void)memcpy(p, (const char *)from + done, n);
	}
	if (done > 0)
		grown(m, i, pos);
	return (done > 0 ? (ssize_t)done : err);
}

/* ---- read and write -------------------------------------------------------------------- */

/* The next piece of the guest's segments inside one page of the file */
static size_t
piece(const struct uvec *u, uint64_t pos, uint64_t max, uint64_t *gva)
{
	size_t n = PAGE_SZ - (pos & PAGE_MASK);

	*gva = (uintptr_t)u->v[u->i].iov_base + u->off;
	if (n > PAGE_SZ - (*gva & PAGE_MASK))
		n = PAGE_SZ - (*gva & PAGE_MASK);
	if (n > u->v[u->i].iov_len - u->off)
		n = u->v[u->i].iov_len - u->off;
	return (n < max ? n : max);
}

static int
rw_piece(struct machine *m, struct mfs_inode *i, uint64_t pos, uint64_t gva,
    size_t n, int write)
{
	uint8_t *p, copy[256];
	int err;

	if (!write) {
		p = page_at(m, i, pos, 0, &err);
		if (p == NULL)
			return (as_zero(m->as, gva, n));
		return (as_write(m->as, gva, p + (pos & PAGE_MASK), n));
	}
	/* a bad address must not leave a new page behind */
	if (as_read(m->as, gva, copy, n < sizeof copy ? n : sizeof copy) != 0)
		return (-EFAULT);
	p = page_write(m, i, pos, n, &err);
	if (p == NULL)
		return (err);
	return (as_read(m->as, gva, p, n));
}

static int
write_start(const struct machine *m, const struct mfs_inode *i, uint64_t pos,
    uint64_t len, uint64_t *max)
{
	uint64_t end = file_size_max(m);

	if (i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return (-EPERM);
	if (end > MFS_MAXSIZE)
		end = MFS_MAXSIZE;
	if (pos >= end)
		return (-EFBIG);
	*max = end - pos;
	if (i->seals & F_SEAL_GROW) {
		/* page by page: what fits in front of the last goes */
		if (pos + len <= i->size)
			return (0);
		if (PAGE_DOWN(pos + len - 1) <= pos)
			return (-EPERM);
		*max = PAGE_DOWN(i->size) > pos ? PAGE_DOWN(i->size) - pos : 0;
		return (*max == 0 ? -EPERM : 0);
	}
	return (0);
}

int64_t
mfs_rw(struct machine *m, uint32_t ino, struct uvec *u, uint64_t *ppos,
    int write, int append)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	uint64_t pos, max = 0, done = 0, gva;
	size_t n;
	int r = 0;

	if (i == NULL)
		return (-EIO);
	pos = write && append ? i->size : *ppos;
	if (pos > INT64_MAX)
		return (-EINVAL);
	if (write && u->total > 0) {
		r = write_start(m, i, pos, u->total, &max);
		if (r != 0)
			return (r);
	} else if (!write)
		max = pos < i->size ? i->size - pos : 0;
	if (max > u->total)
		max = u->total;
	while (done < max && u->i < u->n) {
		n = piece(u, pos, max - done, &gva);
		if (n > 0)
			r = rw_piece(m, i, pos, gva, n, write);
		if (r != 0)
			break;
		uvec_skip(u, n);
		if (n == 0)
			u->i++;
		done += n;
		pos += n;
	}
	if (done > 0 && write)
		grown(m, i, pos);
	else if (done > 0)
		mfs_stamp(m, i, 1);
	*ppos = pos;
	return (done > 0 || r == 0 ? (int64_t)done : r);
}

/* ---- size and holes ---------------------------------------------------------------------- */

/* What is behind `from` in its page must read as zero. */
static void
zero_tail(struct machine *m, struct mfs_inode *i, uint64_t from, uint64_t to)
{
	uint8_t *p;
	int err;

	if (from >= to)
		return;
	if (to > (from | PAGE_MASK) + 1)
		to = (from | PAGE_MASK) + 1;
	p = page_at(m, i, from, 0, &err);
	if (p == NULL)
		return;
	p += from & PAGE_MASK;
	as_touch(m->as, p, to - from);
	(void)memset(p, 0, to - from);
}

static void
punch(struct machine *m, uint32_t ino, uint64_t from, uint64_t to)
{
	struct mfs_inode *i = &m->mfs->inode[ino];
	uint64_t p1 = PAGE_UP(from) / PAGE_SZ, p2 = to / PAGE_SZ;

	if (from & PAGE_MASK)
		zero_tail(m, i, from, to);
	if (PAGE_DOWN(to) >= from)
		zero_tail(m, i, PAGE_DOWN(to), to);
	if (p1 >= p2)
		return;
	as_file_zap(m->as, ino, p1, p2);
	as_touch(m->as, &i->f, sizeof i->f);
	memfile_cut(m->as, &i->f, p1, p2);
}

int
mfs_truncate(struct machine *m, uint32_t ino, uint64_t size)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	uint64_t first = PAGE_UP(size) / PAGE_SZ;

	if (i == NULL || !S_ISREG(i->mode))
		return (-EINVAL);
	if (size > MFS_MAXSIZE)
		return (-EFBIG);
	if ((size < i->size && (i->seals & F_SEAL_SHRINK)) ||
	    (size > i->size && (i->seals & F_SEAL_GROW)))
		return (-EPERM);
	if (size < i->size) {
		as_file_zap(m->as, ino, first, UINT64_MAX);
		as_touch(m->as, &i->f, sizeof i->f);
		memfile_cut(m->as, &i->f, first, UINT64_MAX);
		zero_tail(m, i, size, UINT64_MAX);
	}
	mfs_stamp(m, i, 2);
	i->size = size;
	return (0);
}

int
mfs_fallocate(struct machine *m, uint32_t ino, unsigned mode, uint64_t off,
    uint64_t len)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	uint64_t end = off + len, pg, gpa;
	int r;

	if (i == NULL)
		return (-EIO);
	if (mode & ~(unsigned)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return (-EOPNOTSUPP);
	if (mode & FALLOC_FL_PUNCH_HOLE) {
		if (!(mode & FALLOC_FL_KEEP_SIZE))
			return (-EOPNOTSUPP);
		if (i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
			return (-EPERM);
		punch(m, ino, off, end);
		mfs_stamp(m, i, 2);
		return (0);
	}
	if (end > MFS_MAXSIZE)
		return (-EFBIG);
	if ((i->seals & F_SEAL_GROW) && end > i->size)
		return (-EPERM);
	as_touch(m->as, &i->f, sizeof i->f);
	for (pg = off / PAGE_SZ; pg * PAGE_SZ < end; pg++) {
		r = memfile_page(m->as, &i->f, pg, 1, &gpa);
		if (r != 0)
			return (r);
	}
	mfs_stamp(m, i, 4);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > i->size)
		i->size = end;
	return (0);
}

int64_t
mfs_seek(struct machine *m, uint32_t ino, int64_t off, int whence)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	uint64_t pg, size, n;

	if (i == NULL)
		return (-EIO);
	size = i->size;
	if (whence == SEEK_END) {
		if (__builtin_add_overflow((int64_t)size, off, &off))
			return (-EOVERFLOW);
		return (off);
	}
	if (!S_ISREG(i->mode))
		return (-EINVAL);
	if (off < 0 || (uint64_t)off >= size)
		return (-ENXIO);
	n = PAGE_UP(size) / PAGE_SZ;
	pg = memfile_next(m->as, &i->f, (uint64_t)off / PAGE_SZ, n,
	    whence == SEEK_DATA);
	if (pg == n && whence == SEEK_DATA)
		return (-ENXIO);
	pg *= PAGE_SZ;
	if (pg < (uint64_t)off)
		pg = (uint64_t)off;
	return ((int64_t)(pg < size ? pg : size));
}

/* ---- open -------------------------------------------------------------------------------------- */

struct hfile *
mfs_open(struct machine *m, uint32_t ino, const char *path, int oflags,
    int *err)
{
	const struct mfs_inode *i = mfs_inode(m, ino);
	struct hfile *hf;
	int acc = oflags & O_ACCMODE;

	*err = i == NULL ? -ENOENT : 0;
	if (i == NULL)
		return (NULL);
	if (!(oflags & O_PATH)) {
		if (S_ISSOCK(i->mode))
			*err = -ENXIO;
		else if (S_ISLNK(i->mode))
			*err = -ELOOP;
		else if (S_ISDIR(i->mode) && (acc != O_RDONLY ||
		    (oflags & (O_TRUNC | O_CREAT))))
			*err = -EISDIR;
	}
	if ((oflags & O_DIRECTORY) && !S_ISDIR(i->mode))
		*err = -ENOTDIR;
	if (*err != 0)
		return (NULL);
	hf = hfile_new((oflags & O_PATH) ? HF_PATH :
	    S_ISDIR(i->mode) ? HF_DIR : HF_MEM, -1);
	if (hf != NULL)
		hf->path = strdup(path);
	if (hf == NULL || hf->path == NULL) {
		if (hf != NULL)
			hfile_unref(&hf);
		*err = -ENOMEM;
		return (NULL);
	}
	hf->ino = ino;
	mfs_stat(m, ino, &hf->st);
	if (!(oflags & O_PATH)) {
		hf->can_read = acc == O_RDONLY || acc == O_RDWR;
		hf->can_write = acc == O_WRONLY || acc == O_RDWR;
	}
	return (hf);
}

int64_t
sys_memfd_create(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const unsigned flags = (unsigned)a[1];
	struct mfs_inode *i;
	struct hfile *hf;
	char name[NAME_MAX + 1], path[NAME_MAX + 32];
	int64_t ino;
	int r, err = 0;

	(void)t;
	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL |
	    MFD_EXEC | MFD_HUGETLB) || (flags & MFD_HUGETLB))
		return (-EINVAL);
	r = as_strncpy(m->as, name, a[0], NAME_MAX - 5);
	if (r < 0)
		return (r == -ENAMETOOLONG ? -EINVAL : r);
	if (m->mfs == NULL)
		return (-ENOSYS);
	ino = mfs_make(m, 0, NULL, S_IFREG |
	    ((flags & MFD_NOEXEC_SEAL) ? 0666 : 0777));
	if (ino < 0)
		return (ino);
	i = &m->mfs->inode[ino];
	i->memfd = 1;
	i->seals = (flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)) ? 0 :
	    F_SEAL_SEAL;
	(void)snprintf(path, sizeof path, "/memfd:%s (deleted)", name);
	hf = mfs_open(m, (uint32_t)ino, path, O_RDWR, &err);
	if (hf == NULL) {
		mfs_reap(m);
		return (err);
	}
	ino = hfile_install(m, hf, O_RDWR |
	    ((flags & MFD_CLOEXEC) ? O_CLOEXEC : 0));
	if (ino < 0)
		mfs_reap(m);
	return (ino);
}

int64_t
mfs_add_seals(struct machine *m, const struct hfile *hf, uint64_t seals)
{
	struct mfs_inode *i = mfs_inode(m, hf->ino);

	if (i == NULL || !S_ISREG(i->mode))
		return (-EINVAL);
	if (!hf->can_write)
		return (-EPERM);
	if (seals & ~(uint64_t)SEALS_KNOWN)
		return (-EINVAL);
	if (i->seals & F_SEAL_SEAL)
		return (-EPERM);
	if ((seals & F_SEAL_WRITE) && !(i->seals & F_SEAL_WRITE) &&
	    as_maps_file(m->as, hf->ino, AS_W))
		return (-EBUSY);
	as_touch(m->as, i, sizeof *i);
	i->seals |= (uint32_t)seals;
	return (0);
}

/* ---- mappings ------------------------------------------------------------------------------------ */

int
mfs_pager(void *priv, uint32_t ino, uint64_t pg, uint64_t *gpa)
{
	struct machine *m = priv;
	struct mfs_inode *i = mfs_inode(m, ino);

	if (i == NULL || pg >= PAGE_UP(i->size) / PAGE_SZ)
		return (-ENXIO);
	as_touch(m->as, &i->f, sizeof i->f);
	return (memfile_page(m->as, &i->f, pg, 1, gpa) != 0 ? -ENOMEM : 0);
}

int
mfs_fill(struct machine *m, uint32_t ino, uint64_t va, uint64_t len,
    uint64_t off)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	uint64_t n;
	uint8_t *p;
	int r = 0, err;

	for (n = 0; i != NULL && n < len && off + n < i->size && r == 0;
	    n += PAGE_SZ) {
		p = page_at(m, i, off + n, 0, &err);
		if (p != NULL)
			r = as_poke(m->as, va + n, p, PAGE_SZ);
	}
	return (r);
}

/* A private one is a copy made now, as of every file. */
static int
map_copy(struct machine *m, uint32_t ino, uint64_t va, uint64_t len,
    uint64_t off)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	uint64_t n;
	int r;

	r = mfs_fill(m, ino, va, len, off);
	n = i->size > off ? PAGE_UP(i->size - off) : 0;
	len = PAGE_UP(len);
	if (r == 0 && n < len)
		r = as_set_flags(m->as, va + n, len - n, VMA_BEYOND, 0);
	return (r != 0 ? -ENOMEM : 0);
}

int64_t
mfs_mmap(struct machine *m, const struct hfile *hf, const uint64_t a[6])
{
	const unsigned prot = (unsigned)a[2], flags = (unsigned)a[3];
	struct mfs_inode *i = mfs_inode(m, hf->ino);
	int64_t va;
	int r, shared = (flags & MAP_TYPE) != MAP_PRIVATE, sealed;

	if (i == NULL)
		return (-EIO);
	sealed = (i->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0;
	if (shared && (prot & PROT_WRITE) && (!hf->can_write || sealed))
		return (hf->can_write ? -EPERM : -EACCES);
	/* MAP_SHARED_VALIDATE has both bits: shared, for what is below. */
	va = as_map(m->as, a[0], a[1], prot, flags, hf->path, a[5]);
	if (va < 0)
		return (va);
	r = shared ? as_map_file(m->as, (uint64_t)va, a[1], hf->ino,
	    !hf->can_write || sealed) :
	    map_copy(m, hf->ino, (uint64_t)va, a[1], a[5]);
	if (r != 0) {
		(void)as_unmap(m->as, (uint64_t)va, a[1]);
		return (r);
	}
	mfs_reap(m);
	return (va);
}
