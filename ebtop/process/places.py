"""Places in files, which stand in stacks for addresses where nobody follows what a process has mapped.

A place is the same in every process that maps the file, so programs that end in a moment have the same stacks each time
they run, and are named without being looked at.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from ebtop.process.mappings import Mapping

PLACE_IN_FILE = 1 << 62
OFFSET_BITS = 40
"""As in bpf/unwind.h: PLACE_IN_FILE | number << OFFSET_BITS | offset in bytes."""
_NUMBERS = 1 << 62 - OFFSET_BITS
_OFFSET_MASK = (1 << OFFSET_BITS) - 1
_KEPT_MAX, _OPEN_MAX = 4096, 32

FileKey = tuple[int, int, int, int]
"""Device, inode, modification time in ns, size, as stat(2) has them. Not the build id: anyone can write another file's
into his own."""

NO_FILE: FileKey = (0, 0, 0, 0)
"""Of the vdso."""


class KnownFile(NamedTuple):
    """A file that has a number."""

    key: FileKey
    pid: int
    mapping: Mapping
    """A mapping of it, in that process."""


class Files:
    """Files by number; the newest some thousands. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._files: OrderedDict[int, KnownFile] = OrderedDict()
        self._open: OrderedDict[int, int] = OrderedDict()
        """File descriptors by number."""

    def close(self) -> None:
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])

    def add(self, file: KnownFile, fd: int | None = None) -> int:
        """Give a file a number, which no other had.

        `fd`, which is ours from now on: the file, where a path does not lead to it once its processes have ended.
        """
        with self._lock:
            number = next(self._numbers) % _NUMBERS
            self._files[number] = file
            if len(self._files) > _KEPT_MAX:
                self._files.popitem(last=False)
            if fd is not None:
                self._open[number] = fd
                if len(self._open) > _OPEN_MAX:
                    os.close(self._open.popitem(last=False)[1])
            return number

    def take_open(self, number: int) -> int | None:
        """The file descriptor that came with a file, once; the caller's to close."""
        with self._lock:
            return self._open.pop(number, None)

    def get(self, number: int) -> KnownFile | None:
        with self._lock:
            return self._files.get(number)


def has_addresses(user: Sequence[int]) -> bool:
    """Whether there is anything else in a stack than places."""
    return bool(user) and min(user) < PLACE_IN_FILE


def split(place: int) -> tuple[int, int]:
    """The number of the file, and the offset in it."""
    return (place & ~PLACE_IN_FILE) >> OFFSET_BITS, place & _OFFSET_MASK
