/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The command line, by getopt_long(3) from the option table.
 *
 * Options are collected first and set afterwards, because the configuration
 * file comes in between: an option on the command line takes the place of the
 * file's, lists too.
 */

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "conf/conf_int.h"
#include "error.h"
#include "obj.h"
#include "server/server.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION	"0"
#endif

#define USAGE		2		/* exit status */
#define CONFIG_FILE	"kvmserver.toml"

/* getopt values: letters, options of the table, our own. */
enum {
	O_TABLE = 1000,
	O_UNSUPPORTED = 2000,
	O_HELP = 3000, O_HELP_ALL, O_VERSION, O_PRINT, O_STATS,
};

struct given {
	const struct opt_desc *d;
	const char	*value;
};

struct parse {
	struct option	*lopt;
	char		sopt[40];
	struct given	*given;
	unsigned	ngiven;
	const char	*config;
	const char	*stats;
	int		print, version, help, help_all;
	enum command	cmd;
	char *const	*program;	/* PROGRAM ARGS... */
	int		nprogram;
};

static int __attribute__((format(printf, 1, 2)))
usage(const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "kvmserver: ");
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, " (see kvmserver --help)\n");
	return (USAGE);
}

/* ---- getopt's tables ----------------------------------------------------- */

static void
add_long(struct option **o, const char *name, int arg, int val)
{

	(*o)->name = name;
	(*o)->has_arg = arg;
	(*o)->val = val;
	(*o)++;
}

static int
takes(const struct opt_desc *d)
{

	if (d->type == OPT_BOOL || d->type == OPT_ALLOW)
		return (optional_argument);
	return (required_argument);
}

static int
make_tables(struct parse *p)
{
	const struct opt_desc *d;
	struct option *o;
	char *s = p->sopt;
	unsigned u, n;

	for (n = 0; opt_unsupported_name(n) != NULL; n++)
		continue;
	o = calloc(opt_ntable + n + 8, sizeof *o);
	p->lopt = o;
	if (o == NULL)
		return (-1);
	/* "+": stop at the first word that is no option */
	*s++ = '+';
	*s++ = ':';
	*s++ = 'c';
	*s++ = ':';
	*s++ = 'h';
	for (u = 0; u < opt_ntable; u++) {
		d = &opt_table[u];
		if (!(d->where & OPT_CLI))
			continue;
		add_long(&o, d->name, takes(d), O_TABLE + (int)u);
		if (d->letter == 0)
			continue;
		assert((size_t)(s - p->sopt) + 3 < sizeof p->sopt);
		*s++ = d->letter;
		if (takes(d) == required_argument)
			*s++ = ':';
	}
	for (u = 0; u < n; u++)
		add_long(&o, opt_unsupported_name(u), optional_argument,
		    O_UNSUPPORTED + (int)u);
	add_long(&o, "config", required_argument, 'c');
	add_long(&o, "help", no_argument, O_HELP);
	add_long(&o, "help-all", no_argument, O_HELP_ALL);
	add_long(&o, "version", no_argument, O_VERSION);
	add_long(&o, "print-config", no_argument, O_PRINT);
	add_long(&o, "stats", required_argument, O_STATS);
	return (0);
}

/* ---- one option ---------------------------------------------------------- */

static int
add_given(struct parse *p, const struct opt_desc *d, const char *value)
{
	struct given *g;

	g = realloc(p->given, (p->ngiven + 1) * sizeof *g);
	if (g == NULL)
		return (usage("out of memory"));
	p->given = g;
	g[p->ngiven].d = d;
	g[p->ngiven++].value = value;
	return (-1);
}

static int
unsupported(const char *name)
{
	const char *why = NULL;

	(void)opt_unsupported(name, &why);
	return (usage("--%s: not supported in this version%s%s", name,
	    why == NULL ? "" : ": ", why == NULL ? "" : why));
}

