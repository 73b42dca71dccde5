/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * mmap(2), munmap(2), mremap(2).
 */

#include "diff.h"

#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define GiB	(1UL << 30)

static uint8_t *
map(void *at, size_t len, int prot, int flags)
{

	return (mmap(at, len, prot, flags, -1, 0));
}

/* Like MUST, for what follows a mapping that has to work */
#define MAPPED(p)	MUST((p) != MAP_FAILED)

CASE(anon_zero_filled)
{
	uint8_t *p = map(NULL, 3 * PG, RW, ANON);

	MAPPED(p);
	SHOW(p[0] | p[PG] | p[3 * PG - 1]);
	p[PG] = 5;
	SHOW(p[PG]);
	RET(munmap(p, 3 * PG));
	READS(p + PG);
}

CASE(bad_arguments)
{

	RET(map(NULL, 0, RW, ANON));
	RET(map(NULL, PG, RW, MAP_ANONYMOUS));
	RET(map(NULL, PG, RW, MAP_ANONYMOUS | 0xf));
	RET(map((void *)123, PG, RW, ANON | MAP_FIXED));
	RET(map(NULL, 1UL << 47, RW, ANON));
	RET(map(NULL, (size_t)-1, RW, ANON));
	RET(map(NULL, (size_t)-4096, RW, ANON));
	RET(map((void *)(1UL << 56), PG, RW, ANON | MAP_FIXED));
	RET(map((void *)((1UL << 56) - PG), PG, RW, ANON | MAP_FIXED));
	RET(map((void *)((1UL << 56) - 2 * PG), 4 * PG, RW, ANON | MAP_FIXED));
	RET(syscall(SYS_mmap, NULL, PG, RW, ANON, -1, 123));
	RET(syscall(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, -1, 0));
	RET(syscall(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, 999, 0));
	RET(syscall(SYS_mmap, NULL, 0, RW, MAP_PRIVATE, 999, 0));
}

CASE(unknown_prot_and_flags)
{
	uint8_t *p;

	/* Linux ignores unknown bits of prot and of flags */
	p = map(NULL, PG, RW | 0x40, ANON);
	SHOW(p != MAP_FAILED);
	p = map(NULL, PG, RW, ANON | 0x4000000);
	SHOW(p != MAP_FAILED);
	p = map(NULL, PG, RW | 0x1000, ANON | MAP_STACK | MAP_NORESERVE);
	SHOW(p != MAP_FAILED);
	RET(map(NULL, PG, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS));
}

CASE(hint_free_and_taken)
{
	uint8_t *p = map(NULL, 8 * PG, RW, ANON), *q;

	MAPPED(p);
	RET(munmap(p + 2 * PG, 2 * PG));
	q = map(p + 2 * PG, 2 * PG, RW, ANON);
	SHOW(q == p + 2 * PG);
	q = map(p + 2 * PG, PG, RW, ANON);
	SHOW(q != MAP_FAILED && (q < p || q >= p + 8 * PG));
	RET(munmap(q, PG));
	/* an unaligned hint is rounded */
	RET(munmap(p + 2 * PG, 2 * PG));
	q = map(p + 2 * PG + 5, PG, RW, ANON);
	SHOW(q == p + 2 * PG || q == p + 3 * PG);
	RET(munmap(p, 8 * PG));
}

CASE(fixed_replaces)
{
	uint8_t *p = map(NULL, 4 * PG, RW, ANON), *q;

	MAPPED(p);
	memset(p, 1, 4 * PG);
	q = map(p + PG, 2 * PG, PROT_READ, ANON | MAP_FIXED);
	SHOW(q == p + PG);
	SHOW(p[0] + p[PG] + p[3 * PG - 1] + p[3 * PG]);
	WRITES(p + PG);
	WRITES(p + 3 * PG);
	RET(munmap(p, 4 * PG));
}

