/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reads an HTTP/1 answer of a guest.
 *
 * A library does the syntax, unless http_scan.c has read all of it at a glance;
 * this file collects what they find, sets limits, and decides about the framing
 * itself, from the headers that are handed on: so both always agree, whichever
 * library it is and however it was built (Debian's http-parser is built without
 * its strict checks).
 */

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "conn/http_char.h"
#include "conn/http_framing.h"
#include "conn/http_lib.h"
#include "conn/http_parse.h"
#include "conn/http_scan.h"
#include "error.h"
#include "obj.h"

enum phase {
	P_HEAD,
	P_BODY,			/* behind the head, not chunked: not for us */
	P_CHUNKED,
	P_ENDED,
	P_BAD,
};

/* What the arena's last string is: it is still being added to */
enum item { IN_REASON, IN_NAME, IN_VALUE };

struct http_parse {
	unsigned	magic;
#define HTTP_PARSE_MAGIC	0x48505253
	int		head_request;
	enum phase	phase;
	lib_parser	lib;
	struct tkvm_error *err;		/* during a call from above */
	int		err_set;	/* a callback has filled it */
	unsigned	max_headers;
	size_t		max_head;

	/* The head */
	size_t		nhead;		/* bytes used for it */
	unsigned	ninterim;
	char		last;		/* its last byte */
	enum item	item;
	char		*arena;		/* NUL-terminated strings, in a row */
	size_t		len, size;
	unsigned	n;
	uint32_t	name[HTTP_MAX_HEADERS], value[HTTP_MAX_HEADERS];
	struct tkvm_header header[HTTP_MAX_HEADERS];
	struct tkvm_response resp;
	struct http_head plain;

	/* The chunked body */
	lib_parser	before;		/* the library in front of one */
	int		has_before;
	char		*out;
	size_t		outlen, outsize;
	size_t		framing;	/* bytes since the last body byte */
};

_Static_assert(HTTP_SCAN_FIELDS == HTTP_MAX_HEADERS, "who sets the limit?");

static int __attribute__((format(printf, 2, 3)))
bad(struct http_parse *hp, const char *fmt, ...)
{
	va_list ap;

	hp->phase = P_BAD;
	hp->err_set = 1;
	if (hp->err == NULL)
		return (-1);
	hp->err->code = TKVM_E_PROTO;
	va_start(ap, fmt);
	(void)vsnprintf(hp->err->text, sizeof hp->err->text, fmt, ap);
	va_end(ap);
	return (-1);
}

/* It is HTTP, but more than is allowed. */
static int
bad_limit(struct http_parse *hp)
{

	if (hp->err != NULL)
		hp->err->code = TKVM_E_LIMIT;
	return (-1);
}

static int
bad_memory(struct http_parse *hp)
{

	hp->phase = P_BAD;
	hp->err_set = 1;
	return (err_set(hp->err, TKVM_E_MEMORY,
	    "no memory for the header of the answer"));
}

/* The library gave up, on its own or because a callback told it to. */
static int
bad_syntax(struct http_parse *hp, const char *where)
{

	hp->phase = P_BAD;
	if (hp->err_set)
		return (-1);
	return (bad(hp, "not HTTP: %s in the %s of the answer",
	    lib_reason(&hp->lib), where));
}

/* ---- the arena ----------------------------------------------------------- */

static int
arena_room(struct http_parse *hp, size_t len)
{
	size_t size = hp->size;
	char *n;

	if (len <= size - hp->len)
		return (0);
	/* Bounded: a head has at most HTTP_MAX_HEAD bytes. */
	while (len > size - hp->len)
		size = size == 0 ? 1024 : size * 2;
	n = realloc(hp->arena, size);
	if (n == NULL)
		return (bad_memory(hp));
	hp->arena = n;
	hp->size = size;
	return (0);
}

static int
arena_add(struct http_parse *hp, const char *p, size_t len)
{

	if (arena_room(hp, len))
		return (-1);
	if (len > 0)
		(void)memcpy(hp->arena + hp->len, p, len);
	hp->len += len;
	return (0);
}

/* End the string at hand, without the white space behind it. */
static int
arena_end(struct http_parse *hp)
{
	size_t start = 0;

	if (hp->item == IN_VALUE)
		start = hp->value[hp->n - 1];
	while (hp->item != IN_NAME && hp->len > start &&
	    (hp->arena[hp->len - 1] == ' ' || hp->arena[hp->len - 1] == '\t'))
		hp->len--;
	return (arena_add(hp, "", 1));
}

