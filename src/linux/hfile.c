/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Open files of the host: their life, a machine's table of them, readiness.
 *
 * A file is shared by an image and all its forks.  What belongs to one of them
 * (offset, flags) is in the guest's description.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "conf/options.h"
#include "linux/memfs.h"
#include "obj.h"

/* ---- life --------------------------------------------------------------------- */

struct hfile *
hfile_new(enum hfile_kind kind, int fd)
{
	struct hfile *hf;

	ALLOC_OBJ(hf, HFILE_MAGIC);
	if (hf == NULL)
		return (NULL);
	atomic_init(&hf->refs, 1);
	hf->kind = kind;
	hf->fd = fd;
	return (hf);
}

void
hfile_ref(struct hfile *hf)
{

	CHECK_OBJ_NOTNULL(hf, HFILE_MAGIC);
	atomic_fetch_add(&hf->refs, 1);
}

void
hfile_unref(struct hfile **p)
{
	struct hfile *hf;

	TAKE_OBJ_NOTNULL(hf, p, HFILE_MAGIC);
	if (atomic_fetch_sub(&hf->refs, 1) > 1)
		return;
	if (hf->fd >= 0)
		(void)close(hf->fd);
	if (hf->netlink)
		(void)close(hf->peer);
	free(hf->path);
	free(hf->text);
	FREE_OBJ(hf);
}

/* ---- the table ------------------------------------------------------------------ */

int
hfile_add(struct machine *m, struct hfile *hf)
{
	unsigned u, max = m->opt->max_descriptors;

	CHECK_OBJ_NOTNULL(hf, HFILE_MAGIC);
	if (max == 0 || max > MAX_HFILE)
		max = MAX_HFILE;
	/* The first free one: the place in the table is how many there are. */
	for (u = 0; u < max; u++)
		if (m->hfile[u] == NULL)
			break;
	if (u == max) {
		hfile_unref(&hf);
		return (-EMFILE);
	}
	m->hfile[u] = hf;
	if (m->hi_hfile < u + 1)
		m->hi_hfile = u + 1;
	return ((int)u);
}

struct hfile *
hfile_of(struct machine *m, uint64_t fd, struct gk_ofd **ofd,
    uint32_t *ofdidx, int *gkkind)
{
	struct gk_ofd *o;
	struct hfile *hf;
	uint32_t idx;

	o = gk_fd_get(m->gk, (uint32_t)fd, ofdidx);
	*gkkind = o == NULL ? -1 : o->kind;
	if (ofd != NULL)
		*ofd = o;
	if (*gkkind != GK_HOST)
		return (NULL);
	idx = *(volatile uint32_t *)&o->u.host.idx;
	hf = idx < MAX_HFILE ? m->hfile[idx] : NULL;
	if (hf == NULL) {
		*gkkind = -1;
		return (NULL);
	}
	CHECK_OBJ(hf, HFILE_MAGIC);
	return (hf);
}

struct hfile *
hfile_get(struct machine *m, uint64_t fd, int *gkkind)
{

	return (hfile_of(m, fd, NULL, NULL, gkkind));
}

int
hfile_badkind(int gkkind, int otherwise)
{

	return (gkkind < 0 ? -EBADF : otherwise);
}

int64_t
hfile_install(struct machine *m, struct hfile *hf, unsigned oflags)
{
	const unsigned keep = O_ACCMODE | O_APPEND | O_NONBLOCK | O_PATH |
	    O_DIRECTORY | O_SYNC | O_DSYNC | O_DIRECT | O_NOATIME |
	    O_NOFOLLOW;
	unsigned flags = oflags & keep;
	int idx, fd;

	if (!(flags & O_PATH) && hf->kind != HF_SOCK)
		flags |= 0100000;	/* O_LARGEFILE: the kernel adds it */
	idx = hfile_add(m, hf);
	if (idx < 0)
		return (idx);
	fd = gk_host_open(m->gk, (uint32_t)idx, flags,
	    (oflags & O_CLOEXEC) != 0);
	if (fd < 0)
		hfile_unref(&m->hfile[idx]);
	else
		gk_fd_get(m->gk, (uint32_t)fd, NULL)->u.host.plain =
		    hf->kind == HF_REG || hf->kind == HF_MEM;
	return (fd);
}

void
hfile_supersede(struct machine *m, uint32_t idx, struct hfile *n)
{
	const struct hfile *hf = m->hfile[idx];

	n->can_read = hf->can_read;
	n->can_write = hf->can_write;
	n->st = hf->st;
	if (hf->path != NULL)
		n->path = strdup(hf->path);
	hfile_unref(&m->hfile[idx]);
	m->hfile[idx] = n;
}

