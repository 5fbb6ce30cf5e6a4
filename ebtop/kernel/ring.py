"""Drain a BPF ring buffer of fixed-size records: mmap, one copy, no callback and no system call.

Taking bytes out of the kernel's buffer and making records of them are two steps: the first costs next to nothing
and may not be late, the second takes microseconds for each record and may wait while a storm lasts.
"""

from __future__ import annotations

import mmap
import struct
import threading
from collections import deque
from itertools import takewhile
from typing import Any

from ebtop.kernel.artifact import Layout
from ebtop.kernel.maps import Map

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEADER_BYTES = 8  # length with the two flag bits, page offset
MAX_WAITING_BYTES = 32 << 20
"""What may wait, copied, for being made into records; beyond that it is dropped and counted."""


class Ring:
    """A BPF_MAP_TYPE_RINGBUF whose records all have the layout given.

    The kernel maps one page with the consumer's position, one with the producer's, then the data. It offers the
    data twice in a row for records that wrap around; one copy is mapped here, to count as memory once.
    `pull` may run in another thread than `drain`.
    """

    def __init__(self, ring: Map, layout: Layout) -> None:
        """Raises OSError when the buffer can't be mapped."""
        page = mmap.PAGESIZE
        self._size = ring.spec.max_entries
        padding = -layout.size % 8
        self._record = struct.Struct(f"={_HEADER_BYTES}x{layout.format[1:]}{padding}x")
        self._consumer_map = mmap.mmap(ring.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_map = mmap.mmap(ring.fd, page + self._size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._consumer_map)[:8].cast("Q")
        self._producer = memoryview(self._producer_map)[:8].cast("Q")
        self._data = memoryview(self._producer_map)[page:]
        self._words = self._data.cast("I")

        self._lock = threading.Lock()
        self._closed = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self.lost = 0
        """Records dropped because nobody made use of them in time."""

    def close(self) -> None:
        """Unmap; what was pulled can still be drained."""
        with self._lock:
            self._closed = True
            for view in (self._consumer, self._producer, self._words, self._data):
                view.release()
            self._consumer_map.close()
            self._producer_map.close()

    @property
    def fill(self) -> float:
        """Part of the buffer that is waiting, 0..1."""
        with self._lock:
            return 0.0 if self._closed else (self._producer[0] - self._consumer[0]) / self._size

    def pull(self) -> float:
        """Copy what is complete out of the kernel's buffer; returns how full it was, 0..1.

        A record that a program has reserved and not yet submitted ends the copy; the rest comes next time.
        """
        with self._lock:
            if self._closed:
                return 0.0
            consumed, produced = self._consumer[0], self._producer[0]
            # The flags are looked at before the data is copied: what was complete then stays so.
            lengths = self._lengths(consumed, produced - consumed)
            if not lengths:
                return 0.0
            if max(lengths) & _BUSY:
                lengths = list(takewhile(lambda length: not length & _BUSY, lengths))
            used = len(lengths) * self._record.size
            if self._waiting_bytes + used > MAX_WAITING_BYTES:
                self.lost += len(lengths)
            elif used:
                data = self._copy(consumed, used)
                if max(lengths) & _DISCARDED:
                    data = self._without_discarded(data, lengths)
                self._waiting.append(data)
                self._waiting_bytes += len(data)
            self._consumer[0] = consumed + used
            return (produced - consumed) / self._size

    def drain(self, limit: int = 1 << 30) -> list[tuple[Any, ...]]:
        """Complete records, oldest first: tuples of the layout's fields.

        Ends once there are `limit` or more of them; `waiting` says whether there is more.
        """
        self.pull()
        records: list[tuple[Any, ...]] = []
        while self._waiting and len(records) < limit:
            with self._lock:
                data = self._waiting.popleft()
                self._waiting_bytes -= len(data)
            records.extend(self._record.iter_unpack(data))
        return records

    @property
    def waiting(self) -> bool:
        """Whether pulled records wait for `drain`."""
        return bool(self._waiting)

    def _without_discarded(self, data: bytes, lengths: list[int]) -> bytes:
        size = self._record.size
        return b"".join(
            [data[i * size : (i + 1) * size] for i, length in enumerate(lengths) if not length & _DISCARDED]
        )

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

    def _copy(self, position: int, length: int) -> bytes:
        start = position & (self._size - 1)
        if start + length <= self._size:
            return bytes(self._data[start : start + length])
        return bytes(self._data[start:]) + bytes(self._data[: start + length - self._size])
