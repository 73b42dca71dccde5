/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Signals: sending, masks, frames and the way back from them, interrupted
 * calls, timers.  The frame is looked at through libc's ucontext_t: what the
 * program would see.
 */

#include "proc_fake.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#define HANDLER		(FAKE_BASE + 0x5000)
#define RESTORER	(FAKE_BASE + 0x6000)
#define BUF		(FAKE_BASE + 0x100)
#define BUF2		(FAKE_BASE + 0x200)
#define ALT		(FAKE_BASE + 0x40000)
#define ALT_SIZE	0x4000UL
#define K_RESTORER	0x04000000UL
#define K_BITS		0x40dd5UL	/* RFLAGS of the user's choice */

/* ---- helpers --------------------------------------------------------- */

static void
action(int sig, uint64_t handler, uint64_t flags, uint64_t mask)
{
	struct ksigaction act = { handler, flags | K_RESTORER, RESTORER, mask };

	assert_int_equal(CALL4(T0, rt_sigaction, (uint64_t)sig,
	    fake_put(BUF, &act, sizeof(act)), 0, 8), 0);
}

static void
alt_stack(struct thread *t, uint64_t sp, uint64_t size, uint32_t flags)
{
	struct guest_stack ss = { sp, flags, 0, size };

	assert_int_equal(CALL2(t, sigaltstack,
	    fake_put(BUF, &ss, sizeof(ss)), 0), 0);
}

/* Where libc's handler would find its arguments */
static ucontext_t *
frame_uc(const struct thread *t)
{
	uint8_t *p = fake_at(t->regs.rdx, 304);

	assert_non_null(p);
	return ((ucontext_t *)(void *)p);
}

static siginfo_t *
frame_si(const struct thread *t)
{
	uint8_t *p = fake_at(t->regs.rsi, sizeof(siginfo_t));

	assert_non_null(p);
	return ((siginfo_t *)(void *)p);
}

/* The handler returns: `ret`, then the restorer's rt_sigreturn */
static void
handler_return(struct thread *t)
{

	assert_int_equal(fake_u64(t->regs.rsp), RESTORER);
	t->regs.rsp += 8;
	t->regs.rip = RESTORER + 9;
	t->regs.rax = SYS_rt_sigreturn;
	assert_int_equal(CALL0(t, rt_sigreturn), SYS_NORETURN);
}

static void
fill_regs(struct thread *t)
{
	uint64_t *r = (uint64_t *)&t->regs;
	unsigned u;

	for (u = 0; u < sizeof(t->regs) / sizeof(*r); u++)
		r[u] = 0x0101010101010101UL * (u + 1);
	t->regs.rsp = FAKE_STACK - 16;
	t->regs.rip = FAKE_BASE + 0x1002;
	t->regs.rflags = 0x202 | 0xcd5;		/* DF too */
}

/* ---- frames ---------------------------------------------------------- */

static void
test_frame(void **state)
{
	struct kvm_regs before;
	ucontext_t *uc;
	siginfo_t *si;
	uint8_t red[128], *fp;
	uint32_t v[3];

	(void)state;
	action(SIGUSR1, HANDLER, SA_SIGINFO, SIGBIT(SIGUSR2));
	fill_regs(T0);
	memset(red, 0x5a, sizeof(red));
	(void)fake_put(T0->regs.rsp - 128, red, sizeof(red));
	before = T0->regs;
	T0->sigmask = SIGBIT(SIGHUP);
	(void)signal_send(&fake, NULL, SIGUSR1, SI_USER, 0);
	assert_true(signal_pending(&fake, T0));
	assert_int_equal(signal_deliver(&fake, T0), 1);
	assert_false(signal_pending(&fake, T0));

	assert_int_equal(T0->regs.rip, HANDLER);
	assert_int_equal(T0->regs.rsp % 16, 8);
	assert_int_equal(T0->regs.rdi, SIGUSR1);
	assert_int_equal(T0->regs.rax, 0);
	assert_int_equal(T0->regs.rbx, before.rbx);
	assert_int_equal(T0->regs.rflags, before.rflags & ~0x400UL);
	assert_int_equal(T0->sigmask,
	    SIGBIT(SIGHUP) | SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2));
	assert_int_equal(fake_u64(T0->regs.rsp), RESTORER);
	assert_memory_equal(fake_at(before.rsp - 128, 128), red, sizeof(red));

	uc = frame_uc(T0);
	assert_int_equal(uc->uc_flags, 7);
	assert_int_equal(uc->uc_stack.ss_flags, SS_DISABLE);
	assert_int_equal(uc->uc_mcontext.gregs[REG_RIP], before.rip);
	assert_int_equal(uc->uc_mcontext.gregs[REG_RSP], before.rsp);
	assert_int_equal(uc->uc_mcontext.gregs[REG_EFL], before.rflags);
	assert_int_equal(uc->uc_mcontext.gregs[REG_R15], before.r15);
	assert_int_equal(uc->uc_mcontext.gregs[REG_CSGSFS],
	    0x33UL | 0x2bUL << 48);
	assert_memory_equal(&uc->uc_sigmask, "\x01\0\0\0\0\0\0\0", 8);
	si = frame_si(T0);
	assert_int_equal(si->si_signo, SIGUSR1);
	assert_int_equal(si->si_code, SI_USER);
	assert_int_equal(si->si_pid, FAKE_PID);
	assert_int_equal(si->si_uid, 1000);

	assert_int_equal((uint64_t)uc->uc_mcontext.fpregs % 64, 0);
	assert_true((uint64_t)uc->uc_mcontext.fpregs + FAKE_XSIZE + 4 <=
	    before.rsp - 128);
	assert_true((uint64_t)uc->uc_mcontext.fpregs >= T0->regs.rsp + 440);
	fp = fake_at((uint64_t)uc->uc_mcontext.fpregs, FAKE_XSIZE + 4);
	memcpy(v, fp + 464, 8);
	assert_int_equal(v[0], 0x46505853);
	assert_int_equal(v[1], FAKE_XSIZE + 4);
	memcpy(v, fp + 472, 12);
	assert_int_equal(v[0], FAKE_XCR0);
	assert_int_equal(v[2], FAKE_XSIZE);
	memcpy(v, fp + FAKE_XSIZE, 4);
	assert_int_equal(v[0], 0x46505845);
	/* The handler starts with fresh vector registers */
	memcpy(v, (uint8_t *)&fake_xsave[0] + 512, 4);
	assert_int_equal(v[0] & 4, 0);
	memcpy(v, (uint8_t *)&fake_xsave[0] + 24, 4);
	assert_int_equal(v[0], 0x1f80);
}

