"""The words of a command, one after the other: what the one before was decides whether the next one is secret."""

from __future__ import annotations

import re
import shlex
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ebtop.store import redact_rules as rules

if TYPE_CHECKING:
    from ebtop.store.redact import Redactor

SPACE = re.compile(r"\s")
_QUOTES = re.compile(r"""["']""")
_FLAG = re.compile(r"--?[A-Za-z][\w.-]*")


class Flags(dict[str, str]):
    """How each of a program's flags carries a secret; that of "" is its argument."""

    @cached_property
    def glued(self) -> tuple[tuple[str, str], ...]:
        """Those that a value may follow without a space, and how that carries it."""
        return tuple(
            (flag, rules.VALUE if how == rules.ATTACHED else how)
            for flag, how in self.items()
            if flag and (how == rules.ATTACHED or (len(flag) == 2 and flag[0] == "-" and flag[1] != "-"))
        )


_NO_FLAGS = Flags()


class Place:
    """Where in a command a word stands, as far as that says what it is, and what was made of words there."""

    __slots__ = ("due", "program", "steps", "tool")

    def __init__(self, program: str, tool: str, due: str) -> None:
        self.program = program
        """The last word that was a program known by name, without its folder."""
        self.tool = tool
        """The name that its flags, or those of its command, are found by; "" = it has none."""
        self.due = due
        """How the word carries a secret; "" = it does not."""
        self.steps: dict[str, Step] = {}


class Step(NamedTuple):
    """What was made of a word."""

    instead: str | None
    """Masked; None = it stays."""
    masked: int
    """Secrets in it."""
    next: Place


class Words:
    """Goes through the words of one command and knows what the next one is."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._place = redactor.place("", "", "")
        self._program = self._tool_name = self._due = ""
        self._tool = _NO_FLAGS

    def mask_quoted(self, word: str) -> str:
        """A word of a command line, with its quotes; they may change where something is masked."""
        if not _QUOTES.search(word):
            return self.mask(word)
        try:
            bare = "".join(shlex.split(word))
        except ValueError:
            bare = _QUOTES.sub("", word)
        masked = self.mask(bare)
        return word if masked == bare else f"'{masked}'"

    def mask(self, word: str) -> str:
        """The next word."""
        step = self._place.steps.get(word) or self._step(word)
        self._place = step.next
        self._redactor.masked += step.masked
        return word if step.instead is None else step.instead

    def _step(self, word: str) -> Step:
        """A word that was not seen in this place lately."""
        redactor, place = self._redactor, self._place
        self._program, self._tool_name, self._due = place.program, place.tool, place.due
        self._tool = redactor.tool(place.tool) or _NO_FLAGS
        before = redactor.masked
        masked = self._mask(word)
        count, redactor.masked = redactor.masked - before, before
        after = redactor.place(self._program, self._tool_name, self._due)
        step = Step(None if masked == word else masked, count, after)
        redactor.keep(place, word, step)
        return step

    def _mask(self, word: str) -> str:
        due, self._due = self._due, ""
        if due and not (due == rules.VALUE and word.startswith("-") and len(word) > 1):
            return self._value(due, word)
        if word.startswith(("-", "/p:")) or word in self._tool:
            flag = self._flag(word)
            if flag is not None:
                return flag
        elif self._is_tool(name := word.rpartition("/")[2]):
            self._program = self._tool_name = name
            return word
        elif self._is_tool(name := f"{self._program} {word}".rpartition("/")[2]):
            self._tool_name = name
            return word
        elif "" in self._tool:
            return self._value(self._tool[""], word)
        if SPACE.search(word):
            return self._redactor.line(word)
        return self._redactor.by_shape(word)

    def _is_tool(self, name: str) -> bool:
        return self._redactor.tool(name) is not None

    def _flag(self, word: str) -> str | None:
        """A flag with its value masked, or None where it has none; then the next word may be it."""
        name, equals, value = word.partition("=")
        how = self._tool.get(name, "")
        if not how and _FLAG.fullmatch(name) and self._redactor.is_secret(name):
            how = rules.VALUE
        if how and equals:
            return f"{name}={self._value(how, value)}"
        if how:
            self._due = "" if how == rules.ATTACHED else how
            return word
        for flag, how in self._tool.glued:
            if word.startswith(flag) and len(word) > len(flag):
                return flag + self._value(how, word[len(flag) :])
        return None

    def _value(self, how: str, word: str) -> str:
        redactor = self._redactor
        if how == rules.VALUE:
            return redactor.hide(word)
        if how == rules.HEADER:
            return redactor.by_shape(word)
        mark = {rules.CREDENTIALS: ":", rules.PERCENT: "%", rules.SLASH: "/"}.get(how)
        if how == rules.PASS_COLON:
            return f"pass:{redactor.hide(word[5:])}" if word.startswith("pass:") else word
        if mark is None or mark not in word:
            return redactor.by_shape(word)
        name, _, secret = word.partition(mark)
        # sqlplus user/SECRET@database
        secret, at, place = secret.partition("@") if how == rules.SLASH else (secret, "", "")
        return f"{name}{mark}{redactor.hide(secret)}{at}{place}"
