"""The chapters of a file: an index at hand, and of what they hold the few that were read last."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from threading import Lock
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.store.file.opening import Database
from ebtop.store.history.chapter import unpacked_state
from ebtop.store.history.codec import Text
from ebtop.store.history.history import Reach
from ebtop.store.store import StoreState

_BODIES_BYTES = 48 << 20
_OPEN = 1 << 63
_MAX_CHAPTERS = 1 << 20
_MAX_SEGMENTS = 1 << 20


class Body(NamedTuple):
    """The segments of one chapter."""

    newest_ns: tuple[int, ...]
    events: tuple[bytes, ...]
    stacks: tuple[bytes, ...]

    @property
    def bytes(self) -> int:
        return sum(map(len, self.events)) + sum(map(len, self.stacks))


class FileChapter:
    """Implements StoredChapter. Of a file that is still being written the last one grows."""

    def __init__(self, file: FileChapters, text: Text, row: tuple[int, ...]) -> None:
        self._file = file
        self.text = text
        self.number, self.start_ns, self.reached_ns, self.first, self.first_segment, *_ = row
        self.segments = self.records = self.scanned = 0
        self.end_ns = _OPEN
        self.grow(row)

    def grow(self, row: tuple[int, ...]) -> None:
        """There may be more of it."""
        _, _, self.reached_ns, _, _, self.segments, self.records, self.scanned = row

    @property
    def newest_ns(self) -> tuple[int, ...]:
        return self._file.body(self).newest_ns

    @property
    def events(self) -> tuple[bytes, ...]:
        return self._file.body(self).events

    @property
    def stacks(self) -> tuple[bytes, ...]:
        return self._file.body(self).stacks

    def state(self) -> StoreState:
        return unpacked_state(self._file.keyframe(self), self.text)


class FileChapters:
    """From any thread."""

    def __init__(self, database: Database, text: Text) -> None:
        """Raises EbtopError."""
        self._database = database
        self._text = text
        self._chapters: list[FileChapter] = []
        self._bodies: OrderedDict[tuple[int, int], Body] = OrderedDict()
        self._lock = Lock()
        self._version = -1
        self.reach()

    def reach(self) -> Reach:
        """All there is at this moment."""
        with self._lock:
            version = self._database.version
            if version != self._version:
                self._refresh()
                self._version = version
            return Reach(list(self._chapters), [chapter.segments for chapter in self._chapters], ())

    @property
    def all(self) -> list[FileChapter]:
        """As of the last `reach`."""
        return list(self._chapters)

    def body(self, chapter: FileChapter) -> Body:
        """Raises EbtopError."""
        key = chapter.number, chapter.segments
        with self._lock:
            body = self._bodies.get(key)
            if body is None:
                body = self._bodies[key] = self._read(chapter)
                while len(self._bodies) > 1 and sum(b.bytes for b in self._bodies.values()) > _BODIES_BYTES:
                    self._bodies.popitem(last=False)
            self._bodies.move_to_end(key)
            return body

    def keyframe(self, chapter: FileChapter) -> bytes:
        """Raises EbtopError."""
        for (state,) in self._database.rows("SELECT state FROM keyframes WHERE chapter = ?", (chapter.number,)):
            if isinstance(state, bytes):
                return state
        raise self._damaged(f"the keyframe of chapter {chapter.number} is missing")

    def _refresh(self) -> None:
        known = self._chapters[-1].number if self._chapters else -_OPEN
        rows = self._database.rows(
            "SELECT id, start_ns, newest_ns, first_batch, first_segment, segments, records, scanned FROM chapters "
            "WHERE id >= ? ORDER BY id LIMIT ?",
            (known, _MAX_CHAPTERS),
        )
        for row in rows:
            if not all(type(value) is int for value in row) or not 0 <= row[5] <= _MAX_SEGMENTS:
                raise self._damaged("a chapter is none")
            if self._chapters and row[0] == self._chapters[-1].number:
                self._chapters[-1].grow(row)
            else:
                self._chapters.append(FileChapter(self, self._text, row))
        for before, after in pairwise(self._chapters):
            if after.start_ns < before.start_ns or after.first <= before.first:
                raise self._damaged("its chapters are out of order")
            before.end_ns = after.start_ns

    def _read(self, chapter: FileChapter) -> Body:
        rows = self._database.rows(
            "SELECT newest_ns, events, stacks FROM segments WHERE id >= ? AND id < ? ORDER BY id",
            (chapter.first_segment, chapter.first_segment + chapter.segments),
        )
        fitting = [tuple(map(type, row)) == (int, bytes, bytes) for row in rows]
        if len(rows) != chapter.segments or not all(fitting):
            raise self._damaged(f"segments of chapter {chapter.number} are missing")
        newest, events, stacks = zip(*rows, strict=True) if rows else ((), (), ())
        return Body(newest, events, stacks)

    def _damaged(self, why: str) -> EbtopError:
        return EbtopError(f"{self._database.path} is damaged", why, "the rest of it can still be read")
