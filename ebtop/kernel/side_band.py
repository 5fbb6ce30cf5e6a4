"""What processes do to their address spaces, as the kernel tells it: new executable mappings, exec, fork, exit.

One perf event a CPU that counts nothing and only carries these records. Each CPU has a buffer of its own, so what
comes out of them is put in order by time.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import time
from collections import deque
from collections.abc import Container
from typing import NamedTuple

from ebtop.kernel import syscall
from ebtop.kernel.cpus import online_cpus

_TYPE_SOFTWARE, _COUNT_DUMMY, _ATTR_SIZE = 1, 9, 112
_SAMPLE_TIME = 1 << 2
_CLOCK_MONOTONIC = 1
_DISABLED, _MMAP, _COMM, _TASK, _WATERMARK, _SAMPLE_ID_ALL, _MMAP2, _COMM_EXEC, _USE_CLOCKID = (
    1 << bit for bit in (0, 8, 9, 13, 14, 18, 23, 24, 25)
)
_ATTR_CLOCKID_AT = 92
_IOC_ENABLE = 0x2400
_RECORD_LOST, _RECORD_COMM, _RECORD_EXIT, _RECORD_FORK, _RECORD_MMAP2 = 2, 3, 4, 7, 10
_MISC_COMM_EXEC = 1 << 13
_PROT_EXEC = 4
_HEAD_WORD, _TAIL_WORD = 128, 129
"""data_head and data_tail of struct perf_event_mmap_page, in words of 8 bytes."""
_HEADER = struct.Struct("=IHHI")
"""struct perf_event_header, and the pid with which all records here begin."""
_PARENT_AND_TID = struct.Struct("=12xII")
"""Of forks and ends."""
_MMAP2_RECORD = struct.Struct("=16x QQQ IIQQ II")
_TIME = struct.Struct("=Q")
_PID = struct.Struct("=I")
_PATH_AT = 72
_RECENT_S, _RECENT_BYTES = 3.0, 1 << 20
"""What was read is kept so long, and no more of it."""
_PAGES, _PAGES_OF_MANY, _MANY_CPUS = 32, 16, 8
"""Of each CPU's buffer; smaller ones where there are many."""
_WAKE_BYTES = 16 << 10
"""A buffer that takes in so much more is ready to be read: what some dozen programs tell from start to end."""


MAPPED, EXECUTED, FORKED, ENDED = range(4)
"""Memory was mapped, or became executable (PERF_RECORD_MMAP2); exec, so that the address space is another one
(PERF_RECORD_COMM); a process, not a thread, began (PERF_RECORD_FORK); the first thread of one ended
(PERF_RECORD_EXIT)."""

SideBandEvent = tuple[int, int, int, int, bytes]
"""When, by CLOCK_MONOTONIC in ns as bpf_ktime_get_ns(); which of these; the pid; FORKED: the parent's, else 0;
MAPPED: the record as the kernel wrote it, for `mapped`."""


def time_of(event: SideBandEvent) -> int:
    return event[0]


class Mapped(NamedTuple):
    """What a record of MAPPED says."""

    start: int
    length: int
    offset: int
    """Byte of the file at `start`."""
    device: int
    inode: int
    path: bytes
    """As the process sees it; "//anon" and such for what is no file."""


class SideBand:
    """Open events on all online CPUs. One thread reads and closes."""

    def __init__(self) -> None:
        """Raises OSError where perf events are not to be had."""
        self.lost = 0
        """Records that found a buffer full."""
        self._buffers: list[_Buffer] = []
        self._recent_bytes = 0
        self._recent: deque[tuple[float, bytes]] = deque()
        """What was read, and when by time.monotonic: of most processes nobody wants to know until they are sampled."""
        cpus = online_cpus()
        pages = _PAGES if len(cpus) <= _MANY_CPUS else _PAGES_OF_MANY
        try:
            self._buffers.extend(_Buffer(cpu, pages) for cpu in cpus)
        except OSError:
            self.close()
            raise

    def filenos(self) -> list[int]:
        """What poll(2) finds ready to be read once something came that is worth it; less may be there before."""
        return [buffer.fd for buffer in self._buffers]

    def read(self, wanted: Container[int] | None = None) -> list[SideBandEvent]:
        """What came since the last time, that of one CPU behind that of another; only of these processes, if given."""
        events: list[SideBandEvent] = []
        now = time.monotonic()
        for buffer in self._buffers:
            data = buffer.take()
            if data:
                self.lost += _read(data, wanted, events)
                self._recent.append((now, data))
                self._recent_bytes += len(data)
        while self._recent and (self._recent[0][0] < now - _RECENT_S or self._recent_bytes > _RECENT_BYTES):
            self._recent_bytes -= len(self._recent.popleft()[1])
        return events

    def recent(self, pid: int) -> list[SideBandEvent]:
        """Of what was read in the last seconds what a process did, in order. From any thread, also after `close`."""
        events: list[SideBandEvent] = []
        number = _PID.pack(pid)
        for _, data in tuple(self._recent):
            if number in data:
                _read(data, (pid,), events)
        events.sort()
        return events

    def close(self) -> None:
        for buffer in self._buffers:
            buffer.close()
        self._buffers = []


