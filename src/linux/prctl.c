/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * arch_prctl(2), prctl(2), capabilities and personality(2).
 */

#include <asm/prctl.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>

#include "layout.h"
#include "linux/sys_proc.h"
#include "obj.h"

#define TIMER_SLACK_NS	50000

/* ---- segment bases --------------------------------------------------- */

int64_t
sys_arch_prctl(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t *base;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	switch ((int32_t)a[0]) {
	case ARCH_SET_FS:
	case ARCH_GET_FS:
		base = &t->fs_base;
		break;
	case ARCH_SET_GS:
	case ARCH_GET_GS:
		base = &t->gs_base;
		break;
	default:
		return (-EINVAL);
	}
	if ((int32_t)a[0] == ARCH_GET_FS || (int32_t)a[0] == ARCH_GET_GS)
		return (as_write(m->as, a[1], base, sizeof(*base)) ?
		    -EFAULT : 0);
	if (a[1] >= GVA_USER_END)
		return (-EPERM);
	*base = a[1];
	return (0);
}

/* ---- prctl ----------------------------------------------------------- */

static int64_t
set_name(struct machine *m, struct thread *t, uint64_t uname)
{
	char name[sizeof(t->comm)];
	int r;

	memset(name, 0, sizeof(name));
	r = as_strncpy(m->as, name, uname, sizeof(name));
	/* Longer names are cut */
	if (r == -ENAMETOOLONG)
		r = as_read(m->as, uname, name, sizeof(name) - 1);
	if (r < 0)
		return (-EFAULT);
	name[sizeof(name) - 1] = '\0';
	memcpy(t->comm, name, sizeof(name));
	return (0);
}

static int64_t
put_int(struct machine *m, uint64_t uaddr, int32_t v)
{

	return (as_write(m->as, uaddr, &v, sizeof(v)) ? -EFAULT : 0);
}

static int64_t
set_flag(int32_t *flag, const uint64_t a[6], int allowed)
{

	if (!allowed || a[2] != 0 || a[3] != 0 || a[4] != 0)
		return (-EINVAL);
	*flag = (int32_t)a[1];
	return (0);
}

static int64_t
capability_bound(uint64_t cap, int64_t answer)
{

	return (cap > CAP_LAST_CAP ? -EINVAL : answer);
}

/* Those that only tell or keep nothing */
static int64_t
prctl_plain(struct machine *m, const uint64_t a[6])
{

	switch ((int32_t)a[0]) {
	case PR_GET_KEEPCAPS:
	case PR_GET_TIMING:
	case PR_GET_SECCOMP:
	case PR_GET_SECUREBITS:
	case PR_GET_THP_DISABLE:
	case PR_SET_THP_DISABLE:
	case PR_SET_TIMERSLACK:
	case PR_SET_PTRACER:
	case PR_SET_CHILD_SUBREAPER:
	case PR_TASK_PERF_EVENTS_DISABLE:
	case PR_TASK_PERF_EVENTS_ENABLE:
		return (0);
	case PR_GET_TIMERSLACK:
		return (TIMER_SLACK_NS);
	case PR_SET_KEEPCAPS:
		return (a[1] > 1 ? -EINVAL : 0);
	case PR_GET_CHILD_SUBREAPER:
		return (put_int(m, a[1], 0));
	case PR_GET_TSC:
		return (put_int(m, a[1], PR_TSC_ENABLE));
	case PR_SET_TSC:
		return (a[1] == PR_TSC_ENABLE ? 0 : -EINVAL);
	case PR_CAPBSET_READ:
		return (capability_bound(a[1], 0));
	case PR_CAPBSET_DROP:
		return (capability_bound(a[1], -EPERM));
	case PR_SET_MM:
	case PR_SET_SECUREBITS:
		return (-EPERM);
	case PR_SET_VMA:
		/* The names of anonymous memory are shown nowhere. */
		return (a[1] == PR_SET_VMA_ANON_NAME ? 0 : -EINVAL);
	case PR_CAP_AMBIENT:
		if (a[1] == PR_CAP_AMBIENT_CLEAR_ALL)
			return (0);
		return (capability_bound(a[2],
		    a[1] == PR_CAP_AMBIENT_RAISE ? -EPERM : 0));
	default:
		return (-EINVAL);
	}
}

