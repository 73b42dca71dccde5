/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What VCL sees: the functions of the VMOD, and the life of a VCL.
 *
 * The list of tenants is made in vcl_init, on the CLI thread, and read-only
 * afterwards, so looking up a tenant takes no lock.
 */

#include "config.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmod_kvm.h"
#include "vsb.h"
#include "vcl.h"
#include "conf/options.h"
#include "vcc_kvm_if.h"

#define LIST_MAX	400u	/* bytes of names in an error text */

/* ---- tenants of a VCL ---------------------------------------------------- */

/* Index of `name`, or of where it belongs. */
static unsigned
vcl_search(const struct kvm_vcl *v, const char *name, int *found)
{
	unsigned lo = 0, hi = v->n, mid;
	int i;

	*found = 0;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		i = strcmp(name, v->tenant[mid]->name);
		if (i == 0) {
			*found = 1;
			return (mid);
		}
		if (i < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return (lo);
}

static int
vcl_insert(struct kvm_vcl *v, struct kvm_tenant *t)
{
	struct kvm_tenant **p;
	unsigned u;
	int found;

	p = realloc(v->tenant, (v->n + 1) * sizeof *p);
	if (p == NULL)
		return (-1);
	v->tenant = p;
	u = vcl_search(v, t->name, &found);
	AZ(found);
	(void)memmove(p + u + 1, p + u, (v->n - u) * sizeof *p);
	p[u] = t;
	v->n++;
	return (0);
}

/*
 * The director's .destroy frees the tenant, perhaps later: another VMOD's
 * director may still hold a reference to it.
 */
static void v_matchproto_(vmod_priv_fini_f)
kvm_vcl_fini(VRT_CTX, void *priv)
{
	struct kvm_vcl *v;
	VCL_BACKEND d;
	unsigned u;

	(void)ctx;
	CAST_OBJ_NOTNULL(v, priv, KVM_VCL_MAGIC);
	/* Nothing to do, unless a VCL was warm and got no COLD. */
	kvm_tenants_cold(v->tenant, v->n);
	for (u = 0; u < v->n; u++) {
		d = v->tenant[u]->dir;
		VRT_DelDirector(&d);
	}
	free(v->tenant);
	FREE_OBJ(v);
}

static const struct vmod_priv_methods kvm_vcl_methods[1] = {{
	.magic =	VMOD_PRIV_METHODS_MAGIC,
	.type =		"kvm_vcl",
	.fini =		kvm_vcl_fini,
}};

/* ---- events -------------------------------------------------------------- */

/*
 * The library keeps threads and a signal's disposition for the rest of the
 * process, so its code must not be unmapped when the last VCL that uses it is
 * discarded.
 */
static void
stay_loaded(void)
{
	static int done;
	Dl_info info;

	ASSERT_CLI();
	if (done || dladdr(&kvm_vcl_methods, &info) == 0)
		return;
	if (dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE) !=
	    NULL)
		done = 1;
}

static int
event_load(VRT_CTX, struct vmod_priv *priv)
{
	struct kvm_vcl *v;

	stay_loaded();
	AZ(priv->priv);
	ALLOC_OBJ(v, KVM_VCL_MAGIC);
	if (v == NULL) {
		VSB_cat(ctx->msg, "vmod kvm: the host is short of memory");
		return (1);
	}
	priv->priv = v;
	priv->methods = kvm_vcl_methods;
	return (0);
}

int v_matchproto_(vmod_event_f)
vmod_event_function(VRT_CTX, struct vmod_priv *priv, enum vcl_event_e e)
{
	struct kvm_vcl *v;
	unsigned u;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	AN(priv);
	switch (e) {
	case VCL_EVENT_LOAD:
		return (event_load(ctx, priv));
	case VCL_EVENT_WARM:
		CAST_OBJ_NOTNULL(v, priv->priv, KVM_VCL_MAGIC);
		for (u = 0; u < v->n; u++)
			kvm_tenant_warm(v->tenant[u]);
		break;
	case VCL_EVENT_COLD:
		CAST_OBJ_NOTNULL(v, priv->priv, KVM_VCL_MAGIC);
		kvm_tenants_cold(v->tenant, v->n);
		break;
	default:
		break;
	}
	return (0);
}

/* ---- kvm.tenants() ------------------------------------------------------- */

static int
add_tenant(VRT_CTX, struct kvm_vcl *v, const char *file,
    const struct tkvm_options *opt)
{
	struct kvm_tenant *t;
	struct tkvm_error err;
	int found;

	(void)vcl_search(v, opt->tenant, &found);
	if (found) {
		VRT_fail(ctx, "kvm.tenants(): %s: tenant \"%s\" was defined "
		    "by an earlier file, expected a new name", file,
		    opt->tenant);
		return (-1);
	}
	(void)memset(&err, 0, sizeof err);
	if (tkvm_options_check(opt, &err) != 0) {
		VRT_fail(ctx, "kvm.tenants(): %s: %s", file, err.text);
		return (-1);
	}
	t = kvm_tenant_new(ctx, opt, &err);
	if (t == NULL) {
		VRT_fail(ctx, "kvm.tenants(): %s: %s", file, err.text);
		return (-1);
	}
	if (vcl_insert(v, t) != 0) {
		VRT_DelDirector(&t->dir);
		VRT_fail(ctx, "kvm.tenants(): the host is short of memory");
		return (-1);
	}
	return (0);
}

