"""The functions of a call tree: how much time each took itself, and with what it called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ebtop.store.flame_paths import code_of, is_code
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame, StackRecord


class Function(NamedTuple):
    """One function, wherever it was called from. Weights are as in the tree."""

    frame: Frame
    own: int
    total: int
    """Every stack that has it counted once, however often it recurs in there."""


def functions_of(stacks: Iterable[tuple[StackRecord, int]]) -> list[Function]:
    """The same as a `FunctionTable` of a tree of these stacks, each with its weight, without making one."""
    return functions_in((code_of(stack.frames), weight) for stack, weight in stacks)


def functions_in(code: Iterable[tuple[Sequence[Frame], int]]) -> list[Function]:
    """The same of the functions of each stack (`code_of`) and its weight."""
    numbers: dict[Frame, int] = {}
    own: list[int] = []
    total: list[int] = []
    for frames, weight in code:
        found = list(map(numbers.get, frames))
        if None in found:
            for place, number in enumerate(found):
                if number is None:
                    found[place] = numbers.setdefault(frames[place], len(numbers))
            new = [0] * (len(numbers) - len(own))
            own += new
            total += new
        for number in set(found):
            total[number] += weight  # type: ignore[index]  # none of them is None now
        if found:
            own[found[-1]] += weight  # type: ignore[index]
    rows = [Function(frame, own[n], total[n]) for frame, n in numbers.items() if total[n] and is_code(frame)]
    rows.sort(key=lambda row: (row.own, row.total), reverse=True)
    return rows


def without(functions: Iterable[Function], part: Iterable[Function]) -> list[Function]:
    """What is left of functions when those of some of their stacks are taken out; in no order."""
    gone = {function.frame: function for function in part}
    left = []
    for frame, own, total in functions:
        taken = gone.get(frame)
        if taken is not None:
            own, total = own - taken.own, total - taken.total
        if total > 0:
            left.append(Function(frame, own, total))
    return left


class FunctionTable:
    """Sums up a tree by function, again and again while it grows."""

    def __init__(self, tree: FlameTree, callers: bool) -> None:
        """`callers`: the tree is read from the functions that ran up to their callers."""
        self._tree = tree
        self._callers = callers
        self._outermost: list[int] = []
        """Nodes with no node of the same frame above them."""
        self._numbers: list[int] = []
        """Their frames."""
        self._looked_at = 0

    def rows(self) -> list[Function]:
        """The functions that have weight, those with the most time of their own first."""
        tree = self._tree
        self._look()
        total, own_by, total_by = tree.total, [0] * len(tree.frames), [0] * len(tree.frames)
        for weight, number in zip(map(total.__getitem__, self._outermost), self._numbers, strict=True):
            if weight:
                total_by[number] += weight
        if self._callers:
            for node in tree.children(0):
                own_by[tree.frame_of[node]] += total[node]
        else:
            for weight, number in zip(tree.own, tree.frame_of, strict=True):
                if weight:
                    own_by[number] += weight
        rows = [
            Function(frame, own, every)
            for frame, own, every in zip(tree.frames, own_by, total_by, strict=True)
            if every and is_code(frame)
        ]
        rows.sort(key=lambda row: (row.own, row.total), reverse=True)
        return rows

    def _look(self) -> None:
        """Find the outermost among the nodes that are new."""
        tree = self._tree
        parent, frame_of = tree.parent, tree.frame_of
        above: set[int] = set()
        last = -1
        for node in range(self._looked_at, len(tree)):
            number, caller = frame_of[node], parent[node]
            # Mostly a node is the callee of the one made before it.
            if caller != last:
                above = set()
                while caller > 0:
                    above.add(frame_of[caller])
                    caller = parent[caller]
            if number not in above:
                self._outermost.append(node)
                self._numbers.append(number)
            above.add(number)
            last = node
        self._looked_at = len(tree)
