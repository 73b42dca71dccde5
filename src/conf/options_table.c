/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The option table: one vocabulary for command line, TOML and library.
 *
 * Everything that the library reads from an image's own options later on
 * (pool size, deadlines) carries OPT_IMAGE too: two tenants that share an
 * image share these.
 */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "conf/options.h"
#include "obj.h"

#define F(f)	offsetof(struct tkvm_options, f)
#define TEN	OPT_TOML
#define BOTH	(OPT_CLI | OPT_TOML)
#define ALL	(OPT_CLI | OPT_TOML | OPT_IMAGE)
#define MIB_MAX	1048576

const struct opt_desc opt_table[] = {
	/* Program */
	{ "program", 0, OPT_STRING, TEN | OPT_IMAGE, F(program), 0, 0, NULL,
	    "PATH", "Program", "the program to run" },
	{ "args", 0, OPT_LIST, TEN | OPT_IMAGE, F(args), 0, 0, NULL,
	    "ARG", "Program", "its arguments, without its own name" },
	{ "env", 0, OPT_LIST, ALL, F(env), 0, 0, NULL,
	    "NAME=VALUE", "Program", "a variable of its environment" },
	{ "cwd", 0, OPT_STRING, ALL, F(cwd), 0, 0, NULL,
	    "DIR", "Program", "its current folder" },
	{ "listen", 0, OPT_STRING, OPT_CLI, F(listen), 0, 0, NULL,
	    "ADDR", "Program",
	    "serve HOST:PORT, [V6]:PORT or unix:/PATH instead of the address "
	    "that the program listens on" },
	{ "guest-listen", 0, OPT_STRING, ALL, F(guest_listen), 0, 0, NULL,
	    "PORT", "Program", "of several listeners of the program: serve "
	    "only the one on PORT, or unix:/PATH" },

	/* Machines */
	{ "threads", 't', OPT_UINT, ALL, F(threads), 0, 1024, "1",
	    "N", "Machines", "machines, each serves one request at a time; "
	    "0: as many as there are CPUs" },
	{ "ephemeral", 'e', OPT_BOOL, ALL, F(ephemeral), 0, 0, NULL,
	    NULL, "Machines", "put a machine back to its frozen state after "
	    "each request" },
	{ "warmup", 'w', OPT_UINT, ALL, F(warmup), 0, 100000, "0",
	    "N", "Machines", "requests made before the program is frozen" },
	{ "warmup-request", 0, OPT_STRING, ALL, F(warmup_request), 0, 0,
	    "GET /", "REQUEST", "Machines",
	    "what a warm-up asks for: METHOD /PATH [HOST]" },
	{ "warm-connection", 0, OPT_BOOL, ALL, F(warm_connection), 0, 0, NULL,
	    NULL, "Machines", "freeze the program with a connection open, that "
	    "each request then comes on" },
	{ "settle-time", 0, OPT_SECONDS, ALL, F(settle_time), 0, 3600, "2",
	    "SECONDS", "Machines",
	    "no timer may be due for this long when it is frozen" },
	{ "drain-time", 0, OPT_SECONDS, ALL, F(drain_time), 0, 3600, "0",
	    "SECONDS", "Machines",
	    "let the program work on for this long after its answer" },
	{ "image-max-age", 0, OPT_SECONDS, ALL, F(image_max_age), 0, 31536000,
	    "0", "SECONDS", "Machines", "then boot the program anew in the "
	    "background and swap it in; 0: never" },
	{ "run-mode", 0, OPT_STRING, ALL, F(run_mode), 0, 0, "auto",
	    "MODE", "Machines", "auto, worker (machines run on the thread that "
	    "serves the request) or runner (on threads of their own)" },

	/* Permissions */
	{ "allow-all", 0, OPT_BOOL, ALL, F(allow_all), 0, 0, NULL,
	    NULL, "Permissions", "allow everything below" },
	{ "allow-read", 0, OPT_ALLOW, ALL, F(allow_read), 0, 0, NULL,
	    "PATH,...", "Permissions", "read these files and folders" },
	{ "allow-write", 0, OPT_ALLOW, ALL, F(allow_write), 0, 0, NULL,
	    "PATH,...", "Permissions", "write these files and folders" },
	{ "allow-env", 0, OPT_ALLOW, ALL, F(allow_env), 0, 0, NULL,
	    "NAME,PREFIX*,...", "Permissions",
	    "see these variables of our environment" },
	{ "allow-net", 0, OPT_ALLOW, ALL, F(allow_net), 0, 0, NULL,
	    "HOST:PORT,...", "Permissions", "connect to and listen on these" },
	{ "allow-connect", 0, OPT_ALLOW, ALL, F(allow_connect), 0, 0, NULL,
	    "HOST:PORT,...", "Permissions", "connect to these" },
	{ "deny-connect", 0, OPT_ALLOW, ALL, F(deny_connect), 0, 0, NULL,
	    "HOST:PORT,...", "Permissions",
	    "never connect to these, whatever is allowed" },
	{ "allow-listen", 0, OPT_ALLOW, ALL, F(allow_listen), 0, 0, NULL,
	    "HOST:PORT,...", "Permissions", "be served on these addresses" },
	{ "volume", 0, OPT_VOLUME, ALL, F(volume), 0, 0, NULL,
	    "HOST:GUEST[:r?w?]", "Permissions",
	    "show the folder HOST as GUEST; r (default), w or rw" },

	{ "private-tmp", 0, OPT_STRING, ALL, F(private_tmp), 0, 0, "auto",
	    "MODE", "Permissions", "/tmp in memory, as at the start for "
	    "each request: on, off, auto (unless it may be written)" },

	{ "no-jail", 0, OPT_BOOL, OPT_CLI, F(no_jail), 0, 0, NULL,
	    NULL, "Permissions", "do not lock kvmserver itself up (Landlock, "
	    "system call filter)" },
	{ "audit", 0, OPT_STRING, ALL, F(audit), 0, 0, NULL,
	    "FILE", "Permissions", "write each refused access to FILE, as "
	    "JSON, with the option that would allow it" },
	{ "max-audit-bytes", 0, OPT_UINT, ALL, F(max_audit_bytes),
	    0, 1073741824, "16777216", "BYTES", "Permissions",
	    "that FILE may grow to" },

	/* Limits */
	{ "max-boot-time", 0, OPT_SECONDS, BOTH, F(max_boot_time),
	    0.001, 86400, "20", "SECONDS", "Limits",
	    "until the program is ready, warm-up included" },
	{ "max-request-time", 0, OPT_SECONDS, ALL, F(max_request_time),
	    0.001, 86400, "8", "SECONDS", "Limits", "for one request" },
	{ "max-request-cpu-time", 0, OPT_SECONDS, ALL,
	    F(max_request_cpu_time), 0, 86400, "0", "SECONDS", "Limits",
	    "of the host's CPU that one request may use; 0: no limit" },
	{ "max-main-memory", 0, OPT_UINT, ALL, F(max_main_memory),
	    1, MIB_MAX, "8192", "MIB", "Limits",
	    "memory of the booted program" },
	{ "max-address-space", 0, OPT_UINT, ALL, F(max_address_space),
	    1, 134217728, "122880", "MIB", "Limits", "mapped or reserved" },
	{ "max-request-memory", 0, OPT_UINT, ALL, F(max_request_memory),
	    1, MIB_MAX, "128", "MIB", "Limits", "that one request may touch" },
	{ "limit-request-memory", 0, OPT_UINT, ALL, F(limit_request_memory),
	    1, MIB_MAX, "128", "MIB", "Limits",
	    "of it that a machine keeps after the request" },
	{ "max-descriptors", 0, OPT_UINT, ALL, F(max_descriptors),
	    16, 1024, "1024", "N", "Limits",
	    "that the program may have open, and of the host's for it" },
	{ "max-threads", 0, OPT_UINT, ALL, F(max_threads),
	    1, 512, "512", "N", "Limits", "of the program" },
	{ "max-response-headers", 0, OPT_UINT, ALL, F(max_response_headers),
	    1, 128, "128", "N", "Limits", "that an answer may have" },
	{ "max-response-header-size", 0, OPT_UINT, ALL,
	    F(max_response_header_size), 1, 64, "64", "KIB", "Limits",
	    "of an answer's whole header" },
	{ "max-response-body", 0, OPT_UINT, ALL, F(max_response_body),
	    0, MIB_MAX, "0", "MIB", "Limits",
	    "of an answer; 0: no limit" },
	{ "max-response-buffer", 0, OPT_UINT, ALL, F(max_response_buffer),
	    1, MIB_MAX, "64", "MIB", "Limits",
	    "answer bytes kept while the request is still being sent" },
	{ "max-synth-body", 0, OPT_UINT, TEN, F(max_synth_body),
	    1, 1024, "1", "MIB", "Limits", "body of an answer by kvm.synth()" },
	{ "queue-time", 0, OPT_SECONDS, ALL, F(queue_time), 0, 3600, "1",
	    "SECONDS", "Limits", "a request waits for a free machine" },
	{ "queue-limit", 0, OPT_UINT, ALL, F(queue_limit), 0, 1000000, "0",
	    "N", "Limits", "requests that may wait; 0: 4 for each machine" },
	{ "max-log-bytes", 0, OPT_UINT, ALL, F(max_log_bytes),
	    0, 1073741824, "65536", "BYTES", "Limits",
	    "of the program's output that a request may log" },

	/* Debugging */
	{ "verbose", 'v', OPT_BOOL, ALL, F(verbose), 0, 0, NULL,
	    NULL, "Debugging", "say what happens" },
	{ "verbose-syscalls", 0, OPT_BOOL, ALL, F(verbose_syscalls), 0, 0,
	    NULL, NULL, "Debugging", "log each system call as strace does" },
	{ "verify-reset", 0, OPT_BOOL, ALL, F(verify_reset), 0, 0, NULL,
	    NULL, "Debugging",
	    "compare a machine with a fresh one after each reset (slow)" },
};

