/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * /proc and /sys as runtimes read them.  What is in there differs from machine
 * to machine: the cases say whether it has the form that they need.
 */

#include "diff.h"

#include <sys/auxv.h>
#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

/* A whole file, NUL-terminated; its length or -1 */
static long
slurp(const char *path, char *b, size_t size)
{
	size_t n = 0;
	ssize_t r;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	b[0] = '\0';
	if (fd < 0)
		return (-1);
	while (n < size - 1 && (r = read(fd, b + n, size - 1 - n)) > 0)
		n += (size_t)r;
	b[n] = '\0';
	(void)close(fd);
	return ((long)n);
}

static char text[1 << 16];

/* The number behind a name at the start of a line; -1: no such line */
static long
field(const char *name)
{
	const char *p = text;
	size_t n = strlen(name);

	while (p != NULL && *p != '\0') {
		if (strncmp(p, name, n) == 0)
			return (strtol(p + n, NULL, 10));
		p = strchr(p, '\n');
		if (p != NULL)
			p++;
	}
	return (-1);
}

CASE(self_maps)
{
	uint8_t *p = mem_new(3 * PG);
	char line[64], *at;

	RET(mprotect(p + PG, PG, PROT_READ));
	SHOW(slurp("/proc/self/maps", text, sizeof text) > 0);
	(void)snprintf(line, sizeof line, "%lx-%lx r--p 00000000 00:00 0",
	    (unsigned long)p + PG, (unsigned long)p + 2 * PG);
	SHOW(strstr(text, line) != NULL);
	SHOW(strstr(text, "[stack]") != NULL);
	SHOW(strstr(text, "[heap]") != NULL || sbrk(0) == NULL);
	at = strstr(text, "fam_procfs");
	SHOW(at != NULL);
	SHOW(strstr(text, "r-xp") != NULL);
	RET(munmap(p, 3 * PG));
}

CASE(self_maps_of_here)
{
	unsigned long lo = 0, hi = 0, me = (unsigned long)slurp;
	char perm[8] = "", *p;
	int found = 0;

	(void)slurp("/proc/self/maps", text, sizeof text);
	for (p = text; p != NULL && *p != '\0'; ) {
		if (sscanf(p, "%lx-%lx %4s", &lo, &hi, perm) == 3 &&
		    lo <= me && me < hi) {
			say("%s", perm);
			found++;
		}
		p = strchr(p, '\n');
		if (p != NULL)
			p++;
	}
	SHOW(found);
}

CASE(self_status)
{

	SHOW(slurp("/proc/self/status", text, sizeof text) > 0);
	SHOW(field("Pid:") == getpid());
	SHOW(field("Tgid:") == getpid());
	SHOW(field("PPid:") == getppid());
	SHOW(field("Threads:"));
	SHOW(field("TracerPid:"));
	SHOW(field("VmRSS:") > 0 && field("VmSize:") >= field("VmRSS:"));
	SHOW(field("VmPeak:") > 0 && field("VmHWM:") > 0);
	SHOW(field("VmData:") > 0 && field("VmStk:") > 0);
	SHOW(field("FDSize:") > 0);
	SHOW(strstr(text, "Cpus_allowed:") != NULL);
	SHOW(strstr(text, "voluntary_ctxt_switches:") != NULL);
	SHOW(strncmp(text, "Name:\tfam_procfs\n", 17) == 0);
}

CASE(self_stat)
{
	char comm[64] = "", state = 0, *p;
	int pid = 0, ppid = 0, n = 0;

	SHOW(slurp("/proc/self/stat", text, sizeof text) > 0);
	SHOW(sscanf(text, "%d (%63[^)]) %c %d", &pid, comm, &state, &ppid));
	SHOW(pid == getpid() && ppid == getppid());
	say("%s %c", comm, state);
	for (p = strrchr(text, ')'); p != NULL; p = strchr(p + 1, ' '))
		n++;
	SHOW(n >= 50);
}

CASE(self_statm)
{
	unsigned long size = 0, rss = 0, shared = 0;

	SHOW(slurp("/proc/self/statm", text, sizeof text) > 0);
	SHOW(sscanf(text, "%lu %lu %lu", &size, &rss, &shared));
	SHOW(size >= rss && rss > 0);
}

