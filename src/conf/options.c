/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * struct tkvm_options: make, set, copy, free; all of it through the table.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/addr_rule.h"
#include "conf/conf_int.h"
#include "error.h"
#include "obj.h"

static int
no_memory(const struct tkvm_options *o, struct tkvm_error *err)
{

	return (opt_err(o, err, TKVM_E_MEMORY, "out of memory"));
}

/* ---- one setter per type ------------------------------------------------- */

static int
set_bool(struct tkvm_options *o, const struct opt_desc *d, const char *value,
    struct tkvm_error *err)
{

	if (value == NULL)
		*OPT_FIELD(o, d, int) = 1;
	else if (text_bool(value, OPT_FIELD(o, d, int)) != 0)
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "%s: expected true or false, got \"%s\"", d->name, value));
	return (0);
}

static unsigned
ncpu(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return (n < 1 ? 1 : n > 1024 ? 1024 : (unsigned)n);
}

static int
set_number(struct tkvm_options *o, const struct opt_desc *d,
    const char *value, struct tkvm_error *err)
{
	unsigned long long u = 0;
	double v = 0;
	char expected[80];
	int bad;

	if (d->type == OPT_SECONDS)
		bad = text_seconds(value, &v);
	else {
		bad = text_uint(value, &u);
		v = (double)u;
	}
	if (bad || v < d->min || v > d->max) {
		text_expected(d, expected, sizeof expected);
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "%s: expected %s, got \"%s\"", d->name, expected, value));
	}
	if (d->type == OPT_SECONDS)
		*OPT_FIELD(o, d, double) = v;
	else if (u == 0 && d->offset == offsetof(struct tkvm_options, threads))
		o->threads = ncpu();
	else
		*OPT_FIELD(o, d, unsigned) = (unsigned)u;
	return (0);
}

/* "METHOD /PATH [HOST]", nothing that could end a line of the request. */
static int
request_ok(const char *s)
{
	const char *p;
	size_t n;

	for (p = s; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			return (0);
	n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
	if (n == 0 || s[n] != ' ' || s[n + 1] != '/')
		return (0);
	s += n + 1;
	s += strcspn(s, " ");
	if (*s == '\0')
		return (1);
	s++;
	return (*s != '\0' && strchr(s, ' ') == NULL);
}

static int
set_string(struct tkvm_options *o, const struct opt_desc *d,
    const char *value, struct tkvm_error *err)
{
	char **field = OPT_FIELD(o, d, char *);
	char *s;

	if (*value == '\0')
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "%s: expected %s, got nothing", d->name, d->arg));
	if (field == &o->run_mode && strcmp(value, "auto") != 0 &&
	    strcmp(value, "worker") != 0 && strcmp(value, "runner") != 0)
		return (opt_err(o, err, TKVM_E_CONFIG, "%s: expected auto, "
		    "worker or runner, got \"%s\"", d->name, value));
	if (field == &o->private_tmp && strcmp(value, "auto") != 0 &&
	    strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
		return (opt_err(o, err, TKVM_E_CONFIG, "%s: expected auto, "
		    "on or off, got \"%s\"", d->name, value));
	if (field == &o->warmup_request && !request_ok(value))
		return (opt_err(o, err, TKVM_E_CONFIG, "%s: expected METHOD "
		    "/PATH [HOST], got \"%s\"", d->name, value));
	s = strdup(value);
	if (s == NULL)
		return (no_memory(o, err));
	free(*field);
	*field = s;
	return (0);
}

static int
set_list(struct tkvm_options *o, const struct opt_desc *d, const char *value,
    struct tkvm_error *err)
{
	struct strlist *l = OPT_FIELD(o, d, struct strlist);

	if (l == &o->env && (*value == '=' || strchr(value, '=') == NULL))
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "%s: expected NAME=VALUE, got \"%s\"", d->name, value));
	if (strlist_add(l, value, strlen(value)) != 0)
		return (no_memory(o, err));
	return (0);
}

/* NAME or PREFIX*; "*" is any. */
static int
env_rule_ok(const char *s)
{
	size_t n = strcspn(s, "*=");

	if (s[n] == '*')
		return (s[n + 1] == '\0');
	return (n > 0 && s[n] == '\0');
}

static int
add_rule(struct tkvm_options *o, const struct opt_desc *d, const char *rule,
    struct tkvm_error *err)
{
	struct allow *a = OPT_FIELD(o, d, struct allow);
	const char *why = NULL;
	char *path;
	int rv;

	if (a == &o->allow_read || a == &o->allow_write) {
		if (*rule == '\0')
			return (opt_err(o, err, TKVM_E_CONFIG,
			    "%s: expected a path, got nothing", d->name));
		path = path_canon(rule, NULL);
		if (path == NULL)
			return (opt_err(o, err, TKVM_E_CONFIG,
			    "%s: path too long: %.200s", d->name, rule));
		rv = strlist_add(&a->rule, path, strlen(path));
		free(path);
		return (rv == 0 ? 0 : no_memory(o, err));
	}
	if (a == &o->allow_env) {
		if (!env_rule_ok(rule))
			why = "NAME or PREFIX*";
	} else
		(void)addr_rule_check(rule, &why);
	if (why != NULL)
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "%s: expected %s, got \"%s\"", d->name, why, rule));
	if (strlist_add(&a->rule, rule, strlen(rule)) != 0)
		return (no_memory(o, err));
	return (0);
}

