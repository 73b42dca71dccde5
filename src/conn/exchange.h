/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What an exchange needs of a fork beyond tkvm.h.
 */

#ifndef TKVM_EXCHANGE_H
#define TKVM_EXCHANGE_H

struct tkvm_fork;
struct tkvm_options;

/* The options of its image: tenant's name, max-response-buffer. */
const struct tkvm_options *fork_options(const struct tkvm_fork *);

#endif
