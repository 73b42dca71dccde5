/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kvmserver locks itself up before it boots a program: no new privileges,
 * Landlock (files and connections that the options do not allow are out of
 * reach of the whole process, too) and a system call filter (jail_seccomp.c).
 *
 * Before the first thread is started: Landlock holds for the thread that asks
 * for it and its children.  /dev/kvm has been opened by then, and what is not
 * open stays closed.
 *
 * The rules of the guest are kept by src/linux as before; this is the second
 * wall.  It goes by folders: a rule for a file lets its folder be used, since
 * the file may be replaced.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "obj.h"
#include "server/jail.h"

/* Linux's Documentation/userspace-api/landlock.rst; headers may be older. */
#ifndef SYS_landlock_create_ruleset
#  define SYS_landlock_create_ruleset	444
#  define SYS_landlock_add_rule		445
#  define SYS_landlock_restrict_self	446
#endif
#define LL_VERSION	1u
#define LL_PATH_BENEATH	1
#define LL_WRITE_FILE	(1UL << 1)
#define LL_READ_FILE	(1UL << 2)
#define LL_READ_DIR	(1UL << 3)
#define LL_REMOVE_FILE	(1UL << 5)
#define LL_MAKE_CHAR	(1UL << 6)
#define LL_MAKE_REG	(1UL << 8)
#define LL_MAKE_SOCK	(1UL << 9)
#define LL_MAKE_BLOCK	(1UL << 11)
#define LL_TRUNCATE	(1UL << 14)
#define LL_IOCTL_DEV	(1UL << 15)
#define LL_CONNECT_TCP	(1UL << 1)
#define LL_SCOPE_SIGNAL	(1UL << 1)

#define LL_READ		(LL_READ_FILE | LL_READ_DIR)
/* all but execute and what makes devices */
#define LL_WRITE	(((1UL << 15) - 2) & ~(LL_READ | LL_MAKE_CHAR |	\
			    LL_MAKE_BLOCK))
#define LL_OF_FILES	(1UL | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE)

struct ll_ruleset {			/* struct landlock_ruleset_attr */
	uint64_t	fs, net, scoped;
};

struct ll_beneath {			/* struct landlock_path_beneath_attr */
	uint64_t	access;
	int32_t		fd;
} __attribute__((packed));

struct ll {
	int		abi, fd;
	struct ll_ruleset set;
};

/* ---- Landlock ------------------------------------------------------------ */

/* Access below what is open; files have fewer rights than folders. */
static void
ll_add(const struct ll *l, int fd, uint64_t access)
{
	struct ll_beneath b;
	struct stat st;

	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		access &= LL_OF_FILES;
	b.access = access & l->set.fs;
	b.fd = fd;
	if (b.access != 0)
		(void)syscall(SYS_landlock_add_rule, l->fd, LL_PATH_BENEATH,
		    &b, 0);
}

