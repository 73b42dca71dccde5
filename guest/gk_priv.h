/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the gk_*.c files share: checked access to the tables, rings and the
 * walk over a caller's iovecs.  Not for anyone else.
 *
 * Nothing here may keep a pointer into struct gk whose index was not checked,
 * nor read a field of it twice and expect the same value.
 */

#ifndef GK_PRIV_H
#define GK_PRIV_H

#if __STDC_HOSTED__
#include <string.h>
#endif

#include "gk.h"
#include "gk_abi.h"

/*
 * One load, one store: the program may write the tables while we look, so the
 * compiler must not read a field again after it was checked.
 */
#define GK_RD(x)	(*(const volatile __typeof__(x) *)&(x))
#define GK_WR(x, v)	(*(volatile __typeof__(x) *)&(x) = (v))

#define GK_NELEM(a)	(sizeof(a) / sizeof((a)[0]))
#define GK_MIN(a, b)	((a) < (b) ? (a) : (b))

/* How deep epoll sets may contain each other, and the work for one look. */
#define GK_NEST		5
#define GK_BUDGET	(8 * GK_NEPI)

/* A readiness answer that only the VMM can give; never a real event. */
#define GK_POLL_NOTMINE	0x40000000U

#define GK_EV_IN	(GKA_EPOLLIN | GKA_EPOLLRDNORM)
#define GK_EV_OUT	(GKA_EPOLLOUT | GKA_EPOLLWRNORM)

/* Bits of .opts, by the first options that need them outside gk_opt.c. */
#define GK_OPT_REUSEADDR	(1U << 0)
#define GK_OPT_REUSEPORT	(1U << 1)
#define GK_OPT_V6ONLY		(1U << 2)
#define GK_OPT_PASSCRED		(1U << 10)
/* The next one is SO_LINGER's. */
#define GK_OPTBIT_LINGER	9
/* Not one of them: the file that is its name was removed. */
#define GK_OPT_UNNAMED		(1U << 31)

static inline void
gk_copy(void *dst, const void *src, size_t len)
{
#if __STDC_HOSTED__
	memcpy(dst, src, len);
#elif defined(__x86_64__)
	__asm__ volatile("rep movsb"
	    : "+D"(dst), "+S"(src), "+c"(len) : : "memory");
#else
	unsigned char *d = dst;
	const unsigned char *s = src;

	while (len-- > 0)
		*d++ = *s++;
#endif
}

static inline void
gk_zero(void *dst, size_t len)
{
#if __STDC_HOSTED__
	memset(dst, 0, len);
#elif defined(__x86_64__)
	__asm__ volatile("rep stosb"
	    : "+D"(dst), "+c"(len) : "a"(0) : "memory");
#else
	unsigned char *d = dst;

	while (len-- > 0)
		*d++ = 0;
#endif
}

static inline int
gk_same(const void *a, const void *b, size_t len)
{
	const unsigned char *p = a, *q = b;

	while (len-- > 0)
		if (*p++ != *q++)
			return (0);
	return (1);
}

/* ---- tables (gk_core.c) ------------------------------------------------- */

static inline struct gk_ofd *
gk_ofd_at(struct gk *gk, uint32_t idx)
{

	return (idx < GK_NOFD ? &gk->ofd[idx] : NULL);
}

/* The description, if it is of this kind now. */
static inline struct gk_ofd *
gk_ofd_kind(struct gk *gk, uint32_t idx, enum gk_kind kind)
{

	if (idx >= GK_NOFD || GK_RD(gk->ofd[idx].kind) != kind)
		return (NULL);
	return (&gk->ofd[idx]);
}

static inline uint32_t
gk_hi(uint32_t hi, uint32_t max)
{

	return (GK_MIN(hi, max));
}

/* RLIMIT_NOFILE, whatever lies there */
static inline uint32_t
gk_fd_max(const struct gk *gk)
{

	return (gk_hi(GK_RD(gk->fd_max), GK_NFD));
}

static inline int
gk_is_socket(unsigned kind)
{

	return (kind == GK_SOCKET || kind == GK_LISTENER || kind == GK_CONN ||
	    kind == GK_PAIR || kind == GK_DGRAM);
}

/* One end of a TCP connection between two sockets of the guest */
static inline int
gk_is_tcp(struct gk_ofd *o)
{

	return (GK_RD(o->kind) == GK_PAIR &&
	    GK_RD(o->u.conn.domain) != GKA_AF_UNIX);
}

/* In the blob there is no VMM to call. */
static inline int
gk_in_blob(const struct gk_ctx *ctx)
{

	return (ctx->host_release == NULL);
}

