/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * main() of the fam_*.c programs, and what they share.
 *
 *	fam_NAME list		names of the cases; those of ALONE after a '!'
 *	fam_NAME CASE		that one
 *	fam_NAME all		all but those of ALONE, each after "== CASE"
 *	fam_NAME serve PORT	HTTP: GET /CASE answers what it says, once for
 *				each connection (to see that a reset undoes it)
 */

#include "diff.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MAX_CASES	400
#define SAID_MAX	100000UL

static struct diff_case cases[MAX_CASES];
static unsigned ncases;
static char *said;			/* serving: the answer */
static size_t nsaid;

void
diff_add(const struct diff_case *c)
{

	if (ncases == MAX_CASES)
		abort();
	cases[ncases++] = *c;
}

void
say(const char *fmt, ...)
{
	char b[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(b, sizeof b - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n > sizeof b - 2)
		n = (int)sizeof b - 2;
	b[n++] = '\n';
	if (said != NULL) {
		if (nsaid + (size_t)n <= SAID_MAX)
			memcpy(said + __atomic_fetch_add(&nsaid, (size_t)n,
			    __ATOMIC_RELAXED), b, (size_t)n);
		return;
	}
	if (write(STDOUT_FILENO, b, (size_t)n) != n)
		_exit(98);
}

const char *
errno_name(int error)
{
	const char *s = strerrorname_np(error);

	return (error == 0 ? "0" : s != NULL ? s : "?");
}

/* ---- loads and stores that may fault --------------------------------------------- */

static __thread sigjmp_buf probe_env;
static __thread struct probe probe_last;

static void
probe_handler(int sig, siginfo_t *si, void *uc)
{

	(void)uc;
	probe_last.sig = sig;
	probe_last.code = si->si_code;
	probe_last.addr = (uint64_t)si->si_addr;
	siglongjmp(probe_env, 1);
}

static struct probe
probe_any(const volatile void *p, int what)
{
	struct sigaction sa, old[3];
	volatile uint8_t *b = (volatile uint8_t *)(uintptr_t)p;

	memset(&sa, 0, sizeof sa);
	memset(&probe_last, 0, sizeof probe_last);
	sa.sa_sigaction = probe_handler;
	sa.sa_flags = SA_SIGINFO;
	(void)sigaction(SIGSEGV, &sa, &old[0]);
	(void)sigaction(SIGBUS, &sa, &old[1]);
	(void)sigaction(SIGILL, &sa, &old[2]);
	if (sigsetjmp(probe_env, 1) == 0) {
		if (what == 0)
			(void)*b;
		else if (what == 1)
			*b = 1;
		else
			((void (*)(void))(uintptr_t)p)();
	}
	(void)sigaction(SIGSEGV, &old[0], NULL);
	(void)sigaction(SIGBUS, &old[1], NULL);
	(void)sigaction(SIGILL, &old[2], NULL);
	return (probe_last);
}

struct probe
probe_read(const volatile void *p)
{

	return (probe_any(p, 0));
}

struct probe
probe_write(volatile void *p)
{

	return (probe_any(p, 1));
}

struct probe
probe_exec(const void *p)
{

	return (probe_any(p, 2));
}

const char *
probe_text(struct probe p, const volatile void *at)
{
	static __thread char b[64];

	if (p.sig == 0)
		return ("ok");
	(void)snprintf(b, sizeof b, "SIG%s/%d%s", sigabbrev_np(p.sig), p.code,
	    p.addr == (uint64_t)at ? "+" : "");
	return (b);
}

/* ---- small things ------------------------------------------------------------------ */

uint8_t *
mem_new(size_t len)
{
	void *p;

	p = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		say("no memory: %s", errno_name(errno));
		_exit(99);
	}
	return (p);
}

uint8_t *
mem_edge(void)
{
	uint8_t *p = mem_new(2 * PG);

	if (mprotect(p + PG, PG, PROT_NONE) != 0) {
		say("mprotect: %s", errno_name(errno));
		_exit(99);
	}
	return (p + PG);
}

