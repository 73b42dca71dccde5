/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * inotify sets: their watches, and a ring of events as read(2) gives them out.
 * What happens to files is told by the VMM (src/linux/notify.c).
 */

#include "gk_priv.h"

#define GKA_IN_IGNORED		0x00008000U
#define GKA_IN_Q_OVERFLOW	0x00004000U
#define GKA_IN_ALL		0x00000fffU
#define GKA_IN_DELETE_SELF	0x00000400U
#define GKA_IN_MASK_CREATE	0x10000000U
#define GKA_IN_MASK_ADD		0x20000000U
#define GKA_IN_ONESHOT		0x80000000U

#define GK_IN_MAX	16384		/* as max_queued_events is by default */

/* The reset compares the first page of struct gk as a whole. */
_Static_assert(offsetof(struct gk, fd) == 4096, "marks are in one page");

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

/* ---- events ------------------------------------------------------------- */

/* Is it what the newest event says, too?  Then Linux does not repeat it. */
static int
gk_in_same(const struct gk_view *v, uint32_t newest,
    const struct gk_in_event *e, const char *name, size_t len)
{
	struct gk_view w = *v;
	struct gk_in_event old;
	char text[256];

	if (newest != sizeof(old) + e->len || newest > v->used ||
	    e->len > sizeof(text))
		return (0);
	w.tail = w.head - newest;
	(void)gk_view_pull(&w, &old, sizeof(old));
	if (old.wd != e->wd || old.mask != e->mask || old.len != e->len ||
	    (old.mask & GKA_IN_IGNORED))
		return (0);
	(void)gk_view_pull(&w, text, e->len);
	return (len == 0 || (gk_same(text, name, len) && text[len] == '\0'));
}

/* Names are padded with zeroes to whole events. */
static void
gk_in_push(struct gk_ctx *ctx, struct gk_ofd *o, struct gk_view *v,
    const struct gk_in_event *e, const char *name, size_t len)
{
	static const char zero[sizeof(*e)];

	(void)gk_view_push(ctx, v, e, sizeof(*e));
	if (e->len > 0) {
		(void)gk_view_push(ctx, v, name, len);
		(void)gk_view_push(ctx, v, zero, e->len - len);
	}
	gk_ring_wrote(&o->u.inotify.ring, v);
	GK_WR(o->u.inotify.newest, (uint32_t)(sizeof(*e) + e->len));
	GK_WR(o->u.inotify.n, GK_RD(o->u.inotify.n) + 1);
	gk_event(ctx->gk, o, GKA_EPOLLIN);
}

static void
gk_in_queue(struct gk_ctx *ctx, struct gk_ofd *o, struct gk_in_event *e,
    const char *name, size_t len)
{
	struct gk_view v;

	e->len = len == 0 ? 0 : (uint32_t)((len + sizeof(*e)) &
	    ~(sizeof(*e) - 1));
	if (GK_RD(o->u.inotify.ring.buf1) == 0 &&
	    gk_ring_new(ctx->gk, &o->u.inotify.ring, GK_BUFSZ) != 0)
		return;
	if (gk_ring_view(ctx->gk, &o->u.inotify.ring, &v) != 0 ||
	    gk_in_same(&v, GK_RD(o->u.inotify.newest), e, name, len))
		return;
	if (GK_RD(o->u.inotify.n) < GK_IN_MAX &&
	    v.space >= 2 * sizeof(*e) + e->len) {
		gk_in_push(ctx, o, &v, e, name, len);
		return;
	}
	/* The last one that fits says that others are missing. */
	if (GK_RD(o->u.inotify.lost) || v.space < sizeof(*e))
		return;
	GK_WR(o->u.inotify.lost, 1);
	*e = (struct gk_in_event){ .wd = -1, .mask = GKA_IN_Q_OVERFLOW };
	gk_in_push(ctx, o, &v, e, NULL, 0);
}

static void
gk_in_ignored(struct gk_ctx *ctx, struct gk_watch *w)
{
	struct gk_in_event e = { .wd = (int32_t)GK_RD(w->wd),
	    .mask = GKA_IN_IGNORED };
	struct gk_ofd *o;

	o = gk_ofd_kind(ctx->gk, GK_RD(w->ofd1) - 1U, GK_INOTIFY);
	GK_WR(w->ofd1, 0);
	if (o != NULL)
		gk_in_queue(ctx, o, &e, NULL, 0);
}

void
gk_inotify_event(struct gk_ctx *ctx, uint64_t file, uint32_t mask,
    uint32_t cookie, const char *name, size_t len)
{
	struct gk *gk = ctx->gk;
	struct gk_in_event e;
	struct gk_watch *w;
	struct gk_ofd *o;
	uint32_t i, want;

	for (i = 0; i < gk_hi(GK_RD(gk->hi_watch), GK_NWATCH); i++) {
		w = &gk->watch[i];
		if (GK_RD(w->ofd1) == 0 || GK_RD(w->file) != file)
			continue;
		o = gk_ofd_kind(gk, GK_RD(w->ofd1) - 1U, GK_INOTIFY);
		want = GK_RD(w->mask);
		if (o != NULL && (mask & want & GKA_IN_ALL)) {
			e.wd = (int32_t)GK_RD(w->wd);
			e.mask = mask;
			e.cookie = cookie;
			gk_in_queue(ctx, o, &e, name, len);
			if (want & GKA_IN_ONESHOT)
				gk_in_ignored(ctx, w);
		}
		if ((mask & GKA_IN_DELETE_SELF) && GK_RD(w->ofd1) != 0)
			gk_in_ignored(ctx, w);
	}
}

