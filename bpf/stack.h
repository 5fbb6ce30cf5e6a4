/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* A stack trace, and the kernel's part of it. */
#ifndef EBTOP_STACK_H
#define EBTOP_STACK_H

#define STACK_DEPTH 127

struct stack {
	u32 depth;
	u32 cut;	/* there were more frames than fit, or the walk could not go on */
	u64 address[STACK_DEPTH];	/* leaf first */
};
RECORD_LAYOUT(stack);

BPF_PERCPU_ARRAY(stack_scratch, struct stack, 1);

inlined void fill_stack(void *ctx, struct stack *stack, u64 flags)
{
	long bytes = bpf_get_stack(ctx, stack->address, sizeof(stack->address), flags);

	stack->depth = bytes > 0 ? (u64)bytes / sizeof(u64) : 0;
	stack->cut = stack->depth == STACK_DEPTH;
}

inlined void fill_kernel_stack(void *ctx, struct stack *stack)
{
	fill_stack(ctx, stack, 0);
}

#endif
