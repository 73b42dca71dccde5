/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Byte rings in guest RAM, and the walk over the caller's buffers that fills
 * and drains them.
 *
 * A ring's fields are read once into a struct gk_view and checked there; all
 * work is done on the view and written back at the end.  Must never touch
 * user memory other than by gk_copyin() and gk_copyout().
 */

#include "gk_priv.h"

#define GK_MASK		(GK_BUFSZ - 1)
#define GK_UPAGE	4096

/* ---- user memory -------------------------------------------------------- */

/*
 * Copy, and say how much went before a fault.  The whole is tried first; only
 * a failure goes page by page.
 */
static size_t
gk_user_in(struct gk_ctx *ctx, uint8_t *dst, uint64_t ua, size_t len)
{
	size_t done, n;

	if (gk_copyin(ctx, dst, ua, len) == 0)
		return (len);
	for (done = 0; done < len; done += n) {
		n = GK_UPAGE - ((ua + done) & (GK_UPAGE - 1));
		n = GK_MIN(n, len - done);
		if (gk_copyin(ctx, dst + done, ua + done, n))
			break;
	}
	return (done);
}

static size_t
gk_user_out(struct gk_ctx *ctx, uint64_t ua, const uint8_t *src, size_t len)
{
	size_t done, n;

	if (gk_copyout(ctx, ua, src, len) == 0)
		return (len);
	for (done = 0; done < len; done += n) {
		n = GK_UPAGE - ((ua + done) & (GK_UPAGE - 1));
		n = GK_MIN(n, len - done);
		if (gk_copyout(ctx, ua + done, src + done, n))
			break;
	}
	return (done);
}

/* ---- iterators ---------------------------------------------------------- */

void
gk_iter_buf(struct gk_iter *it, uint64_t base, uint64_t len)
{

	it->base = base;
	it->len = it->total = GK_MIN(len, GKA_MAX_RW);
	it->next = 0;
	it->left = it->pos = it->have = 0;
}

static int
gk_iter_batch(struct gk_ctx *ctx, struct gk_iter *it)
{
	uint32_t n;

	n = GK_MIN(it->left, (uint32_t)GK_NELEM(it->batch));
	if (gk_copyin(ctx, it->batch, it->next, n * sizeof(it->batch[0])))
		return (-GKA_EFAULT);
	it->next += n * sizeof(it->batch[0]);
	it->left -= n;
	it->pos = 0;
	it->have = n;
	return (0);
}

/* The caller has checked cnt against GKA_IOV_MAX: the errors differ. */
int
gk_iter_vec(struct gk_ctx *ctx, struct gk_iter *it, uint64_t iov, uint64_t cnt)
{
	uint64_t total = 0;
	uint32_t i;

	gk_iter_buf(it, 0, 0);
	it->next = iov;
	it->left = (uint32_t)cnt;
	while (it->left > 0) {
		if (gk_iter_batch(ctx, it))
			return (-GKA_EFAULT);
		for (i = 0; i < it->have; i++) {
			if ((int64_t)it->batch[i].len < 0)
				return (-GKA_EINVAL);
			total += it->batch[i].len;
			total = GK_MIN(total, GKA_MAX_RW);
		}
	}
	it->total = total;
	if (cnt > GK_NELEM(it->batch)) {
		it->next = iov;
		it->left = (uint32_t)cnt;
		it->have = 0;
	}
	return (0);
}

/* Make base and len say something; -1 at the end or at a fault. */
static int
gk_iter_seg(struct gk_ctx *ctx, struct gk_iter *it)
{

	if (it->total == 0)
		return (-1);
	while (it->len == 0) {
		if (it->pos == it->have &&
		    (it->left == 0 || gk_iter_batch(ctx, it)))
			return (-1);
		it->base = it->batch[it->pos].base;
		it->len = it->batch[it->pos].len;
		it->pos++;
	}
	it->len = GK_MIN(it->len, it->total);
	return (0);
}

static void
gk_iter_adv(struct gk_iter *it, size_t n)
{

	it->base += n;
	it->len -= n;
	it->total -= n;
}

void
gk_iter_skip(struct gk_ctx *ctx, struct gk_iter *it, uint64_t n)
{
	uint64_t l;

	while (n > 0 && gk_iter_seg(ctx, it) == 0) {
		l = GK_MIN(n, it->len);
		gk_iter_adv(it, l);
		n -= l;
	}
}

/* Small things that may be spread over several iovecs; 0 or -EFAULT. */
int
gk_iter_put(struct gk_ctx *ctx, struct gk_iter *it, const void *src, size_t len)
{
	const uint8_t *p = src;
	size_t n;

	while (len > 0) {
		if (gk_iter_seg(ctx, it))
			return (-GKA_EFAULT);
		n = GK_MIN(len, it->len);
		if (gk_copyout(ctx, it->base, p, n))
			return (-GKA_EFAULT);
		gk_iter_adv(it, n);
		p += n;
		len -= n;
	}
	return (0);
}

int
gk_iter_get(struct gk_ctx *ctx, struct gk_iter *it, void *dst, size_t len)
{
	uint8_t *p = dst;
	size_t n;

	while (len > 0) {
		if (gk_iter_seg(ctx, it))
			return (-GKA_EFAULT);
		n = GK_MIN(len, it->len);
		if (gk_copyin(ctx, p, it->base, n))
			return (-GKA_EFAULT);
		gk_iter_adv(it, n);
		p += n;
		len -= n;
	}
	return (0);
}

/* ---- rings -------------------------------------------------------------- */