CASE(fixed_noreplace)
{
	uint8_t *p = map(NULL, 4 * PG, RW, ANON);

	MAPPED(p);
	RET(map(p + PG, PG, RW, ANON | MAP_FIXED_NOREPLACE));
	RET(map(p - PG, 2 * PG, RW, ANON | MAP_FIXED_NOREPLACE));
	RET(munmap(p + PG, PG));
	SHOW(map(p + PG, PG, RW, ANON | MAP_FIXED_NOREPLACE) == p + PG);
	RET(map(p + 1, PG, RW, ANON | MAP_FIXED_NOREPLACE));
	RET(munmap(p, 4 * PG));
}

CASE(low_addresses)
{

	/* lower ones are root's on Linux */
	WORKS(map((void *)0x10000, PG, RW, ANON | MAP_FIXED));
	WRITES((uint8_t *)0x10000);
	RET(munmap((void *)0x10000, PG));
	/* a hint that low goes elsewhere */
	SHOW(map((void *)PG, PG, RW, ANON) != MAP_FAILED);
	READS((uint8_t *)8);
}

CASE(map_32bit)
{
	uint8_t *p = map(NULL, PG, RW, ANON | MAP_32BIT);

	MAPPED(p);
	SHOW((uint64_t)p < 1UL << 31);
	p[0] = 1;
	RET(munmap(p, PG));
	RET(map(NULL, 4 * GiB, PROT_NONE, ANON | MAP_32BIT));
}

CASE(reserve_a_terabyte)
{
	uint8_t *p = map(NULL, 1024 * GiB, PROT_NONE, ANON | MAP_NORESERVE);

	MAPPED(p);
	READS(p + 512 * GiB);
	RET(mprotect(p + 512 * GiB, 16 * PG, RW));
	p[512 * GiB + 5] = 9;
	SHOW(p[512 * GiB + 5]);
	WRITES(p + 512 * GiB - 1);
	RET(mprotect(p + 512 * GiB, 16 * PG, PROT_NONE));
	READS(p + 512 * GiB + 5);
	RET(mprotect(p + 512 * GiB, 16 * PG, PROT_READ));
	SHOW(p[512 * GiB + 5]);
	RET(munmap(p, 1024 * GiB));
}

CASE(reserve_many_terabytes)
{
	uint8_t *p = map(NULL, 16 * 1024 * GiB, PROT_NONE, ANON | MAP_NORESERVE);
	uint8_t *q = map(NULL, 32 * 1024 * GiB, PROT_NONE, ANON | MAP_NORESERVE);

	SHOW(p != MAP_FAILED && q != MAP_FAILED);
	SHOW(map(p + GiB, PG, RW, ANON | MAP_FIXED) == p + GiB);
	p[GiB] = 1;
	RET(munmap(p, 16 * 1024 * GiB));
	RET(munmap(q, 32 * 1024 * GiB));
	RET(map(NULL, 200 * 1024 * GiB, PROT_NONE, ANON | MAP_NORESERVE));
}

CASE(aligned_chunk_like_v8)
{
	uint8_t *p = map(NULL, 8 * GiB, PROT_NONE, ANON | MAP_NORESERVE), *a;

	MAPPED(p);
	a = (uint8_t *)(((uint64_t)p + 4 * GiB - 1) & ~(4 * GiB - 1));
	RET(a != p ? munmap(p, (size_t)(a - p)) : 0);
	RET(munmap(a + 4 * GiB, (size_t)(p + 8 * GiB - (a + 4 * GiB))));
	RET(mprotect(a, 256 * PG, RW));
	a[100] = 1;
	RET(munmap(a, 4 * GiB));
}

CASE(munmap_errors)
{
	uint8_t *p = map(NULL, 4 * PG, RW, ANON);

	MAPPED(p);
	RET(munmap(p + 1, PG));
	RET(munmap(p, 0));
	RET(munmap(p, (size_t)-1));
	RET(munmap((void *)(1UL << 56), PG));
	RET(munmap((void *)((1UL << 56) - 2 * PG), 4 * PG));
	RET(munmap(p, 1));
	READS(p);
	READS(p + PG);
	RET(munmap(p, 4 * PG));
	RET(munmap(p, 4 * PG));
	RET(munmap((void *)0, PG));
}

