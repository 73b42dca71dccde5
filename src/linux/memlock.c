/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Locks on files in memory: between descriptions of the one process there is.
 * Its record locks (F_SETLK) never conflict with each other, so only flock(2)
 * and OFD locks are kept.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "linux/memfs.h"
#include "obj.h"

#define RETRY_MS	5

static void
touch_locks(struct machine *m)
{

	as_touch(m->as, m->mfs, offsetof(struct mfs, inode));
}

static int
overlaps(const struct mfs_lock *l, uint64_t start, uint64_t end)
{

	return (l->start <= end && start <= l->end);
}

/* A lock of somebody else that stands in the way */
static struct mfs_lock *
conflict(struct machine *m, const struct mfs_lock *want)
{
	struct mfs_lock *l;
	unsigned u;

	for (u = 0; u < MFS_NLOCK; u++) {
		l = &m->mfs->lock[u];
		if (l->ino == want->ino && l->flock == want->flock &&
		    l->owner != want->owner && (l->write || want->write) &&
		    overlaps(l, want->start, want->end))
			return (l);
	}
	return (NULL);
}

static int
lock_add(struct machine *m, const struct mfs_lock *want)
{
	unsigned u;

	for (u = 0; u < MFS_NLOCK; u++)
		if (m->mfs->lock[u].ino == 0)
			break;
	if (u == MFS_NLOCK)
		return (-ENOLCK);
	touch_locks(m);
	m->mfs->lock[u] = *want;
	m->mfs->nlock++;
	return (0);
}

/* What the owner has of this range goes; a lock around it leaves its ends. */
static int
lock_drop(struct machine *m, const struct mfs_lock *range)
{
	struct mfs_lock *l, rest;
	unsigned u;
	int r = 0;

	touch_locks(m);
	for (u = 0; u < MFS_NLOCK && r == 0; u++) {
		l = &m->mfs->lock[u];
		if (l->ino != range->ino || l->owner != range->owner ||
		    l->flock != range->flock ||
		    !overlaps(l, range->start, range->end))
			continue;
		rest = *l;
		if (l->start < range->start && l->end > range->end) {
			rest.start = range->end + 1;
			r = lock_add(m, &rest);
			if (r == 0)
				l->end = range->start - 1;
		} else if (l->start < range->start)
			l->end = range->start - 1;
		else if (l->end > range->end)
			l->start = range->end + 1;
		else {
			l->ino = 0;
			m->mfs->nlock--;
		}
	}
	return (r);
}

int64_t
mfs_flock(struct machine *m, struct thread *t, uint32_t hidx, uint32_t ino,
    int op)
{
	struct mfs_lock w = { ino, hidx, 1, (op & ~LOCK_NB) == LOCK_EX, 0,
	    UINT64_MAX };

	if ((op & ~LOCK_NB) == LOCK_UN)
		return (lock_drop(m, &w));
	if (conflict(m, &w) != NULL) {
		if (op & LOCK_NB)
			return (-EWOULDBLOCK);
		return (file_block_ms(m, t, RETRY_MS));
	}
	(void)lock_drop(m, &w);
	return (lock_add(m, &w));
}

static int
ofd_range(uint32_t hidx, uint32_t ino, const struct flock *fl,
    struct mfs_lock *w)
{
	int64_t start = fl->l_start, len = fl->l_len;

	if (len < 0) {
		start += len;
		len = -len;
	}
	if (start < 0)
		return (-EINVAL);
	w->ino = ino;
	w->owner = hidx;
	w->flock = 0;
	w->write = fl->l_type == F_WRLCK;
	w->start = (uint64_t)start;
	w->end = len == 0 ? UINT64_MAX : (uint64_t)start + (uint64_t)len - 1;
	return (0);
}

int
mfs_ofd_lock(struct machine *m, uint32_t hidx, uint32_t ino,
    const struct flock *fl)
{
	struct mfs_lock w;
	int r;

	r = ofd_range(hidx, ino, fl, &w);
	if (r != 0)
		return (r);
	if (fl->l_type == F_UNLCK)
		return (lock_drop(m, &w));
	if (conflict(m, &w) != NULL)
		return (1);
	r = lock_drop(m, &w);
	return (r != 0 ? r : lock_add(m, &w));
}

void
mfs_ofd_test(struct machine *m, uint32_t hidx, uint32_t ino, struct flock *fl)
{
	const struct mfs_lock *l;
	struct mfs_lock w;

	l = ofd_range(hidx, ino, fl, &w) != 0 ? NULL : conflict(m, &w);
	if (l == NULL) {
		fl->l_type = F_UNLCK;
		return;
	}
	fl->l_type = l->write ? F_WRLCK : F_RDLCK;
	fl->l_whence = SEEK_SET;
	fl->l_start = (off_t)l->start;
	fl->l_len = l->end == UINT64_MAX ? 0 : (off_t)(l->end - l->start + 1);
}
