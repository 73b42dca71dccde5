/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Unit tests of the in-memory kernel (guest/gk_*.c): each family of system
 * calls against what the man pages say, then random tables and random calls.
 *
 * User memory is an array with unmapped pages in it.  Must never need a VM.
 */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gk.h"
#include "gk_abi.h"

#define UBASE		0x10000UL
#define USIZE		(2UL << 20)
#define PAGE		4096UL
#define HOLE		(UBASE + 64 * PAGE)	/* one page is missing */

#define SEC		1000000000ULL
#define MS		1000000ULL

static struct gk *gk;
static struct gk_ctx ctx;
static uint8_t *umem;

static uint32_t host_ready, host_released;

/* ---- the fake machine --------------------------------------------------- */

static uint8_t *
u(uint64_t ua)
{

	return (umem + (ua - UBASE));
}

static int
u_ok(uint64_t ua, size_t len)
{

	if (ua < UBASE || ua > UBASE + USIZE || len > UBASE + USIZE - ua)
		return (0);
	return (len == 0 || ua + len <= HOLE || ua >= HOLE + PAGE);
}

int
gk_copyin(struct gk_ctx *c, void *dst, uint64_t ua, size_t len)
{

	(void)c;
	if (!u_ok(ua, len))
		return (-EFAULT);
	memcpy(dst, u(ua), len);
	return (0);
}

int
gk_copyout(struct gk_ctx *c, uint64_t ua, const void *src, size_t len)
{

	(void)c;
	if (!u_ok(ua, len))
		return (-EFAULT);
	memcpy(u(ua), src, len);
	return (0);
}

static void
t_mark(struct gk_ctx *c, const void *p, size_t len)
{
	const uint8_t *b = p, *lo = gk->buf[0];

	(void)c;
	assert_true(b >= lo && b + len <= lo + sizeof(gk->buf));
}

static uint32_t
t_host_poll(struct gk_ctx *c, uint32_t idx, uint32_t ev)
{

	(void)c;
	(void)ev;
	return (idx == 99 ? GK_POLL_FILE | GKA_EPOLLIN : host_ready);
}

static void
t_host_release(struct gk_ctx *c, uint32_t idx)
{

	(void)c;
	(void)idx;
	host_released++;
}

static int
setup(void **state)
{

	(void)state;
	gk = aligned_alloc(4096, sizeof(*gk));
	umem = calloc(1, USIZE);
	if (gk == NULL || umem == NULL)
		return (1);
	/* The buffers stay as they are: nobody reads what was not written. */
	memset(gk, 0, offsetof(struct gk, buf));
	memset(&ctx, 0, sizeof(ctx));
	ctx.gk = gk;
	ctx.now_mono = 1000 * SEC;
	ctx.now_real = 1700000000 * SEC;
	ctx.mark = t_mark;
	ctx.host_poll = t_host_poll;
	ctx.host_release = t_host_release;
	ctx.pid = 42;
	host_ready = host_released = 0;
	gk_init(gk);
	return (0);
}

static int
teardown(void **state)
{

	(void)state;
	free(gk);
	free(umem);
	return (0);
}

static int64_t
sys(uint64_t nr, const uint64_t *a)
{

	ctx.restart = 0;
	return (gk_syscall(&ctx, nr, a));
}

static int64_t
again(uint64_t nr, const uint64_t *a)
{

	ctx.restart = 1;
	return (gk_syscall(&ctx, nr, a));
}

#define ARGS(...)	((const uint64_t[6]){ __VA_ARGS__ })
#define S(nr, ...)	sys(GKA_SYS_##nr, ARGS(__VA_ARGS__))
#define R(nr, ...)	again(GKA_SYS_##nr, ARGS(__VA_ARGS__))
#define EQ(x, y)	assert_int_equal((int64_t)(x), (int64_t)(y))

/* Places in user memory */
#define BUF		(UBASE + 0x1000)
#define OUT		(UBASE + 0x80000)
#define IOV		(UBASE + 0x2000)
#define MSG		(UBASE + 0x3000)
#define EVS		(UBASE + 0x4000)
#define SA		(UBASE + 0x5000)
#define LEN		(UBASE + 0x6000)
#define FDS		(UBASE + 0x7000)
#define TS		(UBASE + 0x8000)
#define BIG		(UBASE + 0x90000)	/* a mebibyte from here */

static uint32_t
u32(uint64_t ua)
{
	uint32_t v;

	memcpy(&v, u(ua), 4);
	return (v);
}

static uint64_t
u64(uint64_t ua)
{
	uint64_t v;

	memcpy(&v, u(ua), 8);
	return (v);
}

static void
w32(uint64_t ua, uint32_t v)
{

	memcpy(u(ua), &v, 4);
}

static void
w64(uint64_t ua, uint64_t v)
{

	memcpy(u(ua), &v, 8);
}

static void
iov(unsigned i, uint64_t base, uint64_t len)
{

	w64(IOV + 16 * i, base);
	w64(IOV + 16 * i + 8, len);
}

static uint64_t
sin4(uint32_t ip, unsigned port)
{

	memset(u(SA), 0, 16);
	*u(SA) = GKA_AF_INET;
	u(SA)[2] = (uint8_t)(port >> 8);
	u(SA)[3] = (uint8_t)port;
	w32(SA + 4, __builtin_bswap32(ip));
	return (SA);
}

static unsigned
sa_port(void)
{

	return (u(SA)[2] << 8 | u(SA)[3]);
}

static int
listener(unsigned port, int nb)
{
	int fd;

	fd = (int)S(socket, GKA_AF_INET,
	    GKA_SOCK_STREAM | (nb ? GKA_SOCK_NONBLOCK : 0));
	EQ(S(bind, fd, sin4(0, port), 16), 0);
	EQ(S(listen, fd, 128), 0);
	return (fd);
}

static uint32_t
ofd_of(int fd)
{
	uint32_t o = GK_NOFD;

	assert_non_null(gk_fd_get(gk, (uint64_t)fd, &o));
	return (o);
}

/* A connection: its descriptor; *c is the VMM's name for it. */
static int
conn(int lfd, int *c, uint32_t id, int nb)
{
	int fd;

	*c = gk_conn_open(&ctx, ofd_of(lfd), id, NULL, 0);
	assert_true(*c >= 0);
	fd = (int)S(accept4, lfd, 0, 0, nb ? GKA_SOCK_NONBLOCK : 0);
	assert_true(fd >= 0);
	return (fd);
}

static void
pair(int type, int fd[2])
{

	EQ(S(socketpair, GKA_AF_UNIX, type, 0, FDS), 0);
	memcpy(fd, u(FDS), 8);
}

static void
mkpipe(unsigned flags, int fd[2])
{

	EQ(S(pipe2, FDS, flags), 0);
	memcpy(fd, u(FDS), 8);
}

static void
pattern(uint8_t *p, size_t n, unsigned seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)((i * 7 + seed) ^ (i >> 8));
}

static int64_t
ectl(int ep, int op, int fd, uint32_t ev, uint64_t data)
{

	w32(EVS + 0x800, ev);
	w64(EVS + 0x804, data);
	return (S(epoll_ctl, ep, op, fd, EVS + 0x800));
}

#define EADD(ep, fd, ev)	EQ(ectl(ep, GKA_EPOLL_CTL_ADD, fd, ev, fd), 0)
#define EMOD(ep, fd, ev)	EQ(ectl(ep, GKA_EPOLL_CTL_MOD, fd, ev, fd), 0)
#define EWAIT(ep)		S(epoll_wait, ep, EVS, 16, 0)
#define EV(i)			u32(EVS + 12 * (i))
#define EDATA(i)		u64(EVS + 12 * (i) + 4)

static unsigned
revents(int fd, unsigned events)
{

	w32(FDS, (uint32_t)fd);
	w32(FDS + 4, events);
	(void)S(poll, FDS, 1, 0);
	return (u32(FDS + 4) >> 16);
}

/* ---- descriptors -------------------------------------------------------- */

static void
t_fds(void **state)
{
	int p[2], fd;

	(void)state;
	EQ(S(close, 0), -EBADF);
	EQ(S(close, -1), -EBADF);
	EQ(S(read, 5, BUF, 1), -EBADF);
	mkpipe(0, p);
	EQ(p[0], 0);
	EQ(p[1], 1);
	EQ(S(dup, 0), 2);
	EQ(S(dup, 7), -EBADF);
	EQ(S(dup2, 0, 10), 10);
	EQ(S(dup2, 0, 0), 0);
	EQ(S(dup2, 9, 9), -EBADF);
	EQ(S(dup2, 0, GK_NFD), -EBADF);
	EQ(S(dup3, 0, 0, 0), -EINVAL);
	EQ(S(dup3, 0, 11, 1), -EINVAL);
	EQ(S(dup3, 0, 11, GKA_O_CLOEXEC), 11);
	EQ(S(fcntl, 11, GKA_F_GETFD), 1);
	EQ(S(fcntl, 10, GKA_F_GETFD), 0);
	EQ(S(fcntl, 10, GKA_F_SETFD, 1), 0);
	EQ(S(fcntl, 10, GKA_F_GETFD), 1);
	EQ(S(fcntl, 0, GKA_F_DUPFD, 5), 5);
	EQ(S(fcntl, 0, GKA_F_DUPFD_CLOEXEC, 5), 6);
	EQ(S(fcntl, 6, GKA_F_GETFD), 1);
	EQ(S(fcntl, 0, GKA_F_DUPFD, GK_NFD), -EINVAL);
	EQ(S(fcntl, 0, GKA_F_DUPFD, -1), -EINVAL);
	EQ(S(fcntl, 0, 12345), -EINVAL);
	EQ(S(fcntl, 77, GKA_F_GETFD), -EBADF);
	EQ(S(fcntl, 0, GKA_F_GETFL), GKA_O_RDONLY);
	EQ(S(fcntl, 1, GKA_F_GETFL), GKA_O_WRONLY);
	EQ(S(fcntl, 1, GKA_F_SETFL, GKA_O_NONBLOCK | GKA_O_RDWR), 0);
	EQ(S(fcntl, 1, GKA_F_GETFL), GKA_O_WRONLY | GKA_O_NONBLOCK);
	w32(BUF, 0);
	EQ(S(ioctl, 1, GKA_FIONBIO, BUF), 0);
	EQ(S(fcntl, 1, GKA_F_GETFL), GKA_O_WRONLY);
	EQ(S(ioctl, 1, GKA_FIONBIO, 0), -EFAULT);
	EQ(S(ioctl, 1, GKA_FIOCLEX), 0);
	EQ(S(fcntl, 1, GKA_F_GETFD), 1);
	EQ(S(ioctl, 1, GKA_FIONCLEX), 0);
	EQ(S(ioctl, 1, 0x5401), -ENOTTY);
	EQ(S(lseek, 0, 0, 0), -ESPIPE);
	EQ(S(pread64, 0, BUF, 1, 0), -ESPIPE);
	EQ(S(pwritev, 1, IOV, 1, 0), -ESPIPE);
	EQ(S(close_range, 5, 4, 0), -EINVAL);
	EQ(S(close_range, 5, 6, 1), -EINVAL);
	EQ(S(close_range, 5, ~0U, GKA_CLOSE_RANGE_CLOEXEC), 0);
	EQ(S(fcntl, 5, GKA_F_GETFD), 1);
	EQ(S(close_range, 5, ~0U, 0), 0);
	EQ(S(fcntl, 10, GKA_F_GETFD), -EBADF);
	EQ(gk->hi_fd, 12);
	EQ(gk->hi_ofd, 2);
	/* The table runs full. */
	for (fd = 3; fd < GK_NFD; fd++)
		EQ(S(dup, 0), fd);
	EQ(S(dup, 0), -EMFILE);
	EQ(S(eventfd, 0), -EMFILE);
	EQ(S(socket, 2, 1), -EMFILE);
	EQ(S(pipe, FDS), -EMFILE);
	EQ(S(close_range, 0, GK_NFD, 0), 0);
	EQ(gk->hi_fd, GK_NFD);
	EQ(gk->buf_used[0] | gk->buf_used[1], 0);
	EQ(gk_syscall(&ctx, 9999, ARGS(0)), GK_NOTMINE);
	EQ(S(dup, 0), -EBADF);
}

