/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Readiness: what a description would answer now, and poll(2), select(2) on
 * top of that.  epoll is in gk_epoll.c.
 *
 * Waiting is the VMM's: a call either answers or says GK_BLOCK and leaves its
 * limit in ctx->deadline.  Must never look further than GK_NEST sets deep.
 */

#include "gk_priv.h"

#define GK_NEVER	UINT64_MAX

/* ---- readiness ---------------------------------------------------------- */

static uint32_t
gk_poll_conn(struct gk *gk, struct gk_ofd *o)
{
	struct gk_view v;
	uint32_t m = 0;
	int rshut, wshut;

	rshut = GK_RD(o->u.conn.rx.shut) != 0;
	wshut = GK_RD(o->u.conn.tx.shut) != 0;
	if (rshut || gk_ring_used(gk, &o->u.conn.rx) > 0)
		m |= GK_EV_IN;
	if (rshut)
		m |= GKA_EPOLLRDHUP;
	if (rshut && wshut)
		m |= GKA_EPOLLHUP;
	if (wshut || gk_ring_view(gk, &o->u.conn.tx, &v) ||
	    gk_view_writable(v.used, v.cap, 0))
		m |= GK_EV_OUT;
	if (GK_RD(o->u.conn.err) != 0)
		m |= GKA_EPOLLERR;
	return (m);
}

/* May it never write again?  With TCP the other end's close(2) alone does not
 * say so. */
static int
gk_pair_wshut(struct gk_ofd *o, struct gk_ring *out)
{

	if (gk_is_tcp(o))
		return (GK_RD(o->u.conn.dropped) || GK_RD(o->u.conn.tx.shut));
	if (out == NULL)
		return (GK_RD(o->u.conn.type) != GKA_SOCK_DGRAM);
	return (GK_RD(out->shut) != 0);
}

static uint32_t
gk_poll_pair(struct gk *gk, uint32_t ofd)
{
	struct gk_ofd *o = &gk->ofd[ofd];
	struct gk_ring *out;
	struct gk_view v;
	uint32_t m = 0, peer;
	int rshut, wshut;

	out = gk_ring_out(gk, ofd, GK_PAIR, &peer);
	rshut = GK_RD(o->u.conn.rx.shut) != 0;
	wshut = gk_pair_wshut(o, out);
	if (rshut || gk_ring_used(gk, &o->u.conn.rx) > 0)
		m |= GK_EV_IN;
	if (rshut)
		m |= GKA_EPOLLRDHUP;
	if (rshut && wshut)
		m |= GKA_EPOLLHUP;
	if (out == NULL || gk_ring_view(gk, out, &v) ||
	    gk_view_writable(v.used, v.cap, 0) || (wshut && gk_is_tcp(o)))
		m |= GK_EV_OUT | (gk_is_tcp(o) ? 0 : GKA_EPOLLWRBAND);
	if (GK_RD(o->u.conn.err) != 0)
		m |= GKA_EPOLLERR;
	return (m);
}

/* Not connected: nothing, while it is on its way; else to be seen at once */
static uint32_t
gk_poll_socket(struct gk_ofd *o)
{

	uint16_t err = GK_RD(o->u.sock.err);
	uint32_t m = GK_EV_OUT | GKA_EPOLLHUP;

	if (gk_connecting(o))
		return (0);
	if (err != 0)
		m |= GKA_EPOLLERR;
	/* By its own shutdown(2) it is not the end of anything. */
	if (err != 0 && err != GKA_ECONNRESET)
		m |= GK_EV_IN | GKA_EPOLLRDHUP;
	return (m);
}