const unsigned opt_ntable = NELEM(opt_table);

const struct opt_desc *
opt_find(const char *name)
{
	unsigned u;

	AN(name);
	for (u = 0; u < opt_ntable; u++)
		if (strcmp(opt_table[u].name, name) == 0)
			return (&opt_table[u]);
	return (NULL);
}

/*
 * Names that kvmservers know and this version does nothing for.  Taking one
 * and ignoring it would promise something that is not so.
 */
static const struct {
	const char	*name, *why;
} unsupported[] = {
	{ "verbose-mmap-syscalls", "use verbose-syscalls" },
	{ "verbose-thread-syscalls", "use verbose-syscalls" },
	{ "verbose-pagetables", NULL },
	{ "shared-memory", NULL },
	{ "heap-address-hint", "addresses are laid out as Linux does" },
	{ "dylink-address-hint", "addresses are laid out as Linux does" },
	{ "hugepage-arena-size", "large pages are used where they fit" },
	{ "hugepage-requests-arena", NULL },
	{ "no-executable-heap",
	    "memory is executable only where the program asks for it" },
	{ "no-mmap-backed-files", "no host file is ever mapped" },
	{ "hugepages", NULL },
	{ "no-split-hugepages", NULL },
	{ "transparent-hugepages", NULL },
	{ "no-ephemeral-keep-working-memory",
	    "use limit-request-memory = 1 to keep little" },
	{ "remapping", NULL },
	{ "1-to-1", "there is no storage machine" },
	{ "ipre-permanent", "there is no storage machine" },
	{ "output", "there are no snapshots" },
};

