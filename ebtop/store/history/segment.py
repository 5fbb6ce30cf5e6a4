"""A second of batches as one block, without their stacks, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, compress, islice
from typing import Any, NamedTuple

from ebtop.store.history.arrived import Arrived
from ebtop.store.history.codec import NO_CHOICE, Columns, Text, pack, same_text, unpack
from ebtop.store.history.corrupt import CorruptData
from ebtop.store.history.scans import Move, ScanHead, ScanReader, ScanWriter
from ebtop.store.records import (
    Batch,
    ConnectHistogram,
    ConnectRecord,
    EventRecord,
    ExecRecord,
    ExitRecord,
    Record,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
)
from ebtop.store.selection import Pushed


class Head(NamedTuple):
    """A batch without what is in it."""

    arrived_ns: int
    time_ns: int
    sampled_s: float
    records: int
    pending: int | None
    """None: it was not looked at."""
    has_scan: bool
    has_histogram: bool
    sampled_kind: str = "cpu"


class Segment(NamedTuple):
    """What is packed. `kinds` says of each record, in order, from which of the lists it is."""

    first: int
    """The number of its first batch, counted from the first one ever."""
    heads: list[Head]
    kinds: list[int]
    execs: list[ExecRecord]
    exits: list[ExitRecord]
    tcp: list[TcpRecord]
    retransmits: list[RetransmitRecord]
    connects: list[ConnectRecord]
    events: list[EventRecord]
    pending: list[ConnectRecord]
    histograms: list[ConnectHistogram]
    scans: list[ScanHead]
    sources: list[int]
    moves: list[Move]
    opened: list[TcpRecord]


_LISTS = ("execs", "exits", "tcp", "retransmits", "connects", "events")
_TYPES = (ExecRecord, ExitRecord, TcpRecord, RetransmitRecord, ConnectRecord, EventRecord)
_STACK = len(_TYPES)
_KINDS: dict[type, int] = {kind: number for number, kind in enumerate((*_TYPES, StackRecord))}
_PUSHED_LISTS = ("tcp", "retransmits", "connects", "events")
"""What a selection pushes need not hold for execs and exits: a process's children have pids of their own."""
_SCAN_LISTS = ("scans", "sources", "moves", "opened")
_WITHOUT_SCANS = frozenset(Segment._fields) - set(_SCAN_LISTS)


class SegmentWriter:
    """Packs the segments of one chapter, in order."""

    def __init__(self) -> None:
        self._scans = ScanWriter()
        self._histogram: ConnectHistogram | None = None

    def pack(self, first: int, arrived: Sequence[Arrived]) -> bytes:
        batches = [batch for _, batch in arrived]
        records = list(chain.from_iterable([batch.records for batch in batches]))
        kinds = list(map(_KINDS.__getitem__, map(type, records)))
        lists: list[Any] = [list(compress(records, map(number.__eq__, kinds))) for number in range(_STACK)]
        histograms = [self._changed(batch.connect_histogram) for batch in batches]
        scans = self._scans.pack([batch.tcp_scan for batch in batches if batch.tcp_scan is not None])
        heads = [
            Head(
                arrived_ns,
                batch.time_ns,
                batch.sampled_s,
                len(batch.records) - _stacks_in(batch),
                None if batch.pending_connects is None else len(batch.pending_connects),
                batch.tcp_scan is not None,
                histogram is not None,
                batch.sampled_kind,
            )
            for (arrived_ns, batch), histogram in zip(arrived, histograms, strict=True)
        ]
        pending = chain.from_iterable([batch.pending_connects or () for batch in batches])
        return pack(
            Segment._make(
                (
                    first,
                    heads,
                    [kind for kind in kinds if kind != _STACK],
                    *lists,
                    list(pending),
                    [histogram for histogram in histograms if histogram is not None],
                    *scans,
                )
            )
        )

    def _changed(self, histogram: ConnectHistogram | None) -> ConnectHistogram | None:
        if histogram is None or histogram == self._histogram:
            return None
        self._histogram = histogram
        return histogram


class SegmentReader:
    """Unpacks the segments of one chapter, in order. Raises CorruptData for what can't be read."""

    def __init__(self, pushed: Pushed | None = None, text: Text = same_text) -> None:
        """What is outside of `pushed` is left out, but for execs, exits, pending connects and scans."""
        self._choose = NO_CHOICE if pushed is None else dict.fromkeys(_PUSHED_LISTS, partial(_within, pushed))
        self._text = text
        self._scans = ScanReader()

    def unpack(self, data: bytes, *, with_scans: bool = True) -> tuple[int, list[Arrived]]:
        """The number of the first batch, and the batches. Once scans were left out, they must be until the end."""
        only = None if with_scans else _WITHOUT_SCANS
        segment = unpack(Segment, data, only=only, choose=self._choose, text=self._text)
        try:
            return segment.first, list(self._batches(segment, with_scans))
        except (StopIteration, RuntimeError, IndexError):
            raise CorruptData("a record is missing") from None

    def _batches(self, segment: Segment, with_scans: bool) -> Iterable[Arrived]:
        lists = [iter(getattr(segment, name)) for name in _LISTS]
        takers: list[Callable[[], Record | None]] = [records.__next__ for records in lists]
        kinds, pending, histograms = iter(segment.kinds), iter(segment.pending), iter(segment.histograms)
        scans = self._scans.unpack(segment.scans, segment.sources, segment.moves, segment.opened)
        for head in segment.heads:
            yield Arrived(
                head.arrived_ns,
                Batch(
                    head.time_ns,
                    [record for kind in _exactly(head.records, kinds) if (record := takers[kind]()) is not None],
                    next(scans) if head.has_scan and with_scans else None,
                    next(histograms) if head.has_histogram else None,
                    None if head.pending is None else tuple(_exactly(head.pending, pending)),
                    head.sampled_s,
                    head.sampled_kind,
                ),
            )


def _within(pushed: Pushed, columns: Columns) -> list[int]:
    """The records that `pushed` lets through."""
    pids, comms, cgroups = pushed
    rows: Sequence[int] = range(columns.count)
    if pids:
        rows = [row for row, pid in enumerate(columns["pid"]) if pid in pids]
    if comms and rows:
        names = columns["comm"]
        rows = [row for row in rows if names[row] in comms]
    if cgroups and rows:
        paths, inside = columns["cgroup"], tuple([f"{path.rstrip('/')}/" for path in cgroups])
        rows = [row for row in rows if paths[row] is None or f"{paths[row]}/".startswith(inside)]
    return list(rows)


def _stacks_in(batch: Batch) -> int:
    return sum([type(record) is StackRecord for record in batch.records])


def _exactly(count: int, items: Any) -> list[Any]:
    taken = list(islice(items, max(0, count)))
    if len(taken) != count:
        raise CorruptData("a record is missing")
    return taken
