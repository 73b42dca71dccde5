/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the blob may change of the process without an exit: the signal mask of
 * a program with one thread that no signal waits for, and the end of its heap
 * within a page.  Both lie in struct gk while the program runs; what comes back
 * is no more than the program could have asked the VMM for.
 */

#include "linux/sys_proc.h"
#include "machine/priv.h"

/* Before the program runs.  Not in the middle of the blob: it has them. */
void
inside_give(struct machine *m)
{
	const struct thread *t = machine_cur(m);
	struct gk *gk = m->gk;

	gk->sig_quiet = m->mask_given = m->proc.nthreads == 1 &&
	    !t->in_sigsuspend && (t->sigpending | m->proc.sigpending) == 0;
	gk->sigmask = t->sigmask;
	gk->brk_start = m->as->brk_start;
	gk->brk = m->as->brk;
}

/* After an exit that is not in the middle of the blob */
void
inside_take(struct machine *m)
{
	const uint64_t brk = m->gk->brk;

	if (m->mask_given)
		machine_cur(m)->sigmask = m->gk->sigmask & ~SIG_UNBLOCKABLE;
	m->mask_given = 0;
	if (brk >= m->as->brk_start && PAGE_UP(brk) == PAGE_UP(m->as->brk))
		m->as->brk = brk;
}