static int
arena_name(struct http_parse *hp)
{

	if (arena_end(hp))
		return (-1);
	if (hp->n == hp->max_headers) {
		(void)bad(hp, "the answer has more than %u headers "
		    "(max-response-headers)", hp->max_headers);
		return (bad_limit(hp));
	}
	hp->name[hp->n++] = (uint32_t)hp->len;
	hp->item = IN_NAME;
	return (0);
}

static int
arena_value(struct http_parse *hp)
{

	if (hp->len == hp->name[hp->n - 1])
		return (bad(hp, "a header without name"));
	if (arena_end(hp))
		return (-1);
	hp->value[hp->n - 1] = (uint32_t)hp->len;
	hp->item = IN_VALUE;
	return (0);
}

/* ---- callbacks of the library -------------------------------------------- */

static struct http_parse *
of_lib(lib_parser *p)
{
	struct http_parse *hp = p->data;

	CHECK_OBJ_NOTNULL(hp, HTTP_PARSE_MAGIC);
	return (hp);
}

static int
on_status(lib_parser *p, const char *b, size_t len)
{
	struct http_parse *hp = of_lib(p);

	if (hp->phase != P_HEAD)
		return (0);
	if (!http_is_text(b, len))
		return (bad(hp, "control character in the status line"));
	return (arena_add(hp, b, len));
}

static int
on_field(lib_parser *p, const char *b, size_t len)
{
	struct http_parse *hp = of_lib(p);

	if (hp->phase != P_HEAD)	/* a trailer */
		return (0);
	if (hp->item != IN_NAME && arena_name(hp))
		return (-1);
	if (!http_is_token(b, len))
		return (bad(hp, "illegal character in a header's name"));
	return (arena_add(hp, b, len));
}

static int
on_value(lib_parser *p, const char *b, size_t len)
{
	struct http_parse *hp = of_lib(p);

	if (hp->phase != P_HEAD)
		return (0);
	if (hp->item == IN_REASON)
		return (bad(hp, "a header without name"));
	if (hp->item == IN_NAME && arena_value(hp))
		return (-1);
	if (!http_is_text(b, len))
		return (bad(hp, "control character in header \"%s\"",
		    hp->arena + hp->name[hp->n - 1]));
	return (arena_add(hp, b, len));
}

#ifdef HAVE_LLHTTP
/* It may leave out on_value for an empty one. */
static int
on_field_complete(lib_parser *p)
{

	return (on_value(p, "", 0));
}
#endif

/* Always stop here: the framing is decided outside. */
static int
on_head(lib_parser *p)
{

	return (lib_pause(p));
}

static int
on_body(lib_parser *p, const char *b, size_t len)
{
	struct http_parse *hp = of_lib(p);

	if (hp->phase != P_CHUNKED || len > hp->outsize - hp->outlen)
		return (bad(hp, "unexpected body"));
	(void)memcpy(hp->out + hp->outlen, b, len);
	hp->outlen += len;
	return (0);
}

static int
on_message(lib_parser *p)
{
	struct http_parse *hp = of_lib(p);

	hp->phase = P_ENDED;
	return (lib_pause(p));
}

static const lib_settings settings = {
	.on_status		= on_status,
	.on_header_field	= on_field,
	.on_header_value	= on_value,
#ifdef HAVE_LLHTTP
	.on_header_field_complete = on_field_complete,
#endif
	.on_headers_complete	= on_head,
	.on_body		= on_body,
	.on_message_complete	= on_message,
};

/* ---- the head ------------------------------------------------------------ */

static void
head_start(struct http_parse *hp)
{

	lib_init(&hp->lib, &settings, hp);
	hp->phase = P_HEAD;
	hp->nhead = 0;
	hp->last = '\0';
	hp->item = IN_REASON;
	hp->len = 0;
	hp->n = 0;
}

struct http_parse *
http_parse_new(int head_request)
{
	struct http_parse *hp;

	ALLOC_OBJ(hp, HTTP_PARSE_MAGIC);
	if (hp == NULL)
		return (NULL);
	hp->head_request = head_request;
	http_parse_limits(hp, 0, 0);
	head_start(hp);
	return (hp);
}

