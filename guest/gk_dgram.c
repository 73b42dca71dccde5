/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Datagram sockets inside the guest: UDP between its own addresses, named and
 * abstract Unix sockets.  A socket that sends to the outside leaves for the
 * VMM (egress.c), which may make it a host file.
 *
 * A datagram is a struct gk_dgram, the sender's address and its bytes in the
 * receiver's ring.  All of it is done in the VMM: the blob passes it on.
 */

#include "gk_priv.h"

#define GK_UDP_MAX	65507
#define GK_SHUT_IN	1	/* rx.shut */
#define GK_SHUT_OUT	2

struct gk_dgram {
	uint32_t	len;	/* first: FIONREAD reads it */
	uint32_t	namelen;
};

/* ---- who gets it -------------------------------------------------------- */

static int
gk_dgram_ip(struct gk *gk, struct gk_ofd *o, uint32_t addr1, struct gk_ip *ip)
{
	uint8_t sa[110];

	if (gk_addr_read(gk, addr1, sa) == 0)
		return (0);
	gk_ip_parse(sa, GK_RD(o->u.sock.domain), GK_RD(o->u.sock.opts), ip);
	return (1);
}

static int
gk_ip_same(const struct gk_ip *a, const struct gk_ip *b)
{

	return (a->port == b->port && gk_same(a->ip, b->ip, 16));
}

/*
 * The receiver of a datagram; one that is connected to the sender first, then
 * one that is bound to that very address.  Without a sender: is there any?
 */
static uint32_t
gk_dgram_find(struct gk *gk, const struct gk_ip *to, const struct gk_ip *from)
{
	uint32_t i, hi = gk_hi(GK_RD(gk->hi_ofd), GK_NOFD), best = GK_NOFD;
	struct gk_ip own, peer;
	struct gk_ofd *o;
	int exact = 0;

	for (i = 0; i < hi; i++) {
		o = gk_ofd_kind(gk, i, GK_DGRAM);
		if (o == NULL || GK_RD(o->u.sock.domain) == GKA_AF_UNIX ||
		    !gk_dgram_ip(gk, o, GK_RD(o->u.sock.addr1), &own) ||
		    !gk_ip_listens(&own, to))
			continue;
		if (from == NULL)
			return (i);
		if (!gk_dgram_ip(gk, o, GK_RD(o->u.sock.paddr1), &peer)) {
			if (best != GK_NOFD && (exact || own.any))
				continue;
			best = i;
			exact = !own.any;
		} else if (gk_ip_same(&peer, from)) {
			return (i);
		}
	}
	return (best);
}

int
gk_dgram_local(const void *sa, size_t len)
{
	uint16_t family;
	struct gk_ip ip;

	if (len < 16)
		return (0);
	gk_copy(&family, sa, sizeof(family));
	if (family != GKA_AF_INET && (family != GKA_AF_INET6 || len < 24))
		return (0);
	gk_ip_parse(sa, family, 0, &ip);
	return (gk_is_local(&ip));
}

/* ---- send --------------------------------------------------------------- */

/* Room in its ring, which it gets with the first one.  0: none */
static int64_t
gk_dgram_head(struct gk_ctx *ctx, struct gk_ring *r,
    const struct gk_name *from, uint64_t len, struct gk_view *v)
{
	struct gk_dgram h = { (uint32_t)len, (uint32_t)from->len };
	uint16_t shut = GK_RD(r->shut);

	if (GK_RD(r->buf1) == 0) {
		if (gk_ring_new(ctx->gk, r, GK_BUFSZ))
			return (-GKA_ENOBUFS);
		GK_WR(r->shut, shut);
	}
	if (gk_ring_view(ctx->gk, r, v) ||
	    sizeof(h) + h.namelen + (uint64_t)h.len > v->space)
		return (0);
	(void)gk_view_push(ctx, v, &h, sizeof(h));
	(void)gk_view_push(ctx, v, from->sa, h.namelen);
	return (1);
}

/* Into its ring.  0: no room */
static int64_t
gk_dgram_put(struct gk_ctx *ctx, uint32_t to, const struct gk_name *from,
    struct gk_iter *it)
{
	struct gk_ofd *o = &ctx->gk->ofd[to];
	struct gk_ring *r = &o->u.sock.rx;
	uint64_t len = it->total;
	struct gk_view v;
	int64_t ret;

	ret = gk_dgram_head(ctx, r, from, len, &v);
	if (ret != 1)
		return (ret);
	if (gk_view_fill(ctx, &v, it, len) < len)
		return (-GKA_EFAULT);
	gk_ring_wrote(r, &v);
	gk_event(ctx->gk, o, GKA_EPOLLIN);
	return (1);
}

