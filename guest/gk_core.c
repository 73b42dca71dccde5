/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The tables of the in-memory kernel: descriptors, open file descriptions,
 * addresses.  Who may point at what, and what happens when the last reference
 * goes.
 *
 * Must never follow an index from struct gk without a check, nor loop further
 * than a table is long.
 */

#include "gk_priv.h"

void
gk_init(struct gk *gk)
{

	GK_WR(gk->magic, GK_MAGIC);
	GK_WR(gk->gen, 1);
	GK_WR(gk->next_port, 32768);
	GK_WR(gk->fd_max, GK_NFD);
}

struct gk_ofd *
gk_fd_get(struct gk *gk, uint64_t fd, uint32_t *ofdidx)
{
	uint32_t o1;

	if (fd >= GK_NFD)
		return (NULL);
	o1 = GK_RD(gk->fd[fd].ofd1);
	if (o1 == 0 || o1 > GK_NOFD)
		return (NULL);
	if (GK_RD(gk->ofd[o1 - 1].kind) == GK_FREE)
		return (NULL);
	if (ofdidx != NULL)
		*ofdidx = o1 - 1;
	return (&gk->ofd[o1 - 1]);
}

/* ---- events ------------------------------------------------------------- */

void
gk_event(struct gk *gk, struct gk_ofd *o, uint32_t events)
{

	if (events & GKA_EPOLLIN)
		GK_WR(o->edge, GK_RD(o->edge) + 1);
	if (events & GKA_EPOLLOUT)
		GK_WR(o->edge_out, GK_RD(o->edge_out) + 1);
	GK_WR(gk->gen, GK_RD(gk->gen) + 1);
}

void
gk_ofd_event(struct gk *gk, uint32_t ofd, uint32_t events)
{
	struct gk_ofd *o;

	o = gk_ofd_at(gk, ofd);
	if (o != NULL)
		gk_event(gk, o, events);
}

/* ---- open file descriptions --------------------------------------------- */

int
gk_ofd_new(struct gk *gk, enum gk_kind kind, uint32_t flags)
{
	struct gk_ofd *o;
	uint32_t i;

	for (i = 0; i < GK_NOFD; i++) {
		o = &gk->ofd[i];
		if (GK_RD(o->kind) != GK_FREE)
			continue;
		gk_zero(o, sizeof(*o));
		o->refs = 1;
		o->flags = flags;
		o->kind = (uint8_t)kind;
		if (GK_RD(gk->hi_ofd) < i + 1)
			GK_WR(gk->hi_ofd, i + 1);
		return ((int)i);
	}
	return (-GKA_ENFILE);
}

void
gk_ofd_free(struct gk *gk, struct gk_ofd *o)
{

	GK_WR(o->kind, GK_FREE);
	GK_WR(o->refs, 0);
	GK_WR(gk->gen, GK_RD(gk->gen) + 1);
}

static void
gk_ofd_release(struct gk_ctx *ctx, uint32_t idx, unsigned kind)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o = &gk->ofd[idx];

	gk_epoll_forget(gk, idx);
	switch (kind) {
	case GK_HOST:
		if (ctx->host_release != NULL)
			ctx->host_release(ctx, GK_RD(o->u.host.idx));
		break;
	case GK_SOCKET:
	case GK_LISTENER:
	case GK_PAIR:
	case GK_DGRAM:
		gk_sock_release(ctx, idx, kind);
		break;
	case GK_CONN:
		ctx->news = 1;
		if (gk_conn_release(gk, idx))
			return;
		break;
	case GK_PIPE_R:
	case GK_PIPE_W:
		gk_pipe_release(gk, idx, kind);
		break;
	case GK_EPOLL:
		gk_epoll_release(gk, idx);
		break;
	case GK_INOTIFY:
		gk_inotify_release(gk, idx);
		break;
	default:
		break;
	}
	gk_ofd_free(gk, o);
}

void
gk_ofd_put(struct gk_ctx *ctx, uint32_t idx)
{
	struct gk_ofd *o;
	unsigned kind, refs;

	o = gk_ofd_at(ctx->gk, idx);
	if (o == NULL)
		return;
	kind = GK_RD(o->kind);
	refs = GK_RD(o->refs);
	if (kind == GK_FREE)
		return;
	if (refs > 1) {
		GK_WR(o->refs, (uint16_t)(refs - 1));
		return;
	}
	gk_ofd_release(ctx, idx, kind);
}

/* ---- descriptors -------------------------------------------------------- */

int
gk_fd_new(struct gk *gk, uint32_t ofd, uint32_t min, int cloexec)
{
	struct gk_fd *f;
	uint32_t i;

	for (i = min; i < gk_fd_max(gk); i++) {
		f = &gk->fd[i];
		if (GK_RD(f->ofd1) != 0)
			continue;
		f->cloexec = cloexec != 0;
		f->ofd1 = (uint16_t)(ofd + 1);
		if (GK_RD(gk->hi_fd) < i + 1)
			GK_WR(gk->hi_fd, i + 1);
		return ((int)i);
	}
	return (-GKA_EMFILE);
}

/* dup: the new descriptor brings its own reference. */
int
gk_fd_new_ref(struct gk *gk, uint32_t ofd, uint32_t min, int cloexec)
{
	struct gk_ofd *o;
	int fd;

	o = gk_ofd_at(gk, ofd);
	if (o == NULL)
		return (-GKA_EBADF);
	fd = gk_fd_new(gk, ofd, min, cloexec);
	if (fd >= 0)
		GK_WR(o->refs, (uint16_t)(GK_RD(o->refs) + 1));
	return (fd);
}

