/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One request on one machine: take it, pass the request on, pass the answer
 * back as it comes, give the machine back.  Once the whole answer has been
 * read the client's speed is no longer the machine's business.
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "obj.h"
#include "server/server.h"

struct xfer {
	struct worker	*w;
	struct conn	*c;
	struct tkvm_fork *fork;
	struct tkvm_exchange *ex;
	int64_t		start;		/* ms */
	double		deadline;	/* client_deadline(); 0: not asked */
	int		answered;	/* a header went out */
	int		chunked;	/* its body has chunks */
	int		to_eof;		/* ... or ends by closing */
	int		keep;		/* the guest keeps its connection */
	int		too_slow;	/* the client, in taking it */
	struct tkvm_error err;		/* not cleared: only said if set */
};

/* What a phase of the exchange came to. */
enum phase {
	PH_OK,
	PH_ERROR,			/* x->err */
	PH_CLIENT,			/* the client is gone */
};

/* ---- errors -------------------------------------------------------------- */

/* Each one when verbose, else one a second: a guest can make many. */
void
count_error(struct srv *s, const struct tkvm_error *err)
{
	static _Atomic int64_t last;
	int64_t now = mono_ms(), then = atomic_load(&last);

	if ((unsigned)err->code < TKVM_E_MAX)
		(void)atomic_fetch_add(&s->n.errors[err->code], 1);
	if (!s->opt->verbose && (now < then + 1000 ||
	    !atomic_compare_exchange_strong(&last, &then, now)))
		return;
	logf_line(TKVM_LOG_ERROR, "%s: %s", tkvm_code_name(err->code),
	    err->text);
}

static void
answer_error(struct conn *c, const struct tkvm_error *err)
{

	conn_error(c, 503, tkvm_code_name(err->code),
	    err->code == TKVM_E_BUSY);
}

/*
 * What it does to the machine.  A reset repairs whatever the guest did, but a
 * resident machine goes on from where it is.
 */
static int
is_broken(const struct srv *s, enum tkvm_code code)
{

	switch (code) {
	case TKVM_E_KVM:
	case TKVM_E_MEMORY:
	case TKVM_E_INTERNAL:
		return (1);
	case TKVM_E_CRASH:
	case TKVM_E_EXIT:
	case TKVM_E_LIMIT:
	case TKVM_E_TIMEOUT:
		return (!s->opt->ephemeral);
	default:
		return (0);
	}
}

/* ---- the request --------------------------------------------------------- */

/* 0: go on.  1: the guest reads no more.  -1: x->err. */
static int
send_piece(struct xfer *x, const char *p, size_t n)
{
	char head[24];
	int rv;

	if (x->c->req.body != REQ_CHUNKED || x->c->body_done)
		return (tkvm_exchange_send(x->ex, p, n, &x->err));
	if (n == 0)
		return (0);
	(void)snprintf(head, sizeof head, "%zx\r\n", n);
	rv = tkvm_exchange_send(x->ex, head, strlen(head), &x->err);
	if (rv == 0)
		rv = tkvm_exchange_send(x->ex, p, n, &x->err);
	if (rv == 0)
		rv = tkvm_exchange_send(x->ex, "\r\n", 2, &x->err);
	return (rv);
}

/*
 * A client may be waited for until the machine's own time is over.  Most need
 * no wait, and the coarse clock will do.
 */
static double
client_deadline(struct xfer *x)
{

	if (x->deadline == 0)
		x->deadline = (double)x->start * 1e-3 +
		    x->w->srv->opt->max_request_time;
	return (x->deadline);
}

