"""Slow and failed connects by target."""

from __future__ import annotations

from collections.abc import Iterable
from math import log2
from typing import NamedTuple

from ebtop.store.bounded import Bounded
from ebtop.store.rates import SECOND_NS
from ebtop.store.recent import Recent, RecentState, Window
from ebtop.store.records import ConnectRecord
from ebtop.store.rows import TargetRow

_MAX_COMMS = 16
_BUCKETS_PER_OCTAVE = 4
_LEAST_MS = 0.001

_Address = tuple[str, int]


class TargetState(NamedTuple):
    addr: str
    port: int
    finished: int
    recent: RecentState
    results: tuple[tuple[str, int], ...]
    latencies: tuple[tuple[int, int], ...]
    longest_ms: float
    time_ns: int
    comms: tuple[str, ...]


class ConnectTargetsState(NamedTuple):
    """All that `ConnectTargets` knows."""

    targets: list[TargetState]
    let_go: int


class Target:
    """What became of the connects to one address and port."""

    __slots__ = ("address", "comms", "finished", "latencies", "longest_ms", "recent", "results", "row", "time_ns")

    def __init__(self, address: _Address) -> None:
        self.address = address
        self.finished = 0
        self.recent = Recent()
        self.results: dict[str, int] = {}
        self.latencies: dict[int, int] = {}
        """Connects by bucket; see `bucket`."""
        self.longest_ms = 0.0
        self.time_ns = 0
        self.comms: dict[str, None] = {}
        self.row: TargetRow | None = None
        """As it was asked for last; None when something has changed since."""

    def add(self, record: ConnectRecord) -> None:
        self.row = None
        self.finished += 1
        self.recent.add(record.time_ns // SECOND_NS)
        self.results[record.result] = self.results.get(record.result, 0) + 1
        number = bucket(record.latency_ms)
        self.latencies[number] = self.latencies.get(number, 0) + 1
        self.longest_ms = max(self.longest_ms, record.latency_ms)
        self.time_ns = max(self.time_ns, record.time_ns)
        if record.pid and len(self.comms) < _MAX_COMMS:
            self.comms[record.comm] = None

    def as_row(self, window: Window, pending: int) -> TargetRow:
        row, rate = self.row or self._new_row(), window.rate(self.recent)
        if row.rate != rate or row.pending != pending:
            row = row._replace(rate=rate, pending=pending)
        self.row = row
        return row

    def _new_row(self) -> TargetRow:
        results = self.results
        return TargetRow(
            *self.address,
            self.finished,
            0.0,
            0,
            results.get("ok", 0),
            results.get("refused", 0),
            results.get("timeout", 0),
            results.get("unreachable", 0),
            results.get("aborted", 0),
            self._quantile(0.5),
            self._quantile(0.99),
            self.longest_ms if self.finished else None,
            self.time_ns,
            tuple(self.comms),
        )

    def _quantile(self, share: float) -> float | None:
        wanted, seen = share * self.finished, 0
        for number in sorted(self.latencies):
            seen += self.latencies[number]
            if seen >= wanted:
                return min(upper_bound_ms(number), self.longest_ms)
        return None

    def state(self) -> TargetState:
        return TargetState(
            *self.address, self.finished, self.recent.state(), tuple(self.results.items()),
            tuple(self.latencies.items()), self.longest_ms, self.time_ns, tuple(self.comms),
        )  # fmt: skip

    @classmethod
    def restored(cls, state: TargetState) -> Target:
        addr, port, finished, recent, results, latencies, longest_ms, time_ns, comms = state
        target = cls((addr, port))
        target.finished, target.recent = finished, Recent.restored(recent)
        target.results, target.latencies, target.longest_ms = dict(results), dict(latencies), longest_ms
        target.time_ns, target.comms = time_ns, dict.fromkeys(comms)
        return target


class ConnectTargets:
    """Bounded; the target that nothing was heard of for longest goes first."""

    def __init__(self, max_rows: int = 2000) -> None:
        self._targets: Bounded[_Address, Target] = Bounded(max_rows)

    @property
    def let_go(self) -> int:
        return self._targets.let_go

    def add(self, record: ConnectRecord) -> None:
        """Count a connect that finished."""
        address = record.daddr, record.dport
        target = self._targets.use(address)
        if target is None:
            target = Target(address)
            self._targets.add(address, target)
        target.add(record)

    def rows(self, window: Window, pending: Iterable[ConnectRecord]) -> tuple[TargetRow, ...]:
        """One for each target, also for those where connects only wait."""
        waiting: dict[_Address, list[ConnectRecord]] = {}
        for record in pending:
            waiting.setdefault((record.daddr, record.dport), []).append(record)
        rows = [target.as_row(window, len(waiting.pop(target.address, ()))) for target in self._targets]
        for address, records in waiting.items():
            target = Target(address)
            target.time_ns = max(record.time_ns for record in records)
            target.comms = dict.fromkeys([record.comm for record in records if record.pid][:_MAX_COMMS])
            rows.append(target.as_row(window, len(records)))
        return tuple(rows)

    def state(self) -> ConnectTargetsState:
        return ConnectTargetsState([target.state() for target in self._targets], self.let_go)

    def restore(self, state: ConnectTargetsState) -> None:
        """Go on from a state; what was counted here is forgotten."""
        targets = map(Target.restored, state.targets)
        self._targets.replace([(target.address, target) for target in targets], state.let_go)


def bucket(latency_ms: float) -> int:
    """The number of the bucket of a latency: four for each doubling, so that its bounds are a fifth apart."""
    return int(log2(max(latency_ms, _LEAST_MS) / _LEAST_MS) * _BUCKETS_PER_OCTAVE)


def upper_bound_ms(number: int) -> float:
    """No latency of that bucket is longer."""
    return _LEAST_MS * float(2 ** ((number + 1) / _BUCKETS_PER_OCTAVE))
