/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A client's connection: reads requests, hands complete ones to serve(), gets
 * the rest of answers out, closes.  Runs on whatever thread owns the
 * connection.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "obj.h"
#include "server/server.h"

/* What a step of the connection's life came to. */
enum step { AGAIN, WAIT_IN, WAIT_OUT, HANDED, GONE };

/* A client that never stops sending never leaves its owner's hands. */
static int
too_late(struct conn *c)
{

	return (mono_ms() > atomic_load_explicit(&c->deadline,
	    memory_order_relaxed));
}

/* ---- answers of our own -------------------------------------------------- */

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
	(void)conn_deadline(c, T_WRITE);
	c->state = CONN_WRITE;
}

/* ---- one step ------------------------------------------------------------ */

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

	switch (conn_read(w, c)) {
	case 1:
		return (AGAIN);
	case 0:
		return (WAIT_IN);
	default:
		if (c->len > c->off)
			(void)atomic_fetch_add(&w->srv->n.client_gone, 1);
		return (GONE);
	}
}

static enum step
step_head(struct worker *w, struct conn *c)
{
	size_t n = c->len - c->off;
	int first;

	if (n == 0) {
		c->parsed = 0;
		if (atomic_load(&w->srv->stop))
			return (GONE);
		return (more(w, c));
	}
	if (n == c->parsed)
		return (more(w, c));
	first = c->parsed == 0;
	if (first)
		req_init(&c->req);
	switch (req_head(&c->req, c->in + c->off, n, &c->parsed)) {
	case 0:
		if (first)
			(void)conn_deadline(c, T_READ);
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
	if (first && c->state == CONN_BODY)
		(void)conn_deadline(c, T_READ);
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

/*
 * An answer is out, and its machine is as new.  Clients that ask on or go at
 * once have done so meanwhile: then epoll need not tell.  Not if others might
 * wait, nor for ever, nor again soon where it was in vain.
 */
static int
look_ahead(const struct worker *w, struct conn *c, int64_t now)
{

	if (c->shy > 0) {
		c->shy--;
		return (0);
	}
	if (!w->may_run || ((c->added || c->turn > 0) &&
	    atomic_load(&w->srv->nopen) > w->srv->opt->threads))
		return (0);
	if (c->turn == 0)
		c->turn_ms = now;
	return (c->turn++ < IN_A_ROW && now - c->turn_ms <= TURN_MS);
}

static enum step
step_write(struct worker *w, struct conn *c)
{
	size_t was = c->out_off;

	if (conn_flush(c) != 0)
		return (GONE);
	if (c->out_len > 0) {
		if (c->out_off != was)
			(void)conn_deadline(c, T_WRITE);
		return (WAIT_OUT);
	}
	free(c->out);
	c->out = NULL;
	c->out_size = 0;
	if (c->close_after) {
		if (!c->linger || c->reset_after)
			return (GONE);
		(void)shutdown(c->fd, SHUT_WR);
		(void)conn_deadline(c, T_LINGER);
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
	c->ahead = look_ahead(w, c, conn_deadline(c, T_IDLE));
	if (c->ahead)
		c->drained = 0;
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
	return (more(w, c));
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
			if (c->out_len > c->out_off)
				(void)conn_deadline(c, T_WRITE);
			return (AGAIN);
		}
		c->in_a_row = 0;
		if (conn_in_park(c) != 0)
			return (GONE);
		queue_push(w->srv, c, w->may_run ? 0 : w->srv->lag);
		return (HANDED);
	case CONN_WRITE:
		return (step_write(w, c));
	case CONN_LINGER:
		return (step_linger(w, c));
	default:
		return (GONE);
	}
}

/* ---- owning -------------------------------------------------------------- */

static int
conn_arm(const struct srv *s, struct conn *c, int out)
{
	struct epoll_event ee = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
		.data.ptr = c,
	};

	if (atomic_load_explicit(&c->deadline, memory_order_relaxed) == 0)
		(void)conn_deadline(c, T_READ);	/* it is new */
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

const struct listener *
conn_drive(struct worker *w, struct conn *c)
{
	const struct listener *l;
	struct srv *s = w->srv;
	enum step st;

	CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
	for (;;) {
		st = conn_step(w, c);
		if (st == AGAIN)
			continue;
		if (st == HANDED)
			return (NULL);
		if (st == GONE || conn_in_park(c) != 0 ||
		    conn_arm(s, c, st == WAIT_OUT) != 0) {
			l = c->listener;
			conn_close(w, c);
			return (l);
		}
		c->turn = 0;
		if (conn_release(c, st == WAIT_OUT ? EV_OUT : EV_IN | EV_HUP))
			return (NULL);
	}
}

void
conn_offer(struct worker *w, struct conn *c)
{

	if (conn_arm(w->srv, c, 0) != 0)
		conn_close(w, c);
	else if (!conn_release(c, EV_IN | EV_HUP))
		(void)conn_drive(w, c);
}

const struct listener *
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
		return (NULL);
	return (conn_drive(w, c));
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
		(void)conn_drive(w, c);
		return;
	}
	if (c->state == CONN_BODY ||
	    (c->state == CONN_HEAD && c->len > c->off)) {
		(void)atomic_fetch_add(&w->srv->n.timeouts, 1);
		c->close_after = 1;
		c->req.complete = 0;
		conn_error(c, 408, "the request did not come in time", 0);
	}
	conn_close(w, c);
}
