/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What of the host a guest may see: volumes, allow-read, allow-write.
 *
 * Rules are about canonical paths (no symlink, no dot) and go by components:
 * a rule covers its path and what is below.  Reading and writing are separate;
 * either lets stat(2) see the file, and so is the way down to it.
 *
 * Rules are made canonical once, on the host.  A symlink that a guest could
 * have made (one below something writable) is not followed then: otherwise a
 * guest could, for its next boot, turn a rule to wherever it likes.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "conf/options.h"
#include "linux/audit.h"
#include "linux/sys_files.h"
#include "obj.h"

int
path_covers(const char *dir, size_t dirlen, const char *path)
{

	if (strncmp(dir, path, dirlen) != 0)
		return (0);
	return (path[dirlen] == '\0' || path[dirlen] == '/');
}

/* ---- rules to canonical paths --------------------------------------------- */

/* Could a guest have put a symlink there? */
static int
guest_made(const struct fs *fs, const char *path)
{
	unsigned u;

	/* Who may write all of the host needs no such trick. */
	for (u = 0; u < fs->nrule; u++)
		if ((fs->rule[u].perm & PERM_W) && fs->rule[u].len > 0 &&
		    path_covers(fs->rule[u].path, fs->rule[u].len, path))
			return (1);
	for (u = 1; u < fs->nmnt; u++)
		if ((fs->mnt[u].perm & PERM_W) && *fs->mnt[u].host != '\0' &&
		    path_covers(fs->mnt[u].host, strlen(fs->mnt[u].host),
		    path))
			return (1);
	return (0);
}

struct canon {
	char	done[PATH_MAX];
	char	rest[PATH_MAX];
	char	link[PATH_MAX];
	char	tmp[PATH_MAX];
};

