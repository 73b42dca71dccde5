/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * pipe(2), eventfd(2), timerfd_create(2): the small objects.
 *
 * Timers run on the clocks in gk_ctx and are brought up to date when someone
 * looks.  Must never ask the host for the time.
 */

#include "gk_priv.h"

#define GK_SEC		1000000000ULL
/* Sums of two of these do not overflow; KTIME_MAX is the same. */
#define GK_NEVER	((uint64_t)INT64_MAX)

/* ---- pipe --------------------------------------------------------------- */

static int64_t
gk_pipe_make(struct gk_ctx *ctx, uint32_t flags, int fd[2])
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *ro, *wo;
	int r, w;

	r = gk_ofd_new(gk, GK_PIPE_R,
	    GKA_O_RDONLY | (flags & GKA_O_NONBLOCK));
	if (r < 0)
		return (r);
	ro = &gk->ofd[r];
	/* Linux says ENFILE for a pipe beyond the limit, too. */
	w = gk_ring_new(gk, &ro->u.pipe.ring, GK_PIPESZ) ? -GKA_ENFILE :
	    gk_ofd_new(gk, GK_PIPE_W,
	    GKA_O_WRONLY | (flags & GKA_O_NONBLOCK));
	if (w < 0) {
		gk_ofd_put(ctx, (uint32_t)r);
		return (w);
	}
	wo = &gk->ofd[w];
	ro->u.pipe.peer1 = (uint16_t)(w + 1);
	wo->u.pipe.peer1 = (uint16_t)(r + 1);
	fd[0] = gk_open_fd(ctx, (uint32_t)r, flags);
	fd[1] = fd[0] < 0 ? fd[0] : gk_open_fd(ctx, (uint32_t)w, flags);
	if (fd[1] >= 0)
		return (0);
	if (fd[0] < 0)
		gk_ofd_put(ctx, (uint32_t)w);
	else
		(void)gk_fd_close(ctx, (uint64_t)fd[0]);
	return (fd[1]);
}

int64_t
gk_pipe2(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t flags = (uint32_t)a[1];
	int fd[2];
	int64_t r;

	/* O_DIRECT would need packets. */
	if (flags & ~(uint32_t)(GKA_O_CLOEXEC | GKA_O_NONBLOCK))
		return (-GKA_EINVAL);
	r = gk_pipe_make(ctx, flags, fd);
	if (r != 0)
		return (r);
	if (gk_copyout(ctx, a[0], fd, sizeof(fd))) {
		(void)gk_fd_close(ctx, (uint64_t)fd[0]);
		(void)gk_fd_close(ctx, (uint64_t)fd[1]);
		return (-GKA_EFAULT);
	}
	return (0);
}

int64_t
gk_pipe(struct gk_ctx *ctx, const uint64_t a[6])
{
	const uint64_t b[6] = { a[0], 0, 0, 0, 0, 0 };

	return (gk_pipe2(ctx, b));
}

void
gk_pipe_release(struct gk *gk, uint32_t ofd, unsigned kind)
{
	struct gk_ofd *o = &gk->ofd[ofd], *p;
	uint32_t peer;

	p = gk_peer(gk, ofd, kind, &peer);
	if (kind == GK_PIPE_R)
		gk_ring_free(gk, &o->u.pipe.ring);
	if (p == NULL)
		return;
	GK_WR(p->u.pipe.peer1, 0);
	if (kind == GK_PIPE_W)
		GK_WR(p->u.pipe.ring.shut, 1);
	gk_event(gk, p, GKA_EPOLLIN | GKA_EPOLLOUT);
}

/* ---- named pipes: one description for each end ------------------------- */

int
gk_fifo_open(struct gk *gk, uint32_t fifo, uint32_t end1, int write)
{
	struct gk_ofd *o;

	o = gk_ofd_kind(gk, end1 - 1, write ? GK_PIPE_W : GK_PIPE_R);
	return (o != NULL && fifo != 0 && GK_RD(o->u.pipe.fifo) == fifo);
}