CASE(munmap_partial)
{
	uint8_t *p = map(NULL, 10 * PG, RW, ANON);
	int i;

	MAPPED(p);
	for (i = 0; i < 10; i++)
		p[i * (int)PG] = (uint8_t)i;
	RET(munmap(p + 2 * PG, 2 * PG));
	RET(munmap(p + 3 * PG, 3 * PG));
	RET(munmap(p, PG));
	RET(munmap(p + 9 * PG, PG));
	for (i = 0; i < 10; i++)
		say("%d %s", i, probe_text(probe_read(p + i * (int)PG),
		    p + i * (int)PG));
	SHOW(p[6 * PG]);
	RET(munmap(p, 10 * PG));
}

CASE(munmap_over_several)
{
	uint8_t *p = map(NULL, 12 * PG, PROT_NONE, ANON);

	MAPPED(p);
	MAPPED(map(p + PG, 2 * PG, RW, ANON | MAP_FIXED));
	MAPPED(map(p + 4 * PG, 2 * PG, PROT_READ,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED));
	RET(munmap(p + 2 * PG, 8 * PG));
	READS(p + PG);
	READS(p + 2 * PG);
	READS(p + 4 * PG);
	RET(munmap(p, 12 * PG));
}

CASE(shared_anonymous)
{
	uint8_t *p = map(NULL, 2 * PG, RW, MAP_SHARED | MAP_ANONYMOUS);

	MAPPED(p);
	p[0] = 3;
	SHOW(p[0] + p[PG]);
	RET(madvise(p, PG, MADV_DONTNEED));
	/* shared memory keeps what is in it */
	SHOW(p[0]);
	RET(munmap(p, 2 * PG));
}

CASE(growsdown)
{
	uint8_t *p = map(NULL, 512 * PG, PROT_NONE, ANON), *q;

	MAPPED(p);
	RET(munmap(p, 512 * PG));
	q = map(p + 480 * PG, 2 * PG, RW, ANON | MAP_GROWSDOWN | MAP_FIXED);
	MAPPED(q);
	WRITES(q);
	WRITES(q - 1);
	WRITES(q - 3 * PG);
	SHOW(q[-1]);
	WRITES(q - 100 * PG);
	RET(munmap(q - 100 * PG, 102 * PG));
}

CASE(growsdown_gap)
{
	uint8_t *p = map(NULL, 1024 * PG, PROT_NONE, ANON), *q;

	MAPPED(p);
	RET(munmap(p + 10 * PG, 1014 * PG));
	q = map(p + 300 * PG, PG, RW, ANON | MAP_GROWSDOWN | MAP_FIXED);
	MAPPED(q);
	WRITES(q - PG);
	/* the stack guard gap is 256 pages: accessible neighbours count */
	RET(mprotect(p, 10 * PG, RW));
	WRITES(p + 250 * PG);
	WRITES(p + 270 * PG);
	RET(munmap(p, 1024 * PG));
}

CASE(hugetlb)
{

	RET(map(NULL, 2UL << 20, RW, ANON | MAP_HUGETLB));
	RET(map(NULL, 2UL << 20, RW, ANON | MAP_HUGETLB | (21 << 26)));
}

CASE(populate_and_locked)
{
	uint8_t v[4], *p = map(NULL, 4 * PG, RW, ANON | MAP_POPULATE);

	MAPPED(p);
	RET(mincore(p, 4 * PG, v));
	SHOW((v[0] & v[1] & v[2] & v[3]) & 1);
	RET(munmap(p, 4 * PG));
	p = map(NULL, 4 * PG, RW, ANON | MAP_LOCKED);
	MAPPED(p);
	RET(mincore(p, 4 * PG, v));
	SHOW((v[0] & v[3]) & 1);
	RET(munmap(p, 4 * PG));
}

