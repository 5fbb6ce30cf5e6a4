"""A moment that was marked, to be compared with a later one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.store.flame_diff import FlameDiff
from ebtop.store.flame_paths import Shape
from ebtop.store.flame_tree import FlameTree
from ebtop.store.flame_window import FlameWindow, gather
from ebtop.store.keeper import Keeper
from ebtop.store.rows import Snapshot, StackSpan
from ebtop.store.selection import Selection
from ebtop.store.snapshot_diff import SnapshotDiff, compare_snapshots
from ebtop.units import wall_clock, wall_date

WINDOW_S = 60.0
"""The stacks of so long before each of the two moments are compared."""
_LEAST_S = 2.0


class Side(NamedTuple):
    """How it was at one moment."""

    snapshot: Snapshot
    tree: FlameTree
    samples: int
    seconds: float
    """Of sampling."""


class Baseline:
    """The marked moment, as each selection that was asked for saw it."""

    apart = False
    """It is of another run: what its tables and those of a moment count has nothing to do with each other."""

    def __init__(self, time_ns: int, name: str = "") -> None:
        self.time_ns = time_ns
        self.name = name or wall_clock(time_ns)
        self._sides: dict[Selection | None, Side] = {}

    def keep(self, selection: Selection | None, side: Side) -> None:
        self._sides[selection] = side

    def side(self, timeline: Keeper, selection: Selection | None) -> Side:
        """For a worker thread, as it may have to be looked up. Raises EbtopError where that is kept no more."""
        found = self._sides.get(selection)
        if found is None:
            if self.time_ns < timeline.kept.oldest_ns:
                raise EbtopError(
                    f"{wall_clock(self.time_ns)} is not kept any more for this view",
                    "",
                    "press b to mark another moment",
                )
            spans = timeline.spans(WINDOW_S, self.time_ns, selection)
            found = side_of(timeline.at(self.time_ns, selection), spans, WINDOW_S)
            self._sides[selection] = found
        return found


class SavedBaseline(Baseline):
    """The end of a recording that was kept by name: how a node is when all is well."""

    apart = True

    def __init__(self, recording: Keeper, name: str) -> None:
        end_ns = recording.kept.newest_ns
        super().__init__(end_ns, f"{name} of {wall_date(end_ns)}")
        self._recording = recording

    def side(self, timeline: Keeper, selection: Selection | None) -> Side:
        """Of the recording, whatever is kept besides."""
        return super().side(self._recording, selection)


class Difference(NamedTuple):
    """What a page shows."""

    before: Side
    after: Side
    flame: FlameDiff
    tables: SnapshotDiff
    baseline: str
    """Its name."""
    reversed: bool
    """The moment that is shown is earlier than the baseline, which is then the later side."""


class DiffWindow(FlameWindow):
    """The tree of a difference where an icicle expects a window."""

    def __init__(self, diff: FlameDiff) -> None:
        super().__init__(WINDOW_S)
        self.diff = diff
        self.tree = diff.tree


def side_of(snapshot: Snapshot, spans: Sequence[StackSpan], seconds: float) -> Side:
    """Takes a while: for a worker thread."""
    window = gather(spans, snapshot.time_ns, seconds, Shape(), lambda: False)
    return Side(snapshot, window.tree.compacted()[0], window.samples, window.sampled_s)


def difference(
    baseline: Baseline, then: Side, snapshot: Snapshot, spans: Callable[[float], Sequence[StackSpan]]
) -> Difference:
    """Between the baseline, which was so `then`, and a moment. Of the same run the earlier one comes first, and what is
    after the baseline only counts since it was marked.

    For a worker thread.
    """
    passed = (snapshot.time_ns - then.snapshot.time_ns) / 1e9
    follows = baseline.apart or passed >= 0
    seconds = WINDOW_S if baseline.apart or not follows else min(WINDOW_S, max(_LEAST_S, passed))
    now = side_of(snapshot, spans(seconds), seconds)
    before, after = (then, now) if follows else (now, then)
    tables = compare_snapshots(before.snapshot, after.snapshot, apart=baseline.apart)
    flame = FlameDiff(before.tree, after.tree, (before.samples, after.samples))
    return Difference(before, after, flame, tables, baseline.name, not follows)
