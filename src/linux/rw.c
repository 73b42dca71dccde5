/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * read(2), write(2) and their relatives on files of the host, and sendfile(2).
 *
 * Bytes go between the host's file and the guest's memory without a copy of
 * ours: the guest's segments become host views for preadv/pwritev.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf/options.h"
#include "linux/sys_files.h"
#include "obj.h"

#ifndef RWF_APPEND
#define RWF_APPEND	0x10
#endif
#define RWF_KNOWN	0x1f		/* HIPRI DSYNC SYNC NOWAIT APPEND */

#define DEV_MAX		(32UL << 20)	/* /dev/zero, /dev/urandom at once */
#define SENDFILE_BUF	(64UL << 10)
#define SENDFILE_MAX	(4UL << 20)	/* between two looks at the clock */
#define LOG_LINE	1000

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

/* ---- the guest's segments ----------------------------------------------------- */

static int
uvec_check(struct uvec *u)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < u->n; i++) {
		if ((int64_t)u->v[i].iov_len < 0)
			return (-EINVAL);
		if (sum + u->v[i].iov_len > MAX_RW)
			u->v[i].iov_len = MAX_RW - sum;
		sum += u->v[i].iov_len;
	}
	u->total = sum;
	return (0);
}

int
uvec_one(struct uvec *u, uint64_t addr, uint64_t len)
{

	(void)memset(u, 0, sizeof *u);
	u->v = u->fast;
	u->n = 1;
	u->fast[0].iov_base = (void *)(uintptr_t)addr;
	u->fast[0].iov_len = len;
	return (uvec_check(u));
}

int
uvec_read(struct machine *m, struct uvec *u, uint64_t addr, uint64_t n)
{
	int r;

	(void)memset(u, 0, sizeof *u);
	u->v = u->fast;
	if (n > MAX_IOV)
		return (-EINVAL);
	u->n = (unsigned)n;
	if (n > NELEM(u->fast)) {
		u->v = calloc(n, sizeof *u->v);
		if (u->v == NULL)
			return (-ENOMEM);
	}
	r = n == 0 ? 0 : as_read(m->as, addr, u->v, n * sizeof *u->v);
	if (r == 0)
		r = uvec_check(u);
	if (r != 0)
		uvec_fini(u);
	return (r);
}

void
uvec_fini(struct uvec *u)
{

	if (u->v != u->fast)
		free(u->v);
	u->v = u->fast;
	u->n = 0;
}

void
uvec_skip(struct uvec *u, size_t len)
{
	size_t n;

	while (u->i < u->n && len > 0) {
		n = u->v[u->i].iov_len - u->off;
		if (n > len) {
			u->off += len;
			return;
		}
		len -= n;
		u->i++;
		u->off = 0;
	}
}

ssize_t
uvec_views(struct machine *m, struct uvec *u, int access, struct iovec *out,
    unsigned *nout, size_t max)
{
	unsigned n, used = 0;
	size_t want, sum = 0;
	ssize_t r;

	while (u->i < u->n && used < *nout && sum < max) {
		want = u->v[u->i].iov_len - u->off;
		if (want == 0) {
			u->i++;
			u->off = 0;
			continue;
		}
		if (want > max - sum)
			want = max - sum;
		n = *nout - used;
		r = as_iov(m->as, (uintptr_t)u->v[u->i].iov_base + u->off,
		    want, access, out + used, &n);
		if (r <= 0) {
			if (sum == 0)
				return (-EFAULT);
			break;
		}
		used += n;
		sum += (size_t)r;
		u->off += (size_t)r;
		if ((size_t)r < want)
			break;
	}
	*nout = used;
	return ((ssize_t)sum);
}

/* ---- host side -------------------------------------------------------------------- */

