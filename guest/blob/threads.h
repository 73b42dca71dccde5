/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The blob's own changes of threads.
 */

#ifndef BLOB_THREADS_H
#define BLOB_THREADS_H

#include <stdint.h>

#include "layout.h"

struct gk;

/* May threads be changed?  What else is here needs it, or asks itself. */
int thr_on(void);
/* Of the thread at hand */
uint32_t thr_tid(void);
/*
 * The thread at hand waits for a futex, or its call has no answer yet: 1 if
 * the entry code is to go on with thr_to, 0 if the VMM has to do it.
 */
int thr_wait(const struct gk *, uint64_t nr, uint64_t addr, uint32_t bits);
int thr_block(const struct gk *, uint64_t nr);
/* The longest waiting one of those parked here; GK_NTHR if there is none */
uint32_t thr_first_waiter(uint64_t addr, uint32_t bits, uint64_t *seq);
void thr_wake(uint32_t);

#endif
