/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A tenant's forks, handed out first come first served.  When their image has
 * become too old they are replaced one by one by forks of a new one.
 *
 * Creating and destroying forks can wait in the kernel, so one helper thread
 * per pool does both; the request path takes the pool's lock twice and holds
 * it for a few pointers.
 *
 * A fork whose answer is on its way to a client can be parked: it is reset by
 * the thread that has delivered the answer, after that, or by somebody who
 * needs a fork earlier.  So a slow client holds none.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/priv.h"

#define RETRY_S		1	/* after a fork could not be made */
#define RENEW_RETRY	1.0	/* s; after a boot that failed, doubled ... */
#define RENEW_RETRY_MAX	60.0	/* ... up to here */

struct waiter {
	pthread_cond_t	cond;
	struct tkvm_fork *fork;
	struct waiter	*next;
};

struct tkvm_pool {
	unsigned	magic;
#define POOL_MAGIC	0x504f4f4c
	struct tkvm_options *opt;	/* those of all its images */
	struct tkvm_image *image;	/* of the forks to come */
	pthread_mutex_t	mtx;
	pthread_cond_t	work;		/* for the helper */
	pthread_cond_t	idle;		/* nothing is out any more */
	pthread_t	helper;
	int		stop;
	pthread_t	renewer;	/* with image-max-age */
	int		has_renewer;
	pthread_cond_t	age;		/* wakes it; CLOCK_MONOTONIC */
	volatile int	cancel;		/* its boot */
	tkvm_renewed_f	*renewed;
	void		*renewed_priv;
	struct tkvm_fork *ready;	/* most recently used first */
	struct tkvm_fork *parked;	/* not reset yet; they count as busy */
	uint64_t	ticket;		/* the last one that was parked */
	struct tkvm_fork *broken;	/* to be destroyed */
	unsigned	nbroken;
	struct waiter	*first, **last;	/* the queue */
	unsigned	want;
	struct tkvm_pool_stats st;
};

/* ---- the helper -------------------------------------------------------------------------- */

/* With the lock: it is the helper's now, which destroys it. */
static void
leave_out(struct tkvm_pool *p, struct tkvm_fork *f)
{

	f->next = p->broken;
	p->broken = f;
	p->nbroken++;
}

/* With the lock: those that serve, or will when they are given back. */
static unsigned
in_service(const struct tkvm_pool *p)
{

	return (p->st.forks - p->nbroken);
}

/* Called with the lock: give a ready fork to who waits longest, or keep it. */
static void
offer(struct tkvm_pool *p, struct tkvm_fork *f)
{
	struct waiter *w = p->first;

	if (w == NULL) {
		f->next = p->ready;
		p->ready = f;
		return;
	}
	p->first = w->next;
	if (p->first == NULL)
		p->last = &p->first;
	p->st.queue--;
	p->st.busy++;		/* it is out from now on */
	w->fork = f;
	(void)pthread_cond_signal(&w->cond);
}

/* With the lock: the sum over all forks follows this one. */
static void
tell_stats(struct tkvm_pool *p, struct tkvm_fork *f)
{
	struct tkvm_fork_stats now, *sum = &p->st.sum, *was = &f->told;

	tkvm_fork_stats(f, &now);
	sum->requests += now.requests - was->requests;
	sum->exits += now.exits - was->exits;
	sum->syscalls += now.syscalls - was->syscalls;
	sum->faults += now.faults - was->faults;
	sum->resets += now.resets - was->resets;
	sum->pages_reset += now.pages_reset - was->pages_reset;
	sum->remaps += now.remaps - was->remaps;
	sum->unknown += now.unknown - was->unknown;
	sum->limited += now.limited - was->limited;
	sum->run_ns += now.run_ns - was->run_ns;
	sum->reset_ns += now.reset_ns - was->reset_ns;
	/* this one is of now; it goes with the fork */
	sum->private_pages += now.private_pages - was->private_pages;
	*was = now;
}

static void
destroy(struct tkvm_pool *p, struct tkvm_fork *f)
{
	uint64_t pages = f->told.private_pages;

	tkvm_fork_free(&f);
	(void)pthread_mutex_lock(&p->mtx);
	p->st.sum.private_pages -= pages;
	p->st.destroyed++;
	p->st.forks--;
	p->nbroken--;
	(void)pthread_mutex_unlock(&p->mtx);
}

