"""What happened in the last ten seconds, from the records' own times."""

from __future__ import annotations

from ebtop.store.rates import SECOND_NS

WINDOW_SECONDS = 10

RecentState = tuple[int, int, tuple[int, ...]]


class Recent:
    """An amount by the second it came in. A late record counts for the latest second."""

    __slots__ = ("_amount", "_before", "_second", "_total")

    def __init__(self) -> None:
        self._second = 0
        self._amount = 0
        """Of this second."""
        self._before: list[int] | None = None
        """Of the ten seconds before, each at its second modulo ten; None = nothing happened in them."""
        self._total = 0
        """Their sum."""

    def add(self, second: int, amount: int = 1) -> None:
        if second > self._second:
            self._go_to(second)
        self._amount += amount

    def total(self, now_second: int) -> int:
        """Of the ten full seconds before this one."""
        if self._total or self._amount:
            if now_second > self._second:
                self._go_to(now_second)
            elif now_second < self._second - WINDOW_SECONDS:  # the clock was set back
                self._second, self._amount, self._before, self._total = now_second, 0, None, 0
        return self._total

    def state(self) -> RecentState:
        return self._second, self._amount, tuple(self._before or ())

    @classmethod
    def restored(cls, state: RecentState) -> Recent:
        recent = cls()
        recent._second, recent._amount, before = state
        recent._before, recent._total = list(before) or None, sum(before)
        return recent

    def _go_to(self, second: int) -> None:
        passed, self._second = second - self._second, second
        amount, self._amount = self._amount, 0
        before = self._before
        if passed > WINDOW_SECONDS or (before is None and not amount):
            self._before, self._total = None, 0
            return
        if before is None:
            before = self._before = [0] * WINDOW_SECONDS
        for past in range(second - passed, second):
            at = past % WINDOW_SECONDS
            self._total += amount - before[at]
            before[at], amount = amount, 0
        if not self._total:
            self._before = None


class Window:
    """The ten full seconds before a moment, or fewer where counting began later."""

    __slots__ = ("now_second", "seconds")

    def __init__(self, now_ns: int, since_ns: int = 0) -> None:
        self.now_second = now_ns // SECOND_NS
        counted = (self.now_second * SECOND_NS - since_ns) / SECOND_NS
        self.seconds = min(float(WINDOW_SECONDS), max(1.0, counted))

    def rate(self, recent: Recent) -> float:
        """A second, on average."""
        return recent.total(self.now_second) / self.seconds
