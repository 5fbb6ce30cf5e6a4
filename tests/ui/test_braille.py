from __future__ import annotations

import random

import pytest

from ebtop.ui.braille import area_chart
from ebtop.ui.charts import Series, draw, round_up
from ebtop.ui.strips import width_of


def dots(rows: list[str]) -> list[int]:
    """How high each column of dots is, counted from the characters alone."""
    left, right = (0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)
    heights = []
    for x in range(len(rows[0])):
        cells = [ord(row[x]) - 0x2800 if row[x] != " " else 0 for row in rows]
        heights += [sum(bool(cell & bit) for cell in cells for bit in half) for half in (left, right)]
    return heights


def test_heights_are_exact() -> None:
    assert dots(area_chart([0, 1, 2, 3, 4, 5, 6, 7, 8, 8], 5, 2, 8.0)) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert area_chart([4, 4], 1, 1, 4.0) == ["⣿"]
    assert area_chart([1, 4], 1, 1, 4.0) == ["⣸"]


def test_columns_are_filled_from_below() -> None:
    values = [random.Random(1).uniform(0, 50) for _ in range(40)]
    rows = area_chart(values, 20, 3)
    for x in range(20):
        column = [row[x] for row in rows]
        filled = [cell != " " for cell in column]
        assert filled == sorted(filled), "nothing hangs in the air"
    assert max(dots(rows)) == 12


def test_little_is_not_nothing_and_too_much_is_the_top() -> None:
    assert dots(area_chart([0.0001, 0, None, 1e9, -3, 5], 3, 2, 10.0)) == [1, 0, 0, 8, 0, 4]


def test_the_latest_stand_at_the_right() -> None:
    assert dots(area_chart([9, 9, 9, 1, 2], 1, 1, 4.0)) == [1, 2]
    assert dots(area_chart([4], 2, 1, 4.0)) == [0, 0, 0, 4]


@pytest.mark.parametrize("values", [[], [0, 0], [None, None]])
def test_nothing_is_blank(values: list[float | None]) -> None:
    assert area_chart(values, 3, 2) == ["   ", "   "]


def test_ascii_shows_the_larger_of_two_in_thirds() -> None:
    assert area_chart([1, 0, 2, 1, 3, 3, 0, 6], 4, 2, 6.0, ascii_only=True) == ["   |", ".:||"]


def test_round_numbers_at_the_top() -> None:
    assert [round_up(v) for v in (0, 0.3, 1, 1.2, 37, 100, 101, 999, 1500)] == [1, 1, 1, 2, 50, 100, 200, 1000, 2000]
    assert [round_up(v, 1024) for v in (600, 1500, 3 * 2**20)] == [1024, 2048, 5 * 2**20]


def test_a_chart_has_axes_times_and_a_gap() -> None:
    start = 1_700_000_000.0
    points = [(start + n, 50.0) for n in range(100)] + [None] + [(start + n, 50.0) for n in range(200, 300)]
    chart = draw([Series("cpu", "warn", points)], 100, 10, start, start + 299, lambda v: f"{v:.0f} %", 100.0)
    rows = ["".join(text for text, _ in row) for row in chart.rows]
    assert len(rows) == 10
    assert all(width_of(row) <= 100 for row in chart.rows)
    assert rows[0].startswith("100 %┤")
    assert "50 %┤" in "".join(rows)
    assert chart.left == 6
    data = [(text, style) for text, style in chart.rows[7] if style == "warn"]
    assert data, "drawn in the style of its series"
    line = rows[7][chart.left :]
    third = chart.width // 3
    assert line[: third - 2].strip()
    assert line[third + 2 : 2 * third - 2].strip() == "", "where nothing was remembered nothing is drawn"
    assert line[2 * third + 2 :].strip()
    assert "22:1" in rows[-1]


def test_a_chart_in_ascii() -> None:
    points = [(float(n), float(n)) for n in range(60)]
    chart = draw([Series("a", "good", points)], 60, 8, 0.0, 59.0, str, 100.0, ascii_only=True)
    drawn = "".join(text for row in chart.rows for text, style in row if style == "good")
    assert set(drawn) == {"*"}