static int
set_allow(struct tkvm_options *o, const struct opt_desc *d, const char *value,
    struct tkvm_error *err)
{
	char *copy, *s, *next;
	int rv = 0;

	if (value == NULL) {
		OPT_FIELD(o, d, struct allow)->all = 1;
		return (0);
	}
	copy = strdup(value);
	if (copy == NULL)
		return (no_memory(o, err));
	for (s = copy; s != NULL && rv == 0; s = next) {
		next = strchr(s, ',');
		if (next != NULL)
			*next++ = '\0';
		rv = add_rule(o, d, s, err);
	}
	free(copy);
	return (rv);
}

/* The rights at the end of a volume: "", "r", "w", "rw", "wr". */
static int
volume_rights(const char *s, struct volume *v)
{

	v->read = strchr(s, 'r') != NULL;
	v->write = strchr(s, 'w') != NULL;
	return (*s != '\0' && strspn(s, "rw") == strlen(s) &&
	    (size_t)(v->read + v->write) == strlen(s) ? 0 : -1);
}

static int
set_volume(struct tkvm_options *o, const struct opt_desc *d,
    const char *value, struct tkvm_error *err)
{
	struct volume v = { .read = 1 }, *vv;
	char *copy, *guest, *rights;
	int bad;

	copy = strdup(value);
	vv = realloc(o->volume, (o->nvolume + 1) * sizeof *vv);
	if (vv != NULL)
		o->volume = vv;
	if (copy == NULL || vv == NULL) {
		free(copy);
		return (no_memory(o, err));
	}
	guest = strchr(copy, ':');
	if (guest != NULL)
		*guest++ = '\0';
	rights = guest == NULL ? NULL : strchr(guest, ':');
	if (rights != NULL)
		*rights++ = '\0';
	bad = guest == NULL || *copy == '\0' || *guest != '/' ||
	    (rights != NULL && volume_rights(rights, &v) != 0);
	if (!bad) {
		v.host = path_canon(copy, NULL);
		v.guest = path_canon(guest, NULL);
		bad = v.host == NULL || v.guest == NULL;
	}
	free(copy);
	if (bad) {
		free(v.host);
		free(v.guest);
		return (opt_err(o, err, TKVM_E_CONFIG, "%s: expected "
		    "HOST:/GUEST[:r|w|rw], got \"%.200s\"", d->name, value));
	}
	vv[o->nvolume++] = v;
	return (0);
}

static int
set_value(struct tkvm_options *o, const struct opt_desc *d, const char *value,
    struct tkvm_error *err)
{

	if (value == NULL && d->type != OPT_BOOL && d->type != OPT_ALLOW)
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "%s: expected %s, got nothing", d->name, d->arg));
	switch (d->type) {
	case OPT_BOOL:
		return (set_bool(o, d, value, err));
	case OPT_UINT:
	case OPT_SECONDS:
		return (set_number(o, d, value, err));
	case OPT_STRING:
		return (set_string(o, d, value, err));
	case OPT_LIST:
		return (set_list(o, d, value, err));
	case OPT_ALLOW:
		return (set_allow(o, d, value, err));
	case OPT_VOLUME:
		return (set_volume(o, d, value, err));
	default:
		return (opt_err(o, err, TKVM_E_INTERNAL,
		    "%s: no such type", d->name));
	}
}

int
tkvm_options_set(struct tkvm_options *o, const char *key, const char *value,
    struct tkvm_error *err)
{
	const struct opt_desc *d;
	const char *near, *why;

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	AN(key);
	d = opt_find(key);
	if (d != NULL)
		return (set_value(o, d, value, err));
	if (opt_unsupported(key, &why))
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "%s: not supported in this version%s%s", key,
		    why == NULL ? "" : ": ", why == NULL ? "" : why));
	near = opt_nearest(key, OPT_CLI | OPT_TOML);
	return (opt_err(o, err, TKVM_E_CONFIG,
	    "%.60s: no such option%s%s%s", key, near == NULL ? "" :
	    "; did you mean ", near == NULL ? "" : near,
	    near == NULL ? "" : "?"));
}

/* ---- life ---------------------------------------------------------------- */

static void
free_volumes(struct tkvm_options *o)
{
	unsigned u;

	for (u = 0; u < o->nvolume; u++) {
		free(o->volume[u].host);
		free(o->volume[u].guest);
	}
	free(o->volume);
	o->volume = NULL;
	o->nvolume = 0;
}

