/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The size and space of regular files, their way to the disk, copies between
 * them.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "linux/sys_files.h"
#include "obj.h"

/* A regular file, opened for writing if `write` */
static struct hfile *
reg_get(struct machine *m, uint64_t fd, int write, int64_t other, int64_t *err)
{
	struct hfile *hf;
	int kind;

	hf = hfile_get(m, fd, &kind);
	*err = 0;
	if (hf == NULL)
		*err = hfile_badkind(kind, (int)other);
	else if (hf->kind == HF_PATH)
		*err = -EBADF;
	else if (hf->kind != HF_REG)
		*err = other;
	else if (write ? !hf->can_write : !hf->can_read)
		*err = other == -EINVAL ? -EINVAL : -EBADF;
	return (*err == 0 ? hf : NULL);
}

int64_t
sys_ftruncate(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	int64_t r;

	(void)t;
	if ((int64_t)a[1] < 0)
		return (-EINVAL);
	hf = reg_get(m, a[0], 1, -EINVAL, &r);
	if (hf == NULL)
		return (r);
	if (a[1] > file_size_max(m))
		return (-EFBIG);
	return (ftruncate(hf->fd, (off_t)a[1]) != 0 ? -errno : 0);
}

int64_t
sys_truncate(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct where w;
	int64_t r;
	int fd;

	(void)t;
	if ((int64_t)a[1] < 0)
		return (-EINVAL);
	if (a[1] > file_size_max(m))
		return (-EFBIG);
	r = path_user(m, (uint64_t)AT_FDCWD, a[0], 0, &w);
	if (r != 0)
		return (r);
	r = where_perm(m, &w, PERM_W);
	if (r == 0 && !S_ISREG(w.st.st_mode))
		r = S_ISDIR(w.st.st_mode) ? -EISDIR : -EINVAL;
	if (r == 0) {
		fd = where_reopen(&w, O_WRONLY | O_NONBLOCK);
		r = fd;
		if (fd >= 0) {
			r = ftruncate(fd, (off_t)a[1]) != 0 ? -errno : 0;
			(void)close(fd);
		}
	}
	where_fini(&w);
	return (r);
}

static int64_t
do_sync(struct machine *m, uint64_t fd, int (*f)(int))
{
	struct hfile *hf;
	int kind;

	hf = hfile_get(m, fd, &kind);
	if (hf == NULL)
		return (hfile_badkind(kind, -EINVAL));
	switch (hf->kind) {
	case HF_REG:
	case HF_DIR:
		if (hf->fd < 0)
			return (-EINVAL);
		return (f(hf->fd) != 0 ? -errno : 0);
	case HF_PATH:
		return (-EBADF);
	default:
		return (-EINVAL);
	}
}

int64_t
sys_fsync(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_sync(m, a[0], fsync));
}

int64_t
sys_fdatasync(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_sync(m, a[0], fdatasync));
}

/* The whole host's file systems are not a guest's to flush. */
int64_t
sys_sync(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)t;
	(void)a;
	return (0);
}

int64_t
sys_syncfs(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int kind;

	(void)t;
	(void)hfile_get(m, a[0], &kind);
	return (kind < 0 ? -EBADF : 0);
}

int64_t
sys_sync_file_range(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	int64_t r;

	(void)t;
	hf = reg_get(m, a[0], 0, -ESPIPE, &r);
	if (hf == NULL)
		return (r);
	if (sync_file_range(hf->fd, (off_t)a[1], (off_t)a[2],
	    (unsigned)a[3]) != 0)
		return (-errno);
	return (0);
}

/* Advice that costs the host something is not taken. */
int64_t
sys_fadvise64(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int kind;

	(void)t;
	(void)hfile_get(m, a[0], &kind);
	if (kind != GK_HOST)
		return (hfile_badkind(kind, -ESPIPE));
	return ((int64_t)a[2] < 0 || a[3] > POSIX_FADV_NOREUSE ? -EINVAL : 0);
}

int64_t
sys_readahead(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int64_t r;

	(void)t;
	(void)reg_get(m, a[0], 0, -EINVAL, &r);
	return (r);
}

int64_t
sys_fallocate(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	int64_t r, end;

	(void)t;
	hf = reg_get(m, a[0], 1, -ESPIPE, &r);
	if (hf == NULL)
		return (r);
	if ((int64_t)a[2] < 0 || (int64_t)a[3] <= 0)
		return (-EINVAL);
	if (__builtin_add_overflow((int64_t)a[2], (int64_t)a[3], &end) ||
	    (uint64_t)end > file_size_max(m))
		return (-EFBIG);
	if (fallocate(hf->fd, (int)a[1], (off_t)a[2], (off_t)a[3]) != 0)
		return (-errno);
	return (0);
}

/* One of copy_file_range's offsets: the guest's value or the file's own */
static int
cfr_pos(struct machine *m, uint64_t uaddr, const struct gk_ofd *ofd,
    uint64_t *pos)
{

	*pos = ofd->pos;
	if (uaddr != 0 && as_read(m->as, uaddr, pos, 8) != 0)
		return (-EFAULT);
	return (*pos > INT64_MAX ? -EINVAL : 0);
}

static int
cfr_done(struct machine *m, uint64_t uaddr, struct gk_ofd *ofd, uint64_t pos)
{

	if (uaddr == 0)
		ofd->pos = pos;
	else
		return (as_write(m->as, uaddr, &pos, 8));
	return (0);
}

int64_t
sys_copy_file_range(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gk_ofd *oin, *oout;
	struct hfile *in, *out;
	uint64_t pin, pout, len = a[4] < (64UL << 20) ? a[4] : 64UL << 20;
	off_t lin, lout;
	ssize_t n;
	int64_t r;
	int kind;

	(void)t;
	if (a[5] != 0)
		return (-EINVAL);
	in = reg_get(m, a[0], 0, -EINVAL, &r);
	if (in == NULL)
		return (r);
	out = reg_get(m, a[2], 1, -EINVAL, &r);
	if (out == NULL)
		return (r);
	(void)hfile_of(m, a[0], &oin, NULL, &kind);
	(void)hfile_of(m, a[2], &oout, NULL, &kind);
	if (oout->flags & O_APPEND)
		return (-EBADF);
	r = cfr_pos(m, a[1], oin, &pin);
	if (r == 0)
		r = cfr_pos(m, a[3], oout, &pout);
	if (r != 0)
		return (r);
	if (pout >= file_size_max(m))
		return (-EFBIG);
	if (len > file_size_max(m) - pout)
		len = file_size_max(m) - pout;
	lin = (off_t)pin;
	lout = (off_t)pout;
	n = copy_file_range(in->fd, &lin, out->fd, &lout, len, 0);
	if (n < 0)
		return (-errno);
	if (cfr_done(m, a[1], oin, (uint64_t)lin) != 0 ||
	    cfr_done(m, a[3], oout, (uint64_t)lout) != 0)
		return (-EFAULT);
	return (n);
}
