"""The code cache of a running JVM: what code lies where. Source: codeCache.hpp, heap.hpp, codeBlob.hpp of OpenJDK."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ebtop.hotspot.vm_structs import Field, VmStructs
from ebtop.process.memory import ProcessMemory, UnreadableMemory

_HEAPS_MAX = 16
_BLOBS_MAX = 200_000
_UNUSED_SEGMENT = 0xFF
_HOPS_MAX = 64
_FORMATS = {1: "<b", 2: "<h", 4: "<i", 8: "<q"}
_NMETHODS = (b"nmethod", b"native nmethod")


class CodeHeap(NamedTuple):
    """A part of the code cache: [low, high) is in use."""

    low: int
    high: int
    segment_map: int
    """Address of a byte for each segment: how many to go back to where its block begins."""
    segment_shift: int


class CodeBlob(NamedTuple):
    """A piece of generated code."""

    address: int
    """Of the blob's header, which tells it apart as long as it lives."""
    name: bytes
    """nmethod, Interpreter, StubRoutines (1), RuntimeStub - ..."""
    begin: int
    """Its code is [begin, end)."""
    end: int
    frame_size: int
    """Words of a frame, the return address included; 0 or less = it has none of a fixed size."""
    frame_complete: int
    """Bytes from `begin` after which the frame is set up; less than 0 = never."""
    method: int
    """Address of the Method that was compiled; 0 = not a method."""


class CodeCache:
    """Reads one version of HotSpot's code cache; the same for all processes that run the same libjvm.so."""

    def __init__(self, structs: VmStructs) -> None:
        """Raises UnknownVm."""
        field = structs.field
        self._heaps = field(("CodeCache", "_heaps"))
        self._array_length = field(("GrowableArrayBase", "_len"), ("GenericGrowableArray", "_len"))
        self._array_data = field(("GrowableArray<int>", "_data"), ("GenericGrowableArray", "_data"))
        self._heap_memory = field(("CodeHeap", "_memory"))
        self._heap_segments = field(("CodeHeap", "_segmap"))
        self._segment_shift = field(("CodeHeap", "_log2_segment_size"))
        self._space_low = field(("VirtualSpace", "_low"))
        self._space_high = field(("VirtualSpace", "_high"))
        self._block_length = field(("HeapBlock::Header", "_length"))
        self._block_used = field(("HeapBlock::Header", "_used"))
        self._block_size = structs.size("HeapBlock")
        self._name = field(("CodeBlob", "_name"))
        self._size = field(("CodeBlob", "_size"))
        self._frame_size = field(("CodeBlob", "_frame_size"))
        self._frame_complete = field(("CodeBlob", "_frame_complete_offset"))
        # Addresses up to JDK 22, offsets from the header since.
        self._absolute = structs.has("CodeBlob", "_code_begin")
        self._code = field(("CodeBlob", "_code_begin"), ("CodeBlob", "_code_offset"))
        self._code_end = field(("CodeBlob", "_code_end"), ("CodeBlob", "_data_offset"))
        self._method = field(("nmethod", "_method"), ("CompiledMethod", "_method"))
        in_header = (self._name, self._size, self._frame_size, self._frame_complete, self._code, self._code_end)
        self._header_size = max([f.offset + f.width for f in (*in_header, self._method)])
        self._names: dict[int, bytes] = {}

    def heaps(self, memory: ProcessMemory) -> list[CodeHeap]:
        """Raises UnreadableMemory."""
        array = memory.u64(self._heaps.offset)
        count = min(_read(memory, array, self._array_length), _HEAPS_MAX)
        data = memory.u64(array + self._array_data.offset)
        return [self._heap(memory, memory.u64(data + 8 * number)) for number in range(count)]

    def _heap(self, memory: ProcessMemory, heap: int) -> CodeHeap:
        space = heap + self._heap_memory.offset
        return CodeHeap(
            memory.u64(space + self._space_low.offset),
            memory.u64(space + self._space_high.offset),
            memory.u64(heap + self._heap_segments.offset + self._space_low.offset),
            _read(memory, heap, self._segment_shift) & 31,
        )

    def blob_at(self, memory: ProcessMemory, heap: CodeHeap, address: int) -> CodeBlob | None:
        """What lies at an address of a heap; None where nothing is (any more). Raises UnreadableMemory."""
        segment = address - heap.low >> heap.segment_shift
        for _ in range(_HOPS_MAX):
            if segment < 0:
                return None
            (back,) = memory.read(heap.segment_map + segment, 1)
            if back == _UNUSED_SEGMENT:
                return None
            if not back:
                return self.blob_in(memory, heap, segment)
            segment -= back
        return None

    def blob(self, memory: ProcessMemory, address: int) -> CodeBlob | None:
        """The blob whose header is at an address; None where it makes no sense. Raises UnreadableMemory."""
        return self._decode(memory, address, memory.read(address, self._header_size), 0)

    def blobs(self, memory: ProcessMemory, heap: CodeHeap) -> Iterator[CodeBlob]:
        """All of a heap by address: about 15 us each. Raises UnreadableMemory."""
        at = heap.low
        for _ in range(_BLOBS_MAX):
            if at + self._block_size + self._header_size > heap.high:
                return
            data = memory.read(at, self._block_size + self._header_size)
            length = _unpack(data, 0, self._block_length)
            if length <= 0:
                return
            if _unpack(data, 0, self._block_used):
                blob = self._decode(memory, at + self._block_size, data, self._block_size)
                if blob is not None:
                    yield blob
            at += length << heap.segment_shift

    def blob_in(self, memory: ProcessMemory, heap: CodeHeap, segment: int) -> CodeBlob | None:
        """What the block holds that begins at a segment; None for a free one. Raises UnreadableMemory."""
        block = heap.low + (segment << heap.segment_shift)
        data = memory.read(block, self._block_size + self._header_size)
        if not _unpack(data, 0, self._block_used):
            return None
        return self._decode(memory, block + self._block_size, data, self._block_size)

    def _decode(self, memory: ProcessMemory, address: int, data: bytes, at: int) -> CodeBlob | None:
        name = self._blob_name(memory, _unpack(data, at, self._name))
        begin, end = _unpack(data, at, self._code), _unpack(data, at, self._code_end)
        if not self._absolute:
            begin, end = address + begin, address + end
        size = _unpack(data, at, self._size)
        if not address <= begin <= end <= address + size:
            return None
        method = _unpack(data, at, self._method) if name in _NMETHODS else 0
        frame_size, complete = _unpack(data, at, self._frame_size), _unpack(data, at, self._frame_complete)
        return CodeBlob(address, name, begin, end, frame_size, complete, method)

    def _blob_name(self, memory: ProcessMemory, pointer: int) -> bytes:
        if pointer not in self._names:
            if len(self._names) > 4096:
                self._names.clear()
            try:
                self._names[pointer] = memory.string(pointer, 100)
            except UnreadableMemory:
                return b""
        return self._names[pointer]


def _read(memory: ProcessMemory, address: int, field: Field) -> int:
    return _unpack(memory.read(address + field.offset, field.width), 0, field._replace(offset=0))


def _unpack(data: bytes, at: int, field: Field) -> int:
    (value,) = struct.unpack_from(_FORMATS[field.width], data, at + field.offset)
    return int(value)
