/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Calling the handler of a system call: first the in-memory kernel
 * (guest/gk_*.c) for what it may own, then the table's own handler.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/options.h"
#include "gk.h"
#include "linux/dispatch.h"
#include "linux/sys_proc.h"
#include "mem/as.h"

/* pselect6 passes a pointer to { mask, size }, the others both in registers. */
static int64_t
wait_mask(struct machine *m, struct thread *t, unsigned arg)
{
	uint64_t p[2] = { t->a[arg], arg < 5 ? t->a[arg + 1] : 8 };

	if (arg == 5 && p[0] != 0 && as_read(m->as, p[0], p, 16) != 0)
		return (-EFAULT);
	return (signal_wait_mask(m, t, p[0], p[1]));
}

static int64_t
gk_call(struct machine *m, struct thread *t)
{
	struct gk_ctx c;
	int64_t r;

	machine_gk_ctx(m, t, &c);
	r = gk_syscall(&c, t->nr, t->a);
	t->deadline = c.deadline;
	t->progress = c.progress;
	if (c.sigpipe)
		signal_sigpipe(m, t);
	return (r);
}

static int64_t
unknown(struct machine *m, const struct thread *t)
{
	const uint64_t nr = t->nr;

	m->st.unknown++;
	if (nr < SYS_MAX && !(m->enosys_seen[nr / 8] & (1u << (nr % 8)))) {
		m->enosys_seen[nr / 8] |= (uint8_t)(1u << (nr % 8));
		machine_log(m, TKVM_LOG_WARN, "system call %lu (%s) is not "
		    "supported: ENOSYS", (unsigned long)nr,
		    sys_table[nr].name != NULL ? sys_table[nr].name :
		    "unknown");
	}
	return (-ENOSYS);
}

int64_t
linux_call(struct machine *m, struct thread *t)
{
	const struct sys_desc *d;
	unsigned mask;
	int64_t r;

	m->st.syscalls++;
	if (t->nr >= SYS_MAX)
		return (unknown(m, t));
	d = &sys_table[t->nr];
	mask = SYS_MASK_ARG(d->flags);
	if (!t->restart) {
		t->deadline = ~0UL;
		t->progress = 0;
		if (mask != 0) {
			r = wait_mask(m, t, mask);
			if (r != 0)
				return (r);
		}
	}
	r = GK_NOTMINE;
	if (d->flags & SYS_GK)
		r = gk_call(m, t);
	if (r == GK_NOTMINE)
		r = d->fn != NULL ? d->fn(m, t, t->a) : unknown(m, t);
	if (r != SYS_BLOCK && r != SYS_NORETURN && mask != 0)
		signal_wait_done(t);
	return (r);
}

/* ---- --verbose-syscalls -------------------------------------------------------------- */

static int
put_str(struct machine *m, uint64_t p, char *b, size_t n)
{
	char s[80];
	int i;

	i = as_strncpy(m->as, s, p, sizeof s);
	if (i == -EFAULT)
		return (snprintf(b, n, "0x%lx", (unsigned long)p));
	s[sizeof s - 1] = '\0';
	for (i = 0; s[i] != '\0'; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == '"' || s[i] == 127)
			s[i] = '.';
	return (snprintf(b, n, "\"%s\"%s", s,
	    i == (int)sizeof s - 1 ? "..." : ""));
}

static int
put_flags(char *b, size_t n, uint64_t v, const char *const *names)
{
	size_t k = 0;
	unsigned i;

	for (i = 0; names[i] != NULL; i++) {
		if (*names[i] == '\0' || !(v & (1UL << i)))
			continue;
		if (k < n)
			k += (size_t)snprintf(b + k, n - k, "%s%s",
			    k > 0 ? "|" : "", names[i]);
		v &= ~(1UL << i);
	}
	if ((v != 0 || k == 0) && k < n)
		k += (size_t)snprintf(b + k, n - k, "%s0x%lx",
		    k > 0 ? "|" : "", (unsigned long)v);
	return ((int)k);
}

