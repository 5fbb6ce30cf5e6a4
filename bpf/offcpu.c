/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * offcpu: which stacks threads wait in, and for how long.
 *
 * raw tracepoint sched_switch   runs as the thread that leaves the CPU: its stacks are taken, and what was blocked
 *                               until now of the one that comes is counted
 * raw tracepoint sched_waking   runs as whoever ends a wait
 *
 * A thread that was preempted wants to run and is not blocked. Threads that still wait stand in `blocked`, where user
 * space reads how long they have so far; of their stacks there are only the hashes, which user space remembers.
 */
#include "ebtop.h"
#include "samples.h"
#include "cpython.h"
#include "user_stack.h" /* whoever fills the user stack; the build may put another one here */

/* Bits of a task's state, as user space sees them in /proc/PID/stat and in the format of sched:sched_switch. */
#define STATE_INTERRUPTIBLE 0x01
#define STATE_STOPPED 0x04
#define STATE_TRACED 0x08
#define STATE_PARKED 0x40
#define STATE_DEAD 0x80
#define STATE_NO_LOAD 0x400	/* with uninterruptible: a kernel thread without work */

/* In sample_key.state; names in ebtop/probes/offcpu.py. */
enum wait {
	WAIT_SLEEP = 1,
	WAIT_IO,		/* what the kernel accounts as I/O wait */
	WAIT_UNINTERRUPTIBLE,
	WAIT_STOPPED,
};

#define INTERRUPT 0xffffffff	/* in sample_key.waker */
#define PT_REGS_BYTES (21 * 8)	/* x86-64: part of the interface for user space */

struct block {
	u64 since;		/* CLOCK_MONOTONIC, ns */
	struct sample_key key;
};

BPF_TABLE("hash", u32, struct block, blocked, 8192);

/* The arguments of sched_switch: preempt, previous task, next task; since Linux 5.18 also the previous task's state. */
struct switched {
	u64 previous;
	u64 next;
	u32 state;
};

inlined void read_switch(struct bpf_raw_tracepoint_args *ctx, struct switched *found)
{
	if (TP_ARGS(sched_switch, arguments) > 3) {
		if ((s64)ctx->args[1] < 0) {
			found->previous = ctx->args[1];
			found->next = ctx->args[2];
			found->state = ctx->args[3];
		} else { /* no kernel address: early versions had the state in front of the tasks */
			found->state = ctx->args[1];
			found->previous = ctx->args[2];
			found->next = ctx->args[3];
		}
		return;
	}
	found->previous = ctx->args[1];
	found->next = ctx->args[2];
	if (HAS(task_struct, __state))
		READ(task_struct, __state, &found->state, found->previous);
	else if (HAS(task_struct, state))
		READ(task_struct, state, &found->state, found->previous);
}

inlined u32 kind_of_wait(struct switched *switched)
{
	u32 state = switched->state;

	if (state & (STATE_STOPPED | STATE_TRACED))
		return WAIT_STOPPED;
	if (READ_BITS(task_struct, in_iowait, switched->previous))
		return WAIT_IO;
	if (state & (STATE_INTERRUPTIBLE | STATE_PARKED | STATE_NO_LOAD))
		return WAIT_SLEEP;
	return WAIT_UNINTERRUPTIBLE;
}

/* The next task is about to run: what it waited for has come. */
inlined void end_block(u64 next, u64 now)
{
	struct block *found, block;
	int half;
	u32 tid = 0;

	READ(task_struct, pid, &tid, next);
	found = blocked.lookup(&tid);
	if (!found)
		return;
	block = *found;
	blocked.delete(&tid);
	if (now - block.since < CONSTANT(offcpu, min_ns))
		return;
	half = half_in_use();
	if (half < 0)
		return;
	count(count_sample(&block.key, now - block.since, half) ? EVENTS : LOST_MAP_FULL);
}

