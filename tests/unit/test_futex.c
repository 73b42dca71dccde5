/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * futex(2), the death of threads, clone(2).
 */

#include "proc_fake.h"

#include <linux/futex.h>
#include <linux/sched.h>

#define W1		(FAKE_BASE + 0x100)	/* futex words */
#define W2		(FAKE_BASE + 0x200)
#define TS		(FAKE_BASE + 0x300)
#define PRIV		FUTEX_PRIVATE_FLAG
#define THREAD_FLAGS	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | \
			    CLONE_THREAD | CLONE_SYSVSEM)

static int64_t
wait_on(struct thread *t, uint64_t addr, uint32_t val)
{

	return (CALL4(t, futex, addr, FUTEX_WAIT | PRIV, val, 0));
}

/* ---- waiting and waking ---------------------------------------------- */

/* What the blob is told of waiters, and what it has promised them */
static void
test_blob(void **state)
{
	static struct gk gk;
	struct thread *b;

	(void)state;
	fake.gk = &gk;
	gk.fwait_taken[0] = 3;
	b = fake_thread();
	fake_set32(W1, 1);
	fake_set32(W2, 1);
	assert_int_equal(wait_on(b, W1, 1), SYS_BLOCK);
	assert_int_equal(fake.fwait_stale, 1);
	assert_int_equal(wait_on(T0, W1, 1), SYS_BLOCK);
	futex_publish(&fake);
	assert_int_equal(fake.fwait_stale, 0);
	assert_int_equal(gk.fwait_taken[0], 0);
	assert_int_equal(fake_vvar.nfwait, 2);
	assert_int_equal(fake_vvar.fwait[0].addr, W1);
	assert_int_equal(fake_vvar.fwait[1].bits, ~0U);
	/* One of them, who came first; and what only a liar would ask */
	gk.wake[0] = (struct gk_wake){ W1, 1, ~0U };
	gk.wake[1] = (struct gk_wake){ ~0UL, ~0U, 0 };
	gk.nwake = ~0U;
	futex_deferred(&fake);
	assert_int_equal(gk.nwake, 0);
	assert_int_equal(b->woken, 1);
	assert_int_equal(T0->woken, 0);
	assert_int_equal(fake.fwait_stale, 1);
	futex_publish(&fake);
	assert_int_equal(fake_vvar.nfwait, 1);
	fake.gk = NULL;
}

static void
test_errors(void **state)
{

	(void)state;
	fake_set32(W1, 5);
	assert_int_equal(wait_on(T0, W1, 4), -EAGAIN);
	assert_int_equal(wait_on(T0, W1 + 2, 5), -EINVAL);
	assert_int_equal(wait_on(T0, 0x4, 5), -EFAULT);
	assert_int_equal(wait_on(T0, GVA_USER_END, 5), -EFAULT);
	assert_int_equal(wait_on(T0, ~3UL, 5), -EFAULT);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAIT_BITSET, 5, 0, 0, 0),
	    -EINVAL);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_BITSET, 5, 0, 0, 0),
	    -EINVAL);
	assert_int_equal(CALL4(T0, futex, W1, FUTEX_WAIT, 5, 0x10), -EFAULT);
	assert_int_equal(CALL4(T0, futex, W1, FUTEX_WAIT, 5,
	    fake_ts(TS, 0, 1000000000)), -EINVAL);
	assert_int_equal(CALL4(T0, futex, W1, FUTEX_WAIT, 5,
	    fake_ts(TS, -1, 0)), -EINVAL);
	assert_int_equal(CALL2(T0, futex, W1, FUTEX_LOCK_PI), -ESRCH);
	fake_set32(W1, 0);
	assert_int_equal(CALL2(T0, futex, W1, FUTEX_LOCK_PI), 0);
	assert_int_equal(CALL2(T0, futex, W1, FUTEX_LOCK_PI), -EDEADLK);
	assert_int_equal(CALL2(T0, futex, W1, FUTEX_UNLOCK_PI), 0);
	assert_int_equal(CALL2(T0, futex, W1, FUTEX_UNLOCK_PI), -EPERM);
	fake_set32(W1, 5);
	assert_int_equal(CALL2(T0, futex, W1, FUTEX_WAIT_REQUEUE_PI), -ENOSYS);
	assert_int_equal(CALL2(T0, futex, W1, 99), -ENOSYS);
	assert_int_equal(CALL4(T0, futex, W1,
	    FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 5, 0), -ENOSYS);
	assert_int_equal(CALL3(T0, futex, W1, FUTEX_WAKE, 1), 0);
	assert_int_equal(CALL3(T0, futex, W1 + 1, FUTEX_WAKE, 1), -EINVAL);
}

