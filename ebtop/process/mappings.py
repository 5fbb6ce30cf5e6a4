"""The executable mappings of a process, from /proc/PID/maps."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from ebtop.text import printable

MAPPINGS_MAX = 8192
"""Executable mappings kept of one process; the rest is unknown."""
_DELETED = b" (deleted)"


class MappedFile(NamedTuple):
    """What is mapped: a file, or (inode 0) anonymous memory or a special area as [vdso]."""

    device: int
    inode: int
    path: bytes
    """As in the process's mount namespace, without " (deleted)"; b"" for anonymous memory."""
    deleted: bool

    @property
    def on_disk(self) -> bool:
        """Whether it is a file with a path, which may have been unlinked since."""
        return self.inode != 0 and self.path.startswith(b"/")

    @property
    def label(self) -> str:
        """File name for people, printable; "" for anonymous memory."""
        return _label(self.path, self.on_disk)


class Mapping(NamedTuple):
    """One executable range of addresses."""

    start: int
    end: int
    offset: int
    """Byte of the file at `start`."""
    file: MappedFile


class Mappings:
    """Executable mappings of one process at one moment, sorted. Immutable; about 40 bytes a mapping."""

    __slots__ = ("_ends", "_files", "_offsets", "_starts")

    def __init__(self, mappings: Iterable[Mapping] = ()) -> None:
        rows = list(mappings)
        self._starts = array("Q", [m.start for m in rows])
        self._ends = array("Q", [m.end for m in rows])
        self._offsets = array("Q", [m.offset for m in rows])
        self._files = tuple([m.file for m in rows])

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mappings):
            return NotImplemented
        return (self._starts, self._ends, self._offsets, self._files) == (
            other._starts,
            other._ends,
            other._offsets,
            other._files,
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def nbytes(self) -> int:
        return 400 + 32 * len(self._starts)

    def __contains__(self, address: int) -> bool:
        return self.locate(address) is not None

    def __getitem__(self, number: int) -> Mapping:
        return Mapping(self._starts[number], self._ends[number], self._offsets[number], self._files[number])

    def __iter__(self) -> Iterator[Mapping]:
        return map(Mapping, self._starts, self._ends, self._offsets, self._files)

    def locate(self, address: int) -> tuple[int, int] | None:
        """Which mapping, in their order, an address lies in, and which byte of its file that is."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._ends[index]:
            return None
        return index, address - self._starts[index] + self._offsets[index]

    def find(self, address: int) -> Mapping | None:
        """The mapping an address lies in."""
        located = self.locate(address)
        return self[located[0]] if located is not None else None


def read_mappings(pid: int) -> Mappings:
    """The mappings of a process now; empty for a kernel thread or zombie. Raises OSError when it is gone."""
    with open(f"/proc/{pid}/maps", "rb") as file:
        return parse_mappings(file)


def parse_mappings(lines: Iterable[bytes]) -> Mappings:
    """Lines as "start-end rwxp offset major:minor inode path"; what does not look like one is left out."""
    found: list[Mapping] = []
    for line in lines:
        permissions = line.find(b" ") + 1
        if line[permissions + 2 : permissions + 3] != b"x":
            continue
        fields = line.rstrip(b"\n").split(None, 5)
        if len(fields) < 5:
            continue
        try:
            start, end = (int(part, 16) for part in fields[0].split(b"-"))
            major, minor = (int(part, 16) for part in fields[3].split(b":"))
            offset, inode = int(fields[2], 16), int(fields[4])
        except ValueError:
            continue
        path = fields[5] if len(fields) > 5 else b""
        found.append(Mapping(start, end, offset, mapped_file(os.makedev(major, minor), inode, path)))
        if len(found) >= MAPPINGS_MAX:
            break
    return Mappings(found)


@lru_cache(maxsize=2048)
def _label(path: bytes, is_file: bool) -> str:
    return printable(path.rpartition(b"/")[2] if is_file else path)


@lru_cache(maxsize=2048)
def mapped_file(device: int, inode: int, path: bytes) -> MappedFile:
    """A file as /proc/PID/maps and PERF_RECORD_MMAP2 name it. Shared between processes: most map the same few."""
    deleted = path.endswith(_DELETED)
    # The kernel writes a line break in a path as \012 and leaves all else as it is.
    name = path[: -len(_DELETED)] if deleted else path
    return MappedFile(device, inode, name.replace(b"\\012", b"\n"), deleted)
