"""Keys whose effect on the overview can be told from everything else that changes there, and what shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.bench.terminal import Screen

Seen = Callable[[Screen], bool]

ACCENT, CURSOR, FRAME = "48;5;221", "48;5;236", "48;5;231"
"""Grounds of the dark theme: of the number of the current pane, of a table's cursor (and titles), of the icicle's."""
_DOWN, _UP, _ESCAPE = "\x1b[B", "\x1b[A", "\x1b"


class Press(NamedTuple):
    """A key, by what it does, and what shows that it was done."""

    what: str
    keys: str
    seen: Callable[[Screen], Seen]
    """Takes the screen before, gives what to look for."""


def round_of_keys(tables: str = "23") -> list[Press]:
    """Through panes, rows, frames, a search as it is typed, the order of a table and the help; all is left as it was.

    `tables` are the numbers of panes that have rows.
    """
    presses = []
    for number in tables:
        presses.append(Press("pane", number, _entered(number)))
        presses += [Press("row", key, _cursor_moved(key)) for key in (_DOWN, _DOWN, _UP, _UP)]
        presses += [Press("sort", "s", _sorted(True)), Press("sort", _ESCAPE, _sorted(False))]
        presses.append(Press("search", "/", _prompt_says(" search ")))
        presses += [Press("search", letter, _prompt_says(said)) for letter, said in (("e", " e "), ("b", " eb "))]
        presses.append(Press("search", _ESCAPE, _no_prompt))
    presses.append(Press("pane", "1", _entered("1")))
    presses += [Press("frame", key, _cursor_moved(key)) for key in (_DOWN, _DOWN, _UP, _UP)]
    presses += [Press("help", "?", _help(True)), Press("help", _ESCAPE, _help(False))]
    return presses


def current_pane(screen: Screen) -> str:
    """Its number; "" on a page."""
    for y, x in screen.cells(ACCENT):
        if (mark := screen.line(y)[x : x + 3]).strip().isdecimal() and mark[0] == mark[-1] == " ":
            return mark.strip()
    return ""


def cursor_line(screen: Screen) -> int:
    """Of the cursor in the current pane; -1: there is none to see."""
    titles = {y for y, _ in screen.cells(ACCENT)}
    return next((y for ground in (FRAME, CURSOR) for y, _ in screen.cells(ground) if y not in titles), -1)


def _entered(number: str) -> Callable[[Screen], Seen]:
    return lambda before: lambda screen: current_pane(screen) == number


def _cursor_moved(key: str) -> Callable[[Screen], Seen]:
    def seen(before: Screen) -> Seen:
        at = cursor_line(before)
        if key == _DOWN:
            return lambda screen: cursor_line(screen) > at
        return lambda screen: -1 < cursor_line(screen) < at

    return seen


def _sorted(is_sorted: bool) -> Callable[[Screen], Seen]:
    return lambda before: lambda screen: any("▲" in line or "▼" in line for line in screen.lines) is is_sorted


def _prompt_says(text: str) -> Callable[[Screen], Seen]:
    return lambda before: lambda screen: any(line.startswith(" search ") and text in line for line in screen.lines[-3:])


def _no_prompt(before: Screen) -> Seen:
    return lambda screen: not any(line.startswith(" search ") for line in screen.lines[-3:])


def _help(shown: bool) -> Callable[[Screen], Seen]:
    return lambda before: lambda screen: (current_pane(screen) == "") is shown
