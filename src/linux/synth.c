/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The /proc, /dev and /sys that a guest sees, and the few files of /etc that
 * we make up where the host's are not allowed: which there are, and what
 * stat(2) says of them.  Nothing of the host shows.
 */

#include <sys/types.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "linux/synth.h"
#include "linux/sys_files.h"
#include "obj.h"

#define DIR_(p)		{ .path = (p), .type = SYN_DIR, .mode = 0555 }
#define TEXT(p, s)	{ .path = (p), .type = SYN_TEXT, .text = (s),	\
			    .mode = 0444 }
#define GEN(p, i)	{ .path = (p), .type = SYN_TEXT, .id = (i),	\
			    .mode = 0444 }
#define LINK(p, s)	{ .path = (p), .type = SYN_LINK, .text = (s),	\
			    .mode = 0777 }
#define LINKGEN(p, i)	{ .path = (p), .type = SYN_LINK, .id = (i),	\
			    .mode = 0777 }
#define DEV(p, k, maj, min) { .path = (p), .type = SYN_DEV, .dev = (k),	\
			    .mode = 0666, .rdev = (maj) << 8 | (min) }

/* Tables without rows, for those who would count them */
#define NET_TCP	"  sl  local_address rem_address   st tx_queue rx_queue tr "	\
		"tm->when retrnsmt   uid  timeout inode\n"
#define NET_UDP	"   sl  local_address rem_address   st tx_queue rx_queue tr "	\
		"tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
#define NET_UNIX "Num       RefCount Protocol Flags    Type St Inode Path\n"
#define NET_DEV	"Inter-|   Receive                                          "	\
		"      |  Transmit\n"						\
		" face |bytes    packets errs drop fifo frame compressed "	\
		"multicast|bytes    packets errs drop fifo colls carrier "	\
		"compressed\n"							\
		"    lo:       0       0    0    0    0     0          0    "	\
		"     0        0       0    0    0    0     0       0       "	\
		"   0\n"
#define NET_ROUTE "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\t"	\
		"Metric\tMask\t\tMTU\tWindow\tIRTT\n"

