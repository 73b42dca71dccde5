/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What is known about files: stat(2), statx(2), statfs(2), access(2),
 * readlink(2).
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

#define ANON_MAGIC	0x09041934

/* ---- descriptors of the guest's own kernel -------------------------------------------- */

/* One made up, as Linux shows such a file */
static void
gk_stat(struct machine *m, uint64_t fd, int kind, struct stat *st)
{
	struct gk_ofd *o;
	uint32_t idx = 0, peer1;

	o = gk_fd_get(m->gk, (uint32_t)fd, &idx);
	(void)memset(st, 0, sizeof *st);
	st->st_nlink = 1;
	st->st_blksize = 4096;
	st->st_uid = m->proc.uid;
	st->st_gid = m->proc.gid;
	switch (kind) {
	case GK_SOCKET:
	case GK_LISTENER:
	case GK_CONN:
	case GK_PAIR:
	case GK_DGRAM:
		st->st_mode = S_IFSOCK | 0777;
		st->st_dev = makedev(0, 8);
		break;
	case GK_PIPE_R:
	case GK_PIPE_W:
		st->st_mode = S_IFIFO | 0600;
		st->st_dev = makedev(0, 13);
		/* Both ends are one file: the lower index. */
		peer1 = o == NULL ? 0 : o->u.pipe.peer1;
		if (peer1 != 0 && peer1 - 1 < idx)
			idx = peer1 - 1;
		break;
	default:
		st->st_mode = 0600;
		st->st_dev = makedev(0, 14);
		idx = 0;		/* all of them share one inode */
		break;
	}
	st->st_ino = 1000 + idx;
}

/* What a looked up file is like now */
static int
where_stat(struct machine *m, const struct where *w, uint64_t fd,
    struct stat *st)
{

	if (w->hf == NULL && w->gkkind > 0)
		gk_stat(m, fd, w->gkkind, st);
	else
		*st = w->st;
	return (0);
}

/* Of which descriptor is it, if it is one: for the inode number */
static uint64_t
where_fd(const struct where *w, uint64_t dirfd)
{

	return (w->syn.type == SYN_FD ? w->syn.arg : dirfd);
}

/*
 * Where nothing can be made (bind(2) needs no file) a Unix socket has a name
 * only: servers look at it, and give it a mode, all the same.
 */
int
path_or_socket(struct machine *m, uint64_t dirfd, uint64_t uaddr,
    unsigned wflags, struct where *w)
{
	char name[110];
	int64_t n;
	int r;

	r = path_user(m, dirfd, uaddr, wflags, w);
	if (r != -ENOENT && r != -EACCES)
		return (r);
	n = as_strncpy(m->as, name, uaddr, sizeof name);
	if (n <= 0 || !gk_name_bound(m->gk, name, (size_t)n))
		return (r);
	(void)memset(w, 0, offsetof(struct where, path));
	w->fd = -1;
	w->gkkind = GK_SOCKET;
	(void)strcpy(w->path, name);
	return (0);
}

static int64_t
do_stat(struct machine *m, uint64_t dirfd, uint64_t uaddr, unsigned wflags,
    uint64_t out)
{
	struct where w;
	struct stat st;
	int r;

	r = path_or_socket(m, dirfd, uaddr, wflags, &w);
	if (r != 0)
		return (r);
	(void)where_stat(m, &w, where_fd(&w, dirfd), &st);
	where_fini(&w);
	return (as_write(m->as, out, &st, sizeof st));
}

int64_t
sys_stat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_stat(m, (uint64_t)AT_FDCWD, a[0], 0, a[1]));
}

int64_t
sys_lstat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_stat(m, (uint64_t)AT_FDCWD, a[0], W_NOFOLLOW, a[1]));
}

int64_t
sys_fstat(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	struct stat st;
	int kind;

	(void)t;
	hf = hfile_get(m, a[0], &kind);
	if (kind < 0)
		return (-EBADF);
	if (hf == NULL)
		gk_stat(m, a[0], kind, &st);
	else if ((kind = hfile_stat(m, hf, &st)) != 0)
		return (kind);
	return (as_write(m->as, a[1], &st, sizeof st));
}

/* AT_* to our flags; -EINVAL for unknown ones */
static int
at_flags(uint64_t at, uint64_t known)
{
	int f = 0;

	if ((uint32_t)at & ~(uint32_t)known)
		return (-EINVAL);
	if (at & AT_SYMLINK_NOFOLLOW)
		f |= W_NOFOLLOW;
	if (at & AT_EMPTY_PATH)
		f |= W_EMPTY;
	return (f);
}

