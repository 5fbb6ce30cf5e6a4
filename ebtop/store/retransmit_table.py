"""Retransmitted segments by connection and owner."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ebtop.store.rates import SECOND_NS
from ebtop.store.recent import Recent, RecentState, Window
from ebtop.store.records import RetransmitRecord
from ebtop.store.retransmit_peers import RetransmitPeers
from ebtop.store.rows import RetransmitRow

ConnectionOfOwner = tuple[str, int, str, int, int, int, str]


class Retransmits:
    """What one connection sent again."""

    __slots__ = ("kinds", "last", "recent", "segments")

    def __init__(self, first: RetransmitRecord) -> None:
        self.last = first
        self.segments = 0
        self.kinds: dict[str, int] = {}
        self.recent = Recent()

    def add(self, record: RetransmitRecord) -> None:
        if record.time_ns >= self.last.time_ns:
            self.last = record
        self.segments += record.segments
        self.kinds[record.kind] = self.kinds.get(record.kind, 0) + record.segments
        self.recent.add(record.time_ns // SECOND_NS, record.segments)

    def row(self, window: Window) -> RetransmitRow:
        last = self.last
        return RetransmitRow(
            last.time_ns,
            last.pid,
            last.comm,
            last.owner,
            last.saddr,
            last.sport,
            last.daddr,
            last.dport,
            last.state,
            self.segments,
            window.rate(self.recent),
            tuple(sorted(self.kinds.items(), key=lambda kind: kind[1], reverse=True)),
            last.netns,
            last.uid,
            last.cgroup,
        )


class RetransmitCounts(NamedTuple):
    """What is known of a connection's retransmits besides the latest record."""

    segments: int
    kinds: tuple[tuple[str, int], ...]
    recent: RecentState


class RetransmitTableState(NamedTuple):
    """All that `RetransmitTable` knows, without what `peers` does."""

    last: list[RetransmitRecord]
    counts: list[RetransmitCounts]
    """Of the same connection."""
    dropped: int


class RetransmitTable:
    """Bounded; when it is full the connection that retransmitted longest ago goes first."""

    def __init__(self, max_rows: int = 1000, peers: RetransmitPeers | None = None) -> None:
        """`peers` counts the same by peer, also what has no row any more."""
        self._max_rows = max_rows
        self._peers = RetransmitPeers() if peers is None else peers
        self._connections: OrderedDict[ConnectionOfOwner, Retransmits] = OrderedDict()
        self.dropped = 0

    def add(self, record: RetransmitRecord) -> None:
        connection = _connection(record)
        retransmits = self._connections.get(connection)
        self._peers.add(record, is_new_connection=retransmits is None)
        if retransmits is None:
            retransmits = self._connections[connection] = Retransmits(record)
        else:
            self._connections.move_to_end(connection)
        retransmits.add(record)
        if len(self._connections) > self._max_rows:
            self._connections.popitem(last=False)
            self.dropped += 1

    def rows(self, window: Window) -> tuple[RetransmitRow, ...]:
        """The connection that retransmitted latest first."""
        return tuple([retransmits.row(window) for retransmits in reversed(self._connections.values())])

    def state(self) -> RetransmitTableState:
        connections = self._connections.values()
        return RetransmitTableState(
            [retransmits.last for retransmits in connections],
            [RetransmitCounts(r.segments, tuple(r.kinds.items()), r.recent.state()) for r in connections],
            self.dropped,
        )

    def restore(self, state: RetransmitTableState) -> None:
        """Go on from a state; what was held here is forgotten. `peers` has a state of its own."""
        self._connections = OrderedDict()
        for last, counts in zip(state.last, state.counts, strict=True):
            retransmits = self._connections[_connection(last)] = Retransmits(last)
            retransmits.segments = counts.segments
            retransmits.kinds = dict(counts.kinds)
            retransmits.recent = Recent.restored(counts.recent)
        self.dropped = state.dropped


def _connection(record: RetransmitRecord) -> ConnectionOfOwner:
    return (
        record.saddr,
        record.sport,
        record.daddr,
        record.dport,
        record.netns,
        record.pid,
        record.comm,
    )
