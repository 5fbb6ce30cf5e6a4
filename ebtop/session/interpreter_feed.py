"""Processes that run CPython, on their way from the thread that finds them to the programs that walk them."""

from __future__ import annotations

import contextlib
import errno
import struct
import threading
from collections.abc import Callable, Mapping

from ebtop.kernel.maps import Map
from ebtop.symbols.interpreters import Change, Walking

SHARED_MAPS = ("cpython_processes", "cpython_threads")
"""Of all programs that walk stacks."""
_PROCESSES = SHARED_MAPS[0]
_WALKING = struct.Struct("=Q14I")
"""struct cpython of bpf/cpython.h."""


class InterpreterFeed:
    """`put` from any thread; `give` from the collector, which alone touches the kernel."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` has the collector call `give` soon."""
        self._wake = wake
        self._lock = threading.Lock()
        self._known: dict[int, Walking] = {}
        self._new: dict[int, Walking | None] = {}
        self._given_to: Map | None = None

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

    def give(self, maps: Mapping[str, Map]) -> None:
        """Write what is new into the map, or all where it is another one than the last time."""
        processes = maps.get(_PROCESSES)
        with self._lock:
            new = self._new if processes is self._given_to else dict[int, Walking | None](self._known)
            if processes is not None:
                self._new = {}
            self._given_to = processes
        if processes is not None:
            for pid, walking in new.items():
                _write(processes, pid, walking)


def _write(processes: Map, pid: int, walking: Walking | None) -> None:
    key = struct.pack("=I", pid)
    if walking is None:
        with contextlib.suppress(FileNotFoundError):
            processes.delete(key)
        return
    try:
        processes.update(key, _WALKING.pack(walking.runtime, *walking.walk))
    except OSError as error:
        if error.errno != errno.E2BIG:  # So many processes run CPython: the others' stacks stay native ones.
            raise
