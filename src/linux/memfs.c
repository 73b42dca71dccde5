/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The file system in memory: inodes, names, attributes.
 */

#include <sys/types.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "layout.h"
#include "linux/memfs.h"
#include "linux/sys_proc.h"
#include "obj.h"

_Static_assert(GPA_MFS + sizeof(struct mfs) <= GPA_FRAMES,
    "the tables do not fit");

static const char *const root_path[MFS_NROOT] = { "/tmp", "/dev/shm" };

static void
touch(struct machine *m, const void *p, size_t len)
{

	as_touch(m->as, p, len);
}

struct mfs_inode *
mfs_inode(struct machine *m, uint32_t ino)
{
	struct mfs_inode *i;

	if (m->mfs == NULL || ino == 0 || ino >= MFS_NINO)
		return (NULL);
	i = &m->mfs->inode[ino];
	return (i->mode == 0 ? NULL : i);
}

static struct mfs_inode *
dir_get(struct machine *m, uint32_t ino)
{
	struct mfs_inode *i = mfs_inode(m, ino);

	return (i != NULL && S_ISDIR(i->mode) ? i : NULL);
}

static struct mfs_dent *
dent_at(struct machine *m, uint32_t d1)
{

	return (d1 == 0 || d1 > MFS_NDENT ? NULL : &m->mfs->dent[d1 - 1]);
}

void
mfs_stamp(struct machine *m, struct mfs_inode *i, unsigned what)
{
	uint64_t now = machine_real(m);
	struct mfs_time t = { (int64_t)(now / 1000000000),
	    (uint32_t)(now % 1000000000), 0 };

	touch(m, i, sizeof *i);
	if (what & 1)
		i->atime = t;
	if (what & 2)
		i->mtime = t;
	if (what & 6)
		i->ctime = t;
}

/* ---- making and forgetting ------------------------------------------------------ */

static int64_t
ino_new(struct machine *m, unsigned mode)
{
	struct mfs *f = m->mfs;
	struct mfs_inode *i;
	uint32_t n;

	for (n = 1; n < MFS_NINO; n++)
		if (f->inode[n].mode == 0)
			break;
	if (n == MFS_NINO)
		return (-ENOSPC);
	touch(m, f, sizeof(uint64_t) * 4);
	if (n >= f->hi_ino)
		f->hi_ino = n + 1;
	f->nino++;
	i = &f->inode[n];
	touch(m, i, sizeof *i);
	(void)memset(i, 0, sizeof *i);
	i->mode = mode;
	i->uid = m->proc.uid;
	i->gid = m->proc.gid;
	i->nlink = S_ISDIR(mode) ? 2 : 1;
	mfs_stamp(m, i, 7);
	return (n);
}

static void
ino_free(struct machine *m, uint32_t n)
{
	struct mfs_inode *i = &m->mfs->inode[n];
	struct stat st = { .st_mode = i->mode };

	notify_self(m, n, &st, IN_DELETE_SELF);
	as_file_zap(m->as, n, 0, UINT64_MAX);
	touch(m, i, sizeof *i);
	memfile_cut(m->as, &i->f, 0, UINT64_MAX);
	(void)memset(i, 0, sizeof *i);
	touch(m, m->mfs, sizeof(uint64_t) * 4);
	m->mfs->nino--;
}

void
mfs_init(struct machine *m)
{
	unsigned u;

	m->mfs->magic = MFS_MAGIC;
	for (u = 0; u < MFS_NROOT; u++)
		m->mfs->inode[ino_new(m, S_IFDIR | 01777)].parent = u + 1;
	as_file_pager(m->as, mfs_pager, m);
}

static int
in_use(struct machine *m, uint32_t ino)
{
	unsigned u;

	for (u = 0; u < m->hi_hfile && u < MAX_HFILE; u++)
		if (m->hfile[u] != NULL && m->hfile[u]->ino == ino)
			return (1);
	return (as_maps_file(m->as, ino, 0));
}

