/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * mprotect has effect: a SIGSEGV handler sees each forbidden access.
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include <setjmp.h>
#include <signal.h>

#include "prog.h"

#define PG	4096UL

static sigjmp_buf env;
static volatile sig_atomic_t code;
static char *volatile addr;

static void
on_segv(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	code = sig == SIGSEGV ? si->si_code : -1;
	addr = si->si_addr;
	siglongjmp(env, 1);
}

/* What an access does: 0 nothing, else si_code. */
static int
try(volatile char *p, int write)
{
	code = 0;
	if (sigsetjmp(env, 1) == 0) {
		if (write)
			*p = 1;
		else
			(void)*p;
		return (0);
	}
	return (addr == (char *)p ? code : -2);
}

static int
try_exec(void *p)
{
	code = 0;
	if (sigsetjmp(env, 1) == 0) {
		((void (*)(void))p)();
		return (0);
	}
	return (addr == (char *)p ? code : -2);
}

int
main(void)
{
	struct sigaction sa = { .sa_sigaction = on_segv,
	    .sa_flags = SA_SIGINFO };
	char *p;
	int i;

	OK(sigaction(SIGSEGV, &sa, NULL) == 0);
	p = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)memset(p, 0xc3, 8 * PG);		/* ret */
	OK(try(p, 1) == 0 && try(p, 0) == 0);
	OK(try_exec(p + PG) == SEGV_ACCERR);
	OK(mprotect(p + PG, PG, PROT_READ) == 0);
	OK(try(p + PG, 0) == 0);
	OK(try(p + PG + 5, 1) == SEGV_ACCERR);
	OK(try(p + 2 * PG, 1) == 0);
	OK(mprotect(p + PG, PG, PROT_READ | PROT_EXEC) == 0);
	OK(try_exec(p + PG) == 0);
	OK(mprotect(p + 2 * PG, 2 * PG, PROT_NONE) == 0);
	OK(try(p + 2 * PG, 0) == SEGV_ACCERR);
	OK(try(p + 3 * PG, 1) == SEGV_ACCERR);
	OK(mprotect(p + 2 * PG, 2 * PG, PROT_READ | PROT_WRITE) == 0);
	OK(try(p + 3 * PG, 1) == 0 && (unsigned char)p[3 * PG + 1] == 0xc3);
	OK(munmap(p + 4 * PG, PG) == 0);
	OK(try(p + 4 * PG, 0) == SEGV_MAPERR);
	OK(try((char *)8, 1) == SEGV_MAPERR);
	ERR(mprotect(p, 8 * PG, PROT_READ), ENOMEM);
	ERR(mprotect(p + 1, PG, PROT_READ), EINVAL);
	/* Again and again: every downgrade must be seen. */
	for (i = 0; i < 50; i++) {
		if (mprotect(p + 5 * PG, PG, PROT_READ | PROT_WRITE) != 0 ||
		    try(p + 5 * PG, 1) != 0 ||
		    mprotect(p + 5 * PG, PG, PROT_READ) != 0 ||
		    try(p + 5 * PG, 1) != SEGV_ACCERR)
			break;
	}
	OK(i == 50);
	/* A system call with a bad pointer is an error, not a signal. */
	ERR(write(1, p + 4 * PG, 1), EFAULT);
	ERR(syscall(SYS_clock_gettime, CLOCK_REALTIME, (void *)8), EFAULT);
	OK(munmap(p, 8 * PG) == 0);
	return (0);
}
