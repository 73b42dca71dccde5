/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * System calls about memory: checks of the arguments, the work is src/mem's.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/options.h"
#include "linux/dispatch.h"
#include "linux/memfs.h"
#include "mem/as.h"

#define MAP_TYPE_	0x0f
#define MAP_SHARED_VALIDATE_ 3
#define KNOWN_FLAGS	(MAP_TYPE_ | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | \
			    MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE | \
			    MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | \
			    MAP_NONBLOCK | MAP_STACK | MAP_FIXED_NOREPLACE)
#define MINCORE_MAX	(1UL << 20)	/* pages in one call */
#define MADV_WIPEONFORK_ 18
#define MADV_KEEPONFORK_ 19
#define MADV_DONTNEED_LOCKED_ 24
#define AT_ONCE		(256UL << 10)	/* as_fill() does not put that off */

/* As do_mmap() of the kernel checks the descriptor against the request */
static int64_t
check_file(const struct hfile *f, int kind, unsigned prot, unsigned flags)
{

	if (f == NULL)
		return (kind < 0 ? -EBADF : -ENODEV);
	if (f->kind == HF_PATH)
		return (-EBADF);
	if (f->kind != HF_REG && f->kind != HF_MEM)
		return (-ENODEV);
	if ((flags & MAP_TYPE_) != MAP_PRIVATE && (prot & PROT_WRITE) &&
	    !f->can_write)
		return (-EACCES);
	return (f->can_read ? 0 : -EACCES);
}

/* For do_madvise() in the blob: [lo, hi) is there. */
static void
note_mapping(struct machine *m, uint64_t lo, uint64_t hi)
{
	struct gk_vvar *v = machine_vvar(m);

	v->map_lo = lo;
	v->map_hi = hi;
}

/* What lies in the file is copied, what lies behind its end is SIGBUS. */
static int64_t
fill_file(struct machine *m, uint64_t va, uint64_t len, int fd, uint64_t off,
    int shared)
{
	struct stat st;
	uint64_t in;
	int64_t r;

	if (fstat(fd, &st) != 0)
		return (-errno);
	in = (uint64_t)st.st_size > off ? PAGE_UP((uint64_t)st.st_size - off) :
	    0;
	if (in > len)
		in = len;
	r = in > 0 ? as_fill(m->as, va, in, fd, off) : 0;
	if (r == 0 && in < len)
		r = as_set_flags(m->as, va + in, len - in, VMA_BEYOND, 0);
	if (r == 0 && shared) {
		r = as_set_flags(m->as, va, len, VMA_NEVER_W, 0);
		m->proc.maps_host = 1;
	}
	return (r);
}

/*
 * A page with the generation number in front.  Which regions are such pages is
 * found by name when the program is frozen: every request sets the number.
 */
static int64_t
map_generation(struct machine *m, const uint64_t a[6])
{
	int64_t va;

	if (a[1] > PAGE_SZ || a[5] != 0 || (a[2] & (PROT_WRITE | PROT_EXEC)))
		return (-EPERM);
	va = as_map(m->as, a[0], a[1], (unsigned)a[2], (unsigned)a[3],
	    GENERATION_DEV, 0);
	if (va < 0)
		return (va);
	if (as_set_flags(m->as, (uint64_t)va, PAGE_SZ, VMA_NEVER_W, 0) != 0 ||
	    as_poke(m->as, (uint64_t)va, &m->proc.generation,
	    sizeof m->proc.generation) != 0) {
		(void)as_unmap(m->as, (uint64_t)va, PAGE_SZ);
		return (-ENOMEM);
	}
	return (va);
}

/* What is now in the file at off becomes what is at s. */
static int64_t
show_written(struct machine *m, int fd, uint64_t s, uint64_t len, uint64_t off)
{
	uint64_t n;
	int64_t r;

	r = as_has(m->as, s, len, VMA_BEYOND, 0) ?
	    as_set_flags(m->as, s, len, 0, VMA_BEYOND) : 0;
	if (r == 0)
		r = as_populate(m->as, s, len);
	for (n = 0; r == 0 && n < len; n += AT_ONCE)
		r = as_fill(m->as, s + n, len - n < AT_ONCE ? len - n :
		    AT_ONCE, fd, off + n);
	return (r);
}

