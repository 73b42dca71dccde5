/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Signals from faults: siginfo, the ucontext and edits of it.
 */

#include "diff.h"

#include <immintrin.h>
#include <ucontext.h>

static volatile int *volatile nowhere = (volatile int *)16;
static volatile int skip, reports;

/* Says what it got and goes on behind the instruction (skip bytes). */
static void
report(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;

	reports++;
	say("SIG%s code %d addr %s trapno %lld err %llx", sigabbrev_np(sig),
	    si->si_code, si->si_addr == NULL ? "0" :
	    si->si_addr == (void *)uc->uc_mcontext.gregs[REG_RIP] ? "rip" :
	    "other", uc->uc_mcontext.gregs[REG_TRAPNO],
	    uc->uc_mcontext.gregs[REG_ERR]);
	uc->uc_mcontext.gregs[REG_RIP] += skip;
	uc->uc_mcontext.gregs[REG_EFL] &= ~0x100LL;
}

static void
catch(int sig, void (*f)(int, siginfo_t *, void *))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = f;
	sa.sa_flags = SA_SIGINFO;
	if (sigaction(sig, &sa, NULL) != 0)
		say("sigaction: %s", errno_name(errno));
}

static void
uncatch(int sig)
{

	(void)signal(sig, SIG_DFL);
}

CASE(divide_by_zero)
{

	catch(SIGFPE, report);
	skip = 2;
	__asm__ volatile("xor %%edx, %%edx\n\tmov $1, %%eax\n\t"
	    "xor %%ecx, %%ecx\n\tdiv %%ecx" : : : "eax", "ecx", "edx");
	say("went on");
	__asm__ volatile("mov $0x80000000, %%eax\n\tcdq\n\tmov $-1, %%ecx\n\t"
	    "idiv %%ecx" : : : "eax", "ecx", "edx");
	say("went on");
	uncatch(SIGFPE);
}

CASE(undefined_instruction)
{

	catch(SIGILL, report);
	skip = 2;
	__asm__ volatile("ud2");
	say("went on");
	uncatch(SIGILL);
}

CASE(breakpoint)
{

	catch(SIGTRAP, report);
	skip = 0;
	__asm__ volatile("int3");
	say("went on");
	uncatch(SIGTRAP);
}

CASE(single_step)
{

	catch(SIGTRAP, report);
	skip = 0;
	__asm__ volatile("sub $128, %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\t"
	    "popfq\n\tnop\n\tadd $128, %%rsp" : : : "memory", "cc");
	say("went on");
	uncatch(SIGTRAP);
}

CASE(privileged_instruction)
{

	catch(SIGSEGV, report);
	skip = 1;
	__asm__ volatile("hlt");
	say("went on");
	__asm__ volatile("cli");
	say("went on");
	skip = 2;
	__asm__ volatile("int $0x50");
	say("went on");
	skip = 3;
	__asm__ volatile("mov %%cr0, %%rax" : : : "rax");
	say("went on");
	uncatch(SIGSEGV);
}

CASE(port_io)
{

	catch(SIGSEGV, report);
	skip = 1;
	__asm__ volatile("mov $0x60, %%edx\n\tin %%dx, %%al" : : :
	    "eax", "edx");
	say("went on");
	uncatch(SIGSEGV);
}

CASE(noncanonical)
{

	catch(SIGSEGV, report);
	skip = 3;
	__asm__ volatile("mov $0x8000000000000000, %%rax\n\t"
	    "mov (%%rax), %%rbx" : : : "rax", "rbx");
	say("went on");
	uncatch(SIGSEGV);
}

CASE(null_and_unmapped)
{

	catch(SIGSEGV, report);
	skip = 2;
	__asm__ volatile("xor %%eax, %%eax\n\tmov (%%rax), %%ebx" : : :
	    "rax", "rbx");
	__asm__ volatile("mov $0x1234000, %%eax\n\tmov %%ebx, (%%rax)" : : :
	    "rax", "memory");
	uncatch(SIGSEGV);
}

CASE(read_only_page)
{
	uint8_t *p = mem_new(PG);

	MUST(mprotect(p, PG, PROT_READ) == 0);
	catch(SIGSEGV, report);
	skip = 2;
	__asm__ volatile("mov %%ecx, (%%rax)" : : "a" (p) : "memory");
	say("went on");
	MUST(mprotect(p, PG, PROT_NONE) == 0);
	__asm__ volatile("mov (%%rax), %%ecx" : : "a" (p) : "ecx");
	say("went on");
	uncatch(SIGSEGV);
	RET(munmap(p, PG));
}

static uint8_t *fix_page;

static void
fix(int sig, siginfo_t *si, void *uc)
{

	(void)sig;
	(void)uc;
	say("fault at +%ld", (long)((uint8_t *)si->si_addr - fix_page));
	(void)mprotect(fix_page, PG, PROT_READ | PROT_WRITE);
}

