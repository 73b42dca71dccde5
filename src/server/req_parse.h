/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reads the head of a client's HTTP/1 request where it lies, and chunked
 * request bodies.  Nothing a client sends is trusted.
 */

#ifndef TKVM_REQ_PARSE_H
#define TKVM_REQ_PARSE_H

#include <stddef.h>
#include <stdint.h>

#define REQ_MAX_HEADERS	128
#define REQ_MAX_HEAD	(64 * 1024)

/* Fields that mean something to us; those behind HOST go no further. */
enum req_field {
	REQ_F_OTHER,
	REQ_F_HOST,
	REQ_F_CONNECTION,
	REQ_F_LENGTH,
	REQ_F_ENCODING,
	REQ_F_EXPECT,
	REQ_F_HOP,			/* all the others of this kind */
};

/* Offsets from the first byte of the head; NUL-terminated when complete. */
struct req_header {
	uint32_t	name, name_len, value, value_len;
	enum req_field	field;
};

struct req {
	unsigned	magic;
#define REQ_MAGIC	0x52455131
	/* Filled when the head is complete */
	const char	*method;
	uint32_t	url, url_len;
	unsigned	nheader;
	struct req_header header[REQ_MAX_HEADERS];
	unsigned	minor;		/* HTTP/1.minor */
	int		is_head;	/* HEAD */
	int		keep_alive;	/* what the client wishes */
	int		has_host;
	int		expect;		/* waits for 100 Continue */
	enum { REQ_NONE, REQ_LENGTH, REQ_CHUNKED } body;
	uint64_t	length;		/* REQ_LENGTH */
	/* Filled when it is refused */
	unsigned	status;		/* what to answer */
	const char	*why;

	/* The parser's own */
	size_t		base;		/* where its bytes start */
	const char	*bytes;
	int		in_value, complete, ended, chunked_on;
	char		*out;
	size_t		out_len;
	/* The library's state: large enough, checked at compile time */
	_Alignas(16) unsigned char lib[256];
};

void req_init(struct req *);
/*
 * Go on with the head at buf: *parsed of its bytes have been looked at.
 * 1: complete, and *parsed long.  0: more.  -1: refused, see status and why.
 */
int req_head(struct req *, char *buf, size_t len, size_t *parsed);
/*
 * Decode chunked bytes to `out`, which may be `in`.  *used is less than `len`
 * only at the end of the body.  1: that was the end.  0: more.  -1: refused.
 */
int req_chunked(struct req *, const char *in, size_t len, size_t *used,
    char *out, size_t *outlen);
enum req_field req_field(const char *name, size_t len);
/* Is `token` in the comma separated list? */
int req_has_token(const char *list, const char *token, size_t len);

#endif