/* The file's mapping could read it, this descriptor perhaps cannot. */
static int
open_to_read(const struct hfile *f)
{
	char name[40];
	int fd;

	if (f->can_read)
		return (f->fd);
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", f->fd);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return (fd < 0 ? -errno : fd);
}

/* What has become of a part of a file: it was written, is new and empty, or its
 * end lies in there now */
enum change { WROTE, GREW, CUT };

/* Mappings are of the file if they are of its path: inodes are not kept. */
static void
show(struct machine *m, const struct hfile *f, uint64_t lo, uint64_t hi,
    enum change what)
{
	const struct vma *v;
	const char *name;
	uint64_t s, e, from, to, off;
	int64_t r = 0;
	int fd = -1;

	if (!m->proc.maps_host || f->kind != HF_REG || f->path == NULL)
		return;
	for (s = 0; (v = as_next(m->as, s)) != NULL; s = e) {
		s = v->start;
		e = v->end;
		off = v->off;
		name = as_vma_name(m->as, v);
		if (!(v->flags & VMA_NEVER_W) || v->file != 0 ||
		    name == NULL || strcmp(name, f->path) != 0 ||
		    off >= hi || off + (e - s) <= lo)
			continue;
		from = lo > off ? lo - off : 0;
		to = hi - off < e - s ? hi - off : e - s;
		if (what == GREW) {
			r = as_set_flags(m->as, s + from, to - from, 0,
			    VMA_BEYOND);
			continue;
		}
		if (fd < 0)
			r = fd = open_to_read(f);
		if (r >= 0 && what == CUT)
			r = as_clear(m->as, s + from, to - from);
		if (r >= 0)
			r = show_written(m, fd, s + from, to - from,
			    off + from);
		if (r < 0)
			break;
	}
	if (r < 0 && fs_tell_once(m->fs, "wrote", f->path))
		machine_log(m, TKVM_LOG_WARN, "%s: its shared mapping does not "
		    "show what was written: %s", f->path, strerror((int)-r));
	if (fd >= 0 && fd != f->fd)
		(void)close(fd);
}

void
mem_wrote(struct machine *m, const struct hfile *f, uint64_t pos, uint64_t n)
{

	show(m, f, pos & ~PAGE_MASK, PAGE_UP(pos + n), WROTE);
}

void
mem_resized(struct machine *m, const struct hfile *f, uint64_t was,
    uint64_t now)
{

	if (now > was && PAGE_UP(was) < PAGE_UP(now))
		show(m, f, PAGE_UP(was), PAGE_UP(now), GREW);
	else if (now < was && (now & PAGE_MASK) != 0)
		show(m, f, now & ~PAGE_MASK, PAGE_UP(now), CUT);
}

/*
 * A file mapping is a copy made now: no host file is ever behind guest memory
 * (it could be truncated under the VMM, or change an image).  So a shared
 * writable one cannot be had.
 */
static int64_t
map_file(struct machine *m, const uint64_t a[6], const struct hfile *f,
    int kind)
{
	const uint64_t len = a[1], off = a[5];
	const unsigned prot = (unsigned)a[2], flags = (unsigned)a[3];
	const char *name;
	int64_t va, r;

	if (f != NULL && f->kind == HF_ZERO)
		return (as_map(m->as, a[0], len, prot, flags, NULL, 0));
	if (f != NULL && f->kind == HF_GENERATION)
		return (map_generation(m, a));
	r = check_file(f, kind, prot, flags);
	if (r != 0)
		return (r);
	name = f->path != NULL ? f->path : "file";
	if (f->kind == HF_MEM)
		return (mfs_mmap(m, f, a));
	if ((flags & MAP_TYPE_) != MAP_PRIVATE && (prot & PROT_WRITE)) {
		if (fs_tell_once(m->fs, "map", name))
			machine_log(m, TKVM_LOG_WARN, "shared writable "
			    "mapping of %s refused: file mappings are "
			    "private copies here", name);
		return (-ENODEV);
	}
	va = as_map(m->as, a[0], len, prot, flags, name, off);
	if (va < 0)
		return (va);
	r = fill_file(m, (uint64_t)va, PAGE_UP(len), f->fd, off,
	    (flags & MAP_TYPE_) != MAP_PRIVATE);
	if (r == 0)
		return (va);
	(void)as_unmap(m->as, (uint64_t)va, len);
	return (r);
}

