/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * LD_PRELOAD of a program whose random numbers start anew after fork(2), by
 * pthread_atfork(3), as those of Rust's rand (and so Deno's crypto) do.  There
 * is no fork(2) between the frozen program and a request: this library makes
 * the calls when the program accepts a connection and /dev/sysgenid says that
 * it is another request's.
 */

#include <sys/mman.h>
#include <sys/socket.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#define MAX_CHILD	64

int __register_atfork(void (*prepare)(void), void (*parent)(void),
    void (*child)(void), void *dso);

static void (*child_of[MAX_CHILD])(void);
static unsigned nchild;
static const volatile uint32_t *generation;
static uint32_t seen;
static pthread_mutex_t mtx = PTHREAD_MUTEX_INITIALIZER;

static void __attribute__((constructor))
init(void)
{
	void *p;
	int fd;

	fd = open("/dev/sysgenid", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;		/* it does not run in a machine */
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		generation = p;
}

int
__register_atfork(void (*prepare)(void), void (*parent)(void),
    void (*child)(void), void *dso)
{
	__typeof__(__register_atfork) *next =
	    (__typeof__(next))dlsym(RTLD_NEXT, "__register_atfork");

	(void)pthread_mutex_lock(&mtx);
	if (child != NULL && nchild < MAX_CHILD)
		child_of[nchild++] = child;
	(void)pthread_mutex_unlock(&mtx);
	return (next(prepare, parent, child, dso));
}

static void
look(void)
{
	unsigned u, n = 0;

	if (generation == NULL || *generation == seen)
		return;
	(void)pthread_mutex_lock(&mtx);
	if (*generation != seen) {
		seen = *generation;
		n = nchild;
	}
	(void)pthread_mutex_unlock(&mtx);
	for (u = 0; u < n; u++)
		child_of[u]();
}

int
accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	static int (*next)(int, struct sockaddr *, socklen_t *, int);

	if (next == NULL)
		next = (__typeof__(next))dlsym(RTLD_NEXT, "accept4");
	fd = next(fd, sa, len, flags);
	if (fd >= 0)
		look();
	return (fd);
}

int
accept(int fd, struct sockaddr *sa, socklen_t *len)
{
	static int (*next)(int, struct sockaddr *, socklen_t *);

	if (next == NULL)
		next = (__typeof__(next))dlsym(RTLD_NEXT, "accept");
	fd = next(fd, sa, len);
	if (fd >= 0)
		look();
	return (fd);
}
