"""Drain a BPF ring buffer of fixed-size records: mmap, one copy, no callback, no system call when nothing came.

Taking bytes out of the kernel's buffer and making records of them are two steps: the first costs next to nothing
and may not be late, the second takes microseconds for each record and may wait while a storm lasts.
"""

from __future__ import annotations

import mmap
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any

from ebtop.kernel.artifact import Layout
from ebtop.kernel.maps import Map

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEADER_BYTES = 8  # length with the two flag bits, page offset
_DATA_PAGE = 2
MAX_WAITING_BYTES = 32 << 20
"""What may wait, copied, for being made into records; beyond that it is dropped and counted."""


class Ring:
    """A BPF_MAP_TYPE_RINGBUF whose records all have the layout given.

    The kernel maps one page with the consumer's position, one with the producer's, then the data, twice in a row for
    records that wrap around. What of the data is mapped counts as this process's memory although it is the map's, so
    only what is being copied is mapped, and not for longer.
    `pull` may run in another thread than `drain`.
    """

    def __init__(self, ring: Map, layout: Layout) -> None:
        """Raises OSError when the buffer can't be mapped."""
        page = mmap.PAGESIZE
        self._size = ring.spec.max_entries
        padding = -layout.size % 8
        self._record = struct.Struct(f"={_HEADER_BYTES}x{layout.format[1:]}{padding}x")
        self._fd = ring.fd
        self._consumer_map = mmap.mmap(ring.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_map = mmap.mmap(ring.fd, page, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._consumer_map)[:8].cast("Q")
        self._producer = memoryview(self._producer_map)[:8].cast("Q")
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
            for view in (self._consumer, self._producer):
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
            if produced != consumed:
                # Without memory to map it, it stays where it is: the kernel counts what it has no room for.
                with suppress(OSError), self._mapped(consumed, produced) as data:
                    self._consumer[0] = consumed + self._take(data)
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

    @contextmanager
    def _mapped(self, consumed: int, produced: int) -> Iterator[memoryview]:
        """What lies between two positions."""
        start = consumed & (self._size - 1)
        skipped = start % mmap.PAGESIZE
        length = skipped + produced - consumed
        offset = _DATA_PAGE * mmap.PAGESIZE + start - skipped
        with (
            mmap.mmap(self._fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset) as mapped,
            memoryview(mapped) as view,
            view[skipped:] as data,
        ):
            yield data

    def _take(self, data: memoryview) -> int:
        """Copy complete records; returns their bytes in the buffer."""
        step = self._record.size
        # The flags are looked at before the data is copied: what was complete then stays so.
        with data.cast("I") as words, words[:: step // 4] as headers:
            lengths = headers.tolist()
        if max(lengths) & _BUSY:
            lengths = list(takewhile(lambda length: not length & _BUSY, lengths))
        used = len(lengths) * step
        if self._waiting_bytes + used > MAX_WAITING_BYTES:
            self.lost += len(lengths)
        elif used:
            copied = bytes(data[:used])
            if max(lengths) & _DISCARDED:
                copied = self._without_discarded(copied, lengths)
            self._waiting.append(copied)
            self._waiting_bytes += len(copied)
        return used

    def _without_discarded(self, data: bytes, lengths: list[int]) -> bytes:
        size = self._record.size
        return b"".join(
            [data[i * size : (i + 1) * size] for i, length in enumerate(lengths) if not length & _DISCARDED]
        )
