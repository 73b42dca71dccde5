/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One request and its answer over an opened fork: what DESIGN calls "When a
 * request is finished".
 *
 * The guest runs as rarely as can be: when its ring is full and there is more
 * to send, and when bytes of the answer are wanted that are not there.  So a
 * small request is one run: everything is sent without, the head needs one,
 * and the body is there with it.
 *
 * Where bytes of the answer can be, in the order of the stream:
 *   spill   decoded body bytes, taken out while the request was being sent
 *   buf     bytes as the guest wrote them: the head, what came with it, chunks
 *   ring    the guest's, read by tkvm_fork_recv()
 *
 * Every error but a misuse of ours ends the exchange: it is kept, and each
 * later call returns it again.
 */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "conf/options.h"
#include "conn/exchange.h"
#include "conn/http_parse.h"
#include "conn/spill.h"
#include "error.h"
#include "obj.h"

#define BUF_SIZE	(16 * 1024)

struct tkvm_exchange {
	unsigned	magic;
#define EXCHANGE_MAGIC	0x45584348
#define SPARE_MAGIC	0x45585350	/* waits in its fork */
	struct tkvm_fork *fork;
	const struct tkvm_options *opt;
	struct http_parse *hp;
	const struct tkvm_response *resp; /* NULL: head incomplete */
	struct spill	spill;
	char		*buf;		/* buf[b] ... buf[e - 1] */
	size_t		b, e;

	uint64_t	raw;		/* bytes of the answer seen */
	uint64_t	body;		/* decoded bytes, spilled or taken */
	int		complete;	/* the end of the answer was seen */
	int		stop;		/* it reads no more request bytes */

	int		begun;		/* it ran: there may be an answer */
	int		idle;		/* last run, nothing sent since */
	int		drained;	/* took from its ring since it ran */
	int		ran;		/* in this call */
	int		gone;		/* never run it again */
	struct tkvm_error gone_err;	/* why */
	int		failed;
	struct tkvm_error err;		/* why */
};

/* ---- errors -------------------------------------------------------------- */

/* In the words the options use for a tenant. */
static void
name_tenant(struct tkvm_exchange *ex)
{

	if (*ex->opt->tenant != '\0')
		err_prefix(&ex->err, "tenant \"%s\"", ex->opt->tenant);
}

static int __attribute__((format(printf, 3, 4)))
ex_err(struct tkvm_exchange *ex, enum tkvm_code code, const char *fmt, ...)
{
	va_list ap;

	ex->err.code = code;
	va_start(ap, fmt);
	(void)vsnprintf(ex->err.text, sizeof ex->err.text, fmt, ap);
	va_end(ap);
	name_tenant(ex);
	return (-1);
}

/*
 * End the exchange with ex->err.  When the guest is gone, that explains
 * whatever else was found wrong.
 */
static int
fail(struct tkvm_exchange *ex, struct tkvm_error *err)
{

	struct tkvm_fork_state st;
	size_t len;

	if (!ex->failed && ex->gone)
		ex->err = ex->gone_err;
	tkvm_fork_state(ex->fork, &st);
	len = strlen(ex->err.text);
	if (!ex->failed && st.no_process != NULL)
		(void)snprintf(ex->err.text + len, sizeof ex->err.text - len,
		    "; it called %s, but a guest is one process and cannot "
		    "start another (is there an option to serve without a "
		    "process for each connection?)", st.no_process);
	ex->failed = 1;
	if (err != NULL)
		*err = ex->err;
	return (-1);
}

/* How far the answer has come, for error texts. */
static const char *
progress(const struct tkvm_exchange *ex, char *s, size_t len)
{

	if (ex->raw == 0)
		(void)snprintf(s, len, "nothing was answered");
	else if (ex->resp == NULL)
		(void)snprintf(s, len,
		    "the header of the answer is incomplete");
	else if (ex->resp->body == TKVM_BODY_LENGTH)
		(void)snprintf(s, len, "%" PRIu64 " of %" PRIu64
		    " body bytes were answered", ex->body, ex->resp->length);
	else if (ex->resp->body == TKVM_BODY_CHUNKED)
		(void)snprintf(s, len, "%" PRIu64
		    " body bytes were answered, but no last chunk", ex->body);
	else
		(void)snprintf(s, len, "%" PRIu64 " body bytes were answered, "
		    "without Content-Length or chunks, and the connection "
		    "is still open", ex->body);
	return (s);
}

