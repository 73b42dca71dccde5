/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The guest's network interfaces, for those who list them (getifaddrs of libc,
 * os.networkInterfaces of Node, Java): the loopback one, and nothing of the
 * host's.  By ioctl(2), and by routing sockets (AF_NETLINK, NETLINK_ROUTE).
 *
 * A routing socket is one end of a pair of the host's; we answer a request at
 * once, from the other end.  So waiting for it needs nothing of its own.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "linux/sys_files.h"
#include "obj.h"

#define LO_NAME		"lo"
#define LO_INDEX	1
#define LO_FLAGS	(IFF_UP | IFF_LOOPBACK | IFF_RUNNING)
#define LOWER_UP	0x10000		/* IFF_LOWER_UP: not in net/if.h */
#define LO_MTU		65536
#define ANSWER_MAX	512		/* to one request */
#define REQUEST_MAX	8192

/* ---- answers of a routing socket ------------------------------------------------ */

struct answer {
	char		b[ANSWER_MAX];
	size_t		len;
	uint32_t	seq, pid;
	unsigned	flags;		/* NLM_F_MULTI or none */
};

/* A message with `len` bytes of what follows its header; where they are */
static void *
msg_begin(struct answer *w, unsigned type, size_t len)
{
	struct nlmsghdr h = { 0 };

	assert(w->len + NLMSG_SPACE(len) <= sizeof w->b);
	h.nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	h.nlmsg_type = (uint16_t)type;
	h.nlmsg_flags = (uint16_t)w->flags;
	h.nlmsg_seq = w->seq;
	h.nlmsg_pid = w->pid;
	(void)memcpy(w->b + w->len, &h, sizeof h);
	w->len += NLMSG_SPACE(len);
	return (w->b + w->len - NLMSG_ALIGN(len));
}

/* An attribute of the message that begins at `msg` */
static void
msg_attr(struct answer *w, size_t msg, unsigned type, const void *p,
    size_t len)
{
	struct rtattr a;
	struct nlmsghdr h;

	assert(w->len + RTA_SPACE(len) <= sizeof w->b);
	a.rta_len = (unsigned short)RTA_LENGTH(len);
	a.rta_type = (unsigned short)type;
	(void)memcpy(w->b + w->len, &a, sizeof a);
	(void)memcpy(w->b + w->len + RTA_LENGTH(0), p, len);
	w->len += RTA_SPACE(len);
	(void)memcpy(&h, w->b + msg, sizeof h);
	h.nlmsg_len = (uint32_t)(w->len - msg);
	(void)memcpy(w->b + msg, &h, sizeof h);
}

static void
put_link(struct answer *w)
{
	static const unsigned char mac[6];
	const uint32_t mtu = LO_MTU, txq = 1000;
	const uint8_t up = 0;			/* IF_OPER_UNKNOWN: as Linux */
	struct ifinfomsg i = { 0 };
	size_t at = w->len;

	i.ifi_type = ARPHRD_LOOPBACK;
	i.ifi_index = LO_INDEX;
	i.ifi_flags = LO_FLAGS | LOWER_UP;
	(void)memcpy(msg_begin(w, RTM_NEWLINK, sizeof i), &i, sizeof i);
	msg_attr(w, at, IFLA_IFNAME, LO_NAME, sizeof LO_NAME);
	msg_attr(w, at, IFLA_TXQLEN, &txq, sizeof txq);
	msg_attr(w, at, IFLA_OPERSTATE, &up, sizeof up);
	msg_attr(w, at, IFLA_MTU, &mtu, sizeof mtu);
	msg_attr(w, at, IFLA_ADDRESS, mac, sizeof mac);
	msg_attr(w, at, IFLA_BROADCAST, mac, sizeof mac);
}

static void
put_addr(struct answer *w, int family)
{
	const struct in_addr v4 = { htonl(INADDR_LOOPBACK) };
	struct ifaddrmsg i = { 0 };
	size_t at = w->len;
	const void *p = family == AF_INET ? (const void *)&v4 : &in6addr_loopback;
	size_t len = family == AF_INET ? sizeof v4 : sizeof in6addr_loopback;

	i.ifa_family = (uint8_t)family;
	i.ifa_prefixlen = family == AF_INET ? 8 : 128;
	i.ifa_flags = IFA_F_PERMANENT;
	i.ifa_scope = RT_SCOPE_HOST;
	i.ifa_index = LO_INDEX;
	(void)memcpy(msg_begin(w, RTM_NEWADDR, sizeof i), &i, sizeof i);
	msg_attr(w, at, IFA_ADDRESS, p, len);
	if (family == AF_INET) {
		msg_attr(w, at, IFA_LOCAL, p, len);
		msg_attr(w, at, IFA_LABEL, LO_NAME, sizeof LO_NAME);
	}
}

static void
put_error(struct answer *w, const struct nlmsghdr *req, int err)
{
	struct nlmsgerr e = { 0 };

	e.error = err;
	e.msg = *req;
	w->flags = 0;
	(void)memcpy(msg_begin(w, NLMSG_ERROR, sizeof e), &e, sizeof e);
}

/* Of the one link: by its index, or by its name */
static int
wants_lo(const struct nlmsghdr *h, const char *p)
{
	struct ifinfomsg i;
	struct rtattr a;
	size_t left;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof i))
		return (0);
	(void)memcpy(&i, p + NLMSG_HDRLEN, sizeof i);
	if (i.ifi_index != 0)
		return (i.ifi_index == LO_INDEX);
	p += NLMSG_SPACE(sizeof i);
	left = h->nlmsg_len - NLMSG_LENGTH(sizeof i);
	while (left >= sizeof a) {
		(void)memcpy(&a, p, sizeof a);
		if (a.rta_len < sizeof a || a.rta_len > left)
			return (0);
		if (a.rta_type == IFLA_IFNAME && a.rta_len >= RTA_LENGTH(2) &&
		    strncmp(p + RTA_LENGTH(0), LO_NAME,
		    a.rta_len - RTA_LENGTH(0)) == 0)
			return (1);
		if (RTA_ALIGN(a.rta_len) >= left)
			return (0);
		p += RTA_ALIGN(a.rta_len);
		left -= RTA_ALIGN(a.rta_len);
	}
	return (0);
}

/* One message of a request, checked to be whole; p is where it is. */
static void
answer(struct answer *w, const struct nlmsghdr *h, const char *p)
{
	const int dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	const int get = h->nlmsg_type >= RTM_BASE && (h->nlmsg_type & 3) == 2;
	const uint32_t none = 0;
	uint8_t family = h->nlmsg_len > NLMSG_HDRLEN ?
	    (uint8_t)p[NLMSG_HDRLEN] : AF_UNSPEC;

	w->len = 0;
	w->seq = h->nlmsg_seq;
	w->flags = dump ? NLM_F_MULTI : 0;
	if (!get) {
		put_error(w, h, -EPERM);
		return;
	}
	if (!dump) {
		if (h->nlmsg_type == RTM_GETLINK && wants_lo(h, p))
			put_link(w);
		else
			put_error(w, h, h->nlmsg_type == RTM_GETLINK ?
			    -ENODEV : -EOPNOTSUPP);
		return;
	}
	if (h->nlmsg_type == RTM_GETLINK)
		put_link(w);
	if (h->nlmsg_type == RTM_GETADDR && family != AF_INET6)
		put_addr(w, AF_INET);
	if (h->nlmsg_type == RTM_GETADDR && family != AF_INET)
		put_addr(w, AF_INET6);
	(void)memcpy(msg_begin(w, NLMSG_DONE, sizeof none), &none, sizeof none);
}

int64_t
netlink_send(struct machine *m, const struct hfile *hf, const char *p,
    size_t len)
{
	struct answer w = { .pid = m->proc.pid };
	struct nlmsghdr h;
	size_t left = len, n;

	if (len > REQUEST_MAX)
		return (-EMSGSIZE);
	while (left >= sizeof h) {
		(void)memcpy(&h, p, sizeof h);
		if (h.nlmsg_len < sizeof h || h.nlmsg_len > left)
			break;
		if ((h.nlmsg_flags & NLM_F_REQUEST) &&
		    h.nlmsg_type >= NLMSG_MIN_TYPE) {
			answer(&w, &h, p);
			if (send(hf->peer, w.b, w.len,
			    MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
				return (-ENOBUFS);
		} else if (h.nlmsg_flags & NLM_F_ACK) {
			w.len = 0;
			w.seq = h.nlmsg_seq;
			put_error(&w, &h, 0);
			(void)send(hf->peer, w.b, w.len,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		}
		n = NLMSG_ALIGN(h.nlmsg_len);
		n = n < left ? n : left;
		p += n;
		left -= n;
	}
	return ((int64_t)len);
}

/* ---- routing sockets --------------------------------------------------------------- */

/* As from the kernel (pid 0), or as its own name */
socklen_t
netlink_name(struct sockaddr_storage *ss, uint32_t pid)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK };

	nl.nl_pid = pid;
	(void)memset(ss, 0, sizeof *ss);
	(void)memcpy(ss, &nl, sizeof nl);
	return (sizeof nl);
}

static struct hfile *
netlink_new(int *err)
{
	struct hfile *hf;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	    fd) != 0) {
		*err = -errno;
		return (NULL);
	}
	hf = hfile_new(HF_SOCK, fd[0]);
	if (hf == NULL) {
		(void)close(fd[0]);
		(void)close(fd[1]);
		*err = -ENOMEM;
		return (NULL);
	}
	hf->netlink = 1;
	hf->peer = fd[1];
	hf->can_read = hf->can_write = 1;
	hf->socktype = SOCK_DGRAM;
	(void)fstat(fd[0], &hf->st);
	return (hf);
}

