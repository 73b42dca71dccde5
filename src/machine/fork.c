/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Forks: making them from an image, serving one connection, putting them back.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "conn/exchange.h"
#include "machine/priv.h"

#define NS		1000000000.0
#define LEARN_MAX	4096	/* pages that new forks copy ahead */
#define KEEP_RUN	2000000UL	/* ns that a program winds up in */
#define KEEP_IDLE	1000000000UL	/* far below servers' time-outs */
#define WAIT_SLICE	(20 * 1000000UL)	/* how late a cancel may be seen */

const struct tkvm_options *
fork_options(const struct tkvm_fork *f)
{

	return (f->m->opt);
}

struct tkvm_exchange **
fork_spare(struct tkvm_fork *f)
{

	return (&f->spare);
}

/* ---- life --------------------------------------------------------------------------------- */

static int
fork_machine(struct tkvm_fork *f, struct tkvm_image *img,
    const struct kvmhost *host, struct tkvm_error *err)
{
	const struct machine *im = img->m;
	const struct tkvm_options *o = img->opt;
	struct machine *m;
	unsigned u;

	f->m = m = machine_new(o);
	if (m == NULL)
		return (err_set(err, TKVM_E_MEMORY, "out of memory"));
	m->image = im;
	m->vm = vm_new(host, err);
	if (m->vm == NULL)
		return (-1);
	m->as = as_fork(im->as, m->vm, (uint64_t)o->max_request_memory << 20,
	    (uint64_t)o->limit_request_memory << 20, err);
	if (m->as == NULL)
		return (-1);
	m->gk = (void *)(m->as->base + GPA_GK);
	m->mfs = (void *)(m->as->base + GPA_MFS);
	as_file_pager(m->as, mfs_pager, m);
	m->vcpu = vcpu_new(m->vm, m->as->base, kern_lstar(host), err);
	if (m->vcpu == NULL)
		return (-1);
	m->as->vcpu = m->vcpu;
	if (o->verify_reset && vcpu_baseline(m->vcpu) != 0)
		return (err_set(err, TKVM_E_KVM, "verify-reset: cannot read a "
		    "virtual CPU: %s", strerror(errno)));
	m->wd = wd_new(m->vcpu, err);
	if (m->wd == NULL)
		return (-1);
	m->fs = im->fs;
	m->vdso = im->vdso;
	m->listener = im->listener;
	for (u = 0; u < im->hi_hfile; u++) {
		m->hfile[u] = im->hfile[u];
		if (m->hfile[u] != NULL)
			hfile_ref(m->hfile[u]);
	}
	m->hi_hfile = im->hi_hfile;
	(void)pthread_mutex_lock(&img->mtx);
	as_precopy(m->as, img->learned, img->nlearned);
	(void)pthread_mutex_unlock(&img->mtx);
	m->rest_changed = m->sig_changed = 1;	/* none is there yet */
	if (machine_reset(m, err) != 0)
		return (-1);
	/* Counting starts with the first request. */
	memset(&m->st, 0, sizeof m->st);
	m->as->pages_reset = 0;
	return (0);
}

/* ---- where it runs --------------------------------------------------------------------------- */

#define LONG_NS		2000000	/* requests that take longer have a runner */
#define SHORT_NS	1000000	/* ... until they take less again */

static int
init_runner(struct tkvm_fork *f, const struct tkvm_options *o,
    const struct kvmhost *h, struct tkvm_error *err)
{
	const char *mode = o->run_mode == NULL ? "auto" : o->run_mode;
	int is_auto = strcmp(mode, "auto") == 0;

	f->adapts = is_auto && !h->pub.slow_migration;
	if (strcmp(mode, "runner") != 0 && !(is_auto && !f->adapts))
		return (0);
	f->runner = runner_new(err);
	f->on_runner = f->runner != NULL;
	return (f->on_runner ? 0 : -1);
}

/*
 * Requests that take long get a thread of their own.  Two changes of threads
 * are nothing to them, and the host's scheduler sees one thread that is always
 * busy, and keeps it away from others'.  On threads of a worker pool the same
 * work is everywhere: what wakes up on such a thread next is put where that ran
 * last, and waits there for milliseconds.
 */
