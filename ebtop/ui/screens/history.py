"""The last minutes as charts: CPU, execs, connects, retransmits, bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Protocol, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ebtop.store.evidence import Note
from ebtop.store.rows import Rates
from ebtop.store.source import Health
from ebtop.ui.charts import Chart, Series, draw, largest, round_up
from ebtop.ui.moment import Moment
from ebtop.ui.screens.page import Page
from ebtop.ui.strips import DrawingApp, Line, Run, StripWidget, fit
from ebtop.units import duration, percent, rate, size, wall_clock

REDRAW_S = 5.0
"""Seconds between two drawings by themselves."""
_TALL = 9
"""Lines that a chart needs at least."""
_WIDE = 60
"""Cells that a chart needs at least."""
_LEAST_S = 60.0
"""The time axis is at least this long."""
_REST_S = 0.02
"""Between two charts of a drawing that nobody asked for."""


class Second(Protocol):
    """What was remembered of one tick."""

    @property
    def time_ns(self) -> int: ...
    @property
    def rates(self) -> Rates: ...
    @property
    def health(self) -> Health: ...


class Remembering(Protocol):
    """What the page needs of a timeline."""

    def ticks(self) -> Sequence[Second]: ...
    def notes(self) -> Sequence[Note]: ...


class Curve(NamedTuple):
    name: str
    style: str
    value: Callable[[Second], float | None]


class _Frame(NamedTuple):
    """What a drawing of charts is of."""

    across: int
    down: int
    width: int
    height: int
    first: int
    seconds: Sequence[Second]

    def of(self, seconds: Sequence[Second]) -> _Frame:
        """The same of other seconds."""
        return self._replace(seconds=seconds)


class Plan(NamedTuple):
    """One chart."""

    title: str
    curves: tuple[Curve, ...]
    text: Callable[[float], str]
    top: float | None = None
    """The highest value of the axis; None = fits what there is."""
    unit: int = 1000
    """What k or K stands for."""


def _cpu(second: Second) -> float | None:
    return second.health.node.cpu_percent if second.health.node else None


def _pressure(second: Second, which: int) -> float | None:
    """PSI, some, of CPU, memory or I/O."""
    pressure = second.health.node.pressure if second.health.node else None
    return float(pressure[which]) if pressure else None


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _a_second(value: float) -> str:
    return f"{rate(value)}/s"


def _bytes_a_second(value: float) -> str:
    return f"{size(value)}B/s"


PLANS = (
    Plan("CPU of the node", (Curve("cpu", "warn", _cpu),), _percent, 100.0),
    Plan(
        "tasks that had to wait",
        (
            Curve("cpu", "warn", lambda s: _pressure(s, 0)),
            Curve("memory", "violet", lambda s: _pressure(s, 1)),
            Curve("io", "info", lambda s: _pressure(s, 2)),
        ),
        _percent,
    ),
    Plan(
        "programs started",
        (Curve("execs", "good", lambda s: s.rates.execs), Curve("failed", "bad", lambda s: s.rates.exec_failures)),
        _a_second,
    ),
    Plan(
        "connections",
        (
            Curve("connects", "info", lambda s: s.rates.connects),
            Curve("accepts", "violet", lambda s: s.rates.accepts),
        ),
        _a_second,
    ),
    Plan("retransmitted segments", (Curve("retransmits", "bad", lambda s: s.rates.retransmits),), _a_second),
    Plan(
        "TCP bytes",
        (Curve("tx", "accent", lambda s: s.rates.tx_bytes), Curve("rx", "info", lambda s: s.rates.rx_bytes)),
        _bytes_a_second,
        unit=1024,
    ),
)


class Charts(StripWidget, can_focus=True):
    """As many charts as there is room for, from the `first` one on, and a cursor through all of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Earlier"),
        Binding("right,l", "step(1)", "Later"),
        Binding("shift+left,H", "step(-10)", "Much earlier"),
        Binding("shift+right,L", "step(10)", "Much later"),
        Binding("home,g", "edge(0)", "Oldest"),
        Binding("end,G,upper_g", "edge(-1)", "Newest"),
        Binding("down,j", "scroll(1)", "Next chart"),
        Binding("up,k", "scroll(-1)", "Chart before"),
        Binding("enter", "go", "Go there"),
    ]

    def __init__(self, timeline: Remembering) -> None:
        super().__init__(id="charts")
        self._timeline = timeline
        self.seconds: Sequence[Second] = ()
        self.notes: Sequence[Note] = ()
        self.cursor_ns: int | None = None
        """None = the newest second."""
        self.first = 0
        self._drawn: list[tuple[Plan, Chart]] = []
        self._drawn_for: _Frame | None = None
        self._coming: Iterator[tuple[Plan, Chart]] | None = None

    def show(self) -> None:
        """Draw what is remembered by now. Where charts are shown already, one at a time: keys come in between."""
        seconds, notes = tuple(self._timeline.ticks()), tuple(self._timeline.notes())
        if self._drawn_for is None or len(seconds) < 2:
            self._take(seconds, notes)
            return
        coming = self._coming = self._draw(frame := self._drawn_for.of(seconds))
        drawn: list[tuple[Plan, Chart]] = []

        def draw_one() -> None:
            if self._coming is not coming:
                return
            one = next(coming, None)
            if one is not None:
                drawn.append(one)
                self.set_timer(_REST_S, draw_one)
                return
            if self._drawn_for is not None and self._drawn_for.of(seconds) == frame:
                self._drawn, self._drawn_for = drawn, frame
            self._take(seconds, notes)

        draw_one()

    def _take(self, seconds: Sequence[Second], notes: Sequence[Note]) -> None:
        self.seconds, self.notes, self._coming = seconds, notes, None
        self.redraw()
        if isinstance(self.screen, HistoryScreen):
            self.screen.show_values()

    @property
    def chosen(self) -> Second | None:
        """The second under the cursor."""
        if not self.seconds or self.cursor_ns is None:
            return self.seconds[-1] if self.seconds else None
        cursor_ns = self.cursor_ns
        return min(self.seconds, key=lambda second: abs(second.time_ns - cursor_ns))

    @property
    def noted(self) -> list[str]:
        """What was noted at the cursor, give or take a cell."""
        chosen = self.chosen
        if chosen is None or not self._drawn:
            return []
        start, end = self.span
        near_ns = 1e9 * max(1.0, (end - start) / self._drawn[0][1].width)
        return [note.text for note in self.notes if abs(note.time_ns - chosen.time_ns) <= near_ns]

    @property
    def span(self) -> tuple[float, float]:
        """Seconds since the epoch of both ends of the time axis."""
        if not self.seconds:
            return 0.0, _LEAST_S
        return _span(self.seconds)

    def lines(self, width: int, height: int) -> list[Line]:
        if len(self.seconds) < 2:
            return [Line(), Line(((" Nothing to draw yet: a point is remembered each second.", "dim"),))]
        across = max(1, min(2, width // _WIDE))
        down = max(1, min(-(-len(PLANS) // across), height // (_TALL + 1)))
        self.first = max(0, min(self.first, len(PLANS) - across * down))
        wanted = _Frame(across, down, width, height, self.first, self.seconds)
        if wanted != self._drawn_for:
            self._drawn, self._drawn_for = list(self._draw(wanted)), wanted
        lines: list[Line] = []
        for n in range(0, len(self._drawn), across):
            lines += self._beside(self._drawn[n : n + across], width // across)
        return lines

    def action_step(self, cells: int) -> None:
        """Move the cursor by so many cells of the charts, and at least to the next second."""
        chosen = self.chosen
        if chosen is None:
            return
        start, end = self.span
        width = self._drawn[0][1].width if self._drawn else 100
        wanted = chosen.time_ns + int(cells * (end - start) / width * 1e9)
        at = self.seconds.index(chosen)
        nearest = min(range(len(self.seconds)), key=lambda n: abs(self.seconds[n].time_ns - wanted))
        at = nearest if nearest != at else at + (1 if cells > 0 else -1)
        self._put_cursor(at)

    def action_edge(self, index: int) -> None:
        if self.seconds:
            self._put_cursor(index % len(self.seconds))

    def action_scroll(self, charts: int) -> None:
        self.first += charts
        self.redraw()

    def action_go(self) -> None:
        screen = self.screen
        if isinstance(screen, HistoryScreen):
            screen.go()

    def _put_cursor(self, index: int) -> None:
        index = max(0, min(index, len(self.seconds) - 1))
        self.cursor_ns = None if index == len(self.seconds) - 1 else self.seconds[index].time_ns
        self.redraw()
        if isinstance(self.screen, HistoryScreen):
            self.screen.show_values()

    def _draw(self, frame: _Frame) -> Iterator[tuple[Plan, Chart]]:
        start, end = _span(frame.seconds)
        ascii_only = cast(DrawingApp, self.app).ascii_only
        wide, tall = frame.width // frame.across, frame.height // frame.down - 1
        for plan in PLANS[frame.first : frame.first + frame.across * frame.down]:
            series = [Series(c.name, c.style, points(frame.seconds, c.value)) for c in plan.curves]
            top = round_up(largest(series), plan.unit) if plan.top is None else plan.top
            yield plan, draw(series, wide, tall, start, end, plan.text, top, ascii_only=ascii_only)

    def _beside(self, row: Sequence[tuple[Plan, Chart]], width: int) -> list[Line]:
        """The lines of charts that stand side by side, with titles, marks and the cursor."""
        title: list[Run] = []
        for plan, _ in row:
            legend: list[Run] = [(f" {plan.title} ", "strong")]
            for curve in plan.curves:
                value = curve.value(self.chosen) if self.chosen else None
                text = "unknown" if value is None else plan.text(value)
                legend += [(f" {curve.name} ", curve.style), (text, "text")]
            title += fitted(legend, width)
        lines = [Line(tuple(title), "head")]
        for y in range(max(len(chart.rows) for _, chart in row)):
            runs: list[Run] = []
            for _, chart in row:
                part = list(chart.rows[y]) if y < len(chart.rows) else []
                marks = self._marks(chart, top=y == 0) if y < len(chart.rows) - 2 else {}
                runs += fitted(overlaid(part, marks), width)
            lines.append(Line(tuple(runs)))
        return lines

    def _marks(self, chart: Chart, *, top: bool) -> dict[int, Run]:
        """What stands over a chart by column: notes, where collecting was narrowed or widened, and the cursor."""
        start, end = self.span
        scale = (chart.width - 1) / max(1e-9, end - start)
        marks: dict[int, Run] = {}
        for time_ns, _ in narrowings(self.seconds):
            marks[chart.left + round((time_ns / 1e9 - start) * scale)] = ("┊", "violet")
        for note in self.notes:
            if start <= note.time_ns / 1e9 <= end:
                marks[chart.left + round((note.time_ns / 1e9 - start) * scale)] = ("▼" if top else "┊", "accent")
        if self.cursor_ns is not None and self.chosen:
            marks[chart.left + round((self.chosen.time_ns / 1e9 - start) * scale)] = ("│", "strong")
        return marks


class Values(StripWidget):
    """The moment under the cursor, in words."""

    DEFAULT_CSS = "Values { height: 2; }"

    def __init__(self) -> None:
        super().__init__()
        self.told: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        self.told = lines
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self.told


class HistoryScreen(Page):
    """Redraws every `REDRAW_S` seconds, or on a key; `take` is called by the app each second."""

    heading = "HISTORY"

    def __init__(self, timeline: Remembering) -> None:
        super().__init__()
        self.charts = Charts(timeline)
        self.values = Values()
        self._drawn_ns = 0

    def content(self) -> ComposeResult:
        yield self.charts
        yield self.values

    def on_mount(self) -> None:
        self.charts.focus()
        self.charts.show()

    def hinted(self) -> Sequence[tuple[str, str]]:
        return [("← →", "cursor"), ("↵", "go there"), ("↓ ↑", "charts"), ("End", "newest")]

    def take(self, moment: Moment) -> None:
        """A second has passed."""
        if abs(moment.health.time_ns - self._drawn_ns) >= REDRAW_S * 1e9:
            self._drawn_ns = moment.health.time_ns
            self.charts.show()

    def go(self) -> None:
        """Show the moment under the cursor in the panes."""
        chosen = self.charts.chosen
        live = self.charts.cursor_ns is None
        app = cast(Any, self.app)
        app.pop_screen()
        if chosen:
            app.go_to(None if live else chosen.time_ns)

    def show_values(self) -> None:
        charts = self.charts
        seconds = charts.seconds
        length = (seconds[-1].time_ns - seconds[0].time_ns) / 1e9 if seconds else 0.0
        self.head.show([(f" the last {duration(length)}", "text")])
        self.values.show(value_lines(charts.chosen, charts.cursor_ns is None, seconds, charts.noted))


def _span(seconds: Sequence[Second]) -> tuple[float, float]:
    end = seconds[-1].time_ns / 1e9
    return min(seconds[0].time_ns / 1e9, end - _LEAST_S), end


def points(seconds: Sequence[Second], value: Callable[[Second], float | None]) -> list[tuple[float, float] | None]:
    """The values over time; None where nothing was remembered, or nothing is known."""
    steps = sorted(b.time_ns - a.time_ns for a, b in pairwise(seconds))
    longest = max(3_000_000_000, 3 * steps[len(steps) // 2]) if steps else 0
    found: list[tuple[float, float] | None] = []
    last_ns = None
    for second in seconds:
        if last_ns is not None and second.time_ns - last_ns > longest:
            found.append(None)
        last_ns = second.time_ns
        known = value(second)
        found.append(None if known is None else (second.time_ns / 1e9, known))
    return found


def narrowings(seconds: Sequence[Second]) -> list[tuple[int, str]]:
    """When what is collected changed, and to what; "" = to everything that was asked for."""
    return [
        (later.time_ns, later.health.narrowed)
        for earlier, later in pairwise(seconds)
        if earlier.health.narrowed != later.health.narrowed
    ]


def value_lines(
    second: Second | None, newest: bool, seconds: Sequence[Second], noted: Sequence[str] = ()
) -> list[Line]:
    """The values of one second, and what was collected and noted then."""
    if second is None:
        return []
    rates, cpu = second.rates, _cpu(second)
    figures = (
        ("cpu", "unknown" if cpu is None else percent(cpu)),
        ("execs", _a_second(rates.execs)),
        ("connects", _a_second(rates.connects)),
        ("accepts", _a_second(rates.accepts)),
        ("retransmits", _a_second(rates.retransmits)),
        ("tx", _bytes_a_second(rates.tx_bytes)),
        ("rx", _bytes_a_second(rates.rx_bytes)),
    )
    when: list[Run] = [(f" {wall_clock(second.time_ns)} ", "accent"), ("newest" if newest else "", "dim")]
    first = [run for name, text in figures[:4] for run in ((f"  {name} ", "dim"), (text, "text"))]
    rest = [run for name, text in figures[4:] for run in ((f" {name} ", "dim"), (f"{text} ", "text"))]
    if noted:
        rest.append((f" ▼ {'; '.join(noted)}", "accent"))
    if second.health.narrowed:
        rest.append((f" ┊ collected then: only {second.health.narrowed}", "violet"))
    elif narrowings(seconds):
        rest.append((" ┊ collecting was narrowed or widened", "violet"))
    return [Line((*when, *first), "bar"), Line(tuple(rest), "bar")]


def overlaid(runs: Sequence[Run], marks: dict[int, Run]) -> list[Run]:
    """Runs with single cells replaced, where they are at most one cell wide each."""
    if not marks:
        return list(runs)
    result: list[Run] = []
    at = 0
    for text, style in runs:
        begun = 0
        for column in sorted(marks):
            cut = column - at
            if begun <= cut < len(text):
                result += [(text[begun:cut], style), marks[column]]
                begun = cut + 1
        result.append((text[begun:], style))
        at += len(text)
    return [run for run in result if run[0]]


def fitted(runs: Sequence[Run], width: int) -> list[Run]:
    """Runs cut or filled up to so many cells."""
    result: list[Run] = []
    for text, style in runs:
        if len(text) > width:
            text = fit(text, width) if width > 0 else ""
        result.append((text, style))
        width -= len(text)
    return [*result, (" " * width, "text")] if width > 0 else result
