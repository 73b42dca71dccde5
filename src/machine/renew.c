/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * image-max-age: what a program drew at random before it was frozen (canary,
 * pointer guard, hash seeds) is the same in all forks of an image, so an image
 * gets a successor, booted in the background.
 *
 * An image knows its successor and holds it: pools that share an image find
 * the one that the first of them has booted.
 */

#include <stdio.h>
#include <string.h>

#include "machine/priv.h"

/* The successor, or NULL; with a reference */
static struct tkvm_image *
successor(struct tkvm_image *img)
{
	struct tkvm_image *next;

	(void)pthread_mutex_lock(&img->mtx);
	next = img->next;
	if (next != NULL)
		tkvm_image_ref(next);
	(void)pthread_mutex_unlock(&img->mtx);
	return (next);
}

void
tkvm_image_newest(struct tkvm_image **pi)
{
	struct tkvm_image *next;

	CHECK_OBJ_NOTNULL(*pi, IMAGE_MAGIC);
	while ((next = successor(*pi)) != NULL) {
		tkvm_image_unref(pi);
		*pi = next;
	}
}

/*
 * Whoever serves an image knows its listeners by number: the new one gets
 * them in the same order.
 */
static int
same_listeners(const struct tkvm_image *old, struct tkvm_image *new,
    struct tkvm_error *err)
{
	unsigned u, v;

	for (u = 0; u < old->nlistener; u++) {
		for (v = u; v < new->nlistener; v++)
			if (new->listener[v].len == old->listener[u].len &&
			    !memcmp(&new->listener[v].sa, &old->listener[u].sa,
			    old->listener[u].len))
				break;
		if (v < new->nlistener) {
			const typeof(new->listener[0]) l = new->listener[u];

			new->listener[u] = new->listener[v];
			new->listener[v] = l;
		} else if (old->nlistener > 1 || new->nlistener != 1)
			return (err_set(err, TKVM_E_BOOT, "tenant \"%s\": "
			    "booted again, the program listens on other "
			    "addresses (image-max-age)", old->opt->tenant));
	}
	return (0);
}

struct tkvm_image *
image_renew(struct tkvm_image *old, const volatile int *cancel,
    struct tkvm_error *err)
{
	struct tkvm_image *new;

	CHECK_OBJ_NOTNULL(old, IMAGE_MAGIC);
	err->code = TKVM_OK;
	(void)pthread_mutex_lock(&old->mtx);
	if (old->next != NULL || old->renewing) {
		new = old->next;
		if (new != NULL)
			tkvm_image_ref(new);
		(void)pthread_mutex_unlock(&old->mtx);
		return (new);
	}
	old->renewing = 1;
	(void)pthread_mutex_unlock(&old->mtx);
	new = tkvm_boot(old->opt, cancel, err);
	if (new != NULL && same_listeners(old, new, err) != 0)
		tkvm_image_unref(&new);
	(void)pthread_mutex_lock(&old->mtx);
	old->renewing = 0;
	old->next = new;
	if (new != NULL)
		tkvm_image_ref(new);
	(void)pthread_mutex_unlock(&old->mtx);
	return (new);
}
