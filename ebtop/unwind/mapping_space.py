"""Room for the executable mappings of all processes in one array, a block for each address space."""

from __future__ import annotations

import mmap
import struct
from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

from ebtop.kernel.maps import Map

_SPAN = struct.Struct("=QQQIxxxx")
_BIAS_AT, _TABLE_AT = 16, 24
"""In a span."""
_MASK = (1 << 64) - 1


class Span(NamedTuple):
    """struct unwind_mapping of bpf/unwind.h."""

    start: int
    end: int
    bias: int
    table: int


class MappingSpace:
    """Blocks of spans in the map unwind_mappings. One thread only."""

    def __init__(self, mappings: Map) -> None:
        """Raises OSError when the array can't be mapped."""
        self._size = mappings.spec.max_entries
        length = self._size * _SPAN.size
        self._memory = mmap.mmap(mappings.fd, -(-length // mmap.PAGESIZE) * mmap.PAGESIZE, mmap.MAP_SHARED)
        self._free: list[tuple[int, int]] = [(0, self._size)]
        """(first, count), ascending, no two of them touching."""
        self._leaving: list[tuple[int, int]] = []

    def close(self) -> None:
        self._memory.close()

    def put(self, spans: Sequence[Span]) -> int | None:
        """Write a block, ascending; returns where it begins, None when there is no room."""
        count = len(spans)
        for at, (first, free) in enumerate(self._free):
            if free >= count:
                rest = [(first + count, free - count)] if free > count else []
                self._free[at : at + 1] = rest
                break
        else:
            return None
        self._memory[first * _SPAN.size : (first + count) * _SPAN.size] = b"".join(
            [_SPAN.pack(start, end, bias & _MASK, table) for start, end, bias, table in spans]
        )
        return first

    def set_table(self, index: int, bias: int, table: int) -> None:
        """Have one span look its rules up there from now on."""
        # In this order: a walk that sees the table sees its bias.
        struct.pack_into("=Q", self._memory, index * _SPAN.size + _BIAS_AT, bias & _MASK)
        struct.pack_into("=I", self._memory, index * _SPAN.size + _TABLE_AT, table)

    def remove(self, first: int, count: int) -> None:
        """Give a block up; walks that are under way may still read it, until the `settle` after next."""
        if count:
            self._leaving.append((first, count))

    def settle(self) -> None:
        """A while has passed: what was removed before can be written over."""
        for first, count in self._leaving:
            insort(self._free, (first, count))
        if self._leaving:
            self._leaving = []
            merged: list[tuple[int, int]] = []
            for first, count in self._free:
                if merged and sum(merged[-1]) == first:
                    merged[-1] = (merged[-1][0], merged[-1][1] + count)
                else:
                    merged.append((first, count))
            self._free = merged
