"""A pane whose body is a table, in one or more modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ebtop.store.containers import ContainerLookup, no_containers
from ebtop.store.rows import Snapshot
from ebtop.ui.columns import Column
from ebtop.ui.commands import bindings
from ebtop.ui.focus import Copied, Focus
from ebtop.ui.moment import Moment
from ebtop.ui.panes.base import Pane
from ebtop.ui.panes.mode import Mode
from ebtop.ui.table import Table
from ebtop.ui.title import Figure
from ebtop.units import plural, wall_clock

_LOOKED_AT = 200
"""Rows in which a container is looked for before its column is shown."""


class TablePane(Pane):
    """Lists rows in the first of its modes; `t` goes to the next one. Each mode keeps its order, cursor and columns."""

    BINDINGS = bindings("lists")
    scopes = ("lists", "table")

    def __init__(self, *modes: Mode[Any]) -> None:
        self.modes = modes
        self.mode = modes[0]
        self.table: Table[Any] = Table(self.mode.columns, self.mode.key)
        self._containers: dict[str | None, str] = {}
        """Labels by cgroup, as they were found for this moment."""
        super().__init__(self.table)

    def rows_of(self, snapshot: Snapshot) -> Sequence[Any]:
        return self.mode.rows(snapshot)

    def draw_body(self, moment: Moment) -> None:
        self._containers = {}
        rows = self.rows_of(moment.snapshot)
        self._reveal_containers(rows)
        self.table.show(rows)

    def empty(self, moment: Moment) -> bool:
        return not self.rows_of(moment.snapshot)

    # Modes

    def action_next_mode(self) -> None:
        at = self.modes.index(self.mode)
        self.turn_to(self.modes[(at + 1) % len(self.modes)].id)

    def turn_to(self, mode: str) -> None:
        """Show the mode of that id."""
        self.mode = next(other for other in self.modes if other.id == mode)
        self.table.turn_to(self.mode.columns, self.mode.key)
        self.draw()

    def draw(self) -> None:
        self.title_line.heading = f"{self.heading} {self.mode.title}".rstrip()
        # Totals may begin later than the rows of a view do.
        self.nothing_yet = type(self).nothing_yet + (" to add up" if self.mode.let_go else "")
        super().draw()

    def about_mode(self, moment: Moment) -> list[Figure]:
        """For the title: what totals are of, and an order that can't be seen in the header."""
        figures = []
        if self.mode.let_go is not None:
            snapshot = moment.snapshot
            if snapshot.since_ns:
                figures.append(Figure(f"since {wall_clock(snapshot.since_ns)}", "dim", 4))
            if gone := self.mode.let_go(snapshot.let_go):
                figures.append(Figure(f"{plural(gone, 'row')} let go", "warn", 3))
        table = self.table
        if table.sort_column and table.sort_column not in [c for c, _ in table.fitting(table.size.width - 2)]:
            mark = "▼" if table.sort_column.descending is not table.reverse else "▲"
            figures.append(Figure(f"by {table.sort_column.label}{mark}", "accent", 1))
        if table.sort_column and table.ticks_between_sorts > 1:
            figures.append(Figure(f"sorted every {table.ticks_between_sorts} s", "dim", 5))
        return figures

    # What others ask of a pane

    def search(self, text: str) -> None:
        self.table.search(text)

    def search_next(self, step: int) -> None:
        self.table.search_next(step)

    def search_result(self) -> str:
        return self.table.search_result()

    def back(self) -> bool:
        if self.table.searching:
            self.table.search("")
            return True
        return self.table.unsort()

    def focus_of(self) -> Focus | None:
        row = self.table.row
        return None if row is None else self.mode.focus(row)

    def copied(self) -> Copied | None:
        row = self.table.row
        if row is None:
            return None
        if self.mode.copied is not None:
            return self.mode.copied(row)
        columns = self.mode.columns
        header = "\t".join(column.label for column in columns)
        return Copied("row", f"{header}\n" + "\t".join(column.text(row) for column in columns))

    # Containers

    def container_of(self, cgroup: str | None) -> str:
        """The label of the container, pod or service that a cgroup belongs to; "" where there is none."""
        label = self._containers.get(cgroup)
        if label is None:
            source = getattr(self.app, "source", None)
            lookup: ContainerLookup = source.containers if source is not None else no_containers
            found = lookup(cgroup)
            label = self._containers[cgroup] = found.label if found else ""
        return label

    def container_column(self, rank: int) -> Column[Any]:
        """For rows with a cgroup; shown as soon as one of them belongs to a container."""
        return Column(
            "CONTAINER",
            14,
            lambda row: self.container_of(row.cgroup) or "-",
            "container, pod or service it runs in; - = none, or not known",
            "info",
            lambda row: self.container_of(row.cgroup) or None,
            rank=rank,
            hidden=True,
        )

    def _reveal_containers(self, rows: Sequence[Any]) -> None:
        for column in self.mode.columns:
            if column.title == "CONTAINER" and column.sort and any(map(column.sort, rows[:_LOOKED_AT])):
                self.table.reveal((column,))
