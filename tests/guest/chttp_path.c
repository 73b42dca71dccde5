/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * chttp: what each path answers.
 */

#define _GNU_SOURCE
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chttp.h"

#define FILE_MAX	(16u << 20)

unsigned long served;

/* ---- helpers -------------------------------------------------------------- */

static const char *
arg(const struct conn *c, const char *name)
{
	const char *p = c->query;
	size_t n = strlen(name);

	while (p != NULL && *p != '\0') {
		if (strncmp(p, name, n) == 0 && p[n] == '=')
			return (p + n + 1);
		p = strchr(p, '&');
		if (p != NULL)
			p++;
	}
	return (NULL);
}

uint64_t
num(const struct conn *c, const char *name, uint64_t dflt)
{
	const char *p = arg(c, name);

	return (p == NULL ? dflt : strtoull(p, NULL, 10));
}

static void
start_line(struct conn *c, unsigned status, const char *reason)
{
	putf(c, "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\n", status,
	    reason);
	if (!c->keep)
		putf(c, "Connection: close\r\n");
	else if (c->is_10)
		putf(c, "Connection: keep-alive\r\n");
}

/* Head with Content-Length; `len` bytes follow. */
static void
head_length(struct conn *c, unsigned status, const char *reason, uint64_t len)
{
	start_line(c, status, reason);
	putf(c, "Content-Length: %" PRIu64 "\r\n\r\n", len);
}

static void
text(struct conn *c, const char *body, size_t len)
{
	head_length(c, 200, "OK", len);
	if (!c->is_head)
		put(c, body, len);
	c->state = ST_FLUSH;
}

void
str(struct conn *c, const char *body)
{
	text(c, body, strlen(body));
}

void
head_chunked(struct conn *c)
{
	if (c->is_10) {
		c->keep = 0;
		c->after = AFTER_CLOSE;
	}
	start_line(c, 200, "OK");
	if (!c->is_10)
		putf(c, "Transfer-Encoding: chunked\r\n");
	putf(c, "\r\n");
	c->gen_chunked = !c->is_10;
}

void
generate(struct conn *c, enum generator gen, uint64_t left)
{
	c->gen = gen;
	c->gen_pos = 0;
	c->gen_left = left;
	if (c->is_head) {
		free(c->gen_mem);
		c->gen_mem = NULL;
		c->gen = GEN_NONE;
		c->state = ST_FLUSH;
	}
}

void
answer_error(struct conn *c, unsigned status, const char *reason)
{
	c->keep = 0;
	head_length(c, status, reason, 6);
	if (!c->is_head)
		put(c, "error\n", 6);
	c->after = AFTER_LINGER;
	c->state = ST_FLUSH;
}

void
burn(unsigned ms)
{
	double end = now() + 1e-3 * ms;

	while (now() < end)
		continue;
}

/* ---- generators ----------------------------------------------------------- */

static void
gen_end(struct conn *c)
{
	if (c->gen_chunked)
		put(c, "0\r\n\r\n", 5);
	free(c->gen_mem);
	c->gen_mem = NULL;
	c->gen = GEN_NONE;
	c->state = ST_FLUSH;
}

static void
stream_tick(struct conn *c)
{
	char line[32];
	int n;

	if (space(c) < 2 * sizeof line) {
		wait_ms(c, c->gen_ms, stream_tick);
		return;
	}
	n = snprintf(line, sizeof line, "chunk %" PRIu64 "\n", c->gen_pos++);
	putf(c, "%x\r\n%s\r\n", (unsigned)n, line);
	if (c->gen_pos >= c->gen_left)
		gen_end(c);
	else
		wait_ms(c, c->gen_ms, stream_tick);
}

static void
pattern(char *p, uint64_t pos, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (char)('a' + (pos + i) % 26);
}

