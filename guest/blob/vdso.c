/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The vDSO: clocks without entering the blob.  vdso(7)
 */

#include "layout.h"
#include "vclock.h"

struct vdso_ts {
	int64_t	sec, frac;
};

static long
call2(long nr, long a, long b)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "0"(nr), "D"(a), "S"(b) :
	    "rcx", "r11", "memory");
	return (r);
}

int __vdso_clock_gettime(int id, struct vdso_ts *t);
int __vdso_clock_getres(int id, struct vdso_ts *t);
int __vdso_gettimeofday(struct vdso_ts *tv, void *tz);
long __vdso_time(long *t);
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

int
__vdso_clock_gettime(int id, struct vdso_ts *t)
{
	uint64_t ns;

	if (id < 0 || !vclock_read((uint64_t)id, &ns))
		return ((int)call2(228, id, (long)t));
	t->sec = (int64_t)(ns / 1000000000);
	t->frac = (int64_t)(ns % 1000000000);
	return (0);
}

int
__vdso_clock_getres(int id, struct vdso_ts *t)
{

	return ((int)call2(229, id, (long)t));
}

int
__vdso_gettimeofday(struct vdso_ts *tv, void *tz)
{
	uint64_t ns;

	if (tz != (void *)0 || tv == (void *)0 || !vclock_read(0, &ns))
		return ((int)call2(96, (long)tv, (long)tz));
	tv->sec = (int64_t)(ns / 1000000000);
	tv->frac = (int64_t)(ns % 1000000000 / 1000);
	return (0);
}

long
__vdso_time(long *t)
{
	uint64_t ns;

	if (!vclock_read(0, &ns))
		return (call2(201, (long)t, 0));
	ns /= 1000000000;
	if (t != (void *)0)
		*t = (long)ns;
	return ((long)ns);
}

long
__vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{

	(void)unused;
	if (cpu != (void *)0)
		*cpu = 0;
	if (node != (void *)0)
		*node = 0;
	return (0);
}
