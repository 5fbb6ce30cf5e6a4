"""The unwind tables of what one JVM has compiled, kept up to date while it compiles on."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ebtop.hotspot.code_cache import CodeBlob, CodeHeap
from ebtop.hotspot.jvm import Jvm
from ebtop.process.pause import pause
from ebtop.unwind.java_frames import frames, needs_code
from ebtop.unwind.rule import GAP, NOT_READ, RuleSet
from ebtop.unwind.table import TableBuilder, UnwindTable

LOOK_AGAIN_S = 60.0
"""Code that took the exact place of other code is found out after so long."""
_SEGMENTS_MAX = 1 << 22
_CHUNK = 1024
"""Segments whose map is compared at once."""
_BLOBS_MAX = 100_000
_CODE_MAX = 1 << 18
_ALIGNMENT = 0xFFFF
_PAUSE_EVERY = 64


class JavaTable(NamedTuple):
    """The table of a code heap, [low, high) in the process; its addresses are less by `bias`."""

    low: int
    high: int
    bias: int
    table: UnwindTable


class _Known(NamedTuple):
    """A blob and its rows."""

    blob: CodeBlob
    program: array[int]


class JavaCode:
    """One JVM's code. One thread only. All methods may raise UnreadableMemory: when it has ended, for one."""

    def __init__(self, jvm: Jvm, clock: Callable[[], float] = time.monotonic) -> None:
        self._jvm = jvm
        self._clock = clock
        self._heaps: dict[int, _Heap] = {}
        """By their lowest address."""

    def close(self) -> None:
        """Let go of the JVM's memory."""
        self._jvm.memory.close()

    def update(self) -> list[JavaTable] | None:
        """All tables, when anything has changed since the last time; None otherwise."""
        changed = False
        heaps = {}
        for heap in self._jvm.code_cache.heaps(self._jvm.memory):
            known = self._heaps.get(heap.low)
            if known is None:
                known = _Heap(self._jvm, self._clock)
            changed |= known.update(heap)
            heaps[heap.low] = known
        changed |= heaps.keys() != self._heaps.keys()
        self._heaps = heaps
        return [heap.table() for heap in heaps.values()] if changed else None


class _Heap:
    """One code heap. Its segment map says where blocks begin, so what is new shows without reading the heap."""

    def __init__(self, jvm: Jvm, clock: Callable[[], float]) -> None:
        self._jvm = jvm
        self._clock = clock
        self._heap = CodeHeap(0, 0, 0, 0)
        self._segments = b""
        self._known: dict[int, _Known] = {}
        """By the segment in which their block begins."""
        self._rules = RuleSet()
        self._looked_at = clock()

    def update(self, heap: CodeHeap) -> bool:
        """Look what is new; returns whether anything is."""
        count = min(max(heap.high - heap.low, 0) >> heap.segment_shift, _SEGMENTS_MAX)
        segments = self._jvm.memory.read(heap.segment_map, count) if count else b""
        now = self._clock()
        again = now - self._looked_at >= LOOK_AGAIN_S
        if segments == self._segments and heap == self._heap and not again:
            return False
        starts = set(_starts(segments, 0, count) if again else _changed(self._segments, segments))
        if again:
            self._looked_at = now
        changed = heap != self._heap
        self._heap, self._segments = heap, segments
        for segment in [s for s in self._known if s >= count or segments[s]]:
            del self._known[segment]
            changed = True
        for number, segment in enumerate(sorted(starts), 1):
            changed |= self._look(segment)
            if not number % _PAUSE_EVERY:
                pause()
        return changed

    def table(self) -> JavaTable:
        """The table of what is known, and of the room for what is not yet."""
        heap = self._heap
        bias = heap.low & ~_ALIGNMENT
        builder = TableBuilder()
        not_read = [self._rules.index(NOT_READ)]
        at = heap.low - bias
        for known in sorted(self._known.values(), key=lambda known: known.blob.begin):
            begin, end = known.blob.begin - bias, known.blob.end - bias
            if begin < at or end > heap.high - bias:
                continue
            if begin > at:
                builder.add(at, begin, not_read)
            builder.add(begin, end, known.program)
            at = end
        if at < heap.high - bias:
            builder.add(at, heap.high - bias, not_read)
        return JavaTable(heap.low, heap.high, bias, builder.build(self._rules.pack()))

    def _look(self, segment: int) -> bool:
        """Read the block at a segment; returns whether it is another one than before."""
        before = self._known.get(segment)
        blob = self._jvm.code_cache.blob_in(self._jvm.memory, self._heap, segment)
        if blob is not None and before is not None and before.blob == blob:
            return False
        self._known.pop(segment, None)
        if blob is not None and blob.begin < blob.end and len(self._known) < _BLOBS_MAX:
            length = min(blob.end - blob.begin, _CODE_MAX)
            code = self._jvm.memory.read(blob.begin, length) if needs_code(blob) else b""
            program = [offset << 16 | self._rules.index(rule) for offset, rule in frames(blob, code) or [(0, GAP)]]
            self._known[segment] = _Known(blob, array("Q", program))
            return True
        return before is not None


def _changed(before: bytes, now: bytes) -> Iterator[int]:
    """Segments where blocks begin, in the parts of the map that changed, and the block before each."""
    for low in range(0, len(now), _CHUNK):
        part = now[low : low + _CHUNK]
        if part != before[low : low + _CHUNK]:
            previous = now.rfind(0, 0, low)
            if previous >= 0:
                yield previous
            yield from _starts(now, low, low + len(part))


def _starts(segments: bytes, low: int, high: int) -> Iterator[int]:
    at = segments.find(0, low, high)
    while at >= 0:
        yield at
        at = segments.find(0, at + 1, high)
