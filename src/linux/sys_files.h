/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The file families: their system calls, and what they share.
 *
 * Names.  A guest path becomes a `struct where`: a canonical guest path (no
 * symlink, no dot) plus an O_PATH descriptor of the host that was opened by
 * exactly this path with RESOLVE_NO_SYMLINKS.  Rules are applied to the
 * canonical path, and what is opened afterwards is opened through the
 * descriptor; so nothing that happens to names in between can matter.
 */

#ifndef TKVM_SYS_FILES_H
#define TKVM_SYS_FILES_H

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "gk.h"
#include "linux/linux.h"

#define MAX_RW		0x7ffff000UL	/* as the kernel has it */
#define MAX_IOV		1024
#define MAX_SYMLINKS	40
#define NVIEW		64		/* host views per host call */

/* As uname(2) has it (misc.c) */
#define GUEST_RELEASE	"6.1.0-tkvm"
#define GUEST_VERSION	"#1 SMP"
/* A name that every /etc/hosts has: programs look up their own. */
#define GUEST_HOSTNAME	"localhost"

/* ---- perm.c: what the options allow ---------------------------------------- */

#define PERM_STAT	1u		/* stat, readlink, chdir, O_PATH */
#define PERM_R		2u
#define PERM_W		4u		/* write, create, remove, attributes */

struct mount {
	char		*guest;		/* canonical; "" is the root */
	size_t		len;
	char		*host;		/* canonical */
	int		fd;		/* O_PATH; -1: it is missing */
	unsigned	perm;		/* PERM_R, PERM_W */
};

struct fs_rule {
	char		*path;		/* canonical; "" is the root */
	size_t		len;
	unsigned	perm;
	unsigned	exact;		/* not what is below */
	unsigned	seen_only;	/* as written: for lstat and readlink */
};

/*
 * The guest's view of the host: made at boot, shared by image and forks.
 * Immutable once the machine serves, but for what is atomic.
 */
struct fs {
	unsigned	magic;
#define FS_MAGIC	0x46533a21
	atomic_int	refs;
	int		all_read, all_write, all_net;
	unsigned	mem;		/* in memory: FS_TMP, FS_SHM */
#define FS_TMP		1u
#define FS_SHM		2u
	struct mount	*mnt;		/* [0] is the host's root */
	unsigned	nmnt;
	struct fs_rule	*rule;
	unsigned	nrule;
	char		**net;		/* allow-connect, names resolved */
	unsigned	nnet;
	char		**deny;		/* deny-connect: wins */
	unsigned	ndeny;
	int		deny_all, named; /* named: a rule has a host name */
	char		*dns;		/* "nameserver ..." lines, or NULL */
	char		boot_id[40];
	int		audit;		/* descriptor, or -1 */
	atomic_int	audit_full;	/* ... and its last line said so */
	atomic_uchar	told[8192];	/* bitmap: refusals that were logged */
};

#define MNT_SYNTH	(~0u)
#define MNT_MEM		(~1u)		/* memfs.h */

/* Is path at or below dir, by components?  dir "" is the root. */
int path_covers(const char *dir, size_t dirlen, const char *path);
/* The machine's, made on first use; NULL: no memory or no root */
struct fs *fs_get(struct machine *);
void fs_unref(struct fs **);
/* Which mount has the path; *rel gets the part below it ("" : itself) */
unsigned fs_mount(const struct fs *, const char *path, const char **rel);
/* Is `want` allowed on a canonical guest path? */
int perm_ok(const struct fs *, unsigned mnt, const char *path, unsigned want);
/* Is a path the root of a mount or of a rule? */
int fs_is_mount(const struct fs *, const char *path);
int fs_is_rule(const struct fs *, const char *path);
/* Is a volume, a rule's path below it? */
int fs_above_mount(const struct fs *, const char *path);
int fs_above_rule(const struct fs *, const char *path);
/* This file is readable from now on (the program, its interpreters). */
int fs_allow_file(struct fs *, const char *path);
/* Say once which option would have allowed it; gives -EACCES. */
int perm_refuse(struct machine *, const char *path, unsigned want);
/* The first time this text is told?  (egress) */
int fs_tell_once(struct fs *, const char *what, const char *text);