/* Called with at least half of the output buffer free. */
void
gen_more(struct conn *c)
{
	static char buf[OUT_SIZE / 4];
	size_t n = sizeof buf;

	if (c->gen == GEN_STREAM) {
		stream_tick(c);
		return;
	}
	if (c->gen != GEN_FILL && n > c->gen_left)
		n = (size_t)c->gen_left;
	if (n > 0) {
		if (c->gen_chunked)
			putf(c, "%zx\r\n", n);
		if (c->gen == GEN_MEMORY) {
			put(c, c->gen_mem + c->gen_pos, n);
		} else {
			pattern(buf, c->gen_pos, n);
			put(c, buf, n);
		}
		if (c->gen_chunked)
			put(c, "\r\n", 2);
		c->gen_pos += n;
		c->gen_left -= n;
	}
	if (c->gen != GEN_FILL && c->gen_left == 0)
		gen_end(c);
}

/* ---- well-behaved paths --------------------------------------------------- */

static void
path_root(struct conn *c)
{
	str(c, "Hello, World!\n");
}

static void
path_count(struct conn *c)
{
	char b[32];

	(void)snprintf(b, sizeof b, "%lu", served);
	str(c, b);
}

static void
path_nth(struct conn *c)
{
	char b[32];

	(void)snprintf(b, sizeof b, "%u", ++c->nth);
	str(c, b);
}

static void
path_size(struct conn *c)
{
	uint64_t n = num(c, "n", 0);

	head_length(c, 200, "OK", n);
	generate(c, GEN_PATTERN, n);
}

static void
path_chunked(struct conn *c)
{
	head_chunked(c);
	generate(c, GEN_PATTERN, num(c, "n", 0));
}

static void
path_eof(struct conn *c)
{
	c->keep = 0;
	c->after = AFTER_CLOSE;
	start_line(c, 200, "OK");
	putf(c, "\r\n");
	generate(c, GEN_PATTERN, num(c, "n", 0));
}

static void
path_status(struct conn *c)
{
	unsigned s = (unsigned)num(c, "c", 200);

	if (s < 200 || s > 599)
		s = 500;
	if (s == 204 || s == 304) {
		start_line(c, s, s == 204 ? "No Content" : "Not Modified");
		putf(c, "\r\n");
	} else {
		head_length(c, s, "Status", 4);
		if (!c->is_head)
			putf(c, "%u\n", s);
	}
	c->state = ST_FLUSH;
}

/* path_start() has put the head aside. */
static void
path_headers(struct conn *c)
{
	if (c->gen_mem == NULL) {
		str(c, strerror(ENOMEM));
		return;
	}
	head_length(c, 200, "OK", c->headlen);
	generate(c, GEN_MEMORY, c->headlen);
}

static void
path_peer(struct conn *c)
{
	struct sockaddr_storage ss = { 0 };
	const struct sockaddr_in *sin = (const void *)&ss;
	const struct sockaddr_in6 *sin6 = (const void *)&ss;
	socklen_t len = sizeof ss;
	char a[INET6_ADDRSTRLEN] = "", b[INET6_ADDRSTRLEN + 16];

	if (getpeername(c->fd, (struct sockaddr *)&ss, &len) != 0) {
		(void)snprintf(b, sizeof b, "%s\n", strerror(errno));
	} else if (ss.ss_family == AF_INET) {
		(void)inet_ntop(AF_INET, &sin->sin_addr, a, sizeof a);
		(void)snprintf(b, sizeof b, "%s:%u\n", a, ntohs(sin->sin_port));
	} else if (ss.ss_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &sin6->sin6_addr, a, sizeof a);
		(void)snprintf(b, sizeof b, "%s:%u\n", a,
		    ntohs(sin6->sin6_port));
	} else {
		(void)snprintf(b, sizeof b, "unix\n");
	}
	str(c, b);
}

static void
path_sleep(struct conn *c)
{
	wait_ms(c, (unsigned)num(c, "ms", 100), path_root);
}