CASE(many_mappings)
{
	uint8_t *p[600];
	int i, bad = 0;

	for (i = 0; i < 600; i++) {
		p[i] = map(NULL, 2 * PG, i % 2 ? RW : PROT_READ, ANON);
		if (p[i] == MAP_FAILED)
			bad++;
		else if (i % 2)
			p[i][PG] = (uint8_t)i;
	}
	SHOW(bad);
	for (i = 1; i < 600; i += 2)
		bad += p[i][PG] != (uint8_t)i;
	SHOW(bad);
	for (i = 0; i < 600; i++)
		bad += munmap(p[i], 2 * PG) != 0;
	SHOW(bad);
}

CASE(dev_zero)
{
	int fd = open("/dev/zero", O_RDWR);
	uint8_t *p = mmap(NULL, 2 * PG, RW, MAP_PRIVATE, fd, 0);

	MAPPED(p);
	SHOW(p[5]);
	p[5] = 1;
	SHOW(p[5]);
	RET(munmap(p, 2 * PG));
	p = mmap(NULL, 2 * PG, RW, MAP_SHARED, fd, 0);
	MAPPED(p);
	p[0] = 1;
	RET(munmap(p, 2 * PG));
	RET(close(fd));
	fd = open("/dev/null", O_RDWR);
	RET(mmap(NULL, PG, RW, MAP_PRIVATE, fd, 0));
	RET(close(fd));
}

/* A file of n bytes, each the number of its page + 1; its descriptor */
static int
file(size_t n, int flags)
{
	int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600);
	size_t i;
	uint8_t b[PG];

	for (i = 0; i < n; i += PG) {
		memset(b, (int)(i / PG + 1), PG);
		if (write(fd, b, n - i < PG ? n - i : PG) < 0)
			say("write: %s", errno_name(errno));
	}
	(void)close(fd);
	return (open("f", flags));
}

static void
file_end(int fd)
{

	RET(close(fd));
	RET(unlink("f"));
	tmp_leave();
}

CASE(file_private)
{
	uint8_t *p, c = 9;
	int fd;

	tmp_enter();
	fd = file(3 * PG - 10, O_RDWR);
	p = mmap(NULL, 3 * PG, RW, MAP_PRIVATE, fd, 0);
	MAPPED(p);
	SHOW(p[0] + p[PG] + p[2 * PG]);
	SHOW(p[3 * PG - 10]);	/* behind the end: zero */
	p[0] = 7;
	RET(pread(fd, &c, 1, 0));
	SHOW(c);
	RET(munmap(p, 3 * PG));
	p = mmap(NULL, PG, RW, MAP_PRIVATE, fd, (off_t)PG);
	MAPPED(p);
	SHOW(p[0]);
	RET(madvise(p, PG, MADV_DONTNEED));
	SHOW(p[0]);
	p[0] = 77;
	RET(madvise(p, PG, MADV_DONTNEED));
	SHOW(p[0]);
	RET(munmap(p, PG));
	file_end(fd);
}

/* In the middle, at the end of the file, of a mapping without rights */
static void
dontneed_file(const char *path)
{
	uint8_t *p;
	int fd, i;

	MUST((fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0644)) >= 0);
	for (i = 0; i < 4; i++) {
		uint8_t c = (uint8_t)(10 + i);

		RET(pwrite(fd, &c, 1, i * (off_t)PG));
	}
	p = mmap(NULL, 4 * PG, RW, MAP_PRIVATE, fd, 0);
	MAPPED(p);
	RET(close(fd));
	memset(p, 99, 4 * PG);
	RET(madvise(p + PG, PG, MADV_DONTNEED));
	SHOW(p[0]);
	SHOW(p[PG] + p[PG + 1]);
	SHOW(p[2 * PG]);
	RET(mprotect(p, 4 * PG, PROT_READ));
	RET(madvise(p + 2 * PG, 2 * PG, MADV_DONTNEED));
	SHOW(p[2 * PG] + p[2 * PG + 1]);
	SHOW(p[3 * PG]);
	SHOW(p[3 * PG + 1]);
	SHOW(p[3 * PG + 100]);
	RET(madvise(p, 4 * PG, MADV_DONTNEED));
	SHOW(p[0] + p[1]);
	WRITES(p);
	RET(munmap(p, 4 * PG));
	RET(unlink(path));
}

