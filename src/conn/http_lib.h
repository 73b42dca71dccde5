/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The two libraries that can parse HTTP/1 for us, made to look the same:
 * llhttp (HAVE_LLHTTP), and http-parser, which it grew out of.  Included by
 * http_parse.c only.
 */

#ifndef TKVM_HTTP_LIB_H
#define TKVM_HTTP_LIB_H

#include <stddef.h>

enum lib_ret {
	LIB_MORE,	/* all bytes used */
	LIB_PAUSED,	/* a callback said lib_pause() */
	LIB_BAD,
};

#ifdef HAVE_LLHTTP

#include <llhttp.h>

typedef llhttp_t lib_parser;
typedef llhttp_settings_t lib_settings;

static inline void
lib_init(lib_parser *p, const lib_settings *s, void *data)
{

	llhttp_init(p, HTTP_RESPONSE, s);
	p->data = data;
}

/* What a callback returns to stop the parser behind what it is called for. */
static inline int
lib_pause(lib_parser *p)
{

	(void)p;
	return (HPE_PAUSED);
}

static inline enum lib_ret
lib_execute(lib_parser *p, const lib_settings *s, const char *b, size_t len,
    size_t *used)
{

	(void)s;
	switch (llhttp_execute(p, b, len)) {
	case HPE_OK:
		*used = len;
		return (LIB_MORE);
	case HPE_PAUSED:
		*used = (size_t)(llhttp_get_error_pos(p) - b);
		return (LIB_PAUSED);
	default:
		return (LIB_BAD);
	}
}

/* Go on behind a head that ended in LIB_PAUSED. */
static inline int
lib_resume_body(lib_parser *p, const lib_settings *s)
{

	(void)s;
	llhttp_resume(p);
	return (0);
}

static inline const char *
lib_reason(const lib_parser *p)
{
	const char *r = llhttp_get_error_reason(p);

	return (r != NULL ? r : "syntax error");
}

#else

#include <http_parser.h>

typedef http_parser lib_parser;
typedef http_parser_settings lib_settings;

static inline void
lib_init(lib_parser *p, const lib_settings *s, void *data)
{

	(void)s;
	http_parser_init(p, HTTP_RESPONSE);
	p->data = data;
}

static inline int
lib_pause(lib_parser *p)
{

	http_parser_pause(p, 1);
	return (0);
}

static inline enum lib_ret
lib_execute(lib_parser *p, const lib_settings *s, const char *b, size_t len,
    size_t *used)
{
	size_t n;

	n = http_parser_execute(p, s, b, len);
	switch (HTTP_PARSER_ERRNO(p)) {
	case HPE_OK:
		*used = n;
		return (n == len ? LIB_MORE : LIB_BAD);
	case HPE_PAUSED:
		/* It stops before the newline that ends the head. */
		if (n < len && b[n] == '\n')
			n++;
		*used = n;
		return (LIB_PAUSED);
	default:
		return (LIB_BAD);
	}
}

static inline int
lib_resume_body(lib_parser *p, const lib_settings *s)
{

	http_parser_pause(p, 0);
	return (http_parser_execute(p, s, "\n", 1) == 1 ? 0 : -1);
}

static inline const char *
lib_reason(const lib_parser *p)
{

	return (http_errno_description(HTTP_PARSER_ERRNO(p)));
}

#endif

#endif
