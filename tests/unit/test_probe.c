/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The look at /dev/kvm when the n-th KVM_RUN fails: a signal that happens to
 * come is no reason to refuse a host, anything else is one that is named.
 *
 * What it finds is kept for the process, so each attempt is one.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/kvm.h"
#include "tkvm.h"

#define RUNS_MAX	100

static int fail_at, fail_errno, fail_always, runs;
static int filters, filter_fails;

int __real_ioctl(int, unsigned long, void *);
int __wrap_ioctl(int, unsigned long, void *);

/* As a signal does: the registers that were set are in the vCPU. */
static int
interrupted(int fd)
{
	struct kvm_run *r;
	int i, e;

	r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(r != MAP_FAILED);
	r->immediate_exit = 1;
	i = __real_ioctl(fd, KVM_RUN, NULL);
	e = errno;
	r->immediate_exit = 0;
	(void)munmap(r, sizeof *r);
	errno = e;
	return (i);
}

int
__wrap_ioctl(int fd, unsigned long request, void *arg)
{

	if (request == KVM_RUN && (++runs == fail_at ||
	    (fail_always && runs > fail_at))) {
		if (fail_errno == EINTR)
			return (interrupted(fd));
		errno = fail_errno;
		return (-1);
	}
	if (request == KVM_X86_SET_MSR_FILTER) {
		const struct kvm_msr_filter *f = arg;

		/* Denies all: by default, and its only range allows none. */
		assert_int_equal(f->flags, KVM_MSR_FILTER_DEFAULT_DENY);
		assert_int_equal(f->ranges[0].nmsrs, 1);
		assert_int_equal(f->ranges[0].bitmap[0], 0);
		assert_int_equal(f->ranges[1].nmsrs, 0);
		filters++;
		if (filter_fails) {
			errno = EINVAL;
			return (-1);
		}
	}
	return (__real_ioctl(fd, request, arg));
}

