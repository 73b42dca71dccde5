/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The life of a tenant.
 *
 *	IDLE --WARM--> BOOTING ---> READY     --COLD--> IDLE
 *	                 |   ^
 *	                 v   | after 1, 2, 4 ... 60 s
 *	               FAILED            --COLD--> IDLE
 *
 * Nothing here boots or frees machines on the CLI thread: the manager kills a
 * child whose CLI does not answer.  A tenant has a thread from WARM until it
 * is ready, and one while its pool is taken down on COLD.
 */

#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmod_kvm.h"
#include "vtim.h"
#include "VSC_kvm.h"
#include "conf/options.h"

#define BACKOFF_MAX	60.

const char *
kvm_state_name(enum kvm_state s)
{

	switch (s) {
	case KVM_IDLE:		return ("idle");
	case KVM_BOOTING:	return ("booting");
	case KVM_READY:		return ("ready");
	case KVM_FAILED:	return ("failed");
	default:		return ("?");
	}
}

/* ---- state -------------------------------------------------------------- */

static void
tenant_state(struct kvm_tenant *t, enum kvm_state s, const char *error)
{

	double now = VTIM_real();

	AZ(pthread_mutex_lock(&t->mtx));
	t->state = s;
	__atomic_store(&t->since, &now, __ATOMIC_RELAXED);
	if (s == KVM_FAILED) {
		t->retry = VTIM_mono() +
		    fmin(exp2((double)t->failures), BACKOFF_MAX);
		t->failures++;
	} else if (s != KVM_BOOTING) {
		t->failures = 0;
	}
	/* While it is booting again, the last error is still of interest. */
	if (s != KVM_BOOTING)
		(void)snprintf(t->error, sizeof t->error, "%s",
		    error == NULL ? "" : error);
	AZ(pthread_mutex_unlock(&t->mtx));
	kvm_counters_state(t, s);
	if (s == KVM_READY || s == KVM_FAILED)
		VRT_SetChanged(t->dir, now);
}

void
kvm_tenant_info(struct kvm_tenant *t, struct kvm_tenant_info *i)
{

	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	AN(i);
	AZ(pthread_mutex_lock(&t->mtx));
	i->state = t->state;
	i->since = t->since;
	i->failures = t->failures;
	i->retry_in = t->state == KVM_FAILED ?
	    fmax(t->retry - VTIM_mono(), 0.) : 0.;
	(void)memcpy(i->error, t->error, sizeof i->error);
	AZ(pthread_mutex_unlock(&t->mtx));
}

/* ---- boot --------------------------------------------------------------- */

/* On a thread of the pool, which waits for it when it is freed. */
static void
tenant_renewed(void *priv)
{
	struct kvm_tenant *t;
	struct tkvm_pool *pool;

	CAST_OBJ_NOTNULL(t, priv, KVM_TENANT_MAGIC);
	kvm_image_renewed(t->img);
	pool = kvm_tenant_pool(t);
	if (pool != NULL)
		kvm_counters_pool(t, pool);
}

static struct tkvm_pool *
tenant_boot(struct kvm_tenant *t, struct tkvm_error *err)
{
	struct tkvm_image *image;
	struct tkvm_pool *pool = NULL;
	int booted;

	image = kvm_image_boot(t->img, t->opt, &t->stop, &booted, err);
	if (image != NULL) {
		kvm_counters_image(t, image);
		pool = tkvm_pool_new(image, err);
		if (pool != NULL)
			tkvm_pool_renewed(pool, tenant_renewed, t);
		tkvm_image_unref(&image);
	}
	kvm_counters_boot(t, booted, pool == NULL && !t->stop);
	return (pool);
}

