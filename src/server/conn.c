/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A client's connection as such: its life, its buffers, reading and writing.
 * Nothing here blocks, but for conn_poll(), which only serve() calls.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "obj.h"
#include "server/server.h"

int64_t
conn_deadline(struct conn *c, int seconds)
{
	int64_t now = mono_ms();

	atomic_store_explicit(&c->deadline, now + seconds * 1000L,
	    memory_order_relaxed);
	return (now);
}

/* ---- life ---------------------------------------------------------------- */

static struct conn *
conn_alloc(struct worker *w)
{
	struct srv *s = w->srv;
	struct conn *c = w->spare;

	w->spare = NULL;
	if (c != NULL)
		return (c);
	(void)pthread_mutex_lock(&s->cmtx);
	c = s->free;
	if (c != NULL)
		s->free = c->next_free;
	(void)pthread_mutex_unlock(&s->cmtx);
	if (c != NULL)
		return (c);
	ALLOC_OBJ(c, CONN_MAGIC);
	if (c == NULL)
		return (NULL);
	c->fd = -1;
	c->ev = EV_OWNED;
	c->next_all = atomic_load(&s->all);
	while (!atomic_compare_exchange_weak(&s->all, &c->next_all, c))
		continue;
	return (c);
}

/*
 * The client's address as one of the guest's family, so that its
 * getpeername() gives what it expects.
 */
static void
set_peer(struct conn *c, const struct sockaddr *sa,
    socklen_t len)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	c->peerlen = 0;
	if (sa->sa_family == AF_INET && len >= (socklen_t)sizeof in) {
		(void)memcpy(&in, sa, sizeof in);
		c->peer.in = in;
		c->peerlen = sizeof in;
		if (c->listener->guest_family != AF_INET6)
			return;
		in6.sin6_port = in.sin_port;
		in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
		(void)memcpy(&in6.sin6_addr.s6_addr[12], &in.sin_addr, 4);
		c->peer.in6 = in6;
		c->peerlen = sizeof in6;
	} else if (sa->sa_family == AF_INET6 &&
	    len >= (socklen_t)sizeof in6) {
		(void)memcpy(&in6, sa, sizeof in6);
		c->peer.in6 = in6;
		c->peerlen = sizeof in6;
		if (c->listener->guest_family != AF_INET ||
		    !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
			return;
		in.sin_port = in6.sin6_port;
		(void)memcpy(&in.sin_addr, &in6.sin6_addr.s6_addr[12], 4);
		c->peer.in = in;
		c->peerlen = sizeof in;
	}
}

/* NULL when memory is short.  The caller owns it. */
struct conn *
conn_new(struct worker *w, const struct listener *l, int fd,
    const struct sockaddr *sa, socklen_t salen)
{
	struct srv *s = w->srv;
	struct conn *c;

	c = conn_alloc(w);
	if (c == NULL)
		return (NULL);
	CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
	assert(c->fd == -1);
	AZ(c->in);
	AZ(c->out);
	c->fd = fd;
	c->listener = l;
	atomic_store(&c->ev, EV_OWNED);
	c->state = CONN_HEAD;
	c->added = c->want_out = c->drained = 0;
	c->in_a_row = 0;
	c->ahead = 0;
	c->shy = c->turn = 0;
	c->close_after = c->linger = c->reset_after = 0;
	c->off = c->len = c->size = c->parsed = 0;
	c->out_off = c->out_len = c->out_size = 0;
	set_peer(c, sa, salen);
	(void)atomic_fetch_add(&s->nopen, 1);
	c->id = atomic_fetch_add(&s->n.connections, 1) + 1;
	return (c);
}

void
conn_in_drop(struct conn *c)
{

	if (c->lender != NULL) {
		c->lender->in_lent = 0;
		c->lender = NULL;
	} else
		free(c->in);
	c->in = NULL;
	c->off = c->len = c->size = 0;
}

void
conn_close(struct worker *w, struct conn *c)
{
	const struct linger lin = { .l_onoff = 1, .l_linger = 0 };
	struct srv *s = w->srv;

	CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
	atomic_store(&c->deadline, 0);
	/* An answer without length that broke off must not look complete. */
	if (c->reset_after)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lin,
		    sizeof lin);
	(void)close(c->fd);
	c->fd = -1;
	(void)atomic_fetch_sub(&s->nopen, 1);
	conn_in_drop(c);
	free(c->out);
	c->out = NULL;
	/* It stays owned, by the worker or the list. */
	if (w->spare == NULL) {
		w->spare = c;
		return;
	}
	(void)pthread_mutex_lock(&s->cmtx);
	c->next_free = s->free;
	s->free = c;
	(void)pthread_mutex_unlock(&s->cmtx);
}

/* At the end: the other threads are gone. */
void
conn_free_all(struct srv *s)
{
	struct conn *c;

	while ((c = s->all) != NULL) {
		CHECK_OBJ_NOTNULL(c, CONN_MAGIC);
		s->all = c->next_all;
		if (c->fd >= 0)
			(void)close(c->fd);
		if (c->lender == NULL)
			free(c->in);
		free(c->out);
		FREE_OBJ(c);
	}
	s->free = NULL;
}

