/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A server that hides marks wherever a program can keep anything (GET
 * /mark/TAG), or looks for them everywhere it can read (GET /scan/TAG,TAG...).
 * A mark is 32 bytes, four lanes of a tag of five bytes and three random ones,
 * so that a part of one is found, too.  Tags come as hexadecimal digits: in
 * the request itself there is no mark.  GET /keep/TAG hides less, and goes on
 * serving.  See canary_drive.c.
 */

#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <dirent.h>
#include <emmintrin.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MARKS		64
#define MAX_TAGS	4
#define GK_START	0x7ffffda00000UL
#define KERN_END	0x800000000000UL

static uint64_t tag[MAX_TAGS];		/* complemented */
static unsigned ntag, nmark;
static uint8_t entry_state[4096] __attribute__((aligned(64)));
static sigjmp_buf back;
static char hit[200];
static unsigned long looked;		/* bytes */
static int conn;

/* ---- marks ------------------------------------------------------------------------ */

static void
lane(uint8_t *to)
{
	const uint64_t t = ~tag[0];
	uint32_t r;

	(void)memcpy(to, &t, 5);
	r = (uint32_t)random();
	(void)memcpy(to + 5, &r, 3);
}

static void
mark(void *to)
{
	unsigned u;

	for (u = 0; u < 4; u++)
		lane((uint8_t *)to + 8 * u);
	nmark++;
}

/* As text without a NUL: bytes of a tag are never 0. */
static char *
mark_text(char *to)
{
	unsigned u;

	mark(to);
	for (u = 0; u < 32; u++)
		if (to[u] == '\0' || to[u] == '/')
			to[u] = 'x';
	to[32] = '\0';
	return (to);
}

static void
nothing(int sig)
{

	(void)sig;
}

static void *
thread(void *priv)
{
	static __thread uint8_t tls[32];

	(void)priv;
	mark(tls);
	while (pause() != 0)
		continue;
	return (NULL);
}

__attribute__((noinline)) static void
mark_stack(void)
{
	volatile uint8_t deep[16384];
	uint8_t m[32];
	unsigned u, k;

	for (u = 0; u < 4; u++) {
		mark(m);
		for (k = 0; k < 32; k++)
			deep[u * 4096 + 5 + k] = m[k];
	}
	(void)deep[0];
}

static void
mark_memory(void)
{
	uint8_t *p;
	unsigned u;

	for (u = 0; u < 8; u++) {
		p = malloc(100 + u * 3000);
		mark(p + u);
		if (u & 1)
			free(p);
	}
	p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (u = 0; u < 8; u++)
		mark(p + u * 4096 + 4096 - 32);
	(void)munmap(p, 4096);
	(void)madvise(p + 4096, 4096, MADV_DONTNEED);
	(void)mprotect(p + 8192, 4096, PROT_NONE);
	p = sbrk(8192);
	if (p != (void *)-1)
		mark(p + 100);
	mark_stack();
}

static void
mark_descriptors(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct itimerspec it;
	uint8_t m[33];
	uint64_t v;
	unsigned u;
	int fd[2], e;

	for (u = 0; u < 4; u++) {
		mark(m);
		if (pipe(fd) == 0)
			(void)write(fd[1], m, 32);
		mark(m);
		if (socketpair(AF_UNIX, u & 1 ? SOCK_STREAM : SOCK_DGRAM, 0,
		    fd) == 0)
			(void)write(fd[0], m, 32);
	}
	lane((void *)&v);
	fd[0] = eventfd(0, EFD_NONBLOCK);
	(void)write(fd[0], &v, 8);
	e = epoll_create1(0);
	lane((void *)&ev.data);
	(void)epoll_ctl(e, EPOLL_CTL_ADD, fd[0], &ev);
	(void)memset(&it, 0, sizeof it);
	lane((void *)&it.it_value.tv_sec);
	it.it_value.tv_sec &= 0x7fffffffffff;
	(void)timerfd_settime(timerfd_create(1, 0), 0, &it, NULL);
	fd[0] = socket(AF_UNIX, SOCK_DGRAM, 0);
	mark(sun.sun_path + 1);
	(void)bind(fd[0], (void *)&sun, sizeof sun);
	fd[0] = memfd_create(mark_text((char *)m), 0);
	mark(m);
	(void)write(fd[0], m, 32);
}

