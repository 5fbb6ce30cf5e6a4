"""The processes that run CPython, and the names of their functions."""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from ebtop.cpython.build import Build
from ebtop.cpython.code_object import ENTRY, Function, key_of, read_function
from ebtop.cpython.layout import Layout
from ebtop.cpython.merge import Python
from ebtop.cpython.told import ToldFunctions
from ebtop.process.identity import read_identity
from ebtop.process.mappings import Mapping
from ebtop.process.processes import PROCESSES_MAX, Process
from ebtop.store.records import Frame
from ebtop.symbols.binaries import Binaries
from ebtop.symbols.frames import FrameCache

GONE = Frame("[Python function, gone before it was read]", "interpreted", "")
"""Its code object was freed, or its process ended."""
_FRAMES_BYTES = 4 << 20
_SWEEP_S = 5.0
_RUNNING_MAX = 256
_PACKAGE_FILES = frozenset(("__init__.py", "__main__.py"))


class Interpreter(NamedTuple):
    """CPython in one process."""

    build: Build
    bias: int
    """To add to an ELF virtual address of its file."""

    def evaluates(self, address: int) -> bool:
        """Whether an address lies in the function that runs Python functions."""
        return self.build.is_evaluator(address - self.bias)


class Walking(NamedTuple):
    """What the kernel is told of a process whose Python functions it walks."""

    runtime: int
    """Address of _PyRuntime."""
    layout: Layout


Change = tuple[int, Walking | None]
"""A pid, and how to walk it from now on; None = no more."""


class Interpreters:
    """Finds CPython in processes and reads names out of their memory, once for each code object. One thread only."""

    def __init__(
        self, binaries: Binaries, clock: Callable[[], float] = time.monotonic, told: ToldFunctions | None = None
    ) -> None:
        """`told`: functions of which the kernel read the names."""
        self._binaries = binaries
        self._told_functions = told or ToldFunctions()
        self._clock = clock
        self._by_pid: OrderedDict[int, tuple[int, Interpreter | None]] = OrderedDict()
        """With the generation of the process that was looked at."""
        self._told: dict[int, tuple[int, Walking]] = {}
        """With the start time of the process."""
        self._changes: list[Change] = []
        self._swept_at = clock()
        self._frames = FrameCache(_FRAMES_BYTES)

    @property
    def memory_bytes(self) -> int:
        return self._frames.nbytes + 200 * len(self._by_pid) + 300 * len(self._told) + self._told_functions.nbytes

    def of(self, process: Process) -> Interpreter | None:
        """The CPython that a process runs; looked for anew when its mappings have changed."""
        known = self._by_pid.get(process.pid)
        if known is not None and known[0] == process.generation:
            return known[1]
        interpreter = self._find(process)
        if interpreter is None and known is not None and not len(process.mappings):
            interpreter = known[1]
        self._by_pid[process.pid] = process.generation, interpreter
        self._by_pid.move_to_end(process.pid)
        if len(self._by_pid) > PROCESSES_MAX:
            self._by_pid.popitem(last=False)
        self._tell(process, interpreter)
        return interpreter

    def changes(self) -> list[Change]:
        """What the kernel has to be told since the last time."""
        if self._clock() - self._swept_at > _SWEEP_S:
            self._swept_at = self._clock()
            self._sweep()
        changes, self._changes = self._changes, []
        return changes

    def functions(self, pid: int, process: Process | None, layout: Layout, words: Sequence[int]) -> list[Python]:
        """The functions that the kernel walked, by name; `process` is None where nobody has looked at it."""
        start_time = process.identity.start_time if process is not None else 0
        with _Memory(pid) as memory:
            return [Python(self._frame(memory, pid, start_time, layout, word), bool(word & ENTRY)) for word in words]

    def _frame(self, memory: _Memory, pid: int, start_time: int, layout: Layout, word: int) -> Frame:
        function = self._told_functions.get(pid, key_of(word))
        if function is not None:
            return _named(function)
        key = (pid, start_time, key_of(word))
        frame = self._frames.get(key) if start_time else None
        if frame is None:
            try:
                function = read_function(memory.read, layout, word)
            except (OSError, ValueError, OverflowError):
                return GONE
            if function is None:
                return GONE
            frame = _named(function)
            if start_time:
                self._frames.put(key, frame)
        return frame

    def _find(self, process: Process) -> Interpreter | None:
        seen = set()
        for mapping in process.mappings:
            file = mapping.file
            if file in seen or not file.on_disk or not _may_hold_python(process, mapping):
                continue
            seen.add(file)
            binary = self._binaries.get(process, mapping)
            if binary is None or binary.cpython is None:
                continue
            start = binary.address(mapping.offset)
            if start is not None:
                return Interpreter(binary.cpython, mapping.start - start)
        return None

    def _tell(self, process: Process, interpreter: Interpreter | None) -> None:
        pid, start_time = process.pid, process.identity.start_time
        walking = None
        if interpreter is not None and interpreter.build.layout is not None:
            runtime = interpreter.build.runtime + interpreter.bias
            walking = Walking(runtime & 0xFFFFFFFF_FFFFFFFF, interpreter.build.layout)
        if walking is not None:
            if self._told.get(pid) != (start_time, walking):
                self._told[pid] = start_time, walking
                self._changes.append((pid, walking))
        elif self._told.pop(pid, None) is not None:
            self._changes.append((pid, None))

    def _sweep(self) -> None:
        """Forget processes that have ended, whose pids will be others'; the kernel may have forgotten the rest."""
        for pid, (start_time, walking) in list(self._told.items()):
            identity = read_identity(pid)
            if identity is None or identity.start_time != start_time:
                del self._told[pid]
                self._changes.append((pid, None))
            else:
                self._changes.append((pid, walking))


class _Memory:
    """A process's memory, opened when it is first read."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._fd = -1

    def __enter__(self) -> _Memory:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def read(self, address: int, length: int) -> bytes:
        """Raises OSError, also for less than `length`."""
        if self._fd < 0:
            self._fd = os.open(f"/proc/{self._pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(self._fd, length, address)
        if len(data) != length:
            raise OSError("cut short")
        return data


def running_pythons() -> list[int]:
    """Pids of programs whose file is named after Python; some hundreds at most. 10 us for each process there is."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):
                if "python" in os.path.basename(os.readlink(f"/proc/{name}/exe")):
                    found.append(int(name))
    return found[:_RUNNING_MAX]


def is_named_python(process: Process) -> bool:
    """Whether one of its files has a name that says so."""
    return any(_named_python(mapping) for mapping in process.mappings)


def _named_python(mapping: Mapping) -> bool:
    return b"python" in mapping.file.path.rpartition(b"/")[2]


def _may_hold_python(process: Process, mapping: Mapping) -> bool:
    """A library of that name, or the program itself, which may have CPython linked in."""
    return _named_python(mapping) or mapping.file.inode == process.identity.exe_inode


@lru_cache(4096)
def _named(function: Function) -> Frame:
    """For a module the file's name, with that of its package where it says nothing itself."""
    directory, _, name = function.file.rpartition("/")
    if name in _PACKAGE_FILES and directory:
        name = f"{directory.rpartition('/')[2]}/{name}"
    return Frame(function.name, "interpreted", name or function.file, function.file, function.line)
