/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * splice(2), tee(2), vmsplice(2), copy_file_range(2).
 *
 * Bytes go through a buffer of ours: they are looked at, given to the other
 * side, and only what that took is removed.  So nothing is lost when one side
 * is full.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

#define BUF		(64UL << 10)	/* a pipe is no larger */
#define SPLICE_ALL	0xfU
#define COPY_MAX	(64UL << 20)
#define SYS_PREADV2	327
#define SYS_PWRITEV2	328
#define RWF_NOWAIT_	8

struct end {
	struct hfile	*hf;		/* NULL: the guest's own kernel */
	struct gk_ofd	*ofd;
	uint32_t	idx;
	int		kind;
	uint64_t	off;		/* where its offset is; 0: its own */
	uint64_t	pos;
};

static int
end_is_pipe(const struct end *e)
{

	return (e->kind == GK_PIPE_R || e->kind == GK_PIPE_W ||
	    (e->hf != NULL && e->hf->kind == HF_STREAM &&
	    S_ISFIFO(e->hf->st.st_mode)));
}

static int
end_is_file(const struct end *e)
{

	return (e->hf != NULL && (e->hf->kind == HF_REG ||
	    e->hf->kind == HF_MEM || e->hf->kind == HF_TEXT));
}

/* The descriptor, for reading or writing: 0 or -EBADF */
static int
end_get(struct machine *m, uint64_t fd, int write, struct end *e)
{

	(void)memset(e, 0, sizeof *e);
	e->hf = hfile_of(m, fd, &e->ofd, &e->idx, &e->kind);
	if (e->kind < 0 || (e->hf != NULL && e->hf->kind == HF_PATH))
		return (-EBADF);
	if (e->hf != NULL)
		return ((write ? e->hf->can_write : e->hf->can_read) ? 0 :
		    -EBADF);
	return (e->kind == (write ? GK_PIPE_R : GK_PIPE_W) ? -EBADF : 0);
}

static int
end_offset(struct machine *m, struct end *e, uint64_t uaddr)
{

	e->off = uaddr;
	e->pos = e->ofd->pos;
	if (uaddr == 0)
		return (0);
	if (end_is_pipe(e))
		return (-ESPIPE);
	if (as_read(m->as, uaddr, &e->pos, 8) != 0)
		return (-EFAULT);
	if (!end_is_file(e))
		return (-EINVAL);
	return (e->pos > INT64_MAX ? -EINVAL : 0);
}

static int
end_moved(struct machine *m, struct end *e, uint64_t n)
{

	if (!end_is_file(e))
		return (0);
	e->pos += n;
	if (e->off == 0)
		e->ofd->pos = e->pos;
	else
		return (as_write(m->as, e->off, &e->pos, 8));
	return (0);
}

/* Up to len bytes from e, which stay there: bytes, 0 at the end, -errno */
static int64_t
end_look(struct machine *m, struct thread *t, struct end *e, char *buf,
    size_t len)
{
	struct gk_ctx ctx;
	ssize_t r;

	if (e->hf == NULL) {
		machine_gk_ctx(m, t, &ctx);
		return (gk_ofd_peek(&ctx, e->idx, buf, len));
	}
	switch (e->hf->kind) {
	case HF_MEM:
		return (mfs_pread(m, e->hf->ino, buf, len, e->pos));
	case HF_TEXT:
		if (e->pos >= e->hf->textlen)
			return (0);
		if (len > e->hf->textlen - e->pos)
			len = e->hf->textlen - e->pos;
		(void)memcpy(buf, e->hf->text + e->pos, len);
		return ((int64_t)len);
	case HF_REG:
		r = pread(e->hf->fd, buf, len, (off_t)e->pos);
		break;
	case HF_SOCK:
		r = e->hf->fd < 0 ? 0 : recv(e->hf->fd, buf, len,
		    MSG_PEEK | MSG_DONTWAIT);
		break;
	default:
		return (-EINVAL);
	}
	return (r < 0 ? -errno : r);
}

static void
end_take(struct machine *m, struct thread *t, struct end *e, char *buf,
    size_t n)
{
	struct gk_ctx ctx;

	if (e->hf == NULL) {
		machine_gk_ctx(m, t, &ctx);
		gk_ofd_skip(&ctx, e->idx, n);
	} else if (e->hf->kind == HF_SOCK && e->hf->fd >= 0)
		(void)!recv(e->hf->fd, buf, n, MSG_DONTWAIT);
}

