"""Which files the kernel's walker knows, so that it needs no mappings of the processes that run them."""

from __future__ import annotations

import mmap
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ebtop.kernel.maps import Map
from ebtop.process.mappings import Mapping as Mapped
from ebtop.process.places import NO_FILE, Files, KnownFile
from ebtop.unwind.arena import TABLE_MISSING, TABLE_NONE
from ebtop.unwind.binaries import VDSO, Binary

_FILE = struct.Struct("=QII")
"""struct unwind_file of bpf/unwind.h."""
_TABLE_AT = 8
_KEY = struct.Struct("=QQQII")
"""struct file_key of bpf/mapped_file.h."""
_SLOT = struct.Struct("=I")
_NS = 10**9
_MASK = (1 << 64) - 1
_REST = 64
"""Slots that are given up rest until so many others were: walks may still read them."""


class SeenFile(NamedTuple):
    """A file as the kernel saw it mapped: struct file_key of bpf/mapped_file.h."""

    inode: int
    nbytes: int
    written: int
    written_ns: int
    device: int


class _Told(NamedTuple):
    slot: int
    binary: Binary
    number: int


class ToldFiles:
    """The maps unwind_files and unwind_file_numbers. One thread only."""

    def __init__(self, maps: Mapping[str, Map], files: Files) -> None:
        """Raises OSError when they can't be used."""
        self._numbers = maps["unwind_file_numbers"]
        told = maps["unwind_files"]
        length = -(-told.spec.max_entries * _FILE.size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(told.fd, length, mmap.MAP_SHARED)
        self._free = deque(range(told.spec.max_entries))
        self._files = files
        self._told: OrderedDict[SeenFile, _Told] = OrderedDict()
        """The longest known first."""

    def __len__(self) -> int:
        return len(self._told)

    def close(self) -> None:
        self._memory.close()

    def tell(self, seen: SeenFile, binary: Binary, pid: int, mapped: Mapped, opened: Callable[[], int | None]) -> bool:
        """Tell the kernel of a file; false for one that has to be found by process.

        `mapped` is the mapping in which it was seen, `binary` what is behind that for us. `opened` gives a file
        descriptor for whoever names its functions, if they need one. Raises OSError.
        """
        if seen in self._told:
            return True
        if binary.shift is None or not _is_same(seen, binary, mapped):
            return False
        if len(self._free) <= _REST:
            self._forget(next(iter(self._told)))
        key = binary.key if isinstance(binary.key, tuple) else NO_FILE
        number = self._files.add(KnownFile(key, pid, mapped), opened())
        told = self._told[seen] = _Told(self._free.popleft(), binary, number)
        self._write(told)
        self._numbers.update(_KEY.pack(*seen), _SLOT.pack(told.slot))
        return True

    def use_table(self, binary: Binary) -> None:
        """A binary's table has come, or goes."""
        for seen, told in self._told.items():
            # Not by identity: what is known of a file may have been forgotten, and found anew.
            if told.binary.key == binary.key:
                self._told[seen] = told._replace(binary=binary)
                self._write(self._told[seen])

    def _write(self, told: _Told) -> None:
        table = TABLE_NONE if told.binary.described is False else told.binary.table_number
        at = told.slot * _FILE.size
        if table == TABLE_MISSING:
            _SLOT.pack_into(self._memory, at + _TABLE_AT, table)
        # In this order: a walk that sees the table sees where in it the file begins.
        address = (told.binary.shift or 0) - told.binary.base & _MASK
        struct.pack_into("=Q", self._memory, at, address)
        struct.pack_into("=I", self._memory, at + _TABLE_AT + 4, told.number)
        _SLOT.pack_into(self._memory, at + _TABLE_AT, table)

    def _forget(self, seen: SeenFile) -> None:
        told = self._told.pop(seen)
        self._numbers.delete(_KEY.pack(*seen))
        self._free.append(told.slot)


def _is_same(seen: SeenFile, binary: Binary, mapped: Mapped) -> bool:
    """Whether what is there for us is what the kernel saw, and nothing that has taken its place."""
    if not seen.inode:
        return binary.key == VDSO and mapped.end - mapped.start == seen.nbytes
    if not isinstance(binary.key, tuple):
        return False
    _, _, written_ns, nbytes = binary.key
    return (nbytes, written_ns) == (seen.nbytes, seen.written * _NS + seen.written_ns)
