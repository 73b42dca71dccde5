/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Socket addresses: bind(2), getsockname(2), getpeername(2), and who may have
 * which address.
 *
 * Names are only recorded: no port is taken on the host, no file appears.
 */

#include "gk_priv.h"

#define GK_PORT_LO	32768
#define GK_PORT_HI	60999

int64_t
gk_sock_get(struct gk_ctx *ctx, uint64_t fd, struct gk_ofd **op, uint32_t *idx,
    unsigned *kind)
{

	*op = gk_fd_get(ctx->gk, fd, idx);
	if (*op == NULL)
		return (-GKA_EBADF);
	*kind = GK_RD((*op)->kind);
	if (*kind == GK_HOST)
		return (GK_NOTMINE);
	return (gk_is_socket(*kind) ? 0 : -GKA_ENOTSOCK);
}

int64_t
gk_sa_out(struct gk_ctx *ctx, const uint8_t *sa, size_t salen, uint64_t ua,
    uint64_t ulen)
{
	int32_t len;
	uint32_t full = (uint32_t)salen;

	if (gk_copyin(ctx, &len, ulen, sizeof(len)))
		return (-GKA_EFAULT);
	if (len < 0)
		return (-GKA_EINVAL);
	if ((uint32_t)len < full)
		salen = (uint32_t)len;
	if (salen > 0 && gk_copyout(ctx, ua, sa, salen))
		return (-GKA_EFAULT);
	if (gk_copyout(ctx, ulen, &full, sizeof(full)))
		return (-GKA_EFAULT);
	return (0);
}

size_t
gk_sa_get(struct gk *gk, uint32_t addr1, uint16_t domain, uint8_t sa[110])
{
	size_t len;

	len = gk_addr_read(gk, addr1, sa);
	if (len > 0)
		return (len);
	gk_zero(sa, 28);
	gk_copy(sa, &domain, sizeof(domain));
	return (domain == GKA_AF_INET ? 16 : domain == GKA_AF_INET6 ? 28 : 2);
}

/* ---- bind --------------------------------------------------------------- */

void
gk_ip_parse(const uint8_t *sa, uint16_t domain, uint32_t opts,
    struct gk_ip *ip)
{
	unsigned i;

	gk_zero(ip, sizeof(*ip));
	gk_copy(&ip->port, sa + 2, sizeof(ip->port));
	ip->v6 = domain == GKA_AF_INET6;
	ip->only = (opts & GK_OPT_V6ONLY) != 0;
	if (ip->v6)
		gk_copy(ip->ip, sa + 8, 16);
	else
		gk_copy(ip->ip + 12, sa + 4, 4);
	ip->any = 1;
	for (i = 0; i < 16; i++)
		if (ip->ip[i] != 0)
			ip->any = 0;
	if (!ip->v6)
		ip->ip[10] = ip->ip[11] = 0xff;
}

/* 0.0.0.0, perhaps as an IPv6 socket has it */
int
gk_is_any4(const struct gk_ip *ip)
{
	static const uint8_t any4[16] = { [10] = 0xff, [11] = 0xff };

	return (gk_same(ip->ip, any4, 16));
}

/* "Any" as a destination or a source is the loopback address. */
void
gk_ip_concrete(struct gk_ip *ip)
{

	if (!ip->any && !gk_is_any4(ip))
		return;
	if (ip->ip[10] == 0xff)
		ip->ip[12] = 127;
	ip->ip[15] = 1;
	ip->any = 0;
}

/* What is sent to dst comes from: "any" becomes an address of that kind. */
void
gk_ip_source(struct gk_ip *own, const struct gk_ip *dst)
{

	if (!own->any && !gk_is_any4(own))
		return;
	gk_zero(own->ip, sizeof(own->ip));
	own->ip[10] = own->ip[11] = dst->ip[10] == 0xff ? 0xff : 0;
	own->any = 1;
	gk_ip_concrete(own);
}

/* As a socket of this family sees it: IPv4 in a dual-stack one is mapped. */
size_t
gk_ip_write(const struct gk_ip *ip, uint16_t domain, uint8_t *sa)
{

	gk_zero(sa, 28);
	gk_copy(sa, &domain, sizeof(domain));
	gk_copy(sa + 2, &ip->port, sizeof(ip->port));
	if (domain == GKA_AF_INET6) {
		gk_copy(sa + 8, ip->ip, 16);
		return (28);
	}
	gk_copy(sa + 4, ip->ip + 12, 4);
	return (16);
}

