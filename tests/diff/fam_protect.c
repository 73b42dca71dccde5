/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * mprotect(2), madvise(2), mincore(2), msync(2), mlock(2), protection keys,
 * memory policy, membarrier's neighbours: what changes or asks about mappings.
 */

#include "diff.h"

#include <sys/resource.h>

#define RW	(PROT_READ | PROT_WRITE)
#define RX	(PROT_READ | PROT_EXEC)
#define RWX	(PROT_READ | PROT_WRITE | PROT_EXEC)

CASE(protect_takes_effect)
{
	uint8_t *p = mem_new(4 * PG);

	memset(p, 1, 4 * PG);
	RET(mprotect(p + PG, 2 * PG, PROT_READ));
	WRITES(p);
	READS(p + PG);
	WRITES(p + PG);
	WRITES(p + 2 * PG + 17);
	WRITES(p + 3 * PG);
	RET(mprotect(p + PG, PG, PROT_NONE));
	READS(p + PG);
	RET(mprotect(p, 4 * PG, RW));
	WRITES(p + PG);
	SHOW(p[2 * PG]);
	RET(munmap(p, 4 * PG));
}

CASE(protect_errors)
{
	uint8_t *p = mem_new(4 * PG);

	RET(mprotect(p + 1, PG, PROT_READ));
	RET(mprotect(p, 0, PROT_READ));
	RET(mprotect(p, PG, 0x40));
	RET(mprotect(p, (size_t)-1, PROT_READ));
	RET(mprotect(p, PG, PROT_READ | PROT_GROWSDOWN));
	RET(mprotect(p, PG, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP));
	RET(munmap(p + 2 * PG, PG));
	/* the part in front of the hole is changed */
	RET(mprotect(p, 4 * PG, PROT_READ));
	WRITES(p + PG);
	WRITES(p + 3 * PG);
	RET(mprotect((void *)(1UL << 56), PG, PROT_READ));
	RET(munmap(p, 4 * PG));
}

CASE(protect_write_only_reads)
{
	uint8_t *p = mem_new(PG);

	RET(mprotect(p, PG, PROT_WRITE));
	WRITES(p);
	READS(p);
	RET(munmap(p, PG));
}

static void
put_return(uint8_t *code, int value)
{

	code[0] = 0xb8;			/* mov $value, %eax; ret */
	memcpy(code + 1, &value, sizeof value);
	code[5] = 0xc3;
}

static int
call(const uint8_t *code)
{

	return (((int (*)(void))(uintptr_t)code)());
}

CASE(jit_w_xor_x)
{
	uint8_t *p = mem_new(PG);
	int i;

	for (i = 0; i < 5; i++) {
		put_return(p, 100 + i);
		RET(mprotect(p, PG, RX));
		SHOW(call(p));
		WRITES(p);
		RET(mprotect(p, PG, RW));
		RUNS(p);
	}
	RET(munmap(p, PG));
}

CASE(jit_rwx_patches_itself)
{
	uint8_t *p = mem_new(PG);
	int i, sum = 0;

	RET(mprotect(p, PG, RWX));
	for (i = 0; i < 100; i++) {
		put_return(p, i);
		sum += call(p);
	}
	SHOW(sum);
	RET(munmap(p, PG));
}

/* Two mappings of one piece of memory is what JITs without RWX do. */
CASE(jit_many_pages)
{
	uint8_t *p = mem_new(64 * PG);
	int i, sum = 0;

	for (i = 0; i < 64; i++)
		put_return(p + i * (int)PG, i);
	RET(mprotect(p, 64 * PG, RX));
	for (i = 0; i < 64; i++)
		sum += call(p + i * (int)PG);
	SHOW(sum);
	RET(mprotect(p + 7 * PG, PG, RW));
	put_return(p + 7 * PG, 1000);
	RET(mprotect(p + 7 * PG, PG, RX));
	SHOW(call(p + 7 * PG) + call(p + 8 * PG));
	RET(munmap(p, 64 * PG));
}

CASE(exec_of_data)
{
	static uint8_t data[16] = { 0xc3 };
	uint8_t stack[16] = { 0xc3 };

	RUNS(data);
	RUNS(stack);
	RUNS((uint8_t *)0);
	RUNS((uint8_t *)0x123000);
}

CASE(text_is_read_only)
{

	WRITES((uint8_t *)(uintptr_t)errno_name);
	WRITES((uint8_t *)(uintptr_t)"constant");
}

static void *const relro[] = { (void *)ms_sleep, (void *)say };