void
mfs_reap(struct machine *m)
{
	struct mfs *f = m->mfs;
	uint32_t n;

	if (f == NULL || f->norphan == 0)
		return;
	for (n = MFS_NROOT + 1; n < f->hi_ino && n < MFS_NINO; n++) {
		if (f->inode[n].mode == 0 || f->inode[n].nlink != 0 ||
		    in_use(m, n))
			continue;
		ino_free(m, n);
		f->norphan--;
	}
}

static void
orphan(struct machine *m, struct mfs_inode *i)
{

	touch(m, i, sizeof *i);
	i->nlink = 0;
	touch(m, m->mfs, sizeof(uint64_t) * 4);
	m->mfs->norphan++;
}

void
mfs_released(struct machine *m, uint32_t hidx, uint32_t ino)
{
	struct mfs *f = m->mfs;
	unsigned u;

	if (f == NULL || ino == 0)
		return;
	for (u = 0; u < MFS_NLOCK && f->nlock > 0; u++)
		if (f->lock[u].ino != 0 && f->lock[u].owner == hidx) {
			touch(m, f, offsetof(struct mfs, inode));
			f->lock[u].ino = 0;
			f->nlock--;
		}
	mfs_reap(m);
}

/* ---- names -------------------------------------------------------------------------- */

/* The link that leads to a name's entry; NULL: there is none */
static uint32_t *
dent_find(struct machine *m, struct mfs_inode *dir, const char *name,
    size_t len)
{
	struct mfs_dent *d;
	uint32_t *link;
	unsigned n;

	link = &dir->first1;
	for (n = 0; n < MFS_NDENT && *link != 0; n++) {
		d = dent_at(m, *link);
		if (d == NULL)
			break;
		if (d->len == len && memcmp(d->name, name, len) == 0)
			return (link);
		link = &d->next1;
	}
	return (NULL);
}

static uint32_t
find(struct machine *m, uint32_t dir, const char *name, size_t len)
{
	struct mfs_inode *i = dir_get(m, dir);
	uint32_t *link;

	link = i == NULL ? NULL : dent_find(m, i, name, len);
	return (link == NULL ? 0 : dent_at(m, *link)->ino);
}

uint32_t
mfs_find(struct machine *m, uint32_t dir, const char *name)
{

	return (find(m, dir, name, strlen(name)));
}

uint32_t
mfs_lookup(struct machine *m, const char *path, uint32_t *parent)
{
	uint32_t ino = 0, up = 0;
	size_t len;
	unsigned u;

	*parent = 0;
	if (m->mfs == NULL)
		return (0);
	for (u = 0; u < MFS_NROOT; u++) {
		len = strlen(root_path[u]);
		if (path_covers(root_path[u], len, path)) {
			ino = u + 1;
			path += len;
			break;
		}
	}
	while (*path != '\0' && ino != 0) {
		path++;			/* the slash */
		len = strcspn(path, "/");
		up = ino;
		ino = find(m, up, path, len);
		path += len;
		if (*path != '\0')
			up = 0;
	}
	if (*path == '\0')
		*parent = dir_get(m, up) != NULL ? up : 0;
	return (ino);
}

uint32_t
mfs_name(struct machine *m, uint32_t ino, const char *path,
    char name[NAME_MAX + 1])
{
	const struct mfs_inode *i = mfs_inode(m, ino);
	const struct mfs_dent *d;
	uint32_t dir, d1;
	unsigned n;

	if (i == NULL || i->nlink == 0)
		return (0);
	if (path != NULL && mfs_lookup(m, path, &dir) == ino && dir != 0) {
		(void)snprintf(name, NAME_MAX + 1, "%s",
		    strrchr(path, '/') + 1);
		return (dir);
	}
	dir = i->parent;
	i = ino > MFS_NROOT ? dir_get(m, dir) : NULL;
	d1 = i == NULL ? 0 : i->first1;
	for (n = 0; n < MFS_NDENT && d1 != 0; n++) {
		d = dent_at(m, d1);
		if (d == NULL)
			break;
		if (d->ino == ino) {
			(void)snprintf(name, NAME_MAX + 1, "%s", d->name);
			return (dir);
		}
		d1 = d->next1;
	}
	return (0);
}

