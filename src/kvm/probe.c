/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What kind of /dev/kvm this is.  A tiny machine makes one system call and
 * tells where it arrived (ring 0 on hardware, ring 3 on software back ends),
 * what an exit costs, whether running a vCPU on another thread waits in the
 * kernel (before Linux 6.13 or so), and whether its time stamp counter is the
 * host's.
 */

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "error.h"
#include "kvm/kvm.h"
#include "layout.h"
#include "obj.h"

#define PROBE_LSTAR	0x20000		/* guest physical */
#define PROBE_USER	0x21000
#define PROBE_RAM	0x40000
#define PROBE_TRIES	1000		/* to enter, when signals keep us out */
#define TSC_TRIES	8		/* 10 ms each */
#define MIGRATE_SLOW	2e-3		/* s */

static struct kvmhost host = { .fd = -1 };
static int host_ok;
static pthread_mutex_t host_mtx = PTHREAD_MUTEX_INITIALIZER;

static double
now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (t.tv_sec + t.tv_nsec * 1e-9);
}

static const char *
dev_name(void)
{
	const char *dev;

	dev = getenv("TKVM_DEV");	/* for tests */
	return (dev != NULL ? dev : "/dev/kvm");
}

static int
dev_open(struct tkvm_error *err)
{
	const char *dev = dev_name();
	int fd;

	fd = open(dev, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return (fd);
	if (errno == EACCES || errno == EPERM)
		return (err_set(err, TKVM_E_KVM, "no permission to open %s: "
		    "add this process's user to group kvm; under systemd also "
		    "set PrivateDevices=no and DeviceAllow=/dev/kvm rw", dev));
	if (errno == ENOENT || errno == ENXIO || errno == ENODEV)
		return (err_set(err, TKVM_E_KVM, "%s is not there: load the "
		    "kvm-intel or kvm-amd module, enable virtualisation in "
		    "the firmware (or nested virtualisation), and under "
		    "systemd set PrivateDevices=no", dev));
	return (err_set(err, TKVM_E_KVM, "cannot open %s: %s", dev,
	    strerror(errno)));
}

static int
check_caps(struct tkvm_error *err)
{
	static const struct {
		unsigned	cap;
		const char	*name, *since;
	} need[] = {
		{ KVM_CAP_USER_MEMORY, "user memory", "2.6" },
		{ KVM_CAP_SYNC_REGS, "synchronised registers", "4.17" },
		{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit", "4.12" },
		{ KVM_CAP_XSAVE, "XSAVE state", "2.6.36" },
		{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, "manual dirty log",
		    "5.3" },
	};
	unsigned u;
	int i;

	i = ioctl(host.fd, KVM_GET_API_VERSION, 0UL);
	if (i < 0)
		return (err_set(err, TKVM_E_KVM, "%s is not KVM's device: %s",
		    dev_name(), strerror(errno)));
	if (i != KVM_API_VERSION)
		return (err_set(err, TKVM_E_KVM,
		    "%s speaks API version %d, not %d", dev_name(), i,
		    KVM_API_VERSION));
	for (u = 0; u < NELEM(need); u++)
		if (ioctl(host.fd, KVM_CHECK_EXTENSION,
		    (unsigned long)need[u].cap) <= 0)
			return (err_set(err, TKVM_E_KVM,
			    "this kernel's KVM has no %s (Linux %s or later)",
			    need[u].name, need[u].since));
	i = ioctl(host.fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	host.nr_slots = i > 0 ? (unsigned)i : 32;
	host.has_msr_filter =
	    ioctl(host.fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) > 0;
	i = ioctl(host.fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	host.xsave2_size = i > (int)sizeof(struct kvm_xsave) ? (unsigned)i :
	    sizeof(struct kvm_xsave);
	i = ioctl(host.fd, KVM_GET_VCPU_MMAP_SIZE, 0UL);
	if (i < (int)sizeof(struct kvm_run))
		return (err_set(err, TKVM_E_KVM, "KVM_GET_VCPU_MMAP_SIZE: %d",
		    i));
	host.run_size = (size_t)i;
	return (0);
}

static struct kvm_cpuid_entry2 *
cpuid_find(uint32_t fn, uint32_t idx)
{
	uint32_t u;

	for (u = 0; u < host.cpuid->nent; u++)
		if (host.cpuid->entries[u].function == fn &&
		    host.cpuid->entries[u].index == idx)
			return (&host.cpuid->entries[u]);
	return (NULL);
}

/* What the guest may see: nothing that a reset could not put back. */
static int
read_cpuid(struct tkvm_error *err)
{
	unsigned n = 256;

	free(host.cpuid);
	host.cpuid = calloc(1, sizeof *host.cpuid +
	    n * sizeof host.cpuid->entries[0]);
	if (host.cpuid == NULL)
		return (err_set(err, TKVM_E_MEMORY, "out of memory"));
	host.cpuid->nent = n;
	if (ioctl(host.fd, KVM_GET_SUPPORTED_CPUID, host.cpuid) != 0)
		return (err_set(err, TKVM_E_KVM, "KVM_GET_SUPPORTED_CPUID: %s",
		    strerror(errno)));
	host.xcr0 = cpuid_reduce(host.cpuid);
	return (0);
}

/*
 * Which vector state there is and where its parts lie in an XSAVE area (Intel
 * SDM vol. 1, 13.4).  A software back end cannot hide the host's CPUID from
 * ring 3: there it is what the host has enabled.
 */
static void
xsave_layout(void)
{
	uint32_t a, b, c, d;
	unsigned i;

	if (host.pub.entry == TKVM_RING3 &&
	    __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 27))) {
		__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
		host.xcr0 = a & 0xe7;
	}
	host.xsave_size = 576;
	for (i = 2; i < NELEM(host.xcomp); i++) {
		host.xcomp[i].off = host.xcomp[i].size = 0;
		if (!(host.xcr0 & (1UL << i)) ||
		    !__get_cpuid_count(0xd, i, &a, &b, &c, &d) ||
		    b < 576 || a + b > sizeof(struct kvm_xsave))
			continue;
		host.xcomp[i].off = b;
		host.xcomp[i].size = a;
		if (a + b > host.xsave_size)
			host.xsave_size = a + b;
	}
}

static void
probe_code(uint8_t *ram)
{
	/* mov %cs,%ebx; rdtsc; shl $32,%rdx; or %rdx,%rax; 1: out; jmp 1b */
	static const uint8_t lstar[] = { 0x8c, 0xcb, 0x0f, 0x31, 0x48, 0xc1,
	    0xe2, 0x20, 0x48, 0x09, 0xd0, 0xe6, PORT_SYSCALL, 0xeb, 0xfc };
	static const uint8_t user[] = { 0x0f, 0x05 };

	kern_tables(ram, 1);
	memcpy(ram + PROBE_LSTAR, lstar, sizeof lstar);
	memcpy(ram + PROBE_USER, user, sizeof user);
	kern_map(ram, PROBE_LSTAR, KMAP_U | KMAP_X);
	kern_map(ram, PROBE_USER, KMAP_U | KMAP_X);
}

/* A signal, of whatever origin, that ends an entry says nothing about KVM. */
static enum vcpu_exit
probe_enter(struct vcpu *v)
{
	enum vcpu_exit r;
	int i;

	for (i = 0; i < PROBE_TRIES; i++) {
		r = vcpu_run(v);
		if (r != VX_INTR)
			return (r);
	}
	(void)snprintf(v->why, sizeof v->why, "interrupted %d times",
	    PROBE_TRIES);
	return (VX_INTR);
}

static void *
probe_other_thread(void *priv)
{
	struct vcpu *v = priv;
	static double worst;
	double t;

	t = now_s();
	(void)probe_enter(v);
	worst = now_s() - t;
	return (&worst);
}

static void
probe_migration(struct vcpu *v)
{
	double best = 1e9, t;
	pthread_t thr;
	void *r;
	int i;

	for (i = 0; i < 3; i++) {
		t = now_s();
		(void)probe_enter(v);
		t = now_s() - t;
		if (i > 0 && t < best)
			best = t;	/* back on this thread */
		if (pthread_create(&thr, NULL, probe_other_thread, v) != 0)
			return;
		(void)pthread_join(thr, &r);
		if (*(double *)r < best)
			best = *(double *)r;
	}
	host.pub.slow_migration = best > MIGRATE_SLOW;
}

/* Does the counter run at this rate?  On a busy host not every look is good. */
static int
tsc_runs_at(int k)
{
	uint64_t c0, c1;
	double t0, t1, khz;
	int i;

	for (i = 0; i < TSC_TRIES; i++) {
		t0 = now_s();
		c0 = __rdtsc();
		(void)usleep(1000);
		t1 = now_s();
		c1 = __rdtsc();
		khz = (double)(c1 - c0) / (t1 - t0) / 1e3;
		if (khz > k * 0.98 && khz < k * 1.02)
			return (1);
	}
	return (0);
}

static void
probe_tsc(const struct vcpu *v, uint64_t before, uint64_t after)
{
	int k;

	host.pub.tsc_khz = 0;
	if (v->run->s.regs.regs.rax < before || v->run->s.regs.regs.rax > after)
		return;
	k = ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL);
	if (k <= 0)
		return;
	if (tsc_runs_at(k))
		host.pub.tsc_khz = (unsigned)k;
}

static int
probe_run(struct vcpu *v, struct tkvm_error *err)
{
	struct kvm_regs g;
	uint64_t before, after;
	double t;
	int i;

	memset(&g, 0, sizeof g);
	g.rip = GVA_KERN + PROBE_USER;
	g.rflags = 2;
	vcpu_set_user(v, &g, 0, 0);
	before = __rdtsc();
	if (probe_enter(v) != VX_SYSCALL)
		return (err_set(err, TKVM_E_KVM, "/dev/kvm does not run a "
		    "64-bit guest: %s", v->why));
	after = __rdtsc();
	host.pub.entry = (v->run->s.regs.regs.rbx & 3) ? TKVM_RING3 :
	    TKVM_RING0;
	probe_tsc(v, before, after);
	host.pub.exit_us = 1e6;
	for (i = 0; i < 20; i++) {
		t = now_s();
		if (probe_enter(v) != VX_SYSCALL)
			return (err_set(err, TKVM_E_KVM,
			    "/dev/kvm stopped running: %s", v->why));
		t = (now_s() - t) * 1e6;
		if (t < host.pub.exit_us)
			host.pub.exit_us = t;
	}
	probe_migration(v);
	return (0);
}

/* One attempt with these CR4 bits; -2: the vCPU refuses them. */
static int
probe_vm(uint64_t cr4, struct tkvm_error *err)
{
	struct vm *vm = NULL;
	struct vcpu *v = NULL;
	uint8_t *ram;
	int r = -1;

	ram = mmap(NULL, PROBE_RAM, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return (err_set(err, TKVM_E_MEMORY, "out of memory"));
	probe_code(ram);
	host.cr4 = cr4;
	vm = vm_new(&host, err);
	if (vm != NULL) {
		r = vm_slot_add(vm, 0, PROBE_RAM, ram, 0);
		if (r < 0)
			r = err_set(err, TKVM_E_KVM,
			    "KVM_SET_USER_MEMORY_REGION: %s", strerror(-r));
		else {
			r = -2;
			v = vcpu_new(vm, ram, GVA_KERN + PROBE_LSTAR, err);
			if (v != NULL)
				r = probe_run(v, err);
		}
	}
	if (v != NULL)
		vcpu_free(&v);
	if (vm != NULL)
		vm_free(&vm);
	(void)munmap(ram, PROBE_RAM);
	return (r);
}

static int
probe(struct tkvm_error *err)
{
	/* OSXSAVE FSGSBASE UMIP OSXMMEXCPT OSFXSR PAE, then with less */
	static const uint64_t cr4[] = { 0x50e20, 0x50620, 0x10620 };
	unsigned u;
	int r;

	host.fd = dev_open(err);
	if (host.fd < 0)
		return (-1);
	r = check_caps(err);
	if (r == 0)
		r = read_cpuid(err);
	for (u = 0; r == 0 && u < NELEM(cr4); u++) {
		r = probe_vm(cr4[u], err);
		if (r != -2)
			break;
		r = 0;
	}
	if (r == 0 && u == NELEM(cr4))
		r = -1;		/* the last attempt's *err stands */
	if (r == 0)
		xsave_layout();
	/* Where the blob is a real kernel it must not run the program's pages
	 * (SMEP). */
	if (r == 0 && host.pub.entry == TKVM_RING0) {
		const struct kvm_cpuid_entry2 *e = cpuid_find(7, 0);

		if (e != NULL && (e->ebx & (1u << 7)))
			host.cr4 |= 1UL << 20;
	}
	if (r != 0) {
		(void)close(host.fd);
		host.fd = -1;
	}
	return (r == 0 ? 0 : -1);
}

int
kvmhost_get(const struct kvmhost **ph, struct tkvm_error *err)
{
	int r = 0;

	(void)pthread_mutex_lock(&host_mtx);
	if (!host_ok) {
		r = probe(err);
		host_ok = (r == 0);
	}
	(void)pthread_mutex_unlock(&host_mtx);
	if (r == 0 && ph != NULL)
		*ph = &host;
	return (r);
}

int
tkvm_host_probe(struct tkvm_host *h, struct tkvm_error *err)
{
	const struct kvmhost *kh;

	if (kvmhost_get(&kh, err) != 0)
		return (-1);
	if (h != NULL)
		*h = kh->pub;
	return (0);
}
