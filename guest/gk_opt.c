/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * setsockopt(2), getsockopt(2).
 *
 * Options that a program may read back are kept (.opts, .kept); the others,
 * whose effect nobody could see on a connection that is two rings, are accepted
 * and read as their default.  Must not refuse what servers set as a matter of
 * course.
 */

#include "gk_priv.h"

enum gk_opt_act {
	/* 0...31: a bit in .opts */
	GK_OPT_PLAIN = 32,	/* accepted; reads as .deflt */
	GK_OPT_WRITE,		/* accepted; cannot be read */
	GK_OPT_RDONLY,		/* reads as .deflt */
	GK_OPT_TYPE, GK_OPT_DOMAIN, GK_OPT_PROTO, GK_OPT_LISTENS,
	GK_OPT_ERROR,
	GK_OPT_SNDBUF, GK_OPT_RCVBUF,
	GK_OPT_LINGER, GK_OPT_TIMEO, GK_OPT_PEERCRED, GK_OPT_COOKIE,
	GK_OPT_INFO, GK_OPT_CONGESTION,
	GK_OPT_KEPT = 64,	/* + place in .kept; .lo to .hi */
};

struct gk_opt {
	uint8_t		level;
	uint8_t		act;
	uint16_t	name;
	int32_t		deflt;
	int32_t		lo, hi;		/* lo -1: that is the default */
};

#define S(n, a, d)	{ GKA_SOL_SOCKET, a, GKA_SO_##n, d, 0, 0 }
#define I4(n, a, d)	{ GKA_IPPROTO_IP, a, GKA_IP_##n, d, 0, 0 }
#define I6(n, a, d)	{ GKA_IPPROTO_IPV6, a, GKA_IPV6_##n, d, 0, 0 }
#define T(n, a, d)	{ GKA_IPPROTO_TCP, a, GKA_TCP_##n, d, 0, 0 }
#define KEPT(l, n, at, d, lo, hi)					\
	{ l, GK_OPT_KEPT + (at), n, d, lo, hi }

