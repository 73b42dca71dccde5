/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * From options to a frozen image: load, run until it waits for connections,
 * warm up, let it settle, freeze.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/addr_rule.h"
#include "conn/http_write.h"
#include "linux/sys_files.h"
#include "conn/exchange.h"
#include "machine/priv.h"

#define NS		1000000000.0
#define PATIENCE	5000000000UL	/* ns */
#define STACK_HEADROOM	(128UL * 1024)
#define HEAP_HEADROOM	(64UL * 1024)
#define BOOT_PID	1

/* ---- images -------------------------------------------------------------------------------- */

void
tkvm_image_ref(struct tkvm_image *img)
{

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	(void)atomic_fetch_add(&img->refs, 1);
}

void
tkvm_image_unref(struct tkvm_image **p)
{
	struct tkvm_image *img;

	TAKE_OBJ_NOTNULL(img, p, IMAGE_MAGIC);
	if (atomic_fetch_sub(&img->refs, 1) > 1)
		return;
	if (img->next != NULL)
		tkvm_image_unref(&img->next);
	if (img->m != NULL)
		machine_free(&img->m);
	if (img->opt != NULL)
		tkvm_options_free(&img->opt);
	(void)pthread_mutex_destroy(&img->mtx);
	free(img->learned);
	FREE_OBJ(img);
}

void
tkvm_image_stats(const struct tkvm_image *img, struct tkvm_image_stats *st)
{

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	*st = img->st;
}

unsigned
tkvm_image_listeners(const struct tkvm_image *img)
{

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	return (img->nlistener);
}

socklen_t
tkvm_image_listener(const struct tkvm_image *img, unsigned n,
    struct sockaddr_storage *sa)
{

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	if (n >= img->nlistener)
		return (0);
	*sa = img->listener[n].sa;
	return (img->listener[n].len);
}

/* ---- a new machine ---------------------------------------------------------------------------- */

static int
proc_init(struct machine *m, struct tkvm_error *err)
{
	const struct tkvm_options *o = m->opt;
	struct proc *p = &m->proc;

	p->pid = p->image_pid = BOOT_PID;
	p->next_tid = BOOT_PID + 1;
	p->ppid = 0;
	p->uid = p->ruid = p->suid = getuid();
	p->gid = p->rgid = p->sgid = getgid();
	p->umask = 022;
	p->dumpable = 1;
	p->nthreads = p->hi_thread = 1;
	(void)snprintf(p->cwd, sizeof p->cwd, "%s",
	    o->cwd != NULL ? o->cwd : "/");
	proc_init_limits(m);
	m->thread[0].state = T_RUN;
	m->thread[0].tid = BOOT_PID;
	m->thread[0].alt_flags = 2;		/* SS_DISABLE */
	m->pend = PEND_USER;
	if (files_init(m) != 0)
		return (err_set(err, TKVM_E_MEMORY,
		    "cannot set up descriptors"));
	return (0);
}

static int
machine_setup(struct machine *m, struct tkvm_error *err)
{
	const struct tkvm_options *o = m->opt;
	const struct kvmhost *host;

	if (kvmhost_get(&host, err) != 0)
		return (-1);
	m->vm = vm_new(host, err);
	if (m->vm == NULL)
		return (-1);
	m->as = as_new_boot(m->vm, (uint64_t)o->max_main_memory << 20, err);
	if (m->as == NULL)
		return (-1);
	m->as->vsz_limit = (uint64_t)o->max_address_space << 20;
	if (kern_install(m, err) != 0)
		return (-1);
	m->vcpu = vcpu_new(m->vm, m->as->base, kern_lstar(host), err);
	if (m->vcpu == NULL)
		return (-1);
	m->as->vcpu = m->vcpu;
	m->wd = wd_new(m->vcpu, err);
	if (m->wd == NULL || proc_init(m, err) != 0)
		return (-1);
	clock_start(m, host_mono());
	m->proc.boot_mono = machine_mono(m);
	if (load_program(m, err) != 0)
		return (-1);
	vvar_update(m);
	return (0);
}

/* ---- until it listens --------------------------------------------------------------------------- */

