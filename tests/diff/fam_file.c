/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The contents of files, each case twice: on an ordinary file system, and in
 * memory (/dev/shm); and memfd_create(2).
 */

#include "diff.h"

#include <linux/falloc.h>
#include <sys/sendfile.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <sys/uio.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

static char name[64];

static int
make(int mem)
{
	int fd;

	(void)snprintf(name, sizeof name, "%s/tkvm-diff-XXXXXX",
	    mem ? "/dev/shm" : "/tmp");
	fd = mkstemp(name);
	if (fd < 0) {
		say("%s: %s", name, errno_name(errno));
		_exit(99);
	}
	return (fd);
}

static void
done(int fd)
{

	RET(close(fd));
	RET(unlink(name));
}

#define BOTH(nm)							\
	static void do_##nm(int);					\
	CASE(nm##_disk) { int f = make(0); do_##nm(f); done(f); }	\
	CASE(nm##_mem) { int f = make(1); do_##nm(f); done(f); }	\
	static void							\
	do_##nm(int fd __attribute__((unused)))

static long
size_of(int fd)
{
	struct stat st;

	return (fstat(fd, &st) != 0 ? -1 : (long)st.st_size);
}

static void
text(int fd, long off, size_t n)
{
	char b[200];
	ssize_t r;

	r = pread(fd, b, n, off);
	for (ssize_t i = 0; i < r; i++)
		if (b[i] == 0)
			b[i] = '.';
	say("%ld+%zu: %ld \"%.*s\"", off, n, (long)r, (int)(r < 0 ? 0 : r), b);
}

BOTH(read_write)
{
	char b[100];

	RET(write(fd, "0123456789", 10));
	RET(read(fd, b, 10));
	RET(lseek(fd, 3, SEEK_SET));
	RET(read(fd, b, 4));
	say("%.4s", b);
	RET(read(fd, b, 100));
	RET(read(fd, b, 100));
	RET(read(fd, b, 0));
	RET(write(fd, b, 0));
	RET(read(99, b, 1));
	RET(read(fd, (void *)8, 1));
	RET(lseek(fd, 0, SEEK_SET));
	RET(read(fd, (void *)8, 1));
	RET(write(fd, (void *)8, 1));
	RET(read(fd, b, (size_t)-1));
	RET(pread(fd, b, 3, 8));
	RET(pread(fd, b, 3, 100));
	RET(pread(fd, b, 3, -1));
	RET(pwrite(fd, "ab", 2, 20));
	SHOW(size_of(fd));
	text(fd, 0, 30);
	RET(lseek(fd, 0, SEEK_CUR));
}

BOTH(edges)
{
	uint8_t *e = mem_edge();

	memset(e - 100, 'x', 100);
	RET(write(fd, e - 5, 10));
	RET(write(fd, e, 10));
	RET(lseek(fd, 0, SEEK_SET));
	RET(read(fd, e - 2, 5));
	RET(lseek(fd, 0, SEEK_CUR));
	RET(pread(fd, e, 5, 0));
	RET(pread(fd, e, 5, 100));
	RET(pwrite(fd, e - 3, 100, 4094));
	SHOW(size_of(fd));
}

BOTH(vectors)
{
	uint8_t *e = mem_edge();
	struct iovec v[4] = { { (char *)"abc", 3 }, { NULL, 0 },
	    { (char *)"defg", 4 }, { (char *)"hi", 2 } };
	struct iovec big[1100];
	char x[5], y[5];

	RET(writev(fd, v, 4));
	text(fd, 0, 20);
	RET(writev(fd, v, 0));
	RET(writev(fd, v, -1));
	RET(writev(fd, (void *)8, 1));
	memset(big, 0, sizeof big);
	RET(writev(fd, big, 1024));
	RET(writev(fd, big, 1025));
	v[1].iov_base = (void *)8;
	v[1].iov_len = 5;
	RET(pwritev(fd, v, 3, 20));
	SHOW(size_of(fd));
	v[0].iov_len = (size_t)-1;
	RET(writev(fd, v, 2));
	v[0].iov_base = x;
	v[0].iov_len = 5;
	v[1].iov_base = y;
	v[1].iov_len = 5;
	RET(preadv(fd, v, 2, 1));
	say("%.5s %.3s", x, y);
	RET(preadv(fd, v, 2, -1));
	RET(preadv2(fd, v, 2, -1, 0));
	RET(preadv2(fd, v, 2, 0, 0x4000));
	RET(pwritev2(fd, v, 1, 0, RWF_APPEND));
	SHOW(size_of(fd));
	v[0].iov_base = e - 2;
	v[0].iov_len = 4;
	RET(preadv(fd, v, 1, 0));
	memcpy(e - 16, v, 16);
	RET(preadv(fd, (void *)(e - 16), 1, 0));
	RET(preadv(fd, (void *)(e - 16), 2, 0));
}

BOTH(append)
{
	int a;

	MUST((a = open(name, O_RDWR | O_APPEND)) >= 0);
	RET(write(a, "one", 3));
	RET(lseek(a, 0, SEEK_SET));
	RET(write(a, "two", 3));
	RET(lseek(a, 0, SEEK_CUR));
	RET(pwrite(a, "three", 5, 0));
	text(fd, 0, 20);
	RET(fcntl(a, F_GETFL) & O_APPEND);
	RET(fcntl(a, F_SETFL, 0));
	RET(pwrite(a, "X", 1, 0));
	text(fd, 0, 20);
	close(a);
}

BOTH(access_modes)
{
	char b[5];
	int r, w;

	MUST((r = open(name, O_RDONLY)) >= 0);
	MUST((w = open(name, O_WRONLY)) >= 0);
	RET(write(r, "x", 1));
	RET(read(w, b, 1));
	RET(ftruncate(r, 5));
	RET(ftruncate(w, 5));
	RET(pread(w, b, 1, 0));
	WORKS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, w, 0));
	RET(fallocate(r, 0, 0, 10));
	RET(open(name, 3));
	close(r);
	close(w);
}