int64_t
netlink_socket(struct machine *m, const uint64_t a[6])
{
	const int type = (int)a[1] & 0xf;
	struct hfile *hf;
	int err = 0;

	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return (-ESOCKTNOSUPPORT);
	if ((int)a[2] != NETLINK_ROUTE)
		return (-EPROTONOSUPPORT);
	hf = netlink_new(&err);
	if (hf == NULL)
		return (err);
	return (hfile_install(m, hf, O_RDWR | ((unsigned)a[1] & SOCK_NONBLOCK ?
	    O_NONBLOCK : 0) | ((unsigned)a[1] & SOCK_CLOEXEC ? O_CLOEXEC : 0)));
}

/*
 * One from before the freeze is shared by all forks, and nothing ever comes out
 * of it: who asks something gets one of its own.
 */
struct hfile *
netlink_private(struct machine *m, const struct gk_ofd *ofd, struct hfile *hf)
{
	uint32_t idx = *(const volatile uint32_t *)&ofd->u.host.idx;
	struct hfile *n;
	int err;

	if (atomic_load(&hf->refs) == 1 || idx >= MAX_HFILE ||
	    m->hfile[idx] != hf)
		return (hf);
	n = netlink_new(&err);
	if (n == NULL)
		return (NULL);
	hfile_unref(&m->hfile[idx]);
	m->hfile[idx] = n;
	return (n);
}

void
netlink_freeze(const struct hfile *hf)
{
	char c;

	while (recv(hf->fd, &c, 1, MSG_DONTWAIT) >= 0)
		continue;
}

/* ---- ioctl ------------------------------------------------------------------------- */

static void
lo_sockaddr(struct sockaddr *sa, uint32_t addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_addr.s_addr = htonl(addr);
	(void)memcpy(sa, &in, sizeof in);
}

static int64_t
lo_list(struct machine *m, uint64_t uaddr)
{
	struct { int32_t len, pad; uint64_t buf; } c;
	struct ifreq r;

	if (as_read(m->as, uaddr, &c, sizeof c) != 0)
		return (-EFAULT);
	(void)memset(&r, 0, sizeof r);
	(void)memcpy(r.ifr_name, LO_NAME, sizeof LO_NAME);
	lo_sockaddr(&r.ifr_addr, INADDR_LOOPBACK);
	if (c.buf != 0 && c.len < (int32_t)sizeof r)
		c.len = 0;
	else {
		c.len = sizeof r;
		if (c.buf != 0 && as_write(m->as, c.buf, &r, sizeof r) != 0)
			return (-EFAULT);
	}
	return (as_write(m->as, uaddr, &c, sizeof c) != 0 ? -EFAULT : 0);
}

/* What one asks about the interface r->ifr_name; 0 or -errno */
static int
lo_answer(unsigned req, struct ifreq *r)
{

	switch (req) {
	case SIOCGIFINDEX:
		r->ifr_ifindex = LO_INDEX;
		return (0);
	case SIOCGIFFLAGS:
		r->ifr_flags = LO_FLAGS;
		return (0);
	case SIOCGIFMTU:
		r->ifr_mtu = LO_MTU;
		return (0);
	case SIOCGIFTXQLEN:
		r->ifr_qlen = 1000;
		return (0);
	case SIOCGIFMETRIC:
		r->ifr_metric = 0;
		return (0);
	case SIOCGIFHWADDR:
		(void)memset(&r->ifr_hwaddr, 0, sizeof r->ifr_hwaddr);
		r->ifr_hwaddr.sa_family = ARPHRD_LOOPBACK;
		return (0);
	case SIOCGIFADDR:
	case SIOCGIFDSTADDR:
		lo_sockaddr(&r->ifr_addr, INADDR_LOOPBACK);
		return (0);
	case SIOCGIFNETMASK:
		lo_sockaddr(&r->ifr_addr, 0xff000000);
		return (0);
	case SIOCGIFBRDADDR:
		lo_sockaddr(&r->ifr_addr, 0);
		return (0);
	default:
		return (-ENOTTY);
	}
}

int64_t
netdev_ioctl(struct machine *m, unsigned req, uint64_t uaddr)
{
	struct ifreq r;
	int n;

	if (req == SIOCGIFCONF)
		return (lo_list(m, uaddr));
	(void)memset(&r, 0, sizeof r);
	n = req == SIOCGIFNAME ? 0 : lo_answer(req, &r);
	if (n != 0)
		return (n);
	if (as_read(m->as, uaddr, &r, sizeof r) != 0)
		return (-EFAULT);
	r.ifr_name[IFNAMSIZ - 1] = '\0';
	if (req == SIOCGIFNAME) {
		if (r.ifr_ifindex != LO_INDEX)
			return (-ENODEV);
		(void)memcpy(r.ifr_name, LO_NAME, sizeof LO_NAME);
	} else if (strcmp(r.ifr_name, LO_NAME) != 0)
		return (-ENODEV);
	else
		(void)lo_answer(req, &r);
	return (as_write(m->as, uaddr, &r, sizeof r) != 0 ? -EFAULT : 0);
}
