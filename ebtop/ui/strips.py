"""StripWidget: the base of everything that changes every second.

A subclass describes each visible line as a `Line` of styled runs. Lines equal to what is on screen are neither built
nor sent again, the others when the app's pacer has room for them. Finished strips bypass Textual's styles cache, so
borders and padding belong to a container.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

from rich.color import Color, ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ebtop.ui.cells import cells, cut
from ebtop.ui.glyphs import to_ascii
from ebtop.ui.pacing import Pacer
from ebtop.ui.palette import Palette

Run = tuple[str, str]
"""Text and the name of its style."""

_STYLE_BYTES = 20
"""Of the escape sequence that changes the style."""


class Line(NamedTuple):
    """One screen line; it is filled up with blanks of its ground, or cut, to the width of the widget."""

    runs: tuple[Run, ...] = ()
    ground: str = "base"


class DrawingApp(Protocol):
    """What a StripWidget needs of its app."""

    palette: Palette
    ascii_only: bool


class LeanStrip(Strip):
    """A Strip that sends only what differs from the segment before, with one reset at the end."""

    __slots__ = ()

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        """As its base, which remembers that a whole strip is the only part of itself: a cycle for every line drawn."""
        cuts = [cut for cut in cuts if cut <= self.cell_length]
        return [self] if cuts == [self.cell_length] else super().divide(cuts)

    def render(self, console: Console) -> str:
        if self._render_cache is None:
            system = console._color_system or ColorSystem.TRUECOLOR
            out: list[str] = []
            last: Style | None = None
            for text, style, _ in self._segments:
                if style is not None and style is not last:
                    out.append(_change(last, style, system))
                last = style
                out.append(text)
            out.append("\x1b[0m")
            self._render_cache = "".join(out)
        return self._render_cache


@lru_cache(4096)
def _change(last: Style | None, style: Style, system: ColorSystem) -> str:
    """The escape sequence from one style to another; a colour that stays is not sent again."""
    if last is None or not _differ_in_colours_alone(last, style):
        return f"\x1b[0;{codes}m" if (codes := style._make_ansi_codes(system)) else "\x1b[0m"
    changed = (*_colour(last.color, style.color, system, True), *_colour(last.bgcolor, style.bgcolor, system, False))
    return f"\x1b[{';'.join(changed)}m" if changed else ""


def _differ_in_colours_alone(last: Style, style: Style) -> bool:
    return last.without_color == style.without_color


def _colour(last: Color | None, colour: Color | None, system: ColorSystem, foreground: bool) -> Sequence[str]:
    if colour == last:
        return ()
    if colour is None:
        return ("39",) if foreground else ("49",)
    return colour.downgrade(system).get_ansi_codes(foreground)


class StripWidget(Widget):
    ALLOW_SELECT = False
    DEFAULT_CSS = "StripWidget { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._strips: list[Strip] = []
        self._drawn_in: Palette | None = None
        self.lines_drawn = 0
        """Lines built since the start; tests and benchmarks read it."""

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """Every visible line, at most `height`."""
        raise NotImplementedError

    @property
    def palette(self) -> Palette:
        return cast("DrawingApp", self.app).palette

    @property
    def shown(self) -> bool:
        """Whether drawing now would reach the screen."""
        return self.is_mounted and bool(self.size.area) and self.display and self.screen.is_current

    def redraw(self) -> None:
        """Describe the lines anew and send those that changed; does nothing while hidden."""
        if self.shown:
            self._put()
        else:
            self._lines = []

    def text_lines(self) -> list[str]:
        """What is on screen, for tests."""
        return [strip.text for strip in self._strips]

    def on_resize(self, event: events.Resize) -> None:
        self._lines = []
        self.redraw()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Nothing: what shows that it has the focus are its lines, not rules that would have to be looked for."""

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [f for f in super().get_line_filters() if not isinstance(f, ANSIToTruecolor)]

    def render_line(self, y: int) -> Strip:
        return self._strips[y]

    def render_lines(self, crop: Region) -> list[Strip]:
        if not self._lines:
            self._put()
        strips = self._strips[crop.y : crop.bottom]
        width = self.size.width
        strips += [self._strip(Line(), width)] * (crop.height - len(strips))
        if crop.x or crop.width != width:
            strips = [strip.crop(crop.x, crop.right) for strip in strips]
        for line_filter in self.get_line_filters():
            strips = [strip.apply_filter(line_filter, self.background_colors[1]) for strip in strips]
        return strips

    def _put(self) -> None:
        width, height = self.size
        new = list(self.lines(width, height))[:height]
        new += [Line()] * (height - len(new))
        if len(self._lines) != height or len(self._strips) != height or self._drawn_in is not self.palette:
            self._drawn_in = self.palette
            self._lines, self._strips = new, [self._strip(line, width) for line in new]
            self.lines_drawn += height
            super().refresh()
            return
        changed = [y for y in range(height) if new[y] != self._lines[y]]
        for y in changed:
            self._lines[y], self._strips[y] = new[y], self._strip(new[y], width)
        self.lines_drawn += len(changed)
        pacer: Pacer | None = getattr(self.app, "pacer", None)
        if pacer is None:
            self.send(changed)
        elif changed:
            pacer.show(self, changed)

    def send(self, lines: Sequence[int]) -> None:
        """Have these lines drawn, in ascending order, as they are when the screen is refreshed next."""
        width, height = self.size
        if regions := [Region(0, y, width, rows) for y, rows in _adjacent([y for y in lines if y < height])]:
            super().refresh(*regions)

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> StripWidget:
        """As of every widget; but that something has changed, as the focus, is no reason to send what has not."""
        if repaint and self._lines and self.shown and not (regions or layout or recompose):
            self._put()
            return self
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def cost(self, line: int) -> int:
        """About how many bytes a line takes on the wire."""
        if line >= len(self._strips):
            return 0
        segments = self._strips[line]._segments
        return self.size.width + _STYLE_BYTES * (len(segments) + 1)

    def _strip(self, line: Line, width: int) -> Strip:
        ascii_only = cast("DrawingApp", self.app).ascii_only
        style, ground = self.palette.style, line.ground
        segments: list[Segment] = []
        used = 0
        for text, name in line.runs:
            wide = cells(text)
            if used + wide > width:
                text, wide = cut(text, width - used), width - used
            if wide:
                segments.append(Segment(to_ascii(text) if ascii_only else text, style(name, ground)))
                used += wide
        if used < width:
            segments.append(Segment(" " * (width - used), style("text", ground)))
        return LeanStrip(segments, width)


