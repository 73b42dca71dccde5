/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The texts of /proc/PID, and those of /proc that speak of memory.
 */

#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "conf/options.h"
#include "linux/sys_files.h"
#include "obj.h"

#define MAX_MAPS	65536	/* lines of /proc/self/maps */

const struct thread *
proc_thread(const struct machine *m, uint32_t tid)
{
	unsigned u;

	for (u = 0; u < m->proc.hi_thread && u < MAX_THREADS; u++)
		if (m->thread[u].state != T_FREE &&
		    (uint32_t)m->thread[u].tid == tid)
			return (&m->thread[u]);
	/* The first thread goes by the process's number. */
	if ((tid == m->proc.pid || tid == m->proc.image_pid) &&
	    m->thread[0].state != T_FREE)
		return (&m->thread[0]);
	return (NULL);
}

static const char *
comm_of(const struct machine *m, uint32_t tid)
{
	const struct thread *t = proc_thread(m, tid);

	return (t == NULL || t->comm[0] == '\0' ? "guest" : t->comm);
}

void
proc_comm(struct machine *m, uint32_t tid, struct text *x)
{

	text_add(x, "%.15s\n", comm_of(m, tid));
}

int64_t
proc_comm_write(struct machine *m, uint32_t tid, uint64_t addr, uint64_t len)
{
	const struct thread *t = proc_thread(m, tid);
	char name[sizeof t->comm] = { 0 };

	if (len >= sizeof name)
		len = sizeof name - 1;
	if (as_read(m->as, addr, name, len) != 0)
		return (-EFAULT);
	if (t == NULL)
		return (-ESRCH);
	memcpy(m->thread[t - m->thread].comm, name, sizeof name);
	return (0);
}

/* ---- memory ------------------------------------------------------------------------- */

static uintmax_t
stack_size(struct machine *m)
{
	const struct vma *v;
	const char *name;

	for (v = as_next(m->as, 0); v != NULL; v = as_next(m->as, v->end)) {
		name = as_vma_name(m->as, v);
		if (name != NULL && !strcmp(name, "[stack]"))
			return (v->end - v->start);
	}
	return (0);
}

void
proc_maps(struct machine *m, struct text *x)
{
	const struct vma *v;
	const char *name;
	uint64_t addr = 0;
	unsigned n;
	size_t at;

	for (n = 0; n < MAX_MAPS; n++) {
		v = as_next(m->as, addr);
		if (v == NULL || v->end <= addr)
			break;
		name = as_vma_name(m->as, v);
		at = x->len;
		text_add(x, "%08jx-%08jx %c%c%c%c %08jx 00:00 0",
		    (uintmax_t)v->start, (uintmax_t)v->end,
		    v->prot & AS_R ? 'r' : '-', v->prot & AS_W ? 'w' : '-',
		    v->prot & AS_X ? 'x' : '-',
		    v->flags & VMA_SHARED ? 's' : 'p', (uintmax_t)
		    (name != NULL && *name == '/' ? v->off : 0));
		if (name != NULL && *name != '\0')
			text_add(x, "%*s%s", x->len - at < 73 ?
			    (int)(73 - (x->len - at)) : 1, "", name);
		text_add(x, "\n");
		addr = v->end;
	}
}

/* All of what is resident is its own. */
void
proc_rollup(struct machine *m, struct text *x)
{
	static const char *const field[] = { "Rss", "Pss", "Pss_Dirty",
	    "Pss_Anon", "Pss_File", "Pss_Shmem", "Shared_Clean",
	    "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced",
	    "Anonymous", "Swap", "SwapPss", "Locked" };
	static const unsigned all = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 |
	    1 << 9 | 1 << 10 | 1 << 11;
	const uint64_t kb = as_rss(m->as) / 1024;
	unsigned u;

	text_add(x, "00400000-%jx ---p 00000000 00:00 0%*s[rollup]\n",
	    (uintmax_t)GVA_USER_END, 27, "");
	for (u = 0; u < NELEM(field); u++)
		text_add(x, "%s:%*ju kB\n", field[u],
		    (int)(23 - strlen(field[u])),
		    (uintmax_t)(all & 1u << u ? kb : 0));
}

void
proc_statm(struct machine *m, struct text *x)
{
	uint64_t rss = as_rss(m->as) / PAGE_SZ, vsz = as_vsz(m->as) / PAGE_SZ;

	text_add(x, "%ju %ju %u %u %u %ju %u\n", (uintmax_t)vsz,
	    (uintmax_t)rss, 0U, 0U, 0U, (uintmax_t)vsz, 0U);
}

