/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A director that has its answer at once: what is left of a fetch is Varnish's
 * own.  Linked with amdv.vcl by `amdv`.
 */

#include <string.h>

#include "cache/cache_varnishd.h"
#include "cache/cache_director.h"
#include "cache/cache_filter.h"

extern const struct vdi_methods nothing_methods[1];

static const char hello[] = "Hello\n";

static enum vfp_status
nothing_pull(struct vfp_ctx *vc, struct vfp_entry *vfe, void *p, ssize_t *lp)
{

	(void)vc;
	(void)vfe;
	*lp = sizeof hello - 1;
	(void)memcpy(p, hello, sizeof hello - 1);
	return (VFP_END);
}

static const struct vfp nothing_vfp = {
	.name = "nothing", .pull = nothing_pull,
};

static int
nothing_gethdrs(VRT_CTX, VCL_BACKEND d)
{
	struct busyobj *bo = ctx->bo;
	struct http_conn *htc = WS_Alloc(bo->ws, sizeof *htc);

	(void)d;
	if (htc == NULL)
		return (-1);
	INIT_OBJ(htc, HTTP_CONN_MAGIC);
	htc->doclose = SC_NULL;
	htc->body_status = BS_LENGTH;
	htc->content_length = sizeof hello - 1;
	http_PutResponse(bo->beresp, "HTTP/1.1", 200, NULL);
	http_SetHeader(bo->beresp, "Content-Length: 6");
	bo->htc = htc;
	return (VFP_Push(bo->vfc, &nothing_vfp) == NULL ? -1 : 0);
}

static void
nothing_finish(VRT_CTX, VCL_BACKEND d)
{

	(void)d;
	ctx->bo->htc = NULL;
}

const struct vdi_methods nothing_methods[1] = {{
	.magic = VDI_METHODS_MAGIC, .type = "nothing",
	.gethdrs = nothing_gethdrs, .finish = nothing_finish,
}};
