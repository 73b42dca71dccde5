/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Requests of clients: the library finds the pieces, we decide about them.
 * Most of them are written so plainly, and come in one piece, that a look is
 * enough: http_scan.c.
 *
 * The library that Debian builds is lenient (spaces in names, control
 * characters), so what reaches the guest is checked here, and the framing is
 * worked out here as well: two parsers that disagree about where a request
 * ends are how requests get smuggled.
 */

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "conf/conf_int.h"
#include "conn/http_char.h"
#include "conn/http_lib.h"
#include "conn/http_scan.h"
#include "obj.h"
#include "server/req_parse.h"

_Static_assert(HTTP_SCAN_FIELDS == REQ_MAX_HEADERS, "who sets the limit?");
_Static_assert(sizeof(lib_parser) <= sizeof(((struct req *)0)->lib),
    "the library's state does not fit");

static lib_parser *
lib_of(struct req *r)
{

	return ((lib_parser *)(void *)r->lib);
}

/* ---- what the library calls ---------------------------------------------- */

static int
refuse(struct req *r, unsigned status, const char *why)
{

	if (r->status == 0) {
		r->status = status;
		r->why = why;
	}
	return (-1);
}

/*
 * A piece of text: new, or the next part of the one at hand, which has to
 * follow without a gap (a folded line has one).
 */
static int
piece(struct req *r, uint32_t *off, uint32_t *len, const char *at, size_t n)
{
	size_t pos = r->base + (size_t)(at - r->bytes);

	if (*len == 0)
		*off = (uint32_t)pos;
	else if (*off + *len != pos)
		return (refuse(r, 400, "folded header line"));
	*len += (uint32_t)n;
	return (0);
}

static int
on_url(lib_parser *p, const char *at, size_t n)
{
	struct req *r = p->data;

	CHECK_OBJ_NOTNULL(r, REQ_MAGIC);
	return (piece(r, &r->url, &r->url_len, at, n));
}

static int
on_field(lib_parser *p, const char *at, size_t n)
{
	struct req *r = p->data;

	CHECK_OBJ_NOTNULL(r, REQ_MAGIC);
	if (r->complete)
		return (0);		/* trailers go no further */
	if (r->nheader == 0 || r->in_value) {
		if (r->nheader == REQ_MAX_HEADERS)
			return (refuse(r, 431, "too many header fields"));
		(void)memset(&r->header[r->nheader++], 0,
		    sizeof r->header[0]);
		r->in_value = 0;
	}
	return (piece(r, &r->header[r->nheader - 1].name,
	    &r->header[r->nheader - 1].name_len, at, n));
}

static int
on_value(lib_parser *p, const char *at, size_t n)
{
	struct req *r = p->data;

	CHECK_OBJ_NOTNULL(r, REQ_MAGIC);
	if (r->complete)
		return (0);
	if (r->nheader == 0)
		return (refuse(r, 400, "header field without a name"));
	r->in_value = 1;
	return (piece(r, &r->header[r->nheader - 1].value,
	    &r->header[r->nheader - 1].value_len, at, n));
}

static int
on_head(lib_parser *p)
{
	struct req *r = p->data;

	CHECK_OBJ_NOTNULL(r, REQ_MAGIC);
	r->complete = 1;
	return (lib_pause(p));
}

static int
on_body(lib_parser *p, const char *at, size_t n)
{
	struct req *r = p->data;

	CHECK_OBJ_NOTNULL(r, REQ_MAGIC);
	/* Where a body is not decoded (no chunks) there is nowhere to put it */
	if (r->out == NULL)
		return (refuse(r, 400, "body where none was announced"));
	(void)memmove(r->out + r->out_len, at, n);
	r->out_len += n;
	return (0);
}

static int
on_end(lib_parser *p)
{
	struct req *r = p->data;

	CHECK_OBJ_NOTNULL(r, REQ_MAGIC);
	r->ended = 1;
	return (lib_pause(p));
}

static const lib_settings settings = {
	.on_url			= on_url,
	.on_header_field	= on_field,
	.on_header_value	= on_value,
	.on_headers_complete	= on_head,
	.on_body		= on_body,
	.on_message_complete	= on_end,
};

/* ---- a complete head ----------------------------------------------------- */

int
req_has_token(const char *list, const char *token, size_t len)
{
	size_t n;

	while (*list != '\0') {
		list += strspn(list, " \t,");
		n = strcspn(list, " \t,");
		if (n == len && strncasecmp(list, token, n) == 0)
			return (1);
		list += n;
	}
	return (0);
}

