"""One pass over what is kept, in the order it came in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ebtop.store.history.arrived import Arrived
from ebtop.store.history.chapter import ChapterReader, StoredChapter
from ebtop.store.history.history import Reach
from ebtop.store.selection import Pushed


class Replay:
    """Begins at the start of a chapter; can go on later from where it stopped."""

    def __init__(
        self, chapter: StoredChapter, *, scans_from_ns: int = 0, stacks_from_ns: int = 0, pushed: Pushed | None = None
    ) -> None:
        """What nobody needs can be left out: stacks from before `stacks_from_ns`, scans of chapters that ended before
        `scans_from_ns`, most of what is outside of `pushed`."""
        self._stacks_from_ns = stacks_from_ns
        self._pushed = pushed
        self._scans_from_ns = scans_from_ns
        self._chapter = chapter
        self._reader = self._open(chapter)
        self._next = chapter.first
        self._ready: deque[tuple[int, Arrived]] = deque()

    @property
    def start_ns(self) -> int:
        """Of the chapter it has come to."""
        return self._chapter.start_ns

    def can_go_on(self, reach: Reach) -> bool:
        """Whether what comes next is still kept, or still to come."""
        return bool(reach.chapters) and reach.chapters[0].first <= self._next

    def until(self, time_ns: int, reach: Reach) -> Iterator[Arrived]:
        """Everything that came in up to and at a time, and was not handed out before. Raises CorruptData."""
        while self._ready or self._read(reach):
            while self._ready:
                number, arrived = self._ready[0]
                if arrived.time_ns > time_ns:
                    return
                self._ready.popleft()
                if number >= self._next:
                    self._next = number + 1
                    yield arrived
        for segment in reach.waiting:
            for number, arrived in enumerate(segment.arrived, segment.first):
                if number >= self._next and arrived.time_ns <= time_ns:
                    self._next = number + 1
                    yield arrived

    def _read(self, reach: Reach) -> bool:
        """Unpack the next segment; false when there is none."""
        segment = self._reader.next()
        while segment is None:
            following = next((c for c in reach.chapters if c.first > self._chapter.first), None)
            if following is None or following.first > self._next:
                return False
            self._chapter, self._reader = following, self._open(following)
            segment = self._reader.next()
        first, arrived = segment
        self._ready.extend(enumerate(arrived, first))
        return True

    def _open(self, chapter: StoredChapter) -> ChapterReader:
        return ChapterReader(
            chapter,
            scans=chapter.end_ns >= self._scans_from_ns,
            stacks_from_ns=self._stacks_from_ns,
            pushed=self._pushed,
        )
