"""Symbol names kept compressed: a big binary has megabytes of them and a profile shows a few hundred."""

from __future__ import annotations

import zlib

BLOCK = 4096
"""Bytes of names compressed together; decompressing one costs about 10 us and is paid once a new address."""
NAME_MAX = 2048
"""Longer names (deep C++ templates) are cut here, in bytes."""


class PackedStrings:
    """NUL-terminated strings in one address space of bytes, appended once and then only read."""

    __slots__ = ("_blocks", "_compressed", "_open_block", "_open_index", "_tail")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._compressed = 0
        self._tail = bytearray()
        self._open_index = -1
        self._open_block = b""

    def __len__(self) -> int:
        """Bytes of text held, before compression."""
        return len(self._blocks) * BLOCK + len(self._tail)

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken."""
        return self._compressed + len(self._blocks) * 41 + len(self._tail) + len(self._open_block)

    def append(self, data: bytes) -> int:
        """Add bytes at the end; returns the offset at which they begin."""
        begin = len(self)
        self._tail += data
        full = len(self._tail) - len(self._tail) % BLOCK
        if full:
            for at in range(0, full, BLOCK):
                block = zlib.compress(bytes(self._tail[at : at + BLOCK]), 1)
                self._blocks.append(block)
                self._compressed += len(block)
            del self._tail[:full]
        return begin

    def string(self, offset: int) -> bytes:
        """The string at an offset, without its NUL; b"" when the offset lies outside."""
        index, skip = divmod(offset, BLOCK)
        parts = []
        length = 0
        while 0 <= index <= len(self._blocks) and length < NAME_MAX:
            block = self._block(index)
            end = block.find(b"\0", skip)
            parts.append(block[skip:] if end < 0 else block[skip:end])
            if end >= 0:
                break
            length += len(block) - skip
            index, skip = index + 1, 0
        return b"".join(parts)[:NAME_MAX]

    def _block(self, index: int) -> bytes:
        if index == len(self._blocks):
            return bytes(self._tail)
        if index != self._open_index:
            self._open_block = zlib.decompress(self._blocks[index])
            self._open_index = index
        return self._open_block
