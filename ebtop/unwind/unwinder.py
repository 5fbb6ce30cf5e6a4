"""The thread that keeps the kernel's walker supplied, and walks what it handed over.

It follows what processes map, tells the kernel of those that are sampled, and makes the tables that walks miss, those
missed most first. All of it happens beside the sampling: a sample that comes too early is handed over with its
registers and stack, and walked here once there is what it needs.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ebtop.kernel.artifact import Layout
from ebtop.kernel.maps import Map
from ebtop.kernel.ring import Ring
from ebtop.kernel.side_band import Forked, NewMapping, SideBand, SideBandEvent
from ebtop.process.mappings import Mapping as Mapped
from ebtop.unwind import raw_stack
from ebtop.unwind.arena import BUDGET, TableArena
from ebtop.unwind.binaries import Binaries, Binary, may_have_table
from ebtop.unwind.ends import End
from ebtop.unwind.handed_over import HandedOver, WalkedStack
from ebtop.unwind.images import Image, Images
from ebtop.unwind.installed import Installed
from ebtop.unwind.jvms import GeneratedTable, Jvms
from ebtop.unwind.rule import GAP, Cfa, Rule
from ebtop.unwind.table import UnwindTable
from ebtop.unwind.table_cache import TableCache
from ebtop.unwind.table_maker import TableMaker

_BUSY_S, _IDLE_S = 0.03, 1.0
"""Between two rounds at least, for what comes meanwhile to be one; and at most, while nobody wakes us."""
_STACKS_PER_S, _STACKS_AT_ONCE = 250, 24
"""Handed over at most: each costs 0.1 to 0.3 ms here, and 16 KiB of the ring until it is taken."""
_CREDIT, _CREDIT_AT = struct.Struct("=i"), 4
"""In struct unwind_control, after the epoch."""
_SOON_S, _LAST_S = 0.005, 1.0
"""A table is waited for so long, and so long at the end."""
_EARLY_PER_S = 100.0
"""Processes that are told to the kernel before they are sampled, at most: each costs 0.1 ms."""
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
    missed: int
    registers: tuple[int, ...]
    pid: int
    after: int
    stack: raw_stack.StackCopy
    taken_at: float
    image: Image | None = None
    """Of its process at that time, once that was looked up: it may end while the stack waits for a table."""


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
        self._binaries = Binaries()
        self._maker = TableMaker(TableCache(log=log), log)
        self._in_making: tuple[Binary, _Want] | None = None
        self._arena = TableArena(maps, self._on_evict)
        self._installed = Installed(maps, self._binaries)
        self._images = Images()
        self._jvms = Jvms()
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
        self._held_back: list[SideBandEvent] = []
        self._changed: dict[int, None] = {}
        """Processes with new mappings."""
        self._early = _EARLY_PER_S
        self._early_at = 0.0
        self._side_band: SideBand | None = None
        self._swept_at = time.monotonic()
        self._stop = threading.Event()
        self._doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._sources = select.poll()
        """What a round is for: stacks, mappings, somebody who waits."""
        for fd in (self._doorbell, maps["unwind_raw"].fd):
            self._sources.register(fd, select.POLLIN)
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
        else:
            for fd in self._side_band.filenos():
                self._sources.register(fd, select.POLLIN)
        self._handed_over.begin(self._ring_doorbell)
        self._maker.start()
        self._thread.start()

    def stop(self) -> list[int]:
        """Walk what is left, end, and give everything back; returns the kernel's ids of the tables, which go now."""
        self._stop.set()
        self._ring_doorbell()
        if self._thread.ident is not None:
            self._thread.join()
        ids = self._arena.map_ids
        self._handed_over.end()
        if self._side_band is not None:
            self._side_band.close()
        self._jvms.close()
        self._ring.close()
        self._control.close()
        self._installed.close()
        self._arena.close()
        os.close(self._doorbell)
        return ids

    def _run(self) -> None:
        self._allow(time.monotonic())
        while not self._stop.wait(_BUSY_S):
            if not self._waits:
                self._sleep()
            self._guarded_round()
        last_at = time.monotonic() + _LAST_S
        self._guarded_round()
        while self._waits and time.monotonic() < last_at:
            self._maker.done.wait(_BUSY_S)
            self._guarded_round()
        self._maker.stop()
        self._walk_all(self._all_waiting(), may_wait=False)

    @property
    def _waits(self) -> bool:
        """Whether there are tables to be made."""
        return bool(self._wanted) or self._in_making is not None

    def _all_waiting(self) -> list[_Raw]:
        wants = [*self._wanted.values(), *([self._in_making[1]] if self._in_making is not None else [])]
        return [raw for want in wants for raw in want.stacks]

    def _sleep(self) -> None:
        """Until there is something to do."""
        if self._sources.poll(_IDLE_S * 1000):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._doorbell)

    def _ring_doorbell(self) -> None:
        """Have a round begin soon. From any thread."""
        os.eventfd_write(self._doorbell, 1)

    def _guarded_round(self) -> None:
        try:
            self._round()
        except Exception as error:
            # What processes map is arbitrary: one that is too odd must not end the walking of all others.
            self._log(f"unwinding: {type(error).__name__}: {error}")

    def _round(self) -> None:
        began = time.monotonic()
        self._installed.settle()
        until = time.monotonic_ns()
        raws = self._take_raws(began)
        until = max(until, raws[-1].time if raws else 0)
        events = self._held_back + (self._side_band.read() if self._side_band is not None else [])
        # What happened since then waits: a stack may have been handed over meanwhile that it comes after.
        self._held_back = [event for event in events if event.time > until]
        happened: list[SideBandEvent | _Raw] = [event for event in events if event.time <= until]
        happened += raws
        happened.sort(key=lambda item: item.time)
        for item in happened:
            if isinstance(item, _Raw):
                self._walk(item)
            else:
                self._apply(item)
        self._install_changed(began)
        self._take_generated()
        self._make_tables()
        self._handed_over.settle(began, stacks=not self._waits)
        self._sweep(began)
        self._allow(began)

    def _take_raws(self, now: float) -> list[_Raw]:
        found = []
        at = 4 + self._registers
        for record in self._ring.drain():
            stack_hash, moment, ip, missed = record[:4]
            registers = record[4:at]
            pid, _tid, after, length, data = record[at:]
            copy = raw_stack.StackCopy(registers[7] & ~1023, data[:length])
            found.append(_Raw(moment, stack_hash, ip, missed, registers, pid, after, copy, now))
        return found

    def _apply(self, event: SideBandEvent) -> None:
        gone = self._images.apply(event)
        if gone is not None:
            if gone.mappings:
                # Also where it began and ended since the last round: it may have been sampled all the same.
                self._handed_over.put_mappings(gone.pid, gone.mappings)
            self._installed.remove(gone.pid)
            self._jvms.forget(gone.pid)
            self._remove_generated(gone.generated)
        if isinstance(event, Forked):
            self._installed.inherit(event.parent, event.pid)
        elif isinstance(event, NewMapping):
            self._changed[event.pid] = None

    def _install_changed(self, now: float) -> None:
        """Tell the kernel what changed of the processes it knows, and of some that have just begun."""
        self._early = min(_EARLY_PER_S, self._early + (now - self._early_at) * _EARLY_PER_S)
        self._early_at = now
        for pid in self._changed:
            image = self._images.known(pid)
            if image is None or not image.changed:
                continue
            if pid not in self._installed:
                if self._early < 1 or not image.whole:
                    continue
                self._early -= 1
            self._install(image)
        self._changed.clear()

    def _walk(self, raw: _Raw, *, may_wait: bool = True) -> None:
        """Walk a stack that was handed over, or have it wait for the first table that it misses."""
        if raw.image is None:
            raw = raw._replace(image=self._images.get(raw.pid))
        assert raw.image is not None
        rules = _Rules(raw.image, self._images, self._binaries, self._look_at_new_code)
        if raw.pid not in self._installed:
            self._jvms.note(raw.pid, raw.image.mappings)
        addresses, end = raw_stack.walk(raw.registers, raw.ip, bool(raw.after), raw.stack, rules.find)
        if end == End.READ_FAULT:
            # More of the stack is in use than was copied. The kernel came further, to code that it has no table of.
            rules.find(raw.missed)
            end = End.NO_TABLE
        self._install_sampled(raw.image)
        waits = end == End.NO_TABLE and may_wait and rules.to_make is not None and self._may_wait(raw)
        if not waits:
            self._handed_over.put(raw.hash, WalkedStack(tuple(addresses), end))
        for binary, mapped in rules.not_placed.items():
            if self._may_be_placed(binary):
                want = self._wanted.setdefault(binary, _Want(raw.pid, mapped, []))
                if waits and binary is rules.to_make:
                    want.stacks.append(raw)

    def _install_sampled(self, image: Image) -> None:
        is_current = self._images.known(image.pid) is image
        if is_current and image.mappings and (image.changed or image.pid not in self._installed):
            self._install(image)

    def _may_be_placed(self, binary: Binary) -> bool:
        return binary not in self._unplaced

    def _may_wait(self, raw: _Raw) -> bool:
        return len(self._all_waiting()) < _WAITING_MAX and time.monotonic() - raw.taken_at < _WAIT_S

    def _make_tables(self) -> None:
        """Those that most stacks wait for first, weighed by what they cost: a small one is done in a moment."""
        while True:
            if self._in_making is not None:
                made = self._maker.take()
                if made is None:
                    return
                (binary, want), self._in_making = self._in_making, None
                self._binaries.learn(binary, made.table)
                self._place(binary, made.table, want.mapped)
                self._walk_all(want.stacks + self._waiting_for(binary))
            if not self._wanted:
                return
            binary = max(self._wanted, key=lambda b: (len(self._wanted[b].stacks) + 1) / (_SMALL_BYTES + b.size))
            want = self._wanted.pop(binary)
            table = self._binaries.at_hand(binary)
            if table is not None:
                self._place(binary, table, want.mapped)
                self._walk_all(want.stacks)
                continue
            content = self._binaries.content(binary, want.pid, want.mapped)
            if content is None:
                self._walk_all(want.stacks, may_wait=False)
                continue
            self._in_making = binary, want
            self._maker.ask(binary.key, content)
            self._maker.done.wait(_SOON_S)

    def _waiting_for(self, binary: Binary) -> list[_Raw]:
        """Stacks that came while the table was made."""
        want = self._wanted.pop(binary, None)
        return want.stacks if want is not None else []

    def _walk_all(self, stacks: list[_Raw], *, may_wait: bool = True) -> None:
        for raw in stacks:
            self._walk(raw, may_wait=may_wait)

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

    def _install(self, image: Image) -> None:
        self._installed.install(image)
        self._jvms.note(image.pid, image.mappings)

    def _take_generated(self) -> None:
        """Tables of what JVMs compiled since, in the place of those before."""
        for pid, tables in self._jvms.new_tables().items():
            image = self._images.known(pid)
            if image is None:
                self._jvms.forget(pid)
            else:
                self._use_generated(image, tables)

    def _look_at_new_code(self, image: Image) -> bool:
        """A stack leads through code that is in no table yet; returns whether there are new tables now."""
        tables = self._jvms.tables_now(image.pid) if self._images.known(image.pid) is image else []
        if tables:
            self._use_generated(image, tables)
        return bool(tables)

    def _use_generated(self, image: Image, tables: list[GeneratedTable]) -> None:
        before = image.generated
        for made in tables:
            self._place(self._binaries.add_generated(made), made.table, made.mapping)
        image.set_generated([made.mapping for made in tables])
        self._install(image)
        self._remove_generated(before)

    def _remove_generated(self, mappings: tuple[Mapped, ...]) -> None:
        for mapped in mappings:
            binary = self._binaries.known(mapped.file)
            self._binaries.forget(mapped.file)
            if binary is not None and binary.table_number:
                self._arena.remove(binary.table_number)
            if binary is not None:
                self._unplaced.discard(binary)

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
                self._jvms.forget(pid)
                image = self._images.known(pid)
                if image is not None and image.generated:
                    self._remove_generated(image.generated)
                    image.set_generated(())
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

    def __init__(
        self, image: Image, images: Images, binaries: Binaries, look_at_new_code: Callable[[Image], bool]
    ) -> None:
        self._image = image
        self._images = images
        self._binaries = binaries
        self._look_at_new_code = look_at_new_code
        self.not_placed: dict[Binary, Mapped] = {}
        """Whose table is not in the kernel."""
        self.to_make: Binary | None = None
        """Where the walk ended because the table is not at hand here either."""

    def find(self, pc: int) -> Rule | End:
        mapped = self._image.find(pc)
        if mapped is None and self._images.read_again(self._image):
            mapped = self._image.find(pc)
        if mapped is None:
            return End.NO_MAPPING
        if not may_have_table(mapped.file):
            return self._of_new_code(pc)
        binary = self._binaries.find(self._image.pid, mapped)
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
        rule = table.rule(pc - bias)
        return self._of_new_code(pc) if rule.cfa == Cfa.NOT_READ else rule

    def _of_new_code(self, pc: int) -> Rule | End:
        return self.find(pc) if self._look_at_new_code(self._image) else GAP
