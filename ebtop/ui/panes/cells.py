"""Cells that several panes have: users, endpoints, owners, rates, names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from ebtop.store.user_names import SHOWN
from ebtop.ui.columns import Column
from ebtop.units import rate, size

R = TypeVar("R", bound=Hashable)

QUIET = "·"
"""Stands for a rate of 0."""


def user_name(uid: int) -> str:
    """The name in the node's own list, or the number."""
    return SHOWN.name(uid)


def user_column(uid: Callable[[R], int | None], rank: int = 0, *, hidden: bool = False) -> Column[R]:
    """Users by name, unknown ones by number."""

    def text(row: R) -> str:
        found = uid(row)
        return "-" if found is None else user_name(found)

    return Column("USER", 8, text, "user, or the user id where it has no name", "dim", text, rank=rank, hidden=hidden)


def users(uids: Sequence[int]) -> str:
    """root; root +2."""
    return few([user_name(uid) for uid in uids])


def few(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    if not names:
        return "?"
    return names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}"


def owner(pid: int, comm: str, how: str) -> str:
    """The process; a name that is only that of the listener or from /proc is marked with ~."""
    if how == "unknown" or not pid:
        return comm or "?"
    return comm if how == "exact" else f"~{comm}"


def flow(number: float) -> str:
    """Bytes, or bytes a second."""
    return size(number) if number >= 0.5 else QUIET


def pace(number: float) -> str:
    """Events a second."""
    return rate(number) if number else QUIET


def tally(number: float) -> str:
    """A number of things of which mostly there are none."""
    return f"{number:,.0f}" if number else QUIET


def heat(number: float) -> str:
    """The style of bytes a second."""
    if number < 0.5:
        return "faint"
    return "strong" if number >= 2**20 else "text"


def alarm(number: float, style: str = "warn") -> str:
    """The style of a number that had better be 0."""
    return style if number else "faint"


def presence(number: float, style: str = "text") -> str:
    """The style of a number that is quiet when it is 0."""
    return style if number else "faint"
