/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Descriptors as such: dup, fcntl, close_range; pipes, eventfds, timerfds,
 * signalfds, inotify.
 */

#include "diff.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

CASE(dups)
{
	int p[2], a;
	char b[5];

	MUST(pipe(p) == 0);
	RET(a = dup(p[1]));
	RET(write(a, "x", 1));
	RET(close(p[1]));
	RET(read(p[0], b, 5));
	RET(dup(99));
	RET(dup2(99, 50));
	RET(dup2(a, a));
	RET(dup2(a, -1));
	RET(dup2(a, 1000000));
	RET(dup2(a, 60));
	RET(fcntl(60, F_GETFD));
	RET(dup3(a, 61, O_CLOEXEC));
	RET(fcntl(61, F_GETFD));
	RET(dup3(a, a, 0));
	RET(dup3(a, 62, 1));
	RET(fcntl(a, F_DUPFD, 70));
	RET(fcntl(a, F_DUPFD, 70));
	RET(fcntl(a, F_DUPFD_CLOEXEC, 70));
	RET(fcntl(72, F_GETFD));
	RET(fcntl(a, F_DUPFD, -1));
	RET(fcntl(a, F_DUPFD, 1 << 30));
	RET(close(60));
	RET(close(60));
	for (a = 60; a < 80; a++)
		close(a);
	RET(close(-1));
	close(p[0]);
}

CASE(flags)
{
	int p[2];

	RET(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	RET(fcntl(p[0], F_GETFD));
	RET(fcntl(p[0], F_GETFL));
	RET(fcntl(p[1], F_GETFL));
	RET(fcntl(p[0], F_SETFD, 0));
	RET(fcntl(p[0], F_GETFD));
	RET(fcntl(p[0], F_SETFL, 0));
	RET(fcntl(p[0], F_GETFL));
	RET(fcntl(p[0], 9999));
	RET(fcntl(99, F_GETFL));
	RET(fcntl(p[0], F_GETPIPE_SZ));
	RET(fcntl(p[0], F_SETPIPE_SZ, 4096));
	RET(fcntl(p[0], F_GETPIPE_SZ));
	RET(pipe2(p, 12345));
	RET(pipe((int *)8));
	close(p[0]);
	close(p[1]);
}

CASE(close_ranges)
{
	int i;

	for (i = 50; i < 60; i++)
		MUST(dup2(1, i) == i);
	RET(close_range(52, 54, 0));
	RET(fcntl(53, F_GETFD));
	RET(fcntl(55, F_GETFD));
	RET(close_range(55, 56, CLOSE_RANGE_CLOEXEC));
	RET(fcntl(55, F_GETFD));
	RET(close_range(60, 50, 0));
	RET(close_range(50, 60, 77));
	RET(close_range(50, ~0U, 0));
	RET(fcntl(59, F_GETFD));
}

CASE(pipes)
{
	static char big[70000];
	int p[2], n;
	char b[10];

	signal(SIGPIPE, SIG_IGN);
	MUST(pipe2(p, O_NONBLOCK) == 0);
	RET(read(p[0], b, 1));
	RET(write(p[1], "12345", 5));
	RET(ioctl(p[0], FIONREAD, &n));
	SHOW(n);
	RET(read(p[0], b, 3));
	RET(read(p[1], b, 1));
	RET(write(p[0], b, 1));
	/* how full depends on its pages */
	SHOW(write(p[1], big, sizeof big) > 60000);
	RET(write(p[1], big, 4096));
	RET(write(p[1], big, 1));
	RET(lseek(p[0], 0, SEEK_SET));
	RET(read(p[0], (void *)8, 1));
	RET(write(p[1], (void *)8, 1));
	RET(close(p[0]));
	RET(write(p[1], "x", 1));
	RET(close(p[1]));
	MUST(pipe(p) == 0);
	RET(write(p[1], "end", 3));
	RET(close(p[1]));
	RET(read(p[0], b, 10));
	RET(read(p[0], b, 10));
	close(p[0]);
	signal(SIGPIPE, SIG_DFL);
}

CASE(pipe_edges)
{
	uint8_t *e = mem_edge();
	struct iovec v[2];
	int p[2];

	MUST(pipe2(p, O_NONBLOCK) == 0);
	memset(e - 10, 'e', 10);
	RET(write(p[1], e - 4, 4));
	RET(write(p[1], e, 4));
	v[0].iov_base = e - 2;
	v[0].iov_len = 2;
	v[1].iov_base = NULL;
	v[1].iov_len = 0;
	RET(writev(p[1], v, 2));
	RET(writev(p[1], v, 0));
	RET(writev(p[1], NULL, 1));
	RET(readv(p[0], v, 2));
	RET(read(p[0], e - 1, 1));
	RET(read(p[0], e, 1));
	close(p[0]);
	close(p[1]);
}

CASE(pipe_stat)
{
	struct stat a, b;
	int p[2];

	MUST(pipe(p) == 0);
	RET(fstat(p[0], &a));
	RET(fstat(p[1], &b));
	SHOW(S_ISFIFO(a.st_mode));
	SHOW(a.st_ino == b.st_ino);
	RET(fchmod(p[0], 0600));
	RET(ftruncate(p[1], 0));
	RET(fsync(p[0]));
	WORKS(mmap(NULL, 4096, PROT_READ, MAP_SHARED, p[0], 0));
	close(p[0]);
	close(p[1]);
}

CASE(eventfds)
{
	uint64_t v = 5;
	int e;

	MUST((e = eventfd(3, EFD_NONBLOCK)) >= 0);
	RET(write(e, &v, 8));
	RET(read(e, &v, 8));
	SHOW(v);
	RET(read(e, &v, 8));
	RET(read(e, &v, 7));
	RET(write(e, &v, 4));
	v = UINT64_MAX;
	RET(write(e, &v, 8));
	v = UINT64_MAX - 1;
	RET(write(e, &v, 8));
	v = 1;
	RET(write(e, &v, 8));
	RET(read(e, (void *)8, 8));
	RET(lseek(e, 0, SEEK_SET));
	close(e);
	MUST((e = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK)) >= 0);
	RET(read(e, &v, 8));
	SHOW(v);
	RET(read(e, &v, 8));
	RET(read(e, &v, 8));
	close(e);
	RET(eventfd(0, 0x7777));
}

