/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which process a TCP socket belongs to. Most TCP events run in a softirq that interrupted some other task, so the
 * owner is noted while it works on the socket itself and looked up by the socket's address ever after. The maps
 * are filled by sockets.c and shared with whoever wants to know.
 */
#ifndef EBTOP_SOCKET_OWNER_H
#define EBTOP_SOCKET_OWNER_H

#include "tcp.h"

struct socket_entry {
	u64 started;	/* ktime of connect() or of the SYN; 0 = older than ebtop */
	u64 cgroup;
	u32 pid;
	u32 uid;
	char comm[COMM_LEN];
	u8 direction;
	u8 owner;
	u8 announced;	/* its connect or accept was reported */
	u8 unused[5];
};

struct process {
	u64 cgroup;
	u32 pid;
	u32 uid;
	char comm[COMM_LEN];
};

BPF_TABLE("hash", u64, struct socket_entry, sockets, 32768);
/* By listening socket, who listens. */
BPF_TABLE("lru_hash", u64, struct process, listeners, 4096);

inlined void own_by_current(struct socket_entry *entry)
{
	entry->pid = current_tgid();
	entry->uid = bpf_get_current_uid_gid();
	entry->cgroup = current_cgroup();
	bpf_get_current_comm(entry->comm, COMM_LEN);
	entry->owner = OWNER_EXACT;
}

inlined void own_by(struct socket_entry *entry, struct process *process, u8 owner)
{
	entry->pid = process->pid;
	entry->uid = process->uid;
	entry->cgroup = process->cgroup;
	bpf_probe_read_kernel(entry->comm, COMM_LEN, process->comm);
	entry->owner = owner;
}

inlined void own_by_listener(struct socket_entry *entry, u64 listener)
{
	struct process *process = listeners.lookup(&listener);

	if (process)
		own_by(entry, process, OWNER_LISTENER);
}

#endif