static void
mark_files(void)
{
	char name[100] = "/tmp/", m[33];
	unsigned u;
	int fd;

	for (u = 0; u < 6; u++) {
		(void)mark_text(name + 5);
		fd = open(name, O_RDWR | O_CREAT, 0600);
		mark(m);
		(void)pwrite(fd, m, 32, u * 5000);
		if (u == 1)
			(void)unlink(name);
		if (u == 2)
			(void)ftruncate(fd, 10);
		if (u > 2)
			(void)close(fd);
	}
	(void)strcpy(name, "/dev/shm/");
	(void)mkdir(mark_text(name + 9) - 9, 0700);
	(void)chdir(name);
	mark_text(m);
	(void)symlink(m, "/tmp/link");
}

static void
mark_process(void)
{
	struct sigaction sa;
	struct itimerval it;
	struct sigevent ev;
	struct rlimit rl;
	char m[33];
	uint64_t v;
	timer_t t;
	pthread_t th;
	stack_t ss;
	unsigned u;

	for (u = 0; u < 4; u++) {
		mark_text(m);
		(void)setenv(m, m, 1);
	}
	mark_text(m);
	(void)prctl(PR_SET_NAME, m);
	(void)memset(&sa, 0, sizeof sa);
	lane((void *)&v);
	sa.sa_handler = (void (*)(int))(v & 0x7fffffffffff);
	(void)sigaction(SIGUSR2, &sa, NULL);
	sa.sa_handler = nothing;
	lane((void *)&sa.sa_mask);
	(void)sigaction(SIGHUP, &sa, NULL);
	lane((void *)&ss.ss_sp);
	ss.ss_size = 65536;
	ss.ss_flags = 0;
	(void)sigaltstack(&ss, NULL);
	(void)sigaddset(&sa.sa_mask, SIGRTMIN);
	(void)sigprocmask(SIG_BLOCK, &sa.sa_mask, NULL);
	lane((void *)&v);
	(void)sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_ptr =
	    (void *)v });
	(void)memset(&it, 0, sizeof it);
	lane((void *)&it.it_value.tv_sec);
	it.it_value.tv_sec &= 0xffffffff;
	(void)setitimer(ITIMER_REAL, &it, NULL);
	(void)memset(&ev, 0, sizeof ev);
	lane((void *)&ev.sigev_value);
	ev.sigev_signo = SIGUSR1;
	ev.sigev_notify = SIGEV_SIGNAL;
	(void)timer_create(CLOCK_MONOTONIC, &ev, &t);
	lane((void *)&v);
	rl.rlim_cur = rl.rlim_max = v >> 1;
	(void)setrlimit(RLIMIT_FSIZE, &rl);
	lane((void *)&v);
	(void)syscall(SYS_set_robust_list, v, 24);
	lane((void *)&v);
	(void)syscall(SYS_set_tid_address, v);
	for (u = 0; u < 3; u++)
		(void)pthread_create(&th, NULL, thread, NULL);
	(void)sched_yield();
}

/* Registers, and so into the answer and the wait behind it */
static void
mark_registers(void)
{
	static uint8_t m[16 * 32] __attribute__((aligned(64)));
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
	    "ok\n";
	unsigned u;

	for (u = 0; u < 16; u++)
		mark(m + u * 32);
	__asm__ volatile(
	    "movq (%0), %%mm0; movq 8(%0), %%mm1; movq 16(%0), %%mm7" : :
	    "r"(m) : "memory");
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile(
		    "vmovdqa (%0), %%ymm0; vmovdqa 32(%0), %%ymm1;"
		    "vmovdqa 64(%0), %%ymm2; vmovdqa 96(%0), %%ymm3;"
		    "vmovdqa 128(%0), %%ymm7; vmovdqa 160(%0), %%ymm8;"
		    "vmovdqa 192(%0), %%ymm14; vmovdqa 224(%0), %%ymm15" : :
		    "r"(m) : "memory");
	__asm__ volatile("mov (%0), %%r8; mov 8(%0), %%r9; mov 16(%0), %%r10;"
	    "mov 32(%0), %%r12; mov 40(%0), %%r13; mov 48(%0), %%r14;"
	    "mov 56(%0), %%r15; mov 64(%0), %%rbx; syscall; mov $34, %%eax;"
	    "syscall" : : "r"(m), "a"(SYS_write), "D"((long)conn), "S"(ok),
	    "d"(sizeof ok - 1) : "r8", "r9", "r10", "r11", "r12", "r13", "r14",
	    "r15", "rbx", "rcx", "memory");
}

static void
hide(int go_on)
{

	nmark = 0;
	mark_memory();
	mark_descriptors();
	mark_files();
	if (go_on)
		return;
	mark_process();
	while (nmark + 16 < MARKS)
		mark((uint8_t *)malloc(64) + 16);
	mark_registers();
}

