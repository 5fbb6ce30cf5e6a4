"""The screen's thread comes first: others let it have Python's lock while it is at work, though not for ever."""

from __future__ import annotations

import threading

_PATIENCE_S = 0.02
"""Waited at a time, so that everybody gets on even while the screen is never done."""


class Precedence:
    """Of one thread over all others, which ask between two pieces of work of a millisecond or two."""

    def __init__(self) -> None:
        self._at_rest = threading.Event()
        self._at_rest.set()

    def take(self) -> None:
        """The first thread has something to do."""
        self._at_rest.clear()

    def give(self) -> None:
        """It has nothing to do."""
        self._at_rest.set()

    def wait(self) -> None:
        """Go on when the first thread has nothing to do, or after a moment at the latest. From any other thread."""
        if not self._at_rest.is_set():
            self._at_rest.wait(_PATIENCE_S)


screen = Precedence()
"""Nobody has it where there is no screen."""
