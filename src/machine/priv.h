/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The inside of the machine layer.
 */

#ifndef TKVM_MACHINE_PRIV_H
#define TKVM_MACHINE_PRIV_H

#include <pthread.h>

#include "conf/options.h"
#include "error.h"
#include "gk.h"
#include "kvm/kvm.h"
#include "layout.h"
#include "linux/linux.h"
#include "machine/machine.h"
#include "mem/as.h"
#include "obj.h"

/* ---- watchdog (watchdog.c): one thread that kicks machines ------------------- */

struct wd_slot {
	unsigned	magic;
#define WD_MAGIC	0x57445347
	unsigned	idx;		/* in the table of states */
	struct vcpu	*vcpu;
	pid_t		tid;		/* who runs it, while armed */
	uint64_t	deadline;	/* host ns */
	uint64_t	limit;		/* host ns: come back, no error */
	uint64_t	cpu_end;	/* ns of tid's CPU time; ~0: none */
	const volatile int *cancel;
	_Atomic uint64_t out_since;	/* host ns; 0: nothing to look at */
	/* The guest writes here without an exit; NULL: nobody waits for it.
	 * In guest RAM, which outlives the time the slot is armed. */
	const volatile struct gk_ring *ring;
	_Atomic uint64_t tick;		/* host ns: interrupt it then */
	/* ... or when the guest has changed this, in guest RAM too; ~0 in
	 * `seen`: there is nobody who waits for it. */
	const volatile uint32_t *gen;
	_Atomic uint64_t seen;
	uint64_t	last_tick;
	_Atomic uint32_t sent, handled;	/* kicks */
	_Atomic uint32_t expired;	/* deadline or cancel ... */
#define WD_EXPIRED	1
#define WD_EXPIRED_CPU	2		/* ... or cpu_end */
};

struct wd_slot *wd_new(struct vcpu *, struct tkvm_error *);
void wd_free(struct wd_slot **);
/* From here on this thread may be kicked; until disarm returns. */
void wd_arm(struct wd_slot *, uint64_t deadline, const volatile int *cancel);
void wd_disarm(struct wd_slot *);

uint64_t host_mono(void);		/* ns */
/* CPU time of a thread of this process; 0: this one */
uint64_t host_cpu(pid_t tid);
uint64_t host_real(void);

/* ---- clock.c --------------------------------------------------------------------- */

/* The guest's CLOCK_MONOTONIC continues at mono_ns from now on. */
void clock_start(struct machine *, uint64_t mono_ns);
/* CLOCK_MONOTONIC goes ahead by so many ns. */
void clock_skip(struct machine *, uint64_t ns);
/* Every look at a clock leaves the machine, or not. */
void clock_watch(struct machine *, int on);
uint32_t vvar_leave(struct machine *, uint32_t leave);

/* ---- kern.c: blob and vDSO -------------------------------------------------------- */

int kern_install(struct machine *, struct tkvm_error *);
uint64_t kern_lstar(const struct kvmhost *);
/* The blob's access to the program's memory, and where a bad one goes on. */
uint64_t kern_copy(void);
uint64_t kern_efault(void);
/* Where the blob starts a request, and where it only tries to */
uint64_t kern_start(const struct kvmhost *, int out);

/* ---- load.c ------------------------------------------------------------------------ */

int load_program(struct machine *, struct tkvm_error *);

void machine_gk_mark(struct gk_ctx *, const void *, size_t);

/* ---- run.c -------------------------------------------------------------------------- */

enum tkvm_run machine_run(struct machine *, int want_output);
/* It is over its deadline: end the request. */
void machine_too_long(struct machine *);
/* t makes this call, with the arguments in its registers. */
void machine_call_of(struct thread *, uint64_t nr);
/* Thread i is the one in the vCPU: the blob has changed to it. */
void machine_now(struct machine *, unsigned i);
/* Vector state of a thread that is not in the vCPU; NULL: none, or no memory */
const struct kvm_xsave *machine_parked(struct machine *, unsigned i);
/* The earliest time (guest monotonic ns) at which a waiter or timer is due. */
uint64_t machine_next_wake(struct machine *);
/* 1: run again; 0: `until` (host ns); -1: nothing wakes it, or *err */
int machine_wait(struct machine *, uint64_t until, struct tkvm_error *);
/* Save the running thread's state out of the vCPU. */
int machine_park(struct machine *);

/* ---- inside.c: what the blob may change of the process ---------------------------------- */

void inside_give(struct machine *);
void inside_take(struct machine *);

/* ---- handoff.c: threads that the blob changes between ---------------------------------- */