/* A fresh description's first descriptor; gives the description up if none. */
int
gk_open_fd(struct gk_ctx *ctx, uint32_t ofd, uint32_t flags)
{
	int fd;

	fd = gk_fd_new(ctx->gk, ofd, 0, (flags & GKA_O_CLOEXEC) != 0);
	if (fd < 0)
		gk_ofd_put(ctx, ofd);
	return (fd);
}

int
gk_host_open(struct gk *gk, uint32_t idx, uint32_t flags, int cloexec)
{
	int ofd, fd;

	ofd = gk_ofd_new(gk, GK_HOST, flags);
	if (ofd < 0)
		return (ofd);
	gk->ofd[ofd].u.host.idx = idx;
	fd = gk_fd_new(gk, (uint32_t)ofd, 0, cloexec);
	if (fd < 0)
		gk_ofd_free(gk, &gk->ofd[ofd]);	/* idx stays the caller's */
	return (fd);
}

int
gk_close_needs_vmm(struct gk_ctx *ctx, uint64_t fd)
{
	struct gk_ofd *o;
	uint32_t idx;

	if (!gk_in_blob(ctx))
		return (0);
	o = gk_fd_get(ctx->gk, fd, &idx);
	return (o != NULL && (GK_RD(o->kind) == GK_HOST ||
	    gk_scm_waits(ctx->gk, idx) || gk_queue_waits(ctx->gk, idx)));
}

uint32_t
gk_fd_hold(struct gk *gk, uint32_t fd)
{
	struct gk_ofd *o;
	uint32_t idx;

	o = gk_fd_get(gk, fd, &idx);
	if (o == NULL)
		return (0);
	GK_WR(o->refs, (uint16_t)(GK_RD(o->refs) + 1));
	return (idx + 1);
}

uint32_t
gk_fd_swap(struct gk *gk, uint32_t fd, uint32_t ofd1)
{
	uint32_t was;

	if (fd >= GK_NFD)
		return (0);
	was = GK_RD(gk->fd[fd].ofd1);
	if (was != ofd1)
		GK_WR(gk->fd[fd].ofd1, (uint16_t)ofd1);
	return (was);
}

int
gk_fd_close(struct gk_ctx *ctx, uint64_t fd)
{
	struct gk *gk = ctx->gk;
	uint32_t idx;

	if (gk_fd_get(gk, fd, &idx) == NULL)
		return (-GKA_EBADF);
	if (gk_close_needs_vmm(ctx, fd))
		return ((int)GK_NOTMINE);
	GK_WR(gk->fd[fd].ofd1, 0);
	GK_WR(gk->fd[fd].cloexec, 0);
	gk_ofd_put(ctx, idx);
	return (0);
}

int
gk_socket_to_host(struct gk_ctx *ctx, uint32_t ofd, uint32_t idx)
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;

	o = gk_ofd_kind(gk, ofd, GK_SOCKET);
	if (o == NULL) {
		o = gk_ofd_kind(gk, ofd, GK_DGRAM);
		if (o == NULL)
			return (-GKA_EINVAL);
		gk_dgram_release(gk, o);
	}
	gk_addr_put(gk, GK_RD(o->u.sock.addr1));
	gk_zero(&o->u, sizeof(o->u));
	o->u.host.idx = idx;
	GK_WR(o->kind, GK_HOST);
	gk_event(gk, o, GKA_EPOLLIN | GKA_EPOLLOUT);
	return (0);
}

/* ---- addresses ---------------------------------------------------------- */

static int
gk_addr_equal(struct gk_addr *ad, const void *sa, size_t len)
{

	return (GK_RD(ad->len) == len && gk_same(ad->sa, sa, len));
}

uint32_t
gk_addr_get(struct gk *gk, const void *sa, size_t len)
{
	uint32_t i, hi, unused = 0;
	uint8_t n;

	if (len > sizeof(gk->addr[0].sa))
		return (0);
	hi = gk_hi(GK_RD(gk->hi_addr), GK_NADDR);
	for (i = 0; i < hi; i++) {
		n = GK_RD(gk->addr_used[i]);
		if (n == 0) {
			if (unused == 0)
				unused = i + 1;
		} else if (n < 255 && gk_addr_equal(&gk->addr[i], sa, len)) {
			GK_WR(gk->addr_used[i], (uint8_t)(n + 1));
			return (i + 1);
		}
	}
	if (unused == 0 && hi < GK_NADDR)
		unused = hi + 1;
	if (unused == 0)
		return (0);
	gk_copy(gk->addr[unused - 1].sa, sa, len);
	gk->addr[unused - 1].len = (uint16_t)len;
	gk->addr_used[unused - 1] = 1;
	if (GK_RD(gk->hi_addr) < unused)
		GK_WR(gk->hi_addr, unused);
	return (unused);
}

void
gk_addr_put(struct gk *gk, uint32_t addr1)
{
	uint8_t n;

	if (addr1 == 0 || addr1 > GK_NADDR)
		return;
	n = GK_RD(gk->addr_used[addr1 - 1]);
	if (n > 0)
		GK_WR(gk->addr_used[addr1 - 1], (uint8_t)(n - 1));
}

size_t
gk_addr_read(struct gk *gk, uint32_t addr1, uint8_t sa[110])
{
	size_t len;

	if (addr1 == 0 || addr1 > GK_NADDR)
		return (0);
	len = GK_RD(gk->addr[addr1 - 1].len);
	if (len > sizeof(gk->addr[0].sa))
		return (0);
	gk_copy(sa, gk->addr[addr1 - 1].sa, len);
	if (len < 28)		/* callers look at these without asking */
		gk_zero(sa + len, 28 - len);
	return (len);
}
