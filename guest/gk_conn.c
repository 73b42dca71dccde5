/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Emulated connections: the VMM's side of them, and what becomes of one when
 * the guest lets go of it.
 *
 * The VMM names a connection by its description's index and by a number of its
 * own.  Both are checked on every call, so that a stale name never reaches the
 * entry's next user.
 */

#include "gk_priv.h"

static struct gk_ofd *
gk_conn_find(struct gk *gk, uint32_t ofd, uint32_t id)
{
	struct gk_ofd *o;

	o = gk_ofd_kind(gk, ofd, GK_CONN);
	if (o == NULL || GK_RD(o->u.conn.id) != id)
		return (NULL);
	return (o);
}

/* ---- addresses ---------------------------------------------------------- */

static const uint8_t gk_mapped[12] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
};
static const uint8_t gk_zeroes[16];

static uint16_t
gk_sa_family(const uint8_t *sa)
{
	uint16_t f;

	gk_copy(&f, sa, sizeof(f));
	return (f);
}

static void
gk_sa_start(uint8_t *sa, uint16_t family, const uint8_t port[2], size_t len)
{

	gk_zero(sa, len);
	gk_copy(sa, &family, sizeof(family));
	gk_copy(sa + 2, port, 2);
}

/*
 * The client's address as a socket of the listener's family sees it; what the
 * family cannot express becomes the loopback address.
 */
static size_t
gk_sa_peer(uint16_t domain, const uint8_t *sa, size_t len, uint8_t out[28])
{
	static const uint8_t deflt[8] = { GKA_AF_INET, 0, 4, 0, 127, 0, 0, 1 };
	uint16_t family;

	family = len >= 2 ? gk_sa_family(sa) : GKA_AF_UNSPEC;
	if (domain == GKA_AF_UNIX) {
		gk_copy(out, &domain, sizeof(domain));
		return (2);
	}
	if (domain == GKA_AF_INET6 && family == GKA_AF_INET6 && len >= 28) {
		gk_copy(out, sa, 28);
		return (28);
	}
	if (family != GKA_AF_INET || len < 8)
		sa = family == GKA_AF_INET6 && len >= 28 &&
		    gk_same(sa + 8, gk_mapped, 12) ? sa : deflt;
	family = gk_sa_family(sa);
	gk_sa_start(out, domain, sa + 2, 28);
	if (family == GKA_AF_INET6) {
		gk_copy(out + 4, sa + 20, 4);
		return (16);
	}
	if (domain == GKA_AF_INET) {
		gk_copy(out + 4, sa + 4, 4);
		return (16);
	}
	gk_copy(out + 8, gk_mapped, 12);
	gk_copy(out + 20, sa + 4, 4);
	return (28);
}

/*
 * getsockname of an accepted connection never says "any address": put the
 * loopback address of the peer's family there.
 */
static void
gk_sa_own(uint8_t *sa, size_t len, const uint8_t *peer)
{
	static const uint8_t lo[4] = { 127, 0, 0, 1 };

	if (len == 16 && gk_same(sa + 4, gk_zeroes, 4)) {
		gk_copy(sa + 4, lo, 4);
	} else if (len == 28 && gk_sa_family(sa) == GKA_AF_INET6 &&
	    gk_same(sa + 8, gk_zeroes, 16)) {
		if (gk_same(peer + 8, gk_mapped, 12)) {
			gk_copy(sa + 8, gk_mapped, 12);
			gk_copy(sa + 20, lo, 4);
		} else {
			sa[23] = 1;
		}
	}
}

static int
gk_conn_names(struct gk *gk, struct gk_ofd *o, uint32_t laddr1,
    const void *sa, size_t salen)
{
	uint8_t own[110], peer[28];
	size_t ownlen, peerlen;
	uint32_t a1, p1;
	uint16_t domain = o->u.conn.domain;

	peerlen = gk_sa_peer(domain, sa, sa == NULL ? 0 : salen, peer);
	ownlen = gk_addr_read(gk, laddr1, own);
	if (domain != GKA_AF_UNIX)
		gk_sa_own(own, ownlen, peer);
	a1 = gk_addr_get(gk, own, ownlen);
	p1 = gk_addr_get(gk, peer, peerlen);
	o->u.conn.addr1 = (uint16_t)a1;
	o->u.conn.paddr1 = (uint16_t)p1;
	return (a1 == 0 || p1 == 0 ? -GKA_ENOBUFS : 0);
}

