"""What a report says, whatever it is written as: findings, tables, charts. Text in it is not escaped yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar, overload

from ebtop.export.icicle_cells import Cell, Paint
from ebtop.store.evidence import Note

Item = TypeVar("Item")


class Code(NamedTuple):
    """Text that came from a process: a name, a command line, a function."""

    text: str


Words = tuple[str | Code, ...]
"""A sentence; plain parts are ours."""


class Column(NamedTuple):
    """Of a table."""

    name: str
    kind: str = "text"
    """text, number (to the right), or code (came from a process)."""


class MadeRows(Sequence[tuple[str, ...]], Generic[Item]):
    """Rows that are made when they are asked for: of a long table few are shown."""

    def __init__(self, items: Sequence[Item], make: Callable[[Item], tuple[str, ...]]) -> None:
        self._items = items
        self._make = make

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, place: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[tuple[str, ...]]: ...
    def __getitem__(self, place: int | slice) -> tuple[str, ...] | Sequence[tuple[str, ...]]:
        if isinstance(place, slice):
            return list(map(self._make, self._items[place]))
        return self._make(self._items[place])


class Table(NamedTuple):
    """The most important rows first."""

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    words: str = ""
    """What it counts."""
    nothing: str = "none"
    """What to say where there are no rows."""


class Section(NamedTuple):
    """Findings of one kind."""

    title: str
    findings: tuple[Words, ...]


class Chart(NamedTuple):
    """One value over time."""

    title: str
    unit: str
    points: tuple[tuple[int, float], ...]
    """(time_ns, value), oldest first."""


class Icicle(NamedTuple):
    """A drawing of stacks."""

    title: str
    words: str
    """How to read its colours."""
    cells: Sequence[Cell]
    paint: Paint


class Report(NamedTuple):
    """All of it."""

    heading: str
    about: tuple[str, ...]
    """Where it is from and what is missing, a line each."""
    sections: tuple[Section, ...]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...] = ()
    notes: tuple[Note, ...] = ()
    """Those that charts show."""
    icicles: tuple[Icicle, ...] = ()


def plain(words: Words) -> str:
    """A sentence without marks."""
    return "".join([part if isinstance(part, str) else part.text for part in words])
