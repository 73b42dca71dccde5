/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The Linux x86-64 system call numbers, error numbers, flags and structures
 * that the in-memory kernel (gk_*.c) speaks, in our own spelling.
 *
 * Every name begins with GKA_ or gka_, so that a file may include this next to
 * libc's headers.  Nothing here may depend on a libc.
 */

#ifndef GK_ABI_H
#define GK_ABI_H

#include <stdint.h>

/* System calls */
enum {
	GKA_SYS_read = 0,
	GKA_SYS_write = 1,
	GKA_SYS_close = 3,
	GKA_SYS_poll = 7,
	GKA_SYS_lseek = 8,
	GKA_SYS_ioctl = 16,
	GKA_SYS_pread64 = 17,
	GKA_SYS_pwrite64 = 18,
	GKA_SYS_readv = 19,
	GKA_SYS_writev = 20,
	GKA_SYS_pipe = 22,
	GKA_SYS_select = 23,
	GKA_SYS_dup = 32,
	GKA_SYS_dup2 = 33,
	GKA_SYS_socket = 41,
	GKA_SYS_connect = 42,
	GKA_SYS_accept = 43,
	GKA_SYS_sendto = 44,
	GKA_SYS_recvfrom = 45,
	GKA_SYS_sendmsg = 46,
	GKA_SYS_recvmsg = 47,
	GKA_SYS_shutdown = 48,
	GKA_SYS_bind = 49,
	GKA_SYS_listen = 50,
	GKA_SYS_getsockname = 51,
	GKA_SYS_getpeername = 52,
	GKA_SYS_socketpair = 53,
	GKA_SYS_setsockopt = 54,
	GKA_SYS_getsockopt = 55,
	GKA_SYS_fcntl = 72,
	GKA_SYS_epoll_create = 213,
	GKA_SYS_epoll_wait = 232,
	GKA_SYS_epoll_ctl = 233,
	GKA_SYS_pselect6 = 270,
	GKA_SYS_ppoll = 271,
	GKA_SYS_epoll_pwait = 281,
	GKA_SYS_timerfd_create = 283,
	GKA_SYS_eventfd = 284,
	GKA_SYS_timerfd_settime = 286,
	GKA_SYS_timerfd_gettime = 287,
	GKA_SYS_accept4 = 288,
	GKA_SYS_eventfd2 = 290,
	GKA_SYS_epoll_create1 = 291,
	GKA_SYS_dup3 = 292,
	GKA_SYS_pipe2 = 293,
	GKA_SYS_preadv = 295,
	GKA_SYS_pwritev = 296,
	GKA_SYS_preadv2 = 327,
	GKA_SYS_pwritev2 = 328,
	GKA_SYS_close_range = 436,
	GKA_SYS_epoll_pwait2 = 441,
	GKA_SYS_MAX = 442
};

/* Errors */
enum {
	GKA_EPERM = 1,
	GKA_ENOENT = 2,
	GKA_EBADF = 9,
	GKA_EAGAIN = 11,
	GKA_EFAULT = 14,
	GKA_EBUSY = 16,
	GKA_EEXIST = 17,
	GKA_EINVAL = 22,
	GKA_ENFILE = 23,
	GKA_EMFILE = 24,
	GKA_ENOTTY = 25,
	GKA_ENOSPC = 28,
	GKA_ESPIPE = 29,
	GKA_EPIPE = 32,
	GKA_EDOM = 33,
	GKA_ELOOP = 40,
	GKA_ENOTSOCK = 88,
	GKA_EDESTADDRREQ = 89,
	GKA_EMSGSIZE = 90,
	GKA_EPROTOTYPE = 91,
	GKA_ENOPROTOOPT = 92,
	GKA_EPROTONOSUPPORT = 93,
	GKA_ESOCKTNOSUPPORT = 94,
	GKA_EOPNOTSUPP = 95,
	GKA_EAFNOSUPPORT = 97,
	GKA_EADDRINUSE = 98,
	GKA_ECONNRESET = 104,
	GKA_ENOBUFS = 105,
	GKA_EISCONN = 106,
	GKA_ENOTCONN = 107,
	GKA_ETOOMANYREFS = 109,
	GKA_ETIMEDOUT = 110,
	GKA_ECONNREFUSED = 111,
	GKA_EALREADY = 114,
	GKA_EINPROGRESS = 115
};

