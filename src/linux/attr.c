/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Mode, owner and times of files.
 *
 * Set-id bits are never given: the guest's user is not a user of the host.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/time.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

/* Something to change: resolved, on the host, and allowed */
static int
attr_get(struct machine *m, uint64_t dirfd, uint64_t uaddr, unsigned wflags,
    struct where *w)
{
	int r;

	r = path_or_socket(m, dirfd, uaddr, wflags, w);
	if (r != 0)
		return (r);
	if (w->hf == NULL && w->gkkind > 0)
		r = 1;			/* in memory: nothing to do */
	else if (w->ino != 0)
		r = 0;
	else if (w->fd < 0 || w->path[0] != '/')
		r = w->path[0] == '/' ? -EPERM : 1;
	else
		r = where_perm(m, w, PERM_W);
	if (r != 0)
		where_fini(w);
	return (r);
}

/* For fchmod and friends: descriptors of the guest, not O_PATH ones */
static int
attr_fd(struct machine *m, uint64_t fd, struct where *w)
{
	struct hfile *hf;
	int kind, r;

	hf = hfile_get(m, fd, &kind);
	if (kind < 0 || (hf != NULL && hf->kind == HF_PATH))
		return (-EBADF);
	if (hf == NULL || hf->path == NULL)
		return (1);
	(void)memset(w, 0, offsetof(struct where, path));
	w->fd = -1;
	w->ino = hf->ino;
	(void)snprintf(w->path, sizeof w->path, "%s", hf->path);
	if (hf->ino != 0) {
		mfs_stat(m, hf->ino, &w->st);
		return (0);
	}
	if (hf->fd < 0)
		return (-EPERM);
	w->mnt = fs_mount(m->fs, w->path, &(const char *){ NULL });
	if (w->mnt == MNT_MEM)		/* of the host, shown there */
		w->mnt = 0;
	r = where_perm(m, w, PERM_W);
	if (r != 0)
		return (r);
	w->fd = fcntl(hf->fd, F_DUPFD_CLOEXEC, 3);
	if (w->fd < 0)
		return (-EMFILE);
	w->st = hf->st;
	return (0);
}

static void
fd_name(const struct where *w, char name[40])
{

	(void)snprintf(name, 40, "/proc/self/fd/%d", w->fd);
}

/* ---- mode ------------------------------------------------------------------------------- */

static int64_t
chmod_where(struct machine *m, struct where *w, uint64_t mode)
{
	char name[40];
	int r = 0;

	if (S_ISLNK(w->st.st_mode))
		r = -EOPNOTSUPP;
	else if (w->ino != 0)
		r = mfs_chmod(m, w->ino, (unsigned)mode);
	else if (mode & (S_ISUID | S_ISGID))
		r = -EPERM;
	else {
		fd_name(w, name);
		if (chmod(name, (mode_t)(mode & 01777)) != 0)
			r = -errno;
	}
	if (r == 0)
		notify_where(m, w, IN_ATTRIB);
	where_fini(w);
	return (r);
}

static int64_t
do_chmod(struct machine *m, uint64_t dirfd, uint64_t uaddr, uint64_t mode,
    unsigned wflags)
{
	struct where w;
	int r;

	r = attr_get(m, dirfd, uaddr, wflags, &w);
	if (r != 0)
		return (r > 0 ? 0 : r);
	return (chmod_where(m, &w, mode));
}

int64_t
sys_chmod(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_chmod(m, (uint64_t)AT_FDCWD, a[0], a[1], 0));
}

int64_t
sys_fchmodat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_chmod(m, a[0], a[1], a[2], 0));
}

int64_t
sys_fchmodat2(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if (a[3] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return (-EINVAL);
	return (do_chmod(m, a[0], a[1], a[2],
	    (a[3] & AT_SYMLINK_NOFOLLOW ? W_NOFOLLOW : 0) |
	    (a[3] & AT_EMPTY_PATH ? W_EMPTY : 0)));
}

int64_t
sys_fchmod(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct where w;
	int r;

	(void)t;
	r = attr_fd(m, a[0], &w);
	if (r != 0)
		return (r > 0 ? 0 : r);
	return (chmod_where(m, &w, a[1]));
}

/* ---- owner ---------------------------------------------------------------------------------- */

static int64_t
chown_where(struct machine *m, struct where *w, uint64_t uid, uint64_t gid)
{
	int r = 0;

	if (w->ino != 0)
		r = mfs_chown(m, w->ino, uid, gid);
	else if (fchownat(w->fd, "", (uid_t)uid, (gid_t)gid,
	    AT_EMPTY_PATH) != 0)
		r = -errno;
	if (r == 0)
		notify_where(m, w, IN_ATTRIB);
	where_fini(w);
	return (r);
}

static int64_t
do_chown(struct machine *m, uint64_t dirfd, uint64_t uaddr, uint64_t uid,
    uint64_t gid, unsigned wflags)
{
	struct where w;
	int r;

	r = attr_get(m, dirfd, uaddr, wflags, &w);
	if (r != 0)
		return (r > 0 ? 0 : r);
	return (chown_where(m, &w, uid, gid));
}

int64_t
sys_chown(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_chown(m, (uint64_t)AT_FDCWD, a[0], a[1], a[2], 0));
}