CASE(fixed_by_the_handler)
{
	int i;

	fix_page = mem_new(PG);
	catch(SIGSEGV, fix);
	for (i = 0; i < 3; i++) {
		MUST(mprotect(fix_page, PG, i == 2 ? PROT_NONE : PROT_READ)
		    == 0);
		((volatile uint8_t *)fix_page)[17 * i] = (uint8_t)(i + 1);
	}
	SHOW(fix_page[0] + fix_page[17] + fix_page[34]);
	uncatch(SIGSEGV);
	RET(munmap(fix_page, PG));
}

CASE(address_of_a_wide_store)
{
	uint8_t *p = mem_edge();

	fix_page = p;
	catch(SIGSEGV, fix);
	*(volatile uint64_t *)(p - 4) = 1;
	SHOW(p[-4] + p[0]);
	uncatch(SIGSEGV);
	RET(munmap(p - PG, 2 * PG));
}

static void
edit_regs(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	greg_t *g = uc->uc_mcontext.gregs;

	(void)sig;
	(void)si;
	g[REG_RIP] += 2;
	g[REG_RBX] = 111;
	g[REG_R12] += 5;
	g[REG_EFL] |= 1;		/* carry */
}

CASE(registers_edited)
{
	uint64_t b, r12;
	uint8_t carry;

	catch(SIGILL, edit_regs);
	__asm__ volatile("mov $37, %%r12d\n\txor %%ebx, %%ebx\n\tud2\n\t"
	    "setc %2\n\tmov %%rbx, %0\n\tmov %%r12, %1"
	    : "=r" (b), "=r" (r12), "=r" (carry) : : "rbx", "r12", "cc");
	SHOW(b);
	SHOW(r12);
	SHOW(carry);
	uncatch(SIGILL);
}

static void
edit_xmm(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	struct _libc_fpstate *f = uc->uc_mcontext.fpregs;

	(void)sig;
	(void)si;
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	say("xmm3 %x mxcsr %x cw %x", f->_xmm[3].element[0], f->mxcsr, f->cwd);
	f->_xmm[3].element[0] = 0x1234;
	f->_xmm[15].element[3] = 7;
	f->mxcsr = 0x9f80;
	/* what the handler does to the registers is undone */
	__asm__ volatile("pxor %%xmm4, %%xmm4\n\tpxor %%xmm3, %%xmm3" : : :
	    "xmm3", "xmm4");
}

CASE(vector_state_edited)
{
	uint32_t in[4] = { 0xabc, 2, 3, 4 }, a[4], b[4], c[4], mxcsr, old;

	catch(SIGILL, edit_xmm);
	__asm__ volatile("stmxcsr %4\n\tmovdqu %5, %%xmm3\n\t"
	    "movdqu %5, %%xmm4\n\tmovdqu %5, %%xmm15\n\tud2\n\t"
	    "movdqu %%xmm3, %0\n\tmovdqu %%xmm4, %1\n\tmovdqu %%xmm15, %2\n\t"
	    "stmxcsr %3\n\tldmxcsr %4"
	    : "=m" (a), "=m" (b), "=m" (c), "=m" (mxcsr), "=m" (old)
	    : "m" (in) : "xmm3", "xmm4", "xmm15");
	say("%x %x %x %x %x", a[0], a[1], b[0], c[3], mxcsr);
	uncatch(SIGILL);
}

static void
look_ymm(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;
	uint8_t *x = (uint8_t *)uc->uc_mcontext.fpregs;
	uint32_t magic, v = 0x55;
	uint64_t bv;

	(void)sig;
	(void)si;
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	memcpy(&magic, x + 464, 4);
	memcpy(&bv, x + 512, 8);
	say("magic %x ymm %d", magic, (bv & 4) != 0);
	memcpy(x + 576 + 2 * 16, &v, 4);	/* YMM_Hi128 of ymm2 */
	__asm__ volatile("vzeroall" : : : "xmm0", "xmm1", "xmm2");
}

