/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One request: take a fork, send the request, make the answer's header, and
 * give the fork back.
 *
 * A struct kvm_fetch hangs on the PRIV_TASK of the backend task, and there is
 * one place that gives its fork back: the fini of that.  Varnish calls it
 * when the task is over, after the object is finished (so no client waits for
 * the reset), and on a rollback.  A retry is the same task: its gethdrs ends
 * the fetch before it, or a tenant with one fork would wait for itself.
 *
 * That of kvm.synth() hangs on the task it is called in, usually the client's
 * request, which is over when the answer has been delivered.  As the answer is
 * copied long before, its fork is parked meanwhile: whoever needs it may have
 * it, or a client that does not read would hold it.
 */

#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmod_kvm.h"
#include "vrt_obj.h"
#include "vsa.h"
#include "vtim.h"
#include "conf/options.h"

double
kvm_until(double dur)
{

	return (isnan(dur) || isinf(dur) ? 0. : VTIM_mono() + fmax(dur, 0.));
}

/* ---- log, failure -------------------------------------------------------- */

/* Two digits, backwards from `e` */
static char *
put_pair(char *e, unsigned v)
{
	static const char pairs[] =
	    "0001020304050607080910111213141516171819"
	    "2021222324252627282930313233343536373839"
	    "4041424344454647484950515253545556575859"
	    "6061626364656667686970717273747576777879"
	    "8081828384858687888990919293949596979899";

	return (memcpy(e - 2, pairs + v * 2, 2));
}

/* " %.6f", backwards from `e`; what is left of it. */
static char *
put_time(char *e, double t)
{
	uint64_t us = t <= 0. ? 0 : (uint64_t)(t * 1e6 + .5);
	uint64_t sec = us / 1000000;
	unsigned part = (unsigned)(us - sec * 1000000);

	e = put_pair(e, part % 100);
	e = put_pair(e, part / 100 % 100);
	e = put_pair(e, part / 10000);
	*--e = '.';
	for (; sec >= 10; sec /= 100)
		e = put_pair(e, (unsigned)(sec % 100));
	if (sec > 0 || *e == '.')
		*--e = (char)('0' + sec);
	*--e = ' ';
	return (e);
}

/*
 * VSLb_ts_busyobj() and VSLb_ts_req(), whose printing of three floating point
 * numbers takes a twentieth of the whole time that Varnish spends on a
 * synthetic answer, each time.
 */
void
kvm_fetch_ts(const struct kvm_fetch *f, const char *event)
{
	vtim_real now = W_TIM_real(f->wrk), first, *prev;
	char text[128], *b;
	size_t n;
	txt t;

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	first = f->bo != NULL ? f->bo->t_first : f->req->t_first;
	prev = f->bo != NULL ? &f->bo->t_prev : &f->req->t_prev;
	if (isnan(first) || *prev == 0.)
		return;
	b = put_time(text + sizeof text, now - *prev);
	b = put_time(b, now - first);
	b = put_time(b, now);
	*--b = ':';
	n = strlen(event);
	assert(n < (size_t)(b - text));
	b -= n;
	(void)memcpy(b, event, n);
	t.b = b;
	t.e = text + sizeof text;
	VSLbt(f->vsl, SLT_Timestamp, t);
	*prev = now;
}

/* "0 NAME" and the rest: VSLb() would print it for 1,000 instructions. */
static void
fetch_log_backend(const struct kvm_fetch *f, enum VSL_tag_e tag,
    const char *rest)
{
	size_t n = strlen(f->tenant->name), r = strlen(rest);
	char text[256];
	txt t;

	if (n > sizeof text - 2 - r)
		n = sizeof text - 2 - r;
	(void)memcpy(text, "0 ", 2);
	(void)memcpy(text + 2, f->tenant->name, n);
	(void)memcpy(text + 2 + n, rest, r);
	t.b = text;
	t.e = text + 2 + n + r;
	VSLbt(f->vsl, tag, t);
}

static void
fetch_log_failure(struct kvm_fetch *f, const char *what)
{

	f->failed = 1;
	VSLb(f->vsl, SLT_FetchError, "%s %s: %s",
	    f->synth ? "kvm.synth" : "backend", f->tenant->name, what);
	kvm_log_error(f->vsl, f->tenant->name, f->err.text);
}

int
kvm_fetch_fail(struct kvm_fetch *f)
{

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	switch (f->err.code) {
	case TKVM_E_KVM:
	case TKVM_E_MEMORY:
	case TKVM_E_INTERNAL:
		f->broken = 1;
		break;
	default:
		/* The reset takes back whatever the guest did. */
		break;
	}
	kvm_counters_error(f->tenant, f->err.code);
	fetch_log_failure(f, tkvm_code_name(f->err.code));
	return (-1);
}

