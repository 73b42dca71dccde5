/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * LD_PRELOAD of kvmserver: what somebody would try who has taken it over, at
 * the first connection that a worker accepts.  Results go to the file
 * $JAILBREAK; with $JAILBREAK_CALL it makes that one deadly call only.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int out = -1, tried;

static void __attribute__((constructor))
init(void)
{
	const char *name = getenv("JAILBREAK");

	if (name != NULL)
		out = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		    0600);
}

static void
say(const char *what, long r)
{

	(void)dprintf(out, "%s %s\n", what, r >= 0 ? "OK" :
	    strerrorname_np(errno));
	errno = 0;
}

static void
deadly(const char *call)
{
	char *const none[] = { NULL };

	if (!strcmp(call, "execve"))
		(void)execve("/bin/true", none, none);
	else if (!strcmp(call, "fork"))
		(void)syscall(SYS_fork);
	else if (!strcmp(call, "ptrace"))
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	else if (!strcmp(call, "setuid"))
		(void)syscall(SYS_setuid, 0);
	else if (!strcmp(call, "io_uring"))
		(void)syscall(SYS_io_uring_setup, 1, NULL);
}

static void
try_all(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_port = htons(1),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *dir = getenv("JAILBREAK_DIR");
	char path[4096];
	long pid;
	int fd;

	say("read-secret", open("/etc/shadow", O_RDONLY));
	say("read-proc", open("/proc/1/environ", O_RDONLY));
	say("open-kvm", open("/dev/kvm", O_RDWR));
	(void)snprintf(path, sizeof path, "%s/refused/file", dir);
	say("read-refused", open(path, O_RDONLY));
	say("write-refused", open(path, O_WRONLY));
	say("unlink-refused", unlink(path));
	(void)snprintf(path, sizeof path, "%s/refused/new", dir);
	say("create-refused", open(path, O_WRONLY | O_CREAT, 0600));
	(void)snprintf(path, sizeof path, "%s/readable/file", dir);
	say("read-readable", open(path, O_RDONLY));
	say("write-readable", open(path, O_WRONLY));
	(void)snprintf(path, sizeof path, "%s/writable/new", dir);
	say("create-writable", open(path, O_WRONLY | O_CREAT, 0600));
	say("read-writable", open(path, O_RDONLY));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	say("socket", fd);
	say("connect", connect(fd, (struct sockaddr *)&sin, sizeof sin));
	say("packet", socket(AF_PACKET, SOCK_RAW, 0));
	say("kill", kill(1, 0));
	say("tgkill", syscall(SYS_tgkill, 1, 1, 0));
	pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0)
		_exit(0);
	say("clone", pid);
	say("prctl", syscall(SYS_prctl, 38, 0, 0, 0, 0));
	say("sethostname", sethostname("x", 1));
}

int
accept4(int l, struct sockaddr *sa, socklen_t *len, int flags)
{
	static int (*next)(int, struct sockaddr *, socklen_t *, int);
	const char *call = getenv("JAILBREAK_CALL");

	if (next == NULL)
		next = (__typeof__(next))dlsym(RTLD_NEXT, "accept4");
	l = next(l, sa, len, flags);
	if (l < 0 || out < 0 || tried++ > 0)
		return (l);
	if (call != NULL)
		deadly(call);
	else
		try_all();
	return (l);
}