/* ---- reading ------------------------------------------------------------- */

/* Room for more bytes behind those that are there. */
static int
in_room(struct worker *w, struct conn *c)
{
	size_t size;
	char *p;

	if (c->in == NULL) {
		AZ(w->in_lent);
		w->in_lent = 1;
		c->lender = w;
		c->in = w->in;
		c->size = IN_SIZE;
		c->off = c->len = 0;
		return (0);
	}
	if (c->off > 0) {
		(void)memmove(c->in, c->in + c->off, c->len - c->off);
		c->len -= c->off;
		c->off = 0;
	}
	if (c->len < c->size)
		return (0);
	if (c->size >= IN_SIZE)
		return (-1);
	size = c->size * 2 < IN_SIZE ? c->size * 2 : IN_SIZE;
	AZ(c->lender);
	p = realloc(c->in, size);
	if (p == NULL)
		return (-1);
	c->in = p;
	c->size = size;
	return (0);
}

/* Before somebody else may get the connection: what was lent goes back. */
int
conn_in_park(struct conn *c)
{
	size_t n = c->len - c->off;
	char *p;

	if (c->lender == NULL && n > 0)
		return (0);
	if (n == 0) {
		conn_in_drop(c);
		return (0);
	}
	p = malloc(n + 2048);
	if (p == NULL)
		return (-1);
	(void)memcpy(p, c->in + c->off, n);
	conn_in_drop(c);
	c->in = p;
	c->len = n;
	c->size = n + 2048;
	return (0);
}

/*
 * Read more: 1, or 0 to wait, or -1 when there is no more to come.  A recv that
 * did not fill the buffer has emptied the socket: unless an event came since,
 * another one would be in vain.
 */
int
conn_read(struct worker *w, struct conn *c)
{
	ssize_t n;

	if (c->drained && !(atomic_load(&c->ev) & (EV_IN | EV_HUP)))
		return (0);
	if (in_room(w, c) != 0)
		return (-1);
	do {
		(void)atomic_fetch_and(&c->ev, ~EV_IN);
		n = recv(c->fd, c->in + c->len, c->size - c->len, 0);
	} while (n < 0 && errno == EINTR);
	if (c->ahead) {
		c->ahead = 0;
		c->shy = n < 0 ? IN_A_ROW : 0;
	}
	if (n > 0) {
		c->drained = (size_t)n < c->size - c->len;
		c->len += (size_t)n;
		return (1);
	}
	if (n == 0 || errno != EAGAIN)
		return (-1);
	c->drained = 1;
	(void)atomic_fetch_and(&c->ev, ~EV_HUP);
	return (0);
}

/* ---- writing ------------------------------------------------------------- */

int
conn_flush(struct conn *c)
{
	ssize_t n;

	while (c->out_off < c->out_len) {
		(void)atomic_fetch_and(&c->ev, ~EV_OUT);
		n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return (errno == EAGAIN ? 0 : -1);
		c->out_off += (size_t)n;
	}
	c->out_off = c->out_len = 0;
	return (0);
}

static int
out_keep(struct conn *c, const char *p, size_t n)
{
	size_t size;
	char *q;

	if (c->out_off > 0) {
		(void)memmove(c->out, c->out + c->out_off,
		    c->out_len - c->out_off);
		c->out_len -= c->out_off;
		c->out_off = 0;
	}
	if (c->out_len + n > c->out_size) {
		size = c->out_len + n + c->out_size / 2;
		q = realloc(c->out, size);
		if (q == NULL)
			return (-1);
		c->out = q;
		c->out_size = size;
	}
	(void)memcpy(c->out + c->out_len, p, n);
	c->out_len += n;
	return (0);
}

int
conn_write(struct conn *c, const char *p, size_t n)
{
	ssize_t m = 0;

	if (n == 0)
		return (0);
	if (c->out_len > 0) {
		if (conn_flush(c) != 0)
			return (-1);
		if (c->out_len > 0)
			return (out_keep(c, p, n));
	}
	do {
		(void)atomic_fetch_and(&c->ev, ~EV_OUT);
		m = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (m < 0 && errno == EINTR);
	if (m < 0 && errno != EAGAIN)
		return (-1);
	if (m < 0)
		m = 0;
	return ((size_t)m == n ? 0 : out_keep(c, p + m, n - (size_t)m));
}

int
conn_poll(const struct conn *c, int out, double deadline)
{
	struct pollfd pfd = {
		.fd = c->fd, .events = (short)(out ? POLLOUT : POLLIN),
	};
	double left;
	int n;

	do {
		left = deadline - mono_now();
		if (left <= 0)
			return (-1);
		n = poll(&pfd, 1, left > 3600 ? 3600000 :
		    (int)(left * 1000) + 1);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return (n > 0 ? 0 : -1);
}
