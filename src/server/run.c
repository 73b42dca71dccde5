/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kvmserver run: boot, serve until a signal says stop, account.
 *
 * The main thread takes the signals (all are blocked elsewhere) and is the
 * usher; the boot has a thread of its own, so that ^C ends it too.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "error.h"
#include "obj.h"
#include "server/jail.h"
#include "server/server.h"

struct boot {
	unsigned	magic;
#define BOOT_MAGIC	0x424f4f54
	const struct tkvm_options *opt;
	volatile int	cancel;
	struct tkvm_image *image;
	struct tkvm_error err;
	int		done;		/* eventfd */
};

static void *
boot_thread(void *priv)
{
	struct boot *b = priv;
	const uint64_t one = 1;

	CHECK_OBJ_NOTNULL(b, BOOT_MAGIC);
	b->image = tkvm_boot(b->opt, &b->cancel, &b->err);
	while (write(b->done, &one, sizeof one) < 0 && errno == EINTR)
		continue;
	return (NULL);
}

/* ---- signals ------------------------------------------------------------- */

static int
signals_open(void)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	/* A full log or statistics file is no reason to stop. */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGUSR1);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	return (signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

static void
give_up(int sig)
{

	_exit(128 + sig);
}

/* The first asks to stop; whoever asks again wants it now. */
static void
signals_last(void)
{
	struct sigaction sa;
	sigset_t set;

	(void)memset(&sa, 0, sizeof sa);
	sa.sa_handler = give_up;
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Handle what came; 1: stop. */
static int
signals_read(const struct srv *s, int sfd, const char *stats)
{
	struct signalfd_siginfo si;
	int stop = 0;

	while (read(sfd, &si, sizeof si) == (ssize_t)sizeof si) {
		if (si.ssi_signo == SIGUSR1)
			stats_write(s, stats);
		else
			stop = 1;
	}
	return (stop);
}

/* ---- phases -------------------------------------------------------------- */

/*
 * 0: there is an image.  1: told to stop.  -1: *err.
 */
static int
boot(struct srv *s, int sfd, const char *stats, struct tkvm_error *err)
{
	struct boot b;
	struct pollfd pfd[2];
	pthread_t thread;
	double start = mono_now();
	int stop = 0;

	INIT_OBJ(&b, BOOT_MAGIC);
	b.opt = s->opt;
	b.done = eventfd(0, EFD_CLOEXEC);
	if (b.done < 0 ||
	    pthread_create(&thread, NULL, boot_thread, &b) != 0) {
		if (b.done >= 0)
			(void)close(b.done);
		return (err_set(err, TKVM_E_MEMORY, "cannot start a thread"));
	}
	do {
		pfd[0] = (struct pollfd){ .fd = sfd, .events = POLLIN };
		pfd[1] = (struct pollfd){ .fd = b.done, .events = POLLIN };
		(void)poll(pfd, 2, -1);
		if ((pfd[0].revents & POLLIN) &&
		    signals_read(s, sfd, stats)) {
			stop = 1;
			b.cancel = 1;
			signals_last();
		}
	} while (!(pfd[1].revents & POLLIN));
	(void)pthread_join(thread, NULL);
	(void)close(b.done);
	s->image = b.image;
	s->boot_s = mono_now() - start;
	if (stop)
		return (1);
	if (b.image == NULL) {
		*err = b.err;
		return (-1);
	}
	s->boots++;
	tkvm_image_stats(s->image, &s->ist);
	logf_line(TKVM_LOG_INFO, "tenant \"%s\": booted in %.3f s",
	    s->opt->tenant, s->boot_s);
	return (0);
}

static void
serve_until_told(struct srv *s, int sfd, const char *stats)
{
	struct pollfd pfd = { .fd = sfd, .events = POLLIN };

	for (;;) {
		if (poll(&pfd, 1, TICK_MS) > 0 &&
		    signals_read(s, sfd, stats)) {
			signals_last();
			return;
		}
		workers_tick(s, mono_ms());
	}
}

/* 0, or -1 with *err. */
static int
run(struct srv *s, int sfd, const char *stats, struct tkvm_error *err)
{
	int rv;

	rv = boot(s, sfd, stats, err);
	if (rv != 0)
		return (rv > 0 ? 0 : -1);
	s->pool = tkvm_pool_new(s->image, err);
	if (s->pool == NULL)
		return (-1);
	/* Workers hold signals back: they inherit the mask. */
	if (listen_open(s, err) != 0 || workers_start(s, err) != 0)
		return (-1);
	/* The pool has it, until there is a newer one. */
	tkvm_image_unref(&s->image);
	serve_until_told(s, sfd, stats);
	return (0);
}

static void
fini(struct srv *s)
{

	listen_stop(s);
	workers_stop(s);
	listen_close(s);
}

static void
more_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

int
run_main(const struct args *a)
{
	struct tkvm_error err = { .code = TKVM_OK };
	struct srv *s;
	int sfd, rv;

	log_init(a->opt->verbose, a->opt->verbose_syscalls);
	tkvm_options_log(a->opt, log_line, NULL);
	sfd = signals_open();
	ALLOC_OBJ(s, SRV_MAGIC);
	if (sfd < 0 || s == NULL) {
		(void)fprintf(stderr, "kvmserver: %s\n", strerror(errno));
		free(s);
		return (1);
	}
	more_files();
	/* Opens /dev/kvm; a failure is the boot's to tell. */
	(void)tkvm_host_probe(NULL, &err);
	err.code = TKVM_OK;
	jail_enter(a);
	s->opt = a->opt;
	s->ep = s->wake = s->probe = -1;
	TAILQ_INIT(&s->queue);
	(void)pthread_mutex_init(&s->qmtx, NULL);
	(void)pthread_mutex_init(&s->cmtx, NULL);
	rv = run(s, sfd, a->stats, &err);
	if (rv != 0)
		(void)fprintf(stderr, "kvmserver: %s\n", err.text);
	fini(s);
	stats_write(s, a->stats);
	if (s->pool != NULL)
		tkvm_pool_free(&s->pool);
	if (s->image != NULL)
		tkvm_image_unref(&s->image);
	(void)pthread_mutex_destroy(&s->qmtx);
	(void)pthread_mutex_destroy(&s->cmtx);
	(void)close(sfd);
	FREE_OBJ(s);
	return (rv == 0 ? 0 : 1);
}
