"""Keep what was used recently, in a bounded number of bytes, at the least cost of a look-up."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key, in at most `limit` bytes (estimated, as a subclass says).

    Two dictionaries instead of one in order of use: a look-up, which happens for every stack and for every frame of
    those that are new, changes nothing.
    """

    __slots__ = ("_half", "_old", "_old_bytes", "_young", "_young_bytes")

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._young: dict[Hashable, Value] = {}
        self._young_bytes = 0
        self._old: dict[Hashable, Value] = {}
        self._old_bytes = 0

    def __len__(self) -> int:
        """Entries; what is used again after a while counts twice."""
        return len(self._young) + len(self._old)

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken, estimated."""
        return self._young_bytes + self._old_bytes

    def get(self, key: Hashable) -> Value | None:
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Hashable, value: Value) -> None:
        size = self._bytes_of(value)
        if self._young_bytes + size > self._half:
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0
        self._young[key] = value
        self._young_bytes += size

    def clear(self) -> None:
        self._young, self._young_bytes = {}, 0
        self._old, self._old_bytes = {}, 0

    def _bytes_of(self, value: Value) -> int:
        """What a value takes with its key."""
        raise NotImplementedError
