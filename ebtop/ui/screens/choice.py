"""A list to choose from: sort columns, columns to show, themes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from ebtop.ui.strips import Line, StripWidget, fit, spread


class Choice(NamedTuple):
    """One line of the list."""

    id: str
    label: str
    help: str = ""
    chosen: bool = False


class ChoiceList(StripWidget, can_focus=True):
    """The lines; the cursor moves over them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)"),
        Binding("up,k", "move(-1)"),
        Binding("pagedown,ctrl+f", "move(10)"),
        Binding("pageup,ctrl+b", "move(-10)"),
        Binding("home,g", "move(-9999)"),
        Binding("end,G,upper_g", "move(9999)"),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], hint: str) -> None:
        super().__init__()
        self.title_text = title
        self.choices = list(choices)
        self.hint = hint
        self.cursor = next((n for n, choice in enumerate(self.choices) if choice.chosen), 0)

    def lines(self, width: int, height: int) -> list[Line]:
        room = max(1, height - 2)
        top = max(0, min(self.cursor - room // 2, len(self.choices) - room))
        label = max((len(choice.label) for choice in self.choices), default=0) + 2
        lines = [spread(((f" {self.title_text}", "accent"),), ((f"{self.hint} ", "dim"),), width, "base"), Line()]
        for number, choice in enumerate(self.choices[top : top + room], top):
            ground = "cursor" if number == self.cursor else "base"
            mark = " ● " if choice.chosen else " · "
            runs = ((mark, "accent"), (fit(choice.label, label), "strong"), (choice.help, "dim"))
            lines.append(Line(runs, ground))
        return lines

    def action_move(self, by: int) -> None:
        self.cursor = max(0, min(self.cursor + by, len(self.choices) - 1))
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        room = max(1, self.size.height - 2)
        top = max(0, min(self.cursor - room // 2, len(self.choices) - room))
        at = top + event.y - 2
        if event.y >= 2 and at < len(self.choices):
            self.cursor = at
            self.redraw()


class ChoiceScreen(ModalScreen[tuple[str, ...] | None]):
    """Dismissed with the chosen ids, or None when it was left by Esc.

    Enter takes the line under the cursor. With `several` Space puts marks on lines and Enter takes those.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,backspace", "leave", "Close"),
        Binding("enter", "take", "Choose"),
        Binding("space", "mark", "Mark"),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], *, several: bool = False) -> None:
        super().__init__()
        self._several = several
        hint = "Space marks, Enter takes, Esc leaves" if several else "Enter takes, Esc leaves"
        self.list = ChoiceList(title, choices, hint)

    def compose(self) -> ComposeResult:
        with Vertical(id="choices") as box:
            box.styles.height = min(len(self.list.choices) + 4, 30)
            yield self.list

    def on_mount(self) -> None:
        self.list.focus()

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_mark(self) -> None:
        if not self._several:
            self.action_take()
            return
        choice = self.list.choices[self.list.cursor]
        self.list.choices[self.list.cursor] = choice._replace(chosen=not choice.chosen)
        self.list.action_move(1)

    def action_take(self) -> None:
        if self._several:
            self.dismiss(tuple(choice.id for choice in self.list.choices if choice.chosen))
        else:
            self.dismiss((self.list.choices[self.list.cursor].id,))
