/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kvm.synth(): the guest's answer as the synthetic answer of vcl_synth or
 * vcl_backend_error, on the thread that is there.
 *
 * Nothing of the answer that VCL has prepared is touched before all of the
 * guest's is there and fits, so that VCL can go on with its own when this one
 * fails: the body is read behind what the body buffer holds, and the header is
 * changed at the end.
 */

#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vmod_kvm.h"
#include "vsb.h"
#include "vcl.h"
#include "conf/options.h"
#include "conn/http_parse.h"

#define FIRST_ROOM	(16 * 1024)	/* for a body of unknown length */
#define WS_SLACK	512u		/* what Varnish adds to the header */
#define HDR_SLACK	4u

/* ---- body ---------------------------------------------------------------- */

/*
 * Room for `more` bytes and a NUL.  VSB_bcat() would grow the buffer 4 KiB at
 * a time, and could not be read into.
 */
static int
body_room(struct vsb *vsb, size_t more)
{
	size_t size = (size_t)vsb->s_len + more + 1;
	char *p;

	if (size <= (size_t)vsb->s_size)
		return (0);
	AN(vsb->s_flags & VSB_DYNAMIC);
	p = realloc(vsb->s_buf, size);
	if (p == NULL)
		return (-1);
	vsb->s_buf = p;
	vsb->s_size = (ssize_t)size;
	return (0);
}

static int
body_too_large(struct kvm_fetch *f)
{

	f->err.code = TKVM_E_LIMIT;
	(void)snprintf(f->err.text, sizeof f->err.text, "%.64s: the body of "
	    "the answer is larger than max-synth-body (%u MiB)",
	    f->tenant->name, f->tenant->opt->max_synth_body);
	return (kvm_fetch_fail(f));
}

/* All of it, behind what is in `vsb`. */
static int
body_read(struct kvm_fetch *f, const struct tkvm_response *r,
    struct vsb *vsb)
{
	const size_t max = (size_t)f->tenant->opt->max_synth_body << 20;
	size_t have = 0, room = 0;
	ssize_t n;

	if (r->body == TKVM_BODY_LENGTH && r->length > max)
		return (body_too_large(f));
	if (r->body == TKVM_BODY_LENGTH)
		room = (size_t)r->length;
	else if (r->body != TKVM_BODY_NONE)
		room = FIRST_ROOM;
	for (;;) {
		/* One byte more: is this the end? */
		if (body_room(vsb, room + 1) != 0)
			return (kvm_fetch_fail_ours(f,
			    "the host is short of memory"));
		n = tkvm_exchange_body(f->exchange, vsb->s_buf + vsb->s_len,
		    room + 1, 0., &f->err);
		if (n < 0)
			return (kvm_fetch_fail(f));
		have += (size_t)n;
		vsb->s_len += n;
		if (have > max)
			return (body_too_large(f));
		if (n == 0 || tkvm_exchange_done(f->exchange))
			break;
		room -= (size_t)n < room ? (size_t)n : room;
		if (room == 0)
			room = have;
	}
	f->resp_bytes += have;
	return (0);
}

/* ---- header -------------------------------------------------------------- */

/* What is looked at more than once of each of its headers */
struct answer {
	const struct tkvm_response *r;
	const char	*connection;	/* the value of this header, or NULL */
	size_t		n;		/* headers of r */
	struct {
		size_t	name, value;	/* lengths; name 0: is not passed on */
	} len[HTTP_MAX_HEADERS];
};

/* Is `name` one of the tokens of `list`? */
static int
has_token(const char *list, const char *name, size_t len)
{
	size_t n;

	while (*list != '\0') {
		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == len && strncasecmp(list, name, n) == 0)
			return (1);
		list += n;
	}
	return (0);
}

/* Not the guest's to say, or between it and us. */
static int
is_ours(const struct answer *a, const char *name, size_t len)
{
	static const char names[][18] = {
		"Connection", "Content-Length", "HTTP2-Settings",
		"Keep-Alive", "Proxy-Connection", "TE", "Trailer",
		"Transfer-Encoding", "Upgrade", "X-Varnish",
	};
	size_t u;

	for (u = 0; u < sizeof names / sizeof *names; u++)
		if (((name[0] ^ names[u][0]) & ~0x20) == 0 &&
		    strcasecmp(name, names[u]) == 0)
			return (1);
	return (a->connection != NULL && has_token(a->connection, name, len));
}

static void
answer_init(struct answer *a, const struct tkvm_response *r)
{
	size_t u;

	assert(r->nheader <= sizeof a->len / sizeof *a->len);
	a->r = r;
	a->n = r->nheader;
	a->connection = NULL;
	for (u = 0; u < a->n; u++)
		if ((r->header[u].name[0] | 0x20) == 'c' &&
		    strcasecmp(r->header[u].name, "Connection") == 0)
			a->connection = r->header[u].value;
	for (u = 0; u < a->n; u++) {
		a->len[u].name = strlen(r->header[u].name);
		if (is_ours(a, r->header[u].name, a->len[u].name))
			a->len[u].name = 0;
		else
			a->len[u].value = strlen(r->header[u].value);
	}
}

static int
is_called(const txt *hdr, const char *name, size_t len)
{

	return (((hdr->b[0] ^ name[0]) & ~0x20) == 0 && Tlen(*hdr) > len &&
	    hdr->b[len] == ':' && strncasecmp(hdr->b, name, len) == 0);
}

