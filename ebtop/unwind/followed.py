"""Processes as the kernel's walker knows them: what they map, from /proc and the side band, and what JVMs compile."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable

from ebtop.kernel.side_band import FORKED, MAPPED, SideBandEvent, time_of
from ebtop.process.mappings import Mapping, Mappings
from ebtop.unwind.binaries import Binaries, Binary, may_have_table
from ebtop.unwind.handed_over import HandedOver
from ebtop.unwind.images import Image, Images
from ebtop.unwind.installed import Installed
from ebtop.unwind.jvms import GeneratedTable, Jvms
from ebtop.unwind.rules import Rules
from ebtop.unwind.tables import Tables

_EARLY_PER_S = 100.0
"""Processes that are told to the kernel before they are sampled, at most: each costs 0.1 ms."""


class Followed:
    """Keeps the kernel's mappings of processes as they are. One thread only; holds the memory of JVMs open."""

    def __init__(
        self,
        installed: Installed,
        binaries: Binaries,
        tables: Tables,
        handed_over: HandedOver,
        recent: Callable[[int], list[SideBandEvent]],
    ) -> None:
        """`recent` says what a process did lately, in order."""
        self._recent = recent
        self._missed: list[SideBandEvent] = []
        """What a process that was not known did after the moment at which it was looked at."""
        self._installed = installed
        self._binaries = binaries
        self._tables = tables
        self._handed_over = handed_over
        self._images = Images()
        self._jvms = Jvms()
        self._changed: dict[int, None] = {}
        """Processes that somebody wants to know of, and that have new mappings."""
        self.needs_early = True
        """Whether new processes have to be told to the kernel before they are sampled, most of them for nothing.
        Otherwise what began lately needs nobody to follow it, children of processes that are known neither."""
        self._early = _EARLY_PER_S
        self._early_at = 0.0

    def close(self) -> None:
        self._jvms.close()

    @property
    def wanted(self) -> Container[int] | None:
        """The processes of which all that they do is to be taken in; None = of all."""
        return None if self.needs_early else self._images.pids

    def image(self, pid: int, moment: int) -> Image:
        """Of a process as it was when it was sampled (CLOCK_MONOTONIC, ns); then comes `catch_up`."""
        if pid in self._images.pids:
            return self._images.get(pid)
        events = self._recent(pid)
        split = bisect_right(events, moment, key=time_of)
        self._missed = events[split:]
        for _, kind, _, parent, _ in events[:split]:
            if kind == FORKED:
                self._binaries.note_parent(pid, parent)
        return self._images.get(pid, events[:split])

    def catch_up(self) -> None:
        """Take in what happened after the moment that was last asked for."""
        missed, self._missed = self._missed, []
        self.apply(missed)

    def rules(self, image: Image) -> Rules:
        """For a stack of this process."""
        if image.pid not in self._installed:
            self._jvms.note(image.pid, image.mappings)
        return Rules(image, self._images, self._binaries, self._look_at_new_code)

    def binary(self, image: Image, mapped: Mapping) -> Binary | None:
        """What is mapped there; None where that is no file, or can't be opened now."""
        return self._binaries.find(image.pid, mapped) if may_have_table(mapped.file) else None

    def open_hidden(self, binary: Binary, image: Image, mapped: Mapping) -> int | None:
        """What is mapped there, as a file descriptor, where its path does not lead to it from here."""
        return self._binaries.open_hidden(binary, image.pid, mapped)

    def apply(self, events: Iterable[SideBandEvent]) -> None:
        """Take in what processes did."""
        for kind, pid, parent, gone in self._images.apply(events):
            if kind == MAPPED:
                self._changed[pid] = None
            if gone is not None:
                if gone.mappings:
                    # Also where it began and ended since the last round: it may have been sampled all the same.
                    self._handed_over.put_mappings(pid, Mappings(gone.mappings))
                self._forget(gone)
            if kind == FORKED:
                self._installed.inherit(parent, pid)

    def install_changed(self, now: float) -> None:
        """Tell the kernel what changed of the processes it knows, and where it needs that, of some that have begun."""
        self._early = min(_EARLY_PER_S, self._early + (now - self._early_at) * _EARLY_PER_S)
        self._early_at = now
        for pid in self._changed:
            image = self._images.known(pid)
            if image is not None and image.changed and (pid in self._installed or self._may_be_early(image)):
                self._install(image)
        self._changed.clear()

    def note_asking(self) -> None:
        """The kernel's walker finds by itself which file is mapped where (since Linux 6.1)."""
        self.needs_early = False

    def _may_be_early(self, image: Image) -> bool:
        may = self.needs_early and self._early >= 1 and image.whole
        if may:
            self._early -= 1
        return may

    def install_sampled(self, image: Image) -> None:
        """Tell the kernel a process that was sampled, unless it knows it as it is."""
        is_current = self._images.known(image.pid) is image
        if is_current and image.mappings and (image.changed or image.pid not in self._installed):
            self._install(image)

    def take_generated(self) -> None:
        """Tables of what JVMs compiled since, in the place of those before."""
        for pid, tables in self._jvms.new_tables().items():
            image = self._images.known(pid)
            if image is None:
                self._jvms.forget(pid)
            else:
                self._use_generated(image, tables)

    def sweep(self) -> None:
        """Forget processes whose end nobody told of."""
        for pid in self._installed.pids():
            if not os.path.exists(f"/proc/{pid}"):
                self._installed.remove(pid)
                self._jvms.forget(pid)
                image = self._images.known(pid)
                if image is not None and image.generated:
                    self._remove_generated(image.generated)
                    image.set_generated(())

    def _forget(self, gone: Image) -> None:
        self._installed.remove(gone.pid)
        self._jvms.forget(gone.pid)
        self._remove_generated(gone.generated)

    def _install(self, image: Image) -> None:
        self._installed.install(image)
        self._jvms.note(image.pid, image.mappings)

    def _look_at_new_code(self, image: Image) -> bool:
        """A stack leads through code that is in no table yet; returns whether there are new tables now."""
        tables = self._jvms.tables_now(image.pid) if self._images.known(image.pid) is image else []
        if tables:
            self._use_generated(image, tables)
        return bool(tables)

    def _use_generated(self, image: Image, tables: list[GeneratedTable]) -> None:
        before = image.generated
        for made in tables:
            self._tables.place(self._binaries.add_generated(made), made.table, made.mapping)
        image.set_generated([made.mapping for made in tables])
        self._install(image)
        self._remove_generated(before)

    def _remove_generated(self, mappings: tuple[Mapping, ...]) -> None:
        for mapped in mappings:
            binary = self._binaries.known(mapped.file)
            self._binaries.forget(mapped.file)
            if binary is not None:
                self._tables.remove(binary)
