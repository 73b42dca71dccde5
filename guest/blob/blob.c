/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The system calls answered inside the guest: clocks, ids, getrandom, arch_prctl,
 * signal mask and end of the heap in the simple cases, and what the in-memory
 * kernel (guest/gk_*.c) can do without the VMM.
 *
 * Runs in ring 0 on hardware, where it could be talked into writing kernel
 * memory: every pointer of the program is checked to lie in its half first,
 * and followed by blob_copy() only.
 */

#include "gk.h"
#include "gk_abi.h"
#include "threads.h"
#include "vclock.h"

#define ARCH_SET_FS	0x1002
#define ARCH_GET_FS	0x1003

#define NR_brk			12
#define NR_rt_sigprocmask	14
#define NR_sched_yield		24
#define NR_madvise		28
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
#define NR_futex		202
#define NR_clock_gettime	228
#define NR_getrandom		318

int blob_copy(void *dst, const void *src, size_t len);	/* blob.S */

/* ---- the program's memory ------------------------------------------------------ */

static int
user_ok(uint64_t p, uint64_t len)
{

	return (len <= GVA_USER_END && p >= GVA_USER_MIN &&
	    p <= GVA_USER_END - len);
}

int
gk_copyin(struct gk_ctx *ctx, void *dst, uint64_t ua, size_t len)
{

	(void)ctx;
	if (!user_ok(ua, len))
		return (-GKA_EFAULT);
	return (blob_copy(dst, (const void *)ua, len));
}

int
gk_copyout(struct gk_ctx *ctx, uint64_t ua, const void *src, size_t len)
{

	(void)ctx;
	if (!user_ok(ua, len))
		return (-GKA_EFAULT);
	return (blob_copy((void *)ua, src, len));
}

/* ---- clocks and bases ---------------------------------------------------------- */

static long
do_clock_gettime(uint64_t id, uint64_t p)
{
	uint64_t ns, ts[2];

	if (!vclock_read(id, &ns))
		return (GK_NOTMINE);
	ts[0] = ns / 1000000000;
	ts[1] = ns % 1000000000;
	return (gk_copyout(NULL, p, ts, sizeof(ts)));
}

static long
do_gettimeofday(uint64_t p, uint64_t tz)
{
	uint64_t ns, tv[2];

	if (tz != 0 || p == 0 || !vclock_read(0, &ns))
		return (GK_NOTMINE);
	tv[0] = ns / 1000000000;
	tv[1] = ns % 1000000000 / 1000;
	return (gk_copyout(NULL, p, tv, sizeof(tv)));
}

static long
do_time(uint64_t p)
{
	uint64_t ns;

	if (!vclock_read(0, &ns))
		return (GK_NOTMINE);
	ns /= 1000000000;
	if (p != 0 && gk_copyout(NULL, p, &ns, sizeof(ns)))
		return (-GKA_EFAULT);
	return ((long)ns);
}

static long
do_arch_prctl(uint64_t op, uint64_t a)
{
	uint64_t v;

	switch (op) {
	case ARCH_SET_FS:
		if (a >= GVA_USER_END)
			return (GK_NOTMINE);
		__asm__ volatile("wrfsbase %0" : : "r"(a));
		return (0);
	case ARCH_GET_FS:
		__asm__ volatile("rdfsbase %0" : "=r"(v));
		return (gk_copyout(NULL, a, &v, sizeof(v)));
	default:
		return (GK_NOTMINE);
	}
}

/*
 * The process id differs in every request, which tells cryptographic code to
 * reseed.  asyncio before Python 3.12 takes that for a fork(2) and forgets its
 * event loop: it gets the old one, and so does libev (keep_pid() in boot.c).
 * libc's getpid() keeps nothing on the stack, so the caller is on top of it.
 */
extern uint64_t user_rsp;

