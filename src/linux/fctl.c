/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * flock(2), fcntl(2) and ioctl(2), as far as gk_syscall() leaves them to us.
 *
 * All record locks are OFD locks on a description that only this machine has:
 * forks of one image must exclude each other, and a reset drops what a request
 * has locked.  Those of the process are reclock.c's.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

#define LOCK_RETRY_MS	5		/* there is nothing to poll for it */

/* As the guest has it; the same on all 64-bit Linux */
struct gflock {
	int16_t		type, whence;
	int32_t		pad0;
	int64_t		start, len;
	int32_t		pid, pad1;
};

/* ---- flock ------------------------------------------------------------------------ */

int64_t
sys_flock(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gk_ofd *ofd;
	struct hfile *hf;
	int kind, err = 0, op = (int)a[1];

	hf = hfile_of(m, a[0], &ofd, NULL, &kind);
	if (hf == NULL)
		return (kind < 0 ? -EBADF : 0);	/* nobody else has it */
	switch (op & ~LOCK_NB) {
	case LOCK_SH:
	case LOCK_EX:
	case LOCK_UN:
		break;
	default:
		return (-EINVAL);
	}
	if (hf->kind == HF_PATH)
		return (-EBADF);
	if (hf->ino != 0)
		return (mfs_flock(m, t, ofd->u.host.idx, hf->ino, op));
	if (hf->fd < 0)
		return (0);
	if (hf->kind == HF_REG) {
		hf = hfile_private(m, ofd, &err);
		if (hf == NULL)
			return (err);
	}
	if (flock(hf->fd, op | LOCK_NB) == 0)
		return (0);
	if (errno == EWOULDBLOCK && !(op & LOCK_NB))
		return (file_block_ms(m, t, LOCK_RETRY_MS));
	return (-errno);
}

/* ---- fcntl -------------------------------------------------------------------------- */

static int
lock_in(struct machine *m, uint64_t uaddr, const struct gk_ofd *ofd,
    struct gflock *g, struct flock *fl)
{

	if (as_read(m->as, uaddr, g, sizeof *g) != 0)
		return (-EFAULT);
	(void)memset(fl, 0, sizeof *fl);
	fl->l_type = g->type;
	fl->l_whence = g->whence;
	fl->l_start = g->start;
	fl->l_len = g->len;
	if (g->whence == SEEK_CUR) {	/* the offset is the guest's */
		if (ofd->pos > INT64_MAX || __builtin_add_overflow(
		    (int64_t)ofd->pos, g->start, &fl->l_start))
			return (-EOVERFLOW);
		fl->l_whence = SEEK_SET;
	}
	return (0);
}

/* What F_GETLK answers: the lock in the way, or that there is none */
static int
lock_out(struct machine *m, uint64_t uaddr, struct gflock *g,
    const struct flock *fl)
{

	g->type = fl->l_type;
	if (fl->l_type != F_UNLCK) {
		g->whence = fl->l_whence;
		g->start = fl->l_start;
		g->len = fl->l_len;
		g->pid = -1;
	}
	return (as_write(m->as, uaddr, g, sizeof *g));
}

static int64_t
lock_get(struct machine *m, const uint64_t a[6], const struct gk_ofd *ofd,
    struct hfile *hf)
{
	struct gflock g;
	struct flock fl;
	int r;

	r = lock_in(m, a[2], ofd, &g, &fl);
	if (r == 0 && a[1] == F_GETLK)
		r = reclock_get(m, hf, &fl);
	else if (r == 0 && g.pid != 0)
		r = -EINVAL;
	else if (r == 0 && fcntl(hf->fd, F_OFD_GETLK, &fl) != 0)
		r = -errno;
	return (r != 0 ? r : lock_out(m, a[2], &g, &fl));
}

static int64_t
lock_set(struct machine *m, struct thread *t, const uint64_t a[6],
    const struct gk_ofd *ofd, struct hfile *hf)
{
	const int wait = a[1] == F_SETLKW || a[1] == F_OFD_SETLKW;
	struct gflock g;
	struct flock fl;
	int r;

	r = lock_in(m, a[2], ofd, &g, &fl);
	if (r == 0 && (a[1] == F_SETLK || a[1] == F_SETLKW))
		r = reclock_set(m, hf, &fl);
	else if (r == 0 && g.pid != 0)
		r = -EINVAL;
	else if (r == 0 && fcntl(hf->fd, F_OFD_SETLK, &fl) != 0)
		r = -errno;
	if (wait && (r == -EAGAIN || r == -EACCES))
		return (file_block_ms(m, t, LOCK_RETRY_MS));
	return (r);
}

/* One in memory: there is no other process to lock out. */
static int64_t
mem_lock(struct machine *m, struct thread *t, const uint64_t a[6],
    struct gk_ofd *ofd, struct hfile *hf)
{
	const uint32_t hidx = ofd->u.host.idx;
	const int ofdlock = a[1] == F_OFD_SETLK || a[1] == F_OFD_SETLKW ||
	    a[1] == F_OFD_GETLK;
	struct gflock g;
	struct flock fl;
	struct stat st;
	int r;