int
gk_fifo_make(struct gk *gk, uint32_t fifo, uint32_t other1, int write,
    uint32_t flags)
{
	struct gk_ofd *o, *other = NULL;
	int i;

	i = gk_ofd_new(gk, write ? GK_PIPE_W : GK_PIPE_R,
	    (write ? GKA_O_WRONLY : GKA_O_RDONLY) | (flags & GKA_O_NONBLOCK));
	if (i < 0)
		return (i);
	o = &gk->ofd[i];
	if (!write && gk_ring_new(gk, &o->u.pipe.ring, GK_PIPESZ) != 0) {
		gk_ofd_free(gk, o);
		return (-GKA_ENFILE);
	}
	o->refs = 0;
	o->u.pipe.fifo = fifo;
	if (gk_fifo_open(gk, fifo, other1, !write)) {
		other = &gk->ofd[other1 - 1];
		o->u.pipe.peer1 = (uint16_t)other1;
		GK_WR(other->u.pipe.peer1, (uint16_t)(i + 1));
	}
	if (!write)
		o->u.pipe.ring.shut = o->u.pipe.alone = other == NULL;
	else if (other != NULL) {
		GK_WR(other->u.pipe.ring.shut, 0);
		GK_WR(other->u.pipe.alone, 0);
	}
	gk_event(gk, other != NULL ? other : o, GKA_EPOLLIN | GKA_EPOLLOUT);
	return (i + 1);
}

int64_t
gk_fifo_fd(struct gk_ctx *ctx, uint32_t end1, uint32_t flags)
{
	struct gk_ofd *o = gk_ofd_at(ctx->gk, end1 - 1);
	int fd;

	if (o == NULL)
		return (-GKA_EBADF);
	fd = gk_fd_new_ref(ctx->gk, end1 - 1, 0, (flags & GKA_O_CLOEXEC) != 0);
	if (fd < 0 && GK_RD(o->refs) == 0)
		gk_ofd_put(ctx, end1 - 1);
	return (fd);
}

int64_t
gk_pipe_size(struct gk_ctx *ctx, uint32_t ofd, int set, uint64_t sz)
{
	struct gk *gk = ctx->gk;
	struct gk_ring *r;
	struct gk_view v;
	uint32_t peer, cap;
	unsigned kind;

	kind = GK_RD(gk->ofd[ofd].kind);
	if (kind == GK_PIPE_R)
		r = &gk->ofd[ofd].u.pipe.ring;
	else if (kind == GK_PIPE_W)
		r = gk_ring_out(gk, ofd, kind, &peer);
	else
		return (-GKA_EBADF);
	if (r == NULL || gk_ring_view(gk, r, &v))
		return (set ? -GKA_EBUSY : GK_PIPESZ);
	if (!set)
		return (v.cap);
	if (sz > INT32_MAX)
		return (-GKA_EINVAL);
	for (cap = GKA_PIPE_BUF; cap < sz && cap < GK_BUFSZ; cap *= 2)
		continue;
	if (cap < sz)
		return (-GKA_EPERM);
	if (cap < v.used)
		return (-GKA_EBUSY);
	GK_WR(r->cap, cap);
	if (cap > v.cap && gk_peer(gk, ofd, kind, &peer) != NULL)
		gk_event(gk, &gk->ofd[kind == GK_PIPE_R ? peer : ofd],
		    GKA_EPOLLOUT);
	return (cap);
}

/* ---- eventfd ------------------------------------------------------------ */

int64_t
gk_eventfd2(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk *gk = ctx->gk;
	uint32_t flags = (uint32_t)a[1];
	int o;

	if (flags & ~(uint32_t)(GKA_O_CLOEXEC | GKA_O_NONBLOCK |
	    GKA_EFD_SEMAPHORE))
		return (-GKA_EINVAL);
	o = gk_ofd_new(gk, GK_EVENTFD,
	    GKA_O_RDWR | (flags & GKA_O_NONBLOCK));
	if (o < 0)
		return (o);
	gk->ofd[o].u.event.count = (uint32_t)a[0];
	gk->ofd[o].u.event.semaphore = flags & GKA_EFD_SEMAPHORE;
	return (gk_open_fd(ctx, (uint32_t)o, flags));
}

int64_t
gk_eventfd(struct gk_ctx *ctx, const uint64_t a[6])
{
	const uint64_t b[6] = { a[0], 0, 0, 0, 0, 0 };

	return (gk_eventfd2(ctx, b));
}

int64_t
gk_event_read(struct gk_ctx *ctx, struct gk_ofd *o, struct gk_iter *it,
    int nonblock)
{
	uint64_t count, v;

	if (it->total < sizeof(v))
		return (-GKA_EINVAL);
	count = GK_RD(o->u.event.count);
	if (count == 0)
		return (nonblock ? -GKA_EAGAIN : GK_BLOCK);
	v = GK_RD(o->u.event.semaphore) ? 1 : count;
	GK_WR(o->u.event.count, count - v);
	gk_event(ctx->gk, o, GKA_EPOLLOUT);
	if (gk_iter_put(ctx, it, &v, sizeof(v)))
		return (-GKA_EFAULT);
	return (sizeof(v));
}