/* ---- life --------------------------------------------------------------- */

static int
gk_conn_make(struct gk_ctx *ctx, struct gk_ofd *l, uint32_t id,
    const void *sa, size_t salen)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	int idx;

	idx = gk_ofd_new(gk, GK_CONN, GKA_O_RDWR);
	if (idx < 0)
		return (idx);
	o = &gk->ofd[idx];
	o->u.conn.domain = GK_RD(l->u.sock.domain);
	o->u.conn.type = GK_RD(l->u.sock.type);
	o->u.conn.opts = GK_RD(l->u.sock.opts);
	o->u.conn.linger = GK_RD(l->u.sock.linger);
	o->u.conn.sndbuf = GK_RD(l->u.sock.sndbuf);
	o->u.conn.rcvbuf = GK_RD(l->u.sock.rcvbuf);
	o->u.conn.timeo[GK_RCV] = GK_RD(l->u.sock.timeo[GK_RCV]);
	o->u.conn.timeo[GK_SND] = GK_RD(l->u.sock.timeo[GK_SND]);
	o->u.conn.id = id;
	gk_opt_inherit(o, l);
	if (gk_conn_names(gk, o, GK_RD(l->u.sock.addr1), sa, salen) ||
	    gk_ring_new(gk, &o->u.conn.rx, GK_BUFSZ) ||
	    gk_ring_new(gk, &o->u.conn.tx, GK_BUFSZ)) {
		gk_ofd_put(ctx, (uint32_t)idx);
		return (-GKA_ENOBUFS);
	}
	return (idx);
}

int
gk_conn_open(struct gk_ctx *ctx, uint32_t listener, uint32_t id,
    const void *sa, size_t salen)
{
	struct gk_ofd *l;
	int idx;

	l = gk_ofd_kind(ctx->gk, listener, GK_LISTENER);
	if (l == NULL)
		return (-GKA_EINVAL);
	if (gk_queue_full(l))
		return (-GKA_EAGAIN);
	idx = gk_conn_make(ctx, l, id, sa, salen);
	if (idx < 0)
		return (idx);
	gk_queue_push(ctx->gk, l, (uint32_t)idx);
	return (idx);
}

/*
 * The guest's last descriptor went.  Response bytes that the VMM has not taken
 * keep the entry as an orphan.
 */
int
gk_conn_release(struct gk *gk, uint32_t ofd)
{
	struct gk_ofd *o = &gk->ofd[ofd];

	gk_ring_free(gk, &o->u.conn.rx);
	gk_addr_put(gk, GK_RD(o->u.conn.addr1));
	gk_addr_put(gk, GK_RD(o->u.conn.paddr1));
	GK_WR(o->u.conn.addr1, 0);
	GK_WR(o->u.conn.paddr1, 0);
	if (GK_RD(o->u.conn.accepted) && !GK_RD(o->u.conn.dropped) &&
	    gk_ring_used(gk, &o->u.conn.tx) > 0) {
		GK_WR(o->refs, 0);
		GK_WR(o->u.conn.orphan, 1);
		return (1);
	}
	gk_ring_free(gk, &o->u.conn.tx);
	return (0);
}

static void
gk_orphan_free(struct gk *gk, struct gk_ofd *o)
{

	gk_ring_free(gk, &o->u.conn.tx);
	gk_ofd_free(gk, o);
}

/* ---- the VMM's calls ---------------------------------------------------- */

void
gk_conn_peer(struct gk_ctx *ctx, uint32_t ofd, uint32_t id, const void *sa,
    size_t salen)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	uint8_t peer[28];
	uint32_t p1;

	o = gk_conn_find(gk, ofd, id);
	if (o == NULL || sa == NULL || GK_RD(o->u.conn.orphan))
		return;
	p1 = gk_addr_get(gk, peer, gk_sa_peer(GK_RD(o->u.conn.domain), sa,
	    salen, peer));
	if (p1 == 0)
		return;
	gk_addr_put(gk, GK_RD(o->u.conn.paddr1));
	GK_WR(o->u.conn.paddr1, (uint16_t)p1);
}

