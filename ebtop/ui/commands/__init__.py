"""Every key of the program, one module a scope: bindings, hints, palette, help and documentation come from here."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from ebtop.ui.commands import app, cpu, icicle, lists, table, text
from ebtop.ui.commands.command import Command

_SCOPES: dict[str, tuple[str, tuple[Command, ...]]] = {
    "app": ("anywhere", app.COMMANDS),
    "table": ("in a table", table.COMMANDS),
    "lists": ("in exec, TCP, retransmits, connects", lists.COMMANDS),
    "cpu": ("in the CPU pane", cpu.COMMANDS),
    "icicle": ("in the icicle", icicle.COMMANDS),
    "text": ("in pages of text", text.COMMANDS),
}
COMMANDS: tuple[Command, ...] = tuple(command for _, commands in _SCOPES.values() for command in commands)
_ALWAYS = "quit.at_once"

__all__ = ["COMMANDS", "Command", "bindings", "in_scope", "key_table", "scope_of", "where"]


def in_scope(scope: str) -> tuple[Command, ...]:
    """The commands of one scope, in order."""
    return _SCOPES[scope][1]


def scope_of(command: Command) -> str:
    """The scope a command belongs to."""
    return next(scope for scope, (_, commands) in _SCOPES.items() if command in commands)


def where(scope: str) -> str:
    """Where the keys of a scope work, for people: "anywhere", "in a table"."""
    return _SCOPES[scope][0]


def bindings(scope: str) -> list[BindingType]:
    """Textual's bindings for one scope."""
    return [
        Binding(",".join(c.keys), c.action, c.title, tooltip=c.help, id=c.id, priority=c.id == _ALWAYS)
        for c in in_scope(scope)
    ]


def key_table() -> str:
    """All keys as the Markdown table of the README."""
    rows = ["| key | where | what it does |", "|---|---|---|"]
    for place, commands in _SCOPES.values():
        rows += [f"| `{command.shown}` | {place} | {command.help} |" for command in commands]
    return "\n".join(rows)
