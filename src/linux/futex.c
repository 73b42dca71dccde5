/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * futex(2).  A waiter is a thread with t->futex set; queues are kept by the
 * order of t->futex_seq.  There is one vCPU and it does not run now: reading
 * and changing a word of the guest needs no atomics.
 *
 * Who waits for a lock with priority inheritance has futex_bits 0, so that no
 * other wake finds it; there is nothing to inherit, the lock is handed over.
 */

#include <errno.h>
#include <linux/futex.h>
#include <string.h>

#include "gk.h"
#include "layout.h"
#include "linux/sys_proc.h"
#include "obj.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2	13
#endif
#define ROBUST_LIMIT	2048		/* ROBUST_LIST_LIMIT of the kernel */

/* ---- queues ---------------------------------------------------------- */

static int
waits_at(const struct thread *t, uint64_t addr, uint32_t bits)
{

	return (t->state != T_FREE && t->futex == addr &&
	    (t->futex_bits & bits) != 0);
}

/* The longest waiting thread on addr whose bits match, or NULL */
static struct thread *
first_waiter(struct machine *m, uint64_t addr, uint32_t bits)
{
	struct thread *t, *first = NULL;
	unsigned u;

	for (u = 0; u < m->proc.hi_thread; u++) {
		t = &m->thread[u];
		if (!waits_at(t, addr, bits))
			continue;
		if (first == NULL || t->futex_seq < first->futex_seq)
			first = t;
	}
	return (first);
}

static void
enqueue(struct machine *m, struct thread *t, uint64_t addr)
{

	t->futex = addr;
	t->futex_seq = ++m->proc.futex_seq;
	m->fwait_stale = 1;
}

int
futex_wake(struct machine *m, uint64_t addr, int n, uint32_t bits)
{
	struct thread *t;
	int woken;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (addr == 0)
		return (0);
	for (woken = 0; woken < n; woken++) {
		t = first_waiter(m, addr, bits);
		if (t == NULL)
			break;
		t->futex = 0;
		t->woken = 1;
		m->futex_woke = 1;
		m->fwait_stale = 1;
	}
	return (woken);
}

/* ---- the blob's part ------------------------------------------------- */

/*
 * Tell the blob who waits, in the order of first_waiter().  One too many there
 * makes a wake count it; one too few would sleep for ever, so all that begin
 * to wait set fwait_stale.
 */
void
futex_publish(struct machine *m)
{
	struct thread *w[GK_NFWAIT];
	struct gk_vvar *v = machine_vvar(m);
	unsigned u, n = 0, i;
	struct thread *t;

	m->fwait_stale = 0;
	v->nfwait = GK_NFWAIT + 1;
	for (u = 0; u < m->proc.hi_thread; u++) {
		t = &m->thread[u];
		if (t->state == T_FREE || t->futex == 0 ||
		    t->futex_bits == 0 || machine_handed(m, u))
			continue;
		if (n == GK_NFWAIT)
			return;
		for (i = n++; i > 0 && w[i - 1]->futex_seq > t->futex_seq; i--)
			w[i] = w[i - 1];
		w[i] = t;
	}
	for (i = 0; i < n; i++) {
		v->fwait[i].addr = w[i]->futex;
		v->fwait[i].bits = w[i]->futex_bits;
		v->fwait[i].seq = w[i]->futex_seq;
	}
	v->nfwait = n;
	(void)memset(m->gk->fwait_taken, 0, sizeof m->gk->fwait_taken);
}

/* Do what the blob has promised. */
void
futex_deferred(struct machine *m)
{
	struct gk_wake w[GK_NWAKE];
	uint32_t i, n = m->gk->nwake;

	if (n == 0)
		return;
	(void)memcpy(w, m->gk->wake, sizeof w);
	m->gk->nwake = 0;
	m->fwait_stale = 1;
	for (i = 0; i < n && i < GK_NWAKE; i++)
		(void)futex_wake(m, w[i].addr, w[i].n > MAX_THREADS ?
		    MAX_THREADS : (int)w[i].n, w[i].bits);
}

