/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * read(2) and write(2) with their vector forms, and what moves the bytes for
 * them and for gk_msg.c: connections, pairs, pipes, eventfds and timerfds.
 *
 * A blocking write that could move only a part notes it in ctx->progress and
 * goes on from there when it is called again.  Must never wait itself.
 */

#include "gk_priv.h"

/* ---- which ring --------------------------------------------------------- */

struct gk_ofd *
gk_peer(struct gk *gk, uint32_t ofd, unsigned kind, uint32_t *peer)
{
	struct gk_ofd *o = &gk->ofd[ofd], *p;
	uint32_t p1, back1;

	switch (kind) {
	case GK_PAIR:
		p1 = GK_RD(o->u.conn.peer1);
		p = gk_ofd_kind(gk, p1 - 1, GK_PAIR);
		break;
	case GK_PIPE_R:
		p1 = GK_RD(o->u.pipe.peer1);
		p = gk_ofd_kind(gk, p1 - 1, GK_PIPE_W);
		break;
	case GK_PIPE_W:
		p1 = GK_RD(o->u.pipe.peer1);
		p = gk_ofd_kind(gk, p1 - 1, GK_PIPE_R);
		break;
	default:
		return (NULL);
	}
	if (p == NULL)
		return (NULL);
	back1 = kind == GK_PAIR ? GK_RD(p->u.conn.peer1) :
	    GK_RD(p->u.pipe.peer1);
	if (back1 != ofd + 1)
		return (NULL);
	*peer = p1 - 1;
	return (p);
}

/* What it reads from; *writer: who waits for room, or GK_NOFD. */
struct gk_ring *
gk_ring_in(struct gk *gk, uint32_t ofd, unsigned kind, uint32_t *writer)
{
	struct gk_ofd *o = &gk->ofd[ofd];

	*writer = GK_NOFD;
	switch (kind) {
	case GK_CONN:
		return (&o->u.conn.rx);
	case GK_PAIR:
		(void)gk_peer(gk, ofd, kind, writer);
		return (&o->u.conn.rx);
	case GK_DGRAM:
		return (&o->u.sock.rx);
	case GK_PIPE_R:
		(void)gk_peer(gk, ofd, kind, writer);
		return (&o->u.pipe.ring);
	default:
		return (NULL);
	}
}

/* What it writes to, NULL if nobody is there; *reader: who waits for input. */
struct gk_ring *
gk_ring_out(struct gk *gk, uint32_t ofd, unsigned kind, uint32_t *reader)
{
	struct gk_ofd *p;

	*reader = GK_NOFD;
	if (kind == GK_CONN)
		return (&gk->ofd[ofd].u.conn.tx);
	if (kind != GK_PAIR && kind != GK_PIPE_W)
		return (NULL);
	p = gk_peer(gk, ofd, kind, reader);
	if (p == NULL)
		return (NULL);
	return (kind == GK_PAIR ? &p->u.conn.rx : &p->u.pipe.ring);
}

int
gk_is_framed(struct gk_ofd *o)
{

	return (GK_RD(o->kind) == GK_PAIR &&
	    GK_RD(o->u.conn.type) != GKA_SOCK_STREAM);
}

/* ---- input -------------------------------------------------------------- */

/* Nothing in the ring: 0 for the end of it, -errno, or 1: wait. */
static int64_t
gk_in_end(struct gk_end *e, struct gk_ring *r)
{
	uint16_t shut, err;

	shut = GK_RD(r->shut);
	if (e->kind == GK_PIPE_R)
		return (shut ? 0 : 1);
	/* TCP: what comes after the peer's FIN does not matter. */
	if ((e->kind == GK_CONN || gk_is_tcp(e->o)) && (shut & GK_SHUT_FIN))
		return (0);
	err = GK_RD(e->o->u.conn.err);
	if (err != 0) {
		GK_WR(e->o->u.conn.err, 0);
		return (-(int64_t)GK_MIN(err, 4095));
	}
	return (shut ? 0 : 1);
}

