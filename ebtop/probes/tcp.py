"""tcp: connections with their bytes: events when they open and close, and a look at all that are open."""

from __future__ import annotations

import contextlib
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

_FIND_NAMESPACES_S = 10.0
_ADOPT_S = 0.1
"""Longest that a scan spends on connections older than ebtop; those of the namespaces left come with the next one."""
_SCAN_SHARE = 100
"""A scan may take one part in this many of the time; on a node with 50,000 sockets it comes less often."""

_LISTEN = TCP_STATES.index("LISTEN")
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


_OWNER, _NETNS = map(OpenSocket._fields.index, ("owner", "netns"))


class TcpProbe(Probe):
    """Source: the events of sockets.c, iter/bpf_map_elem for what is open, iter/tcp for what is older than ebtop."""

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
        self._to_adopt: list[int] | None = None
        """Namespaces with connections older than ebtop that were not looked at so far; None: not looked for."""
        self._not_adopted: set[int] = set()
        """Those that could not be entered at the last look."""
        self._listeners: list[OpenSocket] = []
        """Older than ebtop, and nobody knows whose."""
        self._next_scan = 0.0
        self._known: dict[int, tuple[bytes, TcpRecord]] = {}
        sockets.report(ends=True, openings=context.settings.tcp_openings)

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("walk", Iterator("bpf_map_elem", map="sockets")),
            Attachment("adopt", Iterator("tcp")),
        ]

    def close(self) -> None:
        self._sockets.report(ends=False, openings=False)

    def poll(self, batch: Batch) -> Batch:
        """Adds the open connections, unless the last scan took so long that this one would cost too much."""
        began = time.monotonic()
        if began < self._next_scan:
            return batch
        self._find_namespaces()
        self._adopt()
        before = time.thread_time()
        scan, accepts = self.scan(batch.time_ns)
        # What it cost, not how long it had to wait for a CPU.
        self._next_scan = began + (time.thread_time() - before) * _SCAN_SHARE
        return batch._replace(tcp_scan=scan, records=[*batch.records, *accepts])

    def scan(self, time_ns: int) -> tuple[TcpScan, list[TcpRecord]]:
        """Every open connection in every namespace, and accepts that no event told of.

        A connection in which nothing changed keeps its record, time included. A process that accepts a connection
        and does not read from it is found in /proc only.
        """
        raw, size = self.module.read_iterator("walk"), self._row.size
        fresh: dict[int, tuple[bytes, TcpRecord]] = {}
        changed: dict[int, tuple[bytes, OpenSocket]] = {}
        home = netns.own()
        unread = self._not_adopted.union(self._to_adopt or ())
        others = self._namespaces.keys() - {home} - unread
        for at, row in zip(range(0, len(raw), size), self._row.iter_unpack(raw), strict=True):
            key, data = row[0], raw[at : at + size]
            if row[_NETNS] != home:
                others.add(row[_NETNS])
            known = self._known.get(key)
            if known is not None and known[0] == data and row[_OWNER] in _SETTLED:
                fresh[key] = known
            else:
                changed[key] = data, OpenSocket._make(row)
        accepts = [self._accept(row) for _, row in changed.values() if row.accepted]
        holders = self._find_holders([row for _, row in changed.values()])
        for data, row in changed.values():
            fresh[row.socket] = data, self._record(time_ns, row, holders.get(row.inode))
        self._known = fresh
        connections = tuple([record for _, record in fresh.values()])
        return TcpScan(time_ns, connections, (home, *sorted(others)), len(unread)), accepts

    def _find_namespaces(self) -> None:
        now = time.monotonic()
        if now - self._namespaces_found < _FIND_NAMESPACES_S:
            return
        self._namespaces, self._namespaces_found = netns.find(), now
        if self._to_adopt is None:
            home = netns.own()
            self._to_adopt = [*(self._namespaces.keys() - {home}), home]
        self._to_adopt += self._not_adopted & self._namespaces.keys()
        self._not_adopted.clear()

    def _adopt(self) -> None:
        """Have what was open before ebtop followed from now on, namespace by namespace, our own first."""
        began = time.monotonic()
        while self._to_adopt and time.monotonic() - began < _ADOPT_S:
            inode = self._to_adopt.pop()
            paths = self._namespaces.get(inode, [])
            try:
                with contextlib.nullcontext() if inode == netns.own() else netns.inside(inode, paths):
                    rows = self._row.iter_unpack(self.module.read_iterator("adopt"))
            except OSError:
                # It is gone, or somebody else may still hold it: the next look at /proc says so.
                self._not_adopted.add(inode)
                continue
            self._listeners += [row for row in map(OpenSocket._make, rows) if not row.owner]

    def _find_holders(self, connections: list[OpenSocket]) -> dict[int, SocketHolder]:
        """Look in /proc for owners that the kernel side does not know, and tell it of them."""
        unsettled = [row for row in connections if row.owner not in _SETTLED]
        found = self._holders.find({row.inode for row in (*unsettled, *self._listeners)} - {0})
        for row in self._listeners:
            if row.inode in found:
                self._sockets.adopt_listener(row.socket, found[row.inode])
        self._listeners = [row for row in self._listeners if row.inode not in found]
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
