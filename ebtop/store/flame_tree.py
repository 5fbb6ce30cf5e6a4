"""A call tree with weights that is cheap to feed and cheap to ask.

Nodes are small integers; node 0 is the root. Feeding a stack moves only the weight of the node it ends in;
what changed is carried up to the inclusive totals when they are asked for, so a tree nobody looks at costs
next to nothing, and taking an old second out of a window is adding a negative weight.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from ebtop.store.records import Frame

_FRAME_BITS = 28
_TYPICAL_DEPTH = 16
ROOT = Frame("all", "root", "")


class FlameTree:
    """Merged stacks. `own[n]` is the weight of what ended in node n; siblings are in name order."""

    __slots__ = (
        "_changed",
        "_children",
        "_frame_numbers",
        "_index",
        "_total",
        "frame_of",
        "frames",
        "own",
        "parent",
    )

    def __init__(self) -> None:
        self.own: list[int] = [0]
        self.parent: list[int] = [-1]
        self.frames: list[Frame] = [ROOT]
        """Every distinct frame."""
        self.frame_of: list[int] = [0]
        """Node -> its place in `frames`."""
        self._frame_numbers: dict[Frame, int] = {ROOT: 0}
        self._children: list[list[int] | int] = [0]
        """A list only where there are several; 0 = none."""
        self._index: dict[int, int] = {}
        """Parent and frame -> child, of parents with several."""
        self._total: list[int] = [0]
        self._changed: dict[int, int] = {}
        """Weights not yet carried up, by the node they ended in."""

    def __len__(self) -> int:
        return len(self.own)

    def add(self, frames: Sequence[Frame], weight: int) -> int:
        """Count one stack, the outermost node first; returns the node it ends in."""
        node, children, frame_of = 0, self._children, self.frame_of
        numbers = self._numbers(frames)
        for depth, number in enumerate(numbers):
            child = children[node]
            if not isinstance(child, int):
                child = self._index.get(node << _FRAME_BITS | number, 0)
            elif child and frame_of[child] != number:
                child = 0
            if not child:
                node = self._new_chain(node, numbers[depth:])
                break
            node = child
        if weight:
            self.shift(node, weight)
        return node

    def shift(self, node: int, weight: int) -> None:
        """Change a node's own weight; a negative number takes some out again."""
        self.own[node] += weight
        self._changed[node] = self._changed.get(node, 0) + weight

    @property
    def total(self) -> Sequence[int]:
        """The weight in a node and below it, by node."""
        if self._changed:
            if len(self._changed) * _TYPICAL_DEPTH < len(self.own):
                self._carry_up()
            else:
                self._sum_up()
            self._changed.clear()
        return self._total

    def frame(self, node: int) -> Frame:
        return self.frames[self.frame_of[node]]

    def children(self, node: int) -> Sequence[int]:
        children = self._children[node]
        if isinstance(children, int):
            return (children,) if children else ()
        return children

    def path(self, node: int) -> list[int]:
        """The nodes from the root's child down to `node`; empty for the root."""
        nodes = []
        while node > 0:
            nodes.append(node)
            node = self.parent[node]
        return nodes[::-1]

    def frames_to(self, node: int) -> list[Frame]:
        """The frames of `path(node)`."""
        return [self.frame(n) for n in self.path(node)]

    def heaviest(self, frame: Frame) -> int:
        """Of the nodes with that frame the heaviest, the outermost of equals; 0 when there is none."""
        number, total = self._frame_numbers.get(frame), self.total
        return max((n for n, f in enumerate(self.frame_of) if f == number), key=total.__getitem__, default=0)

    def compacted(self) -> tuple[FlameTree, dict[int, int]]:
        """A copy without the nodes that have no weight; and old number -> new number of all others."""
        copy = FlameTree()
        renumbered = copy.graft(self)
        for old, new in renumbered.items():
            if self.own[old]:
                copy.shift(new, self.own[old])
        return copy, renumbered

    def graft(self, other: FlameTree) -> dict[int, int]:
        """Have the nodes of another tree that have weight there; without the weights. Their number there -> here."""
        total, numbers = other.total, {0: 0}
        for node in range(1, len(other)):
            if total[node]:
                numbers[node] = self._child(numbers[other.parent[node]], other.frame(node))
        return numbers

    def _carry_up(self) -> None:
        total, parent = self._total, self.parent
        for node, weight in self._changed.items():
            while weight and node >= 0:
                total[node] += weight
                node = parent[node]

    def _sum_up(self) -> None:
        total, parent = self.own[:], self.parent
        # A child always has a higher number than its parent, so one backward pass sums every subtree.
        for node in range(len(total) - 1, 0, -1):
            if total[node]:
                total[parent[node]] += total[node]
        self._total = total

    def _child(self, parent: int, frame: Frame) -> int:
        """The child of `parent` with that frame, made if there is none."""
        (number,) = self._numbers((frame,))
        child = self._children[parent]
        if not isinstance(child, int):
            child = self._index.get(parent << _FRAME_BITS | number, 0)
        elif child and self.frame_of[child] != number:
            child = 0
        return child or self._new_chain(parent, (number,))

    def _numbers(self, frames: Sequence[Frame]) -> list[int]:
        """The places of frames in `frames`."""
        numbers = list(map(self._frame_numbers.get, frames))
        if None in numbers:
            for frame in frames:
                if frame not in self._frame_numbers:
                    self._frame_numbers[frame] = len(self.frames)
                    self.frames.append(frame)
            return list(map(self._frame_numbers.__getitem__, frames))
        return numbers  # type: ignore[return-value]  # none of them is None

    def _new_chain(self, parent: int, numbers: Sequence[int]) -> int:
        """New nodes with these frames, each the child of the one before; returns the last. Most of a new stack is that,
        so they are made all at once."""
        nodes = list(range(len(self.own), len(self.own) + len(numbers)))
        nothing = [0] * len(nodes)
        self.own += nothing
        self._total += nothing
        self.frame_of += numbers
        self.parent.append(parent)
        self.parent += nodes[:-1]
        self._children += nodes[1:]
        self._children.append(0)
        self._adopt(parent, nodes[0])
        return nodes[-1]

    def _adopt(self, parent: int, child: int) -> None:
        siblings = self._children[parent]
        if not siblings:
            self._children[parent] = child
            return
        if isinstance(siblings, int):
            self._index[parent << _FRAME_BITS | self.frame_of[siblings]] = siblings
            siblings = self._children[parent] = [siblings]
        self._index[parent << _FRAME_BITS | self.frame_of[child]] = child
        insort(siblings, child, key=self.frame)
