/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Randomness: getrandom, /dev/urandom, AT_RANDOM; never twice the same.
 */

#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include <fcntl.h>

#include "prog.h"

static int
all_zero(const unsigned char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != 0)
			return (0);
	return (1);
}

int
main(void)
{
	static unsigned char big[100000];
	unsigned char a[32], b[32];
	const unsigned char *at;
	unsigned i, count[256] = { 0 }, bad = 0;
	int fd;

	OK(getrandom(a, sizeof a, 0) == 32);
	OK(getrandom(b, sizeof b, GRND_NONBLOCK) == 32);
	OK(memcmp(a, b, 32) != 0 && !all_zero(a, 32));
	OK(getrandom(a, 0, 0) == 0);
	OK(getrandom(big, sizeof big, 0) == (ssize_t)sizeof big);
	for (i = 0; i < sizeof big; i++)
		count[big[i]]++;
	for (i = 0; i < 256; i++)
		bad += count[i] < 250 || count[i] > 550;
	OK(bad == 0);
	ERR(getrandom(a, 1, 0x100), EINVAL);
	ERR(syscall(SYS_getrandom, (void *)8, 1, 0), EFAULT);
	fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	OK(fd >= 0 && read(fd, a, 32) == 32 && read(fd, b, 32) == 32);
	OK(memcmp(a, b, 32) != 0);
	OK(close(fd) == 0);
	OK(getentropy(a, 32) == 0 && memcmp(a, b, 32) != 0);
	at = (const unsigned char *)getauxval(AT_RANDOM);
	OK(at != NULL && !all_zero(at, 16));
	return (0);
}