/* '?': getopt knows no such option.  `arg` is the word it was in. */
static int
unknown(const char *arg)
{
	const char *near;
	char name[64];

	if (arg == NULL)
		return (usage("bad option"));
	if (strncmp(arg, "--", 2) != 0)
		return (usage("-%c: no such option", optopt));
	(void)snprintf(name, sizeof name, "%.*s",
	    (int)strcspn(arg + 2, "="), arg + 2);
	near = opt_nearest(name, OPT_CLI);
	if (near == NULL)
		return (usage("--%s: no such option", name));
	return (usage("--%s: no such option, did you mean --%s?", name, near));
}

static int
one_option(struct parse *p, int c, const char *arg)
{
	unsigned u;

	if (c >= O_TABLE && c < O_UNSUPPORTED)
		return (add_given(p, &opt_table[c - O_TABLE], optarg));
	if (c >= O_UNSUPPORTED && c < O_HELP)
		return (unsupported(
		    opt_unsupported_name((unsigned)(c - O_UNSUPPORTED))));
	switch (c) {
	case 'c':
		p->config = optarg;
		return (-1);
	case 'h':
	case O_HELP:
		p->help = 1;
		return (-1);
	case O_HELP_ALL:
		p->help_all = 1;
		return (-1);
	case O_VERSION:
		p->version = 1;
		return (-1);
	case O_PRINT:
		p->print = 1;
		return (-1);
	case O_STATS:
		p->stats = optarg;
		return (-1);
	case ':':
		return (usage("%s: expected a value", arg));
	case '?':
		return (unknown(arg));
	default:
		break;
	}
	for (u = 0; u < opt_ntable; u++)
		if (opt_table[u].letter == c)
			return (add_given(p, &opt_table[u], optarg));
	return (unknown(arg));
}

/* ---- the line ------------------------------------------------------------ */

/*
 * "++" ends a subcommand with its program; another would follow.  Only the
 * storage machine of other versions is one.
 */
static int
after_plus(const char *word)
{

	if (word == NULL)
		return (-1);
	if (strcmp(word, "run") == 0)
		return (usage("run: only one program"));
	if (strcmp(word, "storage") == 0)
		return (usage("storage: not in this version"));
	return (usage("%s: expected a subcommand after ++", word));
}

static int
subcommand(struct parse *p, const char *word)
{
	static const char *const later[] = { "storage", "snapshot", "snaprun" };
	unsigned u;

	for (u = 0; u < NELEM(later); u++)
		if (strcmp(word, later[u]) == 0)
			return (usage("%s: not in this version", word));
	if (strcmp(word, "doctor") == 0)
		p->cmd = CMD_DOCTOR;
	else if (strcmp(word, "run") == 0)
		p->cmd = CMD_RUN;
	else
		return (usage("%s: no such subcommand, expected run or doctor",
		    word));
	return (-1);
}

static int
parse_line(struct parse *p, int argc, char *const *argv)
{
	int at, c, rv;

	opterr = 0;
	optind = 0;
	for (;;) {
		at = optind > 0 ? optind : 1;
		c = getopt_long(argc, argv, p->sopt, p->lopt, NULL);
		if (c != -1) {
			rv = one_option(p, c, at < argc ? argv[at] : NULL);
			if (rv >= 0)
				return (rv);
			continue;
		}
		if (optind >= argc)
			return (-1);
		if (p->cmd != CMD_NONE)
			break;
		rv = subcommand(p, argv[optind++]);
		if (rv >= 0)
			return (rv);
	}
	p->program = argv + optind;
	while (optind + p->nprogram < argc) {
		if (strcmp(p->program[p->nprogram], "++") == 0)
			return (after_plus(optind + p->nprogram + 1 < argc ?
			    p->program[p->nprogram + 1] : NULL));
		p->nprogram++;
	}
	return (-1);
}

/* ---- putting it together ------------------------------------------------- */

static int
say(const struct tkvm_error *err)
{

	(void)fprintf(stderr, "kvmserver: %s\n", err->text);
	return (USAGE);
}

