/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Builds the head of an HTTP/1.1 request: for warm-ups and kvmserver.
 */

#include "conn/http_char.h"
#include "conn/http_write.h"
#include "error.h"
#include "obj.h"

void
http_write_init(struct http_write *w, void *buf, size_t size)
{

	AN(buf);
	INIT_OBJ(w, HTTP_WRITE_MAGIC);
	w->buf = buf;
	w->size = size;
}

static void
add(struct http_write *w, const char *p, size_t len)
{

	if (w->err.code != TKVM_OK)
		return;
	if (len > w->size - w->len) {
		(void)err_set(&w->err, TKVM_E_LIMIT,
		    "the head of the request is longer than %zu bytes",
		    w->size);
		return;
	}
	(void)memcpy(w->buf + w->len, p, len);
	w->len += len;
}

static void
add_str(struct http_write *w, const char *s)
{

	add(w, s, strlen(s));
}

static void
refuse(struct http_write *w, const char *what)
{

	if (w->err.code == TKVM_OK)
		(void)err_set(&w->err, TKVM_E_CONFIG, "illegal %s", what);
}

static int
is_token(const char *s)
{

	return (*s != '\0' && http_is_token(s, strlen(s)));
}

/* Anything visible: which characters a target may have is the guest's. */
static int
is_target(const char *s)
{

	return (*s != '\0' && http_is_text(s, strlen(s)) &&
	    strpbrk(s, " \t") == NULL);
}

void
http_write_request(struct http_write *w, const char *method,
    const char *target, const char *host)
{

	CHECK_OBJ_NOTNULL(w, HTTP_WRITE_MAGIC);
	AN(method);
	AN(target);
	AZ(w->len);
	if (!is_token(method))
		refuse(w, "request method");
	if (!is_target(target))
		refuse(w, "request target");
	add_str(w, method);
	add_str(w, " ");
	add_str(w, target);
	add_str(w, " HTTP/1.1\r\n");
	if (host != NULL)
		http_write_header(w, "Host", host);
}

void
http_write_header(struct http_write *w, const char *name, const char *value)
{

	CHECK_OBJ_NOTNULL(w, HTTP_WRITE_MAGIC);
	AN(name);
	AN(value);
	if (!is_token(name))
		refuse(w, "name of a request header");
	if (!http_is_text(value, strlen(value)))
		refuse(w, "value of a request header");
	add_str(w, name);
	add_str(w, ": ");
	add_str(w, value);
	add_str(w, "\r\n");
}

void
http_write_line(struct http_write *w, const char *p, size_t len)
{
	const char *colon;

	CHECK_OBJ_NOTNULL(w, HTTP_WRITE_MAGIC);
	AN(p);
	colon = memchr(p, ':', len);
	if (colon == NULL || colon == p ||
	    !http_is_token(p, (size_t)(colon - p)) || !http_is_text(p, len))
		refuse(w, "request header");
	add(w, p, len);
	add_str(w, "\r\n");
}

ssize_t
http_write_end(struct http_write *w, struct tkvm_error *err)
{

	CHECK_OBJ_NOTNULL(w, HTTP_WRITE_MAGIC);
	add_str(w, "\r\n");
	if (w->err.code == TKVM_OK)
		return ((ssize_t)w->len);
	return (err_set(err, w->err.code, "%s", w->err.text));
}
