"""A table on the Line API: only visible rows are formatted, the cursor stays on its row while data changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from textual import events

from ebtop.ui.commands import bindings
from ebtop.ui.strips import Line, Run, StripWidget, fit

R = TypeVar("R", bound=Hashable)


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
    middle: bool = False
    """Shorten in the middle, so that both ends can be read."""
    rank: int = 0
    """Columns of the highest rank go first when the table is too narrow; those of rank 0 stay."""


def number(
    title: str,
    width: int,
    value: Callable[[R], float | None],
    text: Callable[[float], str],
    help: str,
    style: str | Callable[[R], str] = "text",
    rank: int = 0,
) -> Column[R]:
    """A column of numbers: right aligned, largest first; a row without a value shows a dash."""

    def cell(row: R) -> str:
        found = value(row)
        return "-" if found is None else text(found)

    return Column(title, width, cell, help, style, value, descending=True, right=True, rank=rank)


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


def choose(columns: Sequence[Column[R]], width: int) -> list[tuple[Column[R], int]]:
    """The columns that fit, in order, each with its width in cells (one blank between two)."""
    chosen = list(columns)
    while sum(c.width + 1 for c in chosen) - 1 > width and any(c.rank for c in chosen):
        highest = max(c.rank for c in chosen)
        chosen.remove(next(c for c in reversed(chosen) if c.rank == highest))
    spare = max(0, width - sum(c.width + 1 for c in chosen) + 1)
    shares = sum(c.stretch for c in chosen)
    result = []
    for column in chosen:
        extra = spare * column.stretch // shares if shares else 0
        spare, shares = spare - extra, shares - column.stretch
        result.append((column, column.width + extra))
    return result


class Table(StripWidget, Generic[R], can_focus=True):
    """Rows of type R under one header line.

    Without a chosen column rows stay in the order they came in. At the top the cursor stays at the top,
    whatever arrives; once moved it follows the row it was put on, and keeps its place on screen.
    """

    BINDINGS = bindings("table")

    def __init__(self, columns: Sequence[Column[R]], key: Callable[[R], Hashable]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.row_key = key
        self.rows: Sequence[R] = ()
        """In the order shown."""
        self._unsorted: Sequence[R] = ()
        self.sort_column: Column[R] | None = None
        self.reverse = False
        self.cursor = 0
        self.cursor_key: Hashable = None
        """None: the cursor is at the top and stays there."""
        self.top = 0
        self._columns: list[tuple[Column[R], int]] = []
        self._cells: dict[R, tuple[Run, ...]] = {}
        """Of the rows in view; a row that has not changed is not formatted again."""

    def show(self, rows: Sequence[R]) -> None:
        """Draw these rows from now on."""
        self._unsorted = rows
        self._arrange()
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        body = max(1, height - 1)
        if self.cursor >= self.top + body:
            self.top = self.cursor - body + 1
        self.top = max(0, min(self.top, self.cursor, len(self.rows) - 1))
        columns = choose(self.columns, width - 2)
        known = self._cells if columns == self._columns else {}
        self._columns, self._cells = columns, {}
        lines = [self._header(columns)]
        for number, row in enumerate(self.rows[self.top : self.top + body], self.top):
            chosen = number == self.cursor and self.has_focus
            cells = self._cells[row] = known.get(row) or _cells(columns, row)
            lines.append(Line(cells, "cursor" if chosen else "base"))
        return lines

    def move_to(self, index: int) -> None:
        self.cursor = max(0, min(index, len(self.rows) - 1))
        self.cursor_key = self.row_key(self.rows[self.cursor]) if self.cursor else None
        self.redraw()

    def sort_by(self, column: Column[R] | None) -> None:
        self.sort_column, self.reverse = column, False
        self._arrange()
        self.redraw()

    def action_move(self, rows: int) -> None:
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self.move_to(self.cursor + pages * max(1, self.size.height - 2))

    def action_top(self) -> None:
        self.move_to(0)

    def action_bottom(self) -> None:
        self.move_to(len(self.rows) - 1)

    def action_sort(self, step: int) -> None:
        """The next (or the one before) of the columns in view that can be sorted by."""
        visible = [c for c, _ in choose(self.columns, self.size.width - 2) if c.sort]
        if visible:
            now = visible.index(self.sort_column) if self.sort_column in visible else min(0, -step)
            self.sort_by(visible[(now + step) % len(visible)])

    def action_reverse(self) -> None:
        self.reverse = not self.reverse
        self._arrange()
        self.redraw()

    def action_unsort(self) -> None:
        self.sort_by(None)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move_to(self.cursor + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move_to(self.cursor - 3)

    def on_click(self, event: events.Click) -> None:
        if event.y > 0:
            self.move_to(self.top + event.y - 1)
            return
        left = 1
        for column, width in choose(self.columns, self.size.width - 2):
            if left <= event.x < left + width + 1 and column.sort:
                self.action_reverse() if column is self.sort_column else self.sort_by(column)
                return
            left += width + 1

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def _arrange(self) -> None:
        column, rows = self.sort_column, self._unsorted
        if column and (sort := column.sort):
            known = [row for row in rows if sort(row) is not None]
            known.sort(key=sort, reverse=column.descending is not self.reverse)
            rows = [*known, *(row for row in rows if sort(row) is None)]
        elif self.reverse:
            rows = rows[::-1]
        offset = self.cursor - self.top
        self.rows = rows
        if self.cursor_key is not None:
            self.cursor = self._row_of(self.cursor_key, default=self.cursor)
            self.top = self.cursor - offset
        self.cursor = max(0, min(self.cursor, len(rows) - 1))

    def _row_of(self, key: Hashable, default: int) -> int:
        return next((number for number, row in enumerate(self.rows) if self.row_key(row) == key), default)

    def _header(self, columns: list[tuple[Column[R], int]]) -> Line:
        runs: list[Run] = [(" ", "dim")]
        for column, width in columns:
            if column is self.sort_column:
                down = column.descending is not self.reverse
                title = fit(f"{column.title}{'▼' if down else '▲'}", width, right=column.right)
                runs.append((title + " ", "accent"))
            else:
                runs.append((fit(column.title, width, right=column.right) + " ", "dim"))
        return Line(tuple(runs), "head")


def _cells(columns: list[tuple[Column[R], int]], row: R) -> tuple[Run, ...]:
    """The cells of a row, neighbours of one style as one run: fewer escape sequences on the wire."""
    runs: list[Run] = []
    text, last = " ", "text"
    for column, width in columns:
        style = column.style if isinstance(column.style, str) else column.style(row)
        cell = fit(column.text(row), width, right=column.right, middle=column.middle) + " "
        if style == last:
            text += cell
        else:
            runs.append((text, last))
            text, last = cell, style
    runs.append((text, last))
    return tuple(runs)