CASE(timerfds)
{
	struct itimerspec its = { { 0, 0 }, { 0, 10 * 1000000 } }, old;
	struct pollfd p = { -1, POLLIN, 0 };
	uint64_t n = 0;
	int t;

	MUST((t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)) >= 0);
	RET(read(t, &n, 8));
	RET(timerfd_settime(t, 0, &its, NULL));
	p.fd = t;
	RET(poll(&p, 1, 20000));
	RET(read(t, &n, 8));
	SHOW(n);
	RET(read(t, &n, 8));
	RET(read(t, &n, 4));
	its.it_interval.tv_nsec = 5 * 1000000;
	RET(timerfd_settime(t, 0, &its, &old));
	SHOW(old.it_value.tv_nsec);
	ms_sleep(60);
	RET(read(t, &n, 8));
	SHOW(n >= 5);
	RET(timerfd_gettime(t, &old));
	SHOW(old.it_interval.tv_nsec);
	its.it_value.tv_nsec = 0;
	RET(timerfd_settime(t, 0, &its, NULL));
	RET(timerfd_gettime(t, &old));
	SHOW(old.it_value.tv_nsec);
	its.it_value.tv_nsec = 1000000000;
	RET(timerfd_settime(t, 0, &its, NULL));
	RET(timerfd_settime(t, 99, &its, NULL));
	RET(timerfd_settime(0, 0, &its, NULL));
	RET(timerfd_settime(99, 0, &its, NULL));
	RET(timerfd_create(77, 0));
	RET(timerfd_create(CLOCK_MONOTONIC, 77));
	close(t);
}

