/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Putting a fork back to the frozen state; verify.c proves it.
 */

#include <stdio.h>
#include <string.h>

#include "machine/priv.h"

#define KEEP_XSAVE	8	/* buffers of threads beyond the image's */

enum { HI_FD, HI_OFD, HI_EPI, HI_SCM, HI_WATCH, HI_ADDR };

/*
 * How far the tables are in use, noted before the program runs: it could lower
 * the marks, and what the VMM has written above them would outlive the reset.
 */
void
gk_marks(struct machine *m)
{
	const uint32_t hi[] = { m->gk->hi_fd, m->gk->hi_ofd, m->gk->hi_epi,
	    m->gk->hi_scm, m->gk->hi_watch, m->gk->hi_addr };
	unsigned u;

	_Static_assert(NELEM(hi) == NELEM(m->gk_hi), "one each");
	for (u = 0; u < NELEM(hi); u++)
		if (hi[u] > m->gk_hi[u])
			m->gk_hi[u] = hi[u];
}

/*
 * The in-memory kernel's tables are written by the VMM with plain stores, so
 * they are compared: only the parts in use, on either side.
 */
static void
gk_learn(struct machine *m)
{
	const struct as *im = m->as->image;
	const struct gk *b = (const void *)(im->base + GPA_GK);
	const uint32_t *hi = m->gk_hi;
	const struct {
		uint64_t	off, size;
	} part[] = {
		{ 0, offsetof(struct gk, fd) },
		{ offsetof(struct gk, fd), sizeof b->fd[0] *
		    (hi[HI_FD] > b->hi_fd ? hi[HI_FD] : b->hi_fd) },
		{ offsetof(struct gk, addr), sizeof b->addr[0] *
		    (hi[HI_ADDR] > b->hi_addr ? hi[HI_ADDR] : b->hi_addr) },
		{ offsetof(struct gk, addr_used), sizeof b->addr_used },
		{ offsetof(struct gk, ofd), sizeof b->ofd[0] *
		    (hi[HI_OFD] > b->hi_ofd ? hi[HI_OFD] : b->hi_ofd) },
		{ offsetof(struct gk, epi), sizeof b->epi[0] *
		    (hi[HI_EPI] > b->hi_epi ? hi[HI_EPI] : b->hi_epi) },
		{ offsetof(struct gk, scm), sizeof b->scm[0] *
		    (hi[HI_SCM] > b->hi_scm ? hi[HI_SCM] : b->hi_scm) },
		{ offsetof(struct gk, watch), sizeof b->watch[0] *
		    (hi[HI_WATCH] > b->hi_watch ? hi[HI_WATCH] :
		    b->hi_watch) },
	};
	uint64_t gpa, end, n;
	unsigned u;

	for (u = 0; u < NELEM(part); u++) {
		gpa = GPA_GK + part[u].off;
		end = gpa + part[u].size;
		/* the marks themselves may be nonsense */
		if (end > GPA_GK + offsetof(struct gk, buf) || end < gpa)
			end = GPA_GK + offsetof(struct gk, buf);
		for (; gpa < end; gpa = PAGE_DOWN(gpa) + PAGE_SZ) {
			n = PAGE_DOWN(gpa) + PAGE_SZ - gpa;
			if (n > end - gpa)
				n = end - gpa;
			if (!bit_get(&m->as->priv, gpa / PAGE_SZ) &&
			    memcmp(m->as->base + gpa, im->base + gpa, n) != 0)
				as_mark(m->as, gpa, 1);
		}
	}
}

static void
hfiles_reset(struct machine *m)
{
	const struct machine *im = m->image;
	unsigned u, hi;

	hi = m->hi_hfile > im->hi_hfile ? m->hi_hfile : im->hi_hfile;
	for (u = 0; u < hi; u++) {
		if (m->hfile[u] == im->hfile[u])
			continue;
		if (m->hfile[u] != NULL)
			hfile_unref(&m->hfile[u]);
		m->hfile[u] = im->hfile[u];
		if (m->hfile[u] != NULL)
			hfile_ref(m->hfile[u]);
	}
	m->hi_hfile = im->hi_hfile;
}