static int
put_arg(struct machine *m, unsigned kind, uint64_t v, char *b, size_t n)
{
	static const char *const prot[] = { "READ", "WRITE", "EXEC", NULL };
	static const char *const map[] = { "SHARED", "PRIVATE", "", "",
	    "FIXED", "ANONYMOUS", "32BIT", "", "GROWSDOWN", "", "", "", "",
	    "LOCKED", "NORESERVE", "POPULATE", "NONBLOCK", "STACK",
	    "HUGETLB", "SYNC", "FIXED_NOREPLACE", NULL };
	static const char *const oflags[] = { "O_WRONLY", "O_RDWR", "", "",
	    "", "", "O_CREAT", "O_EXCL", "O_NOCTTY", "O_TRUNC", "O_APPEND",
	    "O_NONBLOCK", "O_DSYNC", "", "O_DIRECT", "", "O_DIRECTORY",
	    "O_NOFOLLOW", "", "O_CLOEXEC", "", "O_PATH", NULL };
	uint64_t ts[2];

	switch (kind) {
	case A_INT:
	case A_FD:
	case A_SIG:
	case A_CLOCK:
	case A_FUTEXOP:
	case A_EPOLLOP:
	case A_OFF:
		return (snprintf(b, n, "%ld", (long)(kind == A_OFF ?
		    (int64_t)v : (int32_t)v)));
	case A_UINT:
	case A_SIZE:
		return (snprintf(b, n, "%lu", (unsigned long)v));
	case A_DIRFD:
		if ((int32_t)v == -100)
			return (snprintf(b, n, "AT_FDCWD"));
		return (snprintf(b, n, "%d", (int32_t)v));
	case A_PATH:
		return (put_str(m, v, b, n));
	case A_PROT:
		return (put_flags(b, n, v, prot));
	case A_MAPFLAGS:
		return (put_flags(b, n, v, map));
	case A_OFLAGS:
		return (put_flags(b, n, v, oflags));
	case A_MODE:
		return (snprintf(b, n, "0%lo", (unsigned long)v));
	case A_TIMESPEC:
		if (v != 0 && as_read(m->as, v, ts, 16) == 0)
			return (snprintf(b, n, "{%ld.%09ld}", (long)ts[0],
			    (long)ts[1]));
		return (snprintf(b, n, v == 0 ? "NULL" : "0x%lx",
		    (unsigned long)v));
	default:
		if (v == 0)
			return (snprintf(b, n, kind == A_HEX ? "0" : "NULL"));
		return (snprintf(b, n, "0x%lx", (unsigned long)v));
	}
}

static void
put_result(char *b, size_t n, const struct sys_desc *d, int64_t r)
{

	if (r == SYS_BLOCK)
		(void)snprintf(b, n, ") = ? (waits)");
	else if (r == SYS_NORETURN)
		(void)snprintf(b, n, ") = ?");
	else if (r < 0 && r > -4096)
		(void)snprintf(b, n, ") = -1 %s (%s)",
		    strerrorname_np((int)-r) != NULL ?
		    strerrorname_np((int)-r) : "?", strerror((int)-r));
	else if (d != NULL && (d->fn == sys_mmap || d->fn == sys_brk ||
	    d->fn == sys_mremap))
		(void)snprintf(b, n, ") = 0x%lx", (unsigned long)r);
	else
		(void)snprintf(b, n, ") = %ld", (long)r);
}

void
linux_trace(struct machine *m, const struct thread *t, int64_t r)
{
	const struct sys_desc *d = NULL;
	char b[512];
	size_t k;
	unsigned i;

	if (!m->opt->verbose_syscalls)
		return;
	if (t->nr < SYS_MAX && sys_table[t->nr].name != NULL)
		d = &sys_table[t->nr];
	if (d == NULL)
		k = (size_t)snprintf(b, sizeof b, "[%d] syscall_%lu(", t->tid,
		    (unsigned long)t->nr);
	else
		k = (size_t)snprintf(b, sizeof b, "[%d] %s%s(", t->tid,
		    t->restart ? "... " : "", d->name);
	for (i = 0; d != NULL && i < 6 && d->arg[i] != A_NONE; i++) {
		if (i > 0)
			k += (size_t)snprintf(b + k, sizeof b - k, ", ");
		k += (size_t)put_arg(m, d->arg[i], t->a[i], b + k,
		    sizeof b - k);
		if (k > sizeof b - 100)
			break;
	}
	if (k >= sizeof b)		/* what there was no room for counts */
		k = sizeof b - 1;
	put_result(b + k, sizeof b - k, d, r);
	machine_log(m, TKVM_LOG_SYSCALL, "%s", b);
}
