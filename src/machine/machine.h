/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A machine: one guest process in one VM with one vCPU, being booted or being
 * a fork.  What the layers above and below share about it.
 *
 * State that a reset restores is plain data without pointers (struct proc,
 * struct thread, the VMAs), so that restoring is copying.
 */

#ifndef TKVM_MACHINE_H
#define TKVM_MACHINE_H

#include <linux/kvm.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>

#include "tkvm.h"

struct as;
struct fs;
struct gk;
struct gk_ctx;
struct hfile;
struct mfs;
struct tkvm_options;
struct tkvm_image;
struct vcpu;
struct vm;
struct wd_slot;

#define MAX_THREADS	512
#define MAX_HFILE	1024
#define MAX_WAITFD	256
#define NSIG_GUEST	64		/* signals 1 ... 64 */

/* A system call handler's answer besides 0... and -errno */
#define SYS_BLOCK	(-0x7778L)	/* = GK_BLOCK: try again when woken */
#define SYS_NORETURN	(-0x7779L)	/* registers are set: leave RAX alone */

enum thread_state {
	T_FREE = 0,
	T_RUN,			/* runnable or running */
	T_WAIT,			/* in a system call that returned SYS_BLOCK */
};

struct thread {
	uint8_t		state;		/* enum thread_state */
	uint8_t		restart;	/* the handler has blocked before */
	uint8_t		woken;		/* a futex wake reached it */
	uint8_t		in_sigsuspend;	/* oldmask is to be restored */
	uint8_t		first;		/* waits, but the VMM has not tried yet */
	int32_t		tid;
	/* Where it was, user mode: a waiting thread is inside its call with
	 * RIP behind the `syscall`, RAX not yet set. */
	struct kvm_regs	regs;
	uint64_t	fs_base, gs_base;
	/* The call it waits in */
	uint64_t	nr, a[6];
	uint64_t	deadline;	/* guest CLOCK_MONOTONIC ns; ~0: none */
	uint64_t	progress;	/* bytes done by the blocked call */
	uint32_t	seen_gen;	/* gk->gen when it last looked */
	uint64_t	wait_seq;	/* who has waited longest */
	uint32_t	held1;		/* what its descriptor named, + 1 */
	/* futex(2) */
	uint64_t	futex;		/* address waited on; 0: none */
	uint32_t	futex_bits;
	uint64_t	futex_seq;	/* who came first */
	uint64_t	clear_tid;	/* set_tid_address(2) */
	uint64_t	robust;		/* set_robust_list(2) */
	/* signals */
	uint64_t	sigmask, oldmask, sigpending;
	uint64_t	alt_sp, alt_size;
	uint32_t	alt_flags;
	uint64_t	sigwait;	/* rt_sigtimedwait(2): waited for */
	uint64_t	cr2, trapno, error_code;	/* of its last fault */
	uint64_t	cpu_ns;		/* run so far */
	uint64_t	cpu_until;	/* clock_nanosleep on CPU time */
	uint32_t	fifo_ino;	/* open(2) waits for the other end of */
	uint32_t	fifo_write;	/* ... and is this one */
	char		comm[16];
	/* siginfo of a pending one; put back if machine.sig_changed */
	int32_t		sig_code[NSIG_GUEST + 1];
	uint64_t	sig_val[NSIG_GUEST + 1];
};

struct ksigaction {			/* as the kernel's ABI has it */
	uint64_t	handler, flags, restorer, mask;
};

/* A real-time signal behind one of the same number that is pending */
struct sigq {
	uint16_t	thread;		/* index + 1; 0: the process */
	uint8_t		sig;
	int32_t		code;
	uint64_t	value;
};

#define MAX_SIGQ	512

#define MAX_GTIMER	256
#define LOG_PART	500

struct itimer_cpu {			/* in CPU time of the process */
	uint64_t	next, interval;
};

struct gtimer {				/* timer_create(2) */
	uint8_t		used;
	uint8_t		fired;		/* its signal is pending */
	int32_t		clockid, notify, signo, tid, overrun;
	uint64_t	value;		/* sigev_value */
	uint64_t	next;		/* guest CLOCK_MONOTONIC or CPU time;
					 * 0: disarmed */
	uint64_t	interval;
};

#define MAX_GROUPS	32		/* supplementary ones */

