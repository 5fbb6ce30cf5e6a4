"""Functions that the kernel's walk read the names of, because their processes may be gone when somebody asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from ebtop.cpython.code_object import Function, Text, function_of

_KEPT_MAX = 8192
"""More than CPYTHON_NAMES_TOLD of bpf/cpython.h: what it has told it does not tell again."""
_BYTES = 250
_DIFFERENT_MAX, _FUNCTION_BYTES = 2048, 1000


class Told(NamedTuple):
    """struct cpython_name of bpf/cpython.h."""

    word: int
    pid: int
    line: int
    name: Text
    file: Text


class ToldFunctions:
    """Functions by process and code object. Any thread.

    Programs that end in a moment mostly run what others ran before: of functions that say the same there is one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: OrderedDict[tuple[int, int], Function] = OrderedDict()
        self._different: dict[tuple[int, Text, Text], Function] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken, estimated."""
        return _BYTES * len(self._functions) + _FUNCTION_BYTES * len(self._different)

    def put(self, told: Told) -> None:
        """Raises ValueError for what is no text."""
        key = told.pid, told.word
        content = told.line, told.name, told.file
        with self._lock:
            function = self._different.get(content)
            if function is None:
                if len(self._different) >= _DIFFERENT_MAX:
                    self._different.clear()
                function = self._different[content] = function_of(told.name, told.file, told.line)
            self._functions[key] = function
            self._functions.move_to_end(key)
            if len(self._functions) > _KEPT_MAX:
                self._functions.popitem(last=False)

    def get(self, pid: int, key: int) -> Function | None:
        """The function of a word of the walk, see `code_object.key_of`; None where none was told."""
        with self._lock:
            return self._functions.get((pid, key))
