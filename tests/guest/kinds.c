/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A server that has one of everything when it is frozen, for
 * unit/test_oracle.c: every kind of descriptor, with bytes in what holds
 * bytes, timers, signals, a second thread, files in memory.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
must(const char *what, int ok)
{

	if (ok)
		return;
	perror(what);
	exit(1);
}

static void *
waits(void *priv)
{
	int *fd = priv;
	char b[10];

	for (;;)
		(void)!read(*fd, b, sizeof b);
	return (NULL);
}

static void
on_signal(int sig)
{

	(void)sig;
}

static void
everything(int epoll)
{
	static int pair[2], quiet[2];
	const struct itimerspec far = { .it_value = { .tv_sec = 100000 } };
	const struct itimerval later = { .it_value = { .tv_sec = 90000 } };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct sigevent se;
	pthread_t thread;
	sigset_t set;
	timer_t timer;
	int fd, p[2];

	must("pipe", pipe2(p, O_CLOEXEC) == 0 && write(p[1], "in it", 5) == 5);
	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 &&
	    write(pair[0], "bytes", 5) == 5);
	must("eventfd", (fd = eventfd(7, EFD_NONBLOCK)) >= 0);
	must("epoll", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) == 0);
	must("timerfd", (fd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0 &&
	    timerfd_settime(fd, 0, &far, NULL) == 0);
	must("inotify", inotify_init1(0) >= 0);
	must("udp", socket(AF_INET, SOCK_DGRAM, 0) >= 0);
	must("tcp", socket(AF_INET, SOCK_STREAM, 0) >= 0);
	must("memfd", (fd = memfd_create("m", 0)) >= 0 &&
	    write(fd, "memory", 6) == 6);
	must("/tmp", (fd = open("/tmp/kinds", O_CREAT | O_RDWR, 0600)) >= 0 &&
	    write(fd, "a file", 6) == 6);
	must("file", (fd = open("/proc/self/exe", O_RDONLY)) >= 0 &&
	    lseek(fd, 17, SEEK_SET) == 17);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	must("signalfd", signalfd(-1, &set, 0) >= 0);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	must("kill", kill(getpid(), SIGUSR2) == 0);
	must("signal", signal(SIGUSR1, on_signal) != SIG_ERR);
	memset(&se, 0, sizeof se);
	se.sigev_notify = SIGEV_SIGNAL;
	se.sigev_signo = SIGUSR1;
	must("timer", timer_create(CLOCK_MONOTONIC, &se, &timer) == 0 &&
	    timer_settime(timer, 0, &far, NULL) == 0);
	must("itimer", setitimer(ITIMER_REAL, &later, NULL) == 0);
	must("quiet", pipe(quiet) == 0 &&
	    pthread_create(&thread, NULL, waits, &quiet[0]) == 0);
}

int
main(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_port = htons(8080) };
	struct epoll_event ev = { .events = EPOLLIN };
	static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
	    "Content-Length: 3\r\n\r\nok\n";
	int ep, l, fd;
	char in[4096];

	must("epoll_create", (ep = epoll_create1(0)) >= 0);
	everything(ep);
	must("listen", (l = socket(AF_INET, SOCK_STREAM, 0)) >= 0 &&
	    bind(l, (struct sockaddr *)&sin, sizeof sin) == 0 &&
	    listen(l, 5) == 0);
	ev.data.fd = l;
	must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, l, &ev) == 0);
	for (;;) {
		if (epoll_wait(ep, &ev, 1, -1) != 1 || ev.data.fd != l)
			continue;
		fd = accept(l, NULL, NULL);
		if (fd < 0)
			continue;
		(void)!read(fd, in, sizeof in);
		(void)!write(fd, answer, sizeof answer - 1);
		(void)close(fd);
	}
}