struct proc {
	uint32_t	pid, ppid;
	uint32_t	uid, gid;	/* effective: what it may do */
	uint32_t	ruid, suid, rgid, sgid;	/* real and saved */
	uint32_t	ngroups;
	uint32_t	image_pid;	/* the pid at freeze: still accepted */
	uint32_t	next_tid;
	uint32_t	nthreads;	/* alive */
	uint32_t	hi_thread;	/* index + 1 of the highest ever used */
	uint32_t	cur;		/* index of the thread in the vCPU */
	uint32_t	umask;
	uint32_t	maps_host;	/* host files, shared: mem_wrote() */
	int32_t		exited;		/* exit_group was called */
	int32_t		exit_status;	/* as wait(2) has it */
	int32_t		dumpable, no_new_privs, pdeathsig;
	uint32_t	membarrier;	/* what is registered */
	int32_t		policy;		/* SCHED_OTHER, _BATCH, _IDLE */
	uint64_t	sigpending;	/* process wide */
	uint32_t	nsigq;		/* of machine.sigq */
	uint64_t	itimer_next, itimer_interval;	/* ITIMER_REAL, ns */
	struct itimer_cpu itimer_cpu[2]; /* ITIMER_VIRTUAL, ITIMER_PROF */
	uint32_t	hi_gtimer;	/* index + 1 of the highest ever used */
	uint32_t	cpu_timed;	/* something waits for CPU time */
	uint64_t	futex_seq, wait_seq;
	uint64_t	dead_cpu_ns;	/* of threads that are gone */
	int32_t		nice;
	uint64_t	rlim[16][2];
	uint64_t	at_random;	/* where AT_RANDOM's bytes lie */
	uint64_t	auxv[48];	/* as /proc/self/auxv has it */
	uint32_t	generation;	/* 0 in the image: /dev/sysgenid */
	uint64_t	boot_mono;	/* start time, guest CLOCK_MONOTONIC */
	/* The rest is not put back each time: as far as it was in use ... */
	struct gtimer	gtimer[MAX_GTIMER];
	/* ... if machine.sig_changed ... */
	int32_t		sig_code[NSIG_GUEST + 1];
	uint64_t	sig_val[NSIG_GUEST + 1];
	struct ksigaction sigact[NSIG_GUEST + 1];
	/* ... if machine.rest_changed */
	char		exe[4096];	/* guest path */
	char		cwd[4096];	/* by proc_chdir() only */
	uint32_t	group[MAX_GROUPS];	/* by setgroups(2), sorted */
};

enum machine_stage { M_BOOT, M_WARM, M_FROZEN, M_SERVE };

