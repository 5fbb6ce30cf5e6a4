"""Which connects were slow or failed, and how latency is spread."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Container

from ebtop.store.rows import ConnectRow, Snapshot
from ebtop.store.source import ProbeHealth
from ebtop.ui.histogram import Histogram, quantile
from ebtop.ui.moment import Moment
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.table import Column, number, process_id
from ebtop.ui.title import Figure
from ebtop.units import count, endpoint, latency, power_of_two_us, wall_clock

_SIDE_BY_SIDE = 74
"""In a narrower pane the histogram stands below the table."""
_RESULT_STYLES = {
    "ok": "good",
    "pending": "accent",
    "refused": "bad",
    "timeout": "bad",
    "unreachable": "warn",
    "aborted": "dim",
}


def _result_style(row: ConnectRow) -> str:
    return _RESULT_STYLES.get(row.result, "text")


COLUMNS: tuple[Column[ConnectRow], ...] = (
    Column(
        "TIME",
        8,
        lambda r: wall_clock(r.time_ns),
        "when it ended, or now",
        "dim",
        lambda r: r.time_ns,
        descending=True,
        rank=4,
    ),
    process_id(lambda r: r.pid, rank=5),
    Column("COMM", 9, lambda r: r.comm or "?", "process", "text", lambda r: r.comm, rank=3),
    Column(
        "TO",
        17,
        lambda r: endpoint(r.daddr, r.dport),
        "address and port",
        "text",
        lambda r: (r.daddr, r.dport),
        stretch=1,
        middle=True,
    ),
    number("LATENCY", 7, lambda r: r.latency_ms, latency, "until it ended, or so far", "strong"),
    Column("RESULT", 11, lambda r: r.result, "how it ended", _result_style, lambda r: r.result),
)


class ConnectsPane(TablePane[ConnectRow]):
    probe = "connects"
    number = 5
    heading = "SLOW CONNECTS"
    nothing_yet = "slow or failed connect"
    words = (
        "TCP connects that took long or failed, those that still wait first. The histogram counts every connect "
        "since the probe was loaded, in the kernel, whatever the threshold; red ones failed. p50 and p99 are the "
        "upper bounds of their bucket."
    )

    def __init__(self) -> None:
        super().__init__(COLUMNS, lambda row: (row.pid, row.daddr, row.dport, row.time_ns))
        self.histogram = Histogram()

    def content(self) -> ComposeResult:
        with Container(id="connects-body", classes="body"):
            yield self.table
            yield self.histogram

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < _SIDE_BY_SIDE, "-narrow")

    def draw_body(self, moment: Moment) -> None:
        super().draw_body(moment)
        self.histogram.show(moment.snapshot.histogram)

    def rows_of(self, snapshot: Snapshot) -> Sequence[ConnectRow]:
        return snapshot.connects

    def empty(self, moment: Moment) -> bool:
        return super().empty(moment) and not any(map(any, moment.snapshot.histogram))

    def leading(self, moment: Moment) -> list[Figure]:
        rows = moment.snapshot.connects
        pending = sum(1 for row in rows if row.result == "pending")
        figures = [Figure(f"{self.floor(moment)}{count(len(rows) - pending)}", "text")]
        if pending:
            figures.append(Figure(f"{pending} pending", "accent", 1))
        median, high = (quantile(*moment.snapshot.histogram, q) for q in (0.5, 0.99))
        if median is not None and high is not None:
            figures.append(Figure(f"p50 <{power_of_two_us(median)} p99 <{power_of_two_us(high)}", "dim", 3))
        return figures

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        histogram = moment.snapshot.histogram
        total, failed = sum(map(sum, histogram)), sum(histogram.failed)
        return [Figure(f"{count(failed)} of {count(total)} failed", "bad" if failed else "dim", 2)] if total else []
