"""The line at the bottom that asks for a word: search, filter, time. Says what is wrong while it is typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from ebtop.ui.strips import Line, Run, StripWidget, fit

if TYPE_CHECKING:
    from ebtop.store.filter import Completion

_SHOWN = 8


def _no_complaint(text: str) -> str:
    return ""


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
    check: Callable[[str], str] = _no_complaint
    """What is wrong with the line, and where; "" = nothing."""
    complete: Callable[[str, int], Sequence[Completion]] = _no_completions
    changed: Callable[[str], None] = _nothing
    """Called at each keystroke, and with the first text when the prompt is left by Esc."""


class _Entry(Input):
    """An Input that acts on each key before the next one: what is typed ahead over a slow link keeps its order."""

    def __init__(self, take: Callable[[str], bool]) -> None:
        """`take` is given each key first, and says whether it was the prompt's."""
        super().__init__(compact=True, select_on_focus=False)
        self.cursor_blink = False
        self._take = take

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Nothing: it is there only while it has the focus, so no rule need tell that apart."""

    async def _on_key(self, event: events.Key) -> None:
        if self._take(event.key):
            event.stop()
            event.prevent_default()
        elif bindings := self._bindings.key_to_bindings.get(event.key):
            event.stop()
            event.prevent_default()
            await self.run_action(bindings[-1].action)
        else:
            await super()._on_key(event)


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
    """Hidden until `ask`."""

    def __init__(self, on_close: Callable[[], None]) -> None:
        """`on_close` is called when the question was answered or left, to give the focus back."""
        super().__init__(id="prompt")
        self._on_close = on_close
        self._label = _Label()
        self._suggestions = _Suggestions()
        self.entry = _Entry(self._take)
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
        # A class would have the styles of all that is in it worked out again, as one of the screen those of everything.
        self.display = True
        self._stand_for_hints(True)
        self.entry.value = question.text
        self.entry.cursor_position = len(question.text)
        self.screen.set_focus(self.entry)
        self._look()

    def _stand_for_hints(self, instead: bool) -> None:
        for hints in self.screen.query("#hints"):
            hints.display = not instead

    def leave(self) -> None:
        """Close without an answer."""
        if question := self._close():
            question.changed(question.text)

    def _take(self, key: str) -> bool:
        shown = self._suggestions
        if self._question is None:
            # Typed before the focus had gone elsewhere.
            self.app.post_message(events.Key(key, None))
        elif key == "escape":
            self.leave()
        elif key == "enter":
            self._answer(self._question)
        elif key in ("up", "down"):
            if shown.completions:
                shown.chosen = (shown.chosen + (1 if key == "down" else -1)) % len(shown.completions)
                shown.redraw()
        elif key == "tab":
            if shown.completions:
                taken = shown.completions[shown.chosen]
                self.entry.value = taken.text
                self.entry.cursor_position = taken.cursor
        else:
            return False
        return True

    def _answer(self, question: Question) -> None:
        text = self.entry.value
        if complaint := question.check(text):
            self._show((), (complaint, "bad"))
            return
        self._close()
        question.answer(text)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._question:
            self._question.changed(event.value)
            self._look()

    def on_click(self, event: events.Click) -> None:
        event.stop()

    def _look(self) -> None:
        question, text = self._question, self.entry.value
        if question is None:
            return
        completions = question.complete(text, self.entry.cursor_position)
        # Half a word is not wrong yet, as long as there is a way to go on.
        told = question.check(text) if text.strip() and not completions else ""
        self._show(completions, (told, "bad"))

    def _show(self, completions: Sequence[Completion], told: Run) -> None:
        shown = self._suggestions
        shown.completions, shown.told = completions, told
        shown.chosen = min(shown.chosen, max(0, len(completions) - 1))
        shown.styles.height = shown.wanted_height
        shown.display = shown.wanted_height > 0
        shown.redraw()

    def _close(self) -> Question | None:
        question, self._question = self._question, None
        self.display = False
        self._stand_for_hints(False)
        self._suggestions.completions = ()
        self._suggestions.chosen = 0
        self._on_close()
        return question