int
kvm_fetch_fail_ours(struct kvm_fetch *f, const char *text)
{

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	(void)snprintf(f->err.text, sizeof f->err.text, "%.64s: %s",
	    f->tenant->name, text);
	kvm_counters_error(f->tenant, TKVM_E_INTERNAL);
	fetch_log_failure(f, text);
	return (-1);
}

/* ---- begin and end ------------------------------------------------------- */

static enum kvm_outcome
fetch_outcome(const struct kvm_fetch *f)
{

	if (f->failed)
		return (KVM_OUT_ERROR);
	if (f->done ||
	    (f->exchange != NULL && tkvm_exchange_done(f->exchange)))
		return (KVM_OUT_OK);
	return (KVM_OUT_ABANDONED);
}

static int
fetch_give(struct kvm_fetch *f)
{

	if (f->parked != 0)
		return (tkvm_pool_unpark(f->pool, f->parked));
	if (f->fork == NULL)
		return (0);
	/* Somebody else's from here on. */
	tkvm_fork_log(f->fork, NULL, NULL);
	tkvm_pool_give(f->pool, &f->fork, f->broken);
	return (1);
}

static void v_matchproto_(vmod_priv_fini_f)
kvm_fetch_fini(VRT_CTX, void *priv)
{
	struct kvm_fetch *f;
	enum kvm_outcome outcome;

	(void)ctx;
	CAST_OBJ_NOTNULL(f, priv, KVM_FETCH_MAGIC);
	outcome = fetch_outcome(f);
	if (f->exchange != NULL)
		tkvm_exchange_free(&f->exchange);
	if (fetch_give(f))
		kvm_fetch_ts(f, "Reset");
	kvm_counters_end(f, outcome);
	FREE_OBJ(f);
}

static const struct vmod_priv_methods kvm_fetch_methods[1] = {{
	.magic =	VMOD_PRIV_METHODS_MAGIC,
	.type =		"kvm_fetch",
	.fini =		kvm_fetch_fini,
}};

struct kvm_fetch *
kvm_fetch_new(VRT_CTX, struct kvm_tenant *t, int synth)
{
	struct vmod_priv *priv;
	struct kvm_fetch *f = NULL;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	priv = VRT_priv_task(ctx, kvm_fetch_methods);
	if (priv != NULL && priv->priv != NULL) {
		kvm_fetch_fini(ctx, priv->priv);
		priv->priv = NULL;
	}
	if (priv != NULL)
		ALLOC_OBJ(f, KVM_FETCH_MAGIC);
	if (f == NULL) {
		VSLb(ctx->vsl, SLT_FetchError, "%s %s: out of workspace or "
		    "memory", synth ? "kvm.synth" : "backend", t->name);
		return (NULL);
	}
	f->tenant = t;
	f->synth = synth;
	f->bo = ctx->bo;
	f->req = ctx->bo == NULL ? ctx->req : NULL;
	f->wrk = ctx->bo == NULL ? ctx->req->wrk : ctx->bo->wrk;
	f->vsl = ctx->vsl;
	kvm_counters_begin(f);
	priv->priv = f;
	priv->methods = kvm_fetch_methods;
	return (f);
}

void
kvm_fetch_park(struct kvm_fetch *f)
{

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	AN(tkvm_exchange_done(f->exchange));
	f->done = 1;
	tkvm_exchange_free(&f->exchange);
	tkvm_fork_log(f->fork, NULL, NULL);
	f->parked = tkvm_pool_park(f->pool, &f->fork);
}

/* ---- a fork -------------------------------------------------------------- */

static int
fetch_not_ready(struct kvm_fetch *f, unsigned *later)
{
	struct kvm_tenant_info i;

	kvm_tenant_retry(f->tenant);
	kvm_tenant_info(f->tenant, &i);
	kvm_counters_not_ready(f->tenant);
	(void)snprintf(f->err.text, sizeof f->err.text, "%.64s: not ready: "
	    "%s%s%.400s", f->tenant->name, kvm_state_name(i.state),
	    i.error[0] == '\0' ? "" : ": ", i.error);
	fetch_log_failure(f, "not ready");
	f->text = "The application is not ready.\n";
	*later = i.state == KVM_FAILED ? (unsigned)i.retry_in + 2 : 5;
	return (-1);
}