static const struct gk_opt gk_opts[] = {
	S(REUSEADDR, 0, 0),
	S(REUSEPORT, 1, 0),
	I6(V6ONLY, 2, 0),
	S(KEEPALIVE, 3, 0),
	S(BROADCAST, 4, 0),
	S(DONTROUTE, 5, 0),
	S(OOBINLINE, 6, 0),
	T(NODELAY, 7, 0),
	T(CORK, 8, 0),
	S(PASSCRED, 10, 0),
	S(DEBUG, 11, 0),
	S(ZEROCOPY, 12, 0),
	S(TIMESTAMP, 13, 0),
	S(TIMESTAMPNS, 14, 0),
	S(PASSSEC, 15, 0),
	S(RXQ_OVFL, 16, 0),
	S(NO_CHECK, 17, 0),
	I4(FREEBIND, 18, 0),
	I4(RECVTOS, 19, 0),
	I4(RECVTTL, 20, 0),
	I4(PKTINFO, 21, 0),
	I4(RECVERR, 22, 0),
	I4(BIND_NO_PORT, 23, 0),
	I6(RECVERR, 24, 0),
	I6(RECVPKTINFO, 25, 0),
	I6(RECVTCLASS, 26, 0),
	I6(FREEBIND, 27, 0),
	I4(TRANSPARENT, 28, 0),
	I6(TRANSPARENT, 29, 0),
	T(FASTOPEN_CONN, 30, 0),
	S(TYPE, GK_OPT_TYPE, 0),
	S(ERROR, GK_OPT_ERROR, 0),
	S(DOMAIN, GK_OPT_DOMAIN, 0),
	S(PROTOCOL, GK_OPT_PROTO, 0),
	S(ACCEPTCONN, GK_OPT_LISTENS, 0),
	S(SNDBUF, GK_OPT_SNDBUF, 0),
	S(SNDBUFFORCE, GK_OPT_SNDBUF, 0),
	S(RCVBUF, GK_OPT_RCVBUF, 0),
	S(RCVBUFFORCE, GK_OPT_RCVBUF, 0),
	S(LINGER, GK_OPT_LINGER, 0),
	S(RCVTIMEO, GK_OPT_TIMEO, 0),
	S(SNDTIMEO, GK_OPT_TIMEO, 0),
	S(RCVTIMEO_NEW, GK_OPT_TIMEO, 0),
	S(SNDTIMEO_NEW, GK_OPT_TIMEO, 0),
	S(PEERCRED, GK_OPT_PEERCRED, 0),
	S(COOKIE, GK_OPT_COOKIE, 0),
	S(SNDLOWAT, GK_OPT_RDONLY, 1),
	S(NAPI_ID, GK_OPT_RDONLY, 0),
	S(MARK, GK_OPT_PLAIN, 0),
	S(TIMESTAMPING, GK_OPT_PLAIN, 0),
	S(PEEK_OFF, GK_OPT_PLAIN, -1),
	S(BUSY_POLL, GK_OPT_PLAIN, 0),
	S(PREFER_BUSY_POLL, GK_OPT_PLAIN, 0),
	S(MAX_PACING_RATE, GK_OPT_PLAIN, -1),
	S(INCOMING_CPU, GK_OPT_PLAIN, 0),
	S(ATTACH_CBPF, GK_OPT_WRITE, 0),
	S(ATTACH_EBPF, GK_OPT_WRITE, 0),
	I4(MINTTL, GK_OPT_PLAIN, 0),
	I4(PORT_RANGE, GK_OPT_PLAIN, 0),
	I4(MULTICAST_IF, GK_OPT_PLAIN, 0),
	I4(MULTICAST_TTL, GK_OPT_PLAIN, 1),
	I4(MULTICAST_LOOP, GK_OPT_PLAIN, 1),
	I4(ADD_MEMBERSHIP, GK_OPT_WRITE, 0),
	I4(DROP_MEMBERSHIP, GK_OPT_WRITE, 0),
	I6(MULTICAST_IF, GK_OPT_PLAIN, 0),
	I6(MULTICAST_HOPS, GK_OPT_PLAIN, 1),
	I6(MULTICAST_LOOP, GK_OPT_PLAIN, 1),
	I6(ADD_MEMBERSHIP, GK_OPT_WRITE, 0),
	I6(DROP_MEMBERSHIP, GK_OPT_WRITE, 0),
	I6(MTU_DISCOVER, GK_OPT_PLAIN, 1),
	T(MAXSEG, GK_OPT_PLAIN, 1460),
	T(LINGER2, GK_OPT_PLAIN, 60),
	T(DEFER_ACCEPT, GK_OPT_PLAIN, 0),
	T(WINDOW_CLAMP, GK_OPT_PLAIN, 0),
	T(QUICKACK, GK_OPT_PLAIN, 1),
	T(FASTOPEN, GK_OPT_PLAIN, 0),
	T(TIMESTAMP, GK_OPT_PLAIN, 0),
	KEPT(GKA_IPPROTO_TCP, GKA_TCP_KEEPIDLE, 0, 7200, 1, 32767),
	KEPT(GKA_IPPROTO_TCP, GKA_TCP_KEEPINTVL, 1, 75, 1, 32767),
	KEPT(GKA_IPPROTO_TCP, GKA_TCP_KEEPCNT, 2, 9, 1, 127),
	KEPT(GKA_IPPROTO_TCP, GKA_TCP_SYNCNT, 3, 6, 1, 127),
	KEPT(GKA_IPPROTO_TCP, GKA_TCP_USER_TIMEOUT, 4, 0, 0, INT32_MAX),
	KEPT(GKA_IPPROTO_TCP, GKA_TCP_NOTSENT_LOWAT, 5, 0, INT32_MIN,
	    INT32_MAX),
	KEPT(GKA_IPPROTO_IP, GKA_IP_TOS, 6, 0, INT32_MIN, INT32_MAX),
	KEPT(GKA_IPPROTO_IP, GKA_IP_TTL, 7, 64, -1, 255),
	KEPT(GKA_IPPROTO_IP, GKA_IP_MTU_DISCOVER, 8, 1, 0, 5),
	KEPT(GKA_IPPROTO_IPV6, GKA_IPV6_UNICAST_HOPS, 9, 64, -1, 255),
	KEPT(GKA_IPPROTO_IPV6, GKA_IPV6_TCLASS, 10, 0, -1, 255),
	KEPT(GKA_SOL_SOCKET, GKA_SO_PRIORITY, 11, 0, 0, 6),
	KEPT(GKA_SOL_SOCKET, GKA_SO_RCVLOWAT, 12, 1, INT32_MIN, INT32_MAX),
	T(INFO, GK_OPT_INFO, 0),
	T(CONGESTION, GK_OPT_CONGESTION, 0),
};