static int64_t
gk_must_wait(struct gk_ctx *ctx, struct gk_end *e, uint64_t done)
{

	gk_wait_timeo(ctx, e->timeo);
	/* What it was when the call began, whatever is set now */
	if (e->nonblock || gk_wait_over(ctx) == 0)
		return (done > 0 ? (int64_t)done : -GKA_EAGAIN);
	ctx->progress = done;
	return (GK_BLOCK);
}

static void
gk_in_took(struct gk_ctx *ctx, struct gk_end *e, struct gk_ring *r,
    const struct gk_view *v, uint32_t writer)
{
	struct gk *gk = ctx->gk;
	int pipe = e->kind == GK_PIPE_R;
	uint32_t ev;

	ev = gk_ring_took(r, v, pipe);
	if (gk_is_framed(e->o))
		ev = GKA_EPOLLOUT;	/* any room may fit a message */
	if (writer >= GK_NOFD)
		return;
	/* A blocked write goes on with less room than poll waits for. */
	if (ev != 0 || !gk_view_writable(v->used, v->cap, pipe))
		gk_event(gk, &gk->ofd[writer], ev);
}

static int64_t
gk_in_message(struct gk_ctx *ctx, struct gk_end *e, struct gk_ring *r,
    struct gk_iter *it, uint32_t writer)
{
	struct gk_view v;
	uint32_t len, start;
	uint64_t n;
	int64_t ret;

	(void)gk_ring_view(ctx->gk, r, &v);
	if (v.used < sizeof(len)) {
		ret = gk_in_end(e, r);
		return (ret == 1 ? gk_must_wait(ctx, e, 0) : ret);
	}
	start = v.tail;
	(void)gk_view_pull(&v, &len, sizeof(len));
	if (len > v.used - sizeof(len))
		len = v.used - (uint32_t)sizeof(len);
	(void)gk_scm_recv(ctx, e, start, 0);	/* its own, if it has any */
	n = GK_MIN(len, it->total);
	ret = (int64_t)n;
	if (gk_view_drain(ctx, &v, it, n) < n)
		ret = -GKA_EFAULT;
	else if (e->flags & GKA_MSG_TRUNC)
		ret = len;
	if (len > n)
		e->oflags |= GKA_MSG_TRUNC;
	if (!(e->flags & GKA_MSG_PEEK)) {
		v.tail = start + (uint32_t)sizeof(len) + len;
		gk_in_took(ctx, e, r, &v, writer);
	}
	return (ret);
}

static int64_t
gk_in_stream(struct gk_ctx *ctx, struct gk_end *e, struct gk_ring *r,
    struct gk_iter *it, uint32_t writer)
{
	struct gk_view v;
	uint64_t total = it->total, done = 0, n, got;
	int64_t ret;
	int all;

	all = (e->flags & (GKA_MSG_WAITALL | GKA_MSG_PEEK)) == GKA_MSG_WAITALL;
	if (all && ctx->progress > 0) {
		done = GK_MIN(ctx->progress, total);
		gk_iter_skip(ctx, it, done);
	}
	(void)gk_ring_view(ctx->gk, r, &v);
	if (v.used == 0) {
		ret = gk_in_end(e, r);
		if (ret == 1)
			return (gk_must_wait(ctx, e, done));
		return (done > 0 ? (int64_t)done : ret);
	}
	n = GK_MIN(v.used, total - done);
	if (all && n < total && gk_in_blob(ctx))
		return (GK_NOTMINE);	/* ctx->progress is the VMM's */
	if (e->kind == GK_PAIR)
		n = gk_scm_recv(ctx, e, v.tail, n);
	got = n;
	if ((e->flags & GKA_MSG_TRUNC) &&
	    (e->kind == GK_CONN || gk_is_tcp(e->o)))
		v.tail += (uint32_t)n;
	else
		got = gk_view_drain(ctx, &v, it, n);
	if (!(e->flags & GKA_MSG_PEEK) && got > 0)
		gk_in_took(ctx, e, r, &v, writer);
	done += got;
	if (got < n)
		return (done > 0 ? (int64_t)done : -GKA_EFAULT);
	if (all && done < total && !e->nonblock && !GK_RD(r->shut))
		return (gk_must_wait(ctx, e, done));
	return ((int64_t)done);
}

