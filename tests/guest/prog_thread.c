/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * pthreads: create, join, mutexes, conditions, barriers, TLS, detached.
 */

#define _GNU_SOURCE
#include <sys/syscall.h>

#include <pthread.h>
#include <semaphore.h>

#include "prog.h"

#define N	8

static pthread_mutex_t mtx = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t bar;
static sem_t sem;
static long counter;
static int turn, tids_differ;
static __thread int tls = 41;
static pthread_key_t key;
static int destroyed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int onces;

static void
destroy(void *p)
{
	(void)pthread_mutex_lock(&mtx);
	destroyed += *(int *)p;
	(void)pthread_mutex_unlock(&mtx);
	free(p);
}

static void
do_once(void)
{
	onces++;
}

static void *
worker(void *arg)
{
	int i, id = (int)(intptr_t)arg, *p = malloc(sizeof *p);

	tls += id;
	*p = 1;
	(void)pthread_setspecific(key, p);
	(void)pthread_once(&once, do_once);
	(void)pthread_barrier_wait(&bar);
	for (i = 0; i < 20000; i++) {
		(void)pthread_mutex_lock(&mtx);
		counter++;
		(void)pthread_mutex_unlock(&mtx);
	}
	/* One after the other, by number. */
	(void)pthread_mutex_lock(&mtx);
	while (turn != id)
		(void)pthread_cond_wait(&cond, &mtx);
	(void)printf("turn of %d, tls %d\n", id, tls);
	turn++;
	tids_differ += gettid() != getpid();
	(void)pthread_cond_broadcast(&cond);
	(void)pthread_mutex_unlock(&mtx);
	return ((void *)(intptr_t)(id * id));
}

static void *
poster(void *arg)
{
	(void)usleep(20000);
	(void)sem_post(&sem);
	return (arg);
}

static void *
canceled(void *arg)
{
	for (;;)
		(void)sleep(1000);
	return (arg);
}

int
main(void)
{
	pthread_t t[N], d;
	struct timespec ts;
	void *ret;
	long sum = 0;
	int i;

	OK(pthread_barrier_init(&bar, NULL, N) == 0);
	OK(pthread_key_create(&key, destroy) == 0);
	for (i = 0; i < N; i++)
		if (pthread_create(&t[i], NULL, worker, (void *)(intptr_t)i))
			OK(!"pthread_create");
	for (i = 0; i < N; i++) {
		/* Silent: the threads are still printing. */
		if (pthread_join(t[i], &ret) != 0)
			sum += 1000;
		sum += (long)(intptr_t)ret;
	}
	(void)printf("sum %ld counter %ld\n", sum, counter);
	OK(destroyed == N && onces == 1 && tls == 41 && tids_differ == N);
	OK(sem_init(&sem, 0, 0) == 0);
	OK(pthread_create(&d, NULL, poster, NULL) == 0 &&
	    pthread_detach(d) == 0);
	OK(sem_wait(&sem) == 0);
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 30000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	ERR(sem_timedwait(&sem, &ts), ETIMEDOUT);
	(void)pthread_mutex_lock(&mtx);
	OK(pthread_cond_timedwait(&cond, &mtx, &ts) == ETIMEDOUT);
	OK(pthread_mutex_trylock(&mtx) == EBUSY);
	(void)pthread_mutex_unlock(&mtx);
	OK(pthread_create(&d, NULL, canceled, NULL) == 0);
	OK(pthread_cancel(d) == 0 && pthread_join(d, &ret) == 0 &&
	    ret == PTHREAD_CANCELED);
	return (0);
}