/* ---- watches ------------------------------------------------------------ */

/* One that is free, for ofd1 0, or that of a number; NULL */
static struct gk_watch *
gk_watch_find(struct gk *gk, uint32_t ofd1, uint32_t wd)
{
	uint32_t i, n;

	n = ofd1 == 0 ? GK_NWATCH : gk_hi(GK_RD(gk->hi_watch), GK_NWATCH);
	for (i = 0; i < n; i++)
		if (GK_RD(gk->watch[i].ofd1) == ofd1 &&
		    (ofd1 == 0 || GK_RD(gk->watch[i].wd) == wd))
			return (&gk->watch[i]);
	return (NULL);
}

static int64_t
gk_watch_new(struct gk *gk, struct gk_ofd *o, uint32_t ofd, uint64_t file,
    uint32_t mask)
{
	struct gk_watch *w;
	uint32_t wd, hi;

	wd = (GK_RD(o->u.inotify.last) + 1) & INT32_MAX;
	GK_WR(o->u.inotify.last, wd);
	w = gk_watch_find(gk, 0, 0);
	if (w == NULL)
		return ((int64_t)wd);	/* one more that sees nothing */
	hi = (uint32_t)(w - gk->watch) + 1;
	if (GK_RD(gk->hi_watch) < hi)
		GK_WR(gk->hi_watch, hi);
	w->ofd1 = (uint16_t)(ofd + 1);
	w->wd = wd;
	w->mask = mask;
	w->file = file;
	return ((int64_t)wd);
}

int64_t
gk_inotify_add(struct gk *gk, uint32_t ofd, uint64_t file, uint32_t mask)
{
	struct gk_ofd *o = gk_ofd_kind(gk, ofd, GK_INOTIFY);
	struct gk_watch *w;
	uint32_t i;

	if (o == NULL)
		return (-GKA_EINVAL);
	for (i = 0; i < gk_hi(GK_RD(gk->hi_watch), GK_NWATCH); i++) {
		w = &gk->watch[i];
		if (GK_RD(w->ofd1) != ofd + 1 || GK_RD(w->file) != file)
			continue;
		if (mask & GKA_IN_MASK_CREATE)
			return (-GKA_EEXIST);
		if (mask & GKA_IN_MASK_ADD)
			mask |= GK_RD(w->mask);
		GK_WR(w->mask, mask);
		return ((int64_t)(GK_RD(w->wd) & INT32_MAX));
	}
	return (gk_watch_new(gk, o, ofd, file, mask));
}

/* Watches that found no room in the table count too. */
int64_t
gk_inotify_remove(struct gk_ctx *ctx, uint32_t ofd, uint32_t wd)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o = gk_ofd_kind(gk, ofd, GK_INOTIFY);
	struct gk_in_event e = { .wd = (int32_t)wd, .mask = GKA_IN_IGNORED };
	struct gk_watch *w = gk_watch_find(gk, ofd + 1, wd);

	if (o == NULL || (w == NULL && gk_watch_find(gk, 0, 0) != NULL) ||
	    wd == 0 || wd > GK_RD(o->u.inotify.last))
		return (-GKA_EINVAL);
	if (w != NULL)
		gk_in_ignored(ctx, w);
	else
		gk_in_queue(ctx, o, &e, NULL, 0);
	return (0);
}

/* ---- reading ------------------------------------------------------------ */

int64_t
gk_inotify_read(struct gk_ctx *ctx, struct gk_ofd *o, struct gk_iter *it,
    int nonblock)
{
	struct gk_in_event e;
	struct gk_view v, w;
	uint64_t done = 0;
	uint32_t size;

	(void)gk_ring_view(ctx->gk, &o->u.inotify.ring, &v);
	if (v.used == 0)
		return (nonblock ? -GKA_EAGAIN : GK_BLOCK);
	while (v.head - v.tail >= sizeof(e)) {
		w = v;
		(void)gk_view_pull(&w, &e, sizeof(e));
		/* The program may have written in the ring. */
		size = (uint32_t)sizeof(e) + GK_MIN(e.len, 512U);
		if (size > v.head - v.tail)
			size = v.head - v.tail;
		if (size > it->total)
			break;
		if (gk_view_drain(ctx, &v, it, size) < size) {
			if (done == 0)
				return (-GKA_EFAULT);
			break;
		}
		if (e.mask & GKA_IN_Q_OVERFLOW)
			GK_WR(o->u.inotify.lost, 0);
		GK_WR(o->u.inotify.n, GK_RD(o->u.inotify.n) - 1);
		done += size;
		w = v;
		(void)gk_ring_took(&o->u.inotify.ring, &w, 0);
	}
	return (done > 0 ? (int64_t)done : -GKA_EINVAL);
}

void
gk_inotify_release(struct gk *gk, uint32_t ofd)
{
	struct gk_ofd *o = gk_ofd_kind(gk, ofd, GK_INOTIFY);
	uint32_t i;

	if (o != NULL)
		gk_ring_free(gk, &o->u.inotify.ring);
	for (i = 0; i < gk_hi(GK_RD(gk->hi_watch), GK_NWATCH); i++)
		if (GK_RD(gk->watch[i].ofd1) == ofd + 1)
			GK_WR(gk->watch[i].ofd1, 0);
}
