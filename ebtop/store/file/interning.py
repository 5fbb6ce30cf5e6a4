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
        if None not in found:
            return found
        # To hash a stack takes longer than all else that is done with it here: it happens no more often than it must.
        missing: dict[Key, int] = {}
        first, places, numbers = self._next, [], []
        for place, number in enumerate(found):
            if number is None and (key := keys[place]) is not None:
                places.append(place)
                numbers.append(missing.setdefault(key, first + len(missing)))
        if missing:
            if self._old or self._let_go:
                looked_up = self._looked_up(list(missing))
                numbers = [looked_up[number - first] for number in numbers]
                missing = dict(zip(missing, looked_up, strict=True))
            else:
                self._added(list(self._rows(list(missing))))
            if len(self._new) + len(missing) > self._at_hand:
                self._turn_over()
            self._new.update(missing)
            for place, number in zip(places, numbers, strict=True):
                found[place] = number
        return found

    def flush(self) -> None:
        """Write the rows that are new."""
        if self._waiting:
            marks = ",".join("?" * (1 + len(self._columns)))
            self._database.executemany(f"INSERT INTO {self._table} VALUES ({marks})", self._waiting)
            self._waiting = []

    def _looked_up(self, keys: Sequence[Key]) -> list[int]:
        """Numbers of distinct keys that are not among the new ones."""
        old = list(map(self._old.get, keys))
        others = list(self._rows([key for key, number in zip(keys, old, strict=True) if number is None]))
        numbers = iter(self._numbered(others) if self._let_go else self._added(others))
        return [next(numbers) if number is None else number for number in old]

    def _numbered(self, rows: Sequence[Sequence[Value]]) -> list[int]:
        """Their numbers; those that are in the file already have one."""
        self.flush()
        same = " AND ".join(f'"{column}" IS ?' for column in self._columns)
        query = f"SELECT id FROM {self._table} WHERE {same}"
        known = [self._database.execute(query, row).fetchone() for row in rows]
        added = iter(self._added([row for row, there in zip(rows, known, strict=True) if there is None]))
        return [next(added) if there is None else int(there[0]) for there in known]

    def _added(self, rows: Sequence[Sequence[Value]]) -> range:
        """The numbers of rows that are new."""
        numbers = range(self._next, self._next + len(rows))
        self._waiting += [(number, *row) for number, row in zip(numbers, rows, strict=True)]
        self._next = numbers.stop
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
        numbers = self._frames.of(list(chain.from_iterable(stacks)))
        begin = 0
        for stack in stacks:
            end = begin + len(stack)
            yield (str(numbers[begin:end]).replace(" ", ""),)
            begin = end

    def flush(self) -> None:
        for numbers in (self._tasks, self._stacks, self._frames, self._strings):
            numbers.flush()