int64_t
sys_newfstatat(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int f;

	(void)t;
	f = at_flags(a[3], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH |
	    AT_NO_AUTOMOUNT);
	if (f < 0)
		return (f);
	return (do_stat(m, a[0], a[1], (unsigned)f, a[2]));
}

/* ---- statx ------------------------------------------------------------------------------ */

static void
stat_to_statx(const struct stat *st, struct statx *sx)
{

	(void)memset(sx, 0, sizeof *sx);
	sx->stx_mask = STATX_BASIC_STATS;
	sx->stx_blksize = (uint32_t)st->st_blksize;
	sx->stx_nlink = (uint32_t)st->st_nlink;
	sx->stx_uid = st->st_uid;
	sx->stx_gid = st->st_gid;
	sx->stx_mode = (uint16_t)st->st_mode;
	sx->stx_ino = st->st_ino;
	sx->stx_size = (uint64_t)st->st_size;
	sx->stx_blocks = (uint64_t)st->st_blocks;
	sx->stx_atime.tv_sec = st->st_atim.tv_sec;
	sx->stx_atime.tv_nsec = (uint32_t)st->st_atim.tv_nsec;
	sx->stx_mtime.tv_sec = st->st_mtim.tv_sec;
	sx->stx_mtime.tv_nsec = (uint32_t)st->st_mtim.tv_nsec;
	sx->stx_ctime.tv_sec = st->st_ctim.tv_sec;
	sx->stx_ctime.tv_nsec = (uint32_t)st->st_ctim.tv_nsec;
	sx->stx_dev_major = major(st->st_dev);
	sx->stx_dev_minor = minor(st->st_dev);
	sx->stx_rdev_major = major(st->st_rdev);
	sx->stx_rdev_minor = minor(st->st_rdev);
}

int64_t
sys_statx(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct statx sx;
	struct where w;
	struct stat st;
	int f, r;

	(void)t;
	f = at_flags(a[2], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH |
	    AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE);
	if (f < 0 || (a[3] & STATX__RESERVED) ||
	    (a[2] & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return (-EINVAL);
	r = path_or_socket(m, a[0], a[1], (unsigned)f, &w);
	if (r != 0)
		return (r);
	if (w.fd < 0 || statx(w.fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT |
	    (int)(a[2] & AT_STATX_SYNC_TYPE), (unsigned)a[3], &sx) != 0) {
		(void)where_stat(m, &w, where_fd(&w, a[0]), &st);
		stat_to_statx(&st, &sx);
	}
	where_fini(&w);
	return (as_write(m->as, a[4], &sx, sizeof sx));
}

/* ---- statfs ------------------------------------------------------------------------------- */

static long
synth_magic(const char *path, int gkkind)
{

	if (gkkind > 0)
		return (gkkind == GK_PIPE_R || gkkind == GK_PIPE_W ?
		    PIPEFS_MAGIC : gkkind >= GK_SOCKET && gkkind <= GK_DGRAM ?
		    SOCKFS_MAGIC : ANON_MAGIC);
	if (path_covers("/proc", 5, path))
		return (PROC_SUPER_MAGIC);
	if (path_covers("/sys", 4, path))
		return (SYSFS_MAGIC);
	return (TMPFS_MAGIC);
}

static int64_t
statfs_out(struct machine *m, int fd, const char *path, int gkkind,
    uint64_t out)
{
	struct statfs sf;

	if (fd >= 0) {
		if (fstatfs(fd, &sf) != 0)
			return (-errno);
	} else {
		(void)memset(&sf, 0, sizeof sf);
		sf.f_type = synth_magic(path, gkkind);
		sf.f_bsize = 4096;
		sf.f_frsize = 4096;
		sf.f_namelen = NAME_MAX;
		if (sf.f_type == TMPFS_MAGIC) {
			mfs_statfs(m, &sf.f_blocks, &sf.f_bavail, &sf.f_files,
			    &sf.f_ffree);
			sf.f_bfree = sf.f_bavail;
		}
	}
	return (as_write(m->as, out, &sf, sizeof sf));
}

int64_t
sys_statfs(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct where w;
	int64_t r;

	(void)t;
	r = path_user(m, (uint64_t)AT_FDCWD, a[0], 0, &w);
	if (r != 0)
		return (r);
	r = statfs_out(m, w.fd, w.path, w.gkkind, a[1]);
	where_fini(&w);
	return (r);
}

int64_t
sys_fstatfs(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	int kind;

	(void)t;
	hf = hfile_get(m, a[0], &kind);
	if (kind < 0)
		return (-EBADF);
	if (hf == NULL)
		return (statfs_out(m, -1, "", kind, a[1]));
	return (statfs_out(m, hf->fd, hf->path == NULL ? "" : hf->path, 0,
	    a[1]));
}

/* ---- access --------------------------------------------------------------------------------- */

static int64_t
synth_access(const struct where *w, unsigned mode)
{
	mode_t have = w->st.st_mode;

	if (((mode & R_OK) && !(have & 0444)) ||
	    ((mode & W_OK) && !(have & 0222)) ||
	    ((mode & X_OK) && !(have & 0111)))
		return (-EACCES);
	return (0);
}

static int64_t
do_access(struct machine *m, uint64_t dirfd, uint64_t uaddr, unsigned mode,
    uint64_t at)
{
	unsigned want = PERM_STAT;
	struct where w;
	char name[40];
	int64_t r;
	int f;

	f = at_flags(at, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS);
	if (f < 0 || (mode & ~7U))
		return (-EINVAL);
	r = path_user(m, dirfd, uaddr, (unsigned)f, &w);
	if (r != 0)
		return (r);
	if (w.hf == NULL && w.gkkind > 0)
		r = 0;
	else if (w.ino != 0)
		r = mfs_access(m, w.ino, mode);
	else if (w.fd < 0)
		r = synth_access(&w, mode);
	else if (mode != F_OK && !S_ISLNK(w.st.st_mode)) {
		/* To enter a directory takes less than to list it. */
		if ((mode & R_OK) ||
		    ((mode & X_OK) && !S_ISDIR(w.st.st_mode)))
			want |= PERM_R;
		if (mode & W_OK)
			want |= PERM_W;
		r = where_perm(m, &w, want);
		if (r == 0) {
			(void)snprintf(name, sizeof name, "/proc/self/fd/%d",
			    w.fd);
			r = faccessat(AT_FDCWD, name, (int)mode,
			    AT_EACCESS) != 0 ? -errno : 0;
		}
	}
	where_fini(&w);
	return (r);
}

int64_t
sys_access(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_access(m, (uint64_t)AT_FDCWD, a[0], (unsigned)a[1], 0));
}

int64_t
sys_faccessat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_access(m, a[0], a[1], (unsigned)a[2], 0));
}

