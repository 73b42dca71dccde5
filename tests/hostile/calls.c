/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * System calls, signals, timers and threads that nobody in his right mind
 * would ask for.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"

static volatile unsigned nsig;

static void
count(int sig)
{

	(void)sig;
	nsig++;
}

static void
alarm_in(long us, long every)
{
	struct itimerval it = { { 0, every }, { 0, us } };
	struct sigaction sa;

	(void)memset(&sa, 0, sizeof sa);
	sa.sa_handler = count;		/* no SA_RESTART */
	(void)sigaction(SIGALRM, &sa, NULL);
	(void)setitimer(ITIMER_REAL, &it, NULL);
}

static int
ends_us(long nr)
{

	switch (nr) {
	case SYS_exit: case SYS_exit_group: case SYS_rt_sigreturn:
	case SYS_fork: case SYS_vfork: case SYS_clone: case SYS_clone3:
	case SYS_setitimer: case SYS_alarm: case SYS_rt_sigaction:
	case SYS_rt_sigprocmask: case SYS_close: case SYS_close_range:
	case SYS_dup2: case SYS_dup3: case SYS_kill: case SYS_tkill:
	case SYS_tgkill: case SYS_munmap: case SYS_shutdown:
		return (1);
	default:
		return (0);
	}
}

/* Every call, each argument in turn a bad pointer: 16 calls a seed */
static void
pointers(unsigned seed)
{
	uint8_t *page, *ro, *none;
	uint64_t bad[11];
	unsigned u, k;
	long nr, a[6];

	page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)munmap(page + 4096, 4096);
	bad[0] = 0;
	bad[1] = (uint64_t)page + 4096;
	bad[2] = (uint64_t)page + 4095;
	bad[3] = (uint64_t)page + 4090;
	bad[4] = 0xffffffff80000000;
	bad[5] = 0x0000900000000000;
	bad[6] = (uint64_t)ro;
	bad[7] = (uint64_t)none;
	bad[8] = KERN + 0x10000;
	bad[9] = KERN + 0x9000;
	bad[10] = GK;
	for (nr = seed * 16; nr < seed * 16 + 16; nr++) {
		if (ends_us(nr))
			continue;
		for (u = 0; u < 6; u++)
			for (k = 0; k < sizeof bad / sizeof bad[0]; k++) {
				(void)memset(a, 0, sizeof a);
				a[0] = 1;
				a[2] = 16;
				a[u] = (long)bad[k];
				/* What waits is woken. */
				alarm_in(200, 200);
				(void)raw(nr, a[0], a[1], a[2], a[3], a[4],
				    a[5]);
			}
	}
	alarm_in(0, 0);
}

