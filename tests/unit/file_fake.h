/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a machine would provide to the file families of the personality: for
 * unit tests of them.  Guest memory is the test's own.
 */

#ifndef FILE_FAKE_H
#define FILE_FAKE_H

static unsigned nlog;			/* lines logged */
static unsigned nwait;			/* descriptors waited for */

int
as_read(struct as *as, uint64_t gva, void *dst, size_t len)
{

	(void)as;
	if (gva < PAGE_SZ)
		return (-EFAULT);
	(void)memcpy(dst, (void *)(uintptr_t)gva, len);
	return (0);
}

int
as_write(struct as *as, uint64_t gva, const void *src, size_t len)
{

	(void)as;
	if (gva < PAGE_SZ)
		return (-EFAULT);
	(void)memcpy((void *)(uintptr_t)gva, src, len);
	return (0);
}

int
as_strncpy(struct as *as, char *dst, uint64_t gva, size_t max)
{
	size_t l;

	(void)as;
	if (gva < PAGE_SZ)
		return (-EFAULT);
	l = strnlen((char *)(uintptr_t)gva, max);
	if (l == max)
		return (-ENAMETOOLONG);
	(void)memcpy(dst, (char *)(uintptr_t)gva, l + 1);
	return ((int)l);
}

ssize_t
as_iov(struct as *as, uint64_t gva, size_t len, int access,
    struct iovec *iov, unsigned *n)
{

	(void)as;
	(void)access;
	if (gva < PAGE_SZ || *n == 0)
		return (-EFAULT);
	if (len > 3 && *n > 1) {	/* as if pages were apart */
		iov[0].iov_base = (void *)(uintptr_t)gva;
		iov[0].iov_len = 3;
		iov[1].iov_base = (void *)(uintptr_t)(gva + 3);
		iov[1].iov_len = len - 3;
		*n = 2;
	} else {
		iov[0].iov_base = (void *)(uintptr_t)gva;
		iov[0].iov_len = len;
		*n = 1;
	}
	return ((ssize_t)len);
}

const struct vma *
as_next(struct as *as, uint64_t addr)
{

	(void)as;
	(void)addr;
	return (NULL);
}

const char *
as_vma_name(struct as *as, const struct vma *v)
{

	(void)as;
	(void)v;
	return (NULL);
}

void
mem_resized(struct machine *m, const struct hfile *f, uint64_t was,
    uint64_t now)
{

	(void)m;
	(void)f;
	(void)was;
	(void)now;
}

void
mem_wrote(struct machine *m, const struct hfile *f, uint64_t pos, uint64_t n)
{

	(void)m;
	(void)f;
	(void)pos;
	(void)n;
}

uint64_t
as_rss(struct as *as)
{

	(void)as;
	return (0);
}

uint64_t
as_vsz(struct as *as)
{

	(void)as;
	return (0);
}

/* Nothing is in memory here: m->mfs is NULL. */

int
as_zero(struct as *as, uint64_t gva, size_t len)
{

	(void)as;
	if (gva < PAGE_SZ)
		return (-EFAULT);
	(void)memset((void *)(uintptr_t)gva, 0, len);
	return (0);
}

int
as_poke(struct as *as, uint64_t gva, const void *src, size_t len)
{

	return (as_write(as, gva, src, len));
}

int64_t
as_map(struct as *as, uint64_t addr, uint64_t len, unsigned prot,
    unsigned mapflags, const char *name, uint64_t off)
{

	(void)as;
	(void)addr;
	(void)len;
	(void)prot;
	(void)mapflags;
	(void)name;
	(void)off;
	return (-ENOMEM);
}

int
as_unmap(struct as *as, uint64_t addr, uint64_t len)
{

	(void)as;
	(void)addr;
	(void)len;
	return (0);
}