/* ---- looking ------------------------------------------------------------------------ */

static void
on_fault(int sig)
{

	(void)sig;
	siglongjmp(back, 1);
}

static int
is_lane(const uint8_t *p, unsigned t)
{
	uint64_t v;

	(void)memcpy(&v, p, 8);
	return (((v ^ ~tag[t]) & 0xffffffffffUL) == 0);
}

/*
 * The first lane of any tag at or behind p.  A lane has the tag's first byte,
 * and its fifth four bytes on: sixteen places are looked at in one go.
 */
static const uint8_t *
find(const uint8_t *p, size_t n)
{
	__m128i first[MAX_TAGS], fifth[MAX_TAGS], b0, b4, any;
	unsigned t, k;
	size_t i;

	for (t = 0; t < ntag; t++) {
		first[t] = _mm_set1_epi8((char)~tag[t]);
		fifth[t] = _mm_set1_epi8((char)(~tag[t] >> 32));
	}
	for (i = 0; i + 16 + 8 <= n; i += 16) {
		b0 = _mm_loadu_si128((const __m128i *)(p + i));
		b4 = _mm_loadu_si128((const __m128i *)(p + i + 4));
		any = _mm_setzero_si128();
		for (t = 0; t < ntag; t++)
			any = _mm_or_si128(any, _mm_and_si128(
			    _mm_cmpeq_epi8(b0, first[t]),
			    _mm_cmpeq_epi8(b4, fifth[t])));
		if (_mm_movemask_epi8(any) == 0)
			continue;
		for (k = 0; k < 16; k++)
			for (t = 0; t < ntag; t++)
				if (is_lane(p + i + k, t))
					return (p + i + k);
	}
	for (; i + 8 <= n; i++)
		for (t = 0; t < ntag; t++)
			if (is_lane(p + i, t))
				return (p + i);
	return (NULL);
}

static void
look(const char *what, const void *p, size_t n)
{
	const uint8_t *f;

	if (hit[0] != '\0')
		return;
	looked += n;
	f = find(p, n);
	if (f != NULL)
		(void)snprintf(hit, sizeof hit, "%.80s+0x%zx (%p)", what,
		    (size_t)(f - (const uint8_t *)p), (const void *)f);
}

/* Pages that can be read, of a range.  No mask to save: SA_NODEFER */
static void
look_range(const char *what, uint64_t from, uint64_t to)
{
	volatile uint64_t at = from;

	while (sigsetjmp(back, 0) != 0)
		at += 4096;
	for (; at < to; at += 4096)
		look(what, (const void *)at, 4096);
}

/* Pages that are there: the others would be zero. */
static void
look_present(const char *what, uint64_t from, uint64_t to)
{
	static uint8_t there[4096];
	uint64_t n, i, k;

	for (; from < to; from += n * 4096) {
		n = (to - from) / 4096;
		if (n > sizeof there)
			n = sizeof there;
		if (mincore((void *)from, n * 4096, there) != 0) {
			look_range(what, from, from + n * 4096);
			continue;
		}
		for (i = 0; i < n; i = k + 1) {
			for (k = i; k < n && (there[k] & 1); k++)
				continue;
			look(what, (void *)(from + i * 4096), (k - i) * 4096);
		}
	}
}

static void
look_memory(void)
{
	static char line[4096];
	unsigned long a, b;
	char prot[8];
	FILE *f;

	f = fopen("/proc/self/maps", "r");
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		look("maps", line, strlen(line));
		if (sscanf(line, "%lx-%lx %7s", &a, &b, prot) != 3 ||
		    prot[0] != 'r')
			continue;
		if (sigsetjmp(back, 0) == 0)
			look_present(line, a, b);
		else
			look_range(line, a, b);
	}
	if (f != NULL)
		(void)fclose(f);
}