struct machine {
	unsigned	magic;
#define MACHINE_MAGIC	0x4d414348
	const struct tkvm_options *opt;
	struct vm	*vm;
	struct vcpu	*vcpu;
	struct as	*as;
	struct gk	*gk;		/* inside as */
	uint32_t	gk_hi[6];	/* its marks, the highest seen */
	struct mfs	*mfs;		/* the same: linux/memfs.h */
	enum machine_stage stage;
	struct proc	proc;
	int		rest_changed;	/* proc.cwd or .group is not the image's */
	int		mask_given;	/* gk->sigmask is the program's */
	int		draws;		/* its requests use getrandom(2) */
	int		sig_changed;	/* a signal was sent, or what one does */
	struct thread	thread[MAX_THREADS];
	struct sigq	sigq[MAX_SIGQ];	/* in the order of sending */
	struct kvm_xsave *xsave[MAX_THREADS];	/* of threads not in the vCPU */
	struct hfile	*hfile[MAX_HFILE];
	unsigned	hi_hfile;
	unsigned	reclocks;	/* a file had one: linux/reclock.c */
	uint64_t	hfile_sum;	/* an image's: verify.c */
	struct fs	*fs;		/* view of the host: linux/perm.c */
	/* What blocked calls wait for on the host; rebuilt when they are tried */
	struct pollfd	waitfd[MAX_WAITFD];
	unsigned	nwaitfd;
	/* Guest CLOCK_MONOTONIC = host CLOCK_MONOTONIC - mono_off */
	uint64_t	mono_off;
	uint64_t	real_reads;	/* times it asked for the time of day */
	int		tick_first;	/* frozen just before a timer: settle.c */
	struct wd_slot	*wd;
	uint64_t	deadline;	/* host CLOCK_MONOTONIC ns; ~0: none */
	double		time_limit;	/* s, of this request: for its error */
	uint64_t	limit;		/* ... of this run, which may go on */
	const volatile int *cancel;	/* of a boot */
	int		kicked;		/* the last exit was one */
	int		futex_woke;	/* a waiter is to be looked at */
	int		fwait_stale;	/* the blob's list of waiters is old */
	uint64_t	cpu_since;	/* host ns: cur's time is counted to */
	int		resched;	/* let another thread run */
	int		in_blob;	/* its call is half done: run on only */
	enum { PEND_NONE, PEND_RESULT, PEND_USER } pend; /* at next entry */
	int		bases_ok;	/* cur's fs_base, gs_base are up to date */
	unsigned	caller;		/* index: see machine_caller() */
	int		exit_of;	/* thread whose call the vCPU sits in */
	uint8_t		xs_own[MAX_THREADS]; /* xsave[] is newer than image's */
	uint8_t		xs_blob[MAX_THREADS]; /* ... and what the blob has, too */
	int		handed;		/* the blob may change threads */
	int		can_start;	/* an image: see handoff_start() */
	const struct machine *image;	/* a fork's frozen parent */
	uint64_t	vdso;		/* where its ELF header is */
	uint64_t	spurious_addr;
	unsigned	spurious;
	uint32_t	woke_gen;	/* gk->gen when waiters were last tried */
	uint64_t	next_wake;	/* earliest deadline of a waiter */
	uint64_t	out_since;	/* host ns: bytes lie in the ring */
	int		want_output;	/* this run may end with OUTPUT */
	int		host_ready;	/* a host descriptor became ready */
	/* The end of this run, if it is not an ordinary idle */
	struct tkvm_error err;
	struct tkvm_fork_stats st;
	tkvm_log_f	*log;
	void		*log_priv;
	uint64_t	log_bytes;	/* this request's */
	unsigned	limited;	/* limits it was told of: a bit each */
	uint64_t	cpu_ns;		/* of the host's, that it has used */
	uint8_t		enosys_seen[64];	/* bitmap: calls named once */
	char		last_line[200];	/* of stdout or stderr, for errors */
	struct {			/* a line without an end yet */
		unsigned	n;
		char		b[LOG_PART];
	} part[2];			/* stdout, stderr */
	char		refused[200];	/* last path of a boot, for errors */
	const char	*refused_by;	/* the option that would allow it */
	char		no_process[240]; /* call that needs a second process */
	/* the clock page, as last written */
	struct {
		uint64_t	tsc0, mult, real_ns, mono_ns;
		int		usable;
	} clk;
	/* the emulated connection being served */
	int		listener;	/* ofd index; -1 */
	int		conn;		/* ofd index; -1 */
	uint32_t	conn_id;
	int		stdio_host;	/* fds 1, 2 go to the host's (tests) */
};

/* Time, as the guest sees it: ns */
uint64_t machine_mono(const struct machine *);
uint64_t machine_real(const struct machine *);
/* Both at the same moment */
void machine_times(const struct machine *, uint64_t *mono, uint64_t *real);
/* The page that tells the blob what it has to know; about to be changed */
struct gk_vvar *machine_vvar(struct machine *);
/* Its pid, tid, users, groups and number of threads: after each change */
void vvar_update(struct machine *);

/* One log line; the tenant's name is put in front by the sink. */
void machine_log(struct machine *, enum tkvm_log, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* End the run with this error (the fork is then good only for a reset). */
void machine_fail(struct machine *, enum tkvm_code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The program was refused something by a limit: counted, and said once a
 * request. */
enum machine_limit { LIMIT_DESCRIPTORS, LIMIT_THREADS, LIMIT_LOG };
void machine_limited(struct machine *, enum machine_limit);
/* A wait is over: what it was about may be closed. */
void machine_unhold(struct machine *, struct thread *);
/* A blocked call of the thread at hand also waits for a host descriptor. */
void machine_wait_fd(struct machine *, int fd, short events);
/* The thread in the vCPU */
struct thread *machine_cur(struct machine *);
/* ... and whose system call is being handled: it may be one that waits. */
struct thread *machine_caller(struct machine *);
/* Has the blob been given this waiting thread? */
int machine_handed(struct machine *, unsigned i);
/* Fill the in-memory kernel's context for thread t (t may be NULL). */
void machine_gk_ctx(struct machine *, struct thread *, struct gk_ctx *);

#endif
