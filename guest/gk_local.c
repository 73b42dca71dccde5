/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * connect(2) of a stream to a listener of the same guest: both ends become a
 * GK_PAIR, and the listener's is queued for accept.  With TCP a caller that
 * does not wait hears EINPROGRESS in any case, and a queue without room lets
 * the connection wait (gk->nlate), as the network would.
 *
 * Must never reach anything outside the guest.
 */

#include "gk_priv.h"

int
gk_is_local(const struct gk_ip *ip)
{
	static const uint8_t loop6[16] = { [15] = 1 };

	if (ip->any || gk_is_any4(ip) || gk_same(ip->ip, loop6, 16))
		return (1);
	return (ip->ip[10] == 0xff && ip->ip[11] == 0xff && ip->ip[12] == 127);
}

int
gk_ip_listens(const struct gk_ip *l, const struct gk_ip *to)
{

	if (l->port != to->port)
		return (0);
	if (gk_is_any4(l))
		return (to->ip[10] == 0xff);
	if (l->any)
		return (!l->only || to->ip[10] != 0xff);
	return (gk_same(l->ip, to->ip, 16));
}

uint32_t
gk_find_bound(struct gk *gk, enum gk_kind kind, uint16_t domain,
    const uint8_t *sa, size_t len)
{
	uint32_t i, hi = gk_hi(GK_RD(gk->hi_ofd), GK_NOFD);
	struct gk_ip to, own;
	uint8_t osa[110];
	uint16_t od;
	size_t olen;

	if (domain != GKA_AF_UNIX) {
		gk_ip_parse(sa, domain, 0, &to);
		if (!gk_is_local(&to))
			return (GK_NOFD);
		gk_ip_concrete(&to);
	}
	for (i = 0; i < hi; i++) {
		if (GK_RD(gk->ofd[i].kind) != kind)
			continue;
		od = GK_RD(gk->ofd[i].u.sock.domain);
		olen = gk_addr_read(gk, GK_RD(gk->ofd[i].u.sock.addr1), osa);
		if (olen == 0 || (od == GKA_AF_UNIX) != (domain == GKA_AF_UNIX))
			continue;
		if (domain == GKA_AF_UNIX) {
			if (olen == len && gk_same(sa, osa, len) &&
			    !(GK_RD(gk->ofd[i].u.sock.opts) & GK_OPT_UNNAMED))
				return (i);
			continue;
		}
		gk_ip_parse(osa, od, GK_RD(gk->ofd[i].u.sock.opts), &own);
		if (gk_ip_listens(&own, &to))
			return (i);
	}
	return (GK_NOFD);
}

void
gk_name_gone(struct gk *gk, uint32_t ofd, uint32_t addr1)
{
	struct gk_ofd *o = gk_ofd_at(gk, ofd);
	unsigned kind;

	if (o == NULL)
		return;
	kind = GK_RD(o->kind);
	if ((kind != GK_SOCKET && kind != GK_LISTENER && kind != GK_DGRAM) ||
	    GK_RD(o->u.sock.domain) != GKA_AF_UNIX || addr1 == 0 ||
	    GK_RD(o->u.sock.addr1) != addr1)
		return;
	GK_WR(o->u.sock.opts, GK_RD(o->u.sock.opts) | GK_OPT_UNNAMED);
}

int
gk_name_bound(struct gk *gk, const char *path, size_t len)
{
	static const enum gk_kind kinds[] = {
		GK_LISTENER, GK_SOCKET, GK_DGRAM
	};
	uint8_t sa[110];
	uint16_t family = GKA_AF_UNIX;
	size_t i;

	if (len == 0 || len > sizeof(sa) - 2)
		return (0);
	gk_zero(sa, sizeof(sa));
	gk_copy(sa, &family, sizeof(family));
	gk_copy(sa + 2, path, len);
	len += 2;
	if (len < sizeof(sa))
		len++;			/* with its NUL, as bind(2) notes it */
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (gk_find_bound(gk, kinds[i], family, sa, len) < GK_NOFD)
			return (1);
	return (0);
}