static int
dent_add(struct machine *m, uint32_t dirno, const char *name, uint32_t ino)
{
	struct mfs_inode *dir = dir_get(m, dirno);
	struct mfs *f = m->mfs;
	struct mfs_dent *d;
	size_t len = strlen(name);
	uint32_t n;

	if (dir == NULL || dir->nlink == 0)
		return (-ENOENT);
	if (len > NAME_MAX)
		return (-ENAMETOOLONG);
	for (n = 0; n < MFS_NDENT; n++)
		if (f->dent[n].ino == 0)
			break;
	if (n == MFS_NDENT)
		return (-ENOSPC);
	d = &f->dent[n];
	touch(m, f, sizeof(uint64_t) * 4);
	touch(m, d, sizeof *d);
	if (n >= f->hi_dent)
		f->hi_dent = n + 1;
	f->ndent++;
	(void)memset(d, 0, sizeof *d);
	(void)memcpy(d->name, name, len);
	d->len = (uint32_t)len;
	d->ino = ino;
	d->next1 = dir->first1;
	mfs_stamp(m, dir, 2);
	d->cookie = ++dir->cookie;
	dir->first1 = n + 1;
	dir->size += 20;		/* as tmpfs counts */
	return (0);
}

static void
dent_del(struct machine *m, struct mfs_inode *dir, uint32_t *link)
{
	struct mfs_dent *d = dent_at(m, *link);

	touch(m, link, sizeof *link);
	*link = d->next1;
	touch(m, d, sizeof *d);
	(void)memset(d, 0, sizeof *d);
	touch(m, m->mfs, sizeof(uint64_t) * 4);
	m->mfs->ndent--;
	mfs_stamp(m, dir, 2);
	dir->size -= 20;
}

int64_t
mfs_make(struct machine *m, uint32_t dir, const char *name, unsigned mode)
{
	struct mfs_inode *up = NULL;
	int64_t n;
	int r;

	if (name != NULL) {
		up = dir_get(m, dir);
		if (up == NULL)
			return (-ENOENT);
		r = mfs_access(m, dir, W_OK | X_OK);
		if (r == 0 && mfs_find(m, dir, name) != 0)
			r = -EEXIST;
		if (r != 0)
			return (r);
	}
	n = ino_new(m, mode);
	if (n < 0)
		return (n);
	if (name == NULL) {
		orphan(m, &m->mfs->inode[n]);
		return (n);
	}
	r = dent_add(m, dir, name, (uint32_t)n);
	if (r != 0) {
		ino_free(m, (uint32_t)n);
		return (r);
	}
	m->mfs->inode[n].parent = dir;
	if (S_ISDIR(mode))
		up->nlink++;
	return (n);
}

int
mfs_link(struct machine *m, uint32_t dir, const char *name, uint32_t ino)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	int r;

	if (i == NULL)
		return (-ENOENT);
	if (S_ISDIR(i->mode))
		return (-EPERM);
	if (mfs_find(m, dir, name) != 0)
		return (-EEXIST);
	if (i->nlink == 0 && i->memfd)
		return (-ENOENT);
	r = mfs_access(m, dir, W_OK | X_OK);
	if (r == 0)
		r = dent_add(m, dir, name, ino);
	if (r != 0)
		return (r);
	mfs_stamp(m, i, 4);
	if (i->nlink++ == 0) {		/* O_TMPFILE gets its name */
		touch(m, m->mfs, sizeof(uint64_t) * 4);
		m->mfs->norphan--;
	}
	return (0);
}

/* A name of it is gone. */
static void
drop_link(struct machine *m, struct mfs_inode *i)
{

	mfs_stamp(m, i, 4);
	if (S_ISDIR(i->mode) || i->nlink <= 1) {
		if (S_ISSOCK(i->mode) && i->sock1 != 0)
			gk_name_gone(m->gk, i->sock1 - 1, i->addr1);
		orphan(m, i);
	} else
		i->nlink--;
}

