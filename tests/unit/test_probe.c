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
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tkvm.h"

#define RUNS_MAX	100

static int fail_at, fail_errno, fail_always, runs;

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal),
		cmocka_unit_test(signals_without_end),
		cmocka_unit_test(an_error),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
