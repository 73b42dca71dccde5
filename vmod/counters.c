/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Counters of a tenant: VSC (varnishstat) and the JSON of kvm.stats().
 *
 * What the director sees is counted with atomic adds.  What happens inside
 * of the pool (exits, resets, pages) is copied from tkvm_pool_stats(), which
 * takes the pool's lock: after the last request in flight, and under load
 * ten times a second.
 */

#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "vmod_kvm.h"
#include "vsb.h"
#include "vtim.h"
#include "VSC_kvm.h"

#define REFRESH		.1
#define ROOM		(128 * 1024)	/* bytes and files to be left */
#define ROOM_FILES	8

#define ADD(t, f, n)	(void)__atomic_fetch_add(&(t)->vsc->f, (n),	\
			    __ATOMIC_RELAXED)
#define SET(t, f, n)	__atomic_store_n(&(t)->vsc->f, (n), __ATOMIC_RELAXED)

/*
 * Varnish keeps counters in a file of its working directory (our current one),
 * and panics when that has no room.  A disk that is full is no reason to lose
 * all requests at hand: so look first, and leave it some for its own.
 */
static int
disk_full(void)
{
	struct statvfs s;
	uintmax_t room;

	if (statvfs(".", &s) != 0 || s.f_blocks == 0)
		return (0);
	room = geteuid() == 0 ? s.f_bfree : s.f_bavail;
	if (room < ROOM / (s.f_frsize > 0 ? s.f_frsize : 1) + 1)
		return (1);
	return (s.f_files > 0 &&
	    (geteuid() == 0 ? s.f_ffree : s.f_favail) < ROOM_FILES);
}

/* NULL with *err. */
struct VSC_kvm *
kvm_counters_new(VRT_CTX, struct kvm_tenant *t, struct tkvm_error *err)
{

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	if (disk_full()) {
		(void)snprintf(err->text, sizeof err->text, "tenant \"%.64s\": "
		    "Varnish's working directory is full, there is no room for "
		    "counters (free some there, or choose another one with "
		    "varnishd -n)",
		    t->name);
		return (NULL);
	}
	return (VSC_kvm_New(NULL, &t->vsc_seg, "%s.%s", VCL_Name(ctx->vcl),
	    t->name));
}

void
kvm_counters_state(struct kvm_tenant *t, enum kvm_state s)
{

	SET(t, ready, s == KVM_READY);
}

void
kvm_counters_boot(struct kvm_tenant *t, int booted, int failed)
{

	if (booted)
		ADD(t, boots, 1);
	if (failed)
		ADD(t, boot_failures, 1);
}

void
kvm_counters_image(struct kvm_tenant *t, const struct tkvm_image *image)
{
	struct tkvm_image_stats s;

	tkvm_image_stats(image, &s);
	SET(t, image_bytes, s.ram_bytes);
}

/* ---- requests ------------------------------------------------------------ */

void
kvm_counters_error(struct kvm_tenant *t, enum tkvm_code code)
{

	switch (code) {
	case TKVM_E_BUSY:	ADD(t, err_busy, 1); break;
	case TKVM_E_TIMEOUT:	ADD(t, err_timeout, 1); break;
	case TKVM_E_CRASH:	ADD(t, err_crash, 1); break;
	case TKVM_E_EXIT:	ADD(t, err_exit, 1); break;
	case TKVM_E_STUCK:	ADD(t, err_stuck, 1); break;
	case TKVM_E_CLOSED:	ADD(t, err_closed, 1); break;
	case TKVM_E_PROTO:	ADD(t, err_protocol, 1); break;
	case TKVM_E_LIMIT:	ADD(t, err_limit, 1); break;
	default:		ADD(t, err_other, 1); break;
	}
}

void
kvm_counters_not_ready(struct kvm_tenant *t)
{

	ADD(t, not_ready, 1);
}

void
kvm_counters_queue(struct kvm_tenant *t, double seconds)
{

	if (seconds > 0.)
		ADD(t, queue_us, (uint64_t)(seconds * 1e6));
}

void
kvm_counters_begin(const struct kvm_fetch *f)
{
	struct kvm_tenant *t = f->tenant;

	(void)__atomic_add_fetch(&t->inflight, 1, __ATOMIC_RELAXED);
	ADD(t, requests, 1);
	if (f->synth)
		ADD(t, synths, 1);
}

static int
refresh_due(struct kvm_tenant *t)
{
	double last, now = VTIM_mono();

	__atomic_load(&t->stat_time, &last, __ATOMIC_RELAXED);
	if (now - last < REFRESH)
		return (0);
	__atomic_store(&t->stat_time, &now, __ATOMIC_RELAXED);
	return (1);
}

