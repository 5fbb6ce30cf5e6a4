/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* A stack trace, and the kernel's part of it. */
#ifndef EBTOP_STACK_H
#define EBTOP_STACK_H

#define STACK_DEPTH 127

/* Why a walk ended; names in ebtop/unwind/ends.py. bpf_get_stack() can only tell the first two. */
enum walk_end {
	END_NOT_KNOWN,
	END_TOO_DEEP,
	END_WHOLE,		/* the tables say that there is no caller */
	END_BASE,		/* a frame pointer or return address of 0 */
	END_NO_PROCESS,
	END_NO_MAPPING,		/* an address in no mapping that is known */
	END_NO_TABLE,		/* not built yet, or evicted */
	END_NO_INFORMATION,	/* neither a rule nor a frame pointer */
	END_BAD_FRAME,		/* the rule leads nowhere */
	END_UNSUPPORTED,
	END_READ_FAULT,		/* of the stack */
	END_NO_REGISTERS,
};
/* The walk ended for the reason given, and these are the frames that bpf_get_stack() found instead. */
#define BY_FRAME_POINTERS 0x100

struct stack {
	u32 depth;
	u32 cut;	/* enum walk_end, and BY_FRAME_POINTERS */
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

/* The context of a perf event begins with the registers that it interrupted: struct pt_regs of x86-64. */
#define INTERRUPTED_CS 17
#define USER_MODE 3

/* The same of a perf event. Code of a program has no kernel stack, which is not worth asking for. */
inlined void fill_interrupted_kernel_stack(void *ctx, struct stack *stack)
{
	stack->depth = 0;
	stack->cut = END_NOT_KNOWN;
	if (!HAS(pt_regs, di) || (((u64 *)ctx)[INTERRUPTED_CS] & USER_MODE) != USER_MODE)
		fill_kernel_stack(ctx, stack);
}

#endif
