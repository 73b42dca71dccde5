/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * kvmserver doctor: what matters on this host, and what to do about it.
 *
 * One line each: "ok", "note" (good to know), "bad" (it will not work, or is
 * not safe).  The exit status is 1 if one of them is bad.
 */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "obj.h"
#include "server/server.h"

enum verdict { V_OK, V_NOTE, V_BAD };

static int nbad;

static void __attribute__((format(printf, 3, 4)))
say(enum verdict v, const char *what, const char *fmt, ...)
{
	static const char *const name[] = { "ok  ", "note", "BAD " };
	va_list ap;

	(void)printf("%s  %s: ", name[v], what);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)printf("\n");
	nbad += v == V_BAD;
}

/* For tests: all files of the host below another root */
static const char *
rooted(const char *path, char *buf, size_t size)
{
	const char *root = getenv("TKVM_DOCTOR_ROOT");

	(void)snprintf(buf, size, "%s%s", root != NULL ? root : "", path);
	return (buf);
}

/* The first line of a file; 0, or -1 */
static int
first_line(const char *path, char *to, size_t size)
{
	char name[512];
	FILE *f;
	char *s;

	f = fopen(rooted(path, name, sizeof name), "re");
	if (f == NULL)
		return (-1);
	s = fgets(to, (int)size, f);
	(void)fclose(f);
	if (s == NULL)
		return (-1);
	to[strcspn(to, "\n")] = '\0';
	return (0);
}

static long
number(const char *path, long otherwise)
{
	char line[64];

	return (first_line(path, line, sizeof line) == 0 ?
	    strtol(line, NULL, 10) : otherwise);
}

/* ---- KVM ------------------------------------------------------------------- */

static const char *
backend(const struct tkvm_host *h)
{
	char name[64];

	if (h->entry == TKVM_RING3)
		return ("software (PVM): no hardware virtualisation");
	if (access(rooted("/sys/module/kvm_amd", name, sizeof name), F_OK) ==
	    0)
		return ("AMD-V");
	if (access(rooted("/sys/module/kvm_intel", name, sizeof name),
	    F_OK) == 0)
		return ("Intel VT-x");
	return ("hardware");
}

static void
kvm_device(void)
{
	const char *dev = getenv("TKVM_DEV");
	struct group *g;
	struct stat st;

	if (dev == NULL)
		dev = "/dev/kvm";
	if (stat(dev, &st) != 0)
		return;		/* the probe has said what to do */
	g = getgrgid(st.st_gid);
	say(st.st_mode & 0002 ? V_NOTE : V_OK, "device",
	    "%s is of group %s, mode %03o%s", dev,
	    g != NULL ? g->gr_name : "?", (unsigned)st.st_mode & 0777,
	    st.st_mode & 0002 ? ": everybody may use KVM here (chmod 660)" :
	    "");
}

