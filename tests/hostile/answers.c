/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Answers that are no HTTP, or only to some.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

#define OK		"HTTP/1.1 200 OK\r\n"
#define A(s)		{ s, sizeof s - 1 }

struct text {
	const char	*p;
	size_t		n;
};

/* Each has to be refused. */
static const struct text wrong[] = {
	A(OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
	A(OK "Content-Length: 3, 4\r\n\r\nabcd"),
	A(OK "Content-Length: -1\r\n\r\nabcd"),
	A(OK "Content-Length: +3\r\n\r\nabc"),
	A(OK "Content-Length: 0x3\r\n\r\nabc"),
	A(OK "Content-Length: 18446744073709551616\r\n\r\nabc"),
	A(OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "0\r\n\r\n"),
	A(OK "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n"),
	A(OK "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nabc"),
	A(OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n"),
	A(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
	A(OK "X: a\rY: b\r\n\r\n"),
	A(OK "X: a\0b\r\n\r\n"),
	A(OK "X\0Y: b\r\n\r\n"),
	A(OK "X Y: b\r\n\r\n"),
	A(OK "X : b\r\n\r\n"),
	A(OK ": b\r\n\r\n"),
	A(OK "no colon\r\n\r\n"),
	A("HTTP/1.1 200 O\0K\r\n\r\n"),
	A("HTTP/1.1 200 O\rK\r\n\r\n"),
	A("HTTP/1.1 20 OK\r\n\r\n"),
	A("HTTP/1.1 999 OK\r\n\r\n"),
	A("HTTP/1.1 099 OK\r\n\r\n"),
	A("HTTP/9.9 200 OK\r\n\r\n"),
	A("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	A("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	A("hello\n"),
	A("\0\0\0\0"),
	A("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
	    "Connection: upgrade\r\n\r\nraw"),
};
#define NWRONG		(sizeof wrong / sizeof wrong[0])

static void
say(const char *p, size_t n)
{
	ssize_t r;

	for (; n > 0; p += r, n -= (size_t)r) {
		r = write(conn, p, n);
		if (r <= 0)
			return;
	}
}

static void
not_http(unsigned seed)
{

	say(wrong[seed % NWRONG].p, wrong[seed % NWRONG].n);
	answered = 1;
}

/* A line again and again, for longer than anybody listens */
static void
endless(const char *first, const char *line)
{
	unsigned u;

	say(first, strlen(first));
	for (u = 0; u < 1000000; u++)
		if (write(conn, line, strlen(line)) <= 0)
			break;
	answered = 1;
}

static void
without_end(unsigned seed)
{
	static char big[4000];

	(void)memset(big, 'a', sizeof big - 1);
	switch (seed) {
	case 0:
		endless("", "HTTP/1.1 100 Continue\r\n\r\n");
		break;
	case 1:
		endless(OK, "X: y\r\n");
		break;
	case 2:
		endless(OK "X: ", big);
		break;
	case 3:
		endless("HTTP/1.1 200 ", big);
		break;
	case 4:
		endless(OK "Transfer-Encoding: chunked\r\n\r\n1;", big);
		break;
	default:
		endless(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n",
		    "X: y\r\n");
		break;
	}
}

/* Less than was promised, or more */
static void
wrong_length(unsigned seed)
{
	static const struct text t[] = {
		A(OK "Content-Length: 10\r\n\r\nabc"),
		A(OK "Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n"),
		A(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nab"),
		A(OK "Content-Le"),
		A("\r\n\r\n\r\n\r\n"),
		A("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nabcde"),
		A(""),
	};

	say(t[seed % 7].p, t[seed % 7].n);
	answered = 1;
}

/* The log is somebody's disk. */
static void
log_flood(unsigned seed)
{
	static char line[8192];
	unsigned u;

	(void)seed;
	(void)memset(line, 'l', sizeof line - 1);
	line[100] = '\n';
	for (u = 0; u < 2000; u++)
		(void)write(1 + (u & 1), line, sizeof line);
}

/* The body never ends. */
static void
endless_body(unsigned seed)
{
	static char b[65536];

	(void)seed;
	say(OK "\r\n", sizeof OK + 1);
	for (;;)
		if (write(conn, b, sizeof b) <= 0)
			break;
	answered = 1;
}

static void
silent(unsigned seed)
{

	answered = 1;
	if (seed == 0)
		(void)pause();
	for (;;)
		continue;
}

const struct attack answer_attacks[] = {
	{ "not-http", not_http, MAY_PROTO, NWRONG, NWRONG },
	{ "without-end", without_end, MAY_PROTO, 6, 6 },
	{ "wrong-length", wrong_length, MAY_ANSWER | MAY_FAIL, 7, 7 },
	{ "log-flood", log_flood, MAY_ANSWER, 1, 1 },
	{ "endless-body", endless_body, MAY_FAIL, 1, 1 },
	{ "silent", silent, MAY_FAIL, 2, 2 },
	{ NULL, NULL, 0, 0, 0 }
};
