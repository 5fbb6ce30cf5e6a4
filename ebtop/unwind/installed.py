"""Which processes' mappings stand in the kernel's maps, and which spans there use which binary's table."""

from __future__ import annotations

import itertools
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping

from ebtop.kernel.maps import Map
from ebtop.process.mappings import Mapping as Mapped
from ebtop.unwind.arena import TABLE_MISSING, TABLE_NONE
from ebtop.unwind.binaries import Binaries, Binary, may_have_table
from ebtop.unwind.images import Image
from ebtop.unwind.mapping_space import MappingSpace, Span

_PROCESS = struct.Struct("=QIIII")
"""struct unwind_process of bpf/unwind.h."""
_PID = struct.Struct("=I")


class _Block:
    """The spans of one address space, and of those forked from it."""

    __slots__ = ("first", "generation", "mappings", "users")

    def __init__(self, first: int, generation: int, mappings: list[Mapped]) -> None:
        self.first = first
        self.generation = generation
        self.mappings = mappings
        """One for each span."""
        self.users = 0


class Installed:
    """What the kernel knows of processes, as of the last `tell`. One thread only.

    A process that began and ended in between costs no system call.
    """

    def __init__(self, maps: Mapping[str, Map], binaries: Binaries) -> None:
        """Raises OSError."""
        self._processes = maps["unwind_processes"]
        self._limit = self._processes.spec.max_entries
        self._space = MappingSpace(maps["unwind_mappings"])
        self._binaries = binaries
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        """By pid, the longest unchanged first."""
        self._generations = itertools.count(1)
        self._told: set[int] = set()
        self._untold: dict[int, bytes | None] = {}
        """By pid: a struct unwind_process for the kernel, None = it is to forget the one it has."""

    def __contains__(self, pid: int) -> bool:
        return pid in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def close(self) -> None:
        self._space.close()

    def tell(self) -> None:
        """Bring the kernel up to date. Raises OSError."""
        untold, self._untold = self._untold, {}
        for pid in [pid for pid, value in untold.items() if value is None and pid in self._told]:
            self._told.remove(pid)
            self._processes.delete(_PID.pack(pid))
        for pid, value in untold.items():
            if value is not None:
                self._processes.update(_PID.pack(pid), value)
                self._told.add(pid)

    def settle(self) -> None:
        """A while has passed since the last `tell`: no walk reads any more what was removed before then."""
        self._space.settle()

    def install(self, image: Image) -> None:
        """Tell the kernel a process's mappings, in place of what it knows of them."""
        image.changed = False
        mappings = _merged(image.spans)
        spans = [self._span(mapped) for mapped in mappings]
        first = self._space.put(spans) if spans else None
        self._drop(image.pid)
        while first is None and spans and self._blocks:
            # What is given up here has room only after the next `settle`: this process waits for that.
            self.remove(next(iter(self._blocks)))
            first = self._space.put(spans)
        if first is None:
            return
        self._use(image.pid, _Block(first, next(self._generations) & 0xFFFFFFFF, mappings))

    def inherit(self, parent: int, pid: int) -> None:
        """A forked process has its parent's mappings."""
        block = self._blocks.get(parent)
        if block is not None:
            self._drop(pid)
            self._use(pid, block)

    def remove(self, pid: int) -> None:
        """Have the kernel forget a process."""
        if pid in self._blocks:
            self._untold[pid] = None
            self._drop(pid)

    def use_table(self, binary: Binary) -> None:
        """A binary's table has come, or goes: all spans of it are told."""
        seen: set[int] = set()
        for block in self._blocks.values():
            if block.generation in seen:
                continue
            seen.add(block.generation)
            for at, mapped in enumerate(block.mappings):
                if self._binaries.known(mapped.file) is binary:
                    _, _, bias, table = self._span(mapped)
                    self._space.set_table(block.first + at, bias, table)

    def pids(self) -> Iterator[int]:
        return iter(tuple(self._blocks))

    def _use(self, pid: int, block: _Block) -> None:
        if len(self._blocks) >= self._limit:
            self.remove(next(iter(self._blocks)))
        block.users += 1
        self._blocks[pid] = block
        self._untold[pid] = _PROCESS.pack(0, block.first, len(block.mappings), block.generation, 0)

    def _drop(self, pid: int) -> None:
        block = self._blocks.pop(pid, None)
        if block is not None:
            block.users -= 1
            if not block.users:
                self._space.remove(block.first, len(block.mappings))

    def _span(self, mapped: Mapped) -> Span:
        if not may_have_table(mapped.file):
            return Span(mapped.start, mapped.end, 0, TABLE_NONE)
        binary = self._binaries.known(mapped.file)
        if binary is None:
            return Span(mapped.start, mapped.end, 0, TABLE_MISSING)
        bias = binary.bias(mapped)
        if bias is None or binary.described is False:
            return Span(mapped.start, mapped.end, 0, TABLE_NONE)
        return Span(mapped.start, mapped.end, bias + binary.base, binary.table_number)


def _merged(mappings: list[Mapped]) -> list[Mapped]:
    """Memory without a file as one mapping where it lies side by side: JIT compilers make many."""
    merged: list[Mapped] = []
    for mapped in mappings:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.end == mapped.start
            and not (may_have_table(last.file) or may_have_table(mapped.file))
        ):
            merged[-1] = last._replace(end=mapped.end)
        else:
            merged.append(mapped)
    return merged
