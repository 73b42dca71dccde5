/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * epoll(7): level, edge and one-shot registrations, sets inside sets.
 *
 * A set is a list through gk->epi[].  There are no links from a watched
 * description back to the sets: an edge is a counter in the description that
 * differs from the one the registration remembers.  Must never walk a list
 * further than the table is long, nor sets deeper than GK_NEST.
 */

#include "gk_priv.h"

#define GK_EXCL_OK	(GKA_EPOLLIN | GKA_EPOLLOUT | GKA_EPOLLERR | \
			GKA_EPOLLHUP | GKA_EPOLLWAKEUP | GKA_EPOLLET | \
			GKA_EPOLLEXCLUSIVE)

/* ---- lists -------------------------------------------------------------- */

/* The registration behind a link, if it is one of this set's. */
static struct gk_epi *
gk_epi_at(struct gk *gk, uint32_t set, uint32_t i1)
{
	struct gk_epi *e;

	if (i1 == 0 || i1 > GK_NEPI)
		return (NULL);
	e = &gk->epi[i1 - 1];
	if (!GK_RD(e->used) || GK_RD(e->epoll) != set)
		return (NULL);
	return (e);
}

static void
gk_epi_unlink(struct gk *gk, uint32_t set, uint32_t prev1, uint32_t i1)
{
	struct gk_ofd *s = &gk->ofd[set], *w;
	struct gk_epi *e = &gk->epi[i1 - 1];
	uint16_t next1 = GK_RD(e->next1);

	if (prev1 != 0)
		GK_WR(gk->epi[prev1 - 1].next1, next1);
	else
		GK_WR(s->u.epoll.first1, next1);
	if (GK_RD(s->u.epoll.last1) == i1)
		GK_WR(s->u.epoll.last1, (uint16_t)prev1);
	GK_WR(e->used, 0);
	w = gk_ofd_at(gk, GK_RD(e->ofd));
	if (w != NULL)
		GK_WR(w->nepi, GK_RD(w->nepi) - 1);
}

static void
gk_epi_link(struct gk *gk, uint32_t set, uint32_t i1)
{
	struct gk_ofd *s = &gk->ofd[set];
	uint32_t last1 = GK_RD(s->u.epoll.last1);

	GK_WR(gk->epi[i1 - 1].next1, 0);
	if (gk_epi_at(gk, set, last1) != NULL)
		GK_WR(gk->epi[last1 - 1].next1, (uint16_t)i1);
	else
		GK_WR(s->u.epoll.first1, (uint16_t)i1);
	GK_WR(s->u.epoll.last1, (uint16_t)i1);
}

/* By position: what is before i1 in its set's list; -1 if it is not there. */
static int
gk_epi_prev(struct gk *gk, uint32_t set, uint32_t i1)
{
	struct gk_epi *e;
	uint32_t cur1, prev1 = 0, n;

	cur1 = GK_RD(gk->ofd[set].u.epoll.first1);
	for (n = 0; n < GK_NEPI && cur1 != i1; n++) {
		e = gk_epi_at(gk, set, cur1);
		if (e == NULL)
			return (-1);
		prev1 = cur1;
		cur1 = GK_RD(e->next1);
	}
	return (cur1 == i1 ? (int)prev1 : -1);
}

/* The registration of (fd, ofd): its index + 1, or 0. */
static uint32_t
gk_epi_find(struct gk *gk, uint32_t set, uint32_t fd, uint32_t ofd,
    uint32_t *prev1)
{
	struct gk_epi *e;
	uint32_t cur1, n;

	*prev1 = 0;
	cur1 = GK_RD(gk->ofd[set].u.epoll.first1);
	for (n = 0; n < GK_NEPI; n++) {
		e = gk_epi_at(gk, set, cur1);
		if (e == NULL)
			return (0);
		if (GK_RD(e->fd) == fd && GK_RD(e->ofd) == ofd)
			return (cur1);
		*prev1 = cur1;
		cur1 = GK_RD(e->next1);
	}
	return (0);
}

static uint32_t
gk_epi_new(struct gk *gk)
{
	uint32_t i;

	for (i = 0; i < GK_NEPI; i++) {
		if (GK_RD(gk->epi[i].used))
			continue;
		if (GK_RD(gk->hi_epi) < i + 1)
			GK_WR(gk->hi_epi, i + 1);
		return (i + 1);
	}
	return (0);
}

