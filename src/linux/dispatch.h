/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From a number and six registers to an answer.
 */

#ifndef TKVM_DISPATCH_H
#define TKVM_DISPATCH_H

#include "linux/linux.h"

/*
 * Answer t's system call t->nr with t->a (t->restart: again).  A result,
 * -errno, SYS_BLOCK or SYS_NORETURN.
 */
int64_t linux_call(struct machine *, struct thread *);
/* t's wait is over, or it blocks for the first time: for the trace */
void linux_trace(struct machine *, const struct thread *, int64_t result);

/* mem.c */
sys_f sys_mmap, sys_munmap, sys_mprotect, sys_mremap, sys_madvise, sys_brk,
    sys_mincore, sys_msync;

#endif
