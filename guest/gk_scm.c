/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Control messages of Unix sockets: descriptors on their way (SCM_RIGHTS) and
 * credentials (SCM_CREDENTIALS).
 *
 * Descriptors in flight are references in gk->scm[], tied to the position in
 * the reader's ring where the bytes begin that they were sent with.  Such a
 * position stays valid: a ring starts over only when it is empty.
 */

#include "gk_priv.h"

#define GK_SCM_LOOPS	64

/* ---- sending ------------------------------------------------------------- */

static int64_t
gk_ctl_rights(struct gk_ctx *ctx, struct gk_ctl *ctl, uint64_t ua,
    uint64_t bytes)
{
	uint32_t i, n = (uint32_t)(bytes / 4), fd, ofd;

	if (bytes / 4 + ctl->n > GK_SCM_MAX)
		return (-GKA_EINVAL);
	for (i = 0; i < n; i++) {
		if (gk_copyin(ctx, &fd, ua + 4 * i, sizeof(fd)))
			return (-GKA_EFAULT);
		if (gk_fd_get(ctx->gk, fd, &ofd) == NULL)
			return (-GKA_EBADF);
		ctl->ofd1[ctl->n++] = (uint16_t)(ofd + 1);
	}
	return (0);
}

static int64_t
gk_ctl_creds(struct gk_ctx *ctx, uint64_t ua, uint64_t bytes)
{
	uint32_t c[3];

	if (bytes != sizeof(c))
		return (-GKA_EINVAL);
	if (gk_copyin(ctx, c, ua, sizeof(c)))
		return (-GKA_EFAULT);
	if (ctx->uid != 0 && (c[0] != ctx->pid || c[1] != ctx->uid ||
	    c[2] != ctx->gid))
		return (-GKA_EPERM);
	return (0);
}

int64_t
gk_ctl_read(struct gk_ctx *ctx, const struct gka_msghdr *m, struct gk_ctl *ctl)
{
	struct gka_cmsghdr c;
	uint64_t off = 0, at;
	unsigned n;
	int64_t r = 0;

	ctl->n = 0;
	for (n = 0; n < GK_SCM_LOOPS && r == 0; n++) {
		if (m->control == 0 || m->controllen < off + sizeof(c))
			return (0);
		at = m->control + off;
		if (gk_copyin(ctx, &c, at, sizeof(c)))
			return (-GKA_EFAULT);
		if (c.len < sizeof(c) || c.len > m->controllen - off)
			return (-GKA_EINVAL);
		at += sizeof(c);
		if (c.level == GKA_SOL_SOCKET && c.type == GKA_SCM_RIGHTS)
			r = gk_ctl_rights(ctx, ctl, at, c.len - sizeof(c));
		else if (c.level == GKA_SOL_SOCKET &&
		    c.type == GKA_SCM_CREDENTIALS)
			r = gk_ctl_creds(ctx, at, c.len - sizeof(c));
		else if (c.level == GKA_SOL_SOCKET)
			r = -GKA_EINVAL;
		off += (c.len + 7) & ~7ULL;
	}
	return (r);
}

static struct gk_scm *
gk_scm_free(struct gk *gk)
{
	unsigned i;

	for (i = 0; i < GK_NSCM; i++)
		if (GK_RD(gk->scm[i].owner1) == 0)
			return (&gk->scm[i]);
	return (NULL);
}

int
gk_scm_full(struct gk *gk)
{

	return (gk_scm_free(gk) == NULL);
}

/* The bytes from pos on in the ring of `reader` have been written. */
void
gk_scm_send(struct gk *gk, const struct gk_ctl *ctl, uint32_t reader,
    uint32_t pos, uint32_t len)
{
	struct gk_scm *s = gk_scm_free(gk);
	struct gk_ofd *o;
	uint32_t i, o1;

	if (s == NULL || ctl->n == 0)
		return;
	s->n = ctl->n;
	s->pos = pos;
	s->len = len;
	for (i = 0; i < ctl->n; i++) {
		o1 = ctl->ofd1[i];
		s->ofd1[i] = (uint16_t)o1;
		if (o1 == 0 || o1 > GK_NOFD)
			continue;
		o = &gk->ofd[o1 - 1];
		GK_WR(o->refs, (uint16_t)(GK_RD(o->refs) + 1));
	}
	s->owner1 = (uint16_t)(reader + 1);
	i = (uint32_t)(s - gk->scm) + 1;
	if (GK_RD(gk->hi_scm) < i)
		GK_WR(gk->hi_scm, i);
}

/* ---- receiving ------------------------------------------------------------ */

/* Give up what an entry holds. */
static void
gk_scm_close(struct gk_ctx *ctx, struct gk_scm *s)
{
	uint32_t i, n = GK_RD(s->n), o1;

	GK_WR(s->owner1, 0);
	for (i = 0; i < n && i < GK_SCM_MAX; i++) {
		o1 = GK_RD(s->ofd1[i]);
		if (o1 != 0 && o1 <= GK_NOFD)
			gk_ofd_put(ctx, o1 - 1);
	}
}

void
gk_scm_drop(struct gk_ctx *ctx, uint32_t ofd)
{
	unsigned i, hi = gk_hi(GK_RD(ctx->gk->hi_scm), GK_NSCM);

	for (i = 0; i < hi; i++)
		if (GK_RD(ctx->gk->scm[i].owner1) == ofd + 1)
			gk_scm_close(ctx, &ctx->gk->scm[i]);
}

