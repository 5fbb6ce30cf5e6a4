"""How the fields of a record type become the columns of a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from ebtop.store.history.columns import transposed

Value = str | int | float | bytes | None
Numbers = Callable[[Sequence[Any]], Sequence[int | None]]
"""The numbers that texts are stored under; None for None."""

_AFFINITY = {"text": "INTEGER", "list": "INTEGER", "whole": "INTEGER", "real": "REAL"}
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1


class Column(NamedTuple):
    """One column."""

    name: str
    form: str
    """text and list: the number of a text in `strings`, that of a list is JSON; whole, real: as it is."""

    @property
    def declaration(self) -> str:
        return f'"{self.name}" {_AFFINITY[self.form]}'


@cache
def columns_of(kind: type, leave_out: frozenset[str] = frozenset()) -> tuple[Column, ...]:
    """Of a NamedTuple, in its order. A field that is added to a type later is a column more in files made then."""
    hints = get_type_hints(kind)
    return tuple([Column(name, _form(hint)) for name, hint in hints.items() if name not in leave_out])


class Rows:
    """Makes rows of what has some columns; many at once, column by column, because that is where the time goes."""

    def __init__(self, columns: Sequence[Column], numbers: Numbers) -> None:
        self.columns = columns
        self._numbers = numbers

    @classmethod
    def of(cls, kind: type, numbers: Numbers) -> Rows:
        """Of a record type, whole."""
        return cls(columns_of(kind), numbers)

    def rows(self, records: Sequence[tuple[Any, ...]]) -> Iterable[tuple[Value, ...]]:
        """Of tuples with a value for each column."""
        made = transposed(records, len(self.columns))
        return zip(*map(self._stored, self.columns, made), strict=True)

    def _stored(self, column: Column, values: Sequence[Any]) -> Sequence[Value]:
        if column.form == "text":
            return self._numbers(values)
        if column.form == "list":
            return self._numbers([None if value is None else as_json(value) for value in values])
        return _signed(values) if column.form == "whole" else values


def _signed(values: Sequence[Any]) -> Sequence[Value]:
    """SQLite's whole numbers have a sign: of one that is too great for that, the bits are the same."""
    known = [value for value in values if value is not None]
    if not known or (min(known) >= _LEAST and max(known) <= _GREATEST):
        return values
    return [value if value is None or _LEAST <= value <= _GREATEST else value - (1 << 64) for value in values]


def as_json(value: Any) -> str:
    """Names with values become an object, anything else a list."""
    if (
        value
        and isinstance(value[0], tuple)
        and all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in value)
    ):
        return _to_json(dict(value))
    return _to_json(value)


def _form(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [part for part in get_args(hint) if part is not NoneType]
    if get_origin(hint) is tuple:
        return "list"
    return {str: "text", int: "whole", bool: "whole", float: "real"}[hint]
