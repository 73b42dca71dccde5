/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The head of a request, as the guest should see it, and of an answer, as this
 * client should: the other side's fields, with framing and connection of our
 * own.
 *
 * Nothing is checked again here: req_head() and the library of the exchange
 * have accepted names and values, and each of them is one line.
 */

#include <stdint.h>
#include <string.h>

#include "error.h"
#include "obj.h"
#include "server/server.h"

struct text {
	char		*p;
	size_t		len, size;
	int		full;
};

static void
add_n(struct text *t, const char *s, size_t n)
{

	if (t->full || n > t->size - t->len) {
		t->full = 1;
		return;
	}
	(void)memcpy(t->p + t->len, s, n);
	t->len += n;
}

/* Of a constant */
#define ADD(t, s)	add_n((t), (s), sizeof (s) - 1)

static void
add(struct text *t, const char *s)
{

	add_n(t, s, strlen(s));
}

static void
add_field(struct text *t, const char *name, size_t namelen,
    const char *value, size_t len)
{

	add_n(t, name, namelen);
	ADD(t, ": ");
	add_n(t, value, len);
	ADD(t, "\r\n");
}

static void
add_length(struct text *t, uint64_t v)
{
	char num[24], *p = num + sizeof num;

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	add_field(t, "Content-Length", 14, p,
	    (size_t)(num + sizeof num - p));
}

/* ---- of a request -------------------------------------------------------- */

/* Fields named in Connection are between us and the client. */
static int
named_in_connection(const struct req *r, const char *b,
    const struct req_header *f)
{
	const struct req_header *h;

	for (h = r->header; h < r->header + r->nheader; h++)
		if (h->field == REQ_F_CONNECTION &&
		    req_has_token(b + h->value, b + f->name, f->name_len))
			return (1);
	return (0);
}

/* Its length, or 0: there is no room for it. */
size_t
request_head(const struct conn *c, char *buf, size_t size)
{
	const struct req *r = &c->req;
	const char *b = c->in + c->off;
	struct text t = { .p = buf, .size = size };
	const struct req_header *h;

	add(&t, r->method);
	ADD(&t, " ");
	add_n(&t, b + r->url, r->url_len);
	ADD(&t, " HTTP/1.1\r\n");
	if (!r->has_host)
		add_field(&t, "Host", 4, c->listener->host,
		    strlen(c->listener->host));
	for (h = r->header; h < r->header + r->nheader; h++)
		if (h->field == REQ_F_HOST || (h->field == REQ_F_OTHER &&
		    !named_in_connection(r, b, h)))
			add_field(&t, b + h->name, h->name_len, b + h->value,
			    h->value_len);
	if (r->body == REQ_CHUNKED && !c->body_done)
		ADD(&t, "Transfer-Encoding: chunked\r\n");
	else if (r->body != REQ_NONE)
		add_length(&t, r->body == REQ_LENGTH ? r->length :
		    c->body_len);
	ADD(&t, "\r\n");
	return (t.full ? 0 : t.len);
}

/* ---- of an answer -------------------------------------------------------- */

static int
answer_named(const struct tkvm_response *resp, const char *name, size_t len)
{
	size_t u;

	for (u = 0; u < resp->nheader; u++)
		if (req_field(resp->header[u].name,
		    strlen(resp->header[u].name)) == REQ_F_CONNECTION &&
		    req_has_token(resp->header[u].value, name, len))
			return (1);
	return (0);
}

/*
 * The fields that go to the client.  What they say of the connection and of
 * the body's length is noted.
 */
static void
add_fields(struct text *t, const struct tkvm_response *resp,
    struct reply *rp, const char **length)
{
	const struct tkvm_header *h;
	size_t u, n, connections = 0;

	for (u = 0; u < resp->nheader; u++) {
		h = &resp->header[u];
		switch (req_field(h->name, strlen(h->name))) {
		case REQ_F_CONNECTION:
			connections++;
			rp->closes |= req_has_token(h->value, "close", 5);
			break;
		case REQ_F_LENGTH:
			*length = h->value;
			break;
		default:
			break;
		}
	}
	for (u = 0; u < resp->nheader; u++) {
		h = &resp->header[u];
		n = strlen(h->name);
		if (req_field(h->name, n) <= REQ_F_HOST &&
		    (connections == 0 || !answer_named(resp, h->name, n)))
			add_field(t, h->name, n, h->value, strlen(h->value));
	}
}

/*
 * Without a body (HEAD, 204, 304) Content-Length is about the answer that was
 * not asked for, and stays as it is.
 */
static void
add_framing(struct text *t, struct conn *c, const struct tkvm_response *resp,
    struct reply *rp, const char *length)
{

	switch (resp->body) {
	case TKVM_BODY_LENGTH:
		add_length(t, resp->length);
		break;
	case TKVM_BODY_CHUNKED:
	case TKVM_BODY_EOF:
		if (c->req.minor == 0) {
			c->close_after = 1;
			break;
		}
		rp->chunked = 1;
		ADD(t, "Transfer-Encoding: chunked\r\n");
		break;
	case TKVM_BODY_NONE:
		if (length != NULL && resp->status != 204)
			add_field(t, "Content-Length", 14, length,
			    strlen(length));
		else if (!c->req.is_head && resp->status != 204 &&
		    resp->status != 304)
			ADD(t, "Content-Length: 0\r\n");
		break;
	default:
		break;
	}
}

void
reply_head(struct conn *c, const struct tkvm_response *resp, char *buf,
    size_t size, struct reply *rp)
{
	struct text t = { .p = buf, .size = size };
	const char *length = NULL;
	const char status[] = { (char)('0' + resp->status / 100 % 10),
	    (char)('0' + resp->status / 10 % 10),
	    (char)('0' + resp->status % 10), ' ' };

	rp->chunked = rp->closes = 0;
	ADD(&t, "HTTP/1.1 ");
	add_n(&t, status, sizeof status);
	if (resp->reason != NULL)
		add(&t, resp->reason);
	ADD(&t, "\r\n");
	add_fields(&t, resp, rp, &length);
	add_framing(&t, c, resp, rp, length);
	if (c->close_after)
		ADD(&t, "Connection: close\r\n");
	else if (c->req.minor == 0)
		ADD(&t, "Connection: keep-alive\r\n");
	ADD(&t, "\r\n");
	rp->len = t.full ? 0 : t.len;
}