/* A connection to the client waits for ever: what is on the other side of it
 * may be frozen, and who waits for a request is not to wake by himself. */
static uint32_t
gk_timeo(struct gk_end *e, unsigned dir)
{

	if (e->kind == GK_SOCKET)
		return (GK_RD(e->o->u.sock.timeo[dir]));
	return (e->kind == GK_PAIR ? GK_RD(e->o->u.conn.timeo[dir]) : 0);
}

int64_t
gk_input(struct gk_ctx *ctx, struct gk_end *e, struct gk_iter *it)
{
	struct gk_ring *r;
	uint32_t writer;
	int64_t err;

	e->timeo = gk_timeo(e, GK_RCV);

	switch (e->kind) {
	case GK_SOCKET:
	case GK_LISTENER:
		if (gk_connecting(e->o))
			return (gk_must_wait(ctx, e, 0));
		err = gk_conn_error(e->o);
		if (err != 0)
			return (err);
		return (GK_RD(e->o->u.sock.domain) == GKA_AF_UNIX ?
		    -GKA_EINVAL : -GKA_ENOTCONN);
	case GK_DGRAM:
		return (gk_dgram_in(ctx, e, it));
	case GK_EVENTFD:
		return (gk_event_read(ctx, e->o, it, e->nonblock));
	case GK_INOTIFY:
		return (gk_inotify_read(ctx, e->o, it, e->nonblock));
	case GK_TIMERFD:
		return (gk_timer_read(ctx, e->o, it, e->nonblock));
	case GK_PIPE_W:
		return (-GKA_EBADF);
	default:
		break;
	}
	if (gk_in_blob(ctx) && gk_scm_waits(ctx->gk, e->idx))
		return (GK_NOTMINE);
	r = gk_ring_in(ctx->gk, e->idx, e->kind, &writer);
	if (r == NULL)
		return (-GKA_EINVAL);
	if (gk_is_framed(e->o))
		return (gk_in_message(ctx, e, r, it, writer));
	return (gk_in_stream(ctx, e, r, it, writer));
}

/* ---- output ------------------------------------------------------------- */

static int64_t
gk_out_broken(struct gk_ctx *ctx, struct gk_end *e, uint64_t done)
{
	int framed = gk_is_framed(e->o);
	int64_t err;

	if (gk_in_blob(ctx))
		return (GK_NOTMINE);	/* a signal may be due */
	err = done == 0 ? gk_conn_error(e->o) : 0;
	if (err != 0 && err != -GKA_EPIPE)
		return (err);
	/* A pipe signals even if a part went; a socket only if nothing did. */
	if (!framed && !(e->flags & GKA_MSG_NOSIGNAL) &&
	    (done == 0 || e->kind == GK_PIPE_W))
		ctx->sigpipe = 1;
	if (done > 0)
		return ((int64_t)done);
	if (framed && GK_RD(e->o->u.conn.type) == GKA_SOCK_DGRAM)
		return (-GKA_ECONNREFUSED);
	return (-GKA_EPIPE);
}

static void
gk_out_wrote(struct gk_ctx *ctx, struct gk_ring *r, const struct gk_view *v,
    uint32_t reader)
{

	gk_ring_wrote(r, v);
	if (reader < GK_NOFD)
		gk_event(ctx->gk, &ctx->gk->ofd[reader], GKA_EPOLLIN);
}

static int64_t
gk_out_message(struct gk_ctx *ctx, struct gk_end *e, struct gk_ring *r,
    struct gk_iter *it, uint32_t reader)
{
	struct gk_view v;
	uint32_t len = (uint32_t)it->total;

	if (GK_RD(r->shut))
		return (-GKA_EPIPE);
	if (gk_ring_view(ctx->gk, r, &v))
		return (gk_out_broken(ctx, e, 0));
	if (it->total + sizeof(len) > v.cap)
		return (-GKA_EMSGSIZE);
	if (len + sizeof(len) > v.space)
		return (gk_must_wait(ctx, e, 0));
	(void)gk_view_push(ctx, &v, &len, sizeof(len));
	if (gk_view_fill(ctx, &v, it, len) < len)
		return (-GKA_EFAULT);
	gk_out_wrote(ctx, r, &v, reader);
	return (len);
}

