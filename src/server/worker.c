/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The threads of kvmserver, the queue between them, and the usher's rounds.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"
#include "obj.h"
#include "server/server.h"

#define ACCEPT_QUIET	60000		/* ms between two complaints */

/* What an event that is not a connection's carries. */
static char is_wake, is_probe;

/* ---- the queue ----------------------------------------------------------- */

/* Edge triggered: each write is an event, and wakes one thread. */
static void
post(int fd)
{
	const uint64_t one = 1;

	while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
		continue;
}

/* The connection is the queue's then.  It has waited for `lag` already. */
void
queue_push(struct srv *s, struct conn *c, int64_t lag)
{

	c->queued = mono_ms() - lag;
	(void)pthread_mutex_lock(&s->qmtx);
	TAILQ_INSERT_TAIL(&s->queue, c, qlist);
	(void)atomic_fetch_add(&s->nqueue, 1);
	(void)pthread_mutex_unlock(&s->qmtx);
	(void)atomic_fetch_add(&s->n.queued, 1);
	/* A worker may have gone to sleep since we looked. */
	post(s->wake);
}

/* The first that was queued before `before`, and then the caller's. */
static struct conn *
queue_pop(struct srv *s, int64_t before)
{
	struct conn *c;

	if (atomic_load(&s->nqueue) == 0)
		return (NULL);
	(void)pthread_mutex_lock(&s->qmtx);
	c = TAILQ_FIRST(&s->queue);
	if (c != NULL && c->queued >= before)
		c = NULL;
	if (c != NULL) {
		TAILQ_REMOVE(&s->queue, c, qlist);
		(void)atomic_fetch_sub(&s->nqueue, 1);
	}
	(void)pthread_mutex_unlock(&s->qmtx);
	return (c);
}

/* The one that came last: the queue is too long. */
static struct conn *
queue_pop_last(struct srv *s)
{
	struct conn *c;

	(void)pthread_mutex_lock(&s->qmtx);
	c = TAILQ_LAST(&s->queue, conn_queue);
	if (c != NULL) {
		TAILQ_REMOVE(&s->queue, c, qlist);
		(void)atomic_fetch_sub(&s->nqueue, 1);
	}
	(void)pthread_mutex_unlock(&s->qmtx);
	return (c);
}

/* ---- accepting ----------------------------------------------------------- */

/*
 * A single worker is told of a listener until nobody waits (level triggered),
 * and takes one client each time.  Of several, each new client is to wake one:
 * they have to look whether others wait.
 */
static int
by_level(const struct srv *s)
{

	return (s->opt->threads == 1);
}

static int
listener_add(struct srv *s, unsigned u)
{
	struct epoll_event ee = {
		.events = by_level(s) ? EPOLLIN : EPOLLIN | EPOLLET,
		.data.ptr = &s->listener[u],
	};

	return (epoll_ctl(s->ep, EPOLL_CTL_ADD, s->listener[u].fd, &ee));
}

/* The worker would be told of it again and again.  The usher adds it anew. */
static void
listener_pause(struct srv *s, const struct listener *l)
{

	if (!by_level(s))
		return;
	(void)epoll_ctl(s->ep, EPOLL_CTL_DEL, l->fd, NULL);
	(void)atomic_fetch_or(&s->paused, 1u << (l - s->listener));
}

static void
listener_resume(struct srv *s, unsigned u)
{

	if ((atomic_fetch_and(&s->paused, ~(1u << u)) & (1u << u)) &&
	    listener_add(s, u) != 0 && errno != EEXIST)
		(void)atomic_fetch_or(&s->paused, 1u << u);	/* no memory */
}

/* Clients wait, and only we know why: say so, but not for each of them. */
static void
accept_failed(int e)
{
	static _Atomic int64_t last = -ACCEPT_QUIET;
	int64_t now, then = atomic_load(&last);

	if (e != EMFILE && e != ENFILE && e != ENOBUFS && e != ENOMEM)
		return;
	now = mono_ms();
	if (now - then < ACCEPT_QUIET ||
	    !atomic_compare_exchange_strong(&last, &then, now))
		return;
	logf_line(TKVM_LOG_WARN, "connections have to wait: %s%s",
	    strerror(e), e == EMFILE ? " (ulimit -n)" : "");
}

/* accept4() that finds none has made a file for it, five times as dear. */
static int
another_waits(const struct listener *l)
{
	struct pollfd pfd = { .fd = l->fd, .events = POLLIN };

	return (poll(&pfd, 1, 0) != 0);
}

