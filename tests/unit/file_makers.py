"""Snapshot files for tests: made-up seconds of a node, recorded as `ebtop record` does it."""

from __future__ import annotations

from pathlib import Path

from ebtop.store.containers import Container
from ebtop.store.evidence import CollectionFacts, HostFacts
from ebtop.store.file.recorder import Recorder
from ebtop.store.file.rotation import Rotation
from ebtop.store.records import Batch
from ebtop.store.redact import Redactor
from ebtop.store.source import Health, MapUse, NodeLoad, ProbeHealth, ProgramCost
from ebtop.store.timeline import Timeline
from tests.unit.history_workload import Node
from tests.unit.record_makers import EPOCH, SECOND, FakeClock

HOST = HostFacts("web1", "6.1.0", "x86_64", "Debian GNU/Linux 12", 4, 8 << 30, EPOCH - 3600 * SECOND, "tsc", "UTC", 0)
COLLECTION = CollectionFacts("0.1.0", ("cpu", "exec", "tcp"), 49, 100.0, "", "")
CONTAINER = Container("docker", "ab" * 32, "shop", None, None)
LARGE = 1 << 30


def health(time_ns: int, lost: int = 0) -> Health:
    cpu = ProbeHealth(
        "cpu", "on", "", "", (ProgramCost("on_sample", 7, 100, 100_000),), (MapUse("samples", 8, 4096),), 0.1, 100,
        {"ring full": lost} if lost else {}, ("user stacks follow frame pointers",),
    )  # fmt: skip
    node = NodeLoad(50.0, (1.0, 0.5, 0.25), 1 << 30, 8 << 30, None)
    return Health(time_ns, (cpu,), 10_000_000, 40 << 20, 4, True, ("a line",), node)


class FakeSource:
    """As far as a recorder asks."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.lost = 0
        self.narrowed = ""

    def health(self) -> Health:
        return health(self._clock(), self.lost)._replace(narrowed=self.narrowed)

    def containers(self, cgroup: str | None) -> Container | None:
        return CONTAINER if cgroup == "/system.slice" else None


class Recording:
    """A recorder, and beside it a timeline that keeps everything, fed with the same."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = LARGE,
        files: int = 1,
        force: bool = False,
        redactor: Redactor | None = None,
    ) -> None:
        self.path = path
        self.clock = FakeClock()
        self.source = FakeSource(self.clock)
        self.timeline = Timeline(self.clock, keep_s=10**6, cap_bytes=1 << 30)
        self.view = self.timeline.view()
        self.ended: list[str] = []
        self.recorder = Recorder(
            Rotation(path, max_bytes, files, force=force), self.source, HOST, COLLECTION, redactor=redactor,
            on_end=self.ended.append, clock=self.clock,
        )  # fmt: skip

    def take(self, seconds: float, batch: Batch) -> None:
        """It comes in so many seconds after EPOCH."""
        self.clock.seconds = seconds
        self.timeline.ingest(batch)
        self.recorder.take(batch)

    def run(self, seconds: int, seed: int = 1, **node: int) -> None:
        """So many seconds of a made-up node."""
        made = Node(seed, **node)
        for number in range(seconds):
            for arrives, batch in made.second(number):
                self.take((arrives - EPOCH) / SECOND, batch)

    def close(self, why: str = "") -> None:
        self.recorder.close(why)


def record(path: Path, seconds: int, seed: int = 1, **node: int) -> Recording:
    """A file of so many seconds, and what it was made of."""
    recording = Recording(path)
    recording.run(seconds, seed, **node)
    recording.close()
    return recording
