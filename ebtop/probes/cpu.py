"""cpu: what the CPUs run, as stacks of addresses; names come later and elsewhere."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ebtop.kernel.attach import Sampler
from ebtop.kernel.cpus import online_cpus
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.probes.base import Context, Probe, Settings, comm_text

_PROGRAM = "on_sample"
_NS = 10**9
_HALVES = 2
_MIN_ENTRIES, _MAX_ENTRIES = 512, 4096
_MAX_PAUSE_S = 1.0
_MARGIN = 2.0
_FIRST_DRAIN_S = 0.3
"""Whoever has just started ebtop wants to see something."""

_Stacks = dict[int, tuple[tuple[int, ...], bool]]
"""By hash: addresses leaf first, and whether there were more."""
_NOT_THERE: tuple[tuple[int, ...], bool] = ((), False)


class RawSample(NamedTuple):
    """Samples of one stack, of a process's threads of one name, by address."""

    time_ns: int
    pid: int
    comm: str
    uid: int
    cgroup: str | None
    samples: int
    user: tuple[int, ...]
    """Leaf first; empty = none could be read."""
    kernel: tuple[int, ...]
    user_cut: bool
    """The walk ended before the end of the stack for lack of room."""
    thread: str
    """As in StackRecord."""
    period_ns: int


class CpuProbe(Probe):
    """Source: perf_event cpu-clock on every online CPU, bpf_get_stack."""

    name = "cpu"
    artifact = "cpu"
    summary = "CPU stacks, sampled"

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        super().__init__(module, context, required)
        self._half = 0
        self._stack = struct.Struct(module.artifact.layouts["stack"].format)
        self._key = struct.Struct(module.artifact.layouts["samples_0.key"].format)
        self._stacks: list[_Stacks] = [{} for _ in range(_HALVES)]
        """Of each half, as last read. A program that was still running at that flip may count one of them later."""
        self._without_stack = 0
        self.hertz = context.settings.hertz
        self._period_ns = _NS // self.hertz
        self.pause_s = self._longest_pause_s()
        self._due = time.monotonic() + min(self.pause_s, _FIRST_DRAIN_S)

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [Attachment(_PROGRAM, Sampler(settings.hertz))]

    @classmethod
    def sizes(cls, settings: Settings) -> dict[str, int]:
        entries = _MIN_ENTRIES
        while entries < _MARGIN * _stacks_per_second(settings.hertz) * _MAX_PAUSE_S and entries < _MAX_ENTRIES:
            entries *= 2
        return {f"{name}_{half}": entries for name in ("samples", "stacks") for half in range(_HALVES)}

    @classmethod
    def headers(cls, settings: Settings) -> dict[str, str]:
        return {"user_stack.h": settings.user_stacks.header}

    def is_due(self, now: float) -> bool:
        """Whether the maps must be emptied: each second, or as often as every sample might be a new stack."""
        if now < self._due:
            return False
        self._due = now + self.pause_s
        return True

    def lost(self) -> dict[str, int]:
        return {"sample without its stack": self._without_stack} if self._without_stack else {}

    def set_rate(self, hertz: int) -> None:
        """Sample so many times a second from now on. Raises EbtopError and changes nothing.

        The next `samples` are those of the rate before: call it at once.
        """
        self.module.change_sampler(_PROGRAM, Sampler(hertz))
        self.hertz = hertz
        self.pause_s = self._longest_pause_s()
        self._due = time.monotonic() + self.pause_s

    def samples(self, time_ns: int) -> list[RawSample]:
        """What was sampled since the last call. Flips the halves, then empties the one just left."""
        period_ns, self._period_ns = self._period_ns, _NS // self.hertz
        old = self._half
        self._half = 1 - old
        self.module.maps["epoch"].update(struct.pack("=I", 0), struct.pack("=I", self._half))
        counts = list(self.module.maps[f"samples_{old}"].batches(delete=True))
        earlier, stacks = self._stacks[old], self._read_stacks(old)
        self._stacks[old] = stacks
        path = self.context.cgroups.path
        found = []
        for keys, values in counts:
            for key, (n,) in zip(self._key.iter_unpack(keys), struct.iter_unpack("=Q", values), strict=True):
                user_hash, kernel_hash, cgroup, pid, uid, comm, thread = key
                user, cut = stacks.get(user_hash) or earlier.get(user_hash) or _NOT_THERE
                kernel, _ = stacks.get(kernel_hash) or earlier.get(kernel_hash) or _NOT_THERE
                if (user_hash and not user) or (kernel_hash and not kernel):
                    self._without_stack += n
                found.append(
                    RawSample(
                        time_ns, pid, comm_text(comm), uid, path(cgroup), n, user, kernel, cut,
                        "" if thread == comm else comm_text(thread), period_ns,
                    )
                )  # fmt: skip
        return found

    def _longest_pause_s(self) -> float:
        """In which the maps can't overflow, whatever is sampled."""
        entries = self.module.maps["stacks_0"].spec.max_entries
        return min(_MAX_PAUSE_S, entries / (_MARGIN * _stacks_per_second(self.hertz)))

    def _read_stacks(self, half: int) -> _Stacks:
        found: _Stacks = {}
        for keys, values in self.module.maps[f"stacks_{half}"].batches(delete=True):
            for (stack_hash,), (depth, cut, *addresses) in zip(
                struct.iter_unpack("=Q", keys), self._stack.iter_unpack(values), strict=True
            ):
                found[stack_hash] = tuple(addresses[:depth]), bool(cut)
        return found


def _stacks_per_second(hertz: int) -> float:
    """At most: a user and a kernel stack in each sample."""
    return 2.0 * hertz * len(online_cpus())