/* open(2), fcntl(2), close_range(2), preadv2(2) */
#define GKA_O_RDONLY		00
#define GKA_O_WRONLY		01
#define GKA_O_RDWR		02
#define GKA_O_ACCMODE		03
#define GKA_O_APPEND		02000
#define GKA_O_NONBLOCK		04000
#define GKA_O_ASYNC		020000
#define GKA_O_DIRECT		040000
#define GKA_O_NOATIME		01000000
#define GKA_O_CLOEXEC		02000000

#define GKA_F_DUPFD		0
#define GKA_F_GETFD		1
#define GKA_F_SETFD		2
#define GKA_F_GETFL		3
#define GKA_F_SETFL		4
#define GKA_F_SETOWN		8
#define GKA_F_GETOWN		9
#define GKA_F_SETSIG		10
#define GKA_F_GETSIG		11
#define GKA_F_DUPFD_CLOEXEC	1030
#define GKA_F_SETPIPE_SZ	1031
#define GKA_F_GETPIPE_SZ	1032
#define GKA_FD_CLOEXEC		1

#define GKA_CLOSE_RANGE_UNSHARE	2
#define GKA_CLOSE_RANGE_CLOEXEC	4

#define GKA_RWF_NOWAIT		8
#define GKA_RWF_ALL		0x1f

#define GKA_PIPE_BUF		4096
#define GKA_IOV_MAX		1024
#define GKA_MAX_RW		0x7ffff000UL

/* ioctl(2) */
#define GKA_SEEK_SET		0
#define GKA_SEEK_CUR		1
#define GKA_TCGETS		0x5401
#define GKA_TIOCGWINSZ		0x5413
#define GKA_FIONREAD		0x541b
#define GKA_SIOCOUTQ		0x5411
#define GKA_FIONBIO		0x5421
#define GKA_FIONCLEX		0x5450
#define GKA_FIOCLEX		0x5451
#define GKA_FIOASYNC		0x5452
#define GKA_SIOC_FIRST		0x8900
#define GKA_SIOC_LAST		0x89ff

/* socket(2) */
#define GKA_IPPROTO_LAST	262
#define GKA_AF_UNSPEC		0
#define GKA_AF_UNIX		1
#define GKA_AF_INET		2
#define GKA_AF_INET6		10
#define GKA_SOCK_STREAM		1
#define GKA_SOCK_DGRAM		2
#define GKA_SOCK_SEQPACKET	5
#define GKA_SOCK_TYPE_MASK	0xf
#define GKA_SOCK_NONBLOCK	GKA_O_NONBLOCK
#define GKA_SOCK_CLOEXEC	GKA_O_CLOEXEC
#define GKA_IPPROTO_IP		0
#define GKA_IPPROTO_TCP		6
#define GKA_IPPROTO_UDP		17
#define GKA_IPPROTO_IPV6	41
#define GKA_SHUT_RD		0
#define GKA_SHUT_WR		1
#define GKA_SHUT_RDWR		2
#define GKA_SOMAXCONN		4096

#define GKA_MSG_OOB		0x1
#define GKA_MSG_CTRUNC		8
#define GKA_MSG_PEEK		0x2
#define GKA_MSG_TRUNC		0x20
#define GKA_MSG_DONTWAIT	0x40
#define GKA_MSG_EOR		0x80
#define GKA_MSG_WAITALL		0x100
#define GKA_MSG_ERRQUEUE	0x2000
#define GKA_MSG_NOSIGNAL	0x4000
#define GKA_MSG_CMSG_CLOEXEC	0x40000000