/* The last descriptor of a watched description went. */
void
gk_epoll_forget(struct gk *gk, uint32_t ofd)
{
	struct gk_epi *e;
	uint32_t i, hi, set;
	int prev1;

	if (GK_RD(gk->ofd[ofd].nepi) == 0)
		return;
	hi = gk_hi(GK_RD(gk->hi_epi), GK_NEPI);
	for (i = 0; i < hi; i++) {
		e = &gk->epi[i];
		if (!GK_RD(e->used) || GK_RD(e->ofd) != ofd)
			continue;
		set = GK_RD(e->epoll);
		prev1 = gk_ofd_kind(gk, set, GK_EPOLL) == NULL ? -1 :
		    gk_epi_prev(gk, set, i + 1);
		if (prev1 >= 0)
			gk_epi_unlink(gk, set, (uint32_t)prev1, i + 1);
		else
			GK_WR(e->used, 0);
		if (GK_RD(gk->ofd[ofd].nepi) == 0)
			break;
	}
}

void
gk_epoll_release(struct gk *gk, uint32_t set)
{
	uint32_t n, first1;

	for (n = 0; n < GK_NEPI; n++) {
		first1 = GK_RD(gk->ofd[set].u.epoll.first1);
		if (gk_epi_at(gk, set, first1) == NULL)
			break;
		gk_epi_unlink(gk, set, 0, first1);
	}
}

/* ---- what a registration has to say ------------------------------------- */

/*
 * The edge counters.  A set has none of its own; anything that happens counts
 * as news of it.
 */
static void
gk_epi_edges(struct gk *gk, uint32_t ofd, uint32_t *in, uint32_t *out)
{
	struct gk_ofd *o = &gk->ofd[ofd];

	if (GK_RD(o->kind) == GK_EPOLL) {
		*in = *out = GK_RD(gk->gen);
		return;
	}
	*in = GK_RD(o->edge);
	*out = GK_RD(o->edge_out);
}

static int
gk_epi_news(struct gk *gk, struct gk_epi *e, uint32_t ofd, uint32_t events,
    uint32_t ready)
{
	uint32_t in, out;
	int new_in, new_out;

	if (!(events & GKA_EPOLLET) || GK_RD(e->fresh))
		return (1);
	gk_epi_edges(gk, ofd, &in, &out);
	new_in = in != GK_RD(e->seen);
	new_out = out != GK_RD(e->seen_out);
	/* A host file's edge says that it was drained, not that it is ready
	 * again: only what is ready counts. */
	if (GK_RD(gk->ofd[ofd].kind) == GK_HOST &&
	    !(ready & (GKA_EPOLLERR | GKA_EPOLLHUP)))
		events &= ready;
	else if (new_in && new_out)
		return (1);
	/* News of one direction only wakes who asked for it. */
	return ((new_in && (events & (GK_EV_IN | GKA_EPOLLPRI |
	    GKA_EPOLLRDBAND | GKA_EPOLLRDHUP))) ||
	    (new_out && (events & (GK_EV_OUT | GKA_EPOLLWRBAND))));
}

/* Events to report; GK_POLL_NOTMINE if only the VMM knows. */
static uint32_t
gk_epi_ready(struct gk_ctx *ctx, struct gk_epi *e, unsigned depth,
    uint32_t *budget)
{
	uint32_t events = GK_RD(e->events), ofd = GK_RD(e->ofd), m;

	if (ofd >= GK_NOFD || GK_RD(e->disabled))
		return (0);
	events |= GKA_EPOLLERR | GKA_EPOLLHUP;
	/* First the look, which may find that a timer has expired. */
	m = gk_poll_in(ctx, ofd, events & 0xffff, depth, budget);
	if (m & GK_POLL_NOTMINE)
		return (GK_POLL_NOTMINE);
	m &= events & 0xffff;
	if (m != 0 && !gk_epi_news(ctx->gk, e, ofd, events, m))
		m = 0;
	return (m);
}

/* A set seen from outside: poll of its descriptor. */
uint32_t
gk_epoll_ready(struct gk_ctx *ctx, uint32_t set, unsigned depth,
    uint32_t *budget)
{
	struct gk *gk = ctx->gk;
	struct gk_epi *e;
	uint32_t cur1, m;

	cur1 = GK_RD(gk->ofd[set].u.epoll.first1);
	while (*budget > 0) {
		(*budget)--;
		e = gk_epi_at(gk, set, cur1);
		if (e == NULL)
			break;
		m = gk_epi_ready(ctx, e, depth, budget);
		if (m != 0)
			return (m & GK_POLL_NOTMINE ? m : GK_EV_IN);
		cur1 = GK_RD(e->next1);
	}
	return (0);
}

