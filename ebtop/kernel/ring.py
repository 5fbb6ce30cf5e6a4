"""Drain a BPF ring buffer of fixed-size records: mmap, one copy, no callback and no system call."""

from __future__ import annotations

import mmap
import struct
from itertools import takewhile
from typing import Any

from ebtop.kernel.artifact import Layout
from ebtop.kernel.maps import Map

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEADER = "=II"  # length with the two flag bits, page offset


class Ring:
    """A BPF_MAP_TYPE_RINGBUF whose records all have the layout given.

    The kernel maps one page with the consumer's position, one with the producer's, then the data. It offers the
    data twice in a row for records that wrap around; one copy is mapped here, to count as memory once.
    """

    def __init__(self, ring: Map, layout: Layout) -> None:
        """Raises OSError when the buffer can't be mapped."""
        page = mmap.PAGESIZE
        self._size = ring.spec.max_entries
        padding = -layout.size % 8
        self._record = struct.Struct(f"{_HEADER}{layout.format[1:]}{padding}x")
        self._consumer_map = mmap.mmap(ring.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_map = mmap.mmap(ring.fd, page + self._size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._consumer_map)[:8].cast("Q")
        self._producer = memoryview(self._producer_map)[:8].cast("Q")
        self._data = memoryview(self._producer_map)[page:]
        self._words = self._data.cast("I")

    def close(self) -> None:
        """Unmap. The ring must not be drained afterwards."""
        for view in (self._consumer, self._producer, self._words, self._data):
            view.release()
        self._consumer_map.close()
        self._producer_map.close()

    @property
    def fill(self) -> float:
        """Part of the buffer that is waiting, 0..1."""
        return (self._producer[0] - self._consumer[0]) / self._size

    def drain(self) -> list[tuple[Any, ...]]:
        """The records that are complete, oldest first: tuples of two header fields and the layout's fields.

        A record that a program has reserved and not yet submitted ends the drain; the rest comes next time.
        """
        consumed, produced = self._consumer[0], self._producer[0]
        size = self._record.size
        # The flags are looked at before the data is copied: what was complete then stays so.
        lengths = self._lengths(consumed, produced - consumed)
        if not lengths:
            return []
        flagged = max(lengths) >= _DISCARDED
        if flagged:
            lengths = list(takewhile(lambda length: not length & _BUSY, lengths))
        used = len(lengths) * size
        records = list(self._record.iter_unpack(self._copy(consumed, used)))
        self._consumer[0] = consumed + used
        return [r for r in records if not r[0] & _DISCARDED] if flagged else records

    def _lengths(self, position: int, waiting: int) -> list[int]:
        """The first header word of each record."""
        step = self._record.size
        start = position & (self._size - 1)
        end = start + waiting
        words = self._words[start // 4 : min(end, self._size) // 4 : step // 4].tolist()
        if end > self._size:
            start += len(words) * step - self._size
            words += self._words[start // 4 : (end - self._size) // 4 : step // 4].tolist()
        return words

    def _copy(self, position: int, length: int) -> bytes | memoryview:
        start = position & (self._size - 1)
        if start + length <= self._size:
            return self._data[start : start + length]
        return bytes(self._data[start:]) + bytes(self._data[: start + length - self._size])
