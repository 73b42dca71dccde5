/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * --verify-reset finds what it is there for: a machine that was put back is
 * changed in one place, for each kind of state there is, and is not the image
 * any more.  guest/kinds has one of everything.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "machine/priv.h"
#include "mem/as.h"
#include "one_request.h"

static struct tkvm_image *image;
static struct tkvm_fork *fk;
static struct machine *m;
static struct tkvm_error err;

static void
request(void)
{

	one_request(fk);
	one_reset(fk);
}

static void
must_be_equal(const char *when)
{

	if (machine_verify(m, &err) != 0)
		fail_msg("%s: %s", when, err.text);
}

/* Is it seen, by this name? */
static void
must_differ(const char *what, const char *word)
{

	if (machine_verify(m, &err) == 0)
		fail_msg("%s: nobody sees it", what);
	if (strstr(err.text, word) == NULL)
		fail_msg("%s: %s", what, err.text);
}

/* One byte of ordinary memory, and back */
static void
plant(const char *what, void *p, const char *word)
{
	uint8_t *b = p;

	*b ^= 0x10;
	must_differ(what, word);
	*b ^= 0x10;
	must_be_equal(what);
}

#define PLANT(x, word)	plant(#x, &(x), (word))
#define PAGES		"pages differ"

/* ---- memory ------------------------------------------------------------- */

static void
test_memory(void **state)
{
	struct as *as = m->as;
	const struct vma *v;
	uint64_t *pte, was, gva;

	(void)state;
	plant("the blob", as->base + GPA_BLOB, PAGES);
	plant("its stack", as->base + GPA_IST + 0x800, PAGES);
	plant("the clock page", as->base + GPA_VVAR, PAGES);
	plant("the gates", as->base + GPA_GATES, PAGES);
	plant("how a request starts", as->base + GPA_START + THR_RIP, PAGES);
	plant("a frame of the image", as->base + as->image_end - PAGE_SZ + 9,
	    PAGES);
	if (as->slot_end > as->image_end)
		plant("a frame of the request", as->base + as->slot_end - 8,
		    PAGES);
	for (v = as_next(as, 0); v != NULL; v = as_next(as, v->end)) {
		gva = v->start;
		pte = pt_leaf(as, gva, 0);
		if (pte == NULL || *pte == 0)
			continue;
		plant("a page of the program", as->base + (*pte & PTE_ADDR),
		    PAGES);
		was = *pte;
		*pte = was ^ PTE_W;		/* rights */
		must_differ("rights", PAGES);
		*pte = was + PAGE_SZ;		/* another frame */
		must_differ("frame", PAGES);
		*pte = 0;
		must_differ("no frame", PAGES);
		*pte = was;
		must_be_equal("page table");
	}
	PLANT(as->brk, PAGES);
	PLANT(as->vmas.v[1].prot, PAGES);
	PLANT(as->vmas.v[2].flags, PAGES);
	PLANT(as->vmas.v[0].end, PAGES);
}

/* ---- descriptors: all in guest memory ------------------------------------- */

static void
test_descriptors(void **state)
{
	unsigned seen[GK_INOTIFY + 1] = { 0 }, u, bufs = 0;
	struct gk *gk = m->gk;
	struct gk_ofd *o;

	(void)state;
	for (u = 0; u < GK_NFD; u++)
		if (gk->fd[u].ofd1 != 0) {
			PLANT(gk->fd[u].ofd1, PAGES);
			PLANT(gk->fd[u].cloexec, PAGES);
		}
	for (u = 0; u < GK_NOFD; u++) {
		o = &gk->ofd[u];
		if (o->kind == GK_FREE || seen[o->kind]++ > 0)
			continue;
		PLANT(o->flags, PAGES);
		PLANT(o->pos, PAGES);
		PLANT(o->u, PAGES);
		PLANT(o->edge, PAGES);
	}
	/* one that is closed leaves nothing behind either */
	PLANT(gk->ofd[GK_NOFD - 1].u, PAGES);
	PLANT(gk->fd[GK_NFD - 1], PAGES);
	for (u = 0; u < GK_NBUF; u++)
		if ((gk->buf_used[u / 64] >> (u % 64)) & 1) {
			PLANT(gk->buf[u][2], PAGES);
			bufs++;
		}
	PLANT(gk->buf[GK_NBUF - 1][GK_BUFSZ - 1], PAGES);
	PLANT(gk->epi[0], PAGES);
	PLANT(gk->scm[0], PAGES);
	PLANT(gk->addr[0], PAGES);
	PLANT(gk->next_port, PAGES);
	plant("files in memory", m->mfs, PAGES);
	/* the program has them all, with bytes in pipe and socket pair */
	for (u = GK_HOST; u <= GK_INOTIFY; u++)
		if (u != GK_CONN && seen[u] == 0)
			fail_msg("guest/kinds has no descriptor of kind %u",
			    u);
	assert_true(bufs >= 2);
}