void
proc_meminfo(struct machine *m, struct text *x)
{
	uintmax_t total = m->opt->max_main_memory * 1024ULL;
	uintmax_t used = as_rss(m->as) / 1024;
	uintmax_t left = used < total ? total - used : 0;

	text_add(x, "MemTotal:       %8ju kB\nMemFree:        %8ju kB\n"
	    "MemAvailable:   %8ju kB\nBuffers:        %8u kB\n"
	    "Cached:         %8u kB\nSwapCached:     %8u kB\n"
	    "Active:         %8ju kB\nInactive:       %8u kB\n"
	    "SwapTotal:      %8u kB\nSwapFree:       %8u kB\n"
	    "Shmem:          %8u kB\nCommitLimit:    %8ju kB\n"
	    "Committed_AS:   %8ju kB\nHugePages_Total:  %6u\n"
	    "HugePages_Free:   %6u\nHugepagesize:   %8u kB\n",
	    total, left, left, 0U, 0U, 0U, used, 0U, 0U, 0U, 0U, total, used,
	    0U, 0U, 2048U);
}

/* ---- the process --------------------------------------------------------------------- */

static char
state_of(const struct thread *t)
{

	return (t != NULL && t->state == T_WAIT ? 'S' : 'R');
}

void
proc_stat(struct machine *m, uint32_t tid, struct text *x)
{
	const struct thread *t = proc_thread(m, tid);
	uint64_t ticks = 0;
	unsigned u;

	for (u = 0; u < m->proc.hi_thread && u < MAX_THREADS; u++)
		ticks += m->thread[u].cpu_ns / 10000000;
	if (t != NULL && tid != m->proc.pid)
		ticks = t->cpu_ns / 10000000;
	text_add(x, "%u (%.15s) %c %u %u %u 0 -1 4194304 0 0 0 0 %ju 0 0 0 "
	    "20 0 %u 0 %ju %ju %ju 18446744073709551615 ", tid,
	    comm_of(m, tid), state_of(t), m->proc.ppid, m->proc.pid,
	    m->proc.pid, (uintmax_t)ticks, m->proc.nthreads,
	    (uintmax_t)(m->proc.boot_mono / 10000000),
	    (uintmax_t)as_vsz(m->as), (uintmax_t)(as_rss(m->as) / PAGE_SZ));
	/* Addresses (26 ... 30), signals, and the rest */
	text_add(x, "0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 "
	    "0\n");
}

static void
status_signals(const struct machine *m, const struct thread *t,
    struct text *x)
{
	uint64_t ign = 0, cgt = 0;
	unsigned s;

	for (s = 1; s <= NSIG_GUEST; s++) {
		if (m->proc.sigact[s].handler == 1)
			ign |= 1ULL << (s - 1);
		else if (m->proc.sigact[s].handler != 0)
			cgt |= 1ULL << (s - 1);
	}
	text_add(x, "SigQ:\t%u/%u\nSigPnd:\t%016jx\nShdPnd:\t%016jx\n"
	    "SigBlk:\t%016jx\nSigIgn:\t%016jx\nSigCgt:\t%016jx\n",
	    m->proc.nsigq, MAX_SIGQ,
	    (uintmax_t)(t == NULL ? 0 : t->sigpending),
	    (uintmax_t)m->proc.sigpending,
	    (uintmax_t)(t == NULL ? 0 : t->sigmask), (uintmax_t)ign,
	    (uintmax_t)cgt);
}

void
proc_status(struct machine *m, uint32_t tid, struct text *x)
{
	const struct thread *t = proc_thread(m, tid);
	const struct proc *p = &m->proc;
	uintmax_t vsz = as_vsz(m->as) / 1024, rss = as_rss(m->as) / 1024;
	uint32_t u;

	text_add(x, "Name:\t%.15s\nUmask:\t%04o\nState:\t%s\nTgid:\t%u\n"
	    "Ngid:\t0\nPid:\t%u\nPPid:\t%u\nTracerPid:\t0\n"
	    "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%u\n"
	    "Groups:\t", comm_of(m, tid), p->umask,
	    state_of(t) == 'S' ? "S (sleeping)" : "R (running)", p->pid, tid,
	    p->ppid, p->ruid, p->uid, p->suid, p->uid, p->rgid, p->gid, p->sgid,
	    p->gid, (unsigned)GK_NFD);
	for (u = 0; u < p->ngroups; u++)
		text_add(x, u == 0 ? "%u" : " %u", p->group[u]);
	text_add(x, " \n");
	text_add(x, "VmPeak:\t%8ju kB\nVmSize:\t%8ju kB\nVmLck:\t%8u kB\n"
	    "VmHWM:\t%8ju kB\nVmRSS:\t%8ju kB\nVmData:\t%8ju kB\n"
	    "VmStk:\t%8ju kB\nVmSwap:\t%8u kB\nThreads:\t%u\n", vsz, vsz, 0U,
	    rss, rss, vsz, stack_size(m) / 1024, 0U, p->nthreads);
	status_signals(m, t, x);
	text_add(x, "CapInh:\t%016x\nCapPrm:\t%016x\nCapEff:\t%016x\n"
	    "CapBnd:\t%016x\nCapAmb:\t%016x\nNoNewPrivs:\t%d\nSeccomp:\t0\n"
	    "Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\n"
	    "Mems_allowed_list:\t0\nvoluntary_ctxt_switches:\t0\n"
	    "nonvoluntary_ctxt_switches:\t0\n", 0U, 0U, 0U, 0U, 0U,
	    p->no_new_privs);
}

