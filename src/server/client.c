/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A client's connection: reads requests, hands complete ones to serve(), gets
 * the rest of answers out, closes.  Runs on whatever thread owns the
 * connection; never blocks, but for conn_poll(), which only serve() calls.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "obj.h"
#include "server/server.h"

/* What a step of the connection's life came to. */
enum step { AGAIN, WAIT_IN, WAIT_OUT, HANDED, GONE };

static void
set_deadline(struct conn *c, int seconds)
{

	atomic_store_explicit(&c->deadline, mono_ms() + seconds * 1000L,
	    memory_order_relaxed);
}

/* A client that never stops sending never leaves its owner's hands. */
static int
too_late(struct conn *c)
{

	return (mono_ms() > atomic_load_explicit(&c->deadline,
	    memory_order_relaxed));
}

/* ---- life ------------------------------------------------------------------ */

static struct conn *
conn_alloc(struct srv *s)
{
	struct conn *c;

	(void)pthread_mutex_lock(&s->cmtx);
	c = s->free;
	if (c != NULL)
		s->free = c->next_free;
	(void)pthread_mutex_unlock(&s->cmtx);
	if (c != NULL)
		return (c);
	ALLOC_OBJ(c, CONN_MAGIC);
	if (c == NULL)
		return (NULL);
	c->fd = -1;
	c->ev = EV_OWNED;
	c->next_all = atomic_load(&s->all);
	while (!atomic_compare_exchange_weak(&s->all, &c->next_all, c))
		continue;
	return (c);
}

/*
 * The client's address as one of the guest's family, so that its
 * getpeername() gives what it expects.
 */
static void
set_peer(const struct srv *s, struct conn *c, const struct sockaddr *sa,
    socklen_t len)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	c->peerlen = 0;
	if (sa->sa_family == AF_INET && len >= (socklen_t)sizeof in) {
		(void)memcpy(&in, sa, sizeof in);
		c->peer.in = in;
		c->peerlen = sizeof in;
		if (s->guest_family != AF_INET6)
			return;
		in6.sin6_port = in.sin_port;
		in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
		(void)memcpy(&in6.sin6_addr.s6_addr[12], &in.sin_addr, 4);
		c->peer.in6 = in6;
		c->peerlen = sizeof in6;
	} else if (sa->sa_family == AF_INET6 &&
	    len >= (socklen_t)sizeof in6) {
		(void)memcpy(&in6, sa, sizeof in6);
		c->peer.in6 = in6;
		c->peerlen = sizeof in6;
		if (s->guest_family != AF_INET ||
		    !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
			return;
		in.sin_port = in6.sin6_port;
		(void)memcpy(&in.sin_addr, &in6.sin6_addr.s6_addr[12], 4);
		c->peer.in = in;
		c->peerlen = sizeof in;
	}
}

/* NULL when memory is short.  The caller owns it. */
struct conn *
conn_new(struct srv *s, int fd, const struct sockaddr *sa, socklen_t salen)
{
	struct conn *c;

	c = conn_alloc(s);
	if (c == NULL)
		return (NULL);
	CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
	assert(c->fd == -1);
	AZ(c->in);
	AZ(c->out);
	c->fd = fd;
	atomic_store(&c->ev, EV_OWNED);
	c->state = CONN_HEAD;
	c->added = c->want_out = c->drained = 0;
	c->in_a_row = 0;
	c->close_after = c->linger = c->reset_after = 0;
	c->off = c->len = c->size = c->parsed = 0;
	c->out_off = c->out_len = c->out_size = 0;
	set_peer(s, c, sa, salen);
	set_deadline(c, T_READ);
	(void)atomic_fetch_add(&s->n.connections, 1);
	return (c);
}

static void
in_drop(struct conn *c)
{

	if (c->lender != NULL) {
		c->lender->in_lent = 0;
		c->lender = NULL;
	} else
		free(c->in);
	c->in = NULL;
	c->off = c->len = c->size = 0;
}