static int
err_stuck(struct tkvm_exchange *ex)
{
	char s[200];

	return (ex_err(ex, TKVM_E_STUCK, "the guest waits for nothing: %s, "
	    "and no timer could wake it", progress(ex, s, sizeof s)));
}

static int
err_until(struct tkvm_exchange *ex)
{
	char s[200];

	return (ex_err(ex, TKVM_E_TIMEOUT, "%s timeout: %s",
	    ex->resp == NULL ? "first byte" : "between bytes",
	    progress(ex, s, sizeof s)));
}

static int
err_closed(struct tkvm_exchange *ex)
{

	if (ex->raw == 0)
		return (ex_err(ex, TKVM_E_CLOSED,
		    "the guest closed the connection without answering"));
	if (ex->resp == NULL)
		return (ex_err(ex, TKVM_E_CLOSED, "the guest closed the "
		    "connection in the middle of the header"));
	if (ex->resp->body == TKVM_BODY_LENGTH)
		return (ex_err(ex, TKVM_E_CLOSED, "the guest closed after %"
		    PRIu64 " of %" PRIu64 " bytes of the body", ex->body,
		    ex->resp->length));
	return (ex_err(ex, TKVM_E_CLOSED, "the guest closed after %" PRIu64
	    " bytes of the body, before the last chunk", ex->body));
}

/* ---- bytes that are there ------------------------------------------------ */

static size_t
ring_take(struct tkvm_exchange *ex, void *p, size_t len)
{
	size_t n;

	n = tkvm_fork_recv(ex->fork, p, len);
	assert(n <= len);
	if (n > 0)
		ex->drained = 1;
	ex->raw += n;
	return (n);
}

/* Something to parse in buf?  Fill it only when it is empty. */
static int
fill(struct tkvm_exchange *ex)
{

	if (ex->b == ex->e) {
		ex->b = 0;
		ex->e = ring_take(ex, ex->buf, BUF_SIZE);
	}
	return (ex->b < ex->e);
}

/*
 * Nothing more will come: closed, or gone.  To be asked when the bytes that
 * were there have been used up.
 */
static int
ended(struct tkvm_exchange *ex)
{
	struct tkvm_fork_state st;

	if (ex->gone)
		return (1);
	tkvm_fork_state(ex->fork, &st);
	return (st.closed && st.out == 0);
}

/* More of a body than max-response-body?  0, or -1: ex->err */
static int
check_body(struct tkvm_exchange *ex, uint64_t bytes)
{
	const unsigned max = ex->opt->max_response_body;

	if (max == 0 || bytes <= (uint64_t)max << 20)
		return (0);
	return (ex_err(ex, TKVM_E_LIMIT, "the body of the answer is larger "
	    "than max-response-body (%u MiB)", max));
}

/* Parse on with the head. */
static int
take_head(struct tkvm_exchange *ex)
{
	ssize_t n;

	while (ex->resp == NULL && fill(ex)) {
		n = http_parse_head(ex->hp, ex->buf + ex->b, ex->e - ex->b,
		    &ex->err);
		if (n < 0) {
			name_tenant(ex);
			return (-1);
		}
		ex->b += (size_t)n;
		ex->resp = http_parse_response(ex->hp);
	}
	if (ex->resp != NULL && ex->resp->body == TKVM_BODY_LENGTH &&
	    check_body(ex, ex->resp->length) != 0)
		return (-1);
	if (ex->resp != NULL && (ex->resp->body == TKVM_BODY_NONE ||
	    (ex->resp->body == TKVM_BODY_LENGTH && ex->resp->length == 0)))
		ex->complete = 1;
	return (0);
}

