/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Record locks of POSIX (F_SETLK) on files of the host.  They belong to the
 * process, that is to the machine: two descriptors of a fork never exclude each
 * other, as SQLite's connections rely on, and two forks do.  The host knows
 * neither, so they are OFD locks of one description for each file, the
 * `locker`, whichever descriptor the program names.  There is a second one
 * where the first is not open for what the lock needs.
 */

#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>

#include "linux/sys_files.h"
#include "obj.h"

static int
same_file(const struct hfile *hf, const struct stat *st)
{

	return (hf != NULL && hf->locker && hf->lockdev == st->st_dev &&
	    hf->lockino == st->st_ino && atomic_load(&hf->refs) == 1);
}

/* Some lock of an image's is not ours: a description that is shared is none. */
static struct hfile *
locker(struct machine *m, const struct stat *st, int type)
{
	struct hfile *hf;
	unsigned u;

	for (u = 0; u < m->hi_hfile && u < MAX_HFILE; u++) {
		hf = m->hfile[u];
		if (same_file(hf, st) && (type != F_RDLCK || hf->can_read) &&
		    (type != F_WRLCK || hf->can_write))
			return (hf);
	}
	return (NULL);
}

static int
unlock(struct machine *m, const struct stat *st, const struct flock *fl)
{
	struct flock un;
	unsigned u;
	int r = 0;

	for (u = 0; u < m->hi_hfile && u < MAX_HFILE; u++) {
		if (!same_file(m->hfile[u], st))
			continue;
		un = *fl;
		if (fcntl(m->hfile[u]->fd, F_OFD_SETLK, &un) != 0)
			r = -errno;
	}
	return (r);
}

int
reclock_get(struct machine *m, struct hfile *hf, struct flock *fl)
{
	struct hfile *l;
	struct stat st;

	if (fstat(hf->fd, &st) != 0)
		return (-errno);
	l = locker(m, &st, F_UNLCK);
	return (fcntl(l != NULL ? l->fd : hf->fd, F_OFD_GETLK, fl) != 0 ?
	    -errno : 0);
}

int
reclock_set(struct machine *m, struct hfile *hf, struct flock *fl)
{
	struct hfile *l;
	struct stat st;

	if ((fl->l_type == F_RDLCK && !hf->can_read) ||
	    (fl->l_type == F_WRLCK && !hf->can_write))
		return (-EBADF);
	if (fstat(hf->fd, &st) != 0)
		return (-errno);
	l = locker(m, &st, fl->l_type);
	if (l == NULL) {
		hf->lockdev = st.st_dev;
		hf->lockino = st.st_ino;
		hf->locker = 1;
		m->reclocks = 1;
		l = hf;
	}
	if (fl->l_type == F_UNLCK)
		return (unlock(m, &st, fl));
	return (fcntl(l->fd, F_OFD_SETLK, fl) != 0 ? -errno : 0);
}

void
reclock_closed(struct machine *m, const struct hfile *hf)
{
	struct flock fl = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	struct stat st;

	if (m->reclocks && hf->kind == HF_REG && hf->fd >= 0 &&
	    fstat(hf->fd, &st) == 0)
		(void)unlock(m, &st, &fl);
}
