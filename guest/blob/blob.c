/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The system calls answered inside the guest: clocks, ids, arch_prctl.
 *
 * Runs in ring 0 on hardware, where it could be talked into writing kernel
 * memory: every pointer of the program is checked to lie in its half first.
 * A store that faults is retried by the VMM or ends in blob_efault.
 */

#include "layout.h"
#include "vclock.h"

#define NOTMINE		(-0x7777L)
#define EFAULT_		14
#define EINVAL_		22

#define ARCH_SET_FS	0x1002
#define ARCH_GET_FS	0x1003

#define NR_sched_yield		24
#define NR_getpid		39
#define NR_gettimeofday		96
#define NR_getuid		102
#define NR_getgid		104
#define NR_geteuid		107
#define NR_getegid		108
#define NR_getppid		110
#define NR_arch_prctl		158
#define NR_gettid		186
#define NR_time			201
#define NR_clock_gettime	228

static int
user_ok(uint64_t p, uint64_t len)
{

	return (p >= GVA_USER_MIN && p <= GVA_USER_END - len);
}

static void
put_user(uint64_t p, uint64_t v)
{

	__asm__ volatile("movq %1, (%0)" : : "r"(p), "r"(v) : "memory");
}

static long
do_clock_gettime(uint64_t id, uint64_t p)
{
	uint64_t ns;

	if (!vclock_read(id, &ns))
		return (NOTMINE);
	if (!user_ok(p, 16))
		return (-EFAULT_);
	put_user(p, ns / 1000000000);
	put_user(p + 8, ns % 1000000000);
	return (0);
}

static long
do_gettimeofday(uint64_t tv, uint64_t tz)
{
	uint64_t ns;

	if (tz != 0 || tv == 0 || !vclock_read(0, &ns))
		return (NOTMINE);
	if (!user_ok(tv, 16))
		return (-EFAULT_);
	put_user(tv, ns / 1000000000);
	put_user(tv + 8, ns % 1000000000 / 1000);
	return (0);
}

static long
do_time(uint64_t p)
{
	uint64_t ns;

	if (!vclock_read(0, &ns))
		return (NOTMINE);
	ns /= 1000000000;
	if (p != 0) {
		if (!user_ok(p, 8))
			return (-EFAULT_);
		put_user(p, ns);
	}
	return ((long)ns);
}

static long
do_arch_prctl(uint64_t op, uint64_t a)
{
	uint64_t v;

	switch (op) {
	case ARCH_SET_FS:
		if (a >= GVA_USER_END)
			return (NOTMINE);
		__asm__ volatile("wrfsbase %0" : : "r"(a));
		return (0);
	case ARCH_GET_FS:
		if (!user_ok(a, 8))
			return (-EFAULT_);
		__asm__ volatile("rdfsbase %0" : "=r"(v));
		put_user(a, v);
		return (0);
	default:
		return (NOTMINE);
	}
}

long blob_call(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2);

__attribute__((used)) long
blob_call(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	const volatile struct gk_vvar *v = VVAR;

	(void)a2;
	switch (nr) {
	case NR_clock_gettime:
		return (do_clock_gettime(a0, a1));
	case NR_gettimeofday:
		return (do_gettimeofday(a0, a1));
	case NR_time:
		return (do_time(a0));
	case NR_arch_prctl:
		return (do_arch_prctl(a0, a1));
	case NR_getpid:
		return (v->pid);
	case NR_gettid:
		return (v->tid);
	case NR_getppid:
		return (v->ppid);
	case NR_getuid:
	case NR_geteuid:
		return (v->uid);
	case NR_getgid:
	case NR_getegid:
		return (v->gid);
	case NR_sched_yield:
		return (v->nthreads > 1 ? NOTMINE : 0);
	default:
		return (NOTMINE);
	}
}
