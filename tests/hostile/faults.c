/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Fault injection: the n-th allocation, mapping, ioctl, open or thread fails,
 * for every n until a run passes; KVM_RUN gives each error and exit reason.
 * Each run ends with an error that has a text, or as if nothing had been;
 * nothing stays behind, and the next request is answered.
 *
 *	faults [-s STEP] HOSTILE [NAME]...
 *
 * -s: every STEP-th n only, beginning with a random one.
 */

#define _GNU_SOURCE
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tkvm.h"

enum what { F_MALLOC, F_MMAP, F_IOCTL, F_RUN, F_OPEN, F_THREAD, F_MEMFD,
	F_NONE };

static const struct {
	const char	*name;
	int		err;
} kinds[] = {
	[F_MALLOC] = { "malloc", ENOMEM },
	[F_MMAP] = { "mmap", ENOMEM },
	[F_IOCTL] = { "ioctl", ENOMEM },
	[F_RUN] = { "KVM_RUN", EFAULT },
	[F_OPEN] = { "open", EMFILE },
	[F_THREAD] = { "pthread_create", EAGAIN },
	[F_MEMFD] = { "memfd", ENFILE },
};

static _Atomic long countdown;		/* calls until one fails */
static _Atomic int armed = F_NONE;	/* enum what */
static _Atomic long live;		/* allocations */
static int run_errno;			/* F_RUN: this error, or */
static int run_reason = -1;		/* ... this exit, */
static int run_first;			/* ... after a run */
static struct kvm_run *run_of[4096];	/* by descriptor */

/* Is it this one's turn? */
static int
fails(enum what w)
{

	if (atomic_load(&armed) != (int)w)
		return (0);
	if (atomic_fetch_sub(&countdown, 1) != 1)
		return (0);
	errno = kinds[w].err;
	return (1);
}

/* ---- instead of libc's ------------------------------------------------------------ */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

void *
malloc(size_t n)
{
	void *p;

	if (fails(F_MALLOC))
		return (NULL);
	p = __libc_malloc(n);
	if (p != NULL)
		atomic_fetch_add(&live, 1);
	return (p);
}

void *
calloc(size_t n, size_t m)
{
	void *p;

	if (fails(F_MALLOC))
		return (NULL);
	p = __libc_calloc(n, m);
	if (p != NULL)
		atomic_fetch_add(&live, 1);
	return (p);
}

void *
realloc(void *old, size_t n)
{
	void *p;

	if (fails(F_MALLOC))
		return (NULL);
	p = __libc_realloc(old, n);
	if (old == NULL && p != NULL)
		atomic_fetch_add(&live, 1);
	if (old != NULL && n == 0)
		atomic_fetch_sub(&live, 1);
	return (p);
}

void
free(void *p)
{

	if (p != NULL)
		atomic_fetch_sub(&live, 1);
	__libc_free(p);
}

void *__real_mmap(void *, size_t, int, int, int, off_t);
void *__wrap_mmap(void *, size_t, int, int, int, off_t);

void *
__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	void *p;

	if (fails(F_MMAP))
		return (MAP_FAILED);
	p = __real_mmap(at, n, prot, flags, fd, off);
	if (p != MAP_FAILED && fd >= 0 && fd < 4096)
		run_of[fd] = p;
	return (p);
}

int __real_ioctl(int, unsigned long, ...);
int __wrap_ioctl(int, unsigned long, ...);

int
__wrap_ioctl(int fd, unsigned long req, ...)
{
	va_list ap;
	void *arg;
	int r;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (req == KVM_RUN) {
		if (!fails(F_RUN))
			return (__real_ioctl(fd, req, arg));
		if (run_reason < 0) {
			errno = run_errno;
			return (-1);
		}
		/* with the program run, or where it was */
		r = run_first ? __real_ioctl(fd, req, arg) : 0;
		run_of[fd]->exit_reason = (unsigned)run_reason;
		return (r);
	}
	if (fails(F_IOCTL))
		return (-1);
	return (__real_ioctl(fd, req, arg));
}

int __real_open(const char *, int, ...);
int __wrap_open(const char *, int, ...);

int
__wrap_open(const char *path, int flags, ...)
{

	if (fails(F_OPEN))
		return (-1);
	return (__real_open(path, flags, 0600));
}

int __real_openat(int, const char *, int, ...);
int __wrap_openat(int, const char *, int, ...);

int
__wrap_openat(int dir, const char *path, int flags, ...)
{

	if (fails(F_OPEN))
		return (-1);
	return (__real_openat(dir, path, flags, 0600));
}

long __real_syscall(long, long, long, long, long, long, long);
long __wrap_syscall(long, long, long, long, long, long, long);

long
__wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{

	if (nr == SYS_openat2 && fails(F_OPEN))
		return (-1);
	return (__real_syscall(nr, a, b, c, d, e, f));
}

int __real_memfd_create(const char *, unsigned);
int __wrap_memfd_create(const char *, unsigned);

