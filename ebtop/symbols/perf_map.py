"""The functions of one perf map, /tmp/perf-PID.map, which V8, HotSpot agents, .NET and CPython write."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from ebtop.store.records import Frame
from ebtop.symbols.frames import FrameCache
from ebtop.symbols.packed import NAME_MAX, PackedStrings
from ebtop.text import printable

ENTRIES_MAX = 100_000
"""Entries kept; beyond, the oldest are forgotten."""
_PYTHON = b"py::"
"""How CPython (from 3.12, with -X perf) marks its functions."""


class PerfMap:
    """Code is replaced while a program runs and the file only grows: where entries overlap the later one counts."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._sizes = array("I")
        self._names = array("I")
        self._strings = PackedStrings()
        self._by_start = array("I")
        """Indices of the entries that still count, by address. They do not overlap."""
        self._frames = FrameCache(1 << 19)
        self._rest = b""

    def __len__(self) -> int:
        return len(self._by_start)

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken."""
        return 600 + 16 * len(self._starts) + 4 * len(self._by_start) + self._strings.nbytes + self._frames.nbytes

    def extend(self, data: bytes) -> None:
        """Take the bytes that follow those taken so far: lines "start size name", numbers in hexadecimal.

        Lines that are none are left out.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[: NAME_MAX + 64]
        for line in lines:
            entry = _parse(line)
            if entry is not None:
                self._add(*entry)
        self._frames.clear()

    def _add(self, start: int, size: int, name: bytes) -> None:
        if len(self._starts) >= ENTRIES_MAX:
            self._forget_oldest(ENTRIES_MAX // 2)
        entry = len(self._starts)
        self._starts.append(start)
        self._sizes.append(size)
        self._names.append(self._strings.append(name + b"\0"))
        key = self._starts.__getitem__
        first = bisect_left(self._by_start, start, key=key)
        if first and key(self._by_start[first - 1]) + self._sizes[self._by_start[first - 1]] > start:
            first -= 1
        last = bisect_left(self._by_start, start + size, lo=first, key=key)
        self._by_start[first:last] = array("I", (entry,))

    def frame(self, address: int) -> Frame | None:
        """The function that covers an address."""
        at = bisect_right(self._by_start, address, key=self._starts.__getitem__) - 1
        if at < 0:
            return None
        entry = self._by_start[at]
        if address - self._starts[entry] >= self._sizes[entry]:
            return None
        frame = self._frames.get(entry)
        if frame is None:
            name = self._strings.string(self._names[entry])
            frame = Frame(printable(name), "interpreted" if name.startswith(_PYTHON) else "jit", "")
            self._frames.put(entry, frame)
        return frame

    def _forget_oldest(self, keep: int) -> None:
        """Make the entries that count and are the newest `keep` of them all there is."""
        newest = sorted(self._by_start)[-keep:]
        old_starts, old_sizes, old_names, old_strings = self._starts, self._sizes, self._names, self._strings
        self._starts, self._sizes, self._names = array("Q"), array("I"), array("I")
        self._strings = PackedStrings()
        self._by_start = array("I")
        for entry in newest:
            self._add(old_starts[entry], old_sizes[entry], old_strings.string(old_names[entry]))


def _parse(line: bytes) -> tuple[int, int, bytes] | None:
    fields = line.split(None, 2)
    if len(fields) < 3:
        return None
    try:
        start, size = int(fields[0], 16), int(fields[1], 16)
    except ValueError:
        return None
    if not 0 <= start < 1 << 64 or not 0 < size < 1 << 32:
        return None
    return start, size, fields[2][:NAME_MAX].replace(b"\0", b" ")
