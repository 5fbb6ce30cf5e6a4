"""Let other threads run while a large file is read: the screen's thread must not wait for the interpreter's lock."""

from __future__ import annotations

import threading
import time

from ebtop import precedence

_SLEEP_S = 0.0001
_WORK_S = 0.001
"""On a busy node whoever sleeps may wait for several milliseconds for its turn: not more often than is of use."""


class _Worked(threading.local):
    until = 0.0
    """CPU time of this thread when it paused last."""


_worked = _Worked()


def pause() -> None:
    """Give the interpreter's lock away for a moment, after some work. sleep(0) mostly takes it back before another
    thread is awake."""
    if time.thread_time() - _worked.until >= _WORK_S:
        time.sleep(_SLEEP_S)
        precedence.screen.wait()
        _worked.until = time.thread_time()
