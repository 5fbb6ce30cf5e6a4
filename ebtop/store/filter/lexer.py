"""An expression cut into its parts."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from ebtop.store.filter import fields
from ebtop.store.filter.errors import FilterError
from ebtop.store.filter.expression import EQUAL, LIKE, Value

MAX_LENGTH = 4000
"""Characters of an expression."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_OPERATOR = re.compile(r"!=|!~|>=|<=|==|[:=<>~]")
_CONNECTIVE = re.compile(r"&&?|\|\|?|and(?![^\s()!])|or(?![^\s()!])|not(?![^\s()!])|!(?![=~])", re.IGNORECASE)
_MEANING = {"&": "and", "&&": "and", "|": "or", "||": "or", "!": "not"}
_ESCAPE = re.compile(r"""\\(["'\\*])""")


class Piece(NamedTuple):
    """One value where it stands."""

    value: Value
    start: int
    end: int


class Token(NamedTuple):
    """One part of an expression."""

    kind: str
    """( ) and or not term text"""
    start: int
    end: int
    field: str = ""
    """Of a term, the name as it was written."""
    operator: str = ""
    negated: bool = False
    """The operator was != or !~."""
    pieces: tuple[Piece, ...] = ()


def tokens(text: str) -> list[Token]:
    """All parts. Raises FilterError."""
    return Lexer(text).all()


class Lexer:
    """Goes through a text once. `lenient`: makes the best of an unfinished text where it would raise otherwise."""

    def __init__(self, text: str, lenient: bool = False) -> None:
        if len(text) > MAX_LENGTH:
            raise FilterError(
                text, MAX_LENGTH, len(text), f"the filter has {len(text):,} characters",
                f"{MAX_LENGTH:,} are possible; use a wildcard, a range or a cgroup",
            )  # fmt: skip
        self._text = text
        self._lenient = lenient
        self._at = 0

    def all(self) -> list[Token]:
        found = []
        self._skip_blanks()
        while self._at < len(self._text):
            found.append(self._next())
            self._skip_blanks()
        return found

    def _next(self) -> Token:
        text, start = self._text, self._at
        if text[start] in "()":
            self._at += 1
            return Token(text[start], start, self._at)
        connective = _CONNECTIVE.match(text, start)
        if connective:
            self._at = connective.end()
            word = connective[0].lower()
            return Token(_MEANING.get(word, word), start, self._at)
        term = self._term()
        if term is not None:
            return term
        operator = _OPERATOR.match(text, start)
        if operator and not self._lenient:
            self._fail(start, operator.end(), f"there is no field before {operator[0]}", "write it as pid:1234")
        piece = self._quoted() if text[start] in "\"'" else self._bare(in_term=False, is_regex=False)
        self._check_end(piece)
        return Token("text", start, self._at, pieces=(piece,))

    def _term(self) -> Token | None:
        """The term that begins here; None, and nothing is read, where none does."""
        text, start = self._text, self._at
        name = _NAME.match(text, start)
        if name is None:
            return None
        blanks = len(text) - len(text[name.end() :].lstrip()) - name.end()
        operator = _OPERATOR.match(text, name.end() + blanks)
        if operator is None or (blanks and operator[0] == ":"):
            return None
        if fields.find(name[0]) is None:
            if self._lenient or text.startswith("::", name.end()):  # C++, or the beginning of an IPv6 address
                return None
            self._fail_on_field(name[0], start, name.end())
        self._at = operator.end()
        self._skip_blanks()
        is_regex = operator[0].endswith(LIKE)
        pieces = [self._value(name[0], is_regex)]
        while not is_regex and text.startswith(",", self._at):
            self._at += 1
            pieces.append(self._value(name[0], is_regex))
        self._check_end(pieces[-1])
        plain = operator[0].removeprefix("!")
        return Token(
            "term", start, self._at, name[0], EQUAL if plain in ("=", "==") else plain, operator[0].startswith("!"),
            tuple(pieces),
        )  # fmt: skip

    def _value(self, name: str, is_regex: bool) -> Piece:
        text = self._text
        if self._at < len(text) and text[self._at] in "\"'":
            return self._quoted()
        piece = self._bare(in_term=True, is_regex=is_regex)
        if not piece.value.text and not self._lenient:
            field = fields.find(name)
            assert field is not None
            missing = "a value is missing after the comma" if text[piece.start - 1] == "," else f"{name} needs a value"
            self._fail(piece.start, piece.start, missing, f"write it as {field.example}")
        return piece

    def _quoted(self) -> Piece:
        """In quotes \\" \\' \\\\ and \\* are the plain characters; any other backslash stands for itself."""
        text, start = self._text, self._at
        end = start + 1
        while end < len(text) and text[end] != text[start]:
            end += 2 if text[end] == "\\" else 1
        closed = end < len(text)
        if not closed and not self._lenient:
            self._fail(start, len(text), "these quotes are not closed", f"put a {text[start]} where the text ends")
        escapes = _ESCAPE.findall(text[start + 1 : end])
        value = _ESCAPE.sub(r"\1", text[start + 1 : end])
        self._at = min(len(text), end + 1)
        if not value and not self._lenient:
            self._fail(start, self._at, "there is nothing between these quotes", "write what to look for")
        return Piece(Value(value, "*" in escapes), start, self._at)

    def _bare(self, *, in_term: bool, is_regex: bool) -> Piece:
        """Up to the next blank, or what ends a value; (...) inside belong to it, as in comm:(sd-pam)."""
        text, start = self._text, self._at
        at, opened = start, []
        while at < len(text) and not text[at].isspace():
            char = text[at]
            if char == "(":
                opened.append(at)
            elif char == ")" and opened:
                opened.pop()
            elif char == ")" or (not is_regex and self._ends_value(at, in_term and not opened)):
                break
            at += 2 if is_regex and char == "\\" else 1
        at = min(at, len(text))
        if opened and not self._lenient:
            self._fail(opened[0], at, "this ( is not closed", 'close it, or put the text in quotes: "…"')
        self._at = at
        return Piece(Value(text[start:at]), start, at)

    def _ends_value(self, at: int, in_list: bool) -> bool:
        return self._text.startswith(("&&", "||"), at) or (in_list and self._text[at] == ",")

    def _check_end(self, piece: Piece) -> None:
        """What follows quotes must be something else."""
        at = self._at
        rest = self._text[at : at + 1]
        if self._lenient or not rest or rest.isspace() or rest in ")&|":
            return
        if rest == ",":
            self._fail(at, at + 1, "free text is no list", 'write: "a" or "b"')
        self._fail(at, at + 1, f"{rest} directly follows the text before", "put a blank between, or quotes around all")

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _fail_on_field(self, name: str, start: int, end: int) -> NoReturn:
        near = fields.nearest(name)
        hint = f"did you mean {near}? " if near else ""
        self._fail(start, end, f"there is no field {name}", f'{hint}to search for it as text, put it in quotes: "…"')

    def _fail(self, start: int, end: int, what: str, fix: str) -> NoReturn:
        raise FilterError(self._text, start, end, what, fix)
