/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * exit_group from a thread while others wait or compute.
 */

#define _GNU_SOURCE
#include <pthread.h>

#include "prog.h"

static void *
busy(void *arg)
{
	volatile unsigned long n = 0;

	for (;;)
		n++;
	return (arg);
}

static void *
ender(void *arg)
{
	(void)usleep(30000);
	(void)printf("exit from a thread\n");
	exit(9);
	return (arg);
}

int
main(void)
{
	pthread_t t;

	OK(pthread_create(&t, NULL, busy, NULL) == 0);
	OK(pthread_create(&t, NULL, ender, NULL) == 0);
	(void)pause();
	return (0);
}
