/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * libtkvm: unmodified Linux programs in forkable KVM machines.
 *
 * A program is booted once into an *image* (tkvm_boot): loaded into a KVM
 * machine without a guest kernel, run until it waits for connections, warmed
 * up and frozen.  A *fork* (tkvm_fork_new) is a copy-on-write copy of the
 * image that serves one request at a time through an emulated connection and
 * is then put back to the frozen state (tkvm_fork_reset).
 *
 * Thread rules, unless a function says otherwise: options, images and pools
 * may be used from any thread; a fork is used by one thread at a time.
 * Nothing here calls exit() or abort() for what a guest, a configuration or
 * the machine can cause: such things are returned as struct tkvm_error.
 */

#ifndef TKVM_H
#define TKVM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors -------------------------------------------------------------- */

enum tkvm_code {
	TKVM_OK = 0,
	TKVM_E_KVM,		/* /dev/kvm: absent, forbidden, too old */
	TKVM_E_CONFIG,		/* an option or a tenants file */
	TKVM_E_PROGRAM,		/* the program file or its interpreter */
	TKVM_E_BOOT,		/* it did not get as far as listening */
	TKVM_E_MEMORY,		/* the host is short of memory */
	TKVM_E_LIMIT,		/* the guest is over one of its limits */
	TKVM_E_TIMEOUT,		/* max-request-time, or the caller's limit */
	TKVM_E_CRASH,		/* the guest died from a signal */
	TKVM_E_EXIT,		/* the guest called exit */
	TKVM_E_STUCK,		/* idle, answer incomplete, nothing to wake it */
	TKVM_E_CLOSED,		/* it closed without (the whole) answer */
	TKVM_E_PROTO,		/* it answered something that is not HTTP */
	TKVM_E_BUSY,		/* no fork free within queue-time */
	TKVM_E_INTERNAL,	/* ours */
	TKVM_E_MAX
};

struct tkvm_error {
	enum tkvm_code	code;
	char		text[500];	/* one line, names tenant and cause */
};

/* Short fixed name of a code ("timeout"), for counters and JSON. */
const char *tkvm_code_name(enum tkvm_code);

/* ---- logging ------------------------------------------------------------- */

enum tkvm_log {
	TKVM_LOG_ERROR,
	TKVM_LOG_WARN,
	TKVM_LOG_INFO,
	TKVM_LOG_DEBUG,
	TKVM_LOG_SYSCALL,	/* --verbose-syscalls */
	TKVM_LOG_STDOUT,	/* a line (or part) the guest wrote to fd 1 */
	TKVM_LOG_STDERR,	/* ... to fd 2 */
};

/* `msg` is NUL-terminated, without newline, and valid during the call. */
typedef void tkvm_log_f(void *priv, enum tkvm_log, const char *msg);

/* ---- options ------------------------------------------------------------- */

/*
 * One vocabulary for command line, TOML file and this call: see `kvmserver
 * --help` for keys, units and defaults.
 */
struct tkvm_options;

struct tkvm_options *tkvm_options_new(const char *tenant);
struct tkvm_options *tkvm_options_dup(const struct tkvm_options *);
void tkvm_options_free(struct tkvm_options **);

/*
 * Set `key` from text.  List options (args, env, allow-*, volume) append; a
 * NULL value means the bare option (`--allow-read`).  0, or -1 with *err.
 */
int tkvm_options_set(struct tkvm_options *, const char *key,
    const char *value, struct tkvm_error *err);
/* Everything that can be checked without booting; 0, or -1 with *err. */
int tkvm_options_check(const struct tkvm_options *, struct tkvm_error *err);
/* 32 hex digits and NUL; equal for options that make the same image. */
void tkvm_options_hash(const struct tkvm_options *, char out[33]);
void tkvm_options_log(struct tkvm_options *, tkvm_log_f *, void *priv);

/* ---- host ---------------------------------------------------------------- */

enum tkvm_entry { TKVM_RING0 = 0, TKVM_RING3 = 3 };

