"""How many cells of a terminal a text takes, and cutting it to some; quick where each character takes one."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

_ONE_EACH = re.compile("[ -~\xa1-\xac\xae-\u02ff\u2010-\u2027\u2190-\u2199\u2500-\u25fc\u2800-\u28ff]*").fullmatch
"""ASCII, Latin, dashes and dots, arrows, boxes and blocks, braille: what nearly all of a screen is made of."""


def cells(text: str) -> int:
    """Of a text without control characters."""
    return len(text) if text.isascii() or _ONE_EACH(text) else cell_len(text)


def cut(text: str, width: int) -> str:
    """As much of a text as has room, filled up with blanks where half a wide character has not."""
    if text.isascii() or _ONE_EACH(text):
        return text[:width]
    return set_cell_size(text, width) if cell_len(text) > width else text
