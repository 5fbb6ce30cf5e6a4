"""Stacks of addresses to stacks of names."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence

from ebtop.cpython.merge import Native, merge, unread
from ebtop.cpython.told import ToldFunctions
from ebtop.process.mappings import MappedFile, Mappings
from ebtop.process.places import PLACE_IN_FILE, Files, has_addresses
from ebtop.process.processes import PROCESSES_MAX, Process, Processes
from ebtop.store.records import Frame, ModuleFacts
from ebtop.store.unnamed import KERNEL, UNKNOWN, jit_frame
from ebtop.symbols.binaries import Binaries
from ebtop.symbols.entry import is_complete
from ebtop.symbols.file_frames import cached_frame, unnamed
from ebtop.symbols.frames import FrameCache, NamedStack, StackCache
from ebtop.symbols.interpreters import (
    GONE,
    Change,
    Interpreter,
    Interpreters,
    Walking,
    is_named_python,
    running_pythons,
)
from ebtop.symbols.java import JavaNames
from ebtop.symbols.kernel import KernelSymbols
from ebtop.symbols.new_modules import NewModules
from ebtop.symbols.perf_maps import PerfMaps
from ebtop.symbols.placed_frames import PlacedFrames, PlacedPython

_PERF_MAP_SHARE = 4
"""Perf maps get one part in so many of the cache."""
_FRAMES_BYTES = 4 << 20
_STACKS_BYTES = 2 << 20
_PLACES_BYTES = 500
"""Which binaries a process has, roughly."""
_MEMORY_FILES = (b"/memfd:", b"/dev/zero", b"/SYSV")
"""Paths of files that are none: memory shared between mappings, where .NET and JVMs write and run code."""
_SPECIAL_AREAS = (b"[vdso]", b"[vsyscall]", b"[uprobes]", b"[stack]")


class Symbolizer:
    """Addresses to frames for all processes and the kernel. One thread only.

    Reads /proc, the mapped ELF files and their debug files; holds none of them open but the memory of JVMs.
    """

    def __init__(
        self,
        *,
        cache_bytes: int = 16 << 20,
        clock: Callable[[], float] = time.monotonic,
        kernel: KernelSymbols | None = None,
        files: Files | None = None,
        functions: ToldFunctions | None = None,
    ) -> None:
        """`cache_bytes` bounds the symbols of binaries and perf maps; the largest one alone may exceed it.

        `files`: what places in stacks are places in; `functions`: of Python, as the kernel told them.
        """
        self.kernel = kernel if kernel is not None else KernelSymbols(clock=clock)
        self._processes = Processes(clock)
        self._binaries = Binaries(self._processes, cache_bytes - cache_bytes // _PERF_MAP_SHARE)
        self._java = JavaNames(self._processes, clock)
        self._perf_maps = PerfMaps(cache_bytes // _PERF_MAP_SHARE, clock)
        self._modules = NewModules()
        self._frames = FrameCache(_FRAMES_BYTES)
        self._placed = PlacedFrames(files or Files(), self._binaries, self._modules, self._frames)
        self._stacks = StackCache(_STACKS_BYTES)
        self._places_of: dict[int, dict[int, tuple[int, str]]] = {}
        """By the generation of a process; those of the newest ones."""
        self._interpreters = Interpreters(self._binaries, clock, functions)

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory taken by all tables and caches, estimated."""
        parts = (
            self.kernel, self._processes, self._binaries, self._java, self._perf_maps, self._modules,
            self._interpreters, self._placed,
        )  # fmt: skip
        caches = self._frames.nbytes + self._stacks.nbytes + _PLACES_BYTES * len(self._places_of)
        return sum(part.memory_bytes for part in parts) + caches

    def note_process(self, pid: int) -> None:
        """Remember a process's mappings while it lives: call it when a process starts or executes a program."""
        process = self._processes.note(pid)
        if process is None or self._placed.runs_known_python(process.mappings):
            return
        if is_named_python(process):
            self._interpreters.of(process)

    def note_interpreters(self) -> None:
        """Look for the interpreters that run now, so that their first samples need not find them."""
        for pid in running_pythons():
            process = self._processes.get(pid)
            if process is not None:
                self._interpreters.of(process)

    def knows(self, pid: int) -> bool:
        """Whether anything is known of a process; false for one that ended before."""
        return self._processes.get(pid) is not None

    def note_mappings(self, pid: int, mappings: Mappings) -> None:
        """What a process had mapped when it ended or executed another program: samples of it may be named later."""
        self._processes.learn(pid, mappings)

    def forget(self, pid: int) -> None:
        """Drop what is known of a process."""
        self._processes.forget(pid)

    def new_modules(self) -> tuple[ModuleFacts, ...]:
        """The files that frames lie in and that no call returned so far."""
        return self._modules.take()

    def interpreter_changes(self) -> list[Change]:
        """Which processes run CPython, and how the kernel walks it: what is new since the last time."""
        return self._interpreters.changes()

    def interpreter_files(self) -> dict[int, Walking]:
        """Which files hold CPython, by their numbers in places, and how the kernel walks it: what is new since."""
        return self._placed.new_pythons()

    def stack(
        self,
        pid: int,
        user: Sequence[int],
        kernel: Sequence[int],
        *,
        truncated_user: bool = False,
        whole_user: bool = False,
        interpreted: Sequence[int] = (),
        truncated_interpreted: bool = False,
    ) -> NamedStack:
        """Name the frames of one stack.

        `user` and `kernel` are instruction pointers, leaf first, as bpf_get_stack gives them, or (user) places in
        files; `truncated_user` says that the user stack is known to be cut, `whole_user` that it is known not to be.
        `interpreted` are the Python functions as bpf/cpython.h hands them over, which may be cut too.
        """
        process = None
        python: Interpreter | PlacedPython | None = self._placed.python(user)
        # Places need none, and of a stack that is whole without a frame there is nothing to find out.
        if pid and (has_addresses(user) or not (user or whole_user) or (interpreted and python is None)):
            process = self._processes.get(pid)
            if process is not None:
                user = self._placed.addresses(user, process.mappings)
        # Python functions are known by where they lie in a process's memory.
        generation = process.generation if process is not None else -pid if interpreted else 0
        key = (
            generation, self.kernel.generation, len(user), len(kernel), truncated_user, whole_user,
            truncated_interpreted, array("Q", (*user, *kernel, *interpreted)).tobytes(),
        )  # fmt: skip
        named = self._stacks.get(key)
        if named is not None:
            return named
        user_frames, user_lasts = self._user_frames(process, _lookup_addresses(user))
        kernel_frames = self.kernel.frames(_lookup_addresses(kernel))
        kernel_frames.reverse()
        kernel_thread = pid == 0 or (process is not None and process.identity.kernel_thread)
        complete = is_complete(user_frames[::-1], kernel_thread=kernel_thread, truncated=truncated_user)
        merged, interpreted_lasts = user_frames, True
        if process is not None:
            python = self._interpreters.of(process)
        if python is not None:
            native = list(map(Native, user_frames, map(python.evaluates, _lookup_addresses(user))))
            layout = python.build.layout
            if layout is None:
                merged = unread(native, f"[{python.build.title}: {python.build.unread}]")
            elif interpreted:
                functions = self._interpreters.functions(pid, process, layout, interpreted)
                whole = complete or whole_user
                merged = merge(native, functions, native_whole=whole, python_whole=not truncated_interpreted)
                interpreted_lasts = all(function.frame is not GONE for function in functions)
        named = NamedStack((*merged[::-1], *kernel_frames), complete)
        if user_lasts and interpreted_lasts and KERNEL not in kernel_frames:
            self._stacks.put(key, named)
        return named

    def _user_frames(self, process: Process | None, addresses: Sequence[int]) -> tuple[list[Frame], bool]:
        """Leaf first; and whether they will always be these, for this process as it is now."""
        if process is None:
            return self._placed.frames(addresses)
        frames, last = [], True
        places = self._places(process)
        for address in addresses:
            frame = self._known_frame(process, places, address)
            if frame is None and address >= PLACE_IN_FILE:
                frame, last = self._placed.frame(address), False
            elif frame is None:
                if address not in process.mappings:
                    # A library may have been loaded since they were read.
                    process, last = self._processes.reread(process), False
                    places = self._places(process)
                frame, lasts = self._find_user_frame(process, address)
                last = last and lasts
            frames.append(frame)
        return frames, last

    def _places(self, process: Process) -> dict[int, tuple[int, str]]:
        """Which binary lies in which of a process's mappings, as far as somebody asked: its serial and its label."""
        places = self._places_of.get(process.generation)
        if places is None:
            if len(self._places_of) >= PROCESSES_MAX:
                del self._places_of[next(iter(self._places_of))]
            places = self._places_of[process.generation] = {}
        return places

    def _known_frame(self, process: Process, places: dict[int, tuple[int, str]], address: int) -> Frame | None:
        """The function at an address, if it was named before in whichever process: most run what others ran."""
        located = process.locate(address)
        if located is None:
            return None
        number, offset = located
        if number < 0 and process.alive:
            return None  # where something was, something else may have been loaded since
        place = places.get(number)
        return self._frames.get((*place, offset)) if place is not None else None

    def _find_user_frame(self, process: Process, address: int) -> tuple[Frame, bool]:
        """The function at an address, and whether it will always be this one."""
        located = process.locate(address)
        if located is None:
            return UNKNOWN, False
        number, offset = located
        mapping = process.mapping(number)
        binary = self._binaries.get(process, mapping)
        self._modules.note(mapping.file, binary, lambda: self._binaries.why_unreadable(process, mapping))
        if binary is None:
            # Not kept: what is at an address changes while the program compiles.
            return self._compiled_frame(process, mapping.file, address, offset), False
        self._places(process)[number] = binary.serial, mapping.file.label
        return cached_frame(self._frames, binary, mapping.file, offset), True

    def _compiled_frame(self, process: Process, file: MappedFile, address: int, offset: int) -> Frame:
        """Of code that was made at run time, or of a file that can not be read."""
        anonymous = not file.on_disk or file.path.startswith(_MEMORY_FILES)
        # A JVM's own tables are newer than a perf map that jcmd wrote once.
        frame = self._java.frame(process, address) if anonymous else None
        frame = frame or self._perf_maps.frame(process, address)
        if frame is None and anonymous and file.path not in _SPECIAL_AREAS:
            return jit_frame(process.program)
        return frame or unnamed(file, offset)


def _lookup_addresses(pointers: Sequence[int]) -> list[int]:
    """Where to look: callers by the byte before their return address, which may be another function's first."""
    return [*pointers[:1], *[pointer - 1 for pointer in pointers[1:]]]