/* The connection is the caller's.  NULL: there is none, errno says why. */
static struct conn *
accept_one(struct worker *w, const struct listener *l)
{
	const int names = l->family != AF_UNIX;	/* clients there have none */
	struct sockaddr_storage ss;
	struct conn *c;
	socklen_t len;
	int fd;

	do {
		len = names ? sizeof ss : 0;
		fd = accept4(l->fd, names ? (struct sockaddr *)&ss : NULL,
		    names ? &len : NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0) {
		if (errno != EAGAIN) {
			accept_failed(errno);
			listener_pause(w->srv, l);
		}
		return (NULL);
	}
	if (len < (socklen_t)sizeof ss.ss_family)
		ss.ss_family = AF_UNIX;
	c = conn_new(w, l, fd, (struct sockaddr *)&ss, len);
	if (c == NULL)
		(void)close(fd);
	return (c);
}

/*
 * Take all there are, or one if we shall be told of the next.  The last one is
 * driven here at once, its request is probably there; the others go to whoever
 * is free.  When it fails, the usher tries again.
 */
static void
accept_all(struct worker *w, const struct listener *l)
{
	struct conn *c, *mine = NULL;

	do {
		c = accept_one(w, l);
		if (c == NULL)
			break;
		if (mine != NULL)
			conn_offer(w, mine);
		mine = c;
	} while (!(by_level(w->srv) && w->may_run) && another_waits(l));
	if (mine != NULL)
		(void)conn_drive(w, mine);
}

/*
 * A client has gone: perhaps to connect anew.  Then neither epoll nor poll need
 * tell: the listener's event, if it has one, is not taken by this.
 */
static void
accept_ahead(struct worker *w, const struct listener *l)
{
	struct conn *c;

	if (w->shy > 0) {
		w->shy--;
		return;
	}
	c = accept_one(w, l);
	if (c != NULL)
		(void)conn_drive(w, c);
	else
		w->shy = IN_A_ROW;
}

/* ---- workers ------------------------------------------------------------- */

/* The listener that the event is about, or NULL */
static const struct listener *
event_listener(const struct srv *s, const struct epoll_event *ee)
{
	unsigned u;

	for (u = 0; u < s->nlistener; u++)
		if (ee->data.ptr == &s->listener[u])
			return (&s->listener[u]);
	return (NULL);
}

static void
handle(struct worker *w, const struct epoll_event *ee)
{
	const struct listener *l;

	l = event_listener(w->srv, ee);
	if (l != NULL)
		accept_all(w, l);
	else if (ee->data.ptr == &is_probe)
		atomic_store(&w->srv->probed, 0);
	else if (ee->data.ptr != &is_wake) {
		l = conn_event(w, ee->data.ptr, ee->events);
		if (l != NULL && w->may_run)
			accept_ahead(w, l);
	}
}

static void *
worker_thread(void *priv)
{
	struct worker *w = priv;
	struct srv *s;
	struct epoll_event ee;
	struct conn *c;
	int n;

	CHECK_OBJ_NOTNULL(w, WORKER_MAGIC);
	s = w->srv;
	while (!atomic_load(&s->stop)) {
		c = queue_pop(s, INT64_MAX);
		if (c != NULL) {
			(void)atomic_fetch_add(&s->n.queue_us,
			    (uint64_t)(mono_ms() - c->queued) * 1000);
			(void)conn_drive(w, c);
			continue;
		}
		n = epoll_wait(s->ep, &ee, 1, -1);
		if (n == 1)
			handle(w, &ee);
	}
	post(s->wake);		/* pass it on */
	return (NULL);
}

static int
worker_init(struct worker *w, struct srv *s, int may_run)
{

	INIT_OBJ(w, WORKER_MAGIC);
	w->srv = s;
	w->may_run = may_run;
	w->in = malloc(IN_SIZE);
	w->io = malloc(IO_SIZE);
	w->out = malloc(OUT_SIZE);
	return (w->in == NULL || w->io == NULL || w->out == NULL ? -1 : 0);
}

static void
worker_fini(struct worker *w)
{

	free(w->in);
	free(w->io);
	free(w->out);
	w->in = w->io = w->out = NULL;
}

static int
add_event(const struct srv *s, int fd, void *what)
{
	struct epoll_event ee = {
		.events = EPOLLIN | EPOLLET, .data.ptr = what,
	};

	return (epoll_ctl(s->ep, EPOLL_CTL_ADD, fd, &ee));
}

static int
add_listeners(struct srv *s)
{
	unsigned u;

	for (u = 0; u < s->nlistener; u++)
		if (listener_add(s, u) != 0)
			return (-1);
	return (0);
}

int
workers_start(struct srv *s, struct tkvm_error *err)
{
	unsigned u;

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	s->worker = calloc(s->opt->threads, sizeof *s->worker);
	s->ep = epoll_create1(EPOLL_CLOEXEC);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->probe = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->worker == NULL || s->ep < 0 || s->wake < 0 || s->probe < 0 ||
	    worker_init(&s->usher, s, 0) != 0 ||
	    add_event(s, s->wake, &is_wake) != 0 ||
	    add_event(s, s->probe, &is_probe) != 0 ||
	    add_listeners(s) != 0)
		return (err_set(err, TKVM_E_MEMORY,
		    "cannot start: %s", strerror(errno)));
	for (u = 0; u < s->opt->threads; u++) {
		if (worker_init(&s->worker[u], s, 1) != 0 ||
		    pthread_create(&s->worker[u].thread, NULL, worker_thread,
		    &s->worker[u]) != 0) {
			worker_fini(&s->worker[u]);
			return (err_set(err, TKVM_E_MEMORY,
			    "cannot start %u threads", s->opt->threads));
		}
		s->nworker++;
	}
	return (0);
}

