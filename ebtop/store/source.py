"""What every source of records offers: the live kernel, a snapshot file, a test's fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ebtop.store.check import Check
from ebtop.store.containers import ContainerLookup
from ebtop.store.records import Batch
from ebtop.store.selection import Pushed

if TYPE_CHECKING:
    from ebtop.store.evidence import CollectionFacts, HostFacts

Sink = Callable[[Batch], None]


class ProgramCost(NamedTuple):
    """One loaded BPF program. Source: /proc/self/fdinfo of its fd with BPF_ENABLE_STATS on."""

    name: str
    id: int
    runs: int
    run_ns: int


class MapUse(NamedTuple):
    """One BPF map. Source: fdinfo memlock."""

    name: str
    id: int
    bytes: int


ON_DEMAND = "on demand"
"""The state of a probe that is only loaded when somebody wants to see it, as it costs too much."""


class ProbeHealth(NamedTuple):
    """What one probe costs and what it missed. Counters run since the probe was loaded."""

    name: str
    state: str
    """loading, on, off, failed, or ON_DEMAND."""
    error: str
    """Why it failed, one line; "" otherwise."""
    fix: str
    programs: tuple[ProgramCost, ...]
    maps: tuple[MapUse, ...]
    ring_fill: float
    """Fullest ring buffer, 0..1; 0 when the probe has none."""
    events: int
    lost: dict[str, int]
    """Reason -> records lost; empty = nothing was lost."""
    notes: tuple[str, ...]
    """What this probe can not see on this node, one line each."""

    @property
    def lost_total(self) -> int:
        return sum(self.lost.values())

    @property
    def map_bytes(self) -> int:
        return sum(m.bytes for m in self.maps)

    @property
    def runs(self) -> int:
        return sum(p.runs for p in self.programs)

    @property
    def run_ns(self) -> int:
        return sum(p.run_ns for p in self.programs)


class Pressure(NamedTuple):
    """Share of the last 10 s in which tasks had to wait, in percent. Source: /proc/pressure/*, avg10."""

    cpu: float
    """some: at least one task waited."""
    memory: float
    io: float


class NodeLoad(NamedTuple):
    """How busy the node is. Source: /proc/stat, /proc/loadavg, /proc/meminfo, /proc/vmstat, /proc/pressure."""

    cpu_percent: float | None
    """Of all CPUs, since the last reading; None at first."""
    load: tuple[float, float, float]
    memory_used: int
    """Bytes: MemTotal - MemAvailable."""
    memory_total: int
    pressure: Pressure | None
    """None: the kernel does not count it (CONFIG_PSI, psi=0)."""
    switches: float | None = None
    """Context switches a second since the last reading; None at first, and where it is not known."""
    faults: float | None = None
    """The same of page faults."""


class ProcessFacts(NamedTuple):
    """Who a process is. Source: /proc/PID of a live one. Text is printable."""

    pid: int
    comm: str
    args: tuple[str, ...]
    """Empty for a kernel thread."""
    exe: str | None
    user: str | None
    uid: int | None
    cgroup: str | None
    started_ns: int | None
    """Wall clock, ns since the Unix epoch."""
    parents: tuple[tuple[int, str], ...]
    """(pid, comm) from the parent up to the first process."""
    threads: int | None
    rss_bytes: int | None
    cpu_ns: int | None
    """User + system time so far."""


class Health(NamedTuple):
    """The whole tool at one moment."""

    time_ns: int
    probes: tuple[ProbeHealth, ...]
    """Also internal ones that others share (their name is in parentheses, as "(sockets)")."""
    own_cpu_ns: int
    """User + system time of this process so far."""
    rss_bytes: int
    cpus: int
    stats_enabled: bool
    """False: the kernel does not count BPF run time here, run_ns stays 0 and must be shown as unknown."""
    log: tuple[str, ...]
    """Latest lines that libraries and the kernel loader printed."""
    node: NodeLoad | None = None
    narrowed: str = ""
    """What the kernel filters on top of what was asked for on the command line, for people; "" = nothing."""
    narrowed_probes: tuple[str, ...] = ()
    """The probes that `narrowed` is about."""


class UnloadProof(NamedTuple):
    """What unloading did, read back from the kernel."""

    probe: str
    programs: int
    maps: int
    seconds: float
    remaining_ids: tuple[str, ...]
    """Ids ("prog 12", "map 7") that still exist afterwards; empty = proven gone."""
    kept: str = ""
    """What stays on purpose, and for whom; "" = nothing."""


class Source(Protocol):
    """Yields batches to a sink from its own thread."""

    live: bool
    probe_names: tuple[str, ...]
    containers: ContainerLookup
    host: HostFacts
    """The node that the records are of."""
    collection: CollectionFacts
    """What collects them, and what it was asked for at first."""
    hertz: int
    """How often each CPU is sampled, a second."""

    def start(self, sink: Sink) -> None:
        """Begin; returns at once. Probes load in the background and show up in `health()`."""

    def health(self) -> Health:
        """Cheap enough for once a second (a few ms)."""

    def unload(self, probe: str) -> UnloadProof:
        """Blocking: not from a UI thread."""

    def load(self, probe: str) -> None:
        """Load a probe again. Blocking. Raises EbtopError when it can not be loaded."""

    def narrow(self, pushed: Pushed | None, probes: frozenset[str]) -> None:
        """Have the kernel drop for these probes what is outside of `pushed`, on top of what the source was started
        with; None = nothing more than that. Blocking. Raises EbtopError and changes nothing when it can't be done."""

    def set_rate(self, hertz: int) -> None:
        """Sample so many times a second from now on, without losing what was sampled. Blocking. Raises EbtopError and
        changes nothing for a rate that the kernel refuses."""

    def process(self, pid: int) -> ProcessFacts | None:
        """Who a process is; None when it is gone and nothing was kept of it. A few hundred microseconds."""

    def diagnose(self) -> tuple[Check, ...]:
        """What this node can do, as `ebtop doctor` says it. Blocking, seconds."""

    def close(self) -> tuple[UnloadProof, ...]:
        """Unload everything and stop. Blocking, may be called twice."""
