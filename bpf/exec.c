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
#define TEXT_LEN (FILENAME_LEN + ARGS_LEN)
/* Most events have no more text than this: a buffer of their own holds more than three times as many. */
#define SHORT_TEXT_LEN 304
/* For a failed exec argv is still an array of pointers; each is a read of its own. */
#define FAILED_ARGS_MAX 12
#define FAILED_ARG_LEN 128

#define EXEC_HEAD                                                                                           \
	u64 time;                                                                                           \
	u64 cgroup;                                                                                         \
	u32 pid;                                                                                            \
	u32 ppid;                                                                                           \
	u32 uid;                                                                                            \
	s32 ret;                                                                                            \
	u32 filename_len; /* NUL included, it begins text */                                                \
	u32 args_read; /* follow the filename in text */                                                    \
	u64 args_len; /* of the whole argv block, NULs included */                                          \
	char comm[COMM_LEN];                                                                                \
	char parent_comm[COMM_LEN];

struct exec_event {
	EXEC_HEAD
	char text[TEXT_LEN];
};
RECORD_LAYOUT(exec_event);

/* The first part of the same. */
struct short_exec_event {
	EXEC_HEAD
	char text[SHORT_TEXT_LEN];
};
RECORD_LAYOUT(short_exec_event);

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

BPF_RINGBUF_OUTPUT(exec_events, 512);
BPF_RINGBUF_OUTPUT(short_exec_events, 512);
BPF_RINGBUF_OUTPUT(exit_events, 256);
BPF_PERCPU_ARRAY(exec_scratch, struct exec_event, 1);

struct call {
	u64 filename;
	u64 argv;
};
BPF_TABLE("lru_hash", u64, struct call, calls, 1024);

struct life {
	u64 started;
	u64 pid;
};
BPF_TABLE("lru_hash", struct life, u8, ended, 1024);

/* The result of a string read as a length: 0 for an error. The verifier sees the bound. */
inlined u64 length_read(s64 result, u64 most)
{
	u64 length = result;

	asm volatile("" : "+r"(length));
	return length <= most ? length : 0;
}

/* A new event of the current task, without text. */
inlined struct exec_event *new_event(s64 ret)
{
	u64 task = bpf_get_current_task(), parent = 0;
	struct exec_event *event;
	int first = 0;

	event = exec_scratch.lookup(&first);
	if (!event) {
		count(LOST_SCRATCH);
		return 0;
	}
	event->time = bpf_ktime_get_ns();
	event->cgroup = current_cgroup();
	event->pid = current_tgid();
	event->uid = bpf_get_current_uid_gid();
	event->ret = ret;
	event->ppid = 0;
	event->filename_len = 0;
	event->args_len = 0;
	event->args_read = 0;
	bpf_get_current_comm(event->comm, COMM_LEN);
	READ(task_struct, real_parent, &parent, task);
	READ(task_struct, tgid, &event->ppid, parent);
	bpf_probe_read_kernel(event->parent_comm, COMM_LEN, (void *)(parent + OFFSET(task_struct, comm)));
	return event;
}

/* A short event that finds its own buffer full goes to the other one. */
inlined void report(struct exec_event *event)
{
	int failed = 1;

	if (event->filename_len + event->args_read <= SHORT_TEXT_LEN)
		failed = short_exec_events.ringbuf_output(event, sizeof(struct short_exec_event), BPF_RB_NO_WAKEUP);
	if (failed)
		failed = exec_events.ringbuf_output(event, sizeof(*event), BPF_RB_NO_WAKEUP);
	count(failed ? LOST_RING_FULL : EVENTS);
}

