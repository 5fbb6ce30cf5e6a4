/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * --pid, --comm and --cgroup inside the kernel, and what single probes are narrowed to on top of that. The maps are
 * shared by all probes and written at run time, so a filter changes without reloading anything. Kinds are combined
 * with "and", values of one kind with "or"; a narrowed probe passes on what both sets let through.
 */
#ifndef EBTOP_FILTER_H
#define EBTOP_FILTER_H

enum filter_kind {
	FILTER_PID = 1,
	FILTER_COMM = 2,
	FILTER_CGROUP = 4,
	FILTER_CHILDREN = 8,	/* what filtered processes fork passes too */
	FILTER_READY = 16,	/* user space has said what it wants; nothing passes before that */
};

enum filter_set {
	FILTER_BASE,		/* what ebtop was started with */
	FILTER_NARROWED,
	FILTER_SETS,
};
/* The kinds of the narrowed set stand so many bits above those of the base. */
#define NARROWED_SHIFT 8

#define FILTER_SLOTS 32
struct filter_pid {
	u32 pid;
	u32 set;
};
struct filter_comm {
	char comm[COMM_LEN];
	u32 set;
};
struct filter_cgroup {
	u64 cgroup;
	u64 set;
};

/* By probe: one may be narrowed while the others are not. */
BPF_ARRAY(filter_kinds, u32, FILTER_SLOTS);
BPF_HASH(filter_pids, struct filter_pid, u8, 2048);
BPF_HASH(filter_comms, struct filter_comm, u8, 256);
BPF_HASH(filter_cgroups, struct filter_cgroup, u8, 4096);

inlined u32 active_filters(void)
{
	int slot = CONSTANT(filter, slot);
	u32 *kinds = filter_kinds.lookup(&slot);

	return kinds ? *kinds : 0;
}

inlined int is_active(u32 kinds, u32 kind)
{
	return (kinds | kinds >> NARROWED_SHIFT) & kind;
}

inlined int comm_is_in(u32 set, char *comm)
{
	struct filter_comm key = { .set = set };

	bpf_probe_read_kernel(key.comm, COMM_LEN, comm);
	return filter_comms.lookup(&key) != 0;
}

/* `other_comm` is a second name of the same owner, or NULL: one of them is enough. */
inlined int is_outside(u32 set, u32 kinds, u32 pid, u64 cgroup, char *comm, char *other_comm)
{
	struct filter_pid pid_key = { .pid = pid, .set = set };
	struct filter_cgroup cgroup_key = { .cgroup = cgroup, .set = set };

	if (kinds & FILTER_PID && !filter_pids.lookup(&pid_key))
		return 1;
	if (kinds & FILTER_CGROUP && !filter_cgroups.lookup(&cgroup_key))
		return 1;
	if (kinds & FILTER_COMM && !comm_is_in(set, comm) && !(other_comm && comm_is_in(set, other_comm)))
		return 1;
	return 0;
}

inlined int is_filtered(u32 kinds, u32 pid, u64 cgroup, char *comm, char *other_comm)
{
	u32 narrowed = kinds >> NARROWED_SHIFT;

	if (!(kinds & FILTER_READY))
		return 1;
	if (narrowed && is_outside(FILTER_NARROWED, narrowed, pid, cgroup, comm, other_comm))
		return 1;
	return is_outside(FILTER_BASE, kinds, pid, cgroup, comm, other_comm);
}

/* For events whose owner is not the current task. `comm` is NUL padded. */
inlined int owner_is_filtered(u32 pid, u64 cgroup, char *comm)
{
	return is_filtered(active_filters(), pid, cgroup, comm, 0);
}

inlined int current_is_filtered(void)
{
	char comm[COMM_LEN] = {};
	u32 kinds = active_filters();

	if (kinds == FILTER_READY)
		return 0;
	bpf_get_current_comm(comm, COMM_LEN);
	return is_filtered(kinds, current_tgid(), is_active(kinds, FILTER_CGROUP) ? current_cgroup() : 0, comm, 0);
}

/*
 * For events that are told under the name of the process: `leader` is its first thread. The name of the current
 * thread is as good.
 */
inlined int process_is_filtered(u64 leader)
{
	char thread[COMM_LEN] = {}, comm[COMM_LEN] = {};
	u32 kinds = active_filters();

	if (kinds == FILTER_READY)
		return 0;
	if (is_active(kinds, FILTER_COMM)) {
		bpf_get_current_comm(thread, COMM_LEN);
		bpf_probe_read_kernel(comm, COMM_LEN, (void *)(leader + OFFSET(task_struct, comm)));
	}
	return is_filtered(kinds, current_tgid(), is_active(kinds, FILTER_CGROUP) ? current_cgroup() : 0, comm, thread);
}

#endif
