"""What the panes draw: aggregated rows and one immutable snapshot a tick. Made by the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ebtop.store.records import ConnectHistogram, StackRecord


class ExecRow(NamedTuple):
    """One process that exec'd (newest exec wins), or a failed exec."""

    time_ns: int
    """Of the process's first exec that was seen; of the last attempt for a failed one."""
    pid: int
    ppid: int
    uid: int | None
    comm: str
    parent_comm: str
    command: str
    """argv joined for people; filename where argv is not known. Ends in "…+N B" when N bytes were cut."""
    ret: int
    status: str
    """"run" while alive, "0", "1".. for an exit code, "SIGKILL".. for a signal, "ENOENT".. for a failed exec,
    "?" for a process that is gone but whose exit was not seen."""
    duration_s: float | None
    """Lifetime since its fork when it ended; age while it runs; None for a failed exec and where not known."""
    failures: int
    """ENOENT attempts of a PATH search that came before this result."""
    cgroup: str | None


class TcpRow(NamedTuple):
    """One open or recently closed connection."""

    key: int
    pid: int
    comm: str
    owner: str
    ip: int
    saddr: str
    sport: int
    daddr: str
    dport: int
    direction: str | None
    state: str
    """TCP state; "closed", "reset", "refused", "timeout" for those that ended."""
    tx_bytes: int
    rx_bytes: int
    tx_rate: float
    """Bytes a second between the last two scans, or since its connect or accept where that is later; 0 when ended."""
    rx_rate: float
    duration_s: float | None
    netns: int
    retransmits: int
    open: bool
    uid: int | None = None
    cgroup: str | None = None


class RetransmitRow(NamedTuple):
    """Retransmitted segments of one connection, by kind."""

    time_ns: int
    """Of the latest one."""
    pid: int
    comm: str
    owner: str
    saddr: str
    sport: int
    daddr: str
    dport: int
    state: str
    segments: int
    rate: float
    """Segments a second over the last 10 s."""
    kinds: tuple[tuple[str, int], ...]
    """(kind, segments), most first."""
    netns: int = 0
    uid: int | None = None
    cgroup: str | None = None


class ConnectRow(NamedTuple):
    """One slow or failed connect, or one that is still pending."""

    time_ns: int
    pid: int
    comm: str
    daddr: str
    dport: int
    latency_ms: float
    result: str
    error: str | None
    netns: int = 0
    uid: int | None = None
    cgroup: str | None = None


class CommandRow(NamedTuple):
    """All processes that exec'd under one name since counting began. Rates are of the last 10 s."""

    comm: str
    """For a failed exec the last part of its path, as the kernel would have named the process."""
    running: int
    execs: int
    rate: float
    failures: int
    """Failed execs; a PATH search that ended well has none."""
    exits: int
    """Ends that were seen."""
    nonzero: int
    """Of these, by an exit code other than 0."""
    killed: int
    """Of these, by a signal."""
    mean_s: float | None
    """Lifetime of those that ended; None when none has."""
    max_s: float | None
    time_ns: int
    """Of the latest exec."""
    command: str
    """Its command line, as in ExecRow."""
    cgroup: str | None
    uids: tuple[int, ...]
    """Users seen, at most 16."""
    unseen: int = 0
    """Processes that are gone, but whose exit was not seen: none of `exits`."""


class PeerRow(NamedTuple):
    """All connections with one service of one remote address. Bytes and segments are those since counting began."""

    addr: str
    port: int
    """Of the service: the remote port of outgoing connections, the local one of incoming, the lower where the
    direction is not known."""
    direction: str | None
    open: int
    opened: int
    rate: float
    """Opened a second."""
    ended: int
    tx_rate: float
    rx_rate: float
    tx_bytes: int
    rx_bytes: int
    retransmits: int
    time_ns: int
    """When something happened last."""
    comms: tuple[str, ...]
    """Names of the processes at this end, the first seen first, at most 16."""


class TalkerRow(NamedTuple):
    """All connections of one process. Bytes and segments are those since counting began."""

    pid: int
    """0: owners that are not known."""
    comm: str
    uid: int | None
    cgroup: str | None
    open: int
    opened: int
    rate: float
    """Opened a second."""
    ended: int
    tx_rate: float
    rx_rate: float
    tx_bytes: int
    rx_bytes: int
    retransmits: int
    time_ns: int
    """When something happened last."""


