"""Text to tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ebtop.store.filter import expression, fields
from ebtop.store.filter.errors import BadValue, FilterError
from ebtop.store.filter.expression import EQUAL, LIKE, ORDERS, All, Any, Node, Term, Value, Words
from ebtop.store.filter.fields import Field
from ebtop.store.filter.kinds import Number
from ebtop.store.filter.lexer import Token, tokens

MAX_DEPTH = 40
"""Parentheses inside parentheses."""


def parse_expression(text: str) -> Node | None:
    """The tree; None for a text without any term. Raises FilterError."""
    for position, char in enumerate(text):
        if not char.isprintable() and not char.isspace():
            raise FilterError(
                text[:position], position, position + 1, "there is a character that can't be printed", "leave it out"
            )
    found = tokens(text)
    return _Parser(text, found).whole() if found else None


class _Parser:
    """not binds closer than and, and closer than or."""

    def __init__(self, text: str, found: list[Token]) -> None:
        self._text = text
        self._tokens = found
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._any()
        extra = self._peek()
        if extra is not None:
            self._fail(extra, "this ) closes nothing", "leave it out, or put a ( before")
        return node

    def _any(self) -> Node:
        parts = [self._all()]
        while self._accept("or"):
            parts.append(self._all())
        return expression.joined(Any, parts)

    def _all(self) -> Node:
        parts = [self._not()]
        while self._accept("and") or self._begins_another():
            parts.append(self._not())
        return expression.joined(All, parts)

    def _not(self) -> Node:
        negative = False
        while self._accept("not"):
            negative = not negative
        node = self._single()
        return expression.negated(node) if negative else node

    def _single(self) -> Node:
        token = self._peek()
        if token is None or token.kind in ("and", "or", ")"):
            self._fail_on_missing(token)
        self._at += 1
        if token.kind == "(":
            return self._group(token)
        if token.kind == "text":
            return Words(token.pieces[0].value)
        term = self._term(token)
        return expression.negated(term) if token.negated else term

    def _group(self, opening: Token) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(opening, f"there are more than {MAX_DEPTH} ( inside each other", "write it flatter")
        node = self._any()
        if not self._accept(")"):
            self._fail(opening, "this ( is not closed", "put a ) where it ends")
        self._depth -= 1
        return node

    def _term(self, token: Token) -> Term:
        field = fields.find(token.field)
        assert field is not None
        values = [piece.value for piece in token.pieces]
        if token.operator == LIKE:
            values = [value._replace(literal=False) for value in values]
        operators = field.kind.operators
        if token.operator not in operators:
            self._fail(token, f"{field.name} can't be asked for with {token.operator}", _usable(field))
        try:
            field.kind.match(token.operator, values)
            self._check_choices(field, token.operator, values)
        except BadValue as error:
            piece = token.pieces[error.value]
            raise FilterError(self._text, piece.start, piece.end, error.what, error.fix) from None
        return Term(field.name, token.operator, tuple(values))

    def _check_choices(self, field: Field, operator: str, values: Sequence[Value]) -> None:
        """Each value must be one that some record can have."""
        if field.choices is None:
            return
        every = {choice: None for choices in field.choices.values() for choice in choices}
        for n, value in enumerate(values):
            match = field.kind.match(operator, [value])
            assert not isinstance(match, frozenset)
            if not any(map(match, every)):
                raise BadValue(n, f"{field.name} is never {value.text}", f"it is {', '.join(map(str.lower, every))}")

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _accept(self, kind: str) -> bool:
        token = self._peek()
        if token is None or token.kind != kind:
            return False
        self._at += 1
        return True

    def _begins_another(self) -> bool:
        token = self._peek()
        return token is not None and token.kind in ("(", "not", "term", "text")

    def _fail_on_missing(self, token: Token | None) -> NoReturn:
        before = self._tokens[self._at - 1] if self._at else None
        fix = "write a condition as pid:1234, or leave it out"
        what = "a condition is missing here"
        if before is not None and before.kind in ("and", "or", "not", "("):
            what = f"a condition is missing after {self._text[before.start : before.end]}"
        elif token is not None:
            what = f"a condition is missing before {self._text[token.start : token.end]}"
        start = token.start if token is not None else len(self._text)
        raise FilterError(self._text, start, token.end if token is not None else start, what, fix)

    def _fail(self, token: Token, what: str, fix: str) -> NoReturn:
        raise FilterError(self._text, token.start, token.end, what, fix)


def _usable(field: Field) -> str:
    if isinstance(field.kind, Number):
        return f"use : != or {' '.join(ORDERS)}, as {field.example}"
    return f"use {EQUAL} != {LIKE} !{LIKE}, as {field.example}"