static int64_t
map_anon(struct machine *m, const uint64_t a[6])
{
	const unsigned prot = (unsigned)a[2], flags = (unsigned)a[3];
	int64_t va;

	if ((flags & MAP_TYPE_) != MAP_PRIVATE &&
	    (flags & MAP_TYPE_) != MAP_SHARED)
		return (-EINVAL);
	if (flags & MAP_HUGETLB)
		return (-ENOMEM);	/* none reserved, as on most hosts */
	va = as_map(m->as, a[0], a[1], prot, flags, NULL, 0);
	if (va > 0 && (flags & MAP_TYPE_) == MAP_PRIVATE)
		note_mapping(m, (uint64_t)va, (uint64_t)va + PAGE_UP(a[1]));
	/* As far as there is memory */
	if (va > 0 && (flags & (MAP_POPULATE | MAP_LOCKED)) && (prot & 7) != 0)
		(void)as_populate(m->as, (uint64_t)va, a[1]);
	return (va);
}

int64_t
sys_mmap(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const unsigned flags = (unsigned)a[3];
	struct hfile *f = NULL;
	int kind = 0;

	(void)t;
	note_mapping(m, 0, 0);
	if (a[5] & PAGE_MASK)
		return (-EINVAL);
	if (!(flags & MAP_ANONYMOUS)) {
		f = hfile_get(m, a[4], &kind);
		if (f == NULL && kind < 0)
			return (-EBADF);
	}
	if (a[1] == 0 || (flags & MAP_TYPE_) == 0 ||
	    (flags & MAP_TYPE_) > MAP_SHARED_VALIDATE_)
		return (-EINVAL);
	if (flags & MAP_ANONYMOUS)
		return (map_anon(m, a));
	if (flags & MAP_HUGETLB)
		return (-EINVAL);
	/* MAP_SYNC and what is unknown: that is what it was made for. */
	if ((flags & MAP_TYPE_) == MAP_SHARED_VALIDATE_ &&
	    (flags & ~KNOWN_FLAGS))
		return (-EOPNOTSUPP);
	if (a[5] > (1UL << 62))
		return (-EOVERFLOW);
	return (map_file(m, a, f, kind));
}

int64_t
sys_munmap(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int r;

	(void)t;
	note_mapping(m, 0, 0);
	r = as_unmap(m->as, a[0], a[1]);
	mfs_reap(m);
	return (r);
}

int64_t
sys_mprotect(struct machine *m, struct thread *t, const uint64_t a[6])
{

	const struct vma *v;
	uint64_t start = a[0], len = a[1];

	(void)t;
	if ((a[2] & ~(0xfUL | PROT_GROWSDOWN | PROT_GROWSUP)) ||
	    (a[2] & PROT_GROWSUP))
		return (-EINVAL);
	if ((a[2] & PROT_GROWSDOWN) && !(start & PAGE_MASK) && len != 0) {
		/* From where the region begins: libc makes a stack executable
		 * so. */
		v = as_next(m->as, start);
		if (v == NULL || v->start >= start + len)
			return (-ENOMEM);
		if (!(v->flags & VMA_GROWSDOWN))
			return (-EINVAL);
		if (len > GVA_USER_END)
			return (-ENOMEM);
		if (v->start < start) {
			len += start - v->start;
			start = v->start;
		}
	}
	return (as_protect(m->as, start, len, (unsigned)a[2] & 7));
}

/* The file of a mapping that is to grow, by its path: fd, or 0 and where it is
 * in memory, or -errno */
static int
reopen_mapped(struct machine *m, const char *path, uint32_t *ino)
{
	struct where *w;
	int fd = -EACCES;

	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	if (path_str(m, path, 0, w) == 0) {
		*ino = w->ino;
		if (w->ino != 0)
			fd = 0;
		else if (S_ISREG(w->st.st_mode) &&
		    where_perm(m, w, PERM_R) == 0)
			fd = where_reopen(w, O_RDONLY | O_NONBLOCK);
		where_fini(w);
	}
	free(w);
	return (fd);
}