#undef S
#undef I4
#undef I6
#undef T
#undef KEPT

/* The fields that a socket and a connection keep in different places. */
struct gk_optref {
	struct gk_ofd	*o;
	unsigned	kind;
	uint16_t	domain, type;
	uint32_t	*opts, *sndbuf, *rcvbuf;
	uint32_t	*timeo;
	uint16_t	*linger, *err;
};

static int64_t
gk_opt_ref(struct gk_ctx *ctx, uint64_t fd, struct gk_optref *r)
{
	struct gk_ofd *o;

	r->o = o = gk_fd_get(ctx->gk, fd, NULL);
	if (o == NULL)
		return (-GKA_EBADF);
	r->kind = GK_RD(o->kind);
	if (r->kind == GK_HOST)
		return (GK_NOTMINE);
	if (!gk_is_socket(r->kind))
		return (-GKA_ENOTSOCK);
	if (r->kind == GK_SOCKET || r->kind == GK_LISTENER ||
	    r->kind == GK_DGRAM) {
		r->domain = GK_RD(o->u.sock.domain);
		r->type = GK_RD(o->u.sock.type);
		r->opts = &o->u.sock.opts;
		r->sndbuf = &o->u.sock.sndbuf;
		r->rcvbuf = &o->u.sock.rcvbuf;
		r->timeo = o->u.sock.timeo;
		r->linger = &o->u.sock.linger;
		r->err = &o->u.sock.err;
	} else {
		r->domain = GK_RD(o->u.conn.domain);
		r->type = GK_RD(o->u.conn.type);
		r->opts = &o->u.conn.opts;
		r->sndbuf = &o->u.conn.sndbuf;
		r->rcvbuf = &o->u.conn.rcvbuf;
		r->timeo = o->u.conn.timeo;
		r->linger = &o->u.conn.linger;
		r->err = &o->u.conn.err;
	}
	return (0);
}

static int64_t
gk_opt_find(const struct gk_optref *r, uint32_t level, uint32_t name,
    const struct gk_opt **opt)
{
	size_t i;

	if (level != GKA_SOL_SOCKET && r->domain == GKA_AF_UNIX)
		return (-GKA_EOPNOTSUPP);
	if (level == GKA_IPPROTO_TCP && r->kind == GK_DGRAM)
		return (-GKA_ENOPROTOOPT);
	if (level == GKA_IPPROTO_IPV6 && r->domain != GKA_AF_INET6)
		return (-GKA_ENOPROTOOPT);
	for (i = 0; i < GK_NELEM(gk_opts); i++)
		if (gk_opts[i].level == level && gk_opts[i].name == name) {
			*opt = &gk_opts[i];
			return (0);
		}
	return (-GKA_ENOPROTOOPT);
}

/* ---- set ---------------------------------------------------------------- */

/* As Linux: bounded, doubled for its bookkeeping. */
static uint32_t
gk_opt_bufsz(int32_t v, int force, uint32_t least)
{
	uint32_t n = (uint32_t)v;

	if (!force)
		n = GK_MIN(n, 212992U);
	n = GK_MIN(n, (uint32_t)INT32_MAX / 2) * 2;
	return (n < least ? least : n);
}

