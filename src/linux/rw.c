/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * read(2), write(2) and their relatives on files of the host.
 *
 * Bytes go between the host's file and the guest's memory without a copy of
 * ours: the guest's segments become host views for preadv/pwritev.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <unistd.h>

#include "conf/options.h"
#include "linux/memfs.h"
#include "obj.h"

#ifndef RWF_APPEND
#define RWF_APPEND	0x10
#endif
#define RWF_KNOWN	0x1f		/* HIPRI DSYNC SYNC NOWAIT APPEND */

#define DEV_MAX		(32UL << 20)	/* /dev/zero, /dev/urandom at once */

/* One read or write. */
struct xfer {
	struct machine	*m;
	struct thread	*t;
	struct gk_ofd	*ofd;
	struct hfile	*hf;
	uint32_t	ofdidx;
	int		write, at;	/* at: pos was given */
	int		rwf;
	uint64_t	pos;
	struct uvec	u;
};

/* ---- regular files ------------------------------------------------------------------ */

static uint64_t
file_size(const struct hfile *hf)
{
	struct stat st;

	if (fstat(hf->fd, &st) != 0 || st.st_size < 0)
		return (0);
	return ((uint64_t)st.st_size);
}

static ssize_t
reg_once(struct xfer *x, struct iovec *iov, unsigned n, uint64_t pos,
    int append)
{
	ssize_t r;

	do {
		if (x->write)
			r = pwritev2(x->hf->fd, iov, (int)n, (off_t)pos,
			    x->rwf | (append ? RWF_APPEND : 0));
		else
			r = preadv2(x->hf->fd, iov, (int)n, (off_t)pos,
			    x->rwf);
	} while (r < 0 && errno == EINTR && x->hf->kind == HF_REG);
	return (r < 0 ? -errno : r);
}

static int64_t
xfer_reg(struct xfer *x)
{
	struct iovec iov[NVIEW];
	uint64_t pos = x->pos, done = 0, end = INT64_MAX;
	unsigned n;
	ssize_t l, r;
	int append;

	append = x->write && ((x->ofd->flags & O_APPEND) ||
	    (x->rwf & RWF_APPEND));
	if (pos > INT64_MAX)
		return (-EINVAL);
	if (x->write) {
		if (append)
			pos = file_size(x->hf);
		end = file_size_max(x->m);
		if (pos >= end && x->u.total > 0)
			return (-EFBIG);
	}
	while (done < x->u.total) {
		n = NVIEW;
		l = uvec_views(x->m, &x->u, x->write ? AS_R : AS_W, iov, &n,
		    end - pos < x->u.total ? end - pos : x->u.total);
		if (l <= 0) {
			/* At the end of the file the address does not
			 * matter. */
			if (l < 0 && done == 0 &&
			    (x->write || pos < file_size(x->hf)))
				return (l);
			break;
		}
		r = reg_once(x, iov, n, pos, append);
		if (r < 0) {
			if (done == 0)
				return (r);
			break;
		}
		done += (size_t)r;
		pos += (size_t)r;
		if (r < l)
			break;
	}
	if (x->write && done > 0)
		mem_wrote(x->m, x->hf, pos - done, done);
	if (append && done > 0)
		pos = file_size(x->hf);
	if (!x->at)
		x->ofd->pos = pos;
	return ((int64_t)done);
}

static int64_t
xfer_mem(struct xfer *x)
{
	uint64_t pos = x->pos;
	int64_t r;

	r = mfs_rw(x->m, x->hf->ino, &x->u, &pos, x->write,
	    (x->ofd->flags & O_APPEND) || (x->rwf & RWF_APPEND));
	if (r >= 0 && !x->at)
		x->ofd->pos = pos;
	return (r);
}

