/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The guest's clocks from the time stamp counter and the VMM's clock page;
 * shared by the blob and the vDSO.
 */

#ifndef TKVM_VCLOCK_H
#define TKVM_VCLOCK_H

#include "layout.h"

#define VVAR	((const volatile struct gk_vvar *)GVA_VVAR)

/* clock_gettime(2) ids, as bits: those that run like REALTIME, MONOTONIC */
#define VCLOCK_REAL	((1u << 0) | (1u << 5))
#define VCLOCK_MONO	((1u << 1) | (1u << 4) | (1u << 6) | (1u << 7))

static inline __attribute__((always_inline)) int
vclock_read(uint64_t id, uint64_t *ns)
{
	const volatile struct gk_vvar *v = VVAR;
	uint32_t lo, hi;
	uint64_t d, base;

	if (!v->usable || id > 7)
		return (0);
	if ((VCLOCK_REAL >> id) & 1)
		base = v->real_ns;
	else if ((VCLOCK_MONO >> id) & 1)
		base = v->mono_ns;
	else
		return (0);
	__asm__ volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	d = (((uint64_t)hi << 32) | lo) - v->tsc0;
	if ((int64_t)d < 0)
		d = 0;
	*ns = base + (uint64_t)(((unsigned __int128)d * v->mult) >> 32);
	return (1);
}

#endif