static void
nap(struct tkvm_pool *p)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += RETRY_S;
	if (!p->stop)
		(void)pthread_cond_timedwait(&p->work, &p->mtx, &ts);
}

/* With the lock: a fork of an image before this one that nobody has, out of
 * the list if `take`. */
static struct tkvm_fork *
stale(struct tkvm_pool *p, int take)
{
	struct tkvm_fork **pf, *f;

	for (pf = &p->ready; (f = *pf) != NULL; pf = &f->next)
		if (f->image != p->image) {
			if (take)
				*pf = f->next;
			break;
		}
	return (f);
}

/* With the lock, which is let go of meanwhile. */
static void
one_more(struct tkvm_pool *p)
{
	struct tkvm_image *img = p->image;
	struct tkvm_error err;
	struct tkvm_fork *f;

	tkvm_image_ref(img);
	(void)pthread_mutex_unlock(&p->mtx);
	f = tkvm_fork_new(img, &err);
	if (f == NULL)
		machine_log(img->m, TKVM_LOG_ERROR, "%s", err.text);
	tkvm_image_unref(&img);
	(void)pthread_mutex_lock(&p->mtx);
	if (f == NULL) {
		nap(p);
		return;
	}
	p->st.forks++;
	p->st.created++;
	tell_stats(p, f);
	offer(p, f);
	f = in_service(p) > p->want ? stale(p, 1) : NULL;
	if (f != NULL)
		leave_out(p, f);
}

static void *
helper_main(void *priv)
{
	struct tkvm_pool *p = priv;
	struct tkvm_fork *f;

	(void)pthread_setname_np(pthread_self(), "tkvm-pool");
	(void)pthread_mutex_lock(&p->mtx);
	while (!p->stop) {
		if (p->broken != NULL) {
			f = p->broken;
			p->broken = f->next;
			(void)pthread_mutex_unlock(&p->mtx);
			destroy(p, f);
			(void)pthread_mutex_lock(&p->mtx);
		} else if (p->st.forks < p->want || (p->st.forks == p->want &&
		    stale(p, 0) != NULL))
			one_more(p);
		else
			(void)pthread_cond_wait(&p->work, &p->mtx);
	}
	(void)pthread_mutex_unlock(&p->mtx);
	return (NULL);
}

/* ---- image-max-age ------------------------------------------------------------------------- */

/* With the lock; until host ns */
static void
renewer_sleep(struct tkvm_pool *p, uint64_t until)
{
	struct timespec ts;

	ts.tv_sec = (time_t)(until / 1000000000UL);
	ts.tv_nsec = (long)(until % 1000000000UL);
	while (!p->stop && host_mono() < until)
		(void)pthread_cond_timedwait(&p->age, &p->mtx, &ts);
}

/* With the lock, which is let go of meanwhile; 0: try again later. */
static int
renew(struct tkvm_pool *p, struct tkvm_error *err)
{
	struct tkvm_image *old = p->image, *new;

	(void)pthread_mutex_unlock(&p->mtx);
	new = image_renew(old, &p->cancel, err);
	if (new != NULL)
		tkvm_image_newest(&new);
	else if (err->code != TKVM_OK && !p->cancel)
		machine_log(old->m, TKVM_LOG_ERROR,
		    "%s; the image before serves on (image-max-age)",
		    err->text);
	(void)pthread_mutex_lock(&p->mtx);
	if (new == NULL)
		return (0);
	p->image = new;
	p->st.renewed++;
	(void)pthread_cond_signal(&p->work);
	(void)pthread_mutex_unlock(&p->mtx);
	tkvm_image_unref(&old);
	if (p->renewed != NULL)
		p->renewed(p->renewed_priv);
	(void)pthread_mutex_lock(&p->mtx);
	return (1);
}

static void *
renewer_main(void *priv)
{
	struct tkvm_pool *p = priv;
	double wait = RENEW_RETRY;
	struct tkvm_error err;

	(void)pthread_setname_np(pthread_self(), "tkvm-renew");
	(void)pthread_mutex_lock(&p->mtx);
	for (;;) {
		renewer_sleep(p, p->image->born +
		    (uint64_t)(p->opt->image_max_age * 1e9));
		if (p->stop)
			break;
		if (renew(p, &err)) {
			wait = RENEW_RETRY;
			continue;
		}
		renewer_sleep(p, host_mono() + (uint64_t)(wait * 1e9));
		if (err.code != TKVM_OK && wait < RENEW_RETRY_MAX)
			wait *= 2;
	}
	(void)pthread_mutex_unlock(&p->mtx);
	return (NULL);
}

