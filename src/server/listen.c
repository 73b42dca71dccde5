/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The sockets that kvmserver serves: where the guest listens, as far as that
 * is allowed, or where --listen says.
 */

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/addr_rule.h"
#include "error.h"
#include "obj.h"
#include "server/server.h"

static int
bind_failed(const struct sockaddr_storage *ss, socklen_t len,
    struct tkvm_error *err)
{
	char text[ADDR_TEXT];
	const char *hint = "";
	int e = errno;

	(void)addr_text((const struct sockaddr *)ss, len, text);
	if (e == EADDRINUSE)
		hint = " (stop what uses it, or choose another with "
		    "--listen=ADDR)";
	else if (e == EACCES && ss->ss_family != AF_UNIX)
		hint = " (ports below 1024 need CAP_NET_BIND_SERVICE; choose "
		    "another with --listen=ADDR)";
	return (err_set(err, TKVM_E_CONFIG, "cannot listen on %s: %s%s", text,
	    strerror(e), hint));
}

/* A socket that a server left behind; one that answers is in use. */
static void
remove_stale(const struct sockaddr_storage *ss, socklen_t len)
{
	struct sockaddr_un un;
	struct stat st;
	int fd;

	(void)memcpy(&un, ss, sizeof un);
	if (un.sun_path[0] == '\0' || lstat(un.sun_path, &st) != 0 ||
	    !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&un, len) != 0 &&
	    errno == ECONNREFUSED)
		(void)unlink(un.sun_path);
	(void)close(fd);
}

/* Where there is no IPv6, any address is any IPv4 address. */
static void
any_v4(struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6;

	(void)memcpy(&in6, ss, sizeof in6);
	if (!IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr))
		return;
	in.sin_port = in6.sin6_port;
	(void)memcpy(ss, &in, sizeof in);
	*len = sizeof in;
}

static int
open_socket(struct sockaddr_storage *ss, socklen_t *len)
{
	const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd;

	fd = socket(ss->ss_family, type, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && ss->ss_family == AF_INET6) {
		any_v4(ss, len);
		fd = socket(ss->ss_family, type, 0);
	}
	return (fd);
}

static void
set_options(int fd, int family, int v6only)
{
	const int one = 1;

	if (family == AF_UNIX)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only,
		    sizeof v6only);
	/* Connections inherit it: answers are written in one piece anyway */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	/* A connection without a request yet is nobody's business. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one);
}

/* Another of ours has the IPv4 half of this port? */
static int
has_v4(const struct srv *s, const struct sockaddr_storage *ss)
{
	struct sockaddr_storage o;
	unsigned u;

	if (ss->ss_family != AF_INET6 || s->opt->listen != NULL)
		return (0);
	for (u = 0; u < tkvm_image_listeners(s->image); u++)
		if (tkvm_image_listener(s->image, u, &o) > 0 &&
		    o.ss_family == AF_INET &&
		    ((struct sockaddr_in *)&o)->sin_port ==
		    ((const struct sockaddr_in6 *)ss)->sin6_port)
			return (1);
	return (0);
}

/* Serve this address for the guest's listener nr. */
static int
serve_address(struct srv *s, unsigned nr, struct sockaddr_storage *ss,
    socklen_t len, struct tkvm_error *err)
{
	struct listener *l = &s->listener[s->nlistener];
	struct sockaddr_storage guest;
	char text[ADDR_TEXT];
	int v6only = has_v4(s, ss);

	l->nr = nr;
	l->family = ss->ss_family;
	if (tkvm_image_listener(s->image, nr, &guest) > 0)
		l->guest_family = guest.ss_family;
	if (ss->ss_family == AF_UNIX)
		remove_stale(ss, len);
	l->fd = open_socket(ss, &len);
	if (l->fd < 0)
		return (bind_failed(ss, len, err));
	set_options(l->fd, ss->ss_family, v6only);
	if (bind(l->fd, (struct sockaddr *)ss, len) != 0 ||
	    listen(l->fd, SOMAXCONN) != 0) {
		(void)bind_failed(ss, len, err);
		(void)close(l->fd);
		return (-1);
	}
	s->nlistener++;
	/* Port 0 has become a real one. */
	(void)getsockname(l->fd, (struct sockaddr *)ss, &len);
	(void)addr_text((struct sockaddr *)ss, len, text);
	if (ss->ss_family != AF_UNIX)
		(void)snprintf(l->host, sizeof l->host, "%s", text);
	else {
		(void)snprintf(l->host, sizeof l->host, "localhost");
		if (text[5] == '/')
			l->unlink = strdup(text + 5);
	}
	logf_line(TKVM_LOG_INFO, "tenant \"%s\": serving %s",
	    s->opt->tenant, text);
	return (0);
}

/* Where --listen says: the first of the guest's. */
static int
serve_listen(struct srv *s, struct tkvm_error *err)
{
	struct sockaddr_storage ss;
	socklen_t len;

	if (addr_parse(s->opt->listen, &ss, &len) == 0)
		return (serve_address(s, 0, &ss, len, err));
	return (err_set(err, TKVM_E_CONFIG, "listen: expected "
	    "HOST:PORT, [V6]:PORT or unix:/PATH, got \"%s\"",
	    s->opt->listen));
}

/* The guest's own address; one that is not allowed is left out. */
static int
serve_guest(struct srv *s, unsigned nr, struct tkvm_error *err)
{
	const char *tenant = s->opt->tenant;
	struct sockaddr_storage ss;
	char text[ADDR_TEXT];
	socklen_t len;

	len = tkvm_image_listener(s->image, nr, &ss);
	if (len == 0)
		return (0);
	if (opt_may_listen(s->opt, (struct sockaddr *)&ss, len))
		return (serve_address(s, nr, &ss, len, err));
	(void)addr_text((struct sockaddr *)&ss, len, text);
	if (tkvm_image_listeners(s->image) > 1)
		logf_line(TKVM_LOG_INFO, "tenant \"%s\": the program listens "
		    "on %s, which is not allowed (allow-listen)", tenant,
		    text);
	if (err->code == TKVM_OK)
		(void)err_set(err, TKVM_E_CONFIG, "tenant \"%s\": the program "
		    "listens on %s, which is not allowed (use "
		    "--allow-listen=%s, or --listen=ADDR to serve another "
		    "address)", tenant, text, text);
	return (0);
}

int
listen_open(struct srv *s, struct tkvm_error *err)
{
	unsigned u;

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	if (s->opt->listen != NULL)
		return (serve_listen(s, err));
	err->code = TKVM_OK;
	for (u = 0; u < tkvm_image_listeners(s->image); u++)
		if (serve_guest(s, u, err) != 0)
			return (-1);
	if (s->nlistener > 0) {
		err->code = TKVM_OK;
		return (0);
	}
	if (err->code != TKVM_OK)
		return (-1);
	return (err_set(err, TKVM_E_BOOT, "tenant \"%s\": the program "
	    "listens nowhere (use --listen=ADDR)", s->opt->tenant));
}

/* No new connections; workers may still have the sockets in hand. */
void
listen_stop(struct srv *s)
{
	struct listener *l;
	unsigned u;

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	for (u = 0; u < s->nlistener; u++) {
		l = &s->listener[u];
		if (l->unlink != NULL)
			(void)unlink(l->unlink);
		free(l->unlink);
		l->unlink = NULL;
		(void)shutdown(l->fd, SHUT_RDWR);
	}
}

void
listen_close(struct srv *s)
{
	unsigned u;

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	for (u = 0; u < s->nlistener; u++)
		(void)close(s->listener[u].fd);
	s->nlistener = 0;
}