static int64_t
gk_dgram_unix(struct gk_ctx *ctx, struct gk_end *e, const struct gk_name *to,
    struct gk_iter *it)
{
	struct gk *gk = ctx->gk;
	uint32_t peer, own1 = GK_RD(e->o->u.sock.addr1);
	struct gk_name from, want;
	int64_t r;

	peer = gk_find_bound(gk, GK_DGRAM, GKA_AF_UNIX, to->sa, to->len);
	if (peer >= GK_NOFD)
		return (e->name != NULL && to->sa[2] != 0 ? GK_NOTMINE :
		    -GKA_ECONNREFUSED);
	from.len = gk_addr_read(gk, own1, from.sa);
	want.len = gk_addr_read(gk, GK_RD(gk->ofd[peer].u.sock.paddr1),
	    want.sa);
	if (want.len != 0 && (want.len != from.len ||
	    !gk_same(want.sa, from.sa, from.len)))
		return (-GKA_EPERM);	/* it talks to somebody else */
	if (GK_RD(gk->ofd[peer].u.sock.rx.shut) & GK_SHUT_IN)
		return (-GKA_EPIPE);
	if (it->total + sizeof(struct gk_dgram) + sizeof(from.sa) > GK_BUFSZ)
		return (-GKA_EMSGSIZE);
	r = (int64_t)it->total;
	switch (gk_dgram_put(ctx, peer, &from, it)) {
	case 1:
		return (r);
	case 0:
		return (e->nonblock ? -GKA_EAGAIN : GK_BLOCK);
	case -GKA_EFAULT:
		return (-GKA_EFAULT);
	default:
		return (-GKA_ENOBUFS);
	}
}

/* Its own address, as of now: bound to a port if it was not. */
static int64_t
gk_dgram_own(struct gk *gk, struct gk_end *e, struct gk_ip *own)
{
	uint16_t domain = GK_RD(e->o->u.sock.domain);
	uint8_t sa[110];
	int64_t r;
	size_t n;

	if (GK_RD(e->o->u.sock.addr1) == 0) {
		n = gk_sa_get(gk, 0, domain, sa);
		r = gk_bind_port(gk, e->idx, sa, n);
		if (r != 0)
			return (r);
	}
	if (!gk_dgram_ip(gk, e->o, GK_RD(e->o->u.sock.addr1), own))
		return (-GKA_EINVAL);
	return (0);
}

static int64_t
gk_dgram_udp(struct gk_ctx *ctx, struct gk_end *e, const struct gk_name *to,
    struct gk_iter *it)
{
	struct gk_ip dst, own;
	struct gk_name from;
	uint32_t peer;
	int64_t r, n = (int64_t)it->total;

	if (it->total > GK_UDP_MAX)
		return (-GKA_EMSGSIZE);
	gk_ip_parse(to->sa, GK_RD(e->o->u.sock.domain), 0, &dst);
	if (dst.port == 0)
		return (-GKA_EINVAL);
	if (!gk_is_local(&dst))
		return (GK_NOTMINE);
	gk_ip_concrete(&dst);
	r = gk_dgram_own(ctx->gk, e, &own);
	if (r != 0)
		return (r);
	/* As the receiver sees it: of the family that it was sent with */
	gk_ip_source(&own, &dst);
	peer = gk_dgram_find(ctx->gk, &dst, &own);
	if (peer >= GK_NOFD) {
		if (e->name != NULL)
			return (GK_NOTMINE);	/* the host's, perhaps */
		GK_WR(e->o->u.sock.err, GKA_ECONNREFUSED);
		gk_event(ctx->gk, e->o, GKA_EPOLLIN);
		return (n);
	}
	from.len = gk_ip_write(&own, GK_RD(ctx->gk->ofd[peer].u.sock.domain),
	    from.sa);
	/* What does not fit is lost, as ever with UDP. */
	r = gk_dgram_put(ctx, peer, &from, it);
	return (r == -GKA_EFAULT ? r : n);
}

int
gk_dgram_deliver(struct gk_ctx *ctx, const void *to, const void *from,
    const void *buf, size_t len)
{
	struct gk_ip dst, own;
	struct gk_name name;
	struct gk_ofd *o;
	struct gk_view v;
	uint16_t family;
	uint32_t peer;

	if (len > GK_UDP_MAX)
		return (0);
	gk_copy(&family, to, sizeof(family));
	gk_ip_parse(to, family, 0, &dst);
	gk_ip_parse(from, family, 0, &own);
	gk_ip_concrete(&dst);
	gk_ip_source(&own, &dst);
	peer = gk_dgram_find(ctx->gk, &dst, &own);
	if (peer >= GK_NOFD)
		return (0);
	o = &ctx->gk->ofd[peer];
	name.len = gk_ip_write(&own, GK_RD(o->u.sock.domain), name.sa);
	/* What does not fit is lost here, too. */
	if (gk_dgram_head(ctx, &o->u.sock.rx, &name, len, &v) == 1) {
		(void)gk_view_push(ctx, &v, buf, len);
		gk_ring_wrote(&o->u.sock.rx, &v);
		gk_event(ctx->gk, o, GKA_EPOLLIN);
	}
	return (1);
}

