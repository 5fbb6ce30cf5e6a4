"""Where the frames of a call tree go in a drawing that can be zoomed: the heaviest of them, the others as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

MOST_FRAMES = 8_000
"""Besides remainders. About 3 MB of SVG; a browser takes half a second for it."""


class Cell(NamedTuple):
    """One frame, or several too narrow to be drawn apart."""

    depth: int
    left: int
    """In units of weight from the left edge."""
    weight: int
    node: int
    """The frame; for a remainder the one that calls what is in it."""
    hidden: int = 0
    """Of a remainder: how many callees it stands for; 0 = a frame."""


class Tree(Protocol):
    """A call tree; node 0 is its root. No node has more weight than the one that calls it."""

    @property
    def total(self) -> Sequence[int]:
        """Node -> the weight in it and below it."""

    def children(self, node: int) -> Sequence[int]:
        """In name order."""


def cells(tree: Tree, most: int = MOST_FRAMES) -> list[Cell]:
    """Callers before callees, siblings from left to right in name order, remainders last."""
    total = tree.total
    if total[0] <= 0:
        return []
    least = _least(tree, most)
    found: list[Cell] = []
    waiting = [(0, 0, 0)]
    while waiting:
        node, depth, left = waiting.pop()
        found.append(Cell(depth, left, total[node], node))
        x, hidden, rest = left, 0, 0
        callees = []
        for child in tree.children(node):
            weight = total[child]
            if weight >= least:
                callees.append((child, depth + 1, x))
                x += weight
            elif weight > 0:
                hidden, rest = hidden + 1, rest + weight
        if rest >= least:
            found.append(Cell(depth + 1, x, rest, node, hidden))
        waiting += reversed(callees)
    return found


def depth_of(found: Sequence[Cell]) -> int:
    """How many rows they take."""
    return 1 + max((cell.depth for cell in found), default=0)


def _least(tree: Tree, most: int) -> int:
    """The least weight of a frame that is drawn, so that they are no more than `most`."""
    total = tree.total
    # The heaviest first: what is below the lightest of those that are drawn is not even looked at.
    waiting = [(-total[0], 0)]
    for _ in range(most):
        _, node = heappop(waiting)
        for child in tree.children(node):
            heappush(waiting, (-total[child], child))
        if not waiting:
            return 1
    return max(1, 1 - waiting[0][0])


Paint = Callable[[Cell], "Painted"]


class Painted(NamedTuple):
    """How a cell looks and what is said of it. Text is not escaped yet."""

    label: str
    style: str
    """A class of the drawing's style sheet."""
    words: str
    """More of it, for a tooltip; may have several lines."""
