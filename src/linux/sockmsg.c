/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Data on real sockets: send(2), recv(2) and their relatives.
 *
 * Streams move between the socket and the guest's memory; a datagram goes
 * through a buffer, because it must stay in one piece.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/time.h>

#include "linux/sys_files.h"
#include "obj.h"

#define DGRAM_MAX	65536
#define MMSG_MAX	1024
#define SEND_FLAGS	(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_OOB | \
			    MSG_CONFIRM | MSG_EOR)
#define RECV_FLAGS	(MSG_DONTWAIT | MSG_PEEK | MSG_WAITALL | MSG_TRUNC | \
			    MSG_OOB | MSG_ERRQUEUE | MSG_CMSG_CLOEXEC)

/* Not MSG_FASTOPEN: that would be a connect past the rules. */

struct gmsghdr {			/* the guest's struct msghdr */
	uint64_t	name;
	uint32_t	namelen, pad0;
	uint64_t	iov, iovlen, control, controllen;
	uint32_t	flags, pad1;
};

struct gmmsghdr {
	struct gmsghdr	h;
	uint32_t	len, pad;
};

struct sockio {
	struct machine	*m;
	struct thread	*t;
	struct hfile	*hf;
	struct gk_ofd	*ofd;
	uint32_t	ofdidx;
	int		write, flags, outflags;
	int		nobody;		/* a datagram without a receiver */
	struct sockaddr_storage name;
	socklen_t	namelen;
	struct uvec	*u;
};

static int64_t
io_dead(struct sockio *s)
{

	if (fs_tell_once(s->m->fs, "frozen", "socket"))
		machine_log(s->m, TKVM_LOG_WARN, "a connection to the "
		    "outside from before the freeze reads as reset");
	if (!s->write)
		return (-ECONNRESET);
	if (!(s->flags & MSG_NOSIGNAL))
		signal_sigpipe(s->m, s->t);
	return (-EPIPE);
}

/* SO_RCVTIMEO or SO_SNDTIMEO, kept by the host's socket for us: ns or 0 */
static uint64_t
io_timeout(const struct sockio *s)
{
	struct timeval tv = { 0, 0 };
	socklen_t len = sizeof tv;

	if (getsockopt(s->hf->fd, SOL_SOCKET,
	    s->write ? SO_SNDTIMEO : SO_RCVTIMEO, &tv, &len) != 0)
		return (0);
	return ((uint64_t)tv.tv_sec * 1000000000 +
	    (uint64_t)tv.tv_usec * 1000);
}

static int64_t
io_wait(struct sockio *s, uint64_t done)
{
	const short ev = s->write ? POLLOUT : POLLIN;
	uint64_t ns;
	int64_t r;

	/* An edge may follow; but in vain again is no news: see between() */
	if (!s->t->restart || done != s->t->progress)
		gk_ofd_event(s->m->gk, s->ofdidx, (uint32_t)ev);
	if ((s->ofd->flags & O_NONBLOCK) ||
	    (s->flags & (MSG_DONTWAIT | MSG_ERRQUEUE)))
		return (done > 0 ? (int64_t)done : -EAGAIN);
	s->t->progress = done;
	if (s->t->restart) {
		if (machine_mono(s->m) >= s->t->deadline)
			return (done > 0 ? (int64_t)done : -EAGAIN);
		return (file_block(s->m, s->t, s->hf->fd, ev));
	}
	r = file_block(s->m, s->t, s->hf->fd, ev);
	ns = io_timeout(s);
	if (ns > 0)
		s->t->deadline = machine_mono(s->m) + ns;
	return (r);
}

