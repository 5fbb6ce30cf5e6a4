/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What every program of ebtop shares: relocated access to kernel structures, counters, identity.
 *
 * No program has an offset, an enum value or a size of one kernel compiled in. Each such number is a
 * marked 64-bit immediate which the loader replaces with what the running kernel's BTF (or a tracepoint's
 * format file) says. HAS(...) is 1 or 0, so the verifier removes the branches for what a kernel lacks.
 *
 * The first two arguments of these macros are plain names; the build reads them out of the source.
 */
#ifndef EBTOP_H
#define EBTOP_H

#include "relocations.h" /* generated: one number for each name used */

#define RELOCATED(id)                                                                                       \
	({                                                                                                  \
		u64 value_;                                                                                 \
		asm volatile("%0 = %1 ll" : "=r"(value_) : "i"(0xEB70F00000000000ULL | (id)));              \
		value_;                                                                                     \
	})

#define OFFSET(type, member) RELOCATED(RELOC_OFFSET_##type##__##member)
#define HAS(type, member) RELOCATED(RELOC_HAS_##type##__##member)
#define ENUM(type, name) RELOCATED(RELOC_ENUM_##type##__##name)
#define HAS_ENUM(type, name) RELOCATED(RELOC_HAS_ENUM_##type##__##name)
/* Offset of a field in the record of a tracepoint (category, event__field). */
#define TP_FIELD(category, field) RELOCATED(RELOC_TP_FIELD_##category##__##field)
/* How many arguments a raw tracepoint passes on this kernel. */
#define TP_ARGS(tracepoint, unused) RELOCATED(RELOC_TP_ARGS_##tracepoint##__##unused)
/* A number that user space chooses when it loads the program. */
#define CONSTANT(probe, name) RELOCATED(RELOC_CONSTANT_##probe##__##name)

#define READ(type, member, destination, base)                                                               \
	bpf_probe_read_kernel(destination, sizeof(*(destination)), (void *)((u64)(base) + OFFSET(type, member)))

/* A bit-field of up to 32 bits: the loader gives the byte to start at and two shifts. */
#define READ_BITS(type, member, base)                                                                       \
	({                                                                                                  \
		u64 word_ = 0;                                                                              \
		bpf_probe_read_kernel(&word_, sizeof(word_),                                                \
				      (void *)((u64)(base) + RELOCATED(RELOC_BITS_BYTE_##type##__##member))); \
		word_ << RELOCATED(RELOC_BITS_LEFT_##type##__##member) >>                                   \
			RELOCATED(RELOC_BITS_RIGHT_##type##__##member);                                     \
	})

#define READ_TP_FIELD(category, field, destination, ctx)                                                    \
	bpf_probe_read_kernel(destination, sizeof(*(destination)), (void *)(ctx) + TP_FIELD(category, field))

#define inlined static inline __attribute__((always_inline))

#define COMM_LEN 16

/* Tells user space how a record is laid out; the loader makes no map of it. */
#define RECORD_LAYOUT(name) BPF_ARRAY(layout_##name, struct name, 1)

/* Every probe counts what it handed over and, by reason, what it could not. Names in ebtop/kernel/counters.py. */
enum counter {
	EVENTS,
	LOST_RING_FULL,
	LOST_MAP_FULL,
	LOST_USER_MEMORY,
	LOST_SCRATCH,
	COUNTERS,
};
struct counters {
	u64 value[COUNTERS];
};
BPF_PERCPU_ARRAY(counters, struct counters, 1);

inlined void count(int which)
{
	int first = 0;
	struct counters *all = counters.lookup(&first);

	if (all)
		all->value[which] += 1;
}

inlined u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

#define CGROUP_V2 0xffff
/*
 * Id of the current task's cgroup, equal to the inode number of its directory. On hosts whose containers
 * still live in a v1 hierarchy every task has the same v2 id, so user space names the v1 controller to use.
 */
inlined u64 current_cgroup(void)
{
	u64 task, set = 0, state = 0, cgroup = 0, node = 0, id = 0;
	u64 controller = CONSTANT(ebtop, cgroup_controller);

	if (controller == CGROUP_V2)
		return bpf_get_current_cgroup_id();
	task = bpf_get_current_task();
	READ(task_struct, cgroups, &set, task);
	bpf_probe_read_kernel(&state, sizeof(state), (void *)(set + OFFSET(css_set, subsys) + controller * 8));
	READ(cgroup_subsys_state, cgroup, &cgroup, state);
	READ(cgroup, kn, &node, cgroup);
	READ(kernfs_node, id, &id, node);
	return id;
}

#endif