class _Buffer:
    def __init__(self, cpu: int, pages: int) -> None:
        flags = _DISABLED | _MMAP | _COMM | _TASK | _WATERMARK | _SAMPLE_ID_ALL | _MMAP2 | _COMM_EXEC | _USE_CLOCKID
        attr = syscall.attr(
            "=IIQQQQQI", _TYPE_SOFTWARE, _ATTR_SIZE, _COUNT_DUMMY, 0, _SAMPLE_TIME, 0, flags, _WAKE_BYTES,
            size=_ATTR_SIZE,
        )  # fmt: skip
        struct.pack_into("=i", attr, _ATTR_CLOCKID_AT, _CLOCK_MONOTONIC)
        self.fd = syscall.perf_event_open(attr, -1, cpu)
        self._size = pages * mmap.PAGESIZE
        try:
            self._map = mmap.mmap(self.fd, mmap.PAGESIZE + self._size, mmap.MAP_SHARED)
            fcntl.ioctl(self.fd, _IOC_ENABLE, 0)
        except OSError:
            os.close(self.fd)
            raise
        self._control = memoryview(self._map)[: mmap.PAGESIZE].cast("Q")
        self._data = memoryview(self._map)[mmap.PAGESIZE :]

    def take(self) -> bytes:
        """The records that came."""
        head, tail = self._control[_HEAD_WORD], self._control[_TAIL_WORD]
        if head == tail:
            return b""
        start, end = tail % self._size, head % self._size
        data = bytes(self._data[start:end]) if start < end else bytes(self._data[start:]) + bytes(self._data[:end])
        self._control[_TAIL_WORD] = head
        return data

    def close(self) -> None:
        self._control.release()
        self._data.release()
        with contextlib.suppress(BufferError):
            self._map.close()
        os.close(self.fd)


def _read(data: bytes, wanted: Container[int] | None, events: list[SideBandEvent]) -> int:
    """Add what records say of these processes, or of all; returns how many records were lost."""
    lost = at = 0
    while at < len(data):
        # The shortest records have two words behind the header, and each has its time at the end.
        kind, misc, size, pid = _HEADER.unpack_from(data, at)
        begin, at = at, at + size
        if wanted is not None and pid not in wanted and kind != _RECORD_LOST:
            continue
        moment = _TIME.unpack_from(data, at - _TIME.size)[0]
        if kind == _RECORD_MMAP2:
            events.append((moment, MAPPED, pid, 0, data[begin:at]))
        elif kind == _RECORD_FORK:
            parent, _ = _PARENT_AND_TID.unpack_from(data, begin)
            if pid != parent:
                events.append((moment, FORKED, pid, parent, b""))
        elif kind == _RECORD_EXIT:
            _, tid = _PARENT_AND_TID.unpack_from(data, begin)
            if pid == tid:
                events.append((moment, ENDED, pid, 0, b""))
        elif kind == _RECORD_COMM:
            if misc & _MISC_COMM_EXEC:
                events.append((moment, EXECUTED, pid, 0, b""))
        elif kind == _RECORD_LOST:
            lost += int.from_bytes(data[begin + 16 : begin + 24], "little")
    return lost


def mapped(record: bytes) -> Mapped | None:
    """What a record of MAPPED says; None for memory that can't be executed."""
    start, length, offset, major, minor, inode, _, protection, _ = _MMAP2_RECORD.unpack_from(record)
    if not protection & _PROT_EXEC:
        return None
    path = record[_PATH_AT : record.index(b"\0", _PATH_AT)]
    return Mapped(start, length, offset, os.makedev(major, minor), inode, path)
