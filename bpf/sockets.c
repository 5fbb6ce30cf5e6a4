/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * sockets: follows every TCP socket through its states, notes its owner, and reports connect, accept and close.
 * Loaded for the probes tcp and retransmits; the reports can be switched off while only owners are wanted.
 *
 * raw tracepoint inet_sock_set_state    connect(), listen(), close() run in the caller; the rest in a softirq
 * raw tracepoint tcp_rcv_space_adjust   somebody read from the socket: the owner of an accepted one
 */
#include "ebtop.h"
#include "filter.h"
#include "socket_owner.h"

enum tcp_event_kind {
	TCP_CONNECT = 1,
	TCP_ACCEPT,
	TCP_CLOSED,
};

struct tcp_event {
	u64 time;
	u64 socket;
	u64 started;
	u64 sent;
	u64 received;
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
	u32 retransmits;
	u8 kind;
	u8 state;	/* before the event */
	u8 direction;
	u8 owner;
	u8 local_reset;
	u8 unused[3];
	char comm[COMM_LEN];
};
RECORD_LAYOUT(tcp_event);

BPF_RINGBUF_OUTPUT(tcp_events, 512);
BPF_ARRAY(reporting, u32, 1);

inlined int is_reporting(void)
{
	int first = 0;
	u32 *on = reporting.lookup(&first);

	return on && *on;
}

inlined void report(int kind, u64 sk, u32 state, u64 time, struct socket_entry *entry, int error, int local_reset)
{
	struct tcp_event *event;
	struct endpoints ends;

	if (!is_reporting() || owner_is_filtered(entry->pid, entry->cgroup, entry->comm))
		return;
	event = tcp_events.ringbuf_reserve(sizeof(*event));
	if (!event) {
		count(LOST_RING_FULL);
		return;
	}
	event->time = time;
	event->socket = sk;
	event->started = entry->started;
	event->cgroup = entry->cgroup;
	event->pid = entry->pid;
	event->uid = entry->uid;
	event->kind = kind;
	event->state = state;
	event->direction = entry->direction;
	event->owner = entry->owner;
	event->error = error;
	event->local_reset = local_reset;
	bpf_probe_read_kernel(event->comm, COMM_LEN, entry->comm);
	read_endpoints(sk, &ends);
	__builtin_memcpy(event->local, ends.local, ADDRESS_LEN);
	__builtin_memcpy(event->remote, ends.remote, ADDRESS_LEN);
	event->netns = ends.netns;
	event->family = ends.family;
	event->local_port = socket_port(sk);
	event->remote_port = ends.remote_port;
	event->retransmits = 0;
	READ(tcp_sock, total_retrans, &event->retransmits, sk);
	read_bytes(sk, state, entry->direction, &event->sent, &event->received);
	tcp_events.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count(EVENTS);
}

/* Runs in the context of somebody who works on the socket. */
inlined void claim(u64 sk, u32 state, struct socket_entry *entry)
{
	if (entry->owner == OWNER_UNKNOWN || entry->owner == OWNER_LISTENER)
		own_by_current(entry);
	if (entry->direction == DIRECTION_IN && !entry->announced && entry->started) {
		entry->announced = 1;
		report(TCP_ACCEPT, sk, state, entry->started, entry, 0, 0);
	}
}

inlined void begin(u64 sk, u8 direction, u64 now)
{
	struct socket_entry entry = { .started = now, .direction = direction };

	if (direction == DIRECTION_OUT)
		own_by_current(&entry);
	if (sockets.update(&sk, &entry) < 0)
		count(LOST_MAP_FULL);
}

inlined void note_listener(u64 sk)
{
	struct listener_entry entry = {};
	struct listener_key key = {};

	key.netns = socket_netns(sk);
	key.port = socket_port(sk);
	entry.pid = current_tgid();
	entry.uid = bpf_get_current_uid_gid();
	entry.cgroup = current_cgroup();
	bpf_get_current_comm(entry.comm, COMM_LEN);
	listeners.update(&key, &entry);
}

inlined void end(u64 sk, u32 state, u64 now)
{
	struct socket_entry *entry = sockets.lookup(&sk), unknown = {};
	int error = 0, soft_error = 0, aborted;

	READ(sock, sk_err, &error, sk);
	READ(sock, sk_err_soft, &soft_error, sk);
	/* Closed at once and without an error: our side dropped it with a reset, in the owner's own context. */
	aborted = !error && (state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT);
	if (!error)
		error = soft_error;
	if (!entry) {
		report(TCP_CLOSED, sk, state, now, &unknown, error, aborted);
		return;
	}
	if (aborted) {
		claim(sk, state, entry);
	} else if (entry->direction == DIRECTION_IN && !entry->announced) {
		if (entry->owner == OWNER_UNKNOWN)
			own_by_listener(entry, socket_netns(sk), socket_port(sk));
		if (entry->started) {
			entry->announced = 1;
			report(TCP_ACCEPT, sk, state, entry->started, entry, 0, 0);
		}
	}
	report(TCP_CLOSED, sk, state, now, entry, error, aborted);
	sockets.delete(&sk);
}

int on_state(struct bpf_raw_tracepoint_args *ctx)
{
	u64 sk = ctx->args[0], now;
	u32 from = ctx->args[1], to = ctx->args[2];
	struct socket_entry *entry;

	if (!is_tcp(sk))
		return 0;
	now = bpf_ktime_get_ns();
	if (to == TCP_SYN_SENT) {
		begin(sk, DIRECTION_OUT, now);
	} else if (to == TCP_SYN_RECV) {
		begin(sk, DIRECTION_IN, now);
	} else if (to == TCP_ESTABLISHED && from == TCP_SYN_SENT) {
		entry = sockets.lookup(&sk);
		if (entry)
			report(TCP_CONNECT, sk, from, entry->started, entry, 0, 0);
	} else if (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK) {
		entry = sockets.lookup(&sk);
		if (entry)
			claim(sk, from, entry);
	} else if (to == TCP_LISTEN) {
		note_listener(sk);
	} else if (to == TCP_CLOSE && from != TCP_LISTEN) {
		end(sk, from, now);
	}
	return 0;
}

int on_read(struct bpf_raw_tracepoint_args *ctx)
{
	u64 sk = ctx->args[0];
	struct socket_entry *entry = sockets.lookup(&sk);

	if (entry && entry->direction == DIRECTION_IN && !entry->announced)
		claim(sk, TCP_ESTABLISHED, entry);
	return 0;
}
