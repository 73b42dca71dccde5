/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From a guest's path to a host descriptor.
 *
 * We follow symlinks ourselves: a canonical prefix grows by one component (or
 * by all that is left, when no symlink is among it), and each step is an
 * openat2() from a mount's root that follows no symlink and no "..".  So the
 * path that the rules are applied to is the path that was opened, whatever
 * other processes do to the names meanwhile, and links may lead across volumes
 * and into the /proc that we make.  A directory descriptor and the working
 * directory of the guest are canonical paths.
 *
 * Must never give a descriptor to the host's /proc, /sys or /dev.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "linux/synth.h"
#include "obj.h"

struct walk {
	struct machine	*m;
	struct fs	*fs;
	struct where	*w;
	unsigned	flags;
	unsigned	nlink;
	unsigned	resolve;	/* RESOLVE_* */
	size_t		top;		/* they are about this much of path */
	unsigned	topmnt;
	size_t		len;		/* of w->path; "" is the root */
	char		*p;		/* what is left, in rest[] */
	char		rest[2 * PATH_MAX];
	char		link[PATH_MAX];
	char		cand[PATH_MAX];
};

void
where_fini(struct where *w)
{

	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
	if (w->hf != NULL)
		hfile_unref(&w->hf);
}

int
where_perm(struct machine *m, const struct where *w, unsigned want)
{

	if (perm_ok(m->fs, w->mnt, w->path, want))
		return (0);
	if (w->mnt == MNT_SYNTH)
		return (-EACCES);	/* no option would help */
	return (perm_refuse(m, w->path, want));
}

/* ---- the walk ---------------------------------------------------------------- */

/* A failure at path: only what may be seen tells the reason. */
static int
walk_fail(struct walk *k, const char *path, int err)
{
	const char *rel;
	unsigned mnt;

	if ((k->flags & W_FREE) || err == -ENAMETOOLONG || err == -ENOMEM ||
	    err == -EMFILE || err == -ENFILE)
		return (err);
	mnt = fs_mount(k->fs, path, &rel);
	if (perm_ok(k->fs, mnt, path, PERM_STAT))
		return (err);
	return (perm_refuse(k->m, path, PERM_R));
}

/* The next component, "" at the end; *last: nothing but slashes follow */
static const char *
next_comp(struct walk *k, size_t *len, int *last)
{
	char *c, *e;

	c = k->p + strspn(k->p, "/");
	*len = strcspn(c, "/");
	e = c + *len;
	k->p = e;
	e += strspn(e, "/");
	*last = *e == '\0';
	if (*last && *len > 0)
		k->w->slash = *k->p == '/';
	return (c);
}

static int
walk_up(struct walk *k)
{

	if (k->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT) &&
	    k->len <= k->top)
		return (k->resolve & RESOLVE_IN_ROOT ? 0 : -EXDEV);
	while (k->len > 0 && k->w->path[--k->len] != '/')
		continue;
	k->w->path[k->len] = '\0';
	return (0);
}

/* An absolute path or link: back to the root, or to what stands for it */
static int
walk_root(struct walk *k)
{

	if (k->resolve & RESOLVE_BENEATH)
		return (-EXDEV);
	k->len = k->resolve & RESOLVE_IN_ROOT ? k->top : 0;
	k->w->path[k->len] = '\0';
	return (0);
}

/* May the link at w->path be followed?  Some of those in /proc are no names. */
static int
walk_may_follow(const struct walk *k)
{
	const struct where *w = k->w;
	int magic = w->mnt == MNT_SYNTH && (w->syn.type == SYN_FD ||
	    w->syn.id == ID_EXE || w->syn.id == ID_CWD ||
	    strcmp(k->link, "/") == 0);

	if (k->resolve & RESOLVE_NO_SYMLINKS)
		return (-ELOOP);
	if (magic && (k->resolve & RESOLVE_NO_MAGICLINKS))
		return (-ELOOP);
	if (magic && (k->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT |
	    RESOLVE_NO_XDEV)))
		return (-EXDEV);
	return (0);
}

