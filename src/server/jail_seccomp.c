/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The system calls that kvmserver makes, by libseccomp.  What is not in the
 * list fails with EPERM; what only somebody makes who has taken over the
 * process ends it.
 */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "error.h"
#include "obj.h"
#include "server/jail.h"

#ifndef HAVE_LIBSECCOMP

int
jail_seccomp(struct tkvm_error *err)
{

	(void)err;
	return (0);
}

#else

#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALL(x)		SCMP_SYS(x)

static const int plain[] = {
	/* files: what a guest may do with them is not decided here */
	CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64),
	CALL(pwrite64), CALL(preadv), CALL(pwritev), CALL(preadv2),
	CALL(pwritev2), CALL(open), CALL(openat), CALL(openat2), CALL(close),
	CALL(close_range), CALL(lseek), CALL(stat), CALL(fstat), CALL(lstat),
	CALL(newfstatat), CALL(statx), CALL(access), CALL(faccessat),
	CALL(faccessat2), CALL(readlink), CALL(readlinkat), CALL(getdents64),
	CALL(mkdir), CALL(mkdirat), CALL(unlink), CALL(unlinkat), CALL(rmdir),
	CALL(rename), CALL(renameat), CALL(renameat2), CALL(link),
	CALL(linkat), CALL(symlink), CALL(symlinkat), CALL(chmod),
	CALL(fchmod), CALL(fchmodat), CALL(chown), CALL(fchown),
	CALL(fchownat), CALL(lchown), CALL(utimensat), CALL(truncate),
	CALL(ftruncate), CALL(fallocate), CALL(fsync), CALL(fdatasync),
	CALL(sync_file_range), CALL(fadvise64), CALL(copy_file_range),
	CALL(sendfile), CALL(splice), CALL(tee), CALL(statfs), CALL(fstatfs),
	CALL(flock), CALL(fcntl), CALL(dup), CALL(dup2), CALL(dup3),
	CALL(pipe), CALL(pipe2), CALL(memfd_create), CALL(umask),
	CALL(getcwd), CALL(msync), CALL(mknodat),
	/* memory */
	CALL(mmap), CALL(munmap), CALL(mprotect), CALL(mremap), CALL(madvise),
	CALL(mincore), CALL(mlock), CALL(munlock), CALL(brk),
	CALL(membarrier),
	/* threads */
	CALL(rseq), CALL(futex), CALL(set_robust_list), CALL(get_robust_list),
	CALL(set_tid_address), CALL(exit), CALL(exit_group), CALL(gettid),
	CALL(getpid), CALL(getppid), CALL(getuid), CALL(geteuid),
	CALL(getgid), CALL(getegid), CALL(rt_sigaction), CALL(rt_sigprocmask),
	CALL(rt_sigreturn), CALL(rt_sigpending), CALL(rt_sigtimedwait),
	CALL(rt_sigsuspend), CALL(sigaltstack), CALL(sched_yield),
	CALL(sched_getaffinity), CALL(sched_setaffinity),
	CALL(sched_getparam), CALL(sched_getscheduler), CALL(getcpu),
	CALL(arch_prctl), CALL(restart_syscall),
	/* time and waiting */
	CALL(clock_gettime), CALL(clock_getres), CALL(clock_nanosleep),
	CALL(nanosleep), CALL(gettimeofday), CALL(time), CALL(timer_create),
	CALL(timer_settime), CALL(timer_gettime), CALL(timer_delete),
	CALL(timerfd_create), CALL(timerfd_settime), CALL(setitimer),
	CALL(poll), CALL(ppoll), CALL(select), CALL(pselect6),
	CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_wait),
	CALL(epoll_pwait), CALL(eventfd2), CALL(signalfd4),
	/* connections */
	CALL(socketpair), CALL(bind), CALL(listen), CALL(accept),
	CALL(accept4), CALL(connect), CALL(shutdown), CALL(getsockname),
	CALL(getpeername), CALL(getsockopt), CALL(setsockopt), CALL(sendto),
	CALL(recvfrom), CALL(sendmsg), CALL(recvmsg), CALL(sendmmsg),
	CALL(recvmmsg),
	/* about ourselves */
	CALL(getrandom), CALL(uname), CALL(sysinfo), CALL(getrusage),
	CALL(times), CALL(getrlimit), CALL(setrlimit),
};

static const int deadly[] = {
	CALL(execve), CALL(execveat), CALL(fork), CALL(vfork), CALL(ptrace),
	CALL(process_vm_readv), CALL(process_vm_writev), CALL(pidfd_getfd),
	CALL(setuid), CALL(setgid), CALL(setreuid), CALL(setregid),
	CALL(setresuid), CALL(setresgid), CALL(setgroups), CALL(capset),
	CALL(mount), CALL(umount2), CALL(move_mount), CALL(open_tree),
	CALL(fsopen), CALL(pivot_root), CALL(chroot), CALL(setns),
	CALL(unshare), CALL(open_by_handle_at), CALL(bpf),
	CALL(perf_event_open), CALL(userfaultfd), CALL(io_uring_setup),
	CALL(io_uring_enter), CALL(io_uring_register), CALL(keyctl),
	CALL(add_key), CALL(request_key), CALL(init_module),
	CALL(finit_module), CALL(delete_module), CALL(kexec_load),
	CALL(kexec_file_load), CALL(reboot), CALL(swapon), CALL(swapoff),
	CALL(iopl), CALL(ioperm), CALL(acct), CALL(quotactl),
	CALL(settimeofday), CALL(clock_settime), CALL(personality),
};

static int
add_some(scmp_filter_ctx f)
{
	static const int family[] = { AF_UNIX, AF_INET, AF_INET6,
	    AF_NETLINK /* of getaddrinfo() */ };
	static const int request[] = { FIONREAD, FIONBIO, TCGETS, TIOCGWINSZ };
	static const int prc[] = { PR_SET_NAME, PR_GET_NAME, 0x53564d41
	    /* PR_SET_VMA */, PR_GET_DUMPABLE };
	unsigned u;
	int r = 0;

	for (u = 0; u < NELEM(family) && r == 0; u++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family[u]));
	for (u = 0; u < NELEM(request) && r == 0; u++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(ioctl), 1,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffUL,
		    (scmp_datum_t)request[u]));
	for (u = 0; u < NELEM(prc) && r == 0; u++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(prctl), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)prc[u]));
	if (r == 0)		/* all of KVM's */
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(ioctl), 1,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00UL, KVMIO << 8));
	if (r == 0)		/* threads, no processes */
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (r == 0)		/* its flags lie in memory: use clone(2) */
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3),
		    0);
	if (r == 0)		/* kicks, to our own threads */
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(tgkill), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW,
		    CALL(rt_tgsigqueueinfo), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(prlimit64), 1,
		    SCMP_A0(SCMP_CMP_EQ, 0));
	return (r);
}

int
jail_seccomp(struct tkvm_error *err)
{
	scmp_filter_ctx f;
	unsigned u;
	int r;

	f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (f == NULL)
		return (err_set(err, TKVM_E_MEMORY, "seccomp: no memory"));
	r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	/* By call number in a tree: the hot ones are not at the end. */
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (u = 0; u < NELEM(plain) && r == 0; u++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[u], 0);
	for (u = 0; u < NELEM(deadly) && r == 0; u++)
		r = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, deadly[u], 0);
	if (r == 0)
		r = add_some(f);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	if (r != 0)
		return (err_set(err, TKVM_E_INTERNAL, "seccomp: %s",
		    strerror(-r)));
	return (1);
}

#endif
