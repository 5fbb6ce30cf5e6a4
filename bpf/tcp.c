/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tcp: every open TCP socket with its bytes so far, read in one walk. Events come from sockets.c.
 *
 * iter/bpf_map_elem   runs while user space reads it, over what sockets.c follows, in all network namespaces
 * iter/tcp            the same over the sockets of the reader's namespace: once, for those older than ebtop
 *
 * iter/tcp would tell of all, each time. But up to Linux 6.18 at least it takes a reference to whatever stands in the
 * kernel's table, also to the request of a connection that was put there a moment ago and counts its references from
 * then on: one is lost, and the kernel warns of memory used after it was freed. A SYN flood makes that likely within
 * minutes. Here no socket is held: what was freed meanwhile reads as closed, or as no TCP socket.
 */
#include "ebtop.h"
#include "filter.h"
#include "socket_owner.h"

struct open_socket {
	u64 socket;
	u64 started;
	u64 sent;
	u64 received;
	u64 cgroup;
	u64 inode;	/* of the socket, as in /proc/PID/fd; 0 = no process holds it any more */
	u32 pid;
	u32 uid;
	u8 local[ADDRESS_LEN];
	u8 remote[ADDRESS_LEN];
	u32 netns;
	u16 family;
	u16 local_port;
	u16 remote_port;
	u8 state;
	u8 direction;
	u32 retransmits;
	u8 owner;
	u8 accepted;	/* this walk was the first to see who holds it: report its accept */
	u8 unused[6];
	char comm[COMM_LEN];
};
RECORD_LAYOUT(open_socket);

/* By the inode of a socket, the process that user space found in /proc since the last walk. */
BPF_TABLE("hash", u64, struct process, holders, 4096);

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};
struct bpf_map;
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	u64 *key;
	struct socket_entry *value;
};
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	void *sk_common;
	u32 uid;
};

/* Whether the owner was not known for sure until user space found it. */
inlined int find_holder(struct socket_entry *entry, u64 inode)
{
	struct process *process;

	if (entry->owner == OWNER_EXACT || entry->owner == OWNER_PROC)
		return 0;
	process = holders.lookup(&inode);
	if (!process)
		return 0;
	own_by(entry, process, OWNER_PROC);
	return 1;
}

/* Whether this is, or still is, one that can be told of. */
inlined int is_open(u64 sk, u8 *state)
{
	u16 family = 0;

	READ(sock_common, skc_state, state, sk);
	/* These two are smaller objects than a struct sock, and nobody's any more or yet. */
	if (!*state || *state == TCP_TIME_WAIT || *state == TCP_CLOSE || *state >= TCP_NEW_SYN_RECV)
		return 0;
	READ(sock_common, skc_family, &family, sk);
	return (family == AF_INET || family == AF_INET6) && is_tcp(sk);
}

inlined void describe_socket(struct open_socket *open, u64 sk)
{
	struct endpoints ends;
	u64 holder = 0;

	open->socket = sk;
	READ(sock, sk_uid, &open->uid, sk);
	read_endpoints(sk, &ends);
	__builtin_memcpy(open->local, ends.local, ADDRESS_LEN);
	__builtin_memcpy(open->remote, ends.remote, ADDRESS_LEN);
	open->netns = ends.netns;
	open->family = ends.family;
	open->local_port = socket_port(sk);
	open->remote_port = ends.remote_port;
	READ(sock, sk_socket, &holder, sk);
	if (holder)
		bpf_probe_read_kernel(&open->inode, sizeof(open->inode),
				      (void *)(holder + OFFSET(socket_alloc, vfs_inode) + OFFSET(inode, i_ino)));
}

inlined void describe_owner(struct open_socket *open, struct socket_entry *known)
{
	open->started = known->started;
	open->direction = known->direction;
	open->owner = known->owner;
	if (known->pid) {
		open->pid = known->pid;
		open->uid = known->uid;
		open->cgroup = known->cgroup;
		bpf_probe_read_kernel(open->comm, COMM_LEN, known->comm);
	}
}

int walk(struct bpf_iter__bpf_map_elem *ctx)
{
	struct bpf_iter_meta *meta = ctx->meta;
	struct seq_file *seq = meta->seq;
	u64 *key = ctx->key, sk;
	struct socket_entry *entry = ctx->value, known;
	struct open_socket open = {};
	int found;

	if (!key || !entry)
		return 0;
	sk = *key;
	known = *entry;
	if (!is_open(sk, &open.state) || open.state == TCP_LISTEN)
		return 0;
	describe_socket(&open, sk);
	if (!known.direction)
		known.direction = find_direction(sk, open.state);
	found = find_holder(&known, open.inode);
	open.accepted = found && known.direction == DIRECTION_IN && known.started && !known.announced &&
			!owner_is_filtered(known.pid, known.cgroup, known.comm);
	READ(tcp_sock, total_retrans, &open.retransmits, sk);
	read_bytes(sk, open.state, known.direction, &open.sent, &open.received);
	describe_owner(&open, &known);
	/* Without room in the buffer the kernel comes back with the same socket: nothing may have changed by then. */
	if (!bpf_seq_write(seq, &open, sizeof(open)) && found) {
		known.announced = 1;
		*entry = known;
	}
	return 0;
}

/* Has a connection that is older than ebtop followed, and tells user space of a socket that listens. */
int adopt(struct bpf_iter__tcp *ctx)
{
	struct bpf_iter_meta *meta = ctx->meta;
	struct seq_file *seq = meta->seq;
	u64 sk = (u64)ctx->sk_common;
	struct socket_entry known = {};
	struct open_socket open = {};

	if (!sk || !is_open(sk, &open.state))
		return 0;
	if (open.state == TCP_LISTEN) {
		describe_socket(&open, sk);
		own_by_listener(&known, sk);
		describe_owner(&open, &known);
		bpf_seq_write(seq, &open, sizeof(open));
	} else if (!sockets.lookup(&sk)) {
		known.direction = find_direction(sk, open.state);
		known.announced = 1;
		if (sockets.insert(&sk, &known) < 0 && !sockets.lookup(&sk))
			count(LOST_MAP_FULL);
	}
	return 0;
}
