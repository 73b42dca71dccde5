/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the guest does to files, told to its inotify watches: as on Linux, to
 * those of the file's directory first, with the name, and then to those of the
 * file.  What others do to the files of a volume is not told: a request runs
 * on a frozen image.
 */

#include <sys/types.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

/* st_ino is never that large. */
#define IN_MEMORY	(1UL << 63)

uint64_t
notify_file(uint32_t ino, const struct stat *st)
{

	if (ino != 0)
		return (IN_MEMORY | ino);
	return (((st->st_dev << 40) ^ st->st_ino) & ~IN_MEMORY);
}

int
notify_on(const struct machine *m)
{

	return (m->gk != NULL && m->gk->hi_watch != 0);
}

static void
tell(struct machine *m, uint64_t file, const struct stat *st, uint32_t mask,
    uint32_t cookie, const char *name)
{
	const uint32_t no_dir = IN_DELETE_SELF | IN_MOVE_SELF;
	struct gk_ctx ctx;

	if (S_ISDIR(st->st_mode) && !(mask & no_dir))
		mask |= IN_ISDIR;
	machine_gk_ctx(m, NULL, &ctx);
	gk_inotify_event(&ctx, file, mask, cookie, name,
	    name == NULL ? 0 : strlen(name));
}

void
notify_self(struct machine *m, uint32_t ino, const struct stat *st,
    uint32_t mask)
{

	if (notify_on(m))
		tell(m, notify_file(ino, st), st, mask, 0, NULL);
}

/* To the directory that has the file under this path */
static void
tell_parent(struct machine *m, uint32_t ino, const struct stat *st,
    const char *path, uint32_t mask)
{
	char name[NAME_MAX + 1], up[PATH_MAX];
	struct where *w;
	uint32_t dir;

	if (ino != 0) {
		dir = mfs_name(m, ino, path, name);
		if (dir != 0)
			tell(m, notify_file(dir, st), st, mask, 0, name);
		return;
	}
	if (path == NULL || path[0] != '/' || path[1] == '\0')
		return;
	w = malloc(sizeof *w);
	if (w == NULL)
		return;
	path_up(path, up);
	if (path_str(m, up, W_FREE, w) == 0) {
		tell(m, notify_file(w->ino, &w->st), st, mask, 0,
		    strrchr(path, '/') + 1);
		where_fini(w);
	}
	free(w);
}

void
notify_hfile(struct machine *m, const struct hfile *hf, uint32_t mask)
{

	if (!notify_on(m) || (hf->kind != HF_REG && hf->kind != HF_MEM &&
	    hf->kind != HF_DIR))
		return;
	tell_parent(m, hf->ino, &hf->st, hf->path, mask);
	notify_self(m, hf->ino, &hf->st, mask);
}

void
notify_where(struct machine *m, const struct where *w, uint32_t mask)
{

	if (!notify_on(m) || w->mnt == MNT_SYNTH)
		return;
	tell_parent(m, w->ino, &w->st, w->path, mask);
	notify_self(m, w->ino, &w->st, mask);
}

void
notify_name(struct machine *m, const struct where *w, uint32_t mask,
    uint32_t cookie)
{
	struct stat dir, st = { .st_mode = (mask & IN_ISDIR) ? S_IFDIR : 0 };

	if (!notify_on(m) || (w->ino == 0 && fstat(w->fd, &dir) != 0))
		return;
	tell(m, notify_file(w->ino, &dir), &st, mask, cookie,
	    w->path + w->nameoff);
}

/* ---- names ------------------------------------------------------------------------- */

static uint32_t
ino_of(const struct where *dir, const struct stat *st)
{

	return (dir->mnt == MNT_MEM ? (uint32_t)st->st_ino : 0);
}

/* Has the guest a file of the host open? */
static int
is_open(const struct machine *m, const struct stat *st)
{
	const struct hfile *hf;
	unsigned u;

	for (u = 0; u < m->hi_hfile && u < MAX_HFILE; u++) {
		hf = m->hfile[u];
		if (hf != NULL && hf->fd >= 0 && hf->st.st_dev == st->st_dev &&
		    hf->st.st_ino == st->st_ino)
			return (1);
	}
	return (0);
}

/* What is without a name now; files in memory tell themselves (mfs_reap) */
static void
removed(struct machine *m, const struct where *dir, const struct stat *st)
{

	if (dir->mnt == MNT_MEM)
		mfs_reap(m);
	else if (notify_on(m) && (S_ISDIR(st->st_mode) ||
	    st->st_nlink <= 1) && !is_open(m, st))
		notify_self(m, 0, st, IN_DELETE_SELF);
}

void
notify_closed(struct machine *m, struct hfile **p)
{
	struct hfile *hf = *p;
	struct stat st;
	int gone;

	notify_hfile(m, hf, hf->can_write ? IN_CLOSE_WRITE :
	    IN_CLOSE_NOWRITE);
	gone = notify_on(m) && (hf->kind == HF_REG || hf->kind == HF_DIR) &&
	    hf->fd >= 0 && fstat(hf->fd, &st) == 0 && st.st_nlink == 0;
	hfile_unref(p);
	if (gone && !is_open(m, &st))
		notify_self(m, 0, &st, IN_DELETE_SELF);
}

void
notify_removed(struct machine *m, const struct where *w,
    const struct stat *st)
{
	const int dir = S_ISDIR(st->st_mode);

	if (!dir)
		notify_self(m, ino_of(w, st), st, IN_ATTRIB);
	removed(m, w, st);
	notify_name(m, w, IN_DELETE | (dir ? IN_ISDIR : 0), 0);
}

static void
half_move(struct machine *m, const struct where *from, const struct where *to,
    const struct stat *st, const struct stat *over)
{
	const uint32_t dir = S_ISDIR(st->st_mode) ? IN_ISDIR : 0;
	const uint32_t cookie = ++m->gk->cookie;

	notify_name(m, from, IN_MOVED_FROM | dir, cookie);
	notify_name(m, to, IN_MOVED_TO | dir, cookie);
	if (over != NULL)
		notify_self(m, ino_of(to, over), over, IN_ATTRIB);
	notify_self(m, ino_of(from, st), st, IN_MOVE_SELF);
}

void
notify_moved(struct machine *m, const struct where *from,
    const struct where *to, const struct stat *st, const struct stat *over,
    int exchange)
{

	if (notify_on(m) && (over == NULL || over->st_ino != st->st_ino ||
	    over->st_dev != st->st_dev)) {
		half_move(m, from, to, st, exchange ? NULL : over);
		if (exchange)
			half_move(m, to, from, over, NULL);
	}
	if (over != NULL && !exchange)
		removed(m, to, over);
}
