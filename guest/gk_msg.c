/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * recv(2), send(2) and their message forms; the bytes go through gk_io.c.
 *
 * What travels besides bytes is gk_scm.c's.
 */

#include "gk_priv.h"

/* A socket for recv and send. */
static int64_t
gk_end_sock(struct gk_ctx *ctx, struct gk_end *e, uint64_t fd, uint32_t flags)
{
	int64_t r;

	r = gk_end_get(ctx, e, fd, flags);
	if (r == 0 && !gk_is_socket(e->kind))
		return (-GKA_ENOTSOCK);
	return (r);
}

static int64_t
gk_recv(struct gk_ctx *ctx, struct gk_end *e, struct gk_iter *it)
{

	if (e->flags & GKA_MSG_ERRQUEUE)
		return (-GKA_EAGAIN);
	if (e->flags & GKA_MSG_OOB)
		return (-GKA_EINVAL);
	return (gk_input(ctx, e, it));
}

static int64_t
gk_send(struct gk_ctx *ctx, struct gk_end *e, struct gk_iter *it, int named)
{

	if (e->flags & GKA_MSG_OOB)
		return (-GKA_EOPNOTSUPP);
	if (named && e->kind == GK_PAIR && !gk_is_tcp(e->o))
		return (gk_is_framed(e->o) &&
		    GK_RD(e->o->u.conn.type) == GKA_SOCK_DGRAM ?
		    -GKA_ECONNREFUSED : -GKA_EISCONN);
	return (gk_output(ctx, e, it));
}

int64_t
gk_recvfrom(struct gk_ctx *ctx, const uint64_t a[6])
{
	const uint32_t none = 0;
	struct gk_name name = { 0 };
	struct gk_end e;
	struct gk_iter it;
	int64_t r, bad;

	r = gk_end_sock(ctx, &e, (uint32_t)a[0], (uint32_t)a[3]);
	if (r != 0)
		return (r);
	e.name = &name;
	gk_iter_buf(&it, a[1], a[2]);
	r = gk_recv(ctx, &e, &it);
	if (r >= 0 && a[4] != 0 && e.kind == GK_DGRAM) {
		bad = gk_sa_out(ctx, name.sa, name.len, a[4], a[5]);
		return (bad != 0 ? bad : r);
	}
	/* A connected stream gives no name: its length is 0. */
	if (r >= 0 && a[4] != 0 &&
	    gk_copyout(ctx, a[5], &none, sizeof(none)))
		return (-GKA_EFAULT);
	return (r);
}

/* Where a datagram goes to */
static int64_t
gk_name_in(struct gk_ctx *ctx, struct gk_end *e, struct gk_name *name,
    uint64_t ua, uint32_t len)
{

	if (ua == 0 || len == 0)
		return (0);
	if (len > sizeof(name->sa))
		return (-GKA_EINVAL);
	gk_zero(name, sizeof(*name));
	if (gk_copyin(ctx, name->sa, ua, len))
		return (-GKA_EFAULT);
	if (e->kind != GK_DGRAM)
		return (0);
	if (len < 2)
		return (-GKA_EINVAL);
	name->len = len;
	e->name = name;
	return (0);
}

int64_t
gk_sendto(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk_name name;
	struct gk_end e;
	struct gk_iter it;
	int64_t r;

	r = gk_end_sock(ctx, &e, (uint32_t)a[0], (uint32_t)a[3]);
	if (r != 0)
		return (r);
	r = gk_name_in(ctx, &e, &name, a[4], (uint32_t)a[5]);
	if (r != 0)
		return (r);
	gk_iter_buf(&it, a[1], a[2]);
	return (gk_send(ctx, &e, &it, a[4] != 0 && (uint32_t)a[5] != 0));
}

static int64_t
gk_msg_get(struct gk_ctx *ctx, const uint64_t a[6], struct gk_end *e,
    struct gka_msghdr *m, struct gk_iter *it)
{
	int64_t r;

