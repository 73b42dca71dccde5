/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kvmserver: one program behind real sockets.
 *
 * As many workers as machines.  All sleep in one epoll set, edge triggered;
 * whoever is woken owns the connection until it lets go of it: reads, parses,
 * and, when a request is complete, runs it on a machine and writes the answer
 * without handing it to anybody.  So a small request on an open connection
 * costs epoll_wait, recv and send, or recv and send where the client was
 * quicker than the reset; clients that are slow or idle hold no machine.
 *
 * When the workers do not keep up, the main thread (the "usher") looks after
 * the epoll set as well: it reads and queues requests, so that queue-time and
 * queue-limit hold.  It also closes what has been idle for too long.
 *
 * Who owns a connection: the EV_OWNED bit of conn.ev.  An event for a
 * connection that is owned only leaves its bits there for the owner.  The
 * memory of connections is never given back, because an event may be on its
 * way to a connection that was just closed; at worst its next life starts
 * with a needless recv().
 *
 * Locks: srv.qmtx (queue) and srv.cmtx (free connections), both leaves.
 */

#ifndef TKVM_SERVER_H
#define TKVM_SERVER_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#include "conf/options.h"
#include "server/req_parse.h"
#include "tkvm.h"

#define BODY_MAX	(64 * 1024)	/* of a request, kept without machine */
#define IN_SIZE		(REQ_MAX_HEAD + BODY_MAX + 16 * 1024)
#define IO_SIZE		(REQ_MAX_HEAD + 32 * 1024)
#define OUT_BODY	(64 * 1024)	/* of an answer, read at once */
#define OUT_SIZE	(80 * 1024 + OUT_BODY)
#define OUT_HIGH	(1024 * 1024)	/* of an answer, kept for the client */

/* Seconds */
#define T_IDLE		75		/* between requests */
#define T_READ		30		/* for a head; for a small body */
#define T_WRITE		60		/* without taking a byte */
#define T_LINGER	2
#define TICK_MS		100		/* of the usher */
#define LATE_MS		200		/* workers do not keep up */

#define IN_A_ROW	16		/* requests of one, if others wait */
#define TURN_MS		5		/* ... or as long without a look */

struct listener;
struct srv;
struct worker;

/* ---- connections --------------------------------------------------------- */

#define EV_OWNED	1u
#define EV_IN		2u		/* may be readable */
#define EV_OUT		4u		/* may be writable */
#define EV_HUP		8u		/* the client sends no more */

enum conn_state {
	CONN_HEAD,			/* reads a head */
	CONN_BODY,			/* ... a small body */
	CONN_READY,			/* wants a machine */
	CONN_WRITE,			/* the rest of an answer */
	CONN_LINGER,			/* let the client read it, then close */
};

union peer {
	struct sockaddr	sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct conn {
	unsigned	magic;
#define CONN_MAGIC	0x434f4e31
	int		fd;
	const struct listener *listener;	/* it came from there */
	_Atomic unsigned ev;
	_Atomic int64_t	deadline;	/* ms; 0: none */
	enum conn_state	state;
	int		added;		/* in the epoll set */
	int		want_out;	/* ... with EPOLLOUT */
	int		drained;	/* the last recv emptied it */
	int		ahead;		/* the next one looks ahead */
	unsigned	shy;		/* so many answers without one */
	unsigned	turn;		/* looks since an event */
	int64_t		turn_ms;	/* ... the first of them */
	unsigned	in_a_row;	/* requests while others waited */
	int		close_after;	/* the answer at hand */
	int		linger;		/* then, and bytes may be under way */
	int		reset_after;	/* ... and tell that it is broken */
	union peer	peer;
	socklen_t	peerlen;	/* 0: not an IP address */
	uint64_t	id;		/* no other connection's */

	/* in[off] ... in[len - 1]: the request at hand and what follows */
	char		*in;
	size_t		off, len, size;
	struct worker	*lender;	/* in is this worker's */
	size_t		parsed;		/* of the head */
	size_t		body_len;	/* decoded bytes behind the head */
	int		body_done;	/* that is all of it */
	struct req	req;

	/* out[out_off] ... out[out_len - 1]: not yet sent */
	char		*out;
	size_t		out_off, out_len, out_size;

