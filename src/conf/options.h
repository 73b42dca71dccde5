/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The options of a tenant, and the one table behind command line, TOML keys
 * and the library call.
 */

#ifndef TKVM_OPTIONS_H
#define TKVM_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "tkvm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct strlist {
	char		**v;
	unsigned	n;
};

/* A permission: nothing, a list of rules, or everything. */
struct allow {
	int		all;		/* the bare option, or allow-all */
	struct strlist	rule;
};

struct volume {
	char		*host, *guest;	/* absolute, canonical text */
	int		read, write;
};

struct tkvm_options {
	unsigned	magic;
#define OPTIONS_MAGIC	0x4f505431
	char		*tenant;	/* the name in errors; never NULL */
	char		*program;
	struct strlist	args;		/* without argv[0] */
	struct strlist	env;		/* NAME=VALUE */
	char		*cwd;		/* NULL: "/" */
	char		*listen;	/* kvmserver only: ADDR */
	char		*guest_listen;	/* PORT, unix:/PATH; NULL: any */

	unsigned	threads;	/* forks */
	int		ephemeral;
	unsigned	warmup;
	char		*warmup_request;	/* "GET /path [host]" */
	int		warm_connection;
	double		settle_time, drain_time, image_max_age;

	int		allow_all;
	struct allow	allow_read, allow_write, allow_env, allow_net,
			allow_connect, allow_listen, deny_connect;
	struct volume	*volume;
	unsigned	nvolume;

	double		max_boot_time, max_request_time,	/* s */
			max_request_cpu_time;		/* 0: none */
	unsigned	max_main_memory, max_address_space,	/* MiB */
			max_request_memory, limit_request_memory,
			max_response_buffer, max_synth_body,
			max_response_body;	/* 0: none */
	unsigned	max_descriptors, max_threads,		/* 0: ours */
			max_response_headers, max_response_header_size;
	int		no_jail;	/* kvmserver only */
	char		*audit;		/* file of refused accesses; or NULL */
	unsigned	max_audit_bytes;

	double		queue_time;				/* s */
	unsigned	queue_limit;	/* 0: 4 * threads */
	unsigned	max_log_bytes;	/* per request */

	int		verbose, verbose_syscalls, verify_reset;
	/* "auto", "worker", "runner": where a fork runs */
	char		*run_mode;
	char		*private_tmp;	/* "auto", "on", "off" */

	tkvm_log_f	*log;
	void		*log_priv;
};

enum opt_type {
	OPT_BOOL,		/* int */
	OPT_UINT,		/* unsigned */
	OPT_SECONDS,		/* double; decimals allowed */
	OPT_STRING,		/* char * */
	OPT_LIST,		/* struct strlist: each use appends */
	OPT_ALLOW,		/* struct allow: comma separated, or bare */
	OPT_VOLUME,		/* HOST:GUEST[:r?w?] */
};

#define OPT_CLI		1u	/* a command line option */
#define OPT_TOML	2u	/* a key of a tenant in TOML */
#define OPT_IMAGE	4u	/* part of what makes two images the same */

struct opt_desc {
	const char	*name;		/* "max-request-time" */
	char		letter;		/* 'e', or 0 */
	enum opt_type	type;
	unsigned	where;
	size_t		offset;		/* in struct tkvm_options */
	double		min, max;	/* numbers */
	const char	*dflt;		/* as text, or NULL */
	const char	*arg;		/* "SECONDS", in --help */
	const char	*group;		/* "Limits", in --help */
	const char	*help;
};

extern const struct opt_desc opt_table[];
extern const unsigned opt_ntable;

const struct opt_desc *opt_find(const char *name);
/* The known name that looks most like this one, or NULL. */
const char *opt_nearest(const char *name, unsigned where);
/* An option of other versions that this one has nothing for; *why or NULL. */
int opt_unsupported(const char *name, const char **why);
const char *opt_unsupported_name(unsigned);	/* 0 ...; NULL after the last */

/* Back to the default (lists: empty), so that a later source replaces it. */
void opt_clear(struct tkvm_options *, const struct opt_desc *);
/*
 * Make paths absolute: cwd, and program as a shell finds it (from cwd if it
 * has a slash, else in $PATH).  0, or -1 with *err.  tkvm_options_check() and
 * tkvm_options_hash() do it on their own; whoever opens the program needs it.
 */
int opt_resolve(struct tkvm_options *, struct tkvm_error *);
/* All options as TOML that tkvm_config_read() reads back. */
void opt_dump(const struct tkvm_options *, FILE *);

/* ---- tenants files (toml.cc; the only C++) ------------------------------- */

struct tenant_set {
	struct tkvm_options **v;
	unsigned	n;
};

/*
 * Read a tenants file.  0, or -1 with *err naming file, line, key and what
 * was expected.  [defaults] are applied first.
 */
int tenants_read(const char *file, struct tenant_set *, struct tkvm_error *);
void tenants_free(struct tenant_set *);
/* kvmserver's own file: flat keys into one struct tkvm_options. */
int tkvm_config_read(const char *file, struct tkvm_options *,
    struct tkvm_error *);

#ifdef __cplusplus
}
#endif

#endif
