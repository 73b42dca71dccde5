/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Making, removing, linking and renaming what is in directories; the working
 * directory.
 *
 * All that changes a name goes to the host as (O_PATH descriptor of the parent
 * directory, one component), so the rule was applied to what is changed.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

/* ---- names -------------------------------------------------------------------------- */

/* May a name be made (or replaced), or removed?  After W_PARENT. */
static int
name_check(struct machine *m, const struct where *w)
{

	if (fs_is_mount(m->fs, w->path))
		return (-EBUSY);
	return (where_perm(m, w, PERM_W));
}

/* A new name, of anything but a plain file or directory */
static int
name_check_link(struct machine *m, const struct where *w)
{
	int r;

	r = name_check(m, w);
	/*
	 * A symlink in place of a rule's own path would send the rule
	 * elsewhere at the next boot.
	 */
	if (r == 0 && fs_is_rule(m->fs, w->path))
		r = -EACCES;
	return (r);
}

static const char *
last_name(const struct where *w)
{

	return (w->path + w->nameoff);
}

static int
name_stat(struct machine *m, const struct where *w, struct stat *st)
{
	uint32_t ino;

	if (w->mnt == MNT_MEM) {
		ino = mfs_find(m, w->ino, last_name(w));
		mfs_stat(m, ino, st);
		return (ino == 0 ? -ENOENT : 0);
	}
	if (fstatat(w->fd, last_name(w), st, AT_SYMLINK_NOFOLLOW) != 0)
		return (-errno);
	return (0);
}

/*
 * A directory goes only from one that may be written: a rule's own stays what
 * it is, as Landlock has it in kvmserver.  A file may come and go by its rule.
 */
static int
dir_leaves(struct machine *m, const struct where *w, const struct stat *st)
{
	char up[PATH_MAX];

	if (!S_ISDIR(st->st_mode) || w->mnt == MNT_MEM)
		return (0);
	path_up(w->path, up);
	if (perm_ok(m->fs, w->mnt, up, PERM_W))
		return (0);
	return (perm_refuse(m, up, PERM_W));
}

static int
name_parent(struct machine *m, uint64_t dirfd, uint64_t uaddr, int special,
    struct where *w)
{
	int r;

	r = path_user(m, dirfd, uaddr, W_PARENT, w);
	if (r == 0 && w->name != NAME_PLAIN) {
		where_fini(w);
		return (special);
	}
	return (r);
}

static int64_t
do_mkdir(struct machine *m, uint64_t dirfd, uint64_t uaddr, unsigned mode)
{
	struct where w;
	int r, fd;

	r = name_parent(m, dirfd, uaddr, -EEXIST, &w);
	if (r != 0)
		return (r);
	mode &= 01777 & ~m->proc.umask;
	r = name_check(m, &w);
	if (r == -EBUSY)
		r = -EEXIST;
	if (r == 0 && w.mnt == MNT_MEM) {
		r = (int)mfs_make(m, w.ino, last_name(&w), S_IFDIR | mode);
		if (r > 0)
			notify_name(m, &w, IN_CREATE | IN_ISDIR, 0);
		where_fini(&w);
		return (r < 0 ? r : 0);
	}
	if (r == 0 && mkdirat(w.fd, last_name(&w), mode) != 0)
		r = -errno;
	if (r == 0) {			/* our own umask does not count */
		fd = openat(w.fd, last_name(&w), O_RDONLY | O_DIRECTORY |
		    O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0) {
			(void)fchmod(fd, mode);
			(void)close(fd);
		}
		notify_name(m, &w, IN_CREATE | IN_ISDIR, 0);
	}
	where_fini(&w);
	return (r);
}

int64_t
sys_mkdir(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_mkdir(m, (uint64_t)AT_FDCWD, a[0], (unsigned)a[1]));
}

int64_t
sys_mkdirat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_mkdir(m, a[0], a[1], (unsigned)a[2]));
}

