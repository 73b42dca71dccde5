/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The characters of HTTP/1, for reader and writer alike.  Not <ctype.h>: that
 * follows the locale.
 */

#ifndef TKVM_HTTP_CHAR_H
#define TKVM_HTTP_CHAR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* RFC 9110 section 5.6.2: what names and methods are made of. */
#define HTTP_TCHAR	1
/* What values are made of: no control characters, tab excepted. */
#define HTTP_TEXT	2

extern const unsigned char http_class[256];

static inline int
http_is_digit(char c)
{

	return (c >= '0' && c <= '9');
}

static inline int
http_is_tchar(char c)
{

	return (http_class[(unsigned char)c] & HTTP_TCHAR);
}

static inline int
http_is_token(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (!http_is_tchar(p[i]))
			return (0);
	}
	return (1);
}

/* Where text ends that starts at p, at `e` at the latest. */
static inline const char *
http_text_end(const char *p, const char *e)
{
	const uint64_t ones = 0x0101010101010101UL;
	uint64_t x, y;

	/* Eight bytes at a time: is one below ' ', or 0x7f? */
	for (; e - p >= 8; p += 8) {
		(void)memcpy(&x, p, sizeof x);
		y = x ^ ones * 0x7f;
		if ((((x - ones * ' ') & ~x) | ((y - ones) & ~y)) &
		    ones * 0x80)
			break;
	}
	while (p < e && (http_class[(unsigned char)*p] & HTTP_TEXT))
		p++;
	return (p);
}

static inline int
http_is_text(const char *p, size_t len)
{

	return (http_text_end(p, p + len) == p + len);
}

#endif
