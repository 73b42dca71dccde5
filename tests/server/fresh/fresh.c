/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A server that answers with random numbers from everywhere in C, one a line:
 * NAME VALUE.  Each source has been used before it is frozen.  "bad" lines say
 * what should not be.
 */

#include <arpa/inet.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#  define MADV_WIPEONFORK 18
#endif

static const volatile uint32_t *generation;
static uint64_t *wiped;
static int (*ssl_rand)(unsigned char *, int);
static void (*arc4_buf)(void *, size_t);

static void
put(FILE *f, const char *name, const void *p, size_t n)
{
	const uint8_t *b = p;

	(void)fprintf(f, "%s ", name);
	while (n-- > 0)
		(void)fprintf(f, "%02x", *b++);
	(void)fputc('\n', f);
}

static void
from_file(FILE *f, const char *name, const char *path, size_t want)
{
	uint8_t b[16];
	int fd;

	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, b, want) != (ssize_t)want)
		(void)fprintf(f, "bad %s\n", path);
	else
		put(f, name, b, want);
	(void)close(fd);
}

static void
draw(FILE *f)
{
	uint32_t gen;
	uint8_t b[16];
	FILE *g;

	if (getrandom(b, sizeof b, 0) != sizeof b)
		(void)fprintf(f, "bad getrandom\n");
	put(f, "getrandom", b, sizeof b);
	if (getentropy(b, sizeof b) != 0)
		(void)fprintf(f, "bad getentropy\n");
	put(f, "getentropy", b, sizeof b);
	from_file(f, "urandom", "/dev/urandom", 16);
	from_file(f, "random", "/dev/random", 16);
	put(f, "at_random", (const void *)getauxval(AT_RANDOM), 16);
	if (arc4_buf != NULL) {
		arc4_buf(b, sizeof b);
		put(f, "arc4random", b, sizeof b);
	}
	if (ssl_rand != NULL) {
		if (ssl_rand(b, sizeof b) != 1)
			(void)fprintf(f, "bad RAND_bytes\n");
		put(f, "openssl", b, sizeof b);
	}
	(void)fprintf(f, "pid %d\n", (int)getpid());

	gen = generation != NULL ? *generation : 0;
	(void)fprintf(f, "generation %u\n", gen);
	g = fopen("/dev/sysgenid", "re");
	if (g == NULL || fread(b, 4, 1, g) != 1 || memcmp(b, &gen, 4) != 0)
		(void)fprintf(f, "bad generation read\n");
	if (g != NULL)
		(void)fclose(g);

	if (wiped[0] != 0 || wiped[512] != 0)
		(void)fprintf(f, "bad MADV_WIPEONFORK: not zero\n");
	memset(wiped, 0xa5, 8192);
}

static void
answer(int fd)
{
	char *text = NULL, head[100], in[4096];
	size_t len = 0;
	FILE *f;
	int n;

	if (read(fd, in, sizeof in) <= 0)
		return;
	f = open_memstream(&text, &len);
	if (f == NULL)
		return;
	draw(f);
	(void)fclose(f);
	n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n"
	    "Connection: close\r\nContent-Length: %zu\r\n\r\n", len);
	(void)!write(fd, head, (size_t)n);
	(void)!write(fd, text, len);
	free(text);
}

static void
init(void)
{
	void *h;
	int fd;

	fd = open("/dev/sysgenid", O_RDONLY);
	generation = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || generation == MAP_FAILED || mmap(NULL, 4096,
	    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED) {
		perror("/dev/sysgenid");
		exit(1);
	}
	(void)close(fd);
	if (mprotect((void *)(uintptr_t)generation, 4096,
	    PROT_READ | PROT_WRITE) == 0 || *generation != 0) {
		(void)fprintf(stderr, "/dev/sysgenid is writable\n");
		exit(1);
	}
	wiped = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (wiped == MAP_FAILED || madvise(wiped, 8192, MADV_WIPEONFORK)) {
		perror("MADV_WIPEONFORK");
		exit(1);
	}
	h = dlopen("libcrypto.so.3", RTLD_NOW);
	if (h != NULL)
		ssl_rand = (int (*)(unsigned char *, int))dlsym(h,
		    "RAND_bytes");
	arc4_buf = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT,
	    "arc4random_buf");
}

int
main(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_port = htons(8080) };
	FILE *null;
	int l, fd;

	init();
	null = fopen("/dev/null", "we");
	if (null == NULL)
		return (1);
	draw(null);
	(void)fclose(null);
	l = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (struct sockaddr *)&sin, sizeof sin) || listen(l, 5)) {
		perror("listen");
		return (1);
	}
	for (;;) {
		fd = accept(l, NULL, NULL);
		if (fd < 0)
			continue;
		answer(fd);
		(void)close(fd);
	}
}