void
fork_place(struct tkvm_fork *f)
{
	struct tkvm_error err;
	uint64_t ran;

	ran = f->m->st.run_ns - f->ran;
	f->ran += ran;
	if (!f->adapts)
		return;
	f->mean_ns = (3 * f->mean_ns + ran) / 4;
	if (f->mean_ns < SHORT_NS)
		f->on_runner = 0;
	if (f->mean_ns <= LONG_NS || f->on_runner)
		return;
	if (f->runner == NULL)
		f->runner = runner_new(&err);
	f->on_runner = f->runner != NULL;
	f->has_last = 0;
}

/* ---------------------------------------------------------------------------------------------- */

struct tkvm_fork *
tkvm_fork_new(struct tkvm_image *img, struct tkvm_error *err)
{
	const struct kvmhost *host;
	struct tkvm_fork *f;

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	if (kvmhost_get(&host, err) != 0)
		return (NULL);
	ALLOC_OBJ(f, FORK_MAGIC);
	if (f == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "tenant \"%s\": out of "
		    "memory", img->opt->tenant);
		return (NULL);
	}
	if (fork_machine(f, img, host, err) == 0 &&
	    init_runner(f, img->opt, host, err) == 0) {
		f->image = img;
		tkvm_image_ref(img);
		return (f);
	}
	err_tenant(err, img->opt->tenant);
	tkvm_fork_free(&f);
	return (NULL);
}

void
tkvm_fork_free(struct tkvm_fork **pf)
{
	struct tkvm_fork *f;

	TAKE_OBJ_NOTNULL(f, pf, FORK_MAGIC);
	exchange_spare_free(&f->spare);
	if (f->runner != NULL)
		runner_free(&f->runner);
	if (f->m != NULL) {
		f->m->fs = NULL;	/* the image's */
		machine_free(&f->m);
	}
	if (f->image != NULL)
		tkvm_image_unref(&f->image);
	FREE_OBJ(f);
}

void
tkvm_fork_stats(const struct tkvm_fork *f, struct tkvm_fork_stats *st)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	*st = f->m->st;
	st->pages_reset = f->m->as->pages_reset;
	st->remaps = f->m->as->remaps;
	st->private_pages = f->m->as->npriv;
}

void
tkvm_fork_log(struct tkvm_fork *f, tkvm_log_f *log, void *priv)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	f->m->log = log != NULL ? log : f->m->opt->log;
	f->m->log_priv = log != NULL ? priv : f->m->opt->log_priv;
}

/* ---- a request ------------------------------------------------------------------------------ */

#define RND_REQUEST	32	/* more than freshen() takes, without ... */

/* ... what the program has for its own: none, as long as it does not ask */
static unsigned
rnd_needed(const struct tkvm_fork *f)
{

	return (f->m->draws ? RND_REQUEST + GK_NRND : RND_REQUEST);
}

/* Not on the way of a request: after a reset. */
static void
fill_random(struct tkvm_fork *f)
{

	ssize_t n;

	while (f->rnd_left < rnd_needed(f)) {
		/*
		 * Blocks only before the host's pool is seeded, at its boot.
		 * More than 256 bytes a signal may cut short.
		 */
		n = getrandom(f->rnd, sizeof f->rnd, 0);
		if (n > 0)
			f->rnd_left = (unsigned)n;
	}
}

static void
fork_random(struct tkvm_fork *f, void *to, unsigned n)
{

	assert(n <= f->rnd_left);
	f->rnd_left -= n;
	memcpy(to, f->rnd + f->rnd_left, n);
	memset(f->rnd + f->rnd_left, 0, n);
}

/* What must differ between two requests: process id, AT_RANDOM, generation. */
static void
freshen(struct tkvm_fork *f)
{
	struct machine *m = f->m;
	struct gk_vvar *v;
	uint64_t rnd[2];
	uint32_t id;
	unsigned u;

	fork_random(f, &id, sizeof id);
	fork_random(f, rnd, sizeof rnd);
	do
		m->proc.generation = ++f->image->generation;
	while (m->proc.generation == 0);	/* the image's */
	m->proc.pid = 1000 + id % 4000000;
	m->thread[0].tid = (int32_t)m->proc.pid;
	(void)as_write(m->as, m->proc.at_random, rnd, sizeof rnd);
	clock_start(m, f->image->mono);
	if (m->draws) {
		fork_random(f, m->gk->rnd, GK_NRND);
		m->gk->nrnd = GK_NRND;
	}
	v = (void *)(m->as->base + GPA_VVAR);
	v->generation = m->proc.generation;
	for (u = 0; u < f->image->ngen_at; u++)
		(void)as_poke(m->as, f->image->gen_at[u],
		    &m->proc.generation, sizeof m->proc.generation);
	vvar_update(m);
}