BOTH(seek)
{

	RET(write(fd, "0123456789", 10));
	RET(lseek(fd, -3, SEEK_END));
	RET(lseek(fd, -3, SEEK_CUR));
	RET(lseek(fd, -8, SEEK_CUR));
	RET(lseek(fd, -1, SEEK_SET));
	RET(lseek(fd, 100, SEEK_SET));
	RET(lseek(fd, 0, 99));
	RET(lseek(fd, INT64_MAX, SEEK_CUR));
	RET(lseek(99, 0, SEEK_SET));
	RET(write(fd, "x", 1));
	SHOW(size_of(fd));
	text(fd, 95, 10);
}

BOTH(holes)
{

	RET(ftruncate(fd, 1 << 20));
	RET(lseek(fd, 0, SEEK_DATA));
	RET(lseek(fd, 0, SEEK_HOLE));
	RET(pwrite(fd, "x", 1, 256 << 10));
	RET(lseek(fd, 0, SEEK_DATA));
	RET(lseek(fd, 256 << 10, SEEK_HOLE));
	RET(lseek(fd, 256 << 10, SEEK_DATA));
	RET(lseek(fd, 1 << 20, SEEK_DATA));
	RET(lseek(fd, 1 << 20, SEEK_HOLE));
	RET(lseek(fd, (1 << 20) - 1, SEEK_HOLE));
	RET(lseek(fd, -1, SEEK_DATA));
	text(fd, (256 << 10) - 2, 5);
}

BOTH(truncates)
{

	RET(write(fd, "0123456789", 10));
	RET(ftruncate(fd, 4));
	RET(ftruncate(fd, 8));
	text(fd, 0, 10);
	RET(ftruncate(fd, -1));
	RET(truncate(name, 6));
	SHOW(size_of(fd));
	RET(truncate("/nonexistent", 1));
	RET(truncate("/tmp", 1));
	RET(ftruncate(99, 1));
	RET(ftruncate(fd, 10000));
	RET(pwrite(fd, "tail", 4, 8190));
	RET(ftruncate(fd, 8191));
	RET(ftruncate(fd, 9000));
	text(fd, 8188, 8);
	RET(ftruncate(fd, 0));
	SHOW(size_of(fd));
}