VCL_VOID v_matchproto_(td_kvm_tenants)
vmod_tenants(VRT_CTX, struct vmod_priv *priv, VCL_STRING file)
{
	struct tenant_set set;
	struct tkvm_host host;
	struct tkvm_error err;
	struct kvm_vcl *v;
	unsigned u;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	AN(priv);
	if (!(ctx->method & VCL_MET_INIT)) {
		VRT_fail(ctx, "kvm.tenants() works in vcl_init only");
		return;
	}
	CAST_OBJ_NOTNULL(v, priv->priv, KVM_VCL_MAGIC);
	if (file == NULL || file[0] != '/') {
		VRT_fail(ctx, "kvm.tenants(): \"%s\" is not an absolute path",
		    file == NULL ? "" : file);
		return;
	}
	(void)memset(&set, 0, sizeof set);
	(void)memset(&err, 0, sizeof err);
	if (tenants_read(file, &set, &err) != 0) {
		VRT_fail(ctx, "kvm.tenants(): %s", err.text);
		return;
	}
	for (u = 0; u < set.n; u++)
		if (add_tenant(ctx, v, file, set.v[u]) != 0)
			break;
	if (u == set.n && tkvm_host_probe(&host, &err) != 0)
		VRT_fail(ctx, "kvm.tenants(): %s", err.text);
	tenants_free(&set);
}

/* ---- kvm.deliver(), kvm.synth(), kvm.ready(), kvm.stats() ---------------- */

/* "a, b, c", or what fits of it. */
static void
known_names(const struct kvm_vcl *v, char *buf, size_t size)
{
	size_t n = 0, len;
	unsigned u;

	buf[0] = '\0';
	for (u = 0; u < v->n; u++) {
		len = strlen(v->tenant[u]->name);
		if (n + len + sizeof ", ..." > size) {
			(void)snprintf(buf + n, size - n, "...");
			return;
		}
		n += (size_t)snprintf(buf + n, size - n, "%s%s",
		    v->tenant[u]->name, u + 1 < v->n ? ", " : "");
	}
}

static struct kvm_tenant *
find_tenant(VRT_CTX, const struct vmod_priv *priv, const char *func,
    const char *name)
{
	struct kvm_vcl *v;
	char names[LIST_MAX];
	unsigned u;
	int found;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	AN(priv);
	CAST_OBJ_NOTNULL(v, priv->priv, KVM_VCL_MAGIC);
	if (name == NULL)
		name = "";
	u = vcl_search(v, name, &found);
	if (found)
		return (v->tenant[u]);
	if (v->n == 0) {
		VRT_fail(ctx, "kvm.%s(): there are no tenants, "
		    "call kvm.tenants() in vcl_init", func);
		return (NULL);
	}
	known_names(v, names, sizeof names);
	VRT_fail(ctx, "kvm.%s(): no tenant \"%.64s\"; there are: %s", func,
	    name, names);
	return (NULL);
}

VCL_BACKEND v_matchproto_(td_kvm_deliver)
vmod_deliver(VRT_CTX, struct vmod_priv *priv, VCL_STRING tenant)
{
	struct kvm_tenant *t;

	t = find_tenant(ctx, priv, "deliver", tenant);
	return (t == NULL ? NULL : t->dir);
}

VCL_BOOL v_matchproto_(td_kvm_synth)
vmod_synth(VRT_CTX, struct vmod_priv *priv, VCL_STRING tenant)
{
	struct kvm_tenant *t;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	if (ctx->method != VCL_MET_SYNTH &&
	    ctx->method != VCL_MET_BACKEND_ERROR) {
		VRT_fail(ctx, "kvm.synth() works in vcl_synth and "
		    "vcl_backend_error only");
		return (0);
	}
	t = find_tenant(ctx, priv, "synth", tenant);
	return (t != NULL && kvm_synth(ctx, t));
}

VCL_BOOL v_matchproto_(td_kvm_ready)
vmod_ready(VRT_CTX, struct vmod_priv *priv, VCL_STRING tenant)
{
	struct kvm_tenant *t;

	t = find_tenant(ctx, priv, "ready", tenant);
	return (t != NULL && kvm_tenant_pool(t) != NULL);
}

VCL_STRING v_matchproto_(td_kvm_stats)
vmod_stats(VRT_CTX, struct vmod_priv *priv)
{
	struct kvm_vcl *v;
	struct vsb *vsb;
	const char *s = NULL;
	unsigned u;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	AN(priv);
	CAST_OBJ_NOTNULL(v, priv->priv, KVM_VCL_MAGIC);
	vsb = VSB_new_auto();
	if (vsb == NULL) {
		VRT_fail(ctx, "kvm.stats(): the host is short of memory");
		return (NULL);
	}
	VSB_cat(vsb, "{");
	for (u = 0; u < v->n; u++) {
		VSB_cat(vsb, u == 0 ? "\n\t" : ",\n\t");
		kvm_counters_json(v->tenant[u], vsb);
	}
	VSB_cat(vsb, "\n}\n");
	if (VSB_finish(vsb) == 0)
		s = WS_Copy(ctx->ws, VSB_data(vsb), -1);
	VSB_destroy(&vsb);
	if (s == NULL)
		VRT_fail(ctx, "kvm.stats(): out of workspace");
	return (s);
}