static void
test_wake_order(void **state)
{
	struct thread *t[4];
	unsigned u;

	(void)state;
	for (u = 0; u < 4; u++)
		t[u] = fake_thread();
	/* They come in another order than their slots */
	assert_int_equal(wait_on(t[2], W1, 0), SYS_BLOCK);
	assert_int_equal(wait_on(t[0], W1, 0), SYS_BLOCK);
	assert_int_equal(wait_on(t[3], W1, 0), SYS_BLOCK);
	assert_int_equal(wait_on(t[1], W2, 0), SYS_BLOCK);
	assert_int_equal(RETRY(t[2], futex), SYS_BLOCK);
	assert_int_equal(CALL3(T0, futex, W1, FUTEX_WAKE | PRIV, 1), 1);
	assert_true(t[2]->woken && !t[0]->woken && !t[3]->woken);
	assert_int_equal(RETRY(t[2], futex), 0);
	assert_false(t[2]->woken);
	/* 0 wakes one, as in Linux */
	assert_int_equal(CALL3(T0, futex, W1, FUTEX_WAKE, 0), 1);
	assert_true(t[0]->woken);
	assert_int_equal(CALL3(T0, futex, W1, FUTEX_WAKE, INT32_MAX), 1);
	assert_true(t[3]->woken);
	assert_false(t[1]->woken);
	assert_int_equal(RETRY(t[0], futex), 0);
	assert_int_equal(RETRY(t[3], futex), 0);
	assert_int_equal(CALL3(T0, futex, W1, FUTEX_WAKE, INT32_MAX), 0);
}

static void
test_bitset(void **state)
{
	struct thread *a = fake_thread(), *b = fake_thread();

	(void)state;
	assert_int_equal(CALL6(a, futex, W1, FUTEX_WAIT_BITSET, 0, 0, 0, 1),
	    SYS_BLOCK);
	assert_int_equal(CALL6(b, futex, W1, FUTEX_WAIT_BITSET, 0, 0, 0, 2),
	    SYS_BLOCK);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_BITSET, 9, 0, 0, 4),
	    0);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_BITSET, 9, 0, 0, 2),
	    1);
	assert_true(b->woken && !a->woken);
	assert_int_equal(CALL3(T0, futex, W1, FUTEX_WAKE, 9), 1);
	assert_true(a->woken);
}

static void
test_timeouts(void **state)
{

	(void)state;
	/* Relative */
	assert_int_equal(CALL4(T0, futex, W1, FUTEX_WAIT, 0,
	    fake_ts(TS, 2, 500)), SYS_BLOCK);
	assert_int_equal(T0->deadline, fake_mono + 2 * NSEC + 500);
	assert_int_equal(RETRY(T0, futex), SYS_BLOCK);
	fake_mono += 2 * NSEC + 500;
	assert_int_equal(RETRY(T0, futex), -ETIMEDOUT);
	assert_int_equal(T0->futex, 0);
	/* A wake that came first wins */
	assert_int_equal(CALL4(T0, futex, W1, FUTEX_WAIT, 0,
	    fake_ts(TS, 1, 0)), SYS_BLOCK);
	assert_int_equal(futex_wake(&fake, W1, 1, ~0U), 1);
	fake_mono += 2 * NSEC;
	assert_int_equal(RETRY(T0, futex), 0);
	/* Absolute on both clocks */
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAIT_BITSET, 0,
	    fake_ts(TS, (int64_t)(fake_mono / NSEC) + 7, 0), 0, ~0U),
	    SYS_BLOCK);
	assert_int_equal(T0->deadline, (fake_mono / NSEC + 7) * NSEC);
	T0->state = T_RUN;
	assert_int_equal(CALL6(T0, futex, W1,
	    FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0,
	    fake_ts(TS, (int64_t)(fake_real / NSEC) + 3, 0), 0, ~0U),
	    SYS_BLOCK);
	assert_int_equal(T0->deadline, fake_mono + 3 * NSEC);
	T0->state = T_RUN;
	T0->futex = 0;
	/* Past, zero, and for ever */
	assert_int_equal(CALL6(T0, futex, W1,
	    FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0,
	    fake_ts(TS, 5, 0), 0, ~0U), -ETIMEDOUT);
	assert_int_equal(CALL4(T0, futex, W1, FUTEX_WAIT, 0,
	    fake_ts(TS, 0, 0)), -ETIMEDOUT);
	assert_int_equal(T0->futex, 0);
	assert_int_equal(CALL4(T0, futex, W1, FUTEX_WAIT, 0,
	    fake_ts(TS, INT64_MAX, 999999999)), SYS_BLOCK);
	assert_int_equal(T0->deadline, UINT64_MAX);
}

