"""Resolved frames by key, bounded."""

from __future__ import annotations

from collections.abc import Hashable

from ebtop.store.records import Frame

_ENTRY_BYTES = 350
"""A frame, its key and its place in the dictionary, without the text, roughly."""


class FrameCache:
    """Keeps the frames used most recently, in at most `limit` bytes (estimated).

    Two dictionaries instead of one in order of use: a look-up, which happens for every frame of every
    stack, changes nothing.
    """

    __slots__ = ("_half", "_old", "_old_bytes", "_young", "_young_bytes")

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._young: dict[Hashable, Frame] = {}
        self._young_bytes = 0
        self._old: dict[Hashable, Frame] = {}
        self._old_bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken, estimated."""
        return self._young_bytes + self._old_bytes

    def get(self, key: Hashable) -> Frame | None:
        frame = self._young.get(key)
        if frame is None:
            frame = self._old.get(key)
            if frame is not None:
                self.put(key, frame)
        return frame

    def put(self, key: Hashable, frame: Frame) -> None:
        size = _ENTRY_BYTES + len(frame.name) + len(frame.file)
        if self._young_bytes + size > self._half:
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0
        self._young[key] = frame
        self._young_bytes += size

    def clear(self) -> None:
        self._young, self._young_bytes = {}, 0
        self._old, self._old_bytes = {}, 0
