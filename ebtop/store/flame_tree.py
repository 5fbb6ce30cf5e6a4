"""A call tree with weights that is cheap to feed and cheap to ask.

Nodes are small integers; node 0 is the root. Feeding a stack moves only the weight of the node it ends in;
the inclusive totals are summed when they are asked for, so a tree nobody looks at costs next to nothing, and
taking an old second out of a window is adding a negative weight.

Most of a tree of stacks is runs of calls that never part: nodes with one child, that no stack ends in. All of
a run have the same total, so the totals are summed and kept by run, of which there are a tenth as many.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence

from ebtop.store.records import Frame

_FRAME_BITS = 28
ROOT = Frame("all", "root", "")


class _Totals(Sequence[int]):
    """Weights by node, that are kept by the first nodes of runs. Of one moment: to be asked for anew after a change."""

    __slots__ = ("_head", "_of_run")

    def __init__(self, head: list[int], of_run: list[int]) -> None:
        self._head = head
        self._of_run = of_run

    def __len__(self) -> int:
        return len(self._of_run)

    def __getitem__(self, node: int) -> int:  # type: ignore[override]  # no slices
        return self._of_run[self._head[node]]


class FlameTree:
    """Merged stacks. `own[n]` is the weight of what ended in node n; siblings are in name order."""

    __slots__ = (
        "_children",
        "_frame_numbers",
        "_head",
        "_heads",
        "_index",
        "_last",
        "_stale",
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
        self._head: list[int] = [0]
        """Node -> the first node of its run."""
        self._heads: list[int] = []
        """Those first nodes, in order, without the root."""
        self._last: list[int] = [0]
        """First node of a run -> its last one, the only one that stacks may end in or several children have."""
        self._total = _Totals(self._head, [0])
        self._stale = False
        """Whether weights were shifted after `_total` was summed."""

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
        self.shift(node, weight)
        return node

    def shift(self, node: int, weight: int) -> None:
        """Change a node's own weight; a negative number takes some out again."""
        if self._last[self._head[node]] != node:
            self._part(node)
        self.shift_all(((node, weight),))

    def shift_all(self, ends: Iterable[tuple[int, int]]) -> None:
        """Change the own weights of nodes that `add` said stacks end in."""
        own = self.own
        for node, weight in ends:
            own[node] += weight
        self._stale = True

    @property
    def total(self) -> Sequence[int]:
        """The weight in a node and below it, by node."""
        if self._stale:
            self._sum_up()
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
        """A copy without the nodes that have no weight; and old number -> new number of all others. Stacks end in those
        of the copy that have own weight."""
        copy = FlameTree()
        renumbered = copy.graft(self)
        for old, new in renumbered.items():
            if self.own[old]:
                copy.shift(new, self.own[old])
        copy._find_runs()
        return copy, renumbered

    def graft(self, other: FlameTree) -> dict[int, int]:
        """Have the nodes of another tree that have weight there; without the weights. Their number there -> here."""
        total, numbers = other.total, {0: 0}
        for node in range(1, len(other)):
            if total[node]:
                numbers[node] = self._child(numbers[other.parent[node]], other.frame(node))
        return numbers

    def _sum_up(self) -> None:
        own, head, last, parent = self.own, self._head, self._last, self.parent
        total = [0] * len(own)
        # A child always has a higher number than its parent, so one backward pass sums every subtree.
        for first in reversed(self._heads):
            if weight := total[first] + own[last[first]]:
                total[first] = weight
                total[head[parent[first]]] += weight
        total[0] += own[0]
        self._total = _Totals(head, total)
        self._stale = False

    def _part(self, node: int) -> None:
        """Have a run end in `node` and another begin in its child."""
        first = self._children[node]
        assert isinstance(first, int)  # only the last one of a run has several
        head, last, old = self._head, self._last, self._head[node]
        last[first], last[old] = last[old], node
        insort(self._heads, first)
        self._stale = True
        below = last[first]
        while below != node:
            head[below] = first
            below = self.parent[below]

    def _find_runs(self) -> None:
        """Make the runs as long as they can be, where nothing ends in a node that has no weight of its own."""
        self._head, self._heads, self._last = [0], [], list(range(len(self.own)))
        for node in range(1, len(self.own)):
            parent = self.parent[node]
            if not parent or self.own[parent] or not isinstance(self._children[parent], int):
                self._head.append(node)
                self._heads.append(node)
            else:
                self._head.append(self._head[parent])
                self._last[self._head[parent]] = node

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
        self._stale = True
        self._heads.append(nodes[0])
        self._head += [nodes[0]] * len(nodes)
        self._last += nodes[-1:] * len(nodes)
        self.own += nothing
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
            if self._last[self._head[parent]] != parent:
                self._part(parent)
            self._index[parent << _FRAME_BITS | self.frame_of[siblings]] = siblings
            siblings = self._children[parent] = [siblings]
        self._index[parent << _FRAME_BITS | self.frame_of[child]] = child
        insort(siblings, child, key=self.frame)
