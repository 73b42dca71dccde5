/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * signalfd(2).  The set is in the open file, which is replaced when the set
 * changes: so the image's file stays as it is.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "linux/sys_files.h"
#include "linux/sys_proc.h"
#include "obj.h"

#define KILL_STOP	((1UL << 8) | (1UL << 18))	/* SIGKILL, SIGSTOP */

static struct hfile *
signalfd_new(uint64_t set)
{
	struct hfile *hf;

	hf = hfile_new(HF_SIGNAL, -1);
	if (hf == NULL)
		return (NULL);
	hf->can_read = 1;
	hf->sigset = set;
	hf->st.st_mode = 0600;
	hf->st.st_nlink = 1;
	hf->st.st_blksize = 4096;
	hf->st.st_ino = 1000;
	hf->path = strdup("anon_inode:[signalfd]");
	if (hf->path == NULL)
		hfile_unref(&hf);
	return (hf);
}

int64_t
sys_signalfd4(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const unsigned flags = (unsigned)a[3];
	struct gk_ofd *ofd;
	struct hfile *hf, *new;
	uint64_t set;
	uint32_t idx;
	int kind;

	(void)t;
	if (a[2] != sizeof set || (flags & ~(unsigned)(SFD_CLOEXEC |
	    SFD_NONBLOCK)))
		return (-EINVAL);
	if (as_read(m->as, a[1], &set, sizeof set) != 0)
		return (-EFAULT);
	set &= ~KILL_STOP;
	hf = NULL;
	if ((int32_t)a[0] != -1) {
		hf = hfile_of(m, (uint32_t)a[0], &ofd, &idx, &kind);
		if (kind < 0 || hf == NULL || hf->kind != HF_SIGNAL)
			return (kind < 0 ? -EBADF : -EINVAL);
	}
	new = signalfd_new(set);
	if (new == NULL)
		return (-ENOMEM);
	if (hf == NULL)
		return (hfile_install(m, new, O_RDWR |
		    (flags & SFD_NONBLOCK) | (flags & SFD_CLOEXEC)));
	kind = (int)ofd->u.host.idx;
	if ((unsigned)kind >= MAX_HFILE || m->hfile[kind] != hf) {
		hfile_unref(&new);
		return (-EBADF);
	}
	hfile_unref(&m->hfile[kind]);
	m->hfile[kind] = new;
	gk_ofd_event(m->gk, idx, EPOLLIN);
	return ((int32_t)a[0]);
}

int64_t
sys_signalfd(struct machine *m, struct thread *t, const uint64_t a[6])
{
	const uint64_t b[6] = { a[0], a[1], a[2], 0, 0, 0 };

	return (sys_signalfd4(m, t, b));
}

static void
to_signalfd(const struct guest_siginfo *g, int sig,
    struct signalfd_siginfo *si)
{

	(void)memset(si, 0, sizeof *si);
	si->ssi_signo = (uint32_t)sig;
	si->ssi_errno = g->err;
	si->ssi_code = g->code;
	if (g->code == SI_TIMER) {
		si->ssi_tid = (uint32_t)g->u.timer.tid;
		si->ssi_overrun = (uint32_t)g->u.timer.overrun;
		si->ssi_ptr = g->u.timer.value;
		si->ssi_int = (int32_t)g->u.timer.value;
		return;
	}
	si->ssi_pid = (uint32_t)g->u.rt.pid;
	si->ssi_uid = g->u.rt.uid;
	if (g->code == SI_QUEUE) {
		si->ssi_ptr = g->u.rt.value;
		si->ssi_int = (int32_t)g->u.rt.value;
	}
}

int64_t
signalfd_read(struct machine *m, struct thread *t, const struct hfile *hf,
    const struct gk_ofd *ofd, struct uvec *u)
{
	struct signalfd_siginfo si;
	struct guest_siginfo g;
	uint64_t done = 0;
	unsigned i;
	int sig;

	if (u->total < sizeof si)
		return (-EINVAL);
	for (i = 0; i < u->n; i++) {
		uint64_t to = (uintptr_t)u->v[i].iov_base;
		uint64_t left = u->v[i].iov_len;

		for (; left >= sizeof si; left -= sizeof si, to += sizeof si) {
			sig = signal_take(m, t, hf->sigset, &g);
			if (sig == 0)
				goto out;
			to_signalfd(&g, sig, &si);
			if (as_write(m->as, to, &si, sizeof si) != 0)
				return (done > 0 ? (int64_t)done : -EFAULT);
			done += sizeof si;
		}
	}
out:
	if (done > 0)
		return ((int64_t)done);
	if (ofd->flags & O_NONBLOCK)
		return (-EAGAIN);
	if (!t->restart)
		t->deadline = UINT64_MAX;
	return (SYS_BLOCK);
}

uint32_t
signalfd_poll(struct machine *m, const struct hfile *hf)
{
	const struct thread *t = machine_caller(m);

	return ((m->proc.sigpending | t->sigpending) & hf->sigset ?
	    EPOLLIN | EPOLLRDNORM : 0);
}
