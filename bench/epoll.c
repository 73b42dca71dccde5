/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * As little of an HTTP server as epoll allows: what is left of a request is
 * system calls.  It takes each read for one request.
 *
 *	epoll PORT|unix:PATH
 */

#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    "Content-Length: 13\r\n\r\nHello World!\n";

static int
listener(const char *at)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int s, i, one = 1;

	if (strncmp(at, "unix:", 5) == 0) {
		(void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", at + 5);
		s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		i = bind(s, (struct sockaddr *)&sun, sizeof sun);
	} else {
		sin.sin_port = htons((uint16_t)strtoul(at, NULL, 10));
		sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		i = bind(s, (struct sockaddr *)&sin, sizeof sin);
	}
	if (s < 0 || i != 0 || listen(s, 128) != 0) {
		perror(at);
		exit(1);
	}
	return (s);
}

static void
watch(int ep, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
		(void)close(fd);
}

static void
serve(int fd)
{
	char buf[4096];

	if (read(fd, buf, sizeof buf) <= 0 ||
	    write(fd, answer, sizeof answer - 1) < 0)
		(void)close(fd);
}

int
main(int argc, char **argv)
{
	struct epoll_event ev[16];
	int ep, s, n, i, c;

	if (argc != 2)
		return (2);
	s = listener(argv[1]);
	ep = epoll_create1(0);
	watch(ep, s);
	for (;;) {
		n = epoll_wait(ep, ev, 16, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.fd != s) {
				serve(ev[i].data.fd);
				continue;
			}
			c = accept4(s, NULL, NULL, SOCK_NONBLOCK);
			if (c >= 0)
				watch(ep, c);
		}
	}
}