static long
do_getpid(const volatile struct gk_vvar *v)
{
	uint64_t caller;
	unsigned i;

	if (v->frozen_pid == 0 ||
	    gk_copyin(NULL, &caller, user_rsp, sizeof(caller)))
		return (v->pid);
	for (i = 0; i < GK_NFROZEN; i++)
		if (caller >= v->frozen[i].lo && caller < v->frozen[i].hi)
			return (v->frozen_pid);
	return (v->pid);
}

/* ---- the in-memory kernel ------------------------------------------------------- */

/* A wait with another signal mask: the mask is the VMM's. */
static int
sets_mask(uint64_t nr, const uint64_t a[6])
{
	uint64_t p;

	switch (nr) {
	case GKA_SYS_ppoll:
		return (a[3] != 0);
	case GKA_SYS_pselect6:		/* { mask, size } */
		p = 0;
		return (a[5] != 0 && (gk_copyin(NULL, &p, a[5], sizeof(p)) ||
		    p != 0));
	case GKA_SYS_epoll_pwait:
	case GKA_SYS_epoll_pwait2:
		return (a[4] != 0);
	default:
		return (0);
	}
}

/* Bits of an answer's `leave`, known to the entry code */
#define LEAVE_OUT	1		/* the VMM wants to look */
#define LEAVE_CHANGE	2		/* another thread goes on */

static long
do_gk(uint64_t nr, const uint64_t a[6], uint64_t *leave)
{
	const volatile struct gk_vvar *v = VVAR;
	struct gk_ctx c;
	int64_t r;

	if (!v->inside || sets_mask(nr, a))
		return (GK_NOTMINE);
	c.gk = (void *)GVA_GK;
	c.priv = NULL;
	if (!vclock_read(0, &c.now_real) || !vclock_read(1, &c.now_mono))
		return (GK_NOTMINE);
	c.restart = 0;
	c.pid = v->pid;
	c.uid = v->uid;
	c.gid = v->gid;
	c.host_poll = NULL;
	c.host_release = NULL;
	c.mark = NULL;
	r = gk_syscall(&c, nr, a);
	if (r == GK_BLOCK) {
		if (!thr_block(c.gk, nr))
			return (GK_NOTMINE);	/* the VMM tries, and waits */
		*leave = LEAVE_CHANGE;
		return (0);
	}
	*leave |= c.news ? LEAVE_OUT : 0;
	return (r);
}

/* ---- advice ------------------------------------------------------------------------ */

/*
 * Advice that changes nothing here (NORMAL to WILLNEED, FREE, DONTFORK, DOFORK,
 * HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP): all there is to say is whether the
 * range is mapped.
 */
#define IDLE_ADVICE	0x3cd0fUL

static long
do_madvise(uint64_t addr, uint64_t len, uint64_t advice)
{
	const volatile struct gk_vvar *v = VVAR;

	if (!v->inside || advice > 63 || !(IDLE_ADVICE >> advice & 1) ||
	    addr % 4096 != 0 || len == 0 || addr < v->map_lo ||
	    addr >= v->map_hi || len > v->map_hi - addr)
		return (GK_NOTMINE);
	return (0);
}

/* ---- signal mask, heap ------------------------------------------------------------ */

#define SIGSET_SIZE		8
#define SIG_UNBLOCKABLE		(1UL << 8 | 1UL << 18)

/* No signal waits, so none becomes due. */
static long
do_sigprocmask(const uint64_t a[6])
{
	struct gk *gk = (void *)GVA_GK;
	uint64_t set, old = gk->sigmask;

	if (!VVAR->inside || !gk->sig_quiet || thr_on() ||
	    a[3] != SIGSET_SIZE || (a[1] != 0 && (uint32_t)a[0] > 2))
		return (GK_NOTMINE);
	if (a[1] != 0) {
		if (gk_copyin(NULL, &set, a[1], sizeof(set)))
			return (-GKA_EFAULT);
		if ((uint32_t)a[0] == 0)		/* SIG_BLOCK */
			set |= old;
		else if ((uint32_t)a[0] == 1)		/* SIG_UNBLOCK */
			set = old & ~set;
		gk->sigmask = set & ~SIG_UNBLOCKABLE;
	}
	if (a[2] != 0)
		return (gk_copyout(NULL, a[2], &old, sizeof(old)));
	return (0);
}

