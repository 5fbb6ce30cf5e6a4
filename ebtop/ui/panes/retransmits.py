"""Which connections send segments again, and why."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.store.rows import RetransmitRow, Snapshot
from ebtop.store.source import ProbeHealth
from ebtop.ui.moment import Moment
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.panes.tcp import owner
from ebtop.ui.table import Column, number, process_id
from ebtop.ui.title import Figure
from ebtop.units import count, endpoint, rate, share, wall_clock

_KIND_STYLES = {"rto": "bad", "syn": "bad", "synack": "bad", "fast": "warn", "tlp": "info"}


def _kinds(row: RetransmitRow) -> str:
    return " ".join(f"{kind} {segments}" for kind, segments in row.kinds)


def _kind_style(row: RetransmitRow) -> str:
    return _KIND_STYLES.get(row.kinds[0][0], "text") if row.kinds else "dim"


def _rate(segments: float) -> str:
    return rate(segments) if segments else "·"


COLUMNS: tuple[Column[RetransmitRow], ...] = (
    Column(
        "LAST",
        8,
        lambda r: wall_clock(r.time_ns),
        "when the latest was sent",
        "dim",
        lambda r: r.time_ns,
        descending=True,
        rank=4,
    ),
    process_id(lambda r: r.pid, rank=5),
    Column("COMM", 9, lambda r: owner(r.pid, r.comm, r.owner), "process", "text", lambda r: r.comm, rank=2),
    Column(
        "REMOTE",
        21,
        lambda r: endpoint(r.daddr, r.dport),
        "remote address and port",
        "text",
        lambda r: (r.daddr, r.dport),
        stretch=1,
        middle=True,
    ),
    Column("STATE", 11, lambda r: r.state, "TCP state", "dim", lambda r: r.state, rank=6),
    number("SEGS", 6, lambda r: r.segments, count, "segments sent again", "strong"),
    number("/s", 5, lambda r: r.rate, _rate, "segments a second over the last 10 s"),
    Column("KIND", 12, _kinds, "why: rto, fast, tlp, syn, synack", _kind_style, lambda r: r.kinds[:1]),
)


class RetransmitsPane(TablePane[RetransmitRow]):
    probe = "retransmits"
    number = 4
    heading = "RETRANSMITS"
    nothing_yet = "retransmit seen yet"
    words = (
        "TCP segments that were sent again, by connection. rto: a timer ran out, the worst kind; fast: the peer "
        "reported a gap; tlp: a probe at the end of a burst; syn, synack: a handshake got no answer. SEGS counts "
        "segments, not events."
    )

    def __init__(self) -> None:
        super().__init__(COLUMNS, lambda row: (row.saddr, row.sport, row.daddr, row.dport))

    def rows_of(self, snapshot: Snapshot) -> Sequence[RetransmitRow]:
        return snapshot.retransmits

    def leading(self, moment: Moment) -> list[Figure]:
        now = moment.snapshot.rates.retransmits
        return [Figure(f"{self.floor(moment)}{rate(now)} segments/s", "warn" if now else "text")]

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        rows = moment.snapshot.retransmits
        known = sum(1 for row in rows if row.owner != "unknown")
        return [Figure(f"{share(known, len(rows))} owned", "good" if known == len(rows) else "warn", 2)] if rows else []