/* Descriptors on their way to ofd?  To drop one may take the VMM. */
int
gk_scm_waits(struct gk *gk, uint32_t ofd)
{
	unsigned i, hi = gk_hi(GK_RD(gk->hi_scm), GK_NSCM);

	for (i = 0; i < hi; i++)
		if (GK_RD(gk->scm[i].owner1) == ofd + 1)
			return (1);
	return (0);
}

static void
gk_scm_take(struct gk_ctx *ctx, struct gk_end *e, struct gk_scm *s)
{
	uint32_t k, n;

	if (e->ctl == NULL) {
		if (!(e->flags & GKA_MSG_PEEK))
			gk_scm_close(ctx, s);
		return;
	}
	n = GK_RD(s->n);
	n = GK_MIN(n, (uint32_t)GK_SCM_MAX);
	for (k = 0; k < n; k++)
		e->ctl->ofd1[k] = GK_RD(s->ofd1[k]);
	e->ctl->n = (uint16_t)n;
	e->ctl->scm1 = (e->flags & GKA_MSG_PEEK) ? 0 :
	    (uint16_t)(s - ctx->gk->scm + 1);
}

/*
 * Bytes in front of a message with descriptors are read together with it, but
 * nothing behind it.
 */
uint64_t
gk_scm_recv(struct gk_ctx *ctx, struct gk_end *e, uint32_t tail, uint64_t max)
{
	struct gk *gk = ctx->gk;
	unsigned i, hi = gk_hi(GK_RD(gk->hi_scm), GK_NSCM);
	struct gk_scm *s, *first = NULL;
	uint32_t d, dist = UINT32_MAX;

	for (i = 0; i < hi; i++) {
		s = &gk->scm[i];
		d = GK_RD(s->pos) - tail;
		if (GK_RD(s->owner1) == e->idx + 1 && d < dist) {
			first = s;
			dist = d;
		}
	}
	if (first == NULL)
		return (max);
	max = GK_MIN(max, (uint64_t)dist + GK_RD(first->len));
	if (dist == 0 || max > dist)
		gk_scm_take(ctx, e, first);
	return (max);
}

/* Room in the caller's control buffer */
struct gk_ctl_out {
	uint64_t	at, left, used;
	int		trunc;
};

static int
gk_ctl_put(struct gk_ctx *ctx, struct gk_ctl_out *o, int type,
    const void *p, uint32_t len)
{
	struct gka_cmsghdr c = { sizeof(c) + len, GKA_SOL_SOCKET, type };
	uint64_t space = (c.len + 7) & ~7ULL;

	if (o->left < sizeof(c)) {
		o->trunc = 1;
		return (0);
	}
	if (o->left < c.len) {
		o->trunc = 1;
		c.len = o->left;
		len = (uint32_t)(o->left - sizeof(c));
	}
	if (gk_copyout(ctx, o->at, &c, sizeof(c)) ||
	    (len > 0 && gk_copyout(ctx, o->at + sizeof(c), p, len)))
		return (-1);
	space = GK_MIN(space, o->left);
	o->at += space;
	o->left -= space;
	o->used += space;
	return (0);
}

static int
gk_ctl_put_rights(struct gk_ctx *ctx, struct gk_ctl *ctl,
    struct gk_ctl_out *o, int cloexec)
{
	int32_t fds[GK_SCM_MAX];
	uint32_t n, room;
	int fd;

	room = o->left < sizeof(struct gka_cmsghdr) + 4 ? 0 :
	    (uint32_t)((o->left - sizeof(struct gka_cmsghdr)) / 4);
	for (n = 0; n < ctl->n && n < room; n++) {
		fd = gk_fd_new_ref(ctx->gk, (uint32_t)ctl->ofd1[n] - 1, 0,
		    cloexec);
		if (fd < 0)
			break;
		fds[n] = fd;
	}
	if (n < ctl->n)
		o->trunc = 1;
	return (n == 0 ? 0 : gk_ctl_put(ctx, o, GKA_SCM_RIGHTS, fds, 4 * n));
}

int64_t
gk_ctl_write(struct gk_ctx *ctx, struct gk_end *e, struct gka_msghdr *m)
{
	struct gk_ctl_out o = { m->control, m->control == 0 ? 0 :
	    m->controllen, 0, 0 };
	const uint32_t cred[3] = { ctx->pid, ctx->uid, ctx->gid };
	struct gk_ctl *ctl = e->ctl;
	int bad = 0;

	if (e->kind == GK_PAIR && GK_RD(e->o->u.conn.domain) == GKA_AF_UNIX &&
	    (GK_RD(e->o->u.conn.opts) & GK_OPT_PASSCRED))
		bad = gk_ctl_put(ctx, &o, GKA_SCM_CREDENTIALS, cred,
		    sizeof(cred));
	if (!bad && ctl->n > 0)
		bad = gk_ctl_put_rights(ctx, ctl, &o,
		    (e->flags & GKA_MSG_CMSG_CLOEXEC) != 0);
	if (ctl->scm1 != 0 && ctl->scm1 <= GK_NSCM)
		gk_scm_close(ctx, &ctx->gk->scm[ctl->scm1 - 1]);
	m->controllen = o.used;
	if (o.trunc)
		m->flags |= GKA_MSG_CTRUNC;
	return (bad ? -GKA_EFAULT : 0);
}