static int
fetch_take(struct kvm_fetch *f, unsigned *later)
{
	double queued = 0.;

	f->fork = tkvm_pool_take(f->pool, &queued, &f->err);
	kvm_counters_queue(f->tenant, queued);
	kvm_fetch_ts(f, "Queue");
	if (f->fork == NULL) {
		if (f->err.code == TKVM_E_BUSY) {
			f->text = "The application is busy.\n";
			*later = 1;
		}
		return (kvm_fetch_fail(f));
	}
	if (!f->synth)
		fetch_log_backend(f, SLT_BackendOpen, " kvm - kvm - reuse");
	tkvm_fork_log(f->fork, kvm_log_fetch, f);
	return (0);
}

/* 0: the tenant's max-request-time from now. */
static double
fetch_deadline(const struct kvm_fetch *f)
{
	double end, max;

	if (f->bo == NULL)
		return (0.);
	end = kvm_task_deadline(f->bo);
	if (end <= 0.)
		return (0.);
	max = f->tenant->opt->max_request_time;
	return (VTIM_mono() + fmax(fmin(end - VTIM_real(), max), 1e-3));
}

/* What the guest's getpeername() says: client.ip. */
static const struct sockaddr *
fetch_peer(VRT_CTX, socklen_t *len)
{
	VCL_IP ip;

	*len = 0;
	if (ctx->sp == NULL)
		return (NULL);
	ip = VRT_r_client_ip(ctx);
	/* A Unix-domain socket has no address. */
	if (ip == NULL || !VSA_Sane(ip) || VSA_Compare(ip, bogo_ip) == 0)
		return (NULL);
	return (VSA_Get_Sockaddr(ip, len));
}

static int
fetch_open(VRT_CTX, struct kvm_fetch *f)
{
	const struct sockaddr *peer;
	socklen_t len;

	peer = fetch_peer(ctx, &len);
	if (tkvm_fork_open(f->fork, peer, len, fetch_deadline(f),
	    &f->err) != 0)
		return (kvm_fetch_fail(f));
	f->exchange = tkvm_exchange_new(f->fork, !f->synth &&
	    http_method_eq(http_GetMethod(f->bo->bereq), HEAD), &f->err);
	if (f->exchange == NULL)
		return (kvm_fetch_fail(f));
	return (0);
}

int
kvm_fetch_begin(VRT_CTX, struct kvm_fetch *f, unsigned *later)
{

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	AN(later);
	*later = 0;
	f->pool = kvm_tenant_pool(f->tenant);
	if (f->pool == NULL)
		return (fetch_not_ready(f, later));
	if (!VRT_Healthy(ctx, f->tenant->dir, NULL))
		return (kvm_fetch_fail_ours(f, "set sick by backend.set_health"
		    ));
	if (fetch_take(f, later) != 0)
		return (-1);
	return (fetch_open(ctx, f));
}

/* ---- the whole of it ----------------------------------------------------- */

int
kvm_fetch_head(struct kvm_fetch *f, struct tkvm_response *resp)
{
	double until = 0.;

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	if (!f->synth)
		until = kvm_until(kvm_timeout(f->bo->first_byte_timeout,
		    cache_param->first_byte_timeout));
	if (tkvm_exchange_head(f->exchange, until, resp, &f->err) != 0) {
		kvm_fetch_ts(f, "Run");
		return (kvm_fetch_fail(f));
	}
	kvm_fetch_ts(f, "Fbyte");
	return (0);
}

int
kvm_fetch_gethdrs(VRT_CTX, struct kvm_tenant *t)
{
	struct tkvm_response resp;
	struct kvm_fetch *f;
	unsigned later;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(ctx->bo, BUSYOBJ_MAGIC);
	AZ(ctx->bo->htc);
	f = kvm_fetch_new(ctx, t, 0);
	if (f == NULL)
		return (-1);
	if (kvm_fetch_begin(ctx, f, &later) != 0)
		return (later > 0 ? kvm_response_later(f, later) : -1);
	if (kvm_request_send(f) != 0 || kvm_fetch_head(f, &resp) != 0)
		return (-1);
	f->between_bytes = kvm_timeout(f->bo->between_bytes_timeout,
	    cache_param->between_bytes_timeout);
	return (kvm_response_make(f, &resp));
}

/* Varnish has what it wants of the answer; the fork stays with the task. */
void
kvm_fetch_detach(struct busyobj *bo)
{
	struct kvm_fetch *f;

	CHECK_OBJ_NOTNULL(bo, BUSYOBJ_MAGIC);
	CHECK_OBJ_NOTNULL(bo->htc, HTTP_CONN_MAGIC);
	CAST_OBJ_NOTNULL(f, bo->htc->priv, KVM_FETCH_MAGIC);
	bo->htc->priv = NULL;
	bo->htc = NULL;
	if (f->fork == NULL)
		return;
	kvm_fetch_ts(f, "Run");
	fetch_log_backend(f, SLT_BackendClose, "");
}