static int64_t
do_unlink(struct machine *m, uint64_t dirfd, uint64_t uaddr, int dir)
{
	struct where w;
	struct stat st;
	int r;

	r = path_user(m, dirfd, uaddr, W_PARENT, &w);
	if (r != 0)
		return (r);
	if (w.name == NAME_ROOT)
		r = dir ? -EBUSY : -EISDIR;
	else if (w.name == NAME_DOT)
		r = dir ? -EINVAL : -EISDIR;
	else if (w.name == NAME_DOTDOT)
		r = dir ? -ENOTEMPTY : -EISDIR;
	else
		r = name_check(m, &w);
	if (r == 0)
		r = name_stat(m, &w, &st);
	if (r == 0 && w.slash && !dir)
		r = S_ISDIR(st.st_mode) ? -EISDIR : -ENOTDIR;
	if (r == 0 && dir)
		r = dir_leaves(m, &w, &st);
	if (r == 0 && w.mnt == MNT_MEM)
		r = mfs_unlink(m, w.ino, last_name(&w), dir);
	else if (r == 0 && unlinkat(w.fd, last_name(&w),
	    dir ? AT_REMOVEDIR : 0) != 0)
		r = -errno;
	if (r == 0)
		notify_removed(m, &w, &st);
	where_fini(&w);
	return (r);
}

int64_t
sys_rmdir(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_unlink(m, (uint64_t)AT_FDCWD, a[0], 1));
}

int64_t
sys_unlink(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_unlink(m, (uint64_t)AT_FDCWD, a[0], 0));
}

int64_t
sys_unlinkat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((uint32_t)a[2] & ~(uint32_t)AT_REMOVEDIR)
		return (-EINVAL);
	return (do_unlink(m, a[0], a[1], (a[2] & AT_REMOVEDIR) != 0));
}

/* ---- rename ---------------------------------------------------------------------------- */

/*
 * A new place must not make readable what was not; nor may anything get
 * between the root and a rule's path, see name_check_link().
 */
static int
rename_lands(struct machine *m, const struct where *from,
    const struct where *to)
{

	if (fs_is_rule(m->fs, to->path) || fs_above_rule(m->fs, to->path))
		return (0);
	return (!perm_ok(m->fs, to->mnt, to->path, PERM_R) ||
	    perm_ok(m->fs, from->mnt, from->path, PERM_R));
}

static int
rename_check(struct machine *m, const struct where *from,
    const struct where *to, unsigned flags, struct stat *st)
{
	int r;

	r = name_check(m, from);
	if (r == 0)
		r = name_check(m, to);
	/* Volumes come and go with their directory: not from here. */
	if (r == 0 && (fs_above_mount(m->fs, from->path) ||
	    fs_above_mount(m->fs, to->path)))
		r = -EBUSY;
	if (r == 0 && from->mnt != to->mnt)
		r = -EXDEV;
	if (r == 0)
		r = name_stat(m, from, st);
	if (r == 0 && (from->slash || to->slash) && !S_ISDIR(st->st_mode))
		r = -ENOTDIR;
	if (r == 0)
		r = dir_leaves(m, from, st);
	if (r == 0 && (!rename_lands(m, from, to) ||
	    ((flags & RENAME_EXCHANGE) && !rename_lands(m, to, from))))
		r = -EACCES;
	return (r);
}

static int64_t
do_rename(struct machine *m, uint64_t fd1, uint64_t u1, uint64_t fd2,
    uint64_t u2, uint64_t flags)
{
	struct where from, to;
	struct stat st, over;
	int r, there;

	const uint32_t both = RENAME_NOREPLACE | RENAME_EXCHANGE;

	if (((uint32_t)flags & ~both) || ((uint32_t)flags & both) == both)
		return (-EINVAL);
	r = name_parent(m, fd1, u1, -EBUSY, &from);
	if (r != 0)
		return (r);
	r = name_parent(m, fd2, u2, (flags & RENAME_NOREPLACE) ? -EEXIST :
	    -EBUSY, &to);
	if (r == 0) {
		r = rename_check(m, &from, &to, (unsigned)flags, &st);
		there = r == 0 && name_stat(m, &to, &over) == 0;
		if (r == 0 && from.mnt == MNT_MEM)
			r = mfs_rename(m, from.ino, last_name(&from), to.ino,
			    last_name(&to), (unsigned)flags);
		else if (r == 0 && renameat2(from.fd, last_name(&from), to.fd,
		    last_name(&to), (unsigned)flags) != 0)
			r = -errno;
		if (r == 0)
			notify_moved(m, &from, &to, &st, there ? &over : NULL,
			    (flags & RENAME_EXCHANGE) != 0);
		where_fini(&to);
	}
	where_fini(&from);
	return (r);
}

