"""The line at the bottom that asks for a word: search, filter, time. Says what is wrong while it is typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from ebtop.ui.strips import Line, Run, StripWidget, fit

if TYPE_CHECKING:
    from ebtop.store.filter import Completion

_SHOWN = 8


class Complaint(NamedTuple):
    """What is wrong with the line."""

    text: str
    position: int = -1
    """Of the character at fault; -1 = none in particular."""


def _no_complaint(text: str) -> Complaint | None:
    return None


def _no_completions(text: str, cursor: int) -> Sequence[Completion]:
    return ()


def _nothing(text: str) -> None:
    return None


class Question(NamedTuple):
    """What is asked, and what to make of the answer."""

    label: str
    hint: str
    """Shown while the line is empty."""
    answer: Callable[[str], None]
    """Called with the line when Enter is pressed on one that is not complained of."""
    text: str = ""
    """To start with."""
    check: Callable[[str], Complaint | None] = _no_complaint
    complete: Callable[[str, int], Sequence[Completion]] = _no_completions
    changed: Callable[[str], None] = _nothing
    """Called at each keystroke, and with the first text when the prompt is left by Esc."""


class _Entry(Input):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave"),
        Binding("tab", "complete", "Complete"),
        Binding("down", "choose(1)"),
        Binding("up", "choose(-1)"),
    ]

    class Key(Message):
        """A key that is the prompt's."""

        def __init__(self, name: str, step: int = 0) -> None:
            super().__init__()
            self.name, self.step = name, step

    def action_leave(self) -> None:
        self.post_message(self.Key("leave"))

    def action_complete(self) -> None:
        self.post_message(self.Key("complete"))

    def action_choose(self, step: int) -> None:
        self.post_message(self.Key("choose", step))


class _Label(StripWidget):
    def __init__(self) -> None:
        super().__init__(id="prompt-label")
        self.word = ""

    def lines(self, width: int, height: int) -> list[Line]:
        return [Line(((f" {self.word} ", "badge"),), "bar")]


class _Suggestions(StripWidget):
    """Completions, or what is wrong, above the line."""

    def __init__(self) -> None:
        super().__init__(id="prompt-suggestions")
        self.completions: Sequence[Completion] = ()
        self.chosen = 0
        self.told: Run = ("", "dim")

    def lines(self, width: int, height: int) -> list[Line]:
        lines: list[Line] = []
        top = max(0, min(self.chosen - _SHOWN // 2, len(self.completions) - _SHOWN))
        label = min(30, max((len(c.label) for c in self.completions), default=0) + 2)
        for number, completion in enumerate(self.completions[top : top + _SHOWN], top):
            ground = "cursor" if number == self.chosen else "bar"
            lines.append(Line(((f"   {fit(completion.label, label)}", "strong"), (completion.help, "dim")), ground))
        if self.told[0]:
            lines.append(Line(((f" {self.told[0]}", self.told[1]),), "bar"))
        return lines

    @property
    def wanted_height(self) -> int:
        return min(_SHOWN, len(self.completions)) + bool(self.told[0])


class Prompt(Vertical):
    """Hidden until `ask`. Posts Closed when it is hidden again."""

    class Closed(Message):
        """The question was answered or left."""

    def __init__(self) -> None:
        super().__init__(id="prompt")
        self._label = _Label()
        self._suggestions = _Suggestions()
        self.entry = _Entry(compact=True, select_on_focus=False)
        self.entry.cursor_blink = False
        self._question: Question | None = None

    def compose(self) -> ComposeResult:
        yield self._suggestions
        with Horizontal(id="prompt-line"):
            yield self._label
            yield self.entry

    @property
    def asking(self) -> bool:
        return self._question is not None

    def ask(self, question: Question) -> None:
        self._question = question
        self._label.word = question.label
        self._label.styles.width = len(question.label) + 3
        self._label.redraw()
        self.entry.placeholder = question.hint
        self.add_class("-asking")
        self.screen.add_class("-asking")
        self.entry.value = question.text
        self.entry.cursor_position = len(question.text)
        self.entry.focus()
        self._look()

    def leave(self) -> None:
        """Close without an answer."""
        question, self._question = self._question, None
        if question:
            question.changed(question.text)
        self._close()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._question:
            self._question.changed(event.value)
            self._look()

    @on(Input.Submitted)
    def _answered(self, event: Input.Submitted) -> None:
        event.stop()
        question = self._question
        if question is None:
            return
        if complaint := question.check(event.value):
            self._show((), (self._pointed(complaint), "bad"))
            return
        self._question = None
        self._close()
        question.answer(event.value)

    @on(_Entry.Key)
    def _key(self, event: _Entry.Key) -> None:
        event.stop()
        shown = self._suggestions
        if event.name == "leave":
            self.leave()
        elif event.name == "choose" and shown.completions:
            shown.chosen = (shown.chosen + event.step) % len(shown.completions)
            shown.redraw()
        elif event.name == "complete" and shown.completions:
            taken = shown.completions[shown.chosen]
            self.entry.value = taken.text
            self.entry.cursor_position = taken.cursor

    def on_click(self, event: events.Click) -> None:
        event.stop()

    def _look(self) -> None:
        question, text = self._question, self.entry.value
        if question is None:
            return
        complaint = question.check(text) if text.strip() else None
        completions = question.complete(text, self.entry.cursor_position)
        # Half a word is not wrong yet, as long as there is a way to go on.
        told = "" if complaint is None or completions else self._pointed(complaint)
        self._show(completions, (told, "bad"))

    def _pointed(self, complaint: Complaint) -> str:
        if complaint.position < 0:
            return complaint.text
        return f"{complaint.text}  (at character {complaint.position + 1})"

    def _show(self, completions: Sequence[Completion], told: Run) -> None:
        shown = self._suggestions
        shown.completions, shown.told = completions, told
        shown.chosen = min(shown.chosen, max(0, len(completions) - 1))
        shown.styles.height = shown.wanted_height
        shown.display = shown.wanted_height > 0
        shown.redraw()

    def _close(self) -> None:
        self.remove_class("-asking")
        self.screen.remove_class("-asking")
        self._suggestions.completions = ()
        self._suggestions.chosen = 0
        self.post_message(self.Closed())
