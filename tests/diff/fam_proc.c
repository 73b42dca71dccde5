/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Who a process is.  Children cannot be had in a machine: those cases are in
 * `exclude`.
 */

#include "diff.h"

#include <grp.h>
#include <sys/wait.h>

CASE(ids)
{

	SHOW(getpid() == (pid_t)syscall(SYS_getpid));
	SHOW(getpid() == (pid_t)syscall(SYS_gettid));
	SHOW(getuid() == geteuid());
	SHOW(getgid() == getegid());
	SHOW(getpgid(0) == getpgid(getpid()));
	SHOW(getpgrp() == getpgid(0));
	RET(getpgid(-5));
	RET(kill(getpid(), 0));
	RET(kill(getpid(), 99));
	RET(kill(getpid(), -1));
	RET(syscall(SYS_tgkill, getpid(), getpid(), 0));
	RET(syscall(SYS_tgkill, getpid(), -1, 0));
	RET(syscall(SYS_tgkill, 0, getpid(), 0));
	RET(syscall(SYS_tkill, getpid(), 0));
	RET(setuid(getuid()));
	RET(setgid(getgid()));
	RET(setreuid(-1, -1));
	RET(setresgid(-1, -1, -1));
}

/* What servers do when they have their port; as root, or not */
ALONE(drop_root)
{
	gid_t g[2] = { 1234, 1235 };

	RET(setgroups(0, NULL));
	RET(setgroups(2, g));
	RET(setgroups(1, (void *)8));
	RET(setresgid(1234, 1234, 1234));
	RET(setreuid(1233, 1233));
	SHOW(getuid() == geteuid());
	SHOW(getuid() == 1233);
	SHOW(getgid() == 1234);
	RET(setuid(1233) == (getuid() == 1233 ? 0 : -1));
	RET(setuid(0) == (getuid() == 0 ? 0 : -1));
	RET(setgid(77));
	RET(setgroups(0, NULL));
}

CASE(no_children)
{
	int st = 0;

	RET(waitpid(-1, &st, 0));
	RET(waitpid(-1, &st, WNOHANG));
	RET(wait4(-1, &st, WNOHANG, NULL));
}

CASE(fork_and_wait)
{
	int st = 0;
	pid_t c;

	c = fork();
	if (c == 0)
		_exit(7);
	SHOW(c > 0);
	SHOW(waitpid(c, &st, 0) == c);
	SHOW(WEXITSTATUS(st));
}

CASE(execve_missing)
{
	char *const argv[] = { (char *)"x", NULL };

	RET(execve("/nonexistent/x", argv, argv));
}

ALONE(exit_status)
{

	say("bye");
	_exit(300);
}

static void *
ends_all(void *arg)
{

	(void)arg;
	_exit(5);
}

ALONE(exit_group_of_thread)
{

	(void)thread_start(ends_all, NULL);
	ms_sleep(2000);
}
