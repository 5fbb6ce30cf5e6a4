"""One way to list what a probe saw: row by row, or added up by something."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ebtop.store.rows import LetGo, Snapshot
from ebtop.ui.columns import Column
from ebtop.ui.focus import Copied, Focus

R = TypeVar("R", bound=Hashable)


def _nowhere(row: Hashable) -> Focus | None:
    return None


@dataclass(frozen=True)
class Mode(Generic[R]):
    """What a pane of rows lists, and how."""

    id: str
    title: str
    """Beside the heading: "by peer"; "" for the plain rows."""
    columns: tuple[Column[R], ...]
    key: Callable[[R], Hashable]
    """What tells a row from others, whatever changes in it."""
    rows: Callable[[Snapshot], Sequence[R]]
    focus: Callable[[R], Focus | None] = _nowhere
    let_go: Callable[[LetGo], int] | None = None
    """How many rows made room for others; None: these are not totals."""
    copied: Callable[[R], Copied] | None = None
    """What `y` takes of a row; None = all of its columns."""
