/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The in-memory half of the guest's kernel: descriptors, emulated
 * connections, listeners, epoll, eventfd, pipe, socketpair, timerfd.
 *
 * Everything here lives in guest RAM, in one `struct gk` at a fixed guest
 * physical address, so that fork and reset restore it for nothing.  The
 * sources (guest/gk_*.c) are compiled twice: into the guest blob, where the
 * guest answers these calls without leaving, and into the VMM, for what the
 * blob passes on.  A call is passed on before it has done anything, and the VMM
 * does all of it.  Therefore:
 *
 *  - no pointers inside struct gk, only indices; no libc beyond <stdint.h>,
 *    <stddef.h> and the Linux uapi constants repeated in gk_abi.h;
 *  - user memory is reached through gk_copyin()/gk_copyout() only;
 *  - NO value in struct gk is trusted: where the blob runs in ring 3 the
 *    program can write it.  Every index is read once into a local, checked
 *    against its table on every use, and every loop is bounded by a constant.
 *    A broken table gives a wrong answer to the guest, never a wild access.
 */

#ifndef GK_H
#define GK_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#define GK_NFD		1024		/* descriptors; RLIMIT_NOFILE */
#define GK_NKEPT	14		/* socket options of one */
#define GK_NOFD		1024		/* open file descriptions */
#define GK_NEPI		2048		/* epoll registrations, all sets */
#define GK_NBUF		128		/* ring buffers */
#define GK_BUFSZ	(256 * 1024)	/* one ring buffer, a power of two */
#define GK_PIPESZ	(64 * 1024)	/* what a pipe holds, pipe(7) */

/* Answers besides 0... and -errno (-1 ... -4095) */
#define GK_NOTMINE	(-0x7777L)	/* the VMM has to answer it */
#define GK_BLOCK	(-0x7778L)	/* nothing yet: call again later */

enum gk_kind {
	GK_FREE = 0,
	GK_HOST,		/* .host: index in the VMM's table of files */
	GK_SOCKET,		/* socket(2) result, not connected */
	GK_LISTENER,
	GK_CONN,		/* an emulated connection */
	GK_PAIR,		/* one end of a socketpair */
	GK_DGRAM,		/* UDP, or a Unix datagram socket */
	GK_PIPE_R,
	GK_PIPE_W,
	GK_EVENTFD,
	GK_TIMERFD,
	GK_EPOLL,
	GK_INOTIFY,
};

/* A descriptor.  ofd is an index + 1; 0 is a free descriptor. */
struct gk_fd {
	uint16_t	ofd1;
	uint8_t		cloexec;
	uint8_t		pad;
};

/* A byte ring: bytes [tail, head) modulo GK_BUFSZ of buffer `buf1 - 1`. */
struct gk_ring {
	uint32_t	head;		/* bytes ever written */
	uint32_t	tail;		/* bytes ever read */
	uint32_t	cap;		/* at most GK_BUFSZ */
	uint16_t	buf1;		/* index + 1; 0: no buffer */
	uint16_t	shut;		/* the writing end is closed */
};

/* sockaddr_in, sockaddr_in6 or sockaddr_un as the guest sees it */
struct gk_addr {
	uint16_t	len;		/* 0: none */
	uint8_t		sa[110];
};

/* SO_RCVTIMEO, SO_SNDTIMEO in .timeo */
enum { GK_RCV, GK_SND };