/* The page where the heap ends is there. */
static long
do_brk(uint64_t want)
{
	struct gk *gk = (void *)GVA_GK;
	const uint64_t end = (gk->brk + 4095) & ~4095UL;

	if (!VVAR->inside)
		return (GK_NOTMINE);
	if (want < gk->brk_start)
		return ((long)gk->brk);
	if (want > end || end - want >= 4096)
		return (GK_NOTMINE);
	gk->brk = want;
	return ((long)want);
}

/* ---- randomness ------------------------------------------------------------------- */

#define GRND_ANY	3		/* GRND_NONBLOCK, GRND_RANDOM: the same here */

/* From what the VMM has put there, once; it answers what does not fit. */
static long
do_getrandom(uint64_t p, uint64_t len, uint64_t flags)
{
	struct gk *gk = (void *)GVA_GK;
	uint32_t i, n = gk->nrnd;
	int r;

	if (!VVAR->inside || ((uint32_t)flags & ~GRND_ANY) != 0 ||
	    n > GK_NRND || len == 0 || len > n)
		return (GK_NOTMINE);
	gk->nrnd = n - (uint32_t)len;
	r = gk_copyout(NULL, p, gk->rnd + gk->nrnd, len);
	for (i = gk->nrnd; i < n; i++)
		gk->rnd[i] = 0;
	return (r == 0 ? (long)len : GK_NOTMINE);	/* a part may fit */
}

/* ---- futexes ---------------------------------------------------------------------- */

#define FUTEX_WAIT_		0
#define FUTEX_WAKE_		1
#define FUTEX_WAIT_BITSET_	9
#define FUTEX_WAKE_BITSET_	10
#define FUTEX_CMD		0x7fU
#define FUTEX_PRIVATE		0x80U	/* others: the page matters */
#define FUTEX_REALTIME		0x100U	/* of a time-out that is not given */

/* The first in vvar.fwait[] that nobody has woken; nfwait: none */
static uint32_t
fwait_first(uint64_t addr, uint32_t bits)
{
	const volatile struct gk_vvar *v = VVAR;
	const struct gk *gk = (void *)GVA_GK;
	uint32_t i;

	for (i = 0; i < v->nfwait; i++)
		if (v->fwait[i].addr == addr && (v->fwait[i].bits & bits) &&
		    !(gk->fwait_taken[i / 64] & (1UL << (i % 64))))
			break;
	return (i);
}

/*
 * Waking needs no exit: there is one vCPU, so who is woken runs when the caller
 * waits itself or its time is up.  Those that the VMM knows of are woken by it,
 * at the next exit.
 */
static long
futex_wake(uint64_t addr, uint32_t max, uint32_t bits)
{
	const volatile struct gk_vvar *v = VVAR;
	struct gk *gk = (void *)GVA_GK;
	uint32_t i, t, n, later = 0, nw = gk->nwake;
	uint64_t seq;

	if (v->nfwait > GK_NFWAIT || nw >= GK_NWAKE)
		return (GK_NOTMINE);
	for (n = 0; n < max; n++) {
		i = fwait_first(addr, bits);
		t = thr_first_waiter(addr, bits, &seq);
		if (i < v->nfwait && v->fwait[i].seq < seq) {
			gk->fwait_taken[i / 64] |= 1UL << (i % 64);
			later++;
		} else if (t < GK_NTHR)
			thr_wake(t);
		else
			break;
	}
	if (n == 0)
		return (0);
	gk->gen++;
	if (later == 0)
		return (n);
	gk->wake[nw].addr = addr;
	gk->wake[nw].n = later;
	gk->wake[nw].bits = bits;
	gk->nwake = nw + 1;
	return (n);
}