static void
conn_close(struct srv *s, struct conn *c)
{
	const struct linger lin = { .l_onoff = 1, .l_linger = 0 };

	CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
	atomic_store(&c->deadline, 0);
	/* An answer without length that broke off must not look complete. */
	if (c->reset_after)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lin,
		    sizeof lin);
	(void)close(c->fd);
	c->fd = -1;
	in_drop(c);
	free(c->out);
	c->out = NULL;
	/* It stays owned, by the list. */
	(void)pthread_mutex_lock(&s->cmtx);
	c->next_free = s->free;
	s->free = c;
	(void)pthread_mutex_unlock(&s->cmtx);
}

/* At the end: the other threads are gone. */
void
conn_free_all(struct srv *s)
{
	struct conn *c;

	while ((c = s->all) != NULL) {
		CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
		s->all = c->next_all;
		if (c->fd >= 0)
			(void)close(c->fd);
		if (c->lender == NULL)
			free(c->in);
		free(c->out);
		FREE_OBJ(c);
	}
	s->free = NULL;
}

/* ---- reading --------------------------------------------------------------- */

/* Room for more bytes behind those that are there. */
static int
in_room(struct worker *w, struct conn *c)
{
	size_t size;
	char *p;

	if (c->in == NULL) {
		AZ(w->in_lent);
		w->in_lent = 1;
		c->lender = w;
		c->in = w->in;
		c->size = IN_SIZE;
		c->off = c->len = 0;
		return (0);
	}
	if (c->off > 0) {
		(void)memmove(c->in, c->in + c->off, c->len - c->off);
		c->len -= c->off;
		c->off = 0;
	}
	if (c->len < c->size)
		return (0);
	if (c->size >= IN_SIZE)
		return (-1);
	size = c->size * 2 < IN_SIZE ? c->size * 2 : IN_SIZE;
	AZ(c->lender);
	p = realloc(c->in, size);
	if (p == NULL)
		return (-1);
	c->in = p;
	c->size = size;
	return (0);
}

/* Before somebody else may get the connection: what was lent goes back. */
static int
in_park(struct conn *c)
{
	size_t n = c->len - c->off;
	char *p;

	if (c->lender == NULL && n > 0)
		return (0);
	if (n == 0) {
		in_drop(c);
		return (0);
	}
	p = malloc(n + 2048);
	if (p == NULL)
		return (-1);
	(void)memcpy(p, c->in + c->off, n);
	in_drop(c);
	c->in = p;
	c->len = n;
	c->size = n + 2048;
	return (0);
}

/*
 * Read more.  A recv that did not fill the buffer has emptied the socket:
 * unless an event came since, another one would be in vain.
 */