static uint32_t
gk_poll_pipe(struct gk *gk, uint32_t ofd, unsigned kind)
{
	struct gk_ofd *o = &gk->ofd[ofd];
	struct gk_ring *r;
	struct gk_view v;
	uint32_t m = 0, peer;

	if (kind == GK_PIPE_R) {
		if (gk_ring_used(gk, &o->u.pipe.ring) > 0)
			m |= GK_EV_IN;
		/* The end of what has not begun is none, fifo(7). */
		if (GK_RD(o->u.pipe.ring.shut) && !GK_RD(o->u.pipe.alone))
			m |= GKA_EPOLLHUP;
		return (m);
	}
	r = gk_ring_out(gk, ofd, kind, &peer);
	if (r == NULL)
		return (GK_EV_OUT | GKA_EPOLLERR);
	if (gk_ring_view(gk, r, &v) || gk_view_writable(v.used, v.cap, 1))
		m |= GK_EV_OUT;
	return (m);
}

static uint32_t
gk_poll_eventfd(struct gk_ofd *o)
{
	uint64_t c = GK_RD(o->u.event.count);

	return ((c > 0 ? GKA_EPOLLIN : 0) |
	    (c == UINT64_MAX ? GKA_EPOLLERR : 0) |
	    (c < UINT64_MAX - 1 ? GKA_EPOLLOUT : 0));
}

uint32_t
gk_poll_in(struct gk_ctx *ctx, uint32_t ofd, uint32_t events, unsigned depth,
    uint32_t *budget)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	unsigned kind;

	o = gk_ofd_at(gk, ofd);
	if (o == NULL)
		return (0);
	kind = GK_RD(o->kind);
	switch (kind) {
	case GK_HOST:
		if (ctx->host_poll == NULL)
			return (GK_POLL_NOTMINE);
		return (ctx->host_poll(ctx, GK_RD(o->u.host.idx), events) &
		    ~GK_POLL_NOTMINE);
	case GK_SOCKET:
		return (gk_poll_socket(o));
	case GK_LISTENER:
		return (GK_RD(o->u.sock.nqueue) > 0 ? GK_EV_IN : 0);
	case GK_CONN:
		return (gk_poll_conn(gk, o));
	case GK_DGRAM:
		return (gk_dgram_poll(gk, o));
	case GK_PAIR:
		return (gk_poll_pair(gk, ofd));
	case GK_PIPE_R:
	case GK_PIPE_W:
		return (gk_poll_pipe(gk, ofd, kind));
	case GK_EVENTFD:
		return (gk_poll_eventfd(o));
	case GK_INOTIFY:
		return (gk_ring_used(gk, &o->u.inotify.ring) > 0 ? GK_EV_IN : 0);
	case GK_TIMERFD:
		gk_timer_update(ctx, o);
		return (GK_RD(o->u.timer.fired) > 0 ? GKA_EPOLLIN : 0);
	case GK_EPOLL:
		if (depth >= GK_NEST)
			return (0);
		return (gk_epoll_ready(ctx, ofd, depth + 1, budget));
	default:
		return (0);
	}
}

uint32_t
gk_ofd_poll(struct gk_ctx *ctx, uint32_t ofd, uint32_t events)
{
	uint32_t budget = GK_BUDGET;

	return (gk_poll_in(ctx, ofd, events, 0, &budget) &
	    ~(GK_POLL_NOTMINE | GK_POLL_FILE));
}

/* ---- deadlines ---------------------------------------------------------- */

void
gk_wait_ns(struct gk_ctx *ctx, uint64_t ns)
{

	if (ctx->restart)
		return;
	ctx->deadline = ns >= GK_NEVER - ctx->now_mono ? GK_NEVER :
	    ctx->now_mono + ns;
}

void
gk_wait_ms(struct gk_ctx *ctx, int32_t ms)
{

	gk_wait_ns(ctx, ms < 0 ? GK_NEVER : (uint64_t)ms * 1000000);
}

void
gk_wait_timeo(struct gk_ctx *ctx, uint32_t ms)
{

	if (ms != 0)
		gk_wait_ms(ctx, (int32_t)GK_MIN(ms, (uint32_t)INT32_MAX));
}

