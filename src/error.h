/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Errors and log lines, as the library makes them.
 */

#ifndef TKVM_ERROR_H
#define TKVM_ERROR_H

#include <stdarg.h>
#include "tkvm.h"

/* Fill *err (may be NULL); always returns -1, so that `return (err_set(...))`
 * reads well. */
int err_set(struct tkvm_error *, enum tkvm_code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Put "prefix: " in front of the text. */
void err_prefix(struct tkvm_error *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Which tenant it is about, unless the text begins with that. */
void err_tenant(struct tkvm_error *, const char *tenant);

#endif