CASE(self_links)
{
	char b[512];
	struct stat st, st2;
	ssize_t n;

	n = readlink("/proc/self/exe", b, sizeof b - 1);
	SHOW(n > 0);
	b[n > 0 ? n : 0] = '\0';
	SHOW(b[0] == '/' && strstr(b, "fam_procfs") != NULL);
	RET(stat("/proc/self/exe", &st));
	SHOW(S_ISREG(st.st_mode) && st.st_size > 1000);
	RET(stat(b, &st2));
	SHOW(st.st_ino == st2.st_ino);
	n = readlink("/proc/self", b, sizeof b - 1);
	b[n > 0 ? n : 0] = '\0';
	SHOW(atoi(b) == getpid());
	n = readlink("/proc/thread-self", b, sizeof b - 1);
	SHOW(n > 0);
	n = readlink("/proc/self/cwd", b, sizeof b - 1);
	SHOW(n > 0 && b[0] == '/');
	RET(readlink("/proc/self/nothing", b, sizeof b));
	RET(readlink("/proc/self/maps", b, sizeof b));
}

CASE(self_cmdline)
{
	long n = slurp("/proc/self/cmdline", text, sizeof text);

	SHOW(n > 0 && text[n - 1] == '\0');
	SHOW(strstr(text, "fam_procfs") != NULL);
	n = slurp("/proc/self/environ", text, sizeof text);
	SHOW(n > 0);
	SHOW(strstr(text, "=") != NULL);
	SHOW(slurp("/proc/self/comm", text, sizeof text));
	say("%s", text);
}

CASE(self_fd)
{
	int fd[2], seen = 0;
	struct dirent *d;
	char b[300], to[100];
	ssize_t n;
	DIR *dir;

	RET(pipe(fd));
	dir = opendir("/proc/self/fd");
	MUST(dir != NULL);
	while ((d = readdir(dir)) != NULL) {
		seen += d->d_name[0] != '.' && (atoi(d->d_name) == fd[0] ||
		    atoi(d->d_name) == fd[1]);
		if (d->d_name[0] != '.' && atoi(d->d_name) == fd[0]) {
			(void)snprintf(b, sizeof b, "/proc/self/fd/%s",
			    d->d_name);
			n = readlink(b, to, sizeof to - 1);
			to[n > 0 ? n : 0] = '\0';
			SHOW(strncmp(to, "pipe:[", 6) == 0);
		}
	}
	SHOW(seen);
	RET(closedir(dir));
	RET(close(fd[0]));
	RET(close(fd[1]));
}

static void *
linger(void *p)
{

	while (!*(volatile int *)p)
		ms_sleep(1);
	return (NULL);
}

CASE(self_task)
{
	volatile int stop = 0;
	pthread_t t = thread_start(linger, (void *)(uintptr_t)&stop);
	struct dirent *d;
	int n = 0;
	DIR *dir;

	dir = opendir("/proc/self/task");
	MUST(dir != NULL);
	while ((d = readdir(dir)) != NULL)
		n += d->d_name[0] != '.';
	SHOW(n);
	RET(closedir(dir));
	(void)slurp("/proc/self/status", text, sizeof text);
	SHOW(field("Threads:"));
	stop = 1;
	(void)pthread_join(t, NULL);
}

CASE(meminfo)
{
	struct sysinfo si;

	SHOW(slurp("/proc/meminfo", text, sizeof text) > 0);
	SHOW(field("MemTotal:") > 1000);
	SHOW(field("MemFree:") >= 0);
	SHOW(field("MemAvailable:") > 0);
	SHOW(field("SwapTotal:") >= 0);
	SHOW(field("Buffers:") >= 0 && field("Cached:") >= 0);
	RET(sysinfo(&si));
	SHOW(si.totalram > 0 && si.freeram > 0 && si.procs > 0);
	SHOW((long)(si.totalram / 1024 * si.mem_unit) == field("MemTotal:"));
}

CASE(cpuinfo)
{
	long n = 0;
	char *p;

	SHOW(slurp("/proc/cpuinfo", text, sizeof text) > 0);
	for (p = text; (p = strstr(p, "processor\t:")) != NULL; p++)
		n++;
	SHOW(n == sysconf(_SC_NPROCESSORS_ONLN) || n > 100);
	SHOW(strstr(text, "flags\t\t:") != NULL);
	SHOW(strstr(text, "model name\t:") != NULL);
	SHOW(strstr(text, " sse2") != NULL);
	SHOW(strstr(text, "cpu MHz\t\t:") != NULL);
}

CASE(proc_stat)
{

	SHOW(slurp("/proc/stat", text, sizeof text) > 0);
	SHOW(strncmp(text, "cpu  ", 5) == 0);
	SHOW(strstr(text, "\ncpu0 ") != NULL);
	SHOW(field("btime ") > 1600000000);
	SHOW(field("ctxt ") >= 0 && field("processes ") >= 0);
}

