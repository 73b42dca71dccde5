/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Entry code at LSTAR.  RCX: return address, R11: RFLAGS, RAX: the call.
 *
 * The red zone below the program's RSP is the program's: switch stacks before
 * anything is pushed.  What the blob does not answer leaves by PORT_SYSCALL
 * with every register of the program in place, so that the VMM sees plain user
 * registers and nothing is kept here over an exit.  An answer after which the
 * VMM wants to look leaves likewise by PORT_LEAVE, with the result in RAX.
 */

#include "layout.h"
#include "blob.h"

#define NOTMINE	-0x7777

	.section .head, "a"
	.globl blob_start
blob_start:
	.quad	BLOB_MAGIC
	.quad	entry0
	.quad	entry3
	.quad	copy_touch
	.quad	copy_efault
	.quad	blob_text_end
	.quad	blob_end

/* Whole pages; a shallow call writes to the last one only. */
	.section .bss
	.align	4096
stack:
	.skip	4 * 4096 - 16
stack_top:
	.skip	8
	.globl	user_rsp
user_rsp:
	.skip	8

	.text

/* What C does not preserve, with a[6] in the middle; RSP a multiple of 16. */
.macro ENTER
	movq	%rsp, user_rsp(%rip)
	leaq	stack_top(%rip), %rsp
	pushq	%rcx
	pushq	%r11
	pushq	%r9
	pushq	%r8
	pushq	%r10
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	movq	%rsp, %rsi		/* a[6] */
	pushq	%rax
	pushq	%rax
	movq	%rax, %rdi		/* nr */
	call	blob_call
	addq	$8, %rsp
.endm

.macro RESTORE
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%r10
	popq	%r8
	popq	%r9
	popq	%r11
	popq	%rcx
.endm

/* RFLAGS as sysret would restore it, single-stepping aside */
.macro JUMP_BACK
	pushq	%r11
	andl	$~0x100, (%rsp)
	popfq
	movq	user_rsp(%rip), %rsp
	jmp	*%rcx
.endm

/* The call number back into RAX, everything as it was, and out. */
.macro PASS_ON
	popq	%rax
	RESTORE
	movq	user_rsp(%rip), %rsp
	outb	%al, $PORT_SYSCALL
.endm

/* The VMM sets a complete user state after this. */
.macro COME_OUT
	addq	$8, %rsp
	RESTORE
	movq	user_rsp(%rip), %rsp
	outb	%al, $PORT_LEAVE
.endm

	.globl entry0
entry0:
	ENTER
	cmpq	$NOTMINE, %rax
	je	1f
	testq	%rdx, %rdx
	jnz	2f
	addq	$8, %rsp
	RESTORE
	movq	user_rsp(%rip), %rsp
	sysretq
1:	PASS_ON
	sysretq				/* the VMM has set RAX */
2:	COME_OUT
	sysretq

	.globl entry3
entry3:
	ENTER
	cmpq	$NOTMINE, %rax
	je	1f
	testq	%rdx, %rdx
	jnz	2f
	addq	$8, %rsp
	RESTORE
	JUMP_BACK
1:	PASS_ON
	jmp	*%rcx
2:	COME_OUT
	jmp	*%rcx

/*
 * int blob_copy(void *dst, const void *src, size_t len): the one place that
 * touches the program's memory.  A fault the VMM cannot mend goes on at
 * copy_efault.
 */
	.globl blob_copy
blob_copy:
	movq	%rdx, %rcx
copy_touch:
	rep movsb
	xorl	%eax, %eax
	ret
copy_efault:
	movl	$-14, %eax
	ret

	.section .note.GNU-stack, "", @progbits
