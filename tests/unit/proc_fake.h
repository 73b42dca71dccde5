/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A machine without KVM for tests of threads, futexes and signals: 1 MiB of
 * guest memory at FAKE_BASE, a clock that the test moves, vector states that
 * are refused as KVM would refuse them.  Included by one file per test.
 */

#ifndef PROC_FAKE_H
#define PROC_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "conf/options.h"
#include "gk.h"
#include "layout.h"
#include "linux/sys_proc.h"
#include "obj.h"

#define FAKE_BASE	0x100000UL
#define FAKE_SIZE	0x100000UL
#define FAKE_XSIZE	832u		/* FP, SSE, AVX */
#define FAKE_XCR0	7ul

static uint8_t fake_mem[FAKE_SIZE];
static const struct tkvm_options fake_opt = { .max_threads = MAX_THREADS };
static struct machine fake;
static struct kvm_xsave fake_xsave[MAX_THREADS];
static uint64_t fake_mono, fake_real;
static unsigned fake_bad_xsave, fake_fails, fake_logs;
static char fake_text[500], fake_log[500];
static enum tkvm_code fake_code;

/* ---- what the lower layers provide ----------------------------------- */

static uint8_t *
fake_at(uint64_t gva, size_t len)
{

	if (gva < FAKE_BASE || gva - FAKE_BASE > FAKE_SIZE ||
	    len > FAKE_SIZE - (gva - FAKE_BASE))
		return (NULL);
	return (fake_mem + (gva - FAKE_BASE));
}

int
as_read(struct as *as, uint64_t gva, void *dst, size_t len)
{
	uint8_t *p = fake_at(gva, len);

	(void)as;
	if (p == NULL)
		return (-EFAULT);
	memcpy(dst, p, len);
	return (0);
}

int
as_write(struct as *as, uint64_t gva, const void *src, size_t len)
{
	uint8_t *p = fake_at(gva, len);

	(void)as;
	if (p == NULL)
		return (-EFAULT);
	memcpy(p, src, len);
	return (0);
}

int
as_zero(struct as *as, uint64_t gva, size_t len)
{
	uint8_t *p = fake_at(gva, len);

	(void)as;
	if (p == NULL)
		return (-EFAULT);
	memset(p, 0, len);
	return (0);
}

uint64_t
as_rss(struct as *as)
{

	(void)as;
	return (FAKE_SIZE);
}

static struct gk_vvar fake_vvar;

int
machine_handed(struct machine *m, unsigned i)
{

	(void)m;
	(void)i;
	return (0);
}

void
vvar_update(struct machine *m)
{

	(void)m;
}

struct gk_vvar *
machine_vvar(struct machine *m)
{

	(void)m;
	return (&fake_vvar);
}

uint64_t
machine_mono(const struct machine *m)
{

	(void)m;
	return (fake_mono);
}

uint64_t
machine_real(const struct machine *m)
{

	(void)m;
	return (fake_real);
}

void
machine_unhold(struct machine *m, struct thread *t)
{

	(void)m;
	(void)t;
}

void
machine_log(struct machine *m, enum tkvm_log level, const char *fmt, ...)
{
	va_list ap;

	(void)m;
	(void)level;
	va_start(ap, fmt);
	(void)vsnprintf(fake_log, sizeof(fake_log), fmt, ap);
	va_end(ap);
	fake_logs++;
}

void
machine_limited(struct machine *m, enum machine_limit which)
{

	(void)m;
	(void)which;
}

void
machine_fail(struct machine *m, enum tkvm_code code, const char *fmt, ...)
{
	va_list ap;

	(void)m;
	fake_code = code;
	va_start(ap, fmt);
	(void)vsnprintf(fake_text, sizeof(fake_text), fmt, ap);
	va_end(ap);
	fake_fails++;
}

int
machine_get_xsave(struct machine *m, struct thread *t, struct kvm_xsave *xs)
{

	*xs = fake_xsave[t - m->thread];
	return (0);
}

/* As copy_uabi_to_xstate() of the kernel checks it */
int
machine_set_xsave(struct machine *m, struct thread *t,
    const struct kvm_xsave *xs)
{
	const uint8_t *b = (const uint8_t *)xs;
	uint64_t hdr[8];
	uint32_t mxcsr;
	unsigned u;

	memcpy(hdr, b + 512, sizeof(hdr));
	memcpy(&mxcsr, b + 24, sizeof(mxcsr));
	if ((hdr[0] & ~FAKE_XCR0) != 0 || (mxcsr & ~0xffffU) != 0)
		fake_bad_xsave++;
	for (u = 1; u < 8; u++)
		if (hdr[u] != 0)
			fake_bad_xsave++;
	fake_xsave[t - m->thread] = *xs;
	return (0);
}

unsigned
machine_xsave_size(const struct machine *m)
{

	(void)m;
	return (FAKE_XSIZE);
}

uint64_t
machine_xcr0(const struct machine *m)
{

	(void)m;
	return (FAKE_XCR0);
}

const char *
machine_symbol(struct machine *m, uint64_t rip, char *buf, size_t len)
{

	(void)m;
	(void)snprintf(buf, len, "main+0x%llx", (unsigned long long)rip & 0xff);
	return (buf);
}