/* From a timespec, or with usec a timeval, of the caller's; 0: for ever. */
int64_t
gk_wait_ts(struct gk_ctx *ctx, uint64_t uts, int usec)
{
	struct gka_timespec ts;

	if (ctx->restart)
		return (0);
	if (uts == 0) {
		gk_wait_ns(ctx, GK_NEVER);
		return (0);
	}
	if (gk_copyin(ctx, &ts, uts, sizeof(ts)))
		return (-GKA_EFAULT);
	if (ts.sec < 0 || ts.nsec < 0)
		return (-GKA_EINVAL);
	if (usec) {
		if (ts.sec > INT64_MAX - ts.nsec / 1000000)
			return (-GKA_EINVAL);
		ts.sec += ts.nsec / 1000000;
		ts.nsec = ts.nsec % 1000000 * 1000;
	}
	if (ts.nsec >= 1000000000)
		return (-GKA_EINVAL);
	if (ts.sec >= INT64_MAX / 1000000000)
		gk_wait_ns(ctx, GK_NEVER);
	else
		gk_wait_ns(ctx, (uint64_t)ts.sec * 1000000000 +
		    (uint64_t)ts.nsec);
	return (0);
}

/* Nothing is ready: 0 if the time is up. */
int64_t
gk_wait_over(const struct gk_ctx *ctx)
{

	return (ctx->now_mono >= ctx->deadline ? 0 : GK_BLOCK);
}

/* ppoll and select say how much time was left. */
static void
gk_wait_left(struct gk_ctx *ctx, uint64_t uts, int usec)
{
	struct gka_timespec ts;
	uint64_t left = 0;

	if (uts == 0 || ctx->deadline == GK_NEVER)
		return;
	if (ctx->deadline > ctx->now_mono)
		left = ctx->deadline - ctx->now_mono;
	ts.sec = (int64_t)(left / 1000000000);
	ts.nsec = (int64_t)(left % 1000000000) / (usec ? 1000 : 1);
	(void)gk_copyout(ctx, uts, &ts, sizeof(ts));
}

/* The mask itself is the VMM's business. */
int64_t
gk_check_sigset(uint64_t set, uint64_t size)
{

	return (set != 0 && size != 8 ? -GKA_EINVAL : 0);
}

/* ---- poll --------------------------------------------------------------- */

/* 1 if there is something to report, 0, or GK_NOTMINE. */
static int64_t
gk_poll_one(struct gk_ctx *ctx, struct gka_pollfd *p, uint32_t *budget)
{
	uint32_t m, ofd, want;

	p->revents = 0;
	if (p->fd < 0)
		return (0);
	if (gk_fd_get(ctx->gk, (uint32_t)p->fd, &ofd) == NULL) {
		p->revents = GKA_POLLNVAL;
		return (1);
	}
	want = p->events | GKA_EPOLLERR | GKA_EPOLLHUP;
	m = gk_poll_in(ctx, ofd, want, 0, budget);
	if (m & GK_POLL_NOTMINE)
		return (GK_NOTMINE);
	p->revents = (uint16_t)(m & want);
	return (p->revents != 0);
}

static int64_t
gk_poll_scan(struct gk_ctx *ctx, uint64_t ua, uint32_t nfds)
{
	struct gka_pollfd p[16];
	uint32_t i, j, n, budget = GK_BUDGET;
	uint16_t old;
	int64_t cnt = 0, r;
	int dirty;

	for (i = 0; i < nfds; i += n) {
		n = GK_MIN(nfds - i, (uint32_t)GK_NELEM(p));
		if (gk_copyin(ctx, p, ua + i * sizeof(p[0]), n * sizeof(p[0])))
			return (-GKA_EFAULT);
		dirty = 0;
		for (j = 0; j < n; j++) {
			old = p[j].revents;
			r = gk_poll_one(ctx, &p[j], &budget);
			if (r < 0)
				return (r);
			cnt += r;
			dirty |= old != p[j].revents;
		}
		if (dirty && gk_copyout(ctx, ua + i * sizeof(p[0]), p,
		    n * sizeof(p[0])))
			return (-GKA_EFAULT);
	}
	return (cnt);
}

