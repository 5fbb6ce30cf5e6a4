"""One tick's worth of everything a pane draws, and what the tool itself costs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ebtop.store.rows import Snapshot, StackSpan
from ebtop.store.source import Health, ProbeHealth

AVERAGED_TICKS = 5


class Cost(NamedTuple):
    """Percent of all CPUs of the node, over the last few seconds."""

    own: float
    """User and system time of this process."""
    bpf: float | None
    """Run time of our BPF programs; None = the kernel does not count it."""
    probes: dict[str, float | None]
    """The same by probe."""

    @property
    def total(self) -> float:
        """What is known of it."""
        return self.own + (self.bpf or 0.0)


class CostMeter:
    """Turns the running counters of `Health` into percentages."""

    def __init__(self) -> None:
        self._past: deque[Health] = deque(maxlen=AVERAGED_TICKS + 1)

    def measure(self, health: Health) -> Cost | None:
        """The cost since a few calls ago; None on the first call."""
        self._past.append(health)
        first = self._past[0]
        node_ns = (health.time_ns - first.time_ns) * health.cpus
        if node_ns <= 0:
            return None
        own = 100 * (health.own_cpu_ns - first.own_cpu_ns) / node_ns
        probes: dict[str, float | None] = dict.fromkeys(p.name for p in health.probes)
        bpf = None
        if health.stats_enabled:
            # A program loaded since then is not in `first` and all its run time counts.
            before = {program.id: program.run_ns for probe in first.probes for program in probe.programs}
            for probe in health.probes:
                spent = sum(program.run_ns - before.get(program.id, 0) for program in probe.programs)
                probes[probe.name] = 100 * spent / node_ns
            bpf = sum(value for value in probes.values() if value is not None)
        return Cost(own, bpf, probes)


class LossCounter:
    """Events lost since the program started: a probe's own counters begin anew when it is loaded again."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._now: dict[str, int] = {}

    def count(self, health: Health) -> dict[str, int]:
        """Lost events by probe."""
        for probe in health.probes:
            last = self._now.get(probe.name, 0)
            if probe.lost_total < last:
                self._before[probe.name] = self._before.get(probe.name, 0) + last
            self._now[probe.name] = probe.lost_total
        return {name: self._before.get(name, 0) + now for name, now in self._now.items()}


def _no_spans(seconds: float) -> Sequence[StackSpan]:
    return ()


class Moment(NamedTuple):
    """What one tick shows."""

    snapshot: Snapshot
    health: Health
    cost: Cost | None
    lost: dict[str, int]
    """Events lost since the program started, by probe."""
    elapsed_s: float
    """Since the program started, or since the oldest that a selection was gathered from."""
    spans: Callable[[float], Sequence[StackSpan]] = _no_spans
    """The stacks of so many seconds up to this moment, oldest first, with those in `snapshot`. May take a while."""
    continues: bool = True
    """It is the next second of what was shown before. Otherwise (another moment, another filter, the view was
    hidden) what was gathered from earlier moments is not part of it and must be gathered anew."""

    @property
    def lost_total(self) -> int:
        return sum(self.lost.values())

    def probe(self, name: str) -> ProbeHealth | None:
        return next((probe for probe in self.health.probes if probe.name == name), None)