/* 0: works; 1: does not, and says why; 2: never got to it; else: broken */
static int
attempt(int at, int e, int always)
{
	struct tkvm_host host;
	struct tkvm_error err;
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fail_at = at;
		fail_errno = e;
		fail_always = always;
		memset(&err, 0, sizeof err);
		if (tkvm_host_probe(&host, &err) == 0)
			_exit(runs < at ? 2 : 0);
		_exit(strstr(err.text, always ? "interrupted" :
		    "KVM_RUN failed") != NULL ? 1 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (WEXITSTATUS(status));
}

static void
need_kvm(void)
{

	if (attempt(RUNS_MAX, 0, 0) != 2)
		skip();
}

static void
a_signal(void **state)
{
	int n, i = 0;

	(void)state;
	need_kvm();
	for (n = 1; n < RUNS_MAX && i == 0; n++) {
		i = attempt(n, EINTR, 0);
		if (i != 2)
			assert_int_equal(i, 0);
	}
	assert_int_equal(i, 2);
	assert_true(n > 10);
}

static void
signals_without_end(void **state)
{

	(void)state;
	need_kvm();
	assert_int_equal(attempt(1, EINTR, 1), 1);
	assert_int_equal(attempt(5, EINTR, 1), 1);
}

static void
an_error(void **state)
{

	(void)state;
	need_kvm();
	assert_int_equal(attempt(1, EFAULT, 0), 1);
	assert_int_equal(attempt(5, EINVAL, 0), 1);
}

/* ---- MSRs and CPUID ---------------------------------------------------------- */

static void
msrs_are_denied(void **state)
{
	const struct kvmhost *h;
	struct tkvm_error err;
	struct vm *vm;

	(void)state;
	if (kvmhost_get(&h, &err) != 0)
		fail_msg("%s", err.text);
	if (!h->has_msr_filter)
		skip();
	filters = 0;
	vm = vm_new(h, &err);
	assert_non_null(vm);
	vm_free(&vm);
	assert_int_equal(filters, 1);
	filter_fails = 1;
	assert_null(vm_new(h, &err));
	filter_fails = 0;
	assert_non_null(strstr(err.text, "KVM_X86_SET_MSR_FILTER"));
}

static const struct {
	uint32_t	fn, index;
	/* of EAX, EBX, ECX, EDX: never there, always kept */
	uint32_t	never[4], always[4];
} want[] = {
	{ 0, 0, { 0, 0, 0, 0 }, { ~0u, ~0u, ~0u, ~0u } },
	/* VMX, MONITOR, x2APIC, PCID, PDCM; SSE3, AES, AVX, XSAVE, RDRAND */
	{ 1, 0, { 0, 0, 1u << 5 | 1u << 3 | 1u << 21 | 1u << 17 | 1u << 15,
	    0 }, { 0, 0, 1u | 1u << 25 | 1u << 26 | 1u << 28 | 1u << 30, 0 } },
	/* AVX-512, MPX, RTM, PT, SGX; PKU, WAITPKG, CET; UINTR, AMX, IBT */
	{ 7, 0, { 0, 1u << 16 | 1u << 14 | 1u << 11 | 1u << 25 | 1u << 2,
	    1u << 3 | 1u << 4 | 1u << 5 | 1u << 7,
	    1u << 5 | 1u << 24 | 1u << 20 | 1u << 26 },
	    { 0, 1u << 0 | 1u << 5 | 1u << 7, 1u << 2, 0 } },
	/* supervisor state, XFD */
	{ 0xd, 1, { 1u << 3 | 1u << 4, ~0u, ~0u, ~0u }, { 7, 0, 0, 0 } },
	{ 0xd, 0, { ~7u, 0, 0, ~0u }, { 7, 0, 0, 0 } },
	/* SVM, IBS, LWP */
	{ 0x80000001, 0, { 0, 0, 1u << 2 | 1u << 10 | 1u << 15, 0 },
	    { 0, 0, 1u, 1u << 29 } },
	{ 0x40000000, 0, { 0, 0, 0, 0 }, { 0x40000000, ~0u, ~0u, ~0u } },
};

/* Not there at all: MONITOR, counters, SGX, PT, AMX, KVM's services, SVM */
static const uint32_t gone[] = { 5, 6, 0xa, 0xf, 0x10, 0x12, 0x14, 0x19, 0x1c,
    0x1d, 0x1e, 0x20, 0x23, 0x24, 0x40000001, 0x8000000a, 0x8000001b,
    0x8000001f, 0x80000021, 0x80000022, 0xc0000001 };

/* A CPU that has everything */
static struct kvm_cpuid2 *
rich(void)
{
	struct kvm_cpuid2 *c;
	unsigned u, n = 0;

	c = calloc(1, sizeof *c + 100 * sizeof c->entries[0]);
	assert_non_null(c);
	for (u = 0; u < sizeof want / sizeof want[0]; u++) {
		c->entries[n].function = want[u].fn;
		c->entries[n++].index = want[u].index;
	}
	for (u = 0; u < sizeof gone / sizeof gone[0]; u++)
		c->entries[n++].function = gone[u];
	/* components of XSAVE: AVX stays, AVX-512, PKRU and AMX go */
	for (u = 2; u < 19; u++) {
		c->entries[n].function = 0xd;
		c->entries[n++].index = u;
	}
	c->nent = n;
	for (u = 0; u < n; u++)
		c->entries[u].eax = c->entries[u].ebx = c->entries[u].ecx =
		    c->entries[u].edx = ~0u;
	return (c);
}

static void
cpuid_is_reduced(void **state)
{
	struct kvm_cpuid2 *c = rich();
	unsigned u, w, r;

	(void)state;
	assert_int_equal(cpuid_reduce(c), 7);
	assert_int_equal(c->nent, sizeof want / sizeof want[0] + 1);
	for (u = 0; u < c->nent; u++) {
		const struct kvm_cpuid_entry2 *e = &c->entries[u];
		const uint32_t reg[] = { e->eax, e->ebx, e->ecx, e->edx };

		for (w = 0; w < sizeof want / sizeof want[0]; w++)
			if (want[w].fn == e->function &&
			    want[w].index == e->index)
				break;
		if (w == sizeof want / sizeof want[0]) {
			assert_int_equal(e->function, 0xd);
			assert_int_equal(e->index, 2);
			continue;
		}
		for (r = 0; r < 4; r++) {
			assert_int_equal(reg[r] & want[w].never[r], 0);
			assert_int_equal(reg[r] & want[w].always[r],
			    want[w].always[r]);
		}
	}
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal),
		cmocka_unit_test(signals_without_end),
		cmocka_unit_test(an_error),
		cmocka_unit_test(cpuid_is_reduced),
		cmocka_unit_test(msrs_are_denied),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