static const struct synth_entry fixed[] = {
	DIR_("/proc"),
	LINKGEN("/proc/self", ID_SELF),
	LINKGEN("/proc/thread-self", ID_THREAD_SELF),
	LINK("/proc/mounts", "self/mounts"),
	GEN("/proc/meminfo", ID_MEMINFO),
	GEN("/proc/cpuinfo", ID_CPUINFO),
	GEN("/proc/stat", ID_CPUSTAT),
	GEN("/proc/uptime", ID_UPTIME),
	GEN("/proc/loadavg", ID_LOADAVG),
	TEXT("/proc/version", "Linux version " GUEST_RELEASE
	    " (tkvm) " GUEST_VERSION "\n"),
	TEXT("/proc/filesystems", "nodev\tproc\nnodev\ttmpfs\n\text4\n"),
	TEXT("/proc/cmdline", "\n"),
	TEXT("/proc/diskstats", ""),
	TEXT("/proc/partitions", "major minor  #blocks  name\n\n"),
	TEXT("/proc/swaps",
	    "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
	TEXT("/proc/vmstat", "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n"
	    "pgfault 0\npgmajfault 0\noom_kill 0\n"),
	DIR_("/proc/sys"),
	DIR_("/proc/sys/vm"),
	TEXT("/proc/sys/vm/overcommit_memory", "0\n"),
	TEXT("/proc/sys/vm/max_map_count", "65530\n"),
	TEXT("/proc/sys/vm/mmap_min_addr", "65536\n"),
	DIR_("/proc/sys/kernel"),
	TEXT("/proc/sys/kernel/osrelease", GUEST_RELEASE "\n"),
	TEXT("/proc/sys/kernel/ostype", "Linux\n"),
	TEXT("/proc/sys/kernel/hostname", GUEST_HOSTNAME "\n"),
	TEXT("/proc/sys/kernel/version", GUEST_VERSION "\n"),
	TEXT("/proc/sys/kernel/pid_max", "4194304\n"),
	TEXT("/proc/sys/kernel/threads-max", "512\n"),
	TEXT("/proc/sys/kernel/ngroups_max", "65536\n"),
	TEXT("/proc/sys/kernel/cap_last_cap", "40\n"),
	DIR_("/proc/sys/kernel/random"),
	GEN("/proc/sys/kernel/random/boot_id", ID_BOOT_ID),
	GEN("/proc/sys/kernel/random/uuid", ID_UUID),
	TEXT("/proc/sys/kernel/random/entropy_avail", "256\n"),
	DIR_("/proc/sys/net"),
	DIR_("/proc/sys/net/core"),
	TEXT("/proc/sys/net/core/somaxconn", "4096\n"),
	TEXT("/proc/sys/net/core/rmem_max", "212992\n"),
	TEXT("/proc/sys/net/core/wmem_max", "212992\n"),
	DIR_("/proc/sys/net/ipv4"),
	TEXT("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
	DIR_("/proc/sys/fs"),
	TEXT("/proc/sys/fs/file-max", "1048576\n"),
	TEXT("/proc/sys/fs/nr_open", "1024\n"),
	TEXT("/proc/sys/fs/pipe-max-size", "65536\n"),
	/* Java takes a system without it for one without IPv6. */
	DIR_("/proc/net"),
	TEXT("/proc/net/if_inet6",
	    "00000000000000000000000000000001 01 80 10 80       lo\n"),
	TEXT("/proc/net/dev", NET_DEV),
	TEXT("/proc/net/route", NET_ROUTE),
	TEXT("/proc/net/tcp", NET_TCP),
	TEXT("/proc/net/tcp6", NET_TCP),
	TEXT("/proc/net/udp", NET_UDP),
	TEXT("/proc/net/udp6", NET_UDP),
	TEXT("/proc/net/unix", NET_UNIX),

	DIR_("/sys"),
	DIR_("/sys/devices"),
	DIR_("/sys/devices/system"),
	DIR_("/sys/devices/system/cpu"),
	DIR_("/sys/devices/system/cpu/cpu0"),
	TEXT("/sys/devices/system/cpu/online", "0\n"),
	TEXT("/sys/devices/system/cpu/possible", "0\n"),
	TEXT("/sys/devices/system/cpu/present", "0\n"),
	DIR_("/sys/kernel"),
	DIR_("/sys/kernel/mm"),
	DIR_("/sys/kernel/mm/transparent_hugepage"),
	TEXT("/sys/kernel/mm/transparent_hugepage/enabled",
	    "always madvise [never]\n"),
	TEXT("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
	    "2097152\n"),

	DIR_("/dev"),
	DEV("/dev/null", HF_NULL, 1, 3),
	DEV("/dev/zero", HF_ZERO, 1, 5),
	DEV("/dev/full", HF_FULL, 1, 7),
	DEV("/dev/random", HF_RANDOM, 1, 8),
	DEV("/dev/urandom", HF_RANDOM, 1, 9),
	{ .path = GENERATION_DEV, .type = SYN_DEV, .dev = HF_GENERATION,
	    .mode = 0444, .rdev = 10 << 8 | 126 },
	{ .path = "/dev/tty", .type = SYN_TTY, .mode = 0666,
	    .rdev = 5 << 8 },
	LINK("/dev/stdin", "/proc/self/fd/0"),
	LINK("/dev/stdout", "/proc/self/fd/1"),
	LINK("/dev/stderr", "/proc/self/fd/2"),
	LINK("/dev/fd", "/proc/self/fd"),
	DIR_("/dev/shm"),		/* in memory: memfs.c */
};

/* Below /proc/PID and, where `task` says so, /proc/PID/task/TID */
static const struct synth_entry below_pid[] = {
	LINKGEN("exe", ID_EXE),
	LINKGEN("cwd", ID_CWD),
	LINK("root", "/"),
	LINK("net", "/proc/net"),
	GEN("maps", ID_MAPS),
	GEN("smaps_rollup", ID_ROLLUP),
	GEN("stat", ID_STAT),
	GEN("statm", ID_STATM),
	GEN("status", ID_STATUS),
	GEN("cmdline", ID_CMDLINE),
	GEN("environ", ID_ENVIRON),
	GEN("auxv", ID_AUXV),
	GEN("limits", ID_LIMITS),
	{ .path = "comm", .type = SYN_TEXT, .id = ID_COMM, .mode = 0644 },
	GEN("mounts", ID_MOUNTS),
	GEN("mountinfo", ID_MOUNTINFO),
	TEXT("cgroup", "0::/\n"),
	TEXT("oom_score", "0\n"),
	TEXT("oom_score_adj", "0\n"),
	TEXT("io", "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\n"
	    "read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"),
	TEXT("loginuid", "4294967295\n"),
	TEXT("personality", "00000000\n"),
	{ .path = "fd", .type = SYN_DIR, .id = ID_FDS, .mode = 0500 },
	{ .path = "task", .type = SYN_DIR, .id = ID_TASKS, .mode = 0555 },
};

static const struct synth_entry etc[] = {
	GEN("/etc/passwd", ID_PASSWD),
	GEN("/etc/group", ID_GROUP),
	TEXT("/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"),
	GEN("/etc/resolv.conf", ID_RESOLV),
	TEXT("/etc/nsswitch.conf",
	    "passwd: files\ngroup: files\nhosts: files dns\n"),
};

int
synth_etc(const char *path)
{
	unsigned u;

	if (!path_covers("/etc", 4, path))
		return (0);
	for (u = 0; u < NELEM(etc); u++)
		if (strcmp(etc[u].path, path) == 0)
			return (1);
	return (0);
}

/* ---- lookup -------------------------------------------------------------------------- */

static const struct synth_entry *
find_in(const struct synth_entry *e, unsigned n, const char *path)
{

	for (; n > 0; n--, e++)
		if (strcmp(e->path, path) == 0)
			return (e);
	return (NULL);
}

/* A number as Linux would write it, up to '/' or the end: 1 and *rest */
static int
take_number(const char *p, uint32_t *v, const char **rest)
{
	uint64_t n = 0;

	if (!isdigit((unsigned char)*p) || (p[0] == '0' &&
	    isdigit((unsigned char)p[1])))
		return (0);
	for (; isdigit((unsigned char)*p) && n <= UINT32_MAX; p++)
		n = n * 10 + (unsigned)(*p - '0');
	if (n > UINT32_MAX || (*p != '\0' && *p != '/'))
		return (0);
	*v = (uint32_t)n;
	*rest = p + (*p == '/');
	return (1);
}

/* What /proc/PID/fd/N seems to point to; -ENOENT if it is closed */
static int
fd_text(struct machine *m, uint32_t fd, char *buf)
{
	struct hfile *hf;
	uint32_t idx = 0;
	int kind;

	hf = hfile_of(m, fd, NULL, &idx, &kind);
	if (kind < 0)
		return (-ENOENT);
	switch (kind) {
	case GK_HOST:
		if (hf->kind == HF_SOCK)
			(void)snprintf(buf, PATH_MAX, "socket:[%u]",
			    1000 + idx);
		else if (hf->path != NULL)
			(void)snprintf(buf, PATH_MAX, "%s", hf->path);
		else
			(void)snprintf(buf, PATH_MAX, "pipe:[%ju]",
			    (uintmax_t)hf->st.st_ino);
		break;
	case GK_PIPE_R:
	case GK_PIPE_W:
		(void)snprintf(buf, PATH_MAX, "pipe:[%u]", 1000 + idx);
		break;
	case GK_EVENTFD:
		(void)snprintf(buf, PATH_MAX, "anon_inode:[eventfd]");
		break;
	case GK_TIMERFD:
		(void)snprintf(buf, PATH_MAX, "anon_inode:[timerfd]");
		break;
	case GK_INOTIFY:
		(void)snprintf(buf, PATH_MAX, "anon_inode:inotify");
		break;
	case GK_EPOLL:
		(void)snprintf(buf, PATH_MAX, "anon_inode:[eventpoll]");
		break;
	default:
		(void)snprintf(buf, PATH_MAX, "socket:[%u]", 1000 + idx);
		break;
	}
	return (0);
}

static void
link_make(struct machine *m, const struct synth_entry *e, char *buf)
{
	uint32_t pid = m->proc.pid;

	switch (e->id) {
	case ID_SELF:
		(void)snprintf(buf, PATH_MAX, "%u", pid);
		break;
	case ID_THREAD_SELF:
		(void)snprintf(buf, PATH_MAX, "%u/task/%d", pid,
		    machine_caller(m)->tid);
		break;
	case ID_EXE:
		(void)snprintf(buf, PATH_MAX, "%s", m->proc.exe);
		break;
	case ID_CWD:
		(void)snprintf(buf, PATH_MAX, "%s",
		    m->proc.cwd[0] == '/' ? m->proc.cwd : "/");
		break;
	default:
		(void)snprintf(buf, PATH_MAX, "%s", e->text);
		break;
	}
}

static int
lookup_below(struct machine *m, const char *rest, uint32_t tid,
    struct synth *syn, char *link)
{
	const struct synth_entry *e;
	uint32_t n;

	syn->arg = tid;
	if (*rest == '\0') {
		syn->type = SYN_DIR;
		syn->id = tid == m->proc.pid ? ID_PID : ID_TASK;
		return (0);
	}
	if (strncmp(rest, "fd/", 3) == 0) {
		if (!take_number(rest + 3, &n, &rest) || *rest != '\0' ||
		    rest[-1] == '/' || fd_text(m, n, link) != 0)
			return (-ENOENT);
		syn->type = SYN_FD;
		syn->arg = n;
		return (0);
	}
	if (strncmp(rest, "task/", 5) == 0) {
		if (!take_number(rest + 5, &n, &rest) ||
		    proc_thread(m, n) == NULL ||
		    strncmp(rest, "task", 4) == 0)
			return (-ENOENT);
		if (*rest == '\0') {
			syn->type = SYN_DIR;
			syn->id = ID_TASK;
			syn->arg = n;
			return (0);
		}
		return (lookup_below(m, rest, n, syn, link));
	}
	e = find_in(below_pid, NELEM(below_pid), rest);
	if (e == NULL)
		return (-ENOENT);
	syn->type = e->type;
	syn->id = e->id;
	if (e->type == SYN_LINK)
		link_make(m, e, link);
	return (0);
}

int
synth_lookup(struct machine *m, const char *path, struct synth *syn,
    char *link)
{
	const struct synth_entry *e;
	const char *rest;
	uint32_t pid;

	(void)memset(syn, 0, sizeof *syn);
	if (strncmp(path, "/proc/", 6) == 0 &&
	    take_number(path + 6, &pid, &rest)) {
		if (pid == m->proc.pid || pid == m->proc.image_pid)
			return (lookup_below(m, rest, m->proc.pid, syn,
			    link));
		/* Linux has the threads there too, only not in listings. */
		if (proc_thread(m, pid) != NULL)
			return (lookup_below(m, rest, pid, syn, link));
		return (-ENOENT);
	}
	e = find_in(fixed, NELEM(fixed), path);
	if (e == NULL)
		e = find_in(etc, NELEM(etc), path);
	if (e == NULL)
		return (-ENOENT);
	syn->type = e->type;
	syn->id = e->id;
	syn->dev = e->dev;
	if (e->type == SYN_LINK)
		link_make(m, e, link);
	return (0);
}

/* The table's row, for what is fixed about it; may be NULL */
const struct synth_entry *
synth_entry(const char *path)
{
	const struct synth_entry *e;

	e = find_in(fixed, NELEM(fixed), path);
	if (e == NULL)
		e = find_in(etc, NELEM(etc), path);
	if (e == NULL && strncmp(path, "/proc/", 6) == 0 &&
	    strrchr(path, '/') != NULL)
		e = find_in(below_pid, NELEM(below_pid),
		    strrchr(path, '/') + 1);
	return (e);
}

void
synth_stat(struct machine *m, const char *path, const struct synth *syn,
    struct stat *st)
{
	const struct synth_entry *e = synth_entry(path);
	const char *p;
	uint64_t ino = 14695981039346656037ULL;

	(void)memset(st, 0, sizeof *st);
	for (p = path; *p != '\0'; p++)
		ino = (ino ^ (uint8_t)*p) * 1099511628211ULL;
	st->st_ino = (ino >> 24) + 2;
	st->st_nlink = syn->type == SYN_DIR ? 2 : 1;
	st->st_blksize = 4096;
	st->st_dev = makedev(0, path_covers("/proc", 5, path) ? 21 :
	    path_covers("/sys", 4, path) ? 22 : 5);
	st->st_mtim.tv_sec = (time_t)(machine_real(m) / 1000000000);
	st->st_atim = st->st_ctim = st->st_mtim;
	st->st_mode = e != NULL ? e->mode : 0555;
	if (path_covers("/proc", 5, path)) {
		st->st_uid = m->proc.uid;
		st->st_gid = m->proc.gid;
	}
	switch (syn->type) {
	case SYN_DIR:
		st->st_mode |= S_IFDIR;
		break;
	case SYN_LINK:
		st->st_mode |= S_IFLNK;
		break;
	case SYN_FD:
		st->st_mode = S_IFLNK | 0700;
		st->st_size = 64;
		break;
	case SYN_DEV:
	case SYN_TTY:
		st->st_mode |= S_IFCHR;
		st->st_rdev = e != NULL ? e->rdev : 0;
		break;
	default:
		st->st_mode |= S_IFREG;
		break;
	}
}

const struct synth_entry *
synth_table(int pid, unsigned *n)
{

	*n = pid ? NELEM(below_pid) : NELEM(fixed);
	return (pid ? below_pid : fixed);
}
