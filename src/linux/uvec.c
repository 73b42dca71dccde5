/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What reading and writing on the host needs: the guest's segments of memory as
 * host views, writing without harm to our own process, the log.
 */

#include <sys/types.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf/options.h"
#include "linux/sys_files.h"
#include "obj.h"

#define LOG_LINE	1000

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
	/* no such memory: the kernel sees that before it sees the sign */
	return ((int64_t)len < 0 ? -EFAULT : uvec_check(u));
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

/* ---- the log -------------------------------------------------------------------------- */

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

static void
flush_part(struct machine *m, int level)
{
	const int i = level == TKVM_LOG_STDERR;

	if (m->part[i].n > 0)
		log_line(m, level, m->part[i].b, m->part[i].n);
	m->part[i].n = 0;
}

void
file_log_flush(struct machine *m)
{

	flush_part(m, TKVM_LOG_STDOUT);
	flush_part(m, TKVM_LOG_STDERR);
}

/* Python writes a line of a traceback in a dozen pieces. */
static void
log_part(struct machine *m, int level, const char *p, size_t len)
{
	const int i = level == TKVM_LOG_STDERR;
	size_t n;

	while (len > 0) {
		n = LOG_PART - m->part[i].n;
		if (n > len)
			n = len;
		(void)memcpy(m->part[i].b + m->part[i].n, p, n);
		m->part[i].n += (unsigned)n;
		if (m->part[i].n == LOG_PART)
			flush_part(m, level);
		p += n;
		len -= n;
	}
}

void
file_log(struct machine *m, int level, const char *p, size_t len)
{
	const char *nl;
	size_t n, room;

	room = m->opt->max_log_bytes;
	room = m->log_bytes < room ? room - m->log_bytes : 0;
	if (len > room)
		machine_limited(m, LIMIT_LOG);
	m->log_bytes += len;
	if (len > room)
		len = room;
	while (len > 0) {
		nl = memchr(p, '\n', len);
		n = nl == NULL ? len : (size_t)(nl - p);
		if (n > 0 && nl != NULL &&
		    m->part[level == TKVM_LOG_STDERR].n == 0)
			log_line(m, level, p, n);
		else
			log_part(m, level, p, n);
		if (nl != NULL) {
			flush_part(m, level);
			n++;
		}
		p += n;
		len -= n;
	}
}