struct tkvm_host {
	enum tkvm_entry	entry;		/* where a guest's syscall arrives */
	int		slow_migration;	/* KVM_RUN on another thread waits */
	unsigned	tsc_khz;	/* 0: not usable for the guest's clock */
	double		exit_us;	/* a bare exit and back */
};

/*
 * Probe /dev/kvm once per process (later calls repeat the answer, a failure
 * is tried again).  0, or -1 with *err saying what to do.
 */
int tkvm_host_probe(struct tkvm_host *, struct tkvm_error *err);

/* ---- images -------------------------------------------------------------- */

struct tkvm_image;

/*
 * Load, boot, warm up, freeze.  Takes up to max-boot-time; run it on a thread
 * that may block.  *cancel (may be NULL) is looked at every few milliseconds:
 * non-zero ends the boot with TKVM_E_BOOT.  NULL with *err on failure.  The
 * options are copied.
 */
struct tkvm_image *tkvm_boot(const struct tkvm_options *,
    const volatile int *cancel, struct tkvm_error *err);
void tkvm_image_ref(struct tkvm_image *);
/* The last reference frees it; NULLs *p. */
void tkvm_image_unref(struct tkvm_image **p);

/* The one that has taken its place (image-max-age), or itself: *p moves on. */
void tkvm_image_newest(struct tkvm_image **p);

/*
 * Run a program to its end instead: *status as wait(2) gives it.  Its
 * descriptors 1 and 2 are this process's; max-boot-time bounds it.  0, or -1
 * with *err when it could not be loaded or did not end.
 */
int tkvm_run_to_exit(const struct tkvm_options *, int *status,
    struct tkvm_error *err);

struct tkvm_image_stats {
	double		boot_s;		/* load to ready, warm-up included */
	uint64_t	boot_exits;
	uint64_t	ram_bytes;	/* backing memory that is in use */
	uint64_t	slot_bytes;	/* size of a fork's memory slot */
	unsigned	threads;	/* of the guest */
	unsigned	warmups;
};
void tkvm_image_stats(const struct tkvm_image *, struct tkvm_image_stats *);
/*
 * The guest's listeners, or those that guest-listen names: how many, and the
 * address of number n, its length, 0 if there is none.  Number 0 is the one
 * that connections go to unless tkvm_fork_listener() says otherwise.
 */
#define TKVM_LISTENERS	16
unsigned tkvm_image_listeners(const struct tkvm_image *);
socklen_t tkvm_image_listener(const struct tkvm_image *, unsigned n,
    struct sockaddr_storage *);

/* ---- forks --------------------------------------------------------------- */

struct tkvm_fork;

/* NULL with *err on failure.  May wait some 10 ms in the kernel. */
struct tkvm_fork *tkvm_fork_new(struct tkvm_image *, struct tkvm_error *err);
/* Likewise may wait.  NULLs *p. */
void tkvm_fork_free(struct tkvm_fork **p);

struct tkvm_fork_stats {		/* since the fork was made */
	uint64_t	requests;
	uint64_t	exits;		/* KVM_RUN calls that returned */
	uint64_t	syscalls;	/* answered by the VMM */
	uint64_t	faults;		/* guest page faults handled */
	uint64_t	resets;
	uint64_t	pages_reset;	/* copied back or zeroed */
	uint64_t	remaps;		/* memory-map operations on the host */
	uint64_t	unknown;	/* system calls answered ENOSYS */
	uint64_t	limited;	/* times a limit refused something:
					 * descriptors, threads, log */
	uint64_t	run_ns, reset_ns;
	uint64_t	private_pages;	/* size of the copy-back set now */
};
void tkvm_fork_stats(const struct tkvm_fork *, struct tkvm_fork_stats *);
/* Where log lines of the request at hand go; NULL: the options' log. */
void tkvm_fork_log(struct tkvm_fork *, tkvm_log_f *, void *priv);

/*
 * One connection at a time.  open: the guest's listener gets a connection
 * from `peer` (NULL: 127.0.0.1).  `deadline` is absolute CLOCK_MONOTONIC
 * seconds for everything until the reset; 0: max-request-time from now.
 * The guest does not run yet.
 */
int tkvm_fork_open(struct tkvm_fork *, const struct sockaddr *peer,
    socklen_t peerlen, double deadline, struct tkvm_error *err);
