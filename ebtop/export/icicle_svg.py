"""An icicle as SVG: whole as it stands, and with zoom, search and keyboard where scripts run. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

from ebtop.export.escape import xml
from ebtop.export.icicle_cells import Cell, Paint, depth_of

_WIDTH = 1200
_ROW = 18
_CHARACTER, _PAD = 7.25, 4
_LINE = 16
_NARROWEST = 0.3
"""Pixels; what is narrower at first is drawn when it has been zoomed to."""

STYLE = """
svg.icicle{font:12px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;background:#fff;fill:#1d2330}
svg.icicle{user-select:none;outline:none}
.icicle .head{font-weight:bold;font-size:14px}
.icicle .live{display:none}
.icicle .found,.icicle .reset{cursor:pointer;fill:#2457b8}
.icicle .right{text-anchor:end}
.icicle .f{cursor:pointer}
.icicle .f text{pointer-events:none;fill:#10131a}
.icicle .n{display:none}
.icicle .above{opacity:.55}
.icicle .miss{opacity:.25}
.icicle .f:hover rect,.icicle .cursor rect{stroke:#000;stroke-width:1.5}
.icicle .cut rect{stroke:#a4262c;stroke-width:1.5;stroke-dasharray:4 2}
.root{fill:#d5d9e0}
.process0,.process1,.process2,.process3,.thread0,.thread1,.thread2,.thread3{fill:#c3cad6}
.kernel0{fill:#8fb4ee}.kernel1{fill:#9dc0f5}.kernel2{fill:#7fa8e6}.kernel3{fill:#a9c8f2}
.native0{fill:#f3b26b}.native1{fill:#f7bf7f}.native2{fill:#eda75a}.native3{fill:#f5b984}
.interpreted0{fill:#93cf95}.interpreted1{fill:#a2d8a4}.interpreted2{fill:#84c487}.interpreted3{fill:#b0ddaa}
.jit0{fill:#c6a5ea}.jit1{fill:#d0b3ee}.jit2{fill:#bc98e4}.jit3{fill:#d6bdf0}
.unknown0,.unknown1,.unknown2,.unknown3{fill:#c9c9c9}
.cut rect{fill:#f6d9da}
.rest{fill:#e4e4e4}
.more1{fill:#fbdcd8}.more2{fill:#f6b5ad}.more3{fill:#ee8a7f}.more4{fill:#e25d50}
.less1{fill:#d9e6fb}.less2{fill:#aecbf5}.less3{fill:#7fabec}.less4{fill:#5289df}
.same{fill:#e2e4e8}
@media (prefers-color-scheme:dark){svg.icicle{background:#14171d;fill:#d8dde6}
.icicle .found,.icicle .reset{fill:#8ab4ff}
.icicle .f:hover rect,.icicle .cursor rect{stroke:#fff}}
"""
"""Colour says the kind of code; [cut] has a dashed edge too, and a difference has its sign in front of its name."""


@lru_cache(1)
def script() -> str:
    """What moves in it."""
    return files("ebtop.export").joinpath("icicle.js").read_text("utf-8")


def document(found: Sequence[Cell], paint: Paint, lines: Sequence[str]) -> str:
    """A file of its own; `lines` are its heading and what is to be known about it."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        + drawing(found, paint, lines, f"<style>{STYLE}</style>")
        .replace("</svg>", f"<script><![CDATA[\n{script()}]]></script>\n</svg>")
    )  # fmt: skip


def drawing(found: Sequence[Cell], paint: Paint, lines: Sequence[str], style: str = "") -> str:
    """The element alone: the page that it stands in has `STYLE` and `script()`."""
    top = _LINE * (len(lines) + 2)
    height = top + _ROW * depth_of(found) + _PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="icicle" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" tabindex="0" role="img" aria-label="{xml(lines[0] if lines else "icicle")}">',
        f"<desc>{xml(' / '.join(lines))}</desc>",
        style,
    ]
    for number, line in enumerate(lines, 1):
        look = ' class="head"' if number == 1 else ""
        parts.append(f'<text{look} x="{_PAD}" y="{_LINE * number}">{xml(line)}</text>')
    y = _LINE * (len(lines) + 1)
    parts += [
        f'<text class="status" x="{_PAD}" y="{y}"></text>',
        f'<text class="found right live" x="{_WIDTH - _PAD}" y="{_LINE}">Search: /</text>',
        f'<text class="reset right live" x="{_WIDTH - _PAD}" y="{2 * _LINE}">Reset: Esc</text>',
    ]
    scale = _WIDTH / found[0].weight if found else 0.0
    parts += [_frame(cell, paint, scale, top) for cell in found]
    if not found:
        parts.append(f'<text x="{_PAD}" y="{top + _LINE}">no samples</text>')
    return "\n".join([*parts, "</svg>"])


def _frame(cell: Cell, paint: Paint, scale: float, top: int) -> str:
    label, style, words = paint(cell)
    x, width = cell.left * scale, cell.weight * scale
    hidden = " n" if width < _NARROWEST else ""
    cut = " cut" if style == "cut" else ""
    room = int((width - 2 * _PAD) / _CHARACTER)
    shown = "" if room < 3 else label if len(label) <= room else label[: room - 1] + "…"
    y = top + _ROW * cell.depth
    box = max(_NARROWEST, width - (0.5 if width > 3 else 0))
    return (
        f'<g class="f{cut}{hidden}" data-f="{cell.left} {cell.weight} {cell.depth}" data-n="{xml(label)}">'
        f"<title>{_lines(words)}</title>"
        f'<rect class="{style}" x="{x:.2f}" y="{y}" width="{box:.2f}" height="{_ROW - 1}" rx="1"/>'
        f'<text x="{x + _PAD:.2f}" y="{y + 13}">{xml(shown)}</text></g>'
    )


def _lines(text: str) -> str:
    return "\n".join(map(xml, text.split("\n")))
