/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Sockets inside one process: pairs, Unix and TCP listeners, descriptors and
 * credentials in messages, options, flags, ends of connections.
 */

#include "diff.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#define SUN(p, l)	(struct sockaddr *)(p), (socklen_t)(l)

static char path[108];

static socklen_t
name_unix(struct sockaddr_un *un, int abstract)
{

	memset(un, 0, sizeof *un);
	un->sun_family = AF_UNIX;
	if (abstract) {
		(void)snprintf(un->sun_path + 1, 90, "tkvm-diff-%d",
		    (int)getpid());
		return ((socklen_t)(offsetof(struct sockaddr_un, sun_path) +
		    1 + strlen(un->sun_path + 1)));
	}
	(void)snprintf(path, sizeof path, "/dev/shm/tkvm-diff-%d.sock",
	    (int)getpid());
	(void)strcpy(un->sun_path, path);
	return (sizeof *un);
}

/* A connected pair through a listener: [0] client, [1] server */
static int
through(int domain, int type, int s[2])
{
	struct sockaddr_storage ss = { .ss_family = (sa_family_t)domain };
	struct sockaddr_in *in = (void *)&ss;
	struct sockaddr_in6 *in6 = (void *)&ss;
	socklen_t len = sizeof ss;
	int l;

	l = socket(domain, type, 0);
	if (l < 0)
		return (-1);
	if (domain == AF_UNIX)
		len = name_unix((void *)&ss, 1);
	else if (domain == AF_INET) {
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		len = sizeof *in;
	} else {
		in6->sin6_addr = in6addr_loopback;
		len = sizeof *in6;
	}
	if (bind(l, (void *)&ss, len) != 0 || listen(l, 5) != 0)
		return (-2);
	len = sizeof ss;
	if (getsockname(l, (void *)&ss, &len) != 0)
		return (-3);
	s[0] = socket(domain, type, 0);
	if (connect(s[0], (void *)&ss, len) != 0)
		return (-4);
	s[1] = accept(l, NULL, NULL);
	close(l);
	return (s[1] < 0 ? -5 : 0);
}

static void
chat(int s[2])
{
	char b[100];
	struct pollfd p = { s[0], POLLIN | POLLOUT, 0 };

	RET(write(s[0], "ping", 4));
	RET(read(s[1], b, sizeof b));
	RET(send(s[1], "pong!", 5, 0));
	RET(recv(s[0], b, 2, MSG_PEEK));
	RET(recv(s[0], b, sizeof b, MSG_DONTWAIT));
	say("%.5s", b);
	RET(recv(s[0], b, sizeof b, MSG_DONTWAIT));
	RET(poll(&p, 1, 0));
	SHOW(p.revents);
	RET(shutdown(s[1], SHUT_WR));
	RET(recv(s[0], b, sizeof b, 0));
	RET(send(s[0], "more", 4, 0));
	RET(recv(s[1], b, sizeof b, 0));
	RET(close(s[1]));
	RET(recv(s[0], b, sizeof b, 0));
	RET(close(s[0]));
}

CASE(unix_stream)
{
	int s[2];

	RET(through(AF_UNIX, SOCK_STREAM, s));
	chat(s);
}

CASE(unix_seqpacket)
{
	char b[10];
	int s[2];

	RET(through(AF_UNIX, SOCK_SEQPACKET, s));
	RET(send(s[0], "one", 3, 0));
	RET(send(s[0], "twotwo", 6, 0));
	RET(recv(s[1], b, sizeof b, 0));
	RET(recv(s[1], b, 2, MSG_TRUNC));
	close(s[0]);
	RET(recv(s[1], b, sizeof b, 0));
	close(s[1]);
}

CASE(tcp4)
{
	int s[2];

	RET(through(AF_INET, SOCK_STREAM, s));
	chat(s);
}

CASE(tcp6)
{
	int s[2];

	RET(through(AF_INET6, SOCK_STREAM, s));
	chat(s);
}