/* A header that was there before: does the guest have one of this name? */
static int
is_replaced(const struct answer *a, const txt *hdr)
{
	const struct tkvm_response *r = a->r;
	size_t u;

	if (is_called(hdr, "Server", 6))
		return (1);		/* who answers is the guest */
	for (u = 0; u < a->n; u++)
		if (a->len[u].name != 0 &&
		    is_called(hdr, r->header[u].name, a->len[u].name))
			return (1);
	return (0);
}

/* As http_Unset() does, but for names that are no constants. */
static void
remove_replaced(struct http *hp, const struct answer *a)
{
	uint16_t u, v;

	for (u = v = HTTP_HDR_FIRST; u < hp->nhd; u++) {
		if (is_replaced(a, &hp->hd[u])) {
			VSLbt(hp->vsl, (enum VSL_tag_e)((int)hp->logtag +
			    HTTP_HDR_UNSET - HTTP_HDR_METHOD), hp->hd[u]);
			continue;
		}
		hp->hd[v] = hp->hd[u];
		hp->hdf[v] = hp->hdf[u];
		v++;
	}
	hp->nhd = v;
}

struct size {
	unsigned	headers;
	size_t		bytes;		/* with NULs */
};

static void
measure(const struct answer *a, const struct http *hp, struct size *s)
{
	const struct tkvm_response *r = a->r;
	uint16_t v;
	size_t u;

	s->headers = HTTP_HDR_FIRST + HDR_SLACK;
	s->bytes = WS_SLACK + strlen(r->reason) + 1;
	for (v = HTTP_HDR_FIRST; v < hp->nhd; v++)
		if (!is_replaced(a, &hp->hd[v]))
			s->headers++;
	for (u = 0; u < a->n; u++) {
		if (a->len[u].name == 0)
			continue;
		s->headers++;
		s->bytes += a->len[u].name + a->len[u].value + sizeof ": ";
	}
}

static char *
put(char **at, const char *text, size_t len)
{
	char *p = *at;

	(void)memcpy(p, text, len);
	*at += len;
	return (p);
}

/* There is room: the reservation is made, and is large enough. */
static char *
put_headers(struct http *hp, char *at, const struct answer *a)
{
	const struct tkvm_response *r = a->r;
	char *line;
	size_t u;

	for (u = 0; u < a->n; u++) {
		if (a->len[u].name == 0)
			continue;
		line = put(&at, r->header[u].name, a->len[u].name);
		(void)put(&at, ": ", 2);
		(void)put(&at, r->header[u].value, a->len[u].value + 1);
		http_SetHeader(hp, line);
	}
	return (at);
}

static int
header_put(struct kvm_fetch *f, const struct tkvm_response *r,
    struct http *hp)
{
	struct answer a;
	struct size size;
	char *at, *reason;
	unsigned room;

	answer_init(&a, r);
	measure(&a, hp, &size);
	room = WS_ReserveAll(hp->ws);
	if (size.bytes > room || size.headers > hp->shd) {
		WS_Release(hp->ws, 0);
		return (kvm_fetch_fail_ours(f, "the answer's header is too "
		    "large: raise workspace_client (in vcl_backend_error "
		    "workspace_backend) or http_max_hdr"));
	}
	at = WS_Reservation(hp->ws);
	reason = put(&at, r->reason, strlen(r->reason) + 1);
	remove_replaced(hp, &a);
	at = put_headers(hp, at, &a);
	WS_ReleaseP(hp->ws, at);
	http_SetStatus(hp, (uint16_t)r->status, *reason != '\0' ? reason :
	    NULL);
	return (0);
}

/* ---- the whole of it ----------------------------------------------------- */

static int
synth_send(struct kvm_fetch *f)
{

	if (kvm_request_consumed(f))
		return (kvm_fetch_fail_ours(f, "the request body has been "
		    "consumed: cache it (std.cache_req_body()) or come "
		    "straight from vcl_recv"));
	return (kvm_request_send(f));
}

static int
synth_answer(VRT_CTX, struct kvm_fetch *f, struct vsb *vsb)
{
	const ssize_t old = vsb->s_len;
	struct tkvm_response r;
	struct http *hp;

	hp = ctx->method == VCL_MET_SYNTH ? ctx->http_resp : ctx->http_beresp;
	if (kvm_fetch_head(f, &r) != 0)
		return (-1);
	if (r.reason == NULL)
		r.reason = "";
	if (body_read(f, &r, vsb) != 0 || header_put(f, &r, hp) != 0) {
		vsb->s_len = old;
		return (-1);
	}
	if (old > 0) {
		vsb->s_len -= old;
		(void)memmove(vsb->s_buf, vsb->s_buf + old,
		    (size_t)vsb->s_len);
	}
	return (0);
}

int
kvm_synth(VRT_CTX, struct kvm_tenant *t)
{
	struct kvm_fetch *f;
	struct vsb *vsb;
	unsigned later;
	int expect;

	CHECK_OBJ_NOTNULL(ctx, VRT_CTX_MAGIC);
	CHECK_OBJ_NOTNULL(t, KVM_TENANT_MAGIC);
	CAST_OBJ_NOTNULL(vsb, ctx->specific, VSB_MAGIC);
	f = kvm_fetch_new(ctx, t, 1);
	if (f == NULL)
		return (0);
	expect = f->req != NULL && f->req->want100cont;
	if (kvm_fetch_begin(ctx, f, &later) != 0 || synth_send(f) != 0 ||
	    synth_answer(ctx, f, vsb) != 0)
		return (0);
	/* Varnish said so in case that nobody read the body. */
	if (expect && !f->req->want100cont && f->req->doclose == SC_NULL)
		http_Unset(ctx->http_resp, H_Connection);
	kvm_fetch_ts(f, "Run");
	kvm_fetch_park(f);
	return (1);
}