static int
gk_ip_clash(const struct gk_ip *a, const struct gk_ip *b)
{
	const struct gk_ip *six = a->v6 ? a : b, *four = a->v6 ? b : a;

	if (a->port != b->port)
		return (0);
	if (a->v6 == b->v6)
		return (a->any || b->any || gk_same(a->ip, b->ip, 16));
	if (six->any)
		return (!six->only);
	return (four->any ? gk_same(six->ip, four->ip, 12) :
	    gk_same(six->ip, four->ip, 16));
}

static int
gk_reuse_ok(uint32_t mine, uint32_t other, int listens)
{

	if (mine & other & GK_OPT_REUSEPORT)
		return (1);
	return (!listens && (mine & other & GK_OPT_REUSEADDR));
}

int
gk_sa_taken(struct gk *gk, uint32_t self, const uint8_t *sa, size_t len)
{
	uint16_t domain = GK_RD(gk->ofd[self].u.sock.domain), od;
	uint32_t opts = GK_RD(gk->ofd[self].u.sock.opts), oo, i, hi;
	struct gk_ip mine, other;
	uint8_t osa[110];
	unsigned kind;
	size_t olen;
	int dgram = GK_RD(gk->ofd[self].kind) == GK_DGRAM;

	gk_ip_parse(sa, domain, opts, &mine);
	hi = gk_hi(GK_RD(gk->hi_ofd), GK_NOFD);
	for (i = 0; i < hi; i++) {
		kind = GK_RD(gk->ofd[i].kind);
		if (i == self || (kind != GK_SOCKET && kind != GK_LISTENER &&
		    kind != GK_DGRAM))
			continue;
		olen = gk_addr_read(gk, GK_RD(gk->ofd[i].u.sock.addr1), osa);
		od = GK_RD(gk->ofd[i].u.sock.domain);
		oo = GK_RD(gk->ofd[i].u.sock.opts);
		if (olen == 0 || (od == GKA_AF_UNIX) != (domain == GKA_AF_UNIX))
			continue;
		/* UDP and TCP have ports of their own, and so have abstract
		 * names. */
		if ((kind == GK_DGRAM) != dgram &&
		    (domain != GKA_AF_UNIX || sa[2] == 0))
			continue;
		if (domain == GKA_AF_UNIX) {
			if (olen == len && gk_same(sa, osa, len) &&
			    !(oo & GK_OPT_UNNAMED))
				return (1);
			continue;
		}
		gk_ip_parse(osa, od, oo, &other);
		if (gk_ip_clash(&mine, &other) && !gk_reuse_ok(opts, oo,
		    kind == GK_LISTENER))
			return (1);
	}
	return (0);
}

static int64_t
gk_bind_to(struct gk *gk, uint32_t idx, const uint8_t *sa, size_t len)
{
	uint32_t a1;

	if (gk_sa_taken(gk, idx, sa, len))
		return (-GKA_EADDRINUSE);
	a1 = gk_addr_get(gk, sa, len);
	if (a1 == 0)
		return (-GKA_ENOBUFS);
	GK_WR(gk->ofd[idx].u.sock.addr1, (uint16_t)a1);
	return (0);
}

int64_t
gk_bind_port(struct gk *gk, uint32_t idx, uint8_t *sa, size_t len)
{
	uint32_t port, n;
	int64_t r = -GKA_EADDRINUSE;

	for (n = 0; n <= GK_NOFD && r == -GKA_EADDRINUSE; n++) {
		port = GK_RD(gk->next_port);
		if (port < GK_PORT_LO || port > GK_PORT_HI)
			port = GK_PORT_LO;
		GK_WR(gk->next_port, port + 1);
		sa[2] = (uint8_t)(port >> 8);
		sa[3] = (uint8_t)port;
		r = gk_bind_to(gk, idx, sa, len);
	}
	return (r);
}

/* bind(2) of a unix socket without a name: an abstract one of five digits. */
static size_t
gk_sa_autobind(uint32_t idx, uint8_t *sa)
{
	static const char hex[] = "0123456789abcdef";
	unsigned i;

	sa[2] = 0;
	for (i = 0; i < 5; i++)
		sa[3 + i] = (uint8_t)hex[(idx >> (16 - 4 * i)) & 0xf];
	return (8);
}