enum req_field
req_field(const char *name, size_t len)
{
#define F(name, field)	{ name, sizeof(name) - 1, field }
	static const struct {
		const char	*name;
		size_t		len;
		enum req_field	field;
	} known[] = {
		F("Host", REQ_F_HOST), F("Connection", REQ_F_CONNECTION),
		F("Content-Length", REQ_F_LENGTH), F("Expect", REQ_F_EXPECT),
		F("Transfer-Encoding", REQ_F_ENCODING),
		F("Keep-Alive", REQ_F_HOP), F("Proxy-Connection", REQ_F_HOP),
		F("TE", REQ_F_HOP), F("Trailer", REQ_F_HOP),
		F("Upgrade", REQ_F_HOP), F("Proxy-Authenticate", REQ_F_HOP),
		F("Proxy-Authorization", REQ_F_HOP),
	};
#undef F
	/* Their lengths: nearly every other name is none of them */
	const unsigned lengths = 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 |
	    1 << 14 | 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19;
	unsigned u;

	if (len > 19 || !(lengths >> len & 1))
		return (REQ_F_OTHER);
	for (u = 0; u < NELEM(known); u++)
		if (known[u].len == len &&
		    strncasecmp(name, known[u].name, len) == 0)
			return (known[u].field);
	return (REQ_F_OTHER);
}

/* Ends each piece with a NUL: what stood there has been parsed. */
static int
check_text(struct req *r, char *buf)
{
	struct req_header *h;
	unsigned u;

	if (r->url_len == 0 || !http_is_text(buf + r->url, r->url_len) ||
	    memchr(buf + r->url, ' ', r->url_len) != NULL ||
	    memchr(buf + r->url, '\t', r->url_len) != NULL)
		return (refuse(r, 400, "bad request target"));
	buf[r->url + r->url_len] = '\0';
	for (u = 0; u < r->nheader; u++) {
		h = &r->header[u];
		if (h->name_len == 0 ||
		    !http_is_token(buf + h->name, h->name_len))
			return (refuse(r, 400, "bad header name"));
		if (!http_is_text(buf + h->value, h->value_len))
			return (refuse(r, 400, "bad header value"));
		buf[h->name + h->name_len] = '\0';
		if (h->value_len == 0)
			h->value = h->name + h->name_len;
		while (h->value_len > 0 && strchr(" \t",
		    buf[h->value + h->value_len - 1]) != NULL)
			h->value_len--;
		buf[h->value + h->value_len] = '\0';
	}
	return (0);
}

static int
one_header(struct req *r, enum req_field field, const char *value)
{
	unsigned long long v;

	switch (field) {
	case REQ_F_HOST:
		if (r->has_host++)
			return (refuse(r, 400, "two Host fields"));
		break;
	case REQ_F_CONNECTION:
		if (req_has_token(value, "close", 5))
			r->keep_alive = -1;
		else if (r->keep_alive == 0 &&
		    req_has_token(value, "keep-alive", 10))
			r->keep_alive = 1;
		break;
	case REQ_F_LENGTH:
		if (r->body != REQ_NONE || text_uint(value, &v) != 0)
			return (refuse(r, 400, "bad Content-Length"));
		r->body = REQ_LENGTH;
		r->length = v;
		break;
	case REQ_F_ENCODING:
		if (r->body != REQ_NONE || r->minor == 0)
			return (refuse(r, 400, "bad Transfer-Encoding"));
		if (strcasecmp(value, "chunked") != 0)
			return (refuse(r, 501, "unknown Transfer-Encoding"));
		r->body = REQ_CHUNKED;
		break;
	case REQ_F_EXPECT:
		if (strcasecmp(value, "100-continue") != 0)
			return (refuse(r, 417, "unknown Expect"));
		r->expect = r->minor > 0;
		break;
	default:
		break;
	}
	return (0);
}

static int
check_headers(struct req *r, const char *buf)
{
	struct req_header *h;
	unsigned u;

	for (u = 0; u < r->nheader; u++) {
		h = &r->header[u];
		h->field = req_field(buf + h->name, h->name_len);
		if (one_header(r, h->field, buf + h->value) != 0)
			return (-1);
	}
	if (r->minor > 0 && !r->has_host)
		return (refuse(r, 400, "no Host field"));
	r->keep_alive = r->keep_alive > 0 ||
	    (r->keep_alive == 0 && r->minor > 0);
	if (r->body == REQ_NONE)
		r->expect = 0;
	return (0);
}

static int
check_head(struct req *r, char *buf)
{
	const lib_parser *p = lib_of(r);

	if (p->http_major != 1)
		return (refuse(r, 505, "not HTTP/1"));
	r->minor = p->http_minor;
#ifdef HAVE_LLHTTP
	r->method = llhttp_method_name((llhttp_method_t)p->method);
#else
	r->method = http_method_str((enum http_method)p->method);
#endif
	if (p->method == HTTP_CONNECT)
		return (refuse(r, 501, "CONNECT"));
	r->is_head = p->method == HTTP_HEAD;
	if (check_text(r, buf) != 0)
		return (-1);
	return (check_headers(r, buf));
}

/* ---- plain ones ---------------------------------------------------------- */