int
gk_ring_new(struct gk *gk, struct gk_ring *r, uint32_t cap)
{
	uint64_t w;
	uint32_t i;

	for (i = 0; i < GK_NBUF; i++) {
		w = GK_RD(gk->buf_used[i / 64]);
		if (w & (1ULL << (i % 64)))
			continue;
		GK_WR(gk->buf_used[i / 64], w | (1ULL << (i % 64)));
		r->head = r->tail = 0;
		r->cap = cap;
		r->shut = 0;
		r->buf1 = (uint16_t)(i + 1);
		return (0);
	}
	return (-GKA_ENOBUFS);
}

void
gk_ring_free(struct gk *gk, struct gk_ring *r)
{
	uint64_t w;
	uint32_t b;

	b = GK_RD(r->buf1);
	GK_WR(r->buf1, 0);
	GK_WR(r->head, 0);
	GK_WR(r->tail, 0);
	if (b == 0 || b > GK_NBUF)
		return;
	b--;
	w = GK_RD(gk->buf_used[b / 64]);
	GK_WR(gk->buf_used[b / 64], w & ~(1ULL << (b % 64)));
}

int
gk_ring_view(struct gk *gk, struct gk_ring *r, struct gk_view *v)
{
	uint32_t b;

	b = GK_RD(r->buf1);
	v->head = GK_RD(r->head);
	v->tail = GK_RD(r->tail);
	v->cap = GK_RD(r->cap);
	v->used = v->head - v->tail;
	if (b == 0 || b > GK_NBUF || v->cap > GK_BUFSZ || v->used > v->cap) {
		v->buf = NULL;
		v->used = v->space = 0;
		return (-1);
	}
	v->buf = gk->buf[b - 1];
	v->space = v->cap - v->used;
	return (0);
}

uint32_t
gk_ring_used(struct gk *gk, struct gk_ring *r)
{
	struct gk_view v;

	(void)gk_ring_view(gk, r, &v);
	return (v.used);
}

static void
gk_view_mark(struct gk_ctx *ctx, const uint8_t *p, size_t len)
{

	if (ctx->mark != NULL && len > 0)
		ctx->mark(ctx, p, len);
}

/* From the caller's buffers; stops at a fault.  n <= space, n <= total. */
size_t
gk_view_fill(struct gk_ctx *ctx, struct gk_view *v, struct gk_iter *it,
    size_t n)
{
	size_t done = 0, l, got;
	uint32_t off;

	while (done < n && gk_iter_seg(ctx, it) == 0) {
		off = v->head & GK_MASK;
		l = GK_MIN(n - done, it->len);
		l = GK_MIN(l, GK_BUFSZ - off);
		got = gk_user_in(ctx, v->buf + off, it->base, l);
		gk_view_mark(ctx, v->buf + off, got);
		v->head += (uint32_t)got;
		gk_iter_adv(it, got);
		done += got;
		if (got < l)
			break;
	}
	return (done);
}

/* Into the caller's buffers.  n <= used, n <= total. */
size_t
gk_view_drain(struct gk_ctx *ctx, struct gk_view *v, struct gk_iter *it,
    size_t n)
{
	size_t done = 0, l, got;
	uint32_t off;

	while (done < n && gk_iter_seg(ctx, it) == 0) {
		off = v->tail & GK_MASK;
		l = GK_MIN(n - done, it->len);
		l = GK_MIN(l, GK_BUFSZ - off);
		got = gk_user_out(ctx, it->base, v->buf + off, l);
		v->tail += (uint32_t)got;
		gk_iter_adv(it, got);
		done += got;
		if (got < l)
			break;
	}
	return (done);
}

/* From our own memory; len <= space. */
size_t
gk_view_push(struct gk_ctx *ctx, struct gk_view *v, const void *src, size_t len)
{
	const uint8_t *p = src;
	size_t done, l;
	uint32_t off;

	for (done = 0; done < len; done += l) {
		off = v->head & GK_MASK;
		l = GK_MIN(len - done, GK_BUFSZ - off);
		gk_copy(v->buf + off, p + done, l);
		gk_view_mark(ctx, v->buf + off, l);
		v->head += (uint32_t)l;
	}
	return (len);
}

/* len <= used */
size_t
gk_view_pull(struct gk_view *v, void *dst, size_t len)
{
	uint8_t *p = dst;
	size_t done, l;
	uint32_t off;

	for (done = 0; done < len; done += l) {
		off = v->tail & GK_MASK;
		l = GK_MIN(len - done, GK_BUFSZ - off);
		gk_copy(p + done, v->buf + off, l);
		v->tail += (uint32_t)l;
	}
	return (len);
}

void
gk_ring_wrote(struct gk_ring *r, const struct gk_view *v)
{

	GK_WR(r->head, v->head);
}

/*
 * A stream counts as writable while a third of it is free, as TCP's does, so
 * that a waiting writer is not woken for every byte; a pipe when an atomic
 * write fits.
 */
int
gk_view_writable(uint32_t used, uint32_t cap, int pipe)
{

	if (used > cap)
		return (0);
	if (pipe)
		return (cap - used >= GKA_PIPE_BUF);
	return ((uint64_t)used * 3 <= (uint64_t)cap * 2);
}

/* An empty ring begins at its first page again: small requests touch one. */
uint32_t
gk_ring_took(struct gk_ring *r, const struct gk_view *v, int pipe)
{
	uint32_t used;

	used = v->head - v->tail;
	if (used == 0) {
		GK_WR(r->head, 0);
		GK_WR(r->tail, 0);
	} else {
		GK_WR(r->tail, v->tail);
	}
	if (!gk_view_writable(v->used, v->cap, pipe) &&
	    gk_view_writable(used, v->cap, pipe))
		return (GKA_EPOLLOUT);
	return (0);
}
