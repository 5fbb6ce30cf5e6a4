"""Let other threads run while a large file is read: the screen's thread must not wait for the interpreter's lock."""

from __future__ import annotations

import time

from ebtop import precedence

_SECONDS = 0.0001


def pause() -> None:
    """Give the interpreter's lock away for a moment. sleep(0) mostly takes it back before another thread is awake."""
    time.sleep(_SECONDS)
    precedence.screen.wait()
