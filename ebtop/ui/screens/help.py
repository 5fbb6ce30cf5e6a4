"""What the panes show, in plain words, and every key."""

from __future__ import annotations

import textwrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from ebtop.ui.commands import in_scope
from ebtop.ui.icicle import Icicle
from ebtop.ui.panes.base import Pane
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.strips import Line, Run, fit
from ebtop.ui.text_view import TextView

_KEY_CELLS = 12


class HelpScreen(ModalScreen[None]):
    """The focused pane first, then all keys, then the other panes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter,space", "app.pop_screen", "Close")
    ]

    def __init__(self, panes: list[Pane], focused: Pane) -> None:
        super().__init__()
        self._panes = [focused, *(pane for pane in panes if pane is not focused)]
        self.text = TextView()

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield self.text

    def on_mount(self) -> None:
        self.text.focus()

    def on_resize(self) -> None:
        self.text.show(self._content(max(30, min(100, self.app.size.width - 4) - 6)))

    def _content(self, width: int) -> list[Line]:
        first, *others = self._panes
        lines = [_title("HELP", "Esc closes, ↓ ↑ scroll"), Line()]
        lines += _about(first, width)
        scope = "icicle" if isinstance(first.body, Icicle) else "table"
        lines += _keys("In this pane", scope, width) + _keys("Everywhere", "app", width)
        for pane in others:
            lines += _about(pane, width)
        return lines


def _title(text: str, aside: str = "") -> Line:
    return Line(((f" {text}", "accent"), (f"   {aside}", "dim")))


def _about(pane: Pane, width: int) -> list[Line]:
    lines = [_title(f"{pane.number} {pane.heading}")]
    lines += [Line(((f"   {text}", "text"),)) for text in textwrap.wrap(pane.words, width)]
    probe = pane.moment.probe(pane.probe) if pane.moment else None
    for note in probe.notes if probe else ():
        lines += [Line(((f"   {text}", "info"),)) for text in textwrap.wrap(f"On this node: {note}", width)]
    if isinstance(pane, TablePane):
        lines.append(Line())
        lines += [
            Line(((f"   {fit(column.title, _KEY_CELLS)}", "strong"), (column.help, "dim")))
            for column in pane.table.columns
            if column.title
        ]
    return [*lines, Line()]


def _keys(title: str, scope: str, width: int) -> list[Line]:
    lines = [_title(title)]
    for command in in_scope(scope):
        runs: tuple[Run, ...] = ((f"   {fit(command.shown, _KEY_CELLS)}", "strong"), (command.help, "text"))
        lines.append(Line(runs))
    return [*lines, Line()]