/* An open file description. */
struct gk_ofd {
	uint8_t		kind;		/* enum gk_kind */
	uint8_t		keeps;		/* something in .kept */
	uint16_t	refs;		/* descriptors, queues naming it */
	uint32_t	flags;		/* O_NONBLOCK, O_ACCMODE, O_APPEND */
	uint32_t	edge;		/* bumped on every input (EPOLLET) */
	uint32_t	edge_out;	/* the same for room to write */
	uint32_t	nepi;		/* registrations that watch it */
	uint64_t	pos;		/* GK_HOST: file offset */
	int32_t		kept[GK_NKEPT];	/* socket options: gk_opt.c */
	union {
		struct {
			uint32_t	idx;
			uint32_t	plain;	/* a regular file */
		} host;
		struct {		/* GK_SOCKET, GK_LISTENER, GK_DGRAM */
			uint16_t	domain, type;
			uint16_t	proto, nqueue;
			uint32_t	backlog;
			uint16_t	first1, last1;	/* the accept queue */
			uint16_t	addr1;	/* own: gk->addr[] + 1 */
			uint16_t	linger;	/* SO_LINGER's seconds */
			uint32_t	opts;	/* SO_REUSEADDR and friends */
			uint32_t	sndbuf, rcvbuf;	/* as asked for; or 0 */
			/* GK_DGRAM: connected to; TCP: waits for room there */
			uint16_t	paddr1;
			uint16_t	err;	/* SO_ERROR */
			uint32_t	timeo[2]; /* GK_RCV, GK_SND: ms; or 0 */
			/* GK_DGRAM, from the first one on */
			struct gk_ring	rx;
			/* TCP: whose room it waits for; it knows that */
			uint16_t	late1, told;
		} sock;
		struct {		/* GK_CONN, GK_PAIR */
			uint16_t	peer1;	/* GK_PAIR: other ofd + 1 */
			uint16_t	domain, type;
			uint16_t	addr1;	/* own address */
			uint16_t	paddr1;	/* the peer's */
			uint16_t	orphan;	/* closed, bytes left */
			uint16_t	accepted; /* left the accept queue */
			uint16_t	dropped; /* cut off, or all over */
			uint16_t	err;	/* pending error (SO_ERROR) */
			uint16_t	linger;
			uint16_t	fresh;	/* connect(2) is to say so */
			uint16_t	next1;	/* in the accept queue */
			uint32_t	opts;
			uint32_t	sndbuf, rcvbuf;
			uint32_t	timeo[2];
			uint32_t	id;	/* GK_CONN: the VMM's number */
			struct gk_ring	rx;
			struct gk_ring	tx;	/* GK_CONN; a pair writes to
						 * the other end's rx */
		} conn;
		struct {		/* GK_PIPE_R; the write end names it */
			uint16_t	peer1;
			uint16_t	alone;	/* nobody has written yet */
			uint32_t	fifo;	/* the file that names it; 0 */
			struct gk_ring	ring;
		} pipe;
		struct {
			uint64_t	count;
			uint32_t	semaphore;
		} event;
		struct {
			uint32_t	clockid, flags;
			uint64_t next_ns; /* on that clock; 0: off */
			uint64_t	interval_ns;
			uint64_t	fired;	/* expirations not yet read */
		} timer;
		struct {
			uint16_t	first1;	/* gk->epi[] index + 1 */
			uint16_t	last1;
		} epoll;
		struct {
			uint32_t	last;	/* watch descriptor given out */
			uint32_t	n;	/* events that wait */
			uint32_t	newest;	/* bytes of the last of them */
			uint32_t	lost;	/* IN_Q_OVERFLOW is told */
			struct gk_ring	ring;	/* from the first one on */
		} inotify;
	} u;
};

/* One registration in an epoll set; a singly linked list per set. */
struct gk_epi {
	uint16_t	next1;		/* index + 1 */
	uint16_t	epoll;		/* ofd of the set */
	uint16_t	fd, ofd;	/* what is watched */
	uint32_t	events;
	uint8_t		used;
	uint8_t		disabled;	/* EPOLLONESHOT has fired */
	uint8_t		fresh;		/* not reported since ADD or MOD */
	uint8_t		pad;
	uint32_t	seen;		/* EPOLLET: ofd.edge last reported */
	uint32_t	seen_out;	/* ... and ofd.edge_out */
	uint64_t	data;
};

#define GK_NADDR	512		/* shared by reference count */
#define GK_NSCM		16		/* messages with descriptors in flight */
#define GK_SCM_MAX	253		/* descriptors in one, as on Linux */

/* Descriptors on their way to a Unix socket (gk_scm.c) */
struct gk_scm {
	uint16_t	owner1;		/* who will read them: ofd + 1; 0 */
	uint16_t	n;
	uint32_t	pos, len;	/* with these bytes of its ring */
	uint16_t	ofd1[GK_SCM_MAX];
	uint16_t	pad;
};

#define GK_NRND		256		/* random bytes of the VMM's */

/* A FUTEX_WAKE that the blob has answered and the VMM is to do */
#define GK_NWAKE	16
struct gk_wake {
	uint64_t	addr;
	uint32_t	n, bits;
};

