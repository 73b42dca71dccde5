/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Refused accesses to a file: --audit.
 */

#ifndef TKVM_AUDIT_H
#define TKVM_AUDIT_H

struct machine;
struct tkvm_options;

/* The file; -1: none is asked for, or -errno */
int audit_open(const struct tkvm_options *);
/*
 * A line, if there is a file.  `option` with `value` would allow it, unless
 * NULL; denied_by is the option that forbids it, or NULL.
 */
void audit_refused(struct machine *, const char *access, const char *object,
    const char *option, const char *value, const char *denied_by);

#endif