static int64_t
gk_poll_do(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t nfds = (uint32_t)a[1];
	int64_t r;

	if (nfds > GK_NFD)
		return (-GKA_EINVAL);
	r = gk_poll_scan(ctx, a[0], nfds);
	return (r != 0 ? r : gk_wait_over(ctx));
}

int64_t
gk_poll(struct gk_ctx *ctx, const uint64_t a[6])
{

	gk_wait_ms(ctx, (int32_t)a[2]);
	return (gk_poll_do(ctx, a));
}

int64_t
gk_ppoll(struct gk_ctx *ctx, const uint64_t a[6])
{
	int64_t r;

	r = gk_wait_ts(ctx, a[2], 0);
	if (r == 0)
		r = gk_check_sigset(a[3], a[4]);
	if (r != 0)
		return (r);
	r = gk_poll_do(ctx, a);
	if (r >= 0)
		gk_wait_left(ctx, a[2], 0);
	return (r);
}

/* ---- select ------------------------------------------------------------- */

#define GK_SELIN	(GK_EV_IN | GKA_EPOLLRDBAND | GKA_EPOLLHUP | \
			GKA_EPOLLERR)
#define GK_SELOUT	(GK_EV_OUT | GKA_EPOLLWRBAND | GKA_EPOLLERR)
#define GK_SELEX	GKA_EPOLLPRI

#define GK_SELWORDS	(GK_NFD / 64)

struct gk_sets {
	uint64_t	w[3][GK_SELWORDS];	/* in: wanted, out: ready */
};

static const uint32_t gk_selmask[3] = { GK_SELIN, GK_SELOUT, GK_SELEX };

static int64_t
gk_sets_in(struct gk_ctx *ctx, struct gk_sets *s, const uint64_t a[6],
    uint32_t nfds)
{
	uint32_t words = (nfds + 63) / 64, k;

	gk_zero(s, sizeof(*s));
	for (k = 0; k < 3; k++) {
		if (a[1 + k] == 0 || nfds == 0)
			continue;
		if (gk_copyin(ctx, s->w[k], a[1 + k], words * 8))
			return (-GKA_EFAULT);
		if (nfds % 64 != 0)
			s->w[k][words - 1] &= (1ULL << (nfds % 64)) - 1;
	}
	return (0);
}

/* One descriptor: its bits become those that are ready. */
static int64_t
gk_select_fd(struct gk_ctx *ctx, struct gk_sets *s, uint32_t fd,
    uint32_t *budget)
{
	const uint64_t bit = 1ULL << (fd % 64);
	uint32_t ofd, want = 0, m, k;
	int64_t cnt = 0;

	for (k = 0; k < 3; k++)
		if (s->w[k][fd / 64] & bit)
			want |= gk_selmask[k];
	if (gk_fd_get(ctx->gk, fd, &ofd) == NULL)
		return (-GKA_EBADF);
	m = gk_poll_in(ctx, ofd, want, 0, budget);
	if (m & GK_POLL_NOTMINE)
		return (GK_NOTMINE);
	for (k = 0; k < 3; k++) {
		if (!(s->w[k][fd / 64] & bit))
			continue;
		if (m & gk_selmask[k])
			cnt++;
		else
			s->w[k][fd / 64] &= ~bit;
	}
	return (cnt);
}

static int64_t
gk_select_do(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_sets s;
	uint32_t nfds, fd, k, budget = GK_BUDGET;
	int64_t cnt = 0, r;

	if ((int32_t)a[0] < 0)
		return (-GKA_EINVAL);
	nfds = GK_MIN((uint32_t)a[0], (uint32_t)GK_NFD);
	r = gk_sets_in(ctx, &s, a, nfds);
	if (r != 0)
		return (r);
	for (fd = 0; fd < nfds; fd++) {
		if (!((s.w[0][fd / 64] | s.w[1][fd / 64] | s.w[2][fd / 64]) &
		    (1ULL << (fd % 64))))
			continue;
		r = gk_select_fd(ctx, &s, fd, &budget);
		if (r < 0)
			return (r);
		cnt += r;
	}
	if (cnt == 0 && gk_wait_over(ctx) != 0)
		return (GK_BLOCK);
	for (k = 0; k < 3; k++)
		if (a[1 + k] != 0 && nfds > 0 &&
		    gk_copyout(ctx, a[1 + k], s.w[k], (nfds + 63) / 64 * 8))
			return (-GKA_EFAULT);
	return (cnt);
}

