"""Numbers for texts, frames, stacks and tasks: each is stored once, and memory stays flat however many there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ebtop.store.file.columns import Rows, Value, columns_of
from ebtop.store.file.schema import NOT_OF_A_TASK
from ebtop.store.records import Frame, StackRecord

AT_HAND = 8_000
"""Numbers of each kind kept in memory, twice as many at most: some MB for each of texts, frames and stacks."""

Key = TypeVar("Key")


class _Numbers(Generic[Key]):
    """Numbers of one table's rows. What has not been asked for lately is looked up in the file."""

    def __init__(
        self,
        database: sqlite3.Connection,
        at_hand: int,
        table: str,
        columns: Sequence[str],
        row: Callable[[Key], Sequence[Value]],
    ) -> None:
        """`row` makes the values of a row."""
        self._database = database
        self._at_hand = at_hand
        self._table, self._columns, self._row = table, columns, row
        self._new: dict[Key, int] = {}
        self._old: dict[Key, int] = {}
        self._let_go = False
        self._next = 1
        self._waiting: list[Sequence[Value]] = []

    def of(self, key: Key) -> int:
        number = self._new.get(key)
        if number is None:
            number = self._old.get(key)
            if number is None:
                number = self._found(key)
            if len(self._new) >= self._at_hand:
                self._turn_over()
            self._new[key] = number
        return number

    @property
    def at_hand(self) -> Callable[[Key], int | None]:
        """A quick look; None = ask `of`."""
        return self._new.get

    def flush(self) -> None:
        """Write the rows that are new."""
        if self._waiting:
            marks = ",".join("?" * (1 + len(self._columns)))
            self._database.executemany(f"INSERT INTO {self._table} VALUES ({marks})", self._waiting)
            self._waiting = []

    def _found(self, key: Key) -> int:
        row = self._row(key)
        if self._let_go:
            self.flush()
            same = " AND ".join(f'"{column}" IS ?' for column in self._columns)
            known = self._database.execute(f"SELECT id FROM {self._table} WHERE {same}", row).fetchone()
            if known is not None:
                return int(known[0])
        number, self._next = self._next, self._next + 1
        self._waiting.append((number, *row))
        return number

    def _turn_over(self) -> None:
        if not self._let_go and self._old:
            # From now on some are only in the file; a small file never needs the index.
            self._let_go = True
            named = ", ".join(f'"{column}"' for column in self._columns)
            self._database.execute(f"CREATE INDEX {self._table}_known ON {self._table}({named})")
        self._old, self._new = self._new, {}


class Interned:
    """One for each file that is written. `flush` before what refers to the numbers is committed."""

    def __init__(self, database: sqlite3.Connection, at_hand: int = AT_HAND) -> None:
        """`at_hand`: see AT_HAND."""
        self._strings: _Numbers[str] = _Numbers(database, at_hand, "strings", ("text",), lambda text: (text,))
        self.text = self._strings.of
        self._frames: _Numbers[Frame] = _Numbers(
            database, at_hand, "frame_rows", [c.name for c in columns_of(Frame)], Rows(Frame, self.text).row
        )
        self._stacks: _Numbers[tuple[Frame, ...]] = _Numbers(
            database, at_hand, "stack_paths", ("frames",), self._path
        )
        self._tasks: _Numbers[StackRecord] = _Numbers(
            database, at_hand, "task_rows", [c.name for c in columns_of(StackRecord, NOT_OF_A_TASK)],
            Rows(StackRecord, self.text, NOT_OF_A_TASK).row,
        )  # fmt: skip
        self.stack = self._stacks.of

    def _path(self, frames: tuple[Frame, ...]) -> tuple[str]:
        at_hand, of = self._frames.at_hand, self._frames.of
        return (f"[{','.join([str(at_hand(frame) or of(frame)) for frame in frames])}]",)

    def task(self, record: StackRecord) -> int:
        """All of a sample's record but when, how many, how much and which stack."""
        return self._tasks.of(record._replace(time_ns=0, samples=0, amount=0, frames=()))

    def flush(self) -> None:
        for numbers in (self._tasks, self._stacks, self._frames, self._strings):
            numbers.flush()
