/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Addresses as text, and the rules about them.  A rule is kept as text and
 * read again when it is asked: that is rare, and there is one syntax.
 */

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "conf/addr_rule.h"
#include "conf/conf_int.h"
#include "obj.h"

#define HOST_MAX	254

/* A rule or an address in pieces. */
struct pieces {
	char		host[HOST_MAX];
	int		any_host, any_port, any, is_unix;
	int		family;		/* of a numeric host, else 0 */
	unsigned char	ip[16];
	unsigned	bits;		/* of ip that count */
	unsigned	port;
	const char	*path;		/* is_unix: the rest of the text */
};

static int
split_port(struct pieces *p, const char *s)
{
	unsigned long long v;

	if (strcmp(s, "*") == 0) {
		p->any_port = 1;
		return (0);
	}
	if (text_uint(s, &v) != 0 || v > 65535)
		return (-1);
	p->port = (unsigned)v;
	return (0);
}

/* An IPv4 address in IPv6's clothes is one. */
static int
unmap(struct pieces *p)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (p->bits < 96 || memcmp(p->ip, mapped, sizeof mapped) != 0)
		return (0);
	(void)memmove(p->ip, p->ip + 12, 4);
	p->family = AF_INET;
	p->bits -= 96;
	return (0);
}

/* The host as a number, a name, or anything. */
static int
split_host(struct pieces *p, const char *s, size_t len, int bracket)
{
	unsigned long long bits = bracket ? 128 : 32;
	char *slash;

	if (len >= sizeof p->host)
		return (-1);
	(void)memcpy(p->host, s, len);
	p->host[len] = '\0';
	slash = strchr(p->host, '/');
	if (slash != NULL) {
		*slash = '\0';
		if (text_uint(slash + 1, &bits) != 0 ||
		    bits > (bracket ? 128 : 32))
			return (-1);
	}
	p->bits = (unsigned)bits;
	if (bracket) {
		p->family = AF_INET6;
		return (inet_pton(AF_INET6, p->host, p->ip) == 1 ?
		    unmap(p) : -1);
	}
	if (slash != NULL) {
		p->family = AF_INET;
		return (inet_pton(AF_INET, p->host, p->ip) == 1 ? 0 : -1);
	}
	if (len == 0 || strcmp(p->host, "*") == 0) {
		p->any_host = 1;
		return (0);
	}
	if (inet_pton(AF_INET, p->host, p->ip) == 1) {
		p->family = AF_INET;
		return (0);
	}
	/* A name: not all digits and dots, that was a mistyped number. */
	if (strspn(p->host, "0123456789.") == len)
		return (-1);
	return (strspn(p->host, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == len ? 0 : -1);
}

static int
split(struct pieces *p, const char *s)
{
	const char *end;

	(void)memset(p, 0, sizeof *p);
	if (*s == '\0')
		return (-1);
	if (strncmp(s, "unix:", 5) == 0 || *s == '/') {
		p->is_unix = 1;
		p->path = s + (*s == '/' ? 0 : 5);
		return ((*p->path == '/' || *p->path == '@' ||
		    strcmp(p->path, "*") == 0) ? 0 : -1);
	}
	if (strcmp(s, "*") == 0) {
		p->any = 1;
		return (0);
	}
	if (*s == '[') {
		end = strchr(s, ']');
		if (end == NULL || split_host(p, s + 1,
		    (size_t)(end - s - 1), 1) != 0)
			return (-1);
		end++;
	} else {
		end = s + strcspn(s, ":");
		if (split_host(p, s, (size_t)(end - s), 0) != 0)
			return (-1);
	}
	if (*end == '\0') {
		p->any_port = 1;
		return (0);
	}
	return (*end == ':' ? split_port(p, end + 1) : -1);
}

int
addr_rule_check(const char *rule, const char **why)
{
	struct pieces p;

	AN(rule);
	AN(why);
	if (split(&p, rule) == 0)
		return (0);
	*why = "HOST:PORT, HOST, ADDRESS/BITS:PORT, [V6]:PORT, :PORT or "
	    "unix:/PATH";
	return (-1);
}

/* ---- matching ------------------------------------------------------------ */

/* The address as an IPv4 one if it is one in IPv6's clothes. */
static int
address_of(const struct sockaddr *sa, socklen_t len, unsigned char ip[16],
    unsigned *port)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (sa->sa_family == AF_INET && len >= (socklen_t)sizeof in) {
		(void)memcpy(&in, sa, sizeof in);
		(void)memcpy(ip, &in.sin_addr, 4);
		*port = ntohs(in.sin_port);
		return (AF_INET);
	}
	if (sa->sa_family != AF_INET6 || len < (socklen_t)sizeof in6)
		return (0);
	(void)memcpy(&in6, sa, sizeof in6);
	*port = ntohs(in6.sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
		(void)memcpy(ip, (const char *)&in6.sin6_addr + 12, 4);
		return (AF_INET);
	}
	(void)memcpy(ip, &in6.sin6_addr, 16);
	return (AF_INET6);
}

static int
name_matches(const char *name, int family, const unsigned char *ip)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *res, *ai;
	unsigned char other[16];
	unsigned port;
	int hit = 0, f;

	if (getaddrinfo(name, NULL, &hints, &res) != 0)
		return (0);
	for (ai = res; ai != NULL && !hit; ai = ai->ai_next) {
		f = address_of(ai->ai_addr, ai->ai_addrlen, other, &port);
		hit = f == family &&
		    memcmp(other, ip, f == AF_INET ? 4 : 16) == 0;
	}
	freeaddrinfo(res);
	return (hit);
}