/* ---- both ends ---------------------------------------------------------- */

/* Make description idx one end of a pair, with the options of `like`; it takes
 * over the addresses. */
static void
gk_end_make(struct gk *gk, uint32_t idx, const struct gk_ofd *like,
    uint32_t own1, uint32_t peer1, const struct gk_ring *rx)
{
	struct gk_ofd *o = &gk->ofd[idx];
	uint16_t domain = GK_RD(like->u.sock.domain);
	uint16_t type = GK_RD(like->u.sock.type);
	uint16_t linger = GK_RD(like->u.sock.linger);
	uint32_t opts = GK_RD(like->u.sock.opts);
	uint32_t sndbuf = GK_RD(like->u.sock.sndbuf);
	uint32_t rcvbuf = GK_RD(like->u.sock.rcvbuf);
	uint32_t rcv = GK_RD(like->u.sock.timeo[GK_RCV]);
	uint32_t snd = GK_RD(like->u.sock.timeo[GK_SND]);

	if (o != like)
		gk_opt_inherit(o, like);
	gk_zero(&o->u, sizeof(o->u));
	o->u.conn.domain = domain;
	o->u.conn.type = type;
	o->u.conn.linger = linger;
	o->u.conn.opts = opts;
	o->u.conn.sndbuf = sndbuf;
	o->u.conn.rcvbuf = rcvbuf;
	o->u.conn.timeo[GK_RCV] = rcv;
	o->u.conn.timeo[GK_SND] = snd;
	o->u.conn.addr1 = (uint16_t)own1;
	o->u.conn.paddr1 = (uint16_t)peer1;
	o->u.conn.rx = *rx;
	GK_WR(o->kind, GK_PAIR);
}

/* Addresses, gk->addr[] + 1: the client's own and its peer's, the server's */
struct gk_names {
	uint32_t	c, cp, s, sp;
};

/* A second reference to an address */
static uint32_t
gk_addr_again(struct gk *gk, uint32_t addr1)
{
	uint8_t sa[110];
	size_t len;

	len = gk_addr_read(gk, addr1, sa);
	return (len == 0 ? 0 : gk_addr_get(gk, sa, len));
}

static uint32_t
gk_addr_ip(struct gk *gk, const struct gk_ip *ip, uint16_t domain)
{
	uint8_t sa[28];
	size_t len = gk_ip_write(ip, domain, sa);

	return (gk_addr_get(gk, sa, len));
}

/* The listener's name may be "any": both see where the client went. */
static void
gk_names_make(struct gk *gk, struct gk_ofd *c, struct gk_ofd *l,
    const struct gk_ip *to, struct gk_names *n)
{
	uint16_t cd = GK_RD(c->u.sock.domain), ld = GK_RD(l->u.sock.domain);
	uint32_t own = GK_RD(c->u.sock.addr1), dst = GK_RD(l->u.sock.addr1);
	struct gk_ip from;
	uint8_t sa[110];

	if (to == NULL) {	/* what its domain says now does not matter */
		n->c = own;
		n->cp = gk_addr_again(gk, dst);
		n->s = gk_addr_again(gk, dst);
		n->sp = gk_addr_again(gk, own);
		return;
	}
	(void)gk_sa_get(gk, own, cd, sa);
	gk_ip_parse(sa, cd, 0, &from);
	gk_ip_source(&from, to);
	gk_addr_put(gk, own);
	n->c = gk_addr_ip(gk, &from, cd);
	n->cp = gk_addr_ip(gk, to, cd);
	n->s = gk_addr_ip(gk, to, ld);
	n->sp = gk_addr_ip(gk, &from, ld);
}

/* Socket ci and a new one are connected, and that is queued in listener li,
 * which has room.  to: where to; NULL: they are Unix sockets */