#define GK_NWATCH	1024		/* inotify watches that are known */
struct gk_watch {
	uint64_t	file;		/* which one it is */
	uint32_t	wd;
	uint32_t	mask;		/* IN_* */
	uint16_t	ofd1;		/* of its set; 0: unused */
	uint16_t	pad[3];
};

struct gk {
	uint32_t	magic;
#define GK_MAGIC		0x676b3031
	uint32_t	gen;		/* bumped when a waiter may wake */
	uint32_t	hi_fd, hi_ofd, hi_epi;	/* high-water marks: reset */
	uint32_t	hi_addr, hi_scm;
	uint32_t	next_port;	/* for bind to port 0 */
	uint64_t	buf_used[GK_NBUF / 64];
	uint32_t	nwake;
	uint32_t	nlate;		/* TCP waiting for room in a queue */
	struct gk_wake	wake[GK_NWAKE];
	/* Entries of vvar.fwait[] that they will find */
	uint64_t	fwait_taken[GK_NFWAIT / 64];
	uint32_t	hi_watch, cookie;	/* inotify's */
	uint32_t	fd_max;		/* RLIMIT_NOFILE, at most GK_NFD */
	/* What the blob may change of the process: machine/inside.c */
	uint32_t	sig_quiet;	/* sigmask is that of the thread */
	uint64_t	sigmask;
	uint64_t	brk_start, brk;
	/* getrandom(2) in the blob takes the last ones, and wipes them. */
	uint32_t	nrnd;
	uint8_t		rnd[GK_NRND];
	struct gk_fd	fd[GK_NFD] __attribute__((aligned(4096)));
	struct gk_addr	addr[GK_NADDR] __attribute__((aligned(4096)));
	uint8_t		addr_used[GK_NADDR];	/* references */
	struct gk_ofd	ofd[GK_NOFD] __attribute__((aligned(4096)));
	struct gk_epi	epi[GK_NEPI] __attribute__((aligned(4096)));
	struct gk_scm	scm[GK_NSCM] __attribute__((aligned(4096)));
	struct gk_watch	watch[GK_NWATCH] __attribute__((aligned(4096)));
	uint8_t		buf[GK_NBUF][GK_BUFSZ] __attribute__((aligned(4096)));
};

/*
 * What a call needs to know.  In the VMM `priv` is the machine; in the blob
 * the callbacks are NULL and a call that needs one gives GK_NOTMINE.
 */
struct gk_ctx {
	struct gk	*gk;
	void		*priv;
	uint64_t	now_mono;	/* guest CLOCK_MONOTONIC, ns */
	uint64_t	now_real;	/* guest CLOCK_REALTIME, ns */
	/*
	 * Absolute CLOCK_MONOTONIC limit of this wait, kept in the thread's
	 * record.  restart == 0: the call computes it from its arguments
	 * (UINT64_MAX: for ever).  restart == 1: a blocked call is tried again
	 * and must use it, and answer as timed out once now_mono reached it.
	 */
	uint64_t	deadline;
	int		restart;
	/*
	 * Bytes that a blocked call has already moved; kept in the thread's
	 * record like `deadline`.  A signal that ends the wait makes the call
	 * return this count if it is not 0, else -EINTR.
	 */
	uint64_t	progress;
	/* For SO_PEERCRED. */
	uint32_t	pid, uid, gid;
	/*
	 * Readiness (EPOLLIN, ...) of a GK_HOST file; may note the host file
	 * in the machine's set of things to wait for.  GK_POLL_FILE is added
	 * for what epoll refuses: regular files and directories.  ev == 0 asks
	 * only for that.
	 */
#define GK_POLL_FILE		0x80000000U
	uint32_t	(*host_poll)(struct gk_ctx *, uint32_t idx,
			    uint32_t ev);
	/* The last descriptor of a GK_HOST file went away. */
	void		(*host_release)(struct gk_ctx *, uint32_t idx);
	/* Bytes [p, p+len) inside a ring buffer were written. */
	void		(*mark)(struct gk_ctx *, const void *p, size_t len);
	/* A write went to a socket or pipe nobody reads: SIGPIPE is due.
	 * Zeroed by gk_syscall. */
	int		sigpipe;
	/* The guest closed or shut a connection: whoever serves it may have
	 * waited for that.  Zeroed by gk_syscall. */
	int		news;
};