/* The address of an open socket that listens; its length, 0: it is none. */
static socklen_t
listen_address(const struct machine *m, uint32_t ofd,
    struct sockaddr_storage *sa)
{
	const struct gk_ofd *o = &m->gk->ofd[ofd];
	const struct gk_addr *a;
	unsigned i, len;

	(void)memset(sa, 0, sizeof *sa);
	i = o->u.sock.addr1;
	if (o->kind != GK_LISTENER || i == 0 || i > GK_NADDR)
		return (0);
	a = &m->gk->addr[i - 1];
	len = a->len;
	if (len < sizeof sa->ss_family || len > sizeof a->sa)
		return (0);
	memcpy(sa, a->sa, len);
	return ((socklen_t)len);
}

/* Does guest-listen name this one? */
static int
is_wanted(const struct machine *m, uint32_t ofd)
{
	const char *want = m->opt->guest_listen;
	struct sockaddr_storage ss;
	char text[ADDR_TEXT], *port;
	socklen_t len;

	len = listen_address(m, ofd, &ss);
	if (len == 0 || want == NULL)
		return (len != 0);
	(void)addr_text((struct sockaddr *)&ss, len, text);
	if (ss.ss_family == AF_UNIX)
		return (!strcmp(text, want));
	port = strrchr(text, ':');
	return (port != NULL && !strcmp(port + 1, want));
}

/* The listener (ofd) that a waiting thread waits for, or -1. */
static int
find_waited(struct machine *m)
{
	const struct thread *t;
	struct gk_ctx c;
	unsigned i;
	int l;

	machine_gk_ctx(m, NULL, &c);
	for (i = 0; i < m->proc.hi_thread; i++) {
		t = &m->thread[i];
		if (t->state != T_WAIT || t->futex != 0)
			continue;
		l = gk_waits_listener(&c, t->nr, t->a);
		if (l > 0)
			return (l - 1);
	}
	return (-1);
}

/* The listener that requests go to, once there is one; -1 */
static int
find_listener(struct machine *m)
{
	uint32_t u;
	int l;

	l = find_waited(m);
	if (l < 0 || m->opt->guest_listen == NULL ||
	    is_wanted(m, (uint32_t)l))
		return (l);
	for (u = 0; u < GK_NOFD; u++)
		if (is_wanted(m, u))
			return ((int)u);
	return (-1);
}

/* The reason, with what the program itself said last. */
static int
boot_error(struct machine *m, struct tkvm_error *err, const char *when)
{

	if (err == NULL)
		return (-1);
	if (err->code == TKVM_E_TIMEOUT || err->code == TKVM_E_EXIT ||
	    err->code == TKVM_E_CRASH)
		err->code = TKVM_E_BOOT;
	if (m->last_line[0] != '\0')
		(void)snprintf(err->text + strlen(err->text),
		    sizeof err->text - strlen(err->text),
		    "%s%s; its last words: %s", *when != '\0' ? " " : "",
		    when, m->last_line);
	else if (*when != '\0')
		(void)snprintf(err->text + strlen(err->text),
		    sizeof err->text - strlen(err->text), " %s", when);
	if (m->opt->guest_listen != NULL && find_waited(m) >= 0)
		(void)snprintf(err->text + strlen(err->text),
		    sizeof err->text - strlen(err->text), "; it listens, but "
		    "not on %s (guest-listen)", m->opt->guest_listen);
	if (m->refused_by != NULL)
		(void)snprintf(err->text + strlen(err->text),
		    sizeof err->text - strlen(err->text), "; it was not "
		    "allowed to use %s (%s=%s would allow it)", m->refused,
		    m->refused_by, m->refused);
	if (m->no_process[0] != '\0')
		(void)snprintf(err->text + strlen(err->text),
		    sizeof err->text - strlen(err->text), "; it called %s, "
		    "but a guest is one process and cannot start another "
		    "(is there an option to run it without workers?)",
		    m->no_process);
	return (-1);
}

/*
 * Servers with processes of their own sleep, to try again, where they cannot
 * have one (Apache does so for 10 s).  Nothing but a timer that is far off will
 * wake this one: no need to wait for max-boot-time.
 */