int64_t
sys_lchown(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_chown(m, (uint64_t)AT_FDCWD, a[0], a[1], a[2],
	    W_NOFOLLOW));
}

int64_t
sys_fchownat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if (a[4] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return (-EINVAL);
	return (do_chown(m, a[0], a[1], a[2], a[3],
	    (a[4] & AT_SYMLINK_NOFOLLOW ? W_NOFOLLOW : 0) |
	    (a[4] & AT_EMPTY_PATH ? W_EMPTY : 0)));
}

int64_t
sys_fchown(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct where w;
	int r;

	(void)t;
	r = attr_fd(m, a[0], &w);
	if (r != 0)
		return (r > 0 ? 0 : r);
	return (chown_where(m, &w, a[1], a[2]));
}

/* ---- times ------------------------------------------------------------------------------------- */

static int64_t
utimes_where(struct machine *m, struct where *w, const struct timespec ts[2])
{
	char name[40];
	int r = 0;

	if (w->ino != 0)
		r = mfs_utimes(m, w->ino, ts);
	else if (utimensat(w->fd, "", ts, AT_EMPTY_PATH) != 0)
		r = -errno;
	if (r == -EINVAL && w->ino == 0 && !S_ISLNK(w->st.st_mode)) {
		/* Before Linux 5.8 */
		fd_name(w, name);
		r = utimensat(AT_FDCWD, name, ts, 0) != 0 ? -errno : 0;
	}
	if (r == 0)
		notify_where(m, w, ts[1].tv_nsec == UTIME_OMIT ? IN_ACCESS :
		    ts[0].tv_nsec == UTIME_OMIT ? IN_MODIFY : IN_ATTRIB);
	where_fini(w);
	return (r);
}

static int64_t
do_utimes(struct machine *m, uint64_t dirfd, uint64_t uaddr,
    const struct timespec ts[2], uint64_t at)
{
	struct where w;
	int r, byfd;

	byfd = uaddr == 0 && (int32_t)dirfd != AT_FDCWD;
	if (uaddr == 0 && !byfd)
		return (-EFAULT);
	if (byfd)
		r = at != 0 ? -EINVAL : attr_fd(m, dirfd, &w);
	else
		r = attr_get(m, dirfd, uaddr,
		    (at & AT_SYMLINK_NOFOLLOW ? W_NOFOLLOW : 0) |
		    (at & AT_EMPTY_PATH ? W_EMPTY : 0), &w);
	if (r != 0)
		return (r > 0 ? 0 : r);
	return (utimes_where(m, &w, ts));
}

static int
bad_nsec(const struct timespec *ts)
{

	return (ts->tv_nsec != UTIME_NOW && ts->tv_nsec != UTIME_OMIT &&
	    (ts->tv_nsec < 0 || ts->tv_nsec > 999999999));
}

static void
both_now(struct timespec ts[2])
{

	ts[0].tv_sec = ts[1].tv_sec = 0;
	ts[0].tv_nsec = ts[1].tv_nsec = UTIME_NOW;
}

int64_t
sys_utimensat(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct timespec ts[2];

	(void)t;
	if (a[3] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return (-EINVAL);
	both_now(ts);
	if (a[2] != 0 && as_read(m->as, a[2], ts, sizeof ts) != 0)
		return (-EFAULT);
	if (bad_nsec(&ts[0]) || bad_nsec(&ts[1]))
		return (-EINVAL);
	if (ts[0].tv_nsec == UTIME_OMIT && ts[1].tv_nsec == UTIME_OMIT)
		return (0);
	return (do_utimes(m, a[0], a[1], ts, a[3]));
}

int64_t
sys_futimesat(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct timespec ts[2];
	struct timeval tv[2];
	unsigned u;

	(void)t;
	both_now(ts);
	if (a[2] != 0) {
		if (as_read(m->as, a[2], tv, sizeof tv) != 0)
			return (-EFAULT);
		for (u = 0; u < 2; u++) {
			if (tv[u].tv_usec < 0 || tv[u].tv_usec > 999999)
				return (-EINVAL);
			ts[u].tv_sec = tv[u].tv_sec;
			ts[u].tv_nsec = tv[u].tv_usec * 1000;
		}
	}
	return (do_utimes(m, a[0], a[1], ts, 0));
}

int64_t
sys_utimes(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const uint64_t b[6] = { (uint64_t)AT_FDCWD, a[0], a[1], 0, 0, 0 };

	return (sys_futimesat(m, t, b));
}

int64_t
sys_utime(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct timespec ts[2];
	int64_t tm[2];

	(void)t;
	both_now(ts);
	if (a[1] != 0) {
		if (as_read(m->as, a[1], tm, sizeof tm) != 0)
			return (-EFAULT);
		ts[0].tv_sec = tm[0];
		ts[1].tv_sec = tm[1];
		ts[0].tv_nsec = ts[1].tv_nsec = 0;
	}
	return (do_utimes(m, (uint64_t)AT_FDCWD, a[0], ts, 0));
}