void gk_event(struct gk *, struct gk_ofd *, uint32_t events);
int gk_fd_new_ref(struct gk *, uint32_t ofd, uint32_t min, int cloexec);
int gk_open_fd(struct gk_ctx *, uint32_t ofd, uint32_t flags);
/* True if closing fd needs the VMM and we are in the blob. */
int gk_close_needs_vmm(struct gk_ctx *, uint64_t fd);
void gk_ofd_free(struct gk *, struct gk_ofd *);
/* Address table: index + 1, or 0 when it is full. */
uint32_t gk_addr_get(struct gk *, const void *sa, size_t len);
void gk_addr_put(struct gk *, uint32_t addr1);
/* Copies at most sizeof(struct sockaddr_un) bytes, gives the length. */
size_t gk_addr_read(struct gk *, uint32_t addr1, uint8_t sa[110]);

/* ---- the caller's memory (gk_ring.c) ------------------------------------ */

struct gk_iter {
	uint64_t		base, len;	/* rest of the segment */
	uint64_t		total;		/* bytes not yet moved */
	uint64_t		next;		/* where more iovecs are */
	uint32_t		left;		/* how many more */
	uint32_t		pos, have;	/* in batch */
	struct gka_iovec	batch[16];
};

void gk_iter_buf(struct gk_iter *, uint64_t base, uint64_t len);
int gk_iter_vec(struct gk_ctx *, struct gk_iter *, uint64_t iov,
    uint64_t cnt);
void gk_iter_skip(struct gk_ctx *, struct gk_iter *, uint64_t n);
int gk_iter_put(struct gk_ctx *, struct gk_iter *, const void *, size_t);
int gk_iter_get(struct gk_ctx *, struct gk_iter *, void *, size_t);

/* ---- rings (gk_ring.c) -------------------------------------------------- */

/* A ring's fields, read once and checked. */
struct gk_view {
	uint8_t		*buf;
	uint32_t	head, tail, cap;
	uint32_t	used, space;
};

int gk_ring_new(struct gk *, struct gk_ring *, uint32_t cap);
void gk_ring_free(struct gk *, struct gk_ring *);
/* -1 if the ring is broken: then it is empty and full. */
int gk_ring_view(struct gk *, struct gk_ring *, struct gk_view *);
uint32_t gk_ring_used(struct gk *, struct gk_ring *);
size_t gk_view_fill(struct gk_ctx *, struct gk_view *, struct gk_iter *,
    size_t);
size_t gk_view_drain(struct gk_ctx *, struct gk_view *, struct gk_iter *,
    size_t);
size_t gk_view_push(struct gk_ctx *, struct gk_view *, const void *, size_t);
size_t gk_view_pull(struct gk_view *, void *, size_t);
void gk_ring_wrote(struct gk_ring *, const struct gk_view *);
/* Gives EPOLLOUT if a writer that found the ring full may go on. */
uint32_t gk_ring_took(struct gk_ring *, const struct gk_view *, int pipe);
int gk_view_writable(uint32_t used, uint32_t cap, int pipe);

/* Where a description's bytes go to and come from (gk_io.c). */
struct gk_ring *gk_ring_in(struct gk *, uint32_t ofd, unsigned kind,
    uint32_t *writer);
struct gk_ring *gk_ring_out(struct gk *, uint32_t ofd, unsigned kind,
    uint32_t *reader);
/* The other end of a pair or pipe, if both agree; NULL. */
struct gk_ofd *gk_peer(struct gk *, uint32_t ofd, unsigned kind,
    uint32_t *peer);
int gk_is_framed(struct gk_ofd *);

/* ---- transfers (gk_io.c) ------------------------------------------------ */

/* Descriptors that a message brings or takes along (gk_scm.c). */
struct gk_ctl {
	uint16_t	n;
	uint16_t	scm1;		/* received: the entry to be freed */
	uint16_t	ofd1[GK_SCM_MAX];
};

/* An address that a message comes from or goes to. */
struct gk_name {
	size_t		len;
	uint8_t		sa[128];
};

/* Where a transfer is about to happen. */
struct gk_end {
	struct gk_ofd	*o;
	uint32_t	idx;
	unsigned	kind;
	int		nonblock;
	uint32_t	timeo;		/* ms that it waits; 0: for ever */
	uint32_t	flags;		/* MSG_* */
	uint32_t	oflags;		/* MSG_* for recvmsg's caller */
	struct gk_ctl	*ctl;		/* of recvmsg, else NULL */
	struct gk_name	*name;		/* GK_DGRAM: if given or wanted */
};

int64_t gk_ctl_read(struct gk_ctx *, const struct gka_msghdr *,
    struct gk_ctl *);
int64_t gk_ctl_write(struct gk_ctx *, struct gk_end *, struct gka_msghdr *);
int gk_scm_full(struct gk *);
void gk_scm_send(struct gk *, const struct gk_ctl *, uint32_t reader,
    uint32_t pos, uint32_t len);
