"""Columns of a table, and which of them a width has room for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

R = TypeVar("R", bound=Hashable)

_LEAST_CELLS = 5
"""Columns that somebody chose are made no narrower than this to find room for all."""


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column of a table of R."""

    title: str
    width: int
    """Cells; the least for a column that stretches."""
    text: Callable[[R], str]
    help: str
    style: str | Callable[[R], str] = "text"
    sort: Callable[[R], Any] | None = None
    """What to sort by; None = not a sort column. A row without a value gives None and sorts last."""
    descending: bool = False
    """Sorted largest first unless reversed."""
    right: bool = False
    stretch: int = 0
    """Share of the space that is left over."""
    most: int = 0
    """Cells; it stretches no further. 0 = without an end."""
    middle: bool = False
    """Shorten in the middle, so that both ends can be read."""
    rank: int = 0
    """Columns of the highest rank go first when the table is too narrow; those of rank 0 stay."""
    name: str = ""
    """For menus, where the title does not say it; "" = the title."""
    figure: bool = False
    """A figure that goes up and down: not searched."""
    hidden: bool = False
    """Only shown when it is chosen, or when the table reveals it."""

    @property
    def label(self) -> str:
        return self.name or self.title


Shown = list[tuple[Column[R], int]]
"""The columns in view, in order, each with its width in cells."""


def number(
    title: str,
    width: int,
    value: Callable[[R], float | None],
    text: Callable[[float], str],
    help: str,
    style: str | Callable[[R], str] = "text",
    rank: int = 0,
    hidden: bool = False,
) -> Column[R]:
    """A column of numbers: right aligned, largest first; a row without a value shows a dash."""

    def cell(row: R) -> str:
        found = value(row)
        return "-" if found is None else text(found)

    return Column(
        title, width, cell, help, style, value, descending=True, right=True, rank=rank, figure=True, hidden=hidden
    )


def process_id(pid: Callable[[R], int], rank: int = 0) -> Column[R]:
    """The PID column; 0 is a process that is not known."""
    return Column(
        "PID",
        7,
        lambda row: str(pid(row) or "?"),
        "process id, ? = not known",
        "dim",
        lambda row: pid(row) or None,
        right=True,
        rank=rank,
    )


def choose(columns: Sequence[Column[R]], width: int) -> Shown[R]:
    """The columns that fit, in order, each with its width in cells (one blank between two)."""
    chosen = list(columns)
    while sum(c.width + 1 for c in chosen) - 1 > width and any(c.rank for c in chosen):
        highest = max(c.rank for c in chosen)
        chosen.remove(next(c for c in reversed(chosen) if c.rank == highest))
    return _spread(chosen, [column.width for column in chosen], width)


def squeeze(columns: Sequence[Column[R]], width: int) -> Shown[R]:
    """All of these columns: wide ones are cut, and the last go only when even that is not enough."""
    chosen, widths = list(columns), [column.width for column in columns]
    while sum(widths) + len(widths) - 1 > width:
        widest = max(widths)
        if widest > _LEAST_CELLS:
            widths[widths.index(widest)] -= 1
        elif len(chosen) > 1:
            chosen.pop()
            widths = [column.width for column in chosen]
        else:
            break
    return _spread(chosen, widths, width)


def _spread(columns: list[Column[R]], widths: list[int], width: int) -> Shown[R]:
    """What is left over goes to the columns that stretch."""
    spare = max(0, width - sum(widths) - len(widths) + 1)
    cells = list(widths)
    stretching = [at for at, column in enumerate(columns) if column.stretch]
    while spare and stretching:
        shares = sum(columns[at].stretch for at in stretching)
        left = spare
        for at in stretching:
            column = columns[at]
            extra = left * column.stretch // shares
            left, shares = left - extra, shares - column.stretch
            extra = min(extra, max(0, column.most - cells[at])) if column.most else extra
            cells[at] += extra
            spare -= extra
        stretching = [at for at in stretching if not columns[at].most or columns[at].most > cells[at]]
    return list(zip(columns, cells, strict=True))
