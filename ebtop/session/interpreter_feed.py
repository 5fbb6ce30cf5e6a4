"""Processes that run CPython, on their way from the thread that finds them to the programs that walk them."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping

from ebtop.kernel.maps import Map
from ebtop.symbols.interpreters import Change, Walking

SHARED_MAPS = ("cpython_processes", "cpython_files", "cpython_threads", "cpython_names", "cpython_told")
"""Of all programs that walk stacks."""
_PROCESSES, _FILES = SHARED_MAPS[:2]
_FILES_MAX = 48
"""The newest ones; there are as many CPythons as images of containers at most."""
_WALKING = struct.Struct("=QQ14I6I8x")
"""struct cpython of bpf/cpython.h, of which the kernel fills in what is 0."""
_MASK = (1 << 64) - 1


class InterpreterFeed:
    """`put` from any thread; `give` from the collector, which alone touches the kernel."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` has the collector call `give` soon."""
        self._wake = wake
        self._lock = threading.Lock()
        self._known: dict[int, Walking] = {}
        self._new: dict[int, Walking | None] = {}
        self._files: OrderedDict[int, Walking] = OrderedDict()
        self._new_files: dict[int, Walking | None] = {}
        self._given_to: Map | None = None

    def put_all(self, changes: list[Change], files: Mapping[int, Walking]) -> None:
        """See `put` and `put_files`."""
        self.put(changes)
        self.put_files(files)

    def put(self, changes: list[Change]) -> None:
        """Processes that are to be walked from now on, or (None) no more."""
        if not changes:
            return
        with self._lock:
            for pid, walking in changes:
                self._new[pid] = walking
                if walking is None:
                    self._known.pop(pid, None)
                else:
                    self._known[pid] = walking
        self._wake()

    def put_files(self, files: Mapping[int, Walking]) -> None:
        """Files that hold CPython, by their numbers in places; `runtime` is counted from the first byte."""
        if not files:
            return
        with self._lock:
            for number, walking in files.items():
                self._files[number] = self._new_files[number] = walking
                if len(self._files) > _FILES_MAX:
                    self._new_files[self._files.popitem(last=False)[0]] = None
        self._wake()

    def give(self, maps: Mapping[str, Map]) -> None:
        """Write what is new into the maps, or all where they are others than the last time."""
        processes, files = maps.get(_PROCESSES), maps.get(_FILES)
        with self._lock:
            if processes is self._given_to:
                new, new_files = self._new, self._new_files
            else:
                new, new_files = dict[int, Walking | None](self._known), dict[int, Walking | None](self._files)
            if processes is not None:
                self._new, self._new_files = {}, {}
            self._given_to = processes
        if processes is not None and files is not None:
            for number, walking in new_files.items():
                _write(files, number, walking)
            for pid, walking in new.items():
                _write(processes, pid, walking)


def _write(to: Map, number: int, walking: Walking | None) -> None:
    key = struct.pack("=I", number)
    if walking is None:
        with contextlib.suppress(FileNotFoundError):
            to.delete(key)
        return
    layout, not_known = walking.layout, 0
    to.update(key, _WALKING.pack(walking.runtime & _MASK, not_known, *layout.walk, layout.qualified_name, *layout.text))
