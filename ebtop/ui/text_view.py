"""Lines of text that can be scrolled and searched: the log, the help, the doctor's answer."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from ebtop.ui.commands import bindings
from ebtop.ui.strips import Line, Run, StripWidget
from ebtop.units import plural


class TextView(StripWidget, can_focus=True):
    """Shows `content`. With `follow` it stays at the end until it is scrolled up."""

    BINDINGS = bindings("text")

    def __init__(self, *, follow: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.content: Sequence[Line] = ()
        self.top = 0
        self._follow = follow
        self._sought = ""
        self._found: list[int] = []
        """Numbers of the lines that match."""
        self._at = 0
        """Which of them was gone to."""

    def show(self, content: Sequence[Line]) -> None:
        if content != self.content:
            self.content = content
            self._found = _lines_with(self._sought, content)
            self._at = min(self._at, max(0, len(self._found) - 1))
        self.redraw()

    def text(self) -> str:
        """Everything, for copying."""
        return "\n".join(text_of(line).rstrip() for line in self.content) + "\n"

    def lines(self, width: int, height: int) -> list[Line]:
        last = max(0, len(self.content) - height)
        self.top = last if self._follow else max(0, min(self.top, last))
        shown = list(self.content[self.top : self.top + height])
        if self._sought:
            shown = [_marked(line, self._sought) for line in shown]
            current = self._found[self._at] - self.top if self._found else -1
            if 0 <= current < len(shown):
                shown[current] = shown[current]._replace(ground="cursor")
        return shown

    def search(self, text: str) -> None:
        """Mark what matches and go to the first match from the top of the screen on; "" ends the search."""
        self._sought = text.casefold()
        self._found = _lines_with(self._sought, self.content)
        self._at = next((n for n, line in enumerate(self._found) if line >= self.top), 0)
        self._go()

    def search_next(self, step: int) -> None:
        """To the next match, or with -1 to the one before; after the last comes the first."""
        if self._found:
            self._at = (self._at + step) % len(self._found)
        self._go()

    def search_result(self) -> str:
        """ "2 of 7 lines", "no line" or "" without a search."""
        if not self._sought:
            return ""
        return f"{self._at + 1} of {plural(len(self._found), 'line')}" if self._found else "no line has it"

    def action_scroll(self, lines: int) -> None:
        self.top += lines
        self._follow = False
        self.redraw()

    def action_page(self, pages: int) -> None:
        self.action_scroll(pages * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self.action_scroll(-self.top)

    def action_bottom(self) -> None:
        self._follow = True
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_scroll(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_scroll(-3)

    def _go(self) -> None:
        if self._found:
            line, height = self._found[self._at], max(1, self.size.height)
            if not self.top <= line < self.top + height:
                self.top = max(0, line - height // 3)
                self._follow = False
        self.redraw()


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line.runs)


def _lines_with(sought: str, content: Sequence[Line]) -> list[int]:
    if not sought:
        return []
    return [number for number, line in enumerate(content) if sought in text_of(line).casefold()]


def _marked(line: Line, sought: str) -> Line:
    """The line with what matches within one of its runs made to stand out."""
    runs: list[Run] = []
    for text, style in line.runs:
        folded = text.casefold()
        if sought not in folded or len(folded) != len(text):
            runs.append((text, style))
            continue
        at = 0
        while (found := folded.find(sought, at)) >= 0:
            runs += [(text[at:found], style), (text[found : found + len(sought)], "match")]
            at = found + len(sought)
        runs.append((text[at:], style))
    return line._replace(runs=tuple(run for run in runs if run[0]))