/* The rest of a switch, once the stacks of the task that leaves are there. */
inlined int begin_block(struct bpf_raw_tracepoint_args *ctx)
{
	struct switched switched = {};
	struct block block = {};
	u32 tid = bpf_get_current_pid_tgid();
	u64 leader = 0;
	int first = 0, half = half_in_use();
	struct stack *stack = stack_scratch.lookup(&first);

	if (half < 0 || !stack)
		return 0;
	read_switch(ctx, &switched);
	READ(task_struct, group_leader, &leader, switched.previous);
	identify(&block.key, leader);
	block.key.state = kind_of_wait(&switched);
	block.key.user = hand_over_stack(ctx, stack);
	if (!block.key.user)
		block.key.user = store_stack(stack, half);
	fill_kernel_stack(ctx, stack);
	block.key.kernel = store_stack(stack, half);
	block.key.interpreted = store_interpreted_stack(half);
	block.since = bpf_ktime_get_ns();
	if (blocked.update(&tid, &block))
		count(LOST_MAP_FULL);
	return 0;
}

int on_switch(struct bpf_raw_tracepoint_args *ctx)
{
	struct switched switched = {};
	struct stack *stack;

	read_switch(ctx, &switched);
	end_block(switched.next, bpf_ktime_get_ns());
	if (ctx->args[0] || !switched.state || switched.state & STATE_DEAD)
		return 0;
	stack = begin_sample(); /* the task that leaves is still the current one */
	if (!stack)
		return 0;
	walk_user_stack_of_task(ctx, stack);
	walk_interpreted_stack(ctx);
	return begin_block(ctx);
}

/* Where a switch goes on whose user stack is walked by other programs. */
int on_walked(struct bpf_raw_tracepoint_args *ctx)
{
	walk_interpreted_stack(ctx);
	return begin_block(ctx);
}

/* Where a switch goes on whose Python functions are walked by other programs. */
int on_interpreted(struct bpf_raw_tracepoint_args *ctx)
{
	return begin_block(ctx);
}

/* Bits of preempt_count: an NMI or an interrupt is at work, or a softirq. */
#define INTERRUPT_BITS 0x00ff0100

static u64 (*waking_task)(void) = (void *)158;		/* bpf_get_current_task_btf */
static u64 (*waking_registers)(u64 task) = (void *)175;	/* bpf_task_pt_regs */

/* x86: no system call is what saved the user's registers, but an interrupt (or a fault). */
inlined int came_by_interrupt(u64 stack)
{
	u64 registers, number = 0;

	if (HAS_ENUM(bpf_func_id, BPF_FUNC_task_pt_regs))
		registers = waking_registers(waking_task());
	else
		registers = stack + CONSTANT(unwind, kernel_stack_bytes) - PT_REGS_BYTES;
	READ(pt_regs, orig_ax, &number, registers);
	return number == (u64)-1;
}

/*
 * Whether it is not the current task that wakes somebody, but an interrupt on top of it. Where tasks do not count that
 * themselves (x86), an interrupt is known by the stack it runs on: that of the CPU, or where it came upon user code,
 * that of the task, whose registers say so.
 */
inlined int in_interrupt(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = bpf_get_current_task(), here = (u64)ctx, stack = 0, at = 0, mm = 0;
	u32 count = 0;

	if (!(u32)bpf_get_current_pid_tgid()) /* the idle task wakes nobody by itself */
		return 1;
	if (HAS(thread_info, preempt_count)) { /* which a task begins with */
		READ(thread_info, preempt_count, &count, task);
		return !!(count & INTERRUPT_BITS);
	}
	if (!HAS(pt_regs, orig_ax))
		return 0;
	bpf_probe_read_kernel(&at, sizeof(at), &here); /* as a number: the arguments lie on the stack in use */
	READ(task_struct, stack, &stack, task);
	if (at - stack >= CONSTANT(unwind, kernel_stack_bytes))
		return 1;
	READ(task_struct, mm, &mm, task);
	return mm && came_by_interrupt(stack);
}

int on_waking(struct bpf_raw_tracepoint_args *ctx)
{
	struct block *block;
	u32 tid = 0;

	READ(task_struct, pid, &tid, ctx->args[0]);
	block = blocked.lookup(&tid);
	if (!block)
		return 0;
	if (in_interrupt(ctx)) {
		block->key.waker = INTERRUPT;
		return 0;
	}
	block->key.waker = current_tgid();
	bpf_get_current_comm(block->key.waker_comm, COMM_LEN);
	return 0;
}
