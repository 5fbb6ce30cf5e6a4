/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * --pid with children: whoever a filtered process forks is filtered in too. Loaded only with that option.
 *
 * raw tracepoint sched_process_fork   a new process of a filtered parent
 * raw tracepoint sched_process_free   a process is forgotten only here, after its exit was reported
 */
#include "ebtop.h"
#include "filter.h"

int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u64 parent = ctx->args[0], child = ctx->args[1];
	u32 parent_pid = 0, child_pid = 0;
	u8 yes = 1;

	READ(task_struct, tgid, &parent_pid, parent);
	READ(task_struct, tgid, &child_pid, child);
	if (parent_pid == child_pid || !filter_pids.lookup(&parent_pid))
		return 0;
	if (filter_pids.update(&child_pid, &yes) < 0)
		count(LOST_MAP_FULL);
	return 0;
}

int on_free(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[0];
	u32 tid = 0, pid = 0;

	READ(task_struct, pid, &tid, task);
	READ(task_struct, tgid, &pid, task);
	if (tid == pid)
		filter_pids.delete(&pid);
	return 0;
}
