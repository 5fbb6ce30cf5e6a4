"""Opens a snapshot file that anybody may have made, for reading, and without changing it.

Nothing of the file's own is run: no view, no trigger, no function. What is asked are the tables of the schema, and
those only where they are tables.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from ebtop.errors import EbtopError
from ebtop.store.file.schema import APPLICATION_ID, VERSION
from ebtop.text import clean

_BAD = (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError)
"""What Python's module makes of files that lie."""
_MAGIC = b"SQLite format 3\0"
_MAX_VALUE = 256 << 20
"""Bytes of one value."""
_PLAIN = re.compile(r"CREATE TABLE\b", re.IGNORECASE)
_COMPUTES = re.compile(r"\bAS\b", re.IGNORECASE)
"""Columns that are made when they are read, by expressions that no authorizer is asked about."""
_FUNCTIONS = frozenset({"max", "min", "count"})
_FIX = "is it whole? copy it again, with what lies beside it (-wal)"


class Database:
    """Asks the tables of one file. From any thread."""

    def __init__(self, path: Path) -> None:
        """Raises EbtopError, one line, for whatever is not a snapshot file of a version that can be read."""
        self.path = path
        self.stale = False
        """There is more beside the file (-wal), but it can't be read here: the last seconds are missing."""
        self._lock = Lock()
        _check(path)
        self._connection = self._connect()
        with self._failing():
            self._check_header()
            self._tables = self._own_tables()

    def rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All that a SELECT finds. Raises EbtopError."""
        with self._lock, self._failing():
            return self._connection.execute(statement, values).fetchall()

    def chunks(self, statement: str, values: tuple[Any, ...] = (), size: int = 1000) -> Iterator[list[tuple[Any, ...]]]:
        """The same, so many rows at a time. Not while another thread does it."""
        with self._lock, self._failing():
            cursor = self._connection.execute(statement, values)
            while found := cursor.fetchmany(size):
                yield found

    @property
    def version(self) -> int:
        """Changes when the writer has committed something."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def has(self, table: str) -> bool:
        return table in self._tables

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        beside = os.path.exists(f"{self.path}-wal") or os.path.exists(f"{self.path}-journal")
        modes = ("mode=ro", "mode=ro&immutable=1") if beside else ("mode=ro&immutable=1",)
        for mode in modes:
            with self._failing():
                connection = sqlite3.connect(
                    f"file:{quote(str(self.path.absolute()))}?{mode}", uri=True, check_same_thread=False,
                    isolation_level=None, timeout=5.0,
                )  # fmt: skip
            try:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except sqlite3.OperationalError as error:
                # A folder that can't be written to has no room for what readers of a file in use share.
                connection.close()
                if mode == modes[-1]:
                    raise self._failed(error) from None
                continue
            except _BAD as error:
                connection.close()
                raise self._failed(error) from None
            self.stale = beside and "immutable" in mode
            self._restrict(connection)
            return connection
        raise AssertionError("the last mode either works or raises")

    def _restrict(self, connection: sqlite3.Connection) -> None:
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA cache_size = -8192")
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
            connection.setlimit(sqlite3.SQLITE_LIMIT_VDBE_OP, 25_000)
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        connection.set_authorizer(_allowed)

    def _check_header(self) -> None:
        (application,), (version,) = self.rows("PRAGMA application_id")[0], self.rows("PRAGMA user_version")[0]
        if application != APPLICATION_ID:
            raise EbtopError(f"{self.path} is not a snapshot of ebtop", "it is some other SQLite database", "")
        if version > VERSION:
            raise EbtopError(
                f"can't read {self.path}", f"it is of version {version}, this ebtop reads up to {VERSION}",
                "take a newer ebtop",
            )  # fmt: skip
        if version < 1:
            raise EbtopError(f"can't read {self.path}", f"there is no version {version}", _FIX)

    def _own_tables(self) -> frozenset[str]:
        found = self.rows("SELECT name, type, sql FROM sqlite_schema")
        tables = {
            str(name) for name, kind, sql in found
            if kind == "table" and isinstance(sql, str) and _PLAIN.match(sql) and not _COMPUTES.search(sql)
        }  # fmt: skip
        needed = {"facts", "chapters", "keyframes", "segments"}
        if not needed <= tables:
            raise EbtopError(f"can't read {self.path}", f"it has no table {min(needed - tables)}", _FIX)
        return frozenset(tables)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except _BAD as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> EbtopError:
        return EbtopError(f"can't read {self.path}", clean(str(error)), _FIX)


def _check(path: Path) -> None:
    try:
        # Not a pipe or a device: those might never answer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise EbtopError(f"can't read {path}", "it is not a file", "name a .ebtop file")
        with open(path, "rb") as file:
            begin = file.read(len(_MAGIC))
    except OSError as error:
        raise EbtopError(f"can't read {path}", error.strerror or str(error), "name a .ebtop file") from None
    if not begin:
        raise EbtopError(f"can't read {path}", "it is empty", "name a .ebtop file")
    if begin != _MAGIC:
        raise EbtopError(f"{path} is not a snapshot of ebtop", "it is no SQLite database", "name a .ebtop file")


def _allowed(action: int, first: str | None, second: str | None, database: str | None, by: str | None) -> int:
    """Only reading, only of what is asked for by name, and no functions but those asked for here."""
    if by is not None:  # on behalf of a view or a trigger
        return sqlite3.SQLITE_DENY
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_OK if second in _FUNCTIONS else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_OK if second is None else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY
