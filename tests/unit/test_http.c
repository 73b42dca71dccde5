/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The HTTP/1 reader and writer: every framing, every way to cut the bytes,
 * and what a hostile guest could write.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conn/http_parse.h"
#include "conn/http_write.h"
#include "obj.h"

/* ---- helpers ------------------------------------------------------------- */

struct answer {
	struct http_parse *hp;
	ssize_t		ret;		/* of the last call */
	size_t		used;
	struct tkvm_error err;
};

/* Feed in pieces of `step` bytes, each in memory of its own size. */
static void
feed(struct answer *a, const char *p, size_t len, size_t step, int head)
{
	size_t n;
	char *piece;

	(void)memset(&a->err, 0, sizeof a->err);
	a->used = 0;
	a->ret = 0;
	a->hp = http_parse_new(head);
	assert_non_null(a->hp);
	while (a->used < len && http_parse_response(a->hp) == NULL) {
		n = len - a->used < step ? len - a->used : step;
		piece = malloc(n);
		assert_non_null(piece);
		(void)memcpy(piece, p + a->used, n);
		a->ret = http_parse_head(a->hp, piece, n, &a->err);
		free(piece);
		if (a->ret < 0)
			break;
		assert_in_range(a->ret, 0, n);
		a->used += (size_t)a->ret;
	}
}

static const struct tkvm_response *
good(struct answer *a, const char *s, size_t step)
{
	const struct tkvm_response *r;

	feed(a, s, strlen(s), step, 0);
	if (a->ret < 0)
		fail_msg("\"%s\": %s", s, a->err.text);
	r = http_parse_response(a->hp);
	assert_non_null(r);
	return (r);
}

static void
refused_n(const char *s, size_t len, const char *text)
{
	struct answer a;
	size_t step;

	for (step = 1; step <= len; step = step < 4 ? step + 1 : step * 5) {
		feed(&a, s, len, step, 0);
		if (a.ret >= 0)
			fail_msg("accepted: \"%.100s\"", s);
		assert_int_equal(a.err.code, strncmp(text, "more than ", 10) ?
		    TKVM_E_PROTO : TKVM_E_LIMIT);
		if (strstr(a.err.text, text) == NULL)
			fail_msg("\"%.100s\": \"%s\" instead of \"%s\"", s,
			    a.err.text, text);
		assert_null(http_parse_response(a.hp));
		http_parse_free(&a.hp);
		assert_null(a.hp);
	}
}

static void
refused(const char *s, const char *text)
{

	refused_n(s, strlen(s), text);
}

/* ---- heads --------------------------------------------------------------- */

static void
test_head(void **state)
{
	static const char s[] =
	    "HTTP/1.1 200 All is well \r\n"
	    "Server:  x y\t\r\n"
	    "Empty:\r\n"
	    "empty-too: \t \r\n"
	    "Content-Length: 3\r\n"
	    "\r\n"
	    "abc";
	const struct tkvm_response *r;
	struct answer a;
	size_t step;

	(void)state;
	for (step = 1; step < sizeof s; step++) {
		r = good(&a, s, step);
		assert_int_equal(r->status, 200);
		assert_string_equal(r->reason, "All is well");
		assert_int_equal(r->nheader, 4);
		assert_string_equal(r->header[0].name, "Server");
		assert_string_equal(r->header[0].value, "x y");
		assert_string_equal(r->header[1].name, "Empty");
		assert_string_equal(r->header[1].value, "");
		assert_string_equal(r->header[2].name, "empty-too");
		assert_string_equal(r->header[2].value, "");
		assert_string_equal(r->header[3].name, "Content-Length");
		assert_int_equal(r->body, TKVM_BODY_LENGTH);
		assert_int_equal(r->length, 3);
		assert_string_equal(s + a.used, "abc");
		assert_false(http_parse_ended(a.hp));
		http_parse_free(&a.hp);
	}
}

struct framing {
	const char	*head;
	int		head_request;
	unsigned	status;
	int		body;
	uint64_t	length;
};