static void
test_requeue(void **state)
{
	struct thread *t[5];
	unsigned u;

	(void)state;
	for (u = 0; u < 5; u++) {
		t[u] = fake_thread();
		assert_int_equal(wait_on(t[u], W1, 0), SYS_BLOCK);
	}
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_CMP_REQUEUE, 1, 2, W2, 1),
	    -EAGAIN);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_CMP_REQUEUE, 1,
	    (uint64_t)-1, W2, 0), -EINVAL);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_CMP_REQUEUE, 1, 2, W2 + 1,
	    0), -EINVAL);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_CMP_REQUEUE, 1, 2, W2, 0),
	    3);
	assert_true(t[0]->woken);
	assert_int_equal(t[1]->futex, W2);
	assert_int_equal(t[2]->futex, W2);
	assert_int_equal(t[3]->futex, W1);
	/* Moved: tried again they wait on, whatever is in the word */
	fake_set32(W1, 77);
	assert_int_equal(RETRY(t[1], futex), SYS_BLOCK);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_REQUEUE, 0, INT32_MAX, W2,
	    0), 2);
	assert_int_equal(CALL3(T0, futex, W2, FUTEX_WAKE, 1), 1);
	assert_true(t[1]->woken && !t[2]->woken);
	assert_int_equal(CALL3(T0, futex, W2, FUTEX_WAKE, 99), 3);
	/* Onto itself: it ends, those who could move count, and none does */
	assert_int_equal(wait_on(T0, W2, 0), SYS_BLOCK);
	assert_int_equal(wait_on(t[1], W2, 0), SYS_BLOCK);
	assert_int_equal(CALL6(t[0], futex, W2, FUTEX_REQUEUE, 0, 1, W2, 0),
	    1);
	assert_int_equal(CALL6(t[0], futex, W2, FUTEX_REQUEUE, 0, INT32_MAX,
	    W2, 0), 2);
	assert_int_equal(T0->futex, W2);
	assert_int_equal(CALL6(t[0], futex, W2, FUTEX_REQUEUE, 1, INT32_MAX,
	    W2, 0), 2);
	assert_true(T0->woken && !t[1]->woken);
	assert_int_equal(t[1]->futex, W2);
}

static void
test_wake_op(void **state)
{
	static const struct {
		uint32_t	op, arg, before, after;
	} ops[] = {
		{ FUTEX_OP_SET, 7, 1, 7 },
		{ FUTEX_OP_SET, 0xfff, 1, 0xffffffff },
		{ FUTEX_OP_ADD, 7, 1, 8 },
		{ FUTEX_OP_OR, 6, 1, 7 },
		{ FUTEX_OP_ANDN, 6, 7, 1 },
		{ FUTEX_OP_XOR, 6, 3, 5 },
		{ FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 31, 0, 0x80000000 },
		{ FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 0xfff, 0, 0x80000000 },
	};
	struct thread *a = fake_thread(), *b = fake_thread();
	unsigned u;

	(void)state;
	for (u = 0; u < NELEM(ops); u++) {
		fake_set32(W2, ops[u].before);
		assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_OP, 1, 1, W2,
		    FUTEX_OP(ops[u].op, ops[u].arg, FUTEX_OP_CMP_EQ, 0)), 0);
		assert_int_equal(fake_u32(W2), ops[u].after);
	}
	fake_set32(W2, 0);
	assert_int_equal(wait_on(a, W1, 0), SYS_BLOCK);
	assert_int_equal(wait_on(b, W2, 0), SYS_BLOCK);
	/* old 0 > -1: the second is woken as well */
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_OP, 1, 1, W2,
	    FUTEX_OP(FUTEX_OP_SET, 3, FUTEX_OP_CMP_GT, 0xfff)), 2);
	assert_true(a->woken && b->woken);
	assert_int_equal(RETRY(a, futex), 0);
	assert_int_equal(RETRY(b, futex), 0);
	assert_int_equal(wait_on(b, W2, 3), SYS_BLOCK);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_OP, 1, 1, W2,
	    FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_LT, 3)), 0);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_OP, 1, 1, W2,
	    FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_LE, 3)), 1);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_OP, 1, 1, 0x8, 0),
	    -EFAULT);
	assert_int_equal(CALL6(T0, futex, W1, FUTEX_WAKE_OP, 1, 1, W2,
	    0x70000000), -ENOSYS);
}

