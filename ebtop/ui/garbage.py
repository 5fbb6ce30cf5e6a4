"""Looks for garbage while nobody types: a collection holds up every thread for as long as it takes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

_QUIET_S = 2.0
"""Without a key; whoever reads for so long may read for a moment more."""
_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 300.0
"""Between two collections at least; and at most, whatever is typed."""
_SHARE = 200
"""Collections take no more than one part in so many of the time, however many records are kept."""
_MANY = 500_000
"""New objects after which it is not put off any longer."""


class Garbage:
    """In the place of Python's own collections, which come when most is going on. One thread only.

    What is alive at the beginning stays alive, and is never gone through again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, collect: Callable[[], object] = gc.collect) -> None:
        self._clock = clock
        self._collect = collect
        self._typed_at = self._next_at = self._latest_at = clock()

    def begin(self) -> None:
        """Take over. To be ended by `end`."""
        self._collect()
        gc.freeze()
        gc.disable()
        self._plan(0.0)

    def end(self) -> None:
        """Leave it to Python again."""
        gc.enable()

    def typed(self) -> None:
        """A key was pressed."""
        self._typed_at = self._clock()

    def tick(self) -> None:
        """Collect if it is time to; to be called every second or so."""
        now = self._clock()
        quiet = now - self._typed_at >= _QUIET_S and now >= self._next_at
        if quiet or now >= self._latest_at or gc.get_count()[0] >= _MANY:
            self._collect()
            self._plan(self._clock() - now)

    def _plan(self, took_s: float) -> None:
        now = self._clock()
        self._next_at = now + max(_PAUSE_S, took_s * _SHARE)
        self._latest_at = max(self._next_at, now + _LONGEST_PAUSE_S)
