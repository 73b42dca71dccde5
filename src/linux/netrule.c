/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Where a guest may connect to: allow-net and allow-connect.
 *
 * Names in rules are looked up once, when the guest's view of the host is
 * made: never while a request waits, and a name server cannot point a rule
 * elsewhere later.
 */

#include <sys/types.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "conf/addr_rule.h"
#include "conf/options.h"
#include "linux/audit.h"
#include "linux/sys_files.h"
#include "obj.h"

#define RESOLV_CONF	"/etc/resolv.conf"
#define MAX_DNS		3		/* as libc: MAXNS */

static int
net_add(struct fs *fs, const char *rule, int deny)
{
	char ***list = deny ? &fs->deny : &fs->net;
	unsigned *n = deny ? &fs->ndeny : &fs->nnet;
	char **p;

	p = realloc(*list, (*n + 1) * sizeof *p);
	if (p == NULL)
		return (-1);
	*list = p;
	p[*n] = strdup(rule);
	if (p[*n] == NULL)
		return (-1);
	++*n;
	return (0);
}

/* Is the rule's host a name?  Then it is copied out, *port is the rest. */
static int
rule_name(const char *rule, char name[NI_MAXHOST], const char **port)
{
	size_t len = strcspn(rule, ":");
	struct in_addr in;

	if (*rule == '[' || *rule == '/' || len == 0 || len >= NI_MAXHOST ||
	    strncmp(rule, "unix:", 5) == 0 || strspn(rule, "*") == len ||
	    memchr(rule, '/', len) != NULL)
		return (0);
	(void)memcpy(name, rule, len);
	name[len] = '\0';
	*port = rule + len;
	return (inet_pton(AF_INET, name, &in) != 1);
}

static int
net_add_name(struct fs *fs, struct machine *m, const char *rule,
    const char *name, const char *port, int deny)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *res = NULL, *ai;
	char host[NI_MAXHOST], text[NI_MAXHOST + 32];
	int r, bad = 0;

	r = getaddrinfo(name, NULL, &hints, &res);
	if (r != 0) {
		machine_log(m, TKVM_LOG_WARN, "%s-connect=%s: %s: it will "
		    "match nothing", deny ? "deny" : "allow", rule,
		    gai_strerror(r));
		return (0);
	}
	for (ai = res; ai != NULL && !bad; ai = ai->ai_next) {
		if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host,
		    sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		host[strcspn(host, "%")] = '\0';
		(void)snprintf(text, sizeof text,
		    ai->ai_family == AF_INET6 ? "[%s]%.16s" : "%s%.16s",
		    host, port);
		bad = net_add(fs, text, deny);
	}
	freeaddrinfo(res);
	return (bad);
}

static int
net_list(struct fs *fs, struct machine *m, const struct allow *a, int deny)
{
	char name[NI_MAXHOST];
	const char *port;
	unsigned u;

	if (a->all)
		*(deny ? &fs->deny_all : &fs->all_net) = 1;
	for (u = 0; u < a->rule.n; u++) {
		if (!rule_name(a->rule.v[u], name, &port)) {
			if (net_add(fs, a->rule.v[u], deny) != 0)
				return (-1);
			continue;
		}
		fs->named |= !deny;
		if (net_add_name(fs, m, a->rule.v[u], name, port, deny) != 0)
			return (-1);
	}
	return (0);
}

/* One line of resolv.conf: a nameserver becomes a rule and is shown. */
static int
dns_line(struct fs *fs, const char *line)
{
	char addr[INET6_ADDRSTRLEN], rule[INET6_ADDRSTRLEN + 8], *dns;
	unsigned char ip[16];

	if (sscanf(line, "nameserver %45[0-9a-fA-F.:]", addr) != 1)
		return (0);
	if (inet_pton(AF_INET, addr, ip) == 1)
		(void)snprintf(rule, sizeof rule, "%s:53", addr);
	else if (inet_pton(AF_INET6, addr, ip) == 1)
		(void)snprintf(rule, sizeof rule, "[%s]:53", addr);
	else
		return (0);
	if (asprintf(&dns, "%snameserver %s\n",
	    fs->dns == NULL ? "" : fs->dns, addr) < 0)
		return (-1);
	free(fs->dns);
	fs->dns = dns;
	return (fs->named ? net_add(fs, rule, 0) : 0);
}

