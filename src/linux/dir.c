/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Directories: reading them, and making, removing and renaming what is in
 * them; the working directory.
 *
 * All that changes a name goes to the host as (O_PATH descriptor of the parent
 * directory, one component), so the rule was applied to what is changed.
 */

#include <sys/types.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/sys_files.h"
#include "obj.h"

#define DENTS_MAX	32768

/* struct linux_dirent64 and the old struct linux_dirent */
#define D64_TYPE	18
#define D64_NAME	19
#define DOLD_NAME	18

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
name_stat(const struct where *w, struct stat *st)
{

	if (fstatat(w->fd, last_name(w), st, AT_SYMLINK_NOFOLLOW) != 0)
		return (-errno);
	return (0);
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
	if (r == 0 && mkdirat(w.fd, last_name(&w), mode) != 0)
		r = -errno;
	if (r == 0) {			/* our own umask does not count */
		fd = openat(w.fd, last_name(&w), O_RDONLY | O_DIRECTORY |
		    O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0) {
			(void)fchmod(fd, mode);
			(void)close(fd);
		}
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
	if (r == 0 && w.slash && !dir) {
		r = name_stat(&w, &st);
		if (r == 0)
			r = S_ISDIR(st.st_mode) ? -EISDIR : -ENOTDIR;
	}
	if (r == 0 && unlinkat(w.fd, last_name(&w),
	    dir ? AT_REMOVEDIR : 0) != 0)
		r = -errno;
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
    const struct where *to, unsigned flags)
{
	struct stat st;
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
		r = name_stat(from, &st);
	if (r == 0 && (from->slash || to->slash) && !S_ISDIR(st.st_mode))
		r = -ENOTDIR;
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
	int r;

	if ((uint32_t)flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return (-EINVAL);
	r = name_parent(m, fd1, u1, -EBUSY, &from);
	if (r != 0)
		return (r);
	r = name_parent(m, fd2, u2, (flags & RENAME_NOREPLACE) ? -EEXIST :
	    -EBUSY, &to);
	if (r == 0) {
		r = rename_check(m, &from, &to, (unsigned)flags);
		if (r == 0 && renameat2(from.fd, last_name(&from), to.fd,
		    last_name(&to), (unsigned)flags) != 0)
			r = -errno;
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
	if (from->fd < 0)
		return (-EXDEV);
	if (S_ISDIR(from->st.st_mode))
		return (-EPERM);
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
		if (r == 0 && linkat(AT_FDCWD, name, to.fd, last_name(&to),
		    AT_SYMLINK_FOLLOW) != 0)
			r = -errno;
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
		if (r == 0 && symlinkat(buf, w.fd, last_name(&w)) != 0)
			r = -errno;
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

/* No devices, and no fifos between a guest and the host. */
int64_t
sys_mknod(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)t;
	(void)a;
	return (-EPERM);
}

int64_t
sys_mknodat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_mknod(m, t, a));
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* The next entries of a directory of the host, from *pos on */
static ssize_t
dents_host(struct hfile *hf, uint64_t *pos, char *buf, size_t size)
{
	int fd = hf->fd, own = -1;
	int64_t off;
	uint16_t rl;
	ssize_t n, i;

	/* The host's offset belongs to whoever shares the description. */
	if (atomic_load(&hf->refs) > 1) {
		own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (own < 0)
			return (-errno);
		fd = own;
	}
	n = -1;
	if (*pos <= INT64_MAX && lseek(fd, (off_t)*pos, SEEK_SET) >= 0)
		n = syscall(SYS_getdents64, fd, buf, size);
	if (n < 0)
		n = -errno;
	if (own >= 0)
		(void)close(own);
	for (i = 0; i + D64_NAME < n; i += rl) {
		(void)memcpy(&off, buf + i + 8, sizeof off);
		(void)memcpy(&rl, buf + i + 16, sizeof rl);
		if (rl == 0)
			break;
		*pos = (uint64_t)off;
	}
	return (n);
}

/* The same of one made here: text is a type and a name, NUL, and again */
static ssize_t
dents_text(struct hfile *hf, uint64_t *pos, char *buf, size_t size)
{
	uint64_t ino;
	int64_t off;
	uint16_t rl;
	const char *p;
	size_t l, n = 0;

	while (*pos < hf->textlen) {
		p = hf->text + *pos;
		l = strlen(p);		/* the whole text ends in a NUL */
		rl = (uint16_t)((D64_NAME + l + 7) & ~7UL);
		if (n + rl > size)
			return (n > 0 ? (ssize_t)n : -EINVAL);
		*pos += l + 1;
		off = (int64_t)*pos;
		ino = 1 + *pos;
		(void)memset(buf + n, 0, rl);
		(void)memcpy(buf + n, &ino, sizeof ino);
		(void)memcpy(buf + n + 8, &off, sizeof off);
		(void)memcpy(buf + n + 16, &rl, sizeof rl);
		buf[n + D64_TYPE] = *p == 'd' ? DT_DIR : *p == 'l' ? DT_LNK :
		    *p == 'c' ? DT_CHR : DT_REG;
		(void)memcpy(buf + n + D64_NAME, p + 1, l);
		n += rl;
	}
	return ((ssize_t)n);
}

/* Rewrite records in place: the type moves from before the name to the end. */
static void
dents_old(char *buf, ssize_t n)
{
	uint16_t rl;
	ssize_t i;
	char type;

	for (i = 0; i + D64_NAME < n; i += rl) {
		(void)memcpy(&rl, buf + i + 16, sizeof rl);
		if (rl <= D64_NAME || rl > n - i)
			break;
		type = buf[i + D64_TYPE];
		(void)memmove(buf + i + DOLD_NAME, buf + i + D64_NAME,
		    rl - (size_t)D64_NAME);
		buf[i + rl - 1] = type;
	}
}

static int64_t
do_getdents(struct machine *m, const uint64_t a[6], int old)
{
	struct gk_ofd *ofd;
	struct hfile *hf;
	uint64_t pos;
	uint32_t size = (uint32_t)a[2];
	ssize_t n;
	char *buf;
	int kind;

	hf = hfile_of(m, a[0], &ofd, NULL, &kind);
	if (hf == NULL)
		return (hfile_badkind(kind, -ENOTDIR));
	if (hf->kind == HF_PATH)
		return (-EBADF);
	if (hf->kind != HF_DIR)
		return (-ENOTDIR);
	if (size > DENTS_MAX)
		size = DENTS_MAX;
	buf = malloc(size + 8UL);
	if (buf == NULL)
		return (-ENOMEM);
	pos = ofd->pos;
	n = hf->fd >= 0 ? dents_host(hf, &pos, buf, size) :
	    dents_text(hf, &pos, buf, size);
	if (n > 0 && old)
		dents_old(buf, n);
	if (n > 0 && as_write(m->as, a[1], buf, (size_t)n) != 0)
		n = -EFAULT;
	if (n > 0)
		ofd->pos = pos;
	free(buf);
	return (n);
}

int64_t
sys_getdents64(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_getdents(m, a, 0));
}

int64_t
sys_getdents(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_getdents(m, a, 1));
}

/* ---- the working directory ------------------------------------------------------------------ */

static int64_t
chdir_to(struct machine *m, const struct where *w)
{

	if (!S_ISDIR(w->st.st_mode) || w->path[0] != '/')
		return (-ENOTDIR);
	if (w->fd >= 0 && faccessat(w->fd, ".", X_OK, AT_EACCESS) != 0)
		return (-errno);
	(void)snprintf(m->proc.cwd, sizeof m->proc.cwd, "%s", w->path);
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
	(void)snprintf(m->proc.cwd, sizeof m->proc.cwd, "%s", hf->path);
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
