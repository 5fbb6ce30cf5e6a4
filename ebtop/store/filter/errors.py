"""What is wrong with an expression, and where."""

from __future__ import annotations

from ebtop.errors import UsageError

_MOST_BEFORE = 32


class FilterError(UsageError):
    """An expression that can't be read. `what` and `fix` need no context; `why` names the place."""

    def __init__(self, text: str, start: int, end: int, what: str, fix: str) -> None:
        """Characters `start` to `end` of `text` are at fault; the two are equal where something is missing."""
        before = " ".join(text[:start].split())
        if len(before) > _MOST_BEFORE:
            before = f"…{before[-_MOST_BEFORE:]}"
        after = f", after {before}" if before else ""
        super().__init__(what, f"character {start + 1} of the filter{after}", fix)
        self.position = start
        self.end = max(start, end)


class BadValue(Exception):
    """A value that does not fit its field: raised by a kind, which does not know where the value stands."""

    def __init__(self, value: int, what: str, fix: str) -> None:
        """`value` counts the values of the term from 0."""
        super().__init__(what)
        self.value = value
        self.what = what
        self.fix = fix
