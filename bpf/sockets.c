/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * sockets: follows every TCP socket through its states, notes its owner, and reports connect, accept and close.
 * Loaded for the probes tcp and retransmits; the reports can be switched off while only owners are wanted.
 *
 * raw tracepoint inet_sock_set_state    connect(), listen(), close() run in the caller; the rest in a softirq or in
 *                                       whoever holds the socket
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

BPF_RINGBUF_OUTPUT(tcp_events, 1024);
/* What user space wants to hear: whoever looks at the open connections each second needs no word of each opening. */
enum reporting {
	REPORT_ENDS = 1,
	REPORT_OPENINGS = 2,
};
BPF_ARRAY(reporting, u32, 1);

inlined int is_reported(int kind)
{
	int first = 0;
	u32 *wanted = reporting.lookup(&first);

	return wanted && *wanted & (kind == TCP_CLOSED ? REPORT_ENDS : REPORT_OPENINGS);
}

inlined void report(int kind, u64 sk, u32 state, u64 time, struct socket_entry *entry, int error, int local_reset)
{
	struct tcp_event *event;
	struct endpoints ends;

	if (!is_reported(kind) || owner_is_filtered(entry->pid, entry->cgroup, entry->comm))
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

/*
 * A socket that just came out of a listening one is still a copy of it, and this empty list of the original's points
 * to itself: the only way from here to who listens.
 */
inlined u64 listener_of_newborn(u64 sk)
{
	u64 list = 0;

	READ(tcp_sock, tsq_node, &list, sk);
	return list - OFFSET(tcp_sock, tsq_node);
}

inlined void note_listener(u64 sk)
{
	struct process process = {};

	process.pid = current_tgid();
	process.uid = bpf_get_current_uid_gid();
	process.cgroup = current_cgroup();
	bpf_get_current_comm(process.comm, COMM_LEN);
	listeners.update(&sk, &process);
}

inlined void begin(u64 sk, u8 direction)
{
	struct socket_entry entry = { .started = bpf_ktime_get_ns(), .direction = direction };

	if (direction == DIRECTION_OUT)
		own_by_current(&entry);
	else
		own_by_listener(&entry, listener_of_newborn(sk));
	if (sockets.update(&sk, &entry) < 0)
		count(LOST_MAP_FULL);
}

/* `entry` is NULL for a connection older than ebtop. */
inlined void follow(u64 sk, u32 from, u32 to, struct socket_entry *entry)
{
	struct socket_entry known = {};
	int error = 0, aborted = 0, opens, closes = to == TCP_CLOSE;
	u64 now = bpf_ktime_get_ns();

	if (entry)
		known = *entry;
	else
		known.direction = find_direction(sk, from);
	if (closes) {
		READ(sock, sk_err, &error, sk);
		/* At once and without an error: our side dropped it with a reset, in the owner's own context. */
		aborted = !error && (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT);
	}
	/* These, and only these, happen in the context of somebody who works on the socket. */
	opens = aborted || to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK;
	if (opens && (known.owner == OWNER_UNKNOWN || known.owner == OWNER_LISTENER))
		own_by_current(&known);
	if (to == TCP_ESTABLISHED)
		opens = known.direction == DIRECTION_OUT;
	else if (closes)
		opens = from != TCP_SYN_SENT && from != TCP_SYN_RECV;
	if (entry && opens && !known.announced) {
		known.announced = 1;
		report(known.direction == DIRECTION_IN ? TCP_ACCEPT : TCP_CONNECT, sk, from, known.started, &known, 0, 0);
	}
	if (!closes) {
		if (entry)
			*entry = known;
		return;
	}
	/* One that came in and was never established is nobody's. */
	if (from != TCP_SYN_RECV || known.direction != DIRECTION_IN || known.announced)
		report(TCP_CLOSED, sk, from, now, &known, error, aborted);
	sockets.delete(&sk);
}

/* Not for what on_state has done; not for an accepted connection, which is announced when its owner works on it. */
inlined int has_news(struct socket_entry *entry, u32 to)
{
	return to != TCP_ESTABLISHED || (entry->direction == DIRECTION_OUT && !entry->announced);
}

int on_state(struct bpf_raw_tracepoint_args *ctx)
{
	u64 sk = ctx->args[0];
	u32 from = ctx->args[1], to = ctx->args[2];
	struct socket_entry *entry;

	if (!is_tcp(sk))
		return 0;
	if (to == TCP_LISTEN) {
		note_listener(sk);
	} else if (from == TCP_LISTEN && to == TCP_CLOSE) {
		listeners.delete(&sk);
	} else if (to == TCP_SYN_SENT) {
		begin(sk, DIRECTION_OUT);
	} else if (to == TCP_SYN_RECV && from != TCP_SYN_SENT) {
		begin(sk, DIRECTION_IN);
	} else if (to == TCP_ESTABLISHED || to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK || to == TCP_CLOSE) {
		entry = sockets.lookup(&sk);
		if (entry ? has_news(entry, to) : to == TCP_CLOSE)
			follow(sk, from, to, entry);
	}
	return 0;
}

/*
 * Since Linux 6.1 a program does not run while it already runs on the same CPU: a softirq that interrupts on_state
 * takes its state changes past it. This second program on the same tracepoint finds undone what they ask for; after
 * a run of on_state it finds nothing to do.
 */
int on_state_missed(struct bpf_raw_tracepoint_args *ctx)
{
	u64 sk = ctx->args[0];
	u32 from = ctx->args[1], to = ctx->args[2];
	struct socket_entry *entry;

	if ((to != TCP_SYN_RECV && to != TCP_ESTABLISHED && to != TCP_CLOSE) || !is_tcp(sk))
		return 0;
	entry = sockets.lookup(&sk);
	if (!entry && to == TCP_SYN_RECV)
		begin(sk, DIRECTION_IN);
	else if (entry && to != TCP_SYN_RECV && has_news(entry, to))
		follow(sk, from, to, entry);
	return 0;
}

/* Runs in the context of who reads. */
int on_read(struct bpf_raw_tracepoint_args *ctx)
{
	u64 sk = ctx->args[0];
	struct socket_entry *entry = sockets.lookup(&sk);

	if (!entry || entry->direction != DIRECTION_IN || entry->announced)
		return 0;
	own_by_current(entry);
	entry->announced = 1;
	report(TCP_ACCEPT, sk, TCP_ESTABLISHED, entry->started, entry, 0, 0);
	return 0;
}