void
http_parse_limits(struct http_parse *hp, unsigned headers, size_t bytes)
{

	CHECK_OBJ_NOTNULL(hp, HTTP_PARSE_MAGIC);
	hp->max_headers = headers > 0 && headers < HTTP_MAX_HEADERS ?
	    headers : HTTP_MAX_HEADERS;
	hp->max_head = bytes > 0 && bytes < HTTP_MAX_HEAD ? bytes :
	    HTTP_MAX_HEAD;
}

void
http_parse_again(struct http_parse *hp, int head_request)
{

	CHECK_OBJ_NOTNULL(hp, HTTP_PARSE_MAGIC);
	hp->head_request = head_request;
	hp->err = NULL;
	hp->err_set = 0;
	hp->ninterim = 0;
	(void)memset(&hp->resp, 0, sizeof hp->resp);
	hp->out = NULL;
	hp->outlen = hp->outsize = hp->framing = 0;
	head_start(hp);
}

void
http_parse_free(struct http_parse **hpp)
{
	struct http_parse *hp;

	TAKE_OBJ_NOTNULL(hp, hpp, HTTP_PARSE_MAGIC);
	free(hp->arena);
	FREE_OBJ(hp);
}

/* Behind a head from the library `lib` is where it has to be, if needed. */
static int
head_end(struct http_parse *hp)
{

	switch (hp->resp.body) {
	case TKVM_BODY_NONE:
		hp->phase = P_ENDED;
		break;
	case TKVM_BODY_CHUNKED:
		hp->phase = P_CHUNKED;
		if (lib_resume_body(&hp->lib, &settings) ||
		    !(hp->lib.flags & F_CHUNKED))
			return (bad_syntax(hp, "header"));
		break;
	default:
		hp->phase = P_BODY;
		break;
	}
	return (0);
}

static int
final_head(struct http_parse *hp)
{
	struct tkvm_response *r = &hp->resp;
	const char *why;
	unsigned i;

	if (hp->item == IN_NAME && arena_value(hp))
		return (-1);
	if (arena_end(hp))
		return (-1);
	for (i = 0; i < hp->n; i++) {
		hp->header[i].name = hp->arena + hp->name[i];
		hp->header[i].value = hp->arena + hp->value[i];
	}
	r->status = hp->lib.status_code;
	r->reason = hp->arena;
	r->nheader = hp->n;
	r->header = hp->header;
	why = http_framing(r, hp->head_request);
	if (why != NULL)
		return (bad(hp, "%s", why));
	return (head_end(hp));
}

/* As if the library had read a head that announces chunks. */
static int
before_chunks(struct http_parse *hp)
{
	static const char head[] =
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	size_t used;

	if (!hp->has_before) {
		hp->phase = P_CHUNKED;	/* collect nothing */
		if (lib_execute(&hp->lib, &settings, head, sizeof head - 1,
		    &used) != LIB_PAUSED)
			return (bad_syntax(hp, "header"));
		hp->before = hp->lib;
		hp->has_before = 1;
	}
	hp->lib = hp->before;
	return (0);
}

/* A head from http_scan_answer() */
static int
plain_head(struct http_parse *hp)
{
	const struct http_head *h = &hp->plain;
	struct tkvm_response *r = &hp->resp;

	if (arena_room(hp, h->len))
		return (-1);
	http_scan_copy(h, hp->arena, hp->header);
	r->status = h->status;
	r->reason = hp->arena;
	r->nheader = h->n;
	r->header = hp->header;
	r->length = h->length;
	http_set_body(r, hp->head_request, h->has_length, h->chunked);
	if (r->body == TKVM_BODY_CHUNKED && before_chunks(hp))
		return (-1);
	return (head_end(hp));
}

static int
head_complete(struct http_parse *hp)
{
	unsigned status = hp->lib.status_code;

	if (hp->last != '\n')
		return (bad(hp, "the header does not end in a newline"));
	if (hp->lib.http_major != 1)
		return (bad(hp, "the answer is HTTP/%u.%u, not HTTP/1",
		    (unsigned)hp->lib.http_major,
		    (unsigned)hp->lib.http_minor));
	if (status < 100 || status > 599)
		return (bad(hp, "the answer has status %u", status));
	if (status == 101)
		return (bad(hp, "upgrades are not supported"));
	if (status >= 200)
		return (final_head(hp));
	if (++hp->ninterim > HTTP_MAX_INTERIM)
		return (bad(hp, "more than %d interim (1xx) answers",
		    HTTP_MAX_INTERIM));
	/* It has no body and says nothing about the connection: start anew. */
	head_start(hp);
	return (0);
}

