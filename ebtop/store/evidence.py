"""What exports and reports are made of, wherever it is held: in memory by the live timeline, or in a snapshot file.

Moments are wall clock, ns since the Unix epoch. A range goes from `from_ns` up to and including `until_ns`; None = as
far as there is anything. Texts are printable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from ebtop.store.check import Check
from ebtop.store.containers import Container
from ebtop.store.records import ModuleFacts, Record, StackRecord
from ebtop.store.rows import Snapshot
from ebtop.store.source import Health
from ebtop.store.ticks import Tick


class HostFacts(NamedTuple):
    """The node that it is about. What could not be read is "" or 0."""

    name: str
    """As uname -n."""
    kernel: str
    """As uname -r."""
    machine: str
    """As uname -m."""
    distribution: str
    """PRETTY_NAME of os-release."""
    cpus: int
    """Online."""
    memory_bytes: int
    booted_ns: int
    """Uptime at a moment is that moment less this."""
    clock: str
    """The kernel's clock source: tsc, kvm-clock."""
    timezone: str
    """The abbreviation of the node's local time: UTC, CEST."""
    utc_offset_s: int
    """What local time is ahead of UTC."""


class CollectionFacts(NamedTuple):
    """What collected it, and what it was asked for."""

    version: str
    """Of ebtop."""
    probes: tuple[str, ...]
    hertz: int
    """CPU samples a second and CPU when it began; each stack says what its samples stand for (`period_ns`)."""
    min_latency_ms: float
    """Connects that took less have no record."""
    filters: str
    """What the kernel was asked to let through, for people; "" = everything."""
    title: str
    """What somebody called it; "" = nothing."""


class Note(NamedTuple):
    """What somebody wrote down while they looked."""

    time_ns: int
    text: str


class ContainerFacts(NamedTuple):
    """The container, pod or service that a cgroup belongs to."""

    cgroup: str
    container: Container


class Evidence(Protocol):
    """Everything that was seen, for whoever writes it out. Made for one thread; all but the facts may take a while."""

    host: HostFacts
    collection: CollectionFacts

    @property
    def from_ns(self) -> int:
        """When collecting began, or what is kept begins."""

    @property
    def until_ns(self) -> int:
        """When the latest batch came in."""

    @property
    def masked(self) -> int | None:
        """How many secrets were masked in what is handed out here; None = nobody looked for any."""

    @property
    def incomplete(self) -> tuple[str, ...]:
        """What is missing between `from_ns` and `until_ns`, one line each; losses of probes are in `health`."""

    def containers(self, cgroup: str | None) -> Container | None:
        """The lookup of that node, not of the one this runs on."""

    def user(self, uid: int) -> str | None:
        """The name of a user of that node; None where it is not known."""

    def health(self) -> Health:
        """The latest: what each probe saw, lost (`lost`), can not see (`notes`) and cost (`programs`, `maps`)."""

    def ticks(self, from_ns: int | None = None, until_ns: int | None = None) -> Sequence[Tick]:
        """Rates and health of each second, oldest first. Of a long time fewer than one a second."""

    def notes(self) -> Sequence[Note]:
        """Oldest first."""

    def known_containers(self) -> Sequence[ContainerFacts]:
        """Those that records are about."""

    def modules(self) -> Sequence[ModuleFacts]:
        """The files that frames lie in."""

    def checks(self) -> Sequence[Check]:
        """What the doctor found on that node; empty where it was not asked."""

    def records(self, from_ns: int | None = None, until_ns: int | None = None) -> Iterator[Record]:
        """Everything that happened in a range, in order of time; without stacks, and without what scans saw."""

    def stacks(self, from_ns: int | None = None, until_ns: int | None = None) -> Iterator[StackRecord]:
        """The stacks of a range, each distinct one of a process and thread name once, with all its samples. Its time
        is that of its latest sample."""

    def snapshot(self, time_ns: int | None = None) -> Snapshot:
        """The tables of all panes at a moment, without stacks; None = the latest. Connections that were open then,
        and what adds up by command, peer, process and target, are here."""