/* Sleep until the next attempt; 0: stop. */
static int
tenant_backoff(struct kvm_tenant *t)
{
	struct timespec ts;
	double when;
	int stop;

	AZ(pthread_mutex_lock(&t->mtx));
	when = t->retry;
	ts.tv_sec = (time_t)when;
	ts.tv_nsec = (long)((when - floor(when)) * 1e9);
	while (!t->stop && VTIM_mono() < when)
		(void)pthread_cond_timedwait(&t->cond, &t->mtx, &ts);
	stop = t->stop;
	AZ(pthread_mutex_unlock(&t->mtx));
	return (!stop);
}

static void *
tenant_main(void *priv)
{
	struct kvm_tenant *t;
	struct tkvm_pool *pool;
	struct tkvm_error err;

	CAST_OBJ_NOTNULL(t, priv, KVM_TENANT_MAGIC);
	THR_SetName("kvm-boot");
	do {
		tenant_state(t, KVM_BOOTING, NULL);
		(void)memset(&err, 0, sizeof err);
		pool = tenant_boot(t, &err);
		if (pool != NULL) {
			kvm_counters_pool(t, pool);
			__atomic_store_n(&t->pool, pool, __ATOMIC_RELEASE);
			tenant_state(t, KVM_READY, NULL);
			break;
		}
		if (t->stop)
			break;
		kvm_log_error(NULL, t->name, err.text);
		tenant_state(t, KVM_FAILED, err.text);
	} while (tenant_backoff(t));
	return (NULL);
}

/* With the lock. */
static int
tenant_thread(struct kvm_tenant *t)
{
	int i;

	AZ(t->has_thread);
	i = pthread_create(&t->thread, NULL, tenant_main, t);
	if (i == 0)
		t->has_thread = 1;
	return (i);
}

static void
tenant_no_thread(struct kvm_tenant *t, int e)
{
	char text[128];

	(void)snprintf(text, sizeof text, "%s: no thread to boot in: %s",
	    t->name, strerror(e));
	kvm_log_error(NULL, t->name, text);
	tenant_state(t, KVM_FAILED, text);
}

void
kvm_tenant_warm(struct kvm_tenant *t)
{
	int i;

	ASSERT_CLI();
	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	AZ(t->pool);
	AZ(pthread_mutex_lock(&t->mtx));
	t->stop = 0;
	i = tenant_thread(t);
	AZ(pthread_mutex_unlock(&t->mtx));
	if (i != 0)
		tenant_no_thread(t, i);
}

/*
 * A tenant that got no thread has nobody who would try again: its requests do,
 * and who asks for its health.  They keep the VCL warm meanwhile, so no COLD
 * comes between.
 */
void
kvm_tenant_retry(struct kvm_tenant *t)
{
	int i = 0;

	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	AZ(pthread_mutex_lock(&t->mtx));
	if (t->state == KVM_FAILED && !t->has_thread &&
	    VTIM_mono() >= t->retry)
		i = tenant_thread(t);
	AZ(pthread_mutex_unlock(&t->mtx));
	if (i != 0)
		tenant_no_thread(t, i);
}

/* ---- cold --------------------------------------------------------------- */

static void
tenant_cancel(struct kvm_tenant *t)
{

	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	AZ(pthread_mutex_lock(&t->mtx));
	t->stop = 1;
	AZ(pthread_cond_broadcast(&t->cond));
	AZ(pthread_mutex_unlock(&t->mtx));
}

static void
tenant_join(struct kvm_tenant *t)
{

	if (!t->has_thread)
		return;
	AZ(pthread_join(t->thread, NULL));
	t->has_thread = 0;
}

static void *
tenant_drain(void *priv)
{
	struct kvm_tenant *t;
	struct tkvm_pool *pool;

	CAST_OBJ_NOTNULL(t, priv, KVM_TENANT_MAGIC);
	pool = __atomic_exchange_n(&t->pool, NULL, __ATOMIC_ACQ_REL);
	AN(pool);
	kvm_counters_pool_gone(t, pool);
	tkvm_pool_free(&pool);
	return (NULL);
}

