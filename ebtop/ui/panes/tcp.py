"""Who talks to whom, and how much."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.store.rows import Snapshot, TcpRow
from ebtop.store.source import ProbeHealth
from ebtop.ui.moment import Moment
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.table import Column, number, process_id
from ebtop.ui.title import Figure
from ebtop.units import duration, endpoint, plural, rate, share, size

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


def owner(pid: int, comm: str, how: str) -> str:
    """The process; a name that is only that of the listener or from /proc is marked with ~."""
    if how == "unknown" or not pid:
        return comm or "?"
    return comm if how == "exact" else f"~{comm}"


def _liveness(row: TcpRow) -> str:
    return "text" if row.open else "dim"


def _flow(number: float) -> str:
    return size(number) if number >= 0.5 else "·"


def _heat(number: float) -> str:
    if number < 0.5:
        return "faint"
    return "strong" if number >= 2**20 else "text"


COLUMNS: tuple[Column[TcpRow], ...] = (
    process_id(lambda r: r.pid, rank=3),
    Column(
        "COMM",
        12,
        lambda r: owner(r.pid, r.comm, r.owner),
        "process; ~ = known only by its listener or from /proc",
        _liveness,
        lambda r: r.comm,
    ),
    Column(
        "", 1, lambda r: _ARROWS.get(r.direction or "", " "), "", lambda r: "violet" if r.direction == "in" else "info"
    ),
    Column(
        "LOCAL",
        15,
        lambda r: endpoint(r.saddr, r.sport),
        "local address and port",
        "dim",
        lambda r: (r.saddr, r.sport),
        stretch=1,
        middle=True,
        rank=4,
    ),
    Column(
        "REMOTE",
        19,
        lambda r: endpoint(r.daddr, r.dport),
        "remote address and port",
        _liveness,
        lambda r: (r.daddr, r.dport),
        stretch=1,
        middle=True,
    ),
    Column(
        "STATE", 7, lambda r: _SHORT.get(r.state, r.state), "TCP state, or how it ended", state_style, lambda r: r.state
    ),
    number("TX/s", 5, lambda r: r.tx_rate, _flow, "bytes sent a second", lambda r: _heat(r.tx_rate)),
    number("RX/s", 5, lambda r: r.rx_rate, _flow, "bytes received a second", lambda r: _heat(r.rx_rate)),
    number("TX", 5, lambda r: r.tx_bytes, size, "bytes sent", "dim", rank=5),
    number("RX", 5, lambda r: r.rx_bytes, size, "bytes received", "dim", rank=5),
    number(
        "RETR",
        4,
        lambda r: r.retransmits,
        _flow,
        "segments sent again",
        lambda r: "warn" if r.retransmits else "faint",
        rank=6,
    ),
    number("AGE", 6, lambda r: r.duration_s, duration, "since it was opened", "dim", rank=7),
)


class TcpPane(TablePane[TcpRow]):
    probe = "tcp"
    number = 3
    heading = "TCP"
    nothing_yet = "TCP connection seen"
    words = (
        "Open and just ended TCP connections with their owners and payload bytes, also those older than ebtop. "
        "→ was connected from here, ← accepted here. A ~ before the owner means that it is known only by who "
        "listens, or from /proc; ? means not known. Rates cover the time between two scans of the network "
        "namespaces counted in the title."
    )

    def __init__(self) -> None:
        super().__init__(COLUMNS, lambda row: row.key)

    def rows_of(self, snapshot: Snapshot) -> Sequence[TcpRow]:
        return snapshot.tcp

    def leading(self, moment: Moment) -> list[Figure]:
        rates, floor = moment.snapshot.rates, self.floor(moment)
        opened = sum(1 for row in moment.snapshot.tcp if row.open)
        return [
            Figure(f"{opened:,} open", "text"),
            Figure(
                f"{floor}{rate(rates.connects + rates.accepts)} new/s {floor}{rate(rates.closes)} ended/s", "dim", 3
            ),
            Figure(f"tx {size(rates.tx_bytes)}/s rx {size(rates.rx_bytes)}/s", "dim", 4),
        ]

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        rows, snapshot = moment.snapshot.tcp, moment.snapshot
        known = sum(1 for row in rows if row.owner != "unknown")
        seen, missed = len(snapshot.tcp_netns), snapshot.tcp_netns_missed
        namespaces = f"{seen} of {seen + missed} netns" if missed else plural(seen, "netns", "netns")
        owned = [Figure(f"{share(known, len(rows))} owned", "good" if known == len(rows) else "warn", 2)]
        return (owned if rows else []) + [Figure(namespaces, "warn" if missed else "dim", 4)]