BOTH(fallocates)
{
	struct stat st;

	RET(fallocate(fd, 0, 0, 10000));
	SHOW(size_of(fd));
	RET(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000));
	SHOW(size_of(fd));
	RET(fallocate(fd, 0, -1, 10));
	RET(fallocate(fd, 0, 0, 0));
	RET(pwrite(fd, "abcdefghij", 10, 4090));
	RET(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4092,
	    100));
	text(fd, 4088, 16);
	RET(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
	    8192));
	text(fd, 4088, 16);
	RET(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	RET(posix_fallocate(fd, 0, 100));
	RET(fstat(fd, &st));
	SHOW(st.st_size);
}

BOTH(syncs)
{

	RET(fsync(fd));
	RET(fdatasync(fd));
	RET(fsync(99));
	RET(syscall(SYS_sync_file_range, fd, 0L, 0L, 0));
	RET(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
	RET(posix_fadvise(fd, 0, 0, 99));
	RET(posix_fadvise(99, 0, 0, 0));
	RET(syscall(SYS_readahead, fd, 0L, 100));
	RET(syncfs(fd));
}

BOTH(sendfile_to_pipe)
{
	char b[100];
	off_t off = 2;
	int p[2];

	MUST(pipe(p) == 0);
	RET(write(fd, "0123456789", 10));
	RET(sendfile(p[1], fd, NULL, 10));
	RET(sendfile(p[1], fd, &off, 5));
	SHOW(off);
	RET(read(p[0], b, sizeof b));
	say("%.5s", b);
	RET(lseek(fd, 0, SEEK_SET));
	RET(sendfile(p[1], fd, NULL, 4));
	RET(lseek(fd, 0, SEEK_CUR));
	RET(sendfile(fd, p[0], NULL, 4));
	RET(sendfile(p[1], fd, (void *)8, 4));
	RET(sendfile(p[1], 99, NULL, 4));
	RET(sendfile(99, fd, NULL, 4));
	RET(sendfile(p[1], fd, NULL, 0));
	off = -1;
	RET(sendfile(p[1], fd, &off, 4));
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	RET(sendfile(p[1], fd, NULL, 4));
	signal(SIGPIPE, SIG_DFL);
	close(p[1]);
}

BOTH(copy_range)
{
	loff_t in = 1, out = 3;
	int b;

	RET(write(fd, "0123456789", 10));
	MUST((b = memfd_create("x", 0)) >= 0);
	RET(copy_file_range(fd, &in, b, &out, 4, 0));
	SHOW(in);
	SHOW(out);
	text(b, 0, 10);
	RET(lseek(fd, 0, SEEK_SET));
	RET(copy_file_range(fd, NULL, b, NULL, 100, 0));
	RET(lseek(fd, 0, SEEK_CUR));
	text(b, 0, 20);
	RET(copy_file_range(fd, NULL, b, NULL, 100, 0));
	RET(copy_file_range(fd, NULL, b, NULL, 1, 1));
	RET(copy_file_range(fd, NULL, 99, NULL, 1, 0));
	in = 0;
	RET(copy_file_range(b, &in, fd, NULL, 3, 0));
	text(fd, 8, 10);
	close(b);
}

BOTH(splices)
{
	char b[100];
	loff_t off = 2;
	int p[2], q[2];

	MUST(pipe(p) == 0 && pipe(q) == 0);
	RET(write(fd, "0123456789", 10));
	RET(splice(fd, &off, p[1], NULL, 5, 0));
	SHOW(off);
	RET(tee(p[0], q[1], 3, 0));
	RET(read(q[0], b, sizeof b));
	say("%.3s", b);
	RET(splice(p[0], NULL, q[1], NULL, 100, 0));
	RET(read(q[0], b, sizeof b));
	say("%.5s", b);
	RET(splice(p[0], NULL, q[1], NULL, 1, SPLICE_F_NONBLOCK));
	RET(write(p[1], "xyz", 3));
	off = 20;
	RET(splice(p[0], NULL, fd, &off, 3, 0));
	text(fd, 18, 8);
	RET(splice(p[0], &off, q[1], NULL, 3, 0));
	RET(splice(fd, NULL, fd, NULL, 3, 0));
	RET(splice(fd, NULL, p[1], NULL, 0, 0));
	RET(splice(99, NULL, p[1], NULL, 1, 0));
	RET(splice(fd, NULL, p[1], NULL, 1, 99));
	RET(tee(fd, p[1], 3, 0));
	RET(tee(p[0], p[1], 3, 0));
	RET(lseek(fd, 100, SEEK_SET));
	RET(splice(fd, NULL, p[1], NULL, 3, 0));
	close(p[1]);
	RET(splice(p[0], NULL, q[1], NULL, 3, 0));
	RET(tee(p[0], q[1], 3, 0));
	close(p[0]);
	close(q[0]);
	close(q[1]);
}

CASE(vmsplices)
{
	struct iovec v[2] = { { (char *)"hello", 5 }, { (char *)" you", 4 } };
	char b[20] = "", c[20] = "";
	int p[2];

	MUST(pipe(p) == 0);
	RET(vmsplice(p[1], v, 2, 0));
	RET(read(p[0], b, 4));
	say("%.4s", b);
	v[0].iov_base = b;
	v[1].iov_base = c;
	RET(vmsplice(p[0], v, 2, 0));
	say("%.5s", b);
	RET(vmsplice(p[0], v, 2, SPLICE_F_NONBLOCK));
	RET(vmsplice(p[1], v, 0, 0));
	RET(vmsplice(p[1], (void *)8, 1, 0));
	v[0].iov_base = (void *)8;
	RET(vmsplice(p[1], v, 1, 0));
	RET(vmsplice(99, v, 1, 0));
	RET(vmsplice(0, v, 1, 0));
	close(p[0]);
	close(p[1]);
}

BOTH(map_private)
{
	char *m;

	RET(write(fd, "0123456789", 10));
	m = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(m != MAP_FAILED);
	say("%.10s", m);
	SHOW(m[10]);
	SHOW(m[4095]);
	m[0] = 'X';
	text(fd, 0, 10);
	RET(munmap(m, PG));
	WORKS(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 100));
	WORKS(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, 99, 0));
	WORKS(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0));
	WORKS(mmap(NULL, PG, PROT_READ, 0, fd, 0));
}