/* Content-Length and end-of-file: past the parser. */
static size_t
take_plain(struct tkvm_exchange *ex, char *p, size_t len)
{
	struct tkvm_fork_state st;
	uint64_t left;
	size_t n;

	if (ex->resp->body == TKVM_BODY_LENGTH) {
		left = ex->resp->length - ex->body;
		if (len > left)
			len = left;
	}
	n = ex->e - ex->b;
	if (n > len)
		n = len;
	if (n > 0)
		(void)memcpy(p, ex->buf + ex->b, n);
	ex->b += n;
	if (n < len)
		n += ring_take(ex, p + n, len - n);
	ex->body += n;
	if (ex->resp->body == TKVM_BODY_LENGTH) {
		ex->complete = (ex->body == ex->resp->length);
	} else if (ex->b == ex->e) {
		tkvm_fork_state(ex->fork, &st);
		ex->complete = (st.closed && st.out == 0);
	}
	return (n);
}

static ssize_t
take_chunked(struct tkvm_exchange *ex, char *p, size_t len)
{
	size_t done = 0, in, out;
	ssize_t used;

	while (done < len && !ex->complete && fill(ex)) {
		/* No more bytes come out than go in. */
		in = ex->e - ex->b;
		if (in > len - done)
			in = len - done;
		used = http_parse_chunked(ex->hp, ex->buf + ex->b, in,
		    p + done, &out, &ex->err);
		if (used < 0) {
			name_tenant(ex);
			return (-1);
		}
		ex->b += (size_t)used;
		done += out;
		ex->body += out;
		ex->complete = http_parse_ended(ex->hp);
	}
	return ((ssize_t)done);
}

/* Decoded body bytes that are there: how many, 0: none, -1: ex->err. */
static ssize_t
take_body(struct tkvm_exchange *ex, char *p, size_t len)
{

	ssize_t n;

	AN(ex->resp);
	if (ex->complete)
		return (0);
	if (ex->resp->body == TKVM_BODY_CHUNKED)
		n = take_chunked(ex, p, len);
	else
		n = (ssize_t)take_plain(ex, p, len);
	if (n > 0 && check_body(ex, ex->body) != 0)
		return (-1);
	return (n);
}

/* Take all that is there, body bytes into the spill. */
static int
drain(struct tkvm_exchange *ex)
{
	ssize_t n = 1;
	size_t room;
	char *p;

	if (take_head(ex))
		return (-1);
	while (ex->resp != NULL && !ex->complete && n > 0) {
		p = spill_space(&ex->spill, &room);
		if (p == NULL)
			return (ex_err(ex, TKVM_E_MEMORY,
			    "no memory to keep the answer in"));
		n = take_body(ex, p, room);
		if (n < 0)
			return (-1);
		spill_commit(&ex->spill, (size_t)n);
		/* Afterwards: framing behind the last byte is no byte more. */
		if (ex->spill.len >
		    (uint64_t)ex->opt->max_response_buffer << 20)
			return (ex_err(ex, TKVM_E_LIMIT, "the guest answered "
			    "more than max-response-buffer (%u MiB) before it "
			    "had read the request",
			    ex->opt->max_response_buffer));
	}
	return (0);
}

/* ---- running the guest --------------------------------------------------- */

static void
run(struct tkvm_exchange *ex)
{

	AZ(ex->gone);
	ex->begun = 1;
	ex->drained = 0;
	ex->idle = 0;
	ex->ran = 1;
	switch (tkvm_fork_run(ex->fork, &ex->gone_err)) {
	case TKVM_RUN_IDLE:
		ex->idle = 1;
		break;
	case TKVM_RUN_OUTPUT:
		break;
	case TKVM_RUN_GONE:
		ex->gone = 1;
		break;
	}
}

/*
 * It is idle: what next?  1: wait is over, run it.  0: until.  -1: ex->err,
 * with TKVM_OK for "nothing could wake it".
 */
static int
wait_idle(struct tkvm_exchange *ex, double until)
{
	int r;

	ex->err.code = TKVM_OK;
	r = tkvm_fork_wait(ex->fork, until, &ex->err);
	if (r >= 0 || ex->err.code != TKVM_OK)
		return (r);
	/* There is room in its ring that it does not know of yet. */
	return (ex->drained ? 1 : -1);
}

static int
is_past(double until)
{
	struct timespec ts;

	if (until <= 0)
		return (0);
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + (double)ts.tv_nsec * 1e-9 >= until);
}

