/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What an exchange needs of a fork beyond tkvm.h, and the other way round.
 */

#ifndef TKVM_EXCHANGE_H
#define TKVM_EXCHANGE_H

struct tkvm_exchange;
struct tkvm_fork;
struct tkvm_options;

/* The options of its image: tenant's name, max-response-buffer. */
const struct tkvm_options *fork_options(const struct tkvm_fork *);
/* Where an exchange that is over waits for the fork's next request. */
struct tkvm_exchange **fork_spare(struct tkvm_fork *);
/* The fork goes; NULLs *p, which may be NULL already. */
void exchange_spare_free(struct tkvm_exchange **p);

#endif
