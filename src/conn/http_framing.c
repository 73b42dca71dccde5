/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Where an answer's body ends.
 */

#include <strings.h>

#include "conn/http_char.h"
#include "conn/http_framing.h"

/* Decimal digits and nothing else; at most what an off_t holds. */
static int
parse_length(const char *s, uint64_t *len)
{
	uint64_t v = 0;

	if (*s == '\0')
		return (-1);
	for (; *s != '\0'; s++) {
		if (!http_is_digit(*s) || v > (INT64_MAX - 9) / 10)
			return (-1);
		v = v * 10 + (uint64_t)(*s - '0');
	}
	*len = v;
	return (0);
}

void
http_set_body(struct tkvm_response *r, int head_request, int has_length,
    int chunked)
{

	if (head_request || r->status == 204 || r->status == 304)
		r->body = TKVM_BODY_NONE;
	else if (chunked)
		r->body = TKVM_BODY_CHUNKED;
	else if (has_length)
		r->body = TKVM_BODY_LENGTH;
	else
		r->body = TKVM_BODY_EOF;
	if (r->body != TKVM_BODY_LENGTH)
		r->length = 0;
}

const char *
http_framing(struct tkvm_response *r, int head_request)
{
	const struct tkvm_header *h;
	int length = 0, chunked = 0;
	uint64_t v;

	for (h = r->header; h < r->header + r->nheader; h++) {
		if (strcasecmp(h->name, "content-length") == 0) {
			if (parse_length(h->value, &v))
				return ("illegal Content-Length");
			if (length++ > 0 && v != r->length)
				return ("two differing Content-Length headers");
			r->length = v;
		} else if (strcasecmp(h->name, "transfer-encoding") == 0) {
			if (chunked++ > 0 ||
			    strcasecmp(h->value, "chunked") != 0)
				return ("Transfer-Encoding other than chunked");
		}
	}
	if (length && chunked)
		return ("Content-Length and Transfer-Encoding");
	http_set_body(r, head_request, length, chunked);
	return (NULL);
}
