/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * vmod_kvm: the tenants of a VCL as Varnish backends.
 *
 *	struct kvm_vcl		one per loaded VCL (PRIV_VCL)
 *	  struct kvm_tenant	a program with its options: director, counters,
 *				boot thread, pool of forks
 *	    struct kvm_image	a booted program, shared by all tenants of the
 *				process whose options make the same image
 *	struct kvm_fetch	one request in flight (PRIV_TASK of the fetch,
 *				or of the client's request: kvm.synth())
 *
 * Where to look: vmod_kvm.c functions and VCL events, tenant.c life cycle,
 * images.c sharing, director.c what Varnish asks of a backend, list.c
 * backend.list, fetch.c one request from fork to reset, reqbody.c request
 * bytes in, response.c header out, vfp.c body out, synth.c kvm.synth(),
 * counters.c VSC and JSON, log.c VSL.
 *
 * Locks.  Nobody holds two of them, and none while a guest boots, runs or is
 * reset:
 *	kvm_tenant.mtx		state, error, stop; its condition wakes the
 *				boot thread from its back-off
 *	images_mtx (images.c)	the registry; its condition wakes those who
 *				wait for somebody else's boot
 *	kvm_tenant.stat_mtx	the copy of the pool's numbers in the VSC
 * (The last one is held over tkvm_pool_stats(), which has a lock of its own.)
 * The way of a request takes none of the first two: kvm_tenant.pool is read
 * atomically.  It appears when the tenant is ready and goes away on COLD, and
 * Varnish sends COLD only when no task holds a reference to the VCL.
 */

#ifndef VMOD_KVM_H
#define VMOD_KVM_H

#include <pthread.h>
#include <stdint.h>

#include "cache/cache_varnishd.h"
#include "cache/cache_director.h"
#include "cache/cache_filter.h"
#include "vqueue.h"

#include "tkvm.h"
#include "compat.h"

struct VSC_kvm;
struct vsc_seg;

/* ---- images.c ----------------------------------------------------------- */

struct kvm_image {
	unsigned		magic;
#define KVM_IMAGE_MAGIC		0x4b56496d
	VTAILQ_ENTRY(kvm_image)	list;
	char			hash[33];
	char			*name;		/* of the first tenant */
	unsigned		refs;
	int			booting;	/* somebody is at it */
	unsigned		failed;		/* boots that did */
	struct tkvm_error	err;		/* of the last one */
	struct tkvm_image	*image;
};

struct kvm_image *kvm_image_get(const struct tkvm_options *, const char *name);
void kvm_image_rel(struct kvm_image **);
struct tkvm_image *kvm_image_boot(struct kvm_image *,
    const struct tkvm_options *, const volatile int *cancel, int *booted,
    struct tkvm_error *);
void kvm_image_wake(void);
void kvm_image_renewed(struct kvm_image *);

/* ---- tenant.c ----------------------------------------------------------- */

enum kvm_state {
	KVM_IDLE,			/* the VCL is cold */
	KVM_BOOTING,
	KVM_READY,
	KVM_FAILED			/* until the next attempt */
};

struct kvm_tenant {
	unsigned		magic;
#define KVM_TENANT_MAGIC	0x4b565465
	char			*name;
	struct tkvm_options	*opt;
	struct kvm_image	*img;
	VCL_BACKEND		dir;

	struct VSC_kvm		*vsc;
	struct vsc_seg		*vsc_seg;
	pthread_mutex_t		stat_mtx;
	struct tkvm_pool_stats	past;		/* of pools that are gone */
	double			stat_time;	/* when the VSC was updated */
	unsigned		inflight;	/* atomic */

	struct tkvm_pool	*pool;		/* atomic; NULL: not ready */

	pthread_mutex_t		mtx;
	pthread_cond_t		cond;
	pthread_t		thread;
	int			has_thread;
	volatile int		stop;
	enum kvm_state		state;
	double			since;		/* of the state, real time */
	double			retry;		/* next attempt, monotonic */
	unsigned		failures;	/* in a row */
	char			error[sizeof ((struct tkvm_error *)0)->text];
};

/* What list.c and response.c say about a tenant. */
struct kvm_tenant_info {
	enum kvm_state		state;
	double			since;
	double			retry_in;	/* s, or 0 */
	unsigned		failures;
	char			error[sizeof ((struct tkvm_error *)0)->text];
};

struct kvm_tenant *kvm_tenant_new(VRT_CTX, const struct tkvm_options *,
    struct tkvm_error *);
void kvm_tenant_free(struct kvm_tenant **);
void kvm_tenant_warm(struct kvm_tenant *);
void kvm_tenant_retry(struct kvm_tenant *);
/* Several at once, because each may wait for its boot thread and its pool. */
void kvm_tenants_cold(struct kvm_tenant **, unsigned n);
void kvm_tenant_info(struct kvm_tenant *, struct kvm_tenant_info *);
const char *kvm_state_name(enum kvm_state);

static inline struct tkvm_pool *
kvm_tenant_pool(const struct kvm_tenant *t)
{

	return (__atomic_load_n(&t->pool, __ATOMIC_ACQUIRE));
}

/* ---- director.c, list.c ------------------------------------------------- */

extern const struct vdi_methods kvm_director_methods[1];
vdi_list_f kvm_director_list;

/* ---- fetch.c ------------------------------------------------------------ */

struct kvm_fetch {
	unsigned		magic;
#define KVM_FETCH_MAGIC		0x4b564665
	struct kvm_tenant	*tenant;
	struct busyobj		*bo;		/* NULL: in vcl_synth */
	struct req		*req;		/* there */
	struct worker		*wrk;
	struct vsl_log		*vsl;
	int			synth;		/* kvm.synth() */
	struct tkvm_pool	*pool;
	uint64_t		parked;		/* ticket of the fork */
	struct tkvm_fork	*fork;
	struct tkvm_exchange	*exchange;
	double			between_bytes;	/* 0: no limit */
	int			failed;		/* logged and counted */
	int			broken;		/* do not reuse the fork */
	int			done;		/* all of it was copied */
	uint64_t		req_bytes, resp_bytes;
	struct tkvm_error	err;

	const char		*text;		/* an answer of our own */
	size_t			textlen;
};

int kvm_fetch_gethdrs(VRT_CTX, struct kvm_tenant *);
void kvm_fetch_detach(struct busyobj *);
/*
 * A new one for this task, with the pool, or NULL: logged.  The one before it
 * in the same task is over then.
 */
struct kvm_fetch *kvm_fetch_new(VRT_CTX, struct kvm_tenant *, int synth);
/*
 * A fork and an open connection to it.  0, or -1: logged, *later is after how
 * many seconds another attempt makes sense, 0: the request has failed.
 */
int kvm_fetch_begin(VRT_CTX, struct kvm_fetch *, unsigned *later);
/* The header of the answer; -1: logged. */
int kvm_fetch_head(struct kvm_fetch *, struct tkvm_response *);
/* The whole answer was copied: the fork need not wait for its delivery. */
void kvm_fetch_park(struct kvm_fetch *);
void kvm_fetch_ts(const struct kvm_fetch *, const char *event);
/* Log f->err, what the library said, and count it; -1. */
int kvm_fetch_fail(struct kvm_fetch *);
/* The same for what is neither the guest's fault nor the machine's. */
int kvm_fetch_fail_ours(struct kvm_fetch *, const char *text);
/* Absolute monotonic time in `dur` seconds; 0 for "no limit". */
double kvm_until(double dur);

/* ---- reqbody.c ---------------------------------------------------------- */

int kvm_request_send(struct kvm_fetch *);
/* There was a body, and somebody has read it. */
int kvm_request_consumed(const struct kvm_fetch *);

/* ---- response.c --------------------------------------------------------- */

int kvm_response_make(struct kvm_fetch *, const struct tkvm_response *);
/* A 503 of our own with Retry-After and f->text; what gethdrs returns. */
int kvm_response_later(struct kvm_fetch *, unsigned seconds);

/* ---- synth.c ------------------------------------------------------------ */

/* 1: the answer is in ctx->http_resp or _beresp, and ctx->specific. */
int kvm_synth(VRT_CTX, struct kvm_tenant *);

/* ---- vfp.c -------------------------------------------------------------- */

extern const struct vfp kvm_vfp;
extern const struct vfp kvm_vfp_text;

/* ---- counters.c --------------------------------------------------------- */

enum kvm_outcome { KVM_OUT_OK, KVM_OUT_ERROR, KVM_OUT_ABANDONED };

struct VSC_kvm *kvm_counters_new(VRT_CTX, struct kvm_tenant *,
    struct tkvm_error *);
void kvm_counters_state(struct kvm_tenant *, enum kvm_state);
void kvm_counters_boot(struct kvm_tenant *, int booted, int failed);
void kvm_counters_image(struct kvm_tenant *, const struct tkvm_image *);
void kvm_counters_error(struct kvm_tenant *, enum tkvm_code);
void kvm_counters_not_ready(struct kvm_tenant *);
void kvm_counters_queue(struct kvm_tenant *, double seconds);
void kvm_counters_begin(const struct kvm_fetch *);
void kvm_counters_end(const struct kvm_fetch *, enum kvm_outcome);
void kvm_counters_pool(struct kvm_tenant *, struct tkvm_pool *);
void kvm_counters_pool_gone(struct kvm_tenant *, struct tkvm_pool *);
void kvm_counters_json(struct kvm_tenant *, struct vsb *);

/* ---- log.c -------------------------------------------------------------- */

tkvm_log_f kvm_log_fetch;	/* priv: struct kvm_fetch */
tkvm_log_f kvm_log_image;	/* priv: struct kvm_image */
/* "kvm: text", with the tenant's name if the text lacks it; any length. */
void kvm_log_error(struct vsl_log *, const char *name, const char *text);

/* ---- vmod_kvm.c --------------------------------------------------------- */

struct kvm_vcl {
	unsigned		magic;
#define KVM_VCL_MAGIC		0x4b565663
	struct kvm_tenant	**tenant;	/* sorted by name */
	unsigned		n;
};

#endif
