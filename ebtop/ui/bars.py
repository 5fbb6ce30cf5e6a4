"""The lines that frame the panes: header, pane bar, status and key hints."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from textual import events
from textual.message import Message

from ebtop.ui.moment import Cost, Moment
from ebtop.ui.strips import Line, Run, StripWidget, spread, width_of
from ebtop.units import count, duration, mebibytes, percent, wall_clock

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
    """Which node this is, how busy it is, and whether the view moves."""

    def __init__(self, filter_text: str) -> None:
        super().__init__(id="header")
        self._filter = filter_text
        self._moment: Moment | None = None
        self._paused_s: float | None = None
        node = os.uname()
        self._host, self._kernel = node.nodename, node.release
        self._machine = platform.machine()

    def show(self, moment: Moment | None, paused_s: float | None) -> None:
        """`paused_s`: seconds since the view was frozen, None while it is live."""
        self._moment, self._paused_s = moment, paused_s
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        cpus = self._moment.health.cpus if self._moment else os.cpu_count() or 1
        load = os.getloadavg()
        busy = "bad" if load[0] > 2 * cpus else "warn" if load[0] > cpus else "text"
        filtered: list[Run] = [("   filter ", "dim"), (self._filter or "none", "accent" if self._filter else "faint")]
        groups: list[tuple[int, list[Run]]] = [
            (0, [(" ebtop ", "badge"), (f"  {self._host}", "strong")]),
            (4, [(f"   {self._kernel}", "text")]),
            (5, [(f" {self._machine}", "dim")]),
            (2, [(f"   {cpus}", "text"), (" cpus", "dim")]),
            (1, [("   load ", "dim"), (f"{load[0]:.2f}", busy)]),
            (3, [(f" {load[1]:.2f} {load[2]:.2f}", "dim")]),
            (1 if self._filter else 6, filtered),
        ]
        right: list[Run] = []
        if self._paused_s is not None:
            since = f" {duration(self._paused_s)}" if self._paused_s >= 1 else ""
            right.append((f" PAUSED{since} ", "badge"))
        elif self._moment:
            right.append(("● LIVE", "good"))
        else:
            right.append(("○ starting", "dim"))
        if self._moment:
            right.append((f"  {wall_clock(self._moment.snapshot.time_ns)} ", "dim"))
        left = [run for group in fitting(groups, width - width_of(right)) for run in group]
        return [spread(left, right, width, "bar")]


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

    def show(self, moment: Moment) -> None:
        self._moment = moment
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        if self._moment is None:
            return [Line(((" starting …", "dim"),), "bar")]
        runs = [run for group in fitting(self._groups(self._moment), width) for run in group]
        return [Line(tuple(runs), "warn" if self._moment.lost_total else "bar")]

    def _groups(self, moment: Moment) -> list[tuple[int, list[Run]]]:
        """Rank and runs of what is shown."""
        probes, lost = moment.health.probes, moment.lost_total
        named = [probe for probe in probes if not probe.name.startswith("(")]
        on = sum(probe.state == "on" for probe in named)
        ring = max((probe.ring_fill for probe in probes), default=0.0)
        let_go = moment.snapshot.dropped_rows
        groups = self._overhead(moment.cost)
        groups.append((1, [_BETWEEN, ("lost ", "dim"), (count(lost), "bad" if lost else "good")]))
        if lost:
            groups.append((6, [(" events: counts marked ≥ are floors", "text")]))
        groups.append(
            (2, [_BETWEEN, ("probes ", "dim"), (f"{on}/{len(named)}", "good" if on == len(named) else "warn")])
        )
        groups.append((4, [_BETWEEN, ("maps ", "dim"), (mebibytes(sum(probe.map_bytes for probe in probes)), "text")]))
        groups.append((5, [_BETWEEN, ("ring ", "dim"), (f"{100 * ring:.0f} % full", "warn" if ring > 0.5 else "text")]))
        groups.append((7, [_BETWEEN, ("rss ", "dim"), (mebibytes(moment.health.rss_bytes), "text")]))
        if let_go:
            groups.append((8, [_BETWEEN, ("rows let go ", "dim"), (count(let_go), "text")]))
        return groups

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
