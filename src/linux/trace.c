/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * --verbose-syscalls: a call, its arguments and its result as strace prints
 * them.  Guest memory is only read, and what cannot be read is an address.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/addr_rule.h"
#include "conf/options.h"
#include "linux/dispatch.h"
#include "linux/sys_proc.h"

struct word {
	uint64_t	v;
	const char	*name;
};

/* Ends with a NULL name */
static int
put_word(char *b, size_t n, uint64_t v, const struct word *w, const char *fmt)
{

	for (; w->name != NULL; w++)
		if (w->v == v)
			return (snprintf(b, n, "%s", w->name));
	return (snprintf(b, n, fmt, (unsigned long)v));
}

static int
put_str(struct machine *m, uint64_t p, char *b, size_t n)
{
	char s[80];
	int i;

	i = as_strncpy(m->as, s, p, sizeof s);
	if (i == -EFAULT)
		return (snprintf(b, n, "0x%lx", (unsigned long)p));
	s[sizeof s - 1] = '\0';
	for (i = 0; s[i] != '\0'; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == '"' || s[i] == 127)
			s[i] = '.';
	return (snprintf(b, n, "\"%s\"%s", s,
	    i == (int)sizeof s - 1 ? "..." : ""));
}

static int
put_flags(char *b, size_t n, uint64_t v, const char *const *names)
{
	size_t k = 0;
	unsigned i;

	for (i = 0; names[i] != NULL; i++) {
		if (*names[i] == '\0' || !(v & (1UL << i)))
			continue;
		if (k < n)
			k += (size_t)snprintf(b + k, n - k, "%s%s",
			    k > 0 ? "|" : "", names[i]);
		v &= ~(1UL << i);
	}
	if ((v != 0 || k == 0) && k < n)
		k += (size_t)snprintf(b + k, n - k, "%s0x%lx",
		    k > 0 ? "|" : "", (unsigned long)v);
	return ((int)k);
}

static const struct word families[] = {
	{ 0, "AF_UNSPEC" }, { 1, "AF_UNIX" }, { 2, "AF_INET" },
	{ 10, "AF_INET6" }, { 16, "AF_NETLINK" }, { 17, "AF_PACKET" },
	{ 40, "AF_VSOCK" }, { 0, NULL }
};
static const struct word socktypes[] = {
	{ 1, "SOCK_STREAM" }, { 2, "SOCK_DGRAM" }, { 3, "SOCK_RAW" },
	{ 5, "SOCK_SEQPACKET" }, { 0, NULL }
};
static const struct word epollops[] = {
	{ 1, "EPOLL_CTL_ADD" }, { 2, "EPOLL_CTL_DEL" },
	{ 3, "EPOLL_CTL_MOD" }, { 0, NULL }
};
static const struct word clocks[] = {
	{ 0, "CLOCK_REALTIME" }, { 1, "CLOCK_MONOTONIC" },
	{ 2, "CLOCK_PROCESS_CPUTIME_ID" }, { 3, "CLOCK_THREAD_CPUTIME_ID" },
	{ 4, "CLOCK_MONOTONIC_RAW" }, { 5, "CLOCK_REALTIME_COARSE" },
	{ 6, "CLOCK_MONOTONIC_COARSE" }, { 7, "CLOCK_BOOTTIME" }, { 0, NULL }
};
static const struct word futexops[] = {
	{ 0, "FUTEX_WAIT" }, { 1, "FUTEX_WAKE" }, { 3, "FUTEX_REQUEUE" },
	{ 4, "FUTEX_CMP_REQUEUE" }, { 5, "FUTEX_WAKE_OP" },
	{ 6, "FUTEX_LOCK_PI" }, { 7, "FUTEX_UNLOCK_PI" },
	{ 8, "FUTEX_TRYLOCK_PI" }, { 9, "FUTEX_WAIT_BITSET" },
	{ 10, "FUTEX_WAKE_BITSET" }, { 11, "FUTEX_WAIT_REQUEUE_PI" },
	{ 12, "FUTEX_CMP_REQUEUE_PI" }, { 0, NULL }
};
static const struct word fcntls[] = {
	{ 0, "F_DUPFD" }, { 1, "F_GETFD" }, { 2, "F_SETFD" },
	{ 3, "F_GETFL" }, { 4, "F_SETFL" }, { 5, "F_GETLK" },
	{ 6, "F_SETLK" }, { 7, "F_SETLKW" }, { 36, "F_OFD_GETLK" },
	{ 37, "F_OFD_SETLK" }, { 38, "F_OFD_SETLKW" },
	{ 1030, "F_DUPFD_CLOEXEC" }, { 1031, "F_SETPIPE_SZ" },
	{ 1032, "F_GETPIPE_SZ" }, { 1033, "F_ADD_SEALS" },
	{ 1034, "F_GET_SEALS" }, { 0, NULL }
};
static const struct word whences[] = {
	{ 0, "SEEK_SET" }, { 1, "SEEK_CUR" }, { 2, "SEEK_END" },
	{ 3, "SEEK_DATA" }, { 4, "SEEK_HOLE" }, { 0, NULL }
};