/* Has it, or its reader, said that no more will come through? */
static int
gk_out_shut(struct gk_ofd *o, unsigned kind, struct gk_ring *r)
{

	if (gk_is_tcp(o))
		return (GK_RD(o->u.conn.tx.shut) || GK_RD(o->u.conn.dropped));
	return (kind != GK_PIPE_W && GK_RD(r->shut));
}

static int64_t
gk_out_stream(struct gk_ctx *ctx, struct gk_end *e, struct gk_ring *r,
    struct gk_iter *it, uint32_t reader)
{
	struct gk_view v;
	uint64_t total = it->total, done, n, got;

	done = GK_MIN(ctx->progress, total);
	gk_iter_skip(ctx, it, done);
	if (gk_ring_view(ctx->gk, r, &v) || gk_out_shut(e->o, e->kind, r))
		return (gk_out_broken(ctx, e, done));
	n = GK_MIN(v.space, total - done);
	/* pipe(7): up to PIPE_BUF bytes go at once or not at all */
	if (e->kind == GK_PIPE_W && total <= GKA_PIPE_BUF && n < total)
		n = 0;
	if (n < total && !e->nonblock && gk_in_blob(ctx))
		return (GK_NOTMINE);
	if (n > 0) {
		got = gk_view_fill(ctx, &v, it, n);
		if (got > 0)
			gk_out_wrote(ctx, r, &v, reader);
		done += got;
		if (got < n)
			return (done > 0 ? (int64_t)done : -GKA_EFAULT);
	}
	if (done == total)
		return ((int64_t)done);
	return (gk_must_wait(ctx, e, done));
}

int64_t
gk_output(struct gk_ctx *ctx, struct gk_end *e, struct gk_iter *it)
{
	struct gk_ring *r;
	uint32_t reader;
	uint64_t done;
	int64_t n;

	e->timeo = gk_timeo(e, GK_SND);
	switch (e->kind) {
	case GK_SOCKET:
	case GK_LISTENER:
		if (gk_connecting(e->o))
			return (gk_must_wait(ctx, e, 0));
		if (GK_RD(e->o->u.sock.domain) == GKA_AF_UNIX)
			return (-GKA_ENOTCONN);
		return (gk_out_broken(ctx, e, 0));
	case GK_DGRAM:
		return (gk_dgram_out(ctx, e, it));
	case GK_EVENTFD:
		return (gk_event_write(ctx, e->o, it, e->nonblock));
	case GK_PIPE_R:
	case GK_INOTIFY:
		return (-GKA_EBADF);
	case GK_CONN:
	case GK_PAIR:
		break;
	case GK_PIPE_W:
		if (it->total == 0)
			return (0);
		break;
	default:
		return (-GKA_EINVAL);
	}
	r = gk_ring_out(ctx->gk, e->idx, e->kind, &reader);
	if (r == NULL || (GK_RD(r->shut) & GK_SHUT_RD)) {
		done = GK_MIN(ctx->progress, it->total);
		n = gk_tcp_late(ctx->gk, e->o, reader, it->total - done);
		if (n >= 0)
			return ((int64_t)done + n);
		if (r == NULL)
			return (gk_out_broken(ctx, e, done));
	}
	if (gk_is_framed(e->o))
		return (gk_out_message(ctx, e, r, it, reader));
	return (gk_out_stream(ctx, e, r, it, reader));
}

/* ---- read and write ----------------------------------------------------- */

