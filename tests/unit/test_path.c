/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Resolution of guest paths and the rules about them, through the system calls
 * themselves, on a real directory tree.  The machine is a fake one: guest
 * memory is this process's.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/options.h"
#include "linux/sys_files.h"
#include "obj.h"
#include "file_fake.h"

#define SECRET	"do not read me"

static char base[200];		/* canonical */
static struct tkvm_options opt;
static struct machine *m;
static struct gk *gk;

/* ---- the tree ------------------------------------------------------------------------ */

static const char *
P(const char *rel)
{
	static char buf[8][PATH_MAX];
	static unsigned n;
	char *p = buf[n++ % 8];

	(void)snprintf(p, PATH_MAX, "%s/%s", base, rel);
	return (p);
}

static void
put(const char *rel, const char *text)
{
	FILE *f = fopen(P(rel), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
dir(const char *rel)
{

	assert_int_equal(mkdir(P(rel), 0755), 0);
}

static void
lnk(const char *text, const char *rel)
{

	assert_int_equal(symlink(text, P(rel)), 0);
}

static int
exists(const char *rel)
{
	struct stat st;

	return (lstat(P(rel), &st) == 0);
}

/* ---- the fake machine -------------------------------------------------------------------- */

static void
list_add(struct strlist *l, const char *s)
{

	l->v = realloc(l->v, (l->n + 1) * sizeof *l->v);
	assert_non_null(l->v);
	l->v[l->n++] = strdup(s);
}

static void
list_free(struct strlist *l)
{

	while (l->n > 0)
		free(l->v[--l->n]);
	free(l->v);
	l->v = NULL;
}

static void
volume(const char *host, const char *guest, int r, int w)
{
	struct volume *v;

	opt.volume = realloc(opt.volume, (opt.nvolume + 1) * sizeof *v);
	assert_non_null(opt.volume);
	v = &opt.volume[opt.nvolume++];
	v->host = strdup(host);
	v->guest = strdup(guest);
	v->read = r;
	v->write = w;
}

static void
machine_stop(void)
{
	struct gk_ctx c;
	unsigned u;

	machine_gk_ctx(m, NULL, &c);
	for (u = 0; u < GK_NFD; u++)
		(void)gk_fd_close(&c, u);
	files_fini(m);
	(void)memset(m, 0, sizeof *m);
	(void)memset(gk, 0, offsetof(struct gk, buf));
}

static void
machine_start(void)
{

	m->magic = MACHINE_MAGIC;
	m->opt = &opt;
	m->gk = gk;
	gk_init(gk);
	m->proc.pid = 77;
	m->proc.image_pid = 70;
	m->proc.umask = 022;
	m->proc.nthreads = m->proc.hi_thread = 1;
	m->thread[0].state = T_RUN;
	m->thread[0].tid = 77;
	(void)strcpy(m->proc.cwd, "/");
	(void)snprintf(m->proc.exe, sizeof m->proc.exe, "%s/ok/prog", base);
	assert_int_equal(files_init(m), 0);
}

static void
options_clear(void)
{

	list_free(&opt.allow_read.rule);
	list_free(&opt.allow_write.rule);
	while (opt.nvolume > 0) {
		opt.nvolume--;
		free(opt.volume[opt.nvolume].host);
		free(opt.volume[opt.nvolume].guest);
	}
	free(opt.volume);
	INIT_OBJ(&opt, OPTIONS_MAGIC);
	opt.verbose = 1;
	opt.max_log_bytes = 1000;
}

static int
setup(void **state)
{
	char tmpl[] = "/tmp/test_path.XXXXXX", *real;

	(void)state;
	assert_non_null(mkdtemp(tmpl));
	real = realpath(tmpl, NULL);
	assert_non_null(real);
	assert_true(strlen(real) < sizeof base);
	(void)strcpy(base, real);
	free(real);
	dir("ok");
	dir("ok/sub");
	dir("okay");
	dir("rw");
	dir("out");
	put("ok/file", "hello");
	put("ok/sub/deep", "deep");
	put("ok/prog", "program");
	put("okay/file", SECRET);
	put("rw/file", "old");
	put("out/secret", SECRET);
	m = calloc(1, sizeof *m);
	gk = mmap(NULL, sizeof *gk, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_non_null(m);
	assert_ptr_not_equal(gk, MAP_FAILED);
	options_clear();
	list_add(&opt.allow_read.rule, P("ok"));
	list_add(&opt.allow_read.rule, P("rw"));
	list_add(&opt.allow_write.rule, P("rw"));
	machine_start();
	return (0);
}

/* The options have changed: a new machine */
static void
again(void)
{

	machine_stop();
	machine_start();
}

static int
teardown(void **state)
{
	char cmd[PATH_MAX + 20];

	(void)state;
	machine_stop();
	options_clear();
	free(m);
	(void)munmap(gk, sizeof *gk);
	(void)snprintf(cmd, sizeof cmd, "rm -rf '%s'", base);
	assert_int_equal(system(cmd), 0);
	return (0);
}

/* ---- calls --------------------------------------------------------------------------------- */

#define U(p)	((uint64_t)(uintptr_t)(p))
#define CWD	((uint64_t)AT_FDCWD)

static int64_t
call(sys_f *f, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
    uint64_t a4)
{
	const uint64_t a[6] = { a0, a1, a2, a3, a4, 0 };

	return (f(m, &m->thread[0], a));
}

static int64_t
g_openat(int64_t dirfd, const char *p, int fl, unsigned mode)
{

	return (call(sys_openat, (uint64_t)dirfd, U(p), (uint64_t)fl, mode,
	    0));
}

static int64_t
g_open(const char *p, int fl)
{

	return (g_openat(AT_FDCWD, p, fl, 0644));
}

static void
g_close(int64_t fd)
{
	struct gk_ctx c;

	assert_true(fd >= 0);
	machine_gk_ctx(m, NULL, &c);
	assert_int_equal(gk_fd_close(&c, (uint64_t)fd), 0);
}

static int64_t
g_stat(const char *p, struct stat *st)
{

	return (call(sys_stat, U(p), U(st), 0, 0, 0));
}

static int64_t
g_lstat(const char *p, struct stat *st)
{

	return (call(sys_lstat, U(p), U(st), 0, 0, 0));
}

/* Open, read all of it, close: the errors come back as they are */
static int64_t
g_slurp(const char *p, char *buf, size_t size)
{
	int64_t fd, n;

	fd = g_open(p, O_RDONLY);
	if (fd < 0)
		return (fd);
	n = call(sys_read, (uint64_t)fd, U(buf), size - 1, 0, 0);
	if (n >= 0)
		buf[n] = '\0';
	g_close(fd);
	return (n);
}

static void
reads(const char *p, const char *want)
{
	char buf[200] = "";
	int64_t n;

	n = g_slurp(p, buf, sizeof buf);
	if (n < 0)
		fail_msg("%s: %s", p, strerror((int)-n));
	assert_string_equal(buf, want);
}

static void
refused(const char *p, int err)
{
	char buf[200] = "";
	int64_t n;

	n = g_slurp(p, buf, sizeof buf);
	if (n != -err)
		fail_msg("%s: expected %s, got %ld (%s)", p, strerror(err),
		    (long)n, n < 0 ? strerror((int)-n) : buf);
}

/* ---- reading: rules ---------------------------------------------------------------------------- */

static void
test_rules(void **state)
{
	struct stat st;

	(void)state;
	reads(P("ok/file"), "hello");
	reads(P("ok//./sub/../file"), "hello");
	refused(P("out/secret"), EACCES);
	/* by component, not by prefix */
	refused(P("okay/file"), EACCES);
	/* what is missing: told inside, not outside */
	refused(P("ok/none"), ENOENT);
	refused(P("ok/none/none"), ENOENT);
	refused(P("ok/file/none"), ENOTDIR);
	refused(P("ok/file/"), ENOTDIR);
	refused(P("ok/file/."), ENOTDIR);
	refused(P("out/none"), EACCES);
	refused(P("nothing/at/all"), EACCES);
	/* the way down can be seen, not listed */
	assert_int_equal(g_stat(base, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(g_stat("/", &st), 0);
	assert_int_equal(g_stat(P("out"), &st), -EACCES);
	assert_int_equal(g_open(base, O_RDONLY | O_DIRECTORY), -EACCES);
	/* reading is not writing, writing is not reading */
	assert_int_equal(g_open(P("ok/file"), O_WRONLY), -EACCES);
	assert_int_equal(g_open(P("ok/file"), O_RDONLY | O_TRUNC), -EACCES);
	reads(P("ok/file"), "hello");
}

static void
test_write_only(void **state)
{
	struct stat st;
	int64_t fd;

	(void)state;
	options_clear();
	list_add(&opt.allow_write.rule, P("rw"));
	again();
	refused(P("rw/file"), EACCES);
	assert_int_equal(g_open(P("rw/file"), O_RDWR), -EACCES);
	assert_int_equal(g_stat(P("rw/file"), &st), 0);
	fd = g_open(P("rw/file"), O_WRONLY);
	assert_true(fd >= 0);
	g_close(fd);
}

static void
test_allow_all(void **state)
{
	struct stat st;

	(void)state;
	options_clear();
	opt.allow_all = 1;
	again();
	reads(P("out/secret"), SECRET);
	/* still not the host's /proc, /sys and /dev */
	refused("/proc/1/status", ENOENT);
	refused("/sys/kernel/notes", ENOENT);
	assert_int_equal(g_stat("/dev/kvm", &st), -ENOENT);
	assert_int_equal(g_stat("/dev/null", &st), 0);
}

static void
test_odd_paths(void **state)
{
	static char longp[5000];
	struct stat st;

	(void)state;
	assert_int_equal(g_open("", O_RDONLY), -ENOENT);
	assert_int_equal(call(sys_open, 0, O_RDONLY, 0, 0, 0), -EFAULT);
	(void)memset(longp, 'a', sizeof longp - 1);
	longp[0] = '/';
	assert_int_equal(g_open(longp, O_RDONLY), -ENAMETOOLONG);
	longp[4095] = '\0';
	assert_int_equal(g_open(longp, O_RDONLY), -ENAMETOOLONG);
	(void)memset(longp, '/', 4095);
	(void)memcpy(longp + 2000, "x..", 3);
	assert_int_equal(g_stat(longp, &st), -EACCES);
	(void)memset(longp, '/', 4095);
	assert_int_equal(g_stat(longp, &st), 0);	/* the root */
	assert_int_equal(g_stat("/../../..", &st), 0);
	assert_int_equal(g_open(P("ok/file"), O_ACCMODE), -EACCES);
}

/* ---- escapes ------------------------------------------------------------------------------------ */

static void
test_dotdot(void **state)
{
	char p[PATH_MAX];

	(void)state;
	refused(P("ok/../out/secret"), EACCES);
	refused(P("ok/sub/../../out/secret"), EACCES);
	(void)snprintf(p, sizeof p, "/../../../..%s/out/secret", base);
	refused(p, EACCES);
	(void)snprintf(p, sizeof p, "/../..%s/ok/file", base);
	reads(p, "hello");
	/* ".." behind a symlink is the target's parent, not the link's */
	dir("ok/sub/more");
	lnk("sub/more", "ok/jump");
	reads(P("ok/jump/../deep"), "deep");
	lnk("../out", "ok/away");
	refused(P("ok/away/../out/secret"), EACCES);
	reads(P("ok/away/../ok/file"), "hello");
}

static void
test_symlinks(void **state)
{
	struct stat st;
	char buf[PATH_MAX];
	int64_t n;

	(void)state;
	lnk("../out/secret", "ok/rel");
	lnk(P("out/secret"), "ok/abs");
	lnk("../out", "ok/dirlink");
	lnk(P("ok/file"), "ok/fine");
	lnk(P("ok"), "out/back");
	lnk("loop", "ok/loop");
	lnk("l2", "ok/l1");
	lnk("l1", "ok/l2");
	refused(P("ok/rel"), EACCES);
	refused(P("ok/abs"), EACCES);
	refused(P("ok/dirlink/secret"), EACCES);
	reads(P("ok/fine"), "hello");
	reads(P("out/back/file"), "hello");
	refused(P("ok/loop"), ELOOP);
	refused(P("ok/l1"), ELOOP);
	refused(P("ok/l1/x"), ELOOP);
	/* the link itself lies inside */
	assert_int_equal(g_lstat(P("ok/rel"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(g_stat(P("ok/rel"), &st), -EACCES);
	n = call(sys_readlink, U(P("ok/rel")), U(buf), sizeof buf, 0, 0);
	assert_int_equal(n, 13);
	assert_memory_equal(buf, "../out/secret", 13);
	/* one outside that leads inside may be looked at */
	assert_int_equal(g_lstat(P("out/back"), &st), 0);
	/* but not one that leads elsewhere */
	lnk("secret", "out/other");
	assert_int_equal(g_lstat(P("out/other"), &st), -EACCES);
	assert_int_equal(call(sys_readlink, U(P("out/other")), U(buf),
	    sizeof buf, 0, 0), -EACCES);
	assert_int_equal(g_open(P("ok/fine"), O_RDONLY | O_NOFOLLOW), -ELOOP);
	n = g_open(P("ok/fine"), O_PATH | O_NOFOLLOW);
	assert_true(n >= 0);
	assert_int_equal(call(sys_fstat, (uint64_t)n, U(&st), 0, 0, 0), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(call(sys_read, (uint64_t)n, U(buf), 1, 0, 0),
	    -EBADF);
	g_close(n);
}

/* The host's /proc behind a link is the guest's own. */
static void
test_proc(void **state)
{
	char buf[PATH_MAX], want[PATH_MAX];
	struct stat st;
	int64_t n;

	(void)state;
	lnk("/proc", "ok/proc");
	lnk("/proc/self/status", "ok/status");
	n = g_slurp(P("ok/status"), buf, sizeof buf);
	assert_true(n > 0);
	assert_non_null(strstr(buf, "Pid:\t77\n"));
	assert_true(g_slurp(P("ok/proc/70/status"), buf, sizeof buf) > 0);
	refused(P("ok/proc/1/environ"), ENOENT);
	(void)snprintf(buf, sizeof buf, "%s/%d/environ", P("ok/proc"),
	    (int)getpid());
	refused(buf, ENOENT);
	refused("/proc/self/environ/x", ENOTDIR);
	refused("/proc/077/status", ENOENT);
	assert_int_equal(g_stat("/proc/077", &st), -ENOENT);
	/* magic links obey the rules */
	(void)snprintf(buf, sizeof buf, "/proc/self/root%s", P("out/secret"));
	refused(buf, EACCES);
	(void)snprintf(buf, sizeof buf, "/proc/self/root%s", P("ok/file"));
	reads(buf, "hello");
	refused("/proc/self/cwd/../../../etc/shadow", EACCES);
	reads("/proc/self/exe", "program");
	n = call(sys_readlink, U("/proc/self"), U(buf), sizeof buf, 0, 0);
	assert_int_equal(n, 2);
	(void)snprintf(want, sizeof want, "%s/ok/prog", base);
	n = call(sys_readlink, U("/proc/thread-self/exe"), U(buf), sizeof buf,
	    0, 0);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(buf, want, (size_t)n);
	/* writing there */
	assert_int_equal(g_open("/proc/self/stat", O_WRONLY), -EACCES);
	assert_int_equal(g_open("/proc/new", O_WRONLY | O_CREAT), -EACCES);
	assert_int_equal(call(sys_mkdir, U("/proc/x"), 0755, 0, 0, 0),
	    -EACCES);
	assert_int_equal(call(sys_unlink, U("/proc/self/maps"), 0, 0, 0, 0),
	    -EACCES);
	assert_int_equal(call(sys_rmdir, U("/proc"), 0, 0, 0, 0), -EBUSY);
}

static void
test_proc_fd(void **state)
{
	char buf[PATH_MAX], name[64];
	struct stat st, st2;
	int64_t fd, fd2, n;

	(void)state;
	fd = g_open(P("ok/file"), O_RDONLY);
	assert_true(fd > 2);
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", (int)fd);
	n = call(sys_readlink, U(name), U(buf), sizeof buf, 0, 0);
	assert_int_equal(n, strlen(P("ok/file")));
	reads(name, "hello");
	assert_int_equal(g_stat(name, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(g_lstat(name, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(g_open(name, O_RDWR), -EACCES);
	assert_int_equal(g_stat("/proc/self/fd/99", &st), -ENOENT);
	assert_int_equal(g_stat("/proc/self/fd/2/x", &st), -ENOENT);
	/* a directory there leads no further than its name does */
	fd2 = g_open(P("ok/sub"), O_RDONLY | O_DIRECTORY);
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d/../file",
	    (int)fd2);
	reads(name, "hello");
	(void)snprintf(name, sizeof name, "/dev/fd/%d/../../out/secret",
	    (int)fd2);
	refused(name, EACCES);
	g_close(fd2);
	/* standard output is what it was, opened again */
	fd2 = g_open("/dev/stdout", O_WRONLY);
	assert_true(fd2 >= 0);
	assert_int_equal(call(sys_write, (uint64_t)fd2, U("hi\n"), 3, 0, 0),
	    3);
	assert_int_equal(call(sys_fstat, 1, U(&st), 0, 0, 0), 0);
	assert_int_equal(call(sys_fstat, (uint64_t)fd2, U(&st2), 0, 0, 0), 0);
	assert_int_equal(st.st_ino, st2.st_ino);
	g_close(fd2);
	g_close(fd);
}

static void
test_dirfd(void **state)
{
	int64_t d, f, p;
	struct stat st;

	(void)state;
	d = g_open(P("ok/sub"), O_RDONLY | O_DIRECTORY);
	f = g_open(P("ok/file"), O_RDONLY);
	p = g_open(P("ok"), O_PATH);
	assert_true(d >= 0 && f >= 0 && p >= 0);
	g_close(g_openat(d, "deep", O_RDONLY, 0));
	g_close(g_openat(d, "../file", O_RDONLY, 0));
	g_close(g_openat(p, "sub/deep", O_RDONLY, 0));
	assert_int_equal(g_openat(d, "../../out/secret", O_RDONLY, 0),
	    -EACCES);
	assert_int_equal(g_openat(p, "../okay/file", O_RDONLY, 0), -EACCES);
	assert_int_equal(g_openat(f, "x", O_RDONLY, 0), -ENOTDIR);
	assert_int_equal(g_openat(99, "x", O_RDONLY, 0), -EBADF);
	assert_int_equal(g_openat(-1, "x", O_RDONLY, 0), -EBADF);
	g_close(g_openat(99, P("ok/file"), O_RDONLY, 0));
	/* AT_EMPTY_PATH is the descriptor */
	assert_int_equal(call(sys_newfstatat, (uint64_t)f, U(""), U(&st),
	    AT_EMPTY_PATH, 0), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(call(sys_newfstatat, (uint64_t)f, U(""), U(&st), 0,
	    0), -ENOENT);
	/* the ancestors that may be seen lead nowhere else either */
	g_close(p);
	p = g_open(base, O_PATH | O_DIRECTORY);
	assert_true(p >= 0);
	assert_int_equal(g_openat(p, "out/secret", O_RDONLY, 0), -EACCES);
	assert_int_equal(g_openat(p, ".", O_RDONLY, 0), -EACCES);
	g_close(p);
	g_close(f);
	g_close(d);
}

static void
test_cwd(void **state)
{
	char buf[PATH_MAX];

	(void)state;
	assert_int_equal(call(sys_chdir, U(P("ok/sub")), 0, 0, 0, 0), 0);
	assert_int_equal(call(sys_getcwd, U(buf), sizeof buf, 0, 0, 0),
	    strlen(P("ok/sub")) + 1);
	assert_string_equal(buf, P("ok/sub"));
	reads("deep", "deep");
	reads("../file", "hello");
	refused("../../out/secret", EACCES);
	assert_int_equal(call(sys_chdir, U("../../out"), 0, 0, 0, 0),
	    -EACCES);
	assert_int_equal(call(sys_chdir, U("../file"), 0, 0, 0, 0), -ENOTDIR);
	assert_int_equal(call(sys_getcwd, U(buf), 3, 0, 0, 0), -ERANGE);
	assert_int_equal(call(sys_chdir, U("/proc/self"), 0, 0, 0, 0), 0);
	assert_true(g_slurp("stat", buf, sizeof buf) > 0);
}

/* ---- special files -------------------------------------------------------------------------------- */

static void
test_special(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char buf[16];
	int64_t fd;
	int s;

	(void)state;
	assert_int_equal(mkfifo(P("rw/fifo"), 0600), 0);
	fd = g_open(P("rw/fifo"), O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(call(sys_read, (uint64_t)fd, U(buf), 1, 0, 0), 0);
	assert_int_equal(call(sys_lseek, (uint64_t)fd, 0, SEEK_SET, 0, 0),
	    -ESPIPE);
	g_close(fd);
	assert_int_equal(g_open(P("rw/fifo"), O_WRONLY | O_NONBLOCK), -ENXIO);
	assert_int_equal(g_open(P("rw/fifo"), O_WRONLY), SYS_BLOCK);
	(void)snprintf(un.sun_path, sizeof un.sun_path, "%s", P("rw/sock"));
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(s, (struct sockaddr *)&un, sizeof un), 0);
	assert_int_equal(g_open(P("rw/sock"), O_RDWR), -ENXIO);
	(void)close(s);
	if (mknod(P("rw/dev"), S_IFCHR | 0666, 0x103) == 0)
		assert_int_equal(g_open(P("rw/dev"), O_RDWR), -EACCES);
	assert_int_equal(call(sys_mknod, U(P("rw/node")), S_IFCHR | 0666,
	    0x103, 0, 0), -EPERM);
	assert_int_equal(g_open("/dev/tty", O_RDWR), -ENXIO);
	fd = g_open("/dev/zero", O_RDWR);
	(void)memset(buf, 1, sizeof buf);
	assert_int_equal(call(sys_read, (uint64_t)fd, U(buf), 16, 0, 0), 16);
	assert_int_equal(buf[15], 0);
	g_close(fd);
	fd = g_open("/dev/full", O_RDWR);
	assert_int_equal(call(sys_write, (uint64_t)fd, U(buf), 16, 0, 0),
	    -ENOSPC);
	g_close(fd);
}

/* ---- making files ------------------------------------------------------------------------------------ */

static void
test_create(void **state)
{
	struct stat st;
	int64_t fd;

	(void)state;
	fd = g_openat(AT_FDCWD, P("rw/new"), O_WRONLY | O_CREAT, 0666);
	assert_true(fd >= 0);
	assert_int_equal(call(sys_write, (uint64_t)fd, U("x"), 1, 0, 0), 1);
	g_close(fd);
	assert_int_equal(stat(P("rw/new"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(g_open(P("rw/new"), O_WRONLY | O_CREAT | O_EXCL),
	    -EEXIST);
	assert_int_equal(g_open(P("ok/new"), O_WRONLY | O_CREAT), -EACCES);
	assert_int_equal(g_open(P("out/new"), O_WRONLY | O_CREAT), -EACCES);
	/* what exists elsewhere is not told */
	assert_int_equal(g_open(P("out/secret"), O_WRONLY | O_CREAT | O_EXCL),
	    -EACCES);
	assert_int_equal(g_open(P("rw/none/new"), O_WRONLY | O_CREAT),
	    -ENOENT);
	assert_int_equal(g_open(P("rw/new2/"), O_WRONLY | O_CREAT), -EISDIR);
	assert_int_equal(g_open(P("rw"), O_WRONLY | O_CREAT), -EISDIR);
	assert_int_equal(g_open(P("rw/.."), O_RDONLY | O_CREAT), -EACCES);
	assert_false(exists("ok/new"));
	assert_false(exists("out/new"));
	/* no set-id bits on the host */
	fd = g_openat(AT_FDCWD, P("rw/suid"), O_WRONLY | O_CREAT, 06755);
	g_close(fd);
	assert_int_equal(stat(P("rw/suid"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(call(sys_chmod, U(P("rw/suid")), 04755, 0, 0, 0),
	    -EPERM);
	assert_int_equal(call(sys_chmod, U(P("rw/suid")), 0700, 0, 0, 0), 0);
	assert_int_equal(call(sys_chmod, U(P("ok/file")), 0700, 0, 0, 0),
	    -EACCES);
}

static void
test_create_links(void **state)
{
	int64_t fd;

	(void)state;
	lnk("target", "rw/dangling");
	lnk(P("out/made"), "rw/evil");
	lnk("../out/made", "rw/evil2");
	lnk("../out", "rw/evildir");
	lnk("file", "rw/tofile");
	assert_int_equal(g_open(P("rw/dangling"), O_WRONLY | O_CREAT |
	    O_EXCL), -EEXIST);
	assert_int_equal(g_open(P("rw/dangling"), O_WRONLY | O_CREAT |
	    O_NOFOLLOW), -ELOOP);
	assert_false(exists("rw/target"));
	fd = g_open(P("rw/dangling"), O_WRONLY | O_CREAT);
	g_close(fd);
	assert_true(exists("rw/target"));
	assert_int_equal(g_open(P("rw/evil"), O_WRONLY | O_CREAT), -EACCES);
	assert_int_equal(g_open(P("rw/evil2"), O_WRONLY | O_CREAT), -EACCES);
	assert_int_equal(g_open(P("rw/evildir/made"), O_WRONLY | O_CREAT),
	    -EACCES);
	assert_int_equal(call(sys_mkdir, U(P("rw/evildir/d")), 0755, 0, 0, 0),
	    -EACCES);
	assert_int_equal(call(sys_symlink, U("x"), U(P("rw/evildir/l")), 0, 0,
	    0), -EACCES);
	assert_false(exists("out/made"));
	assert_false(exists("out/d"));
	assert_int_equal(g_open(P("rw/tofile"), O_WRONLY | O_NOFOLLOW),
	    -ELOOP);
	assert_int_equal(call(sys_truncate, U(P("rw/evildir/secret")), 0, 0,
	    0, 0), -EACCES);
	/* unlink and rename act on the link */
	assert_int_equal(call(sys_unlink, U(P("rw/evil")), 0, 0, 0, 0), 0);
	assert_false(exists("rw/evil"));
	assert_int_equal(call(sys_unlink, U(P("rw/evildir/secret")), 0, 0, 0,
	    0), -EACCES);
	assert_true(exists("out/secret"));
}

static void
test_dirs(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(call(sys_mkdir, U(P("rw/d")), 0777, 0, 0, 0), 0);
	assert_int_equal(stat(P("rw/d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(call(sys_mkdir, U(P("rw/d")), 0777, 0, 0, 0),
	    -EEXIST);
	assert_int_equal(call(sys_mkdir, U(P("rw/e/")), 0777, 0, 0, 0), 0);
	assert_int_equal(call(sys_mkdir, U(P("rw/.")), 0777, 0, 0, 0),
	    -EEXIST);
	assert_int_equal(call(sys_mkdir, U("/"), 0777, 0, 0, 0), -EEXIST);
	assert_int_equal(call(sys_mkdir, U(P("ok/d")), 0777, 0, 0, 0),
	    -EACCES);
	assert_int_equal(call(sys_unlink, U(P("rw/d")), 0, 0, 0, 0),
	    -EISDIR);
	assert_int_equal(call(sys_unlink, U(P("rw/file/")), 0, 0, 0, 0),
	    -ENOTDIR);
	assert_int_equal(call(sys_rmdir, U(P("rw/d/.")), 0, 0, 0, 0),
	    -EINVAL);
	assert_int_equal(call(sys_rmdir, U(P("rw/d/..")), 0, 0, 0, 0),
	    -ENOTEMPTY);
	assert_int_equal(call(sys_rmdir, U(P("rw/d/")), 0, 0, 0, 0), 0);
	assert_int_equal(call(sys_unlinkat, CWD, U(P("rw/e")), AT_REMOVEDIR,
	    0, 0), 0);
	assert_int_equal(call(sys_unlinkat, CWD, U(P("rw/e")), 7, 0, 0),
	    -EINVAL);
	assert_int_equal(call(sys_unlink, U(P("rw/none")), 0, 0, 0, 0),
	    -ENOENT);
	assert_int_equal(call(sys_unlink, U(P("ok/none")), 0, 0, 0, 0),
	    -EACCES);
}

static int64_t
g_rename(const char *from, const char *to)
{

	return (call(sys_rename, U(from), U(to), 0, 0, 0));
}

static void
test_rename(void **state)
{

	(void)state;
	assert_int_equal(g_rename(P("rw/file"), P("rw/file2")), 0);
	assert_true(exists("rw/file2"));
	assert_int_equal(g_rename(P("rw/file2"), P("out/file2")), -EACCES);
	assert_int_equal(g_rename(P("rw/file2"), P("ok/file2")), -EACCES);
	assert_int_equal(g_rename(P("out/secret"), P("rw/secret")), -EACCES);
	assert_int_equal(g_rename(P("ok/file"), P("rw/x")), -EACCES);
	assert_int_equal(g_rename(P("rw/none"), P("rw/x")), -ENOENT);
	assert_int_equal(g_rename(P("rw/."), P("rw/x")), -EBUSY);
	assert_int_equal(g_rename(P("rw/file2"), P("rw/x/")), -ENOTDIR);
	assert_int_equal(call(sys_renameat2, CWD, U(P("rw/file2")), CWD,
	    U(P("rw/file2")), RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(call(sys_renameat2, CWD, U(P("rw/file2")), CWD,
	    U(P("rw/x")), 64), -EINVAL);
	/* a rule's own path stays what it is */
	assert_int_equal(g_rename(P("rw/file2"), P("ok")), -EACCES);
	dir("rw/d");
	assert_int_equal(g_rename(P("rw/d"), P("rw")), -EACCES);
}

/* A directory that a rule names is its parent's, which we may not write. */
static void
test_rule_stays(void **state)
{

	(void)state;
	dir("rw2");
	list_add(&opt.allow_write.rule, P("rw2"));
	list_add(&opt.allow_write.rule, P("rw/d"));
	list_add(&opt.allow_write.rule, P("ok/file"));
	dir("rw/d");
	again();
	assert_int_equal(call(sys_rmdir, U(P("rw2")), 0, 0, 0, 0), -EACCES);
	assert_int_equal(call(sys_unlinkat, CWD, U(P("rw2/")), AT_REMOVEDIR,
	    0, 0), -EACCES);
	assert_int_equal(g_rename(P("rw2"), P("rw/x")), -EACCES);
	assert_true(exists("rw2"));
	/* ... but where we may, and a file can be made again */
	assert_int_equal(g_rename(P("rw/d"), P("rw/e")), 0);
	assert_int_equal(call(sys_rmdir, U(P("rw/e")), 0, 0, 0, 0), 0);
	assert_int_equal(call(sys_unlink, U(P("ok/file")), 0, 0, 0, 0), 0);
}

static void
test_hardlinks(void **state)
{

	(void)state;
	assert_int_equal(call(sys_link, U(P("rw/file")), U(P("rw/l")), 0, 0,
	    0), 0);
	/* would make a file writable that is only readable, or not even */
	assert_int_equal(call(sys_link, U(P("ok/file")), U(P("rw/l2")), 0, 0,
	    0), -EACCES);
	assert_int_equal(call(sys_link, U(P("out/secret")), U(P("rw/l3")), 0,
	    0, 0), -EACCES);
	assert_int_equal(call(sys_link, U(P("rw")), U(P("rw/l4")), 0, 0, 0),
	    -EPERM);
	lnk("../out/secret", "rw/s");
	assert_int_equal(call(sys_linkat, CWD, U(P("rw/s")), CWD,
	    U(P("rw/l5")), AT_SYMLINK_FOLLOW), -EACCES);
	assert_false(exists("rw/l2") || exists("rw/l3") || exists("rw/l5"));
}

/* Moving must not make readable what was not. */
static void
test_move_to_read(void **state)
{

	(void)state;
	options_clear();
	dir("drop");
	put("drop/secret", SECRET);
	list_add(&opt.allow_read.rule, P("rw"));
	list_add(&opt.allow_write.rule, P("rw"));
	list_add(&opt.allow_write.rule, P("drop"));
	again();
	refused(P("drop/secret"), EACCES);
	assert_int_equal(g_rename(P("drop/secret"), P("rw/secret")), -EACCES);
	assert_int_equal(call(sys_link, U(P("drop/secret")), U(P("rw/l")), 0,
	    0, 0), -EACCES);
	assert_int_equal(call(sys_renameat2, CWD, U(P("drop/secret")), CWD,
	    U(P("rw/file")), RENAME_EXCHANGE), -EACCES);
	assert_int_equal(g_rename(P("rw/file"), P("drop/file")), 0);
}

/* ---- rules themselves -------------------------------------------------------------------------------- */

static void
test_rule_links(void **state)
{
	struct stat st;

	(void)state;
	/* the administrator's own symlink */
	lnk("ok", "alias");
	options_clear();
	list_add(&opt.allow_read.rule, P("alias"));
	again();
	reads(P("alias/file"), "hello");
	reads(P("ok/file"), "hello");
	assert_int_equal(g_lstat(P("alias"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	refused(P("out/secret"), EACCES);
	/* one that a guest could have made is not followed */
	lnk("../out", "rw/trap");
	options_clear();
	list_add(&opt.allow_read.rule, P("rw/trap"));
	list_add(&opt.allow_write.rule, P("rw"));
	again();
	refused(P("rw/trap/secret"), EACCES);
	refused(P("out/secret"), EACCES);
	/* nor through an alias of it */
	lnk("rw/trap", "alias2");
	list_add(&opt.allow_read.rule, P("alias2"));
	again();
	refused(P("alias2/secret"), EACCES);
	refused(P("out/secret"), EACCES);
	/* a rule for what is not there yet */
	options_clear();
	list_add(&opt.allow_write.rule, P("ok/later"));
	again();
	assert_int_equal(call(sys_symlink, U(P("out")), U(P("ok/later")), 0,
	    0, 0), -EACCES);
	assert_int_equal(call(sys_mkdir, U(P("ok/later")), 0755, 0, 0, 0), 0);
	g_close(g_open(P("ok/later/x"), O_WRONLY | O_CREAT));
}

static void
test_rule_file(void **state)
{
	struct stat st;

	(void)state;
	options_clear();
	list_add(&opt.allow_read.rule, P("out/secret"));
	again();
	reads(P("out/secret"), SECRET);
	refused(P("out/other"), EACCES);
	assert_int_equal(g_stat(P("out"), &st), 0);
	/* the program is readable without a rule, and only that file */
	options_clear();
	again();
	refused(P("ok/prog"), EACCES);
	assert_int_equal(close(path_open_host(m, P("ok/prog"), O_RDONLY)), 0);
	reads(P("ok/prog"), "program");
	refused(P("ok/file"), EACCES);
	assert_int_equal(path_open_host(m, P("ok/none"), O_RDONLY), -ENOENT);
	assert_true(path_open_host(m, "/dev/null", O_RDONLY) < 0);
}

static void
test_told_once(void **state)
{
	unsigned n = nlog;

	(void)state;
	refused(P("out/secret"), EACCES);
	assert_int_equal(nlog, n + 1);
	refused(P("out/secret"), EACCES);
	assert_int_equal(nlog, n + 1);
	opt.verbose = 0;
	refused(P("okay/file"), EACCES);
	assert_int_equal(nlog, n + 1);
}

static void
test_etc(void **state)
{
	char buf[200];

	(void)state;
	assert_true(g_slurp("/etc/hosts", buf, sizeof buf) > 0);
	assert_non_null(strstr(buf, "localhost"));
	refused("/etc/shadow", EACCES);
	refused("/etc/hosts/x", ENOTDIR);
	assert_int_equal(g_open("/etc/hosts", O_RDWR), -EACCES);
}

/* ---- volumes ---------------------------------------------------------------------------------------- */

static void
test_volumes(void **state)
{
	char buf[PATH_MAX];
	struct stat st;

	(void)state;
	options_clear();
	dir("vol");
	dir("vol/in");
	put("vol/in/f", "volume");
	volume(P("vol"), "/data/v", 1, 1);
	volume(P("ok"), "/data/v/ro", 1, 0);
	volume("/proc", "/hostproc", 1, 1);
	volume("/dev", "/hostdev", 1, 1);
	again();
	reads("/data/v/in/f", "volume");
	reads("/data/v/in/../in/f", "volume");
	reads("/data/v/ro/file", "hello");
	refused(P("vol/in/f"), EACCES);
	refused("/data/other", EACCES);
	/* the directories above it are made up */
	assert_int_equal(g_stat("/data", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	reads("/data/../data/v/in/f", "volume");
	assert_int_equal(call(sys_chdir, U("/data/v/in"), 0, 0, 0, 0), 0);
	assert_int_equal(call(sys_getcwd, U(buf), sizeof buf, 0, 0, 0), 11);
	assert_string_equal(buf, "/data/v/in");
	reads("f", "volume");
	reads("../ro/file", "hello");
	/* up is the guest's parent, not the host's */
	refused("../../../ok/file", EACCES);
	refused("../../ok/file", EACCES);
	(void)snprintf(buf, sizeof buf, "../../..%s", P("out/secret"));
	refused(buf, EACCES);
	/* links are read in the guest's world */
	lnk("/in/f", "vol/hostabs");
	lnk("/data/v/in/f", "vol/guestabs");
	lnk("../../out/secret", "vol/in/up");
	refused("/data/v/hostabs", EACCES);
	reads("/data/v/guestabs", "volume");
	refused("/data/v/in/up", EACCES);
	/* rights */
	g_close(g_open("/data/v/in/g", O_WRONLY | O_CREAT));
	assert_true(exists("vol/in/g"));
	assert_int_equal(g_open("/data/v/ro/file", O_WRONLY), -EACCES);
	assert_int_equal(g_open("/data/v/ro/new", O_WRONLY | O_CREAT),
	    -EACCES);
	/* its root stays */
	assert_int_equal(call(sys_rmdir, U("/data/v"), 0, 0, 0, 0), -EBUSY);
	assert_int_equal(g_rename("/data/v/in", "/data/v/ro"), -EBUSY);
	assert_int_equal(call(sys_symlink, U("/"), U("/data/v/ro"), 0, 0, 0),
	    -EEXIST);
	/* never these */
	refused("/hostproc/version", EACCES);
	refused("/hostproc/self/environ", EACCES);
	refused("/hostdev/null", EACCES);
}

static void
test_volume_rename(void **state)
{

	(void)state;
	options_clear();
	dir("v1");
	dir("v2");
	put("v1/f", "1");
	volume(P("v1"), "/v1", 1, 1);
	volume(P("v2"), "/v2", 1, 1);
	again();
	assert_int_equal(g_rename("/v1/f", "/v2/f"), -EXDEV);
	assert_int_equal(call(sys_link, U("/v1/f"), U("/v2/f"), 0, 0, 0),
	    -EXDEV);
	assert_int_equal(g_rename("/v1/f", "/v1/g"), 0);
	assert_true(exists("v1/g"));
}

static void
test_volume_file(void **state)
{

	(void)state;
	options_clear();
	volume(P("out/secret"), "/conf/one.conf", 1, 0);
	again();
	reads("/conf/one.conf", SECRET);
	refused("/conf/one.conf/x", ENOTDIR);
	refused("/conf/two.conf", EACCES);
}

/* ---- others change names meanwhile --------------------------------------------------------------------- */

static atomic_int stop;

static void *
swapper(void *priv)
{
	char a[PATH_MAX], b[PATH_MAX];

	(void)priv;
	(void)snprintf(a, sizeof a, "%s/rw/a", base);
	(void)snprintf(b, sizeof b, "%s/rw/b", base);
	while (!atomic_load(&stop))
		(void)renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
	return (NULL);
}

static void
test_race(void **state)
{
	char buf[200], p[PATH_MAX], q[PATH_MAX];
	pthread_t th;
	unsigned i, good = 0, bad = 0;
	int64_t n, fd;

	(void)state;
	dir("rw/a");
	put("rw/a/secret", "harmless");
	lnk("../out", "rw/b");
	(void)snprintf(p, sizeof p, "%s", P("rw/a/secret"));
	(void)snprintf(q, sizeof q, "%s", P("rw/a/made"));
	atomic_store(&stop, 0);
	assert_int_equal(pthread_create(&th, NULL, swapper, NULL), 0);
	for (i = 0; i < 5000; i++) {
		n = g_slurp(p, buf, sizeof buf);
		if (n >= 0) {
			good++;
			bad += strstr(buf, "read me") != NULL;
		}
		fd = g_open(q, O_WRONLY | O_CREAT);
		if (fd >= 0)
			g_close(fd);
		(void)call(sys_unlink, U(p), 0, 0, 0, 0);
		(void)call(sys_truncate, U(p), 3, 0, 0, 0);
		fd = g_open(p, O_WRONLY | O_CREAT | O_TRUNC);
		if (fd >= 0) {
			(void)call(sys_write, (uint64_t)fd, U("harmless"), 8,
			    0, 0);
			g_close(fd);
		}
	}
	atomic_store(&stop, 1);
	(void)pthread_join(th, NULL);
	assert_int_equal(bad, 0);
	assert_false(exists("out/made"));
	assert_true(exists("out/secret"));
	(void)snprintf(p, sizeof p, "grep -qx '%s' '%s'", SECRET,
	    P("out/secret"));
	assert_int_equal(system(p), 0);
	assert_true(good > 0);
}

/* ---- data --------------------------------------------------------------------------------------------------- */

static void
test_data(void **state)
{
	struct iovec iov[3];
	char buf[64], in[8] = "ABCDEFG";
	uint64_t off;
	int64_t fd, fd2;

	(void)state;
	fd = g_open(P("rw/data"), O_RDWR | O_CREAT);
	assert_int_equal(call(sys_write, (uint64_t)fd, U("0123456789"), 10, 0,
	    0), 10);
	assert_int_equal(call(sys_lseek, (uint64_t)fd, 2, SEEK_SET, 0, 0), 2);
	iov[0].iov_base = buf;
	iov[0].iov_len = 3;
	iov[1].iov_base = buf + 10;
	iov[1].iov_len = 0;
	iov[2].iov_base = buf + 20;
	iov[2].iov_len = 40;
	assert_int_equal(call(sys_readv, (uint64_t)fd, U(iov), 3, 0, 0), 8);
	assert_memory_equal(buf, "234", 3);
	assert_memory_equal(buf + 20, "56789", 5);
	assert_int_equal(call(sys_lseek, (uint64_t)fd, 0, SEEK_CUR, 0, 0),
	    10);
	assert_int_equal(call(sys_pwrite64, (uint64_t)fd, U(in), 7, 1, 0), 7);
	assert_int_equal(call(sys_pread64, (uint64_t)fd, U(buf), 64, 0, 0),
	    10);
	assert_memory_equal(buf, "0ABCDEFG89", 10);
	assert_int_equal(call(sys_pread64, (uint64_t)fd, U(buf), 1,
	    (uint64_t)-1, 0), -EINVAL);
	assert_int_equal(call(sys_lseek, (uint64_t)fd, (uint64_t)-11,
	    SEEK_CUR, 0, 0), -EINVAL);
	assert_int_equal(call(sys_lseek, (uint64_t)fd, 0, 9, 0, 0), -EINVAL);
	assert_int_equal(call(sys_readv, (uint64_t)fd, U(iov), 1025, 0, 0),
	    -EINVAL);
	iov[0].iov_len = (size_t)-1;
	assert_int_equal(call(sys_readv, (uint64_t)fd, U(iov), 1, 0, 0),
	    -EINVAL);
	assert_int_equal(call(sys_read, (uint64_t)fd, 0, 1, 0, 0), 0);
	assert_int_equal(call(sys_pread64, (uint64_t)fd, 0, 1, 0, 0),
	    -EFAULT);
	/* append */
	fd2 = g_open(P("rw/data"), O_WRONLY | O_APPEND);
	assert_int_equal(call(sys_write, (uint64_t)fd2, U("++"), 2, 0, 0), 2);
	assert_int_equal(call(sys_lseek, (uint64_t)fd2, 0, SEEK_CUR, 0, 0),
	    12);
	assert_int_equal(call(sys_read, (uint64_t)fd2, U(buf), 1, 0, 0),
	    -EBADF);
	g_close(fd2);
	/* sendfile, copy_file_range */
	fd2 = g_open(P("rw/copy"), O_RDWR | O_CREAT);
	off = 1;
	assert_int_equal(call(sys_sendfile, (uint64_t)fd2, (uint64_t)fd,
	    U(&off), 100, 0), 11);
	assert_int_equal(off, 12);
	assert_int_equal(call(sys_pread64, (uint64_t)fd2, U(buf), 64, 0, 0),
	    11);
	assert_memory_equal(buf, "ABCDEFG89++", 11);
	assert_int_equal(call(sys_ftruncate, (uint64_t)fd2, 3, 0, 0, 0), 0);
	assert_int_equal(call(sys_lseek, (uint64_t)fd2, 0, SEEK_END, 0, 0),
	    3);
	g_close(fd2);
	g_close(fd);
}

struct dent {
	uint64_t	ino;
	int64_t		off;
	uint16_t	len;
	uint8_t		type;
	char		name[];
};

/* All the names, each read with room for about one */
static unsigned
list(const char *p, char *out, size_t size)
{
	_Alignas(8) char buf[64];
	struct dent *d;
	unsigned n = 0;
	int64_t fd, r, i;

	fd = g_open(p, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	*out = '\0';
	while ((r = call(sys_getdents64, (uint64_t)fd, U(buf), sizeof buf, 0,
	    0)) > 0)
		for (i = 0; i < r; i += d->len) {
			d = (struct dent *)(void *)(buf + i);
			assert_true(strlen(out) + strlen(d->name) + 2 < size);
			(void)strcat(strcat(out, d->name), " ");
			n++;
		}
	assert_int_equal(r, 0);
	assert_int_equal(call(sys_lseek, (uint64_t)fd, 0, SEEK_SET, 0, 0), 0);
	assert_true(call(sys_getdents, (uint64_t)fd, U(buf), sizeof buf, 0,
	    0) > 0);
	assert_int_equal(call(sys_getdents64, (uint64_t)fd, U(buf), 10, 0,
	    0), -EINVAL);
	g_close(fd);
	return (n);
}

static void
test_getdents(void **state)
{
	char out[2000];
	unsigned u;
	char name[20];
	struct hfile *hf;
	int64_t fd;
	int kind;

	(void)state;
	for (u = 0; u < 40; u++) {
		(void)snprintf(name, sizeof name, "rw/e%u", u);
		put(name, "");
	}
	assert_int_equal(list(P("rw"), out, sizeof out), 43);
	assert_non_null(strstr(out, "e39 "));
	assert_true(list("/proc", out, sizeof out) > 10);
	assert_non_null(strstr(out, "self "));
	assert_non_null(strstr(out, "77 "));
	assert_int_equal(list("/proc/self/fd", out, sizeof out), 5);
	assert_int_equal(list("/dev", out, sizeof out), 14);
	/* a description that is shared, as with an image */
	fd = g_open(P("rw"), O_RDONLY);
	hf = hfile_get(m, (uint64_t)fd, &kind);
	assert_non_null(hf);
	hfile_ref(hf);
	assert_true(call(sys_getdents64, (uint64_t)fd, U(out), 64, 0, 0) > 0);
	assert_true(call(sys_getdents64, (uint64_t)fd, U(out), sizeof out, 0,
	    0) > 0);
	assert_int_equal(lseek(hf->fd, 0, SEEK_CUR), 0);
	hfile_unref(&hf);
	g_close(fd);
	assert_int_equal(call(sys_getdents64, 0, U(out), 64, 0, 0), -ENOTDIR);
}

static void
test_locks(void **state)
{
	struct flock fl = { .l_type = F_WRLCK };
	int64_t fd, fd2;

	(void)state;
	fd = g_open(P("rw/file"), O_RDWR);
	fd2 = g_open(P("rw/file"), O_RDWR);
	assert_int_equal(call(sys_fcntl, (uint64_t)fd, F_SETLK, U(&fl), 0, 0),
	    0);
	assert_int_equal(call(sys_fcntl, (uint64_t)fd2, F_OFD_SETLK, U(&fl),
	    0, 0), -EAGAIN);
	assert_int_equal(call(sys_fcntl, (uint64_t)fd2, F_OFD_SETLKW, U(&fl),
	    0, 0), SYS_BLOCK);
	/* the process's own */
	assert_int_equal(call(sys_fcntl, (uint64_t)fd2, F_SETLKW, U(&fl), 0,
	    0), 0);
	assert_int_equal(call(sys_fcntl, (uint64_t)fd2, F_OFD_GETLK, U(&fl),
	    0, 0), 0);
	assert_int_equal(fl.l_type, F_WRLCK);
	assert_int_equal(fl.l_pid, -1);
	fl.l_pid = 0;
	assert_int_equal(call(sys_fcntl, (uint64_t)fd2, F_GETLK, U(&fl), 0,
	    0), 0);
	assert_int_equal(fl.l_type, F_UNLCK);
	assert_int_equal(call(sys_fcntl, (uint64_t)fd, F_SETLK, U(&fl), 0, 0),
	    0);
	assert_int_equal(call(sys_flock, (uint64_t)fd, LOCK_EX, 0, 0, 0), 0);
	assert_int_equal(call(sys_flock, (uint64_t)fd2, LOCK_EX | LOCK_NB, 0,
	    0, 0), -EAGAIN);
	g_close(fd);
	assert_int_equal(call(sys_flock, (uint64_t)fd2, LOCK_EX | LOCK_NB, 0,
	    0, 0), 0);
	assert_int_equal(call(sys_fcntl, (uint64_t)fd2, 1033, 1, 0, 0),
	    -EINVAL);
	assert_int_equal(call(sys_ioctl, (uint64_t)fd2, 0x5401, 0, 0, 0),
	    -ENOTTY);
	g_close(fd2);
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_rules), T(test_write_only), T(test_allow_all),
		T(test_odd_paths), T(test_dotdot), T(test_symlinks),
		T(test_proc), T(test_proc_fd), T(test_dirfd), T(test_cwd),
		T(test_special), T(test_create), T(test_create_links),
		T(test_dirs), T(test_rename), T(test_hardlinks),
		T(test_rule_stays),
		T(test_move_to_read), T(test_rule_links), T(test_rule_file),
		T(test_told_once), T(test_etc), T(test_volumes),
		T(test_volume_rename), T(test_volume_file), T(test_race),
		T(test_data), T(test_getdents), T(test_locks),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
