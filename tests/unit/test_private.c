/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The private set, which a reset copies back: it is what requests write, in the
 * order of addresses.  A page that one odd request wrote joins it and leaves it
 * again, in the fork and in what forks to come copy ahead.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/priv.h"
#include "mem/as.h"
#include "one_request.h"

#define ENOUGH	2100		/* resets: two turns of learning anew */
#define ODD	20		/* pages */

static struct tkvm_image *image;
static struct tkvm_fork *fk;
static struct as *as;
static struct tkvm_error err;

static void
check_list(const struct as *a)
{
	uint32_t u, n = 0;

	for (u = 0; u < a->npriv; u++) {
		assert_true(bit_get(&a->priv, a->plist[u]));
		if (u > 0)
			assert_true(a->plist[u - 1] < a->plist[u]);
	}
	for (u = 0; u < a->cap_priv; u++)
		n += (uint32_t)bit_get(&a->priv, u);
	assert_int_equal(n, a->npriv);
}

/* Pages of the program that no request writes, from the top of the image */
static void
find_odd(uint32_t page[ODD])
{
	uint32_t p = as->cap_priv, n = 0;

	while (n < ODD) {
		assert_true(p > GPA_FRAMES / PAGE_SZ);
		p--;
		if (!bit_get(&as->priv, p) &&
		    !frame_is_pt(as, (uint64_t)p * PAGE_SZ))
			page[n++] = p;
	}
}

static int
by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x < *y ? -1 : *x > *y);
}

static int
differs(uint32_t page)
{
	const uint64_t gpa = (uint64_t)page * PAGE_SZ;

	return (memcmp(as->base + gpa, as->image->base + gpa, PAGE_SZ) != 0);
}

static void
test_odd(void **state)
{
	struct tkvm_fork *other;
	uint32_t page[ODD], u, usual, first[64];

	(void)state;
	for (u = 0; u < 40; u++) {
		one_request(fk);
		one_reset(fk);
	}
	usual = as->npriv;
	assert_in_range(usual, 3, NELEM(first));
	memcpy(first, as->plist, usual * sizeof first[0]);
	check_list(as);

	/* backwards, so that they have to be sorted */
	find_odd(page);
	one_request(fk);
	for (u = 0; u < ODD; u++) {
		as_mark(as, (uint64_t)page[u] * PAGE_SZ, 1);
		as->base[(uint64_t)page[u] * PAGE_SZ + 77] ^= 1;
		assert_true(differs(page[u]));
	}
	one_reset(fk);
	assert_int_equal(as->npriv, usual + ODD);
	check_list(as);
	for (u = 0; u < ODD; u++)
		assert_false(differs(page[u]));
	assert_int_equal(image->nlearned, usual + ODD);

	for (u = 0; u < ENOUGH; u++) {
		one_request(fk);
		one_reset(fk);
	}
	check_list(as);
	for (u = 0; u < ODD; u++) {
		assert_false(bit_get(&as->priv, page[u]));
		assert_false(differs(page[u]));
	}
	/* what each request writes is there still */
	assert_in_range(as->npriv, 3, usual);
	for (u = 0; u < as->npriv; u++)
		assert_non_null(bsearch(&as->plist[u], first, usual,
		    sizeof first[0], by_value));
	assert_int_equal(image->nlearned, as->npriv);

	other = tkvm_fork_new(image, &err);
	if (other == NULL)
		fail_msg("%s", err.text);
	for (u = 0; u < ODD; u++)
		assert_false(bit_get(&other->m->as->priv, page[u]));
	tkvm_fork_free(&other);
}

/* Steady: a request finds the pages it writes private already. */
static void
test_steady(void **state)
{
	uint64_t remaps = as->remaps;
	uint32_t was = as->npriv, u;

	(void)state;
	for (u = 0; u < 100; u++) {
		one_request(fk);
		one_reset(fk);
	}
	assert_in_range(as->npriv, was, was + 2);
	assert_in_range(as->remaps - remaps, 0, 2);
}

static int
start(void **state)
{
	struct tkvm_options *o = tkvm_options_new("private");
	const char *dir = getenv("GUESTDIR");
	char path[4096];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/chttp_static",
	    dir != NULL ? dir : "guest");
	if (o == NULL ||
	    tkvm_options_set(o, "program", path, &err) != 0 ||
	    tkvm_options_set(o, "args", "8080", &err) != 0 ||
	    tkvm_options_set(o, "ephemeral", NULL, &err) != 0 ||
	    tkvm_options_set(o, "warmup", "20", &err) != 0 ||
	    (image = tkvm_boot(o, NULL, &err)) == NULL ||
	    (fk = tkvm_fork_new(image, &err)) == NULL) {
		(void)fprintf(stderr, "%s\n", err.text);
		return (-1);
	}
	tkvm_options_free(&o);
	as = fk->m->as;
	return (0);
}

static int
end(void **state)
{

	(void)state;
	if (fk != NULL)
		tkvm_fork_free(&fk);
	if (image != NULL)
		tkvm_image_unref(&image);
	return (0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_steady),
	};

	return (cmocka_run_group_tests(tests, start, end));
}
