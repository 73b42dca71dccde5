/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Builds the head of an HTTP/1.1 request into a buffer of the caller's.  What
 * would not be one line, or a token where HTTP wants one, is refused.  Errors
 * stick: only the end needs to be checked.
 */

#ifndef TKVM_HTTP_WRITE_H
#define TKVM_HTTP_WRITE_H

#include "tkvm.h"

struct http_write {
	unsigned	magic;
#define HTTP_WRITE_MAGIC	0x48575254
	char		*buf;
	size_t		len, size;
	struct tkvm_error err;		/* the first one */
};

void http_write_init(struct http_write *, void *buf, size_t size);
/* The request line; and Host, unless NULL. */
void http_write_request(struct http_write *, const char *method,
    const char *target, const char *host);
void http_write_header(struct http_write *, const char *name,
    const char *value);
/* A "Name: value" as it is, without the line end. */
void http_write_line(struct http_write *, const char *, size_t len);
/* The empty line.  Length of the head, or -1 with *err. */
ssize_t http_write_end(struct http_write *, struct tkvm_error *err);

#endif