static int64_t
gk_join(struct gk *gk, uint32_t ci, uint32_t li, const struct gk_ip *to)
{
	struct gk_ofd *c = &gk->ofd[ci], *l = &gk->ofd[li];
	struct gk_ring rc, rs;
	struct gk_names nm;
	int s;

	s = gk_ofd_new(gk, GK_PAIR, GKA_O_RDWR);
	if (s < 0)
		return (s);
	if (gk_ring_new(gk, &rc, GK_BUFSZ)) {
		gk_ofd_free(gk, &gk->ofd[s]);
		return (-GKA_ENOBUFS);
	}
	if (gk_ring_new(gk, &rs, GK_BUFSZ)) {
		gk_ring_free(gk, &rc);
		gk_ofd_free(gk, &gk->ofd[s]);
		return (-GKA_ENOBUFS);
	}
	gk_names_make(gk, c, l, to, &nm);
	gk_end_make(gk, (uint32_t)s, l, nm.s, nm.sp, &rs);
	if (to == NULL)			/* TCP's inherit the time-outs */
		gk_zero(gk->ofd[s].u.conn.timeo,
		    sizeof(gk->ofd[s].u.conn.timeo));
	gk_end_make(gk, ci, c, nm.c, nm.cp, &rc);
	gk->ofd[s].u.conn.peer1 = (uint16_t)(ci + 1);
	c->u.conn.peer1 = (uint16_t)(s + 1);
	gk_queue_push(gk, l, (uint32_t)s);
	gk_event(gk, c, GKA_EPOLLOUT);
	return (0);
}

/* ---- TCP without room in the queue -------------------------------------- */

int
gk_connecting(struct gk_ofd *o)
{

	return (GK_RD(o->kind) == GK_SOCKET && GK_RD(o->u.sock.paddr1) != 0);
}

/* One less waits: for what was at a1. */
static void
gk_late_less(struct gk *gk, uint32_t a1)
{
	uint32_t n = GK_RD(gk->nlate);

	gk_addr_put(gk, a1);
	if (n > 0)
		GK_WR(gk->nlate, n - 1);
}

static void
gk_late_over(struct gk *gk, struct gk_ofd *c)
{

	gk_late_less(gk, GK_RD(c->u.sock.paddr1));
	GK_WR(c->u.sock.paddr1, 0);
}

void
gk_late_forget(struct gk *gk, struct gk_ofd *c)
{

	if (gk_connecting(c))
		gk_late_over(gk, c);
}

int64_t
gk_late_shutdown(struct gk *gk, struct gk_ofd *c)
{

	if (!gk_connecting(c))
		return (-GKA_ENOTCONN);
	gk_late_over(gk, c);
	GK_WR(c->u.sock.err, GKA_ECONNRESET);
	gk_event(gk, c, GKA_EPOLLIN | GKA_EPOLLOUT);
	return (0);
}

/* The next one from i on that waits for this listener; GK_NOFD */
static uint32_t
gk_late_next(struct gk *gk, uint32_t i, uint32_t listener)
{
	uint32_t hi = gk_hi(GK_RD(gk->hi_ofd), GK_NOFD);

	for (; GK_RD(gk->nlate) > 0 && i < hi; i++)
		if (gk_connecting(&gk->ofd[i]) &&
		    GK_RD(gk->ofd[i].u.sock.late1) == listener + 1)
			return (i);
	return (GK_NOFD);
}

static void
gk_late_failed(struct gk *gk, uint32_t i, uint16_t err)
{

	gk_late_over(gk, &gk->ofd[i]);
	GK_WR(gk->ofd[i].u.sock.err, err);
	gk_event(gk, &gk->ofd[i], GKA_EPOLLIN | GKA_EPOLLOUT);
}