void
workers_stop(struct srv *s)
{
	unsigned u;

	atomic_store(&s->stop, 1);
	if (s->wake >= 0)
		post(s->wake);
	for (u = 0; u < s->nworker; u++) {
		(void)pthread_join(s->worker[u].thread, NULL);
		worker_fini(&s->worker[u]);
	}
	worker_fini(&s->usher);
	free(s->worker);
	s->worker = NULL;
	s->nworker = 0;
	conn_free_all(s);
	if (s->ep >= 0)
		(void)close(s->ep);
	if (s->wake >= 0)
		(void)close(s->wake);
	if (s->probe >= 0)
		(void)close(s->probe);
	s->ep = s->wake = s->probe = -1;
}

/* ---- the usher ----------------------------------------------------------- */

/*
 * How long does an event wait until a worker gets to it?  The epoll set hands
 * events out in order, so an event of our own tells: the probe.  One is sent
 * when all workers are busy; while it is under way its age is the answer.
 */
static int64_t
tick_lag(struct srv *s, int64_t now)
{
	int64_t sent = atomic_load(&s->probed);

	if (sent != 0)
		return (now - sent);
	atomic_store(&s->probed, now);
	post(s->probe);
	return (0);
}

/*
 * The workers do not keep up: read requests, so that they are queued and
 * counted.  As long as they do, a crowd of small requests waits in its
 * sockets, and all get served.
 */
static void
tick_read(struct srv *s, int64_t now)
{
	struct epoll_event ee[64];
	int64_t late = (int64_t)(s->opt->queue_time * 500);
	int i, n, rounds = 0;

	if (late > LATE_MS)
		late = LATE_MS;
	s->lag = tick_lag(s, now);
	if (s->lag < late && atomic_load(&s->nqueue) == 0)
		return;
	do {
		n = epoll_wait(s->ep, ee, (int)NELEM(ee), 0);
		for (i = 0; i < n; i++)
			handle(&s->usher, &ee[i]);
	} while (n == (int)NELEM(ee) && ++rounds < 64);
	/* We may have taken what was to wake a worker. */
	if (atomic_load(&s->nqueue) > 0)
		post(s->wake);
}

static void
tick_queue(struct srv *s, int64_t now)
{
	const int64_t most = (int64_t)(s->opt->queue_time * 1000);
	unsigned limit = s->opt->queue_limit;
	struct conn *c;

	if (limit == 0)
		limit = 4 * s->opt->threads;
	while ((c = queue_pop(s, now - most)) != NULL)
		serve_busy(&s->usher, c, (double)(now - c->queued) * 1e-3);
	while (atomic_load(&s->nqueue) > limit &&
	    (c = queue_pop_last(s)) != NULL)
		serve_busy(&s->usher, c, 0);
}

static void
tick_expire(struct srv *s, int64_t now)
{
	struct conn *c;

	for (c = atomic_load(&s->all); c != NULL; c = c->next_all)
		conn_expire(&s->usher, c, now);
}

void
workers_tick(struct srv *s, int64_t now)
{
	static int64_t last;
	unsigned u;

	CHECK_OBJ_NOTNULL(s, SRV_MAGIC);
	if (atomic_load(&s->busy) >= s->nworker)
		tick_read(s, now);
	tick_queue(s, now);
	if (now - last < 1000)
		return;
	last = now;
	tick_expire(s, now);
	/* If a worker was out of descriptors */
	for (u = 0; u < s->nlistener; u++) {
		accept_all(&s->usher, &s->listener[u]);
		listener_resume(s, u);
	}
}
