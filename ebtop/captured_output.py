"""Keep what libraries print off the screen: file descriptors 1 and 2 lead into the log while the TUI draws.

A library written in C prints to the descriptor, not to sys.stderr, and Textual draws on the same terminal. So the
terminal gets a descriptor of its own for drawing, and 1 and 2 become a pipe that a thread reads.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from ebtop.text import printable

_LONGEST_LINE = 4096


class CapturedOutput:
    """While entered, each line printed to file descriptor 1 or 2 goes to `log`, from a thread."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._saved: list[int] = []
        self._original = sys.__stderr__
        self._reader: threading.Thread | None = None

    def __enter__(self) -> CapturedOutput:
        _flush(sys.stdout, sys.stderr)
        self._saved = [os.dup(1), os.dup(2)]
        # Textual draws on sys.__stderr__, which may have been sent to a file.
        terminal = self._saved[0] if os.isatty(1) and not os.isatty(2) else self._saved[1]
        sys.__stderr__ = open(terminal, "w", encoding="utf-8", closefd=False)  # type: ignore[misc]
        read_end, write_end = os.pipe()
        for fd in (1, 2):
            os.dup2(write_end, fd)
        os.close(write_end)
        self._reader = threading.Thread(target=self._read, args=(read_end,), name="ebtop-captured", daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        _flush(sys.stdout, sys.stderr)
        assert self._reader is not None
        for fd, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, fd)
        # Both ends of the pipe that were ours are gone now: the reader sees the end, unless a child has one still.
        self._reader.join(0.2)
        _flush(sys.__stderr__)
        sys.__stderr__ = self._original  # type: ignore[misc]
        for saved in self._saved:
            os.close(saved)

    def _read(self, fd: int) -> None:
        waiting = b""
        while data := os.read(fd, 65536):
            *lines, waiting = (waiting + data).split(b"\n")
            if len(waiting) > _LONGEST_LINE:
                lines, waiting = [*lines, waiting], b""
            for line in lines:
                self._say(line)
        self._say(waiting)
        os.close(fd)

    def _say(self, line: bytes) -> None:
        if line.strip():
            self._log(printable(line[:_LONGEST_LINE].strip()))


def _flush(*streams: TextIO | None) -> None:
    for stream in streams:
        # A terminal that went away takes what was meant for it along.
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
