/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * TCP between two sockets of one program: what connect(2) says and when, the
 * names that both ends see, and what is left of a connection whose other end
 * is closed, in order or not.
 */

#include "diff.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

/* MUST() where there is something to return */
#define NEED(cond)							\
	do {								\
		if (!(cond)) {						\
			say("line %d: not %s: %s", __LINE__, #cond,	\
			    errno_name(errno));				\
			_exit(1);					\
		}							\
	} while (0)

/* ---- helpers ------------------------------------------------------------ */

static socklen_t
name_ip(struct sockaddr_storage *ss, const char *text, in_port_t port)
{
	struct sockaddr_in *in = (void *)ss;
	struct sockaddr_in6 *in6 = (void *)ss;

	memset(ss, 0, sizeof *ss);
	if (strchr(text, ':') == NULL) {
		in->sin_family = AF_INET;
		in->sin_port = port;
		NEED(inet_pton(AF_INET, text, &in->sin_addr) == 1);
		return (sizeof *in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = port;
	NEED(inet_pton(AF_INET6, text, &in6->sin6_addr) == 1);
	return (sizeof *in6);
}

static in_port_t
port_of(const struct sockaddr_storage *ss)
{

	return (ss->ss_family == AF_INET ?
	    ((const struct sockaddr_in *)ss)->sin_port :
	    ((const struct sockaddr_in6 *)ss)->sin6_port);
}

/* A listener at text, and its port */
static int
listener(const char *text, int backlog, in_port_t *port)
{
	struct sockaddr_storage ss;
	socklen_t len = name_ip(&ss, text, 0);
	int l;

	NEED((l = socket(ss.ss_family, SOCK_STREAM, 0)) >= 0);
	NEED(bind(l, (void *)&ss, len) == 0);
	NEED(listen(l, backlog) == 0);
	NEED(getsockname(l, (void *)&ss, &len) == 0);
	*port = port_of(&ss);
	return (l);
}

static int
dial(const char *text, in_port_t port, int flags, int *ret)
{
	struct sockaddr_storage ss;
	socklen_t len = name_ip(&ss, text, port);
	int s;

	NEED((s = socket(ss.ss_family, SOCK_STREAM | flags, 0)) >= 0);
	*ret = connect(s, (void *)&ss, len) == 0 ? 0 : errno;
	return (s);
}

/* A connected pair: [0] client, [1] server */
static void
pair(int s[2])
{
	in_port_t port;
	int l = listener("127.0.0.1", 5, &port), r;

	s[0] = dial("127.0.0.1", port, 0, &r);
	NEED(r == 0);
	NEED((s[1] = accept(l, NULL, NULL)) >= 0);
	close(l);
}

static void
show_poll(const char *what, int s)
{
	struct pollfd p = { s, POLLIN | POLLOUT | POLLRDHUP | POLLPRI |
	    POLLRDNORM | POLLWRNORM | POLLWRBAND, 0 };
	int r = poll(&p, 1, 0);

	say("%s: poll %d %x", what, r, (unsigned)p.revents);
}

static void
show_err(int s)
{
	int e = -1;
	socklen_t l = sizeof e;

	RET(getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &l));
	say("SO_ERROR %s", errno_name(e));
}

static void
show_state(int s)
{
	uint8_t info[8];
	socklen_t l = sizeof info;

	NEED(getsockopt(s, IPPROTO_TCP, TCP_INFO, info, &l) == 0);
	say("state %d", info[0]);
}

/* ---- connect ------------------------------------------------------------ */

CASE(nonblocking)
{
	struct sockaddr_storage ss;
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLIN | EPOLLET };
	in_port_t port;
	int l = listener("127.0.0.1", 5, &port), r, c, e;
	socklen_t len = name_ip(&ss, "127.0.0.1", port);

	MUST((c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0);
	MUST((e = epoll_create1(0)) >= 0);
	MUST(epoll_ctl(e, EPOLL_CTL_ADD, c, &ev) == 0);
	RET(epoll_wait(e, &ev, 1, 0));
	SHOW(ev.events);
	RET(connect(c, (void *)&ss, len));
	RET(epoll_wait(e, &ev, 1, 1000));
	SHOW(ev.events);
	show_poll("connected", c);
	show_err(c);
	RET(connect(c, (void *)&ss, len));
	RET(connect(c, (void *)&ss, len));
	RET(write(c, "x", 1));
	r = accept(l, NULL, NULL);
	SHOW(r >= 0);
	close(r);
	close(c);
	c = dial("127.0.0.1", port, 0, &r);
	say("blocking: %s", errno_name(r));
	RET(connect(c, (void *)&ss, len));
	close(c);
	close(e);
	close(l);
}

/* More than the listener queues: those wait, and come in when there is room. */
CASE(queue_full)
{
	in_port_t port;
	int l = listener("127.0.0.1", 2, &port), c[4], a, n, r;

	for (n = 0; n < 4; n++) {
		c[n] = dial("127.0.0.1", port, SOCK_NONBLOCK, &r);
		say("%d: %s", n, errno_name(r));
	}
	for (n = 0; n < 3; n++)
		show_poll("queued", c[n]);
	show_poll("not queued", c[3]);
	RET(read(c[3], &r, 1));
	RET(send(c[3], "x", 1, MSG_NOSIGNAL));
	for (n = 0; n < 4; n++) {
		MUST((a = accept(l, NULL, NULL)) >= 0);
		RET(send(a, "hello", n, 0));
		close(a);
	}
	for (n = 0; n < 4; n++) {
		struct pollfd p = { c[n], POLLIN, 0 };
		char b[8];

		RET(poll(&p, 1, 5000));
		RET(read(c[n], b, sizeof b));
		show_err(c[n]);
		close(c[n]);
	}
	close(l);
}

/* Too early, as who starts a server and calls it may be */
CASE(not_listening_yet)
{
	struct sockaddr_storage ss;
	socklen_t len = name_ip(&ss, "127.0.0.1", 0);
	int l, c, b;

	MUST((l = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	MUST(bind(l, (void *)&ss, len) == 0);
	MUST(getsockname(l, (void *)&ss, &len) == 0);
	MUST((c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0);
	MUST((b = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	RET(connect(b, (void *)&ss, len));
	RET(connect(c, (void *)&ss, len));
	show_poll("refused", c);
	RET(connect(c, (void *)&ss, len));
	RET(connect(c, (void *)&ss, len));
	show_err(c);
	RET(listen(l, 5));
	RET(connect(b, (void *)&ss, len));
	close(c);
	MUST((c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0);
	RET(connect(c, (void *)&ss, len));
	show_poll("connected", c);
	close(b);
	close(c);
	close(l);
}

/* Many wait, and most have gone away before they are looked at. */
CASE(long_queue)
{
	in_port_t port;
	int l = listener("127.0.0.1", 200, &port), c, n, r, a;
	char b[4];

	for (n = 0; n < 100; n++) {
		c = dial("127.0.0.1", port, n & 1 ? SOCK_NONBLOCK : 0, &r);
		if (r != (n & 1 ? EINPROGRESS : 0))
			say("%d: %s", n, errno_name(r));
		if (n % 10 == 0)
			RET(write(c, "here", 4));
		close(c);
	}
	for (n = 0; n < 100; n++) {
		MUST((a = accept(l, NULL, NULL)) >= 0);
		if ((r = (int)read(a, b, sizeof b)) != 0)
			say("%d: %d bytes", n, r);
		close(a);
	}
	close(l);
}

static void
names(const char *at, const char *to)
{
	struct sockaddr_storage ss;
	in_port_t port;
	int l = listener(at, 5, &port), s[2], r, n;
	socklen_t len;
	char t[64];

	s[0] = dial(to, port, 0, &r);
	say("%s to %s: %s", at, to, errno_name(r));
	len = sizeof ss;
	if (r == 0) {
		MUST((s[1] = accept(l, (void *)&ss, &len)) >= 0);
		say("accept: family %d, %u bytes", ss.ss_family, len);
		for (n = 0; n < 4; n++) {
			len = sizeof ss;
			memset(&ss, 0, sizeof ss);
			MUST((n & 1 ? getpeername : getsockname)(s[n / 2],
			    (void *)&ss, &len) == 0);
			(void)inet_ntop(ss.ss_family, ss.ss_family == AF_INET ?
			    (void *)&((struct sockaddr_in *)&ss)->sin_addr :
			    (void *)&((struct sockaddr_in6 *)&ss)->sin6_addr,
			    t, sizeof t);
			say("%s's %s: %s, %u bytes, %s", n / 2 ? "server" :
			    "client", n & 1 ? "peer" : "own", t, len,
			    port_of(&ss) == port ? "the port" : "another port");
		}
		close(s[1]);
	}
	close(s[0]);
	close(l);
}

CASE(names)
{
	static const char *const at[] = { "127.0.0.1", "0.0.0.0", "::1", "::",
		"127.1.2.3", "::ffff:127.0.0.1", "::ffff:0.0.0.0" };
	static const char *const to[] = { "127.0.0.1", "0.0.0.0", "127.1.2.3",
		"::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0" };
	size_t i, j;

	for (i = 0; i < sizeof at / sizeof *at; i++)
		for (j = 0; j < sizeof to / sizeof *to; j++)
			names(at[i], to[j]);
}

/* Every connection of IPv4 to a dual-stack listener has four names. */
CASE(many_names)
{
	struct sockaddr_storage own, peer;
	int l[40], c[40], s[40], i, r, bad = 0, n = 0;
	in_port_t port;
	socklen_t len;

	for (i = 0; i < 40; i++) {
		l[i] = listener("::", 5, &port);
		c[i] = dial("127.0.0.1", port, 0, &r);
		bad += r != 0;
		if (r == 0)
			NEED((s[i] = accept(l[i], NULL, NULL)) >= 0);
		else
			s[i] = -1;
	}
	SHOW(bad);
	for (i = 0; i < 40; i++) {
		len = sizeof own;
		bad = getsockname(c[i], (void *)&own, &len);
		len = sizeof peer;
		if (bad == 0 && getpeername(s[i], (void *)&peer, &len) == 0 &&
		    port_of(&own) == port_of(&peer))
			n++;
		close(l[i]);
		close(c[i]);
		close(s[i]);
	}
	SHOW(n);
}

/* ---- the other end is closed -------------------------------------------- */

static void
reads_and_writes(int s)
{
	char b[8];

	show_poll("before", s);
	RET(read(s, b, sizeof b));
	RET(send(s, "x", 1, MSG_NOSIGNAL));
	show_poll("after one", s);
	RET(read(s, b, sizeof b));
	RET(send(s, "x", 1, MSG_NOSIGNAL));
	show_poll("after two", s);
	RET(send(s, "x", 1, MSG_NOSIGNAL));
	RET(read(s, b, sizeof b));
	show_err(s);
	RET(shutdown(s, SHUT_WR));
	RET(shutdown(s, SHUT_RDWR));
	show_poll("in the end", s);
	close(s);
}

CASE(closed_in_order)
{
	int s[2];

	pair(s);
	RET(write(s[1], "last", 4));
	close(s[1]);
	show_state(s[0]);
	reads_and_writes(s[0]);
}

CASE(closed_after_shutdown)
{
	int s[2];

	pair(s);
	RET(shutdown(s[1], SHUT_WR));
	show_poll("half", s[0]);
	RET(write(s[0], "unread", 6));
	close(s[1]);
	reads_and_writes(s[0]);
}

CASE(both_closed)
{
	int s[2];

	pair(s);
	RET(shutdown(s[0], SHUT_WR));
	show_poll("half", s[0]);
	show_poll("other half", s[1]);
	close(s[1]);
	reads_and_writes(s[0]);
}

CASE(closed_unread)
{
	int s[2];

	pair(s);
	RET(write(s[0], "unread", 6));
	RET(write(s[1], "last", 4));
	close(s[1]);
	show_state(s[0]);
	reads_and_writes(s[0]);
}

/* A name is not looked at, and what does not fit in goes in part. */
CASE(named_and_large)
{
	const size_t len = 64 << 20;
	struct sockaddr_in in = { .sin_family = AF_INET };
	char *p = calloc(1, len);
	int s[2];
	ssize_t r;

	pair(s);
	RET(sendto(s[0], "x", 1, 0, (void *)&in, sizeof in));
	RET(sendto(s[0], "x", 1, 0, (void *)8, 1));
	close(s[1]);
	pair(s);
	close(s[1]);
	r = write(s[0], p, len);
	SHOW(r > 0 && r < (ssize_t)len);
	RET(send(s[0], p, len, MSG_NOSIGNAL));
	close(s[0]);
	free(p);
}

static void
abort_it(int s)
{
	struct linger li = { 1, 0 };

	RET(setsockopt(s, SOL_SOCKET, SO_LINGER, &li, sizeof li));
	close(s);
}

CASE(aborted)
{
	int s[2];
	char b[8];

	pair(s);
	abort_it(s[1]);
	reads_and_writes(s[0]);
	pair(s);
	abort_it(s[1]);
	show_err(s[0]);
	RET(read(s[0], b, sizeof b));
	show_poll("read", s[0]);
	close(s[0]);
	pair(s);
	abort_it(s[1]);
	RET(send(s[0], "x", 1, MSG_NOSIGNAL));
	RET(send(s[0], "x", 1, MSG_NOSIGNAL));
	RET(getpeername(s[0], (struct sockaddr *)b, &(socklen_t){ 0 }));
	close(s[0]);
}

/* The write that the closed end answers with a reset, then one too many */
ALONE(sigpipe)
{
	int s[2];

	pair(s);
	close(s[1]);
	RET(write(s[0], "x", 1));
	RET(write(s[0], "x", 1));
	say("not killed");
}

CASE(listener_closed)
{
	in_port_t port;
	int l = listener("127.0.0.1", 5, &port), c, r;

	c = dial("127.0.0.1", port, 0, &r);
	RET(write(c, "x", 1));
	close(l);
	reads_and_writes(c);
}

CASE(stops_listening)
{
	in_port_t port;
	int l = listener("127.0.0.1", 5, &port), c, r;

	c = dial("127.0.0.1", port, 0, &r);
	RET(shutdown(l, SHUT_RDWR));
	show_poll("listener", l);
	RET(accept(l, NULL, NULL));
	reads_and_writes(c);
	close(l);
}

CASE(shut_for_reading)
{
	int s[2];
	char b[8];

	pair(s);
	RET(shutdown(s[1], SHUT_RD));
	show_poll("reader", s[1]);
	show_poll("writer", s[0]);
	RET(read(s[1], b, sizeof b));
	RET(send(s[0], "more", 4, MSG_NOSIGNAL));
	RET(read(s[1], b, sizeof b));
	RET(send(s[1], "back", 4, MSG_NOSIGNAL));
	RET(read(s[0], b, sizeof b));
	close(s[0]);
	close(s[1]);
}

static void *
closer(void *arg)
{

	usleep(30000);
	abort_it(*(int *)arg);
	return (NULL);
}

/* ---- SO_RCVTIMEO, SO_SNDTIMEO ------------------------------------------- */

static void
timed(int s, int peer)
{
	struct timeval tv = { 0, 60000 }, got;
	socklen_t l = sizeof got;
	static char big[1 << 20];
	uint64_t t0;
	ssize_t r;
	char b[8];

	RET(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	RET(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &got, &l));
	say("%ld.%06ld", (long)got.tv_sec, (long)got.tv_usec);
	RET(getsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &got, &l));
	say("%ld.%06ld", (long)got.tv_sec, (long)got.tv_usec);
	t0 = now_ns(CLOCK_MONOTONIC);
	RET(recv(s, b, sizeof b, 0));
	SHOW(now_ns(CLOCK_MONOTONIC) - t0 >= 55 * MS);
	RET(write(peer, "abc", 3));
	RET(recv(s, b, sizeof b, MSG_WAITALL));
	RET(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
	r = 1;
	while (r > 0)
		r = write(s, big, sizeof big);
	say("write: %s", errno_name(errno));
	tv.tv_usec = 1000000;
	RET(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	RET(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, 8));
	tv.tv_usec = 0;
	RET(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	RET(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &got, &l));
	say("%ld.%06ld", (long)got.tv_sec, (long)got.tv_usec);
	close(s);
	close(peer);
}

CASE(timeouts)
{
	struct timeval tv = { 1, 500000 };
	struct sockaddr_storage ss;
	in_port_t port;
	int s[2], l = listener("127.0.0.1", 1, &port);
	socklen_t len = name_ip(&ss, "127.0.0.1", port), tl = sizeof tv;

	pair(s);
	timed(s[0], s[1]);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	timed(s[1], s[0]);
	MUST((s[0] = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	RET(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
	RET(connect(s[0], (void *)&ss, len));
	memset(&tv, 0, sizeof tv);
	RET(getsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &tv, &tl));
	say("%ld.%06ld", (long)tv.tv_sec, (long)tv.tv_usec);
	close(s[0]);
	close(l);
}

/* Somebody waits meanwhile. */
CASE(aborted_meanwhile)
{
	pthread_t t;
	int s[2];
	char b[8];

	pair(s);
	MUST(pthread_create(&t, NULL, closer, &s[1]) == 0);
	RET(read(s[0], b, sizeof b));
	pthread_join(t, NULL);
	close(s[0]);
}

/* ---- connect(2) where the queue is full, and who waits meanwhile --------- */

static void *
accepter(void *arg)
{
	int a, l = *(int *)arg;

	usleep(300000);
	NEED((a = accept(l, NULL, NULL)) >= 0);
	close(a);
	return (NULL);
}

static void
on_alarm(int sig)
{

	(void)sig;
}

static void
wait_out(int s)
{
	struct pollfd p = { s, POLLOUT, 0 };

	RET(poll(&p, 1, 20000));
	SHOW(p.revents);
	show_err(s);
}

/* Nobody may listen, and a shutdown ends it. */
CASE(on_its_way)
{
	in_port_t port;
	int l = listener("127.0.0.1", 0, &port), c[3], n, r;

	for (n = 0; n < 3; n++)
		c[n] = dial("127.0.0.1", port, SOCK_NONBLOCK, &r);
	show_poll("waits", c[1]);
	RET(listen(c[1], 5));
	show_poll("waits", c[1]);
	RET(shutdown(c[1], SHUT_WR));
	show_poll("shut", c[1]);
	show_err(c[1]);
	show_state(c[1]);
	/* more room */
	RET(listen(l, 5));
	wait_out(c[2]);
	for (n = 0; n < 3; n++)
		close(c[n]);
	close(l);
}

CASE(connect_timeo)
{
	struct timeval tv = { 0, 60000 };
	struct sockaddr_storage ss;
	in_port_t port;
	int l = listener("127.0.0.1", 0, &port), c, s, r;
	socklen_t len = name_ip(&ss, "127.0.0.1", port);
	pthread_t t;

	c = dial("127.0.0.1", port, 0, &r);
	MUST((s = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	RET(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
	RET(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	RET(connect(s, (void *)&ss, len));
	show_poll("timed out", s);
	RET(connect(s, (void *)&ss, len));
	RET(recv(s, &r, 1, 0));
	RET(send(s, "x", 1, MSG_NOSIGNAL));
	MUST(pthread_create(&t, NULL, accepter, &l) == 0);
	wait_out(s);
	RET(connect(s, (void *)&ss, len));
	RET(connect(s, (void *)&ss, len));
	pthread_join(t, NULL);
	close(s);
	close(c);
	close(l);
}

static void
interrupted(int flags)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags };
	struct itimerval it = { { 0, 0 }, { 0, 50000 } };
	struct sockaddr_storage ss;
	in_port_t port;
	int l = listener("127.0.0.1", 0, &port), c, s, r;
	socklen_t len = name_ip(&ss, "127.0.0.1", port);
	pthread_t t;

	c = dial("127.0.0.1", port, 0, &r);
	MUST((s = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	MUST(sigaction(SIGALRM, &sa, NULL) == 0);
	if (flags & SA_RESTART)
		MUST(pthread_create(&t, NULL, accepter, &l) == 0);
	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
	RET(connect(s, (void *)&ss, len));
	if (!(flags & SA_RESTART)) {
		show_poll("interrupted", s);
		MUST(pthread_create(&t, NULL, accepter, &l) == 0);
		RET(connect(s, (void *)&ss, len));
	}
	show_poll("connected", s);
	pthread_join(t, NULL);
	MUST(signal(SIGALRM, SIG_DFL) != SIG_ERR);
	close(s);
	close(c);
	close(l);
}

CASE(connect_interrupted)
{

	interrupted(0);
	interrupted(SA_RESTART);
}

/* What a refused one answers to those who do not ask for SO_ERROR */
CASE(refused_io)
{
	struct sockaddr_storage ss;
	socklen_t len = name_ip(&ss, "127.0.0.1", 0);
	int l, c, n;
	char b[4];

	MUST((l = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	MUST(bind(l, (void *)&ss, len) == 0);
	MUST(getsockname(l, (void *)&ss, &len) == 0);
	for (n = 0; n < 2; n++) {
		c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		MUST(c >= 0);
		RET(connect(c, (void *)&ss, len));
		if (n == 0)
			RET(recv(c, b, sizeof b, 0));
		RET(send(c, "x", 1, MSG_NOSIGNAL));
		RET(send(c, "x", 1, MSG_NOSIGNAL));
		show_err(c);
		close(c);
	}
	close(l);
}

static void *
clears(void *arg)
{
	struct timeval tv = { 0, 0 };

	usleep(20000);
	NEED(setsockopt(*(int *)arg, SOL_SOCKET, SO_RCVTIMEO, &tv,
	    sizeof tv) == 0);
	return (NULL);
}

/* accept(2) waits no longer, and no signal restarts it then. */
CASE(timeo_accept)
{
	struct sigaction sa = { .sa_handler = on_alarm,
	    .sa_flags = SA_RESTART }, old;
	struct itimerval it = { { 0, 0 }, { 0, 30000 } };
	struct timeval tv = { 0, 60000 };
	in_port_t port;
	int l = listener("127.0.0.1", 1, &port), c, r;
	uint64_t t0;

	RET(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	t0 = now_ns(CLOCK_MONOTONIC);
	RET(accept(l, NULL, NULL));
	SHOW(now_ns(CLOCK_MONOTONIC) - t0 >= 55 * MS);
	MUST(sigaction(SIGALRM, &sa, &old) == 0);
	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
	RET(accept4(l, NULL, NULL, SOCK_CLOEXEC));
	MUST(sigaction(SIGALRM, &old, NULL) == 0);
	c = dial("127.0.0.1", port, 0, &r);
	WORKS(r = accept(l, NULL, NULL));
	close(r);
	RET(fcntl(l, F_SETFL, O_NONBLOCK));
	RET(accept(l, NULL, NULL));
	close(c);
	close(l);
}

/* It counts from when the call began. */
CASE(timeo_cleared)
{
	struct timeval tv = { 0, 200000 };
	pthread_t t;
	int s[2];
	char b[8];

	pair(s);
	RET(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	MUST(pthread_create(&t, NULL, clears, &s[0]) == 0);
	RET(recv(s[0], b, sizeof b, 0));
	pthread_join(t, NULL);
	close(s[0]);
	close(s[1]);
}

/* Unix sockets do not hand them down, TCP's do. */
CASE(timeo_handed_down)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval tv = { 0, 60000 };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 8;
	socklen_t tl = sizeof tv;
	in_port_t port;
	int l, c[3], a, n, r;

	memcpy(un.sun_path, "\0diffbl", 8);
	MUST((l = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	MUST(bind(l, (void *)&un, len) == 0);
	RET(listen(l, 0));
	for (n = 0; n < 2; n++) {
		MUST((c[n] = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
		RET(setsockopt(c[n], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
		RET(connect(c[n], (void *)&un, len));
	}
	MUST((a = accept(l, NULL, NULL)) >= 0);
	RET(getsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, &tl));
	SHOW(tv.tv_usec);
	RET(connect(c[1], (void *)&un, len));
	close(c[0]);
	close(c[1]);
	close(a);
	close(l);
	tv.tv_usec = 60000;
	l = listener("127.0.0.1", 0, &port);
	RET(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	c[0] = dial("127.0.0.1", port, 0, &r);
	MUST((a = accept(l, NULL, NULL)) >= 0);
	RET(getsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, &tl));
	SHOW(tv.tv_usec);
	close(c[0]);
	close(a);
	close(l);
}

/* ---- every end of every kind -------------------------------------------- */

static void
look(const char *what, int s)
{
	struct sockaddr_storage ss;
	socklen_t l = sizeof ss;
	char b[8];
	int n = -1;

	usleep(1000);
	show_poll(what, s);
	RET(ioctl(s, FIONREAD, &n));
	SHOW(n);
	RET(getpeername(s, (void *)&ss, &l));
	RET(recv(s, b, 2, MSG_DONTWAIT | MSG_PEEK));
	RET(recv(s, b, sizeof b, MSG_DONTWAIT));
	RET(send(s, "ab", 2, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* 1...3: SHUT_RD and so on; 4: it is closed, 5: cut off */
static void
end_it(int *s, int how)
{

	if (how > 0 && how < 4)
		RET(shutdown(*s, how - 1));
	if (how == 4)
		close(*s);
	if (how == 5)
		abort_it(*s);
	if (how > 3)
		*s = -1;
}

static void
ends(int s[2], int unread, int a, int b)
{
	int n;

	say("== unread %d, %d and %d", unread, a, b);
	if (unread & 1)
		NEED(write(s[0], "12345", 5) == 5);
	if (unread & 2)
		NEED(write(s[1], "12345", 5) == 5);
	end_it(&s[1], b);
	end_it(&s[0], a);
	for (n = 0; n < 2; n++) {
		if (s[0] >= 0)
			look("one", s[0]);
		look("other", s[1]);
	}
	show_err(s[1]);
	if (s[0] >= 0)
		close(s[0]);
	close(s[1]);
}

static void
all_ends(int tcp)
{
	int s[2], n, a, b;

	for (n = 0; n < 3; n++)
		for (a = 0; a < 5 + tcp; a++)
			for (b = 0; b < 4; b++) {
				if (tcp)
					pair(s);
				else
					NEED(socketpair(AF_UNIX, SOCK_STREAM,
					    0, s) == 0);
				ends(s, n, a, b);
			}
}

CASE(all_ends)
{

	all_ends(1);
}

CASE(all_ends_unix)
{

	all_ends(0);
}

/* Nobody is there: a socket may try again. */
CASE(refused_again)
{
	struct sockaddr_storage ss;
	in_port_t port;
	int l = listener("127.0.0.1", 5, &port), c;
	socklen_t len = name_ip(&ss, "127.0.0.1", port);

	close(l);
	MUST((c = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	RET(connect(c, (void *)&ss, len));
	RET(connect(c, (void *)&ss, len));
	close(c);
}

/* As long as one descriptor is left it listens. */
CASE(listener_duped)
{
	in_port_t port;
	int l = listener("127.0.0.1", 0, &port), l2, c[2], a, r;

	MUST((l2 = dup(l)) >= 0);
	c[0] = dial("127.0.0.1", port, 0, &r);
	c[1] = dial("127.0.0.1", port, SOCK_NONBLOCK, &r);
	close(l);
	show_poll("in the queue", c[0]);
	show_poll("not in it", c[1]);
	MUST((a = accept(l2, NULL, NULL)) >= 0);
	close(a);
	wait_out(c[1]);
	close(l2);
	show_err(c[1]);
	close(c[0]);
	close(c[1]);
}

/* Descriptors on their way to who has not accepted yet */
CASE(queued_descriptors)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 8;
	char cb[CMSG_SPACE(sizeof(int))] = { 0 }, x = 'x';
	struct iovec iv = { &x, 1 };
	struct msghdr mh = { .msg_iov = &iv, .msg_iovlen = 1 };
	struct cmsghdr *h = (void *)cb;
	int l, c, a, p[2], n;

	memcpy(un.sun_path, "\0diffqd", 8);
	MUST((l = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	MUST(bind(l, (void *)&un, len) == 0);
	MUST(listen(l, 3) == 0);
	for (n = 0; n < 2; n++) {
		MUST((c = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
		MUST(connect(c, (void *)&un, len) == 0);
		MUST(pipe(p) == 0);
		mh.msg_control = cb;
		mh.msg_controllen = sizeof cb;
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &p[1], sizeof(int));
		RET(sendmsg(c, &mh, 0));
		close(p[1]);
		if (n == 0) {
			close(c);
			MUST((a = accept(l, NULL, NULL)) >= 0);
			RET(recvmsg(a, &mh, 0));
			memcpy(&c, CMSG_DATA(h), sizeof c);
			RET(write(c, "z", 1));
			RET(read(p[0], &x, 1));
			close(a);
		} else {
			close(l);
			show_poll("client", c);
			RET(read(c, &x, 1));
		}
		close(c);
		RET(read(p[0], &x, 1));
		close(p[0]);
	}
}

/* Read without being copied: TCP only */
CASE(thrown_away)
{
	char b[8] = "------";
	int s[2], n;

	for (n = 0; n < 2; n++) {
		if (n == 0)
			pair(s);
		else
			MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
		RET(write(s[1], "abcdef", 6));
		RET(recv(s[0], b, 3, MSG_TRUNC));
		say("%.6s", b);
		RET(recv(s[0], b, 6, 0));
		say("%.6s", b);
		close(s[0]);
		close(s[1]);
	}
}