uint32_t
gk_epoll_listener(struct gk *gk, uint32_t set, unsigned depth,
    uint32_t *budget)
{
	struct gk_epi *e;
	uint32_t cur1, ofd, l;

	cur1 = GK_RD(gk->ofd[set].u.epoll.first1);
	while (*budget > 0) {
		(*budget)--;
		e = gk_epi_at(gk, set, cur1);
		if (e == NULL)
			break;
		cur1 = GK_RD(e->next1);
		ofd = GK_RD(e->ofd);
		if (GK_RD(e->disabled) || !(GK_RD(e->events) & GK_EV_IN))
			continue;
		if (gk_ofd_kind(gk, ofd, GK_LISTENER) != NULL)
			return (ofd + 1);
		if (depth >= GK_NEST || gk_ofd_kind(gk, ofd, GK_EPOLL) == NULL)
			continue;
		l = gk_epoll_listener(gk, ofd, depth + 1, budget);
		if (l != 0)
			return (l);
	}
	return (0);
}

/* ---- create, ctl -------------------------------------------------------- */

int64_t
gk_epoll_create1(struct gk_ctx *ctx, const uint64_t a[6])
{
	int o;

	if ((uint32_t)a[0] & ~(uint32_t)GKA_EPOLL_CLOEXEC)
		return (-GKA_EINVAL);
	o = gk_ofd_new(ctx->gk, GK_EPOLL, GKA_O_RDWR);
	if (o < 0)
		return (o);
	return (gk_open_fd(ctx, (uint32_t)o, (uint32_t)a[0]));
}

int64_t
gk_epoll_create(struct gk_ctx *ctx, const uint64_t a[6])
{
	const uint64_t b[6] = { 0, 0, 0, 0, 0, 0 };

	if ((int32_t)a[0] <= 0)
		return (-GKA_EINVAL);
	return (gk_epoll_create1(ctx, b));
}

/* How many sets deep it is; more than GK_NEST for a loop. */
static unsigned
gk_epoll_height(struct gk *gk, uint32_t set, unsigned depth, uint32_t *budget)
{
	struct gk_epi *e;
	uint32_t cur1, ofd;
	unsigned h = 1, c;

	cur1 = GK_RD(gk->ofd[set].u.epoll.first1);
	while ((e = gk_epi_at(gk, set, cur1)) != NULL) {
		if (depth > GK_NEST || *budget == 0)
			return (GK_NEST + 1);
		(*budget)--;
		cur1 = GK_RD(e->next1);
		ofd = GK_RD(e->ofd);
		if (gk_ofd_kind(gk, ofd, GK_EPOLL) == NULL)
			continue;
		c = 1 + gk_epoll_height(gk, ofd, depth + 1, budget);
		h = c > h ? c : h;
		if (h > GK_NEST)
			break;
	}
	return (h);
}

static int
gk_epoll_too_deep(struct gk *gk)
{
	uint32_t i, hi, budget = 16 * GK_BUDGET;

	hi = gk_hi(GK_RD(gk->hi_ofd), GK_NOFD);
	for (i = 0; i < hi; i++)
		if (gk_ofd_kind(gk, i, GK_EPOLL) != NULL &&
		    gk_epoll_height(gk, i, 1, &budget) > GK_NEST)
			return (1);
	return (0);
}

static void
gk_epi_set(struct gk_epi *e, const struct gka_epoll_event *ev)
{

	GK_WR(e->events, ev->events | GKA_EPOLLERR | GKA_EPOLLHUP);
	GK_WR(e->data, ev->data);
	GK_WR(e->disabled, 0);
	GK_WR(e->fresh, 1);
}

