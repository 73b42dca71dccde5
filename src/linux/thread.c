/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Threads: making them, ending them, finding them; and the end of the process.
 * There is one process and one address space: whatever would need a second one
 * is refused, and named in the log once.
 */

#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "conf/options.h"
#include "layout.h"
#include "linux/sys_files.h"
#include "linux/sys_proc.h"
#include "obj.h"

#define TID_FIRST	300		/* as Linux after a wrap */
#define TID_MAX		0x3fffff

/* What a thread shares with its maker; anything less is another process. */
#define CLONE_NEEDED	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | \
			    CLONE_THREAD)
#define CLONE_NEW	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | \
			    CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
			    CLONE_NEWNET)

struct clone_req {
	uint64_t	flags, parent_tid, child_tid, tls;
	uint64_t	sp;		/* 0: the caller's */
};

_Static_assert(sizeof(struct clone_args) == CLONE_ARGS_SIZE_VER2,
    "struct clone_args");

/* ---- the table ------------------------------------------------------- */

static struct thread *
find_exact(struct machine *m, int64_t tid)
{
	struct thread *t;
	unsigned u;

	for (u = 0; u < m->proc.hi_thread; u++) {
		t = &m->thread[u];
		if (t->state != T_FREE && t->tid == tid)
			return (t);
	}
	return (NULL);
}

/* A program may know its main thread by the pid it had at the freeze. */
struct thread *
thread_find(struct machine *m, int64_t tid)
{
	struct thread *t;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (tid <= 0)
		return (NULL);
	t = find_exact(m, tid);
	if (t == NULL && tid == m->proc.image_pid)
		t = find_exact(m, m->proc.pid);
	return (t);
}

int
proc_is_self(const struct machine *m, int64_t pid)
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	return (pid > 0 &&
	    (pid == m->proc.pid || pid == m->proc.image_pid));
}

static int32_t
tid_new(struct machine *m)
{
	struct proc *p = &m->proc;
	int32_t tid;

	if (p->nthreads == 0)
		return ((int32_t)p->pid);
	do {
		if (p->next_tid == 0)
			p->next_tid = p->pid + 1;
		if (p->next_tid > TID_MAX)
			p->next_tid = TID_FIRST;
		tid = (int32_t)p->next_tid++;
	} while (proc_is_self(m, tid) || find_exact(m, tid) != NULL);
	return (tid);
}

struct thread *
thread_new(struct machine *m)
{
	const unsigned max = m->opt->max_threads;
	struct thread *t;
	unsigned u;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	for (u = 0; u < MAX_THREADS; u++)
		if (m->thread[u].state == T_FREE)
			break;
	if (u == MAX_THREADS || (max > 0 && m->proc.nthreads >= max)) {
		machine_limited(m, LIMIT_THREADS);
		return (NULL);
	}
	t = &m->thread[u];
	memset(t, 0, sizeof(*t));
	m->sig_changed = 1;
	t->tid = tid_new(m);
	t->deadline = UINT64_MAX;
	t->state = T_RUN;
	m->proc.nthreads++;
	if (m->proc.hi_thread < u + 1)
		m->proc.hi_thread = u + 1;
	return (t);
}

static void
thread_free(struct machine *m, struct thread *t)
{

	assert(t->state != T_FREE);
	assert(m->proc.nthreads > 0);
	m->proc.dead_cpu_ns += t->cpu_ns;
	signal_drop_all(m, t);
	t->state = T_FREE;
	t->futex = 0;
	m->proc.nthreads--;
}

void
thread_exit(struct machine *m, struct thread *t)
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	futex_exit(m, t);
	thread_free(m, t);
}

void
proc_gone(struct machine *m, int status)
{

	m->proc.exited = 1;
	m->proc.exit_status = status;
}

/* ---- clone ----------------------------------------------------------- */

/* A call that needs a second process: named once for all forks */
static int64_t
refuse(struct machine *m, unsigned nr, const char *name, int err)
{
	uint8_t *seen = &m->enosys_seen[nr / 8 % sizeof(m->enosys_seen)];
	uint8_t bit = (uint8_t)(1U << nr % 8);

	m->st.unknown++;
	if (err != ECHILD || m->no_process[0] == '\0')
		(void)snprintf(m->no_process, sizeof m->no_process, "%s",
		    name);
	if (!(*seen & bit)) {
		*seen |= bit;
		if (m->fs != NULL && !fs_tell_once(m->fs, "process", name))
			return (-err);
		machine_log(m, TKVM_LOG_WARN, "%s: refused, a guest is one "
		    "process and cannot start another program (%s)", name,
		    m->proc.exe);
	}
	return (-err);
}

