"""The last minutes of everything: feeds live views, and tells how it was at any moment that is kept."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter, itemgetter
from threading import Lock
from typing import NamedTuple

from ebtop import precedence
from ebtop.store.evidence import Note
from ebtop.store.history.frozen import FrozenChapter
from ebtop.store.history.history import SECOND_NS, History, Reach
from ebtop.store.history.thinning import Thinning
from ebtop.store.modules import Modules
from ebtop.store.past import SPANS_NS, Past, first_for_selection, replay_for
from ebtop.store.records import Batch, ModuleFacts
from ebtop.store.rows import Rates, Snapshot, StackSpan
from ebtop.store.scene import Everything, Scene
from ebtop.store.selection import Selection
from ebtop.store.store import Store
from ebtop.store.ticks import Tick, Ticks
from ebtop.store.view import View

__all__ = ["Kept", "Tick", "Timeline", "View"]

_FOREVER_NS = 1 << 63
_AT_ONCE = 250
"""Records: a millisecond or two of work."""
_time_ns = itemgetter(0)
_MAX_NOTES = 1000


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


class _Narrowing(NamedTuple):
    """What the kernel filtered from a moment on."""

    time_ns: int
    text: str


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
        self._narrowings: list[_Narrowing] = []
        self._notes: list[Note] = []
        self._seen = 0
        self._past = Past(self._reach)

    def ingest(self, batch: Batch) -> None:
        """Feed the views and keep it. Of a large batch a part at a time, so that nobody waits long for his turn."""
        for part in _parts(batch):
            precedence.screen.wait()
            self._arrive(part)
        self._history.work()

    def _arrive(self, batch: Batch) -> None:
        with self._lock:
            arrived = self._history.arrive(self._clock(), batch, self._everything.state)
            self._everything.ingest(batch)
            for view in self._views:
                view.take(arrived)
            self._modules.add(batch.modules)
            self._seen += len(batch.records)

    def view(self, selection: Selection | None = None) -> View:
        """A live view. For a selection everything that is kept goes through it first: that can take seconds."""
        if selection is None:
            view = View(self._lock, None, Everything(self._everything), self._started_ns, self._close, behind=False)
            with self._lock:
                self._views.append(view)
            return view
        scene = Scene(self._clock, selection.predicate(), SPANS_NS)
        with self._lock:
            now_ns, reach = self._clock(), self._history.reach()
            begin = first_for_selection(reach.chapters) if reach.chapters else None
            since_ns = begin.start_ns if begin else now_ns
            view = View(self._lock, selection, scene, since_ns, self._close, behind=True)
            self._views.append(view)
        if begin is not None:
            try:
                scene.begin(begin.state())
                replay = replay_for(selection, reach.chapters, now_ns, SPANS_NS)
                thinning = Thinning()
                for arrived in replay.until(_FOREVER_NS, reach):
                    scene.feed(thinning.thinned(arrived, now_ns))
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
        return self._past.at(time_ns, selection)

    def spans(self, seconds: float, until_ns: int | None = None, selection: Selection | None = None) -> list[StackSpan]:
        """The stacks that came in during so many seconds up to a moment, oldest first; None = now. As `at`, but for
        up to a minute of an open view at hand.

        They are those of a snapshot of that moment and before: with the time of the snapshot that a view gave last,
        none will come again in its next one.
        """
        with self._lock:
            until_ns = max(self._clock(), self._history.newest_ns) if until_ns is None else until_ns
            found = self._spans_of_view(until_ns - int(seconds * SECOND_NS), until_ns, selection)
        return self._past.spans(seconds, until_ns, selection) if found is None else found

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

    def healths(self, until_ns: int, count: int) -> Sequence[Tick]:
        """The last ticks up to a moment, so many at most, oldest first; the oldest one for an older moment."""
        ticks = self.ticks()
        at = max(1, bisect_right(ticks, until_ns, key=attrgetter("time_ns")))
        return ticks[max(0, at - count) : at]

    def freeze(self) -> tuple[tuple[FrozenChapter, ...], tuple[Note, ...]]:
        """What is kept at this moment, and what was narrowed to when. Milliseconds; it is packed already, mostly."""
        with self._lock:
            self._history.cut()
        self._history.work(wait=True)
        with self._lock:
            chapters = self._history.frozen()
            narrowings = tuple([Note(*each) for each in self._narrowings])
        return chapters, narrowings

    def narrowed_to(self, text: str) -> None:
        """From now on the kernel drops what is outside of this; "" = nothing on top of what was asked for at first."""
        with self._lock:
            now_ns = self._clock()
            self._narrowings = [each for each in self._narrowings if each.time_ns < now_ns]
            self._narrowings.append(_Narrowing(now_ns, text))
            outlived = bisect_right(self._narrowings, now_ns - self._keep_ns, key=attrgetter("time_ns")) - 1
            del self._narrowings[: max(0, outlived)]

    def narrowed_at(self, time_ns: int) -> str:
        """What was narrowed to last before or at a moment."""
        with self._lock:
            position = bisect_right(self._narrowings, time_ns, key=attrgetter("time_ns"))
            return self._narrowings[position - 1].text if position else ""

    def note(self, text: str, time_ns: int | None = None) -> None:
        """Write something down about a moment; None = now."""
        with self._lock:
            self._notes.append(Note(self._clock() if time_ns is None else time_ns, text))
            self._notes.sort()
            del self._notes[:-_MAX_NOTES]

    def notes(self) -> Sequence[Note]:
        """All that were written down, oldest first, also about what is not kept any more."""
        with self._lock:
            return tuple(self._notes)

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

    def _reach(self) -> Reach:
        with self._lock:
            return self._history.reach()

    def _spans_of_view(self, from_ns: int, until_ns: int, selection: Selection | None) -> list[StackSpan] | None:
        """From an open view of that selection, if it has them."""
        if selection is None or from_ns < self._history.newest_ns - SPANS_NS:
            return None
        views = [view for view in self._views if view.selection is selection]
        return next((found for view in views if (found := view.spans(from_ns, until_ns)) is not None), None)

    def _close(self, view: View) -> None:
        with self._lock:
            self._views = [other for other in self._views if other is not view]


def _parts(batch: Batch) -> Iterator[Batch]:
    """A batch of many events in parts that come one after the other, as if it had been drained more often."""
    records = batch.records
    if len(records) <= _AT_ONCE or batch.sampled_s:
        yield batch
        return
    records = sorted(records, key=_time_ns)
    pending = batch.pending_connects
    last = (len(records) - 1) // _AT_ONCE * _AT_ONCE
    for first in range(0, last, _AT_ONCE):
        # Later events of this batch are still to come: nothing is known to be whole beyond the last one of the part.
        part = records[first : first + _AT_ONCE]
        yield Batch(min(part[-1].time_ns, batch.time_ns), part, pending_connects=pending)
        pending = None
    yield batch._replace(records=records[last:], pending_connects=pending)