int64_t
sys_faccessat2(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_access(m, a[0], a[1], (unsigned)a[2], a[3]));
}

/* ---- readlink --------------------------------------------------------------------------------- */

/* The text of the symlink; its length or -errno */
static ssize_t
link_text(struct machine *m, const struct where *w, char *buf, size_t size)
{
	struct synth syn;
	ssize_t l;

	if (w->fd >= 0) {
		l = readlinkat(w->fd, "", buf, size);
		return (l < 0 ? -errno : l);
	}
	if (w->ino != 0 && w->syn.type != SYN_FD)
		return (mfs_readlink(m, w->ino, buf, size));
	/* Made here: ask for it again */
	if (synth_lookup(m, w->path, &syn, buf) != 0)
		return (-ENOENT);
	return ((ssize_t)strlen(buf));
}

static int64_t
do_readlink(struct machine *m, uint64_t dirfd, uint64_t uaddr, uint64_t out,
    uint64_t size)
{
	struct where w;
	ssize_t l;
	char *buf;
	int r;

	if ((int32_t)size <= 0)
		return (-EINVAL);
	r = path_user(m, dirfd, uaddr, W_NOFOLLOW |
	    ((int32_t)dirfd == AT_FDCWD ? 0 : W_EMPTY), &w);
	if (r != 0)
		return (r);
	buf = malloc(PATH_MAX);
	if (buf == NULL)
		l = -ENOMEM;
	else if (!S_ISLNK(w.st.st_mode) || (w.hf == NULL && w.gkkind > 0))
		l = -EINVAL;
	else
		l = link_text(m, &w, buf, PATH_MAX);
	where_fini(&w);
	if (l > (int32_t)size)
		l = (int32_t)size;
	if (l > 0 && as_write(m->as, out, buf, (size_t)l) != 0)
		l = -EFAULT;
	free(buf);
	return (l);
}

int64_t
sys_readlink(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_readlink(m, (uint64_t)AT_FDCWD, a[0], a[1], a[2]));
}

int64_t
sys_readlinkat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_readlink(m, a[0], a[1], a[2], a[3]));
}
