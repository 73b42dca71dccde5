/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Real sockets: connections that a guest makes to the outside, and its
 * datagrams.  Nothing, unless allow-net or allow-connect is given.
 *
 * A socket is the in-memory kernel's until it is connected or sends to an
 * address outside; then its description becomes one of a host file.  Host sockets never block; a guest's
 * call that should, waits as SYS_BLOCK.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/inotify.h>
#include <stddef.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

#define MAX_OPTLEN	256

struct hfile *
egress_get(struct machine *m, uint64_t fd, struct gk_ofd **ofd,
    uint32_t *ofdidx, int *err)
{
	struct hfile *hf;
	int kind;

	hf = hfile_of(m, fd, ofd, ofdidx, &kind);
	if (hf != NULL && hf->kind == HF_SOCK)
		return (hf);
	*err = kind < 0 || (hf != NULL && hf->kind == HF_PATH) ? -EBADF :
	    -ENOTSOCK;
	return (NULL);
}

int
egress_addr_in(struct machine *m, uint64_t uaddr, uint64_t len,
    struct sockaddr_storage *ss, socklen_t *salen)
{

	(void)memset(ss, 0, sizeof *ss);
	if ((int32_t)len < (int32_t)sizeof(sa_family_t) ||
	    (int32_t)len > (int32_t)sizeof *ss)
		return (-EINVAL);
	if (as_read(m->as, uaddr, ss, (uint32_t)len) != 0)
		return (-EFAULT);
	*salen = (socklen_t)len;
	if ((ss->ss_family == AF_INET &&
	    *salen < sizeof(struct sockaddr_in)) ||
	    (ss->ss_family == AF_INET6 && *salen < 24))
		return (-EINVAL);
	return (0);
}

int
egress_addr_out(struct machine *m, const struct sockaddr_storage *ss,
    socklen_t len, uint64_t uaddr, uint64_t ulen)
{
	uint32_t room, full = len;

	if (uaddr == 0)
		return (0);
	if (as_read(m->as, ulen, &room, sizeof room) != 0)
		return (-EFAULT);
	if ((int32_t)room < 0)
		return (-EINVAL);
	if (room > full)
		room = full;
	if (room > sizeof *ss)
		room = sizeof *ss;
	if (as_write(m->as, uaddr, ss, room) != 0 ||
	    as_write(m->as, ulen, &full, sizeof full) != 0)
		return (-EFAULT);
	return (0);
}

/* A host socket as a file with one reference; NULL: *err */
static struct hfile *
sock_new(int domain, int type, int *err)
{
	struct hfile *hf;
	int fd, on = 1;

	fd = socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		*err = -errno;
		return (NULL);
	}
	/* Options set before it is connected do not travel; this is the one
	 * that most would set. */
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
		    sizeof on);
	hf = hfile_new(HF_SOCK, fd);
	if (hf == NULL) {
		(void)close(fd);
		*err = -ENOMEM;
		return (NULL);
	}
	hf->can_read = hf->can_write = 1;
	hf->socktype = type;
	(void)fstat(fd, &hf->st);
	return (hf);
}

/* ---- socket -------------------------------------------------------------------------- */