int
mfs_unlink(struct machine *m, uint32_t dirno, const char *name, int rmdir)
{
	struct mfs_inode *dir = dir_get(m, dirno), *i;
	uint32_t *link;
	int r;

	if (dir == NULL)
		return (-ENOENT);
	link = dent_find(m, dir, name, strlen(name));
	if (link == NULL)
		return (-ENOENT);
	r = mfs_access(m, dirno, W_OK | X_OK);
	if (r != 0)
		return (r);
	i = mfs_inode(m, dent_at(m, *link)->ino);
	if (i == NULL)
		return (-EIO);
	if (rmdir && !S_ISDIR(i->mode))
		return (-ENOTDIR);
	if (!rmdir && S_ISDIR(i->mode))
		return (-EISDIR);
	if (rmdir && i->first1 != 0)
		return (-ENOTEMPTY);
	dent_del(m, dir, link);
	if (rmdir)
		dir->nlink--;
	drop_link(m, i);
	return (0);
}

/* Is directory `above` the other one or on its way to the root? */
static int
is_above(struct machine *m, uint32_t above, uint32_t ino)
{
	const struct mfs_inode *i;
	unsigned n;

	for (n = 0; n < MFS_NINO; n++) {
		i = dir_get(m, ino);
		if (i == NULL)
			break;
		if (ino == above)
			return (1);
		if (ino <= MFS_NROOT)
			break;
		ino = i->parent;
	}
	return (0);
}

static int
rename_over(const struct mfs_inode *i, const struct mfs_inode *old)
{

	if (S_ISDIR(old->mode)) {
		if (!S_ISDIR(i->mode))
			return (-EISDIR);
		return (old->first1 != 0 ? -ENOTEMPTY : 0);
	}
	return (S_ISDIR(i->mode) ? -ENOTDIR : 0);
}

static void
set_parent(struct machine *m, struct mfs_inode *i, uint32_t from, uint32_t to)
{

	mfs_stamp(m, i, 4);
	i->parent = to;
	if (!S_ISDIR(i->mode) || from == to)
		return;
	m->mfs->inode[from].nlink--;
	m->mfs->inode[to].nlink++;
}

static int
exchange(struct machine *m, uint32_t dir1, uint32_t *l1, uint32_t dir2,
    uint32_t *l2)
{
	struct mfs_dent *a = dent_at(m, *l1), *b = dent_at(m, *l2);
	uint32_t ino = a->ino;

	if (is_above(m, a->ino, dir2) || is_above(m, b->ino, dir1))
		return (-EINVAL);
	touch(m, a, sizeof *a);
	touch(m, b, sizeof *b);
	a->ino = b->ino;
	b->ino = ino;
	mfs_stamp(m, &m->mfs->inode[dir1], 2);
	mfs_stamp(m, &m->mfs->inode[dir2], 2);
	set_parent(m, &m->mfs->inode[a->ino], dir2, dir1);
	set_parent(m, &m->mfs->inode[b->ino], dir1, dir2);
	return (0);
}