/* Up to `most` of those who wait there */
static int
count_waiters(struct machine *m, uint64_t addr, int most)
{
	unsigned u;
	int n = 0;

	for (u = 0; u < m->proc.hi_thread && n < most; u++)
		n += waits_at(&m->thread[u], addr, FUTEX_BITSET_MATCH_ANY);
	return (n);
}

/* Up to nwake are woken, up to nmove more wait on `to` from now on. */
static int
requeue(struct machine *m, uint64_t from, uint64_t to, int nwake, int nmove)
{
	struct thread *t;
	int n, moved;

	n = futex_wake(m, from, nwake, FUTEX_BITSET_MATCH_ANY);
	/* Onto itself: nobody moves, but they count */
	if (from == to)
		return (n + count_waiters(m, from, nmove));
	for (moved = 0; moved < nmove && moved < MAX_THREADS; moved++) {
		t = first_waiter(m, from, FUTEX_BITSET_MATCH_ANY);
		if (t == NULL)
			break;
		enqueue(m, t, to);
	}
	return (n + moved);
}

static int
bad_address(uint64_t addr)
{

	if (addr % sizeof(uint32_t) != 0)
		return (-EINVAL);
	if (addr >= GVA_USER_END)
		return (-EFAULT);
	return (0);
}

/* ---- waiting --------------------------------------------------------- */

/* The time-out argument: relative for FUTEX_WAIT, else absolute */
static int64_t
wait_deadline(struct machine *m, struct thread *t, uint64_t uts, int relative,
    int realtime)
{
	uint64_t ns;
	int64_t error;

	t->deadline = UINT64_MAX;
	if (uts == 0)
		return (0);
	error = get_timespec(m, uts, &ns);
	if (error)
		return (error);
	if (relative)
		t->deadline = time_after(machine_mono(m), ns);
	else if (realtime)
		t->deadline = time_real_to_mono(m, ns);
	else
		t->deadline = ns;
	return (0);
}

/* Blocked before: woken, timed out, or tried for another reason? */
static int64_t
wait_again(struct machine *m, struct thread *t)
{

	if (t->woken) {
		t->woken = 0;
		t->futex = 0;
		return (0);
	}
	if (t->futex == 0)
		return (-EINTR);	/* no wait of ours: cannot go on */
	if (machine_mono(m) >= t->deadline) {
		t->futex = 0;
		return (-ETIMEDOUT);
	}
	return (SYS_BLOCK);
}

static int64_t
futex_wait(struct machine *m, struct thread *t, const uint64_t a[6],
    uint32_t bits, int relative, int realtime)
{
	uint32_t word;
	int64_t error;

	if (t->restart)
		return (wait_again(m, t));
	if (bits == 0)
		return (-EINVAL);
	error = wait_deadline(m, t, a[3], relative, realtime);
	if (error)
		return (error);
	error = bad_address(a[0]);
	if (error)
		return (error);
	if (as_read(m->as, a[0], &word, sizeof(word)))
		return (-EFAULT);
	if (word != (uint32_t)a[2])
		return (-EAGAIN);
	if (machine_mono(m) >= t->deadline)
		return (-ETIMEDOUT);
	t->woken = 0;
	t->futex_bits = bits;
	enqueue(m, t, a[0]);
	return (SYS_BLOCK);
}

/* ---- FUTEX_WAKE_OP --------------------------------------------------- */

static int64_t
sext12(uint32_t v)
{

	v &= 0xfff;
	return (v & 0x800 ? (int64_t)v - 0x1000 : (int64_t)v);
}

