/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Clocks, sleeping and accounting of time.
 *
 * All waiting is by t->deadline on the guest's CLOCK_MONOTONIC: the host
 * thread never sleeps in here.
 */

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <time.h>

#include "linux/sys_proc.h"
#include "obj.h"

#define COARSE_NS	4000000UL	/* a tick at HZ=250 */
#define USER_HZ		100UL

_Static_assert(sizeof(struct timespec) == 16, "struct __kernel_timespec");
_Static_assert(sizeof(struct timeval) == 16, "struct __kernel_old_timeval");
_Static_assert(sizeof(struct rusage) == 144, "struct rusage");
_Static_assert(sizeof(struct tms) == 32, "struct tms");

/* ---- helpers --------------------------------------------------------- */

int64_t
get_timespec(struct machine *m, uint64_t uaddr, uint64_t *ns)
{
	struct timespec ts;

	if (as_read(m->as, uaddr, &ts, sizeof(ts)))
		return (-EFAULT);
	if (ts.tv_sec < 0 || (uint64_t)ts.tv_nsec >= NSEC)
		return (-EINVAL);
	if ((uint64_t)ts.tv_sec >= INT64_MAX / NSEC)
		*ns = UINT64_MAX;
	else
		*ns = (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
	return (0);
}

int64_t
put_timespec(struct machine *m, uint64_t uaddr, uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / NSEC),
		.tv_nsec = (long)(ns % NSEC),
	};

	return (as_write(m->as, uaddr, &ts, sizeof(ts)) ? -EFAULT : 0);
}

uint64_t
time_after(uint64_t now, uint64_t ns)
{
	uint64_t r;

	return (__builtin_add_overflow(now, ns, &r) ? UINT64_MAX : r);
}

uint64_t
time_real_to_mono(const struct machine *m, uint64_t real)
{
	uint64_t now = machine_real(m);

	if (real == UINT64_MAX)
		return (UINT64_MAX);
	return (real <= now ? 0 : time_after(machine_mono(m), real - now));
}

/* ---- clocks ---------------------------------------------------------- */

static int64_t
clock_read(struct machine *m, struct thread *t, int32_t clk, uint64_t *ns)
{

	if (cputime_is_clock(clk))
		return (cputime_read(m, t, clk, ns));
	switch (clk) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
		m->real_reads++;
		*ns = machine_real(m);
		return (0);
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ns = machine_mono(m);
		return (0);
	default:
		return (-EINVAL);
	}
}

int64_t
sys_clock_gettime(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t ns;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	error = clock_read(m, t, (int32_t)a[0], &ns);
	return (error ? error : put_timespec(m, a[1], ns));
}

/* The one clock that could be set is not ours to set. */
int64_t
sys_clock_settime(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t ns;
	int64_t error;

	(void)t;
	if ((int)a[0] != CLOCK_REALTIME)
		return (-EINVAL);
	error = get_timespec(m, a[1], &ns);
	return (error ? error : -EPERM);
}

/* Nor to adjust; it can be asked for, as a kernel without NTP answers. */
int64_t
sys_adjtimex(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct timex tx;
	uint64_t ns = machine_real(m);

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (as_read(m->as, a[0], &tx, sizeof(tx)))
		return (-EFAULT);
	if (tx.modes != 0 && tx.modes != ADJ_OFFSET_SS_READ)
		return (-EPERM);
	memset(&tx, 0, sizeof(tx));
	tx.status = STA_UNSYNC;
	tx.maxerror = tx.esterror = 16000000;
	tx.constant = 2;
	tx.precision = 1;
	tx.tolerance = 32768000;
	tx.tick = (long)(1000000 / USER_HZ);
	tx.time.tv_sec = (time_t)(ns / NSEC);
	tx.time.tv_usec = (suseconds_t)(ns % NSEC / 1000);
	return (as_write(m->as, a[0], &tx, sizeof(tx)) ? -EFAULT : TIME_ERROR);
}

int64_t
sys_clock_adjtime(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const uint64_t args[6] = { a[1] };

	switch ((int32_t)a[0]) {
	case CLOCK_REALTIME:
		return (sys_adjtimex(m, t, args));
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		return (-EOPNOTSUPP);
	default:
		return (-EINVAL);
	}
}

int64_t
sys_clock_getres(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int32_t clk = (int32_t)a[0];
	uint64_t ns;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	error = clock_read(m, t, clk, &ns);
	if (error || a[1] == 0)
		return (error);
	ns = clk == CLOCK_REALTIME_COARSE || clk == CLOCK_MONOTONIC_COARSE ?
	    COARSE_NS : 1;
	return (put_timespec(m, a[1], ns));
}

