"""Unwind tables inside the kernel: an array for each, together within a budget, the least used going first."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Mapping

from ebtop.kernel import accounting, syscall
from ebtop.kernel.maps import Map
from ebtop.kernel.syscall import Cmd
from ebtop.unwind.table import UnwindTable

BUDGET = 16 << 20
TABLE_MISSING, TABLE_NONE, _FIRST_TABLE = 0, 1, 2
"""As in bpf/unwind.h: not there (yet); code that no table describes; tables from here on."""
_WORD, _ROWS_A_WORD = 8, 2
_PAGES_OF_64K = 15
"""Rows hold the low 16 bits of addresses, so a table starts at a multiple of 64 KiB."""


class Placed:
    """One table in the kernel."""

    __slots__ = ("map_id", "nbytes", "used_at", "uses")

    def __init__(self, map_id: int, nbytes: int, now: float) -> None:
        self.map_id = map_id
        self.nbytes = nbytes
        self.uses = 0
        """As counted in the kernel when last looked at."""
        self.used_at = now


def base_address(table: UnwindTable) -> int:
    """The address of the file at which a table in the kernel starts."""
    return (table.first_page & ~_PAGES_OF_64K) << 12


def words(table: UnwindTable) -> bytes:
    """A table as bpf/unwind.h reads it: a header, pages, rows, rules, in words of 8 bytes.

    The header has the number of pages, and << 32 the word at which rules begin.
    """
    pages = bytes(_WORD * (table.first_page & _PAGES_OF_64K)) + table.pages
    rows = table.rows + bytes(-len(table.rows) % _WORD)
    page_count = len(pages) // _WORD
    rules_at = 1 + page_count + len(rows) // _WORD
    return b"".join((struct.pack("=II", page_count, rules_at), pages, rows, table.rules))


class TableArena:
    """The tables of unwind_tables by number. One thread only."""

    def __init__(self, maps: Mapping[str, Map], on_evict: Callable[[int], None]) -> None:
        """`on_evict` is told the number of a table that goes, before it goes. Raises OSError."""
        self._outer = maps["unwind_tables"]
        self._inner = maps["unwind_table"].spec
        self._on_evict = on_evict
        slots = self._outer.spec.max_entries
        self._placed: dict[int, Placed] = {}
        self._free = list(range(slots - 1, _FIRST_TABLE - 1, -1))
        uses = maps["unwind_uses"]
        length = -(-slots * _WORD // mmap.PAGESIZE) * mmap.PAGESIZE
        self._uses_map = mmap.mmap(uses.fd, length, mmap.MAP_SHARED, mmap.PROT_READ)
        self._uses = memoryview(self._uses_map).cast("Q")
        self.nbytes = 0
        """Kernel memory of all tables."""
        self.evictions = 0
        """Tables that had to go for others so far."""

    def __len__(self) -> int:
        return len(self._placed)

    def close(self) -> None:
        """The tables go with the map that holds them."""
        self._uses.release()
        self._uses_map.close()

    @property
    def map_ids(self) -> list[int]:
        """The kernel's ids of the tables."""
        return [placed.map_id for placed in self._placed.values()]

    def put(self, table: UnwindTable, budget: int, now: float) -> int:
        """Place a table; returns its number, or TABLE_MISSING when it does not fit in at all. Raises OSError."""
        data = words(table)
        nbytes = _kernel_bytes(len(data))
        if nbytes > budget:
            return TABLE_MISSING
        self.shrink(budget - nbytes, now)
        if not self._free:
            self._evict(self._least_used())
        inner = Map(self._inner._replace(name="unwind_table", max_entries=len(data) // _WORD))
        try:
            with mmap.mmap(inner.fd, -(-len(data) // mmap.PAGESIZE) * mmap.PAGESIZE, mmap.MAP_SHARED) as memory:
                memory[: len(data)] = data
            placed = Placed(accounting.map_id(inner.fd), nbytes, now)
            number = self._free.pop()
            self._outer.update(struct.pack("=I", number), struct.pack("=I", inner.fd))
        finally:
            inner.close()
        placed.uses = self._uses[number]
        self._placed[number] = placed
        self.nbytes += nbytes
        return number

    def look_at_uses(self, now: float) -> None:
        """Note which tables rules were looked up in since the last time."""
        for number, placed in self._placed.items():
            uses = self._uses[number]
            if uses != placed.uses:
                placed.uses, placed.used_at = uses, now

    def shrink(self, budget: int, now: float) -> None:
        """Evict until all tables fit in `budget` bytes."""
        if self.nbytes > budget:
            self.look_at_uses(now)
        while self.nbytes > budget and self._placed:
            self._evict(self._least_used())

    def remove(self, number: int) -> None:
        """A table is not needed any more."""
        self._take_out(number)

    def _least_used(self) -> int:
        return min(self._placed, key=lambda number: (self._placed[number].used_at, self._placed[number].uses))

    def _evict(self, number: int) -> None:
        self._take_out(number)
        self.evictions += 1

    def _take_out(self, number: int) -> None:
        self._on_evict(number)
        placed = self._placed.pop(number)
        # Kernels before 6.8 free a table at once when its last reference goes, although a program may be reading
        # it; the call that takes it out of the array waits for those programs, so a reference is held until then.
        held = syscall.bpf(Cmd.MAP_GET_FD_BY_ID, syscall.attr("=I", placed.map_id, size=12))
        try:
            self._outer.delete(struct.pack("=I", number))
        finally:
            os.close(held)
        self._free.append(number)
        self.nbytes -= placed.nbytes


def _kernel_bytes(data: int) -> int:
    """Of an array that can be mapped: whole pages, and one for the kernel's own structure."""
    return mmap.PAGESIZE * (1 + -(-data // mmap.PAGESIZE))