static const struct framing framings[] = {
	{ "HTTP/1.1 200 OK\r\n\r\n", 0, 200, TKVM_BODY_EOF, 0 },
	{ "HTTP/1.0 200\r\n\r\n", 0, 200, TKVM_BODY_EOF, 0 },
	{ "\r\nHTTP/1.1 200 OK\r\n\r\n", 0, 200, TKVM_BODY_EOF, 0 },
	{ "HTTP/1.1 404 \r\ncontent-length:0\r\n\r\n", 0, 404,
	    TKVM_BODY_LENGTH, 0 },
	{ "HTTP/1.1 500 a\r\nContent-Length: 007 \r\n\r\n", 0, 500,
	    TKVM_BODY_LENGTH, 7 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 900000000000000000\r\n\r\n", 0,
	    200, TKVM_BODY_LENGTH, 900000000000000000 },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 0, 200,
	    TKVM_BODY_CHUNKED, 0 },
	{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 200,
	    TKVM_BODY_CHUNKED, 0 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 1, 200,
	    TKVM_BODY_NONE, 0 },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1, 200,
	    TKVM_BODY_NONE, 0 },
	{ "HTTP/1.1 200 OK\r\n\r\n", 1, 200, TKVM_BODY_NONE, 0 },
	{ "HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", 0, 204,
	    TKVM_BODY_NONE, 0 },
	{ "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 304,
	    TKVM_BODY_NONE, 0 },
	{ "HTTP/1.1 205 No\r\nContent-Length: 7\r\n\r\n", 0, 205,
	    TKVM_BODY_LENGTH, 7 },
	/* 1xx are skipped, whatever they say */
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 OK\r\n\r\n", 0, 201,
	    TKVM_BODY_EOF, 0 },
	{ "HTTP/1.1 103 Early\r\nLink: </x>\r\nConnection: close\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n"
	    "HTTP/1.1 102 P\r\nContent-Length: 5\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 0, 200,
	    TKVM_BODY_LENGTH, 2 },
	/* only announces what it could do */
	{ "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
	    "Content-Length: 2\r\n\r\n", 0, 200, TKVM_BODY_LENGTH, 2 },
};

static void
test_framing(void **state)
{
	const struct tkvm_response *r;
	const struct framing *f;
	struct answer a;
	size_t step;

	(void)state;
	for (f = framings; f < framings + NELEM(framings); f++) {
		for (step = 1; step <= strlen(f->head); step++) {
			feed(&a, f->head, strlen(f->head), step,
			    f->head_request);
			if (a.ret < 0)
				fail_msg("\"%s\": %s", f->head, a.err.text);
			assert_int_equal(a.used, strlen(f->head));
			r = http_parse_response(a.hp);
			assert_non_null(r);
			assert_int_equal(r->status, f->status);
			assert_int_equal(r->body, f->body);
			assert_true(r->length == f->length);
			assert_int_equal(http_parse_ended(a.hp),
			    f->body == TKVM_BODY_NONE);
			http_parse_free(&a.hp);
		}
	}
}

#define OK	"HTTP/1.1 200 OK\r\n"