/* The next connections are for this listener. */
void tkvm_fork_listener(struct tkvm_fork *, unsigned n);
/* Hand over request bytes: how many fitted (perhaps 0).  Does not run it. */
size_t tkvm_fork_send(struct tkvm_fork *, const void *, size_t);
/* No more request bytes on this connection (the guest reads 0). */
void tkvm_fork_send_eof(struct tkvm_fork *);
/* Take response bytes that are there: how many (perhaps 0).  No running. */
size_t tkvm_fork_recv(struct tkvm_fork *, void *, size_t);

enum tkvm_run {
	TKVM_RUN_IDLE,		/* every guest thread waits */
	TKVM_RUN_OUTPUT,	/* response bytes are there, it could go on */
	TKVM_RUN_GONE,		/* crash, exit, time-out, limit: see *err; the
				 * bytes in the ring may still be taken */
};
/*
 * Run the guest until one of these is true.  OUTPUT is returned when the
 * guest closed or shut down the connection, filled its ring, or when bytes
 * have been lying in the ring for 2 ms.
 */
enum tkvm_run tkvm_fork_run(struct tkvm_fork *, struct tkvm_error *err);
/*
 * Runs end with OUTPUT at this time (absolute CLOCK_MONOTONIC seconds; 0: no
 * such limit, as after _open) even when the guest has said nothing.
 */
void tkvm_fork_limit(struct tkvm_fork *, double until);
/*
 * After TKVM_RUN_IDLE: sleep until a guest timer or a host file that a guest
 * thread waits for may wake one, or until `until` (absolute CLOCK_MONOTONIC
 * seconds; 0: none) or the deadline.
 * 1: run again.  0: `until` came first.  -1: nothing but request bytes could
 * ever wake it (at once), or the deadline passed (*err: TKVM_E_TIMEOUT).
 */
int tkvm_fork_wait(struct tkvm_fork *, double until, struct tkvm_error *err);

struct tkvm_fork_state {
	unsigned	accepted;	/* the guest has accepted it */
	unsigned	closed;		/* the guest has closed it, or its
					 * writing side */
	size_t		in;		/* request bytes it has not read */
	size_t		in_space;	/* more that would fit */
	size_t		out;		/* response bytes to take */
	/* The last call of this request that wanted a second process, or
	 * NULL; until the fork is run or reset */
	const char	*no_process;
};
void tkvm_fork_state(struct tkvm_fork *, struct tkvm_fork_state *);

/*
 * End the connection without a reset (resident machines): the guest sees the
 * client go away when it next runs.
 */
void tkvm_fork_close(struct tkvm_fork *);
/*
 * Likewise, but the answer was complete and did not announce the end of the
 * connection: if the program goes on waiting, the next tkvm_fork_open() for
 * this client soon after has the same one.  Whose the next connection is, is
 * said before tkvm_fork_open(), by a number that is no other client's; 0:
 * unknown, nothing is kept.
 */
void tkvm_fork_keep(struct tkvm_fork *);
void tkvm_fork_client(struct tkvm_fork *, uint64_t client);
/*
 * Back to the frozen state.  0, or -1 with *err: the fork must be freed then,
 * never used again.  With verify-reset a difference is such a failure.
 */
int tkvm_fork_reset(struct tkvm_fork *, struct tkvm_error *err);

/* ---- pools --------------------------------------------------------------- */

/* `threads` forks of one image, handed out first come first served. */
struct tkvm_pool;

/* The first fork is made now, the others by a helper thread. */
struct tkvm_pool *tkvm_pool_new(struct tkvm_image *, struct tkvm_error *err);
/*
 * Called, from a thread of the pool, when an image has been swapped in: who
 * holds the one before may let it go.  Once, before forks are taken.
 */
typedef void tkvm_renewed_f(void *priv);
void tkvm_pool_renewed(struct tkvm_pool *, tkvm_renewed_f *, void *priv);
/* Waits for forks that are out, stops the helper.  NULLs *p. */
void tkvm_pool_free(struct tkvm_pool **p);
/*
 * A ready fork, preferably one that last ran on this thread.  Queues up to
 * queue-limit callers for queue-time.  NULL with *err (TKVM_E_BUSY).
 * *queued_s gets the time spent waiting.
 */
