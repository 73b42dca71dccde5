/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Scheduling: one CPU, one policy.  Priorities are accepted where Linux lets
 * an unprivileged process set them, and change nothing.
 */

#include <errno.h>
#include <linux/ioprio.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/resource.h>

#include "linux/sys_proc.h"
#include "obj.h"

#define SLICE_NS	4000000UL
#define CPU_MASK_SIZE	8UL

/* struct sched_attr; libc and kernel headers clash over it */
struct guest_sched_attr {
	uint32_t	size, policy;
	uint64_t	flags;
	int32_t		nice;
	uint32_t	priority;
	uint64_t	runtime, deadline, period;
	uint32_t	util_min, util_max;	/* not in the first version */
};
_Static_assert(sizeof(struct guest_sched_attr) == 56, "struct sched_attr");

#define SCHED_ATTR_MIN	48U

/* Whom a call is about: 0 the caller, else one of our threads */
static struct thread *
who(struct machine *m, struct thread *t, uint64_t pid)
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	return ((int32_t)pid == 0 ? t : thread_find(m, (int32_t)pid));
}

/* As the scheduler's calls check it: 0, -EINVAL or -ESRCH */
static int64_t
check_who(struct machine *m, struct thread *t, uint64_t pid)
{

	if ((int32_t)pid < 0)
		return (-EINVAL);
	return (who(m, t, pid) == NULL ? -ESRCH : 0);
}

int64_t
sys_sched_yield(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	m->resched = 1;
	return (0);
}

/* ---- affinity -------------------------------------------------------- */

int64_t
sys_sched_setaffinity(struct machine *m, struct thread *t,
    const uint64_t a[6])
{
	uint8_t first = 0;

	if (a[1] > 0 && as_read(m->as, a[2], &first, 1))
		return (-EFAULT);
	if (who(m, t, a[0]) == NULL)
		return (-ESRCH);
	return (first & 1 ? 0 : -EINVAL);
}

int64_t
sys_sched_getaffinity(struct machine *m, struct thread *t,
    const uint64_t a[6])
{
	static const uint64_t mask = 1;

	if ((uint32_t)a[1] < CPU_MASK_SIZE || a[1] % CPU_MASK_SIZE != 0)
		return (-EINVAL);
	if (who(m, t, a[0]) == NULL)
		return (-ESRCH);
	if (as_write(m->as, a[2], &mask, sizeof(mask)))
		return (-EFAULT);
	return (CPU_MASK_SIZE);
}

int64_t
sys_getcpu(struct machine *m, struct thread *t, const uint64_t a[6])
{
	static const uint32_t zero;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (a[0] != 0 && as_write(m->as, a[0], &zero, sizeof(zero)))
		return (-EFAULT);
	if (a[1] != 0 && as_write(m->as, a[1], &zero, sizeof(zero)))
		return (-EFAULT);
	return (0);
}

/* ---- policies -------------------------------------------------------- */

/* May this policy be chosen with this priority? */
static int64_t
check_policy(uint32_t policy, uint32_t priority)
{

	switch (policy & ~(uint32_t)SCHED_RESET_ON_FORK) {
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
		return (priority == 0 ? 0 : -EINVAL);
	case SCHED_FIFO:
	case SCHED_RR:
		return (priority >= 1 && priority <= 99 ? -EPERM : -EINVAL);
	default:
		return (-EINVAL);
	}
}

static int64_t
set_policy(struct machine *m, struct thread *t, uint64_t pid,
    uint32_t policy, uint64_t uparam)
{
	uint32_t priority;
	int64_t error;

	if (uparam == 0)
		return (-EINVAL);
	error = check_who(m, t, pid);
	if (error)
		return (error);
	if (as_read(m->as, uparam, &priority, sizeof(priority)))
		return (-EFAULT);
	error = check_policy(policy, priority);
	if (error == 0)
		m->proc.policy = (int32_t)policy;
	return (error);
}

int64_t
sys_sched_setscheduler(struct machine *m, struct thread *t,
    const uint64_t a[6])
{

	return (set_policy(m, t, a[0], (uint32_t)a[1], a[2]));
}

int64_t
sys_sched_getscheduler(struct machine *m, struct thread *t,
    const uint64_t a[6])
{
	int64_t error = check_who(m, t, a[0]);

	return (error ? error : m->proc.policy);
}

int64_t
sys_sched_setparam(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (set_policy(m, t, a[0], (uint32_t)m->proc.policy, a[1]));
}

int64_t
sys_sched_getparam(struct machine *m, struct thread *t, const uint64_t a[6])
{
	static const uint32_t zero;
	int64_t error;

	if (a[1] == 0)
		return (-EINVAL);
	error = check_who(m, t, a[0]);
	if (error)
		return (error);
	return (as_write(m->as, a[1], &zero, sizeof(zero)) ? -EFAULT : 0);
}