CASE(file_dontneed)
{
	char path[40];

	tmp_enter();
	dontneed_file("f");
	tmp_leave();
	(void)snprintf(path, sizeof path, "/dev/shm/tkvm-dontneed-%d",
	    (int)getpid());
	dontneed_file(path);
}

CASE(file_dontneed_large)
{
	const size_t n = 4000;
	unsigned i, bad = 0;
	uint8_t *p;
	int fd;

	tmp_enter();
	MUST((fd = open("f", O_CREAT | O_RDWR | O_TRUNC, 0644)) >= 0);
	RET(ftruncate(fd, (off_t)(n * PG)));
	for (i = 0; i < n; i += 7)
		if (pwrite(fd, &i, sizeof i, (off_t)(i * PG)) != sizeof i)
			bad++;
	p = mmap(NULL, n * PG, RW, MAP_PRIVATE, fd, 0);
	MAPPED(p);
	/* before and after what is there was looked at */
	RET(madvise(p, n * PG / 2, MADV_DONTNEED));
	for (i = 0; i < n; i += 5)
		p[i * PG + 9] = 99;
	RET(madvise(p + PG, (n - 2) * PG, MADV_DONTNEED));
	for (i = 1; i < n - 1; i++)
		if (p[i * PG + 9] != 0 ||
		    *(unsigned *)(p + i * PG) != (i % 7 == 0 ? i : 0))
			bad++;
	SHOW(bad);
	SHOW(p[9]);
	RET(munmap(p, n * PG));
	RET(close(fd));
	RET(unlink("f"));
	tmp_leave();
}

CASE(file_behind_the_end)
{
	uint8_t *p;
	int fd;

	tmp_enter();
	fd = file(PG + 10, O_RDONLY);
	p = mmap(NULL, 4 * PG, PROT_READ, MAP_PRIVATE, fd, 0);
	MAPPED(p);
	READS(p + PG + 20);
	READS(p + 2 * PG);
	READS(p + 3 * PG);
	RET(munmap(p, 4 * PG));
	RET(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 1));
	WORKS(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 1L << 40));
	RET(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, (off_t)(~0UL << 12)));
	file_end(fd);
}

CASE(file_access_modes)
{
	int fd;

	tmp_enter();
	fd = file(PG, O_RDONLY);
	WORKS(mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 0));
	RET(mmap(NULL, PG, RW, MAP_SHARED, fd, 0));
	WORKS(mmap(NULL, PG, RW, MAP_PRIVATE, fd, 0));
	RET(close(fd));
	fd = open("f", O_WRONLY);
	RET(mmap(NULL, PG, PROT_WRITE, MAP_SHARED, fd, 0));
	RET(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0));
	RET(close(fd));
	fd = open(".", O_RDONLY);
	RET(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0));
	RET(close(fd));
	fd = open("f", O_PATH);
	RET(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0));
	file_end(fd);
}

CASE(file_shared_protect)
{
	uint8_t *p;
	int fd;

	tmp_enter();
	fd = file(PG, O_RDONLY);
	p = mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 0);
	MAPPED(p);
	/* no way to write through a descriptor that cannot */
	RET(mprotect(p, PG, RW));
	WRITES(p);
	RET(munmap(p, PG));
	file_end(fd);
}

