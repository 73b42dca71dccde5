/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Virtual machines and their memory slots.
 */

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "error.h"
#include "kvm/kvm.h"
#include "obj.h"

/*
 * Nothing legitimate in a guest reads or writes a model specific register:
 * refuse them all (#GP), so that none can carry a secret over a reset.  Needs
 * no KVM_CAP_X86_USER_SPACE_MSR.  Documentation/virt/kvm/api.rst 4.97
 */
static int
msr_filter(const struct vm *vm, struct tkvm_error *err)
{
	struct kvm_msr_filter f;
	uint8_t none[8] = { 0 };

	memset(&f, 0, sizeof f);
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	f.ranges[0].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
	f.ranges[0].nmsrs = 1;
	f.ranges[0].base = 0;
	f.ranges[0].bitmap = none;
	/* Kernels before 5.10 have no filter: ring 3 cannot reach MSRs. */
	if (!vm->host->has_msr_filter ||
	    ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f) == 0)
		return (0);
	return (err_set(err, TKVM_E_KVM, "this kernel's KVM takes no filter of "
	    "model specific registers (KVM_X86_SET_MSR_FILTER): %s",
	    strerror(errno)));
}

struct vm *
vm_new(const struct kvmhost *host, struct tkvm_error *err)
{
	struct kvm_enable_cap cap;
	struct vm *vm;
	int i;

	ALLOC_OBJ(vm, VM_MAGIC);
	if (vm == NULL) {
		(void)err_set(err, TKVM_E_MEMORY, "out of memory");
		return (NULL);
	}
	vm->host = host;
	for (i = 0; i < 10; i++) {
		/* interrupted by a signal while it takes locks */
		vm->fd = ioctl(host->fd, KVM_CREATE_VM, 0);
		if (vm->fd >= 0 || errno != EINTR)
			break;
	}
	if (vm->fd < 0) {
		(void)err_set(err,
		    errno == ENOMEM ? TKVM_E_MEMORY : TKVM_E_KVM,
		    "cannot create a virtual machine (KVM_CREATE_VM): %s",
		    strerror(errno));
		FREE_OBJ(vm);
		return (NULL);
	}
	memset(&cap, 0, sizeof cap);
	cap.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
	cap.args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap) != 0) {
		(void)err_set(err, TKVM_E_KVM, "this kernel's KVM is too old: "
		    "no manual dirty log (Linux 5.3 or later is needed)");
		vm_free(&vm);
		return (NULL);
	}
	if (msr_filter(vm, err) != 0)
		vm_free(&vm);
	return (vm);
}

void
vm_free(struct vm **pvm)
{
	struct vm *vm;

	TAKE_OBJ_NOTNULL(vm, pvm, VM_MAGIC);
	(void)close(vm->fd);
	FREE_OBJ(vm);
}

int
vm_slot_add(struct vm *vm, uint64_t gpa, uint64_t size, void *hva, int log)
{
	struct kvm_userspace_memory_region r;

	CHECK_OBJ_NOTNULL(vm, VM_MAGIC);
	AZ(gpa & PAGE_MASK);
	AZ(size & PAGE_MASK);
	if (vm->nslot >= vm->host->nr_slots)
		return (-ENOSPC);
	memset(&r, 0, sizeof r);
	r.slot = vm->nslot;
	r.flags = log ? KVM_MEM_LOG_DIRTY_PAGES : 0;
	r.guest_phys_addr = gpa;
	r.memory_size = size;
	r.userspace_addr = (uintptr_t)hva;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) != 0)
		return (-errno);
	return ((int)vm->nslot++);
}

int
vm_dirty_log(const struct vm *vm, unsigned slot, uint64_t *bitmap)
{
	struct kvm_dirty_log l;

	CHECK_OBJ_NOTNULL(vm, VM_MAGIC);
	memset(&l, 0, sizeof l);
	l.slot = slot;
	l.dirty_bitmap = bitmap;
	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &l) != 0)
		return (-errno);
	return (0);
}

int
vm_dirty_clear(const struct vm *vm, unsigned slot, uint64_t first,
    uint64_t bits)
{
	struct kvm_clear_dirty_log l;

	CHECK_OBJ_NOTNULL(vm, VM_MAGIC);
	AZ(first & 63);
	memset(&l, 0, sizeof l);
	l.slot = slot;
	l.first_page = first;
	l.num_pages = 64;
	l.dirty_bitmap = &bits;
	if (ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &l) != 0)
		return (-errno);
	return (0);
}