int64_t
sys_sched_setattr(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct guest_sched_attr sa;
	int64_t error;

	if (a[1] == 0 || (int32_t)a[2] != 0)
		return (-EINVAL);
	error = check_who(m, t, a[0]);
	if (error)
		return (error);
	memset(&sa, 0, sizeof(sa));
	if (as_read(m->as, a[1], &sa, SCHED_ATTR_MIN))
		return (-EFAULT);
	if (sa.size != 0 && sa.size < SCHED_ATTR_MIN)
		return (-E2BIG);
	if (sa.nice < m->proc.nice && sa.policy == SCHED_OTHER)
		return (-EPERM);
	error = check_policy(sa.policy, sa.priority);
	if (error == 0)
		m->proc.policy = (int32_t)sa.policy;
	return (error);
}

int64_t
sys_sched_getattr(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct guest_sched_attr sa;
	int64_t error;

	if (a[1] == 0 || (uint32_t)a[2] < SCHED_ATTR_MIN ||
	    (uint32_t)a[2] > PAGE_SZ || (uint32_t)a[3] != 0)
		return (-EINVAL);
	error = check_who(m, t, a[0]);
	if (error)
		return (error);
	memset(&sa, 0, sizeof(sa));
	sa.size = (uint32_t)a[2] < sizeof(sa) ? (uint32_t)a[2] : sizeof(sa);
	sa.policy = (uint32_t)m->proc.policy;
	sa.nice = m->proc.nice;
	return (as_write(m->as, a[1], &sa, sa.size) ? -EFAULT : 0);
}

static int64_t
priority_bound(uint64_t policy, int real_time)
{

	switch ((int32_t)policy) {
	case SCHED_FIFO:
	case SCHED_RR:
		return (real_time);
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
	case 6:			/* SCHED_DEADLINE */
		return (0);
	default:
		return (-EINVAL);
	}
}

int64_t
sys_sched_get_priority_max(struct machine *m, struct thread *t,
    const uint64_t a[6])
{

	(void)m;
	(void)t;
	return (priority_bound(a[0], 99));
}

int64_t
sys_sched_get_priority_min(struct machine *m, struct thread *t,
    const uint64_t a[6])
{

	(void)m;
	(void)t;
	return (priority_bound(a[0], 1));
}

int64_t
sys_sched_rr_get_interval(struct machine *m, struct thread *t,
    const uint64_t a[6])
{
	int64_t error = check_who(m, t, a[0]);

	return (error ? error : put_timespec(m, a[1], SLICE_NS));
}

/* ---- nice values ----------------------------------------------------- */

/* getpriority and its relatives: which = process, group or user */
static int64_t
check_which(struct machine *m, uint64_t which, uint64_t id)
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if ((uint32_t)which > PRIO_USER)
		return (-EINVAL);
	if ((int32_t)id == 0)
		return (0);
	if ((int32_t)which == PRIO_USER)
		return ((uint32_t)id == m->proc.uid ? 0 : -ESRCH);
	if (proc_is_self(m, (int32_t)id) ||
	    thread_find(m, (int32_t)id) != NULL)
		return (0);
	return (-ESRCH);
}

int64_t
sys_getpriority(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int64_t error = check_which(m, a[0], a[1]);

	(void)t;
	return (error ? error : 20 - m->proc.nice);
}

int64_t
sys_setpriority(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int32_t nice = (int32_t)a[2];
	int64_t error = check_which(m, a[0], a[1]);

	(void)t;
	if (error)
		return (error);
	if (nice < -20)
		nice = -20;
	if (nice > 19)
		nice = 19;
	if (nice < m->proc.nice)
		return (-EACCES);
	m->proc.nice = nice;
	return (0);
}

int64_t
sys_ioprio_get(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	/* Its `which` begins at 1 */
	return (check_which(m, a[0] - 1, a[1]));
}

int64_t
sys_ioprio_set(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	switch ((uint32_t)a[2] >> IOPRIO_CLASS_SHIFT) {
	case IOPRIO_CLASS_NONE:
	case IOPRIO_CLASS_BE:
	case IOPRIO_CLASS_IDLE:
		return (check_which(m, a[0] - 1, a[1]));
	case IOPRIO_CLASS_RT:
		return (-EPERM);
	default:
		return (-EINVAL);
	}
}

/* ---- membarrier ------------------------------------------------------ */

/* With one CPU there is nothing to order. */
#define MEMBARRIER_KNOWN						\
	(MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |	\
	MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |			\
	MEMBARRIER_CMD_PRIVATE_EXPEDITED |				\
	MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |			\
	MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |			\
	MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)

#define MEMBARRIER_REGISTER						\
	(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |			\
	MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |			\
	MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)
#define MEMBARRIER_PRIVATE						\
	(MEMBARRIER_CMD_PRIVATE_EXPEDITED |				\
	MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)

int64_t
sys_membarrier(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t cmd = (uint32_t)a[0];

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if ((uint32_t)a[1] != 0)
		return (-EINVAL);
	if (cmd == MEMBARRIER_CMD_QUERY)
		return (MEMBARRIER_KNOWN);
	if ((cmd & (cmd - 1)) != 0 || (cmd & MEMBARRIER_KNOWN) == 0)
		return (-EINVAL);
	if (cmd & MEMBARRIER_REGISTER) {
		m->proc.membarrier |= cmd;
		return (0);
	}
	/* The private ones follow their registration's bit. */
	if ((cmd & MEMBARRIER_PRIVATE) && !(m->proc.membarrier & cmd << 1))
		return (-EPERM);
	return (0);
}
