/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * System calls about the process: threads, futexes, signals, time, identity
 * and limits; and what the files that answer them share.
 */

#ifndef TKVM_SYS_PROC_H
#define TKVM_SYS_PROC_H

#include "linux/linux.h"

/* ---- calls whose answer never varies (misc.c) ------------------------ */

#define SYS_FIXED(X)							\
	X(acct, -EPERM)							\
	X(add_key, -ENOSYS)						\
	X(bpf, -EPERM)							\
	X(chroot, -EPERM)						\
	X(delete_module, -EPERM)					\
	X(fanotify_init, -EPERM)					\
	X(finit_module, -EPERM)						\
	X(futex_waitv, -ENOSYS)						\
	X(init_module, -EPERM)						\
	X(io_uring_enter, -ENOSYS)					\
	X(io_uring_register, -ENOSYS)					\
	X(io_uring_setup, -ENOSYS)					\
	X(ioperm, -EPERM)						\
	X(iopl, -EPERM)							\
	X(kexec_file_load, -EPERM)					\
	X(kexec_load, -EPERM)						\
	X(keyctl, -ENOSYS)						\
	X(mount, -EPERM)						\
	X(perf_event_open, -EPERM)					\
	X(pidfd_getfd, -ENOSYS)						\
	X(pidfd_open, -ENOSYS)						\
	X(pidfd_send_signal, -ENOSYS)					\
	X(pivot_root, -EPERM)						\
	X(ptrace, -EPERM)						\
	X(quotactl, -EPERM)						\
	X(reboot, -EPERM)						\
	X(pkey_free, -EINVAL)						\
	X(remap_file_pages, -EINVAL)					\
	X(request_key, -ENOSYS)						\
	X(rseq, -ENOSYS)						\
	X(seccomp, -EINVAL)						\
	X(setdomainname, -EPERM)					\
	X(sethostname, -EPERM)						\
	X(setns, -EPERM)						\
	X(setsid, -EPERM)						\
	X(settimeofday, -EPERM)						\
	X(swapoff, -EPERM)						\
	X(swapon, -EPERM)						\
	X(syslog, -EPERM)						\
	X(umount2, -EPERM)						\
	X(unshare, -EPERM)						\
	X(userfaultfd, -EPERM)						\
	X(vhangup, -EPERM)

#define SYS_FIXED_DECL(name, value)	sys_f sys_##name;
SYS_FIXED(SYS_FIXED_DECL)
#undef SYS_FIXED_DECL

/* ---- the others ------------------------------------------------------ */

/* thread.c */
sys_f sys_clone, sys_clone3, sys_fork, sys_vfork, sys_execve, sys_execveat,
    sys_wait4, sys_waitid, sys_set_tid_address, sys_gettid, sys_exit,
    sys_exit_group, sys_set_robust_list, sys_get_robust_list;
/* sched.c */
sys_f sys_sched_yield, sys_sched_setaffinity, sys_sched_getaffinity,
    sys_sched_setscheduler, sys_sched_getscheduler, sys_sched_setparam,
    sys_sched_getparam, sys_sched_setattr, sys_sched_getattr,
    sys_sched_get_priority_max, sys_sched_get_priority_min,
    sys_sched_rr_get_interval, sys_getcpu, sys_membarrier, sys_getpriority,
    sys_setpriority, sys_ioprio_get, sys_ioprio_set;
/* prctl.c */
sys_f sys_arch_prctl, sys_prctl, sys_capget, sys_capset, sys_personality;
/* futex.c */
sys_f sys_futex;
/* sigcall.c */
sys_f sys_rt_sigaction, sys_rt_sigprocmask, sys_rt_sigpending,
    sys_rt_sigsuspend, sys_rt_sigtimedwait, sys_rt_sigqueueinfo,
    sys_rt_tgsigqueueinfo, sys_sigaltstack, sys_kill, sys_tkill, sys_tgkill,
    sys_pause;
/* sigframe_x86_64.c */
sys_f sys_rt_sigreturn;
/* time.c */
sys_f sys_clock_gettime, sys_clock_settime, sys_clock_getres,
    sys_clock_nanosleep, sys_nanosleep,
    sys_gettimeofday, sys_time, sys_times, sys_getrusage, sys_adjtimex,
    sys_clock_adjtime;
/* timer.c */
sys_f sys_alarm, sys_setitimer, sys_getitimer, sys_timer_create,
    sys_timer_settime, sys_timer_gettime, sys_timer_delete,
    sys_timer_getoverrun;
/* cred.c */
sys_f sys_getpid, sys_getppid, sys_getuid, sys_geteuid, sys_getgid,
    sys_getegid, sys_getresuid, sys_getresgid, sys_setuid, sys_setgid,
    sys_setreuid, sys_setregid, sys_setresuid, sys_setresgid, sys_setfsuid,
    sys_setfsgid, sys_getgroups, sys_setgroups, sys_getpgid, sys_getpgrp,
    sys_setpgid, sys_getsid;
/* misc.c */
sys_f sys_uname, sys_sysinfo, sys_getrlimit, sys_setrlimit, sys_prlimit64,
    sys_getrandom;
/* memcall.c */
sys_f sys_mlock, sys_mlock2, sys_mlockall, sys_munlock, sys_munlockall,
    sys_pkey_alloc, sys_pkey_mprotect, sys_get_mempolicy, sys_set_mempolicy,
    sys_mbind, sys_process_vm_readv, sys_process_vm_writev;

