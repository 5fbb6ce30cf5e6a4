"""How an expression can go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ebtop.store.filter import fields
from ebtop.store.filter.errors import FilterError
from ebtop.store.filter.expression import Value, quoted
from ebtop.store.filter.fields import Field
from ebtop.store.filter.kinds import Number
from ebtop.store.filter.lexer import Lexer, Token

_MOST = 50
_CONNECTIVES = (("and", "both sides hold"), ("or", "either side holds"))
_NEGATION = ("not", "what follows does not hold")
_KNOWN_ANYWHERE = ("comm", "container")
"""Fields whose known values are offered to who types one without naming the field."""


class Completion(NamedTuple):
    """One way to go on."""

    label: str
    """What is added or replaced, for a list: "pid:", "nginx"."""
    help: str
    text: str
    """The whole expression when it is taken."""
    cursor: int
    """Where the cursor stands then."""


def complete(text: str, cursor: int, known: Mapping[str, Sequence[str]]) -> tuple[Completion, ...]:
    """Ways to go on at the cursor, likeliest first; empty where nothing is known.

    `known` are values that exist now, by field: comm, user, container, pod, cgroup, addr, port, func...
    """
    before, after = text[:cursor], text[cursor:]
    try:
        found = Lexer(before, lenient=True).all()
    except FilterError:  # too long
        return ()
    token = found[-1] if found and found[-1].end == len(before) else None
    if token is None and found and _awaits_value(found[-1]):
        token = found[-1]
    if token is not None and token.kind == "term":
        return _values(token, before, after, known)
    if token is not None and token.kind not in ("text", "and", "or", "not"):
        token = None
    start = token.start if token is not None else len(before)
    if before[start : start + 1] in ("'", '"', "!", "&", "|"):
        return ()
    earlier = [other for other in found if other.start < start]
    return _terms(before[start:], before[:start], after, earlier[-1] if earlier else None, known)


def _awaits_value(token: Token) -> bool:
    """Whether blanks follow an operator: `lat > `."""
    return token.kind == "term" and not token.pieces[-1].value.text


def _terms(
    typed: str, before: str, after: str, previous: Token | None, known: Mapping[str, Sequence[str]]
) -> tuple[Completion, ...]:
    """Names of fields, connectives, and values that say which field they are of."""
    wanted = typed.lower()
    ends_condition = previous is not None and previous.kind in ("term", "text", ")")
    offers: list[tuple[str, str]] = []
    for field in fields.FIELDS:
        names = [name for name in (field.name, *field.aliases) if name.startswith(wanted)]
        if names:
            offers.append((f"{names[0]}{field.operator}", field.help))
    words = (*_CONNECTIVES, _NEGATION) if ends_condition else (_NEGATION,)
    offers += [(f"{word} ", help) for word, help in words if word.startswith(wanted)]
    if wanted:
        offers += [
            (f"{name}:{quoted(Value(value, '*' in value))}", "")
            for name in _KNOWN_ANYWHERE
            for value in known.get(name, ())
            if wanted in value.lower()
        ]
    return tuple(
        Completion(label.strip(), help, f"{before}{label}{after}", len(before) + len(label))
        for label, help in offers[:_MOST]
    )


def _values(token: Token, before: str, after: str, known: Mapping[str, Sequence[str]]) -> tuple[Completion, ...]:
    """Values of the field, for the last one of the term."""
    field = fields.find(token.field)
    assert field is not None
    piece = token.pieces[-1]
    wanted = piece.value.text.lower()
    offers = [(value, field.help if value.lower() == wanted else "") for value in _candidates(field, known)]
    starting = [offer for offer in offers if offer[0].lower().startswith(wanted)]
    containing = [offer for offer in offers if wanted in offer[0].lower() and offer not in starting]
    found = []
    for value, help in (starting + containing)[:_MOST]:
        written = quoted(Value(value, "*" in value))
        found.append(Completion(value, help, f"{before[: piece.start]}{written}{after}", piece.start + len(written)))
    return tuple(found)


def _candidates(field: Field, known: Mapping[str, Sequence[str]]) -> Iterable[str]:
    if field.choices is not None:
        return dict.fromkeys(choice.lower() for choices in field.choices.values() for choice in choices)
    values = [*field.usual, *known.get(field.known_as or field.name, ())]
    if not values and isinstance(field.kind, Number):
        values = field.kind.examples.replace(",", "").replace(" or ", " ").replace(" to ", " ").split()
    return dict.fromkeys(values)
