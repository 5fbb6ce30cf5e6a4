"""Files of container runtimes, read with care: their content, and below a user's folder their kind, may be anything."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from ebtop.text import clean

_MAX_BYTES = 1 << 20
_MAX_ENTRIES = 10_000
_MAX_NAME = 255
"""Longer than any runtime allows; such a name is not taken."""


class Names(NamedTuple):
    """What a runtime calls a container. Printable."""

    name: str | None
    pod: str | None = None
    namespace: str | None = None
    """Of the pod."""


class Files:
    """Files below a root ("/" but for tests). What is not there, too large or no plain file reads as nothing."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/")

    def path(self, path: str) -> str:
        """Where an absolute path is."""
        return self._root + path

    def json(self, folder: str, name: str) -> dict[str, Any]:
        """The JSON object in a file of a runtime's folder, {} for none."""
        found = self._parsed(folder, name)
        return found if isinstance(found, dict) else {}

    def json_objects(self, folder: str, name: str) -> list[dict[str, Any]]:
        """The objects in a list that a file holds."""
        found = self._parsed(folder, name)
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    def text(self, folder: str, name: str) -> str:
        """A file's content, "" for none."""
        return self._read(folder, name).decode("utf-8", "replace").strip()

    def content(self, folder: str, name: str, most: int) -> bytes:
        """A file's content, b"" for none, or for more than `most` bytes."""
        return self._read(folder, name, most)

    def entries(self, folder: str) -> list[str]:
        """Names in a folder, as they are."""
        found: list[str] = []
        with contextlib.suppress(OSError), os.scandir(self.path(folder)) as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) == _MAX_ENTRIES:
                    break
        return found

    def _parsed(self, folder: str, name: str) -> object:
        try:
            return json.loads(self._read(folder, name) or b"null")
        except (ValueError, RecursionError):
            return None

    def _read(self, folder: str, name: str, most: int = _MAX_BYTES) -> bytes:
        top, path = self.path(folder), self.path(f"{folder}/{name}")
        with contextlib.suppress(OSError):
            os.lstat(path)  # Most files asked for are of other runtimes, and not there.
            # The folder may well be a link, to where there is more room; what is inside of it must not lead out.
            # This comes before opening, which starts some devices.
            if not os.path.realpath(path).startswith(f"{os.path.realpath(top)}/"):
                return b""
            with _opened(path) as fd:
                status = os.fstat(fd)
                if stat.S_ISREG(status.st_mode) and status.st_size <= most:
                    return os.read(fd, most)
        return b""


def text_of(value: object) -> str | None:
    """A name from a file, printable; None for what can't be one."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        return None
    return clean(value)


def texts_of(value: object) -> dict[str, object]:
    """Labels or annotations; {} where there is something else."""
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """Never waits: not for the other end of a FIFO either."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