static uint64_t
patience(struct machine *m)
{
	uint64_t now = machine_mono(m), wake = machine_next_wake(m);

	if (m->stage != M_BOOT || m->no_process[0] == '\0' ||
	    strncmp(m->no_process, "wait", 4) == 0 || m->nwaitfd > 0 ||
	    wake < now + PATIENCE)
		return (~0UL);
	return (host_mono() + PATIENCE);
}

/* Run until every thread waits, one of them for connections. */
int
machine_until_ready(struct machine *m, struct tkvm_error *err,
    const char *when)
{
	uint64_t late = ~0UL, until;
	int i, l;

	/* Something may go on for ever while a connection is open. */
	if (m->conn >= 0)
		late = host_mono() + PATIENCE;
	for (;;) {
		if (machine_run(m, 0) == TKVM_RUN_GONE) {
			if (err != NULL)
				*err = m->err;
			return (boot_error(m, err, when));
		}
		l = find_listener(m);
		/* An open connection stays that of the one that it came to. */
		if (l >= 0 && m->conn < 0)
			m->listener = l;
		if (l >= 0 || warm_conn_waits(m))
			return (0);
		if (err != NULL)
			err->code = TKVM_OK;
		until = patience(m);
		i = machine_wait(m, until < late ? until : late, err);
		if (i > 0 && host_mono() < late)
			continue;
		if (m->conn >= 0 && m->err.code == TKVM_OK &&
		    (err == NULL || err->code == TKVM_OK))
			return (0);	/* warm_conn_check() looks at it */
		if (i == 0 && err != NULL)
			(void)err_set(err, TKVM_E_BOOT, "tenant \"%s\": the "
			    "program sleeps", m->opt->tenant);
		if (err != NULL && err->code == TKVM_OK)
			(void)err_set(err, TKVM_E_BOOT, "tenant \"%s\": the "
			    "program waits for something that cannot happen",
			    m->opt->tenant);
		return (boot_error(m, err, when));
	}
}

/* ---- warm-up ---------------------------------------------------------------------------------------- */

static int
warm_head(const struct tkvm_options *o, char *buf, size_t size,
    struct tkvm_error *err)
{
	char method[32] = "GET", target[1024] = "/", host[256] = "localhost";
	struct http_write w;

	if (o->warmup_request != NULL)
		(void)sscanf(o->warmup_request, "%31s %1023s %255s", method,
		    target, host);
	http_write_init(&w, buf, size);
	http_write_request(&w, method, target, host);
	http_write_header(&w, "User-Agent", "tkvm-warmup");
	http_write_header(&w, "Accept", "*/*");
	return ((int)http_write_end(&w, err));
}

static int
warm_once(struct tkvm_fork *f, const char *head, size_t len,
    struct tkvm_error *err)
{
	struct tkvm_exchange *x;
	struct tkvm_response resp;
	char buf[4096];
	int i;

	if (tkvm_fork_open(f, NULL, 0, 0, err) != 0)
		return (-1);
	x = tkvm_exchange_new(f, !strncmp(head, "HEAD ", 5), err);
	if (x == NULL)
		return (-1);
	i = tkvm_exchange_send(x, head, len, err);
	if (i >= 0)
		i = tkvm_exchange_head(x, 0, &resp, err);
	while (i >= 0) {
		i = (int)tkvm_exchange_body(x, buf, sizeof buf, 0, err);
		if (i == 0)
			break;
	}
	tkvm_exchange_free(&x);
	tkvm_fork_close(f);
	return (i);
}

static int
warm_up(struct machine *m, struct tkvm_error *err)
{
	struct tkvm_fork f;
	char head[2048];
	unsigned u;
	int warm_len, n;

	if (m->opt->warmup == 0)
		return (0);
	INIT_OBJ(&f, FORK_MAGIC);
	f.m = m;
	m->stage = M_WARM;
	warm_len = warm_head(m->opt, head, sizeof head, err);
	if (warm_len < 0)
		return (-1);
	for (u = 0, n = warm_len; n >= 0 && u < m->opt->warmup; u++) {
		if (warm_once(&f, head, (size_t)warm_len, err) < 0) {
			err_prefix(err, "warm-up request %u of %u", u + 1,
			    m->opt->warmup);
			n = boot_error(m, err, "");
		} else if (machine_until_ready(m, err, "during warm-up") != 0)
			n = -1;
	}
	exchange_spare_free(&f.spare);
	return (n < 0 ? -1 : 0);
}