/* Do the operation on uaddr; the comparison's result, or -errno */
static int
wake_op_do(struct machine *m, uint64_t uaddr, uint32_t code)
{
	uint32_t op = code >> 28 & 7, cmp = code >> 24 & 15;
	int32_t oparg = (int32_t)sext12(code >> 12);
	int32_t cmparg = (int32_t)sext12(code);
	int32_t old;
	uint32_t new, arg;

	arg = (uint32_t)oparg;
	if (code >> 28 & FUTEX_OP_OPARG_SHIFT)
		arg = 1U << (arg & 31);
	if (as_read(m->as, uaddr, &old, sizeof(old)))
		return (-EFAULT);
	switch (op) {
	case FUTEX_OP_SET:	new = arg; break;
	case FUTEX_OP_ADD:	new = (uint32_t)old + arg; break;
	case FUTEX_OP_OR:	new = (uint32_t)old | arg; break;
	case FUTEX_OP_ANDN:	new = (uint32_t)old & ~arg; break;
	case FUTEX_OP_XOR:	new = (uint32_t)old ^ arg; break;
	default:		return (-ENOSYS);
	}
	if (as_write(m->as, uaddr, &new, sizeof(new)))
		return (-EFAULT);
	if (cmp > FUTEX_OP_CMP_GE)	/* found out so late on Linux too */
		return (-ENOSYS);
	switch (cmp) {
	case FUTEX_OP_CMP_EQ:	return (old == cmparg);
	case FUTEX_OP_CMP_NE:	return (old != cmparg);
	case FUTEX_OP_CMP_LT:	return (old < cmparg);
	case FUTEX_OP_CMP_GE:	return (old >= cmparg);
	case FUTEX_OP_CMP_LE:	return (old <= cmparg);
	default:		return (old > cmparg);
	}
}

/* Linux wakes one even if asked for none */
static int
at_least_one(uint64_t n)
{

	return ((int32_t)n > 0 ? (int32_t)n : 1);
}

static int64_t
wake_op(struct machine *m, const uint64_t a[6])
{
	int64_t n;
	int r;

	r = wake_op_do(m, a[4], (uint32_t)a[5]);
	if (r < 0)
		return (r);
	n = futex_wake(m, a[0], at_least_one(a[2]), FUTEX_BITSET_MATCH_ANY);
	if (r)
		n += futex_wake(m, a[4], at_least_one(a[3]),
		    FUTEX_BITSET_MATCH_ANY);
	return (n);
}

/* ---- priority inheritance -------------------------------------------- */

static int
owned_by(const struct machine *m, const struct thread *t, uint32_t word)
{
	uint32_t tid = word & FUTEX_TID_MASK;

	return (tid == (uint32_t)t->tid || (tid == m->proc.image_pid &&
	    (uint32_t)t->tid == m->proc.pid && tid != 0));
}

/* As the program knows t: libc keeps the main thread's number of the freeze. */
static uint32_t
word_tid(const struct machine *m, const struct thread *t)
{

	return (m->proc.image_pid != 0 && (uint32_t)t->tid == m->proc.pid ?
	    m->proc.image_pid : (uint32_t)t->tid);
}

static struct thread *
first_pi_waiter(struct machine *m, uint64_t addr)
{
	struct thread *t, *first = NULL;
	unsigned u;

	for (u = 0; u < m->proc.hi_thread; u++) {
		t = &m->thread[u];
		if (t->state == T_FREE || t->futex != addr || t->futex_bits)
			continue;
		if (first == NULL || t->futex_seq < first->futex_seq)
			first = t;
	}
	return (first);
}

/* The lock goes to who waited longest, or is free. */
static int
pi_hand_over(struct machine *m, uint64_t addr, uint32_t flags)
{
	struct thread *t = first_pi_waiter(m, addr);
	uint32_t word = flags;

	if (t != NULL)
		word |= word_tid(m, t) | FUTEX_WAITERS;
	if (as_write(m->as, addr, &word, sizeof(word)))
		return (-EFAULT);
	if (t != NULL) {
		t->futex = 0;
		t->woken = 1;
		m->futex_woke = 1;
	}
	return (0);
}

