/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * roundtrip: the HTTP client inside the emulated machines, which have no
 * other.  Small, static, strict: the first wrong byte ends it with 1.
 *
 *	roundtrip [-k] [-c COUNT] [-n N] [-p BYTES] [-s BYTES] [-w SECONDS] PORT
 *
 * N requests [1] for /, each on its own connection, or all on one (-k).
 * -c: for /count, which has to answer COUNT every time.  -p: POST that many
 * bytes to /echo.  -s: GET /size?n=BYTES.  -w: first wait for the port.
 */

#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/time.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEAD_MAX	8192

static struct sockaddr_in addr = { .sin_family = AF_INET };
static const char *what = "/";

static void __attribute__((noreturn))
die(const char *why)
{
	(void)printf("roundtrip: %s: %s: %s\n", what, why, strerror(errno));
	exit(1);
}

static int
dial(int patient)
{
	struct timeval tv = { .tv_sec = 60 };
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0)
		die("socket");
	(void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	if (connect(s, (struct sockaddr *)&addr, sizeof addr) == 0)
		return (s);
	(void)close(s);
	if (!patient)
		die("connect");
	return (-1);
}

static void
wait_for(unsigned seconds)
{
	unsigned u;
	int s;

	for (u = 0; u < seconds * 10; u++) {
		s = dial(1);
		if (s >= 0) {
			(void)close(s);
			return;
		}
		(void)usleep(100000);
	}
	die("the port does not open");
}

/* Write all of it, reading nothing meanwhile: small bodies only. */
static void
send_all(int s, const char *p, size_t n)
{
	ssize_t r;

	for (; n > 0; p += r, n -= (size_t)r) {
		r = write(s, p, n);
		if (r <= 0)
			die("write");
	}
}

/* Reads head and body; the body has to be `want`. */
static void
answer(int s, const char *want, size_t n)
{
	char *buf = malloc(HEAD_MAX + n), *e = NULL, *cl;
	size_t have = 0, head = 0;
	ssize_t r;

	if (buf == NULL)
		die("malloc");
	do {
		r = read(s, buf + have, HEAD_MAX + n - have);
		if (r <= 0) {
			(void)printf("after %zu bytes\n", have);
			die("read");
		}
		have += (size_t)r;
		if (e == NULL) {
			e = memmem(buf, have, "\r\n\r\n", 4);
			if (e == NULL)
				continue;
			*e = '\0';
			head = (size_t)(e - buf) + 4;
			cl = strcasestr(buf, "\r\nContent-Length: ");
			if (strncmp(buf, "HTTP/1.", 7) != 0 ||
			    strncmp(buf + 8, " 200 ", 5) != 0 || cl == NULL ||
			    strtoul(cl + 18, NULL, 10) != n) {
				(void)printf("%.300s\n", buf);
				errno = EPROTO;
				die("head");
			}
		}
	} while (e == NULL || have < head + n);
	if (have != head + n || memcmp(buf + head, want, n) != 0) {
		errno = EBADMSG;
		(void)printf("%.100s\n", buf + head);
		die("body");
	}
	free(buf);
}

static char *
pattern(size_t n)
{
	char *p = malloc(n + 1);
	size_t i;

	if (p == NULL)
		die("malloc");
	for (i = 0; i < n; i++)
		p[i] = (char)('a' + i % 26);
	return (p);
}

static void
request(int s, const char *post, size_t n)
{
	char b[512];
	int len;

	len = snprintf(b, sizeof b, "%s %s HTTP/1.1\r\nHost: test\r\n",
	    post == NULL ? "GET" : "POST", what);
	if (post != NULL)
		len += snprintf(b + len, sizeof b - (size_t)len,
		    "Content-Length: %zu\r\n", n);
	len += snprintf(b + len, sizeof b - (size_t)len, "\r\n");
	send_all(s, b, (size_t)len);
	if (post != NULL)
		send_all(s, post, n);
}

/* An echo larger than the sockets' buffers: a child sends. */
static void
one(int s, const char *post, const char *want, size_t n)
{
	pid_t child = -1;

	if (post != NULL && n > 65536) {
		child = fork();
		if (child == 0) {
			request(s, post, n);
			_exit(0);
		}
	} else {
		request(s, post, n);
	}
	answer(s, want, n);
}

int
main(int argc, char **argv)
{
	static const char *post, *want = "Hello, World!\n";
	static char path[64];
	size_t len = strlen(want);
	unsigned i, n = 1, keep = 0, patience = 0;
	int ch, s = -1;

	while ((ch = getopt(argc, argv, "kc:n:p:s:w:")) != -1) {
		switch (ch) {
		case 'k':
			keep = 1;
			break;
		case 'c':
			what = "/count";
			want = optarg;
			len = strlen(want);
			break;
		case 'n':
			n = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			what = "/echo";
			len = strtoul(optarg, NULL, 10);
			post = want = pattern(len);
			break;
		case 's':
			(void)snprintf(path, sizeof path, "/size?n=%s",
			    optarg);
			what = path;
			len = strtoul(optarg, NULL, 10);
			want = pattern(len);
			break;
		case 'w':
			patience = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			return (2);
		}
	}
	if (optind + 1 != argc)
		return (2);
	addr.sin_port = htons((uint16_t)strtoul(argv[optind], NULL, 10));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (patience > 0) {
		wait_for(patience);
		return (0);
	}
	for (i = 0; i < n; i++) {
		if (s < 0)
			s = dial(0);
		one(s, post, want, len);
		if (!keep) {
			(void)close(s);
			s = -1;
		}
	}
	return (0);
}
