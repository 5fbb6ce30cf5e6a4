"""Where the functions of a stripped file begin and end: unwind information knows, also where no symbol does.

Source: .eh_frame_hdr (Linux Standard Base, "Exception Frames"), a sorted table of all functions and where each is
described in .eh_frame. It tells functions apart that have no name, so that samples of one function add up.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right

from ebtop.process.elf import ElfError, ElfFile
from ebtop.process.pause import pause

FUNCTIONS_MAX = 500_000
_SPAN = 1 << 32
_BYTES_MAX = 48 << 20
_HEADER = struct.Struct("<BBBBiI")
_VERSION, _FRAME_POINTER, _COUNT, _TABLE = 1, 0x1B, 0x03, 0x3B
"""The encodings that all linkers write: relative to the place or to the header, 32 bits."""
_ENTRY = struct.Struct("<ii")
_AT_ONCE = 3000
"""About a millisecond's work."""


class FunctionStarts:
    """Beginnings of functions, sorted; 8 bytes each. Immutable."""

    __slots__ = ("_base", "_sizes", "_starts")

    def __init__(self, base: int, starts: array[int], sizes: array[int]) -> None:
        self._base = base
        self._starts = starts
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken."""
        return sum(len(a) * a.itemsize for a in (self._starts, self._sizes))

    def covering(self, address: int) -> int | None:
        """Where the function that covers an ELF virtual address begins; None when none is known."""
        at = address - self._base
        index = bisect_right(self._starts, at) - 1
        if index < 0 or at - self._starts[index] >= self._sizes[index]:
            return None
        return self._base + self._starts[index]

    def extent(self, address: int) -> tuple[int, int]:
        """[begin, end) around an address, all of which `covering` answers alike."""
        at = address - self._base
        index = bisect_right(self._starts, at) - 1
        begin, end = 0, self._starts[index + 1] if index + 1 < len(self._starts) else _SPAN
        if index >= 0:
            begin, behind = self._starts[index], self._starts[index] + self._sizes[index]
            begin, end = (begin, min(end, behind)) if at < behind else (behind, end)
        return self._base + begin, self._base + end


NOWHERE = FunctionStarts(0, array("I"), array("I"))
"""Of a file that does not tell."""


def read_function_starts(elf: ElfFile) -> FunctionStarts:
    """All that .eh_frame_hdr lists; NOWHERE when there is none, or it is damaged, unusual or too large."""
    try:
        return _read(elf)
    except (ElfError, struct.error):
        return NOWHERE


def _read(elf: ElfFile) -> FunctionStarts:
    header = elf.eh_frame_header
    if header is None or elf.byte_order != "<" or not _HEADER.size <= header.file_size <= _BYTES_MAX:
        return NOWHERE
    data = elf.reader.read_at(header.offset, header.file_size)
    version, frame_pointer, counted, table, frames_at, count = _HEADER.unpack_from(data)
    if (version, frame_pointer, counted, table) != (_VERSION, _FRAME_POINTER, _COUNT, _TABLE):
        return NOWHERE
    if count > FUNCTIONS_MAX or len(data) < _HEADER.size + count * _ENTRY.size:
        return NOWHERE
    frames = _Frames(elf, header.address + 4 + frames_at)
    base = min((s.address for s in elf.segments), default=0)
    starts, sizes = array("I"), array("I")
    least = -1
    for number, (start, described_at) in enumerate(
        _ENTRY.iter_unpack(memoryview(data)[_HEADER.size : _HEADER.size + count * _ENTRY.size])
    ):
        if number and not number % _AT_ONCE:
            pause()
        at = header.address + start - base
        size = frames.size_of_function(header.address + described_at)
        # What is out of order or out of range would be found for addresses of others.
        if least < at < _SPAN and 0 < size < _SPAN:
            starts.append(at)
            sizes.append(size)
            least = at
    return FunctionStarts(base, starts, sizes)


class _Frames:
    """The bytes of .eh_frame, as far as the sizes of functions are in them."""

    def __init__(self, elf: ElfFile, address: int) -> None:
        self._address = address
        segment = next((s for s in elf.segments if s.address <= address < s.address + s.file_size), None)
        if segment is None:
            raise ElfError(".eh_frame_hdr leads nowhere")
        skipped = address - segment.address
        self._data = elf.reader.read_at(segment.offset + skipped, min(segment.file_size - skipped, _BYTES_MAX))

    def size_of_function(self, described_at: int) -> int:
        """Of the description at an address; 0 where there is none. Its pointers are 32 bits, as the header's are."""
        at = described_at - self._address + 12
        return int.from_bytes(self._data[at : at + 4], "little") if 12 <= at <= len(self._data) - 4 else 0