static void
path_stream(struct conn *c)
{
	c->is_10 = 0;
	head_chunked(c);
	c->gen_ms = (unsigned)num(c, "ms", 50);
	generate(c, GEN_STREAM, num(c, "n", 1));
}

static void
path_late(struct conn *c)
{
	path_root(c);
	c->after = AFTER_BURN;
	c->after_ms = (unsigned)num(c, "ms", 500);
}

static void
path_latetimer(struct conn *c)
{
	path_root(c);
	c->after = AFTER_TIMER;
	c->after_ms = (unsigned)num(c, "ms", 500);
}

static void
path_bigheaders(struct conn *c)
{
	unsigned i, n = (unsigned)num(c, "n", 40), len;

	len = (unsigned)num(c, "len", 500);
	if (n > 60)
		n = 60;
	if (len > 900)
		len = 900;
	start_line(c, 200, "OK");
	for (i = 0; i < n; i++)
		putf(c, "X-Big-%u: %0*u\r\n", i, (int)len, i);
	putf(c, "Content-Length: 4\r\n\r\n");
	if (!c->is_head)
		put(c, "big\n", 4);
	c->state = ST_FLUSH;
}

/* Headers for the next hop only, several of one name, and a Date. */
static void
path_hops(struct conn *c)
{

	putf(c, "HTTP/1.1 203 As I Say\r\n"
	    "Date: Mon, 01 Jan 2001 00:00:00 GMT\r\n"
	    "Server: chttp\r\n"
	    "Connection: X-Private, keep-alive\r\n"
	    "Keep-Alive: timeout=5\r\n"
	    "X-Private: 1\r\n"
	    "X-Varnish: 7\r\n"
	    "X-Foo: guest\r\n"
	    "Set-Cookie: a=1\r\n"
	    "Set-Cookie: b=2\r\n"
	    "Content-Length: 5\r\n\r\n");
	if (!c->is_head)
		put(c, "hops\n", 5);
	c->state = ST_FLUSH;
}

static void
path_interim(struct conn *c)
{
	if (!c->is_10)
		putf(c, "HTTP/1.1 103 Early Hints\r\n"
		    "Link: </style.css>; rel=preload\r\n\r\n");
	path_root(c);
}

static void
path_random(struct conn *c)
{
	unsigned char r[8];
	char b[20];
	unsigned u;

	if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
		(void)memset(r, 0, sizeof r);
	for (u = 0; u < sizeof r; u++)
		(void)snprintf(b + 2 * u, 3, "%02x", r[u]);
	str(c, b);
}

/* Calls that need no exit: signal mask, and where the heap ends */
static void
path_mask(struct conn *c)
{
	sigset_t set, old;
	unsigned u, bad = 0;
	char *end = sbrk(0);

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	for (u = 0; u < 100; u++) {
		bad += sigprocmask(SIG_BLOCK, &set, &old) != 0 ||
		    sigismember(&old, SIGUSR1);
		bad += sigprocmask(SIG_BLOCK, NULL, &old) != 0 ||
		    !sigismember(&old, SIGUSR1);
		bad += sigprocmask(SIG_SETMASK, &set, NULL) != 0;
		bad += sigprocmask(SIG_UNBLOCK, &set, NULL) != 0;
		bad += (char *)syscall(SYS_brk, 0) != end ||
		    (char *)syscall(SYS_brk, end - 8) != end - 8 ||
		    (char *)syscall(SYS_brk, 0) != end - 8 ||
		    (char *)syscall(SYS_brk, end) != end;
	}
	str(c, bad == 0 ? "ok" : "bad");
}

static void
path_pid(struct conn *c)
{
	char b[32];

	(void)snprintf(b, sizeof b, "%d\n", (int)getpid());
	str(c, b);
}

static void
path_time(struct conn *c)
{
	struct timespec ts;
	char b[32];

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)snprintf(b, sizeof b, "%lld\n", (long long)ts.tv_sec);
	str(c, b);
}

