/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The machine's name and size, limits, randomness; and the calls that have
 * one answer for everybody (SYS_FIXED).
 */

#include <errno.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "conf/options.h"
#include "gk.h"
#include "linux/sys_files.h"
#include "linux/sys_proc.h"
#include "obj.h"

#define STACK_SOFT	(8UL << 20)
#define RANDOM_MAX	33554431UL	/* what one read gives, random(4) */
#define RANDOM_STEP	(1UL << 20)

_Static_assert(sizeof(struct utsname) == 6 * 65, "struct new_utsname");
_Static_assert(sizeof(struct sysinfo) == 112, "struct sysinfo");
_Static_assert(sizeof(struct rlimit64) == 16, "struct rlimit64");
_Static_assert(sizeof(((struct proc *)0)->rlim) == RLIM_NLIMITS * 16, "rlim");

#define SYS_FIXED_DEF(name, value)					\
int64_t									\
sys_##name(struct machine *m, struct thread *t, const uint64_t a[6])	\
{									\
									\
	(void)m;							\
	(void)t;							\
	(void)a;							\
	return (value);							\
}
SYS_FIXED(SYS_FIXED_DEF)

int64_t
sys_uname(struct machine *m, struct thread *t, const uint64_t a[6])
{
	static const struct utsname u = {
		.sysname = "Linux",
		.nodename = GUEST_HOSTNAME,
		.release = GUEST_RELEASE,
		.version = GUEST_VERSION,
		.machine = "x86_64",
		.domainname = "(none)",
	};

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	return (as_write(m->as, a[0], &u, sizeof(u)) ? -EFAULT : 0);
}

int64_t
sys_sysinfo(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct sysinfo si;
	uint64_t rss;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	memset(&si, 0, sizeof(si));
	rss = as_rss(m->as);
	si.uptime = (long)(machine_mono(m) / NSEC);
	si.totalram = (unsigned long)m->opt->max_main_memory << 20;
	si.freeram = si.totalram > rss ? si.totalram - rss : 0;
	si.procs = (unsigned short)m->proc.nthreads;
	si.mem_unit = 1;
	return (as_write(m->as, a[0], &si, sizeof(si)) ? -EFAULT : 0);
}

/* ---- limits ---------------------------------------------------------- */

void
proc_init_limits(struct machine *m)
{
	struct proc *p = &m->proc;
	unsigned u;

	for (u = 0; u < RLIM_NLIMITS; u++)
		p->rlim[u][0] = p->rlim[u][1] = UINT64_MAX;
	p->rlim[RLIMIT_STACK][0] = STACK_SOFT;
	p->rlim[RLIMIT_CORE][0] = 0;
	p->rlim[RLIMIT_NOFILE][0] = p->rlim[RLIMIT_NOFILE][1] =
	    m->opt->max_descriptors;
	p->rlim[RLIMIT_NPROC][0] = p->rlim[RLIMIT_NPROC][1] =
	    m->opt->max_threads;
	p->rlim[RLIMIT_SIGPENDING][0] = p->rlim[RLIMIT_SIGPENDING][1] =
	    MAX_SIGQ;
	p->rlim[RLIMIT_MEMLOCK][0] = p->rlim[RLIMIT_MEMLOCK][1] = 8UL << 20;
	p->rlim[RLIMIT_MSGQUEUE][0] = p->rlim[RLIMIT_MSGQUEUE][1] = 819200;
	p->rlim[RLIMIT_NICE][0] = p->rlim[RLIMIT_NICE][1] = 0;
	p->rlim[RLIMIT_RTPRIO][0] = p->rlim[RLIMIT_RTPRIO][1] = 0;
}

