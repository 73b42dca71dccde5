/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Extended attributes: there are none, as on a file system without them.
 *
 * What the host's files have is not shown: labels and capabilities mean
 * nothing inside.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>

#include "linux/sys_files.h"
#include "obj.h"

/* `answer`, if the file is there and the name (0: none) can be read */
static int64_t
on_path(struct machine *m, const uint64_t a[6], unsigned wflags, int name,
    int64_t answer)
{
	struct where *w;
	int64_t r;
	char c;

	if (name && as_read(m->as, a[1], &c, 1) != 0)
		return (-EFAULT);
	w = malloc(sizeof *w);
	if (w == NULL)
		return (-ENOMEM);
	r = path_user(m, (uint64_t)AT_FDCWD, a[0], wflags, w);
	if (r == 0)
		where_fini(w);
	free(w);
	return (r == 0 ? answer : r);
}

static int64_t
on_fd(struct machine *m, const uint64_t a[6], int name, int64_t answer)
{
	const struct hfile *hf;
	int kind;
	char c;

	hf = hfile_get(m, a[0], &kind);
	if (kind < 0 || (hf != NULL && hf->kind == HF_PATH))
		return (-EBADF);
	if (name && as_read(m->as, a[1], &c, 1) != 0)
		return (-EFAULT);
	return (answer);
}

#define ON_PATH(call, flags, name, answer)				\
int64_t									\
sys_##call(struct machine *m, struct thread *t, const uint64_t a[6])	\
{									\
									\
	(void)t;							\
	return (on_path(m, a, flags, name, answer));			\
}
#define ON_FD(call, name, answer)					\
int64_t									\
sys_##call(struct machine *m, struct thread *t, const uint64_t a[6])	\
{									\
									\
	(void)t;							\
	return (on_fd(m, a, name, answer));				\
}

ON_PATH(setxattr, 0, 1, -EOPNOTSUPP)
ON_PATH(lsetxattr, W_NOFOLLOW, 1, -EOPNOTSUPP)
ON_FD(fsetxattr, 1, -EOPNOTSUPP)
ON_PATH(getxattr, 0, 1, -EOPNOTSUPP)
ON_PATH(lgetxattr, W_NOFOLLOW, 1, -EOPNOTSUPP)
ON_FD(fgetxattr, 1, -EOPNOTSUPP)
ON_PATH(listxattr, 0, 0, 0)
ON_PATH(llistxattr, W_NOFOLLOW, 0, 0)
ON_FD(flistxattr, 0, 0)
ON_PATH(removexattr, 0, 1, -EOPNOTSUPP)
ON_PATH(lremovexattr, W_NOFOLLOW, 1, -EOPNOTSUPP)
ON_FD(fremovexattr, 1, -EOPNOTSUPP)