/* Provided by whoever embeds it; 0 or -EFAULT. */
int gk_copyin(struct gk_ctx *, void *dst, uint64_t uaddr, size_t len);
int gk_copyout(struct gk_ctx *, uint64_t uaddr, const void *src, size_t len);

/* ---- gk_core.c: tables ------------------------------------------------ */

/* Zeroed memory becomes an empty table. */
void gk_init(struct gk *);
/* NULL unless fd is open; *ofdidx gets the description's index. */
struct gk_ofd *gk_fd_get(struct gk *, uint64_t fd, uint32_t *ofdidx);
/* A new description with one reference and no descriptor; or -ENFILE. */
int gk_ofd_new(struct gk *, enum gk_kind, uint32_t flags);
/*
 * The lowest free descriptor >= min that names ofd; or -EMFILE.  It takes over
 * the caller's reference, if it succeeds.
 */
int gk_fd_new(struct gk *, uint32_t ofd, uint32_t min, int cloexec);
/* A host file: description plus descriptor in one; fd or -errno. */
int gk_host_open(struct gk *, uint32_t idx, uint32_t flags, int cloexec);
int gk_fd_close(struct gk_ctx *, uint64_t fd);
/* Give up a reference that no descriptor holds. */
void gk_ofd_put(struct gk_ctx *, uint32_t ofd);
/*
 * For a call that waits: the description + 1 that fd names, with a reference
 * for gk_ofd_put(); or 0.
 */
uint32_t gk_fd_hold(struct gk *, uint32_t fd);
/* Let fd name description ofd1 - 1, for one call; what it named before, + 1. */
uint32_t gk_fd_swap(struct gk *, uint32_t fd, uint32_t ofd1);
/*
 * News for waiters: bumps gen and the edge counters (EPOLLIN: input, EPOLLOUT:
 * room).  The VMM calls it for a GK_HOST file whose read (EPOLLIN) or write
 * (EPOLLOUT) was short or gave EAGAIN, so that EPOLLET reports the next
 * readiness, and when such a file became ready.
 */
void gk_ofd_event(struct gk *, uint32_t ofd, uint32_t events);
/* A GK_SOCKET that the VMM connected, or a GK_DGRAM that sends to the outside,
 * becomes a GK_HOST file; 0 or -EINVAL. */
int gk_socket_to_host(struct gk_ctx *, uint32_t ofd, uint32_t idx);
/* Poll events of a description now (EPOLLIN|...); GK_HOST asks the callback. */
uint32_t gk_ofd_poll(struct gk_ctx *, uint32_t ofd, uint32_t events);

/* ---- gk_call.c: the system calls ---------------------------------------- */

/*
 * Answer system call nr.  Result, -errno, GK_BLOCK or GK_NOTMINE (not one of
 * ours, or about a GK_HOST file).
 */
int64_t gk_syscall(struct gk_ctx *, uint64_t nr, const uint64_t a[6]);
/*
 * Would this blocked call be woken by a new connection: accept on a listener,
 * or epoll_wait/poll/select with a listener in the set?  Returns the
 * listener's ofd + 1, or 0.
 */
int gk_waits_listener(struct gk_ctx *, uint64_t nr, const uint64_t a[6]);
/*
 * The next expiry of an armed timerfd on CLOCK_MONOTONIC; or UINT64_MAX.  What
 * has expired by now_mono and now_real is noted, which bumps gen: call it after
 * the clock moved and before blocked threads are tried again.
 */
uint64_t gk_next_timer(struct gk_ctx *);

/* ---- gk_conn.c: the VMM's side of an emulated connection ----------------- */

/*
 * A new client connection in `listener`'s accept queue, given peer address
 * (sa bytes; NULL: 127.0.0.1:1024 in the listener's family).  Returns the
 * connection's ofd index, or -EAGAIN (queue full), -ENFILE, -ENOBUFS, or
 * -EINVAL (not a listener).
 */
int gk_conn_open(struct gk_ctx *, uint32_t listener, uint32_t id,
    const void *sa, size_t salen);
