/*
 * Functions as people write them by hand, with nothing that describes their frames. Each calls what its first
 * argument points to, with the rest of the arguments moved up, and returns one more than it did: f(next, ...).
 * undescribed.c chains them.
 */
	.text
	.macro FUNCTION name
	.p2align 4
	.globl \name
	.type \name, @function
\name:
	.endm
	.macro END name
	.size \name, . - \name
	.endm

/* Pushes, room for locals, and an early way out that is not taken. */
FUNCTION by_pushes
	endbr64
	test %rdi, %rdi
	je 1f
	push %rbx
	push %rbp
	push %r12
	sub $0x70, %rsp
	mov $0x1234, %ebp
	vzeroupper
	mov (%rdi), %rax
	add $8, %rdi
	call *%rax
	inc %rax
	add $0x70, %rsp
	pop %r12
	pop %rbp
	pop %rbx
1:	ret
END by_pushes

/* Registers are kept by moves, as in OpenBLAS. */
FUNCTION by_moves
	sub $0x108, %rsp
	mov %rbx, (%rsp)
	mov %rbp, 8(%rsp)
	movaps %xmm6, 0x20(%rsp)
	xor %ebp, %ebp
	mov (%rdi), %rax
	add $8, %rdi
	call *%rax
	inc %rax
	mov 8(%rsp), %rbp
	mov (%rsp), %rbx
	add $0x108, %rsp
	ret
END by_moves

/* Aligned, with a frame pointer that is set up late. */
FUNCTION by_alignment
	push %r15
	push %rbp
	mov %rsp, %rbp
	sub $0x2000, %rsp
	and $-0x1000, %rsp
	mov (%rdi), %rax
	add $8, %rdi
	call *%rax
	inc %rax
	mov %rbp, %rsp
	pop %rbp
	pop %r15
	ret
END by_alignment

/* Arguments on the stack around the call, code behind a jump. */
FUNCTION by_arguments
	lea -0x28(%rsp), %rsp
	jmp 2f
1:	push $1
	push $2
	call *%rax
	add $16, %rsp
	inc %rax
	lea 0x28(%rsp), %rsp
	ret
2:	mov (%rdi), %rax
	add $8, %rdi
	jmp 1b
END by_arguments

/* A frame pointer and nothing else. */
FUNCTION by_frame_pointer
	push %rbp
	mov %rsp, %rbp
	mov $0x50, %esi
	sub %rsi, %rsp
	mov (%rdi), %rax
	add $8, %rdi
	call *%rax
	inc %rax
	leave
	ret
END by_frame_pointer

/* The leaf: computes until it has been round often enough, keeping its place in rbx. */
FUNCTION spin
	push %rbx
	mov %rsp, %rbx
	sub $0x400, %rsp
	and $-0x100, %rsp
	mov $0x1000000, %ecx
1:	vaddps %ymm0, %ymm1, %ymm2
	imul $3, %rax, %rax
	dec %ecx
	jne 1b
	mov %rbx, %rsp
	pop %rbx
	xor %eax, %eax
	ret
END spin

	.section .note.GNU-stack, "", @progbits