static int64_t
gk_dgram_error(struct gk_end *e)
{
	uint16_t err = GK_RD(e->o->u.sock.err);

	GK_WR(e->o->u.sock.err, 0);
	return (-(int64_t)GK_MIN(err, 4095));
}

int64_t
gk_dgram_out(struct gk_ctx *ctx, struct gk_end *e, struct gk_iter *it)
{
	uint16_t domain = GK_RD(e->o->u.sock.domain);
	struct gk_name to;
	int64_t r;

	r = gk_dgram_error(e);
	if (r != 0)
		return (r);
	if (GK_RD(e->o->u.sock.rx.shut) & GK_SHUT_OUT)
		return (-GKA_EPIPE);	/* no signal: that is for streams */
	if (e->name != NULL) {
		to = *e->name;
		r = gk_sa_check(e->idx, domain, to.sa, to.len);
		if (r < 0)
			return (r);
		to.len = (size_t)r;
	} else {
		to.len = gk_addr_read(ctx->gk, GK_RD(e->o->u.sock.paddr1),
		    to.sa);
		if (to.len == 0)
			return (domain == GKA_AF_UNIX ? -GKA_ENOTCONN :
			    -GKA_EDESTADDRREQ);
	}
	return (domain == GKA_AF_UNIX ? gk_dgram_unix(ctx, e, &to, it) :
	    gk_dgram_udp(ctx, e, &to, it));
}

/* ---- receive ------------------------------------------------------------ */

/* Nothing there: the end, an error, SO_RCVTIMEO, or wait. */
static int64_t
gk_dgram_none(struct gk_ctx *ctx, struct gk_end *e)
{
	uint32_t ms = GK_RD(e->o->u.sock.timeo[GK_RCV]);
	int64_t r;

	r = gk_dgram_error(e);
	if (r != 0)
		return (r);
	if (GK_RD(e->o->u.sock.rx.shut) & GK_SHUT_IN)
		return (0);
	if (e->nonblock || (ctx->restart && ctx->now_mono >= ctx->deadline))
		return (-GKA_EAGAIN);
	if (ms > 0)
		gk_wait_ns(ctx, (uint64_t)ms * 1000000);
	return (GK_BLOCK);
}

int64_t
gk_dgram_in(struct gk_ctx *ctx, struct gk_end *e, struct gk_iter *it)
{
	struct gk_ring *r = &e->o->u.sock.rx;
	struct gk_dgram h;
	struct gk_view v;
	uint8_t sa[110];
	uint64_t n;
	uint32_t end;
	int64_t ret;

	(void)gk_ring_view(ctx->gk, r, &v);
	if (v.used < sizeof(h))
		return (gk_dgram_none(ctx, e));
	(void)gk_view_pull(&v, &h, sizeof(h));
	h.namelen = GK_MIN(h.namelen, (uint32_t)sizeof(sa));
	h.namelen = GK_MIN(h.namelen, v.head - v.tail);
	(void)gk_view_pull(&v, sa, h.namelen);
	h.len = GK_MIN(h.len, v.head - v.tail);
	end = v.tail + h.len;
	n = GK_MIN(h.len, it->total);
	ret = (e->flags & GKA_MSG_TRUNC) ? h.len : (int64_t)n;
	if (h.len > it->total)
		e->oflags |= GKA_MSG_TRUNC;
	if (gk_view_drain(ctx, &v, it, n) < n)
		ret = -GKA_EFAULT;
	if (e->name != NULL) {
		e->name->len = h.namelen;
		gk_copy(e->name->sa, sa, h.namelen);
	}
	if (!(e->flags & GKA_MSG_PEEK)) {
		v.tail = end;
		(void)gk_ring_took(r, &v, 0);
		/* Whoever waits for room is not known: all look again. */
		gk_event(ctx->gk, e->o, 0);
	}
	return (ret);
}

/* ---- connect, shutdown, poll -------------------------------------------- */

static int64_t
gk_dgram_set_peer(struct gk *gk, struct gk_ofd *o, const uint8_t *sa,
    size_t len)
{
	uint32_t a1 = 0;

	if (len > 0) {
		a1 = gk_addr_get(gk, sa, len);
		if (a1 == 0)
			return (-GKA_ENOBUFS);
	}
	gk_addr_put(gk, GK_RD(o->u.sock.paddr1));
	GK_WR(o->u.sock.paddr1, (uint16_t)a1);
	return (0);
}