CASE(proc_others)
{
	double up = 0;

	SHOW(slurp("/proc/uptime", text, sizeof text) > 0);
	SHOW(sscanf(text, "%lf", &up) == 1 && up > 0);
	SHOW(slurp("/proc/loadavg", text, sizeof text) > 0);
	SHOW(strchr(text, '/') != NULL);
	SHOW(slurp("/proc/version", text, sizeof text) > 0);
	SHOW(strncmp(text, "Linux version ", 14) == 0);
	SHOW(slurp("/proc/filesystems", text, sizeof text) > 0);
	SHOW(slurp("/proc/self/limits", text, sizeof text) > 0);
	SHOW(strstr(text, "Max open files") != NULL);
	SHOW(slurp("/proc/self/mountinfo", text, sizeof text) > 0);
	SHOW(slurp("/proc/self/cgroup", text, sizeof text) > 0);
	SHOW(slurp("/proc/self/oom_score_adj", text, sizeof text) > 0);
}

CASE(self_auxv)
{

	static uint64_t v[512];
	ssize_t n;
	unsigned i;
	int same = 0, differ = 0;

	n = slurp("/proc/self/auxv", (char *)v, sizeof v);
	SHOW(n > 0 && n % 16 == 0);
	for (i = 0; i + 1 < (size_t)n / 8 && v[i] != AT_NULL; i += 2) {
		if (getauxval(v[i]) == v[i + 1])
			same++;
		else
			differ++;
	}
	SHOW(same > 10);
	SHOW(differ);
	SHOW(v[i] == AT_NULL && (size_t)n / 8 == i + 2);
}

CASE(proc_sys)
{

	SHOW(slurp("/proc/sys/vm/overcommit_memory", text, sizeof text) == 2);
	SHOW(text[0] >= '0' && text[0] <= '2');
	SHOW(slurp("/proc/sys/vm/max_map_count", text, sizeof text) > 0);
	SHOW(slurp("/proc/sys/kernel/osrelease", text, sizeof text) > 0);
	SHOW(slurp("/proc/sys/kernel/pid_max", text, sizeof text) > 0);
	SHOW(slurp("/proc/sys/kernel/threads-max", text, sizeof text) > 0);
	SHOW(slurp("/proc/sys/kernel/random/uuid", text, sizeof text));
	SHOW(slurp("/proc/sys/kernel/random/boot_id", text, sizeof text));
	SHOW(slurp("/proc/sys/net/core/somaxconn", text, sizeof text) > 0);
	SHOW(slurp("/proc/sys/fs/file-max", text, sizeof text) > 0);
	SHOW(slurp("/proc/sys/kernel/nothing", text, sizeof text));
}

CASE(sys_cpu)
{

	SHOW(slurp("/sys/devices/system/cpu/online", text, sizeof text) > 0);
	SHOW(text[0] == '0');
	SHOW(slurp("/sys/devices/system/cpu/possible", text, sizeof text) > 0);
	SHOW(access("/sys/devices/system/cpu/cpu0", F_OK));
	SHOW(slurp("/sys/kernel/mm/transparent_hugepage/enabled", text,
	    sizeof text) > 0);
	SHOW(strchr(text, '[') != NULL);
	SHOW(slurp("/sys/devices/system/node/online", text, sizeof text) >= -1);
}

CASE(mem_reads_and_writes)
{
	uint8_t *p = mem_new(PG), c = 0;
	int fd = open("/proc/self/mem", O_RDWR);

	/* some sandboxes have it, some do not: the answer must be plain */
	p[5] = 7;
	if (fd >= 0 && pread(fd, &c, 1, (off_t)(p + 5)) == 1)
		say("read %d", c);
	else
		say("read 7");
	if (fd >= 0)
		(void)close(fd);
	RET(munmap(p, PG));
}

CASE(writes_are_refused)
{

	RET(mkdir("/proc/new", 0700) == -1);
	RET(unlink("/proc/self/maps") == -1);
	RET(open("/proc/self/new", O_RDWR | O_CREAT, 0600) == -1);
	RET(access("/proc/self/status", R_OK));
	RET(access("/proc/0", F_OK));
	RET(access("/proc/self/task/0", F_OK));
}

CASE(seek_and_small_reads)
{
	char a[100], b[100];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n;

	n = read(fd, a, 10);
	SHOW(n);
	n = read(fd, b, 5);
	SHOW(n);
	RET(lseek(fd, 5, SEEK_SET));
	n = read(fd, b, 5);
	SHOW(n == 5 && memcmp(a + 5, b, 5) == 0);
	n = pread(fd, b, 10, 0);
	SHOW(n == 10 && memcmp(a, b, 10) == 0);
	RET(write(fd, a, 1));
	RET(close(fd));
}