static int64_t
xfer_text(struct xfer *x)
{
	uint64_t n, left, done = 0;
	struct uvec *u = &x->u;

	if (x->pos > INT64_MAX)
		return (-EINVAL);
	if (x->pos == 0)
		x->hf = synth_again(x->m, x->ofd, x->hf);
	left = x->pos < x->hf->textlen ? x->hf->textlen - x->pos : 0;
	for (; u->i < u->n && left > 0; u->i++) {
		n = u->v[u->i].iov_len < left ? u->v[u->i].iov_len : left;
		if (as_write(x->m->as, (uintptr_t)u->v[u->i].iov_base,
		    x->hf->text + x->pos + done, n) != 0) {
			if (done == 0)
				return (-EFAULT);
			break;
		}
		done += n;
		left -= n;
	}
	if (!x->at)
		x->ofd->pos = x->pos + done;
	return ((int64_t)done);
}

/* ---- devices, log ---------------------------------------------------------------------- */

static ssize_t
fill_random(void *p, size_t len)
{
	size_t n;
	ssize_t r;

	for (n = 0; n < len; n += (size_t)r) {
		r = getrandom((char *)p + n, len - n > 65536 ? 65536 :
		    len - n, 0);
		if (r < 0 && errno == EINTR)
			r = 0;
		if (r < 0)
			return (-EIO);
	}
	return ((ssize_t)n);
}

static int64_t
xfer_made(struct xfer *x)
{
	struct iovec iov[NVIEW];
	uint64_t done = 0;
	unsigned n, i;
	ssize_t l;

	while (done < x->u.total && done < DEV_MAX) {
		n = NVIEW;
		l = uvec_views(x->m, &x->u, AS_W, iov, &n, DEV_MAX - done);
		if (l <= 0)
			return (done > 0 ? (int64_t)done : l);
		for (i = 0; i < n; i++) {
			if (x->hf->kind != HF_RANDOM)
				(void)memset(iov[i].iov_base, 0,
				    iov[i].iov_len);
			else if (fill_random(iov[i].iov_base,
			    iov[i].iov_len) < 0)
				return (-EIO);
		}
		done += (size_t)l;
	}
	return ((int64_t)done);
}

/* Four bytes, whatever the offset */
static int64_t
xfer_generation(struct xfer *x)
{
	const uint32_t gen = x->m->proc.generation;
	struct iovec iov[NVIEW];
	uint64_t done = 0;
	unsigned n, i;
	ssize_t l;

	if (x->u.total < sizeof gen)
		return (-EINVAL);
	while (done < sizeof gen) {
		n = NVIEW;
		l = uvec_views(x->m, &x->u, AS_W, iov, &n, sizeof gen - done);
		if (l <= 0)
			return (l);
		for (i = 0; i < n; i++) {
			(void)memcpy(iov[i].iov_base, (const char *)&gen +
			    done, iov[i].iov_len);
			done += iov[i].iov_len;
		}
	}
	return ((int64_t)done);
}

static int64_t
xfer_log(struct xfer *x)
{
	struct iovec iov[NVIEW];
	uint64_t done = 0;
	char *copy;
	size_t len, n;
	int r = 0;

	if (x->u.total == 0)
		return (0);
	/* A line may lie in several segments, and the log wants few bytes. */
	len = x->u.total < (1U << 20) ? x->u.total : 1U << 20;
	copy = calloc(1, len);
	if (copy == NULL)
		return (-ENOMEM);
	for (; x->u.i < x->u.n && done < len; x->u.i++) {
		n = x->u.v[x->u.i].iov_len;
		if (n > len - done)
			n = len - done;
		r = as_read(x->m->as, (uintptr_t)x->u.v[x->u.i].iov_base,
		    copy + done, n);
		if (r != 0)
			break;
		done += n;
	}
	if (x->m->stdio_host && done > 0) {
		iov[0].iov_base = copy;
		iov[0].iov_len = done;
		(void)!host_writev(x->hf->log == TKVM_LOG_STDOUT ? 1 : 2, iov,
		    1);
	} else
		file_log(x->m, x->hf->log, copy, done);
	free(copy);
	return (done > 0 || r == 0 ? (int64_t)done : r);
}