/* Body bytes from the client; > 0, or 0: gone, or -1: too late (x->err). */
static ssize_t
read_client(struct xfer *x, size_t max)
{
	struct conn *c = x->c;
	ssize_t n;

	while (mono_now() < client_deadline(x)) {
		(void)atomic_fetch_and(&c->ev, ~EV_IN);
		n = recv(c->fd, x->w->io, max, MSG_DONTWAIT);
		if (n >= 0)
			return (n);
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return (0);
		if (conn_poll(c, 0, client_deadline(x)) != 0)
			break;
	}
	(void)err_set(&x->err, TKVM_E_TIMEOUT, "tenant \"%s\": the client "
	    "did not send its request within max-request-time",
	    x->w->srv->opt->tenant);
	return (-1);
}

/* What follows the request is kept. */
static int
keep_rest(struct xfer *x, const char *p, size_t n)
{
	struct conn *c = x->c;

	if (n == 0)
		return (0);
	c->in = malloc(n + 2048);
	if (c->in == NULL)
		return (err_set(&x->err, TKVM_E_MEMORY, "out of memory"));
	(void)memcpy(c->in, p, n);
	c->len = n;
	c->size = n + 2048;
	return (0);
}

/*
 * The head and what had come with it have been passed on, so nothing that is
 * worth keeping is left in c->in.
 */
static void
in_forget(struct conn *c)
{

	conn_in_drop(c);
	c->parsed = c->body_len = 0;
	c->drained = 0;
}

static enum phase
stream_length(struct xfer *x, uint64_t left)
{
	ssize_t n;
	int rv;

	while (left > 0) {
		n = read_client(x, left < IO_SIZE ? (size_t)left : IO_SIZE);
		if (n <= 0)
			return (n == 0 ? PH_CLIENT : PH_ERROR);
		left -= (uint64_t)n;
		rv = tkvm_exchange_send(x->ex, x->w->io, (size_t)n, &x->err);
		if (rv < 0)
			return (PH_ERROR);
		if (rv > 0)
			break;
	}
	x->c->body_done = left == 0;
	return (PH_OK);
}

static enum phase
stream_chunks(struct xfer *x)
{
	char *io = x->w->io;
	size_t used, len;
	ssize_t n;
	int end = 0, rv;

	while (!end) {
		n = read_client(x, IO_SIZE);
		if (n <= 0)
			return (n == 0 ? PH_CLIENT : PH_ERROR);
		end = req_chunked(&x->c->req, io, (size_t)n, &used, io, &len);
		if (end < 0)
			return (PH_CLIENT);
		rv = send_piece(x, io, len);
		if (rv == 0 && end)
			rv = tkvm_exchange_send(x->ex, "0\r\n\r\n", 5,
			    &x->err);
		if (rv < 0 ||
		    (end && keep_rest(x, io + used, (size_t)n - used) != 0))
			return (PH_ERROR);
		if (rv > 0)
			break;
	}
	x->c->body_done = end;
	return (PH_OK);
}

/* A body too large to be kept: from the client to the guest. */
static enum phase
stream_body(struct xfer *x)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct conn *c = x->c;
	uint64_t left = c->req.length - c->body_len;
	int wait = c->req.expect && c->body_len == 0;

	in_forget(c);
	if (wait && conn_write(c, go_on, sizeof go_on - 1) != 0)
		return (PH_CLIENT);
	if (c->req.body == REQ_LENGTH)
		return (stream_length(x, left));
	return (stream_chunks(x));
}

static enum phase
send_request(struct xfer *x)
{
	struct conn *c = x->c;
	size_t n;
	int rv;

	n = request_head(c, x->w->io, IO_SIZE);
	if (n == 0) {
		(void)err_set(&x->err, TKVM_E_LIMIT, "tenant \"%s\": the head "
		    "of the request is too large", x->w->srv->opt->tenant);
		return (PH_ERROR);
	}
	rv = tkvm_exchange_send(x->ex, x->w->io, n, &x->err);
	if (rv == 0 && c->body_len > 0)
		rv = send_piece(x, c->in + c->off + c->parsed, c->body_len);
	if (rv < 0)
		return (PH_ERROR);
	if (rv > 0 || c->body_done)
		return (PH_OK);
	return (stream_body(x));
}

