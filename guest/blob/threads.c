/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Changing threads without the VMM: where one has to wait and another one that
 * is parked here may run, the registers are exchanged and that one goes on.
 *
 * There is one vCPU, and an exit in the middle of the blob is no other's turn:
 * nothing here can be interrupted by another thread.  On software back ends
 * the program can write all this; it harms its own threads only.
 */

#include "gk.h"
#include "threads.h"

#define THRS	((struct gk_thrs *)GVA_THR)
#define AREA	((struct gk_thr_area *)GVA_THR_AREA)

/* For the entry code */
struct gk_thr_area *thr_from, *thr_to;

int
thr_on(void)
{

	return (THRS->on && THRS->n <= GK_NTHR && THRS->cur < THRS->n);
}

uint32_t
thr_tid(void)
{

	return (THRS->thr[THRS->cur].tid);
}

/*
 * Who runs when the one at hand cannot: one that was woken, or whose call may
 * have an answer now.  At last (it is about to leave the machine anyway) any
 * other that may leave in its place: n, if there is none.
 */
static uint32_t
thr_pick(const struct gk *gk, int last)
{
	const struct gk_thrs *t = THRS;
	uint32_t k, i, found = t->n;

	for (k = 1; k < t->n; k++) {
		i = (t->cur + k) % t->n;
		if (t->thr[i].state == THR_RUN)
			return (i);
		if (t->thr[i].state == THR_RETRY && found == t->n &&
		    (last || t->thr[i].gen != gk->gen))
			found = i;
	}
	return (found);
}

static void
thr_change(uint32_t to, uint64_t nr, enum gk_thr_state state)
{
	struct gk_thrs *t = THRS;

	t->thr[t->cur].state = state;
	AREA[t->cur].rax = nr;
	thr_from = &AREA[t->cur];
	thr_to = &AREA[to];
	/* back onto the `syscall` */
	if (t->thr[to].state == THR_RETRY)
		AREA[to].rip -= 2;
	t->thr[to].state = THR_CUR;
	t->changed[t->cur / 64] |= 1UL << (t->cur % 64);
	t->changed[to / 64] |= 1UL << (to % 64);
	t->cur = to;
}

int
thr_wait(const struct gk *gk, uint64_t nr, uint64_t addr, uint32_t bits)
{
	struct gk_thrs *t = THRS;
	uint32_t to;

	if (!thr_on() || (to = thr_pick(gk, 1)) >= t->n)
		return (0);
	t->thr[t->cur].addr = addr;
	t->thr[t->cur].bits = bits;
	t->thr[t->cur].seq = ++t->seq;
	thr_change(to, nr, THR_WAIT);
	return (1);
}

int
thr_block(const struct gk *gk, uint64_t nr)
{
	struct gk_thrs *t = THRS;
	uint32_t to;

	if (!thr_on() || (to = thr_pick(gk, 0)) >= t->n)
		return (0);
	t->thr[t->cur].gen = gk->gen;
	thr_change(to, nr, THR_RETRY);
	return (1);
}

uint32_t
thr_first_waiter(uint64_t addr, uint32_t bits, uint64_t *seq)
{
	const struct gk_thrs *t = THRS;
	uint32_t i, found = GK_NTHR;

	*seq = ~0UL;
	if (!thr_on())
		return (found);
	for (i = 0; i < t->n; i++)
		if (t->thr[i].state == THR_WAIT && t->thr[i].addr == addr &&
		    (t->thr[i].bits & bits) != 0 && t->thr[i].seq < *seq) {
			*seq = t->thr[i].seq;
			found = i;
		}
	return (found);
}

void
thr_wake(uint32_t i)
{

	THRS->thr[i].state = THR_RUN;
	AREA[i].rax = 0;
	THRS->changed[i / 64] |= 1UL << (i % 64);
}
