/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Copying pages.  Measured by bench/copies, figures in docs/performance.md:
 * wide vector registers are the fastest by a little while both pages are in the
 * caches, which they are after a request, and take the fewest instructions.
 */

#include <string.h>

#include "mem/as.h"

#ifdef __x86_64__
#include <immintrin.h>

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
/* Watching each of its turns takes the fuzzers a quarter of their time. */
#define UNWATCHED	__attribute__((no_sanitize("coverage", "address", \
			    "undefined")))
#else
#define UNWATCHED
#endif

__attribute__((target("avx"))) UNWATCHED static void
copy_avx(uint8_t *to, const uint8_t *from)
{
	const __m256i *s = (const void *)from;
	__m256i *d = (void *)to, x[16];
	unsigned i, k;

	for (i = 0; i < PAGE_SZ / sizeof *s; i += NELEM(x)) {
#pragma GCC unroll 16
		for (k = 0; k < NELEM(x); k++)
			x[k] = _mm256_load_si256(s + i + k);
#pragma GCC unroll 16
		for (k = 0; k < NELEM(x); k++)
			_mm256_store_si256(d + i + k, x[k]);
	}
}
#endif

void
page_copy(uint8_t *to, const uint8_t *from)
{

#ifdef __x86_64__
	if (__builtin_cpu_supports("avx")) {
		copy_avx(to, from);
		return;
	}
#endif
	memcpy(to, from, PAGE_SZ);
}
