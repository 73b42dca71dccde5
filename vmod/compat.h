/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Varnish 7.1 and later: every difference that this VMOD has to know, and
 * nothing else.  No other file asks for a version.
 */

#ifndef KVM_COMPAT_H
#define KVM_COMPAT_H

#include <math.h>

/* 7.3: transaction ids are 64 bits wide, and "none" got a name. */
#ifndef NO_VXID
#  define NO_VXID		(0U)
#endif

/*
 * The time-out of this fetch, or the parameter.  Before 7.5 an unset one is
 * 0, from then on NAN, and 0 is a value like any other.
 */
static inline double
kvm_timeout(double of_bo, double of_param)
{

#if VRT_MAJOR_VERSION >= 19U
	return (isnan(of_bo) ? of_param : of_bo);
#else
	return (isnan(of_bo) || of_bo <= 0. ? of_param : of_bo);
#endif
}

/* 7.5: the moment (real time) at which the task has to be over; 0: none. */
static inline double
kvm_task_deadline(const struct busyobj *bo)
{

#if VRT_MAJOR_VERSION >= 19U
	if (isnan(bo->task_deadline) || isinf(bo->task_deadline) ||
	    bo->task_deadline <= 0.)
		return (0.);
	return (bo->t_first + bo->task_deadline);
#else
	(void)bo;
	return (0.);
#endif
}

#endif
