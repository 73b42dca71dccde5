/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Drives the hostile server: every attack is one request to a fork, which may
 * answer or end with a defined error, as its list says.  Then the fork has to
 * be its image again (verify-reset), or be replaced because its virtual CPU
 * is in an unknown state; and an ordinary request has to be answered.
 *
 *	drive [-a] [-v] HOSTILE [NAME]...
 *
 * -a: all seeds, -v: say what became of each.  Ends with the usual line.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tkvm.h"

#define MAY_ANSWER	1u
#define MAY_FAIL	2u
#define MAY_PROTO	4u
#define MAX_BODY	(16 << 20)

static struct tkvm_image *img;
static struct tkvm_fork *fork_now;
static unsigned passed, failed, replaced;
static int verbose, all_seeds;

static void
die(const char *what, const struct tkvm_error *err)
{

	printf("FAIL %s: %s\n1 failed\n", what, err->text);
	exit(1);
}

static void
new_fork(void)
{
	struct tkvm_error err;

	fork_now = tkvm_fork_new(img, &err);
	if (fork_now == NULL)
		die("fork", &err);
}

static void
set(struct tkvm_options *o, const char *key, const char *value)
{
	struct tkvm_error err;

	if (tkvm_options_set(o, key, value, &err) != 0)
		die(key, &err);
}

static void
boot(const char *program)
{
	const char *limit = getenv("HOSTILE_TIME");
	struct tkvm_options *o;
	struct tkvm_error err;

	o = tkvm_options_new("hostile");
	if (o == NULL)
		exit(2);
	set(o, "program", program);
	set(o, "allow-read", "/dev/null");
	set(o, "verify-reset", "true");
	set(o, "max-boot-time", "90");
	/* The host may stop for a while: what ends is ended by CPU time. */
	set(o, "max-request-time", limit != NULL ? limit : "30");
	set(o, "max-request-cpu-time", limit != NULL ? limit : "2");
	set(o, "max-main-memory", "64");
	set(o, "max-request-memory", "16");
	img = tkvm_boot(o, NULL, &err);
	if (img == NULL)
		die("boot", &err);
	tkvm_options_free(&o);
}

/* One request: the body in *body (free it), or NULL and *err */
static char *
request(const char *path, struct tkvm_error *err)
{
	struct tkvm_exchange *x;
	struct tkvm_response r;
	char head[200], *b = NULL, *nb;
	size_t n = 0;
	ssize_t i = -1;

	err->code = TKVM_OK;
	if (tkvm_fork_open(fork_now, NULL, 0, 0, err) != 0)
		return (NULL);
	x = tkvm_exchange_new(fork_now, 0, err);
	if (x == NULL)
		return (NULL);
	(void)snprintf(head, sizeof head, "GET /%s HTTP/1.1\r\nHost: a\r\n"
	    "\r\n", path);
	if (tkvm_exchange_send(x, head, strlen(head), err) >= 0 &&
	    tkvm_exchange_head(x, 0, &r, err) == 0) {
		for (;;) {
			if (n > MAX_BODY)
				break;
			nb = realloc(b, n + 65537);
			if (nb == NULL)
				break;
			b = nb;
			i = tkvm_exchange_body(x, b + n, 65536, 0, err);
			if (i <= 0)
				break;
			n += (size_t)i;
		}
	}
	tkvm_exchange_free(&x);
	if (i == 0 && b != NULL) {
		b[n] = '\0';
		return (b);
	}
	free(b);
	if (err->code == TKVM_OK) {	/* more than we want to read */
		err->code = TKVM_E_LIMIT;
		(void)strcpy(err->text, "hostile: a body without an end");
	}
	return (NULL);
}

/* NULL, or what is wrong */
static const char *
reset(void)
{
	static struct tkvm_error err;

	if (tkvm_fork_reset(fork_now, &err) == 0)
		return (NULL);
	tkvm_fork_free(&fork_now);
	new_fork();
	replaced++;
	return (strstr(err.text, "unknown state") != NULL ? NULL : err.text);
}

static const char *
judge(unsigned may, const char *body, const struct tkvm_error *err)
{
	static char why[700];

	if (body != NULL) {
		if (may & (MAY_ANSWER | MAY_FAIL))
			return (may & MAY_ANSWER ? NULL : "it was answered");
		return ("a wrong answer was taken for a right one");
	}
	if (err->code != TKVM_E_INTERNAL && err->text[0] != '\0' &&
	    strstr(err->text, "hostile") != NULL) {
		if (may & MAY_FAIL)
			return (NULL);
		if ((may & MAY_PROTO) && (err->code == TKVM_E_PROTO ||
		    (err->code == TKVM_E_LIMIT &&
		    strstr(err->text, "max-response-") != NULL)))
			return (NULL);
	}
	(void)snprintf(why, sizeof why, "%s: %s", tkvm_code_name(err->code),
	    err->text);
	return (why);
}

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec + (double)t.tv_nsec / 1e9);
}

/* 1: it went as it should */
static int
one(const char *name, unsigned seed, unsigned may)
{
	const char *why, *what = "attack";
	struct tkvm_error err;
	char path[80], *body;

	(void)snprintf(path, sizeof path, "%s/%u", name, seed);
	body = request(path, &err);
	why = judge(may, body, &err);
	if (verbose)
		printf("     %s: %s\n", path, body != NULL ? "answered" :
		    err.text);
	free(body);
	if (why == NULL) {
		what = "reset";
		why = reset();
	} else
		(void)reset();
	if (why == NULL) {
		what = "next request";
		body = request("ok", &err);
		if (body == NULL)
			why = err.text;
		else if (strcmp(body, "ok\n") != 0)
			why = "another answer";
		free(body);
		if (why == NULL)
			why = reset();
		else
			(void)reset();
	}
	if (why != NULL)
		printf("FAIL %s: %s: %s\n", path, what, why);
	return (why == NULL);
}

static void
attack(const char *name, unsigned may, unsigned n)
{
	unsigned u, ok = 0, before = replaced;
	double t = now();

	for (u = 0; u < n; u++)
		ok += (unsigned)one(name, u, may);
	if (ok == n) {
		printf("PASS %s (%u requests, %u forks replaced, %.1f s)\n",
		    name, n, replaced - before, now() - t);
		passed++;
	} else
		failed++;
	(void)fflush(stdout);
}

static int
wanted(char **names, const char *name)
{

	if (*names == NULL)
		return (1);
	for (; *names != NULL; names++)
		if (!strcmp(*names, name))
			return (1);
	return (0);
}

int
main(int argc, char **argv)
{
	struct rlimit core = { 0, 0 };
	char *list, *line, *next, name[64];
	struct tkvm_error err;
	unsigned may, quick, all;

	for (; argc > 1 && argv[1][0] == '-'; argv++, argc--) {
		all_seeds |= argv[1][1] == 'a';
		verbose |= argv[1][1] == 'v';
	}
	if (argc < 2)
		return (2);
	(void)setrlimit(RLIMIT_CORE, &core);
	boot(argv[1]);
	new_fork();
	list = request("list", &err);
	if (list == NULL)
		die("list", &err);
	(void)reset();
	for (line = list; *line != '\0'; line = next) {
		next = strchr(line, '\n');
		if (next == NULL)
			break;
		*next++ = '\0';
		if (sscanf(line, "%63s %u %u %u", name, &may, &quick,
		    &all) == 4 && wanted(argv + 2, name))
			attack(name, may, all_seeds ? all : quick);
	}
	free(list);
	tkvm_fork_free(&fork_now);
	tkvm_image_unref(&img);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return (failed != 0);
}
