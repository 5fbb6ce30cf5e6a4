"""A profile as an interactive icicle in one SVG file."""

from __future__ import annotations

from zlib import crc32

from ebtop.export.about import About
from ebtop.export.icicle_cells import Cell, Paint, Painted, cells
from ebtop.export.icicle_svg import document
from ebtop.export.stack_sums import Profile
from ebtop.export.stack_tree import StackTree
from ebtop.store.flame_paths import title_of
from ebtop.text import clean
from ebtop.units import duration, percent, plural

KIND_COLOURS = (
    "Blue is kernel, orange native, green interpreted, violet JIT code, grey has no symbol; a dashed edge marks stacks "
    "that are cut."
)
_SHADES = 4
_KINDS = frozenset(("process", "thread", "kernel", "native", "interpreted", "jit", "unknown"))


def svg(profile: Profile, about: About) -> str:
    """Root on top, as wide as its share of the weight."""
    tree = profile.tree
    return document(cells(tree), painter(tree, profile), about.lines(profile))


def painter(tree: StackTree, profile: Profile) -> Paint:
    """Colours by kind of code, and the same shade for the same name in every drawing."""
    total, whole = tree.total, max(1, tree.total[0])

    def paint(cell: Cell) -> Painted:
        frame = tree.frame(cell.node)
        share = f"{percent(100 * cell.weight / whole)} of {profile.title}"
        if cell.hidden:
            label = f"+{cell.hidden}"
            words = f"{plural(cell.hidden, 'callee')} of {clean(title_of(frame))}, too narrow to draw apart"
            return Painted(label, "rest", f"{words}\n{share}, {_amount(profile, cell.weight)}")
        name = clean(title_of(frame)) if cell.node else f"all {profile.title}"
        words = f"{name}\n{share}, {_amount(profile, cell.weight)}"
        own = tree.own(cell.node)
        if own and own != total[cell.node]:
            words += f"\nitself {percent(100 * own / whole)}"
        if frame.kind not in ("process", "root"):
            words += f"\n{frame.kind}{f', {clean(frame.module)}' if frame.module else ''}"
        return Painted(name, _style(frame.kind, frame.name), words)

    return paint


def _style(kind: str, name: str) -> str:
    if kind in ("root", "cut"):
        return kind
    return f"{kind if kind in _KINDS else 'unknown'}{crc32(name.encode('utf-8', 'replace')) % _SHADES}"


def _amount(profile: Profile, weight: int) -> str:
    if profile.kind == "offcpu":
        return duration(weight / 1e9)
    if profile.kind == "faults":
        return plural(weight, "fault")
    samples = plural(round(weight * profile.samples / profile.weight) if profile.weight else 0, "sample")
    return f"{samples}, {duration(weight / 1e9)}" if profile.timed else samples