static enum step
conn_read(struct worker *w, struct conn *c)
{
	ssize_t n;

	if (c->drained && !(atomic_load(&c->ev) & (EV_IN | EV_HUP)))
		return (WAIT_IN);
	if (in_room(w, c) != 0)
		return (GONE);
	do {
		(void)atomic_fetch_and(&c->ev, ~EV_IN);
		n = recv(c->fd, c->in + c->len, c->size - c->len, 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->drained = (size_t)n < c->size - c->len;
		c->len += (size_t)n;
		return (AGAIN);
	}
	if (n == 0 || errno != EAGAIN)
		return (GONE);
	c->drained = 1;
	(void)atomic_fetch_and(&c->ev, ~EV_HUP);
	return (WAIT_IN);
}

/* ---- writing --------------------------------------------------------------- */

int
conn_flush(struct conn *c)
{
	ssize_t n;

	while (c->out_off < c->out_len) {
		(void)atomic_fetch_and(&c->ev, ~EV_OUT);
		n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return (errno == EAGAIN ? 0 : -1);
		c->out_off += (size_t)n;
	}
	c->out_off = c->out_len = 0;
	return (0);
}

static int
out_keep(struct conn *c, const char *p, size_t n)
{
	size_t size;
	char *q;

	if (c->out_off > 0) {
		(void)memmove(c->out, c->out + c->out_off,
		    c->out_len - c->out_off);
		c->out_len -= c->out_off;
		c->out_off = 0;
	}
	if (c->out_len + n > c->out_size) {
		size = c->out_len + n + c->out_size / 2;
		q = realloc(c->out, size);
		if (q == NULL)
			return (-1);
		c->out = q;
		c->out_size = size;
	}
	(void)memcpy(c->out + c->out_len, p, n);
	c->out_len += n;
	return (0);
}

int
conn_write(struct conn *c, const char *p, size_t n)
{
	ssize_t m = 0;

	if (n == 0)
		return (0);
	if (c->out_len > 0) {
		if (conn_flush(c) != 0)
			return (-1);
		if (c->out_len > 0)
			return (out_keep(c, p, n));
	}
	do {
		(void)atomic_fetch_and(&c->ev, ~EV_OUT);
		m = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (m < 0 && errno == EINTR);
	if (m < 0 && errno != EAGAIN)
		return (-1);
	if (m < 0)
		m = 0;
	return ((size_t)m == n ? 0 : out_keep(c, p + m, n - (size_t)m));
}

int
conn_poll(const struct conn *c, int out, double deadline)
{
	struct pollfd pfd = {
		.fd = c->fd, .events = (short)(out ? POLLOUT : POLLIN),
	};
	double left;
	int n;

	do {
		left = deadline - mono_now();
		if (left <= 0)
			return (-1);
		n = poll(&pfd, 1, left > 3600 ? 3600000 :
		    (int)(left * 1000) + 1);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return (n > 0 ? 0 : -1);
}

void
conn_error(struct conn *c, unsigned status, const char *why, int retry)
{
	static const struct {
		unsigned	status;
		const char	*reason;
	} known[] = {
		{ 400, "Bad Request" }, { 408, "Request Timeout" },
		{ 417, "Expectation Failed" },
		{ 431, "Request Header Fields Too Large" },
		{ 501, "Not Implemented" }, { 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};
	const char *reason = "Error";
	char body[200], text[600];
	unsigned u;
	int n;

	for (u = 0; u < NELEM(known); u++)
		if (known[u].status == status)
			reason = known[u].reason;
	n = snprintf(body, sizeof body, "%u %s: %s\n", status, reason, why);
	if (n >= (int)sizeof body)
		n = (int)sizeof body - 1;
	n = snprintf(text, sizeof text,
	    "HTTP/1.1 %u %s\r\n"
	    "Content-Type: text/plain\r\n"
	    "Content-Length: %d\r\n"
	    "%s%s"
	    "\r\n%s", status, reason, n,
	    retry ? "Retry-After: 1\r\n" : "",
	    c->close_after ? "Connection: close\r\n" :
	    c->req.minor == 0 ? "Connection: keep-alive\r\n" : "",
	    c->req.complete && c->req.is_head ? "" : body);
	if (conn_write(c, text, (size_t)n) != 0) {
		c->close_after = 1;
		c->linger = 0;
	}
	set_deadline(c, T_WRITE);
	c->state = CONN_WRITE;
}

/* ---- one step -------------------------------------------------------------- */

/* A request that is none: say so and close. */
static enum step
refused(struct worker *w, struct conn *c)
{

	(void)atomic_fetch_add(&w->srv->n.bad_requests, 1);
	c->close_after = c->linger = 1;
	c->req.complete = 0;
	conn_error(c, c->req.status, c->req.why, 0);
	return (AGAIN);
}

/* More bytes of a request are wanted. */
static enum step
more(struct worker *w, struct conn *c)
{
	enum step st;

	st = conn_read(w, c);
	if (st == GONE && c->len > c->off)
		(void)atomic_fetch_add(&w->srv->n.client_gone, 1);
	return (st);
}

static enum step
step_head(struct worker *w, struct conn *c)
{
	size_t n = c->len - c->off;

	if (n == 0) {
		c->parsed = 0;
		if (atomic_load(&w->srv->stop))
			return (GONE);
		return (more(w, c));
	}
	if (c->parsed == 0) {
		req_init(&c->req);
		set_deadline(c, T_READ);
	}
	if (n == c->parsed)
		return (more(w, c));
	switch (req_head(&c->req, c->in + c->off, n, &c->parsed)) {
	case 0:
		return (AGAIN);
	case 1:
		break;
	default:
		return (refused(w, c));
	}
	c->body_len = 0;
	c->body_done = c->req.body == REQ_NONE;
	c->state = CONN_READY;
	if (c->req.body == REQ_CHUNKED ||
	    (c->req.body == REQ_LENGTH && c->req.length <= BODY_MAX))
		c->state = CONN_BODY;
	else if (c->req.body == REQ_LENGTH) {
		n = c->len - c->off - c->parsed;
		c->body_len = n < c->req.length ? n : (size_t)c->req.length;
		c->body_done = c->body_len == c->req.length;
	}
	return (AGAIN);
}

/* Decode what is there of a chunked body to where it starts. */
static enum step
body_chunked(struct worker *w, struct conn *c)
{
	char *to = c->in + c->off + c->parsed + c->body_len;
	size_t n = c->len - c->off - c->parsed - c->body_len, used, out;
	int rv;

	if (n == 0)
		return (more(w, c));
	rv = req_chunked(&c->req, to, n, &used, to, &out);
	if (rv < 0)
		return (refused(w, c));
	(void)memmove(to + out, to + used, n - used);
	c->len -= used - out;
	c->body_len += out;
	c->body_done = rv;
	if (c->body_done || c->body_len > BODY_MAX)
		c->state = CONN_READY;
	return (AGAIN);
}

static enum step
step_body(struct worker *w, struct conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	size_t n = c->len - c->off - c->parsed;

	if (c->req.expect && n == 0) {
		c->req.expect = 0;
		if (conn_write(c, go_on, sizeof go_on - 1) != 0)
			return (GONE);
	}
	if (too_late(c)) {
		c->req.status = 408;
		c->req.why = "the request did not come in time";
		return (refused(w, c));
	}
	if (c->req.body == REQ_CHUNKED)
		return (body_chunked(w, c));
	if (n < c->req.length)
		return (more(w, c));
	c->body_len = (size_t)c->req.length;
	c->body_done = 1;
	c->state = CONN_READY;
	return (AGAIN);
}

static enum step
step_write(struct worker *w, struct conn *c)
{
	size_t was = c->out_off;

	if (conn_flush(c) != 0)
		return (GONE);
	if (c->out_len > 0) {
		if (c->out_off != was)
			set_deadline(c, T_WRITE);
		return (WAIT_OUT);
	}
	free(c->out);
	c->out = NULL;
	c->out_size = 0;
	if (c->close_after) {
		if (!c->linger || c->reset_after)
			return (GONE);
		(void)shutdown(c->fd, SHUT_WR);
		set_deadline(c, T_LINGER);
		c->off = c->len = 0;
		c->state = CONN_LINGER;
		return (AGAIN);
	}
	/* On to the next request, perhaps it is here already. */
	c->off += c->parsed + c->body_len;
	c->parsed = 0;
	if (c->off == c->len)
		c->off = c->len = 0;
	if (atomic_load(&w->srv->stop))
		return (GONE);
	set_deadline(c, T_IDLE);
	c->state = CONN_HEAD;
	return (AGAIN);
}

/*
 * The client may still be sending what nobody wants; closing now could take
 * the answer away from it.
 */
static enum step
step_linger(struct worker *w, struct conn *c)
{

	c->off = c->len = 0;
	if (too_late(c))
		return (GONE);
	return (conn_read(w, c));
}

static enum step
conn_step(struct worker *w, struct conn *c)
{

	switch (c->state) {
	case CONN_HEAD:
		return (step_head(w, c));
	case CONN_BODY:
		return (step_body(w, c));
	case CONN_READY:
		/* Others' turn, if this one has had many. */
		if (w->may_run && (atomic_load(&w->srv->nqueue) == 0 ||
		    c->in_a_row++ < IN_A_ROW)) {
			serve(w, c);
			set_deadline(c, T_WRITE);
			return (AGAIN);
		}
		c->in_a_row = 0;
		if (in_park(c) != 0)
			return (GONE);
		queue_push(w->srv, c);
		return (HANDED);
	case CONN_WRITE:
		return (step_write(w, c));
	case CONN_LINGER:
		return (step_linger(w, c));
	default:
		return (GONE);
	}
}

/* ---- owning ---------------------------------------------------------------- */

static int
conn_arm(const struct srv *s, struct conn *c, int out)
{
	struct epoll_event ee = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
		.data.ptr = c,
	};

	if (c->added && (!out || c->want_out))
		return (0);
	if (out || c->want_out) {
		c->want_out = 1;
		ee.events |= EPOLLOUT;
	}
	if (epoll_ctl(s->ep, c->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd,
	    &ee) != 0)
		return (-1);
	c->added = 1;
	return (0);
}

/* 1: it is somebody else's now.  0: something came up, go on. */
static int
conn_release(struct conn *c, unsigned wanted)
{
	unsigned ev = atomic_load(&c->ev);

	do {
		if (ev & wanted)
			return (0);
	} while (!atomic_compare_exchange_weak(&c->ev, &ev, ev & ~EV_OWNED));
	return (1);
}

void
conn_drive(struct worker *w, struct conn *c)
{
	struct srv *s = w->srv;
	enum step st;

	CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
	for (;;) {
		st = conn_step(w, c);
		if (st == AGAIN)
			continue;
		if (st == HANDED)
			return;
		if (st == GONE || in_park(c) != 0 ||
		    conn_arm(s, c, st == WAIT_OUT) != 0) {
			conn_close(s, c);
			return;
		}
		if (conn_release(c, st == WAIT_OUT ? EV_OUT : EV_IN | EV_HUP))
			return;
	}
}

void
conn_offer(struct worker *w, struct conn *c)
{

	if (conn_arm(w->srv, c, 0) != 0)
		conn_close(w->srv, c);
	else if (!conn_release(c, EV_IN | EV_HUP))
		conn_drive(w, c);
}

void
conn_event(struct worker *w, struct conn *c, uint32_t events)
{
	unsigned ev = EV_OWNED;

	CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
	if (events & EPOLLIN)
		ev |= EV_IN;
	if (events & EPOLLOUT)
		ev |= EV_OUT;
	if (events & EPOLLRDHUP)
		ev |= EV_IN | EV_HUP;
	if (events & (EPOLLHUP | EPOLLERR))
		ev |= EV_IN | EV_OUT | EV_HUP;
	if (atomic_fetch_or(&c->ev, ev) & EV_OWNED)
		return;
	conn_drive(w, c);
}

void
conn_expire(struct worker *w, struct conn *c, int64_t now)
{
	int64_t deadline = atomic_load(&c->deadline);

	if (deadline == 0 || deadline > now)
		return;
	if (atomic_fetch_or(&c->ev, EV_OWNED) & EV_OWNED)
		return;
	deadline = atomic_load(&c->deadline);
	if (deadline == 0 || deadline > now) {
		conn_drive(w, c);
		return;
	}
	if (c->state == CONN_BODY ||
	    (c->state == CONN_HEAD && c->len > c->off)) {
		(void)atomic_fetch_add(&w->srv->n.timeouts, 1);
		c->close_after = 1;
		c->req.complete = 0;
		conn_error(c, 408, "the request did not come in time", 0);
	}
	conn_close(w->srv, c);
}
