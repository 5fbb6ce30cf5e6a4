"""Texts that match: with wildcards, and by regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable

from ebtop.store.filter.expression import Value

TextTest = Callable[[str], bool]

MAX_REGEX = 200
"""Characters."""
_FEW = re.compile(r"\{\d?(,\d)?\}")
"""{3}, {1,3}: a group repeated so often can't take long."""


def has_wildcard(value: Value) -> bool:
    return "*" in value.text and not value.literal


def whole(value: Value) -> TextTest:
    """Whether a text is this, upper and lower case alike; * stands for any characters."""
    wanted = value.text.lower()
    if not has_wildcard(value):
        return lambda text: text.lower() == wanted
    first, *middle, last = wanted.split("*")

    def test(text: str) -> bool:
        text = text.lower()
        end = len(text) - len(last)
        if end < len(first) or not text.startswith(first) or not text.endswith(last):
            return False
        return _in_order(middle, text, len(first), end)

    return test


def inside(value: Value) -> TextTest:
    """Whether a text has this in it, upper and lower case alike; * stands for any characters."""
    wanted = value.text.lower()
    if not has_wildcard(value):
        return lambda text: wanted in text.lower()
    parts = wanted.split("*")

    def test(text: str) -> bool:
        text = text.lower()
        return _in_order(parts, text, 0, len(text))

    return test


def _in_order(parts: list[str], text: str, start: int, end: int) -> bool:
    """Whether these are found one after the other. Takes the first place for each, so time grows with the text only."""
    for part in parts:
        found = text.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True


def regex(source: str) -> TextTest:
    """Whether a regular expression is found in a text, upper and lower case alike.

    Raises ValueError, with the reason, for one that is wrong, too long, or might take forever on some text.
    """
    if len(source) > MAX_REGEX:
        raise ValueError(f"it is longer than {MAX_REGEX} characters")
    if _repeats_a_choice(source):
        raise ValueError("a repeated group with a repeat or a | in it can take forever")
    try:
        search = re.compile(source, re.IGNORECASE).search
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None
    return lambda text: search(text) is not None


def _repeats_a_choice(source: str) -> bool:
    """Whether some (...) is repeated in which there is more than one way to match: (a+)*, (a|a)*."""
    choices = [False]
    position = 0
    while position < len(source):
        char = source[position]
        if char == "\\":
            position += 1
        elif char == "[":
            position = _end_of_set(source, position)
        elif char == "(":
            choices.append(False)
        elif char == ")" and len(choices) > 1:
            inner = choices.pop()
            repeated = source[position + 1 : position + 2] in ("*", "+", "{") and not _FEW.match(source, position + 1)
            if inner and repeated:
                return True
            choices[-1] |= inner
        elif char in "|*+{":
            choices[-1] = True
        position += 1
    return False


def _end_of_set(source: str, start: int) -> int:
    """Of the ] that closes a [ ; the last character where there is none."""
    position = start + 1
    if source[position : position + 1] == "^":
        position += 1
    position += 1  # a ] that comes first is one of the set
    while position < len(source) and source[position] != "]":
        position += 2 if source[position] == "\\" else 1
    return position
