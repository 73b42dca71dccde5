/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * In front of libc, in kvmserver: epoll has no memory when a listening socket is
 * to be added anew, twice.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

typedef int ctl_f(int, int, int, struct epoll_event *);

int
epoll_ctl(int ep, int op, int fd, struct epoll_event *ee)
{
	static _Atomic unsigned added;
	int listens = 0;
	socklen_t len = sizeof listens;

	if (op == EPOLL_CTL_ADD && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN,
	    &listens, &len) == 0 && listens && added++ - 1U < 2) {
		errno = ENOMEM;
		return (-1);
	}
	return (((ctl_f *)dlsym(RTLD_NEXT, "epoll_ctl"))(ep, op, fd, ee));
}
