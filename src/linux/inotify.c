/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * inotify(7): watches are taken, and nothing ever happens to them.  Of use for
 * servers that watch their configuration or sources in vain: requests run on
 * a frozen image, and its files do not change under it.
 *
 * The tables are the in-memory kernel's (gk_inotify.c).
 */

#include <sys/types.h>

#include <sys/inotify.h>

#include <errno.h>
#include <fcntl.h>

#include "linux/sys_files.h"
#include "obj.h"

static int64_t
new_set(struct machine *m, struct thread *t, uint64_t flags)
{
	struct gk_ctx ctx;

	if (flags & ~(uint64_t)(IN_NONBLOCK | IN_CLOEXEC))
		return (-EINVAL);
	machine_gk_ctx(m, t, &ctx);
	return (gk_inotify_open(&ctx, (uint32_t)flags));
}

int64_t
sys_inotify_init1(struct machine *m, struct thread *t, const uint64_t a[6])
{

	return (new_set(m, t, (uint32_t)a[0]));
}

int64_t
sys_inotify_init(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)a;
	return (new_set(m, t, 0));
}

/* The set behind a descriptor: 0 or -errno */
static int
set_of(struct machine *m, uint64_t fd, uint32_t *ofdidx)
{
	int kind;

	(void)hfile_of(m, fd, NULL, ofdidx, &kind);
	return (kind < 0 ? -EBADF : kind != GK_INOTIFY ? -EINVAL : 0);
}

int64_t
sys_inotify_add_watch(struct machine *m, struct thread *t,
    const uint64_t a[6])
{
	uint32_t mask = (uint32_t)a[2], idx = 0;
	struct where *w;
	int64_t r;

	(void)t;
	if ((mask & (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW |
	    IN_IGNORED)) == 0)
		return (-EINVAL);
	r = set_of(m, a[0], &idx);
	if (r != 0)
		return (r);
	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	r = path_user(m, (uint64_t)AT_FDCWD, a[1],
	    (mask & IN_DONT_FOLLOW) ? W_NOFOLLOW : 0, w);
	if (r == 0) {
		r = (mask & IN_ONLYDIR) && !S_ISDIR(w->st.st_mode) ?
		    -ENOTDIR : gk_inotify_add(m->gk, idx,
		    ((uint64_t)w->mnt << 56) ^ (w->st.st_dev << 40) ^
		    w->st.st_ino, (mask & IN_MASK_CREATE) != 0);
		where_fini(w);
	}
	free(w);
	return (r);
}

int64_t
sys_inotify_rm_watch(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint32_t idx = 0;
	int r;

	(void)t;
	r = set_of(m, a[0], &idx);
	return (r != 0 ? r : gk_inotify_remove(m->gk, idx, (uint32_t)a[1]));
}
