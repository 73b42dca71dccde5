/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A tenant as a Varnish backend: the methods that Varnish calls.
 *
 * There is no .http1pipe (Varnish says "Backend does not support pipe") and
 * no .resolve: this is a leaf, other directors may choose among tenants.
 */

#include "config.h"

#include "vmod_kvm.h"
#include "vsb.h"

static VCL_BOOL v_matchproto_(vdi_healthy_f)
kvm_director_healthy(VRT_CTX, VCL_BACKEND d, VCL_TIME *changed)
{
	struct kvm_tenant *t;

	(void)ctx;
	CHECK_OBJ_NOTNULL(d, DIRECTOR_MAGIC);
	CAST_OBJ_NOTNULL(t, d->priv, KVM_TENANT_MAGIC);
	if (changed != NULL)
		__atomic_load(&t->since, changed, __ATOMIC_RELAXED);
	if (kvm_tenant_pool(t) != NULL)
		return (1);
	kvm_tenant_retry(t);
	return (0);
}

static int v_matchproto_(vdi_gethdrs_f)
kvm_director_gethdrs(VRT_CTX, VCL_BACKEND d)
{
	struct kvm_tenant *t;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(d, DIRECTOR_MAGIC);
	CAST_OBJ_NOTNULL(t, d->priv, KVM_TENANT_MAGIC);
	return (kvm_fetch_gethdrs(ctx, t));
}

/*
 * Clients wait for this one.  The fork goes back when the task is over, see
 * kvm_fetch_fini().
 */
static void v_matchproto_(vdi_finish_f)
kvm_director_finish(VRT_CTX, VCL_BACKEND d)
{

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(d, DIRECTOR_MAGIC);
	kvm_fetch_detach(ctx->bo);
}

/* Booting and cooling is done for all tenants at once, see vmod_kvm.c. */
static void v_matchproto_(vdi_event_f)
kvm_director_event(VCL_BACKEND d, enum vcl_event_e e)
{
	struct kvm_tenant *t;

	CHECK_OBJ_NOTNULL(d, DIRECTOR_MAGIC);
	CAST_OBJ_NOTNULL(t, d->priv, KVM_TENANT_MAGIC);
	switch (e) {
	case VCL_EVENT_WARM:
		VRT_VSC_Reveal(t->vsc_seg);
		break;
	case VCL_EVENT_COLD:
		VRT_VSC_Hide(t->vsc_seg);
		break;
	default:
		break;
	}
}

static void v_matchproto_(vdi_destroy_f)
kvm_director_destroy(VCL_BACKEND d)
{
	struct kvm_tenant *t;

	CHECK_OBJ_NOTNULL(d, DIRECTOR_MAGIC);
	CAST_OBJ_NOTNULL(t, d->priv, KVM_TENANT_MAGIC);
	kvm_tenant_free(&t);
}

/* Whatever is wrong with the worker: no locks, no asserts, no library. */
static void v_matchproto_(vdi_panic_f)
kvm_director_panic(VCL_BACKEND d, struct vsb *vsb)
{
	const struct kvm_tenant *t;

	if (d == NULL || d->priv == NULL)
		return;
	t = d->priv;
	if (t->magic != KVM_TENANT_MAGIC) {
		VSB_printf(vsb, "tenant = %p (bad magic 0x%08x),\n",
		    (const void *)t, t->magic);
		return;
	}
	VSB_printf(vsb, "tenant = %s,\n", t->name);
	VSB_printf(vsb, "state = %s,\n", kvm_state_name(t->state));
	VSB_printf(vsb, "pool = %p,\n", (void *)t->pool);
	VSB_printf(vsb, "inflight = %u,\n", t->inflight);
	VSB_printf(vsb, "error = \"%.*s\",\n", (int)sizeof t->error - 1,
	    t->error);
}

const struct vdi_methods kvm_director_methods[1] = {{
	.magic =	VDI_METHODS_MAGIC,
	.type =		"kvm",
	.healthy =	kvm_director_healthy,
	.gethdrs =	kvm_director_gethdrs,
	.finish =	kvm_director_finish,
	.event =	kvm_director_event,
	.destroy =	kvm_director_destroy,
	.panic =	kvm_director_panic,
	.list =		kvm_director_list,
}};
