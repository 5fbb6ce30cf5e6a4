"""Names one frame in full: its figures on the first line, its name and what it is on the second."""

from __future__ import annotations

from ebtop.store.flame_paths import title_of
from ebtop.store.flame_tree import ROOT
from ebtop.store.flame_window import FlameWindow
from ebtop.store.records import Frame
from ebtop.ui.stack_words import WORDS
from ebtop.ui.strips import Line, Run, StripWidget, fit, width_of
from ebtop.units import percent

KIND_WORDS = {
    "process": "process",
    "thread": "threads of this name",
    "state": "what they wait in, or the kind of fault",
    "waker": "who ended the wait",
    "kernel": "kernel",
    "native": "native",
    "interpreted": "interpreted",
    "jit": "JIT",
    "unknown": "no symbol",
    "cut": "the callers above are not known",
    "root": "everything",
}
KIND_STYLES = {"kernel": "info", "native": "warn", "interpreted": "good", "jit": "violet", "cut": "bad"}


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
        self._figures.append((f"   of {WORDS[window.kind].whole(window)}", "dim"))
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        frame = self._frame
        kind: list[Run] = [(KIND_WORDS.get(frame.kind, frame.kind), KIND_STYLES.get(frame.kind, "dim"))]
        if frame.module and frame.kind not in ("process", "waker"):
            place = f"{frame.file}:{frame.line}" if frame.file else frame.module
            kind += [(" in ", "dim"), (fit(place, width // 3, middle=bool(frame.file)).rstrip(), "text")]
        room = width - width_of(kind) - 4
        name = fit(title_of(frame), room, middle=True).rstrip()
        return [Line(tuple(self._figures)), Line(((f" {name}   ", "strong"), *kind))]


def _weighed(window: FlameWindow, weight: int) -> list[Run]:
    whole, words = window.tree.total[0], WORDS[window.kind]
    return [
        (f"{words.amount(window, weight)} ", "text"),
        (percent(100 * weight / whole) if whole else "-", "strong"),
        (f" {words.per_second(window, weight)}", "text"),
    ]