static void
test_files(void **state)
{
	struct hfile *f;
	unsigned u, n = 0;

	(void)state;
	for (u = 0; u < m->hi_hfile; u++) {
		f = m->hfile[u];
		if (f == NULL)
			continue;
		n++;
		PLANT(f->sigset, "own files");
		PLANT(f->can_write, "own files");
		PLANT(f->fd, "own files");
		m->hfile[u] = NULL;
		must_differ("a closed file", "open files");
		m->hfile[u] = f;
	}
	assert_true(n > 3);
	m->hfile[MAX_HFILE - 1] = m->hfile[0];
	must_differ("an open file", "open files");
	m->hfile[MAX_HFILE - 1] = NULL;
	must_be_equal("files");
}

/* ---- process and threads --------------------------------------------------- */

static void
test_process(void **state)
{
	struct proc *p = &m->proc;
	struct thread *t = &m->thread[0];
	const char *w = "process state";

	(void)state;
	assert_int_equal(p->nthreads, 2);
	PLANT(p->pid, w);
	PLANT(p->generation, w);
	PLANT(p->umask, w);
	PLANT(p->cwd[1], w);
	PLANT(p->ngroups, w);
	PLANT(p->group[0], w);
	PLANT(p->rlim[7][0], w);
	PLANT(p->sigact[10].handler, w);
	PLANT(p->sigpending, w);
	PLANT(p->itimer_next, w);
	PLANT(p->gtimer[0].next, w);
	PLANT(p->gtimer[MAX_GTIMER - 1].used, w);
	PLANT(p->nice, w);
	PLANT(p->dumpable, w);
	PLANT(p->no_new_privs, w);
	PLANT(p->membarrier, w);
	PLANT(p->next_tid, w);
	w = "threads";
	PLANT(t->regs.rbx, w);
	PLANT(t->regs.rip, w);
	PLANT(t->regs.rflags, w);
	PLANT(t->fs_base, w);
	PLANT(t->gs_base, w);
	PLANT(t->sigmask, w);
	PLANT(t->sigpending, w);
	PLANT(t->alt_sp, w);
	PLANT(t->deadline, w);
	PLANT(t->robust, w);
	PLANT(t->comm, w);
	PLANT(m->thread[1].a[0], w);
	PLANT(m->thread[2].state, w);
	PLANT(m->thread[MAX_THREADS - 1].regs.rax, w);
	plant("a thread's vector state", &m->xs_own[1], "waiting thread");
	w = "state of a run";
	PLANT(m->conn, w);
	PLANT(m->in_blob, w);
	PLANT(m->nwaitfd, w);
	PLANT(m->exit_of, w);
	PLANT(m->next_wake, w);
	plant("a line of the log", m->last_line, "logged");
	PLANT(m->part[1].n, "logged");
	assert_int_equal(m->proc.nsigq, m->image->proc.nsigq);
}

/* ---- the vCPU --------------------------------------------------------------- */

/* Vector state with one byte of this component changed; what it was before */
static const struct kvm_xsave *
change_xsave(unsigned off, unsigned component)
{
	const struct kvm_xsave *was = m->image->xsave[m->proc.cur];
	static struct kvm_xsave x;
	uint8_t *b = (uint8_t *)&x;

	x = *was;
	b[512] |= (uint8_t)(1u << component);
	b[off] ^= 0x10;
	assert_int_equal(vcpu_set_xsave(m->vcpu, &x), 0);
	return (was);
}

