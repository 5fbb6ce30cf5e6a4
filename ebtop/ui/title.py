"""The title line of a pane: its number, name and rate at the left, its trust figures at the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual import events
from textual.message import Message

from ebtop.ui.strips import Line, Run, StripWidget, spread, width_of


class Figure(NamedTuple):
    """One figure of a title line."""

    text: str
    style: str = "dim"
    rank: int = 1
    """Figures of the highest rank go first where the line is too short."""


class TitleLine(StripWidget):
    DEFAULT_CSS = "TitleLine { height: 1; }"

    class Clicked(Message):
        """The title was clicked."""

        def __init__(self, title: TitleLine) -> None:
            super().__init__()
            self.title = title

    def __init__(self, key: str, heading: str) -> None:
        super().__init__()
        self.key = key
        self.heading = heading
        self.chosen = False
        self._left: Sequence[Figure] = ()
        self._right: Sequence[Figure] = ()

    def show(self, left: Sequence[Figure], right: Sequence[Figure]) -> None:
        self._left, self._right = left, right
        self.redraw()

    def choose(self, chosen: bool) -> None:
        """Whether this is the pane that has the focus."""
        if chosen is not self.chosen:
            self.chosen = chosen
            self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        left, right = list(self._left), list(self._right)
        while self._width(left, right) > width and (left[1:] or right):
            droppable = left[1:] + right
            victim = max(reversed(droppable), key=lambda figure: figure.rank)
            (right if victim in right else left).remove(victim)
        ground = "title-focus" if self.chosen else "title"
        return [spread(self._head(left), _joined(right), width, ground)]

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Clicked(self))

    def _head(self, figures: Sequence[Figure]) -> list[Run]:
        badge: Run = (f" {self.key} ", "badge" if self.chosen else "accent")
        name: Run = (f" {self.heading} ", "accent" if self.chosen else "strong")
        return [badge, name, *((f" {figure.text} ", figure.style) for figure in figures)]

    def _width(self, left: Sequence[Figure], right: Sequence[Figure]) -> int:
        return width_of(self._head(left)) + width_of(_joined(right)) + 1


def _joined(figures: Sequence[Figure]) -> list[Run]:
    runs: list[Run] = []
    for figure in figures:
        runs += [(" · ", "faint")] if runs else []
        runs.append((figure.text, figure.style))
    return [*runs, (" ", "dim")] if runs else []