pthread_t
thread_start(void *(*func)(void *), void *arg)
{
	pthread_t t;
	int error = pthread_create(&t, NULL, func, arg);

	if (error != 0) {
		say("pthread_create: %s", errno_name(error));
		_exit(99);
	}
	return (t);
}

void
ms_sleep(unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000 * MS) };

	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		continue;
}

uint64_t
now_ns(clockid_t clk)
{
	struct timespec ts;

	if (clock_gettime(clk, &ts) != 0)
		return (0);
	return ((uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec);
}

void
tmp_enter(void)
{
	char t[] = "/tmp/tkvm-diff-XXXXXX";

	if (mkdtemp(t) == NULL || chdir(t) != 0) {
		say("%s: %s", t, errno_name(errno));
		_exit(99);
	}
}

void
tmp_leave(void)
{
	char b[512];

	if (getcwd(b, sizeof b) == NULL || chdir("/") != 0 || rmdir(b) != 0)
		say("tmp_leave: %s", errno_name(errno));
}

/* ---- main ---------------------------------------------------------------------------- */

static void
one(const struct diff_case *c)
{

	c->func();
	(void)fflush(stdout);
}

static const struct diff_case *
find(const char *name)
{
	unsigned u;

	for (u = 0; u < ncases; u++)
		if (strcmp(name, cases[u].name) == 0)
			return (&cases[u]);
	return (NULL);
}

static void
answer(int fd)
{
	const struct diff_case *c;
	char b[4096], name[100] = "", head[200];
	size_t n = 0;
	ssize_t r;

	do {
		r = read(fd, b + n, sizeof b - 1 - n);
		n += r > 0 ? (size_t)r : 0;
		b[n] = '\0';
	} while (r > 0 && strstr(b, "\r\n\r\n") == NULL);
	nsaid = 0;
	c = sscanf(b, "GET /%99s HTTP", name) == 1 ? find(name) : NULL;
	if (c != NULL)
		one(c);
	else
		say("ready");
	n = (size_t)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n"
	    "Content-Length: %zu\r\nConnection: close\r\n\r\n", nsaid);
	if (write(fd, head, n) > 0)
		(void)!write(fd, said, nsaid);
	(void)close(fd);
}

static int
serve(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_port = htons(port) };
	int s, fd, yes = 1;

	said = malloc(SAID_MAX);
	s = socket(AF_INET, SOCK_STREAM, 0);
	(void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (said == NULL || bind(s, (void *)&sin, sizeof sin) != 0 ||
	    listen(s, 8) != 0) {
		perror("listen");
		return (96);
	}
	while ((fd = accept(s, NULL, NULL)) >= 0)
		answer(fd);
	return (95);
}

static int
by_name(const void *a, const void *b)
{

	return (strcmp(((const struct diff_case *)a)->name,
	    ((const struct diff_case *)b)->name));
}

int
main(int argc, char **argv)
{
	unsigned u;

	(void)umask(022);
	qsort(cases, ncases, sizeof cases[0], by_name);
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (u = 0; u < ncases; u++)
			(void)printf("%s%s\n", cases[u].alone ? "!" : "",
			    cases[u].name);
		return (0);
	}
	if (argc == 2 && strcmp(argv[1], "all") == 0) {
		for (u = 0; u < ncases; u++) {
			if (cases[u].alone)
				continue;
			say("== %s", cases[u].name);
			one(&cases[u]);
		}
		say("== end");
		return (0);
	}
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return (serve((uint16_t)atoi(argv[2])));
	if (argc == 2 && find(argv[1]) != NULL) {
		one(find(argv[1]));
		return (0);
	}
	(void)fprintf(stderr, "usage: %s list | all | serve PORT | CASE\n",
	    argv[0]);
	return (97);
}
