/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Who the process is: pids, users, groups, sessions.  Users and groups cannot
 * be changed, as for a process without privileges; but one that is root may
 * become somebody else for good, as servers do when they have bound their port.
 * What it may do to files of the host does not depend on that.
 */

#include <errno.h>

#include "linux/sys_proc.h"
#include "obj.h"

#define UNCHANGED	UINT32_MAX

/* ---- reading --------------------------------------------------------- */

int64_t
sys_getpid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (m->proc.pid);
}

int64_t
sys_getppid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (m->proc.ppid);
}

int64_t
sys_getuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (m->proc.uid);
}

int64_t
sys_geteuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_getuid(m, t, a));
}

int64_t
sys_getgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (m->proc.gid);
}

int64_t
sys_getegid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_getgid(m, t, a));
}

/* real, effective and saved are the same */
static int64_t
put_three(struct machine *m, const uint64_t a[6], uint32_t id)
{
	unsigned u;

	for (u = 0; u < 3; u++)
		if (as_write(m->as, a[u], &id, sizeof(id)))
			return (-EFAULT);
	return (0);
}

int64_t
sys_getresuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	return (put_three(m, a, m->proc.uid));
}

int64_t
sys_getresgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	return (put_three(m, a, m->proc.gid));
}

/* ---- changing -------------------------------------------------------- */

/*
 * The first n of a[] (real, effective, saved): each the present one, or "leave
 * it".  Root may change all of them to the same one, and then is not root.
 */
static int64_t
change(struct machine *m, const uint64_t a[6], unsigned n, uint32_t *mine)
{
	const uint32_t new = (uint32_t)a[0];
	unsigned u;

	for (u = 0; u < n; u++)
		if ((uint32_t)a[u] != *mine && (uint32_t)a[u] != UNCHANGED)
			break;
	if (u == n)
		return (0);
	if (m->proc.uid != 0 || new == UNCHANGED)
		return (-EPERM);
	for (u = 1; u < n; u++)
		if ((uint32_t)a[u] != new)
			return (-EPERM);
	*mine = new;
	return (0);
}

int64_t
sys_setuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((uint32_t)a[0] == UNCHANGED)
		return (-EINVAL);
	return (change(m, a, 1, &m->proc.uid));
}

int64_t
sys_setgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((uint32_t)a[0] == UNCHANGED)
		return (-EINVAL);
	return (change(m, a, 1, &m->proc.gid));
}

int64_t
sys_setreuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (change(m, a, 2, &m->proc.uid));
}

int64_t
sys_setregid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (change(m, a, 2, &m->proc.gid));
}

int64_t
sys_setresuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (change(m, a, 3, &m->proc.uid));
}

int64_t
sys_setresgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (change(m, a, 3, &m->proc.gid));
}

/* These answer the old one, whatever they did. */
int64_t
sys_setfsuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_getuid(m, t, a));
}

int64_t
sys_setfsgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_getgid(m, t, a));
}

/* No supplementary groups */
int64_t
sys_getgroups(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)t;
	return ((int32_t)a[0] < 0 ? -EINVAL : 0);
}

/* Root may say which ones it has; it has none all the same. */
int64_t
sys_setgroups(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t id;
	uint64_t u;

	(void)t;
	if (m->proc.uid != 0)
		return (-EPERM);
	if ((int32_t)a[0] < 0 || a[0] > 65536)
		return (-EINVAL);
	for (u = 0; u < a[0]; u++)
		if (as_read(m->as, a[1] + u * sizeof id, &id, sizeof id) != 0)
			return (-EFAULT);
	return (0);
}

/* ---- process groups -------------------------------------------------- */

/* It leads a process group of its own, in its parent's session. */
static int
me(const struct machine *m, uint64_t pid)
{

	return ((int32_t)pid == 0 || proc_is_self(m, (int32_t)pid));
}

int64_t
sys_getpgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (me(m, a[0]) ? (int64_t)m->proc.pid : -ESRCH);
}

int64_t
sys_getpgrp(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_getpid(m, t, a));
}

int64_t
sys_setpgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((int32_t)a[1] < 0)
		return (-EINVAL);
	if (!me(m, a[0]))
		return (-ESRCH);
	return (me(m, a[1]) ? 0 : -EPERM);
}

int64_t
sys_getsid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (me(m, a[0]) ? (int64_t)m->proc.ppid : -ESRCH);
}