CASE(relro)
{

	WRITES((uint8_t *)(uintptr_t)&relro[1]);
}

/* From the start of the region, wherever one begins: libc makes the stack
 * executable so, for code that asks for it. */
CASE(protect_grows_down)
{
	uint8_t *r, *p;

	MUST((r = mmap(NULL, 64 * PG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
	    MAP_NORESERVE, -1, 0)) != MAP_FAILED);
	MUST(munmap(r, 64 * PG) == 0);
	p = mmap(r + 56 * PG, 4 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE |
	    MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	MUST(p == r + 56 * PG);
	WRITES(p);
	RET(mprotect(p + 2 * PG, PG, PROT_READ | PROT_GROWSDOWN));
	WRITES(p);
	WRITES(p + PG);
	WRITES(p + 2 * PG);
	WRITES(p + 3 * PG);
	RET(mprotect(p + 3 * PG, PG, PROT_READ | PROT_GROWSUP));
	RET(mprotect(r, PG, PROT_READ | PROT_GROWSDOWN));
	RET(mprotect(p + 1, PG, PROT_READ | PROT_GROWSDOWN));
	RET(munmap(p, 4 * PG));
	p = mem_new(2 * PG);
	RET(mprotect(p + PG, PG, PROT_READ | PROT_GROWSDOWN));
	RET(munmap(p, 2 * PG));
}

CASE(guard_page_of_a_stack)
{
	pthread_attr_t a;
	size_t n;

	ERRNUM(pthread_attr_init(&a));
	ERRNUM(pthread_attr_getguardsize(&a, &n));
	SHOW(n);
	ERRNUM(pthread_attr_destroy(&a));
}

CASE(toggle_many_times)
{
	uint8_t *p = mem_new(16 * PG);
	int i, bad = 0;

	for (i = 0; i < 300; i++) {
		if (mprotect(p + i % 16 * (int)PG, PG, PROT_READ) != 0 ||
		    probe_write(p + i % 16 * (int)PG).sig != SIGSEGV ||
		    mprotect(p + i % 16 * (int)PG, PG, RW) != 0 ||
		    probe_write(p + i % 16 * (int)PG).sig != 0)
			bad++;
	}
	SHOW(bad);
	RET(munmap(p, 16 * PG));
}

CASE(calls_respect_protection)
{
	uint8_t *p = mem_new(2 * PG);
	int fd[2];

	RET(pipe(fd));
	RET(mprotect(p + PG, PG, PROT_READ));
	RET(write(fd[1], p + PG, 5));
	RET(read(fd[0], p + PG, 5));
	RET(read(fd[0], p, 5));
	RET(mprotect(p + PG, PG, PROT_NONE));
	RET(write(fd[1], p + PG, 5));
	RET(clock_gettime(CLOCK_MONOTONIC, (void *)p));
	RET(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, p + PG));
	RET(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, p + PG - 8));
	RET(close(fd[0]));
	RET(close(fd[1]));
	RET(munmap(p, 2 * PG));
}

/* ---- madvise ------------------------------------------------------------------------- */

CASE(advise_dontneed)
{
	uint8_t *p = mem_new(8 * PG);

	memset(p, 1, 8 * PG);
	RET(madvise(p + 2 * PG, 2 * PG, MADV_DONTNEED));
	SHOW(p[0] + p[2 * PG] + p[3 * PG] + p[4 * PG]);
	p[2 * PG] = 5;
	SHOW(p[2 * PG] + p[2 * PG + 1]);
	RET(madvise(p, 1, MADV_DONTNEED));
	SHOW(p[0] + p[PG]);
	RET(munmap(p, 8 * PG));
}

CASE(advise_dontneed_large)
{
	size_t n = 32UL << 20;
	uint8_t *p = mem_new(n);

	memset(p, 1, n);
	RET(madvise(p, n, MADV_DONTNEED));
	SHOW(p[0] + p[n / 2] + p[n - 1]);
	p[n / 2] = 4;
	SHOW(p[n / 2]);
	RET(munmap(p, n));
}

