"""offcpu: what threads wait in, as stacks of addresses, and for how long."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence

from ebtop.kernel.attach import TAIL_CALL_OF_RAW_TRACEPOINT, RawTracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.probes.base import Context, Probe, Settings, comm_text
from ebtop.probes.stacks import MAX_PAUSE_S, RawSample, SampleKey, SampleSum, StackProbe
from ebtop.probes.still_blocked import Block, StillBlocked

_STATES = ("", "sleep", "io", "uninterruptible", "stopped")
"""enum wait of bpf/offcpu.c."""
_INTERRUPT = 0xFFFFFFFF
_SAMPLES, _STACKS = 4096, 2048
_KEPT_STACKS = 8192
"""A thread may wake up long after its stack was read."""
_MIN_PAUSE_S = 0.125
_FULL, _EMPTY = 0.4, 0.1
"""Shares of a map from which on it is emptied more often, or less."""


class OffCpuProbe(StackProbe):
    """Source: raw tracepoints sched_switch and sched_waking, bpf_get_stack."""

    name = kind = "offcpu"
    artifact = "offcpu"
    summary = "where threads are blocked, and how long"

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        super().__init__(module, context, required)
        self._block = struct.Struct(module.artifact.layouts["blocked.value"].format)
        self._kept: dict[int, tuple[tuple[int, ...], int]] = {}
        """Of the stacks that were read, those that were needed last; the latest last."""
        self._still = StillBlocked(context.settings.min_block_ns)
        # How much comes is not known yet: often at first, then as rarely as is enough.
        self.pause_s = 2 * _MIN_PAUSE_S

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("on_waking", RawTracepoint("sched_waking")),
            Attachment("on_switch", RawTracepoint("sched_switch")),
        ]

    @classmethod
    def later_attachments(cls, settings: Settings) -> Sequence[Attachment]:
        return cls.chains(settings, TAIL_CALL_OF_RAW_TRACEPOINT)

    @classmethod
    def constants(cls, settings: Settings) -> dict[str, int]:
        return {**super().constants(settings), "offcpu.min_ns": settings.min_block_ns}

    @classmethod
    def sizes(cls, settings: Settings) -> dict[str, int]:
        return {**cls.halves(_STACKS), "samples_0": _SAMPLES, "samples_1": _SAMPLES}

    @classmethod
    def blind_spots(cls, environment: Environment) -> tuple[str, ...]:
        return ("threads that were blocked before the probe was loaded, until they have run again",)

    def samples(self, time_ns: int, *, final: bool = False) -> list[RawSample]:
        half = self.flip()
        # In this order: what ends in between is counted in the half that is read the next time.
        now_ns = time.monotonic_ns()
        waiting = self._still.look(self._blocked(), now_ns, final=final)
        counted = self._still.settle(self.sums(half))
        self.read_stacks(half)
        self._pace(len(counted), len(self._newest))
        found = [self._told(time_ns, key, sums) for key, sums in counted]
        found += [self._told(time_ns, key, SampleSum(0, ns)) for key, ns in waiting]
        return found

    def read_stacks(self, half: int) -> None:
        super().read_stacks(half)
        self._kept.update(self._newest)
        for stack_hash in list(self._kept)[: max(0, len(self._kept) - _KEPT_STACKS)]:
            del self._kept[stack_hash]

    def find(self, stack_hash: int) -> tuple[tuple[int, ...], int] | None:
        found = self._kept.pop(stack_hash, None)
        if found is not None:
            self._kept[stack_hash] = found
        return found

    def _told(self, time_ns: int, key: SampleKey, sums: SampleSum) -> RawSample:
        waker, waker_pid = "", 0
        if key.waker == _INTERRUPT:
            waker = "interrupt"
        elif key.waker:
            waker, waker_pid = comm_text(key.waker_comm), key.waker
        raw = self.raw(time_ns, key, sums.samples)
        return raw._replace(amount=sums.ns, state=_STATES[key.state], waker=waker, waker_pid=waker_pid)

    def _blocked(self) -> dict[int, Block]:
        found: dict[int, Block] = {}
        for keys, values in self.module.maps["blocked"].batches(delete=False):
            for (tid,), (since_ns, *key) in zip(
                struct.iter_unpack("=I", keys), self._block.iter_unpack(values), strict=True
            ):
                found[tid] = Block(since_ns, SampleKey(*key))
        return found

    def _pace(self, samples: int, stacks: int) -> None:
        """Empty the maps so often that they do not overflow."""
        maps = self.module.maps
        share = max(samples / maps["samples_0"].spec.max_entries, stacks / maps["stacks_0"].spec.max_entries)
        if share > _FULL:
            self.pause_s = max(_MIN_PAUSE_S, self.pause_s / 2)
        elif share < _EMPTY:
            self.pause_s = min(MAX_PAUSE_S, self.pause_s * 2)
