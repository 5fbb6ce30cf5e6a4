"""The part of an expression that the kernel can decide."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from ebtop.store.filter import kinds, patterns
from ebtop.store.filter.expression import EQUAL, All, Any, Node, Term, Value
from ebtop.store.selection import Pushed

ContainerCgroups = Callable[[str], Sequence[str] | None]
"""A container as `container:` names it to all its cgroups; None = can't be said, or may change."""

_MOST = 200
"""Values of one kind: the kernel's tables have room for this many, and for what others put there."""
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")

_V = TypeVar("_V")
_Kind = tuple[str, ...] | None
"""The only values that can pass; None = any."""


def pushed(node: Node | None, containers: ContainerCgroups | None = None) -> Pushed | None:
    """What passes this passes the expression, or not; what does not, never. None = the kernel can't decide anything."""
    if node is None:
        return None
    pids, comms, cgroups = (_values(node, kind, containers) for kind in ("pid", "comm", "cgroup"))
    found = Pushed(frozenset(map(int, pids or ())), frozenset(comms or ()), tuple(cgroups or ()))
    return found or None


def both(first: Pushed | None, second: Pushed | None) -> Pushed | None:
    """What both let through, or more."""
    if first is None or second is None:
        return first or second
    return Pushed(
        frozenset(_common(first.pids, second.pids)),
        frozenset(_common(first.comms, second.comms)),
        first.cgroups or second.cgroups,
    )


def is_as_in_the_kernel(text: str) -> bool:
    """Whether a record's text can only come from these very bytes: an escape may stand for one that can't be shown."""
    return not any(not chr(code).isprintable() or code >= 0x80 for code in map(_code, _ESCAPE.finditer(text)))


def _code(match: re.Match[str]) -> int:
    return min(int(match[1] or match[2] or match[3], 16), 0x10FFFF)


def _common(first: frozenset[_V], second: frozenset[_V]) -> frozenset[_V]:
    """An empty set restricts nothing; two that have nothing in common let nothing through, which can't be said."""
    return (first & second) or first or second


def _values(node: Node, kind: str, containers: ContainerCgroups | None) -> _Kind:
    """What a record must be one of, whatever its type."""
    if isinstance(node, Term):
        found = _of_term(node, kind, containers)
        return found if found is None or len(found) <= _MOST else None
    if isinstance(node, All):
        parts = [part for part in (_values(part, kind, containers) for part in node.of) if part]
        if not parts or kind == "cgroup":
            return min(parts, key=len, default=None)
        common = set(parts[0]).intersection(*parts[1:])
        return tuple(sorted(common)) or parts[0]
    if isinstance(node, Any):
        alternatives = [_values(part, kind, containers) for part in node.of]
        values = {value for part in alternatives for value in part or ()}
        return tuple(sorted(values)) if all(alternatives) and len(values) <= _MOST else None
    return None


def _of_term(term: Term, kind: str, containers: ContainerCgroups | None) -> _Kind:
    if term.operator != EQUAL:
        return None
    if kind == "cgroup" and term.field == "container" and containers is not None:
        found = [containers(value.text) for value in term.values]
        return tuple(path for paths in found for path in paths or ()) if all(found) else None
    if term.field != kind or any(map(patterns.has_wildcard, term.values)):
        return None
    values = [_READ[kind](value) for value in term.values]
    return None if None in values else tuple(value for value in values if value is not None)


def _pid(value: Value) -> str | None:
    return str(int(value.text)) if value.text.isdecimal() else None


def _comm(value: Value) -> str | None:
    kept = kinds.kept_comm(value.text)
    return kept if is_as_in_the_kernel(value.text) and is_as_in_the_kernel(kept) else None


def _cgroup(value: Value) -> str | None:
    path = value.text
    return path if path.startswith("/") and path.strip("/") and is_as_in_the_kernel(path) else None


_READ: dict[str, Callable[[Value], str | None]] = {"pid": _pid, "comm": _comm, "cgroup": _cgroup}
