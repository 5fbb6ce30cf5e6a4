"""A sliding window of stacks as a call tree.

The tree is weighed in what its kind of stacks is about. Of CPU samples that is CPU time (samples x period), so that
shares stay right when the sampling rate is changed; where the period is not known a sample weighs 1. Off-CPU stacks
weigh the ns they were blocked, stacks of page faults the faults.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ebtop.store.flame_paths import COMMAND, THREAD, WAKER, Shape, path_of, waker_of
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame, StackRecord
from ebtop.store.rows import StackSpan

_StackKey = tuple[str, int, str, str, bool, tuple[Frame, ...]]


class _Second(NamedTuple):
    """One drain of the sampler."""

    time_ns: int
    leaves: list[tuple[int, int]]
    """(node, weight)."""
    periods: Counter[int]
    """Samples by their period in ns."""
    whole: int
    whole_weight: int
    sampled_s: float


class FlameWindow:
    """The stacks of one kind of the last `seconds` in one shape."""

    COMPACT_ABOVE = 8192

    def __init__(self, seconds: float, shape: Shape = Shape(), kind: str = "cpu") -> None:  # noqa: B008  (immutable)
        """`kind` is that of the stacks that will be added."""
        self.seconds = seconds
        self.shape = shape
        self.kind = kind
        self.tree = FlameTree()
        self.samples = 0
        self.whole_samples = 0
        """Samples whose stack was complete."""
        self.whole_weight = 0
        """What they weigh."""
        self.sampled_s = 0.0
        """Seconds of sampling in the window."""
        self._seconds: deque[_Second] = deque()
        self._periods: Counter[int] = Counter()
        self._period_ns = 0
        """The latest that is known."""
        self._leaves: dict[_StackKey, int] = {}
        """Where a stack that was seen before ends."""
        self._compact_at = self.COMPACT_ABOVE

    def add(self, time_ns: int, stacks: Iterable[StackRecord], sampled_s: float) -> None:
        """Count stacks drained at `time_ns` and let go of what is older than the window."""
        tree, leaves, periods, whole, whole_weight = self.tree, [], Counter[int](), 0, 0
        for stack in stacks:
            self._period_ns = stack.period_ns or self._period_ns
            weight = stack.samples * (self._period_ns or 1) if self.kind == "cpu" else stack.weight
            node = self._leaf(stack)
            leaves.append((node, weight))
            periods[self._period_ns] += stack.samples
            if stack.complete:
                whole += stack.samples
                whole_weight += weight
        tree.shift_all(leaves)
        if leaves or sampled_s:
            self._seconds.append(_Second(time_ns, leaves, periods, whole, whole_weight, sampled_s))
            self._periods += periods
            self._count(periods.total(), whole, whole_weight, sampled_s)
        self._forget_until(time_ns - int(self.seconds * 1e9))

    @property
    def exact(self) -> bool:
        """Whether all samples weigh the same, so that `samples_of` is a count and no estimate."""
        return len(self._periods) < 2

    def samples_of(self, weight: int) -> int:
        """How many samples a weight is."""
        whole = self.tree.total[0]
        return round(weight * self.samples / whole) if whole else 0

    @property
    def weight(self) -> int:
        """Of all stacks."""
        return self.tree.total[0]

    def cpus_of(self, weight: int) -> float | None:
        """How many CPUs it kept busy, on average over the window. None: the sampling period is not known."""
        if not self.sampled_s or 0 in self._periods or not self._periods:
            return None
        return weight / 1e9 / self.sampled_s

    def rate_of(self, weight: int) -> float | None:
        """Weight a second, on average over the window. None: it is not known how long that is."""
        return weight / self.sampled_s if self.sampled_s else None

    @property
    def crowded(self) -> bool:
        """Whether nodes that nothing ends in any more may outnumber the others: time for `compacted`."""
        return len(self.tree) >= self._compact_at

    def compacted(self) -> FlameWindow:
        """The same without such nodes. This one must not be changed meanwhile."""
        copy = FlameWindow(self.seconds, self.shape, self.kind)
        copy.tree, renumbered = self.tree.compacted()
        copy._seconds.extend(
            second._replace(leaves=[(renumbered[node], weight) for node, weight in second.leaves])
            for second in self._seconds
        )
        copy._periods, copy._period_ns = self._periods.copy(), self._period_ns
        copy._count(self.samples, self.whole_samples, self.whole_weight, self.sampled_s)
        copy._leaves = {key: renumbered[node] for key, node in self._leaves.items() if self.tree.own[node]}
        copy._compact_at = max(self.COMPACT_ABOVE, 2 * len(copy.tree))
        return copy

    def _leaf(self, stack: StackRecord) -> int:
        split = self.shape.split
        key = (
            stack.comm,
            stack.pid if split != COMMAND or not stack.comm else 0,
            stack.thread if split == THREAD else waker_of(stack) + str(stack.waker_pid) if split == WAKER else "",
            stack.state,
            stack.complete,
            stack.frames,
        )
        node = self._leaves.get(key)
        if node is None:
            node = self._leaves[key] = self.tree.add(path_of(stack, self.shape), 0)
        return node

    def _forget_until(self, oldest_ns: int) -> None:
        while self._seconds and self._seconds[0].time_ns <= oldest_ns:
            second = self._seconds.popleft()
            self.tree.shift_all((node, -weight) for node, weight in second.leaves)
            self._periods -= second.periods
            self._count(-second.periods.total(), -second.whole, -second.whole_weight, -second.sampled_s)

    def _count(self, samples: int, whole: int, whole_weight: int, sampled_s: float) -> None:
        self.samples += samples
        self.whole_samples += whole
        self.whole_weight += whole_weight
        self.sampled_s += sampled_s


def gather(
    spans: Iterable[StackSpan],
    until_ns: int,
    seconds: float,
    shape: Shape,
    cancelled: Callable[[], bool],
    kind: str = "cpu",
) -> FlameWindow:
    """A window of the spans up to a moment. Takes a while (about 2 us a stack, more for new ones): for a thread."""
    window = FlameWindow(seconds, shape, kind)
    for span in spans:
        if cancelled():
            break
        if span.time_ns <= until_ns:
            window.add(span.time_ns, *span.of(kind))
    return window
