/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * guestrun: runs one program that ends by itself in a machine of libtkvm, for
 * `run`, which compares it with the same program outside.
 *
 *	guestrun [-sv] [-t SECONDS] [-o KEY=VALUE] PROGRAM [ARG ...]
 *
 * The program has everything: its files, our environment and our descriptors
 * 0, 1 and 2.  We end as a shell would: with its exit status, or 128 + signal;
 * 125 when the machine could not run it.
 */

#define _GNU_SOURCE
#include <sys/wait.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tkvm.h"

#define CANNOT	125

extern char **environ;

static void
log_line(void *priv, enum tkvm_log level, const char *msg)
{
	int quiet = *(int *)priv;

	if (level == TKVM_LOG_STDOUT)
		(void)fprintf(stdout, "%s\n", msg);
	else if (!quiet || level <= TKVM_LOG_WARN || level == TKVM_LOG_STDERR)
		(void)fprintf(stderr, "%s\n", msg);
}

static void
set(struct tkvm_options *o, const char *key, const char *value)
{
	struct tkvm_error err;

	if (tkvm_options_set(o, key, value, &err) == 0)
		return;
	(void)fprintf(stderr, "guestrun: %s\n", err.text);
	exit(CANNOT);
}

static void
set_pair(struct tkvm_options *o, char *pair)
{
	char *eq = strchr(pair, '=');

	if (eq != NULL)
		*eq++ = '\0';
	set(o, pair, eq);
}

static void
usage(void)
{
	(void)fprintf(stderr, "Usage: guestrun [-sv] [-t SECONDS] "
	    "[-o KEY=VALUE] PROGRAM [ARG ...]\n");
	exit(CANNOT);
}

int
main(int argc, char **argv)
{
	struct tkvm_options *o = tkvm_options_new("guestrun");
	struct tkvm_error err = { .code = TKVM_OK };
	int ch, quiet = 1, status = 0;
	char cwd[4096], **e;

	if (o == NULL) {
		perror("guestrun");
		return (CANNOT);
	}
	tkvm_options_log(o, log_line, &quiet);
	set(o, "allow-all", NULL);
	set(o, "max-boot-time", "100");
	if (getcwd(cwd, sizeof cwd) != NULL)
		set(o, "cwd", cwd);
	while ((ch = getopt(argc, argv, "+svt:o:")) != -1) {
		switch (ch) {
		case 's':
			set(o, "verbose-syscalls", NULL);
			quiet = 0;
			break;
		case 'v':
			set(o, "verbose", NULL);
			quiet = 0;
			break;
		case 't':
			set(o, "max-boot-time", optarg);
			break;
		case 'o':
			set_pair(o, optarg);
			break;
		default:
			usage();
		}
	}
	if (optind >= argc)
		usage();
	set(o, "program", argv[optind++]);
	while (optind < argc)
		set(o, "args", argv[optind++]);
	for (e = environ; *e != NULL; e++)
		set(o, "env", *e);
	if (tkvm_options_check(o, &err) != 0 ||
	    tkvm_run_to_exit(o, &status, &err) != 0) {
		(void)fprintf(stderr, "guestrun: %s\n", err.text);
		tkvm_options_free(&o);
		return (CANNOT);
	}
	tkvm_options_free(&o);
	(void)fflush(NULL);
	if (WIFSIGNALED(status))
		(void)fprintf(stderr, "guestrun: %s\n", err.text);
	return (WIFEXITED(status) ? WEXITSTATUS(status) :
	    128 + WTERMSIG(status));
}
