/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * open(2) and its relatives, and lseek(2).
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

#define MAX_RACE	8		/* others create and remove the name */
#define FIFO_RETRY_MS	20

/* What of the guest's flags goes to the host's open */
#define HOST_OFLAGS	(O_ACCMODE | O_SYNC | O_DSYNC)

static unsigned
open_wants(int oflags)
{
	unsigned want = 0;

	if (oflags & O_PATH)
		return (PERM_STAT);
	switch (oflags & O_ACCMODE) {
	case O_RDONLY:
		want = PERM_R;
		break;
	case O_WRONLY:
		want = PERM_W;
		break;
	default:
		want = PERM_R | PERM_W;
		break;
	}
	if (oflags & O_TRUNC)
		want |= PERM_W;
	return (want);
}

/* ---- making a file --------------------------------------------------------------- */

/* The directory that the missing name w->path is in: O_PATH, or -errno */
static int
open_parent(struct machine *m, const struct where *w)
{
	const char *rel;
	char dir[PATH_MAX];
	unsigned mnt;
	int fd;

	path_up(w->path, dir);
	mnt = fs_mount(m->fs, dir, &rel);
	if (mnt == MNT_MEM) {		/* a rule names what is in it */
		mnt = 0;
		rel = dir + 1;
	}
	if (mnt == MNT_SYNTH)
		fd = -EACCES;
	else if (*rel == '\0')
		fd = fcntl(m->fs->mnt[mnt].fd, F_DUPFD_CLOEXEC, 3);
	else
		fd = host_open_beneath(m->fs->mnt[mnt].fd, rel,
		    O_PATH | O_DIRECTORY | O_NOFOLLOW);
	return (fd);
}

static int
create(struct machine *m, const struct where *w, int oflags, unsigned mode)
{
	int dirfd, fd;

	AN(w->nameoff);
	dirfd = open_parent(m, w);
	if (dirfd < 0)
		return (dirfd);
	/* No set-id bits: another user of the host might run it. */
	mode &= 01777 & ~m->proc.umask;
	fd = openat(dirfd, w->path + w->nameoff, (oflags & HOST_OFLAGS) |
	    O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	    mode);
	if (fd < 0)
		fd = -errno;
	else
		(void)fchmod(fd, mode);	/* our own umask does not count */
	(void)close(dirfd);
	return (fd);
}

/* ---- opening what is there --------------------------------------------------------- */

static int
open_kind(const struct where *w, int oflags, enum hfile_kind *kind)
{

	switch (w->st.st_mode & S_IFMT) {
	case S_IFREG:
		*kind = HF_REG;
		return (0);
	case S_IFDIR:
		*kind = HF_DIR;
		if ((oflags & O_ACCMODE) != O_RDONLY ||
		    (oflags & (O_TRUNC | O_CREAT)))
			return (-EISDIR);
		return (0);
	case S_IFIFO:
		*kind = HF_STREAM;
		return (0);
	case S_IFLNK:
		return (-ELOOP);
	case S_IFSOCK:
		return (-ENXIO);
	default:
		return (-EACCES);	/* devices of the host: never */
	}
}

static struct hfile *
open_wrap(const struct where *w, enum hfile_kind kind, int fd, int oflags,
    int *err)
{
	struct hfile *hf;
	int acc = oflags & O_ACCMODE;

	hf = hfile_new(kind, fd);
	if (hf == NULL) {
		if (fd >= 0)
			(void)close(fd);
		*err = -ENOMEM;
		return (NULL);
	}
	if (kind != HF_PATH) {
		/* 3 is for ioctl(2) alone */
		hf->can_read = acc == O_RDONLY || acc == O_RDWR;
		hf->can_write = acc == O_WRONLY || acc == O_RDWR;
	}
	hf->st = w->st;
	hf->path = strdup(w->path);
	if (hf->path == NULL) {
		hfile_unref(&hf);
		*err = -ENOMEM;
	}
	return (hf);
}

static unsigned
open_bits(int oflags)
{

	switch (oflags & (O_ACCMODE | O_PATH)) {
	case O_RDONLY:
		return (R_OK | (oflags & O_TRUNC ? W_OK : 0));
	case O_WRONLY:
		return (W_OK);
	case O_RDWR:
		return (R_OK | W_OK);
	default:
		return (0);
	}
}

