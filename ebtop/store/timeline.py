"""The last minutes of everything: feeds live views, and tells how it was at any moment that is kept."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from threading import Lock
from typing import NamedTuple

from ebtop.store.history.chapter import Chapter, chapter_spans
from ebtop.store.history.history import SECOND_NS, History, Reach
from ebtop.store.history.replay import Replay
from ebtop.store.modules import Modules
from ebtop.store.records import Batch, ModuleFacts
from ebtop.store.rows import Rates, Snapshot, StackSpan, with_stacks
from ebtop.store.scene import Everything, Scene, stack_span
from ebtop.store.selection import Selection
from ebtop.store.stack_queue import StackQueue
from ebtop.store.store import Store
from ebtop.store.ticks import Tick, Ticks
from ebtop.store.view import View

__all__ = ["Kept", "Tick", "Timeline", "View"]

_TICK_NS = SECOND_NS
"""A snapshot of the past has the stacks of so long before it, as one of a view that is looked at once a second."""
_SPANS_NS = 65 * SECOND_NS
"""The stacks of so long are at hand for a selection: of a minute before a snapshot that is not the newest."""
_SAMPLES_NS = 15 * SECOND_NS
"""The rate of samples is that of the last drain, which is no older than this."""
_SCANS_NS = 65 * SECOND_NS
"""What a scan older than this has shown is in later scans too, or ended longer ago than tables keep it. Only what
adds up may then lack it: a connection that no event told of, and that ended since, was opened by nobody."""
_SEEDED_RECORDS, _SEEDED_CONNECTIONS = 1_000_000, 2_000_000
"""For a selection everything that is kept is gone through, but no more than so many records and so many connections of
scans older than `_SCANS_NS`: a few seconds' work."""
_FOREVER_NS = 1 << 63


class Kept(NamedTuple):
    """How much of the past there is."""

    oldest_ns: int
    """How far back it reaches; the same as `newest_ns` when nothing has come in."""
    newest_ns: int
    """When the latest batch came in."""
    bytes: int
    cap_bytes: int
    seen: int
    """Records that came in so far."""


class Note(NamedTuple):
    """What the kernel filtered from a moment on."""

    time_ns: int
    text: str


class _Past:
    """A store at a moment of the past, which can go on to a later one."""

    def __init__(self, selection: Selection | None, reach: Reach, time_ns: int, spans_ns: int) -> None:
        self.selection = selection
        self.now_ns = time_ns
        self._spans_ns = spans_ns
        predicate = None if selection is None else selection.predicate()
        self._scene = Scene(lambda: self.now_ns, predicate, spans_ns)
        chapters = _chapters_until(reach, time_ns)
        if selection is None:
            begin = chapters[-1]
            self._replay = Replay(begin, stacks_from_ns=time_ns - spans_ns)
        else:
            begin = _first_for_selection(chapters)
            self._replay = _replay_for(selection, chapters, time_ns, spans_ns)
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
            self._scene.feed(arrived)
        self.now_ns = time_ns

    def snapshot(self) -> Snapshot:
        queue = StackQueue()
        for span in self._scene.spans(self.now_ns - _TICK_NS, self.now_ns):
            queue.add(list(span.stacks), span.sampled_s, span.sampled_kind)
        return with_stacks(self._scene.snapshot(), *queue.take())

    def spans(self, seconds: float) -> list[StackSpan]:
        return self._scene.spans(self.now_ns - int(seconds * SECOND_NS), self.now_ns)


