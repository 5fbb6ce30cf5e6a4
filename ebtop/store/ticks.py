"""What the tool was like at each second of the last minutes."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, NamedTuple

from ebtop.store.rows import Rates
from ebtop.store.source import Health

_SLOT_BYTES = 8


class Tick(NamedTuple):
    """One second."""

    time_ns: int
    rates: Rates
    health: Health


class Ticks:
    """Ticks of the last `keep_ns`. Most of a tick is as in the one before, and is kept once."""

    def __init__(self, keep_ns: int) -> None:
        self._keep_ns = keep_ns
        self._ticks: deque[tuple[Tick, int]] = deque()
        self.bytes = 0
        """What only the kept ticks take, without texts, which repeat."""

    def add(self, tick: Tick) -> None:
        """A tick of a time before the latest one takes the place of all those after it: the clock was set back."""
        while self._ticks and self._ticks[-1][0].time_ns > tick.time_ns:
            self.bytes -= self._ticks.pop()[1]
        shared = _shared(tick, self._ticks[-1][0]) if self._ticks else tick
        size = _own_bytes(shared, self._ticks[-1][0] if self._ticks else None)
        self._ticks.append((shared, size))
        self.bytes += size
        while self._ticks[0][0].time_ns < tick.time_ns - self._keep_ns:
            self.bytes -= self._ticks.popleft()[1]

    def all(self) -> tuple[Tick, ...]:
        """Oldest first."""
        return tuple([tick for tick, _ in self._ticks])


def _shared(new: Any, old: Any) -> Any:
    """The new value, made of parts of the old one wherever they are equal."""
    if type(new) is not type(old):
        return new
    if new == old:
        return old
    if not isinstance(new, tuple) or len(new) != len(old):
        return new
    return tuple.__new__(type(new), [_shared(*parts) for parts in zip(new, old, strict=True)])


def _own_bytes(new: Any, old: Any) -> int:
    """Memory of what is not part of the old value."""
    if new is old or isinstance(new, str) or new is None:
        return 0
    size = sys.getsizeof(new)
    if isinstance(new, tuple):
        counterparts = old if isinstance(old, tuple) and len(old) == len(new) else [None] * len(new)
        size += sum(map(_own_bytes, new, counterparts))
    elif isinstance(new, dict):
        size += len(new) * _SLOT_BYTES
    return size
