"""Keys of the scope `table`."""

from __future__ import annotations

from ebtop.ui.commands.command import Command

COMMANDS = (
    Command("table.down", ("down", "j"), "↓ j", "Down", "One row down.", "move(1)"),
    Command("table.up", ("up", "k"), "↑ k", "Up", "One row up.", "move(-1)"),
    Command("table.page_down", ("pagedown", "ctrl+f"), "PgDn", "Page down", "One page down.", "page(1)"),
    Command("table.page_up", ("pageup", "ctrl+b"), "PgUp", "Page up", "One page up.", "page(-1)"),
    Command("table.top", ("g", "home"), "g Home", "Top", "To the top, and stay there.", "top"),
    Command("table.bottom", ("G", "upper_g", "end"), "G End", "Bottom", "To the last row.", "bottom"),
    Command("table.sort", ("s", "right", "l"), "s → l", "Sort", "Sort by the next column.", "sort(1)", "sort"),
    Command("table.sort_back", ("left", "h"), "← h", "Sort back", "Sort by the column before.", "sort(-1)"),
    Command("table.reverse", ("S", "upper_s"), "S", "Reverse", "Turn the order round.", "reverse"),
    Command("table.sort_menu", ("w",), "w", "Sort by", "Choose any column to sort by, hidden ones too.", "sort_menu"),
    Command("table.columns", ("c",), "c", "Columns", "Choose the columns to show.", "columns", "columns"),
)
