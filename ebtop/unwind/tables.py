"""Unwind tables on their way into the kernel: which are missed, which are made first, which had to go again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ebtop.kernel.maps import Map
from ebtop.process.mappings import Mapping as Mapped
from ebtop.unwind.arena import TableArena
from ebtop.unwind.binaries import Binaries, Binary
from ebtop.unwind.control import Control
from ebtop.unwind.raw_stacks import RawStack
from ebtop.unwind.table import UnwindTable
from ebtop.unwind.table_cache import TableCache
from ebtop.unwind.table_maker import TableMaker

_SOON_S = 0.005
"""A table is waited for so long."""
_SMALL_BYTES = 1 << 20
"""A file up to about this size costs next to nothing."""


class _Want(NamedTuple):
    """A table that is wanted in the kernel: where its binary is mapped, and which stacks wait for it."""

    pid: int
    mapped: Mapped
    stacks: list[RawStack]


class Waited(NamedTuple):
    """Stacks that need wait no more."""

    stacks: list[RawStack]
    may_wait: bool
    """For another table; not where theirs can't be made."""


class Tables:
    """The tables in the kernel, and those that are wanted there. One thread only."""

    def __init__(
        self,
        maps: Mapping[str, Map],
        control: Control,
        binaries: Binaries,
        use_table: Callable[[Binary], None],
        log: Callable[[str], None],
        budget: int,
    ) -> None:
        """`use_table` is told when a binary's table has come, or goes. Raises OSError when the maps can't be used."""
        self.budget = budget
        """Kernel memory for tables, in bytes; another thread may change it."""
        self._log = log
        self._control = control
        self._binaries = binaries
        self._use_table = use_table
        self._maker = TableMaker(TableCache(log=log), log)
        self._in_making: tuple[Binary, _Want] | None = None
        self._arena = TableArena(maps, self._on_evict)
        self._numbers: dict[int, Binary] = {}
        """Binaries by the number of their table in the kernel."""
        self._wanted: dict[Binary, _Want] = {}
        self._unplaced: dict[Binary, tuple[str, int]] = {}
        """Tables that do not fit in even alone: whose they are, and the budget at that time."""
        self.notes: tuple[str, ...] = ()
        """What the budget has no room for, one line each. For any thread."""

    def __len__(self) -> int:
        return len(self._arena)

    @property
    def nbytes(self) -> int:
        """Kernel memory that tables take now."""
        return self._arena.nbytes

    @property
    def map_ids(self) -> list[int]:
        """The kernel's ids of the tables."""
        return self._arena.map_ids

    def start(self) -> None:
        self._maker.start()

    def stop(self) -> None:
        """Make no more; what is being made is not waited for."""
        self._maker.stop()

    def close(self) -> None:
        self._arena.close()

    @property
    def to_come(self) -> bool:
        """Whether there are tables to be made."""
        return bool(self._wanted) or self._in_making is not None

    def waiting(self) -> list[RawStack]:
        """All stacks that wait for a table."""
        wants = [*self._wanted.values(), *([self._in_making[1]] if self._in_making is not None else [])]
        return [raw for want in wants for raw in want.stacks]

    def wait(self, seconds: float) -> None:
        """Until a table is made, or so long."""
        self._maker.done.wait(seconds)

    def want(self, binary: Binary, pid: int, mapped: Mapped, waits: RawStack | None = None) -> None:
        """A table is missed; `waits` is a stack that can't be walked without it."""
        fits = self._unplaced.get(binary, ("", -1))[1] < self.budget
        if fits or waits is not None:
            want = self._wanted.setdefault(binary, _Want(pid, mapped, []))
            if waits is not None:
                want.stacks.append(waits)

    def make(self) -> Iterator[Waited]:
        """Make and place what is wanted, as far as that is done in a moment; yields who waited for it.

        Those that most stacks wait for come first, weighed by what they cost: a small one is done in a moment.
        """
        while True:
            if self._in_making is not None:
                made = self._maker.take()
                if made is None:
                    return
                (binary, want), self._in_making = self._in_making, None
                self._binaries.learn(binary, made.table)
                self.place(binary, made.table, want.mapped)
                yield Waited(want.stacks + self._waiting_for(binary), may_wait=True)
            if not self._wanted:
                return
            binary = max(self._wanted, key=lambda b: (len(self._wanted[b].stacks) + 1) / (_SMALL_BYTES + b.size))
            want = self._wanted.pop(binary)
            table = self._binaries.at_hand(binary)
            if table is not None:
                self.place(binary, table, want.mapped)
                yield Waited(want.stacks, may_wait=True)
                continue
            content = self._binaries.content(binary, want.pid, want.mapped)
            if content is None:
                yield Waited(want.stacks, may_wait=False)
                continue
            self._in_making = binary, want
            self._maker.ask(binary.key, content)
            self._maker.done.wait(_SOON_S)

    def place(self, binary: Binary, table: UnwindTable, mapped: Mapped) -> None:
        """Put a table into the kernel, if it fits in, and have all mappings of its binary use it."""
        if table.pages and not binary.table_number:
            binary.table_number = self._arena.put(table, self.budget, time.monotonic())
            if binary.table_number:
                self._numbers[binary.table_number] = binary
                self._unplaced.pop(binary, None)
            else:
                self._leave_out(binary, table, mapped)
            self._note()
        self._use_table(binary)

    def remove(self, binary: Binary) -> None:
        """There is no such code any more."""
        if binary.table_number:
            self._arena.remove(binary.table_number)
        self._unplaced.pop(binary, None)

    def sweep(self, now: float) -> None:
        """See which tables are used, and keep within the budget."""
        self._arena.look_at_uses(now)
        self._arena.shrink(self.budget, now)
        self._note()
        if self._arena.nbytes > self.budget // 2:
            # Rules that are cached are not looked up: who evicts must see afresh which tables are in use.
            self._control.void_cache()

    def _leave_out(self, binary: Binary, table: UnwindTable, mapped: Mapped) -> None:
        if binary not in self._unplaced:
            what = f"{mapped.file.label}: its unwind table takes {table.nbytes >> 10} KiB"
            self._log(f"{what}, more than the {self.budget >> 10} KiB for all; many of its stacks are cut")
        self._unplaced[binary] = mapped.file.label, self.budget

    def _note(self) -> None:
        notes = []
        room = f"{self.budget >> 10} KiB for unwind tables"
        if self._unplaced:
            names = ", ".join(sorted({name for name, _ in self._unplaced.values()}))
            notes.append(f"{room} have no room for those of {names}: many of their stacks are cut")
        if self._arena.evictions:
            notes.append(f"{room} do not hold all at once: {self._arena.evictions} had to go for others so far")
        self.notes = tuple(notes)

    def _waiting_for(self, binary: Binary) -> list[RawStack]:
        """Stacks that came while the table was made."""
        want = self._wanted.pop(binary, None)
        return want.stacks if want is not None else []

    def _on_evict(self, number: int) -> None:
        binary = self._numbers.pop(number)
        binary.table_number = 0
        self._use_table(binary)
        self._control.void_cache()
