/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Puts the guest's kernel half into a new machine: tables, blob, clock page,
 * and the vDSO as a mapping of the program.
 */

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "blob/blob.h"
#include "machine/priv.h"

extern const uint8_t tkvm_blob_elf[], tkvm_blob_elf_end[];
extern const uint8_t tkvm_vdso_elf[], tkvm_vdso_elf_end[];

static const struct blob_head *
blob_head(void)
{
	const Elf64_Ehdr *e = (const void *)tkvm_blob_elf;
	const Elf64_Phdr *p = (const void *)(tkvm_blob_elf + e->e_phoff);
	const struct blob_head *h;

	h = (const void *)(tkvm_blob_elf + p->p_offset);
	assert(h->magic == BLOB_MAGIC);
	return (h);
}

uint64_t
kern_lstar(const struct kvmhost *h)
{

	return (h->pub.entry == TKVM_RING0 ? blob_head()->entry0 :
	    blob_head()->entry3);
}

uint64_t
kern_copy(void)
{

	return (blob_head()->copy);
}

uint64_t
kern_efault(void)
{

	return (blob_head()->efault);
}

uint64_t
kern_start(const struct kvmhost *h, int out)
{

	return (h->pub.entry == TKVM_RING0 ? blob_head()->start0[out] :
	    blob_head()->start3[out]);
}

/* The blob is ours and built with us: a fault in it is our own bug. */
static void
blob_install(struct machine *m)
{
	const Elf64_Ehdr *e = (const void *)tkvm_blob_elf;
	const Elf64_Phdr *p = (const void *)(tkvm_blob_elf + e->e_phoff);
	uint8_t *ram = m->as->base;
	unsigned user, i;
	uint64_t gpa;

	/* Where it runs in ring 3 the program must be able to reach it. */
	user = m->vm->host->pub.entry == TKVM_RING3 ? KMAP_U : 0;
	for (i = 0; i < e->e_phnum; i++, p++) {
		if (p->p_type != PT_LOAD)
			continue;
		assert(p->p_vaddr >= GVA_BLOB);
		gpa = p->p_vaddr - GVA_KERN;
		assert(gpa + p->p_memsz <= GPA_BLOB_END);
		memcpy(ram + gpa, tkvm_blob_elf + p->p_offset, p->p_filesz);
		for (; gpa < PAGE_UP(p->p_vaddr - GVA_KERN + p->p_memsz);
		    gpa += PAGE_SZ)
			kern_map(ram, gpa, user |
			    ((p->p_flags & PF_W) ? KMAP_W : 0) |
			    ((p->p_flags & PF_X) ? KMAP_X : 0));
	}
	kern_map(ram, GPA_VVAR, KMAP_U);
	assert(blob_head()->start_area == GVA_START);
	kern_map(ram, GPA_START, user);
	for (gpa = GPA_THR; gpa < GPA_THR_AREA + GK_NTHR * PAGE_SZ;
	    gpa += PAGE_SZ)
		kern_map(ram, gpa, user | KMAP_W);
	kern_map_gk(ram, user);
}

static int
vdso_install(struct machine *m, struct tkvm_error *err)
{
	const size_t len = (uintptr_t)tkvm_vdso_elf_end -
	    (uintptr_t)tkvm_vdso_elf;
	int64_t a;

	a = as_map(m->as, 0, len, AS_R | AS_X, 0, "[vdso]", 0);
	if (a < 0 || as_poke(m->as, (uint64_t)a, tkvm_vdso_elf, len) != 0)
		return (err_set(err, TKVM_E_MEMORY, "no memory for the vDSO"));
	m->vdso = (uint64_t)a;
	return (0);
}

int
kern_install(struct machine *m, struct tkvm_error *err)
{

	kern_tables(m->as->base, m->vm->host->pub.entry == TKVM_RING3);
	blob_install(m);
	m->gk = (void *)(m->as->base + GPA_GK);
	gk_init(m->gk);
	m->gk->fd_max = m->opt->max_descriptors;
	m->mfs = (void *)(m->as->base + GPA_MFS);
	mfs_init(m);
	return (vdso_install(m, err));
}
