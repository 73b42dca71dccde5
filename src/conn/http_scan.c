/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Heads as nearly everybody writes them.
 */

#include <strings.h>

#include "conn/http_char.h"
#include "conn/http_scan.h"

#define T	(HTTP_TCHAR | HTTP_TEXT)
#define X	HTTP_TEXT

const unsigned char http_class[256] = {
	['\t'] = X, [' '] = X,
	['!'] = T, ['"'] = X, ['#'] = T, ['$'] = T, ['%'] = T, ['&'] = T,
	['\''] = T, ['('] = X, [')'] = X, ['*'] = T, ['+'] = T, [','] = X,
	['-'] = T, ['.'] = T, ['/'] = X,
	['0' ... '9'] = T,
	[':'] = X, [';'] = X, ['<'] = X, ['='] = X, ['>'] = X, ['?'] = X,
	['@'] = X,
	['A' ... 'Z'] = T,
	['['] = X, ['\\'] = X, [']'] = X, ['^'] = T, ['_'] = T, ['`'] = T,
	['a' ... 'z'] = T,
	['{'] = X, ['|'] = T, ['}'] = X, ['~'] = T,
	[0x80 ... 0xff] = X,
};

#undef T
#undef X

int
http_named(const struct http_piece *s, const char *name, size_t len)
{

	return (s->len == len && strncasecmp(s->p, name, len) == 0);
}

#define NAMED(s, name)	http_named(s, name, sizeof(name) - 1)

/* ---- the header ---------------------------------------------------------- */

static int
is_blank(char c)
{

	return (c == ' ' || c == '\t');
}

/* A line and its end; what follows it, or NULL. */
static const char *
scan_field(const char *p, const char *e, struct http_field *f)
{
	const char *end;

	f->name.p = p;
	while (p < e && http_is_tchar(*p))
		p++;
	f->name.len = (size_t)(p - f->name.p);
	if (f->name.len == 0 || p == e || *p != ':')
		return (NULL);
	for (p++; p < e && is_blank(*p); p++)
		continue;
	f->value.p = p;
	p = http_text_end(p, e);
	/* One byte more: a blank would go on with this line. */
	if (e - p < 3 || p[0] != '\r' || p[1] != '\n' || is_blank(p[2]))
		return (NULL);
	for (end = p; end > f->value.p && is_blank(end[-1]); end--)
		continue;
	f->value.len = (size_t)(end - f->value.p);
	return (p + 2);
}

/* Digits up to the end of the line, and not too many of them. */
static int
scan_length(struct http_head *h, const struct http_piece *v)
{
	size_t i;

	if (h->has_length || v->len == 0 || v->len > 18 ||
	    v->p[v->len] != '\r')
		return (-1);
	h->has_length = 1;
	for (i = 0; i < v->len; i++) {
		if (!http_is_digit(v->p[i]))
			return (-1);
		h->length = h->length * 10 + (uint64_t)(v->p[i] - '0');
	}
	return (0);
}

/* What says where the message ends: only the undoubtful. */
static int
scan_framing(struct http_head *h, const struct http_field *f)
{

	if (NAMED(&f->name, "content-length"))
		return (scan_length(h, &f->value));
	/* One of the libraries takes what only begins like that for it. */
	if (f->name.len < 17 ||
	    strncasecmp(f->name.p, "transfer-encoding", 17) != 0)
		return (0);
	if (f->name.len > 17 || h->chunked || h->minor == 0 ||
	    !NAMED(&f->value, "chunked") || f->value.p[7] != '\r')
		return (-1);
	h->chunked = 1;
	return (0);
}

/* From behind the first line on, which starts at `start`. */
static int
scan_header(struct http_head *h, const char *start, const char *p,
    const char *e)
{

	h->has_length = h->chunked = 0;
	h->length = 0;
	for (h->n = 0;; h->n++) {
		if (e - p < 2)
			return (0);
		if (p[0] == '\r')
			break;
		if (h->n == HTTP_SCAN_FIELDS)
			return (0);
		p = scan_field(p, e, &h->field[h->n]);
		if (p == NULL || scan_framing(h, &h->field[h->n]) != 0)
			return (0);
	}
	if (p[1] != '\n' || (h->has_length && h->chunked))
		return (0);
	h->len = (size_t)(p + 2 - start);
	return (1);
}

/* ---- the first line ------------------------------------------------------ */

/* "HTTP/1.x" */
static int
scan_version(struct http_head *h, const char *p)
{

	if (memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
		return (-1);
	h->minor = (unsigned)(p[7] - '0');
	return (0);
}

int
http_scan_answer(struct http_head *h, const char *p, size_t len)
{
	const char *e = p + len, *q;

	if (len < sizeof "HTTP/1.1 200\r\n\r\n" - 1 ||
	    scan_version(h, p) != 0 || p[8] != ' ' ||
	    p[9] < '2' || p[9] > '5' ||
	    !http_is_digit(p[10]) || !http_is_digit(p[11]))
		return (0);
	h->status = (unsigned)((p[9] - '0') * 100 + (p[10] - '0') * 10 +
	    (p[11] - '0'));
	q = p + 12;
	if (*q == ' ')
		q++;
	else if (*q != '\r')
		return (0);
	h->text.p = q;
	q = http_text_end(q, e);
	h->text.len = (size_t)(q - h->text.p);
	while (h->text.len > 0 && is_blank(h->text.p[h->text.len - 1]))
		h->text.len--;
	/* A line that begins with a blank is no field: see scan_field(). */
	if (e - q < 2 || q[0] != '\r' || q[1] != '\n')
		return (0);
	return (scan_header(h, p, q + 2, e));
}

static char *
put(char *to, const struct http_piece *s)
{

	(void)memcpy(to, s->p, s->len);
	to[s->len] = '\0';
	return (to + s->len + 1);
}

void
http_scan_copy(const struct http_head *h, char *to, struct tkvm_header *hdr)
{
	unsigned i;

	to = put(to, &h->text);
	for (i = 0; i < h->n; i++) {
		hdr[i].name = to;
		to = put(to, &h->field[i].name);
		hdr[i].value = to;
		to = put(to, &h->field[i].value);
	}
}

/* A path, with a query or not; what follows it, or NULL. */
static const char *
scan_target(struct http_head *h, const char *p, const char *e)
{

	if (p == e || *p != '/')
		return (NULL);
	h->text.p = p;
	while (p < e && *p > ' ' && *p < 0x7f && *p != '#')
		p++;
	h->text.len = (size_t)(p - h->text.p);
	return (p);
}

int
http_scan_request(struct http_head *h, const char *p, size_t len)
{
	const char *e = p + len, *q = p;

	while (q < e && *q >= 'A' && *q <= 'Z')
		q++;
	h->method.p = p;
	h->method.len = (size_t)(q - p);
	if (q == e || *q != ' ')
		return (0);
	q = scan_target(h, q + 1, e);
	/* " HTTP/1.1", and the end of that line */
	if (q == NULL || e - q < 11 || q[0] != ' ' ||
	    scan_version(h, q + 1) != 0 || q[9] != '\r' || q[10] != '\n')
		return (0);
	return (scan_header(h, p, q + 11, e));
}
