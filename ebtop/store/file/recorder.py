"""Writes what a source yields to a file as it comes, for hours, in one thread and at a flat cost."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.store.check import Check
from ebtop.store.evidence import CollectionFacts, ContainerFacts, HostFacts, Note
from ebtop.store.file.interning import AT_HAND
from ebtop.store.file.rotation import Rotation
from ebtop.store.file.writer import FileWriter
from ebtop.store.history.chapter import Chapter
from ebtop.store.history.history import SECOND_NS, History, Packed
from ebtop.store.records import Batch
from ebtop.store.redact import Redactor
from ebtop.store.source import Health, Source
from ebtop.store.store import Store
from ebtop.store.ticks import Tick
from ebtop.store.user_names import UserNames

_MEMORY = 8 << 20
"""Bytes of the chapter that is being written, kept for the sake of the codec."""
_CHAPTER_RECORDS = 30_000
"""Fewer than live: whoever opens the file waits for no more than a chapter, and disk is cheaper than memory."""
_MAX_WAITING = 40_000
"""Records that may wait to be written, about 30 MB; then batches are given up, and counted."""
_RESERVED, _RESERVED_SHARE, _LEAST_RESERVED = 64 << 20, 20, 1 << 20
"""Free space that is left on the file system: bytes, or one part in so many where it is small, but always so much that
the file can be ended."""


class Progress(NamedTuple):
    """How far it is."""

    path: Path
    bytes: int
    """Of all files."""
    records: int
    lost: int
    """Given up here, because writing fell behind."""
    masked: int | None
    ended: str
    """Why it ended by itself; "" = it goes on."""


class Recorder:
    """The sink of a source. `take` may be called from any thread; nothing is ever waited for in it."""

    def __init__(
        self,
        rotation: Rotation,
        source: Source,
        host: HostFacts,
        collection: CollectionFacts,
        *,
        redactor: Redactor | None = None,
        checks: Sequence[Check] = (),
        on_end: Callable[[str], None] = lambda _: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Makes the file. Without a `redactor` nothing is masked. `on_end` is called, from the writing thread, when
        it ends by itself: it has become as large as it may, or can't be written any more.

        Raises EbtopError.
        """
        self._rotation, self._source = rotation, source
        self._host, self._collection = host, collection
        self._redactor, self._checks = redactor, checks
        self._on_end, self._clock = on_end, clock
        self._users = UserNames()
        # It knows what was taken from the queue so far, not what comes in at this moment.
        self._store = Store(lambda: self._newest_ns, keep_stacks=False)
        self._lock = Lock()
        self._queue: queue.SimpleQueue[tuple[int, Batch] | Note | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lost = self._records = 0
        self._newest_ns = self._ahead_ns = 0
        self._narrowed = ""
        self._ended = ""
        self.error: EbtopError | None = None
        """Why it could not go on writing."""
        self._chapter: Chapter | None = None
        self._history = self._new_history()
        self._writer = self._open()
        self._thread = threading.Thread(target=self._run, name="ebtop-writer", daemon=True)
        self._thread.start()

    def take(self, batch: Batch) -> None:
        """A batch comes in."""
        with self._lock:
            if self._waiting + len(batch.records) > _MAX_WAITING and self._waiting:
                self._lost += len(batch.records)
                return
            self._waiting += len(batch.records)
        self._queue.put((self._clock(), batch))

    def note(self, text: str) -> None:
        self._queue.put(Note(self._clock(), text))

    def close(self, why: str = "") -> None:
        """Write what is left and end the file. Raises EbtopError where that can't be done."""
        if self._thread.is_alive():
            self._ended = self._ended or why
            self._queue.put(None)
            self._thread.join()
        if self.error is not None:
            raise self.error

    @property
    def progress(self) -> Progress:
        size = self._rotation.bytes
        return Progress(
            self._rotation.path, size, self._records, self._lost,
            self._redactor.masked if self._redactor is not None else None, self._ended,
        )  # fmt: skip

    def _run(self) -> None:
        try:
            while self._take_next():
                pass
            with self._lock:
                self._history.cut()
            self._history.work()
            self._writer.end(self._ended)
        except EbtopError as error:
            self.error = error
            self._writer.roll_back()
            self._give_up()
        if self._ended or self.error:
            self._on_end(self._ended)
        # Nobody may wait for a thread that is gone.
        while self.error is not None and self._queue.get() is not None:
            pass

    def _give_up(self) -> None:
        """What was committed stays; one file if that can be had."""
        try:
            self._writer.end(f"it could not be written any more: {self.error}")
        except EbtopError:
            self._writer.roll_back()

    def _take_next(self) -> bool:
        item = self._queue.get()
        if item is None:
            return False
        if isinstance(item, Note):
            text = item.text if self._redactor is None else self._redactor.text(item.text)
            self._together(lambda: self._writer.note(Note(item.time_ns, text)))
            return True
        arrived_ns, batch = item
        with self._lock:
            self._waiting -= len(batch.records)
        if self._redactor is not None:
            batch = batch._replace(records=list(map(self._redactor.record, batch.records)))
        arrived_ns = self._in_order(arrived_ns)
        with self._lock:
            self._history.arrive(arrived_ns, batch, self._store.state)
        self._store.ingest(batch)
        self._store.expire()
        self._history.work()
        return not self._is_over()

    def _in_order(self, arrived_ns: int) -> int:
        """A clock that was set back goes on from where it was, in the file: its order is that of what came in."""
        arrived_ns += self._ahead_ns
        if arrived_ns < self._newest_ns - SECOND_NS:
            back_ns = self._newest_ns - arrived_ns
            self._ahead_ns += back_ns
            what = f"the clock was set back by {back_ns / SECOND_NS:.0f} s; moments are from then on ahead of it"
            self._together(lambda: self._writer.gap(self._newest_ns, self._newest_ns, what))
            arrived_ns += back_ns
        self._newest_ns = max(arrived_ns, self._newest_ns)
        return self._newest_ns

    def _packed(self, packed: Packed) -> None:
        """A second is complete."""
        self._together(lambda: self._write(packed))

    def _write(self, packed: Packed) -> None:
        writer = self._writer
        if packed.chapter is not self._chapter:
            self._chapter = packed.chapter
            writer.chapter(packed.chapter.start_ns, packed.first, packed.chapter.keyframe)
        newest_ns = packed.arrived[-1].time_ns
        writer.segment(newest_ns, packed.events, packed.stacks, packed.records, packed.scanned)
        writer.rows(packed.arrived)
        self._records += packed.records
        if self._redactor is not None:
            writer.masked(self._redactor.masked)
        self._name_new(writer)
        health = self._with_own_loss(self._source.health())
        writer.tick(Tick(newest_ns, self._store.rates(), health))
        if health.narrowed != self._narrowed:
            self._narrowed = health.narrowed
            writer.narrowing(newest_ns, health.narrowed)

    def _name_new(self, writer: FileWriter) -> None:
        """Of whose containers and users nobody has been told."""
        cgroups, writer.new_cgroups = writer.new_cgroups, set()
        found = [(cgroup, self._source.containers(cgroup)) for cgroup in cgroups]
        writer.containers([ContainerFacts(cgroup, known) for cgroup, known in found if known is not None])
        uids, writer.new_uids = writer.new_uids, set()
        writer.users([(uid, name) for uid in uids if (name := self._users.name(uid)) is not None])

    def _with_own_loss(self, health: Health) -> Health:
        """What was given up here is lost like anything else."""
        if not self._lost or not health.probes:
            return health
        first, *rest = health.probes
        return health._replace(probes=(first._replace(lost={**first.lost, "not written in time": self._lost}), *rest))

    def _together(self, action: Callable[[], None]) -> None:
        """In one transaction."""
        self._writer.begin()
        action()
        self._writer.commit()

    def _is_over(self) -> bool:
        """Whether no more may be written; goes on in another file where that is asked for."""
        if self._nearly_full():
            self._ended = "the file system is nearly full"
            return True
        if not self._rotation.is_full(self._writer.size):
            return False
        if not self._rotation.rotates:
            self._ended = "it has become as large as it may (--max-size)"
            return True
        with self._lock:
            self._history.cut()
        self._history.work()
        self._writer.end("rotated")
        self._rotation.turn()
        self._history = self._new_history()
        self._writer = self._open()
        return False

    def _nearly_full(self) -> bool:
        disk = os.statvfs(self._rotation.path.parent)
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        return free < max(_LEAST_RESERVED, min(_RESERVED, total // _RESERVED_SHARE))

    def _new_history(self) -> History:
        return History(self._lock, 0, _MEMORY, self._packed, _CHAPTER_RECORDS)

    def _open(self) -> FileWriter:
        writer = FileWriter(
            self._rotation.path, self._host, self._collection, self._clock(), force=self._rotation.force,
            at_hand=AT_HAND,
        )  # fmt: skip
        if self._checks:
            writer.begin()
            writer.checks(self._checks)
            writer.commit()
        return writer