int64_t
sys_prctl(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct proc *p = &m->proc;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	switch ((int32_t)a[0]) {
	case PR_SET_NAME:
		return (set_name(m, t, a[1]));
	case PR_GET_NAME:
		return (as_write(m->as, a[1], t->comm, sizeof(t->comm)) ?
		    -EFAULT : 0);
	case PR_GET_DUMPABLE:
		return (p->dumpable);
	case PR_SET_DUMPABLE:
		if (a[1] > 1)
			return (-EINVAL);
		p->dumpable = (int32_t)a[1];
		return (0);
	case PR_SET_PDEATHSIG:
		if (a[1] > NSIG_GUEST)
			return (-EINVAL);
		p->pdeathsig = (int32_t)a[1];
		return (0);
	case PR_GET_PDEATHSIG:
		return (put_int(m, a[1], p->pdeathsig));
	case PR_GET_NO_NEW_PRIVS:
		if (a[1] != 0 || a[2] != 0 || a[3] != 0 || a[4] != 0)
			return (-EINVAL);
		return (p->no_new_privs);
	case PR_SET_NO_NEW_PRIVS:
		return (set_flag(&p->no_new_privs, a, a[1] == 1));
	default:
		return (prctl_plain(m, a));
	}
}

/* ---- capabilities: none ---------------------------------------------- */

/* Words of data by version; 0 after telling the version we speak */
static int64_t
cap_words(struct machine *m, struct thread *t, const uint64_t a[6],
    unsigned *words)
{
	struct __user_cap_header_struct hdr;
	static const uint32_t ours = _LINUX_CAPABILITY_VERSION_3;

	*words = 0;
	if (as_read(m->as, a[0], &hdr, sizeof(hdr)))
		return (-EFAULT);
	switch (hdr.version) {
	case _LINUX_CAPABILITY_VERSION_1:
		*words = _LINUX_CAPABILITY_U32S_1;
		break;
	case _LINUX_CAPABILITY_VERSION_2:
	case _LINUX_CAPABILITY_VERSION_3:
		*words = _LINUX_CAPABILITY_U32S_3;
		break;
	default:
		if (as_write(m->as, a[0], &ours, sizeof(ours)))
			return (-EFAULT);
		return (-EINVAL);
	}
	if (hdr.pid < 0)
		return (-EINVAL);
	if (hdr.pid != 0 && hdr.pid != t->tid &&
	    thread_find(m, hdr.pid) == NULL)
		return (-ESRCH);
	return (0);
}

int64_t
sys_capget(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	unsigned words;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	error = cap_words(m, t, a, &words);
	/* Asking for the version alone is no error */
	if (a[1] == 0)
		return (error == -EINVAL && words == 0 ? 0 : error);
	if (error)
		return (error);
	memset(data, 0, sizeof(data));
	return (as_write(m->as, a[1], data, words * sizeof(*data)) ?
	    -EFAULT : 0);
}

int64_t
sys_capset(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	unsigned u, words;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	error = cap_words(m, t, a, &words);
	if (error)
		return (error);
	if (as_read(m->as, a[1], data, words * sizeof(*data)))
		return (-EFAULT);
	for (u = 0; u < words; u++)
		if (data[u].effective != 0 || data[u].permitted != 0)
			return (-EPERM);
	return (0);
}

int64_t
sys_personality(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)t;
	/* PER_LINUX, or "tell" */
	if ((uint32_t)a[0] != 0 && (uint32_t)a[0] != UINT32_MAX)
		return (-EINVAL);
	return (0);
}
