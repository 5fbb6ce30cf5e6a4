"""The JVMs among the processes whose stacks are walked, and the tables of what they compile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from ebtop.hotspot.jvm import find_libjvm, is_libjvm, open_jvm
from ebtop.hotspot.vm_structs import UnknownVm
from ebtop.process.mappings import MappedFile, Mapping
from ebtop.process.memory import UnreadableMemory
from ebtop.process.processes import Processes
from ebtop.unwind.java_code import JavaCode, JavaTable
from ebtop.unwind.table import UnwindTable

JVMS_MAX = 32
_FIRST_S, _LATER_S = 0.5, 1.0
"""Until it is looked again whether a JVM has started up, and what it has compiled meanwhile."""
_SHARE = 50
"""A look that took CPU time is followed by a pause of so many times as much: at most 2 % of a CPU for each JVM."""
_AT_LEAST_S = 0.05
"""Between two looks at one JVM, whoever asks for them."""
_PATH = b"//java/"


class GeneratedTable(NamedTuple):
    """The table of one code heap, and the mapping that it is for."""

    mapping: Mapping
    """Its file is none: it stands for this code as it is now."""
    bias: int
    """What to take from an address to get the table's."""
    table: UnwindTable


class _Jvm:
    """What is known of one process."""

    __slots__ = ("code", "due", "looked_at", "tables")

    def __init__(self, due: float) -> None:
        self.code: JavaCode | None = None
        """None: not opened yet."""
        self.due = due
        self.looked_at = 0.0
        self.tables = 0
        """Made so far."""


class Jvms:
    """JVMs by pid. One thread only; holds their memory open."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._processes = Processes(clock)
        self._jvms: dict[int, _Jvm] = {}

    def close(self) -> None:
        for pid in tuple(self._jvms):
            self.forget(pid)

    def note(self, pid: int, mappings: list[Mapping]) -> None:
        """A process has these mappings: it may be a JVM."""
        if pid not in self._jvms and len(self._jvms) < JVMS_MAX and any(is_libjvm(m) for m in mappings):
            self._jvms[pid] = _Jvm(self._clock())

    def forget(self, pid: int) -> None:
        """A process has ended, or executed another program."""
        jvm = self._jvms.pop(pid, None)
        if jvm is not None and jvm.code is not None:
            jvm.code.close()

    def new_tables(self) -> dict[int, list[GeneratedTable]]:
        """The tables of JVMs, by pid, that have compiled something since they were last looked at."""
        now = self._clock()
        found = {pid: self._look(pid, jvm) for pid, jvm in tuple(self._jvms.items()) if now >= jvm.due}
        return {pid: tables for pid, tables in found.items() if tables}

    def tables_now(self, pid: int) -> list[GeneratedTable]:
        """The tables of one JVM, which runs code that is not in them; empty when nothing is new."""
        jvm = self._jvms.get(pid)
        if jvm is None or self._clock() - jvm.looked_at < _AT_LEAST_S:
            return []
        return self._look(pid, jvm)

    def _look(self, pid: int, jvm: _Jvm) -> list[GeneratedTable]:
        began = time.thread_time()
        try:
            tables = self._update(pid, jvm)
            pause = max(_LATER_S, _SHARE * (time.thread_time() - began))
        except UnknownVm:
            tables, pause = [], float("inf")  # kept, so that nobody tries again
        except UnreadableMemory:
            tables, pause = [], _FIRST_S  # it is just starting, or has ended
            if jvm.code is not None or not self._processes.get(pid):
                self.forget(pid)
        jvm.looked_at = self._clock()
        jvm.due = jvm.looked_at + pause
        return tables

    def _update(self, pid: int, jvm: _Jvm) -> list[GeneratedTable]:
        if jvm.code is None:
            process = self._processes.get(pid)
            library = find_libjvm(process) if process is not None else None
            if process is None or library is None:
                raise UnreadableMemory("no JVM any more")
            jvm.code = JavaCode(open_jvm(self._processes, process, library), self._clock)
        tables = jvm.code.update() or []
        return [self._generated(pid, jvm, table) for table in tables if table.table.pages]

    def _generated(self, pid: int, jvm: _Jvm, java: JavaTable) -> GeneratedTable:
        jvm.tables += 1
        file = MappedFile(0, 0, b"%s%d/%d" % (_PATH, pid, jvm.tables), False)
        return GeneratedTable(Mapping(java.low, java.high, 0, file), java.bias, java.table)


def is_generated(file: MappedFile) -> bool:
    """Whether a mapping is of code that a JVM generated. No real file has such a path."""
    return not file.inode and file.path.startswith(_PATH)
