"""Who the thing is that a drill-down looks at: the lines above its panes."""

from __future__ import annotations

import time

from ebtop.store.containers import Container, ContainerLookup
from ebtop.store.source import ProcessFacts
from ebtop.ui.focus import Focus
from ebtop.ui.moment import Moment
from ebtop.ui.strips import Line, Run, StripWidget, fit
from ebtop.units import duration, plural, size, wall_clock

_LABEL = 10


class FactsStrip(StripWidget):
    """Facts as label and text, one pair a line or several, as they fit."""

    def __init__(self) -> None:
        super().__init__(id="facts")
        self._facts: list[tuple[str, list[Run]]] = []

    def show(self, facts: list[tuple[str, list[Run]]]) -> None:
        self._facts = facts
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        lines = []
        for label, runs in self._facts:
            room = width - _LABEL - 2
            kept: list[Run] = []
            for text, style in runs:
                if room <= 0:
                    break
                kept.append((fit(text, room) if len(text) > room else text, style))
                room -= len(text)
            lines.append(Line(((f" {fit(label, _LABEL)} ", "dim"), *kept)))
        return lines


def process_lines(
    facts: ProcessFacts, container: Container | None, now_ns: int | None = None
) -> list[tuple[str, list[Run]]]:
    """A living process in four lines."""
    now_ns = now_ns or time.time_ns()
    command = " ".join(facts.args) or f"[{facts.comm}]"
    who: list[Run] = [(facts.user or "?", "text")]
    if facts.uid is not None:
        who.append((f" ({facts.uid})", "dim"))
    who += _belongs(container, facts.cgroup)
    chain = " ← ".join([f"{comm} ({pid})" for pid, comm in facts.parents]) or "-"
    alive: list[Run] = []
    if facts.started_ns:
        alive += [
            (wall_clock(facts.started_ns), "text"),
            (f", {duration((now_ns - facts.started_ns) / 1e9)} ago", "dim"),
        ]
    if facts.cpu_ns is not None:
        alive += [("   cpu ", "dim"), (duration(facts.cpu_ns / 1e9), "text")]
    if facts.rss_bytes is not None:
        alive += [("   rss ", "dim"), (size(facts.rss_bytes), "text")]
    if facts.threads is not None:
        alive += [("   ", "dim"), (plural(facts.threads, "thread"), "text")]
    return [
        ("command", [(command, "strong")]),
        ("user", who),
        ("parents", [(chain, "text")]),
        ("started", alive),
    ]


def _belongs(container: Container | None, cgroup: str | None) -> list[Run]:
    runs: list[Run] = []
    if container is not None:
        kind = "unit" if container.runtime == "systemd" else "container"
        runs += [(f"   {kind} ", "dim"), (container.label, "accent")]
        if container.pod:
            space = f"{container.namespace}/" if container.namespace else ""
            runs += [("   pod ", "dim"), (f"{space}{container.pod}", "accent")]
        if kind == "container":
            runs += [(f" ({container.runtime} {container.id[:12]})", "faint")]
    if cgroup:
        runs += [("   cgroup ", "dim"), (cgroup, "dim")]
    return runs


def focus_lines(
    focus: Focus, moment: Moment | None, facts: ProcessFacts | None, containers: ContainerLookup
) -> list[tuple[str, list[Run]]]:
    """What is known of the thing a drill-down is about; `facts` of a process that lives."""
    if focus.kind == "process" and facts is not None:
        return process_lines(facts, containers(facts.cgroup))
    if moment is None:
        gathering: list[Run] = [("what was seen of it in the last minutes …", "dim")]
        return [(focus.kind, [(focus.title, "strong")]), ("gathering", gathering)]
    if focus.kind == "process":
        return _gone_lines(focus, moment, containers)
    return [(focus.kind, [(focus.title, "strong")]), *_seen_lines(moment)]


def _gone_lines(focus: Focus, moment: Moment | None, containers: ContainerLookup) -> list[tuple[str, list[Run]]]:
    """A process that is not there any more: what its exec said."""
    rows = [row for row in moment.snapshot.execs if row.pid == focus.pid] if moment else []
    if not rows:
        return [("process", [(focus.title, "strong"), (" is gone; its start was not seen", "dim")])]
    row = rows[0]
    lived = f", lived {duration(row.duration_s)}" if row.duration_s is not None else ""
    who: list[Run] = [("uid ", "dim"), ("?" if row.uid is None else str(row.uid), "text")]
    return [
        ("command", [(row.command, "strong")]),
        ("user", [*who, *_belongs(containers(row.cgroup), row.cgroup)]),
        ("parent", [(f"{row.parent_comm} ({row.ppid})", "text")]),
        ("started", [(wall_clock(row.time_ns), "text"), (f", ended: {row.status}{lived}", "dim")]),
    ]


def _seen_lines(moment: Moment) -> list[tuple[str, list[Run]]]:
    """What the panes below have of it, in one line each."""
    snapshot = moment.snapshot
    is_open = [row for row in snapshot.tcp if row.open]
    owners = {(row.pid, row.comm) for row in snapshot.tcp if row.pid}
    named = ", ".join(f"{comm} ({pid})" for pid, comm in sorted(owners)[:8])
    more = f" and {len(owners) - 8} more" if len(owners) > 8 else ""
    again = sum(row.segments for row in snapshot.retransmits)
    return [
        ("processes", [(f"{named}{more}" or "none with a connection", "text")]),
        (
            "network",
            [
                (f"{len(is_open):,} open", "text"),
                (f"   tx {size(snapshot.rates.tx_bytes)}/s rx {size(snapshot.rates.rx_bytes)}/s", "dim"),
                (f"   {plural(again, 'segment')} sent again", "warn" if again else "dim"),
            ],
        ),
    ]
