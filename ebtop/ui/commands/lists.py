"""Keys of the scope `lists`: the panes of execs, connections, retransmits and connects."""

from __future__ import annotations

from ebtop.ui.commands.command import Command

COMMANDS = (
    Command(
        "lists.mode",
        ("t",),
        "t",
        "Totals",
        "Single rows, or what they add up to by command, peer, process or target.",
        "next_mode",
        "totals",
    ),
)
