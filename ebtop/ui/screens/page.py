"""A page over the view: help, overhead, history, doctor. Esc and q come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from ebtop.ui.bars import Bar, Hints
from ebtop.ui.commands import Command, in_scope
from ebtop.ui.keymap import Keymap
from ebtop.ui.prompt import Prompt, Question
from ebtop.ui.strips import Line, Run, spread
from ebtop.ui.text_view import TextView

_LEFT_TO_THE_APP = ("back", "quit", "quit.at_once", "theme", "mouse", "redraw", "suspend")
_OTHER_PAGES = ("help", "overhead", "history", "doctor")
_TEXT_KEYS = ("search", "search.next", "search.previous", "copy")
_TOLD_S = 8.0
_APP = {command.id: command for command in in_scope("app")}


def command(name: str) -> Command:
    """The app's command of that id."""
    return _APP[name]


def borrowed(names: Sequence[str], action: str = "{}") -> list[BindingType]:
    """Bindings with the keys, and the ids, of commands of the app. `action` is made from theirs."""
    commands = [_APP[name] for name in names if name in _APP]
    return [
        Binding(",".join(c.keys), action.format(c.action), c.title, id=c.id, priority=c.id == "quit.at_once")
        for c in commands
    ]


class PageHead(Bar):
    """What the page is, and what it says of itself."""

    def __init__(self, heading: str) -> None:
        super().__init__(id="page-head")
        self._heading = heading
        self._left: Sequence[Run] = ()
        self._right: Sequence[Run] = ()

    def show(self, left: Sequence[Run], right: Sequence[Run] = ()) -> None:
        self._left, self._right = left, right
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        heading: Run = (f" {self._heading} ", "badge")
        return [spread((heading, (" ", "text"), *self._left), (*self._right, (" ", "text")), width, "bar")]


class Page(ModalScreen[None]):
    """A subclass yields its widgets from `content`.

    It takes all keys: those of the panes must not change the load on the node from here. Keys are shown as the
    app's `keymap` has them.
    """

    heading = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        *borrowed(_LEFT_TO_THE_APP, "app.{}"),
        *borrowed(_OTHER_PAGES, "turn('{}')"),
    ]

    def __init__(self) -> None:
        super().__init__(classes="page")
        self.head = PageHead(self.heading)
        self.hints = Hints()
        self.prompt = Prompt(self.read_on)

    def compose(self) -> ComposeResult:
        yield self.head
        yield from self.content()
        yield self.prompt
        yield self.hints

    def content(self) -> ComposeResult:
        """What is between the head and the hints."""
        raise NotImplementedError

    def enter(self) -> None:
        """Give the focus to what the keys are for."""

    def on_mount(self) -> None:
        self.show_hints()

    @property
    def keymap(self) -> Keymap:
        return getattr(self.app, "keymap", None) or Keymap()

    def read_on(self) -> None:
        """The prompt is closed: give the focus back."""

    def hinted(self) -> Sequence[tuple[str, str]]:
        """(key, word) of this page for the line of hints, the most useful first."""
        return ()

    def key_of(self, found: Command) -> str:
        """The first of a command's keys, as people read it."""
        return self.keymap.shown(found).split()[0]

    def show_hints(self) -> None:
        closing = [(self.key_of(command("back")), "close")]
        pages = [(self.key_of(command(name)), name) for name in _OTHER_PAGES if name in _APP]
        others = [(key, word) for key, word in pages if word != self.heading.lower()]
        self.hints.show([*closing, *self.hinted(), *others], None)

    def say(self, text: str, style: str = "text") -> None:
        """Tell something in the last line for some seconds."""
        self.hints.show((), (text, style))
        self.set_timer(_TOLD_S, self.show_hints)

    def action_turn(self, name: str) -> None:
        """To another page, in place of this one."""
        app = cast(Any, self.app)
        app.pop_screen()
        if name != self.heading.lower():
            getattr(app, f"action_{name}")()


class TextPage(Page):
    """A page of lines that can be searched and copied."""

    BINDINGS: ClassVar[list[BindingType]] = borrowed(_TEXT_KEYS)

    def __init__(self) -> None:
        super().__init__()
        self.text_view = TextView()

    def content(self) -> ComposeResult:
        yield self.text_view

    def on_mount(self) -> None:
        self.enter()

    def enter(self) -> None:
        self.set_focus(self.text_view)

    def hinted(self) -> Sequence[tuple[str, str]]:
        return [("↓↑", "scroll"), *((self.key_of(command(name)), name) for name in ("search", "copy"))]

    def action_search(self) -> None:
        view = self.text_view

        def found(text: str) -> None:
            self.say(view.search_result() or "search ended")

        self.prompt.ask(Question("search", "part of a line; Enter goes there", found, changed=view.search))

    def action_search_next(self, step: int) -> None:
        self.text_view.search_next(step)
        if told := self.text_view.search_result():
            self.say(told)

    def action_copy(self) -> None:
        self.run_worker(self._copy(), group="copy", exit_on_error=False)

    def read_on(self) -> None:
        if self.is_mounted:
            self.set_focus(self.text_view)

    async def _copy(self) -> None:
        from ebtop.ui import clipboard

        driver = self.app._driver
        report = await clipboard.copy(self.text_view.text(), "page", driver.write if driver else None)
        self.say(report.line(), "good" if report.worked else "bad")
