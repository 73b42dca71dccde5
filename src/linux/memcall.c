/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Calls about memory that other kernels and machines have more use for:
 * locking, protection keys, NUMA policies, other processes' memory.
 */

#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "layout.h"
#include "linux/dispatch.h"
#include "linux/sys_proc.h"
#include "mem/as.h"
#include "obj.h"

#define MLOCK_ONFAULT_	1
#define VM_COPY_MAX	(64UL << 20)	/* of one call: it may give less */
#define VM_IOV_MAX	1024
#define NODES_MAX	1024		/* bits of a node mask */

/* ---- locking: memory is never swapped by us, but it has to be there ------ */

static int64_t
lock(struct machine *m, uint64_t addr, uint64_t size, int now)
{
	uint64_t start = PAGE_DOWN(addr), end;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	/* Linux lets the length wrap around, too. */
	end = start + PAGE_UP(size + (addr & PAGE_MASK));
	if (end < start)
		return (-EINVAL);
	if (start == end)
		return (0);
	if (end > GVA_USER_END || !as_covered(m->as, start, end - start) ||
	    !as_allows(m->as, start, end - start, AS_R | AS_W | AS_X))
		return (-ENOMEM);
	if (now && as_populate(m->as, start, end - start) != 0)
		return (-ENOMEM);
	return (0);
}

int64_t
sys_mlock(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (lock(m, a[0], a[1], 1));
}

int64_t
sys_mlock2(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((int)a[2] & ~MLOCK_ONFAULT_)
		return (-EINVAL);
	return (lock(m, a[0], a[1], !((int)a[2] & MLOCK_ONFAULT_)));
}

int64_t
sys_munlock(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (lock(m, a[0], a[1], 0));
}

/* All of it, reservations too, is more than there is: nothing is touched. */
int64_t
sys_mlockall(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int flags = (int)a[0];

	(void)m;
	(void)t;
	if (flags == 0 || flags == MCL_ONFAULT ||
	    (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) != 0)
		return (-EINVAL);
	return (0);
}

int64_t
sys_munlockall(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)t;
	(void)a;
	return (0);
}

/* ---- protection keys: a CPU without them --------------------------------- */

int64_t
sys_pkey_alloc(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)t;
	return (a[0] != 0 || (a[1] & ~3UL) != 0 ? -EINVAL : -ENOSPC);
}

int64_t
sys_pkey_mprotect(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return ((int)a[3] == -1 ? sys_mprotect(m, t, a) : -EINVAL);
}

/* ---- NUMA: one node ------------------------------------------------------ */

/* A mask from the guest may name node 0 only; *any: it does */
static int64_t
get_nodes(struct machine *m, uint64_t umask, uint64_t bits, int *any)
{
	uint64_t w = 0;

	*any = 0;
	if (umask == 0 || bits == 0)
		return (0);
	if (bits > PAGE_SZ * 8)
		return (-EINVAL);
	if (as_read(m->as, umask, &w, bits < 64 ? (bits + 7) / 8 : 8))
		return (-EFAULT);
	if (w & ~1UL)
		return (-EINVAL);
	*any = (w & 1) != 0;
	return (0);
}

static int64_t
check_policy(struct machine *m, uint64_t mode, uint64_t umask, uint64_t bits)
{
	int64_t error;
	int any;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	mode = (uint32_t)mode & ~(uint32_t)(MPOL_F_STATIC_NODES |
	    MPOL_F_RELATIVE_NODES);
	if (mode >= MPOL_MAX)
		return (-EINVAL);
	error = get_nodes(m, umask, bits, &any);
	if (error)
		return (error);
	switch (mode) {
	case MPOL_DEFAULT:
	case MPOL_LOCAL:
		return (any ? -EINVAL : 0);
	case MPOL_PREFERRED:
		return (0);
	default:
		return (any ? 0 : -EINVAL);
	}
}

int64_t
sys_set_mempolicy(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (check_policy(m, a[0], a[1], a[2]));
}

int64_t
sys_mbind(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((a[0] & PAGE_MASK) || ((uint32_t)a[5] & ~7U))
		return (-EINVAL);
	if (a[1] > GVA_USER_END ||
	    !as_covered(m->as, a[0], PAGE_UP(a[1])))
		return (-EFAULT);
	return (check_policy(m, a[2], a[3], a[4]));
}