static int64_t
gk_epoll_add(struct gk *gk, uint32_t set, uint32_t fd, uint32_t ofd,
    const struct gka_epoll_event *ev)
{
	struct gk_ofd *o = &gk->ofd[ofd];
	struct gk_epi *e;
	uint32_t i1, prev1;
	int p;

	if (gk_epi_find(gk, set, fd, ofd, &prev1) != 0)
		return (-GKA_EEXIST);
	i1 = gk_epi_new(gk);
	if (i1 == 0)
		return (-GKA_ENOSPC);
	e = &gk->epi[i1 - 1];
	gk_epi_set(e, ev);
	GK_WR(e->epoll, (uint16_t)set);
	GK_WR(e->fd, (uint16_t)fd);
	GK_WR(e->ofd, (uint16_t)ofd);
	GK_WR(e->used, 1);
	GK_WR(o->nepi, GK_RD(o->nepi) + 1);
	gk_epi_link(gk, set, i1);
	if (GK_RD(o->kind) == GK_EPOLL && gk_epoll_too_deep(gk)) {
		p = gk_epi_prev(gk, set, i1);
		if (p >= 0)
			gk_epi_unlink(gk, set, (uint32_t)p, i1);
		return (-GKA_ELOOP);
	}
	return (0);
}

static int64_t
gk_epoll_mod(struct gk *gk, uint32_t set, uint32_t fd, uint32_t ofd,
    const struct gka_epoll_event *ev)
{
	struct gk_epi *e;
	uint32_t i1, prev1;

	i1 = gk_epi_find(gk, set, fd, ofd, &prev1);
	if (i1 == 0)
		return (-GKA_ENOENT);
	e = &gk->epi[i1 - 1];
	if (GK_RD(e->events) & GKA_EPOLLEXCLUSIVE)
		return (-GKA_EINVAL);
	gk_epi_set(e, ev);
	return (0);
}

static int64_t
gk_epoll_del(struct gk *gk, uint32_t set, uint32_t fd, uint32_t ofd)
{
	uint32_t i1, prev1;

	i1 = gk_epi_find(gk, set, fd, ofd, &prev1);
	if (i1 == 0)
		return (-GKA_ENOENT);
	gk_epi_unlink(gk, set, prev1, i1);
	return (0);
}

/* May the target be watched, and this way? */
static int64_t
gk_epoll_check(struct gk_ctx *ctx, uint32_t set, uint32_t ofd, uint32_t op,
    uint32_t events)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o = &gk->ofd[ofd];
	unsigned kind;

	kind = GK_RD(o->kind);
	if (kind == GK_HOST) {
		if (ctx->host_poll == NULL)
			return (GK_NOTMINE);
		if (ctx->host_poll(ctx, GK_RD(o->u.host.idx), 0) &
		    GK_POLL_FILE)
			return (-GKA_EPERM);
	}
	if (set == ofd || gk_ofd_kind(gk, set, GK_EPOLL) == NULL)
		return (-GKA_EINVAL);
	if (op == GKA_EPOLL_CTL_DEL || !(events & GKA_EPOLLEXCLUSIVE))
		return (0);
	if (op == GKA_EPOLL_CTL_MOD || kind == GK_EPOLL ||
	    (events & ~GK_EXCL_OK))
		return (-GKA_EINVAL);
	return (0);
}

int64_t
gk_epoll_ctl(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk *gk = ctx->gk;
	struct gka_epoll_event ev = { 0, 0 };
	uint32_t op = (uint32_t)a[1], fd = (uint32_t)a[2], set, ofd;
	int64_t r;

	if (op != GKA_EPOLL_CTL_DEL && gk_copyin(ctx, &ev, a[3], sizeof(ev)))
		return (-GKA_EFAULT);
	if (gk_fd_get(gk, (uint32_t)a[0], &set) == NULL ||
	    gk_fd_get(gk, fd, &ofd) == NULL)
		return (-GKA_EBADF);
	r = gk_epoll_check(ctx, set, ofd, op, ev.events);
	if (r != 0)
		return (r);
	switch (op) {
	case GKA_EPOLL_CTL_ADD:
		r = gk_epoll_add(gk, set, fd, ofd, &ev);
		break;
	case GKA_EPOLL_CTL_MOD:
		r = gk_epoll_mod(gk, set, fd, ofd, &ev);
		break;
	case GKA_EPOLL_CTL_DEL:
		return (gk_epoll_del(gk, set, fd, ofd));
	default:
		return (-GKA_EINVAL);
	}
	if (r == 0)
		gk_event(gk, &gk->ofd[set], GKA_EPOLLIN);
	return (r);
}

/* ---- wait --------------------------------------------------------------- */

