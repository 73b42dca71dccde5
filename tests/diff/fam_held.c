/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A call that waits is about the file that its descriptor named when it began:
 * another thread may close that meanwhile, and its number go to another file.
 */

#include "diff.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LATER	40	/* ms: the other thread waits by now */

struct waiter {
	pthread_t	thread;
	int		fd;
	size_t		len;
	ssize_t		r;
	int		err;
	char		buf[64];
};

static void *
reads(void *arg)
{
	struct waiter *w = arg;

	errno = 0;
	w->r = read(w->fd, w->buf, w->len);
	w->err = errno;
	return (NULL);
}

static void *
writes(void *arg)
{
	static char big[300000];
	struct waiter *w = arg;

	errno = 0;
	w->r = send(w->fd, big, sizeof big, MSG_NOSIGNAL);
	w->err = errno;
	return (NULL);
}

static void *
accepts(void *arg)
{
	struct waiter *w = arg;

	errno = 0;
	w->r = accept(w->fd, NULL, NULL);
	w->err = errno;
	w->r = w->r < 0 ? -1 : 0;
	return (NULL);
}

static void *
waits_epoll(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event ev;

	errno = 0;
	w->r = epoll_wait(w->fd, &ev, 1, -1);
	w->err = errno;
	return (NULL);
}

static void
begin(struct waiter *w, void *(*f)(void *), int fd)
{

	memset(w, 0, sizeof *w);
	w->fd = fd;
	w->len = sizeof w->buf - 1;
	w->thread = thread_start(f, w);
	ms_sleep(LATER);
}

static void
end(struct waiter *w)
{

	pthread_join(w->thread, NULL);
	say("%ld %s [%s]", (long)w->r, errno_name(w->err), w->buf);
}

static void
pair(int s[2])
{

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) != 0)
		say("socketpair: %s", errno_name(errno));
}

/* The next connection gets the number of one whose thread still reads. */
CASE(socket_reused)
{
	struct waiter w;
	char b[64];
	int s[2], n[2];

	pair(s);
	begin(&w, reads, s[1]);
	pair(n);
	RET(dup2(n[1], s[1]) == s[1]);
	RET(write(n[0], "not for you", 11));
	RET(recv(s[1], b, sizeof b, MSG_DONTWAIT));
	RET(write(s[0], "for you", 7));
	end(&w);
	RET(send(s[0], "x", 1, MSG_NOSIGNAL));
	close(n[0]);
	close(n[1]);
	close(s[0]);
	close(s[1]);
}

CASE(shutdown_close)
{
	struct waiter w;
	int s[2], n[2];
	char b[8];

	pair(s);
	begin(&w, reads, s[1]);
	RET(shutdown(s[1], SHUT_RDWR));
	RET(close(s[1]));
	pair(n);
	SHOW(n[0] == s[1]);
	RET(write(n[1], "secret", 6));
	end(&w);
	RET(recv(n[0], b, sizeof b, MSG_DONTWAIT));
	close(n[0]);
	close(n[1]);
	close(s[0]);
}

CASE(pipe_closed)
{
	struct waiter w;
	int p[2];

	MUST(pipe(p) == 0);
	begin(&w, reads, p[0]);
	RET(close(p[0]));
	RET(write(p[1], "still there", 11));
	end(&w);
	RET(close(p[1]));
	MUST(pipe(p) == 0);
	begin(&w, reads, p[0]);
	RET(close(p[0]));
	RET(close(p[1]));
	end(&w);
}

CASE(writer_closed)
{
	static char b[65536];
	struct waiter w;
	ssize_t r, all = 0;
	int s[2], n[2];

	pair(s);
	begin(&w, writes, s[0]);
	RET(close(s[0]));
	pair(n);
	SHOW(n[0] == s[0]);
	while ((r = read(s[1], b, sizeof b)) > 0)
		all += r;
	SHOW(all);
	end(&w);
	RET(recv(n[1], b, sizeof b, MSG_DONTWAIT));
	close(n[0]);
	close(n[1]);
	close(s[1]);
}

