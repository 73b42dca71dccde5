/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The size and space of regular files, their way to the disk.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "linux/memfs.h"
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
	else if (hf->kind != HF_REG && hf->kind != HF_MEM)
		*err = other;
	else if (write ? !hf->can_write : !hf->can_read)
		*err = other == -EINVAL ? -EINVAL : -EBADF;
	return (*err == 0 ? hf : NULL);
}

/* Mappings that the program has of it follow. */
static int64_t
truncate_host(struct machine *m, const struct hfile *hf, uint64_t size)
{
	const int look = m->proc.maps_host;
	struct stat st;

	if (look && fstat(hf->fd, &st) != 0)
		return (-errno);
	if (ftruncate(hf->fd, (off_t)size) != 0)
		return (-errno);
	if (look)
		mem_resized(m, hf, (uint64_t)st.st_size, size);
	return (0);
}

static int64_t
fallocate_host(struct machine *m, const struct hfile *hf, const uint64_t a[6])
{
	const int look = m->proc.maps_host, mode = (int)a[1];
	struct stat st;

	if (look && fstat(hf->fd, &st) != 0)
		return (-errno);
	if (fallocate(hf->fd, mode, (off_t)a[2], (off_t)a[3]) != 0)
		return (-errno);
	if (look && !(mode & FALLOC_FL_KEEP_SIZE) &&
	    a[2] + a[3] > (uint64_t)st.st_size)
		mem_resized(m, hf, (uint64_t)st.st_size, a[2] + a[3]);
	if (look && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		mem_wrote(m, hf, a[2], a[3]);
	return (0);
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
	if (hf->ino != 0)
		r = mfs_truncate(m, hf->ino, a[1]);
	else
		r = truncate_host(m, hf, a[1]);
	if (r == 0)
		notify_hfile(m, hf, IN_MODIFY);
	return (r);
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
	if (r == 0 && w.ino != 0) {
		r = mfs_access(m, w.ino, W_OK);
		if (r == 0)
			r = mfs_truncate(m, w.ino, a[1]);
	} else if (r == 0) {
		fd = where_reopen(&w, O_WRONLY | O_NONBLOCK);
		r = fd;
		if (fd >= 0) {
			r = ftruncate(fd, (off_t)a[1]) != 0 ? -errno : 0;
			(void)close(fd);
		}
	}
	if (r == 0)
		notify_where(m, &w, IN_MODIFY);
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
	case HF_MEM:
		return (0);
	case HF_REG:
	case HF_DIR:
		if (hf->ino != 0)
			return (0);
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
	if (hf->ino == 0 && sync_file_range(hf->fd, (off_t)a[1], (off_t)a[2],
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
	if (hf->ino != 0)
		r = mfs_fallocate(m, hf->ino, (unsigned)a[1], a[2], a[3]);
	else
		r = fallocate_host(m, hf, a);
	if (r == 0)
		notify_hfile(m, hf, IN_MODIFY);
	return (r);
}
