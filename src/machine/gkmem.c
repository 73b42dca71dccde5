/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The in-memory kernel's way to the program's memory, as the VMM has it.
 */

#include <errno.h>

#include "machine/priv.h"

int
gk_copyin(struct gk_ctx *c, void *dst, uint64_t uaddr, size_t len)
{
	struct machine *m = c->priv;

	return (as_read(m->as, uaddr, dst, len));
}

int
gk_copyout(struct gk_ctx *c, uint64_t uaddr, const void *src, size_t len)
{
	struct machine *m = c->priv;

	return (as_write(m->as, uaddr, src, len));
}
