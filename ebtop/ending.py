"""Ends a program that runs until somebody says so."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable


def on_signal(stop: Callable[[], None]) -> None:
    """Have SIGINT, SIGTERM and SIGHUP call `stop`, in a thread: a handler may interrupt whoever holds stop's lock."""
    caught: queue.SimpleQueue[int] = queue.SimpleQueue()  # its put() may be interrupted by itself
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, lambda number, _: caught.put(number))

    def wait() -> None:
        caught.get()
        stop()

    threading.Thread(target=wait, name="ebtop-signals", daemon=True).start()
