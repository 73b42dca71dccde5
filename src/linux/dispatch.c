/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Calling the handler of a system call: first the in-memory kernel
 * (guest/gk_*.c) for what it may own, then the table's own handler.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "conf/options.h"
#include "gk.h"
#include "linux/dispatch.h"
#include "linux/sys_files.h"
#include "linux/sys_proc.h"
#include "mem/as.h"

/* pselect6 passes a pointer to { mask, size }, the others both in registers. */
static int64_t
wait_mask(struct machine *m, struct thread *t, unsigned arg)
{
	uint64_t p[2] = { t->a[arg], arg < 5 ? t->a[arg + 1] : 8 };

	if (arg == 5 && p[0] != 0 && as_read(m->as, p[0], p, 16) != 0)
		return (-EFAULT);
	return (signal_wait_mask(m, t, p[0], p[1]));
}

static int64_t
gk_call(struct machine *m, struct thread *t)
{
	struct gk_ctx c;
	int64_t r;

	machine_gk_ctx(m, t, &c);
	r = gk_syscall(&c, t->nr, t->a);
	t->deadline = c.deadline;
	t->progress = c.progress;
	if (c.sigpipe)
		signal_sigpipe(m, t);
	return (r);
}

static int64_t
unknown(struct machine *m, const struct thread *t)
{
	const uint64_t nr = t->nr;

	char name[40];

	m->st.unknown++;
	if (nr < SYS_MAX && !(m->enosys_seen[nr / 8] & (1u << (nr % 8)))) {
		m->enosys_seen[nr / 8] |= (uint8_t)(1u << (nr % 8));
		(void)snprintf(name, sizeof name, "%lu (%s)",
		    (unsigned long)nr, sys_table[nr].name != NULL ?
		    sys_table[nr].name : "unknown");
		/* once for all forks */
		if (m->fs == NULL || fs_tell_once(m->fs, "call", name))
			machine_log(m, TKVM_LOG_WARN, "system call %s is not "
			    "supported: ENOSYS", name);
	}
	return (-ENOSYS);
}

int64_t
linux_call(struct machine *m, struct thread *t)
{
	const struct sys_desc *d;
	unsigned mask;
	int64_t r;

	m->st.syscalls++;
	m->caller = (unsigned)(t - m->thread);
	if (t->nr >= SYS_MAX)
		return (unknown(m, t));
	d = &sys_table[t->nr];
	mask = SYS_MASK_ARG(d->flags);
	if (!t->restart) {
		t->deadline = ~0UL;
		t->progress = 0;
		if (mask != 0) {
			r = wait_mask(m, t, mask);
			if (r != 0)
				return (r);
		}
	}
	r = GK_NOTMINE;
	if (d->flags & SYS_GK)
		r = gk_call(m, t);
	if (r == GK_NOTMINE)
		r = d->fn != NULL ? d->fn(m, t, t->a) : unknown(m, t);
	if (r == -EMFILE)
		machine_limited(m, LIMIT_DESCRIPTORS);
	if (r == SYS_BLOCK || r == SYS_NORETURN || mask == 0)
		return (r);
	/* What the mask lets in ends these even if they would not wait. */
	if (r == 0 && (t->nr == SYS_ppoll || t->nr == SYS_pselect6) &&
	    signal_pending(m, t))
		return (-EINTR);
	signal_wait_done(t);
	return (r);
}
