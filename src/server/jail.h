/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kvmserver's own walls.  Not for the VMOD: Varnish's threads are not ours.
 */

#ifndef TKVM_JAIL_H
#define TKVM_JAIL_H

#include "server/server.h"

/* From here on, for this thread and those it makes; says what there is. */
void jail_enter(const struct args *);
/* 1: filtered.  0: built without.  -1: *err */
int jail_seccomp(struct tkvm_error *);

#endif
