"""Half a minute of what came in: the state it began with, then compressed seconds."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

from ebtop.store.history.arrived import Arrived
from ebtop.store.history.codec import Text, pack, same_text, unpack
from ebtop.store.history.corrupt import CorruptData
from ebtop.store.history.segment import SegmentReader, SegmentWriter
from ebtop.store.history.stacks import Drain, StackReader, StackWriter
from ebtop.store.records import Frame, StackRecord
from ebtop.store.rows import StackSpan
from ebtop.store.selection import Pushed
from ebtop.store.store import StoreState

_LEVEL = 1
_WINDOW_BITS, _MEMORY_LEVEL = 15, 8
_DEFLATE_BYTES = (1 << (_WINDOW_BITS + 2)) + (1 << (_MEMORY_LEVEL + 9))
"""What zlib says that a compressor takes."""
_MAX_BLOCK = 128 << 20
_OPEN = 1 << 63


class StoredChapter(Protocol):
    """A chapter for whoever reads it, wherever it is held."""

    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int:
        """When the next one began."""

    @property
    def first(self) -> int:
        """The number of its first batch."""

    @property
    def records(self) -> int: ...
    @property
    def scanned(self) -> int:
        """Connections in all its scans."""

    @property
    def text(self) -> Text:
        """Cleans its texts."""

    @property
    def events(self) -> Sequence[bytes]:
        """Segments, of which each can only be read after those before it."""

    @property
    def stacks(self) -> Sequence[bytes]:
        """Of the same segment; b"" for none."""

    @property
    def newest_ns(self) -> Sequence[int]:
        """When the last batch of the same segment came in."""

    def state(self) -> StoreState:
        """Of the store before the first batch. Raises CorruptData."""


class Chapter:
    """Grows at its end until the next one begins. What is in its lists never changes, so that it can be read without
    a lock while it grows."""

    def __init__(self, start_ns: int, first: int, state: StoreState) -> None:
        """`first` is the number of its first batch."""
        self.text: Text = same_text
        self.start_ns = start_ns
        self.end_ns = _OPEN
        """When the next one began."""
        self.first = first
        self.events: list[bytes] = []
        """Segments, of which each can only be read after those before it."""
        self.stacks: list[bytes] = []
        """Of the same segment; b"" for none."""
        self.newest_ns: list[int] = []
        """When the last batch of the same segment came in."""
        self.keyframe = b""
        self.records = 0
        self.scanned = 0
        """Connections in all its scans."""
        self.body_bytes = 0
        self._state: StoreState | None = state

    @property
    def size(self) -> int:
        """Bytes kept."""
        return len(self.keyframe) + self.body_bytes

    @property
    def is_packed(self) -> bool:
        return self._state is None

    def state(self) -> StoreState:
        """Of the store before the first batch. Raises CorruptData."""
        return self._state or unpacked_state(self.keyframe, self.text)

    def keep(self, keyframe: bytes) -> None:
        """Hold the state packed from now on."""
        self.keyframe = keyframe
        self._state = None

    def add(self, events: bytes, stacks: bytes, newest_ns: int, records: int = 0, scanned: int = 0) -> None:
        """Take in the next segment."""
        self.scanned += scanned
        self.newest_ns.append(newest_ns)
        self.stacks.append(stacks)
        self.events.append(events)
        self.records += records
        self.body_bytes += len(events) + len(stacks)


def packed_state(state: StoreState) -> bytes:
    return zlib.compress(pack(state), _LEVEL)


def unpacked_state(keyframe: bytes, text: Text) -> StoreState:
    """What `packed_state` made a keyframe of. Raises CorruptData."""
    return unpack(StoreState, _inflated(zlib.decompressobj(), keyframe), text=text)


class ChapterWriter:
    """Packs the segments of one chapter. Each continues one deflated stream, and so leaves out what was said before."""

    def __init__(self) -> None:
        self._events, self._stacks = _deflater(), _deflater()
        self._segments = SegmentWriter()
        self._stack_segments = StackWriter()

    @property
    def size(self) -> int:
        """Bytes, an estimate of the memory this takes itself."""
        return 2 * _DEFLATE_BYTES + self._stack_segments.bytes

    def pack(self, first: int, arrived: Sequence[Arrived]) -> tuple[bytes, bytes]:
        """Events and stacks."""
        events = self._segments.pack(first, arrived)
        stacks = self._stack_segments.pack(arrived)
        return _deflated(self._events, events), _deflated(self._stacks, stacks) if stacks else b""


class StackSegments:
    """Reads the stacks of one chapter, one segment after the other."""

    def __init__(self, chapter: StoredChapter, from_ns: int, frames: dict[Frame, Frame] | None = None) -> None:
        """Those that came in at `from_ns` and later. `frames`: see `StackReader`."""
        self._chapter = chapter
        self._from_ns = from_ns
        self._needed = chapter.end_ns >= from_ns
        self._stream = zlib.decompressobj()
        self._reader = StackReader(chapter.text, frames)

    def at(self, position: int) -> list[tuple[Drain, list[StackRecord]]]:
        """The drains of a segment and their stacks. To be asked for every segment in turn. Raises CorruptData."""
        data = self._chapter.stacks[position]
        if not data or not self._needed:
            return []
        names_only = self._chapter.newest_ns[position] < self._from_ns
        return self._reader.unpack(_inflated(self._stream, data), names_only=names_only)


def chapter_spans(chapter: StoredChapter, segments: int, from_ns: int, until_ns: int) -> list[StackSpan]:
    """The stacks of the first so many segments that came in after `from_ns` and no later than `until_ns`.

    Raises CorruptData.
    """
    reader = StackSegments(chapter, from_ns)
    return [
        StackSpan(drain.time_ns, tuple(stacks), drain.sampled_s, drain.sampled_kind)
        for position in range(segments)
        for drain, stacks in reader.at(position)
        if from_ns < drain.arrived_ns <= until_ns
    ]


class ChapterReader:
    """Reads the segments of one chapter, one after the other, and those that are added meanwhile."""

    def __init__(
        self,
        chapter: StoredChapter,
        *,
        scans: bool,
        stacks_from_ns: int,
        pushed: Pushed | None = None,
        frames: dict[Frame, Frame] | None = None,
    ) -> None:
        """Without `scans` batches have none. Stacks that came in earlier than `stacks_from_ns` are left out, and so is
        most of what is outside of `pushed`. `frames`: see `StackReader`."""
        self.chapter = chapter
        self._with_scans = scans
        self._position = 0
        self._stream = zlib.decompressobj()
        self._segments = SegmentReader(pushed, chapter.text)
        self._stacks = StackSegments(chapter, stacks_from_ns, frames)

    def next(self) -> tuple[int, list[Arrived]] | None:
        """The number of the first batch of the next segment, and its batches. None: there is none so far.

        Raises CorruptData, after which nothing more can be read.
        """
        position = self._position
        if position >= len(self.chapter.events):
            return None
        self._position += 1
        data = _inflated(self._stream, self.chapter.events[position])
        first, arrived = self._segments.unpack(data, with_scans=self._with_scans)
        for drain, stacks in self._stacks.at(position):
            if not 0 <= drain.batch < len(arrived):
                raise CorruptData("a batch is missing")
            arrived[drain.batch].batch.records.extend(stacks)
        return first, arrived


def _deflater() -> zlib._Compress:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)


def _deflated(stream: zlib._Compress, data: bytes) -> bytes:
    return stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)


def _inflated(stream: zlib._Decompress, data: bytes) -> bytes:
    try:
        block = stream.decompress(data, _MAX_BLOCK)
    except zlib.error as error:
        raise CorruptData(str(error)) from None
    if stream.unconsumed_tail:
        raise CorruptData("it is too large")
    return block
