"""The tables that add up events by command, peer, process and target."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.command_table import CommandTable, CommandTableState
from ebtop.store.connect_targets import ConnectTargets, ConnectTargetsState
from ebtop.store.recent import Window
from ebtop.store.retransmit_peers import RetransmitPeers, RetransmitPeersState
from ebtop.store.rows import LetGo
from ebtop.store.traffic import Traffic, TrafficState


class AggregatesState(NamedTuple):
    """All that `Aggregates` know. Goes with a state of the tables of single events of the same moment: how many
    connections are open and how many processes run is changed event by event, never counted anew."""

    since_ns: int
    commands: CommandTableState
    traffic: TrafficState
    retransmit_peers: RetransmitPeersState
    targets: ConnectTargetsState


class Aggregates:
    """Fed by the tables of single events, event by event, so that they also count what has no row any more."""

    def __init__(self) -> None:
        self.since_ns = 0
        """When counting began; 0 = it has not."""
        self.commands = CommandTable()
        self.traffic = Traffic()
        self.retransmit_peers = RetransmitPeers()
        self.targets = ConnectTargets()

    def begin(self, time_ns: int) -> None:
        """Count since that moment, unless counting has begun."""
        self.since_ns = self.since_ns or time_ns

    def window(self, now_ns: int) -> Window:
        """What rates are of."""
        return Window(now_ns, self.since_ns)

    @property
    def let_go(self) -> LetGo:
        traffic = self.traffic
        return LetGo(
            self.commands.let_go,
            traffic.peers_let_go,
            traffic.talkers_let_go,
            self.retransmit_peers.let_go,
            self.targets.let_go,
        )

    def state(self) -> AggregatesState:
        return AggregatesState(
            self.since_ns,
            self.commands.state(),
            self.traffic.state(),
            self.retransmit_peers.state(),
            self.targets.state(),
        )

    def restore(self, state: AggregatesState) -> None:
        """Go on from a state; what was counted here is forgotten."""
        self.since_ns = state.since_ns
        self.commands.restore(state.commands)
        self.traffic.restore(state.traffic)
        self.retransmit_peers.restore(state.retransmit_peers)
        self.targets.restore(state.targets)