/* The timer that a program was frozen before: see settle.c */
static int
first_tick(struct tkvm_fork *f, struct tkvm_error *err)
{
	enum tkvm_run r;

	if (!f->m->image->tick_first)
		return (0);
	r = fork_run(f, 0, err);
	f->m->err.code = TKVM_OK;
	return (r == TKVM_RUN_GONE ? -1 : 0);
}

void
tkvm_fork_client(struct tkvm_fork *f, uint64_t client)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	f->next_client = client;
}

/*
 * The last connection was kept, for this client?  Addresses would not do:
 * those of Unix sockets have none, and ports are used again.
 */
static int
same_conn(struct tkvm_fork *f)
{
	const uint64_t since = f->kept, was = f->client;

	f->kept = 0;
	f->client = f->next_client;
	f->next_client = 0;
	return (since != 0 && f->m->conn >= 0 && was == f->client &&
	    host_mono() - since < KEEP_IDLE);
}

void
tkvm_fork_listener(struct tkvm_fork *f, unsigned n)
{
	int ofd;

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	if (f->image == NULL || n >= f->image->nlistener)
		return;
	ofd = (int)f->image->listener[n].ofd;
	if (ofd != f->m->listener)
		f->kept = 0;	/* a connection to another */
	f->m->listener = ofd;
}

/* For the client's side, where nobody waits: the clocks would cost most. */
static void
conn_ctx(struct machine *m, struct gk_ctx *c)
{

	memset(c, 0, sizeof *c);
	c->gk = m->gk;
	c->priv = m;
	c->host_release = files_host_release;
	c->mark = machine_gk_mark;
}

static int
new_conn(struct tkvm_fork *f, const struct sockaddr *peer, socklen_t peerlen,
    struct tkvm_error *err)
{
	struct machine *m = f->m;
	struct gk_ctx c;
	int i;

	m->conn_id = ++f->conn_seq;
	conn_ctx(m, &c);
	i = gk_conn_open(&c, (uint32_t)m->listener, m->conn_id, peer, peerlen);
	if (i < 0)
		return (err_set(err, TKVM_E_CLOSED, "tenant \"%s\": its "
		    "listener takes no connection: %s", m->opt->tenant,
		    strerror(-i)));
	m->conn = i;
	return (0);
}

/* The connection that was open when the program was frozen: warmconn.c */
static int
warm_conn(struct tkvm_fork *f, const struct sockaddr *peer, socklen_t peerlen)
{
	struct machine *m = f->m;
	struct gk_ctx c;

	if (m->listener == m->image->listener &&
	    (!m->image->tick_first || warm_conn_waits(m))) {
		conn_ctx(m, &c);
		gk_conn_peer(&c, (uint32_t)m->conn, m->conn_id, peer, peerlen);
		return (1);
	}
	m->conn = -1;		/* the program's, still */
	return (0);
}

int
tkvm_fork_open(struct tkvm_fork *f, const struct sockaddr *peer,
    socklen_t peerlen, double deadline, struct tkvm_error *err)
{
	struct machine *m;
	int fresh, same;
	double now;

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	m = f->m;
	same = same_conn(f);
	fresh = f->image != NULL && !f->dirty;
	if (m->conn >= 0 && !same && !fresh)
		tkvm_fork_close(f);
	if (f->image != NULL) {
		if (fresh) {
			fill_random(f);
			freshen(f);
		}
		m->stage = M_SERVE;
		/* it has just been looked at */
		now = (double)(fresh ? m->mono_off + f->image->mono :
		    host_mono()) / NS;
		m->time_limit = deadline > 0 ? deadline - now :
		    m->opt->max_request_time;
		m->deadline = (uint64_t)((now + m->time_limit) * NS);
	}
	f->dirty = 1;
	m->limit = ~0UL;
	m->err.code = TKVM_OK;
	m->log_bytes = 0;
	m->limited = 0;
	m->cpu_ns = 0;
	if (fresh && first_tick(f, err) != 0)
		return (-1);
	if (fresh && m->conn >= 0)
		same = warm_conn(f, peer, peerlen);
	if (!same && new_conn(f, peer, peerlen, err) != 0)
		return (-1);
	m->st.requests++;
	return (0);
}

