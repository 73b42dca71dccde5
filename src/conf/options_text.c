/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Option values as text: numbers, paths, lists.
 *
 * Own number parsing because strtod() follows the locale of whoever loads
 * the library, and takes "inf" and "0x1p3".
 */

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_int.h"
#include "error.h"
#include "obj.h"

void
text_one_line(char *s)
{

	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			*s = '?';
}

int
opt_err(const struct tkvm_options *o, struct tkvm_error *err,
    enum tkvm_code code, const char *fmt, ...)
{
	struct tkvm_error e;
	va_list ap;

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	va_start(ap, fmt);
	(void)vsnprintf(e.text, sizeof e.text, fmt, ap);
	va_end(ap);
	text_one_line(e.text);
	if (*o->tenant == '\0')
		return (err_set(err, code, "%s", e.text));
	return (err_set(err, code, "tenant \"%s\": %s", o->tenant, e.text));
}

int
text_uint(const char *s, unsigned long long *val)
{
	unsigned long long v = 0;

	AN(s);
	if (*s == '\0')
		return (-1);
	for (; *s != '\0'; s++) {
		if (!isdigit((unsigned char)*s) || v > ULLONG_MAX / 16)
			return (-1);
		v = v * 10 + (unsigned)(*s - '0');
	}
	*val = v;
	return (0);
}

/* Digits with at most one dot among them: "8", "0.1", ".5". */
int
text_seconds(const char *s, double *val)
{
	double v = 0, scale = 1;
	int digits = 0, dot = 0;

	AN(s);
	for (; *s != '\0'; s++) {
		if (*s == '.' && !dot) {
			dot = 1;
			continue;
		}
		if (!isdigit((unsigned char)*s))
			return (-1);
		digits++;
		if (digits > 30)
			return (-1);
		v = v * 10 + (*s - '0');
		if (dot)
			scale *= 10;
	}
	if (digits == 0)
		return (-1);
	*val = v / scale;
	return (0);
}

int
text_bool(const char *s, int *val)
{
	static const char *const yes[] = { "true", "yes", "on", "1" };
	static const char *const no[] = { "false", "no", "off", "0" };
	unsigned u;

	AN(s);
	for (u = 0; u < NELEM(yes); u++) {
		if (strcmp(s, yes[u]) == 0) {
			*val = 1;
			return (0);
		}
		if (strcmp(s, no[u]) == 0) {
			*val = 0;
			return (0);
		}
	}
	return (-1);
}

void
text_expected(const struct opt_desc *d, char *buf, size_t len)
{
	const char *unit = "a whole number";

	AN(d);
	AN(d->arg);
	if (d->type == OPT_SECONDS)
		unit = "seconds";
	else if (strcmp(d->arg, "MIB") == 0)
		unit = "a whole number of MiB";
	else if (strcmp(d->arg, "BYTES") == 0)
		unit = "a whole number of bytes";
	(void)snprintf(buf, len, "%s between %.10g and %.10g", unit,
	    d->min, d->max);
}

/* Append the components of `from` to the canonical path in `to`. */
static int
canon_add(char *to, const char *from)
{
	size_t n, len = strlen(to);
	char *slash;

	while (*from != '\0') {
		if (*from == '/') {
			from++;
			continue;
		}
		n = strcspn(from, "/");
		if (n == 2 && from[0] == '.' && from[1] == '.') {
			slash = strrchr(to, '/');
			if (slash != NULL)
				*slash = '\0';
			len = strlen(to);
		} else if (n != 1 || *from != '.') {
			if (len + 1 + n >= PATH_MAX)
				return (-1);
			to[len++] = '/';
			(void)memcpy(to + len, from, n);
			len += n;
			to[len] = '\0';
		}
		from += n;
	}
	return (0);
}

char *
path_canon(const char *path, const char *base)
{
	char *to, *here = NULL;
	int bad = 0;

	AN(path);
	to = malloc(PATH_MAX);
	if (to == NULL)
		return (NULL);
	*to = '\0';
	if (*path != '/' && (base == NULL || *base != '/')) {
		here = getcwd(NULL, 0);
		bad = (here == NULL || canon_add(to, here) != 0);
		free(here);
	}
	if (!bad && *path != '/' && base != NULL)
		bad = canon_add(to, base) != 0;
	if (!bad)
		bad = canon_add(to, path) != 0;
	if (bad) {
		free(to);
		return (NULL);
	}
	if (*to == '\0')
		(void)memcpy(to, "/", 2);
	return (to);
}

int
strlist_add(struct strlist *l, const char *s, size_t len)
{
	char **v;

	AN(l);
	AN(s);
	v = realloc(l->v, (l->n + 1) * sizeof *v);
	if (v == NULL)
		return (-1);
	l->v = v;
	v[l->n] = strndup(s, len);
	if (v[l->n] == NULL)
		return (-1);
	l->n++;
	return (0);
}

int
strlist_dup(struct strlist *to, const struct strlist *from)
{
	unsigned u;

	for (u = 0; u < from->n; u++)
		if (strlist_add(to, from->v[u], strlen(from->v[u])) != 0)
			return (-1);
	return (0);
}

void
strlist_free(struct strlist *l)
{
	unsigned u;

	AN(l);
	for (u = 0; u < l->n; u++)
		free(l->v[u]);
	free(l->v);
	l->v = NULL;
	l->n = 0;
}
