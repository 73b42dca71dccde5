/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * --stats: what happened, as JSON.  The file is replaced as a whole, so that
 * a reader never sees half of it.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "obj.h"
#include "server/server.h"

static double
per(uint64_t n, uint64_t requests)
{

	return (requests == 0 ? 0 : (double)n / (double)requests);
}

static void
number(FILE *f, const char *name, uint64_t v)
{

	(void)fprintf(f, "\t\"%s\": %ju,\n", name, (uintmax_t)v);
}

static void
decimal(FILE *f, const char *name, double v)
{

	(void)fprintf(f, "\t\"%s\": %.3f,\n", name, v);
}

static void
print_image(FILE *f, const struct srv *s)
{
	struct tkvm_pool_stats st;

	(void)memset(&st, 0, sizeof st);
	if (s->pool != NULL)
		tkvm_pool_stats(s->pool, &st);
	number(f, "boots", s->boots + st.renewed);
	decimal(f, "boot_seconds", s->boot_s);
	number(f, "boot_kvm_exits", s->ist.boot_exits);
	number(f, "image_bytes", s->ist.ram_bytes);
	number(f, "guest_threads", s->ist.threads);
	number(f, "warmups", s->ist.warmups);
}

static void
print_pool(FILE *f, const struct srv *s)
{
	struct tkvm_pool_stats st;
	uint64_t n;

	(void)memset(&st, 0, sizeof st);
	if (s->pool != NULL)
		tkvm_pool_stats(s->pool, &st);
	n = st.sum.requests;
	number(f, "forks", st.forks);
	number(f, "forks_created", st.created);
	number(f, "forks_destroyed", st.destroyed);
	number(f, "reset_failures", st.reset_failures);
	number(f, "kvm_exits", st.sum.exits);
	decimal(f, "kvm_exits_per_request", per(st.sum.exits, n));
	number(f, "syscalls", st.sum.syscalls);
	decimal(f, "syscalls_per_request", per(st.sum.syscalls, n));
	number(f, "unknown_syscalls", st.sum.unknown);
	number(f, "limited", st.sum.limited);
	number(f, "page_faults", st.sum.faults);
	number(f, "resets", st.sum.resets);
	number(f, "pages_reset", st.sum.pages_reset);
	decimal(f, "pages_reset_per_request", per(st.sum.pages_reset, n));
	number(f, "remaps", st.sum.remaps);
	number(f, "run_us", st.sum.run_ns / 1000);
	decimal(f, "run_us_per_request", per(st.sum.run_ns, n) * 1e-3);
	number(f, "reset_us", st.sum.reset_ns / 1000);
	decimal(f, "reset_us_per_request", per(st.sum.reset_ns, n) * 1e-3);
}

static void
print_front(FILE *f, const struct srv *s)
{
	const struct counters *n = &s->n;
	const char *sep = "";
	unsigned u;

	number(f, "connections", n->connections);
	number(f, "requests", n->requests);
	number(f, "answers", n->answers);
	number(f, "bad_requests", n->bad_requests);
	number(f, "client_gone", n->client_gone);
	number(f, "client_timeouts", n->timeouts);
	number(f, "queued", n->queued);
	number(f, "rejected", n->rejected);
	number(f, "queue_us", n->queue_us);
	(void)fprintf(f, "\t\"errors\": {");
	for (u = TKVM_OK + 1; u < TKVM_E_MAX; u++) {
		(void)fprintf(f, "%s\n\t\t\"%s\": %ju", sep,
		    tkvm_code_name((enum tkvm_code)u),
		    (uintmax_t)n->errors[u]);
		sep = ",";
	}
	(void)fprintf(f, "\n\t}\n");
}

static void
print_all(FILE *f, const struct srv *s)
{

	(void)fprintf(f, "{\n");
	print_image(f, s);
	print_pool(f, s);
	print_front(f, s);
	(void)fprintf(f, "}\n");
}

static int
write_file(const struct srv *s, const char *file, const char *tmp)
{
	FILE *f;
	int bad;

	f = fopen(tmp, "we");
	if (f == NULL)
		return (-1);
	print_all(f, s);
	bad = ferror(f);
	if (fclose(f) != 0 || bad || rename(tmp, file) != 0) {
		bad = errno;
		(void)unlink(tmp);
		errno = bad;
		return (-1);
	}
	return (0);
}

/* A terminal, a pipe or /dev/stderr cannot be replaced. */
void
stats_write(const struct srv *s, const char *file)
{
	char *tmp;
	FILE *f;

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	if (file == NULL)
		return;
	if (strncmp(file, "/dev/", 5) == 0) {
		f = fopen(file, "ae");
		if (f != NULL) {
			print_all(f, s);
			(void)fclose(f);
		}
		return;
	}
	if (asprintf(&tmp, "%s.tmp.%d", file, (int)getpid()) < 0)
		return;
	if (write_file(s, file, tmp) != 0)
		logf_line(TKVM_LOG_WARN, "--stats: cannot write %s: %s", file,
		    strerror(errno));
	free(tmp);
}
