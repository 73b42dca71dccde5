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

#define NOTMINE		-0x7777
#define LEAVE_OUT	1		/* bits of RDX */
#define LEAVE_CHANGE	2

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
	.quad	start_area
	.quad	start0, start0_out
	.quad	start3, start3_out

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
leave:
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

/*
 * The thread at hand into thr_from (RAX is there already), thr_to into the
 * registers.  What C preserves has not changed since ENTER.
 */
.macro CHANGE
	movl	%edx, leave(%rip)
	addq	$8, %rsp
	RESTORE
	movq	thr_from(%rip), %rax
	movq	%rbx, THR_RBX(%rax)
	movq	%rdx, THR_RDX(%rax)
	movq	%rsi, THR_RSI(%rax)
	movq	%rdi, THR_RDI(%rax)
	movq	%rbp, THR_RBP(%rax)
	movq	%r8, THR_R8(%rax)
	movq	%r9, THR_R9(%rax)
	movq	%r10, THR_R10(%rax)
	movq	%r12, THR_R12(%rax)
	movq	%r13, THR_R13(%rax)
	movq	%r14, THR_R14(%rax)
	movq	%r15, THR_R15(%rax)
	movq	%rcx, THR_RIP(%rax)
	movq	%r11, THR_RFLAGS(%rax)
	movq	user_rsp(%rip), %rcx
	movq	%rcx, THR_RSP(%rax)
	rdfsbase %rcx
	movq	%rcx, THR_FS(%rax)
	rdgsbase %rcx
	movq	%rcx, THR_GS(%rax)
	movq	%rax, %rbx
	xorl	%ecx, %ecx
	xgetbv
	andl	$THR_XMASK, %eax
	xorl	%edx, %edx
	xsave64	(%rbx)
	movq	thr_to(%rip), %rbx
	xrstor64 (%rbx)
	movq	THR_FS(%rbx), %rcx
	wrfsbase %rcx
	movq	THR_GS(%rbx), %rcx
	wrgsbase %rcx
	movq	THR_RSP(%rbx), %rcx
	movq	%rcx, user_rsp(%rip)
	movq	THR_RFLAGS(%rbx), %r11
	movq	THR_RIP(%rbx), %rcx
	movq	THR_R15(%rbx), %r15
	movq	THR_R14(%rbx), %r14
	movq	THR_R13(%rbx), %r13
	movq	THR_R12(%rbx), %r12
	movq	THR_R10(%rbx), %r10
	movq	THR_R9(%rbx), %r9
	movq	THR_R8(%rbx), %r8
	movq	THR_RBP(%rbx), %rbp
	movq	THR_RDI(%rbx), %rdi
	movq	THR_RSI(%rbx), %rsi
	movq	THR_RDX(%rbx), %rdx
	movq	THR_RAX(%rbx), %rax
	movq	THR_RBX(%rbx), %rbx
	testl	$LEAVE_OUT, leave(%rip)
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
2:	testl	$LEAVE_CHANGE, %edx
	jnz	3f
	COME_OUT
	sysretq
3:	CHANGE
	movq	user_rsp(%rip), %rsp
	jnz	4f
	sysretq
4:	outb	%al, $PORT_LEAVE
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
2:	testl	$LEAVE_CHANGE, %edx
	jnz	3f
	COME_OUT
	jmp	*%rcx
3:	CHANGE
	jnz	4f
	JUMP_BACK
4:	movq	user_rsp(%rip), %rsp
	outb	%al, $PORT_LEAVE
	jmp	*%rcx

/*
 * A request starts: RAX is in RCX, the other registers are in place, and what
 * the last request left in the vector registers is not.  x87's pointers are
 * not restored by AMD's XRSTOR: fildl overwrites them.  RFLAGS stays as it is.
 */
.macro VECTORS
	fnclex
	emms
	fildl	zero(%rip)
	movl	$-1, %eax		/* all there is: others become zero */
	movl	$-1, %edx
	xrstor64 start_area(%rip)
.endm

/* What ring 3 may have changed of the segments */
.macro SEGMENTS
	movl	$0, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movq	start_area+THR_FS(%rip), %rax
	wrfsbase %rax
	movq	start_area+THR_GS(%rip), %rax
	wrgsbase %rax
.endm

.macro LAST
	movq	%rcx, %rax
	movq	start_area+THR_RDX(%rip), %rdx
	movq	start_area+THR_RIP(%rip), %rcx
.endm

start0:
	VECTORS
	SEGMENTS
	LAST
	sysretq
start0_out:
	VECTORS
	SEGMENTS
	LAST
	outb	%al, $PORT_LEAVE
	sysretq
start3:
	VECTORS
	LAST
	jmp	*%rcx
start3_out:
	VECTORS
	LAST
	outb	%al, $PORT_LEAVE
	jmp	*%rcx
zero:
	.long	0

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
