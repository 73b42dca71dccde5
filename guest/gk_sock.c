/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The socket calls: listening, accepting, pairs.  Names are in gk_name.c, data
 * in gk_io.c and gk_msg.c, options in gk_opt.c, the client's side in gk_conn.c.
 *
 * Nothing here reaches a network: connect(2) to the outside (inside: gk_local.c)
 * is left to the VMM.  Datagrams are in gk_dgram.c.
 */

#include "gk_priv.h"

/* ---- socket, socketpair ------------------------------------------------- */

int64_t
gk_socket(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t domain = (uint32_t)a[0], type = (uint32_t)a[1];
	uint32_t proto = (uint32_t)a[2], flags, ip;
	struct gk_ofd *s;
	int o;

	flags = type & ~(uint32_t)GKA_SOCK_TYPE_MASK;
	type &= GKA_SOCK_TYPE_MASK;
	if (flags & ~(uint32_t)(GKA_SOCK_NONBLOCK | GKA_SOCK_CLOEXEC))
		return (-GKA_EINVAL);
	if ((type != GKA_SOCK_STREAM && type != GKA_SOCK_DGRAM &&
	    (type != GKA_SOCK_SEQPACKET ||
	    domain != GKA_AF_UNIX)) || (domain != GKA_AF_INET &&
	    domain != GKA_AF_INET6 && domain != GKA_AF_UNIX))
		return (GK_NOTMINE);
	if (domain != GKA_AF_UNIX && proto > GKA_IPPROTO_LAST)
		return (-GKA_EINVAL);
	ip = type == GKA_SOCK_DGRAM ? GKA_IPPROTO_UDP : GKA_IPPROTO_TCP;
	if (proto != 0 && proto !=
	    (domain == GKA_AF_UNIX ? GKA_AF_UNIX : ip))
		return (-GKA_EPROTONOSUPPORT);
	o = gk_ofd_new(ctx->gk,
	    type == GKA_SOCK_DGRAM ? GK_DGRAM : GK_SOCKET,
	    GKA_O_RDWR | (flags & GKA_O_NONBLOCK));
	if (o < 0)
		return (o);
	s = &ctx->gk->ofd[o];
	s->u.sock.domain = (uint16_t)domain;
	s->u.sock.type = (uint16_t)type;
	s->u.sock.proto = domain == GKA_AF_UNIX ? 0 : (uint16_t)ip;
	return (gk_open_fd(ctx, (uint32_t)o, flags));
}

static int
gk_pair_end(struct gk_ctx *ctx, uint32_t type, uint32_t flags)
{
	struct gk_ofd *s;
	int o;

	o = gk_ofd_new(ctx->gk, GK_PAIR,
	    GKA_O_RDWR | (flags & GKA_O_NONBLOCK));
	if (o < 0)
		return (o);
	s = &ctx->gk->ofd[o];
	s->u.conn.domain = GKA_AF_UNIX;
	s->u.conn.type = (uint16_t)type;
	if (gk_ring_new(ctx->gk, &s->u.conn.rx, GK_BUFSZ)) {
		gk_ofd_put(ctx, (uint32_t)o);
		return (-GKA_ENOBUFS);
	}
	return (o);
}

static int
gk_pair_make(struct gk_ctx *ctx, uint32_t type, uint32_t flags, int fd[2])
{
	struct gk *gk = ctx->gk;
	int x, y;

	x = gk_pair_end(ctx, type, flags);
	if (x < 0)
		return (x);
	y = gk_pair_end(ctx, type, flags);
	if (y < 0) {
		gk_ofd_put(ctx, (uint32_t)x);
		return (y);
	}
	gk->ofd[x].u.conn.peer1 = (uint16_t)(y + 1);
	gk->ofd[y].u.conn.peer1 = (uint16_t)(x + 1);
	fd[0] = gk_open_fd(ctx, (uint32_t)x, flags);
	if (fd[0] < 0) {
		gk_ofd_put(ctx, (uint32_t)y);
		return (fd[0]);
	}
	fd[1] = gk_open_fd(ctx, (uint32_t)y, flags);
	if (fd[1] < 0)
		(void)gk_fd_close(ctx, (uint64_t)fd[0]);
	return (GK_MIN(fd[1], 0));
}

