"""(sockets): follows TCP sockets and their owners for the probes that need to know, and reports their events."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ebtop.kernel.attach import RawTracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment
from ebtop.kernel.proc_sockets import SocketHolder
from ebtop.probes.base import (
    DIRECTIONS,
    OWNERS,
    Probe,
    Settings,
    address_text,
    comm_text,
    errno_name,
    make_record,
    tcp_state,
)
from ebtop.store.records import Record, TcpRecord

SHARED_MAPS = ("sockets", "listeners")
_REPORT_ENDS, _REPORT_OPENINGS = 1, 2
_EVENTS = ("", "connect", "accept", "close")
_CLOSE = _EVENTS.index("close")
_MIN_SOCKETS, _MAX_SOCKETS = 32_768, 131_072
_PEER_RESETS = (104, 32, 111)  # ECONNRESET, EPIPE, ECONNREFUSED: a reset came in
_PROCESS = struct.Struct("=QII16s")


class SocketsProbe(Probe):
    """Source: raw tracepoints inet_sock_set_state and tcp_rcv_space_adjust."""

    name = "(sockets)"
    artifact = "sockets"
    summary = "owners of TCP sockets, for tcp and retransmits"
    reports_for = "tcp"
    backed_up = frozenset({"on_state", "on_state_missed"})

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("on_state", RawTracepoint("inet_sock_set_state")),
            Attachment("on_state_missed", RawTracepoint("inet_sock_set_state")),
            Attachment("on_read", RawTracepoint("tcp_rcv_space_adjust")),
        ]

    @classmethod
    def sizes(cls, settings: Settings) -> dict[str, int]:
        wanted = _MIN_SOCKETS
        while wanted < 2 * _open_sockets() and wanted < _MAX_SOCKETS:
            wanted *= 2
        return {"sockets": wanted}

    def report(self, *, ends: bool, openings: bool) -> None:
        """Which events are reported; owners are followed in any case."""
        wanted = (_REPORT_ENDS if ends else 0) | (_REPORT_OPENINGS if openings else 0)
        self.module.maps["reporting"].update(struct.pack("=I", 0), struct.pack("=I", wanted))

    def adopt_listener(self, socket: int, holder: SocketHolder) -> None:
        """Tell the kernel side who has been listening on a socket since before ebtop."""
        self.module.maps["listeners"].update(struct.pack("=Q", socket), pack_process(holder), only_new=True)

    def drain(self) -> list[Record]:
        offset, path = self.context.clock.offset_ns, self.context.cgroups.path
        records: list[Record] = []
        for (
            time, key, started, sent, received, cgroup, pid, uid, local, remote, netns, family, local_port,
            remote_port, error, retransmits, kind, state, direction, owner, local_reset, _unused, comm,
        ) in self.module.drain("tcp_events", "tcp_event"):  # fmt: skip
            ip, daddr = address_text(family, remote)
            closed = kind == _CLOSE
            records.append(
                make_record(
                    TcpRecord,
                    (
                        time + offset, pid, comm_text(comm), uid if pid else None, path(cgroup) if pid else None,
                        _EVENTS[kind], key, ip, address_text(family, local)[1], local_port, daddr, remote_port,
                        tcp_state(state), sent, received, (time - started) / 1e9 if started else None,
                        DIRECTIONS[direction], netns, OWNERS[owner],
                        errno_name(error) if closed and error else None,
                        _who_reset(error, local_reset) if closed else None, retransmits,
                    ),
                )
            )  # fmt: skip
        return records


def _who_reset(error: int, local_reset: int) -> str | None:
    if local_reset:
        return "local"
    return "peer" if error in _PEER_RESETS else None


def pack_process(holder: SocketHolder) -> bytes:
    """struct process of bpf/socket_owner.h."""
    return _PROCESS.pack(holder.cgroup_id, holder.pid, holder.uid, holder.comm.encode()[:15])


def _open_sockets() -> int:
    """TCP sockets on the node, in all network namespaces. Source: /proc/net/sockstat, `alloc`."""
    try:
        with open("/proc/net/sockstat", encoding="ascii") as file:
            for line in file:
                if line.startswith("TCP:"):
                    words = line.split()
                    return int(words[words.index("alloc") + 1])
    except (OSError, ValueError, IndexError):
        pass
    return 0
