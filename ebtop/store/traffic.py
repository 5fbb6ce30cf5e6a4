"""What connections add up to, by peer and by process."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.bounded import Bounded
from ebtop.store.connection_sums import Sums, SumsState
from ebtop.store.ports import service_port
from ebtop.store.recent import Window
from ebtop.store.records import TcpRecord
from ebtop.store.rows import PeerRow, TalkerRow, TcpRow

_MAX_COMMS = 16

PeerKey = tuple[str, int, str | None]


class PeerState(NamedTuple):
    addr: str
    port: int
    direction: str | None
    comms: tuple[str, ...]
    sums: SumsState


class TalkerState(NamedTuple):
    pid: int
    comm: str
    uid: int | None
    cgroup: str | None
    sums: SumsState


class TrafficState(NamedTuple):
    """All that `Traffic` knows."""

    peers: list[PeerState]
    talkers: list[TalkerState]
    peers_let_go: int
    talkers_let_go: int


class Peer:
    """One service of one remote address."""

    __slots__ = ("comms", "key", "row", "sums")

    def __init__(self, key: PeerKey) -> None:
        self.key = key
        self.comms: dict[str, None] = {}
        self.sums = Sums()
        self.row: PeerRow | None = None
        """As it was asked for last; None when something has changed since."""

    def as_row(self, window: Window) -> PeerRow:
        rates = self.sums.rates(window)
        row = self.row
        if row is None or (row.rate, row.tx_rate, row.rx_rate) != rates:
            sums = self.sums
            row = self.row = PeerRow(
                *self.key,
                sums.opened_now,
                sums.opened,
                rates[0],
                sums.ended,
                rates[1],
                rates[2],
                sums.tx_bytes,
                sums.rx_bytes,
                sums.retransmits,
                sums.time_ns,
                tuple(self.comms),
            )
        return row


class Talker:
    """One process."""

    __slots__ = ("cgroup", "comm", "pid", "row", "sums", "uid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.comm = ""
        self.uid: int | None = None
        self.cgroup: str | None = None
        self.sums = Sums()
        self.row: TalkerRow | None = None
        """As it was asked for last; None when something has changed since."""

    def as_row(self, window: Window) -> TalkerRow:
        rates = self.sums.rates(window)
        row = self.row
        if row is None or (row.rate, row.tx_rate, row.rx_rate) != rates:
            sums = self.sums
            row = self.row = TalkerRow(
                self.pid,
                self.comm,
                self.uid,
                self.cgroup,
                sums.opened_now,
                sums.opened,
                rates[0],
                sums.ended,
                rates[1],
                rates[2],
                sums.tx_bytes,
                sums.rx_bytes,
                sums.retransmits,
                sums.time_ns,
            )
        return row


class Traffic:
    """Peers and processes that connections are counted for, closed ones too.

    Bounded; those without an open connection that nothing has happened to for longest go first.
    """

    def __init__(self, max_peers: int = 5000, max_talkers: int = 5000) -> None:
        self._peers: Bounded[PeerKey, Peer] = Bounded(max_peers, lambda peer: peer.sums.opened_now > 0)
        self._talkers: Bounded[int, Talker] = Bounded(max_talkers, lambda talker: talker.sums.opened_now > 0)

    @property
    def peers_let_go(self) -> int:
        return self._peers.let_go

    @property
    def talkers_let_go(self) -> int:
        return self._talkers.let_go

    def count(
        self,
        connection: TcpRecord | TcpRow,
        time_ns: int,
        *,
        opened_now: int = 0,
        opened: int = 0,
        ended: int = 0,
        tx_bytes: int = 0,
        rx_bytes: int = 0,
        retransmits: int = 0,
    ) -> None:
        """Something happened to a connection; `opened_now` is 1 when it joins the open ones, -1 when it leaves."""
        direction = connection.direction
        key = connection.daddr, service_port(connection.sport, connection.dport, direction), direction
        peer = self._peers.use(key)
        if peer is None:
            peer = Peer(key)
            self._peers.add(key, peer)
        pid = connection.pid
        talker = self._talkers.use(pid)
        if talker is None:
            talker = Talker(pid)
            self._talkers.add(pid, talker)
        if pid:
            comm = connection.comm
            if comm not in peer.comms and len(peer.comms) < _MAX_COMMS:
                peer.comms[comm] = None
            talker.comm, talker.uid, talker.cgroup = comm, connection.uid, connection.cgroup
        peer.row = talker.row = None
        amounts = opened_now, opened, ended, tx_bytes, rx_bytes, retransmits
        peer.sums.count(time_ns, amounts)
        talker.sums.count(time_ns, amounts)

    def peers(self, window: Window) -> tuple[PeerRow, ...]:
        return tuple([peer.as_row(window) for peer in self._peers])

    def talkers(self, window: Window) -> tuple[TalkerRow, ...]:
        return tuple([talker.as_row(window) for talker in self._talkers])

    def state(self) -> TrafficState:
        return TrafficState(
            [PeerState(*peer.key, tuple(peer.comms), peer.sums.state()) for peer in self._peers],
            [TalkerState(t.pid, t.comm, t.uid, t.cgroup, t.sums.state()) for t in self._talkers],
            self.peers_let_go,
            self.talkers_let_go,
        )

    def restore(self, state: TrafficState) -> None:
        """Go on from a state; what was counted here is forgotten."""
        self._peers.replace([(peer.key, peer) for peer in map(_restored_peer, state.peers)], state.peers_let_go)
        talkers = map(_restored_talker, state.talkers)
        self._talkers.replace([(talker.pid, talker) for talker in talkers], state.talkers_let_go)


def _restored_peer(state: PeerState) -> Peer:
    peer = Peer((state.addr, state.port, state.direction))
    peer.comms = dict.fromkeys(state.comms)
    peer.sums.restore(state.sums)
    return peer


def _restored_talker(state: TalkerState) -> Talker:
    talker = Talker(state.pid)
    talker.comm, talker.uid, talker.cgroup = state.comm, state.uid, state.cgroup
    talker.sums.restore(state.sums)
    return talker
