"""Stacks that the kernel handed over and user space has walked, on their way to the samples they belong to; and what
processes had mapped that are gone, without which the samples of short ones have no names."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from ebtop.cpython.told import ToldFunctions
from ebtop.process.mappings import Mappings
from ebtop.process.places import Files

_KEPT_MAX = 2048
_LONGEST_WAIT_S = 5.0
_GONE_S = 40.0
"""Nobody names samples that are older."""
_PROGRAMS_MAX = 3
"""Of one pid: a child of a shell is forked, executes a program, and ends."""


def _nobody() -> None:
    """Nobody sleeps."""


def _nothing(pid: int) -> list[Mappings]:
    """Nobody knows anything."""
    return []


class WalkedStack(NamedTuple):
    """A user stack by address."""

    addresses: tuple[int, ...]
    """Leaf first, as the kernel gives them."""
    cut: int
    """As in struct stack of bpf/stack.h, see ebtop.unwind.ends."""


class _Gone(NamedTuple):
    """What a process had mapped, by the programs it executed."""

    at: float
    """When the latest of them ended."""
    programs: list[Mappings]


_NEVER = _Gone(0.0, [])


class HandedOver:
    """Walked stacks by the hash that stands for them in samples. Any thread."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._stacks: OrderedDict[int, WalkedStack] = OrderedDict()
        self._gone: OrderedDict[int, _Gone] = OrderedDict()
        self._settled_at = float("inf")
        """Whatever was handed over before then is here, or lost; infinite while nobody walks."""
        self._told_at = float("inf")
        """So far it is known which processes are gone."""
        self._wake = _nobody
        self._recent: Callable[[int], list[Mappings]] = _nothing
        self.files = Files()
        """What places in stacks are places in."""
        self.functions = ToldFunctions()
        """Python functions of processes that may be gone."""

    def begin(self, wake: Callable[[], None] = _nobody, recent: Callable[[int], list[Mappings]] = _nothing) -> None:
        """From now on somebody walks, whom `wake` tells that somebody waits.

        `recent` says what a process had mapped lately, for `recent_mappings`; also after the end.
        """
        with self._changed:
            self._recent = recent
            self._settled_at = self._told_at = 0.0
            self._wake = wake

    def end(self) -> None:
        """Nobody walks any more."""
        with self._changed:
            self._settled_at = self._told_at = float("inf")
            self._wake = _nobody
            self._changed.notify_all()

    def put(self, stack_hash: int, stack: WalkedStack) -> None:
        with self._changed:
            self._stacks[stack_hash] = stack
            while len(self._stacks) > _KEPT_MAX:
                self._stacks.popitem(last=False)
            self._changed.notify_all()

    def settle(self, moment: float, *, stacks: bool = True) -> None:
        """Whatever had happened until `moment` (time.monotonic) was taken in, with all stacks or but for those."""
        with self._changed:
            self._told_at = moment
            if stacks:
                self._settled_at = moment
            self._changed.notify_all()

    def put_mappings(self, pid: int, mappings: Mappings) -> None:
        """What a process had mapped until it ended, or executed another program."""
        with self._changed:
            now = self._clock()
            before = self._gone.pop(pid, _NEVER).programs[1 - _PROGRAMS_MAX :]
            self._gone[pid] = _Gone(now, [*before, mappings])
            while len(self._gone) > _KEPT_MAX or next(iter(self._gone.values())).at < now - _GONE_S:
                self._gone.popitem(last=False)

    def take_mappings(self, pid: int) -> list[Mappings]:
        """What was put for a process since the last time, oldest first."""
        with self._changed:
            return list(self._gone.pop(pid, _NEVER).programs)

    def recent_mappings(self, pid: int) -> list[Mappings]:
        """What a process had mapped in the last seconds for which nothing was put, oldest first; costs 0.2 ms."""
        return self._recent(pid)

    def wait(self, moment: float, longest_s: float) -> None:
        """Until it is known which processes were gone at a moment (time.monotonic), or nobody walks."""
        with self._changed:
            if self._told_at < moment:
                self._wake()
            self._changed.wait_for(lambda: self._told_at >= moment, longest_s)

    def take(self, stack_hash: int, sampled_until: float, longest_s: float) -> WalkedStack | None:
        """Wait for a stack that was handed over before `sampled_until`; None when it did not come (yet)."""
        with self._changed:
            if stack_hash not in self._stacks and self._settled_at < sampled_until:
                self._wake()
            self._changed.wait_for(
                lambda: stack_hash in self._stacks or self._settled_at >= sampled_until, max(0.0, longest_s)
            )
            stack = self._stacks.get(stack_hash)
            if stack is not None:
                # Kept: what a thread is blocked in is asked for again as long as it is.
                self._stacks.move_to_end(stack_hash)
            return stack

    def may_come(self, sampled_until: float) -> bool:
        """Whether stacks that were handed over before then, and are not here, may still come."""
        with self._changed:
            return self._settled_at < sampled_until and self._clock() < sampled_until + _LONGEST_WAIT_S
