/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * retransmits: every TCP segment that was sent again, why, and whose it is.
 *
 * raw tracepoint tcp_retransmit_skb       one event may be many segments
 * raw tracepoint tcp_retransmit_synack    the answer to a connect, sent again by a listening socket
 */
#include "ebtop.h"
#include "filter.h"
#include "socket_owner.h"

enum retransmit_kind {
	KIND_RTO = 1,
	KIND_FAST,
	KIND_TLP,
	KIND_SYN,
	KIND_SYNACK,
};

/* include/net/tcp.h, include/net/inet_connection_sock.h */
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4
#define ICSK_TIME_LOSS_PROBE 5

struct retransmit_event {
	u64 time;
	u64 cgroup;
	u32 pid;
	u32 uid;
	u8 local[ADDRESS_LEN];
	u8 remote[ADDRESS_LEN];
	u32 netns;
	u16 family;
	u16 local_port;
	u16 remote_port;
	u8 state;
	u8 kind;
	u32 segments;
	u8 owner;
	u8 unused[7];
	char comm[COMM_LEN];
};
RECORD_LAYOUT(retransmit_event);

BPF_RINGBUF_OUTPUT(retransmit_events, 64);

/* `common` is where the addresses are: the socket, or the request a listener answers. */
inlined int report(u64 common, u16 local_port, struct socket_entry *entry, u32 state, int kind, u32 segments)
{
	struct retransmit_event *event;
	struct endpoints ends;

	if (owner_is_filtered(entry->pid, entry->cgroup, entry->comm))
		return 0;
	event = retransmit_events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(LOST_RING_FULL);
		return 0;
	}
	read_endpoints(common, &ends);
	event->time = bpf_ktime_get_ns();
	event->cgroup = entry->cgroup;
	event->pid = entry->pid;
	event->uid = entry->uid;
	event->owner = entry->owner;
	bpf_probe_read_kernel(event->comm, COMM_LEN, entry->comm);
	__builtin_memcpy(event->local, ends.local, ADDRESS_LEN);
	__builtin_memcpy(event->remote, ends.remote, ADDRESS_LEN);
	event->netns = ends.netns;
	event->family = ends.family;
	event->local_port = local_port;
	event->remote_port = ends.remote_port;
	event->state = state;
	event->kind = kind;
	event->segments = segments;
	retransmit_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count(EVENTS);
	return 0;
}

inlined int retransmit_kind(u64 sk, u32 state)
{
	u32 ca_state = READ_BITS(inet_connection_sock, icsk_ca_state, sk);
	u8 pending = 0;

	if (state == TCP_SYN_SENT)
		return KIND_SYN;
	if (state == TCP_SYN_RECV)
		return KIND_SYNACK;
	if (ca_state == TCP_CA_LOSS)
		return KIND_RTO;
	/* The timer of a loss probe may still be set when duplicate ACKs come first. */
	if (ca_state == TCP_CA_RECOVERY)
		return KIND_FAST;
	READ(inet_connection_sock, icsk_pending, &pending, sk);
	return pending == ICSK_TIME_LOSS_PROBE ? KIND_TLP : KIND_FAST;
}

int on_retransmit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 sk = ctx->args[0], skb = ctx->args[1];
	struct socket_entry owner = {}, *entry;
	u16 segments = 1;
	u8 state = 0;

	/* Newer kernels also report what they failed to send. */
	if (TP_ARGS(tcp_retransmit_skb, arguments) > 2 && (s32)ctx->args[2])
		return 0;
	READ(sock_common, skc_state, &state, sk);
	if (HAS(tcp_skb_cb, tcp_gso_segs))
		bpf_probe_read_kernel(&segments, sizeof(segments),
				      (void *)(skb + OFFSET(sk_buff, cb) + OFFSET(tcp_skb_cb, tcp_gso_segs)));
	entry = sockets.lookup(&sk);
	if (entry)
		owner = *entry;
	return report(sk, socket_port(sk), &owner, state, retransmit_kind(sk, state), segments ? segments : 1);
}

int on_retransmit_synack(struct bpf_raw_tracepoint_args *ctx)
{
	u64 listener = ctx->args[0], request = ctx->args[1];
	struct socket_entry owner = {};

	own_by_listener(&owner, listener);
	return report(request, socket_port(listener), &owner, TCP_SYN_RECV, KIND_SYNACK, 1);
}