CASE(tcp_names)
{
	struct sockaddr_in a, b;
	socklen_t l = sizeof a;
	int s[2];

	RET(through(AF_INET, SOCK_STREAM, s));
	RET(getsockname(s[0], (void *)&a, &l));
	RET(getpeername(s[1], (void *)&b, &l));
	SHOW(memcmp(&a, &b, sizeof a) == 0);
	SHOW(a.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	RET(getpeername(s[0], (void *)&a, &l));
	RET(getsockname(s[1], (void *)&b, &l));
	SHOW(memcmp(&a, &b, sizeof a) == 0);
	l = 4;
	RET(getsockname(s[0], (void *)&a, &l));
	SHOW(l);
	RET(getsockname(s[0], (void *)8, &l));
	RET(getsockname(0, (void *)&a, &l));
	RET(getsockname(99, (void *)&a, &l));
	RET(connect(s[0], (void *)&b, sizeof b));
	close(s[0]);
	close(s[1]);
}

CASE(nonblocking_connect)
{
	struct sockaddr_un un;
	socklen_t len = name_unix(&un, 1);
	struct pollfd p = { -1, POLLIN, 0 };
	int l, c, a;

	MUST((l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0);
	RET(bind(l, SUN(&un, len)));
	RET(accept(l, NULL, NULL));
	RET(listen(l, 1));
	RET(accept(l, NULL, NULL));
	MUST((c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0);
	p.fd = l;
	RET(poll(&p, 1, 0));
	RET(connect(c, SUN(&un, len)));
	RET(poll(&p, 1, 0));
	SHOW(p.revents);
	RET(connect(c, SUN(&un, len)));
	RET(a = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
	RET(fcntl(a, F_GETFD));
	RET(fcntl(a, F_GETFL) & O_NONBLOCK);
	RET(accept4(l, NULL, NULL, 1));
	close(l);
	RET(write(c, "x", 1));
	close(c);
	close(a);
	MUST((c = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(connect(c, SUN(&un, len)));
	close(c);
}

CASE(unix_path)
{
	struct sockaddr_un un, peer;
	socklen_t len = name_unix(&un, 0), pl = sizeof peer;
	struct stat st;
	int l, c, a;

	MUST((l = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	MUST((c = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(connect(c, SUN(&un, len)));
	RET(bind(l, SUN(&un, len)));
	RET(stat(path, &st));
	SHOW(S_ISSOCK(st.st_mode));
	RET(bind(c, SUN(&un, len)));
	RET(bind(l, SUN(&un, len)));
	RET(connect(c, SUN(&un, len)));
	RET(open(path, O_RDWR));
	RET(listen(l, 5));
	RET(connect(c, SUN(&un, len)));
	RET(a = accept(l, (void *)&peer, &pl));
	SHOW(pl);
	SHOW(peer.sun_family);
	pl = sizeof peer;
	RET(getpeername(c, (void *)&peer, &pl));
	SHOW(strcmp(peer.sun_path, path) == 0);
	RET(write(a, "x", 1));
	close(a);
	close(c);
	close(l);
	RET(unlink(path));
	RET(stat(path, &st));
}

/* Where the machine has no file system of its own */
CASE(unix_elsewhere)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct stat st = { 0 };
	int l;

	(void)snprintf(un.sun_path, sizeof un.sun_path,
	    "/var/tmp/tkvm-diff-%d.sock", (int)getpid());
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	RET(chmod(un.sun_path, 0666));
	RET(bind(l, (void *)&un, sizeof un));
	RET(listen(l, 5));
	RET(stat(un.sun_path, &st));
	SHOW(S_ISSOCK(st.st_mode));
	RET(chmod(un.sun_path, 0666));
	RET(chown(un.sun_path, (uid_t)-1, (gid_t)-1));
	close(l);
	(void)unlink(un.sun_path);
	RET(stat(un.sun_path, &st));
}

CASE(unix_removed)
{
	struct sockaddr_un un, peer;
	socklen_t len = name_unix(&un, 0), pl = sizeof peer;
	struct stat st;
	int l, l2, c, d;

	MUST((l = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(bind(l, SUN(&un, len)));
	RET(listen(l, 5));
	RET(unlink(path));
	MUST((c = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(connect(c, SUN(&un, len)));
	RET(getsockname(l, (void *)&peer, &pl));
	SHOW(strcmp(peer.sun_path, path) == 0);
	/* Another one takes the name, as a server that is started again. */
	MUST((l2 = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(bind(l2, SUN(&un, len)));
	RET(connect(c, SUN(&un, len)));
	RET(listen(l2, 5));
	RET(connect(c, SUN(&un, len)));
	RET(fcntl(l, F_SETFL, O_NONBLOCK));
	RET(accept(l, NULL, NULL));
	RET(d = accept(l2, NULL, NULL));
	RET(unlink(path));
	RET(write(c, "x", 1));	/* what is connected stays so */
	(void)close(c);
	(void)close(d);
	(void)close(l);
	(void)close(l2);
	RET(stat(path, &st));
	MUST((d = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0);
	MUST((c = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0);
	RET(bind(d, SUN(&un, len)));
	RET(sendto(c, "x", 1, 0, SUN(&un, len)));
	RET(unlink(path));
	RET(sendto(c, "x", 1, 0, SUN(&un, len)));
	(void)close(c);
	(void)close(d);
}

CASE(pair_stream)
{
	int s[2];

	RET(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	chat(s);
	RET(socketpair(AF_INET, SOCK_STREAM, 0, s));
	RET(socketpair(AF_UNIX, 99, 0, s));
	RET(socketpair(AF_UNIX, SOCK_STREAM, 9, s));
	RET(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)8));
	RET(socketpair(99, SOCK_STREAM, 0, s));
}

CASE(pair_dgram)
{
	char b[10];
	int s[2];

	RET(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s));
	RET(send(s[0], "abc", 3, 0));
	RET(send(s[0], "", 0, 0));
	RET(send(s[0], "defgh", 5, 0));
	RET(recv(s[1], b, 2, 0));
	RET(recv(s[1], b, 2, 0));
	RET(recv(s[1], b, 10, 0));
	RET(recv(s[1], b, 10, 0));
	close(s[1]);
	RET(send(s[0], "x", 1, 0));
	RET(recv(s[0], b, 10, 0));
	close(s[0]);
}

CASE(partial_writes)
{
	static char big[1 << 20];
	int s[2], n = 0;
	ssize_t r;
	long sent = 0, got = 0;

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
	r = write(s[0], big, sizeof big);
	SHOW(r > 0 && r < (ssize_t)sizeof big);
	sent += r > 0 ? r : 0;
	while ((r = write(s[0], big, 4096)) > 0 && n++ < 10000)
		sent += r;
	SHOW(r);
	SHOW(errno == EAGAIN);
	while ((r = read(s[1], big, sizeof big)) > 0)
		got += r;
	SHOW(sent == got);
	close(s[0]);
	close(s[1]);
}

CASE(closed_peer)
{
	int s[2], e = 0;
	socklen_t l = sizeof e;
	struct pollfd p = { -1, POLLIN | POLLOUT | POLLRDHUP, 0 };

	signal(SIGPIPE, SIG_IGN);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	RET(write(s[1], "unread", 6));
	RET(write(s[0], "mine", 4));
	RET(close(s[1]));
	p.fd = s[0];
	RET(poll(&p, 1, 0));
	SHOW(p.revents);
	RET(write(s[0], "x", 1));
	RET(send(s[0], "x", 1, MSG_NOSIGNAL));
	RET(getsockopt(s[0], SOL_SOCKET, SO_ERROR, &e, &l));
	close(s[0]);
	signal(SIGPIPE, SIG_DFL);
}

ALONE(sigpipe)
{
	int s[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	close(s[1]);
	RET(send(s[0], "x", 1, MSG_NOSIGNAL));
	RET(send(s[0], "x", 1, 0));
}

/* ---- messages ------------------------------------------------------------------- */

static int
send_fds(int s, const int *fds, int n, const char *text)
{
	char c[CMSG_SPACE(sizeof(int) * 300)];
	struct iovec v = { (char *)text, strlen(text) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
	    .msg_control = c, .msg_controllen = CMSG_SPACE(sizeof(int) * n) };
	struct cmsghdr *h;

	memset(c, 0, sizeof c);
	h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(h), fds, sizeof(int) * n);
	return ((int)sendmsg(s, &m, 0));
}

static int
recv_fds(int s, int *fds, int room, int flags)
{
	char c[CMSG_SPACE(sizeof(int) * 300)], b[100];
	struct iovec v = { b, sizeof b };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
	    .msg_control = c, .msg_controllen = room };
	struct cmsghdr *h;
	int n = 0, r;

	r = (int)recvmsg(s, &m, flags | MSG_DONTWAIT);
	if (r < 0)
		return (r);
	for (h = CMSG_FIRSTHDR(&m); h != NULL; h = CMSG_NXTHDR(&m, h)) {
		n = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		say("  cmsg level %d type %d n %d", h->cmsg_level,
		    h->cmsg_type, n);
		if (h->cmsg_type == SCM_RIGHTS)
			memcpy(fds, CMSG_DATA(h), sizeof(int) * n);
	}
	say("  flags %x controllen %zu", m.msg_flags, m.msg_controllen);
	return (r);
}

CASE(rights)
{
	int s[2], p[2], fds[10], got[300], i;
	char b[10];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(p) == 0);
	RET(send_fds(s[0], p, 2, "two"));
	RET(recv_fds(s[1], got, CMSG_SPACE(8), 0));
	RET(write(got[1], "through", 7));
	RET(read(p[0], b, sizeof b));
	RET(fcntl(got[0], F_GETFD));
	close(got[0]);
	close(got[1]);
	/* boundaries */
	RET(write(s[0], "plain", 5));
	RET(send_fds(s[0], p, 1, "A"));
	RET(send_fds(s[0], p, 1, "B"));
	RET(write(s[0], "rest", 4));
	RET(recv_fds(s[1], got, CMSG_SPACE(8), 0));
	RET(recv_fds(s[1], got, CMSG_SPACE(8), MSG_CMSG_CLOEXEC));
	RET(fcntl(got[0], F_GETFD));
	close(got[0]);
	RET(recv_fds(s[1], got, 0, 0));
	RET(recv_fds(s[1], got, CMSG_SPACE(8), 0));
	/* too little room */
	RET(send_fds(s[0], p, 2, "x"));
	RET(recv_fds(s[1], got, CMSG_LEN(4), 0));
	close(got[0]);
	/* read(2) drops them */
	fds[0] = dup(p[1]);
	RET(send_fds(s[0], fds, 1, "z"));
	close(fds[0]);
	RET(read(s[1], b, 1));
	/* peeking gives them too */
	RET(send_fds(s[0], p, 1, "k"));
	RET(recv_fds(s[1], got, CMSG_SPACE(8), MSG_PEEK));
	close(got[0]);
	RET(recv_fds(s[1], got, CMSG_SPACE(8), 0));
	close(got[0]);
	fds[0] = 99;
	RET(send_fds(s[0], fds, 1, "bad"));
	for (i = 0; i < 300; i++)
		got[i] = p[0];
	RET(send_fds(s[0], got, 254, "many"));
	RET(send_fds(s[0], got, 253, "most"));
	RET(recv_fds(s[1], got, CMSG_SPACE(4 * 253), 0));
	for (i = 0; i < 253; i++)
		close(got[i]);
	close(s[0]);
	close(s[1]);
	close(p[0]);
	close(p[1]);
}

CASE(rights_in_flight)
{
	int s[2], p[2];
	char b[10];

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0 && pipe(p) == 0);
	RET(send_fds(s[0], &p[1], 1, "w"));
	close(p[1]);
	RET(fcntl(p[0], F_SETFL, O_NONBLOCK));
	RET(read(p[0], b, 1));
	/* the writer dies with the message */
	close(s[0]);
	close(s[1]);
	RET(read(p[0], b, 1));
	close(p[0]);
}

CASE(credentials)
{
	char c[200], b[10];
	struct iovec v = { b, sizeof b };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c,
	    .msg_controllen = sizeof c };
	struct ucred u;
	struct cmsghdr *h;
	socklen_t l = sizeof u;
	int s[2], on = 1;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	RET(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	RET(write(s[0], "x", 1));
	RET(recvmsg(s[1], &m, 0));
	h = CMSG_FIRSTHDR(&m);
	MUST(h != NULL);
	SHOW(h->cmsg_type);
	memcpy(&u, CMSG_DATA(h), sizeof u);
	SHOW(u.pid == getpid() && u.uid == getuid() && u.gid == getgid());
	RET(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &u, &l));
	SHOW(u.pid == getpid());
	m.msg_controllen = CMSG_SPACE(sizeof u);
	h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_CREDENTIALS;
	h->cmsg_len = CMSG_LEN(sizeof u);
	memcpy(CMSG_DATA(h), &u, sizeof u);
	RET(sendmsg(s[0], &m, 0) > 0);
	h->cmsg_len = 3;
	RET(sendmsg(s[0], &m, 0));
	h->cmsg_len = CMSG_LEN(sizeof u);
	h->cmsg_type = 77;
	RET(sendmsg(s[0], &m, 0));
	close(s[0]);
	close(s[1]);
}

CASE(msg_flags)
{
	char b[20], d[20];
	struct iovec v[2] = { { b, 3 }, { d, 20 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	int s[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	RET(write(s[0], "0123456789", 10));
	RET(recvmsg(s[1], &m, 0));
	say("%.3s %.7s", b, d);
	m.msg_iovlen = 2000;
	RET(sendmsg(s[0], &m, 0));
	m.msg_iovlen = 1;
	m.msg_iov = (void *)8;
	RET(sendmsg(s[0], &m, 0));
	RET(sendmsg(s[0], (void *)8, 0));
	RET(recvmsg(99, &m, 0));
	RET(recv(0, b, 1, 0));
	RET(recv(s[1], (void *)8, 1, MSG_DONTWAIT));
	close(s[0]);
	close(s[1]);
}

CASE(mmsgs)
{
	char b[3][10];
	struct iovec v[3] = { { b[0], 10 }, { b[1], 10 }, { b[2], 10 } };
	struct mmsghdr m[3];
	int s[2], i;

	memset(m, 0, sizeof m);
	for (i = 0; i < 3; i++) {
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
		memset(b[i], 'a' + i, 10);
		v[i].iov_len = (size_t)i + 1;
	}
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	RET(sendmmsg(s[0], m, 3, 0));
	SHOW(m[2].msg_len);
	for (i = 0; i < 3; i++)
		v[i].iov_len = 10;
	RET(recvmmsg(s[1], m, 3, MSG_DONTWAIT, NULL));
	SHOW(m[0].msg_len);
	SHOW(m[2].msg_len);
	RET(recvmmsg(s[1], m, 3, MSG_DONTWAIT, NULL));
	close(s[0]);
	close(s[1]);
}

CASE(waitall)
{
	char b[20];
	int s[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	RET(write(s[0], "12345", 5));
	RET(recv(s[1], b, 10, MSG_WAITALL | MSG_DONTWAIT));
	RET(write(s[0], "12345", 5));
	RET(recv(s[1], b, 5, MSG_WAITALL));
	RET(write(s[0], "12345", 5));
	RET(shutdown(s[0], SHUT_WR));
	RET(recv(s[1], b, 10, MSG_WAITALL));
	RET(shutdown(s[1], 99));
	RET(shutdown(99, SHUT_RD));
	RET(shutdown(0, SHUT_RD));
	close(s[0]);
	close(s[1]);
}

CASE(options)
{
	int s, v = 1;
	socklen_t l = sizeof v;

	MUST((s = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	RET(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, sizeof v));
	v = 0;
	RET(getsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, &l));
	SHOW(v);
	RET(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &l));
	SHOW(v);
	RET(getsockopt(s, SOL_SOCKET, SO_DOMAIN, &v, &l));
	SHOW(v);
	RET(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &v, &l));
	SHOW(v);
	RET(getsockopt(s, SOL_SOCKET, SO_ACCEPTCONN, &v, &l));
	SHOW(v);
	RET(getsockopt(s, SOL_SOCKET, SO_ERROR, &v, &l));
	SHOW(v);
	v = 1;
	RET(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v));
	RET(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, 1));
	RET(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4));
	RET(setsockopt(s, SOL_SOCKET, 9999, &v, 4));
	RET(setsockopt(s, 9999, 1, &v, 4));
	RET(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, (void *)8));
	RET(getsockopt(99, SOL_SOCKET, SO_TYPE, &v, &l));
	RET(getsockopt(0, SOL_SOCKET, SO_TYPE, &v, &l));
	l = 1;
	v = 0;
	RET(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &l));
	SHOW(l);
	SHOW(v);
	close(s);
}

CASE(socket_errors)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	int s;

	RET(socket(99, SOCK_STREAM, 0));
	RET(socket(AF_INET, 99, 0));
	RET(socket(AF_INET, SOCK_STREAM, 9999));
	RET(socket(AF_UNIX, SOCK_STREAM, 9999));
	MUST((s = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	RET(listen(99, 1));
	RET(listen(0, 1));
	RET(bind(s, (void *)&in, 3));
	RET(bind(s, (void *)8, sizeof in));
	in.sin_family = AF_INET6;
	RET(bind(s, (void *)&in, sizeof in));
	in.sin_family = AF_INET;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	RET(bind(s, (void *)&in, sizeof in));
	RET(bind(s, (void *)&in, sizeof in));
	RET(accept(s, NULL, NULL));
	RET(recv(s, &in, 4, 0));
	RET(shutdown(s, SHUT_RD));
	RET(connect(s, (void *)&in, 2));
	RET(listen(s, 5));
	RET(accept(99, NULL, NULL));
	RET(accept(0, NULL, NULL));
	close(s);
}

CASE(fionread)
{
	int s[2], n = -1;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	RET(write(s[0], "12345", 5));
	RET(ioctl(s[1], FIONREAD, &n));
	SHOW(n);
	n = 1;
	RET(ioctl(s[1], FIONBIO, &n));
	RET(fcntl(s[1], F_GETFL) & O_NONBLOCK);
	close(s[0]);
	close(s[1]);
}

CASE(positions)
{
	int s[2];
	char b;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	RET(lseek(s[0], 0, SEEK_CUR));
	RET(pread(s[0], &b, 1, 0));
	RET(ftruncate(s[0], 0));
	RET(fsync(s[0]));
	WORKS(mmap(NULL, 4096, PROT_READ, MAP_SHARED, s[0], 0));
	close(s[0]);
	close(s[1]);
}

static void *
late_writer(void *arg)
{

	ms_sleep(20);
	(void)!write(*(int *)arg, "late", 4);
	return (NULL);
}

CASE(blocking_read)
{
	int s[2];
	char b[10];
	pthread_t t;

	RET(through(AF_INET, SOCK_STREAM, s));
	t = thread_start(late_writer, &s[0]);
	RET(read(s[1], b, sizeof b));
	pthread_join(t, NULL);
	close(s[0]);
	close(s[1]);
}

static void *
late_connect(void *arg)
{
	struct sockaddr_un un;
	socklen_t len = name_unix(&un, 1);
	int c = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)arg;
	ms_sleep(20);
	RET(connect(c, SUN(&un, len)));
	RET(write(c, "hello", 5));
	close(c);
	return (NULL);
}

CASE(blocking_accept)
{
	struct sockaddr_un un;
	socklen_t len = name_unix(&un, 1);
	char b[10];
	pthread_t t;
	int l, a;

	MUST((l = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(bind(l, SUN(&un, len)));
	RET(listen(l, 1));
	t = thread_start(late_connect, NULL);
	a = accept(l, NULL, NULL);
	pthread_join(t, NULL);
	RET(read(a, b, sizeof b));
	RET(read(a, b, sizeof b));
	close(a);
	close(l);
}

/* ---- datagrams ------------------------------------------------------------------- */

/* A UDP socket on the loopback address; *to is where it is. */
static int
udp_on(int domain, struct sockaddr_storage *to, socklen_t *len)
{
	struct sockaddr_in *in = (void *)to;
	struct sockaddr_in6 *in6 = (void *)to;
	int s;

	memset(to, 0, sizeof *to);
	to->ss_family = (sa_family_t)domain;
	*len = domain == AF_INET ? sizeof *in : sizeof *in6;
	if (domain == AF_INET)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		in6->sin6_addr = in6addr_loopback;
	s = socket(domain, SOCK_DGRAM, 0);
	if (s < 0 || bind(s, (void *)to, *len) != 0 ||
	    getsockname(s, (void *)to, len) != 0)
		say("no socket: %d", errno);
	return (s);
}

static void
show_from(const struct sockaddr_storage *ss, socklen_t len)
{
	const struct sockaddr_in *in = (const void *)ss;
	char text[64] = "";

	SHOW(len);
	SHOW(ss->ss_family);
	if (ss->ss_family == AF_INET)
		say("%s", inet_ntop(AF_INET, &in->sin_addr, text,
		    sizeof text));
	else if (ss->ss_family == AF_INET6)
		say("%s", inet_ntop(AF_INET6,
		    (const char *)ss + 8, text, sizeof text));
}

/* A question and its answer, as a resolver and its server have them */
static void
udp_exchange(int domain, int cdomain)
{
	struct sockaddr_storage to, from;
	struct sockaddr_in6 *six = (void *)&to;
	struct sockaddr_in four;
	socklen_t len, flen = sizeof from;
	struct pollfd p;
	char b[100] = "";
	int s, c, n = 0;

	s = udp_on(domain, &to, &len);
	MUST((c = socket(cdomain, SOCK_DGRAM, IPPROTO_UDP)) >= 0);
	if (cdomain != domain) {
		memcpy(&four, &to, sizeof four);
		memset(&to, 0, sizeof to);
		six->sin6_family = AF_INET6;
		six->sin6_port = four.sin_port;
		six->sin6_addr.s6_addr[10] = six->sin6_addr.s6_addr[11] = 255;
		memcpy(&six->sin6_addr.s6_addr[12], &four.sin_addr, 4);
		len = sizeof *six;
	}
	p = (struct pollfd){ s, POLLIN | POLLOUT, 0 };
	RET(poll(&p, 1, 0));
	SHOW(p.revents);
	RET(recv(s, b, sizeof b, MSG_DONTWAIT));
	RET(sendto(c, "question", 8, 0, (void *)&to, len));
	RET(sendto(c, "", 0, 0, (void *)&to, len));
	RET(sendto(c, "third", 5, 0, (void *)&to, len));
	RET(poll(&p, 1, 0));
	SHOW(p.revents);
	RET(ioctl(s, FIONREAD, &n));
	SHOW(n);
	RET(recvfrom(s, b, 3, MSG_PEEK | MSG_TRUNC, (void *)&from, &flen));
	show_from(&from, flen);
	RET(recvfrom(s, b, sizeof b, 0, (void *)&from, &flen));
	say("%.8s", b);
	RET(recv(s, b, sizeof b, 0));
	RET(recv(s, b, 2, 0));
	RET(recv(s, b, sizeof b, MSG_DONTWAIT));
	RET(sendto(s, "answer", 6, 0, (void *)&from, flen));
	flen = sizeof from;
	RET(recvfrom(c, b, sizeof b, 0, (void *)&from, &flen));
	show_from(&from, flen);
	RET(close(s));
	RET(close(c));
}

CASE(udp4)
{

	udp_exchange(AF_INET, AF_INET);
}

CASE(udp6)
{

	udp_exchange(AF_INET6, AF_INET6);
}

CASE(udp_mapped)
{

	udp_exchange(AF_INET, AF_INET6);
}

CASE(udp_connected)
{
	struct sockaddr_storage to, other, ss;
	struct sockaddr un = { .sa_family = AF_UNSPEC };
	socklen_t len, olen, l = sizeof ss;
	char b[20];
	int s, c, x;

	s = udp_on(AF_INET, &to, &len);
	x = udp_on(AF_INET, &other, &olen);
	MUST((c = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) >= 0);
	RET(send(c, "x", 1, 0));
	RET(getpeername(c, (void *)&ss, &l));
	RET(connect(c, (void *)&to, len));
	l = sizeof ss;
	RET(getpeername(c, (void *)&ss, &l));
	SHOW(memcmp(&ss, &to, len) == 0);
	l = sizeof ss;
	RET(getsockname(c, (void *)&ss, &l));
	show_from(&ss, l);
	RET(write(c, "one", 3));
	RET(read(s, b, sizeof b));
	/* Only its peer reaches it */
	RET(sendto(x, "no", 2, 0, (void *)&ss, l));
	RET(read(c, b, sizeof b));
	RET(sendto(s, "yes", 3, 0, (void *)&ss, l));
	RET(read(c, b, sizeof b));
	RET(connect(c, &un, sizeof un));
	l = sizeof ss;
	RET(getpeername(c, (void *)&ss, &l));
	RET(send(c, "x", 1, 0));
	RET(connect(c, (void *)&to, len));
	RET(shutdown(c, SHUT_WR));
	RET(send(c, "x", 1, MSG_NOSIGNAL));
	RET(shutdown(x, SHUT_WR));
	RET(listen(s, 1));
	RET(accept(s, NULL, NULL));
	close(s);
	close(c);
	close(x);
}

CASE(udp_nobody)
{
	struct sockaddr_storage to;
	struct pollfd p = { -1, POLLIN, 0 };
	socklen_t len, l = sizeof(int);
	char b[10];
	int s, c, err = -1;

	s = udp_on(AF_INET, &to, &len);
	close(s);
	MUST((c = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) >= 0);
	RET(sendto(c, "lost", 4, 0, (void *)&to, len));
	RET(recv(c, b, sizeof b, 0));
	RET(connect(c, (void *)&to, len));
	RET(send(c, "lost", 4, 0));
	RET(send(c, "lost", 4, 0));
	RET(send(c, "lost", 4, 0));
	p.fd = c;
	RET(poll(&p, 1, 0));
	SHOW(p.revents);
	RET(getsockopt(c, SOL_SOCKET, SO_ERROR, &err, &l));
	SHOW(err);
	RET(recv(c, b, sizeof b, 0));
	close(c);
}

CASE(udp_ports)
{
	struct sockaddr_storage to;
	struct sockaddr_in any = { .sin_family = AF_INET };
	socklen_t len;
	int s, c, t, on = 1, tries = 0;

	/* TCP has ports of its own; on the host this one may be somebody's. */
	do {
		s = udp_on(AF_INET, &to, &len);
		MUST((t = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
		if (bind(t, (void *)&to, len) == 0)
			break;
		close(s);
		close(t);
	} while (++tries < 20);
	SHOW(tries < 20);
	MUST((c = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
	RET(bind(c, (void *)&to, len));
	any.sin_port = ((struct sockaddr_in *)&to)->sin_port;
	RET(bind(c, (void *)&any, sizeof any));
	RET(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
	RET(setsockopt(c, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
	RET(bind(c, (void *)&to, len));
	RET(bind(c, (void *)&to, len));
	RET(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
	close(s);
	close(c);
	close(t);
}

CASE(udp_options)
{
	struct timeval tv = { 0, 30000 };
	struct sockaddr_storage to;
	int s, v = -1;
	socklen_t len, l = sizeof v;
	char b[10];

	s = udp_on(AF_INET, &to, &len);
	RET(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &l));
	SHOW(v);
	RET(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &v, &l));
	SHOW(v);
	v = 1;
	RET(setsockopt(s, SOL_SOCKET, SO_BROADCAST, &v, sizeof v));
	RET(setsockopt(s, IPPROTO_IP, IP_MULTICAST_TTL, &v, sizeof v));
	RET(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v));
	RET(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	RET(recv(s, b, sizeof b, 0));
	RET(sendto(s, "x", 1, 0, (void *)&to, 3));
	RET(sendto(s, b, 70000, 0, (void *)&to, len));
	RET(sendto(s, (void *)8, 10, 0, (void *)&to, len));
	RET(recv(s, b, sizeof b, MSG_DONTWAIT));
	close(s);
}

static void *
late_datagram(void *arg)
{

	ms_sleep(20);
	(void)!send(*(int *)arg, "late", 4, 0);
	return (NULL);
}

CASE(udp_blocking)
{
	struct sockaddr_storage to;
	struct iovec iov;
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct sockaddr_storage from;
	socklen_t len;
	char b[10];
	pthread_t t;
	int s, c;

	s = udp_on(AF_INET, &to, &len);
	MUST((c = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
	RET(connect(c, (void *)&to, len));
	t = thread_start(late_datagram, &c);
	iov.iov_base = b;
	iov.iov_len = 2;
	h.msg_name = &from;
	h.msg_namelen = sizeof from;
	RET(recvmsg(s, &h, 0));
	SHOW(h.msg_flags);
	show_from(&from, h.msg_namelen);
	pthread_join(t, NULL);
	close(s);
	close(c);
}

static void
unix_datagrams(int abstract)
{
	struct sockaddr_un un, none;
	socklen_t len, l;
	char b[20];
	int s, c, n = 0;

	len = name_unix(&un, abstract);
	MUST((s = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0);
	MUST((c = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)) >= 0);
	RET(sendto(c, "x", 1, 0, SUN(&un, len)));
	RET(bind(s, SUN(&un, len)));
	RET(sendto(c, "hello", 5, 0, SUN(&un, len)));
	l = sizeof none;
	RET(recvfrom(s, b, sizeof b, 0, (void *)&none, &l));
	SHOW(l);
	RET(send(c, "x", 1, 0));
	RET(connect(c, SUN(&un, len)));
	RET(send(c, "two", 3, 0));
	RET(read(s, b, 2));
	RET(recv(s, b, sizeof b, MSG_DONTWAIT));
	while (send(c, b, 20, 0) == 20 && n < 100000)
		n++;
	SHOW(errno == EAGAIN);
	RET(close(s));
	RET(send(c, "x", 1, 0));
	RET(connect(c, SUN(&un, len)));
	close(c);
	if (!abstract)
		(void)unlink(path);
}

CASE(unix_dgram_named)
{

	unix_datagrams(0);
}

CASE(unix_dgram_abstract)
{

	unix_datagrams(1);
}

/* ---- UDP: who is woken, who gets it ---------------------------------------- */

static int
udp_at(const char *ip, struct sockaddr_in *in)
{
	socklen_t len = sizeof *in;
	in_port_t port = in->sin_port;
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	memset(in, 0, sizeof *in);
	in->sin_family = AF_INET;
	in->sin_port = port;
	(void)inet_pton(AF_INET, ip, &in->sin_addr);
	if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 },
	    sizeof(int)) != 0 || bind(s, (void *)in, len) != 0 ||
	    getsockname(s, (void *)in, &len) != 0)
		say("bind: %s", errno_name(errno));
	return (s);
}

static void *
waits_dgram(void *arg)
{
	char b[8];

	RET(recv(*(int *)arg, b, sizeof b, 0));
	return (NULL);
}

/* shutdown(2) fails where there is no peer, and wakes all the same. */
CASE(dgram_shutdown)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { 0 };
	struct pollfd p = { .events = POLLIN };
	pthread_t t;
	char b[8];
	int s, c;

	s = udp_at("127.0.0.1", &in);
	t = thread_start(waits_dgram, &s);
	ms_sleep(40);
	RET(shutdown(s, SHUT_RDWR));
	pthread_join(t, NULL);
	p.fd = s;
	RET(poll(&p, 1, 0));
	SHOW(p.revents & POLLIN);
	close(s);
	memcpy(un.sun_path, "\0diffdg", 7);
	MUST((s = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0);
	MUST((c = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0);
	RET(bind(s, (void *)&un, sizeof un.sun_family + 7));
	RET(connect(c, (void *)&un, sizeof un.sun_family + 7));
	t = thread_start(waits_dgram, &s);
	ms_sleep(40);
	RET(shutdown(s, SHUT_RD));
	pthread_join(t, NULL);
	/* no signal: that is for streams */
	RET(send(c, "x", 1, 0));
	RET(shutdown(c, SHUT_WR));
	RET(send(c, "x", 1, 0));
	RET(recv(s, b, 1, 0));
	close(s);
	close(c);
}

CASE(udp_each_other)
{
	struct sockaddr_in a = { 0 }, b = { 0 };
	socklen_t len = sizeof a;
	char buf[8];
	int s, t;

	s = udp_at("127.0.0.1", &a);
	t = udp_at("127.0.0.1", &b);
	RET(connect(s, (void *)&b, len));
	RET(connect(t, (void *)&a, len));
	RET(send(s, "1", 1, 0));
	RET(recv(t, buf, sizeof buf, MSG_DONTWAIT));
	RET(send(t, "22", 2, 0));
	RET(recv(s, buf, sizeof buf, MSG_DONTWAIT));
	RET(shutdown(s, SHUT_WR));
	RET(send(s, "x", 1, 0));
	close(s);
	close(t);
}

/* Bound to the address itself before bound to any */
CASE(udp_exact)
{
	struct sockaddr_in any = { 0 }, one = { 0 };
	struct pollfd p = { .events = POLLIN };
	char b[8];
	int s, t, c;

	s = udp_at("0.0.0.0", &any);
	one.sin_port = any.sin_port;
	t = udp_at("127.0.0.1", &one);
	MUST((c = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
	RET(sendto(c, "abc", 3, 0, (void *)&one, sizeof one));
	p.fd = t;
	RET(poll(&p, 1, 1000));
	RET(recv(t, b, sizeof b, MSG_DONTWAIT));
	RET(recv(s, b, sizeof b, MSG_DONTWAIT));
	close(s);
	close(t);
	close(c);
}

/* ---- options that are read back ---------------------------------------------- */

static void
option(int s, int level, int name, const char *what, int v)
{
	socklen_t len = sizeof(int);
	int was = -1, is = -1, r;

	(void)getsockopt(s, level, name, &was, &len);
	errno = 0;
	r = setsockopt(s, level, name, &v, sizeof v);
	if (r != 0)
		r = -errno;
	len = sizeof(int);
	(void)getsockopt(s, level, name, &is, &len);
	say("%s: %d, set %d: %s, %d", what, was, v, errno_name(-r), is);
}
#define OPTION(s, l, n, v)	option(s, l, n, #n, v)

static void
tcp_options(int s)
{
	static const int some[] = { 30, 1, 0, -1, 32767, 32768, 127, 128 };
	unsigned u;

	for (u = 0; u < sizeof some / sizeof *some; u++) {
		OPTION(s, IPPROTO_TCP, TCP_KEEPIDLE, some[u]);
		OPTION(s, IPPROTO_TCP, TCP_KEEPINTVL, some[u]);
		OPTION(s, IPPROTO_TCP, TCP_KEEPCNT, some[u]);
		OPTION(s, IPPROTO_TCP, TCP_SYNCNT, some[u]);
		OPTION(s, IPPROTO_TCP, TCP_USER_TIMEOUT, some[u]);
	}
	OPTION(s, IPPROTO_TCP, TCP_KEEPIDLE, 45);
	OPTION(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384);
}

static void
ip_options(int s)
{
	static const int some[] = { 0x10, 0xb8, 0, 255, 256, -1, 7 };
	unsigned u;

	for (u = 0; u < sizeof some / sizeof *some; u++) {
		OPTION(s, IPPROTO_IP, IP_TOS, some[u]);
		OPTION(s, IPPROTO_IP, IP_TTL, some[u]);
	}
	OPTION(s, IPPROTO_IP, IP_MTU_DISCOVER, 2);
	OPTION(s, IPPROTO_IP, IP_MTU_DISCOVER, 6);
	OPTION(s, SOL_SOCKET, SO_PRIORITY, 5);
	OPTION(s, SOL_SOCKET, SO_RCVLOWAT, 10);
	OPTION(s, SOL_SOCKET, SO_RCVLOWAT, 0);
}

CASE(options_kept)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof in;
	int s, c, a;

	MUST((s = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	tcp_options(s);
	ip_options(s);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(s, (void *)&in, len) == 0 && listen(s, 4) == 0);
	MUST(getsockname(s, (void *)&in, &len) == 0);
	MUST((c = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	OPTION(c, IPPROTO_TCP, TCP_KEEPCNT, 3);
	MUST(connect(c, (void *)&in, len) == 0);
	MUST((a = accept(s, NULL, NULL)) >= 0);
	/* handed down, and kept */
	OPTION(a, IPPROTO_TCP, TCP_KEEPIDLE, 50);
	OPTION(a, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000);
	OPTION(a, IPPROTO_IP, IP_TTL, 9);
	OPTION(c, IPPROTO_TCP, TCP_KEEPCNT, 4);
	OPTION(s, IPPROTO_TCP, TCP_KEEPIDLE, 60);
	close(a);
	close(c);
	close(s);
	MUST((s = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
	ip_options(s);
	close(s);
	/* as it was, in a new one */
	MUST((s = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	OPTION(s, IPPROTO_TCP, TCP_KEEPIDLE, 7200);
	OPTION(s, IPPROTO_IP, IP_TOS, 4);
	close(s);
}
