/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Instructions a program has no business with.
 */

#include <string.h>

#include "hostile.h"

/* Each kind of in and out on a port */
static void
one_port(unsigned port)
{
	static const char ops[][5] = {
		"\xee\0\0\0\1",		/* out %al, (%dx) */
		"\x66\xef\0\0\2", "\xef\0\0\0\1", "\xec\0\0\0\1",
		"\x66\xed\0\0\2", "\xed\0\0\0\1",
		"\x6e\0\0\0\1",		/* outsb */
		"\x6c\0\0\0\1",		/* insb */
		"\xf3\x6c\0\0\2", "\xf3\x6e\0\0\2",
	};
	uint8_t b[24];
	unsigned u;
	size_t n;

	for (u = 0; u < sizeof ops / sizeof ops[0]; u++) {
		n = (unsigned)ops[u][4];
		/* mov $port, %edx; mov $code+0x800, rsi and rdi; ecx = 3 */
		b[0] = 0xba;
		(void)memcpy(b + 1, &port, 4);
		b[5] = 0xb9;
		(void)memcpy(b + 6, "\3\0\0\0", 4);
		/* lea 0x7f0(%rip), %rsi and %rdi */
		(void)memcpy(b + 10, "\x48\x8d\x35\xe0\x07\0\0", 7);
		(void)memcpy(b + 17, "\x48\x89\xf7", 3);
		(void)memcpy(b + 20, ops[u], n);
		TRY(run_bytes(b, 20 + n));
	}
}

static void
ports(unsigned seed)
{
	unsigned p;

	for (p = seed * 256; p < seed * 256 + 256; p++)
		one_port(p & 0xffff);
}

static void
ints(unsigned seed)
{
	uint8_t b[2] = { 0xcd, 0 };
	unsigned u;

	(void)seed;
	for (u = 0; u < 256; u++) {
		b[1] = (uint8_t)u;
		TRY(run_bytes(b, 2));
	}
	TRY(run_bytes("\xcc", 1));
	TRY(run_bytes("\xf1", 1));	/* int1 */
}

/* rdmsr and wrmsr, some 16 registers a seed */
static void
msrs(unsigned seed)
{
	static const uint32_t known[] = { 0x10, 0x1b, 0x174, 0x176, 0x1d9,
	    0x277, 0x3a, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084,
	    0xc0000100, 0xc0000101, 0xc0000102, 0x4b564d00, 0x40000000 };
	uint8_t b[24];
	uint32_t m;
	unsigned u, k;

	for (u = 0; u < 16; u++) {
		m = seed == 0 ? known[u] : (uint32_t)rnd();
		for (k = 0; k < 2; k++) {
			b[0] = 0xb9;
			(void)memcpy(b + 1, &m, 4);
			(void)memcpy(b + 5, "\x31\xc0\x31\xd2\x0f", 5);
			b[10] = k ? 0x30 : 0x32;
			TRY(run_bytes(b, 11));
		}
	}
}

#define B(s)	{ s, sizeof s - 1 }
static const struct {
	const char	*p;
	size_t		n;
} privileged[] = {
	B("\x0f\x20\xc0"), B("\x0f\x20\xd0"), B("\x0f\x20\xd8"),
	B("\x0f\x20\xe0"), B("\x44\x0f\x20\xc0"),	/* mov %crN, %rax */
	B("\x31\xc0\x0f\x22\xc0"), B("\x31\xc0\x0f\x22\xd0"),
	B("\x31\xc0\x0f\x22\xd8"), B("\x31\xc0\x0f\x22\xe0"),
	B("\x31\xc0\x44\x0f\x22\xc0"),
	B("\x0f\x21\xc0"), B("\x0f\x21\xf0"), B("\x0f\x21\xf8"),
	B("\x31\xc0\x0f\x23\xc0"), B("\x31\xc0\x0f\x23\xf8"),
	B("\xfa"), B("\xfb"), B("\xf4"),		/* cli sti hlt */
	B("\x0f\x01\x54\x24\xf0"), B("\x0f\x01\x5c\x24\xf0"), /* lgdt lidt */
	B("\x0f\x01\x44\x24\xf0"), B("\x0f\x01\x4c\x24\xf0"), /* sgdt sidt */
	B("\x0f\x00\xd8"), B("\x0f\x00\xd0"),		/* ltr lldt */
	B("\x0f\x00\xc8"), B("\x0f\x00\xc0"), B("\x0f\x01\xe0"),
	B("\x0f\x08"), B("\x0f\x09"),			/* invd wbinvd */
	B("\x0f\x01\x38"), B("\x0f\x01\xf8"),		/* invlpg swapgs */
	B("\x0f\x06"), B("\x0f\x01\xf0"),		/* clts lmsw */
	B("\x0f\x01\xc1"), B("\x0f\x01\xd9"), B("\x0f\x01\xc4"),
	B("\x0f\x01\xd8"), B("\x0f\x01\xda"), B("\x0f\x01\xdd"),
	B("\x0f\xc7\x34\x24"), B("\xf3\x0f\xc7\x34\x24"), /* vmptrld vmxon */
	B("\x31\xc9\x0f\x01\xd1"), B("\x31\xc9\x0f\x01\xd0"), /* xsetbv */
	B("\x0f\x33"), B("\x0f\xaa"),			/* rdpmc rsm */
	B("\x0f\x34"), B("\x48\x0f\x35"), B("\x48\x0f\x07"),
	B("\x0f\x05"),					/* syscall */
	B("\x48\xcf"), B("\xcb"), B("\xca\x08\0"),	/* iretq lret */
	B("\x0f\x0b"), B("\x0f\xb9\xc0"), B("\x0f\xff\xc0"),
	B("\x9d"), B("\x68\xff\xff\xff\x7f\x9d"),	/* popf */
	B("\x66\xb8\x10\0\x8e\xd8"), B("\x66\xb8\x18\0\x8e\xd0"),
	B("\x66\xb8\x40\0\x8e\xe0"), B("\x31\xc0\x8e\xd0"),
	B("\x0f\xae\x2c\x25\0\0\0\0"),			/* xrstor 0 */
	B("\xf3\x48\x0f\xae\xd0"), B("\xf3\x48\x0f\xae\xd8"), /* wrfsbase */
	B("\x0f\x01\xee"), B("\x0f\x01\xef"), B("\x0f\x01\xca"),
	B("\xc6\xf8\x01"), B("\xc7\xf8\0\0\0\0"),	/* xabort xbegin */
	B("\x9b\xdb\xe3"), B("\xf0\x0f\xc7\xc8"),	/* F00F */
	B("\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\x90"),
	B("\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\xf3\x90"),
};
#define NPRIV		(sizeof privileged / sizeof privileged[0])

