"""Small charts in characters: two values a cell, four dots a row. For what changes every second."""

from __future__ import annotations

from collections.abc import Sequence

_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
"""Dots of the left half of a cell filled from below: none to four."""
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
_ASCII = " .:|"


def area_chart(
    values: Sequence[float | None], width: int, height: int, top: float | None = None, *, ascii_only: bool = False
) -> list[str]:
    """Rows of text, topmost first, for the latest `2 * width` values; the last one stands at the right end.

    `top` fills the whole height, by default the largest value. A value above 0 has at least one dot, None leaves a
    gap. With `ascii_only` a cell shows the larger of its two values, in thirds of a row.
    """
    shown: list[float | None] = [None] * max(0, 2 * width - len(values))
    shown += values[-2 * width :]
    known = [value for value in shown if value is not None]
    full = max(known, default=0.0) if top is None else top
    steps = 3 if ascii_only else 4
    levels = [_level(value, full, steps * height) for value in shown]
    pairs = list(zip(levels[::2], levels[1::2], strict=True))
    rows = []
    for row in range(height - 1, -1, -1):
        base = row * steps
        if ascii_only:
            rows.append("".join([_ASCII[_within(max(pair) - base, steps)] for pair in pairs]))
        else:
            rows.append("".join([_cell(_within(a - base, 4), _within(b - base, 4)) for a, b in pairs]))
    return rows


def _level(value: float | None, full: float, levels: int) -> int:
    if value is None or value <= 0 or full <= 0:
        return 0
    return max(1, min(levels, round(value / full * levels)))


def _within(level: int, steps: int) -> int:
    return max(0, min(steps, level))


def _cell(left: int, right: int) -> str:
    return chr(0x2800 + _LEFT[left] + _RIGHT[right]) if left or right else " "
