"""faults: where page faults happen, as stacks of addresses: where memory grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ebtop.kernel.attach import MAJOR_FAULTS, MINOR_FAULTS, PeriodSampler
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.probes.base import Context, Probe, Settings
from ebtop.probes.stacks import RawSample, StackProbe

_STATES = ("", "minor", "major")
"""enum fault of bpf/faults.c."""
_ENTRIES = 1024


class FaultsProbe(StackProbe):
    """Source: perf_event page-faults-min and page-faults-maj on every online CPU, bpf_get_stack.

    Of minor faults one in `fault_period` is looked at, of major ones, which wait for a disk, every one.
    """

    name = kind = "faults"
    artifact = "faults"
    summary = "page faults by stack, sampled: where memory grows"

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        super().__init__(module, context, required)
        self._period = context.settings.fault_period

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("on_minor_fault", PeriodSampler(MINOR_FAULTS, settings.fault_period)),
            Attachment("on_major_fault", PeriodSampler(MAJOR_FAULTS, 1)),
        ]

    @classmethod
    def later_attachments(cls, settings: Settings) -> Sequence[Attachment]:
        return cls.chains(settings, PeriodSampler(MINOR_FAULTS, 1).prog_type)

    @classmethod
    def sizes(cls, settings: Settings) -> dict[str, int]:
        return cls.halves(_ENTRIES)

    def samples(self, time_ns: int, *, final: bool = False) -> list[RawSample]:
        half = self.flip()
        sums = self.sums(half)
        self.read_stacks(half)
        found = []
        for key, (n, _) in sums:
            state = _STATES[key.state]
            faults = n * (self._period if state == "minor" else 1)
            found.append(self.raw(time_ns, key, n)._replace(amount=faults, state=state))
        return found
