/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The user stack by frame pointers. A file that stands in for this one defines the same function: it fills
 * `stack` with the addresses of the current task's user stack, leaf first, or leaves its depth 0.
 */
#ifndef EBTOP_USER_STACK_H
#define EBTOP_USER_STACK_H

#include "stack.h"

inlined void fill_user_stack(void *ctx, struct stack *stack)
{
	fill_stack(ctx, stack, BPF_F_USER_STACK);
}

#endif