static int
read_config(const struct parse *p, struct tkvm_options *o)
{
	struct tkvm_error err;

	if (p->config == NULL && access(CONFIG_FILE, F_OK) != 0)
		return (-1);
	if (tkvm_config_read(p->config == NULL ? CONFIG_FILE : p->config, o,
	    &err) != 0)
		return (say(&err));
	return (-1);
}

static int
set_given(const struct parse *p, struct tkvm_options *o)
{
	struct tkvm_error err;
	unsigned u, w;

	for (u = 0; u < p->ngiven; u++) {
		for (w = 0; w < u && p->given[w].d != p->given[u].d; w++)
			continue;
		if (w == u)
			opt_clear(o, p->given[u].d);
		if (tkvm_options_set(o, p->given[u].d->name,
		    p->given[u].value, &err) != 0)
			/* It starts with the name */
			return (usage("--%s", err.text));
	}
	return (-1);
}

static int
set_program(const struct parse *p, struct tkvm_options *o)
{
	struct tkvm_error err;
	int i;

	if (p->nprogram == 0)
		return (-1);
	opt_clear(o, opt_find("args"));
	if (tkvm_options_set(o, "program", p->program[0], &err) != 0)
		return (say(&err));
	for (i = 1; i < p->nprogram; i++)
		if (tkvm_options_set(o, "args", p->program[i], &err) != 0)
			return (say(&err));
	return (-1);
}

/* Programs run where we are, and are known by their name. */
static int
finish(struct tkvm_options *o)
{
	struct tkvm_error err;
	const char *name;
	char *s;

	if (o->cwd == NULL)
		o->cwd = getcwd(NULL, 0);
	if (o->program == NULL)
		return (usage("run: expected PROGRAM"));
	name = strrchr(o->program, '/');
	s = strdup(name == NULL ? o->program : name + 1);
	if (s == NULL)
		return (usage("out of memory"));
	free(o->tenant);
	o->tenant = s;
	if (opt_resolve(o, &err) != 0 || tkvm_options_check(o, &err) != 0) {
		(void)say(&err);
		return (1);
	}
	return (-1);
}

static int
finish_all(const struct parse *p, struct args *a)
{
	int rv;

	if (p->help || p->help_all) {
		help_print(p->help_all);
		return (0);
	}
	if (p->version) {
		(void)printf("kvmserver %s\n", PACKAGE_VERSION);
		return (0);
	}
	if (p->cmd == CMD_DOCTOR && p->nprogram > 0)
		return (usage("doctor: expected nothing behind it"));
	if (p->cmd == CMD_DOCTOR)
		return (doctor_main());
	a->opt = tkvm_options_new(NULL);
	if (a->opt == NULL)
		return (usage("out of memory"));
	rv = read_config(p, a->opt);
	if (rv < 0)
		rv = set_given(p, a->opt);
	if (rv < 0)
		rv = set_program(p, a->opt);
	if (rv >= 0)
		return (rv);
	if (p->print) {
		opt_dump(a->opt, stdout);
		return (0);
	}
	if (p->cmd == CMD_NONE)
		return (usage("expected a subcommand: run or doctor"));
	a->cmd = p->cmd;
	if (p->stats != NULL && (a->stats = strdup(p->stats)) == NULL)
		return (usage("out of memory"));
	return (finish(a->opt));
}

int
args_parse(struct args *a, int argc, char *const *argv)
{
	struct parse p;
	int rv;

	(void)memset(a, 0, sizeof *a);
	(void)memset(&p, 0, sizeof p);
	if (make_tables(&p) != 0)
		rv = usage("out of memory");
	else
		rv = parse_line(&p, argc, argv);
	if (rv < 0)
		rv = finish_all(&p, a);
	free(p.lopt);
	free(p.given);
	return (rv);
}

void
args_free(struct args *a)
{

	if (a->opt != NULL)
		tkvm_options_free(&a->opt);
	free(a->stats);
	a->stats = NULL;
}
