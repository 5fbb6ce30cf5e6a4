"""The filter language: which records are wanted, in words that can be typed.

    comm:nginx port:443 lat>100ms
    (user:www-data or container:web) not addr:10.0.0.0/8
    type:exec ret!=0

Terms. `field:value` (`=` is the same) and `field!=value`; `>`, `>=`, `<`, `<=` for numbers; `field~regex` and
`field!~regex` for texts. `pid:1,2,3` is any of these, `port:8000..8999` a range. In a text * stands for any characters.
Upper and lower case are alike, but for `comm:`, `parent:` and `cgroup:` without a *. Quotes go round a value with
blanks; in quotes \\* is an ordinary character. `comm:` means what the kernel keeps of a name, 15 bytes.

Free text is searched for in the name, command line, addresses, functions, cgroup, container, state and result of a
record; a number is also a process id.

`and`, `or`, `not` (also `&&`, `||`, `!`), with parentheses; two terms side by side are joined by "and", which binds
closer than "or".

Times have the units us, ms, s, m, h, d; sizes k, M, G, in powers of 1024; counts k and M, in powers of 1000.

A term decides only about records that have its field. For others it is not there: `lat>100ms pid:12` lets through what
process 12 does, and of its connects the slow ones; `type:connect lat>100ms` lets through nothing else. The kinds of
retransmits and of stacks are two fields of one name in this.

A value that is not known matches no term, and so it matches every term that is negated; `!=` is "not =".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ebtop.store.containers import ContainerLookup, no_containers
from ebtop.store.filter import fields, predicates, push
from ebtop.store.filter.completion import Completion, complete
from ebtop.store.filter.errors import FilterError
from ebtop.store.filter.expression import Node, as_text
from ebtop.store.filter.parser import parse_expression
from ebtop.store.filter.push import ContainerCgroups
from ebtop.store.selection import Predicate, Pushed
from ebtop.store.type_names import TYPE_NAMES

__all__ = [
    "Completion", "FieldHelp", "Filter", "FilterError", "FilterSelection", "complete", "describe_fields", "field_table",
    "parse",
]  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """An expression that was read; false when it is empty."""

    text: str
    """As it was typed."""
    expression: Node | None

    def __bool__(self) -> bool:
        return self.expression is not None

    @property
    def canonical(self) -> str:
        """The one way of writing it."""
        return as_text(self.expression) if self.expression is not None else ""

    def predicate(self, containers: ContainerLookup = no_containers) -> Predicate:
        """The decision about a record. It learns nothing: the same one may be used for ever."""
        return predicates.predicate(self.expression, containers)

    def pushed(self, containers_to_cgroups: ContainerCgroups | None = None) -> Pushed | None:
        """The part that the kernel can decide; never less than what passes. None = nothing.

        `containers_to_cgroups` names all cgroups of a container that a `container:` names, or None where it can't, or
        where the container may come back in another cgroup.
        """
        return push.pushed(self.expression, containers_to_cgroups)


@dataclass(frozen=True)
class FilterSelection:
    """A filter as a Selection."""

    filter: Filter
    containers: ContainerLookup = no_containers
    containers_to_cgroups: ContainerCgroups | None = None

    @property
    def text(self) -> str:
        return self.filter.text

    def predicate(self) -> Predicate:
        return self.filter.predicate(self.containers)

    def pushed(self) -> Pushed | None:
        return self.filter.pushed(self.containers_to_cgroups)


class FieldHelp(NamedTuple):
    """One field for people."""

    name: str
    aliases: tuple[str, ...]
    help: str
    example: str
    types: tuple[str, ...]
    """The record types that have it; empty = all."""


def parse(text: str) -> Filter:
    """Read an expression. Raises FilterError, which says what is wrong and where."""
    plain = "".join([" " if char.isspace() else char for char in text])
    return Filter(plain.strip(), parse_expression(plain))


def describe_fields() -> tuple[FieldHelp, ...]:
    """Every field, in the order to show."""
    return tuple(
        FieldHelp(
            field.name, field.aliases, field.help, field.example,
            () if len(field.of) > len(TYPE_NAMES) else tuple(TYPE_NAMES[record_type] for record_type in field.of),
        )
        for field in fields.FIELDS
    )  # fmt: skip


def field_table() -> str:
    """All fields as the Markdown table of the README."""
    rows = ["| field | of | what it is | for example |", "|---|---|---|---|"]
    for field in describe_fields():
        names = ", ".join(f"`{name}`" for name in (field.name, *field.aliases))
        rows.append(f"| {names} | {', '.join(field.types) or 'all'} | {field.help} | `{field.example}` |")
    return "\n".join(rows)