static const char *const protbits[] = { "READ", "WRITE", "EXEC", NULL };
static const char *const mapbits[] = { "SHARED", "PRIVATE", "", "",
    "FIXED", "ANONYMOUS", "32BIT", "", "GROWSDOWN", "", "", "", "", "LOCKED",
    "NORESERVE", "POPULATE", "NONBLOCK", "STACK", "HUGETLB", "SYNC",
    "FIXED_NOREPLACE", NULL };
static const char *const openbits[] = { "O_WRONLY", "O_RDWR", "", "",
    "", "", "O_CREAT", "O_EXCL", "O_NOCTTY", "O_TRUNC", "O_APPEND",
    "O_NONBLOCK", "O_DSYNC", "", "O_DIRECT", "", "O_DIRECTORY", "O_NOFOLLOW",
    "", "O_CLOEXEC", "", "O_PATH", NULL };
static const char *const msgbits[] = { "MSG_OOB", "MSG_PEEK", "MSG_DONTROUTE",
    "MSG_CTRUNC", "", "MSG_TRUNC", "MSG_DONTWAIT", "MSG_EOR", "MSG_WAITALL",
    "", "", "", "", "MSG_ERRQUEUE", "MSG_NOSIGNAL", "MSG_MORE", NULL };
static const char *const atbits[] = { "", "", "", "", "", "", "", "",
    "AT_SYMLINK_NOFOLLOW", "AT_REMOVEDIR", "AT_SYMLINK_FOLLOW",
    "AT_NO_AUTOMOUNT", "AT_EMPTY_PATH", NULL };
static const char *const clonebits[] = { "", "", "", "", "", "", "", "",
    "CLONE_VM", "CLONE_FS", "CLONE_FILES", "CLONE_SIGHAND", "CLONE_PIDFD",
    "CLONE_PTRACE", "CLONE_VFORK", "CLONE_PARENT", "CLONE_THREAD",
    "CLONE_NEWNS", "CLONE_SYSVSEM", "CLONE_SETTLS", "CLONE_PARENT_SETTID",
    "CLONE_CHILD_CLEARTID", "CLONE_DETACHED", "CLONE_UNTRACED",
    "CLONE_CHILD_SETTID", NULL };
static const char *const pollbits[] = { "EPOLLIN", "EPOLLPRI", "EPOLLOUT",
    "EPOLLERR", "EPOLLHUP", "", "EPOLLRDNORM", "EPOLLRDBAND", "EPOLLWRNORM",
    "EPOLLWRBAND", "EPOLLMSG", "", "", "EPOLLRDHUP", "", "", "", "", "", "",
    "", "", "", "", "", "", "", "", "EPOLLEXCLUSIVE", "EPOLLWAKEUP",
    "EPOLLONESHOT", "EPOLLET", NULL };

static int
put_address(char *b, size_t n, uint64_t v)
{

	return (v == 0 ? snprintf(b, n, "NULL") :
	    snprintf(b, n, "0x%lx", (unsigned long)v));
}

