"""Around an address lie others that the same function covers: what is found for one is taken for all of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebtop.symbols.binary import Binary
from ebtop.symbols.packed import PackedStrings
from ebtop.symbols.table import SymbolTable, TableBuilder
from tests.unit.symbols_samples import compiled, load, stripped

BASE, REACH = 0x1000, 60


def table(functions: list[tuple[int, int]]) -> SymbolTable:
    strings = PackedStrings()
    builder = TableBuilder(BASE, strings)
    for number, (start, size) in enumerate(functions):
        builder.add(BASE + start, size, strings.append(b"f%d\0" % number))
    return builder.build()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, REACH), st.integers(1, 20)), max_size=25))
def test_all_of_an_extent_has_the_name_of_the_address(functions: list[tuple[int, int]]) -> None:
    """Beside each other, nested, overlapping, of the same start."""
    made = table(functions)
    for address in range(BASE, BASE + REACH + 30):
        begin, end = made.extent(address)
        assert begin <= address < end
        inside = range(max(begin, BASE - 5), min(end, BASE + REACH + 60))
        assert {made.name(at) for at in inside} == {made.name(address)}


def answer(binary: Binary, address: int) -> object:
    return binary.name(address) or binary.function_start(address)


@pytest.mark.parametrize("flags", [(), ("-static",), ("-shared", "-fPIC")], ids=["program", "static", "library"])
@pytest.mark.parametrize("strip", [False, True], ids=["symbols", "stripped"])
def test_of_a_real_file_as_well(flags: tuple[str, ...], strip: bool) -> None:
    path = compiled("extent" + "".join(flags), *flags)
    binary = load(stripped(path) if strip else path)
    first, size = next((s.address, s.file_size) for s in binary._segments if s.flags & 1)
    draw = random.Random(1)
    widths = []
    for _ in range(400):
        address = first + draw.randrange(size)
        begin, end = binary.extent(address)
        assert begin <= address < end
        widths.append(end - begin)
        for at in {begin, end - 1, draw.randrange(begin, end)}:
            assert answer(binary, at) == answer(binary, address), (hex(begin), hex(at), hex(address), hex(end))
    assert max(widths) > 16