/* Connecting chooses an own address. */
int64_t
gk_dgram_connect_ip(struct gk_ctx *ctx, uint32_t idx, const void *sa)
{
	struct gk *gk = ctx->gk;
	struct gk_end e = { .o = gk_ofd_kind(gk, idx, GK_DGRAM), .idx = idx };
	struct gk_ip ip, own;
	uint16_t domain;
	uint8_t buf[28];
	uint32_t a1;
	int64_t r;
	size_t n;

	if (e.o == NULL)
		return (-GKA_EINVAL);
	domain = GK_RD(e.o->u.sock.domain);
	r = gk_dgram_own(gk, &e, &own);
	if (r != 0)
		return (r);
	gk_ip_parse(sa, domain, 0, &ip);
	gk_ip_concrete(&ip);
	if (own.any) {
		gk_ip_source(&own, &ip);
		n = gk_ip_write(&own, domain, buf);
		a1 = gk_addr_get(gk, buf, n);
		if (a1 == 0)
			return (-GKA_ENOBUFS);
		gk_addr_put(gk, GK_RD(e.o->u.sock.addr1));
		GK_WR(e.o->u.sock.addr1, (uint16_t)a1);
	}
	n = gk_ip_write(&ip, domain, buf);
	return (gk_dgram_set_peer(gk, e.o, buf, n));
}

int64_t
gk_dgram_connect(struct gk_ctx *ctx, uint32_t idx, uint8_t *sa, size_t len)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o = &gk->ofd[idx];
	uint16_t domain = GK_RD(o->u.sock.domain), family;
	struct gk_ip ip;
	int64_t r;

	gk_copy(&family, sa, sizeof(family));
	if (family == GKA_AF_UNSPEC)
		return (gk_dgram_set_peer(gk, o, sa, 0));
	r = gk_sa_check(idx, domain, sa, len);
	if (r < 0)
		return (r);
	if (domain == GKA_AF_UNIX) {
		if (gk_find_bound(gk, GK_DGRAM, domain, sa, (size_t)r) <
		    GK_NOFD)
			return (gk_dgram_set_peer(gk, o, sa, (size_t)r));
		if (gk_find_bound(gk, GK_LISTENER, domain, sa, (size_t)r) <
		    GK_NOFD)
			return (-GKA_EPROTOTYPE);
		return (sa[2] == 0 ? -GKA_ECONNREFUSED : GK_NOTMINE);
	}
	gk_ip_parse(sa, domain, 0, &ip);
	if (!gk_is_local(&ip))
		return (GK_NOTMINE);
	gk_ip_concrete(&ip);
	if (gk_dgram_find(gk, &ip, NULL) >= GK_NOFD)
		return (GK_NOTMINE);
	return (gk_dgram_connect_ip(ctx, idx, sa));
}

int64_t
gk_dgram_shutdown(struct gk *gk, struct gk_ofd *o, uint32_t how)
{
	uint16_t shut = GK_RD(o->u.sock.rx.shut);

	if (how != GKA_SHUT_WR)
		shut |= GK_SHUT_IN;
	if (how != GKA_SHUT_RD)
		shut |= GK_SHUT_OUT;
	GK_WR(o->u.sock.rx.shut, shut);
	gk_event(gk, o, GKA_EPOLLIN | GKA_EPOLLOUT);
	/* UDP without a peer complains, and has done it: who waits is woken. */
	return (GK_RD(o->u.sock.paddr1) == 0 &&
	    GK_RD(o->u.sock.domain) != GKA_AF_UNIX ? -GKA_ENOTCONN : 0);
}

uint32_t
gk_dgram_poll(struct gk *gk, struct gk_ofd *o)
{
	uint16_t shut = GK_RD(o->u.sock.rx.shut);
	uint32_t m = GK_EV_OUT | GKA_EPOLLWRBAND;

	if ((shut & GK_SHUT_IN) || gk_ring_used(gk, &o->u.sock.rx) > 0)
		m |= GK_EV_IN;
	if (shut & GK_SHUT_IN)
		m |= GKA_EPOLLRDHUP;
	if (shut == (GK_SHUT_IN | GK_SHUT_OUT))
		m |= GKA_EPOLLHUP;
	if (GK_RD(o->u.sock.err) != 0)
		m |= GKA_EPOLLERR;
	return (m);
}

void
gk_dgram_release(struct gk *gk, struct gk_ofd *o)
{

	gk_ring_free(gk, &o->u.sock.rx);
	gk_addr_put(gk, GK_RD(o->u.sock.paddr1));
}