/* It goes on to where it wanted to; 0 or -errno. */
static int64_t
gk_late_in(struct gk *gk, uint32_t i, uint32_t listener)
{
	struct gk_ofd *c = &gk->ofd[i];
	uint32_t a1 = GK_RD(c->u.sock.paddr1);
	uint16_t domain = GK_RD(c->u.sock.domain);
	struct gk_ip to;
	uint8_t sa[110];
	int64_t r;

	if (domain == GKA_AF_UNIX || gk_addr_read(gk, a1, sa) == 0)
		return (-GKA_EINVAL);
	gk_ip_parse(sa, domain, 0, &to);
	r = gk_join(gk, i, listener, &to);
	if (r != 0)
		return (r);
	gk_late_less(gk, a1);
	GK_WR(c->u.conn.fresh, 1);
	return (0);
}

void
gk_late_join(struct gk *gk, uint32_t listener)
{
	struct gk_ofd *l = gk_ofd_kind(gk, listener, GK_LISTENER);
	uint32_t i;

	for (i = 0; l != NULL && i < GK_NOFD && !gk_queue_full(l); i++) {
		i = gk_late_next(gk, i, listener);
		if (i >= GK_NOFD)
			return;
		if (gk_late_in(gk, i, listener) == 0)
			continue;
		/* The next accept tries again, if there will be one. */
		if (GK_RD(l->u.sock.nqueue) > 0)
			return;
		gk_late_failed(gk, i, GKA_ETIMEDOUT);
	}
}

void
gk_late_refuse(struct gk *gk, uint32_t listener)
{
	uint32_t i;

	for (i = 0; i < GK_NOFD; i++) {
		i = gk_late_next(gk, i, listener);
		if (i >= GK_NOFD)
			return;
		gk_late_failed(gk, i, GKA_ECONNREFUSED);
	}
}

/* ---- connect ------------------------------------------------------------ */

/* No longer than SO_SNDTIMEO; 0: the time is up. */
static int64_t
gk_connect_wait(struct gk_ctx *ctx, struct gk_ofd *o)
{

	gk_wait_timeo(ctx, GK_RD(o->u.sock.timeo[GK_SND]));
	return (gk_wait_over(ctx));
}

static int64_t
gk_connect_unix(struct gk_ctx *ctx, uint32_t idx, uint32_t li)
{
	struct gk_ofd *o = &ctx->gk->ofd[idx];

	if (!gk_queue_full(&ctx->gk->ofd[li]))
		return (gk_join(ctx->gk, idx, li, NULL));
	if ((GK_RD(o->flags) & GKA_O_NONBLOCK) ||
	    gk_connect_wait(ctx, o) == 0)
		return (-GKA_EAGAIN);
	return (GK_BLOCK);
}

/* It is on its way, also if nobody waits for that any more. */
static int64_t
gk_connect_late(struct gk_ctx *ctx, struct gk_ofd *o)
{
	uint16_t told = GK_RD(o->u.sock.told);

	if (!(GK_RD(o->flags) & GKA_O_NONBLOCK) &&
	    gk_connect_wait(ctx, o) != 0)
		return (GK_BLOCK);
	GK_WR(o->u.sock.told, 1);
	return (told ? -GKA_EALREADY : -GKA_EINPROGRESS);
}

static int64_t
gk_connect_ip(struct gk_ctx *ctx, uint32_t idx, uint32_t li, const uint8_t *sa)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o = &gk->ofd[idx];
	uint16_t domain = GK_RD(o->u.sock.domain);
	int nonblock = (GK_RD(o->flags) & GKA_O_NONBLOCK) != 0;
	struct gk_ip to, own;
	uint8_t any[110];
	uint32_t a1;
	int64_t r;
	size_t n;

	gk_ip_parse(sa, domain, 0, &to);
	gk_ip_concrete(&to);
	if (GK_RD(o->u.sock.addr1) == 0) {
		(void)gk_sa_get(gk, 0, domain, any);
		gk_ip_parse(any, domain, 0, &own);
		gk_ip_source(&own, &to);
		n = gk_ip_write(&own, domain, any);
		r = gk_bind_port(gk, idx, any, n);
		if (r != 0)
			return (r);
	}
	if (!gk_queue_full(&gk->ofd[li])) {
		r = gk_join(gk, idx, li, &to);
		if (r != 0 || !nonblock)
			return (r);
		GK_WR(o->u.conn.fresh, 1);
		return (-GKA_EINPROGRESS);
	}
	a1 = gk_addr_ip(gk, &to, domain);
	if (a1 == 0)
		return (-GKA_ENOBUFS);
	GK_WR(o->u.sock.paddr1, (uint16_t)a1);
	GK_WR(o->u.sock.late1, (uint16_t)(li + 1));
	GK_WR(o->u.sock.told, 0);
	GK_WR(gk->nlate, GK_RD(gk->nlate) + 1);
	return (gk_connect_late(ctx, o));
}

