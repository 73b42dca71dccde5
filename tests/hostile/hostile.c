/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The server: GET /list names the attacks, GET /ok is an ordinary answer, and
 * GET /NAME/SEED is an attack.  One connection at a time, closed after each
 * answer.
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

int conn, answered;
sigjmp_buf back;
volatile int trying;
uint8_t *code;
uint64_t rnd_state;

static const struct attack *const all[] = {
	cpu_attacks, memory_attacks, call_attacks, answer_attacks,
};
#define NALL		(sizeof all / sizeof all[0])

uint64_t
rnd(void)
{

	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (rnd_state);
}

long
raw(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b),
	    "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return (r);
}

void
run_bytes(const void *p, size_t n)
{

	(void)memcpy(code, p, n);
	code[n] = 0xc3;
	/* All registers are the bytes' to spoil, but for the stack. */
	__asm__ volatile("call *%%rax" : : "a"(code) : "rbx", "rcx", "rdx",
	    "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	    "memory", "cc");
}

static void
on_signal(int sig)
{

	(void)sig;
	/* A direction or alignment flag that an attack left behind */
	__asm__ volatile("cld" ::: "cc");
	if (trying)
		siglongjmp(back, 1);
	_exit(99);
}

static void
handlers(void)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP,
	    SIGSYS };
	struct sigaction sa;
	stack_t ss;
	unsigned u;

	(void)memset(&ss, 0, sizeof ss);
	ss.ss_size = 64 << 10;
	ss.ss_sp = mmap(NULL, ss.ss_size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)sigaltstack(&ss, NULL);
	(void)memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_signal;
	sa.sa_flags = SA_ONSTACK | SA_NODEFER;
	for (u = 0; u < sizeof sigs / sizeof sigs[0]; u++)
		(void)sigaction(sigs[u], &sa, NULL);
}

static void
answer(const char *body, size_t len)
{
	char head[100];
	int n;

	n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n"
	    "Content-Length: %zu\r\nConnection: close\r\n\r\n", len);
	(void)write(conn, head, (size_t)n);
	(void)write(conn, body, len);
}

static void
list(void)
{
	static char b[16384];
	const struct attack *a;
	size_t n = 0;
	unsigned u;

	for (u = 0; u < NALL; u++)
		for (a = all[u]; a->name != NULL; a++)
			n += (size_t)snprintf(b + n, sizeof b - n,
			    "%s %u %u %u\n", a->name, a->may, a->quick,
			    a->all);
	answer(b, n);
}

static void
attack(const char *path)
{
	const struct attack *a;
	unsigned u;
	size_t n;

	n = strcspn(path, "/");
	for (u = 0; u < NALL; u++)
		for (a = all[u]; a->name != NULL; a++) {
			if (strlen(a->name) != n || memcmp(a->name, path, n))
				continue;
			u = path[n] == '/' ? (unsigned)atoi(path + n + 1) : 0;
			rnd_state = 88172645463325252UL + u * 7919UL;
			a->fn(u);
			if (!answered)
				answer("survived\n", 9);
			return;
		}
	answer("unknown\n", 8);
}

static void
serve(void)
{
	char req[2048];
	ssize_t n;
	char *e;

	n = read(conn, req, sizeof req - 1);
	if (n < 8)
		return;
	req[n] = '\0';
	e = strchr(req + 5, ' ');
	if (e != NULL)
		*e = '\0';
	answered = 0;
	if (!strcmp(req + 4, "/ok"))
		answer("ok\n", 3);
	else if (!strcmp(req + 4, "/list"))
		list();
	else
		attack(req + 5);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin;
	int l, one = 1;

	(void)memset(&sin, 0, sizeof sin);
	sin.sin_family = AF_INET;
	sin.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 8080));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	handlers();
	(void)signal(SIGPIPE, SIG_IGN);
	l = socket(AF_INET, SOCK_STREAM, 0);
	(void)setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (code == MAP_FAILED || bind(l, (void *)&sin, sizeof sin) != 0 ||
	    listen(l, 16) != 0) {
		perror("hostile");
		return (1);
	}
	for (;;) {
		conn = accept(l, NULL, NULL);
		if (conn < 0)
			continue;
		serve();
		(void)close(conn);
	}
}
