"""What ebtop costs this node, part by part: the process, each probe, each BPF program, the history it keeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast

from textual.app import ComposeResult

from ebtop.store.source import Health, ProbeHealth
from ebtop.ui.braille import area_chart
from ebtop.ui.columns import Column, number
from ebtop.ui.driver import TerminalDriver
from ebtop.ui.moment import AVERAGED_TICKS, Cost, Moment
from ebtop.ui.screens.page import Page
from ebtop.ui.strips import DrawingApp, Line, Run, StripWidget, fit, width_of
from ebtop.ui.table import Table
from ebtop.units import count, duration, mebibytes, percent, rate, size

_CHART_CELLS = 30
_WIDE = 110
_STATE_STYLES = {"on": "good", "failed": "bad", "loading": "text"}


class Kept(Protocol):
    """How much of the past a timeline keeps."""

    @property
    def oldest_ns(self) -> int: ...
    @property
    def newest_ns(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def cap_bytes(self) -> int: ...
    @property
    def seen(self) -> int: ...


class Keeping(Protocol):
    """What the page needs of a timeline."""

    @property
    def kept(self) -> Kept: ...


class ProgramRow(NamedTuple):
    """One BPF program over the last seconds. None = the kernel does not count it, or not yet."""

    probe: str
    name: str
    id: int
    runs_s: float | None
    ns_per_run: float | None
    percent: float | None
    """Of all CPUs of the node."""
    runs: int | None
    """Since it was loaded."""


class ProbeRow(NamedTuple):
    """One probe over the last seconds."""

    probe: ProbeHealth
    events_s: float | None
    percent: float | None


COLUMNS: tuple[Column[ProgramRow], ...] = (
    Column("PROBE", 12, lambda r: r.probe, "the probe it belongs to", "dim", lambda r: r.probe),
    Column("PROGRAM", 16, lambda r: r.name, "name in the kernel", "text", lambda r: r.name, stretch=1),
    number("ID", 6, lambda r: r.id, lambda v: f"{v:.0f}", "id in the kernel, as bpftool shows it", "dim", rank=2),
    number("RUNS/S", 8, lambda r: r.runs_s, rate, "runs a second"),
    number("NS/RUN", 8, lambda r: r.ns_per_run, count, "mean time of a run"),
    number("CPU", 8, lambda r: r.percent, percent, "share of all CPUs of the node", "strong"),
    number("RUNS", 9, lambda r: r.runs, count, "runs since it was loaded", "dim", rank=1),
)


class OverheadMeter:
    """Keeps the last readings of `Health`, and makes rows of what happened between the first and the last of them."""

    def __init__(self) -> None:
        self._past: deque[Health] = deque(maxlen=AVERAGED_TICKS + 1)
        self.totals: deque[float | None] = deque(maxlen=2 * _CHART_CELLS)
        """Percent of the node in all, a reading each."""

    def add(self, health: Health, cost: Cost | None) -> None:
        if self._past and self._past[-1].time_ns == health.time_ns:
            return
        self._past.append(health)
        self.totals.append(cost.total if cost else None)

    def programs(self) -> list[ProgramRow]:
        """The programs that cost most first."""
        first, last = self._past[0], self._past[-1]
        seconds = (last.time_ns - first.time_ns) / 1e9
        before = {program.id: program for probe in first.probes for program in probe.programs}
        rows = []
        for probe in last.probes:
            for program in probe.programs:
                old = before.get(program.id)
                runs = program.runs - (old.runs if old else 0)
                spent = program.run_ns - (old.run_ns if old else 0)
                known = last.stats_enabled and seconds > 0
                rows.append(
                    ProgramRow(
                        probe.name,
                        program.name,
                        program.id,
                        runs / seconds if known else None,
                        spent / runs if known and runs else None,
                        100 * spent / (seconds * 1e9 * last.cpus) if known else None,
                        program.runs if last.stats_enabled else None,
                    )
                )
        rows.sort(key=lambda row: -(row.percent or 0.0))
        return rows

    def probes(self, cost: Cost | None) -> list[ProbeRow]:
        first, last = self._past[0], self._past[-1]
        seconds = (last.time_ns - first.time_ns) / 1e9
        before = {probe.name: probe.events for probe in first.probes}
        rows = []
        for probe in last.probes:
            # A probe that was loaded again counts from 0.
            new = probe.events - before.get(probe.name, 0)
            events = max(0, new if new >= 0 else probe.events) / seconds if seconds > 0 else None
            rows.append(ProbeRow(probe, events, cost.probes.get(probe.name) if cost else None))
        return rows


class Summary(StripWidget):
    """The whole in a few lines, and a line for each probe."""

    DEFAULT_CSS = "Summary { height: auto; }"

    def __init__(self) -> None:
        super().__init__()
        self.shown_lines: Sequence[Line] = ()
        self.chart: Sequence[float | None] = ()

    def show(self, lines: Sequence[Line], chart: Sequence[float | None]) -> None:
        if len(lines) != len(self.shown_lines):
            self.styles.height = len(lines)
        self.shown_lines, self.chart = lines, chart
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        """The first three lines have a chart at their right end where there is room."""
        lines = list(self.shown_lines)
        cells = min(_CHART_CELLS, width - max((width_of(line.runs) for line in lines[:3]), default=width) - 12)
        if cells < 10 or len(lines) < 3:
            return lines
        top = max([1.0, *(value for value in self.chart if value is not None)])
        rows = area_chart(self.chart, cells, 3, top, ascii_only=cast(DrawingApp, self.app).ascii_only)
        labels = (percent(top), "", "0 %")
        for at, (row, label) in enumerate(zip(rows, labels, strict=True)):
            gap = width - width_of(lines[at].runs) - cells - 10
            runs = (*lines[at].runs, (" " * gap, "text"), (fit(label, 8, right=True) + "▏", "dim"), (row, "accent"))
            lines[at] = Line(runs, lines[at].ground)
        return lines


class OverheadScreen(Page):
    """Draws with each tick; `take` is called by the app."""

    heading = "OVERHEAD"

    def __init__(self, timeline: Keeping) -> None:
        super().__init__()
        self._timeline = timeline
        self.meter = OverheadMeter()
        self.summary = Summary()
        self.table: Table[ProgramRow] = Table(COLUMNS, lambda row: row.id)
        self._written: deque[tuple[int, int]] = deque(maxlen=AVERAGED_TICKS + 1)

    def content(self) -> ComposeResult:
        yield self.summary
        yield self.table

    def on_mount(self) -> None:
        self.table.focus()
        self.summary.show([Line(((" measuring …", "dim"),))], ())

    def hinted(self) -> Sequence[tuple[str, str]]:
        return [("↓↑", "move"), ("s", "sort")]

    def take(self, moment: Moment) -> None:
        """The newest second."""
        health, cost = moment.health, moment.cost
        self.meter.add(health, cost)
        self._count_terminal(health.time_ns)
        lines = [*self._totals(moment), Line(), *self._probes(moment), Line()]
        self.summary.show(lines, tuple(self.meter.totals))
        self.table.show(self.meter.programs())
        if health.stats_enabled:
            self.head.show([(" of this node, mean of the last seconds", "dim")])
        else:
            self.head.show([(" the kernel does not count the run time of BPF programs here", "warn")])

    def _totals(self, moment: Moment) -> list[Line]:
        cost, health, kept = moment.cost, moment.health, self._timeline.kept
        if cost is None:
            whole: tuple[Run, ...] = (("…", "text"),)
        else:
            bpf: Run = ("BPF programs unknown", "warn") if cost.bpf is None else (f"BPF {percent(cost.bpf)}", "text")
            floor = "≥" if cost.bpf is None else ""
            whole = ((f"{floor}{percent(cost.total)}", "strong"), (" of the node = ", "dim"), bpf)
            whole = (*whole, (f" + ebtop {percent(cost.own)}", "text"))
        own = [("own process  ", "dim"), (self._own_cpu(cost, health), "strong"), (" of one CPU, ", "dim")]
        own += [(mebibytes(health.rss_bytes), "text"), (" memory", "dim")]
        if (written := self._terminal_rate()) is not None:
            own += [(", ", "dim"), (f"{size(written)}B/s", "text"), (" to the terminal", "dim")]
        held = max(0.0, (kept.newest_ns - kept.oldest_ns) / 1e9)
        return [
            Line(((" overhead     ", "dim"), *whole)),
            Line(((" ", "dim"), *own)),
            Line(
                (
                    (" history      ", "dim"),
                    (duration(held), "strong"),
                    (" in ", "dim"),
                    (mebibytes(kept.bytes), "text"),
                    (f" of at most {mebibytes(kept.cap_bytes)}, {count(kept.seen)} events so far", "dim"),
                )
            ),
        ]

    def _probes(self, moment: Moment) -> list[Line]:
        return probe_lines(self.meter.probes(moment.cost), moment.lost, self.app.size.width)

    def _own_cpu(self, cost: Cost | None, health: Health) -> str:
        return "…" if cost is None else percent(cost.own * health.cpus)

    def _count_terminal(self, time_ns: int) -> None:
        driver = self.app._driver
        if isinstance(driver, TerminalDriver):
            self._written.append((time_ns, driver.written))

    def _terminal_rate(self) -> float | None:
        """Bytes a second sent to the terminal; None = not counted."""
        if len(self._written) < 2:
            return None
        (began, before), (now, after) = self._written[0], self._written[-1]
        return (after - before) * 1e9 / max(1, now - began)


def probe_lines(rows: Sequence[ProbeRow], lost: dict[str, int], width: int) -> list[Line]:
    """A header and a line for each probe; why events were lost stands at its end, or below where that is narrow."""
    titles = [f" {fit('PROBE', 12)} {fit('STATE', 8)}"]
    titles += [fit(t, w, right=True) for t, w in (("EVENTS/S", 9), ("CPU", 8), ("MAPS", 9), ("RING", 6), ("LOST", 9))]
    lines = [Line(((" ".join(titles), "dim"),), "head")]
    for row in rows:
        probe = row.probe
        dropped = lost.get(probe.name, probe.lost_total)
        reasons = ", ".join(f"{count(number)} {reason}" for reason, number in probe.lost.items() if number)
        told = f" {reasons or (probe.error if probe.state == 'failed' else '')}"
        cpu = events = maps = ring = "-"
        if probe.state == "on":
            cpu = "unknown" if row.percent is None else percent(row.percent)
            events = "…" if row.events_s is None else rate(row.events_s)
            maps, ring = f"{size(probe.map_bytes)}B", f"{100 * probe.ring_fill:.0f} %"
        lines.append(
            Line(
                (
                    (f" {fit(probe.name, 12)} ", "strong"),
                    (f"{fit(probe.state, 8)} ", _STATE_STYLES.get(probe.state, "dim")),
                    (f"{fit(events, 9, right=True)} ", "text"),
                    (f"{fit(cpu, 8, right=True)} ", "warn" if cpu == "unknown" else "text"),
                    (f"{fit(maps, 9, right=True)} ", "text"),
                    (f"{fit(ring, 6, right=True)} ", "warn" if probe.ring_fill > 0.5 else "dim"),
                    (f"{fit(count(dropped), 9, right=True)} ", "bad" if dropped else "good"),
                    (told if width >= _WIDE else "", "warn"),
                )
            )
        )
        if told.strip() and width < _WIDE:
            lines.append(Line(((f"              {told}", "warn"),)))
    return lines