/* ---- hostopen.c ----------------------------------------------------------------- */

/* openat2(2): no symlink is followed anywhere, nothing above fd is reached */
int host_open_beneath(int fd, const char *rel, int flags);
/* O_PATH of a path below a mount, or -errno; -EACCES for what never shows */
int host_open_mount(const struct mount *, const char *rel, struct stat *);

/* ---- synth.c, synthopen.c: /proc, /dev, /sys and a few /etc made here -------------------- */

enum synth_type {
	SYN_NONE = 0,
	SYN_DIR,
	SYN_LINK,		/* ordinary symlink, text in link[] */
	SYN_FD,			/* /proc/self/fd/N: magic, text in link[] */
	SYN_TEXT,
	SYN_DEV,		/* dev is the kind of struct hfile */
	SYN_TTY,		/* there, but opening it is ENXIO */
};

struct synth {
	enum synth_type	type;
	int		id;		/* for the generator */
	uint32_t	arg;		/* tid or descriptor */
	enum hfile_kind	dev;
};

/* 0 or -ENOENT.  link (PATH_MAX bytes) gets a symlink's text. */
int synth_lookup(struct machine *, const char *path, struct synth *,
    char *link);
void synth_stat(struct machine *, const char *path, const struct synth *,
    struct stat *);
/* Open one; a new file with one reference, or NULL and *err = -errno */
struct hfile *synth_open(struct machine *, const char *path,
    const struct synth *, int oflags, int *err);
/* HF_TEXT is read from its start: what it says now, maybe in a new file. */
struct hfile *synth_again(struct machine *, struct gk_ofd *, struct hfile *);
/* Bytes written to one that can be, or -errno */
struct uvec;
int64_t synth_write(struct machine *, const struct hfile *,
    const struct uvec *);
/* Is this one of the /etc files that we make when the host's is refused? */
int synth_etc(const char *path);