static void
renewer_start(struct tkvm_pool *p)
{
	pthread_condattr_t a;
	int i;

	AZ(pthread_condattr_init(&a));
	AZ(pthread_condattr_setclock(&a, CLOCK_MONOTONIC));
	AZ(pthread_cond_init(&p->age, &a));
	AZ(pthread_condattr_destroy(&a));
	if (p->opt->image_max_age <= 0)
		return;
	i = pthread_create(&p->renewer, NULL, renewer_main, p);
	if (i == 0)
		p->has_renewer = 1;
	else
		machine_log(p->image->m, TKVM_LOG_ERROR, "tenant \"%s\": no "
		    "thread for image-max-age: %s", p->opt->tenant,
		    strerror(i));
}

void
tkvm_pool_renewed(struct tkvm_pool *p, tkvm_renewed_f *f, void *priv)
{

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	(void)pthread_mutex_lock(&p->mtx);
	p->renewed_priv = priv;
	p->renewed = f;
	(void)pthread_mutex_unlock(&p->mtx);
}

/* ---- life ---------------------------------------------------------------------------------- */

struct tkvm_pool *
tkvm_pool_new(struct tkvm_image *img, struct tkvm_error *err)
{
	struct tkvm_pool *p;
	int i;

	CHECK_OBJ_NOTNULL(img, IMAGE_MAGIC);
	ALLOC_OBJ(p, POOL_MAGIC);
	if (p == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "tenant \"%s\": out of "
		    "memory", img->opt->tenant);
		return (NULL);
	}
	p->last = &p->first;
	p->want = img->opt->threads > 0 ? img->opt->threads : 1;
	p->ready = tkvm_fork_new(img, err);
	if (p->ready == NULL) {
		FREE_OBJ(p);
		return (NULL);
	}
	p->opt = tkvm_options_dup(img->opt);
	if (p->opt == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "tenant \"%s\": out of "
		    "memory", img->opt->tenant);
		tkvm_fork_free(&p->ready);
		FREE_OBJ(p);
		return (NULL);
	}
	p->st.forks = p->st.created = 1;
	tell_stats(p, p->ready);
	AZ(pthread_mutex_init(&p->mtx, NULL));
	AZ(pthread_cond_init(&p->work, NULL));
	AZ(pthread_cond_init(&p->idle, NULL));
	p->image = img;
	tkvm_image_ref(img);
	i = pthread_create(&p->helper, NULL, helper_main, p);
	if (i != 0) {
		(void)err_set(err, TKVM_E_MEMORY,
		    "tenant \"%s\": cannot start a pool's helper thread: %s",
		    img->opt->tenant, strerror(i));
		tkvm_fork_free(&p->ready);
		tkvm_image_unref(&p->image);
		tkvm_options_free(&p->opt);
		FREE_OBJ(p);
		return (NULL);
	}
	renewer_start(p);
	return (p);
}

void
tkvm_pool_free(struct tkvm_pool **pp)
{
	struct tkvm_pool *p;
	struct tkvm_fork *f;

	TAKE_OBJ_NOTNULL(p, pp, POOL_MAGIC);
	(void)pthread_mutex_lock(&p->mtx);
	p->stop = p->cancel = 1;
	(void)pthread_cond_signal(&p->work);
	(void)pthread_cond_signal(&p->age);
	while (p->st.busy > 0 || p->first != NULL)
		(void)pthread_cond_wait(&p->idle, &p->mtx);
	(void)pthread_mutex_unlock(&p->mtx);
	(void)pthread_join(p->helper, NULL);
	if (p->has_renewer)
		(void)pthread_join(p->renewer, NULL);
	while ((f = p->ready) != NULL) {
		p->ready = f->next;
		tkvm_fork_free(&f);
	}
	while ((f = p->broken) != NULL) {
		p->broken = f->next;
		tkvm_fork_free(&f);
	}
	(void)pthread_mutex_destroy(&p->mtx);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_cond_destroy(&p->idle);
	(void)pthread_cond_destroy(&p->age);
	tkvm_image_unref(&p->image);
	tkvm_options_free(&p->opt);
	FREE_OBJ(p);
}

/* ---- take and give --------------------------------------------------------------------------- */

