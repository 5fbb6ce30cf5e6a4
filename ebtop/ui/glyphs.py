"""Characters for terminals that have only ASCII: the Linux console, a C locale without UTF-8."""

from __future__ import annotations

import os
import sys

from rich.cells import cell_len

_ASCII = str.maketrans(
    {
        "…": "~", "·": ".", "│": "|", "▏": "|", "▎": "|", "▍": "|", "▌": "|", "▋": "#", "▊": "#", "▉": "#", "█": "#",
        "▔": "=", "░": ".", "●": "*", "○": "o", "≥": ">", "▲": "^", "▼": "v", "→": ">", "←": "<", "›": ">", "↵": "~",
        "─": "-", "+": "+", "✓": "+", "⏸": "=", "–": "-", "┤": "+", "┼": "+",
        "├": "+", "┬": "+", "└": "+", "┊": ":",
    }
)  # fmt: skip


def to_ascii(text: str) -> str:
    """The same text in ASCII and in as many cells; a character without a stand-in becomes ?."""
    if text.isascii():
        return text
    text = text.translate(_ASCII)
    return text if text.isascii() else "".join([c if c.isascii() else "?" * cell_len(c) for c in text])


def terminal_is_ascii() -> bool:
    """Whether this terminal draws only ASCII: the Linux console, or an output that is not UTF-8."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return os.environ.get("TERM", "") == "linux" or encoding != "utf8"