static ssize_t
io_once(struct sockio *s, struct iovec *iov, unsigned n)
{
	struct msghdr h;
	ssize_t r;

	(void)memset(&h, 0, sizeof h);
	h.msg_iov = iov;
	h.msg_iovlen = n;
	if (s->write && s->hf->netlink) {
		s->hf = netlink_private(s->m, s->ofd, s->hf);
		return (s->hf == NULL ? -ENOBUFS :
		    netlink_send(s->m, s->hf, iov->iov_base, iov->iov_len));
	}
	if (s->write) {
		if (s->namelen > 0) {
			h.msg_name = &s->name;
			h.msg_namelen = s->namelen;
		}
		r = sendmsg(s->hf->fd, &h, (s->flags & SEND_FLAGS) |
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		h.msg_name = &s->name;
		h.msg_namelen = sizeof s->name;
		r = recvmsg(s->hf->fd, &h, (s->flags & RECV_FLAGS &
		    ~MSG_WAITALL) | MSG_DONTWAIT);
		s->namelen = r < 0 ? 0 : s->hf->netlink ?
		    netlink_name(&s->name, 0) : h.msg_namelen;
		s->outflags = h.msg_flags;
	}
	return (r < 0 ? -errno : r);
}

static int64_t
io_stream(struct sockio *s)
{
	struct iovec iov[NVIEW];
	uint64_t done;
	unsigned n;
	ssize_t l, r;
	int all;

	all = s->write || ((s->flags & MSG_WAITALL) && !(s->flags & MSG_PEEK));
	done = s->t->restart && all ? s->t->progress : 0;
	if (done > s->u->total)
		done = s->u->total;
	uvec_skip(s->u, done);
	do {
		n = NVIEW;
		l = uvec_views(s->m, s->u, s->write ? AS_R : AS_W, iov, &n,
		    s->u->total - done);
		if (l < 0 || (l == 0 && s->u->total > 0))
			return (done > 0 ? (int64_t)done : l);
		r = io_once(s, iov, n);
		if (r == -EAGAIN || r == -EINTR)
			return (io_wait(s, done));
		if (r < 0) {
			if (r == -EPIPE && !(s->flags & MSG_NOSIGNAL) &&
			    done == 0)
				signal_sigpipe(s->m, s->t);
			return (done > 0 ? (int64_t)done : r);
		}
		done += (size_t)r;
		if (r == 0 || done >= s->u->total)
			break;
		if (r < l && !all)
			gk_ofd_event(s->m->gk, s->ofdidx, POLLIN);
		if (r < l && all)
			return (io_wait(s, done));
	} while (all);
	return ((int64_t)done);
}

/* Between the guest's segments and one buffer: 0 or -EFAULT */
static int
dgram_copy(struct sockio *s, char *buf, size_t len)
{
	size_t n, done = 0;
	unsigned i;
	int r = 0;

	for (i = 0; i < s->u->n && done < len && r == 0; i++) {
		n = s->u->v[i].iov_len;
		if (n > len - done)
			n = len - done;
		if (n == 0)
			continue;
		if (s->write)
			r = as_read(s->m->as, (uintptr_t)s->u->v[i].iov_base,
			    buf + done, n);
		else
			r = as_write(s->m->as, (uintptr_t)s->u->v[i].iov_base,
			    buf + done, n);
		done += n;
	}
	return (r);
}

/*
 * To a socket inside?  There this one is no longer known: it comes from the
 * address of the host's socket.
 */
static int
io_inside(struct sockio *s, const char *buf, size_t len)
{
	struct sockaddr_storage own;
	socklen_t ownlen = sizeof own;
	struct gk_ctx ctx;

	if (!gk_dgram_local(&s->name, s->namelen))
		return (0);
	(void)memset(&own, 0, sizeof own);
	if (getsockname(s->hf->fd, (struct sockaddr *)&own, &ownlen) != 0 ||
	    own.ss_family != s->name.ss_family)
		return (0);
	machine_gk_ctx(s->m, s->t, &ctx);
	return (gk_dgram_deliver(&ctx, &s->name, &own, buf, len));
}

/* A datagram to the address that it names */
static int64_t
io_send_to(struct sockio *s, struct iovec *iov)
{

	if (io_inside(s, iov->iov_base, iov->iov_len))
		return ((int64_t)iov->iov_len);
	if (!net_allowed(s->m->fs, (struct sockaddr *)&s->name, s->namelen))
		return (net_unreach(s->m, (struct sockaddr *)&s->name,
		    s->namelen));
	return (io_once(s, iov, 1));
}

static int64_t
io_dgram(struct sockio *s)
{
	struct iovec iov;
	size_t len = s->u->total < DGRAM_MAX ? s->u->total : DGRAM_MAX;
	ssize_t r;
	char *buf;

	if (s->write && s->u->total > DGRAM_MAX)
		return (-EMSGSIZE);
	buf = malloc(len + 1);
	if (buf == NULL)
		return (-ENOMEM);
	iov.iov_base = buf;
	iov.iov_len = len;
	r = s->write ? dgram_copy(s, buf, len) : 0;
	if (r == 0)
		r = s->write && s->namelen > 0 && !s->hf->netlink ?
		    io_send_to(s, &iov) : io_once(s, &iov, 1);
	if (r > 0 && !s->write &&
	    dgram_copy(s, buf, (size_t)r < len ? (size_t)r : len) != 0)
		r = -EFAULT;
	free(buf);
	if (r == -EAGAIN || r == -EINTR)
		return (io_wait(s, 0));
	return (r);
}

static int64_t
io_run(struct sockio *s)
{

	if (s->nobody)
		return ((int64_t)s->u->total);
	if (s->hf->fd < 0)
		return (io_dead(s));
	if (s->flags & ~(s->write ? SEND_FLAGS : RECV_FLAGS))
		return (-EOPNOTSUPP);
	if (s->write && !s->hf->netlink && s->hf->socktype == SOCK_STREAM)
		s->namelen = 0;			/* ignored, as TCP does */
	return (s->hf->socktype == SOCK_STREAM ? io_stream(s) : io_dgram(s));
}

static int
io_init(struct sockio *s, struct machine *m, struct thread *t, uint64_t fd,
    uint64_t flags, int write)
{
	int err = 0;

	(void)memset(s, 0, sizeof *s);
	s->m = m;
	s->t = t;
	s->write = write;
	s->flags = (int)flags;
	s->hf = egress_get(m, fd, &s->ofd, &s->ofdidx, &err);
	if (s->hf != NULL && fs_get(m) == NULL)
		err = -ENOMEM;
	return (err);
}

/* The same for a message with a name; a datagram socket may go outside. */
static int
io_init_to(struct sockio *s, struct machine *m, struct thread *t, uint64_t fd,
    uint64_t flags, uint64_t name, uint64_t namelen)
{
	struct sockaddr_storage ss;
	socklen_t len = 0;
	uint32_t idx = 0;
	int r, kind;

	r = io_init(s, m, t, fd, flags, 1);
	(void)hfile_of(m, fd, NULL, &idx, &kind);
	if ((r != 0 && kind != GK_DGRAM) || name == 0 ||
	    (uint32_t)namelen == 0)
		return (r);
	r = egress_addr_in(m, name, namelen, &ss, &len);
	if (r == 0 && kind == GK_DGRAM) {
		r = fs_get(m) == NULL ? -ENOMEM :
		    egress_dgram(m, t, idx, &ss, len);
		if (r == 0)
			s->nobody = 1;
		else if (r > 0)
			r = io_init(s, m, t, fd, flags, 1);
	}
	s->name = ss;
	s->namelen = len;
	return (r);
}

int64_t
egress_rw(struct machine *m, struct thread *t, struct hfile *hf,
    struct gk_ofd *ofd, uint32_t ofdidx, struct uvec *u, int write)
{
	struct sockio s;

	(void)memset(&s, 0, sizeof s);
	s.m = m;
	s.t = t;
	s.hf = hf;
	s.ofd = ofd;
	s.ofdidx = ofdidx;
	s.write = write;
	s.u = u;
	if (fs_get(m) == NULL)
		return (-ENOMEM);
	return (io_run(&s));
}

/* ---- the calls ------------------------------------------------------------------------ */

int64_t
sys_sendto(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct sockio s;
	struct uvec u;
	int r;

	r = io_init_to(&s, m, t, a[0], a[3], a[4], a[5]);
	if (r == 0)
		r = uvec_one(&u, a[1], a[2]);
	if (r != 0)
		return (r);
	s.u = &u;
	return (io_run(&s));
}

int64_t
sys_recvfrom(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct sockio s;
	struct uvec u;
	int64_t n;
	int r;

	r = io_init(&s, m, t, a[0], a[3], 0);
	if (r == 0)
		r = uvec_one(&u, a[1], a[2]);
	if (r != 0)
		return (r);
	s.u = &u;
	n = io_run(&s);
	if (n < 0)
		return (n);
	r = egress_addr_out(m, &s.name, s.namelen, a[4], a[5]);
	return (r != 0 ? r : n);
}

static int64_t
do_sendmsg(struct machine *m, struct thread *t, uint64_t fd, uint64_t uaddr,
    uint64_t flags)
{
	struct gmsghdr h;
	struct sockio s;
	struct uvec u;
	int64_t n;
	int r;

	if (as_read(m->as, uaddr, &h, sizeof h) != 0)
		return (-EFAULT);
	r = io_init_to(&s, m, t, fd, flags, h.name, h.namelen);
	if (r != 0)
		return (r);
	if (h.controllen > 0)
		return (-EINVAL);	/* source addresses, routes, files */
	if (h.iovlen > MAX_IOV)
		return (-EMSGSIZE);
	r = uvec_read(m, &u, h.iov, h.iovlen);
	if (r != 0)
		return (r);
	s.u = &u;
	n = io_run(&s);
	uvec_fini(&u);
	return (n);
}

/* The fields of the guest's msghdr that recvmsg(2) gives back */
static int
msg_out(struct sockio *s, struct gmsghdr *h, uint64_t uaddr)
{
	uint32_t n;

	if (h->name != 0) {
		n = h->namelen < s->namelen ? h->namelen : s->namelen;
		if (as_write(s->m->as, h->name, &s->name, n) != 0)
			return (-EFAULT);
		h->namelen = s->namelen;
	}
	h->controllen = 0;
	h->flags = (uint32_t)(s->outflags & (MSG_TRUNC | MSG_EOR | MSG_OOB |
	    MSG_ERRQUEUE)) | ((uint32_t)s->flags & MSG_CMSG_CLOEXEC);
	return (as_write(s->m->as, uaddr, h, sizeof *h));
}

static int64_t
do_recvmsg(struct machine *m, struct thread *t, uint64_t fd, uint64_t uaddr,
    uint64_t flags)
{
	struct gmsghdr h;
	struct sockio s;
	struct uvec u;
	int64_t n;
	int r;

	r = io_init(&s, m, t, fd, flags, 0);
	if (r != 0)
		return (r);
	if (as_read(m->as, uaddr, &h, sizeof h) != 0)
		return (-EFAULT);
	if (h.name != 0 && (int32_t)h.namelen < 0)
		return (-EINVAL);
	if (h.iovlen > MAX_IOV)
		return (-EMSGSIZE);
	r = uvec_read(m, &u, h.iov, h.iovlen);
	if (r != 0)
		return (r);
	s.u = &u;
	n = io_run(&s);
	uvec_fini(&u);
	if (n < 0)
		return (n);
	r = msg_out(&s, &h, uaddr);
	return (r != 0 ? r : n);
}

int64_t
sys_sendmsg(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (do_sendmsg(m, t, a[0], a[1], a[2]));
}

int64_t
sys_recvmsg(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (do_recvmsg(m, t, a[0], a[1], a[2]));
}

/* ---- many messages: the resolver of libc does it so ------------------------------------- */

static int64_t
one_of_many(struct machine *m, struct thread *t, uint64_t fd, uint64_t msg,
    uint64_t flags, int write)
{
	const uint64_t b[6] = { fd, msg, flags, 0, 0, 0 };
	struct gk_ctx ctx;
	int64_t r;
	int kind;

	(void)hfile_get(m, fd, &kind);
	if (kind < 0)
		return (-EBADF);
	if (kind == GK_HOST)
		return (write ? do_sendmsg(m, t, fd, msg, flags) :
		    do_recvmsg(m, t, fd, msg, flags));
	machine_gk_ctx(m, t, &ctx);
	r = gk_syscall(&ctx, write ? 46 : 47, b);
	t->deadline = ctx.deadline;
	t->progress = ctx.progress;
	if (ctx.sigpipe)
		signal_sigpipe(m, t);
	if (r != GK_NOTMINE)
		return (r);
	/* A datagram to the outside? */
	return (write ? do_sendmsg(m, t, fd, msg, flags) : -ENOTSOCK);
}

static int64_t
many(struct machine *m, struct thread *t, const uint64_t a[6], int write)
{
	uint64_t msg = a[1], flags = (uint32_t)a[3] & ~0x10000U;
	unsigned i, n = a[2] < MMSG_MAX ? (unsigned)a[2] : MMSG_MAX;
	uint32_t len;
	int64_t r;

	/* Only the first may wait: so no count is lost when it does. */
	for (i = 0; i < n; i++, msg += sizeof(struct gmmsghdr)) {
		r = one_of_many(m, t, a[0], msg, flags, write);
		if (r < 0)
			return (i > 0 ? (int64_t)i : r);
		len = (uint32_t)r;
		if (as_write(m->as, msg + offsetof(struct gmmsghdr, len),
		    &len, sizeof len) != 0)
			return (i > 0 ? (int64_t)i : -EFAULT);
		flags |= MSG_DONTWAIT;
	}
	return ((int64_t)i);
}

int64_t
sys_sendmmsg(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (many(m, t, a, 1));
}

int64_t
sys_recvmmsg(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (many(m, t, a, 0));
}