static int
walk_down(struct walk *k, const char *c, size_t len)
{

	if (len > NAME_MAX || k->len + len + 2 > sizeof k->w->path)
		return (-ENAMETOOLONG);
	k->w->nameoff = (unsigned)k->len + 1;
	k->w->path[k->len++] = '/';
	(void)memcpy(k->w->path + k->len, c, len);
	k->len += len;
	k->w->path[k->len] = '\0';
	return (0);
}

/* w->path is a symlink with text k->link: go on with that. */
static int
walk_link(struct walk *k)
{
	const char *rel;
	size_t ll, rl;

	if (++k->nlink > MAX_SYMLINKS)
		return (walk_fail(k, k->w->path, -ELOOP));
	ll = strlen(k->link);
	rl = strlen(k->p);
	if (ll == 0)
		return (walk_fail(k, k->w->path, -ENOENT));
	if (ll + rl + 2 > sizeof k->rest)
		return (-ENAMETOOLONG);
	(void)memmove(k->rest + ll, k->p, rl + 1);
	(void)memcpy(k->rest, k->link, ll);
	k->p = k->rest;
	if (k->link[0] != '/')
		return (walk_up(k));
	if ((k->resolve & RESOLVE_NO_XDEV) &&
	    fs_mount(k->fs, "/", &rel) != k->topmnt)
		return (-EXDEV);
	return (walk_root(k));
}

/* A directory that is there only because a volume is below it. */
static void
synth_dir(struct where *w)
{

	w->mnt = MNT_SYNTH;
	w->fd = -1;
	(void)memset(&w->syn, 0, sizeof w->syn);
	w->syn.type = SYN_DIR;
}

/*
 * In a file system in memory.  What is not there may be the host's, if a rule
 * (or all of allow-read) shows it: 2 then.
 */
static int
look_mem(struct walk *k)
{
	struct where *w = k->w;
	uint32_t parent;
	ssize_t l;

	w->ino = mfs_lookup(k->m, w->path, &parent);
	if (w->ino == 0) {
		/* Nothing of the host's /dev ever shows. */
		if (!path_covers("/dev", 4, w->path) &&
		    ((k->flags & W_FREE) ||
		    perm_ok(k->fs, 0, w->path, PERM_STAT)))
			return (2);
		/* It is there, but outside: a boot that fails says so. */
		(void)snprintf(k->cand, sizeof k->cand, "%s%s", w->path, k->p);
		if (k->m->stage == M_BOOT && stat(k->cand, &w->st) == 0 &&
		    S_ISREG(w->st.st_mode))
			(void)perm_refuse(k->m, k->cand, PERM_R);
		return (-ENOENT);
	}
	mfs_stat(k->m, w->ino, &w->st);
	if (!S_ISLNK(w->st.st_mode))
		return (0);
	l = mfs_readlink(k->m, w->ino, k->link, sizeof k->link - 1);
	if (l < 0)
		return ((int)l);
	k->link[l] = '\0';
	return (1);
}

/* It is missing: who would create it? */
static int
look_missing(struct walk *k, int err)
{
	uint32_t parent;

	if (err != -ENOENT)
		return (err);
	(void)mfs_lookup(k->m, k->w->path, &parent);
	if (parent != 0)
		k->w->mnt = MNT_MEM;
	return (err);
}

/*
 * Look at w->path: fd, st, mnt or syn are set.  0; 1: it is a symlink, its
 * text is in k->link; or -errno (not yet censored).
 */
