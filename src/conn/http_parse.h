/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reads an HTTP/1 answer of a guest: the head into struct tkvm_response, and
 * chunked bodies.  Bodies with Content-Length and up to end-of-file need no
 * parser and are the caller's.  Nothing a guest writes is trusted.
 */

#ifndef TKVM_HTTP_PARSE_H
#define TKVM_HTTP_PARSE_H

#include "tkvm.h"

#define HTTP_MAX_HEADERS	128
#define HTTP_MAX_HEAD		(64 * 1024)	/* bytes, status line too */
#define HTTP_MAX_INTERIM	16		/* 1xx before the answer */
/* Chunk sizes, extensions and trailers in a row, without a body byte */
#define HTTP_MAX_FRAMING	(64 * 1024)

struct http_parse;

/* `head_request`: the method was HEAD.  NULL: no memory. */
struct http_parse *http_parse_new(int head_request);
void http_parse_free(struct http_parse **);
/* For the next answer; what the last one needed of memory is kept. */
void http_parse_again(struct http_parse *, int head_request);
/* At most so many headers and bytes of them; 0: the most there can be. */
void http_parse_limits(struct http_parse *, unsigned headers, size_t bytes);

/*
 * Parse head bytes: how many were used (less than `len` only when the head
 * ended), or -1 with *err, after which only _free may follow.
 */
ssize_t http_parse_head(struct http_parse *, const char *, size_t len,
    struct tkvm_error *err);
/* NULL until the head of the final answer is complete; valid until _free. */
const struct tkvm_response *http_parse_response(const struct http_parse *);

/*
 * Decode a chunked body: *outlen bytes (never more than `len`) to `out`.
 * Returns how many were used (less than `len` only at the end of the body),
 * or -1 with *err.
 */
ssize_t http_parse_chunked(struct http_parse *, const char *, size_t len,
    char *out, size_t *outlen, struct tkvm_error *err);
/* The last chunk and the trailers have been parsed (or there is no body). */
int http_parse_ended(const struct http_parse *);

#endif
