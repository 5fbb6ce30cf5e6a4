"""Which connects were slow or failed, and how latency is spread."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from textual import events
from textual.app import ComposeResult
from textual.containers import Container

from ebtop.store.rows import ConnectRow, Snapshot, TargetRow
from ebtop.store.source import ProbeHealth
from ebtop.ui.columns import Column, number, process_id
from ebtop.ui.histogram import Histogram, quantile
from ebtop.ui.moment import Moment
from ebtop.ui.panes import focusing
from ebtop.ui.panes.cells import alarm, few, pace, presence, tally, user_column
from ebtop.ui.panes.mode import Mode
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.title import Figure
from ebtop.units import count, endpoint, latency, power_of_two_us, wall_clock

_SIDE_BY_SIDE = 74
"""In a narrower pane the histogram stands below the table."""
_NO_PORT = "no port"
_RESULT_STYLES = {
    "ok": "good",
    "pending": "accent",
    "refused": "bad",
    "timeout": "bad",
    "unreachable": "warn",
    "aborted": "dim",
    _NO_PORT: "bad",
}

_ENDS = ("ok", "refused", "timeout", "unreachable", "aborted")


def _result(row: ConnectRow) -> str:
    return _NO_PORT if row.error == "EADDRNOTAVAIL" else row.result


def _result_style(row: ConnectRow) -> str:
    return _RESULT_STYLES.get(_result(row), "text")


def _by_result(row: TargetRow) -> list[tuple[str, int]]:
    counts = [(result, getattr(row, result)) for result in _ENDS]
    return sorted([count for count in counts if count[1]], key=lambda count: count[1], reverse=True)


def _results(row: TargetRow) -> str:
    return " ".join(f"{result} {number}" for result, number in _by_result(row)) or "-"


def _results_style(row: TargetRow) -> str:
    counts = _by_result(row)
    return _RESULT_STYLES.get(counts[0][0], "text") if counts else "faint"


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
        most=47,
        middle=True,
    ),
    number("LATENCY", 7, lambda r: r.latency_ms, latency, "until it ended, or so far", "strong"),
    Column("RESULT", 11, _result, "how it ended", _result_style, _result),
    Column("ERROR", 13, lambda r: r.error or "-", "what connect() was told", "dim", lambda r: r.error, hidden=True),
    user_column(lambda r: r.uid, hidden=True),
)

TARGETS: tuple[Column[TargetRow], ...] = (
    Column(
        "LAST",
        8,
        lambda r: wall_clock(r.time_ns),
        "when the latest ended, or now",
        "dim",
        lambda r: r.time_ns,
        descending=True,
        rank=7,
    ),
    Column(
        "TO",
        17,
        lambda r: endpoint(r.addr, r.port),
        "address and port",
        "text",
        lambda r: (r.addr, r.port),
        stretch=2,
        most=47,
        middle=True,
    ),
    number("COUNT", 6, lambda r: r.finished, tally, "slow or failed ones that ended", "strong"),
    number("/s", 5, lambda r: r.rate, pace, "a second over the last 10 s", lambda r: presence(r.rate), rank=5),
    number("WAIT", 4, lambda r: r.pending, tally, "waiting now", lambda r: presence(r.pending, "accent")),
    number("P50", 6, lambda r: r.p50_ms, latency, "half took no longer; up to a fifth too high", "text", rank=4),
    number("P99", 6, lambda r: r.p99_ms, latency, "99 of 100 took no longer; up to a fifth too high", "text", rank=2),
    number("MAX", 6, lambda r: r.max_ms, latency, "the longest", "strong", rank=1),
    Column("RESULTS", 12, _results, "how they ended, most first", _results_style, _results, stretch=1, most=40),
    Column("PROCESSES", 12, lambda r: few(r.comms), "who connects", "text", lambda r: r.comms, stretch=1, rank=3),
    number("OK", 5, lambda r: r.ok, tally, "slow, but connected", lambda r: presence(r.ok, "good"), hidden=True),
    number("REFUSED", 7, lambda r: r.refused, tally, "nobody listens", lambda r: alarm(r.refused, "bad"), hidden=True),
    number("TIMEOUT", 7, lambda r: r.timeout, tally, "no answer", lambda r: alarm(r.timeout, "bad"), hidden=True),
    number("UNREACH", 7, lambda r: r.unreachable, tally, "no way", lambda r: alarm(r.unreachable), hidden=True),
    number("ABORTED", 7, lambda r: r.aborted, tally, "given up", lambda r: presence(r.aborted), hidden=True),
)


def _worst(snapshot: Snapshot) -> Sequence[TargetRow]:
    return sorted(snapshot.targets, key=attrgetter("pending", "rate", "finished"), reverse=True)


class ConnectsPane(TablePane):
    probe = "connects"
    number = 5
    heading = "SLOW CONNECTS"
    nothing_yet = "slow or failed connect"
    words = (
        "TCP connects that took long or failed, those that still wait first. The histogram counts every connect "
        "since the probe was loaded, in the kernel, whatever the threshold; red ones failed. p50 and p99 in the title "
        "are the upper bounds of their bucket. t adds the slow and failed ones up by target."
    )
    source_words = (
        "The time from connect() until the handshake is over, taken in the kernel. Rows are those over the threshold "
        "and those that failed; connects within the node count too. In a view of one process or peer there is no "
        "histogram of the kernel, only one of the rows; it says so."
    )
    high_words = (
        "Within a data centre a connect takes well below 1 ms. 1 s, 3 s, 7 s are a SYN that was lost once, twice, "
        "three times: loss, or a listener whose backlog is full. refused: nobody listens; timeout: a firewall or a "
        "dead host; unreachable: no route; no port: every local port is in use for that target."
    )
    next_words = (
        "Press t: one target that is slow is its problem; all of them slow are this node's network or name service. "
        "Enter shows who connects there. Compare with pane 4: lost SYNs appear there as syn."
    )

    def __init__(self) -> None:
        container = self.container_column(rank=6)
        super().__init__(
            Mode(
                "events",
                "",
                (*COLUMNS[:3], container, *COLUMNS[3:]),
                attrgetter("pid", "daddr", "dport", "time_ns"),
                attrgetter("connects"),
                lambda row: focusing.process(row.pid, row.comm),
            ),
            Mode(
                "targets",
                "by target",
                TARGETS,
                attrgetter("addr", "port"),
                _worst,
                lambda row: focusing.peer(row.addr, row.port),
                attrgetter("targets"),
            ),
        )
        self.histogram = Histogram()

    def content(self) -> ComposeResult:
        with Container(id="connects-body", classes="body"):
            yield self.table
            yield self.histogram

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < _SIDE_BY_SIDE, "-narrow")

    def draw_body(self, moment: Moment) -> None:
        super().draw_body(moment)
        self.histogram.show(moment.snapshot.histogram, partial=moment.snapshot.histogram_partial)

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
        return [*figures, *self.about_mode(moment)]

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        histogram = moment.snapshot.histogram
        total, failed = sum(map(sum, histogram)), sum(histogram.failed)
        return [Figure(f"{count(failed)} of {count(total)} failed", "bad" if failed else "dim", 2)] if total else []