static void
random_calls(unsigned seed)
{
	static uint8_t b[65536];
	unsigned u, k;
	long nr, a[6];

	(void)seed;
	for (u = 0; u < 300; u++) {
		nr = (long)(rnd() % 460);
		if (ends_us(nr))
			continue;
		for (k = 0; k < 6; k++)
			switch (rnd() % 4) {
			case 0:
				a[k] = (long)(rnd() % 16);
				break;
			case 1:
				a[k] = (long)(b + rnd() % sizeof b);
				break;
			case 2:
				a[k] = (long)(rnd() % 65536);
				break;
			default:
				a[k] = (long)rnd();
				break;
			}
		alarm_in(500, 500);
		TRY((void)raw(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
	}
	alarm_in(0, 0);
}

/* rt_sigreturn with a frame of noise */
static void
forged_frame(unsigned seed)
{
	static uint64_t frame[512];
	unsigned u;

	for (u = 0; u < 512; u++)
		frame[u] = seed & 1 ? rnd() : rnd() & rnd() & rnd();
	if (seed % 4 == 2) {	/* back to somewhere, in another mode */
		frame[21] = (uint64_t)code;
		frame[23] = rnd() & 0xffff;
	}
	TRY(__asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall" : :
	    "r"(frame + 8) : "memory"));
}

static void
one_signal(unsigned seed)
{

	(void)raw(SYS_kill, getpid(), seed + 1, 0, 0, 0, 0);
	(void)raw(SYS_tkill, raw(SYS_gettid, 0, 0, 0, 0, 0, 0), seed + 1, 0, 0,
	    0, 0);
}

/* A handler whose stack is nowhere */
static void
bad_altstack(unsigned seed)
{
	static const uint64_t where[] = { 0x1000, KERN, GK, ~0xffffUL,
	    0x800000000000 };
	stack_t ss;

	(void)memset(&ss, 0, sizeof ss);
	ss.ss_sp = (void *)where[seed % 5];
	ss.ss_size = 65536;
	(void)sigaltstack(&ss, NULL);
	*(volatile int *)NULL = 1;
}

static void
fault_storm(unsigned seed)
{
	unsigned u;

	(void)seed;
	for (u = 0; u < 3000; u++)
		TRY(*(volatile int *)(uint64_t)u = 1);
}

static void
signal_storm(unsigned seed)
{
	struct sigaction sa;
	unsigned u;

	(void)seed;
	(void)memset(&sa, 0, sizeof sa);
	sa.sa_handler = count;
	(void)sigaction(SIGUSR1, &sa, NULL);
	(void)sigaction(SIGRTMIN, &sa, NULL);
	for (u = 0; u < 2000; u++) {
		(void)raw(SYS_kill, getpid(), SIGUSR1, 0, 0, 0, 0);
		(void)sigqueue(getpid(), SIGRTMIN, (union sigval){ 0 });
	}
}

static void
timer_storm(unsigned seed)
{
	struct itimerspec it = { { 0, 1 }, { 0, 1 } };
	struct sigevent ev;
	struct timespec ts = { 0, 50000000 };
	timer_t t;
	unsigned u;

	(void)seed;
	alarm_in(1, 1);
	(void)memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = SIGALRM;
	for (u = 0; u < 64; u++)
		if (timer_create(CLOCK_MONOTONIC, &ev, &t) == 0)
			(void)timer_settime(t, 0, &it, NULL);
	for (u = 0; u < 20; u++)
		(void)nanosleep(&ts, NULL);
}

/* A handler that faults, in a handler that faults */
static void
again(int sig)
{

	(void)sig;
	*(volatile int *)8 = 1;
}

static void
nested_faults(unsigned seed)
{
	struct sigaction sa;

	(void)seed;
	(void)memset(&sa, 0, sizeof sa);
	sa.sa_handler = again;
	sa.sa_flags = SA_NODEFER;
	(void)sigaction(SIGSEGV, &sa, NULL);
	again(0);
}

static void *
spin(void *priv)
{

	for (;;)
		priv = *(void *volatile *)&priv;
	return (priv);
}

static void
many_threads(unsigned seed)
{
	pthread_attr_t attr;
	pthread_t t;
	unsigned u;

	(void)seed;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, 16384);
	for (u = 0; u < 1000; u++)
		if (pthread_create(&t, &attr, spin, NULL) != 0)
			break;
}

/* Lists that the kernel walks, without an end */
static void *
robust(void *priv)
{
	static struct {
		void	*next;
		long	off;
		void	*pending;
	} head;

	(void)priv;
	head.next = &head.next;
	head.off = -64;
	head.pending = (void *)KERN;
	static void *loop[2];
	loop[0] = loop;
	head.next = loop;
	(void)raw(SYS_set_robust_list, (long)&head, 24, 0, 0, 0, 0);
	(void)raw(SYS_set_tid_address, (long)KERN, 0, 0, 0, 0, 0);
	(void)raw(SYS_exit, 0, 0, 0, 0, 0, 0);
	return (NULL);
}

static void
robust_loop(unsigned seed)
{
	struct timespec ts = { 0, 20000000 };
	pthread_t t;

	(void)seed;
	(void)pthread_create(&t, NULL, robust, NULL);
	(void)nanosleep(&ts, NULL);
}