/* 1: done names a symlink and rest now begins with its text. */
static int
canon_link(const struct fs *fs, struct canon *c, size_t keep)
{
	ssize_t l;
	int fd, n;

	fd = host_open_beneath(fs->mnt[0].fd, c->done + 1,
	    O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return (0);
	l = readlinkat(fd, "", c->link, sizeof c->link - 1);
	(void)close(fd);
	if (l <= 0 || guest_made(fs, c->done))
		return (0);
	c->link[l] = '\0';
	n = snprintf(c->tmp, sizeof c->tmp, "%s/%s", c->link, c->rest);
	if (n < 0 || (size_t)n >= sizeof c->tmp)
		return (0);
	(void)memcpy(c->rest, c->tmp, (size_t)n + 1);
	c->done[c->link[0] == '/' ? 0 : keep] = '\0';
	return (1);
}

/* The canonical form, "" for the root; NULL: no memory, or no such thing. */
static char *
canon(const struct fs *fs, const char *path, int follow)
{
	struct canon *c;
	char *p, *r = NULL;
	size_t len, keep;
	unsigned links = 0;

	if (*path != '/' || strlen(path) >= PATH_MAX)
		return (NULL);
	c = calloc(1, sizeof *c);
	if (c == NULL)
		return (NULL);
	(void)strcpy(c->rest, path);
	for (;;) {
		p = c->rest + strspn(c->rest, "/");
		len = strcspn(p, "/");
		keep = strlen(c->done);
		if (len == 0) {
			r = strdup(c->done);
			break;
		}
		if (len == 2 && memcmp(p, "..", 2) == 0) {
			while (keep > 0 && c->done[--keep] != '/')
				continue;
			c->done[keep] = '\0';
		} else if (len != 1 || *p != '.') {
			if (keep + len + 2 > sizeof c->done)
				break;
			c->done[keep] = '/';
			(void)memcpy(c->done + keep + 1, p, len);
			c->done[keep + 1 + len] = '\0';
		}
		(void)memmove(c->rest, p + len, strlen(p + len) + 1);
		if (follow && strlen(c->done) > keep &&
		    links < MAX_SYMLINKS && canon_link(fs, c, keep))
			links++;
	}
	free(c);
	return (r);
}

static int
rule_add(struct fs *fs, char *path, unsigned perm, unsigned exact,
    unsigned seen_only)
{
	struct fs_rule *r;

	r = realloc(fs->rule, (fs->nrule + 1) * sizeof *r);
	if (r == NULL) {
		free(path);
		return (-ENOMEM);
	}
	fs->rule = r;
	r += fs->nrule++;
	(void)memset(r, 0, sizeof *r);
	r->path = path;
	r->len = strlen(path);
	r->perm = perm;
	r->exact = exact;
	r->seen_only = seen_only;
	return (0);
}

static int
rules_add(struct fs *fs, const struct allow *a, unsigned perm)
{
	char *asis, *path;
	unsigned u;

	for (u = 0; u < a->rule.n; u++) {
		asis = canon(fs, a->rule.v[u], 0);
		path = canon(fs, a->rule.v[u], 1);
		if (path == NULL) {
			free(asis);
			continue;	/* it can match nothing */
		}
		if (rule_add(fs, path, perm, 0, 0) != 0) {
			free(asis);
			return (-ENOMEM);
		}
		/* /lib for /usr/lib: programs lstat it on their way */
		if (asis != NULL && strcmp(asis, path) != 0) {
			if (rule_add(fs, asis, 0, 1, 1) != 0)
				return (-ENOMEM);
		} else
			free(asis);
	}
	return (0);
}

static int
mount_add(struct fs *fs, char *guest, char *host, unsigned perm)
{
	struct mount *m;

	if (guest == NULL || host == NULL)
		goto fail;
	m = realloc(fs->mnt, (fs->nmnt + 1) * sizeof *m);
	if (m == NULL)
		goto fail;
	fs->mnt = m;
	m += fs->nmnt++;
	(void)memset(m, 0, sizeof *m);
	m->guest = guest;
	m->len = strlen(guest);
	m->host = host;
	m->perm = perm;
	if (fs->nmnt == 1)
		m->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	else
		m->fd = host_open_beneath(fs->mnt[0].fd,
		    *host == '\0' ? "" : host + 1, O_PATH | O_NOFOLLOW);
	return (0);
fail:
	free(guest);
	free(host);
	return (-ENOMEM);
}

/* Those that can be written first: see guest_made(). */
static int
mounts_add(struct fs *fs, const struct tkvm_options *o, int write)
{
	const struct volume *v;
	unsigned u;

	for (u = 0; u < o->nvolume; u++) {
		v = &o->volume[u];
		if (!v->write != !write)
			continue;
		if (mount_add(fs, canon(fs, v->guest, 0),
		    canon(fs, v->host, 1), (v->read ? PERM_R : 0) |
		    (v->write ? PERM_W : 0)) != 0)
			return (-ENOMEM);
	}
	return (0);
}

static void
make_boot_id(char *id)
{
	uint8_t b[16] = { 0 };
	unsigned u, n = 0;

	(void)!getrandom(b, sizeof b, GRND_NONBLOCK);
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	for (u = 0; u < sizeof b; u++) {
		if (u == 4 || u == 6 || u == 8 || u == 10)
			id[n++] = '-';
		n += (unsigned)sprintf(id + n, "%02x", b[u]);
	}
}

static int
private_tmp(const struct fs *fs, const struct tkvm_options *o)
{

	if (o->private_tmp != NULL && !strcmp(o->private_tmp, "on"))
		return (1);
	if (o->private_tmp != NULL && !strcmp(o->private_tmp, "off"))
		return (0);
	return (!fs->all_write);
}

static int
fs_fill(struct fs *fs, struct machine *m)
{
	const struct tkvm_options *o = m->opt;

	fs->all_read = o->allow_all || o->allow_read.all;
	fs->all_write = o->allow_all || o->allow_write.all;
	/* Who may write everywhere means the host's /tmp; the host's /dev is
	 * never shown. */
	if (m->mfs != NULL)
		fs->mem = FS_SHM | (private_tmp(fs, o) ? FS_TMP : 0);
	make_boot_id(fs->boot_id);
	if (mount_add(fs, strdup(""), strdup(""), 0) != 0 ||
	    fs->mnt[0].fd < 0)
		return (-1);
	if (mounts_add(fs, o, 1) != 0 ||
	    rules_add(fs, &o->allow_write, PERM_W) != 0 ||
	    mounts_add(fs, o, 0) != 0 ||
	    rules_add(fs, &o->allow_read, PERM_R) != 0)
		return (-1);
	return (net_rules(fs, m));
}

struct fs *
fs_get(struct machine *m)
{
	struct fs *fs;

	if (m->fs != NULL) {
		CHECK_OBJ(m->fs, FS_MAGIC);
		return (m->fs);
	}
	ALLOC_OBJ(fs, FS_MAGIC);
	if (fs == NULL)
		return (NULL);
	atomic_init(&fs->refs, 1);
	atomic_init(&fs->audit_full, 0);
	fs->audit = audit_open(m->opt);
	if (fs->audit < -1)
		machine_log(m, TKVM_LOG_ERROR, "audit: %s: %s", m->opt->audit,
		    strerror(-fs->audit));
	if (fs_fill(fs, m) != 0)
		fs_unref(&fs);
	m->fs = fs;
	return (fs);
}

void
fs_unref(struct fs **p)
{
	struct fs *fs;
	unsigned u;

	TAKE_OBJ_NOTNULL(fs, p, FS_MAGIC);
	if (atomic_fetch_sub(&fs->refs, 1) > 1)
		return;
	for (u = 0; u < fs->nmnt; u++) {
		free(fs->mnt[u].guest);
		free(fs->mnt[u].host);
		if (fs->mnt[u].fd >= 0)
			(void)close(fs->mnt[u].fd);
	}
	free(fs->mnt);
	for (u = 0; u < fs->nrule; u++)
		free(fs->rule[u].path);
	free(fs->rule);
	for (u = 0; u < fs->nnet; u++)
		free(fs->net[u]);
	free(fs->net);
	for (u = 0; u < fs->ndeny; u++)
		free(fs->deny[u]);
	free(fs->deny);
	if (fs->audit >= 0)
		(void)close(fs->audit);
	free(fs->dns);
	FREE_OBJ(fs);
}

int
fs_allow_file(struct fs *fs, const char *path)
{
	char *p;
	unsigned u;

	for (u = 0; u < fs->nrule; u++)
		if ((fs->rule[u].perm & PERM_R) &&
		    strcmp(fs->rule[u].path, path) == 0)
			return (0);
	p = strdup(path);
	if (p == NULL)
		return (-ENOMEM);
	return (rule_add(fs, p, PERM_R, 1, 0));
}

/* ---- questions --------------------------------------------------------------- */

static const char * const synth_root[] = { "/proc", "/sys", "/dev" };

static int
rule_covers(const struct fs_rule *r, const char *path)
{

	if (r->exact)
		return (strcmp(r->path, path) == 0);
	return (path_covers(r->path, r->len, path));
}

static int
host_ok(const struct fs *fs, const char *path, unsigned want)
{
	unsigned u, have = 0;

	if (fs->all_read)
		have |= PERM_R;
	if (fs->all_write)
		have |= PERM_W;
	for (u = 0; u < fs->nrule; u++)
		if (rule_covers(&fs->rule[u], path))
			have |= fs->rule[u].perm |
			    (fs->rule[u].seen_only ? PERM_STAT : 0);
	if (have & (PERM_R | PERM_W))
		have |= PERM_STAT;
	return ((want & ~have) == 0);
}

/* Is it on the way down to something that can be seen? */
static int
on_the_way(const struct fs *fs, const char *path)
{
	size_t len = strlen(path), u;

	for (u = 0; u < fs->nrule; u++)
		if (path_covers(path, len, fs->rule[u].path))
			return (1);
	for (u = 1; u < fs->nmnt; u++)
		if (path_covers(path, len, fs->mnt[u].guest))
			return (1);
	return (0);
}

static const char * const mem_root[] = { "/tmp", "/dev/shm" };

/*
 * Is the path in a file system in memory?  What a rule names below one is the
 * host's: the operator has asked for it.
 */
static int
in_memory(const struct fs *fs, const char *path, size_t mntlen)
{
	const struct fs_rule *r;
	size_t len;
	unsigned u, i;

	for (u = 0; u < NELEM(mem_root); u++) {
		len = strlen(mem_root[u]);
		if (!(fs->mem & (1u << u)) || len <= mntlen || !path_covers(mem_root[u], len, path))
			continue;
		for (i = 0; i < fs->nrule; i++) {
			r = &fs->rule[i];
			if (r->len >= len && path_covers(mem_root[u], len,
			    r->path) && rule_covers(r, path))
				return (0);
		}
		return (1);
	}
	return (0);
}

unsigned
fs_mount(const struct fs *fs, const char *path, const char **rel)
{
	unsigned u, best = 0;
	size_t len, bestlen = 0;

	for (u = 1; u < fs->nmnt; u++)
		if (fs->mnt[u].len >= bestlen &&
		    path_covers(fs->mnt[u].guest, fs->mnt[u].len, path)) {
			best = u;
			bestlen = fs->mnt[u].len;
		}
	if (in_memory(fs, path, bestlen))
		return (MNT_MEM);
	for (u = 0; u < NELEM(synth_root); u++) {
		len = strlen(synth_root[u]);
		if (len > bestlen && path_covers(synth_root[u], len, path))
			return (MNT_SYNTH);
	}
	if (best == 0 && synth_etc(path) && !host_ok(fs, path, PERM_R))
		return (MNT_SYNTH);
	*rel = path + bestlen + (path[bestlen] == '/');
	return (best);
}

int
perm_ok(const struct fs *fs, unsigned mnt, const char *path, unsigned want)
{
	unsigned have;

	if (*path == '/' && path[1] == '\0')
		path = "";
	if (mnt == MNT_MEM)
		return (1);		/* its own mode bits count */
	if (mnt == MNT_SYNTH)
		return ((want & PERM_W) == 0);
	if (mnt == 0) {
		if (host_ok(fs, path, want))
			return (1);
	} else {
		have = fs->mnt[mnt].perm;
		if (have != 0)
			have |= PERM_STAT;
		if ((want & ~have) == 0)
			return (1);
	}
	return (want == PERM_STAT && (*path == '\0' || on_the_way(fs, path)));
}

int
fs_is_mount(const struct fs *fs, const char *path)
{
	unsigned u;

	for (u = 0; u < fs->nmnt; u++)
		if (strcmp(fs->mnt[u].guest, path) == 0)
			return (1);
	for (u = 0; u < NELEM(synth_root); u++)
		if (strcmp(synth_root[u], path) == 0)
			return (1);
	for (u = 0; u < NELEM(mem_root); u++)
		if ((fs->mem & (1u << u)) && strcmp(mem_root[u], path) == 0)
			return (1);
	return (strcmp(path, "/") == 0);
}

int
fs_above_mount(const struct fs *fs, const char *path)
{
	size_t len = strlen(path);
	unsigned u;

	for (u = 1; u < fs->nmnt; u++)
		if (fs->mnt[u].len > len &&
		    path_covers(path, len, fs->mnt[u].guest))
			return (1);
	return (0);
}

int
fs_above_rule(const struct fs *fs, const char *path)
{
	size_t len = strlen(path);
	unsigned u;

	for (u = 0; u < fs->nrule; u++)
		if (fs->rule[u].len > len && !fs->rule[u].seen_only &&
		    path_covers(path, len, fs->rule[u].path))
			return (1);
	return (0);
}

int
fs_is_rule(const struct fs *fs, const char *path)
{
	unsigned u;

	for (u = 0; u < fs->nrule; u++)
		if (!fs->rule[u].seen_only &&
		    strcmp(fs->rule[u].path, path) == 0)
			return (1);
	return (0);
}

/* ---- refusals ------------------------------------------------------------------ */

/* For what lies in a volume that volume's rights count. */
static void
audit_file(struct machine *m, const char *path, unsigned want,
    const char *opt)
{
	const char *rel, *access = (want & PERM_W) ? "write" : "read";
	char value[2 * PATH_MAX + 8];
	const struct mount *mnt;
	unsigned n;

	if (m->fs == NULL || m->fs->audit < 0)
		return;
	n = fs_mount(m->fs, path, &rel);
	if (n == 0 || n >= m->fs->nmnt) {
		audit_refused(m, access, path, opt, path, NULL);
		return;
	}
	mnt = &m->fs->mnt[n];
	(void)snprintf(value, sizeof value, "%s:%s:rw", mnt->host,
	    mnt->guest);
	audit_refused(m, access, path, "volume", value, NULL);
}

int
perm_refuse(struct machine *m, const char *path, unsigned want)
{
	const char *opt = (want & PERM_W) ? "allow-write" : "allow-read";

	audit_file(m, path, want, opt);

	/* What is not there either does not explain why a boot failed. */
	if (m->stage == M_BOOT && (m->refused_by == NULL ||
	    access(path, F_OK) == 0)) {
		(void)snprintf(m->refused, sizeof m->refused, "%s", path);
		m->refused_by = opt;
	}
	if (m->opt->verbose && m->fs != NULL &&
	    fs_tell_once(m->fs, opt, path))
		machine_log(m, TKVM_LOG_INFO, "%s: not allowed to %s (%s=%s "
		    "would allow it)", path, (want & PERM_W) ? "write" :
		    "read", opt, path);
	return (-EACCES);
}