/*
 * With the lock: the one that last ran on this thread, or one that is no
 * thread's yet, or the one that has waited longest: the others' threads are
 * likelier to come back for them.  A vCPU that changes threads is dear, on
 * kernels before 6.13 it waits for a grace period.
 */
static struct tkvm_fork *
pick_ready(struct tkvm_pool *p)
{
	struct tkvm_fork **pf, **best = &p->ready, *f;
	pthread_t self = pthread_self();
	unsigned n = 0;

	for (pf = &p->ready; (f = *pf) != NULL && n < 64; pf = &f->next, n++) {
		if (f->has_last && pthread_equal(f->last, self)) {
			best = pf;
			break;
		}
		if (*best == NULL || (*best)->has_last)
			best = pf;
	}
	f = *best;
	if (f != NULL)
		*best = f->next;
	return (f);
}

static struct tkvm_fork *
wait_in_queue(struct tkvm_pool *p)
{
	const double limit = p->opt->queue_time;
	struct waiter w, **pw;
	struct timespec ts;
	uint64_t end;

	memset(&w, 0, sizeof w);
	{
		pthread_condattr_t a;

		AZ(pthread_condattr_init(&a));
		AZ(pthread_condattr_setclock(&a, CLOCK_MONOTONIC));
		AZ(pthread_cond_init(&w.cond, &a));
		AZ(pthread_condattr_destroy(&a));
	}
	end = host_mono() + (uint64_t)(limit * 1e9);
	ts.tv_sec = (time_t)(end / 1000000000UL);
	ts.tv_nsec = (long)(end % 1000000000UL);
	/* on the list only as long as this function runs */
	// cppcheck-suppress autoVariables
	*p->last = &w;
	// cppcheck-suppress autoVariables
	p->last = &w.next;
	p->st.queue++;
	p->st.queued++;
	while (w.fork == NULL)
		if (pthread_cond_timedwait(&w.cond, &p->mtx, &ts) == ETIMEDOUT)
			break;
	if (w.fork == NULL) {
		for (pw = &p->first; *pw != &w; pw = &(*pw)->next)
			continue;
		*pw = w.next;
		if (p->last == &w.next)
			p->last = pw;
		p->st.queue--;
	}
	(void)pthread_cond_destroy(&w.cond);
	return (w.fork);
}

/* Let the program finish what it does after it has answered: drain-time */
static void
drain(struct tkvm_fork *f, double seconds)
{
	struct tkvm_error err;
	uint64_t end;

	if (!f->dirty || f->m->err.code != TKVM_OK)
		return;
	end = host_mono() + (uint64_t)(seconds * 1e9);
	if (end < f->m->deadline)
		f->m->deadline = end;
	while (fork_run(f, 0, &err) == TKVM_RUN_IDLE &&
	    tkvm_fork_wait(f, 0, &err) == 1)
		continue;
	if (f->m->err.code == TKVM_E_TIMEOUT)
		f->m->err.code = TKVM_OK;
}

/*
 * Without the lock: back to the frozen state.  Not 0: it has to be destroyed.
 */
static int
refresh(struct tkvm_pool *p, struct tkvm_fork *f)
{
	struct tkvm_error err = { TKVM_OK, "" };

	if (p->opt->drain_time > 0)
		drain(f, p->opt->drain_time);
	fork_place(f);
	if (!p->opt->ephemeral)
		return (f->m->err.code != TKVM_OK);	/* it died */
	if (tkvm_fork_reset(f, &err) == 0)
		return (0);
	if (err.code != TKVM_OK)
		machine_log(f->image->m, err.code == TKVM_E_LIMIT ?
		    TKVM_LOG_INFO : TKVM_LOG_ERROR, "%s", err.text);
	return (-1);
}

/* With the lock: the helper destroys it. */
static void
retire(struct tkvm_pool *p, struct tkvm_fork *f, int failed)
{

	tell_stats(p, f);
	if (failed && p->opt->ephemeral)
		p->st.reset_failures++;
	leave_out(p, f);
	(void)pthread_cond_signal(&p->work);
}

/* With the lock, which is given up meanwhile: one that somebody parked. */
static struct tkvm_fork *
take_parked(struct tkvm_pool *p)
{
	struct tkvm_fork *f;
	int failed;

	while ((f = p->parked) != NULL) {
		p->parked = f->next;
		(void)pthread_mutex_unlock(&p->mtx);
		failed = refresh(p, f);
		(void)pthread_mutex_lock(&p->mtx);
		if (!failed)
			return (f);
		p->st.busy--;
		retire(p, f, 1);
	}
	return (NULL);
}

