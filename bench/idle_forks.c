/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a request costs when the process holds many idle forks: every virtual
 * machine adds to each memory-map event of its process.
 *
 *	idle_forks [-j] [-n REQUESTS] [-f FORKS,...] [-o OPTION=VALUE] [-p PATH]
 *	    PROGRAM [ARGS...]
 *
 * Prints a Markdown table: a line per number of forks, medians of rounds.
 * With -j lines of JSON instead, and with the cost of a bare exit of this
 * process's probe: nothing that uses KVM can take less time.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tkvm.h"

#define ROUNDS		5
#define MAX_FORKS	4096

static double
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3);
}

static int
by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x < *y ? -1 : *x > *y);
}

static void
die(const struct tkvm_error *err)
{

	(void)fprintf(stderr, "idle_forks: %s\n", err->text);
	exit(1);
}

static void
request(struct tkvm_fork *f, const char *path)
{
	struct tkvm_response resp;
	struct tkvm_exchange *x;
	struct tkvm_error err;
	char buf[65536];
	ssize_t n;

	(void)snprintf(buf, sizeof buf, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n",
	    path);
	if (tkvm_fork_open(f, NULL, 0, 0, &err) != 0)
		die(&err);
	x = tkvm_exchange_new(f, 0, &err);
	if (x == NULL || tkvm_exchange_send(x, buf, strlen(buf), &err) < 0 ||
	    tkvm_exchange_head(x, 0, &resp, &err) != 0)
		die(&err);
	do
		n = tkvm_exchange_body(x, buf, sizeof buf, 0, &err);
	while (n > 0);
	if (n < 0)
		die(&err);
	tkvm_exchange_free(&x);
}

static double
round_us(struct tkvm_fork *f, const char *path, unsigned n)
{
	struct tkvm_error err;
	double t = now_us();
	unsigned u;

	for (u = 0; u < n; u++) {
		request(f, path);
		if (tkvm_fork_reset(f, &err) != 0)
			die(&err);
	}
	return ((now_us() - t) / n);
}

/* Memory of the process's own; what forks share with the image is not in it. */
static long
anon_kib(void)
{
	char line[256];
	long kib = 0;
	FILE *fp = fopen("/proc/self/status", "r");

	while (fp != NULL && fgets(line, sizeof line, fp) != NULL)
		if (!strncmp(line, "RssAnon:", 8)) {
			kib = strtol(line + 8, NULL, 10);
			break;
		}
	if (fp != NULL)
		(void)fclose(fp);
	return (kib);
}

/* -o OPTION=VALUE */
static void
option(struct tkvm_options *o, char *text)
{
	char *value = strchr(text, '=');
	struct tkvm_error err;

	if (value != NULL)
		*value++ = '\0';
	if (tkvm_options_set(o, text, value, &err) != 0)
		die(&err);
}

static struct tkvm_image *
boot(struct tkvm_options *o, int argc, char **argv)
{
	struct tkvm_image *img = NULL;
	struct tkvm_error err;
	int i;

	if (tkvm_options_set(o, "program", argv[0], &err) != 0 ||
	    tkvm_options_set(o, "allow-all", NULL, &err) != 0 ||
	    tkvm_options_set(o, "run-mode", "worker", &err) != 0 ||
	    tkvm_options_set(o, "warmup", "20", &err) != 0)
		die(&err);
	for (i = 1; i < argc; i++)
		if (tkvm_options_set(o, "args", argv[i], &err) != 0)
			die(&err);
	if (tkvm_options_check(o, &err) != 0 ||
	    (img = tkvm_boot(o, NULL, &err)) == NULL)
		die(&err);
	tkvm_options_free(&o);
	return (img);
}

struct cost {
	unsigned	forks, n;
	double		us[ROUNDS];	/* sorted */
	struct tkvm_fork_stats a, b;	/* before and after n * ROUNDS */
};

#define EACH(c, f)	((double)((c)->b.f - (c)->a.f) / ((c)->n * ROUNDS))

static void
print_table(const struct cost *c)
{

	(void)printf("| %u | %.0f | %.0f-%.0f | %.1f | %.2f | %.1f | %ld |\n",
	    c->forks, c->us[ROUNDS / 2], c->us[0], c->us[ROUNDS - 1],
	    EACH(c, exits), EACH(c, remaps), EACH(c, pages_reset),
	    anon_kib() / 1024);
	(void)fflush(stdout);
}

static void
print_json(const struct cost *c)
{
	struct tkvm_host host;
	struct tkvm_error err;

	if (tkvm_host_probe(&host, &err) != 0)
		die(&err);
	(void)printf("{ \"forks\": %u, \"bare_exit_us\": %.3f, \"us\": %.3f, "
	    "\"us_least\": %.3f, \"us_most\": %.3f, \"run_us\": %.3f, "
	    "\"reset_us\": %.3f, \"exits\": %.3f, \"syscalls\": %.3f, "
	    "\"faults\": %.3f, \"remaps\": %.3f, \"pages\": %.3f, "
	    "\"own_kib\": %ld }\n", c->forks, host.exit_us,
	    c->us[ROUNDS / 2], c->us[0], c->us[ROUNDS - 1],
	    EACH(c, run_ns) / 1e3, EACH(c, reset_ns) / 1e3, EACH(c, exits),
	    EACH(c, syscalls), EACH(c, faults), EACH(c, remaps),
	    EACH(c, pages_reset), anon_kib());
	(void)fflush(stdout);
}

static void
measure(struct tkvm_fork *f, const char *path, struct cost *c)
{
	unsigned r;

	(void)round_us(f, path, c->n / 5 + 1);
	tkvm_fork_stats(f, &c->a);
	for (r = 0; r < ROUNDS; r++)
		c->us[r] = round_us(f, path, c->n);
	tkvm_fork_stats(f, &c->b);
	qsort(c->us, ROUNDS, sizeof c->us[0], by_value);
}

int
main(int argc, char **argv)
{
	static struct tkvm_fork *fork[MAX_FORKS];
	static char counts[] = "1,100,1000";
	struct tkvm_options *o = tkvm_options_new("bench");
	struct cost cost = { .n = 500 };
	unsigned have = 0;
	const char *path = "/";
	char *list = counts, *p;
	int json = 0;
	struct tkvm_image *img;
	struct tkvm_error err;
	int c;

	while ((c = getopt(argc, argv, "+jn:f:o:p:")) != -1) {
		if (c == 'n')
			cost.n = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'j')
			json = 1;
		else if (c == 'f')
			list = optarg;
		else if (c == 'o')
			option(o, optarg);
		else if (c == 'p')
			path = optarg;
		else
			return (2);
	}
	if (optind == argc || cost.n == 0)
		return (2);
	img = boot(o, argc - optind, argv + optind);
	if (!json)
		(void)printf("| forks | us a request | spread | exits | "
		    "remaps | pages | own MiB |\n"
		    "|---|---|---|---|---|---|---|\n");
	for (p = strtok(list, ","); p != NULL; p = strtok(NULL, ",")) {
		cost.forks = (unsigned)strtoul(p, NULL, 10);
		for (; have < cost.forks && have < MAX_FORKS; have++) {
			fork[have] = tkvm_fork_new(img, &err);
			if (fork[have] == NULL)
				die(&err);
			/* each has served once, as in a pool */
			(void)round_us(fork[have], path, 1);
		}
		measure(fork[0], path, &cost);
		if (json)
			print_json(&cost);
		else
			print_table(&cost);
	}
	while (have > 0)
		tkvm_fork_free(&fork[--have]);
	tkvm_image_unref(&img);
	return (0);
}
