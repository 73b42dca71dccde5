/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A program that asks for an executable stack (PT_GNU_STACK): linked with
 * -z execstack, as it is when GCC puts code there for a nested function.
 */

#include "diff.h"

CASE(on_stack)
{
	uint8_t code[16] = { 0xc3 };		/* ret */

	RUNS(code);
}

CASE(in_data)
{
	static uint8_t code[16] = { 0xc3 };
	struct probe p = probe_exec(code);

	/* READ_IMPLIES_EXEC is only for programs without the header. */
	say("%s", probe_text(p, code));
}

CASE(in_memory)
{
	uint8_t *p = mem_new(PG);

	p[0] = 0xc3;
	RUNS(p);
}
