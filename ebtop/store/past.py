"""How it was at any moment that is kept, in memory or in a file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from threading import Lock

from ebtop.store.history.chapter import StoredChapter, chapter_spans
from ebtop.store.history.history import SECOND_NS, Reach
from ebtop.store.history.replay import Replay
from ebtop.store.history.thinning import Thinning
from ebtop.store.rows import Snapshot, StackSpan, with_stacks
from ebtop.store.scene import Scene, stack_span
from ebtop.store.selection import Selection
from ebtop.store.stack_queue import StackQueue
from ebtop.store.store import Store

_TICK_NS = SECOND_NS
"""A snapshot of the past has the stacks of so long before it, as one of a view that is looked at once a second."""
SPANS_NS = 65 * SECOND_NS
"""The stacks of so long are at hand for a selection: of a minute before a snapshot that is not the newest."""
SAMPLES_NS = 15 * SECOND_NS
"""The rate of samples is that of the last drain, which is no older than this."""
_SCANS_NS = 65 * SECOND_NS
"""What a scan older than this has shown is in later scans too, or ended longer ago than tables keep it. Only what
adds up may then lack it: a connection that no event told of, and that ended since, was opened by nobody."""
_SEEDED_RECORDS, _SEEDED_CONNECTIONS = 1_000_000, 2_000_000
"""For a selection everything that is kept is gone through, but no more than so many records and so many connections of
scans older than `_SCANS_NS`: a few seconds' work."""


class Past:
    """Goes back to moments. All methods may be called from any thread, take a while, and raise CorruptData where what
    is kept is a file that somebody damaged.

    A later moment of the same selection (the same object) takes only what came in between.
    """

    def __init__(self, reach: Callable[[], Reach], window_ns: int | None = None) -> None:
        """`reach` gives what there is now. For a selection no more than `window_ns` before a moment is gone through;
        None = all there is."""
        self._reach = reach
        self._window_ns = window_ns
        self._standing: _Standing | None = None
        self._going_back = Lock()

    def at(self, time_ns: int, selection: Selection | None = None) -> Snapshot:
        """How it was at a moment; at the oldest one for an older moment, which the snapshot's time tells."""
        with self._going_back:
            standing = self._at(time_ns, selection, SAMPLES_NS if selection is None else SPANS_NS)
            return Store(lambda: time_ns).snapshot() if standing is None else standing.snapshot()

    def spans(self, seconds: float, until_ns: int, selection: Selection | None = None) -> list[StackSpan]:
        """The stacks that came in during so many seconds up to a moment, oldest first."""
        spans_ns = int(seconds * SECOND_NS)
        if selection is None:
            return spans_of_everything(self._reach(), until_ns - spans_ns, until_ns)
        with self._going_back:
            standing = self._at(until_ns, selection, max(spans_ns, SPANS_NS))
            return [] if standing is None else standing.spans(seconds)

    def _at(self, time_ns: int, selection: Selection | None, spans_ns: int) -> _Standing | None:
        """None: nothing has come in."""
        reach = self._within(self._reach(), time_ns, selection)
        if not reach.chapters:
            return None
        time_ns = max(time_ns, reach.chapters[0].start_ns)
        standing = self._standing
        if standing is None or not standing.leads_to(selection, reach, time_ns, spans_ns):
            self._standing = None
            standing = _Standing(selection, reach, time_ns, spans_ns)
        standing.go_on(reach, time_ns)
        self._standing = standing
        return standing

    def _within(self, reach: Reach, time_ns: int, selection: Selection | None) -> Reach:
        """Without the chapters that ended too long before."""
        if selection is None or self._window_ns is None:
            return reach
        first = bisect_right(reach.chapters, time_ns - self._window_ns, key=attrgetter("end_ns"))
        first = min(first, max(0, len(reach.chapters) - 1))
        return reach._replace(chapters=reach.chapters[first:], segments=reach.segments[first:])


