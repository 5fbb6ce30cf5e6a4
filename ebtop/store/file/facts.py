"""The facts of a file: which node, what was collected, from when to when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, get_type_hints

from ebtop.store.evidence import CollectionFacts, HostFacts

Facts = TypeVar("Facts", bound=tuple[Any, ...])
_NOTHING: Mapping[Any, Any] = {str: "", int: 0, float: 0.0}


class PeriodFacts(NamedTuple):
    """What changes while a file is written."""

    began_ns: int = 0
    """When collecting began."""
    ended_ns: int = 0
    """When the file was ended as it should be; 0 = it is still being written, or its writer was killed."""
    ended_why: str = ""
    """What ended it."""
    masked: int = -1
    """Secrets that were masked; -1 = nobody looked for any."""
    written_ns: int = 0
    """Up to when everything is in the file."""
    seen: int = 0
    """Records that came in."""


class FileFacts(NamedTuple):
    """All of them."""

    host: HostFacts
    collection: CollectionFacts
    period: PeriodFacts


def rows(prefix: str, facts: tuple[Any, ...]) -> Iterator[tuple[str, str | int | float]]:
    """Name and value of each."""
    fields: tuple[str, ...] = facts._fields  # type: ignore[attr-defined]
    for name, value in zip(fields, facts, strict=True):
        yield f"{prefix}.{name}", json.dumps(value) if isinstance(value, tuple) else value


def read(values: Mapping[str, object], text: Callable[[str], str]) -> FileFacts:
    """From name and value of each; what is missing or of another type is as if it were not known."""
    return FileFacts(
        _read(HostFacts, "host", values, text),
        _read(CollectionFacts, "collection", values, text),
        _read(PeriodFacts, "period", values, text),
    )


def _read(kind: type[Facts], prefix: str, values: Mapping[str, object], text: Callable[[str], str]) -> Facts:
    found: dict[str, Any] = {}
    defaults: Mapping[str, Any] = kind._field_defaults  # type: ignore[attr-defined]
    for name, hint in get_type_hints(kind).items():
        value = values.get(f"{prefix}.{name}")
        if hint in _NOTHING:
            fits = type(value) is hint or (hint is float and type(value) is int)
            nothing = defaults.get(name, _NOTHING[hint])
            found[name] = (text(value) if isinstance(value, str) else value) if fits else nothing
        else:
            found[name] = tuple(map(text, _names(value)))
    return kind(**found)


def _names(value: object) -> list[str]:
    """Of a JSON list of texts."""
    try:
        names = json.loads(value) if isinstance(value, str) else []
    except (ValueError, RecursionError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