/* A pipe without reader would raise SIGPIPE in the process we live in. */
ssize_t
host_writev(int fd, const struct iovec *iov, int n)
{
	const struct timespec zero = { 0, 0 };
	sigset_t set, old;
	ssize_t r;
	int e;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &set, &old);
	r = writev(fd, iov, n);
	e = errno;
	if (r < 0 && e == EPIPE)
		while (sigtimedwait(&set, NULL, &zero) < 0 && errno == EINTR)
			continue;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = e;
	return (r);
}

/*
 * The largest file: the guest's limit, and our own, whose SIGXFSZ would end
 * the process we live in.
 */
uint64_t
file_size_max(const struct machine *m)
{
	struct rlimit rl;
	uint64_t lim = INT64_MAX;

	if (m->proc.rlim[RLIMIT_FSIZE][0] != 0 &&
	    m->proc.rlim[RLIMIT_FSIZE][0] < lim)
		lim = m->proc.rlim[RLIMIT_FSIZE][0];
	if (getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur < lim)
		lim = rl.rlim_cur;
	return (lim);
}

static uint64_t
file_size(const struct hfile *hf)
{
	struct stat st;

	if (fstat(hf->fd, &st) != 0 || st.st_size < 0)
		return (0);
	return ((uint64_t)st.st_size);
}

/* ---- regular files ------------------------------------------------------------------ */

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
	if (append && done > 0)
		pos = file_size(x->hf);
	if (!x->at)
		x->ofd->pos = pos;
	return ((int64_t)done);
}

static int64_t
xfer_text(struct xfer *x)
{
	uint64_t n, left, done = 0;
	struct uvec *u = &x->u;

	if (x->pos > INT64_MAX)
		return (-EINVAL);
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

static void
log_line(struct machine *m, int level, const char *p, size_t len)
{
	char line[LOG_LINE + 1];
	size_t i, n;

	do {
		n = len < LOG_LINE ? len : LOG_LINE;
		for (i = 0; i < n; i++)
			line[i] = ((unsigned char)p[i] < ' ' &&
			    p[i] != '\t') || p[i] == 127 ? '?' : p[i];
		line[n] = '\0';
		machine_log(m, (enum tkvm_log)level, "%s", line);
		p += n;
		len -= n;
	} while (len > 0);
}

void
file_log(struct machine *m, int level, const char *p, size_t len)
{
	const char *nl;
	size_t n, room;

	room = m->opt->max_log_bytes;
	room = m->log_bytes < room ? room - m->log_bytes : 0;
	if (len > room && m->log_bytes <= m->opt->max_log_bytes)
		machine_log(m, TKVM_LOG_WARN, "output beyond max-log-bytes "
		    "(%u) is dropped", m->opt->max_log_bytes);
	m->log_bytes += len;
	if (len > room)
		len = room;
	while (len > 0) {
		nl = memchr(p, '\n', len);
		n = nl == NULL ? len : (size_t)(nl - p);
		if (n > 0)
			log_line(m, level, p, n);
		if (nl != NULL)
			n++;
		p += n;
		len -= n;
	}
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
	case HF_DIR:
		return (-EISDIR);
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

/* ---- sendfile ------------------------------------------------------------------------------------ */

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
	case HF_REG:
		r = pwritev2(s->out->fd, &iov, 1, (off_t)s->outofd->pos, 0);
		if (r > 0)
			s->outofd->pos += (size_t)r;
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

	if (s->out != NULL)
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
	if (s->in->kind != HF_REG && s->in->kind != HF_TEXT)
		return (-EINVAL);
	s->out = hfile_of(m, a[0], &s->outofd, &s->outidx, &kind);
	if (s->outofd == NULL || kind < 0 ||
	    (s->out != NULL && !s->out->can_write))
		return (-EBADF);
	if (s->out != NULL && s->out->kind == HF_REG &&
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
	/* Also when it blocks: it goes on from there. */
	if (a[2] == 0)
		s.inofd->pos = s.pos;
	else if (s.pos != before &&
	    as_write(m->as, a[2], &s.pos, 8) != 0 && r >= 0)
		r = -EFAULT;
	return (r);
}