/* ---- freeze ------------------------------------------------------------------------------------------ */

/* Frames that requests are likely to need, so that forks need not add them. */
static void
headroom(struct machine *m)
{
	const struct vma *v;
	uint64_t sp, lo;
	unsigned i;

	for (i = 0; i < m->proc.hi_thread; i++) {
		if (m->thread[i].state == T_FREE)
			continue;
		sp = m->thread[i].regs.rsp;
		v = as_find(m->as, sp);
		if (v == NULL || !(v->prot & AS_W))
			continue;
		lo = sp - v->start > STACK_HEADROOM ? sp - STACK_HEADROOM :
		    v->start;
		(void)as_populate(m->as, PAGE_DOWN(lo), sp - PAGE_DOWN(lo));
	}
	v = m->as->brk > m->as->brk_start ?
	    as_find(m->as, m->as->brk - 1) : NULL;
	if (v != NULL) {
		lo = v->end - v->start > HEAP_HEADROOM ?
		    v->end - HEAP_HEADROOM : v->start;
		(void)as_populate(m->as, lo, v->end - lo);
	}
}

/* Of several with one address (SO_REUSEPORT) the first is enough. */
static void
add_listener(struct tkvm_image *img, uint32_t ofd)
{
	struct sockaddr_storage ss;
	unsigned u, n = img->nlistener;
	socklen_t len;

	len = listen_address(img->m, ofd, &ss);
	for (u = 0; u < n; u++)
		if (img->listener[u].len == len &&
		    !memcmp(&img->listener[u].sa, &ss, len))
			return;
	if (n == TKVM_LISTENERS)
		return;
	img->listener[n].ofd = ofd;
	img->listener[n].len = len;
	img->listener[n].sa = ss;
	img->nlistener++;
}

/* The one that it waits for comes first. */
static void
take_listeners(struct tkvm_image *img)
{
	uint32_t u;

	add_listener(img, (uint32_t)img->m->listener);
	for (u = 0; u < GK_NOFD; u++)
		if (is_wanted(img->m, u))
			add_listener(img, u);
}

/* Code that takes another process id for a fork(2).  libev makes its epoll set
 * anew, upon which gevent drops what its threads are to do; it is a library, or
 * part of gevent or of Perl's EV. */
static const char *const forgets[GK_NFROZEN] = {
	"/_asyncio.cpython-3", "/libev.so.", "/gevent/libev/corecext.",
	"/auto/EV/EV.so"
};

/* See do_getpid() in the blob. */
static void
keep_pid(struct machine *m)
{
	struct gk_vvar *vv = (void *)(m->as->base + GPA_VVAR);
	const struct vma *v;
	const char *name;
	unsigned i;

	for (v = as_next(m->as, 0); v != NULL; v = as_next(m->as, v->end)) {
		name = as_vma_name(m->as, v);
		if (!(v->prot & AS_X) || name == NULL)
			continue;
		for (i = 0; i < GK_NFROZEN; i++)
			if (strstr(name, forgets[i]) != NULL) {
				vv->frozen[i].lo = v->start;
				vv->frozen[i].hi = v->end;
				vv->frozen_pid = m->proc.pid;
			}
	}
}

/* Where the program has mapped /dev/sysgenid */
static void
find_generation(struct tkvm_image *img)
{
	struct as *as = img->m->as;
	const struct vma *v;
	const char *name;

	for (v = as_next(as, 0); v != NULL && img->ngen_at < MAX_GEN_AT;
	    v = as_next(as, v->end)) {
		name = as_vma_name(as, v);
		if (name != NULL && v->off == 0 && (v->flags & VMA_NEVER_W) &&
		    !strcmp(name, GENERATION_DEV))
			img->gen_at[img->ngen_at++] = v->start;
	}
}

