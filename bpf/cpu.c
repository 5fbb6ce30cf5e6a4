/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * cpu: which stacks the CPUs run, sampled.
 *
 * perf_event cpu-clock, on every CPU
 *
 * A stack is stored once under a hash of its addresses; samples count by process and the two hashes. Everything
 * exists twice: user space flips `epoch`, then reads and clears the half that nobody writes to any more.
 */
#include "ebtop.h"
#include "filter.h"
#include "stack.h"
#include "user_stack.h" /* whoever fills the user stack; the build may put another one here */

struct sample_key {
	u64 user;	/* hash of the user stack, 0 = none */
	u64 kernel;
	u64 cgroup;
	u32 pid;
	u32 uid;
	char comm[COMM_LEN];	/* of the process: its first thread's */
	char thread[COMM_LEN];
};

BPF_ARRAY(epoch, u32, 1);
BPF_TABLE("hash", struct sample_key, u64, samples_0, 8192);
BPF_TABLE("hash", struct sample_key, u64, samples_1, 8192);
BPF_TABLE("hash", u64, struct stack, stacks_0, 8192);
BPF_TABLE("hash", u64, struct stack, stacks_1, 8192);

inlined u64 hash_stack(struct stack *stack)
{
	u64 hash = 0x9E3779B97F4A7C15ULL;

	for (int i = 0; i < STACK_DEPTH; i++) {
		if (i >= stack->depth)
			break;
		hash = (hash ^ stack->address[i]) * 0xFF51AFD7ED558CCDULL;
		hash ^= hash >> 29;
	}
	return hash | 1;
}

inlined u64 store_stack(struct stack *stack, u32 half)
{
	u64 hash;
	int failed = 0;

	if (!stack->depth)
		return 0;
	hash = hash_stack(stack);
	if (half) {
		if (!stacks_1.lookup(&hash))
			failed = stacks_1.update(&hash, stack);
	} else {
		if (!stacks_0.lookup(&hash))
			failed = stacks_0.update(&hash, stack);
	}
	if (!failed)
		return hash;
	count(LOST_MAP_FULL); /* the sample still counts, without this stack */
	return 0;
}

inlined int count_sample(struct sample_key *key, u32 half)
{
	u64 one = 1, *n;
	int failed = 0;

	n = half ? samples_1.lookup(key) : samples_0.lookup(key);
	if (n) {
		__sync_fetch_and_add(n, 1);
		return 1;
	}
	failed = half ? samples_1.insert(key, &one) : samples_0.insert(key, &one);
	if (!failed)
		return 1;
	/* Another CPU was first, or the map is full. */
	n = half ? samples_1.lookup(key) : samples_0.lookup(key);
	if (!n)
		return 0;
	__sync_fetch_and_add(n, 1);
	return 1;
}

int on_sample(void *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), leader = 0;
	struct sample_key key = {};
	struct stack *stack;
	u32 *current_half, half;
	int first = 0;

	if (!(u32)id) /* the idle task */
		return 0;
	READ(task_struct, group_leader, &leader, bpf_get_current_task());
	if (process_is_filtered(leader))
		return 0;
	current_half = epoch.lookup(&first);
	stack = stack_scratch.lookup(&first);
	if (!current_half || !stack) {
		count(LOST_SCRATCH);
		return 0;
	}
	half = *(volatile u32 *)current_half; /* once: a sample and its stacks belong together */
	key.pid = id >> 32;
	key.uid = bpf_get_current_uid_gid();
	key.cgroup = current_cgroup();
	bpf_get_current_comm(key.thread, COMM_LEN);
	bpf_probe_read_kernel(key.comm, COMM_LEN, (void *)(leader + OFFSET(task_struct, comm)));
	fill_user_stack(ctx, stack);
	key.user = store_stack(stack, half);
	fill_kernel_stack(ctx, stack);
	key.kernel = store_stack(stack, half);
	count(count_sample(&key, half) ? EVENTS : LOST_MAP_FULL);
	return 0;
}
