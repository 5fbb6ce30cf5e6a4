"""Reads pprof profiles by the rules of profile.proto, and of Parca. Shares nothing with what writes them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any, NamedTuple


class PprofProfile(NamedTuple):
    strings: list[str]
    sample_types: list[tuple[str, str]]
    samples: list[tuple[tuple[str, ...], tuple[int, ...], dict[str, str]]]
    """(names of the frames, the one that ran first; values; labels)."""
    locations: list[dict[int, list[Any]]]
    mappings: list[dict[int, list[Any]]]
    functions: list[dict[int, list[Any]]]
    comments: list[str]
    top: dict[int, list[Any]]


def read_pprof(data: bytes) -> PprofProfile:
    """Fails on whatever google/pprof (CheckValid) or Parca (validate.go) would refuse."""
    top = _fields(gzip.decompress(data))
    strings = [text.decode() for text in top[6]]
    assert strings[0] == ""
    types = [_fields(each) for each in top[1]]
    mappings, locations, functions = ([_fields(each) for each in top.get(field, [])] for field in (3, 4, 5))
    for table in (mappings, locations, functions):
        assert [each[1][0] for each in table] == list(range(1, len(table) + 1))
    for location in locations:
        assert 0 <= location.get(2, [0])[0] <= len(mappings)
        for line in location.get(4, []):
            assert 1 <= _fields(line)[1][0] <= len(functions)
    for message, fields in ((mappings, (5, 6)), (functions, (2, 3, 4))):
        for each in message:
            assert all(0 <= each.get(field, [0])[0] < len(strings) for field in fields)

    def name(location_id: int) -> str:
        location = locations[location_id - 1]
        if 4 not in location:
            return f"{strings[mappings[location[2][0] - 1][5][0]]}+{location[3][0]:#x}"
        return strings[functions[_fields(location[4][0])[1][0] - 1].get(2, [0])[0]]

    samples = []
    for each in top.get(2, []):
        sample = _fields(each)
        values = tuple(_varints(sample[2][0]))
        assert len(values) == len(types)
        labels = {}
        for label in map(_fields, sample.get(3, [])):
            assert label[1][0]
            labels[strings[label[1][0]]] = strings[label[2][0]]
        samples.append((tuple(map(name, _varints(sample[1][0]))), values, labels))
    return PprofProfile(
        strings,
        [(strings[each[1][0]], strings[each[2][0]]) for each in types],
        samples,
        locations,
        mappings,
        functions,
        [strings[n] for n in _varints(top[13][0])],
        top,
    )


def _fields(data: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
        else:
            assert tag & 7 == 2
            size, at = _varint(data, at)
            value = data[at : at + size]
            assert len(value) == size
            at += size
        found.setdefault(tag >> 3, []).append(value)
    return found


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return value, at
