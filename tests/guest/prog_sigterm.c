/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Ends by a signal nobody handles: the status says so.
 */

#include <signal.h>

#include "prog.h"

int
main(void)
{
	(void)printf("before\n");
	(void)fflush(stdout);
	(void)raise(SIGTERM);
	(void)printf("after\n");
	return (0);
}
