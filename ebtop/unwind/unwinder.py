"""The thread that keeps the kernel's walker supplied, and walks what it handed over.

It follows what processes map, tells the kernel of those that are sampled, and makes the tables that walks miss, those
missed most first. All of it happens beside the sampling: a sample that comes too early is handed over with its
registers and stack, and walked here once there is what it needs.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ebtop.kernel.artifact import Layout
from ebtop.kernel.maps import Map
from ebtop.kernel.ring import Ring
from ebtop.kernel.side_band import Forked, SideBand, SideBandEvent
from ebtop.process.mappings import Mapping as Mapped
from ebtop.unwind import raw_stack
from ebtop.unwind.arena import BUDGET, TableArena
from ebtop.unwind.binaries import Binaries, Binary, may_have_table
from ebtop.unwind.ends import End
from ebtop.unwind.handed_over import HandedOver, WalkedStack
from ebtop.unwind.images import Image, Images
from ebtop.unwind.installed import Installed
from ebtop.unwind.rule import GAP, Rule
from ebtop.unwind.table import UnwindTable
from ebtop.unwind.table_cache import TableCache

_BUSY_S, _IDLE_S, _SLOWER = 0.03, 0.2, 1.3
"""Between two rounds: while something happens, and at most."""
_STACKS_PER_S, _STACKS_AT_ONCE = 150, 24
"""Handed over at most: each costs 0.1 to 0.3 ms here, and 16 KiB of the ring until it is taken."""
_CREDIT, _CREDIT_AT = struct.Struct("=i"), 4
"""In struct unwind_control, after the epoch."""
_BUILD_S, _LAST_S = 0.25, 1.0
"""Spent on tables before what happened meanwhile is looked at again, and at the end."""
_SMALL_BYTES = 1 << 20
"""A file up to about this size costs next to nothing."""
_WAITING_MAX, _WAIT_S = 256, 4.0
"""Stacks that wait for a table, and how long."""
_SWEEP_S = 10.0


class _Raw(NamedTuple):
    """struct raw_stack of bpf/unwind.h."""

    time: int
    hash: int
    ip: int
    registers: tuple[int, ...]
    pid: int
    after: int
    stack: raw_stack.StackCopy
    taken_at: float


class _Want(NamedTuple):
    """A table that is wanted in the kernel: where its binary is mapped, and which stacks wait for it."""

    pid: int
    mapped: Mapped
    stacks: list[_Raw]


class Unwinder:
    """Owns the maps of bpf/unwind.h while it runs. `start`, `stop` and the properties are for other threads."""

    def __init__(
        self,
        maps: Mapping[str, Map],
        raw_layout: Layout,
        handed_over: HandedOver,
        log: Callable[[str], None],
        budget: int = BUDGET,
    ) -> None:
        """Raises OSError when the maps can't be used."""
        self.budget = budget
        """Kernel memory for tables, in bytes; may change at any time."""
        self._log = log
        self._handed_over = handed_over
        self._binaries = Binaries(TableCache(log=log))
        self._arena = TableArena(maps, self._on_evict)
        self._installed = Installed(maps, self._binaries)
        self._images = Images()
        self._ring = Ring(maps["unwind_raw"], raw_layout)
        self._registers = sum(name.startswith("registers") for name in raw_layout.fields)
        self._control = mmap.mmap(maps["unwind_control"].fd, mmap.PAGESIZE, mmap.MAP_SHARED)
        self._epoch = 0
        self._credit = float(_STACKS_AT_ONCE)
        self._credit_given = 0
        self._credit_at = time.monotonic()
        self._numbers: dict[int, Binary] = {}
        """Binaries by the number of their table in the kernel."""
        self._wanted: dict[Binary, _Want] = {}
        self._unplaced: set[Binary] = set()
        """Tables that did not fit in."""
        self._side_band: SideBand | None = None
        self._swept_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ebtop-unwind", daemon=True)

    @property
    def table_count(self) -> int:
        return len(self._arena)

    @property
    def table_bytes(self) -> int:
        """Kernel memory that tables take now."""
        return self._arena.nbytes

    def start(self) -> None:
        try:
            self._side_band = SideBand()
        except OSError as error:
            self._log(f"new mappings are only found by looking: perf events: {error.strerror}")
        self._handed_over.begin()
        self._thread.start()

    def stop(self) -> list[int]:
        """Walk what is left, end, and give everything back; returns the kernel's ids of the tables, which go now."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        ids = self._arena.map_ids
        self._handed_over.end()
        if self._side_band is not None:
            self._side_band.close()
        self._ring.close()
        self._control.close()
        self._installed.close()
        self._arena.close()
        return ids

    def _run(self) -> None:
        self._allow(time.monotonic())
        pause = _BUSY_S
        while not self._stop.wait(pause):
            busy = self._guarded_round()
            pause = _BUSY_S if busy or self._wanted else min(_IDLE_S, pause * _SLOWER)
        self._guarded_round()
        for raw in [raw for want in self._wanted.values() for raw in want.stacks]:
            self._walk(raw, may_wait=False)

    def _guarded_round(self) -> bool:
        try:
            return self._round()
        except Exception as error:
            # What processes map is arbitrary: one that is too odd must not end the walking of all others.
            self._log(f"unwinding: {type(error).__name__}: {error}")
            return False

    def _round(self) -> bool:
        began = time.monotonic()
        self._installed.settle()
        raws = self._take_raws(began)
        events = self._side_band.read() if self._side_band is not None else []
        happened: list[SideBandEvent | _Raw] = [*events, *raws]
        if raws:
            happened.sort(key=lambda item: item.time)
        for item in happened:
            if isinstance(item, _Raw):
                self._walk(item)
            else:
                self._apply(item)
        self._make_tables(began)
        if not self._wanted:
            self._handed_over.settle(began)
        self._sweep(began)
        self._allow(began)
        return bool(happened)

    def _take_raws(self, now: float) -> list[_Raw]:
        found = []
        at = 3 + self._registers
        for record in self._ring.drain():
            stack_hash, moment, ip = record[:3]
            registers = record[3:at]
            pid, _tid, after, length, data = record[at:]
            copy = raw_stack.StackCopy(registers[7] & ~1023, data[:length])
            found.append(_Raw(moment, stack_hash, ip, registers, pid, after, copy, now))
        return found

    def _apply(self, event: SideBandEvent) -> None:
        gone = self._images.apply(event)
        if gone is not None:
            self._installed.remove(gone.pid)
        if isinstance(event, Forked):
            if event.parent in self._installed:
                self._installed.inherit(event.parent, event.pid)
            return
        if event.pid in self._installed:
            image = self._images.known(event.pid)
            if image is not None and image.changed:
                self._installed.install(image)

    def _walk(self, raw: _Raw, *, may_wait: bool = True) -> None:
        """Walk a stack that was handed over, or have it wait for the first table that it misses."""
        rules = _Rules(raw.pid, self._images, self._binaries)
        addresses, end = raw_stack.walk(raw.registers, raw.ip, bool(raw.after), raw.stack, rules.find)
        if rules.image.mappings and (rules.image.changed or raw.pid not in self._installed):
            self._installed.install(rules.image)
        waits = end == End.NO_TABLE and may_wait and rules.to_make is not None and self._may_wait(raw)
        if not waits:
            self._handed_over.put(raw.hash, WalkedStack(tuple(addresses), end))
        for binary, mapped in rules.not_placed.items():
            if binary not in self._unplaced:
                want = self._wanted.setdefault(binary, _Want(raw.pid, mapped, []))
                if waits and binary is rules.to_make:
                    want.stacks.append(raw)

    def _may_wait(self, raw: _Raw) -> bool:
        waiting = sum(len(want.stacks) for want in self._wanted.values())
        return waiting < _WAITING_MAX and time.monotonic() - raw.taken_at < _WAIT_S

    def _make_tables(self, began: float) -> None:
        """Those that most stacks wait for first, weighed by what they cost: a small one is done in a moment."""
        while self._wanted:
            binary = max(self._wanted, key=lambda b: (len(self._wanted[b].stacks) + 1) / (_SMALL_BYTES + b.size))
            want = self._wanted.pop(binary)
            table = self._binaries.table(binary, want.pid, want.mapped)
            if table is not None:
                self._place(binary, table, want.mapped)
            for raw in want.stacks:
                self._walk(raw, may_wait=table is not None)
            if time.monotonic() - began > (_LAST_S if self._stop.is_set() else _BUILD_S):
                return

    def _place(self, binary: Binary, table: UnwindTable, mapped: Mapped) -> None:
        if table.pages and not binary.table_number:
            binary.table_number = self._arena.put(table, self.budget, time.monotonic())
            if binary.table_number:
                self._numbers[binary.table_number] = binary
            else:
                self._unplaced.add(binary)
                what = f"{mapped.file.label}: its unwind table takes {table.nbytes >> 10} KiB"
                self._log(f"{what}, more than the {self.budget >> 10} KiB for all; its stacks are cut")
        self._installed.use_table(binary)

    def _on_evict(self, number: int) -> None:
        binary = self._numbers.pop(number)
        binary.table_number = 0
        self._installed.use_table(binary)
        self._void_cache()

    def _void_cache(self) -> None:
        self._epoch = self._epoch + 1 & 0xFFFFFFFF
        struct.pack_into("=I", self._control, 0, self._epoch)

    def _sweep(self, now: float) -> None:
        """Forget processes whose end nobody told of, and see which tables are used."""
        if now - self._swept_at < _SWEEP_S:
            return
        self._swept_at = now
        for pid in self._installed.pids():
            if not os.path.exists(f"/proc/{pid}"):
                self._installed.remove(pid)
        self._arena.look_at_uses(now)
        self._arena.shrink(self.budget, now)
        if self._arena.nbytes > self.budget // 2:
            # Rules that are cached are not looked up: who evicts must see afresh which tables are in use.
            self._void_cache()

    def _allow(self, now: float) -> None:
        """Let the kernel hand over some more."""
        used = self._credit_given - max(0, _CREDIT.unpack_from(self._control, _CREDIT_AT)[0])
        self._credit += (now - self._credit_at) * _STACKS_PER_S - used
        self._credit, self._credit_at = min(self._credit, 1.0 * _STACKS_PER_S), now
        self._credit_given = max(0, min(int(self._credit), _STACKS_AT_ONCE))
        _CREDIT.pack_into(self._control, _CREDIT_AT, self._credit_given)


class _Rules:
    """Finds rules for one stack, and notes which tables there are none of."""

    def __init__(self, pid: int, images: Images, binaries: Binaries) -> None:
        self._pid = pid
        self._images = images
        self._binaries = binaries
        self.image: Image = images.get(pid)
        self.not_placed: dict[Binary, Mapped] = {}
        """Whose table is not in the kernel."""
        self.to_make: Binary | None = None
        """Where the walk ended because the table is not at hand here either."""

    def find(self, pc: int) -> Rule | End:
        mapped = self.image.find(pc)
        if mapped is None and self._images.read_again(self.image):
            mapped = self.image.find(pc)
        if mapped is None:
            return End.NO_MAPPING
        if not may_have_table(mapped.file):
            return GAP
        binary = self._binaries.find(self._pid, mapped)
        if binary is None:
            return End.NO_TABLE
        bias = binary.bias(mapped)
        if bias is None or binary.described is False:
            return GAP
        if not binary.table_number:
            self.not_placed[binary] = mapped
        table = self._binaries.at_hand(binary)
        if table is None:
            self.not_placed[binary] = mapped
            self.to_make = binary
            return End.NO_TABLE
        return table.rule(pc - bias)
