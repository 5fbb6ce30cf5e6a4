/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Samples of stacks, summed by who they are of: what the probes cpu, offcpu and faults hand over.
 *
 * A stack is stored once under a hash of its addresses; samples count by process and the hashes of their stacks.
 * Everything exists twice: user space flips `epoch`, then reads and clears the half that nobody writes to any more.
 */
#ifndef EBTOP_SAMPLES_H
#define EBTOP_SAMPLES_H

#include "filter.h"
#include "stack.h"

struct sample_key {
	u64 user;	/* hash of the user stack, NO_STACK, or LOST_STACK */
	u64 kernel;
	u64 interpreted;	/* of the Python functions, as cpython.h hands them over */
	u64 cgroup;
	u32 pid;
	u32 uid;
	char comm[COMM_LEN];	/* of the process: its first thread's */
	char thread[COMM_LEN];
	u32 state;	/* offcpu: what it waited in; faults: whether a disk was read */
	u32 waker;	/* offcpu: process that ended the wait, 0 = an interrupt, or not known */
	char waker_comm[COMM_LEN];
};

struct sample_sum {
	u64 samples;
	u64 ns;		/* offcpu: blocked */
};

BPF_ARRAY(epoch, u32, 1);
BPF_TABLE("hash", struct sample_key, struct sample_sum, samples_0, 8192);
BPF_TABLE("hash", struct sample_key, struct sample_sum, samples_1, 8192);
BPF_TABLE("hash", u64, struct stack, stacks_0, 8192);
BPF_TABLE("hash", u64, struct stack, stacks_1, 8192);

#define NO_STACK 0
#define LOST_STACK 2	/* no hash is even */

inlined u64 hash_stack(struct stack *stack)
{
	u64 hash = 0x9E3779B97F4A7C15ULL ^ stack->cut;

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

	if (!stack->depth && (stack->cut == END_NOT_KNOWN || stack->cut == END_WHOLE))
		return NO_STACK;
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
	return LOST_STACK;
}

inlined void add_to(struct sample_sum *sum, u64 ns)
{
	__sync_fetch_and_add(&sum->samples, 1);
	if (ns)
		__sync_fetch_and_add(&sum->ns, ns);
}

inlined int count_sample(struct sample_key *key, u64 ns, u32 half)
{
	struct sample_sum first = { .samples = 1, .ns = ns }, *sum;
	int failed = 0;

	sum = half ? samples_1.lookup(key) : samples_0.lookup(key);
	if (sum) {
		add_to(sum, ns);
		return 1;
	}
	failed = half ? samples_1.insert(key, &first) : samples_0.insert(key, &first);
	if (!failed)
		return 1;
	/* Another CPU was first, or the map is full. */
	sum = half ? samples_1.lookup(key) : samples_0.lookup(key);
	if (!sum)
		return 0;
	add_to(sum, ns);
	return 1;
}

/* Which half to write to; asked once for a sample and its stacks, which belong together. -1 = not known. */
inlined int half_in_use(void)
{
	int first = 0;
	u32 *half = epoch.lookup(&first);

	return half ? *(volatile u32 *)half : -1;
}

/* Where to walk the stacks of the current task to; 0 = they are not wanted: it is the idle task, or filtered out. */
inlined struct stack *begin_sample(void)
{
	struct stack *stack;
	u64 leader = 0;
	int first = 0;

	if (!(u32)bpf_get_current_pid_tgid())
		return 0;
	READ(task_struct, group_leader, &leader, bpf_get_current_task());
	if (process_is_filtered(leader))
		return 0;
	stack = stack_scratch.lookup(&first);
	if (!stack)
		count(LOST_SCRATCH);
	return stack;
}

/* Who the current task is; `leader` is its process's first thread. */
inlined void identify(struct sample_key *key, u64 leader)
{
	key->pid = current_tgid();
	key->uid = bpf_get_current_uid_gid();
	key->cgroup = current_cgroup();
	bpf_get_current_comm(key->thread, COMM_LEN);
	bpf_probe_read_kernel(key->comm, COMM_LEN, (void *)(leader + OFFSET(task_struct, comm)));
}

#endif