int64_t
gk_end_get(struct gk_ctx *ctx, struct gk_end *e, uint64_t fd, uint32_t flags)
{

	e->o = gk_fd_get(ctx->gk, fd, &e->idx);
	if (e->o == NULL)
		return (-GKA_EBADF);
	e->kind = GK_RD(e->o->kind);
	if (e->kind == GK_HOST || (e->kind == GK_DGRAM && gk_in_blob(ctx)))
		return (GK_NOTMINE);
	e->timeo = 0;
	e->flags = flags;
	e->oflags = 0;
	e->ctl = NULL;
	e->name = NULL;
	e->nonblock = (GK_RD(e->o->flags) & GKA_O_NONBLOCK) ||
	    (flags & GKA_MSG_DONTWAIT);
	return (0);
}

int64_t
gk_read(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_end e;
	struct gk_iter it;
	int64_t r;

	r = gk_end_get(ctx, &e, (uint32_t)a[0], 0);
	if (r != 0)
		return (r);
	if ((int64_t)a[2] < 0)
		return (-GKA_EFAULT);
	if (a[2] == 0 && (gk_is_socket(e.kind) || e.kind == GK_PIPE_R))
		return (0);
	gk_iter_buf(&it, a[1], a[2]);
	return (gk_input(ctx, &e, &it));
}

int64_t
gk_write(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_end e;
	struct gk_iter it;
	int64_t r;

	r = gk_end_get(ctx, &e, (uint32_t)a[0], 0);
	if (r != 0)
		return (r);
	if ((int64_t)a[2] < 0)
		return (-GKA_EFAULT);
	gk_iter_buf(&it, a[1], a[2]);
	return (gk_output(ctx, &e, &it));
}

static int64_t
gk_vec(struct gk_ctx *ctx, const uint64_t a[6], int out, uint32_t flags)
{
	struct gk_end e;
	struct gk_iter it;
	int64_t r;

	r = gk_end_get(ctx, &e, (uint32_t)a[0], flags);
	if (r != 0)
		return (r);
	if (e.kind == (out ? GK_PIPE_R : GK_PIPE_W))
		return (-GKA_EBADF);
	if (a[2] > GKA_IOV_MAX)
		return (-GKA_EINVAL);
	r = gk_iter_vec(ctx, &it, a[1], a[2]);
	if (r != 0)
		return (r);
	if (out)
		return (gk_output(ctx, &e, &it));
	if (it.total == 0)
		return (0);
	return (gk_input(ctx, &e, &it));
}

int64_t
gk_readv(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_vec(ctx, a, 0, 0));
}

int64_t
gk_writev(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_vec(ctx, a, 1, 0));
}

/* pread, pwrite, their vector forms: none of ours has a position. */
int64_t
gk_pread(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_end e;
	int64_t r;

	r = gk_end_get(ctx, &e, (uint32_t)a[0], 0);
	return (r != 0 ? r : -GKA_ESPIPE);
}

/* To where it is, or a number of bytes from the start or from there */
static int64_t
gk_seek_plain(struct gk_ofd *o, int64_t off, uint64_t whence)
{

	if (whence == GKA_SEEK_CUR &&
	    __builtin_add_overflow((int64_t)GK_RD(o->pos), off, &off))
		return (-GKA_EINVAL);
	if (off < 0)
		return (-GKA_EINVAL);
	GK_WR(o->pos, (uint64_t)off);
	return (off);
}

/* Linux takes and ignores a position of these, and of no others. */
int64_t
gk_lseek(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_ofd *o;
	struct gk_end e;
	int64_t r;

	o = gk_fd_get(ctx->gk, (uint32_t)a[0], NULL);
	if (o != NULL && GK_RD(o->kind) == GK_HOST &&
	    GK_RD(o->u.host.plain) && a[2] <= GKA_SEEK_CUR)
		return (gk_seek_plain(o, (int64_t)a[1], a[2]));
	r = gk_end_get(ctx, &e, (uint32_t)a[0], 0);
	if (r != 0)
		return (r);
	return (e.kind == GK_EVENTFD || e.kind == GK_TIMERFD ||
	    e.kind == GK_EPOLL || e.kind == GK_INOTIFY ? 0 : -GKA_ESPIPE);
}