static int
plain_method(struct req *r, const struct http_piece *m)
{
	static const char *const known[] = {
		"HEAD", "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH",
	};
	unsigned u;

	for (u = 0; u < NELEM(known); u++)
		if (strncmp(known[u], m->p, m->len) == 0 &&
		    known[u][m->len] == '\0')
			break;
	if (u == NELEM(known))
		return (-1);
	r->method = known[u];
	r->is_head = u == 0;
	return (0);
}

/* 1: all of the head was taken; 0: it is for the library; -1: refused */
static int
plain_head(struct req *r, char *buf, size_t len, size_t *parsed)
{
	const struct http_field *f;
	struct req_header *h;
	struct http_head head;
	unsigned u;

	/* To decode chunks the library has to know where it is. */
	if (!http_scan_request(&head, buf, len) || head.chunked ||
	    head.len > REQ_MAX_HEAD || plain_method(r, &head.method) != 0)
		return (0);
	*parsed = head.len;
	r->complete = 1;
	r->minor = head.minor;
	r->url = (uint32_t)(head.text.p - buf);
	r->url_len = (uint32_t)head.text.len;
	buf[r->url + r->url_len] = '\0';
	r->nheader = head.n;
	for (u = 0; u < head.n; u++) {
		f = &head.field[u];
		h = &r->header[u];
		h->name = (uint32_t)(f->name.p - buf);
		h->name_len = (uint32_t)f->name.len;
		h->value = (uint32_t)(f->value.p - buf);
		h->value_len = (uint32_t)f->value.len;
		buf[h->name + h->name_len] = '\0';
		buf[h->value + h->value_len] = '\0';
	}
	return (check_headers(r, buf) == 0 ? 1 : -1);
}

/* ---- feeding ------------------------------------------------------------- */

void
req_init(struct req *r)
{

	AN(r);
	/* Not the table: it is filled as far as it is used. */
	r->magic = REQ_MAGIC;
	r->url = r->url_len = 0;
	r->nheader = r->minor = r->status = 0;
	r->is_head = r->keep_alive = r->has_host = r->expect = 0;
	r->body = REQ_NONE;
	r->length = 0;
	r->in_value = r->complete = r->ended = r->chunked_on = 0;
	r->out = NULL;
	r->out_len = 0;
#ifdef HAVE_LLHTTP
	llhttp_init(lib_of(r), HTTP_REQUEST, &settings);
#else
	http_parser_init(lib_of(r), HTTP_REQUEST);
#endif
	lib_of(r)->data = r;
}

static int
bad_syntax(struct req *r)
{
	const lib_parser *p = lib_of(r);

#ifdef HAVE_LLHTTP
	if (llhttp_get_errno(p) == HPE_INVALID_METHOD)
		return (refuse(r, 501, "unknown method"));
#else
	if (HTTP_PARSER_ERRNO(p) == HPE_INVALID_METHOD)
		return (refuse(r, 501, "unknown method"));
	if (HTTP_PARSER_ERRNO(p) == HPE_HEADER_OVERFLOW)
		return (refuse(r, 431, "head too large"));
#endif
	return (refuse(r, 400, lib_reason(p)));
}

int
req_head(struct req *r, char *buf, size_t len, size_t *parsed)
{
	size_t used = 0;
	int i;

	CHECK_OBJ_NOTNULL(r, REQ_MAGIC);
	AZ(r->complete);
	assert(*parsed <= len);
	i = *parsed == 0 ? plain_head(r, buf, len, parsed) : 0;
	if (i != 0)
		return (i);
	r->base = *parsed;
	r->bytes = buf + *parsed;
	switch (lib_execute(lib_of(r), &settings, r->bytes, len - *parsed,
	    &used)) {
	case LIB_MORE:
		*parsed = len;
		if (len > REQ_MAX_HEAD)
			return (refuse(r, 431, "head too large"));
		return (0);
	case LIB_PAUSED:
		*parsed += used;
		if (!r->complete)
			return (bad_syntax(r));
		if (*parsed > REQ_MAX_HEAD)
			return (refuse(r, 431, "head too large"));
		return (check_head(r, buf) == 0 ? 1 : -1);
	default:
		return (bad_syntax(r));
	}
}

int
req_chunked(struct req *r, const char *in, size_t len, size_t *used,
    char *out, size_t *outlen)
{
	enum lib_ret ret = LIB_MORE;

	CHECK_OBJ_NOTNULL(r, REQ_MAGIC);
	AN(r->complete);
	*used = 0;
	*outlen = 0;
	r->out = out;
	r->out_len = 0;
	if (!r->chunked_on) {
		r->chunked_on = 1;
		if (lib_resume_body(lib_of(r), &settings) != 0)
			return (bad_syntax(r));
	}
	if (len > 0)
		ret = lib_execute(lib_of(r), &settings, in, len, used);
	*outlen = r->out_len;
	if (ret == LIB_BAD)
		return (bad_syntax(r));
	return (r->ended);
}
