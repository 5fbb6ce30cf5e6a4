"""Names of kernel functions from /proc/kallsyms: the kernel's own, modules', and BPF programs'."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from typing import BinaryIO

from ebtop.process.pause import pause
from ebtop.store.records import Frame
from ebtop.store.unnamed import KERNEL
from ebtop.symbols.frames import FrameCache
from ebtop.symbols.packed import PackedStrings
from ebtop.symbols.table import best_alias
from ebtop.text import printable

KALLSYMS = "/proc/kallsyms"
FIX = "sysctl -w kernel.kptr_restrict=0, or run with CAP_SYSLOG (kptr_restrict=1)"
RELOAD_S = 10.0
"""Seconds between two readings for addresses that may be newer than the last; doubles while nothing changed."""
RELOAD_MAX_S = 80.0
_FUNCTION_TYPES = frozenset(b"tTwW")
_PAUSE_LINES = 1000
"""About a millisecond's work."""
_FUNCTION_MAX = 1 << 16
"""kallsyms has no sizes: this far past its last symbol an address has no name any more."""


class _Functions:
    """Sorted kernel functions of one part of kallsyms."""

    def __init__(self, typecode: str, base: int) -> None:
        self.base = base
        self.starts = array(typecode)
        self.names = array("I")
        self.strings = PackedStrings()

    @property
    def nbytes(self) -> int:
        return len(self.starts) * self.starts.itemsize + len(self.names) * self.names.itemsize + self.strings.nbytes

    def append(self, address: int, text: bytes) -> None:
        """Take "name" or "name\\t[module]"; addresses come in ascending order."""
        self.starts.append(address - self.base)
        self.names.append(self.strings.append(text + b"\0"))

    def find(self, address: int) -> tuple[bytes, bytes] | None:
        """(name, module) of the function that begins at or nearest below an address."""
        at = address - self.base
        index = bisect_right(self.starts, at) - 1
        if index < 0 or at - self.starts[index] >= _FUNCTION_MAX:
            return None
        first = bisect_left(self.starts, self.starts[index])
        texts = [self.strings.string(self.names[i]) for i in range(first, index + 1)]
        name, _, module = best_alias(texts).partition(b"\t")
        return name, module.strip(b"[]")


class KernelSymbols:
    """Kernel addresses to frames. Reads kallsyms on the first look-up. One thread only."""

    def __init__(self, path: str = KALLSYMS, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._core = _Functions("I", 0)
        self._later = _Functions("Q", 0)
        self._later_offset = 0
        self._read_at: float | None = None
        self._interval = RELOAD_S
        self._cache = FrameCache(1 << 20)
        self.generation = 0
        """Another number once names may be others than before."""
        self.restricted = False
        """The kernel hides its addresses from us: no kernel name is known."""
        self.error = ""
        """Why there are no names, one line; "" when there are."""

    fix = FIX

    def __len__(self) -> int:
        return len(self._core.starts) + len(self._later.starts)

    @property
    def memory_bytes(self) -> int:
        return self._core.nbytes + self._later.nbytes + self._cache.nbytes

    def frame(self, address: int) -> Frame:
        """The function at a kernel address."""
        cached = self._cache.get(address)
        if cached is not None:
            return cached
        if self._read_at is None:
            self._read(0)
        found = self._find_core(address)
        if found is None:
            # Modules and BPF programs come and go, and where one ends is not known: a name from an old
            # reading may be that of a neighbour.
            self._read_again_when_due()
            found = self._find_core(address) or self._later.find(address)
        if found is None:
            return KERNEL
        name, module = found
        frame = Frame(printable(name), "kernel", printable(module))
        self._cache.put(address, frame)
        return frame

    def _find_core(self, address: int) -> tuple[bytes, bytes] | None:
        return self._core.find(address) if address >= self._core.base else None

    def _read_again_when_due(self) -> None:
        if self._read_at is None or self._clock() - self._read_at < self._interval:
            return
        before = self._later.starts
        self._read(0 if self.restricted else self._later_offset)
        changed = self._later.starts != before
        self._interval = RELOAD_S if changed else min(self._interval * 2, RELOAD_MAX_S)
        if changed:
            self._cache.clear()
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
        core: _Functions | None = None
        hidden = True
        last = 0
        offset = 0
        for number, line in enumerate(file):
            if b"\t" in line:
                break
            if not number % _PAUSE_LINES:
                pause()
            address, kind, name = _fields(line)
            hidden = hidden and not address
            if kind in _FUNCTION_TYPES and address:
                core = core or _Functions("I", address)
                if address < last or address - core.base >= 1 << 32:
                    break
                core.append(address, name)
                last = address
            offset += len(line)
        self._later_offset = offset
        self._core = core or _Functions("I", 0)
        self.restricted = hidden
        self.error = "the kernel hides its addresses (kptr_restrict)" if hidden else ""
        file.seek(offset)

    def _read_later(self, file: BinaryIO) -> None:
        later = _Functions("Q", 0)
        for address, text in sorted(_functions(file)):
            later.append(address, text)
        self._later = later


def _functions(lines: Iterable[bytes]) -> Iterable[tuple[int, bytes]]:
    for number, line in enumerate(lines):
        if not number % _PAUSE_LINES:
            pause()
        address, kind, text = _fields(line)
        if kind in _FUNCTION_TYPES and address:
            yield address, text


def _fields(line: bytes) -> tuple[int, int, bytes]:
    """(address, type, "name" or "name\\t[module]") of "ffffffff81000000 T name [module]"."""
    address, kind, text = line.rstrip(b"\n").split(b" ", 2)
    return int(address, 16), kind[0], text