struct hfile *
hfile_private(struct machine *m, struct gk_ofd *ofd, int *err)
{
	struct hfile *hf, *n;
	uint32_t idx;
	char name[40];
	int fd;

	idx = *(volatile uint32_t *)&ofd->u.host.idx;
	hf = idx < MAX_HFILE ? m->hfile[idx] : NULL;
	if (hf == NULL || hf->fd < 0) {
		*err = -EBADF;
		return (NULL);
	}
	if (atomic_load(&hf->refs) == 1)
		return (hf);
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", hf->fd);
	fd = open(name, (hf->can_write ? (hf->can_read ? O_RDWR : O_WRONLY) :
	    O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		*err = -errno;
		return (NULL);
	}
	n = hfile_new(hf->kind, fd);
	if (n == NULL) {
		(void)close(fd);
		*err = -ENOMEM;
		return (NULL);
	}
	hfile_supersede(m, idx, n);
	return (n);
}

int
hfile_stat(struct machine *m, const struct hfile *hf, struct stat *st)
{

	if (hf->ino != 0)
		mfs_stat(m, hf->ino, st);
	else if (hf->fd < 0)
		*st = hf->st;
	else if (fstat(hf->fd, st) != 0)
		return (-errno);
	return (0);
}

static int
add_std(struct machine *m, enum hfile_kind kind, int log, unsigned flags)
{
	struct hfile *hf;

	hf = hfile_new(kind, -1);
	if (hf == NULL)
		return (-ENOMEM);
	hf->can_read = kind == HF_NULL;
	hf->can_write = kind == HF_LOG;
	hf->log = log;
	hf->st.st_nlink = 1;
	hf->st.st_blksize = 4096;
	if (kind == HF_NULL) {
		hf->path = strdup("/dev/null");
		hf->st.st_dev = 5;
		hf->st.st_ino = 4;
		hf->st.st_mode = S_IFCHR | 0666;
		hf->st.st_rdev = 0x103;
	} else {			/* looks like a pipe */
		hf->st.st_dev = 0xd;
		hf->st.st_ino = log == TKVM_LOG_STDOUT ? 1 : 2;
		hf->st.st_mode = S_IFIFO | 0600;
	}
	return (hfile_install(m, hf, flags) < 0 ? -EMFILE : 0);
}

int
files_init(struct machine *m)
{
	int r;

	if (fs_get(m) == NULL)
		return (-ENOMEM);
	r = add_std(m, HF_NULL, 0, O_RDONLY);
	if (r == 0)
		r = add_std(m, HF_LOG, TKVM_LOG_STDOUT, O_WRONLY);
	if (r == 0)
		r = add_std(m, HF_LOG, TKVM_LOG_STDERR, O_WRONLY);
	return (r);
}

void
files_fini(struct machine *m)
{
	unsigned u;

	for (u = 0; u < m->hi_hfile && u < MAX_HFILE; u++)
		if (m->hfile[u] != NULL)
			hfile_unref(&m->hfile[u]);
	m->hi_hfile = 0;
	if (m->fs != NULL)
		fs_unref(&m->fs);
}

unsigned
files_freeze(struct machine *m)
{
	struct hfile *hf;
	unsigned u, n = 0;

	for (u = 0; u < m->hi_hfile && u < MAX_HFILE; u++) {
		hf = m->hfile[u];
		if (hf == NULL || hf->kind != HF_SOCK || hf->fd < 0)
			continue;
		if (hf->netlink) {
			netlink_freeze(hf);
			continue;
		}
		(void)close(hf->fd);
		hf->fd = -1;
		n++;
	}
	if (n > 0)
		machine_log(m, TKVM_LOG_WARN, "%u connection%s to the outside "
		    "at freeze: reset for every request", n,
		    n == 1 ? "" : "s");
	return (n);
}

/* ---- readiness --------------------------------------------------------------------- */

int64_t
file_block(struct machine *m, struct thread *t, int fd, short events)
{

	if (!t->restart)
		t->deadline = UINT64_MAX;
	machine_wait_fd(m, fd, events);
	return (SYS_BLOCK);
}

int64_t
file_block_ms(struct machine *m, struct thread *t, unsigned ms)
{

	t->deadline = machine_mono(m) + ms * 1000000ULL;
	return (SYS_BLOCK);
}

uint32_t
files_host_poll(struct gk_ctx *ctx, uint32_t idx, uint32_t ev)
{
	const uint32_t both = EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
	struct machine *m = ctx->priv;
	struct pollfd p;
	struct hfile *hf;

	hf = idx < MAX_HFILE ? m->hfile[idx] : NULL;
	if (hf == NULL)
		return (EPOLLERR | EPOLLHUP);
	switch (hf->kind) {
	case HF_STREAM:
	case HF_SOCK:
		break;
	case HF_RANDOM:
		return (both);
	case HF_LOG:
		return (EPOLLOUT | EPOLLWRNORM);
	case HF_SIGNAL:
		return (signalfd_poll(m, hf));
	default:
		return (both | GK_POLL_FILE);
	}
	if (hf->fd < 0)			/* files_freeze() */
		return (both | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
	p.fd = hf->fd;
	p.events = (short)(ev & 0x3fff);
	p.revents = 0;
	if (poll(&p, 1, 0) < 1)
		p.revents = 0;
	/*
	 * What is ready may have been told before (EPOLLET): wait for the
	 * rest.  Not after a hang-up, which poll always reports again.
	 */
	p.events &= (short)~p.revents;
	if (p.events != 0 && !(p.revents & (POLLERR | POLLHUP | POLLNVAL)))
		machine_wait_fd(m, hf->fd, p.events);
	return ((uint32_t)(unsigned short)p.revents);
}

void
files_host_release(struct gk_ctx *ctx, uint32_t idx)
{
	struct machine *m = ctx->priv;
	uint32_t ino;

	if (idx >= MAX_HFILE || m->hfile[idx] == NULL)
		return;
	ino = m->hfile[idx]->ino;
	reclock_closed(m, m->hfile[idx]);
	notify_closed(m, &m->hfile[idx]);
	mfs_released(m, idx, ino);
}