static int
walk_look(struct walk *k)
{
	struct where *w = k->w;
	const char *rel;
	ssize_t l;
	int r, mem = 0;

	w->mnt = fs_mount(k->fs, w->path, &rel);
	if (w->mnt == MNT_MEM) {
		r = look_mem(k);
		if (r != 2)
			return (r);
		mem = 1;
		w->mnt = 0;
		rel = w->path + 1;
	}
	if (w->mnt == MNT_SYNTH) {
		if (synth_lookup(k->m, w->path, &w->syn, k->link) != 0)
			return (-ENOENT);
		synth_stat(k->m, w->path, &w->syn, &w->st);
		return (w->syn.type == SYN_LINK || w->syn.type == SYN_FD);
	}
	w->fd = host_open_mount(&k->fs->mnt[w->mnt], rel, &w->st);
	if (w->fd == -ENOENT && fs_above_mount(k->fs, w->path)) {
		synth_dir(w);
		synth_stat(k->m, w->path, &w->syn, &w->st);
		return (0);
	}
	if (w->fd < 0)
		return (mem ? look_missing(k, w->fd) : w->fd);
	if (!S_ISLNK(w->st.st_mode))
		return (0);
	l = readlinkat(w->fd, "", k->link, sizeof k->link - 1);
	if (l < 0)
		return (-errno);
	k->link[l] = '\0';
	return (1);
}

static void
walk_drop(struct where *w)
{

	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
	w->ino = 0;
	w->syn.type = SYN_NONE;
}

/*
 * All that is left at once, if no symlink and no ".." is among it.  1: done,
 * 0: go step by step, -ENOENT: and it may be told.
 */
static int
walk_fast(struct walk *k)
{
	struct where *w = k->w;
	const char *p, *rel;
	size_t n, len = k->len;
	unsigned mnt;
	int fd, dot = 0;

	if ((k->flags & W_PARENT) || k->resolve != 0)
		return (0);
	(void)memcpy(k->cand, w->path, len);
	for (p = k->p + strspn(k->p, "/"); *p != '\0';
	    p += n, p += strspn(p, "/")) {
		n = strcspn(p, "/");
		dot = n == 1 && *p == '.';
		if (dot)
			continue;
		if ((n == 2 && p[0] == '.' && p[1] == '.') ||
		    len + n + 2 > sizeof k->cand)
			return (0);
		k->cand[len++] = '/';
		(void)memcpy(k->cand + len, p, n);
		len += n;
	}
	k->cand[len] = '\0';
	mnt = fs_mount(k->fs, k->cand, &rel);
	if (mnt == MNT_SYNTH || mnt == MNT_MEM)
		return (0);
	fd = host_open_mount(&k->fs->mnt[mnt], rel, &w->st);
	if (fd == -ENOENT && !(k->flags & W_CREATE) &&
	    !fs_above_mount(k->fs, k->cand) &&
	    perm_ok(k->fs, mnt, k->cand, PERM_STAT))
		return (-ENOENT);
	if (fd < 0)
		return (0);
	dot |= p > k->p && p[-1] == '/';
	if (S_ISLNK(w->st.st_mode) || (!S_ISDIR(w->st.st_mode) && dot)) {
		(void)close(fd);
		return (0);
	}
	w->fd = fd;
	w->mnt = mnt;
	w->slash = dot;
	w->nameoff = 0;
	(void)memcpy(w->path, k->cand, len + 1);
	k->len = len;
	return (1);
}

/* The last component of W_PARENT, which is not looked at: its directory is. */
static int
walk_parent(struct walk *k, const char *c, size_t len)
{
	struct where *w = k->w;
	int r;

	w->name = NAME_PLAIN;
	if (len == 1 && *c == '.')
		w->name = NAME_DOT;
	else if (len == 2 && c[0] == '.' && c[1] == '.')
		w->name = NAME_DOTDOT;
	r = walk_look(k);
	if (r < 0)
		return (walk_fail(k, w->path, r));
	if (!S_ISDIR(w->st.st_mode))
		return (walk_fail(k, w->path, -ENOTDIR));
	if (w->name == NAME_PLAIN)
		return (walk_down(k, c, len));
	return (0);
}

