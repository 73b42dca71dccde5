/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The exchange: when the guest is run, when a request is finished, and every
 * way a guest can fail to answer, over a fork without a machine.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_fork.h"

#define MiB	(1UL << 20)
#define LATER	1e18		/* `until` far away */
#define EARLIER	1e-9		/* `until` long gone */
#define REQ	"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK	"HTTP/1.1 200 OK\r\n"
#define ROOM	(64 * 1024)

/* ---- helpers ------------------------------------------------------------- */

struct test {
	struct tkvm_fork *f;
	struct tkvm_exchange *ex;
	struct tkvm_response resp;
	struct tkvm_error err;
	char		*body;
	size_t		len;
};

static void
setup(struct test *t, size_t in, size_t out, int head)
{

	(void)memset(t, 0, sizeof *t);
	t->f = fake_new(in, out);
	t->ex = tkvm_exchange_new(t->f, head, &t->err);
	assert_non_null(t->ex);
}

static void
answers(struct test *t, const char *s)
{

	t->f->answer = s;
	t->f->answer_len = strlen(s);
}

static void
teardown(struct test *t)
{

	tkvm_exchange_free(&t->ex);
	assert_null(t->ex);
	fake_free(&t->f);
	free(t->body);
}

static void
is_error(struct test *t, ssize_t ret, enum tkvm_code code, const char *text)
{
	struct tkvm_response r;
	struct tkvm_error e;
	char c;

	assert_int_equal(ret, -1);
	assert_string_equal(tkvm_code_name(t->err.code), tkvm_code_name(code));
	if (strstr(t->err.text, text) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", t->err.text, text);
	assert_false(tkvm_exchange_done(t->ex));
	/* and so it stays */
	e = t->err;
	assert_int_equal(tkvm_exchange_send(t->ex, "x", 1, &t->err), -1);
	assert_memory_equal(&t->err, &e, sizeof e);
	assert_int_equal(tkvm_exchange_head(t->ex, 0, &r, NULL), -1);
	assert_int_equal(tkvm_exchange_body(t->ex, &c, 1, 0, NULL), -1);
}

/* Read the body to its end, `step` bytes at a time; the last return value. */
static ssize_t
read_body(struct test *t, size_t step)
{
	ssize_t r;
	char *p;

	/* Each read into memory of its own size, for ASan */
	p = malloc(step);
	assert_non_null(p);
	t->len = 0;
	for (;;) {
		r = tkvm_exchange_body(t->ex, p, step, LATER, &t->err);
		if (r <= 0)
			break;
		assert_in_range(r, 1, step);
		t->body = realloc(t->body, t->len + (size_t)r + 1);
		assert_non_null(t->body);
		(void)memcpy(t->body + t->len, p, (size_t)r);
		t->len += (size_t)r;
		t->body[t->len] = '\0';
	}
	free(p);
	return (r);
}

static void
good_body(struct test *t, size_t step, const char *want)
{
	unsigned runs;

	if (read_body(t, step) != 0)
		fail_msg("%s", t->err.text);
	assert_int_equal(t->len, strlen(want));
	if (t->len > 0)
		assert_string_equal(t->body, want);
	assert_true(tkvm_exchange_done(t->ex));
	/* the end stays the end, without a run */
	runs = t->f->runs;
	assert_int_equal(read_body(t, step), 0);
	assert_int_equal(t->len, 0);
	assert_int_equal(t->f->runs, runs);
}

static void
send_ok(struct test *t, const char *s)
{

	assert_int_equal(tkvm_exchange_send(t->ex, s, strlen(s), &t->err), 0);
}

static int
get_head(struct test *t)
{

	return (tkvm_exchange_head(t->ex, LATER, &t->resp, &t->err));
}

static void
good_head(struct test *t, unsigned status)
{

	if (get_head(t))
		fail_msg("%s", t->err.text);
	assert_int_equal(t->resp.status, status);
}

static char *
pattern(size_t len)
{
	size_t i;
	char *p;

	p = malloc(len + 1);
	assert_non_null(p);
	for (i = 0; i < len; i++)
		p[i] = (char)('a' + (i * 7 + i / 26) % 26);
	p[len] = '\0';
	return (p);
}

/* ---- good answers -------------------------------------------------------- */

struct framing {
	const char	*answer;
	const char	*body;
	int		head, closes;
};

static const struct framing framings[] = {
	{ OK "Content-Length: 5\r\n\r\nhello", "hello", 0, 0 },
	{ OK "Content-Length: 5\r\n\r\nhello", "hello", 0, 1 },
	{ OK "Content-Length: 0\r\n\r\n", "", 0, 0 },
	{ OK "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK", "hello", 0, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n"
	    "0\r\nTrail: er\r\n\r\n", "hello", 0, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", 0, 0 },
	{ OK "\r\nhello", "hello", 0, 1 },
	{ "HTTP/1.0 200 OK\r\n\r\n", "", 0, 1 },
	{ OK "Content-Length: 5\r\n\r\n", "", 1, 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n", "", 1, 0 },
	{ OK "\r\n", "", 1, 0 },
	{ "HTTP/1.1 204 No\r\n\r\n", "", 0, 0 },
	{ "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", "", 0, 0 },
	{ "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\nx", "x",
	    0, 0 },
};

/* A request that fits and an answer that is there at once: one run. */
static void
test_small(void **state)
{
	const struct framing *fr;
	struct test t;

	(void)state;
	for (fr = framings; fr < framings + NELEM(framings); fr++) {
		setup(&t, ROOM, ROOM, fr->head);
		answers(&t, fr->answer);
		t.f->want = strlen(REQ);
		t.f->end = fr->closes ? END_CLOSE : END_IDLE;
		assert_false(tkvm_exchange_done(t.ex));
		send_ok(&t, REQ);
		assert_int_equal(t.f->runs, 0);
		good_head(&t, fr->answer[9] == '1' ? 200 :
		    (unsigned)atoi(fr->answer + 9));
		good_body(&t, 4096, fr->body);
		assert_int_equal(t.f->runs, 1);
		assert_int_equal(t.f->waits, 0);
		teardown(&t);
	}
}

/* done() needs no read of 0 bytes, so that the reset need not wait for it. */
static void
test_done_early(void **state)
{
	static const char *const s[] = {
		OK "Content-Length: 5\r\n\r\nhello",
		OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		OK "\r\nhello",
	};
	struct test t;
	char buf[100];
	unsigned i;

	(void)state;
	for (i = 0; i < NELEM(s); i++) {
		setup(&t, ROOM, ROOM, 0);
		answers(&t, s[i]);
		t.f->end = END_CLOSE;
		send_ok(&t, REQ);
		good_head(&t, 200);
		assert_false(tkvm_exchange_done(t.ex));
		assert_int_equal(tkvm_exchange_body(t.ex, buf, sizeof buf, 0,
		    &t.err), 5);
		assert_true(tkvm_exchange_done(t.ex));
		teardown(&t);
	}
}

static void
test_framings(void **state)
{
	static const size_t pieces[] = { 1, 2, 3, 7, 20, 0 };
	static const size_t sizes[] = { 1, 5, 16, ROOM };
	const struct framing *fr;
	struct test t;
	unsigned i, j, k;

	(void)state;
	for (fr = framings; fr < framings + NELEM(framings); fr++) {
	    for (i = 0; i < NELEM(pieces) * 2; i++) {
		for (j = 0; j < NELEM(sizes); j++) {
		    for (k = 0; k < NELEM(sizes); k++) {
			setup(&t, sizes[j], sizes[j], fr->head);
			answers(&t, fr->answer);
			t.f->want = strlen(REQ);
			t.f->piece = pieces[i / 2];
			t.f->end = fr->closes ? END_CLOSE : END_IDLE;
			if (i & 1) {
				t.f->paced = 1;
				t.f->timers = 10000;
			}
			send_ok(&t, REQ);
			if (get_head(&t))
				fail_msg("%s", t.err.text);
			good_body(&t, sizes[k], fr->body);
			assert_int_equal(t.f->sum, fake_sum(0, REQ,
			    strlen(REQ)));
			teardown(&t);
		    }
		}
	    }
	}
}

/* Sleeps between chunks: what is there is handed out before any wait. */
static void
test_paced(void **state)
{
	static const char s[] = OK "Transfer-Encoding: chunked\r\n\r\n"
	    "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
	struct test t;
	char buf[100];

	(void)state;
	setup(&t, ROOM, ROOM, 0);
	answers(&t, s);
	t.f->paced = 1;
	t.f->timers = 100;
	t.f->piece = strlen(OK "Transfer-Encoding: chunked\r\n\r\n");
	send_ok(&t, REQ);
	good_head(&t, 200);
	assert_int_equal(t.f->waits, 0);
	t.f->piece = 7;
	assert_int_equal(tkvm_exchange_body(t.ex, buf, sizeof buf, LATER,
	    &t.err), 2);
	assert_memory_equal(buf, "ab", 2);
	assert_int_equal(t.f->waits, 1);
	assert_int_equal(tkvm_exchange_body(t.ex, buf, sizeof buf, LATER,
	    &t.err), 2);
	assert_memory_equal(buf, "cd", 2);
	assert_int_equal(t.f->waits, 2);
	assert_false(tkvm_exchange_done(t.ex));
	assert_int_equal(tkvm_exchange_body(t.ex, buf, sizeof buf, LATER,
	    &t.err), 0);
	assert_int_equal(t.f->waits, 3);
	assert_int_equal(t.f->runs, 4);
	assert_true(tkvm_exchange_done(t.ex));
	teardown(&t);
}

/* The answer is complete, the guest computes on: nobody waits for it. */
static void
test_computes_on(void **state)
{
	struct test t;

	(void)state;
	setup(&t, ROOM, ROOM, 0);
	answers(&t, OK "Content-Length: 2\r\n\r\nokx");
	t.f->piece = t.f->answer_len - 1;	/* so: RUN_OUTPUT */
	send_ok(&t, REQ);
	good_head(&t, 200);
	good_body(&t, 100, "ok");
	assert_int_equal(t.f->runs, 1);
	teardown(&t);
}

/* ---- no (whole) answer --------------------------------------------------- */

struct failure {
	const char	*answer;
	int		end;
	enum tkvm_code	code;
	const char	*text;
	int		in_head;
};

static const struct failure failures[] = {
	{ "", END_CLOSE, TKVM_E_CLOSED, "without answering", 1 },
	{ "HTTP/1.1 200 O", END_CLOSE, TKVM_E_CLOSED, "middle of the header",
	    1 },
	{ "HTTP/1.1 100 Continue\r\n\r\n", END_CLOSE, TKVM_E_CLOSED,
	    "middle of the header", 1 },
	{ OK "Content-Length: 5\r\n\r\nhel", END_CLOSE, TKVM_E_CLOSED,
	    "after 3 of 5 bytes", -1 },
	{ OK "Content-Length: 5\r\n\r\nhell", END_CLOSE, TKVM_E_CLOSED,
	    "after 4 of 5 bytes", -1 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
	    END_CLOSE, TKVM_E_CLOSED, "after 5 bytes", 0 },
	{ "", END_IDLE, TKVM_E_STUCK, "the guest waits for nothing", 1 },
	{ "HTTP/1.1 200 O", END_IDLE, TKVM_E_STUCK,
	    "the guest waits for nothing", 1 },
	{ OK "Content-Length: 5\r\n\r\nhel", END_IDLE, TKVM_E_STUCK,
	    "3 of 5", 0 },
	{ OK "\r\nhel", END_IDLE, TKVM_E_STUCK, "without Content-Length", 0 },
	{ "", END_GONE, TKVM_E_CRASH, "signal 11", 1 },
	{ "", END_CLOSE_GONE, TKVM_E_CRASH, "signal 11", 1 },
	{ "HTTP/1.1 200 O", END_GONE, TKVM_E_CRASH, "signal 11", 1 },
	{ OK "Content-Length: 5\r\n\r\nhel", END_GONE, TKVM_E_CRASH,
	    "signal 11", -1 },
	{ OK "\r\nhello", END_GONE, TKVM_E_CRASH, "signal 11", -1 },
	{ "garbage\r\n\r\n", END_IDLE, TKVM_E_PROTO, "not HTTP", 1 },
	{ "garbage\r\n\r\n", END_GONE, TKVM_E_CRASH, "signal 11", -2 },
	{ OK "Transfer-Encoding: chunked\r\n\r\nhello\r\n", END_IDLE,
	    TKVM_E_PROTO, "not HTTP", 0 },
	{ "HTTP/1.1 101 Switching\r\n\r\n", END_IDLE, TKVM_E_PROTO,
	    "upgrades are not supported", 1 },
};

/* in_head: 1 yes, 0 no, -1 when it comes in one piece, -2 only then at all */
static void
test_failures(void **state)
{
	const struct failure *fa;
	struct test t;
	size_t piece;
	int r;

	(void)state;
	for (fa = failures; fa < failures + NELEM(failures); fa++) {
		for (piece = 0; piece <= strlen(fa->answer); piece++) {
			setup(&t, ROOM, ROOM, 0);
			answers(&t, fa->answer);
			t.f->end = fa->end;
			t.f->piece = piece;
			send_ok(&t, REQ);
			r = get_head(&t);
			if (fa->in_head == 1 || (fa->in_head < 0 &&
			    piece == 0)) {
				is_error(&t, r, fa->code, fa->text);
				assert_non_null(strstr(t.err.text,
				    fa->code == TKVM_E_CRASH ? "" : "shop"));
			} else if (fa->in_head == 0 || r == 0) {
				assert_int_equal(r, 0);
				is_error(&t, read_body(&t, 100), fa->code,
				    fa->text);
			} else if (fa->in_head == -1)
				is_error(&t, r, fa->code, fa->text);
			teardown(&t);
		}
	}
}

/* The header is out: what was answered before the end is handed out. */
static void
test_gone_in_body(void **state)
{
	static const char head[] = OK "Content-Length: 9\r\n\r\n";
	struct test t;
	char s[200];

	(void)state;
	setup(&t, ROOM, ROOM, 0);
	(void)snprintf(s, sizeof s, "%shello", head);
	answers(&t, s);
	t.f->piece = strlen(head);
	t.f->end = END_GONE;
	send_ok(&t, REQ);
	good_head(&t, 200);
	is_error(&t, read_body(&t, 3), TKVM_E_CRASH, "signal 11");
	assert_int_equal(t.len, 5);
	assert_memory_equal(t.body, "hello", 5);
	teardown(&t);
}

/* Nothing is sent any more when the answer is complete, or the guest gone. */
static void
test_send_after(void **state)
{
	static const char s[] = OK "Content-Length: 2\r\n\r\nhi";
	struct test t;
	char c;

	(void)state;
	setup(&t, 10, ROOM, 0);
	answers(&t, s);
	send_ok(&t, "x");
	good_head(&t, 200);
	good_body(&t, 100, "hi");
	assert_int_equal(tkvm_exchange_send(t.ex, s, 30, &t.err), 1);
	assert_int_equal(t.f->in.len, 1);
	assert_int_equal(t.f->runs, 1);
	teardown(&t);

	setup(&t, 10, ROOM, 0);
	answers(&t, s);
	t.f->answer_len--;
	t.f->piece = t.f->answer_len - 1;
	t.f->end = END_GONE;
	send_ok(&t, "x");
	good_head(&t, 200);
	assert_int_equal(tkvm_exchange_body(t.ex, &c, 1, 0, &t.err), 1);
	assert_int_equal(tkvm_exchange_send(t.ex, s, 30, &t.err), 1);
	is_error(&t, read_body(&t, 10), TKVM_E_CRASH, "signal 11");
	teardown(&t);
}

/* It answers, then dies: the answer is good. */
static void
test_gone_complete(void **state)
{
	const struct framing *fr;
	struct test t;
	size_t piece;

	(void)state;
	for (fr = framings; fr < framings + NELEM(framings); fr++) {
		for (piece = 0; piece < 40; piece++) {
			setup(&t, ROOM, ROOM, fr->head);
			answers(&t, fr->answer);
			t.f->end = fr->closes ? END_CLOSE_GONE : END_GONE;
			t.f->piece = piece;
			send_ok(&t, REQ);
			if (get_head(&t))
				fail_msg("%s", t.err.text);
			good_body(&t, 100, fr->body);
			teardown(&t);
		}
	}
}

static void
test_timeouts(void **state)
{
	struct test t;
	char c[10];

	(void)state;
	/* idle until `until` */
	setup(&t, ROOM, ROOM, 0);
	t.f->until = 1;
	send_ok(&t, REQ);
	is_error(&t, get_head(&t), TKVM_E_TIMEOUT, "first byte timeout");
	assert_int_equal(t.f->runs, 1);
	teardown(&t);
	/* idle until the deadline */
	setup(&t, ROOM, ROOM, 0);
	t.f->deadline = 1;
	t.f->timers = 3;
	send_ok(&t, REQ);
	is_error(&t, tkvm_exchange_head(t.ex, 0, &t.resp, &t.err),
	    TKVM_E_TIMEOUT, "max-request-time");
	assert_int_equal(t.f->runs, 4);
	teardown(&t);
	/* never idle, no end of header */
	setup(&t, ROOM, ROOM, 0);
	answers(&t, OK "Content-Length: 2\r\n\r\nhi");
	t.f->piece = 1;
	send_ok(&t, REQ);
	is_error(&t, tkvm_exchange_head(t.ex, EARLIER, &t.resp, &t.err),
	    TKVM_E_TIMEOUT, "first byte timeout");
	assert_int_equal(t.f->runs, 1);
	teardown(&t);
	/* between bytes */
	setup(&t, ROOM, ROOM, 0);
	answers(&t, OK "Content-Length: 2\r\n\r\nh");
	send_ok(&t, REQ);
	good_head(&t, 200);
	t.f->until = 1;
	assert_int_equal(tkvm_exchange_body(t.ex, c, sizeof c, LATER, &t.err),
	    1);
	is_error(&t, tkvm_exchange_body(t.ex, c, sizeof c, LATER, &t.err),
	    TKVM_E_TIMEOUT, "between bytes timeout: 1 of 2");
	teardown(&t);
}

/* ---- sending ------------------------------------------------------------- */

static void
test_send_large(void **state)
{
	static const size_t sizes[] = { 1, 13, 4096, ROOM };
	size_t len = 300000, n, at;
	struct test t;
	unsigned i;
	char *p;

	(void)state;
	p = pattern(len);
	for (i = 0; i < NELEM(sizes); i++) {
		setup(&t, sizes[i], ROOM, 0);
		answers(&t, OK "Content-Length: 2\r\n\r\nhi");
		t.f->want = len;
		for (at = 0; at < len; at += n) {
			n = len - at < 16000 ? len - at : 16000;
			assert_int_equal(tkvm_exchange_send(t.ex, p + at, n,
			    &t.err), 0);
		}
		/* only when the ring was full, not after the last piece */
		assert_int_equal(t.f->runs, (len - 1) / sizes[i]);
		assert_int_equal(tkvm_exchange_send(t.ex, NULL, 0, &t.err), 0);
		good_head(&t, 200);
		assert_int_equal(t.f->runs, (len - 1) / sizes[i] + 1);
		assert_int_equal(t.f->read, len);
		assert_int_equal(t.f->sum, fake_sum(0, p, len));
		good_body(&t, 100, "hi");
		teardown(&t);
	}
	free(p);
}

static char echo_buf[ROOM];
static size_t echo_len, echo_at;
static const char *echo_head;

/* Writes a head, then what it reads while it reads; as a blocking program. */
static enum tkvm_run
echo(struct tkvm_fork *f, struct tkvm_error *err)
{

	(void)err;
	for (;;) {
		while (*echo_head != '\0') {
			if (guest_write(f, echo_head, 1) == 0)
				return (TKVM_RUN_OUTPUT);
			echo_head++;
		}
		while (echo_at < echo_len) {
			if (f->out.len == f->out.size)
				return (TKVM_RUN_OUTPUT);
			echo_at += guest_write(f, echo_buf + echo_at,
			    echo_len - echo_at);
		}
		echo_at = 0;
		echo_len = guest_read(f, echo_buf, sizeof echo_buf);
		if (echo_len == 0)
			return (TKVM_RUN_IDLE);
	}
}

/* The same program by epoll: it idles when it can neither read nor write. */
static enum tkvm_run
echo_idle(struct tkvm_fork *f, struct tkvm_error *err)
{

	(void)echo(f, err);
	return (TKVM_RUN_IDLE);
}

static void
echo_case(guest_f *guest, size_t len, size_t in, size_t out, int chunked)
{
	struct test t;
	char head[100], line[20];
	size_t n, at;
	char *p;

	p = pattern(len);
	setup(&t, in, out, 0);
	t.f->guest = guest;
	echo_len = echo_at = 0;
	echo_head = head;
	if (chunked)
		(void)snprintf(head, sizeof head, OK
		    "Transfer-Encoding: chunked\r\n\r\n");
	else
		(void)snprintf(head, sizeof head, OK
		    "Content-Length: %zu\r\n\r\n", len);
	for (at = 0; at < len; at += n) {
		n = len - at < 32000 ? len - at : 32000;
		(void)snprintf(line, sizeof line, "%zx\r\n", n);
		if (chunked)
			send_ok(&t, line);
		if (tkvm_exchange_send(t.ex, p + at, n, &t.err) != 0)
			fail_msg("%s", t.err.text);
		if (chunked)
			send_ok(&t, "\r\n");
	}
	if (chunked)
		send_ok(&t, "0\r\n\r\n");
	good_head(&t, 200);
	assert_false(tkvm_exchange_done(t.ex));
	t.body = malloc(len + 1);
	assert_non_null(t.body);
	for (at = 0; at < len; at += n) {
		n = (size_t)tkvm_exchange_body(t.ex, t.body + at,
		    len - at < 100000 ? len - at : 100000, LATER, &t.err);
		assert_in_range(n, 1, len - at);
	}
	assert_memory_equal(t.body, p, len);
	assert_int_equal(tkvm_exchange_body(t.ex, t.body, 1, LATER, &t.err), 0);
	assert_true(tkvm_exchange_done(t.ex));
	teardown(&t);
	free(p);
}

static void
test_echo(void **state)
{

	(void)state;
	echo_case(echo, 64 * MiB, ROOM, ROOM, 0);
	echo_case(echo, 64 * MiB, ROOM, ROOM, 1);
	echo_case(echo, MiB, 4096, 512, 0);
	echo_case(echo, MiB, 512, 4096, 1);
	echo_case(echo_idle, MiB, 4096, 512, 0);
	echo_case(echo_idle, MiB, 512, 4096, 1);
	echo_case(echo_idle, 100, ROOM, ROOM, 1);
}

/* More than max-response-buffer. */
static void
test_spill_limit(void **state)
{
	static const char head[] = OK "\r\n";
	struct test t;
	int r = 0;
	size_t n;
	char *p;

	(void)state;
	p = pattern(10000);
	setup(&t, ROOM, ROOM, 0);
	t.f->guest = echo;
	t.f->opt.max_response_buffer = 1;
	echo_len = echo_at = 0;
	echo_head = head;
	for (n = 0; r == 0 && n < 10 * MiB; n += 10000)
		r = tkvm_exchange_send(t.ex, p, 10000, &t.err);
	assert_in_range(n, MiB, 2 * MiB);
	is_error(&t, r, TKVM_E_LIMIT, "max-response-buffer");
	teardown(&t);
	free(p);
}

/* Answers 413 and the like without reading the body. */
static void
test_early_answer(void **state)
{
	static const struct framing early[] = {
		{ "HTTP/1.1 413 Too\r\nContent-Length: 2\r\n\r\nno", "no",
		    0, 0 },
		{ "HTTP/1.1 413 Too\r\nTransfer-Encoding: chunked\r\n\r\n"
		    "2\r\nno\r\n0\r\n\r\n", "no", 0, 0 },
		{ "HTTP/1.1 413 Too\r\nConnection: close\r\n\r\nno", "no",
		    0, 1 },
		{ "HTTP/1.1 413 Too\r\nContent-Length: 2\r\n\r\nno", "no",
		    0, 1 },
	};
	const struct framing *fr;
	struct test t;
	size_t piece;
	char *p;

	(void)state;
	p = pattern(100000);
	for (fr = early; fr < early + NELEM(early); fr++) {
		for (piece = 0; piece <= strlen(fr->answer); piece++) {
			setup(&t, 4096, ROOM, 0);
			answers(&t, fr->answer);
			t.f->want = 100;
			t.f->piece = piece;
			t.f->end = fr->closes ? END_CLOSE : END_IDLE;
			assert_int_equal(tkvm_exchange_send(t.ex, p, 100000,
			    &t.err), 1);
			assert_int_equal(tkvm_exchange_send(t.ex, p, 100000,
			    &t.err), 1);
			good_head(&t, 413);
			assert_false(tkvm_exchange_done(t.ex));
			good_body(&t, 100, fr->body);
			assert_int_equal(t.f->read, 100);
			teardown(&t);
		}
	}
	/* The header only, the body by and by. */
	setup(&t, 4096, ROOM, 0);
	answers(&t, early[0].answer);
	t.f->want = 100;
	t.f->piece = strlen(early[0].answer) - 2;
	t.f->paced = 1;
	t.f->timers = 1;
	assert_int_equal(tkvm_exchange_send(t.ex, p, 100000, &t.err), 1);
	assert_int_equal(t.f->waits, 0);
	good_head(&t, 413);
	good_body(&t, 100, "no");
	teardown(&t);
	/* Complete, then dead. */
	setup(&t, 4096, ROOM, 0);
	answers(&t, early[0].answer);
	t.f->want = 100;
	t.f->end = END_GONE;
	assert_int_equal(tkvm_exchange_send(t.ex, p, 100000, &t.err), 1);
	good_head(&t, 413);
	good_body(&t, 100, "no");
	teardown(&t);
	free(p);
}

static void
test_never_reads(void **state)
{
	struct test t;
	char *p;

	(void)state;
	p = pattern(10000);
	setup(&t, 4096, ROOM, 0);
	is_error(&t, tkvm_exchange_send(t.ex, p, 10000, &t.err), TKVM_E_STUCK,
	    "does not read the request body");
	assert_int_equal(t.f->runs, 1);
	teardown(&t);
	/* timers do not help it */
	setup(&t, 4096, ROOM, 0);
	t.f->timers = 3;
	is_error(&t, tkvm_exchange_send(t.ex, p, 10000, &t.err), TKVM_E_STUCK,
	    "does not read the request body");
	assert_int_equal(t.f->runs, 4);
	teardown(&t);
	setup(&t, 4096, ROOM, 0);
	t.f->timers = 3;
	t.f->deadline = 1;
	is_error(&t, tkvm_exchange_send(t.ex, p, 10000, &t.err),
	    TKVM_E_TIMEOUT, "max-request-time");
	teardown(&t);
	/* it has begun to say something */
	setup(&t, 4096, ROOM, 0);
	answers(&t, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_int_equal(tkvm_exchange_send(t.ex, p, 10000, &t.err), 1);
	is_error(&t, get_head(&t), TKVM_E_STUCK, "waits for nothing");
	teardown(&t);
	/* closes */
	setup(&t, 4096, ROOM, 0);
	t.f->end = END_CLOSE;
	assert_int_equal(tkvm_exchange_send(t.ex, p, 10000, &t.err), 1);
	is_error(&t, get_head(&t), TKVM_E_CLOSED, "without answering");
	teardown(&t);
	/* dies */
	setup(&t, 4096, ROOM, 0);
	t.f->want = 100;
	t.f->end = END_GONE;
	is_error(&t, tkvm_exchange_send(t.ex, p, 10000, &t.err), TKVM_E_CRASH,
	    "signal 11");
	teardown(&t);
	/* answers garbage */
	setup(&t, 4096, ROOM, 0);
	answers(&t, "nonsense");
	is_error(&t, tkvm_exchange_send(t.ex, p, 10000, &t.err), TKVM_E_PROTO,
	    "not HTTP");
	teardown(&t);
	free(p);
}

/* ---- random bytes, random cuts ------------------------------------------- */

static uint64_t seed = 42;

static unsigned
rnd(unsigned n)
{

	seed = seed * 6364136223846793005UL + 1442695040888963407UL;
	return ((unsigned)(seed >> 33) % n);
}

static size_t
make_answer(char *s, size_t size)
{
	static const char *const part[] = {
		OK, "HTTP/1.1 100 C\r\n\r\n", "\r\n", "\n", "\r", " ", "0", "5",
		"Content-Length: ", "Transfer-Encoding: chunked\r\n", "hello",
		"3\r\nabc\r\n", "0\r\n\r\n", "X: y\r\n", ":", "HTTP/1.1 204 N",
		"ffffffff", "Connection: close\r\n", "\r\n\r\n", ";x=1", "-",
	};
	const char *p;
	size_t len, l;

	if (rnd(2) == 0)		/* a good one, damaged below */
		len = (size_t)snprintf(s, size, "%s",
		    framings[rnd(NELEM(framings))].answer);
	else
		len = (size_t)snprintf(s, size, "%s", OK);
	while (rnd(8) > 0) {
		p = part[rnd(NELEM(part))];
		l = strlen(p);
		if (len + l > size)
			break;
		(void)memcpy(s + len, p, l);
		len += l;
	}
	while (rnd(3) == 0 && len > 0)
		s[rnd((unsigned)len)] = (char)rnd(256);
	if (rnd(20) == 0) {
		for (l = 0; l < len; l++)
			s[l] = (char)rnd(256);
	}
	return (len);
}

struct outcome {
	int		head, body;	/* last return values */
	unsigned	status;
	enum tkvm_code	code;
	size_t		len;
	uint64_t	sum;
};

static void
fuzz_one(const char *s, size_t len, int end, size_t in, size_t out,
    size_t piece, size_t step, struct outcome *o)
{
	struct test t;

	(void)memset(o, 0, sizeof *o);
	setup(&t, in, out, 0);
	t.f->answer = s;
	t.f->answer_len = len;
	t.f->want = strlen(REQ);
	t.f->end = end;
	t.f->piece = piece;
	t.f->paced = (piece & 1) != 0;
	t.f->timers = 100000;
	send_ok(&t, REQ);
	t.f->timers = t.f->paced ? 100000 : 0;
	o->head = get_head(&t);
	if (o->head == 0) {
		o->status = t.resp.status;
		o->body = (int)read_body(&t, step);
		o->len = t.len;
		o->sum = fake_sum(0, t.body, t.len);
	}
	if (o->head != 0 || o->body != 0)
		o->code = t.err.code;
	teardown(&t);
}

/* However an answer is cut, it is the same answer. */
static void
test_random(void **state)
{
	struct outcome a, b;
	unsigned i, j;
	char s[600];
	size_t len;
	int end;

	(void)state;
	for (i = 0; i < 4000; i++) {
		len = make_answer(s, sizeof s);
		end = rnd(2) ? END_CLOSE : END_IDLE;
		fuzz_one(s, len, end, ROOM, ROOM, 0, ROOM, &a);
		for (j = 0; j < 4; j++) {
			fuzz_one(s, len, end, 1 + rnd(200), 1 + rnd(200),
			    1 + rnd(j == 0 ? 1 : 100), 1 + rnd(100), &b);
			/* the body's error may be known with the head */
			assert_int_equal(a.code, b.code);
			if (a.head == 0 && a.body == 0) {
				assert_int_equal(a.status, b.status);
				assert_int_equal(a.len, b.len);
				assert_int_equal(a.sum, b.sum);
			}
		}
	}
}

/* ---- memory -------------------------------------------------------------- */

/* Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc, or skipped. */
void *__real_malloc(size_t) __attribute__((weak));
void *__real_calloc(size_t, size_t) __attribute__((weak));
void *__real_realloc(void *, size_t) __attribute__((weak));
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);

static unsigned fail_in;	/* the n-th allocation fails; 0: none */

static int
must_fail(void)
{

	return (fail_in > 0 && --fail_in == 0);
}

void *
__wrap_malloc(size_t len)
{

	return (must_fail() ? NULL : __real_malloc(len));
}

void *
__wrap_calloc(size_t n, size_t len)
{

	return (must_fail() ? NULL : __real_calloc(n, len));
}

void *
__wrap_realloc(void *p, size_t len)
{

	return (must_fail() ? NULL : __real_realloc(p, len));
}

static void
test_no_memory(void **state)
{
	static const char head[] = OK "\r\n";
	struct test t;
	unsigned n, failed;
	char *p, buf[100];
	int r;

	(void)state;
	if (__real_malloc == NULL)
		skip();
	p = pattern(200000);
	for (n = 1, failed = 1; failed; n++) {
		failed = 0;
		(void)memset(&t, 0, sizeof t);
		t.f = fake_new(4096, 4096);
		t.f->guest = echo;
		echo_len = echo_at = 0;
		echo_head = head;
		fail_in = n;
		t.ex = tkvm_exchange_new(t.f, 0, &t.err);
		if (t.ex == NULL) {
			failed = 1;
			assert_int_equal(t.err.code, TKVM_E_MEMORY);
			fake_free(&t.f);
			continue;
		}
		r = tkvm_exchange_send(t.ex, p, 200000, &t.err);
		if (r == 0)
			r = get_head(&t);
		if (r == 0)
			assert_true(tkvm_exchange_body(t.ex, buf, sizeof buf,
			    0, &t.err) > 0);
		else
			failed = 1;
		if (failed)
			is_error(&t, r, TKVM_E_MEMORY, "no memory");
		fail_in = 0;
		teardown(&t);
	}
	assert_true(n > 7);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_done_early),
		cmocka_unit_test(test_framings),
		cmocka_unit_test(test_paced),
		cmocka_unit_test(test_computes_on),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_gone_in_body),
		cmocka_unit_test(test_send_after),
		cmocka_unit_test(test_gone_complete),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_send_large),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_spill_limit),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_never_reads),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_no_memory),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
