/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * chttp: one connection.  Its buffers, the request parser, the state machine.
 *
 * conn_pump() goes as far as it can without reading: parse, make the answer,
 * write.  It never waits; what it waits for is in `state`, `deadline` and
 * conn_wants_*().
 */

#define _GNU_SOURCE
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "chttp.h"

#define LINGER_S	0.5

struct conn *
conn_new(int fd)
{
	struct conn *c;

	c = calloc(1, sizeof *c);
	if (c == NULL)
		return (NULL);
	c->magic = CONN_MAGIC;
	c->fd = fd;
	c->in = malloc(IN_SIZE);
	c->out = malloc(OUT_SIZE);
	c->head = malloc(IN_SIZE + 1);
	if (c->in == NULL || c->out == NULL || c->head == NULL) {
		conn_free(c);
		return (NULL);
	}
	return (c);
}

void
conn_free(struct conn *c)
{
	assert(c->magic == CONN_MAGIC);
	c->magic = 0;
	free(c->in);
	free(c->out);
	free(c->head);
	free(c->gen_mem);
	free(c);
}

int
conn_wants_in(const struct conn *c)
{
	return ((c->state == ST_HEAD || c->state == ST_BODY) &&
	    c->inlen < IN_SIZE);
}

int
conn_wants_out(const struct conn *c)
{
	return (c->outoff < c->outlen);
}

void
conn_read(struct conn *c)
{
	ssize_t r;

	r = read(c->fd, c->in + c->inlen, IN_SIZE - c->inlen);
	if (r > 0)
		c->inlen += (size_t)r;
	else if (r == 0 || (errno != EAGAIN && errno != EINTR))
		c->state = ST_DEAD;
}

static void
consume(struct conn *c, size_t n)
{
	assert(n <= c->inlen);
	c->inlen -= n;
	(void)memmove(c->in, c->in + n, c->inlen);
}

/* ---- output --------------------------------------------------------------- */

size_t
space(struct conn *c)
{
	if (c->outoff > 0) {
		c->outlen -= c->outoff;
		(void)memmove(c->out, c->out + c->outoff, c->outlen);
		c->outoff = 0;
	}
	return (OUT_SIZE - c->outlen);
}

void
put(struct conn *c, const void *p, size_t n)
{
	assert(n <= space(c));
	(void)memcpy(c->out + c->outlen, p, n);
	c->outlen += n;
}

void
putf(struct conn *c, const char *fmt, ...)
{
	va_list ap;
	size_t room = space(c);
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c->out + c->outlen, room, fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < room);
	c->outlen += (size_t)n;
}

/* Returns whether something could be written. */
static int
flush(struct conn *c)
{
	ssize_t r;

	if (c->outoff == c->outlen)
		return (0);
	r = write(c->fd, c->out + c->outoff, c->outlen - c->outoff);
	if (r < 0) {
		if (errno != EAGAIN && errno != EINTR)
			c->state = ST_DEAD;
		return (0);
	}
	c->outoff += (size_t)r;
	if (c->outoff == c->outlen)
		c->outoff = c->outlen = 0;
	return (1);
}

/* ---- the request head ----------------------------------------------------- */

static void
header(struct conn *c, const char *name, const char *value)
{
	char *e;

	if (strcasecmp(name, "Content-Length") == 0) {
		c->body_left = strtoull(value, &e, 10);
		if (e == value || *e != '\0')
			c->state = ST_DEAD;
		if (c->framing == FR_NONE && c->body_left > 0)
			c->framing = FR_LENGTH;
	} else if (strcasecmp(name, "Transfer-Encoding") == 0) {
		c->framing = FR_CHUNKED;
		c->chunk = CK_SIZE;
	} else if (strcasecmp(name, "Connection") == 0) {
		if (strcasecmp(value, "close") == 0)
			c->keep = 0;
		else if (strcasecmp(value, "keep-alive") == 0)
			c->keep = 1;
	} else if (strcasecmp(name, "Expect") == 0) {
		c->expect = strcasecmp(value, "100-continue") == 0;
	}
}

/* Cuts `line` at the first `sep`; NULL if there is none. */
static char *
cut(char *line, const char *sep)
{
	char *p = strstr(line, sep);

	if (p == NULL)
		return (NULL);
	*p = '\0';
	return (p + strlen(sep));
}

static void
parse_head(struct conn *c)
{
	char *line, *next, *proto, *value;

	/* c->in keeps the text as it came, for path_start(). */
	(void)memcpy(c->head, c->in, c->headlen);
	c->head[c->headlen - 2] = '\0';
	line = c->head;
	next = cut(line, "\r\n");
	c->method = line;
	c->path = cut(line, " ");
	proto = c->path == NULL ? NULL : cut(c->path, " ");
	if (proto == NULL || next == NULL ||
	    strncmp(proto, "HTTP/1.", 7) != 0) {
		answer_error(c, 400, "Bad Request");
		return;
	}
	c->is_10 = strcmp(proto, "HTTP/1.0") == 0;
	c->keep = !c->is_10;
	c->is_head = strcmp(c->method, "HEAD") == 0;
	c->query = cut(c->path, "?");
	if (c->query == NULL)
		c->query = proto + strlen(proto);
	for (line = next; *line != '\0'; line = next) {
		next = cut(line, "\r\n");
		value = cut(line, ":");
		if (next == NULL || value == NULL) {
			answer_error(c, 400, "Bad Request");
			return;
		}
		while (*value == ' ' || *value == '\t')
			value++;
		header(c, line, value);
	}
	c->state = ST_BODY;
}

