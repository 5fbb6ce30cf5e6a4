"""What Enter goes to: a process, a command, a peer, a connection, a frame."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.selection import Selection


class Focus(NamedTuple):
    """One step of the way from symptom to cause."""

    kind: str
    """process, command, peer, connection or frame."""
    title: str
    """For the breadcrumb: "nginx (1234)", "10.0.0.5:5432"."""
    selection: Selection
    pid: int = 0
    """Of a process, to look up who it is; 0 otherwise."""


class Copied(NamedTuple):
    """What `y` takes along."""

    what: str
    """For the message: "row", "stack", "command"."""
    text: str
    """Printable lines."""
