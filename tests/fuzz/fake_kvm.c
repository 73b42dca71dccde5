/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See fake_kvm.h.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>

#include "fake_kvm.h"

#define FAKE_XSIZE	832u		/* x87, SSE, AVX */
#define FAKE_SLOTS	32

struct fake_vm {
	struct vm	vm;		/* first */
	struct {
		uint64_t	gpa, size;
		uint64_t	*dirty;
	} slot[FAKE_SLOTS];
};

struct fake_vcpu {
	struct vcpu	v;		/* first */
	struct kvm_run	run;
	uint64_t	fs, gs;
	enum { LAST_NONE, LAST_CALL, LAST_FAULT, LAST_KICK } last;
	struct kvm_xsave xs;	/* of variable size: last */
};

uint64_t fake_now = 1000000000000UL;

static struct kvmhost fake_host = {
	.fd = -1,
	.pub = { .entry = TKVM_RING3 },
	.xcr0 = 7,
	.xsave_size = FAKE_XSIZE,
	.xsave2_size = sizeof(struct kvm_xsave),
	.xcomp = { [2] = { 576, 256 } },
	.nr_slots = FAKE_SLOTS,
};

/* ---- the host ------------------------------------------------------------------ */

int
kvmhost_get(const struct kvmhost **ph, struct tkvm_error *err)
{

	(void)err;
	if (ph != NULL)
		*ph = &fake_host;
	return (0);
}

int
tkvm_host_probe(struct tkvm_host *h, struct tkvm_error *err)
{

	(void)err;
	if (h != NULL)
		*h = fake_host.pub;
	return (0);
}

uint64_t
host_mono(void)
{

	fake_now += 10000;
	return (fake_now);
}

uint64_t
host_real(void)
{

	return (host_mono() + 1700000000000000000UL);
}

uint64_t
host_cpu(pid_t tid)
{

	(void)tid;
	return (host_mono());
}

/* What is ready is ready; else the time passes at once. */
int __wrap_ppoll(struct pollfd *, nfds_t, const struct timespec *,
    const sigset_t *);

int
__wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *ts,
    const sigset_t *set)
{
	int i = 0;

	(void)set;
	if (n > 0)
		i = poll(p, n, 0);
	if (i == 0 && ts != NULL)
		fake_now += (uint64_t)ts->tv_sec * 1000000000UL +
		    (uint64_t)ts->tv_nsec;
	return (i);
}

/* The same in every run, so that findings can be repeated */
ssize_t __wrap_getrandom(void *, size_t, unsigned);

ssize_t
__wrap_getrandom(void *p, size_t n, unsigned flags)
{

	(void)flags;
	(void)memset(p, 0x5a, n);
	return ((ssize_t)n);
}

/* ---- watchdog ------------------------------------------------------------------- */

struct wd_slot *
wd_new(struct vcpu *v, struct tkvm_error *err)
{
	struct wd_slot *s;

	(void)err;
	ALLOC_OBJ(s, WD_MAGIC);
	AN(s);
	s->vcpu = v;
	return (s);
}

void
wd_free(struct wd_slot **ps)
{
	struct wd_slot *s;

	TAKE_OBJ_NOTNULL(s, ps, WD_MAGIC);
	FREE_OBJ(s);
}

static struct wd_slot *armed;

void
wd_arm(struct wd_slot *s, uint64_t deadline, const volatile int *cancel)
{

	s->deadline = deadline;
	s->cancel = cancel;
	atomic_store(&s->expired, 0);
	armed = s;
}

void
wd_disarm(struct wd_slot *s)
{

	AN(s == armed);
	armed = NULL;
}

/* ---- virtual machines ------------------------------------------------------------ */

static struct fake_vm *
fvm(const struct vm *vm)
{

	CHECK_OBJ_NOTNULL(vm, VM_MAGIC);
	return ((struct fake_vm *)(uintptr_t)vm);
}