/* What the in-memory kernel does not know: streams and datagrams it does. */
int64_t
sys_socket(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int domain = (int)a[0], type = (int)a[1] & 0xf;
	unsigned fl = (unsigned)a[1] & ~0xfU;

	(void)t;
	if (fl & ~(unsigned)(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return (-EINVAL);
	if (domain == AF_UNIX)
		return (-ESOCKTNOSUPPORT);
	if (domain == AF_NETLINK)
		return (netlink_socket(m, a));
	if (domain != AF_INET && domain != AF_INET6)
		return (-EAFNOSUPPORT);
	return (type == SOCK_RAW ? -EPERM : -ESOCKTNOSUPPORT);
}

/* ---- connect --------------------------------------------------------------------------- */

/* A connect that was started: done, failed, or still on its way */
static int64_t
connect_wait(struct machine *m, struct thread *t, const struct hfile *hf)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct pollfd p = { .fd = hf->fd, .events = POLLOUT };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(int);
	int err = 0;

	if (poll(&p, 1, 0) == 0)
		return (file_block(m, t, hf->fd, POLLOUT));
	if (getsockopt(hf->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		return (-errno);
	if (err != 0) {
		/* A program that waited may try again with this one. */
		(void)connect(hf->fd, &none, sizeof none);
		return (-err);
	}
	/* The kernel wants to hear of it too, or a second connect(2) of the
	 * guest would succeed. */
	len = sizeof ss;
	if (getpeername(hf->fd, (struct sockaddr *)&ss, &len) == 0)
		(void)connect(hf->fd, (struct sockaddr *)&ss, len);
	return (0);
}

static int64_t
connect_start(struct machine *m, struct thread *t, const struct hfile *hf,
    const struct sockaddr_storage *ss, socklen_t len, int nonblock)
{

	if (connect(hf->fd, (const struct sockaddr *)ss, len) == 0)
		return (0);
	if (errno != EINPROGRESS && errno != EALREADY)
		return (-errno);
	if (nonblock)
		return (-errno);
	return (file_block(m, t, hf->fd, POLLOUT));
}

/*
 * Nobody listens there in the guest: is there a socket without a server, or
 * nothing at all?  The host's sockets are out of reach.
 */
static int64_t
connect_unix(struct machine *m, const struct sockaddr_storage *ss,
    socklen_t len)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)ss;
	char path[sizeof un->sun_path + 1];
	struct where *w;
	int64_t r;

	if (len <= offsetof(struct sockaddr_un, sun_path))
		return (-EINVAL);
	if (un->sun_path[0] == '\0')
		return (-ECONNREFUSED);
	(void)memcpy(path, un->sun_path, sizeof un->sun_path);
	path[sizeof un->sun_path] = '\0';
	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	r = path_str(m, path, 0, w);
	if (r == 0) {
		r = w->ino != 0 || !S_ISSOCK(w->st.st_mode) ? -ECONNREFUSED :
		    net_refuse(m, (const struct sockaddr *)ss, len);
		where_fini(w);
	}
	free(w);
	return (r);
}

/* Its description becomes the host socket's, or hf is gone; 0 or -errno. */
static int
sock_move(struct machine *m, struct thread *t, uint32_t ofdidx,
    struct hfile *hf)
{
	struct gk_ctx ctx;
	int idx, err;

	idx = hfile_add(m, hf);
	if (idx < 0)
		return (idx);
	machine_gk_ctx(m, t, &ctx);
	err = gk_socket_to_host(&ctx, ofdidx, (uint32_t)idx);
	if (err != 0)
		hfile_unref(&m->hfile[idx]);
	return (err);
}

/* A host socket in place of a datagram socket, with its options; or NULL. */
static struct hfile *
dgram_new(const struct gk_ofd *ofd, int *err)
{
	struct timeval tv = { 0, 0 };
	struct hfile *hf;
	uint32_t ms = ofd->u.sock.timeo[GK_RCV];
	int on = 1;

	hf = sock_new(ofd->u.sock.domain, SOCK_DGRAM, err);
	if (hf == NULL)
		return (NULL);
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	(void)setsockopt(hf->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	/* The rules say where to: this allows no more. */
	(void)setsockopt(hf->fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
	return (hf);
}

int
egress_dgram(struct machine *m, struct thread *t, uint32_t ofdidx,
    const struct sockaddr_storage *ss, socklen_t len)
{
	const struct gk_ofd *ofd = &m->gk->ofd[ofdidx];
	struct hfile *hf;
	int err = 0;

	if (ofd->u.sock.domain == AF_UNIX)
		return (ss->ss_family != AF_UNIX ? -EINVAL :
		    (int)connect_unix(m, ss, len));
	if (ss->ss_family != ofd->u.sock.domain)
		return (-EAFNOSUPPORT);
	if (!net_allowed(m->fs, (const struct sockaddr *)ss, len))
		return (gk_dgram_local(ss, len) ? 0 :
		    net_unreach(m, (const struct sockaddr *)ss, len));
	hf = dgram_new(ofd, &err);
	if (hf == NULL)
		return (err);
	err = sock_move(m, t, ofdidx, hf);
	return (err != 0 ? err : 1);
}

/* To an address of the guest where nobody is: in memory, or not at all */
static int64_t
connect_refused(struct machine *m, struct thread *t, uint32_t ofdidx,
    const struct sockaddr_storage *ss, socklen_t len)
{
	struct gk_ctx ctx;

	if (m->gk->ofd[ofdidx].kind != GK_DGRAM)
		return (net_refuse(m, (const struct sockaddr *)ss, len));
	if (!gk_dgram_local(ss, len))
		return (net_unreach(m, (const struct sockaddr *)ss, len));
	machine_gk_ctx(m, t, &ctx);
	return (gk_dgram_connect_ip(&ctx, ofdidx, ss));
}

/* A socket of the in-memory kernel goes outside. */
static int64_t
connect_gk(struct machine *m, struct thread *t, uint32_t ofdidx,
    struct gk_ofd *ofd, const struct sockaddr_storage *ss, socklen_t len)
{
	struct hfile *hf;
	int64_t r;
	int err = 0, domain = ofd->u.sock.domain;

	if (domain == AF_UNIX)
		return (ss->ss_family != AF_UNIX ? -EINVAL :
		    connect_unix(m, ss, len));
	if (ss->ss_family != domain)
		return (ss->ss_family == AF_UNSPEC ? 0 : -EAFNOSUPPORT);
	if (!net_allowed(m->fs,
	    (const struct sockaddr *)ss, len))
		return (connect_refused(m, t, ofdidx, ss, len));
	hf = ofd->kind == GK_DGRAM ? dgram_new(ofd, &err) :
	    sock_new(domain, SOCK_STREAM, &err);
	if (hf == NULL)
		return (err);
	r = connect_start(m, t, hf, ss, len,
	    (ofd->flags & O_NONBLOCK) != 0);
	if (r != 0 && r != -EINPROGRESS && r != SYS_BLOCK) {
		hfile_unref(&hf);
		return (r);
	}
	err = sock_move(m, t, ofdidx, hf);
	return (err != 0 ? err : r);
}

int64_t
sys_connect(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct sockaddr_storage ss;
	struct gk_ofd *ofd;
	struct hfile *hf;
	uint32_t ofdidx = 0;
	socklen_t len;
	int kind, r;

	hf = hfile_of(m, a[0], &ofd, &ofdidx, &kind);
	if (kind < 0)
		return (-EBADF);
	if (kind != GK_SOCKET && kind != GK_DGRAM && (hf == NULL || hf->kind != HF_SOCK))
		return (-ENOTSOCK);
	if (hf != NULL && hf->fd < 0)
		return (-ECONNRESET);
	if (hf != NULL && t->restart)
		return (connect_wait(m, t, hf));
	r = egress_addr_in(m, a[1], a[2], &ss, &len);
	if (r != 0)
		return (r);
	if (hf != NULL && hf->netlink)
		return (ss.ss_family == AF_NETLINK ? 0 : -EINVAL);
	if (fs_get(m) == NULL)
		return (-ENOMEM);
	if (hf == NULL)
		return (connect_gk(m, t, ofdidx, ofd, &ss, len));
	if (ss.ss_family != AF_UNSPEC &&
	    !net_allowed(m->fs, (struct sockaddr *)&ss, len))
		return (hf->socktype == SOCK_DGRAM ?
		    net_unreach(m, (struct sockaddr *)&ss, len) :
		    net_refuse(m, (struct sockaddr *)&ss, len));
	return (connect_start(m, t, hf, &ss, len,
	    (ofd->flags & O_NONBLOCK) != 0));
}

/* ---- the rest about names ------------------------------------------------------------- */

static int64_t
bind_gk(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gk_ctx ctx;

	machine_gk_ctx(m, t, &ctx);
	return (gk_syscall(&ctx, t->nr, a));
}

/* The file knows the socket, which has no name when that is removed. */
static void
bound_to(struct machine *m, uint32_t ino, uint64_t fd)
{
	struct mfs_inode *i = mfs_inode(m, ino);
	struct gk_ofd *o;
	uint32_t idx;

	o = gk_fd_get(m->gk, (uint32_t)fd, &idx);
	if (o == NULL || i == NULL)
		return;
	as_touch(m->as, i, sizeof *i);
	i->sock1 = idx + 1;
	i->addr1 = o->u.sock.addr1;
}

/* A Unix socket's name in memory is a file there. */
static int64_t
bind_path(struct machine *m, struct thread *t, const uint64_t a[6],
    const char *path)
{
	struct where *w;
	uint32_t parent;
	int64_t r;

	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	if (path_str(m, path, W_CREATE | W_NOFOLLOW, w) != 0) {
		free(w);
		return (bind_gk(m, t, a));
	}
	if (w->mnt != MNT_MEM)
		r = bind_gk(m, t, a);
	else if (!w->missing)
		r = -EADDRINUSE;
	else {
		r = bind_gk(m, t, a);
		(void)mfs_lookup(m, w->path, &parent);
		if (r == 0)
			r = mfs_make(m, parent, w->path + w->nameoff,
			    S_IFSOCK | (0777 & ~m->proc.umask));
		if (r > 0) {
			bound_to(m, (uint32_t)r, a[0]);
			notify_where(m, w, IN_CREATE);
		}
		r = r > 0 ? 0 : r;
	}
	where_fini(w);
	free(w);
	return (r);
}

static int64_t
bind_local(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct sockaddr_un un;
	char path[sizeof un.sun_path + 1];
	uint64_t len = (uint32_t)a[2];

	(void)memset(&un, 0, sizeof un);
	if (len <= offsetof(struct sockaddr_un, sun_path) ||
	    len > sizeof un || as_read(m->as, a[1], &un, len) != 0 ||
	    un.sun_family != AF_UNIX || un.sun_path[0] == '\0')
		return (bind_gk(m, t, a));
	(void)memcpy(path, un.sun_path, sizeof un.sun_path);
	path[sizeof un.sun_path] = '\0';
	return (bind_path(m, t, a, path));
}

/* Outside, only to choose a family's any address: no port is taken on the
 * host. */
int64_t
sys_bind(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct sockaddr_storage ss;
	struct hfile *hf;
	socklen_t len;
	uint16_t port;
	int r = 0, kind;

	(void)hfile_get(m, a[0], &kind);
	if (kind >= 0 && kind != GK_HOST)
		return (kind == GK_SOCKET || kind == GK_DGRAM ?
		    bind_local(m, t, a) :
		    bind_gk(m, t, a));
	hf = egress_get(m, a[0], NULL, NULL, &r);
	if (hf == NULL)
		return (r);
	r = egress_addr_in(m, a[1], a[2], &ss, &len);
	if (r != 0)
		return (r);
	if (hf->netlink)
		return (ss.ss_family == AF_NETLINK ? 0 : -EINVAL);
	if (ss.ss_family != AF_INET && ss.ss_family != AF_INET6)
		return (-EAFNOSUPPORT);
	(void)memcpy(&port, (char *)&ss + 2, sizeof port);
	if (port != 0)
		return (-EACCES);
	if (hf->fd < 0)
		return (-EINVAL);
	return (bind(hf->fd, (struct sockaddr *)&ss, len) != 0 ? -errno : 0);
}

int64_t
sys_listen(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int r = 0;

	(void)t;
	if (egress_get(m, a[0], NULL, NULL, &r) == NULL)
		return (r);
	return (-EOPNOTSUPP);
}

int64_t
sys_accept(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	int r = 0;

	(void)t;
	hf = egress_get(m, a[0], NULL, NULL, &r);
	if (hf == NULL)
		return (r);
	return (hf->socktype == SOCK_STREAM ? -EINVAL : -EOPNOTSUPP);
}

int64_t
sys_accept4(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_accept(m, t, a));
}

static int64_t
get_name(struct machine *m, const uint64_t a[6],
    int (*f)(int, struct sockaddr *restrict, socklen_t *restrict))
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	struct hfile *hf;
	int r = 0;

	hf = egress_get(m, a[0], NULL, NULL, &r);
	if (hf == NULL)
		return (r);
	if (hf->fd < 0)
		return (-ENOTCONN);
	(void)memset(&ss, 0, sizeof ss);
	if (hf->netlink)
		len = netlink_name(&ss, f == getsockname ? m->proc.pid : 0);
	else if (f(hf->fd, (struct sockaddr *)&ss, &len) != 0)
		return (-errno);
	if (a[1] == 0)
		return (-EFAULT);
	return (egress_addr_out(m, &ss, len, a[1], a[2]));
}

int64_t
sys_getsockname(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (get_name(m, a, getsockname));
}

int64_t
sys_getpeername(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (get_name(m, a, getpeername));
}

int64_t
sys_shutdown(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gk_ofd *ofd;
	struct hfile *hf;
	uint32_t idx = 0;
	int r = 0;

	(void)t;
	hf = egress_get(m, a[0], &ofd, &idx, &r);
	if (hf == NULL)
		return (r);
	if (a[1] > SHUT_RDWR)
		return (-EINVAL);
	if (hf->fd < 0 || shutdown(hf->fd, (int)a[1]) != 0)
		return (hf->fd < 0 ? -ENOTCONN : -errno);
	gk_ofd_event(m->gk, idx, POLLIN | POLLOUT);
	return (0);
}

/* ---- options ------------------------------------------------------------------------------ */

#define OPT_GET		1u
#define OPT_SET		2u
#define OPT_BOTH	3u

/* Those without effect on other sockets, on routing or on the kernel */
static const struct {
	int		level, name;
	unsigned	ok;
} sockopts[] = {
	{ SOL_SOCKET, SO_ERROR, OPT_GET },
	{ SOL_SOCKET, SO_TYPE, OPT_GET },
	{ SOL_SOCKET, SO_DOMAIN, OPT_GET },
	{ SOL_SOCKET, SO_PROTOCOL, OPT_GET },
	{ SOL_SOCKET, SO_ACCEPTCONN, OPT_GET },
	{ SOL_SOCKET, SO_REUSEADDR, OPT_BOTH },
	{ SOL_SOCKET, SO_KEEPALIVE, OPT_BOTH },
	{ SOL_SOCKET, SO_SNDBUF, OPT_BOTH },
	{ SOL_SOCKET, SO_RCVBUF, OPT_BOTH },
	{ SOL_SOCKET, SO_LINGER, OPT_BOTH },
	{ SOL_SOCKET, SO_RCVTIMEO, OPT_BOTH },
	{ SOL_SOCKET, SO_SNDTIMEO, OPT_BOTH },
	{ SOL_SOCKET, SO_OOBINLINE, OPT_BOTH },
	{ SOL_SOCKET, SO_BROADCAST, OPT_BOTH },
	{ SOL_SOCKET, SO_RCVLOWAT, OPT_BOTH },
	{ IPPROTO_TCP, TCP_NODELAY, OPT_BOTH },
	{ IPPROTO_TCP, TCP_CORK, OPT_BOTH },
	{ IPPROTO_TCP, TCP_MAXSEG, OPT_BOTH },
	{ IPPROTO_TCP, TCP_KEEPIDLE, OPT_BOTH },
	{ IPPROTO_TCP, TCP_KEEPINTVL, OPT_BOTH },
	{ IPPROTO_TCP, TCP_KEEPCNT, OPT_BOTH },
	{ IPPROTO_TCP, TCP_SYNCNT, OPT_BOTH },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, OPT_BOTH },
	{ IPPROTO_TCP, TCP_QUICKACK, OPT_BOTH },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, OPT_BOTH },
	{ IPPROTO_TCP, TCP_INFO, OPT_GET },
	{ IPPROTO_IP, IP_TOS, OPT_BOTH },
	{ IPPROTO_IP, IP_TTL, OPT_BOTH },
	{ IPPROTO_IP, IP_RECVERR, OPT_BOTH },
	{ IPPROTO_IP, IP_MTU_DISCOVER, OPT_BOTH },
	{ IPPROTO_IPV6, IPV6_V6ONLY, OPT_BOTH },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, OPT_BOTH },
	{ IPPROTO_IPV6, IPV6_TCLASS, OPT_BOTH },
	{ IPPROTO_IPV6, IPV6_RECVERR, OPT_BOTH },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, OPT_BOTH },
};