int64_t
gk_event_write(struct gk_ctx *ctx, struct gk_ofd *o, struct gk_iter *it,
    int nonblock)
{
	uint64_t count, v;

	if (it->total < sizeof(v))
		return (-GKA_EINVAL);
	if (gk_iter_get(ctx, it, &v, sizeof(v)))
		return (-GKA_EFAULT);
	if (v == UINT64_MAX)
		return (-GKA_EINVAL);
	count = GK_RD(o->u.event.count);
	if (count == UINT64_MAX || v > UINT64_MAX - 1 - count)
		return (nonblock ? -GKA_EAGAIN : GK_BLOCK);
	GK_WR(o->u.event.count, count + v);
	gk_event(ctx->gk, o, GKA_EPOLLIN);
	return (sizeof(v));
}

/* ---- timerfd ------------------------------------------------------------ */

static uint64_t
gk_timer_now(const struct gk_ctx *ctx, uint32_t clockid)
{

	return (clockid == GKA_CLOCK_REALTIME ||
	    clockid == GKA_CLOCK_REALTIME_ALARM ?
	    ctx->now_real : ctx->now_mono);
}

static uint64_t
gk_ts_ns(const struct gka_timespec *ts)
{

	if ((uint64_t)ts->sec >= GK_NEVER / GK_SEC)
		return (GK_NEVER);
	return ((uint64_t)ts->sec * GK_SEC + (uint64_t)ts->nsec);
}

static void
gk_ns_ts(uint64_t ns, struct gka_timespec *ts)
{

	ts->sec = (int64_t)(ns / GK_SEC);
	ts->nsec = (int64_t)(ns % GK_SEC);
}

static uint64_t
gk_ns_add(uint64_t a, uint64_t b)
{

	return (b >= GK_NEVER || a >= GK_NEVER - b ? GK_NEVER : a + b);
}

/*
 * .flags: its expiry was news, and nobody has read or asked for it since.  As
 * on Linux it is not news again before that, so a timer that nobody reads does
 * not keep the machine awake.
 */
#define GK_TIMER_TOLD	(1U << 31)

/* The VMM's idea of the next timer is stale then. */
static void
gk_timer_untold(struct gk *gk, struct gk_ofd *o)
{
	uint32_t flags = GK_RD(o->u.timer.flags);

	if (!(flags & GK_TIMER_TOLD))
		return;
	GK_WR(o->u.timer.flags, flags & ~GK_TIMER_TOLD);
	if (GK_RD(o->u.timer.interval_ns) != 0)
		GK_WR(gk->gen, GK_RD(gk->gen) + 1);
}

/* Count what has expired since the last look. */
void
gk_timer_update(struct gk_ctx *ctx, struct gk_ofd *o)
{
	uint64_t now, next, ival, n = 1;

	next = GK_RD(o->u.timer.next_ns);
	if (next == 0 || next >= GK_NEVER)
		return;
	now = gk_timer_now(ctx, GK_RD(o->u.timer.clockid));
	if (now < next)
		return;
	ival = GK_RD(o->u.timer.interval_ns);
	if (ival == 0) {
		next = 0;
	} else {
		n += (now - next) / ival;
		next = gk_ns_add(now - (now - next) % ival, ival);
	}
	GK_WR(o->u.timer.next_ns, next);
	GK_WR(o->u.timer.fired, GK_RD(o->u.timer.fired) + n);
	if (GK_RD(o->u.timer.flags) & GK_TIMER_TOLD)
		return;
	GK_WR(o->u.timer.flags, GK_RD(o->u.timer.flags) | GK_TIMER_TOLD);
	gk_event(ctx->gk, o, GKA_EPOLLIN);
}

int64_t
gk_timer_read(struct gk_ctx *ctx, struct gk_ofd *o, struct gk_iter *it,
    int nonblock)
{
	uint64_t n;

	if (it->total < sizeof(n))
		return (-GKA_EINVAL);
	gk_timer_update(ctx, o);
	n = GK_RD(o->u.timer.fired);
	if (n == 0)
		return (nonblock ? -GKA_EAGAIN : GK_BLOCK);
	GK_WR(o->u.timer.fired, 0);
	gk_timer_untold(ctx->gk, o);
	if (gk_iter_put(ctx, it, &n, sizeof(n)))
		return (-GKA_EFAULT);
	return (sizeof(n));
}

