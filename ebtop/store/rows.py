"""What the panes draw: aggregated rows and one immutable snapshot a tick. Made by the store."""

from __future__ import annotations

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
    """The stacks of one drain of the sampler, a second mostly."""

    time_ns: int
    stacks: tuple[StackRecord, ...]
    sampled_s: float


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
    """Seconds of sampling that `stacks` cover."""
    rates: Rates
    dropped_rows: int
    """Rows the store let go because a table was full (they were seen and counted, not lost)."""
