"""The lines that frame the panes: header, pane bar, status and key hints."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message

from ebtop.store.evidence import HostFacts
from ebtop.store.source import ON_DEMAND, Pressure
from ebtop.ui.moment import Cost, Moment
from ebtop.ui.strips import Line, Run, StripWidget, spread, width_of
from ebtop.units import count, mebibytes, percent, share, wall_clock

_BETWEEN: Run = (" │ ", "faint")
_DEAR = 5.0
"""Percent of the node from which the overhead is shown as bad."""


def fitting(groups: list[tuple[int, list[Run]]], width: int) -> list[list[Run]]:
    """The groups that fit into `width`, in order; those of the highest rank go first."""
    kept = list(groups)
    while len(kept) > 1 and sum(width_of(runs) for _, runs in kept) > width:
        kept.remove(max(kept, key=lambda group: group[0]))
    return [runs for _, runs in kept]


class Bar(StripWidget):
    DEFAULT_CSS = "Bar { height: 1; }"


class Header(Bar):
    """Which node this is, how busy it is, and which moment and part of it is shown."""

    def __init__(self) -> None:
        super().__init__(id="header")
        self._moment: Moment | None = None
        self._time: tuple[Run, ...] = (("○ starting", "dim"),)
        self._filter = ""
        self._window = ""
        self._host = self._kernel = ""

    def of(self, host: HostFacts) -> None:
        """The node that is shown."""
        self._host, self._kernel = host.name, host.kernel

    def show(self, moment: Moment | None, time: tuple[Run, ...], filter_text: str, window: str) -> None:
        """`time`: whether and why the view stands; `filter_text`: "" = everything; `window`: of the icicle."""
        self._moment, self._time, self._filter, self._window = moment, time, filter_text, window
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        groups: list[tuple[int, list[Run]]] = [
            (0, [(" ebtop ", "badge"), (f"  {self._host}", "strong")]),
            (5, [(f"  {self._kernel}", "text")]),
            *self._node(),
            (
                1 if self._filter else 9,
                [("   filter ", "dim"), (self._filter or "none", "accent" if self._filter else "faint")],
            ),
            *([(8, [("   window ", "dim"), (self._window, "text")])] if self._window else []),
        ]
        right = [("  ", "dim"), *self._time]
        if self._moment:
            right.append((f"  {wall_clock(self._moment.snapshot.time_ns)} ", "dim"))
        left = [run for group in fitting(groups, width - width_of(right)) for run in group]
        return [spread(left, right, width, "bar")]

    def _node(self) -> list[tuple[int, list[Run]]]:
        if self._moment is None:
            return []
        cpus, node = self._moment.health.cpus, self._moment.health.node
        if node is None:
            return [(3, [(f"   {cpus}", "text"), (" cpus", "dim")])]
        groups: list[tuple[int, list[Run]]] = [
            (3, [("   cpu ", "dim"), *_busy(node.cpu_percent), (f" of {cpus}", "dim")])
        ]
        load = node.load[0]
        style = "bad" if load > 2 * cpus else "warn" if load > cpus else "text"
        groups.append((2, [("   load ", "dim"), (f"{load:.2f}", style)]))
        groups.append((7, [(f" {node.load[1]:.2f} {node.load[2]:.2f}", "dim")]))
        if node.memory_total:
            used = 100 * node.memory_used / node.memory_total
            groups.append(
                (6, [("   mem ", "dim"), (f"{used:.0f} %", "bad" if used > 95 else "warn" if used > 85 else "text")])
            )
        if node.pressure is not None:
            groups.append((4, [("   pressure ", "dim"), *_pressures(node.pressure)]))
        return groups


def _busy(percent_of_all: float | None) -> list[Run]:
    if percent_of_all is None:
        return [("…", "dim")]
    style = "bad" if percent_of_all > 95 else "warn" if percent_of_all > 80 else "text"
    return [(f"{percent_of_all:.0f} %", style)]


def _pressures(pressure: Pressure) -> list[Run]:
    """Share of the last 10 s in which something waited for cpu, memory, io."""
    runs: list[Run] = []
    for name, value in zip(("cpu", "mem", "io"), pressure, strict=True):
        style = "bad" if value >= 40 else "warn" if value >= 10 else "text"
        runs += [(f"{name} " if not runs else f" {name} ", "dim"), (f"{value:.0f}", style)]
    return runs


class Crumbs(Bar):
    """The way from the overview to here."""

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__(id="crumbs")
        self._titles = titles
        self._aside = ""

    def show(self, aside: str) -> None:
        """`aside` stands at the right."""
        self._aside = aside
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        runs: list[Run] = [(" overview", "dim")]
        for number, title in enumerate(self._titles, 1):
            runs += [(" › ", "faint"), (title, "accent" if number == len(self._titles) else "text")]
        aside: list[Run] = [(f"{self._aside} ", "warn")] if self._aside else [("Esc goes back ", "dim")]
        return [spread(runs, aside, width, "title-focus")]


class PaneBar(Bar):
    """The panes by number, where only one of them fits on the screen."""

    class Chosen(Message):
        """A pane was clicked."""

        def __init__(self, probe: str) -> None:
            super().__init__()
            self.probe = probe

    def __init__(self, panes: Sequence[tuple[str, str]]) -> None:
        """`panes`: probe and short title of each, in order."""
        super().__init__(id="pane-bar")
        self._panes = panes
        self._current = panes[0][0]

    def show(self, current: str) -> None:
        self._current = current
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        runs = [(text, "badge" if probe == self._current else "text") for probe, text in self._labels()]
        return [Line(tuple(runs), "app")]

    def on_click(self, event: events.Click) -> None:
        x = 0
        for probe, text in self._labels():
            if x <= event.x < x + len(text):
                self.post_message(self.Chosen(probe))
            x += len(text)

    def _labels(self) -> list[tuple[str, str]]:
        return [(probe, f" {number} {title} ") for number, (probe, title) in enumerate(self._panes, 1)]


class Status(Bar):
    """What ebtop costs this node and what it missed."""

    def __init__(self) -> None:
        super().__init__(id="status")
        self._moment: Moment | None = None
        self._whole_stacks = (0, 0)

    def show(self, moment: Moment, whole_stacks: tuple[int, int] = (0, 0)) -> None:
        """`whole_stacks`: complete ones, of all in the icicle."""
        self._moment, self._whole_stacks = moment, whole_stacks
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        if self._moment is None:
            return [Line(((" starting …", "dim"),), "bar")]
        runs = [run for group in fitting(self._groups(self._moment), width) for run in group]
        return [Line(tuple(runs), "warn" if self._moment.lost_total else "bar")]

    def _groups(self, moment: Moment) -> list[tuple[int, list[Run]]]:
        """Rank and runs of what is shown."""
        probes, lost = moment.health.probes, moment.lost_total
        named = [probe for probe in probes if not probe.name.startswith("(") and probe.state != ON_DEMAND]
        on = sum(probe.state == "on" for probe in named)
        ring = max((probe.ring_fill for probe in probes), default=0.0)
        let_go = moment.snapshot.dropped_rows
        groups = self._overhead(moment.cost)
        groups.append((1, [_BETWEEN, ("lost ", "dim"), (count(lost), "bad" if lost else "good")]))
        if lost:
            groups.append((6, [(" events: counts marked ≥ are floors", "text")]))
        groups += self._stacks()
        groups.append(
            (2, [_BETWEEN, ("probes ", "dim"), (f"{on}/{len(named)}", "good" if on == len(named) else "warn")])
        )
        groups.append((4, [_BETWEEN, ("maps ", "dim"), (mebibytes(sum(probe.map_bytes for probe in probes)), "text")]))
        groups.append((5, [_BETWEEN, ("ring ", "dim"), (f"{100 * ring:.0f} % full", "warn" if ring > 0.5 else "text")]))
        groups.append((7, [_BETWEEN, ("rss ", "dim"), (mebibytes(moment.health.rss_bytes), "text")]))
        if let_go:
            groups.append((8, [_BETWEEN, ("rows let go ", "dim"), (count(let_go), "text")]))
        return groups

    def _stacks(self) -> list[tuple[int, list[Run]]]:
        whole, every = self._whole_stacks
        if not every:
            return []
        return [
            (
                3,
                [
                    _BETWEEN,
                    ("stacks ", "dim"),
                    (f"{share(whole, every)} whole", "good" if whole >= 0.95 * every else "warn"),
                ],
            )
        ]

    def _overhead(self, cost: Cost | None) -> list[tuple[int, list[Run]]]:
        if cost is None:
            return [(0, [(" overhead ", "dim"), ("…", "text")])]
        total = percent(cost.total) if cost.bpf is not None else f"≥{percent(cost.total)}"
        bpf: Run = (f"bpf {percent(cost.bpf)}", "text") if cost.bpf is not None else ("bpf unknown", "warn")
        return [
            (0, [(" overhead ", "dim"), (total, "strong" if cost.total < _DEAR else "bad")]),
            (3, [(" of the node = ", "dim"), bpf, (f" + ebtop {percent(cost.own)}", "text")]),
        ]


class Hints(Bar):
    """The most useful keys, or for some seconds what just happened."""

    def __init__(self) -> None:
        super().__init__(id="hints")
        self._keys: Sequence[tuple[str, str]] = ()
        self._message: Run | None = None

    def show(self, keys: Sequence[tuple[str, str]], message: Run | None) -> None:
        """`keys`: key and what it does, most useful first; `message` replaces them."""
        self._keys, self._message = keys, message
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        if self._message:
            text, style = self._message
            return [Line(((f" {text}", style),), "bar")]
        groups: list[tuple[int, list[Run]]] = [
            (number, [(f" {key}", "accent"), (f" {title}  ", "dim")]) for number, (key, title) in enumerate(self._keys)
        ]
        return [Line(tuple(run for group in fitting(groups, width) for run in group), "app")]
