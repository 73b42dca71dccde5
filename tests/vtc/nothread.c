/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * In front of libc, in Varnish's worker: as long as there is a file $NOTHREAD,
 * there are no threads for vmod_kvm.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int create_f(pthread_t *, const pthread_attr_t *, void *(*)(void *),
    void *);

int
pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*func)(void *), void *priv)
{
	const char *file = getenv("NOTHREAD");
	create_f *next;
	Dl_info info;

	if (file != NULL && access(file, F_OK) == 0 &&
	    dladdr((void *)func, &info) != 0 &&
	    strstr(info.dli_fname, "vmod_kvm") != NULL)
		return (EAGAIN);
	next = (create_f *)dlsym(RTLD_NEXT, "pthread_create");
	return (next(t, attr, func, priv));
}