class Timeline:
    """The sink of a source. All methods may be called from any thread; which ones take a while is said there.

    `clock` is the wall clock, ns since the Unix epoch. A moment is when batches came in, not what they are about: the
    snapshot of a moment is what a view showed then.
    """

    def __init__(
        self, clock: Callable[[], int] = time.time_ns, keep_s: float = 600.0, cap_bytes: int = 64 << 20
    ) -> None:
        """Keeps `keep_s` seconds and up to two minutes more, or less where that would take more than `cap_bytes`."""
        keep_ns = int(keep_s * SECOND_NS)
        self._clock = clock
        self._cap_bytes = cap_bytes
        self._keep_ns = keep_ns
        self._started_ns = clock()
        self._lock = Lock()
        self._everything = Store(clock, keep_stacks=False)
        self._history = History(self._lock, keep_ns, cap_bytes)
        self._views: list[View] = []
        self._ticks = Ticks(keep_ns)
        self._modules = Modules()
        self._notes: list[Note] = []
        self._seen = 0
        self._past: _Past | None = None
        self._going_back = Lock()

    def ingest(self, batch: Batch) -> None:
        """Feed the views and keep it."""
        with self._lock:
            arrived = self._history.arrive(self._clock(), batch, self._everything.state)
            self._everything.ingest(batch)
            for view in self._views:
                view.take(arrived)
            self._modules.add(batch.modules)
            self._seen += len(batch.records)
        self._history.work()

    def view(self, selection: Selection | None = None) -> View:
        """A live view. For a selection everything that is kept goes through it first: that can take seconds."""
        if selection is None:
            view = View(self._lock, None, Everything(self._everything), self._started_ns, self._close, behind=False)
            with self._lock:
                self._views.append(view)
            return view
        scene = Scene(self._clock, selection.predicate(), _SPANS_NS)
        with self._lock:
            now_ns, reach = self._clock(), self._history.reach()
            begin = _first_for_selection(reach.chapters) if reach.chapters else None
            since_ns = begin.start_ns if begin else now_ns
            view = View(self._lock, selection, scene, since_ns, self._close, behind=True)
            self._views.append(view)
        if begin is not None:
            try:
                scene.begin(begin.state())
                replay = _replay_for(selection, reach.chapters, now_ns, _SPANS_NS)
                for arrived in replay.until(_FOREVER_NS, reach):
                    scene.feed(arrived)
            except BaseException:
                self._close(view)
                raise
        view.catch_up()
        return view

    def at(self, time_ns: int, selection: Selection | None = None) -> Snapshot:
        """How it was at a moment that is kept; at the oldest one for an older moment, which the snapshot's time tells.

        For a worker thread: up to a second without a selection, some seconds with one. A later moment of the same
        selection (the same object) takes only what came in between.
        """
        spans_ns = _SAMPLES_NS if selection is None else _SPANS_NS
        with self._going_back:
            past = self._at(time_ns, selection, spans_ns)
            return Store(lambda: time_ns).snapshot() if past is None else past.snapshot()

    def spans(self, seconds: float, until_ns: int | None = None, selection: Selection | None = None) -> list[StackSpan]:
        """The stacks that came in during so many seconds up to a moment, oldest first; None = now. As `at`, but for
        up to a minute of an open view at hand.

        They are those of a snapshot of that moment and before: with the time of the snapshot that a view gave last,
        none will come again in its next one.
        """
        spans_ns = int(seconds * SECOND_NS)
        with self._lock:
            until_ns = max(self._clock(), self._history.newest_ns) if until_ns is None else until_ns
            reach = self._history.reach()
            found = self._spans_of_view(until_ns - spans_ns, until_ns, selection)
        if found is not None:
            return found
        if selection is None:
            return _spans_of_everything(reach, until_ns - spans_ns, until_ns)
        with self._going_back:
            past = self._at(until_ns, selection, max(spans_ns, _SPANS_NS))
            return [] if past is None else past.spans(seconds)

    def rates(self) -> Rates:
        """Of everything, whatever the views select."""
        with self._lock:
            return self._everything.rates()

    def modules(self) -> tuple[ModuleFacts, ...]:
        """The files that frames lie in, the latest first seen last; the oldest of very many are forgotten."""
        with self._lock:
            return self._modules.all()

    def mark(self, tick: Tick) -> None:
        """Remember this second, for charts and for what health was."""
        with self._lock:
            self._ticks.add(tick)
            self._history.other_bytes = self._ticks.bytes

    def ticks(self) -> Sequence[Tick]:
        """Oldest first."""
        with self._lock:
            return self._ticks.all()

    def note(self, text: str) -> None:
        """From now on the kernel drops what is outside of this; "" = nothing on top of what was asked for at first."""
        with self._lock:
            now_ns = self._clock()
            self._notes = [note for note in self._notes if note.time_ns < now_ns]
            self._notes.append(Note(now_ns, text))
            outlived = bisect_right(self._notes, now_ns - self._keep_ns, key=attrgetter("time_ns")) - 1
            del self._notes[: max(0, outlived)]

    def narrowed_at(self, time_ns: int) -> str:
        """What was noted last before or at a moment."""
        with self._lock:
            position = bisect_right(self._notes, time_ns, key=attrgetter("time_ns"))
            return self._notes[position - 1].text if position else ""

    @property
    def kept(self) -> Kept:
        with self._lock:
            oldest_ns = self._history.oldest_ns
            newest_ns = self._clock() if oldest_ns is None else self._history.newest_ns
            return Kept(
                newest_ns if oldest_ns is None else oldest_ns,
                newest_ns,
                self._history.bytes,
                self._cap_bytes,
                self._seen,
            )

    def _at(self, time_ns: int, selection: Selection | None, spans_ns: int) -> _Past | None:
        """None: nothing has come in."""
        with self._lock:
            reach = self._history.reach()
        if not reach.chapters:
            return None
        time_ns = max(time_ns, reach.chapters[0].start_ns)
        past = self._past
        if past is None or not past.leads_to(selection, reach, time_ns, spans_ns):
            self._past = None
            past = _Past(selection, reach, time_ns, spans_ns)
        past.go_on(reach, time_ns)
        self._past = past
        return past

    def _spans_of_view(self, from_ns: int, until_ns: int, selection: Selection | None) -> list[StackSpan] | None:
        """From an open view of that selection, if it has them."""
        if selection is None or from_ns < self._history.newest_ns - _SPANS_NS:
            return None
        views = [view for view in self._views if view.selection is selection]
        return next((found for view in views if (found := view.spans(from_ns, until_ns)) is not None), None)

    def _close(self, view: View) -> None:
        with self._lock:
            self._views = [other for other in self._views if other is not view]


def _chapters_until(reach: Reach, time_ns: int) -> list[Chapter]:
    """Those that began before or at a moment, at least the first one."""
    return reach.chapters[: max(1, bisect_right(reach.chapters, time_ns, key=attrgetter("start_ns")))]


def _first_for_selection(chapters: Sequence[Chapter]) -> Chapter:
    return chapters[_first_within([chapter.records for chapter in chapters], _SEEDED_RECORDS)]


def _replay_for(selection: Selection, chapters: Sequence[Chapter], now_ns: int, spans_ns: int) -> Replay:
    """From `_first_for_selection` on. A selection that learns needs all stacks, and pushes nothing."""
    pushed = selection.pushed()
    first_scanned = chapters[_first_within([chapter.scanned for chapter in chapters], _SEEDED_CONNECTIONS)]
    return Replay(
        _first_for_selection(chapters),
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


def _spans_of_everything(reach: Reach, from_ns: int, until_ns: int) -> list[StackSpan]:
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