/* The fork is back in the pool. */
void
kvm_counters_end(const struct kvm_fetch *f, enum kvm_outcome outcome)
{
	struct kvm_tenant *t = f->tenant;

	ADD(t, req_bytes, f->req_bytes);
	ADD(t, resp_bytes, f->resp_bytes);
	if (outcome == KVM_OUT_OK)
		ADD(t, ok, 1);
	else if (outcome == KVM_OUT_ABANDONED)
		ADD(t, abandoned, 1);
	if ((__atomic_sub_fetch(&t->inflight, 1, __ATOMIC_ACQ_REL) == 0 ||
	    refresh_due(t)) && f->pool != NULL)
		kvm_counters_pool(t, f->pool);
}

/* ---- pools --------------------------------------------------------------- */

static void
pool_add(struct tkvm_pool_stats *to, const struct tkvm_pool_stats *s)
{

	to->queued += s->queued;
	to->reset_failures += s->reset_failures;
	to->renewed += s->renewed;
	to->sum.exits += s->sum.exits;
	to->sum.limited += s->sum.limited;
	to->sum.resets += s->sum.resets;
	to->sum.pages_reset += s->sum.pages_reset;
	to->sum.run_ns += s->sum.run_ns;
	to->sum.reset_ns += s->sum.reset_ns;
}

static void
pool_publish(struct kvm_tenant *t, const struct tkvm_pool_stats *now)
{
	struct tkvm_pool_stats s = t->past;

	pool_add(&s, now);
	SET(t, forks, now->forks);
	SET(t, busy, now->busy);
	SET(t, queued, s.queued);
	SET(t, reset_failures, s.reset_failures);
	SET(t, renewed, s.renewed);
	SET(t, exits, s.sum.exits);
	SET(t, limited, s.sum.limited);
	SET(t, resets, s.sum.resets);
	SET(t, pages_reset, s.sum.pages_reset);
	SET(t, run_us, s.sum.run_ns / 1000);
	SET(t, reset_us, s.sum.reset_ns / 1000);
}

void
kvm_counters_pool(struct kvm_tenant *t, struct tkvm_pool *pool)
{
	struct tkvm_pool_stats s;

	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	AN(pool);
	AZ(pthread_mutex_lock(&t->stat_mtx));
	tkvm_pool_stats(pool, &s);
	pool_publish(t, &s);
	AZ(pthread_mutex_unlock(&t->stat_mtx));
}

/* Just before a pool is freed: the next one counts from zero. */
void
kvm_counters_pool_gone(struct kvm_tenant *t, struct tkvm_pool *pool)
{
	struct tkvm_pool_stats s, none;

	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	AN(pool);
	(void)memset(&none, 0, sizeof none);
	AZ(pthread_mutex_lock(&t->stat_mtx));
	tkvm_pool_stats(pool, &s);
	pool_add(&t->past, &s);
	pool_publish(t, &none);
	AZ(pthread_mutex_unlock(&t->stat_mtx));
}

/* ---- JSON ---------------------------------------------------------------- */

#define FIELD(f)	{ #f, offsetof(struct VSC_kvm, f) }

static const struct {
	const char	*name;
	size_t		offset;
} fields[] = {
	FIELD(boots), FIELD(boot_failures), FIELD(renewed),
	FIELD(image_bytes), FIELD(forks), FIELD(busy), FIELD(requests),
	FIELD(synths), FIELD(ok),
	FIELD(abandoned), FIELD(not_ready), FIELD(err_busy),
	FIELD(err_timeout), FIELD(err_crash), FIELD(err_exit),
	FIELD(err_stuck), FIELD(err_closed), FIELD(err_protocol),
	FIELD(err_limit), FIELD(err_other), FIELD(limited),
	FIELD(exits), FIELD(queued),
	FIELD(queue_us), FIELD(run_us), FIELD(resets), FIELD(reset_failures),
	FIELD(reset_us), FIELD(pages_reset), FIELD(req_bytes),
	FIELD(resp_bytes),
};

static uint64_t
field(const struct kvm_tenant *t, size_t offset)
{

	return (__atomic_load_n((const uint64_t *)(const void *)
	    ((const char *)t->vsc + offset), __ATOMIC_RELAXED));
}

/* `"name": { ... }` */
void
kvm_counters_json(struct kvm_tenant *t, struct vsb *vsb)
{
	struct kvm_tenant_info i;
	struct tkvm_pool *pool;
	size_t u;

	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	pool = kvm_tenant_pool(t);
	if (pool != NULL)
		kvm_counters_pool(t, pool);
	kvm_tenant_info(t, &i);
	VSB_cat(vsb, "\"");
	VSB_quote(vsb, t->name, -1, VSB_QUOTE_JSON);
	VSB_printf(vsb, "\": {\n\t\t\"state\": \"%s\",\n\t\t\"error\": \"",
	    kvm_state_name(i.state));
	VSB_quote(vsb, i.error, -1, VSB_QUOTE_JSON);
	VSB_cat(vsb, "\"");
	for (u = 0; u < sizeof fields / sizeof *fields; u++)
		VSB_printf(vsb, ",\n\t\t\"%s\": %ju", fields[u].name,
		    (uintmax_t)field(t, fields[u].offset));
	VSB_cat(vsb, "\n\t}");
}