int
mfs_rename(struct machine *m, uint32_t dir1, const char *name1, uint32_t dir2,
    const char *name2, unsigned flags)
{
	struct mfs_inode *d1 = dir_get(m, dir1), *d2 = dir_get(m, dir2), *i, *o;
	uint32_t *l1, *l2, ino, old;
	int r;

	if (d1 == NULL || d2 == NULL)
		return (-ENOENT);
	l1 = dent_find(m, d1, name1, strlen(name1));
	if (l1 == NULL)
		return (-ENOENT);
	ino = dent_at(m, *l1)->ino;
	i = mfs_inode(m, ino);
	l2 = dent_find(m, d2, name2, strlen(name2));
	r = mfs_access(m, dir1, W_OK | X_OK);
	if (r == 0)
		r = mfs_access(m, dir2, W_OK | X_OK);
	if (r != 0 || i == NULL)
		return (i == NULL ? -EIO : r);
	if (l2 == NULL && (flags & RENAME_EXCHANGE))
		return (-ENOENT);
	if (flags & RENAME_EXCHANGE)
		return (l1 == l2 ? 0 : exchange(m, dir1, l1, dir2, l2));
	if (is_above(m, ino, dir2))
		return (-EINVAL);
	if (l2 != NULL) {
		if (flags & RENAME_NOREPLACE)
			return (-EEXIST);
		old = dent_at(m, *l2)->ino;
		o = mfs_inode(m, old);
		if (old == ino || o == NULL)
			return (old == ino ? 0 : -EIO);
		r = rename_over(i, o);
		if (r != 0)
			return (r);
		touch(m, dent_at(m, *l2), sizeof(struct mfs_dent));
		dent_at(m, *l2)->ino = ino;
		mfs_stamp(m, d2, 2);
		if (S_ISDIR(o->mode))
			d2->nlink--;
		drop_link(m, o);
	} else {
		r = dent_add(m, dir2, name2, ino);
		if (r != 0)
			return (r);
	}
	/* the list of its first directory may have changed */
	l1 = dent_find(m, d1, name1, strlen(name1));
	if (l1 != NULL)
		dent_del(m, d1, l1);
	set_parent(m, i, dir1, dir2);
	return (0);
}

/* ---- symlinks ------------------------------------------------------------------------- */

int
mfs_set_link(struct machine *m, uint32_t ino, const char *text)
{
	ssize_t r;

	r = mfs_pwrite(m, ino, text, strlen(text), 0);
	return (r < 0 ? (int)r : 0);
}

ssize_t
mfs_readlink(struct machine *m, uint32_t ino, char *buf, size_t size)
{

	return (mfs_pread(m, ino, buf, size, 0));
}

/* ---- attributes -------------------------------------------------------------------------- */

static struct timespec
to_ts(const struct mfs_time *t)
{

	return ((struct timespec){ t->sec, (long)t->nsec });
}

void
mfs_stat(struct machine *m, uint32_t ino, struct stat *st)
{
	const struct mfs_inode *i = mfs_inode(m, ino);

	(void)memset(st, 0, sizeof *st);
	if (i == NULL)
		return;
	st->st_dev = i->memfd ? 1 : MFS_DEV;
	st->st_ino = ino;
	st->st_mode = i->mode;
	st->st_nlink = i->nlink;
	st->st_uid = i->uid;
	st->st_gid = i->gid;
	st->st_size = (off_t)i->size;
	st->st_blksize = PAGE_SZ;
	st->st_blocks = S_ISLNK(i->mode) ? 0 :
	    (blkcnt_t)i->f.npages * (PAGE_SZ / 512);
	st->st_atim = to_ts(&i->atime);
	st->st_mtim = to_ts(&i->mtime);
	st->st_ctim = to_ts(&i->ctime);
}

void
mfs_statfs(struct machine *m, uint64_t *blocks, uint64_t *avail,
    uint64_t *files, uint64_t *ffree)
{

	as_frames(m->as, blocks, avail);
	*files = MFS_NINO;
	*ffree = m->mfs == NULL ? 0 : MFS_NINO - 1 - m->mfs->nino;
}

int
mfs_access(struct machine *m, uint32_t ino, unsigned want)
{
	const struct mfs_inode *i = mfs_inode(m, ino);
	unsigned have;

	if (i == NULL)
		return (-ENOENT);
	if (m->proc.uid == 0) {
		if ((want & X_OK) && !S_ISDIR(i->mode) && !(i->mode & 0111))
			return (-EACCES);
		return (0);
	}
	have = i->uid == m->proc.uid ? i->mode >> 6 :
	    proc_in_group(m, i->gid) ? i->mode >> 3 : i->mode;
	return ((want & ~have & 7) != 0 ? -EACCES : 0);
}

int
mfs_chmod(struct machine *m, uint32_t ino, unsigned mode)
{
	struct mfs_inode *i = mfs_inode(m, ino);

	if (i == NULL)
		return (-ENOENT);
	if (m->proc.uid != 0 && i->uid != m->proc.uid)
		return (-EPERM);
	mfs_stamp(m, i, 4);
	i->mode = (i->mode & S_IFMT) | (mode & 07777);
	return (0);
}