static int64_t
fill_grown(struct machine *m, uint64_t va, uint64_t len, int fd, uint32_t ino,
    uint64_t off, int shared)
{
	int64_t r;

	r = as_set_flags(m->as, va, len, 0, VMA_BEYOND);
	if (r != 0 || ino == 0)
		return (r != 0 ? r : fill_file(m, va, len, fd, off, shared));
	r = as_populate(m->as, va, len);
	return (r != 0 ? r : mfs_fill(m, ino, va, len, off));
}

/*
 * A mapping of a host file grows: what comes to it is read from the file.  One
 * that is not found any more cannot grow; zeroes in its place would be wrong
 * and not seen.
 */
static int64_t
grow_file(struct machine *m, const uint64_t a[6], const struct vma *v)
{
	const uint64_t had = PAGE_UP(a[1]), len = PAGE_UP(a[2]);
	const uint64_t off = v->off + (a[0] - v->start) + had;
	const int shared = (v->flags & VMA_NEVER_W) != 0;
	char path[PATH_MAX];
	uint32_t ino = 0;
	int64_t va;
	int fd;

	(void)snprintf(path, sizeof path, "%s", as_vma_name(m->as, v));
	fd = reopen_mapped(m, path, &ino);
	if (fd < 0) {
		if (fs_tell_once(m->fs, "mremap", path))
			machine_log(m, TKVM_LOG_WARN, "mapping of %s cannot "
			    "grow: the file is not there to be read", path);
		return (-ENOMEM);
	}
	va = as_remap(m->as, a[0], a[1], a[2], (unsigned)a[3], a[4]);
	if (va >= 0 && fill_grown(m, (uint64_t)va + had, len - had, fd, ino,
	    off, shared) != 0)		/* not zeroes */
		(void)as_unmap(m->as, (uint64_t)va + had, len - had);
	if (ino == 0)
		(void)close(fd);
	return (va);
}

int64_t
sys_mremap(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const struct vma *v = as_find(m->as, a[0]);
	const char *name = v == NULL ? NULL : as_vma_name(m->as, v);

	(void)t;
	note_mapping(m, 0, 0);
	if (name != NULL && *name == '/' && v->file == 0 &&
	    PAGE_UP(a[2]) > PAGE_UP(a[1]) && PAGE_UP(a[1]) != 0 &&
	    a[1] <= v->end - a[0] && a[2] < GVA_USER_END)
		return (grow_file(m, a, v));
	return (as_remap(m->as, a[0], a[1], a[2], (unsigned)a[3], a[4]));
}

static int64_t
populate(struct machine *m, uint64_t addr, uint64_t len, unsigned access)
{

	if (!as_covered(m->as, addr, len))
		return (-ENOMEM);
	if (!as_allows(m->as, addr, len, access))
		return (-EINVAL);
	return (as_populate(m->as, addr, len) == 0 ? 0 : -EFAULT);
}

static int
advice_known(int advice)
{

	switch (advice) {
	case MADV_DONTNEED: case MADV_DONTNEED_LOCKED_:
	case MADV_WIPEONFORK_: case MADV_KEEPONFORK_:
	case MADV_POPULATE_READ: case MADV_POPULATE_WRITE: case MADV_REMOVE:
	case MADV_NORMAL: case MADV_RANDOM: case MADV_SEQUENTIAL:
	case MADV_WILLNEED: case MADV_FREE: case MADV_DONTFORK:
	case MADV_DOFORK: case MADV_MERGEABLE: case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE: case MADV_NOHUGEPAGE: case MADV_DONTDUMP:
	case MADV_DODUMP: case MADV_COLD: case MADV_PAGEOUT:
		return (1);
	default:
		return (0);
	}
}

/* What is at s in a private mapping becomes what the file has now, if it can
 * still be found and read. */
