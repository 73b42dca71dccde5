/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * inotify: the events of what a program does itself.
 */

#include "diff.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Each on a disk (or what is /tmp), and where files are in memory. */
static const char *base;

#define BOTH(nm)							\
	static void nm(void);						\
	CASE(nm##_disk)							\
	{								\
		base = "/tmp";						\
		nm();							\
	}								\
	CASE(nm##_memory)						\
	{								\
		base = "/dev/shm";					\
		nm();							\
	}								\
	static void							\
	nm(void)

static void
enter(void)
{
	char t[40];

	(void)snprintf(t, sizeof t, "%s/tkvm-inotify-XXXXXX", base);
	if (mkdtemp(t) == NULL || chdir(t) != 0) {
		say("%s: %s", t, errno_name(errno));
		_exit(99);
	}
}

static const char *const bit_name[32] = {
	"ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN",
	"MOVED_FROM", "MOVED_TO", "CREATE", "DELETE", "DELETE_SELF",
	"MOVE_SELF", "?", "UNMOUNT", "Q_OVERFLOW", "IGNORED",
	[30] = "ISDIR",
};

/* Say every event that waits, and what the last read answers. */
static void
drain(int n)
{
	char b[8192] __attribute__((aligned(8))), text[200];
	const struct inotify_event *e;
	static uint32_t first;
	ssize_t l, at;
	unsigned u;
	size_t k;

	for (;;) {
		l = read(n, b, sizeof b);
		if (l <= 0)
			break;
		for (at = 0; at < l; at += (ssize_t)(sizeof *e + e->len)) {
			e = (const void *)(b + at);
			k = 0;
			text[0] = '\0';
			for (u = 0; u < 32; u++)
				if (e->mask & (1U << u))
					k += (size_t)snprintf(text + k,
					    sizeof text - k, " %s",
					    bit_name[u] ? bit_name[u] : "?");
			if (e->mask & IN_MOVED_FROM)
				first = e->cookie;
			say("wd %d%s \"%s\" len %u cookie %s", e->wd, text,
			    e->len > 0 ? e->name : "", e->len,
			    e->cookie == 0 ? "0" : e->cookie == first ?
			    "same" : "other");
		}
	}
	say("end: %zd %s", l, errno_name(errno));
}

static int
new_set(const char *path, uint32_t mask)
{
	int n;

	n = inotify_init1(IN_NONBLOCK);
	if (path != NULL)
		RET(inotify_add_watch(n, path, mask));
	return (n);
}

static void
make(const char *name, const char *text)
{
	int fd;

	fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		say("cannot write %s", name);
	(void)close(fd);
}

BOTH(file_in_directory)
{
	char b[10];
	int n, fd;

	enter();
	n = new_set(".", IN_ALL_EVENTS);
	MUST((fd = open("f", O_CREAT | O_RDWR, 0644)) >= 0);
	drain(n);
	RET(write(fd, "hello", 5));
	RET(write(fd, "", 0));
	drain(n);
	RET(pread(fd, b, 5, 0));
	RET(pread(fd, b, 5, 100));
	drain(n);
	RET(fchmod(fd, 0600));
	RET(ftruncate(fd, 2));
	drain(n);
	RET(close(fd));
	drain(n);
	MUST((fd = open("f", O_RDONLY)) >= 0);
	RET(close(fd));
	RET(chmod("f", 0644));
	RET(truncate("f", 1));
	drain(n);
	RET(unlink("f"));
	drain(n);
	(void)close(n);
	tmp_leave();
}

BOTH(file_itself)
{
	struct timespec ts[2] = { { 1, 0 }, { 2, 0 } };
	int n, fd;

	enter();
	make("f", "x");
	n = new_set("f", IN_ALL_EVENTS);
	MUST((fd = open("f", O_RDWR)) >= 0);
	RET(write(fd, "yz", 2));
	RET(utimensat(AT_FDCWD, "f", ts, 0));
	ts[0].tv_nsec = UTIME_OMIT;
	RET(futimens(fd, ts));
	RET(close(fd));
	drain(n);
	RET(link("f", "g"));
	RET(rename("g", "h"));
	drain(n);
	RET(unlink("h"));
	drain(n);
	RET(unlink("f"));
	drain(n);
	RET(inotify_rm_watch(n, 1));
	(void)close(n);
	tmp_leave();
}

BOTH(both_watches)
{
	int n, fd;

	enter();
	make("f", "x");
	n = new_set(".", IN_ALL_EVENTS);
	RET(inotify_add_watch(n, "f", IN_ALL_EVENTS));
	MUST((fd = open("f", O_WRONLY | O_APPEND)) >= 0);
	RET(write(fd, "yz", 2));
	RET(close(fd));
	RET(unlink("f"));
	drain(n);
	(void)close(n);
	tmp_leave();
}

BOTH(directories)
{
	int n, fd;
	char b[1024];

	enter();
	n = new_set(".", IN_ALL_EVENTS);
	RET(mkdir("d", 0755));
	RET(inotify_add_watch(n, "d", IN_ALL_EVENTS));
	make("d/x", "");
	drain(n);
	MUST((fd = open("d", O_RDONLY | O_DIRECTORY)) >= 0);
	WORKS(syscall(SYS_getdents64, fd, b, sizeof b));
	RET(close(fd));
	RET(chmod("d", 0700));
	drain(n);
	RET(unlink("d/x"));
	RET(rmdir("d"));
	drain(n);
	(void)close(n);
	tmp_leave();
}

BOTH(moves)
{
	int n;

	enter();
	RET(mkdir("a", 0755));
	RET(mkdir("b", 0755));
	make("a/f", "1");
	make("b/old", "2");
	n = new_set("a", IN_ALL_EVENTS);
	RET(inotify_add_watch(n, "b", IN_ALL_EVENTS));
	RET(inotify_add_watch(n, "a/f", IN_ALL_EVENTS));
	RET(inotify_add_watch(n, "b/old", IN_ALL_EVENTS));
	RET(rename("a/f", "a/g"));
	drain(n);
	RET(rename("a/g", "b/new"));
	drain(n);
	RET(rename("b/new", "b/old"));
	drain(n);
	make("a/z", "3");
	(void)close(n);
	n = new_set("a", IN_MOVE);
	RET(inotify_add_watch(n, "b", IN_MOVE));
	RET(syscall(SYS_renameat2, AT_FDCWD, "a/z", AT_FDCWD, "b/old", 2));
	drain(n);
	RET(mkdir("a/d", 0755));
	RET(rename("a/d", "b/d"));
	drain(n);
	(void)close(n);
	RET(rmdir("b/d"));
	RET(unlink("b/old"));
	RET(unlink("a/z"));
	RET(rmdir("a"));
	RET(rmdir("b"));
	tmp_leave();
}

BOTH(other_names)
{
	int n;

	enter();
	make("f", "x");
	n = new_set(".", IN_ALL_EVENTS);
	RET(symlink("f", "s"));
	RET(link("f", "g"));
	RET(mkdir("d", 0755));
	drain(n);
	RET(unlink("s"));
	RET(unlink("g"));
	RET(rmdir("d"));
	RET(unlink("f"));
	drain(n);
	(void)close(n);
	tmp_leave();
}

BOTH(short_reads)
{
	char b[64] __attribute__((aligned(8)));
	int n, left = -1;

	enter();
	n = new_set(".", IN_CREATE);
	RET(read(n, b, 0));
	RET(read(n, b, sizeof b));
	make("name", "");
	make("second_name_is_long", "");
	RET(ioctl(n, FIONREAD, &left));
	SHOW(left);
	RET(read(n, b, 0));
	RET(read(n, b, 31));
	RET(read(n, b, 64));
	RET(ioctl(n, FIONREAD, &left));
	SHOW(left);
	RET(read(n, b, 32));
	RET(read(n, b, 48));
	RET(read(n, b, 48));
	RET(write(n, b, 1));
	RET(lseek(n, 0, SEEK_SET) >= 0);
	make("bad", "");
	RET(read(n, (void *)8, 64));
	(void)unlink("bad");
	(void)unlink("name");
	(void)unlink("second_name_is_long");
	(void)close(n);
	tmp_leave();
}

BOTH(names_of_all_sizes)
{
	char name[256];
	unsigned i;
	int n;

	enter();
	n = new_set(".", IN_CREATE);
	for (i = 0; i < 5; i++) {
		static const unsigned size[] = { 1, 15, 16, 254, 255 };

		memset(name, 'a' + (int)i, sizeof name);
		name[size[i]] = '\0';
		make(name, "");
		drain(n);
		(void)unlink(name);
	}
	(void)close(n);
	tmp_leave();
}

BOTH(repeated_events_are_one)
{
	int n, fd;

	enter();
	n = new_set(".", IN_MODIFY | IN_ATTRIB);
	MUST((fd = open("f", O_CREAT | O_RDWR, 0644)) >= 0);
	RET(write(fd, "1", 1));
	RET(write(fd, "2", 1));
	RET(write(fd, "3", 1));
	RET(fchmod(fd, 0600));
	RET(write(fd, "4", 1));
	drain(n);
	RET(write(fd, "5", 1));
	drain(n);
	(void)close(fd);
	(void)unlink("f");
	(void)close(n);
	tmp_leave();
}

BOTH(oneshot)
{
	int n;

	enter();
	n = new_set(".", IN_CREATE | IN_ONESHOT);
	make("a", "");
	make("b", "");
	drain(n);
	RET(inotify_rm_watch(n, 1));
	RET(inotify_add_watch(n, ".", IN_DELETE));
	(void)unlink("a");
	(void)unlink("b");
	drain(n);
	(void)close(n);
	tmp_leave();
}

BOTH(masks)
{
	int n;

	enter();
	make("f", "");
	n = new_set(".", IN_CREATE);
	RET(inotify_add_watch(n, ".", IN_DELETE));
	make("a", "");
	(void)unlink("a");
	drain(n);
	RET(inotify_add_watch(n, ".", IN_CREATE | IN_MASK_ADD));
	make("a", "");
	(void)unlink("a");
	drain(n);
	RET(inotify_add_watch(n, ".", IN_CREATE | IN_MASK_CREATE));
	RET(inotify_add_watch(n, ".", IN_CREATE | IN_MASK_ADD |
	    IN_MASK_CREATE));
	RET(inotify_add_watch(n, "f", IN_OPEN | IN_ONLYDIR));
	RET(inotify_add_watch(n, "none", IN_OPEN));
	RET(inotify_add_watch(n, "f", 0));
	RET(inotify_add_watch(n, "f", IN_ONLYDIR));
	RET(inotify_rm_watch(n, 1));
	drain(n);
	RET(inotify_rm_watch(n, 1));
	make("b", "");
	drain(n);
	(void)unlink("b");
	(void)unlink("f");
	(void)close(n);
	tmp_leave();
}

BOTH(deleted_while_open)
{
	int n, fd;

	enter();
	MUST((fd = open("f", O_CREAT | O_RDWR, 0644)) >= 0);
	n = new_set("f", IN_ALL_EVENTS);
	RET(unlink("f"));
	drain(n);
	RET(write(fd, "x", 1));
	drain(n);
	RET(close(fd));
	drain(n);
	(void)close(n);
	tmp_leave();
}

BOTH(two_sets)
{
	int n1, n2;

	enter();
	n1 = new_set(".", IN_CREATE);
	n2 = new_set(".", IN_CREATE | IN_DELETE);
	make("a", "");
	(void)unlink("a");
	drain(n1);
	drain(n2);
	(void)close(n1);
	make("a", "");
	(void)unlink("a");
	drain(n2);
	(void)close(n2);
	tmp_leave();
}

BOTH(poll_and_epoll)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct pollfd p;
	int n, e;

	enter();
	n = new_set(".", IN_CREATE);
	p.fd = n;
	p.events = POLLIN | POLLOUT;
	RET(poll(&p, 1, 0));
	MUST((e = epoll_create1(0)) >= 0);
	RET(epoll_ctl(e, EPOLL_CTL_ADD, n, &ev));
	RET(epoll_wait(e, &ev, 1, 10));
	make("a", "");
	RET(poll(&p, 1, 0));
	SHOW(p.revents & (POLLIN | POLLOUT));
	RET(epoll_wait(e, &ev, 1, 0));
	SHOW(ev.events);
	drain(n);
	RET(epoll_wait(e, &ev, 1, 0));
	ev.events = EPOLLIN | EPOLLET;
	RET(epoll_ctl(e, EPOLL_CTL_MOD, n, &ev));
	make("b", "");
	RET(epoll_wait(e, &ev, 1, 0));
	RET(epoll_wait(e, &ev, 1, 0));
	make("c", "");
	RET(epoll_wait(e, &ev, 1, 0));
	(void)unlink("a");
	(void)unlink("b");
	(void)unlink("c");
	(void)close(e);
	(void)close(n);
	tmp_leave();
}

static void *
create_later(void *priv)
{

	(void)priv;
	ms_sleep(30);
	make("later", "");
	return (NULL);
}

BOTH(blocking_read)
{
	char b[256] __attribute__((aligned(8)));
	const struct inotify_event *e = (const void *)b;
	pthread_t th;
	int n;

	enter();
	MUST((n = inotify_init()) >= 0);
	RET(inotify_add_watch(n, ".", IN_CREATE));
	th = thread_start(create_later, NULL);
	RET(read(n, b, sizeof b));
	say("%s", e->name);
	(void)pthread_join(th, NULL);
	(void)unlink("later");
	(void)close(n);
	tmp_leave();
}

BOTH(overflow)
{
	char b[65536] __attribute__((aligned(8)));
	const struct inotify_event *e;
	unsigned lost = 0, after = 0;
	ssize_t l, at;
	int n, i;

	enter();
	n = new_set(".", IN_CREATE | IN_DELETE);
	for (i = 0; i < 9000; i++) {
		make("f", "");
		(void)unlink("f");
	}
	while ((l = read(n, b, sizeof b)) > 0)
		for (at = 0; at < l; at += (ssize_t)(sizeof *e + e->len)) {
			e = (const void *)(b + at);
			if (lost)
				after++;
			if (e->mask & IN_Q_OVERFLOW) {
				lost++;
				SHOW(e->wd);
				SHOW(e->len);
			}
		}
	SHOW(lost);
	SHOW(after);
	make("f", "");
	drain(n);
	(void)unlink("f");
	(void)close(n);
	tmp_leave();
}

BOTH(sendfile_and_copies)
{
	int n, in, out;

	enter();
	make("in", "twelve bytes");
	/* Linux 6.1 tells of the writing twice */
	n = new_set(".", IN_ALL_EVENTS & ~IN_MODIFY);
	MUST((in = open("in", O_RDONLY)) >= 0);
	MUST((out = open("out", O_CREAT | O_RDWR, 0644)) >= 0);
	drain(n);
	RET(syscall(SYS_copy_file_range, in, NULL, out, NULL, 4, 0));
	drain(n);
	(void)close(in);
	(void)close(out);
	(void)unlink("in");
	(void)unlink("out");
	(void)close(n);
	tmp_leave();
}

BOTH(dup_closes_once)
{
	int n, fd, fd2;

	enter();
	make("f", "");
	n = new_set(".", IN_CLOSE);
	MUST((fd = open("f", O_RDONLY)) >= 0);
	MUST((fd2 = dup(fd)) >= 0);
	RET(close(fd));
	drain(n);
	RET(close(fd2));
	drain(n);
	(void)unlink("f");
	(void)close(n);
	tmp_leave();
}
