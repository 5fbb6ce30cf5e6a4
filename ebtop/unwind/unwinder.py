"""The thread that keeps the kernel's walker supplied, and walks what it handed over.

It follows what processes map, tells the kernel of those that are sampled, and makes the tables that walks miss, those
missed most first. All of it happens beside the sampling: a sample that comes too early is handed over with its
registers and stack, and walked here once there is what it needs.
"""

from __future__ import annotations

import os
import select
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping

from ebtop.kernel.artifact import Layout
from ebtop.kernel.maps import Map
from ebtop.kernel.side_band import SideBand, SideBandEvent, time_of
from ebtop.unwind.arena import BUDGET
from ebtop.unwind.binaries import Binaries, Binary
from ebtop.unwind.code_names import CodeNames
from ebtop.unwind.control import Control
from ebtop.unwind.followed import Followed
from ebtop.unwind.handed_over import HandedOver
from ebtop.unwind.images import programs
from ebtop.unwind.installed import Installed
from ebtop.unwind.raw_stacks import RawStacks
from ebtop.unwind.tables import Tables
from ebtop.unwind.told_files import ToldFiles
from ebtop.unwind.walks import Walks

_BUSY_S, _IDLE_S = 0.04, 1.0
"""Between two rounds at least, for what comes meanwhile to be one; and at most, while nobody wakes us."""
_NAMES_S = 0.1
"""While names of functions come. Those that find no room in their ring come again with the next sample."""
_LAST_S = 1.0
"""Tables are waited for so long at the end."""
_SWEEP_S = 10.0