/* Take a lock that is free; SYS_BLOCK if another thread has it */
static int64_t
pi_take(struct machine *m, struct thread *t, uint64_t addr, uint32_t *word)
{
	uint32_t new;
	int error;

	error = bad_address(addr);
	if (error)
		return (error);
	if (as_read(m->as, addr, word, sizeof(*word)))
		return (-EFAULT);
	if ((*word & FUTEX_TID_MASK) != 0) {
		if (owned_by(m, t, *word))
			return (-EDEADLK);
		return (thread_find(m, *word & FUTEX_TID_MASK) == NULL ?
		    -ESRCH : SYS_BLOCK);
	}
	new = word_tid(m, t) | (*word & FUTEX_OWNER_DIED);
	if (first_pi_waiter(m, addr) != NULL)
		new |= FUTEX_WAITERS;
	return (as_write(m->as, addr, &new, sizeof(new)) ? -EFAULT : 0);
}

static int64_t
pi_lock(struct machine *m, struct thread *t, const uint64_t a[6], int realtime)
{
	uint32_t word = 0;
	int64_t error;

	if (t->restart)
		return (wait_again(m, t));
	error = wait_deadline(m, t, a[3], 0, realtime);
	if (error == 0)
		error = pi_take(m, t, a[0], &word);
	if (error != SYS_BLOCK)
		return (error);
	word |= FUTEX_WAITERS;
	if (as_write(m->as, a[0], &word, sizeof(word)))
		return (-EFAULT);
	if (machine_mono(m) >= t->deadline)
		return (-ETIMEDOUT);
	t->woken = 0;
	t->futex_bits = 0;
	enqueue(m, t, a[0]);
	return (SYS_BLOCK);
}

static int64_t
pi_trylock(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t word;
	int64_t r = pi_take(m, t, a[0], &word);

	return (r == SYS_BLOCK ? -EAGAIN : r);
}

static int64_t
pi_unlock(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t word;
	int error;

	error = bad_address(a[0]);
	if (error)
		return (error);
	if (as_read(m->as, a[0], &word, sizeof(word)))
		return (-EFAULT);
	if (!owned_by(m, t, word))
		return (-EPERM);
	return (pi_hand_over(m, a[0], 0));
}

/* Locks of a thread that ends go to those that wait for them. */
static void
pi_exit(struct machine *m, struct thread *t)
{
	struct thread *w;
	uint32_t word;
	unsigned u;

	for (u = 0; u < m->proc.hi_thread; u++) {
		w = &m->thread[u];
		if (w->state == T_FREE || w->futex == 0 || w->futex_bits)
			continue;
		if (as_read(m->as, w->futex, &word, sizeof(word)) == 0 &&
		    owned_by(m, t, word))
			(void)pi_hand_over(m, w->futex, FUTEX_OWNER_DIED);
	}
}

/* ---- the call -------------------------------------------------------- */

static int64_t
cmp_requeue(struct machine *m, const uint64_t a[6], int compare)
{
	uint32_t word;

	if ((int32_t)a[2] < 0 || (int32_t)a[3] < 0)
		return (-EINVAL);
	if (compare) {
		if (as_read(m->as, a[0], &word, sizeof(word)))
			return (-EFAULT);
		if (word != (uint32_t)a[5])
			return (-EAGAIN);
	}
	return (requeue(m, a[0], a[4], (int32_t)a[2], (int32_t)a[3]));
}

static int64_t
two_words(struct machine *m, const uint64_t a[6], int cmd)
{
	int error;

	error = bad_address(a[0]);
	if (error == 0)
		error = bad_address(a[4]);
	if (error)
		return (error);
	if (cmd == FUTEX_WAKE_OP)
		return (wake_op(m, a));
	return (cmp_requeue(m, a, cmd == FUTEX_CMP_REQUEUE));
}