static void
tenant_drain_start(struct kvm_tenant *t)
{

	if (kvm_tenant_pool(t) == NULL)
		return;
	AZ(t->has_thread);
	if (pthread_create(&t->thread, NULL, tenant_drain, t) == 0)
		t->has_thread = 1;
	else
		(void)tenant_drain(t);
}

/*
 * Taking down a fork may wait 10 ms in the kernel, so tenants do it at the
 * same time.  No request is in flight: Varnish saw to that.
 */
void
kvm_tenants_cold(struct kvm_tenant **v, unsigned n)
{
	unsigned u;

	ASSERT_CLI();
	for (u = 0; u < n; u++)
		tenant_cancel(v[u]);
	kvm_image_wake();
	for (u = 0; u < n; u++)
		tenant_join(v[u]);
	for (u = 0; u < n; u++)
		tenant_drain_start(v[u]);
	for (u = 0; u < n; u++) {
		tenant_join(v[u]);
		tenant_state(v[u], KVM_IDLE, NULL);
	}
}

/* ---- new and free ------------------------------------------------------- */

static void
tenant_init_locks(struct kvm_tenant *t)
{
	pthread_condattr_t attr;

	AZ(pthread_mutex_init(&t->mtx, NULL));
	AZ(pthread_mutex_init(&t->stat_mtx, NULL));
	AZ(pthread_condattr_init(&attr));
	AZ(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	AZ(pthread_cond_init(&t->cond, &attr));
	AZ(pthread_condattr_destroy(&attr));
}

static int
tenant_options(struct kvm_tenant *t, const struct tkvm_options *opt)
{

	t->name = strdup(opt->tenant);
	t->opt = tkvm_options_dup(opt);
	if (t->name == NULL || t->opt == NULL)
		return (-1);
	/* What makes kvm.deliver() what it is: each request starts anew. */
	t->opt->ephemeral = 1;
	t->img = kvm_image_get(t->opt, t->name);
	if (t->img == NULL)
		return (-1);
	tkvm_options_log(t->opt, kvm_log_image, t->img);
	return (0);
}

/* NULL with *err. */
struct kvm_tenant *
kvm_tenant_new(VRT_CTX, const struct tkvm_options *opt,
    struct tkvm_error *err)
{
	struct kvm_tenant *t;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	AN(opt);
	AN(err);
	err->code = TKVM_E_MEMORY;
	(void)snprintf(err->text, sizeof err->text,
	    "%.64s: the host is short of memory", opt->tenant);
	ALLOC_OBJ(t, KVM_TENANT_MAGIC);
	if (t == NULL)
		return (NULL);
	tenant_init_locks(t);
	t->since = VTIM_real();
	if (tenant_options(t, opt) == 0)
		t->vsc = kvm_counters_new(ctx, t, err);
	if (t->vsc != NULL)
		t->dir = VRT_AddDirector(ctx, kvm_director_methods, t, "%s",
		    t->name);
	if (t->dir == NULL) {
		kvm_tenant_free(&t);
		return (NULL);
	}
	VRT_StaticDirector(t->dir);
	return (t);
}

/* Called when the director goes, see director.c. */
void
kvm_tenant_free(struct kvm_tenant **p)
{
	struct kvm_tenant *t;

	TAKE_OBJ_NOTNULL(t, p, KVM_TENANT_MAGIC);
	AZ(t->has_thread);
	AZ(t->pool);
	AZ(t->inflight);
	if (t->vsc_seg != NULL)
		VSC_kvm_Destroy(&t->vsc_seg);
	if (t->img != NULL)
		kvm_image_rel(&t->img);
	if (t->opt != NULL)
		tkvm_options_free(&t->opt);
	AZ(pthread_cond_destroy(&t->cond));
	AZ(pthread_mutex_destroy(&t->stat_mtx));
	AZ(pthread_mutex_destroy(&t->mtx));
	free(t->name);
	FREE_OBJ(t);
}