/* ... below this folder, or the nearest one above that is there */
static void
ll_folder(const struct ll *l, const char *path, uint64_t access)
{
	char buf[PATH_MAX], *slash;
	int fd;

	(void)snprintf(buf, sizeof buf, "%s", path);
	while ((fd = open(buf, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
		slash = strrchr(buf, '/');
		if (slash == NULL || buf[1] == '\0')
			return;
		slash[slash == buf] = '\0';
	}
	ll_add(l, fd, access);
	(void)close(fd);
}

/* ... of this file or folder, relative to the program's */
static void
ll_path(const struct ll *l, const struct tkvm_options *o, const char *path,
    uint64_t access)
{
	char buf[PATH_MAX];

	if (*path == '/')
		(void)snprintf(buf, sizeof buf, "%s", path);
	else
		(void)snprintf(buf, sizeof buf, "%s/%s",
		    o->cwd != NULL ? o->cwd : "", path);
	ll_folder(l, buf, access);
}

static void
ll_allow(const struct ll *l, const struct tkvm_options *o,
    const struct allow *a, uint64_t access)
{
	unsigned u;

	if (a->all || o->allow_all)
		ll_folder(l, "/", access);
	for (u = 0; u < a->rule.n; u++)
		ll_path(l, o, a->rule.v[u], access);
}

/* The folder of the program, and of the interpreters of scripts */
static void
ll_program(const struct ll *l, const struct tkvm_options *o)
{
	char path[PATH_MAX], head[256], *p;
	ssize_t n;
	int i, fd;

	(void)snprintf(path, sizeof path, "%s", o->program);
	for (i = 0; i < 5; i++) {
		ll_path(l, o, path, LL_READ);
		/* and where a symbolic link leads to */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		p = realpath(path, NULL);
		if (p != NULL)
			ll_folder(l, p, LL_READ);
		free(p);
		n = fd >= 0 ? read(fd, head, sizeof head - 1) : 0;
		if (fd >= 0)
			(void)close(fd);
		if (n < 3 || head[0] != '#' || head[1] != '!')
			return;
		head[n] = '\0';
		p = head + 2 + strspn(head + 2, " \t");
		p[strcspn(p, " \t\r\n")] = '\0';
		(void)snprintf(path, sizeof path, "%s", p);
	}
}

/* Of our own: libraries that look names up load, and their files */
static void
ll_ours(const struct ll *l, const struct args *a)
{
	static const char *const lib[] = { "/lib", "/lib64", "/usr/lib",
	    "/usr/lib64", "/usr/local/lib" };
	static const char *const etc[] = { "/etc/hosts", "/etc/host.conf",
	    "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
	    "/etc/services", "/etc/ld.so.cache", "/etc/passwd",
	    "/etc/localtime" };
	const char *file[] = { a->stats, a->opt->audit };
	unsigned u;
	int fd;

	for (u = 0; u < NELEM(lib); u++)
		ll_folder(l, lib[u], LL_READ);
	for (u = 0; u < NELEM(etc); u++) {
		fd = open(etc[u], O_PATH | O_CLOEXEC);
		if (fd < 0)
			continue;
		ll_add(l, fd, LL_READ);
		(void)close(fd);
	}
	for (u = 0; u < NELEM(file); u++) {
		if (file[u] == NULL)
			continue;
		if (strncmp(file[u], "/dev/", 5) != 0) {
			ll_folder(l, *file[u] == '/' ? file[u] : ".",
			    LL_WRITE_FILE | LL_TRUNCATE | LL_MAKE_REG |
			    LL_REMOVE_FILE);
			continue;
		}
		fd = open(file[u], O_PATH | O_CLOEXEC);
		if (fd < 0)
			continue;
		ll_add(l, fd, LL_WRITE_FILE);
		(void)close(fd);
	}
}

/* Unix sockets that we serve, or that the program may say to serve */
static void
ll_sockets(struct ll *l, const struct tkvm_options *o)
{
	const struct allow *a[] = { &o->allow_listen, &o->allow_net };
	const uint64_t access = LL_MAKE_SOCK | LL_REMOVE_FILE;
	unsigned u, v;

	if (o->listen != NULL && !strncmp(o->listen, "unix:/", 6))
		ll_folder(l, o->listen + 5, access);
	for (u = 0; u < NELEM(a); u++)
		for (v = 0; v < a[u]->rule.n; v++)
			if (!strncmp(a[u]->rule.v[v], "unix:/", 6))
				ll_folder(l, a[u]->rule.v[v] + 5, access);
}

static void
ll_handled(struct ll *l, const struct tkvm_options *o)
{

	l->set.fs = (1UL << 13) - 1;
	if (l->abi >= 2)
		l->set.fs |= 1UL << 13;		/* REFER */
	if (l->abi >= 3)
		l->set.fs |= LL_TRUNCATE;
	if (l->abi >= 5)
		l->set.fs |= LL_IOCTL_DEV;
	/* It may say any Unix socket. */
	if (o->listen == NULL && (o->allow_listen.all || o->allow_net.all ||
	    o->allow_all))
		l->set.fs &= ~(LL_MAKE_SOCK | LL_REMOVE_FILE);
	if (l->abi >= 4 && !o->allow_all && !o->allow_net.all &&
	    !o->allow_connect.all && o->allow_net.rule.n == 0 &&
	    o->allow_connect.rule.n == 0)
		l->set.net = LL_CONNECT_TCP;
	if (l->abi >= 6)
		l->set.scoped = LL_SCOPE_SIGNAL;
}

/* The kernel's version of it, 0: it has none; -1 with *err */
static int
landlock(const struct args *a, struct tkvm_error *err)
{
	const struct tkvm_options *o = a->opt;
	struct ll l;
	unsigned u;
	int r;

	memset(&l, 0, sizeof l);
	l.abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
	if (l.abi <= 0)
		return (0);
	ll_handled(&l, o);
	/* Older kernels know the first fields only. */
	l.fd = (int)syscall(SYS_landlock_create_ruleset, &l.set,
	    l.abi >= 6 ? 24UL : l.abi >= 4 ? 16UL : 8UL, 0);
	if (l.fd < 0)
		return (err_set(err, TKVM_E_INTERNAL, "Landlock: %s",
		    strerror(errno)));
	ll_program(&l, o);
	ll_ours(&l, a);
	ll_sockets(&l, o);
	ll_allow(&l, o, &o->allow_read, LL_READ);
	ll_allow(&l, o, &o->allow_write, LL_WRITE);
	for (u = 0; u < o->nvolume; u++)
		ll_path(&l, o, o->volume[u].host,
		    (o->volume[u].read ? LL_READ : 0) |
		    (o->volume[u].write ? LL_WRITE : 0));
	r = (int)syscall(SYS_landlock_restrict_self, l.fd, 0);
	if (r != 0)
		(void)err_set(err, TKVM_E_INTERNAL, "Landlock: %s",
		    strerror(errno));
	(void)close(l.fd);
	return (r != 0 ? -1 : l.abi);
}

/* ---- */

void
jail_enter(const struct args *a)
{
	struct tkvm_error err;
	char part[2][100] = { "", "" };
	int abi, filter;

	if (a->opt->no_jail) {
		logf_line(TKVM_LOG_INFO, "no jail (--no-jail)");
		return;
	}
#ifdef __SANITIZE_ADDRESS__
	/* At its end it reads /proc, and is traced by a child. */
	logf_line(TKVM_LOG_INFO, "no jail (built with a sanitizer)");
	return;
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0) {
		logf_line(TKVM_LOG_WARN, "no jail: PR_SET_NO_NEW_PRIVS: %s",
		    strerror(errno));
		return;
	}
	abi = landlock(a, &err);
	if (abi < 0)
		logf_line(TKVM_LOG_WARN, "%s", err.text);
	(void)snprintf(part[0], sizeof part[0], abi > 0 ? "Landlock (ABI %d)" :
	    "no Landlock (not in this kernel, or off)", abi);
	filter = jail_seccomp(&err);
	if (filter < 0)
		logf_line(TKVM_LOG_WARN, "%s", err.text);
	(void)snprintf(part[1], sizeof part[1], "%s", filter > 0 ?
	    "system call filter" : "no system call filter (kvmserver was "
	    "built without libseccomp)");
	logf_line(TKVM_LOG_INFO, "jail: no new privileges, %s, %s", part[0],
	    part[1]);
}