int
as_map_file(struct as *as, uint64_t addr, uint64_t len, uint32_t file,
    int nowrite)
{

	(void)as;
	(void)addr;
	(void)len;
	(void)file;
	(void)nowrite;
	return (-ENOMEM);
}

int
as_set_flags(struct as *as, uint64_t addr, uint64_t len, uint8_t set,
    uint8_t clear)
{

	(void)as;
	(void)addr;
	(void)len;
	(void)set;
	(void)clear;
	return (0);
}

int
as_maps_file(struct as *as, uint32_t file, unsigned prot)
{

	(void)as;
	(void)file;
	(void)prot;
	return (0);
}

void
as_file_zap(struct as *as, uint32_t file, uint64_t from, uint64_t to)
{

	(void)as;
	(void)file;
	(void)from;
	(void)to;
}

void
as_file_pager(struct as *as, as_pager_f *fn, void *priv)
{

	(void)as;
	(void)fn;
	(void)priv;
}

int
memfile_page(struct as *as, struct memfile *f, uint64_t pg, int alloc,
    uint64_t *gpa)
{

	(void)as;
	(void)f;
	(void)pg;
	*gpa = 0;
	return (alloc ? -ENOSPC : 0);
}

void
memfile_cut(struct as *as, struct memfile *f, uint64_t from, uint64_t to)
{

	(void)as;
	(void)f;
	(void)from;
	(void)to;
}

uint64_t
memfile_next(struct as *as, struct memfile *f, uint64_t pg, uint64_t end,
    int data)
{

	(void)as;
	(void)f;
	(void)pg;
	(void)data;
	return (end);
}

uint8_t *
as_frame(struct as *as, uint64_t gpa)
{

	(void)as;
	(void)gpa;
	return (NULL);
}

void
as_touch(struct as *as, const void *p, size_t len)
{

	(void)as;
	(void)p;
	(void)len;
}

void
as_frames(const struct as *as, uint64_t *total, uint64_t *avail)
{

	(void)as;
	*total = *avail = 0;
}

int
gk_copyin(struct gk_ctx *ctx, void *dst, uint64_t uaddr, size_t len)
{

	(void)ctx;
	return (as_read(NULL, uaddr, dst, len));
}

int
gk_copyout(struct gk_ctx *ctx, uint64_t uaddr, const void *src, size_t len)
{

	(void)ctx;
	return (as_write(NULL, uaddr, src, len));
}

uint64_t
machine_mono(const struct machine *mm)
{

	(void)mm;
	return (1000000000);
}

uint64_t
machine_real(const struct machine *mm)
{

	(void)mm;
	return (1700000000000000000);
}

void
machine_log(struct machine *mm, enum tkvm_log lvl, const char *fmt, ...)
{
	char buf[2000];
	va_list ap;

	(void)mm;
	(void)lvl;
	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	nlog++;
}

void
machine_limited(struct machine *mm, enum machine_limit which)
{

	(void)mm;
	(void)which;
}

void
machine_wait_fd(struct machine *mm, int fd, short events)
{

	(void)mm;
	(void)fd;
	(void)events;
	nwait++;
}

struct thread *
machine_caller(struct machine *mm)
{

	return (&mm->thread[0]);
}

void
machine_gk_ctx(struct machine *mm, struct thread *t, struct gk_ctx *c)
{

	(void)t;
	(void)memset(c, 0, sizeof *c);
	c->gk = mm->gk;
	c->priv = mm;
	c->host_poll = files_host_poll;
	c->host_release = files_host_release;
}

void
signal_sigpipe(struct machine *mm, struct thread *t)
{

	(void)mm;
	(void)t;
}

struct guest_siginfo;
int signal_take(struct machine *, struct thread *, uint64_t,
    struct guest_siginfo *);

int
signal_take(struct machine *mm, struct thread *t, uint64_t set,
    struct guest_siginfo *si)
{

	(void)mm;
	(void)t;
	(void)set;
	(void)si;
	return (0);
}

#endif
