"""What came in during the last minutes, compressed, under a cap."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import NamedTuple

from ebtop import precedence
from ebtop.store.history.arrived import Arrived
from ebtop.store.history.chapter import Chapter, ChapterWriter, StoredChapter, packed_state
from ebtop.store.history.frozen import FrozenChapter, FrozenSegment
from ebtop.store.records import Batch
from ebtop.store.store import StoreState

SECOND_NS = 1_000_000_000

_SEGMENT_NS = SECOND_NS
_SEGMENT_RECORDS = 50_000
_CHAPTER_NS, _LONG_CHAPTER_NS = 30 * SECOND_NS, 120 * SECOND_NS
"""A chapter is long where its keyframe takes more than all that comes after it."""
_CHAPTER_RECORDS = 150_000
"""To go to a moment is to go through what came before it in its chapter."""
_CAP_SHARE = 8
"""A chapter takes at most one part in so many of the cap, so that letting go of one is no great loss."""
_RECORD_BYTES = 700
"""What a record takes before it is packed: a tuple of about twenty numbers and texts."""
_CLOCK_STEP_NS = SECOND_NS
"""When the clock goes back by more, times of before and after can't be told apart."""


class Segment(NamedTuple):
    """Batches that are not packed yet. All of them are of one chapter."""

    chapter: Chapter
    first: int
    arrived: list[Arrived]


class Reach(NamedTuple):
    """All there is at one moment, for a reader."""

    chapters: Sequence[StoredChapter]
    """Oldest first."""
    segments: Sequence[int]
    """How many the same chapter has."""
    waiting: Sequence[Segment]
    """What is not, or not yet known to be, in the chapters; some of it may be by now."""


class Packed(NamedTuple):
    """A segment that was packed, for whoever writes it down."""

    chapter: Chapter
    first: int
    """The number of its first batch."""
    arrived: Sequence[Arrived]
    events: bytes
    stacks: bytes
    records: int
    scanned: int


