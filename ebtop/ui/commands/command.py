"""What a command is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """Something a key does."""

    id: str
    keys: tuple[str, ...]
    """Textual's names of the keys. Users may choose others, by id."""
    shown: str
    """The keys as people read them."""
    title: str
    help: str
    action: str
    """The Textual action, a method of the widget or app of the scope: "sort(1)" calls action_sort(1)."""
    hint: str = ""
    """A word for the line of hints; "" = not shown there."""
