/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Crashes by a store to NULL, with output before it.
 */

#include "prog.h"

int
main(void)
{
	(void)printf("before\n");
	(void)fflush(stdout);
	__asm__ volatile("movl $1, 0");
	(void)printf("after\n");
	return (0);
}
