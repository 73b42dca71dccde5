/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What lies in the kernel half: the blob, its stack, its tables, the rings,
 * the page tables; and what a program can do to its own memory.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../guest/gk.h"
#include "../../guest/layout.h"
#include "hostile.h"

/* Write to every page of a range as far as that goes. */
static void
smear(uint64_t from, uint64_t to, int byte, size_t n)
{
	volatile uint8_t *volatile p;
	size_t i;

	for (; from < to; from += 4096) {
		p = (volatile uint8_t *)from;
		for (i = 0; i < n; i++)
			TRY(p[i] = (uint8_t)byte);
		TRY(p[4095] = (uint8_t)byte);
		TRY((void)p[2048]);
	}
}

/* A call, a fault and a clock: does it all still work? */
static void
afterwards(void)
{

	(void)raw(SYS_getpid, 0, 0, 0, 0, 0, 0);
	(void)raw(SYS_clock_gettime, 1, 0, 0, 0, 0, 0);
	TRY(*(volatile int *)NULL = 1);
}

/* struct gk is left out: that comes by itself. */
static void
write_kernel(unsigned seed)
{
	static const int bytes[] = { 0, 0xff, 0x90, 0x41 };

	smear(KERN, KERN + 0x400000, bytes[seed % 4], 1);
	afterwards();
}

static const uint32_t parts[] = { GPA_TSS, GPA_GDT, GPA_IDT, GPA_GATES,
	GPA_IST, GPA_VVAR, GPA_PML4, GPA_KPDPT, GPA_KPD, GPA_KPT, GPA_BLOB,
	GPA_BLOB + 0x1000, GPA_BLOB + 0x8000 };

static void
write_part(unsigned seed)
{
	const uint64_t at = KERN + parts[seed % (sizeof parts / 4)];

	smear(at, at + 4096, (int)(seed / (sizeof parts / 4)) * 0x55, 4096);
	afterwards();
}

static void
jump_kernel(unsigned seed)
{
	uint64_t at = KERN + GPA_BLOB + seed * 16;
	void (*f)(void);

	if (seed % 8 == 7)
		at = KERN + (rnd() & 0x3fffff);
	f = (void (*)(void))at;
	TRY(f());
}

static void
read_kernel(unsigned seed)
{
	volatile uint64_t sum = 0;
	uint64_t at;

	(void)seed;
	for (at = GK; at < KERN + 0x400000; at += 4096)
		TRY(sum += *(volatile uint64_t *)at);
}

/* Anything, anywhere in the tables; then use them. */
static void
forge_tables(unsigned seed)
{
	uint64_t at, v;
	unsigned u;

	(void)seed;
	for (u = 0; u < 64; u++) {
		at = rnd() % offsetof(struct gk, buf);
		if (u & 1)	/* those in use, rather */
			at = offsetof(struct gk, ofd) + at % 4096;
		v = rnd() & (u & 2 ? ~0UL : 0xffff);
		TRY(*(volatile uint64_t *)(GK + (at & ~7UL)) = v);
	}
	(void)raw(SYS_epoll_create1, 0, 0, 0, 0, 0, 0);
	(void)raw(SYS_pipe2, (long)&v, 0, 0, 0, 0, 0);
	for (u = 0; u < 16; u++) {
		(void)raw(SYS_write, u, (long)"x", 1, 0, 0, 0);
		(void)raw(SYS_dup2, u, 40, 0, 0, 0, 0);
		(void)raw(SYS_close, u + 8, 0, 0, 0, 0, 0);
	}
}

/* A thread forges the rings of the connection while its answer is written. */
static volatile int forging;

static void *
forger(void *priv)
{
	volatile struct gk *gk = (volatile struct gk *)GK;
	volatile uint32_t *p;
	unsigned u, n;

	(void)priv;
	for (n = 0; forging && n < 100000; n++)
		for (u = 0; u < 16; u++) {
			p = &gk->ofd[u].u.conn.tx.head;
			p[rnd() % 3] += (uint32_t)(rnd() & 0xfff);
		}
	return (NULL);
}

static void
forge_rings(unsigned seed)
{
	static const char head[] = "HTTP/1.1 200 OK\r\n"
	    "Content-Length: 1048576\r\n\r\n";
	static char data[65536];
	pthread_t t;
	unsigned u;

	(void)seed;
	forging = 1;
	if (pthread_create(&t, NULL, forger, NULL) != 0)
		return;
	(void)write(conn, head, sizeof head - 1);
	for (u = 0; u < 16; u++)
		(void)write(conn, data, sizeof data);
	answered = 1;
	forging = 0;
	(void)pthread_join(t, NULL);
}

