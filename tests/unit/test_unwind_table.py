"""Rows and pages: every address finds its rule, whatever the layout of functions."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebtop.process.elf import ElfError
from ebtop.unwind.rule import GAP, LAYOUT, SIGNAL, STOP, UNSUPPORTED, Cfa, FramePointer, Rule, RuleSet
from ebtop.unwind.table import PAGES_MAX, TableBuilder, UnwindTable

RULES = RuleSet()
NUMBERS = [RULES.index(Rule(Cfa.REGISTER, 7, cfa_offset=8 * n)) for n in range(1, 9)]
PACKED = RULES.pack()

steps = st.lists(st.tuples(st.integers(1, 9000), st.sampled_from(NUMBERS)), max_size=6)
layouts = st.lists(
    st.tuples(st.integers(0, 20_000), st.sampled_from(NUMBERS), steps, st.integers(1, 9000)), min_size=1, max_size=12
)


def laid_out(
    first: int, layout: list[tuple[int, int, list[tuple[int, int]], int]]
) -> tuple[UnwindTable, dict[int, int]]:
    """A table, and the rule numbers that it must give: at each address where something begins."""
    builder = TableBuilder()
    expected = {}
    at = first
    for gap, rule, changes, tail in layout:
        start = at + gap
        expected[at] = 0
        program, offset = [rule], 0
        for step, number in changes:
            offset += step
            program.append(offset << 16 | number)
        for row in program:
            expected[start + (row >> 16)] = row & 0xFFFF
        at = start + offset + tail
        builder.add(start, at, program)
    expected[at] = 0
    return builder.build(PACKED), expected


@given(first=st.integers(1, 1 << 34), layout=layouts)
def test_every_address_finds_its_rule(first: int, layout: list[tuple[int, int, list[tuple[int, int]], int]]) -> None:
    table, expected = laid_out(first, layout)
    numbers = {Rule._make(rule): n for n, rule in enumerate(LAYOUT.iter_unpack(table.rules))}
    ends = sorted(expected)
    for start, end in [*pairwise(ends), (ends[-1], ends[-1] + 5000)]:
        for address in {start, (start + end) // 2, end - 1, min(start | 4095, end - 1), max(start, end & ~4095)} - {
            end
        }:
            assert numbers[table.rule(address)] == expected[start], hex(address)
    assert table.rule(ends[0] - 1) == GAP
    assert table.rule(0) == GAP
    assert table.rule(1 << 47) == GAP


@given(first=st.integers(1, 1 << 34), layout=layouts)
def test_what_the_kernel_relies_on(first: int, layout: list[tuple[int, int, list[tuple[int, int]], int]]) -> None:
    table, _ = laid_out(first, layout)
    rows = memoryview(table.rows).cast("I")
    spans = [(span & 0xFFFFFFFF, span >> 32) for (span,) in struct.iter_unpack("=Q", table.pages)]
    assert sum(count for _, count in spans) == len(rows)
    for page, (low, count) in enumerate(spans, table.first_page):
        if count:
            lows = [rows[low + i] >> 16 for i in range(count)]
            assert lows == sorted(set(lows))
            assert lows[0] == page << 12 & 0xFFFF, "the first row of a page starts it"
            assert lows[-1] < (page << 12 & 0xFFFF) + 4096
    assert all((row & 0xFFFF) * LAYOUT.size < len(table.rules) for row in rows)


def test_rows_behind_a_functions_end_do_not_count() -> None:
    builder = TableBuilder()
    builder.add(0x1010, 0x1020, [NUMBERS[0], 8 << 16 | NUMBERS[1], 16 << 16 | NUMBERS[2], 99999 << 16 | NUMBERS[3]])
    table = builder.build(PACKED)
    assert table.rule(0x101F).cfa_offset == 16
    assert table.rule(0x1020) == GAP


def test_functions_too_far_apart_are_refused() -> None:
    builder = TableBuilder()
    builder.add(0x1000, 0x1010, [NUMBERS[0]])
    with pytest.raises(ElfError, match="more code"):
        builder.add((PAGES_MAX << 12) + 0x1000, (PAGES_MAX << 12) + 0x1010, [NUMBERS[0]])


def test_a_table_of_nothing() -> None:
    table = TableBuilder().build(PACKED, left_out=3)
    assert (table.pages, table.rows, table.left_out) == (b"", b"", 3)
    assert table.rule(0x1000) == GAP


def test_bytes_of_rules() -> None:
    rule = Rule(Cfa.DEREF, 6, FramePointer.AT_CFA, 3, -8, 1 << 30, -16)
    assert rule.pack() == bytes([2, 6, 1, 3]) + struct.pack("=iii", -8, 1 << 30, -16)
    assert len(rule.pack()) == 16
    assert GAP.pack() == bytes(16)


def test_rules_are_kept_once_and_the_first_is_gap() -> None:
    rules = RuleSet()
    assert rules.index(GAP) == 0
    numbers = [rules.index(rule) for rule in (STOP, SIGNAL, STOP, UNSUPPORTED)]
    assert numbers[0] == numbers[2]
    assert len(set(numbers)) == 3
    packed = rules.pack()
    assert packed[numbers[1] * 16 :][:16] == SIGNAL.pack()


@pytest.mark.parametrize(
    "rule",
    [
        Rule(Cfa.REGISTER, 7, cfa_offset=1 << 31),
        Rule(Cfa.REGISTER, 7, cfa_offset=-(1 << 31) - 1),
        Rule(Cfa.REGISTER, 256),
        Rule(Cfa.REGISTER, 7, return_address=300),
        Rule(Cfa.REGISTER, 7, FramePointer.AT_CFA, frame_pointer_offset=1 << 40),
    ],
)
def test_what_does_not_fit_is_unsupported(rule: Rule) -> None:
    rules = RuleSet()
    assert rules.index(rule) == rules.index(UNSUPPORTED)


def test_more_rules_than_fit() -> None:
    rules = RuleSet()
    for n in range(RuleSet.LIMIT + 10):
        number = rules.index(Rule(Cfa.REGISTER, 7, cfa_offset=n))
    assert number == rules.index(UNSUPPORTED)
    assert len(rules.pack()) == RuleSet.LIMIT * 16