BOTH(ioctls)
{
	int n = -1;

	RET(write(fd, "0123456789", 10));
	RET(lseek(fd, 4, SEEK_SET));
	RET(ioctl(fd, FIONREAD, &n));
	SHOW(n);
	RET(ioctl(fd, FIOCLEX));
	RET(fcntl(fd, F_GETFD));
	RET(ioctl(fd, FIONCLEX));
	RET(fcntl(fd, F_GETFD));
	RET(ioctl(fd, 0x5401, &n));
	RET(ioctl(99, FIONREAD, &n));
}

BOTH(reopen)
{
	char p[64], b[10];
	int f;

	RET(write(fd, "0123456789", 10));
	(void)snprintf(p, sizeof p, "/proc/self/fd/%d", fd);
	MUST((f = open(p, O_RDONLY)) >= 0);
	RET(lseek(f, 0, SEEK_CUR));
	RET(read(f, b, 3));
	RET(lseek(fd, 0, SEEK_CUR));
	RET(write(f, b, 1));
	close(f);
	RET(f = open(p, O_RDWR | O_TRUNC));
	SHOW(size_of(fd));
	close(f);
}

/* ---- shared mappings of files in memory ------------------------------------------ */

CASE(map_shared)
{
	char *m, *n, b[10];
	int fd;

	MUST((fd = memfd_create("m", 0)) >= 0);
	RET(ftruncate(fd, 3 * (long)PG));
	m = mmap(NULL, 3 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(m != MAP_FAILED);
	n = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (long)PG);
	MUST(n != MAP_FAILED);
	strcpy(m + PG, "one");
	say("%s", n);
	strcpy(n + 10, "two");
	say("%s", m + PG + 10);
	RET(pread(fd, b, 3, (long)PG + 10));
	say("%.3s", b);
	RET(pwrite(fd, "three", 6, 5));
	say("%s", m + 5);
	RET(munmap(m, PG));
	m[PG] = 'O';
	say("%s", n);
	RET(close(fd));
	m[PG] = 'p';
	say("%s", n);
	RET(munmap(m + PG, 2 * PG));
	say("%s", n);
	RET(munmap(n, PG));
}

