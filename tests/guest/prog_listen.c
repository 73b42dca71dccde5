/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Listening sockets as a program sees its own: bind, names, options.
 */

#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "prog.h"

int
main(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET }, name;
	struct pollfd p;
	socklen_t len = sizeof name;
	int s, v = 1, flags;
	char b[4];

	s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	OK(s >= 0);
	flags = fcntl(s, F_GETFL);
	OK(flags == (O_RDWR | O_NONBLOCK) && fcntl(s, F_GETFD) == FD_CLOEXEC);
	OK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, sizeof v) == 0);
	len = sizeof v;
	OK(getsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, &len) == 0 && v == 1);
	OK(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v) == 0);
	ERR(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, 1), EINVAL);
	len = sizeof v;
	OK(getsockopt(s, SOL_SOCKET, SO_ERROR, &v, &len) == 0 && v == 0);
	OK(getsockopt(s, SOL_SOCKET, SO_ACCEPTCONN, &v, &len) == 0 && v == 0);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ERR(accept(s, NULL, NULL), EINVAL);
	OK(bind(s, (struct sockaddr *)&sin, sizeof sin) == 0);
	ERR(bind(s, (struct sockaddr *)&sin, sizeof sin), EINVAL);
	len = sizeof name;
	OK(getsockname(s, (struct sockaddr *)&name, &len) == 0 &&
	    len == sizeof name && name.sin_port != 0 &&
	    name.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	OK(listen(s, 16) == 0);
	OK(getsockopt(s, SOL_SOCKET, SO_ACCEPTCONN, &v, &len) == 0 && v == 1);
	ERR(accept4(s, NULL, NULL, SOCK_CLOEXEC), EAGAIN);
	len = sizeof name;
	ERR(getpeername(s, (struct sockaddr *)&name, &len), ENOTCONN);
	p = (struct pollfd){ .fd = s, .events = POLLIN | POLLOUT };
	OK(poll(&p, 1, 20) == 0);
	ERR(read(s, b, 1), ENOTCONN);
	OK(close(s) == 0);
	ERR(socket(AF_INET, 77, 0), EINVAL);
	ERR(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
	ERR(listen(0x7ffffff, 1), EBADF);
	s = open("/dev/null", O_RDONLY);
	ERR(listen(s, 1), ENOTSOCK);
	return (0);
}
