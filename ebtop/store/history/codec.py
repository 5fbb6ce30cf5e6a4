"""Tables of records as bytes and back, safe on bytes that somebody else made.

What is packed is described by its type: a NamedTuple whose fields are plain values, lists of plain values, lists of
rows (NamedTuples of plain values) or further such NamedTuples. Plain values are None, bool, int (64 bits), float, str,
tuples and NamedTuples of those. Reading makes nothing but what the type says, and refuses the rest: a wrong type, a
number out of range, too many rows. A field that is missing gets its default, one that is not known is passed over, so
that older data can be read after fields were added at the end.

A block is the length of its header (u32, little-endian), the header (JSON, with names and few values), and the payload
with the many numbers (see `columns`). It compresses well; that is left to whoever keeps it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Container, Mapping, Sequence
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from ebtop import precedence
from ebtop.store.history.columns import MAX_ROWS, Convert, Payload, Spec, pack_column, transposed, unpack_column
from ebtop.store.history.corrupt import CorruptData

VERSION = 1

Text = Callable[[str], str]
Choose = Callable[["Columns"], Sequence[int]]
"""The rows that are wanted, in order, of a table."""
NO_CHOICE: Mapping[str, Choose] = {}
Block = TypeVar("Block", bound=tuple[Any, ...])

_LENGTH = struct.Struct("<I")
_to_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_INT_RANGE = (-(1 << 63), (1 << 64) - 1)


def same_text(text: str) -> str:
    """For data that never left this process."""
    return text


def pack(block: tuple[Any, ...]) -> bytes:
    """A NamedTuple as described above. Raises ValueError where there are more than MAX_ROWS rows in a list."""
    payload: list[bytes] = []
    header = _to_json([VERSION, _pack_fields(block, payload)]).encode()
    return b"".join((_LENGTH.pack(len(header)), header, *payload))


def unpack(
    kind: type[Block],
    data: bytes,
    *,
    only: Container[str] | None = None,
    choose: Mapping[str, Choose] = NO_CHOICE,
    text: Text = same_text,
) -> Block:
    """What `pack` made a block of. Raises CorruptData and nothing else.

    `only`: the lists to read; others stay empty. `choose`, by list: the rows to make, None stands for the others; what
    is not looked at costs next to nothing. `text` cleans strings of data that somebody else may have written.
    """
    try:
        version, fields, payload = _open(data)
        if version != VERSION:
            raise CorruptData(f"it is of version {version!r}, this program reads {VERSION}")
        return _unpack_fields(kind, fields, payload, _Reading(only, choose, text))
    except (RecursionError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise CorruptData(f"{type(error).__name__}") from error


def _open(data: bytes) -> tuple[Any, Any, Payload]:
    whole = memoryview(data)
    if len(whole) < _LENGTH.size:
        raise CorruptData("it ends too early")
    (size,) = _LENGTH.unpack_from(whole)
    end = _LENGTH.size + size
    if end > len(whole):
        raise CorruptData("it ends too early")
    header = json.loads(bytes(whole[_LENGTH.size : end]))
    if type(header) is not list or len(header) != 2:
        raise CorruptData("its header is not one")
    return header[0], header[1], Payload(whole[end:])


class _Reading(NamedTuple):
    """What `unpack` was asked for."""

    only: Container[str] | None
    choose: Mapping[str, Choose]
    text: Text


class _Field(NamedTuple):
    name: str
    form: str
    """plain, values, rows or block."""
    hint: Any
    """The type of the value, or of an item of the list."""


@cache
def _fields(kind: type) -> tuple[_Field, ...]:
    fields = []
    for name, hint in get_type_hints(kind).items():
        if get_origin(hint) is list:
            (item,) = get_args(hint)
            fields.append(_Field(name, "rows" if _is_named_tuple(item) else "values", item))
        else:
            fields.append(_Field(name, "block" if _is_named_tuple(hint) else "plain", hint))
    return tuple(fields)


@cache
def _columns(row: type) -> tuple[tuple[str, Any, bool], ...]:
    """Name, type, and whether equal values may differ, of each column of a table of such rows."""
    return tuple((name, hint, _is_mixed(hint)) for name, hint in get_type_hints(row).items())


def _pack_fields(block: tuple[Any, ...], payload: list[bytes]) -> dict[str, Any]:
    packed: dict[str, Any] = {}
    for field, value in zip(_fields(type(block)), block, strict=True):
        if field.form == "plain":
            packed[field.name] = value
        elif field.form == "block":
            packed[field.name] = _sized(partial(_pack_fields, value), payload)
        elif value:
            if len(value) > MAX_ROWS:
                raise ValueError(f"{len(value)} rows")
            pack_list = _pack_rows if field.form == "rows" else _pack_values
            packed[field.name] = [len(value), *_sized(partial(pack_list, field.hint, value), payload)]
    return packed


def _sized(pack_into: Callable[[list[bytes]], Any], payload: list[bytes]) -> list[Any]:
    """The size of what goes into the payload, and the spec."""
    own: list[bytes] = []
    spec = pack_into(own)
    payload += own
    return [sum(map(len, own)), spec]


def _pack_rows(row: type, rows: Sequence[tuple[Any, ...]], payload: list[bytes]) -> dict[str, Spec]:
    packed = {}
    columns = _columns(row)
    for (name, _, mixed), values in zip(columns, transposed(rows, len(columns)), strict=True):
        precedence.screen.wait()
        own: list[bytes] = []
        spec = pack_column(values, own, mixed=mixed)
        packed[name] = [sum(map(len, own)), spec]
        payload += own
    return packed


def _pack_values(hint: Any, values: Sequence[Any], payload: list[bytes]) -> Spec:
    return pack_column(values, payload, mixed=_is_mixed(hint))


def _unpack_fields(kind: type[Block], packed: Any, payload: Payload, reading: _Reading) -> Block:
    only, choose, text = reading
    if type(packed) is not dict:
        raise CorruptData("its header is not one")
    known = {field.name: field for field in _fields(kind)}
    values: dict[str, Any] = {field.name: [] for field in _fields(kind) if field.form in ("values", "rows")}
    for name, spec in packed.items():
        field = known.get(name)
        if field is not None and field.form == "plain":
            values[name] = _converter(field.hint, text)(spec)
            continue
        if type(spec) is not list:  # a plain value that a later version added
            continue
        *counts, size, inner = spec
        part = Payload(payload.take(size))
        if field is None or (field.form != "block" and only is not None and name not in only):
            continue
        if field.form == "block":
            values[name] = _unpack_fields(field.hint, inner, part, reading)
            continue
        (count,) = counts
        if type(count) is not int or not 0 < count <= MAX_ROWS:
            raise CorruptData("a number of rows that can't be")
        if field.form == "rows":
            columns = Columns(field.hint, inner, count, part, text)
            values[name] = _unpack_rows(columns, partial(tuple.__new__, field.hint), choose.get(name))
        else:
            values[name] = unpack_column(inner, count, part, _converter(field.hint, text))
    return kind(**values)


class Columns:
    """A table of which a column is unpacked when it is asked for."""

    def __init__(self, row: type, packed: Any, count: int, payload: Payload, text: Text) -> None:
        if type(packed) is not dict:
            raise CorruptData("a table is missing")
        self.count = count
        self._text = text
        self._hints = {name: hint for name, hint, _ in _columns(row)}
        self._defaults: dict[str, Any] = row._field_defaults  # type: ignore[attr-defined]
        self._packed = {name: (spec, Payload(payload.take(size))) for name, (size, spec) in packed.items()}
        self._unpacked: dict[str, Sequence[Any]] = {}

    def __getitem__(self, name: str) -> Sequence[Any]:
        values = self._unpacked.get(name)
        if values is None:
            values = self._unpacked[name] = self._unpack(name)
        return values

    def all(self) -> list[Sequence[Any]]:
        return [self[name] for name in self._hints]

    def _unpack(self, name: str) -> Sequence[Any]:
        if name not in self._packed:
            return [self._defaults[name]] * self.count
        spec, payload = self._packed[name]
        return unpack_column(spec, self.count, payload, _converter(self._hints[name], self._text))


def _unpack_rows(columns: Columns, make: Callable[[Any], Any], choose: Choose | None) -> list[Any]:
    if choose is None:
        return list(map(make, zip(*columns.all(), strict=True)))
    chosen = choose(columns)
    rows: list[Any] = [None] * columns.count
    if chosen:
        parts = [list(map(values.__getitem__, chosen)) for values in columns.all()]
        for position, row in zip(chosen, map(make, zip(*parts, strict=True)), strict=True):
            rows[position] = row
    return rows


def _is_named_tuple(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def _is_mixed(hint: Any) -> bool:
    """Whether int and float, or bool and int, may stand in one place."""
    parts = get_args(hint)
    if get_origin(hint) in (Union, UnionType) and len({int, float, bool} & set(parts)) > 1:
        return True
    return any(_is_mixed(part) for part in parts)


@cache
def _converter(hint: Any, text: Text) -> Convert:
    """Makes a value of this type of what JSON holds for it."""
    if hint is Any:
        return lambda value: value
    if hint is str:
        return partial(_convert_text, text)
    if hint is int:
        return _convert_int
    if hint is float:
        return _convert_float
    if hint in (bool, NoneType):
        return partial(_convert_exact, hint)
    if get_origin(hint) in (Union, UnionType):
        return partial(_convert_union, {_json_type(part): _converter(part, text) for part in get_args(hint)})
    if _is_named_tuple(hint):
        parts = [_converter(part, text) for _, part, _ in _columns(hint)]
        return partial(_convert_row, partial(tuple.__new__, hint), parts)
    if get_origin(hint) is tuple:
        first, *rest = get_args(hint)
        if rest == [...]:
            return partial(_convert_items, _converter(first, text))
        return partial(_convert_row, tuple, [_converter(part, text) for part in (first, *rest)])
    raise TypeError(f"{hint} can't be packed")


def _json_type(hint: Any) -> type:
    if get_origin(hint) is tuple or _is_named_tuple(hint):
        return list
    assert isinstance(hint, type)
    return hint


def _convert_text(text: Text, value: Any) -> str:
    if type(value) is not str:
        raise CorruptData("a text is missing")
    return text(value)


def _convert_int(value: Any) -> int:
    if type(value) is not int or not _INT_RANGE[0] <= value <= _INT_RANGE[1]:
        raise CorruptData("a whole number is missing")
    return value


def _convert_float(value: Any) -> float:
    return _convert_int(value) if type(value) is int else _convert_exact(float, value)


def _convert_exact(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise CorruptData(f"a value of type {kind.__name__} is missing")
    return value


def _convert_union(parts: dict[type, Convert], value: Any) -> Any:
    convert = parts.get(type(value)) or (parts.get(float) if type(value) is int else None)
    if convert is None:
        raise CorruptData("a value of the wrong type")
    return convert(value)


def _convert_items(convert: Convert, value: Any) -> tuple[Any, ...]:
    if type(value) is tuple:  # a default, or from a column that was never JSON
        return value
    return tuple([convert(item) for item in _convert_exact(list, value)])


def _convert_row(make: Callable[[Any], Any], converts: Sequence[Convert], value: Any) -> Any:
    if len(_convert_exact(list, value)) != len(converts):
        raise CorruptData("a value of the wrong length")
    return make([convert(item) for convert, item in zip(converts, value, strict=True)])
