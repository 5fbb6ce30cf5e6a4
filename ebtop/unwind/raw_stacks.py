"""Stacks that the kernel hands over as registers and a copy of memory: taken out of its ring, and how many it may."""

from __future__ import annotations

import time
from operator import itemgetter
from typing import NamedTuple

from ebtop.kernel.artifact import Layout
from ebtop.kernel.maps import Map
from ebtop.kernel.ring import Ring
from ebtop.unwind.control import Control
from ebtop.unwind.images import Image
from ebtop.unwind.machine import X86_64
from ebtop.unwind.raw_stack import StackCopy
from ebtop.unwind.told_files import SeenFile

_PER_S, _AT_ONCE = 250, 24
"""Handed over at most: each costs 0.1 to 0.3 ms here, and 16 KiB of the ring until it is taken."""
_CHUNK = 1024
"""RAW_CHUNK of bpf/unwind.h: copies begin at a multiple of it."""
_BY_DWARF_NUMBER = itemgetter(10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0)
"""Out of struct pt_regs of x86-64."""


class RawStack(NamedTuple):
    """struct raw_stack of bpf/unwind.h."""

    time: int
    hash: int
    ip: int
    missed: int
    registers: tuple[int, ...]
    """By DWARF number."""
    pid: int
    after: int
    stack: StackCopy
    taken_at: float
    """time.monotonic()."""
    file: SeenFile | None = None
    """What is mapped at `missed`, where it is a file that the kernel did not know."""
    image: Image | None = None
    """Of its process at that time, once that was looked up: it may end while the stack waits for a table."""


class RawStacks:
    """The ring they come through. One thread only."""

    def __init__(self, ring: Map, layout: Layout, control: Control) -> None:
        """Raises OSError when the ring can't be mapped."""
        self._ring = Ring(ring, layout)
        self._registers = sum(name.startswith("registers") for name in layout.fields)
        self._control = control
        self._credit = float(_AT_ONCE)
        self._given = 0
        self._given_at = time.monotonic()

    def close(self) -> None:
        self._ring.close()

    def take(self, now: float) -> list[RawStack]:
        """Those that came since the last time, oldest first."""
        found = []
        at = 4 + self._registers
        for record in self._ring.drain():
            stack_hash, moment, ip, missed = record[:4]
            registers = _BY_DWARF_NUMBER(record[4:at])
            pid, _tid, after, length, is_file, device, inode, nbytes, written, written_ns, data = record[at:]
            copy = StackCopy(registers[X86_64.stack_pointer] & -_CHUNK, data[:length])
            file = SeenFile(inode, nbytes, written, written_ns, device) if is_file else None
            found.append(RawStack(moment, stack_hash, ip, missed, registers, pid, after, copy, now, file))
        return found

    def allow(self, now: float) -> None:
        """Let the kernel hand over some more."""
        used = self._given - self._control.credit
        self._credit += (now - self._given_at) * _PER_S - used
        self._credit, self._given_at = min(self._credit, 1.0 * _PER_S), now
        self._given = max(0, min(int(self._credit), _AT_ONCE))
        self._control.credit = self._given
