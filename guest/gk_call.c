/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From a system call's number to its function, and the calls about
 * descriptors as such: close, dup, fcntl, ioctl.
 *
 * What is not in the table, and what concerns a host file, is the VMM's; this
 * must never answer ENOSYS.
 */

#include "gk_priv.h"

#define GK_SETFL	(GKA_O_APPEND | GKA_O_ASYNC | GKA_O_DIRECT | \
			GKA_O_NOATIME | GKA_O_NONBLOCK)

/* ---- close, dup --------------------------------------------------------- */

static int64_t
gk_close(struct gk_ctx *ctx, const uint64_t a[6])
{

	return (gk_fd_close(ctx, (uint32_t)a[0]));
}

static int64_t
gk_close_range(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk *gk = ctx->gk;
	uint32_t first = (uint32_t)a[0], last = (uint32_t)a[1], fd;
	uint32_t flags = (uint32_t)a[2];

	if ((flags & ~(uint32_t)(GKA_CLOSE_RANGE_UNSHARE |
	    GKA_CLOSE_RANGE_CLOEXEC)) || first > last)
		return (-GKA_EINVAL);
	last = GK_MIN(last, (uint32_t)GK_NFD - 1);
	if (flags & GKA_CLOSE_RANGE_CLOEXEC) {
		for (fd = first; fd <= last; fd++)
			if (GK_RD(gk->fd[fd].ofd1) != 0)
				GK_WR(gk->fd[fd].cloexec, 1);
		return (0);
	}
	/* All or nothing: the VMM does the whole call if it has to do one. */
	for (fd = first; fd <= last; fd++)
		if (gk_close_needs_vmm(ctx, fd))
			return (GK_NOTMINE);
	for (fd = first; fd <= last; fd++)
		(void)gk_fd_close(ctx, fd);
	return (0);
}

static int64_t
gk_dup(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t ofd;

	if (gk_fd_get(ctx->gk, (uint32_t)a[0], &ofd) == NULL)
		return (-GKA_EBADF);
	return (gk_fd_new_ref(ctx->gk, ofd, 0, 0));
}

static int64_t
gk_dup_to(struct gk_ctx *ctx, uint32_t from, uint32_t to, int cloexec)
{
	struct gk *gk = ctx->gk;
	uint32_t ofd;

	if (gk_fd_get(gk, from, &ofd) == NULL ||
	    to >= gk_fd_max(gk))
		return (-GKA_EBADF);
	if (gk_close_needs_vmm(ctx, to))
		return (GK_NOTMINE);
	/* The new reference first: both may name the same description. */
	GK_WR(gk->ofd[ofd].refs, (uint16_t)(GK_RD(gk->ofd[ofd].refs) + 1));
	if (gk_fd_close(ctx, to) != 0)
		GK_WR(gk->fd[to].ofd1, 0);
	return (gk_fd_new(gk, ofd, to, cloexec));
}

static int64_t
gk_dup2(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t from = (uint32_t)a[0], to = (uint32_t)a[1];

	if (from == to)
		return (gk_fd_get(ctx->gk, from, NULL) == NULL ?
		    -GKA_EBADF : (int64_t)from);
	return (gk_dup_to(ctx, from, to, 0));
}

static int64_t
gk_dup3(struct gk_ctx *ctx, const uint64_t a[6])
{
	uint32_t from = (uint32_t)a[0], to = (uint32_t)a[1];
	uint32_t flags = (uint32_t)a[2];

	if ((flags & ~(uint32_t)GKA_O_CLOEXEC) || from == to)
		return (-GKA_EINVAL);
	return (gk_dup_to(ctx, from, to, flags != 0));
}

/* ---- fcntl -------------------------------------------------------------- */

static int64_t
gk_dupfd(struct gk *gk, uint32_t ofd, uint64_t min, int cloexec)
{

	if (min >= gk_fd_max(gk))
		return (-GKA_EINVAL);
	return (gk_fd_new_ref(gk, ofd, (uint32_t)min, cloexec));
}

static int64_t
gk_setfl(struct gk_ofd *o, uint64_t arg)
{
	uint32_t flags = GK_RD(o->flags);

	GK_WR(o->flags, (flags & ~(uint32_t)GK_SETFL) |
	    ((uint32_t)arg & (uint32_t)GK_SETFL));
	return (0);
}