static void
test_refused(void **state)
{

	(void)state;
	/* not HTTP/1 */
	refused("<html>hello</html>\r\n\r\n", "not HTTP");
	refused("\x16\x03\x01\x02\x03\x04", "not HTTP");
	refused("HTTP/0.9 200 OK\r\n\r\n", "HTTP");
	refused("HTTP/2.0 200 OK\r\n\r\n", "HTTP");
	refused("HTTP/11 200 OK\r\n\r\n", "not HTTP");
	refused("GET / HTTP/1.1\r\n\r\n", "not HTTP");
	/* status */
	refused("HTTP/1.1 099 a\r\n\r\n", "status 99");
	refused("HTTP/1.1 000 a\r\n\r\n", "status 0");
	refused("HTTP/1.1 600 a\r\n\r\n", "status 600");
	refused("HTTP/1.1 999 a\r\n\r\n", "status 999");
	refused("HTTP/1.1 2000 a\r\n\r\n", "not HTTP");
	refused("HTTP/1.1 -20 a\r\n\r\n", "not HTTP");
	refused("HTTP/1.1 two a\r\n\r\n", "not HTTP");
	refused("HTTP/1.1 101 Up\r\nUpgrade: websocket\r\n"
	    "Connection: upgrade\r\n\r\n", "upgrades are not supported");
	refused("HTTP/1.1 101 Up\r\n\r\n", "upgrades are not supported");
	/* framing */
	refused(OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "");
	refused(OK "Content-Length: 1, 2\r\n\r\n", "");
	refused(OK "Content-Length: 1 2\r\n\r\n", "");
	refused(OK "Content-Length: -1\r\n\r\n", "");
	refused(OK "Content-Length: +1\r\n\r\n", "");
	refused(OK "Content-Length: 0x10\r\n\r\n", "");
	refused(OK "Content-Length:\r\n\r\n", "");
	refused(OK "Content-Length: 9223372036854775808\r\n\r\n", "");
	refused(OK "Content-Length: 18446744073709551616\r\n\r\n", "");
	refused(OK "Content-Length: 99999999999999999999999\r\n\r\n", "");
	refused(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "");
	refused(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
	    "");
	refused(OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
	    "Transfer-Encoding");
	refused(OK "Transfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding");
	refused(OK "Transfer-Encoding: xchunked\r\n\r\n", "Transfer-Encoding");
	refused(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"
	    "\r\n\r\n", "");
	/* names and values */
	refused(OK "Na me: x\r\n\r\n", "");
	refused(OK "Name : x\r\n\r\n", "");
	refused(OK ": x\r\n\r\n", "");
	refused(OK "Name\r\n\r\n", "");
	refused(OK "N\xe4me: x\r\n\r\n", "");
	refused(OK "Name: a\rSet-Cookie: b\r\n\r\n", "");
	refused(OK "Name: a\x7f\r\n\r\n", "");
	refused(OK "Name: a\x1b[2J\r\n\r\n", "");
	refused(OK "Name: a\r\n b\r\n\r\n", "");
	refused(OK "Name: a\r\n\tb\r\n\r\n", "");
	refused(OK "Content-Length: 1\r\n 0\r\n\r\n", "");
	refused(OK " Name: a\r\n\r\n", "");
	refused("HTTP/1.1 200 a\x01z\r\n\r\n", "");
	/* the end of a head is an empty line with its newline */
	refused(OK "Name: a\r\n\rX", "");
#define N(s) refused_n((s), sizeof (s) - 1, "")
	N(OK "Name: a\0b\r\n\r\n");
	N(OK "Na\0me: a\r\n\r\n");
	N("HTTP/1.1 200 a\0b\r\n\r\n");
	N("HTTP/1.1 2\0000\r\n\r\n");
	N("\0\0\0\0\0\0\0");
#undef N
}

static void
test_interim_flood(void **state)
{
	static const char c[] = "HTTP/1.1 100 Continue\r\n\r\n";
	char s[(sizeof c - 1) * (HTTP_MAX_INTERIM + 1) + sizeof OK + 2];
	const struct tkvm_response *r;
	struct answer a;
	unsigned i;

	(void)state;
	*s = '\0';
	for (i = 0; i < HTTP_MAX_INTERIM; i++)
		(void)strcat(s, c);
	(void)strcat(s, OK "\r\n");
	r = good(&a, s, 10);
	assert_int_equal(r->status, 200);
	assert_int_equal(r->nheader, 0);
	http_parse_free(&a.hp);

	*s = '\0';
	for (i = 0; i <= HTTP_MAX_INTERIM; i++)
		(void)strcat(s, c);
	refused(s, "interim");
}

static char *
many_headers(unsigned n, unsigned len)
{
	size_t l = 0;
	unsigned i;
	char *s;

	s = malloc(strlen(OK) + n * (len + 20UL) + 3);
	assert_non_null(s);
	l = (size_t)sprintf(s, OK);
	for (i = 0; i < n; i++)
		l += (size_t)sprintf(s + l, "X%u: %0*d\r\n", i, (int)len, 0);
	(void)strcpy(s + l, "\r\n");
	return (s);
}

