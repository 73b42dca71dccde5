/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A request to a real fork, and its reset, for tests of what they leave.
 */

#ifndef TKVM_TEST_ONE_REQUEST_H
#define TKVM_TEST_ONE_REQUEST_H

static inline void
one_request(struct tkvm_fork *fk)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct tkvm_error err;
	char b[1000];

	if (tkvm_fork_open(fk, NULL, 0, 0, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(tkvm_fork_send(fk, get, sizeof get - 1),
	    sizeof get - 1);
	if (tkvm_fork_run(fk, &err) == TKVM_RUN_GONE)
		fail_msg("%s", err.text);
	assert_true(tkvm_fork_recv(fk, b, sizeof b) > 10);
}

static inline void
one_reset(struct tkvm_fork *fk)
{
	struct tkvm_error err;

	if (tkvm_fork_reset(fk, &err) != 0)
		fail_msg("%s", err.text);
}

#endif
