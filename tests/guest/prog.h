/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * For the prog_*.c programs: each prints what it finds, the same on every
 * Linux, and `run` compares native output with that of the machine.  So no
 * addresses, times, process ids or descriptor numbers in it.
 */

#ifndef PROG_H
#define PROG_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A condition that has to hold; the line number finds it. */
#define OK(cond)							\
	do {								\
		if (cond)						\
			(void)printf("ok %s\n", #cond);			\
		else							\
			(void)printf("FAIL line %d: %s\n", __LINE__,	\
			    #cond);					\
		(void)fflush(stdout);					\
	} while (0)

/* A call that has to fail with this error. */
#define ERR(call, error)						\
	do {								\
		errno = 0;						\
		if ((long)(call) == -1 && errno == (error))		\
			(void)printf("ok %s: %s\n", #call, #error);	\
		else							\
			(void)printf("FAIL line %d: %s: %s\n",		\
			    __LINE__, #call, strerror(errno));		\
		(void)fflush(stdout);					\
	} while (0)

static inline double
prog_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec);
}

/* A fresh folder, made the working directory. */
static inline void
prog_tmpdir(void)
{
	char t[] = "/tmp/tkvm-prog-XXXXXX";

	if (mkdtemp(t) == NULL || chdir(t) != 0) {
		perror(t);
		exit(99);
	}
}

static inline void
prog_rmdir(void)
{
	char b[512];

	if (getcwd(b, sizeof b) == NULL || chdir("/") != 0 || rmdir(b) != 0)
		perror("rmdir");
}

#endif