static long
futex_wait(const uint64_t a[6], uint32_t bits, uint64_t *leave)
{
	uint32_t word;

	if (a[3] != 0 || bits == 0 || !thr_on())
		return (GK_NOTMINE);
	if (blob_copy(&word, (const void *)a[0], sizeof(word)))
		return (-GKA_EFAULT);
	if (word != (uint32_t)a[2])
		return (-GKA_EAGAIN);
	if (!thr_wait((void *)GVA_GK, NR_futex, a[0], bits))
		return (GK_NOTMINE);
	*leave = LEAVE_CHANGE;
	return (0);
}

static long
do_futex(const uint64_t a[6], uint64_t *leave)
{
	const uint32_t op = (uint32_t)a[1] & FUTEX_CMD;
	const uint32_t flags = (uint32_t)a[1] & ~FUTEX_CMD;
	int32_t n = (int32_t)a[2];

	if (!VVAR->inside || a[0] % 4 != 0 || !user_ok(a[0], 4) ||
	    (flags & ~FUTEX_REALTIME) != FUTEX_PRIVATE)
		return (GK_NOTMINE);
	if (op == FUTEX_WAIT_BITSET_)
		return (futex_wait(a, (uint32_t)a[5], leave));
	if (flags != FUTEX_PRIVATE)
		return (GK_NOTMINE);
	if (op == FUTEX_WAIT_)
		return (futex_wait(a, ~0U, leave));
	if (op == FUTEX_WAKE_ && n > 0)
		return (futex_wake(a[0], (uint32_t)n, ~0U));
	if (op == FUTEX_WAKE_BITSET_ && n > 0 && (uint32_t)a[5] != 0)
		return (futex_wake(a[0], (uint32_t)n, (uint32_t)a[5]));
	return (GK_NOTMINE);
}

/* ---- all calls -------------------------------------------------------------------- */

struct answer {
	long		rax;
	uint64_t	leave;		/* come out with it */
};

struct answer blob_call(uint64_t nr, const uint64_t a[6]);

__attribute__((used)) struct answer
blob_call(uint64_t nr, const uint64_t a[6])
{
	const volatile struct gk_vvar *v = VVAR;
	struct answer r = { 0, 0 };

	switch (nr) {
	case NR_clock_gettime:
		r.rax = do_clock_gettime(a[0], a[1]);
		break;
	case NR_gettimeofday:
		r.rax = do_gettimeofday(a[0], a[1]);
		break;
	case NR_time:
		r.rax = do_time(a[0]);
		break;
	case NR_arch_prctl:
		r.rax = do_arch_prctl(a[0], a[1]);
		break;
	case NR_getpid:
		r.rax = do_getpid(v);
		break;
	case NR_gettid:
		r.rax = thr_on() ? thr_tid() : v->tid;
		break;
	case NR_getppid:
		r.rax = v->ppid;
		break;
	case NR_getuid:
		r.rax = v->ruid;
		break;
	case NR_geteuid:
		r.rax = v->uid;
		break;
	case NR_getgid:
		r.rax = v->rgid;
		break;
	case NR_getegid:
		r.rax = v->gid;
		break;
	case NR_madvise:
		r.rax = do_madvise(a[0], a[1], a[2]);
		break;
	case NR_futex:
		r.rax = do_futex(a, &r.leave);
		break;
	case NR_rt_sigprocmask:
		r.rax = do_sigprocmask(a);
		break;
	case NR_brk:
		r.rax = do_brk(a[0]);
		break;
	case NR_getrandom:
		r.rax = do_getrandom(a[0], a[1], a[2]);
		break;
	case NR_sched_yield:
		r.rax = v->nthreads > 1 ? GK_NOTMINE : 0;
		break;
	default:
		r.rax = do_gk(nr, a, &r.leave);
		break;
	}
	if (v->leave)			/* may have come meanwhile */
		r.leave |= LEAVE_OUT;
	return (r);
}
