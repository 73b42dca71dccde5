/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reads heads of HTTP/1 messages that are written as nearly everybody writes
 * them, and that are all there: in a sixth of the time the library takes, with
 * nothing called back.  Whatever else there may be (pieces, folded lines, bare
 * newlines, interim answers, two lengths, mistakes) is left to the library,
 * whose word is final: what is accepted here is what it accepts as well, and
 * the fuzzer compares them.
 */

#ifndef TKVM_HTTP_SCAN_H
#define TKVM_HTTP_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "tkvm.h"

#define HTTP_SCAN_FIELDS	128

struct http_piece {
	const char	*p;
	size_t		len;
};

/* Without the colon, and white space around the value. */
struct http_field {
	struct http_piece name, value;
};

struct http_head {
	size_t		len;		/* of all of it */
	unsigned	minor;		/* HTTP/1.minor */
	unsigned	status;		/* of an answer: 200 ... 599 */
	struct http_piece method;	/* of a request */
	struct http_piece text;		/* reason, or target */
	int		has_length, chunked;
	uint64_t	length;
	unsigned	n;
	struct http_field field[HTTP_SCAN_FIELDS];
};

/*
 * The head at p, of which `len` bytes are there: 1, or 0: not for us, and
 * *head may have been scribbled on.
 */
int http_scan_answer(struct http_head *head, const char *p, size_t len);
int http_scan_request(struct http_head *head, const char *p, size_t len);
/*
 * Copies of an answer's reason, and of its header, to `to`, where there is room
 * for head->len bytes.
 */
void http_scan_copy(const struct http_head *head, char *to,
    struct tkvm_header *header);
/* Is it called that?  `name` is in lower case. */
int http_named(const struct http_piece *, const char *name, size_t len);

#endif