	r = lock_in(m, a[2], ofd, &g, &fl);
	if (r != 0)
		return (r);
	if (g.whence == SEEK_END) {
		mfs_stat(m, hf->ino, &st);
		fl.l_start += st.st_size;
	}
	if ((g.type != F_RDLCK && g.type != F_WRLCK && g.type != F_UNLCK) ||
	    (ofdlock && g.pid != 0))
		return (-EINVAL);
	if (a[1] == F_GETLK || a[1] == F_OFD_GETLK) {
		if (ofdlock)
			mfs_ofd_test(m, hidx, hf->ino, &fl);
		else
			fl.l_type = F_UNLCK;
		return (lock_out(m, a[2], &g, &fl));
	}
	if ((g.type == F_RDLCK && !hf->can_read) ||
	    (g.type == F_WRLCK && !hf->can_write))
		return (-EBADF);
	if (fl.l_start < 0 || fl.l_start + (fl.l_len < 0 ? fl.l_len : 0) < 0)
		return (-EINVAL);
	if (!ofdlock)
		return (0);
	r = mfs_ofd_lock(m, hidx, hf->ino, &fl);
	if (r == 1)
		return (a[1] == F_OFD_SETLKW ?
		    file_block_ms(m, t, LOCK_RETRY_MS) : -EAGAIN);
	return (r);
}

static int64_t
do_lock(struct machine *m, struct thread *t, const uint64_t a[6],
    struct gk_ofd *ofd, struct hfile *hf)
{
	int err = 0;

	if (hf->kind == HF_MEM)
		return (mem_lock(m, t, a, ofd, hf));
	if (hf->kind != HF_REG)
		return (hf->kind == HF_PATH ? -EBADF : -EINVAL);
	hf = hfile_private(m, ofd, &err);
	if (hf == NULL)
		return (err);
	if (a[1] == F_GETLK || a[1] == F_OFD_GETLK)
		return (lock_get(m, a, ofd, hf));
	return (lock_set(m, t, a, ofd, hf));
}

int64_t
sys_fcntl(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gk_ofd *ofd;
	struct hfile *hf;
	int kind;

	hf = hfile_of(m, a[0], &ofd, NULL, &kind);
	if (hf == NULL)
		return (hfile_badkind(kind, -EINVAL));
	switch (a[1]) {
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return (do_lock(m, t, a, ofd, hf));
	case F_GETFL:
		return (ofd->flags);
	case F_GETOWN:
	case F_GETSIG:
	case F_SETOWN:
	case F_SETSIG:
	case F_NOTIFY:
		return (0);		/* no signals for files */
	case F_GETLEASE:
		return (F_UNLCK);
	case F_ADD_SEALS:
		return (mfs_add_seals(m, hf, a[2]));
	case F_GET_SEALS:
		if (hf->kind != HF_MEM)
			return (-EINVAL);
		return (mfs_inode(m, hf->ino)->seals |
		    (mfs_inode(m, hf->ino)->memfd ? 0 : F_SEAL_SEAL));
	case F_GETPIPE_SZ:
		if (hf->kind != HF_STREAM)
			return (-EBADF);
		kind = fcntl(hf->fd, F_GETPIPE_SZ);
		return (kind < 0 ? -errno : kind);
	default:
		return (-EINVAL);	/* seals, leases, hints */
	}
}

/* ---- ioctl ---------------------------------------------------------------------------- */

static int64_t
do_fionread(struct machine *m, const struct gk_ofd *ofd, struct hfile *hf,
    uint64_t uaddr, unsigned long req)
{
	struct stat st;
	int n = 0;

	switch (hf->kind) {
	case HF_REG:
	case HF_MEM:
		if (req != FIONREAD)
			return (-ENOTTY);
		if (hfile_stat(m, hf, &st) != 0)
			return (-EIO);
		if ((uint64_t)st.st_size > ofd->pos)
			n = (uint64_t)st.st_size - ofd->pos > INT32_MAX ?
			    INT32_MAX : (int)((uint64_t)st.st_size - ofd->pos);
		break;
	case HF_STREAM:
	case HF_SOCK:
		if (hf->fd >= 0 && ioctl(hf->fd, req, &n) != 0)
			return (-errno);
		break;
	default:
		return (-ENOTTY);
	}
	return (as_write(m->as, uaddr, &n, sizeof n));
}

int64_t
sys_ioctl(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gk_ofd *ofd;
	struct hfile *hf;
	int kind, on;

	(void)t;
	hf = hfile_of(m, a[0], &ofd, NULL, &kind);
	/* Others pass no request on but those about interfaces. */
	if (hf == NULL ? kind >= 0 : hf->kind == HF_SOCK && (a[1] & 0xff00) ==
	    (SIOCGIFCONF & 0xff00))
		return (netdev_ioctl(m, (uint32_t)a[1], a[2]));
	if (hf == NULL)
		return (hfile_badkind(kind, -ENOTTY));
	if (hf->kind == HF_PATH)
		return (-EBADF);
	switch ((uint32_t)a[1]) {
	case FIONBIO:
		if (as_read(m->as, a[2], &on, sizeof on) != 0)
			return (-EFAULT);
		ofd->flags = on ? ofd->flags | O_NONBLOCK :
		    ofd->flags & ~(uint32_t)O_NONBLOCK;
		return (0);
	case FIONREAD:
	case TIOCOUTQ:
		return (do_fionread(m, ofd, hf, a[2], (uint32_t)a[1]));
	default:
		/* No terminal, no block device, no file attributes */
		return (-ENOTTY);
	}
}
