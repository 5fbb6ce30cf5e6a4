/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Reading struct sock: addresses, namespace, and the bytes that crossed it. */
#ifndef EBTOP_TCP_H
#define EBTOP_TCP_H

#define IPPROTO_TCP 6
#define AF_INET 2
#define AF_INET6 10
#define ADDRESS_LEN 16

/* net/tcp_states.h; part of the kernel's user ABI through /proc/net/tcp. */
enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
	TCP_NEW_SYN_RECV,
};

enum direction {
	DIRECTION_UNKNOWN,
	DIRECTION_OUT,
	DIRECTION_IN,
};

/* How well the owner of a socket is known. */
enum owner_kind {
	OWNER_UNKNOWN,
	OWNER_EXACT,	/* seen working on the socket */
	OWNER_LISTENER,	/* who called listen() on the socket it came in by */
	OWNER_PROC,	/* found by user space in /proc */
};

/* Addresses in network order; IPv4 fills the first four bytes. The port in host order. */
struct endpoints {
	u8 local[ADDRESS_LEN];
	u8 remote[ADDRESS_LEN];
	u32 netns;
	u16 family;
	u16 remote_port;
};

inlined int is_tcp(u64 sk)
{
	u16 protocol = 0;

	READ(sock, sk_protocol, &protocol, sk);
	return protocol == IPPROTO_TCP;
}

inlined u32 socket_netns(u64 sk)
{
	u64 net = 0;
	u32 inode = 0;

	READ(sock_common, skc_net, &net, sk);
	bpf_probe_read_kernel(&inode, sizeof(inode), (void *)(net + OFFSET(net, ns) + OFFSET(ns_common, inum)));
	return inode;
}

/* Our own port; skc_num is already 0 when a socket reaches CLOSE. */
inlined u16 socket_port(u64 sk)
{
	u16 port = 0;

	READ(inet_sock, inet_sport, &port, sk);
	return __builtin_bswap16(port);
}

/* `common` is a struct sock or anything else that starts with a struct sock_common; the local port is left out. */
inlined void read_endpoints(u64 common, struct endpoints *ends)
{
	u16 port = 0;

	__builtin_memset(ends, 0, sizeof(*ends));
	ends->netns = socket_netns(common);
	READ(sock_common, skc_family, &ends->family, common);
	READ(sock_common, skc_dport, &port, common);
	ends->remote_port = __builtin_bswap16(port);
	if (ends->family == AF_INET) {
		READ(sock_common, skc_rcv_saddr, (u32 *)ends->local, common);
		READ(sock_common, skc_daddr, (u32 *)ends->remote, common);
	} else {
		READ(sock_common, skc_v6_rcv_saddr, &ends->local, common);
		READ(sock_common, skc_v6_daddr, &ends->remote, common);
	}
}

inlined int sent_fin(u32 state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK ||
	       state == TCP_TIME_WAIT;
}

/*
 * Payload bytes: what the peer acknowledged, and what came in order. The kernel's counters include the sequence
 * numbers of our SYN (only on the side that connected), of our FIN once acknowledged, and of the peer's FIN.
 * A FIN is the last thing sent, so it is acknowledged exactly when everything is.
 */
inlined void read_bytes(u64 sk, u32 state, u32 direction, u64 *sent, u64 *received)
{
	u64 flags = 0;
	u32 unacknowledged = 0, write = 0;

	*sent = 0;
	*received = 0;
	READ(tcp_sock, bytes_acked, sent, sk);
	READ(tcp_sock, bytes_received, received, sk);
	if (*sent && direction == DIRECTION_OUT)
		*sent -= 1;
	if (*sent && sent_fin(state)) {
		READ(tcp_sock, snd_una, &unacknowledged, sk);
		READ(tcp_sock, write_seq, &write, sk);
		if (unacknowledged == write)
			*sent -= 1;
	}
	READ(sock_common, skc_flags, &flags, sk);
	if (*received && flags >> ENUM(sock_flags, SOCK_DONE) & 1)
		*received -= 1;
}

/*
 * Who connected, of a connection whose beginning was not seen. Acknowledged sequence numbers that no payload
 * explains are those of our SYN, and only the side that connected counts one. Unknown where segments that this host
 * itself failed to send make the sum not come out.
 */
inlined u32 find_direction(u64 sk, u32 state)
{
	u64 sent = 0, sent_again = 0, acknowledged, received;
	u32 unacknowledged = 0, next = 0, write = 0, in_flight;
	s64 unexplained;

	read_bytes(sk, state, DIRECTION_UNKNOWN, &acknowledged, &received);
	READ(tcp_sock, bytes_sent, &sent, sk);
	READ(tcp_sock, bytes_retrans, &sent_again, sk);
	READ(tcp_sock, snd_una, &unacknowledged, sk);
	READ(tcp_sock, snd_nxt, &next, sk);
	READ(tcp_sock, write_seq, &write, sk);
	in_flight = next - unacknowledged;
	if (in_flight && sent_fin(state) && next == write)
		in_flight -= 1;
	unexplained = acknowledged + in_flight + sent_again - sent;
	return unexplained == 0 ? DIRECTION_IN : unexplained == 1 ? DIRECTION_OUT : DIRECTION_UNKNOWN;
}

#endif