	int64_t		queued;		/* ms; when */
	TAILQ_ENTRY(conn) qlist;
	struct conn	*next_free, *next_all;
};

/* ---- the server ---------------------------------------------------------- */

struct counters {
	_Atomic uint64_t connections, requests, answers, bad_requests,
			client_gone, timeouts, queued, rejected, queue_us;
	_Atomic uint64_t errors[TKVM_E_MAX];
};

struct worker {
	unsigned	magic;
#define WORKER_MAGIC	0x574f524b
	struct srv	*srv;
	int		may_run;	/* not the usher */
	pthread_t	thread;
	char		*in;		/* lent to one connection */
	int		in_lent;
	char		*io;		/* request heads and bodies */
	char		*out;		/* answers */
	unsigned	shy;		/* so often not to accept ahead */
	struct conn	*spare;		/* the last one closed */
};

/* A socket of ours, for one of the guest. */
struct listener {
	int		fd;
	unsigned	nr;		/* tkvm_fork_listener() */
	sa_family_t	family, guest_family;
	char		host[140];	/* for clients that name none */
	char		*unlink;	/* our Unix socket */
};

struct srv {
	unsigned	magic;
#define SRV_MAGIC	0x53525631
	const struct tkvm_options *opt;
	struct tkvm_image *image;
	struct tkvm_pool *pool;
	struct listener	listener[TKVM_LISTENERS];
	unsigned	nlistener;
	_Atomic unsigned paused;	/* bits of those out of the epoll set */

	int		ep, wake, probe;
	_Atomic int64_t	probed;		/* ms; the probe is under way since */
	int64_t		lag;		/* ms; the usher's measure */
	_Atomic int	stop;
	_Atomic unsigned busy;		/* workers with a request */
	_Atomic unsigned nopen;		/* connections */
	unsigned	nworker;
	struct worker	*worker, usher;

	pthread_mutex_t	qmtx;
	TAILQ_HEAD(conn_queue, conn) queue;
	_Atomic unsigned nqueue;

	pthread_mutex_t	cmtx;
	struct conn	*free;
	struct conn	*_Atomic all;

	struct counters	n;
	struct tkvm_image_stats ist;	/* of the first image */
	double		boot_s;
	unsigned	boots;
};

/* args.c */
enum command { CMD_NONE, CMD_RUN, CMD_DOCTOR };
struct args {
	struct tkvm_options *opt;
	enum command	cmd;
	char		*stats;		/* FILE, or NULL */
};
/* -1: go on.  Else the exit status: all has been said. */
int args_parse(struct args *, int argc, char *const *argv);
void args_free(struct args *);

/* help.c */
void help_print(int all);

/* doctor.c: look at the host; the exit status */
int doctor_main(void);

/* run.c */
int run_main(const struct args *);

/* listen.c */
int listen_open(struct srv *, struct tkvm_error *);
void listen_stop(struct srv *);
void listen_close(struct srv *);

/* worker.c */
int workers_start(struct srv *, struct tkvm_error *);
void workers_stop(struct srv *);
void workers_tick(struct srv *, int64_t now);
void queue_push(struct srv *, struct conn *, int64_t lag);

/* conn.c */
struct conn *conn_new(struct worker *, const struct listener *, int fd,
    const struct sockaddr *, socklen_t);
void conn_close(struct worker *, struct conn *);
void conn_free_all(struct srv *);
/* What it returns is the time: ms */
int64_t conn_deadline(struct conn *, int seconds);
/* 1: something was read.  0: wait.  -1: the client sends no more. */
int conn_read(struct worker *, struct conn *);
void conn_in_drop(struct conn *);
/* Give back what a worker lent; 0 or -1. */
int conn_in_park(struct conn *);
/* Send, or keep for later what does not go; -1: the client is gone. */
int conn_write(struct conn *, const char *, size_t);
int conn_flush(struct conn *);
/* Wait until it can be read or written; 0, or -1 at the deadline. */
int conn_poll(const struct conn *, int out, double deadline);

/* client.c */
/*
 * Drive a connection that the caller owns until it waits or is gone: then the
 * listener that it came from, else NULL.
 */
const struct listener *conn_drive(struct worker *, struct conn *);
/* Likewise when an event arrived; perhaps somebody else has the connection. */
const struct listener *conn_event(struct worker *, struct conn *,
    uint32_t events);
/* Let go of one that was not driven yet: whoever is free takes it. */
void conn_offer(struct worker *, struct conn *);
/* Close it if it is idle for too long. */
void conn_expire(struct worker *, struct conn *, int64_t now);
/* An answer of our own: to a bad request, or 503. */
void conn_error(struct conn *, unsigned status, const char *why, int retry);

/* serve.c */
void serve(struct worker *, struct conn *);
void serve_busy(struct worker *, struct conn *, double waited_s);
void count_error(struct srv *, const struct tkvm_error *);

/* heads.c */
struct reply {
	size_t		len;		/* of the head; 0: no room */
	int		chunked;	/* the body is to be */
	int		closes;		/* the guest closes its connection */
};
/* For the guest; its length, or 0: no room. */
size_t request_head(const struct conn *, char *buf, size_t size);
/* For this client */
void reply_head(struct conn *, const struct tkvm_response *, char *buf,
    size_t size, struct reply *);

/* stats.c */
void stats_write(const struct srv *, const char *file);

/* log.c */
void log_init(int verbose, int syscalls);
tkvm_log_f log_line;
void logf_line(enum tkvm_log, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* clock.c would be too small */
static inline double
mono_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + (double)ts.tv_nsec * 1e-9);
}

static inline int64_t
mono_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ((int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

#endif
