"""One value over time as a small SVG element, for a page that has `STYLE`."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.export.escape import xml
from ebtop.export.report import Chart
from ebtop.export.timestamps import rfc3339
from ebtop.store.evidence import Note
from ebtop.units import percent, rate, size

STYLE = """
svg.chart{font:11px ui-monospace,monospace;width:100%;max-width:1200px;height:auto}
.chart text{fill:currentColor}
.chart .area{fill:#7faded;fill-opacity:.5;stroke:#2f6fde;stroke-width:1}
.chart .axis{stroke:#8a93a3;stroke-width:.5}
.chart .note{stroke:#c23b31;stroke-width:1;stroke-dasharray:3 2}
"""
_WIDTH, _HEIGHT, _TOP, _BOTTOM = 1200, 110, 18, 16


def chart_svg(chart: Chart, notes: Sequence[Note]) -> str:
    """Each point is the most in its stretch of time; notes are dashed lines."""
    points = _thinned(chart.points)
    first, last = points[0][0], points[-1][0]
    highest = max(value for _, value in points)
    scale = highest or 1.0
    span, floor = max(1, last - first), _HEIGHT - _BOTTOM

    def x(time_ns: int) -> float:
        return (time_ns - first) * _WIDTH / span

    line = " ".join([f"{x(t):.1f},{floor - value * (floor - _TOP) / scale:.1f}" for t, value in points])
    most, mean = _value(highest, chart.unit), _value(sum(v for _, v in chart.points) / len(chart.points), chart.unit)
    marks = [
        f'<line class="note" x1="{x(note.time_ns):.1f}" x2="{x(note.time_ns):.1f}" y1="{_TOP}" y2="{floor}">'
        f"<title>{xml(note.text)}</title></line>"
        for note in notes
        if first <= note.time_ns <= last
    ]
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{xml(chart.title)}">'
        f'<text x="0" y="12">{xml(chart.title)}: at most {most}, {mean} on average</text>'
        f'<polygon class="area" points="0,{floor} {line} {_WIDTH},{floor}"/>'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{floor}" y2="{floor}"/>{"".join(marks)}'
        f'<text x="0" y="{_HEIGHT - 3}">{rfc3339(first)[11:19]}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 3}" text-anchor="end">{rfc3339(last)[11:19]} UTC</text></svg>'
    )


def _thinned(points: Sequence[tuple[int, float]], most: int = 400) -> list[tuple[int, float]]:
    step = -(-len(points) // most)
    return [
        (points[at][0], max(value for _, value in points[at : at + step])) for at in range(0, len(points), max(1, step))
    ]


def _value(value: float, unit: str) -> str:
    if unit == "%":
        return percent(value)
    return f"{size(value)}B/s" if unit == "B/s" else f"{rate(value)} {unit}"