struct tkvm_fork *tkvm_pool_take(struct tkvm_pool *, double *queued_s,
    struct tkvm_error *err);
/*
 * Give it back: resets it here (unless `resident`), or replaces it when
 * `broken` or when the reset fails.  Takes the fork over.
 */
void tkvm_pool_give(struct tkvm_pool *, struct tkvm_fork **, int broken);
/*
 * Likewise, but the reset may wait, until _unpark() is called with the ticket
 * or until somebody else needs the fork, whichever comes first.  0: somebody
 * waited for one, and it was given back at once; there is no ticket.
 */
uint64_t tkvm_pool_park(struct tkvm_pool *, struct tkvm_fork **);
/* Reset it now.  0: others have done it.  Each ticket is used once. */
int tkvm_pool_unpark(struct tkvm_pool *, uint64_t ticket);

struct tkvm_pool_stats {
	uint64_t	forks;		/* alive now */
	uint64_t	busy;		/* handed out now */
	uint64_t	queue;		/* callers waiting now */
	uint64_t	created, destroyed, requests, queued, rejected;
	uint64_t	reset_failures;
	uint64_t	renewed;	/* images swapped in: image-max-age */
	struct tkvm_fork_stats sum;	/* over all forks, dead ones too */
};
void tkvm_pool_stats(struct tkvm_pool *, struct tkvm_pool_stats *);

/* ---- HTTP exchanges ------------------------------------------------------- */

/*
 * One request and its answer over an opened fork: DESIGN "When a request is
 * finished".  Feeds request bytes, runs the guest, parses the answer.
 */
struct tkvm_exchange;

struct tkvm_header {
	const char	*name, *value;	/* NUL-terminated, checked: no CR, LF */
};

struct tkvm_response {
	unsigned	status;		/* 200 ... 599 */
	const char	*reason;
	size_t		nheader;
	const struct tkvm_header *header;
	/* Framing, after the rules of RFC 9112 section 6.3 */
	enum { TKVM_BODY_NONE, TKVM_BODY_LENGTH, TKVM_BODY_CHUNKED,
	    TKVM_BODY_EOF } body;
	uint64_t	length;		/* TKVM_BODY_LENGTH */
};

/*
 * The fork must have been opened (tkvm_fork_open) and stays the caller's.
 * `head_request`: the method is HEAD.  NULL with *err: no memory.
 */
struct tkvm_exchange *tkvm_exchange_new(struct tkvm_fork *, int head_request,
    struct tkvm_error *err);
/*
 * Request bytes as they go on the wire (head, body with its framing).  Runs
 * the guest when its ring is full; response bytes beyond the ring are kept in
 * host memory up to max-response-buffer.
 * 0: all sent.  1: the guest answers without reading on (or closed): stop
 * sending, mark the client connection for closing, go on with _head().
 * -1: *err.
 */
int tkvm_exchange_send(struct tkvm_exchange *, const void *, size_t,
    struct tkvm_error *err);
/*
 * Run until the header of the final response (1xx are skipped) is complete.
 * `until`: absolute CLOCK_MONOTONIC seconds, 0: the fork's deadline only.
 * 0: *resp is valid until _free.  -1: *err.
 */
int tkvm_exchange_head(struct tkvm_exchange *, double until,
    struct tkvm_response *resp, struct tkvm_error *err);
/*
 * Up to `len` bytes of the decoded body.  > 0: that many; 0: the end;
 * -1: *err.  Returns as soon as it has some.
 */
ssize_t tkvm_exchange_body(struct tkvm_exchange *, void *, size_t len,
    double until, struct tkvm_error *err);
/* The whole answer has been read: the fork may be reset. */
int tkvm_exchange_done(const struct tkvm_exchange *);
/*
 * Before the fork is given back or freed, which keeps it for its next request.
 * Does not touch the guest.  NULLs *p.
 */
void tkvm_exchange_free(struct tkvm_exchange **p);

#ifdef __cplusplus
}
#endif

#endif
