"""Two call trees compared by shares: what takes more of the time than before, and what less.

Shares and not amounts: a minute against ten minutes, or a busy node against an idle one, says the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ebtop.store.flame_functions import Function
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame

_SCALE = 1 << 30
"""The width of the whole tree."""
_DEVIATIONS = 2.0
Samples = tuple[int, int]
"""Of the side before and of that after."""
NO_SAMPLES: Samples = (0, 0)
NOTICEABLE = 0.001
"""A share that changed by less is called the same."""


class FrameChange(NamedTuple):
    """One function; shares are 0..1 of all weight."""

    frame: Frame
    own_before: float
    own_after: float
    total_before: float
    total_after: float

    @property
    def own_delta(self) -> float:
        return self.own_after - self.own_before

    @property
    def total_delta(self) -> float:
        return self.total_after - self.total_before


class FlameDiff:
    """`tree` has the nodes of both; a node is as wide as the mean of its two shares, so that what came and what went
    can both be seen."""

    def __init__(self, before: FlameTree, after: FlameTree, samples: Samples = NO_SAMPLES) -> None:
        """`samples` of each side; (0, 0) = not known, then no change is put down to chance."""
        self.tree = FlameTree()
        self._samples = samples
        self._sides = (_Side(before, self.tree), _Side(after, self.tree))
        present = [side for side in self._sides if side.whole]
        for side in present:
            for node, own in side.own.items():
                self.tree.shift(node, round(own * _SCALE / side.whole / len(present)))

    def before(self, node: int) -> float:
        """The share of a node of `tree`, 0..1."""
        return self._sides[0].share(node)

    def after(self, node: int) -> float:
        return self._sides[1].share(node)

    def sign(self, node: int) -> str:
        """As `sign_of`."""
        return sign_of(self.before(node), self.after(node), self._samples)

    def step(self, node: int) -> int:
        """As `step_of`."""
        return step_of(self.before(node), self.after(node), self._samples)


def compare_functions(before: Sequence[Function], after: Sequence[Function]) -> list[FrameChange]:
    """Each function, the most changed in its own time first. Each stack has one function that ran, so all of their own
    time is the whole."""
    shares: dict[Frame, list[float]] = {}
    for side, functions in enumerate((before, after)):
        whole = sum([function.own for function in functions]) or 1
        for function in functions:
            change = shares.setdefault(function.frame, [0.0] * 4)
            change[side] = function.own / whole
            change[2 + side] = function.total / whole
    changes = [FrameChange(frame, *change) for frame, change in shares.items()]
    changes.sort(key=lambda change: (-abs(change.own_delta), -abs(change.total_delta), change.frame))
    return changes


def sign_of(before: float, after: float, samples: Samples = NO_SAMPLES) -> str:
    """+ more, - less, = the same within `NOTICEABLE`, ~ it may be chance, * new, x gone."""
    if abs(after - before) < NOTICEABLE:
        return "="
    if may_be_chance(before, after, samples):
        return "~"
    if not before:
        return "*"
    if not after:
        return "x"
    return "+" if after > before else "-"


def may_be_chance(before: float, after: float, samples: Samples) -> bool:
    """Whether shares of so many samples each may differ so much though nothing changed: two standard deviations."""
    first, second = samples
    if not first or not second:
        return False
    pooled = (before * first + after * second) / (first + second)
    return (after - before) ** 2 <= _DEVIATIONS**2 * pooled * (1 - pooled) * (1 / first + 1 / second)


def step_of(before: float, after: float, samples: Samples = NO_SAMPLES) -> int:
    """How strong a change is drawn: 0 (the same, or perhaps chance) to 4 (5 % of all time and more)."""
    if may_be_chance(before, after, samples):
        return 0
    delta = abs(after - before)
    return sum(delta >= limit for limit in (NOTICEABLE, 0.005, 0.02, 0.05))


class _Side:
    """The weights of one of the trees at the nodes of the merged one."""

    def __init__(self, tree: FlameTree, merged: FlameTree) -> None:
        numbers = merged.graft(tree)
        total = tree.total
        self.whole = total[0]
        self.own = {new: tree.own[old] for old, new in numbers.items() if tree.own[old]}
        self._total = {new: total[old] for old, new in numbers.items()}

    def share(self, node: int) -> float:
        return self._total.get(node, 0) / self.whole if self.whole else 0.0