int64_t
gk_socketpair(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t type = (uint32_t)a[1] & GKA_SOCK_TYPE_MASK;
	uint32_t flags = (uint32_t)a[1] & ~(uint32_t)GKA_SOCK_TYPE_MASK;
	int fd[2], r;

	if (flags & ~(uint32_t)(GKA_SOCK_NONBLOCK | GKA_SOCK_CLOEXEC))
		return (-GKA_EINVAL);
	if ((uint32_t)a[0] == GKA_AF_INET || (uint32_t)a[0] == GKA_AF_INET6)
		return (-GKA_EOPNOTSUPP);
	if ((uint32_t)a[0] != GKA_AF_UNIX)
		return (-GKA_EAFNOSUPPORT);
	if (type != GKA_SOCK_STREAM && type != GKA_SOCK_DGRAM &&
	    type != GKA_SOCK_SEQPACKET)
		return (-GKA_ESOCKTNOSUPPORT);
	if ((uint32_t)a[2] != 0 && (uint32_t)a[2] != GKA_AF_UNIX)
		return (-GKA_EPROTONOSUPPORT);
	r = gk_pair_make(ctx, type, flags, fd);
	if (r < 0)
		return (r);
	if (gk_copyout(ctx, a[3], fd, sizeof(fd))) {
		(void)gk_fd_close(ctx, (uint64_t)fd[0]);
		(void)gk_fd_close(ctx, (uint64_t)fd[1]);
		return (-GKA_EFAULT);
	}
	return (0);
}

static void
gk_pair_release(struct gk_ctx *ctx, uint32_t ofd)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o = &gk->ofd[ofd], *p;
	uint32_t peer;
	int reset;

	gk_scm_drop(ctx, ofd);
	gk_addr_put(gk, GK_RD(o->u.conn.addr1));
	gk_addr_put(gk, GK_RD(o->u.conn.paddr1));
	/* Not read, not accepted, or SO_LINGER says so */
	reset = gk_ring_used(gk, &o->u.conn.rx) > 0 ||
	    GK_RD(o->u.conn.dropped) || (gk_is_tcp(o) &&
	    (GK_RD(o->u.conn.opts) & (1U << GK_OPTBIT_LINGER)) &&
	    GK_RD(o->u.conn.linger) == 0);
	p = gk_peer(gk, ofd, GK_PAIR, &peer);
	gk_ring_free(gk, &o->u.conn.rx);
	if (p == NULL)
		return;
	/* A datagram socket does not notice. */
	if (GK_RD(p->u.conn.type) != GKA_SOCK_DGRAM) {
		gk_pair_end_gone(gk, p, reset);
		return;
	}
	GK_WR(p->u.conn.peer1, 0);
	gk_event(gk, p, GKA_EPOLLIN | GKA_EPOLLOUT);
}

void
gk_sock_release(struct gk_ctx *ctx, uint32_t ofd, unsigned kind)
{
	struct gk_ofd *o = &ctx->gk->ofd[ofd];

	if (kind == GK_PAIR) {
		gk_pair_release(ctx, ofd);
		return;
	}
	if (kind == GK_LISTENER)
		gk_listener_flush(ctx, o);
	if (kind == GK_SOCKET)
		gk_late_forget(ctx->gk, o);
	if (kind == GK_DGRAM)
		gk_dgram_release(ctx->gk, o);
	gk_addr_put(ctx->gk, GK_RD(o->u.sock.addr1));
}

/* ---- listen, accept ----------------------------------------------------- */

int64_t
gk_listen(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	uint8_t sa[110];
	uint32_t idx, backlog = (uint32_t)a[1];
	uint16_t domain;
	unsigned kind;
	size_t len;
	int64_t r;

	r = gk_sock_get(ctx, (uint32_t)a[0], &o, &idx, &kind);
	if (r != 0)
		return (r);
	if (kind == GK_CONN || kind == GK_PAIR)
		return (-GKA_EINVAL);
	if (kind == GK_DGRAM)
		return (-GKA_EOPNOTSUPP);
	backlog = GK_MIN(backlog, (uint32_t)GKA_SOMAXCONN);
	if (gk_connecting(o))
		return (-GKA_EINVAL);
	if (kind == GK_SOCKET) {
		domain = GK_RD(o->u.sock.domain);
		len = gk_addr_read(gk, GK_RD(o->u.sock.addr1), sa);
		if (len == 0 && domain == GKA_AF_UNIX)
			return (-GKA_EINVAL);
		if (len == 0) {
			len = gk_sa_get(gk, 0, domain, sa);
			r = gk_bind_port(gk, idx, sa, len);
		} else if (gk_sa_taken(gk, idx, sa, len)) {
			r = -GKA_EADDRINUSE;
		}
		if (r != 0)
			return (r);
		GK_WR(o->u.sock.nqueue, 0);
		GK_WR(o->kind, GK_LISTENER);
		gk_event(gk, o, 0);
	}
	GK_WR(o->u.sock.backlog, backlog);
	if (GK_RD(gk->nlate) > 0)
		gk_late_join(gk, idx);
	return (0);
}