CASE(ymm_edited)
{
	uint32_t in[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, out[8] = { 0 };

	if (!__builtin_cpu_supports("avx")) {
		say("magic 46505853 ymm 1");
		say("1 4 55 8");
		return;
	}
	catch(SIGILL, look_ymm);
	__asm__ volatile("vmovdqu %1, %%ymm2\n\tud2\n\tvmovdqu %%ymm2, %0\n\t"
	    "vzeroupper" : "=m" (out) : "m" (in) : "xmm2");
	say("%x %x %x %x", out[0], out[3], out[4], out[7]);
	uncatch(SIGILL);
}

CASE(sse_exception)
{
	uint32_t mx = 0x1f80 & ~0x200U, old;	/* divide by zero unmasked */
	float one = 1, zero = 0;

	catch(SIGFPE, report);
	skip = 4;
	__asm__ volatile("stmxcsr %0\n\tldmxcsr %1\n\tmovss %2, %%xmm1\n\t"
	    "divss %%xmm3, %%xmm1\n\tldmxcsr %0" : "=m" (old) : "m" (mx),
	    "m" (one), "m" (zero) : "xmm1", "xmm3");
	say("went on");
	uncatch(SIGFPE);
}

CASE(x87_exception)
{
	uint16_t cw = 0x37f & ~4, old;

	catch(SIGFPE, report);
	skip = 0;
	/* reported at the next x87 instruction, which the handler skips */
	skip = 1;
	__asm__ volatile("fnstcw %0\n\tfldcw %1\n\tfld1\n\tfldz\n\t"
	    "fdivrp\n\tfwait\n\tfnclex\n\tfstp %%st(0)\n\tfldcw %0"
	    : "=m" (old) : "m" (cw) : "st", "st(1)");
	say("went on");
	uncatch(SIGFPE);
}

CASE(alignment_check)
{
	uint8_t b[16] __attribute__((aligned(16))) = { 0 };

	catch(SIGSEGV, report);
	skip = 4;
	__asm__ volatile("movaps 1(%%rax), %%xmm1" : : "a" (b) : "xmm1");
	say("went on");
	uncatch(SIGSEGV);
}

CASE(uc_of_an_ordinary_signal)
{
	uint64_t a;

	catch(SIGUSR1, edit_regs);
	/* getpid's result is edited: rbx too, behind two bytes */
	__asm__ volatile("xor %%ebx, %%ebx\n\tsyscall\n\tnop\n\tnop\n\t"
	    "mov %%rbx, %0" : "=r" (a)
	    : "a" (SYS_tkill), "D" (getpid()), "S" (SIGUSR1)
	    : "rbx", "rcx", "r11", "r12", "memory");
	SHOW(a);
	uncatch(SIGUSR1);
}

static uint64_t regs_in_handler[3];

static void
look_at_regs(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;

	(void)si;
	regs_in_handler[0] = (uint64_t)uc->uc_mcontext.gregs[REG_CSGSFS] &
	    0xffff;
	regs_in_handler[1] = uc->uc_flags;
	regs_in_handler[2] = (uint64_t)sig;
}

CASE(uc_layout)
{

	catch(SIGUSR1, look_at_regs);
	RET(raise(SIGUSR1));
	say("cs %lx flags %lx", regs_in_handler[0], regs_in_handler[1]);
	SHOW(regs_in_handler[2]);
	uncatch(SIGUSR1);
}

static void
change_mask(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;

	(void)sig;
	(void)si;
	(void)sigaddset(&uc->uc_sigmask, SIGUSR2);
}

CASE(mask_edited)
{
	sigset_t s;

	catch(SIGUSR1, change_mask);
	(void)raise(SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, NULL, &s);
	SHOW(sigismember(&s, SIGUSR2));
	(void)sigdelset(&s, SIGUSR2);
	(void)sigprocmask(SIG_SETMASK, &s, NULL);
	uncatch(SIGUSR1);
}

CASE(many_faults)
{
	int i;

	fix_page = mem_new(PG);
	catch(SIGILL, edit_regs);
	for (i = 0; i < 2000; i++)
		__asm__ volatile("ud2" : : : "rbx", "r12", "cc");
	say("done");
	uncatch(SIGILL);
	RET(munmap(fix_page, PG));
}

ALONE(fault_while_blocked)
{
	sigset_t s;

	catch(SIGSEGV, report);
	(void)sigemptyset(&s);
	(void)sigaddset(&s, SIGSEGV);
	(void)sigprocmask(SIG_BLOCK, &s, NULL);
	*nowhere = 1;
	say("not reached");
}

ALONE(fault_while_ignored)
{

	(void)signal(SIGSEGV, SIG_IGN);
	*nowhere = 1;
	say("not reached");
}

static void
fault_again(int sig, siginfo_t *si, void *uc)
{

	(void)sig;
	(void)si;
	(void)uc;
	say("in the handler");
	*nowhere = 1;
}

ALONE(fault_in_the_handler)
{

	catch(SIGSEGV, fault_again);
	*nowhere = 1;
	say("not reached");
}

ALONE(no_stack_for_the_handler)
{

	catch(SIGUSR1, report);
	__asm__ volatile("mov $8, %%rsp\n\tsyscall\n\thlt" : : "a" (SYS_tkill),
	    "D" (getpid()), "S" (SIGUSR1) : "memory");
	say("not reached");
}

ALONE(killed_by_sigill)
{

	__asm__ volatile("ud2");
}

ALONE(killed_by_sigfpe)
{

	__asm__ volatile("xor %%ecx, %%ecx\n\tidiv %%ecx" : : : "ecx");
}

ALONE(killed_by_sigtrap)
{

	__asm__ volatile("int3");
}

ALONE(bad_sigreturn)
{

	__asm__ volatile("mov $16, %%rsp\n\tmov $15, %%eax\n\tsyscall" : : :
	    "memory");
}

ALONE(sigbus_behind_the_file)
{
	uint8_t *p;
	int fd;

	tmp_enter();
	fd = open("f", O_RDWR | O_CREAT, 0600);
	MUST(write(fd, "x", 1) == 1);
	p = mmap(NULL, 2 * PG, PROT_READ, MAP_PRIVATE, fd, 0);
	MUST(p != MAP_FAILED);
	(void)unlink("f");
	tmp_leave();
	say("%c", p[0]);
	say("%c", p[PG]);
}