/* The address is one of the guest's own sockets that does not listen (yet):
 * that is no business of the host's. */
static int64_t
gk_connect_closed(struct gk *gk, uint32_t idx, const uint8_t *sa, size_t len)
{
	struct gk_ofd *o = &gk->ofd[idx];
	uint16_t domain = GK_RD(o->u.sock.domain);
	uint32_t bound;

	if (domain == GKA_AF_UNIX)
		return (GK_NOTMINE);
	bound = gk_find_bound(gk, GK_SOCKET, domain, sa, len);
	if (bound >= GK_NOFD || bound == idx)
		return (GK_NOTMINE);
	if (!(GK_RD(o->flags) & GKA_O_NONBLOCK))
		return (-GKA_ECONNREFUSED);
	GK_WR(o->u.sock.err, GKA_ECONNREFUSED);
	gk_event(gk, o, GKA_EPOLLIN | GKA_EPOLLOUT);
	return (-GKA_EINPROGRESS);
}

/* What a socket answers that is connected, or about to be; 1: it is not */
static int64_t
gk_connect_again(struct gk_ctx *ctx, struct gk_ofd *o, unsigned kind)
{
	uint16_t err;

	if (kind == GK_LISTENER)
		return (GK_RD(o->u.sock.domain) == GKA_AF_UNIX ? -GKA_EINVAL :
		    -GKA_EISCONN);
	if (kind == GK_SOCKET) {
		err = GK_RD(o->u.sock.err);
		GK_WR(o->u.sock.err, 0);
		if (err != 0)
			return (-(int64_t)GK_MIN(err, 4095));
		return (gk_connecting(o) ? gk_connect_late(ctx, o) : 1);
	}
	if (kind == GK_DGRAM)
		return (1);
	if (kind != GK_PAIR || !GK_RD(o->u.conn.fresh))
		return (-GKA_EISCONN);
	GK_WR(o->u.conn.fresh, 0);
	return (0);
}

int64_t
gk_connect(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	uint8_t sa[128];
	uint32_t idx, li, len = (uint32_t)a[2];
	uint16_t domain, family;
	unsigned kind;
	int64_t r;

	r = gk_sock_get(ctx, (uint32_t)a[0], &o, &idx, &kind);
	if (r != 0)
		return (r);
	r = gk_connect_again(ctx, o, kind);
	if (r != 1)
		return (r);
	if (len < 2 || len > 110)
		return (len > sizeof(sa) || len < 2 ? -GKA_EINVAL :
		    GK_NOTMINE);
	gk_zero(sa, sizeof(sa));
	if (gk_copyin(ctx, sa, a[1], len))
		return (-GKA_EFAULT);
	if (kind == GK_DGRAM)
		return (gk_in_blob(ctx) ? GK_NOTMINE :
		    gk_dgram_connect(ctx, idx, sa, len));
	domain = GK_RD(o->u.sock.domain);
	gk_copy(&family, sa, sizeof(family));
	if (family != domain || (domain == GKA_AF_UNIX && len == 2))
		return (GK_NOTMINE);
	r = gk_sa_check(idx, domain, sa, len);
	if (r < 0)
		return (r);
	li = gk_find_bound(gk, GK_LISTENER, domain, sa, (size_t)r);
	if (li >= GK_NOFD)
		return (gk_connect_closed(gk, idx, sa, (size_t)r));
	if (GK_RD(gk->ofd[li].u.sock.type) != GK_RD(o->u.sock.type))
		return (-GKA_EPROTOTYPE);
	return (domain == GKA_AF_UNIX ? gk_connect_unix(ctx, idx, li) :
	    gk_connect_ip(ctx, idx, li, sa));
}

