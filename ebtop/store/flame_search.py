"""Finding frames in a call tree that goes on growing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ebtop.store.flame_paths import title_of
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame


class Wanted(NamedTuple):
    """What is searched for."""

    text: str
    whole: bool = False
    """True: a frame of exactly this name. False: one that has the text in its name, pid or module, in any case."""

    def matcher(self) -> Callable[[Frame], bool]:
        text, low = self.text, self.text.lower()
        if self.whole:
            return lambda frame: frame.name == text
        return lambda frame: low in title_of(frame).lower() or low in frame.module.lower()


class FrameSearch:
    """Which nodes match. `update` looks only at what is new in the tree since the last time."""

    def __init__(self, tree: FlameTree, wanted: Wanted) -> None:
        self.wanted = wanted
        self.matches: list[int] = []
        """Nodes whose frame matches, callers before callees."""
        self._tree = tree
        self._matcher = wanted.matcher()
        self._frame_matches = bytearray()
        self._below = bytearray(1)
        """By node: it or one above it matches."""
        self._outermost: list[int] = []
        """Matching nodes with none above them: their totals count every sample once."""
        self.update()

    def update(self) -> None:
        tree, below, matches = self._tree, self._below, self.matches
        flags = self._frame_matches
        flags.extend(map(self._matcher, tree.frames[len(flags) :]))
        flags[0] = 0  # the root is no frame of anybody's
        start = len(below)
        for node, (number, parent) in enumerate(zip(tree.frame_of[start:], tree.parent[start:], strict=True), start):
            if flags[number]:
                matches.append(node)
                if not below[parent]:
                    self._outermost.append(node)
                below.append(1)
            else:
                below.append(below[parent])

    def matches_node(self, node: int) -> bool:
        return bool(self._frame_matches[self._tree.frame_of[node]])

    @property
    def weight(self) -> int:
        """Of the stacks that have a match anywhere, each counted once."""
        total = self._tree.total
        return sum([total[node] for node in self._outermost])

    @property
    def found(self) -> int:
        """How many matching nodes have weight."""
        total = self._tree.total
        return sum([1 for node in self.matches if total[node]])

    def heaviest_first(self) -> list[int]:
        """The matching nodes that have weight; a caller before a callee of the same weight."""
        total = self._tree.total
        found = [node for node in self.matches if total[node]]
        found.sort(key=total.__getitem__, reverse=True)
        return found