/* ---- the answer ---------------------------------------------------------- */

/*
 * Send, and as long as the machine has more to say let the client not fall
 * behind by more than OUT_HIGH.
 */
static enum phase
pass_on(struct xfer *x, const char *p, size_t n, int last)
{
	struct conn *c = x->c;

	x->answered = 1;
	if (conn_write(c, p, n) != 0)
		return (PH_CLIENT);
	while (!last && c->out_len - c->out_off > OUT_HIGH) {
		if (conn_poll(c, 1, client_deadline(x)) != 0) {
			x->too_slow = 1;
			(void)err_set(&x->err, TKVM_E_TIMEOUT, "tenant "
			    "\"%s\": the client did not take the answer "
			    "within max-request-time",
			    x->w->srv->opt->tenant);
			return (PH_ERROR);
		}
		if (conn_flush(c) != 0)
			return (PH_CLIENT);
	}
	return (PH_OK);
}

/* Put body bytes at `p` into their frame; its length. */
static size_t
frame(char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	unsigned u;
	size_t m = n;

	/* Fixed width, so that the bytes can be read in place first. */
	for (u = 6; u > 0; u--) {
		p[u - 1] = hex[m & 15];
		m >>= 4;
	}
	p[6] = '\r';
	p[7] = '\n';
	p[8 + n] = '\r';
	p[9 + n] = '\n';
	return (n + 10);
}

static enum phase
pass_body(struct xfer *x, size_t n)
{
	char *out = x->w->out;
	enum phase ph;
	ssize_t m;
	int done;

	do {
		m = 0;
		done = tkvm_exchange_done(x->ex);
		if (!done)
			m = tkvm_exchange_body(x->ex,
			    out + n + (x->chunked ? 8 : 0), OUT_BODY, 0,
			    &x->err);
		if (m < 0) {
			if (pass_on(x, out, n, 1) != PH_OK)
				return (PH_CLIENT);
			return (PH_ERROR);
		}
		done = m == 0 || tkvm_exchange_done(x->ex);
		if (m > 0)
			n += x->chunked ? frame(out + n, (size_t)m) :
			    (size_t)m;
		if (done && x->chunked) {
			(void)memcpy(out + n, "0\r\n\r\n", 5);
			n += 5;
		}
		ph = pass_on(x, out, n, done);
		n = 0;
	} while (ph == PH_OK && !done);
	return (ph);
}

static enum phase
pass_answer(struct xfer *x)
{
	struct tkvm_response resp;
	struct conn *c = x->c;
	struct reply rp;

	if (tkvm_exchange_head(x->ex, 0, &resp, &x->err) != 0)
		return (PH_ERROR);
	/* The rest of the request is still under way: not a next request. */
	if (!c->body_done)
		c->close_after = c->linger = 1;
	reply_head(c, &resp, x->w->out, OUT_SIZE - OUT_BODY - 32, &rp);
	if (rp.len == 0) {
		(void)err_set(&x->err, TKVM_E_PROTO, "tenant \"%s\": the "
		    "header of the answer is too large",
		    x->w->srv->opt->tenant);
		return (PH_ERROR);
	}
	x->chunked = rp.chunked;
	x->keep = c->body_done && resp.body != TKVM_BODY_EOF && !rp.closes;
	x->to_eof = !x->chunked && (resp.body == TKVM_BODY_CHUNKED ||
	    resp.body == TKVM_BODY_EOF);
	return (pass_body(x, rp.len));
}

/* ---- all of it ----------------------------------------------------------- */

static enum phase
exchange(struct xfer *x)
{
	struct conn *c = x->c;
	enum phase ph;

	tkvm_fork_client(x->fork, c->id);
	tkvm_fork_listener(x->fork, c->listener->nr);
	if (tkvm_fork_open(x->fork, c->peerlen > 0 ? &c->peer.sa : NULL,
	    c->peerlen, 0, &x->err) != 0)
		return (PH_ERROR);
	x->ex = tkvm_exchange_new(x->fork, c->req.is_head, &x->err);
	if (x->ex == NULL)
		return (PH_ERROR);
	ph = send_request(x);
	if (ph == PH_OK)
		ph = pass_answer(x);
	tkvm_exchange_free(&x->ex);
	return (ph);
}

