"""Evidence held in lists, for tests of what is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ebtop.store.check import Check
from ebtop.store.containers import Container
from ebtop.store.evidence import CollectionFacts, ContainerFacts, HostFacts, Note
from ebtop.store.records import Batch, ModuleFacts, Record, StackRecord, TcpScan
from ebtop.store.rows import Rates, Snapshot
from ebtop.store.source import Health, MapUse, NodeLoad, ProbeHealth, ProgramCost
from ebtop.store.store import Store
from ebtop.store.ticks import Tick
from tests.unit.record_makers import EPOCH, SECOND, at

HOST = HostFacts("node1", "6.18.4", "x86_64", "Debian GNU/Linux 12", 2, 8 << 30, at(-86400), "tsc", "UTC", 0)
COLLECTION = CollectionFacts("0.1", ("cpu", "exec", "tcp"), 49, 100.0, "", "")
CONTAINER = Container("docker", "c" * 64, "web", "shop-1", "prod")
MODULES = (ModuleFacts("libfoo.so", "/usr/lib/libfoo.so", "abcdef0123456789"),)


def probe(name: str = "cpu", **fields: object) -> ProbeHealth:
    base = ProbeHealth(
        name, "on", "", "", (ProgramCost("on_tick", 1, 1000, 2_000_000),), (MapUse("stacks", 2, 1 << 20),), 0.1, 900,
        {}, (),
    )  # fmt: skip
    return base._replace(**fields)


def health(*probes: ProbeHealth, time: float = 0.0) -> Health:
    node = NodeLoad(12.5, (0.5, 0.4, 0.3), 1 << 30, 8 << 30, None)
    return Health(at(time), probes or (probe(),), 3 * SECOND, 50 << 20, 2, True, (), node)


class ListedEvidence:
    """What is in the lists; the tables are those that a store makes of them."""

    host = HOST
    collection = COLLECTION

    def __init__(
        self,
        records: Sequence[Record] = (),
        stacks: Sequence[StackRecord] = (),
        seconds: float = 600.0,
        scan: TcpScan | None = None,
        notes: Sequence[Note] = (),
        probes: Sequence[ProbeHealth] = (),
        incomplete: Sequence[str] = (),
        masked: int | None = None,
        ticks: Sequence[Tick] = (),
        checks: Sequence[Check] = (),
    ) -> None:
        self._records = sorted(records, key=lambda record: record.time_ns)
        self._stacks = stacks
        self._scan = scan
        self._notes = notes
        self._health = health(*probes, time=seconds)
        self._ticks = ticks
        self._checks = checks
        self.from_ns = EPOCH
        self.until_ns = at(seconds)
        self.incomplete = tuple(incomplete)
        self.masked = masked

    def containers(self, cgroup: str | None) -> Container | None:
        return CONTAINER if cgroup == "/web" else None

    def user(self, uid: int) -> str | None:
        return {0: "root", 1000: "bob"}.get(uid)

    def health(self) -> Health:
        return self._health

    def ticks(self, from_ns: int | None = None, until_ns: int | None = None) -> Sequence[Tick]:
        return [tick for tick in self._ticks if _within(tick.time_ns, from_ns, until_ns)]

    def notes(self) -> Sequence[Note]:
        return self._notes

    def known_containers(self) -> Sequence[ContainerFacts]:
        return [ContainerFacts("/web", CONTAINER)]

    def modules(self) -> Sequence[ModuleFacts]:
        return MODULES

    def checks(self) -> Sequence[Check]:
        return self._checks

    def records(self, from_ns: int | None = None, until_ns: int | None = None) -> Iterator[Record]:
        return (record for record in self._records if _within(record.time_ns, from_ns, until_ns))

    def stacks(self, from_ns: int | None = None, until_ns: int | None = None) -> Iterator[StackRecord]:
        return (stack for stack in self._stacks if _within(stack.time_ns, from_ns, until_ns))

    def snapshot(self, time_ns: int | None = None) -> Snapshot:
        until_ns = self.until_ns if time_ns is None else time_ns
        store = Store(lambda: until_ns, keep_stacks=False, own_histogram=True)
        records = self.records(None, until_ns)
        while batch := list(islice(records, 1000)):
            store.ingest(Batch(batch[-1].time_ns, batch))
        if self._scan is not None:
            store.ingest(Batch(until_ns, [], self._scan))
        return store.snapshot()


def tick(time: float, health_: Health | None = None, **rates: float) -> Tick:
    """Rates that are not named are 0."""
    base = Rates(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    return Tick(at(time), base._replace(**rates), health_ or health(time=time))


def _within(time_ns: int, from_ns: int | None, until_ns: int | None) -> bool:
    return (from_ns is None or time_ns >= from_ns) and (until_ns is None or time_ns <= until_ns)
