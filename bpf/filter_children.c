/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What comes to be below a filtered process or cgroup passes the filter too. Loaded only where there is a filter by
 * cgroup or with children.
 *
 * raw tracepoint sched_process_fork   a new process of a filtered parent
 * raw tracepoint sched_process_free   a process is forgotten only here, after its exit was reported
 * raw tracepoint cgroup_mkdir         a new cgroup in a filtered one
 * raw tracepoint cgroup_rmdir         a cgroup goes; it is empty by then
 */
#include "ebtop.h"
#include "filter.h"

int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u64 parent = ctx->args[0], child = ctx->args[1];
	struct filter_pid parent_key = { .set = FILTER_BASE }, child_key = { .set = FILTER_BASE };
	u8 yes = 1;

	if (!(active_filters() & FILTER_CHILDREN))
		return 0;
	READ(task_struct, tgid, &parent_key.pid, parent);
	READ(task_struct, tgid, &child_key.pid, child);
	if (parent_key.pid == child_key.pid || !filter_pids.lookup(&parent_key))
		return 0;
	if (filter_pids.update(&child_key, &yes) < 0)
		count(LOST_MAP_FULL);
	return 0;
}

int on_free(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ctx->args[0];
	struct filter_pid key = { .set = FILTER_BASE };
	u32 tid = 0;

	if (!(active_filters() & FILTER_CHILDREN))
		return 0;
	READ(task_struct, pid, &tid, task);
	READ(task_struct, tgid, &key.pid, task);
	if (tid == key.pid)
		filter_pids.delete(&key);
	return 0;
}

/* Ids are unique only within a hierarchy: whether this is the one that current_cgroup() speaks of. */
inlined int in_our_hierarchy(u64 cgroup)
{
	u64 controller = CONSTANT(ebtop, cgroup_controller), root = 0, state = 0;
	u32 hierarchy = 1;

	if (controller == CGROUP_V2) {
		READ(cgroup, root, &root, cgroup);
		READ(cgroup_root, hierarchy_id, &hierarchy, root);
		return !hierarchy;
	}
	bpf_probe_read_kernel(&state, sizeof(state), (void *)(cgroup + OFFSET(cgroup, subsys) + controller * 8));
	return state != 0;
}

inlined u64 cgroup_id(u64 cgroup)
{
	u64 node = 0, id = 0;

	READ(cgroup, kn, &node, cgroup);
	READ(kernfs_node, id, &id, node);
	return id;
}

/* In every set that has the one above it. */
inlined void add_below(u32 set, u64 parent, u64 cgroup)
{
	struct filter_cgroup key = { .cgroup = parent, .set = set };
	u8 yes = 1;

	if (!filter_cgroups.lookup(&key))
		return;
	key.cgroup = cgroup;
	if (filter_cgroups.update(&key, &yes) < 0)
		count(LOST_MAP_FULL);
}

int on_mkdir(struct bpf_raw_tracepoint_args *ctx)
{
	u64 cgroup = ctx->args[0], state = 0, parent = 0;

	if (!is_active(active_filters(), FILTER_CGROUP) || !in_our_hierarchy(cgroup))
		return 0;
	READ(cgroup_subsys_state, parent, &state, cgroup + OFFSET(cgroup, self));
	READ(cgroup_subsys_state, cgroup, &parent, state);
	parent = cgroup_id(parent);
	cgroup = cgroup_id(cgroup);
	add_below(FILTER_BASE, parent, cgroup);
	add_below(FILTER_NARROWED, parent, cgroup);
	return 0;
}

int on_rmdir(struct bpf_raw_tracepoint_args *ctx)
{
	struct filter_cgroup key = {};

	if (!is_active(active_filters(), FILTER_CGROUP) || !in_our_hierarchy(ctx->args[0]))
		return 0;
	key.cgroup = cgroup_id(ctx->args[0]);
	for (key.set = 0; key.set < FILTER_SETS; key.set++)
		filter_cgroups.delete(&key);
	return 0;
}
