"""Which connections send segments again, and why."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from textual import events
from textual.app import ComposeResult

from ebtop.store.rows import RetransmitPeerRow, RetransmitRow, Snapshot
from ebtop.store.source import ProbeHealth
from ebtop.ui.columns import Column, number, process_id
from ebtop.ui.moment import Moment
from ebtop.ui.panes import focusing
from ebtop.ui.panes.cells import few, owner, pace, presence, tally, user_column
from ebtop.ui.panes.mode import Mode
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.rate_strip import RateStrip
from ebtop.ui.title import Figure
from ebtop.units import count, endpoint, rate, share, wall_clock

_ROOM_FOR_STRIP = 8
"""In a lower pane the rows need every line."""
_KIND_STYLES = {"rto": "bad", "syn": "bad", "synack": "bad", "fast": "warn", "tlp": "info"}


def _kinds(row: RetransmitRow | RetransmitPeerRow) -> str:
    return " ".join(f"{kind} {segments}" for kind, segments in row.kinds)


def _kind_style(row: RetransmitRow | RetransmitPeerRow) -> str:
    return _KIND_STYLES.get(row.kinds[0][0], "text") if row.kinds else "dim"


_KIND_HELP = "why: rto, fast, tlp, syn, synack"
_RATE_HELP = "segments a second over the last 10 s"

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
        "LOCAL",
        15,
        lambda r: endpoint(r.saddr, r.sport),
        "local address and port",
        "dim",
        lambda r: (r.saddr, r.sport),
        middle=True,
        hidden=True,
    ),
    Column(
        "REMOTE",
        21,
        lambda r: endpoint(r.daddr, r.dport),
        "remote address and port",
        "text",
        lambda r: (r.daddr, r.dport),
        stretch=1,
        most=47,
        middle=True,
    ),
    Column("STATE", 11, lambda r: r.state, "TCP state", "dim", lambda r: r.state, rank=6),
    number("SEGS", 6, lambda r: r.segments, count, "segments sent again", "strong"),
    number("/s", 5, lambda r: r.rate, pace, _RATE_HELP, lambda r: presence(r.rate, "warn")),
    Column("KIND", 12, _kinds, _KIND_HELP, _kind_style, lambda r: r.kinds[:1], stretch=1, most=40),
    user_column(lambda r: r.uid, rank=8, hidden=True),
)

PEERS: tuple[Column[RetransmitPeerRow], ...] = (
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
    Column(
        "PEER",
        15,
        lambda r: r.addr,
        "remote address",
        "text",
        lambda r: (r.addr, r.port),
        stretch=2,
        most=39,
        middle=True,
    ),
    Column(
        "PORT",
        5,
        lambda r: str(r.port),
        "the lower of both ports, mostly that of the service",
        "dim",
        lambda r: r.port,
        right=True,
    ),
    number("SEGS", 6, lambda r: r.segments, count, "segments sent again", "strong"),
    number("/s", 5, lambda r: r.rate, pace, _RATE_HELP, lambda r: presence(r.rate, "warn")),
    number(
        "CONNS",
        5,
        lambda r: r.connections,
        tally,
        "connections that did; one that was forgotten meanwhile counts again",
        "text",
        rank=3,
    ),
    Column("KIND", 12, _kinds, _KIND_HELP, _kind_style, lambda r: r.kinds[:1], stretch=1, most=40),
    Column("PROCESSES", 12, lambda r: few(r.comms), "at this end", "text", lambda r: r.comms, stretch=1, rank=2),
)


def _worst(snapshot: Snapshot) -> Sequence[RetransmitPeerRow]:
    return sorted(snapshot.retransmit_peers, key=attrgetter("rate", "segments"), reverse=True)


class RetransmitsPane(TablePane):
    probe = "retransmits"
    number = 4
    heading = "RETRANSMITS"
    nothing_yet = "retransmit seen yet"
    words = (
        "TCP segments that were sent again, by connection. rto: a timer ran out, the worst kind; fast: the peer "
        "reported a gap; tlp: a probe at the end of a burst; syn, synack: a handshake got no answer. SEGS counts "
        "segments, not events. The line on top is the last minute, second by second. t adds them up by peer."
    )
    source_words = (
        "The kernel reports each time it sends something again; nothing is sampled, and no packets are captured. What "
        "a peer sends again to this node is not seen here. Segments that hardware splits are counted as on the wire."
    )
    high_words = (
        "Below one segment in a hundred nobody notices. rto stalls a connection for 200 ms and more each time; syn "
        "means that a peer does not answer at all: a firewall, a full backlog, a wrong address. tlp alone is harmless."
    )
    next_words = (
        "Press t: one bad peer is its host or the way to it; many peers at once are this node's link, its driver or "
        "its queues (ethtool -S, tc -s qdisc). Enter shows the process that suffers, or everyone who talks to the peer."
    )

    def __init__(self) -> None:
        self.strip = RateStrip("segments/s")
        container = self.container_column(rank=7)
        super().__init__(
            Mode(
                "connections",
                "",
                (*COLUMNS[:3], container, *COLUMNS[3:]),
                attrgetter("saddr", "sport", "daddr", "dport", "netns", "pid", "comm"),
                attrgetter("retransmits"),
                focusing.connection,
            ),
            Mode(
                "peers",
                "by peer",
                PEERS,
                attrgetter("addr", "port"),
                _worst,
                lambda row: focusing.peer(row.addr),
                attrgetter("retransmit_peers"),
            ),
        )

    def on_resize(self, event: events.Resize) -> None:
        self.strip.display = event.size.height >= _ROOM_FOR_STRIP

    def content(self) -> ComposeResult:
        yield self.strip
        yield self.table

    def draw_body(self, moment: Moment) -> None:
        self.strip.show(moment.snapshot.retransmit_history)
        super().draw_body(moment)

    def leading(self, moment: Moment) -> list[Figure]:
        now = moment.snapshot.rates.retransmits
        figure = Figure(f"{self.floor(moment)}{rate(now)} segments/s", "warn" if now else "text")
        return [figure, *self.about_mode(moment)]

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        rows = moment.snapshot.retransmits
        known = sum(1 for row in rows if row.owner != "unknown")
        return [Figure(f"{share(known, len(rows))} owned", "good" if known == len(rows) else "warn", 2)] if rows else []
