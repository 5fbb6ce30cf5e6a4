"""tcp: connections with their bytes: events when they open and close, and a look at all that are open."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from ebtop.kernel import netns
from ebtop.kernel.attach import Iterator
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.kernel.proc_sockets import SocketHolder, SocketHolders
from ebtop.probes.base import (
    DIRECTIONS,
    OWNERS,
    TCP_STATES,
    Context,
    Probe,
    Settings,
    address_text,
    comm_text,
    tcp_state,
)
from ebtop.probes.sockets import SocketsProbe, pack_process
from ebtop.store.records import Batch, TcpRecord, TcpScan

_MAX_NAMESPACES = 64
_FIND_NAMESPACES_S = 10.0
_SCAN_SHARE = 100
"""A scan may take one part in this many of the time; on a node with 50,000 sockets it comes less often."""
_WALK_AGAIN_S = 10.0
"""A namespace where nothing moved is walked through this often."""
_QUIET_SHARE, _QUIET_PAUSE_S = 400, 1.9
_QUIET_ROWS, _QUIET_BYTES = 4, 64 << 10
"""Where hardly anything moves, a scan may take less, but waits no longer than this for it: the kernel walks through
all of its table, which is large on a large node, however few connections there are."""

_LISTEN = TCP_STATES.index("LISTEN")
_ENDS_WITH_SEGMENT = tuple(map(TCP_STATES.index, ("ESTABLISHED", "CLOSE_WAIT", "LISTEN")))
"""States that a connection leaves with a segment, or with one connection less; the others end by a timer, too."""
_SETTLED = (OWNERS.index("exact"), OWNERS.index("proc"))
"""Owners that /proc can't tell better."""


class OpenSocket(NamedTuple):
    """struct open_socket of bpf/tcp.c."""

    socket: int
    started: int
    sent: int
    received: int
    cgroup: int
    inode: int
    pid: int
    uid: int
    local: bytes
    remote: bytes
    netns: int
    family: int
    local_port: int
    remote_port: int
    state: int
    direction: int
    retransmits: int
    owner: int
    accepted: int
    unused: bytes
    comm: bytes


_STATE, _OWNER, _NETNS = map(OpenSocket._fields.index, ("state", "owner", "netns"))


class _Walk(NamedTuple):
    """Through the sockets of one namespace."""

    counters: bytes
    """As they were before, see netns.tcp_counters."""
    at: float
    """By time.monotonic."""
    rows: bytes