static void
test_round_trip(void **state)
{
	static struct kvm_xsave xs;
	struct kvm_regs before;

	(void)state;
	action(SIGUSR1, HANDLER, 0, ~0UL);
	fill_regs(T0);
	before = T0->regs;
	xs = fake_xsave[0];
	T0->sigmask = SIGBIT(SIGHUP);
	(void)signal_send(&fake, T0, SIGUSR1, SI_TKILL, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	assert_int_equal(T0->sigmask, ~SIG_UNBLOCKABLE);
	/* The handler leaves nothing as it was */
	memset(&fake_xsave[0], 0xee, sizeof(xs));
	memcpy((uint8_t *)&fake_xsave[0] + 28, "\xff\xff\0\0", 4);
	T0->regs.rbx = T0->regs.r12 = T0->regs.rcx = 0xdead;
	T0->regs.rflags = 0x2 | 0x200 | 0x10;
	handler_return(T0);
	assert_memory_equal(&T0->regs, &before, sizeof(before));
	assert_int_equal(T0->sigmask, SIGBIT(SIGHUP));
	assert_memory_equal(&fake_xsave[0], &xs, sizeof(xs));
	assert_int_equal(fake_bad_xsave, 0);
	assert_int_equal(fake_fails, 0);
}

/* Two at once: one handler runs on top of the other. */
static void
test_nested(void **state)
{
	struct kvm_regs before;

	(void)state;
	action(SIGUSR1, HANDLER, 0, 0);
	action(SIGSEGV, HANDLER + 16, 0, 0);
	action(SIGUSR2, HANDLER + 32, 0, 0);
	before = T0->regs;
	(void)signal_send(&fake, NULL, SIGUSR2, SI_USER, 0);
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	(void)signal_send(&fake, T0, SIGSEGV, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	/* SIGSEGV was taken first, the process's last: on top */
	assert_int_equal(T0->regs.rip, HANDLER + 32);
	handler_return(T0);
	assert_int_equal(T0->regs.rip, HANDLER);
	handler_return(T0);
	assert_int_equal(T0->regs.rip, HANDLER + 16);
	assert_int_equal(T0->sigmask, SIGBIT(SIGSEGV));
	handler_return(T0);
	assert_memory_equal(&T0->regs, &before, sizeof(before));
	assert_int_equal(T0->sigmask, 0);
}

/* A handler may change where it returns to. */
static void
test_changed_context(void **state)
{
	ucontext_t *uc;

	(void)state;
	action(SIGUSR1, HANDLER, 0, 0);
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	uc = frame_uc(T0);
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)FAKE_BASE;
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
	uc->uc_mcontext.gregs[REG_CSGSFS] = -1;		/* not taken */
	uc->uc_mcontext.gregs[REG_EFL] = -1;
	memset(&uc->uc_sigmask, 0xff, 8);
	handler_return(T0);
	assert_int_equal(T0->regs.rip, FAKE_BASE);
	assert_int_equal(T0->regs.rax, 4711);
	/* IOPL, VM, NT and the like stay 0, IF stays 1 */
	assert_int_equal(T0->regs.rflags, 0x202 | K_BITS);
	assert_int_equal(T0->sigmask, ~SIG_UNBLOCKABLE);
}

/* ---- hostile frames -------------------------------------------------- */

static void
push_frame(void)
{

	(void)fake_setup(NULL);
	action(SIGUSR1, HANDLER, 0, 0);
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
}

static void
dies_from(const char *what)
{

	assert_int_equal(fake_fails, 1);
	assert_int_equal(fake_code, TKVM_E_CRASH);
	if (strstr(fake_text, what) == NULL)
		fail_msg("\"%s\" does not name \"%s\"", fake_text, what);
}

static void
test_hostile_frame(void **state)
{
	static const uint64_t bad[] = {
		GVA_USER_END, 0x800000000000, 0x8000000000000000,
		0xffff800000000000, ~0UL,
	};
	ucontext_t *uc;
	uint8_t *fp;
	unsigned u;

	(void)state;
	for (u = 0; u < NELEM(bad); u++) {
		push_frame();
		uc = frame_uc(T0);
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)bad[u];
		handler_return(T0);
		dies_from("SIGSEGV");
		push_frame();
		uc = frame_uc(T0);
		uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(bad[u] + 1);
		handler_return(T0);
		if (bad[u] + 1 != 0)
			dies_from("bad frame in rt_sigreturn");
		push_frame();
		uc = frame_uc(T0);
		uc->uc_mcontext.fpregs = (fpregset_t)bad[u];
		handler_return(T0);
		dies_from("bad frame in rt_sigreturn");
	}
	/* The header: unknown feature, compacted, reserved words */
	for (u = 0; u < 64; u += 8) {
		push_frame();
		fp = fake_at((uint64_t)frame_uc(T0)->uc_mcontext.fpregs, 600);
		fp[512 + u] |= 0x80;
		handler_return(T0);
		dies_from("bad frame");
		assert_int_equal(fake_bad_xsave, 0);
	}
	/* No frame at all */
	for (u = 0; u < NELEM(bad); u++) {
		(void)fake_setup(NULL);
		T0->regs.rsp = bad[u];
		assert_int_equal(CALL0(T0, rt_sigreturn), SYS_NORETURN);
		dies_from("bad frame");
	}
	(void)fake_setup(NULL);
	T0->regs.rsp = 0;
	assert_int_equal(CALL0(T0, rt_sigreturn), SYS_NORETURN);
	dies_from("thread 100");
}

