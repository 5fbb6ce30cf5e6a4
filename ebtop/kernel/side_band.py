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
_HEADER = struct.Struct("=IHH")
_MMAP2_RECORD = struct.Struct("=8xII QQQ IIQQ II")
_TASK_RECORD = struct.Struct("=8xIIII")
_PATH_AT = 72
_PAGES, _PAGES_OF_MANY, _MANY_CPUS = 32, 16, 8
"""Of each CPU's buffer; smaller ones where there are many."""
_WAKE_BYTES = 2048
"""A buffer that takes in so much more is ready to be read: what one or two programs tell from start to end."""


class NewMapping(NamedTuple):
    """Executable memory was mapped, or memory became executable (PERF_RECORD_MMAP2)."""

    time: int
    """CLOCK_MONOTONIC, ns, as bpf_ktime_get_ns(). All of these start with it."""
    pid: int
    start: int
    length: int
    offset: int
    """Byte of the file at `start`."""
    device: int
    inode: int
    path: bytes
    """As the process sees it; "//anon" and such for what is no file."""


class NewProgram(NamedTuple):
    """exec: the address space is another one (PERF_RECORD_COMM)."""

    time: int
    pid: int


class Forked(NamedTuple):
    """A process, not a thread (PERF_RECORD_FORK)."""

    time: int
    pid: int
    parent: int


class Ended(NamedTuple):
    """The first thread of a process ended (PERF_RECORD_EXIT)."""

    time: int
    pid: int


SideBandEvent = NewMapping | NewProgram | Forked | Ended


class SideBand:
    """Open events on all online CPUs. One thread reads and closes."""

    def __init__(self) -> None:
        """Raises OSError where perf events are not to be had."""
        self.lost = 0
        """Records that found a buffer full."""
        self._buffers: list[_Buffer] = []
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

    def read(self) -> list[SideBandEvent]:
        """What came since the last time, in order."""
        events: list[SideBandEvent] = []
        for buffer in self._buffers:
            self.lost += buffer.read(events)
        events.sort(key=lambda event: event.time)
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

    def read(self, events: list[SideBandEvent]) -> int:
        """Add what came; returns how many records were lost."""
        head, tail = self._control[_HEAD_WORD], self._control[_TAIL_WORD]
        if head == tail:
            return 0
        start, end = tail % self._size, head % self._size
        data = bytes(self._data[start:end]) if start < end else bytes(self._data[start:]) + bytes(self._data[:end])
        self._control[_TAIL_WORD] = head
        lost = at = 0
        while at < len(data):
            kind, misc, size = _HEADER.unpack_from(data, at)
            record = data[at : at + size]
            at += size
            if kind == _RECORD_LOST:
                lost += int.from_bytes(record[16:24], "little")
            else:
                event = _event(kind, misc, record)
                if event is not None:
                    events.append(event)
        return lost

    def close(self) -> None:
        self._control.release()
        self._data.release()
        with contextlib.suppress(BufferError):
            self._map.close()
        os.close(self.fd)


def _event(kind: int, misc: int, record: bytes) -> SideBandEvent | None:
    """None for what nobody here wants: threads, names, data."""
    time = int.from_bytes(record[-8:], "little")
    if kind == _RECORD_MMAP2:
        pid, _, start, length, offset, major, minor, inode, _, protection, _ = _MMAP2_RECORD.unpack_from(record)
        if not protection & _PROT_EXEC:
            return None
        path = record[_PATH_AT : record.index(b"\0", _PATH_AT)]
        return NewMapping(time, pid, start, length, offset, os.makedev(major, minor), inode, path)
    pid, parent, tid, _ = _TASK_RECORD.unpack_from(record)
    if kind == _RECORD_FORK:
        return Forked(time, pid, parent) if pid != parent else None
    if kind == _RECORD_EXIT:
        return Ended(time, pid) if pid == tid else None
    return NewProgram(time, pid) if kind == _RECORD_COMM and misc & _MISC_COMM_EXEC else None
