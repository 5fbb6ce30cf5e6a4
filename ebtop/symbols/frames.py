"""Resolved frames by key, bounded, and the frames that have no name."""

from __future__ import annotations

from collections.abc import Hashable

from ebtop.store.records import Frame

UNKNOWN = Frame("[unknown]", "unknown", "")

_ENTRY_BYTES = 400
"""A frame, its key and its place in the dictionary, roughly."""


class FrameCache:
    """Keeps the frames used most recently, between `limit` and twice that many.

    Two dictionaries instead of one in order of use: a look-up, which happens for every frame of every
    stack, changes nothing.
    """

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[Hashable, Frame] = {}
        self._old: dict[Hashable, Frame] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken, estimated."""
        return (len(self._young) + len(self._old)) * _ENTRY_BYTES

    def get(self, key: Hashable) -> Frame | None:
        frame = self._young.get(key)
        if frame is None:
            frame = self._old.get(key)
            if frame is not None:
                self.put(key, frame)
        return frame

    def put(self, key: Hashable, frame: Frame) -> None:
        if len(self._young) >= self._limit:
            self._old = self._young
            self._young = {}
        self._young[key] = frame

    def clear(self) -> None:
        self._young.clear()
        self._old.clear()
