"""Frames of functions by where those begin and end, so that all addresses in one cost one look-up in a table."""

from __future__ import annotations

from bisect import bisect_right, insort

from ebtop.store.records import Frame

_FUNCTIONS_MAX = 4096
_FUNCTION_BYTES = 350
"""A frame, its entry and its place in the list, without the text, roughly."""


class Spans:
    """At most some thousand functions, none inside of another; when there are more, all are found anew."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._functions: dict[int, tuple[int, Frame]] = {}
        """End and frame, by where they begin."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken, estimated."""
        return _FUNCTION_BYTES * len(self._begins)

    def find(self, address: int) -> Frame | None:
        """The function that an address lies in."""
        at = bisect_right(self._begins, address)
        if not at:
            return None
        end, frame = self._functions[self._begins[at - 1]]
        return frame if address < end else None

    def add(self, begin: int, end: int, frame: Frame) -> None:
        """Remember a function, or that one that is known goes on."""
        if len(self._begins) >= _FUNCTIONS_MAX:
            self.clear()
        if begin not in self._functions:
            insort(self._begins, begin)
        self._functions[begin] = end, frame

    def clear(self) -> None:
        self._begins.clear()
        self._functions.clear()
