/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The tables of the made-up files, for those who list and fill them.
 */

#ifndef TKVM_SYNTH_H
#define TKVM_SYNTH_H

#include "linux/sys_files.h"

enum synth_id {
	ID_FIXED = 0,		/* the text stands in the table */
	/* directories with contents of their own */
	ID_PID, ID_FDS, ID_TASKS, ID_TASK,
	/* links */
	ID_SELF, ID_THREAD_SELF, ID_EXE, ID_CWD,
	/* texts */
	ID_MAPS, ID_ROLLUP, ID_STAT, ID_STATM, ID_STATUS, ID_CMDLINE,
	ID_ENVIRON, ID_AUXV,
	ID_LIMITS, ID_COMM, ID_MOUNTS, ID_MOUNTINFO, ID_MEMINFO, ID_CPUINFO,
	ID_CPUSTAT, ID_UPTIME, ID_LOADAVG, ID_BOOT_ID, ID_UUID, ID_RESOLV, ID_PASSWD,
	ID_GROUP,
};

struct synth_entry {
	const char	*path;
	enum synth_type	type;
	int		id;
	const char	*text;		/* of a link, or ID_FIXED */
	unsigned	mode, rdev;
	enum hfile_kind	dev;
};

/* The row with what is fixed about a path; NULL if there is none */
const struct synth_entry *synth_entry(const char *path);
/* All rows: with whole paths, or of a process's own directory */
const struct synth_entry *synth_table(int pid, unsigned *n);

#endif