static void
file_again(struct machine *m, const char *name, uint64_t s, uint64_t len,
    uint64_t off)
{
	struct where *w;
	uint64_t n;
	int fd;

	w = malloc(sizeof *w);
	if (w == NULL)
		return;
	if (path_str(m, name, 0, w) == 0) {
		if (w->ino != 0 && as_populate(m->as, s, len) == 0) {
			as_clear(m->as, s, len);
			(void)mfs_fill(m, w->ino, s, len, off);
		} else if (w->ino == 0 && S_ISREG(w->st.st_mode) &&
		    where_perm(m, w, PERM_R) == 0 &&
		    as_populate(m->as, s, len) == 0 &&
		    (fd = where_reopen(w, O_RDONLY | O_NONBLOCK)) >= 0) {
			as_clear(m->as, s, len);
			/* Its frames are there: nothing is left for later. */
			for (n = 0; n < len; n += AT_ONCE)
				(void)as_fill(m->as, s + n, len - n < AT_ONCE ?
				    len - n : AT_ONCE, fd, off + n);
			(void)close(fd);
		}
		where_fini(w);
	}
	free(w);
}

static int64_t
dontneed(struct machine *m, uint64_t addr, uint64_t len)
{
	const struct vma *v;
	const char *name;
	char path[PATH_MAX];
	uint64_t s, e, off;
	int64_t r;

	r = as_dontneed(m->as, addr, len);
	if (r != 0 && r != -ENOMEM)
		return (r);
	for (s = addr; s < addr + len; s = e) {
		v = as_next(m->as, s);
		if (v == NULL || v->start >= addr + len)
			break;
		if (v->start > s)
			s = v->start;
		e = v->end < addr + len ? v->end : addr + len;
		name = as_vma_name(m->as, v);
		if (name == NULL || *name != '/' ||
		    (v->flags & (VMA_SHARED | VMA_BEYOND)))
			continue;
		(void)snprintf(path, sizeof path, "%s", name);
		off = v->off + (s - v->start);
		file_again(m, path, s, e - s, off);
	}
	return (r);
}

static int64_t
advise(struct machine *m, uint64_t addr, uint64_t len, int advice)
{
	const int shared = as_has(m->as, addr, len, VMA_SHARED, 0);

	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED_:
		return (dontneed(m, addr, len));
	case MADV_WIPEONFORK_:
		if (shared)
			return (-EINVAL);
		return (as_set_flags(m->as, addr, len, VMA_WIPEONFORK, 0));
	case MADV_KEEPONFORK_:
		return (as_set_flags(m->as, addr, len, 0, VMA_WIPEONFORK));
	case MADV_POPULATE_READ:
		return (populate(m, addr, len, AS_R | AS_W | AS_X));
	case MADV_POPULATE_WRITE:
		return (populate(m, addr, len, AS_W));
	case MADV_REMOVE:
		if (as_has(m->as, addr, len, 0, VMA_SHARED))
			return (-EINVAL);
		if (as_has(m->as, addr, len, VMA_NEVER_W, 0))
			return (-EACCES);
		return (as_clear(m->as, addr, len));
	default:
		break;
	}
	if (advice == MADV_FREE && shared)
		return (-EINVAL);
	return (as_covered(m->as, addr, len) ? 0 : -ENOMEM);
}

int64_t
sys_madvise(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const uint64_t len = PAGE_UP(a[1]);

	(void)t;
	if (a[0] & PAGE_MASK || len < a[1] || a[0] + len < a[0] ||
	    !advice_known((int)a[2]))
		return (-EINVAL);
	if (len == 0)
		return (0);
	return (advise(m, a[0], len, (int)a[2]));
}

int64_t
sys_brk(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return ((int64_t)as_brk(m->as, a[0]));
}

int64_t
sys_mincore(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t i, n = PAGE_UP(a[1]) / PAGE_SZ;
	uint8_t v;

	(void)t;
	if (a[0] & PAGE_MASK)
		return (-EINVAL);
	if (a[1] > GVA_USER_END || !as_covered(m->as, a[0], PAGE_UP(a[1])))
		return (-ENOMEM);
	if (n > MINCORE_MAX)
		return (-EAGAIN);	/* nothing interrupts the loop */
	for (i = 0; i < n; i++) {
		v = (uint8_t)as_present(m->as, a[0] + i * PAGE_SZ);
		if (as_write(m->as, a[2] + i, &v, 1) != 0)
			return (-EFAULT);
	}
	return (0);
}

int64_t
sys_msync(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((a[0] & PAGE_MASK) || (a[2] & ~7UL) || (a[2] & 5) == 5)
		return (-EINVAL);
	if (a[1] > GVA_USER_END || !as_covered(m->as, a[0], PAGE_UP(a[1])))
		return (-ENOMEM);
	return (0);
}
