/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * cpu: which stacks the CPUs run, sampled.
 *
 * perf_event cpu-clock, on every CPU
 */
#include "ebtop.h"
#include "samples.h"
#include "cpython.h"
#include "user_stack.h" /* whoever fills the user stack; the build may put another one here */

/* The rest of a sample, once its stacks are there. */
inlined int store_sample(void *ctx)
{
	struct sample_key key = {};
	u64 leader = 0;
	int first = 0, half = half_in_use();
	struct stack *stack = stack_scratch.lookup(&first);

	if (half < 0 || !stack) {
		count(LOST_SCRATCH);
		return 0;
	}
	key.user = hand_over_stack(ctx, stack);
	if (!key.user)
		key.user = store_stack(stack, half);
	fill_interrupted_kernel_stack(ctx, stack);
	key.kernel = store_stack(stack, half);
	key.interpreted = store_interpreted_stack(half);
	READ(task_struct, group_leader, &leader, bpf_get_current_task());
	identify(&key, leader);
	count(count_sample(&key, 0, half) ? EVENTS : LOST_MAP_FULL);
	return 0;
}

int on_sample(void *ctx)
{
	struct stack *stack = begin_sample();

	if (!stack)
		return 0;
	walk_user_stack(ctx, stack);
	walk_interpreted_stack(ctx);
	return store_sample(ctx);
}

/* Where a sample goes on whose user stack is walked by other programs. */
int on_walked(void *ctx)
{
	walk_interpreted_stack(ctx);
	return store_sample(ctx);
}

/* Where a sample goes on whose Python functions are walked by other programs. */
int on_interpreted(void *ctx)
{
	return store_sample(ctx);
}
