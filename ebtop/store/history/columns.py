"""One column of a table as bytes: equal and neighbouring values lie together, so that little is left of them.

A column is a spec, which goes into the JSON header of its block, and numbers, which go into the block's payload:

    ["=", value]                  every row has this value
    ["d", distinct, width]        positions among a few distinct values
    ["i", least, width]           whole numbers, what they are above the least
    ["+", first, least, width]    whole numbers, what each is above the one before, above the least such step
    ["f", scale, column]          numbers with a fraction that are whole ones divided by scale
    ["r"]                         doubles
    ["n", mask, column]           None where the mask is false
    ["j", values]                 anything

Numbers of `width` bytes are unsigned, little-endian, and split by the weight of their bytes: all lowest bytes first.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, chain, compress
from operator import eq, sub
from typing import Any

from ebtop.store.history.corrupt import CorruptData

Spec = list[Any]
Convert = Callable[[Any], Any]

MAX_ROWS = 1 << 20

_TYPECODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SAMPLE = 64
_SCALES = (1e9, 1e6)
"""Times and durations were nanoseconds once."""
_LEAST_INT, _GREATEST_INT = -(1 << 63), (1 << 64) - 1


class Payload:
    """The numbers of a block, taken in the order they were put in."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def take(self, size: int) -> memoryview:
        end = self._position + size
        if size < 0 or end > len(self._data):
            raise CorruptData("it ends too early")
        part = self._data[self._position : end]
        self._position = end
        return part


def transposed(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """The columns of rows of `width` values. zip(*rows) would make an object for each row, and wake the collector."""
    flat = list(chain.from_iterable(rows))
    return [flat[column::width] for column in range(width)]


def pack_column(values: Sequence[Any], payload: list[bytes], *, mixed: bool = False) -> Spec:
    """At least one value. `mixed`: values that are equal need not be the same, as 1, 1.0 and True."""
    if mixed:
        return ["j", list(values)]
    count, first = len(values), values[0]
    if values[-1] == first and values[count // 2] == first and values.count(first) == count:
        return ["=", first]
    if _seems_repetitive(values):
        distinct = {value: position for position, value in enumerate(dict.fromkeys(values))}
        if len(distinct) <= count // 2:
            width = _width(len(distinct) - 1)
            payload.append(_pack_unsigned(map(distinct.__getitem__, values), width))
            return ["d", list(distinct), width]
    kinds = set(map(type, values))
    if kinds == {int}:
        return _pack_ints(values, payload)
    if kinds <= {int, float}:
        return _pack_floats(values, payload)
    if kinds <= {int, float, type(None)}:
        mask = [value is not None for value in values]
        return ["n", pack_column(mask, payload), pack_column(list(compress(values, mask)), payload)]
    return ["j", list(values)]


def unpack_column(spec: Any, count: int, payload: Payload, convert: Convert) -> list[Any]:
    """The values; each passes `convert`, which raises CorruptData for what does not belong in the column."""
    match spec:
        case ["=", value]:
            return [convert(value)] * count
        case ["d", list(distinct), width]:
            values = [convert(value) for value in distinct]
            try:
                return list(map(values.__getitem__, _unpack_unsigned(payload, count, width)))
            except IndexError:
                raise CorruptData("a value is missing") from None
        case ["i", int(least), width]:
            _check_ints(least, convert)
            numbers = _unpack_unsigned(payload, count, width)
            return [least + number for number in numbers] if least else numbers.tolist()
        case ["+", int(first), int(least), width]:
            _check_ints(first, convert)
            steps = [least + number for number in _unpack_unsigned(payload, count - 1, width)]
            return _in_range(list(accumulate(steps, initial=first)))
        case ["f", (float() | int()) as scale, column] if scale in _SCALES:
            convert(0.5)
            return [value / scale for value in unpack_column(column, count, payload, _whole_number)]
        case ["r"]:
            doubles = array("d")
            doubles.frombytes(payload.take(8 * count))
            _to_native(doubles)
            return [convert(value) for value in doubles]
        case ["n", mask, column]:
            convert(None)
            present = unpack_column(mask, count, payload, _truth)
            dense = iter(unpack_column(column, sum(present), payload, convert) if any(present) else ())
            return [next(dense) if is_present else None for is_present in present]
        case ["j", list(plain)] if len(plain) == count:
            return [convert(value) for value in plain]
    raise CorruptData("a column of an unknown form")


def _seems_repetitive(values: Sequence[Any]) -> bool:
    sample = values[:: max(1, len(values) // _SAMPLE)]
    return len(set(sample)) <= len(sample) * 0.7


def _pack_ints(values: Sequence[int], payload: list[bytes]) -> Spec:
    least, greatest = min(values), max(values)
    if greatest - least > _GREATEST_INT or least < _LEAST_INT or greatest > _GREATEST_INT:
        return ["j", list(values)]
    steps = list(map(sub, values[1:], values))
    least_step, greatest_step = min(steps), max(steps)
    if (greatest_step - least_step) * 4 <= greatest - least:
        width = _width(greatest_step - least_step)
        payload.append(_pack_unsigned([step - least_step for step in steps], width))
        return ["+", values[0], least_step, width]
    width = _width(greatest - least)
    payload.append(_pack_unsigned([value - least for value in values], width))
    return ["i", least, width]


def _pack_floats(values: Sequence[float], payload: list[bytes]) -> Spec:
    for scale in _SCALES:
        whole = _scaled(values[:_SAMPLE], scale) and _scaled(values, scale)
        if whole:
            return ["f", scale, pack_column(whole, payload)]
    doubles = array("d", values)
    _to_native(doubles)
    payload.append(doubles.tobytes())
    return ["r"]


def _scaled(values: Sequence[float], scale: float) -> list[int] | None:
    """Whole numbers that divided by `scale` are exactly the values; None where there are no such numbers."""
    try:
        whole = [round(value * scale) for value in values]
    except (OverflowError, ValueError):  # inf, nan
        return None
    return whole if all(map(eq, values, [number / scale for number in whole])) else None


def _width(greatest: int) -> int:
    return next(width for width in _TYPECODES if greatest < 1 << (8 * width))


def _pack_unsigned(values: Any, width: int) -> bytes:
    numbers = array(_TYPECODES[width], values)
    _to_native(numbers)
    data = numbers.tobytes()
    return data if width == 1 else b"".join([data[weight::width] for weight in range(width)])


def _unpack_unsigned(payload: Payload, count: int, width: Any) -> array[int]:
    if width not in _TYPECODES:
        raise CorruptData("numbers of an unknown width")
    data = payload.take(count * width)
    numbers = array(_TYPECODES[width])
    if width > 1:
        whole = bytearray(len(data))
        for weight in range(width):
            whole[weight::width] = data[weight * count : (weight + 1) * count]
        numbers.frombytes(whole)
    else:
        numbers.frombytes(data)
    _to_native(numbers)
    return numbers


def _to_native(numbers: array[Any]) -> None:
    if sys.byteorder == "big":
        numbers.byteswap()


def _whole_number(value: Any) -> int:
    if type(value) is not int:
        raise CorruptData("a number is missing")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise CorruptData("a mark is missing")
    return value


def _check_ints(first: int, convert: Convert) -> None:
    convert(first)
    _in_range([first])


def _in_range(values: list[int]) -> list[int]:
    if min(values) < _LEAST_INT or max(values) > _GREATEST_INT:
        raise CorruptData("a number is out of range")
    return values
