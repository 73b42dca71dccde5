/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A tenant in backend.list: a column, -p (details), -j and -jp (JSON).
 */

#include "config.h"

#include <string.h>

#include "vmod_kvm.h"
#include "vsb.h"
#include "vtim.h"
#include "VSC_kvm.h"
#include "conf/options.h"

/* threads = 0 stands for the number of CPUs: what the pool came to. */
static unsigned
threads(const struct kvm_tenant *t, const struct tkvm_pool_stats *s)
{

	return (t->opt->threads > 0 ? t->opt->threads : (unsigned)s->forks);
}

static const char *
health(const struct kvm_tenant_info *i)
{

	return (i->state == KVM_READY ? "healthy" : "sick");
}

static void
list_details(struct vsb *vsb, const struct kvm_tenant *t,
    const struct kvm_tenant_info *i, const struct tkvm_pool_stats *s)
{
	char when[VTIM_FORMAT_SIZE];

	VTIM_format(i->since, when);
	VSB_printf(vsb, "\n  State    %s since %s\n", kvm_state_name(i->state),
	    when);
	if (i->state == KVM_FAILED)
		VSB_printf(vsb, "  Failures %u, next attempt in %.0f s\n",
		    i->failures, i->retry_in);
	if (i->error[0] != '\0')
		VSB_printf(vsb, "  Error    %s\n", i->error);
	VSB_printf(vsb, "  Program  %s\n", t->opt->program == NULL ? "-" :
	    t->opt->program);
	VSB_printf(vsb, "  Image    %s, %ju bytes\n", t->img->hash,
	    (uintmax_t)t->vsc->image_bytes);
	VSB_printf(vsb, "  Forks    %ju of %u, %ju busy, %ju waiting\n",
	    (uintmax_t)s->forks, threads(t, s), (uintmax_t)s->busy,
	    (uintmax_t)s->queue);
	VSB_printf(vsb, "  Requests %ju, %ju ok\n", (uintmax_t)t->vsc->requests,
	    (uintmax_t)t->vsc->ok);
}

static void
json_string(struct vsb *vsb, const char *name, const char *value)
{

	VSB_printf(vsb, "\"%s\": \"", name);
	VSB_quote(vsb, value, -1, VSB_QUOTE_JSON);
	VSB_cat(vsb, "\",\n");
}

static void
list_json_details(struct vsb *vsb, const struct kvm_tenant *t,
    const struct kvm_tenant_info *i, const struct tkvm_pool_stats *s)
{

	VSB_cat(vsb, "{\n");
	VSB_indent(vsb, 2);
	json_string(vsb, "state", kvm_state_name(i->state));
	VSB_printf(vsb, "\"since\": %.3f,\n", i->since);
	VSB_printf(vsb, "\"failures\": %u,\n", i->failures);
	VSB_printf(vsb, "\"retry_in\": %.3f,\n", i->retry_in);
	json_string(vsb, "error", i->error);
	json_string(vsb, "program", t->opt->program == NULL ? "" :
	    t->opt->program);
	json_string(vsb, "image", t->img->hash);
	VSB_printf(vsb, "\"image_bytes\": %ju,\n",
	    (uintmax_t)t->vsc->image_bytes);
	VSB_printf(vsb, "\"forks\": %ju,\n", (uintmax_t)s->forks);
	VSB_printf(vsb, "\"threads\": %u,\n", threads(t, s));
	VSB_printf(vsb, "\"busy\": %ju,\n", (uintmax_t)s->busy);
	VSB_printf(vsb, "\"waiting\": %ju,\n", (uintmax_t)s->queue);
	VSB_printf(vsb, "\"requests\": %ju,\n",
	    (uintmax_t)t->vsc->requests);
	VSB_printf(vsb, "\"ok\": %ju\n", (uintmax_t)t->vsc->ok);
	VSB_indent(vsb, -2);
	VSB_cat(vsb, "},\n");
}

/* On the CLI thread, so the pool cannot go away meanwhile. */
void v_matchproto_(vdi_list_f)
kvm_director_list(VRT_CTX, VCL_BACKEND d, struct vsb *vsb, int pflag,
    int jflag)
{
	struct kvm_tenant *t;
	struct kvm_tenant_info i;
	struct tkvm_pool_stats s;
	struct tkvm_pool *pool;

	(void)ctx;
	ASSERT_CLI();
	CHECK_OBJ_NOTNULL(d, DIRECTOR_MAGIC);
	CAST_OBJ_NOTNULL(t, d->priv, KVM_TENANT_MAGIC);
	kvm_tenant_info(t, &i);
	(void)memset(&s, 0, sizeof s);
	pool = kvm_tenant_pool(t);
	if (pool != NULL)
		tkvm_pool_stats(pool, &s);

	if (pflag && jflag)
		list_json_details(vsb, t, &i, &s);
	else if (pflag)
		list_details(vsb, t, &i, &s);
	else if (jflag)
		VSB_printf(vsb, "[%ju, %u, \"%s\"]", (uintmax_t)s.forks,
		    threads(t, &s), health(&i));
	else
		VSB_printf(vsb, "%ju/%u\t%s", (uintmax_t)s.forks,
		    threads(t, &s), health(&i));
}
