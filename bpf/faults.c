/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * faults: which stacks touch memory that is not there yet, sampled: where memory grows, and where it is read back.
 *
 * perf_event page-faults-min, page-faults-maj, on every CPU
 */
#include "ebtop.h"
#include "samples.h"
#include "cpython.h"
#include "user_stack.h" /* whoever fills the user stack; the build may put another one here */

/* In sample_key.state; names in ebtop/probes/faults.py. */
enum fault {
	FAULT_MINOR = 1,
	FAULT_MAJOR,		/* a disk or a swap device was read */
};

/* What kind of fault it is, for the programs that it goes on in. */
BPF_PERCPU_ARRAY(fault_scratch, u32, 1);

/* The rest of a sample, once its stacks are there. */
inlined int store_fault(void *ctx)
{
	struct sample_key key = {};
	u64 leader = 0;
	int first = 0, half = half_in_use();
	u32 *fault = fault_scratch.lookup(&first);
	struct stack *stack = stack_scratch.lookup(&first);

	if (half < 0 || !fault || !stack) {
		count(LOST_SCRATCH);
		return 0;
	}
	READ(task_struct, group_leader, &leader, bpf_get_current_task());
	identify(&key, leader);
	key.state = *fault;
	key.user = hand_over_stack(ctx, stack);
	if (!key.user)
		key.user = store_stack(stack, half);
	fill_interrupted_kernel_stack(ctx, stack); /* of a fault in user code there is none */
	key.kernel = store_stack(stack, half);
	key.interpreted = store_interpreted_stack(half);
	count(count_sample(&key, 0, half) ? EVENTS : LOST_MAP_FULL);
	return 0;
}

inlined int sample_fault(void *ctx, u32 kind)
{
	int first = 0;
	u32 *fault = fault_scratch.lookup(&first);
	struct stack *stack = begin_sample();

	if (!stack)
		return 0;
	if (!fault) {
		count(LOST_SCRATCH);
		return 0;
	}
	*fault = kind;
	walk_user_stack(ctx, stack);
	walk_interpreted_stack(ctx);
	return store_fault(ctx);
}

/* Where a fault goes on whose user stack is walked by other programs. */
int on_walked(void *ctx)
{
	walk_interpreted_stack(ctx);
	return store_fault(ctx);
}

/* Where a fault goes on whose Python functions are walked by other programs. */
int on_interpreted(void *ctx)
{
	return store_fault(ctx);
}

int on_minor_fault(void *ctx)
{
	return sample_fault(ctx, FAULT_MINOR);
}

int on_major_fault(void *ctx)
{
	return sample_fault(ctx, FAULT_MAJOR);
}
