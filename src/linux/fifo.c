/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Named pipes in memory.  The pipe is the in-memory kernel's (gk_pipe.c), with
 * one description for all readers and one for all writers; its file knows
 * both.  open(2) waits for the other side, as it does on Linux.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

/* Does another thread's open() wait as this end? */
static int
someone_waits(const struct machine *m, const struct thread *self,
    uint32_t ino, int write)
{
	const struct thread *t;
	unsigned u;

	for (u = 0; u < m->proc.hi_thread; u++) {
		t = &m->thread[u];
		if (t == self || t->state != T_WAIT || t->fifo_ino != ino ||
		    t->fifo_write != (uint32_t)write)
			continue;
		if (t->nr == SYS_open || t->nr == SYS_openat ||
		    t->nr == SYS_openat2)
			return (1);
	}
	return (0);
}

/* The inode's end of one kind, made if need be: 0 or -errno */
static int
have_end(struct machine *m, struct mfs_inode *i, uint32_t ino, int write,
    unsigned flags)
{
	int r;

	if (gk_fifo_open(m->gk, ino, i->end1[write], write))
		return (0);
	r = gk_fifo_make(m->gk, ino, i->end1[!write], write, flags);
	if (r < 0)
		return (r);
	as_touch(m->as, i, sizeof *i);
	i->end1[write] = (uint32_t)r;
	return (0);
}

int64_t
fifo_open(struct machine *m, struct thread *t, uint32_t ino, int oflags)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	const int write = (oflags & O_ACCMODE) == O_WRONLY;
	struct gk_ctx ctx;
	int r, there;

	/* A descriptor here is one end of a pipe or the other. */
	if (i == NULL || (oflags & O_ACCMODE) == O_RDWR)
		return (i == NULL ? -ENOENT : -EOPNOTSUPP);
	r = mfs_access(m, ino, write ? W_OK : R_OK);
	if (r != 0)
		return (r);
	there = gk_fifo_open(m->gk, ino, i->end1[!write], !write);
	if (!there && (!(oflags & O_NONBLOCK) || write)) {
		if (!someone_waits(m, t, ino, !write)) {
			if (oflags & O_NONBLOCK)
				return (-ENXIO);
			t->fifo_ino = ino;
			t->fifo_write = (uint32_t)write;
			t->deadline = UINT64_MAX;
			return (SYS_BLOCK);
		}
		/* It will find its end when it looks again. */
		r = have_end(m, i, ino, !write, 0);
	}
	if (r == 0)
		r = have_end(m, i, ino, write, (unsigned)oflags);
	if (r != 0)
		return (r);
	machine_gk_ctx(m, t, &ctx);
	return (gk_fifo_fd(&ctx, i->end1[write], (unsigned)oflags));
}