/* More of the answer is wanted than is there. */
static int
run_on(struct tkvm_exchange *ex, double until)
{

	if (ex->idle) {
		switch (wait_idle(ex, until)) {
		case 1:
			break;
		case 0:
			return (err_until(ex));
		default:
			if (ex->err.code != TKVM_OK)
				return (-1);
			return (err_stuck(ex));
		}
	} else if (ex->ran && is_past(until))
		return (err_until(ex));
	tkvm_fork_limit(ex->fork, until);
	run(ex);
	return (0);
}

/* ---- sending ------------------------------------------------------------- */

/*
 * Its ring is full, and it idles without reading.  0: run it again.  1: it
 * will not read on.  -1: ex->err.
 */
static int
send_idle(struct tkvm_exchange *ex)
{
	int r;

	if (ex->drained)		/* it may have waited for room */
		return (0);
	if (ex->resp != NULL)
		return (1);
	do
		r = wait_idle(ex, 0);
	while (r == 0);
	if (r == 1)
		return (0);
	if (ex->err.code != TKVM_OK)
		return (-1);
	if (ex->raw > 0)
		return (1);
	return (ex_err(ex, TKVM_E_STUCK, "the guest waits for nothing: it does "
	    "not read the request body and does not answer"));
}

/* Make room by running it.  0: try again.  1: it will not read on. */
static int
send_run(struct tkvm_exchange *ex)
{
	struct tkvm_fork_state st;

	run(ex);
	if (drain(ex))
		return (-1);
	if (ex->complete)
		return (1);
	if (ex->gone)
		return (-1);
	tkvm_fork_state(ex->fork, &st);
	return (st.closed != 0);
}

int
tkvm_exchange_send(struct tkvm_exchange *ex, const void *ptr, size_t len,
    struct tkvm_error *err)
{
	const char *p = ptr;
	size_t n;
	int r;

	CHECK_OBJ_NOTNULL(ex, EXCHANGE_MAGIC);
	if (ex->failed)
		return (fail(ex, err));
	while (!ex->stop && !ex->complete && !ex->gone) {
		if (len == 0)
			return (0);
		AN(p);
		n = tkvm_fork_send(ex->fork, p, len);
		assert(n <= len);
		if (n > 0)
			ex->idle = 0;
		p += n;
		len -= n;
		if (len == 0)
			return (0);
		r = ex->idle ? send_idle(ex) : 0;
		if (r == 0)
			r = send_run(ex);
		if (r < 0)
			return (fail(ex, err));
		ex->stop = r;
	}
	return (1);
}

/* ---- receiving ----------------------------------------------------------- */

/*
 * The head is there.  When it is already known that the body will never be,
 * say so now: the caller can still answer 503.
 */
static int
check_rest(struct tkvm_exchange *ex)
{
	struct tkvm_fork_state st;
	uint64_t have;

	if (ex->complete)
		return (0);
	if (ex->gone) {
		if (drain(ex))
			return (-1);
		return (ex->complete ? 0 : -1);
	}
	if (ex->resp->body != TKVM_BODY_LENGTH)
		return (0);
	have = ex->body + (ex->e - ex->b);
	if (have >= ex->resp->length)
		return (0);
	tkvm_fork_state(ex->fork, &st);
	have += st.out;
	if (!st.closed || have >= ex->resp->length)
		return (0);
	ex->body = have;
	return (err_closed(ex));
}

int
tkvm_exchange_head(struct tkvm_exchange *ex, double until,
    struct tkvm_response *resp, struct tkvm_error *err)
{

	CHECK_OBJ_NOTNULL(ex, EXCHANGE_MAGIC);
	AN(resp);
	if (ex->failed)
		return (fail(ex, err));
	ex->ran = 0;
	for (;;) {
		if (ex->begun && take_head(ex))
			return (fail(ex, err));
		if (ex->resp != NULL)
			break;
		if (ex->begun && ended(ex)) {
			(void)err_closed(ex);
			return (fail(ex, err));
		}
		if (run_on(ex, until))
			return (fail(ex, err));
	}
	if (check_rest(ex))
		return (fail(ex, err));
	*resp = *ex->resp;
	return (0);
}

