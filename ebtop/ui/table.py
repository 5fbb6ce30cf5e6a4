"""A table on the Line API: only visible rows are formatted, the cursor stays on its row while data changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from textual import events

from ebtop.ui.columns import Column, Shown, choose, number, process_id, squeeze
from ebtop.ui.commands import bindings
from ebtop.ui.screens.choice import Choice, ChoiceScreen
from ebtop.ui.strips import Line, Run, StripWidget, fit

__all__ = ["Column", "Table", "choose", "number", "process_id"]

R = TypeVar("R", bound=Hashable)

_NEAR = 64
"""Rows each way in which the row under the cursor is looked for first."""
_SORTED_EACH_TICK = 20_000
"""Rows; of more the order is renewed every second tick only, of twice as many every third."""
_SEARCHED = 10_000
"""Rows that one key looks through."""


class _Place(NamedTuple):
    """How a list was left, to come back to it."""

    sort_column: Column[Any] | None
    reverse: bool
    cursor_key: Hashable
    chosen: tuple[Column[Any], ...]


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
        self.chosen: tuple[Column[R], ...] = ()
        """The columns somebody wants to see; empty = those that fit best."""
        self._revealed: frozenset[Column[R]] = frozenset()
        """Columns that are usually hidden and have something to say here."""
        self.cursor = 0
        self.cursor_key: Hashable = None
        """None: the cursor is at the top and stays there."""
        self.top = 0
        self._needle = ""
        self._not_found = 0
        """Rows from the cursor on that were looked through in vain, while there are more."""
        self._ticks_since_sorted = 0
        self._fresh: dict[Hashable, R] = {}
        """The rows in view as they are now, while the order is that of an earlier tick."""
        self._columns: Shown[R] = []
        self._cells: dict[R, tuple[Run, ...]] = {}
        """Of the rows in view; a row that has not changed is not formatted again."""
        self._places: dict[tuple[Column[R], ...], _Place] = {}

    # What is shown

    def show(self, rows: Sequence[R]) -> None:
        """Draw these rows from now on."""
        self._unsorted = rows
        self._ticks_since_sorted += 1
        if self.rows and self.sort_column and self._ticks_since_sorted < self.ticks_between_sorts:
            self._refresh_view()
        else:
            self._arrange()
        self.redraw()

    def turn_to(self, columns: Sequence[Column[R]], key: Callable[[R], Hashable]) -> None:
        """Show another kind of rows from now on. Its order, its cursor and its columns are as they were left."""
        self._places[self.columns] = _Place(self.sort_column, self.reverse, self.cursor_key, self.chosen)
        self.columns, self.row_key = tuple(columns), key
        place = self._places.get(self.columns, _Place(None, False, None, ()))
        self.sort_column, self.reverse, self.cursor_key, self.chosen = place
        self.cursor = self.top = 0
        self.rows = self._unsorted = ()
        self._cells, self._fresh = {}, {}

    def reveal(self, columns: Iterable[Column[R]]) -> None:
        """Show these columns, which are usually hidden, where there is room."""
        self._revealed |= frozenset(columns)

    def fitting(self, width: int) -> Shown[R]:
        """The columns for a width."""
        if self.chosen:
            return squeeze(self.chosen, width)
        return choose([c for c in self.columns if not c.hidden or c in self._revealed], width)

    @property
    def row(self) -> R | None:
        """The row under the cursor."""
        return self._now(self.rows[self.cursor]) if self.rows else None

    @property
    def ticks_between_sorts(self) -> int:
        """Where there are very many rows their order is not renewed every tick; what they say is."""
        return 1 + len(self._unsorted) // _SORTED_EACH_TICK

    def lines(self, width: int, height: int) -> list[Line]:
        body = max(1, height - 1)
        if self.cursor >= self.top + body:
            self.top = self.cursor - body + 1
        self.top = max(0, min(self.top, self.cursor, len(self.rows) - 1))
        columns = self.fitting(width - 2)
        known = self._cells if columns == self._columns else {}
        self._columns, self._cells = columns, {}
        lines = [self._header(columns)]
        for at, row in enumerate(map(self._now, self.rows[self.top : self.top + body]), self.top):
            under_cursor = at == self.cursor and self.has_focus
            cells = self._cells[row] = known.get(row) or _cells(columns, row, self._needle)
            lines.append(Line(cells, "cursor" if under_cursor else "base"))
        return lines

    # Moving

    def move_to(self, index: int) -> None:
        self.cursor = max(0, min(index, len(self.rows) - 1))
        self.cursor_key = self.row_key(self.rows[self.cursor]) if self.cursor else None
        self.redraw()

    def action_move(self, rows: int) -> None:
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self.move_to(self.cursor + pages * max(1, self.size.height - 2))

    def action_top(self) -> None:
        self.move_to(0)

    def action_bottom(self) -> None:
        self.move_to(len(self.rows) - 1)

    # Order

    def sort_by(self, column: Column[R] | None, *, reverse: bool = False) -> None:
        """Sort by a column, also one that is not in view; None is the order rows come in."""
        self.sort_column, self.reverse = column, reverse
        self._arrange()
        self.redraw()

    def unsort(self) -> bool:
        """Back to the order rows come in; False = they are in it."""
        if self.sort_column is None and not self.reverse:
            return False
        self.sort_by(None)
        return True

    def action_sort(self, step: int) -> None:
        """The next (or the one before) of the columns in view that can be sorted by."""
        visible = [c for c, _ in self.fitting(self.size.width - 2) if c.sort]
        if visible:
            now = visible.index(self.sort_column) if self.sort_column in visible else min(0, -step)
            self.sort_by(visible[(now + step) % len(visible)])

    def action_reverse(self) -> None:
        self.sort_by(self.sort_column, reverse=not self.reverse)

    def action_sort_menu(self) -> None:
        """Choose any column to sort by; the one that is sorted by already turns the order round."""
        columns = [column for column in self.columns if column.sort]
        choices = [Choice("", "as they come", "the order without a sort column", self.sort_column is None)]
        choices += [_choice(self.columns.index(c), c, c is self.sort_column) for c in columns]

        def take(ids: tuple[str, ...] | None) -> None:
            if ids is not None:
                column = self.columns[int(ids[0])] if ids[0] else None
                again = column is not None and column is self.sort_column
                self.sort_by(column, reverse=again and not self.reverse)

        self.app.push_screen(ChoiceScreen("SORT BY", choices), take)

    # Columns

    def choose_columns(self, columns: Sequence[Column[R]]) -> None:
        """Show these columns and no others; none = those that fit best."""
        self.chosen = tuple(column for column in self.columns if column in columns)
        self.redraw()

    def action_columns(self) -> None:
        """Choose the columns to show."""
        shown = self.chosen or [column for column, _ in self.fitting(self.size.width - 2)]
        choices = [_choice(at, column, column in shown) for at, column in enumerate(self.columns)]

        def take(ids: tuple[str, ...] | None) -> None:
            if ids is not None and set(ids) != {choice.id for choice in choices if choice.chosen}:
                self.choose_columns([self.columns[int(id)] for id in ids])

        self.app.push_screen(ChoiceScreen("COLUMNS (none: those that fit best)", choices, several=True), take)

    # Search

    def search(self, text: str) -> None:
        """Mark the cells that contain this, in any case, and go to the first row with one; "" ends the search.

        Figures are not searched: they would not stay found.
        """
        self._needle = text.casefold()
        self._cells = {}
        self._not_found = 0
        if self._needle and self.rows and not self._matches(self.rows[self.cursor]):
            self.search_next(1)
        self.redraw()

    @property
    def searching(self) -> bool:
        return bool(self._needle)

    def search_next(self, step: int) -> None:
        """To the next row that matches, or with -1 to the one before; the ends of the table are joined.

        Of very many rows only some are looked through, the next call goes on behind them.
        """
        if not self._needle:
            return
        count, behind = len(self.rows), self._not_found
        for distance in range(behind + 1, min(behind + _SEARCHED, count) + 1):
            at = (self.cursor + step * distance) % count
            if self._matches(self.rows[at]):
                self._not_found = 0
                self.move_to(at)
                return
        self._not_found = behind + _SEARCHED if behind + _SEARCHED < count else 0

    def search_result(self) -> str:
        """What was found: "3 of 120 rows"."""
        if not self._needle:
            return ""
        if self._not_found:
            return f"no match in {self._not_found:,} of {len(self.rows):,} rows; once more looks on"
        counted = self.rows[:_SEARCHED]
        found = [at for at, row in enumerate(counted) if self._matches(row)]
        of = "rows" if len(counted) == len(self.rows) else f"of the first {_SEARCHED:,} rows"
        if self.cursor in found:
            return f"{found.index(self.cursor) + 1:,} of {len(found):,} {of}"
        return f"{len(found):,} {of} match"

    # The mouse

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
        for column, width in self.fitting(self.size.width - 2):
            if left <= event.x < left + width + 1 and column.sort:
                self.action_reverse() if column is self.sort_column else self.sort_by(column)
                return
            left += width + 1

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    # Inside

    def _arrange(self) -> None:
        """Put the rows in order and find the one under the cursor again."""
        self._ticks_since_sorted = 0
        self._fresh = {}
        column, rows = self.sort_column, self._unsorted
        if column and column.sort:
            rows = _sorted(rows, column.sort, column.descending is not self.reverse)
        elif self.reverse:
            rows = rows[::-1]
        offset = self.cursor - self.top
        self.rows = rows
        if self.cursor_key is not None:
            self.cursor = self._row_of(self.cursor_key, default=self.cursor)
            self.top = self.cursor - offset
        self.cursor = max(0, min(self.cursor, len(rows) - 1))

    def _refresh_view(self) -> None:
        """Take over what the rows in view say now, in the order of before."""
        end = max(self.top + self.size.height, self.cursor + 1)
        wanted = set(map(self.row_key, self.rows[self.top : end]))
        self._fresh = {
            key: row
            for key, row in zip(map(self.row_key, self._unsorted), self._unsorted, strict=True)
            if key in wanted
        }

    def _now(self, row: R) -> R:
        return self._fresh.get(self.row_key(row), row) if self._fresh else row

    def _row_of(self, key: Hashable, default: int) -> int:
        """Most ticks move a row by a few places, so those are looked at first."""
        start = max(0, self.cursor - _NEAR)
        for first, part in ((start, self.rows[start : self.cursor + _NEAR]), (0, self.rows)):
            keys = list(map(self.row_key, part))
            if key in keys:
                return first + keys.index(key)
        return default

    def _matches(self, row: R) -> bool:
        needle = self._needle
        for column, _ in self._columns or self.fitting(self.size.width - 2):
            if not column.figure and needle in column.text(row).casefold():
                return True
        return False

    def _header(self, columns: Shown[R]) -> Line:
        runs: list[Run] = [(" ", "dim")]
        for column, width in columns:
            if column is self.sort_column:
                down = column.descending is not self.reverse
                title = fit(f"{column.title}{'▼' if down else '▲'}", width, right=column.right)
                runs.append((title + " ", "accent"))
            else:
                runs.append((fit(column.title, width, right=column.right) + " ", "dim"))
        return Line(tuple(runs), "head")


def _sorted(rows: Sequence[R], value: Callable[[R], Any], descending: bool) -> list[R]:
    """Equal ones stay in the order they came in; those without a value come last."""
    values = list(map(value, rows))
    if None in values:
        unknown = [row for row, found in zip(rows, values, strict=True) if found is None]
        rows = [row for row, found in zip(rows, values, strict=True) if found is not None]
        return [*sorted(rows, key=value, reverse=descending), *unknown]
    return sorted(rows, key=value, reverse=descending)


def _choice(at: int, column: Column[Any], chosen: bool) -> Choice:
    return Choice(str(at), column.label, column.help, chosen)


def _cells(columns: Shown[R], row: R, needle: str) -> tuple[Run, ...]:
    """The cells of a row, neighbours of one style as one run: fewer escape sequences on the wire."""
    runs: list[Run] = []
    text, last = " ", "text"
    for column, width in columns:
        style = column.style if isinstance(column.style, str) else column.style(row)
        full = column.text(row)
        cell = fit(full, width, right=column.right, middle=column.middle)
        if needle and not column.figure and needle in full.casefold():
            runs += [(text, last), (cell, "match")]
            text, last = " ", style
        elif style == last:
            text += cell + " "
        else:
            runs.append((text, last))
            text, last = cell + " ", style
    runs.append((text, last))
    return tuple(runs)
