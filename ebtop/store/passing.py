"""Everything that is kept between two moments, in one pass."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter, itemgetter
from typing import Any

from ebtop.store.history.arrived import Arrived
from ebtop.store.history.chapter import StackSegments
from ebtop.store.history.history import SECOND_NS, Reach
from ebtop.store.history.replay import Replay
from ebtop.store.records import Frame, Record, StackRecord

_LATE_NS = 60 * SECOND_NS
"""Stacks come in later than they were sampled: they wait for their names."""
_OUT_OF_ORDER_NS = 3 * SECOND_NS
"""Events come in that much later than others of the same time, at most."""
_FOREVER_NS = 1 << 63
_time = attrgetter("time_ns")
_identity = itemgetter(
    *[n for n, name in enumerate(StackRecord._fields) if name not in ("time_ns", "samples", "amount")]
)
"""What records of one stack have in common."""


def arrivals(
    reach: Reach, from_ns: int, until_ns: int, *, scans: bool = False, stacks: bool = True
) -> Iterator[Arrived]:
    """The batches in which something of a range can be, in the order they came in. Raises CorruptData."""
    if not reach.chapters:
        return
    first = min(bisect_right(reach.chapters, from_ns, key=attrgetter("end_ns")), len(reach.chapters) - 1)
    replay = Replay(
        reach.chapters[first],
        scans_from_ns=0 if scans else _FOREVER_NS + 1,
        stacks_from_ns=from_ns if stacks else _FOREVER_NS,
    )
    yield from replay.until(min(until_ns + _LATE_NS, _FOREVER_NS), reach)


def events(reach: Reach, from_ns: int, until_ns: int) -> Iterator[Record]:
    """All records of a range but stacks, in order of time."""
    waiting: list[Record] = []
    for arrived_ns, batch in arrivals(reach, from_ns, until_ns, stacks=False):
        came = [r for r in batch.records if type(r) is not StackRecord and from_ns <= r.time_ns <= until_ns]
        if came:
            # Few of those that wait are later than the first of these: only they have to be put in order.
            came.sort(key=_time)
            place = bisect_right(waiting, came[0].time_ns, key=_time)
            came[:0] = waiting[place:]
            came.sort(key=_time)
            waiting[place:] = came
        ready = bisect_left(waiting, arrived_ns - _OUT_OF_ORDER_NS, key=_time)
        if ready:
            yield from waiting[:ready]
            del waiting[:ready]
    yield from waiting


def summed_stacks(reach: Reach, from_ns: int, until_ns: int) -> Iterator[StackRecord]:
    """The stacks of a range, each distinct one of a process and thread name once."""
    sums: dict[tuple[Any, ...], StackRecord | _Sum] = {}
    for stacks in _stacks(reach, from_ns, until_ns):
        for record in stacks:
            if from_ns <= record.time_ns <= until_ns:
                known = len(sums)
                identity = _identity(record)
                # To hash a stack takes longer than all else here: most come once, and of those it is hashed once.
                found = sums.setdefault(identity, record)
                if len(sums) > known:
                    continue
                if not isinstance(found, _Sum):
                    found = sums[identity] = _Sum(found)
                found.add(record)
    for found in sums.values():
        yield found.record() if isinstance(found, _Sum) else found


def _stacks(reach: Reach, from_ns: int, until_ns: int) -> Iterator[Iterable[StackRecord]]:
    """Those that can be of a range, in the order they came in; what else came in is not even looked at."""
    frames: dict[Frame, Frame] = {}
    for chapter, segments in zip(reach.chapters, reach.segments, strict=True):
        if chapter.start_ns <= until_ns + _LATE_NS and from_ns <= chapter.end_ns:
            reader = StackSegments(chapter, from_ns, frames)
            for position in range(segments):
                yield from [stacks for _, stacks in reader.at(position)]
    for segment in reach.waiting:
        for _, batch in segment.arrived:
            yield [record for record in batch.records if type(record) is StackRecord]


class _Sum:
    """A stack that came once, and what came of it after that."""

    __slots__ = ("_amount", "_first", "_latest_ns", "_samples")

    def __init__(self, first: StackRecord) -> None:
        self._first = first
        self._samples, self._amount, self._latest_ns = first.samples, first.amount, first.time_ns

    def add(self, record: StackRecord) -> None:
        self._samples += record.samples
        self._amount += record.amount
        self._latest_ns = max(self._latest_ns, record.time_ns)

    def record(self) -> StackRecord:
        first = self._first
        if (self._samples, self._amount, self._latest_ns) == (first.samples, first.amount, first.time_ns):
            return first
        return first._replace(time_ns=self._latest_ns, samples=self._samples, amount=self._amount)
