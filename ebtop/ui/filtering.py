"""The filter of the session: what is shown, and what of it the kernel is asked to drop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ebtop.errors import EbtopError
from ebtop.store.selection import Pushed, Selection
from ebtop.store.source import Health, Source
from ebtop.store.stack_kinds import FAULTS, OFFCPU
from ebtop.ui.focus import Focus
from ebtop.ui.moment import Moment
from ebtop.ui.prompt import Question

if TYPE_CHECKING:
    from ebtop.store.filter import Completion
    from ebtop.store.keeper import Keeper
    from ebtop.ui.screens.view import ViewScreen

_ALWAYS_NARROWED = frozenset((OFFCPU, FAULTS))
"""Dear by themselves: somebody who loads them in a drill-down must not pay for the whole node."""
_NARROWED_BY_DRILL = frozenset(("cpu", "tcp", *_ALWAYS_NARROWED))
"""Not exec, whose children's execs belong to a process too, nor connects, whose histogram counts all of the node."""
_DEAR_PERCENT = 0.2
"""Percent of the node from which on a probe is narrowed to what a drill-down looks at."""
_MANY_EVENTS = 500.0
"""Events a second from which on it is, too: user space pays for each of them."""


def combined(selection: Selection | None, trail: Sequence[Focus]) -> Selection | None:
    """A filter and the steps of a drill-down, all of which must hold; None = everything."""
    found = selection
    for focus in trail:
        found = focus.selection if found is None else _both(found, focus.selection)
    return found


class Filtering:
    """Holds the filter; `tell` is called from any thread with a text and its style."""

    def __init__(
        self, source: Source, timeline: Keeper, selection: Selection | None, tell: Callable[[str, str], None]
    ) -> None:
        self._source = source
        self._timeline = timeline
        self._tell = tell
        self.selection = selection
        self._wanted: tuple[Pushed | None, frozenset[str]] = (None, frozenset())
        self._applied: tuple[Pushed | None, frozenset[str]] = (None, frozenset())
        self._applying = threading.Lock()
        self._rates: dict[str, float] = {}

    @property
    def text(self) -> str:
        """As typed; "" = no filter."""
        return self.selection.text if self.selection is not None else ""

    def clear(self) -> None:
        self.selection = None

    def question(self, screen: ViewScreen, answered: Callable[[str], None]) -> Question:
        """Asks for a filter, and sets it."""
        from ebtop.store.filter import FilterError, FilterSelection, complete, parse

        known = _known_values(screen.moment)

        def check(text: str) -> str:
            try:
                parse(text)
            except FilterError as error:
                return error.line()
            return ""

        def completions(text: str, cursor: int) -> Sequence[Completion]:
            return complete(text, cursor, known)

        def answer(text: str) -> None:
            if text.strip():
                self.selection = FilterSelection(parse(text), self._source.containers)
            else:
                self.selection = None
            answered(self.text)

        hint = "comm:nginx  port:443  lat>100ms  bytes>1M  ret!=0  not state:closed  free text"
        return Question("filter", hint, answer, self.text, check, completions)

    def narrow(self, trail: Sequence[Focus], moment: Moment | None) -> None:
        """Decide what the kernel may drop: a filter narrows every probe, a drill-down those that are dear."""
        if self.selection is not None:
            named = [probe.name for probe in self._source.health().probes if not probe.name.startswith("(")]
            self._wanted = (self.selection.pushed(), frozenset((*self._source.probe_names, *named)))
            return
        pushed = trail[-1].selection.pushed() if trail else None
        dear: frozenset[str] = frozenset()
        if pushed and moment is not None:
            on_demand = [probe.name for probe in moment.health.probes if probe.name in _ALWAYS_NARROWED]
            dear = _NARROWED_BY_DRILL.intersection((*dear_probes(moment), *on_demand))
        self._wanted = (pushed, dear) if pushed and dear else (None, frozenset())

    def apply(self) -> None:
        """Tell the kernel; blocking."""
        with self._applying:
            wanted = self._wanted
            if wanted == self._applied:
                return
            try:
                self._source.narrow(*wanted)
            except EbtopError as error:
                self._tell(f"still collecting everything: {error.line()}", "warn")
                return
            self._applied = wanted
            narrowed = self._source.health().narrowed
            self._timeline.narrowed_to(narrowed)
            if self.selection is not None and narrowed:
                self._tell(f"shown is only what matches {self.text}, collected only {narrowed}; F clears", "text")


def narrowed_words(health: Health) -> str:
    """What is collected only in part at present; "" = all of everything that was asked for."""
    return f"{', '.join(health.narrowed_probes)}: only {health.narrowed} is collected" if health.narrowed else ""


def dear_probes(moment: Moment) -> list[str]:
    """Those that cost the node more than a little at this moment."""
    rates = moment.snapshot.rates
    events = {
        "exec": rates.execs + rates.exits + rates.exec_failures,
        "tcp": rates.connects + rates.accepts + rates.closes,
        "retransmits": rates.retransmits,
        "connects": rates.connects,
    }
    costs = moment.cost.probes if moment.cost else {}
    return [
        probe.name
        for probe in moment.health.probes
        if (costs.get(probe.name) or 0.0) > _DEAR_PERCENT or events.get(probe.name, 0.0) > _MANY_EVENTS
    ]


def _both(first: Selection, second: Selection) -> Selection:
    from ebtop.store.focus_selections import Both

    return Both(first, second)


def _known_values(moment: Moment | None) -> dict[str, list[str]]:
    """Names that are on screen, to complete with."""
    if moment is None:
        return {}
    snapshot = moment.snapshot
    comms = {row.comm for rows in (snapshot.execs, snapshot.tcp, snapshot.retransmits) for row in rows[:500]}
    peers = {row.daddr for row in snapshot.tcp[:500]}
    ports = {str(row.dport) for row in snapshot.tcp[:500]}
    cgroups = {row.cgroup for row in snapshot.execs[:500] if row.cgroup}
    return {
        "comm": sorted(comms - {""}), "addr": sorted(peers), "port": sorted(ports, key=int), "cgroup": sorted(cgroups),
    }  # fmt: skip
