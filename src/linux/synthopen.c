/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Opening the made-up files.  A text, and the list of a directory, is made when
 * the file is opened; a text again when it is read from its start once more.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "linux/synth.h"
#include "linux/sys_files.h"
#include "obj.h"

/* ---- texts ------------------------------------------------------------------------------ */

static int
text_room(struct text *x, size_t len)
{
	size_t size;
	char *p;

	if (x->bad)
		return (-1);
	if (x->p != NULL && x->len + len + 1 <= x->size)
		return (0);
	size = x->size == 0 ? 1024 : x->size;
	while (size < x->len + len + 1)
		size *= 2;
	p = realloc(x->p, size);
	if (p == NULL) {
		x->bad = 1;
		return (-1);
	}
	x->p = p;
	x->size = size;
	return (0);
}

void
text_mem(struct text *x, const void *p, size_t len)
{

	if (text_room(x, len) != 0)
		return;
	(void)memcpy(x->p + x->len, p, len);
	x->len += len;
	x->p[x->len] = '\0';
}

void
text_add(struct text *x, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || text_room(x, (size_t)n) != 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(x->p + x->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	x->len += (size_t)n;
}

static void
text_uuid(struct text *x)
{
	uint8_t b[16] = { 0 };
	unsigned u;

	(void)!getrandom(b, sizeof b, 0);
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	for (u = 0; u < sizeof b; u++)
		text_add(x, "%s%02x", u == 4 || u == 6 || u == 8 || u == 10 ?
		    "-" : "", b[u]);
	text_add(x, "\n");
}

static void
text_clock(struct machine *m, int id, struct text *x)
{
	uint64_t cs = machine_mono(m) / 10000000;

	switch (id) {
	case ID_UPTIME:
		text_add(x, "%ju.%02u %ju.%02u\n", (uintmax_t)(cs / 100),
		    (unsigned)(cs % 100), (uintmax_t)(cs / 100),
		    (unsigned)(cs % 100));
		break;
	case ID_LOADAVG:
		text_add(x, "0.00 0.00 0.00 1/%u %u\n", m->proc.nthreads,
		    m->proc.pid);
		break;
	default:
		text_add(x, "cpu  0 0 0 %ju 0 0 0 0 0 0\n"
		    "cpu0 0 0 0 %ju 0 0 0 0 0 0\nintr 0\nctxt 0\n"
		    "btime %ju\nprocesses 1\nprocs_running 1\n"
		    "procs_blocked 0\n", (uintmax_t)cs, (uintmax_t)cs,
		    (uintmax_t)((machine_real(m) - machine_mono(m)) /
		    1000000000));
		break;
	}
}

static void
text_users(struct machine *m, int group, struct text *x)
{
	uint32_t id = group ? m->proc.gid : m->proc.uid;

	text_add(x, group ? "root:x:0:\n" : "root:x:0:0:root:/:/bin/sh\n");
	if (id != 0 && group)
		text_add(x, "guest:x:%u:\n", id);
	else if (id != 0)
		text_add(x, "guest:x:%u:%u:guest:/:/bin/sh\n", id,
		    m->proc.gid);
}

static void
text_make(struct machine *m, const char *path, const struct synth *syn,
    struct text *x)
{
	const struct synth_entry *e;

	switch (syn->id) {
	case ID_MAPS:
		proc_maps(m, x);
		break;
	case ID_ROLLUP:
		proc_rollup(m, x);
		break;
	case ID_STAT:
		proc_stat(m, syn->arg, x);
		break;
	case ID_STATM:
		proc_statm(m, x);
		break;
	case ID_STATUS:
		proc_status(m, syn->arg, x);
		break;
	case ID_CMDLINE:
		proc_cmdline(m, x);
		break;
	case ID_ENVIRON:
		proc_environ(m, x);
		break;
	case ID_AUXV:
		proc_auxv(m, x);
		break;
	case ID_LIMITS:
		proc_limits(m, x);
		break;
	case ID_COMM:
		proc_comm(m, syn->arg, x);
		break;
	case ID_MOUNTS:
	case ID_MOUNTINFO:
		proc_mounts(m, syn->id == ID_MOUNTINFO, x);
		break;
	case ID_MEMINFO:
		proc_meminfo(m, x);
		break;
	case ID_CPUINFO:
		proc_cpuinfo(m, x);
		break;
	case ID_CPUSTAT:
	case ID_UPTIME:
	case ID_LOADAVG:
		text_clock(m, syn->id, x);
		break;
	case ID_BOOT_ID:
		text_add(x, "%s\n", m->fs->boot_id);
		break;
	case ID_UUID:
		text_uuid(x);
		break;
	case ID_RESOLV:
		if (m->fs->dns != NULL)
			text_add(x, "%s", m->fs->dns);
		break;
	case ID_PASSWD:
	case ID_GROUP:
		text_users(m, syn->id == ID_GROUP, x);
		break;
	default:
		e = synth_entry(path);
		if (e != NULL && e->text != NULL)
			text_add(x, "%s", e->text);
		break;
	}
}

/* ---- directories ------------------------------------------------------------------------------ */

static void
dir_entry(struct text *x, char type, const char *name)
{

	text_mem(x, &type, 1);
	text_mem(x, name, strlen(name) + 1);
}

static void
dir_number(struct text *x, char type, uint32_t n)
{
	char name[16];

	(void)snprintf(name, sizeof name, "%u", n);
	dir_entry(x, type, name);
}

static char
entry_type(const struct synth_entry *e)
{

	switch (e->type) {
	case SYN_DIR:
		return ('d');
	case SYN_LINK:
		return ('l');
	case SYN_DEV:
	case SYN_TTY:
		return ('c');
	default:
		return ('f');
	}
}

static void
dir_make(struct machine *m, const char *path, const struct synth *syn,
    struct text *x)
{
	const struct synth_entry *e;
	size_t len = strcmp(path, "/") == 0 ? 0 : strlen(path);
	char buf[NAME_MAX + 1];
	const char *name;
	unsigned u, n;
	int kind;

	dir_entry(x, 'd', ".");
	dir_entry(x, 'd', "..");
	switch (syn->id) {
	case ID_PID:
	case ID_TASK:
		for (e = synth_table(1, &n); n > 0; n--, e++)
			if (syn->id == ID_PID || e->id != ID_TASKS)
				dir_entry(x, entry_type(e), e->path);
		return;
	case ID_FDS:
		for (u = 0; u < GK_NFD; u++) {
			(void)hfile_get(m, u, &kind);
			if (kind >= 0)
				dir_number(x, 'l', u);
		}
		return;
	case ID_TASKS:
		for (u = 0; u < m->proc.hi_thread && u < MAX_THREADS; u++)
			if (m->thread[u].state != T_FREE)
				dir_number(x, 'd',
				    (uint32_t)m->thread[u].tid);
		return;
	default:
		break;
	}
	for (e = synth_table(0, &n); n > 0; n--, e++) {
		if (!path_covers(path, len, e->path) ||
		    strlen(e->path) <= len + 1)
			continue;
		name = e->path + len + 1;
		if (strchr(name, '/') == NULL)
			dir_entry(x, entry_type(e), name);
	}
	if (strcmp(path, "/proc") == 0)
		dir_number(x, 'd', m->proc.pid);
	for (u = 1; u < m->fs->nmnt; u++) {	/* on the way to a volume */
		if (m->fs->mnt[u].len <= len + 1 ||
		    !path_covers(path, len, m->fs->mnt[u].guest))
			continue;
		name = m->fs->mnt[u].guest + len + 1;
		(void)snprintf(buf, sizeof buf, "%.*s",
		    (int)strcspn(name, "/"), name);
		dir_entry(x, 'd', buf);
	}
}

/* ---- open ----------------------------------------------------------------------------------------- */

static struct hfile *
open_text(struct machine *m, const char *path, const struct synth *syn,
    int *err)
{
	struct text x = { 0 };
	struct hfile *hf;

	if (syn->type == SYN_DIR)
		dir_make(m, path, syn, &x);
	else
		text_make(m, path, syn, &x);
	if (x.p == NULL)
		text_mem(&x, "", 0);
	hf = x.bad ? NULL : hfile_new(syn->type == SYN_DIR ? HF_DIR :
	    HF_TEXT, -1);
	if (hf == NULL) {
		free(x.p);
		*err = -ENOMEM;
		return (NULL);
	}
	hf->text = x.p;
	hf->textlen = x.len;
	hf->made_id = syn->type == SYN_DIR ? ID_FIXED : syn->id;
	hf->made_arg = syn->arg;
	hf->can_read = 1;
	return (hf);
}

/* One of this machine alone, to put a text into */
static struct hfile *
text_own(struct machine *m, struct gk_ofd *ofd, struct hfile *hf)
{
	const uint32_t idx = *(volatile uint32_t *)&ofd->u.host.idx;
	struct hfile *n;

	if (atomic_load(&hf->refs) == 1)
		return (hf);
	if (idx >= MAX_HFILE || m->hfile[idx] != hf)
		return (NULL);
	n = hfile_new(HF_TEXT, -1);
	if (n == NULL)
		return (NULL);
	n->made_id = hf->made_id;
	n->made_arg = hf->made_arg;
	hfile_supersede(m, idx, n);
	return (n);
}

struct hfile *
synth_again(struct machine *m, struct gk_ofd *ofd, struct hfile *hf)
{
	const struct synth syn = { .type = SYN_TEXT, .id = hf->made_id,
	    .arg = hf->made_arg };
	struct text x = { 0 };
	struct hfile *n;

	if (hf->made_id == ID_FIXED)
		return (hf);
	if (!hf->seen && atomic_load(&hf->refs) == 1) {
		hf->seen = 1;
		return (hf);
	}
	text_make(m, "", &syn, &x);
	n = x.bad || x.p == NULL ? NULL : text_own(m, ofd, hf);
	if (n == NULL) {
		free(x.p);
		return (hf);
	}
	free(n->text);
	n->text = x.p;
	n->textlen = x.len;
	n->seen = 1;
	return (n);
}

int64_t
synth_write(struct machine *m, const struct hfile *hf, const struct uvec *u)
{
	uint64_t done = 0;
	unsigned i;
	int64_t r;

	if (hf->made_id != ID_COMM)
		return (-EBADF);
	for (i = 0; i < u->n; i++) {
		r = proc_comm_write(m, hf->made_arg,
		    (uintptr_t)u->v[i].iov_base, u->v[i].iov_len);
		if (r != 0)
			return (done > 0 ? (int64_t)done : r);
		done += u->v[i].iov_len;
	}
	return ((int64_t)done);
}

struct hfile *
synth_open(struct machine *m, const char *path, const struct synth *syn,
    int oflags, int *err)
{
	int acc = oflags & O_ACCMODE;
	struct hfile *hf;

	switch (syn->type) {
	case SYN_DEV:
		hf = hfile_new(syn->dev, -1);
		if (hf == NULL) {
			*err = -ENOMEM;
			return (NULL);
		}
		hf->can_read = acc != O_WRONLY;
		hf->can_write = acc != O_RDONLY;
		return (hf);
	case SYN_DIR:
	case SYN_TEXT:
		if (syn->type == SYN_TEXT && syn->id == ID_COMM) {
			hf = open_text(m, path, syn, err);
			if (hf != NULL) {
				hf->can_read = acc != O_WRONLY;
				hf->can_write = acc != O_RDONLY;
			}
			return (hf);
		}
		if (acc == O_RDONLY && !(oflags & O_TRUNC))
			return (open_text(m, path, syn, err));
		*err = syn->type == SYN_DIR ? -EISDIR : -EACCES;
		return (NULL);
	case SYN_TTY:
		*err = -ENXIO;
		return (NULL);
	default:
		*err = -ENOENT;
		return (NULL);
	}
}