size_t
gk_conn_put(struct gk_ctx *ctx, uint32_t ofd, uint32_t id,
    const void *src, size_t len)
{
	struct gk_ofd *o;
	struct gk_ring *r;
	struct gk_view v;

	o = gk_conn_find(ctx->gk, ofd, id);
	if (o == NULL || GK_RD(o->u.conn.orphan))
		return (0);
	r = &o->u.conn.rx;
	if (GK_RD(r->shut))
		return (len);	/* SHUT_RD: swallowed */
	if (gk_ring_view(ctx->gk, r, &v))
		return (0);
	len = GK_MIN(len, v.space);
	if (len == 0)
		return (0);
	(void)gk_view_push(ctx, &v, src, len);
	gk_ring_wrote(r, &v);
	gk_event(ctx->gk, o, GKA_EPOLLIN);
	return (len);
}

void
gk_conn_put_eof(struct gk_ctx *ctx, uint32_t ofd, uint32_t id)
{
	struct gk_ofd *o;

	o = gk_conn_find(ctx->gk, ofd, id);
	if (o == NULL || GK_RD(o->u.conn.orphan))
		return;
	GK_WR(o->u.conn.rx.shut, GK_RD(o->u.conn.rx.shut) | GK_SHUT_FIN);
	gk_event(ctx->gk, o, GKA_EPOLLIN | GKA_EPOLLOUT);
}

size_t
gk_conn_get(struct gk_ctx *ctx, uint32_t ofd, uint32_t id, void *dst,
    size_t len)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	struct gk_ring *r;
	struct gk_view v;
	uint32_t ev;

	o = gk_conn_find(gk, ofd, id);
	if (o == NULL)
		return (0);
	r = &o->u.conn.tx;
	if (gk_ring_view(gk, r, &v))
		len = 0;
	len = GK_MIN(len, v.used);
	if (len > 0) {
		(void)gk_view_pull(&v, dst, len);
		ev = gk_ring_took(r, &v, 0);
		/* Even a little room lets a blocked write go on. */
		gk_event(gk, o, ev);
	}
	if (GK_RD(o->u.conn.orphan) && len == v.used)
		gk_orphan_free(gk, o);
	return (len);
}

void
gk_conn_drop(struct gk_ctx *ctx, uint32_t ofd, uint32_t id)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	uint16_t shut;

	o = gk_conn_find(gk, ofd, id);
	if (o == NULL)
		return;
	if (GK_RD(o->u.conn.orphan)) {
		gk_orphan_free(gk, o);
		return;
	}
	if (GK_RD(o->u.conn.dropped))
		return;
	shut = GK_RD(o->u.conn.rx.shut);
	GK_WR(o->u.conn.dropped, 1);
	/* After an orderly end the guest reads 0; else it was cut off. */
	if (!(shut & GK_SHUT_FIN)) {
		GK_WR(o->u.conn.err, GKA_ECONNRESET);
		GK_WR(o->u.conn.rx.shut, shut | GK_SHUT_RST);
	} else
		GK_WR(o->u.conn.err, GKA_EPIPE);
	GK_WR(o->u.conn.tx.shut, GK_SHUT_RST);
	gk_ring_free(gk, &o->u.conn.tx);
	gk_event(gk, o, GKA_EPOLLIN | GKA_EPOLLOUT);
}

void
gk_conn_state(struct gk_ctx *ctx, uint32_t ofd, uint32_t id,
    struct gk_conn_state *st)
{
	struct gk_ofd *o;
	struct gk_view v;

	gk_zero(st, sizeof(*st));
	o = gk_conn_find(ctx->gk, ofd, id);
	if (o == NULL || GK_RD(o->u.conn.dropped)) {
		st->gone = st->closed = 1;
		return;
	}
	st->accepted = GK_RD(o->u.conn.accepted) != 0;
	st->closed = GK_RD(o->u.conn.orphan) != 0;
	st->wr_shut = st->closed || GK_RD(o->u.conn.tx.shut) != 0;
	(void)gk_ring_view(ctx->gk, &o->u.conn.rx, &v);
	st->in = v.used;
	st->in_space = v.space;
	(void)gk_ring_view(ctx->gk, &o->u.conn.tx, &v);
	st->out = v.used;
	st->out_space = v.space;
}
