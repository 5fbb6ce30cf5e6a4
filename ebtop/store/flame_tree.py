"""A call tree with sample counts that is cheap to feed, and a sliding window over one.

Nodes are small integers; node 0 is the root. Feeding a stack moves only the count of the node it ends in;
the inclusive totals are summed bottom-up when they are asked for, so a tree nobody looks at costs next
to nothing, and taking an old second out of the window is adding a negative count.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence

from ebtop.store.records import Frame, StackRecord

_FRAME_BITS = 28
ROOT = Frame("all", "root", "")
CUT = Frame("[cut]", "cut", "")
"""Stands where the outer frames of an incomplete stack would be."""


class FlameTree:
    """Merged stacks, root first. `own[n]` counts samples that ended in node n; siblings are in name order."""

    __slots__ = ("_children", "_dirty", "_frame_ids", "_frame_of", "_frames", "_index", "_total", "own", "parent")

    def __init__(self) -> None:
        self.own: list[int] = [0]
        self.parent: list[int] = [-1]
        self._frames: list[Frame] = [ROOT]
        self._frame_ids: dict[Frame, int] = {ROOT: 0}
        self._frame_of: list[int] = [0]
        self._children: list[list[int]] = [[]]
        self._index: dict[int, int] = {}
        self._total: list[int] = [0]
        self._dirty = False

    def __len__(self) -> int:
        return len(self.own)

    def add(self, frames: Iterable[Frame], samples: int) -> int:
        """Count `samples` on one stack, root first; returns the node it ends in."""
        node = 0
        for frame in frames:
            node = self._child(node, frame)
        self.shift(node, samples)
        return node

    def shift(self, node: int, samples: int) -> None:
        """Change a node's own count; a negative number takes samples out again."""
        self.own[node] += samples
        self._dirty = True

    @property
    def total(self) -> Sequence[int]:
        """Samples in a node or below it, by node."""
        if self._dirty:
            total = self.own[:]
            # A child always has a higher number than its parent, so one backward pass sums every subtree.
            for node in range(len(total) - 1, 0, -1):
                if total[node]:
                    total[self.parent[node]] += total[node]
            self._total, self._dirty = total, False
        elif len(self._total) < len(self.own):
            self._total.extend([0] * (len(self.own) - len(self._total)))
        return self._total

    def frame(self, node: int) -> Frame:
        return self._frames[self._frame_of[node]]

    def children(self, node: int) -> Sequence[int]:
        return self._children[node]

    def path(self, node: int) -> list[int]:
        """The nodes from the root's child down to `node`; empty for the root."""
        nodes = []
        while node > 0:
            nodes.append(node)
            node = self.parent[node]
        return nodes[::-1]

    def compacted(self, keep: Iterable[int] = ()) -> tuple[FlameTree, dict[int, int]]:
        """A copy without the nodes that have no samples, but with `keep` and what leads there.

        Returns the copy and old number -> new number of every node that is left.
        """
        total = self.total
        wanted = {ancestor for node in keep for ancestor in self.path(node)}
        copy, renumbered = FlameTree(), {0: 0}
        copy.own[0] = self.own[0]
        copy._dirty = True
        for node in range(1, len(self)):
            if total[node] or node in wanted:
                parent = renumbered[self.parent[node]]
                renumbered[node] = copy._child(parent, self.frame(node))
                copy.own[renumbered[node]] = self.own[node]
        return copy, renumbered

    def _child(self, parent: int, frame: Frame) -> int:
        """The child of `parent` with that frame, made if there is none."""
        frame_id = self._frame_ids.get(frame)
        if frame_id is None:
            frame_id = self._frame_ids[frame] = len(self._frames)
            self._frames.append(frame)
        child = self._index.get(parent << _FRAME_BITS | frame_id)
        return self._new_child(parent, frame_id) if child is None else child

    def _new_child(self, parent: int, frame_id: int) -> int:
        child = self._index[parent << _FRAME_BITS | frame_id] = len(self.own)
        self.own.append(0)
        self.parent.append(parent)
        self._frame_of.append(frame_id)
        self._children.append([])
        insort(self._children[parent], child, key=self._sort_key)
        return child

    def _sort_key(self, node: int) -> tuple[str, int]:
        return self.frame(node).name, self._frame_of[node]


class FlameWindow:
    """The samples of the last `seconds`, as a tree grouped by process name."""

    COMPACT_ABOVE = 8192

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.tree = FlameTree()
        self._spans: deque[tuple[int, list[tuple[int, int]], int, float]] = deque()
        self._compact_at = self.COMPACT_ABOVE
        self.samples = 0
        self.whole_samples = 0
        """Samples whose stack was complete."""
        self.sampled_s = 0.0
        """Seconds of sampling in the window."""

    def add(self, time_ns: int, stacks: Iterable[StackRecord], sampled_s: float) -> None:
        """Count stacks drained at `time_ns` and let go of what is older than the window."""
        leaves, whole = [], 0
        for stack in stacks:
            leaves.append((self.tree.add(frames_of(stack), stack.samples), stack.samples))
            whole += stack.samples if stack.complete else 0
        if leaves or sampled_s:
            self._spans.append((time_ns, leaves, whole, sampled_s))
            self._count(leaves, whole, sampled_s)
        oldest = time_ns - int(self.seconds * 1e9)
        while self._spans and self._spans[0][0] <= oldest:
            _, leaves, whole, sampled_s = self._spans.popleft()
            leaves = [(node, -samples) for node, samples in leaves]
            for node, samples in leaves:
                self.tree.shift(node, samples)
            self._count(leaves, -whole, -sampled_s)

    def compact(self, keep: Iterable[int] = ()) -> dict[int, int]:
        """Forget stacks that left the window once they outnumber the rest; returns renumbered nodes, mostly none."""
        if len(self.tree) < self._compact_at:
            return {}
        self.tree, renumbered = self.tree.compacted([*keep, *(node for span in self._spans for node, _ in span[1])])
        self._spans = deque(
            (time_ns, [(renumbered[node], samples) for node, samples in leaves], whole, sampled_s)
            for time_ns, leaves, whole, sampled_s in self._spans
        )
        self._compact_at = max(self.COMPACT_ABOVE, 2 * len(self.tree))
        return renumbered

    def _count(self, leaves: list[tuple[int, int]], whole: int, sampled_s: float) -> None:
        self.samples += sum(samples for _, samples in leaves)
        self.whole_samples += whole
        self.sampled_s += sampled_s


def frames_of(stack: StackRecord) -> Iterable[Frame]:
    """The frames drawn for a stack: its process, a marker when the stack is cut, then what was seen."""
    yield Frame(stack.comm or f"[pid {stack.pid}]", "process", "")
    if not stack.complete:
        yield CUT
    yield from stack.frames
