"""A snapshot file in the place of the kernel and of the live timeline."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from ebtop.errors import EbtopError
from ebtop.store.check import Check
from ebtop.store.containers import ContainerLookup
from ebtop.store.evidence import Note
from ebtop.store.file.reader import SnapshotFile
from ebtop.store.history.arrived import Arrived
from ebtop.store.rows import Rates, Snapshot, StackSpan
from ebtop.store.scene import stack_span
from ebtop.store.selection import Pushed, Selection
from ebtop.store.source import Health, ProcessFacts, Sink, UnloadProof
from ebtop.store.ticks import Tick
from ebtop.store.timeline import Kept
from ebtop.store.view import View

_NO_RATES = Rates(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def _recorded(what: str) -> EbtopError:
    return EbtopError(f"this is a recording: {what}", "", "start ebtop without `replay` on that node")


class FileSource:
    """Implements Source: says what was, and can change nothing of it."""

    live = False

    def __init__(self, file: SnapshotFile) -> None:
        self._file = file
        self.probe_names = file.collection.probes
        self.containers: ContainerLookup = file.containers
        self.host, self.collection = file.host, file.collection
        self.hertz = file.collection.hertz

    def start(self, sink: Sink) -> None:
        """Everything is there already."""

    def health(self) -> Health:
        """The latest of the file; the log says what there is to know of it."""
        period = self._file.period
        log = [f"{self._file.path}: ebtop {self.collection.version} on {self.host.name}, {self.host.distribution}"]
        log += [f"title: {self.collection.title}"] if self.collection.title else []
        log += [f"only {self.collection.filters} was collected"] if self.collection.filters else []
        log += [f"it ended because {period.ended_why}"] if period.ended_why else []
        log += [f"{period.masked} secrets are masked in it"] if period.masked > 0 else []
        return self._file.health()._replace(log=(*log, *self._file.incomplete))

    def unload(self, probe: str) -> UnloadProof:
        raise _recorded("there is nothing to unload")

    def load(self, probe: str) -> None:
        raise _recorded("nothing can be loaded")

    def narrow(self, pushed: Pushed | None, probes: frozenset[str]) -> None:
        """What is shown may be narrowed; what was collected stays."""

    def set_rate(self, hertz: int) -> None:
        raise _recorded("its rate can't be changed")

    def process(self, pid: int) -> ProcessFacts | None:
        """Not kept: what an exec said is in its record."""
        return None

    def diagnose(self) -> tuple[Check, ...]:
        """What the doctor found then."""
        checks = tuple(self._file.checks())
        if not checks:
            raise _recorded("the doctor was not asked on that node")
        return checks

    def close(self) -> tuple[UnloadProof, ...]:
        self._file.close()
        return ()


class FileTimeline:
    """Implements Keeper."""

    def __init__(self, file: SnapshotFile) -> None:
        self._file = file
        self._lock = Lock()

    def view(self, selection: Selection | None = None) -> View:
        """Of the newest moment."""
        shown = _Newest(self._file, selection)
        return View(self._lock, selection, shown, self._file.from_ns, lambda _: None, behind=False)

    def at(self, time_ns: int, selection: Selection | None = None) -> Snapshot:
        return self._file.at(time_ns, selection)

    def spans(self, seconds: float, until_ns: int | None = None, selection: Selection | None = None) -> list[StackSpan]:
        return self._file.spans(seconds, self._file.until_ns if until_ns is None else until_ns, selection)

    def rates(self) -> Rates:
        ticks = self._file.healths(self._file.until_ns, 1)
        return ticks[-1].rates if ticks else _NO_RATES

    def mark(self, tick: Tick) -> None:
        """What is in the file stays as it is."""

    def ticks(self) -> Sequence[Tick]:
        return self._file.ticks()

    def healths(self, until_ns: int, count: int) -> Sequence[Tick]:
        return self._file.healths(until_ns, count)

    def narrowed_to(self, text: str) -> None:
        """What was collected stays as it is."""

    def narrowed_at(self, time_ns: int) -> str:
        return self._file.narrowed_at(time_ns)

    def note(self, text: str, time_ns: int | None = None) -> None:
        raise _recorded("it takes no more notes")

    def notes(self) -> Sequence[Note]:
        return self._file.notes()

    @property
    def kept(self) -> Kept:
        file = self._file
        return Kept(file.from_ns, file.until_ns, file.bytes, file.bytes, file.seen)


class _Newest:
    """Implements Shown."""

    def __init__(self, file: SnapshotFile, selection: Selection | None) -> None:
        self._file, self._selection = file, selection

    def feed(self, arrived: Arrived) -> StackSpan:
        return stack_span(arrived.batch)

    def spans(self, from_ns: int, until_ns: int) -> list[StackSpan] | None:
        return None

    def snapshot(self) -> Snapshot:
        return self._file.at(self._file.until_ns, self._selection)
