"""What the probes of stacks share: samples of addresses, summed in the kernel in two halves that take turns."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from ebtop.kernel.attach import TailCall
from ebtop.kernel.module import Attachment, Module
from ebtop.probes.base import Context, Probe, Settings, comm_text
from ebtop.unwind import CONSTANTS as UNWIND_CONSTANTS
from ebtop.unwind.ends import End

_HALVES = 2
_FIRST_DRAIN_S = 0.3
"""Whoever has just started ebtop wants to see something."""
MAX_PAUSE_S = 1.0

Stack = tuple[tuple[int, ...], int]
"""Addresses leaf first, and why there are no more: `cut` of struct stack, see ebtop.unwind.ends."""
Stacks = dict[int, Stack]
"""By hash."""
_NOT_THERE: Stack = ((), 0)
_NO_STACK, _LOST_STACK = 0, 2
"""In place of a hash, bpf/samples.h."""
_FIND, _WALK, _DONE, _TELL = range(4)
"""Slots of cpython_programs, bpf/cpython.h."""


class RawSample(NamedTuple):
    """Samples of one stack, of a process's threads of one name, by address."""

    time_ns: int
    pid: int
    comm: str
    uid: int
    cgroup: str | None
    kind: str
    """As in StackRecord."""
    samples: int
    user: tuple[int, ...]
    """Leaf first; empty = none could be read."""
    kernel: tuple[int, ...]
    cut: int
    """Why the walk of the user stack ended, as ebtop.unwind.ends explains."""
    thread: str
    """As in StackRecord."""
    period_ns: int
    amount: int = 0
    """As in StackRecord, and so on."""
    state: str = ""
    waker: str = ""
    waker_pid: int = 0
    handed_over: int = 0
    """Hash of a user stack that the kernel left to user space to walk, which ebtop.unwind.handed_over has then."""
    interpreted: tuple[int, ...] = ()
    """Python functions, leaf first, as bpf/cpython.h hands them over."""
    interpreted_cut: bool = False
    """There were more of them."""


class SampleKey(NamedTuple):
    """struct sample_key of bpf/samples.h."""

    user: int
    kernel: int
    interpreted: int
    cgroup: int
    pid: int
    uid: int
    comm: bytes
    thread: bytes
    state: int
    waker: int
    waker_comm: bytes


class SampleSum(NamedTuple):
    """struct sample_sum of bpf/samples.h."""

    samples: int
    ns: int


