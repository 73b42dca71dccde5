/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Entry code at LSTAR.  RCX: return address, R11: RFLAGS, RAX: the call.
 *
 * The red zone below the program's RSP is the program's: switch stacks before
 * anything is pushed.  What the blob does not answer leaves by PORT_SYSCALL
 * with every register of the program in place, so that the VMM sees plain user
 * registers and nothing is kept here over an exit.
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
	.quad	blob_efault
	.quad	blob_text_end
	.quad	blob_end

	.section .data
	.align	8
user_rsp:
	.quad	0

	.section .bss
	.align	16
stack:
	.skip	4096
stack_top:

	.text

/*
 * Save all registers, call, and come back with RAX = answer.  Those that C
 * preserves are saved too: blob_efault leaves it in the middle.
 */
.macro ENTER
	movq	%rsp, user_rsp(%rip)
	leaq	stack_top(%rip), %rsp
	pushq	%rcx
	pushq	%r11
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rax
	pushq	%rax			/* keeps RSP a multiple of 16 */
	movq	%rdx, %rcx		/* a2 */
	movq	%rsi, %rdx		/* a1 */
	movq	%rdi, %rsi		/* a0 */
	movq	%rax, %rdi		/* nr */
	call	blob_call
.endm

.macro LEAVE
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdx
	popq	%rsi
	popq	%rdi
	popq	%r11
	popq	%rcx
.endm

/* The call number back into RAX, everything as it was, and out. */
.macro PASS_ON
	popq	%rax
	popq	%rax
	LEAVE
	movq	user_rsp(%rip), %rsp
	outb	%al, $PORT_SYSCALL
.endm

	.globl entry0
entry0:
	ENTER
	cmpq	$NOTMINE, %rax
	je	1f
back0:
	leaq	stack_top-112(%rip), %rsp
	LEAVE
	movq	user_rsp(%rip), %rsp
	sysretq
1:	PASS_ON
	sysretq				/* the VMM has set RAX */

	.globl entry3
entry3:
	ENTER
	cmpq	$NOTMINE, %rax
	je	1f
back3:
	leaq	stack_top-112(%rip), %rsp
	LEAVE
	/* RFLAGS as sysret would restore it, single-stepping aside */
	pushq	%r11
	andl	$~0x100, (%rsp)
	popfq
	movq	user_rsp(%rip), %rsp
	jmp	*%rcx
1:	PASS_ON
	jmp	*%rcx

/* The VMM sends us here when a copy to the program's memory faulted. */
	.globl blob_efault
blob_efault:
	movq	$-14, %rax
	movl	%cs, %r10d
	testl	$3, %r10d
	jz	back0
	jmp	back3

	.section .note.GNU-stack, "", @progbits