static int64_t
gk_opt_linger(struct gk_ctx *ctx, struct gk_optref *r, uint64_t ua,
    uint32_t len)
{
	int32_t l[2];
	uint32_t opts = GK_RD(*r->opts);

	if (len < sizeof(l))
		return (-GKA_EINVAL);
	if (gk_copyin(ctx, l, ua, sizeof(l)))
		return (-GKA_EFAULT);
	if (l[0] != 0) {
		GK_WR(*r->opts, opts | (1U << GK_OPTBIT_LINGER));
		GK_WR(*r->linger, (uint16_t)GK_MIN((uint32_t)l[1], 65535U));
	} else {
		GK_WR(*r->opts, opts & ~(1U << GK_OPTBIT_LINGER));
	}
	return (0);
}

static unsigned
gk_opt_dir(const struct gk_opt *opt)
{

	return (opt->name == GKA_SO_RCVTIMEO ||
	    opt->name == GKA_SO_RCVTIMEO_NEW ? GK_RCV : GK_SND);
}

/* Kept for all, and kept to by datagrams and by streams inside. */
static int64_t
gk_opt_timeo(struct gk_ctx *ctx, struct gk_optref *r,
    const struct gk_opt *opt, uint64_t ua, uint32_t len)
{
	struct gka_timespec tv;
	uint64_t ms;

	if (len < sizeof(tv))
		return (-GKA_EINVAL);
	if (gk_copyin(ctx, &tv, ua, sizeof(tv)))
		return (-GKA_EFAULT);
	if (tv.nsec < 0 || tv.nsec >= 1000000)
		return (-GKA_EDOM);
	/* As Linux: less than nothing is at once */
	ms = tv.sec < 0 ? 1 : GK_MIN((uint64_t)tv.sec, 1000000U) * 1000 +
	    ((uint64_t)tv.nsec + 999) / 1000;
	GK_WR(r->timeo[gk_opt_dir(opt)], (uint32_t)ms);
	return (0);
}

/* As Linux keeps it, for whoever reads it back: 0 or -errno */
static int64_t
gk_opt_keep(struct gk_optref *r, const struct gk_opt *opt, int32_t v)
{
	const unsigned at = opt->act - GK_OPT_KEPT;
	const int ttl = opt->level == GKA_IPPROTO_IP && opt->name == GKA_IP_TTL;

	if (v < opt->lo || v > opt->hi || (ttl && v == 0))
		return (opt->level == GKA_SOL_SOCKET ? -GKA_EPERM :
		    -GKA_EINVAL);
	if (opt->level == GKA_IPPROTO_IP && opt->name == GKA_IP_TOS)
		v &= r->type == GKA_SOCK_STREAM ? 0xfc : 0xff;
	else if (opt->level == GKA_IPPROTO_IPV6 &&
	    opt->name == GKA_IPV6_TCLASS && v > 0 &&
	    r->type == GKA_SOCK_STREAM)
		v &= 0xfc;			/* the rest is TCP's */
	else if (opt->level == GKA_SOL_SOCKET && opt->name == GKA_SO_RCVLOWAT)
		v = v < 0 ? INT32_MAX : v == 0 ? 1 : v;
	if (opt->lo == -1 && v == -1)
		v = opt->deflt;
	GK_WR(r->o->keeps, 1);
	GK_WR(r->o->kept[at], (int32_t)((uint32_t)v - (uint32_t)opt->deflt));
	return (0);
}

static int64_t
gk_opt_set_int(struct gk_optref *r, const struct gk_opt *opt, int32_t v)
{
	uint32_t opts;

	switch (opt->act) {
	case GK_OPT_SNDBUF:
		GK_WR(*r->sndbuf, gk_opt_bufsz(v,
		    opt->name == GKA_SO_SNDBUFFORCE, 4608));
		return (0);
	case GK_OPT_RCVBUF:
		GK_WR(*r->rcvbuf, gk_opt_bufsz(v,
		    opt->name == GKA_SO_RCVBUFFORCE, 2304));
		return (0);
	case GK_OPT_PLAIN:
		return (0);
	default:
		break;
	}
	if (opt->act >= GK_OPT_KEPT)
		return (gk_opt_keep(r, opt, v));
	if (opt->act >= 32)
		return (-GKA_ENOPROTOOPT);
	if (opt->act == 2 && ((r->kind != GK_SOCKET && r->kind != GK_DGRAM) ||
	    GK_RD(r->o->u.sock.addr1) != 0))
		return (-GKA_EINVAL);	/* IPV6_V6ONLY comes before bind */
	opts = GK_RD(*r->opts) & ~(1U << opt->act);
	GK_WR(*r->opts, v != 0 ? opts | (1U << opt->act) : opts);
	return (0);
}

