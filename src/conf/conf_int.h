/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the files of src/conf share and nobody else needs.
 */

#ifndef TKVM_CONF_INT_H
#define TKVM_CONF_INT_H

#include "conf/options.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The field of an option, by type. */
#define OPT_FIELD(o, d, type)						\
	((type *)(void *)((char *)(o) + (d)->offset))
#define OPT_CFIELD(o, d, type)						\
	((type const *)(const void *)((const char *)(o) + (d)->offset))

/* err_set() with `tenant "x": ` in front, unless the tenant has no name. */
int opt_err(const struct tkvm_options *, struct tkvm_error *, enum tkvm_code,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Errors are one line, whatever they quote: '?' for control characters. */
void text_one_line(char *);

/* ---- options_text.c: values as text -------------------------------------- */

/* The whole text has to be a number; 0, or -1 (neither reports). */
int text_uint(const char *, unsigned long long *);
int text_seconds(const char *, double *);
int text_bool(const char *, int *);
/* What a number option takes: "seconds between 0.001 and 86400". */
void text_expected(const struct opt_desc *, char *buf, size_t len);
/*
 * An absolute path without empty, "." and ".." components, by text alone;
 * relative ones start at `base`, or the current folder if that is NULL.
 * malloc'ed, NULL when memory is short or the path too long.
 */
char *path_canon(const char *path, const char *base);

int strlist_add(struct strlist *, const char *, size_t);
int strlist_dup(struct strlist *, const struct strlist *);
void strlist_free(struct strlist *);

/* ---- check_program.c ----------------------------------------------------- */

/*
 * Find the program as a shell would: a name with a slash from cwd on, any
 * other in $PATH.  *path is malloc'ed.  0, or -1 with *err.
 */
int program_find(const struct tkvm_options *, char **path,
    struct tkvm_error *);
/* The file at `path` is something that we can run on this host. */
int program_check(const struct tkvm_options *, const char *path,
    struct tkvm_error *);

#ifdef __cplusplus
}
#endif

#endif