#define GKA_SOL_SOCKET		1
#define GKA_SCM_RIGHTS		1
#define GKA_SCM_CREDENTIALS	2
#define GKA_SO_DEBUG		1
#define GKA_SO_REUSEADDR	2
#define GKA_SO_TYPE		3
#define GKA_SO_ERROR		4
#define GKA_SO_DONTROUTE	5
#define GKA_SO_BROADCAST	6
#define GKA_SO_SNDBUF		7
#define GKA_SO_RCVBUF		8
#define GKA_SO_KEEPALIVE	9
#define GKA_SO_OOBINLINE	10
#define GKA_SO_NO_CHECK		11
#define GKA_SO_PRIORITY		12
#define GKA_SO_LINGER		13
#define GKA_SO_REUSEPORT	15
#define GKA_SO_PASSCRED		16
#define GKA_SO_PEERCRED		17
#define GKA_SO_RCVLOWAT		18
#define GKA_SO_SNDLOWAT		19
#define GKA_SO_RCVTIMEO		20
#define GKA_SO_SNDTIMEO		21
#define GKA_SO_TIMESTAMP	29
#define GKA_SO_ACCEPTCONN	30
#define GKA_SO_SNDBUFFORCE	32
#define GKA_SO_RCVBUFFORCE	33
#define GKA_SO_PASSSEC		34
#define GKA_SO_TIMESTAMPNS	35
#define GKA_SO_MARK		36
#define GKA_SO_TIMESTAMPING	37
#define GKA_SO_PROTOCOL		38
#define GKA_SO_DOMAIN		39
#define GKA_SO_RXQ_OVFL		40
#define GKA_SO_PEEK_OFF		42
#define GKA_SO_BUSY_POLL	46
#define GKA_SO_MAX_PACING_RATE	47
#define GKA_SO_INCOMING_CPU	49
#define GKA_SO_ATTACH_CBPF	51	/* SO_ATTACH_REUSEPORT_CBPF */
#define GKA_SO_ATTACH_EBPF	52
#define GKA_SO_NAPI_ID		56	/* SO_INCOMING_NAPI_ID */
#define GKA_SO_COOKIE		57
#define GKA_SO_ZEROCOPY		60
#define GKA_SO_RCVTIMEO_NEW	66
#define GKA_SO_SNDTIMEO_NEW	67
#define GKA_SO_PREFER_BUSY_POLL	69

#define GKA_IP_TOS		1
#define GKA_IP_TTL		2
#define GKA_IP_PKTINFO		8
#define GKA_IP_MTU_DISCOVER	10
#define GKA_IP_RECVERR		11
#define GKA_IP_RECVTTL		12
#define GKA_IP_RECVTOS		13
#define GKA_IP_FREEBIND		15
#define GKA_IP_TRANSPARENT	19
#define GKA_IP_MINTTL		21
#define GKA_IP_BIND_NO_PORT	24	/* IP_BIND_ADDRESS_NO_PORT */
#define GKA_IP_PORT_RANGE	51	/* IP_LOCAL_PORT_RANGE */
#define GKA_IP_MULTICAST_IF	32
#define GKA_IP_MULTICAST_TTL	33
#define GKA_IP_MULTICAST_LOOP	34
#define GKA_IP_ADD_MEMBERSHIP	35
#define GKA_IP_DROP_MEMBERSHIP	36
#define GKA_IPV6_MULTICAST_IF	17
#define GKA_IPV6_MULTICAST_HOPS	18
#define GKA_IPV6_MULTICAST_LOOP	19
#define GKA_IPV6_ADD_MEMBERSHIP	20
#define GKA_IPV6_DROP_MEMBERSHIP	21
#define GKA_IPV6_UNICAST_HOPS	16
#define GKA_IPV6_MTU_DISCOVER	23
#define GKA_IPV6_RECVERR	25
#define GKA_IPV6_V6ONLY		26
#define GKA_IPV6_RECVPKTINFO	49
#define GKA_IPV6_RECVTCLASS	66
#define GKA_IPV6_TCLASS		67
#define GKA_IPV6_TRANSPARENT	75
#define GKA_IPV6_FREEBIND	78

