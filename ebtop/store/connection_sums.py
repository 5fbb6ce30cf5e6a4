"""Sums over connections: of one peer, or one process."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.rates import SECOND_NS
from ebtop.store.recent import Recent, RecentState, Window

Amounts = tuple[int, int, int, int, int, int]
"""Open connections (may be negative), opened, ended, bytes sent, bytes received, segments sent again."""


class SumsState(NamedTuple):
    opened_now: int
    opened: int
    ended: int
    tx_bytes: int
    rx_bytes: int
    retransmits: int
    time_ns: int
    recent_opened: RecentState
    recent_tx: RecentState
    recent_rx: RecentState


class Sums:
    """Connections, bytes and segments."""

    __slots__ = (
        "ended", "opened", "opened_now", "recent_opened", "recent_rx", "recent_tx", "retransmits", "rx_bytes",
        "time_ns", "tx_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.opened_now = 0
        self.opened = 0
        self.ended = 0
        self.tx_bytes = 0
        self.rx_bytes = 0
        self.retransmits = 0
        self.time_ns = 0
        self.recent_opened = Recent()
        self.recent_tx = Recent()
        self.recent_rx = Recent()

    def count(self, time_ns: int, amounts: Amounts) -> None:
        opened_now, opened, ended, tx_bytes, rx_bytes, retransmits = amounts
        self.opened_now += opened_now
        self.ended += ended
        self.retransmits += retransmits
        if time_ns > self.time_ns:
            self.time_ns = time_ns
        second = time_ns // SECOND_NS
        if opened:
            self.opened += opened
            self.recent_opened.add(second, opened)
        if tx_bytes:
            self.tx_bytes += tx_bytes
            self.recent_tx.add(second, tx_bytes)
        if rx_bytes:
            self.rx_bytes += rx_bytes
            self.recent_rx.add(second, rx_bytes)

    def rates(self, window: Window) -> tuple[float, float, float]:
        """Connections opened, bytes sent, bytes received a second."""
        return window.rate(self.recent_opened), window.rate(self.recent_tx), window.rate(self.recent_rx)

    def state(self) -> SumsState:
        return SumsState(
            self.opened_now, self.opened, self.ended, self.tx_bytes, self.rx_bytes, self.retransmits, self.time_ns,
            self.recent_opened.state(), self.recent_tx.state(), self.recent_rx.state(),
        )  # fmt: skip

    def restore(self, state: SumsState) -> None:
        (
            self.opened_now, self.opened, self.ended, self.tx_bytes, self.rx_bytes, self.retransmits, self.time_ns,
            opened, tx, rx,
        ) = state  # fmt: skip
        self.recent_opened, self.recent_tx, self.recent_rx = map(Recent.restored, (opened, tx, rx))
