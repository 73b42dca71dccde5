/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Network interfaces: the loopback one, which is all that a machine has.
 */

#include "diff.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

CASE(by_libc)
{
	struct ifaddrs *list, *p;
	char text[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
	const void *addr;

	RET(getifaddrs(&list));
	for (p = list; p != NULL; p = p->ifa_next) {
		if (strcmp(p->ifa_name, "lo") != 0 || p->ifa_addr == NULL)
			continue;
		addr = p->ifa_addr->sa_family == AF_INET ?
		    (void *)&((struct sockaddr_in *)p->ifa_addr)->sin_addr :
		    (void *)&((struct sockaddr_in6 *)p->ifa_addr)->sin6_addr;
		say("family %d flags %x", p->ifa_addr->sa_family,
		    p->ifa_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
		if (p->ifa_addr->sa_family != AF_PACKET)
			say("%s", inet_ntop(p->ifa_addr->sa_family, addr, text,
			    sizeof text));
	}
	freeifaddrs(list);
	SHOW(if_nametoindex("lo"));
	SHOW(if_nametoindex("lo77"));
	say("%s", if_indextoname(1, name));
	SHOW(if_indextoname(7777, name) == NULL);
}

CASE(by_ioctl)
{
	struct ifreq r = { .ifr_name = "lo" };
	struct ifconf c = { 0 };
	int s;

	MUST((s = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
	RET(ioctl(s, SIOCGIFCONF, &c));
	SHOW(c.ifc_len >= (int)sizeof r);
	RET(ioctl(s, SIOCGIFFLAGS, &r));
	SHOW(r.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
	RET(ioctl(s, SIOCGIFADDR, &r));
	SHOW(ntohl(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr));
	RET(ioctl(s, SIOCGIFNETMASK, &r));
	SHOW(ntohl(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr));
	RET(ioctl(s, SIOCGIFMTU, &r));
	SHOW(r.ifr_mtu);
	RET(ioctl(s, SIOCGIFINDEX, &r));
	SHOW(r.ifr_ifindex);
	RET(ioctl(s, SIOCGIFHWADDR, &r));
	SHOW(r.ifr_hwaddr.sa_family);
	RET(ioctl(s, SIOCGIFNAME, &r));
	RET(ioctl(s, SIOCGIFNAME, (void *)8));
	(void)strcpy(r.ifr_name, "lo77");
	RET(ioctl(s, SIOCGIFMTU, &r));
	close(s);
}

/* A request, and what its answer is made of, as far as it is about `lo` */
static void
ask(int s, unsigned type, unsigned flags, const void *body, size_t len)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK }, from;
	socklen_t flen;
	char b[65536];
	struct nlmsghdr *h = (void *)b;
	struct nlmsgerr *e;
	ssize_t n;
	int done = 0;

	(void)memset(b, 0, 256);
	h->nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	h->nlmsg_type = (uint16_t)type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = 42;
	(void)memcpy(NLMSG_DATA(h), body, len);
	MUST(sendto(s, b, h->nlmsg_len, 0, (void *)&to, sizeof to) ==
	    (ssize_t)h->nlmsg_len);
	while (!done) {
		flen = sizeof from;
		n = recvfrom(s, b, sizeof b, 0, (void *)&from, &flen);
		MUST(n > 0 && flen == sizeof from && from.nl_pid == 0 &&
		    from.nl_family == AF_NETLINK);
		for (h = (void *)b; NLMSG_OK(h, (size_t)n) && !done;
		    h = NLMSG_NEXT(h, n)) {
			done = h->nlmsg_type == NLMSG_DONE ||
			    h->nlmsg_type == NLMSG_ERROR ||
			    !(h->nlmsg_flags & NLM_F_MULTI);
			if (h->nlmsg_seq != 42)
				say("seq %u", h->nlmsg_seq);
			e = NLMSG_DATA(h);
			if (h->nlmsg_type == NLMSG_ERROR)
				say("error %s", errno_name(-e->error));
			else if (h->nlmsg_type == NLMSG_DONE)
				say("done");
			else if (*((int *)e + 1) == 1)	/* both: the index */
				say("type %u family %u", h->nlmsg_type,
				    *(unsigned char *)e);
		}
	}
}

CASE(by_netlink)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK };
	struct { struct ifinfomsg i; struct rtattr a; char name[8]; } link = {
	    { 0 }, { RTA_LENGTH(3), IFLA_IFNAME }, "lo" };
	struct ifaddrmsg addr = { 0 };
	struct pollfd p;
	socklen_t len = sizeof me;
	int s;

	WORKS(s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	RET(bind(s, (void *)&me, sizeof me));
	RET(getsockname(s, (void *)&me, &len));
	SHOW(len);
	SHOW(me.nl_family);
	p = (struct pollfd){ s, POLLIN, 0 };
	RET(poll(&p, 1, 0));
	RET(recv(s, &link, sizeof link, MSG_DONTWAIT));
	ask(s, RTM_GETLINK, NLM_F_DUMP, &link.i, sizeof link.i);
	ask(s, RTM_GETADDR, NLM_F_DUMP, &addr, sizeof addr);
	addr.ifa_family = AF_INET;
	ask(s, RTM_GETADDR, NLM_F_DUMP, &addr, sizeof addr);
	addr.ifa_family = AF_INET6;
	ask(s, RTM_GETADDR, NLM_F_DUMP, &addr, sizeof addr);
	ask(s, RTM_GETLINK, 0, &link, sizeof link);
	(void)strcpy(link.name, "xy");
	ask(s, RTM_GETLINK, 0, &link, sizeof link);
	link.i.ifi_index = 1;
	ask(s, RTM_GETLINK, 0, &link.i, sizeof link.i);
	RET(poll(&p, 1, 0));
	close(s);
	RET(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE));
	RET(socket(AF_NETLINK, SOCK_RAW, 99));
}