/* The descriptor itself, of whatever kind */
static int
path_empty(struct machine *m, uint64_t dirfd, struct where *w)
{
	struct hfile *hf;
	const char *rel;

	hf = hfile_get(m, dirfd, &w->gkkind);
	if (hf == NULL)
		return (w->gkkind < 0 ? -EBADF : 0);
	hfile_ref(hf);
	w->hf = hf;
	w->st = hf->st;
	w->ino = hf->ino;
	if (hf->ino != 0)
		mfs_stat(m, hf->ino, &w->st);
	w->mnt = MNT_SYNTH;
	w->path[0] = '\0';
	if (hf->path != NULL && strlen(hf->path) < sizeof w->path) {
		(void)strcpy(w->path, hf->path);
		w->mnt = fs_mount(m->fs, w->path, &rel);
	}
	if (hf->ino != 0)
		w->mnt = MNT_MEM;
	else if (w->mnt == MNT_MEM)	/* shown by a rule */
		w->mnt = 0;
	if (hf->fd >= 0) {
		w->fd = fcntl(hf->fd, F_DUPFD_CLOEXEC, 3);
		if (w->fd < 0 || fstat(w->fd, &w->st) != 0) {
			where_fini(w);
			return (-EMFILE);
		}
	}
	return (0);
}

static int
walk_step(struct walk *k, const char *c, size_t len, int last, int *done)
{
	struct where *w = k->w;
	int r;

	if (len == 1 && *c == '.')
		return (0);
	if (len == 2 && c[0] == '.' && c[1] == '.') {
		return (walk_up(k));
	}
	r = walk_down(k, c, len);
	if (r != 0)
		return (r);
	r = walk_look(k);
	if (r >= 0 && (k->resolve & RESOLVE_NO_XDEV) && w->mnt != k->topmnt)
		return (-EXDEV);
	if (r == 1 && k->resolve != 0 && (!last ||
	    !(k->flags & W_NOFOLLOW) || w->slash)) {
		r = walk_may_follow(k);
		if (r != 0)
			return (r);
		r = 1;
	}
	if (r == 1 && (!last || !(k->flags & W_NOFOLLOW) || w->slash)) {
		if (w->syn.type == SYN_FD && last && !w->slash) {
			*done = 1;	/* not the name but the file itself */
			return (path_empty(k->m, w->syn.arg, w));
		}
		walk_drop(w);
		r = walk_link(k);
		return (r != 0 ? r : 1);
	}
	if (r == -ENOENT && last && (k->flags & W_CREATE)) {
		w->missing = 1;
		*done = 1;
		return (0);
	}
	if (r < 0)
		return (walk_fail(k, w->path, r));
	if ((!last || w->slash) && !S_ISDIR(w->st.st_mode))
		return (walk_fail(k, w->path, -ENOTDIR));
	if (last)
		*done = 1;
	else
		walk_drop(w);
	return (0);
}

static int
walk_loop(struct walk *k)
{
	const char *c;
	size_t len;
	int r = 1, last = 0, done = 0;

	do {
		/* At first, and behind each symlink */
		if (r == 1) {
			r = walk_fast(k);
			if (r != 0)
				return (r < 0 ? r : 0);
		}
		c = next_comp(k, &len, &last);
		if (len == 0)
			break;
		if (last && (k->flags & W_PARENT))
			return (walk_parent(k, c, len));
		r = walk_step(k, c, len, last, &done);
		if (r < 0)
			return (r);
	} while (!done);
	if (done)
		return (0);
	/* It ended in "/", "." or ".." */
	k->w->nameoff = 0;
	if (k->flags & W_PARENT) {
		k->w->name = NAME_ROOT;
		return (walk_look(k) < 0 ? -EACCES : 0);
	}
	r = walk_look(k);
	return (r < 0 ? walk_fail(k, k->w->path, r) : 0);
}

/*
 * A symlink that may not be seen itself, but leads to what may: then to look
 * at it tells no more than to follow it.
 */
