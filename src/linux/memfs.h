/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The file system in memory: /tmp and /dev/shm, which each request finds as
 * the image had them, and memfd_create(2).
 *
 * Its tables lie at GPA_MFS and its bytes in guest frames, so that fork, reset
 * and verify-reset treat them like all guest memory.  The program has no
 * mapping of them (but for pages mapped shared).  Every store into the tables
 * is marked (as_touch) before or after it is made.
 */

#ifndef TKVM_MEMFS_H
#define TKVM_MEMFS_H

#include "linux/sys_files.h"

#define MFS_NINO	8192
#define MFS_NDENT	8192
#define MFS_NLOCK	128
#define MFS_NROOT	2		/* inodes 1, 2: /tmp, /dev/shm */
#define MFS_MAXSIZE	((int64_t)1 << 39)
#define MFS_DEV		0x1a		/* st_dev */

struct flock;

struct mfs_time {
	int64_t		sec;
	uint32_t	nsec, pad;
};

struct mfs_inode {
	uint32_t	mode;		/* 0: free */
	uint32_t	nlink;
	uint32_t	uid, gid;
	uint64_t	size;
	struct memfile	f;
	uint32_t	first1;		/* directories: entries, index + 1 */
	uint32_t	parent;
	uint32_t	seals;
	uint32_t	memfd;		/* memfd_create(2) made it */
	uint64_t	cookie;		/* of the newest entry */
	struct mfs_time	atime, mtime, ctime;
	union {
		struct {		/* a socket's: gk->ofd[] + 1 */
			uint32_t	sock1, addr1;
		};
		uint32_t	end1[2];	/* a fifo's: reader, writer */
	};
};

struct mfs_dent {
	uint32_t	next1;		/* newest first */
	uint32_t	ino;		/* 0: free */
	uint64_t	cookie;		/* position for getdents */
	uint32_t	len;
	char		name[NAME_MAX + 1];
	uint32_t	pad;
};

/* flock(2) and OFD locks; record locks of one process never conflict */
struct mfs_lock {
	uint32_t	ino;		/* 0: free */
	uint32_t	owner;		/* index in m->hfile */
	uint32_t	flock, write;
	uint64_t	start, end;	/* inclusive */
};

struct mfs {
	uint32_t	magic;
#define MFS_MAGIC	0x6d667301
	uint32_t	hi_ino, hi_dent;	/* high-water marks */
	uint32_t	norphan;	/* inodes without a name, still there */
	uint32_t	nino, ndent;
	uint32_t	nlock, pad;
	struct mfs_lock	lock[MFS_NLOCK];
	struct mfs_inode inode[MFS_NINO] __attribute__((aligned(4096)));
	struct mfs_dent	dent[MFS_NDENT] __attribute__((aligned(4096)));
};

/* The inode, NULL if there is none */
struct mfs_inode *mfs_inode(struct machine *, uint32_t ino);
/* Of a canonical path at or below a root; 0: none.  *parent: the directory
 * that has it or would have it; 0: no such directory. */
uint32_t mfs_lookup(struct machine *, const char *path, uint32_t *parent);
/* A name in a directory; 0: none */
uint32_t mfs_find(struct machine *, uint32_t dir, const char *name);
/* Something new: its number or -errno.  name NULL: without one */
int64_t mfs_make(struct machine *, uint32_t dir, const char *name,
    unsigned mode);
int mfs_link(struct machine *, uint32_t dir, const char *name, uint32_t ino);
/* After these two: mfs_reap() */
int mfs_unlink(struct machine *, uint32_t dir, const char *name, int rmdir);
int mfs_rename(struct machine *, uint32_t dir1, const char *name1,
    uint32_t dir2, const char *name2, unsigned flags);
/* Set a symlink's text, read it (bytes) */
int mfs_set_link(struct machine *, uint32_t ino, const char *text);
ssize_t mfs_readlink(struct machine *, uint32_t ino, char *buf, size_t);
void mfs_stat(struct machine *, uint32_t ino, struct stat *);
void mfs_statfs(struct machine *, uint64_t *blocks, uint64_t *avail,
    uint64_t *files, uint64_t *ffree);
/* Mode bits, as open(2) looks at them: want of R_OK, W_OK, X_OK */
int mfs_access(struct machine *, uint32_t ino, unsigned want);
int mfs_chmod(struct machine *, uint32_t ino, unsigned mode);
int mfs_chown(struct machine *, uint32_t ino, uint64_t uid, uint64_t gid);
int mfs_utimes(struct machine *, uint32_t ino, const struct timespec ts[2]);
/* Which directory has it, under what name; 0: none.  The path it was opened
 * by comes first. */
uint32_t mfs_name(struct machine *, uint32_t ino, const char *path,
    char name[NAME_MAX + 1]);
/* Forget inodes that have neither name, descriptor nor mapping. */
void mfs_reap(struct machine *);
/* The descriptor with this index in m->hfile is gone. */
void mfs_released(struct machine *, uint32_t hidx, uint32_t ino);
/* Note the time: 1 access, 2 change of contents, 4 of the inode */
void mfs_stamp(struct machine *, struct mfs_inode *, unsigned what);
/* getdents64(2) records from position *pos on */
ssize_t mfs_dents(struct machine *, uint32_t ino, uint64_t *pos, char *buf,
    size_t size);

/* ---- memio.c: contents ---------------------------------------------------------- */

ssize_t mfs_pread(struct machine *, uint32_t ino, void *, size_t,
    uint64_t pos);
ssize_t mfs_pwrite(struct machine *, uint32_t ino, const void *, size_t,
    uint64_t pos);
/* read(2) and write(2): the guest's segments; *pos is advanced */
int64_t mfs_rw(struct machine *, uint32_t ino, struct uvec *, uint64_t *pos,
    int write, int append);
int mfs_truncate(struct machine *, uint32_t ino, uint64_t size);
int mfs_fallocate(struct machine *, uint32_t ino, unsigned mode, uint64_t off,
    uint64_t len);
int64_t mfs_seek(struct machine *, uint32_t ino, int64_t off, int whence);
/* An open file for it; one reference, or NULL and *err */
struct hfile *mfs_open(struct machine *, uint32_t ino, const char *path,
    int oflags, int *err);
int64_t mfs_add_seals(struct machine *, const struct hfile *, uint64_t);
/* Its bytes from `off` on go to pages of zeroes at va. */
int mfs_fill(struct machine *, uint32_t ino, uint64_t va, uint64_t len,
    uint64_t off);
/* mmap(2) of it: the address or -errno */
int64_t mfs_mmap(struct machine *, const struct hfile *, const uint64_t a[6]);

/* ---- fifo.c: open(2) of a named pipe: descriptor, -errno, or SYS_BLOCK ---------- */

int64_t fifo_open(struct machine *, struct thread *, uint32_t ino,
    int oflags);

/* ---- memlock.c ------------------------------------------------------------------- */

int64_t mfs_flock(struct machine *, struct thread *, uint32_t hidx,
    uint32_t ino, int op);
/* F_OFD_SETLK and F_OFD_GETLK with whence SEEK_SET; 1: would have to wait */
int mfs_ofd_lock(struct machine *, uint32_t hidx, uint32_t ino,
    const struct flock *);
void mfs_ofd_test(struct machine *, uint32_t hidx, uint32_t ino,
    struct flock *);

#endif
