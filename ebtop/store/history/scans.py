"""Scans as differences to the scan before: the source gives the same record object where nothing changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, repeat
from operator import is_, itemgetter, sub
from typing import Any, NamedTuple

from ebtop.store.history.columns import transposed
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
            same = len(connections) == len(before) and all(map(is_, connections, before))
            moved: list[tuple[int, TcpRecord, TcpRecord]] = []
            if not same:
                places = dict(zip(map(id, before), range(len(before)), strict=True))
                found = list(map(places.get, map(id, connections), repeat(_NEW)))
                # What is not found has changed, or is closed.
                missed = set(places.values()).difference(found)
                changed = {_identity(before[place]): place for place in missed}
                for at in [at for at, place in enumerate(found) if place == _NEW]:
                    record = connections[at]
                    place = changed.pop(_identity(record), _NEW)
                    if place == _NEW:
                        opened.append(record)
                    else:
                        found[at] = place
                        moved.append((at, before[place], record))
                sources += found
                moves += _moves(moved)
            heads.append(ScanHead(scan.time_ns, scan.netns, scan.netns_missed, len(connections), same, len(moved)))
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
                before, places = self._before, list(islice(source, head.connections))
                if (
                    len(places) < head.connections
                    or min(places, default=_NEW) < _NEW
                    or max(places, default=_NEW) >= len(before)
                ):
                    raise CorruptData("a connection is missing")
                connections = _chosen(before, places, new)
                for _ in range(head.moved):
                    step = next(move)
                    connections[step.at] = _moved(connections[step.at], step)
                self._before = tuple(connections)
            yield TcpScan(head.time_ns, self._before, head.netns, head.netns_missed)


def _chosen(before: Sequence[TcpRecord], places: list[int], new: Iterator[TcpRecord]) -> list[TcpRecord]:
    """Those of before at these places, and new ones."""
    if not before:
        return list(islice(new, len(places)))
    connections = list(map(before.__getitem__, places))
    if _NEW in places:
        for at in [at for at, place in enumerate(places) if place == _NEW]:
            connections[at] = next(new)
    return connections


def _moves(moved: Sequence[tuple[int, TcpRecord, TcpRecord]]) -> list[Move]:
    """Of place, record before and record now."""
    if not moved:
        return []
    places, before, now = transposed(moved, 3)
    was, is_now = _by_field(before), _by_field(now)
    grown = list(map(_grown, was["duration_s"], is_now["duration_s"]))
    passed = list(map(sub, is_now["time_ns"], was["time_ns"]))
    columns = (
        places,
        is_now["time_ns"],
        is_now["state"],
        map(sub, is_now["tx_bytes"], was["tx_bytes"]),
        map(sub, is_now["rx_bytes"], was["rx_bytes"]),
        [None if ns is None else ns - time_ns for ns, time_ns in zip(grown, passed, strict=True)],
        [seconds if ns is None else None for ns, seconds in zip(grown, is_now["duration_s"], strict=True)],
        is_now["error"],
        is_now["reset"],
        map(sub, is_now["retransmits"], was["retransmits"]),
    )
    return list(map(partial(tuple.__new__, Move), zip(*columns, strict=True)))


def _by_field(records: Sequence[TcpRecord]) -> dict[str, list[Any]]:
    return dict(zip(TcpRecord._fields, transposed(records, len(TcpRecord._fields)), strict=True))


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


def _grown(before_s: float | None, now_s: float | None) -> int | None:
    """By how many ns a duration grew; None where that does not give the new one exactly."""
    if before_s is None or now_s is None:
        return None
    now_ns = round(now_s * 1e9)
    return now_ns - round(before_s * 1e9) if now_ns / 1e9 == now_s else None


def _longer(duration_s: float, by_ns: int) -> float:
    return (round(duration_s * 1e9) + by_ns) / 1e9
