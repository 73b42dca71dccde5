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

/* Small ones, which the VMM is not asked for each: of all sizes, no two the
 * same, and nothing behind them is touched. */
static void
small(void)
{
	static uint64_t seen[4000];
	unsigned char a[300];
	unsigned i, j, n, bad = 0;

	for (i = 0; i < 4000; i++) {
		OK(getrandom(&seen[i], 8, 0) == 8);
		for (j = 0; j < i; j++)
			bad += seen[i] == seen[j];
	}
	OK(bad == 0);
	for (n = 1; n < sizeof a; n++) {
		(void)memset(a, 0, sizeof a);
		OK(getrandom(a, n, n & 1 ? GRND_NONBLOCK : 0) == (ssize_t)n);
		OK(all_zero(a + n, sizeof a - n));
		OK(n < 8 || !all_zero(a, 8));
		OK(n < 16 || !all_zero(a + n - 8, 8));
	}
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
	small();
	fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	OK(fd >= 0 && read(fd, a, 32) == 32 && read(fd, b, 32) == 32);
	OK(memcmp(a, b, 32) != 0);
	OK(close(fd) == 0);
	OK(getentropy(a, 32) == 0 && memcmp(a, b, 32) != 0);
	at = (const unsigned char *)getauxval(AT_RANDOM);
	OK(at != NULL && !all_zero(at, 16));
	return (0);
}
