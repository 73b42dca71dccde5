/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The socket that kvmserver serves: where the guest listens, if that is
 * allowed, or where --listen says.
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

/* Which address? */
static int
choose(const struct srv *s, struct sockaddr_storage *ss, socklen_t *len,
    struct tkvm_error *err)
{
	const struct tkvm_options *o = s->opt;
	char text[ADDR_TEXT];

	if (o->listen != NULL) {
		if (addr_parse(o->listen, ss, len) == 0)
			return (0);
		return (err_set(err, TKVM_E_CONFIG, "listen: expected "
		    "HOST:PORT, [V6]:PORT or unix:/PATH, got \"%s\"",
		    o->listen));
	}
	(void)memset(ss, 0, sizeof *ss);
	*len = tkvm_image_listen(s->image, ss);
	if (*len == 0)
		return (err_set(err, TKVM_E_BOOT, "tenant \"%s\": the program "
		    "listens nowhere (use --listen=ADDR)", o->tenant));
	if (opt_may_listen(o, (struct sockaddr *)ss, *len))
		return (0);
	(void)addr_text((struct sockaddr *)ss, *len, text);
	return (err_set(err, TKVM_E_CONFIG, "tenant \"%s\": the program "
	    "listens on %s, which is not allowed (use --allow-listen=%s, or "
	    "--listen=ADDR to serve another address)", o->tenant, text, text));
}

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
set_options(int fd, int family)
{
	const int one = 1, zero = 0;

	if (family == AF_UNIX)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero,
		    sizeof zero);
	/* Connections inherit it: answers are written in one piece anyway */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	/* A connection without a request yet is nobody's business. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one);
}

int
listen_open(struct srv *s, struct tkvm_error *err)
{
	struct sockaddr_storage ss, guest;
	char text[ADDR_TEXT];
	socklen_t len;

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	if (choose(s, &ss, &len, err) != 0)
		return (-1);
	(void)memset(&guest, 0, sizeof guest);
	if (tkvm_image_listen(s->image, &guest) > 0)
		s->guest_family = guest.ss_family;
	if (ss.ss_family == AF_UNIX)
		remove_stale(&ss, len);
	s->lfd = open_socket(&ss, &len);
	if (s->lfd < 0)
		return (bind_failed(&ss, len, err));
	set_options(s->lfd, ss.ss_family);
	if (bind(s->lfd, (struct sockaddr *)&ss, len) != 0 ||
	    listen(s->lfd, SOMAXCONN) != 0) {
		(void)bind_failed(&ss, len, err);
		(void)close(s->lfd);
		s->lfd = -1;
		return (-1);
	}
	/* Port 0 has become a real one. */
	(void)getsockname(s->lfd, (struct sockaddr *)&ss, &len);
	(void)addr_text((struct sockaddr *)&ss, len, text);
	if (ss.ss_family != AF_UNIX)
		(void)snprintf(s->host, sizeof s->host, "%s", text);
	else {
		(void)snprintf(s->host, sizeof s->host, "localhost");
		if (text[5] == '/')
			s->unlink = strdup(text + 5);
	}
	logf_line(TKVM_LOG_INFO, "tenant \"%s\": serving %s",
	    s->opt->tenant, text);
	return (0);
}

/* No new connections; workers may still have the socket in hand. */
void
listen_stop(struct srv *s)
{

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	if (s->unlink != NULL)
		(void)unlink(s->unlink);
	free(s->unlink);
	s->unlink = NULL;
	if (s->lfd >= 0)
		(void)shutdown(s->lfd, SHUT_RDWR);
}

void
listen_close(struct srv *s)
{

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	if (s->lfd >= 0)
		(void)close(s->lfd);
	s->lfd = -1;
}
