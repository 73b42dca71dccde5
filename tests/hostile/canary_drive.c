/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Does anything of a request outlive the reset?  Two tenants with one fork
 * each take turns: one hides marks, the next request to it and one to the
 * other look for them.
 *
 *	canary_drive [-n ALTERNATIONS] [-x] CANARY
 *
 * -x: no reset between the two (to see the test fail).
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tkvm.h"

#define TENANTS		2
#define DEEP_EVERY	64
#define LOOKS_AT	1000000UL

static struct tkvm_image *img[TENANTS];
static struct tkvm_fork *fk[TENANTS];

static void
die(const char *what, const struct tkvm_error *err)
{

	printf("FAIL %s: %s\n0 passed, 1 failed, 0 skipped\n", what,
	    err->text);
	exit(1);
}

static void
boot(unsigned t, const char *program)
{
	static const char *const opt[][2] = {
		{ "verify-reset", "false" }, { "max-main-memory", "8" },
		{ "max-request-memory", "64" },
		/* The host may stop for a while. */
		{ "max-request-time", "3600" },
		{ "max-request-cpu-time", "60" },
		{ "max-boot-time", "90" }, { "private-tmp", "on" },
		{ "warmup", "0" }, { "settle-time", "0" },
	};
	struct tkvm_options *o;
	struct tkvm_error err;
	unsigned u;

	o = tkvm_options_new(t ? "second" : "first");
	if (o == NULL)
		exit(2);
	if (tkvm_options_set(o, "program", program, &err) != 0)
		die("program", &err);
	for (u = 0; u < sizeof opt / sizeof opt[0]; u++)
		if (tkvm_options_set(o, opt[u][0], opt[u][1], &err) != 0)
			die(opt[u][0], &err);
	img[t] = tkvm_boot(o, NULL, &err);
	if (img[t] == NULL)
		die("boot", &err);
	tkvm_options_free(&o);
	fk[t] = tkvm_fork_new(img[t], &err);
	if (fk[t] == NULL)
		die("fork", &err);
}

/* The body, at most `size` - 1 bytes */
static void
request(unsigned t, const char *path, char *body, size_t size, int reset)
{
	struct tkvm_exchange *x;
	struct tkvm_response r;
	struct tkvm_error err;
	char head[200];
	size_t n = 0;
	ssize_t i;

	if (tkvm_fork_open(fk[t], NULL, 0, 0, &err) != 0)
		die("open", &err);
	x = tkvm_exchange_new(fk[t], 0, &err);
	if (x == NULL)
		die("exchange", &err);
	(void)snprintf(head, sizeof head, "GET /%s HTTP/1.1\r\nHost: a\r\n"
	    "\r\n", path);
	if (tkvm_exchange_send(x, head, strlen(head), &err) < 0 ||
	    tkvm_exchange_head(x, 0, &r, &err) != 0)
		die(path, &err);
	while ((i = tkvm_exchange_body(x, body + n, size - 1 - n, 0,
	    &err)) > 0)
		n += (size_t)i;
	if (i < 0)
		die(path, &err);
	body[n] = '\0';
	tkvm_exchange_free(&x);
	if (reset && tkvm_fork_reset(fk[t], &err) != 0)
		die("reset", &err);
}

/* Five bytes, none of them 0, the last unlike the first */
static uint64_t
new_tag(void)
{
	uint8_t b[5];
	uint64_t v = 0;

	do {
		if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
			exit(2);
	} while (memchr(b, 0, 5) != NULL || memchr(b, '/', 5) != NULL ||
	    b[0] == b[4]);
	(void)memcpy(&v, b, 5);
	return (v);
}

int
main(int argc, char **argv)
{
	char path[100], body[500];
	unsigned long n = 500, i, hits = 0, bytes, looked = 0;
	uint64_t tag[TENANTS];
	int c, reset = 1;
	unsigned t;

	while ((c = getopt(argc, argv, "n:x")) != -1) {
		if (c == 'n')
			n = strtoul(optarg, NULL, 10);
		else
			reset = 0;
	}
	if (optind >= argc)
		return (2);
	for (t = 0; t < TENANTS; t++)
		boot(t, argv[optind]);
	for (i = 0; i < n && hits < 10; i += TENANTS) {
		if (i > 0 && i % 10000 == 0) {
			printf("%lu alternations, %lu hits\n", i, hits);
			(void)fflush(stdout);
		}
		for (t = 0; t < TENANTS; t++) {
			tag[t] = new_tag();
			(void)snprintf(path, sizeof path, "%s/%lx",
			    reset ? "mark" : "keep", (unsigned long)tag[t]);
			request(t, path, body, sizeof body, reset);
		}
		for (t = 0; t < TENANTS; t++) {
			(void)snprintf(path, sizeof path, "%s/%lx,%lx",
			    i / TENANTS % DEEP_EVERY ? "scan" : "deep",
			    (unsigned long)tag[0], (unsigned long)tag[1]);
			request(t, path, body, sizeof body, 1);
			/* "none" of how many bytes: does it look at all? */
			if (sscanf(body, "none %lu", &bytes) == 1 &&
			    bytes > LOOKS_AT) {
				looked += bytes;
				continue;
			}
			printf("alternation %lu: a mark in %s\n", i, body);
			hits++;
		}
	}
	for (t = 0; t < TENANTS; t++) {
		tkvm_fork_free(&fk[t]);
		tkvm_image_unref(&img[t]);
	}
	printf("%s canary: %lu alternations, %lu hits, %lu KiB read in each\n",
	    hits ? "FAIL" : "PASS", i, hits, i ? looked / i / 1024 : 0);
	printf("%d passed, %d failed, 0 skipped\n", hits == 0, hits != 0);
	return (hits != 0);
}
