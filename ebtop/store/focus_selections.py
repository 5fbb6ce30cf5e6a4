"""Selections that a drill-down makes: a process, a command, a peer, a connection, a frame.

What such a selection pushes holds for every probe but exec: a process's children are wanted too, and run under pids of
their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ebtop.store.command_line import command_name
from ebtop.store.filter import push
from ebtop.store.flame_paths import unnamed_in
from ebtop.store.records import (
    ConnectRecord,
    ExecRecord,
    ExitRecord,
    Record,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
)
from ebtop.store.selection import Predicate, Pushed, Selection
from ebtop.store.unnamed import is_address_only
from ebtop.units import endpoint

_MOST_PIDS = 16_384
_MOST_ENDED = 1_024


@dataclass(frozen=True)
class OfProcess:
    """What a process does, and the execs and ends of its children."""

    pid: int
    comm: str

    @property
    def text(self) -> str:
        return f"{self.comm} ({self.pid})" if self.comm else f"pid {self.pid}"

    def predicate(self) -> Predicate:
        pid = self.pid

        def passes(record: Record) -> bool:
            return record.pid == pid or (isinstance(record, (ExecRecord, ExitRecord)) and record.ppid == pid)

        return passes

    def pushed(self) -> Pushed | None:
        return Pushed(pids=frozenset((self.pid,)))


@dataclass(frozen=True)
class OfCommand:
    """What every process of a name does, and the execs that failed to become one."""

    comm: str

    @property
    def text(self) -> str:
        return self.comm

    def predicate(self) -> Predicate:
        comm = self.comm

        def passes(record: Record) -> bool:
            return record.comm == comm or (isinstance(record, ExecRecord) and command_name(record) == comm)

        return passes

    def pushed(self) -> Pushed | None:
        return Pushed(comms=frozenset((self.comm,))) if push.is_as_in_the_kernel(self.comm) else None


@dataclass(frozen=True)
class OfPeer:
    """Everyone who talks to an address, or to one of its ports, and all that they do from then on.

    Where the peer is on this node, a port selects its own end, too.
    """

    addr: str
    port: int | None = None

    @property
    def text(self) -> str:
        return self.addr if self.port is None else endpoint(self.addr, self.port)

    def predicate(self) -> Predicate:
        addr, port = self.addr, self.port

        def matches(record: TcpRecord | RetransmitRecord | ConnectRecord) -> bool:
            if record.daddr == addr and (port is None or record.dport == port):
                return True
            return port is not None and record.saddr == addr and record.sport == port

        return _Followed(matches, (TcpRecord, RetransmitRecord, ConnectRecord)).passes

    def pushed(self) -> Pushed | None:
        return None


@dataclass(frozen=True)
class OfConnection:
    """One connection, its other end where that is on this node, and all that the processes at its ends do from then."""

    saddr: str
    sport: int
    daddr: str
    dport: int
    netns: int

    @property
    def text(self) -> str:
        return f"{endpoint(self.saddr, self.sport)} → {endpoint(self.daddr, self.dport)}"

    def predicate(self) -> Predicate:
        netns = self.netns
        ends = self.saddr, self.sport, self.daddr, self.dport
        other_ends = self.daddr, self.dport, self.saddr, self.sport
        stays_inside = _is_loopback(self.daddr)

        def matches(record: TcpRecord | RetransmitRecord | ConnectRecord) -> bool:
            found = record.saddr, record.sport, record.daddr, record.dport
            if record.netns == netns:
                return found in (ends, other_ends)
            return found == other_ends and not stays_inside

        return _Followed(matches, (TcpRecord, RetransmitRecord, ConnectRecord)).passes

    def pushed(self) -> Pushed | None:
        return None


@dataclass(frozen=True)
class OfFrame:
    """The stacks that a function is in, and all that the processes do in which it was seen.

    What has no symbol is named by its module, as the icicle draws it.
    """

    name: str
    module: str

    @property
    def text(self) -> str:
        return f"{self.name} ({self.module})" if self.module else self.name

    def predicate(self) -> Predicate:
        name, module = self.name, self.module
        unnamed = bool(module) and name == unnamed_in(module)

        def matches(record: StackRecord) -> bool:
            return any(
                frame[2] == module and (frame[0] == name or (unnamed and is_address_only(frame)))
                for frame in record.frames
            )

        return _Followed(matches, (StackRecord,)).passes

    def pushed(self) -> Pushed | None:
        return None


@dataclass(frozen=True)
class Both:
    """What two selections have in common."""

    first: Selection
    second: Selection

    @property
    def text(self) -> str:
        return f"{self.first.text} · {self.second.text}"

    def predicate(self) -> Predicate:
        first, second = self.first.predicate(), self.second.predicate()

        def passes(record: Record) -> bool:
            wanted = first(record)
            # Asked also where the first says no: it may have to learn from this record.
            return second(record) and wanted

        return passes

    def pushed(self) -> Pushed | None:
        # Who learns must see more than what passes in the end: a thread of another name may be the one that connects.
        return None if _learns(self) else push.both(self.first.pushed(), self.second.pushed())


class _Followed:
    """Records of some types that match, and all of other types from processes that a match was seen of before."""

    def __init__(self, matches: Callable[[Any], bool], types: tuple[type[Record], ...]) -> None:
        self._matches = matches
        self._types = frozenset(types)
        self._pids: dict[int, None] = {}
        self._ended: dict[int, None] = {}

    def passes(self, record: Record) -> bool:
        if type(record) in self._types:
            if not self._matches(record):
                return False
            self._learn(record)
            return True
        wanted = record.pid in self._pids
        if type(record) is ExitRecord:
            self._forget(record.pid, wanted)
        return wanted

    def _learn(self, record: Record) -> None:
        pid = record.pid
        if not pid:
            return
        # A process's sockets are closed after its end was told; by then the pid may be somebody else's.
        if isinstance(record, TcpRecord) and record.event == "close" and pid in self._ended:
            return
        self._ended.pop(pid, None)
        self._pids.pop(pid, None)
        self._pids[pid] = None
        if len(self._pids) > _MOST_PIDS:
            del self._pids[next(iter(self._pids))]

    def _forget(self, pid: int, wanted: bool) -> None:
        if wanted:
            del self._pids[pid]
        self._ended[pid] = None
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]


def _learns(selection: Selection) -> bool:
    if isinstance(selection, Both):
        return _learns(selection.first) or _learns(selection.second)
    return isinstance(selection, (OfPeer, OfConnection, OfFrame))


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