/* A file in memory: one that is there, or a new one */
static struct hfile *
open_mem(struct machine *m, struct where *w, int oflags, unsigned mode,
    int *err)
{
	struct hfile *hf;
	uint32_t parent;
	int64_t r;

	if (w->missing) {
		(void)mfs_lookup(m, w->path, &parent);
		r = mfs_make(m, parent, w->path + w->nameoff, S_IFREG |
		    (mode & 07777 & ~m->proc.umask));
		w->ino = r < 0 ? 0 : (uint32_t)r;
		*err = r < 0 ? (int)r : 0;
	} else
		*err = mfs_access(m, w->ino, open_bits(oflags));
	if (*err != 0)
		return (NULL);
	hf = mfs_open(m, w->ino, w->path, w->missing ? oflags & ~O_CREAT :
	    oflags, err);
	if (hf != NULL && (oflags & O_TRUNC) && hf->kind == HF_MEM)
		(void)mfs_truncate(m, w->ino, 0);
	return (hf);
}

/* O_TMPFILE: only where files are in memory */
static int64_t
open_tmpfile(struct machine *m, uint64_t dirfd, uint64_t uaddr, int oflags,
    unsigned mode, unsigned resolve)
{
	struct hfile *hf = NULL;
	struct where w;
	int64_t r;
	int err = 0;

	if ((oflags & O_ACCMODE) == O_RDONLY)
		return (-EINVAL);
	r = path_user(m, dirfd, uaddr, W_RESOLVE(resolve), &w);
	if (r != 0)
		return (r);
	if (!S_ISDIR(w.st.st_mode))
		r = -ENOTDIR;
	else if (w.mnt != MNT_MEM)
		r = -EOPNOTSUPP;	/* programs then make a named one */
	else
		r = mfs_access(m, w.ino, W_OK | X_OK);
	if (r == 0)
		r = mfs_make(m, 0, NULL, S_IFREG |
		    (mode & 07777 & ~m->proc.umask));
	where_fini(&w);
	if (r < 0)
		return (r);
	hf = mfs_open(m, (uint32_t)r, "/tmp/#tmpfile (deleted)",
	    oflags & O_ACCMODE, &err);
	r = hf == NULL ? err : hfile_install(m, hf, (unsigned)oflags);
	if (r < 0)
		mfs_reap(m);
	return (r);
}

/* /proc/self/fd/N of what has no name: the same file once more */
static struct hfile *
open_again(struct machine *m, struct where *w, int oflags, int *err)
{
	struct hfile *hf = w->hf;
	int acc = oflags & O_ACCMODE;

	if (hf == NULL) {
		*err = -ENXIO;		/* in memory; pipes too, for now */
		return (NULL);
	}
	if (hf->ino != 0)
		return (open_mem(m, w, oflags, 0, err));
	if ((acc != O_WRONLY && !hf->can_read) ||
	    (acc != O_RDONLY && !hf->can_write)) {
		*err = -EACCES;
		return (NULL);
	}
	hfile_ref(hf);
	return (hf);
}

static struct hfile *
open_synth(struct machine *m, struct where *w, int oflags, int *err)
{
	struct hfile *hf;

	if (w->syn.type == SYN_FD && !(oflags & (O_PATH | O_NOFOLLOW)))
		return (open_again(m, w, oflags, err));
	if ((oflags & O_DIRECTORY) && !S_ISDIR(w->st.st_mode)) {
		*err = -ENOTDIR;
		return (NULL);
	}
	if (oflags & O_PATH)
		return (open_wrap(w, HF_PATH, -1, oflags, err));
	if (S_ISLNK(w->st.st_mode)) {
		*err = -ELOOP;
		return (NULL);
	}
	hf = synth_open(m, w->path, &w->syn, oflags, err);
	if (hf != NULL && hf->path == NULL) {
		hf->path = strdup(w->path);
		hf->st = w->st;
	}
	return (hf);
}