/* A growing text.  `bad` when memory ran out. */
struct text {
	char		*p;
	size_t		len, size;
	int		bad;
};
void text_add(struct text *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void text_mem(struct text *, const void *, size_t);

/* proc.c: the generators of /proc/PID */
void proc_maps(struct machine *, struct text *);
void proc_stat(struct machine *, uint32_t tid, struct text *);
void proc_statm(struct machine *, struct text *);
void proc_status(struct machine *, uint32_t tid, struct text *);
void proc_cmdline(struct machine *, struct text *);
void proc_environ(struct machine *, struct text *);
void proc_auxv(struct machine *, struct text *);
void proc_limits(struct machine *, struct text *);
void proc_comm(struct machine *, uint32_t tid, struct text *);
void proc_rollup(struct machine *, struct text *);
/* 0 or -errno: a thread's name from `len` bytes of the program's */
int64_t proc_comm_write(struct machine *, uint32_t tid, uint64_t addr,
    uint64_t len);
void proc_mounts(struct machine *, int info, struct text *);
void proc_meminfo(struct machine *, struct text *);
/* cpuinfo_x86_64.c */
void proc_cpuinfo(struct machine *, struct text *);
/* The thread's record, by id; NULL if there is none */
const struct thread *proc_thread(const struct machine *, uint32_t tid);

/* ---- path.c: resolution ----------------------------------------------------- */

#define W_NOFOLLOW	0x01		/* of the last component */
#define W_PARENT	0x02		/* do not look at the last component */
#define W_CREATE	0x04		/* the last one may be missing: fd -1 */
#define W_EMPTY		0x08		/* AT_EMPTY_PATH */
#define W_FREE		0x10		/* no rules: for the VMM itself */
#define W_RESOLVE(r)	((unsigned)(r) << 8)	/* RESOLVE_* of openat2(2) */

struct where {
	int		fd;		/* O_PATH, or -1: made here or missing */
	unsigned	missing;	/* W_CREATE */
	unsigned	mnt;		/* MNT_SYNTH: made here */
	unsigned	slash;		/* it ended in a slash */
	unsigned	nameoff;	/* W_PARENT, W_CREATE: last component;
					 * 0: it is "/", "." or ".." */
	enum { NAME_PLAIN, NAME_DOT, NAME_DOTDOT, NAME_ROOT } name;
	struct synth	syn;
	struct stat	st;
	uint32_t	ino;		/* MNT_MEM; W_PARENT: the directory's */
	struct hfile	*hf;		/* W_EMPTY: the descriptor itself */
	int		gkkind;		/* W_EMPTY and hf == NULL */
	char		path[PATH_MAX];	/* canonical guest path */
};

/*
 * Resolve the guest's string at uaddr.  0 or -errno; where_fini() only after
 * a 0.  Existence is revealed only for what PERM_STAT allows; the caller
 * checks anything more with where_perm().
 * With W_PARENT, fd is the parent directory and path the whole name.
 */
int path_user(struct machine *, uint64_t dirfd, uint64_t uaddr,
    unsigned wflags, struct where *);
/* ... or a Unix socket that has no file: stat.c */
int path_or_socket(struct machine *, uint64_t dirfd, uint64_t uaddr,
    unsigned wflags, struct where *);
/* The same for a string of our own, from the root or the working directory */
int path_str(struct machine *, const char *path, unsigned wflags,
    struct where *);
void where_fini(struct where *);
/* 0 or -EACCES, logged once */
int where_perm(struct machine *, const struct where *, unsigned want);
/* Open what it names once more, by descriptor: host descriptor or -errno */
int where_reopen(const struct where *, int oflags);
/* The file as a new host file: one reference, or NULL and *err */
struct hfile *where_open(struct machine *, struct where *, int oflags,
    unsigned mode, int *err);
/* The directory that what has this canonical path is in */
void path_up(const char *path, char up[PATH_MAX]);
/* chdir for the VMM: 0 or -errno */
int path_chdir(struct machine *, const char *path);
/* The working directory; the path is known to be one and short enough. */
void proc_chdir(struct machine *, const char *path);

/* ---- hfile.c ------------------------------------------------------------------ */

/*
 * Of an image, at freeze: connections to the outside are closed and read as
 * reset from now on, since many forks must not share one stream.  How many.
 */
unsigned files_freeze(struct machine *);
/* Like hfile_get(), with the description */
struct hfile *hfile_of(struct machine *, uint64_t fd, struct gk_ofd **,
    uint32_t *ofdidx, int *gkkind);
/* What a call answers that has no meaning for this kind of descriptor */
int hfile_badkind(int gkkind, int otherwise);
/* A description of m's own for the file, if it shares one; NULL: *err */
struct hfile *hfile_private(struct machine *, struct gk_ofd *, int *err);
/* n, new, takes the place of m->hfile[idx] (there) as another of the same file. */
void hfile_supersede(struct machine *, uint32_t idx, struct hfile *n);

/* netdev.c: routing sockets; what is sent is answered at once. */
int64_t netlink_socket(struct machine *, const uint64_t a[6]);
int64_t netlink_send(struct machine *, const struct hfile *, const char *,
    size_t);
socklen_t netlink_name(struct sockaddr_storage *, uint32_t pid);
struct hfile *netlink_private(struct machine *, const struct gk_ofd *,
    struct hfile *);
void netlink_freeze(const struct hfile *);
int64_t netdev_ioctl(struct machine *, unsigned req, uint64_t uaddr);

/* reclock.c: F_GETLK, F_SETLK; a descriptor of hf is closed: all locks go */
int reclock_get(struct machine *, struct hfile *, struct flock *);
int reclock_set(struct machine *, struct hfile *, struct flock *);
void reclock_closed(struct machine *, const struct hfile *);
/* hfile (reference taken over) to a new descriptor: it, or -errno */
int64_t hfile_install(struct machine *, struct hfile *, unsigned oflags);
/* What fstat(2) says of it: 0 or -errno */
int hfile_stat(struct machine *, const struct hfile *, struct stat *);
/* Readiness of a blocking call on a host descriptor: SYS_BLOCK, set up */
int64_t file_block(struct machine *, struct thread *, int fd, short events);
/* ... or just a while from now */
int64_t file_block_ms(struct machine *, struct thread *, unsigned ms);

/* ---- uvec.c -------------------------------------------------------------------- */

/* Segments of guest memory, copied in and checked */
struct uvec {
	struct iovec	fast[8];
	struct iovec	*v;
	unsigned	n, i;
	size_t		off, total;
};
int uvec_one(struct uvec *, uint64_t addr, uint64_t len);
int uvec_read(struct machine *, struct uvec *, uint64_t addr, uint64_t n);
void uvec_fini(struct uvec *);
void uvec_skip(struct uvec *, size_t);
/* Views of the next bytes and advance over them: bytes, 0 at the end, -EFAULT */
ssize_t uvec_views(struct machine *, struct uvec *, int access,
    struct iovec *out, unsigned *nout, size_t max);
/* writev(2) without SIGPIPE to ourselves */
ssize_t host_writev(int fd, const struct iovec *, int n);
/* No file may grow beyond it: RLIMIT_FSIZE, the guest's and ours */
uint64_t file_size_max(const struct machine *);
/* The program wrote n bytes at pos: shared mappings of the file show them, as on
 * Linux. */
void mem_wrote(struct machine *, const struct hfile *, uint64_t pos, uint64_t n);
/* ... or gave the file another length.  Pages that it lost stay as they were. */
void mem_resized(struct machine *, const struct hfile *, uint64_t was,
    uint64_t now);
/* Lines of a guest's output to the log */
void file_log(struct machine *, int level, const char *, size_t);

/* ---- netrule.c, egress.c, sockmsg.c --------------------------------------------- */

/* allow-net and allow-connect, with the names looked up: 0 or -1 */
int net_rules(struct fs *, struct machine *);
int net_allowed(const struct fs *, const struct sockaddr *, socklen_t);
/* Say once what would have allowed it; gives -EACCES. */
int net_refuse(struct machine *, const struct sockaddr *, socklen_t);
/* The same for datagrams: -ENETUNREACH, as without a route */
int net_unreach(struct machine *, const struct sockaddr *, socklen_t);
/* A real socket, or NULL and *err (-ENOTSOCK, -EBADF) */
struct hfile *egress_get(struct machine *, uint64_t fd, struct gk_ofd **,
    uint32_t *ofdidx, int *err);
/* An address from the guest: 0 or -errno */
int egress_addr_in(struct machine *, uint64_t uaddr, uint64_t len,
    struct sockaddr_storage *, socklen_t *);
/* ... and to it, as accept(2) and the like do */
int egress_addr_out(struct machine *, const struct sockaddr_storage *,
    socklen_t len, uint64_t uaddr, uint64_t ulen);
/*
 * A datagram socket of the in-memory kernel sends to where no socket of the
 * guest is.  1: it is a host socket now.  0: it goes to nobody.  -errno.
 */
int egress_dgram(struct machine *, struct thread *, uint32_t ofdidx,
    const struct sockaddr_storage *, socklen_t len);
/* read and write on a real socket */
int64_t egress_rw(struct machine *, struct thread *, struct hfile *,
    struct gk_ofd *, uint32_t ofdidx, struct uvec *, int write);

/* signalfd.c */
int64_t signalfd_read(struct machine *, struct thread *, const struct hfile *,
    const struct gk_ofd *, struct uvec *);
uint32_t signalfd_poll(struct machine *, const struct hfile *);

/* ---- notify.c: inotify events of what the guest does ------------------------------ */

/* What a watch knows a file by; ino: of one in memory, or 0 */
uint64_t notify_file(uint32_t ino, const struct stat *);
/* Is anything watched?  Nothing below costs more than this if not. */
int notify_on(const struct machine *);
/* IN_* happened to an open file, or to what was resolved: it is told to those
 * who watch it, and its directory. */
void notify_hfile(struct machine *, const struct hfile *, uint32_t mask);
void notify_where(struct machine *, const struct where *, uint32_t mask);
/* ... to a name in a directory (W_PARENT), alone to the directory's */
void notify_name(struct machine *, const struct where *, uint32_t mask,
    uint32_t cookie);
/* ... to a file, alone to its own */
void notify_self(struct machine *, uint32_t ino, const struct stat *,
    uint32_t mask);
/* The last descriptor of a file is: it is let go. */
void notify_closed(struct machine *, struct hfile **);
/* The name is gone, which was that of `st`; or moved, perhaps over another */
void notify_removed(struct machine *, const struct where *,
    const struct stat *);
void notify_moved(struct machine *, const struct where *from,
    const struct where *to, const struct stat *, const struct stat *over,
    int exchange);

/* ---- the system calls --------------------------------------------------------------- */

/* file.c */
sys_f sys_open, sys_openat, sys_openat2, sys_creat, sys_lseek;
/* extent.c */
sys_f sys_truncate, sys_ftruncate, sys_fsync, sys_fdatasync, sys_fallocate,
    sys_fadvise64, sys_sync_file_range, sys_syncfs,
    sys_sync, sys_readahead;
/* rw.c */
sys_f sys_read, sys_write, sys_pread64, sys_pwrite64, sys_readv, sys_writev,
    sys_preadv, sys_pwritev, sys_preadv2, sys_pwritev2;
/* sendfile.c, splice.c */
sys_f sys_sendfile, sys_splice, sys_tee, sys_vmsplice, sys_copy_file_range;
/* memio.c, signalfd.c */
sys_f sys_memfd_create, sys_signalfd, sys_signalfd4;
/* inotify.c */
sys_f sys_inotify_init, sys_inotify_init1, sys_inotify_add_watch,
    sys_inotify_rm_watch;
/* fctl.c */
sys_f sys_flock, sys_fcntl, sys_ioctl;
/* stat.c */
sys_f sys_stat, sys_lstat, sys_fstat, sys_newfstatat, sys_statx, sys_statfs,
    sys_fstatfs, sys_access, sys_faccessat, sys_faccessat2, sys_readlink,
    sys_readlinkat;
/* dents.c */
sys_f sys_getdents64, sys_getdents;
/* dir.c */
sys_f sys_mkdir, sys_mkdirat, sys_rmdir,
    sys_unlink, sys_unlinkat, sys_rename, sys_renameat, sys_renameat2,
    sys_link, sys_linkat, sys_symlink, sys_symlinkat, sys_mknod, sys_mknodat,
    sys_chdir, sys_fchdir, sys_getcwd, sys_umask;
/* attr.c */
sys_f sys_chmod, sys_fchmod, sys_fchmodat, sys_fchmodat2, sys_chown,
    sys_lchown, sys_fchown, sys_fchownat, sys_utimensat, sys_utime,
    sys_utimes, sys_futimesat;
/* xattr.c */
sys_f sys_setxattr, sys_lsetxattr, sys_fsetxattr, sys_getxattr,
    sys_lgetxattr, sys_fgetxattr, sys_listxattr, sys_llistxattr,
    sys_flistxattr, sys_removexattr, sys_lremovexattr, sys_fremovexattr;
/* egress.c, sockmsg.c */
sys_f sys_socket, sys_connect, sys_bind, sys_listen, sys_accept, sys_accept4,
    sys_sendto, sys_recvfrom, sys_sendmsg, sys_recvmsg, sys_sendmmsg,
    sys_recvmmsg, sys_shutdown, sys_getsockname, sys_getpeername,
    sys_setsockopt, sys_getsockopt;

#endif
