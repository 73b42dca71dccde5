/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An ordinary little HTTP server: one thread, epoll, keep-alive.  It knows
 * nothing of virtual machines.  It counts its requests; served by
 * libvmod-kvm, where each request meets the process as it was when it was
 * frozen, every client gets the same number.
 *
 *	hello [PORT]
 */

#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NCONN		64

struct conn {
	int		fd;		/* -1: free */
	size_t		n;
	char		buf[8192];
};

static struct conn conn[NCONN];
static unsigned long count;

static void
conn_close(struct conn *c)
{
	(void)close(c->fd);
	c->fd = -1;
}

static int
write_all(int fd, const char *p, size_t n)
{
	ssize_t w;

	while (n > 0) {
		w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return (-1);
		p += w;
		n -= (size_t)w;
	}
	return (0);
}

/* 0, or -1 when the connection is to be closed. */
static int
answer(int fd, const char *head)
{
	char body[128], out[512];
	int nbody, n, is_head, last;

	is_head = strncmp(head, "HEAD ", 5) == 0;
	last = strcasestr(head, "\r\nConnection: close") != NULL ||
	    strstr(head, " HTTP/1.0\r\n") != NULL;
	nbody = snprintf(body, sizeof body,
	    "Hello! This is request number %lu of this process.\n", ++count);
	n = snprintf(out, sizeof out,
	    "HTTP/1.1 200 OK\r\n"
	    "Content-Type: text/plain\r\n"
	    "Content-Length: %d\r\n"
	    "Connection: %s\r\n"
	    "\r\n%s", nbody, last ? "close" : "keep-alive",
	    is_head ? "" : body);
	if (write_all(fd, out, (size_t)n) != 0)
		return (-1);
	return (last ? -1 : 0);
}

/* Bytes are there: answer each complete request head (bodies: none). */
static void
conn_input(struct conn *c)
{
	ssize_t r;
	char *end;

	r = read(c->fd, c->buf + c->n, sizeof c->buf - 1 - c->n);
	if (r < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (r <= 0) {
		conn_close(c);
		return;
	}
	c->n += (size_t)r;
	c->buf[c->n] = '\0';
	while ((end = strstr(c->buf, "\r\n\r\n")) != NULL) {
		end[2] = '\0';
		if (answer(c->fd, c->buf) != 0) {
			conn_close(c);
			return;
		}
		end += 4;
		c->n -= (size_t)(end - c->buf);
		memmove(c->buf, end, c->n + 1);
	}
	if (c->n == sizeof c->buf - 1)
		conn_close(c);
}

static void
conn_accept(int ep, int ls)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct conn *c;
	int fd;

	fd = accept4(ls, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	for (c = conn; c < conn + NCONN && c->fd >= 0; c++)
		continue;
	ev.data.ptr = c;
	if (c == conn + NCONN || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0) {
		(void)close(fd);
		return;
	}
	c->fd = fd;
	c->n = 0;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct epoll_event ev[16], e = { .events = EPOLLIN };
	unsigned long port = 8080;
	int ep, ls, i, n, on = 1;

	if (argc > 1)
		port = strtoul(argv[1], NULL, 10);
	if (port == 0 || port > 65535)
		errx(1, "usage: hello [PORT]");
	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < NCONN; i++)
		conn[i].fd = -1;

	ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ls < 0)
		err(1, "socket");
	(void)setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(ls, (struct sockaddr *)&sin, sizeof sin) != 0)
		err(1, "bind");
	if (listen(ls, 128) != 0)
		err(1, "listen");
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e) != 0)
		err(1, "epoll");

	for (;;) {
		n = epoll_wait(ep, ev, 16, -1);
		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		for (i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				conn_accept(ep, ls);
			else
				conn_input(ev[i].data.ptr);
		}
	}
}