size_t
tkvm_fork_send(struct tkvm_fork *f, const void *p, size_t n)
{
	struct gk_ctx c;

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	if (f->m->conn < 0)
		return (0);
	conn_ctx(f->m, &c);
	return (gk_conn_put(&c, (uint32_t)f->m->conn, f->m->conn_id, p, n));
}

void
tkvm_fork_send_eof(struct tkvm_fork *f)
{
	struct gk_ctx c;

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	if (f->m->conn < 0)
		return;
	conn_ctx(f->m, &c);
	gk_conn_put_eof(&c, (uint32_t)f->m->conn, f->m->conn_id);
}

size_t
tkvm_fork_recv(struct tkvm_fork *f, void *p, size_t n)
{
	struct gk_ctx c;

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	if (f->m->conn < 0)
		return (0);
	conn_ctx(f->m, &c);
	return (gk_conn_get(&c, (uint32_t)f->m->conn, f->m->conn_id, p, n));
}

void
tkvm_fork_close(struct tkvm_fork *f)
{
	struct gk_conn_state s;
	struct gk_ctx c;

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	if (f->m->conn < 0)
		return;
	conn_ctx(f->m, &c);
	/* A client that has read everything ends in good order. */
	gk_conn_state(&c, (uint32_t)f->m->conn, f->m->conn_id, &s);
	if (s.out == 0)
		gk_conn_put_eof(&c, (uint32_t)f->m->conn, f->m->conn_id);
	gk_conn_drop(&c, (uint32_t)f->m->conn, f->m->conn_id);
	f->m->conn = -1;
}

void
tkvm_fork_state(struct tkvm_fork *f, struct tkvm_fork_state *st)
{
	struct gk_conn_state s;
	struct gk_ctx c;

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	memset(st, 0, sizeof *st);
	if (f->m->image != NULL && f->m->no_process[0] != '\0')
		st->no_process = f->m->no_process;
	if (f->m->conn < 0) {
		st->closed = 1;
		return;
	}
	conn_ctx(f->m, &c);
	gk_conn_state(&c, (uint32_t)f->m->conn, f->m->conn_id, &s);
	st->accepted = s.accepted;
	st->closed = s.gone || s.closed || s.wr_shut;
	st->in = s.in;
	st->in_space = s.in_space;
	st->out = s.out;
}

/* ---- running --------------------------------------------------------------------------------- */

struct running {
	struct machine	*m;
	int		want_output;
	enum tkvm_run	r;
};

static void
run_it(void *priv)
{
	struct running *x = priv;

	x->r = machine_run(x->m, x->want_output);
}

enum tkvm_run
fork_run(struct tkvm_fork *f, int want_output, struct tkvm_error *err)
{
	struct running x = { f->m, want_output, TKVM_RUN_GONE };

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	if (f->on_runner)
		runner_call(f->runner, run_it, &x);
	else {
		f->last = pthread_self();
		f->has_last = 1;
		run_it(&x);
	}
	if (x.r == TKVM_RUN_GONE && err != NULL)
		*err = f->m->err;
	return (x.r);
}

enum tkvm_run
tkvm_fork_run(struct tkvm_fork *f, struct tkvm_error *err)
{

	return (fork_run(f, 1, err));
}

/* What it does after an answer is done before the next request comes. */
void
tkvm_fork_keep(struct tkvm_fork *f)
{
	struct tkvm_fork_state st;

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	if (f->m->conn < 0)
		return;
	if (f->client == 0) {
		tkvm_fork_close(f);
		return;
	}
	f->m->limit = host_mono() + KEEP_RUN;
	if (fork_run(f, 1, NULL) == TKVM_RUN_IDLE) {
		tkvm_fork_state(f, &st);
		if (!st.closed && st.in == 0 && st.out == 0) {
			f->kept = host_mono();
			return;
		}
	}
	tkvm_fork_close(f);
}

void
tkvm_fork_limit(struct tkvm_fork *f, double until)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	f->m->limit = until > 0 ? (uint64_t)(until * NS) : ~0UL;
}

/*
 * Host descriptors that became ready: an edge for EPOLLET.  What was ready
 * before is not waited for, see files_host_poll().
 */
