"""What a worker is called in process lists."""

from __future__ import annotations

import contextlib

_ARG_START, _ARG_END = 45, 46
"""Fields of /proc/PID/stat after the name, counted from 0."""


def name_self(name: str, title: str) -> None:
    """comm becomes `name`; the command line becomes `title`, as far as the one it was started with has room."""
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(name)
    # The arguments stand in this process's own memory; where a kernel forbids that, they stay as they were.
    with contextlib.suppress(OSError):
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        arguments = title.replace(" ", "\0").encode()[: end - start - 1]
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            memory.write(arguments.ljust(end - start, b"\0"))