struct vm *
vm_new(const struct kvmhost *host, struct tkvm_error *err)
{
	struct fake_vm *f;

	(void)err;
	f = calloc(1, sizeof *f);
	AN(f);
	f->vm.magic = VM_MAGIC;
	f->vm.host = host;
	f->vm.fd = -1;
	return (&f->vm);
}

void
vm_free(struct vm **pvm)
{
	struct fake_vm *f;
	struct vm *vm;
	unsigned u;

	TAKE_OBJ_NOTNULL(vm, pvm, VM_MAGIC);
	f = fvm(vm);
	for (u = 0; u < FAKE_SLOTS; u++)
		free(f->slot[u].dirty);
	free(f);
}

int
vm_slot_add(struct vm *vm, uint64_t gpa, uint64_t size, void *hva, int log)
{
	struct fake_vm *f = fvm(vm);
	const unsigned u = vm->nslot;

	(void)hva;
	AZ(gpa & PAGE_MASK);
	AZ(size & PAGE_MASK);
	if (u >= FAKE_SLOTS)
		return (-ENOSPC);
	f->slot[u].gpa = gpa;
	f->slot[u].size = size;
	if (log) {
		f->slot[u].dirty = calloc(size / PAGE_SZ / 64 + 1, 8);
		AN(f->slot[u].dirty);
	}
	return ((int)vm->nslot++);
}

int
vm_dirty_log(const struct vm *vm, unsigned slot, uint64_t *bitmap)
{
	const struct fake_vm *f = fvm(vm);

	AN(f->slot[slot].dirty);
	(void)memcpy(bitmap, f->slot[slot].dirty,
	    (f->slot[slot].size / PAGE_SZ + 63) / 64 * 8);
	return (0);
}

int
vm_dirty_clear(const struct vm *vm, unsigned slot, uint64_t first,
    uint64_t bits)
{
	const struct fake_vm *f = fvm(vm);

	AZ(first & 63);
	assert(first < f->slot[slot].size / PAGE_SZ);
	f->slot[slot].dirty[first / 64] &= ~bits;
	return (0);
}

static void
dirty(const struct vm *vm, uint64_t gpa)
{
	struct fake_vm *f = fvm(vm);
	uint64_t pg;
	unsigned u;

	for (u = 0; u < vm->nslot; u++) {
		if (gpa < f->slot[u].gpa ||
		    gpa - f->slot[u].gpa >= f->slot[u].size ||
		    f->slot[u].dirty == NULL)
			continue;
		pg = (gpa - f->slot[u].gpa) / PAGE_SZ;
		f->slot[u].dirty[pg / 64] |= 1UL << (pg % 64);
	}
}

/* ---- the guest's memory ------------------------------------------------------------ */

/* What the CPU would do: 0 with *gpa, or the page fault's error code. */
static unsigned
walk(const struct vcpu *v, uint64_t gva, uint64_t *gpa)
{
	uint64_t e, table = GPA_PML4;
	int shift;

	if (gva >> 47)
		return (4 | 2);
	for (shift = 39; ; shift -= 9) {
		(void)memcpy(&e, v->ram + table +
		    ((gva >> shift) & 511) * 8, 8);
		if (!(e & PTE_P))
			return (4 | 2);
		if (!(e & PTE_U) || !(e & PTE_W))
			return (4 | 2 | 1);
		if (shift == 12 || (e & PTE_PS))
			break;
		table = e & PTE_ADDR;
	}
	*gpa = (e & PTE_ADDR & ~((1UL << shift) - 1)) |
	    (gva & ((1UL << shift) - 1));
	return (0);
}

unsigned
fake_store(struct vcpu *v, uint64_t gva, const void *p, size_t len,
    uint64_t *cr2)
{
	const uint8_t *b = p;
	unsigned ec;
	uint64_t gpa;
	size_t n;

	for (; len > 0; len -= n, gva += n, b += n) {
		n = PAGE_SZ - (gva & PAGE_MASK);
		if (n > len)
			n = len;
		*cr2 = gva;
		ec = walk(v, gva, &gpa);
		if (ec != 0)
			return (ec);
		(void)memcpy(v->ram + gpa, b, n);
		dirty(v->vm, gpa);
	}
	return (0);
}

