/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * socketpair: streams and messages, shutdown, peek, sendmsg with parts.
 */

#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include "prog.h"

static void
stream(void)
{
	struct iovec iov[2] = { { "ab", 2 }, { "cde", 3 } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	struct pollfd pfd;
	char b[32], c[4];
	int s[2], v;
	socklen_t len = sizeof v;

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
	OK(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &v, &len) == 0 &&
	    v == SOCK_STREAM);
	ERR(recv(s[0], b, 1, 0), EAGAIN);
	OK(sendmsg(s[0], &mh, 0) == 5);
	OK(recv(s[1], b, sizeof b, MSG_PEEK) == 5);
	iov[0] = (struct iovec){ c, 3 };
	iov[1] = (struct iovec){ b, sizeof b };
	OK(recvmsg(s[1], &mh, 0) == 5 && memcmp(c, "abc", 3) == 0 &&
	    memcmp(b, "de", 2) == 0);
	OK(write(s[1], "back", 4) == 4 && read(s[0], b, 2) == 2);
	OK(shutdown(s[1], SHUT_WR) == 0);
	OK(read(s[0], b, sizeof b) == 2 && memcmp(b, "ck", 2) == 0);
	OK(read(s[0], b, sizeof b) == 0);
	ERR(write(s[1], "x", 1), EPIPE);
	OK(write(s[0], "still", 5) == 5 && read(s[1], b, sizeof b) == 5);
	OK(close(s[1]) == 0);
	pfd = (struct pollfd){ .fd = s[0], .events = POLLIN | POLLOUT };
	OK(poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLIN | POLLHUP)) ==
	    (POLLIN | POLLHUP));
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	OK(close(s[0]) == 0);
}

static void
messages(void)
{
	char b[32];
	int s[2];

	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	OK(send(s[0], "one", 3, 0) == 3 && send(s[0], "second", 6, 0) == 6);
	OK(recv(s[1], b, sizeof b, 0) == 3 && memcmp(b, "one", 3) == 0);
	OK(recv(s[1], b, 3, 0) == 3 && memcmp(b, "sec", 3) == 0);
	ERR(recv(s[1], b, 3, MSG_DONTWAIT), EAGAIN);
	OK(close(s[0]) == 0 && close(s[1]) == 0);
}

int
main(void)
{
	int s[2];

	(void)signal(SIGPIPE, SIG_IGN);
	stream();
	messages();
	ERR(socketpair(AF_UNIX, 77, 0, s), EINVAL);
	ERR(socketpair(AF_UNIX, SOCK_STREAM, 99, s), EPROTONOSUPPORT);
	ERR(send(0x7ffffff, "x", 1, 0), EBADF);
	return (0);
}
