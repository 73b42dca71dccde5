/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The answer's body: from the guest, or a text of our own, into Varnish's
 * storage.
 */

#include "config.h"

#include <string.h>

#include "vmod_kvm.h"

/*
 * Returns when there are some bytes, at the end, or with an error; the guest
 * runs on meanwhile.  Never 0 bytes and VFP_OK, Varnish would spin.
 */
static enum vfp_status v_matchproto_(vfp_pull_f)
kvm_vfp_pull(struct vfp_ctx *vc, struct vfp_entry *vfe, void *p, ssize_t *lp)
{
	struct kvm_fetch *f;
	ssize_t n;

	CHECK_OBJ_NOTNULL(vc, VFP_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(vfe, VFP_ENTRY_MAGIC);
	CAST_OBJ_NOTNULL(f, vfe->priv1, KVM_FETCH_MAGIC);
	AN(p);
	AN(lp);
	assert(*lp > 0);
	n = tkvm_exchange_body(f->exchange, p, (size_t)*lp,
	    kvm_until(f->between_bytes), &f->err);
	*lp = 0;
	if (n < 0) {
		(void)kvm_fetch_fail(f);
		return (VFP_Error(vc, "kvm %s: %s", f->tenant->name,
		    tkvm_code_name(f->err.code)));
	}
	if (n == 0)
		return (VFP_END);
	*lp = n;
	f->resp_bytes += (uint64_t)n;
	return (tkvm_exchange_done(f->exchange) ? VFP_END : VFP_OK);
}

const struct vfp kvm_vfp = {
	.name =		"kvm",
	.pull =		kvm_vfp_pull,
};

static enum vfp_status v_matchproto_(vfp_pull_f)
kvm_vfp_text_pull(struct vfp_ctx *vc, struct vfp_entry *vfe, void *p,
    ssize_t *lp)
{
	struct kvm_fetch *f;
	size_t n;

	CHECK_OBJ_NOTNULL(vc, VFP_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(vfe, VFP_ENTRY_MAGIC);
	CAST_OBJ_NOTNULL(f, vfe->priv1, KVM_FETCH_MAGIC);
	AN(p);
	AN(lp);
	assert(*lp > 0);
	n = (size_t)*lp < f->textlen ? (size_t)*lp : f->textlen;
	(void)memcpy(p, f->text, n);
	f->text += n;
	f->textlen -= n;
	*lp = (ssize_t)n;
	return (f->textlen == 0 ? VFP_END : VFP_OK);
}

const struct vfp kvm_vfp_text = {
	.name =		"kvm_text",
	.pull =		kvm_vfp_text_pull,
};
