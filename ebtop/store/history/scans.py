"""Scans as differences to the scan before: the source gives the same record object where nothing changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from ebtop.store.history.corrupt import CorruptData
from ebtop.store.records import TcpRecord, TcpScan

_NEW = -1

_MOVING = ("time_ns", "state", "tx_bytes", "rx_bytes", "duration_s", "error", "reset", "retransmits")
_identity = itemgetter(*[at for at, name in enumerate(TcpRecord._fields) if name not in _MOVING])


class Move(NamedTuple):
    """What changed of a connection since the scan before."""

    at: int
    """Its place in this scan."""
    time_ns: int
    state: str
    tx_bytes: int
    """Added since."""
    rx_bytes: int
    duration_ns: int | None
    """By how much more, or less, it grew than its record's time did."""
    duration_s: float | None
    """Where that does not give the duration."""
    error: str | None
    reset: str | None
    retransmits: int
    """Added since."""


class ScanHead(NamedTuple):
    """A scan without its connections."""

    time_ns: int
    netns: tuple[int, ...]
    netns_missed: int
    connections: int
    same: bool
    """The connections are those of the scan before, and not in `sources`."""
    moved: int


Packed = tuple[list[ScanHead], list[int], list[Move], list[TcpRecord]]


class ScanWriter:
    """Of one chapter; its first scan is written whole."""

    def __init__(self) -> None:
        self._before: tuple[TcpRecord, ...] = ()

    def pack(self, scans: Sequence[TcpScan]) -> Packed:
        """Heads; where each connection is in the scan before, -1 for a new one; what moved; new ones."""
        heads: list[ScanHead] = []
        sources: list[int] = []
        moves: list[Move] = []
        opened: list[TcpRecord] = []
        for scan in scans:
            connections, before = scan.connections, self._before
            places = dict(zip(map(id, before), range(len(before)), strict=True))
            found = [places.pop(identity, _NEW) for identity in map(id, connections)]
            same = len(connections) == len(before) and not places and found == list(range(len(before)))
            moved = 0
            if not same:
                # What is left in `places` has changed, or is closed.
                changed = {_identity(before[place]): place for place in places.values()}
                for at, place in enumerate(found):
                    if place != _NEW:
                        continue
                    record = connections[at]
                    place = changed.pop(_identity(record), _NEW)
                    if place == _NEW:
                        opened.append(record)
                    else:
                        found[at] = place
                        moves.append(_move(at, before[place], record))
                        moved += 1
                sources += found
            heads.append(ScanHead(scan.time_ns, scan.netns, scan.netns_missed, len(connections), same, moved))
            self._before = connections
        return heads, sources, moves, opened


class ScanReader:
    """Of one chapter."""

    def __init__(self) -> None:
        self._before: tuple[TcpRecord, ...] = ()

    def unpack(
        self, heads: Sequence[ScanHead], sources: Sequence[int], moves: Sequence[Move], opened: Sequence[TcpRecord]
    ) -> Iterator[TcpScan]:
        source, move, new = iter(sources), iter(moves), iter(opened)
        for head in heads:
            if not head.same:
                before = self._before
                connections: list[TcpRecord] = []
                for _ in range(head.connections):
                    place = next(source)
                    if place >= len(before) or place < _NEW:
                        raise CorruptData("a connection is missing")
                    connections.append(next(new) if place == _NEW else before[place])
                for _ in range(head.moved):
                    step = next(move)
                    connections[step.at] = _moved(connections[step.at], step)
                self._before = tuple(connections)
            yield TcpScan(head.time_ns, self._before, head.netns, head.netns_missed)


def _move(at: int, before: TcpRecord, now: TcpRecord) -> Move:
    duration_ns, duration_s = _grown(before, now), now.duration_s
    if duration_ns is not None:
        duration_s = None
    return Move(
        at,
        now.time_ns,
        now.state,
        now.tx_bytes - before.tx_bytes,
        now.rx_bytes - before.rx_bytes,
        duration_ns,
        duration_s,
        now.error,
        now.reset,
        now.retransmits - before.retransmits,
    )


def _moved(before: TcpRecord, move: Move) -> TcpRecord:
    duration_s = move.duration_s
    if move.duration_ns is not None and before.duration_s is not None:
        duration_s = _longer(before.duration_s, move.time_ns - before.time_ns + move.duration_ns)
    return before._replace(
        time_ns=move.time_ns,
        state=move.state,
        tx_bytes=before.tx_bytes + move.tx_bytes,
        rx_bytes=before.rx_bytes + move.rx_bytes,
        duration_s=duration_s,
        error=move.error,
        reset=move.reset,
        retransmits=before.retransmits + move.retransmits,
    )


def _grown(before: TcpRecord, now: TcpRecord) -> int | None:
    """See `Move.duration_ns`; None where it does not give the duration exactly."""
    if before.duration_s is None or now.duration_s is None:
        return None
    grown = round((now.duration_s - before.duration_s) * 1e9)
    if _longer(before.duration_s, grown) != now.duration_s:
        return None
    return grown - (now.time_ns - before.time_ns)


def _longer(duration_s: float, by_ns: int) -> float:
    return (round(duration_s * 1e9) + by_ns) / 1e9
