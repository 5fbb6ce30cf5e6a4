"""Retransmitted segments by peer."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.bounded import Bounded
from ebtop.store.ports import service_port
from ebtop.store.rates import SECOND_NS
from ebtop.store.recent import Recent, RecentState, Window
from ebtop.store.records import RetransmitRecord
from ebtop.store.rows import RetransmitPeerRow

_MAX_COMMS = 16

_Service = tuple[str, int]


class RetransmitPeerState(NamedTuple):
    addr: str
    port: int
    segments: int
    recent: RecentState
    kinds: tuple[tuple[str, int], ...]
    connections: int
    time_ns: int
    comms: tuple[str, ...]


class RetransmitPeersState(NamedTuple):
    """All that `RetransmitPeers` knows."""

    peers: list[RetransmitPeerState]
    let_go: int


class RetransmitPeer:
    """What was sent again to one service of one address."""

    __slots__ = ("comms", "connections", "kinds", "recent", "segments", "service", "time_ns")

    def __init__(self, service: _Service) -> None:
        self.service = service
        self.segments = 0
        self.recent = Recent()
        self.kinds: dict[str, int] = {}
        self.connections = 0
        self.time_ns = 0
        self.comms: dict[str, None] = {}

    def as_row(self, window: Window) -> RetransmitPeerRow:
        kinds = tuple(sorted(self.kinds.items(), key=lambda kind: kind[1], reverse=True))
        rate = window.rate(self.recent)
        return RetransmitPeerRow(
            *self.service, self.segments, rate, kinds, self.connections, self.time_ns, tuple(self.comms)
        )

    def state(self) -> RetransmitPeerState:
        kinds, comms = tuple(self.kinds.items()), tuple(self.comms)
        return RetransmitPeerState(
            *self.service, self.segments, self.recent.state(), kinds, self.connections, self.time_ns, comms
        )

    @classmethod
    def restored(cls, state: RetransmitPeerState) -> RetransmitPeer:
        addr, port, segments, recent, kinds, connections, time_ns, comms = state
        peer = cls((addr, port))
        peer.segments, peer.recent, peer.kinds = segments, Recent.restored(recent), dict(kinds)
        peer.connections, peer.time_ns, peer.comms = connections, time_ns, dict.fromkeys(comms)
        return peer


class RetransmitPeers:
    """Bounded; the peer that was silent for longest goes first."""

    def __init__(self, max_rows: int = 2000) -> None:
        self._peers: Bounded[_Service, RetransmitPeer] = Bounded(max_rows)

    @property
    def let_go(self) -> int:
        return self._peers.let_go

    def add(self, record: RetransmitRecord, *, is_new_connection: bool) -> None:
        service = record.daddr, service_port(record.sport, record.dport)
        peer = self._peers.use(service)
        if peer is None:
            peer = RetransmitPeer(service)
            self._peers.add(service, peer)
        peer.segments += record.segments
        peer.recent.add(record.time_ns // SECOND_NS, record.segments)
        peer.kinds[record.kind] = peer.kinds.get(record.kind, 0) + record.segments
        peer.connections += is_new_connection
        peer.time_ns = max(peer.time_ns, record.time_ns)
        if record.pid and len(peer.comms) < _MAX_COMMS:
            peer.comms[record.comm] = None

    def rows(self, window: Window) -> tuple[RetransmitPeerRow, ...]:
        return tuple([peer.as_row(window) for peer in self._peers])

    def state(self) -> RetransmitPeersState:
        return RetransmitPeersState([peer.state() for peer in self._peers], self.let_go)

    def restore(self, state: RetransmitPeersState) -> None:
        """Go on from a state; what was counted here is forgotten."""
        peers = map(RetransmitPeer.restored, state.peers)
        self._peers.replace([(peer.service, peer) for peer in peers], state.let_go)