int64_t
gk_sa_check(uint32_t idx, uint16_t domain, uint8_t *sa, size_t len)
{
	uint16_t family;
	size_t i;

	if (domain == GKA_AF_INET ? len < 16 :
	    domain == GKA_AF_INET6 ? len < 24 : len < 2 || len > 110)
		return (-GKA_EINVAL);
	gk_copy(&family, sa, sizeof(family));
	if (domain == GKA_AF_UNIX) {
		if (family != GKA_AF_UNIX)
			return (-GKA_EINVAL);
		if (len == 2)
			return ((int64_t)gk_sa_autobind(idx, sa));
		if (sa[2] == 0)
			return ((int64_t)len);
		for (i = 2; i < len && sa[i] != 0; i++)
			continue;
		/* The name ends with a NUL even if it was given without. */
		if (i < 110)
			sa[i++] = 0;
		return ((int64_t)i);
	}
	if (domain == GKA_AF_INET) {
		if (family == GKA_AF_UNSPEC &&
		    (sa[4] | sa[5] | sa[6] | sa[7]) == 0)
			family = GKA_AF_INET;	/* as Linux, for old programs */
		gk_zero(sa + 8, 8);
		len = 16;
	} else {
		if (len < 28)
			gk_zero(sa + 24, 4);
		len = 28;
	}
	if (family != domain)
		return (-GKA_EAFNOSUPPORT);
	gk_copy(sa, &family, sizeof(family));
	return ((int64_t)len);
}

int64_t
gk_bind(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_ofd *o;
	uint8_t sa[128];
	uint32_t idx, len = (uint32_t)a[2];
	unsigned kind;
	int64_t r;

	if (gk_in_blob(ctx))
		return (GK_NOTMINE);	/* a name may be a file's */
	r = gk_sock_get(ctx, (uint32_t)a[0], &o, &idx, &kind);
	if (r != 0)
		return (r);
	if (len > sizeof(sa))
		return (-GKA_EINVAL);
	gk_zero(sa, sizeof(sa));
	if (len > 0 && gk_copyin(ctx, sa, a[1], len))
		return (-GKA_EFAULT);
	if (kind == GK_PAIR || kind == GK_CONN)
		return (-GKA_EINVAL);
	r = gk_sa_check(idx, GK_RD(o->u.sock.domain), sa, len);
	if (r < 0)
		return (r);
	if (kind == GK_LISTENER || GK_RD(o->u.sock.addr1) != 0)
		return (-GKA_EINVAL);
	if (GK_RD(o->u.sock.domain) != GKA_AF_UNIX && (sa[2] | sa[3]) == 0)
		return (gk_bind_port(ctx->gk, idx, sa, (size_t)r));
	return (gk_bind_to(ctx->gk, idx, sa, (size_t)r));
}

/* ---- names -------------------------------------------------------------- */

static int64_t
gk_name(struct gk_ctx *ctx, const uint64_t a[6], int peer)
{
	struct gk_ofd *o;
	uint8_t sa[110];
	uint32_t idx, addr1;
	uint16_t domain;
	unsigned kind;
	int64_t r;

	r = gk_sock_get(ctx, (uint32_t)a[0], &o, &idx, &kind);
	if (r != 0)
		return (r);
	if (kind == GK_SOCKET || kind == GK_LISTENER || kind == GK_DGRAM) {
		addr1 = GK_RD(o->u.sock.addr1);
		if (peer) {
			addr1 = kind == GK_DGRAM ? GK_RD(o->u.sock.paddr1) : 0;
			if (addr1 == 0)
				return (-GKA_ENOTCONN);
		}
		domain = GK_RD(o->u.sock.domain);
	} else {
		if (peer && GK_RD(o->u.conn.dropped))
			return (-GKA_ENOTCONN);
		addr1 = peer ? GK_RD(o->u.conn.paddr1) :
		    GK_RD(o->u.conn.addr1);
		domain = GK_RD(o->u.conn.domain);
	}
	return (gk_sa_out(ctx, sa, gk_sa_get(ctx->gk, addr1, domain, sa),
	    a[1], a[2]));
}

int64_t
gk_getsockname(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_name(ctx, a, 0));
}

int64_t
gk_getpeername(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_name(ctx, a, 1));
}