def width_of(runs: Sequence[Run]) -> int:
    """Terminal cells that runs take."""
    return sum([cells(text) for text, _ in runs])


def spread(left: Sequence[Run], right: Sequence[Run], width: int, ground: str) -> Line:
    """A line with one part at each end; the left one is cut where they would meet."""
    room = width - width_of(right)
    kept: list[Run] = []
    for text, name in left:
        wide = cells(text)
        kept.append((fit(text, room) if wide > room else text, name))
        room = max(0, room - wide)
    return Line((*kept, (" " * room, "text"), *right), ground)


def fit(text: str, width: int, *, right: bool = False, middle: bool = False) -> str:
    """Text in exactly `width` cells: padded on one side, or shortened at its end or in its middle with an ellipsis."""
    if width <= 0:
        return ""
    wide = cells(text)
    if wide <= width:
        pad = " " * (width - wide)
        return pad + text if right else text + pad
    if middle and width > 8 and text.isascii():
        tail = min(width // 2, 8)
        return f"{text[: width - tail - 1]}…{text[-tail:]}"
    return cut(text, width - 1) + "…"


def _adjacent(ys: list[int]) -> list[tuple[int, int]]:
    """Line numbers as (first, how many): [3, 4, 5, 9] -> [(3, 3), (9, 1)]."""
    spans: list[tuple[int, int]] = []
    for y in ys:
        if spans and sum(spans[-1]) == y:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((y, 1))
    return spans
