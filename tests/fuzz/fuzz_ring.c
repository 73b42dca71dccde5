/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Fuzzes what reads memory that the guest can write: the tables and rings of
 * struct gk, by an HTTP exchange with a guest that forges them.  The sources
 * of guest/ are built with a call before each load for this target: there the
 * contents change *between* reads, too, as if a second processor wrote.
 */

#include <netinet/in.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "fake_image.h"

#define MAX_STEPS	64
#define MAX_ANSWER	(1 << 20)
#define VERIFY_EVERY	256

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int LLVMFuzzerInitialize(int *, char ***);

static struct input in, races;
static struct tkvm_fork *forks[2];	/* ... of the image with a connection */
static struct tkvm_fork *theFork;
static unsigned nstep;

/* ---- races -------------------------------------------------------------------------- */

static uintptr_t race_lo, race_hi;
static unsigned race_in;		/* loads until the next change */

/* This file is built with such calls, too. */
#define PLAIN	__attribute__((no_sanitize("coverage")))

void __sanitizer_cov_load1(uint8_t *);
void __sanitizer_cov_load2(uint16_t *);
void __sanitizer_cov_load4(uint32_t *);
void __sanitizer_cov_load8(uint64_t *);
void __sanitizer_cov_load16(__int128 *);

/* Before the load of len bytes at p */
PLAIN static void
race(void *p, size_t len)
{
	const uintptr_t a = (uintptr_t)p;

	if (a < race_lo || a >= race_hi || races.p == races.e)
		return;
	if (race_in-- > 0)
		return;
	race_in = (unsigned)in_int(&races, 1);
	(void)in_bytes(&races, p, len);
	as_mark(theFork->m->as, (uint64_t)(a - (uintptr_t)
	    theFork->m->as->base), len);
}

PLAIN void
__sanitizer_cov_load1(uint8_t *p)
{

	race(p, 1);
}

PLAIN void
__sanitizer_cov_load2(uint16_t *p)
{

	race(p, 2);
}

PLAIN void
__sanitizer_cov_load4(uint32_t *p)
{

	race(p, 4);
}

PLAIN void
__sanitizer_cov_load8(uint64_t *p)
{

	race(p, 8);
}

PLAIN void
__sanitizer_cov_load16(__int128 *p)
{

	race(p, 16);
}

static void
races_on(int on)
{
	const uintptr_t gk = (uintptr_t)theFork->m->gk;

	race_lo = on ? gk : 0;
	race_hi = on ? gk + offsetof(struct gk, buf) : 0;
}

/* ---- the guest ------------------------------------------------------------------------ */

/* Somewhere in the tables: most of all in the connection that is served */
static uint64_t
some_place(void)
{
	const unsigned k = (unsigned)in_int(&in, 1);
	const int conn = theFork->m->conn;

	if (k < 128 && conn >= 0)
		return (offsetof(struct gk, ofd) +
		    (unsigned)conn * sizeof(struct gk_ofd) +
		    k % sizeof(struct gk_ofd));
	if (k < 160)
		return (offsetof(struct gk, ofd) + in_int(&in, 2) %
		    (24 * sizeof(struct gk_ofd)));
	if (k < 192)
		return (in_int(&in, 1) * 4);
	if (k < 208)
		return (offsetof(struct gk, fd) + in_int(&in, 1));
	if (k < 224)
		return (offsetof(struct gk, addr) + in_int(&in, 2) %
		    sizeof((struct gk *)NULL)->addr);
	return (in_int(&in, 4) % offsetof(struct gk, buf));
}

static void
scribble(struct vcpu *v)
{
	uint64_t at = some_place();
	uint8_t b[16];
	size_t n;

	n = in_bytes(&in, b, 1 + in_int(&in, 1) % sizeof b);
	if ((at & PAGE_MASK) + n > PAGE_SZ)
		n = PAGE_SZ - (at & PAGE_MASK);
	fake_store_phys(v, GPA_GK + at, b, n);
}

/* 0, or 1: an exception comes first. */
static int
fill(struct vcpu *v, const void *p, size_t n, enum vcpu_exit *x)
{
	unsigned ec;
	uint64_t cr2;

	ec = fake_store(v, GOOD, p, n, &cr2);
	if (ec == 0)
		return (0);
	*x = fake_fault(v, 14, ec, cr2);
	return (1);
}

