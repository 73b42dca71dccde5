/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kvmserver: the command.
 */

#include <stdio.h>

#include "obj.h"
#include "server/server.h"

int
main(int argc, char **argv)
{
	struct args a;
	int rv;

	rv = args_parse(&a, argc, argv);
	if (rv < 0) {
		assert(a.cmd == CMD_RUN);
		rv = run_main(&a);
	}
	args_free(&a);
	return (rv);
}