class Unwinder:
    """Owns the maps of bpf/unwind.h while it runs. `start`, `stop` and the properties are for other threads."""

    def __init__(
        self,
        maps: Mapping[str, Map],
        layouts: Mapping[str, Layout],
        handed_over: HandedOver,
        log: Callable[[str], None],
        budget: int = BUDGET,
    ) -> None:
        """`layouts`: of the records in the rings. `budget`: kernel memory for tables, in bytes.

        Raises OSError when the maps can't be used.
        """
        self._log = log
        self._handed_over = handed_over
        binaries = Binaries()
        self._control = Control(maps["unwind_control"])
        self._installed = Installed(maps, binaries)
        self._told_files = ToldFiles(maps, handed_over.files)
        self._tables = Tables(maps, self._control, binaries, self._use_table, log, budget)
        self._followed = Followed(self._installed, binaries, self._tables, handed_over, self._recent)
        self._walks = Walks(self._followed, self._tables, self._told_files, handed_over)
        self._raws = RawStacks(maps["unwind_raw"], layouts["raw_stack"], self._control)
        self._code_names = CodeNames(maps["cpython_names"], layouts["cpython_name"], handed_over.functions)
        self._held_back: list[SideBandEvent] = []
        self._side_band: SideBand | None = None
        self._began = self._swept_at = time.monotonic()
        self._was_busy = False
        """Something happened before the last round."""
        self._stop = threading.Event()
        self._doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._sources = select.poll()
        """What a round is for: stacks, mappings, somebody who waits."""
        for fd in (self._doorbell, maps["unwind_raw"].fd):
            self._sources.register(fd, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="ebtop-unwind", daemon=True)

    @property
    def budget(self) -> int:
        """Kernel memory for tables, in bytes; may change at any time."""
        return self._tables.budget

    @budget.setter
    def budget(self, nbytes: int) -> None:
        self._tables.budget = nbytes

    @property
    def table_count(self) -> int:
        return len(self._tables)

    @property
    def table_bytes(self) -> int:
        """Kernel memory that tables take now."""
        return self._tables.nbytes

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is no room for, one line each."""
        return self._tables.notes

    def start(self) -> None:
        try:
            self._side_band = SideBand()
        except OSError as error:
            self._log(f"new mappings are only found by looking: perf events: {error.strerror}")
        else:
            for fd in self._side_band.filenos():
                self._sources.register(fd, select.POLLIN)
        self._handed_over.begin(self._ring_doorbell, lambda pid: programs(pid, self._recent(pid)))
        self._tables.start()
        self._thread.start()

    def stop(self) -> list[int]:
        """Walk what is left, end, and give everything back; returns the kernel's ids of the tables, which go now."""
        self._stop.set()
        self._ring_doorbell()
        if self._thread.ident is not None:
            self._thread.join()
        ids = self._tables.map_ids
        self._handed_over.end()
        if self._side_band is not None:
            self._side_band.close()  # what was read of it can still be asked for
        self._followed.close()
        self._raws.close()
        self._code_names.close()
        self._control.close()
        self._installed.close()
        self._told_files.close()
        self._tables.close()
        os.close(self._doorbell)
        return ids

    def _run(self) -> None:
        self._raws.allow(time.monotonic())
        while not self._stop.is_set():
            self._sleep()
            self._guarded_round()
        last_at = time.monotonic() + _LAST_S
        self._guarded_round()
        while self._tables.to_come and time.monotonic() < last_at:
            self._tables.wait(_BUSY_S)
            self._guarded_round()
        self._tables.stop()
        self._walks.walk_all(self._tables.waiting(), may_wait=False)

    def _sleep(self) -> None:
        """Until there is something to do, and enough of it."""
        soon = self._tables.to_come or (self._followed.needs_early and self._was_busy)
        longest = _BUSY_S if soon else _NAMES_S if self._code_names.come else _IDLE_S
        if any(fd == self._doorbell for fd, _ in self._sources.poll(longest * 1000)):
            os.eventfd_read(self._doorbell)
        rest = self._began + _BUSY_S - time.monotonic()
        if rest > 0:
            time.sleep(rest)

    def _ring_doorbell(self) -> None:
        """Have a round begin soon. From any thread."""
        os.eventfd_write(self._doorbell, 1)

    def _guarded_round(self) -> None:
        try:
            self._round()
        except Exception as error:
            # What processes map is arbitrary: one that is too odd must not end the walking of all others.
            self._log(f"unwinding: {type(error).__name__}: {error}")
        finally:
            self._tell()

    def _recent(self, pid: int) -> list[SideBandEvent]:
        """What a process did lately."""
        return self._side_band.recent(pid) if self._side_band is not None else []

    def _use_table(self, binary: Binary) -> None:
        """Its table has come, or goes."""
        self._installed.use_table(binary)
        self._told_files.use_table(binary)

    def _tell(self) -> None:
        try:
            self._installed.tell()
        except OSError as error:
            self._log(f"unwinding: processes can't be told to the kernel: {error.strerror}")

    def _round(self) -> None:
        began = self._began = time.monotonic()
        self._installed.settle()
        self._take_in(began)
        self._installed.tell()
        self._followed.install_changed(began)
        self._followed.take_generated()
        self._walks.make_tables()
        self._handed_over.settle(began, stacks=not self._tables.to_come)
        if began - self._swept_at >= _SWEEP_S:
            self._swept_at = began
            self._followed.sweep()
            self._tables.sweep(began)
        self._raws.allow(began)

    def _take_in(self, now: float) -> None:
        """What processes did and which stacks were handed over since the last time, in the order in which it was."""
        until = time.monotonic_ns()
        self._code_names.take()
        raws = self._raws.take(now)
        until = max(until, raws[-1].time if raws else 0)
        raws.sort(key=lambda raw: raw.time)
        read = self._side_band.read(self._followed.wanted) if self._side_band is not None else []
        events = sorted(self._held_back + read)
        # What happened since then waits: a stack may have been handed over meanwhile that it comes after.
        self._was_busy = bool(events)
        split = bisect_right(events, until, key=time_of)
        self._held_back = events[split:]
        at = 0
        for raw in raws:
            before = bisect_right(events, raw.time, at, split, key=time_of)
            self._followed.apply(events[at:before])
            self._walks.walk(raw)
            self._followed.catch_up()
            at = before
        self._followed.apply(events[at:split])
