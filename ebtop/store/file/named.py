"""Snapshot files kept by name in one folder: baselines."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.store.file.reader import SnapshotFile

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)


class Named(NamedTuple):
    """One of them."""

    name: str
    path: Path
    bytes: int
    from_ns: int
    seconds: float
    host: str
    error: str
    """Why it can't be read, one line; then the three before mean nothing."""


def named(folder: Path) -> list[Named]:
    """All in a folder, the oldest first; those that can't be read before."""
    paths = [path for path in folder.glob("*.ebtop") if NAME.fullmatch(path.stem)] if folder.is_dir() else []
    return sorted(map(_look_at, paths), key=lambda each: (each.from_ns, each.name))


def _look_at(path: Path) -> Named:
    try:
        with closing(SnapshotFile(path)) as file:
            seconds = (file.until_ns - file.from_ns) / 1e9
            return Named(path.stem, path, path.stat().st_size, file.from_ns, seconds, file.host.name, "")
    except EbtopError as error:
        return Named(path.stem, path, path.stat().st_size, 0, 0.0, "", error.line())
