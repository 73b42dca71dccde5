/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A name for "the same image": 128 bits of FNV-1a over the options that make
 * it and the identity of the program file.  Good against accidents; nothing
 * secret depends on it.  The tenant's name is not part of it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/conf_int.h"
#include "obj.h"

__extension__ typedef unsigned __int128 u128;

#define FNV_BASIS	(((u128)0x6c62272e07bb0142 << 64) | 0x62b821756295c58d)
#define FNV_PRIME	(((u128)1 << 88) | 0x13b)

static void
add(u128 *h, const void *p, size_t len)
{
	const unsigned char *c = p;

	for (; len > 0; c++, len--) {
		*h ^= *c;
		*h *= FNV_PRIME;
	}
}

static void
add_uint(u128 *h, uint64_t v)
{

	add(h, &v, sizeof v);
}

/* The length goes in front: ("ab", "c") is not ("a", "bc"). */
static void
add_text(u128 *h, const char *s)
{

	if (s == NULL) {
		add_uint(h, UINT64_MAX);
		return;
	}
	add_uint(h, strlen(s));
	add(h, s, strlen(s));
}

static void
add_list(u128 *h, const struct strlist *l)
{
	unsigned u;

	add_uint(h, l->n);
	for (u = 0; u < l->n; u++)
		add_text(h, l->v[u]);
}

static void
add_option(u128 *h, const struct tkvm_options *o, const struct opt_desc *d)
{
	double v;
	unsigned u;

	add_text(h, d->name);
	switch (d->type) {
	case OPT_BOOL:
		add_uint(h, *OPT_CFIELD(o, d, int) != 0);
		break;
	case OPT_UINT:
		add_uint(h, *OPT_CFIELD(o, d, unsigned));
		break;
	case OPT_SECONDS:
		v = *OPT_CFIELD(o, d, double);
		add(h, &v, sizeof v);
		break;
	case OPT_STRING:
		add_text(h, *OPT_CFIELD(o, d, char *));
		break;
	case OPT_LIST:
		add_list(h, OPT_CFIELD(o, d, struct strlist));
		break;
	case OPT_ALLOW:
		add_uint(h, OPT_CFIELD(o, d, struct allow)->all != 0);
		add_list(h, &OPT_CFIELD(o, d, struct allow)->rule);
		break;
	case OPT_VOLUME:
		add_uint(h, o->nvolume);
		for (u = 0; u < o->nvolume; u++) {
			add_text(h, o->volume[u].host);
			add_text(h, o->volume[u].guest);
			add_uint(h, (uint64_t)o->volume[u].read * 2 +
			    (uint64_t)o->volume[u].write);
		}
		break;
	default:
		break;
	}
}

static void
add_file(u128 *h, const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) != 0) {
		add_uint(h, 0);
		return;
	}
	add_uint(h, st.st_dev);
	add_uint(h, st.st_ino);
	add_uint(h, (uint64_t)st.st_size);
	add_uint(h, (uint64_t)st.st_mtim.tv_sec);
	add_uint(h, (uint64_t)st.st_mtim.tv_nsec);
}

void
tkvm_options_hash(const struct tkvm_options *o, char out[33])
{
	struct tkvm_options *r;
	struct tkvm_error err;
	u128 h = FNV_BASIS;
	unsigned u;

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	AN(out);
	/* "./a" and "/x/a" are the same image; what cannot be resolved will
	 * not boot either. */
	r = tkvm_options_dup(o);
	if (r != NULL) {
		(void)opt_resolve(r, &err);
		o = r;
	}
	for (u = 0; u < opt_ntable; u++)
		if (opt_table[u].where & OPT_IMAGE)
			add_option(&h, o, &opt_table[u]);
	add_file(&h, o->program);
	if (r != NULL)
		tkvm_options_free(&r);
	(void)snprintf(out, 33, "%016llx%016llx",
	    (unsigned long long)(h >> 64), (unsigned long long)h);
}
