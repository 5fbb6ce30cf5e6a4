"""Braille in an SVG as dots: few fonts of one width have it, and in another the charts lose their shape."""

from __future__ import annotations

import html
import re

_CELL_WIDTH, _LINE_HEIGHT, _ABOVE_BASELINE = 12.2, 24.4, 18.5
"""Pixels, as Textual exports a screen."""
_DOT = 2.6
_TEXT = re.compile(
    r'<text class="(?P<style>[^"]*)" x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)"(?P<rest>[^>]*)>(?P<text>[^<]*)</text>'
)
_PLACES = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""(column, row) of each bit of a Braille character."""


def with_drawn_braille(svg: str) -> str:
    """The same picture with blanks for Braille characters, and their dots on top."""
    return _TEXT.sub(_draw, svg)


def _draw(match: re.Match[str]) -> str:
    text = html.unescape(match["text"])
    dots = "".join(
        _dot(float(match["x"]) + at * _CELL_WIDTH, float(match["y"]) - _ABOVE_BASELINE, *place)
        for at, char in enumerate(text)
        if _is_braille(char)
        for bit, place in enumerate(_PLACES)
        if ord(char) >> bit & 1
    )
    if not dots:
        return match[0]
    rest = "".join("\xa0" if _is_braille(char) else char for char in text)
    words = html.escape(rest, quote=False).replace("\xa0", "&#160;")
    place = f'x="{match["x"]}" y="{match["y"]}"{match["rest"]}'
    return f'<text class="{match["style"]}" {place}>{words}</text><path class="{match["style"]}" d="{dots}"/>'


def _is_braille(char: str) -> bool:
    return "\u2800" <= char <= "\u28ff"


def _dot(left: float, top: float, column: int, row: int) -> str:
    x = left + _CELL_WIDTH * (1 + 2 * column) / 4 - _DOT / 2
    y = top + _LINE_HEIGHT * (1 + 2 * row) / 8 - _DOT / 2
    return f"M{x:.1f} {y:.1f}h{_DOT}v{_DOT}h-{_DOT}z"
