"""(sockets): follows TCP sockets and their owners for the probes that need to know, and reports their events."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from ebtop.kernel.attach import RawTracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.kernel.proc_sockets import SocketHolder
from ebtop.probes.base import (
    DIRECTIONS,
    OWNERS,
    Context,
    Probe,
    Settings,
    address_text,
    comm_text,
    errno_name,
    tcp_state,
)
from ebtop.store.records import Record, TcpRecord

SHARED_MAPS = ("sockets", "listeners")
_EVENTS = ("", "connect", "accept", "close")
_MIN_SOCKETS, _MAX_SOCKETS = 32_768, 131_072
_PEER_RESETS = (104, 32, 111)  # ECONNRESET, EPIPE, ECONNREFUSED: a reset came in
_ENTRY = struct.Struct("=QQII16sBBB5x")
_LISTENER_KEY, _LISTENER = struct.Struct("=II"), struct.Struct("=QII16s")


class SocketsProbe(Probe):
    """Source: raw tracepoints inet_sock_set_state and tcp_rcv_space_adjust."""

    name = "(sockets)"
    artifact = "sockets"
    summary = "owners of TCP sockets, for tcp and retransmits"

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        super().__init__(module, context, required)
        layouts = module.artifact.layouts
        for layout, used in (("sockets.value", _ENTRY), ("listeners.value", _LISTENER)):
            if layouts[layout].size != used.size:
                raise AssertionError(f"{layout} has {layouts[layout].size} bytes, this module writes {used.size}")

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("on_state", RawTracepoint("inet_sock_set_state")),
            Attachment("on_read", RawTracepoint("tcp_rcv_space_adjust")),
        ]

    @classmethod
    def sizes(cls, settings: Settings) -> dict[str, int]:
        wanted = _MIN_SOCKETS
        while wanted < 2 * _open_sockets() and wanted < _MAX_SOCKETS:
            wanted *= 2
        return {"sockets": wanted}

    def report(self, on: bool) -> None:
        """Whether connect, accept and close are reported; owners are followed in any case."""
        self.module.maps["reporting"].update(struct.pack("=I", 0), struct.pack("=I", on))

    def adopt(self, socket: int, direction: int, holder: SocketHolder) -> None:
        """Tell the kernel side who owns a connection that is older than ebtop; what it knows itself stays."""
        entry = _ENTRY.pack(
            0, holder.cgroup_id, holder.pid, holder.uid, holder.comm.encode()[:15], direction, OWNERS.index("proc"), 1
        )
        self.module.maps["sockets"].update(struct.pack("=Q", socket), entry, only_new=True)

    def adopt_listener(self, netns: int, port: int, holder: SocketHolder) -> None:
        """Tell the kernel side who has been listening on a port since before ebtop."""
        entry = _LISTENER.pack(holder.cgroup_id, holder.pid, holder.uid, holder.comm.encode()[:15])
        self.module.maps["listeners"].update(_LISTENER_KEY.pack(netns, port), entry, only_new=True)

    def drain(self) -> list[Record]:
        offset, path = self.context.clock.offset_ns, self.context.cgroups.path
        records: list[Record] = []
        for (
            _, _, time, key, started, sent, received, cgroup, pid, uid, local, remote, netns, family, local_port,
            remote_port, error, retransmits, kind, state, direction, owner, local_reset, _unused, comm,
        ) in self.module.ring("tcp_events", "tcp_event").drain():  # fmt: skip
            ip, daddr = address_text(family, remote)
            known = pid != 0
            event = _EVENTS[kind]
            reset = None
            if event == "close":
                reset = "local" if local_reset else "peer" if error in _PEER_RESETS else None
            records.append(
                TcpRecord(
                    time + offset, pid, comm_text(comm), uid if known else None, path(cgroup) if known else None,
                    event, key, ip, address_text(family, local)[1], local_port, daddr, remote_port, tcp_state(state),
                    sent, received, (time - started) / 1e9 if started else None, DIRECTIONS[direction], netns,
                    OWNERS[owner], errno_name(error) if event == "close" else None, reset, retransmits,
                )
            )  # fmt: skip
        return records


def _open_sockets() -> int:
    """TCP sockets in use on the node. Source: /proc/net/sockstat."""
    try:
        with open("/proc/net/sockstat", encoding="ascii") as file:
            for line in file:
                if line.startswith("TCP:"):
                    return int(line.split()[2])
    except (OSError, ValueError, IndexError):
        pass
    return 0