CASE(advise_hints)
{
	uint8_t *p = mem_new(8 * PG);

	RET(madvise(p, PG, MADV_NORMAL));
	RET(madvise(p, PG, MADV_RANDOM));
	RET(madvise(p, PG, MADV_SEQUENTIAL));
	RET(madvise(p, PG, MADV_WILLNEED));
	RET(madvise(p, PG, MADV_FREE));
	RET(madvise(p, PG, MADV_DONTFORK));
	RET(madvise(p, PG, MADV_DOFORK));
	RET(madvise(p, PG, MADV_DONTDUMP));
	RET(madvise(p, PG, MADV_DODUMP));
	RET(madvise(p, PG, MADV_COLD));
	RET(madvise(p, PG, MADV_PAGEOUT));
	RET(madvise(p, PG, MADV_WIPEONFORK));
	RET(madvise(p, PG, MADV_KEEPONFORK));
	RET(madvise(p, PG, MADV_POPULATE_READ));
	RET(madvise(p, PG, MADV_POPULATE_WRITE));
	RET(munmap(p, 8 * PG));
}

CASE(advise_hugepage)
{
	uint8_t *p = mem_new(8UL << 20);

	RET(madvise(p, 8UL << 20, MADV_HUGEPAGE));
	memset(p, 1, 8UL << 20);
	SHOW(p[5UL << 20]);
	RET(madvise(p, 8UL << 20, MADV_NOHUGEPAGE));
	RET(madvise(p + 1, PG, MADV_HUGEPAGE));
	RET(munmap(p, 8UL << 20));
}

CASE(advise_errors)
{
	uint8_t *p = mem_new(4 * PG);

	RET(madvise(p + 1, PG, MADV_DONTNEED));
	RET(madvise(p, 0, MADV_DONTNEED));
	RET(madvise(p, (size_t)-PG, MADV_DONTNEED));
	RET(madvise(p, (size_t)-1, MADV_DONTNEED));
	RET(madvise(p, PG, 9999));
	RET(madvise(p, 0, 9999));
	RET(madvise(p, PG, -1));
	RET(munmap(p + PG, PG));
	memset(p + 2 * PG, 7, PG);
	/* what is mapped is done all the same */
	RET(madvise(p, 4 * PG, MADV_DONTNEED));
	SHOW(p[2 * PG]);
	RET(madvise(p + PG, PG, MADV_WILLNEED));
	RET(madvise(p + PG, PG, MADV_FREE));
	RET(munmap(p, 4 * PG));
}

CASE(advise_wipeonfork_shared)
{
	uint8_t *p = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	RET(madvise(p, PG, MADV_WIPEONFORK));
	RET(madvise(p, PG, MADV_FREE));
	RET(madvise(p, PG, MADV_REMOVE));
	RET(munmap(p, PG));
	/* nothing there, and above what a program can have */
	RET(madvise(p, PG, MADV_REMOVE));
	RET(madvise((void *)0x7fffffffe000, 0x100000000, MADV_REMOVE));
	RET(madvise((void *)-0x80000000L, PG, MADV_REMOVE));
	p = mem_new(PG);
	RET(madvise(p, PG, MADV_REMOVE));
	RET(munmap(p, PG));
}

CASE(advise_populate)
{
	uint8_t *p = mem_new(4 * PG), v[4] = { 0 };

	RET(madvise(p, 2 * PG, MADV_POPULATE_WRITE));
	RET(mincore(p, 2 * PG, v));
	SHOW(v[0] & v[1] & 1);
	RET(mprotect(p, PG, PROT_READ));
	RET(madvise(p, PG, MADV_POPULATE_WRITE));
	RET(madvise(p, PG, MADV_POPULATE_READ));
	RET(mprotect(p, PG, PROT_NONE));
	RET(madvise(p, PG, MADV_POPULATE_READ));
	RET(munmap(p + PG, PG));
	RET(madvise(p + PG, PG, MADV_POPULATE_READ));
	RET(munmap(p, 4 * PG));
}

/* ---- mincore, msync, mlock ------------------------------------------------------------ */

CASE(mincore_basics)
{
	uint8_t *p = mem_new(64 * PG), v[64];

	memset(v, 0, sizeof v);
	p[0] = 1;
	RET(mincore(p, PG, v));
	SHOW(v[0] & 1);
	RET(mincore(p + 1, PG, v));
	RET(mincore(p, 0, v));
	RET(mincore(p, PG, (unsigned char *)8));
	RET(mincore(p, PG + 1, mem_edge() - 1));
	RET(munmap(p + PG, PG));
	RET(mincore(p, 3 * PG, v));
	RET(mincore((void *)(1UL << 56), PG, v));
	RET(mincore(p, (size_t)-1, v));
	RET(munmap(p, 64 * PG));
}

