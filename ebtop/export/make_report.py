"""Puts a report together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ebtop.export.extract import Extract
from ebtop.export.findings import sections
from ebtop.export.icicle_cells import cells
from ebtop.export.report import Chart, Icicle, Report
from ebtop.export.report_tables import tables
from ebtop.export.stack_sums import Profile
from ebtop.export.svg import KIND_COLOURS, painter
from ebtop.store.ticks import Tick

_SERIES: tuple[tuple[str, str, Callable[[Tick], float | None]], ...] = (
    ("CPUs busy", "%", lambda tick: tick.health.node.cpu_percent if tick.health.node else None),
    ("Execs", "a second", lambda tick: tick.rates.execs),
    ("Connections opened", "a second", lambda tick: tick.rates.connects + tick.rates.accepts),
    ("Segments sent again", "a second", lambda tick: tick.rates.retransmits),
    ("TCP payload sent", "B/s", lambda tick: tick.rates.tx_bytes),
    ("TCP payload received", "B/s", lambda tick: tick.rates.rx_bytes),
)


def make_report(extract: Extract, *, drawn: bool) -> Report:
    """Reads all of the extract; some seconds for a big one. `drawn`: with icicles, one for each kind of stacks."""
    said, listed = tuple(sections(extract)), tuple(tables(extract))
    about, profile = extract.about(), extract.profile
    return Report(
        about.heading,
        tuple(about.lines(profile)[1:]),
        said,
        listed,
        tuple(_charts(extract)),
        about.notes,
        tuple(map(_icicle, extract.profiles)) if drawn else (),
    )


def _icicle(profile: Profile) -> Icicle:
    tree = profile.tree
    return Icicle(f"Where {profile.title} goes", KIND_COLOURS, cells(tree), painter(tree, profile))


def _charts(extract: Extract) -> Iterator[Chart]:
    """Of everything that was collected, whatever a filter chose: rates are not kept by process."""
    ticks = extract.evidence.ticks(extract.from_ns, extract.until_ns)
    for title, unit, value_of in _SERIES:
        points = [(tick.time_ns, value) for tick in ticks if (value := value_of(tick)) is not None]
        if len(points) > 1:
            yield Chart(title if extract.chosen is None else f"{title}, whole node", unit, tuple(points))
