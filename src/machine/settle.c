/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Between warm-up and freeze: let the timers that are due soon fire, so that
 * what they do once need not be done in every fork again (Node forgets a
 * cached Date that way).  Nobody has to wait for that: the guest's monotonic
 * clock is ours, and skips to each timer.
 *
 * A program that always has a timer is given up on.  But if one of its timers
 * reads the time of day again and again (uvicorn makes its Date so, lighttpd
 * each second), the program is frozen just before it fires, and each request
 * begins with that, however long after the freeze.
 *
 * Between freeze and request the time of day goes on, the monotonic clock does
 * not.  Event loops that keep the distance of the two (libev, and so Perl's EV
 * and OCaml's Lwt) look at it again when half a second has gone by on the
 * latter: it does so once nothing else is to happen.
 */

#include <errno.h>
#include <string.h>

#include "machine/priv.h"

#define NS		1000000000.0
#define MAX_WAKES	4096
#define PATIENCE	4	/* spans, for finding what the period is */
#define STALE		(600UL * 1000000)	/* ns, libev's half a second */

struct settling {
	uint64_t	span, skipped;
	uint64_t	until;		/* host ns: that is enough */
	unsigned	wakes;		/* timers that fired */
	unsigned	read;		/* the last one that read the time */
	unsigned	period;		/* wakes between two such; 0: unknown */
};

static int
go_on(const struct settling *s)
{

	if (s->wakes == MAX_WAKES || host_mono() >= s->until)
		return (0);
	if (s->skipped < s->span)
		return (1);
	return (s->read != 0 && s->skipped < PATIENCE * s->span);
}

/* Let the next timer fire, `ahead` from now. */
static int
one_wake(struct machine *m, struct settling *s, uint64_t ahead,
    struct tkvm_error *err)
{
	const uint64_t before = m->real_reads;

	/* What happens outside takes its time, though. */
	if (m->nwaitfd == 0)
		clock_skip(m, ahead);
	else if (machine_wait(m, m->deadline, err) < 0)
		return (1);
	if (machine_until_ready(m, err, "after warm-up") != 0)
		return (-1);
	s->wakes++;
	s->skipped += ahead;
	if (m->real_reads == before)
		return (0);
	if (s->read != 0)
		s->period = s->wakes - s->read;
	s->read = s->wakes;
	return (0);
}

/* No timer is due within the span, nor is one after this. */
static void
grow_stale(struct machine *m, const struct settling *s, uint64_t ahead)
{

	ahead -= s->span;
	if (m->nwaitfd == 0)
		clock_skip(m, ahead < STALE ? ahead : STALE);
}

static int
settle(struct machine *m, struct settling *s, struct tkvm_error *err)
{
	uint64_t wake, now;
	int i;

	while (go_on(s)) {
		wake = machine_next_wake(m);
		now = machine_mono(m);
		if (wake == ~0UL || wake > now + s->span) {
			grow_stale(m, s, wake - now);
			return (0);
		}
		wake = wake > now ? wake - now : 0;
		if (s->period != 0 && s->wakes + 1 == s->read + s->period) {
			clock_skip(m, wake);
			m->tick_first = 1;
			return (0);
		}
		i = one_wake(m, s, wake, err);
		if (i != 0)
			return (i < 0 ? -1 : 0);
		/* Now: later that would let the timer fire. */
		if (warm_conn_check(m, err) != 0)
			return (-1);
	}
	return (0);
}

int
machine_settle(struct machine *m, struct tkvm_error *err)
{
	struct settling s = { .span = (uint64_t)(m->opt->settle_time * NS) };
	uint64_t now, left;
	int i;

	if (s.span == 0)
		return (0);
	/* What it does at each may take long, too: boot in time all the same. */
	now = host_mono();
	left = m->deadline > now ? (m->deadline - now) / 2 : 0;
	s.until = now + (left < PATIENCE * s.span ? left : PATIENCE * s.span);
	clock_watch(m, 1);
	i = settle(m, &s, err);
	clock_watch(m, 0);
	return (i);
}
