"""Lines of text that can be scrolled: the log and the help."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from ebtop.ui.commands import bindings
from ebtop.ui.strips import Line, StripWidget


class TextView(StripWidget, can_focus=True):
    """Shows `content`. With `follow` it stays at the end until it is scrolled up."""

    BINDINGS = bindings("text")

    def __init__(self, *, follow: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.content: Sequence[Line] = ()
        self.top = 0
        self._follow = follow

    def show(self, content: Sequence[Line]) -> None:
        self.content = content
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        last = max(0, len(self.content) - height)
        self.top = last if self._follow else max(0, min(self.top, last))
        return list(self.content[self.top : self.top + height])

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