#define GKA_TCP_NODELAY		1
#define GKA_TCP_MAXSEG		2
#define GKA_TCP_CORK		3
#define GKA_TCP_KEEPIDLE	4
#define GKA_TCP_KEEPINTVL	5
#define GKA_TCP_KEEPCNT		6
#define GKA_TCP_SYNCNT		7
#define GKA_TCP_LINGER2		8
#define GKA_TCP_DEFER_ACCEPT	9
#define GKA_TCP_WINDOW_CLAMP	10
#define GKA_TCP_INFO		11
#define GKA_TCP_QUICKACK	12
#define GKA_TCP_CONGESTION	13
#define GKA_TCP_USER_TIMEOUT	18
#define GKA_TCP_FASTOPEN	23
#define GKA_TCP_TIMESTAMP	24
#define GKA_TCP_NOTSENT_LOWAT	25
#define GKA_TCP_FASTOPEN_CONN	30	/* TCP_FASTOPEN_CONNECT */
#define GKA_TCP_INFO_SIZE	248
#define GKA_TCP_ESTABLISHED	1
#define GKA_TCP_SYN_SENT	2
#define GKA_TCP_FIN_WAIT2	5
#define GKA_TCP_CLOSE		7
#define GKA_TCP_CLOSE_WAIT	8
#define GKA_TCP_LISTEN		10

/* epoll(7), poll(2): one set of bits for both */
#define GKA_EPOLLIN		0x001U
#define GKA_EPOLLPRI		0x002U
#define GKA_EPOLLOUT		0x004U
#define GKA_EPOLLERR		0x008U
#define GKA_EPOLLHUP		0x010U
#define GKA_POLLNVAL		0x020U
#define GKA_EPOLLRDNORM		0x040U
#define GKA_EPOLLRDBAND		0x080U
#define GKA_EPOLLWRNORM		0x100U
#define GKA_EPOLLWRBAND		0x200U
#define GKA_EPOLLRDHUP		0x2000U
#define GKA_EPOLLEXCLUSIVE	(1U << 28)
#define GKA_EPOLLWAKEUP		(1U << 29)
#define GKA_EPOLLONESHOT	(1U << 30)
#define GKA_EPOLLET		(1U << 31)
#define GKA_EPOLL_CTL_ADD	1
#define GKA_EPOLL_CTL_DEL	2
#define GKA_EPOLL_CTL_MOD	3
#define GKA_EPOLL_CLOEXEC	GKA_O_CLOEXEC

#define GKA_EFD_SEMAPHORE	1
#define GKA_TFD_ABSTIME		1
#define GKA_TFD_CANCEL_ON_SET	2

#define GKA_CLOCK_REALTIME	0
#define GKA_CLOCK_MONOTONIC	1
#define GKA_CLOCK_BOOTTIME	7
#define GKA_CLOCK_REALTIME_ALARM 8
#define GKA_CLOCK_BOOTTIME_ALARM 9

struct gka_iovec {
	uint64_t	base;
	uint64_t	len;
};

struct gka_msghdr {
	uint64_t	name;
	uint32_t	namelen;
	uint32_t	pad0;
	uint64_t	iov;
	uint64_t	iovlen;
	uint64_t	control;
	uint64_t	controllen;
	uint32_t	flags;
	uint32_t	pad1;
};

struct gka_cmsghdr {
	uint64_t	len;
	int32_t		level;
	int32_t		type;
};

struct gka_pollfd {
	int32_t		fd;
	uint16_t	events;
	uint16_t	revents;
};

struct gka_epoll_event {
	uint32_t	events;
	uint64_t	data;
} __attribute__((packed));

struct gka_timespec {
	int64_t		sec;
	int64_t		nsec;		/* or microseconds: timeval */
};

struct gka_itimerspec {
	struct gka_timespec	interval;
	struct gka_timespec	value;
};

#endif