static void
descriptors(unsigned seed)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int u, k, fd;

	switch (seed) {
	case 0:
		while (open("/dev/null", O_RDONLY) >= 0)
			continue;
		break;
	case 1:		/* the listener, too, and the connection */
		(void)raw(SYS_close_range, 0, ~0U, 0, 0, 0, 0);
		answered = 1;
		break;
	case 2:		/* sets that watch each other */
		for (u = 0; u < 100; u++)
			(void)epoll_create1(0);
		for (u = 3; u < 100; u++)
			for (k = 3; k < 100; k++)
				(void)epoll_ctl(u, EPOLL_CTL_ADD, k, &ev);
		(void)epoll_wait(50, &ev, 1, 1);
		break;
	case 3:		/* sockets that hold themselves */
		for (u = 0; u < 40; u++) {
			char c[CMSG_SPACE(sizeof(int) * 2)];
			struct iovec iov = { &ev, 1 };
			struct msghdr m = { NULL, 0, &iov, 1, c, sizeof c, 0 };
			int sv[2];

			if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0)
				break;
			(void)memset(c, 0, sizeof c);
			CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
			CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
			CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof sv);
			(void)memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), sv,
			    sizeof sv);
			(void)sendmsg(sv[0], &m, MSG_DONTWAIT);
			(void)sendmsg(sv[1], &m, MSG_DONTWAIT);
			(void)close(sv[0]);
			(void)close(sv[1]);
		}
		break;
	default:	/* the connection is something else by now */
		fd = open("/proc/self/maps", O_RDONLY);
		(void)dup2(fd, conn);
		break;
	}
}

static void
more_processes(unsigned seed)
{
	char *const argv[] = { (char *)(uintptr_t)"/bin/sh", NULL };

	(void)raw(SYS_fork, 0, 0, 0, 0, 0, 0);
	(void)raw(SYS_vfork, 0, 0, 0, 0, 0, 0);
	(void)raw(SYS_clone, 17, 0, 0, 0, 0, 0);
	(void)raw(SYS_clone, (long)rnd(), (long)rnd(), 0, 0, 0, 0);
	if (seed == 1)
		(void)raw(SYS_execve, (long)argv[0], (long)argv, 0, 0, 0, 0);
	(void)raw(SYS_ptrace, 0, 0, 0, 0, 0, 0);
	(void)raw(SYS_unshare, 0x10000000, 0, 0, 0, 0, 0);
	(void)raw(SYS_mount, (long)"/", (long)"/", 0, 4096, 0, 0);
	(void)raw(SYS_io_uring_setup, 8, (long)code, 0, 0, 0, 0);
	(void)raw(SYS_bpf, 0, (long)code, 8, 0, 0, 0);
}

const struct attack call_attacks[] = {
	{ "pointers", pointers, MAY_ANSWER | MAY_FAIL, 29, 29 },
	{ "random-calls", random_calls, MAY_ANSWER | MAY_FAIL, 10, 1000 },
	{ "sigreturn", forged_frame, MAY_ANSWER | MAY_FAIL, 12, 1000 },
	{ "signal", one_signal, MAY_ANSWER | MAY_FAIL, 64, 64 },
	{ "bad-altstack", bad_altstack, MAY_FAIL, 5, 5 },
	{ "fault-storm", fault_storm, MAY_ANSWER, 1, 1 },
	{ "signal-storm", signal_storm, MAY_ANSWER, 1, 1 },
	{ "timer-storm", timer_storm, MAY_ANSWER | MAY_FAIL, 1, 1 },
	{ "nested-faults", nested_faults, MAY_FAIL, 1, 1 },
	{ "many-threads", many_threads, MAY_ANSWER | MAY_FAIL, 1, 1 },
	{ "robust-loop", robust_loop, MAY_ANSWER | MAY_FAIL, 1, 1 },
	{ "descriptors", descriptors, MAY_ANSWER | MAY_FAIL, 5, 5 },
	{ "more-processes", more_processes, MAY_ANSWER | MAY_FAIL, 2, 2 },
	{ NULL, NULL, 0, 0, 0 }
};
