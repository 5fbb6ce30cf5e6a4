"""Processes that wait, in functions whose names are known, for times that they measure themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab import build
from tests.lab.process import Workload

COMM = "ebt-blocker"
"""Compiled with frame pointers: every stack of its own code can be walked whole."""
WAKER, WRITER = "ebt-waker", "ebt-writer"
"""Names of the thread that ends the waits on a futex, and of the process that ends those on a pipe."""
SLEEP, FUTEX, READ, DISK, HANG = "wait_in_sleep", "wait_in_futex", "wait_in_read", "wait_for_disk", "wait_for_ever"
"""The functions."""


class Blocker:
    """c/blocker.c in one of its modes."""

    def __init__(self, *arguments: object, enter: Callable[[], None] | None = None) -> None:
        program = build.binary("blocker", COMM, build.FRAME_POINTERS)
        self._workload = Workload([program, *map(str, arguments)], enter)
        self.pid: int = self._workload.read()["pid"]

    def __enter__(self) -> Blocker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workload.stop()

    def go(self) -> Any:
        """Wait once more; the truth in seconds by kind."""
        self.start()
        return self._workload.read()

    def start(self) -> None:
        self._workload.tell("")

    def signal(self, number: int) -> None:
        self._workload.signal(number)

    def stop(self) -> None:
        """Kill it."""
        self._workload.stop()


def waits(times: int, each_ms: int, enter: Callable[[], None] | None = None) -> Blocker:
    """So many waits of each sort; the truth has sleep_s, futex_s, read_s, and the pid of who fills the pipe: writer."""
    return Blocker("waits", times, each_ms, enter=enter)


def disk(file: Path, times: int) -> Blocker:
    """Writes so often, each time until the disk has it; disk_s in the truth."""
    return Blocker("disk", file, times)


def switches(count: int) -> Blocker:
    """Two processes on one CPU that wait for each other in turn; switches and seconds in the truth."""
    return Blocker("switches", count)


def hang() -> Blocker:
    """Waits for ever from its `start` on."""
    return Blocker("hang")
