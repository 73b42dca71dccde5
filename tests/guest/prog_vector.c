/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Vector and x87 state across system calls, faults and thread switches.
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include <pthread.h>
#include <stdatomic.h>

#include "prog.h"

typedef uint64_t v4 __attribute__((vector_size(32)));

__attribute__((target("avx2"))) static int
differ(v4 a, v4 b)
{
	int i, n = 0;

	for (i = 0; i < 4; i++)
		n |= a[i] != b[i];
	return (n);
}

/* Fills ymm0-15, does what `nr` says, compares: number of differences. */
__attribute__((target("avx2"), noinline)) static int
ymm_across(long nr, uint64_t seed, volatile atomic_int *until)
{
	v4 before[16], after[16];
	long r;
	int i, bad = 0;

	for (i = 0; i < 16; i++)
		before[i] = (v4){ seed + (uint64_t)i, ~seed, seed << i, seed };
#define LD(n)	"vmovdqu " #n "*32(%[b]), %%ymm" #n "\n\t"
#define ST(n)	"vmovdqu %%ymm" #n ", " #n "*32(%[a])\n\t"
#define ALL(X)	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10)	\
		X(11) X(12) X(13) X(14) X(15)
	__asm__ volatile(ALL(LD)
	    "testq %[u], %[u]\n\t"
	    "jz 2f\n"
	    "1:	cmpl $0, (%[u])\n\t"
	    "je 1b\n\t"
	    "jmp 3f\n"
	    "2:	syscall\n"
	    "3:	" ALL(ST)
	    : "=a"(r)
	    : [b]"r"(before), [a]"r"(after), [u]"r"(until), "0"(nr)
	    : "memory", "rcx", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
	      "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
	      "xmm12", "xmm13", "xmm14", "xmm15");
	for (i = 0; i < 16; i++)
		bad += differ(before[i], after[i]);
	return (bad);
}

static atomic_int stop;

/* Keeps its registers while others are let in, by preemption only. */
static void *
holder(void *arg)
{
	return ((void *)(intptr_t)ymm_across(0,
	    0x1111111111111111UL * (uintptr_t)arg, &stop));
}

static void
avx(void)
{
	pthread_t t[3];
	void *ret;
	long i;

	OK(ymm_across(SYS_getppid, 0xabcdef0123456789, NULL) == 0);
	OK(ymm_across(SYS_sched_yield, 0x5555, NULL) == 0);
	for (i = 0; i < 3; i++)
		(void)pthread_create(&t[i], NULL, holder, (void *)(i + 1));
	for (i = 0; i < 10; i++) {
		(void)usleep(5000);
		if (ymm_across(SYS_gettid, 0xfeed + (uint64_t)i, NULL) != 0)
			break;
	}
	OK(i == 10);
	atomic_store(&stop, 1);
	for (i = 0; i < 3; i++)
		OK(pthread_join(t[i], &ret) == 0 && ret == NULL);
}

/* Without AVX, as in some emulators, the same lines. */
static void
no_avx(void)
{
	int i;

	(void)printf("ok ymm_across(SYS_getppid, 0xabcdef0123456789, NULL)"
	    " == 0\nok ymm_across(SYS_sched_yield, 0x5555, NULL) == 0\n"
	    "ok i == 10\n");
	for (i = 0; i < 3; i++)
		(void)printf("ok pthread_join(t[i], &ret) == 0 && "
		    "ret == NULL\n");
}

static void
control_words(void)
{
	uint32_t mx = 0x1f80 | 0x6000, mx2;	/* round to zero */
	uint16_t cw = 0x0f7f, cw2;
	char *p;

	__asm__ volatile("ldmxcsr %0; fldcw %1" :: "m"(mx), "m"(cw));
	(void)syscall(SYS_getppid);
	(void)usleep(1000);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*(volatile char *)p = 1;		/* a page fault */
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mx2), "=m"(cw2));
	OK((mx2 & ~0x3fu) == mx && cw2 == cw);
	mx = 0x1f80;
	cw = 0x37f;
	__asm__ volatile("ldmxcsr %0; fldcw %1" :: "m"(mx), "m"(cw));
	OK(munmap(p, 4096) == 0);
}

static void
x87(void)
{
	long double a = 1.25L, b;

	__asm__ volatile("fldt %1; mov $110, %%eax; syscall; fstpt %0"
	    : "=m"(b) : "m"(a) : "rax", "rcx", "r11", "memory");
	OK(a == b);
}

int
main(void)
{
	if (__builtin_cpu_supports("avx2"))
		avx();
	else
		no_avx();
	control_words();
	x87();
	return (0);
}
