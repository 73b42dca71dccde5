/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A server whose paths attack the machine they run in.  Each returns, and the
 * request is answered "survived", or the request ends some other way: that is
 * for drive.c to judge.
 */

#ifndef HOSTILE_H
#define HOSTILE_H

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

/* What may become of the request */
#define MAY_ANSWER	1u
#define MAY_FAIL	2u
#define MAY_PROTO	4u		/* must be an error of the answer */

struct attack {
	const char	*name;
	void		(*fn)(unsigned seed);
	unsigned	may;
	unsigned	quick, all;	/* seeds to try: in CI, at most */
};

extern const struct attack cpu_attacks[], memory_attacks[], call_attacks[],
    answer_attacks[];

/* The connection being answered */
extern int conn;
/* After this an attack has answered by itself. */
extern int answered;

/*
 * Do something that may fault: TRY { ... } goes on behind the block.  Runs on
 * an alternate stack.
 */
extern sigjmp_buf back;
extern volatile int trying;
#define TRY(x)								\
	do {								\
		trying = 1;						\
		if (sigsetjmp(back, 0) == 0) {				\
			x;						\
		}							\
		trying = 0;						\
	} while (0)

/* A page of memory that can be written and run */
extern uint8_t *code;
/* Run these bytes, a `ret` behind them. */
void run_bytes(const void *, size_t);
/* xorshift */
uint64_t rnd(void);
extern uint64_t rnd_state;
long raw(long nr, long a, long b, long c, long d, long e, long f);

/* guest/layout.h, as a program would guess it */
#define KERN		0x7fffffc00000UL
#define GK		0x7ffffda00000UL

#endif