static int
ip_matches(const struct pieces *p, const unsigned char *ip)
{
	const unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (memcmp(p->ip, ip, whole) != 0)
		return (0);
	return (rest == 0 ||
	    ((p->ip[whole] ^ ip[whole]) & (0xff00 >> rest) & 0xff) == 0);
}

/* "/run/x.sock" or "/run/x*"; '@' stands for an abstract name's NUL. */
static int
unix_matches(const char *rule, const struct sockaddr *sa, socklen_t len)
{
	char text[ADDR_TEXT];
	size_t n = strlen(rule);

	if (sa->sa_family != AF_UNIX)
		return (0);
	(void)addr_text(sa, len, text);
	if (n > 0 && rule[n - 1] == '*')
		return (strncmp(text + 5, rule, n - 1) == 0);
	return (strcmp(text + 5, rule) == 0);
}

int
addr_rule_match(const char *rule, const struct sockaddr *sa, socklen_t len)
{
	struct pieces p;
	unsigned char ip[16];
	unsigned port = 0;
	int family;

	AN(rule);
	AN(sa);
	if (split(&p, rule) != 0)
		return (0);
	if (p.any)
		return (1);
	if (p.is_unix)
		return (unix_matches(p.path, sa, len));
	family = address_of(sa, len, ip, &port);
	if (family == 0 || (!p.any_port && p.port != port))
		return (0);
	if (p.any_host)
		return (1);
	if (p.family != 0)
		return (p.family == family && ip_matches(&p, ip));
	return (name_matches(p.host, family, ip));
}

int
allow_covers(const struct allow *a, const struct sockaddr *sa, socklen_t len)
{
	unsigned u;

	AN(a);
	if (a->all)
		return (1);
	for (u = 0; u < a->rule.n; u++)
		if (addr_rule_match(a->rule.v[u], sa, len))
			return (1);
	return (0);
}

int
opt_may_listen(const struct tkvm_options *o, const struct sockaddr *sa,
    socklen_t len)
{

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	return (o->allow_all || allow_covers(&o->allow_net, sa, len) ||
	    allow_covers(&o->allow_listen, sa, len));
}

int
opt_may_connect(const struct tkvm_options *o, const struct sockaddr *sa,
    socklen_t len)
{

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	return (!allow_covers(&o->deny_connect, sa, len) &&
	    (o->allow_all || allow_covers(&o->allow_net, sa, len) ||
	    allow_covers(&o->allow_connect, sa, len)));
}

/* ---- text ---------------------------------------------------------------- */

char *
addr_text(const struct sockaddr *sa, socklen_t len, char buf[ADDR_TEXT])
{
	char host[INET6_ADDRSTRLEN];
	const size_t off = offsetof(struct sockaddr_un, sun_path);
	unsigned char ip[16];
	const char *path;
	unsigned port;
	int family;

	AN(sa);
	AN(buf);
	if (sa->sa_family == AF_UNIX) {
		path = (const char *)sa + off;
		if (len <= (socklen_t)off)
			(void)snprintf(buf, ADDR_TEXT, "unix:");
		else if (*path == '\0')
			(void)snprintf(buf, ADDR_TEXT, "unix:@%.*s",
			    (int)(len - off - 1), path + 1);
		else
			(void)snprintf(buf, ADDR_TEXT, "unix:%.*s",
			    (int)(len - off), path);
		return (buf);
	}
	family = address_of(sa, len, ip, &port);
	if (family == 0 ||
	    inet_ntop(family, ip, host, sizeof host) == NULL)
		(void)snprintf(buf, ADDR_TEXT, "?");
	else
		(void)snprintf(buf, ADDR_TEXT, family == AF_INET6 ?
		    "[%s]:%u" : "%s:%u", host, port);
	return (buf);
}

static int
parse_unix(const char *path, struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_un un;
	size_t n = strlen(path);

	if (n < 2 || n >= sizeof un.sun_path)
		return (-1);
	(void)memset(&un, 0, sizeof un);
	un.sun_family = AF_UNIX;
	(void)memcpy(un.sun_path, path, n);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	if (*path == '@') {
		un.sun_path[0] = '\0';
		(*len)--;
	}
	(void)memcpy(ss, &un, sizeof un);
	return (0);
}

int
addr_parse(const char *s, struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct pieces p;

	AN(s);
	AN(ss);
	AN(len);
	if (split(&p, s) != 0 || p.any || p.any_port ||
	    strchr(p.is_unix ? "" : s, '/') != NULL)
		return (-1);
	(void)memset(ss, 0, sizeof *ss);
	if (p.is_unix)
		return (parse_unix(p.path, ss, len));
	if (strcmp(p.host, "localhost") == 0) {
		p.family = AF_INET;
		(void)inet_pton(AF_INET, "127.0.0.1", p.ip);
	}
	if (p.any_host)
		p.family = AF_INET6;	/* takes IPv4 as well */
	if (p.family == AF_INET) {
		in.sin_port = htons((uint16_t)p.port);
		(void)memcpy(&in.sin_addr, p.ip, 4);
		(void)memcpy(ss, &in, sizeof in);
		*len = sizeof in;
		return (0);
	}
	if (p.family != AF_INET6)
		return (-1);
	in6.sin6_port = htons((uint16_t)p.port);
	(void)memcpy(&in6.sin6_addr, p.ip, 16);
	(void)memcpy(ss, &in6, sizeof in6);
	*len = sizeof in6;
	return (0);
}