struct hfile *
where_open(struct machine *m, struct where *w, int oflags, unsigned mode,
    int *err)
{
	enum hfile_kind kind = HF_PATH;
	int fd;

	*err = 0;
	if (w->mnt == MNT_SYNTH && !w->missing)
		return (open_synth(m, w, oflags, err));
	if (w->mnt == MNT_MEM && w->syn.type != SYN_FD)
		return (open_mem(m, w, oflags, mode, err));
	if (w->mnt == MNT_MEM)
		return (open_synth(m, w, oflags, err));
	*err = where_perm(m, w, open_wants(oflags) |
	    (w->missing ? PERM_W : 0));
	if (*err == 0 && !w->missing && !(oflags & O_PATH))
		*err = open_kind(w, oflags, &kind);
	if (*err == 0 && (oflags & O_DIRECTORY) && !w->missing &&
	    !S_ISDIR(w->st.st_mode))
		*err = -ENOTDIR;
	if (*err != 0)
		return (NULL);
	if (w->missing) {
		kind = HF_REG;
		fd = create(m, w, oflags, mode);
	} else if (oflags & O_PATH)
		fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 3);
	else
		fd = where_reopen(w, (oflags & (HOST_OFLAGS | O_TRUNC)) |
		    O_NONBLOCK);
	if (fd < 0) {
		*err = fd == -1 && (oflags & O_PATH) ? -EMFILE : fd;
		return (NULL);
	}
	if (w->missing && fstat(fd, &w->st) != 0) {
		(void)close(fd);
		*err = -EIO;
		return (NULL);
	}
	return (open_wrap(w, kind, fd, oflags, err));
}

/* ---- open ------------------------------------------------------------------------------ */

static unsigned
open_walk(int oflags)
{
	unsigned f = 0;

	if (oflags & O_NOFOLLOW)
		f |= W_NOFOLLOW;
	if (oflags & O_CREAT) {
		f |= W_CREATE;
		if (oflags & O_EXCL)
			f |= W_NOFOLLOW;
	}
	return (f);
}

static int
open_check(const struct machine *m, const struct where *w, int oflags)
{

	if (!(oflags & O_CREAT))
		return (0);
	if (w->missing && w->slash)
		return (-EISDIR);
	if (!w->missing && (oflags & O_EXCL))
		/* It must not tell what exists elsewhere. */
		return (perm_ok(m->fs, w->mnt, w->path, PERM_STAT) ?
		    -EEXIST : -EACCES);
	return (0);
}

/* inotify: what has happened, in the order of Linux */
static void
open_told(struct machine *m, const struct where *w, const struct hfile *hf,
    int oflags)
{

	if (!notify_on(m) || (oflags & O_PATH))
		return;
	if (w->missing)
		notify_hfile(m, hf, IN_CREATE);
	else if (oflags & O_TRUNC)
		notify_hfile(m, hf, IN_MODIFY);
	notify_hfile(m, hf, IN_OPEN);
}

static int64_t
open_once(struct machine *m, struct thread *t, uint64_t dirfd, uint64_t uaddr,
    int oflags, unsigned mode, unsigned resolve)
{
	struct hfile *hf = NULL;
	struct where w;
	int64_t r64;
	int r;

	r = path_user(m, dirfd, uaddr, open_walk(oflags) |
	    W_RESOLVE(resolve), &w);
	if (r != 0)
		return (r);
	r = open_check(m, &w, oflags);
	t->fifo_ino = 0;
	if (r == 0 && w.mnt == MNT_MEM && !w.missing && w.ino != 0 &&
	    S_ISFIFO(w.st.st_mode) && !(oflags & O_PATH)) {
		r64 = fifo_open(m, t, w.ino, oflags);
		where_fini(&w);
		return (r64);
	}
	if (r == 0)
		hf = where_open(m, &w, oflags, mode, &r);
	if (hf != NULL)
		open_told(m, &w, hf, oflags);
	if (hf == NULL && r == -ENXIO && S_ISFIFO(w.st.st_mode) &&
	    w.fd >= 0 && !(oflags & O_NONBLOCK)) {
		/* Nobody reads that fifo yet. */
		where_fini(&w);
		return (file_block_ms(m, t, FIFO_RETRY_MS));
	}
	where_fini(&w);
	if (hf == NULL)
		return (r);
	return (hfile_install(m, hf, (unsigned)oflags));
}

static int64_t
do_open(struct machine *m, struct thread *t, uint64_t dirfd, uint64_t uaddr,
    int oflags, unsigned mode, unsigned resolve)
{
	unsigned n;
	int64_t r;

	if (oflags & O_PATH)
		oflags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((oflags & O_TMPFILE) == O_TMPFILE)
		return (open_tmpfile(m, dirfd, uaddr, oflags, mode,
		    resolve));
	if ((oflags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return (-EINVAL);
	for (n = 0; n < MAX_RACE; n++) {
		r = open_once(m, t, dirfd, uaddr, oflags, mode, resolve);
		/* EEXIST without O_EXCL: somebody was quicker to make it. */
		if (r != -EEXIST || (oflags & O_EXCL) || !(oflags & O_CREAT))
			break;
	}
	return (r);
}

int64_t
sys_open(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (do_open(m, t, (uint64_t)AT_FDCWD, a[0], (int)a[1],
	    (unsigned)a[2], 0));
}

int64_t
sys_creat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (do_open(m, t, (uint64_t)AT_FDCWD, a[0],
	    O_CREAT | O_WRONLY | O_TRUNC, (unsigned)a[1], 0));
}

int64_t
sys_openat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (do_open(m, t, a[0], a[1], (int)a[2], (unsigned)a[3], 0));
}

