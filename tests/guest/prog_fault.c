/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Faults as signals: SIGSEGV, SIGFPE, SIGILL, SIGTRAP, on an own stack.
 */

#define _GNU_SOURCE
#include <sys/ucontext.h>

#include <setjmp.h>
#include <signal.h>

#include "prog.h"

static sigjmp_buf env;
static volatile int sig_got, sig_code;
static void *volatile sig_addr;
static volatile int on_stack, skip;
static char *altstack;
#define ALT	65536

static void
handler(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	char here;

	sig_got = sig;
	sig_code = si->si_code;
	sig_addr = si->si_addr;
	on_stack = &here >= altstack && &here < altstack + ALT;
	if (skip > 0) {
		/* Change what the program goes on with. */
		uc->uc_mcontext.gregs[REG_RIP] += skip;
		uc->uc_mcontext.gregs[REG_RAX] = 12345;
		return;
	}
	siglongjmp(env, 1);
}

static volatile int zero, depth;

/* Down until the stack is used up. */
static __attribute__((noinline)) int
recurse(volatile char *p)
{
	volatile char b[4096];

	b[0] = p == NULL ? 0 : *p;
	if (++depth < 0)
		return (0);
	return (recurse(b) + b[0]);
}

static void
store(uintptr_t where)
{
	__asm__ volatile("movl $1, (%0)" :: "r"(where) : "memory");
}

int
main(void)
{
	struct sigaction sa = { .sa_sigaction = handler,
	    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t ss = { .ss_size = ALT }, old;
	static const int sigs[] = { SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS };
	unsigned long rax;
	size_t i;

	altstack = ss.ss_sp = malloc(ALT);
	OK(sigaltstack(&ss, &old) == 0 && old.ss_flags == SS_DISABLE);
	for (i = 0; i < sizeof sigs / sizeof sigs[0]; i++)
		(void)sigaction(sigs[i], &sa, NULL);
	if (sigsetjmp(env, 1) == 0)
		store(16);
	OK(sig_got == SIGSEGV && sig_code == SEGV_MAPERR &&
	    sig_addr == (void *)16 && on_stack);
	if (sigsetjmp(env, 1) == 0)
		store(0x8000000000000000UL);
	OK(sig_got == SIGSEGV && sig_code == SI_KERNEL && sig_addr == NULL);
	if (sigsetjmp(env, 1) == 0)
		zero = 5 / zero;
	OK(sig_got == SIGFPE && sig_code == FPE_INTDIV && sig_addr != NULL);
	if (sigsetjmp(env, 1) == 0)
		__asm__ volatile("ud2");
	OK(sig_got == SIGILL && sig_code == ILL_ILLOPN);
	if (sigsetjmp(env, 1) == 0)
		__asm__ volatile("int3");
	OK(sig_got == SIGTRAP);
	if (sigsetjmp(env, 1) == 0)
		__asm__ volatile("hlt");
	OK(sig_got == SIGSEGV && sig_code == SI_KERNEL);
	if (sigsetjmp(env, 1) == 0)
		(void)recurse(NULL);
	OK(sig_got == SIGSEGV && on_stack);
	/* sigreturn with registers that the handler changed. */
	skip = 2;
	__asm__ volatile("ud2" : "=a"(rax) : "a"(1UL));
	OK(rax == 12345 && sig_got == SIGILL);
	skip = 0;
	ss.ss_flags = SS_DISABLE;
	OK(sigaltstack(&ss, &old) == 0 && old.ss_sp == altstack);
	ss.ss_flags = 0;
	ss.ss_size = 100;
	ERR(sigaltstack(&ss, NULL), ENOMEM);
	return (0);
}
