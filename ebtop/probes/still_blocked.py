"""Time that a wait has taken before it is over, told as it passes.

The kernel counts a wait when it ends. Whoever hangs for an hour would not be seen in that hour: so what is still
blocked is looked at once a drain, told of with the time since the last look, and what was told is taken out again of
what the kernel counts for it in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ebtop.probes.stacks import SampleKey, SampleSum

_OWED_LOOKS = 3
"""A wait that is over is counted by the next drain or the one after it, if it is not lost."""
NOBODY = b"\0" * 16


class Block(NamedTuple):
    """A thread that is blocked."""

    since_ns: int
    """CLOCK_MONOTONIC."""
    key: SampleKey


class _Told(NamedTuple):
    block: Block
    ns: int


class StillBlocked:
    """Fed with what is blocked, once a drain."""

    def __init__(self, min_ns: int) -> None:
        """What is blocked for less than `min_ns` is not told of."""
        self._min_ns = min_ns
        self._looked_ns = 0
        self._told: dict[int, _Told] = {}
        self._owed: dict[SampleKey, list[tuple[int, int]]] = {}
        """What was told of waits that are over since: (looks left, ns) by key."""

    def look(self, blocked: Mapping[int, Block], now_ns: int, *, final: bool = False) -> list[tuple[SampleKey, int]]:
        """Key and ns, since the last look, of each wait that has lasted over a whole drain; with `final` of all.

        `blocked` is by thread, as it was at `now_ns` or a little later, before `settle` of the same drain.
        """
        self._owe(blocked)
        found = []
        for tid, block in blocked.items():
            block = block._replace(key=without_waker(block.key))
            lasted = now_ns - block.since_ns
            if lasted < self._min_ns or lasted <= 0 or not (final or block.since_ns < self._looked_ns):
                continue
            told = self._told[tid].ns if tid in self._told else 0
            self._told[tid] = _Told(block, lasted)
            found.append((block.key, lasted - told))
        self._looked_ns = now_ns
        return found

    def settle(self, sums: Iterable[tuple[SampleKey, SampleSum]]) -> list[tuple[SampleKey, SampleSum]]:
        """What the kernel counted since the last time, without what was told before."""
        settled = []
        for key, counted in sums:
            whose = without_waker(key)
            if whose in self._owed:
                counted = counted._replace(ns=counted.ns - self._take(whose, counted.ns))
            settled.append((key, counted))
        return settled

    def _owe(self, blocked: Mapping[int, Block]) -> None:
        for key, debts in tuple(self._owed.items()):
            left = [(looks - 1, ns) for looks, ns in debts if looks > 1]
            if left:
                self._owed[key] = left
            else:
                del self._owed[key]
        for tid, told in tuple(self._told.items()):
            now = blocked.get(tid)
            if now is None or now.since_ns != told.block.since_ns:
                self._owed.setdefault(told.block.key, []).append((_OWED_LOOKS, told.ns))
                del self._told[tid]

    def _take(self, key: SampleKey, at_most: int) -> int:
        taken, left = 0, []
        for looks, ns in self._owed[key]:
            part = min(ns, at_most - taken)
            taken += part
            if ns > part:
                left.append((looks, ns - part))
        if left:
            self._owed[key] = left
        else:
            del self._owed[key]
        return taken


def without_waker(key: SampleKey) -> SampleKey:
    """As long as a thread is blocked nobody knows who will wake it."""
    return key._replace(waker=0, waker_comm=NOBODY)
