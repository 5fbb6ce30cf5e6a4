"""An icicle in the colours of a difference, and with its signs."""

from __future__ import annotations

from ebtop.store.flame_diff import FlameDiff
from ebtop.store.flame_paths import title_of
from ebtop.store.flame_tree import FlameTree
from ebtop.ui.baseline import DiffWindow
from ebtop.ui.icicle import Icicle
from ebtop.ui.strips import Line, Run, StripWidget, fit
from ebtop.units import percent

MEANINGS = {"+": "more", "-": "less", "=": "the same", "~": "perhaps chance", "*": "new", "x": "gone"}
_STRONG = 3
"""From this step on a change is drawn in full colour."""


def points(before: float, after: float) -> str:
    """A change of a share in percentage points: +2.1, -0.8."""
    return f"{100 * (after - before):+.1f}"


def style_of(diff: FlameDiff, node: int) -> str:
    """The palette's name for what changed in a frame."""
    step = diff.step(node)
    if not step:
        return "diff:same"
    return f"diff:{'more' if diff.after(node) > diff.before(node) else 'less'}{'!' if step >= _STRONG else ''}"


class DiffIcicle(Icicle):
    """Each frame's sign stands in front of its name: + more, - less, = the same, ~ perhaps chance, * new, x gone."""

    def __init__(self) -> None:
        super().__init__(DiffWindow(FlameDiff(FlameTree(), FlameTree())))

    @property
    def diff(self) -> FlameDiff:
        assert isinstance(self.window, DiffWindow)
        return self.window.diff

    def _style_of(self, node: int) -> str:
        return style_of(self.diff, node)

    def _label(self, node: int, cells: int) -> str:
        before, after = self.diff.before(node), self.diff.after(node)
        sign = self.diff.sign(node)
        name = f"{sign} {title_of(self.window.tree.frame(node))}"
        aside = "" if sign in "=~" else points(before, after)
        if aside and cells >= len(name) + len(aside) + 4:
            return "▏" + fit(name, cells - len(aside) - 2) + aside + " "
        if cells > 3:
            return "▏" + fit(name, cells - 1)
        return "▏" + sign.ljust(cells - 1)


class ChangeLine(StripWidget):
    """What changed in the frame under the cursor."""

    DEFAULT_CSS = "ChangeLine { height: 2; }"

    def __init__(self) -> None:
        super().__init__()
        self._said: list[Line] = []

    def show(self, diff: FlameDiff, node: int) -> None:
        frame = diff.tree.frame(node)
        before, after = diff.before(node), diff.after(node)
        style = style_of(diff, node)
        figures: list[Run] = [
            (f" {percent(100 * before)}", "text"), (" of the time before, ", "dim"), (percent(100 * after), "strong"),
            (" after: ", "dim"), (f"{points(before, after)} points, {MEANINGS[diff.sign(node)]}", _ink(style)),
        ]  # fmt: skip
        module = f"   {frame.kind}{f' in {frame.module}' if frame.module and frame.kind != 'process' else ''}"
        self._said = [Line(tuple(figures)), Line(((f" {title_of(frame)}", "strong"), (module, "dim")))]
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        return self._said


def _ink(style: str) -> str:
    """The colour of words about a change."""
    return "bad" if "more" in style else "info" if "less" in style else "dim"