int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u64 program = ctx->args[2], mm = 0, start = 0, end = 0, filename = 0, len, at;
	struct exec_event *event;

	if (current_is_filtered())
		return 0;
	event = new_event(0);
	if (!event)
		return 0;
	READ(linux_binprm, filename, &filename, program);
	at = length_read(bpf_probe_read_kernel_str(event->text, FILENAME_LEN, (void *)filename), FILENAME_LEN);
	event->filename_len = at;
	READ(task_struct, mm, &mm, bpf_get_current_task());
	READ(mm_struct, arg_start, &start, mm);
	READ(mm_struct, arg_end, &end, mm);
	len = end - start;
	event->args_len = len;
	if (len > ARGS_LEN)
		len = ARGS_LEN;
	if (len && bpf_probe_read_user(event->text + at, len, (void *)start) == 0)
		event->args_read = len;
	else if (len)
		count(LOST_USER_MEMORY);
	report(event);
	return 0;
}

/* Whether this thread is the last of its process. */
inlined int ends_process(struct bpf_raw_tracepoint_args *ctx, u64 signal, struct life *life)
{
	u32 live = 1;
	u8 yes = 1;

	if (TP_ARGS(sched_process_exit, arguments) > 1) /* Linux 6.16: group_dead */
		return (u8)ctx->args[1];
	READ(signal_struct, live, &live, signal);
	/* Threads that end at the same time may all find that nobody is left: the first one counts. */
	return !live && !ended.insert(life, &yes);
}

int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = bpf_get_current_task(), signal = 0, leader = 0, parent = 0;
	struct life life = { .pid = current_tgid() };
	struct exit_event *event;
	u32 flags = 0;

	READ(task_struct, signal, &signal, task);
	READ(task_struct, group_leader, &leader, task);
	READ(task_struct, start_time, &life.started, leader);
	if (!ends_process(ctx, signal, &life) || process_is_filtered(leader))
		return 0;
	event = exit_events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(LOST_RING_FULL);
		return 0;
	}
	event->time = bpf_ktime_get_ns();
	event->duration = event->time - life.started;
	event->cgroup = current_cgroup();
	event->pid = life.pid;
	event->uid = bpf_get_current_uid_gid();
	event->ppid = 0;
	READ(task_struct, real_parent, &parent, task);
	READ(task_struct, tgid, &event->ppid, parent);
	bpf_probe_read_kernel(event->comm, COMM_LEN, (void *)(leader + OFFSET(task_struct, comm)));
	/* A signal, or exit_group by any thread, sets the code of the whole group; else the leader's counts. */
	event->code = 0;
	READ(signal_struct, flags, &flags, signal);
	if (flags & 4 /* SIGNAL_GROUP_EXIT */)
		READ(signal_struct, group_exit_code, &event->code, signal);
	else
		READ(task_struct, exit_code, &event->code, leader);
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
	u64 id = bpf_get_current_pid_tgid(), argument = 0, at, used = 0, len;
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
	event = new_event(ret);
	if (!event)
		return 0;
	at = length_read(bpf_probe_read_user_str(event->text, FILENAME_LEN, (void *)call.filename), FILENAME_LEN);
	if (!at)
		count(LOST_USER_MEMORY);
	event->filename_len = at;
#pragma unroll
	for (i = 0; i < FAILED_ARGS_MAX; i++) {
		argument = 0;
		bpf_probe_read_user(&argument, sizeof(argument), (void *)(call.argv + i * 8));
		asm volatile("" : "+r"(used)); /* keeps the bound below where the verifier sees it */
		if (!argument || used > ARGS_LEN - FAILED_ARG_LEN)
			break;
		len = bpf_probe_read_user_str(event->text + at + used, FAILED_ARG_LEN, (void *)argument);
		len = length_read(len, FAILED_ARG_LEN);
		if (!len)
			break;
		used += len;
		if (len == FAILED_ARG_LEN) {
			char next = 0;

			bpf_probe_read_user(&next, 1, (void *)(argument + FAILED_ARG_LEN - 1));
			cut |= next;
		}
	}
	if (i == FAILED_ARGS_MAX)
		bpf_probe_read_user(&argument, sizeof(argument), (void *)(call.argv + i * 8));
	event->args_read = used;
	event->args_len = used + (cut || argument); /* a floor: what was cut is not measured */
	report(event);
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
