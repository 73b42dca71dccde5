/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * System calls about memory: checks of the arguments, the work is src/mem's.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "conf/options.h"
#include "linux/dispatch.h"
#include "mem/as.h"

#define MAP_TYPE_	0x0f
#define MAP_SHARED_VALIDATE_ 3
#define MINCORE_MAX	(1UL << 20)	/* pages in one call */
#define MADV_WIPEONFORK_ 18
#define MADV_KEEPONFORK_ 19

/*
 * A file mapping is a copy made now: no host file is ever behind guest memory
 * (it could be truncated under the VMM, or change an image).  So a shared
 * writable one cannot be had.
 */
static int64_t
map_file(struct machine *m, const uint64_t a[6])
{
	const uint64_t len = a[1], fd = a[4], off = a[5];
	const unsigned prot = (unsigned)a[2], flags = (unsigned)a[3];
	struct hfile *f;
	int64_t va;
	int kind, i;

	f = hfile_get(m, fd, &kind);
	if (f == NULL)
		return (kind < 0 ? -EBADF : -ENODEV);
	if (f->kind == HF_ZERO)
		return (as_map(m->as, a[0], len, prot, flags, NULL, 0));
	if (f->kind != HF_REG)
		return (-ENODEV);
	if (!f->can_read)
		return (-EACCES);
	if ((flags & MAP_TYPE_) != MAP_PRIVATE && (prot & PROT_WRITE)) {
		machine_log(m, TKVM_LOG_WARN, "shared writable mapping of %s "
		    "refused: file mappings are private copies here",
		    f->path != NULL ? f->path : "a file");
		return (-ENODEV);
	}
	va = as_map(m->as, a[0], len, prot, flags,
	    f->path != NULL ? f->path : "file", off);
	if (va < 0)
		return (va);
	i = as_fill(m->as, (uint64_t)va, len, f->fd, off);
	if (i != 0) {
		(void)as_unmap(m->as, (uint64_t)va, len);
		return (i);
	}
	return (va);
}

int64_t
sys_mmap(struct machine *m, struct thread *t, const uint64_t a[6])
{
	unsigned flags = (unsigned)a[3];

	(void)t;
	if (a[1] == 0 || (a[5] & PAGE_MASK) || (flags & MAP_TYPE_) == 0 ||
	    (flags & MAP_TYPE_) > MAP_SHARED_VALIDATE_ || (a[2] & ~0xfUL))
		return (-EINVAL);
	if (flags & MAP_HUGETLB)
		return (-ENOMEM);	/* none reserved, as on most hosts */
	if (flags & MAP_ANONYMOUS)
		return (as_map(m->as, a[0], a[1], (unsigned)a[2], flags, NULL,
		    0));
	if (a[5] > (1UL << 62))
		return (-EOVERFLOW);
	return (map_file(m, a));
}

int64_t
sys_munmap(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (as_unmap(m->as, a[0], a[1]));
}

int64_t
sys_mprotect(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if (a[2] & ~(0xfUL | PROT_GROWSDOWN | PROT_GROWSUP))
		return (-EINVAL);
	return (as_protect(m->as, a[0], a[1], (unsigned)a[2] & 7));
}

int64_t
sys_mremap(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (as_remap(m->as, a[0], a[1], a[2], (unsigned)a[3], a[4]));
}

int64_t
sys_madvise(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const uint64_t len = PAGE_UP(a[1]);

	(void)t;
	if (a[0] & PAGE_MASK || len < a[1] || a[0] + len < a[0])
		return (-EINVAL);
	if (len == 0)
		return (0);
	switch ((int)a[2]) {
	case MADV_DONTNEED:
		return (as_dontneed(m->as, a[0], len));
	case MADV_WIPEONFORK_:
	case MADV_KEEPONFORK_:
		return (as_wipeonfork(m->as, a[0], len,
		    (int)a[2] == MADV_WIPEONFORK_));
	case MADV_NORMAL: case MADV_RANDOM: case MADV_SEQUENTIAL:
	case MADV_WILLNEED: case MADV_FREE: case MADV_DONTFORK:
	case MADV_DOFORK: case MADV_MERGEABLE: case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE: case MADV_NOHUGEPAGE: case MADV_DONTDUMP:
	case MADV_DODUMP: case MADV_COLD: case MADV_PAGEOUT:
		return (as_covered(m->as, a[0], len) ? 0 : -ENOMEM);
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		if (!as_covered(m->as, a[0], len))
			return (-ENOMEM);
		return (as_populate(m->as, a[0], len) == 0 ? 0 : -EFAULT);
	default:
		return (-EINVAL);
	}
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
