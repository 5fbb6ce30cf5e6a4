"""Who talks to whom, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from ebtop.store.rows import PeerRow, Snapshot, TalkerRow, TcpRow
from ebtop.store.source import ProbeHealth
from ebtop.ui.columns import Column, number, process_id
from ebtop.ui.focus import Focus
from ebtop.ui.moment import Moment
from ebtop.ui.panes import focusing
from ebtop.ui.panes.cells import alarm, few, flow, heat, owner, pace, presence, tally, user_column
from ebtop.ui.panes.mode import Mode
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.title import Figure
from ebtop.units import duration, endpoint, plural, rate, share, size, wall_clock

_SHORT = {
    "ESTABLISHED": "ESTAB",
    "CLOSE_WAIT": "CLOSE-W",
    "TIME_WAIT": "TIME-W",
    "FIN_WAIT1": "FIN-W1",
    "FIN_WAIT2": "FIN-W2",
}
_ARROWS = {"in": "←", "out": "→"}
_BAD = frozenset(("reset", "refused", "timeout"))


def state_style(row: TcpRow) -> str:
    if row.state in _BAD:
        return "bad"
    if not row.open:
        return "faint"
    return "good" if row.state == "ESTABLISHED" else "warn"


def _liveness(row: TcpRow) -> str:
    return "text" if row.open else "dim"


def _arrow(row: TcpRow | PeerRow) -> str:
    return _ARROWS.get(row.direction or "", " ")


def _arrow_style(row: TcpRow | PeerRow) -> str:
    return "violet" if row.direction == "in" else "info"


_DIRECTION = "→ connected from here, ← accepted here"

COLUMNS: tuple[Column[TcpRow], ...] = (
    process_id(lambda r: r.pid, rank=3),
    Column(
        "COMM",
        12,
        lambda r: owner(r.pid, r.comm, r.owner),
        "process; ~ = known only by its listener or from /proc",
        _liveness,
        attrgetter("comm"),
    ),
    Column("", 1, _arrow, _DIRECTION, _arrow_style, lambda r: r.direction, name="DIRECTION"),
    Column(
        "LOCAL",
        15,
        lambda r: endpoint(r.saddr, r.sport),
        "local address and port",
        "dim",
        attrgetter("saddr", "sport"),
        stretch=1,
        most=47,
        middle=True,
        rank=4,
    ),
    Column(
        "REMOTE",
        19,
        lambda r: endpoint(r.daddr, r.dport),
        "remote address and port",
        _liveness,
        attrgetter("daddr", "dport"),
        stretch=1,
        most=47,
        middle=True,
    ),
    Column(
        "STATE",
        7,
        lambda r: _SHORT.get(r.state, r.state),
        "TCP state, or how it ended",
        state_style,
        attrgetter("state"),
    ),
    number("TX/s", 5, attrgetter("tx_rate"), flow, "bytes sent a second", lambda r: heat(r.tx_rate)),
    number("RX/s", 5, attrgetter("rx_rate"), flow, "bytes received a second", lambda r: heat(r.rx_rate)),
    number("TX", 5, attrgetter("tx_bytes"), size, "bytes sent", "dim", rank=5),
    number("RX", 5, attrgetter("rx_bytes"), size, "bytes received", "dim", rank=5),
    number(
        "RETR",
        4,
        attrgetter("retransmits"),
        flow,
        "segments sent again",
        lambda r: alarm(r.retransmits),
        rank=6,
    ),
    number("AGE", 6, lambda r: r.duration_s, duration, "since it was opened", "dim", rank=7),
)
_MORE: tuple[Column[TcpRow], ...] = (
    user_column(lambda r: r.uid, rank=10),
    Column(
        "NETNS",
        10,
        lambda r: str(r.netns),
        "network namespace, as /proc/PID/ns/net names it",
        "dim",
        lambda r: r.netns,
        right=True,
        hidden=True,
    ),
    Column(
        "CGROUP", 24, lambda r: r.cgroup or "-", "control group of the owner", "dim", lambda r: r.cgroup, hidden=True
    ),
)


def _sums(what: str) -> tuple[Column[Any], ...]:
    return (
        number("OPEN", 5, lambda r: r.open, tally, "connections open now", lambda r: presence(r.open, "good")),
        number(
            "NEW/s", 5, lambda r: r.rate, pace, "opened a second over the last 10 s", lambda r: presence(r.rate), rank=2
        ),
        number("TX/s", 5, lambda r: r.tx_rate, flow, "sent a second over the last 10 s", lambda r: heat(r.tx_rate)),
        number("RX/s", 5, lambda r: r.rx_rate, flow, "received a second over the last 10 s", lambda r: heat(r.rx_rate)),
        number("TX", 5, lambda r: r.tx_bytes, flow, f"bytes sent by all connections of the {what}", "dim", rank=4),
        number("RX", 5, lambda r: r.rx_bytes, flow, "bytes received, closed connections included", "dim", rank=4),
        number(
            "RETR", 5, lambda r: r.retransmits, tally, "segments sent again", lambda r: alarm(r.retransmits), rank=3
        ),
        number("OPENED", 6, lambda r: r.opened, tally, "connections opened", "dim", rank=6),
        number("ENDED", 6, lambda r: r.ended, tally, "connections that ended", "dim", rank=5),
        Column(
            "LAST",
            8,
            lambda r: wall_clock(r.time_ns),
            "when something happened last",
            "dim",
            lambda r: r.time_ns,
            descending=True,
            rank=8,
            hidden=True,
        ),
    )


PEERS: tuple[Column[PeerRow], ...] = (
    Column("", 1, _arrow, _DIRECTION, _arrow_style, lambda r: r.direction, name="DIRECTION"),
    Column(
        "PEER",
        15,
        lambda r: r.addr,
        "remote address",
        lambda r: presence(r.open),
        lambda r: (r.addr, r.port),
        stretch=2,
        most=39,
        middle=True,
    ),
    Column(
        "PORT",
        5,
        lambda r: str(r.port),
        "of the service: theirs for →, ours for ←; without an arrow the lower of both",
        "dim",
        lambda r: r.port,
        right=True,
    ),
    *_sums("peer"),
    Column("PROCESSES", 12, lambda r: few(r.comms), "at this end", "text", lambda r: r.comms, stretch=1, rank=1),
)

TALKERS: tuple[Column[TalkerRow], ...] = (
    process_id(lambda r: r.pid),
    Column(
        "COMM",
        15,
        lambda r: r.comm or "[not known]",
        "process; not known: its owner can't be found",
        lambda r: presence(r.open),
        lambda r: r.comm,
    ),
    *_sums("process"),
    user_column(lambda r: r.uid, rank=9),
)


def _busiest_peers(snapshot: Snapshot) -> Sequence[PeerRow]:
    return sorted(snapshot.peers, key=_traffic, reverse=True)


def _busiest_talkers(snapshot: Snapshot) -> Sequence[TalkerRow]:
    return sorted(snapshot.talkers, key=_traffic, reverse=True)


def _traffic(row: PeerRow | TalkerRow) -> tuple[float, float, int, int]:
    return row.tx_rate + row.rx_rate, row.rate, row.open, row.tx_bytes + row.rx_bytes


def _peer(row: PeerRow) -> Focus:
    """A port of ours tells nothing of a peer that connects to it."""
    return focusing.peer(row.addr, row.port if row.direction == "out" else None)


class TcpPane(TablePane):
    probe = "tcp"
    number = 3
    heading = "TCP"
    nothing_yet = "TCP connection seen"
    words = (
        "Open and just ended TCP connections with their owners and payload bytes, also those older than ebtop. "
        "→ was connected from here, ← accepted here. A ~ before the owner means that it is known only by who "
        "listens, or from /proc; ? means not known. Rates cover the time between two scans of the network "
        "namespaces counted in the title. t adds them up by peer and by process, the top talkers first; there, closed "
        "connections count too, and rates are of the last 10 s."
    )
    source_words = (
        "The kernel tells of every end of a connection, and walks all sockets each second or two for what is open and "
        "how many bytes its peer has acknowledged. What a connection moved before ebtop started is in TX and RX of "
        "its own row, not in the totals: they count since the time in the title."
    )
    high_words = (
        "Many new connections a second to one peer mean that nobody keeps them open: each costs a handshake. CLOSE-W "
        "that stays is a program that forgets to close. RETR is loss or a peer too slow to answer; a TX/s near what "
        "the link can do is the link."
    )
    next_words = (
        "Press t for peers or processes, s to sort by what matters. Enter on a peer shows everyone who talks to it, on "
        "a process its connections beside its CPU time. Then look at pane 4 for the same peer."
    )

    def __init__(self) -> None:
        container = self.container_column(rank=9)
        by_process = self.container_column(rank=7)
        super().__init__(
            Mode(
                "connections",
                "",
                (*COLUMNS[:2], container, *COLUMNS[2:], *_MORE),
                attrgetter("key", "sport", "dport"),
                attrgetter("tcp"),
                focusing.connection,
            ),
            Mode("peers", "by peer", PEERS, attrgetter("addr", "port", "direction"), _busiest_peers, _peer,
                 attrgetter("peers")),
            Mode(
                "talkers",
                "by process",
                (*TALKERS[:2], by_process, *TALKERS[2:]),
                attrgetter("pid"),
                _busiest_talkers,
                lambda row: focusing.process(row.pid, row.comm),
                attrgetter("talkers"),
            ),
        )  # fmt: skip

    def look_at(self, focus: Focus) -> None:
        if focus.kind == "peer":
            self.turn_to("talkers")

    def leading(self, moment: Moment) -> list[Figure]:
        rates, floor = moment.snapshot.rates, self.floor(moment)
        opened = sum(map(attrgetter("open"), moment.snapshot.tcp))
        return [
            Figure(f"{opened:,} open", "text"),
            *self.about_mode(moment),
            Figure(
                f"{floor}{rate(rates.connects + rates.accepts)} new/s {floor}{rate(rates.closes)} ended/s", "dim", 3
            ),
            Figure(f"tx {size(rates.tx_bytes)}/s rx {size(rates.rx_bytes)}/s", "dim", 4),
        ]

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        rows, snapshot = moment.snapshot.tcp, moment.snapshot
        known = len(rows) - list(map(attrgetter("owner"), rows)).count("unknown")
        seen, missed = len(snapshot.tcp_netns), snapshot.tcp_netns_missed
        namespaces = f"{seen} of {seen + missed} netns" if missed else plural(seen, "netns", "netns")
        owned = [Figure(f"{share(known, len(rows))} owned", "good" if known == len(rows) else "warn", 2)]
        return (owned if rows else []) + [Figure(namespaces, "warn" if missed else "dim", 4)]
