"""Everything that the probes yield while something happens: what a test compares with a workload's truth."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TypeVar

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.session.live import LiveSource
from ebtop.store.records import (
    Batch,
    ConnectRecord,
    ExecRecord,
    ExitRecord,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
)
from ebtop.store.source import Health, ProbeHealth, Sink
from tests.lab.process import TIMEOUT_S

R = TypeVar("R", ExecRecord, ExitRecord, TcpRecord, RetransmitRecord, ConnectRecord, StackRecord)


class _PatientSource(LiveSource):
    """Hands over all that was seen before it ends, where the TUI would rather be gone at once."""

    def run(self, sink: Sink, names_wait_s: float = TIMEOUT_S) -> None:
        super().run(sink, TIMEOUT_S)


class Collector:
    """Runs probes beside a workload and keeps every batch.

        with Collector(["exec"]) as collected:
            storm = execs.exec_storm(100)
        collected.of(ExecRecord), collected.probe("exec").lost

    The `with` block begins when all probes are attached, and ends with the last drain and nothing left in the
    kernel. Records of all processes of the machine come in: take only those of your own. AssertionError when a
    probe can't be loaded or collecting stops on an error.
    """

    def __init__(
        self, probes: Iterable[str], settings: Settings | None = None, filter_spec: FilterSpec | None = None
    ) -> None:
        self.batches: list[Batch] = []
        self._arrived = threading.Condition()
        self.source = _PatientSource(probes, settings, filter_spec)

    def __enter__(self) -> Collector:
        self.source.start(self._take)
        self._await_loaded()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = [i for proof in self.source.close() for i in proof.remaining_ids]
        if kind is None:
            assert not left, f"still in the kernel: {left}"
            self._assert_no_failure()

    def of(self, kind: type[R], pids: Iterable[int] | None = None) -> list[R]:
        """Records of one type so far, oldest batch first; only those of `pids` if given."""
        wanted = None if pids is None else set(pids)
        with self._arrived:
            records = [r for batch in self.batches for r in batch.records if isinstance(r, kind)]
        return records if wanted is None else [r for r in records if r.pid in wanted]

    def wait_until(self, enough: Callable[[Collector], bool]) -> None:
        """Return when `enough` says so; it is asked after every batch. TimeoutError when that never comes."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: enough(self), TIMEOUT_S):
                raise TimeoutError(f"{len(self.batches)} batches, and not what was waited for")

    @property
    def health(self) -> Health:
        """As of the last poll; after the `with` block as of the moment before unloading."""
        return self.source.health()

    def probe(self, name: str) -> ProbeHealth:
        """Of one probe, internal ones as "(sockets)" too."""
        return next(p for p in self.health.probes if p.name == name)

    def _take(self, batch: Batch) -> None:
        with self._arrived:
            self.batches.append(batch)
            self._arrived.notify_all()

    def _await_loaded(self) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while any(p.state == "loading" for p in self.health.probes):
            assert time.monotonic() < deadline, "the probes do not load"
            time.sleep(0.005)
        try:
            self._assert_no_failure()
        except AssertionError:
            self.source.close()
            raise

    def _assert_no_failure(self) -> None:
        assert not self.source.failures, [error.line() for error in self.source.failures.values()]