CASE(file_shared_write)
{
	uint8_t *p, c = 0;
	int fd;

	tmp_enter();
	fd = file(2 * PG, O_RDWR);
	p = mmap(NULL, 2 * PG, RW, MAP_SHARED, fd, 0);
	MAPPED(p);
	p[0] = 42;
	RET(msync(p, PG, MS_SYNC));
	RET(pread(fd, &c, 1, 0));
	SHOW(c);
	RET(munmap(p, 2 * PG));
	RET(pread(fd, &c, 1, 0));
	SHOW(c);
	file_end(fd);
}

CASE(shared_validate)
{
	void *p;
	int fd;

	MUST((fd = open("/proc/self/exe", O_RDONLY)) >= 0);
	WORKS(p = mmap(NULL, PG, PROT_READ, MAP_SHARED_VALIDATE, fd, 0));
	RET(munmap(p, PG));
	WORKS(p = mmap(NULL, PG, PROT_READ, MAP_SHARED_VALIDATE | MAP_POPULATE |
	    MAP_NORESERVE, fd, 0));
	RET(munmap(p, PG));
	WORKS(mmap(NULL, PG, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
	WORKS(mmap(NULL, PG, PROT_READ, MAP_SHARED_VALIDATE | 1 << 24, fd, 0));
	close(fd);
}

CASE(closed_file_stays)
{
	uint8_t *p;
	int fd;

	tmp_enter();
	fd = file(PG, O_RDONLY);
	p = mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0);
	MAPPED(p);
	file_end(fd);
	SHOW(p[100]);
	RET(munmap(p, PG));
}

/* Does each page of [from, to) show what file() wrote?  Last ones first. */
static int
pages_right(const uint8_t *p, size_t from, size_t to)
{
	size_t i;

	for (i = to; i-- > from; )
		if (p[i * PG] != (uint8_t)(i + 1) ||
		    p[i * PG + PG - 1] != (uint8_t)(i + 1)) {
			say("page %zu: %d", i, p[i * PG]);
			return (0);
		}
	return (1);
}

/* Large enough to be read in pieces by whoever maps it */
CASE(large_file)
{
	const size_t n = 2000;
	uint8_t *p, *q;
	int fd;

	tmp_enter();
	fd = file(n * PG, O_RDONLY);
	p = mmap(NULL, n * PG, RW, MAP_PRIVATE, fd, 0);
	MAPPED(p);
	RET(close(fd));
	p[1500 * PG] = 200;
	RET(mprotect(p + 600 * PG, 100 * PG, PROT_READ));
	RET(munmap(p + 800 * PG, 300 * PG));
	READS(p + 800 * PG);
	READS(p + 1100 * PG - 1);
	q = map(p + 900 * PG, 10 * PG, RW, ANON | MAP_FIXED);
	MAPPED(q);
	SHOW(q[0] + q[10 * PG - 1]);
	READS(p + 910 * PG);
	WRITES(p + 650 * PG);
	SHOW(pages_right(p, 0, 800));
	SHOW(pages_right(p, 1100, 1500));
	SHOW(pages_right(p, 1501, n));
	SHOW(p[1500 * PG]);
	q = mremap(p + 1200 * PG, 200 * PG, 400 * PG, MREMAP_MAYMOVE);
	MAPPED(q);
	SHOW(pages_right(q - 1200 * PG, 1200, 1400));
	READS(p + 1200 * PG);
	RET(munmap(q, 400 * PG));
	RET(munmap(p, n * PG));
	RET(unlink("f"));
	tmp_leave();
}

CASE(large_file_goes)
{
	const size_t n = 1000;
	uint8_t *p, *q;
	int fd;

	tmp_enter();
	fd = file(n * PG - 100, O_RDONLY);
	p = mmap(NULL, n * PG, PROT_READ, MAP_PRIVATE, fd, 0);
	q = mmap(NULL, 400 * PG, PROT_READ, MAP_PRIVATE, fd, 300 * PG);
	MAPPED(p);
	MAPPED(q);
	RET(unlink("f"));
	RET(close(fd));
	SHOW(p[n * PG - 101]);
	SHOW(p[n * PG - 1]);
	SHOW(pages_right(p, 0, n - 1));
	SHOW(pages_right(q - 300 * PG, 300, 700));
	RET(munmap(p, n * PG));
	p = map(p, n * PG, RW, ANON | MAP_FIXED);
	SHOW(p[0] + p[500 * PG]);
	RET(munmap(p, n * PG));
	RET(munmap(q, 400 * PG));
	tmp_leave();
}

/* ---- mremap ------------------------------------------------------------------------- */

CASE(remap_grow_in_place)
{
	uint8_t *p = map(NULL, 8 * PG, RW, ANON), *q;

	MAPPED(p);
	p[0] = 1;
	RET(munmap(p + 4 * PG, 4 * PG));
	q = mremap(p, 4 * PG, 6 * PG, 0);
	SHOW(q == p);
	SHOW(q[5 * PG]);
	q[5 * PG] = 1;
	RET(munmap(p, 8 * PG));
}

CASE(remap_no_room)
{
	uint8_t *p = map(NULL, 8 * PG, RW, ANON), *q;

	MAPPED(p);
	p[0] = 1;
	p[3 * PG] = 2;
	RET(mprotect(p + 4 * PG, PG, PROT_READ));
	RET(mremap(p, 4 * PG, 6 * PG, 0));
	q = mremap(p, 4 * PG, 6 * PG, MREMAP_MAYMOVE);
	MAPPED(q);
	SHOW(q != p);
	SHOW(q[0] + q[3 * PG] + q[5 * PG]);
	READS(p);
	READS(p + 4 * PG);
	RET(munmap(p + 4 * PG, 4 * PG));
	RET(munmap(q, 6 * PG));
}

CASE(remap_shrink)
{
	uint8_t *p = map(NULL, 8 * PG, RW, ANON);

	MAPPED(p);
	p[0] = 1;
	SHOW(mremap(p, 8 * PG, 2 * PG, 0) == (void *)p);
	READS(p + PG);
	READS(p + 2 * PG);
	SHOW(mremap(p, 2 * PG, 2 * PG, 0) == (void *)p);
	RET(munmap(p, 2 * PG));
}

/* Less of several regions, or of what is partly not there */
CASE(remap_shrink_regions)
{
	uint8_t *p = mmap(NULL, 4 * PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1, 0);

	MAPPED(p);
	RET(mprotect(p, PG, PROT_NONE));
	RET(munmap(p + 3 * PG, PG));
	SHOW(mremap(p, 4 * PG, 2 * PG, 0) == (void *)p);
	READS(p + PG);
	READS(p + 2 * PG);
	SHOW(mremap(p, 2 * PG, 2 * PG, 0) == (void *)p);
	RET(mremap(p, 2 * PG, 3 * PG, MREMAP_MAYMOVE));
	RET(munmap(p, 2 * PG));
}

/* What comes to a file mapping is the file's. */
static void
grows(int flags, int fd)
{
	uint8_t *p = mmap(NULL, PG, PROT_READ, flags, fd, PG), *q;

	MAPPED(p);
	q = mremap(p, PG, 3 * PG, MREMAP_MAYMOVE);
	SHOW(q != MAP_FAILED);
	SHOW(q[0]);
	SHOW(q[PG]);
	SHOW(q[PG + 100]);
	SHOW(q[PG + 101]);
	READS(q + 2 * PG);
	RET(munmap(q, 3 * PG));
}

CASE(remap_file)
{
	char b[PG];
	int fd;

	tmp_enter();
	MUST((fd = open("g", O_RDWR | O_CREAT, 0600)) >= 0);
	memset(b, 'a', sizeof b);
	MUST(write(fd, b, PG) == (ssize_t)PG);
	memset(b, 'b', sizeof b);
	MUST(write(fd, b, PG) == (ssize_t)PG);
	memset(b, 'c', sizeof b);
	MUST(write(fd, b, 101) == 101);
	grows(MAP_PRIVATE, fd);
	grows(MAP_SHARED, fd);
	close(fd);
	tmp_leave();
}

CASE(remap_errors)
{
	uint8_t *p = map(NULL, 4 * PG, RW, ANON);

	MAPPED(p);
	RET(mremap(p + 1, PG, 2 * PG, MREMAP_MAYMOVE));
	RET(mremap(p, PG, 0, MREMAP_MAYMOVE));
	RET(mremap(p, PG, 2 * PG, 8));
	RET(mremap(p, PG, 2 * PG, MREMAP_FIXED, p));
	RET(mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p + PG));
	RET(mremap(p, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, p + 1));
	RET(mremap(p, 0, PG, MREMAP_MAYMOVE));
	RET(mremap(p, 8 * PG, 9 * PG, MREMAP_MAYMOVE));
	RET(munmap(p, 4 * PG));
	RET(mremap(p, PG, 2 * PG, MREMAP_MAYMOVE));
}