static void
addresses(unsigned seed)
{
	static const uint64_t where[] = { 0, 8, 0xffff, 0x7fffffffffff,
	    0x800000000000, 0xffff7fffffffffff, 0xffff800000000000,
	    0xffff800000001000, 0xffffffff80000000, 0xffffffffff600000, ~7UL,
	    ~0UL, 0xdead000000000000 };
	const uint64_t at = where[seed % (sizeof where / 8)];
	void (*f)(void) = (void (*)(void))at;

	TRY(*(volatile uint64_t *)at = 1);
	TRY((void)*(volatile uint64_t *)at);
	TRY(f());
	TRY(__asm__ volatile("mov %0, %%rax; push %%rax; ret" : : "r"(at)));
	(void)raw(SYS_read, 0, (long)at, 100, 0, 0, 0);
	(void)raw(SYS_write, 1, (long)at, 100, 0, 0, 0);
	(void)raw(SYS_futex, (long)at, 1, 1, 0, 0, 0);
	(void)raw(SYS_arch_prctl, 0x1001, (long)at, 0, 0, 0, 0);
	(void)raw(SYS_set_robust_list, (long)at, 24, 0, 0, 0, 0);
	(void)raw(SYS_set_tid_address, (long)at, 0, 0, 0, 0, 0);
}

/* mmap, mprotect and the like over ranges that are not ours */
static void
mappings(unsigned seed)
{
	static const uint64_t where[] = { 0, 4096, 0x10000, GK - 4096, GK,
	    KERN - 4096, KERN, KERN + 0x10000, 0x800000000000, ~4095UL };
	static const uint64_t lens[] = { 0, 1, 4096, 0x200000, 0x7fffffffffff,
	    ~0UL, ~4095UL, 1UL << 63 };
	static const int advice[] = { 4, 8, 9, 10, 12, 14, 18, 19, 22, 23 };
	unsigned u, k, i;
	long a, l;

	(void)seed;
	for (u = 0; u < sizeof where / 8; u++)
		for (k = 0; k < sizeof lens / 8; k++) {
			a = (long)where[u];
			l = (long)lens[k];
			/* not all that we have ourselves */
			if (where[u] < KERN && lens[k] > 0x200000 &&
			    where[u] + lens[k] > where[u])
				continue;
			(void)raw(SYS_mmap, a, l, 7, 0x32, -1, 0);
			(void)raw(SYS_mprotect, a, l, 7, 0, 0, 0);
			(void)raw(SYS_munmap, a, l, 0, 0, 0, 0);
			(void)raw(SYS_mremap, a, l, l, 1, 0, 0);
			(void)raw(SYS_mremap, a, 4096, l, 3, a, 0);
			(void)raw(SYS_mincore, a, l, a, 0, 0, 0);
			(void)raw(SYS_msync, a, l, 4, 0, 0, 0);
			(void)raw(SYS_brk, a, 0, 0, 0, 0, 0);
			for (i = 0; i < sizeof advice / 4; i++)
				(void)raw(SYS_madvise, a, l, advice[i], 0, 0,
				    0);
		}
	afterwards();
}

/* Away with everything that we stand on */
static void
unmap_all(unsigned seed)
{

	if (seed == 0)
		(void)raw(SYS_munmap, 0, (long)GK, 0, 0, 0, 0);
	else if (seed == 1)
		(void)raw(SYS_mprotect, 0x10000, 0x7fff00000000, 0, 0, 0, 0);
	else
		(void)raw(SYS_mmap, 0x10000, 0x7ff000000000, 0, 0x32, -1, 0);
	for (;;)
		(void)raw(SYS_mprotect, (long)code, 4096, 0, 0, 0, 0);
}

static volatile unsigned deep;

__attribute__((noinline)) static unsigned
recurse(unsigned n)
{
	volatile char frame[256];

	frame[n & 255] = (char)n;
	deep = n;
	return (recurse(n + 1) + (unsigned)frame[n & 255]);
}

/* Until the stack ends: the handler has another */
static void
recursion(unsigned seed)
{

	(void)seed;
	TRY((void)recurse(0));
}

static void
eat_memory(unsigned seed)
{
	char *p;

	(void)seed;
	for (;;) {
		p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return;
		(void)memset(p, 1, 1 << 20);
	}
}

/* A region a page, until there are no more */
static void
many_regions(unsigned seed)
{
	uint64_t at;

	(void)seed;
	for (at = 0x200000000000; at < 0x200000000000 + 70000UL * 8192;
	    at += 8192)
		if (mmap((void *)at, 4096, PROT_READ, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			break;
}

const struct attack memory_attacks[] = {
	{ "write-kernel", write_kernel, MAY_ANSWER | MAY_FAIL, 4, 4 },
	{ "write-part", write_part, MAY_ANSWER | MAY_FAIL, 13, 52 },
	{ "jump-kernel", jump_kernel, MAY_ANSWER | MAY_FAIL, 64, 4096 },
	{ "read-kernel", read_kernel, MAY_ANSWER | MAY_FAIL, 1, 1 },
	{ "forge-tables", forge_tables, MAY_ANSWER | MAY_FAIL, 40, 4000 },
	{ "forge-rings", forge_rings, MAY_ANSWER | MAY_FAIL, 3, 50 },
	{ "addresses", addresses, MAY_ANSWER | MAY_FAIL, 13, 13 },
	{ "mappings", mappings, MAY_ANSWER | MAY_FAIL, 1, 1 },
	{ "unmap-all", unmap_all, MAY_FAIL, 3, 3 },
	{ "recursion", recursion, MAY_ANSWER, 1, 1 },
	{ "eat-memory", eat_memory, MAY_FAIL, 1, 1 },
	{ "many-regions", many_regions, MAY_ANSWER | MAY_FAIL, 1, 1 },
	{ NULL, NULL, 0, 0, 0 }
};
