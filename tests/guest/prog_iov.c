/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * readv, writev, preadv, sendfile, splice-free copying.
 */

#define _GNU_SOURCE
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <fcntl.h>

#include "prog.h"

int
main(void)
{
	struct iovec w[3] = { { "one", 3 }, { "", 0 }, { "three", 5 } }, r[2];
	static char big[300000], back[300000];
	char a[4] = "", b[16] = "";
	ssize_t n, got;
	off_t off;
	int fd, s[2];
	size_t i;

	prog_tmpdir();
	fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600);
	OK(writev(fd, w, 3) == 8);
	OK(pwritev(fd, w, 1, 8) == 3);
	OK(lseek(fd, 0, SEEK_SET) == 0);
	r[0] = (struct iovec){ a, 3 };
	r[1] = (struct iovec){ b, sizeof b };
	OK(readv(fd, r, 2) == 11 && strcmp(a, "one") == 0 &&
	    memcmp(b, "threeone", 8) == 0);
	OK(preadv(fd, r, 2, 4) == 7 && memcmp(a, "hre", 3) == 0);
	OK(readv(fd, r, 2) == 0);
	OK(writev(fd, w, 0) == 0);
	ERR(syscall(SYS_writev, fd, w, 2000), EINVAL);
	ERR(syscall(SYS_writev, fd, w, -1), EINVAL);
	w[1].iov_base = (void *)8;
	w[1].iov_len = 4;
	OK(pwritev(fd, w, 2, 0) == 3 || errno == EFAULT);
	ERR(syscall(SYS_readv, fd, (void *)8, 1), EFAULT);
	/* sendfile into a stream, with and without an offset. */
	for (i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 31 >> 3);
	OK(ftruncate(fd, 0) == 0 && pwrite(fd, big, sizeof big, 0) ==
	    (ssize_t)sizeof big);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
	off = 10;
	got = 0;
	while (got < 299990) {
		n = sendfile(s[0], fd, &off, sizeof big);
		if (n < 0 && errno != EAGAIN)
			break;
		while ((n = read(s[1], back + got, 65536)) > 0)
			got += n;
	}
	OK(got == 299990 && memcmp(big + 10, back, 299990) == 0);
	OK(off == 300000 && sendfile(s[0], fd, &off, 10) == 0);
	OK(lseek(fd, 299995, SEEK_SET) == 299995);
	OK(sendfile(s[0], fd, NULL, 100) == 5 && read(s[1], b, 16) == 5);
	OK(lseek(fd, 0, SEEK_CUR) == 300000);
	OK(close(fd) == 0 && unlink("f") == 0);
	prog_rmdir();
	return (0);
}
