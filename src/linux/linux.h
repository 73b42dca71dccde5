/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The Linux personality: a table of system calls and a file per family.
 *
 * A handler gets the machine, the calling thread and the six arguments; it
 * answers a result, -errno, SYS_BLOCK (then it is called again with
 * t->restart set when something changed, t->deadline was reached or a host
 * descriptor given to machine_wait_fd() is ready) or SYS_NORETURN.
 * Guest memory is reached through as_*() only.  Errors are the kernel's.
 */

#ifndef TKVM_LINUX_H
#define TKVM_LINUX_H

#include <stdint.h>
#include <sys/stat.h>

#include "machine/machine.h"
#include "mem/mem.h"

typedef int64_t sys_f(struct machine *, struct thread *, const uint64_t a[6]);

/* How an argument is printed by --verbose-syscalls and made by a fuzzer */
enum sys_arg {
	A_NONE = 0, A_INT, A_UINT, A_HEX, A_FD, A_DIRFD, A_PATH, A_BUF, A_SIZE,
	A_PTR, A_IOV, A_PROT, A_MAPFLAGS, A_OFLAGS, A_MODE, A_SIG, A_FUTEXOP,
	A_CLOCK, A_TIMESPEC, A_SOCKADDR, A_EPOLLOP, A_CLONEFLAGS, A_OFF,
	A_FAMILY, A_SOCKTYPE, A_MSGFLAGS, A_ATFLAGS, A_EPOLLEV, A_FCNTL,
	A_WHENCE,
};

struct sys_desc {
	const char	*name;
	sys_f		*fn;		/* NULL: ENOSYS */
	uint8_t		arg[6];		/* enum sys_arg */
	uint8_t		flags;
#define SYS_GK		0x01u		/* ask gk_syscall() first */
#define SYS_BASES	0x02u		/* copies or tells segment bases */
#define SYS_SETBASES	0x04u		/* may change the caller's */
#define SYS_CPUTIME	0x08u		/* may tell the CPU time used */
/* Waits with the signal mask in argument n (5: in what that points to) */
#define SYS_MASK(n)	((n) << 4)
#define SYS_MASK_ARG(f)	((f) >> 4)
};

#define SYS_MAX		512
extern const struct sys_desc sys_table[SYS_MAX];

/* ---- files (file.c, path.c, stat.c, dir.c, synth.c) ------------------------ */

enum hfile_kind {
	HF_REG,			/* regular file on the host */
	HF_MEM,			/* regular file in memory: ino */
	HF_DIR,
	HF_STREAM,		/* pipe, tty, character device: poll it */
	HF_SOCK,		/* real socket (egress) */
	HF_TEXT,		/* made here: /proc, /sys, /etc emulations */
	HF_NULL, HF_ZERO, HF_FULL, HF_RANDOM,
	HF_LOG,			/* stdout, stderr: lines to the log */
	HF_PATH,		/* O_PATH */
	HF_SIGNAL,		/* signalfd(2): sigset */
	HF_GENERATION,		/* /dev/sysgenid */
};

/* Tells programs that they have been forked: mapped, or read.  The name and
 * the form are those of the driver that was proposed for Linux, and that some
 * libraries look for. */
#define GENERATION_DEV	"/dev/sysgenid"

/*
 * An open file of the host.  Shared between an image and its forks and
 * immutable but for the count: the offset is in the guest's description
 * (gk_ofd.pos), so only pread/pwrite are used on it.
 */
struct hfile {
	unsigned	magic;
#define HFILE_MAGIC	0x48464c45
	atomic_int	refs;
	enum hfile_kind	kind;
	int		fd;		/* host descriptor or -1 */
	unsigned	can_read, can_write;
	int		log;		/* HF_LOG: enum tkvm_log */
	int		socktype;	/* HF_SOCK: SOCK_STREAM, SOCK_DGRAM */
	unsigned	netlink;	/* HF_SOCK: netdev.c, answered at */
	int		peer;		/* this other end of fd */
	uint32_t	ino;		/* in memory (memfs.h); or 0 */
	uint64_t	sigset;		/* HF_SIGNAL */
	unsigned	locker;		/* HF_REG: has record locks of the */
	dev_t		lockdev;	/* process on this file, reclock.c */
	ino_t		lockino;
	char		*path;		/* the guest's name for it, or NULL */
	char		*text;		/* HF_TEXT */
	size_t		textlen;
	int		made_id;	/* ... by synthopen.c: of what */
	uint32_t	made_arg;
	unsigned	seen;		/* read from its start */
	struct stat	st;		/* HF_TEXT and the devices: made up */
};

/* One reference; NULL when memory is short.  Takes fd over on success. */
struct hfile *hfile_new(enum hfile_kind, int fd);
void hfile_ref(struct hfile *);
/* The last one closes; NULLs *p */
void hfile_unref(struct hfile **p);
/* Put it into m's table; its index or -EMFILE.  Takes the reference, even if
 * it fails. */