static enum vcpu_exit
answer(struct vcpu *v)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n"
	    "\r\n";
	static const char chunked[] = "HTTP/1.1 200 OK\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n400\r\n";
	enum vcpu_exit x;
	char b[256];
	size_t n;

	switch (in_int(&in, 1) % 4) {
	case 0:
		n = sizeof ok - 1;
		(void)memcpy(b, ok, n);
		break;
	case 1:
		n = sizeof chunked - 1;
		(void)memcpy(b, chunked, n);
		break;
	case 2:
		n = in_bytes(&in, b, in_int(&in, 1));
		break;
	default:
		return (fake_syscall(v, SYS_write, CONN_FD, GOOD,
		    in_int(&in, 2), 0, 0, 0));
	}
	if (fill(v, b, n, &x))
		return (x);
	return (fake_syscall(v, SYS_write, CONN_FD, GOOD, n, 0, 0, 0));
}

static const uint16_t calls[] = {
	SYS_read, SYS_write, SYS_close, SYS_poll, SYS_readv, SYS_writev,
	SYS_dup, SYS_dup2, SYS_accept, SYS_sendto, SYS_recvfrom, SYS_sendmsg,
	SYS_recvmsg, SYS_shutdown, SYS_getsockname, SYS_getpeername,
	SYS_setsockopt, SYS_getsockopt, SYS_epoll_wait, SYS_epoll_ctl,
	SYS_timerfd_settime, SYS_eventfd2, SYS_pipe2, SYS_socketpair,
	SYS_sendfile, SYS_splice, SYS_close_range, SYS_select, SYS_fcntl,
	SYS_ioctl, SYS_futex, SYS_bind, SYS_connect, SYS_inotify_add_watch,
};

enum vcpu_exit
guest_step(struct vcpu *v)
{
	unsigned op;
	uint64_t nr;

	while (in.p < in.e && nstep++ < MAX_STEPS) {
		op = (unsigned)in_int(&in, 1);
		if (op < 96)
			scribble(v);
		else if (op < 144)
			return (answer(v));
		else if (op < 224) {
			nr = calls[in_int(&in, 1) % NELEM(calls)];
			op = (unsigned)in_int(&in, 1);
			return (fake_syscall(v, nr, in_int(&in, 1) % NFD,
			    in_pointer(&in, op), in_int(&in, 2),
			    in_int(&in, 1), in_pointer(&in, op >> 4), 0));
		} else if (op < 240)
			return (fake_leave(v));
		else if (op < 248)
			return (fake_intr(v));
		else
			return (fake_syscall(v, SYS_accept4, 3, 0, 0, 0, 0,
			    0));
	}
	in.p = in.e;
	return (fake_syscall(v, SYS_exit_group, 0, 0, 0, 0, 0, 0));
}

/* ---- the host --------------------------------------------------------------------------- */

static void
exchange(struct tkvm_error *err)
{
	static const char req[] = "POST / HTTP/1.1\r\nHost: a\r\n"
	    "Content-Length: 10\r\n\r\n0123456789";
	struct tkvm_exchange *x;
	struct tkvm_response r;
	char buf[4096];
	size_t sum = 0;
	ssize_t i;

	x = tkvm_exchange_new(theFork, 0, err);
	AN(x);
	i = tkvm_exchange_send(x, req, sizeof req - 1, err);
	if (i >= 0)
		i = tkvm_exchange_head(x, 0, &r, err);
	while (i >= 0) {
		i = tkvm_exchange_body(x, buf, sizeof buf, 0, err);
		if (i <= 0)
			break;
		assert((size_t)i <= sizeof buf);
		sum += (size_t)i;
		assert(sum < MAX_ANSWER);
	}
	if (i < 0)
		AN(err->code != TKVM_OK && err->text[0] != '\0');
	else
		AN(tkvm_exchange_done(x));
	tkvm_exchange_free(&x);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{

	(void)argc;
	(void)argv;
	forks[0] = fake_fork(fake_image(0));
	forks[1] = fake_fork(fake_image(1));
	return (0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_port = 7, .sin_addr = { 7 } };
	static unsigned long n;
	struct tkvm_error err;
	size_t k;

	if (len < 4)
		return (0);
	n++;
	/* The first byte says how much of the input is for races. */
	k = (len - 1) * (p[0] & 15) / 32;
	in.p = p + 1;
	in.e = p + len - k;
	races.p = in.e;
	races.e = p + len;
	race_in = (unsigned)in_int(&races, 1);
	nstep = 0;
	err.code = TKVM_OK;
	err.text[0] = '\0';
	theFork = forks[p[0] >> 7];
	if (tkvm_fork_open(theFork, (const struct sockaddr *)&peer,
	    sizeof peer, 0, &err) != 0)
		fake_die("open", &err);
	if (p[0] & 16)
		tkvm_fork_client(theFork, 7);
	races_on(1);
	exchange(&err);
	if (p[0] & 32)
		tkvm_fork_keep(theFork);
	if (p[0] & 64)
		tkvm_fork_close(theFork);
	races_on(0);
	fake_reset(&theFork, n % VERIFY_EVERY == 1);
	forks[p[0] >> 7] = theFork;
	return (0);
}