/* Tell the client, or break off the answer that it is getting. */
static void
failed(struct xfer *x)
{
	struct conn *c = x->c;

	count_error(x->w->srv, &x->err);
	if (!x->answered) {
		if (!c->body_done)
			c->close_after = c->linger = 1;
		answer_error(c, &x->err);
		return;
	}
	c->close_after = 1;
	c->linger = 0;
	c->reset_after = x->to_eof || x->too_slow;
	/* What it did not take in time it need not take now. */
	if (x->too_slow)
		c->out_off = c->out_len = 0;
}

static void
give_back(struct xfer *x, enum phase ph)
{
	struct srv *s = x->w->srv;

	if (!s->opt->ephemeral && x->keep && ph == PH_OK)
		tkvm_fork_keep(x->fork);
	else if (!s->opt->ephemeral)
		tkvm_fork_close(x->fork);
	tkvm_pool_give(s->pool, &x->fork,
	    ph == PH_ERROR && is_broken(s, x->err.code));
}

void
serve(struct worker *w, struct conn *c)
{
	struct xfer x;
	struct srv *s = w->srv;
	double queued = 0;
	enum phase ph = PH_ERROR;

	CHECK_OBJ_NOTNULL(w, WORKER_MAGIC);
	CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
	(void)memset(&x, 0, offsetof(struct xfer, err));
	x.err.code = TKVM_OK;
	x.err.text[0] = '\0';
	x.w = w;
	x.c = c;
	(void)atomic_fetch_add(&s->busy, 1);
	(void)atomic_fetch_add(&s->n.requests, 1);
	c->state = CONN_WRITE;
	c->close_after = !c->req.keep_alive || atomic_load(&s->stop);
	x.fork = tkvm_pool_take(s->pool, &queued, &x.err);
	if (queued > 0)
		(void)atomic_fetch_add(&s->n.queue_us,
		    (uint64_t)(queued * 1e6));
	x.start = mono_ms();
	if (x.fork != NULL)
		ph = exchange(&x);
	else if (x.err.code == TKVM_E_BUSY)
		(void)atomic_fetch_add(&s->n.rejected, 1);
	if (ph == PH_ERROR)
		failed(&x);
	else if (ph == PH_OK)
		(void)atomic_fetch_add(&s->n.answers, 1);
	else {
		(void)atomic_fetch_add(&s->n.client_gone, 1);
		c->close_after = 1;
		c->linger = 0;
		c->out_off = c->out_len = 0;
	}
	if (x.fork != NULL)
		give_back(&x, ph);
	(void)atomic_fetch_sub(&s->busy, 1);
}

/* It waited for a worker for too long, or there are too many who do. */
void
serve_busy(struct worker *w, struct conn *c, double waited)
{
	struct tkvm_error err;
	struct srv *s = w->srv;

	(void)atomic_fetch_add(&s->n.rejected, 1);
	(void)atomic_fetch_add(&s->n.requests, 1);
	if (waited > 0)
		(void)err_set(&err, TKVM_E_BUSY, "tenant \"%s\": no machine "
		    "was free for %.3f s (queue-time)", s->opt->tenant,
		    waited);
	else
		(void)err_set(&err, TKVM_E_BUSY, "tenant \"%s\": too many "
		    "requests wait for a machine (queue-limit)",
		    s->opt->tenant);
	count_error(s, &err);
	c->close_after = !c->req.keep_alive;
	if (!c->body_done)
		c->close_after = c->linger = 1;
	answer_error(c, &err);
	(void)conn_drive(w, c);
}
