"""Events a second, from the records' own times."""

from __future__ import annotations

from typing import NamedTuple

SECOND_NS = 1_000_000_000

HISTORY_SECONDS = 60

_KEEP_SECONDS = HISTORY_SECONDS + 2
_STALE_SECONDS = 5.0
_STALE_INTERVALS = 3.0


class EventCount(NamedTuple):
    """Events of one kind in one second."""

    second: int
    event: str
    amount: int


class EventRatesState(NamedTuple):
    """All that `EventRates` knows."""

    counts: list[EventCount]
    covered_ns: int


class EventRates:
    """Events counted by the second they happened in."""

    def __init__(self) -> None:
        self._seconds: dict[int, dict[str, int]] = {}
        self._covered_ns = 0

    def count(self, event: str, time_ns: int, amount: int = 1) -> None:
        counts = self._seconds.get(time_ns // SECOND_NS)
        if counts is None:
            counts = self._open_second(time_ns // SECOND_NS)
        counts[event] = counts.get(event, 0) + amount

    def covered(self, time_ns: int) -> None:
        """Everything up to this moment has been counted."""
        self._covered_ns = max(self._covered_ns, time_ns)

    def last_full_second(self, now_ns: int) -> dict[str, int]:
        """Counts of the latest second that is over and drained; events that did not happen are missing.

        A source that has been silent for longer than a second has nothing to say about the last one,
        and is taken to have nothing to report.
        """
        return self._seconds.get(self._last_full(now_ns), {})

    def history(self, event: str, now_ns: int, since_ns: int) -> tuple[int, ...]:
        """Counts of one event in each full second since then, of the last minute at most, oldest first."""
        last = self._last_full(now_ns)
        if not since_ns:
            return ()
        first = max(last + 1 - HISTORY_SECONDS, since_ns // SECOND_NS)
        return tuple([self._seconds.get(second, {}).get(event, 0) for second in range(first, last + 1)])

    def state(self) -> EventRatesState:
        counts = [EventCount(s, event, n) for s, counted in self._seconds.items() for event, n in counted.items()]
        return EventRatesState(counts, self._covered_ns)

    def restore(self, state: EventRatesState) -> None:
        """Go on from a state; what was counted here is forgotten."""
        self._seconds = {}
        for second, event, amount in state.counts:
            self._seconds.setdefault(second, {})[event] = amount
        self._covered_ns = state.covered_ns

    def _last_full(self, now_ns: int) -> int:
        now_s = now_ns // SECOND_NS
        covered_s = min(self._covered_ns // SECOND_NS, now_s)
        return max(covered_s, now_s - 1) - 1

    def _open_second(self, second: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        self._seconds[second] = counts
        newest = max(self._seconds)
        for old in [s for s in self._seconds if s < newest - _KEEP_SECONDS]:
            del self._seconds[old]
        return counts


class IntervalRateState(NamedTuple):
    """All that `IntervalRate` knows."""

    amount: int
    rate: float
    stale_ns: int


class IntervalRate:
    """An amount that is known a whole interval at a time, as bytes between scans or samples between drains."""

    def __init__(self) -> None:
        self._amount = 0
        self._rate = 0.0
        self._stale_ns = 0

    def add(self, amount: int) -> None:
        self._amount += amount

    def close(self, time_ns: int, seconds: float) -> None:
        """End the interval; what was added belongs to it. 0 seconds = its length is not known."""
        self._rate = self._amount / seconds if seconds > 0 else 0.0
        self._amount = 0
        self._stale_ns = time_ns + int(max(_STALE_SECONDS, _STALE_INTERVALS * seconds) * SECOND_NS)

    def rate(self, now_ns: int) -> float:
        """Of the last interval; 0 when the next one should have ended long ago."""
        return self._rate if now_ns <= self._stale_ns else 0.0

    def state(self) -> IntervalRateState:
        return IntervalRateState(self._amount, self._rate, self._stale_ns)

    def restore(self, state: IntervalRateState) -> None:
        """Go on from a state; what was added here is forgotten."""
        self._amount, self._rate, self._stale_ns = state