int64_t
sys_rename(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_rename(m, (uint64_t)AT_FDCWD, a[0], (uint64_t)AT_FDCWD,
	    a[1], 0));
}

int64_t
sys_renameat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_rename(m, a[0], a[1], a[2], a[3], 0));
}

int64_t
sys_renameat2(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_rename(m, a[0], a[1], a[2], a[3], a[4]));
}

/* ---- links -------------------------------------------------------------------------------- */

/*
 * A second name for a file lets it be written under that name: the first one
 * must be writable too, and readable if the second is.
 */
static int
link_check(struct machine *m, const struct where *from,
    const struct where *to)
{
	unsigned want = PERM_W;
	int r;

	r = name_check_link(m, to);
	if (r != 0)
		return (r == -EBUSY ? -EEXIST : r);
	if (from->fd < 0 && from->ino == 0)
		return (-EXDEV);
	if (S_ISDIR(from->st.st_mode))
		return (-EPERM);
	if (from->ino != 0 || to->mnt == MNT_MEM)
		return (from->mnt != to->mnt ? -EXDEV : to->slash ? -ENOENT :
		    0);
	if (from->path[0] != '/')
		return (-EXDEV);
	if (perm_ok(m->fs, to->mnt, to->path, PERM_R))
		want |= PERM_R;
	r = where_perm(m, from, want);
	if (r == 0 && from->mnt != to->mnt)
		r = -EXDEV;
	if (r == 0 && to->slash)
		r = -ENOENT;
	return (r);
}

static int64_t
do_link(struct machine *m, uint64_t fd1, uint64_t u1, uint64_t fd2,
    uint64_t u2, uint64_t flags)
{
	struct where from, to;
	char name[40];
	int r;

	if ((uint32_t)flags & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return (-EINVAL);
	r = path_user(m, fd1, u1, (flags & AT_EMPTY_PATH ? W_EMPTY : 0) |
	    (flags & AT_SYMLINK_FOLLOW ? 0 : W_NOFOLLOW), &from);
	if (r != 0)
		return (r);
	r = name_parent(m, fd2, u2, -EEXIST, &to);
	if (r == 0) {
		r = link_check(m, &from, &to);
		(void)snprintf(name, sizeof name, "/proc/self/fd/%d", from.fd);
		if (r == 0 && from.ino != 0)
			r = mfs_link(m, to.ino, last_name(&to), from.ino);
		else if (r == 0 && linkat(AT_FDCWD, name, to.fd, last_name(&to),
		    AT_SYMLINK_FOLLOW) != 0)
			r = -errno;
		if (r == 0) {
			notify_self(m, from.ino, &from.st, IN_ATTRIB);
			notify_name(m, &to, IN_CREATE, 0);
		}
		where_fini(&to);
	}
	where_fini(&from);
	return (r);
}

int64_t
sys_link(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_link(m, (uint64_t)AT_FDCWD, a[0], (uint64_t)AT_FDCWD, a[1],
	    0));
}

int64_t
sys_linkat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_link(m, a[0], a[1], a[2], a[3], a[4]));
}

static int
symlink_mem(struct machine *m, const struct where *w, const char *text)
{
	int64_t ino;
	int r;

	ino = mfs_make(m, w->ino, last_name(w), S_IFLNK | 0777);
	if (ino < 0)
		return ((int)ino);
	r = mfs_set_link(m, (uint32_t)ino, text);
	if (r != 0)
		(void)mfs_unlink(m, w->ino, last_name(w), 0);
	mfs_reap(m);
	return (r);
}

