"""Makes the moments that screens show: of now, and of any time that is still kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import NamedTuple

from ebtop.store.keeper import Keeper
from ebtop.store.rows import Snapshot, with_stacks
from ebtop.store.selection import Selection
from ebtop.store.source import Health, Source
from ebtop.store.ticks import Tick
from ebtop.store.view import View
from ebtop.ui.moment import AVERAGED_TICKS, Cost, CostMeter, LossCounter, Moment


class Measured(NamedTuple):
    """What the tool is doing and costs, at one tick."""

    health: Health
    cost: Cost | None
    lost: dict[str, int]


class Newest(NamedTuple):
    """What one tick brings: put together by a thread, shown by the one of the screens."""

    measured: Measured
    snapshot: Snapshot | None
    """None: no live view was asked for."""


class Moments:
    """One for the app. `clock` gives seconds."""

    def __init__(self, source: Source, timeline: Keeper, clock: Callable[[], float]) -> None:
        self._source = source
        self._timeline = timeline
        self._clock = clock
        self._started = clock()
        self._meter = CostMeter()
        self._losses = LossCounter()
        self._measuring = Lock()
        self.measured = Measured(source.health(), None, {})
        """Of the tick that is shown."""

    @property
    def health(self) -> Health:
        return self.measured.health

    def newest(self, view: View | None) -> Newest:
        """Once a tick, in any thread: read what the tool costs, remember it for this time, and look at a view."""
        with self._measuring:
            health = self._source.health()
            measured = Measured(health, self._meter.measure(health), self._losses.count(health))
            self._timeline.mark(Tick(health.time_ns, self._timeline.rates(), health))
        return Newest(measured, view.snapshot() if view is not None else None)

    def still(self, shown: Moment) -> Moment:
        """A moment that stands, with what is measured now: probes may be unloaded meanwhile. What belongs to a
        moment of a recording is all in it."""
        if not self._source.live:
            return shown._replace(snapshot=with_stacks(shown.snapshot, (), {}))
        return shown._replace(
            snapshot=with_stacks(shown.snapshot, (), {}),
            health=self.measured.health,
            cost=self.measured.cost,
            lost=self.measured.lost,
        )

    def live(self, view: View, snapshot: Snapshot, selection: Selection | None, continues: bool) -> Moment:
        """The newest second of a view."""
        return Moment(
            snapshot,
            *self.measured,
            self._clock() - self._started if selection is None else (snapshot.time_ns - view.since_ns) / 1e9,
            partial(self._timeline.spans, until_ns=snapshot.time_ns, selection=selection),
            continues,
        )

    def past(self, time_ns: int, selection: Selection | None) -> Moment:
        """How it was at a time. Takes a while: for a worker thread."""
        health, cost = self._health_at(time_ns)
        return Moment(
            self._timeline.at(time_ns, selection),
            health,
            cost,
            {probe.name: probe.lost_total for probe in health.probes},
            self._clock() - self._started - (self.health.time_ns - time_ns) / 1e9,
            partial(self._timeline.spans, until_ns=time_ns, selection=selection),
            False,
        )

    def _health_at(self, time_ns: int) -> tuple[Health, Cost | None]:
        ticks = self._timeline.healths(time_ns, AVERAGED_TICKS + 1)
        meter, cost = CostMeter(), None
        for tick in ticks:
            cost = meter.measure(tick.health)
        return (ticks[-1].health if ticks else self.health), cost