int
mfs_chown(struct machine *m, uint32_t ino, uint64_t uid, uint64_t gid)
{
	struct mfs_inode *i = mfs_inode(m, ino);

	if (i == NULL)
		return (-ENOENT);
	if (m->proc.uid != 0 && (((uint32_t)uid != UINT32_MAX &&
	    (uint32_t)uid != i->uid) || ((uint32_t)gid != UINT32_MAX &&
	    (uint32_t)gid != i->gid && !proc_in_group(m, (uint32_t)gid))))
		return (-EPERM);
	mfs_stamp(m, i, 4);
	if ((uint32_t)uid != UINT32_MAX)
		i->uid = (uint32_t)uid;
	if ((uint32_t)gid != UINT32_MAX)
		i->gid = (uint32_t)gid;
	if (!S_ISDIR(i->mode))
		i->mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	return (0);
}

int
mfs_utimes(struct machine *m, uint32_t ino, const struct timespec ts[2])
{
	struct mfs_inode *i = mfs_inode(m, ino);
	struct mfs_time *to[2];
	unsigned u;

	if (i == NULL)
		return (-ENOENT);
	mfs_stamp(m, i, 4);
	to[0] = &i->atime;
	to[1] = &i->mtime;
	for (u = 0; u < 2; u++) {
		if (ts[u].tv_nsec == UTIME_OMIT)
			continue;
		if (ts[u].tv_nsec == UTIME_NOW)
			*to[u] = i->ctime;
		else {
			to[u]->sec = ts[u].tv_sec;
			to[u]->nsec = (uint32_t)ts[u].tv_nsec;
		}
	}
	return (0);
}

/* ---- reading directories ------------------------------------------------------------------- */

#define D64_NAME	19

static size_t
put_dent(char *buf, size_t size, uint64_t ino, uint64_t off, unsigned type,
    const char *name, size_t len)
{
	uint16_t rl = (uint16_t)((D64_NAME + len + 8) & ~7UL);

	if (rl > size)
		return (0);
	(void)memset(buf, 0, rl);
	(void)memcpy(buf, &ino, 8);
	(void)memcpy(buf + 8, &off, 8);
	(void)memcpy(buf + 16, &rl, 2);
	buf[18] = (char)type;
	(void)memcpy(buf + D64_NAME, name, len);
	return (rl);
}

/* Newest first, so a position is: entries older than this are still to come.
 * 0 and 1 are the dots; then ~cookie, which grows. */
ssize_t
mfs_dents(struct machine *m, uint32_t ino, uint64_t *pos, char *buf,
    size_t size)
{
	struct mfs_inode *dir = dir_get(m, ino);
	struct mfs_dent *d;
	struct mfs_inode *i;
	uint64_t key;
	size_t n = 0, l;
	uint32_t d1;
	unsigned k;

	if (dir == NULL || dir->nlink == 0)
		return (dir == NULL ? -ENOTDIR : -ENOENT);
	for (; *pos < 2; ++*pos, n += l) {
		l = put_dent(buf + n, size - n, *pos == 0 ? ino : dir->parent,
		    *pos + 1, DT_DIR, "..", (size_t)*pos + 1);
		if (l == 0)
			return (n > 0 ? (ssize_t)n : -EINVAL);
	}
	for (d1 = dir->first1, k = 0; d1 != 0 && k < MFS_NDENT;
	    d1 = d->next1, k++) {
		d = dent_at(m, d1);
		if (d == NULL)
			break;
		key = (uint64_t)INT64_MAX - d->cookie;
		if (key < *pos)
			continue;
		i = mfs_inode(m, d->ino);
		l = put_dent(buf + n, size - n, d->ino, key + 1,
		    i == NULL ? DT_UNKNOWN : IFTODT(i->mode), d->name, d->len);
		if (l == 0)
			return (n > 0 ? (ssize_t)n : -EINVAL);
		n += l;
		*pos = key + 1;
	}
	return ((ssize_t)n);
}
