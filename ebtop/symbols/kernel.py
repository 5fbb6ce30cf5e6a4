"""Names of kernel functions from /proc/kallsyms: the kernel's own, modules', and BPF programs'."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import BinaryIO

from ebtop.store.records import Frame
from ebtop.store.unnamed import KERNEL
from ebtop.symbols.frames import FrameCache
from ebtop.symbols.kallsyms import KernelFunction, KernelFunctions, functions, pieces
from ebtop.symbols.spans import Spans
from ebtop.symbols.table import best_alias
from ebtop.text import printable

KALLSYMS = "/proc/kallsyms"
FIX = "sysctl -w kernel.kptr_restrict=0, or run with CAP_SYSLOG (kptr_restrict=1)"
RELOAD_S = 10.0
"""Seconds between two readings for addresses that may be newer than the last; doubles while nothing changed."""
RELOAD_MAX_S = 80.0
_RECENT_MAX, _RECENT_BYTES = 4096, 110


class KernelSymbols:
    """Kernel addresses to frames. Reads kallsyms on the first look-up. One thread only."""

    def __init__(self, path: str = KALLSYMS, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._core = KernelFunctions()
        self._later = KernelFunctions()
        self._later_offset = 0
        self._read_at: float | None = None
        self._interval = RELOAD_S
        self._known = Spans()
        """Those of the kernel's own that were seen: a profile has a few hundred, at thousands of addresses."""
        self._recent: dict[int, Frame] = {}
        """Those of them that lie at these addresses: calls return to the same ones."""
        self._cache = FrameCache(1 << 20)
        self.generation = 0
        """Another number once names may be others than before."""
        self.restricted = False
        """The kernel hides its addresses from us: no kernel name is known."""
        self.error = ""
        """Why there are no names, one line; "" when there are."""

    fix = FIX

    @property
    def memory_bytes(self) -> int:
        tables = (self._core, self._later, self._known, self._cache)
        return sum(table.nbytes for table in tables) + len(self._recent) * _RECENT_BYTES

    def frames(self, addresses: Sequence[int]) -> list[Frame]:
        """The functions at kernel addresses."""
        recent = self._recent
        return [recent.get(address) or self.frame(address) for address in addresses]

    def frame(self, address: int) -> Frame:
        """The function at a kernel address."""
        known = self._known.find(address)
        if known is not None:
            if len(self._recent) >= _RECENT_MAX:
                self._recent.clear()
            self._recent[address] = known
            return known
        known = self._cache.get(address)
        if known is not None:
            return known
        if self._read_at is None:
            self._read(0)
        function = self._core.find(address)
        if function is not None:
            frame = _frame(function)
            self._known.add(function.begin, function.end, frame)
            return frame
        # Modules and BPF programs come and go, and where one ends is not known: a name from an old
        # reading may be that of a neighbour.
        self._read_again_when_due()
        function = self._core.find(address) or self._later.find(address)
        if function is None:
            return KERNEL
        frame = _frame(function)
        self._cache.put(address, frame)
        return frame

    def _read_again_when_due(self) -> None:
        if self._read_at is None or self._clock() - self._read_at < self._interval:
            return
        before = self._later.pieces
        self._read(0 if self.restricted else self._later_offset)
        changed = self._later.pieces != before
        self._interval = RELOAD_S if changed else min(self._interval * 2, RELOAD_MAX_S)
        if changed:
            self._cache.clear()
            self._known.clear()
            self._recent.clear()
            self.generation += 1

    def _read(self, offset: int) -> None:
        """Read kallsyms from an offset: 0 = all of it, else what follows the kernel's own symbols."""
        self._read_at = self._clock()
        try:
            with open(self._path, "rb") as file:
                if offset:
                    file.seek(offset)
                else:
                    self._read_core(file)
                self._read_later(file)
        except (OSError, ValueError) as error:
            self.restricted = True
            self.error = f"{self._path} can not be read: {error}"

    def _read_core(self, file: BinaryIO) -> None:
        """The kernel's own symbols, which come first and sorted; sets where the others begin."""
        core = KernelFunctions()
        offset = 0
        for lines in pieces(file):
            own = lines[: lines.rfind(b"\n", 0, lines.index(b"\t")) + 1] if b"\t" in lines else lines
            if not core.append(own):
                break
            offset += len(own)
            if len(own) < len(lines):
                break
        self._later_offset = offset
        self._core = core
        self.restricted = not core.pieces
        self.error = "" if core.pieces else "the kernel hides its addresses (kptr_restrict)"
        file.seek(offset)

    def _read_later(self, file: BinaryIO) -> None:
        """All others, sorted."""
        found = sorted(function for lines in pieces(file) for function in functions(lines))
        self._later = KernelFunctions()
        for lines in pieces(BytesIO(b"\n".join(found))):
            self._later.append(lines)


def _frame(function: KernelFunction) -> Frame:
    name, _, module = best_alias(function.names).partition(b"\t")
    return Frame(printable(name), "kernel", printable(module.strip(b"[]")))