void
proc_cmdline(struct machine *m, struct text *x)
{
	const char *p = m->opt->program;
	unsigned u;

	if (p != NULL)
		text_mem(x, p, strlen(p) + 1);
	for (u = 0; u < m->opt->args.n; u++)
		text_mem(x, m->opt->args.v[u],
		    strlen(m->opt->args.v[u]) + 1);
}

void
proc_environ(struct machine *m, struct text *x)
{
	unsigned u;

	for (u = 0; u < m->opt->env.n; u++)
		text_mem(x, m->opt->env.v[u], strlen(m->opt->env.v[u]) + 1);
}

void
proc_auxv(struct machine *m, struct text *x)
{
	unsigned u;

	for (u = 0; u < NELEM(m->proc.auxv); u += 2) {
		text_mem(x, &m->proc.auxv[u], 2 * sizeof m->proc.auxv[u]);
		if (m->proc.auxv[u] == 0)
			break;
	}
}

void
proc_limits(struct machine *m, struct text *x)
{
	static const struct {
		int		res;
		const char	*name, *unit;
	} lim[] = {
		{ RLIMIT_CPU, "Max cpu time", "seconds" },
		{ RLIMIT_FSIZE, "Max file size", "bytes" },
		{ RLIMIT_DATA, "Max data size", "bytes" },
		{ RLIMIT_STACK, "Max stack size", "bytes" },
		{ RLIMIT_CORE, "Max core file size", "bytes" },
		{ RLIMIT_RSS, "Max resident set", "bytes" },
		{ RLIMIT_NPROC, "Max processes", "processes" },
		{ RLIMIT_NOFILE, "Max open files", "files" },
		{ RLIMIT_MEMLOCK, "Max locked memory", "bytes" },
		{ RLIMIT_AS, "Max address space", "bytes" },
		{ RLIMIT_LOCKS, "Max file locks", "locks" },
		{ RLIMIT_SIGPENDING, "Max pending signals", "signals" },
		{ RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes" },
		{ RLIMIT_NICE, "Max nice priority", "" },
		{ RLIMIT_RTPRIO, "Max realtime priority", "" },
	};
	char v[2][24];
	unsigned u, k;

	text_add(x, "%-26s%-21s%-21s%s\n", "Limit", "Soft Limit",
	    "Hard Limit", "Units     ");
	for (u = 0; u < NELEM(lim); u++) {
		for (k = 0; k < 2; k++) {
			uint64_t r = m->proc.rlim[lim[u].res][k];

			if (r == UINT64_MAX)
				(void)strcpy(v[k], "unlimited");
			else
				(void)snprintf(v[k], sizeof v[k], "%ju",
				    (uintmax_t)r);
		}
		text_add(x, "%-26s%-21s%-21s%-10s\n", lim[u].name, v[0],
		    v[1], lim[u].unit);
	}
}

static void
mount_line(struct text *x, int info, unsigned id, const char *where,
    const char *type, const char *rights)
{

	if (info)
		text_add(x, "%u %u 0:%u / %s %s,relatime - %s %s %s\n",
		    20 + id, id == 0 ? 1 : 20, 20 + id, where, rights, type,
		    type, rights);
	else
		text_add(x, "%s %s %s %s,relatime 0 0\n", type, where, type,
		    rights);
}

void
proc_mounts(struct machine *m, int info, struct text *x)
{
	const struct fs *fs = m->fs;
	unsigned u, id = 0;

	mount_line(x, info, id++, "/", "rootfs", "rw");
	mount_line(x, info, id++, "/proc", "proc", "rw");
	mount_line(x, info, id++, "/sys", "sysfs", "ro");
	mount_line(x, info, id++, "/dev", "devtmpfs", "rw");
	for (u = 1; u < fs->nmnt; u++)
		mount_line(x, info, id++,
		    fs->mnt[u].len == 0 ? "/" : fs->mnt[u].guest, "volume",
		    fs->mnt[u].perm & PERM_W ? "rw" : "ro");
}
