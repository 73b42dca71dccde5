/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Connections of a guest to the outside: what the rules let through, and the
 * life of such a socket.  The machine is a fake one.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/options.h"
#include "linux/sys_files.h"
#include "obj.h"
#include "file_fake.h"

#define U(p)	((uint64_t)(uintptr_t)(p))

static struct tkvm_options opt;
static struct machine *m;
static char *rule[1];
static int srv;				/* a listener on the host's loopback */
static struct sockaddr_in addr;

static int
setup(void **state)
{
	socklen_t len = sizeof addr;

	(void)state;
	m = calloc(1, sizeof *m);
	assert_non_null(m);
	INIT_OBJ(&opt, OPTIONS_MAGIC);
	opt.verbose = 1;
	m->magic = MACHINE_MAGIC;
	m->opt = &opt;
	m->gk = mmap(NULL, sizeof *m->gk, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(m->gk, MAP_FAILED);
	gk_init(m->gk);
	(void)memset(&addr, 0, sizeof addr);
	addr.sin_family = AF_INET;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	srv = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(srv >= 0);
	assert_int_equal(bind(srv, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(srv, 5), 0);
	assert_int_equal(getsockname(srv, (struct sockaddr *)&addr, &len), 0);
	return (0);
}

static int
teardown(void **state)
{
	struct gk_ctx c;
	unsigned u;

	(void)state;
	machine_gk_ctx(m, NULL, &c);
	for (u = 0; u < GK_NFD; u++)
		(void)gk_fd_close(&c, u);
	files_fini(m);
	(void)munmap(m->gk, sizeof *m->gk);
	free(m);
	free(rule[0]);
	rule[0] = NULL;
	(void)close(srv);
	return (0);
}

static void
allow(const char *fmt, unsigned port)
{
	char buf[100];

	(void)snprintf(buf, sizeof buf, fmt, port);
	rule[0] = strdup(buf);
	assert_non_null(rule[0]);
	opt.allow_connect.rule.v = rule;
	opt.allow_connect.rule.n = 1;
}

/* As the dispatcher does it: the in-memory kernel first */
static int64_t
call(sys_f *f, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
    uint64_t a3, uint64_t a4, uint64_t a5)
{
	const uint64_t a[6] = { a0, a1, a2, a3, a4, a5 };
	struct gk_ctx c;
	int64_t r;

	machine_gk_ctx(m, NULL, &c);
	r = gk_syscall(&c, nr, a);
	if (r == GK_NOTMINE)
		r = f(m, &m->thread[0], a);
	return (r);
}

static int64_t
g_socket(int domain, int type)
{

	return (call(sys_socket, 41, (uint64_t)domain, (uint64_t)type, 0, 0,
	    0, 0));
}

static int64_t
g_connect(int64_t fd, const void *sa, size_t len)
{

	return (call(sys_connect, 42, (uint64_t)fd, U(sa), len, 0, 0, 0));
}

/* Connect as a blocking call is made again until it is through */
static int64_t
g_connect_wait(int64_t fd, const void *sa, size_t len)
{
	int64_t r;
	unsigned n;

	r = g_connect(fd, sa, len);
	for (n = 0; n < 1000 && r == SYS_BLOCK; n++) {
		m->thread[0].restart = 1;
		(void)usleep(1000);
		r = g_connect(fd, sa, len);
	}
	m->thread[0].restart = 0;
	return (r);
}

/* ---- rules ------------------------------------------------------------------------ */

static void
test_denied(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX,
	    .sun_path = "/run/x" };
	struct sockaddr_in other = addr;
	unsigned n = nlog;
	int64_t fd;

	(void)state;
	fd = g_socket(AF_INET, SOCK_STREAM);
	assert_true(fd >= 0);
	assert_int_equal(g_connect(fd, &addr, sizeof addr), -EACCES);
	assert_int_equal(g_connect(fd, &addr, sizeof addr), -EACCES);
	assert_int_equal(nlog, n + 1);
	fd = g_socket(AF_INET, SOCK_DGRAM);
	assert_true(fd >= 0);
	other.sin_addr.s_addr = htonl(0xc0000201);
	assert_int_equal(g_connect(fd, &other, sizeof other), -ENETUNREACH);
	assert_int_equal(call(sys_sendto, 44, (uint64_t)fd, U("x"), 1, 0,
	    U(&other), sizeof other), -ENETUNREACH);
	/* This may be its own, where nobody is. */
	assert_int_equal(call(sys_sendto, 44, (uint64_t)fd, U("x"), 1, 0,
	    U(&addr), sizeof addr), 1);
	assert_int_equal(g_socket(AF_PACKET, SOCK_RAW), -EAFNOSUPPORT);
	assert_int_equal(g_socket(AF_INET, SOCK_RAW), -EPERM);
	fd = g_socket(AF_UNIX, SOCK_STREAM);
	assert_int_equal(g_connect(fd, &un, sizeof un), -EACCES);
	assert_int_equal(g_connect(99, &addr, sizeof addr), -EBADF);
}

/* The rule, and addresses that are the same host or another */
static void
allowed(const char *fmt, int want, int family, const char *ip)
{
	struct sockaddr_in6 sa6 = { .sin6_family = AF_INET6,
	    .sin6_port = addr.sin_port };
	struct sockaddr_in sa = addr;
	int64_t fd, r;

	free(rule[0]);
	allow(fmt, ntohs(addr.sin_port));
	if (m->fs != NULL)
		fs_unref(&m->fs);
	fd = g_socket(family, SOCK_STREAM);
	assert_true(fd >= 0);
	if (family == AF_INET6) {
		assert_int_equal(inet_pton(family, ip, &sa6.sin6_addr), 1);
		r = g_connect_wait(fd, &sa6, sizeof sa6);
	} else {
		assert_int_equal(inet_pton(family, ip, &sa.sin_addr), 1);
		r = g_connect_wait(fd, &sa, sizeof sa);
	}
	/* Through the rules is enough: nobody may be there, or no IPv6. */
	if ((r != -EACCES) != want)
		fail_msg("%s, %s: %ld", rule[0], ip, (long)r);
}

static void
test_rules(void **state)
{

	(void)state;
	allowed("127.0.0.1:%u", 1, AF_INET, "127.0.0.1");
	allowed("127.0.0.1:%u", 0, AF_INET, "127.0.0.2");
	allowed("127.0.0.1:1%.0u", 0, AF_INET, "127.0.0.1");
	allowed("127.0.0.1", 1, AF_INET, "127.0.0.1");
	allowed("127.0.0.2:%u", 0, AF_INET, "127.0.0.1");
	allowed(":%u", 1, AF_INET, "127.0.0.1");
	allowed(":%u", 1, AF_INET6, "::1");
	allowed(":1%.0u", 0, AF_INET6, "::1");
	allowed("localhost:%u", 1, AF_INET, "127.0.0.1");
	allowed("localhost:%u", 0, AF_INET, "127.0.0.2");
	allowed("no-such-host.invalid:%u", 0, AF_INET, "127.0.0.1");
	/* one and the same host */
	allowed("127.0.0.1:%u", 1, AF_INET6, "::ffff:127.0.0.1");
	allowed("127.0.0.2:%u", 0, AF_INET6, "::ffff:127.0.0.1");
	allowed("127.0.0.1:%u", 0, AF_INET6, "::1");
	allowed("[::1]:%u", 0, AF_INET6, "::ffff:127.0.0.1");
	/* "any" means this host, so it is judged as such */
	allowed("127.0.0.1:%u", 1, AF_INET, "0.0.0.0");
	allowed("10.0.0.1:%u", 0, AF_INET, "0.0.0.0");
	allowed("10.0.0.1:%u", 0, AF_INET6, "::");
	allowed("10.0.0.1:%u", 0, AF_INET6, "::ffff:0.0.0.0");
}

/* ---- a connection --------------------------------------------------------------------- */

static int64_t
g_recv(int64_t fd, void *p, size_t n, int fl)
{

	return (call(sys_recvfrom, 45, (uint64_t)fd, U(p), n, (uint64_t)fl, 0,
	    0));
}

static int64_t
g_send(int64_t fd, const void *p, size_t n, int fl)
{

	return (call(sys_sendto, 44, (uint64_t)fd, U(p), n, (uint64_t)fl, 0,
	    0));
}

static void
test_stream(void **state)
{
	struct sockaddr_in sa;
	uint32_t len = sizeof sa;
	char buf[32];
	int64_t fd;
	int c, on = 0;

	(void)state;
	allow("127.0.0.1:%u", ntohs(addr.sin_port));
	fd = g_socket(AF_INET, SOCK_STREAM);
	assert_int_equal(g_connect_wait(fd, &addr, sizeof addr), 0);
	c = accept(srv, NULL, NULL);
	assert_true(c >= 0);
	/* nothing there: wait, or say so */
	assert_int_equal(g_recv(fd, buf, 1, MSG_DONTWAIT), -EAGAIN);
	nwait = 0;
	assert_int_equal(g_recv(fd, buf, 1, 0), SYS_BLOCK);
	assert_int_equal(nwait, 1);
	assert_int_equal(write(c, "hello", 5), 5);
	assert_int_equal(g_recv(fd, buf, 4, MSG_PEEK), 4);
	assert_int_equal(g_recv(fd, buf, sizeof buf, 0), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(g_send(fd, "answer", 6, MSG_NOSIGNAL), 6);
	assert_int_equal(call(sys_write, 1, (uint64_t)fd, U("+"), 1, 0, 0,
	    0), 1);
	assert_int_equal(read(c, buf, sizeof buf), 7);
	/* names and options */
	assert_int_equal(call(sys_getpeername, 52, (uint64_t)fd, U(&sa),
	    U(&len), 0, 0, 0), 0);
	assert_int_equal(sa.sin_port, addr.sin_port);
	len = sizeof on;
	assert_int_equal(call(sys_getsockopt, 55, (uint64_t)fd, IPPROTO_TCP,
	    TCP_NODELAY, U(&on), U(&len), 0), 0);
	assert_int_equal(on, 1);
	assert_int_equal(call(sys_setsockopt, 54, (uint64_t)fd, SOL_SOCKET,
	    SO_BINDTODEVICE, U("lo"), 3, 0), -ENOPROTOOPT);
	/* no way round the rules */
	assert_int_equal(g_send(fd, "x", 1, MSG_FASTOPEN), -EOPNOTSUPP);
	assert_int_equal(g_connect(fd, &addr, sizeof addr), -EISCONN);
	/* the end */
	assert_int_equal(call(sys_shutdown, 48, (uint64_t)fd, SHUT_WR, 0, 0,
	    0, 0), 0);
	assert_int_equal(read(c, buf, sizeof buf), 0);
	(void)close(c);
	assert_int_equal(g_recv(fd, buf, sizeof buf, 0), 0);
	assert_int_equal(g_send(fd, "x", 1, MSG_NOSIGNAL), -EPIPE);
}

static void
test_nonblock(void **state)
{
	struct gk_ctx ctx;
	int64_t fd, r;
	uint32_t idx = 0;

	(void)state;
	allow("127.0.0.1:%u", ntohs(addr.sin_port));
	fd = g_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	r = g_connect(fd, &addr, sizeof addr);
	assert_true(r == 0 || r == -EINPROGRESS);
	machine_gk_ctx(m, NULL, &ctx);
	assert_non_null(gk_fd_get(m->gk, (uint64_t)fd, &idx));
	(void)usleep(10000);
	assert_true(gk_ofd_poll(&ctx, idx, POLLOUT) & POLLOUT);
	/* refused: the error comes, and the socket is the guest's still */
	(void)close(srv);
	fd = g_socket(AF_INET, SOCK_STREAM);
	assert_int_equal(g_connect_wait(fd, &addr, sizeof addr),
	    -ECONNREFUSED);
	srv = socket(AF_INET, SOCK_STREAM, 0);
}

static void
test_frozen(void **state)
{
	char buf[4];
	int64_t fd;
	int err = 0;
	uint32_t len = sizeof err;

	(void)state;
	allow("127.0.0.1:%u", ntohs(addr.sin_port));
	fd = g_socket(AF_INET, SOCK_STREAM);
	assert_int_equal(g_connect_wait(fd, &addr, sizeof addr), 0);
	assert_int_equal(files_freeze(m), 1);
	assert_int_equal(g_recv(fd, buf, 1, 0), -ECONNRESET);
	assert_int_equal(g_send(fd, buf, 1, 0), -EPIPE);
	assert_int_equal(call(sys_getsockopt, 55, (uint64_t)fd, SOL_SOCKET,
	    SO_ERROR, U(&err), U(&len), 0), 0);
	assert_int_equal(err, ECONNRESET);
	assert_int_equal(g_connect(fd, &addr, sizeof addr), -ECONNRESET);
}

static void
test_datagram(void **state)
{
	struct sockaddr_in to, from;
	struct iovec iov[2];
	struct mmsghdr mm[2];
	socklen_t len = sizeof to;
	char buf[64];
	int64_t fd;
	int s;

	(void)state;
	s = socket(AF_INET, SOCK_DGRAM, 0);
	to = addr;
	to.sin_port = 0;
	assert_int_equal(bind(s, (struct sockaddr *)&to, sizeof to), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&to, &len), 0);
	allow("127.0.0.1:%u", ntohs(to.sin_port));
	fd = g_socket(AF_INET, SOCK_DGRAM);
	assert_true(fd >= 0);
	assert_int_equal(call(sys_sendto, 44, (uint64_t)fd, U("dgram"), 5, 0,
	    U(&to), sizeof to), 5);
	len = sizeof from;
	assert_int_equal(recvfrom(s, buf, sizeof buf, 0,
	    (struct sockaddr *)&from, &len), 5);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(sendto(s, "ok", 2, 0, (struct sockaddr *)&from,
	    sizeof from), 2);
	len = sizeof from;
	assert_int_equal(call(sys_recvfrom, 45, (uint64_t)fd, U(buf), 64, 0,
	    U(&from), U(&len)), 2);
	assert_int_equal(from.sin_port, to.sin_port);
	/* elsewhere */
	from = to;
	from.sin_port = htons((uint16_t)(ntohs(to.sin_port) ^ 1));
	assert_int_equal(call(sys_sendto, 44, (uint64_t)fd, U("x"), 1, 0,
	    U(&from), sizeof from), -ENETUNREACH);
	from = to;
	from.sin_family = AF_UNSPEC;
	assert_int_equal(call(sys_sendto, 44, (uint64_t)fd, U("x"), 1, 0,
	    U(&from), sizeof from), -ENETUNREACH);
	assert_int_equal(call(sys_bind, 49, (uint64_t)fd, U(&to), sizeof to,
	    0, 0, 0), -EACCES);
	/* several at once, one in pieces */
	assert_int_equal(g_connect(fd, &to, sizeof to), 0);
	(void)memset(mm, 0, sizeof mm);
	iov[0].iov_base = (void *)(uintptr_t)"abc";
	iov[0].iov_len = 3;
	iov[1].iov_base = (void *)(uintptr_t)"defg";
	iov[1].iov_len = 4;
	mm[0].msg_hdr.msg_iov = iov;
	mm[0].msg_hdr.msg_iovlen = 2;
	mm[1].msg_hdr.msg_iov = iov;
	mm[1].msg_hdr.msg_iovlen = 1;
	assert_int_equal(call(sys_sendmmsg, 307, (uint64_t)fd, U(mm), 2, 0, 0,
	    0), 2);
	assert_int_equal(mm[0].msg_len, 7);
	assert_int_equal(recv(s, buf, sizeof buf, 0), 7);
	assert_memory_equal(buf, "abcdefg", 7);
	assert_int_equal(recv(s, buf, sizeof buf, 0), 3);
	(void)close(s);
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_denied), T(test_rules), T(test_stream),
		T(test_nonblock), T(test_frozen), T(test_datagram),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