CASE(msync_arguments)
{
	uint8_t *p = mem_new(2 * PG);

	RET(msync(p, PG, MS_SYNC));
	RET(msync(p, PG, MS_ASYNC));
	RET(msync(p, PG, MS_INVALIDATE));
	RET(msync(p, PG, MS_SYNC | MS_ASYNC));
	RET(msync(p, PG, 0));
	RET(msync(p, PG, 64));
	RET(msync(p + 1, PG, MS_SYNC));
	RET(msync(p, 0, MS_SYNC));
	RET(munmap(p + PG, PG));
	RET(msync(p, 2 * PG, MS_SYNC));
	RET(munmap(p, PG));
}

CASE(mlock_family)
{
	struct rlimit rl = { 1UL << 20, 1UL << 20 };
	uint8_t *p = mem_new(4 * PG), v[4];

	RET(setrlimit(RLIMIT_MEMLOCK, &rl));
	RET(mlock(p, 4 * PG));
	RET(mincore(p, 4 * PG, v));
	SHOW(v[0] & v[3] & 1);
	RET(mlock(p + 5, 10));
	RET(munlock(p, 4 * PG));
	RET(mlock(p, 0));
	RET(munlock(p, 0));
	RET(syscall(SYS_mlock2, p, PG, 1));
	RET(syscall(SYS_mlock2, p, PG, 2));
	RET(syscall(SYS_mlock2, p, PG, 0));
	RET(munmap(p + PG, PG));
	RET(mlock(p, 2 * PG));
	RET(munlock(p + PG, PG));
	RET(mlock(p, (size_t)-1));
	RET(munlock(p, PG));
	RET(munmap(p, 4 * PG));
}

CASE(mlockall_flags)
{

	RET(mlockall(0));
	RET(mlockall(8));
	RET(mlockall(MCL_ONFAULT));
	RET(munlockall());
}

/* ---- others ------------------------------------------------------------------------- */

CASE(keys)
{
	uint8_t *p = mem_new(PG);
	long k;

	RET(syscall(SYS_pkey_alloc, 1, 0));
	RET(syscall(SYS_pkey_alloc, 0, 4));
	k = syscall(SYS_pkey_alloc, 0, 0);
	if (k >= 0)
		k = syscall(SYS_pkey_free, k) == 0 ? 0 : -2;
	/* the machine's CPU may have them: without is an answer, too */
	say("pkey_alloc: %s", k == 0 || (k == -1 &&
	    (errno == ENOSPC || errno == EINVAL)) ? "ok" :
	    "bad");
	RET(syscall(SYS_pkey_free, 15));
	RET(syscall(SYS_pkey_free, -1));
	RET(syscall(SYS_pkey_mprotect, p, PG, PROT_READ, -1));
	WRITES(p);
	RET(syscall(SYS_pkey_mprotect, p, PG, PROT_READ, 15));
	RET(munmap(p, PG));
}

CASE(mempolicy)
{
	int mode = -1;

	RET(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0));
	SHOW(mode);
	RET(syscall(SYS_set_mempolicy, 0, NULL, 0));
	RET(syscall(SYS_set_mempolicy, 99, NULL, 0));
	RET(syscall(SYS_get_mempolicy, (void *)8, NULL, 0, NULL, 0));
}

CASE(remap_file_pages)
{
	uint8_t *p = mem_new(PG);

	RET(syscall(SYS_remap_file_pages, p, PG, 1, 0, 0));
	RET(munmap(p, PG));
}

CASE(process_vm)
{
	uint8_t *p = mem_new(2 * PG);
	struct { void *p; size_t n; } to = { p, 8 }, from = { p + PG, 8 };

	p[PG] = 7;
	RET(syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 0));
	SHOW(p[0]);
	RET(syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 1));
	RET(syscall(SYS_process_vm_readv, 0x3ffff0, &to, 1, &from, 1, 0));
	from.p = (void *)8;
	RET(syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 0));
	from.p = p + PG;
	RET(syscall(SYS_process_vm_writev, getpid(), &to, 1, &from, 1, 0));
	SHOW(p[PG]);
	RET(munmap(p, 2 * PG));
}

CASE(deep_recursion)
{
	volatile uint8_t *top = __builtin_frame_address(0);
	size_t n;

	/* the stack grows to its limit, not all at once */
	for (n = PG; n < 4UL << 20; n += 37 * PG)
		if (probe_write(top - n).sig != 0)
			break;
	SHOW(n >= 4UL << 20);
}

ALONE(stack_overflow)
{
	volatile uint8_t *p = __builtin_frame_address(0);

	say("below the limit of the stack");
	p[-(64L << 20)] = 1;
	say("not reached");
}