CASE(map_shared_beyond)
{
	char *m;
	int fd;

	MUST((fd = memfd_create("m", 0)) >= 0);
	RET(ftruncate(fd, 100));
	m = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(m != MAP_FAILED);
	WRITES(m + PG - 1);
	READS(m + PG);
	RET(ftruncate(fd, 2 * (long)PG));
	SHOW(m[PG - 1]);
	WRITES(m + PG);
	RET(ftruncate(fd, (long)PG));
	READS(m + PG);
	READS(m);
	RET(read(fd, m + PG, 10));
	RET(ftruncate(fd, 0));
	READS(m);
	RET(munmap(m, 2 * PG));
	close(fd);
}

CASE(map_shared_rights)
{
	char *m;
	int fd, r;
	char p[64];

	MUST((fd = memfd_create("m", 0)) >= 0);
	RET(ftruncate(fd, 2 * (long)PG));
	(void)snprintf(p, sizeof p, "/proc/self/fd/%d", fd);
	MUST((r = open(p, O_RDONLY)) >= 0);
	WORKS(mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, r, 0));
	m = mmap(NULL, PG, PROT_READ, MAP_SHARED, r, 0);
	MUST(m != MAP_FAILED);
	RET(mprotect(m, PG, PROT_READ | PROT_WRITE));
	READS(m);
	WRITES(m);
	RET(munmap(m, PG));
	m = mmap(NULL, 2 * PG, PROT_READ, MAP_SHARED, fd, 0);
	MUST(m != MAP_FAILED);
	WRITES(m);
	RET(mprotect(m, PG, PROT_READ | PROT_WRITE));
	WRITES(m);
	WRITES(m + PG);
	RET(mprotect(m, PG, PROT_NONE));
	READS(m);
	RET(mprotect(m, 2 * PG, PROT_READ));
	SHOW(m[0]);
	RET(munmap(m, 2 * PG));
	close(r);
	close(fd);
}

CASE(map_shared_moved)
{
	char *m, *n;
	int fd;

	MUST((fd = memfd_create("m", 0)) >= 0);
	RET(ftruncate(fd, 4 * (long)PG));
	RET(pwrite(fd, "abc", 3, 0));
	RET(pwrite(fd, "def", 3, 3 * (long)PG));
	m = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(m != MAP_FAILED);
	m[1] = 'B';
	n = mremap(m, PG, 4 * PG, MREMAP_MAYMOVE);
	MUST(n != MAP_FAILED);
	say("%.3s %.3s", n, n + 3 * PG);
	n[3 * PG] = 'D';
	RET(madvise(n, 4 * PG, MADV_DONTNEED));
	say("%.3s %.3s", n, n + 3 * PG);
	text(fd, 3 * (long)PG, 3);
	RET(msync(n, 4 * PG, MS_SYNC));
	RET(munmap(n, 4 * PG));
	text(fd, 0, 3);
	close(fd);
}

CASE(punch_mapped)
{
	char *m;
	int fd;

	MUST((fd = memfd_create("m", 0)) >= 0);
	RET(ftruncate(fd, 2 * (long)PG));
	m = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(m != MAP_FAILED);
	memset(m, 'x', 2 * PG);
	RET(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
	    (long)PG));
	SHOW(m[0]);
	SHOW(m[PG]);
	m[0] = 'y';
	text(fd, 0, 2);
	RET(munmap(m, 2 * PG));
	close(fd);
}

