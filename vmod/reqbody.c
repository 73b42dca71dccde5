/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The request on its way into the guest: request line, header, body.
 *
 * Varnish takes the client's request away before the first byte of the answer
 * is pulled, so all of it is sent from inside gethdrs.  The framing is ours:
 * bereq's Content-Length and Transfer-Encoding are replaced by what is true.
 */

#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "vmod_kvm.h"
#include "vtim.h"

/* Small pieces gather here; large ones go past it. */
struct sink {
	unsigned		magic;
#define SINK_MAGIC		0x4b565373
	struct kvm_fetch	*f;
	int			chunked;
	int			stop;	/* what tkvm_exchange_send() said */
	uint64_t		bytes;
	size_t			n;
	char			buf[2048];
};

/* 0, or non-zero: there is no point in sending more. */
static int
sink_flush(struct sink *s)
{

	CHECK_OBJ_NOTNULL(s, SINK_MAGIC);
	if (s->stop == 0 && s->n > 0)
		s->stop = tkvm_exchange_send(s->f->exchange, s->buf, s->n,
		    &s->f->err);
	s->n = 0;
	return (s->stop);
}

static int
sink_put(struct sink *s, const void *p, size_t len)
{

	CHECK_OBJ_NOTNULL(s, SINK_MAGIC);
	s->bytes += len;
	if (len > sizeof s->buf - s->n && sink_flush(s) != 0)
		return (s->stop);
	if (len > sizeof s->buf) {
		s->stop = tkvm_exchange_send(s->f->exchange, p, len,
		    &s->f->err);
	} else {
		(void)memcpy(s->buf + s->n, p, len);
		s->n += len;
	}
	return (s->stop);
}

static void
sink_text(struct sink *s, const char *text)
{

	(void)sink_put(s, text, strlen(text));
}

/* ---- header -------------------------------------------------------------- */

/* What the body comes from, if it is still with the client's request. */
static struct req *
client(const struct kvm_fetch *f)
{

	return (f->bo != NULL ? f->bo->req : f->req);
}

static struct objcore *
cached(const struct kvm_fetch *f)
{

	if (f->bo != NULL && f->bo->bereq_body != NULL)
		return (f->bo->bereq_body);
	if (f->bo == NULL && f->req->req_body_status == BS_CACHED)
		return (f->req->body_oc);
	return (NULL);
}

static int
has_body(const struct kvm_fetch *f)
{
	const struct req *req = client(f);

	return (cached(f) != NULL ||
	    (req != NULL && req->req_body_status->avail != 0));
}

int
kvm_request_consumed(const struct kvm_fetch *f)
{
	const struct req *req = client(f);

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	if (cached(f) != NULL)
		return (0);
	if (req != NULL)
		return (req->req_body_status == BS_TAKEN ||
		    req->req_body_status == BS_ERROR);
	return (f->bo->no_retry != NULL);
}

/* -1: not known. */
static intmax_t
body_length(const struct kvm_fetch *f)
{
	const struct req *req = client(f);

	if (cached(f) != NULL)
		return ((intmax_t)ObjGetLen(f->wrk, cached(f)));
	if (!req->req_body_status->length_known)
		return (-1);
	return (http_GetContentLength(req->http));
}

enum kind { FOR_GUEST, HOP_BY_HOP, FRAMING, ENCODING };

/* Not with http_IsHdr(): few headers share even a first letter with these. */
static enum kind
header_kind(const char *hdr)
{
	static const struct {
		const char	*name;
		size_t		len;
		enum kind	kind;
	} known[] = {
#define H(name, kind)	{ name ":", sizeof(name), kind }
		H("Accept-Encoding", ENCODING), H("Connection", HOP_BY_HOP),
		H("Content-Length", FRAMING), H("HTTP2-Settings", HOP_BY_HOP),
		H("Keep-Alive", HOP_BY_HOP), H("Proxy-Connection", HOP_BY_HOP),
		H("TE", HOP_BY_HOP), H("Trailer", HOP_BY_HOP),
		H("Transfer-Encoding", FRAMING), H("Upgrade", HOP_BY_HOP),
#undef H
	};
	size_t u;

	for (u = 0; u < sizeof known / sizeof *known; u++)
		if (((hdr[0] ^ known[u].name[0]) & ~0x20) == 0 &&
		    strncasecmp(hdr, known[u].name, known[u].len) == 0)
			return (known[u].kind);
	return (FOR_GUEST);
}

/*
 * Varnish marks an object as compressed when it fetches it, not when it is
 * synthetic: where others than this client may get it, or as a part of a page,
 * it has to be plain.
 */
static int
want_plain(const struct kvm_fetch *f)
{

	return (f->synth && (f->bo != NULL || f->req->esi_level > 0));
}

