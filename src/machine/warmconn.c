/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * warm-connection: the program has accepted a connection when it is frozen, and
 * waits for a request on it.  Each fork's request is the first on that one, so
 * that none pays for accepting it: to an asyncio server that is twice as much
 * work as the request.
 *
 * Its monotonic clock stands still meanwhile, so the connection is no older
 * than it was at the freeze, whatever time-out the program has for it.
 */

#include <string.h>

#include "machine/priv.h"

#define WARM_ID		UINT32_MAX	/* no fork's own connection's */

/* A fork that is none, to speak of the machine that is being booted */
static void
as_fork_of(struct tkvm_fork *f, struct machine *m)
{

	INIT_OBJ(f, FORK_MAGIC);
	f->m = m;
	f->conn_seq = WARM_ID - 1;
}

int
warm_conn_waits(struct machine *m)
{
	struct tkvm_fork_state st;
	struct tkvm_fork f;

	if (m->conn < 0 || m->conn_id != WARM_ID)
		return (0);
	as_fork_of(&f, m);
	tkvm_fork_state(&f, &st);
	return (st.accepted && !st.closed && st.in == 0 && st.out == 0);
}

/* Some do not listen while they serve somebody. */
static int
still_listens(const struct machine *m)
{

	return (m->gk->ofd[m->listener].kind == GK_LISTENER);
}

int
warm_conn_check(struct machine *m, struct tkvm_error *err)
{
	struct tkvm_fork f;
	char buf[4096];

	if (m->conn < 0 || (warm_conn_waits(m) && still_listens(m)))
		return (0);
	machine_log(m, TKVM_LOG_WARN, "tenant \"%s\": the program does not "
	    "wait for a request on a connection that is open "
	    "(warm-connection): each request opens one", m->opt->tenant);
	as_fork_of(&f, m);
	/* What was read ends in good order. */
	while (tkvm_fork_recv(&f, buf, sizeof buf) > 0)
		continue;
	tkvm_fork_close(&f);
	return (machine_until_ready(m, err, "after a connection was closed"));
}

int
warm_conn_open(struct machine *m, struct tkvm_error *err)
{
	struct tkvm_fork f;

	if (!m->opt->warm_connection)
		return (0);
	as_fork_of(&f, m);
	m->stage = M_WARM;
	if (tkvm_fork_open(&f, NULL, 0, 0, err) != 0 ||
	    machine_until_ready(m, err, "with a connection open") != 0)
		return (-1);
	return (warm_conn_check(m, err));
}