	r = gk_end_sock(ctx, e, (uint32_t)a[0], (uint32_t)a[2]);
	if (r != 0)
		return (r);
	if (gk_copyin(ctx, m, a[1], sizeof(*m)))
		return (-GKA_EFAULT);
	if (m->name != 0 && (int32_t)m->namelen < 0)
		return (-GKA_EINVAL);
	if (m->iovlen > GKA_IOV_MAX)
		return (-GKA_EMSGSIZE);
	return (gk_iter_vec(ctx, it, m->iov, m->iovlen));
}

int64_t
gk_recvmsg(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gka_msghdr m;
	struct gk_name name = { 0 };
	struct gk_ctl ctl;
	struct gk_end e;
	struct gk_iter it;
	int64_t r, bad;

	r = gk_msg_get(ctx, a, &e, &m, &it);
	if (r != 0)
		return (r);
	ctl.n = ctl.scm1 = 0;
	e.ctl = &ctl;
	e.name = &name;
	r = gk_recv(ctx, &e, &it);
	if (r < 0)
		return (r);
	if (m.name != 0 && gk_copyout(ctx, m.name, name.sa,
	    GK_MIN(name.len, (size_t)m.namelen)))
		return (-GKA_EFAULT);
	if (m.name != 0)
		m.namelen = (uint32_t)name.len;
	m.flags = e.oflags | (e.flags & GKA_MSG_CMSG_CLOEXEC);
	bad = gk_ctl_write(ctx, &e, &m);
	if (bad != 0)
		return (bad);
	if (gk_copyout(ctx, a[1], &m, sizeof(m)))
		return (-GKA_EFAULT);
	return (r);
}

/* Where the next bytes of e go: its reader, and the position there */
static int
gk_send_at(struct gk *gk, struct gk_end *e, uint32_t *reader, uint32_t *pos)
{
	struct gk_ring *r;

	r = gk_ring_out(gk, e->idx, e->kind, reader);
	if (r == NULL || *reader >= GK_NOFD)
		return (0);
	*pos = GK_RD(r->head);
	return (1);
}

int64_t
gk_sendmsg(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gka_msghdr m;
	struct gk_name name;
	struct gk_ctl ctl;
	struct gk_end e;
	struct gk_iter it;
	uint64_t sent = ctx->progress;
	uint32_t reader = GK_NOFD, pos = 0;
	int64_t r;
	int tie = 0;

	r = gk_msg_get(ctx, a, &e, &m, &it);
	ctl.n = 0;
	if (r == 0 && e.kind == GK_PAIR &&
	    GK_RD(e.o->u.conn.domain) == GKA_AF_UNIX)
		r = gk_ctl_read(ctx, &m, &ctl);
	if (r == 0)
		r = gk_name_in(ctx, &e, &name, m.name, m.namelen);
	if (r == 0 && e.kind == GK_DGRAM && m.controllen > 0 &&
	    GK_RD(e.o->u.sock.domain) == GKA_AF_UNIX)
		r = -GKA_EOPNOTSUPP;	/* descriptors: pairs only */
	if (r != 0)
		return (r);
	/* They go with the first byte. */
	if (ctl.n > 0 && sent == 0) {
		if (gk_scm_full(ctx->gk))
			return (-GKA_ETOOMANYREFS);
		tie = gk_send_at(ctx->gk, &e, &reader, &pos);
	}
	r = gk_send(ctx, &e, &it, m.name != 0 && m.namelen != 0);
	if (tie && (r > 0 || (r == 0 && gk_is_framed(e.o))))
		gk_scm_send(ctx->gk, &ctl, reader, pos, (uint32_t)r);
	else if (tie && r == GK_BLOCK && ctx->progress > 0)
		gk_scm_send(ctx->gk, &ctl, reader, pos,
		    (uint32_t)ctx->progress);
	return (r);
}
