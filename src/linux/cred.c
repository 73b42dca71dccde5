/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Who the process is: pids, users, groups, sessions.  Users and groups cannot
 * be changed, as for a process without privileges.
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

/* The first n of a[]: each the present one, or "leave it" */
static int64_t
only_mine(const uint64_t a[6], unsigned n, uint32_t mine)
{
	unsigned u;

	for (u = 0; u < n; u++)
		if ((uint32_t)a[u] != mine && (uint32_t)a[u] != UNCHANGED)
			return (-EPERM);
	return (0);
}

int64_t
sys_setuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((uint32_t)a[0] == UNCHANGED)
		return (-EINVAL);
	return (only_mine(a, 1, m->proc.uid));
}

int64_t
sys_setgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	if ((uint32_t)a[0] == UNCHANGED)
		return (-EINVAL);
	return (only_mine(a, 1, m->proc.gid));
}

int64_t
sys_setreuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (only_mine(a, 2, m->proc.uid));
}

int64_t
sys_setregid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (only_mine(a, 2, m->proc.gid));
}

int64_t
sys_setresuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (only_mine(a, 3, m->proc.uid));
}

int64_t
sys_setresgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (only_mine(a, 3, m->proc.gid));
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

int64_t
sys_setgroups(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)t;
	(void)a;
	return (-EPERM);
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
