/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * connect(2) of a stream to a listener of the same guest: both ends become a
 * GK_PAIR, and the listener's is queued for accept.
 *
 * Must never reach anything outside the guest.
 */

#include "gk_priv.h"

int
gk_is_local(const struct gk_ip *ip)
{
	static const uint8_t loop6[16] = { [15] = 1 };

	if (ip->any || gk_same(ip->ip, loop6, 16))
		return (1);
	return (ip->ip[10] == 0xff && ip->ip[11] == 0xff &&
	    (ip->ip[12] == 127 || (ip->ip[12] | ip->ip[13] | ip->ip[14] |
	    ip->ip[15]) == 0));
}

int
gk_ip_listens(const struct gk_ip *l, const struct gk_ip *to)
{

	if (l->port != to->port)
		return (0);
	if (l->any)
		return (l->v6 ? !l->only || to->ip[10] != 0xff :
		    to->ip[10] == 0xff || to->any);
	return (to->any || gk_same(l->ip, to->ip, 16));
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

/* Make description idx one end of a pair; its addresses are given over. */
static void
gk_end_make(struct gk *gk, uint32_t idx, uint16_t domain, uint16_t type,
    uint32_t opts, uint32_t own1, uint32_t peer1, const struct gk_ring *rx)
{
	struct gk_ofd *o = &gk->ofd[idx];

	gk_zero(&o->u, sizeof(o->u));
	o->u.conn.domain = domain;
	o->u.conn.type = type;
	o->u.conn.opts = opts;
	o->u.conn.addr1 = (uint16_t)own1;
	o->u.conn.paddr1 = (uint16_t)peer1;
	o->u.conn.rx = *rx;
	GK_WR(o->kind, GK_PAIR);
}

/* A second reference to an address */
static uint32_t
gk_addr_again(struct gk *gk, uint32_t addr1)
{
	uint8_t sa[110];
	size_t len;

	len = gk_addr_read(gk, addr1, sa);
	return (len == 0 ? 0 : gk_addr_get(gk, sa, len));
}

static int64_t
gk_join(struct gk_ctx *ctx, uint32_t ci, uint32_t li)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *c = &gk->ofd[ci], *l = &gk->ofd[li];
	uint16_t domain = GK_RD(c->u.sock.domain), type = GK_RD(c->u.sock.type);
	uint32_t opts = GK_RD(c->u.sock.opts), lopts = GK_RD(l->u.sock.opts);
	uint32_t own = GK_RD(c->u.sock.addr1), dst = GK_RD(l->u.sock.addr1), n;
	struct gk_ring rc, rs;
	uint16_t ld = GK_RD(l->u.sock.domain);
	int s;

	n = GK_RD(l->u.sock.nqueue);
	if (n >= GK_BACKLOG || n > GK_RD(l->u.sock.backlog))
		return ((GK_RD(c->flags) & GKA_O_NONBLOCK) ? -GKA_EAGAIN :
		    GK_BLOCK);
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
	gk_end_make(gk, (uint32_t)s, ld, type, lopts,
	    gk_addr_again(gk, dst), gk_addr_again(gk, own), &rs);
	gk_end_make(gk, ci, domain, type, opts, own,
	    gk_addr_again(gk, dst), &rc);
	gk->ofd[s].u.conn.peer1 = (uint16_t)(ci + 1);
	c->u.conn.peer1 = (uint16_t)(s + 1);
	GK_WR(l->u.sock.queue1[n], (uint16_t)(s + 1));
	GK_WR(l->u.sock.nqueue, (uint16_t)(n + 1));
	gk_event(gk, l, GKA_EPOLLIN);
	gk_event(gk, c, GKA_EPOLLOUT);
	return (0);
}

int64_t
gk_connect(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	uint8_t sa[128], any[110];
	uint32_t idx, li, len = (uint32_t)a[2];
	uint16_t domain, family;
	unsigned kind;
	int64_t r;
	size_t n;

	r = gk_sock_get(ctx, (uint32_t)a[0], &o, &idx, &kind);
	if (r != 0)
		return (r);
	if (kind != GK_SOCKET && kind != GK_DGRAM)
		return (kind == GK_LISTENER &&
		    GK_RD(o->u.sock.domain) == GKA_AF_UNIX ? -GKA_EINVAL :
		    -GKA_EISCONN);
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
		return (GK_NOTMINE);
	if (GK_RD(gk->ofd[li].u.sock.type) != GK_RD(o->u.sock.type))
		return (-GKA_EPROTOTYPE);
	if (domain != GKA_AF_UNIX && GK_RD(o->u.sock.addr1) == 0) {
		n = gk_sa_get(gk, 0, domain, any);
		if (domain == GKA_AF_INET)
			gk_copy(any + 4, "\177\0\0\1", 4);
		else
			any[23] = 1;
		r = gk_bind_port(gk, idx, any, n);
		if (r != 0)
			return (r);
	}
	return (gk_join(ctx, idx, li));
}
