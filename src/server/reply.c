/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The head of an answer, as this client should see it: the guest's fields,
 * with our own framing and connection.
 */

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "obj.h"
#include "server/server.h"

struct text {
	char		*p;
	size_t		len, size;
	int		full;
};

static void
add(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (t->full || n > t->size - t->len) {
		t->full = 1;
		return;
	}
	(void)memcpy(t->p + t->len, s, n);
	t->len += n;
}

static void
add_field(struct text *t, const char *name, const char *value)
{

	add(t, name);
	add(t, ": ");
	add(t, value);
	add(t, "\r\n");
}

int
hop_by_hop(const struct tkvm_response *resp, const char *name)
{
	size_t u;

	if (req_is_hop(name))
		return (1);
	for (u = 0; u < resp->nheader; u++)
		if (strcasecmp(resp->header[u].name, "Connection") == 0 &&
		    req_has_token(resp->header[u].value, name))
			return (1);
	return (0);
}

/*
 * Without a body (HEAD, 204, 304) Content-Length is about the answer that was
 * not asked for, and stays as it is.
 */
static void
add_framing(struct text *t, struct conn *c, const struct tkvm_response *resp,
    int *chunked)
{
	char num[24];
	size_t u;

	switch (resp->body) {
	case TKVM_BODY_LENGTH:
		(void)snprintf(num, sizeof num, "%ju",
		    (uintmax_t)resp->length);
		add_field(t, "Content-Length", num);
		break;
	case TKVM_BODY_CHUNKED:
	case TKVM_BODY_EOF:
		if (c->req.minor == 0) {
			c->close_after = 1;
			break;
		}
		*chunked = 1;
		add(t, "Transfer-Encoding: chunked\r\n");
		break;
	case TKVM_BODY_NONE:
		for (u = 0; u < resp->nheader; u++)
			if (strcasecmp(resp->header[u].name,
			    "Content-Length") == 0 && resp->status != 204) {
				add_field(t, "Content-Length",
				    resp->header[u].value);
				return;
			}
		if (!c->req.is_head && resp->status != 204 &&
		    resp->status != 304)
			add(t, "Content-Length: 0\r\n");
		break;
	default:
		break;
	}
}

size_t
reply_head(struct conn *c, const struct tkvm_response *resp, char *buf,
    size_t size, int *chunked)
{
	struct text t = { .p = buf, .size = size };
	char status[40];
	size_t u;

	*chunked = 0;
	(void)snprintf(status, sizeof status, "HTTP/1.1 %u ", resp->status);
	add(&t, status);
	if (resp->reason != NULL)
		add(&t, resp->reason);
	add(&t, "\r\n");
	for (u = 0; u < resp->nheader; u++)
		if (!hop_by_hop(resp, resp->header[u].name))
			add_field(&t, resp->header[u].name,
			    resp->header[u].value);
	add_framing(&t, c, resp, chunked);
	if (c->close_after)
		add(&t, "Connection: close\r\n");
	else if (c->req.minor == 0)
		add(&t, "Connection: keep-alive\r\n");
	add(&t, "\r\n");
	return (t.full ? 0 : t.len);
}
