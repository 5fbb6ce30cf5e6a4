"""Names one frame in full: its figures on the first line, its name and what it is on the second."""

from __future__ import annotations

from ebtop.store.flame_paths import title_of
from ebtop.store.flame_tree import ROOT
from ebtop.store.flame_window import FlameWindow
from ebtop.store.records import Frame
from ebtop.ui.strips import Line, Run, StripWidget, fit, width_of
from ebtop.units import count, percent

KIND_WORDS = {
    "process": "process",
    "thread": "threads of this name",
    "kernel": "kernel",
    "native": "native",
    "interpreted": "interpreted",
    "jit": "JIT",
    "unknown": "no symbol",
    "cut": "the callers above are not known",
    "root": "everything",
}
KIND_STYLES = {"kernel": "info", "native": "warn", "interpreted": "good", "jit": "violet", "cut": "bad"}


def cpus(value: float | None) -> str:
    """A number of CPUs: 0.31, 12.4, <0.01, - where it is not known."""
    if value is None:
        return "-"
    if 0 < value < 0.01:
        return "<0.01"
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


class FrameLine(StripWidget):
    DEFAULT_CSS = "FrameLine { height: 2; }"

    def __init__(self) -> None:
        super().__init__(classes="body")
        self._frame = ROOT
        self._figures: list[Run] = []

    def show(self, window: FlameWindow, frame: Frame, own: int | None, total: int) -> None:
        """`own` and `total` are weights in the window's tree; `own` None = not asked for this frame."""
        self._frame = frame
        self._figures = [(" total ", "dim"), *_weighed(window, total)]
        if own is not None:
            self._figures += [("   self ", "dim"), *_weighed(window, own)]
        self._figures.append((f"   of {_about(window)}{count(window.samples)} samples", "dim"))
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        frame = self._frame
        kind: list[Run] = [(KIND_WORDS.get(frame.kind, frame.kind), KIND_STYLES.get(frame.kind, "dim"))]
        if frame.module and frame.kind != "process":
            kind += [(" in ", "dim"), (fit(frame.module, width // 3).rstrip(), "text")]
        room = width - width_of(kind) - 4
        name = fit(title_of(frame), room, middle=True).rstrip()
        return [Line(tuple(self._figures)), Line(((f" {name}   ", "strong"), *kind))]


def _weighed(window: FlameWindow, weight: int) -> list[Run]:
    whole = window.tree.total[0]
    return [
        (f"{_about(window)}{count(window.samples_of(weight))} ", "text"),
        (percent(100 * weight / whole) if whole else "-", "strong"),
        (f" {cpus(window.cpus_of(weight))} CPUs", "text"),
    ]


def _about(window: FlameWindow) -> str:
    """What stands before a number of samples that is worked out from CPU time."""
    return "" if window.exact else "≈"
