/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The images of this process, one for each set of options that makes an
 * image (tkvm_options_hash).  Tenants with the same hash, in whichever VCL,
 * share the image and its boot: one of them boots, the others wait for it.
 *
 * An entry lives as long as a tenant refers to it, from vcl_init to discard,
 * so a VCL that goes cold and comes back does not boot again.
 */

#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmod_kvm.h"

static VTAILQ_HEAD(, kvm_image) images = VTAILQ_HEAD_INITIALIZER(images);
static pthread_mutex_t images_mtx = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t images_cond = PTHREAD_COND_INITIALIZER;

static struct kvm_image *
image_find(const char *hash)
{
	struct kvm_image *img;

	VTAILQ_FOREACH(img, &images, list)
		if (strcmp(img->hash, hash) == 0)
			return (img);
	return (NULL);
}

static struct kvm_image *
image_new(const char *hash, const char *name)
{
	struct kvm_image *img;

	ALLOC_OBJ(img, KVM_IMAGE_MAGIC);
	if (img == NULL)
		return (NULL);
	img->name = strdup(name);
	if (img->name == NULL) {
		FREE_OBJ(img);
		return (NULL);
	}
	(void)memcpy(img->hash, hash, sizeof img->hash);
	VTAILQ_INSERT_TAIL(&images, img, list);
	return (img);
}

/* NULL when memory is short. */
struct kvm_image *
kvm_image_get(const struct tkvm_options *opt, const char *name)
{
	struct kvm_image *img;
	char hash[sizeof img->hash];

	AN(opt);
	AN(name);
	tkvm_options_hash(opt, hash);
	AZ(pthread_mutex_lock(&images_mtx));
	img = image_find(hash);
	if (img == NULL)
		img = image_new(hash, name);
	if (img != NULL)
		img->refs++;
	AZ(pthread_mutex_unlock(&images_mtx));
	return (img);
}

void
kvm_image_rel(struct kvm_image **p)
{
	struct kvm_image *img;

	TAKE_OBJ_NOTNULL(img, p, KVM_IMAGE_MAGIC);
	AZ(pthread_mutex_lock(&images_mtx));
	assert(img->refs > 0);
	if (--img->refs > 0)
		img = NULL;
	else
		VTAILQ_REMOVE(&images, img, list);
	AZ(pthread_mutex_unlock(&images_mtx));
	if (img == NULL)
		return;
	AZ(img->booting);
	if (img->image != NULL)
		tkvm_image_unref(&img->image);
	free(img->name);
	FREE_OBJ(img);
}

/*
 * Some pool has a newer image (image-max-age): let go of the old one.  Under
 * the lock, although it may be the last reference: it happens seldom.
 */
void
kvm_image_renewed(struct kvm_image *img)
{

	CHECK_OBJ_NOTNULL(img, KVM_IMAGE_MAGIC);
	AZ(pthread_mutex_lock(&images_mtx));
	if (img->image != NULL)
		tkvm_image_newest(&img->image);
	AZ(pthread_mutex_unlock(&images_mtx));
}

/* Somebody's cancel flag was set. */
void
kvm_image_wake(void)
{

	AZ(pthread_mutex_lock(&images_mtx));
	AZ(pthread_cond_broadcast(&images_cond));
	AZ(pthread_mutex_unlock(&images_mtx));
}

/* Without the lock; back with it. */
static void
image_boot(struct kvm_image *img, const struct tkvm_options *opt,
    const volatile int *cancel, struct tkvm_error *err)
{
	struct tkvm_image *image;

	AZ(img->booting);
	img->booting = 1;
	AZ(pthread_mutex_unlock(&images_mtx));
	image = tkvm_boot(opt, cancel, err);
	AZ(pthread_mutex_lock(&images_mtx));
	img->booting = 0;
	img->image = image;
	/* Who waits shares a failure, but not a cancellation. */
	if (image == NULL && !*cancel) {
		img->failed++;
		img->err = *err;
	}
	AZ(pthread_cond_broadcast(&images_cond));
}

/*
 * The image, booted by us (*booted), by a tenant that boots it right now, or
 * earlier.  NULL with *err.
 */
struct tkvm_image *
kvm_image_boot(struct kvm_image *img, const struct tkvm_options *opt,
    const volatile int *cancel, int *booted, struct tkvm_error *err)
{
	struct tkvm_image *image;
	unsigned failed;

	CHECK_OBJ_NOTNULL(img, KVM_IMAGE_MAGIC);
	AN(cancel);
	AN(booted);
	AN(err);
	*booted = 0;
	err->code = TKVM_E_BOOT;
	(void)snprintf(err->text, sizeof err->text, "the boot was cancelled");

	AZ(pthread_mutex_lock(&images_mtx));
	failed = img->failed;
	while (img->booting && img->failed == failed && !*cancel)
		AZ(pthread_cond_wait(&images_cond, &images_mtx));
	if (img->image == NULL && img->failed != failed) {
		*err = img->err;
	} else if (img->image == NULL && !*cancel) {
		*booted = 1;
		image_boot(img, opt, cancel, err);
	}
	if (img->image != NULL)
		tkvm_image_newest(&img->image);
	image = img->image;
	if (image != NULL)
		tkvm_image_ref(image);
	AZ(pthread_mutex_unlock(&images_mtx));
	return (image);
}