static void
free_field(struct tkvm_options *o, const struct opt_desc *d)
{

	switch (d->type) {
	case OPT_STRING:
		free(*OPT_FIELD(o, d, char *));
		*OPT_FIELD(o, d, char *) = NULL;
		break;
	case OPT_LIST:
		strlist_free(OPT_FIELD(o, d, struct strlist));
		break;
	case OPT_ALLOW:
		OPT_FIELD(o, d, struct allow)->all = 0;
		strlist_free(&OPT_FIELD(o, d, struct allow)->rule);
		break;
	case OPT_VOLUME:
		free_volumes(o);
		break;
	default:
		break;
	}
}

void
opt_clear(struct tkvm_options *o, const struct opt_desc *d)
{
	struct tkvm_error err;

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	AN(d);
	free_field(o, d);
	if (d->type == OPT_BOOL)
		*OPT_FIELD(o, d, int) = 0;
	/* Strings: without memory the option is just not there. */
	if (d->dflt != NULL)
		(void)set_value(o, d, d->dflt, &err);
}

static struct tkvm_options *
options_alloc(const char *tenant)
{
	struct tkvm_options *o;

	ALLOC_OBJ(o, OPTIONS_MAGIC);
	if (o == NULL)
		return (NULL);
	o->tenant = strdup(tenant == NULL ? "" : tenant);
	if (o->tenant == NULL)
		FREE_OBJ(o);
	return (o);
}

/* NULL only when memory is short. */
struct tkvm_options *
tkvm_options_new(const char *tenant)
{
	struct tkvm_options *o;
	struct tkvm_error err;
	unsigned u;

	o = options_alloc(tenant);
	if (o == NULL)
		return (NULL);
	for (u = 0; u < opt_ntable; u++)
		if (opt_table[u].dflt != NULL && set_value(o, &opt_table[u],
		    opt_table[u].dflt, &err) != 0) {
			assert(err.code == TKVM_E_MEMORY);
			tkvm_options_free(&o);
			return (NULL);
		}
	return (o);
}

static int
dup_volumes(struct tkvm_options *to, const struct tkvm_options *from)
{
	unsigned u;

	if (from->nvolume == 0)
		return (0);
	to->volume = calloc(from->nvolume, sizeof *to->volume);
	if (to->volume == NULL)
		return (-1);
	for (u = 0; u < from->nvolume; u++) {
		to->volume[u] = from->volume[u];
		to->volume[u].host = strdup(from->volume[u].host);
		to->volume[u].guest = strdup(from->volume[u].guest);
		to->nvolume++;
		if (to->volume[u].host == NULL || to->volume[u].guest == NULL)
			return (-1);
	}
	return (0);
}

static int
dup_field(struct tkvm_options *to, const struct tkvm_options *from,
    const struct opt_desc *d)
{
	const char *s;

	switch (d->type) {
	case OPT_BOOL:
		*OPT_FIELD(to, d, int) = *OPT_CFIELD(from, d, int);
		return (0);
	case OPT_UINT:
		*OPT_FIELD(to, d, unsigned) = *OPT_CFIELD(from, d, unsigned);
		return (0);
	case OPT_SECONDS:
		*OPT_FIELD(to, d, double) = *OPT_CFIELD(from, d, double);
		return (0);
	case OPT_STRING:
		s = *OPT_CFIELD(from, d, char *);
		if (s == NULL)
			return (0);
		*OPT_FIELD(to, d, char *) = strdup(s);
		return (*OPT_FIELD(to, d, char *) == NULL ? -1 : 0);
	case OPT_LIST:
		return (strlist_dup(OPT_FIELD(to, d, struct strlist),
		    OPT_CFIELD(from, d, struct strlist)));
	case OPT_ALLOW:
		OPT_FIELD(to, d, struct allow)->all =
		    OPT_CFIELD(from, d, struct allow)->all;
		return (strlist_dup(&OPT_FIELD(to, d, struct allow)->rule,
		    &OPT_CFIELD(from, d, struct allow)->rule));
	case OPT_VOLUME:
		return (dup_volumes(to, from));
	default:
		return (-1);
	}
}

/* NULL only when memory is short. */
struct tkvm_options *
tkvm_options_dup(const struct tkvm_options *from)
{
	struct tkvm_options *o;
	unsigned u;

	CHECK_OBJ_NOTNULL(from, OPTIONS_MAGIC);
	o = options_alloc(from->tenant);
	if (o == NULL)
		return (NULL);
	o->log = from->log;
	o->log_priv = from->log_priv;
	for (u = 0; u < opt_ntable; u++)
		if (dup_field(o, from, &opt_table[u]) != 0) {
			tkvm_options_free(&o);
			return (NULL);
		}
	return (o);
}

void
tkvm_options_free(struct tkvm_options **p)
{
	struct tkvm_options *o;
	unsigned u;

	TAKE_OBJ_NOTNULL(o, p, OPTIONS_MAGIC);
	for (u = 0; u < opt_ntable; u++)
		free_field(o, &opt_table[u]);
	free(o->tenant);
	FREE_OBJ(o);
}

void
tkvm_options_log(struct tkvm_options *o, tkvm_log_f *log, void *priv)
{

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	o->log = log;
	o->log_priv = priv;
}