static int64_t
do_symlink(struct machine *m, uint64_t text, uint64_t dirfd, uint64_t uaddr)
{
	struct where w;
	char *buf;
	int r;

	buf = malloc(PATH_MAX);
	if (buf == NULL)
		return (-ENOMEM);
	r = as_strncpy(m->as, buf, text, PATH_MAX);
	if (r >= 0)
		r = *buf == '\0' ? -ENOENT :
		    name_parent(m, dirfd, uaddr, -EEXIST, &w);
	if (r == 0) {
		r = name_check_link(m, &w);
		if (r == -EBUSY)
			r = -EEXIST;
		if (r == 0 && w.slash)
			r = -ENOENT;
		if (r == 0 && w.mnt == MNT_MEM)
			r = symlink_mem(m, &w, buf);
		else if (r == 0 && symlinkat(buf, w.fd, last_name(&w)) != 0)
			r = -errno;
		if (r == 0)
			notify_name(m, &w, IN_CREATE, 0);
		where_fini(&w);
	}
	free(buf);
	return (r);
}

int64_t
sys_symlink(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_symlink(m, a[0], (uint64_t)AT_FDCWD, a[1]));
}

int64_t
sys_symlinkat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_symlink(m, a[0], a[1], a[2]));
}

/* No devices, and no fifos between a guest and the host; plain files, fifos
 * and sockets without anybody behind them, in memory. */
static int64_t
do_mknod(struct machine *m, uint64_t dirfd, uint64_t uaddr, unsigned mode)
{
	struct where w;
	int64_t r;

	if ((mode & S_IFMT) == 0)
		mode |= S_IFREG;
	if (!S_ISREG(mode) && !S_ISSOCK(mode) && !S_ISFIFO(mode))
		return (S_ISDIR(mode) || S_ISCHR(mode) || S_ISBLK(mode) ?
		    -EPERM : -EINVAL);
	r = name_parent(m, dirfd, uaddr, -EEXIST, &w);
	if (r != 0)
		return (r);
	r = w.mnt != MNT_MEM ? -EPERM : mfs_make(m, w.ino, last_name(&w),
	    mode & ~m->proc.umask);
	if (r > 0)
		notify_name(m, &w, IN_CREATE, 0);
	where_fini(&w);
	return (r < 0 ? r : 0);
}

int64_t
sys_mknod(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_mknod(m, (uint64_t)AT_FDCWD, a[0], (unsigned)a[1]));
}

int64_t
sys_mknodat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_mknod(m, a[0], a[1], (unsigned)a[2]));
}

/* ---- the working directory ------------------------------------------------------------------ */

static int64_t
chdir_to(struct machine *m, const struct where *w)
{

	if (!S_ISDIR(w->st.st_mode) || w->path[0] != '/')
		return (-ENOTDIR);
	if (w->fd >= 0 && faccessat(w->fd, ".", X_OK, AT_EACCESS) != 0)
		return (-errno);
	if (w->ino != 0 && mfs_access(m, w->ino, X_OK) != 0)
		return (-EACCES);
	proc_chdir(m, w->path);
	return (0);
}

int64_t
sys_chdir(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct where w;
	int64_t r;

	(void)t;
	r = path_user(m, (uint64_t)AT_FDCWD, a[0], 0, &w);
	if (r != 0)
		return (r);
	r = chdir_to(m, &w);
	where_fini(&w);
	return (r);
}

int64_t
sys_fchdir(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	int kind;

	(void)t;
	hf = hfile_get(m, a[0], &kind);
	if (hf == NULL)
		return (hfile_badkind(kind, -ENOTDIR));
	if (!S_ISDIR(hf->st.st_mode) || hf->path == NULL)
		return (-ENOTDIR);
	proc_chdir(m, hf->path);
	return (0);
}

int64_t
sys_getcwd(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const char *cwd = m->proc.cwd[0] == '/' ? m->proc.cwd : "/";
	size_t len = strnlen(cwd, sizeof m->proc.cwd - 1) + 1;

	(void)t;
	if (a[1] < len)
		return (-ERANGE);
	if (as_write(m->as, a[0], cwd, len) != 0)
		return (-EFAULT);
	return ((int64_t)len);
}

int64_t
sys_umask(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t old = m->proc.umask;

	(void)t;
	m->proc.umask = (uint32_t)a[0] & 0777;
	return (old);
}