/* Vector state: sizes that lie, MXCSR with reserved bits, none at all */
static void
test_hostile_fpstate(void **state)
{
	static const uint32_t sizes[] = { 0, 511, 575, 833, 4096, 0xffffffff };
	ucontext_t *uc;
	uint8_t *fp;
	uint32_t v;
	uint64_t bv;
	unsigned u;

	(void)state;
	for (u = 0; u < NELEM(sizes); u++) {
		push_frame();
		fp = fake_at((uint64_t)frame_uc(T0)->uc_mcontext.fpregs, 600);
		memcpy(fp + 480, &sizes[u], 4);
		fp[528] = 1;		/* not looked at: FXSAVE's part only */
		handler_return(T0);
		assert_int_equal(fake_fails, 0);
		memcpy(&bv, (uint8_t *)&fake_xsave[0] + 512, 8);
		assert_int_equal(bv, 3);
	}
	push_frame();
	fp = fake_at((uint64_t)frame_uc(T0)->uc_mcontext.fpregs,
	    FAKE_XSIZE + 4);
	fp[FAKE_XSIZE] ^= 1;		/* no FP_XSTATE_MAGIC2 */
	handler_return(T0);
	memcpy(&bv, (uint8_t *)&fake_xsave[0] + 512, 8);
	assert_int_equal(bv, 3);
	push_frame();
	fp = fake_at((uint64_t)frame_uc(T0)->uc_mcontext.fpregs, 600);
	memset(fp + 24, 0xff, 8);
	handler_return(T0);
	memcpy(&v, (uint8_t *)&fake_xsave[0] + 24, 4);
	assert_int_equal(v & ~0xffffU, 0);
	push_frame();
	uc = frame_uc(T0);
	uc->uc_mcontext.fpregs = NULL;
	memset(&fake_xsave[0], 0x77, 24);
	handler_return(T0);
	memcpy(&v, &fake_xsave[0], 4);
	assert_int_equal(v, 0x37f);
	assert_int_equal(fake_bad_xsave + fake_fails, 0);
}

/* Whatever is in the frame: what reaches KVM is in range. */
static void
test_random_frames(void **state)
{
	uint8_t *p, *fp;
	unsigned n, k, u;

	(void)state;
	srandom(4711);
	for (n = 0; n < 3000; n++) {
		push_frame();
		p = fake_at(T0->regs.rsp, 440);
		fp = fake_at((uint64_t)frame_uc(T0)->uc_mcontext.fpregs,
		    FAKE_XSIZE + 4);
		for (k = 0; k < 1 + n % 5; k++) {
			u = (unsigned)random();
			if (n % 3)
				p[8 + u % 304] = (uint8_t)random();
			else
				fp[u % (FAKE_XSIZE + 4)] = (uint8_t)random();
		}
		T0->regs.rsp += 8;
		assert_int_equal(CALL0(T0, rt_sigreturn), SYS_NORETURN);
		assert_true(T0->regs.rip < GVA_USER_END);
		assert_int_equal(T0->regs.rflags & ~K_BITS, 0x202);
		assert_int_equal(T0->sigmask & SIG_UNBLOCKABLE, 0);
		assert_int_equal(fake_bad_xsave, 0);
	}
}