/* What is not there needs no second program to say so. */
static int64_t
refuse_exec(struct machine *m, unsigned nr, const char *name, uint64_t path)
{
	char buf[200], what[240];
	int r;

	r = as_strncpy(m->as, buf, path, sizeof buf);
	if (r == -EFAULT)
		return (r);
	buf[sizeof buf - 1] = '\0';
	if (r >= 0) {
		r = program_missing(m, buf);
		if (r != 0)
			return (r);
	}
	(void)snprintf(what, sizeof what, "%s of %s", name, buf);
	return (refuse(m, nr, what, ENOSYS));
}

static int64_t
clone_check(struct machine *m, unsigned nr, const char *name, uint64_t flags)
{

	if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
		return (-EINVAL);
	if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
		return (-EINVAL);
	if ((flags & CLONE_NEWNS) && (flags & CLONE_FS))
		return (-EINVAL);
	if ((flags & CLONE_THREAD) && (flags & CLONE_PIDFD))
		return (-EINVAL);
	if (flags & CLONE_NEW)
		return (-EPERM);
	if ((flags & CLONE_NEEDED) != CLONE_NEEDED || (flags & CLONE_VFORK))
		return (refuse(m, nr, name, ENOSYS));
	return (0);
}

static int64_t
clone_thread(struct machine *m, struct thread *t, const struct clone_req *req)
{
	struct kvm_xsave xs;
	struct thread *n;
	int32_t tid;
	int error;

	if ((req->flags & CLONE_SETTLS) && req->tls >= GVA_USER_END)
		return (-EPERM);
	error = machine_get_xsave(m, t, &xs);
	if (error)
		return (error);
	n = thread_new(m);
	if (n == NULL)
		return (-EAGAIN);
	error = machine_set_xsave(m, n, &xs);
	if (error) {
		thread_free(m, n);
		return (error);
	}
	tid = n->tid;
	n->regs = t->regs;
	n->regs.rax = 0;
	if (req->sp != 0)
		n->regs.rsp = req->sp;
	n->fs_base = req->flags & CLONE_SETTLS ? req->tls : t->fs_base;
	n->gs_base = t->gs_base;
	n->sigmask = t->in_sigsuspend ? t->oldmask : t->sigmask;
	memcpy(n->comm, t->comm, sizeof(n->comm));
	if (req->flags & CLONE_CHILD_CLEARTID)
		n->clear_tid = req->child_tid;
	/* Linux ignores bad addresses here: the thread exists by now. */
	if (req->flags & CLONE_PARENT_SETTID)
		(void)as_write(m->as, req->parent_tid, &tid, sizeof(tid));
	if (req->flags & CLONE_CHILD_SETTID)
		(void)as_write(m->as, req->child_tid, &tid, sizeof(tid));
	return (tid);
}

int64_t
sys_clone(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct clone_req req = {
		.flags = a[0] & 0xffffff00,
		.sp = a[1],
		.parent_tid = a[2],
		.child_tid = a[3],
		.tls = a[4],
	};
	int64_t r;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	r = clone_check(m, SYS_clone, "clone", req.flags);
	if (r != 0)
		return (r);
	return (clone_thread(m, t, &req));
}

/* copy_struct_from_user(): what a newer caller adds must be zero */
static int64_t
get_clone_args(struct machine *m, uint64_t ua, uint64_t size,
    struct clone_args *ca)
{
	uint8_t buf[PAGE_SZ];
	size_t n;

	if (size < CLONE_ARGS_SIZE_VER0)
		return (-EINVAL);
	if (size > sizeof(buf))
		return (-E2BIG);
	if (as_read(m->as, ua, buf, size))
		return (-EFAULT);
	for (n = sizeof(*ca); n < size; n++)
		if (buf[n] != 0)
			return (-E2BIG);
	memset(ca, 0, sizeof(*ca));
	memcpy(ca, buf, size < sizeof(*ca) ? size : sizeof(*ca));
	return (0);
}

