"""Walks stacks that the kernel handed over, or has them wait for the table they miss."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from ebtop.unwind import raw_stack
from ebtop.unwind.ends import End
from ebtop.unwind.followed import Followed
from ebtop.unwind.handed_over import HandedOver, WalkedStack
from ebtop.unwind.images import Image
from ebtop.unwind.raw_stacks import RawStack
from ebtop.unwind.tables import Tables
from ebtop.unwind.told_files import SeenFile, ToldFiles

_WAITING_MAX, _WAIT_S = 256, 4.0
"""Stacks that wait for a table, and how long."""


class Walks:
    """One thread only."""

    def __init__(self, followed: Followed, tables: Tables, told_files: ToldFiles, handed_over: HandedOver) -> None:
        self._followed = followed
        self._tables = tables
        self._told_files = told_files
        self._handed_over = handed_over

    def walk(self, raw: RawStack, *, may_wait: bool = True) -> None:
        """Walk a stack, or have it wait for the first table that it misses."""
        image = raw.image if raw.image is not None else self._followed.image(raw.pid, raw.time)
        raw = raw._replace(image=image)
        rules = self._followed.rules(image)
        addresses, end = raw_stack.walk(raw.registers, raw.ip, bool(raw.after), raw.stack, rules.find)
        if end == End.READ_FAULT:
            # More of the stack is in use than was copied. The kernel came further, to code that it has no table of.
            rules.find(raw.missed)
            end = End.NO_TABLE
        if not (raw.file is not None and self._tell_file(raw.file, image, raw.missed)):
            self._followed.install_sampled(image)
        waits = end == End.NO_TABLE and may_wait and rules.to_make is not None and self._may_wait(raw)
        if not waits:
            self._handed_over.put(raw.hash, WalkedStack(tuple(addresses), end))
        for binary, mapped in rules.not_placed.items():
            self._tables.want(binary, raw.pid, mapped, raw if waits and binary is rules.to_make else None)

    def walk_all(self, stacks: Iterable[RawStack], *, may_wait: bool = True) -> None:
        for raw in stacks:
            self.walk(raw, may_wait=may_wait)

    def make_tables(self) -> None:
        """Make what tables are missed, as far as that is done in a moment, and walk the stacks that waited for them."""
        for stacks, may_wait in self._tables.make():
            self.walk_all(stacks, may_wait=may_wait)

    def _tell_file(self, file: SeenFile, image: Image, address: int) -> bool:
        """Tell the kernel of a file that it saw at an address; false where that can't be."""
        self._followed.note_asking()
        mapped = image.find(address)
        if mapped is None:
            return False
        binary = self._followed.binary(image, mapped)
        if binary is None:
            return False
        opened = partial(self._followed.open_hidden, binary, image, mapped)
        return self._told_files.tell(file, binary, image.pid, mapped, opened)

    def _may_wait(self, raw: RawStack) -> bool:
        return len(self._tables.waiting()) < _WAITING_MAX and time.monotonic() - raw.taken_at < _WAIT_S