static int64_t
gk_fcntl(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	uint32_t fd = (uint32_t)a[0], ofd;

	o = gk_fd_get(gk, fd, &ofd);
	if (o == NULL)
		return (-GKA_EBADF);
	switch ((uint32_t)a[1]) {
	case GKA_F_DUPFD:
	case GKA_F_DUPFD_CLOEXEC:
		return (gk_dupfd(gk, ofd, a[2],
		    (uint32_t)a[1] == GKA_F_DUPFD_CLOEXEC));
	case GKA_F_GETFD:
		return (GK_RD(gk->fd[fd].cloexec) ? GKA_FD_CLOEXEC : 0);
	case GKA_F_SETFD:
		GK_WR(gk->fd[fd].cloexec, a[2] & GKA_FD_CLOEXEC);
		return (0);
	case GKA_F_GETFL:
		return (GK_RD(o->flags));
	case GKA_F_SETFL:
		return (gk_setfl(o, a[2]));
	default:
		break;
	}
	if (GK_RD(o->kind) == GK_HOST)
		return (GK_NOTMINE);
	switch ((uint32_t)a[1]) {
	case GKA_F_GETPIPE_SZ:
	case GKA_F_SETPIPE_SZ:
		return (gk_pipe_size(ctx, ofd,
		    (uint32_t)a[1] == GKA_F_SETPIPE_SZ, (uint32_t)a[2]));
	case GKA_F_SETOWN:		/* no SIGIO: accepted, forgotten */
	case GKA_F_GETOWN:
	case GKA_F_SETSIG:
	case GKA_F_GETSIG:
		return (0);
	default:
		return (-GKA_EINVAL);
	}
}

/* ---- ioctl -------------------------------------------------------------- */

static int64_t
gk_fionbio(struct gk_ctx *ctx, struct gk_ofd *o, uint64_t ua)
{
	uint32_t flags;
	int32_t on;

	if (gk_copyin(ctx, &on, ua, sizeof(on)))
		return (-GKA_EFAULT);
	flags = GK_RD(o->flags) & ~(uint32_t)GKA_O_NONBLOCK;
	GK_WR(o->flags, on ? flags | GKA_O_NONBLOCK : flags);
	return (0);
}

/* Bytes waiting: to be read (FIONREAD), or in the other end (SIOCOUTQ). */
static int64_t
gk_queued(struct gk_ctx *ctx, uint32_t ofd, unsigned kind, int out,
    uint64_t ua)
{
	struct gk *gk = ctx->gk;
	struct gk_ring *r;
	struct gk_view v;
	uint32_t n, peer;

	if (kind == GK_LISTENER || (out && !gk_is_socket(kind)))
		return (kind == GK_LISTENER ? -GKA_EINVAL : -GKA_ENOTTY);
	if (kind == GK_EVENTFD || kind == GK_TIMERFD || kind == GK_EPOLL)
		return (-GKA_ENOTTY);
	r = out || kind == GK_PIPE_W ? gk_ring_out(gk, ofd, kind, &peer) :
	    gk_ring_in(gk, ofd, kind, &peer);
	if (kind == GK_INOTIFY)
		r = &gk->ofd[ofd].u.inotify.ring;
	n = 0;
	if (r != NULL && gk_ring_view(gk, r, &v) == 0) {
		n = v.used;
		if (!out && n >= sizeof(n) && (kind == GK_DGRAM ||
		    gk_is_framed(&gk->ofd[ofd])))
			(void)gk_view_pull(&v, &n, sizeof(n));
	}
	return (gk_copyout(ctx, ua, &n, sizeof(n)) ? -GKA_EFAULT : 0);
}

static int64_t
gk_ioctl(struct gk_ctx *ctx, const uint64_t a[6])
{
	struct gk *gk = ctx->gk;
	struct gk_ofd *o;
	uint32_t fd = (uint32_t)a[0], req = (uint32_t)a[1], ofd;
	unsigned kind;

	o = gk_fd_get(gk, fd, &ofd);
	if (o == NULL)
		return (-GKA_EBADF);
	kind = GK_RD(o->kind);
	switch (req) {
	case GKA_FIOCLEX:
	case GKA_FIONCLEX:
		GK_WR(gk->fd[fd].cloexec, req == GKA_FIOCLEX);
		return (0);
	case GKA_FIONBIO:
		return (gk_fionbio(ctx, o, a[2]));
	default:
		break;
	}
	if (kind == GK_HOST) {
		/* Is it a terminal?  All languages ask that of all files. */
		if (GK_RD(o->u.host.plain) &&
		    (req == GKA_TCGETS || req == GKA_TIOCGWINSZ))
			return (-GKA_ENOTTY);
		return (GK_NOTMINE);
	}
	switch (req) {
	case GKA_FIONREAD:
	case GKA_SIOCOUTQ:
		return (gk_queued(ctx, ofd, kind, req == GKA_SIOCOUTQ, a[2]));
	case GKA_FIOASYNC:		/* no SIGIO */
		return (0);
	default:
		/* SIOCGIFCONF and friends ask about the machine. */
		if (gk_is_socket(kind) && req >= GKA_SIOC_FIRST &&
		    req <= GKA_SIOC_LAST)
			return (GK_NOTMINE);
		return (-GKA_ENOTTY);
	}
}

