"""Keep what was used last, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Knows how much memory it takes."""

    @property
    def nbytes(self) -> int: ...


Value = TypeVar("Value", bound=Sized)


class ByteLru(Generic[Value]):
    """Values by key; when they take more than `limit` bytes the least recently used go, but never the last one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Value | None:
        entry = self._values.get(key)
        if entry is None:
            return None
        self._values.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: Value) -> None:
        """Add, or take the new size of a value that changed."""
        self.remove(key)
        size = value.nbytes
        self._values[key] = (value, size)
        self.nbytes += size
        while self.nbytes > self._limit and len(self._values) > 1:
            _, (_, freed) = self._values.popitem(last=False)
            self.nbytes -= freed

    def remove(self, key: Hashable) -> None:
        entry = self._values.pop(key, None)
        if entry is not None:
            self.nbytes -= entry[1]
