/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kvmserver --help, from the option table.
 */

#include <stdio.h>
#include <string.h>

#include "obj.h"
#include "server/server.h"

#define COLUMN	32
#define WIDTH	79

/* Text from COLUMN on, wrapped. */
static void
print_text(const char *s)
{
	size_t n, col = COLUMN;

	while (*s != '\0') {
		n = strcspn(s, " ");
		if (col + 1 + n > WIDTH && col > COLUMN) {
			(void)printf("\n%*s", COLUMN, "");
			col = COLUMN;
		}
		(void)printf("%s%.*s", col > COLUMN ? " " : "", (int)n, s);
		col += n + (col > COLUMN);
		s += n;
		s += strspn(s, " ");
	}
	(void)printf("\n");
}

static void
print_line(char letter, const char *name, const char *arg, int optional,
    const char *text)
{
	char left[80];

	(void)snprintf(left, sizeof left, "  %c%c%s --%s%s%s%s",
	    letter ? '-' : ' ', letter ? letter : ' ', letter ? "," : " ",
	    name, arg == NULL ? "" : optional ? "[=" : "=",
	    arg == NULL ? "" : arg, arg == NULL || !optional ? "" : "]");
	if (strlen(left) + 2 > COLUMN)
		(void)printf("%s\n%*s", left, COLUMN, "");
	else
		(void)printf("%-*s", COLUMN, left);
	print_text(text);
}

static void
print_option(const struct opt_desc *d)
{
	char text[400];

	(void)snprintf(text, sizeof text, "%s%s%s%s", d->help,
	    d->dflt == NULL ? "" : " [", d->dflt == NULL ? "" : d->dflt,
	    d->dflt == NULL ? "" : "]");
	print_line(d->letter, d->name, d->arg, d->type == OPT_ALLOW, text);
}

static void
print_table(void)
{
	const char *group = NULL;
	const struct opt_desc *d;
	unsigned u;

	for (u = 0; u < opt_ntable; u++) {
		d = &opt_table[u];
		if (!(d->where & OPT_CLI))
			continue;
		if (group == NULL || strcmp(group, d->group) != 0)
			(void)printf("\n%s\n", d->group);
		group = d->group;
		print_option(d);
	}
}

static void
print_unsupported(void)
{
	const char *name;
	unsigned u;

	(void)printf("\nNot in this version\n"
	    "  Subcommands: snapshot, snaprun, storage\n"
	    "  Options:\n");
	for (u = 0; (name = opt_unsupported_name(u)) != NULL; u++)
		(void)printf("    --%s\n", name);
}

void
help_print(int all)
{

	(void)printf(
	    "Usage: kvmserver [OPTIONS] run [OPTIONS] PROGRAM ARGS...\n"
	    "       kvmserver doctor\n\n"
	    "Boots a program, an HTTP server for Linux, once in a virtual "
	    "machine, and\nserves requests from forks of it.  What the "
	    "program may touch is nothing,\nunless allowed.  ++ ends ARGS.  doctor looks at this "
	    "host,\nand says what to do.\n\n"
	    "General\n");
	print_line('c', "config", "FILE", 0, "read options from FILE [" 
	    "kvmserver.toml, if it is there]");
	print_line(0, "print-config", NULL, 0,
	    "print all options as they would be used, and exit");
	print_line(0, "stats", "FILE", 0,
	    "write statistics as JSON at the end and on SIGUSR1");
	print_line('h', "help", NULL, 0, "print this, and exit");
	print_line(0, "help-all", NULL, 0,
	    "print this and what is not in this version, and exit");
	print_line(0, "version", NULL, 0, "print the version, and exit");
	print_table();
	(void)printf("\nEach option is a key of %s too: max-request-time = "
	    "0.5\n", "kvmserver.toml");
	if (all)
		print_unsupported();
}
