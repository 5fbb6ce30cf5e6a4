"""Charts with a time axis, drawn by plotext, as lines of styled runs.

plotext has one figure for the whole program: only for the UI thread. One chart takes 5-15 ms.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ebtop.ui.strips import Run

_COLOR = re.compile(r"\x1b\[([0-9;]*)m")
_STEPS_S = (5, 10, 15, 30, 60, 120, 300, 600)
_ROUND = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_AXES = "┤┼├"


class Series(NamedTuple):
    """One line of a chart."""

    name: str
    style: str
    points: Sequence[tuple[float, float] | None]
    """(seconds since the epoch, value), oldest first; None is a gap."""


def largest(series: Sequence[Series]) -> float:
    """Of all values; 0 without any."""
    return max((point[1] for line in series for point in line.points if point), default=0.0)


class Chart(NamedTuple):
    """What was drawn."""

    rows: tuple[tuple[Run, ...], ...]
    left: int
    """Cells before the area of the data."""
    width: int
    """Cells of it."""


def draw(
    series: Sequence[Series],
    width: int,
    height: int,
    start_s: float,
    end_s: float,
    text: Callable[[float], str],
    top: float,
    *,
    ascii_only: bool = False,
) -> Chart:
    """A chart of so many cells from one time to another. Values are labelled by `text`; `top` is the highest one."""
    import plotext

    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.theme("clear")
    plotext.plotsize(width, height)
    for number, line in enumerate(series, 1):
        for part in _unbroken(_thinned(line.points, start_s, end_s, 2 * width)):
            xs, ys = [x for x, _ in part], [y for _, y in part]
            # A lone second is a stroke from the axis.
            plotext.plot(xs, ys, marker="*" if ascii_only else "braille", color=number, fillx=len(series) == 1)
    plotext.xlim(start_s, max(end_s, start_s + 1))
    plotext.ylim(0, top)
    ticks = _time_ticks(start_s, end_s, max(1, width // 11))
    plotext.xticks(ticks, [time.strftime("%H:%M:%S" if end_s - start_s < 240 else "%H:%M", _local(t)) for t in ticks])
    plotext.yticks([0, top / 2, top], [text(0), text(top / 2), text(top)])
    plotext.xaxes(True, False)
    plotext.yaxes(True, False)
    drawn = plotext.build().rstrip("\n").split("\n")
    left = next((_COLOR.sub("", row).index(mark) + 1 for row in drawn for mark in _AXES if mark in row), 0)
    return Chart(tuple(_runs(row, series) for row in drawn), left, max(1, width - left))


def round_up(value: float, unit: int = 1000) -> float:
    """The next of 1, 2, 5, 10, ..., 500 at or above, times a power of `unit`; 1 for what is less."""
    scale = 1.0
    while value > 500 * scale:
        scale *= unit
    return next((step * scale for step in _ROUND if step * scale >= value), scale)


def _thinned(
    points: Sequence[tuple[float, float] | None], start_s: float, end_s: float, columns: int
) -> list[tuple[float, float] | None]:
    """At most one point a column, the highest: a burst of one second must be seen."""
    kept: list[tuple[float, float] | None] = []
    scale, last = columns / max(1e-9, end_s - start_s), -1
    for point in points:
        before = kept[-1] if kept else None
        column = int((point[0] - start_s) * scale) if point else -1
        if point is None or before is None or column != last:
            kept.append(point)
        elif point[1] > before[1]:
            kept[-1] = point
        last = column
    return kept


def _unbroken(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """The parts between gaps."""
    parts: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is not None:
            parts[-1].append(point)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _time_ticks(start_s: float, end_s: float, most: int) -> list[float]:
    """Round times within, at most so many."""
    span = max(1.0, end_s - start_s)
    step = next((step for step in _STEPS_S if span / step <= most), _STEPS_S[-1])
    first = -(-start_s // step) * step
    return [first + n * step for n in range(int((end_s - first) // step) + 1)] if first <= end_s else [start_s]


def _local(seconds: float) -> time.struct_time:
    return time.localtime(int(seconds))


def _runs(row: str, series: Sequence[Series]) -> tuple[Run, ...]:
    """A row with colours as runs: axis and labels are dim, data has the style of its series."""
    runs: list[Run] = []
    style, at = "dim", 0
    for code in _COLOR.finditer(row):
        if code.start() > at:
            runs.append((row[at : code.start()], style))
        at = code.end()
        number = int(code[1].rpartition(";")[2] or 0) if code[1].startswith("38;5;") else 0
        style = series[number - 1].style if 0 < number <= len(series) else "dim"
    if at < len(row):
        runs.append((row[at:], style))
    return tuple(runs)
