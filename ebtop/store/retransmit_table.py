"""Retransmitted segments by connection and owner."""

from __future__ import annotations

from collections import OrderedDict, deque

from ebtop.store.rates import SECOND_NS
from ebtop.store.records import RetransmitRecord
from ebtop.store.rows import RetransmitRow

WINDOW_SECONDS = 10

ConnectionOfOwner = tuple[str, int, str, int, int, int, str]


class Retransmits:
    """What one connection sent again."""

    __slots__ = ("kinds", "last", "recent", "segments")

    def __init__(self, first: RetransmitRecord) -> None:
        self.last = first
        self.segments = 0
        self.kinds: dict[str, int] = {}
        self.recent: deque[tuple[int, int]] = deque(maxlen=WINDOW_SECONDS)
        """(second, segments), oldest first."""

    def add(self, record: RetransmitRecord) -> None:
        if record.time_ns >= self.last.time_ns:
            self.last = record
        self.segments += record.segments
        self.kinds[record.kind] = self.kinds.get(record.kind, 0) + record.segments
        second = record.time_ns // SECOND_NS
        if self.recent and self.recent[-1][0] >= second:
            latest, segments = self.recent.pop()
            self.recent.append((latest, segments + record.segments))
        else:
            self.recent.append((second, record.segments))

    def row(self, now_ns: int) -> RetransmitRow:
        last = self.last
        oldest = now_ns // SECOND_NS - WINDOW_SECONDS
        recent = sum(segments for second, segments in self.recent if second > oldest)
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
            recent / WINDOW_SECONDS,
            tuple(sorted(self.kinds.items(), key=lambda kind: kind[1], reverse=True)),
        )


class RetransmitTable:
    """Bounded; when it is full the connection that retransmitted longest ago goes first."""

    def __init__(self, max_rows: int = 1000) -> None:
        self._max_rows = max_rows
        self._connections: OrderedDict[ConnectionOfOwner, Retransmits] = OrderedDict()
        self.dropped = 0

    def add(self, record: RetransmitRecord) -> None:
        connection = (
            record.saddr,
            record.sport,
            record.daddr,
            record.dport,
            record.netns,
            record.pid,
            record.comm,
        )
        retransmits = self._connections.get(connection)
        if retransmits is None:
            retransmits = self._connections[connection] = Retransmits(record)
        else:
            self._connections.move_to_end(connection)
        retransmits.add(record)
        if len(self._connections) > self._max_rows:
            self._connections.popitem(last=False)
            self.dropped += 1

    def rows(self, now_ns: int) -> tuple[RetransmitRow, ...]:
        """The connection that retransmitted latest first."""
        return tuple([retransmits.row(now_ns) for retransmits in reversed(self._connections.values())])
