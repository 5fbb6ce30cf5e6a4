/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * exec: every execve and execveat, whether it worked or not, and the end of every process.
 *
 * raw tracepoint sched_process_exec       an exec that worked; argv is read from the new program's own memory
 * raw tracepoint sched_process_exit       the last thread of a process is gone
 * syscalls:sys_exit_execve, _execveat     an exec that failed
 * syscalls:sys_enter_execve, _execveat    only before Linux 5.15, which can not find the arguments at the exit
 */
#include "ebtop.h"
#include "filter.h"

#define ARGS_LEN 1024
#define FILENAME_LEN 256
/* For a failed exec argv is still an array of pointers; each is a read of its own. */
#define FAILED_ARGS_MAX 12
#define FAILED_ARG_LEN 128

struct exec_event {
	u64 time;
	u64 cgroup;
	u32 pid;
	u32 ppid;
	u32 uid;
	s32 ret;
	u32 args_len;	/* of the whole argv block, NULs included */
	u32 args_read;	/* of it that stands in args */
	char comm[COMM_LEN];
	char parent_comm[COMM_LEN];
	char filename[FILENAME_LEN];
	char args[ARGS_LEN];
};
RECORD_LAYOUT(exec_event);

struct exit_event {
	u64 time;
	u64 duration;
	u64 cgroup;
	u32 pid;
	u32 ppid;
	u32 uid;
	u32 code;	/* as wait(2) reports it */
	char comm[COMM_LEN];
};
RECORD_LAYOUT(exit_event);

BPF_RINGBUF_OUTPUT(exec_events, 1024);
BPF_RINGBUF_OUTPUT(exit_events, 128);

struct call {
	u64 filename;
	u64 argv;
};
BPF_TABLE("lru_hash", u64, struct call, calls, 1024);

inlined void fill_identity(struct exec_event *event)
{
	u64 task = bpf_get_current_task(), parent = 0;

	event->time = bpf_ktime_get_ns();
	event->cgroup = current_cgroup();
	event->pid = current_tgid();
	event->uid = bpf_get_current_uid_gid();
	event->ppid = 0;
	event->args_len = 0;
	event->args_read = 0;
	event->filename[0] = 0;
	bpf_get_current_comm(event->comm, COMM_LEN);
	READ(task_struct, real_parent, &parent, task);
	READ(task_struct, tgid, &event->ppid, parent);
	bpf_probe_read_kernel(event->parent_comm, COMM_LEN, (void *)(parent + OFFSET(task_struct, comm)));
}

int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u64 program = ctx->args[2], mm = 0, start = 0, end = 0, filename = 0, len;
	struct exec_event *event;

	if (current_is_filtered())
		return 0;
	event = exec_events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(LOST_RING_FULL);
		return 0;
	}
	fill_identity(event);
	event->ret = 0;
	READ(linux_binprm, filename, &filename, program);
	bpf_probe_read_kernel_str(event->filename, FILENAME_LEN, (void *)filename);
	READ(task_struct, mm, &mm, bpf_get_current_task());
	READ(mm_struct, arg_start, &start, mm);
	READ(mm_struct, arg_end, &end, mm);
	len = end - start;
	event->args_len = len;
	if (len > ARGS_LEN)
		len = ARGS_LEN;
	if (len && bpf_probe_read_user(event->args, len, (void *)start) == 0)
		event->args_read = len;
	else if (len)
		count(LOST_USER_MEMORY);
	exec_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count(EVENTS);
	return 0;
}

int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = bpf_get_current_task(), signal = 0, leader = 0, parent = 0, started = 0;
	u32 live = 1, flags = 0;
	struct exit_event *event;

	READ(task_struct, signal, &signal, task);
	READ(signal_struct, live, &live, signal);
	if (live || current_is_filtered())
		return 0;
	event = exit_events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(LOST_RING_FULL);
		return 0;
	}
	READ(task_struct, group_leader, &leader, task);
	READ(task_struct, start_time, &started, leader);
	event->time = bpf_ktime_get_ns();
	event->duration = event->time - started;
	event->cgroup = current_cgroup();
	event->pid = current_tgid();
	event->uid = bpf_get_current_uid_gid();
	event->ppid = 0;
	READ(task_struct, real_parent, &parent, task);
	READ(task_struct, tgid, &event->ppid, parent);
	bpf_probe_read_kernel(event->comm, COMM_LEN, (void *)(leader + OFFSET(task_struct, comm)));
	/* A signal, or exit_group by any thread, sets the code of the whole group; a lone thread's is its own. */
	event->code = 0;
	READ(signal_struct, flags, &flags, signal);
	if (flags & 4 /* SIGNAL_GROUP_EXIT */)
		READ(signal_struct, group_exit_code, &event->code, signal);
	else
		READ(task_struct, exit_code, &event->code, task);
	exit_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count(EVENTS);
	return 0;
}