static void
test_limits(void **state)
{
	const struct tkvm_response *r;
	struct answer a;
	unsigned i;
	char *s;

	(void)state;
	s = many_headers(HTTP_MAX_HEADERS, 400);	/* 52 KiB */
	r = good(&a, s, 1000);
	assert_int_equal(r->nheader, HTTP_MAX_HEADERS);
	for (i = 0; i < r->nheader; i++) {
		assert_int_equal(atoi(r->header[i].name + 1), i);
		assert_int_equal(strlen(r->header[i].value), 400);
	}
	http_parse_free(&a.hp);
	free(s);

	s = many_headers(HTTP_MAX_HEADERS + 1, 1);
	refused(s, "more than 128 headers");
	free(s);
	s = many_headers(70, 1000);
	refused(s, "more than 64 KiB");
	free(s);
	s = many_headers(1, 65000);
	r = good(&a, s, 16384);
	assert_int_equal(strlen(r->header[0].value), 65000);
	http_parse_free(&a.hp);
	free(s);
	/* no end at all */
	s = malloc(200001);
	assert_non_null(s);
	(void)memset(s, 'a', 200000);
	s[200000] = '\0';
	(void)memcpy(s, OK, strlen(OK));
	refused(s, "more than 64 KiB");
	(void)memset(s, '\r', 200000);
	refused(s, "");
	free(s);
}

/* ---- chunked bodies ------------------------------------------------------ */

#define CHUNKED	OK "Transfer-Encoding: chunked\r\n\r\n"

/* The decoded body, or NULL when it was refused. */
static char *
dechunk(const char *s, size_t len, size_t step, size_t *outlen, int *ended)
{
	struct answer a;
	char *out, *in;
	ssize_t r = 0;
	size_t n, l;

	(void)good(&a, CHUNKED, 9);
	out = malloc(len + 1);
	assert_non_null(out);
	*outlen = 0;
	while (len > 0 && !http_parse_ended(a.hp)) {
		n = len < step ? len : step;
		in = malloc(n);
		assert_non_null(in);
		(void)memcpy(in, s, n);
		r = http_parse_chunked(a.hp, in, n, out + *outlen, &l, &a.err);
		free(in);
		if (r < 0)
			break;
		assert_true(l <= n);
		assert_true((size_t)r == n || http_parse_ended(a.hp));
		*outlen += l;
		s += r;
		len -= (size_t)r;
	}
	*ended = http_parse_ended(a.hp);
	if (r < 0) {
		assert_int_equal(a.err.code, TKVM_E_PROTO);
		assert_false(*ended);
		/* and so it stays */
		assert_int_equal(http_parse_chunked(a.hp, "0\r\n\r\n", 5, out,
		    &l, &a.err), -1);
		free(out);
		out = NULL;
	} else
		out[*outlen] = '\0';
	http_parse_free(&a.hp);
	return (out);
}

static void
chunk_case(const char *s, const char *body, int is_ended)
{
	size_t step, l;
	int ended;
	char *b;

	for (step = 1; step <= strlen(s); step++) {
		b = dechunk(s, strlen(s), step, &l, &ended);
		if ((body == NULL) != (b == NULL))
			fail_msg("\"%s\", by %zu", s, step);
		if (body == NULL)
			continue;
		assert_string_equal(b, body);
		assert_int_equal(l, strlen(body));
		assert_int_equal(ended, is_ended);
		free(b);
	}
}

static void
test_chunked(void **state)
{

	(void)state;
	chunk_case("0\r\n\r\n", "", 1);
	chunk_case("5\r\nhello\r\n0\r\n\r\n", "hello", 1);
	chunk_case("5\r\nhello\r\n00A\r\n, machine!\r\n000\r\n\r\nHTTP/1.1 ",
	    "hello, machine!", 1);
	chunk_case("5;ext=1\r\nhello\r\n0;x\r\n\r\n", "hello", 1);
	chunk_case("5\r\nhello\r\n0\r\nTrail: er\r\nX-More: 1\r\n\r\n",
	    "hello", 1);
	/* incomplete, not wrong */
	chunk_case("5\r\nhel", "hel", 0);
	chunk_case("5\r\nhello\r\n", "hello", 0);
	chunk_case("5\r\nhello\r\n0\r\n", "hello", 0);
	chunk_case("5\r\nhello\r\n0\r\nTrail: er\r\n", "hello", 0);
	chunk_case("7fffffffffffffe\r\nhello", "hello", 0);
	/* wrong */
	chunk_case("hello", NULL, 0);
	chunk_case("-5\r\nhello\r\n0\r\n\r\n", NULL, 0);
	chunk_case("\r\nhello\r\n0\r\n\r\n", NULL, 0);
	chunk_case("ffffffffffffffffff\r\nhello", NULL, 0);
	chunk_case("10000000000000000\r\nhello", NULL, 0);
	chunk_case("0\r\n\001: x\r\n\r\n", NULL, 0);
}