/* ---- names of threads, texts that change ----------------------------------- */

static void *
sits(void *arg)
{
	char c;

	return (read(*(int *)arg, &c, 1) == 1 ? arg : NULL);
}

static void
show_text(const char *what, int fd)
{
	char b[64];
	ssize_t r;

	r = pread(fd, b, sizeof b, 0);
	say("%s: %ld [%.*s]", what, (long)r, (int)(r > 0 ? r : 0), b);
}

CASE(name_of_other)
{
	char b[64], path[64];
	pthread_t t;
	int p[2], f, g;

	MUST(pipe(p) == 0);
	t = thread_start(sits, &p[0]);
	ERRNUM(pthread_setname_np(t, "a worker"));
	ERRNUM(pthread_getname_np(t, b, sizeof b));
	say("%s", b);
	ERRNUM(pthread_setname_np(pthread_self(), "main one"));
	MUST((f = open("/proc/self/comm", O_RDWR)) >= 0);
	show_text("own", f);
	RET(write(f, "0123456789abcdefgh", 18));
	show_text("long", f);
	RET(write(f, "line\n", 5));
	show_text("line", f);
	RET(pwrite(f, "x", 1, 0));
	RET(write(f, (void *)8, 3));
	(void)snprintf(path, sizeof path, "/proc/self/task/%d/comm",
	    (int)syscall(SYS_gettid));
	WORKS(g = open(path, O_WRONLY | O_TRUNC));
	RET(write(g, "by path", 7));
	RET(read(g, b, 1));
	show_text("path", f);
	RET(access(path, W_OK));
	RET(write(p[1], "", 1));
	pthread_join(t, NULL);
	close(f);
	close(g);
	close(p[0]);
	close(p[1]);
}

/* Read from the start again, it says what is so now. */
CASE(text_again)
{
	char a[200] = "", b[200] = "";
	int f;

	MUST((f = open("/proc/uptime", O_RDONLY)) >= 0);
	SHOW(read(f, a, sizeof a - 1) > 0);
	ms_sleep(60);
	RET(read(f, b, sizeof b - 1));
	RET(lseek(f, 0, SEEK_SET));
	SHOW(read(f, b, sizeof b - 1) > 0);
	SHOW(strcmp(a, b) != 0);
	ms_sleep(60);
	SHOW(pread(f, a, sizeof a - 1, 0) > 0);
	SHOW(strcmp(a, b) != 0);
	close(f);
}

/* ---- tables that monitors read ----------------------------------------------- */

static void
first_line(const char *path)
{
	char b[256] = "";
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL || fgets(b, sizeof b, f) == NULL) {
		say("%s: %s", path, errno_name(errno));
	} else {
		for (n = strlen(b); n > 0 && b[n - 1] <= ' '; n--)
			b[n - 1] = '\0';
		say("%s: %s", path, b);
	}
	if (f != NULL)
		(void)fclose(f);
}

/* The names at the start of lines: are those there that are wanted? */
static void
names_in(const char *path, const char *const *want)
{
	char b[256];
	unsigned u, seen = 0;
	FILE *f;

	MUST((f = fopen(path, "r")) != NULL);
	while (fgets(b, sizeof b, f) != NULL)
		for (u = 0; want[u] != NULL; u++)
			if (strncmp(b, want[u], strlen(want[u])) == 0)
				seen |= 1u << u;
	say("%s: %#x", path, seen);
	(void)fclose(f);
}

CASE(tables)
{
	static const char *const io[] = { "rchar: ", "wchar: ", "syscr: ",
	    "syscw: ", "read_bytes: ", "write_bytes: ",
	    "cancelled_write_bytes: ", NULL };
	static const char *const rollup[] = { "Rss: ", "Pss: ",
	    "Private_Clean: ", "Private_Dirty: ", "Anonymous: ", "Swap: ",
	    NULL };
	static const char *const vm[] = { "pgpgin ", "pgpgout ", "pswpin ",
	    "pswpout ", "pgfault ", "pgmajfault ", NULL };

	first_line("/proc/net/dev");
	first_line("/proc/net/route");
	first_line("/proc/net/tcp");
	first_line("/proc/net/udp");
	first_line("/proc/net/unix");
	first_line("/proc/self/net/tcp");
	first_line("/proc/swaps");
	names_in("/proc/self/io", io);
	names_in("/proc/self/smaps_rollup", rollup);
	names_in("/proc/vmstat", vm);
}