/* From now on its peer has this address (NULL: as before). */
void gk_conn_peer(struct gk_ctx *, uint32_t ofd, uint32_t id, const void *sa,
    size_t salen);
/* Request bytes for the guest: how many fitted. */
size_t gk_conn_put(struct gk_ctx *, uint32_t ofd, uint32_t id,
    const void *, size_t);
/* The client will send no more. */
void gk_conn_put_eof(struct gk_ctx *, uint32_t ofd, uint32_t id);
/* Response bytes, taken out of the ring. */
size_t gk_conn_get(struct gk_ctx *, uint32_t ofd, uint32_t id, void *, size_t);
/* The client is gone; what the guest does with it from now on is nobody's. */
void gk_conn_drop(struct gk_ctx *, uint32_t ofd, uint32_t id);

/* ---- gk_pipe.c ---------------------------------------------------------- */

/* Is `end1` (ofd + 1) an open end of the pipe with this name? */
int gk_fifo_open(struct gk *, uint32_t fifo, uint32_t end1, int write);
/* Make that end, as yet without a descriptor: ofd + 1, or -errno */
int gk_fifo_make(struct gk *, uint32_t fifo, uint32_t other1, int write,
    uint32_t flags);
/* One more descriptor for it */
int64_t gk_fifo_fd(struct gk_ctx *, uint32_t end1, uint32_t flags);

/* ---- gk_local.c --------------------------------------------------------- */

/* The file that named this Unix socket is no more: nobody finds it by that. */
void gk_name_gone(struct gk *, uint32_t ofd, uint32_t addr1);
/* Does a Unix socket have this name?  For those without a file in memory */
int gk_name_bound(struct gk *, const char *path, size_t len);

/* ---- gk_inotify.c ------------------------------------------------------- */

int64_t gk_inotify_open(struct gk_ctx *, uint32_t flags);
/* A watch for a file, known by any number; mask as inotify_add_watch has it */
int64_t gk_inotify_add(struct gk *, uint32_t ofd, uint64_t file,
    uint32_t mask);
int64_t gk_inotify_remove(struct gk_ctx *, uint32_t ofd, uint32_t wd);
/* Something happened to a file, or to a name (len bytes) in it. */
void gk_inotify_event(struct gk_ctx *, uint64_t file, uint32_t mask,
    uint32_t cookie, const char *name, size_t len);

/* ---- gk_dgram.c --------------------------------------------------------- */

/* Is this (IP) address one of the guest's own? */
int gk_dgram_local(const void *sa, size_t salen);
/*
 * A datagram from a socket of the host's (its address is from, of the same
 * family) for one inside: 0: nobody is there.
 */
int gk_dgram_deliver(struct gk_ctx *, const void *to, const void *from,
    const void *buf, size_t len);
/* Connect to an address of its own where nobody is; 0 or -errno. */
int64_t gk_dgram_connect_ip(struct gk_ctx *, uint32_t ofd, const void *sa);

/*
 * Bytes from the VMM into whatever the guest can write to as a stream
 * (sendfile, splice): how many fitted, -EAGAIN, -EPIPE (SIGPIPE is the
 * caller's), or -EINVAL.
 */
int64_t gk_ofd_write(struct gk_ctx *, uint32_t ofd, const void *, size_t);

/*
 * Bytes that are waiting in a stream, left there (splice, tee): how many, 0 at
 * its end, -EAGAIN, or -EINVAL.  And away with n of them.
 */
int64_t gk_ofd_peek(struct gk_ctx *, uint32_t ofd, void *, size_t);
void gk_ofd_skip(struct gk_ctx *, uint32_t ofd, size_t);

struct gk_conn_state {
	unsigned	gone;		/* no such connection any more; `closed`
					 * is set too, the rest is 0 */
	unsigned	accepted;	/* the guest has called accept */
	unsigned	closed;		/* the guest closed it: response ends
					 * when `out` is 0 */
	unsigned	wr_shut;	/* the guest did SHUT_WR */
	uint32_t	in;		/* request bytes not yet read */
	uint32_t	in_space;	/* how many more would fit */
	uint32_t	out;		/* response bytes not yet taken */
	uint32_t	out_space;
};
void gk_conn_state(struct gk_ctx *, uint32_t ofd, uint32_t id,
    struct gk_conn_state *);

#endif
