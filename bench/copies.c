/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Ways to put pages back: nanoseconds a page, and which is best where.
 *
 *	copies [ROUNDS]
 *
 * As in a reset: pages of a private mapping of a memfd, scattered, from
 * another mapping of it.  "hot": both sides are in the caches, as after one
 * request; "cold": 64 MiB were read in between.  Prints a Markdown table.
 */

#define _GNU_SOURCE
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096
#define PAGES	16384		/* of the image */
#define CACHES	(64 << 20)

typedef int copy_f(uint8_t *to, const uint8_t *from);

static int
by_memcpy(uint8_t *to, const uint8_t *from)
{
	/* not a string instruction of the compiler's */
	void *(*volatile f)(void *, const void *, size_t) = memcpy;

	(void)f(to, from, PAGE);
	return (0);
}

static int
by_movsb(uint8_t *to, const uint8_t *from)
{
	size_t n = PAGE;

	__asm__ volatile("rep movsb"
	    : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return (0);
}

static int
by_movsq(uint8_t *to, const uint8_t *from)
{
	size_t n = PAGE / 8;

	__asm__ volatile("rep movsq"
	    : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return (0);
}

static int
by_sse(uint8_t *to, const uint8_t *from)
{
	unsigned i, k;
	__m128i x[8];

	for (i = 0; i < PAGE; i += sizeof x) {
#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
			x[k] = _mm_load_si128((const void *)
			    (from + i + k * 16));
#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
			_mm_store_si128((void *)(to + i + k * 16), x[k]);
	}
	return (0);
}

__attribute__((target("avx2"))) static int
by_avx(uint8_t *to, const uint8_t *from)
{
	unsigned i, k;
	__m256i x[8];

	for (i = 0; i < PAGE; i += sizeof x) {
#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
			x[k] = _mm256_load_si256((const void *)
			    (from + i + k * 32));
#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
			_mm256_store_si256((void *)(to + i + k * 32), x[k]);
	}
	return (0);
}

__attribute__((target("avx2"))) static int
by_nt(uint8_t *to, const uint8_t *from)
{
	unsigned i, k;
	__m256i x[8];

	for (i = 0; i < PAGE; i += sizeof x) {
#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
			x[k] = _mm256_load_si256((const void *)
			    (from + i + k * 32));
#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
			_mm256_stream_si256((void *)(to + i + k * 32), x[k]);
	}
	_mm_sfence();
	return (0);
}

static int
by_memcmp(uint8_t *to, const uint8_t *from)
{

	if (memcmp(to, from, PAGE) == 0)
		return (0);
	return (by_memcpy(to, from));
}

/* Only the lines that differ are written. */
__attribute__((target("avx2"))) static int
by_lines(uint8_t *to, const uint8_t *from)
{
	__m256i a, b, c, d;
	unsigned i;

	for (i = 0; i < PAGE; i += 64) {
		a = _mm256_load_si256((const void *)(from + i));
		b = _mm256_load_si256((const void *)(from + i + 32));
		c = _mm256_xor_si256(a, *(const __m256i *)(to + i));
		d = _mm256_xor_si256(b, *(const __m256i *)(to + i + 32));
		c = _mm256_or_si256(c, d);
		if (!_mm256_testz_si256(c, c)) {
			_mm256_store_si256((void *)(to + i), a);
			_mm256_store_si256((void *)(to + i + 32), b);
		}
	}
	return (0);
}

static const struct {
	const char	*name;
	copy_f		*f;
} way[] = {
	{ "memcpy", by_memcpy },
	{ "rep movsb", by_movsb },
	{ "rep movsq", by_movsq },
	{ "SSE2, 128 bytes a turn", by_sse },
	{ "AVX, 256 bytes a turn", by_avx },
	{ "AVX, non-temporal stores", by_nt },
	{ "memcmp, then memcpy", by_memcmp },
	{ "AVX compare, lines that differ", by_lines },
};

static double
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec * 1e9 + (double)t.tv_nsec);
}

static int
by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x < *y ? -1 : *x > *y);
}

static uint64_t
flush(const uint64_t *p)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < CACHES / 8; i += 8)
		sum += p[i];
	return (sum);
}

/* changed: bytes that a request has written to each page; 0: none */
static double
measure(copy_f *f, uint8_t *to, const uint8_t *from, unsigned n,
    unsigned changed, const uint64_t *cold, unsigned rounds)
{
	double *ns = calloc(rounds, sizeof *ns), t;
	volatile uint64_t sink = 0;
	unsigned r, i, k;

	if (ns == NULL)
		exit(1);
	for (r = 0; r < rounds; r++) {
		for (i = 0; i < n; i++)
			for (k = 0; k < changed; k++)
				to[(size_t)i * 7 % PAGES * PAGE + 512 + k]++;
		if (cold != NULL)
			sink += flush(cold);
		t = now_ns();
		for (i = 0; i < n; i++)
			(void)f(to + (size_t)i * 7 % PAGES * PAGE,
			    from + (size_t)i * 7 % PAGES * PAGE);
		ns[r] = (now_ns() - t) / n;
	}
	qsort(ns, rounds, sizeof *ns, by_value);
	t = ns[rounds / 2];
	free(ns);
	return (t);
}

int
main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 400;
	unsigned u;
	uint64_t *cold;
	uint8_t *image, *own;
	int fd;

	fd = memfd_create("image", 0);
	if (fd < 0 || ftruncate(fd, (off_t)PAGES * PAGE) != 0 || rounds == 0)
		return (1);
	image = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	own = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE, fd, 0);
	cold = mmap(NULL, CACHES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (image == MAP_FAILED || own == MAP_FAILED || cold == MAP_FAILED)
		return (1);
	memset(cold, 1, CACHES);
	memset(image, 2, (size_t)PAGES * PAGE);
	for (u = 0; u < PAGES; u++)
		own[(size_t)u * PAGE] = 2;
	(void)printf("| ns a page | 16 pages, hot | 16 pages unchanged, hot | "
	    "500 pages, hot | 16 pages, cold |\n|---|---|---|---|---|\n");
	for (u = 0; u < sizeof way / sizeof way[0]; u++)
		(void)printf("| %s | %.0f | %.0f | %.0f | %.0f |\n",
		    way[u].name,
		    measure(way[u].f, own, image, 16, 64, NULL, rounds * 10),
		    measure(way[u].f, own, image, 16, 0, NULL, rounds * 10),
		    measure(way[u].f, own, image, 500, 64, NULL, rounds),
		    measure(way[u].f, own, image, 16, 64, cold,
		    rounds / 8 + 1));
	(void)close(fd);
	return (0);
}