static void
instruction(unsigned seed)
{

	TRY(run_bytes(privileged[seed % NPRIV].p,
	    privileged[seed % NPRIV].n));
}

/* Random bytes, run until they fault */
static void
noise(unsigned seed)
{
	uint8_t b[64];
	unsigned u, k;

	(void)seed;
	for (u = 0; u < 20; u++) {
		for (k = 0; k < sizeof b; k++)
			b[k] = (uint8_t)rnd();
		TRY(run_bytes(b, sizeof b));
	}
}

/* A single step, with a debugger's flag, over a system call */
static void
trap_flag(unsigned seed)
{

	(void)seed;
	TRY(run_bytes("\x9c\x81\x0c\x24\0\x01\0\0\x9d\xb8\x27\0\0\0\x0f\x05",
	    16));
	/* alignment checks, then an unaligned load */
	TRY(run_bytes("\x9c\x81\x0c\x24\0\0\x04\0\x9d\x8b\x44\x24\x01", 13));
	__asm__ volatile("pushf; andq $~0x40100, (%%rsp); popf" ::: "cc",
	    "memory");
}

/* The instruction behind this one is another one by now. */
static void
self_modifying(unsigned seed)
{
	uint8_t b[16];
	unsigned u;

	(void)seed;
	for (u = 0; u < 2000; u++) {
		/* movb $0x90+u, 1(%rip) ; nop -> something; nop */
		(void)memcpy(b, "\xc6\x05\x00\0\0\0\x90\x90\x90", 9);
		b[6] = (uint8_t)(u & 1 ? 0x90 : 0xf8);
		TRY(run_bytes(b, 9));
	}
}

/* A system call with the stack pointer anywhere */
static void
wild_stack(unsigned seed)
{
	static const uint64_t where[] = { 0, 1, 0xfff, 0x10000, KERN,
	    KERN + 0x8000, KERN + 0x11000, GK, 0x800000000000,
	    0xffff800000000000, ~0UL, ~7UL, 0x7fffffffffff };
	const uint64_t sp = where[seed % (sizeof where / sizeof where[0])];
	long nr;

	/* getpid, an unknown one, write of nothing, mmap that fails */
	for (nr = 0; nr < 4; nr++) {
		static const long nrs[] = { 39, 999, 1, 9 };

		TRY(__asm__ volatile("mov %%rsp, %%r15; mov %1, %%rsp;"
		    "syscall; mov %%r15, %%rsp" : : "a"(nrs[nr]), "r"(sp),
		    "D"(0), "S"(0), "d"(0) : "r15", "rcx", "r11", "memory"));
	}
	/* a fault there, whose handler has a stack of its own */
	TRY(__asm__ volatile("mov %0, %%rsp; push %%rax; ud2" : : "r"(sp)));
}

/* ... and with everything else anywhere, too */
static void
wild_registers(unsigned seed)
{
	uint64_t a[6];
	unsigned u;

	(void)seed;
	for (u = 0; u < 200; u++) {
		unsigned k;

		for (k = 0; k < 6; k++)
			a[k] = rnd();
		TRY(__asm__ volatile("mov %1, %%r12; mov %2, %%r13;"
		    "mov %2, %%rbp; std; syscall; cld" : : "a"(39 + (u & 1) *
		    960), "r"(a[0]), "r"(a[1]), "D"(a[2]), "S"(a[3]),
		    "d"(a[4]) : "r12", "r13", "rcx", "r11", "memory"));
	}
}

const struct attack cpu_attacks[] = {
	{ "ports", ports, MAY_ANSWER | MAY_FAIL, 2, 256 },
	{ "ints", ints, MAY_ANSWER, 1, 1 },
	{ "msrs", msrs, MAY_ANSWER | MAY_FAIL, 3, 64 },
	{ "instruction", instruction, MAY_ANSWER | MAY_FAIL, NPRIV, NPRIV },
	{ "noise", noise, MAY_ANSWER | MAY_FAIL, 10, 1000 },
	{ "trap-flag", trap_flag, MAY_ANSWER | MAY_FAIL, 1, 1 },
	{ "self-modifying", self_modifying, MAY_ANSWER, 1, 1 },
	{ "wild-stack", wild_stack, MAY_ANSWER | MAY_FAIL, 13, 13 },
	{ "wild-registers", wild_registers, MAY_ANSWER | MAY_FAIL, 2, 50 },
	{ NULL, NULL, 0, 0, 0 }
};