/* SIGSEGV's own handler is called for a bad frame. */
static void
test_bad_frame_handled(void **state)
{

	(void)state;
	action(SIGSEGV, HANDLER, SA_ONSTACK, 0);
	alt_stack(T0, ALT, ALT_SIZE, 0);
	T0->regs.rsp = 0;
	assert_int_equal(CALL0(T0, rt_sigreturn), SYS_NORETURN);
	assert_int_equal(fake_fails, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	assert_int_equal(T0->regs.rip, HANDLER);
	assert_int_equal(frame_si(T0)->si_code, 0x80);
	/* Inside it the same again is the end */
	T0->regs.rsp = 0;
	assert_int_equal(CALL0(T0, rt_sigreturn), SYS_NORETURN);
	dies_from("SIGSEGV");
}

static void
test_no_room(void **state)
{

	(void)state;
	/* The stack is gone, no alternate one */
	action(SIGUSR1, HANDLER, 0, 0);
	action(SIGSEGV, HANDLER, 0, 0);
	T0->regs.rsp = FAKE_BASE + 100;
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	dies_from("SIGSEGV");
	assert_int_equal(fake.proc.exit_status, SIGSEGV);
	/* No SA_RESTORER; a handler where no program can be */
	(void)fake_setup(NULL);
	action(SIGUSR1, HANDLER, 0, 0);
	fake.proc.sigact[SIGUSR1].flags = 0;
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	dies_from("SIGSEGV");
	(void)fake_setup(NULL);
	action(SIGUSR1, 0xffffffff81000000, 0, 0);
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	dies_from("SIGSEGV");
	/* Stack pointers that wrap */
	(void)fake_setup(NULL);
	action(SIGUSR1, HANDLER, 0, 0);
	T0->regs.rsp = 64;
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	dies_from("SIGSEGV");
}

/* ---- the alternate stack --------------------------------------------- */

static void
test_altstack(void **state)
{
	struct guest_stack ss;

	(void)state;
	alt_stack(T0, ALT, ALT_SIZE, 0);
	action(SIGUSR1, HANDLER, SA_ONSTACK, 0);
	action(SIGUSR2, HANDLER, SA_ONSTACK, 0);
	action(SIGHUP, HANDLER, 0, 0);
	(void)signal_send(&fake, T0, SIGHUP, SI_USER, 0);
	(void)signal_deliver(&fake, T0);
	assert_false(altstack_on(T0, T0->regs.rsp));
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	(void)signal_deliver(&fake, T0);
	assert_true(altstack_on(T0, T0->regs.rsp));
	assert_int_equal(frame_uc(T0)->uc_stack.ss_size, ALT_SIZE);
	/* Being on it */
	assert_int_equal(CALL2(T0, sigaltstack, 0, BUF), 0);
	assert_int_equal(as_read(NULL, BUF, &ss, sizeof(ss)), 0);
	assert_int_equal(ss.flags, SS_ONSTACK);
	assert_int_equal(ss.sp, ALT);
	assert_int_equal(CALL2(T0, sigaltstack, BUF, 0), -EPERM);
	/* A second one goes below the first */
	(void)signal_send(&fake, T0, SIGUSR2, SI_USER, 0);
	(void)signal_deliver(&fake, T0);
	assert_true(altstack_on(T0, T0->regs.rsp));
	handler_return(T0);
	handler_return(T0);
	assert_false(altstack_on(T0, T0->regs.rsp));
	handler_return(T0);
	assert_int_equal(T0->regs.rsp, FAKE_STACK);
	assert_int_equal(T0->alt_size, ALT_SIZE);
	/* Full: no frame beside it */
	T0->regs.rsp = ALT + 200;
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	dies_from("no frame");
}

static void
test_altstack_set(void **state)
{
	struct guest_stack ss = { ALT, 0, 0, 2047 };

	(void)state;
	(void)fake_put(BUF, &ss, sizeof(ss));
	assert_int_equal(CALL2(T0, sigaltstack, BUF, 0), -ENOMEM);
	ss.flags = 4;
	ss.size = ALT_SIZE;
	(void)fake_put(BUF, &ss, sizeof(ss));
	assert_int_equal(CALL2(T0, sigaltstack, BUF, 0), -EINVAL);
	assert_int_equal(CALL2(T0, sigaltstack, 8, 0), -EFAULT);
	assert_int_equal(CALL2(T0, sigaltstack, 0, BUF2), 0);
	assert_int_equal(fake_u32(BUF2 + 8), SS_DISABLE);
	/* SS_AUTODISARM: gone while the handler runs, back afterwards */
	alt_stack(T0, ALT, ALT_SIZE, 1U << 31);
	action(SIGUSR1, HANDLER, SA_ONSTACK, 0);
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	(void)signal_deliver(&fake, T0);
	assert_true(T0->regs.rsp > ALT && T0->regs.rsp < ALT + ALT_SIZE);
	assert_int_equal(T0->alt_size, 0);
	handler_return(T0);
	assert_int_equal(T0->alt_size, ALT_SIZE);
	assert_int_equal(T0->alt_flags, 1U << 31);
	assert_int_equal(T0->regs.rsp, FAKE_STACK);
	alt_stack(T0, ALT, 0, SS_DISABLE);
	assert_int_equal(T0->alt_sp, 0);
}

/* ---- masks and actions ----------------------------------------------- */

static void
test_masks(void **state)
{
	uint64_t set = SIGBIT(SIGUSR1) | SIGBIT(SIGKILL) | SIGBIT(SIGSTOP);

	(void)state;
	action(SIGUSR1, HANDLER, 0, 0);
	(void)fake_put(BUF, &set, 8);
	assert_int_equal(CALL4(T0, rt_sigprocmask, SIG_BLOCK, BUF, 0, 4),
	    -EINVAL);
	assert_int_equal(CALL4(T0, rt_sigprocmask, 7, BUF, 0, 8), -EINVAL);
	assert_int_equal(CALL4(T0, rt_sigprocmask, SIG_BLOCK, 8, 0, 8),
	    -EFAULT);
	assert_int_equal(CALL4(T0, rt_sigprocmask, SIG_BLOCK, BUF, BUF2, 8),
	    0);
	assert_int_equal(fake_u64(BUF2), 0);
	assert_int_equal(T0->sigmask, SIGBIT(SIGUSR1));
	assert_int_equal(CALL2(T0, kill, FAKE_PID, SIGUSR1), 0);
	assert_false(signal_pending(&fake, T0));
	assert_int_equal(CALL2(T0, rt_sigpending, BUF2, 8), 0);
	assert_int_equal(fake_u64(BUF2), SIGBIT(SIGUSR1));
	assert_int_equal(CALL2(T0, rt_sigpending, BUF2, 9), -EINVAL);
	assert_int_equal(CALL4(T0, rt_sigprocmask, SIG_UNBLOCK, BUF, BUF2, 8),
	    0);
	assert_int_equal(fake_u64(BUF2), SIGBIT(SIGUSR1));
	assert_true(signal_pending(&fake, T0));
	assert_int_equal(signal_deliver(&fake, T0), 1);
	assert_int_equal(T0->regs.rip, HANDLER);
	handler_return(T0);
	/* SIG_SETMASK with how ignored for a NULL set */
	assert_int_equal(CALL4(T0, rt_sigprocmask, 7, 0, BUF2, 8), 0);
	set = ~0UL;
	(void)fake_put(BUF, &set, 8);
	assert_int_equal(CALL4(T0, rt_sigprocmask, SIG_SETMASK, BUF, 0, 8), 0);
	assert_int_equal(T0->sigmask, ~SIG_UNBLOCKABLE);
	/* SIGKILL gets through */
	assert_int_equal(CALL2(T0, kill, 0, SIGKILL), 0);
	assert_true(signal_pending(&fake, T0));
	assert_int_equal(signal_deliver(&fake, T0), 1);
	dies_from("SIGKILL");
}

static void
test_action_flags(void **state)
{
	struct ksigaction act;

	(void)state;
	action(SIGUSR1, HANDLER, SA_NODEFER | SA_RESETHAND, 0);
	assert_int_equal(CALL4(T0, rt_sigaction, SIGUSR1, 0, BUF, 8), 0);
	assert_int_equal(as_read(NULL, BUF, &act, sizeof(act)), 0);
	assert_int_equal(act.handler, HANDLER);
	assert_int_equal(act.flags, SA_NODEFER | SA_RESETHAND | K_RESTORER);
	(void)signal_send(&fake, T0, SIGUSR1, SI_USER, 0);
	(void)signal_deliver(&fake, T0);
	assert_int_equal(T0->sigmask, 0);
	assert_int_equal(fake.proc.sigact[SIGUSR1].handler, GUEST_SIG_DFL);
	handler_return(T0);
	assert_int_equal(CALL4(T0, rt_sigaction, 0, 0, BUF, 8), -EINVAL);
	assert_int_equal(CALL4(T0, rt_sigaction, 65, 0, BUF, 8), -EINVAL);
	assert_int_equal(CALL4(T0, rt_sigaction, SIGKILL, BUF, 0, 8), -EINVAL);
	assert_int_equal(CALL4(T0, rt_sigaction, SIGKILL, 0, BUF, 8), 0);
	assert_int_equal(CALL4(T0, rt_sigaction, SIGHUP, BUF, 0, 16), -EINVAL);
	assert_int_equal(CALL4(T0, rt_sigaction, SIGHUP, 8, 0, 8), -EFAULT);
	/* Unknown flags are forgotten, SIGKILL is not in a mask */
	action(64, HANDLER, 0x00f0, ~0UL);
	assert_int_equal(fake.proc.sigact[64].flags, K_RESTORER);
	assert_int_equal(fake.proc.sigact[64].mask, ~SIG_UNBLOCKABLE);
}

static void
test_default_actions(void **state)
{

	(void)state;
	(void)signal_send(&fake, T0, SIGCHLD, SI_USER, 0);
	(void)signal_send(&fake, T0, SIGWINCH, SI_USER, 0);
	assert_int_equal(T0->sigpending, 0);
	(void)signal_send(&fake, NULL, SIGTSTP, SI_USER, 0);
	(void)signal_send(&fake, NULL, SIGSTOP, SI_USER, 0);
	assert_int_equal(signal_deliver(&fake, T0), 0);
	assert_int_equal(fake.proc.sigpending, 0);
	(void)signal_send(&fake, NULL, 0, SI_USER, 0);
	(void)signal_send(&fake, NULL, 65, SI_USER, 0);
	(void)signal_send(&fake, NULL, -1, SI_USER, 0);
	assert_int_equal(fake.proc.sigpending, 0);
	/* Blocked: kept, as the action may change */
	T0->sigmask = SIGBIT(SIGCHLD);
	(void)signal_send(&fake, T0, SIGCHLD, SI_USER, 0);
	assert_int_equal(T0->sigpending, SIGBIT(SIGCHLD));
	T0->sigmask = 0;
	assert_int_equal(signal_deliver(&fake, T0), 0);
	assert_int_equal(T0->sigpending, 0);
	/* SIG_IGN throws away what is pending */
	T0->sigmask = SIGBIT(SIGTERM);
	(void)signal_send(&fake, NULL, SIGTERM, SI_USER, 0);
	action(SIGTERM, GUEST_SIG_IGN, 0, 0);
	assert_int_equal(fake.proc.sigpending, 0);
	T0->sigmask = 0;
	(void)signal_send(&fake, NULL, SIGTERM, SI_USER, 0);
	assert_false(signal_pending(&fake, T0));
	assert_int_equal(fake_fails, 0);
	T0->regs.rip = 0x401234;
	signal_sigpipe(&fake, T0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	assert_string_equal(fake_text,
	    "killed by SIGPIPE at 0x401234 in main+0x34, thread 100");
	assert_int_equal(fake.proc.exit_status, SIGPIPE);
}

static void
test_fault(void **state)
{
	ucontext_t *uc;

	(void)state;
	action(SIGSEGV, HANDLER, SA_SIGINFO, 0);
	assert_int_equal(signal_fault(&fake, T0, SIGSEGV, SEGV_MAPERR, 0x1238,
	    14, 6), 0);
	assert_int_equal(signal_deliver(&fake, T0), 1);
	uc = frame_uc(T0);
	assert_int_equal((uint64_t)frame_si(T0)->si_addr, 0x1238);
	assert_int_equal(frame_si(T0)->si_code, SEGV_MAPERR);
	assert_int_equal(uc->uc_mcontext.gregs[REG_TRAPNO], 14);
	assert_int_equal(uc->uc_mcontext.gregs[REG_ERR], 6);
	assert_int_equal(uc->uc_mcontext.gregs[REG_CR2], 0x1238);
	/* Once more in its handler: blocked, the end */
	T0->regs.rip = 0x5678;
	assert_int_equal(signal_fault(&fake, T0, SIGSEGV, SEGV_MAPERR, 0x10,
	    14, 4), -1);
	assert_string_equal(fake_text, "killed by SIGSEGV at 0x5678 "
	    "(address 0x10) in main+0x78, thread 100");
	(void)fake_setup(NULL);
	action(SIGFPE, GUEST_SIG_IGN, 0, 0);
	assert_int_equal(signal_fault(&fake, T0, SIGFPE, FPE_INTDIV, 0, 0, 0),
	    -1);
	dies_from("SIGFPE");
}

/* ---- sending --------------------------------------------------------- */

static void
test_kill(void **state)
{
	struct thread *t = fake_thread();
	struct guest_siginfo si;
	uint32_t tid = (uint32_t)t->tid;

	(void)state;
	fake.proc.image_pid = 77;
	assert_int_equal(CALL2(T0, kill, FAKE_PID, 0), 0);
	assert_int_equal(CALL2(T0, kill, 77, 0), 0);
	assert_int_equal(CALL2(T0, kill, 0, 0), 0);
	assert_int_equal(CALL2(T0, kill, (uint64_t)-(int64_t)FAKE_PID, 0), 0);
	assert_int_equal(CALL2(T0, kill, 1, SIGTERM), -ESRCH);
	assert_int_equal(CALL2(T0, kill, (uint64_t)-1, SIGTERM), -ESRCH);
	assert_int_equal(CALL2(T0, kill, 0x80000000, SIGTERM), -ESRCH);
	assert_int_equal(CALL2(T0, kill, FAKE_PID, 65), -EINVAL);
	assert_int_equal(CALL2(T0, kill, FAKE_PID, (uint64_t)-1), -EINVAL);
	assert_int_equal(CALL3(T0, tgkill, FAKE_PID, tid, SIGUSR1), 0);
	assert_int_equal(t->sigpending, SIGBIT(SIGUSR1));
	assert_int_equal(t->sig_code[SIGUSR1], SI_TKILL);
	/* Old numbers of process and main thread */
	assert_int_equal(CALL3(t, tgkill, 77, 77, SIGUSR2), 0);
	assert_int_equal(T0->sigpending, SIGBIT(SIGUSR2));
	assert_int_equal(CALL3(T0, tgkill, 78, tid, SIGUSR1), -ESRCH);
	assert_int_equal(CALL3(T0, tgkill, 0, tid, SIGUSR1), -EINVAL);
	assert_int_equal(CALL3(T0, tgkill, FAKE_PID, 5000, SIGUSR1), -ESRCH);
	assert_int_equal(CALL2(T0, tkill, tid, SIGHUP), 0);
	assert_int_equal(CALL2(T0, tkill, (uint64_t)-1, SIGHUP), -EINVAL);
	/* Everybody else, even if the pid was 1 at the freeze */
	fake.proc.image_pid = 1;
	assert_int_equal(CALL2(T0, kill, (uint64_t)-1, SIGTERM), -ESRCH);
	assert_int_equal(CALL2(T0, kill, 1, 0), 0);
	fake.proc.image_pid = 77;
	/* With a value; not in the kernel's name */
	memset(&si, 0, sizeof(si));
	si.code = SI_QUEUE;
	si.u.rt.value = 0xabcdef;
	(void)fake_put(BUF, &si, sizeof(si));
	assert_int_equal(CALL3(T0, rt_sigqueueinfo, FAKE_PID, 40, BUF), 0);
	assert_int_equal(fake.proc.sig_val[40], 0xabcdef);
	assert_int_equal(CALL3(T0, rt_sigqueueinfo, 1, 40, BUF), -ESRCH);
	assert_int_equal(CALL4(T0, rt_tgsigqueueinfo, FAKE_PID, tid, 41, BUF),
	    0);
	assert_int_equal(t->sig_val[41], 0xabcdef);
	si.code = SI_USER;
	(void)fake_put(BUF, &si, sizeof(si));
	assert_int_equal(CALL4(T0, rt_tgsigqueueinfo, FAKE_PID, tid, 41, BUF),
	    -EPERM);
	assert_int_equal(CALL3(T0, rt_sigqueueinfo, FAKE_PID, 40, 8), -EFAULT);
}

/* ---- interrupted calls ----------------------------------------------- */

static void
block_in(struct thread *t, uint64_t nr, uint64_t deadline)
{

	t->nr = nr;
	t->state = T_WAIT;
	t->restart = 1;
	t->deadline = deadline;
	t->regs.rip = FAKE_BASE + 0x1002;
	t->regs.rsp = FAKE_STACK;
	t->regs.rax = 999;
	t->progress = 0;
}

/* RIP and RAX behind the handler's frame */
static void
interrupted(uint64_t nr, uint64_t deadline, uint64_t progress, int rewound,
    int64_t rax)
{
	ucontext_t *uc;

	block_in(T0, nr, deadline);
	T0->progress = progress;
	(void)signal_send(&fake, NULL, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_interrupt(&fake, T0), 1);
	assert_int_equal(T0->state, T_RUN);
	assert_int_equal(T0->regs.rip, HANDLER);
	uc = frame_uc(T0);
	assert_int_equal(uc->uc_mcontext.gregs[REG_RIP],
	    FAKE_BASE + (rewound ? 0x1000 : 0x1002));
	assert_int_equal(uc->uc_mcontext.gregs[REG_RAX], rax);
	handler_return(T0);
}

static void
test_restart(void **state)
{
	uint64_t soon = fake_mono + 5;

	(void)state;
	action(SIGUSR1, HANDLER, SA_RESTART, 0);
	interrupted(SYS_read, UINT64_MAX, 0, 1, SYS_read);
	interrupted(SYS_accept4, UINT64_MAX, 0, 1, SYS_accept4);
	interrupted(SYS_futex, UINT64_MAX, 0, 1, SYS_futex);
	interrupted(SYS_futex, soon, 0, 0, -EINTR);
	interrupted(SYS_recvfrom, soon, 0, 0, -EINTR);	/* SO_RCVTIMEO */
	interrupted(SYS_write, UINT64_MAX, 123, 0, 123);
	interrupted(SYS_epoll_wait, UINT64_MAX, 0, 0, -EINTR);
	interrupted(SYS_poll, UINT64_MAX, 0, 0, -EINTR);
	interrupted(SYS_pause, UINT64_MAX, 0, 0, -EINTR);
	action(SIGUSR1, HANDLER, 0, 0);
	interrupted(SYS_read, UINT64_MAX, 0, 0, -EINTR);
	/* A wake that came before the signal counts */
	block_in(T0, SYS_futex, UINT64_MAX);
	T0->woken = 1;
	(void)signal_send(&fake, NULL, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_interrupt(&fake, T0), 1);
	assert_int_equal(frame_uc(T0)->uc_mcontext.gregs[REG_RAX], 0);
	assert_int_equal(T0->woken, 0);
}

static void
test_interrupt_ignored(void **state)
{
	struct thread *t = fake_thread();

	(void)state;
	block_in(t, SYS_read, UINT64_MAX);
	assert_int_equal(signal_interrupt(&fake, t), 0);
	T0->sigmask = t->sigmask = SIGBIT(SIGCHLD);
	(void)signal_send(&fake, t, SIGCHLD, SI_USER, 0);
	t->sigmask = 0;
	assert_true(signal_pending(&fake, t));
	assert_int_equal(signal_interrupt(&fake, t), 0);
	assert_int_equal(t->state, T_WAIT);
	assert_false(signal_pending(&fake, t));
	assert_int_equal(t->regs.rax, 999);
	/* A running thread is not interrupted */
	(void)signal_send(&fake, T0, SIGTERM, SI_USER, 0);
	assert_int_equal(signal_interrupt(&fake, T0), 0);
	(void)signal_send(&fake, t, SIGTERM, SI_USER, 0);
	assert_int_equal(signal_interrupt(&fake, t), 1);
	dies_from("killed by SIGTERM at 0x101002");
}

static void
test_sleep(void **state)
{
	uint64_t ts = fake_ts(BUF2, 10, 0);
	uint64_t abs = fake_ts(BUF2 + 16, 2000, 0);

	(void)state;
	action(SIGUSR1, HANDLER, SA_RESTART, 0);
	assert_int_equal(CALL2(T0, nanosleep, ts, BUF2 + 64), SYS_BLOCK);
	fake_mono += 3 * NSEC;
	assert_int_equal(RETRY(T0, nanosleep), SYS_BLOCK);
	(void)signal_send(&fake, NULL, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_interrupt(&fake, T0), 1);
	assert_int_equal(frame_uc(T0)->uc_mcontext.gregs[REG_RAX], -EINTR);
	assert_int_equal(fake_u64(BUF2 + 64), 7);
	handler_return(T0);
	assert_int_equal(CALL2(T0, nanosleep, ts, 0), SYS_BLOCK);
	fake_mono += 10 * NSEC;
	assert_int_equal(RETRY(T0, nanosleep), 0);
	/* Absolute: no remaining time */
	assert_int_equal(CALL4(T0, clock_nanosleep, CLOCK_MONOTONIC,
	    TIMER_ABSTIME, abs, BUF2 + 64), SYS_BLOCK);
	assert_int_equal(T0->deadline, 2000 * NSEC);
	(void)fake_ts(BUF2 + 64, 1, 1);
	(void)signal_send(&fake, NULL, SIGUSR1, SI_USER, 0);
	assert_int_equal(signal_interrupt(&fake, T0), 1);
	assert_int_equal(fake_u64(BUF2 + 64), 1);
	handler_return(T0);
	/* Past, bad, impossible */
	fake.resched = 0;
	assert_int_equal(CALL4(T0, clock_nanosleep, CLOCK_REALTIME,
	    TIMER_ABSTIME, abs, 0), 0);
	assert_int_equal(fake.resched, 1);
	assert_int_equal(CALL2(T0, nanosleep, fake_ts(BUF2, 0, -1), 0),
	    -EINVAL);
	assert_int_equal(CALL2(T0, nanosleep, 8, 0), -EFAULT);
	assert_int_equal(CALL4(T0, clock_nanosleep, CLOCK_THREAD_CPUTIME_ID,
	    0, abs, 0), -EOPNOTSUPP);
	assert_int_equal(CALL4(T0, clock_nanosleep, 77, 0, abs, 0), -EINVAL);
}

static void
test_sigsuspend(void **state)
{
	uint64_t set = SIGBIT(SIGHUP);

	(void)state;
	action(SIGUSR1, HANDLER, 0, 0);
	T0->sigmask = SIGBIT(SIGUSR1);
	(void)signal_send(&fake, NULL, SIGUSR1, SI_USER, 0);
	(void)fake_put(BUF, &set, 8);
	assert_int_equal(CALL2(T0, rt_sigsuspend, BUF, 4), -EINVAL);
	assert_int_equal(CALL2(T0, rt_sigsuspend, 0, 8), -EFAULT);
	assert_int_equal(CALL2(T0, rt_sigsuspend, BUF, 8), SYS_BLOCK);
	assert_int_equal(T0->sigmask, SIGBIT(SIGHUP));
	assert_int_equal(RETRY(T0, rt_sigsuspend), SYS_BLOCK);
	assert_true(signal_pending(&fake, T0));
	assert_int_equal(signal_interrupt(&fake, T0), 1);
	/* In the handler: the temporary mask and the signal itself */
	assert_int_equal(T0->sigmask, SIGBIT(SIGHUP) | SIGBIT(SIGUSR1));
	handler_return(T0);
	assert_int_equal(T0->sigmask, SIGBIT(SIGUSR1));
	assert_int_equal(T0->regs.rax, (uint64_t)-EINTR);
	assert_int_equal(T0->in_sigsuspend, 0);
	/* The same for the masks of epoll_pwait and its like */
	T0->restart = 0;
	assert_int_equal(signal_wait_mask(&fake, T0, 0, 8), 0);
	assert_int_equal(signal_wait_mask(&fake, T0, BUF, 7), -EINVAL);
	assert_int_equal(signal_wait_mask(&fake, T0, 8, 8), -EFAULT);
	assert_int_equal(signal_wait_mask(&fake, T0, BUF, 8), 0);
	assert_int_equal(T0->sigmask, SIGBIT(SIGHUP));
	signal_wait_done(T0);
	signal_wait_done(T0);
	assert_int_equal(T0->sigmask, SIGBIT(SIGUSR1));
}

static void
test_sigtimedwait(void **state)
{
	struct guest_siginfo si;
	uint64_t set = SIGBIT(SIGUSR1) | SIGBIT(SIGCHLD) | SIGBIT(SIGKILL);
	uint64_t ts;

	(void)state;
	T0->sigmask = SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2);
	(void)fake_put(BUF, &set, 8);
	ts = fake_ts(BUF2, 0, 0);
	assert_int_equal(CALL4(T0, rt_sigtimedwait, BUF, 0, ts, 8), -EAGAIN);
	assert_int_equal(CALL4(T0, rt_sigtimedwait, BUF, 0, ts, 7), -EINVAL);
	assert_int_equal(CALL4(T0, rt_sigtimedwait, 8, 0, ts, 8), -EFAULT);
	ts = fake_ts(BUF2, 4, 0);
	assert_int_equal(CALL4(T0, rt_sigtimedwait, BUF, BUF + 64, ts, 8),
	    SYS_BLOCK);
	(void)signal_send(&fake, NULL, SIGUSR2, SI_USER, 0);
	assert_false(T0->woken);
	/* Waited for: not ignored, though that is its default */
	(void)signal_send(&fake, NULL, SIGCHLD, SI_QUEUE, 55);
	assert_true(T0->woken);
	assert_false(signal_pending(&fake, T0));
	assert_int_equal(RETRY(T0, rt_sigtimedwait), SIGCHLD);
	assert_int_equal(as_read(NULL, BUF + 64, &si, sizeof(si)), 0);
	assert_int_equal(si.signo, SIGCHLD);
	assert_int_equal(si.u.rt.value, 55);
	assert_int_equal(T0->sigwait, 0);
	/* Time-out; a signal outside the set */
	assert_int_equal(CALL4(T0, rt_sigtimedwait, BUF, 0, ts, 8), SYS_BLOCK);
	fake_mono += 4 * NSEC;
	assert_int_equal(RETRY(T0, rt_sigtimedwait), -EAGAIN);
	action(SIGHUP, HANDLER, SA_RESTART, 0);
	(void)fake_put(BUF, &set, 8);
	assert_int_equal(CALL4(T0, rt_sigtimedwait, BUF, 0, 0, 8), SYS_BLOCK);
	(void)signal_send(&fake, T0, SIGHUP, SI_USER, 0);
	assert_int_equal(signal_interrupt(&fake, T0), 1);
	assert_int_equal(frame_uc(T0)->uc_mcontext.gregs[REG_RAX], -EINTR);
	assert_int_equal(T0->sigwait, 0);
	handler_return(T0);
	/* Already there: the lowest first */
	(void)signal_send(&fake, T0, SIGUSR1, SI_TKILL, 0);
	assert_int_equal(CALL4(T0, rt_sigtimedwait, BUF, 0, 0, 8), SIGUSR1);
}

/* ---- timers ---------------------------------------------------------- */

static void
test_itimer(void **state)
{
	int64_t it[4] = { 0, 500000, 1, 0 };	/* every 0.5 s, first in 1 s */

	(void)state;
	action(SIGALRM, HANDLER, 0, 0);
	assert_int_equal(timers_run(&fake), UINT64_MAX);
	(void)fake_put(BUF, it, sizeof(it));
	assert_int_equal(CALL3(T0, setitimer, ITIMER_REAL, BUF, BUF2), 0);
	assert_int_equal(fake_u64(BUF2 + 16), 0);
	assert_int_equal(timers_run(&fake), fake_mono + NSEC);
	assert_false(signal_pending(&fake, T0));
	fake_mono += NSEC;
	assert_int_equal(timers_run(&fake), fake_mono);
	assert_int_equal(timers_run(&fake), fake_mono + NSEC / 2);
	assert_true(signal_pending(&fake, T0));
	/* Missed ones are one */
	fake_mono += 10 * NSEC + 1;
	assert_int_equal(timers_run(&fake), fake_mono);
	assert_int_equal(timers_run(&fake), fake_mono - 1 + NSEC / 2);
	(void)signal_deliver(&fake, T0);
	assert_int_equal(frame_si(T0)->si_code, 0x80);
	assert_int_equal(CALL2(T0, getitimer, ITIMER_REAL, BUF), 0);
	assert_int_equal(fake_u64(BUF + 8), 500000);
	assert_int_equal(CALL1(T0, alarm, 10), 1);	/* replaces it */
	assert_int_equal(CALL1(T0, alarm, 0), 10);
	assert_int_equal(CALL1(T0, alarm, 0), 0);
	assert_int_equal(timers_run(&fake), UINT64_MAX);
	it[1] = 1000000;
	(void)fake_put(BUF, it, sizeof(it));
	assert_int_equal(CALL3(T0, setitimer, 0, BUF, 0), -EINVAL);
	assert_int_equal(CALL3(T0, setitimer, 3, 0, 0), -EINVAL);
	assert_int_equal(CALL3(T0, setitimer, 0, 8, 0), -EFAULT);
	it[0] = it[2] = INT64_MAX;
	it[1] = 0;
	(void)fake_put(BUF, it, sizeof(it));
	assert_int_equal(CALL3(T0, setitimer, 0, BUF, 0), 0);
	assert_true(timers_run(&fake) > fake_mono);
	assert_int_equal(CALL2(T0, getitimer, 0, BUF), 0);
}

static int32_t
new_timer(int notify, int sig, int32_t tid, uint64_t value)
{
	struct { uint64_t v; int32_t sig, notify, tid; uint8_t pad[44]; } ev;

	memset(&ev, 0, sizeof(ev));
	ev.v = value;
	ev.sig = sig;
	ev.notify = notify;
	ev.tid = tid;
	(void)fake_put(BUF, &ev, sizeof(ev));
	if (CALL3(T0, timer_create, CLOCK_MONOTONIC, BUF, BUF2) < 0)
		return (-1);
	return ((int32_t)fake_u32(BUF2));
}

static void
test_posix_timer(void **state)
{
	struct thread *t = fake_thread();
	int64_t its[4] = { 1, 0, 2, 0 };	/* every 1 s, first in 2 s */
	uint64_t id;

	(void)state;
	action(40, HANDLER, 0, 0);
	assert_int_equal(new_timer(4, 40, 4242, 0), -1);
	assert_int_equal(new_timer(7, 40, 0, 0), -1);
	assert_int_equal(new_timer(SIGEV_SIGNAL, 65, 0, 0), -1);
	assert_int_equal(CALL3(T0, timer_create, 77, 0, BUF2), -EINVAL);
	assert_int_equal(CALL3(T0, timer_create, 0, 0, 8), -EFAULT);
	assert_int_equal(new_timer(SIGEV_NONE, 0, 0, 0), 0);
	id = (uint64_t)new_timer(4, 40, t->tid, 0x77);
	assert_int_equal(id, 1);
	(void)fake_put(BUF, its, sizeof(its));
	assert_int_equal(CALL4(T0, timer_settime, id, 0, BUF, BUF2), 0);
	assert_int_equal(fake_u64(BUF2 + 16), 0);
	assert_int_equal(timers_run(&fake), fake_mono + 2 * NSEC);
	fake_mono += 4 * NSEC;			/* 3 times */
	assert_int_equal(timers_run(&fake), fake_mono);
	assert_int_equal(timers_run(&fake), fake_mono + NSEC);
	assert_false(signal_pending(&fake, T0));
	assert_true(signal_pending(&fake, t));
	assert_int_equal(fake.proc.gtimer[1].overrun, 2);
	fake_mono += NSEC;
	(void)timers_run(&fake);
	(void)signal_deliver(&fake, t);
	assert_int_equal(frame_si(t)->si_code, SI_TIMER);
	assert_int_equal(frame_si(t)->si_timerid, 1);
	assert_int_equal(frame_si(t)->si_overrun, 3);
	assert_int_equal((uint64_t)frame_si(t)->si_ptr, 0x77);
	assert_int_equal(CALL1(T0, timer_getoverrun, id), 3);
	assert_int_equal(CALL2(T0, timer_gettime, id, BUF2), 0);
	assert_int_equal(fake_u64(BUF2), 1);
	assert_int_equal(fake_u64(BUF2 + 16), 1);
	/* Absolute and long ago: due at once */
	its[0] = 0;
	its[2] = 1;
	(void)fake_put(BUF, its, sizeof(its));
	assert_int_equal(CALL4(T0, timer_settime, 0, TIMER_ABSTIME, BUF, 0),
	    0);
	assert_true(fake.proc.gtimer[0].next <= fake_mono);
	(void)timers_run(&fake);
	assert_int_equal(fake.proc.gtimer[0].next, 0);
	assert_int_equal(CALL1(T0, timer_delete, id), 0);
	assert_int_equal(CALL1(T0, timer_delete, id), -EINVAL);
	assert_int_equal(CALL1(T0, timer_getoverrun, 99), -EINVAL);
	assert_int_equal(CALL2(T0, timer_gettime, (uint64_t)-1, BUF), -EINVAL);
	while (new_timer(SIGEV_NONE, 0, 0, 0) >= 0)
		continue;
	assert_int_equal(CALL3(T0, timer_create, 1, 0, BUF2), -EAGAIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_frame, fake_setup),
		cmocka_unit_test_setup(test_round_trip, fake_setup),
		cmocka_unit_test_setup(test_nested, fake_setup),
		cmocka_unit_test_setup(test_changed_context, fake_setup),
		cmocka_unit_test_setup(test_hostile_frame, fake_setup),
		cmocka_unit_test_setup(test_hostile_fpstate, fake_setup),
		cmocka_unit_test_setup(test_random_frames, fake_setup),
		cmocka_unit_test_setup(test_bad_frame_handled, fake_setup),
		cmocka_unit_test_setup(test_no_room, fake_setup),
		cmocka_unit_test_setup(test_altstack, fake_setup),
		cmocka_unit_test_setup(test_altstack_set, fake_setup),
		cmocka_unit_test_setup(test_masks, fake_setup),
		cmocka_unit_test_setup(test_action_flags, fake_setup),
		cmocka_unit_test_setup(test_default_actions, fake_setup),
		cmocka_unit_test_setup(test_fault, fake_setup),
		cmocka_unit_test_setup(test_kill, fake_setup),
		cmocka_unit_test_setup(test_restart, fake_setup),
		cmocka_unit_test_setup(test_interrupt_ignored, fake_setup),
		cmocka_unit_test_setup(test_sleep, fake_setup),
		cmocka_unit_test_setup(test_sigsuspend, fake_setup),
		cmocka_unit_test_setup(test_sigtimedwait, fake_setup),
		cmocka_unit_test_setup(test_itimer, fake_setup),
		cmocka_unit_test_setup(test_posix_timer, fake_setup),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