static void
look_descriptors(void)
{
	struct pollfd has[64];
	struct epoll_event ev[16];
	static char b[65536];
	char name[64];
	ssize_t n;
	int fd, i;

	/* The lowest is taken first: no request of ours has as many. */
	for (fd = 0; fd < 64; fd++)
		has[fd] = (struct pollfd){ .fd = fd };
	(void)poll(has, 64, 0);
	for (fd = 0; fd < 64; fd++) {
		if (fd == conn || (has[fd].revents & POLLNVAL))
			continue;
		(void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		n = readlink(name, b, sizeof b);
		if (n > 0)
			look(name, b, (size_t)n);
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
		n = pread(fd, b, sizeof b, 0);
		if (n < 0)
			n = read(fd, b, sizeof b);
		if (n > 0)
			look(name, b, (size_t)n);
		i = epoll_wait(fd, ev, 16, 0);
		if (i > 0)
			look(name, ev, (size_t)i * sizeof ev[0]);
	}
}

static void
look_folder(const char *dir)
{
	static char b[65536];
	char path[600];
	struct dirent *e;
	ssize_t n;
	DIR *d;
	int fd;

	d = opendir(dir);
	while (d != NULL && (e = readdir(d)) != NULL) {
		look(dir, e->d_name, strlen(e->d_name));
		(void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		n = readlink(path, b, sizeof b);
		if (n > 0)
			look(path, b, (size_t)n);
		fd = open(path, O_RDONLY | O_NONBLOCK);
		if (fd < 0)
			continue;
		while ((n = read(fd, b, sizeof b)) > 0)
			look(path, b, (size_t)n);
		(void)close(fd);
	}
	if (d != NULL)
		(void)closedir(d);
}

static void
look_process(void)
{
	static const char *const files[] = { "/proc/self/environ",
	    "/proc/self/stat", "/proc/self/status", "/proc/self/limits",
	    "/proc/self/comm", "/proc/self/cmdline" };
	static char b[16384];
	unsigned u;
	ssize_t n;
	int fd;

	for (u = 0; u < sizeof files / sizeof files[0]; u++) {
		fd = open(files[u], O_RDONLY);
		n = read(fd, b, sizeof b);
		if (n > 0)
			look(files[u], b, (size_t)n);
		(void)close(fd);
	}
}

static void
answer(const char *body)
{
	char b[400];
	int n;

	n = snprintf(b, sizeof b, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
	    "\r\n%s", strlen(body), body);
	(void)write(conn, b, (size_t)n);
}

static void
scan(int deep)
{
	struct sigaction sa = { .sa_flags = SA_NODEFER };

	sa.sa_handler = on_fault;
	(void)sigaction(SIGSEGV, &sa, NULL);
	(void)sigaction(SIGBUS, &sa, NULL);
	hit[0] = '\0';
	looked = 0;
	look("vector registers", entry_state, sizeof entry_state);
	look_memory();
	/* The blob's tables, and at times all of its buffers */
	look_range("tables", GK_START, deep ? KERN_END - 4096 :
	    GK_START + 0x40000);
	look_range("kernel half", KERN_END - 0x400000, deep ? KERN_END - 4096 :
	    KERN_END - 0x400000 + 0x40000);
	look_descriptors();
	look_folder("/tmp");
	look_folder("/dev/shm");
	look_process();
	if (hit[0] == '\0')
		(void)snprintf(hit, sizeof hit, "none %lu", looked);
	answer(hit);
}

/* ---- the server ----------------------------------------------------------------------- */

static void
tags(const char *p)
{
	char *e;

	for (ntag = 0; ntag < MAX_TAGS; ntag++, p = e + 1) {
		tag[ntag] = ~strtoul(p, &e, 16);
		if (*e != ',') {
			ntag++;
			return;
		}
	}
}

static void
serve(void)
{
	char req[512];
	ssize_t n;

	n = read(conn, req, sizeof req - 1);
	if (n < 12)
		return;
	req[n] = '\0';
	tags(req + 10);
	if (!memcmp(req, "GET /mark/", 10))
		hide(0);
	else if (!memcmp(req, "GET /keep/", 10)) {
		hide(1);
		answer("ok");
	} else
		scan(!memcmp(req, "GET /deep/", 10));
}

int
main(void)
{
	struct sockaddr_in sin;
	struct timespec ts;
	int l;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	srandom((unsigned)ts.tv_nsec);
	(void)memset(&sin, 0, sizeof sin);
	sin.sin_family = AF_INET;
	sin.sin_port = htons(8080);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (void *)&sin, sizeof sin) != 0 || listen(l, 16) != 0)
		return (1);
	for (;;) {
		/* All vector state at once, before anything uses it */
		__asm__ volatile("syscall; mov %%eax, %0; mov $7, %%eax;"
		    "xor %%edx, %%edx; xsave64 %1" : "=m"(conn),
		    "=m"(entry_state) : "a"(SYS_accept), "D"((long)l),
		    "S"(0L), "d"(0L) : "rcx", "r11", "memory");
		if (conn < 0)
			continue;
		serve();
		(void)close(conn);
	}
}