int
__wrap_memfd_create(const char *name, unsigned flags)
{

	if (fails(F_MEMFD))
		return (-1);
	return (__real_memfd_create(name, flags));
}

typedef void *thread_f(void *);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, thread_f *,
    void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, thread_f *,
    void *);

int
__wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, thread_f *fn,
    void *priv)
{

	if (fails(F_THREAD))
		return (EAGAIN);
	return (__real_pthread_create(t, a, fn, priv));
}

/* ---- what is left behind -------------------------------------------------------------- */

struct held {
	long	mem;
	int	fds, maps;
};

static void
hold(struct held *h)
{
	struct dirent *e;
	DIR *d;
	FILE *f;
	int c;

	h->fds = h->maps = 0;
	d = opendir("/proc/self/fd");
	while (d != NULL && (e = readdir(d)) != NULL)
		h->fds++;
	if (d != NULL)
		(void)closedir(d);
	f = fopen("/proc/self/maps", "r");
	while (f != NULL && (c = getc(f)) != EOF)
		h->maps += c == '\n';
	if (f != NULL)
		(void)fclose(f);
	h->mem = atomic_load(&live);
}

/* ---- scenarios ------------------------------------------------------------------------- */

static const char *program;
static struct tkvm_image *image;	/* of the requests */
static struct tkvm_error err;

static int
set(struct tkvm_options *o, const char *key, const char *value)
{

	return (o == NULL || tkvm_options_set(o, key, value, &err) != 0);
}

static struct tkvm_image *
boot(void)
{
	struct tkvm_options *o = tkvm_options_new("faults");
	struct tkvm_image *img = NULL;

	if (o == NULL) {
		err.code = TKVM_E_MEMORY;	/* all that this one says */
		(void)strcpy(err.text, "no options");
		return (NULL);
	}
	if (!set(o, "program", program) && !set(o, "allow-read", "/dev/null") &&
	    !set(o, "max-main-memory", "16") &&
	    !set(o, "max-request-memory", "4") &&
	    !set(o, "settle-time", "0") && !set(o, "verify-reset", "true") &&
	    !set(o, "warmup", "1") &&
	    !set(o, "warmup-request", "GET /ok localhost") &&
	    !set(o, "max-request-time", "30"))
		img = tkvm_boot(o, NULL, &err);
	tkvm_options_free(&o);
	return (img);
}

static int
request(struct tkvm_fork *f)
{
	static const char req[] = "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";
	struct tkvm_exchange *x;
	struct tkvm_response r;
	char b[100];
	ssize_t n = -1, k = 0;

	if (tkvm_fork_open(f, NULL, 0, 0, &err) != 0)
		return (-1);
	x = tkvm_exchange_new(f, 0, &err);
	if (x == NULL)
		return (-1);
	if (tkvm_exchange_send(x, req, sizeof req - 1, &err) >= 0 &&
	    tkvm_exchange_head(x, 0, &r, &err) == 0)
		while ((n = tkvm_exchange_body(x, b + k, sizeof b - (size_t)k,
		    0, &err)) > 0)
			k += n;
	tkvm_exchange_free(&x);
	if (n == 0 && (k != 3 || memcmp(b, "ok\n", 3) != 0)) {
		printf("FAIL a wrong answer: %.*s\n", (int)k, b);
		exit(1);
	}
	return ((int)n);
}

/* A pool, two requests; the second may be without faults */
static int
serve(int calm)
{
	struct tkvm_pool *p;
	struct tkvm_fork *f;
	double q;
	int r, i;

	p = tkvm_pool_new(image, &err);
	if (p == NULL)
		return (-1);
	f = tkvm_pool_take(p, &q, &err);
	r = f != NULL ? request(f) : -1;
	if (f != NULL)
		tkvm_pool_give(p, &f, r != 0);
	if (calm)
		atomic_store(&armed, F_NONE);
	for (i = 0; i < (calm ? 3 : 1); i++) {
		f = tkvm_pool_take(p, &q, &err);
		if (f == NULL) {
			r = -1;
			continue;
		}
		if (request(f) == 0)
			i = 10;
		else
			r = -1;
		tkvm_pool_give(p, &f, i != 10);
	}
	if (calm && i < 10) {
		printf("FAIL no later request was answered: %s\n", err.text);
		exit(1);
	}
	tkvm_pool_free(&p);
	return (r);
}

static int
scenario_boot(void)
{
	struct tkvm_image *img = boot();

	if (img == NULL)
		return (-1);
	tkvm_image_unref(&img);
	return (0);
}

static int
scenario_serve(void)
{

	return (serve(1));
}

static pthread_barrier_t all_there;

static void *
be_there(void *priv)
{

	(void)pthread_barrier_wait(&all_there);
	return (priv);
}

/*
 * libc keeps the stack of a thread that has ended, and an allocation with it,
 * for the next one.  How many run at a time is a matter of the machine: a fork
 * gets a thread once its requests take long.  So have enough of them.
 */
