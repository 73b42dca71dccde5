/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Who the process is: pids, users, groups, sessions.  One that is root may
 * become somebody else, for good or, with root as its saved user, for a while,
 * as servers do when they have bound their port.  What it may do to files of
 * the host does not depend on that.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	return (m->proc.ruid);
}

int64_t
sys_geteuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (m->proc.uid);
}

int64_t
sys_getgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (m->proc.rgid);
}

int64_t
sys_getegid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (m->proc.gid);
}

enum { REAL, EFFECTIVE, SAVED, NID };

static void
users(struct machine *m, uint32_t *id[NID])
{

	id[REAL] = &m->proc.ruid;
	id[EFFECTIVE] = &m->proc.uid;
	id[SAVED] = &m->proc.suid;
}

static void
groups(struct machine *m, uint32_t *id[NID])
{

	id[REAL] = &m->proc.rgid;
	id[EFFECTIVE] = &m->proc.gid;
	id[SAVED] = &m->proc.sgid;
}

static int64_t
put_three(struct machine *m, const uint64_t a[6], uint32_t *const id[NID])
{
	unsigned u;

	for (u = 0; u < NID; u++)
		if (as_write(m->as, a[u], id[u], sizeof(*id[u])))
			return (-EFAULT);
	return (0);
}

int64_t
sys_getresuid(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t *id[NID];

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	users(m, id);
	return (put_three(m, a, id));
}

int64_t
sys_getresgid(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t *id[NID];

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	groups(m, id);
	return (put_three(m, a, id));
}

/* ---- changing -------------------------------------------------------- */

/* One of the first n of its own, "leave it", or it is root. */
static int
may_be(const struct machine *m, uint32_t *const id[NID], uint32_t want,
    unsigned n)
{
	unsigned u;

	if (want == UNCHANGED || m->proc.uid == 0)
		return (1);
	for (u = 0; u < n; u++)
		if (want == *id[u])
			return (1);
	return (0);
}

static void
take(uint32_t *id, uint32_t want)
{

	if (want != UNCHANGED)
		*id = want;
}

/* The blob answers getuid(2) and friends from a copy. */
static int64_t
done(struct machine *m, int64_t r)
{

	if (r == 0)
		vvar_update(m);
	return (r);
}

static int64_t
set_one(struct machine *m, uint32_t *const id[NID], uint32_t want)
{

	if (want == UNCHANGED)
		return (-EINVAL);
	if (m->proc.uid == 0)
		*id[REAL] = *id[SAVED] = want;
	else if (want != *id[REAL] && want != *id[SAVED])
		return (-EPERM);
	*id[EFFECTIVE] = want;
	return (0);
}

static int64_t
set_two(struct machine *m, uint32_t *const id[NID], uint32_t real,
    uint32_t effective)
{
	const uint32_t was = *id[REAL];

	if (!may_be(m, id, real, SAVED) || !may_be(m, id, effective, NID))
		return (-EPERM);
	take(id[REAL], real);
	take(id[EFFECTIVE], effective);
	if (real != UNCHANGED || (effective != UNCHANGED && effective != was))
		*id[SAVED] = *id[EFFECTIVE];
	return (0);
}

static int64_t
set_three(struct machine *m, uint32_t *const id[NID], const uint64_t a[6])
{
	unsigned u;

	for (u = 0; u < NID; u++)
		if (!may_be(m, id, (uint32_t)a[u], NID))
			return (-EPERM);
	for (u = 0; u < NID; u++)
		take(id[u], (uint32_t)a[u]);
	return (0);
}

int64_t
sys_setuid(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t *id[NID];

	(void)t;
	users(m, id);
	return (done(m, set_one(m, id, (uint32_t)a[0])));
}

int64_t
sys_setgid(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t *id[NID];

	(void)t;
	groups(m, id);
	return (done(m, set_one(m, id, (uint32_t)a[0])));
}

int64_t
sys_setreuid(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t *id[NID];

	(void)t;
	users(m, id);
	return (done(m, set_two(m, id, (uint32_t)a[0], (uint32_t)a[1])));
}

int64_t
sys_setregid(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t *id[NID];

	(void)t;
	groups(m, id);
	return (done(m, set_two(m, id, (uint32_t)a[0], (uint32_t)a[1])));
}

int64_t
sys_setresuid(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t *id[NID];

	(void)t;
	users(m, id);
	return (done(m, set_three(m, id, a)));
}

int64_t
sys_setresgid(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t *id[NID];

	(void)t;
	groups(m, id);
	return (done(m, set_three(m, id, a)));
}

/* These answer the old one, whatever they did. */
int64_t
sys_setfsuid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_geteuid(m, t, a));
}

int64_t
sys_setfsgid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (sys_getegid(m, t, a));
}

/* ---- supplementary groups -------------------------------------------- */

int64_t
sys_getgroups(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const uint32_t n = m->proc.ngroups;

	(void)t;
	if ((int32_t)a[0] < 0 || (a[0] != 0 && (uint32_t)a[0] < n))
		return (-EINVAL);
	if (a[0] != 0 && n > 0 &&
	    as_write(m->as, a[1], m->proc.group, n * sizeof(uint32_t)) != 0)
		return (-EFAULT);
	return (n);
}

static int
by_number(const void *x, const void *y)
{
	const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a < b ? -1 : a > b);
}

int64_t
sys_setgroups(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t id[MAX_GROUPS], n = (uint32_t)a[0];

	(void)t;
	if (m->proc.uid != 0)
		return (-EPERM);
	if (n > 65536)
		return (-EINVAL);
	if (n > MAX_GROUPS)
		return (-ENOMEM);
	if (n > 0 && as_read(m->as, a[1], id, n * sizeof *id) != 0)
		return (-EFAULT);
	qsort(id, n, sizeof *id, by_number);
	(void)memcpy(m->proc.group, id, n * sizeof *id);
	m->proc.ngroups = n;
	m->rest_changed = 1;	/* the list is put back with them */
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