/* ---- pipes of the host ------------------------------------------------------------------- */

/* It did not go at once: wait, or say so */
static int64_t
stream_wait(struct xfer *x, uint64_t done)
{

	/* as io_wait() does */
	if (!x->t->restart || done != x->t->progress)
		gk_ofd_event(x->m->gk, x->ofdidx, x->write ? POLLOUT : POLLIN);
	if ((x->ofd->flags & O_NONBLOCK) || (x->rwf & 8 /* NOWAIT */))
		return (done > 0 ? (int64_t)done : -EAGAIN);
	x->t->progress = done;
	return (file_block(x->m, x->t, x->hf->fd,
	    x->write ? POLLOUT : POLLIN));
}

/* A fifo that nobody has opened for writing yet is not at its end. */
static int
fifo_unborn(const struct xfer *x)
{
	struct pollfd p = { .fd = x->hf->fd, .events = POLLIN };

	return (!(x->ofd->flags & O_NONBLOCK) && poll(&p, 1, 0) == 0);
}

static int64_t
xfer_stream(struct xfer *x)
{
	struct iovec iov[NVIEW];
	uint64_t done;
	unsigned n;
	ssize_t l, r;

	done = x->t->restart ? x->t->progress : 0;
	if (done > x->u.total)
		done = x->u.total;
	uvec_skip(&x->u, done);
	while (done < x->u.total) {
		n = NVIEW;
		l = uvec_views(x->m, &x->u, x->write ? AS_R : AS_W, iov, &n,
		    x->u.total - done);
		if (l <= 0)
			return (done > 0 ? (int64_t)done : l);
		r = x->write ? host_writev(x->hf->fd, iov, (int)n) :
		    readv(x->hf->fd, iov, (int)n);
		if (r < 0 && (errno == EAGAIN || errno == EINTR))
			return (stream_wait(x, done));
		if (r < 0) {
			if (errno == EPIPE)
				signal_sigpipe(x->m, x->t);
			return (done > 0 ? (int64_t)done : -errno);
		}
		if (r == 0 && !x->write && fifo_unborn(x))
			return (stream_wait(x, 0));
		done += (size_t)r;
		if (r < l && x->write)
			return (stream_wait(x, done));
		if (r < l)
			gk_ofd_event(x->m->gk, x->ofdidx, POLLIN);
		if (!x->write)
			break;
	}
	return ((int64_t)done);
}

/* ---- the calls ------------------------------------------------------------------------------ */

static int64_t
xfer_read(struct xfer *x)
{

	switch (x->hf->kind) {
	case HF_REG:
		return (xfer_reg(x));
	case HF_MEM:
		return (xfer_mem(x));
	case HF_TEXT:
		return (xfer_text(x));
	case HF_STREAM:
		return (xfer_stream(x));
	case HF_SOCK:
		return (egress_rw(x->m, x->t, x->hf, x->ofd, x->ofdidx,
		    &x->u, 0));
	case HF_NULL:
		return (0);
	case HF_ZERO:
	case HF_FULL:
	case HF_RANDOM:
		return (xfer_made(x));
	case HF_GENERATION:
		return (xfer_generation(x));
	case HF_DIR:
		return (-EISDIR);
	case HF_SIGNAL:
		return (signalfd_read(x->m, x->t, x->hf, x->ofd, &x->u));
	default:
		return (-EBADF);
	}
}

static int64_t
xfer_write(struct xfer *x)
{

	switch (x->hf->kind) {
	case HF_REG:
		return (xfer_reg(x));
	case HF_MEM:
		return (xfer_mem(x));
	case HF_STREAM:
		return (xfer_stream(x));
	case HF_SOCK:
		return (egress_rw(x->m, x->t, x->hf, x->ofd, x->ofdidx,
		    &x->u, 1));
	case HF_NULL:
	case HF_ZERO:
	case HF_RANDOM:
		return ((int64_t)x->u.total);
	case HF_FULL:
		return (-ENOSPC);
	case HF_TEXT:
		return (x->at ? -ESPIPE : synth_write(x->m, x->hf, &x->u));
	case HF_LOG:
		return (xfer_log(x));
	default:
		return (-EBADF);
	}
}

