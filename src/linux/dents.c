/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reading directories: getdents(2), getdents64(2).
 */

#include <sys/types.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

#define DENTS_MAX	32768

/* struct linux_dirent64 and the old struct linux_dirent */
#define D64_TYPE	18
#define D64_NAME	19
#define DOLD_NAME	18

/* The next entries of a directory of the host, from *pos on */
static ssize_t
dents_host(struct hfile *hf, uint64_t *pos, char *buf, size_t size)
{
	int fd = hf->fd, own = -1;
	int64_t off;
	uint16_t rl;
	ssize_t n, i;

	/* The host's offset belongs to whoever shares the description. */
	if (atomic_load(&hf->refs) > 1) {
		own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (own < 0)
			return (-errno);
		fd = own;
	}
	n = -1;
	if (*pos <= INT64_MAX && lseek(fd, (off_t)*pos, SEEK_SET) >= 0)
		n = syscall(SYS_getdents64, fd, buf, size);
	if (n < 0)
		n = -errno;
	if (own >= 0)
		(void)close(own);
	for (i = 0; i + D64_NAME < n; i += rl) {
		(void)memcpy(&off, buf + i + 8, sizeof off);
		(void)memcpy(&rl, buf + i + 16, sizeof rl);
		if (rl == 0)
			break;
		*pos = (uint64_t)off;
	}
	return (n);
}

/* The same of one made here: text is a type and a name, NUL, and again */
static ssize_t
dents_text(struct hfile *hf, uint64_t *pos, char *buf, size_t size)
{
	uint64_t ino;
	int64_t off;
	uint16_t rl;
	const char *p;
	size_t l, n = 0;

	while (*pos < hf->textlen) {
		p = hf->text + *pos;
		l = strlen(p);		/* the whole text ends in a NUL */
		rl = (uint16_t)((D64_NAME + l + 7) & ~7UL);
		if (n + rl > size)
			return (n > 0 ? (ssize_t)n : -EINVAL);
		*pos += l + 1;
		off = (int64_t)*pos;
		ino = 1 + *pos;
		(void)memset(buf + n, 0, rl);
		(void)memcpy(buf + n, &ino, sizeof ino);
		(void)memcpy(buf + n + 8, &off, sizeof off);
		(void)memcpy(buf + n + 16, &rl, sizeof rl);
		buf[n + D64_TYPE] = *p == 'd' ? DT_DIR : *p == 'l' ? DT_LNK :
		    *p == 'c' ? DT_CHR : DT_REG;
		(void)memcpy(buf + n + D64_NAME, p + 1, l);
		n += rl;
	}
	return ((ssize_t)n);
}

/* Rewrite records in place: the type moves from before the name to the end. */
static void
dents_old(char *buf, ssize_t n)
{
	uint16_t rl;
	ssize_t i;
	char type;

	for (i = 0; i + D64_NAME < n; i += rl) {
		(void)memcpy(&rl, buf + i + 16, sizeof rl);
		if (rl <= D64_NAME || rl > n - i)
			break;
		type = buf[i + D64_TYPE];
		(void)memmove(buf + i + DOLD_NAME, buf + i + D64_NAME,
		    rl - (size_t)D64_NAME);
		buf[i + rl - 1] = type;
	}
}

static int64_t
do_getdents(struct machine *m, const uint64_t a[6], int old)
{
	struct gk_ofd *ofd;
	struct hfile *hf;
	uint64_t pos;
	uint32_t size = (uint32_t)a[2];
	ssize_t n;
	char *buf;
	int kind;

	hf = hfile_of(m, a[0], &ofd, NULL, &kind);
	if (hf == NULL)
		return (hfile_badkind(kind, -ENOTDIR));
	if (hf->kind == HF_PATH)
		return (-EBADF);
	if (hf->kind != HF_DIR)
		return (-ENOTDIR);
	if (size > DENTS_MAX)
		size = DENTS_MAX;
	buf = calloc(1, size + 8UL);
	if (buf == NULL)
		return (-ENOMEM);
	pos = ofd->pos;
	if (hf->ino != 0)
		n = mfs_dents(m, hf->ino, &pos, buf, size);
	else
		n = hf->fd >= 0 ? dents_host(hf, &pos, buf, size) :
		    dents_text(hf, &pos, buf, size);
	if (n > 0 && old)
		dents_old(buf, n);
	if (n > 0 && as_write(m->as, a[1], buf, (size_t)n) != 0)
		n = -EFAULT;
	if (n > 0)
		ofd->pos = pos;
	if (n >= 0)
		notify_hfile(m, hf, IN_ACCESS);
	free(buf);
	return (n);
}

int64_t
sys_getdents64(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_getdents(m, a, 0));
}

int64_t
sys_getdents(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (do_getdents(m, a, 1));
}
