"""Functions compiled at run time, from /tmp/perf-PID.map, as V8, HotSpot agents, .NET and CPython write it."""

from __future__ import annotations

import os
import stat
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable

from ebtop.store.records import Frame
from ebtop.symbols.frames import FrameCache
from ebtop.symbols.lru import ByteLru
from ebtop.symbols.packed import NAME_MAX, PackedStrings
from ebtop.symbols.process import read_ids
from ebtop.symbols.processes import Process
from ebtop.text import printable

READ_MAX = 32 << 20
"""Bytes of one file that are read; what comes after has no names."""
_ENTRIES_MAX = 300_000
_CHUNK = 1 << 18
CHECK_S = 0.5
_COST_SHARE = 20
"""A file that keeps growing is read again when this many times the last reading's time has passed."""
_PYTHON = b"py::"
"""How CPython (from 3.12, with -X perf) marks its functions."""
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY


class PerfMap:
    """One file's entries. Code is replaced while the program runs: where entries overlap the later one counts."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._sizes = array("I")
        self._names = array("I")
        self._order = array("I")
        self._strings = PackedStrings()
        self._frames = FrameCache(1024)
        self._rest = b""
        self._entries = 0
        self.file: tuple[int, int] = (0, 0)
        """Device and inode."""
        self.read_bytes = 0
        self.next_check = 0.0

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def nbytes(self) -> int:
        return 600 + 20 * len(self._starts) + self._strings.nbytes + self._frames.nbytes + len(self._rest)

    def frame(self, address: int) -> Frame | None:
        """The function that covers an address."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address - self._starts[index] >= self._sizes[index]:
            return None
        frame = self._frames.get(index)
        if frame is None:
            name = self._strings.string(self._names[index])
            frame = Frame(printable(name), "interpreted" if name.startswith(_PYTHON) else "jit", "")
            self._frames.put(index, frame)
        return frame

    def extend(self, data: bytes) -> None:
        """Take the bytes that follow those taken so far: lines "start size name", numbers in hexadecimal."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[: NAME_MAX + 64]
        added = []
        for line in lines:
            entry = _parse(line)
            if entry is not None and self._entries < _ENTRIES_MAX:
                start, size, name = entry
                added.append((start, self._entries, size, self._strings.append(name + b"\0")))
                self._entries += 1
        if added:
            self._merge(added)

    def _merge(self, added: list[tuple[int, int, int, int]]) -> None:
        rows = list(zip(self._starts, self._order, self._sizes, self._names, strict=True))
        rows += added
        rows.sort()
        kept: list[tuple[int, int, int, int]] = []
        for row in rows:
            start, order, _, _ = row
            while kept and kept[-1][0] + kept[-1][2] > start and kept[-1][1] < order:
                kept.pop()
            if not kept or kept[-1][0] + kept[-1][2] <= start:
                kept.append(row)
        self._frames.clear()
        self._starts = array("Q", [row[0] for row in kept])
        self._order = array("I", [row[1] for row in kept])
        self._sizes = array("I", [row[2] for row in kept])
        self._names = array("I", [row[3] for row in kept])


class PerfMaps:
    """Perf maps by process, within a number of bytes. One thread only; holds no file open."""

    def __init__(self, cache_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._maps: ByteLru[PerfMap] = ByteLru(cache_bytes)

    @property
    def memory_bytes(self) -> int:
        return self._maps.nbytes

    def frame(self, process: Process, address: int) -> Frame | None:
        """The run-time compiled function at an address of a process."""
        key = (process.pid, process.identity)
        perf_map = self._maps.get(key)
        if perf_map is None:
            perf_map = PerfMap()
            self._maps.put(key, perf_map)
        if process.alive and self._clock() >= perf_map.next_check:
            perf_map = self._update(process, perf_map)
            self._maps.put(key, perf_map)
        return perf_map.frame(address)

    def _update(self, process: Process, perf_map: PerfMap) -> PerfMap:
        begin = time.monotonic()
        opened = _open(process.pid)
        if opened is not None:
            fd, status = opened
            try:
                file = (status.st_dev, status.st_ino)
                if file != perf_map.file or status.st_size < perf_map.read_bytes:
                    perf_map = PerfMap()
                    perf_map.file = file
                _read_on(fd, perf_map, min(status.st_size, READ_MAX))
            except OSError:
                pass
            finally:
                os.close(fd)
        perf_map.next_check = self._clock() + max(CHECK_S, (time.monotonic() - begin) * _COST_SHARE)
        return perf_map


def _read_on(fd: int, perf_map: PerfMap, end: int) -> None:
    parts = []
    while perf_map.read_bytes < end:
        data = os.pread(fd, min(_CHUNK, end - perf_map.read_bytes), perf_map.read_bytes)
        if not data:
            break
        parts.append(data)
        perf_map.read_bytes += len(data)
    if parts:
        perf_map.extend(b"".join(parts))


def _open(pid: int) -> tuple[int, os.stat_result] | None:
    """The perf map of a process as it sees it. Only its user and root may have written it."""
    ids = read_ids(pid)
    if ids is None:
        return None
    try:
        fd = os.open(f"/proc/{pid}/root/tmp/perf-{ids.namespace_pid}.map", _FLAGS)
    except OSError:
        return None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_uid in (0, ids.uid):
        return fd, status
    os.close(fd)
    return None


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
    return start, size, fields[2][:NAME_MAX].replace(b"\0", b"\\x00")