static int64_t
gk_vec2(struct gk_ctx *ctx, const uint64_t a[6], int out)
{

	if (a[3] != UINT64_MAX)
		return (gk_pread(ctx, a));
	if (a[5] & ~(uint64_t)GKA_RWF_ALL)
		return (gk_fd_get(ctx->gk, (uint32_t)a[0], NULL) == NULL ?
		    -GKA_EBADF : -GKA_EOPNOTSUPP);
	return (gk_vec(ctx, a, out,
	    (a[5] & GKA_RWF_NOWAIT) ? GKA_MSG_DONTWAIT : 0));
}

int64_t
gk_preadv2(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_vec2(ctx, a, 0));
}

int64_t
gk_pwritev2(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_vec2(ctx, a, 1));
}

/* ---- from the VMM ------------------------------------------------------- */

int64_t
gk_ofd_write(struct gk_ctx *ctx, uint32_t ofd, const void *src, size_t len)
{
	struct gk *gk = ctx->gk;
	struct gk_view v;
	struct gk_ring *r;
	uint32_t reader;
	unsigned kind;
	int64_t err;

	if (ofd >= GK_NOFD)
		return (-GKA_EINVAL);
	kind = GK_RD(gk->ofd[ofd].kind);
	if ((kind != GK_CONN && kind != GK_PAIR && kind != GK_PIPE_W) ||
	    gk_is_framed(&gk->ofd[ofd]))
		return (-GKA_EINVAL);
	r = gk_ring_out(gk, ofd, kind, &reader);
	err = r == NULL || (GK_RD(r->shut) & GK_SHUT_RD) ?
	    gk_tcp_late(gk, &gk->ofd[ofd], reader, len) : -1;
	if (err >= 0)
		return (err);
	if (r == NULL || gk_ring_view(gk, r, &v) ||
	    gk_out_shut(&gk->ofd[ofd], kind, r)) {
		err = gk_conn_error(&gk->ofd[ofd]);
		return (err != 0 ? err : -GKA_EPIPE);
	}
	len = GK_MIN(len, v.space);
	if (len == 0)
		return (-GKA_EAGAIN);
	(void)gk_view_push(ctx, &v, src, len);
	gk_out_wrote(ctx, r, &v, reader);
	return ((int64_t)len);
}

/* The ring of a stream that splice can read from; NULL */
static struct gk_ring *
gk_splice_in(struct gk_ctx *ctx, uint32_t ofd, struct gk_end *e,
    uint32_t *writer)
{

	if (ofd >= GK_NOFD)
		return (NULL);
	e->o = &ctx->gk->ofd[ofd];
	e->idx = ofd;
	e->kind = GK_RD(e->o->kind);
	e->nonblock = 1;
	e->flags = e->oflags = 0;
	e->ctl = NULL;
	if ((e->kind != GK_CONN && e->kind != GK_PAIR &&
	    e->kind != GK_PIPE_R) || gk_is_framed(e->o))
		return (NULL);
	return (gk_ring_in(ctx->gk, ofd, e->kind, writer));
}

int64_t
gk_ofd_peek(struct gk_ctx *ctx, uint32_t ofd, void *dst, size_t len)
{
	struct gk_ring *r;
	struct gk_view v;
	struct gk_end e;
	uint32_t writer;
	int64_t ret;

	r = gk_splice_in(ctx, ofd, &e, &writer);
	if (r == NULL)
		return (-GKA_EINVAL);
	(void)gk_ring_view(ctx->gk, r, &v);
	if (v.used == 0) {
		ret = gk_in_end(&e, r);
		return (ret == 1 ? -GKA_EAGAIN : ret);
	}
	return ((int64_t)gk_view_pull(&v, dst, GK_MIN(len, v.used)));
}

void
gk_ofd_skip(struct gk_ctx *ctx, uint32_t ofd, size_t len)
{
	struct gk_ring *r;
	struct gk_view v;
	struct gk_end e;
	uint32_t writer;

	r = gk_splice_in(ctx, ofd, &e, &writer);
	if (r == NULL || gk_ring_view(ctx->gk, r, &v))
		return;
	v.tail += (uint32_t)GK_MIN(len, v.used);
	gk_in_took(ctx, &e, r, &v, writer);
}
