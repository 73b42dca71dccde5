/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * chttp: the paths that misbehave, each in one way.
 */

#define _GNU_SOURCE
#include <sys/eventfd.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chttp.h"

/* Called with the head read and nothing of the body. */
void
path_413(struct conn *c)
{
	answer_error(c, 413, "Content Too Large");
}

static void
path_nothing(struct conn *c)
{
	uint64_t v;
	int fd = eventfd(0, EFD_CLOEXEC);

	if (read(fd, &v, sizeof v) != (ssize_t)sizeof v)
		die("eventfd");
	str(c, "woken\n");
}

static void
path_crash(struct conn *c)
{
	volatile int *volatile null = NULL;

	(void)c;
	*null = 1;
}

static void
path_ud(struct conn *c)
{
	(void)c;
	__asm__ volatile("ud2");
}

static void
path_abort(struct conn *c)
{
	(void)c;
	abort();
}

static void
path_exit(struct conn *c)
{
	(void)c;
	exit(3);
}

static void
path_loop(struct conn *c)
{
	volatile unsigned long n = 0;

	(void)c;
	for (;;)
		n++;
}

static void
path_sleepforever(struct conn *c)
{
	(void)c;
	for (;;)
		(void)pause();
}

static void
path_alloc(struct conn *c)
{
	size_t n = 1u << 20;
	char *volatile p;

	(void)c;
	for (;;) {
		p = malloc(n);
		if (p == NULL)
			abort();
		(void)memset(p, 0x5a, n);
	}
}

static void
path_close(struct conn *c)
{
	c->state = ST_DEAD;
}

static void
raw(struct conn *c, const char *bytes)
{
	put(c, bytes, strlen(bytes));
	c->after = AFTER_CLOSE;
	c->state = ST_FLUSH;
}

static void
path_half(struct conn *c)
{
	raw(c, "HTTP/1.1 200 OK\r\nContent-Ty");
}

static void
path_shortbody(struct conn *c)
{
	raw(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
}

static void
path_garbage(struct conn *c)
{
	raw(c, "\001\002\003 this is no HTTP\r\n\r\n at all \377\376\r\n");
}

static void
path_fill(struct conn *c)
{
	head_chunked(c);
	generate(c, GEN_FILL, 0);
}

const struct path bad_paths[] = {
	{ "/nothing",		path_nothing },
	{ "/crash",		path_crash },
	{ "/ud",		path_ud },
	{ "/abort",		path_abort },
	{ "/exit",		path_exit },
	{ "/loop",		path_loop },
	{ "/sleepforever",	path_sleepforever },
	{ "/alloc",		path_alloc },
	{ "/close",		path_close },
	{ "/half",		path_half },
	{ "/shortbody",		path_shortbody },
	{ "/garbage",		path_garbage },
	{ "/fill",		path_fill },
	{ NULL,			NULL }
};
