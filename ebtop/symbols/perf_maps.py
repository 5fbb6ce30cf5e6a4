"""Find, check and follow the perf maps of processes."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

from ebtop.process.identity import read_ids
from ebtop.process.pause import pause
from ebtop.process.processes import Process
from ebtop.store.records import Frame
from ebtop.symbols.lru import ByteLru
from ebtop.symbols.perf_map import PerfMap

READ_MAX = 16 << 20
"""Of a longer file only the end is read, where the code that runs now is."""
CHECK_S = 0.5
_READING_S = 0.25
"""Longest reading at once; a map that takes more is read on at the next look and counts when all of it was read."""
_COST_FACTOR = 10
"""A file that keeps growing is read on when so many times the duration of the last reading has passed."""
_CHUNK = 1 << 15
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY


class _Followed:
    """A perf map and how far its file was read."""

    def __init__(self) -> None:
        self.map = PerfMap()
        self.file = (0, 0)
        self.offset = 0
        self.next_check = 0.0
        self.read_all = False

    @property
    def nbytes(self) -> int:
        return self.map.nbytes + 200


class PerfMaps:
    """Perf maps by process, within a number of bytes. One thread only; holds no file open."""

    def __init__(self, cache_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._followed: ByteLru[_Followed] = ByteLru(cache_bytes)

    @property
    def memory_bytes(self) -> int:
        return self._followed.nbytes

    def frame(self, process: Process, address: int) -> Frame | None:
        """The function compiled at run time at an address of a process."""
        key = (process.pid, process.identity)
        followed = self._followed.get(key) or _Followed()
        if process.alive and self._clock() >= followed.next_check:
            begin = time.monotonic()
            _follow(process.pid, followed)
            followed.next_check = self._clock() + max(CHECK_S, (time.monotonic() - begin) * _COST_FACTOR)
            self._followed.put(key, followed)
        return followed.map.frame(address) if followed.read_all else None


def _follow(pid: int, followed: _Followed) -> None:
    opened = _open(pid)
    if opened is None:
        return
    fd, status = opened
    try:
        file = (status.st_dev, status.st_ino)
        size = status.st_size
        if file != followed.file or size < followed.offset or size - followed.offset > READ_MAX:
            followed.map = PerfMap()
            followed.file = file
            followed.offset = max(size - READ_MAX, 0)
            if followed.offset:
                # What comes first then is the end of a line: make sure that it is not taken for a whole one.
                followed.map.extend(b"?")
        stop = time.monotonic() + _READING_S
        while followed.offset < size and time.monotonic() < stop:
            data = os.pread(fd, min(_CHUNK, size - followed.offset), followed.offset)
            if not data:
                size = followed.offset
                break
            followed.map.extend(data)
            pause()
            followed.offset += len(data)
        followed.read_all = followed.offset >= size
    except OSError:
        return
    finally:
        os.close(fd)


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
