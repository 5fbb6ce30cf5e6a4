"""Which records a view is about: a filter, a process, a peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from ebtop.store.records import Record

Predicate = Callable[[Record], bool]


class Pushed(NamedTuple):
    """The part of a selection that can be decided inside the kernel; never less than the selection.

    Kinds are combined with "and", values of one kind with "or"; an empty kind restricts nothing.
    """

    pids: frozenset[int] = frozenset()
    comms: frozenset[str] = frozenset()
    cgroups: tuple[str, ...] = ()
    """Paths, with everything below."""

    def __bool__(self) -> bool:
        return bool(self.pids or self.comms or self.cgroups)


class Selection(Protocol):
    """A choice of records."""

    @property
    def text(self) -> str:
        """For people, printable: "pid:12", "nginx (12)"."""

    def predicate(self) -> Predicate:
        """A fresh decision. It is given records in order of time and may learn from them, as which pids have to do
        with a peer: so one predicate serves one pass over the records."""

    def pushed(self) -> Pushed | None:
        """What the kernel can decide of it; None = nothing."""
