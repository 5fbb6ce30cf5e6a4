"""Where something suddenly happened far more often than before: what to look at first in a long recording."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import NamedTuple

from ebtop.store.ticks import Tick

_BEFORE_S = 120
"""What is usual is the median of so many seconds before."""
_LEAST_S = 10
"""Seconds of a past that are needed to know what is usual."""
_TIMES = 4.0
_CALM_NS = 10 * 10**9
"""A spike goes on until it has been calm for so long."""


class Spike(NamedTuple):
    """One of them."""

    time_ns: int
    """Its first second."""
    what: str
    value: float
    """A second, at its highest."""
    usual: float


class _Series(NamedTuple):
    what: str
    least: float
    """Less than so much a second is no spike, however little is usual."""
    value: Callable[[Tick], float | None]


_SERIES = (
    _Series("execs", 20, lambda tick: tick.rates.execs),
    _Series("failed execs", 5, lambda tick: tick.rates.exec_failures),
    _Series("connects", 20, lambda tick: tick.rates.connects),
    _Series("accepts", 20, lambda tick: tick.rates.accepts),
    _Series("retransmits", 5, lambda tick: tick.rates.retransmits),
    _Series("% cpu", 50, lambda tick: tick.health.node.cpu_percent if tick.health.node else None),
    _Series("MB/s sent", 10, lambda tick: tick.rates.tx_bytes / 1e6),
    _Series("MB/s received", 10, lambda tick: tick.rates.rx_bytes / 1e6),
)


def spikes(ticks: Sequence[Tick]) -> list[Spike]:
    """Oldest first."""
    return sorted(spike for series in _SERIES for spike in _of_series(ticks, series))


def _of_series(ticks: Sequence[Tick], series: _Series) -> Iterable[Spike]:
    known = [(tick.time_ns, value) for tick in ticks if (value := series.value(tick)) is not None]
    times = [time_ns for time_ns, _ in known]
    current: Spike | None = None
    until_ns = 0
    for at, (time_ns, value) in enumerate(known):
        if current is not None and time_ns - until_ns > _CALM_NS:
            yield current
            current = None
        if value < series.least or (current is None and not _has_past(times, at)):
            continue
        usual = current.usual if current is not None else _usual(known, times, at)
        if value >= max(series.least, _TIMES * usual):
            current = current or Spike(time_ns, series.what, value, usual)
            current = current._replace(value=max(current.value, value))
            until_ns = time_ns
    if current is not None:
        yield current


def _has_past(times: Sequence[int], at: int) -> bool:
    return at >= 3 and times[at] - times[0] >= _LEAST_S * 10**9


def _usual(known: Sequence[tuple[int, float]], times: Sequence[int], at: int) -> float:
    first = bisect_left(times, times[at] - _BEFORE_S * 10**9)
    return median([value for _, value in known[first:at]])
