/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Fuzzes kvmserver's reading of clients' requests.  Each input is read twice,
 * at once and as it may come in pieces: http_scan.c reads plain heads that are
 * all there, the library all others, so both are compared.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "obj.h"
#include "server/req_parse.h"

#define MAX_BODY	4096

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct outcome {
	int		got;		/* what the last call said */
	size_t		parsed;
	struct req	req;
	char		*buf;
};

static void
head(struct outcome *o, const char *b, size_t len, size_t step)
{
	size_t n = 0;

	o->buf = malloc(len + 1);	/* not a byte too much, for ASan */
	AN(o->buf);
	o->got = 0;
	o->parsed = 0;
	req_init(&o->req);
	while (o->got == 0 && n < len) {
		step = step < len - n ? step : len - n;
		(void)memcpy(o->buf + n, b + n, step);
		n += step;
		o->got = req_head(&o->req, o->buf, n, &o->parsed);
		assert(o->parsed <= n);
	}
	if (o->got < 0)
		assert(o->req.status >= 400 && o->req.why != NULL);
}

static void
same_text(const struct outcome *x, const struct outcome *y, uint32_t at_x,
    uint32_t at_y, uint32_t len)
{

	assert(at_x + len < x->parsed && at_y + len < y->parsed);
	assert(x->buf[at_x + len] == '\0' && y->buf[at_y + len] == '\0');
	AZ(memcmp(x->buf + at_x, y->buf + at_y, len));
	AZ(memchr(x->buf + at_x, '\r', len));
	AZ(memchr(x->buf + at_x, '\n', len));
	AZ(memchr(x->buf + at_x, '\0', len));
}

static void
compare(const struct outcome *x, const struct outcome *y)
{
	const struct req *r = &x->req, *q = &y->req;
	const struct req_header *h, *g;
	unsigned u;

	assert(x->got == y->got);
	if (x->got < 0)
		assert(r->status == q->status);
	if (x->got <= 0)
		return;
	assert(x->parsed == y->parsed && r->minor == q->minor);
	AZ(strcmp(r->method, q->method));
	assert(r->is_head == q->is_head && r->keep_alive == q->keep_alive);
	assert(r->has_host == q->has_host && r->expect == q->expect);
	assert(r->body == q->body && r->length == q->length);
	assert(r->url_len == q->url_len && r->nheader == q->nheader);
	same_text(x, y, r->url, q->url, r->url_len);
	for (u = 0; u < r->nheader; u++) {
		h = &r->header[u];
		g = &q->header[u];
		assert(h->name_len == g->name_len && h->field == g->field);
		assert(h->value_len == g->value_len);
		same_text(x, y, h->name, g->name, h->name_len);
		same_text(x, y, h->value, g->value, h->value_len);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct outcome one, two;
	char body[MAX_BODY];
	size_t used, out;

	if (len < 2 || len > MAX_BODY)
		return (0);
	head(&one, (const char *)p + 1, len - 1, len);
	head(&two, (const char *)p + 1, len - 1, p[0] % 32 + 1);
	/*
	 * What is refused may be so before the rest is there, and then the
	 * rest could be what is said about it.
	 */
	if (one.got >= 0 || two.got >= 0)
		compare(&one, &two);
	if (one.got > 0 && one.req.body == REQ_CHUNKED) {
		if (req_chunked(&one.req, one.buf + one.parsed,
		    len - 1 - one.parsed, &used, body, &out) >= 0)
			assert(used <= len - 1 - one.parsed && out <= used);
	}
	free(one.buf);
	free(two.buf);
	return (0);
}
