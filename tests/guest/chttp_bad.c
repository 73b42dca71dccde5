/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * chttp: the paths that misbehave, each in one way.
 */

#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../guest/gk.h"
#include "../../guest/layout.h"
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

/* A port that the blob leaves by where it runs in ring 3 */
static void
path_in(struct conn *c)
{
	char buf[16], *p = buf;
	unsigned long n = sizeof buf;

	(void)c;
	__asm__ volatile("rep insb" : "+D"(p), "+c"(n) : "d"(0x7e) :
	    "memory");
}

/* The blob, and what lies around it: guest/layout.h */
static void
path_kernel(struct conn *c)
{
	void (*volatile there)(void) = (void (*)(void))0x7fffffd00000;

	(void)c;
	there();
}

/* One page in every GiB: page tables fill the memory. */
static void
path_far(struct conn *c)
{
	char *p = (char *)0x100000000000;

	(void)c;
	for (;; p += 1UL << 30) {
		if (mmap(p, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			abort();
		*p = 1;
	}
}

#define AREA	(8u << 20)

static char area[AREA] __attribute__((aligned(4096)));

/* Behaves well, and leaves nothing as it was. */
static void
path_remap(struct conn *c)
{
	char *p;

	(void)memset(area, 1, AREA);
	(void)madvise(area, AREA, MADV_DONTNEED);
	(void)memset(area, 2, AREA);
	p = mremap(area, AREA / 2, AREA / 2, MREMAP_MAYMOVE | 4, 0);
	if (p != MAP_FAILED)		/* MREMAP_DONTUNMAP: Linux 5.7 */
		(void)memset(area, 3, AREA / 2);
	(void)mprotect(area + 4096, 4096, PROT_NONE);
	(void)munmap(area + AREA / 2, AREA / 4);
	(void)mremap(area + AREA - 8192, 4096, 8192, MREMAP_MAYMOVE);
	str(c, "moved\n");
}

/* The VMM makes descriptors, and the program denies that there are any: it can
 * where the blob runs in ring 3. */
static void
path_marks(struct conn *c)
{
	volatile struct gk *gk = (void *)GVA_GK;
	int i;

	for (i = 0; i < 200; i++)
		if (open("/proc/self/status", O_RDONLY | O_CLOEXEC) < 0)
			die("open");
	gk->hi_fd = gk->hi_ofd = gk->hi_epi = gk->hi_scm = 0;
	str(c, "denied\n");
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
fill(struct conn *c)
{
	c->state = ST_ANSWER;		/* it may have waited */
	head_chunked(c);
	generate(c, GEN_FILL, 0);
}

static void
path_fill(struct conn *c)
{
	const unsigned ms = (unsigned)num(c, "ms", 0);

	if (ms > 0)
		wait_ms(c, ms, fill);
	else
		fill(c);
}

/* ---- as much as the limits allow ---------------------------------------------- */

/* So many descriptors: of the host's (file=1), or of the machine's own */
static void
path_fds(struct conn *c)
{
	const uint64_t want = num(c, "n", 1000), file = num(c, "file", 0);
	char b[80];
	uint64_t n;

	for (n = 0; n < want; n++)
		if ((file ? open("/proc/self/status", O_RDONLY) : dup(0)) < 0)
			break;
	(void)snprintf(b, sizeof b, "%u %s\n", (unsigned)n,
	    n == want ? "all" : strerror(errno));
	str(c, b);
}

static void *
thread(void *priv)
{

	(void)pause();
	return (priv);
}

static void
path_threads(struct conn *c)
{
	const uint64_t want = num(c, "n", 100);
	pthread_attr_t a;
	pthread_t t;
	char b[80];
	uint64_t n;
	int i = 0;

	(void)pthread_attr_init(&a);
	(void)pthread_attr_setstacksize(&a, 65536);
	for (n = 0; n < want && i == 0; n += i == 0)
		i = pthread_create(&t, &a, thread, NULL);
	(void)snprintf(b, sizeof b, "%u %s\n", (unsigned)n,
	    i == 0 ? "all" : strerror(i));
	str(c, b);
}

static void
path_log(struct conn *c)
{
	uint64_t n;

	for (n = num(c, "n", 1000); n >= 100; n -= 100)
		(void)dprintf(2, "%099u\n", (unsigned)n);
	str(c, "logged\n");
}

/* So many bursts of work, with a rest between them */
static void
path_bursts(struct conn *c)
{

	burn((unsigned)num(c, "ms", 50));
	if (++c->gen_pos >= num(c, "n", 10))
		str(c, "done\n");
	else
		wait_ms(c, 10, path_bursts);
}

const struct path bad_paths[] = {
	{ "/nothing",		path_nothing },
	{ "/crash",		path_crash },
	{ "/ud",		path_ud },
	{ "/abort",		path_abort },
	{ "/in",		path_in },
	{ "/kernel",		path_kernel },
	{ "/far",		path_far },
	{ "/remap",		path_remap },
	{ "/marks",		path_marks },
	{ "/exit",		path_exit },
	{ "/loop",		path_loop },
	{ "/sleepforever",	path_sleepforever },
	{ "/alloc",		path_alloc },
	{ "/close",		path_close },
	{ "/half",		path_half },
	{ "/shortbody",		path_shortbody },
	{ "/garbage",		path_garbage },
	{ "/fill",		path_fill },
	{ "/fds",		path_fds },
	{ "/threads",		path_threads },
	{ "/log",		path_log },
	{ "/bursts",		path_bursts },
	{ NULL,			NULL }
};