static int
opt_ok(uint64_t level, uint64_t name, unsigned want)
{
	unsigned u;

	for (u = 0; u < NELEM(sockopts); u++)
		if (sockopts[u].level == (int)level &&
		    sockopts[u].name == (int)name)
			return ((sockopts[u].ok & want) != 0);
	return (0);
}

int64_t
sys_setsockopt(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	uint64_t buf[MAX_OPTLEN / 8];
	int r = 0;

	(void)t;
	hf = egress_get(m, a[0], NULL, NULL, &r);
	if (hf == NULL)
		return (r);
	if ((int32_t)a[4] < 0 || (int32_t)a[4] > MAX_OPTLEN)
		return (-EINVAL);
	if (hf->netlink && a[1] != SOL_SOCKET)
		return (0);
	if (!opt_ok(a[1], a[2], OPT_SET))
		return (-ENOPROTOOPT);
	if (as_read(m->as, a[3], buf, (uint32_t)a[4]) != 0)
		return (-EFAULT);
	if (hf->fd < 0)
		return (0);
	if (setsockopt(hf->fd, (int)a[1], (int)a[2], buf,
	    (socklen_t)a[4]) != 0)
		return (-errno);
	return (0);
}

int64_t
sys_getsockopt(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct hfile *hf;
	uint64_t buf[MAX_OPTLEN / 8] = { 0 };
	uint32_t room;
	socklen_t len;
	int r = 0;

	(void)t;
	hf = egress_get(m, a[0], NULL, NULL, &r);
	if (hf == NULL)
		return (r);
	if (as_read(m->as, a[4], &room, sizeof room) != 0)
		return (-EFAULT);
	if ((int32_t)room < 0)
		return (-EINVAL);
	if (!opt_ok(a[1], a[2], OPT_GET))
		return (-ENOPROTOOPT);
	len = room < sizeof buf ? room : sizeof buf;
	if (hf->fd < 0) {
		buf[0] = (int)a[1] == SOL_SOCKET && (int)a[2] == SO_ERROR ?
		    ECONNRESET : 0;
		len = len < 4 ? len : 4;
	} else if (getsockopt(hf->fd, (int)a[1], (int)a[2], buf, &len) != 0)
		return (-errno);
	if (as_write(m->as, a[3], buf, len) != 0 ||
	    as_write(m->as, a[4], &len, sizeof len) != 0)
		return (-EFAULT);
	return (0);
}