static u64 (*current_task_btf)(void) = (void *)158;
static u64 (*task_pt_regs)(u64 task) = (void *)175;

/* The nth argument (0 to 2) of the system call the current task is in. */
inlined u64 syscall_argument(u64 registers, int n)
{
	u64 value = 0;

	if (HAS(pt_regs, di)) { /* x86_64 */
		if (n == 0)
			READ(pt_regs, di, &value, registers);
		else if (n == 1)
			READ(pt_regs, si, &value, registers);
		else
			READ(pt_regs, dx, &value, registers);
	} else if (HAS(pt_regs, orig_x0)) { /* arm64, where the return value has overwritten x0 */
		if (n == 0)
			READ(pt_regs, orig_x0, &value, registers);
		else
			bpf_probe_read_kernel(&value, sizeof(value),
					      (void *)(registers + OFFSET(pt_regs, regs) + n * 8));
	}
	return value;
}

inlined int on_failure(s64 ret, int filename_argument)
{
	u64 id = bpf_get_current_pid_tgid(), argument = 0, used = 0;
	struct exec_event *event;
	struct call call = {}, *stored;
	int i, cut = 0;

	if (HAS_ENUM(bpf_func_id, BPF_FUNC_task_pt_regs)) {
		u64 registers;

		if (ret >= 0)
			return 0;
		registers = task_pt_regs(current_task_btf());
		call.filename = syscall_argument(registers, filename_argument);
		call.argv = syscall_argument(registers, filename_argument + 1);
	} else {
		stored = calls.lookup(&id);
		if (!stored)
			return 0;
		call = *stored;
		calls.delete(&id);
		if (ret >= 0)
			return 0;
	}
	if (current_is_filtered())
		return 0;
	event = exec_events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(LOST_RING_FULL);
		return 0;
	}
	fill_identity(event);
	event->ret = ret;
	if (bpf_probe_read_user_str(event->filename, FILENAME_LEN, (void *)call.filename) < 0)
		count(LOST_USER_MEMORY);
#pragma unroll
	for (i = 0; i < FAILED_ARGS_MAX; i++) {
		s64 len;

		argument = 0;
		bpf_probe_read_user(&argument, sizeof(argument), (void *)(call.argv + i * 8));
		asm volatile("" : "+r"(used)); /* keeps the bound below where the verifier sees it */
		if (!argument || used > ARGS_LEN - FAILED_ARG_LEN)
			break;
		len = bpf_probe_read_user_str(event->args + used, FAILED_ARG_LEN, (void *)argument);
		if (len <= 0 || len > FAILED_ARG_LEN)
			break;
		used += len;
		cut |= len == FAILED_ARG_LEN;
	}
	if (i == FAILED_ARGS_MAX)
		bpf_probe_read_user(&argument, sizeof(argument), (void *)(call.argv + i * 8));
	event->args_read = used;
	event->args_len = used + (cut || argument); /* a floor: what was cut is not measured */
	exec_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count(EVENTS);
	return 0;
}

int on_execve_exit(void *ctx)
{
	s64 ret = 0;

	READ_TP_FIELD(syscalls, sys_exit_execve__ret, &ret, ctx);
	return on_failure(ret, 0);
}

int on_execveat_exit(void *ctx)
{
	s64 ret = 0;

	READ_TP_FIELD(syscalls, sys_exit_execveat__ret, &ret, ctx);
	return on_failure(ret, 1);
}

int on_execve_enter(void *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call call = {};

	READ_TP_FIELD(syscalls, sys_enter_execve__filename, &call.filename, ctx);
	READ_TP_FIELD(syscalls, sys_enter_execve__argv, &call.argv, ctx);
	if (calls.update(&id, &call) < 0)
		count(LOST_MAP_FULL);
	return 0;
}

int on_execveat_enter(void *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call call = {};

	READ_TP_FIELD(syscalls, sys_enter_execveat__filename, &call.filename, ctx);
	READ_TP_FIELD(syscalls, sys_enter_execveat__argv, &call.argv, ctx);
	if (calls.update(&id, &call) < 0)
		count(LOST_MAP_FULL);
	return 0;
}