static void
t_host(void **state)
{
	int fd, ep;

	(void)state;
	fd = gk_host_open(gk, 7, GKA_O_RDWR | GKA_O_APPEND, 1);
	EQ(fd, 0);
	EQ(S(read, fd, BUF, 1), GK_NOTMINE);
	EQ(S(writev, fd, IOV, 1), GK_NOTMINE);
	EQ(S(lseek, fd, 0, 0), GK_NOTMINE);
	EQ(S(sendto, fd, BUF, 1), GK_NOTMINE);
	EQ(S(setsockopt, fd, 1, 2, BUF, 4), GK_NOTMINE);
	EQ(S(ioctl, fd, GKA_FIONREAD, BUF), GK_NOTMINE);
	EQ(S(fcntl, fd, GKA_F_GETPIPE_SZ), GK_NOTMINE);
	EQ(S(fcntl, fd, GKA_F_GETFD), 1);
	EQ(S(fcntl, fd, GKA_F_SETFL, GKA_O_NONBLOCK), 0);
	EQ(S(fcntl, fd, GKA_F_GETFL), GKA_O_RDWR | GKA_O_NONBLOCK);
	host_ready = GKA_EPOLLIN | GKA_EPOLLOUT;
	EQ(revents(fd, GKA_EPOLLIN), GKA_EPOLLIN);
	ep = (int)S(epoll_create1, 0);
	EADD(ep, fd, GKA_EPOLLIN);
	EQ(EWAIT(ep), 1);
	/* An edge is what the VMM says it is. */
	EMOD(ep, fd, GKA_EPOLLIN | GKA_EPOLLET);
	EQ(EWAIT(ep), 1);
	EQ(EWAIT(ep), 0);
	gk_ofd_event(gk, ofd_of(fd), GKA_EPOLLIN);
	EQ(EWAIT(ep), 1);
	EQ(EWAIT(ep), 0);
	EQ(gk_host_open(gk, 99, 0, 0), 2);
	EQ(ectl(ep, GKA_EPOLL_CTL_ADD, 2, 1, 0), -EPERM);
	/* In the blob */
	ctx.host_poll = NULL;
	ctx.host_release = NULL;
	EQ(EWAIT(ep), GK_NOTMINE);
	EADD(ep, S(eventfd, 1), GKA_EPOLLIN);
	EQ(EWAIT(ep), GK_NOTMINE);
	EQ(ectl(ep, GKA_EPOLL_CTL_DEL, 0, 0, 0), GK_NOTMINE);
	/* What came before it is reported first, it is the next one's. */
	ctx.host_poll = t_host_poll;
	EQ(ectl(ep, GKA_EPOLL_CTL_DEL, fd, 0, 0), 0);
	EADD(ep, fd, GKA_EPOLLIN);
	ctx.host_poll = NULL;
	EQ(EWAIT(ep), 1);
	EQ(EDATA(0), 3);
	EQ(EWAIT(ep), GK_NOTMINE);
	EQ(S(close, 3), 0);
	w32(FDS, (uint32_t)fd);
	w32(FDS + 4, 1);
	EQ(S(poll, FDS, 1, 0), GK_NOTMINE);
	w64(FDS, 1);
	EQ(S(select, 1, FDS, 0, 0, 0), GK_NOTMINE);
	EQ(S(close, fd), GK_NOTMINE);
	EQ(S(close_range, 0, 5), GK_NOTMINE);
	EQ(S(dup2, ep, fd), GK_NOTMINE);
	ctx.host_release = t_host_release;
	EQ(S(dup, fd), 3);
	EQ(S(close, fd), 0);
	EQ(host_released, 0);
	EQ(S(dup2, ep, 3), 3);
	EQ(host_released, 1);
}

/* ---- pipes -------------------------------------------------------------- */

static void
t_pipe(void **state)
{
	int p[2], i;

	(void)state;
	EQ(S(pipe, 8), -EFAULT);
	EQ(S(pipe2, FDS, GKA_O_APPEND), -EINVAL);
	mkpipe(GKA_O_NONBLOCK | GKA_O_CLOEXEC, p);
	EQ(S(fcntl, p[0], GKA_F_GETFD), 1);
	EQ(S(read, p[0], BUF, 10), -EAGAIN);
	EQ(S(read, p[0], BUF, 0), 0);
	EQ(S(read, p[1], BUF, 10), -EBADF);
	EQ(S(write, p[0], BUF, 10), -EBADF);
	EQ(S(write, p[1], BUF, -1), -EFAULT);
	EQ(S(write, p[1], BUF, 0), 0);
	EQ(revents(p[0], GKA_EPOLLIN), 0);
	EQ(revents(p[1], GKA_EPOLLOUT), GKA_EPOLLOUT);
	pattern(u(BUF), 100, 3);
	EQ(S(write, p[1], BUF, 100), 100);
	EQ(S(ioctl, p[0], GKA_FIONREAD, LEN), 0);
	EQ(u32(LEN), 100);
	EQ(S(ioctl, p[1], GKA_FIONREAD, LEN), 0);
	EQ(u32(LEN), 100);
	EQ(revents(p[0], GKA_EPOLLIN | GKA_EPOLLRDNORM),
	    GKA_EPOLLIN | GKA_EPOLLRDNORM);
	EQ(S(read, p[0], OUT, 60), 60);
	EQ(S(read, p[0], OUT + 60, 60), 40);
	assert_memory_equal(u(BUF), u(OUT), 100);
	EQ(gk->ofd[ofd_of(p[0])].u.pipe.ring.head, 0);
	/* Full: 64 KiB; a small write goes whole or not. */
	for (i = 0; i < 16; i++)
		EQ(S(write, p[1], BIG, 4000), 4000);
	EQ(S(write, p[1], BIG, 4000), -EAGAIN);
	EQ(revents(p[1], GKA_EPOLLOUT), 0);
	EQ(S(write, p[1], BIG, 5000), 1536);
	EQ(S(write, p[1], BIG, 5000), -EAGAIN);
	EQ(S(read, p[0], BIG, 4096), 4096);
	EQ(revents(p[1], GKA_EPOLLOUT), GKA_EPOLLOUT);
	EQ(S(fcntl, p[0], GKA_F_GETPIPE_SZ), GK_PIPESZ);
	EQ(S(fcntl, p[1], GKA_F_SETPIPE_SZ, 5000), -EBUSY);
	EQ(S(fcntl, p[1], GKA_F_SETPIPE_SZ, 100000), 131072);
	EQ(S(fcntl, p[0], GKA_F_GETPIPE_SZ), 131072);
	EQ(S(fcntl, p[1], GKA_F_SETPIPE_SZ, 1 << 20), -EPERM);
	/* Ends */
	EQ(S(close, p[1]), 0);
	EQ(revents(p[0], GKA_EPOLLIN), GKA_EPOLLIN | GKA_EPOLLHUP);
	EQ(S(read, p[0], BIG, 1 << 20), 65536 - 4096);
	EQ(S(read, p[0], BIG, 1), 0);
	EQ(revents(p[0], GKA_EPOLLIN), GKA_EPOLLHUP);
	EQ(S(close, p[0]), 0);
	mkpipe(0, p);
	EQ(S(close, p[0]), 0);
	EQ(S(write, p[1], BUF, 1), -EPIPE);
	EQ(ctx.sigpipe, 1);
	EQ(revents(p[1], GKA_EPOLLOUT), GKA_EPOLLOUT | GKA_EPOLLERR);
	EQ(ctx.sigpipe, 0);
	EQ(gk->buf_used[0], 0);
}

/* In the blob a call is done whole or passed on untouched. */
static void
t_blob(void **state)
{
	int p[2], s[2], l, c, fd;

	(void)state;
	mkpipe(0, p);
	pair(GKA_SOCK_STREAM, s);
	l = listener(80, 0);
	fd = conn(l, &c, 7, 0);
	EQ(S(write, s[0], BUF, 3), 3);
	ctx.host_poll = NULL;
	ctx.host_release = NULL;
	EQ(S(write, p[1], BIG, GK_PIPESZ + 1), GK_NOTMINE);
	EQ(S(write, p[1], BIG, GK_PIPESZ), GK_PIPESZ);
	EQ(S(recvfrom, s[1], OUT, 4, GKA_MSG_WAITALL), GK_NOTMINE);
	EQ(S(recvfrom, s[1], OUT, 3, GKA_MSG_WAITALL), 3);
	EQ(S(close, p[0]), 0);
	EQ(S(write, p[1], BUF, 1), GK_NOTMINE);
	EQ(S(timerfd_gettime, gk_host_open(gk, 3, 0, 0), OUT), -EINVAL);
	EQ(ctx.sigpipe, 0);
	/* What the VMM wants to know */
	EQ(ctx.news, 0);
	EQ(S(shutdown, fd, GKA_SHUT_WR), 0);
	EQ(ctx.news, 1);
	EQ(S(dup2, fd, 99), 99);
	EQ(S(close, fd), 0);
	EQ(ctx.news, 0);
	EQ(S(close, 99), 0);
	EQ(ctx.news, 1);
}

/* Nor may it drop a descriptor that only the VMM can close. */
static void
t_blob_queue(void **state)
{
	int l, c, h;

	(void)state;
	l = (int)S(socket, GKA_AF_UNIX, GKA_SOCK_STREAM);
	c = (int)S(socket, GKA_AF_UNIX, GKA_SOCK_STREAM);
	h = gk_host_open(gk, 3, 0, 0);
	memcpy(u(SA), "\001\000\000abc", 6);
	EQ(S(bind, l, SA, 6), 0);
	EQ(S(listen, l, 3), 0);
	EQ(S(connect, c, SA, 6), 0);
	iov(0, BUF, 4);
	memset(u(MSG), 0, 56);
	w64(MSG + 16, IOV);
	w64(MSG + 24, 1);
	w64(MSG + 32, OUT);
	w64(MSG + 40, 24);
	w64(OUT, 20);
	w32(OUT + 8, 1);
	w32(OUT + 12, GKA_SCM_RIGHTS);
	w32(OUT + 16, (uint32_t)h);
	EQ(S(sendmsg, c, MSG, 0), 4);
	EQ(S(close, h), 0);
	host_released = 0;
	ctx.host_release = NULL;
	EQ(S(close, l), GK_NOTMINE);
	EQ(S(shutdown, l, 2), GK_NOTMINE);
	EQ(S(dup2, c, l), GK_NOTMINE);
	ctx.host_release = t_host_release;
	EQ(S(close, l), 0);
	EQ(host_released, 1);
}

static void
t_progress(void **state)
{
	const uint64_t n = 300000;
	uint64_t got = 0, put = GK_PIPESZ;
	struct gk_ctx writer;
	uint32_t gen;
	int64_t m;
	int p[2], r;

	(void)state;
	mkpipe(0, p);
	pattern(u(BIG), n, 9);
	EQ(S(write, p[1], BIG, n), GK_BLOCK);
	EQ(ctx.progress, GK_PIPESZ);
	EQ(ctx.deadline, UINT64_MAX);
	EQ(R(write, p[1], BIG, n), GK_BLOCK);
	writer = ctx;
	while (got < n) {
		gen = gk->gen;
		m = S(read, p[0], OUT, 10007);
		assert_true(m > 0);
		assert_memory_equal(u(OUT), u(BIG) + got, (size_t)m);
		got += (uint64_t)m;
		if (put == n)
			continue;
		assert_true(gk->gen != gen);
		put = got + GK_PIPESZ < n ? got + GK_PIPESZ : n;
		ctx = writer;
		EQ(R(write, p[1], BIG, n), put == n ? (int64_t)n : GK_BLOCK);
		if (put < n)
			EQ(ctx.progress, put);
		writer = ctx;
	}
	EQ(got, n);
	/* The reader goes while the writer waits: part, and a signal. */
	EQ(S(write, p[1], BIG, n), GK_BLOCK);
	EQ(S(dup, p[0]), 2);
	ctx.progress = GK_PIPESZ;
	EQ(gk_fd_close(&ctx, 2), 0);
	EQ(gk_fd_close(&ctx, (uint64_t)p[0]), 0);
	EQ(R(write, p[1], BIG, n), GK_PIPESZ);
	EQ(ctx.sigpipe, 1);
	/* A vector goes on in the middle of an element. */
	mkpipe(0, p);
	for (r = 0; r < 20; r++)
		iov((unsigned)r, BIG + (unsigned)r * 5000, 5000);
	EQ(S(writev, p[1], IOV, 20), GK_BLOCK);
	EQ(ctx.progress, 65536);
	writer = ctx;
	EQ(S(read, p[0], OUT, 65536), 65536);
	assert_memory_equal(u(OUT), u(BIG), 65536);
	ctx = writer;
	EQ(R(writev, p[1], IOV, 20), 100000);
	EQ(S(read, p[0], OUT, 65536), 34464);
	assert_memory_equal(u(OUT), u(BIG) + 65536, 34464);
}

static void
t_fault(void **state)
{
	uint8_t back[200];
	int p[2];

	(void)state;
	mkpipe(GKA_O_NONBLOCK, p);
	pattern(u(HOLE - 100), 100, 1);
	EQ(S(write, p[1], HOLE - 100, 200), 100);
	EQ(S(write, p[1], HOLE, 10), -EFAULT);
	EQ(S(write, p[1], 0, 10), -EFAULT);
	EQ(S(read, p[0], HOLE, 10), -EFAULT);
	memcpy(back, u(HOLE - 100), 100);
	memset(u(HOLE - 100), 0, 100);
	EQ(S(read, p[0], HOLE - 30, 100), 30);
	assert_memory_equal(u(HOLE - 30), back, 30);
	EQ(S(read, p[0], BUF, 100), 70);
	assert_memory_equal(u(BUF), back + 30, 70);
	EQ(S(read, p[0], BUF, 100), -EAGAIN);
	/* Vectors: a fault in a later element keeps what went before. */
	iov(0, BUF, 10);
	iov(1, 0, 0);
	iov(2, HOLE - 5, 10);
	EQ(S(writev, p[1], IOV, 3), 15);
	iov(0, HOLE, 1);
	EQ(S(readv, p[0], IOV, 3), -EFAULT);
	EQ(S(readv, p[0], IOV + 16, 2), 5);
	EQ(S(readv, p[0], HOLE, 2), -EFAULT);
	EQ(S(writev, p[1], HOLE - 16, 2), -EFAULT);
	EQ(S(readv, p[0], IOV, 1025), -EINVAL);
	iov(0, BUF, 1ULL << 63);
	EQ(S(readv, p[0], IOV, 1), -EINVAL);
	EQ(S(readv, p[0], IOV, 0), 0);
	EQ(S(preadv2, p[0], IOV + 16, 1, 0, 0, 0), -ESPIPE);
	iov(0, BUF, 100);
	EQ(S(preadv2, p[0], IOV, 1, -1, 0, 0), 10);
	EQ(S(preadv2, p[0], IOV, 1, -1, 0, GKA_RWF_NOWAIT), -EAGAIN);
	EQ(S(preadv2, p[0], IOV, 1, -1, 0, 0x1000), -EOPNOTSUPP);
}

