/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * sendfile(2): from a file of the host to wherever the guest can write, a
 * connection of the in-memory kernel first of all.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

#define SENDFILE_BUF	(64UL << 10)
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define SENDFILE_MAX	(256UL << 10)	/* a fuzzer has other things to do */
#else
#define SENDFILE_MAX	(4UL << 20)	/* between two looks at the clock */
#endif

struct sendfile {
	struct machine	*m;
	struct thread	*t;
	struct hfile	*in, *out;	/* out NULL: the guest's own kernel */
	struct gk_ofd	*inofd, *outofd;
	uint32_t	outidx;
	uint64_t	pos;
};

static ssize_t
sf_read(const struct sendfile *s, char *buf, size_t len)
{
	ssize_t r;

	if (s->in->kind == HF_TEXT) {
		if (s->pos >= s->in->textlen)
			return (0);
		if (len > s->in->textlen - s->pos)
			len = s->in->textlen - s->pos;
		(void)memcpy(buf, s->in->text + s->pos, len);
		return ((ssize_t)len);
	}
	if (s->in->kind == HF_MEM)
		return (mfs_pread(s->m, s->in->ino, buf, len, s->pos));
	do
		r = pread(s->in->fd, buf, len, (off_t)s->pos);
	while (r < 0 && errno == EINTR);
	return (r < 0 ? -errno : r);
}

static ssize_t
sf_write_host(struct sendfile *s, const char *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	ssize_t r;

	switch (s->out->kind) {
	case HF_MEM:
		r = mfs_pwrite(s->m, s->out->ino, buf, len, s->outofd->pos);
		if (r > 0)
			s->outofd->pos += (size_t)r;
		return (r);
	case HF_REG:
		if (s->outofd->pos >= file_size_max(s->m))
			return (-EFBIG);
		r = pwritev2(s->out->fd, &iov, 1, (off_t)s->outofd->pos, 0);
		if (r > 0) {
			mem_wrote(s->m, s->out, s->outofd->pos, (size_t)r);
			s->outofd->pos += (size_t)r;
		}
		break;
	case HF_STREAM:
		r = host_writev(s->out->fd, &iov, 1);
		break;
	case HF_SOCK:
		r = send(s->out->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case HF_NULL:
		return ((ssize_t)len);
	case HF_LOG:
		file_log(s->m, s->out->log, buf, len);
		return ((ssize_t)len);
	default:
		return (-EINVAL);
	}
	return (r < 0 ? -errno : r);
}

static ssize_t
sf_write(struct sendfile *s, const char *buf, size_t len)
{
	struct gk_ctx ctx;
	ssize_t r;

	if (s->out != NULL)
		r = sf_write_host(s, buf, len);
	else {
		machine_gk_ctx(s->m, s->t, &ctx);
		r = (ssize_t)gk_ofd_write(&ctx, s->outidx, buf, len);
	}
	if (r == -EPIPE)
		signal_sigpipe(s->m, s->t);
	return (r);
}

/* Nothing fits: bytes so far, or wait for room */
static int64_t
sf_full(struct sendfile *s, uint64_t done)
{

	/* as io_wait() does */
	if (s->out != NULL && (!s->t->restart || done != s->t->progress))
		gk_ofd_event(s->m->gk, s->outidx, POLLOUT);
	if (s->outofd->flags & O_NONBLOCK)
		return (done > 0 ? (int64_t)done : -EAGAIN);
	s->t->progress = done;
	if (s->out != NULL)
		return (file_block(s->m, s->t, s->out->fd, POLLOUT));
	if (!s->t->restart)
		s->t->deadline = UINT64_MAX;
	return (SYS_BLOCK);
}

static int64_t
sf_loop(struct sendfile *s, uint64_t done, uint64_t count, char *buf)
{
	uint64_t end = count;
	ssize_t n, w;

	if (end - done > SENDFILE_MAX)
		end = done + SENDFILE_MAX;	/* short, as it may be */
	while (done < end) {
		n = sf_read(s, buf, end - done < SENDFILE_BUF ? end - done :
		    SENDFILE_BUF);
		if (n <= 0)
			return (done > 0 || n == 0 ? (int64_t)done : n);
		w = sf_write(s, buf, (size_t)n);
		if (w == -EAGAIN || w == 0)
			return (sf_full(s, done));
		if (w < 0)
			return (done > 0 ? (int64_t)done : w);
		done += (size_t)w;
		s->pos += (size_t)w;
	}
	return ((int64_t)done);
}

static int64_t
sf_init(struct sendfile *s, struct machine *m, struct thread *t,
    const uint64_t a[6])
{
	int kind;

	(void)memset(s, 0, sizeof *s);
	s->m = m;
	s->t = t;
	s->in = hfile_of(m, a[1], &s->inofd, NULL, &kind);
	if (s->in == NULL)
		return (hfile_badkind(kind, -EINVAL));
	if (!s->in->can_read)
		return (-EBADF);
	if (s->in->kind != HF_REG && s->in->kind != HF_TEXT &&
	    s->in->kind != HF_MEM)
		return (-EINVAL);
	s->out = hfile_of(m, a[0], &s->outofd, &s->outidx, &kind);
	if (s->outofd == NULL || kind < 0 ||
	    (s->out != NULL && !s->out->can_write))
		return (-EBADF);
	if (s->out != NULL && (s->out->kind == HF_REG ||
	    s->out->kind == HF_MEM) &&
	    ((s->outofd->flags & O_APPEND) || s->outofd->pos > INT64_MAX ||
	    s->outofd->pos >= file_size_max(m)))
		return (-EINVAL);
	s->pos = s->inofd->pos;
	if (a[2] != 0 && as_read(m->as, a[2], &s->pos, 8) != 0)
		return (-EFAULT);
	return (s->pos > INT64_MAX ? -EINVAL : 0);
}

int64_t
sys_sendfile(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct sendfile s;
	uint64_t count, done, before;
	char *buf;
	int64_t r;

	r = sf_init(&s, m, t, a);
	if (r != 0)
		return (r);
	count = a[3] < MAX_RW ? a[3] : MAX_RW;
	done = t->restart ? t->progress : 0;
	if (done > count)
		done = count;
	buf = malloc(SENDFILE_BUF);
	if (buf == NULL)
		return (done > 0 ? (int64_t)done : -ENOMEM);
	before = s.pos;
	r = sf_loop(&s, done, count, buf);
	free(buf);
	if (s.pos != before) {
		notify_hfile(m, s.in, IN_ACCESS);
		if (s.out != NULL)
			notify_hfile(m, s.out, IN_MODIFY);
	}
	/* Also when it blocks: it goes on from there. */
	if (a[2] == 0)
		s.inofd->pos = s.pos;
	else if (s.pos != before &&
	    as_write(m->as, a[2], &s.pos, 8) != 0 && r >= 0)
		r = -EFAULT;
	return (r);
}