/* What begins at `tail` of e's ring goes to e->ctl; how many of max bytes may
 * be read with it. */
uint64_t gk_scm_recv(struct gk_ctx *, struct gk_end *, uint32_t tail,
    uint64_t max);
/* Nobody will read them. */
int gk_scm_waits(struct gk *, uint32_t ofd);
void gk_scm_drop(struct gk_ctx *, uint32_t ofd);

/* Fills *e; GK_NOTMINE for a host file. */
int64_t gk_end_get(struct gk_ctx *, struct gk_end *, uint64_t fd,
    uint32_t flags);
int64_t gk_input(struct gk_ctx *, struct gk_end *, struct gk_iter *);
int64_t gk_output(struct gk_ctx *, struct gk_end *, struct gk_iter *);

/* ---- connections inside (gk_local.c) ------------------------------------ */

/* conn.rx.shut */
#define GK_SHUT_FIN	1	/* the end came in order */
#define GK_SHUT_RST	2	/* ... or the connection was cut off */
#define GK_SHUT_RD	4	/* shutdown(SHUT_RD) of TCP: the end, for now */

/* A listener's accept queue (gk_sock.c) */
int gk_queue_full(struct gk_ofd *);
void gk_queue_push(struct gk *, struct gk_ofd *, uint32_t conn);

/* TCP that waits for room in a listener's queue: connect(2) goes on. */
int gk_connecting(struct gk_ofd *);
/* There is room in this one's; or, with none, it listens no more. */
void gk_late_join(struct gk *, uint32_t listener);
void gk_late_refuse(struct gk *, uint32_t listener);
void gk_late_forget(struct gk *, struct gk_ofd *);
/* shutdown(2) before it is connected */
int64_t gk_late_shutdown(struct gk *, struct gk_ofd *);
/* The other end of a pair goes away; reset: not in order. */
void gk_pair_end_gone(struct gk *, struct gk_ofd *, int reset);
/* len bytes are written to a TCP end whose peer (GK_NOFD: has closed) may take
 * none any more: how many seem to have gone out, as they do once; or -1. */
int64_t gk_tcp_late(struct gk *, struct gk_ofd *, uint32_t peer, uint64_t len);
/* The error of a connection, or of the attempt at one, for who uses it; 0 */
int64_t gk_conn_error(struct gk_ofd *);

/* ---- names (gk_name.c) -------------------------------------------------- */

/* The description behind a socket's descriptor; -ENOTSOCK, GK_NOTMINE. */
int64_t gk_sock_get(struct gk_ctx *, uint64_t fd, struct gk_ofd **,
    uint32_t *idx, unsigned *kind);
/* What a call that returns an address does with it. */
int64_t gk_sa_out(struct gk_ctx *, const uint8_t *sa, size_t salen,
    uint64_t ua, uint64_t ulen);
/* An address, or the family's empty one. */
size_t gk_sa_get(struct gk *, uint32_t addr1, uint16_t domain,
    uint8_t sa[110]);
/* Is the address somebody else's? */
int gk_sa_taken(struct gk *, uint32_t self, const uint8_t *sa, size_t len);
/* Check and normalize an address; its length, or -errno. */
int64_t gk_sa_check(uint32_t idx, uint16_t domain, uint8_t *sa, size_t len);

struct gk_ip {
	uint16_t	port;		/* network order */
	uint8_t		v6, any, only;
	uint8_t		ip[16];		/* IPv4: mapped */
};
void gk_ip_parse(const uint8_t *sa, uint16_t domain, uint32_t opts,
    struct gk_ip *);
void gk_ip_concrete(struct gk_ip *);
void gk_ip_source(struct gk_ip *own, const struct gk_ip *dst);
size_t gk_ip_write(const struct gk_ip *, uint16_t domain, uint8_t *sa);
/* Is it 0.0.0.0, perhaps as an IPv6 socket has it? */
int gk_is_any4(const struct gk_ip *);
/* May the address be one of this guest's own? */
int gk_is_local(const struct gk_ip *);
/* Does what is sent to `to` reach a socket at this address? */
int gk_ip_listens(const struct gk_ip *, const struct gk_ip *to);
/* A listener's, or a Unix datagram socket's, index; or GK_NOFD */
uint32_t gk_find_bound(struct gk *, enum gk_kind, uint16_t domain,
    const uint8_t *sa, size_t len);
/* Port 0: the next one that is free. */
int64_t gk_bind_port(struct gk *, uint32_t idx, uint8_t *sa, size_t len);

/* ---- datagrams (gk_dgram.c) --------------------------------------------- */