/* Rings wrap in the middle of an element, with many small elements. */
static void
t_wrap(void **state)
{
	const unsigned step = 50021;
	unsigned i, j, k;
	int s[2];

	(void)state;
	pair(GKA_SOCK_STREAM | GKA_SOCK_NONBLOCK, s);
	EQ(S(write, s[0], BIG, 1), 1);	/* never empty, so never reset */
	for (i = 0; i < 40; i++) {
		pattern(u(BIG), step, i);
		for (j = 0, k = 0; j < step; k++) {
			iov(k, BIG + j, k == 39 ? step - j : 1 + i * 31);
			j += k == 39 ? step - j : 1 + i * 31;
		}
		EQ(S(writev, s[0], IOV, k), step);
		if (i == 0) {
			EQ(S(read, s[1], OUT, 1), 1);
			continue;
		}
		EQ(S(read, s[1], OUT, step), step);
		pattern(u(BIG), step, i - 1);
		assert_memory_equal(u(OUT), u(BIG), step);
	}
	EQ(S(read, s[1], OUT, step + 1), step);
	EQ(gk->ofd[ofd_of(s[1])].u.conn.rx.head, 0);
}

/* ---- socketpair --------------------------------------------------------- */

static void
t_pair(void **state)
{
	int s[2];

	(void)state;
	EQ(S(socketpair, GKA_AF_INET, 1, 0, FDS), -EOPNOTSUPP);
	EQ(S(socketpair, 77, 1, 0, FDS), -EAFNOSUPPORT);
	EQ(S(socketpair, 1, 3, 0, FDS), -ESOCKTNOSUPPORT);
	EQ(S(socketpair, 1, 1, 7, FDS), -EPROTONOSUPPORT);
	EQ(S(socketpair, 1, 1, 0, 0), -EFAULT);
	EQ(S(socketpair, 1, 1 | 0x100000, 0, 0), -EINVAL);
	pair(GKA_SOCK_STREAM | GKA_SOCK_NONBLOCK, s);
	EQ(S(write, s[0], BUF, 5), 5);
	EQ(S(recvfrom, s[1], OUT, 9, GKA_MSG_PEEK), 5);
	EQ(S(recvfrom, s[1], OUT, 9), 5);
	EQ(S(recvfrom, s[1], OUT, 9), -EAGAIN);
	EQ(revents(s[0], GKA_EPOLLOUT | GKA_EPOLLIN), GKA_EPOLLOUT);
	EQ(S(shutdown, s[0], 3), -EINVAL);
	EQ(S(shutdown, s[0], GKA_SHUT_WR), 0);
	EQ(S(read, s[1], OUT, 9), 0);
	EQ(S(write, s[0], BUF, 1), -EPIPE);
	EQ(ctx.sigpipe, 1);
	EQ(S(sendto, s[0], BUF, 1, GKA_MSG_NOSIGNAL), -EPIPE);
	EQ(ctx.sigpipe, 0);
	EQ(revents(s[1], GKA_EPOLLRDHUP | GKA_EPOLLIN | GKA_EPOLLOUT),
	    GKA_EPOLLRDHUP | GKA_EPOLLIN | GKA_EPOLLOUT);
	EQ(S(write, s[1], BUF, 3), 3);
	EQ(S(sendto, s[1], BUF, 3, 0, SA, 16), -EISCONN);
	w32(LEN, 12);
	EQ(S(getsockopt, s[0], 1, GKA_SO_PEERCRED, OUT, LEN), 0);
	EQ(u32(OUT), 42);
	/* Closed with input unread: the peer sees a reset, once. */
	EQ(S(close, s[0]), 0);
	EQ(revents(s[1], GKA_EPOLLIN), GKA_EPOLLIN | GKA_EPOLLHUP |
	    GKA_EPOLLERR);
	EQ(S(read, s[1], OUT, 9), -ECONNRESET);
	EQ(S(read, s[1], OUT, 9), 0);
	EQ(S(write, s[1], OUT, 9), -EPIPE);
	EQ(S(close, s[1]), 0);
	EQ(gk->buf_used[0], 0);
}

static void
t_message(void **state)
{
	int s[2];
	uint64_t i;

	(void)state;
	pair(GKA_SOCK_SEQPACKET | GKA_SOCK_NONBLOCK, s);
	pattern(u(BUF), 100, 5);
	EQ(S(write, s[0], BUF, 10), 10);
	EQ(S(write, s[0], BUF + 10, 20), 20);
	EQ(S(ioctl, s[1], GKA_FIONREAD, LEN), 0);
	EQ(u32(LEN), 10);
	EQ(S(recvfrom, s[1], OUT, 5, GKA_MSG_PEEK), 5);
	EQ(S(recvfrom, s[1], OUT, 5, GKA_MSG_PEEK | GKA_MSG_TRUNC), 10);
	iov(0, OUT, 4);
	memset(u(MSG), 0, 56);
	w64(MSG + 16, IOV);
	w64(MSG + 24, 1);
	EQ(S(recvmsg, s[1], MSG, 0), 4);
	EQ(u32(MSG + 48), GKA_MSG_TRUNC);
	EQ(S(read, s[1], OUT, 100), 20);
	assert_memory_equal(u(OUT), u(BUF) + 10, 20);
	EQ(S(read, s[1], OUT, 100), -EAGAIN);
	EQ(S(write, s[0], BIG, GK_BUFSZ), -EMSGSIZE);
	/* A message fits whole or waits; all of them keep their borders. */
	for (i = 0; S(write, s[0], BIG, 9001) == 9001; i++)
		continue;
	EQ(i, GK_BUFSZ / 9005);
	for (; i > 0; i--)
		EQ(S(read, s[1], OUT, 65536), 9001);
	EQ(S(close, s[0]), 0);
	EQ(S(read, s[1], OUT, 10), 0);
	EQ(S(write, s[1], OUT, 10), -EPIPE);
	EQ(ctx.sigpipe, 0);
	pair(GKA_SOCK_DGRAM | GKA_SOCK_NONBLOCK, s);
	EQ(S(write, s[0], BUF, 0), 0);
	EQ(S(recvfrom, s[1], BUF, 10), 0);
	EQ(S(recvfrom, s[1], BUF, 10), -EAGAIN);
	EQ(S(write, s[0], HOLE - 5, 10), -EFAULT);
	EQ(S(recvfrom, s[1], BUF, 10), -EAGAIN);
	EQ(S(close, s[0]), 0);
	EQ(S(read, s[1], OUT, 10), -EAGAIN);
	EQ(S(write, s[1], OUT, 10), -ECONNREFUSED);
}

/* ---- sockets ------------------------------------------------------------ */

static void
t_bind(void **state)
{
	int a, b, c;

	(void)state;
	EQ(S(socket, 2, 3), GK_NOTMINE);
	EQ(S(socket, 2, GKA_SOCK_DGRAM, 6), -EPROTONOSUPPORT);
	EQ(S(socket, 16, 3), GK_NOTMINE);
	EQ(S(socket, 2, 1 | 0x100000), -EINVAL);
	EQ(S(socket, 2, 1, 17), -EPROTONOSUPPORT);
	a = (int)S(socket, 2, 1, 6);
	b = (int)S(socket, 2, 1 | GKA_SOCK_CLOEXEC);
	EQ(S(fcntl, b, GKA_F_GETFD), 1);
	EQ(S(fcntl, b, GKA_F_GETFL), GKA_O_RDWR);
	w32(LEN, 128);
	EQ(S(getsockname, a, SA, LEN), 0);
	EQ(u32(LEN), 16);
	EQ(u32(SA), GKA_AF_INET);
	EQ(S(getpeername, a, SA, LEN), -ENOTCONN);
	EQ(S(read, a, BUF, 1), -ENOTCONN);
	EQ(S(write, a, BUF, 1), -EPIPE);
	EQ(revents(a, GKA_EPOLLIN | GKA_EPOLLOUT),
	    GKA_EPOLLHUP | GKA_EPOLLOUT);
	EQ(S(connect, a, SA, 16), GK_NOTMINE);
	EQ(S(shutdown, a, 2), -ENOTCONN);
	EQ(S(accept, a, 0, 0), -EINVAL);
	EQ(S(bind, a, sin4(0, 80), 15), -EINVAL);
	EQ(S(bind, a, sin4(0, 80), 200), -EINVAL);
	EQ(S(bind, a, 0, 16), -EFAULT);
	u(sin4(0, 80))[0] = 10;
	EQ(S(bind, a, SA, 16), -EAFNOSUPPORT);
	EQ(S(bind, a, sin4(0, 80), 16), 0);
	EQ(S(bind, a, sin4(0, 81), 16), -EINVAL);
	EQ(S(bind, b, sin4(0x7f000001, 80), 16), -EADDRINUSE);
	EQ(S(bind, b, sin4(0x7f000001, 0), 16), 0);
	w32(LEN, 5);
	memset(u(SA), 0xee, 32);
	EQ(S(getsockname, b, SA, LEN), 0);
	EQ(u32(LEN), 16);
	EQ(sa_port(), 32768);
	EQ(u(SA)[5], 0xee);		/* cut off at 5 */
	w32(LEN, (uint32_t)-1);
	EQ(S(getsockname, b, SA, LEN), -EINVAL);
	/* SO_REUSEPORT on both, SO_REUSEADDR while nobody listens */
	w32(BUF, 1);
	c = (int)S(socket, 2, 1);
	EQ(S(setsockopt, c, 1, GKA_SO_REUSEADDR, BUF, 4), 0);
	EQ(S(bind, c, sin4(0, 80), 16), -EADDRINUSE);
	EQ(S(setsockopt, a, 1, GKA_SO_REUSEADDR, BUF, 4), 0);
	EQ(S(bind, c, sin4(0, 80), 16), 0);
	EQ(S(listen, a, 5), 0);
	EQ(S(listen, c, 5), -EADDRINUSE);
	EQ(S(setsockopt, a, 1, GKA_SO_REUSEPORT, BUF, 4), 0);
	EQ(S(setsockopt, c, 1, GKA_SO_REUSEPORT, BUF, 4), 0);
	EQ(S(listen, c, 5), 0);
	EQ(S(listen, c, 7), 0);
	EQ(S(connect, c, SA, 16), -EISCONN);
	EQ(S(read, c, BUF, 1), -ENOTCONN);
	EQ(S(ioctl, c, GKA_FIONREAD, BUF), -EINVAL);
	/* IPv6 any takes IPv4's port too, unless IPV6_V6ONLY. */
	b = (int)S(socket, 10, 1);
	memset(u(SA), 0, 28);
	u(SA)[0] = 10;
	u(SA)[3] = 80;
	EQ(S(bind, b, SA, 28), -EADDRINUSE);
	EQ(S(setsockopt, b, 41, GKA_IPV6_V6ONLY, BUF, 4), 0);
	EQ(S(bind, b, SA, 28), 0);
	EQ(S(setsockopt, b, 41, GKA_IPV6_V6ONLY, BUF, 4), -EINVAL);
	/* A listener that was not bound gets a port. */
	a = (int)S(socket, 2, 1);
	EQ(S(listen, a, 0), 0);
	w32(LEN, 16);
	EQ(S(getsockname, a, SA, LEN), 0);
	assert_true(sa_port() > 32768);
	/* shutdown ends listening. */
	EQ(S(shutdown, a, GKA_SHUT_RD), 0);
	EQ(S(accept, a, 0, 0), -EINVAL);
	EQ(S(bind, S(eventfd, 0), SA, 16), -ENOTSOCK);
}

static void
t_unix(void **state)
{
	int a, b;

	(void)state;
	a = (int)S(socket, 1, 1, 0);
	b = (int)S(socket, 1, 1, 1);
	memset(u(SA), 0, 110);
	u(SA)[0] = 1;
	memcpy(u(SA) + 2, "/tmp/x", 6);
	EQ(S(listen, a, 5), -EINVAL);
	EQ(S(read, a, BUF, 1), -EINVAL);
	EQ(S(write, a, BUF, 1), -ENOTCONN);
	EQ(S(bind, a, SA, 111), -EINVAL);
	EQ(S(bind, a, SA, 8), 0);
	EQ(S(bind, b, SA, 110), -EADDRINUSE);
	w32(LEN, 110);
	EQ(S(getsockname, a, SA, LEN), 0);
	EQ(u32(LEN), 9);
	EQ(S(bind, b, SA, 2), 0);	/* autobind */
	w32(LEN, 110);
	EQ(S(getsockname, b, SA, LEN), 0);
	EQ(u32(LEN), 8);
	EQ(S(listen, a, 5), 0);
	assert_true(gk_conn_open(&ctx, ofd_of(a), 1, NULL, 0) >= 0);
	w32(LEN, 110);
	EQ(S(accept, a, SA, LEN), 2);
	EQ(u32(LEN), 2);
	w32(LEN, 110);
	EQ(S(getsockname, 2, SA, LEN), 0);
	EQ(u32(LEN), 9);
	EQ(S(setsockopt, 2, 6, 1, SA, 4), -EOPNOTSUPP);
}

