/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * /proc/self, /dev: what programs look up about themselves.
 */

#define _GNU_SOURCE
#include <sys/stat.h>

#include <fcntl.h>

#include "prog.h"

extern char etext;

static int
in_file(const char *file, const char *what)
{
	char b[256];
	FILE *f = fopen(file, "r");
	int found = 0;

	while (f != NULL && fgets(b, sizeof b, f) != NULL)
		found |= strncmp(b, what, strlen(what)) == 0 ||
		    (what[0] == '[' && strstr(b, what) != NULL);
	if (f != NULL)
		(void)fclose(f);
	return (found);
}

/* Is `p` in a line of /proc/self/maps with these permissions? */
static int
mapped(const void *p, const char *perm)
{
	unsigned long lo, hi;
	char b[512], *e;
	FILE *f = fopen("/proc/self/maps", "r");
	int found = 0;

	while (f != NULL && fgets(b, sizeof b, f) != NULL) {
		lo = strtoul(b, &e, 16);
		hi = strtoul(e + 1, &e, 16);
		if ((uintptr_t)p >= lo && (uintptr_t)p < hi)
			found = strncmp(e + 1, perm, 4) == 0;
	}
	if (f != NULL)
		(void)fclose(f);
	return (found);
}

int
main(int argc, char **argv)
{
	char b[512], c[64];
	struct stat st;
	ssize_t n;
	int fd;

	(void)argc;
	n = readlink("/proc/self/exe", b, sizeof b - 1);
	OK(n > 0);
	b[n > 0 ? n : 0] = '\0';
	OK(b[0] == '/' && strcmp(strrchr(b, '/'), strrchr(argv[0], '/')) == 0);
	fd = open("/proc/self/exe", O_RDONLY);
	OK(fd >= 0 && read(fd, b, 4) == 4 && memcmp(b, "\177ELF", 4) == 0);
	(void)snprintf(c, sizeof c, "/proc/self/fd/%d", fd);
	OK(readlink(c, b, sizeof b) > 0);
	OK(close(fd) == 0 && readlink(c, b, sizeof b) == -1);
	OK(in_file("/proc/self/status", "Pid:"));
	OK(in_file("/proc/self/maps", "") && mapped(&st, "rw-p"));
	OK(mapped((const void *)main, "r-xp"));
	OK(in_file("/proc/self/maps", "[stack]"));
	fd = open("/proc/self/cmdline", O_RDONLY);
	OK(fd >= 0 && read(fd, b, sizeof b) >= (ssize_t)strlen(argv[0]) + 1 &&
	    strcmp(b, argv[0]) == 0);
	OK(close(fd) == 0);
	(void)snprintf(c, sizeof c, "/proc/%d/stat", (int)getpid());
	OK(stat(c, &st) == 0);
	OK(in_file("/proc/cpuinfo", "processor"));
	OK(in_file("/proc/meminfo", "MemTotal:"));
	fd = open("/dev/null", O_RDWR);
	OK(fd >= 0 && write(fd, "x", 1) == 1 && read(fd, b, 1) == 0);
	OK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode));
	OK(close(fd) == 0);
	fd = open("/dev/zero", O_RDONLY);
	b[0] = 1;
	OK(fd >= 0 && read(fd, b, 100) == 100 && b[0] == 0 && b[99] == 0);
	OK(close(fd) == 0);
	return (0);
}