static int64_t
limit_set(struct machine *m, uint32_t res, const uint64_t new[2])
{
	uint64_t *lim = m->proc.rlim[res];

	if (new[0] > new[1])
		return (-EINVAL);
	if (new[1] > lim[1])
		return (-EPERM);
	lim[0] = new[0];
	lim[1] = new[1];
	if (res == RLIMIT_NOFILE)
		m->gk->fd_max = (uint32_t)(lim[0] < GK_NFD ? lim[0] : GK_NFD);
	if (res == RLIMIT_CPU) {
		if (lim[0] == 0)	/* at least that, Linux says */
			lim[0] = 1;
		m->proc.cpu_timed = 1;
	}
	return (0);
}

static int64_t
limits(struct machine *m, uint32_t res, uint64_t unew, uint64_t uold)
{
	uint64_t new[2], old[2];
	int64_t error;

	if (unew != 0 && as_read(m->as, unew, new, sizeof(new)))
		return (-EFAULT);
	if (res >= RLIM_NLIMITS)
		return (-EINVAL);
	memcpy(old, m->proc.rlim[res], sizeof(old));
	if (unew != 0) {
		error = limit_set(m, res, new);
		if (error)
			return (error);
	}
	if (uold != 0 && as_write(m->as, uold, old, sizeof(old)))
		return (-EFAULT);
	return (0);
}

int64_t
sys_getrlimit(struct machine *m, struct thread *t, const uint64_t a[6])
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if ((uint32_t)a[0] < RLIM_NLIMITS && a[1] == 0)
		return (-EFAULT);
	return (limits(m, (uint32_t)a[0], 0, a[1]));
}

int64_t
sys_setrlimit(struct machine *m, struct thread *t, const uint64_t a[6])
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (a[1] == 0)
		return (-EFAULT);
	return (limits(m, (uint32_t)a[0], a[1], 0));
}

int64_t
sys_prlimit64(struct machine *m, struct thread *t, const uint64_t a[6])
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if ((int32_t)a[0] != 0 && thread_find(m, (int32_t)a[0]) == NULL &&
	    !proc_is_self(m, (int32_t)a[0]))
		return (-ESRCH);
	return (limits(m, (uint32_t)a[1], a[2], a[3]));
}

/* ---- randomness ------------------------------------------------------ */

/*
 * Fill host views: how many bytes, fewer than they hold after a signal on the
 * host (the watchdog's kick); -errno if there is no randomness.
 */
static ssize_t
fill_views(const struct iovec *iov, unsigned n)
{
	ssize_t r, done = 0;
	unsigned u;

	for (u = 0; u < n; u++) {
		r = getrandom(iov[u].iov_base, iov[u].iov_len, 0);
		if (r < 0)
			return (done > 0 || errno == EINTR ? done : -errno);
		done += r;
		if ((size_t)r < iov[u].iov_len)
			break;
	}
	return (done);
}

/* More for the blob, which answers the next ones */
static void
refill(struct machine *m)
{
	uint8_t rnd[GK_NRND];

	m->draws = 1;
	if (getrandom(rnd, sizeof rnd, 0) != sizeof rnd)
		return;
	memcpy(m->gk->rnd, rnd, sizeof rnd);
	m->gk->nrnd = sizeof rnd;
	explicit_bzero(rnd, sizeof rnd);
}

int64_t
sys_getrandom(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct iovec iov[16];
	size_t want = a[1], done = 0;
	unsigned niov, flags = (unsigned)a[2];
	ssize_t r, n;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
	    (flags & (GRND_RANDOM | GRND_INSECURE)) ==
	    (GRND_RANDOM | GRND_INSECURE))
		return (-EINVAL);
	if (want > RANDOM_MAX)
		want = RANDOM_MAX;
	while (done < want) {
		niov = NELEM(iov);
		r = as_iov(m->as, a[0] + done, want - done < RANDOM_STEP ?
		    want - done : RANDOM_STEP, AS_W, iov, &niov);
		if (r <= 0)
			return (done > 0 ? (int64_t)done : -EFAULT);
		n = fill_views(iov, niov);
		if (n < 0)
			return (n);
		/* A kick is no signal of the program's: on with it */
		done += (size_t)n;
	}
	if (want <= GK_NRND)
		refill(m);
	return ((int64_t)done);
}
