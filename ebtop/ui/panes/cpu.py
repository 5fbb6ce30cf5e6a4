"""Where CPU time goes: an icicle of the last minute's stacks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult

from ebtop.store.flame_tree import FlameWindow
from ebtop.store.records import Frame, StackRecord
from ebtop.store.source import ProbeHealth
from ebtop.ui.icicle import Icicle
from ebtop.ui.moment import Moment
from ebtop.ui.panes.base import Pane
from ebtop.ui.strips import Line, Run, StripWidget, fit
from ebtop.ui.title import Figure
from ebtop.units import count, percent, rate, share

WINDOW_S = 60.0
_KIND_WORDS = {
    "process": "process",
    "kernel": "kernel",
    "native": "native",
    "interpreted": "interpreted",
    "jit": "jit",
    "unknown": "no symbol",
    "cut": "the callers above are not known",
    "root": "everything",
}
_KIND_STYLES = {"kernel": "info", "native": "warn", "interpreted": "good", "jit": "violet", "cut": "bad"}


class FrameLine(StripWidget):
    """Names one frame in full: its samples on the first line, its name on the second."""

    DEFAULT_CSS = "FrameLine { height: 2; }"

    def __init__(self) -> None:
        super().__init__(classes="body")
        self._frame = Frame("", "root", "")
        self._own = self._total = self._all = 0

    def show(self, frame: Frame, own: int, total: int, everything: int) -> None:
        self._frame, self._own, self._total, self._all = frame, own, total, everything
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        frame = self._frame
        kind = (_KIND_WORDS.get(frame.kind, frame.kind), _KIND_STYLES.get(frame.kind, "dim"))
        figures: list[Run] = [
            (" total ", "dim"),
            (f"{count(self._total)} ", "text"),
            (self._percent(self._total), "strong"),
            ("   self ", "dim"),
            (f"{count(self._own)} ", "text"),
            (self._percent(self._own), "strong"),
            (f"   of {count(self._all)} samples   ", "dim"),
            kind,
        ]
        if frame.module:
            figures += [(" in ", "dim"), (frame.module, "text")]
        name = (" " + fit(frame.name, width - 1, middle=True), "strong")
        return [Line(tuple(figures)), Line((name,))]

    def _percent(self, samples: int) -> str:
        return percent(100 * samples / self._all) if self._all else "-"


class CpuPane(Pane):
    probe = "cpu"
    number = 1
    heading = "CPU"
    nothing_yet = "CPU sample taken"
    words = (
        "Which code the CPUs ran in the last 60 s, sampled on every CPU. Each bar is a function, as wide as its "
        "share of the samples; below it stands what it called. Shading in a bar's colour under it is time in the "
        "function itself. Blue is kernel, orange native, green interpreted, violet JIT code, grey has no symbol. "
        "+N stands for N callees too narrow to draw. [cut] means that the callers above are not known: the stack "
        "is incomplete."
    )

    def __init__(self) -> None:
        self.window = FlameWindow(WINDOW_S)
        self.icicle = Icicle(self.window)
        self.frame_line = FrameLine()
        self._held: deque[tuple[int, Sequence[StackRecord], float]] = deque()
        super().__init__(self.icicle)

    def content(self) -> ComposeResult:
        yield self.icicle
        yield self.frame_line

    def collect(self, moment: Moment) -> None:
        snapshot = moment.snapshot
        self._held.append((snapshot.time_ns, snapshot.stacks, snapshot.sampled_s))
        while self._held[0][0] <= snapshot.time_ns - int(WINDOW_S * 1e9):
            self._held.popleft()

    def thaw(self) -> None:
        super().thaw()
        while self._held:
            self.window.add(*self._held.popleft())
        self.icicle.renumber(self.window.compact((self.icicle.cursor, *self.icicle.zooms)))

    def draw_body(self, moment: Moment) -> None:
        self.icicle.redraw()
        self._name_frame()

    def empty(self, moment: Moment) -> bool:
        return self.window.samples == 0

    def leading(self, moment: Moment) -> list[Figure]:
        return [
            Figure(f"{self.floor(moment)}{rate(moment.snapshot.rates.samples)} samples/s", "text"),
            Figure(f"{self.floor(moment)}{count(self.window.samples)} in {WINDOW_S:.0f} s", "dim", 5),
        ]

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        if not self.window.samples:
            return []
        whole, every = self.window.whole_samples, self.window.samples
        style = "good" if whole >= 0.95 * every else "warn"
        return [Figure(f"{share(whole, every)} whole stacks", style, 1)]

    @on(Icicle.CursorMoved)
    def _name_frame(self) -> None:
        tree, node = self.window.tree, self.icicle.cursor
        self.frame_line.show(tree.frame(node), tree.own[node], tree.total[node], tree.total[0])