/* Linux lets one more in than the backlog says. */
int
gk_queue_full(struct gk_ofd *l)
{

	return (GK_RD(l->u.sock.nqueue) > GK_RD(l->u.sock.backlog));
}

/* What waits in a queue, or may be put there; NULL */
static struct gk_ofd *
gk_queued_at(struct gk *gk, uint32_t c1)
{
	struct gk_ofd *c;

	c = gk_ofd_kind(gk, c1 - 1, GK_CONN);
	if (c == NULL)
		c = gk_ofd_kind(gk, c1 - 1, GK_PAIR);
	return (c != NULL && !GK_RD(c->u.conn.accepted) ? c : NULL);
}

void
gk_queue_push(struct gk *gk, struct gk_ofd *l, uint32_t conn)
{
	uint16_t n = GK_RD(l->u.sock.nqueue), c1 = (uint16_t)(conn + 1);
	struct gk_ofd *last;

	last = n == 0 ? NULL : gk_queued_at(gk, GK_RD(l->u.sock.last1));
	if (last != NULL)
		GK_WR(last->u.conn.next1, c1);
	else
		GK_WR(l->u.sock.first1, c1);
	GK_WR(l->u.sock.last1, c1);
	GK_WR(l->u.sock.nqueue, last != NULL ? n + 1 : 1);
	gk_event(gk, l, GKA_EPOLLIN);
}

/* The oldest waiting connection's ofd + 1, or 0; a broken queue is empty. */
static uint32_t
gk_queue_pop(struct gk *gk, struct gk_ofd *l)
{
	struct gk_ofd *c;
	uint32_t n, c1;

	n = GK_RD(l->u.sock.nqueue);
	if (n == 0)
		return (0);
	c1 = GK_RD(l->u.sock.first1);
	c = gk_queued_at(gk, c1);
	GK_WR(l->u.sock.nqueue, c != NULL ? (uint16_t)(n - 1) : 0);
	if (c == NULL)
		return (0);
	GK_WR(l->u.sock.first1, GK_RD(c->u.conn.next1));
	GK_WR(c->u.conn.next1, 0);
	return (c1);
}

void
gk_listener_flush(struct gk_ctx *ctx, struct gk_ofd *l)
{
	struct gk *gk = ctx->gk;
	uint32_t c1, k;

	for (k = 0; k < GK_NOFD; k++) {
		c1 = gk_queue_pop(gk, l);
		if (c1 == 0)
			break;
		if (GK_RD(gk->ofd[c1 - 1].kind) == GK_PAIR)
			GK_WR(gk->ofd[c1 - 1].u.conn.dropped, 1);
		gk_ofd_put(ctx, c1 - 1);
	}
	GK_WR(l->u.sock.nqueue, 0);
	gk_late_refuse(gk, (uint32_t)(l - gk->ofd));
}

int
gk_queue_waits(struct gk *gk, uint32_t listener)
{
	struct gk_ofd *l = gk_ofd_kind(gk, listener, GK_LISTENER), *c;
	uint32_t i, n, c1;

	n = l == NULL ? 0 : GK_RD(l->u.sock.nqueue);
	c1 = n == 0 ? 0 : GK_RD(l->u.sock.first1);
	for (i = 0; i < n && i < GK_NOFD; i++) {
		if (gk_scm_waits(gk, c1 - 1U))
			return (1);
		c = gk_queued_at(gk, c1);
		if (c == NULL)
			break;
		c1 = GK_RD(c->u.conn.next1);
	}
	return (0);
}