static void
t_sockopt(void **state)
{
	static const struct { int level, name; } opts[] = {
		{ 1, GKA_SO_KEEPALIVE }, { 1, GKA_SO_REUSEPORT },
		{ 1, GKA_SO_BROADCAST }, { 6, GKA_TCP_NODELAY },
		{ 6, GKA_TCP_CORK }, { 1, GKA_SO_OOBINLINE },
	};
	int l, c, fd;
	unsigned i;

	(void)state;
	l = listener(80, 0);
	w32(BUF, 1);
	for (i = 0; i < sizeof(opts) / sizeof(opts[0]); i++) {
		w32(LEN, 4);
		EQ(S(getsockopt, l, opts[i].level, opts[i].name, OUT, LEN), 0);
		EQ(u32(OUT), 0);
		EQ(S(setsockopt, l, opts[i].level, opts[i].name, BUF, 4), 0);
		EQ(S(getsockopt, l, opts[i].level, opts[i].name, OUT, LEN), 0);
		EQ(u32(OUT), 1);
	}
	fd = conn(l, &c, 1, 0);
	EQ(S(getsockopt, fd, 6, GKA_TCP_NODELAY, OUT, LEN), 0);
	EQ(u32(OUT), 1);		/* inherited */
#define GET(n, v) do {							\
	w32(LEN, 4);							\
	EQ(S(getsockopt, fd, 1, n, OUT, LEN), 0);			\
	EQ(u32(OUT), v);						\
} while (0)
	GET(GKA_SO_ERROR, 0);
	GET(GKA_SO_TYPE, 1);
	GET(GKA_SO_DOMAIN, 2);
	GET(GKA_SO_PROTOCOL, 6);
	GET(GKA_SO_ACCEPTCONN, 0);
	w32(BUF, 10000);
	EQ(S(setsockopt, fd, 1, GKA_SO_RCVBUF, BUF, 4), 0);
	GET(GKA_SO_RCVBUF, 20000);
	w32(BUF, 1);
	EQ(S(setsockopt, fd, 1, GKA_SO_SNDBUF, BUF, 4), 0);
	GET(GKA_SO_SNDBUF, 4608);
	w32(BUF, 1);
	w32(BUF + 4, 30);
	EQ(S(setsockopt, fd, 1, GKA_SO_LINGER, BUF, 8), 0);
	EQ(S(setsockopt, fd, 1, GKA_SO_LINGER, BUF, 7), -EINVAL);
	w32(LEN, 8);
	EQ(S(getsockopt, fd, 1, GKA_SO_LINGER, OUT, LEN), 0);
	EQ(u32(OUT + 4), 30);
	w32(LEN, 1000);
	EQ(S(getsockopt, fd, 6, GKA_TCP_INFO, OUT, LEN), 0);
	EQ(u32(LEN), GKA_TCP_INFO_SIZE);
	EQ(*u(OUT), 1);
	w32(LEN, 2);
	EQ(S(getsockopt, fd, 6, GKA_TCP_CONGESTION, OUT, LEN), 0);
	assert_memory_equal(u(OUT), "cu", 2);
	EQ(S(setsockopt, fd, 1, GKA_SO_RCVTIMEO, BUF, 16), 0);
	EQ(S(setsockopt, fd, 1, GKA_SO_RCVTIMEO, BUF, 8), -EINVAL);
	EQ(S(setsockopt, fd, 1, GKA_SO_KEEPALIVE, BUF, 3), -EINVAL);
	EQ(S(setsockopt, fd, 1, GKA_SO_KEEPALIVE, 0, 4), -EFAULT);
	EQ(S(setsockopt, fd, 1, GKA_SO_TYPE, BUF, 4), -ENOPROTOOPT);
	EQ(S(setsockopt, fd, 1, 9999, BUF, 4), -ENOPROTOOPT);
	EQ(S(setsockopt, fd, 41, GKA_IPV6_V6ONLY, BUF, 4), -ENOPROTOOPT);
	EQ(S(setsockopt, fd, 0, GKA_IP_TOS, BUF, 1), 0);
	EQ(S(setsockopt, fd, 6, GKA_TCP_KEEPIDLE, BUF, 4), 0);
	EQ(S(setsockopt, fd, 6, GKA_TCP_DEFER_ACCEPT, BUF, 4), 0);
	EQ(S(setsockopt, 99, 6, 1, BUF, 4), -EBADF);
	EQ(S(getsockopt, S(eventfd, 0), 1, 3, BUF, LEN), -ENOTSOCK);
	w32(LEN, (uint32_t)-4);
	EQ(S(getsockopt, fd, 1, 3, OUT, LEN), -EINVAL);
	EQ(S(getsockopt, fd, 1, 3, OUT, 0), -EFAULT);
	gk_conn_drop(&ctx, (uint32_t)c, 1);
	GET(GKA_SO_ERROR, ECONNRESET);
	GET(GKA_SO_ERROR, 0);
}

static void
t_accept(void **state)
{
	static const uint8_t peer[16] = { 2, 0, 0x12, 0x34, 10, 1, 2, 3 };
	int l, c, fd, i;

	(void)state;
	l = listener(80, 0);
	EQ(S(accept, l, 0, 0), GK_BLOCK);
	EQ(S(accept4, l, 0, 0, 1), -EINVAL);
	EQ(gk_waits_listener(&ctx, GKA_SYS_accept, ARGS(l)),
	    ofd_of(l) + 1);
	c = gk_conn_open(&ctx, ofd_of(l), 5, peer, sizeof(peer));
	assert_true(c > 0);
	EQ(revents(l, GKA_EPOLLIN), GKA_EPOLLIN);
	w32(LEN, 8);
	memset(u(SA), 0xee, 32);
	fd = (int)R(accept, l, SA, LEN);
	assert_true(fd > l);
	EQ(u32(LEN), 16);
	assert_memory_equal(u(SA), peer, 8);
	EQ(u(SA)[8], 0xee);
	EQ(S(fcntl, fd, GKA_F_GETFL), GKA_O_RDWR);
	w32(LEN, 16);
	EQ(S(getpeername, fd, SA, LEN), 0);
	assert_memory_equal(u(SA), peer, 16);
	EQ(S(getsockname, fd, SA, LEN), 0);
	EQ(u32(SA + 4), 0x0100007f);	/* never "any" */
	EQ(sa_port(), 80);
	/* A bad pointer loses the connection, as in Linux. */
	c = gk_conn_open(&ctx, ofd_of(l), 6, NULL, 0);
	EQ(S(accept, l, SA, 0), -EFAULT);
	EQ(gk->ofd[c].kind, GK_FREE);
	/* Queue full */
	EQ(S(fcntl, l, GKA_F_SETFL, GKA_O_NONBLOCK), 0);
	EQ(S(listen, l, 19), 0);
	for (i = 0; i < 20; i++)
		assert_true(gk_conn_open(&ctx, ofd_of(l), 10 + (uint32_t)i,
		    NULL, 0) > 0);
	EQ(gk_conn_open(&ctx, ofd_of(l), 99, NULL, 0), -EAGAIN);
	for (i = 0; i < 20; i++) {
		fd = (int)S(accept4, l, 0, 0,
		    GKA_SOCK_NONBLOCK | GKA_SOCK_CLOEXEC);
		EQ(gk->ofd[ofd_of(fd)].u.conn.id, 10 + i);
	}
	EQ(S(fcntl, fd, GKA_F_GETFL), GKA_O_RDWR | GKA_O_NONBLOCK);
	EQ(S(fcntl, fd, GKA_F_GETFD), 1);
	EQ(S(accept, l, 0, 0), -EAGAIN);
	EQ(S(listen, l, 0), 0);
	assert_true(gk_conn_open(&ctx, ofd_of(l), 50, NULL, 0) > 0);
	EQ(gk_conn_open(&ctx, ofd_of(l), 51, NULL, 0), -EAGAIN);
	/* No descriptor: the connection stays queued. */
	while (S(dup, l) >= 0)
		continue;
	EQ(S(accept, l, 0, 0), -EMFILE);
	EQ(S(close, 1000), 0);
	EQ(S(accept, l, 0, 0), 1000);
	EQ(gk_conn_open(&ctx, ofd_of(1000), 51, NULL, 0), -EINVAL);
	/* All goes: nothing is left behind. */
	EQ(gk_conn_open(&ctx, ofd_of(l), 52, NULL, 0) > 0, 1);
	EQ(S(close_range, 0, ~0U, 0), 0);
	EQ(gk->buf_used[0] | gk->buf_used[1], 0);
	for (i = 0; i < GK_NADDR; i++)
		EQ(gk->addr_used[i], 0);
	for (i = 0; i < GK_NOFD; i++)
		EQ(gk->ofd[i].kind, GK_FREE);
}

static void
t_peer6(void **state)
{
	static const uint8_t v4[16] = { 2, 0, 0x12, 0x34, 10, 1, 2, 3 };
	int l, fd;

	(void)state;
	l = (int)S(socket, 10, 1);
	EQ(S(listen, l, 5), 0);
	EQ(gk_conn_open(&ctx, ofd_of(l), 1, v4, 16), 1);
	w32(LEN, 28);
	fd = (int)S(accept, l, SA, LEN);
	EQ(u32(LEN), 28);
	EQ(u(SA)[18], 0xff);
	assert_memory_equal(u(SA) + 20, v4 + 4, 4);
	EQ(S(getsockname, fd, SA, LEN), 0);
	EQ(u(SA)[20], 127);
	memset(u(BUF), 0, 28);
	u(BUF)[0] = 10;
	u(BUF)[8] = 0xfe;
	EQ(gk_conn_open(&ctx, ofd_of(l), 2, u(BUF), 28), 2);
	fd = (int)S(accept, l, SA, LEN);
	assert_memory_equal(u(SA), u(BUF), 28);
	EQ(S(getsockname, fd, SA, LEN), 0);
	EQ(u(SA)[23], 1);
}

/* ---- connections -------------------------------------------------------- */

static void
t_conn(void **state)
{
	struct gk_conn_state st;
	uint8_t *big = malloc(GK_BUFSZ);
	int l, c, fd;

	(void)state;
	l = listener(80, 1);
	fd = conn(l, &c, 77, 0);
	EQ(S(read, fd, BUF, 100), GK_BLOCK);
	EQ(revents(fd, GKA_EPOLLIN | GKA_EPOLLOUT), GKA_EPOLLOUT);
	EQ(gk_conn_put(&ctx, (uint32_t)c, 78, "x", 1), 0);
	EQ(gk_conn_put(&ctx, (uint32_t)c, 77, "GET / HTTP", 10), 10);
	EQ(revents(fd, GKA_EPOLLIN), GKA_EPOLLIN);
	EQ(S(recvfrom, fd, OUT, 4, GKA_MSG_PEEK), 4);
	EQ(S(recvfrom, fd, OUT, 4, GKA_MSG_OOB), -EINVAL);
	EQ(S(recvfrom, fd, OUT, 4, GKA_MSG_ERRQUEUE), -EAGAIN);
	EQ(S(recvfrom, fd, OUT, 0, 0), 0);
	w32(LEN, 16);
	EQ(S(recvfrom, fd, OUT, 3, 0, SA, LEN), 3);
	EQ(u32(LEN), 0);
	EQ(S(recvfrom, fd, 0, 1, GKA_MSG_TRUNC), 1);
	/* MSG_WAITALL */
	EQ(S(recvfrom, fd, OUT, 10, GKA_MSG_WAITALL), GK_BLOCK);
	EQ(ctx.progress, 6);
	EQ(R(recvfrom, fd, OUT, 10, GKA_MSG_WAITALL), GK_BLOCK);
	EQ(gk_conn_put(&ctx, (uint32_t)c, 77, "abcdef", 6), 6);
	EQ(R(recvfrom, fd, OUT, 10, GKA_MSG_WAITALL), 10);
	assert_memory_equal(u(OUT), "/ HTTPabcd", 10);
	EQ(S(recvfrom, fd, OUT, 10, GKA_MSG_DONTWAIT), 2);
	EQ(S(recvfrom, fd, OUT, 10, GKA_MSG_DONTWAIT), -EAGAIN);
	/* The response */
	iov(0, BUF, 3);
	iov(1, BUF + 3, 4);
	memcpy(u(BUF), "HTTP/1.1", 8);
	memset(u(MSG), 0, 56);
	w64(MSG + 16, IOV);
	w64(MSG + 24, 2);
	EQ(S(sendmsg, fd, MSG, GKA_MSG_NOSIGNAL), 7);
	EQ(S(write, fd, BUF + 7, 1), 1);
	EQ(S(ioctl, fd, GKA_SIOCOUTQ, LEN), 0);
	EQ(u32(LEN), 8);
	w64(MSG + 24, 1025);
	EQ(S(sendmsg, fd, MSG, 0), -EMSGSIZE);
	EQ(S(sendmsg, fd, 0, 0), -EFAULT);
	EQ(S(sendto, fd, BUF, 1, GKA_MSG_OOB), -EOPNOTSUPP);
	gk_conn_state(&ctx, (uint32_t)c, 77, &st);
	EQ(st.out, 8);
	EQ(st.accepted, 1);
	EQ(st.closed | st.gone | st.wr_shut, 0);
	EQ(gk_conn_get(&ctx, (uint32_t)c, 77, big, 100), 8);
	assert_memory_equal(big, "HTTP/1.1", 8);
	/* Bigger than the ring: the writer waits, and gets the whole count. */
	EQ(S(write, fd, BIG, 600000), GK_BLOCK);
	EQ(ctx.progress, GK_BUFSZ);
	EQ(revents(fd, GKA_EPOLLOUT), 0);
	ctx.progress = GK_BUFSZ;	/* both are the thread's: */
	ctx.deadline = UINT64_MAX;	/* poll has had its own */
	EQ(gk_conn_get(&ctx, (uint32_t)c, 77, big, GK_BUFSZ), GK_BUFSZ);
	EQ(R(write, fd, BIG, 600000), GK_BLOCK);
	EQ(gk_conn_get(&ctx, (uint32_t)c, 77, big, GK_BUFSZ), GK_BUFSZ);
	EQ(R(write, fd, BIG, 600000), 600000);
	EQ(gk_conn_get(&ctx, (uint32_t)c, 77, big, GK_BUFSZ),
	    600000 - 2 * GK_BUFSZ);
	/* The client's end */
	EQ(gk_conn_put(&ctx, (uint32_t)c, 77, "z", 1), 1);
	gk_conn_put_eof(&ctx, (uint32_t)c, 77);
	EQ(revents(fd, GKA_EPOLLIN | GKA_EPOLLRDHUP),
	    GKA_EPOLLIN | GKA_EPOLLRDHUP);
	EQ(S(read, fd, BUF, 10), 1);
	EQ(S(read, fd, BUF, 10), 0);
	EQ(S(write, fd, BUF, 10), 10);
	EQ(S(shutdown, fd, GKA_SHUT_WR), 0);
	EQ(S(write, fd, BUF, 10), -EPIPE);
	assert_true(revents(fd, 0) & GKA_EPOLLHUP);
	gk_conn_state(&ctx, (uint32_t)c, 77, &st);
	EQ(st.wr_shut, 1);
	EQ(st.closed, 0);
	free(big);
}

