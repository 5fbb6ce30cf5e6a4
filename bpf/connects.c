/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * connects: how long every connect() of TCP took and how it ended. Those under the threshold only count in the
 * histogram; those that still wait stand in a map of their own, which user space reads.
 *
 * raw tracepoint inet_sock_set_state   SYN_SENT begins in the caller's context, and ends in any
 */
#include "ebtop.h"
#include "filter.h"
#include "tcp.h"

struct connect_entry {
	u64 started;
	u64 cgroup;
	u32 pid;
	u32 uid;
	u8 remote[ADDRESS_LEN];
	u32 netns;
	u16 family;
	u16 remote_port;
	char comm[COMM_LEN];
};

struct connect_event {
	u64 time;
	u64 socket;
	u64 latency;
	u64 cgroup;
	u32 pid;
	u32 uid;
	u8 local[ADDRESS_LEN];
	u8 remote[ADDRESS_LEN];
	u32 netns;
	u16 family;
	u16 local_port;
	u16 remote_port;
	u16 error;
	u8 connected;
	u8 unused[3];
	char comm[COMM_LEN];
};
RECORD_LAYOUT(connect_event);

#define EADDRNOTAVAIL 99

/* log2 of microseconds: first the connects that worked, then those that did not. */
#define HISTOGRAM_BUCKETS 32
struct histogram {
	u64 ok[HISTOGRAM_BUCKETS];
	u64 failed[HISTOGRAM_BUCKETS];
};
BPF_PERCPU_ARRAY(histogram, struct histogram, 1);

BPF_TABLE("hash", u64, struct connect_entry, pending, 8192);
BPF_RINGBUF_OUTPUT(connect_events, 64);

inlined u32 log2_of(u64 value)
{
	u32 result = 0;

#pragma unroll
	for (int shift = 32; shift; shift >>= 1) {
		if (value >> shift) {
			value >>= shift;
			result += shift;
		}
	}
	return result < HISTOGRAM_BUCKETS ? result : HISTOGRAM_BUCKETS - 1;
}

inlined void count_latency(u64 latency, int connected)
{
	u32 bucket = log2_of(latency / 1000) & (HISTOGRAM_BUCKETS - 1);
	struct histogram *all;
	int first = 0;

	all = histogram.lookup(&first);
	if (!all)
		return;
	if (connected)
		all->ok[bucket] += 1;
	else
		all->failed[bucket] += 1;
}

inlined void begin(u64 sk)
{
	struct connect_entry entry = {};
	struct endpoints ends;

	if (current_is_filtered())
		return;
	read_endpoints(sk, &ends);
	entry.started = bpf_ktime_get_ns();
	entry.cgroup = current_cgroup();
	entry.pid = current_tgid();
	entry.uid = bpf_get_current_uid_gid();
	__builtin_memcpy(entry.remote, ends.remote, ADDRESS_LEN);
	entry.netns = ends.netns;
	entry.family = ends.family;
	entry.remote_port = ends.remote_port;
	bpf_get_current_comm(entry.comm, COMM_LEN);
	if (pending.update(&sk, &entry) < 0)
		count(LOST_MAP_FULL);
}

/* Without an error at the socket: whoever called gave up, unless no port was found for it. */
inlined int connect_error(u64 sk)
{
	int error = 0;

	READ(sock, sk_err, &error, sk);
	return error || socket_port(sk) ? error : EADDRNOTAVAIL;
}

inlined void end(u64 sk, int connected)
{
	struct connect_entry *entry = pending.lookup(&sk);
	struct connect_event *event;
	struct endpoints ends;
	u64 now, latency;

	if (!entry)
		return;
	now = bpf_ktime_get_ns();
	latency = now - entry->started;
	count_latency(latency, connected);
	if (latency < CONSTANT(connects, min_latency_ns))
		goto out;
	event = connect_events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(LOST_RING_FULL);
		goto out;
	}
	read_endpoints(sk, &ends);
	event->time = now;
	event->socket = sk;
	event->latency = latency;
	event->cgroup = entry->cgroup;
	event->pid = entry->pid;
	event->uid = entry->uid;
	__builtin_memcpy(event->local, ends.local, ADDRESS_LEN);
	__builtin_memcpy(event->remote, entry->remote, ADDRESS_LEN);
	event->netns = entry->netns;
	event->family = entry->family;
	event->local_port = socket_port(sk);
	event->remote_port = entry->remote_port;
	event->error = connected ? 0 : connect_error(sk);
	event->connected = connected;
	bpf_probe_read_kernel(event->comm, COMM_LEN, entry->comm);
	connect_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count(EVENTS);
out:
	pending.delete(&sk);
}

int on_state(struct bpf_raw_tracepoint_args *ctx)
{
	u64 sk = ctx->args[0];
	u32 from = ctx->args[1], to = ctx->args[2];

	if (to == TCP_SYN_SENT && is_tcp(sk))
		begin(sk);
	else if (from == TCP_SYN_SENT)
		end(sk, to == TCP_ESTABLISHED || to == TCP_SYN_RECV);
	return 0;
}

/*
 * Since Linux 6.1 a program does not run while it already runs on the same CPU: a softirq that interrupts on_state
 * takes its state changes past it. Then the connect still stands as pending when this second program runs.
 */
int on_state_missed(struct bpf_raw_tracepoint_args *ctx)
{
	u64 sk = ctx->args[0];
	u32 from = ctx->args[1], to = ctx->args[2];

	if (from == TCP_SYN_SENT)
		end(sk, to == TCP_ESTABLISHED || to == TCP_SYN_RECV);
	return 0;
}