static void
gk_epi_reported(struct gk *gk, struct gk_epi *e)
{
	uint32_t ofd = GK_RD(e->ofd), in = 0, out = 0;

	if (ofd < GK_NOFD)
		gk_epi_edges(gk, ofd, &in, &out);
	GK_WR(e->seen, in);
	GK_WR(e->seen_out, out);
	GK_WR(e->fresh, 0);
	if (GK_RD(e->events) & GKA_EPOLLONESHOT)
		GK_WR(e->disabled, 1);
}

/*
 * The caller's array is full: begin after this one next time, so that busy
 * descriptors do not hide others.
 */
static void
gk_epoll_rotate(struct gk *gk, uint32_t set, uint32_t cur1)
{
	struct gk_ofd *s = &gk->ofd[set];
	struct gk_epi *e, *last;
	uint16_t next1, first1, last1;

	e = gk_epi_at(gk, set, cur1);
	if (e == NULL)
		return;
	next1 = GK_RD(e->next1);
	last1 = GK_RD(s->u.epoll.last1);
	first1 = GK_RD(s->u.epoll.first1);
	last = gk_epi_at(gk, set, last1);
	if (next1 == 0 || last == NULL || last == e)
		return;
	GK_WR(last->next1, first1);
	GK_WR(s->u.epoll.first1, next1);
	GK_WR(e->next1, 0);
	GK_WR(s->u.epoll.last1, (uint16_t)cur1);
}

static int64_t
gk_epoll_report(struct gk_ctx *ctx, struct gk_epi *e, uint32_t m, uint64_t ua)
{
	struct gka_epoll_event ev;

	ev.events = m;
	ev.data = GK_RD(e->data);
	if (gk_copyout(ctx, ua, &ev, sizeof(ev)))
		return (-GKA_EFAULT);
	gk_epi_reported(ctx->gk, e);
	return (0);
}

static int64_t
gk_epoll_collect(struct gk_ctx *ctx, uint32_t set, uint64_t ua, uint32_t max)
{
	struct gk *gk = ctx->gk;
	struct gk_epi *e;
	uint32_t cur1, prev1 = 0, n, m, cnt = 0, budget = GK_BUDGET;

	cur1 = GK_RD(gk->ofd[set].u.epoll.first1);
	for (n = 0; n < GK_NEPI && cnt < max; n++) {
		e = gk_epi_at(gk, set, cur1);
		if (e == NULL)
			return (cnt);
		m = gk_epi_ready(ctx, e, 0, &budget);
		if ((m & GK_POLL_NOTMINE) && cnt == 0)
			return (GK_NOTMINE);
		if (m & GK_POLL_NOTMINE)
			break;		/* the VMM's turn next time */
		if (m != 0 && gk_epoll_report(ctx, e, m,
		    ua + cnt * sizeof(struct gka_epoll_event)))
			return (cnt > 0 ? (int64_t)cnt : -GKA_EFAULT);
		cnt += m != 0;
		prev1 = cur1;
		cur1 = GK_RD(e->next1);
	}
	gk_epoll_rotate(gk, set, prev1);
	return (cnt);
}

static int64_t
gk_epoll_do(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t set;
	int32_t max = (int32_t)a[2];
	int64_t r;

	if (max <= 0 ||
	    max > (int32_t)(INT32_MAX / sizeof(struct gka_epoll_event)))
		return (-GKA_EINVAL);
	if (gk_fd_get(ctx->gk, (uint32_t)a[0], &set) == NULL)
		return (-GKA_EBADF);
	if (gk_ofd_kind(ctx->gk, set, GK_EPOLL) == NULL)
		return (-GKA_EINVAL);
	r = gk_epoll_collect(ctx, set, a[1], (uint32_t)max);
	return (r != 0 ? r : gk_wait_over(ctx));
}

int64_t
gk_epoll_wait(struct gk_ctx *ctx, const uint64_t a[6])
{

	gk_wait_ms(ctx, (int32_t)a[3]);
	return (gk_epoll_do(ctx, a));
}

int64_t
gk_epoll_pwait(struct gk_ctx *ctx, const uint64_t a[6])
{
	int64_t r;

	r = gk_check_sigset(a[4], a[5]);
	return (r != 0 ? r : gk_epoll_wait(ctx, a));
}

int64_t
gk_epoll_pwait2(struct gk_ctx *ctx, const uint64_t a[6])
{
	int64_t r;

	r = gk_wait_ts(ctx, a[3], 0);
	if (r == 0)
		r = gk_check_sigset(a[4], a[5]);
	return (r != 0 ? r : gk_epoll_do(ctx, a));
}
