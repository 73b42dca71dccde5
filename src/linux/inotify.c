/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * inotify(7): the calls.  What happens to files is told by notify.c, and the
 * tables and events are the in-memory kernel's (gk_inotify.c).
 */

#include <sys/types.h>

#include <sys/inotify.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "linux/memfs.h"
#include "obj.h"

#define KNOWN	(IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | \
    IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD | \
    IN_MASK_CREATE | IN_ISDIR | IN_ONESHOT)

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
	const uint32_t both = IN_MASK_ADD | IN_MASK_CREATE;
	struct where *w;
	int64_t r;

	(void)t;
	if ((mask & KNOWN) == 0)
		return (-EINVAL);
	r = set_of(m, a[0], &idx);
	if (r == 0 && (mask & both) == both)
		r = -EINVAL;
	if (r != 0)
		return (r);
	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	r = path_user(m, (uint64_t)AT_FDCWD, a[1],
	    (mask & IN_DONT_FOLLOW) ? W_NOFOLLOW : 0, w);
	if (r == 0) {
		if ((mask & IN_ONLYDIR) && !S_ISDIR(w->st.st_mode))
			r = -ENOTDIR;
		if (r == 0 && w->ino != 0)
			r = mfs_access(m, w->ino, R_OK);
		if (r == 0)
			r = gk_inotify_add(m->gk, idx, notify_file(w->ino,
			    &w->st), mask);
		where_fini(w);
	}
	free(w);
	return (r);
}

int64_t
sys_inotify_rm_watch(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct gk_ctx ctx;
	uint32_t idx = 0;
	int r;

	r = set_of(m, a[0], &idx);
	if (r != 0)
		return (r);
	machine_gk_ctx(m, t, &ctx);
	return (gk_inotify_remove(&ctx, idx, (uint32_t)a[1]));
}