/* ---- robust lists ---------------------------------------------------- */

#define HEAD		(FAKE_BASE + 0x1000)
#define ENTRY(n)	(FAKE_BASE + 0x2000 + (uint64_t)(n) * 32)
#define WORD(n)		(ENTRY(n) + 16)		/* futex_offset is 16 */

static void
put_head(uint64_t first, uint64_t pending)
{
	uint64_t head[3] = { first, 16, pending };

	(void)fake_put(HEAD, head, sizeof(head));
}

static void
put_entry(unsigned n, uint64_t next, uint32_t word)
{

	(void)fake_put(ENTRY(n), &next, sizeof(next));
	fake_set32(WORD(n), word);
}

static void
test_robust(void **state)
{
	struct thread *t = fake_thread(), *w = fake_thread();
	uint32_t tid = (uint32_t)t->tid;

	(void)state;
	assert_int_equal(CALL2(t, set_robust_list, HEAD, 23), -EINVAL);
	assert_int_equal(CALL2(t, set_robust_list, HEAD, 24), 0);
	assert_int_equal(CALL3(T0, get_robust_list, tid, TS, TS + 8), 0);
	assert_int_equal(fake_u64(TS), HEAD);
	assert_int_equal(fake_u64(TS + 8), 24);
	assert_int_equal(CALL3(T0, get_robust_list, 12345, TS, TS), -ESRCH);
	put_head(ENTRY(0), ENTRY(3));
	put_entry(0, ENTRY(1), tid | FUTEX_WAITERS);
	put_entry(1, ENTRY(2), tid);
	put_entry(2, HEAD, tid + 1);		/* another's */
	put_entry(3, 0, 0);			/* pending, unlocked */
	assert_int_equal(wait_on(w, WORD(0), tid | FUTEX_WAITERS), SYS_BLOCK);
	assert_int_equal(wait_on(T0, WORD(3), 0), SYS_BLOCK);
	assert_int_equal(CALL1(t, exit, 0), SYS_NORETURN);
	assert_int_equal(t->state, T_FREE);
	assert_int_equal(fake_u32(WORD(0)), FUTEX_WAITERS | FUTEX_OWNER_DIED);
	assert_int_equal(fake_u32(WORD(1)), FUTEX_OWNER_DIED);
	assert_int_equal(fake_u32(WORD(2)), tid + 1);
	assert_true(w->woken);
	assert_true(T0->woken);
}

/* Lists that no libc would make: the walk must end. */
static void
test_robust_hostile(void **state)
{
	static const uint64_t heads[] = {
		0, 8, HEAD + 8, GVA_USER_END, ~0UL, FAKE_BASE + FAKE_SIZE - 8,
		1UL << 63, HEAD | 1,
	};
	struct thread *t;
	unsigned u;

	(void)state;
	/* Longer than the limit: the first 2048 are handled */
	t = fake_thread();
	for (u = 0; u < 3000; u++)
		put_entry(u, ENTRY(u + 1), (uint32_t)t->tid);
	put_head(ENTRY(0), 0);
	t->robust = HEAD;
	thread_exit(&fake, t);
	assert_int_equal(fake_u32(WORD(2047)), FUTEX_OWNER_DIED);
	assert_int_not_equal(fake_u32(WORD(2048)), FUTEX_OWNER_DIED);
	/* A ring without the head, an entry that is its own next */
	t = fake_thread();
	put_entry(0, ENTRY(1), 0);
	put_entry(1, ENTRY(0), 0);
	t->robust = HEAD;
	thread_exit(&fake, t);
	t = fake_thread();
	put_entry(0, ENTRY(0), (uint32_t)t->tid);
	t->robust = HEAD;
	thread_exit(&fake, t);
	/* The word is the list's own memory */
	t = fake_thread();
	put_head(HEAD + 8, HEAD);
	t->robust = HEAD;
	thread_exit(&fake, t);
	for (u = 0; u < NELEM(heads); u++) {
		t = fake_thread();
		put_head(heads[u], heads[NELEM(heads) - 1 - u]);
		t->robust = HEAD;
		thread_exit(&fake, t);
		t = fake_thread();
		t->robust = heads[u];
		t->clear_tid = heads[u];
		thread_exit(&fake, t);
	}
	assert_int_equal(fake.proc.nthreads, 1);
	assert_int_equal(fake_fails, 0);
}

