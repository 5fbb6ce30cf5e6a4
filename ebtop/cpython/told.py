"""Functions that the kernel's walk read the names of, because their processes may be gone when somebody asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from ebtop.cpython.code_object import Function, Text, function_of

_KEPT_MAX = 8192
"""More than CPYTHON_NAMES_TOLD of bpf/cpython.h: what it has told it does not tell again."""


_BYTES = 700


class Told(NamedTuple):
    """struct cpython_name of bpf/cpython.h."""

    word: int
    pid: int
    line: int
    name: Text
    file: Text


class ToldFunctions:
    """Functions by process and code object. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: OrderedDict[tuple[int, int], Told | Function] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken, estimated."""
        return _BYTES * len(self._functions)

    def put(self, told: Told) -> None:
        key = told.pid, told.word
        with self._lock:
            self._functions[key] = told
            self._functions.move_to_end(key)
            if len(self._functions) > _KEPT_MAX:
                self._functions.popitem(last=False)

    def get(self, pid: int, key: int) -> Function | None:
        """The function of a word of the walk, see `code_object.key_of`; None where none was told."""
        with self._lock:
            found = self._functions.get((pid, key))
            if isinstance(found, Told):
                found = self._functions[pid, key] = function_of(found.name, found.file, found.line)
            return found