void
fake_store_phys(struct vcpu *v, uint64_t gpa, const void *p, size_t len)
{

	assert((gpa & PAGE_MASK) + len <= PAGE_SZ);
	(void)memcpy(v->ram + gpa, p, len);
	dirty(v->vm, gpa);
}

/* ---- vCPUs --------------------------------------------------------------------------- */

static struct fake_vcpu *
fvcpu(struct vcpu *v)
{

	CHECK_OBJ_NOTNULL(v, VCPU_MAGIC);
	return ((struct fake_vcpu *)v);
}

struct vcpu *
vcpu_new(struct vm *vm, uint8_t *ram, uint64_t lstar, struct tkvm_error *err)
{
	struct fake_vcpu *f;
	uint64_t bv = 7;

	(void)lstar;
	(void)err;
	f = calloc(1, sizeof *f);
	AN(f);
	f->v.magic = VCPU_MAGIC;
	f->v.vm = vm;
	f->v.ram = ram;
	f->v.run = &f->run;
	f->v.fd = -1;
	f->xs.region[0] = 0x37f;
	f->xs.region[6] = 0x1f80;
	f->xs.region[7] = 0xffff;
	(void)memcpy((uint8_t *)&f->xs + 512, &bv, 8);
	return (&f->v);
}

void
vcpu_free(struct vcpu **pv)
{
	struct vcpu *v;

	TAKE_OBJ_NOTNULL(v, pv, VCPU_MAGIC);
	free(fvcpu(v));
}

struct kvm_regs *
fake_regs(struct vcpu *v)
{

	return (&v->run->s.regs.regs);
}

enum vcpu_exit
vcpu_run(struct vcpu *v)
{
	struct fake_vcpu *f = fvcpu(v);

	assert(!v->dead);
	v->interrupted = 0;
	v->exits++;
	fake_now += 10000;
	if (armed != NULL && (fake_now >= armed->deadline ||
	    fake_now >= armed->limit)) {
		if (fake_now >= armed->deadline)
			atomic_store(&armed->expired, 1);
		return (fake_intr(v));
	}
	f->last = LAST_NONE;
	return (fake_guest(v));
}

enum vcpu_exit
fake_syscall(struct vcpu *v, uint64_t nr, uint64_t a0, uint64_t a1,
    uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct kvm_regs *r = fake_regs(v);

	r->rax = nr;
	r->rdi = a0;
	r->rsi = a1;
	r->rdx = a2;
	r->r10 = a3;
	r->r8 = a4;
	r->r9 = a5;
	r->rcx = r->rip + 2;
	r->r11 = r->rflags;
	fvcpu(v)->last = LAST_CALL;
	return (VX_SYSCALL);
}

enum vcpu_exit
fake_fault(struct vcpu *v, unsigned vector, uint64_t error_code, uint64_t cr2)
{
	const struct kvm_regs *r = fake_regs(v);

	v->vector = vector % 32;
	v->error_code = error_code;
	v->cr2 = cr2;
	v->frame_rip = r->rip;
	v->frame_cs = SEL_UCS;
	v->frame_rflags = r->rflags;
	v->frame_rsp = r->rsp;
	fvcpu(v)->last = LAST_FAULT;
	return (VX_FAULT);
}

enum vcpu_exit
fake_intr(struct vcpu *v)
{

	v->interrupted = 1;
	fvcpu(v)->last = LAST_KICK;
	return (VX_INTR);
}

enum vcpu_exit
fake_leave(struct vcpu *v)
{
	struct kvm_regs *r = fake_regs(v);

	r->rcx = r->rip + 2;
	r->r11 = r->rflags;
	fvcpu(v)->last = LAST_CALL;
	return (VX_LEAVE);
}

enum vcpu_exit
fake_broken(struct vcpu *v)
{

	v->dead = 1;
	(void)snprintf(v->why, sizeof v->why, "fuzzed");
	return (VX_BROKEN);
}

