"""Plain words in place of data: loading, nothing yet, failed, unloaded."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from ebtop.ui.strips import Line, StripWidget


class Paragraph(NamedTuple):
    text: str
    style: str


class Notice(StripWidget):
    """Fills the pane while there is nothing else; stands as lines above data that is still worth seeing."""

    DEFAULT_CSS = """
    Notice { display: none; height: auto; }
    Notice.-whole { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._paragraphs: Sequence[Paragraph] = ()
        self._whole = False

    def show(self, paragraphs: Sequence[Paragraph], *, whole: bool) -> None:
        """These paragraphs, alone in the pane when `whole`; none hides the notice."""
        self._paragraphs, self._whole = paragraphs, whole
        self.display = bool(paragraphs)
        self.set_class(whole, "-whole")
        self.styles.height = None if whole else 1
        if self.parent:
            self.parent.set_class(bool(paragraphs) and whole, "-only-words")
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        if not self._whole:
            text = " · ".join(p.text for p in self._paragraphs)
            return [Line(((f" {text}", self._paragraphs[0].style),), "bar")] if self._paragraphs else []
        lines: list[Line] = []
        for paragraph in self._paragraphs:
            wrapped = textwrap.wrap(paragraph.text, max(10, width - 4))
            lines += [Line(((text.center(width), paragraph.style),)) for text in wrapped]
        return [Line()] * max(0, (height - len(lines)) // 2) + lines
