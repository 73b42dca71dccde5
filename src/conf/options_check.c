/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What can be known about a tenant before it boots.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/addr_rule.h"
#include "conf/conf_int.h"
#include "error.h"
#include "obj.h"

int
opt_resolve(struct tkvm_options *o, struct tkvm_error *err)
{
	char *path;

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	if (o->cwd != NULL) {
		path = path_canon(o->cwd, NULL);
		if (path == NULL)
			return (opt_err(o, err, TKVM_E_CONFIG,
			    "cwd: path too long"));
		free(o->cwd);
		o->cwd = path;
	}
	if (program_find(o, &path, err) != 0)
		return (-1);
	free(o->program);
	o->program = path;
	return (0);
}

static int
check_cwd(const struct tkvm_options *o, struct tkvm_error *err)
{
	struct stat st;

	if (o->cwd == NULL)
		return (0);
	if (stat(o->cwd, &st) != 0)
		return (opt_err(o, err, TKVM_E_CONFIG, "cwd: %s: %s", o->cwd,
		    errno == ENOENT ? "no such folder" : strerror(errno)));
	if (!S_ISDIR(st.st_mode))
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "cwd: %s: not a folder", o->cwd));
	return (0);
}

static int
check_volumes(const struct tkvm_options *o, struct tkvm_error *err)
{
	const struct volume *v;
	unsigned u, w;

	for (u = 0; u < o->nvolume; u++) {
		v = &o->volume[u];
		if (access(v->host, F_OK) != 0)
			return (opt_err(o, err, TKVM_E_CONFIG,
			    "volume: %s: %s (the first path is the host's)",
			    v->host, errno == ENOENT ?
			    "no such file or folder" : strerror(errno)));
		for (w = 0; w < u; w++)
			if (strcmp(v->guest, o->volume[w].guest) == 0)
				return (opt_err(o, err, TKVM_E_CONFIG,
				    "volume: two for %s", v->guest));
	}
	return (0);
}

static int
check_allow(const struct tkvm_options *o, struct tkvm_error *err)
{
	const struct opt_desc *d;
	const struct allow *a;
	unsigned u;

	if (!o->allow_all)
		return (0);
	for (u = 0; u < opt_ntable; u++) {
		d = &opt_table[u];
		if (d->type != OPT_ALLOW)
			continue;
		a = OPT_CFIELD(o, d, struct allow);
		if (a == &o->deny_connect)
			continue;
		if (a->all || a->rule.n > 0)
			return (opt_err(o, err, TKVM_E_CONFIG, "%s: allow-all "
			    "allows it already, use one of them", d->name));
	}
	return (0);
}

static int
check_numbers(const struct tkvm_options *o, struct tkvm_error *err)
{

	if (o->max_main_memory > o->max_address_space)
		return (opt_err(o, err, TKVM_E_CONFIG, "max-main-memory: "
		    "expected at most max-address-space (%u MiB), got %u",
		    o->max_address_space, o->max_main_memory));
	return (0);
}

/* As it is written: what the program listens on is compared as text. */
static int
is_port(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return (n > 0 && n <= 5 && s[n] == '\0' && *s != '0' &&
	    strtoul(s, NULL, 10) <= 65535);
}

static int
check_listen(const struct tkvm_options *o, struct tkvm_error *err)
{
	struct sockaddr_storage ss;
	socklen_t len;

	if (o->listen != NULL && addr_parse(o->listen, &ss, &len) != 0)
		return (opt_err(o, err, TKVM_E_CONFIG, "listen: expected "
		    "HOST:PORT, [V6]:PORT or unix:/PATH, got \"%s\"",
		    o->listen));
	if (o->guest_listen != NULL && !is_port(o->guest_listen) &&
	    strncmp(o->guest_listen, "unix:", 5) != 0)
		return (opt_err(o, err, TKVM_E_CONFIG, "guest-listen: "
		    "expected PORT or unix:/PATH, got \"%s\"",
		    o->guest_listen));
	return (0);
}

static int
check_audit(const struct tkvm_options *o, struct tkvm_error *err)
{
	int fd;

	if (o->audit == NULL)
		return (0);
	fd = open(o->audit, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
	    O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0)
		return (opt_err(o, err, TKVM_E_CONFIG,
		    "audit: cannot write %s: %s", o->audit, strerror(errno)));
	(void)close(fd);
	return (0);
}

static int
check_resolved(const struct tkvm_options *o, struct tkvm_error *err)
{

	if (check_cwd(o, err) != 0 || check_volumes(o, err) != 0 ||
	    check_allow(o, err) != 0 || check_numbers(o, err) != 0 ||
	    check_listen(o, err) != 0 || check_audit(o, err) != 0)
		return (-1);
	return (program_check(o, o->program, err));
}

int
tkvm_options_check(const struct tkvm_options *o, struct tkvm_error *err)
{
	struct tkvm_options *r;
	int rv;

	CHECK_OBJ_NOTNULL(o, OPTIONS_MAGIC);
	r = tkvm_options_dup(o);
	if (r == NULL)
		return (opt_err(o, err, TKVM_E_MEMORY, "out of memory"));
	rv = opt_resolve(r, err);
	if (rv == 0)
		rv = check_resolved(r, err);
	tkvm_options_free(&r);
	return (rv);
}