static int64_t
end_give(struct machine *m, struct thread *t, struct end *e, const char *buf,
    size_t n)
{
	struct iovec iov = { (void *)(uintptr_t)buf, n };
	struct gk_ctx ctx;
	int64_t r;

	if (e->hf == NULL) {
		machine_gk_ctx(m, t, &ctx);
		return (gk_ofd_write(&ctx, e->idx, buf, n));
	}
	switch (e->hf->kind) {
	case HF_MEM:
		return (mfs_pwrite(m, e->hf->ino, buf, n, e->pos));
	case HF_REG:
		if (e->pos >= file_size_max(m))
			return (-EFBIG);
		r = pwrite(e->hf->fd, buf, n, (off_t)e->pos);
		if (r > 0)
			mem_wrote(m, e->hf, e->pos, (uint64_t)r);
		break;
	case HF_STREAM:
		r = host_writev(e->hf->fd, &iov, 1);
		break;
	case HF_SOCK:
		r = e->hf->fd < 0 ? -1 : send(e->hf->fd, buf, n,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case HF_NULL:
		return ((int64_t)n);
	case HF_LOG:
		file_log(m, e->hf->log, buf, n);
		return ((int64_t)n);
	default:
		return (-EINVAL);
	}
	return (r < 0 ? -errno : r);
}

static int64_t
end_wait(struct machine *m, struct thread *t, struct end *e, int write,
    int nonblock)
{

	if (nonblock)
		return (-EAGAIN);
	if (e->hf != NULL && e->hf->fd >= 0) {
		if (!t->restart)	/* as io_wait() does */
			gk_ofd_event(m->gk, e->idx, write ? POLLOUT : POLLIN);
		return (file_block(m, t, e->hf->fd, write ? POLLOUT : POLLIN));
	}
	if (!t->restart)
		t->deadline = UINT64_MAX;
	return (SYS_BLOCK);
}

/* Once around; `keep`: tee(2) */
static int64_t
move(struct machine *m, struct thread *t, struct end *in, struct end *out,
    uint64_t len, unsigned flags, int keep)
{
	const int nb = (flags & SPLICE_F_NONBLOCK) != 0;
	int64_t n, w;
	char *buf;

	buf = malloc(BUF);
	if (buf == NULL)
		return (-ENOMEM);
	n = end_look(m, t, in, buf, len < BUF ? len : BUF);
	w = n;
	if (n > 0)
		w = end_give(m, t, out, buf, (size_t)n);
	if (w > 0 && !keep)
		end_take(m, t, in, buf, (size_t)w);
	free(buf);
	if (n == -EAGAIN)
		return (end_wait(m, t, in, 0, nb ||
		    (in->ofd->flags & O_NONBLOCK)));
	if (n > 0 && w == -EAGAIN)
		return (end_wait(m, t, out, 1, nb ||
		    (out->ofd->flags & O_NONBLOCK)));
	if (w == -EPIPE)
		signal_sigpipe(m, t);
	return (w);
}

int64_t
sys_splice(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct end in, out;
	int64_t r;

	if (a[4] == 0)
		return (0);
	if (a[5] & ~(uint64_t)SPLICE_ALL)
		return (-EINVAL);
	r = end_get(m, a[0], 0, &in);
	if (r == 0)
		r = end_get(m, a[2], 1, &out);
	if (r != 0)
		return (r);
	r = end_offset(m, &in, a[1]);
	if (r == 0)
		r = end_offset(m, &out, a[3]);
	if (r != 0)
		return (r);
	if (!end_is_pipe(&in) && !end_is_pipe(&out))
		return (-EINVAL);
	if (in.kind == GK_PIPE_R && out.kind == GK_PIPE_W &&
	    in.ofd->u.pipe.peer1 == out.idx + 1)
		return (-EINVAL);
	if (end_is_file(&out) && (out.ofd->flags & O_APPEND))
		return (-EINVAL);
	r = move(m, t, &in, &out, a[4], (unsigned)a[5], 0);
	if (r > 0 && (end_moved(m, &in, (uint64_t)r) != 0 ||
	    end_moved(m, &out, (uint64_t)r) != 0))
		return (-EFAULT);
	return (r);
}

int64_t
sys_tee(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct end in, out;
	int r;

	if (a[3] & ~(uint64_t)SPLICE_ALL)
		return (-EINVAL);
	if (a[2] == 0)
		return (0);
	r = end_get(m, a[0], 0, &in);
	if (r == 0)
		r = end_get(m, a[1], 1, &out);
	if (r != 0)
		return (r);
	if (in.kind != GK_PIPE_R || out.kind != GK_PIPE_W ||
	    in.ofd->u.pipe.peer1 == out.idx + 1)
		return (-EINVAL);
	return (move(m, t, &in, &out, a[2], (unsigned)a[3], 1));
}

int64_t
sys_vmsplice(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t b[6] = { a[0], a[1], a[2], UINT64_MAX, 0,
	    (a[3] & SPLICE_F_NONBLOCK) ? RWF_NOWAIT_ : 0 };
	struct gk_ctx ctx;
	int64_t r;
	int kind;

	if (a[3] & ~(uint64_t)SPLICE_ALL)
		return (-EINVAL);
	(void)hfile_get(m, a[0], &kind);
	if (kind != GK_PIPE_R && kind != GK_PIPE_W)
		return (-EBADF);
	machine_gk_ctx(m, t, &ctx);
	r = gk_syscall(&ctx, kind == GK_PIPE_R ? SYS_PREADV2 : SYS_PWRITEV2,
	    b);
	t->deadline = ctx.deadline;
	t->progress = ctx.progress;
	if (ctx.sigpipe)
		signal_sigpipe(m, t);
	return (r);
}

/* ---- between regular files --------------------------------------------------------- */

/* Both in memory */
static int64_t
copy_mem(struct machine *m, struct end *in, struct end *out, uint64_t len)
{
	uint64_t done = 0;
	int64_t n = 0, w = 0;
	char *buf;

	if (in->hf->ino == out->hf->ino && in->pos < out->pos + len &&
	    out->pos < in->pos + len)
		return (-EINVAL);
	buf = malloc(BUF);
	if (buf == NULL)
		return (-ENOMEM);
	while (done < len) {
		n = mfs_pread(m, in->hf->ino, buf, len - done < BUF ?
		    len - done : BUF, in->pos + done);
		if (n <= 0)
			break;
		w = mfs_pwrite(m, out->hf->ino, buf, (size_t)n,
		    out->pos + done);
		if (w <= 0)
			break;
		done += (uint64_t)w;
	}
	free(buf);
	return (done > 0 ? (int64_t)done : w < 0 ? w : n);
}

static int64_t
copy_host(struct machine *m, struct end *in, struct end *out, uint64_t len)
{
	off_t lin = (off_t)in->pos, lout = (off_t)out->pos;
	ssize_t n;

	if (out->pos >= file_size_max(m))
		return (-EFBIG);
	if (len > file_size_max(m) - out->pos)
		len = file_size_max(m) - out->pos;
	n = copy_file_range(in->hf->fd, &lin, out->hf->fd, &lout, len, 0);
	if (n < 0)
		return (-errno);
	if (n > 0)
		mem_wrote(m, out->hf, out->pos, (uint64_t)n);
	return (n);
}

static int
copy_check(const struct end *in, const struct end *out)
{

	if ((in->hf != NULL && in->hf->kind == HF_DIR) ||
	    (out->hf != NULL && out->hf->kind == HF_DIR))
		return (-EISDIR);
	if (!end_is_file(in) || !end_is_file(out) ||
	    in->hf->kind == HF_TEXT || out->hf->kind == HF_TEXT)
		return (-EINVAL);
	if (out->ofd->flags & O_APPEND)
		return (-EBADF);
	/* Linux copies only inside one file system. */
	if (in->hf->kind != out->hf->kind || (in->hf->ino != 0 &&
	    in->hf->st.st_dev != out->hf->st.st_dev))
		return (-EXDEV);
	return (0);
}

int64_t
sys_copy_file_range(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct end in, out;
	uint64_t len = a[4] < COPY_MAX ? a[4] : COPY_MAX;
	int64_t r;

	(void)t;
	r = end_get(m, a[0], 0, &in);
	if (r == 0)
		r = end_get(m, a[2], 1, &out);
	if (r == 0)
		r = end_offset(m, &in, a[1]);
	if (r == 0)
		r = end_offset(m, &out, a[3]);
	if (r == 0 && a[5] != 0)
		r = -EINVAL;
	if (r == 0)
		r = copy_check(&in, &out);
	if (r != 0)
		return (r);
	r = in.hf->ino != 0 ? copy_mem(m, &in, &out, len) :
	    copy_host(m, &in, &out, len);
	if (r > 0) {
		notify_hfile(m, in.hf, IN_ACCESS);
		notify_hfile(m, out.hf, IN_MODIFY);
	}
	if (r > 0 && (end_moved(m, &in, (uint64_t)r) != 0 ||
	    end_moved(m, &out, (uint64_t)r) != 0))
		return (-EFAULT);
	return (r);
}