static void
host_news(struct machine *m)
{
	const struct hfile *hf;
	uint32_t idx, o, ev;
	unsigned u;

	for (u = 0; u < m->nwaitfd; u++) {
		if (m->waitfd[u].revents == 0)
			continue;
		ev = (uint32_t)m->waitfd[u].revents & (POLLIN | POLLOUT);
		if (m->waitfd[u].revents & ~(POLLIN | POLLOUT))
			ev = POLLIN | POLLOUT;
		for (o = 0; o < GK_NOFD; o++) {
			if (m->gk->ofd[o].kind != GK_HOST)
				continue;
			idx = m->gk->ofd[o].u.host.idx;
			hf = idx < MAX_HFILE ? m->hfile[idx] : NULL;
			if (hf != NULL && hf->fd == m->waitfd[u].fd)
				gk_ofd_event(m->gk, o, ev);
		}
	}
}

/* Sleep until a guest timer, a host descriptor, or `until` (host ns). */
int
machine_wait(struct machine *m, uint64_t until, struct tkvm_error *err)
{
	uint64_t now, guest, wake, end;
	struct timespec ts;
	int i;

	wake = machine_next_wake(m);
	if (wake == ~0UL && m->nwaitfd == 0)
		return (-1);
	for (;;) {
		now = host_mono();
		guest = machine_mono(m);
		if (guest >= wake)
			return (1);
		if (m->cancel != NULL && *m->cancel)
			return (err_set(err, TKVM_E_BOOT, "cancelled"));
		if (now >= m->deadline) {
			if (m->stage == M_SERVE)
				machine_too_long(m);
			else
				machine_fail(m, TKVM_E_TIMEOUT, "it was not "
				    "ready after max-boot-time (%g s)",
				    m->opt->max_boot_time);
			if (err != NULL)
				*err = m->err;
			return (-1);
		}
		if (now >= until)
			return (0);
		end = wake == ~0UL ? ~0UL : now + (wake - guest);
		if (until < end)
			end = until;
		if (m->deadline < end)
			end = m->deadline;
		if (m->cancel != NULL && now + WAIT_SLICE < end)
			end = now + WAIT_SLICE;
		ts.tv_sec = (time_t)((end - now) / 1000000000UL);
		ts.tv_nsec = (long)((end - now) % 1000000000UL);
		i = ppoll(m->waitfd, m->nwaitfd, &ts, NULL);
		if (i > 0) {
			host_news(m);
			return (1);
		}
	}
}

int
tkvm_fork_wait(struct tkvm_fork *f, double until, struct tkvm_error *err)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	return (machine_wait(f->m, until > 0 ? (uint64_t)(until * NS) : ~0UL,
	    err));
}

/* ---- reset ------------------------------------------------------------------------------------ */

/*
 * Tell forks to come what requests write, when this one has learned more, or
 * has just forgotten what was written once.
 */
static void
learn(struct tkvm_fork *f)
{
	struct tkvm_image *img = f->image;
	const struct as *as = f->m->as;
	uint32_t *p, *old;

	/* a look without the lock: right enough, and taken again below */
	if (as->npriv > LEARN_MAX || (!as->relearnt &&
	    as->npriv <= __atomic_load_n(&img->nlearned, __ATOMIC_RELAXED)))
		return;
	p = malloc(as->npriv * sizeof *p);
	if (p == NULL)
		return;
	memcpy(p, as->plist, as->npriv * sizeof *p);
	(void)pthread_mutex_lock(&img->mtx);
	if (as->relearnt || as->npriv > img->nlearned) {
		old = img->learned;
		img->learned = p;
		__atomic_store_n(&img->nlearned, as->npriv, __ATOMIC_RELAXED);
		p = old;
	}
	(void)pthread_mutex_unlock(&img->mtx);
	free(p);
}

int
tkvm_fork_reset(struct tkvm_fork *f, struct tkvm_error *err)
{

	CHECK_OBJ_NOTNULL(f, FORK_MAGIC);
	AN(f->image);
	if (!f->dirty)
		return (0);	/* never twice */
	if (machine_reset(f->m, err) != 0)
		return (-1);
	f->dirty = 0;
	fill_random(f);
	learn(f);
	if (f->m->opt->verify_reset)
		return (machine_verify(f->m, err));
	return (0);
}