static void
proc_reset(struct machine *m)
{
	const struct machine *im = m->image;
	const uint32_t hi = m->proc.hi_gtimer > im->proc.hi_gtimer ?
	    m->proc.hi_gtimer : im->proc.hi_gtimer;
	size_t n = offsetof(struct proc, gtimer);

	/* A size that gcc knows would be a `rep movsq`, not the C library's. */
	__asm__ ("" : "+r" (n));
	memcpy(&m->proc, &im->proc, n);
	if (hi > 0)
		memcpy(m->proc.gtimer, im->proc.gtimer,
		    hi * sizeof m->proc.gtimer[0]);
	if (m->sig_changed) {
		memcpy(m->proc.sig_code, im->proc.sig_code,
		    sizeof m->proc.sig_code);
		memcpy(m->proc.sig_val, im->proc.sig_val,
		    sizeof m->proc.sig_val);
		memcpy(m->proc.sigact, im->proc.sigact,
		    sizeof m->proc.sigact);
	}
	if (m->rest_changed) {
		memcpy(m->proc.exe, im->proc.exe, sizeof m->proc.exe);
		memcpy(m->proc.cwd, im->proc.cwd, sizeof m->proc.cwd);
		memcpy(m->proc.group, im->proc.group, sizeof m->proc.group);
	}
	m->rest_changed = 0;
}

static void
threads_reset(struct machine *m)
{
	const struct machine *im = m->image;
	unsigned u, hi;
	size_t n;

	hi = m->proc.hi_thread > im->proc.hi_thread ? m->proc.hi_thread :
	    im->proc.hi_thread;
	for (u = im->proc.hi_thread; u < m->proc.hi_thread; u++) {
		memset(&m->thread[u], 0, sizeof m->thread[u]);
		if (u < im->proc.hi_thread + KEEP_XSAVE)
			continue;
		free(m->xsave[u]);
		m->xsave[u] = NULL;
	}
	n = m->sig_changed ? sizeof m->thread[0] :
	    offsetof(struct thread, sig_code);
	for (u = 0; u < im->proc.hi_thread; u++)
		memcpy(&m->thread[u], &im->thread[u], n);
	if (im->proc.nsigq > 0)
		memcpy(m->sigq, im->sigq, im->proc.nsigq * sizeof m->sigq[0]);
	proc_reset(m);
	m->sig_changed = 0;
	memset(m->xs_own, 0, hi);
	memcpy(m->xs_blob, im->xs_blob, hi);
}

int
machine_reset(struct machine *m, struct tkvm_error *err)
{
	const struct machine *im = m->image;
	uint64_t t0;

	CHECK_OBJ_NOTNULL(im, MACHINE_MAGIC);
	t0 = machine_mono(m);		/* cheaper than the host's clock */
	if (m->vcpu->dead)
		return (err_set(err, TKVM_E_CRASH, "tenant \"%s\": its virtual "
		    "CPU is in an unknown state: fork replaced",
		    m->opt->tenant));
	gk_marks(m);
	gk_learn(m);
	memset(m->gk_hi, 0, sizeof m->gk_hi);
	if (as_reset(m->as, err) != 0) {
		err_prefix(err, "tenant \"%s\"", m->opt->tenant);
		return (-1);
	}
	hfiles_reset(m);
	threads_reset(m);
	vcpu_owe_xsave(m->vcpu, im->xsave[m->proc.cur]);
	if (vcpu_reset_pending(m->vcpu) != 0)
		return (err_set(err, TKVM_E_KVM, "tenant \"%s\": "
		    "KVM_SET_DEBUGREGS or KVM_SET_VCPU_EVENTS failed",
		    m->opt->tenant));
	m->stage = M_FROZEN;
	m->pend = PEND_USER;
	m->bases_ok = 1;
	m->exit_of = -1;
	m->fwait_stale = 1;
	m->mask_given = 0;
	m->resched = m->in_blob = m->futex_woke = m->host_ready = m->kicked = 0;
	m->conn = im->conn;
	m->conn_id = im->conn_id;
	m->nwaitfd = 0;
	m->next_wake = 0;
	m->spurious_addr = 0;
	m->out_since = 0;
	m->log_bytes = 0;
	m->limited = 0;
	m->cpu_ns = 0;
	m->log = m->opt->log;
	m->log_priv = m->opt->log_priv;
	m->err.code = TKVM_OK;
	m->last_line[0] = '\0';
	m->no_process[0] = '\0';
	m->part[0].n = m->part[1].n = 0;
	memset(m->enosys_seen, 0, sizeof m->enosys_seen);
	m->woke_gen = m->gk->gen;
	m->st.resets++;
	m->st.reset_ns += machine_mono(m) - t0;
	return (0);
}
