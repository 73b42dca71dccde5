/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Red zone, registers and flags survive system calls, faults, preemption.
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include "prog.h"

/*
 * Fill the 128 bytes below RSP and the callee's registers, make the call, and
 * count what has changed.  Nothing but rax, rcx and r11 may.
 */
__attribute__((noinline)) static long
across(long nr, volatile char *touch)
{
	long bad;

	__asm__ volatile(
	    "mov %%rsp, %%rbx\n\t"
	    "xor %%r8d, %%r8d\n"
	    "1:	dec %%rbx\n\t"
	    "lea -128(%%rsp), %%r9\n\t"
	    "mov %%bl, (%%rbx)\n\t"
	    "cmp %%r9, %%rbx\n\t"
	    "jne 1b\n\t"
	    "mov $0x1212, %%r8\n\t"
	    "mov $0x1313, %%r9\n\t"
	    "mov $0x1414, %%r10\n\t"
	    "mov $0x1515, %%r12\n\t"
	    "mov $0x1616, %%r13\n\t"
	    "mov $0x1717, %%r14\n\t"
	    "mov $0x1818, %%r15\n\t"
	    "test %%rsi, %%rsi\n\t"
	    "jz 2f\n\t"
	    "movb $1, (%%rsi)\n\t"
	    "jmp 3f\n"
	    "2:	std\n\t"
	    "stc\n\t"
	    "syscall\n\t"
	    "cld\n"
	    "3:	xor %%eax, %%eax\n\t"
	    "cmp $0x1212, %%r8\n\t"
	    "setne %%al\n\t"
	    "cmp $0x1313, %%r9\n\t"
	    "setne %%cl\n\t"
	    "add %%cl, %%al\n\t"
	    "cmp $0x1414, %%r10\n\t"
	    "setne %%cl\n\t"
	    "add %%cl, %%al\n\t"
	    "cmp $0x1515, %%r12\n\t"
	    "setne %%cl\n\t"
	    "add %%cl, %%al\n\t"
	    "cmp $0x1616, %%r13\n\t"
	    "setne %%cl\n\t"
	    "add %%cl, %%al\n\t"
	    "cmp $0x1717, %%r14\n\t"
	    "setne %%cl\n\t"
	    "add %%cl, %%al\n\t"
	    "cmp $0x1818, %%r15\n\t"
	    "setne %%cl\n\t"
	    "add %%cl, %%al\n\t"
	    "lea -128(%%rsp), %%r9\n\t"
	    "mov %%rsp, %%rbx\n"
	    "4:	dec %%rbx\n\t"
	    "cmp %%bl, (%%rbx)\n\t"
	    "setne %%cl\n\t"
	    "movzbl %%cl, %%ecx\n\t"
	    "add %%rcx, %%rax\n\t"
	    "cmp %%r9, %%rbx\n\t"
	    "jne 4b\n\t"
	    : "=a"(bad)
	    : "0"(nr), "S"(touch)
	    : "rbx", "rcx", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
	      "r14", "r15", "memory", "cc");
	return (bad);
}

/* A computing loop whose only memory is the red zone. */
__attribute__((noinline)) static unsigned long
spin(unsigned long n)
{
	unsigned long sum;

	__asm__ volatile(
	    "movq $0, -8(%%rsp)\n"
	    "1:	incq -8(%%rsp)\n\t"
	    "dec %1\n\t"
	    "jnz 1b\n\t"
	    "mov -8(%%rsp), %0" : "=r"(sum), "+r"(n) :: "memory", "cc");
	return (sum);
}

int
main(void)
{
	char *p;
	int i;

	p = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK(across(SYS_getpid, NULL) == 0);
	OK(across(SYS_getppid, NULL) == 0);
	OK(across(SYS_sched_yield, NULL) == 0);
	OK(across(999, NULL) == 0);
	for (i = 0; i < 64; i++)
		if (across(0, p + i * 4096) != 0)
			break;
	OK(i == 64);
	OK(spin(100000000) == 100000000);
	OK(syscall(999) == -1 && errno == ENOSYS);
	return (0);
}