/* {AF_INET, 127.0.0.1:80}; the length is the next argument */
static int
put_sockaddr(struct machine *m, uint64_t v, uint64_t len, char *b, size_t n)
{
	struct sockaddr_storage ss;
	char text[ADDR_TEXT], fam[24];

	(void)memset(&ss, 0, sizeof ss);
	len = (uint32_t)len;
	if (v == 0 || len < sizeof ss.ss_family || len > sizeof ss ||
	    as_read(m->as, v, &ss, len) != 0)
		return (put_address(b, n, v));
	(void)put_word(fam, sizeof fam, ss.ss_family, families, "%lu");
	if (ss.ss_family != AF_UNIX && ss.ss_family != AF_INET &&
	    ss.ss_family != AF_INET6)
		return (snprintf(b, n, "{%s}", fam));
	(void)addr_text((const struct sockaddr *)&ss, (socklen_t)len, text);
	return (snprintf(b, n, "{%s, %s}", fam, text));
}

static int
put_event(struct machine *m, uint64_t v, char *b, size_t n)
{
	struct {
		uint32_t	events, lo, hi;
	} e;
	int k;

	if (v == 0 || as_read(m->as, v, &e, sizeof e) != 0)
		return (put_address(b, n, v));
	k = snprintf(b, n, "{");
	k += put_flags(b + k, n - (size_t)k, e.events, pollbits);
	if ((size_t)k >= n)
		return (k);
	return (k + snprintf(b + k, n - (size_t)k, ", 0x%lx}",
	    (unsigned long)((uint64_t)e.hi << 32 | e.lo)));
}

static int
put_socktype(char *b, size_t n, uint64_t v)
{
	int k;

	k = put_word(b, n, v & 0xf, socktypes, "%lu");
	if (k > 0 && (size_t)k < n && (v & ~0xfUL) != 0)
		k += snprintf(b + k, n - (size_t)k, "%s%s",
		    v & SOCK_NONBLOCK ? "|SOCK_NONBLOCK" : "",
		    v & SOCK_CLOEXEC ? "|SOCK_CLOEXEC" : "");
	return (k);
}

static int
put_futexop(char *b, size_t n, uint64_t v)
{
	int k;

	k = put_word(b, n, v & 0x7f, futexops, "%lu");
	if (k > 0 && (size_t)k < n)
		k += snprintf(b + k, n - (size_t)k, "%s%s",
		    v & 128 ? "|PRIVATE" : "", v & 256 ? "|REALTIME" : "");
	return (k);
}

static int
put_time(struct machine *m, uint64_t v, char *b, size_t n)
{
	uint64_t ts[2];

	if (v == 0 || as_read(m->as, v, ts, sizeof ts) != 0)
		return (put_address(b, n, v));
	return (snprintf(b, n, "{%ld.%09ld}", (long)ts[0], (long)ts[1]));
}