int64_t
sys_get_mempolicy(struct machine *m, struct thread *t, const uint64_t a[6])
{
	static const int32_t zero;
	uint64_t mask = 0, n;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (a[4] & ~7UL || ((a[4] & MPOL_F_MEMS_ALLOWED) && a[4] != 4))
		return (-EINVAL);
	if (a[1] != 0 && (a[2] == 0 || a[2] > PAGE_SZ * 8))
		return (-EINVAL);
	if ((a[4] & MPOL_F_ADDR) && as_find(m->as, a[3]) == NULL)
		return (-EFAULT);
	if (a[4] == MPOL_F_MEMS_ALLOWED)
		mask = 1;
	if (a[0] != 0 && as_write(m->as, a[0], &zero, sizeof(zero)))
		return (-EFAULT);
	if (a[1] == 0)
		return (0);
	n = (a[2] + 63) / 64 * 8;
	if (n > NODES_MAX / 8)
		n = NODES_MAX / 8;
	if (as_zero(m->as, a[1], n) || as_write(m->as, a[1], &mask, 8))
		return (-EFAULT);
	return (0);
}

/* ---- process_vm_readv: of ourselves -------------------------------------- */

struct cursor {
	uint64_t	uvec, n;	/* what is left of the vector */
	struct iovec	cur;
};

/* Bytes at the cursor, 0 at its end; -errno */
static int64_t
cursor_left(struct machine *m, struct cursor *c)
{

	while (c->cur.iov_len == 0) {
		if (c->n == 0)
			return (0);
		if (as_read(m->as, c->uvec, &c->cur, sizeof(c->cur)))
			return (-EFAULT);
		if (c->cur.iov_len > INT64_MAX)
			return (-EINVAL);
		c->uvec += sizeof(c->cur);
		c->n--;
	}
	return ((int64_t)c->cur.iov_len);
}

static void
cursor_skip(struct cursor *c, uint64_t n)
{

	c->cur.iov_base = (uint8_t *)c->cur.iov_base + n;
	c->cur.iov_len -= n;
}

static int64_t
vm_copy(struct machine *m, struct cursor *to, struct cursor *from)
{
	uint8_t b[4096];
	uint64_t done = 0, n;
	int64_t l, r;

	for (; done < VM_COPY_MAX; done += n) {
		l = cursor_left(m, to);
		r = cursor_left(m, from);
		if (l < 0 || r < 0)
			return (l < 0 ? l : r);
		if (l == 0 || r == 0)
			break;
		/* up to the end of a page: as much as there is before a fault */
		n = PAGE_SZ - ((uint64_t)from->cur.iov_base & PAGE_MASK);
		if (n > (uint64_t)l)
			n = (uint64_t)l;
		if (n > (uint64_t)r)
			n = (uint64_t)r;
		if (as_read(m->as, (uint64_t)from->cur.iov_base, b, n) ||
		    as_write(m->as, (uint64_t)to->cur.iov_base, b, n))
			return (done > 0 ? (int64_t)done : -EFAULT);
		cursor_skip(to, n);
		cursor_skip(from, n);
	}
	return ((int64_t)done);
}

static int64_t
process_vm(struct machine *m, const uint64_t a[6], int is_write)
{
	struct cursor local = { .uvec = a[1], .n = a[2] };
	struct cursor remote = { .uvec = a[3], .n = a[4] };

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (a[5] != 0 || a[2] > VM_IOV_MAX || a[4] > VM_IOV_MAX)
		return (-EINVAL);
	if (!proc_is_self(m, (int32_t)a[0]) &&
	    thread_find(m, (int32_t)a[0]) == NULL)
		return (-ESRCH);
	return (is_write ? vm_copy(m, &remote, &local) :
	    vm_copy(m, &local, &remote));
}

int64_t
sys_process_vm_readv(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (process_vm(m, a, 0));
}

int64_t
sys_process_vm_writev(struct machine *m, struct thread *t,
    const uint64_t a[6])
{

	(void)t;
	return (process_vm(m, a, 1));
}
