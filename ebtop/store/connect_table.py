"""Slow and failed connects, and those that still wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ebtop.store.records import ConnectHistogram, ConnectRecord
from ebtop.store.rows import ConnectRow

Attempt = tuple[int, str, int, int]


class ConnectTable:
    """The latest `max_rows` connects that finished, and the set of pending ones."""

    def __init__(self, max_rows: int = 1000) -> None:
        self._finished: deque[ConnectRecord] = deque(maxlen=max_rows)
        self._pending: dict[Attempt, ConnectRecord] = {}
        self.histogram = ConnectHistogram((), ())
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
        if len(self._finished) == self._finished.maxlen:
            self.dropped += 1
        self._finished.append(record)

    def rows(self) -> tuple[ConnectRow, ...]:
        """Pending ones first, the longest waiting on top; then the finished ones, newest first."""
        pending = sorted(self._pending.values(), key=lambda record: record.latency_ms, reverse=True)
        finished = sorted(self._finished, key=lambda record: record.time_ns, reverse=True)
        return tuple([_row(record) for record in (*pending, *finished)])


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
    )