int64_t
sys_clone3(struct machine *m, struct thread *t, const uint64_t a[6])
{
	struct clone_args ca;
	struct clone_req req;
	int64_t r;

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	r = get_clone_args(m, a[0], a[1], &ca);
	if (r != 0)
		return (r);
	if (ca.flags & (CSIGNAL | CLONE_DETACHED | CLONE_INTO_CGROUP) ||
	    ca.flags >> 34 != 0 || ca.exit_signal > NSIG_GUEST)
		return (-EINVAL);
	if ((ca.flags & (CLONE_THREAD | CLONE_PARENT)) && ca.exit_signal != 0)
		return (-EINVAL);
	if ((ca.flags & CLONE_CLEAR_SIGHAND) && (ca.flags & CLONE_SIGHAND))
		return (-EINVAL);
	if ((ca.stack == 0) != (ca.stack_size == 0) ||
	    (ca.set_tid == 0) != (ca.set_tid_size == 0) ||
	    ca.stack + ca.stack_size < ca.stack)
		return (-EINVAL);
	if (ca.set_tid_size != 0)
		return (-EPERM);
	r = clone_check(m, SYS_clone3, "clone3", ca.flags);
	if (r != 0)
		return (r);
	req = (struct clone_req){
		.flags = ca.flags,
		.sp = ca.stack + ca.stack_size,
		.parent_tid = ca.parent_tid,
		.child_tid = ca.child_tid,
		.tls = ca.tls,
	};
	return (clone_thread(m, t, &req));
}

/* ---- no second process ----------------------------------------------- */

int64_t
sys_fork(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (refuse(m, SYS_fork, "fork", ENOSYS));
}

int64_t
sys_vfork(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (refuse(m, SYS_vfork, "vfork", ENOSYS));
}

int64_t
sys_execve(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (refuse_exec(m, SYS_execve, "execve", a[0]));
}

int64_t
sys_execveat(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	return (refuse_exec(m, SYS_execveat, "execveat", a[1]));
}

/* There never was a child: Linux's answer, which programs that poll for their
 * children understand. */
int64_t
sys_wait4(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (refuse(m, SYS_wait4, "wait4", ECHILD));
}

int64_t
sys_waitid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)t;
	(void)a;
	return (refuse(m, SYS_waitid, "waitid", ECHILD));
}

/* ---- about oneself --------------------------------------------------- */

int64_t
sys_set_tid_address(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	t->clear_tid = a[0];
	return (t->tid);
}

int64_t
sys_gettid(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	(void)a;
	return (t->tid);
}

int64_t
sys_exit(struct machine *m, struct thread *t, const uint64_t a[6])
{

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	if (m->proc.nthreads == 1)
		return (sys_exit_group(m, t, a));
	thread_exit(m, t);
	return (SYS_NORETURN);
}

int64_t
sys_exit_group(struct machine *m, struct thread *t, const uint64_t a[6])
{
	int code = (int)(a[0] & 0xff);

	CHECK_OBJ_NOTNULL(m, MACHINE_MAGIC);
	(void)t;
	proc_gone(m, code << 8);
	machine_fail(m, TKVM_E_EXIT, "the program exited with status %d",
	    code);
	return (SYS_NORETURN);
}

/* struct robust_list_head: three words */
#define ROBUST_HEAD_SIZE	24

int64_t
sys_set_robust_list(struct machine *m, struct thread *t, const uint64_t a[6])
{

	(void)m;
	if (a[1] != ROBUST_HEAD_SIZE)
		return (-EINVAL);
	t->robust = a[0];
	return (0);
}

int64_t
sys_get_robust_list(struct machine *m, struct thread *t, const uint64_t a[6])
{
	uint64_t len = ROBUST_HEAD_SIZE;

	if ((int32_t)a[0] != 0)
		t = thread_find(m, (int32_t)a[0]);
	if (t == NULL)
		return (-ESRCH);
	if (as_write(m->as, a[2], &len, sizeof(len)) ||
	    as_write(m->as, a[1], &t->robust, sizeof(t->robust)))
		return (-EFAULT);
	return (0);
}