/* ---- the table ---------------------------------------------------------- */

static gk_call_f *const gk_calls[GKA_SYS_MAX] = {
	[GKA_SYS_read] =		gk_read,
	[GKA_SYS_write] =		gk_write,
	[GKA_SYS_close] =		gk_close,
	[GKA_SYS_poll] =		gk_poll,
	[GKA_SYS_lseek] =		gk_lseek,
	[GKA_SYS_ioctl] =		gk_ioctl,
	[GKA_SYS_pread64] =		gk_pread,
	[GKA_SYS_pwrite64] =		gk_pread,
	[GKA_SYS_readv] =		gk_readv,
	[GKA_SYS_writev] =		gk_writev,
	[GKA_SYS_pipe] =		gk_pipe,
	[GKA_SYS_select] =		gk_select,
	[GKA_SYS_dup] =			gk_dup,
	[GKA_SYS_dup2] =		gk_dup2,
	[GKA_SYS_socket] =		gk_socket,
	[GKA_SYS_connect] =		gk_connect,
	[GKA_SYS_accept] =		gk_accept,
	[GKA_SYS_sendto] =		gk_sendto,
	[GKA_SYS_recvfrom] =		gk_recvfrom,
	[GKA_SYS_sendmsg] =		gk_sendmsg,
	[GKA_SYS_recvmsg] =		gk_recvmsg,
	[GKA_SYS_shutdown] =		gk_shutdown,
	[GKA_SYS_bind] =		gk_bind,
	[GKA_SYS_listen] =		gk_listen,
	[GKA_SYS_getsockname] =		gk_getsockname,
	[GKA_SYS_getpeername] =		gk_getpeername,
	[GKA_SYS_socketpair] =		gk_socketpair,
	[GKA_SYS_setsockopt] =		gk_setsockopt,
	[GKA_SYS_getsockopt] =		gk_getsockopt,
	[GKA_SYS_fcntl] =		gk_fcntl,
	[GKA_SYS_epoll_create] =	gk_epoll_create,
	[GKA_SYS_epoll_wait] =		gk_epoll_wait,
	[GKA_SYS_epoll_ctl] =		gk_epoll_ctl,
	[GKA_SYS_pselect6] =		gk_pselect6,
	[GKA_SYS_ppoll] =		gk_ppoll,
	[GKA_SYS_epoll_pwait] =		gk_epoll_pwait,
	[GKA_SYS_timerfd_create] =	gk_timerfd_create,
	[GKA_SYS_eventfd] =		gk_eventfd,
	[GKA_SYS_timerfd_settime] =	gk_timerfd_settime,
	[GKA_SYS_timerfd_gettime] =	gk_timerfd_gettime,
	[GKA_SYS_accept4] =		gk_accept4,
	[GKA_SYS_eventfd2] =		gk_eventfd2,
	[GKA_SYS_epoll_create1] =	gk_epoll_create1,
	[GKA_SYS_dup3] =		gk_dup3,
	[GKA_SYS_pipe2] =		gk_pipe2,
	[GKA_SYS_preadv] =		gk_pread,
	[GKA_SYS_pwritev] =		gk_pread,
	[GKA_SYS_preadv2] =		gk_preadv2,
	[GKA_SYS_pwritev2] =		gk_pwritev2,
	[GKA_SYS_close_range] =		gk_close_range,
	[GKA_SYS_epoll_pwait2] =	gk_epoll_pwait2,
};

int64_t
gk_syscall(struct gk_ctx *ctx, uint64_t nr, const uint64_t a[6])
{
	gk_call_f *f;
	int64_t r;

	if (nr >= GK_NELEM(gk_calls))
		return (GK_NOTMINE);
	f = gk_calls[nr];
	if (f == NULL)
		return (GK_NOTMINE);
	ctx->sigpipe = 0;
	ctx->news = 0;
	if (!ctx->restart) {
		ctx->progress = 0;
		ctx->deadline = UINT64_MAX;
	}
	r = f(ctx, a);
	/* A limit was reached: the VMM counts that, and says so. */
	return (r == -GKA_EMFILE && gk_in_blob(ctx) ? GK_NOTMINE : r);
}
