"""Numbers for texts, frames, stacks and tasks: each is stored once, and memory stays flat however many there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Generic, TypeVar

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
        rows: Callable[[Sequence[Key]], Iterable[Sequence[Value]]],
    ) -> None:
        """`rows` makes the values of the rows of some keys."""
        self._database = database
        self._at_hand = at_hand
        self._table, self._columns, self._rows = table, columns, rows
        self._new: dict[Key, int] = {}
        self._old: dict[Key, int] = {}
        self._let_go = False
        self._next = 1
        self._waiting: list[Sequence[Value]] = []

    def of(self, keys: Sequence[Key | None]) -> list[int | None]:
        """The number of each, of those that are new a new one; None for None."""
        at_hand: Callable[[Key | None], int | None] = self._new.get  # type: ignore[assignment]
        found = list(map(at_hand, keys))
        missing = [place for place, number in enumerate(found) if number is None]
        if missing:
            learned = self._learned(
                [key for key in dict.fromkeys([keys[place] for place in missing]) if key is not None]
            )
            for place in missing:
                found[place] = learned.get(keys[place])
        return found

    def flush(self) -> None:
        """Write the rows that are new."""
        if self._waiting:
            marks = ",".join("?" * (1 + len(self._columns)))
            self._database.executemany(f"INSERT INTO {self._table} VALUES ({marks})", self._waiting)
            self._waiting = []

    def _learned(self, keys: Sequence[Key]) -> dict[Key | None, int]:
        """Numbers of distinct keys that are not among the new ones; they are from now on."""
        learned: dict[Key | None, int] = {key: number for key in keys if (number := self._old.get(key)) is not None}
        fresh = [key for key in keys if key not in learned] if learned else keys
        learned.update(zip(fresh, self._numbered(list(self._rows(fresh))), strict=True))
        if len(self._new) + len(learned) > self._at_hand:
            self._turn_over()
        self._new.update(learned)  # type: ignore[arg-type]  # none of the keys is None
        return learned

    def _numbered(self, rows: Sequence[Sequence[Value]]) -> list[int]:
        """Their numbers; those that are in the file already have one."""
        if self._let_go:
            self.flush()
            same = " AND ".join(f'"{column}" IS ?' for column in self._columns)
            query = f"SELECT id FROM {self._table} WHERE {same}"
            known = [self._database.execute(query, row).fetchone() for row in rows]
        else:
            known = [None] * len(rows)
        numbers = []
        for row, there in zip(rows, known, strict=True):
            if there is not None:
                numbers.append(int(there[0]))
                continue
            numbers.append(self._next)
            self._waiting.append((self._next, *row))
            self._next += 1
        return numbers

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
        self._strings: _Numbers[str] = _Numbers(
            database, at_hand, "strings", ("text",), lambda texts: [(text,) for text in texts]
        )
        self.texts = self._strings.of
        frames, tasks = columns_of(Frame), columns_of(StackRecord, NOT_OF_A_TASK)
        self._frames: _Numbers[Frame] = _Numbers(
            database, at_hand, "frame_rows", [column.name for column in frames], Rows(frames, self.texts).rows
        )
        self._stacks: _Numbers[tuple[Frame, ...]] = _Numbers(database, at_hand, "stack_paths", ("frames",), self._paths)
        self._tasks: _Numbers[tuple[Any, ...]] = _Numbers(
            database, at_hand, "task_rows", [column.name for column in tasks], Rows(tasks, self.texts).rows
        )
        self.stacks = self._stacks.of
        self._task_of = itemgetter(*[StackRecord._fields.index(column.name) for column in tasks])

    def tasks(self, records: Sequence[StackRecord]) -> list[int | None]:
        """All of a sample's record but when, how many, how much and which stack."""
        return self._tasks.of(list(map(self._task_of, records)))

    def _paths(self, stacks: Sequence[tuple[Frame, ...]]) -> Iterator[tuple[str]]:
        numbers = list(map(str, self._frames.of(list(chain.from_iterable(stacks)))))
        begin = 0
        for stack in stacks:
            end = begin + len(stack)
            yield (f"[{','.join(numbers[begin:end])}]",)
            begin = end

    def flush(self) -> None:
        for numbers in (self._tasks, self._stacks, self._frames, self._strings):
            numbers.flush()
