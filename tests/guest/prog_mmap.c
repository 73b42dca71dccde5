/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Mappings: anonymous, file, MAP_FIXED, partial munmap, huge reservations.
 */

#define _GNU_SOURCE
#include <sys/mman.h>

#include <fcntl.h>

#include "prog.h"

#define PG	4096UL

static void
anonymous(void)
{
	char *p, *q;
	size_t i, sum = 0;

	p = mmap(NULL, 64 * PG, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK(p != MAP_FAILED && ((uintptr_t)p & (PG - 1)) == 0);
	for (i = 0; i < 64 * PG; i++)
		sum += (unsigned char)p[i];
	OK(sum == 0);
	(void)memset(p, 7, 64 * PG);
	/* A hole in the middle, filled again with zeros. */
	OK(munmap(p + 16 * PG, 16 * PG) == 0);
	OK(p[15 * PG] == 7 && p[32 * PG] == 7);
	q = mmap(p + 16 * PG, 16 * PG, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	OK(q == p + 16 * PG && q[0] == 0 && q[16 * PG - 1] == 0);
	ERR(mmap(p, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
	    MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	/* MAP_FIXED replaces. */
	q = mmap(p, PG, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	OK(q == p && p[0] == 0 && p[PG] == 7);
	OK(madvise(p + PG, PG, MADV_DONTNEED) == 0 && p[PG] == 0 &&
	    p[2 * PG] == 7);
	OK(munmap(p, 64 * PG) == 0);
	OK(munmap(p, 64 * PG) == 0);
	ERR(munmap(p + 1, PG), EINVAL);
	ERR(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	    EINVAL);
	ERR(mmap(NULL, PG, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
	ERR(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
}

static void
reservation(void)
{
	size_t len = 64UL << 30;
	char *p;

	p = mmap(NULL, len, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	OK(p != MAP_FAILED);
	OK(mprotect(p + (32UL << 30), 4 * PG, PROT_READ | PROT_WRITE) == 0);
	p[(32UL << 30) + 3 * PG] = 1;
	OK(p[(32UL << 30) + 3 * PG] == 1 && p[32UL << 30] == 0);
	OK(munmap(p, 32UL << 30) == 0);
	OK(p[(32UL << 30) + 3 * PG] == 1);
	OK(munmap(p + (32UL << 30), len - (32UL << 30)) == 0);
	p = mmap((void *)0x123456789000, PG, PROT_READ,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK(p == (void *)0x123456789000);
}

static void
files(void)
{
	char b[8], *p, *s;
	int fd, i;

	fd = open("f", O_RDWR | O_CREAT, 0600);
	for (i = 0; i < 5000; i++)
		if (write(fd, &"0123456789"[i % 10], 1) != 1)
			OK(!"write");
	p = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	OK(p != MAP_FAILED && p[0] == '0' && p[4999] == '9');
	OK(p[5000] == 0 && p[2 * PG - 1] == 0);
	p[1] = 'X';
	OK(pread(fd, b, 2, 0) == 2 && b[1] == '1');
	s = mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, (off_t)PG);
	OK(s != MAP_FAILED && s[0] == '6');
	ERR(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 100), EINVAL);
	OK(munmap(p, 2 * PG) == 0 && munmap(s, PG) == 0);
	OK(close(fd) == 0 && unlink("f") == 0);
}

int
main(void)
{
	prog_tmpdir();
	anonymous();
	reservation();
	files();
	prog_rmdir();
	return (0);
}
