/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The linked guest blob and vDSO, as read-only data of the library.  Both
 * are whole ELF files; the VMM maps their segments into guest memory.
 */

	.section .rodata.tkvm, "a", @progbits

	.balign	4096
	.globl	tkvm_blob_elf
	.hidden	tkvm_blob_elf
	.type	tkvm_blob_elf, @object
tkvm_blob_elf:
	.incbin	"blob.elf"
	.size	tkvm_blob_elf, . - tkvm_blob_elf
	.globl	tkvm_blob_elf_end
	.hidden	tkvm_blob_elf_end
tkvm_blob_elf_end:
	.byte	0

	.balign	4096
	.globl	tkvm_vdso_elf
	.hidden	tkvm_vdso_elf
	.type	tkvm_vdso_elf, @object
tkvm_vdso_elf:
	.incbin	"vdso.so"
	.size	tkvm_vdso_elf, . - tkvm_vdso_elf
	.globl	tkvm_vdso_elf_end
	.hidden	tkvm_vdso_elf_end
tkvm_vdso_elf_end:
	.byte	0

	.section .note.GNU-stack, "", @progbits