/* TCP: an accepted connection has what its listener has. */
void
gk_opt_inherit(struct gk_ofd *o, const struct gk_ofd *l)
{
	unsigned i;

	if (!GK_RD(l->keeps) || GK_RD(l->u.sock.domain) == GKA_AF_UNIX)
		return;
	o->keeps = 1;
	for (i = 0; i < GK_NKEPT; i++)
		o->kept[i] = GK_RD(l->kept[i]);
}

int64_t
gk_setsockopt(struct gk_ctx *ctx, const uint64_t a[6])
{
	const struct gk_opt *opt;
	struct gk_optref r;
	uint32_t len = (uint32_t)a[4];
	int32_t v = 0;
	uint8_t b;
	int64_t ret;

	ret = gk_opt_ref(ctx, (uint32_t)a[0], &r);
	if (ret != 0)
		return (ret);
	if ((int32_t)len < 0)
		return (-GKA_EINVAL);
	ret = gk_opt_find(&r, (uint32_t)a[1], (uint32_t)a[2], &opt);
	if (ret != 0)
		return (ret);
	if (opt->act == GK_OPT_LINGER)
		return (gk_opt_linger(ctx, &r, a[3], len));
	if (opt->act == GK_OPT_TIMEO)
		return (gk_opt_timeo(ctx, &r, opt, a[3], len));
	if (opt->act == GK_OPT_WRITE || opt->act == GK_OPT_CONGESTION)
		return (0);
	if (len >= sizeof(v)) {
		if (gk_copyin(ctx, &v, a[3], sizeof(v)))
			return (-GKA_EFAULT);
	} else if (opt->level == GKA_IPPROTO_IP && len >= 1) {
		if (gk_copyin(ctx, &b, a[3], 1))	/* ip(7) takes a byte */
			return (-GKA_EFAULT);
		v = b;
	} else {
		return (-GKA_EINVAL);
	}
	return (gk_opt_set_int(&r, opt, v));
}

/* ---- get ---------------------------------------------------------------- */

static int64_t
gk_opt_out(struct gk_ctx *ctx, const uint64_t a[6], const void *p, size_t size)
{
	int32_t len;
	uint32_t n;

	if (gk_copyin(ctx, &len, a[4], sizeof(len)))
		return (-GKA_EFAULT);
	if (len < 0)
		return (-GKA_EINVAL);
	n = (uint32_t)GK_MIN(size, (size_t)len);
	if (n > 0 && gk_copyout(ctx, a[3], p, n))
		return (-GKA_EFAULT);
	return (gk_copyout(ctx, a[4], &n, sizeof(n)) ? -GKA_EFAULT : 0);
}

static int32_t
gk_opt_get_int(struct gk_optref *r, const struct gk_opt *opt)
{
	uint32_t v;

	if (opt->act < 32)
		return ((GK_RD(*r->opts) >> opt->act) & 1);
	if (opt->act >= GK_OPT_KEPT)
		return ((int32_t)((uint32_t)opt->deflt +
		    (uint32_t)GK_RD(r->o->kept[opt->act - GK_OPT_KEPT])));
	switch (opt->act) {
	case GK_OPT_TYPE:
		return (r->type);
	case GK_OPT_DOMAIN:
		return (r->domain);
	case GK_OPT_PROTO:
		return (r->domain == GKA_AF_UNIX ? 0 : r->kind == GK_DGRAM ?
		    GKA_IPPROTO_UDP : GKA_IPPROTO_TCP);
	case GK_OPT_LISTENS:
		return (r->kind == GK_LISTENER);
	case GK_OPT_ERROR:
		v = GK_RD(*r->err);
		GK_WR(*r->err, 0);
		return ((int32_t)v);
	case GK_OPT_SNDBUF:
		v = GK_RD(*r->sndbuf);
		return (v != 0 ? (int32_t)v : GK_BUFSZ);
	case GK_OPT_RCVBUF:
		v = GK_RD(*r->rcvbuf);
		return (v != 0 ? (int32_t)v : GK_BUFSZ);
	default:
		return (opt->deflt);
	}
}