class History:
    """`lock` guards every method but `work`, and is held by the caller."""

    def __init__(
        self,
        lock: Lock,
        keep_ns: int,
        cap_bytes: int,
        on_packed: Callable[[Packed], None] = lambda _: None,
        chapter_records: int = _CHAPTER_RECORDS,
    ) -> None:
        """`on_packed` is called by `work`, in its thread and without the lock. A chapter has about `chapter_records` at
        most, where its keyframe does not take more than all that comes after it."""
        self._chapter_records = chapter_records
        self._on_packed = on_packed
        self._lock = lock
        self._keep_ns = keep_ns
        self._cap_bytes = cap_bytes
        self._chapters: list[Chapter] = []
        self._cut: deque[Segment] = deque()
        """Complete, waits to be packed."""
        self._open: Segment | None = None
        self._open_records = 0
        self._cut_records = 0
        self._next = 0
        self._newest_ns = 0
        self._working = Lock()
        self._writer = ChapterWriter()
        self._writes: Chapter | None = None
        self.other_bytes = 0
        """What else is kept under the same cap."""

    @property
    def bytes(self) -> int:
        """Exact for what is packed, an estimate for what is not."""
        waiting = (self._open_records + self._cut_records) * _RECORD_BYTES
        return sum([chapter.size for chapter in self._chapters]) + self._writer.size + waiting + self.other_bytes

    @property
    def oldest_ns(self) -> int | None:
        """How far back it reaches; None: nothing has come in."""
        return self._chapters[0].start_ns if self._chapters else None

    @property
    def newest_ns(self) -> int:
        """When the latest batch came in."""
        return self._newest_ns

    def arrive(self, now_ns: int, batch: Batch, state: Callable[[], StoreState]) -> Arrived:
        """A batch comes in; `state` is that of the store before it takes the batch in.

        A clock that goes back a little stands still here; when it goes back further, what was kept is forgotten.
        """
        if now_ns < self._newest_ns - _CLOCK_STEP_NS:
            self._forget()
        self._newest_ns = now_ns = max(now_ns, self._newest_ns)
        if self._open is not None and self._is_full(self._open, now_ns):
            self.cut()
        if self._open is None:
            self._open = Segment(self._chapter_at(now_ns, state), self._next, [])
        arrived = Arrived(now_ns, batch)
        self._open.arrived.append(arrived)
        self._open_records += len(batch.records)
        self._next += 1
        return arrived

    def reach(self) -> Reach:
        """What a reader may read after the lock was released."""
        waiting = list(self._cut)
        if self._open is not None:
            waiting.append(self._open._replace(arrived=list(self._open.arrived)))
        return Reach(list(self._chapters), [len(chapter.events) for chapter in self._chapters], waiting)

    def cut(self) -> None:
        """Have `work` pack also what came in just now."""
        if self._open is not None:
            self._cut.append(self._open)
            self._cut_records += self._open_records
            self._open, self._open_records = None, 0

    def frozen(self) -> tuple[FrozenChapter, ...]:
        """What is packed so far."""
        return tuple(
            [
                FrozenChapter(
                    chapter.start_ns, chapter.end_ns, chapter.first, chapter.keyframe,
                    tuple(map(FrozenSegment, chapter.newest_ns, chapter.events, chapter.stacks)), chapter.records,
                    chapter.scanned,
                )
                for chapter in self._chapters
                if chapter.is_packed and chapter.events
            ]
        )  # fmt: skip

    def work(self, *, wait: bool = False) -> None:
        """Pack what waits; without the lock. When another thread is at it already, it does this too: `wait` for it."""
        if not (wait or self._cut) or not self._working.acquire(blocking=wait):
            return
        try:
            while (segment := self._oldest_cut()) is not None:
                precedence.screen.wait()
                self._pack(segment)
        finally:
            self._working.release()

    def _oldest_cut(self) -> Segment | None:
        with self._lock:
            return self._cut[0] if self._cut else None

    def _pack(self, segment: Segment) -> None:
        chapter = segment.chapter
        if chapter is not self._writes:
            self._writes, self._writer = chapter, ChapterWriter()
        keyframe = chapter.keyframe if chapter.is_packed else packed_state(chapter.state())
        events, stacks = self._writer.pack(segment.first, segment.arrived)
        records = sum([len(arrived.batch.records) for arrived in segment.arrived])
        scanned = sum([len(scan.connections) for _, batch in segment.arrived if (scan := batch.tcp_scan)])
        with self._lock:
            chapter.keep(keyframe)
            chapter.add(events, stacks, segment.arrived[-1].time_ns, records, scanned)
            if self._cut and self._cut[0] is segment:
                self._cut.popleft()
                self._cut_records -= records
            self._trim()
        self._on_packed(Packed(chapter, segment.first, segment.arrived, events, stacks, records, scanned))

    def _is_full(self, segment: Segment, now_ns: int) -> bool:
        return now_ns - segment.arrived[0].time_ns >= _SEGMENT_NS or self._open_records >= _SEGMENT_RECORDS

    def _chapter_at(self, now_ns: int, state: Callable[[], StoreState]) -> Chapter:
        """The chapter for a segment that begins now."""
        last = self._chapters[-1] if self._chapters else None
        if last is None or self._is_over(last, now_ns):
            if last is not None:
                last.end_ns = now_ns
            last = Chapter(now_ns, self._next, state())
            self._chapters.append(last)
        return last

    def _is_over(self, chapter: Chapter, now_ns: int) -> bool:
        age_ns = now_ns - chapter.start_ns
        outweighs = chapter.body_bytes >= len(chapter.keyframe)
        if age_ns >= (_CHAPTER_NS if outweighs else _LONG_CHAPTER_NS):
            return True
        is_large = chapter.records >= self._chapter_records or chapter.body_bytes * _CAP_SHARE >= self._cap_bytes
        return outweighs and is_large

    def _trim(self) -> None:
        while len(self._chapters) > 1 and (
            self.bytes > self._cap_bytes or self._chapters[1].start_ns < self._newest_ns - self._keep_ns
        ):
            del self._chapters[0]

    def _forget(self) -> None:
        self._chapters, self._open, self._newest_ns = [], None, 0
        self._cut.clear()
        self._open_records = self._cut_records = 0