/* Bytes that never become body must end, too. */
static void
test_chunked_framing(void **state)
{
	size_t len = 4 << 20, l, n;
	int ended;
	char *s;

	(void)state;
	s = malloc(len + 1);
	assert_non_null(s);
	(void)memset(s, 'x', len);
	(void)memcpy(s, "5;", 2);
	assert_null(dechunk(s, len, 1000, &l, &ended));
	(void)memcpy(s, "0\r\n", 3);
	assert_null(dechunk(s, len, 1000, &l, &ended));
	for (n = 3; n + 8 < len; n += 8)
		(void)memcpy(s + n, "a: bcd\r\n", 8);
	assert_null(dechunk(s, len, 1000, &l, &ended));
	/* Many chunks are no such thing. */
	for (n = 0; n + 8 <= len; n += 8)
		(void)memcpy(s + n, "3\r\nabc\r\n", 8);
	free(dechunk(s, len, 1000, &l, &ended));
	assert_int_equal(l, len / 8 * 3);
	free(s);
}

/* ---- writer -------------------------------------------------------------- */

static void
test_write(void **state)
{
	static const char want[] =
	    "GET /a?b=c HTTP/1.1\r\n"
	    "Host: example.com\r\n"
	    "X: y z\r\n"
	    "Line: as it is\r\n"
	    "\r\n";
	struct http_write w;
	struct tkvm_error err;
	char buf[sizeof want];
	size_t size;
	ssize_t r;

	(void)state;
	for (size = 0; size <= sizeof buf; size++) {
		http_write_init(&w, buf, size);
		http_write_request(&w, "GET", "/a?b=c", "example.com");
		http_write_header(&w, "X", "y z");
		http_write_line(&w, "Line: as it isnt", 14);
		r = http_write_end(&w, &err);
		if (size < strlen(want)) {
			assert_int_equal(r, -1);
			assert_int_equal(err.code, TKVM_E_LIMIT);
		} else {
			assert_int_equal(r, strlen(want));
			assert_memory_equal(buf, want, strlen(want));
		}
	}
	http_write_init(&w, buf, sizeof buf);
	http_write_request(&w, "OPTIONS", "*", NULL);
	assert_int_equal(http_write_end(&w, NULL), 22);
}

static void
write_refused(const char *method, const char *target, const char *host,
    const char *name, const char *value, const char *line)
{
	struct http_write w;
	struct tkvm_error err;
	char buf[500];

	http_write_init(&w, buf, sizeof buf);
	http_write_request(&w, method, target, host);
	http_write_header(&w, name, value);
	http_write_line(&w, line, strlen(line));
	assert_int_equal(http_write_end(&w, &err), -1);
	assert_int_equal(err.code, TKVM_E_CONFIG);
}

static void
test_write_refused(void **state)
{

	(void)state;
	write_refused("", "/", "h", "n", "v", "n: v");
	write_refused("G ET", "/", "h", "n", "v", "n: v");
	write_refused("GET", "", "h", "n", "v", "n: v");
	write_refused("GET", "/ HTTP/1.1", "h", "n", "v", "n: v");
	write_refused("GET", "/\r\nX: y", "h", "n", "v", "n: v");
	write_refused("GET", "/", "h\r\nX: y", "n", "v", "n: v");
	write_refused("GET", "/", "h", "", "v", "n: v");
	write_refused("GET", "/", "h", "n ", "v", "n: v");
	write_refused("GET", "/", "h", "n", "v\nx", "n: v");
	write_refused("GET", "/", "h", "n", "v", "n: v\r\nx: y");
	write_refused("GET", "/", "h", "n", "v", ": v");
	write_refused("GET", "/", "h", "n", "v", "n");
	write_refused("GET", "/", "h", "n", "v", "n : v");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_interim_flood),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_chunked_framing),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_refused),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