void
vcpu_user_regs(struct vcpu *v, struct kvm_regs *to, int *in_kernel)
{
	const struct fake_vcpu *f = fvcpu(v);

	*to = v->run->s.regs.regs;
	*in_kernel = 0;
	if (f->last == LAST_CALL) {
		to->rip = to->rcx;
		to->rflags = to->r11;
	} else
		*in_kernel = to->rip >= GVA_KERN &&
		    to->rip < GVA_KERN + 0x400000;
}

void
vcpu_bases(struct vcpu *v, uint64_t *fs, uint64_t *gs)
{

	*fs = fvcpu(v)->fs;
	*gs = fvcpu(v)->gs;
}

void
vcpu_set_result(struct vcpu *v, uint64_t rax)
{
	struct kvm_regs *r = fake_regs(v);

	r->rax = rax;
	r->rip = r->rcx;
	v->flush = 0;
}

void
vcpu_set_user(struct vcpu *v, const struct kvm_regs *regs, uint64_t fs,
    uint64_t gs)
{
	struct fake_vcpu *f = fvcpu(v);

	/* Else KVM_RUN fails, or worse. */
	assert(fs >> 47 == 0 || fs >> 47 == 0x1ffff);
	assert(gs >> 47 == 0 || gs >> 47 == 0x1ffff);
	*fake_regs(v) = *regs;
	f->fs = fs;
	f->gs = gs;
	v->flush = 0;
}

void
vcpu_set_kernel(struct vcpu *v, uint64_t rip)
{

	if (rip != 0)
		fake_regs(v)->rip = rip;
}

int
vcpu_get_xsave(struct vcpu *v, struct kvm_xsave *x)
{

	*x = fvcpu(v)->xs;
	x->region[512 / 4] |= 3;
	return (0);
}

/* copy_uabi_to_xstate() of the kernel refuses these: nobody may try. */
int
vcpu_set_xsave(struct vcpu *v, const struct kvm_xsave *x)
{
	const uint8_t *b = (const void *)x;
	uint64_t hdr[8];
	uint32_t mxcsr;
	unsigned u;

	(void)memcpy(hdr, b + 512, sizeof hdr);
	(void)memcpy(&mxcsr, b + 24, sizeof mxcsr);
	AZ(hdr[0] & ~fake_host.xcr0);
	for (u = 1; u < NELEM(hdr); u++)
		AZ(hdr[u]);
	AZ(mxcsr & ~0xffffU);
	fvcpu(v)->xs = *x;
	return (0);
}

/* Here it is paid at once. */
void
vcpu_owe_xsave(struct vcpu *v, const struct kvm_xsave *x)
{

	if (x != NULL)
		(void)vcpu_set_xsave(v, x);
}

void
vcpu_start(struct vcpu *v, uint64_t start, const struct kvm_regs *regs,
    uint64_t fs, uint64_t gs)
{

	(void)start;
	vcpu_set_user(v, regs, fs, gs);
}

const char *
vcpu_try_start(struct vcpu *v, uint64_t start_out,
    const struct kvm_regs *regs, uint64_t fs, uint64_t gs)
{

	(void)v;
	(void)start_out;
	(void)regs;
	(void)fs;
	(void)gs;
	return (NULL);
}

void
vcpu_kick(struct vcpu *v)
{

	(void)v;
}

void
vcpu_unkick(struct vcpu *v)
{

	(void)v;
}

int
vcpu_reset_pending(struct vcpu *v)
{

	(void)v;
	return (0);
}

int
vcpu_baseline(struct vcpu *v)
{

	(void)v;
	return (0);
}

const char *
vcpu_verify(struct vcpu *v, const struct kvm_regs *regs, uint64_t fs,
    uint64_t gs)
{

	(void)v;
	(void)regs;
	(void)fs;
	(void)gs;
	return (NULL);
}

int
vcpu_get_xsave_all(struct vcpu *v, void *x)
{

	return (vcpu_get_xsave(v, x));
}