/* ---- for the tests --------------------------------------------------- */

#define FAKE_PID	100u
#define FAKE_STACK	(FAKE_BASE + 0x80000)

static struct thread *
fake_thread(void)
{
	struct thread *t = thread_new(&fake);
	uint8_t *xs;
	uint32_t mxcsr[2] = { 0x1f80, 0xffff };
	uint64_t bv = FAKE_XCR0;
	unsigned u;

	assert_non_null(t);
	t->regs.rsp = FAKE_STACK;
	t->regs.rip = FAKE_BASE + 0x1002;
	t->regs.rflags = 0x202;
	xs = (uint8_t *)&fake_xsave[t - fake.thread];
	memset(xs, 0, sizeof(struct kvm_xsave));
	for (u = 0; u < FAKE_XSIZE; u++)
		xs[u] = (uint8_t)(u * 7 + 3);
	memset(xs + 464, 0, 48);
	memset(xs + 512, 0, 64);
	memcpy(xs + 24, mxcsr, sizeof(mxcsr));
	memcpy(xs + 512, &bv, sizeof(bv));
	return (t);
}

static int
fake_setup(void **state)
{

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.magic = MACHINE_MAGIC;
	fake.opt = &fake_opt;
	fake.proc.pid = FAKE_PID;
	fake.proc.uid = fake.proc.ruid = fake.proc.suid = 1000;
	fake.proc.rlim[RLIMIT_SIGPENDING][0] = MAX_SIGQ;
	memset(fake_mem, 0, sizeof(fake_mem));
	fake_mono = 1000 * NSEC;
	fake_real = 1700000000 * NSEC;
	fake_bad_xsave = fake_fails = fake_logs = 0;
	fake_text[0] = fake_log[0] = '\0';
	fake_code = TKVM_OK;
	(void)fake_thread();
	return (0);
}

#define T0		(&fake.thread[0])

/* As the dispatcher does a fresh call; a result goes to RAX. */
static int64_t
fake_call(struct thread *t, sys_f *fn, uint64_t nr, uint64_t a0, uint64_t a1,
    uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	uint64_t a[6] = { a0, a1, a2, a3, a4, a5 };
	int64_t r;

	t->nr = nr;
	memcpy(t->a, a, sizeof(a));
	t->restart = 0;
	t->progress = 0;
	t->deadline = UINT64_MAX;
	r = fn(&fake, t, a);
	if (r == SYS_BLOCK)
		t->state = T_WAIT;
	else if (r != SYS_NORETURN)
		t->regs.rax = (uint64_t)r;
	return (r);
}

/* A blocked call is tried again. */
__attribute__((unused)) static int64_t
fake_retry(struct thread *t, sys_f *fn)
{
	int64_t r;

	assert_int_equal(t->state, T_WAIT);
	t->restart = 1;
	r = fn(&fake, t, t->a);
	if (r != SYS_BLOCK) {
		t->state = T_RUN;
		t->restart = 0;
		if (r != SYS_NORETURN)
			t->regs.rax = (uint64_t)r;
	}
	return (r);
}

#define CALL6(t, name, ...)						\
	fake_call(t, sys_##name, SYS_##name, __VA_ARGS__)
#define CALL5(t, name, ...)	CALL6(t, name, __VA_ARGS__, 0)
#define CALL4(t, name, ...)	CALL6(t, name, __VA_ARGS__, 0, 0)
#define CALL3(t, name, ...)	CALL6(t, name, __VA_ARGS__, 0, 0, 0)
#define CALL2(t, name, ...)	CALL6(t, name, __VA_ARGS__, 0, 0, 0, 0)
#define CALL1(t, name, ...)	CALL6(t, name, __VA_ARGS__, 0, 0, 0, 0, 0)
#define CALL0(t, name)		CALL6(t, name, 0, 0, 0, 0, 0, 0)
#define RETRY(t, name)		fake_retry(t, sys_##name)

__attribute__((unused)) static uint64_t
fake_put(uint64_t gva, const void *p, size_t len)
{

	assert_int_equal(as_write(NULL, gva, p, len), 0);
	return (gva);
}

__attribute__((unused)) static uint64_t
fake_u64(uint64_t gva)
{
	uint64_t v = 0;

	assert_int_equal(as_read(NULL, gva, &v, sizeof(v)), 0);
	return (v);
}

__attribute__((unused)) static uint32_t
fake_u32(uint64_t gva)
{
	uint32_t v = 0;

	assert_int_equal(as_read(NULL, gva, &v, sizeof(v)), 0);
	return (v);
}

__attribute__((unused)) static void
fake_set32(uint64_t gva, uint32_t v)
{

	(void)fake_put(gva, &v, sizeof(v));
}

__attribute__((unused)) static uint64_t
fake_ts(uint64_t gva, int64_t sec, int64_t nsec)
{
	int64_t ts[2] = { sec, nsec };

	return (fake_put(gva, ts, sizeof(ts)));
}

int
as_strncpy(struct as *as, char *dst, uint64_t gva, size_t max)
{

	(void)as;
	(void)gva;
	if (max > 0)
		*dst = '\0';
	return (0);
}

int
program_missing(struct machine *mm, const char *path)
{

	(void)mm;
	(void)path;
	return (0);
}

#endif