static void
plant_xsave(const char *what, unsigned off, unsigned component)
{
	const struct kvm_xsave *was = change_xsave(off, component);

	must_differ(what, "vector registers");
	assert_int_equal(vcpu_set_xsave(m->vcpu, was), 0);
	must_be_equal(what);
}

static void
test_vector(void **state)
{
	static const char *const name[] = { "", "", "YMM, upper halves",
	    "MPX", "MPX", "AVX-512 masks", "ZMM, upper halves",
	    "ZMM 16 to 31" };
	const struct kvmhost *h = m->vm->host;
	unsigned u;

	(void)state;
	plant_xsave("x87 control word", 1, 0);
	plant_xsave("ST0", 33, 0);
	plant_xsave("ST7", 145, 0);
	plant_xsave("MXCSR", 24, 1);
	plant_xsave("XMM0", 160, 1);
	plant_xsave("XMM15", 415, 1);
	for (u = 2; u < NELEM(h->xcomp); u++)
		if (h->xcomp[u].size > 0) {
			plant_xsave(name[u], h->xcomp[u].off, u);
			plant_xsave(name[u], h->xcomp[u].off +
			    h->xcomp[u].size - 1, u);
		}
}

/* Left to the start of the next request: is it put back there? */
static void
start_xsave(const char *what, unsigned off, unsigned component)
{
	const struct kvm_xsave *was = change_xsave(off, component);

	assert_null(m->vcpu->owed);
	assert_false(handoff_starts(m));
	vcpu_owe_xsave(m->vcpu, was);
	assert_true(handoff_starts(m));
	must_be_equal(what);
}

static void
test_start(void **state)
{
	const struct kvmhost *h = m->vm->host;
	struct kvm_sregs s;
	unsigned u;

	(void)state;
	assert_true(m->image->can_start);
	start_xsave("x87 control word", 1, 0);
	start_xsave("ST0", 33, 0);
	start_xsave("MXCSR", 24, 1);
	start_xsave("XMM0", 160, 1);
	start_xsave("XMM15", 415, 1);
	for (u = 2; u < NELEM(h->xcomp); u++)
		if (h->xcomp[u].size > 0)
			start_xsave("upper halves", h->xcomp[u].off, u);
	/* Only where the blob has the ring for it is this its business. */
	assert_int_equal(ioctl(m->vcpu->fd, KVM_GET_SREGS, &s), 0);
	s.ds.selector = s.es.selector = SEL_USS;
	s.fs.base = s.gs.base = 0x1000;
	assert_int_equal(ioctl(m->vcpu->fd, KVM_SET_SREGS, &s), 0);
	must_be_equal("segments");
	/* Other registers than those of the image: the long way */
	m->thread[m->proc.cur].regs.rbx++;
	assert_false(handoff_starts(m));
	m->thread[m->proc.cur].regs.rbx--;
	must_be_equal("registers");
}

static void
set_msr(uint32_t n, uint64_t value)
{
	struct {
		struct kvm_msrs	h;
		struct kvm_msr_entry e[1];
	} x;

	memset(&x, 0, sizeof x);
	x.h.nmsrs = 1;
	x.e[0].index = n;
	x.e[0].data = value;
	assert_int_equal(ioctl(m->vcpu->fd, KVM_SET_MSRS, &x), 1);
}

