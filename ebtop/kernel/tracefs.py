"""Tracepoint ids and field offsets from tracefs, without mounting anything that others could see."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ebtop.kernel import syscall

MOUNT_POINTS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_FIELD = re.compile(r"^\s*field:(?P<decl>[^;]+);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);", re.MULTILINE)

_ARRAY = re.compile(r"\[[^\]]*\]")  # "char comm[16]" and "__data_loc char[] name"


class TracepointField(NamedTuple):
    """Where a field lies in a tracepoint's record, in bytes."""

    offset: int
    size: int


class Tracefs:
    """A readable tracefs: mounted by the administrator, or a private detached mount of our own."""

    def __init__(self, directory_fd: int, where: str) -> None:
        self._fd = directory_fd
        self.where = where

    @classmethod
    def open(cls) -> Tracefs:
        """The mounted tracefs where there is one, else a detached mount. Raises OSError when neither works."""
        for path in MOUNT_POINTS:
            if os.path.exists(f"{path}/events/sched"):
                return cls(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), path)
        return cls(syscall.detached_mount("tracefs"), "private mount")

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Tracefs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def event_id(self, event: str) -> int:
        """The id perf_event_open(2) takes for `category:name`. Raises OSError when there is no such event."""
        return int(self._read(event, "id"))

    def fields(self, event: str) -> dict[str, TracepointField]:
        """Field name to place, for `category:name`."""
        return parse_format(self._read(event, "format"))

    def _read(self, event: str, name: str) -> str:
        fd = os.open(f"events/{event.replace(':', '/')}/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd)
        with os.fdopen(fd, "r", encoding="utf-8", errors="replace") as file:
            return file.read()


def parse_format(text: str) -> dict[str, TracepointField]:
    """The fields of a tracepoint format file."""
    fields = {}
    for match in _FIELD.finditer(text):
        name = _ARRAY.sub("", match["decl"]).split()[-1].lstrip("*")
        fields[name] = TracepointField(int(match["offset"]), int(match["size"]))
    return fields