static void
t_orphan(void **state)
{
	struct gk_conn_state st;
	char b[64];
	int l, c, fd, d;

	(void)state;
	l = listener(80, 1);
	fd = conn(l, &c, 1, 0);
	memcpy(u(BUF), "goodbye", 7);
	EQ(S(write, fd, BUF, 7), 7);
	d = (int)S(dup, fd);
	EQ(S(close, fd), 0);
	gk_conn_state(&ctx, (uint32_t)c, 1, &st);
	EQ(st.closed, 0);
	EQ(S(close, d), 0);
	gk_conn_state(&ctx, (uint32_t)c, 1, &st);
	EQ(st.closed, 1);
	EQ(st.gone, 0);
	EQ(st.out, 7);
	EQ(gk_conn_put(&ctx, (uint32_t)c, 1, "x", 1), 0);
	EQ(gk_conn_get(&ctx, (uint32_t)c, 1, b, 4), 4);
	gk_conn_state(&ctx, (uint32_t)c, 1, &st);
	EQ(st.out, 3);
	EQ(gk_conn_get(&ctx, (uint32_t)c, 1, b + 4, 60), 3);
	assert_memory_equal(b, "goodbye", 7);
	gk_conn_state(&ctx, (uint32_t)c, 1, &st);
	EQ(st.gone, 1);
	EQ(st.closed, 1);
	EQ(gk->buf_used[0], 0);
	/* Nothing unread: gone at once.  Dropped orphan: gone, too. */
	fd = conn(l, &c, 2, 0);
	EQ(S(close, fd), 0);
	EQ(gk->ofd[c].kind, GK_FREE);
	fd = conn(l, &c, 3, 0);
	EQ(S(write, fd, BUF, 7), 7);
	EQ(S(close, fd), 0);
	gk_conn_drop(&ctx, (uint32_t)c, 3);
	EQ(gk->ofd[c].kind, GK_FREE);
	EQ(gk->buf_used[0], 0);
}

static void
t_drop(void **state)
{
	struct gk_conn_state st;
	int l, c, fd;

	(void)state;
	l = listener(80, 1);
	fd = conn(l, &c, 1, 0);
	EQ(gk_conn_put(&ctx, (uint32_t)c, 1, "abc", 3), 3);
	gk_conn_drop(&ctx, (uint32_t)c, 1);
	EQ(revents(fd, GKA_EPOLLIN | GKA_EPOLLOUT),
	    GKA_EPOLLIN | GKA_EPOLLOUT | GKA_EPOLLHUP | GKA_EPOLLERR);
	EQ(S(write, fd, BUF, 1), -ECONNRESET);
	EQ(ctx.sigpipe, 0);
	EQ(S(write, fd, BUF, 1), -EPIPE);
	EQ(ctx.sigpipe, 1);
	EQ(S(read, fd, BUF, 10), 3);
	EQ(S(read, fd, BUF, 10), 0);
	EQ(S(getpeername, fd, SA, LEN), -ENOTCONN);
	EQ(S(shutdown, fd, 2), -ENOTCONN);
	gk_conn_state(&ctx, (uint32_t)c, 1, &st);
	EQ(st.gone, 1);
	EQ(S(close, fd), 0);
	EQ(gk->buf_used[0], 0);
	/* In the queue */
	c = gk_conn_open(&ctx, ofd_of(l), 2, NULL, 0);
	gk_conn_drop(&ctx, (uint32_t)c, 2);
	fd = (int)S(accept, l, 0, 0);
	EQ(S(read, fd, BUF, 1), -ECONNRESET);
	EQ(S(read, fd, BUF, 1), 0);
	/* SHUT_RD swallows */
	fd = conn(l, &c, 3, 0);
	EQ(S(shutdown, fd, GKA_SHUT_RD), 0);
	EQ(gk_conn_put(&ctx, (uint32_t)c, 3, "abc", 3), 3);
	EQ(S(read, fd, BUF, 1), 0);
	EQ(gk_ofd_write(&ctx, (uint32_t)c, "abc", 3), 3);
	EQ(gk_ofd_write(&ctx, ofd_of(l), "abc", 3), -EINVAL);
}

static void
t_msg(void **state)
{
	int s[2], l, c, fd;

	(void)state;
	pair(GKA_SOCK_STREAM | GKA_SOCK_NONBLOCK, s);
	iov(0, BUF, 4);
	memset(u(MSG), 0, 56);
	w64(MSG, SA);
	w32(MSG + 8, 16);
	w64(MSG + 16, IOV);
	w64(MSG + 24, 1);
	EQ(S(sendmsg, s[0], MSG, 0), -EISCONN);
	w32(MSG + 8, (uint32_t)-1);
	EQ(S(sendmsg, s[0], MSG, 0), -EINVAL);
	/* Control messages: credentials need their size, descriptors go. */
	w32(MSG + 8, 0);
	w64(MSG + 32, OUT);
	w64(MSG + 40, 24);
	w64(OUT, 20);
	w32(OUT + 8, 1);
	w32(OUT + 12, GKA_SCM_CREDENTIALS);
	EQ(S(sendmsg, s[0], MSG, 0), -EINVAL);
	w32(OUT + 12, GKA_SCM_RIGHTS);
	w32(OUT + 16, 77);
	EQ(S(sendmsg, s[0], MSG, 0), -EBADF);
	w32(OUT + 16, (uint32_t)s[0]);
	EQ(S(sendmsg, s[0], MSG, 0), 4);
	w64(OUT, 15);
	EQ(S(sendmsg, s[0], MSG, 0), -EINVAL);
	w64(MSG + 32, HOLE);
	EQ(S(sendmsg, s[0], MSG, 0), -EFAULT);
	w32(MSG + 8, 16);
	w64(MSG + 32, OUT);
	EQ(S(recvmsg, s[1], MSG, GKA_MSG_CMSG_CLOEXEC), 4);
	EQ(u32(MSG + 8), 0);
	EQ(u64(MSG + 40), 24);
	EQ(S(fcntl, u32(OUT + 16), GKA_F_GETFD), GKA_FD_CLOEXEC);
	EQ(S(close, u32(OUT + 16)), 0);
	EQ(u32(MSG + 48), GKA_MSG_CMSG_CLOEXEC);
	EQ(S(recvmsg, s[1], MSG, 0), -EAGAIN);
	/* TCP ignores both. */
	l = listener(80, 1);
	fd = conn(l, &c, 1, 1);
	w64(MSG + 40, 24);
	EQ(S(sendmsg, fd, MSG, 0), 4);
	EQ(S(sendto, fd, BUF, 4, 0, SA, 16), 4);
	EQ(S(sendmsg, l, MSG, GKA_MSG_NOSIGNAL), -EPIPE);
	EQ(ctx.sigpipe, 0);
}

/* What is half made when the tables run full goes away again. */
static void
t_half(void **state)
{
	static const uint8_t mapped[28] = { 10, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, 8, 7 };
	int l, i;

	(void)state;
	l = listener(80, 1);
	EQ(gk_conn_open(&ctx, ofd_of(l), 1, mapped, 28), 1);
	w32(LEN, 16);
	EQ(S(accept, l, SA, LEN), 1);
	assert_memory_equal(u(SA) + 4, mapped + 20, 4);
	EQ(S(close, 1), 0);
	for (i = 1; i < GK_NFD - 1; i++)
		EQ(S(dup, l), i);
	EQ(S(pipe, FDS), -EMFILE);
	EQ(S(socketpair, 1, 1, 0, FDS), -EMFILE);
	EQ(S(dup, l), GK_NFD - 1);
	EQ(S(socketpair, 1, 1, 0, FDS), -EMFILE);
	EQ(gk_host_open(gk, 1, 0, 0), -EMFILE);
	EQ(gk->buf_used[0], 0);
	for (i = 1; i < GK_NOFD; i++)
		EQ(gk->ofd[i].kind, GK_FREE);
	for (i = 5; i < GK_NOFD; i++)
		gk->ofd[i].kind = GK_EVENTFD;
	EQ(S(close_range, 1, 9, 0), 0);
	for (i = 0; i < 3; i++)
		EQ(S(eventfd, 0), i + 1);
	EQ(S(pipe, FDS), -ENFILE);
	EQ(S(socketpair, 1, 1, 0, FDS), -ENFILE);
	EQ(S(eventfd, 0), 4);
	EQ(S(pipe, FDS), -ENFILE);
	EQ(S(eventfd, 0), -ENFILE);
	EQ(gk_host_open(gk, 1, 0, 0), -ENFILE);
	EQ(gk->buf_used[0], 0);
}

/* ---- eventfd, timerfd --------------------------------------------------- */

static void
t_eventfd(void **state)
{
	int e;

	(void)state;
	EQ(S(eventfd2, 0, 2), -EINVAL);
	e = (int)S(eventfd2, 3, GKA_O_NONBLOCK);
	EQ(S(read, e, OUT, 7), -EINVAL);
	EQ(S(read, e, OUT, 8), 8);
	EQ(u64(OUT), 3);
	EQ(S(read, e, OUT, 8), -EAGAIN);
	EQ(revents(e, 5), GKA_EPOLLOUT);
	w64(BUF, UINT64_MAX);
	EQ(S(write, e, BUF, 8), -EINVAL);
	w64(BUF, UINT64_MAX - 1);
	EQ(S(write, e, BUF, 7), -EINVAL);
	EQ(S(write, e, BUF, 8), 8);
	EQ(revents(e, 5), GKA_EPOLLIN);
	w64(BUF, 1);
	EQ(S(write, e, BUF, 8), -EAGAIN);
	EQ(S(write, e, HOLE - 1, 8), -EFAULT);
	iov(0, OUT, 3);
	iov(1, OUT + 3, 10);
	EQ(S(readv, e, IOV, 2), 8);
	EQ(u64(OUT), UINT64_MAX - 1);
	EQ(S(lseek, e, 0, 0), 0);
	EQ(S(recvfrom, e, OUT, 8), -ENOTSOCK);
	e = (int)S(eventfd2, 2, GKA_EFD_SEMAPHORE);
	EQ(S(read, e, OUT, 8), 8);
	EQ(u64(OUT), 1);
	EQ(S(read, e, OUT, 8), 8);
	EQ(S(read, e, OUT, 8), GK_BLOCK);
	EQ(S(write, e, BUF, 8), 8);
	EQ(R(read, e, OUT, 8), 8);
}

static void
its(uint64_t ival, uint64_t val)
{

	w64(TS, ival / SEC);
	w64(TS + 8, ival % SEC);
	w64(TS + 16, val / SEC);
	w64(TS + 24, val % SEC);
}

