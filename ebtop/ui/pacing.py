"""Draws no faster than the terminal can take it, so that keys are answered over a bad link too."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from ebtop.ui.driver import TerminalDriver

Part = Callable[[], None]
"""Draws a part of the screen."""

_SLOW_S = 0.3
"""A terminal that takes longer to show a frame is at the end of a slow link."""


class Pacer:
    """On a quick link all parts are drawn at once; on a slow one a part at a time, each when the one before is shown.

    What a key draws never waits for more than one part then. Frames that the link has no room for are skipped,
    never queued: a part draws what is newest when its turn comes.
    """

    def __init__(self, driver: TerminalDriver | None, after_drawing: Callable[[Callable[[], None]], object]) -> None:
        """`after_drawing` calls its argument when what was drawn has been sent."""
        self._driver = driver
        self._after_drawing = after_drawing
        self._parts: deque[Part] = deque()
        if driver is not None:
            driver.on_answer = self._go_on

    @property
    def slow(self) -> bool:
        """Whether the link is slow."""
        return self._driver is not None and self._driver.round_trip_s > _SLOW_S

    def draw(self, parts: Sequence[Part]) -> None:
        """Draw a frame, or begin to, or skip it."""
        if self._driver is None:
            for part in parts:
                part()
            return
        if not self._driver.caught_up:
            return
        if not self._parts:
            self._parts.extend(parts)
        self._go_on()

    def _go_on(self) -> None:
        if self._driver is None or not self._parts:
            return
        todo = 1 if self.slow else len(self._parts)
        for _ in range(todo):
            self._parts.popleft()()
        self._after_drawing(self._driver.ask)
