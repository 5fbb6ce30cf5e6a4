"""How the fields of a record type become the columns of a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

Value = str | int | float | bytes | None
Number = Callable[[str], int]
"""The number that a text is stored under."""

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
    """Makes rows of one type's records."""

    def __init__(self, kind: type, number: Number, leave_out: frozenset[str] = frozenset()) -> None:
        self.columns = columns_of(kind, leave_out)
        fields: Sequence[str] = kind._fields  # type: ignore[attr-defined]
        self._left_out = sorted((fields.index(name) for name in leave_out), reverse=True)
        places = {form: [at for at, column in enumerate(self.columns) if column.form == form] for form in _AFFINITY}
        self._texts, self._lists, self._wholes = places["text"], places["list"], places["whole"]
        self._number = number

    def row(self, record: tuple[Any, ...]) -> list[Value]:
        row = list(record)
        for at in self._left_out:
            del row[at]
        for at in self._texts:
            if row[at] is not None:
                row[at] = self._number(row[at])
        for at in self._lists:
            if row[at] is not None:
                row[at] = self._number(as_json(row[at]))
        for at in self._wholes:
            if row[at] is not None and not _LEAST <= row[at] <= _GREATEST:
                row[at] -= 1 << 64  # SQLite's whole numbers are signed: the bits are the same
        return row


def as_json(value: Any) -> str:
    """Names with values become an object, anything else a list."""
    if value and all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in value):
        return _to_json(dict(value))
    return _to_json(value)


def _form(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [part for part in get_args(hint) if part is not NoneType]
    if get_origin(hint) is tuple:
        return "list"
    return {str: "text", int: "whole", bool: "whole", float: "real"}[hint]
