"""The functions of a call tree: how much time each took itself, and with what it called."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.flame_paths import is_code
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame


class Function(NamedTuple):
    """One function, wherever it was called from. Weights are as in the tree."""

    frame: Frame
    own: int
    total: int
    """Every stack that has it counted once, however often it recurs in there."""


class FunctionTable:
    """Sums up a tree by function, again and again while it grows."""

    def __init__(self, tree: FlameTree, callers: bool) -> None:
        """`callers`: the tree is read from the functions that ran up to their callers."""
        self._tree = tree
        self._callers = callers
        self._outermost: list[tuple[int, int]] = []
        """(node, frame number) of nodes with no node of the same frame above them."""
        self._looked_at = 0

    def rows(self) -> list[Function]:
        """The functions that have weight, those with the most time of their own first."""
        tree = self._tree
        self._look()
        total, own_by, total_by = tree.total, [0] * len(tree.frames), [0] * len(tree.frames)
        for node, number in self._outermost:
            if total[node]:
                total_by[number] += total[node]
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
        rows.sort(key=lambda row: (-row.own, -row.total, row.frame))
        return rows

    def _look(self) -> None:
        """Find the outermost among the nodes that are new."""
        tree = self._tree
        parent, frame_of = tree.parent, tree.frame_of
        for node in range(self._looked_at, len(tree)):
            number, above = frame_of[node], parent[node]
            while above > 0 and frame_of[above] != number:
                above = parent[above]
            if above <= 0:
                self._outermost.append((node, number))
        self._looked_at = len(tree)
