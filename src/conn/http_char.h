/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The characters of HTTP/1, for reader and writer alike.  Not <ctype.h>: that
 * follows the locale.
 */

#ifndef TKVM_HTTP_CHAR_H
#define TKVM_HTTP_CHAR_H

#include <stddef.h>
#include <string.h>

static inline int
http_is_digit(char c)
{

	return (c >= '0' && c <= '9');
}

/* RFC 9110 section 5.6.2: what names and methods are made of. */
static inline int
http_is_tchar(char c)
{

	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    http_is_digit(c))
		return (1);
	return (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
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

/* What values are made of: no control characters, tab excepted. */
static inline int
http_is_text(const char *p, size_t len)
{
	unsigned char c;
	size_t i;

	for (i = 0; i < len; i++) {
		c = (unsigned char)p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return (0);
	}
	return (1);
}

#endif