/*
 * A line that starts with white space continues the one before.  Obsolete,
 * read differently by different readers, so not handed on; neither is a CR
 * inside a line, which some take for its end.
 */
static int
check_lines(struct http_parse *hp, const char *p, size_t len)
{
	const char *e = p + len, *cr, *lf;
	char last = hp->last;

	if (len == 0)
		return (0);
	hp->last = e[-1];
	while (p < e) {
		if (last == '\n' && (*p == ' ' || *p == '\t'))
			return (bad(hp, "folded header line"));
		if (last == '\r' && *p != '\n')
			return (bad(hp, "carriage return in a header line"));
		lf = memchr(p, '\n', (size_t)(e - p));
		cr = memchr(p, '\r', (size_t)((lf != NULL ? lf : e) - p));
		if (cr != NULL && cr + 1 != lf && cr + 1 != e)
			return (bad(hp, "carriage return in a header line"));
		if (lf == NULL)
			break;
		last = '\n';
		p = lf + 1;
	}
	return (0);
}

ssize_t
http_parse_head(struct http_parse *hp, const char *p, size_t len,
    struct tkvm_error *err)
{
	size_t done = 0, n, used = 0;
	enum lib_ret r;

	CHECK_OBJ_NOTNULL(hp, HTTP_PARSE_MAGIC);
	AN(p);
	hp->err = err;
	hp->err_set = 0;
	if (hp->phase == P_BAD)
		return (bad(hp, "not HTTP"));
	while (done < len && hp->phase == P_HEAD) {
		n = len - done;
		if (n > hp->max_head - hp->nhead)
			n = hp->max_head - hp->nhead;
		if (n == 0) {
			(void)bad(hp, "the answer has more than %zu KiB of "
			    "header (max-response-header-size)",
			    hp->max_head / 1024);
			return (bad_limit(hp));
		}
		if (hp->nhead == 0 &&
		    http_scan_answer(&hp->plain, p + done, n) &&
		    hp->plain.n <= hp->max_headers) {
			done += hp->plain.len;
			if (plain_head(hp))
				return (-1);
			break;
		}
		r = lib_execute(&hp->lib, &settings, p + done, n, &used);
		if (r == LIB_BAD || hp->phase == P_BAD)
			return (bad_syntax(hp, "header"));
		if (check_lines(hp, p + done, used))
			return (-1);
		hp->nhead += used;
		done += used;
		if (r == LIB_PAUSED && head_complete(hp))
			return (-1);
	}
	hp->err = NULL;
	return ((ssize_t)done);
}

const struct tkvm_response *
http_parse_response(const struct http_parse *hp)
{

	CHECK_OBJ_NOTNULL(hp, HTTP_PARSE_MAGIC);
	switch (hp->phase) {
	case P_BODY:
	case P_CHUNKED:
	case P_ENDED:
		return (&hp->resp);
	default:
		return (NULL);
	}
}

/* ---- the chunked body ---------------------------------------------------- */

ssize_t
http_parse_chunked(struct http_parse *hp, const char *p, size_t len, char *out,
    size_t *outlen, struct tkvm_error *err)
{
	enum lib_ret r;
	size_t used = 0;

	CHECK_OBJ_NOTNULL(hp, HTTP_PARSE_MAGIC);
	AN(p);
	AN(out);
	AN(outlen);
	*outlen = 0;
	hp->err = err;
	hp->err_set = 0;
	if (hp->phase == P_ENDED || len == 0)
		return (0);
	if (hp->phase != P_CHUNKED)
		return (bad(hp, "not a chunked body"));
	hp->out = out;
	hp->outlen = 0;
	hp->outsize = len;
	r = lib_execute(&hp->lib, &settings, p, len, &used);
	hp->out = NULL;
	if (r == LIB_BAD || hp->phase == P_BAD)
		return (bad_syntax(hp, "chunked body"));
	if (hp->outlen > 0)
		hp->framing = 0;
	else
		hp->framing += used;
	if (hp->framing > HTTP_MAX_FRAMING)
		return (bad(hp, "more than %d KiB of chunk extensions or "
		    "trailers", HTTP_MAX_FRAMING / 1024));
	*outlen = hp->outlen;
	hp->err = NULL;
	return ((ssize_t)used);
}

int
http_parse_ended(const struct http_parse *hp)
{

	CHECK_OBJ_NOTNULL(hp, HTTP_PARSE_MAGIC);
	return (hp->phase == P_ENDED);
}