static void
path_env(struct conn *c)
{
	const char *n = arg(c, "n"), *v = n == NULL ? NULL : getenv(n);
	char b[1024];

	(void)snprintf(b, sizeof b, "%s\n", v == NULL ? "(unset)" : v);
	str(c, b);
}

static void
path_file(struct conn *c)
{
	const char *p = arg(c, "p");
	ssize_t r;
	size_t n = 0;
	int fd;

	fd = open(p == NULL ? "" : p, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		str(c, strerror(errno));
		return;
	}
	c->gen_mem = malloc(FILE_MAX);
	do {
		r = read(fd, c->gen_mem + n, FILE_MAX - n);
		if (r > 0)
			n += (size_t)r;
	} while (r > 0 && n < FILE_MAX);
	if (r < 0) {
		str(c, strerror(errno));
		free(c->gen_mem);
		c->gen_mem = NULL;
	} else {
		head_length(c, 200, "OK", n);
		generate(c, GEN_MEMORY, n);
	}
	(void)close(fd);
}

static void
path_touch(struct conn *c)
{
	size_t n = (size_t)num(c, "mb", 1) << 20;
	volatile char *p = malloc(n);
	size_t i;

	if (p == NULL) {
		str(c, strerror(errno));
		return;
	}
	for (i = 0; i < n; i += 512)
		p[i] = (char)i;
	free((void *)p);
	str(c, "touched\n");
}

/* ---- dispatch ------------------------------------------------------------- */

static const struct path paths[] = {
	{ "/",			path_root },
	{ "/count",		path_count },
	{ "/nth",		path_nth },
	{ "/size",		path_size },
	{ "/chunked",		path_chunked },
	{ "/eof",		path_eof },
	{ "/status",		path_status },
	{ "/headers",		path_headers },
	{ "/peer",		path_peer },
	{ "/sleep",		path_sleep },
	{ "/stream",		path_stream },
	{ "/late",		path_late },
	{ "/latetimer",		path_latetimer },
	{ "/bigheaders",	path_bigheaders },
	{ "/interim",		path_interim },
	{ "/hops",		path_hops },
	{ "/mask",		path_mask },
	{ "/random",		path_random },
	{ "/pid",		path_pid },
	{ "/time",		path_time },
	{ "/env",		path_env },
	{ "/file",		path_file },
	{ "/touch",		path_touch },
	{ NULL,			NULL }
};

static const struct path *
find(const struct path *p, const char *name)
{
	while (p->name != NULL && strcmp(p->name, name) != 0)
		p++;
	return (p->name == NULL ? NULL : p);
}

/* The head has been read.  Most paths wait for the body first. */
void
path_start(struct conn *c)
{
	if (strcmp(c->path, "/413") == 0) {
		path_413(c);
	} else if (strcmp(c->path, "/noread") == 0) {
		c->state = ST_STUCK;
	} else if (strcmp(c->path, "/headers") == 0) {
		c->gen_mem = malloc(c->headlen);
		if (c->gen_mem != NULL)
			(void)memcpy(c->gen_mem, c->in, c->headlen);
	} else if (strcmp(c->path, "/echo") == 0) {
		c->echo = 1;
		if (c->expect)
			putf(c, "HTTP/1.1 100 Continue\r\n\r\n");
		if (c->framing == FR_CHUNKED)
			head_chunked(c);
		else
			head_length(c, 200, "OK", c->body_left);
	}
}

/* The body has been read, too. */
void
path_answer(struct conn *c)
{
	const struct path *p;

	if (c->echo) {
		if (c->gen_chunked && !c->is_head)
			put(c, "0\r\n\r\n", 5);
		c->state = ST_FLUSH;
		return;
	}
	p = find(paths, c->path);
	if (p == NULL)
		p = find(bad_paths, c->path);
	if (p != NULL) {
		p->answer(c);
		return;
	}
	head_length(c, 404, "Not Found", 10);
	if (!c->is_head)
		put(c, "not found\n", 10);
	c->state = ST_FLUSH;
}
