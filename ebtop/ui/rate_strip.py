"""One line with the last minute of a rate, second by second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ebtop.ui.braille import area_chart
from ebtop.ui.strips import DrawingApp, Line, StripWidget
from ebtop.units import count, rate

_SECONDS = 60


class RateStrip(StripWidget):
    DEFAULT_CSS = "RateStrip { height: 1; }"

    def __init__(self, unit: str, style: str = "warn") -> None:
        """`unit`: "segments/s"."""
        super().__init__(classes="body")
        self._unit = unit
        self._style = style
        self._values: Sequence[int] = ()

    def show(self, values: Sequence[int]) -> None:
        """One value for each second, the last one just over."""
        self._values = values[-_SECONDS:]
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        values = self._values
        if not values:
            return [Line(((" counting …", "faint"),))]
        span = "1 min" if len(values) == _SECONDS else f"{len(values)} s"
        if not any(values):
            return [Line(((f" none in the last {span}", "faint"),))]
        ascii_only = cast("DrawingApp", self.app).ascii_only
        (chart,) = area_chart(values, min(_SECONDS // 2, max(1, width - 44)), 1, ascii_only=ascii_only)
        told = f"peak {rate(max(values))} {self._unit}, {count(sum(values))} in {span}"
        return [Line(((" ", "text"), (chart, self._style), (f"  {told}", "dim")))]