/* As far as TCP's states can be told from here */
static uint8_t
gk_opt_state(struct gk_ofd *o, unsigned kind)
{

	if (kind == GK_LISTENER)
		return (GKA_TCP_LISTEN);
	if (kind == GK_SOCKET)
		return (gk_connecting(o) ? GKA_TCP_SYN_SENT : GKA_TCP_CLOSE);
	if (GK_RD(o->u.conn.dropped))
		return (GKA_TCP_CLOSE);
	if (GK_RD(o->u.conn.tx.shut))
		return (GKA_TCP_FIN_WAIT2);
	return (kind == GK_PAIR && (GK_RD(o->u.conn.rx.shut) & GK_SHUT_FIN) ?
	    GKA_TCP_CLOSE_WAIT : GKA_TCP_ESTABLISHED);
}

static int64_t
gk_opt_info(struct gk_ctx *ctx, const uint64_t a[6], const struct gk_optref *r)
{
	uint8_t info[GKA_TCP_INFO_SIZE];

	gk_zero(info, sizeof(info));
	info[0] = gk_opt_state(r->o, r->kind);
	return (gk_opt_out(ctx, a, info, sizeof(info)));
}

static int64_t
gk_opt_get_struct(struct gk_ctx *ctx, const uint64_t a[6],
    struct gk_optref *r, const struct gk_opt *opt)
{
	static const char cubic[16] = "cubic";
	struct gka_timespec tv = { 0, 0 };
	uint32_t cred[3] = { 0, UINT32_MAX, UINT32_MAX };
	int32_t linger[2];
	uint64_t cookie;
	uint32_t ms;

	switch (opt->act) {
	case GK_OPT_LINGER:
		linger[0] = (GK_RD(*r->opts) >> GK_OPTBIT_LINGER) & 1;
		linger[1] = GK_RD(*r->linger);
		return (gk_opt_out(ctx, a, linger, sizeof(linger)));
	case GK_OPT_TIMEO:
		ms = GK_RD(r->timeo[gk_opt_dir(opt)]);
		tv.sec = ms / 1000;
		tv.nsec = ms % 1000 * 1000;
		return (gk_opt_out(ctx, a, &tv, sizeof(tv)));
	case GK_OPT_PEERCRED:
		if (r->domain == GKA_AF_UNIX && r->kind != GK_SOCKET) {
			cred[0] = ctx->pid;
			cred[1] = ctx->uid;
			cred[2] = ctx->gid;
		}
		return (gk_opt_out(ctx, a, cred, sizeof(cred)));
	case GK_OPT_COOKIE:
		cookie = (uint64_t)(r->o - ctx->gk->ofd) + 1;
		return (gk_opt_out(ctx, a, &cookie, sizeof(cookie)));
	case GK_OPT_INFO:
		return (gk_opt_info(ctx, a, r));
	default:
		return (gk_opt_out(ctx, a, cubic, sizeof(cubic)));
	}
}

int64_t
gk_getsockopt(struct gk_ctx *ctx, const uint64_t a[6])
{
	const struct gk_opt *opt;
	struct gk_optref r;
	int64_t ret;
	int32_t v;

	ret = gk_opt_ref(ctx, (uint32_t)a[0], &r);
	if (ret == 0)
		ret = gk_opt_find(&r, (uint32_t)a[1], (uint32_t)a[2], &opt);
	if (ret != 0)
		return (ret);
	if (opt->act == GK_OPT_WRITE)
		return (-GKA_ENOPROTOOPT);
	if (opt->act >= GK_OPT_LINGER && opt->act < GK_OPT_KEPT)
		return (gk_opt_get_struct(ctx, a, &r, opt));
	v = gk_opt_get_int(&r, opt);
	return (gk_opt_out(ctx, a, &v, sizeof(v)));
}