int64_t
gk_timerfd_create(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t clockid = (uint32_t)a[0], flags = (uint32_t)a[1];
	int o;

	if (flags & ~(uint32_t)(GKA_O_CLOEXEC | GKA_O_NONBLOCK))
		return (-GKA_EINVAL);
	switch (clockid) {
	case GKA_CLOCK_REALTIME:
	case GKA_CLOCK_MONOTONIC:
	case GKA_CLOCK_BOOTTIME:
	case GKA_CLOCK_REALTIME_ALARM:
	case GKA_CLOCK_BOOTTIME_ALARM:
		break;
	default:
		return (-GKA_EINVAL);
	}
	o = gk_ofd_new(ctx->gk, GK_TIMERFD,
	    GKA_O_RDWR | (flags & GKA_O_NONBLOCK));
	if (o < 0)
		return (o);
	ctx->gk->ofd[o].u.timer.clockid = clockid;
	return (gk_open_fd(ctx, (uint32_t)o, flags));
}

static int64_t
gk_timer_get(struct gk_ctx *ctx, uint64_t fd, struct gk_ofd **op)
{
	struct gk_ofd *o;
	unsigned kind;

	o = gk_fd_get(ctx->gk, fd, NULL);
	if (o == NULL)
		return (-GKA_EBADF);
	kind = GK_RD(o->kind);
	if (kind != GK_TIMERFD)
		return (-GKA_EINVAL);
	*op = o;
	return (0);
}

static int64_t
gk_timer_show(struct gk_ctx *ctx, struct gk_ofd *o, uint64_t ua)
{
	struct gka_itimerspec its;
	uint64_t next, now;

	gk_timer_update(ctx, o);
	gk_timer_untold(ctx->gk, o);
	now = gk_timer_now(ctx, GK_RD(o->u.timer.clockid));
	next = GK_RD(o->u.timer.next_ns);
	gk_ns_ts(GK_RD(o->u.timer.interval_ns), &its.interval);
	gk_ns_ts(next > now ? next - now : 0, &its.value);
	return (gk_copyout(ctx, ua, &its, sizeof(its)) ? -GKA_EFAULT : 0);
}

int64_t
gk_timerfd_gettime(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_ofd *o;
	int64_t r;

	r = gk_timer_get(ctx, (uint32_t)a[0], &o);
	return (r != 0 ? r : gk_timer_show(ctx, o, a[1]));
}

static int
gk_ts_bad(const struct gka_timespec *ts)
{

	return (ts->sec < 0 || ts->nsec < 0 || (uint64_t)ts->nsec >= GK_SEC);
}

int64_t
gk_timerfd_settime(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gka_itimerspec its;
	struct gk_ofd *o;
	uint64_t v;
	int64_t r;

	if (gk_copyin(ctx, &its, a[2], sizeof(its)))
		return (-GKA_EFAULT);
	if (((uint32_t)a[1] & ~(GKA_TFD_ABSTIME | GKA_TFD_CANCEL_ON_SET)) ||
	    gk_ts_bad(&its.interval) || gk_ts_bad(&its.value))
		return (-GKA_EINVAL);
	r = gk_timer_get(ctx, (uint32_t)a[0], &o);
	if (r != 0)
		return (r);
	r = a[3] != 0 ? gk_timer_show(ctx, o, a[3]) : 0;
	v = gk_ts_ns(&its.value);
	if (v != 0 && !(a[1] & GKA_TFD_ABSTIME))
		v = gk_ns_add(v,
		    gk_timer_now(ctx, GK_RD(o->u.timer.clockid)));
	GK_WR(o->u.timer.flags, (uint32_t)a[1] & ~GK_TIMER_TOLD);
	GK_WR(o->u.timer.next_ns, v);
	GK_WR(o->u.timer.interval_ns, gk_ts_ns(&its.interval));
	GK_WR(o->u.timer.fired, 0);
	/* The VMM's idea of the next timer is stale now. */
	GK_WR(ctx->gk->gen, GK_RD(ctx->gk->gen) + 1);
	return (r);
}

uint64_t
gk_next_timer(struct gk_ctx *ctx)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	uint64_t best = UINT64_MAX, next, now;
	uint32_t i, hi;

	hi = gk_hi(GK_RD(gk->hi_ofd), GK_NOFD);
	for (i = 0; i < hi; i++) {
		o = gk_ofd_kind(gk, i, GK_TIMERFD);
		if (o == NULL)
			continue;
		gk_timer_update(ctx, o);
		next = GK_RD(o->u.timer.next_ns);
		if (next == 0 || next >= GK_NEVER ||
		    (GK_RD(o->u.timer.flags) & GK_TIMER_TOLD))
			continue;
		now = gk_timer_now(ctx, GK_RD(o->u.timer.clockid));
		next = gk_ns_add(ctx->now_mono, next > now ? next - now : 0);
		best = GK_MIN(best, next);
	}
	return (best);
}