ssize_t
tkvm_exchange_body(struct tkvm_exchange *ex, void *ptr, size_t len,
    double until, struct tkvm_error *err)
{
	ssize_t n;

	CHECK_OBJ_NOTNULL(ex, EXCHANGE_MAGIC);
	AN(ptr);
	AN(len);
	if (ex->failed)
		return (fail(ex, err));
	AN(ex->resp);			/* _head comes first */
	ex->ran = 0;
	for (;;) {
		n = (ssize_t)spill_get(&ex->spill, ptr, len);
		if (n == 0)
			n = take_body(ex, ptr, len);
		if (n > 0)
			return (n);
		if (n < 0)
			return (fail(ex, err));
		if (ex->complete)
			return (0);
		if (ended(ex)) {
			(void)err_closed(ex);
			return (fail(ex, err));
		}
		if (run_on(ex, until))
			return (fail(ex, err));
	}
}

int
tkvm_exchange_done(const struct tkvm_exchange *ex)
{

	CHECK_OBJ_NOTNULL(ex, EXCHANGE_MAGIC);
	return (!ex->failed && ex->resp != NULL && ex->complete &&
	    ex->spill.len == 0);
}

/* ---- life ---------------------------------------------------------------- */

static void
exchange_destroy(struct tkvm_exchange **exp)
{
	struct tkvm_exchange *ex = *exp;

	*exp = NULL;
	if (ex->hp != NULL)
		http_parse_free(&ex->hp);
	free(ex->buf);
	FREE_OBJ(ex);
}

static struct tkvm_exchange *
exchange_alloc(void)
{
	struct tkvm_exchange *ex;

	ALLOC_OBJ(ex, EXCHANGE_MAGIC);
	if (ex == NULL)
		return (NULL);
	ex->hp = http_parse_new(0);
	ex->buf = malloc(BUF_SIZE);
	if (ex->hp == NULL || ex->buf == NULL)
		exchange_destroy(&ex);
	return (ex);
}

/* All but `err` and `gone_err`, which are filled when they are needed. */
static void
exchange_start(struct tkvm_exchange *ex, struct tkvm_fork *fork)
{

	ex->magic = EXCHANGE_MAGIC;
	ex->fork = fork;
	ex->opt = fork_options(fork);
	CHECK_OBJ_NOTNULL(ex->opt, OPTIONS_MAGIC);
	ex->resp = NULL;
	spill_init(&ex->spill);
	ex->b = ex->e = 0;
	ex->raw = ex->body = 0;
	ex->complete = ex->stop = 0;
	ex->begun = ex->idle = ex->drained = ex->ran = 0;
	ex->gone = ex->failed = 0;
	ex->err.code = ex->gone_err.code = TKVM_OK;
	ex->err.text[0] = ex->gone_err.text[0] = '\0';
}

struct tkvm_exchange *
tkvm_exchange_new(struct tkvm_fork *fork, int head_request,
    struct tkvm_error *err)
{
	struct tkvm_exchange *ex, **spare;

	AN(fork);
	spare = fork_spare(fork);
	ex = *spare;
	*spare = NULL;
	if (ex != NULL)
		assert(ex->magic == SPARE_MAGIC);
	else
		ex = exchange_alloc();
	if (ex == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "no memory for an exchange");
		return (NULL);
	}
	exchange_start(ex, fork);
	http_parse_again(ex->hp, head_request);
	http_parse_limits(ex->hp, ex->opt->max_response_headers,
	    (size_t)ex->opt->max_response_header_size << 10);
	return (ex);
}

void
tkvm_exchange_free(struct tkvm_exchange **exp)
{
	struct tkvm_exchange *ex, **spare;

	TAKE_OBJ_NOTNULL(ex, exp, EXCHANGE_MAGIC);
	spill_fini(&ex->spill);
	ex->magic = SPARE_MAGIC;
	spare = fork_spare(ex->fork);
	if (*spare == NULL)
		*spare = ex;
	else
		exchange_destroy(&ex);
}

void
exchange_spare_free(struct tkvm_exchange **spare)
{

	AN(spare);
	if (*spare != NULL)
		exchange_destroy(spare);
}
