/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * inotify sets: which watches there are, and the one event they give,
 * IN_IGNORED for a watch that was removed.
 */

#include "gk_priv.h"

#define GKA_IN_IGNORED	0x8000U

/* The reset compares the first page of struct gk as a whole. */
_Static_assert(offsetof(struct gk, fd) == 4096, "watches are in one page");

struct gk_in_event {
	int32_t		wd;
	uint32_t	mask, cookie, len;
};

int64_t
gk_inotify_open(struct gk_ctx *ctx, uint32_t flags)
{
	int o;

	o = gk_ofd_new(ctx->gk, GK_INOTIFY,
	    GKA_O_RDONLY | (flags & GKA_O_NONBLOCK));
	return (o < 0 ? o : gk_open_fd(ctx, (uint32_t)o, flags));
}

/* One that is free, for watch 0, or the one of a watch; NULL */
static struct gk_watch *
gk_watch_find(struct gk *gk, uint32_t ofd1, uint32_t wd)
{
	uint32_t i;

	for (i = 0; i < GK_NWATCH; i++)
		if (GK_RD(gk->watch[i].ofd1) == ofd1 &&
		    (ofd1 == 0 || GK_RD(gk->watch[i].wd) == wd))
			return (&gk->watch[i]);
	return (NULL);
}

int64_t
gk_inotify_add(struct gk *gk, uint32_t ofd, uint64_t file, int excl)
{
	struct gk_ofd *o = gk_ofd_kind(gk, ofd, GK_INOTIFY);
	struct gk_watch *w;
	uint32_t i;

	if (o == NULL)
		return (-GKA_EINVAL);
	for (i = 0; i < GK_NWATCH; i++) {
		w = &gk->watch[i];
		if (GK_RD(w->ofd1) == ofd + 1 && GK_RD(w->file) == file)
			return (excl ? -GKA_EEXIST :
			    (int64_t)(GK_RD(w->wd) & INT32_MAX));
	}
	i = (GK_RD(o->u.inotify.last) + 1) & INT32_MAX;
	GK_WR(o->u.inotify.last, i);
	w = gk_watch_find(gk, 0, 0);
	if (w != NULL) {
		w->ofd1 = (uint16_t)(ofd + 1);
		w->wd = i;
		w->file = file;
	}
	return ((int64_t)i);
}

/* Watches that found no room in the table count too. */
int64_t
gk_inotify_remove(struct gk *gk, uint32_t ofd, uint32_t wd)
{
	struct gk_ofd *o = gk_ofd_kind(gk, ofd, GK_INOTIFY);
	struct gk_watch *w = gk_watch_find(gk, ofd + 1, wd);
	uint32_t n;

	if (o == NULL || (w == NULL && gk_watch_find(gk, 0, 0) != NULL) ||
	    wd == 0 || wd > GK_RD(o->u.inotify.last))
		return (-GKA_EINVAL);
	if (w != NULL)
		GK_WR(w->ofd1, 0);
	n = GK_RD(o->u.inotify.n);
	if (n < GK_NELEM(o->u.inotify.gone)) {
		GK_WR(o->u.inotify.gone[n], wd);
		GK_WR(o->u.inotify.n, n + 1);
	}
	gk_event(gk, o, GKA_EPOLLIN);
	return (0);
}

int64_t
gk_inotify_read(struct gk_ctx *ctx, struct gk_ofd *o, struct gk_iter *it,
    int nonblock)
{
	struct gk_in_event e = { .mask = GKA_IN_IGNORED };
	uint32_t n = GK_RD(o->u.inotify.n), i, done = 0;

	n = GK_MIN(n, (uint32_t)GK_NELEM(o->u.inotify.gone));
	if (n == 0)
		return (nonblock ? -GKA_EAGAIN : GK_BLOCK);
	if (it->total < sizeof(e))
		return (-GKA_EINVAL);
	for (; done < n && it->total >= sizeof(e); done++) {
		e.wd = (int32_t)GK_RD(o->u.inotify.gone[done]);
		if (gk_iter_put(ctx, it, &e, sizeof(e)))
			return (-GKA_EFAULT);
	}
	for (i = done; i < n; i++)
		GK_WR(o->u.inotify.gone[i - done],
		    GK_RD(o->u.inotify.gone[i]));
	GK_WR(o->u.inotify.n, n - done);
	return ((int64_t)(done * sizeof(e)));
}

void
gk_inotify_release(struct gk *gk, uint32_t ofd)
{
	uint32_t i;

	for (i = 0; i < GK_NWATCH; i++)
		if (GK_RD(gk->watch[i].ofd1) == ofd + 1)
			GK_WR(gk->watch[i].ofd1, 0);
}