static void
fill_stack_cache(void)
{
	pthread_attr_t attr;
	pthread_t t[16];
	const unsigned n = sizeof t / sizeof t[0];
	unsigned u;

	/* No more than 40 MiB are kept. */
	if (pthread_attr_init(&attr) != 0 ||
	    pthread_attr_setstacksize(&attr, 1 << 20) != 0 ||
	    pthread_setattr_default_np(&attr) != 0 ||
	    pthread_barrier_init(&all_there, NULL, n) != 0)
		exit(2);
	for (u = 0; u < n; u++)
		if (__real_pthread_create(&t[u], NULL, be_there, NULL) != 0)
			exit(2);
	for (u = 0; u < n; u++)
		(void)pthread_join(t[u], NULL);
	(void)pthread_attr_destroy(&attr);
	(void)pthread_barrier_destroy(&all_there);
}

/* Every n until a run passes by itself: how many failed, -1 for a fault of
 * ours */
static int
every(const char *name, int (*scenario)(void), enum what w, long step)
{
	struct held before, after;
	long n, runs = 0, failed = 0;
	struct timespec t;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	for (n = step > 1 ? 1 + t.tv_nsec % step : 1; ; n += step) {
		hold(&before);
		(void)memset(&err, 0, sizeof err);
		atomic_store(&countdown, n);
		atomic_store(&armed, (int)w);
		r = scenario();
		atomic_store(&armed, F_NONE);
		hold(&after);
		runs++;
		failed += r != 0;
		if (r != 0 && (err.code == TKVM_OK || err.text[0] == '\0')) {
			printf("FAIL %s: %s %ld: no error\n", name,
			    kinds[w].name, n);
			return (-1);
		}
		if (runs > 1 && (after.mem != before.mem || after.fds !=
		    before.fds || after.maps > before.maps + 2)) {
			printf("FAIL %s: %s %ld: left behind: %ld "
			    "allocations, %d descriptors, %d mappings (%s)\n",
			    name, kinds[w].name, n, after.mem - before.mem,
			    after.fds - before.fds, after.maps - before.maps,
			    err.text);
			return (-1);
		}
		if (atomic_load(&countdown) > 0)
			break;
	}
	printf("PASS %s: %s, %ld runs, %ld with an error\n", name,
	    kinds[w].name, runs, failed);
	return (0);
}

/* KVM_RUN: each error, each exit reason, at the first and at later runs */
static int
kvm_run(void)
{
	static const int errors[] = { EFAULT, EIO, ENOMEM, EINTR, EAGAIN,
	    EINVAL, ENOEXEC, ENXIO, EBADF };
	struct held before, after;
	unsigned u, failed = 0, runs = 0;
	long n;

	hold(&before);
	for (n = 1; n <= 4; n++)
		for (u = 0; u < sizeof errors / sizeof errors[0] + 42; u++) {
			run_reason = -1;
			if (u < sizeof errors / sizeof errors[0])
				run_errno = errors[u];
			else
				run_reason = (int)(u - sizeof errors /
				    sizeof errors[0]);
			if (run_reason == KVM_EXIT_IO)
				continue;	/* what it was */
			(void)memset(&err, 0, sizeof err);
			run_first = n & 1;
			atomic_store(&countdown, (n + 1) / 2);
			atomic_store(&armed, F_RUN);
			failed += serve(1) != 0;
			runs++;
		}
	run_reason = -1;
	hold(&after);
	if (after.mem > before.mem + 4 || after.fds != before.fds) {
		printf("FAIL kvm-run: left behind: %ld allocations, %d "
		    "descriptors\n", after.mem - before.mem,
		    after.fds - before.fds);
		return (-1);
	}
	printf("PASS kvm-run: %u runs, %u with an error\n", runs, failed);
	return (0);
}

int
main(int argc, char **argv)
{
	struct tkvm_host host;
	long step = 1;
	int bad = 0, n = 0;
	enum what w;

	if (argc > 2 && !strcmp(argv[1], "-s")) {
		step = atol(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc < 2 || step < 1)
		return (2);
	program = argv[1];
	/* What is made once in a process is made now. */
	fill_stack_cache();
	if (tkvm_host_probe(&host, &err) != 0 || scenario_boot() != 0 ||
	    (image = boot()) == NULL || scenario_serve() != 0) {
		printf("FAIL without any fault: %s\n"
		    "0 passed, 1 failed, 0 skipped\n", err.text);
		return (1);
	}
	run_errno = EIO;
	for (w = 0; w < F_NONE; w++) {
		bad += every("boot", scenario_boot, w, step) != 0;
		bad += every("serve", scenario_serve, w,
		    step > 4 ? step / 4 : 1) != 0;
		n += 2;
		(void)fflush(stdout);
	}
	bad += kvm_run() != 0;
	n++;
	tkvm_image_unref(&image);
	printf("%d passed, %d failed, 0 skipped\n", n - bad, bad);
	return (bad != 0);
}