CASE(listener_closed)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = sizeof un.sun_family + 8;
	struct waiter w;
	int l, c;

	memcpy(un.sun_path, "\0diffhld", 8);
	MUST((l = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	MUST(bind(l, (void *)&un, len) == 0 && listen(l, 4) == 0);
	begin(&w, accepts, l);
	RET(close(l));
	MUST((c = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(connect(c, (void *)&un, len));
	end(&w);
	close(c);
	MUST((c = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	RET(connect(c, (void *)&un, len));
	close(c);
}

CASE(epoll_closed)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct waiter w;
	int e, v, other;

	MUST((e = epoll_create1(0)) >= 0 && (v = eventfd(0, 0)) >= 0);
	MUST(epoll_ctl(e, EPOLL_CTL_ADD, v, &ev) == 0);
	begin(&w, waits_epoll, e);
	RET(close(e));
	MUST((other = epoll_create1(0)) >= 0);
	SHOW(other == e);
	RET(eventfd_write(v, 1));
	end(&w);
	close(other);
	close(v);
}

/* poll(2) looks its numbers up each time, and sees what is there now. */
static void *
polls(void *arg)
{
	struct waiter *w = arg;
	struct pollfd p = { w->fd, POLLIN, 0 };

	errno = 0;
	w->r = poll(&p, 1, 2000);
	w->err = errno;
	return (NULL);
}

CASE(poll_woken)
{
	struct waiter w;
	int s[2];

	pair(s);
	begin(&w, polls, s[1]);
	RET(shutdown(s[1], SHUT_RDWR));
	RET(close(s[1]));
	end(&w);
	close(s[0]);
}

/* The last reference goes with the call. */
CASE(end_of_call_closes)
{
	struct waiter w;
	int s[2];
	char b;

	pair(s);
	begin(&w, reads, s[1]);
	RET(close(s[1]));
	RET(recv(s[0], &b, 1, MSG_DONTWAIT));
	RET(write(s[0], "last", 4));
	end(&w);
	RET(read(s[0], &b, 1));
	close(s[0]);
}

/* ... which a signal may end */
static void
on_signal(int sig)
{

	(void)sig;
}

CASE(interrupted)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;
	struct waiter w;
	int s[2];
	char b;

	MUST(sigaction(SIGUSR2, &sa, &old) == 0);
	pair(s);
	begin(&w, reads, s[1]);
	RET(close(s[1]));
	RET(pthread_kill(w.thread, SIGUSR2));
	end(&w);
	RET(read(s[0], &b, 1));
	close(s[0]);
	MUST(sigaction(SIGUSR2, &old, NULL) == 0);
}

static void *
locks(void *arg)
{
	struct waiter *w = arg;

	errno = 0;
	w->r = flock(w->fd, LOCK_EX);
	w->err = errno;
	return (NULL);
}

/* A lock that is waited for goes on after a signal, if that says so. */
CASE(lock_restarted)
{
	struct sigaction sa = { .sa_handler = on_signal,
	    .sa_flags = SA_RESTART }, old;
	struct waiter w;
	int f, g;

	tmp_enter();
	MUST(sigaction(SIGUSR2, &sa, &old) == 0);
	MUST((f = open("lock", O_RDWR | O_CREAT, 0600)) >= 0);
	MUST((g = open("lock", O_RDWR)) >= 0);
	RET(flock(f, LOCK_EX));
	begin(&w, locks, g);
	RET(pthread_kill(w.thread, SIGUSR2));
	ms_sleep(LATER);
	RET(flock(f, LOCK_UN));
	end(&w);
	close(f);
	close(g);
	MUST(sigaction(SIGUSR2, &old, NULL) == 0);
	tmp_leave();
}