CASE(memfds)
{
	struct stat st;
	char b[300], l[100];
	ssize_t n;
	int fd;

	MUST((fd = memfd_create("name", MFD_CLOEXEC)) >= 0);
	RET(fcntl(fd, F_GETFD));
	RET(fcntl(fd, F_GETFL) & O_ACCMODE);
	RET(fstat(fd, &st));
	say("%o %ld %ld", st.st_mode, (long)st.st_nlink, (long)st.st_size);
	(void)snprintf(b, sizeof b, "/proc/self/fd/%d", fd);
	n = readlink(b, l, sizeof l);
	say("%.*s", (int)n, l);
	close(fd);
	RET(memfd_create("x", 0x100));
	RET(memfd_create((char *)8, 0));
	memset(b, 'x', sizeof b);
	b[249] = '\0';
	RET(close(memfd_create(b, 0)));
	b[249] = 'x';
	b[250] = '\0';
	RET(memfd_create(b, 0));
	RET(close(memfd_create("", 0)));
}

CASE(seals)
{
	char *m;
	int fd;

	MUST((fd = memfd_create("s", 0)) >= 0);
	RET(fcntl(fd, F_GET_SEALS));
	RET(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	close(fd);
	MUST((fd = memfd_create("s", MFD_ALLOW_SEALING)) >= 0);
	RET(fcntl(fd, F_GET_SEALS));
	RET(write(fd, "0123456789", 10));
	RET(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	RET(write(fd, "x", 1));
	RET(pwrite(fd, "xyz", 3, 8));
	RET(ftruncate(fd, 20));
	RET(ftruncate(fd, 9));
	RET(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	RET(ftruncate(fd, 5));
	m = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(m != MAP_FAILED);
	RET(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	RET(munmap(m, PG));
	RET(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	RET(pwrite(fd, "x", 1, 0));
	WORKS(mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	m = mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 0);
	MUST(m != MAP_FAILED);
	RET(mprotect(m, PG, PROT_READ | PROT_WRITE));
	RET(munmap(m, PG));
	RET(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	RET(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	RET(fcntl(fd, F_GET_SEALS));
	RET(fcntl(fd, F_ADD_SEALS, 0x1000));
	RET(fcntl(0, F_GET_SEALS));
	close(fd);
}

CASE(shm_opens)
{
	char *m;
	int a, b;

	RET(shm_open("/tkvm-none", O_RDWR, 0600));
	RET(a = shm_open("/tkvm-shm", O_RDWR | O_CREAT | O_EXCL, 0600));
	RET(b = shm_open("/tkvm-shm", O_RDONLY, 0));
	RET(ftruncate(a, 100));
	m = mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
	MUST(m != MAP_FAILED);
	strcpy(m, "shared");
	text(b, 0, 6);
	RET(shm_unlink("/tkvm-shm"));
	RET(shm_unlink("/tkvm-shm"));
	strcpy(m, "SHARED");
	text(b, 0, 6);
	RET(munmap(m, 100));
	close(a);
	close(b);
}

CASE(large)
{
	static char b[65536];
	int fd;
	long sum = 0;

	MUST((fd = memfd_create("l", 0)) >= 0);
	memset(b, 'q', sizeof b);
	for (int i = 0; i < 100; i++)
		sum += write(fd, b, sizeof b);
	SHOW(sum);
	RET(pwrite(fd, "end", 3, 5L << 30));
	SHOW(size_of(fd));
	RET(pread(fd, b, 10, (5L << 30) - 7));
	SHOW(b[0]);
	SHOW(b[7]);
	RET(pread(fd, b, sizeof b, 99 * 65536L));
	SHOW(b[65535]);
	RET(lseek(fd, 100 * 65536L, SEEK_DATA));
	RET(ftruncate(fd, 1000));
	RET(pread(fd, b, 10, 995));
	close(fd);
}

/* /proc has none on any host. */
CASE(xattrs)
{
	char b[100];
	int fd;

	RET(listxattr("/none", b, sizeof b));
	RET(getxattr("/none", "user.x", b, sizeof b));
	RET(getxattr("/proc/self/stat", "user.x", b, sizeof b));
	RET(setxattr("/proc/self/stat", "user.x", "v", 1, 0));
	MUST((fd = open("/proc/self/stat", O_RDONLY)) >= 0);
	RET(fgetxattr(fd, "user.x", b, sizeof b));
	RET(flistxattr(fd, b, sizeof b));
	RET(fgetxattr(99, "user.x", b, sizeof b));
	RET(fremovexattr(fd, "user.x"));
	close(fd);
}
