"""What a selection lets through of everything that comes in, as a store of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import itemgetter
from typing import Protocol

from ebtop.store.history.arrived import Arrived
from ebtop.store.records import Batch, StackRecord
from ebtop.store.rows import Snapshot, StackSpan
from ebtop.store.selection import Predicate
from ebtop.store.store import Store, StoreState

_time_ns = itemgetter(0)


class Shown(Protocol):
    """What a view shows."""

    def feed(self, arrived: Arrived) -> StackSpan:
        """A batch came in; returns what is shown of its stacks."""

    def spans(self, from_ns: int, until_ns: int) -> list[StackSpan] | None:
        """The stacks that came in after the one and no later than the other moment; None = they are not held here."""

    def snapshot(self) -> Snapshot:
        """Without stacks."""


class Everything:
    """A store that somebody else feeds."""

    def __init__(self, store: Store) -> None:
        self.snapshot = store.snapshot

    def feed(self, arrived: Arrived) -> StackSpan:
        return stack_span(arrived.batch)

    def spans(self, from_ns: int, until_ns: int) -> list[StackSpan] | None:
        return None


class Scene:
    """Fed with batches in the order they came in. For one thread at a time."""

    def __init__(self, clock: Callable[[], int], predicate: Predicate | None, spans_ns: int) -> None:
        """The stacks of the last `spans_ns` are kept as they came. `predicate` None lets everything through."""
        self._predicate = predicate
        self._spans_ns = spans_ns
        self._spans: deque[tuple[int, StackSpan]] = deque()
        self._store = Store(clock, keep_stacks=False, own_histogram=predicate is not None)

    def begin(self, state: StoreState) -> None:
        """Start from what a store of everything knew. Connections that are open are left to the next scan, and
        what adds up begins anew, where a predicate has to decide."""
        if self._predicate is None:
            self._store.restore(state)
        else:
            self._store.restore(_narrowed(state, self._store.state(), self._predicate))

    def feed(self, arrived: Arrived) -> StackSpan:
        """Take in a batch; returns what it lets through of its stacks."""
        batch = arrived.batch if self._predicate is None else selected(arrived.batch, self._predicate)
        self._store.ingest(batch)
        span = stack_span(batch)
        if span.stacks or span.sampled_s:
            self._spans.append((arrived.time_ns, span))
        while self._spans and self._spans[0][0] <= arrived.time_ns - self._spans_ns:
            self._spans.popleft()
        return span

    def spans(self, from_ns: int, until_ns: int) -> list[StackSpan]:
        """Those that came in after the one and no later than the other moment, oldest first."""
        return [span for arrived_ns, span in self._spans if from_ns < arrived_ns <= until_ns]

    def snapshot(self) -> Snapshot:
        """Without stacks."""
        return self._store.snapshot()


def stack_span(batch: Batch) -> StackSpan:
    """The stacks of a batch."""
    stacks = tuple([record for record in batch.records if type(record) is StackRecord])
    return StackSpan(batch.time_ns, stacks, batch.sampled_s, batch.sampled_kind)


def selected(batch: Batch, predicate: Predicate) -> Batch:
    """What a predicate lets through. The kernel's histogram is about everything, so it does not."""
    pending, scan = batch.pending_connects, batch.tcp_scan
    records = [record for record in sorted(batch.records, key=_time_ns) if predicate(record)]
    return Batch(
        batch.time_ns,
        records,
        None if scan is None else scan._replace(connections=tuple(filter(predicate, scan.connections))),
        None,
        None if pending is None else tuple(filter(predicate, pending)),
        batch.sampled_s,
        batch.sampled_kind,
        batch.modules,
    )


def _narrowed(state: StoreState, empty: StoreState, predicate: Predicate) -> StoreState:
    """The rows of a state whose records pass, in a state that is otherwise empty."""
    processes, retransmits, connects = state.processes, state.retransmits, state.connects
    exits = iter(processes.exits)
    lives = [
        (record, life, next(exits) if life.exited else None)
        for record, life in zip(processes.execs, processes.lives, strict=True)
    ]
    chosen = {id(record) for record in sorted(processes.execs, key=_time_ns) if predicate(record)}
    kept = [life for life in lives if id(life[0]) in chosen]
    sent_again = [both for both in zip(retransmits.last, retransmits.counts, strict=True) if predicate(both[0])]
    return empty._replace(
        processes=empty.processes._replace(
            execs=[record for record, _, _ in kept],
            lives=[life for _, life, _ in kept],
            exits=[end for _, _, end in kept if end is not None],
        ),
        retransmits=empty.retransmits._replace(
            last=[record for record, _ in sent_again],
            counts=[counts for _, counts in sent_again],
        ),
        connects=empty.connects._replace(
            finished=list(filter(predicate, connects.finished)),
            pending=list(filter(predicate, connects.pending)),
        ),
    )