CASE(remap_fixed)
{
	uint8_t *p = map(NULL, 2 * PG, RW, ANON), *q, *r;

	MAPPED(p);
	q = map(NULL, 4 * PG, PROT_READ, ANON);
	MAPPED(q);
	p[0] = 1;
	p[PG] = 2;
	r = mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, q + PG);
	SHOW(r == q + PG);
	SHOW(r[0] + r[PG]);
	r[PG] = 4;
	WRITES(q);
	WRITES(q + 3 * PG);
	READS(p);
	RET(munmap(q, 4 * PG));
}

CASE(remap_dontunmap)
{
	uint8_t *p = map(NULL, 2 * PG, RW, ANON), *q;

	MAPPED(p);
	p[0] = 1;
	q = mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	MAPPED(q);
	SHOW(q[0]);
	SHOW(p[0]);
	p[0] = 5;
	SHOW(q[0]);
	RET(mremap(p, 2 * PG, PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0));
	RET(mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 5));
	RET(munmap(p, 2 * PG));
	RET(munmap(q, 2 * PG));
}

CASE(remap_keeps_protection)
{
	uint8_t *p = map(NULL, 2 * PG, RW, ANON), *q;

	MAPPED(p);
	p[0] = 3;
	RET(mprotect(p, 2 * PG, PROT_READ));
	q = map(NULL, 64 * PG, PROT_NONE, ANON);
	MAPPED(q);
	q = mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, q);
	MAPPED(q);
	SHOW(q[0]);
	WRITES(q);
	RET(munmap(q, 64 * PG));
}

CASE(remap_part)
{
	uint8_t *p = map(NULL, 6 * PG, RW, ANON), *q;
	int i;

	MAPPED(p);
	for (i = 0; i < 6; i++)
		p[i * (int)PG] = (uint8_t)(i + 1);
	q = mremap(p + 2 * PG, 2 * PG, 16 * PG, MREMAP_MAYMOVE);
	MAPPED(q);
	SHOW(q[0] + q[PG] + q[2 * PG]);
	for (i = 0; i < 6; i++)
		say("%d %s", i, probe_text(probe_read(p + i * (int)PG),
		    p + i * (int)PG));
	RET(munmap(p, 6 * PG));
	RET(munmap(q, 16 * PG));
}

CASE(remap_large_is_a_move)
{
	size_t n = 64UL << 20;
	uint8_t *p = map(NULL, n, RW, ANON), *q;

	MAPPED(p);
	p[0] = 1;
	p[n - 1] = 2;
	MAPPED(map(NULL, PG, RW, ANON));
	q = mremap(p, n, 2 * n, MREMAP_MAYMOVE);
	MAPPED(q);
	SHOW(q[0] + q[n - 1] + q[n] + q[2 * n - 1]);
	RET(munmap(q, 2 * n));
}