class _Standing:
    """A store at a moment of the past, which can go on to a later one."""

    def __init__(self, selection: Selection | None, reach: Reach, time_ns: int, spans_ns: int) -> None:
        self.selection = selection
        self.now_ns = time_ns
        self._spans_ns = spans_ns
        self._thinning = Thinning()
        predicate = None if selection is None else selection.predicate()
        self._scene = Scene(lambda: self.now_ns, predicate, spans_ns)
        chapters = _chapters_until(reach, time_ns)
        if selection is None:
            begin = chapters[-1]
            self._replay = Replay(begin, stacks_from_ns=time_ns - spans_ns)
        else:
            begin = first_for_selection(chapters)
            self._replay = replay_for(selection, chapters, time_ns, spans_ns)
        self._scene.begin(begin.state())

    def leads_to(self, selection: Selection | None, reach: Reach, time_ns: int, spans_ns: int) -> bool:
        """Whether going on from here is right, and less work than beginning anew."""
        if selection is not self.selection or time_ns < self.now_ns or spans_ns > self._spans_ns:
            return False
        if not self._replay.can_go_on(reach):
            return False
        return selection is not None or _chapters_until(reach, time_ns)[-1].start_ns <= self._replay.start_ns

    def go_on(self, reach: Reach, time_ns: int) -> None:
        for arrived in self._replay.until(time_ns, reach):
            self._scene.feed(self._thinning.thinned(arrived, time_ns))
        self.now_ns = time_ns

    def snapshot(self) -> Snapshot:
        queue = StackQueue()
        for span in self._scene.spans(self.now_ns - _TICK_NS, self.now_ns):
            queue.add(list(span.stacks), span.sampled_s, span.sampled_kind)
        return with_stacks(self._scene.snapshot(), *queue.take())

    def spans(self, seconds: float) -> list[StackSpan]:
        return self._scene.spans(self.now_ns - int(seconds * SECOND_NS), self.now_ns)


def _chapters_until(reach: Reach, time_ns: int) -> Sequence[StoredChapter]:
    """Those that began before or at a moment, at least the first one."""
    return reach.chapters[: max(1, bisect_right(reach.chapters, time_ns, key=attrgetter("start_ns")))]


def first_for_selection(chapters: Sequence[StoredChapter]) -> StoredChapter:
    return chapters[_first_within([chapter.records for chapter in chapters], _SEEDED_RECORDS)]


def replay_for(selection: Selection, chapters: Sequence[StoredChapter], now_ns: int, spans_ns: int) -> Replay:
    """From `first_for_selection` on. A selection that learns needs all stacks, and pushes nothing."""
    pushed = selection.pushed()
    first_scanned = chapters[_first_within([chapter.scanned for chapter in chapters], _SEEDED_CONNECTIONS)]
    return Replay(
        first_for_selection(chapters),
        scans_from_ns=min(now_ns - _SCANS_NS, first_scanned.start_ns + 1),
        stacks_from_ns=0 if pushed is None else now_ns - spans_ns,
        pushed=pushed,
    )


def _first_within(amounts: Sequence[int], limit: int) -> int:
    """From which one on all together are no more than the limit; the last one at least."""
    first = len(amounts) - 1
    left = limit - amounts[first]
    while first and amounts[first - 1] <= left:
        first -= 1
        left -= amounts[first]
    return first


def spans_of_everything(reach: Reach, from_ns: int, until_ns: int) -> list[StackSpan]:
    spans: list[StackSpan] = []
    for chapter, segments in zip(reach.chapters, reach.segments, strict=True):
        if chapter.start_ns <= until_ns and from_ns <= chapter.end_ns:
            spans += chapter_spans(chapter, segments, from_ns, until_ns)
    for segment in reach.waiting:
        for arrived_ns, batch in segment.arrived:
            span = stack_span(batch)
            if from_ns < arrived_ns <= until_ns and (span.stacks or span.sampled_s):
                spans.append(span)
    return spans