int64_t
sys_gettimeofday(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t ns = machine_real(m);
	struct timeval tv = {
		.tv_sec = (time_t)(ns / NSEC),
		.tv_usec = (suseconds_t)(ns % NSEC / 1000),
	};

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	m->real_reads++;
	if (a[0] != 0 && as_write(m->as, a[0], &tv, sizeof(tv)))
		return (-EFAULT);
	if (a[1] != 0 && as_zero(m->as, a[1], sizeof(struct timezone)))
		return (-EFAULT);
	return (0);
}

int64_t
sys_time(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int64_t now = (int64_t)(machine_real(m) / NSEC);

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	m->real_reads++;
	if (a[0] != 0 && as_write(m->as, a[0], &now, sizeof(now)))
		return (-EFAULT);
	return (now);
}

/* ---- sleeping -------------------------------------------------------- */

static int64_t
sleep_until_deadline(struct machine *m, struct thread *t)
{

	if (machine_mono(m) < t->deadline)
		return (SYS_BLOCK);
	/* A loop of sleeps that are over at once must let others run. */
	m->resched = 1;
	return (0);
}

int64_t
sys_nanosleep(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t ns;
	int64_t error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (!t->restart) {
		error = get_timespec(m, a[0], &ns);
		if (error)
			return (error);
		t->deadline = time_after(machine_mono(m), ns);
	}
	return (sleep_until_deadline(m, t));
}

/* Which clocks can be slept on, as the kernel has it */
static int64_t
sleep_clock(int32_t clk, int *real)
{

	*real = 0;
	switch (clk) {
	case CLOCK_REALTIME:
	case CLOCK_TAI:
		*real = 1;
		return (0);
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
		return (0);
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return (-EPERM);
	case CLOCK_THREAD_CPUTIME_ID:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
		return (-EOPNOTSUPP);
	default:
		return (-EINVAL);
	}
}

int64_t
sys_clock_nanosleep(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t ns;
	int64_t error;
	int real;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	/* Linux does not sleep on the time of the caller alone. */
	if (cputime_is_clock((int32_t)a[0]) &&
	    (int32_t)a[0] != CLOCK_THREAD_CPUTIME_ID)
		return (cputime_sleep(m, t, a));
	if (!t->restart) {
		error = sleep_clock((int32_t)a[0], &real);
		if (error == 0)
			error = get_timespec(m, a[2], &ns);
		if (error)
			return (error);
		if (!((int)a[1] & TIMER_ABSTIME))
			t->deadline = time_after(machine_mono(m), ns);
		else if (real)
			t->deadline = time_real_to_mono(m, ns);
		else
			t->deadline = ns;
	}
	return (sleep_until_deadline(m, t));
}

void
time_sleep_interrupted(struct machine *m, struct thread *t)
{
	uint64_t left, urem = 0;

	if (t->nr == SYS_nanosleep)
		urem = t->a[1];
	else if (t->nr == SYS_clock_nanosleep &&
	    !((int)t->a[1] & TIMER_ABSTIME))
		urem = t->a[3];
	if (urem == 0)
		return;
	left = machine_mono(m);
	left = t->deadline > left ? t->deadline - left : 0;
	if (t->nr == SYS_clock_nanosleep && cputime_is_clock((int32_t)t->a[0]))
		left = cputime_sleep_left(m, t);
	if (left == 0)
		t->regs.rax = 0;	/* it was over */
	else if (put_timespec(m, urem, left))
		t->regs.rax = (uint64_t)-EFAULT;
}

/* ---- accounting ------------------------------------------------------ */

int64_t
sys_times(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct tms b = { .tms_utime =
	    (clock_t)(cputime_process(m) / (NSEC / USER_HZ)) };

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (a[0] != 0 && as_write(m->as, a[0], &b, sizeof(b)))
		return (-EFAULT);
	return ((int64_t)(machine_mono(m) / (NSEC / USER_HZ)));
}

int64_t
sys_getrusage(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct rusage ru;
	uint64_t ns = 0;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	memset(&ru, 0, sizeof(ru));
	switch ((int32_t)a[0]) {
	case RUSAGE_SELF:
		ns = cputime_process(m);
		break;
	case RUSAGE_THREAD:
		ns = t->cpu_ns;
		break;
	case RUSAGE_CHILDREN:
		break;
	default:
		return (-EINVAL);
	}
	ru.ru_utime.tv_sec = (time_t)(ns / NSEC);
	ru.ru_utime.tv_usec = (suseconds_t)(ns % NSEC / 1000);
	if ((int32_t)a[0] != RUSAGE_CHILDREN)
		ru.ru_maxrss = (long)(as_rss(m->as) / 1024);
	return (as_write(m->as, a[1], &ru, sizeof(ru)) ? -EFAULT : 0);
}
