/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The user stack by frame pointers. A file that stands in for this one defines the same functions.
 *
 * walk_user_stack() and walk_user_stack_of_task() fill `stack` with the addresses of the current task's user stack,
 * leaf first, or leave its depth 0. They may not come back: the sample then goes on in the program that stands in
 * slot UNWIND_DONE of the chain (see unwind.h), with the stack where it was to be filled in.
 *
 * hand_over_stack() returns 0, or the hash under which user space will find a stack that it walks itself.
 */
#ifndef EBTOP_USER_STACK_H
#define EBTOP_USER_STACK_H

#include "stack.h"

/* From a perf event, which knows the registers of what it interrupted. */
inlined void walk_user_stack(void *ctx, struct stack *stack)
{
	fill_stack(ctx, stack, BPF_F_USER_STACK);
}

/* From a tracepoint: the current task is in the kernel. */
inlined void walk_user_stack_of_task(void *ctx, struct stack *stack)
{
	fill_stack(ctx, stack, BPF_F_USER_STACK);
}

inlined u64 hand_over_stack(void *ctx, struct stack *stack)
{
	return 0;
}

#endif