static int
seen_by_target(struct walk *k)
{
	struct where *t;
	int ok;

	if (!S_ISLNK(k->w->st.st_mode) || k->w->fd < 0)
		return (0);
	t = malloc(sizeof *t);
	if (t == NULL)
		return (0);
	ok = path_str(k->m, k->w->path, 0, t) == 0;
	if (ok)
		where_fini(t);
	free(t);
	return (ok);
}

static int
walk_run(struct walk *k, const char *base)
{
	struct where *w = k->w;
	const char *rel;
	int r = 0;

	k->p = k->rest;
	if (k->rest[0] == '\0')
		return (-ENOENT);
	if ((k->rest[0] != '/' || k->resolve != 0) && strcmp(base, "/") != 0) {
		k->len = strlen(base);
		if (k->len >= sizeof w->path)
			return (-ENAMETOOLONG);
		(void)memcpy(w->path, base, k->len + 1);
	}
	if (k->resolve != 0) {
		k->top = k->len;
		if (k->rest[0] == '/')
			r = walk_root(k);
		k->topmnt = fs_mount(k->fs, w->path, &rel);
	}
	if (r == 0)
		r = walk_loop(k);
	if (w->path[0] == '\0' && w->syn.type != SYN_FD)
		(void)strcpy(w->path, "/");
	/*
	 * What is to be created or removed is judged by its own name, by the
	 * caller; everything else must be visible.
	 */
	if (r == 0 && !(k->flags & (W_FREE | W_PARENT)) && !w->missing &&
	    w->syn.type != SYN_FD &&
	    !perm_ok(k->fs, w->mnt, w->path, PERM_STAT) && !seen_by_target(k))
		r = perm_refuse(k->m, w->path, PERM_R);
	if (r != 0)
		where_fini(w);
	return (r);
}

static struct walk *
walk_new(struct machine *m, unsigned flags, struct where *w, int *err)
{
	struct walk *k;
	struct fs *fs;

	(void)memset(w, 0, offsetof(struct where, path) + 1);
	w->fd = -1;
	fs = fs_get(m);
	k = fs == NULL ? NULL : malloc(sizeof *k);
	if (k == NULL) {
		*err = -ENOMEM;
		return (NULL);
	}
	(void)memset(k, 0, offsetof(struct walk, rest) + 1);
	k->m = m;
	k->fs = fs;
	k->w = w;
	k->flags = flags & (W_RESOLVE(1) - 1);
	k->resolve = flags / W_RESOLVE(1);
	return (k);
}

/* ---- entry points --------------------------------------------------------------- */

/* The canonical directory that dirfd stands for */
static int
path_base(struct machine *m, uint64_t dirfd, const char **base)
{
	struct hfile *hf;
	int kind;

	if ((int32_t)dirfd == AT_FDCWD) {
		*base = m->proc.cwd[0] == '/' ? m->proc.cwd : "/";
		return (0);
	}
	hf = hfile_get(m, (uint32_t)dirfd, &kind);
	if (hf == NULL)
		return (kind < 0 ? -EBADF : -ENOTDIR);
	if (hf->path == NULL || (hf->kind != HF_DIR && (hf->kind != HF_PATH ||
	    !S_ISDIR(hf->st.st_mode))))
		return (-ENOTDIR);
	*base = hf->path;
	return (0);
}

int
path_user(struct machine *m, uint64_t dirfd, uint64_t uaddr, unsigned flags,
    struct where *w)
{
	const char *base = "/";
	struct walk *k;
	int r = 0;

	k = walk_new(m, flags, w, &r);
	if (k == NULL)
		return (r);
	if (uaddr == 0 && (flags & W_EMPTY) && (int32_t)dirfd != AT_FDCWD)
		k->rest[0] = '\0';	/* newer kernels take NULL for "" */
	else
		r = as_strncpy(m->as, k->rest, uaddr, PATH_MAX);
	if (r >= 0 && k->rest[0] == '\0' && (flags & W_EMPTY)) {
		if ((int32_t)dirfd != AT_FDCWD) {
			r = path_empty(m, (uint32_t)dirfd, w);
			free(k);
			return (r);
		}
		(void)strcpy(k->rest, ".");
	}
	if (r >= 0 && (k->rest[0] != '/' || (k->resolve & RESOLVE_IN_ROOT)) &&
	    k->rest[0] != '\0')
		r = path_base(m, dirfd, &base);
	if (r >= 0)
		r = walk_run(k, base);
	free(k);
	return (r);
}