static void
test_vcpu(void **state)
{
	struct kvm_vcpu_events e, none;
	struct kvm_debugregs d, was;
	struct kvm_xcrs x;
	int fd = m->vcpu->fd;

	(void)state;
	assert_int_equal(ioctl(fd, KVM_GET_DEBUGREGS, &was), 0);
	d = was;
	d.db[0] = 0x1000;
	assert_int_equal(ioctl(fd, KVM_SET_DEBUGREGS, &d), 0);
	must_differ("a debug register", "debug registers");
	assert_int_equal(ioctl(fd, KVM_SET_DEBUGREGS, &was), 0);
	must_be_equal("debug registers");

	set_msr(0xc0000082, 0x1000);		/* LSTAR */
	must_differ("LSTAR", "model specific");
	set_msr(0xc0000082, kern_lstar(m->vm->host));
	set_msr(0xc0000102, 0x7000);		/* KERNEL_GS_BASE */
	must_differ("KERNEL_GS_BASE", "model specific");
	set_msr(0xc0000102, 0);
	must_be_equal("MSRs");

	memset(&none, 0, sizeof none);
	none.flags = KVM_VCPUEVENT_VALID_SHADOW;
	e = none;
	e.exception.injected = 1;
	e.exception.nr = 13;
	e.exception.has_error_code = 1;
	assert_int_equal(ioctl(fd, KVM_SET_VCPU_EVENTS, &e), 0);
	must_differ("an exception", "pending events");
	assert_int_equal(ioctl(fd, KVM_SET_VCPU_EVENTS, &none), 0);
	must_be_equal("events");

	/* The software back end's is not the guest's. */
	if (m->vm->host->pub.entry == TKVM_RING0 && m->vm->host->xcr0 > 3) {
		assert_int_equal(ioctl(fd, KVM_GET_XCRS, &x), 0);
		x.xcrs[0].value = 3;
		assert_int_equal(ioctl(fd, KVM_SET_XCRS, &x), 0);
		must_differ("XCR0", "XCR0");
		x.xcrs[0].value = m->vm->host->xcr0;
		assert_int_equal(ioctl(fd, KVM_SET_XCRS, &x), 0);
		must_be_equal("XCR0");
	}
}

/* ---- what differs by design -------------------------------------------------- */

static void
test_by_design(void **state)
{
	uint32_t gen, pid;

	(void)state;
	if (tkvm_fork_open(fk, NULL, 0, 0, &err) != 0)
		fail_msg("%s", err.text);
	gen = m->proc.generation;
	pid = m->proc.pid;
	assert_int_not_equal(gen, m->image->proc.generation);
	assert_int_not_equal(pid, m->image->proc.pid);
	/* a fork at work is not the image */
	assert_int_not_equal(machine_verify(m, &err), 0);
	if (tkvm_fork_reset(fk, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(m->proc.generation, m->image->proc.generation);
	assert_int_equal(m->proc.pid, m->image->proc.pid);
	must_be_equal("after a request");
}

/* ---- a request that ended in the middle ---------------------------------------- */

/* Kicked at its deadline while KVM was about to deliver a page fault. */
static void
test_kicked_in_fault(void **state)
{
	struct kvm_vcpu_events e;

	(void)state;
	if (tkvm_fork_open(fk, NULL, 0, 0, &err) != 0)
		fail_msg("%s", err.text);
	memset(&e, 0, sizeof e);
	e.exception.injected = 1;
	e.exception.nr = 14;
	e.exception.has_error_code = 1;
	assert_int_equal(ioctl(m->vcpu->fd, KVM_SET_VCPU_EVENTS, &e), 0);
	m->vcpu->interrupted = 1;
	if (tkvm_fork_reset(fk, &err) != 0)
		fail_msg("%s", err.text);
	must_be_equal("after a kick");
}

/* ---- */

static int
start(void **state)
{
	struct tkvm_options *o = tkvm_options_new("oracle");
	const char *dir = getenv("GUESTDIR");
	char path[4096];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/kinds",
	    dir != NULL ? dir : "guest");
	if (o == NULL ||
	    tkvm_options_set(o, "program", path, &err) != 0 ||
	    tkvm_options_set(o, "ephemeral", NULL, &err) != 0 ||
	    tkvm_options_set(o, "verify-reset", NULL, &err) != 0 ||
	    (image = tkvm_boot(o, NULL, &err)) == NULL ||
	    (fk = tkvm_fork_new(image, &err)) == NULL) {
		(void)fprintf(stderr, "%s\n", err.text);
		return (-1);
	}
	tkvm_options_free(&o);
	m = fk->m;
	request();
	request();
	return (0);
}

static int
end(void **state)
{

	(void)state;
	request();
	tkvm_fork_free(&fk);
	tkvm_image_unref(&image);
	return (0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_vcpu),
		cmocka_unit_test(test_by_design),
		cmocka_unit_test(test_kicked_in_fault),
	};

	if (access("/dev/kvm", R_OK | W_OK) != 0)
		return (77);
	return (cmocka_run_group_tests(tests, start, end));
}
