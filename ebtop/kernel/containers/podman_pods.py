"""Podman's pods, from the database in its storage (SQLite, since Podman 4.8). A copy is read: Podman may be writing.

What an older Podman keeps in bolt_state.db is not read, and neither is SQLite by a Python before 3.11, which reads none
from memory.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import NamedTuple

from ebtop.kernel.containers.files import Files, text_of

_DATABASE = "db.sql"
_MAX_BYTES = 64 << 20
_MIN_AGE_S = 1.0
_STEPS = 10_000_000
"""Of SQLite's machine, far more than 10,000 containers take: a user's database may be made to take for ever."""
_STEPS_AT_ONCE = 100_000
_MAX_VALUE_BYTES = 1 << 20
_PODS = "SELECT c.ID, p.Name FROM ContainerConfig c JOIN PodConfig p ON p.ID = c.PodID LIMIT 10000"
_JOURNAL_AT = slice(18, 20)
_NO_WAL = b"\1\1"


class _Read(NamedTuple):
    at: float
    pods: dict[str, str]
    """Name by the id of a container."""


class PodmanPods:
    """The pods of containers below each folder of storage, read again for a new container, at most once a second."""

    def __init__(self, files: Files, clock: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock
        self._read: dict[str, _Read] = {}

    def of(self, storage: str, container_id: str) -> str | None:
        """The name of the pod that a container of this storage folder is in; None = in none, or not known."""
        read, now = self._read.get(storage), self._clock()
        if read is None or (container_id not in read.pods and now >= read.at + _MIN_AGE_S):
            read = self._read[storage] = _Read(now, _pods(self._files.content(storage, _DATABASE, _MAX_BYTES)))
        return text_of(read.pods.get(container_id))


def _pods(database: bytes) -> dict[str, str]:
    """{} for what is no database, or not Podman's."""
    if not database or sys.version_info < (3, 11):
        return {}
    try:
        import sqlite3  # 1 MB, for nodes with Podman alone; some Pythons are built without it
    except ImportError:
        return {}
    with (
        contextlib.suppress(sqlite3.Error, OverflowError, MemoryError),
        contextlib.closing(sqlite3.connect(":memory:")) as connection,
    ):
        copy = bytearray(database)
        copy[_JOURNAL_AT] = _NO_WAL  # in memory there is none
        connection.deserialize(bytes(copy))
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        connection.execute("PRAGMA trusted_schema = OFF")
        left = _STEPS // _STEPS_AT_ONCE

        def too_long() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        connection.set_progress_handler(too_long, _STEPS_AT_ONCE)
        rows = connection.execute(_PODS).fetchall()
        return {i: name for i, name in rows if isinstance(i, str) and isinstance(name, str)}
    return {}