int
path_str(struct machine *m, const char *path, unsigned flags, struct where *w)
{
	struct walk *k;
	int r = 0;

	k = walk_new(m, flags, w, &r);
	if (k == NULL)
		return (r);
	if (strlen(path) >= PATH_MAX)
		r = -ENAMETOOLONG;
	else {
		(void)strcpy(k->rest, path);
		r = walk_run(k, m->proc.cwd[0] == '/' ? m->proc.cwd : "/");
	}
	free(k);
	return (r);
}

int
where_reopen(const struct where *w, int oflags)
{
	char name[40];
	int fd;

	if (w->fd < 0)
		return (-ENOENT);
	oflags |= O_CLOEXEC | O_NOCTTY;
	if (S_ISDIR(w->st.st_mode))
		fd = openat(w->fd, ".", oflags);
	else {
		(void)snprintf(name, sizeof name, "/proc/self/fd/%d", w->fd);
		fd = open(name, oflags & ~O_NOFOLLOW);
	}
	return (fd < 0 ? -errno : fd);
}

void
proc_chdir(struct machine *m, const char *path)
{

	m->rest_changed = 1;
	(void)snprintf(m->proc.cwd, sizeof m->proc.cwd, "%s", path);
}

int
path_chdir(struct machine *m, const char *path)
{
	struct where *w;
	int r;

	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	r = path_str(m, path, 0, w);
	if (r == 0) {
		if (!S_ISDIR(w->st.st_mode))
			r = -ENOTDIR;
		else if (w->fd >= 0 && faccessat(w->fd, ".", X_OK,
		    AT_EACCESS) != 0)
			r = -errno;
		else
			proc_chdir(m, w->path);
		where_fini(w);
	}
	free(w);
	return (r);
}

int
program_missing(struct machine *m, const char *path)
{
	struct where *w;
	int r;

	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	r = path_str(m, path, 0, w);
	if (r == 0) {
		r = S_ISREG(w->st.st_mode) ? 0 : -EACCES;
		where_fini(w);
	}
	free(w);
	return (r == -ENOENT || r == -ENOTDIR ? r : 0);
}

void
path_canonical(struct machine *m, const char *path, char *to, size_t size)
{
	struct where *w;

	(void)snprintf(to, size, "%s", path);
	w = malloc(sizeof *w);
	if (w == NULL)
		return;
	if (path_str(m, path, W_FREE, w) == 0) {
		(void)snprintf(to, size, "%s", w->path);
		where_fini(w);
	}
	free(w);
}

void
path_up(const char *path, char up[PATH_MAX])
{
	const char *end = strrchr(path, '/');

	/* that of what is in the root, and of the root, is the root */
	(void)snprintf(up, PATH_MAX, "%.*s",
	    end > path ? (int)(end - path) : 1, end > path ? path : "/");
}

int
path_open_host(struct machine *m, const char *guestpath, int oflags)
{
	struct where *w;
	int r;

	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	r = path_str(m, guestpath, W_FREE, w);
	if (r == 0) {
		if (w->fd < 0 || S_ISCHR(w->st.st_mode) ||
		    S_ISBLK(w->st.st_mode))
			r = -EACCES;
		else
			r = where_reopen(w, oflags | O_NONBLOCK);
		if (r >= 0 && m->stage == M_BOOT &&
		    fs_allow_file(m->fs, w->path) != 0) {
			(void)close(r);
			r = -ENOMEM;
		}
		where_fini(w);
	}
	free(w);
	return (r);
}
