"""Keys of the scope `text`."""

from __future__ import annotations

from ebtop.ui.commands.command import Command

COMMANDS = (
    Command("text.down", ("down", "j"), "↓ j", "Down", "One line down.", "scroll(1)"),
    Command("text.up", ("up", "k"), "↑ k", "Up", "One line up.", "scroll(-1)"),
    Command("text.page_down", ("pagedown", "ctrl+f"), "PgDn", "Page down", "One page down.", "page(1)"),
    Command("text.page_up", ("pageup", "ctrl+b"), "PgUp", "Page up", "One page up.", "page(-1)"),
    Command("text.top", ("g", "home"), "g Home", "Top", "To the first line.", "top"),
    Command("text.bottom", ("G", "upper_g", "end"), "G End", "Bottom", "To the last line, and stay there.", "bottom"),
)
