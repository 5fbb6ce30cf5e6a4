"""Plain words in place of data: loading, nothing yet, failed, unloaded."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from textual.widget import Widget

from ebtop.ui.strips import Line, StripWidget

_BANNER_LINES = 3


class Paragraph(NamedTuple):
    text: str
    style: str


class Notice(StripWidget):
    """Fills the pane while there is nothing else; stands as lines above data that is still worth seeing."""

    DEFAULT_CSS = "Notice { display: none; }"

    def __init__(self) -> None:
        super().__init__()
        self._paragraphs: Sequence[Paragraph] = ()
        self._whole = False

    def show(self, paragraphs: Sequence[Paragraph], *, whole: bool) -> None:
        """These paragraphs, alone in the pane when `whole`; none hides the notice."""
        self._paragraphs, self._whole = paragraphs, whole
        self.display = bool(paragraphs)
        self.styles.height = "1fr" if whole else max(1, min(_BANNER_LINES, len(self._banner())))
        if isinstance(self.parent, Widget):
            self.parent.set_class(bool(paragraphs) and whole, "-only-words")
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        if not self._whole:
            style = self._paragraphs[0].style if self._paragraphs else "text"
            return [Line(((f" {text}", style),), "bar") for text in self._banner()]
        lines: list[Line] = []
        for paragraph in self._paragraphs:
            wrapped = textwrap.wrap(paragraph.text, max(10, width - 4))
            lines += [Line(((text.center(width), paragraph.style),)) for text in wrapped]
        return [Line()] * max(0, (height - len(lines)) // 2) + lines

    def _banner(self) -> list[str]:
        width = self.parent.size.width if isinstance(self.parent, Widget) else 80
        return textwrap.wrap(" · ".join(p.text for p in self._paragraphs), max(10, width - 2))