static void
test_clear_tid(void **state)
{
	struct thread *t = fake_thread();

	(void)state;
	assert_int_equal(CALL1(t, set_tid_address, W1), t->tid);
	fake_set32(W1, (uint32_t)t->tid);
	assert_int_equal(wait_on(T0, W1, (uint32_t)t->tid), SYS_BLOCK);
	assert_int_equal(CALL1(t, exit, 0), SYS_NORETURN);
	assert_int_equal(fake_u32(W1), 0);
	assert_true(T0->woken);
	assert_int_equal(RETRY(T0, futex), 0);
	assert_int_equal(fake.proc.nthreads, 1);
	/* The last one takes the process along */
	assert_int_equal(CALL1(T0, exit, 0x1203), SYS_NORETURN);
	assert_int_equal(fake.proc.exited, 1);
	assert_int_equal(fake.proc.exit_status, 3 << 8);
	assert_int_equal(fake_code, TKVM_E_EXIT);
}

/* ---- making threads -------------------------------------------------- */

static void
test_clone(void **state)
{
	struct thread *n;
	int64_t tid;

	(void)state;
	T0->sigmask = 0x50;
	T0->sigpending = 0x10;
	T0->alt_size = 4096;
	T0->fs_base = 0x7000;
	T0->regs.rbx = 0x1234;
	memcpy(T0->comm, "worker", 7);
	tid = CALL5(T0, clone, THREAD_FLAGS | CLONE_PARENT_SETTID |
	    CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_SETTLS,
	    FAKE_STACK - 4096, W1, W2, 0x9000);
	assert_int_equal(tid, FAKE_PID + 1);
	n = thread_find(&fake, tid);
	assert_ptr_equal(n, &fake.thread[1]);
	assert_int_equal(n->state, T_RUN);
	assert_int_equal(n->regs.rax, 0);
	assert_int_equal(n->regs.rbx, 0x1234);
	assert_int_equal(n->regs.rip, T0->regs.rip);
	assert_int_equal(n->regs.rsp, FAKE_STACK - 4096);
	assert_int_equal(n->fs_base, 0x9000);
	assert_int_equal(n->clear_tid, W2);
	assert_int_equal(n->sigmask, 0x50);
	assert_int_equal(n->sigpending, 0);
	assert_int_equal(n->alt_size, 0);
	assert_string_equal(n->comm, "worker");
	assert_int_equal(fake_u32(W1), tid);
	assert_int_equal(fake_u32(W2), tid);
	assert_memory_equal(&fake_xsave[0], &fake_xsave[1],
	    sizeof(struct kvm_xsave));
	/* Stack 0: the caller's; no CLONE_SETTLS: its base */
	tid = CALL5(T0, clone, THREAD_FLAGS, 0, 0, 0, 0x9000);
	n = thread_find(&fake, tid);
	assert_int_equal(n->regs.rsp, T0->regs.rsp);
	assert_int_equal(n->fs_base, 0x7000);
	assert_int_equal(CALL5(T0, clone, THREAD_FLAGS | CLONE_SETTLS, 0, 0,
	    0, 1UL << 47), -EPERM);
}

static void
test_clone_refused(void **state)
{

	(void)state;
	assert_int_equal(CALL1(T0, clone, SIGCHLD), -ENOSYS);
	assert_int_equal(fake_logs, 1);
	assert_non_null(strstr(fake_log, "clone"));
	assert_int_equal(CALL1(T0, clone, CLONE_VM | CLONE_VFORK | SIGCHLD),
	    -ENOSYS);
	assert_int_equal(fake_logs, 1);		/* named once */
	assert_int_equal(CALL0(T0, fork), -ENOSYS);
	assert_int_equal(CALL0(T0, vfork), -ENOSYS);
	assert_int_equal(CALL0(T0, execve), -ENOSYS);
	assert_int_equal(fake_logs, 4);
	assert_int_equal(fake.st.unknown, 5);
	assert_int_equal(CALL1(T0, clone, CLONE_THREAD), -EINVAL);
	assert_int_equal(CALL1(T0, clone, CLONE_SIGHAND), -EINVAL);
	assert_int_equal(CALL1(T0, clone, THREAD_FLAGS | CLONE_NEWUSER),
	    -EPERM);
	assert_int_equal(CALL1(T0, clone, THREAD_FLAGS | CLONE_PIDFD),
	    -EINVAL);
	assert_int_equal(fake.proc.nthreads, 1);
}