static void
kvm_features(void)
{
	static const struct {
		int		cap;
		const char	*name, *without;
	} feature[] = {
		{ KVM_CAP_X86_MSR_FILTER, "MSR filter",
		    "model specific registers are refused by their privilege "
		    "level only (Linux 5.10 has the filter)" },
		{ KVM_CAP_XSAVE2, "XSAVE2", "fine, guests see no more than "
		    "AVX" },
		{ KVM_CAP_DEBUGREGS, "debug registers", "--verify-reset "
		    "cannot compare them" },
		{ KVM_CAP_VCPU_EVENTS, "events", "--verify-reset cannot "
		    "compare them" },
		{ KVM_CAP_IOEVENTFD, "ioeventfd", "nothing depends on it" },
	};
	const char *dev = getenv("TKVM_DEV");
	unsigned u;
	int fd;

	fd = open(dev != NULL ? dev : "/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	for (u = 0; u < NELEM(feature); u++)
		if (ioctl(fd, KVM_CHECK_EXTENSION,
		    (unsigned long)feature[u].cap) > 0)
			say(V_OK, "KVM", "%s", feature[u].name);
		else
			say(V_NOTE, "KVM", "no %s: %s", feature[u].name,
			    feature[u].without);
	(void)close(fd);
}

static void
kvm(void)
{
	struct tkvm_error err;
	struct tkvm_host h;

	if (tkvm_host_probe(&h, &err) != 0) {
		say(V_BAD, "KVM", "%s", err.text);
		return;
	}
	say(h.entry == TKVM_RING3 ? V_NOTE : V_OK, "KVM",
	    "%s; leaving a machine and back takes %.1f us", backend(&h),
	    h.exit_us);
	if (h.slow_migration)
		say(V_NOTE, "KVM", "machines that change threads wait in this "
		    "kernel: each gets a thread of its own (Linux 6.13 does "
		    "without)");
	if (h.tsc_khz == 0)
		say(V_NOTE, "KVM", "the guest's clock needs an exit for each "
		    "look: no usable time stamp counter");
	kvm_device();
	kvm_features();
}

/* ---- the CPU --------------------------------------------------------------- */

static void
vulnerabilities(void)
{
	static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
	char name[512], path[800], line[200];
	struct dirent *de;
	unsigned n = 0;
	DIR *d;

	d = opendir(rooted(dir, name, sizeof name));
	if (d == NULL) {
		say(V_NOTE, "CPU", "the kernel does not say how it is "
		    "vulnerable (%s)", dir);
		return;
	}
	while ((de = readdir(d)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", dir, de->d_name);
		if (first_line(path, line, sizeof line) != 0)
			continue;
		n++;
		if (!strncmp(line, "Vulnerable", 10))
			say(V_BAD, "CPU", "%s: %s: update microcode and "
			    "kernel, and take mitigations=off off its command "
			    "line", de->d_name, line);
		else if (strstr(line, "vulnerable") != NULL)
			say(V_NOTE, "CPU", "%s: %s", de->d_name, line);
		else if (strncmp(line, "Not affected", 12) != 0)
			say(V_OK, "CPU", "%s: %s", de->d_name, line);
	}
	(void)closedir(d);
	if (n == 0)
		say(V_NOTE, "CPU", "nothing is known about vulnerabilities");
}

static void
smt(void)
{

	if (number("/sys/devices/system/cpu/smt/active", 0) == 1)
		say(V_NOTE, "SMT", "on: tenants on two threads of one core can "
		    "watch each other's caches; tenants that do not trust each "
		    "other want it off (nosmt, or echo off >"
		    "/sys/devices/system/cpu/smt/control)");
	else
		say(V_OK, "SMT", "off, or none");
}

/* ---- memory ------------------------------------------------------------------ */

static void
swap(void)
{
	char name[512], line[200];
	int n = 0;
	FILE *f;

	/* a header, and a line for each */
	f = fopen(rooted("/proc/swaps", name, sizeof name), "re");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		n++;
	if (f != NULL)
		(void)fclose(f);
	if (n > 1)
		say(V_NOTE, "swap", "on: what requests have in memory may come "
		    "to lie on a disk (swapoff -a, or encrypt it)");
	else
		say(V_OK, "swap", "none");
}

static void
memory(void)
{
	char line[200];
	long l;

	if (number("/sys/kernel/mm/ksm/run", 0) == 1)
		say(V_BAD, "KSM", "on: who merges equal pages lets tenants "
		    "find out what others have in memory (echo 2 >"
		    "/sys/kernel/mm/ksm/run)");
	else
		say(V_OK, "KSM", "off");
	swap();
	l = number("/proc/sys/vm/overcommit_memory", 0);
	if (l == 2)
		say(V_NOTE, "memory", "vm.overcommit_memory is 2: each machine "
		    "counts with the size of its image; 0 or 1 fit better");
	else
		say(V_OK, "memory", "vm.overcommit_memory is %ld", l);
	l = number("/proc/sys/vm/max_map_count", 65530);
	say(l < 65530 ? V_NOTE : V_OK, "memory", "vm.max_map_count is %ld, for "
	    "some %ld machines", l, l / 8);
	if (first_line("/sys/fs/cgroup/memory.max", line, sizeof line) == 0 &&
	    strcmp(line, "max") != 0)
		say(V_NOTE, "memory", "this cgroup has %s bytes at most: images "
		    "and machines have to fit", line);
}

/* ---- limits and walls ---------------------------------------------------------- */

static void
limit(int which, const char *name, unsigned long want, const char *what)
{
	struct rlimit r;

	if (getrlimit(which, &r) != 0)
		return;
	if (r.rlim_max == RLIM_INFINITY || r.rlim_max >= want)
		say(V_OK, "limits", "%s is enough", name);
	else
		say(V_NOTE, "limits", "%s is %lu: %s", name,
		    (unsigned long)r.rlim_max, what);
}

static void
limits(void)
{

	limit(RLIMIT_NOFILE, "ulimit -n", 65536, "a connection takes one, a "
	    "machine three (systemd: LimitNOFILE=)");
	limit(RLIMIT_NPROC, "ulimit -u", 4096, "a machine may need a thread "
	    "(systemd: LimitNPROC=, TasksMax=)");
	limit(RLIMIT_FSIZE, "ulimit -f", 1UL << 34, "images are files in "
	    "memory and have to fit (LimitFSIZE=infinity)");
	limit(RLIMIT_AS, "ulimit -v", 1UL << 40, "machines reserve address "
	    "space (LimitAS=infinity)");
}

static void
jail(void)
{
	long abi;

	abi = syscall(444, NULL, 0, 1);		/* landlock_create_ruleset */
	if (abi > 0)
		say(V_OK, "jail", "Landlock (ABI %ld)", abi);
	else
		say(V_NOTE, "jail", "no Landlock: kvmserver keeps files shut "
		    "by its own rules only (Linux 5.13, and landlock in lsm= "
		    "of the kernel's command line)");
#ifdef HAVE_LIBSECCOMP
	say(V_OK, "jail", "system call filter");
#else
	say(V_NOTE, "jail", "built without libseccomp: no system call filter "
	    "(apt-get install libseccomp-dev, and configure again)");
#endif
	if (geteuid() == 0)
		say(V_NOTE, "user", "root: kvmserver needs no more than a user "
		    "in the group of /dev/kvm");
	else
		say(V_OK, "user", "%u, not root", (unsigned)geteuid());
}

int
doctor_main(void)
{
	struct utsname u;

	if (uname(&u) == 0)
		say(V_OK, "kernel", "%s %s %s", u.sysname, u.release,
		    u.machine);
	kvm();
	vulnerabilities();
	smt();
	memory();
	limits();
	jail();
	if (nbad > 0)
		(void)printf("%d bad\n", nbad);
	return (nbad > 0 ? 1 : 0);
}