int64_t
gk_select(struct gk_ctx *ctx, const uint64_t a[6])
{
	int64_t r;

	r = gk_wait_ts(ctx, a[4], 1);
	if (r != 0)
		return (r);
	r = gk_select_do(ctx, a);
	if (r >= 0)
		gk_wait_left(ctx, a[4], 1);
	return (r);
}

int64_t
gk_pselect6(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint64_t sig[2];
	int64_t r;

	if (a[5] != 0) {
		if (gk_copyin(ctx, sig, a[5], sizeof(sig)))
			return (-GKA_EFAULT);
		r = gk_check_sigset(sig[0], sig[1]);
		if (r != 0)
			return (r);
	}
	r = gk_wait_ts(ctx, a[4], 0);
	if (r != 0)
		return (r);
	r = gk_select_do(ctx, a);
	if (r >= 0)
		gk_wait_left(ctx, a[4], 0);
	return (r);
}

/* ---- who waits for a new connection? ------------------------------------ */

static int
gk_fd_listener(struct gk *gk, uint64_t fd, uint32_t *budget)
{
	struct gk_ofd *o;
	uint32_t ofd;

	o = gk_fd_get(gk, fd, &ofd);
	if (o == NULL)
		return (0);
	if (GK_RD(o->kind) == GK_LISTENER)
		return ((int)ofd + 1);
	if (GK_RD(o->kind) == GK_EPOLL)
		return ((int)gk_epoll_listener(gk, ofd, 0, budget));
	return (0);
}

static int
gk_poll_listener(struct gk_ctx *ctx, uint64_t ua, uint32_t nfds)
{
	struct gka_pollfd p;
	uint32_t i, budget = GK_BUDGET;
	int l;

	for (i = 0; i < nfds && i < GK_NFD; i++) {
		if (gk_copyin(ctx, &p, ua + i * sizeof(p), sizeof(p)))
			return (0);
		if (p.fd < 0 || !(p.events & GK_EV_IN))
			continue;
		l = gk_fd_listener(ctx->gk, (uint32_t)p.fd, &budget);
		if (l != 0)
			return (l);
	}
	return (0);
}

static int
gk_select_listener(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint64_t w = 0;
	uint32_t fd, nfds, budget = GK_BUDGET;
	int l;

	if ((int32_t)a[0] < 0 || a[1] == 0)
		return (0);
	nfds = GK_MIN((uint32_t)a[0], (uint32_t)GK_NFD);
	for (fd = 0; fd < nfds; fd++) {
		if (fd % 64 == 0 &&
		    gk_copyin(ctx, &w, a[1] + fd / 8, sizeof(w)))
			return (0);
		if (!(w & (1ULL << (fd % 64))))
			continue;
		l = gk_fd_listener(ctx->gk, fd, &budget);
		if (l != 0)
			return (l);
	}
	return (0);
}

int
gk_waits_listener(struct gk_ctx *ctx, uint64_t nr, const uint64_t a[6])
{
	uint32_t budget = GK_BUDGET;

	switch (nr) {
	case GKA_SYS_accept:
	case GKA_SYS_accept4:
	case GKA_SYS_epoll_wait:
	case GKA_SYS_epoll_pwait:
	case GKA_SYS_epoll_pwait2:
		return (gk_fd_listener(ctx->gk, (uint32_t)a[0], &budget));
	case GKA_SYS_poll:
	case GKA_SYS_ppoll:
		return (gk_poll_listener(ctx, a[0], (uint32_t)a[1]));
	case GKA_SYS_select:
	case GKA_SYS_pselect6:
		return (gk_select_listener(ctx, a));
	default:
		return (0);
	}
}
