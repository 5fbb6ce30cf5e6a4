/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * --pid, --comm and --cgroup inside the kernel. The maps are shared by all probes and written at run time, so
 * a filter changes without reloading anything. Kinds are combined with "and", values of one kind with "or".
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

struct comm_key {
	char comm[COMM_LEN];
};

BPF_ARRAY(filter_kinds, u32, 1);
BPF_HASH(filter_pids, u32, u8, 2048);
BPF_HASH(filter_comms, struct comm_key, u8, 256);
BPF_HASH(filter_cgroups, u64, u8, 4096);

inlined u32 active_filters(void)
{
	int first = 0;
	u32 *kinds = filter_kinds.lookup(&first);

	return kinds ? *kinds : 0;
}

/* For events whose owner is not the current task. `comm` is NUL padded. */
inlined int owner_is_filtered(u32 pid, u64 cgroup, char *comm)
{
	u32 kinds = active_filters();
	struct comm_key key = {};

	if (!(kinds & FILTER_READY))
		return 1;
	if (kinds & FILTER_PID && !filter_pids.lookup(&pid))
		return 1;
	if (kinds & FILTER_CGROUP && !filter_cgroups.lookup(&cgroup))
		return 1;
	if (kinds & FILTER_COMM) {
		bpf_probe_read_kernel(key.comm, COMM_LEN, comm);
		if (!filter_comms.lookup(&key))
			return 1;
	}
	return 0;
}

inlined int current_is_filtered(void)
{
	char comm[COMM_LEN] = {};
	u32 kinds = active_filters();

	if (kinds == FILTER_READY)
		return 0;
	bpf_get_current_comm(comm, COMM_LEN);
	return owner_is_filtered(current_tgid(), kinds & FILTER_CGROUP ? current_cgroup() : 0, comm);
}

#endif