int hfile_add(struct machine *, struct hfile *);
/*
 * Descriptor fd of the guest as a host file: NULL if it is none (*gkkind gets
 * the enum gk_kind, or -1 for a closed descriptor).
 */
struct hfile *hfile_get(struct machine *, uint64_t fd, int *gkkind);

/* descriptors 0, 1, 2 of a new process: null, log, log */
int files_init(struct machine *);
/* All of m's table (a machine goes away). */
void files_fini(struct machine *);
/* callbacks for struct gk_ctx */
uint32_t files_host_poll(struct gk_ctx *, uint32_t idx, uint32_t ev);
void files_host_release(struct gk_ctx *, uint32_t idx);

/* Without links and dots, as /proc/self/exe has it; else as it is */
void path_canonical(struct machine *, const char *path, char *to, size_t);
/*
 * Open a guest path for the VMM itself (program, interpreter, scripts) under
 * the guest's permissions: a host descriptor or -errno.  Programs named by
 * the configuration are always readable.
 */
int path_open_host(struct machine *, const char *guestpath, int oflags);

/* memfs.c: /tmp, /dev/shm and memfds, in tables at m->mfs */
void mfs_init(struct machine *);
int mfs_pager(void *machine, uint32_t ino, uint64_t pg, uint64_t *gpa);

/* -errno if execve(2) would not find it, else 0 */
int program_missing(struct machine *, const char *path);

/* ---- threads, futexes, signals (thread.c, futex.c, signal.c) ----------------- */

/* A free slot, zeroed, with a fresh tid; NULL when there are MAX_THREADS. */
struct thread *thread_new(struct machine *);
/* exit(2) of one thread: clear_child_tid, robust list, wakes. */
void thread_exit(struct machine *, struct thread *);
/* wake up to n waiters on addr whose bits match; how many */
int futex_wake(struct machine *, uint64_t addr, int n, uint32_t bits);
/* What the program said without ending the line (uvec.c) */
void file_log_flush(struct machine *);
/* What the blob has to know of waiters, and has promised since */
void futex_publish(struct machine *);
void futex_deferred(struct machine *);
/*
 * Make sig pending for t (NULL: the process).  si_code and value go to
 * siginfo.  -EAGAIN when a real-time signal finds the queue full.
 */
int64_t signal_send(struct machine *, struct thread *, int sig, int si_code,
    uint64_t value);
/*
 * A synchronous fault of t (SIGSEGV, SIGFPE, ...): if it is blocked or
 * ignored, or has no handler, the process dies with it (machine_fail with
 * signal, address, symbol, thread) and -1 is returned.
 */
int signal_fault(struct machine *, struct thread *, int sig, int si_code,
    uint64_t addr, unsigned trapno, uint64_t error_code);
/* Is there one that t has to take now? */
int signal_pending(const struct machine *, const struct thread *);
/*
 * Before t returns to user mode: build a frame for the next pending signal
 * (t->regs is the user context, t->xs the vector state) or do its default
 * action.  1: t->regs changed.
 */
int signal_deliver(struct machine *, struct thread *);
/*
 * For a T_WAIT thread with signal_pending(): end its wait.  1: it is T_RUN
 * with EINTR (or the call to be made again) behind the handler's frame, or the
 * process died.  0: only ignored ones, now consumed: it waits on.
 */
int signal_interrupt(struct machine *, struct thread *);
/* SIGPIPE for t, as a write to a closed pipe gives it. */
void signal_sigpipe(struct machine *, struct thread *);
/* "SIGSEGV", "SIGRTMIN+2" */
const char *signal_name(int sig, char *buf, size_t);
/* The process's resource limits as a new one has them. */
void proc_init_limits(struct machine *);
/*
 * Timers of the process (ITIMER_REAL, timer_create): raise what is due; the
 * next one's time on guest CLOCK_MONOTONIC (now, if one was raised), or
 * UINT64_MAX.
 */
uint64_t timers_run(struct machine *);
/* cputime.c: how long (ns) the thread at hand may run before a timer of CPU
 * time is due */
uint64_t cputime_left(struct machine *);

/* ---- the VMM's side for signal frames and threads (machine/) ----------------- */

/* Vector state of thread t, wherever it is now; 0 or -errno */
int machine_get_xsave(struct machine *, struct thread *, struct kvm_xsave *);
int machine_set_xsave(struct machine *, struct thread *,
    const struct kvm_xsave *);
/* The bytes of XSAVE area in use and the enabled features (XCR0) */
unsigned machine_xsave_size(const struct machine *);
uint64_t machine_xcr0(const struct machine *);
/* "NAME+0x..." of an address, or its object or number; returns buf */
const char *machine_symbol(struct machine *, uint64_t rip, char *buf, size_t);

#endif