static int
freeze(struct tkvm_image *img, struct tkvm_error *err)
{
	struct machine *m = img->m;
	unsigned u;

	headroom(m);
	keep_pid(m);
	files_freeze(m);
	if (machine_park(m) != 0)
		return (err_set(err, TKVM_E_KVM, "KVM_GET_XSAVE failed"));
	handoff_start(m);
	take_listeners(img);
	find_generation(img);
	img->mono = machine_mono(m);
	img->st.boot_exits = m->st.exits;
	img->st.threads = m->proc.nthreads;
	img->st.warmups = m->opt->warmup;
	img->st.ram_bytes = as_rss(m->as);
	handoff_give(m);
	/* No two forks may have what the boot has left over. */
	m->gk->nrnd = 0;
	explicit_bzero(m->gk->rnd, sizeof m->gk->rnd);
	for (u = 0; u < m->proc.hi_thread; u++)
		if (m->thread[u].state != T_FREE && u != m->proc.cur &&
		    machine_parked(m, u) == NULL)
			return (err_set(err, TKVM_E_INTERNAL,
			    "thread %u has no vector state", u));
	verify_freeze(m);
	m->stage = M_FROZEN;
	m->nwaitfd = 0;
	m->cancel = NULL;
	wd_free(&m->wd);
	/* MADV_WIPEONFORK unmaps, and flushes the vCPU: still there */
	if (as_freeze(m->as, err) != 0)
		return (-1);
	vcpu_free(&m->vcpu);
	vm_free(&m->vm);
	m->gk = (void *)(m->as->base + GPA_GK);
	m->mfs = (void *)(m->as->base + GPA_MFS);
	img->st.slot_bytes = m->as->image_end;
	img->born = host_mono();
	return (0);
}

struct tkvm_image *
tkvm_boot(const struct tkvm_options *opt, const volatile int *cancel,
    struct tkvm_error *err)
{
	struct tkvm_error scratch;
	struct tkvm_image *img;
	uint64_t t0 = host_mono();
	struct machine *m;

	CHECK_OBJ_NOTNULL(opt, OPTIONS_MAGIC);
	if (err == NULL)
		err = &scratch;
	err->code = TKVM_OK;
	err->text[0] = '\0';
	ALLOC_OBJ(img, IMAGE_MAGIC);
	if (img == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "out of memory");
		return (NULL);
	}
	atomic_init(&img->refs, 1);
	AZ(pthread_mutex_init(&img->mtx, NULL));
	img->opt = tkvm_options_dup(opt);
	img->m = m = img->opt != NULL ? machine_new(img->opt) : NULL;
	if (m == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "out of memory");
		tkvm_image_unref(&img);
		return (NULL);
	}
	m->cancel = cancel;
	m->deadline = t0 + (uint64_t)(opt->max_boot_time * NS);
	if (machine_setup(m, err) == 0 &&
	    machine_until_ready(m, err, "before it listened") == 0 &&
	    warm_up(m, err) == 0 && warm_conn_open(m, err) == 0 &&
	    machine_settle(m, err) == 0 && freeze(img, err) == 0) {
		img->st.boot_s = (double)(host_mono() - t0) / NS;
		return (img);
	}
	err_tenant(err, opt->tenant);
	tkvm_image_unref(&img);
	return (NULL);
}

int
tkvm_run_to_exit(const struct tkvm_options *opt, int *status,
    struct tkvm_error *err)
{
	struct machine *m;
	int r = -1;

	m = machine_new(opt);
	if (m == NULL)
		return (err_set(err, TKVM_E_MEMORY, "out of memory"));
	m->stdio_host = 1;
	m->deadline = host_mono() + (uint64_t)(opt->max_boot_time * NS);
	if (machine_setup(m, err) == 0) {
		while (machine_run(m, 0) == TKVM_RUN_IDLE &&
		    machine_wait(m, ~0UL, err) == 1)
			continue;
		if (m->err.code == TKVM_OK)
			machine_fail(m, TKVM_E_STUCK,
			    "the program waits for something that cannot "
			    "happen");
		*err = m->err;
		if (m->proc.exited) {
			*status = m->proc.exit_status;
			r = 0;
		}
	}
	machine_free(&m);
	return (r);
}
