/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The answer's header as beresp, and bo->htc, which tells Varnish how to
 * fetch the body.
 *
 * Everything here lives in the workspace of the fetch (96 KiB by default) and
 * may not fit: then the fetch fails with a text that says so.
 */

#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmod_kvm.h"

static int
no_workspace(struct kvm_fetch *f)
{

	f->bo->htc = NULL;
	return (kvm_fetch_fail_ours(f, "the answer's header is too large: "
	    "raise workspace_backend or http_max_hdr"));
}

/* ---- bo->htc ------------------------------------------------------------- */

static int
make_htc(struct kvm_fetch *f, body_status_t bs, ssize_t len,
    const struct vfp *vfp)
{
	struct busyobj *bo = f->bo;
	struct vfp_entry *vfe;
	struct http_conn *htc;

	htc = WS_Alloc(bo->ws, sizeof *htc);
	if (htc == NULL || WS_Overflowed(bo->ws))
		return (no_workspace(f));
	INIT_OBJ(htc, HTTP_CONN_MAGIC);
	htc->doclose = SC_NULL;
	htc->body_status = bs;
	htc->content_length = len;
	htc->priv = f;
	if (bs != BS_NONE) {
		vfe = VFP_Push(bo->vfc, vfp);
		if (vfe == NULL)
			return (no_workspace(f));
		vfe->priv1 = f;
	}
	bo->htc = htc;
	return (0);
}

static int
make_body(struct kvm_fetch *f, const struct tkvm_response *r)
{

	switch (r->body) {
	case TKVM_BODY_LENGTH:
		if (r->length > SSIZE_MAX)
			return (kvm_fetch_fail_ours(f,
			    "a Content-Length of more than 63 bits"));
		if (r->length > 0)
			return (make_htc(f, BS_LENGTH, (ssize_t)r->length,
			    &kvm_vfp));
		break;
	case TKVM_BODY_CHUNKED:
		/* Framing is decided; a length beside it is a lie. */
		http_Unset(f->bo->beresp, H_Content_Length);
		return (make_htc(f, BS_CHUNKED, -1, &kvm_vfp));
	case TKVM_BODY_EOF:
		http_Unset(f->bo->beresp, H_Content_Length);
		return (make_htc(f, BS_EOF, -1, &kvm_vfp));
	case TKVM_BODY_NONE:
	default:
		break;
	}
	return (make_htc(f, BS_NONE, 0, NULL));
}

/* ---- beresp -------------------------------------------------------------- */

/*
 * These put what http_PutResponse() and http_PrintfHeader() would, but do not
 * log: Varnish logs beresp itself when gethdrs is done.
 */
static void
put_field(struct http *hp, unsigned u, const char *b, size_t len)
{

	hp->hd[u].b = b;
	hp->hd[u].e = b + len;
	hp->hdf[u] = 0;
}

static int
put_status(struct http *hp, unsigned status, const char *reason)
{
	char s3[] = { (char)('0' + status / 100 % 10),
	    (char)('0' + status / 10 % 10), (char)('0' + status % 10), '\0' };
	const char *r, *s;

	s = WS_Copy(hp->ws, s3, sizeof s3);
	r = WS_Copy(hp->ws, reason != NULL && reason[0] != '\0' ? reason :
	    http_Status2Reason(status, NULL), -1);
	if (s == NULL || r == NULL)
		return (-1);
	hp->status = (uint16_t)status;
	put_field(hp, HTTP_HDR_PROTO, "HTTP/1.1", strlen("HTTP/1.1"));
	put_field(hp, HTTP_HDR_STATUS, s, strlen(s));
	put_field(hp, HTTP_HDR_REASON, r, strlen(r));
	hp->nhd = HTTP_HDR_FIRST;
	http_Proto(hp);
	return (0);
}

static int
put_header(struct http *hp, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value);
	char *p;

	if (hp->nhd >= hp->shd || n + v > UINT_MAX / 2)
		return (-1);
	p = WS_Alloc(hp->ws, (unsigned)(n + v + sizeof ": "));
	if (p == NULL)
		return (-1);
	(void)memcpy(p, name, n);
	(void)memcpy(p + n, ": ", 2);
	(void)memcpy(p + n + 2, value, v + 1);
	put_field(hp, hp->nhd++, p, n + 2 + v);
	return (0);
}

int
kvm_response_make(struct kvm_fetch *f, const struct tkvm_response *r)
{
	struct http *hp;
	size_t u, n;

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	AN(r);
	hp = f->bo->beresp;
	if (put_status(hp, r->status, r->reason) != 0)
		return (no_workspace(f));
	n = strlen("HTTP/1.1 200 \r\n\r\n") +
	    (r->reason == NULL ? 0 : strlen(r->reason));
	for (u = 0; u < r->nheader; u++) {
		if (put_header(hp, r->header[u].name, r->header[u].value) != 0)
			return (no_workspace(f));
		n += strlen(r->header[u].name) + strlen(r->header[u].value) +
		    strlen(": \r\n");
	}
	f->bo->acct.beresp_hdrbytes += n;
	f->resp_bytes += n;
	/* Marks what Connection names as not to be passed on. */
	(void)http_DoConnection(hp, SC_RESP_CLOSE);
	return (make_body(f, r));
}

/*
 * Not now.  As an answer of the backend, because only that can carry a
 * Retry-After whatever vcl_backend_error does.  It is never cached, whatever
 * vcl_backend_response does.  Where the cache holds something stale, which an
 * answer would replace, the fetch fails instead.
 */
int
kvm_response_later(struct kvm_fetch *f, unsigned seconds)
{
	char when[16], len[24];
	struct busyobj *bo;
	struct http *hp;

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	AN(f->text);
	bo = f->bo;
	if (bo->stale_oc != NULL &&
	    !(bo->stale_oc->flags & (OC_F_HFM | OC_F_HFP)))
		return (-1);
	hp = bo->beresp;
	f->textlen = strlen(f->text);
	(void)snprintf(when, sizeof when, "%u", seconds);
	(void)snprintf(len, sizeof len, "%zu", f->textlen);
	if (put_status(hp, 503, NULL) != 0 ||
	    put_header(hp, "Retry-After", when) != 0 ||
	    put_header(hp, "Content-Type", "text/plain; charset=utf-8") != 0 ||
	    put_header(hp, "Cache-Control", "no-store") != 0 ||
	    put_header(hp, "Content-Length", len) != 0)
		return (no_workspace(f));
	bo->uncacheable = 1;
	if (http_method_eq(http_GetMethod(bo->bereq), HEAD))
		return (make_htc(f, BS_NONE, 0, NULL));
	return (make_htc(f, BS_LENGTH, (ssize_t)f->textlen, &kvm_vfp_text));
}