/* ---- an end goes away --------------------------------------------------- */

void
gk_pair_end_gone(struct gk *gk, struct gk_ofd *p, int reset)
{
	uint16_t shut = GK_RD(p->u.conn.rx.shut);
	int tcp = gk_is_tcp(p);

	GK_WR(p->u.conn.peer1, 0);
	if (!tcp || !reset) {
		GK_WR(p->u.conn.rx.shut, shut | GK_SHUT_FIN);
		if (!tcp && reset)
			GK_WR(p->u.conn.err, GKA_ECONNRESET);
		if (tcp && GK_RD(p->u.conn.tx.shut))
			GK_WR(p->u.conn.dropped, 1);
	} else if (!GK_RD(p->u.conn.dropped)) {
		GK_WR(p->u.conn.rx.shut, shut | GK_SHUT_RST);
		GK_WR(p->u.conn.dropped, 1);
		/* After an orderly end that matters to writes only. */
		GK_WR(p->u.conn.err, (shut & GK_SHUT_FIN) ? GKA_EPIPE :
		    GKA_ECONNRESET);
	}
	if (tcp && gk_ring_used(gk, &p->u.conn.rx) == 0)
		gk_ring_free(gk, &p->u.conn.rx);	/* nothing will come */
	gk_event(gk, p, GKA_EPOLLIN | GKA_EPOLLOUT);
}

/* shutdown(2) for both directions, and there is more: cut off */
static void
gk_pair_too_much(struct gk *gk, struct gk_ofd *p)
{

	GK_WR(p->u.conn.dropped, 1);
	GK_WR(p->u.conn.err, GKA_ECONNRESET);
	GK_WR(p->u.conn.rx.shut, GK_RD(p->u.conn.rx.shut) | GK_SHUT_RST);
	gk_event(gk, p, GKA_EPOLLIN | GKA_EPOLLOUT);
}

int64_t
gk_tcp_late(struct gk *gk, struct gk_ofd *o, uint32_t peer, uint64_t len)
{
	struct gk_ofd *p = gk_ofd_kind(gk, peer, GK_PAIR);

	if (!gk_is_tcp(o) || GK_RD(o->u.conn.dropped) ||
	    GK_RD(o->u.conn.tx.shut))
		return (-1);
	if (p != NULL && (!(GK_RD(p->u.conn.rx.shut) & GK_SHUT_RD) ||
	    !GK_RD(p->u.conn.tx.shut)))
		return (-1);
	if (len > 0) {		/* that is answered with a reset */
		GK_WR(o->u.conn.dropped, 1);
		GK_WR(o->u.conn.err, GKA_EPIPE);
		gk_event(gk, o, GKA_EPOLLIN | GKA_EPOLLOUT);
		if (p != NULL)
			gk_pair_too_much(gk, p);
	}
	return ((int64_t)GK_MIN(len, GK_BUFSZ));
}

int64_t
gk_conn_error(struct gk_ofd *o)
{
	unsigned kind = GK_RD(o->kind);
	uint16_t domain, err, *e;

	if (kind != GK_CONN && kind != GK_PAIR && kind != GK_SOCKET)
		return (0);
	domain = kind == GK_SOCKET ? GK_RD(o->u.sock.domain) :
	    GK_RD(o->u.conn.domain);
	if (domain == GKA_AF_UNIX)
		return (0);
	e = kind == GK_SOCKET ? &o->u.sock.err : &o->u.conn.err;
	err = GK_RD(*e);
	GK_WR(*e, 0);
	return (-(int64_t)GK_MIN(err, 4095));
}