static void
t_timerfd(void **state)
{
	int t, r;
	uint32_t gen;

	(void)state;
	EQ(S(timerfd_create, 5, 0), -EINVAL);
	EQ(S(timerfd_create, 1, 1), -EINVAL);
	t = (int)S(timerfd_create, 1, GKA_O_NONBLOCK);
	EQ(S(read, t, OUT, 8), -EAGAIN);
	EQ(gk_next_timer(&ctx), UINT64_MAX);
	its(0, 5 * SEC);
	w64(TS + 24, SEC);
	EQ(S(timerfd_settime, t, 0, TS, 0), -EINVAL);
	its(0, 5 * SEC);
	EQ(S(timerfd_settime, t, 8, TS, 0), -EINVAL);
	EQ(S(timerfd_settime, t, 0, 0, 0), -EFAULT);
	EQ(S(timerfd_settime, 0x55, 0, TS, 0), -EBADF);
	EQ(S(timerfd_settime, t, 0, TS, 0), 0);
	EQ(gk_next_timer(&ctx), 1005 * SEC);
	ctx.now_mono += 2 * SEC;
	EQ(S(timerfd_gettime, t, OUT), 0);
	EQ(u64(OUT + 16), 3);
	EQ(u64(OUT + 24), 0);
	EQ(revents(t, 1), 0);
	ctx.now_mono += 3 * SEC;
	gen = gk->gen;
	EQ(gk_next_timer(&ctx), UINT64_MAX);
	assert_true(gk->gen != gen);
	EQ(revents(t, 1), 1);
	EQ(S(read, t, OUT, 4), -EINVAL);
	EQ(S(read, t, OUT, 8), 8);
	EQ(u64(OUT), 1);
	EQ(S(read, t, OUT, 8), -EAGAIN);
	EQ(S(write, t, OUT, 8), -EINVAL);
	/* An interval; expirations add up. */
	its(100 * MS, 50 * MS);
	EQ(S(timerfd_settime, t, 0, TS, OUT), 0);
	EQ(u64(OUT + 16) + u64(OUT + 24), 0);
	ctx.now_mono += 355 * MS;
	/* Nobody has read it: the next one is not news. */
	gk->gen = 0;
	EQ(gk_next_timer(&ctx), UINT64_MAX);
	EQ(gk->gen, 1);
	ctx.now_mono += 100 * MS;
	EQ(revents(t, 1), 1);
	EQ(gk_next_timer(&ctx), UINT64_MAX);
	EQ(gk->gen, 1);
	EQ(S(read, t, OUT, 8), 8);
	EQ(u64(OUT), 5);
	EQ(gk->gen, 2);
	EQ(gk_next_timer(&ctx), ctx.now_mono + 95 * MS);
	EQ(S(timerfd_gettime, t, OUT), 0);
	EQ(u64(OUT + 8), 100 * MS);
	EQ(u64(OUT + 24), 95 * MS);
	its(0, 0);
	EQ(S(timerfd_settime, t, 0, TS, 0), 0);
	EQ(gk_next_timer(&ctx), UINT64_MAX);
	/* Absolute, and on the other clock */
	its(0, 1);
	EQ(S(timerfd_settime, t, GKA_TFD_ABSTIME, TS, 0), 0);
	EQ(S(read, t, OUT, 8), 8);
	r = (int)S(timerfd_create, 0, 0);
	its(0, ctx.now_real + SEC);
	EQ(S(timerfd_settime, r, GKA_TFD_ABSTIME, TS, 0), 0);
	EQ(gk_next_timer(&ctx), ctx.now_mono + SEC);
	EQ(S(read, r, OUT, 8), GK_BLOCK);
	ctx.now_real += 2 * SEC;
	EQ(R(read, r, OUT, 8), 8);
	its(0, 0);
	w64(TS + 16, INT64_MAX);
	EQ(S(timerfd_settime, r, 0, TS, 0), 0);
	EQ(gk_next_timer(&ctx), UINT64_MAX);
}

/* ---- epoll -------------------------------------------------------------- */

static void
t_epoll_ctl(void **state)
{
	int ep, e, p[2], i, n[8];

	(void)state;
	EQ(S(epoll_create, 0), -EINVAL);
	EQ(S(epoll_create1, 1), -EINVAL);
	ep = (int)S(epoll_create, 1);
	e = (int)S(eventfd, 0);
	EQ(ectl(ep, GKA_EPOLL_CTL_ADD, 77, 1, 0), -EBADF);
	EQ(ectl(77, GKA_EPOLL_CTL_ADD, e, 1, 0), -EBADF);
	EQ(ectl(ep, GKA_EPOLL_CTL_ADD, ep, 1, 0), -EINVAL);
	EQ(ectl(e, GKA_EPOLL_CTL_ADD, ep, 1, 0), -EINVAL);
	EQ(ectl(ep, GKA_EPOLL_CTL_MOD, e, 1, 0), -ENOENT);
	EQ(ectl(ep, GKA_EPOLL_CTL_DEL, e, 1, 0), -ENOENT);
	EQ(ectl(ep, 9, e, 1, 0), -EINVAL);
	EQ(S(epoll_ctl, ep, 1, e, 0), -EFAULT);
	EADD(ep, e, GKA_EPOLLIN);
	EQ(ectl(ep, GKA_EPOLL_CTL_ADD, e, 1, 0), -EEXIST);
	EQ(S(epoll_ctl, ep, GKA_EPOLL_CTL_DEL, e, 0), 0);
	EADD(ep, e, GKA_EPOLLIN | GKA_EPOLLEXCLUSIVE);
	EQ(ectl(ep, GKA_EPOLL_CTL_MOD, e, 1, 0), -EINVAL);
	EQ(ectl(ep, GKA_EPOLL_CTL_DEL, e, 0, 0), 0);
	EQ(ectl(ep, GKA_EPOLL_CTL_ADD, e, GKA_EPOLLEXCLUSIVE |
	    GKA_EPOLLONESHOT, 0), -EINVAL);
	EQ(S(epoll_wait, ep, EVS, 0, 0), -EINVAL);
	EQ(S(epoll_wait, e, EVS, 1, 0), -EINVAL);
	EQ(S(epoll_wait, 77, EVS, 1, 0), -EBADF);
	EQ(S(epoll_pwait, ep, EVS, 1, 0, BUF, 7), -EINVAL);
	EQ(S(read, ep, BUF, 8), -EINVAL);
	/* Nesting */
	for (i = 0; i < 6; i++)
		n[i] = (int)S(epoll_create1, 0);
	for (i = 0; i < 4; i++)
		EADD(n[i], n[i + 1], GKA_EPOLLIN);
	EQ(ectl(n[4], GKA_EPOLL_CTL_ADD, n[5], 1, 0), -ELOOP);
	EQ(ectl(n[4], GKA_EPOLL_CTL_ADD, n[0], 1, 0), -ELOOP);
	EQ(ectl(n[1], GKA_EPOLL_CTL_ADD, n[0], 1, 0), -ELOOP);
	EADD(n[4], e, GKA_EPOLLIN);
	EQ(EWAIT(n[0]), 0);
	w64(BUF, 1);
	EQ(S(write, e, BUF, 8), 8);
	EQ(EWAIT(n[0]), 1);
	EQ(EDATA(0), n[1]);
	EQ(revents(n[2], GKA_EPOLLIN), GKA_EPOLLIN);
	EQ(S(close, n[2]), 0);
	EQ(EWAIT(n[0]), 0);
	/* Registrations run out and come back. */
	mkpipe(0, p);
	for (i = 0; i < GK_NEPI; i++)
		if (gk->epi[i].used == 0)
			gk->epi[i].used = 2;
	EQ(ectl(ep, GKA_EPOLL_CTL_ADD, p[0], 1, 0), -ENOSPC);
}

static void
t_epoll_level(void **state)
{
	int ep, a, b, c;

	(void)state;
	ep = (int)S(epoll_create1, 0);
	a = (int)S(eventfd, 1);
	b = (int)S(eventfd, 1);
	c = (int)S(eventfd, 1);
	EADD(ep, a, GKA_EPOLLIN);
	EADD(ep, b, GKA_EPOLLIN);
	EADD(ep, c, GKA_EPOLLIN | GKA_EPOLLOUT);
	EQ(EWAIT(ep), 3);
	EQ(EDATA(0), a);
	EQ(EV(2), GKA_EPOLLIN | GKA_EPOLLOUT);
	EQ(EWAIT(ep), 3);
	/* One at a time goes round. */
	EQ(S(epoll_wait, ep, EVS, 1, 0), 1);
	EQ(EDATA(0), a);
	EQ(S(epoll_wait, ep, EVS, 1, 0), 1);
	EQ(EDATA(0), b);
	EQ(S(epoll_wait, ep, EVS, 1, 0), 1);
	EQ(EDATA(0), c);
	EQ(S(epoll_wait, ep, EVS, 1, 0), 1);
	EQ(EDATA(0), a);
	EQ(EWAIT(ep), 3);
	EQ(S(epoll_wait, ep, HOLE, 4, 0), -EFAULT);
	EQ(S(epoll_wait, ep, HOLE - 12, 4, 0), 1);
	/* Deleting the last and adding again keeps the list whole. */
	EQ(ectl(ep, GKA_EPOLL_CTL_DEL, a, 0, 0), 0);
	EQ(ectl(ep, GKA_EPOLL_CTL_DEL, c, 0, 0), 0);
	EADD(ep, a, GKA_EPOLLIN);
	EQ(EWAIT(ep), 2);
	EQ(S(close, a), 0);
	EQ(EWAIT(ep), 1);
	EQ(S(close, b), 0);
	EQ(EWAIT(ep), 0);
	EADD(ep, c, GKA_EPOLLIN);
	EQ(EWAIT(ep), 1);
	EQ(S(close, ep), 0);
	EQ(gk->ofd[ofd_of(c)].nepi, 0);
	for (a = 0; a < GK_NEPI; a++)
		EQ(gk->epi[a].used, 0);
}

static void
t_epoll_dup(void **state)
{
	int ep, e, d;

	(void)state;
	ep = (int)S(epoll_create1, 0);
	e = (int)S(eventfd, 1);
	d = (int)S(dup, e);
	EADD(ep, e, GKA_EPOLLIN);
	EADD(ep, d, GKA_EPOLLIN);
	EQ(EWAIT(ep), 2);
	/* The description lives: both are still reported, as epoll(7) warns. */
	EQ(S(close, e), 0);
	EQ(EWAIT(ep), 2);
	EQ(ectl(ep, GKA_EPOLL_CTL_DEL, e, 0, 0), -EBADF);
	EQ(S(eventfd, 0), e);
	EQ(ectl(ep, GKA_EPOLL_CTL_DEL, e, 0, 0), -ENOENT);
	EADD(ep, e, GKA_EPOLLIN);
	EQ(EWAIT(ep), 2);
	EQ(S(close, d), 0);
	EQ(EWAIT(ep), 0);
	w64(BUF, 1);
	EQ(S(write, e, BUF, 8), 8);
	EQ(EWAIT(ep), 1);
}

static void
t_epoll_edge(void **state)
{
	char b[64];
	int ep, l, c, fd, i;

	(void)state;
	ep = (int)S(epoll_create1, 0);
	l = listener(80, 1);
	EADD(ep, l, GKA_EPOLLIN | GKA_EPOLLET);
	fd = conn(l, &c, 1, 1);
	EQ(EWAIT(ep), 0);		/* already accepted */
	EADD(ep, fd, GKA_EPOLLIN | GKA_EPOLLOUT | GKA_EPOLLRDHUP |
	    GKA_EPOLLET);
	EQ(EWAIT(ep), 1);
	EQ(EV(0), GKA_EPOLLOUT);
	EQ(EWAIT(ep), 0);
	for (i = 0; i < 300; i++) {	/* more than a byte can count */
		EQ(gk_conn_put(&ctx, (uint32_t)c, 1, "a", 1), 1);
		EQ(EWAIT(ep), 1);
		EQ(EV(0), GKA_EPOLLIN | GKA_EPOLLOUT);
		EQ(EWAIT(ep), 0);
	}
	for (i = 0; i < 256; i++)
		EQ(gk_conn_put(&ctx, (uint32_t)c, 1, "a", 1), 1);
	EQ(EWAIT(ep), 1);
	EQ(S(read, fd, OUT, 1000), 556);
	EQ(EWAIT(ep), 0);
	/* Full, then room: one edge. */
	EQ(S(write, fd, BIG, GK_BUFSZ + 5), GK_BUFSZ);
	EQ(S(write, fd, BIG, 5), -EAGAIN);
	EQ(EWAIT(ep), 0);
	EQ(gk_conn_get(&ctx, (uint32_t)c, 1, b, 64), 64);
	EQ(EWAIT(ep), 0);		/* too little to wake for */
	while (gk_conn_get(&ctx, (uint32_t)c, 1, b, 64) > 0)
		continue;
	EQ(EWAIT(ep), 1);
	EQ(EV(0), GKA_EPOLLOUT);
	EQ(EWAIT(ep), 0);
	/* Who waits for room only does not hear of input. */
	EMOD(ep, fd, GKA_EPOLLOUT | GKA_EPOLLET);
	EQ(EWAIT(ep), 1);
	EQ(gk_conn_put(&ctx, (uint32_t)c, 1, "a", 1), 1);
	EQ(EWAIT(ep), 0);
	EMOD(ep, fd, GKA_EPOLLRDHUP | GKA_EPOLLET);
	EQ(EWAIT(ep), 0);
	gk_conn_put_eof(&ctx, (uint32_t)c, 1);
	EQ(EWAIT(ep), 1);
	EQ(EV(0), GKA_EPOLLRDHUP);
	EQ(EWAIT(ep), 0);
	gk_conn_drop(&ctx, (uint32_t)c, 1);
	EQ(EWAIT(ep), 1);
	EQ(EV(0), GKA_EPOLLRDHUP | GKA_EPOLLHUP | GKA_EPOLLERR);
	EQ(EWAIT(ep), 0);
}

