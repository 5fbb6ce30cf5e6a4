"""A pane whose body is a table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from ebtop.store.rows import Snapshot
from ebtop.ui.moment import Moment
from ebtop.ui.panes.base import Pane
from ebtop.ui.table import Column, Table

R = TypeVar("R", bound=Hashable)


class TablePane(Pane, Generic[R]):
    """Shows `rows_of(snapshot)` in `columns`."""

    def __init__(self, columns: Sequence[Column[R]], key: Callable[[R], Hashable]) -> None:
        self.table: Table[R] = Table(columns, key)
        super().__init__(self.table)

    def rows_of(self, snapshot: Snapshot) -> Sequence[R]:
        raise NotImplementedError

    def draw_body(self, moment: Moment) -> None:
        self.table.show(self.rows_of(moment.snapshot))

    def empty(self, moment: Moment) -> bool:
        return not self.rows_of(moment.snapshot)