class StackProbe(Probe):
    """Base of those whose program includes bpf/samples.h."""

    kind: ClassVar[str]
    """Of its StackRecords."""

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        super().__init__(module, context, required)
        layouts = module.artifact.layouts
        self._half = 0
        self._stack = struct.Struct(layouts["stack"].format)
        self._key = struct.Struct(layouts["samples_0.key"].format)
        self._sum = struct.Struct(layouts["samples_0.value"].format)
        self._stacks: list[Stacks] = [{} for _ in range(_HALVES)]
        """Of each half, as last read."""
        self._newest: Stacks = {}
        self._earlier: Stacks = {}
        """Of the same half, as read the time before. A program that was still running then may count one later."""
        self._without_stack = 0
        user_stacks = context.settings.user_stacks
        self._hands_over = user_stacks.hands_over
        self._none = ((), user_stacks.no_stack)
        self.pause_s = self.longest_pause_s()
        """Between two drains."""
        self._due = time.monotonic() + min(self.pause_s, _FIRST_DRAIN_S)

    @classmethod
    def headers(cls, settings: Settings) -> dict[str, str]:
        return {"user_stack.h": settings.user_stacks.header}

    @staticmethod
    def chains(settings: Settings, prog_type: int) -> Sequence[Attachment]:
        """The programs that a sample goes through after the first, which is of this type."""
        # In this order: a walk must not begin before there is something at its end.
        places = (
            ("on_interpreted", _DONE), ("cpython_tell", _TELL), ("cpython_walk", _WALK), ("cpython_find", _FIND),
        )  # fmt: skip
        python = [Attachment(program, TailCall("cpython_programs", slot, prog_type)) for program, slot in places]
        return (*python, *settings.user_stacks.chain("on_walked", prog_type))

    @classmethod
    def constants(cls, settings: Settings) -> dict[str, int]:
        return UNWIND_CONSTANTS

    @staticmethod
    def halves(entries: int) -> dict[str, int]:
        """Sizes for the maps that exist twice."""
        return {f"{name}_{half}": entries for name in ("samples", "stacks") for half in range(_HALVES)}

    def longest_pause_s(self) -> float:
        """Until the maps must be emptied again."""
        return MAX_PAUSE_S

    def is_due(self, now: float) -> bool:
        """Whether the maps must be emptied."""
        if now < self._due:
            return False
        self._due = now + self.pause_s
        return True

    def lost(self) -> dict[str, int]:
        return {"sample without its stack": self._without_stack} if self._without_stack else {}

    def samples(self, time_ns: int, *, final: bool = False) -> list[RawSample]:
        """What was sampled since the last call. Flips the halves, then empties the one just left.

        `final`: there is no next time.
        """
        raise NotImplementedError

    def flip(self) -> int:
        """Have the programs write to the other half; returns the one they leave."""
        old = self._half
        self._half = 1 - old
        self.module.maps["epoch"].update(struct.pack("=I", 0), struct.pack("=I", self._half))
        return old

    def sums(self, half: int) -> list[tuple[SampleKey, SampleSum]]:
        """Take the samples out of a half. To be called before `stacks`: a stack is stored before it is counted."""
        return [
            (SampleKey(*key), SampleSum(*value))
            for keys, values in self.module.maps[f"samples_{half}"].batches(delete=True)
            for key, value in zip(self._key.iter_unpack(keys), self._sum.iter_unpack(values), strict=True)
        ]

    def read_stacks(self, half: int) -> None:
        """Take the stacks out of a half."""
        self._earlier = self._stacks[half]
        self._newest = self._stacks[half] = dict(self._stacks_in(half))

    def raw(self, time_ns: int, key: SampleKey, samples: int, period_ns: int = 0) -> RawSample:
        """A sample with its stacks and names."""
        user, cut = self._find(key.user)
        kernel, _ = self._find(key.kernel)
        interpreted, end = self._find(key.interpreted) if key.interpreted else _NOT_THERE
        user_missing = not user and not cut and key.user not in (_NO_STACK, _LOST_STACK)
        handed_over = key.user if user_missing and self._hands_over else 0
        others = (kernel, key.kernel), (interpreted, key.interpreted)
        missing = any(not stack and stack_hash not in (_NO_STACK, _LOST_STACK) for stack, stack_hash in others)
        if missing or (user_missing and not handed_over):
            self._without_stack += samples
        return RawSample(
            time_ns, key.pid, comm_text(key.comm), key.uid, self.context.cgroups.path(key.cgroup), self.kind, samples,
            user, kernel, cut, "" if key.thread == key.comm else comm_text(key.thread), period_ns,
            handed_over=handed_over, interpreted=interpreted, interpreted_cut=bool(interpreted) and end != End.WHOLE,
        )  # fmt: skip

    def find(self, stack_hash: int) -> Stack | None:
        """A stack that was not read just now."""
        return self._earlier.get(stack_hash)

    def _find(self, stack_hash: int) -> Stack:
        if stack_hash == _NO_STACK:
            return self._none
        return self._newest.get(stack_hash) or self.find(stack_hash) or _NOT_THERE

    def _stacks_in(self, half: int) -> Iterator[tuple[int, Stack]]:
        for keys, values in self.module.maps[f"stacks_{half}"].batches(delete=True):
            for (stack_hash,), (depth, cut, *addresses) in zip(
                struct.iter_unpack("=Q", keys), self._stack.iter_unpack(values), strict=True
            ):
                yield stack_hash, (tuple(addresses[:depth]), cut)
