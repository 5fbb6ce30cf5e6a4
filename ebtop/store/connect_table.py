"""Slow and failed connects, and those that still wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from ebtop.store.connect_targets import ConnectTargets
from ebtop.store.records import ConnectHistogram, ConnectRecord
from ebtop.store.rows import ConnectRow

Attempt = tuple[int, str, int, int]

_BUCKETS = 32
"""As many as the kernel's histogram has."""


class ConnectTableState(NamedTuple):
    """All that `ConnectTable` knows, without what `targets` does."""

    finished: list[ConnectRecord]
    pending: list[ConnectRecord]
    histogram: ConnectHistogram
    dropped: int


class ConnectTable:
    """The latest `max_rows` connects that finished, and the set of pending ones."""

    def __init__(
        self, max_rows: int = 1000, targets: ConnectTargets | None = None, *, own_histogram: bool = False
    ) -> None:
        """`targets` counts by target those that finished, also what has no row any more.

        `own_histogram`: nobody sets the histogram, count those that finish here.
        """
        self._own_histogram = own_histogram
        self._targets = ConnectTargets() if targets is None else targets
        self._finished: deque[ConnectRecord] = deque(maxlen=max_rows)
        self._pending: dict[Attempt, ConnectRecord] = {}
        none = (0,) * _BUCKETS if own_histogram else ()
        self.histogram = ConnectHistogram(none, none)
        self.dropped = 0

    def replace_pending(self, pending: Iterable[ConnectRecord]) -> None:
        """These, and no others, wait at this moment."""
        self._pending = {_attempt(record): record for record in pending}

    def add(self, record: ConnectRecord) -> None:
        """Take in a connect that finished, or a single one found pending."""
        attempt = _attempt(record)
        if record.result == "pending":
            self._pending[attempt] = record
            return
        waiting = self._pending.get(attempt)
        if waiting is not None and waiting.time_ns <= record.time_ns:
            del self._pending[attempt]
        self._targets.add(record)
        if self._own_histogram:
            self.histogram = _counted(self.histogram, record)
        if len(self._finished) == self._finished.maxlen:
            self.dropped += 1
        self._finished.append(record)

    @property
    def pending(self) -> Iterable[ConnectRecord]:
        return self._pending.values()

    def rows(self) -> tuple[ConnectRow, ...]:
        """Pending ones first, the longest waiting on top; then the finished ones, newest first."""
        pending = sorted(self._pending.values(), key=lambda record: record.latency_ms, reverse=True)
        finished = sorted(self._finished, key=lambda record: record.time_ns, reverse=True)
        return tuple([_row(record) for record in (*pending, *finished)])

    def state(self) -> ConnectTableState:
        return ConnectTableState(list(self._finished), list(self._pending.values()), self.histogram, self.dropped)

    def restore(self, state: ConnectTableState) -> None:
        """Go on from a state; what was held here is forgotten. `targets` has a state of its own."""
        self._finished = deque(state.finished, self._finished.maxlen)
        self.replace_pending(state.pending)
        self.histogram = state.histogram
        self.dropped = state.dropped


def _counted(histogram: ConnectHistogram, record: ConnectRecord) -> ConnectHistogram:
    bucket = min(max(int(record.latency_ms * 1000).bit_length() - 1, 0), _BUCKETS - 1)
    outcome = "ok" if record.result == "ok" else "failed"
    counts = list(getattr(histogram, outcome))
    counts[bucket] += 1
    return histogram._replace(**{outcome: tuple(counts)})


def _attempt(record: ConnectRecord) -> Attempt:
    """One connect() of one socket. The source port is left out: it may not be chosen yet while pending."""
    return record.key, record.daddr, record.dport, record.netns


def _row(record: ConnectRecord) -> ConnectRow:
    return ConnectRow(
        record.time_ns,
        record.pid,
        record.comm,
        record.daddr,
        record.dport,
        record.latency_ms,
        record.result,
        record.error,
        record.netns,
        record.uid,
        record.cgroup,
    )
