"""An expression as a tree, and the tree as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

EQUAL, LIKE = ":", "~"
ORDERS = (">", ">=", "<", "<=")

_BARE = re.compile(r"""[^\s"'(),&|]+""")
_BARE_WORD = re.compile(r"""[^\s"'(),&|!:=<>~]+""")
_KEYWORDS = ("and", "or", "not")


class Value(NamedTuple):
    """One value of a term."""

    text: str
    literal: bool = False
    """A `*` in it is no wildcard: it was written \\* in quotes."""


# Dataclasses and not named tuples: a tree of one kind must not equal one of another that holds the same.
@dataclass(frozen=True)
class Term:
    """field:value, field>value, field~regex; several values are alternatives."""

    field: str
    """The field's own name, not an alias."""
    operator: str
    """EQUAL, LIKE or one of ORDERS."""
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Words:
    """Free text."""

    value: Value


@dataclass(frozen=True)
class Not:
    """What `of` does not hold for."""

    of: Node


@dataclass(frozen=True)
class All:
    """Two or more that must hold together; none of them is an All."""

    of: tuple[Node, ...]


@dataclass(frozen=True)
class Any:
    """Two or more of which one must hold; none of them is an Any."""

    of: tuple[Node, ...]


Node = Term | Words | Not | All | Any


def negated(node: Node) -> Node:
    """Its opposite, without a double negation."""
    return node.of if isinstance(node, Not) else Not(node)


def joined(kind: type[All] | type[Any], parts: list[Node]) -> Node:
    """Parts under one "and" or "or"; a single part stands for itself."""
    flat: list[Node] = []
    for part in parts:
        flat.extend(part.of if isinstance(part, kind) else (part,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def as_text(node: Node) -> str:
    """The expression in one way of writing it, which reads as the same tree."""
    if isinstance(node, All):
        return " ".join(map(_part, node.of))
    if isinstance(node, Any):
        return " or ".join(map(_part, node.of))
    if isinstance(node, Not):
        inner = node.of
        if isinstance(inner, Term) and inner.operator in (EQUAL, LIKE):
            return _term(inner, f"!{'=' if inner.operator == EQUAL else LIKE}")
        return f"not {_part(inner)}"
    return _term(node, node.operator) if isinstance(node, Term) else quoted(node.value, _BARE_WORD)


def quoted(value: Value, bare: re.Pattern[str] = _BARE) -> str:
    """A value as it must be written: in quotes where it would be read as something else."""
    if bare.fullmatch(value.text) and not value.literal and value.text.lower() not in _KEYWORDS:
        return value.text
    escaped = value.text.replace("\\", "\\\\").replace('"', '\\"')
    if value.literal:
        escaped = escaped.replace("*", "\\*")
    return f'"{escaped}"'


def _part(node: Node) -> str:
    return f"({as_text(node)})" if isinstance(node, (All, Any)) else as_text(node)


def _term(term: Term, operator: str) -> str:
    return f"{term.field}{operator}{','.join(map(quoted, term.values))}"
