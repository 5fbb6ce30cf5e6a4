"""A call tree of stacks that grows where it is looked at: of a large one a report and a drawing show very little.

Nodes are small integers; node 0 is the root.
"""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.store.flame_tree import ROOT
from ebtop.store.records import Frame


class StackTree:
    """Siblings are in name order. Weights are not negative."""

    def __init__(self, paths: Sequence[Sequence[Frame]], weights: Sequence[int]) -> None:
        """The paths of stacks, the outermost frame first, and the weight of each."""
        self._paths, self._weights = paths, weights
        self.total: list[int] = [sum(weights)]
        """Node -> the weight in it and below it, of the nodes there are so far."""
        self._frames: list[Frame] = [ROOT]
        self._parents: list[int] = [-1]
        self._depths: list[int] = [0]
        self._stacks: list[Sequence[int]] = [range(len(paths))]
        """Node -> the places of the stacks that go through it."""
        self._own: dict[int, int] = {}
        self._children: dict[int, Sequence[int]] = {}

    def children(self, node: int) -> Sequence[int]:
        found = self._children.get(node)
        if found is None:
            found = self._children[node] = self._grow(node)
        return found

    def own(self, node: int) -> int:
        """The weight of what ends in it."""
        self.children(node)
        return self._own[node]

    def frame(self, node: int) -> Frame:
        return self._frames[node]

    def frames_to(self, node: int) -> list[Frame]:
        """The frames from the root's child down to `node`; empty for the root."""
        frames = []
        while node > 0:
            frames.append(self._frames[node])
            node = self._parents[node]
        return frames[::-1]

    def _grow(self, node: int) -> Sequence[int]:
        """Part the stacks that go through a node by where they go on."""
        depth, paths, weights = self._depths[node], self._paths, self._weights
        by_frame: dict[Frame, list[int]] = {}
        own = 0
        for stack in self._stacks[node]:
            path = paths[stack]
            if len(path) == depth:
                own += weights[stack]
                continue
            below = by_frame.get(path[depth])
            if below is None:
                by_frame[path[depth]] = [stack]
            else:
                below.append(stack)
        self._own[node] = own
        first = len(self.total)
        for frame in sorted(by_frame):
            below = by_frame[frame]
            self.total.append(sum([weights[stack] for stack in below]))
            self._frames.append(frame)
            self._parents.append(node)
            self._depths.append(depth + 1)
            self._stacks.append(below)
        return range(first, len(self.total))