CASE(signalfds)
{
	struct signalfd_siginfo si;
	struct pollfd p = { -1, POLLIN, 0 };
	sigset_t set, old;
	int s;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, &old);
	MUST((s = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) >= 0);
	RET(fcntl(s, F_GETFD));
	RET(read(s, &si, sizeof si));
	p.fd = s;
	RET(poll(&p, 1, 0));
	RET(raise(SIGUSR1));
	RET(poll(&p, 1, 0));
	SHOW(p.revents);
	RET(read(s, &si, sizeof si));
	SHOW(si.ssi_signo);
	SHOW(si.ssi_pid == (unsigned)getpid());
	RET(raise(SIGUSR2));
	sigdelset(&set, SIGUSR2);
	RET(signalfd(s, &set, 0) == s);
	RET(read(s, &si, sizeof si));
	sigaddset(&set, SIGUSR2);
	RET(signalfd(s, &set, 0) == s);
	RET(read(s, &si, 10));
	RET(read(s, &si, sizeof si));
	SHOW(si.ssi_signo);
	RET(write(s, &si, sizeof si));
	RET(signalfd(0, &set, 0));
	RET(signalfd(99, &set, 0));
	RET(signalfd(-1, &set, 0x77));
	close(s);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

CASE(inotifies)
{
	char b[1000];
	int n, w;

	RET(inotify_init1(0x77));
	MUST((n = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) >= 0);
	RET(fcntl(n, F_GETFD));
	RET(read(n, b, sizeof b));
	RET(w = inotify_add_watch(n, "/dev/shm", IN_CREATE));
	RET(inotify_add_watch(n, "/dev/shm", IN_CREATE | IN_DELETE) == w);
	RET(inotify_add_watch(n, "/none", IN_CREATE));
	RET(inotify_add_watch(n, "/dev/shm", 0));
	RET(inotify_add_watch(0, "/dev/shm", IN_CREATE));
	RET(inotify_rm_watch(n, 77));
	RET(inotify_rm_watch(n, w));
	RET(inotify_rm_watch(n, w));
	RET(inotify_rm_watch(99, w));
	close(n);
}

CASE(proc_fd)
{
	char name[64], text[100];
	struct stat st;
	ssize_t n;
	int p[2];

	MUST(pipe(p) == 0);
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", p[0]);
	n = readlink(name, text, sizeof text);
	SHOW(n > 6 && strncmp(text, "pipe:[", 6) == 0);
	RET(stat(name, &st));
	SHOW(S_ISFIFO(st.st_mode));
	RET(lstat(name, &st));
	SHOW(S_ISLNK(st.st_mode));
	RET(access("/proc/self/fd/99", F_OK));
	RET(access("/dev/fd/0", F_OK));
	close(p[0]);
	close(p[1]);
}

CASE(devices)
{
	char b[10] = "xxxxxxxxx";
	struct stat st;
	int f;

	MUST((f = open("/dev/null", O_RDWR)) >= 0);
	RET(read(f, b, 10));
	RET(write(f, b, 10));
	RET(lseek(f, 100, SEEK_SET));
	RET(ftruncate(f, 0));
	close(f);
	MUST((f = open("/dev/zero", O_RDWR)) >= 0);
	RET(read(f, b, 3));
	SHOW(b[0]);
	RET(write(f, b, 10));
	close(f);
	MUST((f = open("/dev/full", O_RDWR)) >= 0);
	RET(write(f, b, 1));
	RET(write(f, b, 0));
	close(f);
	MUST((f = open("/dev/urandom", O_RDONLY)) >= 0);
	RET(read(f, b, 10));
	RET(fstat(f, &st));
	SHOW(S_ISCHR(st.st_mode));
	close(f);
}

CASE(limit)
{
	int i, first = -1, n = 0;

	for (i = 0; i < 5; i++)
		MUST(dup2(1, 40 + i) >= 0);
	for (i = 0; i < 2; i++) {
		first = fcntl(1, F_DUPFD, 40);
		n += first == 45 + i;
	}
	SHOW(n);
	for (i = 40; i < 50; i++)
		close(i);
}
