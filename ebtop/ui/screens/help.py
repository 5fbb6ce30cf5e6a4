"""What the focused pane shows, in plain words, and every key."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from functools import lru_cache

from textual import events

from ebtop.ui.commands import Command, in_scope, where
from ebtop.ui.keymap import Keymap
from ebtop.ui.panes.base import Pane
from ebtop.ui.screens.page import TextPage
from ebtop.ui.strips import Line, Run, fit
from ebtop.ui.table import Table

_WIDEST = 100
"""Cells; longer lines of words are hard to read."""
_MARGIN = 3
_LABEL = 13
_LANGUAGE = (
    "A field, then : or a comparison, then a value; a word alone is sought in names, command lines and addresses. "
    "Conditions that stand beside each other must all hold; or, not and brackets are there too: "
    "comm:nginx and (port:443 or lat>100ms) not addr:10.0.0.0/8"
)


class HelpScreen(TextPage):
    """The focused pane first, then all keys and the language of filters, then the other panes in short."""

    heading = "HELP"

    def __init__(self, panes: Sequence[Pane], focused: Pane) -> None:
        super().__init__()
        self._panes = panes
        self._focused = focused

    def on_mount(self) -> None:
        self.head.show([(f" {self._focused.heading}", "strong"), (" pane", "dim")])

    def on_resize(self, event: events.Resize) -> None:
        self.text_view.show(help_lines(self._panes, self._focused, self.keymap, event.size.width))


def help_lines(panes: Sequence[Pane], focused: Pane, keymap: Keymap, width: int) -> list[Line]:
    """The whole text, for a screen of so many cells."""
    width = max(30, min(_WIDEST, width) - _MARGIN - 1)
    lines = [*_about(focused, width), *_notes(focused, width), *_columns(focused, width)]
    for scope in focused.scopes:
        lines += _keys(f"Keys {where(scope)}", in_scope(scope), keymap, width)
    lines += _keys("Keys everywhere", in_scope("app"), keymap, width)
    lines += _filters(width)
    for pane in panes:
        if pane is not focused:
            lines += [_title(f"{pane.number} {pane.heading}"), *_words(pane.words, width), Line()]
    return lines


def _about(pane: Pane, width: int) -> list[Line]:
    parts = (
        ("What it shows", pane.words),
        ("Where the numbers come from", pane.source_words),
        ("What a high value means", pane.high_words),
        ("What to do next", pane.next_words),
    )
    lines: list[Line] = []
    for title, words in parts:
        if words:
            lines += [_title(title), *_words(words, width), Line()]
    return lines


def _notes(pane: Pane, width: int) -> list[Line]:
    """What the probe can't see here."""
    probe = pane.moment.probe(pane.shown_probe) if pane.moment else None
    if probe is None or not probe.notes:
        return []
    lines = [_title("On this node")]
    for note in probe.notes:
        lines += _words(note, width, "info", bullet=True)
    return [*lines, Line()]


def _columns(pane: Pane, width: int) -> list[Line]:
    if not isinstance(pane.body, Table):
        return []
    lines = [_title("Columns")]
    for column in pane.body.columns:
        if column.title:
            lines += _labelled(column.title, column.help, width)
    return [*lines, Line()]


def _keys(title: str, commands: Iterable[Command], keymap: Keymap, width: int) -> list[Line]:
    lines = [_title(title)]
    for command in commands:
        lines += _labelled(keymap.shown(command), command.help, width)
    return [*lines, Line()]


def _filters(width: int) -> list[Line]:
    """The language of filters, field by field."""
    from ebtop.store.filter import describe_fields

    lines = [_title("Filters"), *_words(_LANGUAGE, width)]
    for item in describe_fields():
        lines += _labelled(item.name, f"{item.help}, as {item.example}", width)
    return [*lines, Line()]


def _title(text: str) -> Line:
    return Line(((f" {text}", "accent"),))


def _words(text: str, width: int, style: str = "text", *, bullet: bool = False) -> list[Line]:
    first = "· " if bullet else ""
    return [Line(((" " * _MARGIN + line, style),)) for line in _wrapped(text, width, first)]


def _labelled(label: str, text: str, width: int) -> list[Line]:
    lines = []
    for number, part in enumerate(_wrapped(text, max(20, width - _LABEL)) or ("",)):
        head: Run = (" " * _MARGIN + fit("" if number else label, _LABEL - 1) + " ", "strong")
        lines.append(Line((head, (part, "text"))))
    return lines


@lru_cache(2048)
def _wrapped(text: str, width: int, first: str = "") -> tuple[str, ...]:
    """Kept: the help comes up at once when it is asked for again."""
    return tuple(textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * len(first)))
