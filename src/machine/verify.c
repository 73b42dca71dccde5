/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * --verify-reset: is a fork that was just reset the image again?  docs/
 * security.md lists what is compared and what differs by design.
 *
 * Descriptors, offsets, pipes, sockets, eventfds, timerfds, epoll sets and
 * files in memory are tables in guest RAM, of which every page is compared.
 */

#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "machine/priv.h"

static uint64_t
mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n-- > 0)
		h = (h ^ *b++) * 1099511628211UL;
	return (h);
}

/* Files are shared with the image: nothing about them may change but counts
 * of references. */
static uint64_t
hfiles_sum(const struct machine *m)
{
	uint64_t h = 14695981039346656037UL;
	const struct hfile *f;
	unsigned u;

	for (u = 0; u < MAX_HFILE; u++) {
		f = m->hfile[u];
		if (f == NULL)
			continue;
		h = mix(h, &u, sizeof u);
		h = mix(h, &f->kind, sizeof f->kind);
		h = mix(h, &f->fd, sizeof f->fd);
		h = mix(h, &f->can_read, sizeof f->can_read);
		h = mix(h, &f->can_write, sizeof f->can_write);
		h = mix(h, &f->log, sizeof f->log);
		h = mix(h, &f->socktype, sizeof f->socktype);
		h = mix(h, &f->ino, sizeof f->ino);
		h = mix(h, &f->sigset, sizeof f->sigset);
		if (f->path != NULL)
			h = mix(h, f->path, strlen(f->path));
		if (f->text != NULL)
			h = mix(h, f->text, f->textlen);
	}
	return (h);
}

void
verify_freeze(struct machine *m)
{

	m->hfile_sum = hfiles_sum(m);
}

/* ---- vector state ------------------------------------------------------------------------ */

/*
 * Equal vector state: components that are not in use count as their initial
 * values.  Intel SDM vol. 1, 13.4.  Both areas are `size` bytes.
 */
static int
xsave_equal(const struct kvmhost *h, const uint8_t *a, const uint8_t *b)
{
	static const uint8_t zero[sizeof(struct kvm_xsave)];
	uint64_t bva, bvb, known = 3;
	unsigned i;

	memcpy(&bva, a + 512, 8);
	memcpy(&bvb, b + 512, 8);
	/* x87 control to opcode (the instruction pointers may move), MXCSR */
	if (memcmp(a, b, 8) != 0 || memcmp(a + 24, b + 24, 4) != 0)
		return (0);
	/* ST and XMM registers */
	if (memcmp(a + 32, b + 32, 128) != 0 ||
	    memcmp(a + 160, b + 160, 256) != 0)
		return (0);
	for (i = 2; i < NELEM(h->xcomp); i++) {
		if (h->xcomp[i].size == 0)
			continue;
		known |= 1UL << i;
		if (memcmp(
		    ((bva >> i) & 1) ? a + h->xcomp[i].off : zero,
		    ((bvb >> i) & 1) ? b + h->xcomp[i].off : zero,
		    h->xcomp[i].size) != 0)
			return (0);
	}
	/* PKRU, AMX and what may come are not in the guest's CPUID. */
	return (((bva ^ bvb) & ~known) == 0);
}

static const char *
verify_vector(struct machine *m)
{
	const struct machine *im = m->image;
	const struct thread *t = &m->thread[m->proc.cur];
	const struct kvm_xsave *owed = m->vcpu->owed;
	const char *what = NULL;
	uint8_t *x;

	/* KVM_GET_XSAVE2 writes as much as the host has */
	x = calloc(1, m->vm->host->xsave2_size);
	if (x == NULL)
		return ("(out of memory)");
	if (handoff_starts(m))
		what = vcpu_try_start(m->vcpu, kern_start(m->vm->host, 1),
		    &t->regs, t->fs_base, t->gs_base);
	else if (m->vcpu->owed != NULL &&
	    vcpu_set_xsave(m->vcpu, m->vcpu->owed) != 0)
		what = "KVM_SET_XSAVE";
	if (what != NULL)
		;
	else if (vcpu_get_xsave_all(m->vcpu, x) != 0)
		what = "KVM_GET_XSAVE";
	else if (!xsave_equal(m->vm->host, x,
	    (const uint8_t *)im->xsave[m->proc.cur]))
		what = "vector registers";
	free(x);
	vcpu_owe_xsave(m->vcpu, owed);
	return (what);
}

/* ---- the machine ---------------------------------------------------------------------------- */

static const char *
verify_process(const struct machine *m)
{
	const struct machine *im = m->image;
	unsigned u;

	for (u = 0; u < MAX_HFILE; u++)
		if (m->hfile[u] != im->hfile[u])
			return ("open files");
	if (hfiles_sum(m) != im->hfile_sum)
		return ("the image's own files");
	/* both sides were made by copying bytes, padding included */
	// NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
	if (memcmp(&m->proc, &im->proc, sizeof m->proc) != 0)
		return ("process state");
	// NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
	if (memcmp(m->thread, im->thread, sizeof m->thread) != 0)
		return ("threads");
	// NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
	if (memcmp(m->sigq, im->sigq, im->proc.nsigq * sizeof m->sigq[0]) != 0)
		return ("queued signals");
	for (u = 0; u < MAX_THREADS; u++)
		if (m->xs_own[u])
			return ("vector registers of a waiting thread");
	return (NULL);
}

/* What the VMM itself keeps about a run */
static const char *
verify_run(const struct machine *m)
{

	if (m->stage != M_FROZEN || m->pend != PEND_USER || m->exit_of != -1 ||
	    m->conn != m->image->conn || m->nwaitfd != 0 || m->in_blob || m->resched ||
	    m->kicked || m->futex_woke || m->host_ready || m->out_since != 0 ||
	    m->next_wake != 0 || m->spurious_addr != 0)
		return ("the state of a run");
	if (m->err.code != TKVM_OK || m->last_line[0] != '\0' ||
	    m->part[0].n != 0 || m->part[1].n != 0 || m->log_bytes != 0 ||
	    m->limited != 0 || m->cpu_ns != 0)
		return ("what was logged");
	return (NULL);
}

/* After machine_reset(): is it the image again?  0, or -1 with *err. */
int
machine_verify(struct machine *m, struct tkvm_error *err)
{
	const struct thread *t;
	uint64_t bad, gpa = 0;
	const char *what;

	bad = as_verify(m->as, &gpa);
	if (bad != 0)
		return (err_set(err, TKVM_E_INTERNAL, "tenant \"%s\": "
		    "verify-reset: %lu pages differ from the image, the first "
		    "at guest physical 0x%lx", m->opt->tenant,
		    (unsigned long)bad, (unsigned long)gpa));
	t = &m->image->thread[m->image->proc.cur];
	what = verify_process(m);
	if (what == NULL)
		what = verify_run(m);
	if (what == NULL)
		what = verify_vector(m);
	if (what == NULL)
		what = vcpu_verify(m->vcpu, &t->regs, t->fs_base, t->gs_base);
	if (what == NULL)
		return (0);
	return (err_set(err, TKVM_E_INTERNAL, "tenant \"%s\": verify-reset: "
	    "%s differ from the image", m->opt->tenant, what));
}
