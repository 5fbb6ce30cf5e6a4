"""Keys of the scope `icicle`."""

from __future__ import annotations

from ebtop.ui.commands.command import Command

COMMANDS = (
    Command("icicle.down", ("down", "j"), "↓ j", "Callee", "To the heaviest frame called from here.", "down"),
    Command("icicle.up", ("up", "k"), "↑ k", "Caller", "To the caller.", "up"),
    Command("icicle.left", ("left", "h"), "← h", "Left", "To the frame on the left.", "side(-1)"),
    Command("icicle.right", ("right", "l"), "→ l", "Right", "To the frame on the right.", "side(1)"),
    Command("icicle.page_down", ("pagedown", "ctrl+f"), "PgDn", "Deeper", "Eight frames deeper.", "page(1)"),
    Command("icicle.page_up", ("pageup", "ctrl+b"), "PgUp", "Shallower", "Eight frames up.", "page(-1)"),
    Command("icicle.top", ("g", "home"), "g Home", "Root", "To the frame on top.", "top"),
    Command("icicle.bottom", ("G", "upper_g", "end"), "G End", "Leaf", "Down the heaviest path.", "bottom"),
    Command(
        "icicle.zoom_in",
        ("enter",),
        "Enter",
        "Zoom",
        "Make this frame the top row; on the top row: who runs it; on [cut]: why, and what would mend it.",
        "zoom_in",
        "zoom",
    ),
)
