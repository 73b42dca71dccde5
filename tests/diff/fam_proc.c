/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Who a process is.  Children cannot be had in a machine: those cases are in
 * `exclude`.
 */

#include "diff.h"

#include <grp.h>
#include <sys/stat.h>
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

/* Those of whoever runs this are not known. */
static void
groups(void)
{
	gid_t g[40];
	char line[512];
	FILE *f;
	int n, i;

	if (getuid() != 0 && getuid() != 1233)
		return;
	RET(n = getgroups(40, g));
	for (i = 0; i < n; i++)
		say("group %u", g[i]);
	RET(getgroups(0, NULL));
	RET(getgroups(1, g));
	RET(getgroups(-1, g));
	RET(getgroups(40, (void *)8));
	f = fopen("/proc/self/status", "r");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "Groups:", 7) == 0)
			say("%s|", line);
	if (f != NULL)
		fclose(f);
}

/* Root takes some, and files in memory that are one's can be opened. */
ALONE(supplementary_groups)
{
	gid_t g[40] = { 9999, 77, 1235, 77, 3 };
	int fd;

	if (getuid() != 0)
		return;
	RET(setgroups(5, g));
	groups();
	RET(setgroups(70000, g));
	RET(setgroups(-1, g));
	groups();
	RET(chmod("/dev/shm", 01777));
	(void)unlink("/dev/shm/tkvm-diff-groups");
	RET((fd = creat("/dev/shm/tkvm-diff-groups", 0640)) >= 0);
	RET(fchown(fd, -1, 1235));
	close(fd);
	RET(setresgid(1234, 1234, 1234));
	RET(setresuid(1233, 1233, 0));
	RET(open("/dev/shm/tkvm-diff-groups", O_RDONLY) >= 0);
	RET(open("/dev/shm/tkvm-diff-groups", O_WRONLY) >= 0);
	RET(setresuid(0, 0, 0));
	RET(setgroups(1, g));
	RET(setresuid(1233, 1233, 0));
	RET(open("/dev/shm/tkvm-diff-groups", O_RDONLY) >= 0);
	groups();
	RET(setresuid(0, 0, 0));
	RET(unlink("/dev/shm/tkvm-diff-groups"));
}

/* What servers do when they have their port; as root, or not */
ALONE(drop_root)
{
	gid_t g[2] = { 1234, 1235 };

	RET(setgroups(0, NULL));
	RET(setgroups(2, g));
	RET(setgroups(1, (void *)8));
	groups();
	RET(setresgid(1234, 1234, 1234));
	RET(setreuid(1233, 1233));
	SHOW(getuid() == geteuid());
	SHOW(getuid() == 1233);
	SHOW(getgid() == 1234);
	RET(setuid(1233) == (getuid() == 1233 ? 0 : -1));
	RET(setuid(0) == (getuid() == 0 ? 0 : -1));
	RET(setgid(77));
	RET(setgroups(0, NULL));
	groups();
}

/* Another user for a while, as squid, and for good in the end */
static void
three(void)
{
	uid_t r = 9, e = 9, s = 9;
	gid_t gr = 9, ge = 9, gs = 9;

	RET(getresuid(&r, &e, &s));
	RET(getresgid(&gr, &ge, &gs));
	say("uid %u %u %u, gid %u %u %u", r, e, s, gr, ge, gs);
	SHOW(getuid() == r && geteuid() == e);
	SHOW(getgid() == gr && getegid() == ge);
}

ALONE(leave_root_and_return)
{

	/* Root in both, whoever runs this: others have nothing to leave. */
	if (getuid() != 0)
		return;
	RET(setegid(1234));
	RET(setresuid(1233, 1233, 0));
	three();
	RET(setgid(77));
	RET(setegid(0));
	RET(setresuid(77, -1, -1));
	RET(seteuid(0));
	three();
	RET(setreuid(-1, 55));
	three();
	RET(setuid(44));
	RET(setuid(1233));
	three();
	RET(setreuid(55, 1233));
	RET(setresuid(0, 0, 0));
	three();
}

ALONE(swap_users)
{

	if (getuid() != 0)
		return;
	RET(setregid(12, 13));
	RET(setresuid(1, 2, 3));
	three();
	RET(setreuid(3, -1));
	RET(setreuid(2, 1));
	three();
	RET(setuid(3));
	RET(setresuid(2, 2, 2));
	RET(setresgid(13, 12, -1));
	three();
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
	ms_sleep(60000);
}
