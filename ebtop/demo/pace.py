"""Keep work within a share of one CPU, whatever the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

_LONGEST_S = 2.0


class Pace:
    """Called after every piece of work, it rests as long as that piece deserves."""

    def __init__(
        self,
        share: float,
        used: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`share` of one CPU, 0..1; `used` says the CPU seconds taken so far."""
        self._rest = 1 / share - 1
        self._used, self._sleep = used, sleep
        self._before = used()

    def rest(self) -> None:
        now = self._used()
        self._sleep(min(_LONGEST_S, (now - self._before) * self._rest))
        self._before = now