/* Returns whether it got further. */
static int
step_head(struct conn *c)
{
	char *e;

	e = memmem(c->in, c->inlen, "\r\n\r\n", 4);
	if (e == NULL) {
		if (c->inlen == IN_SIZE)
			answer_error(c, 431, "Request Header Too Large");
		return (c->inlen == IN_SIZE);
	}
	c->headlen = (size_t)(e - c->in) + 4;
	c->framing = FR_NONE;
	c->body_left = 0;
	c->echo = c->expect = c->gen_chunked = 0;
	c->gen = GEN_NONE;
	c->after = AFTER_NEXT;
	c->after_ms = 0;
	served++;
	parse_head(c);
	if (c->state == ST_BODY)
		path_start(c);
	else if (c->state == ST_DEAD)
		return (0);
	consume(c, c->headlen);
	return (1);
}

/* ---- the request body ----------------------------------------------------- */

/* `n` bytes of it: throw them away, or echo as many as there is room for. */
static size_t
body_bytes(struct conn *c, size_t n)
{
	size_t room;

	if (!c->echo || c->is_head)
		return (n);
	room = space(c);
	room = room > 32 ? room - 32 : 0;
	if (n > room)
		n = room;
	if (n == 0)
		return (0);
	if (c->gen_chunked)
		putf(c, "%zx\r\n", n);
	put(c, c->in, n);
	if (c->gen_chunked)
		put(c, "\r\n", 2);
	return (n);
}

static int
body_data(struct conn *c)
{
	size_t n = c->inlen;

	if (n > c->body_left)
		n = (size_t)c->body_left;
	n = body_bytes(c, n);
	c->body_left -= n;
	consume(c, n);
	return (n > 0);
}

static int
body_line(struct conn *c)
{
	char *e, *eol;

	eol = memmem(c->in, c->inlen, "\r\n", 2);
	if (eol == NULL) {
		if (c->inlen > 4096)
			c->state = ST_DEAD;
		return (0);
	}
	if (c->chunk == CK_SIZE) {
		*eol = '\0';
		c->body_left = strtoull(c->in, &e, 16);
		if (e == c->in || (*e != '\0' && *e != ';' && *e != ' '))
			c->state = ST_DEAD;
		c->chunk = c->body_left > 0 ? CK_DATA : CK_TRAILER;
	} else if (c->chunk == CK_CRLF) {
		if (eol != c->in)
			c->state = ST_DEAD;
		c->chunk = CK_SIZE;
	} else if (eol == c->in) {
		c->framing = FR_NONE;
	}
	consume(c, (size_t)(eol - c->in) + 2);
	return (1);
}

static int
step_body(struct conn *c)
{
	int r;

	if (c->expect && c->framing != FR_NONE && c->inlen == 0) {
		/* Nothing of the answer may be out before it. */
		c->expect = 0;
		if (!c->echo)
			putf(c, "HTTP/1.1 100 Continue\r\n\r\n");
	}
	if (c->framing == FR_LENGTH) {
		r = body_data(c);
		if (c->body_left == 0)
			c->framing = FR_NONE;
	} else if (c->framing == FR_CHUNKED && c->chunk == CK_DATA) {
		r = body_data(c);
		if (c->body_left == 0)
			c->chunk = CK_CRLF;
	} else if (c->framing == FR_CHUNKED) {
		r = body_line(c);
	} else {
		r = 0;
	}
	if (c->state == ST_BODY && c->framing == FR_NONE) {
		c->state = ST_ANSWER;
		path_answer(c);
		r = 1;
	}
	return (r);
}

/* ---- after the answer ----------------------------------------------------- */

static void
go_on(struct conn *c)
{
	c->state = c->keep ? ST_HEAD : ST_DEAD;
}

void
wait_ms(struct conn *c, unsigned ms, void (*then)(struct conn *))
{
	c->state = ST_TIMER;
	c->deadline = now() + 1e-3 * ms;
	c->then = then;
}

static void
step_done(struct conn *c)
{
	switch (c->after) {
	case AFTER_CLOSE:
		c->state = ST_DEAD;
		break;
	case AFTER_LINGER:
		/* Closing at once would make TCP throw the answer away. */
		(void)shutdown(c->fd, SHUT_WR);
		c->state = ST_LINGER;
		c->deadline = now() + LINGER_S;
		break;
	case AFTER_BURN:
		burn(c->after_ms);
		go_on(c);
		break;
	case AFTER_TIMER:
		wait_ms(c, c->after_ms, go_on);
		break;
	default:
		go_on(c);
	}
}

void
conn_timer(struct conn *c)
{
	c->deadline = 0;
	if (c->state == ST_LINGER) {
		c->state = ST_DEAD;
		return;
	}
	if (c->state == ST_TIMER)
		c->then(c);
	conn_pump(c);
}

void
conn_pump(struct conn *c)
{
	int more;

	do {
		more = 0;
		if (c->state == ST_HEAD && c->inlen > 0)
			more = step_head(c);
		else if (c->state == ST_BODY)
			more = step_body(c);
		else if (c->state == ST_ANSWER && space(c) > OUT_SIZE / 2) {
			gen_more(c);
			more = 1;
		} else if (c->state == ST_FLUSH && c->outlen == 0) {
			step_done(c);
			more = 1;
		}
		/* One write for head and body where they come together. */
		if (c->state != ST_ANSWER || c->outlen >= OUT_SIZE / 2)
			more |= flush(c);
	} while (more && c->state != ST_DEAD);
}