/* With the lock: a fork that is there. */
static struct tkvm_fork *
take_now(struct tkvm_pool *p)
{
	struct tkvm_fork *f;

	if (p->first != NULL)
		return (NULL);		/* others came earlier */
	f = pick_ready(p);
	if (f != NULL)
		p->st.busy++;
	else
		f = take_parked(p);
	return (f);
}

struct tkvm_fork *
tkvm_pool_take(struct tkvm_pool *p, double *queued, struct tkvm_error *err)
{
	const struct tkvm_options *o;
	struct tkvm_fork *f;
	unsigned limit;
	uint64_t t0;
	int full;

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	o = p->opt;
	limit = o->queue_limit > 0 ? o->queue_limit : 4 * p->want;
	*queued = 0;
	(void)pthread_mutex_lock(&p->mtx);
	p->st.requests++;
	f = take_now(p);
	full = p->st.queue >= limit;
	if (f == NULL && !p->stop && !full) {
		t0 = host_mono();
		f = wait_in_queue(p);
		*queued = (double)(host_mono() - t0) / 1e9;
	}
	if (f == NULL) {
		p->st.rejected++;
		if (full)
			(void)err_set(err, TKVM_E_BUSY, "tenant \"%s\": all %u "
			    "forks are busy (threads), and %u requests wait "
			    "already (queue-limit)", o->tenant, p->want,
			    limit);
		else
			(void)err_set(err, TKVM_E_BUSY, "tenant \"%s\": all %u "
			    "forks were busy (threads) for %g s (queue-time)",
			    o->tenant, p->want, o->queue_time);
		if (p->stop)
			(void)pthread_cond_signal(&p->idle);
	}
	(void)pthread_mutex_unlock(&p->mtx);
	return (f);
}

void
tkvm_pool_give(struct tkvm_pool *p, struct tkvm_fork **pf, int broken)
{
	struct tkvm_fork *f;
	int failed;

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	TAKE_OBJ_NOTNULL(f, pf, FORK_MAGIC);
	failed = !broken && refresh(p, f) != 0;
	(void)pthread_mutex_lock(&p->mtx);
	p->st.busy--;
	/* One of the image before goes when there is another for it. */
	if (broken || failed ||
	    (f->image != p->image && in_service(p) > p->want)) {
		retire(p, f, failed);
	} else {
		tell_stats(p, f);
		if (f->image != p->image)
			(void)pthread_cond_signal(&p->work);
		offer(p, f);
	}
	if (p->stop && p->st.busy == 0)
		(void)pthread_cond_signal(&p->idle);
	(void)pthread_mutex_unlock(&p->mtx);
}

uint64_t
tkvm_pool_park(struct tkvm_pool *p, struct tkvm_fork **pf)
{
	struct tkvm_fork *f;
	uint64_t ticket = 0;

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	TAKE_OBJ_NOTNULL(f, pf, FORK_MAGIC);
	(void)pthread_mutex_lock(&p->mtx);
	if (p->first == NULL) {
		ticket = f->ticket = ++p->ticket;
		f->next = p->parked;
		p->parked = f;
	}
	(void)pthread_mutex_unlock(&p->mtx);
	if (ticket == 0)
		tkvm_pool_give(p, &f, 0);
	return (ticket);
}

int
tkvm_pool_unpark(struct tkvm_pool *p, uint64_t ticket)
{
	struct tkvm_fork **pf, *f;

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	AN(ticket);
	(void)pthread_mutex_lock(&p->mtx);
	for (pf = &p->parked; (f = *pf) != NULL; pf = &f->next)
		if (f->ticket == ticket)
			break;
	if (f != NULL)
		*pf = f->next;
	(void)pthread_mutex_unlock(&p->mtx);
	if (f == NULL)
		return (0);
	tkvm_pool_give(p, &f, 0);
	return (1);
}

void
tkvm_pool_stats(struct tkvm_pool *p, struct tkvm_pool_stats *st)
{

	CHECK_OBJ_NOTNULL(p, POOL_MAGIC);
	(void)pthread_mutex_lock(&p->mtx);
	*st = p->st;
	(void)pthread_mutex_unlock(&p->mtx);
}