static void
put_header(struct sink *s, const struct http *hp, unsigned u)
{
	const char *b = hp->hd[u].b;

	if (b == NULL || (hp->hdf[u] & HDF_FILTER))
		return;
	switch (header_kind(b)) {
	case FRAMING:
		return;
	case HOP_BY_HOP:
		/* Varnish did that for bereq. */
		if (s->f->bo == NULL)
			return;
		break;
	case ENCODING:
		if (want_plain(s->f))
			return;
		break;
	default:
		break;
	}
	(void)sink_put(s, b, (size_t)(hp->hd[u].e - b));
	sink_text(s, "\r\n");
}

static void
put_framing(struct sink *s, const struct http *hp)
{
	char line[64];
	intmax_t len;

	if (!has_body(s->f)) {
		/* POST without a body says so. */
		if (http_GetHdr(hp, H_Content_Length, NULL))
			sink_text(s, "Content-Length: 0\r\n");
		return;
	}
	len = body_length(s->f);
	s->chunked = len < 0;
	if (s->chunked) {
		sink_text(s, "Transfer-Encoding: chunked\r\n");
		return;
	}
	(void)snprintf(line, sizeof line, "Content-Length: %jd\r\n", len);
	sink_text(s, line);
}

static void
put_head(struct sink *s)
{
	const struct kvm_fetch *f = s->f;
	const struct http *hp = f->bo != NULL ? f->bo->bereq : f->req->http;
	unsigned u;

	/* Varnish needs the body for the length, and drops it. */
	sink_text(s, f->synth && http_method_eq(http_GetMethod(hp), HEAD) ?
	    "GET" : hp->hd[HTTP_HDR_METHOD].b);
	sink_text(s, " ");
	sink_text(s, hp->hd[HTTP_HDR_URL].b);
	/* Always, a client's HTTP/1.0 is between it and Varnish. */
	sink_text(s, " HTTP/1.1\r\n");
	if (!http_GetHdr(hp, H_Host, NULL)) {
		sink_text(s, "Host: ");
		sink_text(s, s->f->tenant->name);
		sink_text(s, "\r\n");
	}
	for (u = HTTP_HDR_FIRST; u < hp->nhd; u++)
		put_header(s, hp, u);
	put_framing(s, hp);
	sink_text(s, "\r\n");
}

/* ---- body ---------------------------------------------------------------- */

static int v_matchproto_(objiterate_f)
put_body(void *priv, unsigned flush, const void *ptr, ssize_t len)
{
	struct sink *s;
	char line[32];

	(void)flush;
	CAST_OBJ_NOTNULL(s, priv, SINK_MAGIC);
	if (len <= 0)
		return (0);
	if (!s->f->synth)
		s->f->bo->acct.bereq_bodybytes += (uint64_t)len;
	if (s->chunked) {
		(void)snprintf(line, sizeof line, "%zx\r\n", (size_t)len);
		sink_text(s, line);
	}
	(void)sink_put(s, ptr, (size_t)len);
	if (s->chunked)
		sink_text(s, "\r\n");
	return (sink_flush(s));
}

/* From the client; -1: its fault. */
static int
send_client_body(struct sink *s, struct req *req)
{
	const struct kvm_fetch *f = s->f;
	ssize_t i;

	i = VRB_Iterate(f->wrk, f->vsl, req, put_body, s);
	if (f->bo != NULL && req->req_body_status != BS_CACHED)
		f->bo->no_retry = "req.body not cached";
	if (s->stop != 0) {
		/* There is more of it on the connection. */
		req->doclose = SC_RX_BODY;
		return (0);
	}
	if (req->req_body_status == BS_ERROR)
		req->doclose = SC_RX_BODY;
	return (i < 0 ? -1 : 0);
}

static int
send_body(struct sink *s)
{
	const struct kvm_fetch *f = s->f;
	int i = 0;

	if (cached(f) != NULL)
		(void)ObjIterate(f->wrk, cached(f), s, put_body, 0);
	else if (has_body(f))
		i = send_client_body(s, client(f));
	if (i == 0 && s->chunked) {
		sink_text(s, "0\r\n\r\n");
		(void)sink_flush(s);
	}
	return (i);
}

/*
 * 0: all of it is in, or the guest answers without wanting more.  -1: logged.
 */
int
kvm_request_send(struct kvm_fetch *f)
{
	struct sink s;
	int i;

	CHECK_OBJ_NOTNULL(f, KVM_FETCH_MAGIC);
	/* Not INIT_OBJ: no need to clear the buffer. */
	s.magic = SINK_MAGIC;
	s.f = f;
	s.chunked = s.stop = 0;
	s.bytes = s.n = 0;
	put_head(&s);
	(void)sink_flush(&s);
	if (!f->synth)
		f->bo->acct.bereq_hdrbytes += s.bytes;
	i = send_body(&s);
	f->req_bytes = s.bytes;
	kvm_fetch_ts(f, "Bereq");
	if (s.stop < 0)
		return (kvm_fetch_fail(f));
	if (i < 0)
		return (kvm_fetch_fail_ours(f,
		    "the client's request body did not arrive"));
	return (0);
}