static void
t_epoll_oneshot(void **state)
{
	int ep, in, e, t;

	(void)state;
	ep = (int)S(epoll_create1, 0);
	e = (int)S(eventfd, 1);
	EADD(ep, e, GKA_EPOLLIN | GKA_EPOLLONESHOT);
	EQ(EWAIT(ep), 1);
	EQ(EWAIT(ep), 0);
	w64(BUF, 1);
	EQ(S(write, e, BUF, 8), 8);
	EQ(EWAIT(ep), 0);
	EMOD(ep, e, GKA_EPOLLIN | GKA_EPOLLONESHOT | GKA_EPOLLET);
	EQ(EWAIT(ep), 1);
	EQ(EWAIT(ep), 0);
	/* A timer's edges, in a set in a set */
	in = (int)S(epoll_create1, 0);
	t = (int)S(timerfd_create, 1, GKA_O_NONBLOCK);
	EADD(ep, in, GKA_EPOLLIN | GKA_EPOLLET);
	EADD(in, t, GKA_EPOLLIN | GKA_EPOLLET);
	its(SEC, SEC);
	EQ(S(timerfd_settime, t, 0, TS, 0), 0);
	EQ(EWAIT(ep), 0);
	ctx.now_mono += SEC;
	EQ(EWAIT(ep), 1);
	EQ(EDATA(0), in);
	EQ(EWAIT(ep), 0);
	EQ(EWAIT(in), 1);
	EQ(EWAIT(in), 0);
	/* None before it is read */
	ctx.now_mono += SEC;
	EQ(EWAIT(ep), 0);
	EQ(EWAIT(in), 0);
	EQ(S(read, t, OUT, 8), 8);
	EQ(u64(OUT), 2);
	ctx.now_mono += SEC;
	EQ(EWAIT(ep), 1);
	EQ(EWAIT(in), 1);
}

static void
t_epoll_time(void **state)
{
	int ep, e;

	(void)state;
	ep = (int)S(epoll_create1, 0);
	e = (int)S(eventfd, 0);
	EADD(ep, e, GKA_EPOLLIN);
	EQ(S(epoll_wait, ep, EVS, 4, 0), 0);
	EQ(S(epoll_wait, ep, EVS, 4, -1), GK_BLOCK);
	EQ(ctx.deadline, UINT64_MAX);
	EQ(S(epoll_wait, ep, EVS, 4, 500), GK_BLOCK);
	EQ(ctx.deadline, ctx.now_mono + 500 * MS);
	ctx.now_mono += 499 * MS;
	EQ(R(epoll_wait, ep, EVS, 4, 500), GK_BLOCK);
	ctx.now_mono += 1 * MS;
	EQ(R(epoll_wait, ep, EVS, 4, 500), 0);
	w64(TS, 1);
	w64(TS + 8, SEC);
	EQ(S(epoll_pwait2, ep, EVS, 4, TS), -EINVAL);
	w64(TS + 8, 5);
	EQ(S(epoll_pwait2, ep, EVS, 4, TS), GK_BLOCK);
	EQ(ctx.deadline, ctx.now_mono + SEC + 5);
	EQ(S(epoll_pwait2, ep, EVS, 4, 0), GK_BLOCK);
	EQ(ctx.deadline, UINT64_MAX);
	/* Woken after the time was up: the event wins. */
	gk->ofd[ofd_of(e)].u.event.count = 1;
	EQ(R(epoll_wait, ep, EVS, 4, 500), 1);
}

/* ---- poll, select ------------------------------------------------------- */

static void
t_poll(void **state)
{
	unsigned i;
	int e;

	(void)state;
	e = (int)S(eventfd, 0);
	for (i = 0; i < 40; i++) {
		w32(FDS + 8 * i, i % 2 ? (uint32_t)e : (uint32_t)-1);
		w32(FDS + 8 * i + 4, 0xffff0000 | GKA_EPOLLIN);
	}
	EQ(S(poll, FDS, 40, 0), 0);
	EQ(u32(FDS + 4), GKA_EPOLLIN);
	EQ(S(poll, FDS, 40, 100), GK_BLOCK);
	EQ(ctx.deadline, ctx.now_mono + 100 * MS);
	ctx.now_mono += 100 * MS;
	EQ(R(poll, FDS, 40, 100), 0);
	gk->ofd[ofd_of(e)].u.event.count = 1;
	EQ(S(poll, FDS, 40, -1), 20);
	EQ(u32(FDS + 12), GKA_EPOLLIN | GKA_EPOLLIN << 16);
	w32(FDS, 500);
	EQ(S(poll, FDS, 1, -1), 1);
	EQ(u32(FDS + 4) >> 16, GKA_POLLNVAL);
	EQ(S(poll, FDS, GK_NFD + 1, 0), -EINVAL);
	EQ(S(poll, 0, 1, 0), -EFAULT);
	EQ(S(poll, 0, 0, 0), 0);
	EQ(S(poll, 0, 0, 7), GK_BLOCK);
	/* ppoll tells what is left. */
	w32(FDS, (uint32_t)e);
	w32(FDS + 4, GKA_EPOLLPRI);
	w64(TS, 3);
	w64(TS + 8, 0);
	EQ(S(ppoll, FDS, 1, TS, 0, 0), GK_BLOCK);
	EQ(u64(TS), 3);
	ctx.now_mono += SEC + 1;
	w32(FDS + 4, GKA_EPOLLIN);
	EQ(R(ppoll, FDS, 1, TS, 0, 0), 1);
	EQ(u64(TS), 1);
	EQ(u64(TS + 8), SEC - 1);
	EQ(S(ppoll, FDS, 1, TS, BUF, 4), -EINVAL);
	w64(TS, -1);
	EQ(S(ppoll, FDS, 1, TS, 0, 0), -EINVAL);
	EQ(S(ppoll, FDS, 1, 4, 0, 0), -EFAULT);
}

static void
t_select(void **state)
{
	int e, p[2];

	(void)state;
	e = (int)S(eventfd, 0);
	mkpipe(0, p);
	EQ(S(dup2, e, 100), 100);
	memset(u(FDS), 0, 512);
	u(FDS)[100 / 8] = 1 << (100 % 8);
	w64(TS, 0);
	w64(TS + 8, 1500000);	/* normalized, as Linux does */
	EQ(S(select, 101, FDS, 0, 0, TS), GK_BLOCK);
	EQ(ctx.deadline, ctx.now_mono + 1500 * MS);
	EQ(u(FDS)[12], 1 << 4);
	ctx.now_mono += 1500 * MS;
	EQ(R(select, 101, FDS, 0, 0, TS), 0);
	EQ(u(FDS)[12], 0);
	EQ(u64(TS) + u64(TS + 8), 0);
	gk->ofd[ofd_of(e)].u.event.count = 1;
	u(FDS)[12] = 1 << 4;
	u(FDS)[128] = 1 << p[1] | 1 << p[0];
	w64(FDS + 256, 1);
	EQ(S(select, 101, FDS, FDS + 128, FDS + 256, 0), 2);
	EQ(u(FDS)[12], 1 << 4);
	EQ(u(FDS)[128], 1 << p[1]);
	EQ(u64(FDS + 256), 0);
	u(FDS)[12] = 1 << 5;
	EQ(S(select, 101, FDS, 0, 0, 0), GK_BLOCK);	/* beyond nfds */
	EQ(S(select, 102, FDS, 0, 0, 0), -EBADF);
	EQ(S(select, -1, FDS, 0, 0, 0), -EINVAL);
	EQ(S(select, 2, 1, 0, 0, 0), -EFAULT);
	w64(TS, -1);
	EQ(S(select, 0, 0, 0, 0, TS), -EINVAL);
	w64(BUF, OUT);
	w64(BUF + 8, 4);
	EQ(S(pselect6, 0, 0, 0, 0, 0, BUF), -EINVAL);
	w64(TS, 0);
	w64(TS + 8, 0);
	w64(BUF + 8, 8);
	EQ(S(pselect6, 0, 0, 0, 0, TS, BUF), 0);
}

static void
t_waits(void **state)
{
	int l, ep, in, e;
	uint32_t lo;

	(void)state;
	e = (int)S(eventfd, 0);
	l = listener(80, 1);
	lo = ofd_of(l) + 1;
	ep = (int)S(epoll_create1, 0);
	in = (int)S(epoll_create1, 0);
#define WAITS(nr, ...)							\
	gk_waits_listener(&ctx, GKA_SYS_##nr, ARGS(__VA_ARGS__))
	EADD(ep, e, GKA_EPOLLIN);
	EADD(ep, in, GKA_EPOLLIN);
	EQ(WAITS(epoll_wait, ep), 0);
	EADD(in, l, GKA_EPOLLIN | GKA_EPOLLET);
	EQ(WAITS(epoll_wait, ep), lo);
	EQ(WAITS(epoll_pwait, in), lo);
	EMOD(in, l, 0);
	EQ(WAITS(epoll_wait, ep), 0);
	EQ(WAITS(epoll_wait, 99), 0);
	EQ(WAITS(accept4, l), lo);
	EQ(WAITS(accept, e), 0);
	EQ(WAITS(read, l), 0);
	w32(FDS, (uint32_t)e);
	w32(FDS + 4, GKA_EPOLLIN);
	w32(FDS + 8, (uint32_t)l);
	w32(FDS + 12, GKA_EPOLLIN);
	EQ(WAITS(poll, FDS, 1), 0);
	EQ(WAITS(ppoll, FDS, 2), lo);
	EQ(WAITS(poll, 0, 2), 0);
	w64(FDS, 1U << l);
	EQ(WAITS(select, l + 1, FDS), lo);
	EQ(WAITS(pselect6, l, FDS), 0);
	EQ(WAITS(select, 64, 0), 0);
}

/* ---- exhaustion --------------------------------------------------------- */

static void
t_full(void **state)
{
	int l, i, n;

	(void)state;
	l = listener(80, 1);
	for (n = 0; n < GK_NBUF; n++) {
		int c = gk_conn_open(&ctx, ofd_of(l), (uint32_t)n, NULL, 0);

		if (c < 0) {
			EQ(c, -ENOBUFS);
			break;
		}
		EQ(S(accept, l, 0, 0), n + 1);
	}
	EQ(n, GK_NBUF / 2);
	EQ(S(pipe, FDS), -ENFILE);
	EQ(S(socketpair, 1, 1, 0, FDS), -ENOBUFS);
	EQ(S(close, 5), 0);
	EQ(S(pipe, FDS), 0);
	EQ(u32(FDS), 5);
	EQ(gk->ofd[ofd_of(5)].u.pipe.ring.buf1, 9);	/* lowest first */
	for (i = 0; i < GK_NADDR && gk->addr_used[i]; i++)
		continue;
	EQ(i, 3);		/* addresses are shared */
	for (i = 0; i < GK_NOFD; i++)
		if (gk->ofd[i].kind == GK_FREE)
			gk->ofd[i].kind = GK_EVENTFD;
	EQ(S(socket, 2, 1), -ENFILE);
	EQ(S(epoll_create1, 0), -ENFILE);
	EQ(S(timerfd_create, 1, 0), -ENFILE);
	EQ(gk_conn_open(&ctx, ofd_of(l), 1, NULL, 0), -ENFILE);
}

/* ---- connections that wait for room -------------------------------------- */

#define LO81	sin4(0x7f000001, 81), 16

/* A listener that is full, with two that wait; [2] is in its queue. */
static int
late(int c[3])
{
	int l, i;

	l = (int)S(socket, GKA_AF_INET, GKA_SOCK_STREAM);
	EQ(S(bind, l, sin4(0, 81), 16), 0);
	EQ(S(listen, l, 0), 0);
	for (i = 2; i >= 0; i--) {
		c[i] = (int)S(socket, GKA_AF_INET,
		    GKA_SOCK_STREAM | GKA_SOCK_NONBLOCK);
		EQ(S(connect, c[i], LO81), -EINPROGRESS);
	}
	return (l);
}

static void
t_late(void **state)
{
	uint64_t used[GK_NBUF / 64];
	int l, c[3], l2;

	(void)state;
	l = late(c);
	EQ(gk->nlate, 2);
	EQ(revents(c[2], GKA_EPOLLOUT), GKA_EPOLLOUT);
	EQ(revents(c[1], GKA_EPOLLOUT), 0);
	/* Without a buffer for it nobody would ever let it in. */
	memcpy(used, gk->buf_used, sizeof(used));
	memset(gk->buf_used, 0xff, sizeof(used));
	assert_true(S(accept, l, 0, 0) > 0);
	memcpy(gk->buf_used, used, sizeof(used));
	EQ(gk->nlate, 0);
	EQ(S(connect, c[0], LO81), -ETIMEDOUT);
	EQ(S(connect, c[1], LO81), -ETIMEDOUT);
	/* It waits for the listener that it found, until there is room. */
	EQ(S(connect, c[0], LO81), -EINPROGRESS);
	EQ(S(connect, c[1], LO81), -EINPROGRESS);
	EQ(gk->nlate, 1);
	EQ(S(connect, c[1], LO81), -EALREADY);
	EQ(S(listen, c[1], 5), -EINVAL);
	l2 = listener(82, 0);
	EQ(S(close, l2), 0);
	EQ(gk->nlate, 1);
	EQ(S(listen, l, 1), 0);
	EQ(gk->nlate, 0);
	EQ(S(connect, c[1], LO81), 0);
	EQ(S(connect, c[1], LO81), -EISCONN);
	/* What is forged is not believed. */
	EQ(S(close, l), 0);
	l = late(c);
	gk->ofd[ofd_of(c[0])].u.sock.late1 = 0xffff;
	gk->ofd[ofd_of(c[1])].u.sock.domain = GKA_AF_UNIX;
	gk->nlate = UINT32_MAX;
	assert_true(S(accept, l, 0, 0) > 0);
	EQ(S(close, l), 0);
	EQ(S(close, c[0]), 0);
	EQ(S(close, c[1]), 0);
}

/* A blocking one waits as long as SO_SNDTIMEO says, and is on its way after. */
static void
t_late_timeo(void **state)
{
	int l, c[3], s;

	(void)state;
	l = late(c);
	s = (int)S(socket, GKA_AF_INET, GKA_SOCK_STREAM);
	EQ(S(connect, s, LO81), GK_BLOCK);
	EQ(ctx.deadline, UINT64_MAX);
	EQ(gk->nlate, 3);
	EQ(R(connect, s, LO81), GK_BLOCK);
	EQ(S(shutdown, s, GKA_SHUT_WR), 0);
	EQ(R(connect, s, LO81), -ECONNRESET);
	w64(TS, 1);
	w64(TS + 8, 0);
	EQ(S(setsockopt, s, GKA_SOL_SOCKET, GKA_SO_SNDTIMEO, TS, 16), 0);
	EQ(S(connect, s, LO81), GK_BLOCK);
	EQ(ctx.deadline, ctx.now_mono + SEC);
	ctx.now_mono += SEC;
	EQ(R(connect, s, LO81), -EINPROGRESS);
	EQ(S(connect, s, LO81), GK_BLOCK);
	EQ(S(close, l), 0);
	EQ(R(connect, s, LO81), -ECONNREFUSED);
	EQ(gk->nlate, 0);
}

/* A time-out that is taken away meanwhile: the call ends all the same. */
static void
t_timeo_cleared(void **state)
{
	int p[2];

	(void)state;
	pair(GKA_SOCK_STREAM, p);
	w64(TS, 1);
	w64(TS + 8, 0);
	EQ(S(setsockopt, p[0], GKA_SOL_SOCKET, GKA_SO_RCVTIMEO, TS, 16), 0);
	EQ(S(read, p[0], BUF, 1), GK_BLOCK);
	gk->ofd[ofd_of(p[0])].u.conn.timeo[GK_RCV] = 0;
	EQ(R(read, p[0], BUF, 1), GK_BLOCK);
	ctx.now_mono += SEC;
	EQ(R(read, p[0], BUF, 1), -EAGAIN);
}

/* Most of a large write has gone through when the reader closes. */
static void
t_late_progress(void **state)
{
	const uint64_t len = 2 * GK_BUFSZ + 5;
	int l, c, a;

	(void)state;
	l = listener(83, 0);
	c = (int)S(socket, GKA_AF_INET, GKA_SOCK_STREAM);
	EQ(S(connect, c, sin4(0x7f000001, 83), 16), 0);
	a = (int)S(accept, l, 0, 0);
	EQ(S(write, c, BIG, len), GK_BLOCK);
	EQ(ctx.progress, GK_BUFSZ);
	EQ(S(read, a, BIG, GK_BUFSZ), GK_BUFSZ);
	ctx.progress = GK_BUFSZ;
	EQ(R(write, c, BIG, len), GK_BLOCK);
	EQ(ctx.progress, 2 * GK_BUFSZ);
	EQ(S(read, a, BIG, GK_BUFSZ), GK_BUFSZ);
	EQ(S(close, a), 0);
	ctx.progress = 2 * GK_BUFSZ;
	EQ(R(write, c, BIG, len), len);
}

/* ---- hostile tables ----------------------------------------------------- */

static uint64_t rng;

static uint64_t
rnd(void)
{

	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng);
}