class TcpProbe(Probe):
    """Source: the events of sockets.c, and iter/tcp for what is open, older connections included."""

    name = "tcp"
    artifact = "tcp"
    summary = "TCP connections with bytes"
    requires = ("(sockets)",)

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        super().__init__(module, context, required)
        sockets = required["(sockets)"]
        assert isinstance(sockets, SocketsProbe)
        self._sockets = sockets
        layout = module.artifact.layouts["open_socket"]
        if layout.fields != OpenSocket._fields:
            raise AssertionError(f"bpf/tcp.c has {layout.fields}")
        self._row = struct.Struct(layout.format)
        self._holders = SocketHolders(context.hierarchy)
        self._namespaces: dict[int, list[str]] = {}
        self._namespaces_found = -_FIND_NAMESPACES_S
        self._next_scan = 0.0
        self._quiet = False
        self._walks: dict[int, _Walk] = {}
        """The last through each namespace, unless something may change there that no counter tells of."""
        self._known: dict[int, tuple[bytes, TcpRecord]] = {}
        sockets.report(ends=True, openings=context.settings.tcp_openings)

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [Attachment("walk", Iterator("tcp"))]

    def close(self) -> None:
        self._sockets.report(ends=False, openings=False)

    def poll(self, batch: Batch) -> Batch:
        """Adds the open connections, unless the last scan took so long that this one would cost too much."""
        began = time.monotonic()
        if began < self._next_scan:
            return batch
        before = time.thread_time()
        scan, accepts = self.scan(batch.time_ns)
        # What it cost, not how long it had to wait for a CPU.
        took = time.thread_time() - before
        pause = took * _SCAN_SHARE
        if self._quiet:
            pause = max(pause, min(took * _QUIET_SHARE, _QUIET_PAUSE_S))
        self._next_scan = began + pause
        return batch._replace(tcp_scan=scan, records=[*batch.records, *accepts])

    def scan(self, time_ns: int) -> tuple[TcpScan, list[TcpRecord]]:
        """Every open connection in every namespace that can be entered, and accepts that no event told of.

        A connection in which nothing changed keeps its record, time included. A process that accepts a connection
        and does not read from it is found in /proc only.
        """
        raw, read, missed = self._walk_namespaces()
        size = self._row.size
        fresh: dict[int, tuple[bytes, TcpRecord]] = {}
        changed: list[tuple[bytes, OpenSocket]] = []
        listeners: list[OpenSocket] = []
        for at, row in zip(range(0, len(raw), size), self._row.iter_unpack(raw), strict=True):
            key, state = row[0], row[_STATE]
            # Accepted, or read from for the first time: no segment tells that an owner became known.
            open_question = state != _LISTEN and row[_OWNER] not in _SETTLED
            if open_question or state not in _ENDS_WITH_SEGMENT:
                self._walks.pop(row[_NETNS], None)
            if state == _LISTEN:
                listeners.append(OpenSocket._make(row))
                continue
            data = raw[at : at + size]
            known = self._known.get(key)
            if known is not None and known[0] == data and row[_OWNER] in _SETTLED:
                fresh[key] = known
            else:
                changed.append((data, OpenSocket._make(row)))
        self._quiet = len(changed) <= _QUIET_ROWS and self._moved([row for _, row in changed]) < _QUIET_BYTES
        accepts = [self._accept(row) for _, row in changed if row.accepted]
        holders = self._find_holders([row for _, row in changed], [row for row in listeners if not row.owner])
        for data, row in changed:
            fresh[row.socket] = data, self._record(time_ns, row, holders.get(row.inode))
        self._known = fresh
        return TcpScan(time_ns, tuple([record for _, record in fresh.values()]), tuple(read), missed), accepts

    def _moved(self, rows: list[OpenSocket]) -> int:
        """Bytes in both directions since the last scan."""
        before = sum(k[1].tx_bytes + k[1].rx_bytes for row in rows if (k := self._known.get(row.socket)) is not None)
        return sum(row.sent + row.received for row in rows) - before

    def _walk_namespaces(self) -> tuple[bytes, list[int], int]:
        now = time.monotonic()
        if now - self._namespaces_found >= _FIND_NAMESPACES_S:
            self._namespaces, self._namespaces_found = netns.find(), now
        home = netns.own()
        before, self._walks = self._walks, {}
        parts, read = [self._walk(home, before.get(home), now)], [home]
        others = [(inode, paths) for inode, paths in self._namespaces.items() if inode != home]
        missed = max(0, len(others) - _MAX_NAMESPACES)
        for inode, paths in others[:_MAX_NAMESPACES]:
            try:
                with netns.inside(inode, paths):
                    parts.append(self._walk(inode, before.get(inode), now))
                read.append(inode)
            except OSError:
                self._namespaces_found = -_FIND_NAMESPACES_S
                missed += 1
        return b"".join(parts), read, missed

    def _walk(self, inode: int, last: _Walk | None, now: float) -> bytes:
        """The sockets of this thread's namespace: as they were at the last walk, where nothing has moved since.

        The kernel goes through its whole table for each namespace, and most namespaces are quiet in most seconds.
        """
        counters = netns.tcp_counters()
        if last is None or not counters or counters != last.counters or now - last.at >= _WALK_AGAIN_S:
            last = _Walk(counters, now, self.module.read_iterator("walk"))
        self._walks[inode] = last
        return last.rows

    def _find_holders(self, connections: list[OpenSocket], listeners: list[OpenSocket]) -> dict[int, SocketHolder]:
        """Look in /proc for owners that the kernel side does not know, and tell it of them."""
        unsettled = [row for row in connections if row.owner not in _SETTLED]
        found = self._holders.find({row.inode for row in (*unsettled, *listeners)} - {0})
        for row in listeners:
            if row.inode in found:
                self._sockets.adopt_listener(row.socket, found[row.inode])
        adopted = self.module.maps["holders"]
        adopted.clear()
        inodes = (row.inode for row in unsettled if row.inode in found)
        for inode in islice(inodes, adopted.spec.max_entries):
            adopted.update(struct.pack("=Q", inode), pack_process(found[inode]))
        return found

    def _accept(self, row: OpenSocket) -> TcpRecord:
        started = row.started + self.context.clock.offset_ns
        return self._record(started, row, None)._replace(event="accept", duration_s=0.0)

    def _record(self, time_ns: int, row: OpenSocket, holder: SocketHolder | None) -> TcpRecord:
        ip, daddr = address_text(row.family, row.remote)
        pid, comm, uid, owner = row.pid, comm_text(row.comm), row.uid, OWNERS[row.owner]
        cgroup = self.context.cgroups.path(row.cgroup)
        if holder is not None and row.owner not in _SETTLED:
            pid, comm, uid, owner, cgroup = holder.pid, holder.comm, holder.uid, "proc", holder.cgroup
        return TcpRecord(
            time_ns, pid, comm, uid, cgroup, "live", row.socket, ip, address_text(row.family, row.local)[1],
            row.local_port, daddr, row.remote_port, tcp_state(row.state), row.sent, row.received,
            (time_ns - self.context.clock.offset_ns - row.started) / 1e9 if row.started else None,
            DIRECTIONS[row.direction], row.netns, owner, None, None, row.retransmits,
        )  # fmt: skip