int64_t gk_dgram_in(struct gk_ctx *, struct gk_end *, struct gk_iter *);
int64_t gk_dgram_out(struct gk_ctx *, struct gk_end *, struct gk_iter *);
int64_t gk_dgram_connect(struct gk_ctx *, uint32_t ofd, uint8_t *sa,
    size_t len);
int64_t gk_dgram_shutdown(struct gk *, struct gk_ofd *, uint32_t how);
uint32_t gk_dgram_poll(struct gk *, struct gk_ofd *);
void gk_dgram_release(struct gk *, struct gk_ofd *);

/* ---- families ----------------------------------------------------------- */

typedef int64_t gk_call_f(struct gk_ctx *, const uint64_t a[6]);

gk_call_f gk_read, gk_write, gk_readv, gk_writev, gk_pread, gk_lseek;
gk_call_f gk_preadv2, gk_pwritev2;			/* gk_io.c */
gk_call_f gk_sendto, gk_recvfrom, gk_sendmsg, gk_recvmsg;	/* gk_msg.c */
/* Options that are only kept (gk_opt.c), for a new connection */
void gk_opt_inherit(struct gk_ofd *, const struct gk_ofd *listener);
gk_call_f gk_socket, gk_listen, gk_accept, gk_accept4, gk_shutdown;
gk_call_f gk_connect, gk_socketpair;			/* gk_sock.c */
gk_call_f gk_bind, gk_getsockname, gk_getpeername;	/* gk_name.c */
gk_call_f gk_setsockopt, gk_getsockopt;			/* gk_opt.c */
gk_call_f gk_epoll_create, gk_epoll_create1, gk_epoll_ctl, gk_epoll_wait;
gk_call_f gk_epoll_pwait, gk_epoll_pwait2;		/* gk_epoll.c */
gk_call_f gk_poll, gk_ppoll, gk_select, gk_pselect6;	/* gk_poll.c */
gk_call_f gk_pipe, gk_pipe2, gk_eventfd, gk_eventfd2, gk_timerfd_create;
gk_call_f gk_timerfd_settime, gk_timerfd_gettime;	/* gk_pipe.c */

int64_t gk_event_read(struct gk_ctx *, struct gk_ofd *, struct gk_iter *,
    int nonblock);
int64_t gk_event_write(struct gk_ctx *, struct gk_ofd *, struct gk_iter *,
    int nonblock);
int64_t gk_timer_read(struct gk_ctx *, struct gk_ofd *, struct gk_iter *,
    int nonblock);
int64_t gk_inotify_read(struct gk_ctx *, struct gk_ofd *, struct gk_iter *,
    int nonblock);
void gk_inotify_release(struct gk *, uint32_t ofd);
void gk_timer_update(struct gk_ctx *, struct gk_ofd *);
/* fcntl(F_SETPIPE_SZ), F_GETPIPE_SZ */
int64_t gk_pipe_size(struct gk_ctx *, uint32_t ofd, int set, uint64_t sz);

/* Releasing a description of one kind; called by gk_ofd_put. */
void gk_pipe_release(struct gk *, uint32_t ofd, unsigned kind);
void gk_sock_release(struct gk_ctx *, uint32_t ofd, unsigned kind);
void gk_epoll_release(struct gk *, uint32_t ofd);
/* 1: it stays as an orphan. */
int gk_conn_release(struct gk *, uint32_t ofd);
void gk_epoll_forget(struct gk *, uint32_t ofd);
void gk_listener_flush(struct gk_ctx *, struct gk_ofd *);
/* Descriptors on their way to a connection that nobody has accepted? */
int gk_queue_waits(struct gk *, uint32_t listener);

/* A pair's or connection's way in or out is shut (SHUT_RD, SHUT_WR). */
int64_t gk_stream_shutdown(struct gk *, uint32_t ofd, unsigned kind, int how);

uint32_t gk_poll_in(struct gk_ctx *, uint32_t ofd, uint32_t events,
    unsigned depth, uint32_t *budget);
uint32_t gk_epoll_ready(struct gk_ctx *, uint32_t set, unsigned depth,
    uint32_t *budget);
/* ofd + 1 of a listener in the set that would end a wait; or 0. */
uint32_t gk_epoll_listener(struct gk *, uint32_t set, unsigned depth,
    uint32_t *budget);

/* Deadlines of poll and friends (gk_poll.c). */
void gk_wait_ns(struct gk_ctx *, uint64_t ns);
void gk_wait_ms(struct gk_ctx *, int32_t ms);
/* SO_RCVTIMEO, SO_SNDTIMEO: 0 is for ever */
void gk_wait_timeo(struct gk_ctx *, uint32_t ms);
int64_t gk_wait_ts(struct gk_ctx *, uint64_t uts, int usec);
int64_t gk_wait_over(const struct gk_ctx *);
int64_t gk_check_sigset(uint64_t set, uint64_t size);

#endif
