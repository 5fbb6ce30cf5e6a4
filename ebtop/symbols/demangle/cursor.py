"""A place in a mangled C++ name, and what was read before it that may be referred to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

DEPTH_MAX = 48
"""Types within types; deeper names exist but nobody reads them."""
TEXT_MAX = 4096
"""Characters of a part of a name: references to earlier parts let a short name grow without end."""
_STEPS_MAX = 20_000
"""Parts read in one name."""
UNSURE = "\0"
"""Stands for what was read over but not put into words. A name with it stays mangled."""


class CanNot(Exception):
    """Not a mangled name, or one that is not written here."""


class Part(NamedTuple):
    """A type or name as C++ writes it: what goes before a declarator, and what goes after."""

    left: str
    right: str = ""
    shape: str = ""
    """function or array: a pointer to it needs parentheses. pack: several template arguments, comma-separated."""

    @property
    def text(self) -> str:
        return self.left + self.right


class Cursor:
    """Reads characters; keeps substitutions and template arguments."""

    def __init__(self, mangled: str) -> None:
        self.mangled = mangled
        self.at = 0
        self.substitutions: list[Part] = []
        self.template_args: list[Part] | None = None
        """Of the function that is read, which T_ and the like refer to; None = not known (yet)."""
        self.lambda_depth = 0
        """Inside the parameters of a lambda T_ is its own `auto`."""
        self._depth = 0
        self._steps = 0

    def peek(self, count: int = 1) -> str:
        return self.mangled[self.at : self.at + count]

    def take(self, text: str) -> bool:
        """Go on behind `text` if it comes next."""
        found = self.mangled.startswith(text, self.at)
        if found:
            self.at += len(text)
        return found

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise CanNot

    def next(self) -> str:
        """One character."""
        character = self.peek()
        if not character:
            raise CanNot
        self.at += 1
        return character

    def number(self) -> int:
        begin = self.at
        while self.peek().isdecimal() and self.peek().isascii():
            self.at += 1
        if not 0 < self.at - begin < 10:
            raise CanNot
        return int(self.mangled[begin : self.at])

    def sequence(self) -> int:
        """What follows an S: _ is 0, 0_ is 1, in base 36."""
        return self._index(36)

    def parameter_index(self) -> int:
        """What follows a T: _ is 0, 0_ is 1, in base 10."""
        return self._index(10)

    def _index(self, base: int) -> int:
        if self.take("_"):
            return 0
        end = self.mangled.find("_", self.at, self.at + 8)
        digits = self.mangled[self.at : end] if end > self.at else ""
        if not digits.isalnum() or not digits.isascii() or digits != digits.upper():
            raise CanNot
        try:
            value = int(digits, base)
        except ValueError:
            raise CanNot from None
        self.at = end + 1
        return value + 1

    def remember(self, part: Part) -> Part:
        """Take a part as the next substitution."""
        if len(part.left) + len(part.right) > TEXT_MAX:
            raise CanNot
        self.substitutions.append(part)
        return part

    def substitution(self) -> Part:
        index = self.sequence()
        if index >= len(self.substitutions):
            raise CanNot
        part = self.substitutions[index]
        if not self.lambda_depth and part.left.startswith("auto:"):
            # The parameter of a lambda, named again where its types are known.
            number = part.left[5:]
            if part.right or not number.isdecimal() or not self.template_args:
                return Part(UNSURE)
            return self.template_args[int(number) - 1] if int(number) <= len(self.template_args) else Part(UNSURE)
        return part

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """One level down."""
        self._depth += 1
        self._steps += 1
        if self._depth > DEPTH_MAX or self._steps > _STEPS_MAX:
            raise CanNot
        yield
        self._depth -= 1

    # What the parts of the grammar need of each other.

    def type(self) -> Part:
        raise NotImplementedError

    def name(self) -> Part:
        raise NotImplementedError

    def encoding(self) -> Part:
        raise NotImplementedError

    def expression(self) -> str:
        raise NotImplementedError

    def template_argument_list(self) -> list[Part]:
        raise NotImplementedError

    def unqualified_name(self, scope: str) -> str:
        raise NotImplementedError


def joined(parts: list[Part]) -> str:
    """Arguments separated by commas; empty packs leave nothing."""
    return ", ".join([part.text for part in parts if part.shape != "pack" or part.text])


def bracketed(arguments: str) -> str:
    """Template arguments in angle brackets, as c++filt sets them."""
    return f"<{arguments} >" if arguments.endswith(">") else f"<{arguments}>"
