/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Fuzzes the parser of guests' answers.  Each input is parsed twice, whole and
 * in pieces: both must come to the same end, and what is handed on must be
 * what tkvm.h promises.  What http_scan.c reads of the whole, the library reads
 * of the pieces: so they are compared.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn/http_parse.h"
#include "obj.h"

#define MAX_BODY	4096

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct outcome {
	int		failed, ended;
	unsigned	status;
	size_t		nheader, head, body;
	uint64_t	length, strings;	/* a hash of all that is text */
	int		framing;
	char		data[MAX_BODY];
};

/* The lengths of pieces come from here, one byte each; NULL: no limit */
struct pieces {
	const uint8_t	*p;
	size_t		n, i;
};

static size_t
piece(struct pieces *s, size_t left)
{
	size_t n;

	if (s->p == NULL || s->n == 0)
		return (left);
	n = s->p[s->i++ % s->n] & 31;
	n++;
	return (n < left ? n : left);
}

static uint64_t
hash(uint64_t h, const char *s)
{

	do
		h = (h ^ (unsigned char)*s) * 0x100000001b3UL;
	while (*s++ != '\0');
	return (h);
}

static void
note(struct outcome *o, const struct tkvm_response *r)
{
	size_t i;

	o->status = r->status;
	o->nheader = r->nheader;
	o->framing = (int)r->body;
	o->length = r->length;
	o->strings = hash(0, r->reason);
	for (i = 0; i < r->nheader; i++)
		o->strings = hash(hash(o->strings, r->header[i].name),
		    r->header[i].value);
}

static void
check_response(const struct tkvm_response *r)
{
	size_t i;

	assert(r->status >= 200 && r->status <= 599);
	AZ(strpbrk(r->reason, "\r\n"));
	assert(r->nheader <= HTTP_MAX_HEADERS);
	for (i = 0; i < r->nheader; i++) {
		AN(r->header[i].name[0]);
		AZ(strpbrk(r->header[i].name, "\r\n :"));
		AZ(strpbrk(r->header[i].value, "\r\n"));
	}
	if (r->body != TKVM_BODY_LENGTH)
		AZ(r->length);
}

static void
parse_body(struct http_parse *h, const char *b, size_t len, struct pieces *s,
    struct outcome *o)
{
	struct tkvm_error err;
	size_t n, out, used;
	ssize_t r;
	char *to;

	for (used = 0; used < len && !http_parse_ended(h); used += (size_t)r) {
		n = piece(s, len - used);
		to = malloc(n);		/* not a byte too much, for ASan */
		AN(to);
		r = http_parse_chunked(h, b + used, n, to, &out, &err);
		if (r >= 0) {
			assert(out <= n);
			assert((size_t)r <= n);
			assert((size_t)r == n || http_parse_ended(h));
			assert(o->body + out <= MAX_BODY);
			(void)memcpy(o->data + o->body, to, out);
			o->body += out;
		}
		free(to);
		if (r < 0) {
			AN(err.text[0]);
			o->failed = 1;
			return;
		}
	}
	o->ended = http_parse_ended(h);
}

static void
parse(const char *b, size_t len, int head, struct pieces *s,
    struct outcome *o)
{
	const struct tkvm_response *r = NULL;
	struct tkvm_error err;
	struct http_parse *h;
	size_t n, used = 0;
	ssize_t i;

	(void)memset(o, 0, offsetof(struct outcome, data));
	h = http_parse_new(head);
	AN(h);
	while (used < len && (r = http_parse_response(h)) == NULL) {
		n = piece(s, len - used);
		i = http_parse_head(h, b + used, n, &err);
		if (i < 0) {
			AN(err.text[0]);
			o->failed = 1;
			break;
		}
		assert((size_t)i <= n);
		used += (size_t)i;
	}
	if (!o->failed)
		r = http_parse_response(h);
	if (r != NULL) {
		check_response(r);
		note(o, r);
		o->head = used;
		if (r->body == TKVM_BODY_CHUNKED)
			parse_body(h, b + used, len - used, s, o);
	}
	http_parse_free(&h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct outcome one, two;
	struct pieces whole = { NULL, 0, 0 }, split = { NULL, 0, 0 };
	char *copy;

	if (len < 4 || len > MAX_BODY)
		return (0);
	split.p = p + 1;
	split.n = 3;
	copy = malloc(len - 4 + 1);
	AN(copy);
	(void)memcpy(copy, p + 4, len - 4);
	parse(copy, len - 4, p[0] & 1, &whole, &one);
	parse(copy, len - 4, p[0] & 1, &split, &two);
	free(copy);
	assert(one.failed == two.failed);
	/* What comes before an error may be more in pieces. */
	if (!one.failed) {
		assert(one.status == two.status && one.head == two.head);
		assert(one.nheader == two.nheader && one.ended == two.ended);
		assert(one.body == two.body && one.framing == two.framing);
		assert(one.length == two.length);
		assert(one.strings == two.strings);
		AZ(memcmp(one.data, two.data, one.body));
	}
	return (0);
}