static const uint16_t fuzz_nr[] = {
	0, 1, 3, 7, 8, 16, 17, 18, 19, 20, 22, 23, 32, 33, 41, 42, 43, 44, 45,
	46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 72, 213, 232, 233, 270, 271,
	281, 283, 284, 286, 287, 288, 290, 291, 292, 293, 295, 296, 327, 328,
	436, 441, 43, 45, 46, 47, 0, 1, 232, 233, 233, 293, 53,
};

static uint64_t
fuzz_arg(void)
{
	static const uint16_t pick[] = { 0, 1, 2, 3, 4, 5, 6, 10, 13, 41,
		0x80, 0x541b, 0x5421, 1030, 1031, 1032, 2048, 2049, 16, 28 };

	switch (rnd() % 10) {
	case 0:
	case 1:
	case 2:
		return (rnd() % 24);
	case 3:
		return (rnd() % (GK_NFD + 4));
	case 4:
	case 5:
	case 6:
		return (UBASE + rnd() % USIZE);
	case 7:
		return (pick[rnd() % (sizeof(pick) / sizeof(pick[0]))]);
	case 8:
		return (HOLE - rnd() % 300);
	default:
		return (rnd() >> (rnd() % 64));
	}
}

static void
fuzz_bytes(void *p, size_t len)
{
	uint8_t *b = p;
	size_t i;
	uint64_t v;

	for (i = 0; i + 8 <= len; i += 8) {
		v = rnd();
		if (v % 3)	/* small values reach further */
			v &= 0x000f001f000f001fULL << (v % 11);
		memcpy(b + i, &v, 8);
	}
}

static void
fuzz_call(void)
{
	struct gk_conn_state st;
	char b[300];
	uint64_t a[6], nr;
	uint32_t o = (uint32_t)(rnd() % 40);
	unsigned i;
	int64_t r;

	for (i = 0; i < 6; i++)
		a[i] = fuzz_arg();
	nr = fuzz_nr[rnd() % (sizeof(fuzz_nr) / sizeof(fuzz_nr[0]))];
	ctx.restart = rnd() % 8 == 0;
	ctx.progress = rnd() % 100000;
	ctx.now_mono += rnd() % SEC;
	r = gk_syscall(&ctx, nr, a);
	assert_true(r >= -4095 || r == GK_NOTMINE || r == GK_BLOCK);
	if (r == GK_BLOCK)
		(void)gk_waits_listener(&ctx, nr, a);
	switch (rnd() % 16) {
	case 0:
		(void)gk_conn_open(&ctx, o, o, b, rnd() % 30);
		break;
	case 1:
		if (o < GK_NOFD)
			(void)gk_conn_put(&ctx, o, gk->ofd[o].u.conn.id, b,
			    sizeof(b));
		break;
	case 2:
		(void)gk_conn_get(&ctx, o, gk->ofd[o].u.conn.id, b, sizeof(b));
		break;
	case 3:
		gk_conn_state(&ctx, o, gk->ofd[o].u.conn.id, &st);
		gk_conn_drop(&ctx, o, gk->ofd[o].u.conn.id);
		break;
	case 4:
		(void)gk_next_timer(&ctx);
		(void)gk_ofd_poll(&ctx, (uint32_t)rnd(), ~0U);
		(void)gk_ofd_poll(&ctx, o, ~0U);
		break;
	case 5:
		(void)gk_ofd_write(&ctx, o, b, sizeof(b));
		gk_conn_put_eof(&ctx, o, gk->ofd[o].u.conn.id);
		break;
	case 6:
		gk_ofd_put(&ctx, o);
		(void)gk_socket_to_host(&ctx, o, 1);
		break;
	default:
		break;
	}
}

/* Everything random; the buffers' content does not matter. */
static void
t_fuzz_random(void **state)
{
	unsigned round, i;

	(void)state;
	rng = 0x9e3779b97f4a7c15ULL;
	fuzz_bytes(umem, USIZE);
	for (round = 0; round < 400; round++) {
		fuzz_bytes(gk, offsetof(struct gk, buf));
		for (i = 0; i < GK_NFD; i++)
			if (i < 24 || rnd() % 2)
				gk->fd[i].ofd1 = (uint16_t)(rnd() % 48);
		for (i = 0; i < 40; i++)
			gk->ofd[i].kind = (uint8_t)(rnd() % (GK_EPOLL + 2));
		for (i = 0; i < 400; i++)
			fuzz_call();
		fuzz_bytes(umem + rnd() % (USIZE - 65536), 65536);
	}
}

static void
fuzz_objects(void)
{
	int l, c, ep, i, p[2], w[3];

	memset(gk, 0, offsetof(struct gk, buf));
	gk_init(gk);
	l = listener(80, 1);
	ep = (int)S(epoll_create1, 0);
	EADD(ep, l, GKA_EPOLLIN);
	for (i = 0; i < 3; i++) {
		EADD(ep, conn(l, &c, (uint32_t)i, 1),
		    GKA_EPOLLIN | GKA_EPOLLET);
		EQ(gk_conn_put(&ctx, (uint32_t)c, (uint32_t)i, umem, 70000),
		    70000);
	}
	mkpipe(GKA_O_NONBLOCK, p);
	EADD(ep, p[0], GKA_EPOLLIN);
	pair(GKA_SOCK_STREAM, p);
	pair(GKA_SOCK_DGRAM, p);
	EADD(ep, p[0], GKA_EPOLLIN | GKA_EPOLLOUT);
	EADD(ep, S(timerfd_create, 1, 0), GKA_EPOLLIN);
	EADD(S(epoll_create1, 0), ep, GKA_EPOLLIN);
	EQ(gk_host_open(gk, 3, 0, 0) > 0, 1);
	(void)late(w);
}

/* Valid tables with single fields damaged between the calls. */
static void
t_fuzz_damage(void **state)
{
	const size_t hot[] = {
		offsetof(struct gk, fd), offsetof(struct gk, ofd),
		offsetof(struct gk, ofd), offsetof(struct gk, epi),
		offsetof(struct gk, addr), 0,
	};
	unsigned round, i;
	size_t at;
	uint64_t v;

	(void)state;
	rng = 88172645463325252ULL;
	for (round = 0; round < 800; round++) {
		fuzz_objects();
		for (i = 0; i < 250; i++) {
			if (rnd() % 4 == 0) {
				at = hot[rnd() % 6] + rnd() % 2000;
				v = rnd() % 2 ? rnd() : rnd() % 64;
				memcpy((uint8_t *)gk + at, &v,
				    (size_t)1 << rnd() % 4);
			}
			fuzz_call();
		}
		fuzz_bytes(umem + rnd() % (USIZE - 65536), 65536);
	}
}

/* The worst that a set can do: everything in it, round and round. */
static void
t_fuzz_cycle(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < GK_NFD; i++)
		gk->fd[i].ofd1 = (uint16_t)(1 + i % 8);
	for (i = 0; i < GK_NOFD; i++) {
		gk->ofd[i].kind = GK_EPOLL;
		gk->ofd[i].refs = 9;
		gk->ofd[i].nepi = 9;
		gk->ofd[i].u.epoll.first1 = (uint16_t)(1 + i % 8);
	}
	gk->hi_fd = gk->hi_ofd = gk->hi_epi = ~0U;
	for (i = 0; i < GK_NEPI; i++) {
		gk->epi[i].used = 1;
		gk->epi[i].epoll = (uint16_t)(i % 8);
		gk->epi[i].ofd = (uint16_t)((i / 8) % 8);
		gk->epi[i].events = 1;
		gk->epi[i].next1 = (uint16_t)(1 + (i + 8) % GK_NEPI);
	}
	for (i = 0; i < 1024; i++) {
		w32(BIG + 8 * i, i);
		w32(BIG + 8 * i + 4, 1);
	}
	memset(u(FDS), 0xff, 128);
	EQ(EWAIT(3), 0);
	EQ(S(poll, BIG, 1024, 0), 0);
	EQ(S(select, 1024, FDS, 0, 0, 0), GK_BLOCK);
	gk->epi[5].used = 0;
	(void)ectl(2, GKA_EPOLL_CTL_ADD, 4, 1, 1);
	EQ(gk_waits_listener(&ctx, GKA_SYS_poll, ARGS(BIG, 1024)), 0);
	EQ(S(close_range, 0, ~0U, 0), 0);
	(void)gk_next_timer(&ctx);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(t_fds), T(t_host), T(t_pipe), T(t_blob), T(t_blob_queue),
		T(t_progress), T(t_fault),
		T(t_wrap), T(t_pair), T(t_message), T(t_bind), T(t_unix),
		T(t_sockopt), T(t_accept), T(t_peer6), T(t_conn), T(t_orphan),
		T(t_drop), T(t_msg), T(t_half), T(t_eventfd),
		T(t_timerfd), T(t_epoll_ctl),
		T(t_epoll_level), T(t_epoll_dup), T(t_epoll_edge),
		T(t_epoll_oneshot), T(t_epoll_time), T(t_poll), T(t_select),
		T(t_waits), T(t_full), T(t_late), T(t_late_timeo),
		T(t_timeo_cleared), T(t_late_progress), T(t_fuzz_random),
		T(t_fuzz_damage), T(t_fuzz_cycle),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
