"""cpu: what the CPUs run, as stacks of addresses; names come later and elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ebtop.kernel.attach import Sampler
from ebtop.kernel.cpus import online_cpus
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.probes.base import Context, Probe, Settings
from ebtop.probes.stacks import MAX_PAUSE_S, RawSample, StackProbe

_PROGRAM = "on_sample"
_NS = 10**9
_MIN_ENTRIES, _MAX_ENTRIES = 512, 4096
_MARGIN = 1.5


class CpuProbe(StackProbe):
    """Source: perf_event cpu-clock on every online CPU, bpf_get_stack."""

    name = kind = "cpu"
    artifact = "cpu"
    summary = "CPU stacks, sampled"

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        self.hertz = context.settings.hertz
        self._period_ns = _NS // self.hertz
        super().__init__(module, context, required)

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [Attachment(_PROGRAM, Sampler(settings.hertz))]

    @classmethod
    def later_attachments(cls, settings: Settings) -> Sequence[Attachment]:
        return cls.chains(settings, Sampler(settings.hertz).prog_type)

    @classmethod
    def sizes(cls, settings: Settings) -> dict[str, int]:
        entries = _MIN_ENTRIES
        while entries < _MARGIN * _stacks_per_second(settings.hertz) * MAX_PAUSE_S and entries < _MAX_ENTRIES:
            entries *= 2
        return cls.halves(entries)

    def set_rate(self, hertz: int) -> None:
        """Sample so many times a second from now on. Raises EbtopError and changes nothing.

        The next `samples` are those of the rate before: call it at once.
        """
        self.module.change_sampler(_PROGRAM, Sampler(hertz))
        self.hertz = hertz
        self.pause_s = self.longest_pause_s()
        self._due = time.monotonic() + self.pause_s

    def samples(self, time_ns: int, *, final: bool = False) -> list[RawSample]:
        period_ns, self._period_ns = self._period_ns, _NS // self.hertz
        half = self.flip()
        sums = self.sums(half)
        self.read_stacks(half)
        return [self.raw(time_ns, key, n, period_ns) for key, (n, _) in sums]

    def longest_pause_s(self) -> float:
        """In which the maps can't overflow, whatever is sampled."""
        entries = self.module.maps["stacks_0"].spec.max_entries
        return min(MAX_PAUSE_S, entries / (_MARGIN * _stacks_per_second(self.hertz)))


def _stacks_per_second(hertz: int) -> float:
    """At most: a user, a kernel and a Python stack in each sample."""
    return 3.0 * hertz * len(online_cpus())