static int
put_arg(struct machine *m, unsigned kind, const uint64_t *a, char *b, size_t n)
{
	const uint64_t v = *a;
	char sig[24];

	switch (kind) {
	case A_INT:
	case A_FD:
		return (snprintf(b, n, "%d", (int32_t)v));
	case A_OFF:
		return (snprintf(b, n, "%ld", (long)v));
	case A_SIG:
		return (snprintf(b, n, "%s", (int32_t)v == 0 ? "0" :
		    signal_name((int)v, sig, sizeof sig)));
	case A_CLOCK:
		return (put_word(b, n, v, clocks, "%lu"));
	case A_FUTEXOP:
		return (put_futexop(b, n, v));
	case A_EPOLLOP:
		return (put_word(b, n, v, epollops, "%lu"));
	case A_EPOLLEV:
		return (put_event(m, v, b, n));
	case A_FAMILY:
		return (put_word(b, n, v, families, "%lu"));
	case A_SOCKTYPE:
		return (put_socktype(b, n, v));
	case A_SOCKADDR:		/* never the last argument */
		return (put_sockaddr(m, v, a[1], b, n));
	case A_FCNTL:
		return (put_word(b, n, (uint32_t)v, fcntls, "%lu"));
	case A_WHENCE:
		return (put_word(b, n, (uint32_t)v, whences, "%lu"));
	case A_MSGFLAGS:
		return (v == 0 ? snprintf(b, n, "0") :
		    put_flags(b, n, (uint32_t)v, msgbits));
	case A_ATFLAGS:
		return (v == 0 ? snprintf(b, n, "0") :
		    put_flags(b, n, (uint32_t)v, atbits));
	case A_CLONEFLAGS:
		return (put_flags(b, n, v & ~0xffUL, clonebits));
	case A_UINT:
	case A_SIZE:
		return (snprintf(b, n, "%lu", (unsigned long)v));
	case A_DIRFD:
		if ((int32_t)v == -100)
			return (snprintf(b, n, "AT_FDCWD"));
		return (snprintf(b, n, "%d", (int32_t)v));
	case A_PATH:
		return (put_str(m, v, b, n));
	case A_PROT:
		return (v == 0 ? snprintf(b, n, "NONE") :
		    put_flags(b, n, v, protbits));
	case A_MAPFLAGS:
		return (put_flags(b, n, v, mapbits));
	case A_OFLAGS:
		return ((v & 3) == 0 && v != 0 ? snprintf(b, n, "O_RDONLY|") +
		    put_flags(b + 9, n - 9, v & ~0100000UL, openbits) :
		    v == 0 ? snprintf(b, n, "O_RDONLY") :
		    put_flags(b, n, v & ~0100000UL, openbits));
	case A_MODE:
		return (snprintf(b, n, "0%lo", (unsigned long)v));
	case A_TIMESPEC:
		return (put_time(m, v, b, n));
	case A_HEX:
		return (snprintf(b, n, v == 0 ? "0" : "0x%lx",
		    (unsigned long)v));
	default:
		return (put_address(b, n, v));
	}
}

static void
put_result(char *b, size_t n, const struct sys_desc *d, int64_t r)
{

	if (r == SYS_BLOCK)
		(void)snprintf(b, n, ") = ? (waits)");
	else if (r == SYS_NORETURN)
		(void)snprintf(b, n, ") = ?");
	else if (r < 0 && r > -4096)
		(void)snprintf(b, n, ") = -1 %s (%s)",
		    strerrorname_np((int)-r) != NULL ?
		    strerrorname_np((int)-r) : "?", strerror((int)-r));
	else if (d != NULL && (d->fn == sys_mmap || d->fn == sys_brk ||
	    d->fn == sys_mremap))
		(void)snprintf(b, n, ") = 0x%lx", (unsigned long)r);
	else
		(void)snprintf(b, n, ") = %ld", (long)r);
}

void
linux_trace(struct machine *m, const struct thread *t, int64_t r)
{
	const struct sys_desc *d = NULL;
	char b[512];
	size_t k;
	unsigned i;

	if (!m->opt->verbose_syscalls)
		return;
	if (t->nr < SYS_MAX && sys_table[t->nr].name != NULL)
		d = &sys_table[t->nr];
	if (d == NULL)
		k = (size_t)snprintf(b, sizeof b, "[%d] syscall_%lu(", t->tid,
		    (unsigned long)t->nr);
	else
		k = (size_t)snprintf(b, sizeof b, "[%d] %s%s(", t->tid,
		    t->restart ? "... " : "", d->name);
	for (i = 0; d != NULL && i < 6 && d->arg[i] != A_NONE; i++) {
		if (i > 0)
			k += (size_t)snprintf(b + k, sizeof b - k, ", ");
		k += (size_t)put_arg(m, d->arg[i], &t->a[i], b + k,
		    sizeof b - k);
		if (k > sizeof b - 100)
			break;
	}
	if (k >= sizeof b)		/* what there was no room for counts */
		k = sizeof b - 1;
	put_result(b + k, sizeof b - k, d, r);
	machine_log(m, TKVM_LOG_SYSCALL, "%s", b);
}