/* ---- shared by these files ------------------------------------------- */

#define NSEC		1000000000UL
#define SIGBIT(sig)	(1UL << ((sig) - 1))
/* Signals that can be neither blocked nor caught: SIGKILL, SIGSTOP */
#define SIG_UNBLOCKABLE	(SIGBIT(9) | SIGBIT(19))
#define GUEST_SIG_DFL	0UL
#define GUEST_SIG_IGN	1UL
#define GUEST_SI_KERNEL	0x80
/* Not in every libc's headers */
#define GUEST_SA_RESTORER 0x04000000UL
#define GUEST_SS_AUTODISARM (1U << 31)

/* siginfo_t of the kernel's ABI */
struct guest_siginfo {
	int32_t		signo, err, code, pad;
	union {
		struct {		/* SI_USER, SI_TKILL, SI_QUEUE */
			int32_t		pid;
			uint32_t	uid;
			uint64_t	value;
		} rt;
		struct {			/* SI_TIMER */
			int32_t		tid, overrun;
			uint64_t	value;
		} timer;
		struct {			/* faults */
			uint64_t	addr;
		} fault;
		uint8_t		room[112];
	} u;
};
_Static_assert(sizeof(struct guest_siginfo) == 128, "siginfo_t");

/* stack_t */
struct guest_stack {
	uint64_t	sp;
	uint32_t	flags, pad;
	uint64_t	size;
};
_Static_assert(sizeof(struct guest_stack) == 24, "stack_t");

/* thread.c */
struct thread *thread_find(struct machine *, int64_t tid);
/* Is this pid the process, by its number now or at the freeze? */
int proc_is_self(const struct machine *, int64_t pid);

/* Its own group, or a supplementary one? */
static inline int
proc_in_group(const struct machine *m, uint32_t gid)
{
	uint32_t u;

	if (gid == m->proc.gid)
		return (1);
	for (u = 0; u < m->proc.ngroups; u++)
		if (m->proc.group[u] == gid)
			return (1);
	return (0);
}

/* The process is gone; `status` as wait(2) has it. */
void proc_gone(struct machine *, int status);

/* futex.c: what the death of t owes to others */
void futex_exit(struct machine *, struct thread *);

/* signal.c */
/*
 * Take the next pending signal of `set` for t: its number, 0 if there is none.
 */
int signal_take(struct machine *, struct thread *, uint64_t set,
    struct guest_siginfo *);
/* t (NULL: the process) forgets a pending signal, and all that queue for it. */
void signal_drop(struct machine *, struct thread *, int sig);
/* ... every one: t is about to end. */
void signal_drop_all(struct machine *, struct thread *);
/* Pending ones of a signal that is now ignored are lost. */
void signal_flush_ignored(struct machine *, int sig);
/* A fault that the kernel raises itself; as signal_fault() */
int signal_force(struct machine *, struct thread *, int sig, const char *why);
/*
 * epoll_pwait, ppoll, pselect6: a mask for the time of the call (uset 0: none)
 * at its first try; 0 or -errno.  _done() when it answers anything but
 * SYS_BLOCK.
 */
int64_t signal_wait_mask(struct machine *, struct thread *, uint64_t uset,
    uint64_t size);
void signal_wait_done(struct thread *);

/* sigcall.c: the alternate stack */
int altstack_on(const struct thread *, uint64_t sp);
void altstack_get(const struct thread *, uint64_t sp, struct guest_stack *);
int64_t altstack_set(struct thread *, uint64_t sp, const struct guest_stack *);

/* sigframe_x86_64.c: t->regs become those of the handler; 0 or -EFAULT */
int sigframe_push(struct machine *, struct thread *, int sig,
    const struct ksigaction *, const struct guest_siginfo *, uint64_t oldmask);
/* Behind the `syscall` instruction: back to it, to make the call again. */
void sigframe_rewind(struct thread *, uint64_t nr);

/* cputime.c */
uint64_t cputime_process(const struct machine *);
int cputime_is_clock(int32_t clk);
/* "of the calling thread" by its number */
int32_t cputime_name(const struct thread *, int32_t clk);
int64_t cputime_read(struct machine *, struct thread *, int32_t clk,
    uint64_t *ns);
/* Signals that CPU time makes due, but for timer_create()'s: 1 if one was */
int cputime_run(struct machine *);
/* clock_nanosleep on a clock of CPU time; what is left of it */
int64_t cputime_sleep(struct machine *, struct thread *, const uint64_t a[6]);
uint64_t cputime_sleep_left(struct machine *, struct thread *);

/* timer.c: expirations up to now, and the next one after it; *next is due */
uint64_t timer_advance(uint64_t now, uint64_t interval, uint64_t *next);

/* time.c */
/* A struct timespec as ns, what is too far away as UINT64_MAX */
int64_t get_timespec(struct machine *, uint64_t uaddr, uint64_t *ns);
int64_t put_timespec(struct machine *, uint64_t uaddr, uint64_t ns);
/* now + ns, UINT64_MAX for never */
uint64_t time_after(uint64_t now, uint64_t ns);
/* An absolute time on a clock as one on CLOCK_MONOTONIC */
uint64_t time_real_to_mono(const struct machine *, uint64_t real);
/* The remaining time of a sleep that a signal ended goes to the guest. */
void time_sleep_interrupted(struct machine *, struct thread *);

/* timer.c: for siginfo; 0 if no timer has this signal pending */
int timer_signal_info(struct machine *, int sig, struct guest_siginfo *);

#endif
