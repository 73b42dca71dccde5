/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One look at the host's file system: by a path that is followed exactly, and
 * never into the host's /proc, /sys or /dev.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "linux/sys_files.h"
#include "obj.h"

#ifndef BPF_FS_MAGIC
#define BPF_FS_MAGIC	0xcafe4a11
#endif

int
host_open_beneath(int fd, const char *rel, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS |
		    RESOLVE_NO_SYMLINKS,
	};
	long r;

	if (*rel == '\0')
		rel = ".";
	r = syscall(SYS_openat2, fd, rel, &how, sizeof how);
	return (r < 0 ? -errno : (int)r);
}

/* File systems that show the host's kernel and processes. */
static int
is_pseudo_fs(int fd)
{
	struct statfs sf;

	if (fstatfs(fd, &sf) != 0)
		return (1);
	switch ((unsigned long)sf.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case SELINUX_MAGIC:
	case SMACK_MAGIC:
	case DEVPTS_SUPER_MAGIC:
	case BPF_FS_MAGIC:
	case BINFMTFS_MAGIC:
	case PSTOREFS_MAGIC:
	case EFIVARFS_MAGIC:
		return (1);
	default:
		return (0);
	}
}

/* The same directories when a volume shows a part of the host above them. */
static int
is_host_special(const struct mount *mnt, const char *rel)
{
	static const char * const no[] = { "proc", "sys", "dev" };
	const char *h = mnt->host;
	unsigned u;

	/* host "" + rel "proc/..", or host "/proc" */
	if (*h == '/') {
		h++;
		for (u = 0; u < NELEM(no); u++)
			if (path_covers(no[u], strlen(no[u]), h))
				return (1);
		return (0);
	}
	for (u = 0; u < NELEM(no); u++)
		if (path_covers(no[u], strlen(no[u]), rel))
			return (1);
	return (0);
}

/* O_PATH of a path below a mount, or -errno; -EACCES for what never shows */
int
host_open_mount(const struct mount *mnt, const char *rel, struct stat *st)
{
	int fd;

	if (mnt->fd < 0)
		return (-ENOENT);
	if (is_host_special(mnt, rel))
		return (-EACCES);
	if (*rel == '\0') {
		fd = fcntl(mnt->fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			fd = -errno;
	} else
		fd = host_open_beneath(mnt->fd, rel, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return (fd);
	if (fstat(fd, st) != 0 || is_pseudo_fs(fd)) {
		(void)close(fd);
		return (-EACCES);
	}
	return (fd);
}