static int64_t
gk_accept_flags(struct gk_ctx *ctx, const uint64_t a[6], uint32_t flags)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *l, *c;
	uint8_t sa[110];
	uint32_t idx, c1;
	unsigned kind;
	size_t len;
	int64_t r;
	int fd;

	if (flags & ~(uint32_t)(GKA_SOCK_NONBLOCK | GKA_SOCK_CLOEXEC))
		return (-GKA_EINVAL);
	r = gk_sock_get(ctx, (uint32_t)a[0], &l, &idx, &kind);
	if (r != 0)
		return (r);
	if (kind == GK_DGRAM || (kind == GK_PAIR && gk_is_framed(l) &&
	    GK_RD(l->u.conn.type) == GKA_SOCK_DGRAM))
		return (-GKA_EOPNOTSUPP);
	if (kind != GK_LISTENER)
		return (-GKA_EINVAL);
	if (GK_RD(l->u.sock.nqueue) == 0) {
		gk_wait_timeo(ctx, GK_RD(l->u.sock.timeo[GK_RCV]));
		return ((GK_RD(l->flags) & GKA_O_NONBLOCK) ||
		    gk_wait_over(ctx) == 0 ? -GKA_EAGAIN : GK_BLOCK);
	}
	/* The descriptor first: with none free the connection stays queued. */
	fd = gk_fd_new(gk, idx, 0, (flags & GKA_SOCK_CLOEXEC) != 0);
	if (fd < 0)
		return (fd);
	c1 = gk_queue_pop(gk, l);
	if (c1 == 0) {
		GK_WR(gk->fd[fd].ofd1, 0);
		return (-GKA_EAGAIN);
	}
	GK_WR(gk->fd[fd].ofd1, (uint16_t)c1);
	gk_event(gk, l, GKA_EPOLLOUT);		/* room in the queue */
	if (GK_RD(gk->nlate) > 0)
		gk_late_join(gk, idx);
	c = &gk->ofd[c1 - 1];
	GK_WR(c->flags, GKA_O_RDWR | (flags & GKA_SOCK_NONBLOCK));
	GK_WR(c->u.conn.accepted, 1);
	if (a[1] == 0)
		return (fd);
	len = gk_sa_get(gk, GK_RD(c->u.conn.paddr1),
	    GK_RD(c->u.conn.domain), sa);
	r = gk_sa_out(ctx, sa, len, a[1], a[2]);
	if (r != 0)
		(void)gk_fd_close(ctx, (uint64_t)fd);
	return (r != 0 ? r : fd);
}

int64_t
gk_accept(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_accept_flags(ctx, a, 0));
}

int64_t
gk_accept4(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_accept_flags(ctx, a, (uint32_t)a[3]));
}

/* ---- shutdown ----------------------------------------------------------- */

/* The end of TCP is reached in both directions: for good */
static void
gk_tcp_over(struct gk *gk, struct gk_ofd *o, uint32_t peer)
{

	if (!(GK_RD(o->u.conn.rx.shut) & GK_SHUT_FIN))
		return;
	GK_WR(o->u.conn.dropped, 1);
	if (peer < GK_NOFD)
		GK_WR(gk->ofd[peer].u.conn.dropped, 1);
}

int64_t
gk_stream_shutdown(struct gk *gk, uint32_t ofd, unsigned kind, int how)
{
	struct gk_ofd *o = &gk->ofd[ofd];
	struct gk_ring *out;
	uint32_t peer;
	int tcp = gk_is_tcp(o);

	if ((kind == GK_CONN || tcp) && GK_RD(o->u.conn.dropped))
		return (-GKA_ENOTCONN);
	if (how != GKA_SHUT_WR)
		GK_WR(o->u.conn.rx.shut, GK_RD(o->u.conn.rx.shut) |
		    (tcp ? GK_SHUT_RD : GK_SHUT_FIN));
	out = gk_ring_out(gk, ofd, kind, &peer);
	if (how != GKA_SHUT_RD && out != NULL)
		GK_WR(out->shut, GK_RD(out->shut) | GK_SHUT_FIN);
	if (how != GKA_SHUT_RD && tcp) {
		GK_WR(o->u.conn.tx.shut, GK_SHUT_FIN);
		gk_tcp_over(gk, o, peer);
	}
	gk_event(gk, o, GKA_EPOLLIN | GKA_EPOLLOUT);
	if (peer < GK_NOFD)
		gk_event(gk, &gk->ofd[peer], GKA_EPOLLIN | GKA_EPOLLOUT);
	return (0);
}

int64_t
gk_shutdown(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_ofd *o;
	uint32_t idx, how = (uint32_t)a[1];
	unsigned kind;
	int64_t r;

	r = gk_sock_get(ctx, (uint32_t)a[0], &o, &idx, &kind);
	if (r != 0)
		return (r);
	if (how > GKA_SHUT_RDWR)
		return (-GKA_EINVAL);
	if (kind == GK_SOCKET)
		return (gk_late_shutdown(ctx->gk, o));
	if (kind == GK_DGRAM)
		return (gk_dgram_shutdown(ctx->gk, o, how));
	if (gk_in_blob(ctx) && gk_queue_waits(ctx->gk, idx))
		return (GK_NOTMINE);
	ctx->news = kind == GK_CONN;
	if (kind != GK_LISTENER)
		return (gk_stream_shutdown(ctx->gk, idx, kind, (int)how));
	if (how != GKA_SHUT_WR) {
		/* It stops listening; whoever waits in accept gets EINVAL. */
		gk_listener_flush(ctx, o);
		GK_WR(o->kind, GK_SOCKET);
		gk_event(ctx->gk, o, GKA_EPOLLIN | GKA_EPOLLOUT);
	}
	return (0);
}