/* The descriptor, and may it be used like this? */
static int64_t
xfer_init(struct xfer *x, struct machine *m, struct thread *t, uint64_t fd,
    int write)
{
	int kind;

	(void)memset(x, 0, offsetof(struct xfer, u));
	x->hf = hfile_of(m, fd, &x->ofd, &x->ofdidx, &kind);
	if (x->hf == NULL)
		return (hfile_badkind(kind, -EINVAL));
	x->m = m;
	x->t = t;
	x->write = write;
	x->pos = x->ofd->pos;
	if (write && x->hf->kind == HF_SIGNAL)
		return (-EINVAL);
	if (write ? !x->hf->can_write : !x->hf->can_read)
		return (x->hf->kind == HF_DIR && !write ? -EISDIR : -EBADF);
	return (0);
}

static int64_t
xfer_run(struct xfer *x)
{
	int64_t r;

	r = x->write ? xfer_write(x) : xfer_read(x);
	uvec_fini(&x->u);
	if (r > 0)
		notify_hfile(x->m, x->hf, x->write ? IN_MODIFY : IN_ACCESS);
	return (r);
}

/* pread and friends: a position, on what has one */
static int64_t
xfer_at(struct xfer *x, uint64_t pos)
{

	switch (x->hf->kind) {
	case HF_STREAM:
	case HF_SOCK:
	case HF_LOG:
	case HF_SIGNAL:
		return (-ESPIPE);
	default:
		break;
	}
	if (pos > INT64_MAX)
		return (-EINVAL);
	x->at = 1;
	x->pos = pos;
	return (0);
}

static int64_t
one(struct machine *m, struct thread *t, const uint64_t a[6], int write,
    int at)
{
	struct xfer x;
	int64_t r;

	r = xfer_init(&x, m, t, a[0], write);
	if (r == -EINVAL && at)
		return (-ESPIPE);
	if (r == 0 && at)
		r = xfer_at(&x, a[3]);
	if (r == 0)
		r = uvec_one(&x.u, a[1], a[2]);
	return (r != 0 ? r : xfer_run(&x));
}

static int64_t
many(struct machine *m, struct thread *t, const uint64_t a[6], int write,
    int at, uint64_t rwf)
{
	struct xfer x;
	int64_t r;

	r = xfer_init(&x, m, t, a[0], write);
	if (r == -EINVAL && at)
		return (-ESPIPE);
	if (r == 0 && at)
		r = xfer_at(&x, a[3]);
	if (r == 0 && (rwf & ~(uint64_t)RWF_KNOWN))
		r = -EOPNOTSUPP;
	if (r == 0)
		r = uvec_read(m, &x.u, a[1], a[2]);
	x.rwf = (int)rwf;
	return (r != 0 ? r : xfer_run(&x));
}

int64_t
sys_read(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (one(m, t, a, 0, 0));
}

int64_t
sys_write(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (one(m, t, a, 1, 0));
}

int64_t
sys_pread64(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (one(m, t, a, 0, 1));
}

int64_t
sys_pwrite64(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (one(m, t, a, 1, 1));
}

int64_t
sys_readv(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (many(m, t, a, 0, 0, 0));
}

int64_t
sys_writev(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (many(m, t, a, 1, 0, 0));
}

int64_t
sys_preadv(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (many(m, t, a, 0, 1, 0));
}

int64_t
sys_pwritev(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (many(m, t, a, 1, 1, 0));
}

int64_t
sys_preadv2(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (many(m, t, a, 0, a[3] != UINT64_MAX, a[5]));
}

int64_t
sys_pwritev2(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (many(m, t, a, 1, a[3] != UINT64_MAX, a[5]));
}
