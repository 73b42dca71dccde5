/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Options as TOML, for --print-config.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_int.h"
#include "obj.h"

static void
dump_text(FILE *f, const char *s)
{

	(void)putc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			(void)fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s < ' ' || *s == 127)
			(void)fprintf(f, "\\u%04x", (unsigned)*s);
		else
			(void)putc(*s, f);
	}
	(void)putc('"', f);
}

static void
dump_list(FILE *f, const struct strlist *l)
{
	unsigned u;

	(void)putc('[', f);
	for (u = 0; u < l->n; u++) {
		if (u > 0)
			(void)fputs(", ", f);
		dump_text(f, l->v[u]);
	}
	(void)putc(']', f);
}

static void
dump_volumes(FILE *f, const struct tkvm_options *o)
{
	struct strlist l = { NULL, 0 };
	const struct volume *v;
	char *s;
	unsigned u;

	for (u = 0; u < o->nvolume; u++) {
		v = &o->volume[u];
		if (asprintf(&s, "%s:%s:%s%s", v->host, v->guest,
		    v->read ? "r" : "", v->write ? "w" : "") < 0)
			break;
		(void)strlist_add(&l, s, strlen(s));
		free(s);
	}
	dump_list(f, &l);
	strlist_free(&l);
}

static void
dump_option(FILE *f, const struct tkvm_options *o, const struct opt_desc *d)
{
	const struct allow *a;

	switch (d->type) {
	case OPT_BOOL:
		(void)fputs(*OPT_CFIELD(o, d, int) ? "true" : "false", f);
		break;
	case OPT_UINT:
		(void)fprintf(f, "%u", *OPT_CFIELD(o, d, unsigned));
		break;
	case OPT_SECONDS:
		(void)fprintf(f, "%.9g", *OPT_CFIELD(o, d, double));
		break;
	case OPT_STRING:
		dump_text(f, *OPT_CFIELD(o, d, char *));
		break;
	case OPT_LIST:
		dump_list(f, OPT_CFIELD(o, d, struct strlist));
		break;
	case OPT_ALLOW:
		a = OPT_CFIELD(o, d, struct allow);
		if (a->all)
			(void)fputs("true", f);
		else if (a->rule.n == 0)
			(void)fputs("false", f);
		else
			dump_list(f, &a->rule);
		break;
	case OPT_VOLUME:
		dump_volumes(f, o);
		break;
	default:
		break;
	}
}

void
opt_dump(const struct tkvm_options *o, FILE *f)
{
	const struct opt_desc *d;
	const char *group = NULL;
	unsigned u;

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	AN(f);
	for (u = 0; u < opt_ntable; u++) {
		d = &opt_table[u];
		if (group == NULL || strcmp(group, d->group) != 0) {
			(void)fprintf(f, "%s# %s\n", group == NULL ? "" : "\n",
			    d->group);
			group = d->group;
		}
		if (d->type == OPT_STRING &&
		    *OPT_CFIELD(o, d, char *) == NULL) {
			(void)fprintf(f, "# %s =\n", d->name);
			continue;
		}
		(void)fprintf(f, "%s = ", d->name);
		dump_option(f, o, d);
		(void)putc('\n', f);
	}
}
