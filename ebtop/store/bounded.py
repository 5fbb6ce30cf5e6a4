"""Entries by key of which the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
E = TypeVar("E")

_SPARED_AT_ONCE = 8


class Bounded(Generic[K, E]):
    """At most `limit` entries. When there are more, the one used longest ago goes first.

    One that `is_needed` is passed over, but never more than a few in a row: making room must stay cheap.
    """

    def __init__(self, limit: int, is_needed: Callable[[E], bool] = lambda _: False) -> None:
        self._limit = limit
        self._is_needed = is_needed
        self._entries: OrderedDict[K, E] = OrderedDict()
        self.let_go = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[E]:
        """The one used longest ago first."""
        return iter(self._entries.values())

    def use(self, key: K) -> E | None:
        """The entry of that key, which counts as used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def add(self, key: K, entry: E) -> None:
        if len(self._entries) >= self._limit:
            self._make_room()
        self._entries[key] = entry

    def replace(self, entries: Iterable[tuple[K, E]], let_go: int) -> None:
        """Hold these and no others, the one used longest ago first."""
        self._entries = OrderedDict(entries)
        self.let_go = let_go

    def _make_room(self) -> None:
        for _ in range(_SPARED_AT_ONCE):
            key, entry = next(iter(self._entries.items()))
            if not self._is_needed(entry):
                break
            self._entries.move_to_end(key)
        self._entries.popitem(last=False)
        self.let_go += 1