int64_t
sys_futex(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int op = (int)a[1], cmd = op & FUTEX_CMD_MASK;
	int realtime = (op & FUTEX_CLOCK_REALTIME) != 0;
	uint32_t bits = FUTEX_BITSET_MATCH_ANY, word;
	int error;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (realtime && cmd != FUTEX_WAIT_BITSET && cmd != FUTEX_LOCK_PI2)
		return (-ENOSYS);
	switch (cmd) {
	case FUTEX_WAIT:
		return (futex_wait(m, t, a, bits, 1, 0));
	case FUTEX_WAIT_BITSET:
		return (futex_wait(m, t, a, (uint32_t)a[5], 0, realtime));
	case FUTEX_WAKE_BITSET:
		bits = (uint32_t)a[5];
		/* FALLTHROUGH */
	case FUTEX_WAKE:
		if (bits == 0)
			return (-EINVAL);
		error = bad_address(a[0]);
		/* Which page it is matters for those that can be shared. */
		if (error == 0 && !(op & FUTEX_PRIVATE_FLAG) &&
		    as_read(m->as, a[0], &word, sizeof(word)))
			error = -EFAULT;
		if (error)
			return (error);
		return (futex_wake(m, a[0], at_least_one(a[2]), bits));
	case FUTEX_LOCK_PI:
		return (pi_lock(m, t, a, 1));
	case FUTEX_LOCK_PI2:
		return (pi_lock(m, t, a, realtime));
	case FUTEX_TRYLOCK_PI:
		return (pi_trylock(m, t, a));
	case FUTEX_UNLOCK_PI:
		return (pi_unlock(m, t, a));
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_WAKE_OP:
		return (two_words(m, a, cmd));
	default:
		return (-ENOSYS);
	}
}

/* ---- the death of a thread ------------------------------------------- */

/* -1: the list is broken, go no further */
static int
robust_word(struct machine *m, struct thread *t, uint64_t addr, int pi,
    int pending)
{
	uint32_t word, dead;

	if (bad_address(addr) ||
	    as_read(m->as, addr, &word, sizeof(word)))
		return (-1);
	/* Unlocked, but the waker died before it could wake */
	if (pending && !pi && word == 0) {
		(void)futex_wake(m, addr, 1, FUTEX_BITSET_MATCH_ANY);
		return (0);
	}
	if (!owned_by(m, t, word))
		return (0);
	dead = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
	if (as_write(m->as, addr, &dead, sizeof(dead)))
		return (-1);
	if (!pi && (word & FUTEX_WAITERS))
		(void)futex_wake(m, addr, 1, FUTEX_BITSET_MATCH_ANY);
	return (0);
}

/* The list lies in the guest's memory: any shape, cycles too, is possible. */
static void
robust_walk(struct machine *m, struct thread *t)
{
	struct robust {
		uint64_t	next;
		int64_t		offset;
		uint64_t	pending;
	} head;
	uint64_t entry, next;
	unsigned n;

	if (as_read(m->as, t->robust, &head, sizeof(head)))
		return;
	entry = head.next;
	for (n = 0; (entry & ~1UL) != t->robust && n < ROBUST_LIMIT; n++) {
		/* Read first: the word may be the list's own memory. */
		if (as_read(m->as, entry & ~1UL, &next, sizeof(next)))
			return;
		if ((entry & ~1UL) != (head.pending & ~1UL) &&
		    robust_word(m, t, (entry & ~1UL) + (uint64_t)head.offset,
		    (int)(entry & 1), 0))
			return;
		entry = next;
	}
	if ((head.pending & ~1UL) != 0)
		(void)robust_word(m, t, (head.pending & ~1UL) +
		    (uint64_t)head.offset, (int)(head.pending & 1), 1);
}

void
futex_exit(struct machine *m, struct thread *t)
{
	static const int32_t zero;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	t->futex = 0;
	pi_exit(m, t);
	if (t->robust != 0)
		robust_walk(m, t);
	t->robust = 0;
	if (t->clear_tid != 0 &&
	    as_write(m->as, t->clear_tid, &zero, sizeof(zero)) == 0)
		(void)futex_wake(m, t->clear_tid, 1, FUTEX_BITSET_MATCH_ANY);
	t->clear_tid = 0;
}
