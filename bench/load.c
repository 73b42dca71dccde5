/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A client that costs little: for the emulated machine, which has no other.
 *
 *	load unix:PATH CONNECTIONS REQUESTS [HEADER...]
 *
 * REQUESTS on each of CONNECTIONS, one after the other.  Prints nanoseconds a
 * request; ends with 1 at the first answer that is not 200 or incomplete.
 */

#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un sun = { .sun_family = AF_UNIX };
static char request[2048];
static size_t request_len;

static void __attribute__((noreturn))
die(const char *what, const char *answer)
{
	(void)fprintf(stderr, "load: %s: %s %.200s\n", sun.sun_path, what,
	    answer);
	exit(1);
}

static int
is_whole(const char *buf, size_t have)
{
	const char *body = strstr(buf, "\r\n\r\n"), *p;

	if (body == NULL)
		return (0);
	p = strcasestr(buf, "\r\nContent-Length: ");
	return (p != NULL && p < body && have >= (size_t)(body + 4 - buf) +
	    strtoul(p + 18, NULL, 10));
}

static void
ask(int s)
{
	char buf[4096];
	size_t have = 0;
	ssize_t n;

	buf[0] = '\0';
	if (write(s, request, request_len) != (ssize_t)request_len)
		die("write", "");
	while (!is_whole(buf, have)) {
		n = read(s, buf + have, sizeof buf - 1 - have);
		if (n <= 0)
			die("the answer ended early:", buf);
		have += (size_t)n;
		buf[have] = '\0';
	}
	if (strncmp(buf, "HTTP/1.1 200 ", 13) != 0)
		die("not 200:", buf);
}

static void
connection(unsigned requests)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	if (s < 0 || connect(s, (struct sockaddr *)&sun, sizeof sun) != 0)
		die("connect", "");
	while (requests-- > 0)
		ask(s);
	(void)close(s);
}

static double
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec * 1e9 + (double)t.tv_nsec);
}

int
main(int argc, char **argv)
{
	unsigned connections, requests, u;
	size_t n;
	double t;
	int i;

	if (argc < 4 || strncmp(argv[1], "unix:", 5) != 0)
		return (2);
	(void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", argv[1] + 5);
	connections = (unsigned)strtoul(argv[2], NULL, 10);
	requests = (unsigned)strtoul(argv[3], NULL, 10);
	n = (size_t)snprintf(request, sizeof request,
	    "GET / HTTP/1.1\r\nHost: x\r\n");
	for (i = 4; i < argc && n < sizeof request / 2; i++)
		n += (size_t)snprintf(request + n, sizeof request / 4,
		    "%.200s\r\n", argv[i]);
	request_len = n + (size_t)snprintf(request + n, 3, "\r\n");
	t = now_ns();
	for (u = 0; u < connections; u++)
		connection(requests);
	(void)printf("%.0f\n", (now_ns() - t) / connections / requests);
	return (0);
}