int handoff_possible(const struct kvmhost *);
/* At a freeze: what the blob needs to put back the thread at hand */
void handoff_start(struct machine *);
/* Is that the state the thread at hand goes on with, but for RAX? */
int handoff_starts(const struct machine *);
/* Before an entry, and after an exit that was not in the middle of the blob */
void handoff_give(struct machine *);
void handoff_take(struct machine *);
/* What the blob saved of thread i, as KVM_SET_XSAVE wants it; x, or NULL */
const struct kvm_xsave *handoff_xsave(struct machine *, unsigned i,
    struct kvm_xsave *x);

/* ---- boot.c, settle.c ------------------------------------------------------------------ */

/* Run until every thread waits, one of them for connections. */
int machine_until_ready(struct machine *, struct tkvm_error *,
    const char *when);
int machine_settle(struct machine *, struct tkvm_error *);

/* ---- fork.c, image.c ----------------------------------------------------------------- */

#define MAX_GEN_AT	16	/* mappings of /dev/sysgenid */

struct tkvm_image {
	unsigned	magic;
#define IMAGE_MAGIC	0x494d4147
	atomic_int	refs;
	struct tkvm_options *opt;
	struct machine	*m;		/* frozen: no vm, no vcpu */
	uint64_t	mono;		/* guest monotonic ns at freeze */
	struct tkvm_image_stats st;
	struct {
		uint32_t	ofd;
		socklen_t	len;
		struct sockaddr_storage sa;
	} listener[TKVM_LISTENERS];
	unsigned	nlistener;
	/* Which request is it?  Forks tell at these addresses, too. */
	_Atomic uint32_t generation;
	uint64_t	gen_at[MAX_GEN_AT];
	unsigned	ngen_at;
	uint64_t	born;		/* host ns, at the freeze */
	pthread_mutex_t	mtx;		/* of all that follows */
	struct tkvm_image *next;	/* takes its place: renew.c */
	int		renewing;	/* somebody boots it */
	/* what forks have learned about the pages a request writes */
	uint32_t	*learned, nlearned;
};

/*
 * A new image for an old one, booted here unless that was done.  NULL: *err;
 * TKVM_OK there: somebody else is at it.
 */
struct tkvm_image *image_renew(struct tkvm_image *,
    const volatile int *cancel, struct tkvm_error *);

struct tkvm_fork {
	unsigned	magic;
#define FORK_MAGIC	0x464f524b
	struct machine	*m;
	struct tkvm_image *image;	/* NULL: the machine being booted */
	struct runner	*runner;	/* a thread of its own, or NULL */
	int		on_runner;	/* it runs there */
	int		adapts;		/* ... or not: fork_place() */
	uint64_t	ran;		/* ns; all requests until then */
	uint64_t	mean_ns;	/* of late, a request */
	int		dirty;		/* ran since the last reset */
	uint64_t	kept;		/* host ns: its connection is, since */
	uint64_t	client;		/* ... and whose it is; 0 */
	uint64_t	next_client;	/* of the next tkvm_fork_open() */
	uint32_t	conn_seq;
	unsigned	resets;
	pthread_t	last;		/* thread that ran it last */
	int		has_last;
	struct tkvm_fork *next;		/* in a pool's list */
	uint64_t	ticket;		/* of tkvm_pool_park() */
	struct tkvm_exchange *spare;	/* see fork_spare() */
	struct tkvm_fork_stats told;	/* what the pool knows of its stats */
	uint8_t		rnd[2048];	/* fresh random bytes, refilled off */
	unsigned	rnd_left;	/* the request path */
};

/* warm-connection, of a machine being booted: 0 or -1 */
int warm_conn_open(struct machine *, struct tkvm_error *);
int warm_conn_check(struct machine *, struct tkvm_error *);
/* The program has it, and waits for a request there. */
int warm_conn_waits(struct machine *);

/* tkvm_fork_run(), or (want_output 0) until it is idle */
enum tkvm_run fork_run(struct tkvm_fork *, int want_output,
    struct tkvm_error *);
/* A request is over: where does the next one run? */
void fork_place(struct tkvm_fork *);
struct machine *machine_new(const struct tkvm_options *);
void machine_free(struct machine **);
int machine_reset(struct machine *, struct tkvm_error *);
void gk_marks(struct machine *);
int machine_verify(struct machine *, struct tkvm_error *);
void verify_freeze(struct machine *);

/* ---- runner.c: a pinned thread per fork ---------------------------------------------- */

struct runner *runner_new(struct tkvm_error *);
void runner_free(struct runner **);
/* Call fn(priv) on the runner's thread and wait for it. */
void runner_call(struct runner *, void (*fn)(void *), void *priv);

/* trap_x86_64.c: the exception in the vCPU becomes t's signal; a page fault
 * this one */
void trap_signal(struct machine *, struct thread *, int pf_sig, int pf_code);

/* symbol.c */
const char *machine_symbol(struct machine *, uint64_t rip, char *, size_t);

#endif
