"""Everything that is kept between two moments, in one pass."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter

from ebtop.store.history.arrived import Arrived
from ebtop.store.history.history import SECOND_NS, Reach
from ebtop.store.history.replay import Replay
from ebtop.store.records import Record, StackRecord

_LATE_NS = 60 * SECOND_NS
"""Stacks come in later than they were sampled: they wait for their names."""
_OUT_OF_ORDER_NS = 3 * SECOND_NS
"""Events come in that much later than others of the same time, at most."""
_FOREVER_NS = 1 << 63


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
    waiting: list[tuple[int, int, Record]] = []
    number = 0
    for arrived_ns, batch in arrivals(reach, from_ns, until_ns, stacks=False):
        for record in batch.records:
            if type(record) is not StackRecord and from_ns <= record.time_ns <= until_ns:
                heapq.heappush(waiting, (record.time_ns, number, record))
                number += 1
        while waiting and waiting[0][0] < arrived_ns - _OUT_OF_ORDER_NS:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def summed_stacks(reach: Reach, from_ns: int, until_ns: int) -> Iterator[StackRecord]:
    """The stacks of a range, each distinct one of a process and thread name once."""
    sums: dict[StackRecord, tuple[int, int, int]] = {}
    for _, batch in arrivals(reach, from_ns, until_ns):
        for record in batch.records:
            if type(record) is StackRecord and from_ns <= record.time_ns <= until_ns:
                identity = record._replace(time_ns=0, samples=0, amount=0)
                samples, amount, latest_ns = sums.get(identity, (0, 0, 0))
                sums[identity] = samples + record.samples, amount + record.amount, max(latest_ns, record.time_ns)
    for identity, (samples, amount, time_ns) in sums.items():
        yield identity._replace(time_ns=time_ns, samples=samples, amount=amount)