class RetransmitPeerRow(NamedTuple):
    """Segments sent again to one service of one remote address since counting began."""

    addr: str
    port: int
    """The lower of the two ports, which is mostly that of the service."""
    segments: int
    rate: float
    kinds: tuple[tuple[str, int], ...]
    """(kind, segments), most first."""
    connections: int
    """How often a connection turned up that was not in the table of connections."""
    time_ns: int
    """Of the latest one."""
    comms: tuple[str, ...]


class TargetRow(NamedTuple):
    """The slow and failed connects to one address and port since counting began."""

    addr: str
    port: int
    finished: int
    rate: float
    pending: int
    ok: int
    refused: int
    timeout: int
    unreachable: int
    aborted: int
    p50_ms: float | None
    """Of those that finished, rounded up by at most a fifth; None when none has."""
    p99_ms: float | None
    max_ms: float | None
    time_ns: int
    """When the latest one ended, or of the look at the pending ones."""
    comms: tuple[str, ...]


class LetGo(NamedTuple):
    """Entries of the aggregated tables that made room for others; what they counted is in no row."""

    commands: int = 0
    peers: int = 0
    talkers: int = 0
    retransmit_peers: int = 0
    targets: int = 0


class Rates(NamedTuple):
    """Events in the last full second that has been drained; bytes and samples over the last scan and drain."""

    execs: float
    exits: float
    exec_failures: float
    connects: float
    accepts: float
    closes: float
    retransmits: float
    """Segments."""
    tx_bytes: float
    rx_bytes: float
    samples: float


class StackSpan(NamedTuple):
    """The stacks of one drain of one probe, a second mostly."""

    time_ns: int
    stacks: tuple[StackRecord, ...]
    sampled_s: float
    sampled_kind: str = "cpu"
    """The kind of stacks that `sampled_s` is about."""

    def of(self, kind: str) -> tuple[list[StackRecord], float]:
        """The stacks of a kind, and the seconds that they cover."""
        return of_kind(self.stacks, kind), self.sampled_s if self.sampled_kind == kind else 0.0


class Snapshot(NamedTuple):
    """Everything the live screen shows, at one moment."""

    time_ns: int
    execs: tuple[ExecRow, ...]
    """Newest first."""
    tcp: tuple[TcpRow, ...]
    """Open ones, then those that ended in the last minute."""
    tcp_netns: tuple[int, ...]
    tcp_netns_missed: int
    retransmits: tuple[RetransmitRow, ...]
    """Latest first."""
    connects: tuple[ConnectRow, ...]
    """Pending ones first, longest waiting on top; then newest first."""
    histogram: ConnectHistogram
    """Empty tuples until there is one."""
    stacks: tuple[StackRecord, ...]
    """New since the last snapshot was taken."""
    sampled_s: float
    """Seconds of sampling that the CPU `stacks` cover."""
    rates: Rates
    dropped_rows: int
    """Rows the store let go because a table was full (they were seen and counted, not lost)."""
    commands: tuple[CommandRow, ...] = ()
    """These five in no order that means something."""
    peers: tuple[PeerRow, ...] = ()
    talkers: tuple[TalkerRow, ...] = ()
    retransmit_peers: tuple[RetransmitPeerRow, ...] = ()
    targets: tuple[TargetRow, ...] = ()
    since_ns: int = 0
    """Since when these five count; 0 = nothing has come in."""
    let_go: LetGo = LetGo()
    retransmit_history: tuple[int, ...] = ()
    """Segments sent again in each of the last full seconds, a minute at most, oldest first."""
    histogram_partial: bool = False
    """The histogram counts the connects that have a record, those that were slow or failed, not all of them."""
    sampled_others: tuple[tuple[str, float], ...] = ()
    """Seconds that the `stacks` of other kinds cover, by kind."""

    def stacks_of(self, kind: str) -> tuple[list[StackRecord], float]:
        """The stacks of a kind, and the seconds that they cover."""
        seconds = self.sampled_s if kind == "cpu" else dict(self.sampled_others).get(kind, 0.0)
        return of_kind(self.stacks, kind), seconds


def of_kind(stacks: Iterable[StackRecord], kind: str) -> list[StackRecord]:
    """Those of a kind."""
    return [stack for stack in stacks if stack.kind == kind]


def with_stacks(snapshot: Snapshot, stacks: tuple[StackRecord, ...], sampled: dict[str, float]) -> Snapshot:
    """The same with these stacks, which cover so many seconds of each kind."""
    others = tuple([(kind, seconds) for kind, seconds in sampled.items() if kind != "cpu"])
    return snapshot._replace(stacks=stacks, sampled_s=sampled.get("cpu", 0.0), sampled_others=others)