/*
 * Who may connect to a name has to look it up: the host's name servers are
 * allowed then, and shown in a resolv.conf of ours.
 */
static int
dns_rules(struct fs *fs)
{
	char line[256];
	unsigned n = 0;
	int bad = 0;
	FILE *f;

	if (!fs->named && !fs->all_net)
		return (0);
	f = fopen(RESOLV_CONF, "re");
	if (f == NULL)
		return (0);
	while (!bad && n < MAX_DNS && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "nameserver", 10) == 0) {
			bad = dns_line(fs, line);
			n++;
		}
	(void)fclose(f);
	return (bad);
}

int
net_rules(struct fs *fs, struct machine *m)
{

	fs->all_net = m->opt->allow_all;
	if (net_list(fs, m, &m->opt->allow_net, 0) != 0 ||
	    net_list(fs, m, &m->opt->allow_connect, 0) != 0 ||
	    net_list(fs, m, &m->opt->deny_connect, 1) != 0)
		return (-1);
	return (dns_rules(fs));
}

/* The kernel takes "any" for this host: so must the rules. */
static void
any_to_loopback(struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	static const uint8_t zero[4];

	if (ss->ss_family == AF_INET && in->sin_addr.s_addr == 0)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (ss->ss_family != AF_INET6)
		return;
	if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		in6->sin6_addr = in6addr_loopback;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) &&
	    memcmp(in6->sin6_addr.s6_addr + 12, zero, 4) == 0) {
		in6->sin6_addr.s6_addr[12] = 127;
		in6->sin6_addr.s6_addr[15] = 1;
	}
}

/* As the rules have it: any address is this machine. */
static struct sockaddr_storage
rule_address(const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_storage ss;

	(void)memset(&ss, 0, sizeof ss);
	(void)memcpy(&ss, sa, len < sizeof ss ? len : sizeof ss);
	any_to_loopback(&ss);
	return (ss);
}

/* A rule of deny-connect has it */
static int
is_denied(const struct fs *fs, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_storage ss = rule_address(sa, len);
	unsigned u;

	for (u = 0; u < fs->ndeny; u++)
		if (addr_rule_match(fs->deny[u], (struct sockaddr *)&ss,
		    sizeof ss))
			return (1);
	return (fs->deny_all);
}

int
net_allowed(const struct fs *fs, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_storage ss;
	unsigned u;

	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		return (0);
	if (is_denied(fs, sa, len))
		return (0);
	if (fs->all_net)
		return (1);
	ss = rule_address(sa, len);
	for (u = 0; u < fs->nnet; u++)
		if (addr_rule_match(fs->net[u], (struct sockaddr *)&ss,
		    sizeof ss))
			return (1);
	return (0);
}

static void
audit_connect(struct machine *m, const struct sockaddr *sa, socklen_t len,
    const char *text)
{

	if (m->fs == NULL || m->fs->audit < 0)
		return;
	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		audit_refused(m, "connect", text, NULL, NULL, NULL);
	else if (is_denied(m->fs, sa, len))
		audit_refused(m, "connect", text, NULL, NULL, "deny-connect");
	else
		audit_refused(m, "connect", text, "allow-connect", text, NULL);
}

int
net_refuse(struct machine *m, const struct sockaddr *sa, socklen_t len)
{
	char text[ADDR_TEXT];

	(void)addr_text(sa, len, text);
	audit_connect(m, sa, len, text);
	if (!m->opt->verbose || m->fs == NULL ||
	    !fs_tell_once(m->fs, "connect", text))
		return (-EACCES);
	if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6)
		machine_log(m, TKVM_LOG_INFO, "connect to %s: not allowed "
		    "(allow-connect=%s would allow it, unless deny-connect "
		    "covers it)", text, text);
	else
		machine_log(m, TKVM_LOG_INFO, "connect to %s: not possible "
		    "from a machine", text);
	return (-EACCES);
}

int
net_unreach(struct machine *m, const struct sockaddr *sa, socklen_t len)
{

	(void)net_refuse(m, sa, len);
	return (-ENETUNREACH);
}