static void
test_clone3(void **state)
{
	struct clone_args ca;
	struct thread *n;
	uint8_t big[200];
	int64_t tid;

	(void)state;
	memset(&ca, 0, sizeof(ca));
	ca.flags = THREAD_FLAGS | CLONE_SETTLS | CLONE_PARENT_SETTID;
	ca.stack = FAKE_STACK - 8192;
	ca.stack_size = 4096;
	ca.tls = 0x5000;
	ca.parent_tid = W1;
	(void)fake_put(TS, &ca, sizeof(ca));
	assert_int_equal(CALL2(T0, clone3, TS, 63), -EINVAL);
	assert_int_equal(CALL2(T0, clone3, TS, 5000), -E2BIG);
	assert_int_equal(CALL2(T0, clone3, 0x8, 64), -EFAULT);
	tid = CALL2(T0, clone3, TS, sizeof(ca));
	n = thread_find(&fake, tid);
	assert_non_null(n);
	assert_int_equal(n->regs.rsp, FAKE_STACK - 4096);
	assert_int_equal(n->fs_base, 0x5000);
	assert_int_equal(fake_u32(W1), tid);
	/* A newer caller's fields must be zero */
	memset(big, 0, sizeof(big));
	memcpy(big, &ca, sizeof(ca));
	(void)fake_put(TS, big, sizeof(big));
	assert_true(CALL2(T0, clone3, TS, sizeof(big)) > 0);
	big[150] = 1;
	(void)fake_put(TS, big, sizeof(big));
	assert_int_equal(CALL2(T0, clone3, TS, sizeof(big)), -E2BIG);
	ca.stack_size = 0;
	(void)fake_put(TS, &ca, sizeof(ca));
	assert_int_equal(CALL2(T0, clone3, TS, sizeof(ca)), -EINVAL);
	ca.stack_size = ~0UL;
	(void)fake_put(TS, &ca, sizeof(ca));
	assert_int_equal(CALL2(T0, clone3, TS, sizeof(ca)), -EINVAL);
	ca.stack_size = 4096;
	ca.exit_signal = SIGCHLD;
	(void)fake_put(TS, &ca, sizeof(ca));
	assert_int_equal(CALL2(T0, clone3, TS, sizeof(ca)), -EINVAL);
}

static void
test_tids(void **state)
{
	unsigned u;

	(void)state;
	fake.proc.image_pid = 0x3fffff;
	fake.proc.next_tid = 0x3ffffe;
	assert_int_equal(fake_thread()->tid, 0x3ffffe);
	assert_int_equal(fake_thread()->tid, 300);
	for (u = 3; u < MAX_THREADS; u++)
		assert_non_null(thread_new(&fake));
	assert_null(thread_new(&fake));
	assert_int_equal(CALL1(T0, clone, THREAD_FLAGS), -EAGAIN);
	assert_int_equal(fake.proc.nthreads, MAX_THREADS);
	/* A slot that was given up is used again, its tid is not */
	thread_exit(&fake, &fake.thread[5]);
	assert_ptr_equal(thread_new(&fake), &fake.thread[5]);
	assert_int_equal(fake.thread[5].tid, 300 + MAX_THREADS - 2);
	/* The main thread's old number */
	assert_ptr_equal(thread_find(&fake, 0x3fffff), T0);
	assert_null(thread_find(&fake, 0));
	assert_null(thread_find(&fake, -1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_errors, fake_setup),
		cmocka_unit_test_setup(test_blob, fake_setup),
		cmocka_unit_test_setup(test_wake_order, fake_setup),
		cmocka_unit_test_setup(test_bitset, fake_setup),
		cmocka_unit_test_setup(test_timeouts, fake_setup),
		cmocka_unit_test_setup(test_requeue, fake_setup),
		cmocka_unit_test_setup(test_wake_op, fake_setup),
		cmocka_unit_test_setup(test_robust, fake_setup),
		cmocka_unit_test_setup(test_robust_hostile, fake_setup),
		cmocka_unit_test_setup(test_clear_tid, fake_setup),
		cmocka_unit_test_setup(test_clone, fake_setup),
		cmocka_unit_test_setup(test_clone_refused, fake_setup),
		cmocka_unit_test_setup(test_clone3, fake_setup),
		cmocka_unit_test_setup(test_tids, fake_setup),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