int64_t
sys_openat2(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct open_how how = { 0 };
	const uint64_t known = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY |
	    O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_ASYNC | O_DIRECT |
	    0100000 | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE;
	uint64_t tail = 0;
	size_t n;

	if (a[3] < sizeof how || a[3] > PAGE_SZ)
		return (a[3] > PAGE_SZ ? -E2BIG : -EINVAL);
	if (as_read(m->as, a[2], &how, sizeof how) != 0)
		return (-EFAULT);
	for (n = sizeof how; n < a[3]; n += 8) {
		if (as_read(m->as, a[2] + n, &tail,
		    a[3] - n < 8 ? a[3] - n : 8) != 0)
			return (-EFAULT);
		if (tail != 0)
			return (-E2BIG);
	}
	if ((how.flags & ~known) || (how.mode & ~07777ULL) ||
	    (how.mode != 0 && !(how.flags & (O_CREAT | (O_TMPFILE &
	    ~O_DIRECTORY)))))
		return (-EINVAL);
	if ((how.resolve & ~(uint64_t)(RESOLVE_NO_XDEV |
	    RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH |
	    RESOLVE_IN_ROOT | RESOLVE_CACHED)) != 0 ||
	    ((how.resolve & RESOLVE_BENEATH) &&
	    (how.resolve & RESOLVE_IN_ROOT)))
		return (-EINVAL);
	if ((how.flags & O_PATH) && (how.flags & ~(uint64_t)(O_PATH |
	    O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)))
		return (-EINVAL);
	if ((how.resolve & RESOLVE_CACHED) && (how.flags & (O_TRUNC |
	    O_CREAT | (O_TMPFILE & ~O_DIRECTORY))))
		return (-EAGAIN);
	return (do_open(m, t, a[0], a[1], (int)how.flags,
	    (unsigned)how.mode, (unsigned)how.resolve));
}

/* ---- offsets ------------------------------------------------------------------------------- */

static int64_t
seek_host(struct hfile *hf, int64_t off, int whence)
{
	struct stat st;
	off_t r;

	if (whence == SEEK_END) {
		if (hf->fd < 0)
			st.st_size = (off_t)hf->textlen;
		else if (fstat(hf->fd, &st) != 0)
			return (-errno);
		if (__builtin_add_overflow(st.st_size, off, &off))
			return (-EOVERFLOW);
		return (off);
	}
	if (hf->kind != HF_REG)
		return (-EINVAL);
	r = lseek(hf->fd, off, whence);		/* SEEK_DATA, SEEK_HOLE */
	return (r < 0 ? -errno : r);
}

int64_t
sys_lseek(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gk_ofd *ofd;
	struct hfile *hf;
	int64_t off = (int64_t)a[1];
	int kind;

	(void)t;
	hf = hfile_of(m, a[0], &ofd, NULL, &kind);
	if (hf == NULL)
		return (hfile_badkind(kind, -ESPIPE));
	switch (hf->kind) {
	case HF_REG:
	case HF_MEM:
	case HF_DIR:
	case HF_TEXT:
		break;
	case HF_NULL:
	case HF_ZERO:
	case HF_FULL:
	case HF_RANDOM:
	case HF_GENERATION:
		return (0);
	case HF_PATH:
		return (-EBADF);
	default:
		return (-ESPIPE);
	}
	switch (a[2]) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		if (ofd->pos > INT64_MAX ||
		    __builtin_add_overflow((int64_t)ofd->pos, off, &off))
			return (-EINVAL);
		break;
	case SEEK_END:
	case SEEK_DATA:
	case SEEK_HOLE:
		off = hf->ino != 0 ? mfs_seek(m, hf->ino, off, (int)a[2]) :
		    seek_host(hf, off, (int)a[2]);
		break;
	default:
		return (-EINVAL);
	}
	if (off < 0)
		return (a[2] <= SEEK_END && off != -EOVERFLOW ? -EINVAL : off);
	ofd->pos = (uint64_t)off;
	return (off);
}
