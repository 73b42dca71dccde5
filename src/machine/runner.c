/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A thread that runs one fork for life.
 *
 * Kernels before about 6.13 wait for an RCU grace period, some 12 ms, when a
 * vCPU runs on another thread than last time.  There a fork is handed over to
 * its runner instead, which costs two futex calls.
 */

#include <stdio.h>
#include <string.h>

#include "machine/priv.h"

struct runner {
	unsigned	magic;
#define RUNNER_MAGIC	0x52554e52
	pthread_t	thread;
	pthread_mutex_t	mtx;
	pthread_cond_t	todo, done;
	void		(*fn)(void *);
	void		*priv;
	int		stop;
};

static void *
runner_main(void *p)
{
	struct runner *r = p;

	(void)pthread_setname_np(pthread_self(), "tkvm-runner");
	(void)pthread_mutex_lock(&r->mtx);
	while (!r->stop) {
		if (r->fn == NULL) {
			(void)pthread_cond_wait(&r->todo, &r->mtx);
			continue;
		}
		(void)pthread_mutex_unlock(&r->mtx);
		r->fn(r->priv);
		(void)pthread_mutex_lock(&r->mtx);
		r->fn = NULL;
		(void)pthread_cond_signal(&r->done);
	}
	(void)pthread_mutex_unlock(&r->mtx);
	return (NULL);
}

static void
runner_destroy(struct runner *r)
{

	(void)pthread_mutex_destroy(&r->mtx);
	(void)pthread_cond_destroy(&r->todo);
	(void)pthread_cond_destroy(&r->done);
	FREE_OBJ(r);
}

struct runner *
runner_new(struct tkvm_error *err)
{
	struct runner *r;
	int i;

	ALLOC_OBJ(r, RUNNER_MAGIC);
	if (r == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "out of memory");
		return (NULL);
	}
	AZ(pthread_mutex_init(&r->mtx, NULL));
	AZ(pthread_cond_init(&r->todo, NULL));
	AZ(pthread_cond_init(&r->done, NULL));
	i = pthread_create(&r->thread, NULL, runner_main, r);
	if (i != 0) {
		(void)err_set(err, TKVM_E_MEMORY,
		    "cannot start a runner thread: %s", strerror(i));
		runner_destroy(r);
		return (NULL);
	}
	return (r);
}

void
runner_free(struct runner **pr)
{
	struct runner *r;

	TAKE_OBJ_NOTNULL(r, pr, RUNNER_MAGIC);
	(void)pthread_mutex_lock(&r->mtx);
	AZ(r->fn);
	r->stop = 1;
	(void)pthread_cond_signal(&r->todo);
	(void)pthread_mutex_unlock(&r->mtx);
	(void)pthread_join(r->thread, NULL);
	runner_destroy(r);
}

void
runner_call(struct runner *r, void (*fn)(void *), void *priv)
{

	CHECK_OBJ_NOTNULL(r, RUNNER_MAGIC);
	(void)pthread_mutex_lock(&r->mtx);
	AZ(r->fn);
	r->priv = priv;
	r->fn = fn;
	(void)pthread_cond_signal(&r->todo);
	while (r->fn != NULL)
		(void)pthread_cond_wait(&r->done, &r->mtx);
	(void)pthread_mutex_unlock(&r->mtx);
}