int
opt_unsupported(const char *name, const char **why)
{
	unsigned u;

	AN(name);
	AN(why);
	for (u = 0; u < NELEM(unsupported); u++)
		if (strcmp(unsupported[u].name, name) == 0) {
			*why = unsupported[u].why;
			return (1);
		}
	return (0);
}

const char *
opt_unsupported_name(unsigned u)
{

	return (u < NELEM(unsupported) ? unsupported[u].name : NULL);
}

#define WORD	40

/* How many letters have to be added, removed, changed or swapped. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned d[3][WORD + 1], i, j, na, nb, best, *row, *up, *up2;

	na = (unsigned)strlen(a);
	nb = (unsigned)strlen(b);
	if (na > WORD || nb > WORD)
		return (WORD);
	for (j = 0; j <= nb; j++)
		d[0][j] = j;
	for (i = 1; i <= na; i++) {
		row = d[i % 3];
		up = d[(i + 2) % 3];
		up2 = d[(i + 1) % 3];
		row[0] = i;
		for (j = 1; j <= nb; j++) {
			best = up[j - 1] + (a[i - 1] != b[j - 1]);
			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			row[j] = best;
		}
	}
	return (d[na % 3][nb]);
}

const char *
opt_nearest(const char *name, unsigned where)
{
	const char *best = NULL;
	unsigned u, d, dbest;

	AN(name);
	dbest = (unsigned)strlen(name) / 3 + 2;
	for (u = 0; u < opt_ntable; u++) {
		if (!(opt_table[u].where & where))
			continue;
		d = distance(name, opt_table[u].name);
		if (d < dbest) {
			dbest = d;
			best = opt_table[u].name;
		}
	}
	return (best);
}
