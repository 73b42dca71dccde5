/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A fork without a machine: the tkvm_fork_* calls an exchange makes, over two
 * buffers and a scripted guest.  It checks the rules of tkvm.h as well: no run
 * after GONE, none of an idle guest that nothing could have woken.
 *
 * For one test program: the functions are defined here.
 */

#ifndef FAKE_FORK_H
#define FAKE_FORK_H

#include <stdint.h>

#include "conf/options.h"
#include "conn/exchange.h"
#include "error.h"
#include "obj.h"
#include "tkvm.h"

struct fake_ring {
	char		*p;
	size_t		size, b, len;
};

typedef enum tkvm_run guest_f(struct tkvm_fork *, struct tkvm_error *);

struct tkvm_fork {
	unsigned	magic;
#define FAKE_MAGIC	0x46414b45
	struct tkvm_options opt;
	struct fake_ring in, out;
	guest_f		*guest;
	struct tkvm_exchange *spare;
	int		closed;

	/* What scripted() does */
	const char	*answer;
	size_t		answer_len;
	size_t		want;		/* request bytes read before it */
	size_t		piece;		/* of the answer, per run; 0: all */
	int		paced;		/* sleeps between pieces */
	enum { END_IDLE, END_CLOSE, END_GONE, END_CLOSE_GONE } end;

	/* What tkvm_fork_wait() does */
	unsigned	timers;		/* so many times 1 */
	int		deadline;	/* then the deadline */
	int		until;		/* instead: `until` comes first */

	/* What happened */
	unsigned	runs, waits;
	size_t		read, written;	/* by the guest */
	uint64_t	sum;		/* of what it read */
	int		idle, gone, sleeps;
};

static uint64_t
fake_sum(uint64_t sum, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		sum = sum * 31 + (unsigned char)p[i];
	return (sum);
}

static void
ring_new(struct fake_ring *r, size_t size)
{

	r->p = malloc(size);
	assert_non_null(r->p);
	r->size = size;
	r->b = r->len = 0;
}

static size_t
ring_put(struct fake_ring *r, const void *p, size_t len)
{

	if (len > r->size - r->len)
		len = r->size - r->len;
	if (len > 0 && r->b > 0) {
		(void)memmove(r->p, r->p + r->b, r->len);
		r->b = 0;
	}
	if (len > 0)
		(void)memcpy(r->p + r->len, p, len);
	r->len += len;
	return (len);
}

static size_t
ring_get(struct fake_ring *r, void *p, size_t len)
{

	if (len > r->len)
		len = r->len;
	if (len > 0)
		(void)memcpy(p, r->p + r->b, len);
	r->b += len;
	r->len -= len;
	return (len);
}

/* ---- the guest's side ---------------------------------------------------- */

static size_t
guest_read(struct tkvm_fork *f, char *p, size_t len)
{
	size_t n;

	n = ring_get(&f->in, p, len);
	f->sum = fake_sum(f->sum, p, n);
	f->read += n;
	return (n);
}

static size_t
guest_write(struct tkvm_fork *f, const char *p, size_t len)
{
	size_t n;

	n = ring_put(&f->out, p, len);
	f->written += n;
	return (n);
}

/* Reads `want` bytes, then answers piece by piece, then ends as told. */
static enum tkvm_run
scripted(struct tkvm_fork *f, struct tkvm_error *err)
{
	char buf[4096];
	size_t n;

	while (f->read < f->want) {
		n = f->want - f->read;
		n = guest_read(f, buf, n < sizeof buf ? n : sizeof buf);
		if (n == 0)
			return (TKVM_RUN_IDLE);
	}
	if (f->sleeps)
		return (TKVM_RUN_IDLE);
	n = f->answer_len - f->written;
	if (f->piece > 0 && n > f->piece)
		n = f->piece;
	(void)guest_write(f, f->answer + f->written, n);
	if (f->written < f->answer_len) {
		f->sleeps = f->paced;
		return (f->paced ? TKVM_RUN_IDLE : TKVM_RUN_OUTPUT);
	}
	if (f->end == END_CLOSE || f->end == END_CLOSE_GONE)
		f->closed = 1;
	if (f->end == END_CLOSE)
		return (TKVM_RUN_OUTPUT);
	if (f->end == END_IDLE)
		return (TKVM_RUN_IDLE);
	(void)err_set(err, TKVM_E_CRASH, "the guest died from signal 11");
	return (TKVM_RUN_GONE);
}

/* ---- the fork ------------------------------------------------------------ */

static struct tkvm_fork *
fake_new(size_t in, size_t out)
{
	static char tenant[] = "shop";
	struct tkvm_fork *f;

	ALLOC_OBJ(f, FAKE_MAGIC);
	assert_non_null(f);
	f->opt.magic = OPTIONS_MAGIC;
	f->opt.tenant = tenant;
	f->opt.max_response_buffer = 64;
	f->guest = scripted;
	f->answer = "";
	ring_new(&f->in, in);
	ring_new(&f->out, out);
	return (f);
}

static void
fake_free(struct tkvm_fork **fp)
{
	struct tkvm_fork *f;

	TAKE_OBJ_NOTNULL(f, fp, FAKE_MAGIC);
	exchange_spare_free(&f->spare);
	free(f->in.p);
	free(f->out.p);
	FREE_OBJ(f);
}

struct tkvm_exchange **
fork_spare(struct tkvm_fork *f)
{

	return (&f->spare);
}

const struct tkvm_options *
fork_options(const struct tkvm_fork *f)
{

	CHECK_OBJ_NOTNULL(f, FAKE_MAGIC);
	return (&f->opt);
}

size_t
tkvm_fork_send(struct tkvm_fork *f, const void *p, size_t len)
{
	size_t n;

	assert_false(f->gone);
	n = ring_put(&f->in, p, len);
	if (n > 0)
		f->idle = 0;
	return (n);
}

void
tkvm_fork_send_eof(struct tkvm_fork *f)
{

	(void)f;
	fail_msg("an exchange does not end the sending side");
}

size_t
tkvm_fork_recv(struct tkvm_fork *f, void *p, size_t len)
{
	size_t n;

	n = ring_get(&f->out, p, len);
	if (n > 0)
		f->idle = 0;
	return (n);
}

enum tkvm_run
tkvm_fork_run(struct tkvm_fork *f, struct tkvm_error *err)
{
	enum tkvm_run r;

	assert_false(f->gone);
	assert_false(f->idle);
	f->runs++;
	r = f->guest(f, err);
	f->idle = (r == TKVM_RUN_IDLE);
	f->gone = (r == TKVM_RUN_GONE);
	return (r);
}

void
tkvm_fork_limit(struct tkvm_fork *f, double until)
{

	(void)f;
	(void)until;
}

int
tkvm_fork_wait(struct tkvm_fork *f, double until, struct tkvm_error *err)
{

	assert_false(f->gone);
	f->waits++;
	if (f->until && until > 0)
		return (0);
	if (f->timers > 0) {
		f->timers--;
		f->idle = f->sleeps = 0;
		return (1);
	}
	if (f->deadline)
		(void)err_set(err, TKVM_E_TIMEOUT,
		    "no answer within max-request-time");
	return (-1);
}

void
tkvm_fork_state(struct tkvm_fork *f, struct tkvm_fork_state *st)
{

	(void)memset(st, 0, sizeof *st);
	st->accepted = 1;
	st->closed = (unsigned)f->closed;
	st->in = f->in.len;
	st->in_space = f->in.size - f->in.len;
	st->out = f->out.len;
}

#endif
